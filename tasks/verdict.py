"""The tasks `verdict:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_verdict() -> Iterator[Task]:
    yield from stage_tasks("verdict", "judge all stages of a cell and what its guest said")
