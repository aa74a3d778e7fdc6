"""The instructions that the kernel patches for other reasons than ftrace: jump labels, features of the CPU, barriers.

In vmlinux.o relocations say where they lie, in vmlinux the tables themselves, as distances. Sources:
include/linux/jump_label.h (code, target, key) and arch/powerpc/include/asm/feature-fixups.h (mask, value, start, end,
start and end of the alternative; in the other tables one place an entry) of Linux 7.3.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from oolong.binary import elf, powerpc

JUMP_TABLE = "__jump_table"
JUMP_BOUNDS = "__start___jump_table", "__stop___jump_table"
FEATURES, OTHER_FIXUPS = re.compile(r"__(mmu_|fw_)?ftr_fixup"), re.compile(r"__\w*fixup")
FEATURE_MEMBERS, START, END = 6, 2, 3
# no feature replaces more bytes
LONGEST_FEATURE = 1 << 12
POINTER, JUMP_ENTRY = 8, 16
# after every place of a section
BEYOND = 1 << 65

Range = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Places:
    """Places in code: `ranges` are (section, from, up to), sorted, no two of them with a place in common."""

    ranges: tuple[Range, ...] = ()

    def __contains__(self, place: tuple[int, int]) -> bool:
        section, at = place
        number = bisect_right(self.ranges, (section, at, BEYOND)) - 1
        return number >= 0 and self.ranges[number][0] == section and at < self.ranges[number][2]

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> "Places":
        """Of ranges in any order, however they overlap."""
        found: list[Range] = []
        for section, start, end in sorted(ranges):
            if found and found[-1][0] == section and start <= found[-1][2]:
                found[-1] = section, found[-1][1], max(end, found[-1][2])
            elif start < end:
                found.append((section, start, end))
        return cls(tuple(found))


NOWHERE = Places()


def in_object(file: elf.ElfFile) -> Places:
    """Those of a file before its link, by its sections."""
    return Places.of(_ranges_in_object(file))


def in_image(file: elf.ElfFile, addresses: Mapping[str, int]) -> Places:
    """Those of a linked 64-bit kernel, as in a section 0; `addresses` has those of JUMP_BOUNDS, if there are any."""
    return Places.of((0, start, end) for start, end in _ranges_in_image(file, addresses))


def _ranges_in_object(file: elf.ElfFile) -> Iterator[Range]:
    word = file.bits // 8
    for section in file.sections:
        if section.name == JUMP_TABLE:
            for offset, index, place in _places(file, section):
                if offset % (8 + word) == 0:
                    yield index, place, place + powerpc.INSTRUCTION
        elif FEATURES.fullmatch(section.name):
            starts: dict[int, tuple[int, int]] = {}
            for offset, index, place in sorted(_places(file, section)):
                # said from the start of the entry on, not from its member
                entry, member = divmod(offset, FEATURE_MEMBERS * word)
                if member == START * word:
                    starts[entry] = index, place - member
                elif member == END * word and entry in starts:
                    index, start = starts[entry]
                    yield index, start, _end(start, place - member)
        elif OTHER_FIXUPS.fullmatch(section.name):
            for _, index, place in _places(file, section):
                yield index, place, place + powerpc.INSTRUCTION


def _ranges_in_image(file: elf.ElfFile, addresses: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for section in file.sections:
        if not section.loaded or section.executable:
            continue
        if FEATURES.fullmatch(section.name):
            members = file.pointers(section, 0, section.size // POINTER)
            for first in range(0, len(members) - END, FEATURE_MEMBERS):
                entry = section.address + first * POINTER
                start = _at(entry, members[first + START])
                yield start, _end(start, _at(entry, members[first + END]))
        elif OTHER_FIXUPS.fullmatch(section.name):
            for number, distance in enumerate(file.pointers(section, 0, section.size // POINTER)):
                place = _at(section.address + number * POINTER, distance)
                yield place, place + powerpc.INSTRUCTION
    start, stop = (addresses.get(name, 0) for name in JUMP_BOUNDS)
    for section in file.sections:
        if section.loaded and section.address <= start < stop <= section.address + section.size:
            entries = file.pointers(section, start - section.address, (stop - start) // POINTER)
            for number, pair in enumerate(entries[::2]):
                distance = pair & 0xFFFFFFFF if file.little else pair >> 32
                place = _at(start + number * JUMP_ENTRY, distance - (1 << 32) if distance >> 31 else distance)
                yield place, place + powerpc.INSTRUCTION


def _end(start: int, end: int) -> int:
    return min(end, start + LONGEST_FEATURE)


def _at(entry: int, distance: int) -> int:
    return (entry + distance) % (1 << 64)


def _places(file: elf.ElfFile, section: elf.Section) -> Iterator[tuple[int, int, int]]:
    """(offset in the table, section, place in it) of each of its relocations."""
    shift = 32 if file.bits == 64 else 8
    for relocations, (offsets, infos, addends) in file.relocations_of(section):
        symbols = file.symbols(file.symbol_table(relocations), {info >> shift for info in set(infos)})
        for offset, info, addend in zip(offsets, infos, addends, strict=True):
            symbol = symbols[info >> shift]
            if symbol.section is not None:
                yield offset, symbol.section, (symbol.value + addend) % (1 << file.bits)
