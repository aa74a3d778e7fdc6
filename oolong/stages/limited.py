"""Commands under a time limit: one that exceeds it ends the work of its stage, and the outcome is a time-out."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec

from oolong.engine.stage import Outcome, Work, failed
from oolong.errors import Kind
from oolong.host.sandbox import Ran, Sandbox
from oolong.stages import sandboxed

# of a command that exceeded its time limit, as evidence
LAST_LINES = 10
Given = ParamSpec("Given")


class Late(Exception):
    """A command exceeded its time limit; it may do better another time, on another machine."""

    def __init__(self, limit: float, said: Sequence[str]) -> None:
        self._lines = (f"timeout: not over after {limit:.0f} s", *said[-LAST_LINES:])
        super().__init__(self._lines[0])

    def outcome(self, *, artifacts: Mapping[str, str] | None = None) -> Outcome:
        """What the stage came to by it."""
        return failed(Kind.TIMEOUT, self._lines, artifacts=artifacts or {}, keep=False)


def limited(work: Callable[Given, Outcome]) -> Callable[Given, Outcome]:
    """The work of a stage whose commands may be late."""

    @wraps(work)
    def in_time(*args: Given.args, **kwargs: Given.kwargs) -> Outcome:
        try:
            return work(*args, **kwargs)
        except Late as late:
            return late.outcome()

    return in_time


def run(
    work: Work,
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    on_output: Callable[[bytes], object] | None = None,
    compiles: bool = False,
) -> Ran:
    """As sandboxed.run; raises Late if the command took more than `timeout` seconds."""
    done = sandboxed.run(work, sandbox, argv, timeout=timeout, on_line=on_line, on_output=on_output, compiles=compiles)
    if done.late is not None:
        raise Late(done.late, done.lines)
    return done
