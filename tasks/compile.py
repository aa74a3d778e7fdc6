"""The tasks `compile:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_compile() -> Iterator[Task]:
    yield from stage_tasks("compile", "compile every object, joined into vmlinux.o")
