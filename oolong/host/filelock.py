"""Advisory locks on files, which say who holds them while others wait."""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from oolong.printable import printable

MOUNTS = Path("/proc/self/mountinfo")
# file systems whose locks other machines do not see, and the options that make it so where it is a matter of options
LOCAL_LOCKS: Mapping[str, frozenset[str]] = {
    "nfs": frozenset(("nolock", "local_lock=flock", "local_lock=all")),
    "nfs4": frozenset(("nolock", "local_lock=flock", "local_lock=all")),
    "cifs": frozenset(("nobrl",)),
    "smb3": frozenset(("nobrl",)),
    "9p": frozenset(),
    "fuse.sshfs": frozenset(),
    "vboxsf": frozenset(),
}
# between two looks at a lock that another process holds
LOOK_SECONDS = 0.1


@contextmanager
def held(path: Path, *, waiting: Callable[[str], None], check: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock at `path`; if another process has it, call `waiting(holder)` once and wait. With `check` the wait
    can be ended: it is called now and then, and raises.

    The kernel drops the lock with the process, however it dies; the file stays, since removing it would let two
    processes hold two locks of one name.
    """
    descriptor = _opened(path)
    try:
        _lock(descriptor, fcntl.LOCK_EX, waiting, check)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} (./doit {' '.join(sys.argv[1:])}".rstrip().encode() + b")", 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock at `path` if nobody does; says whether it is held now."""
    descriptor = _opened(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


@contextmanager
def shared(path: Path, *, waiting: Callable[[str], None], check: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock at `path` together with others who only read; whoever wants it alone waits. The wait for a process
    that holds it alone is that of `held`."""
    descriptor = _opened(path)
    try:
        _lock(descriptor, fcntl.LOCK_SH, waiting, check)
        yield
    finally:
        os.close(descriptor)


def locks_are_local(folder: Path, mounts: str | None = None) -> str | None:
    """The kind of a file system of several machines on which a lock holds on one of them alone; None for all others.

    `mounts` is a mountinfo (proc_pid_mountinfo(5)): this process's, unless given.
    """
    text = MOUNTS.read_text(errors="replace") if mounts is None else mounts
    device = os.stat(folder).st_dev
    for line in text.split("\n"):
        left, _, right = line.partition(" - ")
        if left.split()[2:3] == [f"{os.major(device)}:{os.minor(device)}"]:
            kind, _, options = right.split()[:3]
            needed = LOCAL_LOCKS.get(kind)
            if needed is not None and (not needed or needed & set(options.split(","))):
                return kind
    return None


def _lock(descriptor: int, how: int, waiting: Callable[[str], None], check: Callable[[], None] | None) -> None:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        return
    # another user may have written it
    waiting(printable(os.pread(descriptor, 1000, 0).decode(errors="replace")) or "another process")
    if not check:
        fcntl.flock(descriptor, how)
        return
    while True:
        check()
        time.sleep(LOOK_SECONDS)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
