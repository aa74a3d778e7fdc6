"""The checks of what a guest says of itself: each holds for what a small guest says, and fails in each way it can."""

from dataclasses import replace

import pytest

from oolong.audit import guest_checks
from oolong.audit.check import Check, CheckStatus
from oolong.audit.guest_checks import GUEST, Enabled, Heard, Told
from oolong.audit.live_state import Live
from oolong.audit.survey import Record
from oolong.machine.stops import ALL, KPROBE, MODULE, OFF, ONE, QUIET
from tests.guests import DISABLED, ENABLED, Guest, Loaded, Tracer, image_of, ip_of, live_of

FAIL, PASS, SKIP = CheckStatus.FAIL, CheckStatus.PASS, CheckStatus.SKIP
CONFIG = {"KPROBES_ON_FTRACE": "y"}
REPORT = """\
== dyn_ftrace_total_info@off
4 pages:1 groups: 1
== dyn_ftrace_total_info@module
6 pages:2 groups: 2
== available_filter_functions
plain_one
with_toc
__ftrace_invalid_address___32
with_toc_too
== available_filter_functions_addrs
{plain_one:x} plain_one
{with_toc:x} with_toc
{dead:x} __ftrace_invalid_address___32
{with_toc_too:x} with_toc_too
== enabled_functions@off
== enabled_functions@one
plain_one (1)       O     \tops: nobody
\tsecond line of the same
# comment
== enabled_functions@all
count 3
== enabled_functions@module
count 5
far_one [far] (1)       O
far_two [far] (1)       O
== enabled_functions@kprobe
with_toc (1) R     O     \tops: kprobe_ftrace_ops
== kprobes
with_toc with_toc (1) R
== touched_functions@off-again
plain_one (0)
with_toc (0)
with_toc_too (0)
"""


def live_and_told(little: bool = True) -> tuple[Live, Told]:
    image = image_of(little, dead=True)
    places = {name: ip_of(image, name) for name in ("plain_one", "with_toc", "with_toc_too")}
    dead = next(site.ip for site in image.sites if site.function is None)
    seen = live_of(
        Guest(image, OFF),
        Guest(image, ONE, [Tracer(traced=frozenset({places["plain_one"]}))]),
        Guest(image, ALL, [Tracer()]),
        Guest(image, MODULE, [Tracer()], [Loaded()]),
        Guest(image, KPROBE, [Tracer(traced=frozenset({places["with_toc"]}), regs=True)]),
        Guest(image, QUIET),
    )
    return seen, guest_checks.told(REPORT.format(**places, dead=dead), {"allocated": 5}, CONFIG)


def done(seen: Live, said: Told) -> dict[str, Check]:
    return {check.name: check for check in guest_checks.checks(seen, said)}


@pytest.mark.parametrize("little", [True, False], ids=["le", "be"])
def test_a_guest_that_tells_the_truth_passes(little: bool) -> None:
    checks = done(*live_and_told(little))
    assert [(one.name, one.evidence) for one in checks.values() if one.status != PASS] == []
    assert tuple(checks) == tuple(entry.name for entry in GUEST.entries)


def test_lines_of_the_list_of_enabled_functions_are_read() -> None:
    _, said = live_and_told()
    assert said.enabled(ONE) == [Enabled("plain_one", None, 1, "O")]
    assert said.enabled(KPROBE) == [Enabled("with_toc", None, 1, "RO")]
    assert [(one.name, one.module) for one in said.enabled(MODULE) or ()] == [("far_one", "far"), ("far_two", "far")]
    assert (said.enabled("graph"), said.counted(ALL), said.counted(ONE)) == (None, 3, None)


def test_a_terminal_ends_lines_in_its_own_way() -> None:
    assert guest_checks.sections("lost\n== a\r\none\r\n\r\n== b \n") == {"a": ["one"], "b": []}


@pytest.mark.parametrize(
    ("check", "before", "after", "victims"),
    [
        ("guest.total", "4 pages", "5 pages", ("off",)),
        ("guest.total", "6 pages:2 groups: 2\n", "", ("module",)),
        ("guest.total", "6 pages", "many pages", ("module",)),
        ("guest.available", "plain_one\nwith_toc\n__", "plain_one\n__", ()),
        ("guest.available", "with_toc\n__ftrace_invalid_address___32", "with_toc\nplain_two", ()),
        (
            "guest.listed-once",
            "with_toc_too\n== enabled",
            "plain_one\n{plain_one:x} plain_one\n== enabled",
            ("plain_one",),
        ),
        ("guest.enabled", "count 3", "count 2", ("all",)),
        ("guest.enabled", "plain_one (1)  ", "plain_one (2)  ", ("one",)),
        ("guest.enabled", "plain_one (1)  ", "plain_one (1) R", ("one",)),
        ("guest.enabled", "plain_one (1)       O", "plain_one (1)     D O", ("one",)),
        ("guest.enabled", "enabled_functions@off\n", "enabled_functions@off\nplain_one (1)\n", ("off",)),
        ("guest.enabled", "far_two [far] (1)       O\n", "", ("module",)),
        ("guest.touched", "plain_one (0)\n", "", ("plain_one",)),
        ("guest.kprobe-location", "kprobes\nwith_toc with_toc", "kprobes\nplain_one with_toc", ("plain_one",)),
        ("guest.kprobe-location", "kprobes\nwith_toc with_toc", "kprobes\nnobody with_toc", ("nobody",)),
    ],
)
def test_what_is_not_so_is_found(check: str, before: str, after: str, victims: tuple[str, ...]) -> None:
    seen, said = live_and_told()
    places = {name: ip_of(seen.image, name) for name in ("plain_one", "with_toc", "with_toc_too")}
    dead = next(site.ip for site in seen.image.sites if site.function is None)
    assert before in REPORT
    said = guest_checks.told(REPORT.replace(before, after).format(**places, dead=dead), {"allocated": 5}, CONFIG)
    failed = done(seen, said)[check]
    assert (failed.status, failed.victims) == (FAIL, victims)


def test_a_function_is_listed_twice_if_two_places_have_its_name() -> None:
    seen, said = live_and_told()
    start = ip_of(seen.image, "plain_one")
    lines = [f"{start:x} plain_one", f"{start + 4:x} plain_one", "not an address", "zz plain_one"]
    told = replace(said, sections={**said.sections, guest_checks.WITH_ADDRESSES: lines})
    failed = guest_checks.listed_once(Heard(seen, told))
    assert (failed.status, failed.victims) == (FAIL, ("plain_one",))
    assert "+0x0, +0x4" in failed.evidence


@pytest.mark.parametrize("allocated", [4, 6, None])
def test_the_kernel_allocates_as_many_records_as_there_are_sites(allocated: int | None) -> None:
    seen, said = live_and_told()
    assert done(seen, replace(said, allocated=allocated))["guest.allocated"].status == FAIL


def test_dead_records_are_those_of_memory() -> None:
    seen, said = live_and_told()
    first, *others = seen.surveys
    records = tuple(record._replace(flags=record.flags & ~DISABLED) for record in first.records)
    alive = replace(seen, surveys=[replace(first, records=records), *others])
    assert done(alive, said)["guest.available"].status == FAIL


def test_a_kprobe_that_uses_no_registers_is_none() -> None:
    seen, said = live_and_told()
    surveys = [
        replace(one, records=tuple(Record(r.ip, r.flags & ENABLED, r.stub) for r in one.records))
        for one in seen.surveys
    ]
    assert done(replace(seen, surveys=surveys), said)["guest.kprobe-location"].victims == ("with_toc",)


@pytest.mark.parametrize(
    ("check", "section"),
    [
        ("guest.total", guest_checks.TOTAL),
        ("guest.available", guest_checks.AVAILABLE),
        ("guest.listed-once", guest_checks.WITH_ADDRESSES),
        ("guest.enabled", guest_checks.ENABLED),
        ("guest.touched", guest_checks.TOUCHED),
        ("guest.kprobe-location", guest_checks.PROBES),
    ],
)
def test_what_the_guest_did_not_report_is_skipped(check: str, section: str) -> None:
    seen, said = live_and_told()
    left = {name: lines for name, lines in said.sections.items() if name.partition("@")[0] != section}
    assert done(seen, replace(said, sections=left))[check].status == SKIP


@pytest.mark.parametrize(("check", "stop"), [("guest.available", OFF), ("guest.kprobe-location", KPROBE)])
def test_a_stop_that_is_missing_is_not_compared_with(check: str, stop: str) -> None:
    seen, said = live_and_told()
    others = [one for one in seen.surveys if one.name != stop]
    assert done(replace(seen, surveys=others), said)[check].status == SKIP


def test_kprobes_that_use_no_patch_sites_are_not_looked_for() -> None:
    seen, said = live_and_told()
    assert done(seen, replace(said, kprobes_on_ftrace=False))["guest.kprobe-location"].status == SKIP
