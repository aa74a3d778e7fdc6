"""The verdict on a kernel that died leads with the stub at fault."""

from dataclasses import replace

from oolong.audit import catalogue
from oolong.audit.check import Answer, Check, CheckStatus, finding, judged, none_of
from oolong.engine.stage import StageResult, StageStatus
from oolong.verdict import judge as verdict
from tests.results import BOOTED, COUNTS, FACTS, NOTHING, stage

FAIL = StageStatus.FAIL
TITLE = "rcu stall"
DIED = ("sys_getpid", "schedule", "vfs_read")


def check(name: str, answer: Answer) -> Check:
    return catalogue.named(name).came(answer)


def wrong(name: str, *functions: str) -> Check:
    return check(name, none_of((finding(who, "is wrong", 4 * n) for n, who in enumerate(functions)), held=""))


def dead(*checks: Check, served: tuple[str, ...] = (), kind: str = "stall") -> verdict.Verdict:
    stages: list[StageResult] = [
        stage("compile"),
        stage("stubs", **COUNTS),
        stage("link"),
        replace(stage("boot", FAIL, kind, (TITLE, "LR c000: in a stub"), **BOOTED, served=list(served)), blocks=False),
        stage("live", checks=[one.as_json() for one in checks]),
    ]
    return verdict.judge(stages, declared=NOTHING, facts=FACTS)


def test_a_finding_in_memory_goes_before_the_console() -> None:
    judged = dead(wrong("live.stub-words", *DIED))
    assert (judged.status, judged.kind) == (CheckStatus.FAIL, "stub-audit")
    assert judged.summary == (
        "live.stub-words: 3: sys_getpid: is wrong; schedule: is wrong; vfs_read: is wrong; boot: rcu stall"
    )
    assert judged.lines[1:] == (TITLE, "LR c000: in a stub")


def test_the_function_whose_stub_is_on_the_console_goes_before_others() -> None:
    judged = dead(wrong("live.records", "other"), wrong("live.stub-words", *DIED), served=("vfs_read", "kfree"))
    assert judged.summary == "live.stub-words: vfs_read: is wrong; and 2 more; boot: rcu stall"
    assert judged.lines[1].startswith("live.records: 1: other")


def test_stubs_go_before_all_else_that_memory_shows() -> None:
    judged = dead(wrong("live.records", "other"), wrong("live.stub-words", *DIED))
    assert judged.summary.startswith("live.stub-words: ")


def test_a_death_of_which_memory_shows_nothing_is_told_by_the_console() -> None:
    judged = dead(check("live.stub-words", judged_good()), wrong("guest.listed-once", "other"))
    assert (judged.kind, judged.summary) == ("stall", f"boot: {TITLE}")
    assert judged.lines == (TITLE, "LR c000: in a stub")


def judged_good() -> Answer:
    return judged(True, "all")
