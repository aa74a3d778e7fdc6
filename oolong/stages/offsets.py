"""The stage `offsets`: where the members of ftrace's structures lie in this kernel, from its own compiler.

One object of the kernel that has them all is compiled once more with debug information, in a copy of the tree; and
preprocessed once more, for macros. A kernel without it has nothing to tell.
"""

import re
from functools import partial
from pathlib import Path

from oolong.binary import dwarf
from oolong.binary.structs import NOTHING, Offsets
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput, Kind
from oolong.host.files import plain_file, text_of, write_json
from oolong.host.sandbox import BUILD, SRC
from oolong.kbuild import make as kbuild
from oolong.spec.model import Cell
from oolong.stages.building import build_failed, build_sandbox, build_view, copy_tree
from oolong.stages.limited import limited, run
from oolong.stages.outputs import CONFIG, OBJECTS, OFFSETS, ROOT, TREE

FOLDER = "tree"
VIEW = build_view()
STRUCTS = frozenset(
    {
        "dyn_arch_ftrace",
        "dyn_ftrace",
        "ftrace_func_entry",
        "ftrace_hash",
        "ftrace_ops",
        "ftrace_ops_hash",
        "ftrace_page",
        "hlist_head",
        "hlist_node",
        "list_head",
        "mod_arch_specific",
        "module",
        "module_memory",
    }
)
PREFIX = "FTRACE_"
# as many digits as 64 bits have: what is longer is no number of a kernel
MACRO = re.compile(
    rf"^#define ({PREFIX}\w+)[ \t]+(0[xX][0-9a-fA-F]{{1,16}}|0|[1-9][0-9]{{0,19}})[uUlL]*$", re.MULTILINE
)


def stage(cell: Cell, *, rootfs: Stage, source: Stage, configure: Stage, compiled: Stage) -> Stage:
    recipe = Recipe(stage="offsets", argv=kbuild.offsets(cell), sandbox=VIEW.as_json(), code=code_digest(__name__))
    inputs = (
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=TREE),
        Input(role="configure", stage=configure, output=CONFIG),
        Input(role="compile", stage=compiled, output=OBJECTS),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell))


@limited
def _work(cell: Cell, work: Work) -> Outcome:
    found = NOTHING
    if (work.path("compile") / kbuild.FTRACE_OBJECT).exists():
        build = work.folder / FOLDER
        copy_tree(work, "compile", build)
        sandbox = build_sandbox(work, VIEW, {SRC: work.path("source"), BUILD: build})
        for argv in work.stage.recipe.argv:
            done = run(work, sandbox, argv, timeout=cell.build_timeout)
            if not done.ok:
                return build_failed(work, done)
        try:
            found = _read(build)
        except BadInput as error:
            # the build made this file: what is wrong with it is the kernel's fault, not a person's
            return failed(Kind.BUILD, (f"{kbuild.FTRACE_OBJECT}: {error.what}",))
    write_json(work.folder / OFFSETS, found.as_json())
    return Outcome(artifacts={OFFSETS: OFFSETS}, data={"structs": len(found.structs)})


def _read(build: Path) -> Offsets:
    structs, enums = dwarf.read(plain_file(build, kbuild.FTRACE_OBJECT), structs=STRUCTS, enumerators=PREFIX)
    return Offsets(structs=structs, enums=enums, constants=macros(text_of(build, kbuild.FTRACE_MACROS)))


def macros(defined: str) -> dict[str, int]:
    """The macros of ftrace that are plain numbers, in what the preprocessor lists with -dM."""
    return {match[1]: int(match[2], 0) for match in MACRO.finditer(defined)}
