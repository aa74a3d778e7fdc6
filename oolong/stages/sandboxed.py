"""Runs commands in the sandbox for the stages, and tells a command that failed from a sandbox that did."""

import json
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from oolong.engine.stage import Work
from oolong.errors import Infrastructure
from oolong.host import bubblewrap, process
from oolong.host.sandbox import Ran, Sandbox, bwrap_argv, bwrap_options

MAKEFLAGS = "MAKEFLAGS"
KEPT_LINES = 400
# a whole kernel's build says a few hundred KiB
LARGEST_LOG = 64 << 20
LONGEST_LINE = 1 << 16
WORLD_AT_FAULT = re.compile(
    # as programs report an error number: after what they did
    r"[:\]] '?(?:No space left on device|Disk quota exceeded|Cannot allocate memory)"
    # what gcc, make, collect2 and the shell say of a program that the kernel killed for want of memory
    r"|Killed signal terminated program|\bError 137\b|terminated with signal 9\b|(?:^|\s)Killed$"
)
# a line of source that a compiler shows below its message: it may hold any words
QUOTED = re.compile(r"\s*(?:\d+\s*)?\|")


def run(
    work: Work,
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    on_output: Callable[[bytes], object] | None = None,
    until: Callable[[int], bool] | None = None,
    pass_fds: Sequence[int] = (),
    log_as: Sequence[str] | None = None,
    compiles: bool = False,
) -> Ran:
    """Run one command inside; its output goes to the stage's log, as bytes to `on_output` instead where that is
    given. `until` ends it early, `pass_fds` are open inside too, and `log_as` is the host's command line that the
    log shows instead, as in process.run. A command that `compiles` counts as a job, though it is no make.

    Raises Infrastructure if bwrap could not start the command, and if the command failed for want of disk or
    memory: neither says anything about the kernel.
    """
    tail = _Tail([heard for heard in (on_line, work.listener) if heard])
    said = 0

    def hear(chunk: bytes) -> None:
        nonlocal said
        said += len(chunk)
        tail.feed(chunk)
        if on_output:
            on_output(chunk)

    def is_over(pid: int) -> bool:
        if work.jobserver:
            work.jobserver.settle()
        return (on_output is None and said > LARGEST_LOG) or (until is not None and until(pid))

    reader, writer = os.pipe()
    try:
        options = ["--json-status-fd", str(writer), *bwrap_options(sandbox)]
        with (
            bubblewrap.ready(options, argv) as start,
            _slot(work, counts=compiles or MAKEFLAGS in sandbox.env),
        ):
            done = process.run(
                start.argv,
                scope=work.scope,
                env=start.env,
                log=work.log,
                log_as=log_as or bwrap_argv(sandbox, argv),
                log_output=on_output is None,
                timeout=timeout,
                on_output=hear,
                until=is_over,
                pass_fds=(writer, *start.descriptors, *pass_fds),
            )
    finally:
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            status = stream.read()
    tail.close()
    if on_output is None and said > LARGEST_LOG:
        tail.lines.append(f"*** stopped: it wrote more than {LARGEST_LOG >> 20} MiB")
    if not done.timed_out and not _command_ended(status):
        raise Infrastructure(
            "the sandbox did not start: " + " ".join(tail.lines),
            hint="bubblewrap needs unprivileged user namespaces: see docs/security.md",
        )
    if not done.ok and (line := next(filter(is_of_the_world, tail.lines), None)):
        raise Infrastructure(line.strip(), hint="make room, then start again: what was finished is kept")
    late = timeout if done.timed_out and timeout is not None and done.seconds > timeout else None
    return Ran(returncode=done.returncode, timed_out=done.timed_out, lines=tuple(tail.lines), late=late)


def is_of_the_world(line: str) -> bool:
    """Whether a line of a command that failed reports want of disk or memory."""
    return WORLD_AT_FAULT.search(line) is not None and QUOTED.match(line) is None


def _slot(work: Work, *, counts: bool) -> AbstractContextManager[None]:
    """The job that a command has by itself where it `counts`: every make, and what compiles."""
    if work.jobserver and counts:
        return work.jobserver.slot(work.scope.check)
    return nullcontext()


def _command_ended(status: bytes) -> bool:
    """bwrap's --json-status-fd holds one object a line; the exit code is there only if the command was started."""
    return any("exit-code" in json.loads(line) for line in status.splitlines() if line.strip())


class _Tail:
    """Cuts a stream of bytes into lines and keeps the last ones."""

    def __init__(self, listeners: Sequence[Callable[[str], None]]) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._listeners = listeners
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            self._add(line)
        if len(self._rest) > LONGEST_LINE:
            self.close()
            self._rest = b""

    def close(self) -> None:
        if self._rest:
            self._add(self._rest)

    def _add(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip("\r")
        self.lines.append(line)
        for listener in self._listeners:
            listener(line)
