"""What was asserted and what came of it: the checks that a verdict is made of.

A check that does not hold is a finding. Its victims are what it does not hold for (functions, addresses, sections); a
finding about a whole kernel has none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

PASS, FAIL, SKIP, KNOWN = "pass", "fail", "skip", "known"
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One named assertion: `status` is pass, fail, known (a finding that known-issues.yaml covers) or skip (it does
    not apply), `evidence` says on what grounds, `victims` for what it does not hold, `known` which known issues cover
    them."""

    name: str
    status: str
    evidence: str
    victims: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "victims": list(self.victims), "known": list(self.known)}


def judged(name: str, holds: bool, evidence: str) -> Check:
    """A check about a whole."""
    return Check(name=name, status=PASS if holds else FAIL, evidence=evidence)


def none_of(name: str, victims: Iterable[tuple[str, str]], *, held: str) -> Check:
    """A check about many things: (who, what is wrong) of each for which it does not hold; `held` is the evidence if
    that is none."""
    found = list(victims)
    if not found:
        return Check(name=name, status=PASS, evidence=held)
    shown = "; ".join(f"{who}: {what}" for who, what in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    evidence = f"{len(found)}: {shown}{more}"
    return Check(name=name, status=FAIL, evidence=evidence, victims=tuple(who for who, _ in found))


def skipped(name: str, why: str) -> Check:
    return Check(name=name, status=SKIP, evidence=why)


def from_json(read: Mapping[str, Any]) -> Check:
    """A check as `as_json` wrote it."""
    return Check(**{**read, "victims": tuple(read["victims"]), "known": tuple(read["known"])})
