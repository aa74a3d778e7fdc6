"""Patch sites of vmlinux.o → how many stubs each area needs → the .S that reserves them (pure).

It does the work of the kernel's arch/powerpc/tools/ftrace-gen-ool-stubs.sh. Each entry of a
`__patchable_function_entries` section is one relocation; the section that it targets, not a printed name, decides
whether its stub lies in init text. Sources: that script, its Makefile and arch/powerpc/kernel/vmlinux.lds.S of
Linux 7.3.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from oolong.binary import elf
from oolong.errors import BadInput
from oolong.stubs.areas import INITTEXT as INITTEXT
from oolong.stubs.areas import RESERVED as RESERVED
from oolong.stubs.areas import TEXT_END as TEXT_END

ENTRIES = "__patchable_function_entries"
# R_PPC64_ADDR64 and R_PPC_ADDR32: the address itself, as one pointer
ADDRESS = {64: ("R_PPC64_ADDR64", 38), 32: ("R_PPC_ADDR32", 1)}
INIT = ".init.text", ".text.startup"
EXIT = ".exit.text", ".text.exit"
# in .config: how many stubs the kernel has within .text
NUM_RESERVE = "PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"
NUMBER = re.compile(r"\d{1,9}")
TEMPLATE = Path(__file__).parents[2] / "templates" / "vmlinux.arch.S.j2"
INSTRUCTION = 4
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """The patch sites of one vmlinux.o: how many target each section, by name; `bits` 32 or 64, `little` order."""

    sections: Mapping[str, int]
    bits: int
    little: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StubPlan:
    """How many stubs there must be: `text` and `inittext` patch sites, `exit` of them (within `text`) in exit text,
    and `reserve`, the stubs that the kernel has within .text anyway (CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE)."""

    text: int
    inittext: int
    exit: int
    reserve: int

    @property
    def total(self) -> int:
        return self.text + self.inittext

    @property
    def text_end(self) -> int:
        """The stubs after .text: what the reserve does not hold."""
        return max(0, self.text - self.reserve)

    @property
    def areas(self) -> tuple[tuple[str, str, int], ...]:
        """(symbol, section suffix, stubs) of the areas that the .S makes."""
        return ((TEXT_END, "text", self.text_end), (INITTEXT, "init", self.inittext))


def read_sites(path: Path) -> Sites:
    """The patch sites of a relocatable vmlinux.o.

    BadInput if it is no relocatable ELF file for Power, has no entries, has entries without a relocation or with
    one of another type, or one that does not point at an instruction.
    """
    with elf.opened(path) as file:
        check_relocatable(file, str(path))
        entries = file.named(ENTRIES)
        if not entries:
            raise BadInput(
                f"has no section {ENTRIES}",
                where=str(path),
                hint="it was built without -fpatchable-function-entry: is CONFIG_PPC_FTRACE_OUT_OF_LINE set?",
            )
        counts: Counter[int] = Counter()
        for section in entries:
            counts.update(_targets(file, section, str(path)))
        by_name: Counter[str] = Counter()
        for index, count in counts.items():
            by_name[file.sections[index].name] += count
        return Sites(sections=dict(sorted(by_name.items())), bits=file.bits, little=file.little)


def check_relocatable(file: elf.ElfFile, where: str) -> None:
    """BadInput if a file is linked already."""
    if not file.relocatable:
        raise BadInput("a linked file", where=where, hint="the stubs are counted before the link, in vmlinux.o")


def area_of(section: str) -> str:
    """Which stubs serve the patch sites of a section: those for `text`, or those for `inittext`."""
    return "inittext" if lies_in(section, INIT) else "text"


def plan(sites: Sites, reserve: int) -> StubPlan:
    """The stubs that the sites need when `reserve` stubs are there already."""
    inittext = sum(count for name, count in sites.sections.items() if lies_in(name, INIT))
    return StubPlan(
        text=sum(sites.sections.values()) - inittext,
        inittext=inittext,
        exit=sum(count for name, count in sites.sections.items() if lies_in(name, EXIT)),
        reserve=reserve,
    )


def reserve_in(config: Mapping[str, str]) -> int | None:
    """The reserve that a .config (symbol without CONFIG_ → value) asks for, None if it has no number for it."""
    told = config.get(NUM_RESERVE, "")
    return int(told) if NUMBER.fullmatch(told) else None


def render(planned: StubPlan, template: str) -> str:
    """The assembly source that reserves the stubs; `template` is jinja2."""
    import jinja2

    # assembly, not HTML: nothing is to be escaped
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    return environment.from_string(template).render(plan=planned)


def document(sites: Sites, planned: StubPlan) -> dict[str, Any]:
    """The plan for machines: patch sites by section, totals, and the stubs of each area."""
    return {
        "format": FORMAT,
        "class": f"ELF{sites.bits}",
        "endian": "le" if sites.little else "be",
        "sections": dict(sites.sections),
        "total": planned.total,
        "text": planned.text,
        "inittext": planned.inittext,
        "exit": planned.exit,
        "reserve": planned.reserve,
        "text_end": planned.text_end,
    }


def counts_in(source: str) -> dict[str, int]:
    """The counts that a .S sets, ours or the one of the tree's script: symbol of the area → stubs."""
    return {name: int(count) for name, count in re.findall(r"SYM_DATA\((\w+)_count, \.long ([0-9]{1,9})\)", source)}


def _targets(file: elf.ElfFile, section: elf.Section, where: str) -> Counter[int]:
    """Section index → entries of one section that point into it."""
    type_name, type_number = ADDRESS[file.bits]
    shift, pointer = (32, 8) if file.bits == 64 else (8, 4)
    mask = (1 << shift) - 1
    counts: Counter[int] = Counter()
    found = 0
    for table, relocations in file.relocations_of(section):
        found += len(relocations.offsets)
        grouped = _by_info(relocations)
        if others := sorted({info & mask for info in grouped} - {type_number}):
            raise BadInput(
                f"{table.name}: relocation type {others[0]}, where each entry needs {type_name}", where=where
            )
        symbols = file.symbols(file.symbol_table(table), (info >> shift for info in grouped))
        for info, addends in grouped.items():
            symbol = symbols[info >> shift]
            counts[_target(file, symbol, addends, f"{table.name}, symbol {info >> shift}", where)] += len(addends)
    if found * pointer != section.size:
        what = f"{ENTRIES} has room for {section.size // pointer} entries but {found} relocations"
        raise BadInput(f"{what}: an entry points nowhere", where=where)
    return counts


def _by_info(relocations: elf.Relocations) -> dict[int, Sequence[int]]:
    """The addends by symbol and type; as a rule a whole section has but one of those."""
    kinds = set(relocations.infos)
    if len(kinds) == 1:
        return {kinds.pop(): relocations.addends}
    grouped: dict[int, list[int]] = {}
    for info, addend in zip(relocations.infos, relocations.addends, strict=True):
        grouped.setdefault(info, []).append(addend)
    return dict(grouped)


def _target(file: elf.ElfFile, symbol: elf.Symbol, addends: Sequence[int], what: str, where: str) -> int:
    """The section that all of the addresses lie in, each at an instruction."""
    if symbol.section is None:
        raise BadInput(f"{what}: an entry points nowhere: its symbol is in no section", where=where)
    target = file.sections[symbol.section]
    modulus = 1 << file.bits
    last = symbol.value + max(addends)
    if last >= modulus:
        # a negative addend comes as its two's complement
        last = max((symbol.value + addend) % modulus for addend in addends)
    # one pass in C tells of all addends at once; only where it finds a low bit each is looked at
    aligned = reduce(or_, addends, symbol.value) % INSTRUCTION == 0 or not any(
        (symbol.value + addend) % INSTRUCTION for addend in addends
    )
    if not (target.executable and aligned and last <= target.size - INSTRUCTION):
        raise BadInput(f"{what}: an entry points nowhere: +{last:#x} is no code of {target.name}", where=where)
    return target.index


def lies_in(section: str, names: Sequence[str]) -> bool:
    """Whether a section is one of `names`, or the part of one for a single function (`.init.text.foo`)."""
    return any(section == name or section.startswith(f"{name}.") for name in names)
