"""The finished stages of a cell, for benchmarks that need real kernels."""

from dataclasses import dataclass
from pathlib import Path

from oolong.engine.stage import Stage, StageResult
from oolong.engine.store import Store
from oolong.host.layout import Layout, default_cache
from oolong.spec.matrix import by_glob, expand
from oolong.spec.model import Cell
from oolong.spec.overrides import from_command_line
from oolong.spec.pipeline_yaml import load
from oolong.stages.chain import Pipeline

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A cell of this checkout, with its stages and the store that holds them."""

    cell: Cell
    stages: tuple[Stage, ...]
    store: Store

    def folder(self, stage: str) -> Path:
        """Where the first stage of a name lies, made now if it has to be."""
        return self._made(next(made for made in self.stages if made.name == stage)).folder

    def _made(self, stage: Stage) -> StageResult:
        for need in stage.needs:
            self._made(need)
        return self.store.make(stage, lambda text, done=0, total=None: None)


def open_bench(glob: str, *, config: str | None = None) -> Bench:
    """The one cell that a glob names."""
    layout = Layout(checkout=CHECKOUT, cache=default_cache())
    spec = from_command_line(load(layout), config=config, folder=Path.cwd())
    cells = expand(spec)
    (cell,) = by_glob(cells, glob)
    return Bench(cell=cell, stages=Pipeline(layout, spec, cells).of_cell(cell.name), store=Store(layout, say=print))
