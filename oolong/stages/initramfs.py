"""The stage `initramfs`: guest/ → a static init and the archive that the kernel unpacks; the same bytes each time."""

from functools import partial
from pathlib import Path

from oolong import guest, kbuild
from oolong.buildlog import culprits
from oolong.codeversion import code_digest
from oolong.errors import BadInput
from oolong.model import Cell
from oolong.sandbox import Mount
from oolong.stage import Outcome, Recipe, Stage, Work
from oolong.stages.inside import build_sandbox, run
from oolong.store import failed, remove_tree

ARCHIVE = "initramfs"


def stage(cell: Cell, *, rootfs: Stage, source: Stage, guest_digest: str, modules: Stage | None, folder: Path) -> Stage:
    """`guest_digest` covers what init is built from in the kernel's tree, so that an edit elsewhere needs no new
    archive; `folder` is guest/."""
    recipe = Recipe(
        stage="initramfs",
        argv=(*guest.commands(cell), guest.pack()),
        env={**kbuild.FIXED_ENV, **kbuild.ccache_env(rootfs.recipe.digest)},
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": guest_digest,
            **({"modules": modules.recipe.digest} if modules else {}),
        },
        code=code_digest(("oolong.guest",), files=(folder / guest.INIT_SOURCE,), follow=False),
    )
    return Stage(
        subject=cell.name,
        recipe=recipe,
        needs=(rootfs, source, *([modules] if modules else [])),
        work=partial(_work, recipe, folder),
    )


def _work(recipe: Recipe, folder: Path, work: Work) -> Outcome:
    build = work.folder / "build"
    out = build / "out"
    out.mkdir(parents=True)
    mounts = [Mount(host=folder, inside=guest.GUEST)]
    modules: list[str] = []
    if any(task.startswith("modules:") for task in work.needs):
        built = work.need("modules")
        modules = [artifact.path for artifact in built.artifacts.values()]
        mounts.append(Mount(host=built.folder, inside=guest.MODULES))
    (out / "contents").write_text(guest.contents(modules))
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
        raise BadInput(f"the guest's files cannot be packed: {' '.join(done.lines[-3:])}")
    remove_tree(build)
    return Outcome(artifacts={ARCHIVE: ARCHIVE})
