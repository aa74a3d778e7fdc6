"""Which functions the guest is to put kprobes on by their symbol: those where it may go wrong, and some to compare with
(pure)."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from oolong.audit.image import Function, Image, Site
from oolong.audit.rules import KPROBE_WINDOW

SHORT, LONG, LONG_BYTES = 12, 3, 256
# TRACED of guest/init.c
TRACED = "sys_getppid"
# a name that no compiler has decorated
PLAIN = re.compile(r"[a-z][a-z0-9_]*")


def probes(image: Image) -> tuple[str, ...]:
    """Functions to put kprobes on by name: short ones with a foreign patch site in the kprobe's window, no two of them
    neighbours, and some long ones, to compare with."""
    names = Counter(function.name for function in image.functions)
    own = [
        site.function
        for site in image.sites
        if site.function and image.area_of(site.ip) == "text" and _plain(site.function, names)
    ]
    sites = {site.ip: site for site in image.sites}
    short = _apart([one for one in own if any(not one.covers(ip) for ip in _window(one, sites))])
    long = _apart([one for one in own if one.size >= LONG_BYTES])
    return tuple(one.name for one in (*_spread(short, SHORT), *_spread(long, LONG)))


def asked(image: Image) -> tuple[str, ...]:
    """What the guest puts kprobes on: guest/init.c takes a function of its own choice where it is told none."""
    return probes(image) or (TRACED,)


def _plain(function: Function, names: Mapping[str, int]) -> bool:
    return names[function.name] == 1 and PLAIN.fullmatch(function.name) is not None


def _window(function: Function, sites: Mapping[int, Site]) -> Iterator[int]:
    places = range(function.address, function.address + KPROBE_WINDOW + 1, 4)
    return (ip for ip in places if ip in sites)


def _apart(functions: Sequence[Function]) -> list[Function]:
    """Those of which none is in the window of the one before."""
    found: list[Function] = []
    for one in functions:
        if not found or one.address > found[-1].address + 4 * KPROBE_WINDOW:
            found.append(one)
    return found


def _spread(functions: Sequence[Function], number: int) -> Iterator[Function]:
    step = max(1, len(functions) // number)
    return iter(functions[::step][:number])
