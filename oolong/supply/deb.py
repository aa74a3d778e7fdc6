"""Debian packages, opened by the host's dpkg-deb and tar in a sandbox that sees the package and one empty folder."""

from collections.abc import Callable
from pathlib import Path

from oolong.errors import BadInput, Infrastructure
from oolong.host import bubblewrap, process
from oolong.host.budget import PACKAGE, Counted
from oolong.host.process import Finished, Scope
from oolong.host.sandbox import Mount, system_options

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nowhere", "LC_ALL": "C"}
# no file grows beyond the budget, which the shell counts in blocks
BLOCK = 512
OPENING = "ulimit -f {blocks} && exec dpkg-deb --fsys-tarfile /package > /archive"
# to root, tar would give setuid bits as well, which the sandbox refuses
OPTIONS = ("--extract", "--no-same-owner", "--no-same-permissions", "--numeric-owner", "--verbose", "--verbose")
ROOM = "is there room on the disk?"


def unpack(package: Path, folder: Path, *, label: str, scope: Scope) -> None:
    """Unpack a package into a folder, which is made and into which all links of it lead or nowhere.

    Infrastructure if it is no package, BadInput if it holds more than any package does.
    """
    archive = folder.with_name(f"{folder.name}.tar")
    folder.mkdir(parents=True)
    try:
        _open(package, archive, label, scope)
        _extract(archive, folder, label, scope)
    finally:
        archive.unlink(missing_ok=True)


def _open(package: Path, archive: Path, label: str, scope: Scope) -> None:
    """The tar that a package holds, uncompressed: a few bytes of the package may stand for many of it."""
    archive.touch()
    mounts = (Mount(host=package, inside="/package"), Mount(host=archive, inside="/archive", writable=True))
    done = _run(["sh", "-c", OPENING.format(blocks=PACKAGE.size // BLOCK)], mounts, scope)
    if archive.stat().st_size >= PACKAGE.size:
        raise BadInput(f"unpacks to more than {PACKAGE.size >> 20} MiB", where=label, hint="do not use it")
    if not done.ok:
        raise Infrastructure(f"dpkg-deb does not open {label}: {_said(done)}", hint=f"is it a package? {ROOM}")


def _extract(archive: Path, folder: Path, label: str, scope: Scope) -> None:
    counted = Counted(PACKAGE, where=label)

    def hear(chunk: bytes) -> None:
        for line in counted.lines(chunk, end=b"\n"):
            counted.listed(line)

    mounts = (Mount(host=archive, inside="/archive"), Mount(host=folder, inside="/folder", writable=True))
    done = _run(["tar", *OPTIONS, "--file=/archive", "--directory=/folder"], mounts, scope, hear)
    if not done.ok:
        raise Infrastructure(f"tar does not unpack {label}: {_said(done)}", hint=ROOM)


def _run(
    words: list[str], mounts: tuple[Mount, ...], scope: Scope, hear: Callable[[bytes], None] | None = None
) -> Finished:
    options = system_options(mounts=mounts, env=ENVIRONMENT)
    with bubblewrap.ready(options, words) as start:
        return process.run(start.argv, scope=scope, env=start.env, pass_fds=start.descriptors, on_output=hear)


def _said(done: Finished) -> str:
    return done.output[-600:].decode(errors="replace").strip() or f"it ended with {done.returncode}"
