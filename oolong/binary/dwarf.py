"""Reads the debug information of an object: the layout of structures and the values of enumerators.

With oolong/binary/elf.py one of the two modules that import elftools. Objects come from builds, so whatever pyelftools
stumbles over is BadInput, never a traceback.
Source: DWARF Debugging Information Format, versions 4 and 5, chapter 5 (type entries).
"""

import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile

from oolong.binary import elf as tables
from oolong.binary.structs import Field, Struct
from oolong.errors import BadInput

# what pyelftools raises for bytes that are not what they should be
BROKEN = (
    ELFError,
    DWARFError,
    ConstructError,
    struct.error,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
STRUCTURE, UNION, MEMBER, ENUMERATION, ENUMERATOR = (
    "DW_TAG_structure_type",
    "DW_TAG_union_type",
    "DW_TAG_member",
    "DW_TAG_enumeration_type",
    "DW_TAG_enumerator",
)
DEBUG = (".debug", ".zdebug")
RENAMED = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type")
UNSIGNED = (7, 8)
LONGEST_CHAIN = 64
MOST_MEMBERS = 1 << 16
# of a number in debug information, and of an enumerator
MOST_BITS, MOST_BYTES = 64, 8


def read(path: Path, *, structs: Collection[str], enumerators: str) -> tuple[dict[str, Struct], dict[str, int]]:
    """The structures of some names, and the enumerators whose name begins with `enumerators`.

    Bit fields are left out, and so is what the object does not define. BadInput if the file is no object with debug
    information.
    """
    found: dict[str, Struct] = {}
    values: dict[str, int] = {}
    with tables.opened(path) as file:
        for section in file.sections:
            if section.name.startswith(DEBUG) and section.type == tables.SHT_NOBITS:
                raise BadInput(f"{section.name} is not in the file", where=str(path))
    try:
        with path.open("rb") as stream:
            elf: Any = ELFFile(stream)
            if not elf.has_dwarf_info():
                raise BadInput("has no debug information", where=str(path))
            # an object before its link has its addresses and offsets in relocations
            dwarf = elf.get_dwarf_info(relocate_dwarf_sections=True)
            for unit in dwarf.iter_CUs():
                for entry in _children(unit.get_top_DIE()):
                    if entry.tag == ENUMERATION:
                        values |= dict(_enumerators(entry, enumerators))
                    elif entry.tag == STRUCTURE and _name(entry) in structs and not _is_declaration(entry):
                        found[_name(entry)] = _struct(entry)
    except BROKEN as error:
        raise BadInput(f"its debug information cannot be read: {error}", where=str(path)) from error
    return found, values


def _struct(entry: Any) -> Struct:
    members: dict[str, Field] = {}
    left = iter(range(MOST_MEMBERS))
    for name, field, kind in _members(entry, 0, left):
        members[name] = field
        if kind.tag in (STRUCTURE, UNION):
            members |= {f"{name}.{inner}": inside for inner, inside, _ in _members(kind, field.offset, left)}
    return Struct(size=_number(entry, "DW_AT_byte_size"), members=members)


def _members(entry: Any, base: int, left: Iterator[int], depth: int = 0) -> Iterator[tuple[str, Field, Any]]:
    """(name, where from the start of the whole, type) of each member; those of structures without a name are the
    members of what they stand in. `left` ends where there are too many."""
    if depth > LONGEST_CHAIN:
        raise ValueError("structures without end")
    for child in _children(entry):
        if next(left, None) is None:
            raise ValueError("structures of too many members")
        if child.tag != MEMBER or "DW_AT_bit_size" in child.attributes:
            continue
        offset = base + _number(child, "DW_AT_data_member_location")
        kind = _plain(child)
        if name := _name(child):
            yield name, Field(offset=offset, size=_size(kind)), kind
        elif kind.tag in (STRUCTURE, UNION):
            yield from _members(kind, offset, left, depth + 1)


def _children(entry: Any) -> Iterator[Any]:
    """The entries within an entry; each lies after the one before, whatever it says of its next one."""
    at = entry.offset
    for child in entry.iter_children():
        if child.offset <= at:
            raise ValueError("an entry that comes before the one before it")
        at = child.offset
        yield child


def _enumerators(entry: Any, prefix: str) -> Iterator[tuple[str, int]]:
    """Compilers write an unsigned value with its highest bit set as a negative one, too."""
    unsigned = "DW_AT_type" in entry.attributes and _number(_plain(entry), "DW_AT_encoding") in UNSIGNED
    size = _number(entry, "DW_AT_byte_size")
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"enumerators of {size} bytes")
    for child in _children(entry):
        if child.tag == ENUMERATOR and _name(child).startswith(prefix):
            value = _number(child, "DW_AT_const_value")
            yield _name(child), value % (1 << 8 * size) if unsigned else value


def _plain(entry: Any) -> Any:
    """The type of an entry, less names and qualifiers."""
    for _ in range(LONGEST_CHAIN):
        entry = entry.get_DIE_from_attribute("DW_AT_type")
        if entry.tag not in RENAMED:
            return entry
    raise ValueError("a type that is a name for itself")


def _size(kind: Any, depth: int = 0) -> int:
    """The bytes that a type takes; 0 for an array whose length the object does not know."""
    if depth > LONGEST_CHAIN:
        raise ValueError("arrays without end")
    if kind.tag == "DW_TAG_pointer_type":
        # whose size clang leaves out
        return int(kind.cu["address_size"])
    if kind.tag != "DW_TAG_array_type":
        return _number(kind, "DW_AT_byte_size")
    size = _size(_plain(kind), depth + 1)
    for dimension in _children(kind):
        if "DW_AT_count" in dimension.attributes:
            size *= _number(dimension, "DW_AT_count")
        elif "DW_AT_upper_bound" in dimension.attributes:
            size *= _number(dimension, "DW_AT_upper_bound") + 1
        else:
            size = 0
    return size


def _number(entry: Any, attribute: str) -> int:
    """An attribute that is a number; 0 where it is left out, as members of unions leave out where they are."""
    if attribute not in entry.attributes:
        return 0
    value = entry.attributes[attribute].value
    if not isinstance(value, int) or value.bit_length() > MOST_BITS:
        raise ValueError(f"{attribute} is no number that fits in {MOST_BITS} bits")
    return value


def _name(entry: Any) -> str:
    if "DW_AT_name" not in entry.attributes:
        return ""
    return str(entry.attributes["DW_AT_name"].value.decode(errors="replace"))


def _is_declaration(entry: Any) -> bool:
    return "DW_AT_declaration" in entry.attributes
