"""The results of a cell's stages → its verdict: named checks, each with evidence (pure).

A failed stage decides; where all succeeded, what they counted must agree and what they audited must hold. What
known-issues.yaml covers is known, not wrong.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oolong.audit import outcomes
from oolong.audit.catalogue import named
from oolong.audit.check import Answer, Check, CheckStatus, finding, from_json, judged, none_of, skipped
from oolong.audit.outcomes import LINKS, STAGE
from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import Kind
from oolong.kbuild.log import causes, left_out
from oolong.spec.lock import RECORDED, Recorded, RecordedVictims
from oolong.spec.model import Expect
from oolong.stubs.areas import StubAreas
from oolong.verdict import known_issues, lead, victims
from oolong.verdict.due import PART, Demand, completeness
from oolong.verdict.known_issues import Facts, KnownIssue
from oolong.verdict.victims import AUDITS

# the stages whose data holds checks of their own; tree is part of some cells alone
CHECKING = (*AUDITS, "tree")
VMLINUX = "vmlinux"
# with it, the kernel holds which line of the .S each instruction of a stub came from
LINES_OF_SOURCES = "DEBUG_INFO"
# what the stub pass, and the audit of the image, count: of less there is nothing to compare
LINKED_SITES = frozenset(("text", "inittext"))
COUNTS = frozenset(("reserve", "text", "text_end", "inittext", "total"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a cell: `pass`, `fail`, or `known` where nothing but known issues was found. `kind` names the
    failure, `lines` show it, `summary` is one line for a table, `notes` say which known issues cover more than there
    is; `known_issues` are the entries that spoke of a check of this cell."""

    status: CheckStatus
    kind: Kind | None
    summary: str
    lines: tuple[str, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    known_issues: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is known of a cell besides its results: what it expects, and what its build once came to, and for whom its
    checks did not hold, if that was recorded; `inputs` is the digest that recorded inputs are compared with, None where
    nothing was compiled; `unlocked` says that temporary locks stand in, with which it may come to something else;
    `known` are the entries of known-issues.yaml; `demand` says what must have been looked at."""

    expect: Expect
    recorded: Recorded | None = None
    victims: RecordedVictims | None = None
    inputs: str | None = None
    unlocked: bool = False
    known: tuple[KnownIssue, ...] = ()
    demand: Demand = PART

    @property
    def comparable(self) -> bool:
        """Whether the bytes must be those of the record."""
        return self.recorded is not None and not self.unlocked and self.inputs == self.recorded.inputs


def judge(stages: Sequence[StageResult], *, declared: Declared, facts: Facts) -> Verdict:
    """The verdict on a cell of which some stages were made, in the order of the work; `facts` are what the conditions
    of known issues ask for. ValueError without stages: of nothing there is nothing good to say."""
    if not stages:
        raise ValueError("a verdict needs the result of at least one stage")
    by_name = {stage.stage: stage for stage in stages}
    made = (
        *_stages(stages),
        *_expected(by_name, declared.expect),
        *_checks(by_name, facts),
        *_reproduced(by_name, declared),
        *_audited(by_name),
    )
    applied = known_issues.apply((*made, *_same_victims(made, by_name, declared)), declared.known, facts)
    # that a stage succeeded says no more than the results of the stages do
    left = [
        check for check in applied.checks if check.status is not CheckStatus.PASS or not check.name.startswith(STAGE)
    ]
    # after the known issues: that nobody looked is never known
    complete = completeness(stages, left, demand=declared.demand, facts=facts)
    checks = (*left, *([complete.check] if complete.check else ()))
    status, kind, summary, lines = _came_to(stages, checks, facts.release)
    return Verdict(
        status=status,
        kind=kind,
        summary=summary,
        lines=lines,
        checks=checks,
        notes=(*applied.notes, *complete.notes),
        known_issues=applied.entries,
    )


def _came_to(
    stages: Sequence[StageResult], checks: Sequence[Check], release: str | None
) -> tuple[CheckStatus, Kind | None, str, tuple[str, ...]]:
    """The status, kind, summary and lines of a verdict."""
    wrong = [check for check in checks if check.status is CheckStatus.FAIL]
    broken = [stage for stage in stages if stage.status is StageStatus.FAIL]
    evidence = {check.name: check.evidence for check in wrong}
    for stage in broken:
        if why := evidence.get(f"{STAGE}{stage.stage}"):
            if led := lead.at_fault(stage, wrong):
                return CheckStatus.FAIL, *led
            return CheckStatus.FAIL, stage.kind, f"{stage.stage}: {why}", stage.lines
    if wrong:
        lines = tuple(f"{check.name}: {check.evidence}" for check in wrong)
        return CheckStatus.FAIL, named(wrong[0].name).kind, lines[0], lines
    seen = f"{broken[0].stage} failed: {_first_line(broken[0])}" if broken else _seen(stages, release)
    ids = dict.fromkeys(name for check in checks if check.status is CheckStatus.KNOWN for name in check.known)
    if not ids:
        return CheckStatus.PASS, None, seen, ()
    return CheckStatus.KNOWN, None, f"{seen}, {len(ids)} known issue{'s' if len(ids) > 1 else ''}", ()


def _stages(stages: Iterable[StageResult]) -> Iterator[Check]:
    """A check for every stage that ran: that it did not fail. Its victims are the lines that show how it did."""
    for stage in stages:
        entry = named(f"{STAGE}{stage.stage}")
        if stage.status is StageStatus.FAIL:
            yield entry.came(replace(_by_line(causes(stage.lines)), evidence=_first_line(stage)))
        elif stage.status is not StageStatus.BLOCKED:
            yield entry.came(judged(True, "it succeeded"))


def _by_line(lines: Sequence[str]) -> Answer:
    """A finding for each line, and a count of those that are left out; one about the whole if there is none."""
    more = left_out(lines)
    answer = none_of((finding(line, "") for line in (lines[:-1] if more else lines)), held="")
    return replace(answer, status=CheckStatus.FAIL, count=answer.count + more)


def _first_line(stage: StageResult) -> str:
    return stage.lines[0] if stage.lines else stage.kind or "without a word"


def _audited(stages: Mapping[str, StageResult]) -> Iterator[Check]:
    """What the audits of the built and the running kernel found."""
    made = (from_json(read) for name in CHECKING for read in _data(stages, name).get("checks", ()))
    # LookupError for one that nobody declared
    return (check for check in made if named(check.name))


def _expected(stages: Mapping[str, StageResult], expect: Expect) -> Iterator[Check]:
    on = _data(stages, "stubs").get("out_of_line")
    if on is None or expect.ool is None:
        return
    came = f"out-of-line ftrace is {'on' if on else 'off'}"
    good = on == expect.ool
    answer = judged(good, f"{came}, {'as' if good else 'which is not what'} the cell expects")
    yield outcomes.EXPECTED_OOL.came(answer)


def _checks(stages: Mapping[str, StageResult], facts: Facts) -> Iterator[Check]:
    counts = _data(stages, "stubs")
    if counts.get("out_of_line") is False:
        yield outcomes.WITHOUT_STUBS.came(skipped("out-of-line ftrace is off in this configuration"))
        return
    if "stubs" in stages and stages["stubs"].ok and counts.get("out_of_line") is not True:
        yield outcomes.WITHOUT_STUBS.came(judged(False, "the stage stubs does not say whether it is on"))
    if not counts.keys() >= COUNTS:
        return
    if "audit-object" in stages and stages["audit-object"].ok:
        yield outcomes.PLAN.came(_same_plan(counts, _data(stages, "audit-object").get("plan")))
    if stages["stubs"].status is not StageStatus.FAIL:
        yield outcomes.TREE_SCRIPT.came(judged(True, "it assembles to what oolong's does"))
    else:
        lines = stages["stubs"].lines
        yield outcomes.TREE_SCRIPT.came(replace(_by_line(lines), evidence="; ".join(lines)))
    planned = StubAreas(text=counts["reserve"], text_end=counts["text_end"], inittext=counts["inittext"])
    areas = {}
    for name, entry in LINKS.items():
        if name not in stages or not stages[name].ok:
            continue
        words = stages[name].data.get("areas", {})
        if words.keys() == planned.as_json().keys():
            areas[name] = StubAreas(**words)
            evidence = f"in vmlinux {_told(areas[name])}; counted {_told(planned)}"
            yield entry.came(judged(areas[name] == planned, evidence))
        else:
            yield entry.came(judged(False, "vmlinux has no count words"))
    if areas.keys() == LINKS.keys():
        yield outcomes.BOTH_LINKS.came(_both_links(stages, areas, facts))
    sites = _data(stages, "audit-image").get("sites", {})
    if "boot" in stages and stages["boot"].ok and sites.keys() >= LINKED_SITES:
        booted = stages["boot"].data
        answer = _equal(booted.get("allocated"), sites["text"] + sites["inittext"], "the kernel allocated records for")
        yield outcomes.BOOT_SITES.came(answer)
        answer = _equal(booted.get("total"), sites["text"], "with init text freed, the guest lists")
        yield outcomes.BOOT_TOTAL.came(answer)


def _same_plan(counts: Mapping[str, Any], plan: Mapping[str, int] | None) -> Answer:
    """What the stub pass counted, held against what the audit did."""
    if plan is None:
        return judged(False, "the audit of vmlinux.o counted nothing")
    text, init = plan.get("text", 0), plan.get("inittext", 0)
    ours = [counts["text"], counts["inittext"], counts["total"]]
    told = f"{counts['text']} in text, {counts['inittext']} in init text, {counts['total']} in all"
    return judged(ours == [text, init, text + init], f"counted {told}; the audit has {text} and {init}")


def _both_links(stages: Mapping[str, StageResult], areas: Mapping[str, StubAreas], facts: Facts) -> Answer:
    """Equal stubs, linked with equal objects, give equal bytes."""
    if len(set(areas.values())) > 1:
        return judged(False, "they differ")
    told = "both stub passes reserve the same"
    if not stages["stubs"].ok:
        return judged(True, f"{told}; bytes are not compared: see {outcomes.TREE_SCRIPT.name}")
    if (facts.config or {}).get(LINES_OF_SOURCES) == "y":
        return judged(True, f"{told}; bytes are not compared: debug information holds the lines of each .S")
    made = {name: _digest(stages[name], VMLINUX) for name in LINKS}
    if len(set(made.values())) > 1:
        return judged(False, f"{told}, and vmlinux has other bytes: {_pairs(made)}")
    return judged(True, f"{told}, and vmlinux is the same byte for byte")


def _pairs(made: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest or 'none'}" for name, digest in made.items())


def _digest(stage: StageResult, artifact: str) -> str:
    """The SHA-256 of an artifact of a stage; empty if it has none of that name."""
    return stage.artifacts[artifact].sha256 if artifact in stage.artifacts else ""


def _reproduced(stages: Mapping[str, StageResult], declared: Declared) -> Iterator[Check]:
    """Whether the same inputs gave the same bytes as where they were recorded."""
    recorded = declared.recorded
    if recorded is None or not all(name in stages and stages[name].ok for name in ("compile", "link")):
        return
    if declared.unlocked:
        answer = skipped("not compared: temporary locks stand in for the recorded ones")
    elif declared.inputs != recorded.inputs:
        answer = skipped("not compared: it was recorded for other inputs")
    else:
        made = {name: digest for stage, name in RECORDED.items() if (digest := _digest(stages[stage], name))}
        unlike = [name for name, sha256 in recorded.artifacts.items() if made.get(name) != sha256]
        told = ", ".join(f"{name} is {made.get(name, 'missing')}" for name in unlike)
        evidence = f"not as recorded in pipeline.lock: {told}" if unlike else "as recorded in pipeline.lock"
        answer = judged(not unlike, evidence)
    yield outcomes.REPRODUCED.came(answer)


def _same_victims(checks: Sequence[Check], stages: Mapping[str, StageResult], declared: Declared) -> Iterator[Check]:
    """Whether the same inputs have the victims that were recorded."""
    if declared.victims is not None:
        answer = victims.compared(
            checks, declared.victims, stages=stages, inputs=declared.inputs, unlocked=declared.unlocked
        )
        yield outcomes.VICTIMS.came(answer)
    elif declared.recorded is not None and declared.inputs == declared.recorded.inputs:
        yield outcomes.VICTIMS.came(skipped(f"not compared: no victims are recorded; {victims.RECORD}"))


def _equal(seen: int | None, counted: int, what: str) -> Answer:
    if seen is None:
        return judged(False, f"the console does not say for how many sites; vmlinux has {counted}")
    return judged(seen == counted, f"{what} {seen} sites, vmlinux has {counted}")


def _data(stages: Mapping[str, StageResult], name: str) -> Mapping[str, Any]:
    return stages[name].data if name in stages else {}


def _told(areas: StubAreas) -> str:
    return f"{areas.text} within text, {areas.text_end} after it, {areas.inittext} in init text"


def _seen(stages: Iterable[StageResult], release: str | None) -> str:
    """How far a cell came in which nothing failed, and what was seen there."""
    made = {stage.stage: stage.data for stage in stages if stage.ok}
    kernel = f" {release}" if release else ""
    counts = made.get("stubs", {})
    sites = f": {counts['text']} sites in text, {counts['inittext']} in init text" if counts.keys() >= COUNTS else ""
    if "boot" in made:
        booted = made["boot"]
        left = len(booted.get("skipped", ()))
        tests = f"{booted.get('startup_tests')} startup and {booted.get('tests')} guest tests passed"
        return f"booted {booted.get('release')}, {tests}{f', {left} skipped' if left else ''}"
    if "link" in made:
        return f"linked{kernel}{sites}"
    if "compile" in made:
        return f"compiled{kernel}{sites}"
    return "configured, and not compiled" if "configure" in made else "nothing was built"
