"""The victims of a cell, compared with those that were recorded for equal inputs, in both directions."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oolong.audit.check import Check, CheckStatus, Finding, finding
from oolong.engine.stage import StageResult, StageStatus
from oolong.spec.lock import RecordedVictims
from oolong.spec.model import Expect
from oolong.verdict import judge as verdict
from oolong.verdict.known_issues import Bound, ByRule, Facts, KnownIssue
from oolong.verdict.victims import AUDITS, changes, recorded_as, victims_of

INPUTS = "c" * 64
WINDOW, NOPS = "image.kprobe-window", "object.one-nop"
FAIL, KNOWN, PASS, SKIP = CheckStatus.FAIL, CheckStatus.KNOWN, CheckStatus.PASS, CheckStatus.SKIP
SHORT = KnownIssue(
    name="short",
    checks=(WINDOW,),
    covers=ByRule(rule="short-function"),
    kernels=(Bound(sign=">=", version=(7,)),),
    when=(),
    config=(),
    reason="a",
    evidence="b",
    upstream="",
)


def short(who: str, address: int = 16) -> Finding:
    return finding(who, f"the site of next is at +{address:#x}", address, rule="short-function")


def failing(*findings: Finding, name: str = WINDOW) -> Check:
    return Check(name=name, status=FAIL, evidence="seen", findings=findings, count=len(findings))


RECORDED = recorded_as(victims_of([failing(short("a"), short("b"))]), inputs=INPUTS)


def result(name: str, status: StageStatus, checks: Sequence[Check]) -> StageResult:
    return StageResult(
        stage=name,
        digest="d" * 64,
        folder=Path("folder"),
        status=status,
        kind=None,
        lines=(),
        artifacts={},
        trees={},
        data={"checks": [check.as_json() for check in checks]},
        keep=True,
        blocks=True,
        seconds=1.0,
    )


def judged(
    *checks: Check,
    recorded: RecordedVictims | None = RECORDED,
    made: Sequence[str] = AUDITS,
    status: StageStatus = StageStatus.OK,
    **declared: Any,
) -> tuple[verdict.Verdict, Check]:
    """A cell with its checks in one of its audits."""
    stages = [result(name, status if name == "live" else StageStatus.OK, ()) for name in made if name != "audit-image"]
    stages += [result("audit-image", StageStatus.OK, checks)] if "audit-image" in made else []
    given = {"inputs": INPUTS, "known": (SHORT,), **declared}
    came = verdict.judge(
        stages,
        declared=verdict.Declared(expect=Expect(), victims=recorded, **given),
        facts=Facts(release="7.3.4", config={}),
    )
    (only,) = (check for check in came.checks if check.name == "audit.victims")
    return came, only


def test_the_recorded_victims_pass() -> None:
    came, check = judged(failing(short("b"), short("a")))
    assert (check.status, check.evidence) == (PASS, "2 victims, as recorded in pipeline.lock")
    assert came.status == "known"


def test_a_new_victim_in_place_of_an_old_one_fails_though_its_rule_is_known() -> None:
    came, check = judged(failing(short("a"), short("new")))
    assert (came.status, came.kind, check.status) == ("fail", "digest", FAIL)
    assert check.evidence == (f"2: new: new in {WINDOW} (short-function); b: gone from {WINDOW} (short-function)")


@pytest.mark.parametrize(
    ("checks", "evidence"),
    [
        ([failing(short("a"))], f"1: b: gone from {WINDOW} (short-function)"),
        ([failing(short("a"), short("b"), short("c"))], f"1: c: new in {WINDOW} (short-function)"),
        # the same name with another cause
        (
            [failing(short("a"), finding("b", "it has 2 sites"))],
            f"1: b: new in {WINDOW} (it has # sites), gone from {WINDOW} (short-function)",
        ),
        # a function of the same name somewhere else
        ([failing(short("a"), short("b"), short("b", 32))], f"1: b: new in {WINDOW} (short-function)"),
        (
            [failing(short("a"), short("b")), failing(name="image.post-link-checks")],
            "1: image.post-link-checks: new in image.post-link-checks",
        ),
        (
            [Check(name=WINDOW, status=PASS, evidence="none")],
            f"2: a: gone from {WINDOW} (short-function); b: gone from {WINDOW} (short-function)",
        ),
        (
            [Check(name=WINDOW, status=SKIP, evidence="off")],
            f"2: a: gone from {WINDOW} (short-function); b: gone from {WINDOW} (short-function)",
        ),
    ],
    ids=["gone", "new", "other-cause", "namesake", "whole", "passes", "skipped"],
)
def test_other_victims_are_named_in_both_directions(checks: list[Check], evidence: str) -> None:
    _, check = judged(*checks)
    assert (check.status, check.evidence) == (FAIL, evidence)


def test_without_the_names_the_digest_still_tells() -> None:
    _, check = judged(failing(short("a")), recorded=replace(RECORDED, names=None))
    assert check.status == FAIL
    assert check.evidence == "others than pipeline.lock records; their names are not in pipeline.victims"
    assert judged(failing(short("a"), short("b")), recorded=replace(RECORDED, names=None))[1].status == PASS


@pytest.mark.parametrize(
    ("how", "evidence"),
    [
        ({"unlocked": True}, "not compared: temporary locks stand in for the recorded ones"),
        ({"inputs": "e" * 64}, "not compared: they were recorded for other inputs"),
        ({"inputs": None}, "not compared: they were recorded for other inputs"),
        ({"made": ("audit-object", "audit-image")}, "not compared: without the result of live"),
        ({"status": StageStatus.BLOCKED}, "not compared: without the result of live"),
    ],
)
def test_what_cannot_be_compared_is_skipped_with_the_reason(how: dict[str, Any], evidence: str) -> None:
    _, check = judged(failing(short("new")), **how)
    assert (check.status, check.evidence) == (SKIP, evidence)


def test_what_covers_a_victim_does_not_change_what_is_recorded() -> None:
    found = failing(short("a"), short("b"))
    assert victims_of([found]) == victims_of([replace(found, status=KNOWN, known=("short",))])
    assert victims_of([replace(found, status=PASS)]) == {}


def test_one_victim_at_several_stops_is_one() -> None:
    stops = [finding("f", "traced by 3", 16, stop=stop) for stop in ("off", "one")]
    assert victims_of([failing(*stops, name="live.silence")]) == {"live.silence": {"traced by #": ["f"]}}


def test_comparisons_are_no_victims_of_their_own() -> None:
    checks = [failing(name=name) for name in ("audit.victims", "artifacts.digest", NOPS)]
    assert victims_of(checks) == {NOPS: {"": [""]}}


def test_equal_victims_have_no_changes() -> None:
    assert RECORDED.names is not None
    assert list(changes(RECORDED.names, RECORDED.names)) == []
