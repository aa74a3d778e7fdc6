"""What is told of the functions of a kernel that is put together here, word by word."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from oolong.audit.check import Check, CheckStatus, finding
from oolong.audit.image import Area, Code, Function, Image, Range
from oolong.audit.survey import Ops, Record, Survey
from oolong.binary import powerpc
from oolong.binary.structs import Offsets
from oolong.explain import listing
from oolong.explain.function import INIT, NO_SITE, OFF, explained
from oolong.explain.kernel import Kernel
from oolong.explain.text import described
from oolong.stubs.counting import INITTEXT, RESERVED, TEXT_END

BASE, INIT_BASE = 0xC000000000000000, 0xC000000000010000
LEAF, TOC, PLAIN, EARLY = BASE + 0x1000, BASE + 0x1040, BASE + 0x1100, INIT_BASE + 0x40
DEAD_NEAR, DEAD_FAR = LEAF + 0x10, LEAF + 0x20
STUBS, CALLER, END_STUBS, INIT_STUBS = BASE + 0x2000, BASE + 0x3000, BASE + 0x4000, INIT_BASE + 0x800
STUB, POINTER = 24, 8
NOTHING, TRACER = 0xC000000000080000, 0xC000000000081000
ENABLED, TOUCHED, DISABLED = 1 << 31, 1 << 20, 1 << 25
SETUP = 0x3C4C004C, 0x38420F00
FUNCTIONS = {
    "leaf": Function(LEAF, 12, 0, "leaf"),
    "toc": Function(TOC, 32, 8, "toc"),
    "plain": Function(PLAIN, 8, 0, "plain"),
    "ftrace_caller": Function(CALLER, 4, 0, "ftrace_caller"),
    "early": Function(EARLY, 8, 0, "early"),
}
SITES = (LEAF, DEAD_NEAR, DEAD_FAR, TOC + 8, EARLY)
LAID_OUT = Offsets(
    structs={},
    enums={"FTRACE_FL_ENABLED": ENABLED, "FTRACE_FL_TOUCHED": TOUCHED, "FTRACE_FL_DISABLED": DISABLED},
    constants={"FTRACE_REF_MAX_SHIFT": 19, "FTRACE_MCOUNT_MAX_OFFSET": 16},
)

TOLD = """\
toc: 0xc000000000001040, 32 bytes, local entry point at +0x8
      c000000000001040  +0x0     3c4c004c  addis r2, r12, 0x4c
      c000000000001044  +0x4     38420f00  addi r2, r2, 0xf00
      c000000000001048  +0x8     60000000  nop                                    <- local entry point, patch site
      c00000000000104c  +0xc     00000000  .long 0x0
      c000000000001050  +0x10    00000000  .long 0x0
      c000000000001054  +0x14    00000000  .long 0x0
      c000000000001058  +0x18    00000000  .long 0x0
  the patch site at +0x8: stub 3 of ftrace_ool_stub_text
    it lies in text, and of the sites that this area serves 3 lie before it
    in use: 4 of 8 stubs
    the branch to the stub: +0x1008 bytes, 32.0 MB before the limit of 32 MB
    the branch back: -0x1010 bytes, 32.0 MB before the limit of 32 MB
    in the file:
      c000000000001048  site     60000000  nop
      c000000000002050  stub     zeros
    will be, once booted:
      c000000000001048  site     60000000  nop
      c000000000002048  ops      c000000000080000  ftrace_nop_ops
      c000000000002050  +0x8     7c0802a6  mflr r0
      c000000000002054  +0xc     48000fad  bl ftrace_caller
      c000000000002058  +0x10    7c0803a6  mtlr r0
      c00000000000205c  +0x14    4bffeff0  b toc+0xc
    at off: so it was
      record 0x0: 0 users
    at all:
      c000000000001048  site     48001008  b plain+0xf50
      c000000000002048  ops      c000000000081000  global_ops
      c000000000002050  +0x8     7c0802a6  mflr r0
      c000000000002054  +0xc     48000fad  bl ftrace_caller
      c000000000002058  +0x10    7c0803a6  mtlr r0
      c00000000000205c  +0x14    4bffeff0  b toc+0xc
      record 0x80100001: ENABLED, TOUCHED, 1 user: global_ops
    no record at off-again
"""


def code(words: Mapping[int, int]) -> Code:
    """Text and init text of zeros, but for some words."""
    found = Code([(BASE, array("I", bytes(0x8000))), (INIT_BASE, array("I", bytes(0x1000)))])
    for address, word in words.items():
        found.put(address, word)
    return found


def image(*, little: bool = True, reserve: int = 8) -> Image:
    words = dict.fromkeys(SITES, powerpc.NOP) | {TOC: SETUP[0], TOC + 4: SETUP[1], PLAIN: powerpc.MFLR_R0}
    return Image(
        little=little,
        release="7.3.4",
        clang=False,
        text=Range(BASE, BASE + 0x8000),
        inittext=Range(INIT_BASE, INIT_BASE + 0x1000),
        table=Range(0, 0),
        stored=SITES,
        relocations=None,
        functions=tuple(sorted(FUNCTIONS.values())),
        symbols=tuple(sorted((one.address, one.name) for one in FUNCTIONS.values())),
        addresses={"ftrace_caller": CALLER, "ftrace_nop_ops": NOTHING},
        areas={
            RESERVED: Area(RESERVED, STUBS, reserve * STUB, reserve),
            TEXT_END: Area(TEXT_END, END_STUBS, 0, 0),
            INITTEXT: Area(INITTEXT, INIT_STUBS, STUB, 1),
        },
        code=code(words),
    )


def pointer(address: int, *, little: bool) -> tuple[int, int]:
    low, high = address & 0xFFFFFFFF, address >> 32
    return (low, high) if little else (high, low)


def stop(name: str, traced: Iterable[int] = (), *, little: bool = True, absent: Iterable[int] = ()) -> Survey:
    """Memory as the kernel would leave it when TRACER traces some sites."""
    ops = [Ops(TRACER, frozenset(traced), frozenset(), {})] if traced else []
    records, words = [], {}
    stubs = {ip: STUBS + number * STUB + POINTER for number, ip in enumerate(SITES[:-1])}
    for ip, stub in {**stubs, EARLY: INIT_STUBS + POINTER}.items():
        busy = ip in list(traced)
        words[ip] = powerpc.branch(ip, stub) if busy else powerpc.NOP
        words[stub - 8], words[stub - 4] = pointer(TRACER if busy else NOTHING, little=little)
        words[stub], words[stub + 8] = powerpc.MFLR_R0, powerpc.MTLR_R0
        words[stub + 4] = powerpc.branch(stub + 4, CALLER, link=True)
        words[stub + 12] = powerpc.branch(stub + 12, ip + 4)
        if ip not in absent:
            flags = DISABLED if ip == DEAD_FAR else ENABLED | TOUCHED | 1 if busy else 0
            records.append(Record(ip, flags, stub))
    return Survey(
        name=name, records=tuple(records), groups=(len(records),), ops=tuple(ops), modules=(), code=code(words)
    )


@pytest.mark.parametrize("little", [True, False])
def test_a_stub_is_followed_from_the_file_to_the_stops(little: bool) -> None:
    surveys = [
        stop("off", little=little),
        stop("all", [LEAF, TOC + 8], little=little),
        stop("off-again", little=little),
    ]
    data = {TRACER: "global_ops", NOTHING: "ftrace_nop_ops"}
    kernel = Kernel(image=image(little=little), data=data, offsets=LAID_OUT, surveys=surveys)
    one = explained(kernel, FUNCTIONS["toc"])
    (site,) = one.sites
    assert (site.offset, site.area, site.dead) == (8, "text", False)
    assert site.place
    assert (site.place.area, site.place.index, site.place.used, site.place.size) == (RESERVED, 3, 4, 8)
    assert site.place.code == STUBS + 3 * STUB + POINTER
    assert not site.in_file.filled
    quiet, busy = site.moments
    assert (quiet.stops, busy.stops) == (("off", "off-again"), ("all",))
    assert quiet.state == site.expected
    assert [line.text for line in quiet.state.stub] == ["mflr r0", "bl ftrace_caller", "mtlr r0", "b toc+0xc"]
    assert busy.state.ops == (TRACER, "global_ops")
    assert busy.state.site
    assert busy.state.site.text == f"b plain+{site.place.code - PLAIN:#x}"
    assert (busy.record.bits, busy.record.users, busy.record.traced_by) == (("ENABLED", "TOUCHED"), 1, ("global_ops",))


def test_the_way_to_a_stub_and_what_is_left_of_its_reach() -> None:
    (site,) = explained(Kernel(image=image()), FUNCTIONS["toc"]).sites
    assert site.place
    assert site.place.there == site.place.code - (TOC + 8)
    assert site.place.back == TOC + 12 - (site.place.code + 12)
    there, back = site.place.headroom
    last, first = TOC + 8 + site.place.there + there, site.place.code + 12 + site.place.back - back
    assert powerpc.reaches(TOC + 8, last)
    assert not powerpc.reaches(TOC + 8, last + 4)
    assert powerpc.reaches(site.place.code + 12, first)
    assert not powerpc.reaches(site.place.code + 12, first - 4)


def test_dead_weak_code_is_told_of_at_the_function_before_it() -> None:
    one = explained(Kernel(image=image(), offsets=LAID_OUT, surveys=[stop("off")]), FUNCTIONS["leaf"])
    assert [(site.offset, site.dead) for site in one.sites] == [(0, False), (0x10, True), (0x20, True)]
    assert one.notes == (
        "dead weak code follows, with a patch site at +0x10: the kernel takes it for leaf's",
        "dead weak code follows, with a patch site at +0x20: the kernel takes it for dead",
    )
    assert one.sites[2].moments[0].record.bits == ("DISABLED",)


def test_the_entry_is_shown_until_shortly_after_the_site_and_not_beyond_the_function() -> None:
    kernel = Kernel(image=image())
    assert len(explained(kernel, FUNCTIONS["toc"]).entry) == 7
    assert len(explained(kernel, FUNCTIONS["leaf"]).entry) == 3


def test_a_function_that_cannot_be_traced() -> None:
    one = explained(Kernel(image=image()), FUNCTIONS["plain"])
    assert (one.sites, one.notes, len(one.entry)) == ((), (NO_SITE,), 2)


def test_init_text_is_in_memory_but_once() -> None:
    surveys = [stop("init-memory"), stop("off", absent=[EARLY])]
    one = explained(Kernel(image=image(), offsets=LAID_OUT, surveys=surveys), FUNCTIONS["early"])
    (site,) = one.sites
    assert site.place
    assert (one.notes, site.area, site.place.area, site.place.index) == ((INIT,), "inittext", INITTEXT, 0)
    assert ([moment.stops for moment in site.moments], site.absent) == ([("init-memory",)], ("off",))


def test_without_stubs_out_of_line_there_is_the_site_alone() -> None:
    """Where most sites are nops they are pairs, of which the kernel takes the second."""
    (site,) = explained(Kernel(image=replace(image(), areas={})), FUNCTIONS["toc"]).sites
    assert (site.place, site.expected, site.unserved, site.in_file.stub) == (None, None, OFF, ())
    assert f"the patch site at +0xc, recorded as 0xc000000000001048: {OFF}" in described(
        explained(Kernel(image=replace(image(), areas={})), FUNCTIONS["toc"])
    )


def test_a_full_area_is_told() -> None:
    (site,) = explained(Kernel(image=image(reserve=3)), FUNCTIONS["toc"]).sites
    assert (site.place, site.unserved) == (None, f"{TEXT_END} is full")


def test_another_name_of_a_function_is_told_with_the_one_that_the_kernel_uses() -> None:
    one = explained(Kernel(image=image()), FUNCTIONS["plain"]._replace(name="alias"))
    assert one.notes[0] == "the kernel calls it plain"


def failing(name: str, *victims: str, known: str = "") -> Check:
    return Check(
        name=name,
        status=CheckStatus.KNOWN if known else CheckStatus.FAIL,
        evidence="",
        findings=tuple(finding(who, "wrong") for who in victims),
        count=len(victims),
        known=(known,) if known else (),
    )


def test_findings_are_those_in_which_the_function_is_a_victim() -> None:
    checks = [
        failing("image.one", "toc", "leaf"),
        failing("image.two", "toc+0x8", known="an-issue"),
        failing("image.three", "toc_of_another"),
        Check(name="image.four", status=CheckStatus.PASS, evidence=""),
    ]
    kernel = Kernel(image=image(), checks=checks)
    found = [(one.check, one.status, one.known) for one in explained(kernel, FUNCTIONS["toc"]).findings]
    assert found == [("image.one", "fail", ()), ("image.two", "known", ("an-issue",))]
    by_alias = explained(kernel, FUNCTIONS["toc"]._replace(name="alias")).findings
    assert len(by_alias) == 2


def test_a_person_reads_it_line_by_line() -> None:
    checks = [failing("image.two", "leaf", known="an-issue")]
    surveys = [stop("off"), stop("all", [TOC + 8]), stop("off-again", absent=[TOC + 8])]
    data = {TRACER: "global_ops", NOTHING: "ftrace_nop_ops"}
    kernel = Kernel(image=image(), data=data, offsets=LAID_OUT, surveys=surveys, checks=checks)
    assert described(explained(kernel, FUNCTIONS["toc"])) == TOLD
    assert described(explained(kernel, FUNCTIONS["leaf"])).endswith("  known: image.two (an-issue)\n")


def test_all_functions_are_listed_by_address_and_dead_code_with_them() -> None:
    listed = list(listing.entries(Kernel(image=image())))
    assert [entry["name"] for entry in listed] == [
        "leaf",
        "leaf+0x10",
        "leaf+0x20",
        "toc",
        "plain",
        "ftrace_caller",
        "early",
    ]
    assert [entry["dead"] for entry in listed] == [False, True, True, False, False, False, False]
    assert listed[3] == {
        "name": "toc",
        "address": hex(TOC),
        "size": 32,
        "local_entry": 8,
        "site": hex(TOC + 8),
        "recorded": hex(TOC + 8),
        "area": RESERVED,
        "index": 3,
        "stub": hex(STUBS + 3 * STUB + POINTER),
        "distance": STUBS + 3 * STUB + POINTER - TOC - 8,
        "dead": False,
    }
    assert [listed[4][name] for name in ("site", "area", "index", "stub", "distance")] == [None] * 5
