"""The tasks `report:CELL`: results of a cell where a person looks for them, in build/results/CELL/."""

from collections.abc import Iterator
from functools import partial

from oolong.errors import SYSTEM_ERRORS, OolongError
from oolong.report.results import RESULT, CellResults, publish, read
from oolong.spec.model import Cell
from oolong.verdict.judge import Verdict
from tasks.declare import Task, collecting, group
from tasks.session import current


def task_report() -> Iterator[Task]:
    yield group("report", "put a cell's verdict, kernel and logs into build/results/")
    session = current()
    for cell in session.cells if session.stages else ():
        stamps = [str(session.layout.stamp(stage.name, stage.subject)) for stage in session.pipeline.of_cell(cell.name)]
        yield {
            "basename": "report",
            "name": cell.name,
            "doc": f"the results of {cell.name}",
            "actions": [(collecting, [f"report:{cell.name}", partial(write_results, cell)])],
            "file_dep": stamps,
            "uptodate": [(is_told, [cell])],
            "targets": [str(session.layout.cell_results(cell.name) / RESULT)],
            "clean": True,
            "io": {"capture": False},
        }


def write_results(cell: Cell) -> None:
    session = current()
    # nobody publishes anew what is told of and copied here
    with session.store.reading(session.pipeline.of_cell(cell.name)):
        results = _results(cell)
        session.store.check_artifacts(result for _, result in results.stages)
        publish(results, session.layout.cell_results(cell.name))
    session.collected.told(cell.name)


def is_told(cell: Cell) -> bool:
    """Whether result.json says what it would say now; more than the stamps goes into it."""
    session = current()
    try:
        same = read(session.layout.cell_results(cell.name)) == _results(cell).report()
    except (OolongError, *SYSTEM_ERRORS, ValueError):
        return False
    if same:
        session.collected.told(cell.name)
    return same


def _results(cell: Cell) -> CellResults:
    session = current()
    stages = [(stage, session.store.result(stage)) for stage in session.pipeline.of_cell(cell.name)]
    (judged,) = (result for stage, result in stages if stage.name == "verdict")
    return CellResults(
        cell=cell,
        stages=stages,
        verdict=Verdict.from_json(judged.data),
        unlocked=session.layout.temporary_locks is not None,
        repeat=session.repeat(cell.name),
    )
