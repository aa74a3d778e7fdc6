"""vmlinux.o as the audit sees it: its entries of patch sites, and the code that they point at.

Unlike the stub pass (oolong.stubs), which stops at the first entry that it cannot count, the audit reads all of them;
the checks of oolong.audit.object_checks are functions of what it read.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from oolong.audit import patched
from oolong.audit.patched import NOWHERE, Places
from oolong.binary import elf, powerpc
from oolong.stubs import counting
from oolong.stubs.counting import ENTRIES


class Entry(NamedTuple):
    """One entry of a section of patch sites: `offset` in that section, `type` of its relocation, and what it points
    at: a place in a section, None where its symbol lies in no section."""

    table: str
    offset: int
    type: int
    section: int | None
    place: int


class Function(NamedTuple):
    """A function symbol of a section: from `start` up to `end`, its local entry point `local_entry` bytes after it."""

    start: int
    end: int
    name: str
    local_entry: int


class Table(NamedTuple):
    """One section of patch sites: its name, number among the sections, and size in bytes."""

    name: str
    number: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Object:
    """A relocatable vmlinux.o: its tables of patch sites, all their entries, and the code that they point into.

    `code` are the words of each section with code, by its index; `names` the names of all sections; `functions` those
    of each such section, sorted; `patched` the (section, place) of instructions that the kernel patches for other
    reasons: jump labels, features of the CPU.
    """

    bits: int
    clang: bool
    tables: tuple[Table, ...]
    entries: tuple[Entry, ...]
    names: tuple[str, ...]
    code: Mapping[int, Sequence[int]]
    functions: Mapping[int, Sequence[Function]]
    patched: Places = NOWHERE

    def function(self, entry: Entry) -> str:
        """Whom an entry is for, for people."""
        if entry.section is None:
            return f"{entry.table}+{entry.offset:#x}"
        own = self.functions.get(entry.section, ())
        place = bisect_right(own, (entry.place, 1 << 64)) - 1
        if place >= 0 and own[place].start <= entry.place < own[place].end:
            return own[place].name
        return f"{self.names[entry.section]}+{entry.place:#x}"

    def site(self, entry: Entry) -> tuple[Sequence[int], int] | None:
        """The patch site of an entry: the words of its section, and which of them it is; None where that is no code.

        clang points at the global entry point of a function, and puts the nop at the local one.
        """
        words = self.code.get(entry.section) if entry.section is not None else None
        number, rest = divmod(entry.place, powerpc.INSTRUCTION)
        if words is None or rest or not 0 <= number < len(words):
            return None
        if self.clang and number + 2 < len(words) and powerpc.sets_up_toc(words[number], words[number + 1]):
            return words, number + 2
        return words, number

    def place(self, entry: Entry) -> int:
        """Where in its section the patch site of an entry lies; where that is no code, what the entry says."""
        found = self.site(entry)
        return entry.place if found is None else found[1] * powerpc.INSTRUCTION

    def word(self, entry: Entry) -> int | None:
        """The instruction at the patch site of an entry; None where that is no code."""
        found = self.site(entry)
        return None if found is None else found[0][found[1]]

    @cached_property
    def sites(self) -> Mapping[int, Set[int]]:
        """By section the places that entries are about, where clang's entries mean them."""
        found: dict[int, set[int]] = {section: set() for section in self.code}
        for entry in self.entries:
            if entry.section in found and (site := self.site(entry)) is not None:
                found[entry.section].add(site[1] * powerpc.INSTRUCTION)
        return found

    @cached_property
    def untraced(self) -> frozenset[str]:
        """The names of the functions that have no entry."""
        return frozenset(
            function.name
            for section, own in self.functions.items()
            for function in own
            if function.start + function.local_entry not in self.sites[section]
        )

    @property
    def plan(self) -> tuple[int, int]:
        """(text, init text) stubs that the entries need."""
        sections = Counter(entry.section for entry in self.entries if entry.section is not None)
        init = sum(count for index, count in sections.items() if counting.area_of(self.names[index]) == "inittext")
        return sum(sections.values()) - init, init


def read(vmlinux_o: Path) -> Object:
    """Read vmlinux.o; BadInput if it is no relocatable ELF file for Power."""
    with elf.opened(vmlinux_o) as file:
        return object_of(file, str(vmlinux_o))


def object_of(file: elf.ElfFile, where: str) -> Object:
    """The object in an ELF file; `where` names it in errors."""
    counting.check_relocatable(file, where)
    tables = file.named(ENTRIES)
    entries = tuple(entry for table in tables for entry in _entries(file, table))
    code = {section.index: file.words(section) for section in file.sections if section.executable and section.size}
    functions: dict[int, list[Function]] = {index: [] for index in code}
    for name, symbol, kind, _ in file.named_symbols():
        if kind == elf.STT_FUNC and symbol.section in functions:
            one = Function(symbol.value, symbol.value + symbol.size, name, symbol.local_entry)
            functions[symbol.section].append(one)
    return Object(
        bits=file.bits,
        clang=any(b"clang version" in file.content(section) for section in file.named(".comment")),
        tables=tuple(Table(table.name, table.index, table.size) for table in tables),
        entries=entries,
        names=tuple(section.name for section in file.sections),
        code=code,
        functions={index: sorted(own) for index, own in functions.items()},
        patched=patched.in_object(file),
    )


def _entries(file: elf.ElfFile, table: elf.Section) -> Iterator[Entry]:
    shift = 32 if file.bits == 64 else 8
    mask, modulus = (1 << shift) - 1, 1 << file.bits
    told = f"section {table.index}"
    for relocations, (offsets, infos, addends) in file.relocations_of(table):
        numbers = {info >> shift for info in set(infos)}
        symbols = file.symbols(file.symbol_table(relocations), numbers)
        for offset, info, addend in zip(offsets, infos, addends, strict=True):
            symbol = symbols[info >> shift]
            yield Entry(told, offset, info & mask, symbol.section, (symbol.value + addend) % modulus)
