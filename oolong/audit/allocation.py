"""Which stub serves which patch site, and what is in it: the kernel's own allocation, done again on paper (pure).

Source: ftrace_init_ool_stub, ftrace_get_call_inst and find_ftrace_tramp in arch/powerpc/kernel/trace/ftrace.c of Linux
7.3; ftrace_process_locs in kernel/trace/ftrace.c for the order.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from oolong.audit.image import CALLERS, TRAMPOLINES, Area, Image
from oolong.binary import powerpc
from oolong.stubs.counting import INITTEXT, RESERVED, TEXT_END

STUB_WORDS = 4


class Stub(NamedTuple):
    """The stub of a patch site: number `number` of an area, `code` the address of its first instruction."""

    ip: int
    area: str
    number: int
    code: int

    @property
    def call(self) -> int:
        """Where the call to ftrace lies."""
        return self.code + powerpc.INSTRUCTION

    @property
    def back(self) -> int:
        """Where the branch back into the function lies."""
        return self.code + 3 * powerpc.INSTRUCTION

    @property
    def return_to(self) -> int:
        """The instruction after the patch site."""
        return self.ip + powerpc.INSTRUCTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The stubs by patch site, and the sites that got none since their area was full, with that area."""

    stubs: Mapping[int, Stub]
    overflowed: tuple[tuple[int, str], ...]


def allocate(image: Image) -> Allocation:
    """Serve the patch sites in the order of their addresses, as the kernel does when it boots."""
    used = dict.fromkeys(image.areas, 0)
    stubs: dict[int, Stub] = {}
    overflowed = []
    for site in image.sites:
        area = _area_for(image, site.ip, used)
        if area is None:
            continue
        index = used[area.name]
        used[area.name] += 1
        if index >= area.stubs:
            overflowed.append((site.ip, area.name))
            continue
        code = area.address + index * image.stub_size + image.stub_code
        stubs[site.ip] = Stub(site.ip, area.name, index, code)
    return Allocation(stubs=stubs, overflowed=tuple(overflowed))


def _area_for(image: Image, ip: int, used: Mapping[str, int]) -> Area | None:
    if image.area_of(ip) == "inittext":
        return image.areas.get(INITTEXT)
    reserved, end = image.areas.get(RESERVED), image.areas.get(TEXT_END)
    if reserved is None:
        return end
    index = used[reserved.name]
    near = powerpc.reaches(reserved.address + index * image.stub_size, ip)
    return reserved if index < reserved.stubs and near else end


def trampoline(image: Image, call: int, caller: str) -> int | None:
    """Where a stub's call goes so that it gets to one of CALLERS: there, or to the first trampoline that it reaches;
    None if it reaches none. The trampoline in init text is gone when init is."""
    lasting = TRAMPOLINES if image.inittext.holds(call) else TRAMPOLINES[:1]
    there = [image.addresses[name] for name in (caller, *lasting) if name in image.addresses]
    return next((at for at in there if powerpc.reaches(call, at)), None)


def sequence(stub: Stub, target: int | None) -> tuple[int, ...] | None:
    """The four instructions of a stub that calls `target`; None if a branch of it does not reach."""
    if target is None or not powerpc.reaches(stub.call, target) or not powerpc.reaches(stub.back, stub.return_to):
        return None
    return (
        powerpc.MFLR_R0,
        powerpc.branch(stub.call, target, link=True),
        powerpc.MTLR_R0,
        powerpc.branch(stub.back, stub.return_to),
    )


def out_of_reach(image: Image, stubs: Iterable[Stub]) -> Iterator[tuple[int, str]]:
    """(patch site, what does not reach what) of each stub that does not work."""
    for stub in stubs:
        if not powerpc.reaches(stub.ip, stub.code):
            yield stub.ip, f"its stub at {stub.code:#x} is {stub.code - stub.ip:+#x} away"
        if not powerpc.reaches(stub.back, stub.return_to):
            yield stub.ip, f"the branch back at {stub.back:#x} is {stub.return_to - stub.back:+#x} away"
        if trampoline(image, stub.call, CALLERS[0]) is None:
            yield stub.ip, f"its stub at {stub.code:#x} reaches neither ftrace_caller nor a trampoline"
