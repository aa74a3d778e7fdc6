"""git in a sandbox, which sees the system's programs and the folders it is given, nothing of the caller's.

A checkout's settings can name programs (core.fsmonitor, core.sshCommand, filters, fetches of missing objects). So it
has no network unless it is to fetch, no home, no settings of the host, and of the caller's environment at most the
proxies, for a fetch. What it may take has limits: a pack of a few bytes may stand for gigabytes, a list may never end,
and a pipe in the place of a file may never be written to.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from oolong.errors import BadInput, Infrastructure
from oolong.host import bubblewrap, process
from oolong.host.process import Scope
from oolong.host.sandbox import Mount, system_options

# what keeps git's address space small: packs are mapped by the piece, and each thread has a heap and a stack
SMALL = {
    "core.packedGitWindowSize": "64m",
    "core.packedGitLimit": "512m",
    "core.preloadIndex": "false",
    "index.threads": "1",
    "pack.threads": "4",
}
SETTINGS = (
    "safe.directory=*",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.excludesFile=/dev/null",
    *(f"{name}={value}" for name, value in SMALL.items()),
)
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nowhere",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
FOR_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/ca-certificates")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
# git gives up on a server that sends less for so long
NETWORK_SETTINGS = ("http.lowSpeedLimit=1000", "http.lowSpeedTime=60")
# MiB of address space of each git program, and the variable that sets another number
MEMORY, MEMORY_SETTING = 4096, "OOLONG_GIT_MEMORY"
# where it cannot be set, a lower one holds
LIMITED = 'ulimit -v {kib} 2>/dev/null; exec "$@"'
# what git says itself, not what a server makes it say
OUT_OF_MEMORY = re.compile(
    rb"(?:^|[\r\n])(?:fatal|error): [^\r\n]*"
    rb"(?:[Oo]ut of memory|Cannot allocate memory|unable to create (?:\w+ )?thread)"
)
# bytes of a list that is kept: the names of a kernel's files have a tenth of it
MOST_KEPT = 64 << 20
# git, which reads a file or waits for one, is not silent for so long
SILENCE_SECONDS = 600.0
WAITS = "does it wait for a pipe? look at each .gitignore and .gitattributes, and at what .git/config includes"
# bytes of `.git` as a file: one path
LONGEST_POINTER = 4096
UNUSUAL = "git did not write this file: do not trust the tree"


def run(
    words: Sequence[str],
    *,
    mounts: Sequence[Mount],
    where: str,
    scope: Scope | None = None,
    network: bool = False,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    on_output: Callable[[bytes], None] | None = None,
    until: Callable[[int], bool] | None = None,
    memory: int = MEMORY,
) -> process.Finished:
    """Run `git WORDS` with some folders; `network` lets it out, for http, https and git alone. `until` ends it early,
    as in process.run. `memory` is in MiB, where the person sets no other.

    BadInput, which names `where`, if it takes more memory than it may, says more than is kept, or is silent for too
    long; a server that is silent is Infrastructure.
    """
    memory = memory_limit(memory)
    settings = [word for setting in (*SETTINGS, *NETWORK_SETTINGS) for word in ("-c", setting)]
    argv = ["sh", "-c", LIMITED.format(kib=memory << 10), "sh", "git", *settings, *words]
    told = options(mounts=mounts, network=network, env=env or {})
    ended = False

    def is_over(pid: int) -> bool:
        nonlocal ended
        ended = until is not None and until(pid)
        return ended

    with bubblewrap.ready(told, argv) as start:
        done = process.run(
            start.argv,
            scope=scope,
            env=start.env,
            pass_fds=start.descriptors,
            stdin=stdin,
            silence=SILENCE_SECONDS,
            on_output=on_output,
            until=is_over,
            most=MOST_KEPT,
        )
    silent = done.timed_out and not ended
    _check(done, silent=silent, memory=memory, what=_command(words), where=where, network=network)
    return done


def memory_limit(usual: int = MEMORY, environment: Mapping[str, str] = os.environ) -> int:
    """MiB of address space that a git program may have: what the person sets, or the usual."""
    setting = environment.get(MEMORY_SETTING, "").strip()
    if not setting:
        return usual
    if not (setting.isascii() and setting.isdecimal() and int(setting) > 0):
        raise BadInput(f"{setting!r} is no number of MiB", where=MEMORY_SETTING, hint=f"such as {MEMORY}")
    return int(setting)


def _check(done: process.Finished, *, silent: bool, memory: int, what: str, where: str, network: bool) -> None:
    if silent and network:
        raise Infrastructure(f"{where}: {what} heard nothing for {SILENCE_SECONDS:.0f} s", hint="start again")
    if silent:
        raise BadInput(f"{what} said nothing for {SILENCE_SECONDS:.0f} s", where=where, hint=WAITS)
    if done.cut_off:
        raise BadInput(f"{what} says more than {MOST_KEPT >> 20} MiB", where=where, hint="do not use it")
    if not done.ok and OUT_OF_MEMORY.search(done.output):
        hint = f"do not use it; if you trust it, {MEMORY_SETTING}=MIB sets another limit"
        raise BadInput(f"{what} needs more than {memory} MiB of memory", where=where, hint=hint)


def _command(words: Sequence[str]) -> str:
    """What git is to do, for errors: its first word that is no option and no value of one."""
    words = list(words)
    while words[0] in ("-C", "-c"):
        del words[:2]
    return f"git {words[0]}"


def options(*, mounts: Sequence[Mount], network: bool, env: Mapping[str, str]) -> list[str]:
    """What bubblewrap is told."""
    proxies = {name: os.environ[name] for name in PROXIES if name in os.environ} if network else {}
    protocols = "http:https:git:file" if network else "file"
    return system_options(
        mounts=mounts,
        env={**ENVIRONMENT, "GIT_ALLOW_PROTOCOL": protocols, **proxies, **env},
        network=FOR_NETWORK if network else None,
    )


def said(done: process.Finished) -> str:
    """The end of what git wrote, for errors."""
    return done.output.decode(errors="replace")[-600:].strip() or f"it ended with {done.returncode}"


def mounts_of(tree: Path) -> list[Mount]:
    """A checkout or repository of the host at its own path, read-only, with what it needs elsewhere."""
    return [Mount(host=folder, inside=str(folder)) for folder in (tree, *_elsewhere(tree))]


def _elsewhere(tree: Path) -> list[Path]:
    """The repository of a linked worktree, which lies outside of it (gitrepository-layout, `.git` as a file); BadInput
    if the file is none that git writes."""
    pointer = tree / ".git"
    try:
        text = _pointer(pointer)
        if text is None:
            return []
        folder = (tree / text.removeprefix("gitdir: ")).resolve()
        if folder.parent.name == "worktrees":
            folder = folder.parent.parent
        # a repository, not whatever folder the file may name
        return [folder] if (folder / "HEAD").is_file() and (folder / "objects").is_dir() else []
    # a path that is too long, has a NUL in it, or a link that leads to itself
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"names no repository: {error}", where=str(pointer), hint=UNUSUAL) from error


def _pointer(path: Path) -> str | None:
    """The text of `.git` where it is a file; it is looked at once it is open, so that nothing else is read."""
    if not path.is_file():
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        content = stream.read(LONGEST_POINTER + 1)
    if len(content) > LONGEST_POINTER:
        raise ValueError(f"it has more than {LONGEST_POINTER} bytes")
    return content.decode("utf-8", "surrogateescape").strip()
