"""Every mutant of small objects, images, guests and reports is caught by a named check, and every check catches some
that no other check of its kind notices."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from random import Random

import pytest

from oolong.audit import catalogue, object
from oolong.audit import image as vmlinux
from oolong.audit.check import CheckStatus
from oolong.audit.image import Image
from oolong.audit.linked import Known
from oolong.audit.static_checks import image_checks
from oolong.machine.stops import OFF, QUIET
from oolong.stubs import assembled
from oolong.stubs.counting import NUM_RESERVE, RESERVED, StubPlan
from tests.mutants import guests, images, objects, reports
from tests.mutants.equivalent import EQUIVALENT, LATER
from tests.mutants.outcome import Outcome, alone, told
from tests.reports import listing_image, live_and_told
from tests.support import TEST_DATA

AUDIT, OBJECTS = TEST_DATA / "audit", TEST_DATA / "objects"
SEED = 7
AT_LEAST, ALONE = 100, 5
ORDERS = {"le": True, "be": False}
IMAGES = "relocatable", "reserved-8-text-end-0", "healthy"
WITHOUT_STUBS = "mprofile-kernel", "two-nops"
CONFIG = {"PPC64": "y", "FUNCTION_TRACER": "y", "KPROBES_ON_FTRACE": "y", "PPC_FTRACE_OUT_OF_LINE": "y"}
PROBED = "with_toc_too"
# checks that cannot be the only one of their kind to notice a fault
NEVER_ALONE: Mapping[str, str] = {
    "image.post-link-scripts": "it runs scripts of the kernel's tree, which a mutant without a tree has not "
    "(tests/tasks/test_graph.py changes the scripts)",
    "live.restored": "it compares two stops; what differs at one of them is wrong there, and another check says that",
}


def is_whole(one: Outcome) -> bool:
    """Whether a guest with all of its stops has no other check that notices: two compare or count the stops."""
    compared = one.what.startswith((f"at {OFF}:", f"at {QUIET}:"))
    return not compared and not (one.kind.startswith("memory:") and one.by == ("live.readable",))


def of_objects() -> Iterator[Outcome]:
    draw = Random(SEED)
    for order in ORDERS:
        for name in ("object-healthy", "object-own-nops", "functions-1", "functions-clang", "image-healthy"):
            yield from objects.outcomes(object.read(AUDIT / f"{name}-{order}.o"), draw)
        yield from objects.outcomes(object.read(OBJECTS / f"nops-{order}-1.o"), draw)
        yield from objects.script_outcomes(assembled.read(AUDIT / f"image-healthy-{order}.o"))


def of_images() -> Iterator[Outcome]:
    for order in ORDERS:
        for name in IMAGES:
            image = vmlinux.read(AUDIT / f"image-{name}-{order}")
            yield from images.outcomes(image, known(image))
        calling, padded = (vmlinux.read(AUDIT / f"image-{name}-{order}") for name in WITHOUT_STUBS)
        yield from images.call_outcomes(calling, Known(config={}))
        for image in (calling, padded):
            yield from images.lost_outcomes(image, Known(config={}))


def known(image: Image) -> Known:
    """What is known of a kernel with which nothing is wrong."""
    init = sum(image.inittext.holds(slot) for slot in image.slots)
    reserve = image.areas[RESERVED].stubs
    relocatable = "n" if image.relocations is None else "y"
    return Known(
        plan=StubPlan(text=len(image.slots) - init, inittext=init, exit=0, reserve=reserve),
        config={**CONFIG, "RELOCATABLE": relocatable, NUM_RESERVE: str(reserve)},
        max_offset=16,
        post_link=frozenset(images.POST_LINK),
    )


def of_memory() -> Iterator[Outcome]:
    for little in ORDERS.values():
        yield from guests.outcomes(little, SEED)


def of_reports() -> Iterator[Outcome]:
    draw = Random(SEED)
    for little in ORDERS.values():
        yield from reports.outcomes(*live_and_told(little), draw, most=100)
        for dead in (True, False):
            yield from reports.agreeing(listing_image(little, dead=dead), PROBED)


CLASSES = {"object": of_objects, "image": of_images, "live": of_memory, "guest": of_reports}


@cache
def outcomes(kind: str) -> tuple[Outcome, ...]:
    return tuple(CLASSES[kind]())


@pytest.mark.parametrize("kind", CLASSES)
def test_every_mutant_is_caught_by_a_named_check(kind: str) -> None:
    seen = outcomes(kind)
    print(f"\n{told(seen)}")
    assert [(one.kind, one.what) for one in seen if not one.by and one.kind not in (*EQUIVALENT, *LATER)] == []
    assert {name for one in seen for name in one.by} <= {name for name in catalogue.entries() if name.startswith(kind)}
    assert sum(bool(one.by) for one in seen) >= AT_LEAST


def test_what_makes_no_difference_makes_none_and_is_made() -> None:
    print("\n| class | mutants | caught | caught in the image alone | no difference |\n|---|---|---|---|---|")
    for kind in CLASSES:
        caught = sum(bool(one.by) for one in outcomes(kind))
        later, none = (sum(one.kind in kinds and not one.by for one in outcomes(kind)) for kinds in (LATER, EQUIVALENT))
        print(f"| {kind} | {len(outcomes(kind))} | {caught} | {later} | {none} |")
    every = [one for kind in CLASSES for one in outcomes(kind)]
    assert [one for one in every if one.by and one.kind in EQUIVALENT] == []
    assert EQUIVALENT.keys() | LATER.keys() <= {one.kind for one in every}


def test_an_entry_at_another_nop_is_caught_in_the_image() -> None:
    (later,) = LATER.values()
    seen = [one for one in outcomes("image") if one.kind == "image: an entry at another nop of a function"]
    assert len(seen) >= ALONE
    assert [one for one in seen if later not in one.by] == []


@pytest.mark.parametrize("left", ["call", "two nops"])
def test_an_entry_that_is_lost_where_nobody_counts_is_caught_by_one_check_alone(left: str) -> None:
    seen = [one for one in outcomes("image") if one.kind == f"image: an entry missing, its {left} left"]
    assert len(seen) >= ALONE
    assert {one.by for one in seen} == {("image.no-orphan",)}


def test_each_check_alone_catches_some() -> None:
    by_check = Counter[str]()
    for kind in CLASSES:
        by_check.update(alone(filter(is_whole, outcomes(kind))))
    names = [name for name in catalogue.entries() if name.partition(".")[0] in CLASSES]
    rows = (f"| `{name}` | {by_check[name]} | {NEVER_ALONE.get(name, '')} |" for name in names)
    print("\n".join(("\n| check | it alone | why not |", "|---|---|---|", *rows)))
    assert {name for name in names if by_check[name] < ALONE} == NEVER_ALONE.keys()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", IMAGES)
def test_nothing_is_wrong_with_the_images_that_are_changed(name: str, order: str) -> None:
    image = vmlinux.read(AUDIT / f"image-{name}-{order}")
    assert [check.name for check in image_checks(image, known(image)) if check.status is CheckStatus.FAIL] == []
