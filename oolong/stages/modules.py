"""The stage `modules`: what the configuration builds as modules, for cells whose config wants them.

They need the objects and the symbols of vmlinux.o, not the linked kernel.
"""

import re
from functools import partial
from graphlib import TopologicalSorter

from oolong import kbuild
from oolong.buildlog import culprits
from oolong.files import plain_file, remove_tree
from oolong.model import Cell
from oolong.stage import Outcome, Recipe, Stage, Work
from oolong.stages import compile
from oolong.stages.inside import build_sandbox, copy_tree, run
from oolong.store import failed


def stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage) -> Stage:
    recipe = Recipe(
        stage="modules",
        argv=(kbuild.modules(cell),),
        env=kbuild.FIXED_ENV,
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": source.recipe.digest,
            "compile": compiled.recipe.digest,
        },
    )
    return Stage(subject=cell.name, recipe=recipe, needs=(rootfs, source, compiled), work=partial(_work, recipe))


def _work(recipe: Recipe, work: Work) -> Outcome:
    build = work.folder / compile.TREE
    copy_tree(work.need("compile").folder / compile.TREE, build)
    sandbox = build_sandbox(
        work, rootfs=work.need("rootfs"), source=work.need("source"), build=build, env=dict(recipe.env)
    )
    done = run(work, sandbox, recipe.argv[0])
    if not done.ok:
        return failed("build", culprits(done.lines))
    artifacts = {}
    needs: dict[str, list[str]] = {}
    for module in sorted(build.rglob("*.ko")):
        name = module.relative_to(build).as_posix()
        needs[module.name] = depends(plain_file(build, name).read_bytes())
        (work.folder / "modules" / name).parent.mkdir(parents=True, exist_ok=True)
        module.rename(work.folder / "modules" / name)
        artifacts[module.name] = f"modules/{name}"
    remove_tree(build)
    order = [artifacts[name] for name in TopologicalSorter(needs).static_order() if name in artifacts]
    return Outcome(artifacts=artifacts, data={"order": order})


def depends(module: bytes) -> list[str]:
    """The file names of the modules that one needs, as its .modinfo says (scripts/mod/modpost.c, add_depends)."""
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    return [f"{name}.ko" for name in match[1].decode().split(",") if name] if match else []
