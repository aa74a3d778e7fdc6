"""One archive with everything that a set of cells needs from outside, to run from it without a network.

A plain tar, since what is in it is compressed already: `downloads/SHA256` (packages and archives), `git/COMMIT.pack`,
`wheels/` (the Python packages of requirements.lock) and `oolong/` (the checkout itself). What is taken out is verified
like what comes from a mirror; nothing of it is unpacked anywhere by the names that it gives.
"""

import shutil
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn
from uuid import uuid4

from oolong.errors import BadInput
from oolong.host.process import Scope
from oolong.host.progress import Progress

ANEW = "copy it again"
WHOLE = "is it whole? ./doit bundle FILE makes one"
# a bundle of all sets has a thousand
MOST_MEMBERS = 100_000
# headers that are read into memory whole; the bytes that one of them may have, and all of them
IN_MEMORY = frozenset(
    (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
)
LONGEST_HEADER, MOST_HEADERS = 8 << 10, 4 << 20
# the first bytes of gzip, bzip2, xz, zstd: a few of them may stand for gigabytes
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
PLAIN: Final = "r:"
# what tarfile raises of an archive that is none, made to hurt: numbers that are none, headers of headers of headers
UNREADABLE = (OSError, tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError)


def download_name(sha256: str) -> str:
    return f"downloads/{sha256}"


def pack_name(commit: str) -> str:
    return f"git/{commit}.pack"


def write(target: Path, members: Mapping[str, Path], *, progress: Progress, scope: Scope) -> None:
    """Make the archive of files by their names in it, whole or not at all; nothing of the host but bytes is in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        with tarfile.open(beside, "w", format=tarfile.PAX_FORMAT) as archive:
            for number, (name, path) in enumerate(sorted(members.items())):
                scope.check()
                progress("files", number, len(members))
                archive.add(path, name, recursive=False, filter=_without_host)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def extract(bundle: Path, name: str, target: Path, *, label: str, most: int) -> None:
    """Copy one file of a bundle to `target`, whole or not at all; the caller verifies.

    BadInput if the bundle cannot be read, lacks it, or says that it has more than `most` bytes.
    """
    member = _members(bundle).get(name)
    where = f"bundle={bundle}"
    if member is None:
        hint = "it was made for another set, or by other locks"
        raise BadInput(f"the bundle lacks {label}", where=where, hint=hint)
    if member.size > most:
        raise BadInput(f"{label} in the bundle has {member.size} bytes, not {most} at most", where=where, hint=ANEW)
    try:
        with tarfile.open(bundle, PLAIN, tarinfo=_Member) as archive:
            stream = archive.extractfile(member)
            assert stream, "_members lists plain files only"
            with stream, target.open("wb") as sink:
                shutil.copyfileobj(stream, sink, 1 << 20)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, UNREADABLE[1:]):
            raise damaged(bundle, label) from error
        raise


def check(bundle: Path) -> None:
    """BadInput if the file is no bundle."""
    if not any(name.startswith("downloads/") for name in _members(bundle)):
        raise BadInput("no bundle: it has no downloads/", where=f"bundle={bundle}", hint="./doit bundle FILE makes one")


def damaged(bundle: Path, label: str) -> BadInput:
    return BadInput(f"{label} in the bundle is not what was locked", where=f"bundle={bundle}", hint=ANEW)


@lru_cache(maxsize=2)
def _members(bundle: Path) -> Mapping[str, tarfile.TarInfo]:
    try:
        with bundle.open("rb") as stream:
            start = stream.read(max(map(len, COMPRESSED)))
        if start.startswith(COMPRESSED):
            hint = "decompress it: ./doit bundle FILE writes a plain tar"
            raise BadInput("the bundle is compressed", where=f"bundle={bundle}", hint=hint)
        with tarfile.open(bundle, PLAIN, tarinfo=_Member) as archive:
            members = {}
            headers = 0
            for number, member in enumerate(archive):
                if number >= MOST_MEMBERS:
                    raise tarfile.ReadError(f"it has more than {MOST_MEMBERS} files")
                headers += member.offset_data - member.offset - tarfile.BLOCKSIZE
                if headers > MOST_HEADERS:
                    raise tarfile.ReadError(f"the headers of its files have more than {MOST_HEADERS >> 20} MiB")
                if member.isreg():
                    members[member.name] = member
            return members
    except UNREADABLE as error:
        raise BadInput(f"cannot be read: {error}", where=f"bundle={bundle}", hint=WHOLE) from error


class _Member(tarfile.TarInfo):
    """A member whose headers are small enough to be read into memory, and which is what it seems: no sparse file, a few
    bytes of which stand for as many zeros as its header likes."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        member = super().frombuf(buf, encoding, errors)
        if member.type == tarfile.XGLTYPE:
            # it would be copied into each member
            raise tarfile.ReadError("a header for all of its files")
        if member.size < 0 or (member.type in IN_MEMORY and member.size > LONGEST_HEADER):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member

    def _refuse(self, *_: object) -> NoReturn:
        raise tarfile.ReadError(f"{self.name} is a sparse file, or describes one")

    # of four kinds; the map of some stands before the data, and may go on without end
    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse


def _without_host(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member
