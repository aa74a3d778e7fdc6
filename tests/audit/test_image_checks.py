"""The checks of a linked kernel, on small images with one fault each: the check that names it, and its victim."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from oolong.audit import area_checks, image_checks, object, static_checks
from oolong.audit import image as vmlinux
from oolong.audit.check import Check, CheckStatus
from oolong.audit.image import RELATIVE, Area, Code, Image, Range, kallsyms_rank
from oolong.audit.linked import Known, Linked
from oolong.audit.static_checks import IMAGE
from oolong.audit.static_checks import image_checks as checks
from oolong.binary import powerpc
from oolong.errors import BadInput
from oolong.stubs.counting import INITTEXT, RESERVED, TEXT_END, StubPlan
from tests.mutants.images import with_slots, without
from tests.support import TEST_DATA

AUDIT = TEST_DATA / "audit"
CONFIG = {"PPC64": "y", "FUNCTION_TRACER": "y", "KPROBES_ON_FTRACE": "y"}
RELOCATABLE = {**CONFIG, "RELOCATABLE": "y"}
POST_LINK = frozenset({"CHKHEAD", "CHKREL", "CHKFTRC"})
RESERVE = 2
FAIL, PASS, SKIP = CheckStatus.FAIL, CheckStatus.PASS, CheckStatus.SKIP
ENTRIES = tuple(entry for group in IMAGE for entry in group.entries)
NAMES = tuple(entry.name for entry in ENTRIES)
ABOUT_STUBS = {entry.name for entry in ENTRIES if entry.about_stubs}


def read(name: str, order: str = "le") -> Image:
    return vmlinux.read(AUDIT / f"image-{name}-{order}")


def known(*, more: int = 0) -> Known:
    """What is known of the healthy kernel; `more` patch sites in text."""
    text, init = object.read(AUDIT / "image-healthy-le.o").plan
    plan = StubPlan(text=text + more, inittext=init, exit=0, reserve=RESERVE)
    return Known(plan=plan, config=CONFIG, max_offset=16, post_link=POST_LINK)


def wrong(checks: Iterable[Check]) -> dict[str, tuple[str, ...]]:
    """The checks that do not hold, each with its victims."""
    return {check.name: check.victims for check in checks if check.status == FAIL}


# image → patch sites that vmlinux.o has besides those of the healthy kernel, check → victims
FAULTS: Mapping[str, tuple[int, dict[str, tuple[str, ...]]]] = {
    "forgotten": (0, {"image.mcount-entries": (), "image.no-orphan": ("leaf",)}),
    "outside": (1, {"image.in-text": ("leave",), "image.stub-counts": (TEXT_END,)}),
    "twice": (
        0,
        {
            "image.mcount-entries": (),
            "image.unique": ("leaf",),
            "image.stub-allocation": ("in_order",),
            "image.one-site": ("leaf",),
        },
    ),
    "no-nop": (0, {"image.site-words": ("leaf",)}),
    "after-entry": (0, {"image.entry-points": ("leaf",)}),
    "before-entry": (0, {"image.no-orphan": ("leaf",), "image.entry-points": ("late",)}),
    "global-entry": (
        0,
        {"image.no-orphan": ("reads",), "image.site-words": ("reads",), "image.entry-points": ("reads",)},
    ),
    "neighbour": (1, {"image.kprobe-window": ("short",)}),
    "two-sites": (2, {"image.entry-points": ("double",), "image.one-site": ("double",)}),
    "dead-near": (0, {"image.kprobe-window": ("before_dead",), "image.dead-record-window": ("before_dead",)}),
    "no-trampoline": (0, {"image.trampolines": ()}),
    "area-nonzero": (0, {"image.stub-areas": (RESERVED,)}),
    "area-in-data": (0, {"image.stub-areas": (RESERVED,)}),
    "area-missing": (
        0,
        {
            "image.stub-areas": (RESERVED,),
            "image.stub-counts": (TEXT_END,),
            "image.stub-allocation": ("cold", "in_order"),
        },
    ),
    "area-misaligned": (0, {"image.stub-areas": (TEXT_END,)}),
    "area-overlaps": (0, {"image.stub-areas": (TEXT_END, RESERVED)}),
    "area-outside": (0, {"image.stub-areas": (INITTEXT,)}),
    "size-differs": (0, {"image.stub-size": (TEXT_END,), "image.stub-areas": (TEXT_END,)}),
    "count-short": (
        0,
        {
            "image.stub-size": (TEXT_END,),
            "image.stub-areas": (TEXT_END,),
            "image.stub-counts": (TEXT_END,),
            "image.stub-allocation": ("in_order",),
        },
    ),
    "count-zero": (
        0,
        {
            "image.stub-areas": (TEXT_END,),
            "image.stub-counts": (TEXT_END,),
            "image.stub-allocation": ("before_dead+0x20", "cold", "in_order"),
        },
    ),
    "text-end-2": (0, {"image.stub-counts": (TEXT_END,), "image.stub-allocation": ("in_order",)}),
    "text-end-4": (0, {"image.stub-counts": (TEXT_END,)}),
    "inittext-1": (0, {"image.stub-counts": (INITTEXT,), "image.stub-allocation": ("setup",)}),
    "inittext-3": (0, {"image.stub-counts": (INITTEXT,)}),
    # the linker script takes .text.startup for text: with the reserve used up there is no stub for it, else one for
    # which nothing was counted
    "swallowed": (0, {"image.mcount-entries": (), "image.stub-allocation": ("in_order",)}),
    "swallowed-reserved-8-text-end-0": (0, {"image.mcount-entries": ()}),
}


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_its_check_with_its_victim(fault: str, order: str) -> None:
    more, expected = FAULTS[fault]
    assert wrong(checks(read(fault, order), known(more=more))) == expected


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_healthy_kernel_passes_every_check(order: str) -> None:
    done = {check.name: check.status for check in checks(read("relocatable", order), known())}
    assert done == dict.fromkeys(NAMES, PASS)


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("name", ["healthy", "stub-16", "reserved-8-text-end-0", "clang", "own-nops"])
def test_kernels_that_are_as_they_may_be(name: str, order: str) -> None:
    """At a fixed address; with the stubs of older releases; with nothing after .text; with the global entry points that
    clang records, which are wrong from gcc; with functions that begin with nops of other kinds."""
    found = read(name, order)
    assert found.little == (order == "le")
    done = list(checks(found, known()))
    assert wrong(done) == {}
    assert [check.name for check in done if check.status == SKIP] == ["image.relocations"]


def test_the_image_is_read_as_it_is() -> None:
    found = read("relocatable")
    assert (found.release, found.clang, found.stub_size, found.stub_code) == ("7.3.4", False, 24, 8)
    assert {name: area.stubs for name, area in found.areas.items()} == {RESERVED: 2, TEXT_END: 3, INITTEXT: 2}
    names = [site.function.name if site.function else None for site in found.sites]
    assert names == ["leaf", "reads", None, "cold", "in_order", "asan_ctor", "setup"]
    reads = found.sites[1]
    assert reads.function
    assert (reads.ip - reads.function.address, reads.function.local_entry) == (8, 8)
    assert [found.area_of(site.ip) for site in found.sites] == ["text"] * 5 + ["inittext"] * 2
    assert found.relocations
    assert len(found.relocations) == len(found.stored)


def test_a_site_in_exit_text_is_passed_over_as_the_kernel_does() -> None:
    found = read("outside")
    (slot,) = (slot for slot in found.slots if found.area_of(slot) is None)
    bounds = {"__exittext_begin": slot, "__exittext_end": slot + 16}
    check = image_checks.in_text(Linked(replace(found, addresses={**found.addresses, **bounds})))
    assert (check.status, check.victims) == (PASS, ())
    assert "1 in exit text" in check.evidence


def test_what_the_configuration_says_must_be_there() -> None:
    found = read("healthy")
    assert wrong(checks(found, replace(known(), config=RELOCATABLE))) == {"image.relocations": ()}
    stubs = replace(known(), config={**CONFIG, "PPC_FTRACE_OUT_OF_LINE": "y"})
    assert set(wrong(checks(replace(found, areas={}), stubs))) >= ABOUT_STUBS


@pytest.mark.parametrize("order", ["le", "be"])
def test_the_prologue_of_mprofile_kernel_is_the_one_that_the_kernel_asks_for(order: str) -> None:
    found, config = read("mprofile-kernel", order), {**CONFIG, "MPROFILE_KERNEL": "y"}
    assert image_checks.entry_points(Linked(found, Known(config=config))).status == PASS
    site = next(
        site for site in found.sites if site.function and site.function.local_entry < site.ip - site.function.address
    )
    assert site.function
    later = replace(
        found,
        functions=tuple(
            one._replace(address=one.address - 4, size=one.size + 4) if one == site.function else one
            for one in found.functions
        ),
    )
    assert image_checks.entry_points(Linked(later, Known(config=config))).victims == (site.function.name,)


def test_clang_records_the_global_entry_and_means_the_local_one() -> None:
    found = read("clang")
    assert found.clang
    assert [site.ip - site.recorded for site in found.sites] == [0, 8, 0, 0, 0, 0, 0]


def relocated(found: Image, change: Mapping[int, tuple[tuple[int, int], ...]]) -> Image:
    """The image with other relocations at some bytes of its table; an empty tuple takes them away."""
    changed = {**(found.relocations or {}), **{found.table.start + at: entries for at, entries in change.items()}}
    return replace(found, relocations={at: entries for at, entries in changed.items() if entries})


@pytest.mark.parametrize(
    ("change", "victim"),
    [
        ({0: ()}, "slot 0"),
        ({8: ((RELATIVE, 0), (RELATIVE, 0))}, "slot 1"),
        # R_PPC64_UADDR64, for an address at no multiple of 8
        ({16: ((43, 0),)}, "slot 2"),
        ({0: ((RELATIVE, 0xC000000000000084),)}, "slot 0"),
    ],
    ids=["none", "two", "type", "addend"],
)
def test_each_slot_has_its_relocation(change: Mapping[int, tuple[tuple[int, int], ...]], victim: str) -> None:
    check = image_checks.relocations(Linked(relocated(read("relocatable"), change), Known()))
    assert (check.status, check.victims) == (FAIL, (victim,))


def test_a_relocation_between_two_slots_is_told() -> None:
    found = read("relocatable")
    check = image_checks.relocations(Linked(relocated(found, {12: ((RELATIVE, 0),)}), Known()))
    assert check.victims == (f"{found.table.start + 12:#x}",)


def test_where_the_slots_are_zero_the_relocations_say_what_the_kernel_will_find() -> None:
    """As ld.lld leaves them."""
    found = read("relocatable")
    empty = replace(found, stored=(0,) * len(found.stored))
    assert empty.slots == found.stored
    assert wrong(checks(empty, known())) == {}


def test_dead_code_that_the_linker_removed_may_be_missing() -> None:
    config = {**CONFIG, "LD_DEAD_CODE_DATA_ELIMINATION": "y"}
    removed = replace(known(), config=config)
    gone = read("forgotten")
    gone = replace(gone, functions=tuple(one for one in gone.functions if one.name != "leaf"))
    assert image_checks.mcount_entries(Linked(gone, removed)).status == PASS
    assert image_checks.mcount_entries(Linked(read("twice"), removed)).status == FAIL
    empty = replace(read("healthy"), stored=(), table=Range(0, 0))
    assert image_checks.mcount_entries(Linked(empty, removed)).status == FAIL


def test_with_dead_code_elimination_each_function_that_is_left_has_its_entry() -> None:
    """The table has fewer entries than vmlinux.o, as it may; the function is there, and so is its nop."""
    removed = replace(known(), config={**CONFIG, "LD_DEAD_CODE_DATA_ELIMINATION": "y"})
    assert image_checks.mcount_entries(Linked(read("forgotten"), removed)).victims == ("leaf",)


def test_a_nop_of_the_linker_is_no_patch_site() -> None:
    """It replaces the instruction with the high half of a distance from the TOC pointer: whether a function that
    uses that begins with a nop of the linker, or with one that lost its entry, vmlinux.o knows."""
    found = read("healthy")
    reads = next(one for one in found.functions if one.name == "reads")
    lost = replace(found, stored=tuple(slot for slot in found.stored if not reads.covers(slot)))
    uses = reads.address + reads.local_entry + powerpc.INSTRUCTION
    assert image_checks.no_orphan(Linked(lost)).victims == ("reads",)
    lost.code.put(uses, 0xE9220010)  # ld r9,16(r2)
    for untraced, victims in ((None, ()), (frozenset({"reads"}), ()), (frozenset({"leaf"}), ("reads",))):
        assert image_checks.no_orphan(Linked(lost, Known(untraced=untraced))).victims == victims


@pytest.mark.parametrize(
    ("ran", "config", "missing"),
    [
        (POST_LINK, RELOCATABLE, None),
        (frozenset(), RELOCATABLE, "CHKHEAD, CHKREL, CHKFTRC"),
        (POST_LINK - {"CHKFTRC"}, RELOCATABLE, "CHKFTRC"),
        (POST_LINK - {"CHKREL"}, RELOCATABLE, "CHKREL"),
        (POST_LINK - {"CHKREL"}, CONFIG, None),
    ],
)
def test_post_link_checks_that_were_not_run_are_told(
    ran: frozenset[str], config: Mapping[str, str], missing: str | None
) -> None:
    check = image_checks.post_link_checks(Linked(read("healthy"), replace(known(), post_link=ran, config=config)))
    assert check.status is (FAIL if missing else PASS)
    assert [(one.who, one.what, one.rule) for one in check.findings] == [
        (name, "not run", "") for name in (missing.split(", ") if missing else ())
    ]


@pytest.mark.parametrize("ran", [frozenset[str](), frozenset({"CHKHEAD"}), POST_LINK - {"CHKFTRC"}])
def test_a_tree_without_the_rule_explains_checks_none_of_which_ran(ran: frozenset[str]) -> None:
    """Of those that ran in part the reason is another one."""
    idle = replace(known(), post_link=ran, post_link_idle=True, config=RELOCATABLE)
    check = image_checks.post_link_checks(Linked(read("healthy"), idle))
    assert {one.rule for one in check.findings} == {"" if ran else "no-post-link-rule"}


def test_what_is_not_known_is_skipped() -> None:
    done = checks(read("relocatable"), Known())
    assert [check.name for check in done if check.status == SKIP] == [
        "image.mcount-entries",
        "image.stub-counts",
        "image.post-link-checks",
    ]


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mprofile-kernel", {}),
        ("mprofile-kernel-no-call", {"image.site-words": ("leaf",)}),
        ("mprofile-kernel-other-call", {"image.site-words": ("leaf",)}),
        ("mprofile-kernel-no-mflr", {"image.entry-points": ("leaf",)}),
        ("two-nops", {}),
        ("two-nops-one-nop", {"image.site-words": ("leaf",)}),
    ],
)
def test_a_kernel_without_stubs(name: str, expected: dict[str, tuple[str, ...]], order: str) -> None:
    """-mprofile-kernel, whose sites call _mcount, and -fpatchable-function-entry=2."""
    done = list(checks(read(name, order), known()))
    assert wrong(done) == expected
    skipped = {*ABOUT_STUBS, "image.mcount-entries", "image.relocations"}
    assert {check.name for check in done if check.status == SKIP} == skipped


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("name", ["mprofile-kernel", "two-nops"])
def test_a_lost_entry_of_a_kernel_without_stubs_is_named(name: str, order: str) -> None:
    """Its call, or its nops, are still there, and vmlinux.o counts nothing."""
    found = read(name, order)
    named = [site for site in found.sites if site.function is not None]
    assert len(named) == 6
    for site in named:
        assert site.function
        done = static_checks.image_checks(without(found, site), Known(config=CONFIG))
        assert wrong(done) == {"image.no-orphan": (site.function.name,)}
        (address,) = (one.address for check in done if check.name == "image.no-orphan" for one in check.findings)
        assert address == hex(site.recorded)


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_call_in_what_is_left_of_a_weak_function_has_an_entry_too(order: str) -> None:
    found = read("mprofile-kernel", order)
    (dead,) = (site for site in found.sites if site.function is None)
    assert image_checks.no_orphan(Linked(without(found, dead))).victims == ("before_dead+0x24",)


@pytest.mark.parametrize("order", ["le", "be"])
def test_nothing_else_in_a_kernel_without_stubs_needs_an_entry(order: str) -> None:
    """A call of another function, a branch to _mcount, a single nop where two make room, and a call in exit text."""
    found = read("mprofile-kernel", order)
    mcount, leaf = found.addresses["_mcount"], found.sites[0]
    assert leaf.function
    for at, target, link in (
        (leaf.ip + 4, found.addresses["ftrace_caller"], True),
        (leaf.ip + 4, mcount + 4, True),
        (leaf.ip + 4, mcount, False),
    ):
        found.code.put(at, powerpc.branch(at, target, link=link))
        assert image_checks.no_orphan(Linked(found)).status == PASS
    lost = without(found, leaf)
    bounds = {"__exittext_begin": leaf.function.address, "__exittext_end": leaf.ip + 4}
    leaving = replace(lost, addresses={**lost.addresses, **bounds})
    assert image_checks.no_orphan(Linked(leaving)).status == PASS
    found = read("two-nops", order)
    found.code.put(found.sites[0].ip, 0x38630001)  # addi r3,r3,1
    assert image_checks.no_orphan(Linked(without(found, found.sites[0]))).status == PASS


FAR = 0xC000000010000000
CTR = array("I", [0x3D820001, 0xE98C0010, 0x7D8903A6, 0x4E800420])  # addis r12,r2; ld r12; mtctr r12; bctr


def far_from_mcount(found: Image, stub: "array[int]") -> tuple[Image, int, int]:
    """A kernel with two functions that reach _mcount by a stub of the linker, and where their calls lie."""
    names = {FAR: "far", FAR + 32: "further"}
    words = array("I", [powerpc.NOP] * 24)
    first, second = (at + powerpc.INSTRUCTION for at in names)
    for at in names:
        words[(at - FAR) // 4] = powerpc.MFLR_R0
        words[(at - FAR) // 4 + 1] = powerpc.branch(at + 4, FAR + 64, link=True)
    words[16 : 16 + len(stub)] = stub
    made = with_slots(found, *found.slots, first, second)
    functions = (*found.functions, *(vmlinux.Function(at, 32, 0, name) for at, name in names.items()))
    text = Range(found.text.start, FAR + 4 * len(words))
    code = Code([*found.code._segments, (FAR, words)])
    return replace(made, functions=tuple(sorted(functions)), text=text, code=code), first, second


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("stub", ["branch", "table"])
def test_a_lost_entry_far_from_mcount_is_named(stub: str, order: str) -> None:
    """The call goes to a stub of the linker: a branch, or code that loads the address from a table."""
    found = read("mprofile-kernel", order)
    words = CTR
    if stub == "branch":
        mcount = FAR + 64 + powerpc.FURTHEST_AHEAD
        found = with_slots(replace(found, addresses={**found.addresses, "_mcount": mcount}, code=Code([])))
        words = array("I", [powerpc.branch(FAR + 64, mcount)])
    image, first, second = far_from_mcount(found, words)
    done = Linked(image, Known(config=CONFIG))
    assert (image_checks.no_orphan(done).status, image_checks.site_words(done).status) == (PASS, PASS)
    for at, name in ((first, "far"), (second, "further")):
        site = image.site_at(at)
        assert site
        assert image_checks.no_orphan(Linked(without(image, site))).victims == (name,)
    # a branch says where it leads; code that loads an address is known by other entries
    both = image_checks.no_orphan(Linked(with_slots(image, *found.slots)))
    assert both.victims == (("far", "further") if stub == "branch" else ())


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_site_far_from_mcount_calls_no_other_function(order: str) -> None:
    image, first, second = far_from_mcount(read("mprofile-kernel", order), CTR)
    image.code.put(second, powerpc.branch(second, first - 4, link=True))
    done = Linked(image, Known(config=CONFIG))
    assert image_checks.site_words(done).victims == ("further",)
    assert image_checks.no_orphan(done).status == PASS


def area(name: str, address: int, stubs: int, size: int) -> Area:
    return Area(name, address, size, stubs)


@pytest.mark.parametrize(
    ("areas", "size", "victims"),
    [
        ((area(RESERVED, 0, 4, 96), area(TEXT_END, 96, 0, 0), area(INITTEXT, 96, 2, 48)), 24, ()),
        ((area(RESERVED, 0, 4, 64), area(TEXT_END, 64, 1, 16), area(INITTEXT, 80, 2, 32)), 16, ()),
        ((area(RESERVED, 0, 4, 80), area(TEXT_END, 80, 1, 20), area(INITTEXT, 100, 2, 40)), 20, None),
        ((area(RESERVED, 0, 0, 0), area(TEXT_END, 0, 0, 0), area(INITTEXT, 0, 0, 0)), 0, ()),
        ((area(RESERVED, 0, 4, 96), area(TEXT_END, 96, 1, 16), area(INITTEXT, 112, 2, 48)), 24, (TEXT_END,)),
        ((area(RESERVED, 0, 4, 96), area(TEXT_END, 96, 1, 24), area(INITTEXT, 120, 2, 49)), 24, (INITTEXT,)),
    ],
    ids=["with-ops", "without-ops", "unheard-of", "none", "one-differs", "no-whole-stubs"],
)
def test_the_size_of_a_stub(areas: tuple[Area, ...], size: int, victims: tuple[str, ...] | None) -> None:
    found = replace(read("healthy"), areas={one.name: one for one in areas})
    assert found.stub_size == size
    check = area_checks.stub_size(Linked(found))
    assert check.victims == ((RESERVED, TEXT_END, INITTEXT) if victims is None else victims)


def test_a_word_that_is_not_zero_is_told_wherever_it_is() -> None:
    for name in (RESERVED, TEXT_END, INITTEXT):
        found = read("healthy")
        one = found.areas[name]
        found.code.put(one.address + one.size - 4, 1)
        assert area_checks.stub_areas(Linked(found)).victims == (name,)
        assert f"is not zero at +{one.size - 4:#x}" in area_checks.stub_areas(Linked(found)).evidence


@pytest.mark.parametrize(
    ("caller", "tramp", "good"),
    [
        (0x1FFFFFC, 0x4000000, True),
        (0x2000000, 0x4000000, False),
        (0x1000, 0x4000FFC, True),
        (0x1000, 0x4001000, False),
    ],
)
def test_how_far_the_trampolines_may_be(caller: int, tramp: int, good: bool) -> None:
    found = read("healthy")
    start = found.text.start
    addresses = {**found.addresses, "ftrace_caller": start + caller, "ftrace_tramp_text": start + tramp}
    assert (area_checks.trampolines(Linked(replace(found, addresses=addresses))).status == PASS) == good


def test_code_is_words_by_address() -> None:
    code = Code([(0x1000, array("I", [1, 2, 3])), (0x100, array("I", [9]))])
    assert [code.word(at) for at in (0x100, 0x104, 0x1000, 0x1008, 0x100C, 0x1002, 0x10)] == [9, None, 1, 3] + [
        None
    ] * 3
    assert list(code.words(0x1004, 2) or ()) == [2, 3]
    assert code.words(0x1004, 3) is None
    assert code.words(0x10, 1) is None


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("image-healthy-le.o", "no linked 64-bit kernel"),
        ("object-healthy-be.o", "no linked 64-bit kernel"),
        ("image.S", "not an ELF file"),
        ("no-such-file", "cannot be read"),
    ],
)
def test_what_is_no_kernel_is_refused(file: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        vmlinux.read(AUDIT / file)


@pytest.mark.parametrize(
    ("names", "printed"),
    [
        # as nm lists them, by name
        (["lru_add_drain", "lru_add_and_bh_lrus_drain"], "lru_add_and_bh_lrus_drain"),
        # a weak one last
        (["~a_weak_one", "strong"], "strong"),
        # what a linker script may provide after what it may not, however many underscores that has
        (["__start_of_it", "___own"], "___own"),
        (["__ends_with_end", "__something_start", "__stop_it", "__end_it", "____own"], "____own"),
        # too short to be one
        (["__a_end", "___own"], "__a_end"),
        # then the one with fewer underscores
        (["__se_sys_read", "sys_read", "_sys_read"], "sys_read"),
    ],
)
def test_of_several_names_the_kernel_prints_one(names: list[str], printed: str) -> None:
    """After compare_symbols in scripts/kallsyms.c; a weak name is marked here."""
    ranks = {name.lstrip("~"): kallsyms_rank(name.lstrip("~"), weak=name.startswith("~")) for name in names}
    assert min(ranks, key=lambda name: ranks[name]) == printed
