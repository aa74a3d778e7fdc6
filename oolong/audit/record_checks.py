"""The checks of ftrace's records in live memory: which there are, and what their flags say (pure).

Sources: ftrace_process_locs, ftrace_check_record and hash_contains_ip in kernel/trace/ftrace.c of Linux 7.3.
"""

from collections import Counter
from collections.abc import Iterator

from oolong.audit.check import Check, none_of, skipped
from oolong.audit.live_state import MAX_OFFSET, Live, over, told_of_all
from oolong.audit.survey import Survey
from oolong.machine.stops import INIT_MEMORY, OFF, QUIET

# at these nothing is traced
SILENT = INIT_MEMORY, OFF, QUIET


def records(live: Live) -> Check:
    """A record for each patch site of the image, in order, as long as its code is there, and for each of a module."""
    return none_of("live.records", over(live, _wrong_records), held=told_of_all(live, "records, those of the image"))


def reference_counts(live: Live) -> Check:
    """A record counts as many users as there are registered ops whose filters take it, and is on if there is any."""
    held = told_of_all(live, "records count the ops that trace them")
    return none_of("live.reference-counts", over(live, _wrong_counts), held=held)


def record_flags(live: Live) -> Check:
    """A record does what is wanted of it, and one that nobody traces nothing."""
    held = told_of_all(live, "records do what is wanted of them")
    return none_of("live.record-flags", over(live, _wrong_flags), held=held)


def disabled_records(live: Live) -> Check:
    """The kernel has taken those records for dead that lie further after the nearest symbol than it allows."""
    limit = live.offsets.constant(MAX_OFFSET)
    name = "live.disabled-records"
    if limit is None:
        return skipped(name, f"this kernel has no {MAX_OFFSET}")
    dead = {
        site.ip
        for site in live.image.sites
        if site.function is None and (named := live.image.name_of(site.ip)) is not None and named[1] > limit
    }
    wrong = (
        (live.told(survey, record.ip), f"at {survey.name}: {'taken for dead' if is_dead else 'not taken for dead'}")
        for survey in live.surveys
        for record in survey.records
        if live.image.area_of(record.ip) is not None
        if (is_dead := bool(record.flags & live.flags.disabled)) != (record.ip in dead)
        # the kernel looks for them in the background, and has done so when the list of functions was first read
        if is_dead or survey.name != INIT_MEMORY
    )
    return none_of(name, wrong, held=f"{len(dead)} dead records, as the image says")


def silence(live: Live) -> Check:
    """Where nothing is traced, no record is enabled."""
    wrong = (
        (live.told(survey, record.ip), f"at {survey.name}: enabled")
        for survey in live.surveys
        if survey.name in SILENT
        for record in survey.records
        if record.flags & live.flags.enabled
    )
    quiet = [survey.name for survey in live.surveys if survey.name in SILENT]
    return none_of("live.silence", wrong, held=f"no record is enabled at {', '.join(quiet)}")


def _wrong_records(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    wanted = live.all_ips if survey.name == INIT_MEMORY else live.lasting_ips
    there: list[int] = []
    outside: list[int] = []
    for record in survey.records:
        (outside if live.image.area_of(record.ip) is None else there).append(record.ip)
    counts = Counter(there)
    for ip in sorted(set(wanted) - set(there)):
        yield live.told(survey, ip), "has no record"
    for ip in sorted(set(there) - set(wanted)):
        yield live.told(survey, ip), "has a record, and is no patch site"
    for ip, count in counts.items():
        if count > 1:
            yield live.told(survey, ip), f"has {count} records"
    if set(wanted) == set(there) and max(counts.values(), default=1) == 1 and wanted != there:
        yield live.told(survey, there[0]), "the records are not sorted"
    for ip in outside:
        if survey.module_at(ip) is None:
            yield f"{ip:#x}", "a record in neither the kernel nor a module"


def _wrong_counts(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    for record in survey.records:
        if record.flags & live.flags.disabled:
            continue
        users = sum(ops.takes(record.ip) for ops in survey.ops)
        counted, enabled = record.flags & live.flags.users, bool(record.flags & live.flags.enabled)
        if counted != users or enabled != bool(users):
            told = "enabled" if enabled else "not enabled"
            yield live.told(survey, record.ip), f"{told}, counts {counted} users, and {users} ops trace it"


def _wrong_flags(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    """Who is not traced has nothing on; who is, does what is wanted of it, some of it only for a single user, and a
    direct call only if an ops has one for it."""
    flags, transient, pairs = live.flags, live.flags.transient, live.flags.pairs
    direct = {ip for ops in survey.ops for ip in ops.direct}
    for record in survey.records:
        own = record.flags
        if not own & flags.enabled:
            if own & transient:
                yield live.told(survey, record.ip), f"not enabled, with the flags {own:#x}"
            continue
        if own & flags.disabled:
            yield live.told(survey, record.ip), "enabled, and taken for dead"
        several = own & flags.users != 1
        for what, wanted, done, alone in pairs:
            if bool(own & done) != (bool(own & wanted) and not (alone and several)):
                yield live.told(survey, record.ip), f"{what}: wanted and done are not the same in the flags {own:#x}"
        if bool(own & flags.wants_direct) != (record.ip in direct):
            yield live.told(survey, record.ip), f"a direct call: not as the ops have it in the flags {own:#x}"
