"""Reads ELF files: the ELF header with pyelftools, tables (sections, symbols, relocations) whole, as struct and array.

With oolong/binary/dwarf.py one of the two modules that import elftools. Files come from anywhere, so every offset and
size is checked against the file before it is used; what does not hold is BadInput, never a traceback.
Sources: ELF gABI chapters 4 and 5 (sections, symbols, relocations), 64-bit ELF V2 ABI for Power.
"""

import mmap
import re
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.structs import ELFStructs

from oolong.errors import BadInput

SHT_NULL, SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL, SHT_SYMTAB_SHNDX = 0, 2, 4, 8, 9, 18
SHF_ALLOC, SHF_EXECINSTR = 2, 4
STT_MASK, STT_OBJECT, STT_FUNC, STT_SECTION = 15, 1, 2, 3
LOCAL_ENTRY_SHIFT, LOCAL_ENTRY_MASK = 5, 7
SHN_UNDEF, SHN_LORESERVE, SHN_XINDEX = 0, 0xFF00, 0xFFFF
# more than any symbol of a kernel (KSYM_NAME_LEN, include/linux/kallsyms.h) or any section has
LONGEST_NAME = 1024
MACHINE = {32: "EM_PPC", 64: "EM_PPC64"}


@dataclass(frozen=True, slots=True)
class Section:
    """A section header; `offset`, `size` and `alignment` in bytes, `type` and `flags` as the gABI numbers them."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int

    @property
    def loaded(self) -> bool:
        return bool(self.flags & SHF_ALLOC)

    @property
    def executable(self) -> bool:
        return bool(self.flags & SHF_EXECINSTR)


class Relocations(NamedTuple):
    """The entries of one SHT_RELA section as parallel arrays: where, what (symbol and type packed), addend."""

    offsets: "array[int]"
    infos: "array[int]"
    addends: "array[int]"


class Symbol(NamedTuple):
    """A symbol; `section` is the index of the section it lies in, None where it lies in none (undefined, absolute),
    `other` its st_other."""

    value: int
    size: int
    section: int | None
    other: int

    @property
    def local_entry(self) -> int:
        """How many bytes the local entry point lies after the global one (64-bit ELF V2 ABI, 3.4.1)."""
        return (1 << (self.other >> LOCAL_ENTRY_SHIFT & LOCAL_ENTRY_MASK)) >> 2 << 2


class NamedSymbol(NamedTuple):
    """A symbol with its name, type (STT_FUNC, …) and binding (STB_LOCAL, …)."""

    name: str
    symbol: Symbol
    type: int
    binding: int


class ElfFile:
    """One ELF file for Power: `bits` 32 or 64, `little` its byte order, `relocatable` for an object before its link."""

    def __init__(self, data: mmap.mmap, *, where: str) -> None:
        """BadInput if `data` is not ELF for Power or its section headers are not all there."""
        self._data = data
        self._where = where
        ident = data[:16]
        if len(ident) < 16 or ident[:4] != b"\x7fELF":
            raise self._bad("not an ELF file", hint="give it vmlinux.o, as made by `make vmlinux_o`")
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise self._bad("neither ELF32 nor ELF64, or of no known byte order")
        self.bits = 32 * ident[4]
        self.little = ident[5] == 1
        self._order = "<" if self.little else ">"
        structs = ELFStructs(little_endian=self.little, elfclass=self.bits)
        structs.create_basic_structs()
        header = self._parse(structs.Elf_Ehdr, 0, "the ELF header")
        machine = header["e_machine"]
        if machine != MACHINE[self.bits]:
            raise self._bad(f"for another machine ({machine}), not for Power")
        if self.bits == 32 and self.little:
            raise self._bad("32-bit little-endian Power: Linux has no such kernel")
        self.relocatable: bool = header["e_type"] == "ET_REL"
        self.sections = self._read_sections(header)
        self._indices: dict[int, array[int]] = {}

    def named(self, name: str) -> list[Section]:
        """All sections of a name, in file order."""
        return [section for section in self.sections if section.name == name]

    def relocations_of(self, section: Section) -> Iterator[tuple[Section, Relocations]]:
        """The relocation sections that apply to a section, each with its entries."""
        for candidate in self.sections:
            if candidate.type in (SHT_RELA, SHT_REL) and candidate.info == section.index:
                if candidate.type == SHT_REL:
                    raise self._bad(f"{candidate.name}: relocations without addends, not those of Power")
                yield candidate, self.relocations(candidate)

    def symbol_table(self, relocations: Section) -> Section:
        """The symbol table that a relocation section refers to."""
        if 0 < relocations.link < len(self.sections):
            table = self.sections[relocations.link]
            if table.type == SHT_SYMTAB:
                return table
        raise self._bad(f"{relocations.name}: refers to no symbol table")

    def symbols(self, table: Section, indices: Iterable[int]) -> dict[int, Symbol]:
        """Some symbols of a table, by index; an index beyond the table is BadInput."""
        layout, size = self._symbol_layout()
        raw = self.content(table)
        found = {}
        for index in indices:
            if (index + 1) * size > len(raw):
                raise self._bad(f"{table.name}: has no symbol {index}")
            found[index] = self._symbol(table, index, layout.unpack_from(raw, index * size))
        return found

    def symbols_by_name(self, names: Iterable[str]) -> dict[str, Symbol]:
        """The symbols of .symtab that have one of some names; those that are not there are left out."""
        layout, size = self._symbol_layout()
        searched = tuple(names)
        found: dict[str, Symbol] = {}
        for table in self.sections:
            if table.type != SHT_SYMTAB or not 0 < table.link < len(self.sections):
                continue
            strings = self.content(self.sections[table.link])
            # linkers also put a name where another one ends with it
            wanted = {
                match.start(): name
                for name in searched
                for match in re.finditer(re.escape(name.encode()) + b"\0", strings)
            }
            raw = self.content(table)
            for index, fields in enumerate(layout.iter_unpack(raw[: len(raw) // size * size])):
                if fields[0] in wanted:
                    found[wanted[fields[0]]] = self._symbol(table, index, fields)
        return found

    def labels(self, name: str) -> list[Symbol]:
        """Every symbol of .symtab that has a name, which several may have."""
        wanted = name.encode()
        return [
            self._symbol(table, index, fields)
            for table, strings, index, fields in self._symbols()
            if strings.startswith(wanted + b"\0", fields[0])
        ]

    def named_symbols(self) -> Iterator[NamedSymbol]:
        """Every symbol of .symtab that lies in a section and has a name of its own."""
        info = 1 if self.bits == 64 else 3
        for table, strings, index, fields in self._symbols():
            if fields[0] and fields[info] & STT_MASK != STT_SECTION:
                symbol = self._symbol(table, index, fields)
                if symbol.section is not None:
                    name = self._name(table, strings, fields[0])
                    yield NamedSymbol(name, symbol, fields[info] & STT_MASK, fields[info] >> 4)

    def words(self, section: Section) -> "array[int]":
        """The 32-bit words of a section, less what follows the last whole one."""
        raw = self.content(section)
        found = array("I")
        found.frombytes(raw[: len(raw) // 4 * 4])
        if self.little != (sys.byteorder == "little"):
            found.byteswap()
        return found

    def pointers(self, section: Section, at: int, count: int) -> tuple[int, ...]:
        """`count` addresses from an offset of a section on; BadInput if it does not hold so many."""
        raw = self.content(section)
        if not 0 <= at <= len(raw) - count * self.bits // 8:
            raise self._bad(f"{section.name}: has no {count} addresses at {at:#x}")
        return struct.unpack_from(f"{self._order}{count}{'Q' if self.bits == 64 else 'I'}", raw, at)

    def function_names(self) -> set[str]:
        """The names of all functions of .symtab."""
        info = 1 if self.bits == 64 else 3
        return {
            self._name(table, strings, fields[0])
            for table, strings, _, fields in self._symbols()
            if fields[info] & STT_MASK == STT_FUNC
        }

    def instruction(self, section: Section, at: int) -> int:
        """The 32-bit word at an offset of a section; BadInput if the section does not reach so far."""
        if section.type == SHT_NOBITS or not 0 <= at <= section.size - 4:
            raise self._bad(f"{section.name}: has no word at {at:#x}")
        start = section.offset + at
        if start + 4 > len(self._data):
            raise self._truncated(section)
        return int(struct.unpack(f"{self._order}I", self._data[start : start + 4])[0])

    def _symbols(self) -> Iterator[tuple[Section, bytes, int, tuple[int, ...]]]:
        """(table, its strings, index, fields) of every symbol of .symtab."""
        layout, size = self._symbol_layout()
        for table in self.sections:
            if table.type == SHT_SYMTAB and 0 < table.link < len(self.sections):
                strings = self.content(self.sections[table.link])
                raw = self.content(table)
                for index, fields in enumerate(layout.iter_unpack(raw[: len(raw) // size * size])):
                    yield table, strings, index, fields

    def word(self, symbol: Symbol) -> int:
        """The 32-bit word that a symbol of a linked file labels."""
        if symbol.section is not None:
            section = self.sections[symbol.section]
            at = symbol.value - section.address
            if section.type != SHT_NOBITS and 0 <= at <= section.size - 4:
                return int(struct.unpack_from(f"{self._order}I", self.content(section), at)[0])
        raise self._bad("a count has no place in the file")

    def content(self, section: Section) -> bytes:
        """A copy of the bytes of a section; BadInput if the file ends before them."""
        if section.type == SHT_NOBITS:
            return b""
        if section.offset + section.size > len(self._data):
            raise self._truncated(section)
        return self._data[section.offset : section.offset + section.size]

    def relocations(self, section: Section) -> Relocations:
        """The entries of one SHT_RELA section."""
        entries = array("Q" if self.bits == 64 else "I")
        if section.size % (3 * entries.itemsize):
            raise self._bad(f"{section.name}: its size is not a multiple of an entry's")
        entries.frombytes(self.content(section))
        if self.little != (sys.byteorder == "little"):
            entries.byteswap()
        return Relocations(offsets=entries[0::3], infos=entries[1::3], addends=entries[2::3])

    def _symbol_layout(self) -> tuple[struct.Struct, int]:
        layout = struct.Struct(self._order + ("IBBHQQ" if self.bits == 64 else "IIIBBH"))
        return layout, layout.size

    def _symbol(self, table: Section, index: int, fields: tuple[int, ...]) -> Symbol:
        if self.bits == 64:
            _, _, other, section, value, size = fields
        else:
            _, value, size, _, other, section = fields
        if section == SHN_XINDEX:
            section = self._extended_index(table, index)
        elif section >= SHN_LORESERVE:
            section = SHN_UNDEF
        inside = SHN_UNDEF < section < len(self.sections)
        return Symbol(value=value, size=size, section=section if inside else None, other=other)

    def _extended_index(self, table: Section, index: int) -> int:
        """The section of a symbol where there are more than 65,279 sections."""
        if table.index not in self._indices:
            own = (one for one in self.sections if one.type == SHT_SYMTAB_SHNDX and one.link == table.index)
            self._indices[table.index] = next((self.words(one) for one in own), array("I"))
        indices = self._indices[table.index]
        return indices[index] if index < len(indices) else SHN_UNDEF

    def _read_sections(self, header: Any) -> tuple[Section, ...]:
        layout = struct.Struct(self._order + ("IIQQQQIIQQ" if self.bits == 64 else "10I"))
        start, step, count = header["e_shoff"], header["e_shentsize"], header["e_shnum"]
        names = header["e_shstrndx"]
        if step != layout.size:
            raise self._bad(f"section headers of {step} bytes")
        if count == 0 or names == SHN_XINDEX:
            # more sections than the ELF header can say: the first section header says (gABI, "Sections")
            _, _, _, _, _, size, link, *_ = next(self._headers(layout, start, 1))
            count, names = count or size, link if names == SHN_XINDEX else names
        headers = list(self._headers(layout, start, count))
        if not 0 <= names < count:
            raise self._bad("no section holds the names of the sections")
        at, size = headers[names][4:6]
        strings = self._data[at : at + size]
        found = tuple(self._section(index, fields, strings) for index, fields in enumerate(headers))
        # so that whoever reads each section once reads no more than the file
        if sum(self._held(section) for section in found) > len(self._data):
            raise self._bad("its sections lie on top of each other: they hold more than the file")
        return found

    def _held(self, section: Section) -> int:
        """How many bytes of the file a section takes."""
        if section.type in (SHT_NULL, SHT_NOBITS):
            return 0
        return min(section.size, max(0, len(self._data) - section.offset))

    def _headers(self, layout: struct.Struct, start: int, count: int) -> Iterator[tuple[int, ...]]:
        end = start + count * layout.size
        if end > len(self._data):
            raise self._bad(f"truncated: {count} section headers are not all there")
        return layout.iter_unpack(self._data[start:end])

    def _section(self, index: int, fields: tuple[int, ...], strings: bytes) -> Section:
        name, kind, flags, address, offset, size, link, info, alignment, _ = fields
        end = strings.find(b"\0", name, name + LONGEST_NAME)
        if end < 0:
            raise self._bad(f"section {index} has no name")
        return Section(
            index=index,
            name=strings[name:end].decode(errors="replace"),
            type=kind,
            flags=flags,
            address=address,
            offset=offset,
            size=size,
            link=link,
            info=info,
            alignment=alignment,
        )

    def _parse(self, construct: Any, at: int, what: str) -> Any:
        raw = self._data[at : at + construct.sizeof()]
        if len(raw) < construct.sizeof():
            raise self._bad(f"truncated: {what} is not all there")
        try:
            return construct.parse(raw)
        except (ConstructError, ELFError) as error:
            raise self._bad(f"{what} cannot be read: {error}") from error

    def _name(self, table: Section, strings: bytes, at: int) -> str:
        end = strings.find(b"\0", at, at + LONGEST_NAME)
        if end < 0:
            raise self._bad(f"{table.name}: a symbol's name at {at:#x} is none")
        return strings[at:end].decode(errors="replace")

    def _truncated(self, section: Section) -> BadInput:
        return self._bad(f"truncated: section {section.name!r} reaches beyond the end of the file")

    def _bad(self, what: str, *, hint: str = "") -> BadInput:
        return BadInput(what, where=self._where, hint=hint)


@contextmanager
def opened(path: Path) -> Iterator[ElfFile]:
    """Map a file and read its headers; BadInput if it cannot be read or is not ELF for Power."""
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(path.open("rb"))
            data = stack.enter_context(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError as error:
            raise BadInput("an empty file", where=str(path)) from error
        except OSError as error:
            raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from error
        yield ElfFile(data, where=str(path))
