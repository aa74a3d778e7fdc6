"""Whether the compiler left room for one instruction at each function's entry, or for more."""

import pytest

from oolong.audit import object
from oolong.audit.check import CheckStatus
from oolong.audit.object_checks import Compiled, one_nop
from oolong.audit.orphans import aligns_a_loop
from oolong.binary import powerpc
from tests.support import TEST_DATA

OBJECTS = TEST_DATA / "objects"
COMPILED = ["le", "be", "le-clang"]


@pytest.mark.parametrize("compiled", COMPILED)
def test_one_nop_is_one_and_those_that_align_a_loop_are_none(compiled: str) -> None:
    found = object.read(OBJECTS / f"nops-{compiled}-1.o")
    loop = next(entry for entry in found.entries if found.function(entry) == "begins_with_a_loop")
    words, number = found.site(loop) or ((), 0)
    assert words[number + 1] == powerpc.NOP
    assert one_nop(Compiled(found)).status is CheckStatus.PASS


@pytest.mark.parametrize("compiled", COMPILED)
def test_functions_with_two_nops_are_named(compiled: str) -> None:
    """Whatever lies after them: an aligned place too, as long as nothing jumps there; where a loop begins there, one
    nop and two look the same."""
    check = one_nop(Compiled(object.read(OBJECTS / f"nops-{compiled}-2.o")))
    assert check.status is CheckStatus.FAIL
    assert check.victims == ("uses_nothing", "uses_data")


@pytest.mark.parametrize(
    ("words", "address", "aligns"),
    [
        ((powerpc.NOP, powerpc.NOP, 0x48000000), 0x1008, True),  # b .
        ((powerpc.NOP, powerpc.NOP, 0x38630001, 0x4BFFFFFC), 0x1008, True),  # addi, b .-4
        ((powerpc.NOP, powerpc.NOP, 0x38630001, 0x4BFFFFFC), 0x1004, False),
        ((powerpc.NOP, 0x38630001, 0x4BFFFFFC), 0x100C, True),
        ((powerpc.NOP, 0x48000000), 0x100C, False),  # a tail call, before the link
        ((powerpc.NOP, 0x42000000), 0x100C, True),  # bdnz .
        ((powerpc.NOP, 0x4E800020), 0x100C, False),
        ((powerpc.NOP,), 0x100C, False),
        ((), 0x1000, False),
    ],
)
def test_a_loop_is_aligned_where_code_jumps_back(words: tuple[int, ...], address: int, aligns: bool) -> None:
    assert aligns_a_loop(words, 0, len(words), address) == aligns


@pytest.mark.parametrize(
    ("word", "target"),
    [
        (0x4082FFF0, 0xFF0),  # bne -16
        (0x42000010, 0x1010),  # bdnz +16
        (0x4BFFFFE0, 0xFE0),  # b -32
        (0x48000010, 0x1010),  # b +16
        (0x4E800020, None),  # blr
        (0x40820012, None),  # bnea
        (powerpc.NOP, None),
    ],
)
def test_jumps_of_both_forms_have_targets(word: int, target: int | None) -> None:
    assert powerpc.jump_target(word, 0x1000) == target
