"""The stage `modules`: what the configuration builds as modules, for cells whose config wants them.

They need the objects and the symbols of vmlinux.o, not the linked kernel. The modules that are the guest's own are
built with them.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Tree, Work
from oolong.host.digest import digest_of
from oolong.host.files import read_plain, write_json
from oolong.host.manifest import check_size
from oolong.host.sandbox import BUILD, SRC
from oolong.kbuild import make as kbuild
from oolong.spec.model import Cell
from oolong.stages.building import build_failed, build_sandbox, build_view, copy_tree
from oolong.stages.limited import limited, run
from oolong.stages.outputs import MODULES, OBJECTS, ORDER, ROOT, TREE

FOLDER = "tree"
# more than any has with all its debug information
LARGEST_MODULE = 1 << 30
VIEW = build_view(kbuild.GUEST_MODULE)


def stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, folder: Path) -> Stage:
    """`folder` holds the sources of the guest's own modules."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    recipe = Recipe(
        stage="modules",
        argv=kbuild.modules(cell),
        sandbox=VIEW.as_json(),
        inputs={"guest": digest_of({name: hashlib.sha256(text).hexdigest() for name, text in files.items()})},
        code=code_digest(__name__),
    )
    inputs = (
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=TREE),
        Input(role="compile", stage=compiled, output=OBJECTS),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell, files))


@limited
def _work(cell: Cell, files: Mapping[str, bytes], work: Work) -> Outcome:
    build = work.folder / FOLDER
    copy_tree(work, "compile", build)
    guest = work.folder / "guest"
    guest.mkdir()
    for name, text in files.items():
        (guest / name).write_bytes(text)
    hosts = {SRC: work.path("source"), BUILD: build, kbuild.GUEST_MODULE: guest}
    sandbox = build_sandbox(work, VIEW, hosts)
    for argv in work.stage.recipe.argv:
        done = run(work, sandbox, argv, timeout=cell.build_timeout)
        if not done.ok:
            return build_failed(work, done)
    target = work.folder / MODULES
    target.mkdir()
    paths: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    check_size(build)
    for module in sorted(build.rglob("*.ko")):
        name = module.relative_to(build).as_posix()
        needs[module.name] = depends(read_plain(build, name, most=LARGEST_MODULE))
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        module.rename(target / name)
        paths[module.name] = name
    order = [paths[name] for name in TopologicalSorter(needs).static_order() if name in paths]
    write_json(work.folder / ORDER, order)
    artifacts = {ORDER: ORDER, **{name: f"{MODULES}/{path}" for name, path in paths.items()}}
    return Outcome(artifacts=artifacts, trees={MODULES: Tree(path=MODULES)}, data={"order": order})


def depends(module: bytes) -> list[str]:
    """The file names of the modules that one needs, as its .modinfo says (scripts/mod/modpost.c, add_depends)."""
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    return [f"{name}.ko" for name in match[1].decode().split(",") if name] if match else []
