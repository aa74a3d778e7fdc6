"""What the output of a build says: the lines of a failed one that matter, the checks that it ran (pure)."""

import re
from collections.abc import Iterable, Sequence

CULPRIT = re.compile(
    r"\berror: |: Error: |undefined reference to|multiple definition of|No rule to make target"
    r"|^ERROR: |: not found$|\*\*\* "
)
POST_LINK = re.compile(r"^\s*(CHK[A-Z]+)\s", re.MULTILINE)
MOST = 20
# in place of the lines after the first ones
LEFT_OUT = re.compile(r"… and (\d{1,9}) more in the log")
# the assembler calls what stopped it a warning, and says in another line that it is an error
FATAL_WARNINGS = "treating warnings as errors"
WARNING = re.compile(r": Warning: ")
PASSED_ON = re.compile(r"make(?:\[\d+\])?: \*\*\* (?:\[.*\] Error \d+|Waiting for unfinished jobs\.+)")


def culprits(last: Sequence[str], *, said: Iterable[str] = ()) -> tuple[str, ...]:
    """The first 20 lines that name what went wrong, and how many more there are; else the last lines of all.

    Where `last` are not all lines, `said` are: the whole log.
    """
    before = [line.rstrip() for line in said if CULPRIT.search(line) or WARNING.search(line)]
    there = set(before)
    lines = [*before, *(line.rstrip() for line in last if line.rstrip() not in there)]
    fatal = any(FATAL_WARNINGS in line for line in lines)
    found = [line for line in lines if CULPRIT.search(line) or (fatal and WARNING.search(line))]
    if not found:
        return tuple(line.rstrip() for line in last[-MOST:])
    more = sum(not PASSED_ON.fullmatch(line) for line in found[MOST:])
    return (*found[:MOST], *((f"… and {more} more in the log",) if more else ()))


def left_out(lines: Sequence[str]) -> int:
    """How many lines such lines stand for besides themselves."""
    match = LEFT_OUT.fullmatch(lines[-1]) if lines else None
    return int(match[1]) if match else 0


def post_link(said: str) -> list[str]:
    """The checks of the linked image that make says it runs (arch/powerpc/Makefile.postlink), by their short names."""
    return POST_LINK.findall(said)


def causes(lines: Sequence[str]) -> tuple[str, ...]:
    """Those of the lines that say more than that make passes a failure on; all of them if none does."""
    return tuple(line for line in lines if not PASSED_ON.fullmatch(line)) or tuple(lines)
