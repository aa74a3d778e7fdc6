"""Kernel trees as lists of files with their digests, and such lists as folders with fixed times and modes.

A tree of one's own is never written to. Its files are read once into a pool of blobs and hard-linked from there,
so that a snapshot after a one-line edit costs links, not gigabytes.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from uuid import uuid4

from oolong.errors import BadInput
from oolong.host.budget import ARCHIVE, Counted
from oolong.host.digest import digest_of, file_sha256
from oolong.host.manifest import FILE, LINK, PROGRAM, Entry
from oolong.host.parallel import in_threads
from oolong.host.process import Scope
from oolong.host.progress import Progress
from oolong.host.statcache import KnownDigests, StatCache
from oolong.supply import checkout

MODES = {FILE: 0o644, PROGRAM: 0o755}
FOLDER_MODE = 0o755
# make takes a file of the epoch for one that is not there; this is 2000-01-01
FIXED_TIME = 946684800
# bytes; the largest file of a kernel has 23 MB, and a file of holes would be hashed for ever
LARGEST_FILE = 1 << 30
NO_PART_OF_IT = "move what is no part of the kernel out of the tree, or have git ignore it"
BUILD_OUTPUT = (".config", "vmlinux.o", "include/config/auto.conf", "include/generated/autoconf.h")
MARKS_OF_A_KERNEL = ("Makefile", "Kconfig", "arch/powerpc/Kconfig")
# what Kconfig and the scripts that it starts have no eye for
NOT_FOR_KCONFIG = frozenset(
    (".c", ".h", ".S", ".rs", ".rst", ".txt", ".dts", ".dtsi", ".json", ".yaml", ".svg", ".inc", ".tbl", ".lds")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The contents of files by their digests, in the folder `blobs`, and what is known of the files there."""

    blobs: Path
    known: StatCache


def snapshot(tree: Path, stats: StatCache, *, scope: Scope | None = None) -> tuple[Entry, ...]:
    """Every file of a kernel tree as it stands now, in order of the paths.

    A git checkout gives what it tracks and what it does not ignore; a plain tree gives all, and must not have been
    built in. BadInput if it is no kernel tree, cannot be read, or holds more than any kernel.
    """
    scope = scope or Scope()
    check_kernel(tree, where=f"kernel={tree}")
    if checkout.is_git(tree, scope=scope):
        names = checkout.files(tree, scope=scope)
    else:
        for output in BUILD_OUTPUT:
            if (tree / output).exists():
                raise BadInput(
                    f"built in ({output} is there) and not a git checkout, so sources and output cannot be told apart",
                    where=f"kernel={tree}",
                    hint="`make mrproper` there, or copy the tree without its output",
                )
        names = list(_plain_files(tree))
    for name in names:
        check_inside(name, where=f"kernel={tree}")
    there = _reached_through_folders(tree, sorted(set(names)))
    looked = in_threads(lambda name: _looked_at(tree, name), there)
    found = [(name, status) for name, status in zip(there, looked, strict=True) if status]
    counted = Counted(ARCHIVE, where=f"kernel={tree}", hint=NO_PART_OF_IT)
    for name, status in found:
        counted.add(name, status.st_size)

    def entry(one: tuple[str, os.stat_result]) -> Entry:
        scope.check()
        return _entry(tree, *one, known)

    with stats.of(tree) as known:
        return tuple(in_threads(entry, found))


def check_inside(name: str, *, where: str) -> None:
    """BadInput for a name that is absolute or has an empty, `.` or `..` part: git does not refuse such a name in an
    index that was made by hand."""
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise BadInput(
            f"the name {name!r} leads out of the tree or is not a plain path",
            where=where,
            hint="the git index of this tree was not written by git: do not trust the tree",
        )


def check_kernel(tree: Path, *, where: str) -> None:
    """BadInput if a folder holds no kernel with a powerpc architecture."""
    for mark in MARKS_OF_A_KERNEL:
        if not (tree / mark).is_file():
            raise BadInput(f"no kernel tree: it has no {mark}", where=where)


def digest(entries: Iterable[Entry]) -> str:
    """One digest for a whole tree."""
    return digest_of([[entry.path, entry.kind, entry.content] for entry in entries])


def configure_digest(entries: Iterable[Entry]) -> str:
    """One digest for the part of a tree that can change a configuration."""
    return digest(entry for entry in entries if _matters_to_kconfig(entry.path))


def guest_digest(entries: Iterable[Entry]) -> str:
    """One digest for the part of a tree that a guest program is built from: headers for users, nolibc, Kbuild."""
    return digest(entry for entry in entries if _matters_to_guest(entry.path))


def stubs_digest(entries: Iterable[Entry]) -> str:
    """One digest for the part of a tree that decides how stubs are built: what Kconfig sees, powerpc's own, headers."""
    return digest(entry for entry in entries if _matters_to_stubs(entry.path))


def materialise(
    tree: Path, entries: Sequence[Entry], target: Path, pool: Pool, *, progress: Progress, scope: Scope
) -> None:
    """Make `target` hold the entries, with contents from the pool; what the pool lacks, or holds damaged, is copied
    from `tree` first.

    BadInput if a file of the tree is no longer what the entry says, or if an entry's name leads out of the tree.
    """
    for entry in entries:
        check_inside(entry.path, where=str(tree))
    folders = {parent for entry in entries for parent in PurePosixPath(entry.path).parents}
    for folder in sorted(folders):
        (target / folder).mkdir(mode=FOLDER_MODE, exist_ok=True)
    pooled: dict[str, str] = {}
    with pool.known.of(pool.blobs) as known:
        for number, entry in enumerate(entries):
            place = target / entry.path
            if entry.kind == LINK:
                place.symlink_to(entry.content)
                continue
            name = f"{entry.content[:2]}/{entry.content}.{entry.kind}"
            blob = pool.blobs / name
            if name not in pooled and not _holds(blob, name, entry.content, known):
                _add_blob(tree / entry.path, entry, blob)
            pooled[name] = entry.content
            _link_or_copy(blob, place)
            if number % 1000 == 0:
                scope.check()
                progress("files", number, len(entries))
    # a link more is a change of the inode: without a note all would be read again for the next tree
    pool.known.remember(pool.blobs, pooled)
    fix_times(target, folders_only=True)


def normalise(folder: Path) -> None:
    """Give an unpacked tree fixed modes and times."""
    for top, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(top, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                os.chmod(path, MODES[PROGRAM if mode & 0o111 else FILE])
            elif stat.S_ISDIR(mode):
                os.chmod(path, FOLDER_MODE)
            elif not stat.S_ISLNK(mode):
                os.unlink(path)  # noqa: PTH108
    fix_times(folder)


def fix_times(folder: Path, *, folders_only: bool = False) -> None:
    """One time for everything below a folder, and for itself."""
    for top, folders, files in os.walk(folder, topdown=False):
        for name in folders if folders_only else [*folders, *files]:
            os.utime(os.path.join(top, name), (FIXED_TIME, FIXED_TIME), follow_symlinks=False)
    os.utime(folder, (FIXED_TIME, FIXED_TIME))


def unlinked(path: Path) -> None:
    """Make a file its own, so that writing to it reaches no other name of it."""
    if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
        beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
        shutil.copy2(path, beside)
        beside.replace(path)


def _holds(blob: Path, name: str, sha256: str, known: KnownDigests) -> bool:
    """Whether a blob is there and whole: a loss of power may have left an empty file of its name."""
    try:
        status = os.lstat(blob)
    except FileNotFoundError:
        return False
    return known.sha256(blob, name, status) == sha256


def _link_or_copy(blob: Path, place: Path) -> None:
    try:
        os.link(blob, place)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.EXDEV):
            raise
        shutil.copy2(blob, place)


def _add_blob(path: Path, entry: Entry, blob: Path) -> None:
    blob.parent.mkdir(parents=True, exist_ok=True)
    beside = blob.with_name(f"{blob.name}.{uuid4().hex[:8]}")
    try:
        shutil.copyfile(path, beside)
        if file_sha256(beside) != entry.content:
            raise BadInput(f"{entry.path} changed while it was read", where=str(path), hint="start again")
        beside.chmod(MODES[entry.kind])
        os.utime(beside, (FIXED_TIME, FIXED_TIME))
        beside.replace(blob)
    finally:
        beside.unlink(missing_ok=True)


def _reached_through_folders(tree: Path, names: Iterable[str]) -> list[str]:
    """Names less those below a link on the disk, whether git tracks the link or ignores it: what git tracks below a
    folder that is a link now is gone, and the link may lead out of the tree."""

    @cache
    def is_link(folder: str) -> bool:
        return os.path.islink(tree / folder)

    @cache
    def is_reached(folder: str) -> bool:
        return not folder or not any(map(is_link, accumulate(folder.split("/"), "{}/{}".format)))

    return [name for name in names if is_reached(name.rpartition("/")[0])]


def _looked_at(tree: Path, name: str) -> os.stat_result | None:
    """What a name of a tree is; None for what is gone or is no file (a submodule's folder, a socket)."""
    path = os.path.join(tree, name)
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    if stat.S_ISREG(status.st_mode) and status.st_size > LARGEST_FILE:
        what = f"has {status.st_size} bytes: no file of a kernel has more than {LARGEST_FILE >> 20} MiB"
        raise BadInput(what, where=path, hint="move it out of the tree")
    return status if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode) else None


def _entry(tree: Path, name: str, status: os.stat_result, known: KnownDigests) -> Entry:
    path = os.path.join(tree, name)
    try:
        if stat.S_ISLNK(status.st_mode):
            return Entry(path=name, kind=LINK, content=os.readlink(path))
        kind = PROGRAM if status.st_mode & 0o100 else FILE
        return Entry(path=name, kind=kind, content=known.sha256(path, name, status))
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> BadInput:
    return BadInput(f"cannot be read: {error.strerror}", where=path)


def _plain_files(tree: Path) -> Iterator[str]:
    for top, folders, files in os.walk(tree):
        links = [name for name in folders if os.path.islink(os.path.join(top, name))]
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*files, *links]:
            if name != ".git":
                yield os.path.relpath(os.path.join(top, name), tree)


def _matters_to_guest(path: str) -> bool:
    if path.startswith(("tools/include/nolibc/", "usr/", "scripts/")) or "/uapi/" in path:
        return True
    return path.rpartition("/")[2].startswith(("Makefile", "Kbuild", "Kconfig")) or "/syscalls/" in path


def _matters_to_stubs(path: str) -> bool:
    return path.startswith(("arch/powerpc/", "include/", "lib/vdso/", "tools/")) or _matters_to_kconfig(path)


def _matters_to_kconfig(path: str) -> bool:
    if path.rpartition("/")[2].startswith("Kconfig"):
        return True
    top = path.split("/", 1)[0]
    if top in ("Documentation", "tools", "samples", "LICENSES"):
        return False
    return top == "scripts" or PurePosixPath(path).suffix not in NOT_FOR_KCONFIG
