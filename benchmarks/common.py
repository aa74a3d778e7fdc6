"""The finished stages of a cell, for benchmarks that need real kernels."""

from dataclasses import dataclass
from pathlib import Path

from oolong.engine.runner import Runner
from oolong.engine.stage import Stage, StageResult
from oolong.host.layout import Layout, default_cache
from oolong.run.here import make
from oolong.run.project import Project, Request, open_project
from oolong.spec.matrix import by_glob
from oolong.spec.model import Cell

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A cell of this checkout, with its project and who makes its stages."""

    cell: Cell
    project: Project
    runner: Runner

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.project.chain(self.cell)

    def stage(self, name: str) -> Stage:
        """The first stage of a name."""
        return next(stage for stage in self.stages if stage.name == name)

    def result(self, name: str) -> StageResult:
        """The result of the first stage of a name, made now if it has to be."""
        return self.made(self.stage(name))

    def input(self, stage: str, role: str) -> StageResult:
        """The result of what plays a role for the first stage of a name."""
        (needed,) = (one.stage for one in self.stage(stage).inputs if one.role == role)
        return self.made(needed)

    def made(self, stage: Stage) -> StageResult:
        for need in stage.needs:
            self.made(need)
        return make([stage], self.runner)[stage.task]


def open_bench(glob: str, *, config: str | None = None) -> Bench:
    """The one cell that a glob names."""
    layout = Layout(checkout=CHECKOUT, cache=default_cache())
    project = open_project(Request(config=config), layout)
    (cell,) = by_glob(project.cells, glob)
    return Bench(cell=cell, project=project, runner=Runner(project.store, own=layout.unpublished, say=print))
