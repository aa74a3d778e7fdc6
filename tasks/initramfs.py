"""The tasks `initramfs:NAME`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_initramfs() -> Iterator[Task]:
    yield from stage_tasks("initramfs", "build the guest's init and pack it")
