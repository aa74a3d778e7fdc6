"""The results of a cell's stages → its verdict: named checks, each with evidence (pure).

A failed stage decides; where all succeeded, what they counted must agree.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from oolong.check import FAIL, PASS, Check, judged, skipped
from oolong.lock import Recorded
from oolong.model import Expect
from oolong.stage import FAIL as STAGE_FAIL
from oolong.stage import StageResult
from oolong.stubs import StubAreas

STUB_AUDIT = "stub-audit"
EXPECTED_OOL, REPRODUCED = "expect.ool", "artifacts.digest"
# what a failed check makes of a cell, where it is no finding about stubs
KINDS = {EXPECTED_OOL: "unexpected", REPRODUCED: "digest"}
LINKS = ("link", "crosslink")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a cell. `kind` names the failure, `lines` show it, `summary` is one line for a table."""

    status: str
    kind: str | None
    summary: str
    lines: tuple[str, ...]
    checks: tuple[Check, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "checks": [check.as_json() for check in self.checks], "lines": list(self.lines)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is known of a cell before it is built: what it expects, and what it once came to, if that was recorded;
    `unlocked` says that temporary locks stand in, with which it may come to something else."""

    expect: Expect
    recorded: Recorded | None = None
    unlocked: bool = False


def judge(stages: Sequence[StageResult], *, areas: Mapping[str, StubAreas], declared: Declared) -> Verdict:
    """The verdict on a cell; `areas` are the stub areas of its linked kernels, by the stage that linked them;
    a link without areas has no count words."""
    by_name = {stage.stage: stage for stage in stages}
    checks = (*_expected(by_name, declared.expect), *_checks(by_name, areas), *_reproduced(by_name, declared))
    if broken := next((stage for stage in stages if stage.status == STAGE_FAIL), None):
        return Verdict(
            status=FAIL,
            kind=broken.kind,
            summary=f"{broken.stage}: {broken.lines[0] if broken.lines else broken.kind}",
            lines=broken.lines,
            checks=checks,
        )
    if wrong := [check for check in checks if check.status == FAIL]:
        lines = tuple(f"{check.name}: {check.evidence}" for check in wrong)
        kind = KINDS.get(wrong[0].name, STUB_AUDIT)
        return Verdict(status=FAIL, kind=kind, summary=lines[0], lines=lines, checks=checks)
    return Verdict(status=PASS, kind=None, summary=_seen(by_name), lines=(), checks=checks)


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
    yield judged("stubs.tree-script", agrees, evidence)
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
        yield _equal("guest.total", booted["total"], counts["text"], "with init text freed, the guest lists")


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


def _seen(stages: Mapping[str, StageResult]) -> str:
    booted = _data(stages, "boot")
    skipped = f", {len(booted['skipped'])} skipped" if booted["skipped"] else ""
    tests = f"{booted['startup_tests']} startup and {booted['tests']} guest tests passed"
    return f"booted {booted['release']}, {tests}{skipped}"
