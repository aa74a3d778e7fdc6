"""The end of a run on the screen: verdicts to stdout, what went wrong besides to stderr."""

import json
import sys
from pathlib import Path
from typing import Any

from oolong.engine.stage import StageStatus
from oolong.printable import printable, printable_lines
from oolong.report import tables
from tasks.session import Session


def show(session: Session) -> None:
    """Tell what the run came to."""
    results = _reported(session)
    if results:
        folder = _shown(session.layout.results)
        sys.stdout.write(tables.verdicts(results))
        sys.stdout.write(tables.failures(results, folder))
        sys.stdout.write(tables.known(results))
        sys.stdout.write(tables.notes(results))
        known_issues = [entry.name for entry in session.pipeline.known_issues]
        sys.stdout.write(tables.unmatched(results, known_issues))
        sys.stdout.write(f"results: {folder}/CELL/result.json\n")
    reported = {result["cell"] for result in results}
    for task, stage in session.collected.results.items():
        if stage.status is StageStatus.FAIL and session.stages[task].subject not in reported:
            lines = [printable(line) for line in stage.lines]
            print(f"{task}: {stage.kind}", *lines, f"log: {stage.folder}/log", sep="\n  ", file=sys.stderr)
    for task, error in session.collected.errors.items():
        print(f"oolong: {task}: {error}", file=sys.stderr)
    for task, message in session.collected.crashes.items():
        print(f"oolong: {task}: a defect of oolong:\n{printable_lines(message)}", file=sys.stderr)


def _reported(session: Session) -> list[dict[str, Any]]:
    """result.json of every cell that this run reported, in the order of the matrix."""
    places = [
        session.layout.cell_results(cell.name) / "result.json"
        for cell in (session.cells if session.collected.reported else ())
    ]
    return [json.loads(place.read_bytes()) for place in places if place.parent.name in session.collected.reported]


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
