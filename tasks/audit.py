"""The tasks `audit-object:CELL` and `audit-image:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_audit_object() -> Iterator[Task]:
    yield from stage_tasks("audit-object", "check every patch site of vmlinux.o, and the stubs that they need")


def task_audit_image() -> Iterator[Task]:
    yield from stage_tasks("audit-image", "check every patch site and every stub of vmlinux")
