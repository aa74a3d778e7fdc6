"""Knows when a machine that runs need not be waited for any longer: its time is up, or it said enough.

All times but the last one are QEMU's CPU time, so that a loaded machine makes no hangs.
"""

import time
from collections.abc import Callable
from pathlib import Path

from oolong.errors import Kind
from oolong.host.cputime import Share, Stopwatch, is_counted, share_of
from oolong.host.files import LARGEST_TEXT
from oolong.host.progress import Progress
from oolong.machine import console

# a machine that was silent for so long when its time was up hangs, one that still spoke was too slow
SILENCE_SECONDS = 20.0
# a machine in which nothing has run for so long waits for something that will not come
IDLE_SECONDS = 60.0
# so does one that has been silent for so long, of the clock, and ran for next to none of it: on a loaded host each tick
# of an idle guest waits for a CPU, and looks like work
LONG_SILENCE_SECONDS, NEXT_TO_NONE = 300.0, 0.1
READ_SECONDS = 0.4
# a healthy boot says a thousandth of it
LARGEST_CONSOLE = 16 << 20
LARGEST_REPORT = LARGEST_TEXT
# what is printed after the first line of a panic or a stall, in seconds of the clock; and what switching off takes
LAST_WORDS_SECONDS = 5.0
# a busy machine that is silent for so long, in seconds of the clock, is looked at: RCU tells a stall after 21 of them,
# but none if no grace period was under way when the CPUs got stuck
DOUBT_SECONDS = 30.0


class Watch:
    """Writes what the machine says, and knows when nothing more is to be waited for."""

    def __init__(
        self,
        sink: Callable[[bytes], object],
        *,
        progress: Progress,
        timeout: float,
        report: Path,
        stood: Callable[[], float],
    ) -> None:
        """`timeout`: seconds of CPU time; `report`: the file that the guest fills; `stood`: for how many seconds the
        machine has been made to stand still until now."""
        self._sink = sink
        self._progress = progress
        self._timeout = timeout
        self._report = report
        self._reported = 0
        self._stood, self._stood_before = stood, 0.0
        self._started = self._read = time.monotonic()
        self._time = Stopwatch()
        self._spoke = 0.0
        self._heard = self._started
        self._said = 0
        self._ended: float | None = None
        self._stalled: float | None = None
        self._line = b""

    def hear(self, chunk: bytes) -> None:
        """Take what the machine said on its console; what exceeds the limit is not kept."""
        self._sink(chunk[: max(0, LARGEST_CONSOLE - self._said)])
        self._said += len(chunk)
        if self._said > LARGEST_CONSOLE:
            # QEMU may have more to say until it has ended
            return
        self._spoke = self._time.ran
        self._heard = time.monotonic() - self._stood()
        *whole, rest = (self._line + chunk).split(b"\n")
        for line in whole:
            self._read_line(line.decode(errors="replace"))
        self._line = rest[-console.LONGEST_LINE :]
        self._progress(chunk.decode(errors="replace").strip().rpartition("\n")[2])

    def _read_line(self, line: str) -> None:
        """Take note of the first sign that the guest ends, and of the first that it does not get on."""
        if self._ended is None and console.is_end(line):
            self._ended = time.monotonic()
        if self._stalled is None and console.is_stall(line):
            self._stalled = time.monotonic()

    def is_stalled(self) -> bool:
        """Whether the guest has said that it does not get on, and what it had to say of that."""
        return self._stalled is not None and time.monotonic() - self._stalled > LAST_WORDS_SECONDS

    def is_silent(self) -> bool:
        """Whether the guest has said nothing for longer than a guest that gets on."""
        return self._silence > DOUBT_SECONDS

    def silent(self) -> tuple[Kind, str]:
        """The kind of failure and its reason, of a machine that was ended for what it was found to have in memory."""
        return Kind.HANG, f"hang: silent for {self._silence:.0f} s"

    @property
    def _silence(self) -> float:
        """For how many seconds of the clock nothing was said, less those in which the machine was made to stand."""
        return time.monotonic() - self._stood() - self._heard

    def is_over(self, pid: int) -> bool:
        """Whether the time of the machine with this process id is up, or what it says shows the end."""
        now = time.monotonic()
        if now - self._read >= READ_SECONDS:
            share = share_of(pid) if is_counted() else Share(ran=now - self._started)
            stood = self._stood()
            if stood == self._stood_before:
                self._time.read(share, now - self._read)
            else:
                self._time.skip(share)
            self._read, self._stood_before = now, stood
            self._reported = self._report.lstat().st_size if self._report.exists() else 0
        ended = self._ended is not None and now - self._ended > LAST_WORDS_SECONDS
        return ended or self.why() is not None

    def why(self) -> tuple[Kind, str] | None:
        """The kind of failure and its reason, if the machine had to be stopped."""
        ran, silence = self._time.ran, self._time.ran - self._spoke
        if self._said > LARGEST_CONSOLE:
            return Kind.FLOOD, f"flood: more than {LARGEST_CONSOLE >> 20} MiB on the console"
        if self._reported > LARGEST_REPORT:
            return Kind.FLOOD, f"flood: more than {LARGEST_REPORT >> 20} MiB in the guest's report"
        if idle := self._idle():
            return Kind.HANG, f"hang: idle for {idle:.0f} s: nothing runs, nothing is said"
        if ran > self._timeout:
            kind = Kind.HANG if silence > SILENCE_SECONDS else Kind.TIMEOUT
            return kind, f"{kind}: not over after {ran:.0f} s of CPU time, silent for the last {silence:.0f} s of it"
        return None

    def _idle(self) -> float:
        """For how many seconds the machine has waited for what will not come; 0 if it may not."""
        if self._time.idle > IDLE_SECONDS:
            return self._time.idle
        silence = self._silence
        is_idle = silence > LONG_SILENCE_SECONDS and self._time.ran - self._spoke < silence * NEXT_TO_NONE
        return silence if is_idle else 0.0

    @property
    def cpu_seconds(self) -> float:
        return round(self._time.ran, 1)
