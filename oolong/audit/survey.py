"""What ftrace has in the guest's memory at one stop: its records, its ops with whom they trace, its modules, the code.

Everything is reached from a few symbols of vmlinux by pointers; where a member of a structure lies, the kernel's own
build says (oolong.offsets). The same walk runs twice: while the guest stands still, to fetch what it reads, and in the
audit, over what was kept. Sources: kernel/trace/ftrace.c, include/linux/ftrace.h and kernel/trace/trace.h of Linux 7.3.
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from oolong.audit.vmlinux import Code, Image, Range
from oolong.errors import BadOutput
from oolong.memory import Memory
from oolong.offsets import Offsets
from oolong.stops import INIT_MEMORY

RECORDS, OPS, LAST_OPS, MODULES = "ftrace_pages_start", "ftrace_ops_list", "ftrace_list_end", "modules"
# more groups of records, ops or modules than this, or more than this in one of them, is no list but a loop
MOST = 1 << 20
POINTER = 8
STUB = "arch.ool_stub"


class Record(NamedTuple):
    """struct dyn_ftrace: `stub` is the address of the first instruction of its stub, 0 for none."""

    ip: int
    flags: int
    stub: int


class Ops(NamedTuple):
    """A registered struct ftrace_ops: `traced` the sites that its filter names (none: all), `spared` those that it
    leaves out, `direct` the function that its filter has called directly at a site."""

    address: int
    traced: frozenset[int]
    spared: frozenset[int]
    direct: Mapping[int, int]

    def takes(self, ip: int) -> bool:
        """Whether it traces a site (hash_contains_ip)."""
        return (not self.traced or ip in self.traced) and ip not in self.spared


class Module(NamedTuple):
    """A module: where its code is, its ways to ftrace_caller and ftrace_regs_caller, and its stubs."""

    name: str
    text: Range
    tramp: int
    tramp_regs: int
    stubs: int
    stub_count: int
    stubs_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found at the stop `name`."""

    name: str
    records: tuple[Record, ...]
    ops: tuple[Ops, ...]
    modules: tuple[Module, ...]
    code: Code = field(repr=False)

    def module_at(self, address: int) -> Module | None:
        return next((module for module in self.modules if module.text.holds(address)), None)


def survey(name: str, memory: Memory, image: Image, offsets: Offsets) -> Survey:
    """Read it all; Unreadable if a pointer leads nowhere, BadOutput if the kernel has not what is looked for."""
    view = _View(memory, image.little, offsets)
    modules = tuple(_modules(view, image))
    ranges = [image.text, *(module.text for module in modules), *([image.inittext] if name == INIT_MEMORY else [])]
    code = Code([(one.start, view.words(one)) for one in ranges if one.end > one.start])
    return Survey(
        name=name,
        records=tuple(_records(view, _place(image, RECORDS))),
        ops=tuple(_all_ops(view, image)),
        modules=modules,
        code=code,
    )


class _View:
    """Memory with a byte order and structures."""

    def __init__(self, memory: Memory, little: bool, offsets: Offsets) -> None:
        self._memory = memory
        self._little = little
        self.order = "<" if little else ">"
        self.offsets = offsets

    def read(self, address: int, size: int) -> bytes:
        return self._memory.read(address, size)

    def pointer(self, address: int) -> int:
        return int(struct.unpack(f"{self.order}Q", self.read(address, POINTER))[0])

    def member(self, address: int, kind: str, name: str) -> int:
        """The number in a member of the structure at an address."""
        found = self.offsets.field(kind, name)
        return int.from_bytes(self.read(address + found.offset, found.size), "little" if self._little else "big")

    def optional(self, address: int, kind: str, name: str) -> int:
        """The same, 0 where this kernel has no such member."""
        return self.member(address, kind, name) if self.offsets.has(kind, name) else 0

    def words(self, where: Range) -> "array[int]":
        found = array("I")
        found.frombytes(self.read(where.start, (where.end - where.start) // 4 * 4))
        if self._little != (sys.byteorder == "little"):
            found.byteswap()
        return found


def _place(image: Image, name: str) -> int:
    if name not in image.addresses:
        raise BadOutput(f"vmlinux has no symbol {name}")
    return image.addresses[name]


def _records(view: _View, start: int) -> Iterator[Record]:
    """All records, group by group, in the order of the list."""
    entry = _record_layout(view)
    group = view.pointer(start)
    for _ in _bounded("groups of records"):
        if not group:
            return
        first, count = view.member(group, "ftrace_page", "records"), view.member(group, "ftrace_page", "index")
        if count > MOST:
            raise BadOutput(f"a group of {count} records at {group:#x}")
        for ip, flags, stub in entry.iter_unpack(view.read(first, count * entry.size)):
            yield Record(ip, flags, stub or 0)
        group = view.member(group, "ftrace_page", "next")


def _record_layout(view: _View) -> struct.Struct:
    """struct dyn_ftrace as ip, flags, stub, with what lies between passed over."""
    offsets, at, words = view.offsets, 0, view.order
    for name in ("ip", "flags", STUB):
        if name == STUB and not offsets.has("dyn_ftrace", STUB):
            # a kernel without stubs: no byte, which is read as 0
            words += "0s"
            continue
        found = offsets.field("dyn_ftrace", name)
        if found.size != POINTER or found.offset < at:
            raise BadOutput(f"dyn_ftrace.{name} has {found.size} bytes at {found.offset}, which no known kernel has")
        words += f"{found.offset - at}xQ"
        at = found.offset + found.size
    return struct.Struct(f"{words}{offsets.size('dyn_ftrace') - at}x")


def _all_ops(view: _View, image: Image) -> Iterator[Ops]:
    at, last = view.pointer(_place(image, OPS)), _place(image, LAST_OPS)
    for _ in _bounded("ops"):
        if at in (0, last):
            return
        hashes = view.member(at, "ftrace_ops", "func_hash")
        traced = _entries(view, view.member(hashes, "ftrace_ops_hash", "filter_hash"))
        spared = _entries(view, view.member(hashes, "ftrace_ops_hash", "notrace_hash"))
        yield Ops(at, frozenset(traced), frozenset(spared), {ip: direct for ip, direct in traced.items() if direct})
        at = view.member(at, "ftrace_ops", "next")


def _entries(view: _View, table: int) -> dict[int, int]:
    """Patch site → direct call, or 0, of a hash."""
    if not table or not view.member(table, "ftrace_hash", "count"):
        return {}
    buckets = view.member(table, "ftrace_hash", "buckets")
    found = {}
    for number in range(min(1 << view.member(table, "ftrace_hash", "size_bits"), MOST)):
        at = view.pointer(buckets + number * view.offsets.size("hlist_head"))
        for _ in _bounded("entries of a hash"):
            if not at:
                break
            found[view.member(at, "ftrace_func_entry", "ip")] = view.member(at, "ftrace_func_entry", "direct")
            # hlist_node, the first member, begins with its next pointer
            at = view.pointer(at)
    return found


def _modules(view: _View, image: Image) -> Iterator[Module]:
    if MODULES not in image.addresses:
        return
    head = image.addresses[MODULES]
    link = view.offsets.offset("module", "list")
    at = view.pointer(head)
    for _ in _bounded("modules"):
        if at == head:
            return
        module = at - link
        base = module + view.offsets.offset("module", "mem")
        start = view.member(base, "module_memory", "base")
        yield Module(
            name=view.read(module + view.offsets.offset("module", "name"), 64).split(b"\0")[0].decode(errors="replace"),
            text=Range(start, start + view.member(base, "module_memory", "size")),
            tramp=view.member(module, "module", "arch.tramp"),
            tramp_regs=view.member(module, "module", "arch.tramp_regs"),
            stubs=view.optional(module, "module", "arch.ool_stubs"),
            stub_count=view.optional(module, "module", "arch.ool_stub_count"),
            stubs_used=view.optional(module, "module", "arch.ool_stub_index"),
        )
        at = view.pointer(at)


def _bounded(what: str) -> Iterator[int]:
    yield from range(MOST)
    raise BadOutput(f"the list of {what} in the guest's memory has no end")
