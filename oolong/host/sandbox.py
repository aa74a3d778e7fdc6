"""Mounts and environment → the bwrap argv (pure): no network, read-only world, fixed paths, no survivors.

Inside, every build looks the same on every machine: the rootfs at /, the kernel at /src, the object tree at
/build, user 1000, host name `build`, and only the variables given here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SRC, BUILD, CCACHE, JOBSERVER = "/src", "/build", "/ccache", "/jobserver"

BASE_ENV: Mapping[str, str] = {"PATH": "/usr/bin:/usr/sbin", "HOME": "/tmp", "LC_ALL": "C", "TZ": "UTC"}


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
    """How a command inside ended, and the last lines that it wrote."""

    returncode: int
    timed_out: bool
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out


def bwrap_argv(sandbox: Sandbox, argv: Sequence[str]) -> list[str]:
    """The host's command line that runs `argv` inside."""
    command = [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--uid", "1000", "--gid", "1000", "--hostname", "build", "--clearenv",
    ]  # fmt: skip
    for name, value in {**BASE_ENV, **sandbox.env}.items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", f"{sandbox.rootfs}/usr", "/usr"]
    for link in ("bin", "sbin", "lib", "lib64"):
        command += ["--symlink", f"usr/{link}", f"/{link}"]
    command += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    for mount in sandbox.mounts:
        command += mount.words
    return [*command, "--remount-ro", "/", "--chdir", sandbox.chdir, "--", *argv]
