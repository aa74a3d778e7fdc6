"""The stage `offsets`: where the members of ftrace's structures lie in this kernel, from its own compiler.

One object of the kernel that has them all is compiled once more with debug information, in a copy of the tree; and
preprocessed once more, for macros. A kernel without it has nothing to tell.
"""

import re
from functools import partial
from importlib.metadata import version
from pathlib import Path

from oolong.binary import dwarf
from oolong.binary.structs import NOTHING, Offsets
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput
from oolong.host.files import plain_file, remove_tree, text_of, write_json
from oolong.kbuild import make as kbuild
from oolong.kbuild.log import culprits
from oolong.spec.model import Cell
from oolong.stages import compile
from oolong.stages.sandboxed import build_sandbox, copy_tree, run

OFFSETS = "offsets.json"
# what reads the object beside our own code
LIBRARY = "pyelftools"
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
MACRO = re.compile(rf"^#define ({PREFIX}\w+)[ \t]+(0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)[uUlL]*$", re.MULTILINE)


def stage(cell: Cell, *, rootfs: Stage, source: Stage, configure: Stage, compiled: Stage) -> Stage:
    recipe = Recipe(
        stage="offsets",
        argv=kbuild.offsets(cell),
        env=kbuild.FIXED_ENV,
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": source.recipe.digest,
            "configure": configure.recipe.digest,
            "compile": compiled.recipe.digest,
            "libraries": f"{LIBRARY} {version(LIBRARY)}",
        },
        code=code_digest(__name__),
    )
    return Stage(
        subject=cell.name,
        recipe=recipe,
        needs=(rootfs, source, configure, compiled),
        work=partial(_work, recipe),
        by_content={
            "rootfs": ("rootfs", "manifest"),
            "source": ("source", "content"),
            "configure": ("configure", "config"),
            "compile": ("compile", "vmlinux.o"),
        },
    )


def _work(recipe: Recipe, work: Work) -> Outcome:
    found = NOTHING
    if (work.need("compile").folder / compile.TREE / kbuild.FTRACE_OBJECT).exists():
        build = work.folder / compile.TREE
        copy_tree(work.need("compile").folder / compile.TREE, build, scope=work.scope)
        sandbox = build_sandbox(
            work, rootfs=work.need("rootfs"), source=work.need("source"), build=build, env=dict(recipe.env)
        )
        for argv in recipe.argv:
            done = run(work, sandbox, argv)
            if not done.ok:
                return failed("build", culprits(done.lines))
        try:
            found = _read(build)
        except BadInput as error:
            # the build made this file: what is wrong with it is the kernel's fault, not a person's
            return failed("build", (f"{kbuild.FTRACE_OBJECT}: {error.what}",))
        remove_tree(build)
    write_json(work.folder / OFFSETS, found.as_json())
    return Outcome(artifacts={OFFSETS: OFFSETS}, data={"structs": len(found.structs)})


def _read(build: Path) -> Offsets:
    structs, enums = dwarf.read(plain_file(build, kbuild.FTRACE_OBJECT), structs=STRUCTS, enumerators=PREFIX)
    return Offsets(structs=structs, enums=enums, constants=macros(text_of(build, kbuild.FTRACE_MACROS)))


def macros(defined: str) -> dict[str, int]:
    """The macros of ftrace that are plain numbers, in what the preprocessor lists with -dM."""
    return {match[1]: int(match[2], 0) for match in MACRO.finditer(defined)}
