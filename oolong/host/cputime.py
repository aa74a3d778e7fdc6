"""How much of the machine a program had, so that a loaded machine is not taken for a slow program.

The kernel counts for each thread the time on a CPU and the time in the queue for one (Documentation/scheduler/
sched-stats.rst, /proc/PID/schedstat, both in nanoseconds).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
STATISTICS, CHILDREN = "schedstat", "children"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Seconds that a program with all its descendants ran, and waited for a CPU; threads add up."""

    ran: float = 0.0
    waited: float = 0.0


def is_counted() -> bool:
    """Whether this kernel tells all that is needed: CONFIG_SCHED_INFO and CONFIG_PROC_CHILDREN."""
    own = PROC / "self" / "task" / str(os.getpid())
    return all((own / file).exists() for file in (STATISTICS, CHILDREN))


def share_of(pid: int) -> Share:
    """The share of a process and its descendants until now; nothing for those that have ended."""
    ran = waited = 0
    for process in _family(pid):
        for statistics in _texts(process, STATISTICS):
            fields = statistics.split()
            ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return Share(ran=ran / 1e9, waited=waited / 1e9)


class Stopwatch:
    """The time that a program had: its CPU time, and the time in which it wanted none.

    A second in which it only waited for a CPU counts for nothing, so that however loaded the machine is, the same
    program comes equally far.
    """

    def __init__(self) -> None:
        self.ran = 0.0
        self.idle = 0.0
        self._share = Share()

    def read(self, share: Share, wall: float) -> None:
        """Take note of the share until now; `wall` are the seconds since it was noted last."""
        ran = max(0.0, share.ran - self._share.ran)
        wanted = ran + max(0.0, share.waited - self._share.waited)
        self.ran += ran
        # nearly: a machine that waits for ever still has a clock that ticks
        self.idle = self.idle + wall if wanted < wall / 10 else 0.0
        self._share = share

    def skip(self, share: Share) -> None:
        """Take note of the share, but not of the time since it was noted last."""
        self._share = share


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in _texts(pid, CHILDREN):
        for child in children.split():
            yield from _family(int(child))


def _texts(pid: int, file: str) -> Iterator[str]:
    """A file of each thread of a process, as far as they are still there."""
    for path in (PROC / str(pid) / "task").glob(f"*/{file}"):
        try:
            yield path.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
