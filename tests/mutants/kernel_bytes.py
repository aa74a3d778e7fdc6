"""Mutants of bytes of a real kernel's memory: pointers, counts and sizes in its structures."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from oolong.audit import live_checks
from oolong.audit.check import Check
from oolong.audit.image import POINTER
from oolong.audit.live_state import Live
from oolong.audit.survey import MODULES, OPS, RECORDS, Survey, survey
from oolong.errors import BadOutput
from oolong.machine.memory import PAGE, Snapshot, Unreadable
from oolong.machine.stops import KPROBE, MODULE, ONE
from tests.mutants.kernel import WILD, Kernel
from tests.mutants.outcome import Outcome, noticed


def raw_outcomes(kernel: Kernel) -> Iterator[Outcome]:
    """Pointers, counts and sizes in the guest's structures, each wrong in every way: the walk ends, and something is
    found."""
    before = {
        name: list(live_checks.checks(Live(kernel.image, kernel.offsets, [_walk(kernel, one)], due=())))
        for name, one in kernel.snapshots.items()
        if name in (ONE, KPROBE, MODULE)
    }
    for kind, what, stop, at, size, value in chain(_groups(kernel), _hashes(kernel), _module_list(kernel)):
        if _Reader(kernel, stop).number(at, size) == value:
            continue
        data = value.to_bytes(size, "little" if kernel.image.little else "big")
        patched = _patched(kernel.snapshots[stop], at, data)
        yield Outcome(f"memory: {kind}", f"at {stop}: {what} {value:#x}", _found(kernel, patched, before[stop]))


def _walk(kernel: Kernel, snapshot: Snapshot) -> Survey:
    return survey(snapshot.name, snapshot, kernel.image, kernel.offsets)


def _found(kernel: Kernel, snapshot: Snapshot, before: Sequence[Check]) -> tuple[str, ...]:
    try:
        seen = _walk(kernel, snapshot)
    except (Unreadable, BadOutput):
        return ("live.readable",)
    return noticed(before, live_checks.checks(Live(kernel.image, kernel.offsets, [seen], due=())))


def _patched(snapshot: Snapshot, at: int, data: bytes) -> Snapshot:
    pages = dict(snapshot.pages)
    for offset, byte in enumerate(data):
        base, place = (at + offset) // PAGE * PAGE, (at + offset) % PAGE
        pages[base] = pages[base][:place] + bytes([byte]) + pages[base][place + 1 :]
    return Snapshot(snapshot.name, pages)


class _Reader(NamedTuple):
    kernel: Kernel
    stop: str

    def number(self, at: int, size: int = POINTER) -> int:
        raw = self.kernel.snapshots[self.stop].read(at, size)
        return int.from_bytes(raw, "little" if self.kernel.image.little else "big")

    def place(self, at: int, kind: str, member: str) -> tuple[int, int]:
        """Where a member of a structure lies, and its size."""
        found = self.kernel.offsets.field(kind, member)
        return at + found.offset, found.size

    def member(self, at: int, kind: str, name: str) -> int:
        return self.number(*self.place(at, kind, name))


Poke = Iterator[tuple[str, str, str, int, int, int]]


def _groups(kernel: Kernel) -> Poke:
    reader = _Reader(kernel, MODULE)
    start = kernel.image.addresses[RECORDS]
    kind = "the list of records"
    first = reader.number(start)
    for value in (0, 1, WILD, start, first + 1, kernel.image.text.start, (1 << 64) - 1):
        yield kind, "its head", MODULE, start, POINTER, value
    groups = [first]
    while following := reader.member(groups[-1], "ftrace_page", "next"):
        groups.append(following)
    for number in sorted({0, len(groups) // 2}):
        group = groups[number]
        at, size = reader.place(group, "ftrace_page", "next")
        for value in (0, 1, WILD, group, first):
            yield kind, f"the next of group {number}", MODULE, at, size, value
        at, size = reader.place(group, "ftrace_page", "records")
        own = reader.number(at, size)
        for value in (0, WILD, own + 8, own + 24, (1 << 64) - 8, groups[-1]):
            yield kind, f"the records of group {number}", MODULE, at, size, value
        at, size = reader.place(group, "ftrace_page", "index")
        count = reader.number(at, size)
        for value in (0, count - 1, count + 1, (1 << 31) - 1, (1 << 32) - 1, 1 << 20):
            yield kind, f"the count of group {number}", MODULE, at, size, value


def _hashes(kernel: Kernel) -> Poke:
    for stop in (ONE, KPROBE):
        reader = _Reader(kernel, stop)
        kind = "the list of ops and their hashes"
        start = kernel.image.addresses[OPS]
        ops = reader.number(start)
        hashes = reader.member(ops, "ftrace_ops", "func_hash")
        table = reader.member(hashes, "ftrace_ops_hash", "filter_hash")
        buckets = reader.member(table, "ftrace_hash", "buckets")
        step = kernel.offsets.size("hlist_head")
        bucket, entry = next(
            (buckets + number * step, found)
            for number in range(1 << reader.member(table, "ftrace_hash", "size_bits"))
            if (found := reader.number(buckets + number * step))
        )
        for value in (0, 1, WILD, start, kernel.image.text.start, (1 << 64) - 1):
            yield kind, "its head", stop, start, POINTER, value
        for what, (at, size), values in (
            ("next", reader.place(ops, "ftrace_ops", "next"), (ops, WILD, 1, start)),
            ("func_hash", reader.place(ops, "ftrace_ops", "func_hash"), (0, WILD, (1 << 64) - 1)),
            ("filter_hash", reader.place(hashes, "ftrace_ops_hash", "filter_hash"), (0, WILD, (1 << 64) - 1)),
            ("notrace_hash", reader.place(hashes, "ftrace_ops_hash", "notrace_hash"), (WILD, table)),
            ("count", reader.place(table, "ftrace_hash", "count"), (0,)),
            ("size_bits", reader.place(table, "ftrace_hash", "size_bits"), (20, 21, 64, 1 << 31, (1 << 64) - 1)),
            ("buckets", reader.place(table, "ftrace_hash", "buckets"), (0, WILD, (1 << 64) - 8)),
            ("a bucket", (bucket, POINTER), (0, WILD, bucket, 1)),
            ("an entry's next", (entry, POINTER), (entry, WILD, 1)),
            ("an entry's ip", reader.place(entry, "ftrace_func_entry", "ip"), (0, WILD)),
            ("an entry's direct", reader.place(entry, "ftrace_func_entry", "direct"), (kernel.image.text.start,)),
        ):
            for value in values:
                yield kind, what, stop, at, size, value


def _module_list(kernel: Kernel) -> Poke:
    reader = _Reader(kernel, MODULE)
    kind = "the list of modules"
    head = kernel.image.addresses[MODULES]
    link = reader.number(head)
    module = link - kernel.offsets.offset("module", "list")
    memory = module + kernel.offsets.offset("module", "mem")
    for value in (0, 1, WILD, head, head + 8, (1 << 64) - 1):
        yield kind, "its head", MODULE, head, POINTER, value
    for what, (at, size), values in (
        ("next", (link, POINTER), (0, link, WILD)),
        ("base", reader.place(memory, "module_memory", "base"), (0, WILD, (1 << 64) - 1, kernel.image.text.start)),
        ("size", reader.place(memory, "module_memory", "size"), (0, 4, 1 << 25, (1 << 31) - 1, (1 << 32) - 1)),
        ("tramp", reader.place(module, "module", "arch.tramp"), (0, WILD)),
        ("stubs", reader.place(module, "module", "arch.ool_stubs"), (0, WILD)),
        ("count", reader.place(module, "module", "arch.ool_stub_count"), (0, (1 << 31) - 1, (1 << 32) - 1)),
        ("used", reader.place(module, "module", "arch.ool_stub_index"), (0, (1 << 31) - 1, (1 << 32) - 1)),
    ):
        for value in values:
            yield kind, what, MODULE, at, size, value
