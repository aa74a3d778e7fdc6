"""Layouts read from objects of both byte orders and both compilers, whose flags were those of an awkward kernel."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oolong.binary import dwarf
from oolong.binary.structs import Field
from oolong.errors import BadInput
from tests.support import TEST_DATA

OBJECTS = TEST_DATA / "objects"
NAMES = ("layout-le", "layout-be", "layout-le-clang", "layout-be-clang")
MEMBERS = {
    "ip": (0, 8),
    "flags": (8, 8),
    "arch": (16, 16),
    "arch.first": (16, 8),
    "arch.pair": (24, 4),
    # between them three bits that are left out
    "plain": (36, 4),
    "number": (40, 4),
    "low": (40, 1),
    "high": (41, 1),
    "table": (44, 15),
    "next": (64, 8),
    "rest": (72, 0),
}


@pytest.mark.parametrize("name", NAMES)
def test_members_lie_where_the_compiler_put_them(name: str) -> None:
    found, _ = dwarf.read(OBJECTS / f"{name}.o", structs={"dyn_ftrace", "unknown", "missing"}, enumerators="FTRACE_")
    assert set(found) == {"dyn_ftrace"}
    assert found["dyn_ftrace"].size == 72
    assert found["dyn_ftrace"].members == {name: Field(*where) for name, where in MEMBERS.items()}


@pytest.mark.parametrize("name", NAMES)
def test_enumerators_have_the_sign_of_their_type(name: str) -> None:
    _, values = dwarf.read(OBJECTS / f"{name}.o", structs=(), enumerators="FTRACE_")
    assert values == {"FTRACE_FL_ENABLED": 1 << 31, "FTRACE_FL_LOW": 1, "FTRACE_BELOW": -1}


def test_an_object_without_debug_information_is_refused() -> None:
    with pytest.raises(BadInput, match="no debug information"):
        dwarf.read(OBJECTS / "le64.o", structs=(), enumerators="")


@pytest.mark.parametrize("name", ["dyn_ftrace", "hlist_head"])
def test_structures_of_a_size_that_no_kernel_has_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"struct of \d+ bytes"):
        dwarf.read(OBJECTS / "huge.o", structs={name}, enumerators="")


@given(at=st.integers(0, 1 << 14), data=st.binary(min_size=1, max_size=8))
def test_a_damaged_object_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, at: int, data: bytes) -> None:
    whole = (OBJECTS / "layout-le.o").read_bytes()
    at %= len(whole)
    damaged = tmp_path_factory.mktemp("damaged") / "layout.o"
    damaged.write_bytes(whole[:at] + data + whole[at + len(data) :])
    with suppress(BadInput):
        found, _ = dwarf.read(damaged, structs={"dyn_ftrace"}, enumerators="FTRACE_")
        assert set(found) <= {"dyn_ftrace"}
