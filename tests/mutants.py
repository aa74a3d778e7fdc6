"""Mutants of a real kernel: what its image and its memory would be if one thing in them were wrong.

Which places are changed is drawn from a seeded generator and dealt over all functions; what is done to a place is a
list, so that each kind of change is there. Left out by construction is what makes no difference to a kernel: a count of
a hash that stays above 0, the way to ftrace_regs_caller that no stub of a module takes, a function that grows over
nothing, the place of a stub area without stubs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, cycle
from random import Random
from typing import NamedTuple, Protocol, TypeVar

from oolong.audit import live_checks, static_checks
from oolong.audit.allocation import Stub
from oolong.audit.check import Check, CheckStatus
from oolong.audit.image import CALLERS, POINTER, RELATIVE, Function, Image
from oolong.audit.linked import Known
from oolong.audit.live_state import LIST_OPS, NOP_OPS, Live
from oolong.audit.survey import MODULES, OPS, RECORDS, Module, Ops, Record, Survey, survey
from oolong.binary import powerpc
from oolong.binary.structs import Offsets
from oolong.errors import BadOutput
from oolong.machine.memory import PAGE, Snapshot, Unreadable
from oolong.machine.stops import ALL, INIT_MEMORY, KPROBE, MODULE, OFF, ONE, QUIET

WILD = 0xC00F_FFFF_DEAD_0000
STUB_WORDS = 4


class Outcome(NamedTuple):
    """What became of a mutant: `by` names the checks that noticed it, none if it survived."""

    kind: str
    what: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """An image, the layout of its structures, its memory at each stop, and what is known of it besides."""

    image: Image
    offsets: Offsets
    snapshots: Mapping[str, Snapshot]
    known: Known


def noticed(before: Sequence[Check], after: Iterable[Check]) -> tuple[str, ...]:
    """The checks that fail, and did not, or not for the same victims as often."""
    victims = {check.name: _victims(check) for check in before}
    held = {check.name for check in before if check.status is CheckStatus.PASS}
    return tuple(
        check.name
        for check in after
        if check.status is CheckStatus.FAIL and (check.name in held or _victims(check) - victims[check.name])
    )


class Kind(Protocol):
    """A mutant of some kind."""

    @property
    def kind(self) -> str: ...


AnyMutant = TypeVar("AnyMutant", bound=Kind)


def few(mutants: Iterable[AnyMutant], draw: Random, each: int | None) -> Iterator[AnyMutant]:
    """Of each kind so many, drawn from all; None: all of them."""
    if each is None:
        yield from mutants
        return
    every = list(mutants)
    draw.shuffle(every)
    made: Counter[str] = Counter()
    for one in every:
        made[one.kind] += 1
        if made[one.kind] <= each:
            yield one


def alone(outcomes: Iterable[Outcome]) -> Counter[str]:
    """How many mutants each check alone noticed."""
    return Counter(one.by[0] for one in outcomes if len(one.by) == 1)


def _victims(check: Check) -> Counter[str]:
    return Counter(finding.who for finding in check.findings)


def told(outcomes: Iterable[Outcome]) -> str:
    """A table of how many mutants there were of each kind, and how many were caught, in markdown."""
    made: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    checks: dict[str, Counter[str]] = {}
    for one in outcomes:
        made[one.kind] += 1
        caught[one.kind] += bool(one.by)
        checks.setdefault(one.kind, Counter()).update(one.by)
    lines = ["| what is changed | mutants | caught | by |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {made[kind]} | {caught[kind]} | {', '.join(name for name, _ in checks[kind].most_common(3))} |"
        for kind in made
    ]
    return "\n".join([*lines, f"| all | {made.total()} | {caught.total()} | |"])


# --- live memory -----------------------------------------------------------------------------------------------------


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

# --- the image -------------------------------------------------------------------------------------------------------


def image_outcomes(kernel: Kernel, draw: Random) -> Iterator[Outcome]:
    """Every kind of change of the image, each looked at by all of its checks."""
    before = static_checks.image_checks(kernel.image, kernel.known)
    for kind, what, words, image in chain(
        _words_of(kernel.image, draw), _slots(kernel.image, draw), _areas(kernel.image), _functions(kernel.image, draw)
    ):
        kept = {address: image.code.word(address) or 0 for address in words}
        for address, word in words.items():
            image.code.put(address, word)
        yield Outcome(kind, what, noticed(before, static_checks.image_checks(image, kernel.known)))
        for address, word in kept.items():
            image.code.put(address, word)


Mutated = Iterator[tuple[str, str, Mapping[int, int], Image]]


def _words_of(image: Image, draw: Random) -> Mutated:
    for bit, site in enumerate(draw.sample(image.sites, 32)):
        what = f"bit {bit} at {site.ip:#x}"
        yield "image: the nop at a site", what, {site.ip: powerpc.NOP ^ 1 << bit}, image
    for name, area in image.areas.items():
        for at in (0, area.size - 4, 4 * draw.randrange(area.size // 4)) if area.size else ():
            what = f"{name}+{at:#x}"
            yield "image: a word of the stub areas", what, {area.address + at: 1 << draw.randrange(32)}, image


def _slots(image: Image, draw: Random) -> Mutated:
    kind = "image: a slot of the table of sites"
    relocations = image.relocations
    assert relocations is not None
    for what, change in (
        ("4 after", lambda value: value + 4),
        ("4 before", lambda value: value - 4),
        ("1 after", lambda value: value + 1),
        ("another's", lambda value: draw.choice([slot for slot in image.slots if slot != value])),
        ("out of text", lambda value: image.addresses[RECORDS]),
        ("wild", lambda value: WILD),
        ("zero", lambda value: 0),
    ):
        for number in draw.sample(range(len(image.stored)), 2):
            made = change(image.slots[number])
            at = image.table.start + number * POINTER
            stored = (*image.stored[:number], made, *image.stored[number + 1 :])
            moved = replace(image, stored=stored, relocations={**relocations, at: ((RELATIVE, made),)})
            yield kind, f"{number} is {what}", {}, moved
    for number in draw.sample(range(len(image.stored)), 4):
        away = draw.choice((-8, -4, 4, 8))
        stored = (*image.stored[:number], image.stored[number] + away, *image.stored[number + 1 :])
        yield kind, f"{number} alone {away:+}", {}, replace(image, stored=stored)
    kind = "image: a relocation of the table of sites"
    for number in draw.sample(range(len(image.stored)), 3):
        at = image.table.start + number * POINTER
        ((_, addend),) = relocations[at]
        for what, made in (
            ("dropped", ()),
            ("doubled", ((RELATIVE, addend), (RELATIVE, addend))),
            ("of another type", ((38, addend),)),
            ("addend 4 after", ((RELATIVE, addend + 4),)),
            ("addend 4 before", ((RELATIVE, addend - 4),)),
        ):
            others = {place: own for place, own in relocations.items() if place != at or made}
            yield kind, f"{number} {what}", {}, replace(image, relocations={**others, at: made} if made else others)
        between = {place + 4 if place == at else place: own for place, own in relocations.items()}
        yield kind, f"{number} between two slots", {}, replace(image, relocations=between)


def _areas(image: Image) -> Mutated:
    for name, area in image.areas.items():
        for away in (-1, 1) if area.stubs else (1,):
            made = area._replace(stubs=area.stubs + away)
            yield "image: a count word", f"{name} {away:+}", {}, replace(image, areas={**image.areas, name: made})
        for away in (-24, -8, 8, 24, 1 << 40):
            if area.size + away >= 0:
                made = area._replace(size=area.size + away)
                moved = replace(image, areas={**image.areas, name: made})
                yield "image: the size of a stub area", f"{name} {away:+}", {}, moved
        # where one without stubs lies is nothing to anybody, as long as it is in text
        for away in (-0x100000000, -24, -4, 4, area.size // 2 + 4, 0x100000000):
            if area.stubs:
                made = area._replace(address=area.address + away)
                moved = replace(image, areas={**image.areas, name: made})
                yield "image: the address of a stub area", f"{name} {away:+#x}", {}, moved
        others = {other: own for other, own in image.areas.items() if other != name}
        yield "image: a stub area is not there", name, {}, replace(image, areas=others)


def _functions(image: Image, draw: Random) -> Mutated:
    places = {function: place for place, function in enumerate(image.functions)}
    own = [site.function for site in image.sites if site.function]
    dead = [site.ip for site in image.sites if site.function is None]

    def changed(function: Function, *made: Function) -> Image:
        at = places[function]
        return replace(image, functions=(*image.functions[:at], *made, *image.functions[at + 1 :]))

    for number, one in enumerate(draw.sample(own, 12)):
        entry = (8 if one.local_entry == 0 else 0, 4, 16)[number % 3]
        made = one._replace(local_entry=entry)
        yield "image: a function's local entry point", f"{one.name} {entry}", {}, changed(one, made)
    for number, one in enumerate(draw.sample(own, 9)):
        size = (0, one.local_entry, max(0, one.local_entry - 4))[number % 3]
        made = one._replace(size=size)
        yield "image: a function's size", f"{one.name} {size}", {}, changed(one, made)
    for ip in draw.sample(dead, 4):
        one = max((function for function in image.functions if function.address < ip), key=lambda one: one.address)
        made = one._replace(size=ip + 4 - one.address)
        yield "image: a function's size", f"{one.name} as far as the dead code at {ip:#x}", {}, changed(one, made)
    for one in draw.sample(own, 4):
        yield "image: a function is not there", one.name, {}, changed(one)


# --- bytes of memory -------------------------------------------------------------------------------------------------


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
