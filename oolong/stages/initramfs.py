"""The stage `initramfs`: guest/ → a static init and the archive that the kernel unpacks; the same bytes each time."""

import hashlib
from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.host.files import remove_tree
from oolong.host.sandbox import Mount
from oolong.kbuild import make as kbuild
from oolong.kbuild.log import culprits
from oolong.machine import guest
from oolong.spec.model import Cell, MachineFamily
from oolong.stages.modules import CONTENT
from oolong.stages.sandboxed import build_sandbox, run

ARCHIVE = "initramfs"


def stage(cell: Cell, *, rootfs: Stage, source: Stage, guest_digest: str, modules: Stage | None, folder: Path) -> Stage:
    """`guest_digest` covers what init is built from in the kernel's tree, so that an edit elsewhere needs no new
    archive; `folder` is guest/."""
    init = (folder / guest.INIT_SOURCE).read_bytes()
    recipe = Recipe(
        stage="initramfs",
        argv=(*guest.commands(cell), guest.pack()),
        env=kbuild.FIXED_ENV,
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": guest_digest,
            "init": hashlib.sha256(init).hexdigest(),
            **({"modules": modules.recipe.digest} if modules else {}),
            # only a family with other device nodes is an input of its own
            **({} if cell.machine.family is MachineFamily.PSERIES else {"family": cell.machine.family.value}),
        },
        code=code_digest(__name__),
    )
    return Stage(
        subject=cell.name,
        recipe=recipe,
        needs=(rootfs, source, *([modules] if modules else [])),
        work=partial(_work, recipe, init, cell.machine.family),
        by_content={
            "rootfs": ("rootfs", "manifest"),
            **({"modules": ("modules", CONTENT)} if modules else {}),
        },
    )


def _work(recipe: Recipe, init: bytes, family: MachineFamily, work: Work) -> Outcome:
    build = work.folder / "build"
    out = build / "out"
    out.mkdir(parents=True)
    sources = work.folder / "guest"
    sources.mkdir()
    (sources / guest.INIT_SOURCE).write_bytes(init)
    mounts = [Mount(host=sources, inside=guest.GUEST)]
    modules: list[str] = []
    if any(task.startswith("modules:") for task in work.needs):
        built = work.need("modules")
        modules = list(built.data["order"])
        mounts.append(Mount(host=built.folder, inside=guest.MODULES))
    (out / "contents").write_text(guest.contents(modules, family))
    (out / "modules.list").write_text(guest.modules_list(modules))
    sandbox = build_sandbox(
        work,
        rootfs=work.need("rootfs"),
        source=work.need("source"),
        build=build,
        mounts=tuple(mounts),
        env=dict(recipe.env),
    )
    *commands, packing = recipe.argv
    for command in commands:
        done = run(work, sandbox, command)
        if not done.ok:
            return failed("build", culprits(done.lines))
    archive = work.folder / ARCHIVE
    with archive.open("wb") as sink:
        done = run(work, sandbox, packing, on_output=sink.write)
    if not done.ok or archive.stat().st_size == 0:
        return failed("build", culprits(done.lines) or ("the guest's files cannot be packed",))
    remove_tree(build)
    return Outcome(artifacts={ARCHIVE: ARCHIVE})
