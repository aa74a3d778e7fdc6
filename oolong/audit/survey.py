"""What ftrace has in the guest's memory at one stop: its records, its ops with whom they trace, its modules, the code.

Everything is reached from a few symbols of vmlinux by pointers; where a member of a structure lies, the kernel's own
build says (oolong.binary.structs). The same walk runs twice: while the guest stands still, to fetch what it reads, and
in the audit, over what was kept. Sources: kernel/trace/ftrace.c, include/linux/ftrace.h and kernel/trace/trace.h of
Linux 7.3.
"""

import struct
import sys
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from oolong.audit.image import Code, Image, Range
from oolong.binary.structs import Offsets
from oolong.errors import BadOutput
from oolong.machine.memory import PAGE, Memory
from oolong.machine.stops import INIT_MEMORY

RECORDS, OPS, LAST_OPS, MODULES = "ftrace_pages_start", "ftrace_ops_list", "ftrace_list_end", "modules"
# what a survey may read besides the kernel's own code, in whole pages or by the same bytes again, and how often it may
# read: a guest can make its lists as long as it likes
MOST_BYTES, MOST_READS = 1 << 24, 1 << 18
# records besides those of the image, and modules: more than this no guest of ours loads
MOST_OTHER_RECORDS, MOST_MODULES = 1 << 15, 1 << 10
# buckets of a hash, as a power of two (FTRACE_HASH_MAX_BITS is 12)
MOST_BITS = 20
POINTER, NAME_BYTES = 8, 64
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


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found at the stop `name`; `groups` says how many of the records each group of the list holds, in turn,
    for the kernel searches group by group."""

    name: str
    records: tuple[Record, ...]
    groups: tuple[int, ...]
    ops: tuple[Ops, ...]
    modules: tuple[Module, ...]
    code: Code = field(repr=False)

    def module_at(self, address: int) -> Module | None:
        place = bisect_right(self._module_starts, address) - 1
        found = self._modules_by_start[place] if place >= 0 else None
        return found if found and found.text.holds(address) else None

    def users(self, ip: int) -> int:
        """How many of the ops take a site."""
        return len(self._takers_of_most) + self._takers[ip]

    def only_user(self, ip: int) -> int | None:
        """The address of the ops that takes a site, None if none does or several do."""
        if self.users(ip) != 1:
            return None
        takers: Iterator[Ops] = chain(self._takers_by_name.get(ip, ()), self._takers_of_most)
        return next(ops.address for ops in takers if ops.takes(ip))

    @cached_property
    def direct(self) -> Mapping[int, int]:
        """The function that the first ops with a direct call has called, by site."""
        return {ip: target for ops in reversed(self.ops) for ip, target in ops.direct.items()}

    def by_group(self) -> Iterator[tuple[Record, ...]]:
        """The records of each group."""
        at = 0
        for count in self.groups:
            yield self.records[at : at + count]
            at += count

    @cached_property
    def _takers_of_most(self) -> tuple[Ops, ...]:
        """The ops that take all but what they spare."""
        return tuple(ops for ops in self.ops if not ops.traced)

    @cached_property
    def _takers_by_name(self) -> Mapping[int, list[Ops]]:
        """The ops whose filters name a site."""
        found: dict[int, list[Ops]] = {}
        for ops in self.ops:
            for ip in ops.traced:
                found.setdefault(ip, []).append(ops)
        return found

    @cached_property
    def _takers(self) -> Counter[int]:
        """How many ops take a site besides _takers_of_most, less those of these that spare it."""
        found: Counter[int] = Counter()
        for ops in self.ops:
            found.update(ops.traced - ops.spared)
            if not ops.traced:
                found.subtract(ops.spared)
        return found

    @cached_property
    def _modules_by_start(self) -> list[Module]:
        return sorted(self.modules, key=lambda module: module.text)

    @cached_property
    def _module_starts(self) -> list[int]:
        return [module.text.start for module in self._modules_by_start]


def survey(name: str, memory: Memory, image: Image, offsets: Offsets) -> Survey:
    """Read it all; Unreadable if a pointer leads nowhere, BadOutput if the kernel has not what is looked for, or wants
    more to be read than its code and MOST_BYTES, or more often than MOST_READS."""
    view = _View(memory, image.little, offsets, most=image.code.size + MOST_BYTES)
    modules = tuple(_modules(view, image))
    ranges = [image.text, *(module.text for module in modules), *([image.inittext] if name == INIT_MEMORY else [])]
    code = Code([(one.start, view.words(one)) for one in ranges if one.end > one.start])
    groups = tuple(_groups(view, _place(image, RECORDS), most=len(image.sites) + MOST_OTHER_RECORDS))
    return Survey(
        name=name,
        records=tuple(record for group in groups for record in group),
        groups=tuple(len(group) for group in groups),
        ops=tuple(_all_ops(view, image)),
        modules=modules,
        code=code,
    )


class _View:
    """Memory with a byte order and structures, and a budget of what may be read of it."""

    def __init__(self, memory: Memory, little: bool, offsets: Offsets, *, most: int) -> None:
        self._memory = memory
        self._little = little
        self._most, self._bytes_left, self._reads_left = most, most, MOST_READS
        self._pages: set[int] = set()
        self.order = "<" if little else ">"
        self.offsets = offsets

    def read(self, address: int, size: int) -> bytes:
        """A page that was not read before costs all its bytes, since all are kept; whatever is read again, its own."""
        self._reads_left -= 1
        # before the pages of a read are counted, lest these be too many to count
        if self._reads_left < 0 or not 0 <= size <= self._bytes_left:
            raise self._over()
        first = address - address % PAGE
        if first not in self._pages or address + size > first + PAGE:
            new = [page for page in range(first, address + size, PAGE) if page not in self._pages]
            self._pages.update(new)
            size_of_new = PAGE * len(new)
        else:
            size_of_new = 0
        self._bytes_left -= max(size, size_of_new)
        if self._bytes_left < 0:
            raise self._over()
        return self._memory.read(address, size)

    def _over(self) -> BadOutput:
        return BadOutput(
            f"ftrace's lists in the guest's memory ask for more than {self._most >> 20} MiB, or {MOST_READS} reads"
        )

    def pointer(self, address: int) -> int:
        return int(struct.unpack(f"{self.order}Q", self.read(address, POINTER))[0])

    def member(self, address: int, kind: str, name: str) -> int:
        """The number in a member of the structure at an address."""
        found = self.offsets.field(kind, name)
        if found.size > POINTER:
            raise BadOutput(f"{kind}.{name} has {found.size} bytes, which is no number")
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


def _groups(view: _View, start: int, *, most: int) -> Iterator[list[Record]]:
    """All records, group by group, in the order of the list; no more than `most`."""
    entry = _record_layout(view)
    left = most
    for group in _linked(
        "groups of records", view.pointer(start), (0,), lambda at: view.member(at, "ftrace_page", "next")
    ):
        first, count = view.member(group, "ftrace_page", "records"), view.member(group, "ftrace_page", "index")
        left -= count
        if left < 0:
            raise BadOutput(f"more than {most} records, with a group of {count} at {group:#x}")
        read = view.read(first, count * entry.size)
        yield [Record(ip, flags, stub or 0) for ip, flags, stub in entry.iter_unpack(read)]


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
            raise BadOutput(f"dyn_ftrace.{name} has {found.size} bytes at {found.offset}: unknown layout")
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
    step = view.offsets.size("hlist_head")
    if step < POINTER:
        raise BadOutput(f"hlist_head has {step} bytes: unknown layout")
    head = struct.Struct(f"{view.order}Q{step - POINTER}x")
    # hlist_head and hlist_node, the first member of an entry, begin with the pointer to the next entry
    for (first,) in head.iter_unpack(view.read(buckets, step << bits)):
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
    for number, at in enumerate(_linked("modules", view.pointer(head), (head,), view.pointer)):
        module = at - link
        if number == MOST_MODULES:
            raise BadOutput(f"more than {MOST_MODULES} modules")
        base = module + view.offsets.offset("module", "mem")
        start, size = view.member(base, "module_memory", "base"), view.member(base, "module_memory", "size")
        yield Module(
            name=view.read(module + view.offsets.offset("module", "name"), NAME_BYTES)
            .split(b"\0")[0]
            .decode(errors="replace"),
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
        if at in passed:
            raise BadOutput(f"the list of {what} in the guest's memory has no end")
        passed.add(at)
        yield at
        at = follow(at)
