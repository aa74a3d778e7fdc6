"""The checks of what the guest says of itself: its counts and lists, held against the image and its memory (pure).

Sources: t_show, print_rec and ftrace_process_locs in kernel/trace/ftrace.c of
Linux 7.3.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from oolong.audit.check import Answer, Check, finding, judged, none_of, skipped
from oolong.audit.live_state import Live
from oolong.audit.registry import AUDITED, SINCE_OUT_OF_LINE, WITH_REPORT, Checks, Due, Needs
from oolong.audit.survey import Record, Survey
from oolong.errors import Kind
from oolong.machine.stops import KPROBE, OFF, QUIET

AVAILABLE, WITH_ADDRESSES, TOTAL = (
    "available_filter_functions",
    "available_filter_functions_addrs",
    "dyn_ftrace_total_info",
)
ENABLED, TOUCHED, PROBES = "enabled_functions", "touched_functions", "kprobes"
# what the kernel calls a record that it took for dead (FTRACE_INVALID_FUNCTION)
INVALID = "__ftrace_invalid_address__"
TRACED = re.compile(r"(?P<name>[^\s(]+)(?: \[(?P<module>\w+)\])?\s*\((?P<users>\d{1,9})\)(?P<flags>[^\t]*)")

# what the letters of enabled_functions stand for, in their order (t_show)
LETTERS = {
    "R": "FTRACE_FL_REGS",
    "I": "FTRACE_FL_IPMODIFY",
    "D": "FTRACE_FL_DIRECT",
    "O": "FTRACE_FL_CALL_OPS",
    "M": "FTRACE_FL_MODIFIED",
}
SAID = re.compile(r"[RIDOM]")
COUNT = re.compile(r"count (\d{1,9})")


class Enabled(NamedTuple):
    """A line of enabled_functions: `letters` stand for what is done with the function, those of LETTERS."""

    name: str
    module: str | None
    users: int
    letters: str


@dataclass(frozen=True)
class Told:
    """What the guest said: `allocated` records when it booted (None: it did not say), and the sections of its report
    by name; `kprobes_on_ftrace` says whether its kprobes use patch sites at all."""

    allocated: int | None
    sections: Mapping[str, Sequence[str]]
    kprobes_on_ftrace: bool

    def enabled(self, stop: str) -> list[Enabled] | None:
        """The functions that are traced at a stop."""
        lines = self.sections.get(f"{ENABLED}@{stop}")
        if lines is None:
            return None
        found = [TRACED.match(line) for line in lines if not line.startswith(("\t", "#"))]
        return [
            Enabled(
                one["name"], one["module"], int(one["users"]), "".join(SAID.findall(one["flags"].partition("\t")[0]))
            )
            for one in found
            if one
        ]

    def counted(self, stop: str) -> int | None:
        """How many functions are traced at a stop, where it reported no more than that."""
        lines = self.sections.get(f"{ENABLED}@{stop}", ())
        return next((int(match[1]) for line in lines if (match := COUNT.fullmatch(line))), None)

    @cached_property
    def landed(self) -> dict[str, str]:
        """Where each kprobe by symbol landed, as the guest's list of enabled functions has it."""
        return {words[0]: " ".join(words[1:]) for line in self.sections.get(PROBES, ()) if (words := line.split())}


def sections(report: str) -> dict[str, list[str]]:
    """The lines of the guest's report by the name of their section; a terminal ends lines with a return, too."""
    found: dict[str, list[str]] = {}
    own: list[str] = []
    for line in report.replace("\r", "").split("\n"):
        if line.startswith("== "):
            own = found.setdefault(line[3:].strip(), [])
        elif line:
            own.append(line)
    return found


def told(report: str, booted: Mapping[str, Any], config: Mapping[str, str]) -> Told:
    """From the report, the data of the stage boot, and the kernel's .config."""
    return Told(booted.get("allocated"), sections(report), config.get("KPROBES_ON_FTRACE") == "y")


@dataclass(frozen=True)
class Heard:
    """What was found in a guest's memory, and what it said."""

    live: Live
    said: Told


GUEST = Checks[Heard](needs=Needs.GUEST, kind=Kind.GUEST_TEST)


def checks(live: Live, said: Told) -> Iterator[Check]:
    """All checks, each once."""
    return GUEST.run(Heard(live, said))


@GUEST.check(
    "guest.allocated",
    title="records allocated at boot",
    holds="`ftrace: allocating N entries` says the number of sites in the image",
    failure="the kernel passed over a site, or read another table",
    due=AUDITED,
)
def allocated(heard: Heard) -> Answer:
    """The kernel made as many records when it booted as the image has patch sites."""
    image, said = heard.live.image, heard.said
    count = len(image.sites)
    told = f"the kernel allocated {said.allocated} records, the image has {count} patch sites"
    return judged(said.allocated == count, told)


@GUEST.check(
    "guest.total",
    title="the count of records",
    holds="`dyn_ftrace_total_info` is the number of records in memory, at each stop",
    failure="records of init text or of a module were not taken away, or counted twice",
)
def total(heard: Heard) -> Answer:
    """At each stop dyn_ftrace_total_info counts the records that there are: those of init text are gone."""
    live, said = heard.live, heard.said
    wrong, counted = [], []
    for survey in live.surveys:
        lines = said.sections.get(f"{TOTAL}@{survey.name}")
        if lines is None:
            continue
        number = re.match(r"\d{1,9}\b", lines[0] if lines else "")
        counted.append(survey.name)
        if number is None or int(number[0]) != len(survey.records):
            what = f"the guest counts {lines[:1]}, there are {len(survey.records)} records"
            wrong.append(finding(survey.name, what))
    if not counted:
        return skipped("the guest reported no counts")
    return none_of(wrong, held=f"the guest's count is that of its records at {', '.join(counted)}")


@GUEST.check(
    "guest.available",
    title="the list of functions",
    holds="`available_filter_functions` has a line for each record, the dead ones as invalid",
    failure="functions are hidden from people, or names shown that nothing can trace",
)
def available(heard: Heard) -> Answer:
    """Each record before any tracing is listed, the dead ones as invalid."""
    live, said = heard.live, heard.said
    lines, survey = said.sections.get(AVAILABLE), _at(live, OFF)
    if lines is None or survey is None:
        return skipped(f"the guest reported no {AVAILABLE}")
    dead = sum(bool(record.flags & live.flags.disabled) for record in survey.records)
    invalid = sum(line.startswith(INVALID) for line in lines)
    what = f"{len(lines)} functions are listed, {invalid} of them invalid"
    good = len(lines) == len(survey.records) and invalid == dead
    return judged(good, f"{what}; there are {len(survey.records)} records, {dead} of them dead")


@GUEST.check(
    "guest.listed-once",
    title="each function listed once",
    holds="no function stands twice in `available_filter_functions_addrs`, by address",
    failure="a dead record passes for a function: filters by its name take both",
    due=AUDITED & WITH_REPORT & SINCE_OUT_OF_LINE,
)
def listed_once(heard: Heard) -> Answer:
    """No function is listed twice: several of one name are several functions, at their own addresses."""
    image, said = heard.live.image, heard.said
    lines = said.sections.get(WITH_ADDRESSES)
    if lines is None:
        return skipped(f"the guest reported no {WITH_ADDRESSES}")
    owners: dict[tuple[str, int], list[int]] = {}
    for line in lines:
        address, _, listed = line.partition(" ")
        if INVALID in listed or not re.fullmatch(r"[0-9a-f]+", address):
            continue
        ip = int(address, 16)
        named = image.name_of(ip)
        owners.setdefault((listed, ip - named[1] if named else ip), []).append(ip)
    wrong = (
        finding(listed, f"listed for {', '.join(f'+{ip - start:#x}' for ip in ips)}", start)
        for (listed, start), ips in owners.items()
        if len(ips) > 1
    )
    return none_of(wrong, held=f"{len(owners)} functions, each once")


@GUEST.check(
    "guest.enabled",
    title="the list of traced functions",
    holds="`enabled_functions` has as many lines, with the same numbers of users and the same letters (R, I, "
    "D, O, M), as memory has flags; where all functions are traced: as many lines, and those of modules",
    failure="the kernel says of its tracing what is not so",
)
def enabled(heard: Heard) -> Answer:
    """At each stop the guest lists as traced what its records say: how many, by how many, and what is done with them.

    Where it traces all functions it reports how many lines there are, and those of modules.
    """
    live, said = heard.live, heard.said
    wrong, compared = [], []
    for survey in live.surveys:
        listed, counted = said.enabled(survey.name), said.counted(survey.name)
        if listed is None:
            continue
        busy = [record for record in survey.records if record.flags & live.flags.enabled]
        compared.append(f"{len(busy)} at {survey.name}")
        if counted is not None:
            if counted != len(busy):
                wrong.append(finding(survey.name, f"{counted} are listed, {len(busy)} are enabled in memory"))
            busy = [record for record in busy if live.image.area_of(record.ip) is None]
        theirs = Counter((one.users, one.letters) for one in listed)
        ours = Counter((record.flags & live.flags.users, _letters(live, record)) for record in busy)
        if theirs != ours:
            what = f"(users, what is done) listed {dict(theirs)}, in memory {dict(ours)}"
            wrong.append(finding(survey.name, what))
    if not compared:
        return skipped(f"the guest reported no {ENABLED}")
    return none_of(wrong, held=f"functions listed as traced, as in memory: {', '.join(compared)}")


def _letters(live: Live, record: Record) -> str:
    """What the guest would list of a record."""
    return "".join(letter for letter, bit in LETTERS.items() if record.flags & (live.offsets.enum(bit) or 0))


@GUEST.check(
    "guest.touched",
    title="the list of touched functions",
    holds="what was seen traced is in `touched_functions`",
    failure="the kernel forgets what was traced",
    due=AUDITED & WITH_REPORT & SINCE_OUT_OF_LINE,
)
def touched(heard: Heard) -> Answer:
    """Whatever was traced at a stop is listed as touched at the end."""
    live, said = heard.live, heard.said
    lines = said.sections.get(f"{TOUCHED}@{QUIET}")
    if lines is None:
        return skipped(f"the guest reported no {TOUCHED}")
    there = {match["name"] for line in lines if (match := TRACED.match(line))}
    # a module's functions are forgotten with it
    seen = {one.name for survey in live.surveys for one in said.enabled(survey.name) or () if one.module is None}
    wrong = (finding(function, "was traced, and is not listed") for function in sorted(seen - there))
    return none_of(wrong, held=f"{len(seen)} functions were seen traced, {len(there)} are listed as touched")


@GUEST.check(
    "guest.kprobe-location",
    title="where kprobes land",
    holds="kprobes by the names of 12 short functions and 3 long ones use their own sites",
    failure="a probe on one function is hit by another",
    due=AUDITED & WITH_REPORT & Due(symbols={"KPROBES_ON_FTRACE": "y", "KPROBE_EVENTS": "y"}),
)
def kprobe_location(heard: Heard) -> Answer:
    """A kprobe by a function's name uses that function's patch site."""
    live, said = heard.live, heard.said
    survey = _at(live, KPROBE)
    if not said.kprobes_on_ftrace:
        return skipped("kprobes do not use ftrace in this configuration")
    if survey is None or not said.landed:
        return skipped("no kprobes were tried")
    used = {
        record.ip for record in survey.records if record.flags & live.flags.enabled and record.flags & live.flags.regs
    }
    own = {site.function.name: site.ip for site in live.image.sites if site.function}
    wrong = [
        finding(function, f"its kprobe landed on {where}", own.get(function))
        for function, where in said.landed.items()
        if own.get(function) not in used
    ]
    return none_of(wrong, held=f"{len(said.landed)} kprobes, each on the function that it was asked for")


def _at(live: Live, stop: str) -> Survey | None:
    return next((survey for survey in live.surveys if survey.name == stop), None)
