"""The tasks `offsets:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_offsets() -> Iterator[Task]:
    yield from stage_tasks("offsets", "ask the kernel's compiler where the members of ftrace's structures lie")
