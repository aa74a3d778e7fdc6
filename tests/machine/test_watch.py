"""How long a machine is waited for, and how much it may say."""

import os
from pathlib import Path

import pytest

from oolong.engine.stage import Work
from oolong.host.process import Scope
from oolong.stages import boot
from tests.support import layout_in, silent


def watch_of(folder: Path, *, stood: list[float]) -> boot._Watch:
    """A watch over a machine that has stood still for the seconds that `stood` holds at the time."""
    work = Work(
        folder=folder,
        needs={},
        log=folder / "log",
        progress=silent,
        listener=None,
        layout=layout_in(folder),
        scope=Scope(),
        jobserver=None,
        jobs=1,
    )
    return boot._Watch(work, lambda chunk: None, timeout=1000, report=folder / "report", stood=lambda: stood[0])


@pytest.fixture(autouse=True)
def at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's time is read whenever it is asked for."""
    monkeypatch.setattr(boot, "READ_SECONDS", 0.0)


def test_a_report_without_end_is_a_flood(tmp_path: Path) -> None:
    watch = watch_of(tmp_path, stood=[0.0])
    assert not watch.is_over(os.getpid())
    with (tmp_path / "report").open("wb") as report:
        report.truncate(boot.LARGEST_REPORT + 1)
    assert watch.is_over(os.getpid())
    assert (watch.why() or ("",))[0] == "flood"


def test_a_machine_that_was_looked_at_has_not_aged(tmp_path: Path) -> None:
    stood = [0.0]
    watch = watch_of(tmp_path, stood=stood)
    for _ in range(3):
        stood[0] += 1.0
        watch.is_over(os.getpid())
    assert watch.cpu_seconds == 0.0
    assert watch._time.ran == 0.0
    sum(range(1_000_000))
    watch.is_over(os.getpid())
    assert watch._time.ran > 0.0
