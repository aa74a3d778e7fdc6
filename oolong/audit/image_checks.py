"""The checks of a linked kernel: its table of patch sites, its stub areas, what the kernel makes of both (pure)."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from oolong.audit.allocation import Allocation, allocate, out_of_reach
from oolong.audit.check import Answer, Check, Finding, finding, judged, none_of, skipped
from oolong.audit.image import CALLERS, POINTER, RELATIVE, TRAMPOLINES, Area, Function, Image
from oolong.audit.registry import AUDITED, OUT_OF_LINE, Checks, Due, Needs
from oolong.binary import powerpc
from oolong.errors import Kind
from oolong.stubs.counting import INITTEXT, RESERVED, TEXT_END, StubPlan

# what struct ftrace_ool_stub has been: with the pointer to the ops (CALL_OPS), and in the releases before it
STUB_SIZES = 24, 16
# how far after a function's symbol a kprobe looks for its patch site, both ends included
# (kprobe_lookup_name, arch/powerpc/kernel/kprobes.c)
KPROBE_WINDOW = 16
# FTRACE_MCOUNT_MAX_OFFSET, arch/powerpc/include/asm/ftrace.h, where the kernel's build does not say
MAX_OFFSET = 16
# arch/powerpc/tools/ftrace_check.sh
CALLER_REACH, TRAMPOLINE_REACH = 0x2000000, 0x4000000
# mflr r0, and std r0,16(r1), which gcc 5 puts after it
PROLOGUES = (powerpc.MFLR_R0,), (powerpc.MFLR_R0, 0xF8010010)
SHOULD_RUN = {"CHKHEAD": "PPC64", "CHKREL": "RELOCATABLE", "CHKFTRC": "FUNCTION_TRACER"}
# why what is about stubs does not apply
OFF = "out-of-line ftrace is off in this kernel"
DEAD_CODE = "LD_DEAD_CODE_DATA_ELIMINATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a kernel besides its image; None where it is not.

    `plan` is what vmlinux.o needs; `config` its .config (symbol without CONFIG_ → value); `max_offset` its
    FTRACE_MCOUNT_MAX_OFFSET; `post_link` the names of the post-link checks that its build ran.
    """

    plan: StubPlan | None = None
    config: Mapping[str, str] | None = None
    max_offset: int | None = None
    post_link: frozenset[str] | None = None


@dataclass(frozen=True)
class Linked:
    """An image, and what is known of it besides."""

    image: Image
    known: Known = field(default_factory=Known)

    @cached_property
    def allocation(self) -> Allocation:
        return allocate(self.image)


IMAGE = Checks[Linked](needs=Needs.IMAGE, kind=Kind.STUB_AUDIT)


def checks(image: Image, known: Known) -> Iterator[Check]:
    """All checks of an image, each once."""
    return IMAGE.run(Linked(image, known), without_stubs=None if image.out_of_line else _without_stubs(known))


def _without_stubs(known: Known) -> Answer:
    if known.config is not None and known.config.get("PPC_FTRACE_OUT_OF_LINE") == "y":
        return judged(False, "CONFIG_PPC_FTRACE_OUT_OF_LINE=y, and there is no stub area")
    return skipped(OFF)


@IMAGE.check(
    "image.mcount-entries",
    title="as many entries as were compiled",
    holds="the table has as many entries as vmlinux.o, and as many of them in init text (with dead code elimination: "
    "no more)",
    failure="sites were lost or added by the link, or init's functions ended in text",
    due=AUDITED & OUT_OF_LINE,
)
def mcount_entries(linked: Linked) -> Answer:
    """As many entries as vmlinux.o has patch sites, and as many of them in init text, which has stubs of its own; fewer
    only where the linker throws dead code away."""
    image, known = linked.image, linked.known
    if known.plan is None:
        return skipped("nothing was counted in vmlinux.o to compare with")
    there = sum(1 for slot in image.slots if slot), sum(image.inittext.holds(slot) for slot in image.slots)
    needed = known.plan.total, known.plan.inittext
    ours, theirs = (f"{total}, {init} of them in init text" for total, init in (there, needed))
    told = f"in the table {ours}; in vmlinux.o {theirs}"
    if known.config is None or known.config.get(DEAD_CODE) != "y":
        return judged(there == needed, told)
    good = 0 < there[0] <= needed[0] and there[1] <= needed[1]
    return judged(good, f"{told}, less what CONFIG_{DEAD_CODE} removes")


@IMAGE.check(
    "image.relocations",
    title="a relocation for each slot",
    holds="a relocatable kernel has one R_PPC64_RELATIVE for each slot, to the address that stands there (LLD "
    "leaves 0)",
    failure="after relocation the slot points elsewhere",
    due=AUDITED & Due(symbols={"RELOCATABLE": "y"}),
)
def relocations(linked: Linked) -> Answer:
    """In a relocatable kernel each slot has one relocation, R_PPC64_RELATIVE, to the address that stands there; LLD
    leaves the slot zero."""
    image, known = linked.image, linked.known
    if image.relocations is None and known.config is not None and known.config.get("RELOCATABLE") == "y":
        return judged(False, "CONFIG_RELOCATABLE=y, and there is no .rela.dyn")
    if image.relocations is None:
        return skipped("the kernel is not relocatable: it has no .rela.dyn")
    return none_of(_wrong_slots(image), held=f"{len(image.stored)} slots, each with one R_PPC64_RELATIVE")


def _wrong_slots(image: Image) -> Iterator[Finding]:
    assert image.relocations is not None
    for number, stored in enumerate(image.stored):
        at = image.table.start + number * POINTER
        found = image.relocations.get(at, ())
        if len(found) != 1:
            yield finding(f"slot {number}", f"has {len(found)} relocations at {at:#x}", at)
        elif found[0][0] != RELATIVE:
            yield finding(f"slot {number}", f"has a relocation of type {found[0][0]}", at)
        elif stored not in (0, found[0][1]):
            yield finding(f"slot {number}", f"holds {stored:#x}, its relocation says {found[0][1]:#x}", at)
    inside = {image.table.start + number * POINTER for number in range(len(image.stored))}
    for at in sorted(set(image.relocations) - inside):
        yield finding(f"{at:#x}", "a relocation between two slots", at)


@IMAGE.check(
    "image.in-text",
    title="entries within text",
    holds="each entry lies in text or init text, but for those in exit text, where nothing is traced",
    failure="the kernel passes over it silently: the function cannot be traced",
)
def in_text(linked: Linked) -> Answer:
    """Every entry lies in text or init text, but for those in exit text: the kernel passes over them without a word, as
    over any other."""
    image = linked.image
    wrong = (
        finding(image.told(slot), f"{slot:#x} is in neither text nor init text", slot)
        for slot in image.slots
        if image.area_of(slot) is None and not image.exittext.holds(slot)
    )
    leaving = sum(image.exittext.holds(slot) for slot in image.slots)
    held = (
        f"{len(image.slots) - leaving} entries in text and init text, {leaving} in exit text, where nothing is traced"
    )
    return none_of(wrong, held=held)


@IMAGE.check(
    "image.unique",
    title="one record for a site",
    holds="no site twice",
    failure="two records for one site",
)
def unique(linked: Linked) -> Answer:
    """No two records for one patch site."""
    image = linked.image
    often = ((ip, count) for ip, count in Counter(site.ip for site in image.sites).items() if count > 1)
    wrong = (finding(image.told(ip), f"{count} entries for {ip:#x}", ip) for ip, count in often)
    return none_of(wrong, held=f"{len(image.sites)} patch sites, all different")


@IMAGE.check(
    "image.site-words",
    title="what stands at each patch site",
    holds="a nop at each site; two for `=2`; `bl _mcount` otherwise",
    failure="the kernel refuses the site at boot",
)
def site_words(linked: Linked) -> Answer:
    """At each site stands what the kernel's first look at it expects: a nop, or the call to _mcount."""
    image = linked.image
    if image.out_of_line:
        wrong = _not_a_nop(image, (0,))
        return none_of(wrong, held=f"a nop at each of {len(image.sites)} sites")
    if "_mcount" not in image.addresses or image.two_nops:
        wrong = _not_a_nop(image, (0, powerpc.INSTRUCTION))
        return none_of(wrong, held=f"two nops at each of {len(image.sites)} sites")
    return none_of(_no_call(image), held=f"bl _mcount at each of {len(image.sites)} sites")


def _not_a_nop(image: Image, offsets: tuple[int, ...]) -> Iterator[Finding]:
    for site in image.sites:
        for offset in offsets:
            # clang's nop is not where it is recorded
            at = (site.recorded if image.two_nops else site.ip) + offset
            word = image.code.word(at)
            if word != powerpc.NOP:
                yield finding(image.owner(at), f"{_hex(word)} at {image.told(at)}, which is no nop", site.ip)


def _no_call(image: Image) -> Iterator[Finding]:
    """A `bl` to _mcount, or far from it to a stub of the linker."""
    mcount = image.addresses["_mcount"]
    for site in image.sites:
        word = image.code.word(site.ip)
        target = None if word is None else powerpc.branch_target(word, site.ip)
        if word is None or target is None or not powerpc.links(word):
            yield finding(image.owner(site.ip), f"{_hex(word)} at {image.told(site.ip)}, which is no call", site.ip)
        elif target != mcount and powerpc.reaches(site.ip, mcount):
            yield finding(image.owner(site.ip), f"it calls {image.told(target)}, not _mcount", site.ip)


@IMAGE.check(
    "image.entry-points",
    title="patch sites at entry points",
    holds="each site is at its function's local entry point, or in the code of an overridden weak function",
    failure="arguments or TOC are not what the tracer expects",
)
def entry_points(linked: Linked) -> Answer:
    """Each site is at its function's local entry point; a site that no function covers is what is left of a weak one.

    Where out-of-line ftrace is off the site lies after the entry: two nops, or mflr, perhaps std, and the call.
    """
    image, known = linked.image, linked.known
    dead = sum(site.function is None for site in image.sites)
    held = f"{len(image.sites) - dead} at local entry points, {dead} in code of overridden weak functions"
    if image.out_of_line:
        return none_of(_off_entry(image), held=held)
    if not image.two_nops and "_mcount" in image.addresses:
        strict = known.config is not None and known.config.get("MPROFILE_KERNEL") == "y"
        return none_of(_off_prologue(image, strict), held=held.replace("at", "right after", 1))
    return none_of(_off_entry(image), held=held)


def _off_entry(image: Image) -> Iterator[Finding]:
    for site in image.sites:
        one = site.function
        if one is None:
            if (later := _after_nops(image, site.ip)) is not None:
                yield finding(later.name, f"its site is {later.address - site.ip} bytes before it", site.ip)
        else:
            at = (site.recorded if image.two_nops else site.ip) - one.address
            if at != one.local_entry:
                yield finding(one.name, f"its site is at +{at:#x}, its local entry at +{one.local_entry:#x}", site.ip)


def _after_nops(image: Image, ip: int) -> Function | None:
    """The function that begins after the nops from an address on, as -fpatchable-function-entry=N,M would put them."""
    while image.code.word(ip) == powerpc.NOP:
        ip += powerpc.INSTRUCTION
        if (found := image.function_at(ip)) is not None:
            return found
    return None


def _off_prologue(image: Image, strict: bool) -> Iterator[Finding]:
    """-mprofile-kernel (`strict`): mflr r0, [std r0,16(r1),] bl _mcount right at the local entry, as ftrace_init_nop
    asks for; -pg: mflr r0 within a prologue whose length the compiler chooses."""
    for site in image.sites:
        one = site.function
        if one is None:
            continue
        before = image.code.words(one.address + one.local_entry, (site.ip - one.address - one.local_entry) // 4)
        if before is None or powerpc.MFLR_R0 not in before:
            what = f"no mflr r0 between its local entry and the call at +{site.ip - one.address:#x}"
            yield finding(one.name, what, site.ip)
        elif strict and tuple(before) not in PROLOGUES:
            what = f"not just mflr r0, or that and std, before the call at +{site.ip - one.address:#x}"
            yield finding(one.name, what, site.ip)


@IMAGE.check(
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


@IMAGE.check(
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


@IMAGE.check(
    "image.stub-counts",
    title="as many stubs as are needed",
    holds="the count words are what vmlinux.o needs",
    failure="too few stubs somewhere",
    about_stubs=True,
)
def stub_counts(linked: Linked) -> Answer:
    """The count words are what vmlinux.o needs."""
    image, known = linked.image, linked.known
    if known.plan is None:
        return skipped("nothing was counted in vmlinux.o to compare with")
    counts = {area: found.stubs for area, found in image.areas.items()}
    reserve = counts.get(RESERVED, 0)
    needed = {TEXT_END: max(0, known.plan.text - reserve), INITTEXT: known.plan.inittext}
    wrong = (
        finding(area, f"{counts.get(area, 'no')} stubs, vmlinux.o needs {count}")
        for area, count in needed.items()
        if counts.get(area) != count
    )
    return none_of(wrong, held=", ".join(f"{area} {count}" for area, count in counts.items()))


@IMAGE.check(
    "image.stub-allocation",
    title="a stub for every site",
    holds="the allocation on paper has a stub for every site",
    failure="`Stub index overflow`, `ftrace bug` at boot",
    about_stubs=True,
)
def stub_allocation(linked: Linked) -> Answer:
    """The kernel's own allocation, done on paper, has a stub for every site."""
    image, allocation = linked.image, linked.allocation
    wrong = (finding(image.owner(ip), f"{area} is full", ip) for ip, area in allocation.overflowed)
    used = Counter(stub.area for stub in allocation.stubs.values())
    held = ", ".join(f"{used[name]} of {area.stubs} in {name}" for name, area in image.areas.items())
    return none_of(wrong, held=held)


@IMAGE.check(
    "image.branch-range",
    title="branches that reach",
    holds="site → stub, stub → ftrace, stub → function: each within ±32 MB",
    failure="the kernel cannot write the branch",
    about_stubs=True,
)
def branch_range(linked: Linked) -> Answer:
    """Site to stub, stub to ftrace, and stub back to the function: each branch reaches, 32 MB at most."""
    image, allocation = linked.image, linked.allocation
    found = (finding(image.owner(ip), what, ip) for ip, what in out_of_reach(image, allocation.stubs.values()))
    furthest = max((abs(stub.code - stub.ip) for stub in allocation.stubs.values()), default=0)
    held = f"the furthest stub is {furthest} bytes away, {powerpc.FURTHEST_AHEAD - furthest} are left"
    return none_of(found, held=held)


@IMAGE.check(
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


@IMAGE.check(
    "image.kprobe-window",
    title="no foreign site in a kprobe's window",
    holds="no foreign site from a function's symbol to 16 bytes after it",
    failure="a kprobe on it by name may land on the neighbour",
    due=AUDITED & Due(symbols={"KPROBES_ON_FTRACE": "y"}),
)
def kprobe_window(linked: Linked) -> Answer:
    """A kprobe by symbol takes any patch site from the symbol to 16 bytes after it, so there must be but its own."""
    image, known = linked.image, linked.known
    if known.config is not None and known.config.get("KPROBES_ON_FTRACE") != "y":
        return skipped("kprobes do not use ftrace in this configuration")
    held = f"no foreign site within {KPROBE_WINDOW} bytes of {len(image.functions)} functions"
    return none_of(_shared_windows(image), held=held)


def _shared_windows(image: Image) -> Iterator[Finding]:
    ips = [site.ip for site in image.sites]
    for function in image.functions:
        first, last = bisect_left(ips, function.address), bisect_right(ips, function.address + KPROBE_WINDOW)
        foreign = [ip for ip in ips[first:last] if not function.covers(ip)]
        own = last - first - len(foreign)
        if foreign:
            what = f"the site of {image.told(foreign[0])} is at +{foreign[0] - function.address:#x}"
            yield finding(function.name, what, function.address)
        elif own > 1:
            yield finding(function.name, f"it has {own} sites within {KPROBE_WINDOW} bytes", function.address)


@IMAGE.check(
    "image.dead-record-window",
    title="dead records that are seen as dead",
    holds="no site of overridden weak code within FTRACE_MCOUNT_MAX_OFFSET of a symbol",
    failure="a dead record passes for the function before it",
)
def dead_record_window(linked: Linked) -> Answer:
    """The kernel takes a record for dead if it is further after the nearest symbol than FTRACE_MCOUNT_MAX_OFFSET; a
    dead one that is nearer passes for the function before it."""
    image, known = linked.image, linked.known
    limit = MAX_OFFSET if known.max_offset is None else known.max_offset
    wrong = (
        finding(named[0], f"dead weak code at +{named[1]:#x} passes for it", site.ip)
        for site in image.sites
        if site.function is None and (named := image.name_of(site.ip)) is not None and named[1] <= limit
    )
    dead = sum(site.function is None for site in image.sites)
    return none_of(wrong, held=f"{dead} dead records, all further than {limit} bytes")


@IMAGE.check(
    "image.post-link-checks",
    title="the build's own checks of the image",
    holds="the build ran CHKHEAD, CHKREL and CHKFTRC, as Makefile.postlink has them",
    failure="nobody checked the image",
)
def post_link_checks(linked: Linked) -> Answer:
    """The kernel's own checks of a linked image (arch/powerpc/Makefile.postlink) were really run by its build."""
    known = linked.known
    if known.post_link is None or known.config is None:
        return skipped("the log of the build and its .config are not there")
    due = [check for check, symbol in SHOULD_RUN.items() if known.config.get(symbol) == "y"]
    missing = [check for check in due if check not in known.post_link]
    told = f"not run: {', '.join(missing)}" if missing else f"run: {', '.join(due)}"
    return judged(not missing, told)


def _hex(word: int | None) -> str:
    return "no code" if word is None else f"{word:08x}"
