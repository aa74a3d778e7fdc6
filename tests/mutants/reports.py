"""Mutants of what a guest says: its report with one line, one number or one section otherwise than in its memory.

Which lines are changed is drawn from a seeded generator, in each section anew. The last part makes guests whose report
agrees with their memory, and in which that is wrong.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from random import Random
from typing import NamedTuple

from oolong.audit import guest_checks
from oolong.audit.guest_report import (
    AVAILABLE,
    CHECKSUM,
    COUNT,
    ENABLED,
    INVALID,
    LETTERS,
    LISTED,
    PROBES,
    TOTAL,
    TOUCHED,
    TRACED,
    WITH_ADDRESSES,
    Told,
)
from oolong.audit.guest_state import Heard
from oolong.audit.image import Function, Image
from oolong.audit.live_state import Live
from oolong.audit.survey import Record, Survey
from oolong.machine.stops import ALL, INIT_MEMORY, KPROBE, MODULE, OFF, ONE, QUIET
from tests import guests
from tests.guests import DISABLED, Guest, Loaded, Tracer, ip_of
from tests.mutants.outcome import Outcome, few, noticed

Sections = Mapping[str, Sequence[str]]
CHECKSUM_BITS = 32
# what is changed → why it makes no difference
EQUIVALENT: Mapping[str, str] = {
    "guest: the order of two lines": "the lists are compared by what is in them; where all functions are traced, by "
    "their order too",
    "guest: a comment": "it says how many pages there are, how long ftrace took, or whom an ops calls",
    "guest: a section that nobody asked for": "nothing is due of it",
}
# another word of a probe that was to be put on a function
NEVER = "!ENOENT"


class Mutant(NamedTuple):
    """What was changed, and what the guest then says."""

    kind: str
    what: str
    allocated: int | None
    sections: Sections


def outcomes(live: Live, said: Told, draw: Random, *, most: int, each: int | None = None) -> Iterator[Outcome]:
    """Every kind of change of a report, in `most` lines of each section, each looked at by all checks of a guest; of
    `each` kind as many, drawn from all."""
    before = list(guest_checks.checks(live, said))
    for one in few(mutants(said, draw, most), draw, each):
        after = guest_checks.checks(live, Told(one.allocated, one.sections, said.kprobes_on_ftrace))
        yield Outcome(f"guest: {one.kind}", one.what, noticed(before, after))


def mutants(said: Told, draw: Random, most: int) -> Iterator[Mutant]:
    """All of them."""
    assert said.allocated is not None
    for allocated in (None, 0, said.allocated - 1, said.allocated + 1, -said.allocated, said.allocated << 1):
        yield Mutant("the count of records at boot", f"{allocated}", allocated, said.sections)
    for name, lines in said.sections.items():
        for kind, what, others in chain(_whole(name, lines), _lines(name, lines, draw, most)):
            sections = {**{one: own for one, own in said.sections.items() if one != name}, **others}
            yield Mutant(kind, f"{name}: {what}", said.allocated, sections)


# (kind, what, the sections in place of one)
Changed = Iterator[tuple[str, str, Sections]]


def _whole(name: str, lines: Sequence[str]) -> Changed:
    yield "a section missing", "all", {}
    yield "a section of another name", "renamed", {f"{name}2": lines}
    yield "a section that nobody asked for", "beside it", {name: lines, f"{name}2": lines}
    if lines and name != f"{ENABLED}@{OFF}":
        yield "a section without lines", "all", {name: []}
        if not name.startswith((TOTAL, PROBES)):
            yield "a section twice", "all", {name: [*lines, *lines]}
    if not name.startswith((TOTAL, PROBES)):
        for more in ("another (many) R", "c000000000001000", "another one of them", "count many", "(1)"):
            yield "a line that belongs to no list", more, {name: [*lines, more]}


def _lines(name: str, lines: Sequence[str], draw: Random, most: int) -> Changed:
    numbers = range(len(lines))
    for number in sorted(draw.sample(numbers, min(most, len(lines)))):
        line = lines[number]
        for kind, *others in _of_line(name, line):
            yield kind, f"{line!r} → {others}", {name: [*lines[:number], *others, *lines[number + 1 :]]}
    if len(lines) > 1:
        one, other = sorted(draw.sample(numbers, 2))
        if not any(CHECKSUM.fullmatch(lines[at]) for at in (one, other)) and lines[one] != lines[other]:
            swapped = list(lines)
            swapped[one], swapped[other] = lines[other], lines[one]
            yield "the order of two lines", f"{one}, {other}", {name: swapped}


def _of_line(name: str, line: str) -> Iterator[tuple[str, ...]]:
    """(kind, the lines in its place)."""
    base = name.partition("@")[0]
    if line.startswith(("\t", "#")):
        yield ("a comment",)
        return
    if base == TOTAL:
        # the second line says how long ftrace took
        yield from _total(line) if line[0].isdigit() else [("a comment",)]
        return
    yield (f"a line of {base} lost",)
    if base == PROBES:
        yield from _probe(line)
        return
    if count := COUNT.fullmatch(line):
        for number in (int(count[1]) + 1, int(count[1]) - 1, 0):
            yield "the count of all that are traced", f"count {number}"
    elif block := CHECKSUM.fullmatch(line):
        for number in (int(block[1]) + 1, int(block[1]) - 1, 0):
            yield "the number of a block", f"block {number} {block[2]}"
        for bit in range(0, CHECKSUM_BITS, 3):
            yield "the checksum of a block", f"block {block[1]} {int(block[2], 16) ^ 1 << bit:x}"
        yield "a block twice", line, line
    else:
        yield f"a line of {base} twice", line, line
        yield from _function(base, line)


def _total(line: str) -> Iterator[tuple[str, ...]]:
    found = re.match(r"\d+", line)
    assert found is not None
    number, rest = int(found[0]), line[found.end() :]
    for other in (number + 1, number - 1, number ^ 4, number * 10, 0):
        yield "the count of records", f"{other}{rest}"
    yield "the count of records", rest.strip()
    yield "a comment", f"{number} pages:9"


def _probe(line: str) -> Iterator[tuple[str, ...]]:
    asked, _, landed = line.partition(" ")
    for other in ("-", NEVER, f"{landed}_too", "kernel_init", ""):
        if other != landed:
            yield "where a kprobe landed", f"{asked} {other}".strip()
    yield "a kprobe on another function", f"{asked}_too {landed}"


def _function(base: str, line: str) -> Iterator[tuple[str, ...]]:
    kind = f"a name in {base}"
    if base == WITH_ADDRESSES:
        found = LISTED.fullmatch(line)
        assert found is not None
        address, rest = int(found["address"], 16), line[found.end("address") :]
        for away in (4, -4, 1 << 20):
            yield "an address of a function", f"{address + away:x}{rest}"
        yield kind, f"{address:x} another"
        yield kind, f"{line}2"
    elif base == AVAILABLE:
        for other in ("another", f"{line}2", line.upper(), f"{line} [elsewhere]"):
            if other != line:
                yield kind, other
    elif line.startswith(INVALID):
        yield kind, f"{line}2"
    elif (found := TRACED.match(line)) is not None:
        own, users, flags = found["name"], int(found["users"]), found["flags"]
        after, place = line[found.end("users") :], line[found.end("name") : found.start("users")]
        # of a module's functions only the module is known
        if found["module"] is None:
            yield kind, f"another{place}{users}{after}"
            yield kind, f"{own}2{place}{users}{after}"
            yield kind, f"{own} [elsewhere] ({users}{after}"
        else:
            yield kind, f"{own} [elsewhere] ({users}{after}"
            yield kind, f"{own} ({users}{after}"
        for count in (users + 1, users + 2, users - 1 if users else 9):
            yield f"users in {base}", f"{own}{place}{count}{after}"
        letters = "".join(re.findall(f"[{''.join(LETTERS)}]", flags))
        for letter in LETTERS:
            has = letter in letters
            made = "".join(one for one in LETTERS if (one in letters) != (one == letter))
            what = "lost" if has else "more"
            yield f"a letter in {base}, {what}", f"{own}{place}{users}) {made}"


# --- guests that say what is so -------------------------------------------------------------------------------------


def truthful(live: Live, probes: Mapping[str, str]) -> Told:
    """What a guest says whose lists are those of its memory; `probes` is where its kprobes landed."""
    heard = Heard(live, Told(None, {}, True))
    sections: dict[str, list[str]] = {}
    for survey in heard.stops:
        busy = [record for record in survey.records if record.flags & live.flags.enabled]
        sections[f"{TOTAL}@{survey.name}"] = [f"{len(survey.records)} pages:1 groups: 1"]
        sections[f"{ENABLED}@{survey.name}"] = _traced(heard, survey, busy)
    off, quiet = heard.at(OFF), heard.at(QUIET)
    assert off is not None
    assert quiet is not None
    names = [heard.available(off, record)[0] for record in off.records]
    sections[AVAILABLE] = names
    sections[WITH_ADDRESSES] = [f"{one.ip:x} {name}" for one, name in zip(off.records, names, strict=True)]
    own = [record for record in quiet.records if record.flags & guests.TOUCHED]
    sections[f"{TOUCHED}@{QUIET}"] = _traced(heard, quiet, own)
    sections[PROBES] = [f"{asked} {landed}" for asked, landed in probes.items()]
    return Told(len(live.image.sites), sections, True)


def _traced(heard: Heard, survey: Survey, records: Iterable[Record]) -> list[str]:
    lines = []
    for one in heard.traced(survey, records):
        module = f"of_it [{one.module}]" if one.module else one.name
        lines.append(one.name if one.name.startswith(INVALID) else f"{module} ({one.users}) {one.letters}")
    return lines


def listed(image: Image, probed: Collection[str], *, disabled: bool = True) -> Live:
    """Guests at all stops with a report; `disabled` says whether they have found out which records are dead."""
    every = [site.ip for site in image.sites]
    one = frozenset({ip_of(image, "plain_one")})
    on = frozenset(ip_of(image, name) for name in probed)
    seen = guests.live_of(
        Guest(image, INIT_MEMORY),
        Guest(image, OFF),
        Guest(image, ONE, [Tracer(traced=one)], touched=every),
        Guest(image, ALL, [Tracer()], touched=every),
        Guest(image, MODULE, [Tracer()], [Loaded()], touched=every),
        Guest(image, KPROBE, [Tracer(traced=on, regs=True)], touched=every),
        Guest(image, QUIET, touched=every),
    )
    surveys = [
        replace(one, records=tuple(record._replace(flags=record.flags & ~DISABLED) for record in one.records))
        for one in seen.surveys
    ]
    return replace(seen, surveys=seen.surveys if disabled else surveys, due=())


def agreeing(image: Image, asked: str) -> Iterator[Outcome]:
    """Kernels that do what is wrong, and whose lists say so; `asked` is the function that is to have a kprobe."""
    probes = {asked: asked}
    healthy = listed(image, [asked])
    before = list(guest_checks.checks(healthy, truthful(healthy, probes)))

    def came(kind: str, what: str, live: Live, said: Mapping[str, str] = probes) -> Outcome:
        return Outcome(f"guest: {kind}", what, noticed(before, guest_checks.checks(live, truthful(live, said))))

    others = [one for site in image.sites if (one := site.function) and image.area_of(site.ip) == "text"]
    names = [one.name for one in others if one.name != asked]
    for count in (1, 2):
        for more in combinations(names, count):
            live = listed(image, [asked, *more])
            yield came("a kprobe where nobody asked for one", ", ".join(more), live)
            without = _overridden(image, more)
            if "plain_one" not in more:
                live = listed(without, [asked], disabled=False)
                yield came("dead code listed as a function", ", ".join(more), live)
    for one in others:
        for away in range(4, 17, 4):
            short = Function(one.address - away, 4, 0, "short")
            if away + one.local_entry <= 16 and image.function_at(short.address) is None:
                made = replace(image, functions=tuple(sorted((*image.functions, short))))
                live = listed(made, {asked, one.name})
                yield came("a kprobe on a neighbour", f"{away} before {one.name}", live, {**probes, "short": one.name})


def _overridden(image: Image, names: Collection[str]) -> Image:
    """The same with functions that others override: no symbol covers them."""
    return replace(
        image,
        functions=tuple(one for one in image.functions if one.name not in names),
        symbols=tuple(one for one in image.symbols if one[1] not in names),
    )
