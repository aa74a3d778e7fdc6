"""The checks of vmlinux.o: its entries of patch sites, one relocation each, and the stubs that they add up to (pure).

Unlike the stub pass (oolong.stubs), which stops at the first entry that it cannot count, the audit looks at all of
them and names the functions. Each check is explained in docs/audit.md.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from oolong.audit.check import Check, none_of, skipped
from oolong.binary import elf, powerpc
from oolong.stubs import counting
from oolong.stubs.counting import ADDRESS, ENTRIES, EXIT, INIT, StubPlan

# to which compilers align loops, at least
LOOP_ALIGNMENT = 16
# tables of places that the kernel patches; no feature replaces more bytes than LONGEST_FEATURE
JUMP_TABLE = "__jump_table"
FEATURES, OTHER_FIXUPS = re.compile(r"__(mmu_|fw_)?ftr_fixup"), re.compile(r"__\w*fixup")
LONGEST_FEATURE = 1 << 12
# what the linker script places into the kernel's text: .text and its parts, .head.text, .noinstr.text, …
TEXT = re.compile(r"\.text(\..+)?|\.[a-z]+(\.[a-z]+)*\.text(\..+)?|\.sfpr|\.fixup")


class Entry(NamedTuple):
    """One entry of a section of patch sites: `offset` in that section, `type` of its relocation, and what it points
    at: a place in a section, None where its symbol lies in no section."""

    table: str
    offset: int
    type: int
    section: int | None
    place: int


class Table(NamedTuple):
    """One section of patch sites: its name, number among the sections, and size in bytes."""

    name: str
    number: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Object:
    """A relocatable vmlinux.o: its tables of patch sites, all their entries, and the code that they point into.

    `code` are the words of each section with code that an entry points into, by its index; `names` the names of all
    sections; `functions` (start, end, name) of the functions of each such section, sorted; `patched` the (section,
    place) of instructions that the kernel patches for other reasons: jump labels, features of the CPU.
    """

    bits: int
    clang: bool
    tables: tuple[Table, ...]
    entries: tuple[Entry, ...]
    names: tuple[str, ...]
    code: Mapping[int, Sequence[int]]
    functions: Mapping[int, Sequence[tuple[int, int, str]]]
    patched: frozenset[tuple[int, int]] = frozenset()

    def function(self, entry: Entry) -> str:
        """Whom an entry is for, for people."""
        if entry.section is None:
            return f"{entry.table}+{entry.offset:#x}"
        own = self.functions.get(entry.section, ())
        place = bisect_right(own, (entry.place, 1 << 64, "")) - 1
        if place >= 0 and own[place][0] <= entry.place < own[place][1]:
            return own[place][2]
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

    def word(self, entry: Entry) -> int | None:
        """The instruction at the patch site of an entry; None where that is no code."""
        found = self.site(entry)
        return None if found is None else found[0][found[1]]

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
    targets = {entry.section for entry in entries if entry.section is not None}
    code = {index: file.words(file.sections[index]) for index in targets if file.sections[index].executable}
    functions: dict[int, list[tuple[int, int, str]]] = {index: [] for index in code}
    for name, symbol, kind, _ in file.named_symbols():
        if kind == elf.STT_FUNC and symbol.section in functions:
            functions[symbol.section].append((symbol.value, symbol.value + symbol.size, name))
    return Object(
        bits=file.bits,
        clang=any(b"clang version" in file.content(section) for section in file.named(".comment")),
        tables=tuple(Table(table.name, table.index, table.size) for table in tables),
        entries=entries,
        names=tuple(section.name for section in file.sections),
        code=code,
        functions={index: sorted(own) for index, own in functions.items()},
        patched=frozenset(_patched(file)),
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


def _patched(file: elf.ElfFile) -> Iterator[tuple[int, int]]:
    """The instructions that the tables of jump labels (include/linux/jump_label.h: code, target, key) and of CPU
    features (asm/feature-fixups.h: mask, value, start, end, start and end of the alternative) say are patched."""
    for section in file.sections:
        if section.name == JUMP_TABLE:
            for offset, index, place in _places(file, section):
                if offset % (8 + file.bits // 8) == 0:
                    yield index, place
        elif FEATURES.fullmatch(section.name):
            starts: dict[int, tuple[int, int]] = {}
            word = file.bits // 8
            for offset, index, place in sorted(_places(file, section)):
                # said from the start of the entry on, not from its member
                entry, member = divmod(offset, 6 * word)
                if member == 2 * word:
                    starts[entry] = index, place - member
                elif member == 3 * word and entry in starts:
                    index, first = starts[entry]
                    for at in range(first, min(place - member, first + LONGEST_FEATURE), powerpc.INSTRUCTION):
                        yield index, at
        elif OTHER_FIXUPS.fullmatch(section.name):
            for _, index, place in _places(file, section):
                yield index, place


def _places(file: elf.ElfFile, section: elf.Section) -> Iterator[tuple[int, int, int]]:
    """(offset in the table, section, place in it) of each of its relocations."""
    shift = 32 if file.bits == 64 else 8
    for relocations, (offsets, infos, addends) in file.relocations_of(section):
        symbols = file.symbols(file.symbol_table(relocations), {info >> shift for info in set(infos)})
        for offset, info, addend in zip(offsets, infos, addends, strict=True):
            symbol = symbols[info >> shift]
            if symbol.section is not None:
                yield offset, symbol.section, (symbol.value + addend) % (1 << file.bits)


def checks(found: Object, *, source: Mapping[str, int] | None = None) -> Iterator[Check]:
    """All checks of an object, each once; `source` are the counts that the .S in use sets, by the symbol of the
    area."""
    yield entries(found)
    yield relocation_types(found)
    yield offsets(found)
    yield targets(found)
    yield unique(found)
    yield nops(found)
    yield one_nop(found)
    yield sections(found)
    yield counts(found, source)


def without_stubs(found: Object, why: str) -> Iterator[Check]:
    """The checks of an object whose kernel keeps no stubs: its patch sites are counted by nobody."""
    yield from (skipped(one.name, why) for one in checks(found))


def entries(found: Object) -> Check:
    """Each section of patch sites has as many relocations as it has room for entries."""
    pointer = found.bits // 8
    there = Counter(entry.table for entry in found.entries)
    wrong = [
        (
            f"section {table.number}",
            f"room for {table.size / pointer:g} entries, {there[f'section {table.number}']} relocations",
        )
        for table in found.tables
        if table.size != pointer * there[f"section {table.number}"]
    ]
    if not found.tables:
        wrong = [(ENTRIES, "there is no such section")]
    held = f"{len(found.entries)} entries in {len(found.tables)} sections, a relocation each"
    return none_of("object.entries", wrong, held=held)


def relocation_types(found: Object) -> Check:
    """Every relocation puts a whole address there."""
    name, number = ADDRESS[found.bits]
    wrong = ((found.function(entry), f"type {entry.type}") for entry in found.entries if entry.type != number)
    return none_of("object.relocation-types", wrong, held=f"all {len(found.entries)} are {name}")


def offsets(found: Object) -> Check:
    """The relocations of a section apply to its first entry, its second, and so on, each once."""
    pointer = found.bits // 8
    by_table: dict[str, list[int]] = {}
    for entry in found.entries:
        by_table.setdefault(entry.table, []).append(entry.offset)
    wrong = [
        (table, f"relocation {number} applies to +{offset:#x}, not +{number * pointer:#x}")
        for table, own in by_table.items()
        for number, offset in enumerate(sorted(own))
        if offset != number * pointer
    ]
    return none_of("object.offsets", wrong, held=f"0, {pointer}, … in each of {len(by_table)} sections")


def targets(found: Object) -> Check:
    """Every entry points at an instruction."""
    wrong = ((found.function(entry), "points at no code") for entry in found.entries if found.word(entry) is None)
    return none_of("object.targets", wrong, held=f"{len(found.entries)} places in code")


def unique(found: Object) -> Check:
    """No two entries for one place."""
    places = Counter((entry.section, entry.place) for entry in found.entries)
    wrong = []
    for entry in found.entries:
        if (count := places[entry.section, entry.place]) > 1:
            places[entry.section, entry.place] = 1
            wrong.append((found.function(entry), f"{count} entries"))
    return none_of("object.unique", wrong, held=f"{len(places)} places, all different")


def nops(found: Object) -> Check:
    """At each place stands the nop of -fpatchable-function-entry=1."""
    wrong = (
        (found.function(entry), f"{word:08x}, which is no nop")
        for entry in found.entries
        if (word := found.word(entry)) is not None and word != powerpc.NOP
    )
    return none_of("object.nops", wrong, held=f"a nop at each of {len(found.entries)} places")


def one_nop(found: Object) -> Check:
    """After the nop comes the function, not a second one: all that the kernel makes room for is one instruction.

    A jump label or a feature of the CPU may begin a function with a nop of its own. And where a function begins with a
    loop the compiler may align that with nops, so those that end at an aligned place to which the code after them jumps
    back are not counted, whoever put them there.
    """
    places: dict[int | None, list[int]] = {}
    for entry in sorted(found.entries, key=lambda entry: entry.place):
        places.setdefault(entry.section, []).append(entry.place)
    wrong = []
    for entry in found.entries:
        words, number = found.site(entry) or ((), 0)
        second = number + 1
        if words[number : second + 1].count(powerpc.NOP) < 2:
            continue
        if (entry.section, second * powerpc.INSTRUCTION) in found.patched:
            continue
        own = places[entry.section]
        after = bisect_right(own, entry.place)
        end = own[after] // powerpc.INSTRUCTION if after < len(own) else len(words)
        if not _aligns_a_loop(words, number, end):
            wrong.append((found.function(entry), "more than one nop"))
    return none_of("object.one-nop", wrong, held=f"no second nop at any of {len(found.entries)} places")


def _aligns_a_loop(words: Sequence[int], number: int, end: int) -> bool:
    """Whether the nops from a word on end at an aligned place that the words up to `end` jump to."""
    loop = next((at for at in range(number, end) if words[at] not in powerpc.PADDING), end)
    start = loop * powerpc.INSTRUCTION
    return start % LOOP_ALIGNMENT == 0 and any(
        powerpc.jump_target(words[at], at * powerpc.INSTRUCTION) == start for at in range(loop, end)
    )


def sections(found: Object) -> Check:
    """The section that an entry points into, not the name of one that a tool prints, says whose stub it needs: so
    each must be one that the linker script is known to place."""
    by_name = Counter(found.names[entry.section] for entry in found.entries if entry.section is not None)
    wrong = [
        (name, f"{count} entries in a section that is neither text, init nor exit")
        for name, count in by_name.items()
        if not _is_placed(name)
    ]
    text, init = found.plan
    leaving = sum(count for name, count in by_name.items() if counting.lies_in(name, EXIT))
    return none_of(
        "object.sections", wrong, held=f"{text} in text, {leaving} of them in exit text, {init} in init text"
    )


def _is_placed(name: str) -> bool:
    return counting.lies_in(name, (*INIT, *EXIT)) or TEXT.fullmatch(name) is not None


def counts(found: Object, source: Mapping[str, int] | None) -> Check:
    """The .S that the kernel is linked with reserves what the entries need: in init text exactly as many stubs as
    there are sites, since nothing else serves them."""
    name = "object.stub-source"
    if source is None:
        return skipped(name, "the .S is not there")
    text, init = found.plan
    reserve = source.get(counting.RESERVED, 0)
    needed = StubPlan(text=text, inittext=init, exit=0, reserve=reserve).areas
    wrong = [
        (area, f"{source.get(area, 'no')} stubs, {count} needed")
        for area, _, count in needed
        if source.get(area) != count
    ]
    held = ", ".join(f"{area} {count}" for area, _, count in needed)
    return none_of(name, wrong, held=held)
