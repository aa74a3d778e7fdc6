"""The stages `link` and `crosslink`: vmlinux from the object tree, with our stubs or with the tree's own rule.

`crosslink` links the same objects with the other one of the two, so that the stub areas of both can be compared.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Work
from oolong.errors import BadInput
from oolong.host.files import plain_file
from oolong.host.sandbox import BUILD, SRC
from oolong.kbuild import make as kbuild
from oolong.kbuild.log import post_link
from oolong.kbuild.postlink import had_nothing_to_do
from oolong.spec.model import Cell, StubPass
from oolong.stages.building import build_failed, build_sandbox, build_view, copy_tree
from oolong.stages.limited import limited, run
from oolong.stages.outputs import CONFIG, OBJECTS, ROOT, STUB_SOURCE, SYSTEM_MAP, TREE, VMLINUX
from oolong.stubs.areas import read_areas

FOLDER = "tree"
VIEW = build_view(kbuild.STUBS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The stages that a link needs."""

    rootfs: Stage
    source: Stage
    configure: Stage
    compile: Stage
    stubs: Stage


def link(cell: Cell, needs: Needs) -> Stage:
    return _stage("link", cell, cell.stub_pass, needs)


def crosslink(cell: Cell, needs: Needs) -> Stage:
    other = StubPass.KERNEL if cell.stub_pass is StubPass.OOLONG else StubPass.OOLONG
    return _stage("crosslink", cell, other, needs)


def _stage(name: str, cell: Cell, stub_pass: StubPass, needs: Needs) -> Stage:
    ours = stub_pass is StubPass.OOLONG
    recipe = Recipe(
        stage=name,
        argv=(kbuild.link(cell, our_stubs=ours),),
        sandbox=VIEW.as_json(),
        code=code_digest(__name__),
    )
    inputs = (
        Input(role="rootfs", stage=needs.rootfs, output=ROOT),
        Input(role="source", stage=needs.source, output=TREE),
        Input(role="configure", stage=needs.configure, output=CONFIG),
        Input(role="compile", stage=needs.compile, output=OBJECTS),
        # the tree's own rule makes its stubs itself
        Input(role="stubs", stage=needs.stubs, output=STUB_SOURCE, decides=ours),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell))


@limited
def _work(cell: Cell, work: Work) -> Outcome:
    build = work.folder / FOLDER
    copy_tree(work, "compile", build)
    hosts = {SRC: work.path("source"), BUILD: build, kbuild.STUBS: work.input("stubs").folder}
    ran: set[str] = set()
    idle = False

    def hear(line: str) -> None:
        nonlocal idle
        ran.update(post_link(line))
        idle = idle or had_nothing_to_do(line)

    done = run(
        work,
        build_sandbox(work, VIEW, hosts),
        work.stage.recipe.argv[0],
        timeout=cell.build_timeout,
        on_line=hear,
    )
    if not done.ok:
        return build_failed(work, done)
    artifacts = {VMLINUX: VMLINUX, SYSTEM_MAP: SYSTEM_MAP}
    if (build / kbuild.STUB_SOURCE).exists():
        artifacts[STUB_SOURCE] = STUB_SOURCE
        plain_file(build, kbuild.STUB_SOURCE).rename(work.folder / STUB_SOURCE)
    for name in (VMLINUX, SYSTEM_MAP):
        plain_file(build, name).rename(work.folder / name)
    return Outcome(
        artifacts=artifacts, data={"post_link": sorted(ran), "post_link_idle": idle, **_areas(work.folder / VMLINUX)}
    )


def _areas(vmlinux: Path) -> dict[str, dict[str, int]]:
    """The count words; a kernel without out-of-line ftrace has none, and where it must be on the configuration was
    asserted."""
    try:
        return {"areas": read_areas(vmlinux).as_json()}
    except BadInput:
        return {}
