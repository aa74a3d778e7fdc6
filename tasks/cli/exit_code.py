"""What a run came to: the results of the stages that it touched and the errors that it met → the exit code."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from oolong.audit.check import CheckStatus
from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import BadInput, Damaged, Interrupted, Missing, OolongError
from oolong.verdict.judge import Verdict

ALL_PASS, CELL_FAILED, BAD_INPUT, INFRASTRUCTURE, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(slots=True)
class Collected:
    """Filled from doit's worker threads, read at the end."""

    results: dict[str, StageResult] = field(default_factory=dict)
    errors: dict[str, OolongError] = field(default_factory=dict)
    crashes: dict[str, str] = field(default_factory=dict)
    failures: set[str] = field(default_factory=set)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    judged_subjects: set[str] = field(default_factory=set)
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

    def reported(self, cell: str, verdict: Verdict, subjects: Iterable[str]) -> None:
        """The result.json of a cell stands as of this run; the verdict speaks for the stages of its `subjects`."""
        with self._guard:
            self.verdicts[cell] = verdict
            self.judged_subjects.update(subjects)

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
        if errors or self.crashes:
            return INFRASTRUCTURE
        if self.failures or any(verdict.status == CheckStatus.FAIL for verdict in self.verdicts.values()):
            return CELL_FAILED
        unjudged = (result for task, result in self.results.items() if not self._is_judged(task))
        return CELL_FAILED if any(result.status == StageStatus.FAIL for result in unjudged) else ALL_PASS

    def _is_judged(self, task: str) -> bool:
        """Whether a stage belongs to a cell with a verdict, which may know its failure."""
        return task.partition(":")[2] in self.judged_subjects
