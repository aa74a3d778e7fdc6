"""The checks of the stub areas of a linked kernel, and of the branches between its sites and their stubs (pure)."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from oolong.audit.allocation import out_of_reach
from oolong.audit.check import Answer, Finding, finding, judged, none_of, skipped
from oolong.audit.image import CALLERS, POINTER, TRAMPOLINES, Area, Image
from oolong.audit.linked import Linked
from oolong.audit.registry import Checks, Needs
from oolong.binary import powerpc
from oolong.errors import Kind
from oolong.stubs.counting import INITTEXT, RESERVED, TEXT_END, reserve_in

# what struct ftrace_ool_stub has been: with the pointer to the ops (CALL_OPS), and in the releases before it
STUB_SIZES = 24, 16
# arch/powerpc/tools/ftrace_check.sh
CALLER_REACH, TRAMPOLINE_REACH = 0x2000000, 0x4000000

AREAS = Checks[Linked](needs=Needs.IMAGE, kind=Kind.STUB_AUDIT)


@AREAS.check(
    "image.stub-size",
    title="one size of a stub",
    holds="the areas say one size of a stub, 24 or 16 bytes (size of the area by its count word)",
    failure="structure and .S do not go together",
    about_stubs=True,
)
def stub_size(linked: Linked) -> Answer:
    """All areas say the same size of a stub, one that the kernel has had."""
    image = linked.image
    sizes = {name: area.size / area.stubs for name, area in image.areas.items() if area.stubs}
    wrong = [
        finding(name, f"{size:g} bytes a stub", image.areas[name].address)
        for name, size in sizes.items()
        if size != image.stub_size or image.stub_size not in STUB_SIZES
    ]
    return none_of(wrong, held=f"{image.stub_size} bytes a stub in {', '.join(sizes) or 'no area'}")


@AREAS.check(
    "image.stub-areas",
    title="the stub areas",
    holds="all three areas are there, aligned, zero, apart, in the right range",
    failure="the kernel overwrites something, or init's stubs are not freed with it",
    about_stubs=True,
)
def stub_areas(linked: Linked) -> Answer:
    """The areas are there, aligned, zero until the kernel fills them, apart from each other, and in their ranges."""
    image = linked.image
    held = ", ".join(f"{area.name} {area.stubs} at {area.address:#x}" for area in image.areas.values())
    return none_of(_wrong_areas(image), held=held)


def _wrong_areas(image: Image) -> Iterator[Finding]:
    yield from (finding(name, "is missing") for name in (RESERVED, TEXT_END, INITTEXT) if name not in image.areas)
    areas = sorted(image.areas.values(), key=lambda area: (area.address, area.size))
    for area in areas:
        yield from (finding(area.name, what, area.address) for what in _wrong_area(image, area))
    for one, other in pairwise(area for area in areas if area.size):
        if one.address + one.size > other.address:
            yield finding(one.name, f"reaches into {other.name}", one.address)


def _wrong_area(image: Image, area: Area) -> Iterator[str]:
    if area.address % POINTER:
        yield f"lies at {area.address:#x}, which is no multiple of {POINTER}"
    if area.size != area.stubs * image.stub_size:
        yield f"has {area.size} bytes for {area.stubs} stubs of {image.stub_size}"
    where = image.inittext if area.name == INITTEXT else image.text
    if not where.holds(area.address, area.size):
        yield f"reaches out of {'init text' if area.name == INITTEXT else 'text'}"
    words = image.code.words(area.address, area.size // 4)
    if words is None:
        yield "is not all in code"
    elif any(words):
        at = next(place for place, word in enumerate(words) if word)
        yield f"is not zero at +{4 * at:#x}: {words[at]:08x}"


@AREAS.check(
    "image.stub-counts",
    title="as many stubs as are needed",
    holds="the count words are what vmlinux.o needs; that of the reserve is CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE",
    failure="too few stubs somewhere",
    about_stubs=True,
)
def stub_counts(linked: Linked) -> Answer:
    """The count words are what vmlinux.o needs, and what the configuration asks for."""
    image, known = linked.image, linked.known
    counts = {area: found.stubs for area, found in image.areas.items()}
    asked = None if known.config is None else reserve_in(known.config)
    reserve = counts.get(RESERVED, 0) if asked is None else asked
    needed: dict[str, tuple[str, int]] = {}
    if asked is not None:
        needed[RESERVED] = ".config asks for", asked
    if known.plan is not None:
        needed[TEXT_END] = "vmlinux.o needs", max(0, known.plan.text - reserve)
        needed[INITTEXT] = "vmlinux.o needs", known.plan.inittext
    if not needed:
        return skipped("nothing was counted in vmlinux.o to compare with, and there is no .config")
    wrong = (
        finding(area, f"{counts.get(area, 'no')} stubs, {who} {count}")
        for area, (who, count) in needed.items()
        if counts.get(area) != count
    )
    return none_of(wrong, held=", ".join(f"{area} {counts[area]}" for area in needed if area in counts))


@AREAS.check(
    "image.stub-allocation",
    title="a stub for every site",
    holds="the allocation on paper has a stub for every site",
    failure="`Stub index overflow`, `ftrace bug` at boot",
    about_stubs=True,
)
def stub_allocation(linked: Linked) -> Answer:
    image, allocation = linked.image, linked.allocation
    wrong = (finding(image.owner(ip), f"{area} is full", ip) for ip, area in allocation.overflowed)
    used = Counter(stub.area for stub in allocation.stubs.values())
    held = ", ".join(f"{used[name]} of {area.stubs} in {name}" for name, area in image.areas.items())
    return none_of(wrong, held=held)


@AREAS.check(
    "image.branch-range",
    title="branches that reach",
    holds="site → stub, stub → ftrace, stub → function: each within ±32 MB",
    failure="the kernel cannot write the branch",
    about_stubs=True,
)
def branch_range(linked: Linked) -> Answer:
    image, allocation = linked.image, linked.allocation
    found = (finding(image.owner(ip), what, ip) for ip, what in out_of_reach(image, allocation.stubs.values()))
    furthest = max((abs(stub.code - stub.ip) for stub in allocation.stubs.values()), default=0)
    held = f"the furthest stub is {furthest} bytes away, {powerpc.FURTHEST_AHEAD - furthest} are left"
    return none_of(found, held=held)


@AREAS.check(
    "image.trampolines",
    title="trampolines in reach",
    holds="`ftrace_caller` within 32 MB of `_stext`, `ftrace_tramp_text` within 64 MB of it",
    failure="ftrace_check.sh refuses the image: a stub may not reach ftrace",
)
def trampolines(linked: Linked) -> Answer:
    """What the kernel's ftrace_check.sh asserts: ftrace_caller within 32 MB of _stext, the trampoline at the end of
    text within 64 MB of it."""
    image = linked.image
    caller, tramp = image.addresses.get(CALLERS[0]), image.addresses.get(TRAMPOLINES[0])
    if caller is None or tramp is None:
        return judged(False, f"no symbol {CALLERS[0] if caller is None else TRAMPOLINES[0]}")
    near, far = caller - image.text.start, tramp - caller
    told = f"ftrace_caller is {near} bytes after _stext, ftrace_tramp_text {far} after ftrace_caller"
    return judged(near < CALLER_REACH and far < TRAMPOLINE_REACH, told)
