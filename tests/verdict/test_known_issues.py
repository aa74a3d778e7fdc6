"""known-issues.yaml: how it is read, every error, and what an entry covers: never more than it says."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from oolong.audit import catalogue
from oolong.audit.check import MOST_FINDINGS, Answer, Check, CheckStatus, finding, none_of
from oolong.audit.rules import NEVER_KNOWN, RULES, rules_of
from oolong.errors import BadInput
from oolong.host.layout import Layout
from oolong.verdict import known_issues_yaml
from oolong.verdict.known_issues import Applied, Bound, ByRule, Facts, KnownIssue, Names, Whole, apply
from tests.support import CHECKOUT, TEST_DATA

FAIL, KNOWN, PASS, SKIP = CheckStatus.FAIL, CheckStatus.KNOWN, CheckStatus.PASS, CheckStatus.SKIP
DATA = TEST_DATA / "known"
ERRORS = yaml.safe_load((DATA / "errors.yaml").read_text())
FACTS = Facts(
    axes={"endian": "be", "config": "minimal", "toolchain": "gcc-14", "kernel": "v7.3.4", "machine": "pseries"},
    release="7.3.4-oolong+",
    config={"OOL": "y", "RESERVE": "0", "OFF": "n", "NAME": '"x"'},
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    shutil.copy(DATA / "known-issues.yaml", tmp_path)
    return Layout(checkout=tmp_path, cache=tmp_path / "cache")


def entry(name: str = "one", **fields: Any) -> KnownIssue:
    usual: dict[str, Any] = {
        "checks": ("image.windows",),
        "covers": Whole(),
        "kernels": (),
        "when": (),
        "config": (),
        "reason": "a",
        "evidence": "b",
        "upstream": "",
    }
    return KnownIssue(name=name, **{**usual, **fields})


def failing(*victims: str) -> Check:
    findings = tuple(finding(who, "too wide") for who in victims)
    return Check(name="image.windows", status=FAIL, evidence="seen", findings=findings, count=len(set(victims)))


def applied(check: Check, *entries: KnownIssue, facts: Facts = FACTS) -> tuple[Check, Applied]:
    done = apply([check], entries, facts)
    (only,) = done.checks
    return only, done


@pytest.mark.parametrize("case", ERRORS, ids=[case["case"] for case in ERRORS])
def test_error_names_the_place_and_what_would_be_right(case: dict[str, str], layout: Layout) -> None:
    text = layout.known_issues.read_text()
    assert text.count(case["replace"]) == 1
    layout.known_issues.write_text(text.replace(case["replace"], case["by"]))
    with pytest.raises(BadInput) as caught:
        known_issues_yaml.load(layout)
    assert str(caught.value) == case["error"].rstrip("\n")


def test_all_that_an_entry_may_say(layout: Layout) -> None:
    names, rule, everything = known_issues_yaml.load(layout)
    assert names == KnownIssue(
        name="some-names",
        checks=("object.one-nop",),
        covers=Names(globs=("sys_shmdt", "arch_*")),
        kernels=(Bound(sign=">=", version=(6, 18)), Bound(sign="<", version=(8,))),
        when=(("endian", "be"), ("toolchain", "gcc-*")),
        config=(("OOL", "y"), ("RESERVE", "0")),
        reason="Why it is understood.",
        evidence="What was seen.",
        upstream="https://bugs.example/1",
    )
    assert rule.checks == ("image.kprobe-window", "guest.kprobe-location")
    assert (rule.covers, rule.config, rule.when) == (ByRule(rule="short-function"), (("KPROBES_ON_FTRACE", "y"),), ())
    assert (everything.covers, everything.upstream) == (Whole(), "")


def test_without_a_file_nothing_is_known(layout: Layout) -> None:
    layout.known_issues.unlink()
    assert known_issues_yaml.load(layout) == ()


def test_a_bound_of_digits_without_end_is_refused(layout: Layout) -> None:
    text = layout.known_issues.read_text()
    layout.known_issues.write_text(re.sub("kernels: .*", f"kernels: '>={'9' * 5000}'", text, count=1))
    with pytest.raises(BadInput, match="is no bound of a range of versions"):
        known_issues_yaml.load(layout)


@pytest.mark.parametrize("name", catalogue.entries())
def test_a_check_may_be_known_by_what_fits_it(name: str, layout: Layout) -> None:
    """By its rules alone, if it has any; some never."""
    text = layout.known_issues.read_text()
    whole = text.replace("image.relocations", name)
    layout.known_issues.write_text(whole)
    if name not in NEVER_KNOWN and not rules_of(name):
        if name.startswith(("stage.", "stubs.", "boot.")) or name in ("guest.allocated", "artifacts.digest"):
            with pytest.raises(BadInput, match="each may be another one"):
                known_issues_yaml.load(layout)
            whole = whole.replace("covers: whole", "covers: {names: [abc]}\n    when: {toolchain: gcc-14}")
            layout.known_issues.write_text(whole)
        assert known_issues_yaml.load(layout)[2].checks == (name,)
        return
    with pytest.raises(BadInput, match="is never known" if name in NEVER_KNOWN else "is covered by rules alone"):
        known_issues_yaml.load(layout)
    for rule in rules_of(name):
        by_rule = whole.replace("covers: whole", f"covers: {{rule: {rule.name}}}")
        layout.known_issues.write_text(by_rule)
        assert known_issues_yaml.load(layout)[2].covers == ByRule(rule=rule.name)


def test_rules_are_those_of_checks_that_there_are() -> None:
    assert {check for rule in RULES.values() for check in rule.checks} <= catalogue.entries().keys()


def test_own_file_is_valid() -> None:
    assert known_issues_yaml.load(Layout(checkout=CHECKOUT, cache=CHECKOUT / "build" / "cache"))


@pytest.mark.parametrize(
    ("sign", "version", "release", "holds"),
    [
        (">=", (6, 18), "6.18.0-rc1", True),
        (">=", (6, 18), "6.17.9", False),
        (">=", (6, 18), "6.2", False),
        (">", (7, 3, 4), "7.3.4-oolong+", False),
        (">", (7, 3), "7.3.4", True),
        ("<", (7, 3, 4), "7.3.4-oolong+", False),
        ("<", (7, 3, 5), "7.3.4", True),
        ("<", (7, 3, 10), "7.3.9", True),
        ("<=", (7, 3, 4), "7.3.4", True),
        ("<=", (7, 3, 3), "7.3.4", False),
        ("==", (7, 3), "7.3.0", True),
        ("==", (7, 3), "7.3.4", False),
        (">=", (6, 18), "next", False),
        (">=", (6, 18), None, False),
        # Python makes no number of so many digits, and no kernel has one
        (">=", (6, 18), "9" * 5000, False),
        (">=", (6, 18), f"7.{'9' * 5000}", False),
        (">=", (6, 18), "7.1234567890", False),
    ],
)
def test_a_range_of_versions(sign: str, version: tuple[int, ...], release: str | None, holds: bool) -> None:
    bounded = entry(kernels=(Bound(sign=sign, version=version),))
    check, _ = applied(failing(), bounded, facts=replace(FACTS, release=release))
    assert (check.status == KNOWN) == holds


def test_a_version_is_the_numbers_that_a_release_begins_with() -> None:
    told = {"7.3.4-oolong+": (7, 3, 4), "6.18.0-rc1": (6, 18, 0), "7.3.": (7, 3), "next": None, "": None}
    assert {release: Facts(release=release).version for release in told} == told


def test_every_bound_must_hold() -> None:
    bounds = (Bound(sign=">=", version=(6, 18)), Bound(sign="<", version=(7, 3)))
    assert applied(failing(), entry(kernels=bounds))[0].status == FAIL
    assert applied(failing(), entry(kernels=bounds), facts=replace(FACTS, release="7.2.1"))[0].status == KNOWN


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({"when": (("toolchain", "gcc-*"), ("endian", "be"))}, True),
        ({"when": (("toolchain", "gcc-*"), ("endian", "le"))}, False),
        ({"when": (("toolchain", "clang-*"),)}, False),
        ({"config": (("OOL", "y"), ("RESERVE", "0"))}, True),
        ({"config": (("OOL", "n"),)}, False),
        ({"config": (("OFF", "n"), ("ABSENT", "n"), ("NAME", "x"))}, True),
        ({"config": (("ABSENT", "y"),)}, False),
        ({"checks": ("image.other", "image.windows")}, True),
        ({"checks": ("image.other",)}, False),
    ],
)
def test_conditions(conditions: dict[str, Any], holds: bool) -> None:
    check, done = applied(failing(), entry(**conditions))
    assert (check.status == KNOWN, done.entries == ("one",)) == (holds, holds)
    passed = Check(name="image.windows", status=PASS, evidence="none")
    assert bool(applied(passed, entry(**conditions))[1].notes) == holds


def test_without_a_configuration_no_condition_on_it_holds() -> None:
    facts = replace(FACTS, config=None)
    assert applied(failing(), entry(config=(("ABSENT", "n"),)), facts=facts)[0].status == FAIL
    assert applied(failing(), entry(), facts=facts)[0].status == KNOWN


def test_a_finding_about_the_whole_is_covered_as_a_whole() -> None:
    check, done = applied(failing(), entry())
    assert (check.status, check.known, check.evidence) == (KNOWN, ("one",), "seen")
    assert done.notes == ()


def test_whole_covers_no_victims_and_victims_no_whole() -> None:
    check, _ = applied(failing("a"), entry())
    assert (check.status, check.known) == (FAIL, ())
    assert check.evidence == "one covers a finding without victims, this one has 1; seen"
    for covers in (ByRule(rule=""), Names(globs=("*",))):
        check, _ = applied(failing(), entry(covers=covers))
        assert (check.status, check.evidence) == (FAIL, "one covers victims, this finding has none; seen")


def explained(**rules: str) -> Check:
    """A failed check with a victim for each word, which a rule explains, or none (\"\")."""
    findings = tuple(finding(who, "too wide", number, rule=rule) for number, (who, rule) in enumerate(rules.items()))
    return Check(name="image.windows", status=FAIL, evidence="seen", findings=findings, count=len(findings))


SHORT, DEAD = (entry(rule, covers=ByRule(rule=rule)) for rule in ("short", "dead"))


def test_what_a_rule_explains_is_covered_however_much_it_is() -> None:
    many = explained(**{f"f{number}": "short" for number in range(600)})
    check, done = applied(many, SHORT)
    assert (check.status, check.known, check.evidence, done.notes) == (KNOWN, ("short",), "seen", ())


@pytest.mark.parametrize("rule", ["", "dead", "shorter"])
def test_a_victim_that_the_rule_does_not_explain_is_a_finding(rule: str) -> None:
    """Also one in place of another: as many as before."""
    check, _ = applied(explained(a="short", new=rule), SHORT)
    assert (check.status, check.known) == (FAIL, ("short",))
    assert check.evidence == "1 not covered: new; 1 covered by short; seen"


def test_each_finding_of_a_victim_needs_what_explains_it() -> None:
    findings = (finding("a", "one", 4, rule="short"), finding("a", "other", 4))
    both = Check(name="image.windows", status=FAIL, evidence="seen", findings=findings, count=1)
    check, _ = applied(both, SHORT)
    assert (check.status, check.evidence) == (FAIL, "1 not covered: a; seen")
    assert applied(both, SHORT, entry("a", covers=Names(globs=("a",))))[0].known == ("short", "a")


def test_rules_complete_each_other() -> None:
    check, done = applied(explained(a="dead", b="short"), SHORT, DEAD)
    assert (check.status, check.known, done.notes) == (KNOWN, ("dead", "short"), ())


def test_a_finding_that_was_not_kept_may_be_one_that_no_rule_explains() -> None:
    """Of victims with many findings only the first ones are kept."""
    found = [finding("a", f"{number}", 4, rule="short") for number in range(MOST_FINDINGS)]
    for more, status in ((found[:-1], KNOWN), ([*found, finding("a", "new", 4)], FAIL)):
        check = replace(explained(), **vars_of(none_of(more, held="")))
        assert applied(check, SHORT)[0].status is status


def vars_of(answer: Answer) -> dict[str, Any]:
    return {"findings": answer.findings, "count": answer.count, "evidence": answer.evidence}


def test_a_check_that_holds_is_noted_beside_a_rule_which_may_hold_elsewhere() -> None:
    check, done = applied(Check(name="image.windows", status=PASS, evidence="none"), SHORT)
    assert (check.status, done.notes) == (PASS, ("no longer occurs: short (image.windows)",))
    assert applied(explained(a="dead"), SHORT, DEAD)[1].notes == ()


def test_names_and_globs_cover_what_they_match() -> None:
    check, done = applied(failing("a", "sys_x", "sys_y"), entry(covers=Names(globs=("a", "sys_*"))))
    assert (check.status, check.known, done.notes) == (KNOWN, ("one",), ())


def test_one_victim_more_is_told_beside_those_that_are_covered() -> None:
    check, _ = applied(failing("a", "sys_x", "new"), entry(covers=Names(globs=("a", "sys_*"))))
    assert (check.status, check.known, check.victims) == (FAIL, ("one",), ("a", "sys_x", "new"))
    assert check.evidence == "1 not covered: new; 2 covered by one; seen"


def test_a_name_is_no_part_of_another() -> None:
    check, _ = applied(failing("sys_x_more"), entry(covers=Names(globs=("sys_x",))))
    assert (check.status, check.evidence) == (FAIL, "seen")


def test_a_name_with_brackets_is_itself() -> None:
    assert applied(failing("a[0]"), entry(covers=Names(globs=("a[0]",))))[0].status == KNOWN


def test_many_new_victims_are_told_in_part() -> None:
    names = [f"n{number}" for number in range(25)]
    check, _ = applied(failing("a", *names), entry(covers=Names(globs=("a",))))
    assert check.evidence.startswith("25 not covered: n0, n1, ")
    assert ", n19 and 5 more; 1 covered by one; seen" in check.evidence


def test_victims_that_were_not_kept_are_not_covered_by_names() -> None:
    """Nobody knows what they are called."""
    many = replace(failing("a", "b"), count=MOST_FINDINGS + 7)
    check, _ = applied(many, entry(covers=Names(globs=("*",))))
    assert (check.status, check.known) == (FAIL, ("one",))
    assert (
        check.evidence == f"{MOST_FINDINGS + 5} more than are kept, of which nothing is known; 2 covered by one; seen"
    )


def test_a_name_covers_all_that_have_it() -> None:
    findings = (finding("level_show", "wide", 0x10), finding("level_show", "wide", 0x20))
    both = Check(name="image.windows", status=FAIL, evidence="seen", findings=findings, count=2)
    check, done = applied(both, entry(covers=Names(globs=("level_show",))))
    assert (check.status, done.notes) == (KNOWN, ())


def test_entries_with_names_complete_each_other() -> None:
    entries = (
        entry("one", covers=Names(globs=("a",))),
        entry("idle", covers=Names(globs=("z*",))),
        entry("two", covers=Names(globs=("b*",))),
    )
    check, _ = applied(failing("a", "b1", "b2"), *entries)
    assert (check.status, check.known) == (KNOWN, ("one", "two"))
    check, _ = applied(failing("a", "b1", "c"), *entries)
    assert (check.status, check.evidence) == (FAIL, "1 not covered: c; 2 covered by one, two; seen")


def test_the_first_entry_that_covers_does() -> None:
    one, other = (entry(name, covers=Names(globs=("a", "b"))) for name in ("one", "other"))
    check, done = applied(failing("a", "b"), one, other)
    assert (check.known, done.notes) == (("one",), ())
    assert done.entries == ("one", "other")


def test_what_does_not_occur_any_more_is_noted() -> None:
    check, done = applied(Check(name="image.windows", status=PASS, evidence="none"), entry())
    assert check.status == PASS
    assert done.notes == ("no longer occurs: one (image.windows): remove it from known-issues.yaml",)


def test_names_that_do_not_occur_any_more_are_noted_and_globs_are_not() -> None:
    names = entry(covers=Names(globs=("a", "b", "c", "x*")))
    for victims, status in ((("a",), KNOWN), (("a", "new"), FAIL)):
        check, done = applied(failing(*victims), names)
        assert (check.status, done.notes) == (status, ("no longer occurs for b, c: one (image.windows)",))


def test_what_did_not_run_says_nothing_about_an_entry() -> None:
    check, done = applied(Check(name="image.windows", status=SKIP, evidence="off"), entry())
    assert (check.status, done.notes, done.entries) == (SKIP, (), ())
    assert apply([], [entry()], FACTS) == Applied(checks=(), notes=(), entries=())


def test_other_checks_stay_as_they_are() -> None:
    other = Check(name="image.other", status=FAIL, evidence="seen")
    assert applied(other, entry())[0] is other
