"""The stages `link` and `crosslink`: vmlinux from the object tree, with our stubs or with the tree's own rule.

`crosslink` links the same objects with the other one of the two, so that the stub areas of both can be compared.
"""

from functools import partial

from oolong import kbuild
from oolong.buildlog import culprits
from oolong.model import Cell, StubPass
from oolong.sandbox import Mount
from oolong.stage import Outcome, Recipe, Stage, Work
from oolong.stages.inside import build_sandbox, copy_tree, run
from oolong.store import failed, remove_tree

TREE = "tree"


def link(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, stubs: Stage) -> Stage:
    return _stage("link", cell, cell.stub_pass, rootfs=rootfs, source=source, compiled=compiled, stubs=stubs)


def crosslink(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, stubs: Stage) -> Stage:
    other = StubPass.KERNEL if cell.stub_pass is StubPass.OOLONG else StubPass.OOLONG
    return _stage("crosslink", cell, other, rootfs=rootfs, source=source, compiled=compiled, stubs=stubs)


def _stage(
    name: str, cell: Cell, stub_pass: StubPass, *, rootfs: Stage, source: Stage, compiled: Stage, stubs: Stage
) -> Stage:
    inputs = {
        "rootfs": rootfs.recipe.digest,
        "source": source.recipe.digest,
        "compile": compiled.recipe.digest,
    }
    if stub_pass is StubPass.OOLONG:
        inputs["stubs"] = stubs.recipe.digest
    recipe = Recipe(
        stage=name,
        argv=(kbuild.link(cell, our_stubs=stub_pass is StubPass.OOLONG),),
        env={**kbuild.FIXED_ENV, **kbuild.ccache_env(rootfs.recipe.digest)},
        inputs=inputs,
    )
    return Stage(
        subject=cell.name,
        recipe=recipe,
        needs=(rootfs, source, compiled, stubs),
        work=partial(_work, recipe, keep_tree=cell.config.modules and name == "link"),
    )


def _work(recipe: Recipe, work: Work, *, keep_tree: bool) -> Outcome:
    build = work.folder / TREE
    copy_tree(work.need("compile").folder / TREE, build)
    sandbox = build_sandbox(
        work,
        rootfs=work.need("rootfs"),
        source=work.need("source"),
        build=build,
        mounts=(Mount(host=work.need("stubs").folder, inside=kbuild.STUBS),),
        env=dict(recipe.env),
    )
    done = run(work, sandbox, recipe.argv[0])
    if not done.ok:
        return failed("build", culprits(done.lines))
    artifacts = {"vmlinux": "vmlinux", "System.map": "System.map"}
    if (build / kbuild.STUB_SOURCE).exists():
        artifacts["vmlinux.arch.S"] = "vmlinux.arch.S"
        (build / kbuild.STUB_SOURCE).rename(work.folder / "vmlinux.arch.S")
    for name in ("vmlinux", "System.map"):
        (build / name).rename(work.folder / name)
    if not keep_tree:
        remove_tree(build)
    return Outcome(artifacts=artifacts)
