"""The tasks `source:NAME`: a kernel's source, unpacked once, with fixed times and modes."""

from collections.abc import Iterator

from tasks.declare import Task, stage_tasks


def task_source() -> Iterator[Task]:
    yield from stage_tasks("source", "unpack or snapshot a kernel source")
