"""Files written whole or not at all, folders removed whatever is in them, and files that untrusted code left."""

import ctypes
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from oolong.errors import BadOutput
from oolong.host import process

# setuid, setgid, sticky, and for others to write
RIGHTS = 0o7022
# of a text that a build left: the largest of a kernel's own have a few MiB
LARGEST_TEXT = 64 << 20


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside, then os.replace: readers see the old bytes or the new ones, never a part.

    A device or a pipe is written to as it is: root would put a plain file in the place of /dev/null.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Indented, sorted JSON, written atomically."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, also where parts of it are read-only, or lie deeper than any path is long; a link
    in its place is not followed. Nothing if it is not there."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
        return
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        # what a build made on purpose: rm goes down without recursion and without long names
        place = str(folder)
        process.run(process.dying_with_parent(["chmod", "--recursive", "--silent", "u+rwX", "--", place]))
        process.check(process.dying_with_parent(["rm", "--recursive", "--force", "--", place]))


def without_rights(folder: Path) -> None:
    """Take from all in a folder of ours, and from itself, the mode bits by which a file runs as its owner, and by which
    others may write to it."""
    _without_rights(os.fspath(folder))
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _without_rights(os.path.join(top, name))


def _without_rights(path: str) -> None:
    mode = os.lstat(path).st_mode
    if mode & RIGHTS and not stat.S_ISLNK(mode):
        os.chmod(path, stat.S_IMODE(mode) & ~RIGHTS)


def private_folder(folder: Path) -> None:
    """Make a folder that nobody else can look into; one that is there stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def real_folder(root: Path, relative: str) -> Path:
    """A folder below `root`, made with those around it; BadOutput where one of them is a link or a file."""
    place = root
    for part in Path(relative).parts:
        place = place / part
        if not os.path.lexists(place):
            place.mkdir()
        if place.is_symlink() or not place.is_dir():
            raise BadOutput(f"{place.relative_to(root)} is no folder")
    return place


def is_below_links(root: Path, relative: str) -> bool:
    """Whether one of the folders on the way to something below `root` is a link."""
    parts = Path(relative).parts
    return any(root.joinpath(*parts[:count]).is_symlink() for count in range(1, len(parts)))


def plain_file(folder: Path, relative: str) -> Path:
    """A file that untrusted code may have made below `folder`, if it is one; BadOutput for a link, a pipe, or nothing.

    Whoever reads or writes what a build left must ask here: a link would lead out of the sandbox after all.
    """
    path = folder / relative
    if path.resolve() != folder.resolve() / relative or not path.is_file():
        raise BadOutput(f"the build left no plain file {relative}")
    return path


def plain_folder(folder: Path, relative: str) -> Path:
    """The same for a folder."""
    path = folder / relative
    if path.resolve() != folder.resolve() / relative or not path.is_dir():
        raise BadOutput(f"the build left no plain folder {relative}")
    return path


def read_plain(folder: Path, name: str, *, most: int) -> bytes:
    """The bytes of a plain file right in a folder that a program may still write to; BadOutput for anything else, and
    for more than `most` bytes.

    It is looked at after it is opened, so that what is put in its place meanwhile is not read.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadOutput(f"no plain file {name} can be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadOutput(f"{name} is no plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise BadOutput(f"{name} has more than {most} bytes")
    return content


def text_of(folder: Path, relative: str, *, most: int = LARGEST_TEXT) -> str:
    """The text of a file that untrusted code may have made below a folder, whatever bytes it holds; a return is no end
    of a line. BadOutput for what `plain_file` refuses, and for more than `most` bytes."""
    path = plain_file(folder, relative)
    return read_plain(path.parent, path.name, most=most).decode(errors="replace")


def linked_tree(source: Path, target: Path) -> None:
    """Fill an existing folder with hard links to all files of another, and copies of its links."""
    shutil.copytree(source, target, symlinks=True, copy_function=os.link, dirs_exist_ok=True)


def sync_system(folder: Path) -> None:
    """Write the file system of a folder to its disk: one call, where an fsync of each file would take minutes.

    Source: syncfs(2), which Python's os does not have.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to its disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
