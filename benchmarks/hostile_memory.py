"""What a guest can cost whose memory has lists without end: `python -m benchmarks.hostile_memory CELL`.

On the image and the memory of a cell that was booted: each attack is made at every stop, in a program of its own. Its
memory is captured, kept, loaded again, surveyed, and audited, as the stages boot and live do; no QEMU runs.
"""

import argparse
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import open_bench
from oolong.audit import guest_checks, guest_report, live_checks, survey
from oolong.audit import image as vmlinux
from oolong.audit.image import Image
from oolong.audit.live_state import Live
from oolong.audit.survey import Survey
from oolong.binary import structs
from oolong.binary.structs import Offsets
from oolong.errors import BadOutput
from oolong.machine import memory
from oolong.machine.memory import LARGEST, PAGE, Recording, Snapshot, Unreadable
from oolong.machine.stops import INIT_MEMORY, NAMES
from oolong.stages.outputs import MEMORY, OFFSETS, VMLINUX

WILD = 0xC00F_0000_0000_0000
# where the code of a module, a hash and the records of a group lie, by distance from WILD
CODE, HASH, RECORDS = 1 << 40, 2 << 40, 3 << 40

Words = dict[int, tuple[int, int]]


def modules(image: Image, offsets: Offsets, base: int) -> Words:
    """As many modules as are believed, with as much code as may be read, which is another at every stop."""
    link, mem = offsets.offset("module", "list"), base + offsets.offset("module", "mem")
    start, size = (offsets.field("module_memory", name) for name in ("base", "size"))
    number = (base - WILD) // PAGE
    after = image.addresses["modules"] if number + 1 == survey.MOST_MODULES * 9 // 10 else base + PAGE + link
    own = (survey.MOST_BYTES // survey.MOST_MODULES // PAGE - 1) * PAGE - PAGE // 4
    return {
        base + link: (after, 8),
        mem + start.offset: (WILD + CODE + number * PAGE * 4, 8),
        mem + size.offset: (own, size.size),
    }


def entries(_: Image, offsets: Offsets, base: int) -> Words:
    """An ops whose hash has a bucket without end."""
    member = offsets.offset
    table = base + PAGE // 2
    if base == WILD:
        return {
            base + member("ftrace_ops", "func_hash"): (base + PAGE // 4, 8),
            base + PAGE // 4 + member("ftrace_ops_hash", "filter_hash"): (table, 8),
            table + member("ftrace_hash", "count"): (1, 8),
            table + member("ftrace_hash", "buckets"): (WILD + HASH, 8),
        }
    step = 64
    return {at: (at + step, 8) for at in range(base, base + PAGE, step)} | {
        at + member("ftrace_func_entry", "ip"): (at, 8) for at in range(base, base + PAGE, step)
    }


def records(image: Image, offsets: Offsets, base: int) -> Words:
    """A group with as many records as are believed, all of them alike."""
    if base != WILD:
        return {}
    index = offsets.field("ftrace_page", "index")
    count = len(image.sites) + survey.MOST_OTHER_RECORDS
    return {
        base + offsets.offset("ftrace_page", "records"): (WILD + RECORDS, 8),
        base + index.offset: (count, index.size),
    }


ATTACKS: dict[str, tuple[str, Callable[[Image, Offsets, int], Words]]] = {
    "modules": ("modules", modules),
    "entries": ("ftrace_ops_list", entries),
    "records": ("ftrace_pages_start", records),
}


class Hostile:
    """The memory of a healthy guest, with one list that leads to pages which are made up as they are read."""

    def __init__(self, healthy: Snapshot, image: Image, offsets: Offsets, attack: str, stop: int) -> None:
        head, self._fill = ATTACKS[attack]
        self._healthy, self._image, self._offsets, self._stop = healthy, image, offsets, stop
        self._order = "<" if image.little else ">"
        self._head = image.addresses[head]
        self._first = WILD + (offsets.offset("module", "list") if attack == "modules" else 0)

    def fetch(self, address: int, size: int) -> bytes:
        if address >= WILD:
            return b"".join(self._page(base) for base in range(address, address + size, PAGE))
        data = bytearray(self._healthy.read(address, size))
        if address <= self._head < address + size:
            struct.pack_into(f"{self._order}Q", data, self._head - address, self._first)
        return bytes(data)

    def _page(self, base: int) -> bytes:
        page = bytearray(PAGE)
        if base >= WILD + CODE:
            # no two of these pages are alike
            struct.pack_into("<QQ", page, 0, base, self._stop)
        for at, (value, size) in self._fill(self._image, self._offsets, base).items():
            page[at % PAGE : at % PAGE + size] = value.to_bytes(size, "little" if self._order == "<" else "big")
        return bytes(page)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile_memory", description=__doc__)
    parser.add_argument("cell")
    parser.add_argument("attack", nargs="?", choices=ATTACKS, help="this one alone, in this program")
    options = parser.parse_args(argv)
    if options.attack:
        _attack(options.cell, options.attack)
        return 0
    for attack in ATTACKS:
        subprocess.run([sys.executable, "-m", "benchmarks.hostile_memory", options.cell, attack], check=True)
    return 0


def _attack(cell: str, attack: str) -> None:
    bench = open_bench(cell)
    image = vmlinux.read(bench.result("link").path(VMLINUX))
    offsets = structs.load(bench.result("offsets").path(OFFSETS))
    healthy = memory.load(bench.result("boot").path(MEMORY))[1]
    taken, kept, snapshots = [], dict[bytes, bytes](), []
    for number, name in enumerate((INIT_MEMORY, *NAMES)):
        recording = Recording(Hostile(healthy, image, offsets, attack, number).fetch, most=LARGEST - PAGE * len(kept))
        started = time.perf_counter()
        _survey(name, recording, image, offsets)
        taken.append(time.perf_counter() - started)
        snapshots.append(Snapshot(name, {base: kept.setdefault(page, page) for base, page in recording.pages.items()}))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memory"
        memory.write(file, snapshots)
        del snapshots, kept, recording
        started = time.perf_counter()
        found = [_survey(one.name, one, image, offsets) for one in memory.load(file)]
    seen = Live(image, offsets, [one for one in found if isinstance(one, Survey)], due=())
    failed = sum(check.status == "fail" for check in live_checks.checks(seen))
    failed += sum(check.status == "fail" for check in guest_checks.checks(seen, guest_report.told("", {}, {})))
    audited = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    why = found[-1] if isinstance(found[-1], str) else f"{failed} checks fail"
    of_stops = f"audit of {len(found)} stops {audited:5.1f} s"
    print(f"{attack:8}  a survey {max(taken):5.1f} s   {of_stops}   {peak:4.0f} MiB   {why}")


def _survey(name: str, where: Snapshot | Recording, image: Image, offsets: Offsets) -> Survey | str:
    try:
        return survey.survey(name, where, image, offsets)
    except (BadOutput, Unreadable) as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
