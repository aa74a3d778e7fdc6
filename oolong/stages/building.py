"""What the stages have in common that run the kernel's build: their sandbox, a copy of a tree, and how they fail."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from oolong.engine.stage import Outcome, Work, failed
from oolong.errors import Kind
from oolong.host import process
from oolong.host.jobserver import makeflags
from oolong.host.sandbox import (
    BUILD,
    CCACHE,
    JOBSERVER,
    ON_MISS,
    SRC,
    TRUSTED_CCACHE,
    Mount,
    Ran,
    Sandbox,
    View,
    sandbox_of,
)
from oolong.kbuild.log import culprits
from oolong.kbuild.make import FIXED_ENV, MISSED, ccache_env, untrusted_ccache_env
from oolong.stages.outputs import ROOT
from oolong.stages.sandboxed import MAKEFLAGS


def build_view(*read_only: str) -> View:
    """What every build sees: the kernel, one object tree that it writes to, and what it needs besides."""
    return View(read_only=(SRC, *read_only), writable=(BUILD,), env=FIXED_ENV, chdir=SRC)


def build_sandbox(work: Work, view: View, hosts: Mapping[str, Path]) -> Sandbox:
    """The sandbox of a build, with ccache and the jobserver: they are in no view, since they decide no output."""
    rootfs = work.input("rootfs")
    sandbox = sandbox_of(view, rootfs=rootfs.path(ROOT), hosts=hosts)
    mounts = (*sandbox.mounts, *_ccache(work))
    settings = ccache_env if work.stage.trusted else untrusted_ccache_env
    env = {**sandbox.env, **settings(rootfs.content(ROOT))}
    if work.jobserver:
        # a pipe is written to on a read-only mount as well, and its mode stays what it is for the makes beside
        mounts += (Mount(host=work.jobserver.fifo, inside=JOBSERVER),)
        env = {**env, MAKEFLAGS: makeflags(work.jobserver.jobs)}
    return replace(sandbox, mounts=mounts, env=env)


def _ccache(work: Work) -> tuple[Mount, ...]:
    """A build that is not trusted may write what it likes into a ccache: not into the one of those that are."""
    trusted, other = work.layout.ccache, work.layout.untrusted_ccache
    trusted.mkdir(parents=True, exist_ok=True)
    if work.stage.trusted:
        return (Mount(host=trusted, inside=CCACHE, writable=True),)
    other.mkdir(parents=True, exist_ok=True)
    # whatever an earlier build made of it
    other.chmod(0o755)
    missed = work.folder / "on-ccache-miss"
    missed.write_text(MISSED)
    missed.chmod(0o755)
    return (
        Mount(host=trusted, inside=TRUSTED_CCACHE),
        Mount(host=other, inside=CCACHE, writable=True),
        Mount(host=missed, inside=ON_MISS),
    )


def build_failed(work: Work, done: Ran, *, artifacts: Mapping[str, str] | None = None) -> Outcome:
    """The outcome of a build command that did not succeed."""
    with work.log.open(encoding="utf-8", errors="replace") as said:
        lines = culprits(done.lines, said=said)
    return failed(Kind.BUILD, lines, artifacts=artifacts or {})


def copy_tree(work: Work, role: str, target: Path) -> None:
    """Copy an input with its times, so that make finds nothing to do in it; shares blocks where the disk can."""
    command = ["cp", "-a", "--reflink=auto", "--", str(work.path(role)), str(target)]
    process.check(process.dying_with_parent(command), scope=work.scope)
