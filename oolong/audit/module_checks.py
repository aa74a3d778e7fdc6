"""The checks of the stubs of modules in live memory (pure).

Sources: setup_ftrace_ool_stubs and module_finalize_ftrace in arch/powerpc/kernel/module_64.c of Linux 7.3.
"""

from collections.abc import Container, Iterator
from itertools import islice, pairwise

from oolong.audit import module_layout
from oolong.audit.allocation import STUB_WORDS, Stub, sequence
from oolong.audit.check import Answer, Finding, finding, none_of, skipped
from oolong.audit.image import CALLERS
from oolong.audit.live_state import NOP_OPS, Live, over
from oolong.audit.registry import AUDITED, Checks, Due, Needs, Trait
from oolong.audit.stub_checks import ops_of, unlike, way
from oolong.audit.survey import Module, Record, Survey
from oolong.binary import powerpc
from oolong.errors import Kind

# stubs of no record that are told of one module, which says how many it has
MOST_LEFT = 64

MODULES = Checks[Live](needs=Needs.MEMORY, kind=Kind.STUB_AUDIT, about_stubs=True)


@MODULES.check(
    "live.modules",
    title="stubs of modules",
    holds="each module has as many stubs as sites, in its own code, given out in the order of its records, and ways "
    "that lead to ftrace; a stub that no record has goes back to code that is gone, by `ftrace_nop_ops`",
    failure="a module's function cannot be traced, or runs on in another one",
    due=AUDITED & Due(symbols={"MODULES": "y"}, traits=frozenset({Trait.MODULES})),
)
def modules(live: Live) -> Answer:
    """Each module has as many stubs as records, all within its own, each for one record; a stub that no record has is
    of code that the module had while it began, and calls ftrace with the ops of those who trace nothing."""
    count = sum(len(survey.modules) for survey in live.surveys)
    if not count:
        return skipped("no module was loaded at any stop")
    return none_of(over(live, _wrong_modules), held=f"{count} modules at {len(live.surveys)} stops")


def _wrong_modules(live: Live, survey: Survey) -> Iterator[Finding]:
    held: dict[Module, list[Record]] = {}
    for record in survey.records:
        if (there := survey.module_at(record.ip)) is not None:
            held.setdefault(there, []).append(record)
    for module in survey.modules:
        own = held.get(module, [])
        if not own and not module.stub_count and not module.stubs_used:
            continue
        if not (module.stubs_used == module.stub_count >= len(own)):
            what = f"{module.stub_count} stubs, {module.stubs_used} of them used, for {len(own)} records"
            yield finding(module.name, what)
        if own != sorted(own):
            yield finding(module.name, "its records are not sorted")
        ways = ((CALLERS[0], module.tramp), (CALLERS[1], module.tramp_regs))
        for caller, at in ways:
            target = live.image.addresses.get(caller)
            if target is not None and not module_layout.leads_to(survey.code, at, target, little=live.image.little):
                yield finding(module.name, f"its way to {caller} at {at:#x} does not lead there", at)
        # they are given out one after the other; those of code that is gone lie between
        for before, after in pairwise(own):
            if after.stub <= before.stub:
                yield live.at(survey, after.ip, "its stub does not come after that of the site before it")
        yield from (live.at(survey, record.ip, why) for record in own if (why := _outside(live, module, record)))
        yield from islice(_left_stubs(live, survey, module, {record.stub for record in own}), MOST_LEFT)


def _left_stubs(live: Live, survey: Survey, module: Module, used: Container[int]) -> Iterator[Finding]:
    """A module's stubs that no record has."""
    size, before = live.image.stub_size, live.image.stub_code
    if not module.text.holds(module.stubs, module.stub_count * size):
        yield finding(module.name, f"its {module.stub_count} stubs from {module.stubs:#x} on are not all in its code")
        return
    for number in range(module.stub_count):
        code = module.stubs + number * size + before
        if code in used:
            continue
        who, found = f"{module.name}[{number}]", survey.code.words(code, STUB_WORDS)
        back = powerpc.branch_target(found[-1], code + 3 * powerpc.INSTRUCTION) if found else None
        if back is None or module.text.holds(back):
            yield finding(who, "no record has it, and it does not go back to code that is gone", code)
            continue
        stub = Stub(back - powerpc.INSTRUCTION, module.name, number, code)
        wanted = sequence(stub, way(live, module, stub.call, CALLERS[0]))
        if found is None or wanted is None or tuple(found) != wanted:
            yield finding(who, unlike(found, wanted), code)
        elif before and ops_of(live, survey, code) != live.image.addresses.get(NOP_OPS):
            yield finding(who, "no record has it, and it does not point at the ops of those who trace nothing", code)


def _outside(live: Live, module: Module, record: Record) -> str | None:
    if not live.image.stub_size:
        return "nobody knows the size of a stub"
    number, rest = divmod(record.stub - live.image.stub_code - module.stubs, live.image.stub_size)
    if rest or not 0 <= number < module.stub_count:
        return (
            f"its stub at {record.stub:#x} is none of the {module.stub_count} of its module from {module.stubs:#x} on"
        )
    if not module.text.holds(record.stub, STUB_WORDS * powerpc.INSTRUCTION):
        return f"its stub at {record.stub:#x} is not in the code of its module"
    return None
