"""known-issues.yaml: how it is read, every error, and what an entry covers: never more than it says."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from oolong.audit import catalogue
from oolong.audit.check import MOST_FINDINGS, Check, CheckStatus, finding
from oolong.errors import BadInput
from oolong.host.layout import Layout
from oolong.verdict import known_issues_yaml
from oolong.verdict.known_issues import Applied, AtMost, Bound, Facts, KnownIssue, Names, Whole, apply
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
    names, number, everything = known_issues_yaml.load(layout)
    assert names == KnownIssue(
        name="some-names",
        checks=("image.kprobe-window",),
        covers=Names(globs=("sys_shmdt", "arch_*")),
        kernels=(Bound(sign=">=", version=(6, 18)), Bound(sign="<", version=(8,))),
        when=(("endian", "be"), ("toolchain", "gcc-*")),
        config=(("OOL", "y"), ("RESERVE", "0")),
        reason="Why it is understood.",
        evidence="What was seen.",
        upstream="https://bugs.example/1",
    )
    assert (number.checks, number.covers) == (("image.kprobe-window", "guest.listed-once"), AtMost(victims=3))
    assert (everything.covers, everything.upstream) == (Whole(), "")


def test_without_a_file_nothing_is_known(layout: Layout) -> None:
    layout.known_issues.unlink()
    assert known_issues_yaml.load(layout) == ()


@pytest.mark.parametrize("name", catalogue.entries())
def test_every_check_of_the_catalogue_may_be_known(name: str, layout: Layout) -> None:
    text = layout.known_issues.read_text()
    layout.known_issues.write_text(text.replace("image.post-link-checks", name))
    assert known_issues_yaml.load(layout)[2].checks == (name,)


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
    ],
)
def test_a_range_of_versions(sign: str, version: tuple[int, ...], release: str | None, holds: bool) -> None:
    bounded = entry(kernels=(Bound(sign=sign, version=version),))
    check, _ = applied(failing(), bounded, facts=replace(FACTS, release=release))
    assert (check.status == KNOWN) == holds


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
    for covers in (AtMost(victims=9), Names(globs=("*",))):
        check, _ = applied(failing(), entry(covers=covers))
        assert (check.status, check.evidence) == (FAIL, "one covers victims, this finding has none; seen")


def test_as_many_as_known_are_covered_and_one_more_is_not() -> None:
    three = entry(covers=AtMost(victims=3))
    check, done = applied(failing("a", "b", "c"), three)
    assert (check.status, check.known, check.evidence, done.notes) == (KNOWN, ("one",), "seen", ())
    check, done = applied(failing("a", "b", "c", "d"), three)
    assert (check.status, check.known) == (FAIL, ())
    assert check.evidence == "one covers at most 3, 4 were found; seen"
    assert len(check.victims) == 4


def test_fewer_than_known_are_covered_and_noted() -> None:
    check, done = applied(failing("a", "b"), entry(covers=AtMost(victims=3)))
    assert check.status == KNOWN
    assert done.notes == ("one (image.windows): covers 3, 2 were found",)


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
    """Nobody knows what they are called; a number counts them."""
    many = replace(failing("a", "b"), count=MOST_FINDINGS + 7)
    check, _ = applied(many, entry(covers=Names(globs=("*",))))
    assert (check.status, check.known) == (FAIL, ("one",))
    assert check.evidence == "7 more than are kept, of which no name is known; 2 covered by one; seen"
    assert applied(many, entry(covers=AtMost(victims=MOST_FINDINGS + 7)))[0].status is KNOWN
    assert applied(many, entry(covers=AtMost(victims=MOST_FINDINGS + 6)))[0].status is FAIL


def test_a_number_counts_functions_and_a_name_covers_all_that_have_it() -> None:
    findings = (finding("level_show", "wide", 0x10), finding("level_show", "wide", 0x20))
    both = Check(name="image.windows", status=FAIL, evidence="seen", findings=findings, count=2)
    assert applied(both, entry(covers=AtMost(victims=1)))[0].status is FAIL
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


def test_names_and_a_number_do_not_add_up() -> None:
    """Who counts, counts all victims: otherwise a new one could take the place of a known one unseen."""
    entries = (entry("names", covers=Names(globs=("a", "b"))), entry("number", covers=AtMost(victims=1)))
    check, _ = applied(failing("a", "b", "c"), *entries)
    assert check.status == FAIL
    told = "1 not covered: c; 2 covered by names; number covers at most 1, 3 were found; seen"
    assert check.evidence == told


def test_the_first_entry_that_covers_does() -> None:
    few, more, most = (entry(name, covers=AtMost(victims=n)) for name, n in (("few", 1), ("more", 2), ("most", 9)))
    check, done = applied(failing("a", "b"), few, more, most)
    assert (check.known, done.notes) == (("more",), ())
    assert done.entries == ("few", "more", "most")


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
