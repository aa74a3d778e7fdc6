"""The checks of patch sites and stubs in live memory, word for word (pure).

Sources: ftrace_replace_code, ftrace_get_call_inst and powerpc_rec_get_ops in arch/powerpc/kernel/trace/ftrace.c,
ftrace_get_addr_curr in kernel/trace/ftrace.c of Linux 7.3.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from oolong.audit import module_layout
from oolong.audit.allocation import STUB_WORDS, Stub, sequence, trampoline
from oolong.audit.check import Answer, Finding, finding, none_of, skipped
from oolong.audit.image import CALLERS
from oolong.audit.live_state import LIST_OPS, NOP_OPS, Live, at_any_time, over, pointer_at, told_of_all
from oolong.audit.registry import Checks, Needs
from oolong.audit.survey import Module, Record, Survey
from oolong.binary import powerpc
from oolong.errors import Kind
from oolong.machine.stops import OFF, QUIET

STUBS = Checks[Live](needs=Needs.MEMORY, kind=Kind.STUB_AUDIT, about_stubs=True)


@STUBS.check(
    "live.sites",
    title="patch sites off and on",
    holds="each site is a nop where its record is off, the branch to its stub where it is on",
    failure="the function is traced although nobody asked, is not although somebody did, or runs elsewhere",
)
def sites(live: Live) -> Answer:
    return none_of(
        at_any_time(live, _wrong_sites), held=told_of_all(live, "sites are a nop, or branch to their stub", last=True)
    )


@STUBS.check(
    "live.stub-addresses",
    title="each record's own stub",
    holds="each record has the stub that the allocation gives it, in a module the one that its layout gives it, and no "
    "other has it",
    failure="two functions share a stub, and one of them goes on in the other; or a record has none",
)
def stub_addresses(live: Live) -> Answer:
    return none_of(at_any_time(live, _wrong_addresses), held=told_of_all(live, "records have their stub", last=True))


@STUBS.check(
    "live.stub-words",
    title="the words of each stub",
    holds="the four instructions are those that the flags of the record ask for",
    failure="a traced function calls something else, loses its return address, or goes on at another place",
)
def stub_words(live: Live) -> Answer:
    return none_of(at_any_time(live, _wrong_words), held=told_of_all(live, "stubs are right in each word", last=True))


@STUBS.check(
    "live.stub-ops",
    title="the ops of each stub",
    holds="a stub points at `ftrace_nop_ops`, the only ops whose filter takes the site, or `ftrace_list_ops`",
    failure="a tracer is called for a function that it did not ask for, or not for one that it did",
)
def stub_ops(live: Live) -> Answer:
    return none_of(over(live, _wrong_ops), held=told_of_all(live, "stubs point at the ops that they call"))


@STUBS.check(
    "live.unused-stubs",
    title="stubs that nobody has",
    holds="every stub without a record is zero",
    failure="a stub was written for no site, or a record was lost",
)
def unused_stubs(live: Live) -> Answer:
    return none_of(at_any_time(live, _used_stubs), held=told_of_all(live, "stubs in use, all others zero", last=True))


@STUBS.check(
    "live.restored",
    title="all as before the tracing",
    holds="sites and stubs at `off-again` are word for word those at `off`",
    failure="tracing leaves something behind",
)
def restored(live: Live) -> Answer:
    """After all tracing, each site and each stub of the kernel's text is what it was before any."""
    there = {survey.name: survey for survey in live.surveys}
    if OFF not in there or QUIET not in there:
        return skipped(f"there is no stop {OFF} and {QUIET} to compare")
    before, after = there[OFF], there[QUIET]
    text = [stub for stub in live.allocation.stubs.values() if live.image.area_of(stub.ip) == "text"]
    pointers = live.image.stub_code // powerpc.INSTRUCTION
    wrong = (
        live.at(after, stub.ip, "its site or its stub is not what it was")
        for stub in text
        if before.code.word(stub.ip) != after.code.word(stub.ip)
        or before.code.words(stub.code - live.image.stub_code, STUB_WORDS + pointers)
        != after.code.words(stub.code - live.image.stub_code, STUB_WORDS + pointers)
    )
    return none_of(wrong, held=f"{len(text)} sites and stubs are as before")


def _wrong_sites(live: Live, survey: Survey) -> Iterator[tuple[Finding, bool]]:
    for record in survey.records:
        word = survey.code.word(record.ip)
        wanted = _branch(record) if record.flags & live.flags.enabled else powerpc.NOP
        if word != wanted or wanted is None:
            told = f"its site is {_word(word)}, not {_word(wanted)}"
            yield live.at(survey, record.ip, told), word is not None and word in (powerpc.NOP, _branch(record))


def _branch(record: Record) -> int | None:
    """The word of a site that is on; None if its stub is too far away."""
    return powerpc.branch(record.ip, record.stub) if powerpc.reaches(record.ip, record.stub) else None


def _wrong_addresses(live: Live, survey: Survey) -> Iterator[tuple[Finding, bool]]:
    seen = Counter(record.stub for record in survey.records)
    own, of_modules = live.allocation.stubs, module_layout.stubs_of(live.image, survey)
    for record in survey.records:
        stub = own.get(record.ip) or of_modules.get(record.ip)
        if stub is None or record.stub != stub.code:
            told = f"{stub.code:#x} ({stub.area}[{stub.number}])" if stub else "any"
            yield live.at(survey, record.ip, f"its stub is at {record.stub:#x}, not at {told}"), False
        elif seen[record.stub] > 1:
            yield live.at(survey, record.ip, f"it shares its stub at {record.stub:#x}"), False


def _wrong_words(live: Live, survey: Survey) -> Iterator[tuple[Finding, bool]]:
    usual = live.usual_words
    busy = live.flags.enabled
    special = live.flags.regs | live.flags.direct | live.flags.tramp
    for record in survey.records:
        found = survey.code.words(record.stub, STUB_WORDS)
        own = live.allocation.stubs.get(record.ip)
        wanted = usual.get(record.ip) if own and own.code == record.stub else None
        if wanted is None or (record.flags & busy and record.flags & special):
            wanted = _wanted(live, survey, record)
        if found is None or wanted is None or tuple(found) != wanted:
            yield live.at(survey, record.ip, unlike(found, wanted)), _calls_another(live, survey, record, found)


def _calls_another(live: Live, survey: Survey, record: Record, found: Sequence[int] | None) -> bool:
    """Whether a stub is right for other flags of its record; or not written yet, where its module is being loaded."""
    module = survey.module_at(record.ip)
    if found is None or (record.ip not in live.allocation.stubs and module is None):
        return False
    stub = Stub(record.ip, "", 0, record.stub)
    targets = (
        *(way(live, module, stub.call, one) if module else trampoline(live.image, stub.call, one) for one in CALLERS),
        *(ops.direct[record.ip] for ops in survey.ops if record.ip in ops.direct),
    )
    return tuple(found) in [sequence(stub, target) for target in targets] or (module is not None and not any(found))


def _wanted(live: Live, survey: Survey, record: Record) -> tuple[int, ...] | None:
    """The instructions of a stub, where it is, as its record's flags have them; None if it cannot be so."""
    if record.ip not in live.allocation.stubs and survey.module_at(record.ip) is None:
        return None
    stub = Stub(record.ip, "", 0, record.stub)
    return sequence(stub, _call_target(live, survey, record, stub.call))


def _call_target(live: Live, survey: Survey, record: Record, call: int) -> int | None:
    """Where the call in a stub goes: ftrace_caller, ftrace_regs_caller, or a function that is called directly."""
    caller = CALLERS[0]
    if record.flags & live.flags.enabled:
        if record.flags & live.flags.direct:
            direct = survey.direct.get(record.ip)
            if direct is not None and powerpc.reaches(call, direct):
                return direct
        elif record.flags & live.flags.regs:
            caller = CALLERS[1]
    if live.image.area_of(record.ip) is not None:
        return trampoline(live.image, call, caller)
    module = survey.module_at(record.ip)
    return way(live, module, call, caller) if module else None


def way(live: Live, module: Module, call: int, caller: str) -> int:
    """Where a stub of a module calls so that it gets to one of CALLERS."""
    target = live.image.addresses.get(caller)
    if target is not None and powerpc.reaches(call, target):
        return target
    return module.tramp if caller == CALLERS[0] else module.tramp_regs


def _wrong_ops(live: Live, survey: Survey) -> Iterator[Finding]:
    if not live.image.stub_code:
        return  # a kernel whose stubs hold no pointer
    nothing, several = live.image.addresses.get(NOP_OPS), live.image.addresses.get(LIST_OPS)
    for record in survey.records:
        found = ops_of(live, survey, record.stub)
        if found is None:
            yield live.at(survey, record.ip, "its stub is not in code")
            continue
        wanted: int | None
        if not record.flags & live.flags.enabled:
            wanted = nothing
        elif record.flags & live.flags.call_ops:
            wanted = survey.only_user(record.ip)
        else:
            wanted = several
        if found != wanted:
            told = "no ops at all" if wanted is None else f"{wanted:#x}"
            yield live.at(survey, record.ip, f"its stub points at the ops {found:#x}, not {told}")


def ops_of(live: Live, survey: Survey, code: int) -> int | None:
    """The pointer before the instructions of a stub."""
    return pointer_at(survey.code, code - live.image.stub_code, little=live.image.little)


def _used_stubs(live: Live, survey: Survey) -> Iterator[tuple[Finding, bool]]:
    """Every stub that no record has is zero: exactly as many are filled as there are records."""
    used = Counter(stub.area for stub in live.allocation.stubs.values())
    size = live.image.stub_size // powerpc.INSTRUCTION
    if not size:
        return  # image.stub-size says so
    has_init = live.has_init(survey)
    for name, area in live.image.areas.items():
        if live.image.area_of(area.address) == "inittext" and not has_init:
            continue
        rest = area.address + used[name] * live.image.stub_size
        there = survey.code.words(rest, (area.stubs - used[name]) * size) if area.stubs > used[name] else None
        if area.stubs > used[name] and (there is None or any(there)):
            place = next((at for at, word in enumerate(there or ()) if word), 0)
            number = used[name] + place // size
            at = area.address + number * live.image.stub_size
            yield finding(f"{name}[{number}]", "is not zero, and no record has it", at), False


def _word(word: int | None) -> str:
    return "nothing that can be" if word is None else f"{word:08x}"


def unlike(found: Sequence[int] | None, wanted: Sequence[int] | None) -> str:
    told = " ".join(f"{word:08x}" for word in found) if found is not None else "no code"
    return f"its stub is {told}, not {' '.join(f'{word:08x}' for word in wanted) if wanted else 'anything that can be'}"
