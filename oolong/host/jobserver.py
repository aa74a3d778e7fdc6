"""One GNU make jobserver for all cells of a run: a FIFO with a token for every job beyond each make's own.

GNU make 4.4 takes it as `--jobserver-auth=fifo:PATH` (GNU make manual, "POSIX Jobserver Interaction").
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oolong.host.sandbox import JOBSERVER


@contextmanager
def serving(jobs: int) -> Iterator[Path]:
    """The path of a FIFO that holds `jobs` - 1 tokens while the context lasts.

    A make that is killed may keep its tokens: later makes are then slower, never stuck, since each has a job of
    its own.
    """
    with tempfile.TemporaryDirectory(prefix="oolong-jobs-") as folder:
        fifo = Path(folder) / "jobserver"
        os.mkfifo(fifo, 0o600)
        descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"+" * (jobs - 1))
            yield fifo
        finally:
            os.close(descriptor)


def makeflags(jobs: int) -> str:
    """MAKEFLAGS for a make in the sandbox that finds the FIFO at its fixed place."""
    return f"-j{jobs} --jobserver-auth=fifo:{JOBSERVER}"
