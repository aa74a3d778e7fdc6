"""The checks of vmlinux.o: its entries of patch sites, a relocation each, and the stubs that they add up to (pure)."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from oolong.audit.check import Answer, Check, Finding, finding, none_of, skipped
from oolong.audit.linker_script import EXIT, FIXED, INIT, TEXT, LinkerScript
from oolong.audit.object import Entry, Object
from oolong.audit.orphans import OWN_NOP, aligns_a_loop
from oolong.audit.registry import Checks, Needs
from oolong.binary import powerpc
from oolong.errors import Kind
from oolong.stubs import counting
from oolong.stubs.counting import ADDRESS, ENTRIES, StubPlan

# where the linker script may put what is counted for an area
SERVED_BY = {INIT: (INIT,), TEXT: (TEXT, EXIT)}


@dataclass(frozen=True)
class Compiled:
    """An object; the counts that the .S in use sets, by the symbol of the area, None where it is not there; and the
    linker script."""

    object: Object
    source: Mapping[str, int] | None = None
    script: LinkerScript = FIXED

    def at(self, entry: Entry, what: str) -> Finding:
        """A finding about an entry, where it points at."""
        section = None if entry.section is None else self.object.names[entry.section]
        return finding(self.object.function(entry), what, entry.place, section)


OBJECT = Checks[Compiled](needs=Needs.OBJECT, kind=Kind.STUB_AUDIT, about_stubs=True)


def checks(
    found: Object, *, source: Mapping[str, int] | None = None, script: LinkerScript | None = None
) -> Iterator[Check]:
    """All checks of an object, each once."""
    return OBJECT.run(Compiled(found, source, script or FIXED))


@OBJECT.check(
    "object.entries",
    title="a relocation for each entry",
    holds="each section of entries has as many relocations as entries",
    failure="an entry points nowhere, or is counted twice",
)
def entries(compiled: Compiled) -> Answer:
    found = compiled.object
    pointer = found.bits // 8
    there = Counter(entry.table for entry in found.entries)
    wrong = [
        finding(
            f"section {table.number}",
            f"room for {table.size / pointer:g} entries, {there[f'section {table.number}']} relocations",
        )
        for table in found.tables
        if table.size != pointer * there[f"section {table.number}"]
    ]
    if not found.tables:
        wrong = [finding(ENTRIES, "there is no such section")]
    held = f"{len(found.entries)} entries in {len(found.tables)} sections, a relocation each"
    return none_of(wrong, held=held)


@OBJECT.check(
    "object.relocation-types",
    title="relocations of one type",
    holds="all relocations of entries are R_PPC64_ADDR64",
    failure="the script's pattern does not count it; the linker may not fill it",
)
def relocation_types(compiled: Compiled) -> Answer:
    """Every relocation puts a whole address there."""
    found = compiled.object
    name, number = ADDRESS[found.bits]
    wrong = (compiled.at(entry, f"type {entry.type}") for entry in found.entries if entry.type != number)
    return none_of(wrong, held=f"all {len(found.entries)} are {name}")


@OBJECT.check(
    "object.offsets",
    title="relocations without a gap",
    holds="the relocations of a section apply to +0, +8, +16, …",
    failure="a slot of the table will be 0, which the kernel passes over",
)
def offsets(compiled: Compiled) -> Answer:
    """The relocations of a section apply to its first entry, its second, and so on, each once."""
    found = compiled.object
    pointer = found.bits // 8
    by_table: dict[str, list[int]] = {}
    for entry in found.entries:
        by_table.setdefault(entry.table, []).append(entry.offset)
    wrong = [
        finding(table, f"relocation {number} applies to +{offset:#x}, not +{number * pointer:#x}", offset, ENTRIES)
        for table, own in by_table.items()
        for number, offset in enumerate(sorted(own))
        if offset != number * pointer
    ]
    return none_of(wrong, held=f"0, {pointer}, … in each of {len(by_table)} sections")


@OBJECT.check(
    "object.targets",
    title="entries point at code",
    holds="each entry points at an instruction in code",
    failure="the kernel would patch data",
)
def targets(compiled: Compiled) -> Answer:
    found = compiled.object
    wrong = (compiled.at(entry, "points at no code") for entry in found.entries if found.word(entry) is None)
    return none_of(wrong, held=f"{len(found.entries)} places in code")


@OBJECT.check(
    "object.unique",
    title="one entry for a place",
    holds="no two entries point at one place",
    failure="two records, two stubs for one site",
)
def unique(compiled: Compiled) -> Answer:
    """No two entries for one place: clang's at a function's global and at its local entry point mean one."""
    found = compiled.object
    meant = [(entry.section, found.place(entry)) for entry in found.entries]
    places = Counter(meant)
    wrong = []
    for entry, place in zip(found.entries, meant, strict=True):
        if (count := places[place]) > 1:
            places[place] = 1
            wrong.append(compiled.at(entry, f"{count} entries"))
    return none_of(wrong, held=f"{len(places)} places, all different")


@OBJECT.check(
    "object.nops",
    title="a nop at each patch site",
    holds="a nop is at each place (clang's entries point at the global entry point: at its local one)",
    failure="the kernel refuses the site at boot, and ftrace is off",
)
def nops(compiled: Compiled) -> Answer:
    """At each place stands the nop of -fpatchable-function-entry=1."""
    found = compiled.object
    wrong = (
        compiled.at(entry, f"{word:08x}: not a nop")
        for entry in found.entries
        if (word := found.word(entry)) is not None and word != powerpc.NOP
    )
    return none_of(wrong, held=f"a nop at each of {len(found.entries)} places")


@OBJECT.check(
    "object.one-nop",
    title="one nop at each patch site",
    holds="the function comes after the nop, not a second one; jump labels, CPU features and nops that align a loop "
    "are told apart",
    failure="`-fpatchable-function-entry=2`: a wasted instruction in each function, and a site that older layouts "
    "expect",
)
def one_nop(compiled: Compiled) -> Answer:
    """After the nop comes the function, not a second one: all that the kernel makes room for is one instruction.

    A jump label or a feature of the CPU may begin a function with a nop of its own. And where a function begins with a
    loop the compiler may align that with nops, so those that end at an aligned place to which the code after them jumps
    back are not counted, whoever put them there.
    """
    found = compiled.object
    places: dict[int | None, list[int]] = {}
    for entry in sorted(found.entries, key=lambda entry: entry.place):
        places.setdefault(entry.section, []).append(entry.place)
    wrong = []
    for entry in found.entries:
        words, number = found.site(entry) or ((), 0)
        second = number + 1
        if words[number : second + 1].count(powerpc.NOP) < 2:
            continue
        if entry.section is None or (entry.section, second * powerpc.INSTRUCTION) in found.patched:
            continue
        own = places[entry.section]
        after = bisect_right(own, entry.place)
        end = own[after] // powerpc.INSTRUCTION if after < len(own) else len(words)
        if not aligns_a_loop(words, number, end):
            wrong.append(compiled.at(entry, "more than one nop"))
    return none_of(wrong, held=f"no second nop at any of {len(found.entries)} places")


@OBJECT.check(
    "object.no-orphan",
    title="no patch site without an entry",
    holds="each function with a nop at its local entry point has an entry; nops that the kernel patches for other "
    "reasons, that align a loop, or that a function in assembly has for itself are told apart",
    failure="an entry was lost before vmlinux.o: nothing counts the function, and nobody can trace it",
)
def no_orphan(compiled: Compiled) -> Answer:
    """No function has room for a patch and no entry. All else that is counted comes from the entries: one that is lost
    with its slot is missed by nobody."""
    found = compiled.object
    wrong = [one for section in found.functions for one in _orphans(found, section)]
    number = sum(len(own) for own in found.functions.values())
    return none_of(wrong, held=f"none of {number} functions")


def _orphans(found: Object, section: int) -> Iterator[Finding]:
    words, sites = found.code[section], found.sites[section]
    told = set()
    for function in found.functions[section]:
        at = function.start + function.local_entry
        number = at // powerpc.INSTRUCTION
        if number >= len(words) or words[number] != powerpc.NOP or at in sites or at in told:
            continue
        told.add(at)
        own = (section, at) in found.patched or function.name in OWN_NOP
        if not own and not aligns_a_loop(words, number, min(function.end // powerpc.INSTRUCTION, len(words))):
            what = "a nop at its local entry point, and no entry"
            yield finding(function.name, what, at, found.names[section])


@OBJECT.check(
    "object.sections",
    title="sections that are placed",
    holds="the linker script puts each target section where its sites are counted: into text or exit text, or into "
    "init text (the tree's own script; where it is not at hand, that of Linux 7.3.4)",
    failure="another area must serve it than the one that has its stubs, or none does",
)
def sections(compiled: Compiled) -> Answer:
    """The section that an entry points into, not the name of one that a tool prints, says whose stub it needs, and the
    linker script says where that section goes."""
    found, script = compiled.object, compiled.script
    by_name = Counter(found.names[entry.section] for entry in found.entries if entry.section is not None)
    places = {name: script.place_of(name) for name in by_name}
    wrong = [
        finding(name, f"{count} entries are counted for {_counted(name)}, {_placed(places[name])}", section=name)
        for name, count in by_name.items()
        if places[name] not in SERVED_BY[counting.area_of(name)]
    ]
    text, init = found.plan
    leaving = sum(count for name, count in by_name.items() if places[name] == EXIT)
    placed = f"{text} in text, {leaving} of them in exit text, {init} in init text"
    return none_of(wrong, held=f"{placed}, by {script.told}")


def _counted(name: str) -> str:
    return "init text" if counting.area_of(name) == INIT else "text"


def _placed(place: str | None) -> str:
    if place is None:
        return "and the linker script places no such section"
    return f"and the linker script puts them into {'init text' if place == INIT else place}"


@OBJECT.check(
    "object.stub-source",
    title="stubs of the .S",
    holds="the .S that is linked reserves what the entries need",
    failure="too few: `ftrace bug` at boot; too many: wasted memory",
)
def stub_source(compiled: Compiled) -> Answer:
    """The .S that the kernel is linked with reserves what the entries need: in init text exactly as many stubs as
    there are sites, since nothing else serves them."""
    found = compiled.object
    source = compiled.source
    if source is None:
        return skipped("the .S is not there")
    text, init = found.plan
    reserve = source.get(counting.RESERVED, 0)
    needed = StubPlan(text=text, inittext=init, exit=0, reserve=reserve).areas
    wrong = [
        finding(area, f"{source.get(area, 'no')} stubs, {count} needed")
        for area, _, count in needed
        if source.get(area) != count
    ]
    held = ", ".join(f"{area} {count}" for area, _, count in needed)
    return none_of(wrong, held=held)
