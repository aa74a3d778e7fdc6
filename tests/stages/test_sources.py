"""Kernel sources of every kind, from servers on loopback: fetched, verified, unpacked, built and booted."""

import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import loopback
from tests.checkout import FAKELINUX, Checkout, Ran, fake_kernel, with_kernel
from tests.loopback import Mirror
from tests.support import TEST_DATA

CELL = "le-minimal-gcc-14"
# a kernel with its signature, by the first of two keys; ./sign in the same folder made them
SIGNED = TEST_DATA / "signed"


@pytest.fixture
def server() -> Iterator[Mirror]:
    with loopback.mirror() as running:
        yield running


@pytest.fixture
def checkout(checkout: Checkout, empty_cache: Callable[[], Path]) -> Checkout:
    """With a cache of its own: what one test fetched is not there for the next, nor in the usual cache."""
    return replace(checkout, cache=without_downloads(empty_cache()))


def without_downloads(cache: Path) -> Path:
    (cache / "downloads").unlink()
    return cache


def use(checkout: Checkout, source: str) -> None:
    """Put a source of the name `fake` in the place of the pipeline's kernel."""
    path = checkout.folder / "pipeline.yaml"
    text = path.read_text()
    text = with_kernel(text, "fake").replace("sources:\n", f"sources:\n  fake:\n    {source}\n")
    path.write_text(text)


def packed(folder: Path, *, compress: Callable[[bytes], bytes] = lzma.compress) -> bytes:
    """A tarball of a folder, as kernel.org has them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(folder, "linux-7.0-fake")
    return compress(out.getvalue())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def built(checkout: Checkout) -> Ran:
    return checkout.doit(f"cell:{CELL}")


@pytest.mark.parametrize(("suffix", "compress"), [("xz", lzma.compress), ("gz", gzip.compress)])
def test_a_tarball_is_fetched_built_and_booted(
    checkout: Checkout, server: Mirror, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    data = packed(FAKELINUX, compress=compress)
    uri = server.serve(f"/pub/linux-7.0.tar.{suffix}", data)
    use(checkout, f'tarball: {{url: "{uri}", sha256: {sha256(data)}}}')
    done = built(checkout)
    assert done.code == 0, done.err
    assert checkout.result(CELL)["verdict"]["status"] == "pass"


def test_a_tarball_that_is_another_is_never_unpacked(checkout: Checkout, server: Mirror) -> None:
    uri = server.serve("/linux.tar.xz", packed(FAKELINUX))
    use(checkout, f'tarball: {{url: "{uri}", sha256: {"0" * 64}}}')
    done = built(checkout)
    assert done.code == 3
    assert "not what was locked" in done.err
    assert not list((checkout.stages).glob("source/*/tree/console.txt"))


def test_a_tarball_of_something_else_is_bad_input(checkout: Checkout, server: Mirror, tmp_path: Path) -> None:
    (tmp_path / "poems").mkdir()
    (tmp_path / "poems" / "Makefile").write_text("all:\n")
    data = packed(tmp_path / "poems")
    use(checkout, f'tarball: {{url: "{server.serve("/poems.tar.xz", data)}", sha256: {sha256(data)}}}')
    done = built(checkout)
    assert done.code == 2
    assert "no kernel tree: it has no Kconfig" in done.err
    assert "/poems.tar.xz" in done.err


def hostile(entry: tarfile.TarInfo, data: bytes = b"") -> bytes:
    """A fakelinux with one more entry that no kernel has."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(FAKELINUX, "linux")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
        if entry.issym():
            through = tarfile.TarInfo(f"{entry.name}/through")
            through.size = 3
            archive.addfile(through, io.BytesIO(b"bad"))
    return out.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.mode = 0o4755
    for field, value in fields.items():
        setattr(made, field, value)
    return made


HOSTILE = {
    "parent": entry("linux/../../../../../../../../OUT/escaped"),
    "absolute": entry("/OUT/escaped"),
    "absolute link": entry("linux/out", tarfile.SYMTYPE, linkname="/OUT"),
    "link to a parent": entry("linux/up", tarfile.SYMTYPE, linkname="../../../../../../OUT"),
    "hard link": entry("linux/hard", tarfile.LNKTYPE, linkname="/OUT/secret"),
    "device": entry("linux/device", tarfile.CHRTYPE, devmajor=1, devminor=1),
    "pipe": entry("linux/pipe", tarfile.FIFOTYPE),
    "setuid": entry("linux/setuid"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_dangerous_comes_out_of_an_archive(
    checkout: Checkout, server: Mirror, tmp_path: Path, name: str
) -> None:
    """Whether tar refuses the archive or the stage cleans up what it left: nothing outside is touched, and inside there
    is no device, no pipe and no setuid program."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("untouched")
    one = tarfile.TarInfo.frombuf(HOSTILE[name].tobuf(), "utf-8", "surrogateescape")
    for field in ("name", "linkname"):
        setattr(one, field, getattr(one, field).replace("/OUT", str(outside)))
    data = hostile(one, b"bad" if one.isreg() else b"")
    use(checkout, f'tarball: {{url: "{server.serve("/linux.tar", data)}", sha256: {sha256(data)}}}')
    done = checkout.doit("source:fake")
    assert done.code in (0, 2), done.err
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"secret": "untouched"}
    trees = list((checkout.stages / "source").glob("*/tree"))
    for path in (path for tree in trees for path in tree.rglob("*")):
        assert path.is_symlink() or path.is_dir() or path.is_file(), path
        assert path.is_symlink() or path.lstat().st_mode & 0o7000 == 0, path


@pytest.fixture
def verifying(checkout: Checkout, tool_cache: Path) -> Checkout:
    """With gpgv's packages among the downloads."""
    (checkout.cache / "downloads").symlink_to(tool_cache / "downloads")
    return checkout


def use_signed(checkout: Checkout, server: Mirror, *, keyring: str, signature: bytes) -> None:
    data = (SIGNED / "linux.tar.xz").read_bytes()
    shutil.copy(SIGNED / keyring, checkout.folder / "keys.gpg")
    use(
        checkout,
        f'tarball: {{url: "{server.serve("/linux.tar.xz", data)}", sha256: {sha256(data)}, signature: {{url: '
        f'"{server.serve("/linux.tar.sign", signature)}", sha256: {sha256(signature)}, keyring: keys.gpg}}}}',
    )


def test_a_good_signature_lets_an_archive_in(verifying: Checkout, server: Mirror) -> None:
    use_signed(verifying, server, keyring="keys.gpg", signature=(SIGNED / "linux.tar.sign").read_bytes())
    done = verifying.doit("source:fake")
    assert done.code == 0, done.err


@pytest.mark.parametrize("fault", ["other key", "other file"])
def test_a_signature_that_is_not_good_keeps_it_out(verifying: Checkout, server: Mirror, fault: str) -> None:
    keyring = "others.gpg" if fault == "other key" else "keys.gpg"
    signature = SIGNED / ("other.sign" if fault == "other file" else "linux.tar.sign")
    use_signed(verifying, server, keyring=keyring, signature=signature.read_bytes())
    done = verifying.doit("source:fake")
    assert done.code == 2
    assert "the signature is not good" in done.err


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with two commits of fakelinux, the first of them tagged v1."""
    folder = tmp_path / "git" / "linux"
    fake_kernel(folder)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    git(folder, "tag", "--annotate", "--message", "one", "v1")
    (folder / "text.c").write_text((folder / "text.c").read_text() + "int seven(int x) { return x + 7; }\n")
    git(folder, "commit", "--quiet", "--all", "--message", "two")
    return folder


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *settings, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def by_path(repository: Path, server: Mirror) -> Iterator[str]:
    yield str(repository)


def by_dumb_http(repository: Path, server: Mirror) -> Iterator[str]:
    git(repository, "update-server-info")
    yield server.serve_folder(repository / ".git", "/linux.git")


def by_daemon(repository: Path, server: Mirror) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [
        "--export-all",
        "--reuseaddr",
        "--listen=127.0.0.1",
        f"--port={port}",
        f"--base-path={repository.parent}",
    ]
    daemon = subprocess.Popen(["git", "daemon", *options], start_new_session=True)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield f"git://127.0.0.1:{port}/linux"
    finally:
        os.killpg(daemon.pid, 9)
        daemon.wait()


@pytest.mark.parametrize("way", [by_path, by_dumb_http, by_daemon])
def test_a_ref_is_locked_to_a_commit_and_stays_it(
    checkout: Checkout, server: Mirror, repository: Path, way: Callable[[Path, Mirror], Iterator[str]]
) -> None:
    """A tag of an older commit is built; when it moves, the lock still means the commit that it was."""
    serving = way(repository, server)
    url = next(serving)
    use(checkout, f'git: {{url: "{url}", ref: v1}}')
    unlocked = checkout.doit("source:fake")
    assert (unlocked.code, "nothing is locked for the source 'fake'" in unlocked.err) == (2, True)
    lock(checkout)
    first = git(repository, "rev-parse", "v1^{commit}")
    assert locked_commit(checkout) == first
    git(repository, "tag", "--force", "--annotate", "--message", "moved", "v1", "main")
    if way is by_dumb_http:
        list(by_dumb_http(repository, server))
    done = built(checkout)
    assert done.code == 0, done.err
    assert stubs_of(checkout)["text"] == 6
    lock(checkout)
    assert locked_commit(checkout) == git(repository, "rev-parse", "main")
    assert built(checkout).code == 0
    assert stubs_of(checkout)["text"] == 7
    list(serving)


def test_a_full_commit_needs_no_lock(checkout: Checkout, repository: Path) -> None:
    use(checkout, f'git: {{url: "{repository}", ref: {git(repository, "rev-parse", "main~1")}}}')
    done = built(checkout)
    assert done.code == 0, done.err
    assert stubs_of(checkout)["text"] == 6


def test_a_repository_is_taken_at_a_commit_not_as_it_stands(checkout: Checkout, repository: Path) -> None:
    """What lies about in it, its hooks and its filters play no part; it stays as it is."""
    (repository / "text.c").write_text("broken\n")
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {repository}/hooked\n")
    hook.chmod(0o755)
    git(repository, "config", "filter.evil.smudge", f"touch {repository}/filtered; cat")
    (repository / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*") if path.is_file()}
    use(checkout, f'git: {{url: "{repository}", ref: {git(repository, "rev-parse", "main")}}}')
    assert built(checkout).code == 0
    assert {path: path.stat().st_mtime_ns for path in repository.rglob("*") if path.is_file()} == before


def test_a_ref_that_is_not_there_is_bad_input(checkout: Checkout, repository: Path) -> None:
    use(checkout, f'git: {{url: "{repository}", ref: v9}}')
    done = checkout.doit("lock")
    assert done.code == 2
    assert "no branch, tag or commit 'v9'" in done.err


def lock(checkout: Checkout) -> None:
    done = checkout.doit("lock", "only=fake")
    assert done.code == 0, done.err


def locked_commit(checkout: Checkout) -> str:
    sources = json.loads((checkout.folder / "pipeline.lock").read_text())["sources"]
    return str(sources["fake"]["commit"])


def stubs_of(checkout: Checkout) -> dict[str, int]:
    stages = checkout.result(CELL)["stages"]
    data: dict[str, int] = next(stage["data"] for stage in stages if stage["stage"] == "stubs")
    return data


def test_a_bundle_runs_without_a_network(
    checkout: Checkout, server: Mirror, repository: Path, tmp_path: Path, empty_cache: Callable[[], Path]
) -> None:
    """A git source and a tarball source, taken from a bundle into an empty cache after both servers are gone."""
    data = packed(FAKELINUX)
    uri = server.serve("/linux.tar.xz", data)
    use(checkout, f'tarball: {{url: "{uri}", sha256: {sha256(data)}}}')
    pipeline = checkout.folder / "pipeline.yaml"
    commit = git(repository, "rev-parse", "main")
    text = pipeline.read_text().replace("kernel: [fake]", "kernel: [fake, mine]")
    text = text.replace('"*-minimal-gcc-14"', '"*-minimal-gcc-14-*"')
    pipeline.write_text(
        text.replace("sources:\n", f'sources:\n  mine:\n    git: {{url: "{repository}", ref: {commit}}}\n')
    )
    made = checkout.doit("bundle", str(tmp_path / "all.tar"), "cell=le-*")
    assert made.code == 0, made.err
    server.files.clear()
    shutil.rmtree(repository)
    offline = replace(checkout, cache=without_downloads(empty_cache()))
    shutil.rmtree(offline.folder / "build")
    # the folder of a local repository need not be there any more, but its name stands in pipeline.yaml
    repository.mkdir()
    done = offline.doit(f"cell:{CELL}-fake", f"cell:{CELL}-mine", f"bundle={tmp_path / 'all.tar'}")
    assert done.code == 0, done.err
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = set(archive.getnames())
    assert {f"downloads/{sha256(data)}", f"git/{commit}.pack", "oolong/dodo.py", "oolong/pipeline.yaml"} <= names
    assert any(name.startswith("wheels/doit-") for name in names)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "cannot be read"),
        (b"no archive" * 200, "cannot be read"),
        (b"\0" * 10240, "no downloads/"),
    ],
)
def test_a_bundle_that_is_none_is_bad_input(
    checkout: Checkout, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "x.tar").write_bytes(content)
    done = checkout.doit("cells", f"bundle={tmp_path / 'x.tar'}")
    assert (done.code, said in done.err) == (2, True), done.err


def test_a_bundle_of_other_locks_is_told(checkout: Checkout, server: Mirror, tmp_path: Path) -> None:
    data = packed(FAKELINUX)
    use(checkout, f'tarball: {{url: "{server.serve("/x.tar.xz", data)}", sha256: {sha256(data)}}}')
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(f"downloads/{'1' * 64}"))
    done = checkout.doit("source:fake", f"bundle={tmp_path / 'x.tar'}")
    assert done.code == 2
    assert "the bundle lacks x.tar.xz" in done.err


def test_a_flipped_bit_in_a_bundle_is_noticed(checkout: Checkout, server: Mirror, tmp_path: Path) -> None:
    data = packed(FAKELINUX)
    use(checkout, f'tarball: {{url: "{server.serve("/x.tar.xz", data)}", sha256: {sha256(data)}}}')
    flipped = bytes([data[0] ^ 1]) + data[1:]
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        member = tarfile.TarInfo(f"downloads/{sha256(data)}")
        member.size = len(flipped)
        archive.addfile(member, io.BytesIO(flipped))
    done = checkout.doit("source:fake", f"bundle={tmp_path / 'x.tar'}")
    assert done.code == 2
    assert "is not what was locked" in done.err
