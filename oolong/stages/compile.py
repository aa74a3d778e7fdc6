"""The stage `compile`: every object of the kernel, joined into vmlinux.o, and the object tree for the link."""

import json
import re
from functools import partial
from pathlib import Path

from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.host.files import text_of, write_json
from oolong.host.progress import Progress
from oolong.kbuild import make as kbuild
from oolong.kbuild.log import culprits
from oolong.spec.model import Cell
from oolong.stages.sandboxed import build_sandbox, copy_tree, run

TREE = "tree"
RELEASE = f"{TREE}/include/config/kernel.release"
CHANGES_SHOWN = 20
BUILT = re.compile(r"^  (?:CC|AS|LD|AR|HOSTCC|HOSTLD)\s")


def stage(cell: Cell, *, rootfs: Stage, source: Stage, configure: Stage) -> Stage:
    recipe = Recipe(
        stage="compile",
        argv=(kbuild.compile_argv(cell),),
        env=kbuild.FIXED_ENV,
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": source.recipe.digest,
            "configure": configure.recipe.digest,
        },
    )
    return Stage(
        subject=cell.name,
        recipe=recipe,
        needs=(rootfs, source, configure),
        work=partial(_work, cell, recipe),
        by_content={
            "rootfs": ("rootfs", "manifest"),
            "source": ("source", "content"),
            "configure": ("configure", "config"),
        },
    )


def _work(cell: Cell, recipe: Recipe, work: Work) -> Outcome:
    build = work.folder / TREE
    copy_tree(work.need("configure").folder / TREE, build, scope=work.scope)
    sandbox = build_sandbox(
        work, rootfs=work.need("rootfs"), source=work.need("source"), build=build, env=dict(recipe.env)
    )
    hint = work.layout.hint(f"compile-{cell.endian}-{cell.config.name}")
    counter = _Counter(work.progress, expected=_expected(hint))
    done = run(work, sandbox, recipe.argv[0], on_line=counter.see)
    release = {"release": RELEASE} if (work.folder / RELEASE).is_file() else {}
    if not done.ok:
        return failed("build", culprits(done.lines), artifacts=release)
    configured, compiled = text_of(work.need("configure").folder / TREE, ".config"), text_of(build, ".config")
    if compiled != configured:
        changed = set(compiled.splitlines()) ^ set(configured.splitlines())
        lines = ("compiling changed the configuration:", *sorted(changed)[:CHANGES_SHOWN])
        return failed("config-drift", lines, artifacts=release)
    objects = sum(1 for _ in build.rglob("*.o"))
    write_json(hint, {"steps": counter.steps})
    return Outcome(
        artifacts={
            "vmlinux.o": f"{TREE}/vmlinux.o",
            "config": f"{TREE}/.config",
            "release": RELEASE,
        },
        data={"objects": objects},
    )


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
