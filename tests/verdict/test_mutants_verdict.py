"""Every mutant of what a verdict is made from is caught by a named check; what makes no difference is listed."""

from collections import Counter
from functools import cache

from oolong.audit import catalogue
from oolong.audit.check import CheckStatus
from tests import results
from tests.mutants import verdicts
from tests.mutants.outcome import Outcome, told
from tests.mutants.verdicts import EQUIVALENT

AT_LEAST = 100


@cache
def outcomes() -> tuple[Outcome, ...]:
    seen = []
    for one in verdicts.mutants(results.healthy()):
        judged = results.judge(one.stages)
        by = tuple(check.name for check in judged.checks if check.status is CheckStatus.FAIL)
        assert (judged.status is CheckStatus.FAIL) == bool(by), one.what
        seen.append(Outcome(one.kind, one.what, by))
    return tuple(seen)


def test_every_mutant_of_the_results_of_stages_is_caught() -> None:
    print(f"\n{told(outcomes())}")
    assert [(one.kind, one.what) for one in outcomes() if not one.by and one.kind not in EQUIVALENT] == []
    assert {name for one in outcomes() for name in one.by} <= catalogue.entries().keys()
    assert sum(bool(one.by) for one in outcomes()) >= AT_LEAST


def test_what_makes_no_difference_makes_none_and_is_made() -> None:
    assert {one.kind for one in outcomes() if not one.by} == EQUIVALENT.keys()
    assert [one for one in outcomes() if one.by and one.kind in EQUIVALENT] == []


def test_what_is_missing_is_named_and_what_failed_by_its_own_check() -> None:
    by_kind: dict[str, Counter[tuple[str, ...]]] = {}
    for one in outcomes():
        by_kind.setdefault(one.kind, Counter())[one.by] += 1
    for kind in ("a stage missing", "a check missing", "a check skipped", "a stop or a section missing", "no tests"):
        assert {"audit.complete" in by for by in by_kind[kind]} == {True}, kind
    for one in outcomes():
        if one.kind == "a check failed":
            assert one.by == (one.what,)
        elif one.kind == "a stage failed":
            assert f"stage.{one.what.partition(':')[0]}" in one.by
