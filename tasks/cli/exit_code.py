"""What a run came to: the results of the stages that it touched and the errors that it met → the exit code."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import BadInput, BadOutput, Damaged, Interrupted, Missing, OolongError
from oolong.report.model import CellReport
from oolong.report.tables import Part

ALL_PASS, CELL_FAILED, BAD_INPUT, INFRASTRUCTURE, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(slots=True)
class Collected:
    """Filled from doit's worker threads, read at the end."""

    results: dict[str, StageResult] = field(default_factory=dict)
    errors: dict[str, OolongError] = field(default_factory=dict)
    crashes: dict[str, str] = field(default_factory=dict)
    failures: set[str] = field(default_factory=set)
    reports: dict[str, CellReport] = field(default_factory=dict)
    judged_subjects: set[str] = field(default_factory=set)
    parts: list[Part] = field(default_factory=list)
    judged_tasks: set[str] = field(default_factory=set)
    reader_gone: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def result(self, task: str, result: StageResult) -> None:
        with self._guard:
            self.results[task] = result

    def error(self, task: str, error: OolongError) -> None:
        with self._guard:
            self.errors[task] = error

    def crash(self, task: str, message: str) -> None:
        """An exception that nobody foresaw: a defect of oolong, told with its traceback."""
        with self._guard:
            self.crashes[task] = message

    def failed(self, task: str) -> None:
        """A task that is no stage (the tests) did not succeed."""
        with self._guard:
            self.failures.add(task)

    def reported(self, report: CellReport) -> None:
        """The result.json of a cell stands as of this run; its verdict speaks for the stages of the cell and its
        build."""
        with self._guard:
            self.reports[report.cell] = report
            self.judged_subjects.update((report.cell, report.build))

    def judged(self, part: Part, *, tasks: Iterable[str]) -> None:
        """Some stages of a cell that was not reported have a verdict of their own."""
        with self._guard:
            self.parts.append(part)
            self.judged_tasks.update(tasks)

    @property
    def absent(self) -> frozenset[str]:
        """The paths of locked packages that no mirror has any more."""
        return frozenset(error.path for error in self.errors.values() if isinstance(error, Missing))

    @property
    def damaged(self) -> bool:
        """Whether something in the cache was not what it was, and is gone now."""
        return any(isinstance(error, Damaged) for error in self.errors.values())

    def exit_code(self) -> int:
        """0 all pass or are known, 1 a cell failed, 2 bad input, 3 infrastructure, 130 interrupted; the graver one
        wins, and what is wrong with the input explains whatever followed from it."""
        errors = list(self.errors.values())
        if any(isinstance(error, Interrupted) for error in errors):
            return INTERRUPTED
        if any(isinstance(error, BadInput) for error in errors):
            return BAD_INPUT
        broken = [error for error in errors if isinstance(error, BadOutput)]
        if len(broken) < len(errors) or self.crashes:
            return INFRASTRUCTURE
        verdicts_failed = [one.failed for one in self.reports.values()] + [one.failed for one in self.parts]
        if broken or self.failures or any(verdicts_failed):
            return CELL_FAILED
        unjudged = (result for task, result in self.results.items() if not self.is_judged(task))
        return CELL_FAILED if any(result.status == StageStatus.FAIL for result in unjudged) else ALL_PASS

    def is_judged(self, task: str) -> bool:
        """Whether a stage belongs to a cell, or to a part of one, with a verdict, which may know its failure."""
        return task in self.judged_tasks or task.partition(":")[2] in self.judged_subjects
