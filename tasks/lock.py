"""The task `lock`: resolve toolchains and kernel sources again and rewrite their locks."""

from doit.exceptions import TaskFailed

from oolong.errors import SYSTEM_ERRORS, OolongError, as_oolong_error
from tasks.declare import Task
from tasks.session import current


def task_lock() -> Task:
    """resolve toolchains and kernel sources again and rewrite their locks; only=NAME,NAME for some"""
    return {"actions": [write_locks], "uptodate": [False], "io": {"capture": False}}


def write_locks() -> TaskFailed | None:
    from oolong.supply.relock import relock

    session = current()
    try:
        only = [name for name in session.variables.get("only", "").split(",") if name]
        relock(session.layout, session.spec, only=only, say=session.view.say)
    except (OolongError, *SYSTEM_ERRORS) as caught:
        error = as_oolong_error(caught)
        session.collected.error("lock", error)
        return TaskFailed(str(error), report=False)
    return None
