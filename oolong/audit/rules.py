"""Rules: what explains a finding, one documented predicate each (pure).

A known issue may cover the findings that a rule explains, by its name. A check that has rules gives each finding the
name of the one that explains it, or none: then nothing covers the finding. Sources: kprobe_lookup_name in
arch/powerpc/kernel/kprobes.c, test_for_valid_rec in kernel/trace/ftrace.c, asm/ftrace.h of Linux 7.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oolong.audit.image import Function, Image, Site
from oolong.binary import powerpc

# how far after a function's symbol a kprobe looks for its patch site, both ends included
KPROBE_WINDOW = 16
# how far after a function's symbol its patch site may be, and the usual number, where the kernel's build does not say
MAX_OFFSET, USUAL_MAX_OFFSET = "FTRACE_MCOUNT_MAX_OFFSET", 16
# the symbol that Kconfig sets if the compiler is fit, the script that it asks with, and what tells clang its target
PROBED, PROBE = "ARCH_USING_PATCHABLE_FUNCTION_ENTRY", "check-fpatchable-function-entry.sh"
CLANG_FLAGS = "$(CLANG_FLAGS)"
# what -mprofile-kernel puts before the call: mflr r0, and std r0,16(r1) if gcc 5 made it
PROLOGUES = (powerpc.MFLR_R0,), (powerpc.MFLR_R0, 0xF8010010)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`name` is what known-issues.yaml and findings say, `says` when the rule explains a finding, `checks` the checks
    whose findings it may explain."""

    name: str
    says: str
    checks: tuple[str, ...]


SHORT_FUNCTION = Rule(
    name="short-function",
    says="a function that ends before its kprobe window does, and the site is the proper one of a function after it",
    checks=("image.kprobe-window", "guest.kprobe-location"),
)
DEAD_RECORD = Rule(
    name="dead-record",
    says="the site is the entry of code without a symbol that follows the function within FTRACE_MCOUNT_MAX_OFFSET",
    checks=("image.kprobe-window", "image.dead-record-window", "guest.listed-once", "guest.kprobe-location"),
)
NO_MAX_OFFSET = Rule(
    name="no-max-offset",
    says="the kernel has no FTRACE_MCOUNT_MAX_OFFSET, and the site is in code without a symbol after the function",
    checks=("guest.listed-once", "image.dead-record-window"),
)
PROBE_WITHOUT_TARGET = Rule(
    name="probe-without-target",
    says="clang is fit, and arch/powerpc/Kconfig asks it without $(CLANG_FLAGS), which hold its target",
    checks=("config.out-of-line-probe",),
)
# by oolong.audit.tree_checks, which knows no image
NO_LINE_COUNTED = Rule(
    name="no-line-counted",
    says="no patch site lies in init text, and the script ends with 1, without a word, as grep -c of no line does",
    checks=("tree.empty-areas",),
)
NO_POST_LINK_RULE = Rule(
    name="no-post-link-rule",
    says="none of the checks that are due ran, and make says that nothing is to be done for vmlinux.unstripped",
    checks=("image.post-link-checks",),
)
RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        SHORT_FUNCTION,
        DEAD_RECORD,
        NO_MAX_OFFSET,
        PROBE_WITHOUT_TARGET,
        NO_LINE_COUNTED,
        NO_POST_LINK_RULE,
    )
}
# checks that no known issue may cover: they tell news from what is known
NEVER_KNOWN = frozenset(("audit.complete", "audit.victims", "guest.kprobe-as-modelled", "image.one-site"))


def rules_of(check: str) -> tuple[Rule, ...]:
    """The rules that may explain findings of a check; where there are any, only they cover them."""
    return tuple(rule for rule in RULES.values() if check in rule.checks)


def short_function(image: Image, victim: Function, site: Site) -> bool:
    """A foreign site in the kprobe window of a function that is too short to fill it: the function ends before another
    one begins, whose own proper site this is.

    The kernel takes any site from the symbol to 16 bytes after it. A function of assembly may say no size: it then ends
    where the next one begins.
    """
    owner = site.function
    if owner is None or owner.address <= victim.address or site.ip > victim.address + KPROBE_WINDOW:
        return False
    return victim.address + victim.size <= owner.address and is_proper(image, owner, site)


def dead_record(image: Image, site: Site, limit: int | None) -> bool:
    """A site of overridden weak code within `limit` bytes (FTRACE_MCOUNT_MAX_OFFSET) of the function before it, for
    which the kernel takes it: no symbol covers it, and it is the entry of code that begins where that function ends."""
    before = function_before(image, site)
    if before is None or not 0 < site.ip - before.address <= limit_of(limit):
        return False
    end = before.address + before.size
    between = image.code.words(end, (site.ip - end) // powerpc.INSTRUCTION)
    return between is not None and _leads_to_entry(image, between)


def no_max_offset(image: Image, site: Site, limit: int | None) -> bool:
    """The site of an overridden weak function, in a kernel that has no FTRACE_MCOUNT_MAX_OFFSET (asm/ftrace.h sets it
    on 64-bit for -mprofile-kernel and -fpatchable-function-entry alone): no symbol covers it, so that the kernel takes
    it for the function before it, however far that is."""
    return limit is None and function_before(image, site) is not None


def function_before(image: Image, site: Site) -> Function | None:
    """The function whose symbol is the nearest before a site of overridden weak code, for which the kernel takes it
    where its limit allows."""
    named = image.name_of(site.ip)
    if site.function is not None or named is None:
        return None
    before = image.function_at(site.ip - named[1])
    return before if before is not None and before.address == site.ip - named[1] else None


def limit_of(found: int | None) -> int:
    """The limit of a kernel, from what was found of FTRACE_MCOUNT_MAX_OFFSET in its build."""
    return USUAL_MAX_OFFSET if found is None else found


def probe_without_target(kconfig: str, config: Mapping[str, str], *, fit: bool) -> bool:
    """The tree's look at the compiler says that clang is unfit, and it is fit: arch/powerpc/Kconfig hands it the flag
    of this byte order, and no target, so that clang compiled for the machine of the build."""
    if not fit or config.get(PROBED) == "y" or config.get("CC_IS_CLANG") != "y":
        return False
    order = "-mlittle-endian" if config.get("CPU_LITTLE_ENDIAN") == "y" else "-mbig-endian"
    asked = [line for line in kconfig.split("\n") if PROBE in line and order in line]
    return bool(asked) and not any(CLANG_FLAGS in line for line in asked)


def is_proper(image: Image, owner: Function, site: Site) -> bool:
    """Whether a site is where the compiler puts that of a function: at its local entry point, or, where it calls
    _mcount, after the prologue of -mprofile-kernel."""
    entry = owner.address + owner.local_entry
    if not calls_mcount(image):
        return (site.recorded if image.two_nops else site.ip) == entry
    before = image.code.words(entry, (site.ip - entry) // powerpc.INSTRUCTION) if site.ip >= entry else None
    return before is not None and tuple(before) in PROLOGUES


def calls_mcount(image: Image) -> bool:
    """Whether sites are calls to _mcount, not nops."""
    return not image.out_of_line and not image.two_nops and "_mcount" in image.addresses


def _leads_to_entry(image: Image, words: Sequence[int]) -> bool:
    """Whether words between the end of a function and a site are padding, and then no more than what stands before
    the site of a function: the set-up of the TOC, the prologue of -mprofile-kernel."""
    rest = list(words)
    if calls_mcount(image):
        prologue = next((one for one in reversed(PROLOGUES) if tuple(rest[-len(one) :]) == one), None)
        if prologue is None:
            return False
        rest = rest[: -len(prologue)]
    if len(rest) > 1 and powerpc.sets_up_toc(rest[-2], rest[-1]):
        rest = rest[:-2]
    return all(word in powerpc.PADDING for word in rest)
