"""What a sandbox is (pure): the view that a program has of it, and the bwrap argv that makes it.

Inside, every build looks the same on every machine: the rootfs at /, the kernel at /src, the object tree at
/build, user 1000, host name `build`, and only the variables given here. The view is part of a recipe, since a build
can put it into its output; options that only take rights away are in none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SRC, BUILD, CCACHE, JOBSERVER = "/src", "/build", "/ccache", "/jobserver"
# the ccache of trusted builds, and the program that takes its misses to the other one, where a build is not trusted
TRUSTED_CCACHE, ON_MISS = "/trusted-ccache", "/on-ccache-miss"

BASE_ENV: Mapping[str, str] = {"PATH": "/usr/bin:/usr/sbin", "HOME": "/tmp", "LC_ALL": "C", "TZ": "UTC"}
USER, HOST_NAME = "1000", "build"
# links of every root file system into its usr/
LINKS = ("bin", "sbin", "lib", "lib64")
DEVICES, PROCESSES, TEMPORARY = "/dev", "/proc", "/tmp"
# where a host has its programs and their libraries
SYSTEM = ("/usr", "/bin", "/lib", "/lib64")
# of what a command said, told of it where it failed
LINES_TOLD, SILENT = 3, "without a word"
CONFINED = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a program can see of its sandbox besides the rootfs: the places of `read_only` and `writable` mounts, the
    variables besides BASE_ENV, and its folder."""

    read_only: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    chdir: str = "/"

    def as_json(self) -> dict[str, Any]:
        """All that a recipe says of the sandbox."""
        return {
            "user": USER,
            "host name": HOST_NAME,
            "links": list(LINKS),
            "made": [DEVICES, PROCESSES, TEMPORARY],
            "read only": sorted(self.read_only),
            "writable": sorted(self.writable),
            "env": {**BASE_ENV, **self.env},
            "chdir": self.chdir,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the host as the sandbox sees it; read-only unless `writable`."""

    host: Path
    inside: str
    writable: bool = False

    @property
    def words(self) -> list[str]:
        return ["--bind" if self.writable else "--ro-bind", str(self.host), self.inside]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """`rootfs` is a folder with usr/; `env` is added to BASE_ENV; `chdir` is a path inside."""

    rootfs: Path
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    chdir: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command inside ended, and the last lines that it wrote; `late` is the time limit in seconds that it
    exceeded, None where it did not."""

    returncode: int
    timed_out: bool
    lines: tuple[str, ...]
    late: float | None = None

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out

    @property
    def last_words(self) -> str:
        """The last lines that it wrote, as one; empty if it wrote none."""
        return " / ".join(self.lines[-LINES_TOLD:])


def sandbox_of(view: View, *, rootfs: Path, hosts: Mapping[str, Path]) -> Sandbox:
    """The sandbox that a view describes; `hosts` has a file or folder of this machine for each of its places."""
    assert hosts.keys() == {*view.read_only, *view.writable}, "each place of the view has one host path"
    mounts = tuple(
        Mount(host=hosts[place], inside=place, writable=place in view.writable)
        for place in (*view.read_only, *view.writable)
    )
    return Sandbox(rootfs=rootfs, mounts=mounts, env=view.env, chdir=view.chdir)


def system_options(
    *, mounts: Sequence[Mount], env: Mapping[str, str], network: Sequence[str] | None = None
) -> list[str]:
    """What bubblewrap is told to run a program of the host: it sees the system's programs, the folders given, and
    nothing else. `network` are the settings of the host that it sees besides, where it is let out; None keeps it in."""
    options = [*CONFINED, "--clearenv"]
    for name, value in env.items():
        options += ["--setenv", name, value]
    if network is not None:
        options += ["--share-net"]
    for folder in (*SYSTEM, *(network or ())):
        options += ["--ro-bind-try", folder, folder]
    options += ["--dev", DEVICES, "--proc", PROCESSES, "--tmpfs", TEMPORARY]
    for mount in mounts:
        options += mount.words
    return [*options, "--remount-ro", "/"]


def bwrap_argv(sandbox: Sandbox, argv: Sequence[str]) -> list[str]:
    """The host's command line that runs `argv` inside, to be pasted: the walls that need descriptors are not in it."""
    return ["bwrap", *bwrap_options(sandbox), "--", *argv]


def bwrap_options(sandbox: Sandbox) -> list[str]:
    """What bubblewrap is told of a sandbox."""
    options = [*CONFINED, "--uid", USER, "--gid", USER, "--hostname", HOST_NAME, "--clearenv"]
    for name, value in {**BASE_ENV, **sandbox.env}.items():
        options += ["--setenv", name, value]
    options += ["--ro-bind", f"{sandbox.rootfs}/usr", "/usr"]
    for link in LINKS:
        options += ["--symlink", f"usr/{link}", f"/{link}"]
    options += ["--dev", DEVICES, "--proc", PROCESSES, "--tmpfs", TEMPORARY]
    for mount in sandbox.mounts:
        options += mount.words
    return [*options, "--remount-ro", "/", "--chdir", sandbox.chdir]
