"""What a small guest reports of itself, and the memory that it is true of."""

import zlib
from dataclasses import replace

from oolong.audit import guest_report
from oolong.audit.guest_report import Told
from oolong.audit.image import Image
from oolong.audit.live_state import Live
from oolong.machine.stops import ALL, INIT_MEMORY, KPROBE, MODULE, OFF, ONE, QUIET
from tests.guests import Guest, Loaded, Tracer, image_of, ip_of, live_of

CONFIG = {"KPROBES_ON_FTRACE": "y"}
NAMES = "plain_one", "with_toc", "with_toc_too"
ALL_CHECKSUM = zlib.crc32(b"plain_one 1 O\nwith_toc 1 O\nwith_toc_too 1 O\n")
ALL_ENTRIES = f"block 3 {ALL_CHECKSUM:x}"
REPORT = f"""\
== available_filter_functions
plain_one
with_toc
__ftrace_invalid_address___32
with_toc_too
== available_filter_functions_addrs
{{plain_one:x}} plain_one
{{with_toc:x}} with_toc
{{dead:x}} __ftrace_invalid_address___32
{{with_toc_too:x}} with_toc_too
== dyn_ftrace_total_info@off
4 pages:1 groups: 1
== enabled_functions@off
== dyn_ftrace_total_info@one
4 pages:1 groups: 1
== enabled_functions@one
plain_one (1)       O     \tops: nobody
\tsecond line of the same
# comment
== dyn_ftrace_total_info@all
4 pages:1 groups: 1
== enabled_functions@all
{ALL_ENTRIES}
count 3
== dyn_ftrace_total_info@module
6 pages:2 groups: 2
== enabled_functions@module
far_one [far] (1)       O
far_two [far] (1)       O
{ALL_ENTRIES}
count 5
== kprobes
with_toc_too with_toc_too
== dyn_ftrace_total_info@kprobe
4 pages:1 groups: 1
== enabled_functions@kprobe
with_toc_too (1) R     O     \tops: kprobe_ftrace_ops
== touched_functions@off-again
plain_one (0)
with_toc (0)
__ftrace_invalid_address___32
with_toc_too (0)
== dyn_ftrace_total_info@off-again
4 pages:1 groups: 1
== enabled_functions@off-again
"""


def listing_image(little: bool, *, dead: bool = True) -> Image:
    """A kernel with a dead record, or none, a function that is long, and tracefs files that younger kernels have."""
    image = image_of(little, dead=dead)
    functions = tuple(one._replace(size=300) if one.name == "with_toc_too" else one for one in image.functions)
    end = image.symbols[-1][0]
    files = (end + 4, "ftrace_avail_addrs_open"), (end + 8, "ftrace_touched_open")
    return replace(image, functions=functions, symbols=(*image.symbols, *files))


def report_of(image: Image, report: str) -> str:
    places = {name: ip_of(image, name) for name in NAMES}
    dead = next(site.ip for site in image.sites if site.function is None)
    return report.format(**places, dead=dead)


def live_and_told(little: bool = True, report: str = REPORT) -> tuple[Live, Told]:
    image = listing_image(little)
    places = {name: ip_of(image, name) for name in NAMES}
    every = [site.ip for site in image.sites]
    seen = live_of(
        Guest(image, INIT_MEMORY),
        Guest(image, OFF),
        Guest(image, ONE, [Tracer(traced=frozenset({places["plain_one"]}))], touched=every),
        Guest(image, ALL, [Tracer()], touched=every),
        Guest(image, MODULE, [Tracer()], [Loaded()], touched=every),
        Guest(image, KPROBE, [Tracer(traced=frozenset({places["with_toc_too"]}), regs=True)], touched=every),
        Guest(image, QUIET, touched=every),
    )
    return replace(seen, due=()), guest_report.told(report_of(image, report), {"allocated": 5}, CONFIG)
