"""The stage `source`: a kernel's source as a read-only folder with fixed times and modes, unpacked or snapshot once."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oolong import lock, proc
from oolong.codeversion import code_digest
from oolong.errors import BadInput, Infrastructure
from oolong.files import remove_tree
from oolong.layout import Layout
from oolong.lock import Lock
from oolong.model import DebianSource, DirSource, KernelSource, Package, PatchedSource
from oolong.sandbox import Mount, Sandbox
from oolong.stage import Outcome, Recipe, Stage, Work
from oolong.stages.inside import run
from oolong.supply import tree
from oolong.supply.fetch import fetch
from oolong.supply.mirror import mirrors
from oolong.supply.statcache import StatCache

TREE = "tree"
TOUCHED = re.compile(r"^(?:---|\+\+\+) (?:[^/\s]+/)?([^\t\n]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """The stage of a source, and the digests of what a configuration and a guest can depend on in it."""

    stage: Stage
    configure_digest: str
    guest_digest: str


def identified(kernel: KernelSource, *, layout: Layout, rootfs: Stage) -> Identified:
    """The source stage of a kernel; for a tree of one's own this reads it, to know what it is now.

    `rootfs` has the tools that unpack and patch; they have no say in what comes out, so no recipe names it.
    """
    if isinstance(kernel, DirSource):
        return _own_tree(kernel, layout)
    if isinstance(kernel, PatchedSource):
        return _patched(kernel, identified(kernel.base, layout=layout, rootfs=rootfs), rootfs)
    return _debian(kernel, lock.read_source(layout, kernel), rootfs)


def _debian(kernel: DebianSource, locked: Lock, rootfs: Stage) -> Identified:
    (package,) = locked.packages
    recipe = Recipe(stage="source", inputs={"package": package.sha256}, code=_code())
    stage = Stage(subject=kernel.name, recipe=recipe, needs=(rootfs,), work=partial(_unpack_debian, package))
    return Identified(stage=stage, configure_digest=recipe.digest, guest_digest=recipe.digest)


def _own_tree(kernel: DirSource, layout: Layout) -> Identified:
    entries = tree.snapshot(kernel.path, StatCache(layout.stat_cache))
    recipe = Recipe(stage="source", inputs={"tree": tree.digest(entries)}, code=_code())
    stage = Stage(subject=kernel.name, recipe=recipe, work=partial(_link_tree, kernel.path, entries))
    return Identified(
        stage=stage,
        configure_digest=tree.configure_digest(entries),
        guest_digest=tree.guest_digest(entries),
    )


def _patched(kernel: PatchedSource, base: Identified, rootfs: Stage) -> Identified:
    patches = tuple((path.name, path.read_bytes()) for path in kernel.patches)
    digests = {f"patch{number}": hashlib.sha256(text).hexdigest() for number, (_, text) in enumerate(patches)}
    recipe = Recipe(stage="source", inputs={"base": base.stage.recipe.digest, **digests}, code=_code())
    stage = Stage(
        subject=kernel.name,
        recipe=recipe,
        needs=(base.stage, rootfs),
        work=partial(_apply, base.stage.task, patches),
    )
    return Identified(stage=stage, configure_digest=recipe.digest, guest_digest=recipe.digest)


def _code() -> str:
    return code_digest(("oolong.supply.tree",), follow=False)


def _unpack_debian(package: Package, work: Work) -> Outcome:
    (download,) = fetch((package,), layout=work.layout, mirrors=mirrors, progress=work.progress)
    work.progress("unpacking")
    opened = work.folder / "package"
    proc.check(proc.dying_with_parent(["dpkg-deb", "--extract", str(download), str(opened)]))
    archives = sorted((opened / "usr" / "src").glob("*.tar.*"))
    if len(archives) != 1:
        raise Infrastructure(f"{package.name} {package.version} holds {len(archives)} tarballs, not one kernel")
    target = work.folder / TREE
    target.mkdir()
    sandbox = Sandbox(
        rootfs=work.need("rootfs").folder / "root",
        mounts=(
            Mount(host=archives[0].parent, inside="/package"),
            Mount(host=target, inside="/tree", writable=True),
        ),
        env={"XZ_DEFAULTS": "--threads=0"},
    )
    options = ["--extract", "--no-same-owner", "--no-same-permissions", "--strip-components=1"]
    done = run(work, sandbox, ["tar", *options, f"--file=/package/{archives[0].name}", "--directory=/tree"])
    if not done.ok:
        raise Infrastructure(f"{archives[0].name} does not unpack: {' '.join(done.lines[-3:])}")
    remove_tree(opened)
    tree.normalise(target)
    return _finished(work.folder, tree.manifest_of(target))


def _link_tree(path: Path, entries: Sequence[tree.Entry], work: Work) -> Outcome:
    target = work.folder / TREE
    target.mkdir()
    tree.materialise(path, entries, target, work.layout.blobs, progress=work.progress)
    return _finished(work.folder, entries)


def _apply(base: str, patches: Sequence[tuple[str, bytes]], work: Work) -> Outcome:
    target = work.folder / TREE
    origin = work.needs[base].folder / TREE
    proc.check(proc.dying_with_parent(["cp", "--archive", "--link", "--", str(origin), str(target)]))
    for patch, text in patches:
        change = work.folder / "change.patch"
        change.write_bytes(text)
        for name in TOUCHED.findall(text.decode("utf-8", "surrogateescape")):
            if (target / name).resolve().is_relative_to(target.resolve()):
                tree.unlinked(target / name)
        sandbox = Sandbox(
            rootfs=work.need("rootfs").folder / "root",
            mounts=(Mount(host=change, inside="/change.patch"), Mount(host=target, inside="/tree", writable=True)),
            chdir="/tree",
        )
        options = ["--strip=1", "--batch", "--forward", "--no-backup-if-mismatch", "--input=/change.patch"]
        done = run(work, sandbox, ["patch", *options])
        if not done.ok:
            raise BadInput(f"does not apply: {' / '.join(done.lines[-6:])}", where=f"patches={patch}")
    tree.normalise(target)
    return _finished(work.folder, tree.manifest_of(target))


def _finished(folder: Path, entries: Sequence[tree.Entry]) -> Outcome:
    (folder / "content").write_text(tree.text_of(entries), encoding="utf-8", errors="surrogateescape")
    return Outcome(artifacts={"content": "content"}, data={"files": len(entries), "tree": tree.digest(entries)})
