"""Makes stages in this process, one after the other: what a bisection, a benchmark or a worker does with a cell."""

from collections.abc import Iterable, Mapping

from oolong.engine.runner import SILENT, Observer, Runner
from oolong.engine.stage import Stage, StageResult
from oolong.report.model import CellReport
from oolong.report.results import CellResults
from oolong.run.project import Project
from oolong.spec.model import Cell
from oolong.verdict.facts import read_of
from oolong.verdict.judge import Verdict


def make(stages: Iterable[Stage], runner: Runner, *, observer: Observer = SILENT) -> dict[str, StageResult]:
    """The results of stages by task; they come in an order in which each follows what it needs."""
    results = {}
    for stage in stages:
        found = runner.find(stage)
        observer.started(stage)
        results[stage.task] = result = runner.make(stage, observer)
        (observer.unchanged if found else observer.finished)(stage, result)
    return results


def make_cell(
    project: Project, cell: Cell, runner: Runner, *, upto: str | None = None, observer: Observer = SILENT
) -> CellReport:
    """Make a cell, up to a stage where that is given, and report what it came to."""
    stages = project.chain(cell, upto=upto)
    results = make(stages, runner, observer=observer)
    return CellResults(
        cell=cell,
        stages=[(stage, results[stage.task]) for stage in stages],
        verdict=verified_verdict(project, cell, results, runner, whole=upto is None),
        unlocked=project.unlocked,
        repeat="",
    ).report()


def verified_verdict(
    project: Project, cell: Cell, results: Mapping[str, StageResult], runner: Runner, *, whole: bool
) -> Verdict:
    """The verdict on a cell (`whole`), or on the part of it that was made; Damaged if what it reads of the cache is not
    what was published."""
    made = [stage for stage in project.every_stage(cell) if stage.task in results]
    with runner.reading(made):
        for stage in made:
            runner.verify_result(results[stage.task], read_of(stage.name))
        return project.verdict(cell, results, whole=whole)
