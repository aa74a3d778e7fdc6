"""Guest memory while it is read: whole pages, each fetched once, and kept."""

from pathlib import Path

import pytest

from oolong.errors import BadOutput
from oolong.machine import memory
from oolong.machine.memory import LARGEST, LARGEST_READ, PAGE, Recording, Snapshot, Unreadable

BASE = 0xC000000000010000


def recording(fetched: list[tuple[int, int]], *, most: int = LARGEST) -> Recording:
    """Memory of which every page holds its own number, and the list of what is asked of it."""

    def fetch(address: int, size: int) -> bytes:
        fetched.append((address, size))
        return b"".join(bytes([(base - BASE) // PAGE]) * PAGE for base in range(address, address + size, PAGE))

    return Recording(fetch, most=most)


def test_a_read_across_pages_is_fetched_whole_and_at_once() -> None:
    fetched: list[tuple[int, int]] = []
    read = recording(fetched)
    assert read.read(BASE + PAGE - 2, PAGE + 4) == b"\0\0" + b"\1" * PAGE + b"\2\2"
    assert fetched == [(BASE, 3 * PAGE)]


def test_what_was_fetched_is_not_fetched_again() -> None:
    fetched: list[tuple[int, int]] = []
    read = recording(fetched)
    read.read(BASE, PAGE)
    read.read(BASE + 8, 8)
    read.read(BASE, 3 * PAGE)
    assert fetched == [(BASE, PAGE), (BASE + PAGE, 2 * PAGE)]
    assert sorted(read.pages) == [BASE, BASE + PAGE, BASE + 2 * PAGE]


@pytest.mark.parametrize("size", [-1, LARGEST_READ + 1, 1 << 60])
def test_a_length_that_cannot_be_is_unreadable(size: int) -> None:
    fetched: list[tuple[int, int]] = []
    with pytest.raises(Unreadable):
        recording(fetched).read(BASE, size)
    assert fetched == []


def test_no_more_is_kept_than_may_be() -> None:
    """Whatever a guest has its memory read for; what is kept can be read as often as one likes."""
    fetched: list[tuple[int, int]] = []
    read = recording(fetched, most=3 * PAGE)
    read.read(BASE, 2 * PAGE)
    with pytest.raises(BadOutput, match="more than 256 MiB of the guest's memory"):
        read.read(BASE + PAGE, 3 * PAGE)
    read.read(BASE + 5 * PAGE, 1)
    with pytest.raises(BadOutput):
        read.read(BASE + 4 * PAGE, 1)
    assert read.read(BASE + 5 * PAGE, 2) == b"\5\5"
    assert fetched == [(BASE, 2 * PAGE), (BASE + 5 * PAGE, PAGE)]


def test_nothing_is_read_of_nothing() -> None:
    assert recording([]).read(BASE, 0) == b""


def test_what_was_recorded_is_kept(tmp_path: Path) -> None:
    read = recording([])
    read.read(BASE, 2 * PAGE)
    memory.write(tmp_path / "memory", [Snapshot("one", read.pages), Snapshot("two", {BASE: read.pages[BASE]})])
    one, two = memory.load(tmp_path / "memory")
    assert (one.name, two.name) == ("one", "two")
    assert one.read(BASE + PAGE, 2) == b"\1\1"
    with pytest.raises(Unreadable):
        two.read(BASE + PAGE, 1)
