"""The stage `stubs`: vmlinux.o → how many stubs, the .S that reserves them, and what the tree's own script says."""

from functools import partial
from pathlib import Path

from oolong import elf, kbuild, kconfig
from oolong import stubs as counting
from oolong.buildlog import culprits
from oolong.codeversion import code_digest
from oolong.errors import BadInput
from oolong.model import Cell, StubPass
from oolong.sandbox import BUILD, SRC, Mount, Sandbox
from oolong.stage import Outcome, Recipe, Stage, Work
from oolong.stages.inside import run
from oolong.store import failed, write_json

OUT = "/out"
OUT_OF_LINE, RESERVE = "PPC_FTRACE_OUT_OF_LINE", "PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"


def stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, template: Path) -> Stage:
    recipe = Recipe(
        stage="stubs",
        inputs={"compile": compiled.recipe.digest, "stub_pass": cell.stub_pass},
        code=code_digest(("oolong.stages.stubs",), files=(template,)),
    )
    return Stage(
        subject=cell.name, recipe=recipe, needs=(rootfs, source, compiled), work=partial(_work, cell)
    )
