"""The checks of a linked kernel for sites that the kernel takes for those of another function (pure)."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator

from oolong.audit.check import Answer, Finding, finding, none_of, skipped
from oolong.audit.image import Function, Image, Site
from oolong.audit.linked import Linked
from oolong.audit.registry import AUDITED, Checks, Due, Needs
from oolong.audit.rules import (
    DEAD_RECORD,
    KPROBE_WINDOW,
    NO_MAX_OFFSET,
    SHORT_FUNCTION,
    dead_record,
    limit_of,
    no_max_offset,
    short_function,
)
from oolong.errors import Kind

WINDOWS = Checks[Linked](needs=Needs.IMAGE, kind=Kind.STUB_AUDIT)


@WINDOWS.check(
    "image.one-site",
    title="one site for a function",
    holds="no function has two patch sites of its own",
    failure="a function is traced twice, or a probe on it has two places to go",
)
def one_site(linked: Linked) -> Answer:
    """A function has at most one patch site of its own, whatever its neighbours have."""
    image = linked.image
    own = Counter(site.function for site in image.sites if site.function is not None)
    wrong = (
        finding(function.name, f"it has {count} patch sites", function.address)
        for function, count in own.items()
        if count > 1
    )
    return none_of(wrong, held=f"{len(own)} functions with one site each")


@WINDOWS.check(
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
    return none_of(_foreign_sites(image, known.max_offset), held=held)


def _foreign_sites(image: Image, limit: int | None) -> Iterator[Finding]:
    """A finding for each foreign site: of several in one window each has its own reason."""
    ips = [site.ip for site in image.sites]
    for function in image.functions:
        first, last = bisect_left(ips, function.address), bisect_right(ips, function.address + KPROBE_WINDOW)
        for site in image.sites[first:last]:
            if not function.covers(site.ip):
                what = f"the site of {image.told(site.ip)} is at +{site.ip - function.address:#x}"
                yield finding(function.name, what, function.address, rule=_why(image, function, site, limit))


def _why(image: Image, function: Function, site: Site, limit: int | None) -> str:
    """The rule that explains a foreign site."""
    if site.function is None:
        return DEAD_RECORD.name if dead_record(image, site, limit) else ""
    return SHORT_FUNCTION.name if short_function(image, function, site) else ""


@WINDOWS.check(
    "image.dead-record-window",
    title="dead records that are seen as dead",
    holds="no site of overridden weak code within FTRACE_MCOUNT_MAX_OFFSET of a symbol; in a kernel that has none, no "
    "such site",
    failure="a dead record passes for the function before it",
)
def dead_record_window(linked: Linked) -> Answer:
    """The kernel takes a record for dead if it is further after the nearest symbol than FTRACE_MCOUNT_MAX_OFFSET; a
    dead one that is nearer passes for the function before it."""
    image, known = linked.image, linked.known
    dead = [site for site in image.sites if site.function is None]
    if known.without_max_offset:
        held = "no dead records, and no FTRACE_MCOUNT_MAX_OFFSET to tell them by"
        return none_of(_without_limit(image, dead), held=held)
    limit = limit_of(known.max_offset)
    wrong = (
        finding(
            named[0],
            f"dead weak code at +{named[1]:#x} passes for it",
            site.ip,
            rule=DEAD_RECORD.name if dead_record(image, site, limit) else "",
        )
        for site in dead
        if (named := image.name_of(site.ip)) is not None and named[1] <= limit
    )
    return none_of(wrong, held=f"{len(dead)} dead records, all further than {limit} bytes")


def _without_limit(image: Image, dead: Iterable[Site]) -> Iterator[Finding]:
    """The kernel takes no record for dead, however far it is after the symbol before it."""
    for site in dead:
        if (named := image.name_of(site.ip)) is not None:
            what = f"dead weak code at +{named[1]:#x} passes for it: the kernel has no limit"
            rule = NO_MAX_OFFSET.name if no_max_offset(image, site, None) else ""
            yield finding(named[0], what, site.ip, rule=rule)
