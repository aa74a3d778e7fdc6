"""The stage `audit-object`: every patch site of vmlinux.o, before anything is linked.

It ends well whatever the checks say: the verdict judges them. The tree's own look at the compiler is repeated here,
since the kernel's build does it with other flags.
"""

from collections.abc import Mapping
from functools import partial

from oolong.audit import linker_script, object, outcomes, static_checks
from oolong.audit.check import Check, finding, judged, none_of, skipped
from oolong.audit.linker_script import LinkerScript
from oolong.audit.object_checks import OBJECT
from oolong.audit.rules import PROBE_WITHOUT_TARGET, PROBED, probe_without_target
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import DATA, Input, Outcome, Recipe, Stage, Work
from oolong.errors import BadOutput
from oolong.host.files import text_of, write_json
from oolong.host.sandbox import SILENT, SRC, Ran, View, sandbox_of
from oolong.kbuild import make as kbuild
from oolong.spec.model import Cell, StubPass
from oolong.stages.audited import UNTRACED, Config, audited, where_audited
from oolong.stages.limited import limited, run
from oolong.stages.outputs import CONFIG, OBJECTS, ROOT, STUB_SOURCE, TREE, TREE_STUB_SOURCE, VMLINUX_O
from oolong.stubs import counting

# the script is silent, and ends as its last grep -q does: found, so that the compiler is fit, or not found
PROBE_SAYS = {0: True, 1: False}
# where scripts leave what they need in passing
VIEW = View(read_only=(SRC,), env={"srctree": SRC}, chdir="/tmp")


def stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, counted: Stage) -> Stage:
    """`counted` is the stage stubs; the .S that is compared is the one that the kernel is linked with."""
    recipe = Recipe(
        stage="audit-object",
        argv=tuple(kbuild.probe(cell, script) for script in kbuild.PROBES),
        sandbox=VIEW.as_json(),
        code=code_digest(__name__),
    )
    inputs = (
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=TREE),
        Input(role="vmlinux.o", stage=compiled, output=VMLINUX_O),
        Input(role="config", stage=compiled, output=CONFIG),
        # the linker script in it follows from the source and the configuration
        Input(role="objects", stage=compiled, output=OBJECTS, decides=False),
        Input(role="counts", stage=counted, output=DATA),
        Input(role="stubs", stage=counted, output=_linked_source(cell)),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell))


def _linked_source(cell: Cell) -> str:
    """The .S that the kernel is linked with: ours, or that of the tree's script."""
    return TREE_STUB_SOURCE if cell.stub_pass is StubPass.KERNEL else STUB_SOURCE


@limited
@where_audited(OBJECT.skipped)
def _work(cell: Cell, work: Work, config: Config) -> Outcome:
    counts = work.input("counts").data
    found = object.read(work.path("vmlinux.o"))
    done = static_checks.object_checks(
        found,
        out_of_line=counts["out_of_line"],
        source=_counts(cell, work),
        reserve=counts.get("reserve", 0),
        script=_script(work),
    )
    text, inittext = found.plan
    write_json(work.folder / UNTRACED, sorted(found.untraced))
    checks = [*done, probe(cell, config, work)]
    return audited(work, checks, files=(UNTRACED,), plan={"text": text, "inittext": inittext})


def _counts(cell: Cell, work: Work) -> Mapping[str, int] | None:
    """The counts of that .S; None where the tree's script wrote none."""
    if _linked_source(cell) not in work.input("stubs").artifacts:
        return None
    return counting.counts_in(work.path("stubs").read_text(encoding="utf-8", errors="replace"))


def _script(work: Work) -> LinkerScript | None:
    """The tree's own; None where its build made none."""
    try:
        text = text_of(work.path("objects"), kbuild.LINKER_SCRIPT)
    except BadOutput:
        return None
    return linker_script.parse(text, told=kbuild.LINKER_SCRIPT)


def probe(cell: Cell, config: Config, work: Work) -> Check:
    """The configuration found the compiler fit for out-of-line ftrace if, and only if, it is."""
    tools = work.path("source") / kbuild.TOOLS
    script = next((script for script in kbuild.PROBES if (tools / script).exists()), None)
    if script is None:
        return outcomes.PROBE.came(skipped("this kernel has no script that looks"))
    sandbox = sandbox_of(VIEW, rootfs=work.path("rootfs"), hosts={SRC: work.path("source")})
    done = run(work, sandbox, kbuild.probe(cell, script), timeout=cell.build_timeout, compiles=True)
    return compared(script, done, config, kconfig=_kconfig(work))


def compared(script: str, done: Ran, config: Config, *, kconfig: str) -> Check:
    """What the script came to, and what the configuration says; `kconfig` is the text of arch/powerpc/Kconfig."""
    fit, found = PROBE_SAYS.get(done.returncode), config.get(PROBED) == "y"
    if fit is None or done.lines:
        what = f"it broke: ended with {done.returncode}: {done.last_words or SILENT}"
        return outcomes.PROBE.came(none_of([finding(script, what)], held=""))
    told = f"{script}, with all flags: {'fit' if fit else 'unfit'}; CONFIG_{PROBED} is {'y' if found else 'n'}"
    if fit == found:
        return outcomes.PROBE.came(judged(True, told))
    explained = probe_without_target(kconfig, config, fit=fit)
    rule = PROBE_WITHOUT_TARGET.name if explained else ""
    return outcomes.PROBE.came(none_of([finding(PROBED, told, rule=rule)], held=told))


def _kconfig(work: Work) -> str:
    try:
        return text_of(work.path("source"), kbuild.KCONFIG)
    except BadOutput:
        return ""
