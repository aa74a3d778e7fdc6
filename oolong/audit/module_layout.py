"""Where the stubs of a module must lie: after its ways out of its own code, in the order of its sites (pure).

Sources: struct ppc64_stub_entry, stub_for_addr, module_finalize_ftrace and setup_ftrace_ool_stubs in
arch/powerpc/kernel/module_64.c, ftrace_init_ool_stub in arch/powerpc/kernel/trace/ftrace.c of Linux 7.3.
"""

from collections.abc import Iterator

from oolong.audit.allocation import Stub
from oolong.audit.image import CALLERS, Code, Image
from oolong.audit.live_state import pointer_at
from oolong.audit.survey import Module, Record, Survey
from oolong.binary import powerpc

# struct ppc64_stub_entry of ELFv2: seven instructions, a mark, the address that they jump to
WAY_BYTES, MARK_AT, TARGET_AT = 40, 28, 32
MARK = 0x73747562


def stubs_of(image: Image, survey: Survey) -> dict[int, Stub]:
    """The stub that each record of a module must have, by its patch site; none where its module has no way to
    ftrace_caller, after which the stubs would lie."""
    own: dict[Module, list[Record]] = {}
    for record in survey.records:
        if (module := survey.module_at(record.ip)) is not None:
            own.setdefault(module, []).append(record)
    return {stub.ip: stub for module, records in own.items() for stub in _stubs(image, survey.code, module, records)}


def leads_to(code: Code, way: int, target: int | None, *, little: bool) -> bool:
    """Whether one of a module's ways out of its code lies at an address, and leads to a target."""
    there = pointer_at(code, way + TARGET_AT, little=little)
    return code.word(way + MARK_AT) == MARK and there is not None and there == target


def _stubs(image: Image, code: Code, module: Module, records: list[Record]) -> Iterator[Stub]:
    if not leads_to(code, module.tramp, image.addresses.get(CALLERS[0]), little=image.little):
        return
    at = module.tramp
    while code.word(at + MARK_AT) == MARK:
        at += WAY_BYTES
    first = at + image.stub_code
    ips = sorted(record.ip for record in records)
    # the code of init is in one piece, before or after all other code; it is gone, its stubs are not
    gone = max(0, module.stub_count - len(ips))
    back_at = first + 3 * powerpc.INSTRUCTION
    back = powerpc.branch_target(code.word(back_at) or 0, back_at)
    before = gone if gone and back is not None and not module.text.holds(back) else 0
    for number, ip in enumerate(ips, start=before):
        yield Stub(ip, module.name, number, first + number * image.stub_size)
