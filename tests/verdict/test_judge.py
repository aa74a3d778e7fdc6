from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from oolong.audit.check import MOST_FINDINGS, Check, CheckStatus, finding
from oolong.engine.stage import Artifact, StageResult, StageStatus
from oolong.errors import Kind
from oolong.kbuild.log import culprits
from oolong.spec.lock import Recorded
from oolong.spec.model import Expect
from oolong.stubs.areas import StubAreas
from oolong.verdict import judge as verdict
from oolong.verdict.known_issues import Bound, ByRule, Covers, KnownIssue, Names, Whole
from tests.results import COUNTS, FACTS, NOTHING, stage

OK, FAIL, BLOCKED = StageStatus
BOOTED: Any = {"release": "7.3.4", "allocated": 8, "total": 6, "tests": 8, "skipped": [], "startup_tests": 15}
SITES = {"text": 6, "inittext": 2}
AREAS = StubAreas(text=4, text_end=2, inittext=2)


def judge(
    stages: Sequence[StageResult], *, areas: Mapping[str, StubAreas], declared: verdict.Declared
) -> verdict.Verdict:
    """The verdict on stages, where the kernels of some links have count words."""
    made = {one.stage for one in stages}
    others = [stage(name) for name in areas if name not in made]
    linked = [
        replace(one, data={**one.data, "areas": areas[one.stage].as_json()}) if one.stage in areas else one
        for one in [*stages, *others]
    ]
    return verdict.judge(linked, declared=declared, facts=FACTS)


def passing() -> list[StageResult]:
    counted = stage("audit-image", checks=[], sites=SITES)
    return [stage("compile"), stage("stubs", **COUNTS), stage("link"), counted, stage("boot", **BOOTED)]


def test_all_in_order_is_a_pass() -> None:
    judged = judge(passing(), areas={"link": AREAS, "crosslink": AREAS}, declared=NOTHING)
    assert (judged.status, judged.kind, judged.lines) == ("pass", None, ())
    assert [check.name for check in judged.checks] == [
        "object.tree-script",
        "stubs.link",
        "stubs.crosslink",
        "stubs.both-links",
        "boot.sites",
        "boot.total",
        "audit.complete",
    ]
    assert "15 startup and 8 guest tests" in judged.summary


def test_the_first_stage_that_failed_names_the_failure() -> None:
    stages = [stage("compile", FAIL, "build", ("x.c: error",)), stage("stubs", BLOCKED), stage("boot", BLOCKED)]
    judged = judge(stages, areas={}, declared=NOTHING)
    assert (judged.status, judged.kind, judged.lines) == ("fail", "build", ("x.c: error",))
    assert judged.summary == "compile: x.c: error"


@pytest.mark.parametrize(
    ("check", "stages", "areas"),
    [
        ("stubs.link", passing(), {"link": StubAreas(text=4, text_end=1, inittext=2)}),
        ("stubs.both-links", passing(), {"link": AREAS, "crosslink": StubAreas(text=4, text_end=2, inittext=9)}),
        ("boot.sites", [*passing()[:-1], stage("boot", **{**BOOTED, "allocated": 9})], {"link": AREAS}),
        ("boot.total", [*passing()[:-1], stage("boot", **{**BOOTED, "total": 5})], {"link": AREAS}),
    ],
)
def test_counts_that_disagree_are_a_stub_audit(
    check: str, stages: list[StageResult], areas: dict[str, StubAreas]
) -> None:
    judged = judge(stages, areas=areas, declared=NOTHING)
    assert (judged.status, judged.kind) == ("fail", "stub-audit")
    assert any(line.startswith(f"{check}: ") for line in judged.lines)


@pytest.mark.parametrize(
    "wrong", [{"text": 7}, {"inittext": 3}, {"total": 9}, {"text": 7, "inittext": 1}, {"text": "6"}]
)
def test_the_plan_of_the_stub_pass_is_compared_with_that_of_the_audit(wrong: dict[str, Any]) -> None:
    counted = stage("audit-object", checks=[], plan=SITES)
    for given, status in (({}, "pass"), (wrong, "fail")):
        stages = [counted, *(one for one in passing() if one.stage != "stubs"), stage("stubs", **{**COUNTS, **given})]
        judged = judge(stages, areas={"link": AREAS}, declared=NOTHING)
        (check,) = [check for check in judged.checks if check.name == "stubs.plan"]
        assert check.status == status, check.evidence


def test_an_audit_that_counted_nothing_is_no_pass() -> None:
    judged = judge([stage("audit-object", checks=[]), *passing()], areas={"link": AREAS}, declared=NOTHING)
    assert [check.name for check in judged.checks if check.status is CheckStatus.FAIL] == ["stubs.plan"]


@pytest.mark.parametrize("said", [{}, {"out_of_line": None}, {"out_of_line": "n"}])
def test_stubs_that_do_not_say_whether_the_kernel_has_any_fail(said: dict[str, Any]) -> None:
    counts = {name: count for name, count in COUNTS.items() if name != "out_of_line"}
    judged = judge(
        [*(one for one in passing() if one.stage != "stubs"), stage("stubs", **{**counts, **said})],
        areas={"link": AREAS},
        declared=NOTHING,
    )
    assert [check.name for check in judged.checks if check.status is CheckStatus.FAIL] == ["stubs.out-of-line"]


@pytest.mark.parametrize(
    ("check", "stages", "areas"),
    [
        ("stubs.link", passing(), {}),
        ("boot.sites", [*passing()[:-1], stage("boot", **{**BOOTED, "allocated": None})], {"link": AREAS}),
        ("boot.total", [*passing()[:-1], stage("boot", **{**BOOTED, "total": None})], {"link": AREAS}),
    ],
)
def test_a_count_that_nobody_told_is_no_pass(
    check: str, stages: list[StageResult], areas: dict[str, StubAreas]
) -> None:
    judged = judge(stages, areas=areas, declared=NOTHING)
    assert judged.status is CheckStatus.FAIL
    assert [one.name for one in judged.checks if one.status is CheckStatus.FAIL] == [check]


def test_a_script_that_disagrees_fails_its_check() -> None:
    stages = [stage("stubs", FAIL, "stub-audit", ("they say 1",), **COUNTS), stage("boot", **BOOTED)]
    judged = judge(stages, areas={}, declared=NOTHING)
    assert judged.kind == "stub-audit"
    assert [check.status for check in judged.checks if check.name == "object.tree-script"] == ["fail"]


def test_out_of_line_off_skips_the_checks() -> None:
    judged = judge([stage("stubs", out_of_line=False), stage("boot", **BOOTED)], areas={}, declared=NOTHING)
    assert judged.status == "pass"
    assert [(check.name, check.status) for check in judged.checks] == [
        ("stubs.out-of-line", "skip"),
        ("audit.complete", "pass"),
    ]


@pytest.mark.parametrize(
    ("on", "expected", "status"), [(True, True, "pass"), (False, True, "fail"), (True, False, "fail")]
)
def test_what_a_cell_expects_of_out_of_line(on: bool, expected: bool, status: str) -> None:
    declared = verdict.Declared(expect=Expect(ool=expected))
    judged = judge([stage("stubs", out_of_line=on), stage("boot", **BOOTED)], areas={}, declared=declared)
    check = next(check for check in judged.checks if check.name == "expect.ool")
    assert check.status == status
    assert (judged.kind == "unexpected") == (status == "fail")


def made(sha256: str) -> list[StageResult]:
    """A cell whose compile and link left artifacts of one digest."""
    names = {"compile": "vmlinux.o", "link": "vmlinux"}
    artifact = Artifact(path="x", sha256=sha256, size=1)
    return [replace(one, artifacts={names[one.stage]: artifact}) if one.stage in names else one for one in passing()]


@pytest.mark.parametrize(
    ("sha256", "inputs", "unlocked", "status", "said"),
    [
        ("a", "c" * 64, False, "pass", "as recorded"),
        ("b", "c" * 64, False, "fail", "vmlinux is b"),
        ("b", "d" * 64, False, "skip", "other inputs"),
        ("b", "c" * 64, True, "skip", "temporary locks"),
    ],
)
def test_what_was_recorded_is_compared(sha256: str, inputs: str, unlocked: bool, status: str, said: str) -> None:
    """Other bytes from the same inputs are a failure; other inputs, and temporary locks, are not compared."""
    recorded = Recorded(inputs=inputs, artifacts={"vmlinux.o": "a", "vmlinux": "a"})
    declared = verdict.Declared(expect=Expect(), recorded=recorded, inputs="c" * 64, unlocked=unlocked)
    judged = judge(made(sha256), areas={"link": AREAS}, declared=declared)
    check = next(check for check in judged.checks if check.name == "artifacts.digest")
    assert (check.status, said in check.evidence) == (status, True), check
    assert (judged.status, judged.kind) == (("fail", "digest") if status == "fail" else ("pass", None))


def linked_twice(link: str, crosslink: str, *, stubs: StageStatus = OK) -> list[StageResult]:
    """A cell whose two links left a vmlinux each, of some digests."""
    left = {"compile": ("vmlinux.o", "a"), "link": ("vmlinux", link), "crosslink": ("vmlinux", crosslink)}
    stages = [
        replace(one, artifacts={left[one.stage][0]: Artifact(path="x", sha256=left[one.stage][1], size=1)})
        if one.stage in left
        else one
        for one in (*passing(), stage("crosslink"))
    ]
    lines = ("the script says 1",) if stubs is FAIL else ()
    return [replace(one, status=stubs, lines=lines) if one.stage == "stubs" else one for one in stages]


@pytest.mark.parametrize(("link", "crosslink", "status"), [("a", "a", "pass"), ("b", "a", "fail"), ("a", "b", "pass")])
def test_the_recorded_kernel_is_that_of_the_link_not_of_the_other_pass(link: str, crosslink: str, status: str) -> None:
    recorded = Recorded(inputs="c" * 64, artifacts={"vmlinux.o": "a", "vmlinux": "a"})
    declared = verdict.Declared(expect=Expect(), recorded=recorded, inputs="c" * 64)
    judged = judge(linked_twice(link, crosslink), areas={"link": AREAS, "crosslink": AREAS}, declared=declared)
    (check,) = [check for check in judged.checks if check.name == "artifacts.digest"]
    assert check.status == status, check.evidence


def test_two_kernels_of_equal_stubs_that_have_other_bytes_are_a_finding() -> None:
    links = {"link": AREAS, "crosslink": AREAS}
    for link, crosslink, status in (("a", "a", "pass"), ("a", "b", "fail")):
        judged = judge(linked_twice(link, crosslink), areas=links, declared=NOTHING)
        (check,) = [check for check in judged.checks if check.name == "stubs.both-links"]
        assert (check.status, "other bytes" in check.evidence) == (status, status == "fail"), check.evidence


def test_a_script_that_disagrees_and_debug_information_excuse_other_bytes() -> None:
    links = {"link": AREAS, "crosslink": AREAS}
    told = judge(linked_twice("a", "b", stubs=FAIL), areas=links, declared=NOTHING)
    assert [check.name for check in told.checks if check.status is CheckStatus.FAIL] == [
        "stage.stubs",
        "object.tree-script",
    ]
    config = {"DEBUG_INFO": "y"}
    stages = [
        replace(one, data={"areas": AREAS.as_json()}) if one.stage in links else one for one in linked_twice("a", "b")
    ]
    with_lines = verdict.judge(stages, declared=NOTHING, facts=replace(FACTS, config=config))
    (check,) = [check for check in with_lines.checks if check.name == "stubs.both-links"]
    assert (check.status, "not compared" in check.evidence) == (CheckStatus.PASS, True)


BROKEN = [stage("compile", FAIL, "build", ("x.c: error", "y.c: error")), stage("link", BLOCKED), stage("boot", BLOCKED)]


def issue(name: str, check: str, covers: Covers) -> KnownIssue:
    return KnownIssue(
        name=name,
        checks=(check,),
        covers=covers,
        kernels=(Bound(sign=">=", version=(7,)),),
        when=(("endian", "le"),),
        config=(),
        reason="a",
        evidence="b",
        upstream="",
    )


def knowing(*entries: KnownIssue) -> verdict.Declared:
    return verdict.Declared(expect=Expect(), known=entries)


def audited(*checks: Check, stage_name: str = "audit-image") -> list[StageResult]:
    counted: Any = {"audit-image": {"sites": SITES}, "audit-object": {"plan": SITES}}.get(stage_name, {})
    others = [one for one in passing() if one.stage != stage_name]
    return [*others, stage(stage_name, checks=[check.as_json() for check in checks], **counted)]


def windows(*victims: str, name: str = "image.kprobe-window") -> Check:
    findings = tuple(finding(who, "too wide", rule="short") for who in victims)
    return Check(name=name, status=CheckStatus.FAIL, evidence="too wide", findings=findings, count=len(victims))


@pytest.mark.parametrize("stage_name", ["audit-object", "audit-image", "live"])
def test_checks_of_audits_are_judged_with_our_own(stage_name: str) -> None:
    good = Check(name="image.unique", status=CheckStatus.PASS, evidence="as counted")
    judged = judge(audited(good, stage_name=stage_name), areas={"link": AREAS}, declared=NOTHING)
    assert (judged.status, judged.checks[-2]) == ("pass", good)
    judged = judge(audited(good, windows("a"), stage_name=stage_name), areas={"link": AREAS}, declared=NOTHING)
    assert (judged.status, judged.kind) == ("fail", "stub-audit")
    assert judged.lines == ("image.kprobe-window: too wide",)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("object.unique", "stub-audit"),
        ("image.kprobe-window", "stub-audit"),
        ("live.sites", "stub-audit"),
        ("guest.listed-once", "guest-test"),
        ("config.out-of-line-probe", "config-drift"),
    ],
)
def test_the_name_of_a_check_tells_the_kind_of_its_failure(name: str, kind: str) -> None:
    assert judge(audited(windows("a", name=name)), areas={"link": AREAS}, declared=NOTHING).kind == kind


def test_what_is_known_makes_no_cell_fail() -> None:
    checks = (windows("a", "b"), windows(name="image.post-link-checks"))
    declared = knowing(
        issue("two-wide", "image.kprobe-window", ByRule(rule="short")),
        issue("not-run", "image.post-link-checks", Whole()),
    )
    judged = judge(audited(*checks), areas={"link": AREAS}, declared=declared)
    assert (judged.status, judged.kind, judged.lines) == ("known", None, ())
    assert judged.summary == ("booted 7.3.4, 15 startup and 8 guest tests passed, 2 known issues")
    assert judged.known_issues == ("two-wide", "not-run")
    assert [(check.name, check.status, check.known) for check in judged.checks[-3:-1]] == [
        ("image.kprobe-window", "known", ("two-wide",)),
        ("image.post-link-checks", "known", ("not-run",)),
    ]


def test_what_is_not_known_fails_beside_what_is() -> None:
    checks = (windows("a", "b"), windows(name="image.post-link-checks"))
    declared = knowing(issue("two-wide", "image.kprobe-window", ByRule(rule="short")))
    judged = judge(audited(*checks), areas={"link": AREAS}, declared=declared)
    assert (judged.status, judged.lines) == ("fail", ("image.post-link-checks: too wide",))


def test_our_own_checks_can_be_known_too() -> None:
    stages = [*passing()[:-1], stage("boot", **{**BOOTED, "allocated": 9})]
    declared = knowing(issue("nine", "boot.sites", Whole()))
    assert judge(stages, areas={"link": AREAS}, declared=declared).status == "known"


def test_a_failed_stage_is_a_check_whose_victims_are_its_lines() -> None:
    judged = judge(BROKEN, areas={}, declared=NOTHING)
    (check,) = judged.checks
    assert (check.name, check.status, check.evidence) == ("stage.compile", "fail", "x.c: error")
    assert check.victims == ("x.c: error", "y.c: error")


def test_a_stage_may_be_known_to_fail() -> None:
    judged = judge(BROKEN, areas={}, declared=knowing(issue("errors", "stage.compile", Names(globs=("*: error",)))))
    assert (judged.status, judged.kind, judged.lines) == ("known", None, ())
    assert judged.summary == "compile failed: x.c: error, 1 known issue"


def test_a_stage_that_fails_otherwise_than_known_fails() -> None:
    judged = judge(BROKEN, areas={}, declared=knowing(issue("x", "stage.compile", Names(globs=("x.c*",)))))
    assert (judged.status, judged.kind, judged.lines) == ("fail", "build", ("x.c: error", "y.c: error"))
    assert judged.summary == "compile: 1 not covered: y.c: error; 1 covered by x; x.c: error"


def test_a_stage_that_no_longer_fails_is_noted_and_no_check() -> None:
    declared = knowing(issue("errors", "stage.compile", Names(globs=("*",))), issue("late", "stage.live", Whole()))
    judged = judge(passing(), areas={"link": AREAS}, declared=declared)
    assert judged.status == "pass"
    assert judged.notes == ("no longer occurs: errors (stage.compile): remove it from known-issues.yaml",)
    assert judged.known_issues == ("errors",)
    assert not [check for check in judged.checks if check.name.startswith("stage.")]


def test_lines_that_are_left_out_are_not_covered_by_those_that_are_not() -> None:
    """More lines than are kept, all of them known but the last."""
    lines = (*(f"{number}: error" for number in range(MOST_FINDINGS)), "something new")
    stages = [stage("boot", FAIL, "oops", lines)]
    judged = judge(stages, areas={}, declared=knowing(issue("errors", "stage.boot", Names(globs=("*: error",)))))
    assert (judged.status, judged.kind) == ("fail", "oops")
    assert (judged.checks[0].count, len(judged.checks[0].findings)) == (MOST_FINDINGS + 1, MOST_FINDINGS)
    assert judged.checks[0].evidence.startswith("1 more than are kept, of which nothing is known; ")


def test_the_21st_line_of_a_failed_build_is_not_covered_by_those_before_it() -> None:
    """As a stage hands them on: only the first lines are kept."""
    known = [f"drivers/a.c:{number}: error: 'y' undeclared" for number in range(20)]
    passed_on = "make[2]: *** [scripts/Makefile.build:1: drivers/a.o] Error 1"
    declared = knowing(issue("y", "stage.compile", Names(globs=("*error: 'y' undeclared",))))

    def judged(*said: str) -> verdict.Verdict:
        lines = culprits(["  CC      drivers/a.o", *said, passed_on])
        return judge([stage("compile", FAIL, "build", lines)], areas={}, declared=declared)

    assert judged(*known).status == "known"
    unspoken = judged(*known[:10], "ValueError: bad table", "make: *** [kernel/timeconst.h] Error 1")
    assert (unspoken.status, unspoken.kind) == ("fail", "build")
    news = judged(*known, "kernel/fork.c:1: error: something entirely new")
    assert (news.status, news.kind, news.checks[0].count) == ("fail", "build", 21)
    assert news.checks[0].evidence.startswith("1 more than are kept, of which nothing is known; 20 covered by y")
    assert news.lines == (*known, "… and 1 more in the log")


CHAIN = {
    "source": stage("source"),
    "rootfs": stage("rootfs"),
    "configure": stage("configure"),
    "compile": stage("compile"),
    "stubs": stage("stubs", **COUNTS),
    "audit-object": stage("audit-object", checks=[], plan=SITES),
    "link": stage("link", areas=AREAS.as_json(), post_link=[]),
    "audit-image": stage("audit-image", checks=[], sites=SITES),
    "crosslink": stage("crosslink", areas=AREAS.as_json()),
    "boot": stage("boot", **BOOTED),
    "live": stage("live", checks=[]),
}
CAME = {
    "source": "nothing was built",
    "configure": "configured, and not compiled",
    "compile": "compiled 7.3.4",
    "stubs": "compiled 7.3.4: 6 sites in text, 2 in init text",
    "link": "linked 7.3.4: 6 sites in text, 2 in init text",
    "boot": "booted 7.3.4, 15 startup and 8 guest tests passed",
}


@pytest.mark.parametrize("length", range(1, len(CHAIN) + 1))
def test_a_cell_is_judged_however_far_it_came(length: int) -> None:
    """Each beginning of the chain has a verdict, which says how far the cell came."""
    stages = list(CHAIN.values())[:length]
    judged = verdict.judge(stages, declared=knowing(issue("late", "live.sites", Whole())), facts=FACTS)
    told = [CAME[one.stage] for one in stages if one.stage in CAME]
    assert (judged.status, judged.kind, judged.lines) == ("pass", None, ())
    assert judged.summary == (told[-1] if told else "nothing was built")
    assert {check.status for check in judged.checks} <= {CheckStatus.PASS}


def test_nothing_has_no_verdict() -> None:
    with pytest.raises(ValueError, match="at least one stage"):
        verdict.judge([], declared=NOTHING, facts=FACTS)


def test_sites_in_exit_text_have_no_records_and_are_not_missed() -> None:
    """The object's entries are 3 more than the image's sites in text: those of exit text, where nothing is traced."""
    counts = {**COUNTS, "text": 9, "total": 11, "exit": 3}
    stages = [replace(one, data=counts) if one.stage == "stubs" else one for one in passing()]
    judged = judge(stages, areas={}, declared=NOTHING)
    assert {check.name: check.status for check in judged.checks if check.name.startswith("boot.")} == {
        "boot.sites": "pass",
        "boot.total": "pass",
    }


def test_sites_that_dead_code_elimination_removed_are_not_missed() -> None:
    left = {"checks": [], "sites": {"text": 5, "inittext": 1}}
    stages = [replace(one, data=left) if one.stage == "audit-image" else one for one in passing()[:-1]]
    right, wrong = {"allocated": 6, "total": 5}, {"allocated": 8, "total": 6}
    for booted, status in ((right, "pass"), (wrong, "fail")):
        judged = judge([*stages, stage("boot", **{**BOOTED, **booted})], areas={"link": AREAS}, declared=NOTHING)
        found = [check.status for check in judged.checks if check.name.startswith("boot.")]
        assert found == [status, status]


@pytest.mark.parametrize("left", CHAIN)
def test_a_cell_is_judged_whatever_stage_is_not_there(left: str) -> None:
    stages = [one for name, one in CHAIN.items() if name != left]
    assert verdict.judge(stages, declared=NOTHING, facts=FACTS).status is CheckStatus.PASS


@pytest.mark.parametrize("length", range(1, len(CHAIN) + 1))
def test_a_beginning_that_ends_in_a_failure_fails(length: int) -> None:
    *before, last = list(CHAIN.values())[:length]
    broken = replace(last, status=FAIL, kind=Kind.BUILD, lines=("it broke",), data={})
    judged = verdict.judge([*before, broken], declared=NOTHING, facts=FACTS)
    assert (judged.status, judged.kind, judged.summary) == ("fail", "build", f"{last.stage}: it broke")


def test_what_a_cell_expects_is_judged_of_a_part_too() -> None:
    stages = [CHAIN["compile"], stage("stubs", out_of_line=False)]
    judged = verdict.judge(stages, declared=verdict.Declared(expect=Expect(ool=True)), facts=FACTS)
    assert (judged.status, judged.kind) == ("fail", "unexpected")


def test_a_check_that_nobody_declared_is_a_defect() -> None:
    with pytest.raises(LookupError, match=r"no check has the name 'image.windows'"):
        judge(audited(windows("a", name="image.windows")), areas={"link": AREAS}, declared=NOTHING)
    unknown = Check(name="image.windows", status=CheckStatus.PASS, evidence="all is well")
    with pytest.raises(LookupError, match=r"no check has the name 'image.windows'"):
        judge(audited(unknown), areas={"link": AREAS}, declared=NOTHING)
    with pytest.raises(LookupError, match=r"did you mean 'stage.compile'"):
        judge([stage("compil")], areas={}, declared=NOTHING)


def test_a_script_that_disagrees_may_be_known_to() -> None:
    stages = [
        stage("compile"),
        stage("stubs", FAIL, "stub-audit", ("they say 1",), **COUNTS),
        stage("link"),
        stage("boot", **BOOTED),
    ]
    both = replace(
        issue("one", "stage.stubs", Names(globs=("they say 1",))), checks=("stage.stubs", "object.tree-script")
    )
    judged = judge(stages, areas={"link": AREAS}, declared=knowing(both))
    assert (judged.status, judged.summary) == ("known", "stubs failed: they say 1, 1 known issue")
