"""What an entry of a Kconfig file depends on, as it is written in several ways."""

import pytest

from oolong.kbuild.kconfig_entry import conditions, redundant


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("def_bool y", [[]]),
        ("def_bool A && B", [["A", "B"]]),
        ("def_bool y if A && B", [[], ["A", "B"]]),
        ("bool\n\tdepends on A\n\tdepends on B", [["A"], ["B"]]),
        ("bool\n\tdepends on (A && B) || C\n\tdefault y", [["(A && B) || C"], []]),
        ("bool\n\tdepends on $(success,tool $(CC) && true) && A", [["$(success,tool $(CC) && true)", "A"]]),
        ("bool\n\tdepends on A && \\\n\t\tB", [["A", "B"]]),
        ("bool\n\tdefault y if A\n\tdefault n if B", [[], ["A"]]),
        ("bool # depends on A\n\t# depends on B\n\tdepends on C", [["C"]]),
        ("bool\n\tdepends on A\n\thelp\n\t  depends on B", [["A"]]),
    ],
)
def test_conditions_are_the_parts_that_must_all_hold(lines: str, expected: list[list[str]]) -> None:
    before, after = "config BEFORE\n\tdepends on X\n", "\nmenuconfig AFTER\n\tdepends on Z\n"
    assert conditions(f"{before}config ONE\n\t{lines}\n{after}", "ONE") == expected


def test_what_is_not_there_has_none() -> None:
    assert conditions("config ONES\n\tdepends on A\n", "ONE") == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("def_bool A && B", []),
        ("def_bool A && B\n\tdepends on A", [("A", "stands there twice")]),
        ("def_bool y if A\n\tdepends on A", [("A", "stands there twice")]),
        ("def_bool FOLLOWS && B", []),
        ("def_bool FOLLOWS\n\tdepends on A", [("A", "FOLLOWS depends on it")]),
        ("def_bool FOLLOWS\n\tdepends on (B || C)", [("(B || C)", "FOLLOWS depends on it")]),
        ("def_bool !FOLLOWS\n\tdepends on A", []),
        # the first default counts, others are other cases
        ("bool\n\tdefault y if A\n\tdefault y if A && B", []),
    ],
)
def test_what_follows_from_the_rest_is_redundant(lines: str, expected: list[tuple[str, str]]) -> None:
    text = f"config FOLLOWS\n\tdepends on A && (B || C)\n\nconfig ONE\n\t{lines}\n"
    assert redundant(text, "ONE") == expected
