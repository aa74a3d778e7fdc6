"""The tasks `boot:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_boot() -> Iterator[Task]:
    yield from stage_tasks("boot", "boot the kernel in QEMU and keep what the console said")
