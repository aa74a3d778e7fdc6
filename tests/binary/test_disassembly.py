"""Words as instructions, whatever the byte order that they were stored in."""

import pytest

from oolong.binary import powerpc
from oolong.binary.disassembly import disassembled

AT = 0xC000000000100000
PREFIX, SUFFIX = 0x06000000, 0x38600001


def told(address: int) -> str:
    return f"there+{address - AT:#x}"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (powerpc.NOP, "nop"),
        (powerpc.MFLR_R0, "mflr r0"),
        (powerpc.MTLR_R0, "mtlr r0"),
        (0x3C4C004C, "addis r2, r12, 0x4c"),
        (powerpc.branch(AT, AT + 0x20), "b there+0x20"),
        (powerpc.branch(AT, AT - 0x20, link=True), "bl there+-0x20"),
        (0x409E0010, "bne cr7, there+0x10"),
        (0x4E800020, "blr"),
        (0, ".long 0x0"),
    ],
)
def test_a_word_is_told_with_the_place_that_it_branches_to(word: int, text: str) -> None:
    (line,) = disassembled([word], AT, told)
    assert line == (AT, word, text)


def test_both_words_of_a_prefixed_instruction_are_data() -> None:
    """paddi r3, 0, 1: its second word alone would be `li r3, 1`."""
    lines = disassembled([powerpc.NOP, PREFIX, SUFFIX, SUFFIX], AT, told)
    assert [line.text for line in lines] == ["nop", ".long 0x6000000", ".long 0x38600001", "li r3, 1"]
    assert [line.address - AT for line in lines] == [0, 4, 8, 12]
