"""Memory by address: pages kept, fetched and stored once, and what is not there."""

from pathlib import Path

import pytest

from oolong.errors import BadInput
from oolong.machine import memory
from oolong.machine.memory import PAGE, Recording, Snapshot, Unreadable

FIRST, SECOND = bytes(range(256)) * (PAGE // 256), b"\xa5" * PAGE
HIGH = 0xC000_0000_0000_0000


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    snapshots = [
        Snapshot("off", {HIGH: FIRST, HIGH + PAGE: SECOND}),
        Snapshot("all", {HIGH + PAGE: FIRST}),
        Snapshot("one", {}),
    ]
    memory.write(path, snapshots)
    assert list(memory.load(path)) == snapshots


def test_equal_pages_are_stored_once(tmp_path: Path) -> None:
    once, often = tmp_path / "once", tmp_path / "often"
    memory.write(once, [Snapshot("off", {HIGH: FIRST})])
    memory.write(often, [Snapshot("off", {HIGH + number * PAGE: FIRST for number in range(8)})])
    ((page,), pages) = (list(one.pages.values()) for path in (once, often) for one in memory.load(path))
    assert all(other == page for other in pages)
    assert len({id(other) for other in pages}) == 1
    assert often.stat().st_size - once.stat().st_size < 8 * 32


@pytest.mark.parametrize(
    ("at", "size", "data"),
    [
        (HIGH, 4, FIRST[:4]),
        (HIGH + PAGE - 2, 4, FIRST[-2:] + SECOND[:2]),
        (HIGH + 1, 2 * PAGE - 1, FIRST[1:] + SECOND),
        (HIGH + 5, 0, b""),
    ],
)
def test_a_read_goes_over_pages(at: int, size: int, data: bytes) -> None:
    assert Snapshot("off", {HIGH: FIRST, HIGH + PAGE: SECOND}).read(at, size) == data


@pytest.mark.parametrize(
    ("at", "size", "missing"),
    [(0, 1, 0), (HIGH - 1, 2, HIGH - 1), (HIGH + PAGE - 1, 2, HIGH + PAGE), (HIGH, 1 << 64, HIGH + PAGE), (-8, 8, -8)],
)
def test_what_is_not_there_is_unreadable(at: int, size: int, missing: int) -> None:
    with pytest.raises(Unreadable) as raised:
        Snapshot("off", {HIGH: FIRST}).read(at, size)
    assert raised.value.address == missing


def test_a_recording_fetches_each_page_once_and_keeps_it() -> None:
    asked = []

    def fetch(address: int, size: int) -> bytes:
        asked.append((address, size))
        return b"".join(bytes([(address + at) // PAGE % 256]) * PAGE for at in range(0, size, PAGE))

    recording = Recording(fetch)
    assert recording.read(PAGE + 8, 4) == b"\x01" * 4
    assert recording.read(PAGE - 1, 3 * PAGE) == b"\x00" + b"\x01" * PAGE + b"\x02" * PAGE + b"\x03" * (PAGE - 1)
    assert recording.read(3 * PAGE, 1) == b"\x03"
    # what lies between two pages that are missing comes with them
    assert asked == [(PAGE, PAGE), (0, 4 * PAGE)]
    assert sorted(recording.pages) == [0, PAGE, 2 * PAGE, 3 * PAGE]


def test_a_recording_keeps_nothing_of_what_is_unreadable() -> None:
    def fetch(address: int, size: int) -> bytes:
        raise Unreadable(address)

    recording = Recording(fetch)
    with pytest.raises(Unreadable):
        recording.read(HIGH, 8)
    assert recording.pages == {}


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a memory file"):
        memory.load(tmp_path / "missing")
