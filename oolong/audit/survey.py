"""What ftrace has in the guest's memory at one stop: its records, its ops with whom they trace, its modules, the code.

Everything is reached from a few symbols of vmlinux by pointers; where a member of a structure lies, the kernel's own
build says (oolong.binary.structs). The same walk runs twice: while the guest stands still, to fetch what it reads, and
in the audit, over what was kept. Sources: kernel/trace/ftrace.c, include/linux/ftrace.h and kernel/trace/trace.h of
Linux 7.3.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from oolong.audit.image import Code, Image, Range
from oolong.binary.structs import Offsets
from oolong.errors import BadOutput
from oolong.machine.memory import Memory
from oolong.machine.stops import INIT_MEMORY

RECORDS, OPS, LAST_OPS, MODULES = "ftrace_pages_start", "ftrace_ops_list", "ftrace_list_end", "modules"
# more records, ops, modules or entries of a hash than this no kernel has; nor buckets of a hash than a power of two
MOST, MOST_BITS = 1 << 20, 20
# what a branch within one module reaches
LARGEST_MODULE = 1 << 25
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
    total = 0
    for group in _linked(
        "groups of records", view.pointer(start), (0,), lambda at: view.member(at, "ftrace_page", "next")
    ):
        first, count = view.member(group, "ftrace_page", "records"), view.member(group, "ftrace_page", "index")
        total += count
        if total > MOST:
            raise BadOutput(f"a group of {count} records at {group:#x}")
        for ip, flags, stub in entry.iter_unpack(view.read(first, count * entry.size)):
            yield Record(ip, flags, stub or 0)


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
    rest = offsets.size("dyn_ftrace") - at
    if rest < 0:
        raise BadOutput(f"dyn_ftrace has {offsets.size('dyn_ftrace')} bytes, and its members reach to {at}")
    return struct.Struct(f"{words}{rest}x")


def _all_ops(view: _View, image: Image) -> Iterator[Ops]:
    first, last = view.pointer(_place(image, OPS)), _place(image, LAST_OPS)
    for at in _linked("ops", first, (0, last), lambda at: view.member(at, "ftrace_ops", "next")):
        hashes = view.member(at, "ftrace_ops", "func_hash")
        traced = _entries(view, view.member(hashes, "ftrace_ops_hash", "filter_hash"))
        spared = _entries(view, view.member(hashes, "ftrace_ops_hash", "notrace_hash"))
        yield Ops(at, frozenset(traced), frozenset(spared), {ip: direct for ip, direct in traced.items() if direct})


def _entries(view: _View, table: int) -> dict[int, int]:
    """Patch site → direct call, or 0, of a hash."""
    if not table or not view.member(table, "ftrace_hash", "count"):
        return {}
    bits, buckets = view.member(table, "ftrace_hash", "size_bits"), view.member(table, "ftrace_hash", "buckets")
    if bits > MOST_BITS:
        raise BadOutput(f"a hash of 2^{bits} buckets at {table:#x}")
    found: dict[int, int] = {}
    seen: set[int] = set()
    for number in range(1 << bits):
        first = view.pointer(buckets + number * view.offsets.size("hlist_head"))
        # hlist_node, the first member, begins with its next pointer
        for at in _linked("entries of a hash", first, (0,), view.pointer, seen):
            found[view.member(at, "ftrace_func_entry", "ip")] = view.member(at, "ftrace_func_entry", "direct")
    return found


def _modules(view: _View, image: Image) -> Iterator[Module]:
    if MODULES not in image.addresses:
        return
    if not view.offsets.has("module", "mem"):
        return  # before 6.4: no such kernel has stubs
    head = image.addresses[MODULES]
    link = view.offsets.offset("module", "list")
    for at in _linked("modules", view.pointer(head), (head,), view.pointer):
        module = at - link
        base = module + view.offsets.offset("module", "mem")
        start, size = view.member(base, "module_memory", "base"), view.member(base, "module_memory", "size")
        if size > LARGEST_MODULE:
            raise BadOutput(f"a module with {size} bytes of code at {module:#x}")
        yield Module(
            name=view.read(module + view.offsets.offset("module", "name"), 64).split(b"\0")[0].decode(errors="replace"),
            text=Range(start, start + size),
            tramp=view.member(module, "module", "arch.tramp"),
            tramp_regs=view.member(module, "module", "arch.tramp_regs"),
            stubs=view.optional(module, "module", "arch.ool_stubs"),
            stub_count=view.optional(module, "module", "arch.ool_stub_count"),
            stubs_used=view.optional(module, "module", "arch.ool_stub_index"),
        )


def _linked(
    what: str, first: int, ends: Container[int], follow: Callable[[int], int], seen: set[int] | None = None
) -> Iterator[int]:
    """The addresses of a list; BadOutput if it comes back to one that it had, or that another list (`seen`) had."""
    passed: set[int] = set() if seen is None else seen
    at = first
    while at not in ends:
        if at in passed or len(passed) == MOST:
            raise BadOutput(f"the list of {what} in the guest's memory has no end")
        passed.add(at)
        yield at
        at = follow(at)
