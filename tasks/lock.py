"""The task `lock`: resolve toolchains and kernel sources again and rewrite their locks."""

from doit.exceptions import TaskFailed

from oolong.errors import OolongError
from tasks.declare import Task
from tasks.session import current


def task_lock() -> Task:
    """resolve the packages of all toolchains and kernel sources again and rewrite the locks"""
    return {"actions": [write_locks], "uptodate": [False], "io": {"capture": False}}


def write_locks() -> TaskFailed | None:
    from oolong.supply.relock import relock

    session = current()
    try:
        for line in relock(session.layout, session.spec):
            session.view.say(line)
    except OolongError as error:
        session.collected.error("lock", error)
        return TaskFailed(str(error), report=False)
    return None
