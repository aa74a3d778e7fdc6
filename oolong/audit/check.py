"""What was asserted and what came of it: the checks that a verdict is made of.

A check that does not hold is a finding, about a whole kernel or about many things: then it holds a Finding for each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta

# that evidence shows, and that are kept
SHOWN, MOST_FINDINGS = 5, 10_000


class CheckStatus(StrEnum):
    """What came of a check: `known` is a finding that known-issues.yaml covers, `skip` says that it does not apply."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SKIP = "skip"
    KNOWN = "known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing for which a check does not hold: `who` names it (a function, a stub area, a line), `what` is wrong.

    `address` is that of the patch site, slot, stub or function, in hexadecimal: not every reader of JSON has 64 bits
    for a number. Where there is a `section`, of an object, it counts from its start. `stop` is the point at which the
    guest stood still. `rule` names the rule that explains the finding, if one does: a known issue may cover it by that.
    """

    who: str
    what: str
    address: Annotated[str, Meta(pattern="^0x[0-9a-f]+$")] | None = None
    section: str | None = None
    stop: str = ""
    rule: str = ""

    @property
    def told(self) -> str:
        """The finding in one line."""
        what = f"at {self.stop}: {self.what}" if self.stop else self.what
        return f"{self.who}: {what}" if what else self.who


def finding(
    who: str, what: str, address: int | None = None, section: str | None = None, *, stop: str = "", rule: str = ""
) -> Finding:
    """A finding at an address."""
    place = None if address is None else hex(address)
    return Finding(who=who, what=what, address=place, section=section, stop=stop, rule=rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a look came to: `evidence` says on what grounds, `findings` are at most MOST_FINDINGS of those that there
    are, `count` is the number of functions (or what else `who` names) that they are about."""

    status: CheckStatus
    evidence: str
    findings: tuple[Finding, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Answer):
    """The answer to one named assertion; `known` are the known issues that cover it, or some of its victims."""

    name: str
    known: tuple[str, ...] = ()

    @property
    def victims(self) -> tuple[str, ...]:
        """For whom it does not hold, each name once."""
        return tuple(dict.fromkeys(finding.who for finding in self.findings))

    def as_json(self) -> dict[str, Any]:
        written: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return written


def judged(holds: bool, evidence: str) -> Answer:
    """About a whole."""
    return Answer(status=CheckStatus.PASS if holds else CheckStatus.FAIL, evidence=evidence)


def none_of(findings: Iterable[Finding], *, held: str) -> Answer:
    """About many things: a finding for each that is wrong; `held` is the evidence if there is none.

    What is found of one function at several stops counts once; functions of one name at several addresses do not.
    """
    found = list(findings)
    if not found:
        return Answer(status=CheckStatus.PASS, evidence=held)
    first: dict[tuple[str, str | None], Finding] = {}
    for one in found:
        first.setdefault((one.who, one.address), one)
    shown = "; ".join(one.told for one in islice(first.values(), SHOWN))
    more = f"; and {len(first) - SHOWN} more" if len(first) > SHOWN else ""
    return Answer(
        status=CheckStatus.FAIL,
        evidence=f"{len(first)}: {shown}{more}",
        findings=_kept(found, first.values()),
        count=len(first),
    )


def _kept(found: list[Finding], first: Iterable[Finding]) -> tuple[Finding, ...]:
    """All, or of too many first one for each function."""
    if len(found) <= MOST_FINDINGS:
        return tuple(found)
    firsts = list(first)
    told = {id(one) for one in firsts}
    return tuple(islice(chain(firsts, (one for one in found if id(one) not in told)), MOST_FINDINGS))


def skipped(why: str) -> Answer:
    """About what does not apply."""
    return Answer(status=CheckStatus.SKIP, evidence=why)


def from_json(read: Mapping[str, Any]) -> Check:
    """A check as `as_json` wrote it; ValueError for anything else."""
    return msgspec.convert(read, Check)
