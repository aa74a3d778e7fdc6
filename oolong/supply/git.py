"""git in a sandbox, which sees the system's programs and the folders it is given, nothing of the caller's.

A checkout's settings can name programs (core.fsmonitor, core.sshCommand, filters, fetches of missing objects). So it
has no network unless it is to fetch, no home, no settings of the host, and of the caller's environment at most the
proxies, for a fetch.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from oolong.host import bubblewrap, process
from oolong.host.process import Scope
from oolong.host.sandbox import Mount, system_options

SETTINGS = ("safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.excludesFile=/dev/null")
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


def run(
    words: Sequence[str],
    *,
    mounts: Sequence[Mount],
    scope: Scope | None = None,
    network: bool = False,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    on_output: Callable[[bytes], None] | None = None,
    until: Callable[[int], bool] | None = None,
) -> process.Finished:
    """Run `git WORDS` with some folders; `network` lets it out, for http, https and git alone. `until` ends it early,
    as in process.run."""
    settings = [word for setting in (*SETTINGS, *NETWORK_SETTINGS) for word in ("-c", setting)]
    told = options(mounts=mounts, network=network, env=env or {})
    with bubblewrap.ready(told, ["git", *settings, *words]) as start:
        return process.run(
            start.argv,
            scope=scope,
            env=start.env,
            pass_fds=start.descriptors,
            stdin=stdin,
            on_output=on_output,
            until=until,
        )


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
    """The repository of a linked worktree, which lies outside of it (gitrepository-layout, `.git` as a file)."""
    pointer = tree / ".git"
    if not pointer.is_file():
        return []
    text = pointer.read_text(encoding="utf-8", errors="surrogateescape").strip()
    folder = (tree / text.removeprefix("gitdir: ")).resolve()
    if folder.parent.name == "worktrees":
        folder = folder.parent.parent
    # a repository, not whatever folder the file may name
    return [folder] if (folder / "HEAD").is_file() and (folder / "objects").is_dir() else []
