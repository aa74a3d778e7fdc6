"""The tasks `link:CELL` and, where the stub passes are compared, `crosslink:CELL`."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_link() -> Iterator[Task]:
    yield from stage_tasks("link", "link vmlinux")


def task_crosslink() -> Iterator[Task]:
    yield from stage_tasks("crosslink", "link the same objects with the other stub pass, to compare")
