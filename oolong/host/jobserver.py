"""One GNU make jobserver for all cells of a run: a FIFO with a token for every job, and slots for what compiles.

GNU make 4.4 takes it as `--jobserver-auth=fifo:PATH` (GNU make manual, "POSIX Jobserver Interaction"). Every make has
one job without a token: its slot is a token that was taken out for it before it starts.
"""

import fcntl
import os
import select
import tempfile
import termios
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oolong.host.sandbox import JOBSERVER

POLL_SECONDS = 0.2
TOKEN = b"+"
# as much as a FIFO holds, and more
ALL = 1 << 20


class Jobserver:
    """Keeps all makes of a run at `jobs` jobs together; `fifo` is what they are given."""

    def __init__(self, fifo: Path, descriptor: int, jobs: int) -> None:
        """`descriptor` is the FIFO, open for reading and writing, and does not block."""
        self.fifo = fifo
        self.jobs = jobs
        self._descriptor = descriptor
        self._guard = threading.Lock()
        self._slots = 0
        self._refill()

    @contextmanager
    def slot(self, check: Callable[[], None]) -> Iterator[None]:
        """A job for a make of one's own while the context lasts; waits until there is one.

        `check` is called while it waits, and raises if there is no more sense in waiting. A make that is killed may
        keep its tokens: they are back when no make runs any more.
        """
        while not self._taken():
            check()
            self._wait()
        try:
            yield
        finally:
            self._give_back()

    def settle(self) -> None:
        """Take out what no make can have given back: a build may write to the FIFO what it likes, and all others would
        start as many compilers."""
        with self._guard:
            surplus = self._standing() - (self.jobs - self._slots)
            if surplus > 0:
                with suppress(BlockingIOError):
                    os.read(self._descriptor, surplus)

    def _standing(self) -> int:
        """How many tokens are in the FIFO."""
        count = array("i", [0])
        fcntl.ioctl(self._descriptor, termios.FIONREAD, count)
        return count[0]

    def _taken(self) -> bool:
        with self._guard:
            try:
                os.read(self._descriptor, 1)
            except BlockingIOError:
                return False
            self._slots += 1
            return True

    def _wait(self) -> None:
        """Until there is a token, which another may take first, or it is time to check."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.poll(POLL_SECONDS * 1000)

    def _give_back(self) -> None:
        with self._guard:
            self._slots -= 1
            if self._slots:
                self._put(1)
            else:
                self._refill()

    def _refill(self) -> None:
        """Exactly `jobs` tokens, whatever makes took with them or left; none may run."""
        with suppress(BlockingIOError):
            while os.read(self._descriptor, ALL):
                pass
        self._put(self.jobs)

    def _put(self, tokens: int) -> None:
        # a FIFO that a build has filled up lacks no token
        with suppress(BlockingIOError):
            os.write(self._descriptor, TOKEN * tokens)


@contextmanager
def serving(jobs: int) -> Iterator[Jobserver]:
    """A jobserver for `jobs` jobs, whose FIFO is there while the context lasts."""
    with tempfile.TemporaryDirectory(prefix="oolong-jobs-") as folder:
        fifo = Path(folder) / "jobserver"
        os.mkfifo(fifo, 0o600)
        descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield Jobserver(fifo, descriptor, jobs)
        finally:
            os.close(descriptor)


def makeflags(jobs: int) -> str:
    """MAKEFLAGS for a make in the sandbox that finds the FIFO at its fixed place."""
    return f"-j{jobs} --jobserver-auth=fifo:{JOBSERVER}"
