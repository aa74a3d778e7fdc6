"""A stage as a doit task: the recipe decides whether it is up to date, stamps give the edges.

A stamp is a small file in the checkout that names the finished stage of the cache that a task stands for. doit hashes
stamps, never kernels.
"""

from collections.abc import Callable
from typing import Any

from doit.exceptions import TaskFailed
from doit.tools import config_changed

from oolong.engine.stage import Stage, StageResult, as_json
from oolong.errors import SYSTEM_ERRORS, OolongError, as_oolong_error
from oolong.host.files import write_json
from tasks.session import current

Task = dict[str, Any]


def group(stage: str, doc: str) -> Task:
    """The line that `./doit list` shows for a stage; without cells it does nothing."""
    return {"basename": stage, "name": None, "doc": doc}


def stage_task(stage: Stage) -> Task:
    layout = current().layout
    stamp = layout.stamp(stage.name, stage.subject)
    return {
        "basename": stage.name,
        "name": stage.subject,
        "doc": f"the stage {stage.name} of {stage.subject}",
        "actions": [(run_stage, [stage])],
        "file_dep": [str(layout.stamp(need.name, need.subject)) for need in stage.needs],
        "targets": [str(stamp)],
        "uptodate": [config_changed(stage.digest), (is_up_to_date, [stage])],
        "clean": [(stamp.unlink, [], {"missing_ok": True})],
        "io": {"capture": False},
    }


def is_finished(stage: Stage) -> bool:
    """True if a reusable result is cached and `again=1` was not given."""
    session = current()
    return session.runner.find(stage) is not None and not session.rebuilds(stage)


def is_up_to_date(stage: Stage) -> bool:
    """The same for doit, which then does not run it: what it came to still decides what the run comes to."""
    session = current()
    finished = is_finished(stage)
    if finished and session.running:
        session.collected.result(stage.task, session.runner.result(stage))
    return finished


def run_stage(stage: Stage) -> TaskFailed | None:
    """Make the stage or find it, and stamp it. Trouble with the world is collected for the exit code."""
    session = current()
    session.view.started(stage)
    found = is_finished(stage)
    try:
        result = session.runner.make(stage, session.view, again=session.rebuilds(stage))
        write_json(session.layout.stamp(stage.name, stage.subject), stamp_of(result))
    except (OolongError, *SYSTEM_ERRORS) as caught:
        error = as_oolong_error(caught)
        session.collected.error(stage.task, error)
        session.view.stopped(stage)
        return TaskFailed(str(error), report=False)
    session.collected.result(stage.task, result)
    if found:
        session.view.unchanged(stage, result)
    else:
        session.view.finished(stage, result)
    return None


def collecting(task: str, work: Callable[[], None]) -> TaskFailed | None:
    """Do the work of a task that is no stage; its errors are collected for the exit code."""
    try:
        work()
    except BrokenPipeError as gone:
        # raised where the run ends: a thread of doit's that dies leaves doit waiting for it
        current().collected.reader_gone = True
        return TaskFailed(str(gone), report=False)
    except (OolongError, *SYSTEM_ERRORS) as caught:
        error = as_oolong_error(caught)
        current().collected.error(task, error)
        return TaskFailed(str(error), report=False)
    return None


def stamp_of(result: StageResult) -> dict[str, Any]:
    """The content of a stamp: the stage, its digest and its outputs; no times, so that equal work gives equal
    stamps."""
    fields = as_json(result)
    return {key: fields[key] for key in ("stage", "digest", "status", "artifacts", "trees")}
