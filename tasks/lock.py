"""The task `lock`: resolve toolchains and kernel sources again and rewrite their locks."""

from tasks.declare import Task, collecting
from tasks.session import current


def task_lock() -> Task:
    """resolve toolchains and kernel sources again and rewrite their locks; only=NAME,NAME for some"""
    return {"actions": [(collecting, ["lock", write_locks])], "uptodate": [False], "io": {"capture": False}}


def write_locks() -> None:
    from oolong.supply.relock import relock

    session = current()
    only = [name for name in session.variables.get("only", "").split(",") if name]
    relock(session.layout, session.project.spec, only=only, say=session.view.say, scope=session.scope)
