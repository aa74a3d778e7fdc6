"""QEMU's monitor for code that waits: qemu.qmp, which is asynchronous, on an event loop of its own."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from contextlib import suppress

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError

from oolong.errors import Infrastructure
from oolong.machine.gdbremote import REPLY_SECONDS, Gone

# its messages would go to stderr; what matters of them comes as exceptions
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


class Refused(Exception):
    """QEMU could not do what it was told."""


class Monitor:
    """One machine's monitor, as a context; all of it belongs to one thread.

    It raises Gone when the machine ends, and Infrastructure if it does not answer.
    """

    def __init__(self, line: socket.socket) -> None:
        """`line` is connected, and from now on the monitor's, which closes it."""
        line.setblocking(False)
        self._line = line
        self._runner = asyncio.Runner()
        self._client = QMPClient()

    def __enter__(self) -> "Monitor":
        self._runner.__enter__()
        try:
            # QEMU greets when it has started, which has no time limit here
            self._runner.run(self._client.connect(self._line))
        except ConnectError as error:
            self._close()
            if isinstance(error.exc, EOFError | OSError):
                raise Gone from error
            raise Infrastructure(f"QEMU's monitor does not make sense: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def do(self, command: str, arguments: Mapping[str, object]) -> object:
        """What QEMU answers; Refused if that is an error."""
        try:
            return self._runner.run(asyncio.wait_for(self._client.execute(command, arguments), REPLY_SECONDS))
        except ExecuteError as error:
            raise Refused(str(error)) from error
        except TimeoutError as error:
            raise Infrastructure(f"QEMU's monitor was silent for {REPLY_SECONDS:.0f} s") from error
        except (QMPError, EOFError, OSError) as error:
            raise Gone from error

    def registers(self) -> str:
        """The registers of all CPUs, as QEMU prints them for people; empty if it does not."""
        try:
            return str(self.do("human-monitor-command", {"command-line": "info registers -a"}))
        except Refused:
            return ""

    def quit(self) -> None:
        """End QEMU, which may be gone before it answers."""
        with suppress(Gone):
            self.do("quit", {})

    def _close(self) -> None:
        try:
            self._runner.run(self._client.disconnect())
        except (QMPError, EOFError, OSError):
            pass  # the machine ended first
        finally:
            self._runner.close()
            self._line.close()
