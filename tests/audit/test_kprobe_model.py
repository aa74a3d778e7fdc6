"""The kernel's own search for a kprobe's patch site, done again: where it comes to, and what the checks make of it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from oolong.audit import guest_checks, guest_report, kprobe_model
from oolong.audit.check import Check, CheckStatus
from oolong.audit.image import Code, Function, Image
from oolong.audit.live_state import Live
from oolong.audit.probes import LONG_BYTES, asked
from oolong.audit.survey import Record, Survey
from oolong.machine.stops import KPROBE
from tests.guests import ENABLED, REGS_EN, Guest, Tracer, image_of, live_of

FAIL, PASS, SKIP = CheckStatus.FAIL, CheckStatus.PASS, CheckStatus.SKIP
CONFIG = {"KPROBES_ON_FTRACE": "y"}
BASE = 0xC000_0000_0000_0000
SHORT, NEXT, TOC, LONG = BASE + 0x60, BASE + 0x68, BASE + 0x88, BASE + 0xC8
BOTH = pytest.mark.parametrize("little", [True, False], ids=["le", "be"])


def of_groups(*groups: Sequence[int]) -> Survey:
    return Survey(
        name=KPROBE,
        records=tuple(Record(ip, 0, 0) for group in groups for ip in group),
        groups=tuple(len(group) for group in groups),
        ops=(),
        modules=(),
        code=Code([]),
    )


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        # one in reach, at either end of it, the end included
        ([[100]], 100),
        ([[116]], 116),
        ([[117]], None),
        # an instruction that begins before it, and reaches into it
        ([[97]], 97),
        ([[96]], None),
        ([], None),
        ([[]], None),
        # of two the one that halving comes to first
        ([[100, 108]], 108),
        ([[100, 108, 200]], 108),
        ([[50, 100, 108]], 100),
        ([[50, 60, 100, 108]], 100),
        ([[50, 60, 70, 100, 108]], 108),
        ([[100, 108, 200, 300]], 108),
        ([[100, 104, 108, 112, 116, 200]], 112),
        # of two groups the first that has one
        ([[100], [108]], 100),
        ([[108], [100]], 108),
        ([[10, 300], [100]], 100),
        ([[10, 20], [], [100]], 100),
    ],
)
def test_the_search_is_that_of_the_kernel(groups: Sequence[Sequence[int]], found: int | None) -> None:
    """By hand, after lookup_rec and __inline_bsearch."""
    record = kprobe_model.place_of(of_groups(*groups), 100)
    assert (record.ip if record else None) == found


def kernel(little: bool) -> Image:
    """A function of 8 bytes before another one, so that the sites of both are in its window; and a long one."""
    image = image_of(little)
    init = [one for one in image.functions if image.inittext.holds(one.address)]
    functions = (
        *(one for one in image.functions if one.address < SHORT),
        Function(SHORT, 8, 0, "short_one"),
        Function(NEXT, 12, 0, "next_one"),
        Function(TOC - 8, 20, 8, "with_toc"),
        Function(LONG - 8, LONG_BYTES, 8, "long_one"),
        *init,
    )
    text = {one.address: one.name for one in functions}
    symbols = {at: name for at, name in image.symbols if not SHORT <= at <= LONG}
    return replace(
        image,
        functions=functions,
        symbols=tuple(sorted((symbols | text).items())),
        relocations=None,
        stored=(SHORT, NEXT, TOC, LONG, *(site.ip for site in image.sites if image.inittext.holds(site.ip))),
    )


def probed(image: Image, on: Iterable[int], said: str, *, failed: bool = False) -> dict[str, Check]:
    """The checks of a guest that has probes on some sites, and says where each landed."""
    places = frozenset(on)
    guest = Guest(image, KPROBE, [Tracer(traced=places, regs=True)] if places else [])
    return checked(replace(live_of(guest), due=None if failed else ()), said)


def checked(live: Live, said: str) -> dict[str, Check]:
    told = guest_report.told(said, {}, CONFIG)
    return {one.name: one for one in guest_checks.checks(live, told) if one.name.startswith("guest.kprobe")}


def failing(checks: dict[str, Check]) -> dict[str, list[tuple[str, str]]]:
    """Each finding's victim, and the rule that explains it."""
    return {
        name: [(found.who, found.rule) for found in check.findings]
        for name, check in checks.items()
        if check.status == FAIL
    }


MODELLED, LOCATION = "guest.kprobe-as-modelled", "guest.kprobe-location"
AS_IT_IS = "== kprobes\nshort_one next_one\nlong_one long_one\n"


@BOTH
def test_a_probe_on_the_neighbour_is_as_modelled_and_has_a_rule(little: bool) -> None:
    assert asked(kernel(little)) == ("short_one", "long_one")
    checks = probed(kernel(little), [NEXT, LONG], AS_IT_IS)
    assert failing(checks) == {LOCATION: [("short_one", "short-function")]}
    assert checks[LOCATION].evidence == "1: short_one: its kprobe landed on next_one"


@BOTH
def test_a_probe_on_its_own_function_is_right_whatever_the_search_would_do(little: bool) -> None:
    """A kernel whose search was put right."""
    said = "== kprobes\nshort_one short_one\nlong_one long_one\n"
    assert failing(probed(kernel(little), [SHORT, LONG], said)) == {}


@pytest.mark.parametrize(
    ("on", "said", "failed"),
    [
        # neither where the search comes to, nor its own: nothing explains that
        (
            [TOC, LONG],
            "short_one with_toc\nlong_one long_one\n",
            {MODELLED: [("short_one", "")], LOCATION: [("short_one", "")]},
        ),
        # the long one is the control: no rule
        (
            [NEXT, TOC],
            "short_one next_one\nlong_one with_toc\n",
            {MODELLED: [("long_one", "")], LOCATION: [("short_one", "short-function"), ("long_one", "")]},
        ),
        # what it says is not what is in memory
        (
            [NEXT, LONG],
            "short_one with_toc\nlong_one long_one\n",
            {MODELLED: [("short_one", ""), ("next_one", "")], LOCATION: [("short_one", "")]},
        ),
        (
            [LONG],
            "short_one next_one\nlong_one long_one\n",
            {MODELLED: [("short_one", "")], LOCATION: [("short_one", "")]},
        ),
        # an error, no patch site, no word
        (
            [LONG],
            "short_one !-22\nlong_one long_one\n",
            {MODELLED: [("short_one", "")], LOCATION: [("short_one", "")]},
        ),
        (
            [LONG],
            "short_one -\nlong_one long_one\n",
            {MODELLED: [("short_one", "")], LOCATION: [("short_one", "")]},
        ),
        ([LONG], "long_one long_one\n", {MODELLED: [("short_one", "")], LOCATION: [("short_one", "")]}),
        (
            [NEXT],
            "short_one next_one\n",
            {MODELLED: [("long_one", "")], LOCATION: [("short_one", "short-function"), ("long_one", "")]},
        ),
        # a probe that nobody asked for
        (
            [NEXT, TOC, LONG],
            "short_one next_one\nlong_one long_one\n",
            {MODELLED: [("with_toc", "")], LOCATION: [("short_one", "short-function")]},
        ),
        # a function that there is not
        (
            [NEXT, LONG],
            "short_one next_one\nlong_one long_one\nnobody next_one\n",
            {MODELLED: [("nobody", "")], LOCATION: [("short_one", "short-function"), ("nobody", "")]},
        ),
    ],
)
@BOTH
def test_what_the_search_does_not_explain_is_found(
    little: bool, on: Sequence[int], said: str, failed: dict[str, list[tuple[str, str]]]
) -> None:
    assert failing(probed(kernel(little), on, f"== kprobes\n{said}")) == failed


def test_a_dead_record_that_passes_for_the_function_has_the_rule_of_dead_records() -> None:
    """The record of a function that was overridden, which the kernel takes for the short one's: of two of one name it
    is that in memory which counts."""
    image = kernel(True)
    gone = replace(
        image,
        functions=tuple(one for one in image.functions if one.name != "next_one"),
        symbols=tuple(one for one in image.symbols if one[1] != "next_one"),
    )
    checks = probed(gone, [NEXT, LONG], "== kprobes\nshort_one short_one\nlong_one long_one\n")
    assert failing(checks) == {LOCATION: [("short_one", "dead-record")]}
    assert "landed on short_one+0x8" in checks[LOCATION].evidence


def test_a_foreign_site_that_is_no_entry_is_not_explained() -> None:
    image = kernel(True)
    functions = tuple(one._replace(local_entry=4) if one.name == "next_one" else one for one in image.functions)
    checks = probed(replace(image, functions=functions), [NEXT, LONG], AS_IT_IS)
    assert failing(checks) == {LOCATION: [("short_one", "")]}


def test_a_record_that_is_on_without_registers_is_no_probe() -> None:
    guest = Guest(kernel(True), KPROBE, [Tracer(traced=frozenset({NEXT, LONG}), regs=True)])
    seen = replace(live_of(guest), due=())
    (survey,) = seen.surveys
    bare = tuple(record._replace(flags=record.flags & ~REGS_EN) for record in survey.records)
    assert any(record.flags & ENABLED for record in bare)
    checks = checked(replace(seen, surveys=[replace(survey, records=bare)]), AS_IT_IS)
    assert failing(checks) == {
        MODELLED: [("short_one", ""), ("long_one", "")],
        LOCATION: [("short_one", ""), ("long_one", "")],
    }


def test_a_guest_that_is_told_no_function_takes_its_own() -> None:
    image = image_of(True)
    functions = tuple(one._replace(size=20) for one in image.functions)
    plain = replace(image, functions=functions)
    assert asked(plain) == ("sys_getppid",)
    assert failing(probed(plain, [], "== kprobes\n"))[MODELLED] == [("sys_getppid", "")]
    assert failing(probed(plain, [], "== kprobes\nsys_getppid -\n")) == {LOCATION: [("sys_getppid", "")]}


def test_a_guest_that_failed_before_its_kprobes_is_not_asked() -> None:
    assert {check.status for check in probed(kernel(True), [], "", failed=True).values()} == {SKIP}
    assert {check.status for check in probed(kernel(True), [], "").values()} == {FAIL}


def test_kprobes_that_use_no_patch_sites_are_not_looked_for() -> None:
    seen = replace(live_of(Guest(kernel(True), KPROBE)), due=())
    told = guest_report.told(AS_IT_IS, {}, {})
    checks = {one.name: one for one in guest_checks.checks(seen, told)}
    assert (checks[MODELLED].status, checks[LOCATION].status) == (SKIP, SKIP)
