"""How long a machine is waited for, and how much it may say."""

import os
from pathlib import Path

import pytest

from oolong.host.cputime import Share
from oolong.machine import watch
from tests.support import silent


def watch_of(folder: Path, *, stood: list[float]) -> watch.Watch:
    """A watch over a machine that has stood still for the seconds that `stood` holds at the time."""
    return watch.Watch(
        lambda chunk: None, progress=silent, timeout=1000, report=folder / "report", stood=lambda: stood[0]
    )


@pytest.fixture(autouse=True)
def at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's time is read whenever it is asked for."""
    monkeypatch.setattr(watch, "READ_SECONDS", 0.0)


def test_a_report_without_end_is_a_flood(tmp_path: Path) -> None:
    watched = watch_of(tmp_path, stood=[0.0])
    assert not watched.is_over(os.getpid())
    with (tmp_path / "report").open("wb") as report:
        report.truncate(watch.LARGEST_REPORT + 1)
    assert watched.is_over(os.getpid())
    assert (watched.why() or ("",))[0] == "flood"


def test_no_more_is_written_than_may_be_said(tmp_path: Path) -> None:
    """QEMU goes on until it is stopped, and a guest that floods fills no disk until then."""
    kept = bytearray()
    watched = watch.Watch(kept.extend, progress=silent, timeout=1000, report=tmp_path / "report", stood=lambda: 0.0)
    chunk = b"x" * 65_535 + b"\n"
    said = 0
    while said < 4 * watch.LARGEST_CONSOLE:
        watched.hear(chunk)
        said += len(chunk)
    assert len(kept) == watch.LARGEST_CONSOLE
    assert (watched.why() or ("",))[0] == "flood"


def test_a_stall_is_noticed_when_it_has_been_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line may come in parts."""
    watched = watch_of(tmp_path, stood=[0.0])
    for part in (b"[    1.0][    C0] rcu: INFO: rcu_sched self-det", b"ected stall on CPU\r\n"):
        assert not watched.is_stalled()
        watched.hear(part)
    assert not watched.is_stalled()
    monkeypatch.setattr(watch, "LAST_WORDS_SECONDS", 0.0)
    assert watched.is_stalled()
    assert not watched.is_over(os.getpid())


@pytest.mark.parametrize(
    ("ran", "why"), [(5.0, ("hang", "hang: idle for 301 s: nothing runs, nothing is said")), (50.0, None)]
)
def test_a_silent_machine_that_runs_next_to_nothing_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: float, why: tuple[str, str] | None
) -> None:
    """However long it waited for a CPU; one that runs is waited for."""
    stood = [0.0]
    watched = watch_of(tmp_path, stood=stood)
    monkeypatch.setattr(watch, "share_of", lambda pid: Share(ran=ran, waited=100.0))
    assert not watched.is_over(os.getpid())
    stood[0] -= watch.LONG_SILENCE_SECONDS + 1
    assert watched.why() == why


def test_a_machine_that_is_silent_for_long_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less the time in which it was made to stand still."""
    stood = [0.0]
    watched = watch_of(tmp_path, stood=stood)
    watched.hear(b"Testing dynamic ftrace ops #2: \n")
    assert not watched.is_silent()
    monkeypatch.setattr(watch, "DOUBT_SECONDS", -1.0)
    assert watched.is_silent()
    assert watched.silent() == ("hang", "hang: silent for 0 s")
    stood[0] += 100.0
    assert not watched.is_silent()
    watched.hear(b"(1 0 1 0 0)\n")
    assert watched.is_silent()
    assert not watched.is_over(os.getpid())


@pytest.mark.parametrize("line", [b"Kernel panic - not syncing: x\n", b"[    1.0] reboot: Power down\r\n"])
def test_after_its_last_words_a_machine_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    watched = watch_of(tmp_path, stood=[0.0])
    watched.hear(line)
    assert not watched.is_over(os.getpid())
    monkeypatch.setattr(watch, "LAST_WORDS_SECONDS", 0.0)
    assert watched.is_over(os.getpid())
    assert watched.why() is None


def test_a_machine_that_was_looked_at_has_not_aged(tmp_path: Path) -> None:
    stood = [0.0]
    watched = watch_of(tmp_path, stood=stood)
    for _ in range(3):
        stood[0] += 1.0
        watched.is_over(os.getpid())
    assert watched.cpu_seconds == 0.0
    assert watched._time.ran == 0.0
    sum(range(1_000_000))
    watched.is_over(os.getpid())
    assert watched._time.ran > 0.0
