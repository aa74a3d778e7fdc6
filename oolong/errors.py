"""The two ways in which oolong stops: the input is wrong, or the world around it is; and the nearest valid name.

A kernel that does not build or boot is neither: it is a verdict, a value of one kind.
"""

import sqlite3
from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum

from oolong.printable import printable_lines

# valid names that a hint lists
NAMES_SHOWN = 12


class Kind(StrEnum):
    """What a failed stage, or a check that does not hold, makes of a cell: docs/stub-pass.md explains each."""

    BUILD = "build"
    CONFIG_DRIFT = "config-drift"
    STUB_AUDIT = "stub-audit"
    FTRACE_BUG = "ftrace-bug"
    OOPS = "oops"
    PANIC = "panic"
    WARN = "warn"
    STALL = "stall"
    HANG = "hang"
    TIMEOUT = "timeout"
    FLOOD = "flood"
    RESET = "reset"
    GUEST_TEST = "guest-test"
    UNEXPECTED = "unexpected"
    DIGEST = "digest"


class OolongError(Exception):
    """Something a person has to act on; `exit_code` is what `./doit` then ends with. As text it is fit for a terminal,
    whoever wrote the bytes that are in it."""

    exit_code = 3

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        """`where` is `file:line:column` or a path; `hint` says what to do."""
        self.what, self.where, self.hint = what, where, hint
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return printable_lines(f"{head}\n  {self.hint}" if self.hint else head)


class BadInput(OolongError):
    """What the person gave (a file, an option, a kernel tree) cannot be used as it is."""

    exit_code = 2


class BadOutput(OolongError):
    """A build did not leave what it must leave; the kernel's fault, so whoever runs stages makes a failure of it."""

    exit_code = 1


class Infrastructure(OolongError):
    """The mirror, the disk, the sandbox or a tool of the host failed; says nothing about a kernel."""

    exit_code = 3


class Missing(Infrastructure):
    """No mirror has a locked package any more; `path` is where it was below each of them."""

    def __init__(self, what: str, *, path: str, hint: str = "") -> None:
        self.path = path
        super().__init__(what, hint=hint)


class Damaged(Infrastructure):
    """Something in the cache is not what was put there; it was removed, to be made anew."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not what it was", hint="its stage was removed from the cache: start again")


# what the system says when a disk is full or cannot be written, also through a database
SYSTEM_ERRORS = (OSError, sqlite3.Error)


def as_oolong_error(error: Exception) -> OolongError:
    """One of SYSTEM_ERRORS as Infrastructure; ours as they are."""
    if isinstance(error, OolongError):
        return error
    return Infrastructure(str(error), hint="is there room, and can the cache and build/ be written?")


class Interrupted(OolongError):
    """A signal asked us to stop."""

    exit_code = 130


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """One line for the hint of an error about `word`; empty when there is no candidate at all."""
    names = sorted(set(candidates))
    lowered = {name.lower(): name for name in names}
    if near := get_close_matches(word.lower(), lowered, n=1):
        return f"did you mean {lowered[near[0]]!r}?"
    if not names:
        return ""
    more = f", … ({len(names)} in all)" if len(names) > NAMES_SHOWN else ""
    return f"one of: {', '.join(names[:NAMES_SHOWN])}{more}"
