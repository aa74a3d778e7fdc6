"""The stages `link` and `crosslink`: vmlinux from the object tree, with our stubs or with the tree's own rule.

`crosslink` links the same objects with the other one of the two, so that the stub areas of both can be compared.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput
from oolong.host.files import plain_file, remove_tree
from oolong.host.sandbox import Mount
from oolong.kbuild import make as kbuild
from oolong.kbuild.log import culprits, post_link
from oolong.spec.model import Cell, StubPass
from oolong.stages.sandboxed import build_sandbox, copy_tree, run
from oolong.stubs.areas import read_areas

TREE = "tree"


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
    inputs = {
        "rootfs": needs.rootfs.recipe.digest,
        "source": needs.source.recipe.digest,
        "configure": needs.configure.recipe.digest,
        "compile": needs.compile.recipe.digest,
    }
    by_content = {
        "rootfs": ("rootfs", "manifest"),
        "source": ("source", "content"),
        "configure": ("configure", "config"),
        "compile": ("compile", "vmlinux.o"),
    }
    if stub_pass is StubPass.OOLONG:
        inputs["stubs"] = needs.stubs.recipe.digest
        by_content["stubs"] = ("stubs", "vmlinux.arch.S")
    recipe = Recipe(
        stage=name,
        argv=(kbuild.link(cell, our_stubs=stub_pass is StubPass.OOLONG),),
        env=kbuild.FIXED_ENV,
        inputs=inputs,
        code=code_digest(__name__),
    )
    return Stage(
        subject=cell.name,
        recipe=recipe,
        needs=(needs.rootfs, needs.source, needs.configure, needs.compile, needs.stubs),
        work=partial(_work, recipe),
        by_content=by_content,
    )


def _work(recipe: Recipe, work: Work) -> Outcome:
    build = work.folder / TREE
    copy_tree(work.need("compile").folder / TREE, build, scope=work.scope)
    sandbox = build_sandbox(
        work,
        rootfs=work.need("rootfs"),
        source=work.need("source"),
        build=build,
        mounts=(Mount(host=work.need("stubs").folder, inside=kbuild.STUBS),),
        env=dict(recipe.env),
    )
    ran: set[str] = set()
    done = run(work, sandbox, recipe.argv[0], on_line=lambda line: ran.update(post_link(line)))
    if not done.ok:
        return failed("build", culprits(done.lines))
    artifacts = {"vmlinux": "vmlinux", "System.map": "System.map"}
    if (build / kbuild.STUB_SOURCE).exists():
        artifacts["vmlinux.arch.S"] = "vmlinux.arch.S"
        plain_file(build, kbuild.STUB_SOURCE).rename(work.folder / "vmlinux.arch.S")
    for name in ("vmlinux", "System.map"):
        plain_file(build, name).rename(work.folder / name)
    remove_tree(build)
    return Outcome(artifacts=artifacts, data={"post_link": sorted(ran), **_areas(work.folder / "vmlinux")})


def _areas(vmlinux: Path) -> dict[str, dict[str, int]]:
    """The count words; a kernel without out-of-line ftrace has none, and where it must be on the configuration was
    asserted."""
    try:
        return {"areas": read_areas(vmlinux).as_json()}
    except BadInput:
        return {}
