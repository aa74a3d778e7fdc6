"""A bundle in the making, and the runs of other checkouts that use the same cache."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from oolong.engine.store import Store
from oolong.errors import Interrupted
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.host.progress import Progress
from oolong.supply.gather import gather
from tests.support import layout_in


def gathering(layout: Layout, progress: Progress) -> None:
    gather([], layout.checkout / "x.tar", layout=layout, progress=progress, scope=Scope())


def test_a_run_that_starts_leaves_a_bundle_in_the_making_alone(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    seen: list[tuple[list[Path], list[Path]]] = []

    def elsewhere(text: str, done: int = 0, total: int | None = None) -> None:
        before = list(layout.scratch.iterdir())
        (before[0] / "0.pack").write_text("what was packed so far")
        Store(layout).sweep()
        seen.append((before, list(layout.scratch.rglob("*.pack"))))
        raise Interrupted("far enough")

    with pytest.raises(Interrupted):
        gathering(layout, elsewhere)
    [(folders, packs)] = seen
    assert packs == [folders[0] / "0.pack"]
    assert list(layout.scratch.iterdir()) == []


def test_what_a_killed_bundle_left_is_removed(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)

    def die(text: str, done: int = 0, total: int | None = None) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=gathering, args=(layout, die))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(layout.scratch.iterdir())) == 1
    Store(layout).sweep()
    assert list(layout.scratch.iterdir()) == []
