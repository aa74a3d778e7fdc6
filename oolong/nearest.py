"""The hint that follows an unknown name: the nearest valid one, else the valid ones."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 12


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """One line for the hint of an error about `word`; empty when there is no candidate at all."""
    names = sorted(set(candidates))
    lowered = {name.lower(): name for name in names}
    if near := get_close_matches(word.lower(), lowered, n=1):
        return f"did you mean {lowered[near[0]]!r}?"
    if not names:
        return ""
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return f"one of: {', '.join(names[:SHOWN])}{more}"
