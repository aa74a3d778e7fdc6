"""The checks of live memory, on guests made by hand: each holds for a guest that is as it must be, and fails, with the
right victim, in every way in which it can."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from oolong.audit import live_checks, module_layout
from oolong.audit.check import Check, CheckStatus
from oolong.audit.image import Image
from oolong.audit.live_state import Flags, Live
from oolong.audit.module_checks import MOST_LEFT
from oolong.audit.module_layout import MARK_AT, TARGET_AT, WAY_BYTES
from oolong.audit.survey import Module, Survey
from oolong.binary import powerpc
from oolong.binary.structs import NOTHING
from oolong.machine.stops import ALL, DIRECT, INIT_MEMORY, KPROBE, LIVEPATCH, MODULE, OFF, ONE, QUIET
from tests import guests
from tests.guests import (
    CALL_OPS,
    CALL_OPS_EN,
    DIRECT_EN,
    DISABLED,
    ENABLED,
    FAR,
    MODULES,
    NEAR,
    OFFSETS,
    REGS,
    REGS_EN,
    TRAMP,
    TRAMP_AT,
    TRAMP_EN,
    Guest,
    Loaded,
    Tracer,
    image_of,
    ip_of,
    live_of,
)

FAIL, PASS, SKIP = CheckStatus.FAIL, CheckStatus.PASS, CheckStatus.SKIP
NAMES = tuple(entry.name for group in live_checks.LIVE for entry in group.entries)
STOPS = (INIT_MEMORY, OFF, ONE, ALL, MODULE, KPROBE, DIRECT, LIVEPATCH, QUIET)
BOTH = pytest.mark.parametrize("little", [True, False], ids=["le", "be"])


@pytest.mark.parametrize(
    "name",
    [
        "FTRACE_FL_ENABLED",
        "FTRACE_FL_DISABLED",
        "FTRACE_FL_REGS_EN",
        "FTRACE_FL_TRAMP",
        "FTRACE_FL_DIRECT",
        "FTRACE_FL_CALL_OPS_EN",
    ],
)
def test_a_flag_that_the_kernel_does_not_have_is_a_finding(name: str) -> None:
    """A renamed enumerator would be bit 0, and each comparison with it hold."""
    enums = {one: bit for one, bit in OFFSETS.enums.items() if one != name}
    live = replace(all_stops(image_of(little=True)), offsets=replace(OFFSETS, enums=enums))
    (check,) = [check for check in live_checks.checks(live) if check.name == "live.record-flags"]
    assert (check.status, name in check.victims) == (FAIL, True)


def test_a_kernel_without_stubs_may_lack_the_newer_flags() -> None:
    enums = {one: bit for one, bit in OFFSETS.enums.items() if "DIRECT" not in one and "CALL_OPS" not in one}
    image = replace(image_of(little=True), areas={})
    assert Live(image, replace(OFFSETS, enums=enums), ()).missing_flags == []


def all_stops(image: Image) -> Live:
    """Every stop: one function traced, all by two, modules out of and in reach of ftrace_caller, registers, direct
    calls in and out of reach, a stub that two use."""
    first, second = ip_of(image, "plain_one"), ip_of(image, "with_toc")
    one, other = (
        Tracer(traced=frozenset({first})),
        Tracer(traced=frozenset({first, second}), spared=frozenset({second})),
    )
    near = Tracer(traced=frozenset({first}), direct={first: NEAR})
    far = Tracer(traced=frozenset({second}), direct={second: FAR})
    return live_of(
        Guest(image, INIT_MEMORY),
        Guest(image, OFF),
        Guest(image, ONE, [one]),
        Guest(image, ALL, [Tracer(), other]),
        Guest(image, MODULE, [Tracer()], [Loaded(), Loaded(name="near", base=NEAR, gone=0)]),
        Guest(image, KPROBE, [Tracer(regs=True)], [Loaded()]),
        Guest(image, DIRECT, [near, far]),
        Guest(image, LIVEPATCH, [near, Tracer(traced=frozenset({first}), regs=True)]),
        Guest(image, QUIET),
    )


def failed(seen: Live, due: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    done = live_checks.checks(replace(seen, due=due))
    return {check.name: check.victims for check in done if check.status == FAIL}


@BOTH
@pytest.mark.parametrize("stub_size", [24, 16])
@pytest.mark.parametrize("dead", [False, True], ids=["alive", "dead"])
def test_a_guest_that_is_as_it_must_be_passes(little: bool, stub_size: int, dead: bool) -> None:
    seen = replace(all_stops(image_of(little, stub_size=stub_size, dead=dead)), due=STOPS)
    checks = list(live_checks.checks(seen))
    assert [(check.name, check.evidence) for check in checks if check.status != PASS] == []
    assert tuple(check.name for check in checks) == NAMES


def test_stubs_without_a_pointer_are_next_to_each_other() -> None:
    found = all_stops(image_of(True, stub_size=16))
    assert [
        two.stub - one.stub for one, two in zip(found.surveys[1].records, found.surveys[1].records[1:3], strict=False)
    ] == [16, 16]


def test_calls_go_where_they_reach() -> None:
    """Directly, or by ftrace_caller where that is too far; from a module by its own ways."""
    seen = all_stops(image_of(True))
    at = {survey.name: survey for survey in seen.surveys}

    def called(survey: Survey, place: int) -> int | None:
        call = survey.records[place].stub + 4
        return powerpc.branch_target(survey.code.word(call) or 0, call)

    caller, regs = (seen.image.addresses[name] for name in ("ftrace_caller", "ftrace_regs_caller"))
    assert [called(at[DIRECT], place) for place in (0, 1, 2)] == [NEAR, caller, caller]
    assert [called(at[LIVEPATCH], place) for place in (0, 1)] == [regs, caller]
    assert [called(at[MODULE], place) for place in (0, 4, 6)] == [caller, MODULES + TRAMP_AT, caller]
    assert [called(at[KPROBE], place) for place in (0, 4)] == [regs, MODULES + TRAMP_AT + WAY_BYTES]


Damage = Callable[[Survey, Live], Survey]


def record(place: int, **changes: int) -> Damage:
    def damage(found: Survey, seen: Live) -> Survey:
        records = list(found.records)
        records[place] = records[place]._replace(**changes)
        return replace(found, records=tuple(records))

    return damage


def flags(place: int, changed: int) -> Damage:
    return lambda found, seen: record(place, flags=found.records[place].flags ^ changed)(found, seen)


def moved(place: int, *, ip: int = 0, stub: int = 0) -> Damage:
    def damage(found: Survey, seen: Live) -> Survey:
        own = found.records[place]
        return record(place, ip=own.ip + ip, stub=own.stub + stub)(found, seen)

    return damage


def swapped(one: int, other: int) -> Damage:
    """Each of two records has the other's stub."""

    def damage(found: Survey, seen: Live) -> Survey:
        stubs = found.records[one].stub, found.records[other].stub
        return record(other, stub=stubs[0])(record(one, stub=stubs[1])(found, seen), seen)

    return damage


def order(*places: int) -> Damage:
    return lambda found, seen: replace(found, records=tuple(found.records[place] for place in places))


def word(place: int, at: int, changed: int) -> Damage:
    """Change a word of a record's stub, `at` bytes from its first instruction on."""

    def damage(found: Survey, seen: Live) -> Survey:
        address = found.records[place].stub + at
        found.code.put(address, (found.code.word(address) or 0) ^ changed)
        return found

    return damage


def site(place: int, changed: int) -> Damage:
    def damage(found: Survey, seen: Live) -> Survey:
        address = found.records[place].ip
        found.code.put(address, (found.code.word(address) or 0) ^ changed)
        return found

    return damage


def module(**changes: Callable[[Module], Any]) -> Damage:
    def damage(found: Survey, seen: Live) -> Survey:
        first, *others = found.modules
        changed = first._replace(**{name: change(first) for name, change in changes.items()})
        return replace(found, modules=(changed, *others))

    return damage


def left(at: int, changed: int) -> Damage:
    """Change a word of the stub of a function that the first module has no more."""

    def damage(found: Survey, seen: Live) -> Survey:
        address = found.modules[0].stubs + 2 * seen.image.stub_size + at
        found.code.put(address, (found.code.word(address) or 0) ^ changed)
        return found

    return damage


def way(at: int, changed: int) -> Damage:
    """Change a word of the first module's way to ftrace_caller, or of what comes after it."""

    def damage(found: Survey, seen: Live) -> Survey:
        address = found.modules[0].tramp + at
        found.code.put(address, (found.code.word(address) or 0) ^ changed)
        return found

    return damage


def unused(found: Survey, seen: Live) -> Survey:
    found.code.put(seen.image.areas["ftrace_ool_stub_text_end"].address + 24, 1)
    return found


def nobody(found: Survey, seen: Live) -> Survey:
    return replace(found, ops=())


def another(found: Survey, seen: Live) -> Survey:
    """A second ops that takes everything, and no record that counts it."""
    return replace(found, ops=(*found.ops, found.ops[0]._replace(address=found.ops[0].address + 8)))


def no_modules(found: Survey, seen: Live) -> Survey:
    return replace(found, modules=())


FUNCTIONS = "plain_one", "with_toc", "plain_two", "with_toc_too"
# (check, stop, what is wrong, its victims): of several words each is a finding of its own
WRONG: dict[str, tuple[str, str, Damage, tuple[str, ...]]] = {
    "no record": ("live.records", OFF, order(0, 1, 3), ("plain_two",)),
    "no record of init": ("live.records", INIT_MEMORY, order(0, 1, 2, 3), ("setup",)),
    "no site": ("live.records", OFF, moved(0, ip=4), ("plain_one",)),
    "two records": ("live.records", OFF, order(0, 1, 1, 2, 3), ("with_toc",)),
    "not sorted": ("live.records", OFF, order(1, 0, 2, 3), ("with_toc",)),
    "elsewhere": ("live.records", MODULE, moved(4, ip=1 << 40), (f"{MODULES + (1 << 40):#x}",)),
    "no module": (
        "live.records",
        KPROBE,
        no_modules,
        (f"{MODULES:#x}", f"{MODULES + 0x40:#x}"),
    ),
    "site busy": ("live.sites", OFF, site(0, 1), ("plain_one",)),
    "site quiet": ("live.sites", ONE, site(0, 4), ("plain_one",)),
    "site too far": ("live.sites", ONE, moved(0, stub=1 << 30), ("plain_one",)),
    "stub elsewhere": ("live.stub-addresses", OFF, moved(1, stub=24), ("with_toc", "plain_two")),
    "stub of nobody": (
        "live.stub-addresses",
        MODULE,
        moved(4, ip=1 << 40),
        (f"{MODULES + (1 << 40):#x}", "far+0x40"),
    ),
    "stub of a module moved": ("live.stub-addresses", MODULE, moved(5, stub=1 << 24), ("far+0x40",)),
    "stubs of a module exchanged": ("live.stub-addresses", MODULE, swapped(4, 5), ("far+0x0", "far+0x40")),
    "module without a way": ("live.stub-addresses", MODULE, way(MARK_AT, 1), ("far+0x0", "far+0x40")),
    "way to elsewhere": ("live.stub-addresses", MODULE, way(TARGET_AT, 4), ("far+0x0", "far+0x40")),
    "no way to ftrace_caller": ("live.modules", MODULE, way(TARGET_AT, 4), ("far",)),
    "no way to ftrace_regs_caller": ("live.modules", MODULE, way(WAY_BYTES + TARGET_AT, 4), ("far",)),
    "stub shared": ("live.stub-addresses", MODULE, moved(5, stub=-24), ("far+0x0", "far+0x40")),
    "word 0": ("live.stub-words", OFF, word(2, 0, 1), ("plain_two",)),
    "word 1": ("live.stub-words", ALL, word(2, 4, 4), ("plain_two",)),
    "word 2": ("live.stub-words", KPROBE, word(2, 8, 1 << 31), ("plain_two",)),
    "word 3": ("live.stub-words", DIRECT, word(0, 12, 8), ("plain_one",)),
    "direct call": ("live.stub-words", DIRECT, word(0, 4, 4), ("plain_one",)),
    "module's way": ("live.stub-words", MODULE, module(tramp=lambda one: one.tramp + 4), ("far+0x0", "far+0x40")),
    "module's way with registers": (
        "live.stub-words",
        KPROBE,
        module(tramp_regs=lambda one: one.tramp_regs + 4),
        ("far+0x0", "far+0x40"),
    ),
    "way out of reach": (
        "live.stub-words",
        MODULE,
        module(tramp=lambda one: one.tramp + (1 << 30)),
        ("far+0x0", "far+0x40"),
    ),
    "stub not in code": ("live.stub-words", OFF, moved(0, stub=1 << 40), ("plain_one",)),
    "words of nobody": ("live.stub-words", MODULE, moved(4, ip=1 << 40), (f"{MODULES + (1 << 40):#x}",)),
    "pointer of the quiet": ("live.stub-ops", OFF, word(0, -8, 8), ("plain_one",)),
    "pointer of one": ("live.stub-ops", ONE, word(0, -4, 8), ("plain_one",)),
    "pointer of several": ("live.stub-ops", ALL, word(0, -8, 1), ("plain_one",)),
    "pointer not in code": ("live.stub-ops", OFF, moved(0, stub=1 << 40), ("plain_one",)),
    "pointer to two ops": ("live.stub-ops", ONE, another, ("plain_one",)),
    "unused stub": ("live.unused-stubs", OFF, unused, ("ftrace_ool_stub_text_end[1]",)),
    "stubs left over": ("live.modules", MODULE, module(stubs_used=lambda one: one.stubs_used - 1), ("far",)),
    "too few stubs": (
        "live.modules",
        MODULE,
        module(stubs_used=lambda one: 1, stub_count=lambda one: 1),
        ("far", "far+0x40"),
    ),
    "module not sorted": ("live.modules", MODULE, order(0, 1, 2, 3, 5, 4, 6, 7), ("far", "far+0x0")),
    "stubs of a module swapped": ("live.modules", MODULE, swapped(4, 5), ("far+0x40",)),
    "module's records are gone": ("live.modules", MODULE, order(0, 1, 2, 3, 6, 7), ("far[0]", "far[1]")),
    "stub of no module": ("live.modules", MODULE, moved(4, stub=8), ("far+0x0", "far[0]")),
    "stubs not in its code": (
        "live.modules",
        MODULE,
        module(stubs=lambda one: one.stubs + 0x10000),
        ("far+0x0", "far+0x40", "far"),
    ),
    "stub not in its code": (
        "live.modules",
        MODULE,
        module(text=lambda one: one.text._replace(end=one.stubs + 16)),
        ("far+0x0", "far+0x40", "far"),
    ),
    "left stub goes nowhere": ("live.modules", MODULE, left(20, 1 << 30), ("far[2]",)),
    "left stub without mflr": ("live.modules", MODULE, left(8, 1), ("far[2]",)),
    "left stub calls elsewhere": ("live.modules", MODULE, left(12, 4), ("far[2]",)),
    "left stub has ops": ("live.modules", MODULE, left(0, 8), ("far[2]",)),
    "one user more": ("live.reference-counts", ALL, flags(2, 3), ("plain_two",)),
    "not enabled": ("live.reference-counts", ONE, flags(0, ENABLED), ("plain_one",)),
    "no ops": ("live.reference-counts", ONE, nobody, ("plain_one",)),
    "a user of the quiet": ("live.record-flags", OFF, flags(0, 1), ("plain_one",)),
    "quiet registers": ("live.record-flags", OFF, flags(0, REGS), ("plain_one",)),
    "enabled and dead": ("live.record-flags", ONE, flags(0, DISABLED), ("plain_one",)),
    "registers not wanted": ("live.record-flags", ONE, flags(0, REGS_EN), ("plain_one",)),
    "registers not saved": ("live.record-flags", KPROBE, flags(0, REGS_EN), ("plain_one",)),
    "trampoline not wanted": ("live.record-flags", ONE, flags(0, TRAMP_EN), ("plain_one",)),
    "trampoline not taken": ("live.record-flags", ONE, flags(0, TRAMP), ("plain_one",)),
    "direct for two": ("live.record-flags", LIVEPATCH, flags(0, DIRECT_EN), ("plain_one",)),
    "ops for two": ("live.record-flags", ALL, flags(0, CALL_OPS | CALL_OPS_EN), ("plain_one",)),
    "ops not called": ("live.record-flags", ONE, flags(0, CALL_OPS_EN), ("plain_one",)),
    "no direct ops": ("live.record-flags", DIRECT, nobody, ("plain_one", "with_toc")),
    "a direct call of nobody": (
        "live.record-flags",
        ONE,
        flags(0, guests.DIRECT | DIRECT_EN),
        ("plain_one",),
    ),
    "taken for dead": ("live.disabled-records", OFF, flags(0, DISABLED), ("plain_one",)),
    "taken for dead at once": ("live.disabled-records", INIT_MEMORY, flags(0, DISABLED), ("plain_one",)),
    "noise": ("live.silence", QUIET, flags(0, ENABLED), ("plain_one",)),
    "site not restored": ("live.restored", QUIET, site(3, 1), ("with_toc_too",)),
    "stub not restored": ("live.restored", QUIET, word(3, 4, 4), ("with_toc_too",)),
    "pointer not restored": ("live.restored", QUIET, word(3, -8, 8), ("with_toc_too",)),
}


@BOTH
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found(little: bool, wrong: str) -> None:
    check, stop, damage, victims = WRONG[wrong]
    seen = all_stops(image_of(little))
    damaged = replace(seen, surveys=[damage(one, seen) if one.name == stop else one for one in seen.surveys])
    assert failed(damaged).get(check) == victims


def test_a_stop_that_is_missing_is_found() -> None:
    seen = all_stops(image_of(True))
    assert failed(replace(seen, surveys=seen.surveys[:3]), due=(OFF, "graph", QUIET)) == {
        "live.stops": ("graph", QUIET)
    }


def test_without_the_first_and_the_last_stop_nothing_is_compared() -> None:
    seen = all_stops(image_of(True))
    for name in (OFF, QUIET):
        others = replace(seen, surveys=[one for one in seen.surveys if one.name != name])
        assert by_name(others)["live.restored"].status == SKIP


def by_name(seen: Live) -> dict[str, Check]:
    return {check.name: check for check in live_checks.checks(replace(seen, due=()))}


def test_where_no_module_is_loaded_none_is_checked() -> None:
    seen = live_of(Guest(image_of(True), OFF))
    assert by_name(seen)["live.modules"].status == SKIP


def test_a_module_without_functions_is_passed_over() -> None:
    seen = live_of(Guest(image_of(True), OFF, (), [Loaded(sites=0, gone=0)]))
    assert failed(seen) == {}


@BOTH
@pytest.mark.parametrize(("sites", "gone"), [(1, 0), (3, 0), (2, 3), (5, 1)])
@pytest.mark.parametrize("stub_size", [24, 16])
def test_the_stubs_of_a_module_follow_its_ways_in_the_order_of_its_sites(
    little: bool, sites: int, gone: int, stub_size: int
) -> None:
    """Those of code that is gone come last here, as this code lies after the other."""
    image = image_of(little, stub_size=stub_size)
    survey = Guest(image, MODULE, (), [Loaded(sites=sites, gone=gone)]).survey()
    stubs = module_layout.stubs_of(image, survey)
    assert {ip: stub.code for ip, stub in stubs.items()} == {
        record.ip: record.stub for record in survey.records if survey.module_at(record.ip)
    }
    assert [stub.number for stub in stubs.values()] == list(range(sites))


@BOTH
def test_code_that_is_gone_may_have_come_first(little: bool) -> None:
    image = image_of(little)
    survey = Guest(image, MODULE, (), [Loaded(sites=2, gone=2)]).survey()
    (module,) = survey.modules
    first, second = (module.stubs + number * image.stub_size + image.stub_code for number in (0, 1))
    for stub in (first, second):
        survey.code.put(stub + 12, powerpc.branch(stub + 12, module.text.start - 0x1000))
    assert [stub.number for stub in module_layout.stubs_of(image, survey).values()] == [2, 3]


def test_of_the_stubs_of_no_record_only_some_are_told() -> None:
    seen = live_of(Guest(image_of(True), MODULE, (), [Loaded(sites=1, gone=0)]))
    (survey,) = seen.surveys
    many = survey.modules[0]._replace(stub_count=100, stubs_used=100)
    damaged = replace(seen, surveys=[replace(survey, modules=(many,))])
    assert len(failed(damaged)["live.modules"]) == MOST_LEFT


@BOTH
def test_a_dead_record_is_disabled_and_may_be_so_later(little: bool) -> None:
    seen = all_stops(image_of(little, dead=True))
    alive = [
        replace(one, records=tuple(own._replace(flags=own.flags & ~DISABLED) for own in one.records))
        for one in seen.surveys
        if one.name in (INIT_MEMORY, OFF)
    ]
    found = by_name(replace(seen, surveys=alive))["live.disabled-records"]
    assert found.victims == ("with_toc+0x20",)
    assert f"at {OFF}" in found.evidence


def test_a_kernel_that_takes_none_for_dead_is_not_asked() -> None:
    seen = all_stops(image_of(True))
    offsets = replace(OFFSETS, constants={"FTRACE_REF_MAX_SHIFT": 10})
    assert by_name(Live(seen.image, offsets, seen.surveys))["live.disabled-records"].status == SKIP


def test_flags_that_a_kernel_does_not_have_are_no_bits() -> None:
    assert Flags.of(NOTHING) == Flags(**dict.fromkeys(Flags.__slots__, 0))
    assert Flags.of(NOTHING).transient == 0


def test_a_stub_area_that_is_not_code_is_not_zero() -> None:
    seen = live_of(Guest(image_of(True), OFF))
    area = seen.image.areas["ftrace_ool_stub_text_end"]
    areas = {**seen.image.areas, area.name: area._replace(stubs=1 << 20, size=24 << 20)}
    beyond = Live(replace(seen.image, areas=areas), OFFSETS, seen.surveys)
    assert failed(beyond)["live.unused-stubs"] == ("ftrace_ool_stub_text_end[1]",)


def test_a_module_of_a_kernel_whose_stubs_have_no_size_is_wrong() -> None:
    seen = live_of(Guest(image_of(True), MODULE, (), [Loaded()]))
    areas = {name: area._replace(size=0, stubs=0) for name, area in seen.image.areas.items()}
    sizeless = Live(replace(seen.image, areas=areas), OFFSETS, seen.surveys)
    assert sizeless.image.stub_size == 0
    assert "nobody knows the size of a stub" in by_name(sizeless)["live.modules"].evidence


def test_a_stub_that_can_reach_nothing_can_not_be_right() -> None:
    """ftrace_caller is too far, and there is no trampoline."""
    seen = live_of(Guest(image_of(True), OFF))
    addresses = {name: at for name, at in seen.image.addresses.items() if name != "ftrace_tramp_text"}
    alone = replace(seen.image, addresses={**addresses, "ftrace_caller": FAR})
    assert failed(Live(alone, OFFSETS, seen.surveys))["live.stub-words"] == FUNCTIONS


def test_checks_of_a_kernel_that_was_not_looked_at_are_skipped() -> None:
    assert [(one.name, one.status) for one in live_checks.skipped_all("why")] == [(name, SKIP) for name in NAMES]


def test_places_are_told_by_function_by_module_or_by_address() -> None:
    seen = live_of(Guest(image_of(True, dead=True), MODULE, (), [Loaded()]))
    found = seen.surveys[0]
    places = (ip_of(seen.image, "with_toc"), found.records[2].ip, MODULES + 0x40, FAR)
    assert [seen.told(found, ip) for ip in places] == ["with_toc", "with_toc+0x20", "far+0x40", f"{FAR:#x}"]
