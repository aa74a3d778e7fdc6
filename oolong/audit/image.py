"""A linked kernel as the audit sees it: code words, functions, the table of patch sites, the stub areas.

Everything is read once, into plain values; the checks of oolong.audit.image_checks are functions of them. Sources:
64-bit ELF V2 ABI for Power; include/asm-generic/vmlinux.lds.h and arch/powerpc/kernel/vmlinux.lds.S of Linux 7.3.
"""

import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from oolong.audit import patched
from oolong.audit.patched import JUMP_BOUNDS, NOWHERE, Places
from oolong.binary import elf, powerpc
from oolong.errors import BadInput
from oolong.stubs import counting

RELATIVE = 22
POINTER = 8
SITES_START, SITES_END = "__start_mcount_loc", "__stop_mcount_loc"
AREAS = counting.RESERVED, counting.TEXT_END, counting.INITTEXT
CALLERS = "ftrace_caller", "ftrace_regs_caller"
TRAMPOLINES = "ftrace_tramp_text", "ftrace_tramp_init"
BOUNDS = "_stext", "_etext", "_sinittext", "_einittext"
# what ftrace keeps its records and its ops in (kernel/trace/ftrace.c), and the list of modules
STATE = "ftrace_pages_start", "ftrace_ops_list", "ftrace_list_end", "ftrace_nop_ops", "ftrace_list_ops", "modules"
EXIT_BOUNDS = "__exittext_begin", "__exittext_end"
PLACES = (SITES_START, SITES_END, *BOUNDS, *EXIT_BOUNDS, *JUMP_BOUNDS, *CALLERS, *TRAMPOLINES, *STATE, "_mcount")
BANNER = re.compile(rb"Linux version (\S+) \(")
# names that the kernel's own table of symbols leaves out (scripts/mksysmap)
NOT_IN_KALLSYMS = re.compile(r"\.L|L0\x01|\$|__crc_|__kstrtab|__pi_\.L|\d")
# names that a linker script may provide (may_be_linker_script_provide_symbol, scripts/kallsyms.c)
LINKER_PROVIDES = re.compile(r"__(?=.{6})(?:(?:start|stop|end)_.*|.*_(?:start|end))", re.DOTALL)
STB_GLOBAL, STB_WEAK = 1, 2


class Range(NamedTuple):
    """Addresses from `start` up to, not including, `end`."""

    start: int
    end: int

    def holds(self, address: int, size: int = 1) -> bool:
        return self.start <= address and address + size <= self.end


class Function(NamedTuple):
    """A function symbol: `size` in bytes, `local_entry` bytes after the address, by one of its names."""

    address: int
    size: int
    local_entry: int
    name: str

    def covers(self, address: int) -> bool:
        return self.address <= address < self.address + self.size


class Area(NamedTuple):
    """A reserve of stubs: the bytes from its symbol on, and how many stubs its count word says."""

    name: str
    address: int
    size: int
    stubs: int


class Site(NamedTuple):
    """A patch site: `recorded` is what the table says, `ip` where the kernel takes it to be, `function` what covers
    it: none for the code of a weak function that another one overrides."""

    ip: int
    recorded: int
    function: Function | None


class Code:
    """The words of all code, by address."""

    def __init__(self, segments: Sequence[tuple[int, "array[int]"]]) -> None:
        self._segments = sorted(segments, key=lambda segment: segment[0])
        self._starts = [start for start, _ in self._segments]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(powerpc.INSTRUCTION * len(words) for _, words in self._segments)

    def word(self, address: int) -> int | None:
        """The instruction at an address, None where there is no code."""
        place = bisect_right(self._starts, address) - 1
        if place < 0 or address % powerpc.INSTRUCTION:
            return None
        start, words = self._segments[place]
        at = (address - start) // powerpc.INSTRUCTION
        return words[at] if at < len(words) else None

    def words(self, address: int, count: int) -> "array[int] | None":
        """`count` words from an address on, None where they are not all code."""
        place = bisect_right(self._starts, address) - 1
        if place < 0 or address % powerpc.INSTRUCTION:
            return None
        start, words = self._segments[place]
        at = (address - start) // powerpc.INSTRUCTION
        return words[at : at + count] if at + count <= len(words) else None

    def calls(self) -> Iterator[tuple[int, int]]:
        """(address, target) of every call."""
        for start, words in self._segments:
            yield from powerpc.calls(words, start)

    def put(self, address: int, word: int) -> None:
        """Change a word, for tests of what that is noticed by."""
        place = bisect_right(self._starts, address) - 1
        start, words = self._segments[place]
        words[(address - start) // powerpc.INSTRUCTION] = word


@dataclass(frozen=True, kw_only=True)
class Image:
    """A linked 64-bit kernel.

    `table` is where the table of patch sites lies, `stored` what its slots hold in the file; `relocations` maps the
    address of a slot to the (type, addend) of the relocations that apply to it, None where the kernel is not
    relocatable; `functions` and `symbols`, what the kernel can name of its code, are sorted by address, each address
    once; `addresses` are those of PLACES that there are; `patched` are the instructions that the kernel patches for
    other reasons than ftrace.
    """

    little: bool
    release: str | None
    clang: bool
    text: Range
    inittext: Range
    table: Range
    stored: tuple[int, ...]
    relocations: Mapping[int, tuple[tuple[int, int], ...]] | None
    functions: tuple[Function, ...]
    symbols: tuple[tuple[int, str], ...]
    addresses: Mapping[str, int]
    areas: Mapping[str, Area]
    code: Code
    patched: Places = NOWHERE

    @property
    def out_of_line(self) -> bool:
        """Whether the kernel keeps its ftrace sequences in stubs."""
        return bool(self.areas)

    @cached_property
    def stub_size(self) -> int:
        """Bytes of a stub, as most of the areas and their counts say; 0 where none says."""
        sizes = Counter(area.size // area.stubs for area in self.areas.values() if area.stubs)
        return max(sizes, key=sizes.__getitem__, default=0)

    @cached_property
    def stub_code(self) -> int:
        """Where in a stub its four instructions begin: after the pointer to the ops, if it has one."""
        return max(0, self.stub_size - 4 * powerpc.INSTRUCTION)

    @property
    def exittext(self) -> Range:
        """Code that only runs when something goes, in which nothing is traced; empty where there is none."""
        start, end = (self.addresses.get(name, 0) for name in EXIT_BOUNDS)
        return Range(start, end)

    @cached_property
    def two_nops(self) -> bool:
        """Whether sites are pairs of nops: -fpatchable-function-entry=2, without stubs."""
        nops = sum(self.code.word(slot) == powerpc.NOP for slot in self.slots)
        return not self.out_of_line and 2 * nops > len(self.slots)

    @cached_property
    def slots(self) -> tuple[int, ...]:
        """What the table holds once the kernel has relocated itself."""
        if self.relocations is None:
            return self.stored
        found = []
        for number, stored in enumerate(self.stored):
            addends = self.relocations.get(self.table.start + number * POINTER, ())
            found.append(addends[0][1] if addends else stored)
        return tuple(found)

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """The patch sites that the kernel makes records for, sorted as it sorts them."""
        return tuple(
            self._site(recorded) for recorded in sorted(self.slots) if recorded and self.area_of(recorded) is not None
        )

    @cached_property
    def places(self) -> frozenset[int]:
        """Where the kernel takes the sites of all entries to be, those in exit text included."""
        others = (self._site(slot).ip for slot in self.slots if self.area_of(slot) is None)
        return frozenset((*(site.ip for site in self.sites), *others))

    def site_at(self, ip: int) -> Site | None:
        """The patch site at an address."""
        return self._sites_by_ip.get(ip)

    def area_of(self, address: int) -> str | None:
        """`text` or `inittext`, as the kernel decides which stubs serve an address, or neither."""
        if self.inittext.holds(address):
            return "inittext"
        return "text" if self.text.holds(address) else None

    def function_at(self, address: int) -> Function | None:
        """The function whose code lies at an address."""
        place = bisect_right(self._starts, address) - 1
        if place < 0:
            return None
        found = self.functions[place]
        return found if found.covers(address) else None

    def name_of(self, address: int) -> tuple[str, int] | None:
        """The name that the kernel's table of symbols has for an address, and how far the address lies after it."""
        place = bisect_right(self._symbol_starts, address) - 1
        if place < 0:
            return None
        start, name = self.symbols[place]
        return name, address - start

    def told(self, address: int) -> str:
        """An address for people: name, and offset if it has one."""
        named = self.name_of(address)
        if named is None:
            return f"{address:#x}"
        return f"{named[0]}+{named[1]:#x}" if named[1] else named[0]

    def owner(self, address: int) -> str:
        """The function whose code lies at an address; where none does, name and offset."""
        found = self.function_at(address)
        return found.name if found else self.told(address)

    @cached_property
    def _sites_by_ip(self) -> dict[int, Site]:
        return {site.ip: site for site in self.sites}

    @cached_property
    def _starts(self) -> list[int]:
        return [function.address for function in self.functions]

    @cached_property
    def _symbol_starts(self) -> list[int]:
        return [address for address, _ in self.symbols]

    def _site(self, recorded: int) -> Site:
        """Of two nops the kernel takes the second. clang records a function's global entry point and puts the nop at
        its local one, which the kernel sets right (ftrace_call_adjust, arch/powerpc/kernel/trace/ftrace.c)."""
        ip = recorded + powerpc.INSTRUCTION if self.two_nops else recorded
        if self.clang and self.out_of_line:
            first, second = self.code.word(recorded), self.code.word(recorded + powerpc.INSTRUCTION)
            if first is not None and second is not None and powerpc.sets_up_toc(first, second):
                ip += powerpc.TOC_SETUP
        return Site(ip, recorded, self.function_at(ip))


def read(vmlinux: Path) -> Image:
    """Read a linked kernel; BadInput if it is none, or not one for ppc64 with ftrace."""
    with elf.opened(vmlinux) as file:
        return image_of(file, str(vmlinux))


def image_of(file: elf.ElfFile, where: str) -> Image:
    """The kernel in an ELF file; `where` names it in errors."""
    if file.relocatable or file.bits != 64:
        raise BadInput("no linked 64-bit kernel", where=where, hint="give it vmlinux, as made by the final link")
    if not any(section.type == elf.SHT_SYMTAB for section in file.sections):
        hint = "what a distribution boots is stripped: take vmlinux as its build left it, or from its debug package"
        raise BadInput("has no table of symbols (.symtab)", where=where, hint=hint)
    named = list(file.named_symbols())
    addresses = {one.name: one.symbol.value for one in named if one.name in PLACES}
    for name in (SITES_START, SITES_END, *BOUNDS):
        if name not in addresses:
            what = "has no table of patch sites" if name in (SITES_START, SITES_END) else f"has no symbol {name}"
            raise BadInput(what, where=where, hint="is CONFIG_DYNAMIC_FTRACE on, and the symbol table still there?")
    table = Range(addresses[SITES_START], addresses[SITES_END])
    code = [section for section in file.sections if section.executable and section.loaded and section.size]
    return Image(
        little=file.little,
        release=_release(file),
        clang=any(b"clang version" in file.content(section) for section in file.named(".comment")),
        text=Range(addresses["_stext"], addresses["_etext"]),
        inittext=Range(addresses["_sinittext"], addresses["_einittext"]),
        table=table,
        stored=_stored(file, table, where),
        relocations=_relocations(file, table),
        functions=_functions(file, named),
        symbols=_kallsyms(file, named),
        addresses=addresses,
        areas=_areas(file, named),
        code=Code([(section.address, file.words(section)) for section in code]),
        patched=patched.in_image(file, addresses),
    )


def _stored(file: elf.ElfFile, table: Range, where: str) -> tuple[int, ...]:
    size = table.end - table.start
    if size < 0 or size % POINTER:
        raise BadInput(f"its table of patch sites has {size} bytes: not a whole number of entries", where=where)
    for section in file.sections:
        if section.loaded and section.address <= table.start and table.end <= section.address + section.size:
            return file.pointers(section, table.start - section.address, size // POINTER)
    raise BadInput("its table of patch sites lies in no section", where=where)


def _relocations(file: elf.ElfFile, table: Range) -> Mapping[int, tuple[tuple[int, int], ...]] | None:
    """(type, addend) of each relocation within the table, by the address that it applies to."""
    dynamic = [section for section in file.named(".rela.dyn") if section.type == elf.SHT_RELA]
    if not dynamic:
        return None
    found: dict[int, list[tuple[int, int]]] = {}
    for section in dynamic:
        offsets, infos, addends = file.relocations(section)
        for offset, info, addend in zip(offsets, infos, addends, strict=True):
            if table.start <= offset < table.end:
                found.setdefault(offset, []).append((info & 0xFFFFFFFF, addend))
    return {offset: tuple(own) for offset, own in found.items()}


def _functions(file: elf.ElfFile, named: Sequence[elf.NamedSymbol]) -> tuple[Function, ...]:
    """One function for each address, sorted: of several names a global one, then that of the largest size."""
    found: dict[int, tuple[tuple[bool, int], Function]] = {}
    for name, symbol, kind, binding in named:
        if kind != elf.STT_FUNC or symbol.section is None or not file.sections[symbol.section].executable:
            continue
        rank = binding == STB_GLOBAL, symbol.size
        if symbol.value not in found or rank > found[symbol.value][0]:
            found[symbol.value] = rank, Function(symbol.value, symbol.size, symbol.local_entry, name)
    return tuple(found[address][1] for address in sorted(found))


def _kallsyms(file: elf.ElfFile, named: Sequence[elf.NamedSymbol]) -> tuple[tuple[int, str], ...]:
    """What the kernel can name: for each address of code the name that it would print."""
    found: dict[int, tuple[tuple[bool, bool, int, str], str]] = {}
    for name, symbol, _, binding in named:
        if symbol.section is None or not file.sections[symbol.section].executable or NOT_IN_KALLSYMS.match(name):
            continue
        candidate = kallsyms_rank(name, weak=binding == STB_WEAK), name
        if symbol.value not in found or candidate < found[symbol.value]:
            found[symbol.value] = candidate
    return tuple((address, found[address][1]) for address in sorted(found))


def kallsyms_rank(name: str, *, weak: bool) -> tuple[bool, bool, int, str]:
    """The order of several names of one address, of which the kernel prints the first: compare_symbols in
    scripts/kallsyms.c, over what `nm -n` lists by name."""
    return weak, LINKER_PROVIDES.fullmatch(name) is not None, len(name) - len(name.lstrip("_")), name


def _areas(file: elf.ElfFile, named: Sequence[elf.NamedSymbol]) -> dict[str, Area]:
    by_name = {one.name: one.symbol for one in named if one.name.startswith(AREAS)}
    found = {}
    for name in AREAS:
        count = by_name.get(f"{name}_count")
        if name in by_name and count is not None:
            symbol = by_name[name]
            found[name] = Area(name, symbol.value, symbol.size, file.word(count))
    return found


def _release(file: elf.ElfFile) -> str | None:
    """The release in the kernel's banner (init/version.c)."""
    for section in file.named(".rodata"):
        if match := BANNER.search(file.content(section)):
            return match[1].decode(errors="replace")
    return None
