"""KTAP and what is like it: the tree, the counts, and what tells that results are not all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oolong.machine import ktap
from oolong.machine.ktap import Counts, Results, Status


def parse(text: str) -> Results:
    return ktap.parse(text.splitlines())


PLAIN = """\
KTAP version 1
1..4
# one is slow
ok 1 one
not ok 2 - two
ok 3 three # SKIP no such device
not ok 4 four ops #1 # TODO later
# Totals: pass:1 fail:1 xfail:1 skip:1
"""


def test_plain_results_in_order() -> None:
    results = parse(PLAIN)
    assert [(case.number, case.name, case.status) for case in results.tests] == [
        (1, "one", Status.PASS),
        (2, "two", Status.FAIL),
        (3, "three", Status.SKIP),
        (4, "four ops #1", Status.EXPECTED),
    ]
    assert [case.reason for case in results.tests] == ["", "", "no such device", "later"]
    assert results.tests[0].diagnostics == ("# one is slow",)
    assert results.diagnostics == ("# Totals: pass:1 fail:1 xfail:1 skip:1",)
    assert results.counts == Counts(passed=1, failed=1, skipped=1, expected=1)
    assert results.counts.total == results.planned == 4
    assert results.is_complete
    assert not results.is_ok


KUNIT = """\
KTAP version 1
1..2
  KTAP version 1
  # Subtest: outer
  1..2
    KTAP version 1
    1..1
    # deep
    ok 1 inner
  ok 1 middle
some driver: hello
  not ok 2 other
not ok 1 outer
ok 2 last
"""


def test_indented_subtests_belong_to_the_result_that_follows() -> None:
    results = parse(KUNIT)
    outer, last = results.tests
    assert outer.subtests is not None
    assert last.subtests is None
    middle, other = outer.subtests.tests
    assert middle.subtests is not None
    assert [case.name for case in middle.subtests.tests] == ["inner"]
    assert middle.subtests.tests[0].diagnostics == ("# deep",)
    assert other.diagnostics == ("some driver: hello",)
    assert [case.name for case in results.leaves] == ["inner", "other", "last"]
    assert results.counts == Counts(passed=2, failed=1)
    assert results.is_complete


@pytest.mark.parametrize("indent", ["    ", "\t".expandtabs(8), " "])
def test_any_indentation_is_a_level(indent: str) -> None:
    results = parse(f"KTAP version 1\n1..1\n{indent}# Subtest: old\n{indent}1..1\n{indent}ok 1 - x\nok 1 - old\n")
    assert [case.name for case in results.leaves] == ["x"]
    assert results.is_ok


KSELFTEST = """\
TAP version 13
1..3
# timeout set to 45
# selftests: ftrace: ftracetest-ktap
# TAP version 13
# 1..2
# ok 1 Basic trace file check
# # a note
# ok 2 event tracing # SKIP
# # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:1 error:0
ok 1 selftests: ftrace: ftracetest-ktap
# selftests: x: slow
not ok 2 selftests: x: slow # TIMEOUT 45 seconds
# selftests: x: bad
# ok 7 is what this test says, and it is no result
not ok 3 selftests: x: bad # exit=1
"""


def test_kselftest_puts_marks_before_nested_lines() -> None:
    results = parse(KSELFTEST)
    first, slow, bad = results.tests
    assert first.subtests is not None
    assert [(case.name, case.status) for case in first.subtests.tests] == [
        ("Basic trace file check", Status.PASS),
        ("event tracing", Status.SKIP),
    ]
    assert first.subtests.tests[1].diagnostics == ("# a note",)
    assert (slow.name, slow.status, slow.directive, slow.reason) == (
        "selftests: x: slow",
        Status.FAIL,
        "TIMEOUT",
        "45 seconds",
    )
    assert (bad.name, bad.directive, bad.reason, bad.subtests) == ("selftests: x: bad", "", "exit=1", None)
    assert results.is_complete


DIRECTIVES = {
    "ok 1 x # SKIP why": Status.SKIP,
    "not ok 1 x # SKIP why": Status.SKIP,
    "ok 1 x # skip: why": Status.SKIP,
    "ok 1 # SKIP why": Status.SKIP,
    "not ok 1 x # XFAIL why": Status.EXPECTED,
    "not ok 1 x # TODO why": Status.EXPECTED,
    "ok 1 x # XFAIL why": Status.PASS,
    "ok 1 x # TIMEOUT why": Status.FAIL,
    "not ok 1 x # ERROR why": Status.FAIL,
    "ok 1 x # SKIPPING why": Status.PASS,
}


@pytest.mark.parametrize("line", DIRECTIVES)
def test_directives(line: str) -> None:
    (case,) = parse(f"KTAP version 1\n1..1\n{line}").tests
    assert case.status is DIRECTIVES[line]
    assert case.name in ("x", "")
    assert case.reason.endswith("why")


INCOMPLETE = {
    "": "gave no plan and ended 0 tests",
    "KTAP version 1\nok 1 a\n": "gave no plan and ended 1 tests",
    "1..2\nok 1 a\n": "planned 2 tests and ended 1",
    "1..2\nok 1 a\nok 1 a\n": "ended test 1 where 2 was next",
    "1..2\nok 2 b\nok 1 a\n": "ended test 2 where 1 was next",
    "1..2\nok 1 a\nok b\n": "ended test without a number where 2 was next",
    "1..1\nok 1 a\nok 2 b\n": "planned 1 tests and ended 2",
    "1..1\n1..1\nok 1 a\n": "gave two plans",
    "KTAP version 1\n1..1\nok 1 a\nKTAP version 1\n": "began twice",
    "1..2\nok 1 a\nBail out! no memory\n": "bailed out: no memory",
    "1..1\nBail out!\nok 1 a": "bailed out: ",
    "1..1\n  KTAP version 1\n  1..1\n  ok 1 a\n": "began subtests that have no result",
    "1..1\n  1..1\n  ok 1 a\n  1..1\n": "gave two plans",
    "1..1\n  KTAP version 1\n  KTAP version 1\n  1..0\nok 1 a\n": "began subtests that have no result",
    "1..1\n  KTAP version 1\n  1..2\n  ok 1 a\nok 1 outer\n": "outer: planned 2 tests and ended 1",
    f"1..{'9' * 5000}\nok 1 a\n": "gave no plan and ended 1 tests",
    f"1..1\nok {'9' * 5000} a\n": "ended test without a number where 1 was next",
}


@pytest.mark.parametrize("text", INCOMPLETE)
def test_what_is_not_everything_that_was_planned(text: str) -> None:
    results = parse(text)
    assert INCOMPLETE[text] in results.problems
    assert not results.is_complete
    assert not results.is_ok


@pytest.mark.parametrize("length", range(len(KUNIT)))
def test_input_that_ends_early_is_never_complete(length: int) -> None:
    """But for the end of the last line, which is only its name."""
    whole = KUNIT.rindex("ok 2")
    assert parse(KUNIT[:length]).is_complete == (length >= whole + len("ok 2"))


def test_a_plan_may_come_last_and_may_be_of_no_tests() -> None:
    assert parse("TAP version 14\nok 1 a\n1..1\n").is_ok
    results = parse("KTAP version 1\n1..0 # SKIP no such device\n")
    assert (results.planned, results.skipped, results.is_ok) == (0, "no such device", True)


def test_a_failed_result_over_good_subtests_is_a_failure() -> None:
    results = parse("1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nnot ok 1 outer\n")
    assert results.counts == Counts(passed=1)
    assert results.is_complete
    assert not results.is_ok


def test_levels_without_end_are_diagnostics() -> None:
    deep = "".join(f"{'  ' * depth}KTAP version 1\n" for depth in range(5000))
    results = parse(deep)
    depth = 0
    while results.orphans:
        (results,) = results.orphans
        depth += 1
    assert depth == ktap.DEEPEST
    assert len(results.diagnostics) == 5000 - 1 - ktap.DEEPEST


SPOKEN = (
    "KTAP version 1|TAP version 13|1..|ok |not ok |- | |  |# |#|SKIP|XFAIL|\n|1|2|Bail out!|# Subtest: |x|\t|\r\n|²|١"
)
WORDS = st.sampled_from([*SPOKEN.split("|"), "9" * 20])


@given(st.lists(WORDS | st.text(max_size=5), max_size=80).map("".join))
def test_it_never_raises_and_counts_what_there_is(text: str) -> None:
    lines = text.splitlines()
    results = ktap.parse(lines)
    assert results.counts.total == len(results.leaves) <= sum("ok" in line for line in lines)
    assert results.is_complete == (results.problems == ())
    assert not results.is_ok or results.planned == len(results.tests)


@given(st.lists(st.booleans(), max_size=30))
def test_a_healthy_document_is_complete_whatever_its_results(passed: list[bool]) -> None:
    lines = [f"{'' if good else 'not '}ok {place} test {place}" for place, good in enumerate(passed, start=1)]
    results = ktap.parse(["KTAP version 1", f"1..{len(passed)}", *lines])
    assert results.is_complete
    assert results.is_ok == all(passed)
    assert results.counts == Counts(passed=sum(passed), failed=len(passed) - sum(passed))
