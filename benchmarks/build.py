"""A cell from its configuration to its vmlinux against a bare make, in one run: `python -m benchmarks.build CELL`.

Three builds, one after the other, each from the same root file system and source: a bare `make` of the same request in
the same sandbox with an empty ccache; oolong's stages with an empty ccache, in a cache of their own; the same stages
once more, from the ccache that they filled. Then the two with nothing to do: `make vmlinux` and `./doit`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.common import CHECKOUT, Bench, open_bench
from oolong.engine.runner import Runner
from oolong.engine.stage import Stage, StageResult
from oolong.engine.store import Store
from oolong.host.digest import file_sha256
from oolong.host.files import remove_tree
from oolong.host.jobserver import Jobserver, makeflags, serving
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.host.sandbox import BUILD, CCACHE, JOBSERVER, SRC, Mount, Sandbox, bwrap_argv, sandbox_of
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.run.here import make
from oolong.stages import configure
from oolong.stages.outputs import ROOT, TREE, VMLINUX

STAGES = ("configure", "compile", "stubs", "link")
NOTHING_TO_DO_REPEAT = 3


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.build", description=__doc__)
    parser.add_argument("cell", help="a cell with the base allnoconfig, such as le-minimal-gcc-14")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(argv)
    bench = open_bench(options.cell)
    if bench.cell.config.base != "allnoconfig":
        parser.error(f"{bench.cell.name}: its configuration takes more than one make: name a cell with allnoconfig")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=bench.project.layout.cache)))
        jobserver = stack.enter_context(serving(options.jobs))
        bare, ours = BareMake.prepared(bench, scratch / "bare", jobserver), Stages.prepared(bench, scratch / "ours")
        seconds = {"bare": bare.build()}
        seconds["make"] = min(_seconds(bare.link) for _ in range(NOTHING_TO_DO_REPEAT))
        cold = ours.make(jobserver)
        warm = ours.make(jobserver)
        same = len({file_sha256(kernel) for kernel in (bare.kernel, cold.kernel, warm.kernel)}) == 1
    # whatever the cells of the usual set lack is made now
    _doit()
    seconds["doit"] = min(_seconds(_doit) for _ in range(NOTHING_TO_DO_REPEAT))
    print(f"{bench.cell.name}, {options.jobs} jobs, {'the same bytes each time' if same else 'NOT THE SAME BYTES'}")
    print(f"bare make, configure to link     {seconds['bare']:6.1f} s")
    print(f"oolong, configure to link, cold  {cold.seconds:6.1f} s   {cold.seconds / seconds['bare']:.3f} x bare make")
    print(f"oolong, rebuilt from ccache      {warm.seconds:6.1f} s   {warm.seconds / cold.seconds:.3f} x cold")
    for name in STAGES:
        print(f"  {name:9}  cold {cold.stages[name]:6.1f} s   from ccache {warm.stages[name]:6.1f} s")
    print(f"bare make with nothing to do     {seconds['make']:6.2f} s")
    print(f"./doit with nothing to do        {seconds['doit']:6.2f} s   {seconds['doit'] / seconds['make']:.3f} x make")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BareMake:
    """The kernel's own build in the sandbox of the stages, with an object tree and a ccache of its own."""

    bench: Bench
    sandbox: Sandbox
    build_folder: Path
    jobserver: Jobserver

    @classmethod
    def prepared(cls, bench: Bench, scratch: Path, jobserver: Jobserver) -> "BareMake":
        build, ccache, request = (scratch / name for name in ("build", "ccache", "request"))
        for folder in (build, ccache, request):
            folder.mkdir(parents=True)
        (request / kbuild.REQUESTED).write_text(kconfig.render(configure.requested(bench.cell)))
        tools = bench.input("compile", "rootfs")
        hosts = {SRC: bench.input("compile", "source").path(TREE), BUILD: build, kbuild.REQUEST: request}
        view = sandbox_of(configure.VIEW, rootfs=tools.path(ROOT), hosts=hosts)
        # what decides no output is in no view
        mounts = (
            Mount(host=ccache, inside=CCACHE, writable=True),
            Mount(host=jobserver.fifo, inside=JOBSERVER, writable=True),
        )
        env = {**kbuild.ccache_env(tools.content(ROOT)), "MAKEFLAGS": makeflags(jobserver.jobs)}
        sandbox = replace(view, mounts=(*view.mounts, *mounts), env={**view.env, **env})
        return cls(bench=bench, sandbox=sandbox, build_folder=build, jobserver=jobserver)

    @property
    def kernel(self) -> Path:
        return self.build_folder / VMLINUX

    def build(self) -> float:
        """Seconds from the configuration to vmlinux."""
        return _seconds(lambda: self._run(*kbuild.configure(self.bench.cell))) + _seconds(self.link)

    def link(self) -> None:
        """All that vmlinux needs and is not there."""
        self._run(kbuild.make(self.bench.cell, VMLINUX))

    def _run(self, *commands: Sequence[str]) -> None:
        for argv in commands:
            with self.jobserver.slot(Scope().check):
                subprocess.run(bwrap_argv(self.sandbox, argv), check=True, capture_output=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How long a build took, in all and by stage, in seconds, and a copy of its kernel."""

    seconds: float
    stages: Mapping[str, float]
    kernel: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """oolong's stages of a build, in a cache that has only what comes before them."""

    chain: tuple[Stage, ...]
    layout: Layout

    @classmethod
    def prepared(cls, bench: Bench, cache: Path) -> "Stages":
        """The root file system and the source are those of the usual cache, by symbolic links, hashed once: as in the
        usual cache, where they were verified before."""
        layout = replace(bench.project.layout, cache=cache)
        runner = _runner(layout)
        for role, output in (("rootfs", ROOT), ("source", TREE)):
            shared = bench.input("compile", role)
            place = layout.stage(shared.stage, shared.digest)
            place.parent.mkdir(parents=True)
            place.symlink_to(shared.folder)
            runner.verify_result(replace(shared, folder=place), [output])
        return cls(chain=bench.project.chain(bench.cell, upto="link"), layout=layout)

    def make(self, jobserver: Jobserver) -> Made:
        """Make all of them; what an earlier build left is there no more, but for its ccache."""
        for name in STAGES:
            remove_tree(self.layout.stages / name)
        remove_tree(self.layout.versioned / "twins")
        runner = _runner(self.layout, jobserver)
        started = time.perf_counter()
        results = make(self.chain, runner)
        seconds = time.perf_counter() - started
        made = {result.stage: _good(task, result) for task, result in results.items()}
        kernel = self.layout.cache / f"{VMLINUX}-{started}"
        kernel.hardlink_to(made["link"].path(VMLINUX))
        return Made(seconds=seconds, stages={name: made[name].seconds for name in STAGES}, kernel=kernel)


def _runner(layout: Layout, jobserver: Jobserver | None = None) -> Runner:
    return Runner(Store(layout), own=layout.unpublished, say=print, jobserver=jobserver)


def _good(task: str, result: StageResult) -> StageResult:
    if not result.ok:
        raise SystemExit(f"{task}: {' / '.join(result.lines)}")
    return result


def _doit() -> None:
    subprocess.run([CHECKOUT / "doit"], check=True, capture_output=True)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
