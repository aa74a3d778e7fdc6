"""The checks of a linked kernel: its table of patch sites, its stub areas, what the kernel makes of both (pure).

Each check is explained in docs/audit.md.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from oolong.audit.allocation import Allocation, allocate, out_of_reach
from oolong.audit.check import Check, judged, none_of, skipped
from oolong.audit.image import CALLERS, POINTER, RELATIVE, TRAMPOLINES, Function, Image
from oolong.binary import powerpc
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
OUT_OF_LINE_ONLY = (
    "image.stub-size",
    "image.stub-areas",
    "image.stub-counts",
    "image.stub-allocation",
    "image.branch-range",
)
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


def checks(image: Image, known: Known) -> Iterator[Check]:
    """All checks of an image, each once, in the order of docs/audit.md."""
    yield mcount_entries(image, known)
    yield relocations(image, known)
    yield in_text(image)
    yield unique(image)
    yield site_words(image)
    yield entry_points(image, known)
    if image.out_of_line:
        allocation = allocate(image)
        yield stub_size(image)
        yield stub_areas(image)
        yield stub_counts(image, known)
        yield stub_allocation(image, allocation)
        yield branch_range(image, allocation)
    else:
        lost = known.config is not None and known.config.get("PPC_FTRACE_OUT_OF_LINE") == "y"
        for name in OUT_OF_LINE_ONLY:
            if lost:
                yield judged(name, False, "CONFIG_PPC_FTRACE_OUT_OF_LINE=y, and there is no stub area")
            else:
                yield skipped(name, OFF)
    yield trampolines(image)
    yield kprobe_window(image, known)
    yield dead_record_window(image, known)
    yield post_link_checks(known)


def mcount_entries(image: Image, known: Known) -> Check:
    """As many entries as vmlinux.o has patch sites, and as many of them in init text, which has stubs of its own; fewer
    only where the linker throws dead code away."""
    name = "image.mcount-entries"
    if known.plan is None:
        return skipped(name, "nothing was counted in vmlinux.o to compare with")
    linked = sum(1 for slot in image.slots if slot), sum(image.inittext.holds(slot) for slot in image.slots)
    compiled = known.plan.total, known.plan.inittext
    there, needed = (f"{total}, {init} of them in init text" for total, init in (linked, compiled))
    told = f"in the table {there}; in vmlinux.o {needed}"
    if known.config is None or known.config.get(DEAD_CODE) != "y":
        return judged(name, linked == compiled, told)
    good = 0 < linked[0] <= compiled[0] and linked[1] <= compiled[1]
    return judged(name, good, f"{told}, less what CONFIG_{DEAD_CODE} removes")


def relocations(image: Image, known: Known) -> Check:
    """In a relocatable kernel each slot has one relocation, R_PPC64_RELATIVE, to the address that stands there; LLD
    leaves the slot zero."""
    name = "image.relocations"
    if image.relocations is None and known.config is not None and known.config.get("RELOCATABLE") == "y":
        return judged(name, False, "CONFIG_RELOCATABLE=y, and there is no .rela.dyn")
    if image.relocations is None:
        return skipped(name, "the kernel is not relocatable: it has no .rela.dyn")
    return none_of(name, _wrong_slots(image), held=f"{len(image.stored)} slots, each with one R_PPC64_RELATIVE")


def _wrong_slots(image: Image) -> Iterator[tuple[str, str]]:
    assert image.relocations is not None
    for number, stored in enumerate(image.stored):
        at = image.table.start + number * POINTER
        found = image.relocations.get(at, ())
        if len(found) != 1:
            yield f"slot {number}", f"has {len(found)} relocations at {at:#x}"
        elif found[0][0] != RELATIVE:
            yield f"slot {number}", f"has a relocation of type {found[0][0]}"
        elif stored not in (0, found[0][1]):
            yield f"slot {number}", f"holds {stored:#x}, its relocation says {found[0][1]:#x}"
    inside = {image.table.start + number * POINTER for number in range(len(image.stored))}
    for at in sorted(set(image.relocations) - inside):
        yield f"{at:#x}", "a relocation between two slots"


def in_text(image: Image) -> Check:
    """Every entry lies in text or init text, but for those in exit text: the kernel passes over them without a word, as
    over any other."""
    wrong = (
        (image.told(slot), f"{slot:#x} is in neither text nor init text")
        for slot in image.slots
        if image.area_of(slot) is None and not image.exittext.holds(slot)
    )
    leaving = sum(image.exittext.holds(slot) for slot in image.slots)
    held = (
        f"{len(image.slots) - leaving} entries in text and init text, {leaving} in exit text, where nothing is traced"
    )
    return none_of("image.in-text", wrong, held=held)


def unique(image: Image) -> Check:
    """No two records for one patch site."""
    often = ((ip, count) for ip, count in Counter(site.ip for site in image.sites).items() if count > 1)
    wrong = ((image.told(ip), f"{count} entries for {ip:#x}") for ip, count in often)
    return none_of("image.unique", wrong, held=f"{len(image.sites)} patch sites, all different")


def site_words(image: Image) -> Check:
    """At each site stands what the kernel's first look at it expects: a nop, or the call to _mcount."""
    name = "image.site-words"
    if image.out_of_line:
        wrong = _not_a_nop(image, (0,))
        return none_of(name, wrong, held=f"a nop at each of {len(image.sites)} sites")
    if "_mcount" not in image.addresses or image.two_nops:
        wrong = _not_a_nop(image, (0, powerpc.INSTRUCTION))
        return none_of(name, wrong, held=f"two nops at each of {len(image.sites)} sites")
    return none_of(name, _no_call(image), held=f"bl _mcount at each of {len(image.sites)} sites")


def _not_a_nop(image: Image, offsets: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    for site in image.sites:
        for offset in offsets:
            # clang's nop is not where it is recorded
            at = (site.recorded if image.two_nops else site.ip) + offset
            word = image.code.word(at)
            if word != powerpc.NOP:
                yield image.owner(at), f"{_hex(word)} at {image.told(at)}, which is no nop"


def _no_call(image: Image) -> Iterator[tuple[str, str]]:
    """A `bl` to _mcount, or far from it to a stub of the linker."""
    mcount = image.addresses["_mcount"]
    for site in image.sites:
        word = image.code.word(site.ip)
        target = None if word is None else powerpc.branch_target(word, site.ip)
        if word is None or target is None or not powerpc.links(word):
            yield image.owner(site.ip), f"{_hex(word)} at {image.told(site.ip)}, which is no call"
        elif target != mcount and powerpc.reaches(site.ip, mcount):
            yield image.owner(site.ip), f"it calls {image.told(target)}, not _mcount"


def entry_points(image: Image, known: Known) -> Check:
    """Each site is at its function's local entry point; a site that no function covers is what is left of a weak one.

    Where out-of-line ftrace is off the site lies after the entry: two nops, or mflr, perhaps std, and the call.
    """
    name = "image.entry-points"
    dead = sum(site.function is None for site in image.sites)
    held = f"{len(image.sites) - dead} at local entry points, {dead} in code of overridden weak functions"
    if image.out_of_line:
        return none_of(name, _off_entry(image), held=held)
    if not image.two_nops and "_mcount" in image.addresses:
        strict = known.config is not None and known.config.get("MPROFILE_KERNEL") == "y"
        return none_of(name, _off_prologue(image, strict), held=held.replace("at", "right after", 1))
    return none_of(name, _off_entry(image), held=held)


def _off_entry(image: Image) -> Iterator[tuple[str, str]]:
    for site in image.sites:
        one = site.function
        if one is None:
            if (later := _after_nops(image, site.ip)) is not None:
                yield later.name, f"its site is {later.address - site.ip} bytes before it"
        else:
            at = (site.recorded if image.two_nops else site.ip) - one.address
            if at != one.local_entry:
                yield one.name, f"its site is at +{at:#x}, its local entry at +{one.local_entry:#x}"


def _after_nops(image: Image, ip: int) -> Function | None:
    """The function that begins after the nops from an address on, as -fpatchable-function-entry=N,M would put them."""
    while image.code.word(ip) == powerpc.NOP:
        ip += powerpc.INSTRUCTION
        if (found := image.function_at(ip)) is not None:
            return found
    return None


def _off_prologue(image: Image, strict: bool) -> Iterator[tuple[str, str]]:
    """-mprofile-kernel (`strict`): mflr r0, [std r0,16(r1),] bl _mcount right at the local entry, as ftrace_init_nop
    asks for; -pg: mflr r0 within a prologue whose length the compiler chooses."""
    for site in image.sites:
        one = site.function
        if one is None:
            continue
        before = image.code.words(one.address + one.local_entry, (site.ip - one.address - one.local_entry) // 4)
        if before is None or powerpc.MFLR_R0 not in before:
            yield one.name, f"no mflr r0 between its local entry and the call at +{site.ip - one.address:#x}"
        elif strict and tuple(before) not in PROLOGUES:
            yield one.name, f"not just mflr r0, or that and std, before the call at +{site.ip - one.address:#x}"


def stub_size(image: Image) -> Check:
    """All areas say the same size of a stub, one that the kernel has had."""
    sizes = {name: area.size / area.stubs for name, area in image.areas.items() if area.stubs}
    wrong = [
        (name, f"{size:g} bytes a stub")
        for name, size in sizes.items()
        if size != image.stub_size or image.stub_size not in STUB_SIZES
    ]
    return none_of("image.stub-size", wrong, held=f"{image.stub_size} bytes a stub in {', '.join(sizes) or 'no area'}")


def stub_areas(image: Image) -> Check:
    """The areas are there, aligned, zero until the kernel fills them, apart from each other, and in their ranges."""
    held = ", ".join(f"{area.name} {area.stubs} at {area.address:#x}" for area in image.areas.values())
    return none_of("image.stub-areas", _wrong_areas(image), held=held)


def _wrong_areas(image: Image) -> Iterator[tuple[str, str]]:
    for name in (RESERVED, TEXT_END, INITTEXT):
        if name not in image.areas:
            yield name, "is missing"
    areas = sorted(image.areas.values(), key=lambda area: (area.address, area.size))
    for area in areas:
        if area.address % POINTER:
            yield area.name, f"lies at {area.address:#x}, which is no multiple of {POINTER}"
        if area.size != area.stubs * image.stub_size:
            yield area.name, f"has {area.size} bytes for {area.stubs} stubs of {image.stub_size}"
        where = image.inittext if area.name == INITTEXT else image.text
        if not where.holds(area.address, area.size):
            yield area.name, f"reaches out of {'init text' if area.name == INITTEXT else 'text'}"
        words = image.code.words(area.address, area.size // 4)
        if words is None:
            yield area.name, "is not all in code"
        elif any(words):
            at = next(place for place, word in enumerate(words) if word)
            yield area.name, f"is not zero at +{4 * at:#x}: {words[at]:08x}"
    for one, other in pairwise(area for area in areas if area.size):
        if one.address + one.size > other.address:
            yield one.name, f"reaches into {other.name}"


def stub_counts(image: Image, known: Known) -> Check:
    """The count words are what vmlinux.o needs."""
    name = "image.stub-counts"
    if known.plan is None:
        return skipped(name, "nothing was counted in vmlinux.o to compare with")
    counts = {area: found.stubs for area, found in image.areas.items()}
    reserve = counts.get(RESERVED, 0)
    needed = {TEXT_END: max(0, known.plan.text - reserve), INITTEXT: known.plan.inittext}
    wrong = (
        (area, f"{counts.get(area, 'no')} stubs, vmlinux.o needs {count}")
        for area, count in needed.items()
        if counts.get(area) != count
    )
    return none_of(name, wrong, held=", ".join(f"{area} {count}" for area, count in counts.items()))


def stub_allocation(image: Image, allocation: Allocation) -> Check:
    """The kernel's own allocation, done on paper, has a stub for every site."""
    wrong = ((image.owner(ip), f"{area} is full") for ip, area in allocation.overflowed)
    used = Counter(stub.area for stub in allocation.stubs.values())
    held = ", ".join(f"{used[name]} of {area.stubs} in {name}" for name, area in image.areas.items())
    return none_of("image.stub-allocation", wrong, held=held)


def branch_range(image: Image, allocation: Allocation) -> Check:
    """Site to stub, stub to ftrace, and stub back to the function: each branch reaches, 32 MB at most."""
    found = ((image.owner(ip), what) for ip, what in out_of_reach(image, allocation.stubs.values()))
    furthest = max((abs(stub.code - stub.ip) for stub in allocation.stubs.values()), default=0)
    held = f"the furthest stub is {furthest} bytes away, {powerpc.FURTHEST_AHEAD - furthest} are left"
    return none_of("image.branch-range", found, held=held)


def trampolines(image: Image) -> Check:
    """What the kernel's ftrace_check.sh asserts: ftrace_caller within 32 MB of _stext, the trampoline at the end of
    text within 64 MB of it."""
    name = "image.trampolines"
    caller, tramp = image.addresses.get(CALLERS[0]), image.addresses.get(TRAMPOLINES[0])
    if caller is None or tramp is None:
        return judged(name, False, f"no symbol {CALLERS[0] if caller is None else TRAMPOLINES[0]}")
    near, far = caller - image.text.start, tramp - caller
    told = f"ftrace_caller is {near} bytes after _stext, ftrace_tramp_text {far} after ftrace_caller"
    return judged(name, near < CALLER_REACH and far < TRAMPOLINE_REACH, told)


def kprobe_window(image: Image, known: Known) -> Check:
    """A kprobe by symbol takes any patch site from the symbol to 16 bytes after it, so there must be but its own."""
    name = "image.kprobe-window"
    if known.config is not None and known.config.get("KPROBES_ON_FTRACE") != "y":
        return skipped(name, "kprobes do not use ftrace in this configuration")
    held = f"no foreign site within {KPROBE_WINDOW} bytes of {len(image.functions)} functions"
    return none_of(name, _shared_windows(image), held=held)


def _shared_windows(image: Image) -> Iterator[tuple[str, str]]:
    ips = [site.ip for site in image.sites]
    for function in image.functions:
        first, last = bisect_left(ips, function.address), bisect_right(ips, function.address + KPROBE_WINDOW)
        foreign = [ip for ip in ips[first:last] if not function.covers(ip)]
        own = last - first - len(foreign)
        if foreign:
            yield function.name, f"the site of {image.told(foreign[0])} is at +{foreign[0] - function.address:#x}"
        elif own > 1:
            yield function.name, f"it has {own} sites within {KPROBE_WINDOW} bytes"


def dead_record_window(image: Image, known: Known) -> Check:
    """The kernel takes a record for dead if it is further after the nearest symbol than FTRACE_MCOUNT_MAX_OFFSET; a
    dead one that is nearer passes for the function before it."""
    limit = MAX_OFFSET if known.max_offset is None else known.max_offset
    wrong = (
        (named[0], f"dead weak code at +{named[1]:#x} passes for it")
        for site in image.sites
        if site.function is None and (named := image.name_of(site.ip)) is not None and named[1] <= limit
    )
    dead = sum(site.function is None for site in image.sites)
    return none_of("image.dead-record-window", wrong, held=f"{dead} dead records, all further than {limit} bytes")


def post_link_checks(known: Known) -> Check:
    """The kernel's own checks of a linked image (arch/powerpc/Makefile.postlink) were really run by its build."""
    name = "image.post-link-checks"
    if known.post_link is None or known.config is None:
        return skipped(name, "the log of the build and its .config are not there")
    due = [check for check, symbol in SHOULD_RUN.items() if known.config.get(symbol) == "y"]
    missing = [check for check in due if check not in known.post_link]
    told = f"not run: {', '.join(missing)}" if missing else f"run: {', '.join(due)}"
    return judged(name, not missing, told)


def _hex(word: int | None) -> str:
    return "no code" if word is None else f"{word:08x}"
