"""Results put into build/results/ while another run works on the same cache; no process is started."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from oolong.engine.runner import SILENT
from oolong.engine.stage import Outcome, Stage, StageResult, Work
from oolong.errors import Damaged
from oolong.host.digest import file_sha256
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.run.project import Project, Request
from oolong.spec.model import Cell, Endian
from tasks import session as sessions
from tasks.cli.commandline import Request as Typed
from tasks.cli.exit_code import Collected
from tasks.cli.view import View
from tasks.report import is_reported, write_results
from tasks.session import Session
from tests.cells import cell
from tests.support import layout_in, runner_in, stage_of, write_file

CELL = cell(Endian.LE)


class OneCell(Project):
    """A project of one cell with some stages."""

    def __init__(self, layout: Layout, stages: tuple[Stage, ...]) -> None:
        super().__init__(Request(), layout)
        self._stages = stages

    def chain(self, cell: Cell, *, upto: str | None = None) -> tuple[Stage, ...]:
        del cell, upto
        return self._stages

    def every_stage(self, cell: Cell) -> tuple[Stage, ...]:
        return self.chain(cell)

    def recorded_inputs(self, cell: Cell, results: object) -> None:
        del cell, results


def compiled_files(work: Work) -> Outcome:
    """The work of a stage that leaves an object and what facts are read from."""
    made = {"vmlinux.o": "text", "config": "CONFIG_A=y\n", "release": "7.3.4\n"}
    for name, text in made.items():
        (work.folder / name).write_text(text)
    return Outcome(artifacts={name: name for name in made})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


@pytest.fixture
def compiled() -> Stage:
    return stage_of("compile", compiled_files, subject=CELL.name)


@pytest.fixture
def session(layout: Layout, compiled: Stage, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A run whose only stage is finished."""
    runner_in(layout).make(compiled, SILENT)
    session = Session(
        request=Typed(variables={}, words=()),
        project=OneCell(layout, (compiled,)),
        view=View(StringIO(), quiet=True),
        collected=Collected(),
        scope=Scope(),
    )
    monkeypatch.setattr(sessions, "_current", session)
    return session


def reported(layout: Layout) -> Path:
    """The kernel's object in the folder of results; result.json names its bytes."""
    folder = layout.cell_results(CELL.name)
    written = json.loads((folder / "result.json").read_bytes())
    assert file_sha256(folder / "vmlinux.o") == written["files"]["vmlinux.o"]
    return folder / "vmlinux.o"


def test_a_verdict_is_computed_and_collected(session: Session, layout: Layout) -> None:
    write_results(CELL)
    assert reported(layout).read_text() == "text"
    assert session.collected.reports.keys() == {CELL.name}
    assert session.collected.judged_subjects == {CELL.name}


def test_results_are_written_once(session: Session, layout: Layout) -> None:
    assert not is_reported(CELL)
    write_results(CELL)
    assert is_reported(CELL)
    (layout.cell_results(CELL.name) / "result.json").write_text("{}")
    assert not is_reported(CELL)


def test_a_verdict_that_was_reported_before_is_not_said_again(session: Session) -> None:
    screen = StringIO()
    session.view = View(screen)
    write_results(CELL)
    said = screen.getvalue()
    assert f"{CELL.name}: fail" in said, "only one of its stages was made"
    assert is_reported(CELL)
    assert screen.getvalue() == said


@pytest.mark.usefixtures("session")
def test_a_stage_that_another_run_makes_again_changes_no_report(layout: Layout, compiled: Stage) -> None:
    again = runner_in(layout).make(replace(compiled, work=write_file("vmlinux.o", "other")), SILENT, again=True)
    write_results(CELL)
    assert (again.path("vmlinux.o").read_text(), reported(layout).read_text()) == ("other", "text")


def test_damage_is_not_reported_and_what_another_run_then_published_is(
    session: Session, layout: Layout, compiled: Stage
) -> None:
    result: StageResult = session.runner.result(compiled)
    result.path("vmlinux.o").write_text("rotten")
    with pytest.raises(Damaged):
        write_results(CELL)
    assert not layout.cell_results(CELL.name).exists()
    runner_in(layout).make(compiled, SILENT)
    write_results(CELL)
    assert reported(layout).read_text() == "text"


@pytest.mark.parametrize("output", ["config", "release"])
@pytest.mark.parametrize("text", ["CONFIG_A=n\n", None])
def test_what_the_verdict_reads_is_verified_first(
    session: Session, layout: Layout, compiled: Stage, output: str, text: str | None
) -> None:
    write_results(CELL)
    damaged = session.runner.result(compiled).path(output)
    damaged.unlink()
    if text is not None:
        damaged.write_text(text)
    session.runner = runner_in(layout)
    assert not is_reported(CELL)
    with pytest.raises(Damaged, match=f"{output} is not what it was"):
        write_results(CELL)
    runner_in(layout).make(compiled, SILENT)
    write_results(CELL)
    assert is_reported(CELL)
