"""The stage `stubs`: vmlinux.o → how many stubs, the .S that reserves them, and the counts of the tree's own script.

A difference between the two is a failure that does not stop the cell: link and boot then show what it leads to.
"""

from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput, BadOutput, Kind
from oolong.host.files import plain_file, text_of, write_json
from oolong.host.sandbox import BUILD, SRC, View, sandbox_of
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.spec.model import Cell
from oolong.stages.limited import limited, run
from oolong.stages.outputs import CONFIG, ROOT, STUB_SOURCE, TREE, TREE_STUB_SOURCE, VMLINUX_O
from oolong.stubs import counting

OUT_OF_LINE, RESERVE = "PPC_FTRACE_OUT_OF_LINE", "PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"
COUNTS = "stubs.json"
OBJECT, OUT = f"{BUILD}/{VMLINUX_O}", "/out"
VIEW = View(read_only=(SRC, OBJECT), writable=(OUT,), chdir=BUILD)
NOTHING = "/* out-of-line ftrace is off in this configuration */\n"


def stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, template: Path) -> Stage:
    recipe = Recipe(
        stage="stubs",
        argv=(kbuild.tree_script(cell, reserve="RESERVE"),),
        sandbox=VIEW.as_json(),
        code=code_digest(__name__, files=(template,)),
    )
    inputs = (
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=TREE),
        Input(role="vmlinux.o", stage=compiled, output=VMLINUX_O),
        Input(role="config", stage=compiled, output=CONFIG),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell, template.read_text()))


@limited
def _work(cell: Cell, template: str, work: Work) -> Outcome:
    config = kconfig.read(work.path("config"))
    if config.get(OUT_OF_LINE) != "y":
        (work.folder / STUB_SOURCE).write_text(NOTHING)
        return Outcome(artifacts={STUB_SOURCE: STUB_SOURCE}, data={"out_of_line": False})
    if not config.get(RESERVE, "").isdecimal():
        return failed(Kind.STUB_AUDIT, (f".config has no number in CONFIG_{RESERVE}",))
    reserve = int(config[RESERVE])
    try:
        sites = counting.read_sites(work.path("vmlinux.o"))
    except BadInput as error:
        # the build made this file: what is wrong with it is the kernel's fault, not a person's
        return failed(Kind.STUB_AUDIT, (f"vmlinux.o: {error.what}",))
    planned = counting.plan(sites, reserve)
    counts = counting.document(sites, planned)
    (work.folder / STUB_SOURCE).write_text(counting.render(planned, template))
    write_json(work.folder / COUNTS, counts)
    artifacts = {STUB_SOURCE: STUB_SOURCE, COUNTS: COUNTS}
    differences = _compare(cell, planned, work)
    if (work.folder / TREE_STUB_SOURCE).exists():
        artifacts[TREE_STUB_SOURCE] = TREE_STUB_SOURCE
    data = {"out_of_line": True, **counts}
    if differences:
        return failed(Kind.STUB_AUDIT, differences, artifacts=artifacts, data=data, blocks=False)
    return Outcome(artifacts=artifacts, data=data)


def _compare(cell: Cell, planned: counting.StubPlan, work: Work) -> tuple[str, ...]:
    """The counts of the tree's own script, of the same vmlinux.o, that differ."""
    output = work.folder / "out"
    output.mkdir()
    hosts = {SRC: work.path("source"), OBJECT: work.path("vmlinux.o"), OUT: output}
    sandbox = sandbox_of(VIEW, rootfs=work.path("rootfs"), hosts=hosts)
    argv = kbuild.tree_script(cell, reserve=str(planned.reserve))
    done = run(work, sandbox, argv, timeout=cell.build_timeout)
    if not done.ok:
        said = " / ".join(done.lines[-3:]) or "without a word"
        return (f"the tree's script ended with {done.returncode}: {said}",)
    try:
        plain_file(output, STUB_SOURCE).rename(work.folder / TREE_STUB_SOURCE)
    except BadOutput:
        return ("the tree's script ended well and wrote nothing",)
    return counting.differences(planned, text_of(work.folder, TREE_STUB_SOURCE))
