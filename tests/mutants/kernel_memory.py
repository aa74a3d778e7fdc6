"""Mutants of a real kernel: what would be found in its memory if one thing in it were wrong.

Which places are changed is drawn from a seeded generator and dealt over all functions; what is done to a place is a
list, so that each kind of change is there. Left out by construction is what makes no difference to a kernel: a count of
a hash that stays above 0, the way to ftrace_regs_caller that no stub of a module takes, a function that grows over
nothing, the place of a stub area without stubs.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, cycle
from random import Random
from typing import NamedTuple

from oolong.audit import live_checks
from oolong.audit.allocation import Stub
from oolong.audit.check import Check
from oolong.audit.image import CALLERS, POINTER
from oolong.audit.live_state import LIST_OPS, NOP_OPS, Live
from oolong.audit.survey import Module, Ops, Record, Survey, survey
from oolong.binary import powerpc
from oolong.machine.stops import ALL, INIT_MEMORY, KPROBE, MODULE, OFF, ONE, QUIET
from tests.mutants.kernel import WILD, Kernel
from tests.mutants.outcome import Outcome, noticed

STUB_WORDS = 4


class Changed(NamedTuple):
    """A mutant of what was found at a stop: other words of code by address, and other structures."""

    kind: str
    what: str
    words: Mapping[int, int] = {}
    survey: Survey | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One stop of a kernel, the records of it that are to be changed, in an order that is drawn, and the generator."""

    live: Live
    survey: Survey
    records: Iterator[Record]
    draw: Random = field(repr=False)

    @property
    def size(self) -> int:
        return self.live.image.stub_size

    def word(self, address: int) -> int:
        found = self.survey.code.word(address)
        assert found is not None
        return found

    def stub(self, record: Record) -> tuple[int, ...]:
        found = self.survey.code.words(record.stub, STUB_WORDS)
        assert found is not None
        return tuple(found)

    def pointer(self, at: int, value: int) -> dict[int, int]:
        """The words of a pointer."""
        high, low = value >> 32 & 0xFFFFFFFF, value & 0xFFFFFFFF
        first, second = (low, high) if self.live.image.little else (high, low)
        return {at: first, at + 4: second}

    def replaced(self, record: Record, *others: Record) -> Survey:
        """The stop with other records, or none, in the place of one."""
        place = self.survey.records.index(record)
        records = (*self.survey.records[:place], *others, *self.survey.records[place + 1 :])
        return replace(self.survey, records=records)

    def other(self, record: Record) -> Record:
        """Another record whose stub is near."""
        place = self.survey.records.index(record)
        near = [one for one in self.survey.records[max(0, place - 50) : place + 50] if one != record]
        return self.draw.choice(near)


def live_outcomes(kernel: Kernel, draw: Random) -> Iterator[Outcome]:
    """Every kind of change at every stop, each looked at by all live checks of that stop."""
    subjects = list(_subjects(kernel, draw))
    mutants = chain(
        ((subject, one) for one, subject in zip(_bits(cycle(subjects)), cycle(subjects), strict=False)),
        ((subject, one) for subject in subjects for make in EACH for one in make(subject)),
        ((subject, one) for subject in subjects if subject.survey.ops for one in _ops(subject)),
        ((subject, one) for subject in subjects if subject.survey.modules for one in _modules(subject)),
    )
    before: dict[int, list[Check]] = {}
    for subject, mutant in mutants:
        if id(subject) not in before:
            before[id(subject)] = list(live_checks.checks(subject.live))
        yield Outcome(
            mutant.kind, f"at {subject.survey.name}: {mutant.what}", _live(subject, mutant, before[id(subject)])
        )


def _live(subject: Subject, mutant: Changed, before: Sequence[Check]) -> tuple[str, ...]:
    seat = subject.live.surveys
    assert isinstance(seat, list)
    code = subject.survey.code
    kept = {address: subject.word(address) for address in mutant.words}
    for address, word in mutant.words.items():
        code.put(address, word)
    seat[0] = mutant.survey or subject.survey
    try:
        return noticed(before, live_checks.checks(subject.live))
    finally:
        seat[0] = subject.survey
        for address, word in kept.items():
            code.put(address, word)


def _subjects(kernel: Kernel, draw: Random) -> Iterator[Subject]:
    image = kernel.image
    chosen: Sequence[tuple[str, Callable[[Survey, Record], bool]]] = (
        (INIT_MEMORY, lambda found, record: image.area_of(record.ip) == "inittext"),
        (OFF, lambda found, record: True),
        (ONE, lambda found, record: bool(record.flags >> 31)),
        (ALL, lambda found, record: True),
        (MODULE, lambda found, record: found.module_at(record.ip) is not None),
        (KPROBE, lambda found, record: bool(record.flags >> 31)),
        (QUIET, lambda found, record: True),
    )
    surveys = {name: survey(name, kernel.snapshots[name], image, kernel.offsets) for name, _ in chosen}
    for name, fits in chosen:
        found = surveys[name]
        pool = [record for record in found.records if fits(found, record)]
        draw.shuffle(pool)
        yield Subject(live=Live(image, kernel.offsets, [found], due=()), survey=found, records=cycle(pool), draw=draw)


def _bits(subjects: Iterator[Subject]) -> Iterator[Changed]:
    """Each bit of each word of a stub, of its pointer and of a site, once over all stops."""
    for number in range(STUB_WORDS * 32):
        subject, (word, bit) = next(subjects), divmod(number, 32)
        record = next(subject.records)
        at = record.stub + 4 * word
        what = f"bit {bit} of word {word} of the stub of {record.ip:#x}"
        yield Changed("a bit of a stub's word", what, {at: subject.word(at) ^ 1 << bit})
    for bit in range(32):
        subject = next(subjects)
        record = next(subject.records)
        flipped = subject.word(record.ip) ^ 1 << bit
        yield Changed("a bit of a site's word", f"bit {bit} of the site {record.ip:#x}", {record.ip: flipped})


def _stubs(subject: Subject) -> Iterator[Changed]:
    kind = "a word of a stub"
    callers = [subject.live.image.addresses[name] for name in CALLERS]
    for what, made in (
        ("mflr and mtlr swapped", lambda stub, words: {stub.code: words[2], stub.code + 8: words[0]}),
        ("back to the site", lambda stub, _: {stub.back: powerpc.branch(stub.back, stub.ip)}),
        ("back after the next word", lambda stub, _: {stub.back: powerpc.branch(stub.back, stub.ip + 8)}),
        ("no link bit", lambda stub, words: {stub.call: words[1] & ~1}),
        ("absolute", lambda stub, words: {stub.call: words[1] | 2}),
        ("back absolute", lambda stub, words: {stub.back: words[3] | 2}),
    ):
        record = next(subject.records)
        stub = Stub(record.ip, "", 0, record.stub)
        yield Changed(kind, f"{what}, of {record.ip:#x}", made(stub, subject.stub(record)))
    record = next(subject.records)
    other = subject.other(record)
    stub = Stub(record.ip, "", 0, record.stub)
    if powerpc.reaches(stub.back, other.ip + 4):
        back = {stub.back: powerpc.branch(stub.back, other.ip + 4)}
        yield Changed(kind, f"{record.ip:#x} goes back into {other.ip:#x}", back)
    both = {
        first.stub - subject.size + 16 + at: subject.word(second.stub - subject.size + 16 + at)
        for first, second in ((record, other), (other, record))
        for at in range(0, subject.size, 4)
    }
    yield Changed("two stubs swapped", f"those of {record.ip:#x} and {other.ip:#x}", both)
    record = next(subject.records)
    stub = Stub(record.ip, "", 0, record.stub)
    there = powerpc.branch_target(subject.word(stub.call), stub.call)
    module = subject.survey.module_at(record.ip)
    ways = [module.tramp, module.tramp_regs] if module else callers
    target = next(way for way in ways if way != there)
    yield Changed(
        kind, f"{record.ip:#x} calls the other ftrace_caller", {stub.call: powerpc.branch(stub.call, target, link=True)}
    )


def _pointers(subject: Subject) -> Iterator[Changed]:
    addresses = subject.live.image.addresses
    pool = {addresses[NOP_OPS], addresses[LIST_OPS], *(ops.address for ops in subject.survey.ops)}
    for what in ("zero", "another ops", "8 after", "8 before", "halves swapped"):
        record = next(subject.records)
        at = record.stub - POINTER
        words = subject.word(at), subject.word(at + 4)
        value = words[0] | words[1] << 32 if subject.live.image.little else words[0] << 32 | words[1]
        made = {
            "zero": 0,
            "another ops": subject.draw.choice(sorted(pool - {value})),
            "8 after": value + 8,
            "8 before": value - 8,
            "halves swapped": value >> 32 | (value & 0xFFFFFFFF) << 32,
        }[what]
        yield Changed("a stub's pointer to its ops", f"{what}, of {record.ip:#x}", subject.pointer(at, made))


def _sites(subject: Subject) -> Iterator[Changed]:
    for what in ("toggled", "to the next stub", "into its stub", "with a link"):
        record = next(subject.records)
        word = subject.word(record.ip)
        away = {"to the next stub": subject.size, "into its stub": 4}.get(what, 0)
        made = powerpc.branch(record.ip, record.stub + away, link=what == "with a link")
        if what == "toggled" and word != powerpc.NOP:
            made = powerpc.NOP
        yield Changed("a site's word", f"{what}, of {record.ip:#x}", {record.ip: made})


def _unused(subject: Subject) -> Iterator[Changed]:
    """Words of stubs that nobody has, spread over the reserve."""
    used = Counter(stub.area for stub in subject.live.allocation.stubs.values())
    for name, area in subject.live.image.areas.items():
        first = area.address + used[name] * subject.size
        free = (area.address + area.size - first) // 4
        for at in [0, free - 1, subject.draw.randrange(free)] if free else []:
            word = subject.draw.choice((1, powerpc.NOP, subject.draw.getrandbits(32) | 1))
            yield Changed("a word of a stub that nobody has", f"{name}, word {at}", {first + 4 * at: word})


def _records(subject: Subject) -> Iterator[Changed]:
    for what, change in (
        ("4 after", lambda record: 4),
        ("4 before", lambda record: -4),
        ("another's", lambda record: subject.other(record).ip - record.ip),
        ("zero", lambda record: -record.ip),
        ("wild", lambda record: WILD - record.ip),
    ):
        record = next(subject.records)
        made = record._replace(ip=record.ip + change(record))
        yield Changed("a record's ip", f"{what}, of {record.ip:#x}", survey=subject.replaced(record, made))
    for what, change in (
        ("the next", lambda record: subject.size),
        ("the one before", lambda record: -subject.size),
        ("another's", lambda record: subject.other(record).stub - record.stub),
        ("zero", lambda record: -record.stub),
        ("8 after", lambda record: 8),
    ):
        record = next(subject.records)
        made = record._replace(stub=record.stub + change(record))
        yield Changed("a record's stub", f"{what}, of {record.ip:#x}", survey=subject.replaced(record, made))
    flags = subject.live.flags
    for name in flags.__slots__:
        record = next(subject.records)
        bit = 1 if name == "users" else getattr(flags, name)
        made = record._replace(flags=record.flags ^ bit)
        yield Changed("a record's flags", f"{name}, of {record.ip:#x}", survey=subject.replaced(record, made))
    record = next(subject.records)
    other = subject.other(record)
    swap = {record: other, other: record}
    swapped = tuple(swap.get(one, one) for one in subject.survey.records)
    yield Changed(
        "records", f"{record.ip:#x} and {other.ip:#x} swapped", survey=replace(subject.survey, records=swapped)
    )
    record = next(subject.records)
    yield Changed("records", f"{record.ip:#x} dropped", survey=subject.replaced(record))
    record = next(subject.records)
    yield Changed("records", f"{record.ip:#x} doubled", survey=subject.replaced(record, record, record))


def _ops(subject: Subject) -> Iterator[Changed]:
    ops = subject.survey.ops[0]
    traced = next(record for record in subject.survey.records if record.flags >> 31)
    quiet = next(site.ip for site in subject.live.image.sites if not ops.takes(site.ip) or not ops.traced)

    def changed(what: str, *made: Ops) -> Changed:
        return Changed("a registered ops", what, survey=replace(subject.survey, ops=made))

    yield changed("dropped")
    yield changed("doubled", ops, ops)
    yield changed("at another address", ops._replace(address=ops.address + 8))
    yield changed("spares one", ops._replace(spared=frozenset({traced.ip})))
    yield changed("traces one more", ops._replace(traced=ops.traced | {quiet}))
    yield changed("has a direct call", ops._replace(direct={traced.ip: subject.live.image.text.start}))


def _modules(subject: Subject) -> Iterator[Changed]:
    module = subject.survey.modules[0]

    def changed(what: str, *made: Module) -> Changed:
        return Changed("a module", what, survey=replace(subject.survey, modules=made))

    yield changed("dropped")
    yield changed("its text begins later", module._replace(text=module.text._replace(start=module.text.start + 0x40)))
    yield changed("its text is elsewhere", module._replace(text=module.text._replace(start=WILD, end=WILD + 64)))
    for away in (-subject.size, 8, subject.size):
        yield changed(f"its stubs {away:+}", module._replace(stubs=module.stubs + away))
    for away in (-1, 1, 1 << 40):
        yield changed(f"{away:+} stubs", module._replace(stub_count=module.stub_count + away))
        yield changed(f"{away:+} stubs used", module._replace(stubs_used=module.stubs_used + away))
        both = module._replace(stub_count=module.stub_count + away, stubs_used=module.stubs_used + away)
        yield changed(f"{away:+} stubs, all used", both)
    yield changed("its way to ftrace_caller", module._replace(tramp=module.tramp + 4))


EACH = _stubs, _pointers, _sites, _unused, _records
