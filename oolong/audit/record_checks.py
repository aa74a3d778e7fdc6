"""The checks of ftrace's records in live memory: which there are, and what their flags say (pure).

Sources: ftrace_process_locs, ftrace_check_record and hash_contains_ip in kernel/trace/ftrace.c of Linux 7.3.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from oolong.audit.check import Answer, Finding, finding, none_of, skipped
from oolong.audit.live_state import Live, over, told_of_all
from oolong.audit.registry import AUDITED, SINCE_OUT_OF_LINE, Checks, Due, Needs
from oolong.audit.rules import MAX_OFFSET
from oolong.audit.survey import Survey
from oolong.errors import Kind
from oolong.machine.stops import END, INIT_MEMORY, OFF, QUIET

# at these nothing is traced
SILENT = INIT_MEMORY, OFF, QUIET

RECORDS = Checks[Live](needs=Needs.MEMORY, kind=Kind.STUB_AUDIT)


@RECORDS.check(
    "live.records",
    title="a record for each patch site",
    holds="the records are the image's sites, in order, each once, besides those of modules",
    failure="a function cannot be traced, or the kernel patches what is no patch site",
)
def records(live: Live) -> Answer:
    """A record for each patch site of the image, in order, as long as its code is there, and for each of a module."""
    wrong = (replace(found, stop=one.name) for one in live.pictures for found in _wrong_records(live, one))
    return none_of(wrong, held=told_of_all(live, "records, those of the image", last=True))


@RECORDS.check(
    "live.reference-counts",
    title="users of each record",
    holds="a record counts as many users as there are registered ops whose filters take it, and is on if any",
    failure="a function stays traced for nobody, or is taken from a tracer that still wants it",
)
def reference_counts(live: Live) -> Answer:
    held = told_of_all(live, "records count the ops that trace them")
    return none_of(over(live, _wrong_counts), held=held)


@RECORDS.check(
    "live.record-flags",
    title="flags of each record",
    holds="a record that is off has nothing on; one that is on does what is wanted of it (registers, a "
    "trampoline; for a single user a direct call, a call by its ops), and calls directly only if an ops "
    "has that call",
    failure="a tracer gets no registers, a direct call is not made, or one is made for nobody",
)
def record_flags(live: Live) -> Answer:
    """A record does what is wanted of it, and one that nobody traces nothing."""
    unknown = (finding(name, "this kernel's build does not have that flag of a record") for name in live.missing_flags)
    held = told_of_all(live, "records do what is wanted of them")
    return none_of(chain(unknown, over(live, _wrong_flags)), held=held)


@RECORDS.check(
    "live.disabled-records",
    title="records taken for dead",
    holds="the records that the kernel took for dead are those that the image says",
    failure="a live function cannot be traced, or a dead record passes for the function before it",
    # asm/ftrace.h has FTRACE_MCOUNT_MAX_OFFSET for these two alone
    due=AUDITED & SINCE_OUT_OF_LINE & Due(one_of=("ARCH_USING_PATCHABLE_FUNCTION_ENTRY", "MPROFILE_KERNEL")),
)
def disabled_records(live: Live) -> Answer:
    """The kernel has taken those records for dead that lie further after the nearest symbol than it allows."""
    limit = live.offsets.constant(MAX_OFFSET)
    if limit is None:
        return skipped(f"this kernel has no {MAX_OFFSET}")
    dead = {
        site.ip
        for site in live.image.sites
        if site.function is None and (named := live.image.name_of(site.ip)) is not None and named[1] > limit
    }
    wrong = (
        replace(live.at(survey, record.ip, f"{'' if is_dead else 'not '}taken for dead"), stop=survey.name)
        for survey in live.surveys
        for record in survey.records
        if live.image.area_of(record.ip) is not None
        if (is_dead := bool(record.flags & live.flags.disabled)) != (record.ip in dead)
        # the kernel looks for them in the background, and has done so when the list of functions was first read
        if is_dead or survey.name != INIT_MEMORY
    )
    return none_of(wrong, held=f"{len(dead)} dead records, as the image says")


@RECORDS.check(
    "live.silence",
    title="nothing on where nothing is traced",
    holds="no record is on where nothing is traced",
    failure="a function stays traced when all tracers are gone",
)
def silence(live: Live) -> Answer:
    wrong = (
        replace(live.at(survey, record.ip, "enabled"), stop=survey.name)
        for survey in live.surveys
        if survey.name in SILENT
        for record in survey.records
        if record.flags & live.flags.enabled
    )
    quiet = [survey.name for survey in live.surveys if survey.name in SILENT]
    return none_of(wrong, held=f"no record is enabled at {', '.join(quiet)}")


def _wrong_records(live: Live, survey: Survey) -> Iterator[Finding]:
    wanted = live.all_ips if survey.name == INIT_MEMORY else live.lasting_ips
    # nobody knows how many of those of init are gone by then
    allowed = set(live.all_ips if survey.name == END else wanted)
    there: list[int] = []
    outside: list[int] = []
    for record in survey.records:
        (outside if live.image.area_of(record.ip) is None else there).append(record.ip)
    counts = Counter(there)
    for ip in sorted(set(wanted) - set(there)):
        yield live.at(survey, ip, "has no record")
    for ip in sorted(set(there) - allowed):
        yield live.at(survey, ip, "has a record, and is no patch site")
    for ip, count in counts.items():
        if count > 1:
            yield live.at(survey, ip, f"has {count} records")
    if set(wanted) <= set(there) <= allowed and max(counts.values(), default=1) == 1 and sorted(there) != there:
        yield live.at(survey, there[0], "the records are not sorted")
    for ip in outside:
        if survey.module_at(ip) is None:
            yield finding(f"{ip:#x}", "a record in neither the kernel nor a module", ip)


def _wrong_counts(live: Live, survey: Survey) -> Iterator[Finding]:
    for record in survey.records:
        if record.flags & live.flags.disabled:
            continue
        users = survey.users(record.ip)
        counted, enabled = record.flags & live.flags.users, bool(record.flags & live.flags.enabled)
        if counted != users or enabled != bool(users):
            told = "enabled" if enabled else "not enabled"
            yield live.at(survey, record.ip, f"{told}, counts {counted} users, and {users} ops trace it")


def _wrong_flags(live: Live, survey: Survey) -> Iterator[Finding]:
    """Who is not traced has nothing on; who is, does what is wanted of it, some of it only for a single user, and a
    direct call only if an ops has one for it."""
    flags, transient, pairs = live.flags, live.flags.transient, live.flags.pairs
    direct = survey.direct
    for record in survey.records:
        own = record.flags
        if not own & flags.enabled:
            if own & transient:
                yield live.at(survey, record.ip, f"not enabled, with the flags {own:#x}")
            continue
        if own & flags.disabled:
            yield live.at(survey, record.ip, "enabled, and taken for dead")
        several = own & flags.users != 1
        for what, wanted, done, alone in pairs:
            if bool(own & done) != (bool(own & wanted) and not (alone and several)):
                yield live.at(survey, record.ip, f"{what}: wanted and done are not the same in the flags {own:#x}")
        if bool(own & flags.wants_direct) != (record.ip in direct):
            yield live.at(survey, record.ip, f"a direct call: not as the ops have it in the flags {own:#x}")
