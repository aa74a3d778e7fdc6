"""Our stub pass against the kernel's own script, on one vmlinux.o, in one run: `python -m benchmarks.stub_pass`.

Both write their .S; ours writes its JSON too. The script runs in the sandbox that the pipeline runs it in, less the
time that an empty command takes there. Each figure is the least of some repetitions, taken in turns.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import Bench, open_bench
from oolong.host.files import write_atomically, write_json
from oolong.host.sandbox import BUILD, SRC, Sandbox, bwrap_argv, sandbox_of
from oolong.kbuild import make as kbuild
from oolong.stages import stubs
from oolong.stages.outputs import ROOT, TREE, VMLINUX_O
from oolong.stubs import counting


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stub_pass", description=__doc__)
    parser.add_argument("cell", help="a cell, such as le-minimal-gcc-14: its tools, its kernel's script, its vmlinux.o")
    parser.add_argument("--config", help="as in ./doit config=")
    parser.add_argument("--object", type=Path, help="another vmlinux.o than the cell's own")
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args(argv)
    bench = open_bench(options.cell, config=options.config)
    vmlinux_o = options.object.absolute() if options.object else bench.result("compile").path(VMLINUX_O)
    reserve = "32768"
    with tempfile.TemporaryDirectory() as scratch:
        sandbox = _sandbox(bench, vmlinux_o, Path(scratch))
        ways: dict[str, Callable[[], None]] = {
            "script": lambda: _quietly(_script(bench, sandbox, reserve)),
            "sandbox": lambda: _quietly(_empty(sandbox)),
            "in process": lambda: _in_process(vmlinux_o, Path(scratch), int(reserve)),
            "program": lambda: _quietly(_program(vmlinux_o, Path(scratch), reserve)),
        }
        best = {name: min(_seconds(way) for _ in range(options.repeat)) for name, way in ways.items()}
    sites = counting.plan(counting.read_sites(vmlinux_o), int(reserve)).total
    script = best["script"] - best["sandbox"]
    print(f"{bench.cell.name}: {sites} sites, {vmlinux_o.stat().st_size / 1e6:.0f} MB")
    print(f"the tree's script   {script * 1e3:7.1f} ms")
    for name in ("in process", "program"):
        print(f"ours, {name:11}   {best[name] * 1e3:7.1f} ms   {best[name] / script:.3f} x")
    return 0


def _script(bench: Bench, sandbox: Sandbox, reserve: str) -> list[str]:
    return bwrap_argv(sandbox, kbuild.tree_script(bench.cell, reserve=reserve))


def _empty(sandbox: Sandbox) -> list[str]:
    return bwrap_argv(sandbox, ["/bin/sh", "-c", ":"])


def _sandbox(bench: Bench, vmlinux_o: Path, scratch: Path) -> Sandbox:
    """That of the stage stubs."""
    tools, source = bench.input("stubs", "rootfs").path(ROOT), bench.input("stubs", "source").path(TREE)
    return sandbox_of(stubs.VIEW, rootfs=tools, hosts={SRC: source, BUILD: vmlinux_o.parent, stubs.OUT: scratch})


def _in_process(vmlinux_o: Path, scratch: Path, reserve: int) -> None:
    sites = counting.read_sites(vmlinux_o)
    planned = counting.plan(sites, reserve)
    write_atomically(scratch / "ours.S", counting.render(planned, counting.TEMPLATE.read_text()).encode())
    write_json(scratch / "ours.json", counting.document(sites, planned))


def _program(vmlinux_o: Path, scratch: Path, reserve: str) -> list[str]:
    output = str(scratch / "program.S")
    return [sys.executable, "-m", "oolong.stubs", "--reserve", reserve, str(vmlinux_o), "-o", output, "--json"]


def _quietly(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, check=True)
    if argv[0] == sys.executable:
        json.loads(done.stdout)


def _seconds(way: Callable[[], None]) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
