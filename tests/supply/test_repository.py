"""Repositories that are made to hurt."""

import hashlib
import socket
import struct
import subprocess
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from oolong.errors import BadInput, Infrastructure
from oolong.host.budget import Budget
from oolong.host.process import Scope
from oolong.supply import git as git_sandbox
from oolong.supply import repository
from oolong.supply.repository import Commit
from tests.support import layout_in, silent

AUTHOR = ("-c", "user.name=T", "-c", "user.email=t@example.org")


def git(folder: Path, *words: str, given: str = "") -> str:
    argv = ["git", "-C", str(folder), *AUTHOR, *words]
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def bomb(tmp_path: Path) -> Commit:
    """Ten trees, each of which holds the one before ten times: 10^10 files in a few objects."""
    folder = tmp_path / "bomb"
    folder.mkdir()
    git(folder, "init", "-q")
    blob = git(folder, "hash-object", "-w", "--stdin", given="x")
    tree = git(folder, "mktree", given="".join(f"100644 blob {blob}\tf{number}\n" for number in range(10)))
    for _ in range(9):
        tree = git(folder, "mktree", given="".join(f"040000 tree {tree}\td{number}\n" for number in range(10)))
    commit = git(folder, "commit-tree", "-m", "bomb", tree)
    git(folder, "branch", "main", commit)
    return Commit(url=str(folder), commit=commit, ref="main")


def test_a_commit_of_few_bytes_and_files_without_end_is_refused(
    bomb: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oolong.supply.repository.ARCHIVE", Budget(entries=10_000, size=1 << 30, depth=64))
    ours = repository.bring(bomb, layout=layout_in(tmp_path), progress=silent, scope=Scope())
    (tmp_path / "tree").mkdir()
    with pytest.raises(BadInput, match="holds more than 10000 files"):
        repository.check_out(ours, bomb, tmp_path / "tree", scope=Scope())
    assert list((tmp_path / "tree").iterdir()) == []


def test_a_server_that_sends_without_end_is_cut_off(
    bomb: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More random bytes than a commit may have."""
    monkeypatch.setattr(repository, "LARGEST_FETCH", 1 << 20)
    folder = Path(bomb.url)
    with (folder / "noise").open("wb") as sink, Path("/dev/urandom").open("rb") as source:
        for _ in range(8):
            sink.write(source.read(1 << 20))
    git(folder, "add", "noise")
    git(folder, "commit", "-q", "-m", "noise")
    commit = Commit(url=bomb.url, commit=git(folder, "rev-parse", "HEAD"), ref="HEAD")
    layout = layout_in(tmp_path)
    with pytest.raises(BadInput, match="sends more than 1 MiB for one commit"):
        repository.bring(commit, layout=layout, progress=silent, scope=Scope())
    assert not list(layout.cache.rglob("*.pack"))
    assert not list(layout.cache.rglob("tmp_pack_*"))


def test_trees_that_hold_trees_without_a_file_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2^44 folders, in 45 objects and without one file."""
    folder = tmp_path / "dag"
    folder.mkdir()
    git(folder, "init", "-q")
    tree = git(folder, "mktree")
    for _ in range(44):
        tree = git(folder, "mktree", given=f"040000 tree {tree}\ta\n040000 tree {tree}\tb\n")
    commit = git(folder, "commit-tree", "-m", "dag", tree)
    git(folder, "branch", "main", commit)
    monkeypatch.setattr(repository, "ARCHIVE", Budget(entries=10_000, size=1 << 30, depth=64))
    wanted = Commit(url=str(folder), commit=commit, ref="main")
    ours = repository.bring(wanted, layout=layout_in(tmp_path), progress=silent, scope=Scope())
    (tmp_path / "tree").mkdir()
    with pytest.raises(BadInput, match="holds more than 10000 files"):
        repository.check_out(ours, wanted, tmp_path / "tree", scope=Scope())


def test_a_commit_with_a_name_that_no_path_may_have_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    git(folder, "init", "-q")
    blob = git(folder, "hash-object", "-w", "--stdin", given="x")
    tree = git(folder, "mktree", given=f"100644 blob {blob}\t{'x' * (1 << 20)}\n")
    commit = git(folder, "commit-tree", "-m", "long", tree)
    git(folder, "branch", "main", commit)
    wanted = Commit(url=str(folder), commit=commit, ref="main")
    ours = repository.bring(wanted, layout=layout_in(tmp_path), progress=silent, scope=Scope())
    (tmp_path / "tree").mkdir()
    with pytest.raises(BadInput, match="has a name of more than 4096 bytes"):
        repository.check_out(ours, wanted, tmp_path / "tree", scope=Scope())


GIB = 1 << 30
NOBODY = "1" * 40


def pack_bomb() -> bytes:
    """A pack of a few hundred bytes (gitformat-pack): a blob of 64 KiB, and one that holds it 16,384 times."""
    base = bytes(1 << 16)
    # each byte copies 64 KiB from the start of the base
    delta = number(len(base)) + number(GIB) + b"\x80" * (GIB // len(base))
    whole = b"PACK" + struct.pack(">II", 2, 2)
    first = entry(3, len(base)) + zlib.compress(base)
    whole += first + entry(6, len(delta)) + offset(len(first)) + zlib.compress(delta, 9)
    return whole + hashlib.sha1(whole, usedforsecurity=False).digest()


def number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def entry(kind: int, size: int) -> bytes:
    rest = size >> 4
    head = kind << 4 | size & 15
    return bytes([head | 0x80]) + number(rest) if rest else bytes([head])


def offset(back: int) -> bytes:
    out = [back & 0x7F]
    while back := back >> 7:
        back -= 1
        out.insert(0, back & 0x7F | 0x80)
    return bytes(out)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller limit holds in the same way, and spares the machine."""
    monkeypatch.setenv("OOLONG_GIT_MEMORY", "512")


@pytest.mark.usefixtures("little_memory")
def test_a_pack_of_a_bundle_that_stands_for_gigabytes_is_refused(tmp_path: Path) -> None:
    assert len(pack_bomb()) < 500
    wanted = Commit(url="https://example.org/linux.git", commit=NOBODY, ref="main")
    (tmp_path / "pack").write_bytes(pack_bomb())
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "pack", wanted.member)
    layout = replace(layout_in(tmp_path), bundle=tmp_path / "x.tar")
    with pytest.raises(BadInput, match=r"git index-pack needs more than 512 MiB of memory\n.*OOLONG_GIT_MEMORY"):
        repository.bring(wanted, layout=layout, progress=silent, scope=Scope())
    assert not list(layout.cache.rglob("*.pack"))


def line(content: bytes) -> bytes:
    """A pkt-line (gitprotocol-common)."""
    return b"%04x" % (len(content) + 4) + content


FLUSH = b"0000"


@contextmanager
def git_server(refs: Callable[[], Iterable[bytes]], pack: bytes = b"") -> Iterator[str]:
    """A server of the git protocol, version 0: its list of refs, then a pack, whatever is asked for."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with client, suppress(OSError), client.makefile("rb") as asked:
            asked.read(int(asked.read(4), 16) - 4)
            for ref in refs():
                client.sendall(line(ref))
            client.sendall(FLUSH)
            while (size := asked.read(4)) and asked.read(max(0, int(size, 16) - 4)) != b"done\n":
                pass
            if size:
                client.sendall(line(b"NAK\n") + pack)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"git://127.0.0.1:{listening.getsockname()[1]}/linux"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@pytest.mark.usefixtures("little_memory")
def test_a_pack_of_a_server_that_stands_for_gigabytes_is_refused(tmp_path: Path) -> None:
    refs = [f"{NOBODY} refs/heads/main\0agent=x\n".encode()]
    layout = layout_in(tmp_path)
    with git_server(lambda: refs, pack_bomb()) as url:
        wanted = Commit(url=url, commit=NOBODY, ref="refs/heads/main")
        with pytest.raises(BadInput, match="git fetch needs more than 512 MiB of memory"):
            repository.bring(wanted, layout=layout, progress=silent, scope=Scope())
    assert not [*layout.cache.rglob("*.pack"), *layout.cache.rglob("tmp_pack_*")]


def test_a_list_of_refs_without_end_is_given_up() -> None:
    def refs() -> Iterator[bytes]:
        yield b"%s HEAD\0agent=x\n" % NOBODY.encode()
        for each in count():
            yield b"%040x refs/tags/%020d%s\n" % (each + 1, each, b"x" * 20_000)

    with git_server(refs) as url, pytest.raises(BadInput, match="git ls-remote needs more than 512 MiB of memory"):
        repository.resolve(url, "main", scope=Scope())


def test_a_server_that_says_nothing_is_infrastructure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_sandbox, "SILENCE_SECONDS", 1.0)
    over = threading.Event()

    def refs() -> Iterator[bytes]:
        over.wait()
        yield b""

    with git_server(refs) as url, pytest.raises(Infrastructure, match=r"git ls-remote heard nothing for 1 s"):
        repository.resolve(url, "main", scope=Scope())
    over.set()


def test_the_limit_of_memory_is_a_number() -> None:
    assert git_sandbox.memory_limit(7, environment={}) == 7
    assert git_sandbox.memory_limit(environment={"OOLONG_GIT_MEMORY": " 8192 "}) == 8192
    for wrong in ("4G", "0", "-1"):
        with pytest.raises(BadInput, match="is no number of MiB"):
            git_sandbox.memory_limit(environment={"OOLONG_GIT_MEMORY": wrong})


def test_a_bundle_that_is_damaged_leaves_the_repository_as_it_was(bomb: Commit, tmp_path: Path) -> None:
    """What a bundle lacked is fetched afterwards."""
    (tmp_path / "junk").write_bytes(b"junk")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "junk", bomb.member)
    layout = layout_in(tmp_path)
    with pytest.raises(BadInput, match="is not what was locked"):
        repository.bring(bomb, layout=replace(layout, bundle=tmp_path / "x.tar"), progress=silent, scope=Scope())
    ours = repository.bring(bomb, layout=layout, progress=silent, scope=Scope())
    assert git(ours, "cat-file", "-t", bomb.commit) == "commit"
