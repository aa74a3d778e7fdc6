"""Starts bubblewrap: options in a file without a name, an environment of its own, every wall that this host takes.

Process 1 inside is bubblewrap. Its command line and its environment hold nothing of the host: the options, which name
its folders, come by a descriptor. Its memory does hold them, and who may write to it can keep the sandbox alive: so
/proc does not show process 1. The walls besides the namespaces (process 1 out of sight, no new user namespace, a filter
of system calls) only take rights away, are in no recipe, and decide no output.
"""

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import cache

from oolong.errors import Infrastructure
from oolong.host import process
from oolong.host.seccomp import filter_for

PROGRAM = "bwrap"
NO_NESTING = ("--unshare-user", "--disable-userns")
HIDDEN = ("--tmpfs", "/proc/1", "--remount-ro", "/proc/1")
# whatever the caller's is: bubblewrap needs none, and whoever reads its environment learns nothing
ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin"}
TRIED = (
    "--unshare-all",
    "--die-with-parent",
    "--uid",
    "1000",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
)
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """What holds besides the namespaces: that /proc does not show process 1, that no user namespace can be made inside,
    and the filter of system calls."""

    process_one_hidden: bool = False
    nesting_refused: bool = False
    system_calls: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What process.run is given; the descriptors are open as long as the context of `ready`."""

    argv: list[str]
    env: Mapping[str, str]
    descriptors: tuple[int, ...]


@contextmanager
def ready(options: Sequence[str], argv: Sequence[str], *, walls: Walls | None = None) -> Iterator[Start]:
    """Options and a command → the start of bubblewrap, with the walls of this host unless others are given.

    Infrastructure if there is no bubblewrap.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise Infrastructure(f"cannot start {PROGRAM}: it is not there", hint="is it installed, and on PATH?")
    walls = walls or this_hosts()
    words = [*options, *(NO_NESTING if walls.nesting_refused else ()), *(HIDDEN if walls.process_one_hidden else ())]
    with ExitStack() as stack:
        descriptors = []
        if walls.system_calls is not None:
            descriptors.append(stack.enter_context(_nameless(walls.system_calls)))
            words += ["--seccomp", str(descriptors[-1])]
        descriptors.append(stack.enter_context(_nameless(b"".join(os.fsencode(word) + b"\0" for word in words))))
        yield Start(
            argv=[program, "--args", str(descriptors[-1]), "--", *argv],
            env=ENVIRONMENT,
            descriptors=tuple(descriptors),
        )


@cache
def this_hosts() -> Walls:
    """The walls that the bubblewrap and the kernel of this host take, tried once a process."""
    every = Walls(process_one_hidden=True, nesting_refused=True, system_calls=filter_for(platform.machine()))
    return taken(starts, every)


def taken(starts: Callable[[Walls], bool], every: Walls) -> Walls:
    """All walls, or those that start alone where not all do. All of them too where nothing starts: the first program
    says why."""
    if starts(every) or not starts(Walls()):
        return every
    alone = {field.name: getattr(every, field.name) for field in fields(Walls)}
    return Walls(**{name: wall for name, wall in alone.items() if wall and starts(Walls(**{name: wall}))})


def starts(walls: Walls) -> bool:
    """Whether a program starts inside these walls."""
    return tried(walls)[0]


def tried(walls: Walls) -> tuple[bool, str]:
    """The same, and what was said."""
    try:
        with ready(TRIED, ["true"], walls=walls) as start:
            done = process.run(start.argv, env=start.env, pass_fds=start.descriptors, timeout=PATIENCE_SECONDS)
    except Infrastructure as error:
        return False, error.what
    return done.ok, done.output.decode(errors="replace").strip()


@contextmanager
def _nameless(content: bytes) -> Iterator[int]:
    """A descriptor of a file in memory that stands at the start of its content."""
    descriptor = os.memfd_create("oolong", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as sink:
            sink.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
