"""Instruction words as lines for people: the one module that imports capstone."""

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from oolong.binary.powerpc import INSTRUCTION

if TYPE_CHECKING:
    from capstone import Cs

# the first word of an instruction of two (Power ISA 3.1, book I, 1.6.3), which capstone takes for one of its own
PREFIX = 1
# the conditional and the unconditional branch: their last operand is where they go
BRANCHES = 16, 18
_OPCODE_SHIFT = 26
_WORD = struct.Struct(">I")


class Line(NamedTuple):
    """One word of code: where it is, what it is, what it means."""

    address: int
    word: int
    text: str


def disassembled(words: Iterable[int], at: int, told: Callable[[int], str]) -> tuple[Line, ...]:
    """The words from an address on, as `told` names the places that branches go to.

    What capstone does not know is `.long`, and so are both words of a prefixed instruction. The words are what they
    mean (oolong.binary.powerpc), so that no byte order matters.
    """
    return tuple(_lines(words, at, told))


def _lines(words: Iterable[int], at: int, told: Callable[[int], str]) -> Iterator[Line]:
    is_suffix = False
    for number, word in enumerate(words):
        place = at + number * INSTRUCTION
        is_prefix = not is_suffix and word >> _OPCODE_SHIFT == PREFIX
        yield Line(place, word, f".long {word:#x}" if is_prefix or is_suffix else _meaning(word, place, told))
        is_suffix = is_prefix


def _meaning(word: int, place: int, told: Callable[[int], str]) -> str:
    for _, _, mnemonic, operands in _disassembler().disasm_lite(_WORD.pack(word), place):
        if word >> _OPCODE_SHIFT in BRANCHES:
            *others, target = operands.split(", ")
            operands = ", ".join([*others, told(int(target, 16))])
        return f"{mnemonic} {operands}".rstrip()
    return f".long {word:#x}"


@cache
def _disassembler() -> "Cs":
    # not at the top: it is slow to import, and most runs disassemble nothing
    from capstone import CS_ARCH_PPC, CS_MODE_64, CS_MODE_BIG_ENDIAN, Cs

    return Cs(CS_ARCH_PPC, CS_MODE_64 | CS_MODE_BIG_ENDIAN)
