"""The stage `audit-image`: every patch site and every stub of vmlinux, before it is booted.

It ends well whatever the checks say: the verdict judges them. The tree's own checks of a linked image are run here,
since the kernel's build may not do it.
"""

import json
from collections import Counter
from functools import partial

from oolong.audit import image as vmlinux
from oolong.audit import outcomes, static_checks
from oolong.audit.check import Check, finding, none_of, skipped
from oolong.audit.image import Image
from oolong.audit.linked import Known
from oolong.audit.rules import MAX_OFFSET
from oolong.binary import structs
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import DATA, Input, Outcome, Recipe, Stage, Work
from oolong.host.sandbox import SRC, View, sandbox_of
from oolong.kbuild import make as kbuild
from oolong.spec.model import OUT_OF_LINE, Cell
from oolong.stages.audited import UNTRACED, Config, audited, where_audited
from oolong.stages.limited import limited, run
from oolong.stages.outputs import CONFIG, OFFSETS, ROOT, TREE, VMLINUX
from oolong.stubs import counting

# where scripts leave what they need in passing
VIEW = View(read_only=(SRC, kbuild.VMLINUX), env={"srctree": SRC}, chdir="/tmp")


def stage(
    cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, checked: Stage, linked: Stage, laid_out: Stage
) -> Stage:
    """`checked` is the stage audit-object, which counted what vmlinux.o needs."""
    recipe = Recipe(stage="audit-image", sandbox=VIEW.as_json(), code=code_digest(__name__))
    inputs = (
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=TREE),
        Input(role="config", stage=compiled, output=CONFIG),
        Input(role="object", stage=checked, output=DATA),
        Input(role="untraced", stage=checked, output=UNTRACED),
        Input(role="vmlinux", stage=linked, output=VMLINUX),
        Input(role="link", stage=linked, output=DATA),
        Input(role="offsets", stage=laid_out, output=OFFSETS),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell))


@limited
@where_audited(static_checks.image_skipped)
def _work(cell: Cell, work: Work, config: Config) -> Outcome:
    kernel = vmlinux.read(work.path("vmlinux"))
    done = static_checks.image_checks(kernel, _known(work, config))
    return audited(work, [*done, _scripts(cell, config, work)], sites=_sites(kernel))


def _sites(kernel: Image) -> dict[str, int]:
    """The patch sites that the kernel makes records for, which passes over exit text, by where they lie."""
    within = Counter(kernel.area_of(site.ip) for site in kernel.sites)
    return {area: within[area] for area in ("text", "inittext")}


def _known(work: Work, config: Config) -> Known:
    counted = work.input("object").data.get("plan")
    limit = structs.load(work.path("offsets")).constant(MAX_OFFSET)
    # an object that could not be read has none
    there = UNTRACED in work.input("untraced").artifacts
    return Known(
        plan=counting.StubPlan(**counted, exit=0, reserve=0) if counted else None,
        config=config,
        max_offset=limit,
        without_max_offset=limit is None,
        post_link=frozenset(work.input("link").data["post_link"]),
        post_link_idle=work.input("link").data["post_link_idle"],
        untraced=frozenset(json.loads(work.path("untraced").read_bytes())) if there else None,
    )


def _scripts(cell: Cell, config: Config, work: Work) -> Check:
    """The tree's own checks of the linked image hold, whoever runs them."""
    hosts = {SRC: work.path("source"), kbuild.VMLINUX: work.path("vmlinux")}
    sandbox = sandbox_of(VIEW, rootfs=work.path("rootfs"), hosts=hosts)
    wrong, ran, absent = [], [], []
    for name, argv in kbuild.post_link_scripts(cell, config).items():
        if not (work.path("source") / kbuild.TOOLS / name).exists():
            absent.append(name)
            continue
        ran.append(name)
        done = run(work, sandbox, argv, timeout=cell.build_timeout)
        if not done.ok or done.lines:
            wrong.append(finding(name, done.last_words or f"ended with {done.returncode}"))
    if not ran:
        return outcomes.POST_LINK_SCRIPTS.came(skipped(f"this kernel has none of {', '.join(absent)}"))
    if config.get(OUT_OF_LINE) == "y":
        # each release with out-of-line ftrace has them all
        wrong += [finding(name, "this kernel does not have it") for name in absent]
    return outcomes.POST_LINK_SCRIPTS.came(none_of(wrong, held=f"run by the audit: {', '.join(ran)}"))
