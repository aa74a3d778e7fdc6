"""The stage `stubs`: vmlinux.o → how many stubs, the .S that reserves them, and what the tree's own script says.

A difference between the two is a failure that does not stop the cell: link and boot then show what it leads to.
"""

from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput, BadOutput
from oolong.host.files import plain_file, remove_tree, text_of, write_json
from oolong.host.sandbox import BUILD, SRC, Mount, Sandbox
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.spec.model import Cell
from oolong.stages import compile
from oolong.stages.sandboxed import run
from oolong.stubs import counting

OUT_OF_LINE, RESERVE = "PPC_FTRACE_OUT_OF_LINE", "PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"
SOURCE, COUNTS, THEIRS = "vmlinux.arch.S", "stubs.json", "tree-script.S"
NOTHING = "/* out-of-line ftrace is off in this configuration */\n"


def stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, template: Path) -> Stage:
    recipe = Recipe(
        stage="stubs",
        argv=(kbuild.tree_script(cell, reserve="RESERVE"),),
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": source.recipe.digest,
            "compile": compiled.recipe.digest,
        },
        code=code_digest(__name__, files=(template,)),
    )
    return Stage(
        subject=cell.name,
        recipe=recipe,
        needs=(rootfs, source, compiled),
        work=partial(_work, cell, template.read_text()),
    )


def _work(cell: Cell, template: str, work: Work) -> Outcome:
    built = work.need("compile").folder / compile.TREE
    config = kconfig.parse(text_of(built, ".config"), where=".config")
    if config.get(OUT_OF_LINE) != "y":
        (work.folder / SOURCE).write_text(NOTHING)
        return Outcome(artifacts={SOURCE: SOURCE}, data={"out_of_line": False})
    if not config.get(RESERVE, "").isdecimal():
        return failed("stub-audit", (f".config has no number in CONFIG_{RESERVE}",))
    reserve = int(config[RESERVE])
    try:
        sites = counting.read_sites(plain_file(built, "vmlinux.o"))
    except BadInput as error:
        # the build made this file: what is wrong with it is the kernel's fault, not a person's
        return failed("stub-audit", (f"vmlinux.o: {error.what}",))
    planned = counting.plan(sites, reserve)
    counts = counting.document(sites, planned)
    (work.folder / SOURCE).write_text(counting.render(planned, template))
    write_json(work.folder / COUNTS, counts)
    artifacts = {SOURCE: SOURCE, COUNTS: COUNTS}
    differences = _compare(cell, planned, work)
    if (work.folder / THEIRS).exists():
        artifacts[THEIRS] = THEIRS
    data = {"out_of_line": True, **counts}
    if differences:
        return failed("stub-audit", differences, artifacts=artifacts, data=data, blocks=False)
    return Outcome(artifacts=artifacts, data=data)


def _compare(cell: Cell, planned: counting.StubPlan, work: Work) -> tuple[str, ...]:
    """What the tree's own script says otherwise about the same vmlinux.o."""
    output = work.folder / "out"
    output.mkdir()
    sandbox = Sandbox(
        rootfs=work.need("rootfs").folder / "root",
        mounts=(
            Mount(host=work.need("source").folder / "tree", inside=SRC),
            Mount(host=work.need("compile").folder / compile.TREE, inside=BUILD),
            Mount(host=output, inside="/out", writable=True),
        ),
        chdir=BUILD,
    )
    done = run(work, sandbox, kbuild.tree_script(cell, reserve=str(planned.reserve)))
    if not done.ok:
        said = " / ".join(done.lines[-3:]) or "without a word"
        return (f"the tree's script ended with {done.returncode}: {said}",)
    try:
        plain_file(output, SOURCE).rename(work.folder / THEIRS)
    except BadOutput:
        return ("the tree's script ended well and wrote nothing",)
    finally:
        remove_tree(output)
    return counting.differences(planned, text_of(work.folder, THEIRS))
