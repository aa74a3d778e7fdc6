"""The client's side of GDB's remote serial protocol, as far as breakpoints in QEMU need it.

Sources: GDB's manual, "Remote Protocol" (packets, acknowledgments, stop replies); QEMU's gdbstub.
"""

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

from oolong.errors import Infrastructure

# wall clock: a machine under load answers late, one that was stopped never
REPLY_SECONDS = 60.0
ATTEMPTS = 5
LARGEST = 1 << 16
# how often a machine that runs is asked whether it shall stop
ASK_SECONDS = 0.2
# as GDB numbers signals, of a machine that came to a breakpoint, was stopped by us, was switched off or reset
TRAP, INTERRUPTED, SWITCHED_OFF = 5, 2, 3
INTERRUPT = b"\x03"
_PACKET = re.compile(rb"\$([^$#]*)#(.{2})", re.DOTALL)
_STOP = re.compile(rb"T([0-9a-f]{2})(?:[^;]*;)*?thread:([0-9a-f]+);")
_REGISTER = re.compile(rb"[0-9a-f]{16}")
_ENDED = re.compile(rb"[WX][0-9a-f]{2}")


class Gone(Exception):
    """The machine at the other end has ended."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the machine stands still: a signal as GDB numbers them, and the thread (virtual CPU, from 1) that has it."""

    signal: int
    thread: int


class Debugger:
    """One debugged machine, on a connected socket that stays its owner's.

    Every method raises Gone when the machine ends, and Infrastructure for an answer that is none.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._heard = b""
        self._said = b""

    def attach(self) -> Stop:
        """Ask why the machine stands still, which makes QEMU forget all breakpoints."""
        return self._stop(self._ask(b"?"))

    def insert(self, address: int) -> None:
        """Set a breakpoint for all CPUs."""
        self._do(b"Z0,%x,4" % address)

    def remove(self, address: int) -> None:
        self._do(b"z0,%x,4" % address)

    def register(self, number: int, *, thread: int) -> bytes:
        """A register of a CPU that stands still, 8 bytes in the byte order that the CPU is in."""
        self._do(b"Hg%x" % thread)
        # all of them: QEMU answers `p` only to who has read its descriptions of registers
        answer = self._ask(b"g")
        digits = answer[16 * number : 16 * number + 16]
        if not _REGISTER.fullmatch(digits):
            raise _garbage(answer)
        return bytes.fromhex(digits.decode())

    def step(self, thread: int) -> None:
        """One instruction on one CPU, while the others stand still."""
        self._send(b"vCont;s:%x" % thread)
        self._stop(self._receive())

    def go(self, is_wanted: Callable[[], bool]) -> Stop:
        """Let all CPUs run until the machine stands still, however long that takes.

        It does at a breakpoint (TRAP), when `is_wanted` says that somebody wants it to (INTERRUPTED), by itself when it
        was switched off or reset (SWITCHED_OFF), and with any other signal when its guest panicked.
        """
        asked = False

        def ask() -> None:
            nonlocal asked
            if not asked and is_wanted():
                asked = True
                self._write(INTERRUPT)

        self._send(b"vCont;c")
        return self._stop(self._receive(ask))

    def _do(self, body: bytes) -> None:
        if (answer := self._ask(body)) != b"OK":
            raise Infrastructure(f"QEMU's debugger answered {body.decode()} with {answer[:80]!r}")

    def _ask(self, body: bytes) -> bytes:
        self._send(body)
        return self._receive()

    def _stop(self, answer: bytes) -> Stop:
        match = _STOP.match(answer)
        if match is None:
            raise _garbage(answer)
        return Stop(int(match[1], 16), int(match[2], 16))

    def _send(self, body: bytes) -> None:
        self._said = b"$%b#%02x" % (body, sum(body) % 256)
        self._write(self._said)

    def _write(self, data: bytes) -> None:
        try:
            self._line.settimeout(REPLY_SECONDS)
            self._line.sendall(data)
        except TimeoutError as error:
            raise _silent() from error
        except OSError as error:
            raise Gone from error

    def _receive(self, meanwhile: Callable[[], None] | None = None) -> bytes:
        """The body of the next packet that came whole: at any time if `meanwhile` is there to be called, else soon."""
        for _ in range(ATTEMPTS):
            body, checksum = self._packet(meanwhile)
            if checksum == b"%02x" % (sum(body) % 256):
                self._write(b"+")
                if _ENDED.match(body):
                    raise Gone
                return body
            self._write(b"-")
        raise _garbage(body)

    def _packet(self, meanwhile: Callable[[], None] | None) -> tuple[bytes, bytes]:
        """The next packet, whole or not; what was said last is said again where the other end asks for it."""
        asked_again = 0
        while True:
            match = _PACKET.search(self._heard)
            before = self._heard[: match.start()] if match else self._heard
            if b"-" in before.partition(b"$")[0]:
                asked_again += 1
                if asked_again > ATTEMPTS:
                    raise _garbage(self._heard)
                self._heard = self._heard.replace(b"-", b"", 1)
                self._write(self._said)
            elif match:
                self._heard = self._heard[match.end() :]
                return match[1], match[2]
            elif len(self._heard) > LARGEST:
                raise _garbage(self._heard)
            else:
                self._heard += self._read(meanwhile)

    def _read(self, meanwhile: Callable[[], None] | None) -> bytes:
        try:
            self._line.settimeout(ASK_SECONDS if meanwhile else REPLY_SECONDS)
            data = self._line.recv(LARGEST)
        except TimeoutError as error:
            if not meanwhile:
                raise _silent() from error
            meanwhile()
            return b""
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        return data


def _garbage(heard: bytes) -> Infrastructure:
    return Infrastructure(f"QEMU's debugger does not make sense: {heard[:80]!r}")


def _silent() -> Infrastructure:
    return Infrastructure(f"QEMU's debugger was silent for {REPLY_SECONDS:.0f} s")
