"""The tasks `audit:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_audit() -> Iterator[Task]:
    yield from stage_tasks("audit", "check every patch site and every stub of vmlinux.o and vmlinux")
