"""The stage `source`: a kernel's source as a read-only folder with fixed times and modes, unpacked or snapshot once."""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Tree, Work
from oolong.errors import BadInput, Infrastructure
from oolong.host import process
from oolong.host.budget import ARCHIVE, MENTIONED, Counted
from oolong.host.files import plain_file, remove_tree
from oolong.host.layout import Layout
from oolong.host.manifest import FOLDER, Entry, check_size, entries_of, names_below, with_folders
from oolong.host.process import Scope
from oolong.host.sandbox import Mount, Sandbox
from oolong.host.statcache import StatCache
from oolong.spec import lock
from oolong.spec.lock import Lock
from oolong.spec.model import DebianSource, DirSource, GitSource, KernelSource, PatchedSource, TarballSource
from oolong.stages.outputs import ROOT, TREE
from oolong.stages.sandboxed import run
from oolong.stages.unpack import unpack, unpack_tarball, verified
from oolong.supply import deb, repository, tree
from oolong.supply.fetch import Wanted, fetch, of_package, of_tarball
from oolong.supply.mirror import mirrors
from oolong.supply.repository import Commit

# no file grows beyond the limit, which the shell counts in blocks; where it cannot be set, a lower one holds
BLOCK = 512
PATCHING = 'ulimit -f {blocks} 2>/dev/null; exec "$@"'
# bytes; the patch between two versions of a kernel has 60 MB
LARGEST_PATCH = 256 << 20
TOUCHED = re.compile(r"^(?:---|\+\+\+) (?:[^/\s]+/)?([^\t\n]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """The stage of a source, and the digests of what a configuration, a guest and the build of the stubs can depend on
    in it."""

    stage: Stage
    configure_digest: str
    guest_digest: str
    stubs_digest: str


def identified(
    kernel: KernelSource,
    *,
    layout: Layout,
    rootfs: Stage,
    verifier: Callable[[], Stage],
    scope: Scope | None = None,
) -> Identified:
    """The source stage of a kernel; for a tree of one's own this reads it, to know what it is now.

    `rootfs` has the tools that unpack and patch, `verifier` makes the stage of one that checks signatures; they have no
    say in what comes out, so no recipe names them. A source is vouched for where a signature was checked: the Debian
    archive's, or that of a tarball.
    """
    match kernel:
        case DirSource():
            return _own_tree(kernel, layout, scope)
        case PatchedSource():
            base = identified(kernel.base, layout=layout, rootfs=rootfs, verifier=verifier, scope=scope)
            return _patched(kernel, base, rootfs)
        case GitSource():
            commit = kernel.ref if kernel.is_pinned else lock.read_source(layout, kernel).commit
            return _git(kernel, Commit(url=kernel.url, commit=commit, ref=kernel.ref))
        case TarballSource():
            return _tarball(kernel, verifier() if kernel.signature else rootfs)
        case DebianSource():
            return _debian(kernel, lock.read_source(layout, kernel), rootfs)


def _debian(kernel: DebianSource, locked: Lock, rootfs: Stage) -> Identified:
    wanted = of_package(locked.packages[0])
    recipe = Recipe(stage="source", inputs={"package": wanted.sha256}, code=code_digest(__name__))
    return _unchanging(
        Stage(
            subject=kernel.name,
            base=recipe,
            inputs=(_tools(rootfs),),
            work=partial(_unpack_debian, wanted),
            supplies=(wanted,),
        )
    )


def _tarball(kernel: TarballSource, rootfs: Stage) -> Identified:
    recipe = Recipe(stage="source", inputs={"tarball": kernel.tarball.sha256}, code=code_digest(__name__))
    signature = kernel.signature
    if signature:
        keys = hashlib.sha256(signature.keyring.read_bytes()).hexdigest()
        recipe = recipe.with_inputs({"signature": signature.file.sha256, "keys": keys})
    supplies = (kernel.tarball, *([signature.file] if signature else []))
    return _unchanging(
        Stage(
            subject=kernel.name,
            base=recipe,
            inputs=(_tools(rootfs),),
            work=partial(_unpack_tarball, kernel),
            supplies=tuple(map(of_tarball, supplies)),
            vouched=signature is not None,
        )
    )


def _git(kernel: GitSource, commit: Commit) -> Identified:
    recipe = Recipe(stage="source", inputs={"commit": commit.commit}, code=code_digest(__name__))
    return _unchanging(
        Stage(subject=kernel.name, base=recipe, work=partial(_check_out, commit), supplies=(commit,), vouched=False)
    )


def _unchanging(stage: Stage) -> Identified:
    """A source that is known as a whole by its recipe, and never half changed."""
    digest = stage.digest
    return Identified(stage=stage, configure_digest=digest, guest_digest=digest, stubs_digest=digest)


def _own_tree(kernel: DirSource, layout: Layout, scope: Scope | None) -> Identified:
    entries = tree.snapshot(kernel.path, StatCache(layout.stat_cache), scope=scope)
    recipe = Recipe(stage="source", inputs={"tree": tree.digest(entries)}, code=code_digest(__name__))
    stage = Stage(subject=kernel.name, base=recipe, work=partial(_link_tree, kernel.path, entries), vouched=False)
    return Identified(
        stage=stage,
        configure_digest=tree.configure_digest(entries),
        guest_digest=tree.guest_digest(entries),
        stubs_digest=tree.stubs_digest(entries),
    )


def _patched(kernel: PatchedSource, base: Identified, rootfs: Stage) -> Identified:
    patches = tuple((path.name, _read(path)) for path in kernel.patches)
    digests = {f"patch{number}": hashlib.sha256(text).hexdigest() for number, (_, text) in enumerate(patches)}
    return _unchanging(
        Stage(
            subject=kernel.name,
            base=Recipe(stage="source", inputs=digests, code=code_digest(__name__)),
            inputs=(Input(role="base", stage=base.stage, output=TREE), _tools(rootfs)),
            work=partial(_apply, patches),
            vouched=False,
        )
    )


def _read(patch: Path) -> bytes:
    with patch.open("rb") as stream:
        text = stream.read(LARGEST_PATCH + 1)
    if len(text) > LARGEST_PATCH:
        raise BadInput(f"has more than {LARGEST_PATCH >> 20} MiB", where=f"patches={patch}", hint="is it a patch?")
    return text


def _tools(rootfs: Stage) -> Input:
    """What unpacks and patches: whatever its version, the same comes out."""
    return Input(role="tools", stage=rootfs, output=ROOT, decides=False)


def _unpack_debian(wanted: Wanted, work: Work) -> Outcome:
    (download,) = fetch((wanted,), layout=work.layout, mirrors=mirrors, progress=work.progress, scope=work.scope)
    work.progress("unpacking")
    opened = work.folder / "package"
    deb.unpack(download, opened, label=wanted.label, scope=work.scope)
    archives = sorted((opened / "usr" / "src").glob("*.tar.*"))
    if len(archives) != 1:
        raise Infrastructure(f"{wanted.label} holds {len(archives)} tarballs, not one kernel")
    plain_file(opened, str(archives[0].relative_to(opened)))
    target = work.folder / TREE
    root = work.path("tools")
    if wrong := unpack(work, root=root, archive=archives[0], target=target, label=wanted.label):
        raise Infrastructure(f"{archives[0].name} does not unpack: {wrong}")
    remove_tree(opened)
    return _settled(work.folder, where=wanted.label)


def _unpack_tarball(kernel: TarballSource, work: Work) -> Outcome:
    signature, tarball = kernel.signature, kernel.tarball
    wanted = [of_tarball(one) for one in (tarball, *([signature.file] if signature else []))]
    archive, *rest = fetch(wanted, layout=work.layout, mirrors=mirrors, progress=work.progress, scope=work.scope)
    root = work.path("tools")
    if signature:
        work.progress("checking the signature")
        archive = verified(work, tarball, signature, root=root, archive=archive, file=rest[0])
    work.progress("unpacking")
    unpack_tarball(work, tarball, root=root, archive=archive, target=work.folder / TREE)
    if signature:
        archive.unlink()
    return _settled(work.folder, where=tarball.url)


def _check_out(commit: Commit, work: Work) -> Outcome:
    ours = repository.bring(commit, layout=work.layout, progress=work.progress, scope=work.scope)
    work.progress("checking out")
    target = work.folder / TREE
    target.mkdir()
    repository.check_out(ours, commit, target, scope=work.scope)
    return _settled(work.folder, where=commit.url)


def _link_tree(path: Path, entries: Sequence[Entry], work: Work) -> Outcome:
    target = work.folder / TREE
    target.mkdir()
    pool = tree.Pool(blobs=work.layout.blobs, known=StatCache(work.layout.stat_cache))
    tree.materialise(path, entries, target, pool, progress=work.progress, scope=work.scope)
    return _finished(with_folders(entries))


def _apply(patches: Sequence[tuple[str, bytes]], work: Work) -> Outcome:
    target = work.folder / TREE
    copying = ["cp", "--archive", "--link", "--", str(work.path("base")), str(target)]
    process.check(process.dying_with_parent(copying), scope=work.scope)
    growth = _Growth(target)
    for patch, text in patches:
        change = work.folder / "change.patch"
        change.write_bytes(text)
        _apply_one(work, target, change, growth, where=f"patches={patch}")
    where = f"patches={patches[-1][0]}"
    growth.count(where)
    return _settled(work.folder, where=where)


class _Growth:
    """How much a tree holds while it is patched: a patch of a few bytes may copy a large file again and again.

    To count the tree takes long: it is done once the disk says that the tree may have grown by as much as it may.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._room = ARCHIVE.size
        self._free = _free(tree)

    def look(self, where: str) -> None:
        """BadInput once the tree holds more than any kernel."""
        if self._free - _free(self._tree) > self._room:
            self.count(where)

    def count(self, where: str) -> None:
        """The same, whatever the disk says; a program may still write to the tree."""
        counted = Counted(ARCHIVE, where=where)
        self._free = _free(self._tree)
        for name in names_below(self._tree):
            with suppress(FileNotFoundError):
                status = os.lstat(self._tree / name)
                counted.add(name, 0 if stat.S_ISDIR(status.st_mode) else status.st_size)
        self._room = ARCHIVE.size - counted.size


def _apply_one(work: Work, target: Path, change: Path, growth: _Growth, *, where: str) -> None:
    text = change.read_bytes().decode("utf-8", "surrogateescape")
    for name in TOUCHED.findall(text):
        _made_own(target, name, where)
    sandbox = Sandbox(
        rootfs=work.path("tools"),
        mounts=(Mount(host=change, inside="/change.patch"), Mount(host=target, inside="/tree", writable=True)),
        chdir="/tree",
    )
    options = ["--strip=1", "--batch", "--forward", "--no-backup-if-mismatch", "--input=/change.patch"]
    argv = ["sh", "-c", PATCHING.format(blocks=tree.LARGEST_FILE // BLOCK), "sh", "patch", *options]

    def watch(_pid: int) -> bool:
        growth.look(where)
        return False

    done = run(work, sandbox, argv, until=watch)
    if not done.ok:
        raise BadInput(f"does not apply: {' / '.join(done.lines[-6:])}", where=where)


def _made_own(target: Path, name: str, where: str) -> None:
    """Make a file that a patch names its own, so that no other tree is changed with it."""
    try:
        if (target / name).resolve().is_relative_to(target.resolve()):
            tree.unlinked(target / name)
    # a name that is too long, has a NUL in it, or leads through a link to itself
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
            raise
        raise BadInput(f"names {name[:MENTIONED]!r}, which no file is called", where=where) from error


def _free(folder: Path) -> int:
    """The free bytes of the file system of a folder."""
    status = os.statvfs(folder)
    return status.f_bfree * status.f_frsize


def _settled(folder: Path, *, where: str) -> Outcome:
    """What was unpacked, with fixed times and modes; BadInput if it is no kernel."""
    target = folder / TREE
    tree.check_kernel(target, where=where)
    check_size(target)
    tree.normalise(target)
    return _finished(entries_of(target))


def _finished(entries: Sequence[Entry]) -> Outcome:
    files = sum(entry.kind != FOLDER for entry in entries)
    return Outcome(trees={TREE: Tree(path=TREE, entries=entries)}, data={"files": files})
