"""Stops a running guest at the points of oolong.machine.stops, and keeps the memory that is read at each of them.

A thread of its own beside the one that waits for QEMU: breakpoints through QEMU's debugger, memory through its
monitor, which writes it to files of a folder that both sides see. QEMU is told not to end by itself: of a guest that
ends before its last point a last picture is taken, and then QEMU is ended.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from oolong.binary.elf import ElfFile, Symbol
from oolong.errors import BadOutput
from oolong.host.files import read_plain, remove_tree
from oolong.machine.family import LinearMap
from oolong.machine.gdbremote import INTERRUPTED, SWITCHED_OFF, TRAP, Debugger, Gone, Stop
from oolong.machine.memory import LARGEST, PAGE, Memory, Recording, Snapshot, Unreadable
from oolong.machine.stops import END, FUNCTIONS, INIT_FUNCTION, INIT_MEMORY, NAMES, NUMBER, QUIET, STOP_FUNCTION

if TYPE_CHECKING:
    from oolong.machine.qmp import Monitor

# where struct pt_regs has gpr[3] (arch/powerpc/include/uapi/asm/ptrace.h): the first argument of a syscall
ARGUMENT, FIRST_ARGUMENT_OFFSET = 3, 3 * 8
PAGES_FILE = "pages"
# of the clock, for the last picture and for the end of QEMU
END_SECONDS = 60.0

Visit = Callable[[str, Memory], None]
Accuse = Callable[[Memory], Sequence[str]]


def nobody(memory: Memory) -> Sequence[str]:
    """Finds nothing wrong with any memory."""
    del memory
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Where the breakpoints of a kernel stand, as addresses, and the byte order that it runs in."""

    init: int
    stop: int
    little: bool


def points_of(vmlinux: ElfFile) -> Points | None:
    """The breakpoints of a linked kernel; None where it lacks one of the functions."""
    found = vmlinux.symbols_by_name(FUNCTIONS)
    if len(found) < 2:
        return None
    return Points(init=entry_of(found[INIT_FUNCTION]), stop=entry_of(found[STOP_FUNCTION]), little=vmlinux.little)


class Doubt(StrEnum):
    """Why a guest does not seem to get on."""

    STALLED = "stalled"
    SILENT = "silent"


def entry_of(function: Symbol) -> int:
    """Where all calls of a function pass, whether they set up its TOC or not."""
    return function.value + function.local_entry


def request(
    address: int, size: int, *, ram: int, linear: LinearMap | None, cpu: int, filename: str
) -> tuple[str, Mapping[str, object]]:
    """The monitor's command that writes memory to a file; `ram` is the guest's memory in bytes, `cpu` an index.

    By its physical address, QEMU itself would read anything, devices too: so only what is memory is asked for so, all
    else as the CPU sees it. Raises Unreadable where nothing can be.
    """
    if linear and linear.start <= address < linear.end and (address & linear.physical) + size <= ram:
        return "pmemsave", {"val": address & linear.physical, "size": size, "filename": filename}
    if size > ram or not 0 <= address < 1 << 64:
        raise Unreadable(address)
    # QMP's integers are signed
    signed = address - (address >> 63 << 64)
    return "memsave", {"val": signed, "size": size, "filename": filename, "cpu-index": cpu}


def name_of(number: int) -> str | None:
    """The name of the stop that has a number; None for a syscall's argument that is no stop."""
    return NAMES[number - NUMBER] if NUMBER <= number < NUMBER + len(NAMES) else None


class Capture:
    """A machine that is stopped and looked at while it runs, as a context around its running.

    QEMU is given `monitor_fd` and `debugger_fd`, started with all CPUs standing, and `folder` as `seen_as`. `visit` is
    called at each stop with its name; whatever it reads is kept. `accuse` is called with the memory of a guest that is
    in doubt, and says in lines what is wrong with it. Both must end, and not fail, whatever they read. Leaving the
    context ends the thread, and raises what went wrong in it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seen_as: str,
        ram: int,
        linear: LinearMap | None,
        points: Points | None,
        visit: Visit,
        accuse: Accuse = nobody,
    ) -> None:
        """`ram` in bytes; without `points` the machine just runs."""
        self.snapshots: list[Snapshot] = []
        self.accused: tuple[str, ...] = ()
        # of all CPUs in the end, where there is a last picture
        self.registers = ""
        self._folder = folder
        self._seen_as = seen_as
        self._ram, self._linear = ram, linear
        self._points = points
        self._visit, self._accuse = visit, accuse
        self._doubts: set[Doubt] = set()
        self._looked_into: set[Doubt] = set()
        self._ending: float | None = None
        self._error: Exception | None = None
        self._since: float | None = None
        self._stood = 0.0
        # pages that are the same at several stops are the same object
        self._pages: dict[bytes, bytes] = {}

    def __enter__(self) -> "Capture":
        self._monitor, self._machines_monitor = socket.socketpair()
        self._debugger, self._machines_debugger = socket.socketpair()
        self.monitor_fd, self.debugger_fd = self._machines_monitor.fileno(), self._machines_debugger.fileno()
        self._thread = threading.Thread(target=self._run, name="capture")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in (self._machines_monitor, self._machines_debugger):
            line.close()
        for line in (self._monitor, self._debugger):
            with suppress(OSError):  # the machine, or the thread, closed it
                line.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._debugger.close()
        if error is None and self._error is not None:
            raise self._error

    @property
    def failed(self) -> bool:
        """Whether the thread has given up, so that the machine may stand still for ever."""
        return self._error is not None

    @property
    def stood(self) -> float:
        """For how many seconds the guest has been looked at until now."""
        since = self._since
        return self._stood + (0.0 if since is None else time.monotonic() - since)

    def doubt(self, why: Doubt) -> None:
        """Have the guest stopped and its memory looked at, once for each reason: what is wrong there is `accused`, and
        ends the guest; one with which nothing is wrong goes on."""
        self._doubts.add(why)

    def end(self) -> bool:
        """Have the last picture taken and QEMU ended; True if that takes so long that nobody need wait for it."""
        if self._ending is None:
            self._ending = time.monotonic()
        return time.monotonic() - self._ending > END_SECONDS

    def _run(self) -> None:
        # asyncio, which it needs, takes as long to load as a run with nothing to do may take
        from oolong.machine.qmp import Monitor

        try:
            with Monitor(self._monitor) as monitor:
                self._attend(Debugger(self._debugger), monitor)
        except Gone:
            pass
        except Exception as error:  # raised again where the context is left
            self._error = error

    def _attend(self, debugger: Debugger, monitor: "Monitor") -> None:
        """Until the machine ends, by itself or since somebody wants it to; Gone if QEMU dies."""
        debugger.attach()
        if self._points:
            debugger.insert(self._points.init)
        while True:
            at = debugger.go(self._is_wanted)
            if at.signal == TRAP and self._points:
                self._at_point(debugger, monitor, at)
            elif at.signal != INTERRUPTED or self._ending is not None or self._is_accused(monitor, at):
                break
        last = self.snapshots[-1].name if self.snapshots else None
        # a guest that came to its last point and then switched the machine off is not dead
        if last != END and (last, at.signal) != (QUIET, SWITCHED_OFF):
            self._look(END, monitor, at)
        if self.snapshots and self.snapshots[-1].name == END:
            self.registers = monitor.registers()
        monitor.quit()

    def _is_wanted(self) -> bool:
        """Whether somebody wants the machine to stand still."""
        return self._ending is not None or self._doubts != self._looked_into

    def _at_point(self, debugger: Debugger, monitor: "Monitor", at: Stop) -> None:
        """At a breakpoint: the memory is looked at where it is one of the stops, each of which counts once."""
        assert self._points
        if not self.snapshots:
            self._look(INIT_MEMORY, monitor, at)
            debugger.remove(self._points.init)
        else:
            name = self._name(debugger.register(ARGUMENT, thread=at.thread), monitor, at)
            if name and name not in [snapshot.name for snapshot in self.snapshots]:
                self._look(name, monitor, at)
            debugger.remove(self._points.stop)
            debugger.step(at.thread)
        debugger.insert(self._points.stop)

    def _is_accused(self, monitor: "Monitor", at: Stop) -> bool:
        """Whether something is wrong with the memory of a guest in doubt, which is then its last picture."""
        doubts = set(self._doubts)
        if doubts == self._looked_into:
            return False
        self._looked_into = doubts
        with self._standing():
            recording = self._recording(monitor, at)
            self.accused = tuple(self._accuse(recording))
            if self.accused:
                self._keep(END, recording)
        return bool(self.accused)

    def _name(self, register: bytes, monitor: "Monitor", at: Stop) -> str | None:
        """The stop that a syscall's argument means: the register itself, or pt_regs that it points at."""
        assert self._points
        word = struct.Struct("<Q" if self._points.little else ">Q")
        (value,) = word.unpack(register)
        if name_of(value) is None:
            try:
                saved = self._recording(monitor, at).read(value + FIRST_ARGUMENT_OFFSET, 8)
            except (Unreadable, BadOutput):
                # a stop that nobody looked at is told as one
                return None
            (value,) = word.unpack(saved)
        return name_of(value)

    def _look(self, name: str, monitor: "Monitor", at: Stop) -> None:
        with self._standing():
            recording = self._recording(monitor, at)
            self._visit(name, recording)
            self._keep(name, recording)

    @contextmanager
    def _standing(self) -> Iterator[None]:
        """While the guest stands still to be looked at."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._stood, self._since = self._stood + time.monotonic() - self._since, None

    def _keep(self, name: str, recording: Recording) -> None:
        """What was read is a snapshot; of a guest that nobody looks at there is no last picture."""
        if name == END and not recording.pages:
            return
        pages = {base: self._pages.setdefault(page, page) for base, page in recording.pages.items()}
        self.snapshots.append(Snapshot(name, pages))

    def _recording(self, monitor: "Monitor", at: Stop) -> Recording:
        """The memory as the CPU that came to a breakpoint sees it, no more than may still be kept."""
        from oolong.machine.qmp import Refused

        def fetch(address: int, size: int) -> bytes:
            filename = f"{self._seen_as}/{PAGES_FILE}"
            # QEMU numbers threads from 1
            command, arguments = request(
                address, size, ram=self._ram, linear=self._linear, cpu=at.thread - 1, filename=filename
            )
            try:
                monitor.do(command, arguments)
                data = read_plain(self._folder, PAGES_FILE, most=size)
            except Refused as error:
                raise Unreadable(address) from error
            finally:
                # a folder, too, in which QEMU may have put more
                remove_tree(self._folder / PAGES_FILE)
            if len(data) != size:
                raise Unreadable(address)
            return data

        return Recording(fetch, most=LARGEST - PAGE * len(self._pages))
