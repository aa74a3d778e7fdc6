"""The tasks `report:CELL`: the verdict on a cell, and its results in build/results/CELL/."""

from collections.abc import Iterator
from functools import partial

from oolong.engine.damage import damage
from oolong.errors import SYSTEM_ERRORS, OolongError
from oolong.report.model import CellReport
from oolong.report.results import FILES, RESULT, CellResults, is_told, publish
from oolong.spec.model import Cell
from oolong.verdict.facts import read_of
from tasks.declare import Task, collecting, group
from tasks.session import current


def task_report() -> Iterator[Task]:
    yield group("report", "judge a cell and put its verdict, kernel and logs into build/results/")
    session = current()
    for cell in session.project.cells if session.stages else ():
        chain = session.project.chain(cell)
        yield {
            "basename": "report",
            "name": cell.name,
            "doc": f"the verdict and results of {cell.name}",
            "actions": [(collecting, [f"report:{cell.name}", partial(write_results, cell)])],
            "file_dep": [str(session.layout.stamp(stage.name, stage.subject)) for stage in chain],
            "uptodate": [(is_reported, [cell])],
            "targets": [str(session.layout.cell_results(cell.name) / RESULT)],
            "clean": True,
            "io": {"capture": False},
        }


def write_results(cell: Cell) -> None:
    session = current()
    chain = session.project.chain(cell)
    # what is read and copied here is neither discarded nor made by another run meanwhile
    with session.runner.reading(chain):
        for stage in chain:
            copied = [output for name, output in FILES.values() if name == stage.name]
            session.runner.verify(stage, [*copied, *read_of(stage.name)])
        results = _results(cell)
        publish(results, session.layout.cell_results(cell.name))
    _collect(cell, results.report(), anew=True)


def is_reported(cell: Cell) -> bool:
    """Whether the folder of results is what it would be now: more than the stamps goes into it.

    Damage is left for `write_results` to report: nobody holds the locks here."""
    session = current()
    try:
        if _is_damaged(cell):
            return False
        results = _results(cell)
        same = is_told(results, session.layout.cell_results(cell.name), session.runner.store.stat_cache)
    except (OolongError, *SYSTEM_ERRORS, ValueError):
        return False
    if same:
        _collect(cell, results.report(), anew=False)
    return same


def _is_damaged(cell: Cell) -> bool:
    """Whether the cache has something else than was published for a verdict to read."""
    runner = current().runner
    chain = current().project.chain(cell)
    return any(damage(runner.result(stage), read_of(stage.name), runner.store.stat_cache) for stage in chain)


def _collect(cell: Cell, report: CellReport, *, anew: bool) -> None:
    session = current()
    session.collected.reported(report)
    session.view.judged(cell, report.verdict, anew=anew)


def _results(cell: Cell) -> CellResults:
    session = current()
    made = {stage.task: session.runner.result(stage) for stage in session.project.chain(cell)}
    return CellResults(
        cell=cell,
        stages=[(stage, made[stage.task]) for stage in session.project.chain(cell)],
        verdict=session.project.verdict(cell, made, whole=True),
        unlocked=session.project.unlocked,
        repeat=session.repeat(cell.name),
    )
