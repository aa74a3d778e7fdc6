"""Guests made by hand: a small kernel's image, and memory in which its ftrace has laid out what a test wants.

The members of the structures lie where no kernel has them, and the flags are bits that no kernel uses, so that nothing
which is read can have been known without the offsets.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from oolong.audit import image as vmlinux
from oolong.audit.allocation import allocate
from oolong.audit.image import CALLERS, Image
from oolong.audit.live_state import Live
from oolong.audit.module_layout import MARK, MARK_AT, TARGET_AT, WAY_BYTES
from oolong.audit.survey import Survey, survey
from oolong.binary import powerpc
from oolong.binary.structs import Field, Offsets, Struct
from oolong.machine.memory import PAGE, Snapshot
from oolong.machine.stops import INIT_MEMORY
from tests.support import TEST_DATA

OBJECTS = TEST_DATA / "objects"
ENABLED, DISABLED, REGS_EN, REGS, TRAMP_EN, TRAMP, DIRECT_EN, DIRECT, CALL_OPS_EN, CALL_OPS, TOUCHED = (
    1 << bit for bit in (50, 41, 42, 33, 44, 35, 46, 37, 48, 39, 52)
)
OFFSETS = Offsets(
    structs={
        "ftrace_page": Struct(size=72, members={"next": Field(40, 8), "records": Field(56, 8), "index": Field(4, 4)}),
        "dyn_ftrace": Struct(
            size=48, members={"ip": Field(8, 8), "flags": Field(24, 8), "arch.ool_stub": Field(32, 8)}
        ),
        "ftrace_ops": Struct(size=96, members={"next": Field(24, 8), "func_hash": Field(72, 8)}),
        "ftrace_ops_hash": Struct(size=40, members={"notrace_hash": Field(8, 8), "filter_hash": Field(32, 8)}),
        "ftrace_hash": Struct(
            size=48, members={"count": Field(8, 8), "size_bits": Field(16, 8), "buckets": Field(40, 8)}
        ),
        "hlist_head": Struct(size=24, members={"first": Field(0, 8)}),
        "ftrace_func_entry": Struct(
            size=56, members={"hlist": Field(0, 16), "direct": Field(24, 8), "ip": Field(40, 8)}
        ),
        "module": Struct(
            size=320,
            members={
                "list": Field(16, 16),
                "name": Field(56, 64),
                "mem": Field(128, 64),
                "arch.tramp": Field(200, 8),
                "arch.tramp_regs": Field(216, 8),
                "arch.ool_stubs": Field(232, 8),
                "arch.ool_stub_count": Field(248, 4),
                "arch.ool_stub_index": Field(256, 4),
            },
        ),
        "module_memory": Struct(size=32, members={"size": Field(8, 4), "base": Field(24, 8)}),
    },
    enums={
        "FTRACE_FL_ENABLED": ENABLED,
        "FTRACE_FL_DISABLED": DISABLED,
        "FTRACE_FL_REGS_EN": REGS_EN,
        "FTRACE_FL_REGS": REGS,
        "FTRACE_FL_TRAMP_EN": TRAMP_EN,
        "FTRACE_FL_TRAMP": TRAMP,
        "FTRACE_FL_DIRECT_EN": DIRECT_EN,
        "FTRACE_FL_DIRECT": DIRECT,
        "FTRACE_FL_CALL_OPS_EN": CALL_OPS_EN,
        "FTRACE_FL_CALL_OPS": CALL_OPS,
        "FTRACE_FL_TOUCHED": TOUCHED,
    },
    constants={"FTRACE_MCOUNT_MAX_OFFSET": 16, "FTRACE_REF_MAX_SHIFT": 10},
)
# in a module: its ways out of its own code, the first of which leads to no part of ftrace, and the stubs after them
WAYS, TRAMP_AT = 0x2D8, 0x300
STUBS_AT = TRAMP_AT + 2 * WAY_BYTES
HEAP, MODULES, NEAR, FAR = 0xC000_0000_0100_0000, 0xC008_0000_0000_0000, 0xC000_0000_0020_0000, 0xC008_0000_0100_0000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracer:
    """An ops that traces some sites (none: all) but those that it spares, or has a function called directly there."""

    traced: frozenset[int] = frozenset()
    spared: frozenset[int] = frozenset()
    direct: Mapping[int, int] = field(default_factory=dict)
    regs: bool = False

    def takes(self, ip: int) -> bool:
        return (not self.traced or ip in self.traced) and ip not in self.spared


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A module with `sites` functions, and stubs of functions that it had while it began."""

    name: str = "far"
    sites: int = 2
    gone: int = 1
    base: int = MODULES


def image_of(little: bool, *, stub_size: int = 24, dead: bool = False) -> Image:
    """The small kernel; with stubs of 16 bytes, or with `plain_two` overridden, so that its record is dead."""
    image = vmlinux.read(OBJECTS / f"image-{'le' if little else 'be'}")
    areas = {name: area._replace(size=area.stubs * stub_size) for name, area in image.areas.items()}
    if dead:
        named = tuple(one for one in image.symbols if one[1] != "plain_two")
        functions = tuple(one for one in image.functions if one.name != "plain_two")
        return replace(image, areas=areas, symbols=named, functions=functions)
    return replace(image, areas=areas)


def ip_of(image: Image, name: str) -> int:
    return next(site.ip for site in image.sites if site.function and site.function.name == name)


class Guest:
    """Memory as the kernel of an image leaves it at a stop: its records off, or traced by somebody."""

    def __init__(
        self,
        image: Image,
        stop: str,
        tracers: Sequence[Tracer] = (),
        modules: Sequence[Loaded] = (),
        *,
        touched: Collection[int] = (),
    ) -> None:
        """`touched`: the sites that were traced at some time."""
        self.image, self.stop = image, stop
        self._touched = touched
        self.pages: dict[int, bytearray] = {}
        self.groups: list[int] = []
        self.ops: list[int] = []
        self.hashes: list[int] = []
        self.modules: list[int] = []
        self.entries: list[int] = []
        self._free = HEAP
        self._tracers = tracers
        for address, name in ((image.addresses["ftrace_list_end"], "ftrace_ops_list"), (0, "ftrace_pages_start")):
            self.number(image.addresses[name], address)
        for place, words in ((image.text, image.text), (image.inittext, image.inittext)):
            if place is image.text or stop == INIT_MEMORY:
                for at in range(words.start, words.end - 3, 4):
                    self.number(at, image.code.word(at) or 0, 4)
        self.ops = [self.room(OFFSETS.size("ftrace_ops")) for _ in tracers]
        records = [
            (site.ip, allocate(image).stubs[site.ip].code, 0, False)
            for site in image.sites
            if stop == INIT_MEMORY or image.area_of(site.ip) == "text"
        ]
        # in two groups, as when one page is full
        self._group(records[:2])
        self._group(records[2:])
        self._register()
        self._load(modules)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.stop, {base: bytes(page) for base, page in self.pages.items()})

    def survey(self, offsets: Offsets = OFFSETS) -> Survey:
        return survey(self.stop, self.snapshot(), self.image, offsets)

    def room(self, size: int) -> int:
        """A new place, far from a multiple of anything."""
        at, self._free = self._free, self._free + (size + 15) // 8 * 8
        self.put(at, bytes(size))
        return at

    def put(self, at: int, data: bytes) -> None:
        for offset, byte in enumerate(data):
            page = self.pages.setdefault((at + offset) // PAGE * PAGE, bytearray(PAGE))
            page[(at + offset) % PAGE] = byte

    def number(self, at: int, value: int, size: int = 8) -> None:
        self.put(at, value.to_bytes(size, "little" if self.image.little else "big"))

    def member(self, at: int, kind: str, name: str, value: int) -> None:
        found = OFFSETS.field(kind, name)
        self.number(at + found.offset, value, found.size)

    def _group(self, records: Sequence[tuple[int, int, int, bool]]) -> None:
        group, first = self.room(OFFSETS.size("ftrace_page")), self.room(OFFSETS.size("dyn_ftrace") * len(records))
        self.member(group, "ftrace_page", "records", first)
        self.member(group, "ftrace_page", "index", len(records))
        if self.groups:
            self.member(self.groups[-1], "ftrace_page", "next", group)
        else:
            self.number(self.image.addresses["ftrace_pages_start"], group)
        self.groups.append(group)
        for number, (ip, stub, tramp, is_module) in enumerate(records):
            at = first + number * OFFSETS.size("dyn_ftrace")
            flags = self._patch(ip, stub, tramp, is_module)
            for name, value in (("ip", ip), ("flags", flags), ("arch.ool_stub", stub)):
                self.member(at, "dyn_ftrace", name, value)

    def _patch(self, ip: int, stub: int, tramp: int, is_module: bool) -> int:
        """Fill a stub and a site, for those who trace it; the flags of its record."""
        image = self.image
        named = image.name_of(ip)
        if image.function_at(ip) is None and not is_module and named and named[1] > 16:
            users: list[tuple[int, Tracer]] = []
            flags = DISABLED
        else:
            users = [(at, one) for at, one in zip(self.ops, self._tracers, strict=True) if one.takes(ip)]
            flags = ENABLED | len(users) if users else 0
        flags |= TOUCHED if users or ip in self._touched else 0
        regs = any(one.regs for _, one in users)
        direct = next((one.direct[ip] for _, one in users if ip in one.direct), None)
        flags |= (REGS | REGS_EN) * regs | (DIRECT if direct else 0)
        pointer = image.addresses["ftrace_nop_ops"]
        if users:
            pointer = image.addresses["ftrace_list_ops"]
        if len(users) == 1:
            flags |= CALL_OPS | CALL_OPS_EN | (DIRECT_EN if direct else 0)
            pointer = users[0][0]
        target = image.addresses["ftrace_regs_caller" if regs else "ftrace_caller"]
        if flags & DIRECT_EN:
            assert direct
            target = direct if powerpc.reaches(stub + 4, direct) else image.addresses["ftrace_caller"]
        if not powerpc.reaches(stub + 4, target):
            target = tramp + WAY_BYTES * regs
        if image.stub_code:
            self.number(stub - 8, pointer)
        words = (
            powerpc.MFLR_R0,
            powerpc.branch(stub + 4, target, link=True),
            powerpc.MTLR_R0,
            powerpc.branch(stub + 12, ip + 4),
        )
        for number, word in enumerate(words):
            self.number(stub + 4 * number, word, 4)
        self.number(ip, powerpc.branch(ip, stub) if users else powerpc.NOP, 4)
        return flags

    def _register(self) -> None:
        for number, (at, tracer) in enumerate(zip(self.ops, self._tracers, strict=True)):
            before = OFFSETS.offset("ftrace_ops", "next")
            self.number(self.ops[number - 1] + before if number else self.image.addresses["ftrace_ops_list"], at)
            self.number(at + before, self.image.addresses["ftrace_list_end"])
            hashes = self.room(OFFSETS.size("ftrace_ops_hash"))
            self.member(at, "ftrace_ops", "func_hash", hashes)
            traced = {ip: tracer.direct.get(ip, 0) for ip in sorted(tracer.traced)}
            self.member(hashes, "ftrace_ops_hash", "filter_hash", self._hash(traced))
            if tracer.spared:
                table = self._hash(dict.fromkeys(sorted(tracer.spared), 0))
                self.member(hashes, "ftrace_ops_hash", "notrace_hash", table)

    def _hash(self, members: Mapping[int, int]) -> int:
        """A hash of two buckets, the odd members in the second."""
        table, step = self.room(OFFSETS.size("ftrace_hash")), OFFSETS.size("hlist_head")
        buckets = self.room(2 * step)
        for name, value in (("count", len(members)), ("size_bits", 1), ("buckets", buckets)):
            self.member(table, "ftrace_hash", name, value)
        ends = [buckets, buckets + step]
        for number, (ip, direct) in enumerate(members.items()):
            entry = self.room(OFFSETS.size("ftrace_func_entry"))
            self.member(entry, "ftrace_func_entry", "ip", ip)
            self.member(entry, "ftrace_func_entry", "direct", direct)
            self.number(ends[number % 2], entry)
            ends[number % 2] = entry
            self.entries.append(entry)
        self.hashes.append(table)
        return table

    def _load(self, modules: Sequence[Loaded]) -> None:
        link, before = OFFSETS.offset("module", "list"), self.image.addresses["modules"]
        for one in modules:
            at = self.room(OFFSETS.size("module"))
            size, stubs, count = self.image.stub_size, one.base + STUBS_AT, one.sites + one.gone
            self.put(one.base, bytes(0x1000))
            callers = (self.image.addresses[name] for name in CALLERS)
            for number, target in enumerate((one.base, *callers)):
                way = one.base + WAYS + number * WAY_BYTES
                self.number(way + MARK_AT, MARK, 4)
                self.number(way + TARGET_AT, target)
            records = [
                (one.base + 0x40 * number, stubs + number * size + self.image.stub_code, one.base + TRAMP_AT, True)
                for number in range(one.sites)
            ]
            self._group(records)
            for number in range(one.sites, count):
                ip = one.base + 0x2000 + 0x40 * number
                self._patch_gone(ip, stubs + number * size + self.image.stub_code, one.base + TRAMP_AT)
            self.put(at + OFFSETS.offset("module", "name"), one.name.encode() + b"\0")
            memory = at + OFFSETS.offset("module", "mem")
            self.member(memory, "module_memory", "base", one.base)
            self.member(memory, "module_memory", "size", 0x1000)
            for name, value in (
                ("tramp", one.base + TRAMP_AT),
                ("tramp_regs", one.base + TRAMP_AT + WAY_BYTES),
                ("ool_stubs", stubs),
                ("ool_stub_count", count),
                ("ool_stub_index", count),
            ):
                self.member(at, "module", f"arch.{name}", value)
            self.number(before, at + link)
            before = at + link
            self.modules.append(at)
        self.number(before, self.image.addresses["modules"])

    def _patch_gone(self, ip: int, stub: int, tramp: int) -> None:
        """The stub of a function whose code is no more."""
        tracers, self._tracers, ops, self.ops = self._tracers, (), self.ops, []
        self._patch(ip, stub, tramp, True)
        self._tracers, self.ops = tracers, ops
        self.pages.pop(ip // PAGE * PAGE)


def live_of(*guests: Guest) -> Live:
    """What the audit sees of guests of one kernel."""
    return Live(guests[0].image, OFFSETS, [guest.survey() for guest in guests])
