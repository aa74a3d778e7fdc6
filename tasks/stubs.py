"""The tasks `stubs:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_stubs() -> Iterator[Task]:
    yield from stage_tasks("stubs", "count the patch sites of vmlinux.o and reserve their stubs")
