"""The checks of patch sites and stubs in live memory, word for word (pure).

Sources: ftrace_replace_code, ftrace_get_call_inst and powerpc_rec_get_ops in arch/powerpc/kernel/trace/ftrace.c,
ftrace_get_addr_curr in kernel/trace/ftrace.c of Linux 7.3.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from oolong.audit.allocation import STUB_WORDS, sequence, trampoline
from oolong.audit.check import Check, none_of, skipped
from oolong.audit.image import CALLERS
from oolong.audit.live_state import LIST_OPS, NOP_OPS, Live, over, told_of_all
from oolong.audit.survey import Module, Record, Survey
from oolong.binary import powerpc
from oolong.machine.stops import INIT_MEMORY, OFF, QUIET


def checks(live: Live) -> Iterator[Check]:
    """All checks of sites and stubs of the kernel, each once over all stops."""
    looks = (
        ("live.sites", _wrong_sites, "sites are a nop, or branch to their stub"),
        ("live.stub-addresses", _wrong_addresses, "records have their stub"),
        ("live.stub-words", _wrong_words, "stubs are right in each word"),
        ("live.stub-ops", _wrong_ops, "stubs point at the ops that they call"),
        ("live.unused-stubs", _used_stubs, "stubs in use, all others zero"),
    )
    for name, look, held in looks:
        yield none_of(name, over(live, look), held=told_of_all(live, held))
    yield restored(live)


def restored(live: Live) -> Check:
    """After all tracing, each site and each stub of the kernel's text is what it was before any."""
    name = "live.restored"
    there = {survey.name: survey for survey in live.surveys}
    if OFF not in there or QUIET not in there:
        return skipped(name, f"there is no stop {OFF} and {QUIET} to compare")
    before, after = there[OFF], there[QUIET]
    text = [stub for stub in live.allocation.stubs.values() if live.image.area_of(stub.ip) == "text"]
    pointers = live.image.stub_code // powerpc.INSTRUCTION
    wrong = (
        (live.told(after, stub.ip), "its site or its stub is not what it was")
        for stub in text
        if before.code.word(stub.ip) != after.code.word(stub.ip)
        or before.code.words(stub.code - live.image.stub_code, STUB_WORDS + pointers)
        != after.code.words(stub.code - live.image.stub_code, STUB_WORDS + pointers)
    )
    return none_of(name, wrong, held=f"{len(text)} sites and stubs are as before")


def _wrong_sites(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    for record in survey.records:
        word = survey.code.word(record.ip)
        if not record.flags & live.flags.enabled:
            wanted: int | None = powerpc.NOP
        else:
            wanted = powerpc.branch(record.ip, record.stub) if powerpc.reaches(record.ip, record.stub) else None
        if word != wanted or wanted is None:
            yield live.told(survey, record.ip), f"its site is {_word(word)}, not {_word(wanted)}"


def _wrong_addresses(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    seen = Counter(record.stub for record in survey.records)
    for record in survey.records:
        stub = live.stub_of(survey, record)
        if stub is None or record.stub != stub.code:
            told = f"{stub.code:#x} ({stub.area}[{stub.number}])" if stub else "any"
            yield live.told(survey, record.ip), f"its stub is at {record.stub:#x}, not at {told}"
        elif seen[record.stub] > 1:
            yield live.told(survey, record.ip), f"it shares its stub at {record.stub:#x}"


def _wrong_words(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
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
            yield live.told(survey, record.ip), unlike(found, wanted)


def _wanted(live: Live, survey: Survey, record: Record) -> tuple[int, ...] | None:
    """The instructions of a stub, where it is, as its record's flags have them; None if it cannot be so."""
    stub = live.stub_of(survey, record)
    if stub is None:
        return None
    stub = stub._replace(code=record.stub)
    return sequence(stub, _call_target(live, survey, record, stub.call))


def _call_target(live: Live, survey: Survey, record: Record, call: int) -> int | None:
    """Where the call in a stub goes: ftrace_caller, ftrace_regs_caller, or a function that is called directly."""
    caller = CALLERS[0]
    if record.flags & live.flags.enabled:
        if record.flags & live.flags.direct:
            direct = next((ops.direct[record.ip] for ops in survey.ops if record.ip in ops.direct), None)
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


def _wrong_ops(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    if not live.image.stub_code:
        return  # a kernel whose stubs hold no pointer
    nothing, several = live.image.addresses.get(NOP_OPS), live.image.addresses.get(LIST_OPS)
    for record in survey.records:
        found = ops_of(live, survey, record.stub)
        if found is None:
            yield live.told(survey, record.ip), "its stub is not in code"
            continue
        wanted: int | None
        if not record.flags & live.flags.enabled:
            wanted = nothing
        elif record.flags & live.flags.call_ops:
            own = [ops.address for ops in survey.ops if ops.takes(record.ip)]
            wanted = own[0] if len(own) == 1 else None
        else:
            wanted = several
        if found != wanted:
            told = "no ops at all" if wanted is None else f"{wanted:#x}"
            yield live.told(survey, record.ip), f"its stub points at the ops {found:#x}, not {told}"


def ops_of(live: Live, survey: Survey, code: int) -> int | None:
    """The pointer before the instructions of a stub."""
    halves = survey.code.words(code - live.image.stub_code, 2)
    if halves is None:
        return None
    return halves[0] | halves[1] << 32 if live.image.little else halves[0] << 32 | halves[1]


def _used_stubs(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    """Every stub that no record has is zero: exactly as many are filled as there are records."""
    used = Counter(stub.area for stub in live.allocation.stubs.values())
    size = live.image.stub_size // powerpc.INSTRUCTION
    if not size:
        return  # image.stub-size says so
    for name, area in live.image.areas.items():
        if live.image.area_of(area.address) == "inittext" and survey.name != INIT_MEMORY:
            continue
        rest = area.address + used[name] * live.image.stub_size
        there = survey.code.words(rest, (area.stubs - used[name]) * size) if area.stubs > used[name] else None
        if area.stubs > used[name] and (there is None or any(there)):
            place = next((at for at, word in enumerate(there or ()) if word), 0)
            yield f"{name}[{used[name] + place // size}]", "is not zero, and no record has it"


def _word(word: int | None) -> str:
    return "nothing that can be" if word is None else f"{word:08x}"


def unlike(found: Sequence[int] | None, wanted: Sequence[int] | None) -> str:
    told = " ".join(f"{word:08x}" for word in found) if found is not None else "no code"
    return f"its stub is {told}, not {' '.join(f'{word:08x}' for word in wanted) if wanted else 'anything that can be'}"
