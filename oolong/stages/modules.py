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
from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.host.digest import digest_of, file_sha256
from oolong.host.files import plain_file, remove_tree, write_json
from oolong.host.sandbox import Mount
from oolong.kbuild import make as kbuild
from oolong.kbuild.log import culprits
from oolong.spec.model import Cell
from oolong.stages import compile
from oolong.stages.sandboxed import build_sandbox, copy_tree, run

# all modules with their digests: what decides whether they are packed anew
CONTENT = "content"


def stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, folder: Path) -> Stage:
    """`folder` holds the sources of the guest's own modules."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    recipe = Recipe(
        stage="modules",
        argv=kbuild.modules(cell),
        env=kbuild.FIXED_ENV,
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": source.recipe.digest,
            "compile": compiled.recipe.digest,
            "guest": digest_of({name: hashlib.sha256(text).hexdigest() for name, text in files.items()}),
        },
        code=code_digest(__name__),
    )
    needs = (rootfs, source, compiled)
    return Stage(subject=cell.name, recipe=recipe, needs=needs, work=partial(_work, recipe, files))


def _work(recipe: Recipe, files: Mapping[str, bytes], work: Work) -> Outcome:
    build = work.folder / compile.TREE
    copy_tree(work.need("compile").folder / compile.TREE, build, scope=work.scope)
    guest = work.folder / "guest"
    guest.mkdir()
    for name, text in files.items():
        (guest / name).write_bytes(text)
    sandbox = build_sandbox(
        work,
        rootfs=work.need("rootfs"),
        source=work.need("source"),
        build=build,
        mounts=(Mount(host=guest, inside=kbuild.GUEST_MODULE),),
        env=dict(recipe.env),
    )
    for argv in recipe.argv:
        done = run(work, sandbox, argv)
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
    digests = {name: file_sha256(work.folder / path) for name, path in artifacts.items()}
    write_json(work.folder / CONTENT, digests)
    order = [artifacts[name] for name in TopologicalSorter(needs).static_order() if name in artifacts]
    return Outcome(artifacts={**artifacts, CONTENT: CONTENT}, data={"order": order})


def depends(module: bytes) -> list[str]:
    """The file names of the modules that one needs, as its .modinfo says (scripts/mod/modpost.c, add_depends)."""
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    return [f"{name}.ko" for name in match[1].decode().split(",") if name] if match else []
