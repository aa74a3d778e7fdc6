"""The checks of a linked kernel: its table of patch sites, what the kernel makes of it, the checks of its build (pure).

Those of its stub areas are in oolong.audit.area_checks.
"""

from collections import Counter
from collections.abc import Iterator

from oolong.audit import calls
from oolong.audit.check import Answer, Finding, finding, judged, none_of, skipped
from oolong.audit.image import POINTER, RELATIVE, Function, Image
from oolong.audit.linked import Linked
from oolong.audit.orphans import OWN_NOP, aligns_a_loop
from oolong.audit.registry import AUDITED, WITH_STUBS, Checks, Due, Needs
from oolong.audit.rules import NO_POST_LINK_RULE, PROLOGUES, calls_mcount
from oolong.binary import powerpc
from oolong.errors import Kind

SHOULD_RUN = {"CHKHEAD": "PPC64", "CHKREL": "RELOCATABLE", "CHKFTRC": "FUNCTION_TRACER"}
DEAD_CODE = "LD_DEAD_CODE_DATA_ELIMINATION"


SITES = Checks[Linked](needs=Needs.IMAGE, kind=Kind.STUB_AUDIT)
BUILD = Checks[Linked](needs=Needs.IMAGE, kind=Kind.STUB_AUDIT)


@SITES.check(
    "image.mcount-entries",
    title="as many entries as were compiled",
    holds="the table has as many entries as vmlinux.o, and as many of them in init text (with dead code elimination: "
    "no more, and one for each function that is left)",
    failure="sites were lost or added by the link, or init's functions ended in text",
    due=AUDITED & WITH_STUBS,
)
def mcount_entries(linked: Linked) -> Answer:
    image, known = linked.image, linked.known
    if known.plan is None:
        return skipped("nothing was counted in vmlinux.o to compare with")
    there = sum(1 for slot in image.slots if slot), sum(image.inittext.holds(slot) for slot in image.slots)
    needed = known.plan.total, known.plan.inittext
    ours, theirs = (f"{total}, {init} of them in init text" for total, init in (there, needed))
    told = f"in the table {ours}; in vmlinux.o {theirs}"
    if known.config is None or known.config.get(DEAD_CODE) != "y":
        return judged(there == needed, told)
    removed = f"{told}, less what CONFIG_{DEAD_CODE} removes"
    if not (0 < there[0] <= needed[0] and there[1] <= needed[1]):
        return judged(False, removed)
    return none_of(_orphans(linked), held=removed)


@SITES.check(
    "image.no-orphan",
    title="no patch site without an entry",
    holds="each function with a nop at its local entry point (two for `=2`) has an entry; other nops are told apart as "
    "in `object.no-orphan`. With `-mprofile-kernel` or `-pg` each call of `_mcount` outside exit text has one",
    failure="its entry was lost: the function cannot be traced, and nothing says so",
)
def no_orphan(linked: Linked) -> Answer:
    """Every function with room for a patch, and every call of _mcount, has an entry, whatever the linker threw away."""
    image = linked.image
    if not calls_mcount(image):
        return none_of(_orphans(linked), held=f"none of {len(image.functions)} functions")
    found = list(calls.of_mcount(image))
    return none_of(_unrecorded(image, found), held=f"none of {len(found)} calls of _mcount")


def _unrecorded(image: Image, found: list[int]) -> Iterator[Finding]:
    for at in found:
        if at not in image.places and not image.exittext.holds(at):
            yield finding(image.owner(at), "it calls _mcount, and has no entry", at)


def _orphans(linked: Linked) -> Iterator[Finding]:
    image, untraced = linked.image, linked.known.untraced
    nops = 1 if image.out_of_line else 2
    for function in image.functions:
        at = function.address + function.local_entry
        # of two nops the site is the second
        site = at + powerpc.INSTRUCTION if image.two_nops else at
        if image.code.word(at) != powerpc.NOP or site in image.places or (0, at) in image.patched:
            continue
        if (image.code.words(at, nops) or ()).count(powerpc.NOP) < nops:
            continue
        words = image.code.words(at, (function.size - function.local_entry) // powerpc.INSTRUCTION) or ()
        if function.name in OWN_NOP or aligns_a_loop(words, 0, len(words), at):
            continue
        # without vmlinux.o a nop in a function that uses the TOC may be the linker's
        if (untraced is not None and function.name not in untraced) or not any(map(powerpc.uses_toc, words)):
            yield finding(function.name, "a nop at its local entry point, and no entry", at)


@SITES.check(
    "image.relocations",
    title="a relocation for each slot",
    holds="a relocatable kernel has one R_PPC64_RELATIVE for each slot, to the address that stands there (LLD "
    "leaves 0)",
    failure="after relocation the slot points elsewhere",
    due=AUDITED & Due(symbols={"RELOCATABLE": "y"}),
)
def relocations(linked: Linked) -> Answer:
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


@SITES.check(
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


@SITES.check(
    "image.unique",
    title="one record for a site",
    holds="no site twice",
    failure="two records for one site",
)
def unique(linked: Linked) -> Answer:
    image = linked.image
    often = ((ip, count) for ip, count in Counter(site.ip for site in image.sites).items() if count > 1)
    wrong = (finding(image.told(ip), f"{count} entries for {ip:#x}", ip) for ip, count in often)
    return none_of(wrong, held=f"{len(image.sites)} patch sites, all different")


@SITES.check(
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
    if not calls_mcount(image):
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
                yield finding(image.owner(at), f"{_hex(word)} at {image.told(at)}: not a nop", site.ip)


def _no_call(image: Image) -> Iterator[Finding]:
    """A `bl` to _mcount, or far from it to a stub of the linker."""
    for site in image.sites:
        word = image.code.word(site.ip)
        target = None if word is None else powerpc.branch_target(word, site.ip)
        if word is None or target is None or not powerpc.links(word):
            yield finding(image.owner(site.ip), f"{_hex(word)} at {image.told(site.ip)}: not a call", site.ip)
        elif not calls.goes_to_mcount(image, site.ip, target):
            yield finding(image.owner(site.ip), f"it calls {image.told(target)}, not _mcount", site.ip)


@SITES.check(
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
    if calls_mcount(image):
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


@BUILD.check(
    "image.post-link-checks",
    title="the build's own checks of the image",
    holds="the build ran CHKHEAD, CHKREL and CHKFTRC, as Makefile.postlink has them",
    failure="nobody checked the image for what this one looks at",
)
def post_link_checks(linked: Linked) -> Answer:
    """The kernel's own checks of a linked image (arch/powerpc/Makefile.postlink) were really run by its build."""
    known = linked.known
    if known.post_link is None or known.config is None:
        return skipped("the log of the build and its .config are not there")
    due = [check for check, symbol in SHOULD_RUN.items() if known.config.get(symbol) == "y"]
    missing = [check for check in due if check not in known.post_link]
    rule = NO_POST_LINK_RULE.name if missing == due and known.post_link_idle else ""
    return none_of((finding(check, "not run", rule=rule) for check in missing), held=f"run: {', '.join(due)}")


def _hex(word: int | None) -> str:
    return "no code" if word is None else f"{word:08x}"
