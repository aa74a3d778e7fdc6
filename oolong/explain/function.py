"""A kernel and one of its functions → the explanation (pure).

What the file holds comes from the image, what the kernel will make of it from the allocation done on paper, what it
did make from the memory of the stops.
"""

from collections.abc import Iterator, Sequence

from oolong.audit import registry, rules
from oolong.audit.allocation import STUB_WORDS, Stub, sequence, trampoline
from oolong.audit.check import CheckStatus
from oolong.audit.image import CALLERS, POINTER, Code, Image
from oolong.audit.image import Function as Symbol
from oolong.audit.image import Site as Listed
from oolong.audit.live_state import NOP_OPS, Flags
from oolong.audit.survey import Record as Found
from oolong.audit.survey import Survey
from oolong.binary import powerpc
from oolong.binary.disassembly import Line, disassembled
from oolong.explain.kernel import Kernel
from oolong.explain.model import Finding, Function, Moment, Place, Pointer, Record, Site, State

# how much of a function is shown after its patch site, and where it has none
AFTER, WITHOUT_SITE = 4, 8
FLAG = "FTRACE_FL_"
NO_SITE = "no patch site: it cannot be traced (notrace, or written in assembly)"
OFF = f"{registry.OFF}: there are no stubs"
INIT = "init text: the kernel frees it, with its stub, once it has booted; in memory it is there at init-memory alone"


def explained(kernel: Kernel, symbol: Symbol) -> Function:
    """All that can be said of the function that a symbol labels."""
    image = kernel.image
    own = [site for site in image.sites if symbol.address <= site.ip < symbol.address + max(symbol.size, 1)]
    left = [site for site in image.sites if site.function is None and _passes_for(image, site) == symbol.address]
    last = max((site.ip + AFTER * powerpc.INSTRUCTION for site in own), default=None)
    return Function(
        name=symbol.name,
        address=symbol.address,
        size=symbol.size,
        local_entry=symbol.local_entry,
        entry=_entry(kernel, symbol, last),
        sites=tuple(_site(kernel, symbol, site) for site in [*own, *left]),
        notes=tuple(_notes(kernel, symbol, own, left)),
        findings=tuple(_findings(kernel, symbol)),
    )


def _passes_for(image: Image, site: Listed) -> int | None:
    """The address of the symbol by which the kernel names a site."""
    named = image.name_of(site.ip)
    return site.ip - named[1] if named else None


def _entry(kernel: Kernel, symbol: Symbol, last: int | None) -> tuple[Line, ...]:
    count = WITHOUT_SITE if last is None else (last - symbol.address) // powerpc.INSTRUCTION + 1
    if symbol.size:
        count = min(count, symbol.size // powerpc.INSTRUCTION)
    places = range(symbol.address, symbol.address + count * powerpc.INSTRUCTION, powerpc.INSTRUCTION)
    words = (kernel.image.code.word(place) for place in places)
    return disassembled((word for word in words if word is not None), symbol.address, kernel.told)


def _site(kernel: Kernel, symbol: Symbol, site: Listed) -> Site:
    image, stub = kernel.image, kernel.allocation.stubs.get(site.ip)
    moments, absent = _moments(kernel, site.ip)
    return Site(
        ip=site.ip,
        recorded=site.recorded,
        offset=site.ip - symbol.address,
        area=image.area_of(site.ip) or "",
        dead=site.function is None,
        place=_place(kernel, stub) if stub else None,
        unserved="" if stub else _unserved(kernel, site.ip),
        in_file=_state(kernel, image.code, site.ip, stub.code if stub else None),
        expected=_expected(kernel, stub) if stub else None,
        moments=moments,
        absent=absent,
    )


def _unserved(kernel: Kernel, ip: int) -> str:
    if not kernel.image.out_of_line:
        return OFF
    return f"{kernel.full[ip]} is full" if ip in kernel.full else "there is no area for it"


def _place(kernel: Kernel, stub: Stub) -> Place:
    there, back = stub.code - stub.ip, stub.return_to - stub.back
    return Place(
        area=stub.area,
        index=stub.number,
        used=kernel.used[stub.area],
        size=kernel.image.areas[stub.area].stubs,
        address=stub.code - kernel.image.stub_code,
        code=stub.code,
        there=there,
        back=back,
        headroom=(_headroom(there), _headroom(back)),
    )


def _headroom(way: int) -> int:
    return powerpc.FURTHEST_AHEAD - way if way >= 0 else way - powerpc.FURTHEST_BACK


def _state(kernel: Kernel, code: Code, ip: int, stub: int | None) -> State:
    word = code.word(ip)
    (site,) = disassembled([word], ip, kernel.told) if word is not None else (None,)
    found = code.words(stub, STUB_WORDS) if stub else None
    before = kernel.image.stub_code
    halves = code.words(stub - before, 2) if stub and before == POINTER else None
    return State(
        site=site,
        ops=kernel.pointer(_joined(halves, kernel.image.little)) if halves else None,
        stub=disassembled(found, stub, kernel.told) if stub and found else (),
    )


def _joined(halves: Sequence[int], little: bool) -> int:
    """A pointer from its words in the order of their addresses."""
    low, high = halves if little else reversed(halves)
    return low | high << 32


def _expected(kernel: Kernel, stub: Stub) -> State | None:
    """A site that nothing traces once the kernel has booted; None if a branch of its stub does not reach."""
    image = kernel.image
    words = sequence(stub, trampoline(image, stub.call, CALLERS[0]))
    if words is None:
        return None
    (site,) = disassembled([powerpc.NOP], stub.ip, kernel.told)
    nothing = Pointer(image.addresses.get(NOP_OPS, 0), NOP_OPS) if image.stub_code else None
    return State(site=site, ops=nothing, stub=disassembled(words, stub.code, kernel.told))


def _moments(kernel: Kernel, ip: int) -> tuple[tuple[Moment, ...], tuple[str, ...]]:
    """What was in memory, stops at which it was the same together; and the stops without a record of the site."""
    stops: dict[tuple[State, Record], list[str]] = {}
    absent = []
    for survey in kernel.surveys:
        found = next((record for record in survey.records if record.ip == ip), None)
        if found is None:
            absent.append(survey.name)
        else:
            seen = _state(kernel, survey.code, ip, found.stub), _record(kernel, survey, found)
            stops.setdefault(seen, []).append(survey.name)
    moments = (Moment(stops=tuple(names), state=state, record=record) for (state, record), names in stops.items())
    return tuple(moments), tuple(absent)


def _record(kernel: Kernel, survey: Survey, found: Found) -> Record:
    flags = Flags.of(kernel.offsets)
    known = {name: bit for name, bit in kernel.offsets.enums.items() if name.startswith(FLAG) and bit & ~flags.users}
    names = sorted((name for name, bit in known.items() if found.flags & bit), key=lambda name: -known[name])
    takers = () if found.flags & flags.disabled else (ops for ops in survey.ops if ops.takes(found.ip))
    return Record(
        flags=found.flags,
        bits=tuple(name.removeprefix(FLAG) for name in names),
        users=found.flags & flags.users,
        traced_by=tuple(kernel.pointer(ops.address).name for ops in takers),
    )


def _notes(kernel: Kernel, symbol: Symbol, own: Sequence[Listed], left: Sequence[Listed]) -> Iterator[str]:
    usual = kernel.told(symbol.address)
    if usual != symbol.name:
        yield f"the kernel calls it {usual}"
    if not own:
        yield NO_SITE
    if kernel.image.area_of(symbol.address) == "inittext":
        yield INIT
    limit = rules.limit_of(kernel.offsets.constant(rules.MAX_OFFSET))
    for site in left:
        near = site.ip - symbol.address <= limit
        taken = f"the kernel takes it for {symbol.name}'s" if near else "the kernel takes it for dead"
        yield f"dead weak code follows, with a patch site at +{site.ip - symbol.address:#x}: {taken}"


def _findings(kernel: Kernel, symbol: Symbol) -> Iterator[Finding]:
    """The checks that have it among their victims, as a name, or a name and an offset."""
    usual = kernel.image.name_of(symbol.address)
    names = {symbol.name, *([usual[0]] if usual and usual[1] == 0 else [])}
    for check in kernel.checks:
        failed = check.status in (CheckStatus.FAIL, CheckStatus.KNOWN)
        if failed and any(victim.partition("+")[0] in names for victim in check.victims):
            yield Finding(check=check.name, status=check.status, known=check.known)
