"""The checks of what a guest says of itself: each holds for what a small guest says, and fails in each way it can."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from oolong.audit import guest_checks, guest_report, probes
from oolong.audit.check import Check, CheckStatus
from oolong.audit.guest_report import Enabled, Many, Told
from oolong.audit.live_state import Live
from oolong.machine.stops import ALL, KPROBE, MODULE, OFF, ONE, QUIET
from tests.guests import DISABLED, TOUCHED, Guest, Loaded, ip_of, live_of
from tests.reports import ALL_ENTRIES, CONFIG, NAMES, REPORT, listing_image, live_and_told, report_of
from tests.support import CHECKOUT

FAIL, PASS, SKIP = CheckStatus.FAIL, CheckStatus.PASS, CheckStatus.SKIP
BOTH = pytest.mark.parametrize("little", [True, False], ids=["le", "be"])


def done(seen: Live, said: Told) -> dict[str, Check]:
    return {check.name: check for check in guest_checks.checks(seen, said)}


def failing(seen: Live, said: Told) -> dict[str, tuple[str, ...]]:
    return {name: check.victims for name, check in done(seen, said).items() if check.status == FAIL}


def without(report: str, *sections: str) -> str:
    kept = [part for part in report.split("== ") if part.partition("\n")[0] not in sections]
    return "== ".join(kept)


@BOTH
def test_a_guest_that_tells_the_truth_passes(little: bool) -> None:
    checks = done(*live_and_told(little))
    assert [(one.name, one.evidence) for one in checks.values() if one.status != PASS] == []
    assert tuple(checks) == tuple(entry.name for group in guest_checks.GUEST for entry in group.entries)


def test_lines_of_the_lists_are_read() -> None:
    _, said = live_and_told()
    assert said.traced("enabled_functions", ONE) == [Enabled("plain_one", None, 1, "O")]
    assert said.traced("enabled_functions", KPROBE) == [Enabled("with_toc_too", None, 1, "RO")]
    in_module = said.traced("enabled_functions", MODULE) or ()
    assert [(one.name, one.module) for one in in_module] == [("far_one", "far"), ("far_two", "far")]
    assert said.traced("enabled_functions", "graph") is None
    assert said.many("enabled_functions", ONE) is None
    assert said.many("enabled_functions", ALL) == Many(count=3, blocks=((3, int(ALL_ENTRIES.split()[-1], 16)),))
    assert said.traced("touched_functions", QUIET) == [
        *(Enabled(name, None, 0, "") for name in NAMES),
        Enabled("__ftrace_invalid_address___32", None, 0, ""),
    ]


def test_a_terminal_ends_lines_in_its_own_way() -> None:
    assert guest_report.sections("lost\n== a\r\none\r\n\r\n== b \n") == {"a": ["one"], "b": []}


def test_the_last_section_of_a_report_that_was_cut_off_says_nothing() -> None:
    cut = "== a\none\n== b\ntw"
    assert guest_report.told(cut, {}, {}, whole=False).sections == {"a": ["one"]}
    assert guest_report.told("", {}, {}, whole=False).sections == {}


# (check, what stands in the report, what stands there instead, the victims)
LIES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "another function is listed as traced": (
        "guest.enabled",
        "plain_one (1)       O",
        "with_toc (1)       O",
        ("plain_one", "with_toc"),
    ),
    "an invented name is listed": (
        "guest.available",
        "plain_one\nwith_toc\n__",
        "invented\nwith_toc\n__",
        ("plain_one", "invented"),
    ),
    "an invented name is listed at an address": (
        "guest.available",
        "} with_toc\n",
        "} invented\n",
        ("with_toc", "invented"),
    ),
    "a name is listed at another's address": (
        "guest.available",
        "{plain_one:x} plain_one\n{with_toc:x} with_toc\n",
        "{with_toc:x} plain_one\n{plain_one:x} with_toc\n",
        ("plain_one", "with_toc"),
    ),
    "a dead record is of another size": (
        "guest.available",
        "__ftrace_invalid_address___32\nwith_toc_too\n==",
        "__ftrace_invalid_address___36\nwith_toc_too\n==",
        ("__ftrace_invalid_address___32", "__ftrace_invalid_address___36"),
    ),
    "a probe landed on another function": (
        "guest.kprobe-as-modelled",
        "kprobes\nwith_toc_too with_toc_too",
        "kprobes\nwith_toc_too plain_one",
        ("with_toc_too",),
    ),
    "a probe landed on two functions": (
        "guest.kprobe-as-modelled",
        "kprobes\nwith_toc_too with_toc_too",
        "kprobes\nwith_toc_too with_toc_too plain_one",
        ("with_toc_too",),
    ),
    "another function is on where all are": (
        "guest.enabled",
        ALL_ENTRIES + "\ncount 3",
        "block 3 12345678\ncount 3",
        ("plain_one",),
    ),
    "there are no checksums": ("guest.enabled", ALL_ENTRIES + "\ncount 3", "count 3", ("plain_one",)),
    "a checksum too many": (
        "guest.enabled",
        ALL_ENTRIES + "\ncount 3",
        ALL_ENTRIES + "\nblock 1 0\ncount 3",
        ("with_toc_too",),
    ),
    "a module's function is another module's": (
        "guest.enabled",
        "far_two [far]",
        "far_two [near]",
        ("[far]", "[near]"),
    ),
    "a function was never touched": ("guest.touched", "\nwith_toc (0)\n", "\n", ("with_toc",)),
    "a function was touched that was not": (
        "guest.touched",
        "\nwith_toc (0)\n",
        "\nwith_toc (0)\nsetup (0)\n",
        ("setup",),
    ),
}


@BOTH
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_a_name_is_found(little: bool, lie: str) -> None:
    check, before, after, victims = LIES[lie]
    assert before in REPORT
    assert failing(*live_and_told(little, REPORT.replace(before, after, 1))).get(check) == victims


@pytest.mark.parametrize(
    ("check", "before", "after", "victims"),
    [
        ("guest.total", "off\n4 pages", "off\n5 pages", ("off",)),
        ("guest.total", "6 pages:2 groups: 2\n", "", ("module",)),
        ("guest.total", "6 pages", "many pages", ("module",)),
        ("guest.available", "plain_one\nwith_toc\n__", "plain_one\n__", ("with_toc",)),
        (
            "guest.available",
            "with_toc\n__ftrace_invalid_address___32",
            "with_toc\nplain_two",
            ("__ftrace_invalid_address___32", "plain_two"),
        ),
        (
            "guest.listed-once",
            "with_toc_too\n== dyn",
            "plain_one\n{plain_one:x} plain_one\n== dyn",
            ("plain_one",),
        ),
        ("guest.enabled", "count 3", "count 2", ("all",)),
        ("guest.enabled", "plain_one (1)  ", "plain_one (2)  ", ("plain_one",)),
        ("guest.enabled", "plain_one (1)  ", "plain_one (1) R", ("plain_one",)),
        ("guest.enabled", "plain_one (1)       O", "plain_one (1)     D O", ("plain_one",)),
        ("guest.enabled", "enabled_functions@off\n", "enabled_functions@off\nplain_one (1)\n", ("plain_one",)),
        ("guest.enabled", "far_two [far] (1)       O\n", "", ("[far]",)),
        ("guest.touched", "plain_one (0)\n", "", ("plain_one",)),
    ],
)
def test_what_is_not_so_is_found(check: str, before: str, after: str, victims: tuple[str, ...]) -> None:
    assert before in REPORT
    assert failing(*live_and_told(report=REPORT.replace(before, after))).get(check) == victims


@pytest.mark.parametrize("stop", [OFF, ONE, ALL, MODULE, KPROBE, QUIET])
@pytest.mark.parametrize(
    ("file", "check"), [("dyn_ftrace_total_info", "guest.total"), ("enabled_functions", "guest.enabled")]
)
def test_a_stop_that_was_made_has_its_sections(stop: str, file: str, check: str) -> None:
    assert failing(*live_and_told(report=without(REPORT, f"{file}@{stop}"))) == {check: (stop,)}


@pytest.mark.parametrize(
    ("section", "checks"),
    [
        ("available_filter_functions", ["guest.available"]),
        ("available_filter_functions_addrs", ["guest.available", "guest.listed-once"]),
        ("touched_functions@off-again", ["guest.touched"]),
        ("kprobes", ["guest.kprobe-as-modelled", "guest.kprobe-location"]),
    ],
)
def test_what_the_guest_owes_and_does_not_report_is_found(section: str, checks: Sequence[str]) -> None:
    assert list(failing(*live_and_told(report=without(REPORT, section)))) == checks


@pytest.mark.parametrize("line", ["another (many) R", "c000000000001000", "another one of them", "count many"])
@pytest.mark.parametrize(
    ("section", "check"),
    [
        ("available_filter_functions_addrs", "guest.available"),
        ("enabled_functions@one", "guest.enabled"),
        ("enabled_functions@all", "guest.enabled"),
        ("touched_functions@off-again", "guest.touched"),
    ],
)
def test_a_line_that_nobody_can_read_is_found(section: str, check: str, line: str) -> None:
    report = REPORT.replace(f"== {section}\n", f"== {section}\n{line}\n")
    assert failing(*live_and_told(report=report)) == {check: (line,)}


def test_a_guest_that_says_nothing_passes_nothing() -> None:
    seen, _ = live_and_told()
    mute = done(seen, guest_report.told("", {"allocated": 5}, CONFIG))
    assert [name for name, check in mute.items() if check.status != FAIL] == ["guest.allocated"]


def test_a_guest_that_failed_owes_nothing_more() -> None:
    seen, _ = live_and_told()
    early = guest_report.told(report_of(seen.image, REPORT.partition("== kprobes")[0]), {"allocated": 5}, CONFIG)
    assert failing(replace(seen, due=None), early) == {}
    assert failing(seen, early) != {}


def test_a_kernel_without_a_file_of_tracefs_owes_no_list_of_it() -> None:
    seen, _ = live_and_told()
    older = replace(seen.image, symbols=tuple(one for one in seen.image.symbols if not one[1].endswith("_open")))
    left = without(REPORT, "available_filter_functions_addrs", "touched_functions@off-again")
    said = guest_report.told(report_of(seen.image, left), {"allocated": 5}, CONFIG)
    checks = done(replace(seen, image=older), said)
    assert failing(replace(seen, image=older), said) == {}
    assert checks["guest.listed-once"].status == SKIP


def test_functions_of_a_module_are_listed_by_the_module() -> None:
    """Their names are not known; loaded before any tracing, they are listed too."""
    image = listing_image(True)
    guest = Guest(image, OFF, (), [Loaded()])
    first, second = (record.ip for record in guest.survey().records[-2:])
    report = report_of(image, REPORT)
    for section, lines in (
        ("available_filter_functions", "one [far]\ntwo [far]\n"),
        ("available_filter_functions_addrs", f"{first:x} one [far]\n{second:x} one [far]\n"),
    ):
        report = report.replace(f"== {section}\n", f"== {section}\n{lines}")
    seen = replace(live_of(guest), due=())
    checks = done(seen, guest_report.told(report, {"allocated": 5}, CONFIG))
    assert [checks[name].status for name in ("guest.available", "guest.listed-once")] == [PASS, PASS]
    moved = guest_report.told(report.replace("two [far]", "two [near]"), {"allocated": 5}, CONFIG)
    assert done(seen, moved)["guest.available"].victims == ("[far]", "[near]")


@pytest.mark.parametrize("allocated", [4, 6, None])
def test_the_kernel_allocates_as_many_records_as_there_are_sites(allocated: int | None) -> None:
    seen, said = live_and_told()
    assert done(seen, replace(said, allocated=allocated))["guest.allocated"].status == FAIL


def test_dead_records_are_those_of_memory() -> None:
    seen, said = live_and_told()
    alive = [
        replace(one, records=tuple(record._replace(flags=record.flags & ~DISABLED) for record in one.records))
        for one in seen.surveys
    ]
    assert done(replace(seen, surveys=alive), said)["guest.available"].victims == (
        "with_toc",
        "__ftrace_invalid_address___32",
    )


def test_what_was_on_has_a_record_that_remembers_it() -> None:
    """The kernel forgot it, and its list with it."""
    seen, _ = live_and_told()
    *others, last = seen.surveys
    first = last.records[0]
    forgot = replace(last, records=(first._replace(flags=first.flags & ~TOUCHED), *last.records[1:]))
    said = guest_report.told(report_of(seen.image, REPORT.replace("plain_one (0)\n", "")), {"allocated": 5}, CONFIG)
    check = done(replace(seen, surveys=[*others, forgot]), said)["guest.touched"]
    assert (check.status, check.victims) == (FAIL, ("plain_one",))
    assert "was on at module" in check.evidence


def test_a_kernel_that_does_not_remember_is_not_asked() -> None:
    seen, said = live_and_told()
    enums = {name: bit for name, bit in seen.offsets.enums.items() if name != "FTRACE_FL_TOUCHED"}
    assert done(replace(seen, offsets=replace(seen.offsets, enums=enums)), said)["guest.touched"].status == SKIP


@pytest.mark.parametrize(
    ("check", "stop"),
    [("guest.available", OFF), ("guest.touched", QUIET), ("guest.kprobe-location", KPROBE)],
)
def test_a_stop_that_is_missing_is_not_compared_with(check: str, stop: str) -> None:
    """That it is missing is a finding of live.stops."""
    seen, said = live_and_told()
    others = [one for one in seen.surveys if one.name != stop]
    assert done(replace(seen, surveys=others), said)[check].status == SKIP


def test_where_the_guest_stopped_nowhere_nothing_is_compared() -> None:
    seen, said = live_and_told()
    checks = done(replace(seen, surveys=seen.surveys[:1]), said)
    assert [name for name, check in checks.items() if check.status == SKIP] == [
        "guest.total",
        "guest.available",
        "guest.enabled",
        "guest.touched",
        "guest.kprobe-as-modelled",
        "guest.kprobe-location",
    ]


@pytest.mark.parametrize(
    ("limit", "places", "rule"),
    [
        # what is left of a weak function, which has no symbol
        (32, ("with_toc", "dead"), "dead-record"),
        (None, ("with_toc", "dead"), "no-max-offset"),
        # further than the kernel lets it be
        (16, ("with_toc", "dead"), ""),
        # the function's own site twice, or the dead one
        (32, ("with_toc", "with_toc"), ""),
        (32, ("dead", "dead"), ""),
        (None, ("with_toc", "with_toc", "dead"), ""),
        # a place that is no site
        (None, ("with_toc", "nowhere"), ""),
    ],
)
@BOTH
def test_a_function_that_is_listed_twice_has_a_rule_only_if_dead_code_is_why(
    little: bool, limit: int | None, places: Sequence[str], rule: str
) -> None:
    seen, said = live_and_told(little)
    ips = {"dead": next(site.ip for site in seen.image.sites if site.function is None)}
    ips |= {"with_toc": ip_of(seen.image, "with_toc"), "nowhere": ip_of(seen.image, "with_toc") + 4}
    constants = {**seen.offsets.constants, "FTRACE_MCOUNT_MAX_OFFSET": limit}
    kernel = replace(seen.offsets, constants={name: value for name, value in constants.items() if value is not None})
    lines = [f"{ips[place]:x} with_toc" for place in places]
    twice = replace(said, sections={**said.sections, "available_filter_functions_addrs": lines})
    check = done(replace(seen, offsets=kernel), twice)["guest.listed-once"]
    assert [(one.who, one.rule) for one in check.findings] == [("with_toc", rule)]


def test_a_function_is_listed_twice_if_two_places_have_its_name() -> None:
    seen, said = live_and_told()
    start = ip_of(seen.image, "plain_one")
    lines = [f"{start:x} plain_one", f"{start + 4:x} plain_one", "not an address", "zz plain_one"]
    told = replace(said, sections={**said.sections, "available_filter_functions_addrs": lines})
    failed = done(seen, told)["guest.listed-once"]
    assert (failed.status, failed.victims) == (FAIL, ("plain_one",))
    assert "+0x0, +0x4" in failed.evidence


def test_the_guest_and_the_audit_agree() -> None:
    """On how many functions a checksum stands for, and on the function that a guest probes without being told."""
    defined = dict(re.findall(r'#define (\w+) "?(\w+)"?', (CHECKOUT / "guest" / "init.c").read_text()))
    assert (int(defined["BLOCK"]), defined["TRACED"]) == (guest_report.BLOCK, probes.TRACED)


def test_blocks_are_of_so_many_lines() -> None:
    lines = [Enabled(f"function_{number}", None, 1, "O") for number in range(2 * guest_report.BLOCK + 1)]
    made = list(guest_report.blocks(lines))
    assert [len(own) for own, _ in made] == [guest_report.BLOCK, guest_report.BLOCK, 1]
    assert made[2][1] == zlib.crc32(b"function_64 1 O\n")
