"""The stage `rootfs`: locked packages → verified downloads → a folder with the tools of a sandbox."""

from collections.abc import Sequence
from functools import partial

from oolong.codeversion import code_digest
from oolong.digest import digest_of
from oolong.files import write_json
from oolong.lock import Lock, merge
from oolong.model import Package, Toolchain
from oolong.stage import Outcome, Recipe, Stage, Work
from oolong.supply.fetch import fetch
from oolong.supply.mirror import mirrors
from oolong.supply.rootfs import build_rootfs, manifest

ROOT = "root"


def stage(toolchains: Sequence[Toolchain], locks: Sequence[Lock]) -> Stage:
    """The root file system that holds several toolchains, such as kbuild and a cross compiler."""
    packages = merge(locks)
    links = tuple(link for toolchain in toolchains for link in toolchain.links)
    recipe = Recipe(
        stage="rootfs",
        inputs={
            "packages": digest_of([[package.name, package.version, package.sha256] for package in packages]),
            "links": digest_of(sorted(list(link) for link in links)),
        },
        code=code_digest(("oolong.supply.rootfs",), follow=False),
    )
    return Stage(
        subject="+".join(toolchain.name for toolchain in toolchains),
        recipe=recipe,
        work=partial(_work, packages, links),
    )


def _work(packages: tuple[Package, ...], links: tuple[tuple[str, str], ...], work: Work) -> Outcome:
    downloads = fetch(packages, layout=work.layout, mirrors=mirrors, progress=work.progress)
    root = work.folder / ROOT
    build_rootfs(downloads, links, root, progress=work.progress)
    write_json(work.folder / "manifest.json", manifest(root))
    return Outcome(artifacts={"manifest": "manifest.json"}, data={"packages": len(packages)})
