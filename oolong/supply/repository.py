"""Commits of git repositories: resolved, fetched into a repository of ours, and checked out from there.

Ours is bare, one for each URL or folder that commits come from, and holds as little history as the other side allows.
What comes is known by the commit's name, which covers every byte of its tree.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from oolong.errors import BadInput, Infrastructure
from oolong.host import process
from oolong.host.budget import ARCHIVE, Counted
from oolong.host.digest import digest_of
from oolong.host.filelock import held
from oolong.host.files import write_atomically
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.host.progress import Progress
from oolong.host.sandbox import Mount
from oolong.supply import bundle, git

URL_SCHEMES = ("http://", "https://", "git://")
OURS, TREE = "/repository", "/tree"
# settings that also reach the git that serves a folder: it may belong to somebody else
GLOBAL = "global.gitconfig"
# bytes of the pack of one commit: that of a kernel has a twentieth of it
LARGEST_PACK = 4 << 30
# bytes that a server may send for one: where it gives no part of a history, Linux's has a quarter of it
LARGEST_FETCH = 16 << 30
# however few objects come
AS_PACK = ("-c", "fetch.unpackLimit=1")
ROOM = "is there room on the disk?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit by its full name (40 or 64 hex digits), where it is to be had (a URL, or the absolute path of a folder),
    and the ref that it was resolved from."""

    url: str
    commit: str
    ref: str

    @property
    def member(self) -> str:
        """What it is called in a bundle."""
        return bundle.pack_name(self.commit)

    @property
    def folder(self) -> Path | None:
        return None if self.url.startswith(URL_SCHEMES) else Path(self.url)


def resolve(url: str, ref: str, *, scope: Scope) -> str:
    """The name of the commit that a ref stands for: a branch or a tag, in a folder whatever git can make sense of."""
    if not url.startswith(URL_SCHEMES):
        words = ["-C", url, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]
        done = git.run(words, mounts=git.mounts_of(Path(url)), scope=scope)
        if not done.ok:
            raise _no_such(url, ref)
        return done.output.decode().strip()
    done = git.run(["ls-remote", "--quiet", "--", url, ref, f"{ref}^{{}}"], mounts=(), scope=scope, network=True)
    if not done.ok:
        raise _unreachable(url, done)
    lines = [line.split("\t") for line in done.output.decode(errors="replace").split("\n")]
    named = {line[1]: line[0] for line in lines if len(line) == 2}
    for name in (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}", f"{ref}^{{}}", ref):
        if name in named:
            return named[name]
    raise _no_such(url, ref)


def bring(wanted: Commit, *, layout: Layout, progress: Progress, scope: Scope) -> Path:
    """Our repository with the commit in it: found there, taken from the bundle, or fetched."""
    ours = layout.repository(digest_of(wanted.url))
    with held(layout.lock(f"git-{ours.stem}"), waiting=lambda holder: progress(f"waiting for {holder}")):
        if not ours.exists():
            _make(ours, scope)
        if not _has(ours, wanted, scope):
            if layout.bundle:
                _unbundle(layout.bundle, wanted, ours, scope)
            else:
                _fetch(wanted, ours, progress, scope)
    return ours


def check_out(ours: Path, wanted: Commit, tree: Path, *, scope: Scope) -> None:
    """Fill the empty folder `tree` with what the commit holds; BadInput if it is more than any kernel has: a few trees
    that hold one another many times stand for files without end."""
    _count(ours, wanted, scope)
    env = {"GIT_WORK_TREE": TREE, "GIT_INDEX_FILE": "/tmp/index"}
    mounts = [Mount(host=tree, inside=TREE, writable=True)]
    words = ["-C", TREE, "read-tree", "--reset", "-u", wanted.commit]
    done = _in_ours(ours, words, scope=scope, mounts=mounts, env=env)
    if not done.ok:
        raise Infrastructure(f"git read-tree: {git.said(done)}", hint=ROOM)


def _count(ours: Path, wanted: Commit, scope: Scope) -> None:
    """ls-tree gives `MODE TYPE NAME SIZE<tab>PATH`, with NUL after each."""
    counted = Counted(ARCHIVE, where=f"{wanted.url} {wanted.commit}")
    rest = b""

    def hear(chunk: bytes) -> None:
        nonlocal rest
        *entries, rest = (rest + chunk).split(b"\0")
        for entry in entries:
            about, _, path = entry.decode(errors="replace").partition("\t")
            size = about.split()[-1]
            counted.add(path, int(size) if size.isdecimal() else 0)

    done = _in_ours(ours, ["ls-tree", "-r", "-l", "-z", wanted.commit], scope=scope, on_output=hear)
    if not done.ok:
        raise Infrastructure(f"git ls-tree: {git.said(done)}", hint=ROOM)


def pack(ours: Path, wanted: Commit, target: Path, *, scope: Scope) -> None:
    """Write the commit with its whole tree, without history, as one pack for a bundle."""
    listed = _in_ours(ours, ["rev-list", "--objects", "--no-object-names", "--no-walk", wanted.commit], scope=scope)
    # git renames from objects/ to here, so that this must be the same mount
    with tempfile.TemporaryDirectory(dir=ours, prefix="packing-") as folder:
        place = f"{OURS}/{Path(folder).name}/pack"
        done = _in_ours(ours, ["pack-objects", "--quiet", place], scope=scope, writable=True, stdin=listed.output)
        packs = list(Path(folder).glob("*.pack"))
        if not listed.ok or not done.ok or len(packs) != 1:
            raise Infrastructure(f"git pack-objects: {git.said(done)}", hint=ROOM)
        packs[0].replace(target)


def _fetch(wanted: Commit, ours: Path, progress: Progress, scope: Scope) -> None:
    mounts = git.mounts_of(wanted.folder) if wanted.folder else ()

    def hear(chunk: bytes) -> None:
        progress(chunk.decode(errors="replace").replace("\r", "\n").strip().rpartition("\n")[2])

    before = set(_packs(ours))

    def is_too_much(_pid: int = 0) -> bool:
        return sum(size for pack, size in _packs(ours).items() if pack not in before) > LARGEST_FETCH

    # not every server gives a commit by its name, and a dumb one gives no part of a history
    for options in (("--depth=1", wanted.commit), ("--depth=1", wanted.ref), (wanted.ref,)):
        *depth, what = options
        words = [*AS_PACK, "fetch", "--no-tags", "--no-write-fetch-head", "--progress", *depth, "--", wanted.url, what]
        done = _in_ours(
            ours,
            words,
            scope=scope,
            mounts=mounts,
            writable=True,
            network=not wanted.folder,
            on_output=hear,
            until=is_too_much,
        )
        if done.timed_out or is_too_much():
            for new in _packs(ours).keys() - before:
                new.unlink(missing_ok=True)
            what = f"sends more than {LARGEST_FETCH >> 20} MiB for one commit"
            raise BadInput(what, where=wanted.url, hint="no kernel has as much: do not use it")
        if done.ok and _has(ours, wanted, scope):
            return
    if done.ok:
        what = f"{wanted.ref} is no longer the commit {wanted.commit} that was locked"
        raise BadInput(what, where=wanted.url, hint="./doit lock resolves it again")
    raise _unreachable(wanted.url, done)


def _unbundle(archive: Path, wanted: Commit, ours: Path, scope: Scope) -> None:
    place = ours / "objects" / "pack" / f"pack-{wanted.commit}.pack"
    place.parent.mkdir(exist_ok=True)
    bundle.extract(archive, wanted.member, place, label=f"the commit {wanted.commit}", most=LARGEST_PACK)
    done = _in_ours(ours, ["index-pack", f"{OURS}/objects/pack/{place.name}"], scope=scope, writable=True)
    # its parents are not there, and nobody needs them
    shallow = ours / "shallow"
    commits = {*(shallow.read_text().split() if shallow.exists() else ()), wanted.commit}
    write_atomically(shallow, "".join(f"{commit}\n" for commit in sorted(commits)).encode())
    if not done.ok or not _has(ours, wanted, scope):
        place.unlink()
        raise bundle.damaged(archive, f"the commit {wanted.commit}")


def _make(ours: Path, scope: Scope) -> None:
    """An empty bare repository; a half-made one is never seen under its name."""
    beside = ours.with_name(f".{ours.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    mount = Mount(host=beside, inside=OURS, writable=True)
    done = git.run(["init", "--quiet", "--bare", OURS], mounts=[mount], scope=scope)
    if not done.ok:
        raise Infrastructure(f"git init: {git.said(done)}", hint=ROOM)
    (beside / GLOBAL).write_text("[safe]\n\tdirectory = *\n")
    beside.rename(ours)


def _has(ours: Path, wanted: Commit, scope: Scope) -> bool:
    """Whether the commit is there with all of its tree."""
    return _in_ours(ours, ["rev-list", "--objects", "--quiet", "--no-walk", wanted.commit], scope=scope).ok


def _in_ours(
    ours: Path,
    words: Sequence[str],
    *,
    scope: Scope,
    writable: bool = False,
    mounts: Sequence[Mount] = (),
    network: bool = False,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    on_output: Callable[[bytes], None] | None = None,
    until: Callable[[int], bool] | None = None,
) -> process.Finished:
    own = Mount(host=ours, inside=OURS, writable=writable)
    settings = {"GIT_DIR": OURS, "GIT_CONFIG_GLOBAL": f"{OURS}/{GLOBAL}", **(env or {})}
    return git.run(
        words,
        mounts=[own, *mounts],
        scope=scope,
        network=network,
        env=settings,
        stdin=stdin,
        on_output=on_output,
        until=until,
    )


def _packs(ours: Path) -> dict[Path, int]:
    """The packs with their bytes, those that are still coming included."""
    sizes = {}
    for pack in (ours / "objects" / "pack").glob("*"):
        with suppress(FileNotFoundError):
            sizes[pack] = pack.stat().st_size
    return sizes


def _no_such(url: str, ref: str) -> BadInput:
    return BadInput(f"there is no branch, tag or commit {ref!r}", where=url, hint="git ls-remote shows what there is")


def _unreachable(url: str, done: process.Finished) -> Infrastructure:
    return Infrastructure(
        f"{url}: git says: {git.said(done)}", hint="look at the network and the URL, then start again"
    )
