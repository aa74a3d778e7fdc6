"""Mutants of a real kernel's image: words, slots, areas and functions."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from random import Random

from oolong.audit import static_checks
from oolong.audit.image import POINTER, RELATIVE, Function, Image
from oolong.audit.survey import RECORDS
from oolong.binary import powerpc
from tests.mutants.kernel import WILD, Kernel
from tests.mutants.outcome import Outcome, noticed


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
