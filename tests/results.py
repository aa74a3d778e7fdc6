"""What stages of a cell left, made by hand, and the verdict on it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oolong.audit import catalogue
from oolong.audit.check import Check, CheckStatus
from oolong.audit.outcomes import STAGE, STAGES
from oolong.audit.registry import Trait
from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import Kind
from oolong.machine import stops
from oolong.spec.model import Expect, NotDue
from oolong.verdict import judge as verdict
from oolong.verdict.due import Demand
from oolong.verdict.known_issues import Facts, KnownIssue

EVERY = frozenset(Trait) - {Trait.EXPECTED, Trait.RECORDED}
TRACED = {
    "DYNAMIC_FTRACE": "y",
    "PPC_FTRACE_OUT_OF_LINE": "y",
    "ARCH_USING_PATCHABLE_FUNCTION_ENTRY": "y",
    "RELOCATABLE": "y",
    "KPROBES_ON_FTRACE": "y",
    "KPROBE_EVENTS": "y",
    "MODULES": "y",
    "FUNCTION_GRAPH_TRACER": "y",
    "FTRACE_STARTUP_TEST": "y",
    "STACK_TRACER": "y",
    "SYSCTL": "y",
}
AREAS = {"text": 4, "text_end": 2, "inittext": 2}
COUNTS: Any = {"out_of_line": True, "reserve": 4, "text": 6, "text_end": 2, "inittext": 2, "total": 8}
STOPS = [stop for stop in (stops.INIT_MEMORY, *stops.NAMES) if stop not in (stops.DIRECT, stops.LIVEPATCH)]
BOOTED: Any = {
    "release": "7.3.4",
    "allocated": 8,
    "total": 6,
    "tests": 14,
    "skipped": [],
    "startup_tests": 15,
    "stops": STOPS,
}
SECTIONS = [
    "available_filter_functions",
    "available_filter_functions_addrs",
    "kprobes",
    "touched_functions@off-again",
    *(f"{name}@{stop}" for stop in STOPS[1:] for name in ("dyn_ftrace_total_info", "enabled_functions")),
]
# what the stages of an audit decide
MADE = {
    name: [one for one, entry in catalogue.entries().items() if entry.stages == (name,) and not one.startswith(STAGE)]
    for name in ("audit-object", "audit-image", "live", "tree")
}
NOTHING = verdict.Declared(expect=Expect())
FACTS = Facts(axes={"endian": "le"}, release="7.3.4", config={})


def stage(
    name: str, status: StageStatus = StageStatus.OK, kind: str | None = None, lines: tuple[str, ...] = (), **data: Any
) -> StageResult:
    return StageResult(
        stage=name,
        digest="0" * 64,
        folder=Path("/nowhere"),
        status=status,
        kind=Kind(kind) if kind else None,
        lines=lines,
        artifacts={},
        trees={},
        data=data,
        keep=True,
        blocks=True,
        seconds=1.0,
    )


def held(names: Iterable[str]) -> list[dict[str, Any]]:
    return [Check(name=name, status=CheckStatus.PASS, evidence="it holds").as_json() for name in names]


def healthy() -> dict[str, StageResult]:
    """The results of a cell in which all ran and all holds, by stage."""
    data: dict[str, dict[str, Any]] = {name: {} for name in STAGES}
    data |= {name: {"checks": held(checks)} for name, checks in MADE.items() if name in STAGES}
    data["stubs"] |= COUNTS
    data["link"] |= {"areas": AREAS}
    data["crosslink"] |= {"areas": AREAS}
    data["audit-object"] |= {"plan": {"text": 6, "inittext": 2}}
    data["audit-image"] |= {"sites": {"text": 6, "inittext": 2}}
    data["boot"] |= BOOTED
    data["live"] |= {"sections": SECTIONS}
    return {name: stage(name, **fields) for name, fields in data.items()}


def judge(
    stages: Mapping[str, StageResult],
    *,
    config: Mapping[str, str] | None = TRACED,
    traits: frozenset[Trait] = EVERY,
    whole: bool = True,
    not_due: tuple[NotDue, ...] = (),
    release: str = "7.3.4",
    known: tuple[KnownIssue, ...] = (),
    expect: Expect = Expect(),  # noqa: B008
) -> verdict.Verdict:
    demand = Demand(whole=whole, traits=traits, not_due=not_due)
    declared = verdict.Declared(expect=expect, demand=demand, known=known)
    return verdict.judge(list(stages.values()), declared=declared, facts=Facts(release=release, config=config))
