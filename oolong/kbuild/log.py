"""What the output of a build says: the lines of a failed one that matter, the checks that it ran (pure)."""

import re
from collections.abc import Sequence

CULPRIT = re.compile(
    r"\berror: |: Error: |undefined reference to|multiple definition of|No rule to make target"
    r"|^ERROR: |: not found$|\*\*\* "
)
POST_LINK = re.compile(r"^\s*(CHK[A-Z]+)\s", re.MULTILINE)
MOST = 20
# the assembler calls what stopped it a warning, and says in another line that it is an error
FATAL_WARNINGS = "treating warnings as errors"
WARNING = re.compile(r": Warning: ")
PASSED_ON = re.compile(r"make(?:\[\d+\])?: \*\*\* (?:\[.*\] Error \d+|Waiting for unfinished jobs\.+)")


def culprits(lines: Sequence[str]) -> tuple[str, ...]:
    """The first lines that name what went wrong, else the last lines of all; at most 20."""
    fatal = any(FATAL_WARNINGS in line for line in lines)
    found = [line.rstrip() for line in lines if CULPRIT.search(line) or (fatal and WARNING.search(line))]
    return tuple(found[:MOST] if found else [line.rstrip() for line in lines[-MOST:]])


def post_link(said: str) -> list[str]:
    """The checks of the linked image that make says it runs (arch/powerpc/Makefile.postlink), by their short names."""
    return POST_LINK.findall(said)


def causes(lines: Sequence[str]) -> tuple[str, ...]:
    """Those of the lines that say more than that make passes a failure on; all of them if none does."""
    return tuple(line for line in lines if not PASSED_ON.fullmatch(line)) or tuple(lines)
