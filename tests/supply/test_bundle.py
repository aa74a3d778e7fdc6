"""Bundles that are made to hurt: what is taken out of them is never more than was asked for."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.errors import BadInput
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.supply import bundle, repository
from oolong.supply.fetch import Wanted, fetch
from oolong.supply.repository import Commit
from tests.archives import pax_sparse, sparse
from tests.support import layout_in, silent

CONTENT = b"what was locked"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = Commit(url="https://example.org/linux.git", commit="1" * 40, ref="main")
CLAIMED = 6 << 30


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return replace(layout_in(tmp_path), bundle=tmp_path / "x.tar")


def write_bundle(path: Path, name: str, content: bytes) -> None:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def files_below(folder: Path) -> list[Path]:
    """Files that have bytes: locks have none that count."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize("kind", [sparse, pax_sparse])
def test_a_sparse_file_in_a_bundle_is_refused(layout: Layout, kind: Callable[..., bytes], size: int | None) -> None:
    assert layout.bundle
    wanted = Wanted(label="linux.tar.xz", sha256=SHA256, size=size, url="https://example.org/linux.tar.xz")
    layout.bundle.write_bytes(kind(wanted.member, claimed=CLAIMED))
    with tarfile.open(layout.bundle) as archive:
        assert [(one.size, one.isreg()) for one in archive] == [(CLAIMED, True)]
    with pytest.raises(BadInput, match="is a sparse file"):
        fetch([wanted], layout=layout, mirrors=tuple, progress=silent, scope=Scope())
    assert files_below(layout.cache) == []


def test_a_sparse_file_for_a_commit_is_refused(layout: Layout) -> None:
    assert layout.bundle
    layout.bundle.write_bytes(sparse(COMMIT.member, claimed=CLAIMED))
    with pytest.raises(BadInput, match="is a sparse file"):
        repository.bring(COMMIT, layout=layout, progress=silent, scope=Scope())
    assert not [path for path in files_below(layout.cache) if path.suffix == ".pack"]


def test_more_bytes_than_were_locked_are_not_taken_out(layout: Layout) -> None:
    assert layout.bundle
    wanted = Wanted(label="a 1.0", sha256=SHA256, size=len(CONTENT), path="pool/a.deb")
    write_bundle(layout.bundle, wanted.member, CONTENT + bytes(1 << 20))
    with pytest.raises(BadInput, match=r"a 1\.0 in the bundle has \d+ bytes, not 15 at most"):
        fetch([wanted], layout=layout, mirrors=tuple, progress=silent, scope=Scope())
    assert files_below(layout.cache) == []


def test_as_many_bytes_as_were_locked_are_taken_out(layout: Layout) -> None:
    assert layout.bundle
    wanted = Wanted(label="a 1.0", sha256=SHA256, size=len(CONTENT), path="pool/a.deb")
    write_bundle(layout.bundle, wanted.member, CONTENT)
    [path] = fetch([wanted], layout=layout, mirrors=tuple, progress=silent, scope=Scope())
    assert path.read_bytes() == CONTENT


def test_no_part_is_left_of_what_cannot_be_taken_out_whole(layout: Layout, tmp_path: Path) -> None:
    assert layout.bundle
    write_bundle(layout.bundle, "downloads/x", bytes(1 << 20))
    target = tmp_path / "target"
    bundle.extract(layout.bundle, "downloads/x", target, label="x", most=1 << 20)
    assert target.stat().st_size == 1 << 20
    # its members were read when it was whole
    with layout.bundle.open("r+b") as archive:
        archive.truncate(1 << 19)
    with pytest.raises(BadInput, match="x in the bundle is not what was locked"):
        bundle.extract(layout.bundle, "downloads/x", target, label="x", most=1 << 20)
    assert not target.exists()


def header(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def no_numbers() -> bytes:
    """A sparse file whose map has no end."""
    whole = pax_sparse("downloads/x", claimed=CLAIMED)
    return whole.replace(b"1\n%d\n512\n" % (CLAIMED - 512), b"9" * 512)


def less_than_nothing() -> bytes:
    """A long name of less than no bytes: all to the end would be read into memory."""
    whole = bytearray(header(tarfile.GNUTYPE_LONGNAME, 0))
    whole[124:136] = (-512 & ((1 << 96) - 1)).to_bytes(12, "big")
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % sum(whole)
    return bytes(whole) + bytes(1024)


def for_all_files() -> bytes:
    """A header that tarfile copies into each member that has one of its own."""
    return tarfile.TarInfo.create_pax_global_header({f"key{number}": "" for number in range(100)})


def headers_of_headers() -> bytes:
    """Each long name is that of another long name."""
    return (header(tarfile.GNUTYPE_LONGNAME, 2) + b"a".ljust(512, b"\0")) * 2000


def long_header() -> bytes:
    """The name of the file is as long as the archive claims: it would all be read into memory."""
    return header(tarfile.GNUTYPE_LONGNAME, 3 << 30)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (no_numbers, "is a sparse file"),
        (less_than_nothing, "a header of -512 bytes"),
        (for_all_files, "a header for all of its files"),
        (headers_of_headers, "cannot be read"),
        (long_header, "a header of 3221225472 bytes"),
    ],
)
def test_a_bundle_that_is_made_to_hurt_is_no_traceback(layout: Layout, made: Callable[[], bytes], told: str) -> None:
    assert layout.bundle
    layout.bundle.write_bytes(header(tarfile.REGTYPE, 0) + made())
    with pytest.raises(BadInput, match=told):
        bundle.check(layout.bundle)


def test_a_bundle_of_names_without_end_is_refused(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    assert layout.bundle
    monkeypatch.setattr(bundle, "MOST_MEMBERS", 50)
    layout.bundle.write_bytes(header(tarfile.REGTYPE, 0) * 51 + bytes(1024))
    with pytest.raises(BadInput, match="it has more than 50 files"):
        bundle.check(layout.bundle)


@pytest.mark.parametrize("compress", [bz2.compress, gzip.compress, lzma.compress])
def test_a_compressed_bundle_is_refused_before_it_is_decompressed(
    layout: Layout, compress: Callable[[bytes], bytes]
) -> None:
    """A few bytes of it may stand for gigabytes."""
    assert layout.bundle
    write_bundle(layout.bundle, f"downloads/{SHA256}", CONTENT)
    layout.bundle.write_bytes(compress(layout.bundle.read_bytes()))
    with pytest.raises(BadInput, match=r"the bundle is compressed\n.*decompress it"):
        bundle.check(layout.bundle)


def long_names(count: int, size: int) -> bytes:
    """Empty files with names that are as long as one header may be."""
    name = b"a" * size + bytes(-size % tarfile.BLOCKSIZE)
    return (header(tarfile.GNUTYPE_LONGNAME, size) + name + header(tarfile.REGTYPE, 0)) * count


def test_a_bundle_of_long_names_without_end_is_refused(layout: Layout) -> None:
    assert layout.bundle
    size = 8 << 10
    layout.bundle.write_bytes(long_names(((4 << 20) // size), size) + bytes(1024))
    with pytest.raises(BadInput, match="the headers of its files have more than 4 MiB"):
        bundle.check(layout.bundle)


def test_a_name_that_is_longer_than_a_header_stands_in_a_bundle(layout: Layout, tmp_path: Path) -> None:
    """As a checkout without git may have it."""
    assert layout.bundle
    name = f"oolong/{'a' * 200}/{'ü' * 100}"
    (tmp_path / "x").write_bytes(CONTENT)
    members = {name: tmp_path / "x", f"downloads/{SHA256}": tmp_path / "x"}
    bundle.write(layout.bundle, members, progress=silent, scope=Scope())
    bundle.extract(layout.bundle, name, tmp_path / "out", label="x", most=100)
    assert (tmp_path / "out").read_bytes() == CONTENT
