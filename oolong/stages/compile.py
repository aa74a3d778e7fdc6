"""The stage `compile`: every object of the kernel, joined into vmlinux.o, and the object tree for the link."""

import json
import re
from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Tree, Work, failed
from oolong.errors import Kind
from oolong.host.files import text_of, write_json
from oolong.host.manifest import check_size, names_below
from oolong.host.progress import Progress
from oolong.host.sandbox import BUILD, SRC
from oolong.kbuild import make as kbuild
from oolong.spec.model import Cell
from oolong.stages import outputs
from oolong.stages.building import build_failed, build_sandbox, build_view, copy_tree
from oolong.stages.limited import Late, run
from oolong.stages.outputs import CONFIG, OBJECTS, PREPARED, ROOT, TREE, VMLINUX_O

FOLDER = "tree"
RELEASE = f"{FOLDER}/include/config/kernel.release"
CHANGES_SHOWN = 20
BUILT = re.compile(r"^  (?:CC|AS|LD|AR|HOSTCC|HOSTLD)\s")
VIEW = build_view()


def stage(cell: Cell, *, rootfs: Stage, source: Stage, configure: Stage) -> Stage:
    recipe = Recipe(
        stage="compile", argv=(kbuild.compile_argv(cell),), sandbox=VIEW.as_json(), code=code_digest(__name__)
    )
    inputs = (
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=TREE),
        Input(role="configure", stage=configure, output=CONFIG),
        # all in it follows from the three above
        Input(role="prepared", stage=configure, output=PREPARED, decides=False),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell))


def _work(cell: Cell, work: Work) -> Outcome:
    build = work.folder / FOLDER
    copy_tree(work, "prepared", build)
    sandbox = build_sandbox(work, VIEW, {SRC: work.path("source"), BUILD: build})
    hint = work.layout.hint(f"compile-{cell.endian}-{cell.config.name}")
    counter = _Counter(work.progress, expected=_expected(hint))
    try:
        done = run(work, sandbox, work.stage.recipe.argv[0], timeout=cell.build_timeout, on_line=counter.see)
    except Late as late:
        return late.outcome(artifacts=_release(work))
    release = _release(work)
    if not done.ok:
        return build_failed(work, done, artifacts=release)
    configured, compiled = text_of(work.path("prepared"), ".config"), text_of(build, ".config")
    if compiled != configured:
        changed = set(compiled.split("\n")) ^ set(configured.split("\n"))
        lines = ("compiling changed the configuration:", *sorted(changed)[:CHANGES_SHOWN])
        return failed(Kind.CONFIG_DRIFT, lines, artifacts=release)
    check_size(build)
    objects = sum(name.endswith(".o") for name in names_below(build))
    write_json(hint, {"steps": counter.steps})
    return Outcome(
        artifacts={VMLINUX_O: f"{FOLDER}/vmlinux.o", CONFIG: f"{FOLDER}/.config", outputs.RELEASE: RELEASE},
        trees={OBJECTS: Tree(path=FOLDER)},
        data={"objects": objects},
    )


def _release(work: Work) -> dict[str, str]:
    """The file with the kernel's release, which a build that fails may have left."""
    return {outputs.RELEASE: RELEASE} if (work.folder / RELEASE).is_file() else {}


class _Counter:
    """Turns make's lines into progress; how many there will be is known from the last time, if there was one."""

    def __init__(self, progress: Progress, *, expected: int | None) -> None:
        self.steps = 0
        self._progress = progress
        self._expected = expected

    def see(self, line: str) -> None:
        if BUILT.match(line):
            self.steps += 1
            self._progress(line.strip(), self.steps, self._expected)


def _expected(hint: Path) -> int | None:
    try:
        return int(json.loads(hint.read_bytes())["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
