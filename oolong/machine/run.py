"""Boots a kernel in QEMU and waits for the machine to end: what every boot of a kernel is made of.

The console and the guest's report are files of a folder while the machine runs; the caller judges what they hold.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from oolong.errors import Kind
from oolong.host.files import plain_file, remove_tree
from oolong.host.progress import Progress
from oolong.host.sandbox import Mount, Ran, Sandbox, bwrap_argv
from oolong.machine import qemu
from oolong.machine.capture import Accuse, Capture, Doubt, Points, Visit, nobody
from oolong.machine.family import FAMILIES
from oolong.machine.memory import Snapshot
from oolong.machine.watch import LARGEST_REPORT, Watch
from oolong.spec.model import Machine

CONSOLE, REPORT = "console.log", "guest-report"
# what the sandbox sees as qemu.MEMORY, as long as QEMU runs
SHARED = "shared"


class Inside(Protocol):
    """Runs a command in the sandbox to its end.

    `on_output` sees each chunk; `until` is asked now and then, with a process id, whether to end the command early;
    `pass_fds` are open inside too; `log_as` is the host's command line that a log shows in place of the real one.
    """

    def __call__(
        self,
        sandbox: Sandbox,
        argv: Sequence[str],
        /,
        *,
        on_output: Callable[[bytes], object],
        until: Callable[[int], bool],
        pass_fds: Sequence[int],
        log_as: Sequence[str],
    ) -> Ran: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is looked at while the guest stands still; without `points` it stands still nowhere, as it boots. `accuse`
    is asked of a guest that says that it does not get on, and ends it where something is wrong with its memory."""

    points: Points | None
    visit: Visit
    accuse: Accuse = nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A machine that has ended. `console` is all that it said, `report` the file that the guest filled; `stopped` is
    the kind of failure and its reason if the machine had to be stopped, or did not get on; `accused` says what was
    wrong with the memory of a guest that did not get on, `registers` are those of one that has a last picture, for
    people. Times are seconds: of QEMU's CPU time, of the clock, and of the clock while the guest was made to stand
    still."""

    ran: Ran
    stopped: tuple[Kind, str] | None
    accused: tuple[str, ...]
    registers: str
    console: str
    report: Path
    snapshots: tuple[Snapshot, ...]
    cpu_seconds: float
    boot_seconds: float
    capture_seconds: float


def run(
    machine: Machine,
    kernel: Path,
    initramfs: Path,
    *,
    append: str,
    emulator: Path,
    folder: Path,
    inside: Inside,
    progress: Progress,
    look: Look | None = None,
) -> Ended:
    """Boot a kernel and wait for the machine to end; `emulator` is a root file system that has QEMU.

    `folder` gets the files CONSOLE and REPORT. Without `look`, the guest has no second terminal: its report is empty.
    Raises what went wrong in the capture, and what `inside` raises.
    """
    sandbox = Sandbox(
        rootfs=emulator,
        mounts=(Mount(host=kernel, inside=qemu.KERNEL), Mount(host=initramfs, inside=qemu.INITRAMFS)),
    )
    # to be pasted: nobody is at the other end of the monitor's and the debugger's line then
    log_as = bwrap_argv(sandbox, qemu.argv(machine, append=append))
    shared = folder / SHARED
    shared.mkdir()
    (shared / qemu.REPORT).touch()
    started = time.monotonic()
    with ExitStack() as stack:
        sink = stack.enter_context((folder / CONSOLE).open("wb"))
        capture = stack.enter_context(_capture(machine, shared, look)) if look else None
        watch = Watch(
            sink.write,
            progress=progress,
            timeout=machine.timeout,
            report=shared / qemu.REPORT,
            stood=lambda: capture.stood if capture else 0.0,
        )
        ran = inside(
            replace(sandbox, mounts=(*sandbox.mounts, Mount(host=shared, inside=qemu.MEMORY, writable=True))),
            qemu.argv(machine, append=append, lines=_lines(capture)),
            on_output=watch.hear,
            until=partial(_is_over, watch, capture),
            pass_fds=(capture.monitor_fd, capture.debugger_fd) if capture else (),
            log_as=log_as,
        )
    seconds = time.monotonic() - started
    accused = capture.accused if capture else ()
    report = plain_file(shared, qemu.REPORT).replace(folder / REPORT)
    if report.stat().st_size > LARGEST_REPORT:
        # QEMU wrote on until it had ended, and the hole that it may leave is hashed and read
        os.truncate(report, LARGEST_REPORT)
    remove_tree(shared)
    return Ended(
        ran=ran,
        stopped=watch.why() or (watch.silent() if accused else None),
        accused=accused,
        registers=capture.registers if capture else "",
        console=(folder / CONSOLE).read_text(encoding="utf-8", errors="replace"),
        report=report,
        snapshots=tuple(capture.snapshots) if capture else (),
        cpu_seconds=watch.cpu_seconds,
        boot_seconds=round(seconds, 1),
        capture_seconds=round(capture.stood, 2) if capture else 0.0,
    )


def _is_over(watch: Watch, capture: Capture | None, pid: int) -> bool:
    """Whether QEMU is to be killed: one that is looked at ends otherwise, when its last picture was taken."""
    if capture is None:
        return watch.is_over(pid)
    if watch.is_stalled():
        capture.doubt(Doubt.STALLED)
    if watch.is_silent():
        capture.doubt(Doubt.SILENT)
    return capture.failed or (watch.is_over(pid) and capture.end())


def _capture(machine: Machine, shared: Path, look: Look) -> Capture:
    return Capture(
        shared,
        seen_as=qemu.MEMORY,
        ram=machine.memory << 20,
        linear=FAMILIES[machine.family].linear_map,
        points=look.points,
        visit=look.visit,
        accuse=look.accuse,
    )


def _lines(capture: Capture | None) -> qemu.Lines | None:
    return qemu.Lines(monitor=str(capture.monitor_fd), debugger=str(capture.debugger_fd)) if capture else None
