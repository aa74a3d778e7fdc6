"""The only door to other programs: a log that opens with a command to paste, a timeout, and no survivors.

Each program is started from the thread that waits for it, so that the kernel's parent-death signal (`bwrap
--die-with-parent`, `setpriv --pdeathsig`) fires when oolong dies, even by SIGKILL, and not before.
"""

import os
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from oolong.errors import Infrastructure, Interrupted

GRACE_SECONDS = 2.0
TAIL_BYTES = 4000
CHUNK_BYTES = 1 << 16
# as much as a pipe may hold (fs.pipe-max-size)
PIPE_BYTES = 1 << 20

# how often a program that says nothing is looked at
LOOK_SECONDS = 0.5


class Scope:
    """Programs and long work that are cancelled together; a scope inside another one is cancelled with it.

    A cancelled scope stays so: whoever goes on in the same process takes a new one.
    """

    def __init__(self, *, inside: "Scope | None" = None) -> None:
        self._outer = inside
        self._cancelled = False
        self._running: set[subprocess.Popen[bytes]] = set()
        # re-entrant: a signal may arrive while its own thread holds it
        self._guard = threading.RLock()

    @property
    def cancelled(self) -> bool:
        return self._cancelled or (self._outer is not None and self._outer.cancelled)

    def cancel(self) -> None:
        """Kill every program that runs in it and let no new one start; for any thread and for signal handlers."""
        # the flag first: a program that is not among the running ones yet is started by somebody who looks at it next
        self._cancelled = True
        with self._guard:
            running = list(self._running)
        for child in running:
            _signal(child, signal.SIGTERM)
        for child in running:
            _kill(child)

    def check(self) -> None:
        """Raise Interrupted if it was cancelled; for long work that is no program."""
        if self.cancelled:
            raise Interrupted("interrupted")

    def _add(self, child: subprocess.Popen[bytes]) -> None:
        with self._guard:
            self._running.add(child)
        if self._outer:
            self._outer._add(child)

    def _remove(self, child: subprocess.Popen[bytes]) -> None:
        with self._guard:
            self._running.discard(child)
        if self._outer:
            self._outer._remove(child)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended: `returncode` as in subprocess (negative: the signal), `output` is stdout and stderr
    as they came (kept only where asked for), `timed_out` that its time was up and it was killed, `cut_off` that it
    wrote more than is kept and was killed."""

    argv: tuple[str, ...]
    returncode: int
    seconds: float
    output: bytes
    timed_out: bool
    cut_off: bool = False

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out and not self.cut_off


def run(
    argv: Sequence[str],
    *,
    scope: Scope | None = None,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    silence: float | None = None,
    on_output: Callable[[bytes], None] | None = None,
    until: Callable[[int], bool] | None = None,
    pass_fds: Sequence[int] = (),
    log_as: Sequence[str] | None = None,
    log_output: bool = True,
    most: int | None = None,
) -> Finished:
    """Run a program to its end; stdout and stderr are one stream.

    With `log`, the stream is appended there below a line that repeats the command, and is not kept in memory;
    without, it comes back as `output`. `log_as` is what the log says where the real command holds what only this
    process has, such as an open file descriptor; with `log_output` False the log gets no more than that line.
    `on_output` sees each chunk, and `output` is then the end alone. `until` is asked about twice a second, with the
    program's process id; when it answers True the program is killed as if its time were up, and so is one that
    writes nothing for `silence` seconds. A program whose output would be kept is killed, too, once it has written more
    than `most` bytes. Raises Infrastructure if the program cannot be started, Interrupted if `scope` is cancelled
    before or while it runs.
    """
    scope = scope or Scope()
    scope.check()
    kept: list[bytes] = []
    size = 0
    started = time.monotonic()
    with _log(log, log_as or argv) as sink:
        child = _start(argv, env=env, cwd=cwd, stdin=stdin, pass_fds=pass_fds)
        try:
            scope._add(child)
            scope.check()
            timed_out = cut_off = False
            for chunk in _chunks(child, started, timeout, silence, until):
                if chunk is None:
                    timed_out = True
                    _kill(child)
                    continue
                if sink and log_output:
                    sink.write(chunk)
                    sink.flush()
                elif not sink and not cut_off:
                    kept.append(chunk)
                    size += len(chunk)
                    if on_output:
                        # whoever hears it keeps what it needs: the end is for errors
                        kept[:] = [b"".join(kept)[-TAIL_BYTES:]]
                    elif most is not None and size > most:
                        cut_off = True
                        _kill(child)
                if on_output:
                    on_output(chunk)
            returncode = child.wait()
        finally:
            _kill(child)
            child.wait()
            scope._remove(child)
            if child.stdout:
                child.stdout.close()
    scope.check()
    return Finished(
        argv=tuple(argv),
        returncode=returncode,
        seconds=time.monotonic() - started,
        output=b"".join(kept),
        timed_out=timed_out,
        cut_off=cut_off,
    )


def check(argv: Sequence[str], *, scope: Scope | None = None, hint: str = "", **options: object) -> Finished:
    """As `run`, for the host's own tools: anything but success is Infrastructure, with the end of the output."""
    done = run(argv, scope=scope, **options)  # type: ignore[arg-type]
    if not done.ok:
        ended = "ran out of time" if done.timed_out else f"ended with {done.returncode}"
        tail = done.output[-TAIL_BYTES:].decode(errors="replace").strip()
        raise Infrastructure(f"{shlex.join(argv)} {ended}: {tail}", hint=hint)
    return done


def dying_with_parent(argv: Sequence[str]) -> list[str]:
    """The argv for a program of the host (outside the sandbox) that must not outlive us."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


@contextmanager
def _log(path: Path | None, argv: Sequence[str]) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as sink:
        sink.write(f"$ {shlex.join(argv)}\n".encode())
        sink.flush()
        yield sink


def _start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdin: bytes | None,
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except OSError as error:
        raise Infrastructure(
            f"cannot start {argv[0]}: {error.strerror}", hint="is it installed, and on PATH?"
        ) from error
    if stdin is not None and child.stdin:
        # a thread, so that a program which writes before it has read everything cannot block us
        threading.Thread(target=_feed, args=(child.stdin, stdin), daemon=True).start()
    return child


def _feed(pipe: IO[bytes], data: bytes) -> None:
    try:
        pipe.write(data)
        pipe.close()
    except OSError:
        pass  # the program ended without reading all of it: its exit status tells


def _chunks(
    child: subprocess.Popen[bytes],
    started: float,
    timeout: float | None,
    silence: float | None,
    until: Callable[[int], bool] | None,
) -> Iterator[bytes | None]:
    """The output as it comes; None once, when the time is up or `until` says so."""
    assert child.stdout
    over = False
    speaking = True
    heard = started
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if speaking and selector.select(timeout=LOOK_SECONDS):
                chunk = os.read(child.stdout.fileno(), CHUNK_BYTES)
                speaking = bool(chunk)
                if chunk:
                    heard = time.monotonic()
                    yield chunk
            elif _has_ended(child, patience=0 if speaking else LOOK_SECONDS):
                # a grandchild of a dead program may hold the pipe open: take what is in it, and do not wait for more
                yield from _left(child.stdout.fileno(), selector) if speaking else ()
                return
            now = time.monotonic()
            late = (timeout is not None and now - started > timeout) or (silence is not None and now - heard > silence)
            if not over and (late or (until is not None and until(child.pid))):
                over = True
                yield None


def _left(descriptor: int, selector: selectors.BaseSelector) -> Iterator[bytes]:
    """What a program wrote last, between the look at its output and the look at itself."""
    for _ in range(PIPE_BYTES // CHUNK_BYTES):
        if not selector.select(timeout=0) or not (chunk := os.read(descriptor, CHUNK_BYTES)):
            return
        yield chunk


def _has_ended(child: subprocess.Popen[bytes], *, patience: float) -> bool:
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the program's whole session, then SIGKILL after a grace; nothing if it has ended."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        _signal(child, signum)
        if _has_ended(child, patience=GRACE_SECONDS):
            return


def _signal(child: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Send a signal to the program's whole session, unless it has ended."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signum)
