"""The tasks `rootfs:NAME`: what a sandbox sees as /usr."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_rootfs() -> Iterator[Task]:
    yield from stage_tasks("rootfs", "fetch and unpack the locked packages that a sandbox is made of")
