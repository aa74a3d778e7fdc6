"""Mutants of small guests that were made by hand: all that a real kernel's memory has, and those that are
wrong in one point alone, where the rest of memory agrees with it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from random import Random

from oolong.audit import live_checks
from oolong.audit.check import Finding, finding
from oolong.audit.image import Image
from oolong.audit.linked import Known
from oolong.audit.live_state import Live
from oolong.audit.survey import Record, Survey
from oolong.binary import powerpc
from oolong.machine.stops import ALL, INIT_MEMORY, KPROBE, MODULE, OFF, ONE, QUIET
from tests import guests as by_hand
from tests.guests import DISABLED, OFFSETS, Guest, Loaded, Tracer, ip_of
from tests.mutants import kernel_bytes, kernel_memory
from tests.mutants.images import copied
from tests.mutants.kernel import Kernel
from tests.mutants.outcome import Outcome, noticed

STOPS = INIT_MEMORY, OFF, ONE, ALL, MODULE, KPROBE, QUIET


def guests_of(image: Image) -> list[Guest]:
    """A guest at each stop: one function traced, all, a module, a kprobe's registers."""
    one = frozenset({ip_of(image, "plain_one")})
    return [
        Guest(image, INIT_MEMORY),
        Guest(image, OFF),
        Guest(image, ONE, [Tracer(traced=one)]),
        Guest(image, ALL, [Tracer()]),
        Guest(image, MODULE, [Tracer()], [Loaded(gone=0)]),
        Guest(image, KPROBE, [Tracer(traced=one, regs=True)]),
        Guest(image, QUIET),
    ]


def outcomes(little: bool, seed: int) -> Iterator[Outcome]:
    """All mutants of the guests of one byte order."""
    image = by_hand.image_of(little, dead=True)
    made = guests_of(image)
    snapshots = {one.stop: one.snapshot() for one in made}
    kernel = Kernel(image=image, offsets=OFFSETS, snapshots=snapshots, known=Known())
    yield from kernel_memory.live_outcomes(kernel, Random(seed))
    yield from kernel_bytes.raw_outcomes(kernel)
    seen = replace(by_hand.live_of(*made), due=STOPS)
    before = list(live_checks.checks(seen))
    for kind, what, other in (*_stops(seen), *_silence(seen), *_records(seen), *_swapped(seen)):
        yield Outcome(kind, what, noticed(before, live_checks.checks(other)))
    died = replace(seen, due=None)
    before = list(live_checks.checks(died))
    for what, other in _unreadable(died):
        yield Outcome(
            "a stop that cannot be read, of a guest that died", what, noticed(before, live_checks.checks(other))
        )


Mutants = Iterator[tuple[str, str, Live]]


def _with(seen: Live, place: int, *others: Survey) -> Live:
    return replace(seen, surveys=[*seen.surveys[:place], *others, *seen.surveys[place + 1 :]])


def _stops(seen: Live) -> Mutants:
    for place, survey in enumerate(seen.surveys):
        yield "a stop that was not made", survey.name, _with(seen, place)


def _unreadable(seen: Live) -> Iterator[tuple[str, Live]]:
    for place, survey in enumerate(seen.surveys):
        wrong: Sequence[Finding] = [finding(survey.name, "a pointer leads nowhere")]
        yield survey.name, replace(_with(seen, place), unreadable=wrong)


def _silence(seen: Live) -> Mutants:
    """Somebody traces, and all else agrees with that, where nobody is to trace."""
    image = seen.image
    ips = [site.ip for site in image.sites if site.function and image.area_of(site.ip) == "text"]
    for count in (1, 2):
        for traced in combinations(ips, count):
            told = ", ".join(map(image.told, traced))
            busy = Guest(image, INIT_MEMORY, [Tracer(traced=frozenset(traced))]).survey()
            yield "traced where nobody traces", f"{INIT_MEMORY}: {told}", _with(seen, 0, busy)
            both = seen
            for name in (OFF, QUIET):
                busy = Guest(image, name, [Tracer(traced=frozenset(traced))]).survey()
                both = _with(both, STOPS.index(name), busy)
            yield "traced where nobody traces", f"{OFF} and {QUIET}: {told}", both


def _records(seen: Live) -> Mutants:
    """A record that is taken for dead, or is not, where nothing else goes by it."""
    for place, survey in enumerate(seen.surveys):
        if survey.name == ALL or survey.name == MODULE:
            continue
        for record in survey.records:
            if record.flags in (0, DISABLED) and seen.image.area_of(record.ip) == "text":
                if survey.name == INIT_MEMORY and record.flags:
                    continue
                made = record._replace(flags=record.flags ^ DISABLED)
                kind = "a record taken for dead" if made.flags else "a dead record taken for alive"
                yield kind, f"{survey.name}: {record.ip:#x}", _with(seen, place, _replaced(survey, {record: made}))


def _swapped(seen: Live) -> Mutants:
    """Two records that are off have each other's stub, the words of which are right for where they are."""
    image = seen.image
    for place, survey in enumerate(seen.surveys):
        idle = [record for record in survey.records if not record.flags and image.area_of(record.ip) == "text"]
        if survey.name in (OFF, QUIET):
            # what was there before is not there after: another check says that, too
            continue
        for one, other in combinations(idle, 2):
            made = {one: one._replace(stub=other.stub), other: other._replace(stub=one.stub)}
            changed = _replaced(replace(survey, code=copied(survey.code)), made)
            for record in made.values():
                at = record.stub + 3 * powerpc.INSTRUCTION
                changed.code.put(at, powerpc.branch(at, record.ip + powerpc.INSTRUCTION))
            yield (
                "two records with each other's stub",
                f"{survey.name}: {one.ip:#x} {other.ip:#x}",
                _with(seen, place, changed),
            )


def _replaced(survey: Survey, others: dict[Record, Record]) -> Survey:
    return replace(survey, records=tuple(others.get(record, record) for record in survey.records))
