"""An explanation as lines for the screen (pure)."""

from collections.abc import Iterator

from oolong.binary.disassembly import Line
from oolong.binary.powerpc import FURTHEST_AHEAD
from oolong.explain.model import Function, Moment, Place, Site, State
from oolong.printable import printable

REACH = (FURTHEST_AHEAD + 4) >> 20
POINTER = 8


def described(one: Function) -> str:
    """The whole explanation of a function, each line with its end."""
    return "".join(f"{printable(line)}\n" for line in _lines(one))


def _lines(one: Function) -> Iterator[str]:
    yield f"{one.name}: {one.address:#x}, {one.size} bytes, local entry point at +{one.local_entry:#x}"
    sites = {site.ip for site in one.sites}
    for line in one.entry:
        offset = line.address - one.address
        marks = ["local entry point"] if 0 < offset == one.local_entry else []
        marks += ["patch site"] if line.address in sites else []
        yield _code(line, f"+{offset:#x}", ", ".join(marks))
    yield from (f"  {note}" for note in one.notes)
    for site in one.sites:
        yield from _site(site)
    for finding in one.findings:
        known = f" ({', '.join(finding.known)})" if finding.known else ""
        yield f"  {finding.status}: {finding.check}{known}"


def _site(site: Site) -> Iterator[str]:
    dead = ", dead weak code" if site.dead else ""
    recorded = "" if site.recorded == site.ip else f", recorded as {site.recorded:#x}"
    if site.place is None:
        yield f"  the patch site at +{site.offset:#x}{recorded}{dead}: {site.unserved}"
        yield from _state("in the file", site.in_file, None)
    else:
        place = site.place
        yield f"  the patch site at +{site.offset:#x}{recorded}{dead}: stub {place.index} of {place.area}"
        yield from _why(site, place)
        yield from _state("in the file", site.in_file, place)
        if site.expected:
            yield from _state("will be, once booted", site.expected, place)
    for moment in site.moments:
        yield from _moment(moment, site)
    if site.moments and site.absent:
        yield f"    no record at {', '.join(site.absent)}"


def _why(site: Site, place: Place) -> Iterator[str]:
    where = "init text" if site.area == "inittext" else "text"
    yield f"    it lies in {where}, and of the sites that this area serves {place.index} lie before it"
    yield f"    in use: {place.used} of {place.size} stubs"
    for what, way, room in (("to the stub", place.there, place.headroom[0]), ("back", place.back, place.headroom[1])):
        yield f"    the branch {what}: {way:+#x} bytes, {room / (1 << 20):.1f} MB before the limit of {REACH} MB"


def _moment(moment: Moment, site: Site) -> Iterator[str]:
    title = f"at {', '.join(moment.stops)}"
    if moment.state == site.expected:
        yield f"    {title}: so it was"
    else:
        yield from _state(title, moment.state, site.place)
    record = moment.record
    by = f": {', '.join(record.traced_by)}" if record.traced_by else ""
    users = f"{record.users} user{'' if record.users == 1 else 's'}{by}"
    yield f"      record {record.flags:#x}: {', '.join((*record.bits, users))}"


def _state(title: str, state: State, place: Place | None) -> Iterator[str]:
    yield f"    {title}:"
    if state.site:
        yield _code(state.site, "site", "")
    if not state.stub:
        return
    if not state.filled:
        yield f"      {state.stub[0].address:x}  stub     zeros"
        return
    if state.ops:
        yield f"      {state.stub[0].address - POINTER:x}  ops      {state.ops.address:016x}  {state.ops.name}"
    base = place.code if place else state.stub[0].address
    for line in state.stub:
        yield _code(line, f"+{line.address - base + (POINTER if state.ops else 0):#x}", "")


def _code(line: Line, label: str, mark: str) -> str:
    told = f"      {line.address:x}  {label:7}  {line.word:08x}  {line.text}"
    return f"{told:<80}  <- {mark}" if mark else told
