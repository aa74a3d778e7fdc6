"""The tasks `modules:CELL`, for cells whose config wants modules."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_modules() -> Iterator[Task]:
    yield from stage_tasks("modules", "build the kernel's modules")
