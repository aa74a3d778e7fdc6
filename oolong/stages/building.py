"""What the stages have in common that run the kernel's build: their sandbox, a copy of a tree, and how they fail."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from oolong.engine.stage import Outcome, Work, failed
from oolong.errors import Kind
from oolong.host import process
from oolong.host.jobserver import makeflags
from oolong.host.sandbox import BUILD, CCACHE, JOBSERVER, SRC, Mount, Ran, Sandbox, View, sandbox_of
from oolong.kbuild.log import culprits
from oolong.kbuild.make import FIXED_ENV, ccache_env
from oolong.stages.outputs import ROOT
from oolong.stages.sandboxed import MAKEFLAGS


def build_view(*read_only: str) -> View:
    """What every build sees: the kernel, one object tree that it writes to, and what it needs besides."""
    return View(read_only=(SRC, *read_only), writable=(BUILD,), env=FIXED_ENV, chdir=SRC)


def build_sandbox(work: Work, view: View, hosts: Mapping[str, Path]) -> Sandbox:
    """The sandbox of a build, with ccache and the jobserver: they are in no view, since they decide no output."""
    rootfs = work.input("rootfs")
    sandbox = sandbox_of(view, rootfs=rootfs.path(ROOT), hosts=hosts)
    work.layout.ccache.mkdir(parents=True, exist_ok=True)
    mounts = (*sandbox.mounts, Mount(host=work.layout.ccache, inside=CCACHE, writable=True))
    env = {**sandbox.env, **ccache_env(rootfs.content(ROOT))}
    if work.jobserver:
        mounts += (Mount(host=work.jobserver.fifo, inside=JOBSERVER, writable=True),)
        env = {**env, MAKEFLAGS: makeflags(work.jobserver.jobs)}
    return replace(sandbox, mounts=mounts, env=env)


def build_failed(work: Work, done: Ran, *, artifacts: Mapping[str, str] | None = None) -> Outcome:
    """The outcome of a build command that did not succeed."""
    with work.log.open(encoding="utf-8", errors="replace") as said:
        lines = culprits(done.lines, said=said)
    return failed(Kind.BUILD, lines, artifacts=artifacts or {})


def copy_tree(work: Work, role: str, target: Path) -> None:
    """Copy an input with its times, so that make finds nothing to do in it; shares blocks where the disk can."""
    command = ["cp", "-a", "--reflink=auto", "--", str(work.path(role)), str(target)]
    process.check(process.dying_with_parent(command), scope=work.scope)
