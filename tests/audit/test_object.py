"""The checks of vmlinux.o, on small objects with one fault each: the check that names it, and its victim."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from oolong.audit import image, image_checks, object, object_checks
from oolong.audit.check import Check, CheckStatus, skipped
from oolong.audit.linked import Linked
from oolong.audit.object_checks import OBJECT, Compiled
from oolong.audit.patched import NOWHERE, Places
from oolong.errors import BadInput
from oolong.stubs import counting
from oolong.stubs.counting import INITTEXT, RESERVED, TEXT_END, StubPlan
from tests.support import TEST_DATA

DATA = TEST_DATA
AUDIT, OBJECTS = DATA / "audit", DATA / "objects"
FAIL, PASS, SKIP = CheckStatus.FAIL, CheckStatus.PASS, CheckStatus.SKIP
NAMES = tuple(entry.name for entry in OBJECT.entries)
# where the entries for .text are in every object of tests/data/audit/object.S
TABLE = "section 7"


def wrong(checks: Iterable[Check]) -> dict[str, tuple[str, ...]]:
    """The checks that do not hold, each with its victims."""
    return {check.name: check.victims for check in checks if check.status == FAIL}


def source(*, text_end: int, inittext: int, reserved: int = 0) -> dict[str, int]:
    return {RESERVED: reserved, TEXT_END: text_end, INITTEXT: inittext}


FAULTS = {
    "no-relocation": {"object.entries": (TABLE,)},
    "no-table": {
        "object.entries": ("__patchable_function_entries",),
        "object.no-orphan": ("one", "two", "three", "setup", "leave", "construct"),
    },
    "two-relocations": {"object.entries": (TABLE,), "object.offsets": (TABLE,)},
    "gap": {"object.offsets": (TABLE,)},
    "relative": {"object.relocation-types": ("three",)},
    "short": {"object.relocation-types": ("three",)},
    "unaligned": {"object.relocation-types": ("three",)},
    "twice": {"object.unique": ("one",)},
    "no-nop": {"object.nops": ("two",)},
    "global-entry": {"object.nops": ("global_entry",), "object.no-orphan": ("global_entry",)},
    "between": {"object.targets": ("three",)},
    "beyond": {"object.targets": (".text+0x1000",)},
    "undefined": {"object.targets": (f"{TABLE}+0x18",)},
    "data": {"object.targets": (".data+0x0",), "object.sections": (".data",)},
    "unplaced": {"object.sections": (".odd",)},
    "orphan": {"object.no-orphan": ("two",)},
}


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_its_check_with_its_victim(fault: str, order: str) -> None:
    found = object.read(AUDIT / f"object-{fault}-{order}.o")
    assert wrong(object_checks.checks(found)) == FAULTS[fault]


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize(
    ("name", "text", "init"),
    [
        ("object-healthy", 4, 2),
        ("object-no-init", 4, 0),
        ("object-own-nops", 4, 2),
        ("functions-1", 3, 1),
        ("functions-clang", 3, 1),
        ("image-healthy", 5, 2),
    ],
)
def test_a_healthy_object_passes_every_check(name: str, text: int, init: int, order: str) -> None:
    """Assembled, from gcc and from clang, which records global entry points; with init text and without."""
    found = object.read(AUDIT / f"{name}-{order}.o")
    assert found.plan == (text, init)
    done = list(object_checks.checks(found, source=source(text_end=text, inittext=init)))
    assert {check.name: check.status for check in done} == dict.fromkeys(NAMES, PASS)


def test_a_32_bit_object_passes_every_check() -> None:
    found = object.read(OBJECTS / "be32.o")
    assert (wrong(object_checks.checks(found)), found.plan) == ({}, (4, 2))


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("option", ["2", "3-2"])
def test_another_number_of_nops_is_noticed(option: str, order: str) -> None:
    """-fpatchable-function-entry=2, and =3,2 with the address before the function."""
    found = object.read(AUDIT / f"functions-{option}-{order}.o")
    told = wrong(object_checks.checks(found))
    assert told.pop("object.one-nop") == tuple(found.function(entry) for entry in found.entries)
    # at the function itself is a nop that no entry points at
    before = {"object.no-orphan": ("leaf", "reads", "calls", "setup")} if option == "3-2" else {}
    assert told == before


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize(
    ("name", "text", "init", "miscounted"),
    [
        # a search for .init.text and .text.startup in what objdump prints finds two more
        ("64-sections", 6, 4, (4, 6)),
        # a relocation against a function of init text, by whose name objdump prints it
        ("64-by-function", 4, 3, (5, 2)),
    ],
)
def test_the_section_decides_not_the_name_that_is_printed(
    name: str, text: int, init: int, miscounted: tuple[int, int], order: str
) -> None:
    found = object.read(OBJECTS / f"{order}{name}.o")
    assert found.plan == (text, init)
    theirs = source(text_end=miscounted[0], inittext=miscounted[1])
    assert wrong(object_checks.checks(found, source=theirs))["object.stub-source"] == (TEXT_END, INITTEXT)


@pytest.mark.parametrize(
    ("counts", "victims"),
    [
        (source(text_end=4, inittext=2), ()),
        (source(text_end=1, inittext=2, reserved=3), ()),
        (source(text_end=0, inittext=2, reserved=4), ()),
        (source(text_end=0, inittext=2, reserved=5), ()),
        (source(text_end=4, inittext=1), (INITTEXT,)),
        (source(text_end=4, inittext=3), (INITTEXT,)),
        (source(text_end=3, inittext=2), (TEXT_END,)),
        (source(text_end=5, inittext=2), (TEXT_END,)),
        (source(text_end=1, inittext=2, reserved=4), (TEXT_END,)),
        ({RESERVED: 4, TEXT_END: 0}, (INITTEXT,)),
        ({}, (TEXT_END, INITTEXT)),
    ],
)
def test_the_source_in_use_reserves_what_is_needed(counts: dict[str, int], victims: tuple[str, ...]) -> None:
    done = wrong(object_checks.checks(object.read(AUDIT / "object-healthy-le.o"), source=counts))
    assert done == ({"object.stub-source": victims} if victims else {})


def test_no_init_text_needs_no_stub() -> None:
    found = object.read(AUDIT / "object-no-init-le.o")
    text = counting.render(StubPlan(text=4, inittext=0, exit=1, reserve=1), counting.TEMPLATE.read_text())
    assert wrong(object_checks.checks(found, source={**counting.counts_in(text), RESERVED: 1})) == {}


def test_without_the_source_its_check_is_skipped() -> None:
    done = object_checks.checks(object.read(AUDIT / "object-healthy-le.o"))
    assert [check.name for check in done if check.status == SKIP] == ["object.stub-source"]


def test_an_object_without_stubs_is_skipped_whole() -> None:
    subject = Compiled(object.read(AUDIT / "object-no-table-le.o"))
    done = list(OBJECT.run(subject, without_stubs=skipped("off")))
    assert {check.name: (check.status, check.evidence) for check in done} == dict.fromkeys(NAMES, (SKIP, "off"))


@pytest.mark.parametrize("name", ["functions-1", "functions-clang", "nops-le-1", "nops-le-clang-1", "image-healthy"])
def test_each_entry_that_is_lost_with_its_slot_is_missed_by_one_check(name: str) -> None:
    """All else starts from the entries. Where a loop is aligned right after the nop nothing tells the two apart; the
    code of an overridden weak function has no symbol, and is never run."""
    folder = OBJECTS if name.startswith("nops") else AUDIT
    found = object.read(folder / (f"{name}.o" if name.startswith("nops") else f"{name}-le.o"))
    for lost in found.entries:
        victim = found.function(lost)
        entries = tuple(
            entry._replace(offset=entry.offset - 8 * (entry.table == lost.table and entry.offset > lost.offset))
            for entry in found.entries
            if entry != lost
        )
        tables = tuple(
            table._replace(size=table.size - 8 * (f"section {table.number}" == lost.table)) for table in found.tables
        )
        caught = wrong(object_checks.checks(replace(found, entries=entries, tables=tables)))
        nothing_lost = victim == "begins_with_a_loop" or "+" in victim
        assert caught == ({} if nothing_lost else {"object.no-orphan": (victim,)})


@pytest.mark.parametrize("order", ["le", "be"])
def test_entries_at_both_entry_points_of_a_function_mean_one_site(order: str) -> None:
    """clang's kernel makes one patch site of the two, with two records."""
    found = object.read(AUDIT / f"functions-clang-{order}.o")
    (reads,) = [entry for entry in found.entries if found.function(entry) == "reads"]
    again = reads._replace(place=reads.place + 8)
    made = wrong(object_checks.checks(replace(found, entries=(*found.entries, again))))
    assert made["object.unique"] == ("reads",)


@pytest.mark.parametrize("order", ["le", "be"])
def test_only_the_tables_tell_other_nops_apart(order: str) -> None:
    """A jump label, an alternative for a feature, a barrier: what patches them is not in the instructions."""
    found = object.read(AUDIT / f"object-own-nops-{order}.o")
    kernel = image.read(AUDIT / f"image-own-nops-{order}")
    victims = "branches", "featured", "flushes"
    assert wrong(object_checks.checks(replace(found, patched=NOWHERE))) == {"object.no-orphan": victims}
    assert image_checks.no_orphan(Linked(replace(kernel, patched=NOWHERE))).victims == victims


def test_places_are_found_in_ranges_that_overlap() -> None:
    found = Places.of([(2, 8, 12), (1, 4, 8), (1, 20, 16), (1, 6, 16), (1, 40, 44)])
    assert found.ranges == ((1, 4, 16), (1, 40, 44), (2, 8, 12))
    assert [at for at in range(0, 48, 4) if (1, at) in found] == [4, 8, 12, 40]
    assert ((2, 8) in found, (2, 12) in found, (0, 8) in found, (3, 8) in found) == (True, False, False, False)


def test_a_linked_file_is_no_object() -> None:
    with pytest.raises(BadInput, match="a linked file"):
        object.read(AUDIT / "image-healthy-le")
