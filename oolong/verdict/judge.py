"""The results of a cell's stages → its verdict: named checks, each with evidence (pure).

A failed stage decides; where all succeeded, what they counted must agree and what they audited must hold. What
known-issues.yaml covers is known, not wrong.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from oolong.audit.check import FAIL, KNOWN, PASS, Check, from_json, judged, skipped
from oolong.engine.stage import BLOCKED, StageResult
from oolong.engine.stage import FAIL as STAGE_FAIL
from oolong.kbuild.log import causes
from oolong.spec.lock import Recorded
from oolong.spec.model import Expect
from oolong.stubs.counting import StubAreas
from oolong.verdict import known_issues
from oolong.verdict.known_issues import Facts, KnownIssue

STUB_AUDIT, GUEST_TEST = "stub-audit", "guest-test"
EXPECTED_OOL, REPRODUCED = "expect.ool", "artifacts.digest"
# what a failed check makes of a cell, where it is no finding about stubs, nor one of the guest about itself
KINDS = {EXPECTED_OOL: "unexpected", REPRODUCED: "digest"}
LINKS = ("link", "crosslink")
# the stages whose data holds checks of their own
AUDITS = ("audit", "live")
STAGE, GUEST = "stage.", "guest."
MOST_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a cell: `pass`, `fail`, or `known` where nothing but known issues was found. `kind` names the
    failure, `lines` show it, `summary` is one line for a table, `notes` say which known issues cover more than there
    is; `known_issues` are the entries that spoke of a check of this cell."""

    status: str
    kind: str | None
    summary: str
    lines: tuple[str, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    known_issues: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        listed = {name: list(getattr(self, name)) for name in ("lines", "notes", "known_issues")}
        return {**asdict(self), **listed, "checks": [check.as_json() for check in self.checks]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is known of a cell before it is built: what it expects, and what it once came to, if that was recorded;
    `unlocked` says that temporary locks stand in, with which it may come to something else; `known` are the entries of
    known-issues.yaml."""

    expect: Expect
    recorded: Recorded | None = None
    unlocked: bool = False
    known: tuple[KnownIssue, ...] = ()


def judge(
    stages: Sequence[StageResult], *, areas: Mapping[str, StubAreas], declared: Declared, facts: Facts
) -> Verdict:
    """The verdict on a cell; `areas` are the stub areas of its linked kernels, by the stage that linked them;
    a link without areas has no count words. `facts` are what the conditions of known issues ask for."""
    by_name = {stage.stage: stage for stage in stages}
    applied = known_issues.apply(
        (
            *_stages(stages),
            *_expected(by_name, declared.expect),
            *_checks(by_name, areas),
            *_reproduced(by_name, declared),
            *_audited(by_name),
        ),
        declared.known,
        facts,
    )
    # that a stage succeeded says no more than the results of the stages do
    checks = tuple(check for check in applied.checks if check.status != PASS or not check.name.startswith(STAGE))
    status, kind, summary, lines = _came_to(stages, checks)
    return Verdict(
        status=status,
        kind=kind,
        summary=summary,
        lines=lines,
        checks=checks,
        notes=applied.notes,
        known_issues=applied.entries,
    )


def _came_to(stages: Sequence[StageResult], checks: Sequence[Check]) -> tuple[str, str | None, str, tuple[str, ...]]:
    """The status, kind, summary and lines of a verdict."""
    wrong = [check for check in checks if check.status == FAIL]
    broken = [stage for stage in stages if stage.status == STAGE_FAIL]
    evidence = {check.name: check.evidence for check in wrong}
    for stage in broken:
        if why := evidence.get(f"{STAGE}{stage.stage}"):
            return FAIL, stage.kind, f"{stage.stage}: {why}", stage.lines
    if wrong:
        lines = tuple(f"{check.name}: {check.evidence}" for check in wrong)
        return FAIL, _kind(wrong[0].name), lines[0], lines
    seen = f"{broken[0].stage} failed: {_first_line(broken[0])}" if broken else _seen(stages)
    ids = dict.fromkeys(name for check in checks if check.status == KNOWN for name in check.known)
    if not ids:
        return PASS, None, seen, ()
    return KNOWN, None, f"{seen}, {len(ids)} known issue{'s' if len(ids) > 1 else ''}", ()


def _kind(check: str) -> str:
    return KINDS.get(check, GUEST_TEST if check.startswith(GUEST) else STUB_AUDIT)


def _stages(stages: Iterable[StageResult]) -> Iterator[Check]:
    """A check for every stage that ran: that it did not fail. Its victims are the lines that show how it did."""
    for stage in stages:
        if stage.status == STAGE_FAIL:
            lines = causes(stage.lines)
            if len(lines) > MOST_LINES:
                # a line that only a glob for everything covers: what is not here cannot be known
                lines = (*lines[: MOST_LINES - 1], f"and {len(lines) - MOST_LINES + 1} more lines")
            evidence = _first_line(stage)
            yield Check(name=f"{STAGE}{stage.stage}", status=FAIL, evidence=evidence, victims=lines)
        elif stage.status != BLOCKED:
            yield Check(name=f"{STAGE}{stage.stage}", status=PASS, evidence="it succeeded")


def _first_line(stage: StageResult) -> str:
    return stage.lines[0] if stage.lines else stage.kind or "without a word"


def _audited(stages: Mapping[str, StageResult]) -> Iterator[Check]:
    """What the audits of the built and the running kernel found."""
    for name in AUDITS:
        yield from (from_json(read) for read in _data(stages, name).get("checks", ()))


def _expected(stages: Mapping[str, StageResult], expect: Expect) -> Iterator[Check]:
    on = _data(stages, "stubs").get("out_of_line")
    if on is None or expect.ool is None:
        return
    came = f"out-of-line ftrace is {'on' if on else 'off'}"
    good = on == expect.ool
    yield judged(EXPECTED_OOL, good, f"{came}, {'as' if good else 'which is not what'} the cell expects")


def _checks(stages: Mapping[str, StageResult], areas: Mapping[str, StubAreas]) -> Iterator[Check]:
    counts = _data(stages, "stubs")
    booted = _data(stages, "boot")
    if counts.get("out_of_line") is False:
        yield skipped("stubs.out-of-line", "out-of-line ftrace is off in this configuration")
        return
    if "total" not in counts:
        return
    planned = StubAreas(text=counts["reserve"], text_end=counts["text_end"], inittext=counts["inittext"])
    agrees = stages["stubs"].status != STAGE_FAIL
    evidence = "its counts are ours" if agrees else "; ".join(stages["stubs"].lines)
    victims = () if agrees else stages["stubs"].lines
    yield replace(judged("object.tree-script", agrees, evidence), victims=victims)
    for stage in LINKS:
        if stage in areas:
            evidence = f"in vmlinux {_told(areas[stage])}; counted {_told(planned)}"
            yield judged(f"stubs.{stage}", areas[stage] == planned, evidence)
        elif stage in stages and stages[stage].ok:
            yield judged(f"stubs.{stage}", False, "vmlinux has no count words")
    if "crosslink" in areas and "link" in areas:
        same = areas["link"] == areas["crosslink"]
        yield judged("stubs.both-links", same, "both stub passes reserve the same" if same else "they differ")
    if "boot" in stages and stages["boot"].ok:
        yield _equal("boot.sites", booted["allocated"], counts["total"], "the kernel allocated records for")
        yield _equal("boot.total", booted["total"], counts["text"], "with init text freed, the guest lists")


def _reproduced(stages: Mapping[str, StageResult], declared: Declared) -> Iterator[Check]:
    """Whether the same inputs gave the same bytes as where they were recorded."""
    recorded = declared.recorded
    if recorded is None or "link" not in stages or not stages["link"].ok:
        return
    if declared.unlocked:
        yield skipped(REPRODUCED, "not compared: temporary locks stand in for the recorded ones")
    elif stages["compile"].digest != recorded.inputs:
        yield skipped(REPRODUCED, "not compared: it was recorded for other inputs")
    else:
        made = {name: artifact.sha256 for stage in stages.values() for name, artifact in stage.artifacts.items()}
        unlike = [name for name, sha256 in recorded.artifacts.items() if made.get(name) != sha256]
        told = ", ".join(f"{name} is {made.get(name, 'missing')}" for name in unlike)
        evidence = f"not as recorded in pipeline.lock: {told}" if unlike else "as recorded in pipeline.lock"
        yield judged(REPRODUCED, not unlike, evidence)


def _equal(name: str, seen: int | None, counted: int, what: str) -> Check:
    if seen is None:
        return judged(name, False, f"the console does not say for how many sites; {counted} were counted")
    return judged(name, seen == counted, f"{what} {seen} sites, {counted} were counted")


def _data(stages: Mapping[str, StageResult], name: str) -> Mapping[str, Any]:
    return stages[name].data if name in stages else {}


def _told(areas: StubAreas) -> str:
    return f"{areas.text} within text, {areas.text_end} after it, {areas.inittext} in init text"


def _seen(stages: Iterable[StageResult]) -> str:
    booted = next(stage.data for stage in stages if stage.stage == "boot")
    skipped = f", {len(booted['skipped'])} skipped" if booted["skipped"] else ""
    tests = f"{booted['startup_tests']} startup and {booted['tests']} guest tests passed"
    return f"booted {booted['release']}, {tests}{skipped}"
