"""What must have been looked at in a cell, and what of it was not (pure).

What is due follows from the catalogue of checks, the traits of the cell and its .config. A check that is due and was
skipped or not made, a stop, a section of the guest's report or a test that is not there: each is a finding of the check
`audit.complete`. What a failed stage could not come to is not due: that failure is told.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from oolong.audit import catalogue, outcomes
from oolong.audit.check import Check, CheckStatus, finding, none_of
from oolong.audit.guest_report import AVAILABLE, ENABLED, PROBES, TOTAL, TOUCHED, WITH_ADDRESSES
from oolong.audit.outcomes import STAGE, STAGES
from oolong.audit.registry import AUDITED, SINCE_OUT_OF_LINE, WITH_REPORT, WITH_STUBS, Due, Trait
from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import BadInput, did_you_mean
from oolong.machine import stops
from oolong.machine.family import FAMILIES
from oolong.spec.model import Cell, NotDue
from oolong.verdict.known_issues import Facts

# newer than any release: that of a kernel whose own says nothing
NEWEST = (10**9,)
STOPS, SECTIONS, TESTS, SITES = "stops", "sections", "tests", "sites"
GUEST_TESTS, STARTUP_TESTS = f"{TESTS}.guest", f"{TESTS}.startup"
COUNTED, LINKED = f"{SITES}.object", f"{SITES}.image"
# the sections of the guest's report: those of each stop at which it writes them, and the others, with what they need
AT_EACH_STOP = TOTAL, ENABLED
AT_ONE_STOP: Mapping[str, Due] = {
    AVAILABLE: AUDITED,
    WITH_ADDRESSES: AUDITED & SINCE_OUT_OF_LINE,
    PROBES: AUDITED & Due(symbols={"KPROBES_ON_FTRACE": "y", "KPROBE_EVENTS": "y"}),
    f"{TOUCHED}@{stops.QUIET}": AUDITED & SINCE_OUT_OF_LINE,
}
KPROBED = Due(symbols={"KPROBE_EVENTS": "y"})
WITH_MODULES = Due(traits=frozenset({Trait.MODULES}))
# the tests that guest/init.c skips where it does not find what they need, and the kernels that have it
SKIPPABLE: Mapping[str, Due] = {
    "module loaded and unloaded while tracing": WITH_MODULES,
    "a module without functions": WITH_MODULES,
    "stack tracer": Due(symbols={"STACK_TRACER": "y", "SYSCTL": "y"}),
    "kprobe at a function's entry": KPROBED,
    "kprobes by symbol": KPROBED,
}
# a name of something that can be due, or a glob over the names of one kind
ONE_KIND = re.compile(r"[a-z]+\..+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked of a cell besides its .config: whether all of its stages were to be made (`whole`) or the verdict
    is on a part of it, its traits, and what is declared not to be due."""

    whole: bool = False
    traits: frozenset[Trait] = frozenset()
    not_due: tuple[NotDue, ...] = ()


# a part of some cell that has nothing special about it
PART = Demand()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that is due; `why` says in what way it did not run, None if it did."""

    name: str
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """The check `audit.complete`, None where nothing was due; `notes` on declarations that nothing needs."""

    check: Check | None
    notes: tuple[str, ...] = ()


def demand_of(cell: Cell, *, whole: bool, stages: Collection[str], recorded: bool) -> Demand:
    """`stages` are the names of those that the cell has; `recorded` says that its inputs are those of a record."""
    traits = {
        Trait.MODULES: cell.config.modules,
        Trait.REPORT: FAMILIES[cell.machine.family].report is not None,
        Trait.LINK_BOTH: cell.link_both,
        Trait.EXPECTED: cell.expect.ool is not None,
        Trait.RECORDED: recorded,
        Trait.TREE: "tree" in stages,
    }
    return Demand(
        whole=whole,
        traits=frozenset(trait for trait, has in traits.items() if has),
        not_due=(*cell.config.not_due, *cell.machine.not_due),
    )


def names() -> tuple[str, ...]:
    """All that can be declared not to be due; a stage is always due."""
    checks = [name for name, entry in catalogue.entries().items() if not (name.startswith(STAGE) or entry.due.never)]
    every = stops.INIT_MEMORY, *stops.NAMES
    at_stops = [f"{SECTIONS}.{section}@{stop}" for stop in stops.NAMES for section in AT_EACH_STOP]
    return (
        *checks,
        *(f"{STOPS}.{name}" for name in every),
        *(f"{SECTIONS}.{name}" for name in AT_ONE_STOP),
        *at_stops,
        GUEST_TESTS,
        STARTUP_TESTS,
        *(f"{TESTS}.{name}" for name in SKIPPABLE),
        COUNTED,
        LINKED,
    )


def check_declared(declared: Sequence[NotDue]) -> None:
    """BadInput for a declaration that is about nothing, or about everything."""
    known = names()
    for one in declared:
        if not ONE_KIND.fullmatch(one.name):
            what = f"not_due: {one.name!r} does not say of which kind: a name like live.sites, or a glob like live.*"
            raise BadInput(what, where=one.where, hint=did_you_mean(one.name, known))
        if not any(_covers(one, name) for name in known):
            what = f"not_due: {one.name!r} names nothing that can be due"
            raise BadInput(what, where=one.where, hint=did_you_mean(one.name.replace("*", ""), known))


def completeness(
    stages: Sequence[StageResult], checks: Sequence[Check], *, demand: Demand, facts: Facts
) -> Completeness:
    """Whether all that is due ran; `checks` are those of the verdict."""
    left: list[Item] = []
    asked: list[Item] = []
    for item in _items(stages, {check.name: check for check in checks}, demand, facts):
        excused = any(_covers(one, item.name) for one in demand.not_due) and not item.name.startswith(STAGE)
        (left if excused else asked).append(item)
    notes = tuple(_needless(left, demand)) if demand.whole and all(stage.ok for stage in stages) else ()
    if not asked:
        return Completeness(check=None, notes=notes)
    wrong = (finding(item.name, f"due, and {item.why}") for item in asked if item.why)
    reasons = "".join(f"; not due: {one.name} ({one.reason})" for one in demand.not_due)
    answer = none_of(wrong, held=f"{len(asked)} stages, checks, stops, sections and tests were due, and ran{reasons}")
    return Completeness(check=outcomes.COMPLETE.came(answer), notes=notes)


def _needless(left: Sequence[Item], demand: Demand) -> Iterator[str]:
    """A note on each declaration that leaves out only what ran."""
    for one in demand.not_due:
        covered = [item for item in left if _covers(one, item.name)]
        if all(item.why is None for item in covered):
            yield f"declared as not due, and nothing of it is missing: {one.name} ({one.reason})"


def _covers(one: NotDue, name: str) -> bool:
    return one.name == name or fnmatchcase(name, one.name)


def _items(stages: Sequence[StageResult], checks: Mapping[str, Check], demand: Demand, facts: Facts) -> Iterator[Item]:
    """All that is due, in the order of the work: of a part of a cell only what the stages there could come to."""
    seen = _Seen(stages, demand, facts)
    yield from _stages(seen)
    if seen.config is None:
        if not seen.failed and (demand.whole or "compile" in seen.made):
            yield Item(name=f"{STAGE}configure", why="its .config is not there, which says what is due")
        return
    yield from _checks(seen, checks)
    yield from _sites(seen)
    if seen.ran("boot"):
        yield from _of_the_guest(seen)


class _Seen:
    """The stages of a cell as conditions ask for them."""

    def __init__(self, stages: Sequence[StageResult], demand: Demand, facts: Facts) -> None:
        self.release = facts.version or (NEWEST if facts.release else None)
        self.config = facts.config
        self.demand = demand
        self.made = {stage.stage for stage in stages}
        self.failed = {stage.stage for stage in stages if stage.status is StageStatus.FAIL}
        self.blocked = {stage.stage for stage in stages if stage.status is StageStatus.BLOCKED}
        self._data = {stage.stage: stage.data for stage in stages}

    def holds(self, due: Due) -> bool:
        return due.holds(config=self.config or {}, traits=self.demand.traits, release=self.release)

    def may_tell(self, stage: str) -> bool:
        """Whether something is to be expected of a stage: it is there, or was to be, and nothing that failed keeps it
        from telling all."""
        lost = self.failed | self.blocked
        # of a guest that failed memory is kept as far as it came
        return (
            stage not in lost and not (stage == "live" and "boot" in lost) and (stage in self.made or self.demand.whole)
        )

    def ran(self, stage: str) -> bool:
        return stage in self.made and self.may_tell(stage)

    def data(self, stage: str) -> Mapping[str, Any]:
        return self._data.get(stage, {})


def _stages(seen: _Seen) -> Iterator[Item]:
    for name, entry in STAGES.items():
        if name in seen.blocked and not seen.failed:
            yield Item(name=entry.name, why="was blocked, and no stage failed")
        elif seen.demand.whole and seen.holds(entry.due):
            yield Item(name=entry.name, why=None if name in seen.made else "was not made")


def _checks(seen: _Seen, checks: Mapping[str, Check]) -> Iterator[Item]:
    for name, entry in catalogue.entries().items():
        if name.startswith(STAGE) or not seen.holds(entry.due) or not all(map(seen.may_tell, entry.stages)):
            continue
        made = checks.get(name)
        if made is None:
            yield Item(name=name, why="was not made")
        else:
            yield Item(name=name, why=f"skipped: {made.evidence}" if made.status is CheckStatus.SKIP else None)


def _sites(seen: _Seen) -> Iterator[Item]:
    """The patch sites that the checks looked at: with none of them each check holds."""
    none = "there are none: each check holds of nothing"
    if seen.holds(WITH_STUBS) and seen.ran("stubs"):
        yield Item(name=COUNTED, why=None if seen.data("stubs").get("total") else none)
    if seen.holds(AUDITED) and seen.ran("audit-image"):
        yield Item(name=LINKED, why=None if any(seen.data("audit-image").get("sites", {}).values()) else none)


def _of_the_guest(seen: _Seen) -> Iterator[Item]:
    """Stops, sections and tests of a guest that came to its end."""
    booted = seen.data("boot")
    yield Item(name=GUEST_TESTS, why=_without_tests(booted))
    if seen.holds(Due(symbols={"FTRACE_STARTUP_TEST": "y"})):
        why = None if booted.get("startup_tests") else "the kernel printed none of FTRACE_STARTUP_TEST"
        yield Item(name=STARTUP_TESTS, why=why)
    yield from _skipped(seen, booted.get("skipped", ()))
    if not seen.holds(AUDITED):
        return
    expected = stops.expected(seen.config or {}, modules=Trait.MODULES in seen.demand.traits)
    for name in expected:
        yield Item(name=f"{STOPS}.{name}", why=None if name in booted.get("stops", ()) else "the guest did not stop")
    if seen.ran("live") and seen.holds(WITH_REPORT):
        written = seen.data("live").get("sections", ())
        for name in _sections(seen, [stop for stop in expected if stop in stops.NAMES]):
            yield Item(name=f"{SECTIONS}.{name}", why=None if name in written else "is not in the guest's report")


def _without_tests(booted: Mapping[str, Any]) -> str | None:
    """Why nothing can be said of the guest's tests; None if something can."""
    if not booted.get("tests"):
        return "the guest made no test"
    return None if "skipped" in booted else "nobody says which tests the guest skipped"


def _skipped(seen: _Seen, told: Iterable[str]) -> Iterator[Item]:
    """The tests that the guest skips for want of what they need: in a kernel that has it they are due, and any other
    test is due in each kernel. `told` are names with reasons."""
    reasons = {name: reason for name, _, reason in (one.partition(": ") for one in told)}
    for name, due in SKIPPABLE.items():
        if seen.holds(due):
            yield Item(name=f"{TESTS}.{name}", why=f"skipped: {reasons[name]}" if name in reasons else None)
    for name in sorted(reasons.keys() - SKIPPABLE.keys()):
        yield Item(name=f"{TESTS}.{name}", why=f"skipped: {reasons[name]}")


def _sections(seen: _Seen, at: Sequence[str]) -> Iterator[str]:
    yield from (name for name, due in AT_ONE_STOP.items() if seen.holds(due))
    yield from (f"{section}@{stop}" for stop in at for section in AT_EACH_STOP)
