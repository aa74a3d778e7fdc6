"""How long the audit takes on a built and booted cell, or on any vmlinux.o and vmlinux: `python -m benchmarks.audit`.

Seconds, since the audit has nothing to be compared with; the ratio is to reading both files whole. Each figure is the
least of some repetitions.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import open_bench
from oolong.audit import guest_checks, guest_report, live_checks, object, static_checks, survey
from oolong.audit import image as vmlinux
from oolong.audit.linked import Known
from oolong.audit.live_state import Live
from oolong.binary import structs
from oolong.kbuild import config as kconfig
from oolong.machine import memory
from oolong.stages.outputs import CONFIG, MEMORY, OFFSETS, REPORT, VMLINUX, VMLINUX_O


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("what", nargs="+", help="a cell that was built and booted, or vmlinux.o and vmlinux")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args(argv)
    if len(options.what) == 2:
        _static(Path(options.what[0]), Path(options.what[1]), options.repeat)
        return 0
    bench = open_bench(options.what[0])
    compiled, kernel = bench.result("compile"), bench.result("link").path(VMLINUX)
    booted, offsets = bench.result("boot"), bench.result("offsets").path(OFFSETS)
    _static(compiled.path(VMLINUX_O), kernel, options.repeat)
    config = kconfig.read(compiled.path(CONFIG))

    def examine() -> None:
        image = vmlinux.read(kernel)
        laid_out = structs.load(offsets)
        stops = [survey.survey(one.name, one, image, laid_out) for one in memory.load(booted.path(MEMORY))]
        seen = Live(image, laid_out, stops, due=())
        said = guest_report.told(booted.path(REPORT).read_text(errors="replace"), booted.data, config)
        list(live_checks.checks(seen))
        list(guest_checks.checks(seen, said))

    print(f"live and guest checks, all stops   {_least(examine, options.repeat):.2f} s")
    return 0


def _static(vmlinux_o: Path, linked: Path, repeat: int) -> None:
    sites = len(vmlinux.read(linked).sites)
    reading = _least(lambda: (vmlinux_o.read_bytes(), linked.read_bytes()), repeat)
    inside = _least(
        lambda: static_checks.checks(object.read(vmlinux_o), vmlinux.read(linked), Known(), source=None), repeat
    )
    program = _least(
        lambda: subprocess.run(
            [sys.executable, "-m", "oolong.audit", str(vmlinux_o), str(linked)], stdout=subprocess.DEVNULL, check=False
        ),
        repeat,
    )
    print(f"{sites} sites, {(vmlinux_o.stat().st_size + linked.stat().st_size) / 1e6:.0f} MB")
    print(f"object and image, in process       {inside:.2f} s   {inside / reading:.0f} x reading the files")
    print(f"object and image, as a program     {program:.2f} s")


def _least(work: Callable[[], Any], repeat: int) -> float:
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
