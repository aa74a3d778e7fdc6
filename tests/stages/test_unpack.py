"""Archives that unpack without end, opened by the real tar of a root file system."""

import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from oolong.engine.stage import Outcome
from oolong.errors import BadInput
from oolong.host.budget import ARCHIVE, Budget
from oolong.stages.unpack import unpack
from tests.archives import pax_sparse, sparse
from tests.checkout import root_with
from tests.support import stage_of, work_of

SMALL = Budget(entries=100, size=1 << 20, depth=10)


@pytest.fixture
def opened(tmp_path: Path, tool_cache: Path) -> Callable[[bytes], str]:
    root = root_with("bin/tar", "bin/xz").parent

    def unpacked(archive: bytes) -> str:
        (tmp_path / "archive").write_bytes(archive)
        work = work_of(stage_of("source", lambda work: Outcome()), tmp_path)
        return unpack(work, root=root, archive=tmp_path / "archive", target=tmp_path / "tree", label="linux.tar.xz")

    return unpacked


def packed(members: list[tuple[str, bytes]]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return lzma.compress(data.getvalue())


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("linux/zeros", bytes(4 << 20))], "linux.tar.xz: holds more than 1 MiB"),
        ([(f"linux/{number}", b"") for number in range(101)], "linux.tar.xz: holds more than 100 files"),
        ([("linux/" + "a/" * 12 + "x", b"")], "linux.tar.xz: has a name more than 10 folders deep"),
    ],
)
def test_an_archive_that_unpacks_without_end_is_refused(
    opened: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch, members: list[tuple[str, bytes]], told: str
) -> None:
    """The real budgets hold for gigabytes; smaller ones are stopped in the same way."""
    monkeypatch.setattr("oolong.stages.unpack.ARCHIVE", SMALL)
    with pytest.raises(BadInput, match=told):
        opened(packed(members))


@pytest.mark.parametrize("kind", [sparse, pax_sparse])
def test_a_file_of_holes_counts_with_its_holes(opened: Callable[[bytes], str], kind: Callable[..., bytes]) -> None:
    with pytest.raises(BadInput, match="holds more than 16384 MiB"):
        opened(kind("linux/zeros", claimed=ARCHIVE.size + 1024) + bytes(1024))


def test_a_name_with_a_line_in_it_counts_once(opened: Callable[[bytes], str], tmp_path: Path) -> None:
    assert opened(packed([("linux/a\nb", b"x"), ("linux/tar: c", b"y")])) == ""
    assert {path.name for path in (tmp_path / "tree").iterdir()} == {"a\nb", "tar: c"}


def test_what_tar_says_of_a_bad_archive_is_told(opened: Callable[[bytes], str]) -> None:
    assert "tar: " in opened(packed([("linux/a", b"x")])[:-20])
