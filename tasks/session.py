"""What all tasks of one run of ./doit share: the project, who makes its stages, the screen, and what was collected."""

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from oolong.engine.runner import Runner
from oolong.engine.stage import Stage
from oolong.host.files import private_folder
from oolong.host.jobserver import Jobserver
from oolong.host.layout import Layout, default_cache
from oolong.host.process import Scope
from oolong.run.project import Project, open_project, subjects
from oolong.run.project import Request as ProjectRequest
from tasks.cli.commandline import Request
from tasks.cli.exit_code import Collected
from tasks.cli.view import View

# the variables that decide what a cell is
CHANGING_THE_CELL = ("kernel", "config", "patches", "bundle")
# tasks that work without the stages of cells, and so without locks or a kernel
WITHOUT_STAGES = frozenset(("lock", "cells", "test", "doctor", "museum"))
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass
class Session:
    """One run of ./doit."""

    request: Request
    project: Project
    view: View
    collected: Collected
    scope: Scope
    jobserver: Jobserver | None = None
    # whether tasks are run, not only looked at
    running: bool = False

    @property
    def variables(self) -> Mapping[str, str]:
        return self.request.variables

    @property
    def layout(self) -> Layout:
        return self.project.layout

    @property
    def jobs(self) -> int:
        return int(self.variables.get("jobs", os.cpu_count() or 1))

    def rebuilds(self, stage: Stage) -> bool:
        """Whether `again=1` asks for this stage: it means cells, not the toolchains and sources they share."""
        return self.variables.get("again") == "1" and stage.subject in self._own_subjects

    def repeat(self, cell: str) -> str:
        """What to type to rebuild one cell of this run."""
        return self.typed(cell, "again=1")

    def typed(self, cell: str, *words: str) -> str:
        """What to type to make one cell of this run."""
        own = [f"{name}={self.variables[name]}" for name in CHANGING_THE_CELL if name in self.variables]
        return shlex.join(["./doit", *words, f"cell:{cell}", *own])

    @property
    def asks_for_stages(self) -> bool:
        """Whether something of what was typed may need a stage."""
        words = self.request.words
        return not words or not (words[0] == "help" or WITHOUT_STAGES.issuperset(words))

    @property
    def bundle_to_write(self) -> Path:
        return caller_directory() / Path(self.request.target).expanduser()

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Every stage by the name of its task; none where nobody asks for one."""
        if not self.asks_for_stages:
            return {}
        return {stage.task: stage for stage in self.project.pipeline.stages()}

    @cached_property
    def runner(self) -> Runner:
        return Runner(
            self.project.store,
            own=self.layout.unpublished,
            say=self.view.say,
            jobserver=self.jobserver,
            scope=self.scope,
        )

    @cached_property
    def _own_subjects(self) -> frozenset[str]:
        return subjects(self.project.cells)


def caller_directory() -> Path:
    """Where the person stands: the wrapper changes to the checkout, and says from where."""
    return Path(os.environ.get("OOLONG_CALLER_DIR") or Path.cwd())


_current: Session | None = None


def open_session(request: Request, *, scope: Scope | None = None) -> Session:
    """Start the session that the tasks of this process belong to; `scope` is cancelled by a signal."""
    global _current
    layout = Layout(checkout=CHECKOUT, cache=default_cache())
    with suppress(OSError):
        # where it cannot be made, whoever writes there says so
        private_folder(layout.cache)
    view = View(
        sys.stderr,
        quiet=request.variables.get("quiet") == "1",
        verbose=request.variables.get("verbose") == "1",
    )
    scope = scope or Scope()
    project = open_project(asked(request), layout, scope=scope)
    _current = Session(request=request, project=project, view=view, collected=Collected(), scope=scope)
    return _current


def current() -> Session:
    """The session of this process; plain `doit` without our program gets one with nothing asked for."""
    return _current or open_session(Request(variables={}, words=()))


def asked(request: Request) -> ProjectRequest:
    """What a command line asks of the checkout."""
    variables = request.variables
    usual = "default" if "matrix" in request.words else "smoke"
    return ProjectRequest(
        kernel=variables.get("kernel"),
        config=variables.get("config"),
        patches=variables.get("patches"),
        set=variables.get("set", usual),
        cell=variables.get("cell"),
        bundle=variables.get("bundle"),
        # new locks are resolved for the checkout's own, not for those that stand in
        locked=variables.get("locked") == "1" or "lock" in request.words,
        folder=caller_directory(),
    )
