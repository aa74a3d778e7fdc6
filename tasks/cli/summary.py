"""The end of a run on the screen: verdicts to stdout, what went wrong besides to stderr."""

import sys
from pathlib import Path

from oolong.engine.stage import StageStatus
from oolong.host.output import ReaderGone
from oolong.printable import printable, printable_lines
from oolong.report import tables
from oolong.report.model import CellReport
from oolong.report.results import RESULT
from tasks.session import Session


def show(session: Session) -> None:
    """Tell what the run came to; ReaderGone if nobody reads it."""
    if session.collected.reader_gone:
        raise ReaderGone
    reports = _reported(session)
    if reports:
        folder = _shown(session.layout.results)
        sys.stdout.write(tables.verdicts(reports))
        sys.stdout.write(tables.unlocked(reports))
        sys.stdout.write(tables.failures(reports, folder))
        sys.stdout.write(tables.known(reports))
        sys.stdout.write(tables.notes(reports))
        known_issues = [entry.name for entry in session.project.known_issues]
        sys.stdout.write(tables.unmatched(reports, known_issues))
        sys.stdout.write(f"results: {folder}/CELL/{RESULT}\n")
    sys.stdout.write(tables.parts(session.collected.parts))
    for task, stage in session.collected.results.items():
        if stage.status is StageStatus.FAIL and not session.collected.is_judged(task):
            lines = [printable(line) for line in stage.lines]
            print(f"{task}: {stage.kind}", *lines, f"log: {stage.folder}/log", sep="\n  ", file=sys.stderr)
    for task, error in session.collected.errors.items():
        print(f"oolong: {task}: {error}", file=sys.stderr)
    for task, message in session.collected.crashes.items():
        print(f"oolong: {task}: a defect of oolong:\n{printable_lines(message)}", file=sys.stderr)


def _reported(session: Session) -> list[CellReport]:
    """The report of every cell that this run reported, in the order of the matrix."""
    reports = session.collected.reports
    return [reports[cell.name] for cell in (session.project.cells if reports else ()) if cell.name in reports]


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
