"""What a check comes to: how findings are counted, kept and told, and that JSON holds all of it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from oolong.audit.check import (
    MOST_FINDINGS,
    SHOWN,
    Answer,
    Check,
    CheckStatus,
    finding,
    from_json,
    judged,
    none_of,
    skipped,
)


def named(answer: Answer) -> Check:
    return Check(
        name="image.unique",
        status=answer.status,
        evidence=answer.evidence,
        findings=answer.findings,
        count=answer.count,
    )


def test_a_check_about_a_whole_has_no_victims() -> None:
    for answer in (judged(True, "so it is"), judged(False, "it is not"), skipped("off"), none_of((), held="none")):
        check = named(answer)
        assert (check.findings, check.victims, check.count) == ((), (), 0)


def test_a_function_is_counted_once_however_many_stops_found_it() -> None:
    stops = ("off", "one", "all")
    found = [finding(who, "busy", at, stop=stop) for stop in stops for who, at in (("a", 4), ("b", 8))]
    check = named(none_of(found, held=""))
    assert (check.count, check.victims, check.findings) == (2, ("a", "b"), tuple(found))
    assert check.evidence == "2: a: at off: busy; b: at off: busy"


def test_functions_of_one_name_at_two_addresses_are_two() -> None:
    check = named(none_of((finding("level_show", "wide", 4), finding("level_show", "wide", 8)), held=""))
    assert (check.count, check.victims) == (2, ("level_show",))


def test_evidence_shows_the_first_and_counts_the_others() -> None:
    found = [finding(f"f{number}", "wrong", number) for number in range(SHOWN + 3) for _ in range(2)]
    evidence = none_of(found, held="").evidence
    assert evidence == "8: f0: wrong; f1: wrong; f2: wrong; f3: wrong; f4: wrong; and 3 more"


def test_a_line_without_more_is_told_alone() -> None:
    assert none_of([finding("x.c: error", "")], held="").evidence == "1: x.c: error"


def test_as_many_findings_as_are_kept_are_all_kept() -> None:
    found = [finding(f"f{number}", "wrong") for number in range(MOST_FINDINGS)]
    check = named(none_of(found, held=""))
    assert (check.findings, check.count) == (tuple(found), MOST_FINDINGS)


def test_of_too_many_findings_every_function_keeps_one() -> None:
    """3,000 functions at five stops: the last stop is cut off, no function is."""
    found = [finding(f"f{number}", "busy", number, stop=str(stop)) for number in range(3000) for stop in range(5)]
    check = named(none_of(found, held=""))
    assert (len(check.findings), check.count, len(check.victims)) == (MOST_FINDINGS, 3000, 3000)
    assert [one.stop for one in check.findings[:3000]] == ["0"] * 3000


def test_the_count_is_told_where_not_even_every_function_is_kept() -> None:
    found = [finding(f"f{number}", "wrong", number) for number in range(MOST_FINDINGS + 5)]
    check = named(none_of(found, held=""))
    assert (len(check.findings), check.count) == (MOST_FINDINGS, MOST_FINDINGS + 5)
    assert check.evidence.startswith(f"{MOST_FINDINGS + 5}: ")
    assert from_json(json.loads(json.dumps(check.as_json()))) == check


FINDINGS = st.builds(
    finding,
    st.text(),
    st.text(),
    st.none() | st.integers(0, (1 << 64) - 1),
    st.none() | st.text(),
    stop=st.text(),
)
CHECKS = st.builds(
    Check,
    name=st.text(),
    status=st.sampled_from(CheckStatus),
    evidence=st.text(),
    findings=st.lists(FINDINGS).map(tuple),
    count=st.integers(0, 1 << 20),
    known=st.lists(st.text()).map(tuple),
)


@given(CHECKS)
def test_a_check_comes_back_from_json_as_it_was(check: Check) -> None:
    back = from_json(json.loads(json.dumps(check.as_json())))
    assert back == check
    assert isinstance(back.status, CheckStatus)


def test_json_says_nothing_twice() -> None:
    check = named(none_of([finding("leaf", "no nop", 0xC000000000000010, ".text", stop="off")], held=""))
    assert check.as_json() == {
        "name": "image.unique",
        "status": "fail",
        "evidence": "1: leaf: at off: no nop",
        "findings": [
            {
                "who": "leaf",
                "what": "no nop",
                "address": "0xc000000000000010",
                "section": ".text",
                "stop": "off",
                "rule": "",
            }
        ],
        "count": 1,
        "known": [],
    }
