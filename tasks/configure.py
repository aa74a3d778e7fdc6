"""The tasks `configure:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_configure() -> Iterator[Task]:
    yield from stage_tasks("configure", "make .config and check every symbol that was asked for")
