"""What a .S with stubs assembles to, and how two of them differ (pure).

The count words of a .S say how many stubs there are, not how much room: that is in the object. All of it that reaches
the kernel is compared: loaded sections, what is in them, their relocations, the symbols.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from oolong.binary import elf
from oolong.errors import BadInput
from oolong.stubs.areas import INITTEXT, TEXT_END

AREAS = TEXT_END, INITTEXT
COUNT = "_count"
WORD = 4
# millions of stubs
LARGEST = 64 << 20

# (whom it is about, what) → how it is
Facts = Mapping[tuple[str, str], str]
COUNTS = "counts"


def read(path: Path) -> Facts:
    """All that is to be compared of an assembled .S; BadInput if it is no object for Power, or a huge one."""
    if path.stat().st_size > LARGEST:
        raise BadInput(f"an object of more than {LARGEST >> 20} MiB", where=path.name)
    with elf.opened(path) as file:
        if not file.relocatable:
            raise BadInput("no object", where=path.name)
        return dict(_facts(file))


def differences(ours: Facts, theirs: Facts) -> tuple[str, ...]:
    """One line for each fact in which the tree's script differs, beginning with whom it is about."""
    return tuple(
        _told(*key, ours.get(key, "none"), theirs.get(key, "none"))
        for key in dict.fromkeys((*ours, *theirs))
        if ours.get(key) != theirs.get(key)
    )


def _told(who: str, what: str, ours: str, theirs: str) -> str:
    if what == COUNTS:
        return f"{who}: oolong counts {ours}, the tree's script {theirs}"
    return f"{who}: {what}: {ours} by oolong, {theirs} by the tree's script"


def _facts(file: elf.ElfFile) -> Iterator[tuple[tuple[str, str], str]]:
    named = {one.name: one for one in file.named_symbols()}
    counts = {area: named[f"{area}{COUNT}"].symbol for area in AREAS if f"{area}{COUNT}" in named}
    for area, count in counts.items():
        yield (area, COUNTS), str(file.word(count))
    for name, one in named.items():
        assert one.symbol.section is not None
        area = name.removesuffix(COUNT)
        who, what = (area, "the count word") if area in counts and area != name else (name, "the symbol")
        place = f"{file.sections[one.symbol.section].name}+{one.symbol.value:#x}"
        yield (who, what), f"{one.symbol.size} bytes at {place}, {_linkage(one)}"
    # a section that an area lies in is told by the name of that
    owners = {named[area].symbol.section: area for area in AREAS if area in named}
    seen: Counter[str] = Counter()
    for section in file.sections:
        if section.loaded and (section.size or section.index in owners):
            seen[section.name] += 1
            nth = "" if seen[section.name] == 1 else f" ({seen[section.name]})"
            who = owners.get(section.index, f"{section.name}{nth}")
            own = [count for count in counts.values() if count.section == section.index]
            yield (who, "the section"), f"{section.name}{nth}, type {section.type}, flags {section.flags:#x}"
            yield (who, "alignment"), f"{section.alignment} bytes"
            yield (who, "room"), f"{section.size} bytes"
            yield (who, "contents"), _contents(file, section, own)
            if relocated := "; ".join(_relocations(file, section)):
                yield (who, "relocations"), relocated


def _linkage(one: elf.NamedSymbol) -> str:
    return f"type {one.type}, binding {one.binding}, other {one.symbol.other}"


def _contents(file: elf.ElfFile, section: elf.Section, counts: Sequence[elf.Symbol]) -> str:
    """Zero, less the count words; how else it is in a few words."""
    content = bytearray(file.content(section))
    for count in counts:
        content[count.value : count.value + WORD] = bytes(len(content[count.value : count.value + WORD]))
    if not any(content):
        return "zero"
    first = next(at for at, byte in enumerate(content) if byte)
    return f"not zero at +{first:#x}, SHA-256 {sha256(content).hexdigest()}"


def _relocations(file: elf.ElfFile, section: elf.Section) -> Iterator[str]:
    shift = 32 if file.bits == 64 else 8
    for table, (offsets, infos, addends) in file.relocations_of(section):
        symbols = file.symbols(file.symbol_table(table), {info >> shift for info in infos})
        for offset, info, addend in zip(offsets, infos, addends, strict=True):
            symbol = symbols[info >> shift]
            target = "elsewhere" if symbol.section is None else file.sections[symbol.section].name
            yield f"type {info & (1 << shift) - 1} at +{offset:#x}, to {target}+{symbol.value + addend:#x}"
