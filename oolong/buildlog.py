"""The lines of a failed build that matter (pure)."""

import re
from collections.abc import Sequence

CULPRIT = re.compile(
    r"\berror: |: Error: |undefined reference to|multiple definition of|No rule to make target"
    r"|^ERROR: |: not found$|\*\*\* "
)
MOST = 20


def culprits(lines: Sequence[str]) -> tuple[str, ...]:
    """The first lines that name what went wrong, else the last lines of all; at most 20."""
    found = [line.rstrip() for line in lines if CULPRIT.search(line)]
    return tuple(found[:MOST] if found else [line.rstrip() for line in lines[-MOST:]])
