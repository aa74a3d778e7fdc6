"""What became of mutants: the checks that noticed each, and tables of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple, Protocol, TypeVar

from oolong.audit.check import Check, CheckStatus


class Outcome(NamedTuple):
    """What became of a mutant: `by` names the checks that noticed it, none if it survived."""

    kind: str
    what: str
    by: tuple[str, ...]


def noticed(before: Sequence[Check], after: Iterable[Check]) -> tuple[str, ...]:
    """The checks that fail, and did not, or not for the same victims as often."""
    victims = {check.name: _victims(check) for check in before}
    held = {check.name for check in before if check.status is CheckStatus.PASS}
    return tuple(
        check.name
        for check in after
        if check.status is CheckStatus.FAIL and (check.name in held or _victims(check) - victims[check.name])
    )


class Kind(Protocol):
    """A mutant of some kind."""

    @property
    def kind(self) -> str: ...


AnyMutant = TypeVar("AnyMutant", bound=Kind)


def few(mutants: Iterable[AnyMutant], draw: Random, each: int | None) -> Iterator[AnyMutant]:
    """Of each kind so many, drawn from all; None: all of them."""
    if each is None:
        yield from mutants
        return
    every = list(mutants)
    draw.shuffle(every)
    made: Counter[str] = Counter()
    for one in every:
        made[one.kind] += 1
        if made[one.kind] <= each:
            yield one


def alone(outcomes: Iterable[Outcome]) -> Counter[str]:
    """How many mutants each check alone noticed."""
    return Counter(one.by[0] for one in outcomes if len(one.by) == 1)


def _victims(check: Check) -> Counter[str]:
    return Counter(finding.who for finding in check.findings)


def told(outcomes: Iterable[Outcome]) -> str:
    """A table of how many mutants there were of each kind, and how many were caught, in markdown."""
    made: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    checks: dict[str, Counter[str]] = {}
    for one in outcomes:
        made[one.kind] += 1
        caught[one.kind] += bool(one.by)
        checks.setdefault(one.kind, Counter()).update(one.by)
    lines = ["| what is changed | mutants | caught | by |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {made[kind]} | {caught[kind]} | {', '.join(name for name, _ in checks[kind].most_common(3))} |"
        for kind in made
    ]
    return "\n".join([*lines, f"| all | {made.total()} | {caught.total()} | |"])
