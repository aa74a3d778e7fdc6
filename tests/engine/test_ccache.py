"""What builds that are not trusted put into their ccache besides results."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.engine.ccache import LOCK
from oolong.engine.runner import SILENT
from oolong.engine.stage import Outcome, Stage, Work
from oolong.errors import Infrastructure
from oolong.host.filelock import shared
from oolong.host.layout import Layout
from tests.support import layout_in, runner_in, stage_of, very_deep


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


def leaves(size: int, *, vouched: bool = False, name: str = "one") -> Stage:
    """A stage that leaves a file of holes in the ccache."""

    def work(work: Work) -> Outcome:
        folder = work.layout.untrusted_ccache
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        os.truncate(folder / name, size)
        return Outcome()

    return replace(stage_of("compile", work, version=name), vouched=vouched)


def made(layout: Layout, stage: Stage) -> list[str]:
    """What was told while it was made."""
    told: list[str] = []
    assert runner_in(layout, say=told.append).make(stage, SILENT).ok
    return told


def test_a_ccache_that_holds_more_than_any_is_removed_and_told(layout: Layout) -> None:
    assert made(layout, leaves(19 << 30)) == []
    assert layout.untrusted_ccache.exists()
    told = made(layout, leaves(2 << 30, name="two"))
    assert told == [
        "ccache-untrusted is removed, since it is no ccache any more: the build left files of more than 20480 MiB"
    ]
    assert not layout.untrusted_ccache.exists()


def test_folders_without_end_in_a_ccache_are_removed(layout: Layout) -> None:
    layout.cache.mkdir()
    with very_deep(layout.untrusted_ccache):
        (told,) = made(layout, leaves(0))
        assert "folders more than 64 deep" in told
        assert not layout.untrusted_ccache.exists()


def test_what_others_work_with_stays_until_the_last_of_them_has_ended(layout: Layout) -> None:
    with shared(layout.lock(LOCK), waiting=print):
        assert made(layout, leaves(21 << 30)) == []
        assert layout.untrusted_ccache.exists()
    assert len(made(layout, leaves(0, name="two"))) == 1
    assert not layout.untrusted_ccache.exists()


def test_a_stage_that_ends_in_trouble_is_looked_after_too(layout: Layout) -> None:
    stage = leaves(21 << 30)
    work: Callable[[Work], Outcome] = stage.work

    def trouble(given: Work) -> Outcome:
        work(given)
        raise Infrastructure("the disk is full")

    with pytest.raises(Infrastructure):
        made(layout, replace(stage, work=trouble))
    assert not layout.untrusted_ccache.exists()


def test_a_trusted_stage_does_not_write_there_and_does_not_look(layout: Layout) -> None:
    assert made(layout, leaves(21 << 30, vouched=True)) == []
    assert layout.untrusted_ccache.exists()
