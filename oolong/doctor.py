"""What a machine needs to run oolong, looked at one by one: each found or not, and how to get it."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oolong.errors import OolongError
from oolong.host import bubblewrap
from oolong.host.cputime import is_counted
from oolong.host.filelock import locks_are_local
from oolong.host.layout import Layout
from oolong.host.seccomp import filter_for
from oolong.supply.apt import KEYRING
from oolong.supply.mirror import mirrors

GOOD, LACKS, NOTE = "ok", "lacks", "note"
OLDEST_PYTHON = (3, 11)
# program -> the Debian package that has it
PROGRAMS = {
    "bwrap": "bubblewrap",
    "git": "git",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "setpriv": "util-linux",
}
# a cache with all toolchains, sources and the cells of the set smoke
ROOM_GIB = 12
LEAST_MEMORY_GIB = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: `status` is ok, lacks (oolong cannot work like this) or note (it can, less well);
    `hint` says how to mend it."""

    name: str
    status: str
    found: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(layout: Layout) -> tuple[Finding, ...]:
    """Look at everything; nothing is changed but for the cache's folder, which is made."""
    return tuple(_findings(layout))


def _findings(layout: Layout) -> Iterator[Finding]:
    python = platform.python_version()
    yield _either("python", sys.version_info >= OLDEST_PYTHON, python, hint="install Python 3.11 or newer")
    for program, package in PROGRAMS.items():
        path = shutil.which(program)
        yield _either(program, path is not None, path or "not on PATH", hint=f"apt-get install {package}")
    keyring = "apt-get install debian-archive-keyring"
    yield _either("keyring", KEYRING.exists(), str(KEYRING), hint=f"{keyring}; needed by ./doit lock")
    sandbox = _sandbox()
    yield sandbox
    if sandbox.status == GOOD:
        yield from _walls()
    yield _writable("cache", layout.cache, room=ROOM_GIB)
    yield _writable("build", layout.build, room=1)
    yield _mirrors(layout)
    yield _memory()
    if not is_counted():
        yield Finding(
            name="cputime",
            status=NOTE,
            found="this kernel does not tell how long a program waits for a CPU (schedstat, children in /proc)",
            hint="a machine under load may take a slow boot for a hang",
        )
    yield Finding(name="cpus", status=GOOD, found=str(os.cpu_count()))


def _sandbox() -> Finding:
    """Whether bubblewrap may make namespaces for an ordinary user."""
    good, said = bubblewrap.tried(bubblewrap.Walls())
    return _either(
        "sandbox",
        good,
        said or "namespaces are allowed",
        hint="install bubblewrap, and allow unprivileged user namespaces: docs/security.md",
    )


def _walls() -> Iterator[Finding]:
    """What a sandbox has besides its namespaces; without them it works, and holds less."""
    walls = bubblewrap.this_hosts()
    machine = platform.machine()
    yield _wall(
        "process-1",
        walls.process_one_hidden,
        "the memory of a sandbox's first process cannot be read or written inside",
        hint="bubblewrap puts an empty folder over /proc/1: docs/security.md",
    )
    yield _wall(
        "nesting",
        walls.nesting_refused,
        "no user namespace can be made in a sandbox",
        hint="bubblewrap 0.8 or newer can refuse them: docs/security.md",
    )
    yield _wall(
        "seccomp",
        walls.system_calls is not None,
        "the system calls of a sandbox are filtered",
        hint="the kernel needs CONFIG_SECCOMP_FILTER" if filter_for(machine) else f"no filter is known for {machine}",
    )


def _wall(name: str, holds: bool, what: str, *, hint: str) -> Finding:
    if holds:
        return Finding(name=name, status=GOOD, found=what)
    return Finding(name=name, status=NOTE, found=f"not on this host: {what}", hint=hint)


def _writable(name: str, folder: Path, *, room: int) -> Finding:
    probe = folder / ".doctor"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        hint = "set OOLONG_CACHE to a folder that you may write" if name == "cache" else "make the checkout yours"
        return Finding(name=name, status=LACKS, found=f"{folder}: {error.strerror}", hint=hint)
    if kind := locks_are_local(folder):
        found = f"{folder}: locks of this {kind} hold on one machine alone"
        return Finding(name=name, status=NOTE, found=found, hint="use it from one machine, or mount it with locks")
    free = shutil.disk_usage(folder).free / (1 << 30)
    found = f"{folder}, {free:.0f} GiB free"
    if free < room:
        return Finding(name=name, status=NOTE, found=found, hint=f"a cold run needs about {room} GiB: make room")
    return Finding(name=name, status=GOOD, found=found)


def _mirrors(layout: Layout) -> Finding:
    if layout.bundle:
        return Finding(name="mirrors", status=GOOD, found=f"none needed: bundle={layout.bundle}")
    try:
        return Finding(name="mirrors", status=GOOD, found=" ".join(mirrors()))
    except OolongError as error:
        return Finding(name="mirrors", status=LACKS, found=error.what, hint=error.hint)


def _memory() -> Finding:
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    found = f"{gib:.0f} GiB"
    if gib < LEAST_MEMORY_GIB:
        return Finding(name="memory", status=NOTE, found=found, hint="links may be killed for want of memory: jobs=1")
    return Finding(name="memory", status=GOOD, found=found)


def _either(name: str, good: bool, found: str, *, hint: str) -> Finding:
    return Finding(name=name, status=GOOD if good else LACKS, found=found, hint="" if good else hint)
