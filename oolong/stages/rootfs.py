"""The stage `rootfs`: locked packages and tarballs → verified downloads → a folder with the tools of a sandbox."""

from collections.abc import Sequence
from functools import partial

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, Tree, Work
from oolong.host.digest import digest_of
from oolong.host.files import real_folder
from oolong.spec.lock import Lock, merge
from oolong.spec.model import Tarball, Toolchain
from oolong.stages.outputs import ROOT
from oolong.stages.unpack import unpack_tarball
from oolong.supply.fetch import Wanted, fetch, of_package, of_tarball
from oolong.supply.mirror import mirrors
from oolong.supply.rootfs import build_rootfs, fix_modes

# below it, where toolchains that are no packages are unpacked
TARBALLS = "usr/local"


def stage(toolchains: Sequence[Toolchain], locks: Sequence[Lock]) -> Stage:
    """The root file system that holds several toolchains, such as kbuild and a cross compiler."""
    packages = merge(locks)
    wanted = tuple(map(of_package, packages))
    tarballs = tuple((toolchain.name, toolchain.tarball) for toolchain in toolchains if toolchain.tarball)
    links = tuple(link for toolchain in toolchains for link in toolchain.links)
    recipe = Recipe(
        stage="rootfs",
        inputs={
            "packages": digest_of([[package.name, package.version, package.sha256] for package in packages]),
            "links": digest_of(sorted(list(link) for link in links)),
            **{f"tarball {name}": tarball.sha256 for name, tarball in tarballs},
        },
        code=code_digest(__name__),
    )
    return Stage(
        subject="+".join(toolchain.name for toolchain in toolchains),
        base=recipe,
        work=partial(_work, wanted, tarballs, links),
        supplies=(*wanted, *(of_tarball(tarball) for _, tarball in tarballs)),
        vouched=not tarballs,
    )


def _work(
    packages: tuple[Wanted, ...],
    tarballs: tuple[tuple[str, Tarball], ...],
    links: tuple[tuple[str, str], ...],
    work: Work,
) -> Outcome:
    wanted = (*packages, *(of_tarball(tarball) for _, tarball in tarballs))
    downloads = fetch(wanted, layout=work.layout, mirrors=mirrors, progress=work.progress, scope=work.scope)
    root = work.folder / ROOT
    build_rootfs(downloads[: len(packages)], links, root, progress=work.progress, scope=work.scope)
    for (name, tarball), archive in zip(tarballs, downloads[len(packages) :], strict=True):
        work.progress(f"unpacking {name}")
        # the root file system's own tar unpacks what is added to it
        unpacked = work.folder / name
        unpack_tarball(work, tarball, root=root, archive=archive, target=unpacked)
        fix_modes(unpacked)
        unpacked.rename(real_folder(root, TARBALLS) / name)
    return Outcome(trees={ROOT: Tree(path=ROOT)}, data={"packages": len(packages)})
