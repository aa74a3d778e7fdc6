"""The stage `stubs`: vmlinux.o → how many stubs, the .S that reserves them, and what the tree's own script makes of it.

Both .S are assembled as the kernel's build assembles them, and compared by what is in the objects.

A difference between the two is a failure that does not stop the cell: link and boot then show what it leads to.
"""

from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput, BadOutput, Kind
from oolong.host.files import LARGEST_TEXT, plain_file, read_plain, text_of, write_json
from oolong.host.sandbox import BUILD, SILENT, SRC, View, sandbox_of
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.kbuild import rules
from oolong.spec.model import OUT_OF_LINE, Cell
from oolong.stages.limited import limited, run
from oolong.stages.outputs import CONFIG, OBJECTS, ROOT, STUB_SOURCE, TREE, TREE_STUB_SOURCE, VMLINUX_O
from oolong.stubs import assembled, counting

COUNTS = "stubs.json"
OUT, OURS = "/out", "oolong.S"
SAVED = rules.command_file(kbuild.ASSEMBLED)
VIEW = View(read_only=(SRC, BUILD), writable=(OUT,), chdir=BUILD)
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
        # what is in it follows from the source and the configuration
        Input(role="objects", stage=compiled, output=OBJECTS, decides=False),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell, template.read_text()))


@limited
def _work(cell: Cell, template: str, work: Work) -> Outcome:
    config = kconfig.read(work.path("config"))
    if config.get(OUT_OF_LINE) != "y":
        (work.folder / STUB_SOURCE).write_text(NOTHING)
        return Outcome(artifacts={STUB_SOURCE: STUB_SOURCE}, data={"out_of_line": False})
    reserve = counting.reserve_in(config)
    if reserve is None:
        return failed(Kind.STUB_AUDIT, (f".config has no number in CONFIG_{counting.NUM_RESERVE}",))
    try:
        sites = counting.read_sites(work.path("vmlinux.o"))
    except BadInput as error:
        # the build made this file: what is wrong with it is the kernel's fault, not a person's
        return failed(Kind.STUB_AUDIT, (f"vmlinux.o: {error.what}",))
    planned = counting.plan(sites, reserve)
    counts = counting.document(sites, planned)
    rendered = counting.render(planned, template)
    (work.folder / STUB_SOURCE).write_text(rendered)
    write_json(work.folder / COUNTS, counts)
    artifacts = {STUB_SOURCE: STUB_SOURCE, COUNTS: COUNTS}
    differences = _compare(cell, rendered, reserve, work)
    if (work.folder / TREE_STUB_SOURCE).exists():
        artifacts[TREE_STUB_SOURCE] = TREE_STUB_SOURCE
    data = {"out_of_line": True, **counts}
    if differences:
        return failed(Kind.STUB_AUDIT, differences, artifacts=artifacts, data=data, blocks=False)
    return Outcome(artifacts=artifacts, data=data)


def _compare(cell: Cell, source: str, reserve: int, work: Work) -> tuple[str, ...]:
    """How `source` and what the tree's own script makes of the same vmlinux.o differ when they are assembled."""
    output = work.folder / "out"
    output.mkdir()
    (output / OURS).write_text(source)
    hosts = {SRC: work.path("source"), BUILD: work.path("objects"), OUT: output}
    sandbox = sandbox_of(VIEW, rootfs=work.path("rootfs"), hosts=hosts)
    done = run(work, sandbox, kbuild.tree_script(cell, reserve=str(reserve)), timeout=cell.build_timeout)
    if not done.ok:
        return (f"the tree's script ended with {done.returncode}: {done.last_words or SILENT}",)
    try:
        text = read_plain(output, STUB_SOURCE, most=LARGEST_TEXT)
    except BadOutput as error:
        return (f"the tree's script ended well, but {error.what}",)
    (work.folder / TREE_STUB_SOURCE).write_bytes(text)
    made = []
    for whose, name in (("oolong's", OURS), ("the tree's", STUB_SOURCE)):
        try:
            saved = rules.saved_command(text_of(work.path("objects"), SAVED), kbuild.ASSEMBLED)
            argv = rules.assembling(saved, f"{OUT}/{name}", f"{OUT}/{name}.o")
        except (BadOutput, ValueError):
            return (f"what the two .S assemble to is not known: the build left no command in {SAVED}",)
        done = run(work, sandbox, argv, timeout=cell.build_timeout, compiles=True)
        if not done.ok:
            return (f"{whose} .S does not assemble: {done.last_words or SILENT}",)
        try:
            made.append(assembled.read(plain_file(output, f"{name}.o")))
        except (BadOutput, BadInput) as error:
            return (f"{whose} .S assembles to no object: {error.what}",)
    return assembled.differences(*made)
