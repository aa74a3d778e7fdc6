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
GLOBAL_SETTINGS = "[safe]\n\tdirectory = *\n" + "".join(
    "[{}]\n\t{} = {}\n".format(*name.split("."), value) for name, value in git.SMALL.items()
)
# bytes of the pack of one commit: that of a kernel has a twentieth of it
LARGEST_PACK = 4 << 30
# bytes that a server may send for one: where it gives no part of a history, Linux's has a quarter of it
LARGEST_FETCH = 16 << 30
# MiB of memory: a server's list of refs has a few thousand, and a pack of a bundle holds one commit
LIST_MEMORY, ONE_COMMIT_MEMORY = 512, 2048
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
        done = git.run(words, mounts=git.mounts_of(Path(url)), where=url, scope=scope)
        if not done.ok:
            raise _no_such(url, ref)
        return done.output.decode().strip()
    words = ["ls-remote", "--quiet", "--", url, ref, f"{ref}^{{}}"]
    done = git.run(words, mounts=(), where=url, scope=scope, network=True, memory=LIST_MEMORY)
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
            _make(ours, wanted, scope)
        _set_up(ours)
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
    done = _in_ours(ours, words, wanted=wanted, scope=scope, mounts=mounts, env=env)
    if not done.ok:
        raise Infrastructure(f"git read-tree: {git.said(done)}", hint=ROOM)


def _count(ours: Path, wanted: Commit, scope: Scope) -> None:
    """ls-tree gives `MODE TYPE NAME SIZE<tab>PATH`, with NUL after each; trees too (-t), since trees of trees without a
    file may never end."""
    counted = Counted(ARCHIVE, where=f"{wanted.url} {wanted.commit}")

    def hear(chunk: bytes) -> None:
        for entry in counted.lines(chunk, end=b"\0"):
            about, _, path = entry.partition("\t")
            size = about.split()[-1]
            counted.add(path, int(size) if size.isdecimal() else 0)

    done = _in_ours(
        ours, ["ls-tree", "-r", "-t", "-l", "-z", wanted.commit], wanted=wanted, scope=scope, on_output=hear
    )
    if not done.ok:
        raise Infrastructure(f"git ls-tree: {git.said(done)}", hint=ROOM)


def pack(ours: Path, wanted: Commit, target: Path, *, scope: Scope) -> None:
    """Write the commit with its whole tree, without history, as one pack for a bundle."""
    listed = _in_ours(
        ours, ["rev-list", "--objects", "--no-object-names", "--no-walk", wanted.commit], wanted=wanted, scope=scope
    )
    # git renames from objects/ to here, so that this must be the same mount
    with tempfile.TemporaryDirectory(dir=ours, prefix="packing-") as folder:
        place = f"{OURS}/{Path(folder).name}/pack"
        done = _in_ours(
            ours, ["pack-objects", "--quiet", place], wanted=wanted, scope=scope, writable=True, stdin=listed.output
        )
        packs = list(Path(folder).glob("*.pack"))
        if not listed.ok or not done.ok or len(packs) != 1:
            raise Infrastructure(f"git pack-objects: {git.said(done)}", hint=ROOM)
        packs[0].replace(target)


def _fetch(wanted: Commit, ours: Path, progress: Progress, scope: Scope) -> None:
    mounts = git.mounts_of(wanted.folder) if wanted.folder else ()

    def hear(chunk: bytes) -> None:
        progress(chunk.decode(errors="replace").replace("\r", "\n").strip().rpartition("\n")[2])

    before = set(_packs(ours))

    def forget() -> None:
        for new in _packs(ours).keys() - before:
            new.unlink(missing_ok=True)

    def is_too_much(_pid: int = 0) -> bool:
        return sum(size for pack, size in _packs(ours).items() if pack not in before) > LARGEST_FETCH

    # not every server gives a commit by its name, and a dumb one gives no part of a history
    for options in (("--depth=1", wanted.commit), ("--depth=1", wanted.ref), (wanted.ref,)):
        *depth, what = options
        words = [*AS_PACK, "fetch", "--no-tags", "--no-write-fetch-head", "--progress", *depth, "--", wanted.url, what]
        try:
            done = _in_ours(
                ours,
                words,
                wanted=wanted,
                scope=scope,
                mounts=mounts,
                writable=True,
                network=not wanted.folder,
                on_output=hear,
                until=is_too_much,
            )
        except BadInput:
            forget()
            raise
        if done.timed_out or is_too_much():
            forget()
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
    words = ["index-pack", f"{OURS}/objects/pack/{place.name}"]
    try:
        done = _in_ours(ours, words, wanted=wanted, scope=scope, writable=True, memory=ONE_COMMIT_MEMORY)
        if not done.ok or not _has(ours, wanted, scope):
            raise bundle.damaged(archive, f"the commit {wanted.commit}")
    except BadInput:
        for one in (place, place.with_suffix(".idx"), place.with_suffix(".rev")):
            one.unlink(missing_ok=True)
        raise
    # its parents are not there, and nobody needs them
    shallow = ours / "shallow"
    commits = {*(shallow.read_text().split() if shallow.exists() else ()), wanted.commit}
    write_atomically(shallow, "".join(f"{commit}\n" for commit in sorted(commits)).encode())


def _make(ours: Path, wanted: Commit, scope: Scope) -> None:
    """An empty bare repository; a half-made one is never seen under its name."""
    beside = ours.with_name(f".{ours.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    mount = Mount(host=beside, inside=OURS, writable=True)
    done = git.run(["init", "--quiet", "--bare", OURS], mounts=[mount], where=wanted.url, scope=scope)
    if not done.ok:
        raise Infrastructure(f"git init: {git.said(done)}", hint=ROOM)
    beside.rename(ours)


def _set_up(ours: Path) -> None:
    """The settings of GLOBAL, also in a repository that an older oolong made."""
    file = ours / GLOBAL
    if not file.exists() or file.read_text() != GLOBAL_SETTINGS:
        write_atomically(file, GLOBAL_SETTINGS.encode())


def _has(ours: Path, wanted: Commit, scope: Scope) -> bool:
    """Whether the commit is there with all of its tree."""
    return _in_ours(
        ours, ["rev-list", "--objects", "--quiet", "--no-walk", wanted.commit], wanted=wanted, scope=scope
    ).ok


def _in_ours(
    ours: Path,
    words: Sequence[str],
    *,
    wanted: Commit,
    scope: Scope,
    writable: bool = False,
    mounts: Sequence[Mount] = (),
    network: bool = False,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    on_output: Callable[[bytes], None] | None = None,
    until: Callable[[int], bool] | None = None,
    memory: int = git.MEMORY,
) -> process.Finished:
    own = Mount(host=ours, inside=OURS, writable=writable)
    settings = {"GIT_DIR": OURS, "GIT_CONFIG_GLOBAL": f"{OURS}/{GLOBAL}", **(env or {})}
    return git.run(
        words,
        mounts=[own, *mounts],
        where=f"{wanted.url} {wanted.commit}",
        scope=scope,
        network=network,
        env=settings,
        stdin=stdin,
        on_output=on_output,
        until=until,
        memory=memory,
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
