"""Mutants of an object: what vmlinux.o would be if one entry, one word or one name in it were wrong.

The .S follows from the entries, as in a build whose stub pass counts what the compiler made; only where the mutant is
of the .S itself does it stay.
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from oolong.audit import linker_script, object_checks
from oolong.audit.linker_script import EXIT, FIXED, INIT, TEXT, LinkerScript
from oolong.audit.object import Entry, Object, Table
from oolong.binary import powerpc
from oolong.stubs import assembled
from oolong.stubs.assembled import Facts
from oolong.stubs.counting import ADDRESS, INITTEXT, RESERVED, TEXT_END, StubPlan
from tests.mutants.outcome import Outcome, few, noticed

TREE_SCRIPT = "object.tree-script"
LOST = "an entry lost with its slot, its nop left"
# R_PPC64_NONE, ADDR32, UADDR32, RELATIVE, ADDR16, UADDR64, REL64
OTHER_TYPES = 0, 1, 24, 22, 3, 43, 44
ODD = ".odd"
RESERVE = 2
# what is changed → why it makes no difference to a kernel
EQUIVALENT: Mapping[str, str] = {
    "the entry of code without a symbol, lost": "it is left of a weak function that another one overrides: nobody runs "
    "it, and its record is dead",
    "the entry of a function that begins with an aligned loop, lost": "nothing tells its nop from one that aligns the "
    "loop (docs/audit.md)",
    "the order of two relocations": "each says itself to which slot it applies",
    "a function without an entry, elsewhere": "no stub serves it",
}
# what is changed → the check of the image that tells it: in vmlinux.o nobody asks for the entry point
LATER: Mapping[str, str] = {"an entry at another nop of its function": "image.entry-points"}


class Mutant(NamedTuple):
    """What was changed, and the object, the counts of the .S (None: as its entries need) and the linker script then."""

    kind: str
    what: str
    object: Object
    source: Mapping[str, int] | None = None
    script: LinkerScript | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many entries, and how many words after patch sites, are changed: as many as there are, at most."""

    entries: int
    words: int


EVERY = Places(entries=1 << 20, words=1 << 20)


def outcomes(
    found: Object, draw: Random, *, places: Places = EVERY, script: LinkerScript = FIXED, each: int | None = None
) -> Iterator[Outcome]:
    """Every kind of change of an object, each looked at by all of its checks; `each`: so many of a kind, drawn."""
    before = list(object_checks.checks(found, source=needed(found), script=script))
    for one in few(mutants(found, draw, places, script), draw, each):
        source = needed(one.object) if one.source is None else one.source
        after = object_checks.checks(one.object, source=source, script=one.script or script)
        yield Outcome(f"object: {one.kind}", one.what, noticed(before, after))


def needed(found: Object) -> dict[str, int]:
    """What a .S of these entries reserves."""
    text, init = found.plan
    planned = StubPlan(text=text, inittext=init, exit=0, reserve=RESERVE)
    return {RESERVED: RESERVE, **{area: count for area, _, count in planned.areas}}


def mutants(found: Object, draw: Random, places: Places, script: LinkerScript) -> Iterator[Mutant]:
    """All of them."""
    drawn = draw.sample(found.entries, min(places.entries, len(found.entries)))
    for entry in drawn:
        yield from _lost(found, entry)
        yield from _changed(found, entry, draw)
    for entry in drawn[: places.words]:
        yield from _words(found, entry)
    yield from _tables(found)
    yield from _added(found, drawn[0])
    yield from _sections(found, script)
    yield from _source(found)


def _kind_of_loss(found: Object, entry: Entry) -> str:
    name = found.function(entry)
    if "+" in name:
        return "the entry of code without a symbol, lost"
    if name == "begins_with_a_loop":
        return "the entry of a function that begins with an aligned loop, lost"
    return LOST


def _kind_of_place(found: Object, entry: Entry, place: int, usual: str) -> str:
    """An entry that has the wrong nop is for the checks of the image."""
    moved = entry._replace(place=place)
    site = found.site(moved)
    is_nop = entry.section is not None and site is not None and site[0][site[1]] == powerpc.NOP
    taken = entry.section is not None and site is not None and site[1] * 4 in found.sites[entry.section]
    return next(iter(LATER)) if is_nop and not taken else usual


def _lost(found: Object, entry: Entry) -> Iterator[Mutant]:
    pointer = found.bits // 8
    name = found.function(entry)
    after = (
        one._replace(offset=one.offset - pointer * (one.table == entry.table and one.offset > entry.offset))
        for one in found.entries
        if one != entry
    )
    made = replace(found, entries=tuple(after), tables=_resized(found, entry.table, -pointer))
    yield Mutant(_kind_of_loss(found, entry), name, made)
    yield Mutant("a relocation lost, its slot left", name, _instead(found, entry))


def _changed(found: Object, entry: Entry, draw: Random) -> Iterator[Mutant]:
    name, pointer = found.function(entry), found.bits // 8
    for kind in OTHER_TYPES:
        if kind != ADDRESS[found.bits][1]:
            made = _instead(found, entry, entry._replace(type=kind))
            yield Mutant("a relocation of another type", f"{name}: {kind}", made)
    for away in (4, 1, 8 * pointer * len(found.entries)):
        made = _instead(found, entry, entry._replace(offset=entry.offset + away))
        yield Mutant("a relocation moved within its table", f"{name} {away:+}", made)
    for away in (-4, 4, 1, 2, 1 << 30):
        made = _instead(found, entry, entry._replace(place=entry.place + away))
        yield Mutant(_kind_of_place(found, entry, entry.place + away, "an entry moved"), f"{name} {away:+}", made)
    made = _instead(found, entry, entry._replace(section=None))
    yield Mutant("an entry for no section", name, made)
    other = draw.choice([one for one in found.entries if one != entry])
    made = _instead(found, entry, entry._replace(section=other.section, place=other.place))
    yield Mutant("an entry moved to another function", f"{name} to {found.function(other)}", made)
    data = next(number for number in range(1, len(found.names)) if number not in found.code)
    made = _instead(found, entry, entry._replace(section=data))
    yield Mutant("an entry moved to another section", f"{name} to {found.names[data]}", made)
    swap = {entry: other, other: entry}
    made = replace(found, entries=tuple(swap.get(one, one) for one in found.entries))
    yield Mutant("the order of two relocations", name, made)


def _words(found: Object, entry: Entry) -> Iterator[Mutant]:
    site, name = found.site(entry), found.function(entry)
    assert site is not None
    words, number = site
    for what, word in (("one bit", powerpc.NOP ^ 1 << number % 32), ("mflr", powerpc.MFLR_R0), ("nothing", 0)):
        yield Mutant("the nop at a site", f"{name}: {what}", _with_words(found, entry, {number: word}))
    if number + 2 < len(words) and powerpc.NOP not in words[number + 1 : number + 3]:
        for many in (1, 2):
            more = dict.fromkeys(range(number + 1, number + 1 + many), powerpc.NOP)
            yield Mutant("more than one nop", f"{name}: {many} more", _with_words(found, entry, more))


def _tables(found: Object) -> Iterator[Mutant]:
    pointer = found.bits // 8
    for table in found.tables:
        for away in (-pointer, pointer, -1, 4, 1 << 20):
            made = replace(found, tables=_resized(found, f"section {table.number}", away))
            yield Mutant("the size of a table", f"{table.number} {away:+}", made)
        made = replace(found, tables=tuple(one for one in found.tables if one != table))
        told = f"section {table.number}"
        lost = [one for one in found.entries if one.table == told]
        kinds = {_kind_of_loss(found, one) for one in lost} - {LOST}
        kind = kinds.pop() if len(kinds) == len(lost) == 1 else "a table lost with its entries"
        entries = tuple(one for one in found.entries if one.table != told)
        yield Mutant(kind, told, replace(made, entries=entries))
    yield Mutant("all tables lost", "", replace(found, tables=(), entries=()))


def _added(found: Object, near: Entry) -> Iterator[Mutant]:
    """One entry more at the end of a table, with its slot."""
    pointer = found.bits // 8
    end = max(one.offset for one in found.entries if one.table == near.table) + pointer
    assert near.section is not None
    beyond = powerpc.INSTRUCTION * len(found.code[near.section])

    def with_one(what: str, entry: Entry) -> Mutant:
        tables = _resized(found, near.table, pointer)
        kind = _kind_of_place(found, entry, entry.place, "an entry added")
        return Mutant(kind, what, replace(found, entries=(*found.entries, entry), tables=tables))

    base = near._replace(offset=end)
    for away in (4, 8):
        yield with_one(f"{away} after a site", base._replace(place=near.place + away))
    for away in (1, 2, 3):
        yield with_one(f"{away} after a site", base._replace(place=near.place + away))
    for away in (0, 4, 1 << 20):
        yield with_one(f"{away} beyond the code", base._replace(place=beyond + away))
    yield with_one("in no section", base._replace(section=None))
    for entry in found.entries[:8]:
        yield with_one(f"{found.function(entry)} again", entry._replace(table=near.table, offset=end))


def _sections(found: Object, script: LinkerScript) -> Iterator[Mutant]:
    targets = {entry.section for entry in found.entries if entry.section is not None}
    for number, name in enumerate(found.names):
        if number in targets:
            for other in (ODD, ".data", ".rodata", ".bss"):
                made = replace(found, names=(*found.names[:number], other, *found.names[number + 1 :]))
                yield Mutant("code in a section that goes elsewhere", f"{name}: {other}", made)
            where = {found.names[section]: script.place_of(found.names[section]) for section in targets}
            for place in (TEXT, INIT, ".data", None):
                if place not in (where[name], TEXT if where[name] == EXIT else where[name]):
                    other_script = _script_with({**where, name: place})
                    what = f"{name}: {place}"
                    yield Mutant("a section in another place of the script", what, found, script=other_script)
    idle = [number for number in found.code if number not in targets]
    for number in idle[:2]:
        made = replace(found, names=(*found.names[:number], ODD, *found.names[number + 1 :]))
        yield Mutant("a function without an entry, elsewhere", found.names[number], made)


def _script_with(places: Mapping[str, str | None]) -> LinkerScript:
    """A linker script that puts sections into text, init text, exit text, or an output section of their own."""

    def input_of(place: str) -> str:
        return f"*({' '.join(name for name, own in places.items() if own == place) or '.none'})"

    elsewhere = {place for place in places.values() if place not in (None, TEXT, INIT, EXIT)}
    text = f"""SECTIONS {{
        .text : {{ _stext = .; {input_of(TEXT)} _etext = .; }}
        .init.text : {{ _sinittext = .; {input_of(INIT)} _einittext = .; }}
        .exit.text : {{ __exittext_begin = .; {input_of(EXIT)} __exittext_end = .; }}
        {" ".join(f"{place} : {{ {input_of(place)} }}" for place in elsewhere if place)}
    }}"""
    return linker_script.parse(text, told="a script of another kernel")


def _source(found: Object) -> Iterator[Mutant]:
    right = needed(found)
    for area in (TEXT_END, INITTEXT):
        for away in (-1, 1, 1 << 10):
            source = {**right, area: right[area] + away}
            yield Mutant("a count of the .S", f"{area} {away:+}", found, source)
        yield Mutant("an area that the .S lacks", area, found, {name: n for name, n in right.items() if name != area})


def _instead(found: Object, entry: Entry, *others: Entry) -> Object:
    """Other entries, or none, in the place of one."""
    place = found.entries.index(entry)
    return replace(found, entries=(*found.entries[:place], *others, *found.entries[place + 1 :]))


def _resized(found: Object, told: str, away: int) -> tuple[Table, ...]:
    return tuple(table._replace(size=table.size + away * (f"section {table.number}" == told)) for table in found.tables)


def _with_words(found: Object, entry: Entry, words: Mapping[int, int]) -> Object:
    assert entry.section is not None
    own = array("I", found.code[entry.section])
    for number, word in words.items():
        own[number] = word
    return replace(found, code={**found.code, entry.section: own})


def script_outcomes(facts: Facts) -> Iterator[Outcome]:
    """What the .S of the tree's script assembles to, each fact of it in turn lost, or otherwise than by oolong."""
    kind = "object: what the tree's script makes"
    for key, said in facts.items():
        others = {one: own for one, own in facts.items() if one != key}
        for what, theirs in (("lost", others), ("otherwise", {**others, key: f"{said} and more"})):
            told = assembled.differences(facts, theirs)
            yield Outcome(kind, f"{what}: {' '.join(key)}", (TREE_SCRIPT,) if told else ())
    told = assembled.differences(facts, {**facts, ("another", "the symbol"): "8 bytes"})
    yield Outcome(kind, "one more symbol", (TREE_SCRIPT,) if told else ())
