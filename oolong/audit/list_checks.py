"""The checks of the guest's counts and lists, by the names of functions, held against its image and memory (pure).

Sources: t_show, print_rec and ftrace_process_locs in kernel/trace/ftrace.c of Linux 7.3.
"""

import re
from collections.abc import Iterator, Sequence

from oolong.audit import guest_rules
from oolong.audit.check import Answer, Finding, finding, judged, none_of, skipped
from oolong.audit.guest_report import (
    AVAILABLE,
    ENABLED,
    INVALID,
    TOTAL,
    TOUCHED,
    WITH_ADDRESSES,
    Enabled,
    Many,
    blocks,
)
from oolong.audit.guest_state import Heard, differences
from oolong.audit.registry import AUDITED, SINCE_OUT_OF_LINE, WITH_REPORT, Checks, Needs
from oolong.audit.survey import Survey
from oolong.errors import Kind
from oolong.machine.stops import OFF, QUIET

# files of tracefs that older kernels do not have, and the functions that open them
OPENED_BY = {WITH_ADDRESSES: "ftrace_avail_addrs_open", TOUCHED: "ftrace_touched_open"}
UNREPORTED = "the guest stopped there, and did not report"
NO_STOPS = "the guest stopped nowhere after it had booted"
MODULE_NAME = re.compile(r"(?P<name>\S+)(?: \[(?P<module>\w+)\])?")

LISTS = Checks[Heard](needs=Needs.GUEST, kind=Kind.GUEST_TEST)


@LISTS.check(
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


@LISTS.check(
    "guest.total",
    title="the count of records",
    holds="`dyn_ftrace_total_info` is the number of records in memory, at each stop",
    failure="records of init text or of a module were not taken away, or counted twice",
)
def total(heard: Heard) -> Answer:
    """At each stop dyn_ftrace_total_info counts the records that there are: those of init text are gone."""
    wrong, counted = [], []
    for survey in heard.stops:
        counted.append(survey.name)
        lines = heard.said.at(TOTAL, survey.name)
        if lines is None:
            wrong += [finding(survey.name, f"{UNREPORTED} {TOTAL}")] if heard.whole else []
            continue
        number = re.match(r"\d{1,9}\b", lines[0] if lines else "")
        if number is None or int(number[0]) != len(survey.records):
            what = f"the guest counts {lines[:1]}, there are {len(survey.records)} records"
            wrong.append(finding(survey.name, what))
    if not counted:
        return skipped(NO_STOPS)
    return none_of(wrong, held=f"the guest's count is that of its records at {', '.join(counted)}")


@LISTS.check(
    "guest.available",
    title="the list of functions",
    holds="`available_filter_functions` has the name of each record, the dead ones as invalid; with addresses, each at "
    "its own",
    failure="functions are hidden from people, or names shown that nothing can trace",
)
def available(heard: Heard) -> Answer:
    """Each record before any tracing is listed by its name, the dead ones as invalid, with and without addresses."""
    survey = heard.at(OFF)
    if survey is None:
        return skipped(f"the guest did not stop at {OFF}")
    lines, listed = heard.said.sections.get(AVAILABLE), heard.said.with_addresses
    wrong: list[Finding] = []
    if lines is None:
        wrong += _unreported(heard, AVAILABLE)
    else:
        # a line that nobody can read is no function's name
        found = ((line, MODULE_NAME.fullmatch(line)) for line in lines)
        named = ((match["name"], match["module"]) if match else (line, None) for line, match in found)
        theirs = (("" if module else name, module) for name, module in named)
        ours = (heard.available(survey, record) for record in survey.records)
        wrong += differences(theirs, ours, lambda one, what: finding(one[0] or f"[{one[1]}]", what), where=AVAILABLE)
    if listed is None:
        wrong += _unreported(heard, WITH_ADDRESSES)
    else:
        at_their = ((one.address, "" if one.module else one.name, one.module) for one in listed)
        at_ours = ((record.ip, *heard.available(survey, record)) for record in survey.records)
        wrong += differences(
            at_their, at_ours, lambda one, what: finding(one[1] or f"[{one[2]}]", what, one[0]), where=WITH_ADDRESSES
        )
    dead = sum(bool(record.flags & heard.live.flags.disabled) for record in survey.records)
    return none_of(wrong, held=f"{len(survey.records)} records are listed by name, {dead} of them as invalid")


@LISTS.check(
    "guest.listed-once",
    title="each function listed once",
    holds="no function stands twice in `available_filter_functions_addrs`, by address",
    failure="a dead record passes for a function: filters by its name take both",
    due=AUDITED & WITH_REPORT & SINCE_OUT_OF_LINE,
)
def listed_once(heard: Heard) -> Answer:
    """No function is listed twice: several of one name are several functions, at their own addresses."""
    listed = heard.said.with_addresses
    if listed is None:
        wrong = _unreported(heard, WITH_ADDRESSES)
        return none_of(wrong, held="") if wrong else skipped(f"the guest reported no {WITH_ADDRESSES}")
    owners: dict[tuple[str, int], list[int]] = {}
    for one in listed:
        if not one.name.startswith(INVALID):
            # of a module's functions only the address is known
            start = one.address if one.module else heard.start_of(one.address)
            owners.setdefault((one.name, start), []).append(one.address)
    twice = (
        finding(
            name,
            f"listed for {', '.join(f'+{ip - start:#x}' for ip in ips)}",
            start,
            rule=guest_rules.of_listing(heard.live.image, heard.limit, start, ips),
        )
        for (name, start), ips in owners.items()
        if len(ips) > 1
    )
    return none_of(twice, held=f"{len(owners)} functions, each once")


@LISTS.check(
    "guest.enabled",
    title="the list of traced functions",
    holds="`enabled_functions` has, at each stop, the functions that are on in memory, by name, with the same numbers "
    "of users and the same letters (R, I, D, O, M); where all functions are traced: as many, and of each 32 the same "
    "checksum; those of a module by its name",
    failure="the kernel says of its tracing what is not so",
)
def enabled(heard: Heard) -> Answer:
    """At each stop the guest lists as traced what its records say: whom, for how many, and what is done with them.

    Where it traces all functions it reports how many lines there are, checksums of those of the kernel, and those of
    modules.
    """
    wrong, compared = [], []
    for survey in heard.stops:
        busy = tuple(record for record in survey.records if record.flags & heard.live.flags.enabled)
        compared.append(f"{len(busy)} at {survey.name}")
        listed, many = heard.said.traced(ENABLED, survey.name), heard.said.many(ENABLED, survey.name)
        if listed is None:
            wrong += [finding(survey.name, f"{UNREPORTED} {ENABLED}")] if heard.whole else []
            continue
        ours = list(heard.traced(survey, busy))
        if many is not None:
            wrong += _differing_blocks([one for one in ours if one.module is None], len(ours), many, survey)
            ours = [one for one in ours if one.module is not None]
        wrong += _differing(listed, ours, f"{ENABLED}@{survey.name}", survey.name)
    if not compared:
        return skipped(NO_STOPS)
    return none_of(wrong, held=f"functions listed as traced, as in memory: {', '.join(compared)}")


@LISTS.check(
    "guest.touched",
    title="the list of touched functions",
    holds="`touched_functions` has the functions whose records say that they were traced, by name; what was on at a "
    "stop is one of them",
    failure="the kernel forgets what was traced",
    due=AUDITED & WITH_REPORT & SINCE_OUT_OF_LINE,
)
def touched(heard: Heard) -> Answer:
    """Whatever was traced at a stop has a record that says so at the end, and these records are listed."""
    survey, bit = heard.at(QUIET), heard.live.offsets.enum("FTRACE_FL_TOUCHED")
    if survey is None:
        return skipped(f"the guest did not stop at {QUIET}")
    if not bit:
        return skipped("this kernel does not remember what was traced: it has no FTRACE_FL_TOUCHED")
    own = tuple(record for record in survey.records if record.flags & bit)
    listed = heard.said.traced(TOUCHED, QUIET)
    wrong = _unreported(heard, TOUCHED) if listed is None else []
    if listed is not None:
        wrong += _differing(listed, list(heard.traced(survey, own)), TOUCHED, QUIET)
    there, remembered = {record.ip for record in survey.records}, {record.ip for record in own}
    seen = {
        record.ip: one.name
        for one in heard.live.surveys
        for record in one.records
        if record.flags & heard.live.flags.enabled and record.ip in heard.names
    }
    wrong += [
        finding(heard.names[ip], f"was on at {stop}, and its record does not say so at {QUIET}", ip)
        for ip, stop in seen.items()
        if ip in there and ip not in remembered
    ]
    return none_of(wrong, held=f"{len(seen)} functions were seen traced, {len(own)} are listed as touched")


def _unreported(heard: Heard, section: str) -> list[Finding]:
    """A finding for a section that the guest owes, where its kernel has the file."""
    function = OPENED_BY.get(section)
    owed = heard.whole and (function is None or heard.has(function))
    return [finding(section, "the guest did not report it")] if owed else []


def _differing(listed: Sequence[Enabled], ours: Sequence[Enabled], where: str, stop: str) -> Iterator[Finding]:
    """Of a module's functions the audit does not know the names."""
    theirs = (one if one.module is None else one._replace(name="") for one in listed)

    def told(one: Enabled, what: str) -> Finding:
        return finding(one.name or f"[{one.module}]", f"({one.users}) {one.letters or '-'} {what}", stop=stop)

    return differences(theirs, ours, told, where=where)


def _differing_blocks(ours: Sequence[Enabled], number: int, many: Many, survey: Survey) -> Iterator[Finding]:
    """What is wrong with the count of all lines, and with the checksums of those of the kernel: of another number of
    lines only the first, since all after it differ."""
    if many.count != number:
        yield finding(survey.name, f"{many.count} are listed, {number} are on in memory", stop=survey.name)
    made = list(blocks(ours))
    wrong = [
        place
        for place in range(max(len(made), len(many.blocks)))
        if place >= len(made) or many.blocks[place : place + 1] != ((len(made[place][0]), made[place][1]),)
    ]
    same_length = sum(count for count, _ in many.blocks) == len(ours)
    for place in wrong if same_length else wrong[:1]:
        own = made[place][0] if place < len(made) else ours[-1:]
        first, last = (own[0].name, own[-1].name) if own else (survey.name, survey.name)
        yield finding(first, f"from it to {last}, {ENABLED} is not as in memory", stop=survey.name)
