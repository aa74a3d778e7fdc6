"""A run that finds temporary locks tries those of the checkout first; no process is started, and no mirror asked."""

import hashlib
from io import StringIO
from pathlib import Path

import pytest

from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.run.project import Request, open_project
from tasks.cli.commandline import Request as Typed
from tasks.cli.exit_code import Collected
from tasks.cli.view import View
from tasks.locks import try_locks_again
from tasks.session import Session
from tests.temporary_locks import CONTENT, with_temporary_locks


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return with_temporary_locks(tmp_path)


def session_of(layout: Layout, screen: StringIO, *words: str) -> Session:
    return Session(
        request=Typed(variables={}, words=words),
        project=open_project(Request(), layout),
        view=View(screen),
        collected=Collected(),
        scope=Scope(),
    )


def put_into_the_cache(layout: Layout) -> None:
    file = layout.download(hashlib.sha256(CONTENT).hexdigest())
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)


def test_the_locks_hold_again_once_what_they_name_is_there(layout: Layout) -> None:
    put_into_the_cache(layout)
    session = session_of(layout, screen := StringIO())
    assert session.project.unlocked
    try_locks_again(session)
    assert (session.project.unlocked, layout.unlocked.exists()) == (False, False)
    assert "the locks hold again" in screen.getvalue()


def test_temporary_locks_stand_in_as_long_as_they_must_and_are_told_of(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("OOLONG_MIRROR", f"file://{tmp_path_factory.mktemp('mirror')}")
    session = session_of(layout, screen := StringIO())
    try_locks_again(session)
    assert (session.project.unlocked, layout.unlocked.exists()) == (True, True)
    assert "TEMPORARY LOCKS STAND IN" in screen.getvalue()


def test_a_task_that_needs_no_stage_tries_nothing(layout: Layout) -> None:
    put_into_the_cache(layout)
    session = session_of(layout, screen := StringIO(), "doctor")
    try_locks_again(session)
    assert (session.project.unlocked, screen.getvalue()) == (True, "")
