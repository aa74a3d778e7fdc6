"""The verdict on a part of a cell, where its audits were made and it was not reported: `./doit audit-image:CELL`."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from oolong.engine.stage import Stage, StageResult
from oolong.errors import SYSTEM_ERRORS, OolongError, as_oolong_error
from oolong.report.tables import Part
from oolong.run.here import verified_verdict
from oolong.spec.model import Cell
from oolong.stages.chain import with_needs
from oolong.verdict.judge import CHECKING
from tasks.session import Session


def judge_parts(session: Session) -> None:
    """Judge what was audited in this run as far as it came; trouble with what is read is collected."""
    for cell, stages in _audited(session):
        results = {stage.task: result for stage in stages if (result := session.runner.find(stage))}
        if len(results) < len(stages):
            continue  # the run was cut short, which says more
        try:
            session.collected.judged(_part(session, cell, stages, results), tasks=results)
        except (OolongError, *SYSTEM_ERRORS) as caught:
            session.collected.error(stages[-1].task, as_oolong_error(caught))


def _part(session: Session, cell: Cell, stages: tuple[Stage, ...], results: Mapping[str, StageResult]) -> Part:
    return Part(
        cell=cell.name,
        audits=tuple(stage.name for stage in stages if stage.name in CHECKING),
        verdict=verified_verdict(session.project, cell, results, session.runner, whole=False),
    )


def _audited(session: Session) -> Iterator[tuple[Cell, tuple[Stage, ...]]]:
    """Each cell whose audit was asked for by name and not reported, with the stages of that part; where several share a
    build that alone was audited, the first."""
    audited = {task for task in session.collected.results if _is_asked_for(task, session.request.words)}
    left = {task for task in audited if not session.collected.is_judged(task)}
    for cell in session.project.cells if left else ():
        audits = [stage for stage in session.project.every_stage(cell) if stage.task in left]
        if audits:
            left.difference_update(stage.task for stage in audits)
            yield cell, with_needs(audits)


def _is_asked_for(task: str, words: Iterable[str]) -> bool:
    """Whether a task is an audit that a person named, or its stage: other tasks need audits, and say what they find."""
    stage = task.partition(":")[0]
    return stage in CHECKING and any(word == stage or fnmatchcase(task, word) for word in words)
