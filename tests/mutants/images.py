"""Mutants of a small image: one for each way in which one check alone can tell that it is wrong.

Where the build would count the mutant itself, as an entry that was lost before vmlinux.o, the counts follow it.
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from oolong.audit import static_checks
from oolong.audit.area_checks import TRAMPOLINE_REACH
from oolong.audit.image import CALLERS, POINTER, RELATIVE, TRAMPOLINES, Code, Function, Image, Range, Site
from oolong.audit.linked import Known
from oolong.audit.rules import KPROBE_WINDOW
from oolong.binary import powerpc
from oolong.stubs.counting import INITTEXT, NUM_RESERVE, RESERVED, TEXT_END
from tests.mutants.outcome import Outcome, noticed

FAR = 0x4000000
# what is changed → why it makes no difference to a kernel
EQUIVALENT: Mapping[str, str] = {
    "image: a symbol long before dead code": "it is too far away for the kernel: the record is dead, as before"
}
POST_LINK = "CHKHEAD", "CHKREL", "CHKFTRC"
BLR = 0x4E800020


class Mutant(NamedTuple):
    """What was changed, the image, and what is known of it besides."""

    kind: str
    what: str
    image: Image
    known: Known


def outcomes(image: Image, known: Known) -> Iterator[Outcome]:
    """Every kind of change of an image in which all is small and nothing is in reach by chance."""
    before = static_checks.image_checks(image, known)
    for one in mutants(image, known):
        yield Outcome(f"image: {one.kind}", one.what, noticed(before, static_checks.image_checks(one.image, one.known)))


def lost(image: Image, known: Known, sites: Iterator[Site]) -> Iterator[Mutant]:
    """An entry that is missing, with its nop left: lost by the link, or before vmlinux.o, where nobody counts it."""
    for site in sites:
        made = without(image, site)
        # a dead record is missed by nobody if no count has it
        if site.function is None:
            yield Mutant("an entry of dead code missing, lost by the link", f"{site.ip:#x}", made, known)
            continue
        yield Mutant("an entry missing, lost by the link", site.function.name, made, known)
        assert known.plan is not None
        init = image.area_of(site.ip) == "inittext"
        plan = replace(known.plan, text=known.plan.text - (not init), inittext=known.plan.inittext - init)
        untraced = None if known.untraced is None else known.untraced | {site.function.name}
        smaller = [(INITTEXT, init), (TEXT_END, plan.text_end != known.plan.text_end)]
        areas = dict(image.areas)
        for name, is_smaller in smaller:
            areas[name] = areas[name]._replace(
                stubs=areas[name].stubs - is_smaller, size=areas[name].size - is_smaller * image.stub_size
            )
        yield Mutant(
            "an entry missing, lost before vmlinux.o",
            site.function.name,
            replace(made, areas=areas),
            replace(known, plan=plan, untraced=untraced),
        )


def without(image: Image, site: Site) -> Image:
    """The table without a slot, all that come after it moved up."""
    number = image.slots.index(site.recorded)
    return with_slots(image, *image.slots[:number], *image.slots[number + 1 :])


def with_slots(image: Image, *slots: int) -> Image:
    """The table with other slots, each with its relocation if the kernel has such."""
    start = image.table.start
    places = (start + number * POINTER for number in range(len(slots)))
    relocations = {at: ((RELATIVE, slot),) for at, slot in zip(places, slots, strict=True)}
    return replace(
        image,
        stored=slots,
        table=Range(start, start + POINTER * len(slots)),
        relocations=None if image.relocations is None else relocations,
    )


def copied(code: Code) -> Code:
    """The same words, to be changed."""
    return Code([(start, array("I", own)) for start, own in code._segments])


def with_words(image: Image, words: Mapping[int, int]) -> Image:
    """The same code but for some words."""
    made = copied(image.code)
    for at, word in words.items():
        made.put(at, word)
    return replace(image, code=made)


def mutants(image: Image, known: Known) -> Iterator[Mutant]:
    """All of them."""
    yield from lost(image, known, iter(image.sites))
    yield from _slots(image, known)
    yield from _words(image, known)
    yield from _functions(image, known)
    yield from _counts(image, known)
    yield from _reach(image, known)


def _slots(image: Image, known: Known) -> Iterator[Mutant]:
    assert known.plan is not None
    more = replace(known, plan=replace(known.plan, text=known.plan.text + 1))
    for number, outside in enumerate((image.table.start, image.text.end, image.text.end + 64, 1 << 40, 8)):
        yield Mutant("an entry out of text", f"{number}: {outside:#x}", with_slots(image, *image.slots, outside), more)
    for site in image.sites:
        kind = "dead code" if site.function is None else "a function"
        for count in (1, 2, 3):
            text = known.plan.text + count * (image.area_of(site.ip) == "text")
            plan = replace(known.plan, text=text, inittext=known.plan.total + count - text)
            made = with_slots(image, *image.slots, *[site.recorded] * count)
            yield Mutant(f"the entry of {kind} again", f"{site.ip:#x}, {count} times", made, replace(known, plan=plan))
        if site.function is not None:
            inner = with_slots(with_words(image, {site.ip + 8: powerpc.NOP}), *image.slots, site.ip + 8)
            told = f"{site.function.name}+8"
            plan = replace(known.plan, text=known.plan.text + 1)
            if image.area_of(site.ip) == "text":
                yield Mutant("an entry at another nop of a function", told, inner, replace(known, plan=plan))
    for number in range(len(image.slots)):
        slots = list(image.slots)
        slots[number] = 0
        yield Mutant("a slot that is zero", f"{number}", with_slots(image, *slots), known)
    if image.relocations is None:
        return
    for number, slot in enumerate(image.slots):
        at = image.table.start + number * POINTER
        others = {place: own for place, own in image.relocations.items() if place != at}
        for what, own in (
            ("lost", ()),
            ("doubled", ((RELATIVE, slot), (RELATIVE, slot))),
            ("of another type", ((38, slot),)),
        ):
            made = replace(image, relocations={**others, at: own} if own else others)
            yield Mutant("a relocation", f"{number} {what}", made, known)


def _words(image: Image, known: Known) -> Iterator[Mutant]:
    for site in image.sites:
        for bit in (0, 1, 16, 26, 31):
            made = with_words(image, {site.ip: powerpc.NOP ^ 1 << bit})
            yield Mutant("a bit of the nop at a site", f"{site.ip:#x}, {bit}", made, known)
    for name, area in image.areas.items():
        for at in range(0, area.size, 20):
            made = with_words(image, {area.address + at // 4 * 4: 1 << at % 32})
            yield Mutant("a word of a stub area", f"{name}+{at:#x}", made, known)


def _functions(image: Image, known: Known) -> Iterator[Mutant]:
    for site in image.sites:
        one = site.function
        if one is None:
            for away in range(4, 2 * KPROBE_WINDOW, 4):
                kind = (
                    "a symbol shortly before dead code" if away <= KPROBE_WINDOW else "a symbol long before dead code"
                )
                symbols = tuple(sorted((*image.symbols, (site.ip - away, "label"))))
                yield Mutant(kind, f"{away}", replace(image, symbols=symbols), known)
            named = image.name_of(site.ip)
            assert named is not None
            for limit in range(named[1], named[1] + 20, 4):
                made = replace(known, max_offset=limit)
                yield Mutant("a limit of the kernel that takes dead code for alive", f"{limit}", image, made)
            continue
        place = image.functions.index(one)
        for entry in (one.local_entry ^ 8, one.local_entry + 4, 16):
            changed = one._replace(local_entry=entry)
            functions = (*image.functions[:place], changed, *image.functions[place + 1 :])
            yield Mutant("a local entry point", f"{one.name} {entry}", replace(image, functions=functions), known)
        for away in range(4, KPROBE_WINDOW + 1, 4):
            short = Function(one.address - away, 4, 0, "short")
            if (
                image.function_at(short.address) is None
                and image.code.word(short.address) is not None
                and site.ip - short.address <= KPROBE_WINDOW
            ):
                functions = tuple(sorted((*image.functions, short)))
                before = replace(with_words(image, {short.address: BLR}), functions=functions)
                yield Mutant("a short function before another", f"{one.name}-{away}", before, known)


def _counts(image: Image, known: Known) -> Iterator[Mutant]:
    assert known.plan is not None
    assert known.config is not None
    plan, reserve = known.plan, image.areas[RESERVED].stubs
    for away in (1, 2, 3):
        for text, init in ((away, 0), (0, away), (-away, 0)):
            made = replace(known, plan=replace(plan, text=plan.text + text, inittext=plan.inittext + init))
            yield Mutant("what was counted in vmlinux.o", f"{text:+} {init:+}", image, made)
    for other in (0, 1, reserve + 1, reserve + 2, 1 << 15):
        if other != reserve:
            made = replace(known, config={**known.config, NUM_RESERVE: str(other)})
            yield Mutant("the reserve of the configuration", f"{other}", image, made)
    for size in (4, 8, 12, 20, 22):
        areas = {name: area._replace(size=area.stubs * size) for name, area in image.areas.items()}
        yield Mutant("the size of all stubs", f"{size}", replace(image, areas=areas), known)
    for number in range(len(POST_LINK)):
        for ran in combinations(POST_LINK, number):
            made = replace(known, post_link=frozenset(ran))
            # a kernel that is not relocatable has no relocations to check
            if set(ran) >= {"CHKHEAD", "CHKFTRC"} and image.relocations is None:
                continue
            yield Mutant("the checks of the build", " ".join(ran) or "none", image, made)


def _reach(image: Image, known: Known) -> Iterator[Mutant]:
    """Stubs and trampolines far away, in text that is as large."""
    near, tramp = image.addresses[CALLERS[0]], image.addresses[TRAMPOLINES[0]]
    for what, addresses in (
        ("ftrace_caller far away", {CALLERS[0]: near + FAR}),
        ("ftrace_caller just out of reach", {CALLERS[0]: image.text.start + FAR // 2}),
        ("the trampoline far away", {TRAMPOLINES[0]: tramp + 2 * FAR}),
        ("the trampoline just out of reach", {TRAMPOLINES[0]: near + TRAMPOLINE_REACH}),
    ):
        yield Mutant("trampolines", what, replace(image, addresses={**image.addresses, **addresses}), known)
    for name in (CALLERS[0], TRAMPOLINES[0]):
        addresses = {one: at for one, at in image.addresses.items() if one != name}
        yield Mutant("trampolines", f"no {name}", replace(image, addresses=addresses), known)
    for away in (FAR, FAR + 0x20, FAR + 0x1000, FAR + 0x10000, FAR * 2):
        for name in (RESERVED, TEXT_END):
            area = image.areas[name]
            if area.stubs:
                moved = area._replace(address=area.address + away)
                room = Code([*image.code._segments, (moved.address, array("I", bytes(moved.size)))])
                text = Range(image.text.start, moved.address + moved.size)
                made = replace(image, areas={**image.areas, name: moved}, code=room, text=text)
                yield Mutant("a stub area out of reach", f"{name} {away:+#x}", made, known)


def lost_outcomes(image: Image, known: Known) -> Iterator[Outcome]:
    """Of a kernel without stubs, where nobody counts: an entry that is missing, what makes room for it left."""
    before = static_checks.image_checks(image, known)
    left = "two nops" if image.two_nops else "call"
    for site in image.sites:
        # a dead record is missed by nobody
        if site.function is not None:
            after = static_checks.image_checks(without(image, site), known)
            yield Outcome(f"image: an entry missing, its {left} left", site.function.name, noticed(before, after))


def call_outcomes(image: Image, known: Known) -> Iterator[Outcome]:
    """Of a kernel that calls _mcount, where a function may have a second call: its own entry is the only one."""
    before = static_checks.image_checks(image, known)
    for site in image.sites:
        if site.function is None:
            continue
        for away in (4, 8, 12):
            at = site.ip + away
            call = powerpc.branch(at, image.addresses["_mcount"], link=True)
            made = with_slots(with_words(image, {at: call}), *image.slots, at)
            what = f"{site.function.name}+{at - site.function.address}"
            after = static_checks.image_checks(made, known)
            yield Outcome("image: a second call of _mcount", what, noticed(before, after))
