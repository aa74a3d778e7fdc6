"""The nearest valid name, for the hints of errors."""

from oolong.errors import did_you_mean


def test_near_name() -> None:
    assert did_you_mean("gcc-41", ["clang-22", "gcc-14"]) == "did you mean 'gcc-14'?"


def test_case_does_not_matter() -> None:
    assert did_you_mean("power9", ["POWER8", "POWER9"]) == "did you mean 'POWER9'?"


def test_nothing_near_lists_all_in_order() -> None:
    assert did_you_mean("zzz", ["smoke", "full", "full"]) == "one of: full, smoke"


def test_long_list_is_cut() -> None:
    assert did_you_mean("?", map(str, range(13))).endswith(", 8, … (13 in all)")
    assert did_you_mean("?", map(str, range(12))) == "one of: 0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9"


def test_no_candidate() -> None:
    assert did_you_mean("a", []) == ""
