"""Configure to link against a bare make, and a rebuild from ccache, in one run: `python -m benchmarks.build`.

Four builds of one cell, one after the other, each in a cache of its own that has the root file systems and the source:
a bare `make` of the same config in the same sandbox with an empty ccache, oolong's stages with an empty ccache, those
stages again with the ccache that they filled, and at last `./doit` with nothing to do.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.common import CHECKOUT, Bench, open_bench
from oolong.engine.stage import Stage
from oolong.engine.store import Store
from oolong.host.files import remove_tree
from oolong.host.jobserver import Jobserver, makeflags, serving
from oolong.host.process import Scope
from oolong.host.sandbox import BUILD, CCACHE, JOBSERVER, SRC, Mount, Sandbox, bwrap_argv
from oolong.kbuild import make as kbuild

STAGES = ("configure", "compile", "stubs", "link")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.build", description=__doc__)
    parser.add_argument("cell", help="a finished cell with the base allnoconfig, such as le-minimal-gcc-14")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(argv)
    bench = open_bench(options.cell)
    with tempfile.TemporaryDirectory(dir=bench.store.layout.cache) as scratch, serving(options.jobs) as jobserver:
        bare = _bare_make(bench, Path(scratch) / "bare", jobserver)
        cold = _stages(bench, Path(scratch) / "ours", jobserver)
        remove_tree(Path(scratch) / "ours" / "stages" / "compile")
        warm = _stages(bench, Path(scratch) / "ours", jobserver)
    nothing = min(_doit() for _ in range(3))
    print(f"{bench.cell.name}, {options.jobs} jobs")
    print(f"bare make, configure to link     {bare:6.1f} s")
    print(f"oolong, configure to link, cold  {cold:6.1f} s   {cold / bare:.3f} x bare make")
    print(f"oolong, rebuilt from ccache      {warm:6.1f} s   {warm / cold:.3f} x cold")
    print(f"./doit with nothing to do        {nothing:6.2f} s")
    return 0


def _bare_make(bench: Bench, scratch: Path, jobserver: Jobserver) -> float:
    build, ccache = scratch / "build", scratch / "ccache"
    build.mkdir(parents=True)
    ccache.mkdir()
    requested = next(stage for stage in bench.stages if stage.name == "configure")
    mounts = (
        Mount(host=bench.folder("source") / "tree", inside=SRC),
        Mount(host=build, inside=BUILD, writable=True),
        Mount(host=ccache, inside=CCACHE, writable=True),
        Mount(host=jobserver.fifo, inside=JOBSERVER, writable=True),
        Mount(host=bench.folder("configure"), inside=kbuild.REQUEST),
    )
    tools = bench.store.result(requested.needs[0]).artifacts["manifest"].sha256
    environment = {**requested.recipe.env, **kbuild.ccache_env(tools), "MAKEFLAGS": makeflags(jobserver.jobs)}
    sandbox = Sandbox(rootfs=bench.folder("rootfs") / "root", mounts=mounts, env=environment, chdir=SRC)
    started = time.perf_counter()
    for argv in (*kbuild.configure(bench.cell), kbuild.make(bench.cell, "vmlinux")):
        with jobserver.slot(Scope().check):
            subprocess.run(bwrap_argv(sandbox, argv), check=True, capture_output=True)
    return time.perf_counter() - started


def _stages(bench: Bench, cache: Path, jobserver: Jobserver) -> float:
    """Make the stages of the build in a cache that has only what comes before them."""
    layout = replace(bench.store.layout, cache=cache)
    for name in ("rootfs", "source"):
        place = layout.stage(name, bench.folder(name).name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(bench.folder(name))
    shutil.rmtree(cache / "twins", ignore_errors=True)
    for name in ("configure", "stubs", "link"):
        remove_tree(cache / "stages" / name)
    store = Store(layout, say=print, jobserver=jobserver, jobs=jobserver.jobs)
    wanted = [stage for stage in bench.stages if stage.name in STAGES]
    started = time.perf_counter()
    for stage in wanted:
        _make(store, stage)
    return time.perf_counter() - started


def _make(store: Store, stage: Stage) -> None:
    result = store.make(stage, lambda text, done=0, total=None: None)
    if not result.ok:
        raise SystemExit(f"{stage.task}: {result.lines}")


def _doit() -> float:
    started = time.perf_counter()
    subprocess.run([CHECKOUT / "doit"], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
