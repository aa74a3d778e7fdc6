"""What all tasks of one run share: what was asked for, the cells, their stages, the store, the view."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from oolong.engine.stage import Stage
from oolong.engine.store import Store
from oolong.host.jobserver import Jobserver
from oolong.host.layout import Layout, default_cache
from oolong.host.process import Scope
from oolong.spec import matrix, overrides, pipeline_yaml
from oolong.spec.lock import standing_in
from oolong.spec.model import Cell, Spec
from oolong.stages.chain import Pipeline
from oolong.supply import bundle
from tasks.cli.commandline import Request
from tasks.cli.exit_code import Collected
from tasks.cli.view import View

# the variables that decide what a cell is
CHANGING_THE_CELL = ("kernel", "config", "patches", "bundle")
# tasks that work without the stages of cells, and so without locks or a kernel
WITHOUT_STAGES = frozenset(("lock", "cells", "test", "doctor"))
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass
class Session:
    """One run of ./doit. Everything is made on first use, so that `help` needs no locks and no kernel."""

    request: Request
    layout: Layout
    view: View
    collected: Collected
    scope: Scope = field(default_factory=Scope)
    jobserver: Jobserver | None = None

    @property
    def variables(self) -> Mapping[str, str]:
        return self.request.variables

    @property
    def jobs(self) -> int:
        return int(self.variables.get("jobs", os.cpu_count() or 1))

    def anew(self, stage: Stage) -> bool:
        """Whether `again=1` asks for this stage: it means cells, not the toolchains and sources they share."""
        return self.variables.get("again") == "1" and stage.subject in self.pipeline.cell_names

    def repeat(self, cell: str) -> str:
        """What to type to make one cell of this run anew."""
        return self.typed(cell, "again=1")

    def typed(self, cell: str, *words: str) -> str:
        """What to type to make one cell of this run."""
        own = [f"{name}={self.variables[name]}" for name in CHANGING_THE_CELL if name in self.variables]
        return shlex.join(["./doit", *words, f"cell:{cell}", *own])

    @property
    def bundle_to_write(self) -> Path:
        return caller_directory() / Path(self.request.target).expanduser()

    @cached_property
    def spec(self) -> Spec:
        return overrides.from_command_line(
            pipeline_yaml.load(self.layout),
            kernel=self.variables.get("kernel"),
            config=self.variables.get("config"),
            patches=self.variables.get("patches"),
            folder=caller_directory(),
        )

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells; those of the chosen set as it wants them."""
        chosen = {cell.name: cell for cell in self._chosen_set}
        return tuple(chosen.get(cell.name, cell) for cell in matrix.expand(self.spec))

    @cached_property
    def selected(self) -> tuple[Cell, ...]:
        """The cells of `set=`; without it of `smoke`, or of `default` for `matrix`; of those, what `cell=` matches, and
        where that is none, what it matches among all cells."""
        pattern = self.variables.get("cell")
        if pattern is None:
            return self._chosen_set
        return matrix.matching(self._chosen_set, pattern) or matrix.by_glob(self.cells, pattern)

    @cached_property
    def _chosen_set(self) -> tuple[Cell, ...]:
        usual = "default" if "matrix" in self.request.words else "smoke"
        return matrix.select(self.spec, matrix.expand(self.spec), self.variables.get("set", usual))

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.layout, self.spec, self.cells)

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Every stage by the name of its task; none where nobody asks for one."""
        words = self.request.words
        if words and (words[0] == "help" or WITHOUT_STAGES.issuperset(words)):
            return {}
        return {stage.task: stage for stage in self.pipeline.stages()}

    @cached_property
    def store(self) -> Store:
        return Store(self.layout, say=self.view.say, scope=self.scope, jobserver=self.jobserver, jobs=self.jobs)


def caller_directory() -> Path:
    """Where the person stands: the wrapper changes to the checkout, and says from where."""
    return Path(os.environ.get("OOLONG_CALLER_DIR") or Path.cwd())


_current: Session | None = None


def open_session(request: Request, *, scope: Scope | None = None) -> Session:
    """Start the session that the tasks of this process belong to; what it starts is cancelled with `scope`."""
    global _current
    layout = Layout(checkout=CHECKOUT, cache=default_cache())
    if "bundle" in request.variables:
        archive = caller_directory() / Path(request.variables["bundle"]).expanduser()
        bundle.check(archive)
        layout = replace(layout, bundle=archive)
    elif request.variables.get("locked") != "1" and "lock" not in request.words:
        layout = standing_in(layout)
    view = View(
        sys.stderr,
        quiet=request.variables.get("quiet") == "1",
        verbose=request.variables.get("verbose") == "1",
    )
    _current = Session(request=request, layout=layout, view=view, collected=Collected(), scope=scope or Scope())
    return _current


def current() -> Session:
    """The session of this process; plain `doit` without our program gets one with nothing asked for."""
    return _current or open_session(Request(variables={}, words=()))
