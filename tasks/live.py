"""The tasks `live:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_live() -> Iterator[Task]:
    yield from stage_tasks("live", "check what the guest's memory held, and what the guest said")
