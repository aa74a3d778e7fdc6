"""For whom the checks of a cell do not hold → whether these are the recorded ones, from equal inputs (pure).

Known issues cover what a rule explains, however much that is. That it is the same as ever only the record says.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from oolong.audit import outcomes
from oolong.audit.check import Answer, Check, CheckStatus, Finding, finding, judged, none_of, skipped
from oolong.engine.stage import StageResult
from oolong.host.digest import digest_of
from oolong.spec.lock import RecordedVictims, Victims

# the stages that make the findings: without one of them there is less to compare
AUDITS = ("audit-object", "audit-image", "live")
RECORD = "./doit record victims=1 records them"
# what is wrong is the same at another address
NUMBER = re.compile(r"\b(?:0x[0-9a-f]+|\d+)\b")
# what compares with a record is no victim of its own
COMPARISONS = frozenset((outcomes.REPRODUCED.name, outcomes.VICTIMS.name))


def victims_of(checks: Iterable[Check]) -> dict[str, dict[str, list[str]]]:
    """The victims of the checks that do not hold, known issues included; of a whole kernel its one victim is ""."""
    found: dict[str, dict[str, list[str]]] = {}
    for check in checks:
        if check.status not in (CheckStatus.FAIL, CheckStatus.KNOWN) or check.name in COMPARISONS:
            continue
        # at several stops it is one; two functions of one name are two
        each = dict.fromkeys((one.who, one.address, _kind(one)) for one in check.findings) or {("", None, ""): None}
        own = found.setdefault(check.name, {})
        for who, _, kind in each:
            own.setdefault(kind, []).append(who)
    return {name: {kind: sorted(names) for kind, names in kinds.items()} for name, kinds in found.items()}


def _kind(one: Finding) -> str:
    """What explains a finding, else what is wrong, without its numbers."""
    return one.rule or NUMBER.sub("#", one.what)


def recorded_as(victims: Victims, *, inputs: str) -> RecordedVictims:
    """What is to be recorded of victims."""
    return RecordedVictims(inputs=inputs, sha256=digest_of(victims), names=victims)


def compared(
    checks: Iterable[Check],
    recorded: RecordedVictims,
    *,
    stages: Mapping[str, StageResult],
    inputs: str | None,
    unlocked: bool,
) -> Answer:
    """Whether the victims are those that were recorded: no new ones, and none gone."""
    if unlocked:
        return skipped("not compared: temporary locks stand in for the recorded ones")
    if inputs != recorded.inputs:
        return skipped("not compared: they were recorded for other inputs")
    if missing := [name for name in AUDITS if name not in stages or not stages[name].ok]:
        return skipped(f"not compared: without the result of {', '.join(missing)}")
    victims = victims_of(checks)
    if digest_of(victims) == recorded.sha256:
        total = sum(len(names) for kinds in victims.values() for names in kinds.values())
        return judged(True, f"{total} victims, as recorded in pipeline.lock")
    if recorded.names is None:
        return judged(False, "others than pipeline.lock records; their names are not in pipeline.victims")
    became: dict[str, list[str]] = {}
    for name, who, what in changes(recorded.names, victims):
        became.setdefault(who or name, []).append(what)
    return none_of((finding(who, ", ".join(what)) for who, what in became.items()), held="the same names")


def changes(before: Victims, after: Victims) -> Iterator[tuple[str, str, str]]:
    """(check, victim, what became of it) of each one that is new or gone."""
    for name in sorted({*before, *after}):
        old, new = before.get(name, {}), after.get(name, {})
        for kind in sorted({*old, *new}):
            told = f" ({kind})" if kind else ""
            was, now = Counter(old.get(kind, ())), Counter(new.get(kind, ()))
            for difference, what in ((now - was, "new in"), (was - now, "gone from")):
                yield from ((name, who, f"{what} {name}{told}") for who in sorted(difference.elements()))
