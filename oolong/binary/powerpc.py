"""Instruction words of ftrace's sequences and the arithmetic of branches (pure).

Words are what an instruction means, whatever the byte order it is stored in. Source: Power ISA 3.1, book I, 2.4
(branches of I-form and B-form), 3.3.17 (mfspr, mtspr); arch/powerpc/include/asm/ppc-opcode.h of Linux 7.3.
"""

import re
import sys
from array import array
from collections.abc import Iterator

NOP, MFLR_R0, MTLR_R0 = 0x60000000, 0x7C0802A6, 0x7C0803A6
INSTRUCTION = 4
# how far I-form branches reach, in bytes: 26 bits, signed, in steps of an instruction
FURTHEST_BACK, FURTHEST_AHEAD = -0x2000000, 0x1FFFFFC
_DISPLACEMENT = 0x03FFFFFC
_OPCODE, _ABSOLUTE, _LINK = 18 << 26, 2, 1
# the first byte of a word with that opcode, and where it lies in a word of an array
_FIRST_BYTE, _FIRST = re.compile(rb"[\x48-\x4b]"), 0 if sys.byteorder == "big" else INSTRUCTION - 1
# B-form: bc, 16 bits, signed
_CONDITIONAL_OPCODE, _CONDITIONAL_DISPLACEMENT = 16 << 26, 0xFFFC
# what the assembler fills a gap in code with: ori r0,r0,0; at the end of a dispatch group ori r1,r1,0 or ori r2,r2,0
PADDING = frozenset((NOP, 0x60210000, 0x60420000))
# addis r2,r12,X / lis r2,X, then addi r2,r2,Y: how a function that uses the TOC begins (ELF V2 ABI, 2.3.2.1)
_HIGH = 0xFFFF0000
_ADDIS_R2_R12, _LIS_R2, _ADDI_R2_R2 = 0x3C4C0000, 0x3C400000, 0x38420000
TOC_SETUP = 8


def reaches(source: int, target: int) -> bool:
    """Whether a branch at one address reaches another."""
    return FURTHEST_BACK <= target - source <= FURTHEST_AHEAD and (target - source) % INSTRUCTION == 0


def branch(source: int, target: int, *, link: bool = False) -> int:
    """The word of `b target`, or `bl target`, at an address; ValueError if it does not reach."""
    if not reaches(source, target):
        raise ValueError(f"no branch at {source:#x} reaches {target:#x}")
    return _OPCODE | (target - source) & _DISPLACEMENT | (_LINK if link else 0)


def branch_target(word: int, at: int) -> int | None:
    """Where a relative `b` or `bl` at an address goes; None for every other instruction."""
    if word & ~(_DISPLACEMENT | _LINK) != _OPCODE:
        return None
    distance = word & _DISPLACEMENT
    return at + (distance - (1 << 26) if distance >> 25 else distance)


def jump_target(word: int, at: int) -> int | None:
    """Where a relative branch of either form, conditional or not, at an address goes; None for every other
    instruction."""
    if word & (63 << 26 | _ABSOLUTE) == _CONDITIONAL_OPCODE:
        distance = word & _CONDITIONAL_DISPLACEMENT
        return at + (distance - (1 << 16) if distance >> 15 else distance)
    return branch_target(word, at)


def calls(words: "array[int]", start: int) -> Iterator[tuple[int, int]]:
    """(address, target) of every relative `bl` among the words from an address on."""
    # the opcode is looked for by the byte: a loop over all words of a kernel takes several times as long
    for found in _FIRST_BYTE.finditer(words.tobytes()[_FIRST::INSTRUCTION]):
        word = words[found.start()]
        if word & (_ABSOLUTE | _LINK) == _LINK:
            at, distance = start + INSTRUCTION * found.start(), word & _DISPLACEMENT
            yield at, at + (distance - (1 << 26) if distance >> 25 else distance)


def links(word: int) -> bool:
    """Whether a branch leaves its return address in the link register (bl)."""
    return bool(word & _LINK)


def uses_toc(word: int) -> bool:
    """Whether an instruction may add to r2, the TOC pointer: addi, or a load or store of D-form or DS-form."""
    return word >> 16 & 31 == 2 and (word >> 26 == 14 or word >> 26 >= 32)


def sets_up_toc(first: int, second: int) -> bool:
    """Whether two instructions are what lies between a function's global and its local entry point."""
    return first & _HIGH in (_ADDIS_R2_R12, _LIS_R2) and second & _HIGH == _ADDI_R2_R2
