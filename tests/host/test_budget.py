"""Lists that never come to the end of a line."""

import pytest

from oolong.errors import BadInput
from oolong.host.budget import ARCHIVE, LONGEST_LINE, LONGEST_NAME, Counted


def test_lines_are_cut_where_they_end_whatever_the_chunks() -> None:
    counted = Counted(ARCHIVE, where="x")
    chunks = [b"on", b"e\ntw", b"o\nthree\n", b"rest"]
    assert [line for chunk in chunks for line in counted.lines(chunk, end=b"\n")] == ["one", "two", "three"]


def test_a_line_that_never_ends_is_given_up() -> None:
    counted = Counted(ARCHIVE, where="x")
    for _ in range(LONGEST_LINE // 1024):
        assert list(counted.lines(b"x" * 1024, end=b"\n")) == []
    with pytest.raises(BadInput, match="has a name of more than 4096 bytes"):
        counted.lines(b"x", end=b"\n")


def test_a_name_is_no_longer_than_a_path_may_be() -> None:
    counted = Counted(ARCHIVE, where="x")
    counted.add("x" * LONGEST_NAME, 0)
    with pytest.raises(BadInput, match=r"x: has a name of more than 4096 bytes: x{100}…"):
        counted.add("x" * (LONGEST_NAME + 1), 0)
