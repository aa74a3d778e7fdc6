"""A checkout opened for one request: its cells, the stages of each, and the verdict on what they came to.

What every caller needs (doit's tasks, a bisection, a benchmark, a worker on another machine) and nothing of theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from oolong.engine.stage import Stage, StageResult
from oolong.engine.store import Store
from oolong.errors import BadInput, did_you_mean
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.spec import matrix, overrides, pipeline_yaml
from oolong.spec.lock import Recorded, RecordedVictims, read_recorded, read_victims, standing_in
from oolong.spec.model import Cell, Spec
from oolong.stages.chain import Pipeline, with_needs
from oolong.supply import bundle
from oolong.verdict import known_issues_yaml
from oolong.verdict.due import check_declared, demand_of
from oolong.verdict.facts import facts_of
from oolong.verdict.judge import Declared, Verdict, judge
from oolong.verdict.known_issues import KnownIssue
from oolong.verdict.stored import check_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a checkout: whose kernel, config and patches, which cells, and where packages come from.

    File names are relative to `folder`. `cell` is a glob; `set` names a set of pipeline.yaml. `locked` forbids
    temporary locks in place of outdated ones.
    """

    kernel: str | None = None
    config: str | None = None
    patches: str | None = None
    set: str = "smoke"
    cell: str | None = None
    bundle: str | None = None
    locked: bool = False
    folder: Path = field(default_factory=Path.cwd)


def open_project(request: Request, layout: Layout, *, scope: Scope | None = None) -> "Project":
    """Open a checkout; what takes long in it ends when `scope` is cancelled. BadInput if its bundle is none; what else
    is wrong in it shows on first use."""
    if request.bundle is not None:
        archive = request.folder / Path(request.bundle).expanduser()
        bundle.check(archive)
        layout = replace(layout, bundle=archive)
    elif not request.locked:
        layout = standing_in(layout)
    return Project(request, layout, scope=scope)


class Project:
    """Everything is made on first use, so that a list of cells needs neither locks nor a kernel."""

    def __init__(self, request: Request, layout: Layout, *, scope: Scope | None = None) -> None:
        self._scope = scope
        self.request = request
        self.layout = layout

    @property
    def unlocked(self) -> bool:
        """Whether temporary locks stand in for the checkout's own."""
        return self.layout.temporary_locks is not None

    @cached_property
    def spec(self) -> Spec:
        return overrides.from_command_line(
            pipeline_yaml.load(self.layout),
            kernel=self.request.kernel,
            config=self.request.config,
            patches=self.request.patches,
            folder=self.request.folder,
        )

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells; those of the chosen set as it wants them."""
        chosen = {cell.name: cell for cell in self._chosen_set}
        return tuple(chosen.get(cell.name, cell) for cell in self._expanded)

    @cached_property
    def selected(self) -> tuple[Cell, ...]:
        """The cells of the request's set that its glob matches; if it matches none of them, those of all cells."""
        pattern = self.request.cell
        if pattern is None:
            return self._chosen_set
        return matrix.matching(self._chosen_set, pattern) or matrix.by_glob(self.cells, pattern)

    def cell(self, name: str) -> Cell:
        """The cell of a name, which exists."""
        return next(cell for cell in self.cells if cell.name == name)

    @cached_property
    def pipeline(self) -> Pipeline:
        self._check_declarations()
        return Pipeline(self.layout, self.spec, self.cells, scope=self._scope)

    def every_stage(self, cell: Cell) -> tuple[Stage, ...]:
        """The stages of a cell, with those of its build that are apart from it."""
        return self.pipeline.all_of_cell(cell.name)

    def chain(self, cell: Cell, *, upto: str | None = None) -> tuple[Stage, ...]:
        """The stages of a cell, each after what it needs; with `upto` only that stage of it and what that needs.

        BadInput if the cell has no such stage of its own or of its build."""
        if upto is None:
            return self.pipeline.of_cell(cell.name)
        stages = self.every_stage(cell)
        own = {stage.name: stage for stage in stages if stage.subject in subjects((cell,))}
        if upto not in own:
            shared = any(stage.name == upto for stage in stages)
            hint = f"one of: {', '.join(own)}" if shared else did_you_mean(upto, own)
            raise BadInput(f"{cell.name} has no stage {upto!r} of its own", where="upto", hint=hint)
        return with_needs((own[upto],))

    @cached_property
    def store(self) -> Store:
        return Store(self.layout)

    @cached_property
    def known_issues(self) -> tuple[KnownIssue, ...]:
        """The entries of known-issues.yaml."""
        return known_issues_yaml.load(self.layout)

    def verdict(self, cell: Cell, results: Mapping[str, StageResult], *, whole: bool) -> Verdict:
        """The verdict on a cell (`whole`), or on the part of it that was made; `results` are those of its chain, by
        task. Of a whole cell every stage must be there. BadInput for a result that is damaged."""
        chain = self.chain(cell)
        made = [results[stage.task] for stage in self.every_stage(cell) if stage.task in results]
        check_data(made)
        declared = Declared(
            expect=cell.expect,
            recorded=self._recorded.get(cell.build),
            victims=self._victims.get(cell.name),
            inputs=self.recorded_inputs(cell, results),
            unlocked=self.unlocked,
            known=self.known_issues,
        )
        names = {stage.name for stage in chain}
        demand = demand_of(cell, whole=whole, stages=names, recorded=declared.comparable)
        return judge(made, declared=replace(declared, demand=demand), facts=facts_of(cell.axes, made))

    def recorded_inputs(self, cell: Cell, results: Mapping[str, StageResult]) -> str | None:
        """What the digests of a cell's artifacts are recorded for: the content of all that its objects are compiled
        from, without the version of oolong's own code; None where it was not compiled."""
        compiled = next(stage for stage in self.chain(cell) if stage.task == f"compile:{cell.build}")
        inputs = {one.role: results.get(one.stage.task) for one in compiled.inputs}
        there = {role: result for role, result in inputs.items() if result is not None and result.ok}
        if there.keys() != inputs.keys():
            return None
        return replace(compiled.by_content(there), code="").digest

    def _check_declarations(self) -> None:
        """Read what the verdict will need: what is malformed is BadInput before an hour of building, not after it."""
        _ = self.known_issues, self._recorded, self._victims
        check_declared([one for config in self.spec.configs for one in config.not_due])
        check_declared([one for machine in self.spec.machines for one in machine.not_due])

    @cached_property
    def _recorded(self) -> dict[str, Recorded]:
        return read_recorded(self.layout)

    @cached_property
    def _victims(self) -> dict[str, RecordedVictims]:
        return read_victims(self.layout)

    @cached_property
    def _expanded(self) -> tuple[Cell, ...]:
        return matrix.expand(self.spec)

    @cached_property
    def _chosen_set(self) -> tuple[Cell, ...]:
        return matrix.select(self.spec, self._expanded, self.request.set)


def subjects(cells: Sequence[Cell]) -> frozenset[str]:
    """The subjects of the stages that cells do not share with others but their builds."""
    return frozenset(name for cell in cells for name in (cell.name, cell.build))
