"""doit's reporter: hands what doit does to the view and to the collected results."""

from typing import Any

from doit.exceptions import BaseFail
from doit.task import Task

from tasks.session import current


class Reporter:
    """The interface that doit's runner calls (doit/reporter.py, ConsoleReporter)."""

    desc = "a live table on a terminal, plain lines elsewhere"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        del outstream, options  # documents go to stdout at the end, progress to stderr

    def initialize(self, tasks: dict[str, Task], selected_tasks: list[str]) -> None:
        """Called once all tasks are known."""

    def get_status(self, task: Task) -> None:
        """Called before doit looks whether a task is up to date."""

    def execute_task(self, task: Task) -> None:
        """Called in the worker; the action itself tells the view, since it knows the stage."""

    def add_success(self, task: Task) -> None:
        """Called when a task's actions are done."""

    def add_failure(self, task: Task, fail: BaseFail) -> None:
        """An OolongError was collected by the action that met it (`report` is off); the rest nobody foresaw."""
        if fail.report and type(fail).__name__ != "UnmetDependency":
            current().collected.crash(task.name, fail.get_msg())

    def skip_uptodate(self, task: Task) -> None:
        """The stage is finished already: its result counts for the exit code all the same."""
        session = current()
        stage = session.stages.get(task.name)
        if stage and (result := session.runner.find(stage)):
            session.collected.result(stage.task, result)
            session.view.unchanged(stage, result)

    def skip_ignore(self, task: Task) -> None:
        current().view.say(f"{task.name}: ignored, as `./doit ignore` asked")

    def cleanup_error(self, exception: BaseFail) -> None:
        current().collected.crash("clean-up", exception.get_msg())

    def runtime_error(self, msg: str) -> None:
        current().collected.crash("doit", msg)

    def teardown_task(self, task: Task) -> None:
        """No task of ours has a teardown."""

    def complete_run(self) -> None:
        """The summary is the program's to give."""
