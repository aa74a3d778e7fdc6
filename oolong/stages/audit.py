"""The stages `audit-object` and `audit-image`: every patch site and every stub, before anything is booted.

They end well whatever the checks say: the verdict judges them. The tree's own look at the compiler and its own checks
of a linked image are run here too, since the kernel's build does the first with other flags and may not do the second.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from oolong.audit import image as vmlinux
from oolong.audit import object, outcomes, static_checks
from oolong.audit.check import Check, finding, judged, none_of, skipped
from oolong.audit.image_checks import IMAGE, Known
from oolong.audit.object_checks import OBJECT
from oolong.binary import structs
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput, Kind
from oolong.host.files import plain_file, text_of, write_json
from oolong.host.sandbox import SRC, Mount, Sandbox
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.spec.model import Cell, StubPass
from oolong.stages import compile
from oolong.stages.offsets import OFFSETS
from oolong.stages.sandboxed import run
from oolong.stages.stubs import SOURCE, THEIRS
from oolong.stubs import counting

# what has neither stubs nor plain function addresses
ELF_V1 = "PPC64_ELF_ABI_V1"
NO_DESCRIPTORS = "a kernel with function descriptors (ELFv1), which has no stubs, is not audited"
CHECKS = "checks.json"
MAX_OFFSET = "FTRACE_MCOUNT_MAX_OFFSET"
PROBED = "ARCH_USING_PATCHABLE_FUNCTION_ENTRY"
SAID_LINES = 3


def object_stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, counted: Stage) -> Stage:
    recipe = Recipe(
        stage="audit-object",
        argv=tuple(kbuild.probe(cell, script) for script in kbuild.PROBES),
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": source.recipe.digest,
            "compile": compiled.recipe.digest,
            "stubs": counted.recipe.digest,
            "stub_pass": cell.stub_pass.value,
        },
        code=code_digest(__name__),
    )
    needs = (rootfs, source, compiled, counted)
    return Stage(subject=cell.name, recipe=recipe, needs=needs, work=partial(_object, cell))


def image_stage(
    cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, audited: Stage, linked: Stage, laid_out: Stage
) -> Stage:
    """`audited` is the stage audit-object, which counted what vmlinux.o needs."""
    recipe = Recipe(
        stage="audit-image",
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": source.recipe.digest,
            "compile": compiled.recipe.digest,
            "audit-object": audited.recipe.digest,
            "link": linked.recipe.digest,
            "offsets": laid_out.recipe.digest,
        },
        code=code_digest(__name__),
    )
    needs = (rootfs, source, compiled, audited, linked, laid_out)
    return Stage(subject=cell.name, recipe=recipe, needs=needs, work=partial(_image, cell))


def _object(cell: Cell, work: Work) -> Outcome:
    built = work.need("compile").folder / compile.TREE
    config = kconfig.parse(text_of(built, ".config"), where=".config")
    if config.get("DYNAMIC_FTRACE") != "y":
        return Outcome(data={"checks": []})
    if config.get(ELF_V1) == "y":
        return _told(work, list(OBJECT.skipped(NO_DESCRIPTORS)))
    counts = work.need("stubs").data
    try:
        found = object.read(plain_file(built, "vmlinux.o"))
    except BadInput as error:
        # the build made this file: what is wrong with it is the kernel's fault, not a person's
        return failed(Kind.STUB_AUDIT, (str(error.what),), blocks=False)
    done = static_checks.object_checks(
        found, out_of_line=counts["out_of_line"], source=_source(cell, work), reserve=counts.get("reserve", 0)
    )
    text, inittext = found.plan
    return _told(work, [*done, _probe(cell, config, work)], plan={"text": text, "inittext": inittext})


def _image(cell: Cell, work: Work) -> Outcome:
    config = kconfig.parse(text_of(work.need("compile").folder / compile.TREE, ".config"), where=".config")
    if config.get("DYNAMIC_FTRACE") != "y":
        return Outcome(data={"checks": []})
    if config.get(ELF_V1) == "y":
        return _told(work, list(IMAGE.skipped(NO_DESCRIPTORS)))
    try:
        kernel = vmlinux.read(work.need("link").path("vmlinux"))
    except BadInput as error:
        # the build made this file: what is wrong with it is the kernel's fault, not a person's
        return failed(Kind.STUB_AUDIT, (str(error.what),), blocks=False)
    done = static_checks.image_checks(kernel, _known(work, config))
    return _told(work, [*done, _scripts(cell, config, work)])


def _told(work: Work, done: list[Check], **data: Any) -> Outcome:
    """The checks as a file, and for the stages after this one."""
    told = [check.as_json() for check in done]
    write_json(work.folder / CHECKS, told)
    return Outcome(artifacts={CHECKS: CHECKS}, data={"checks": told, **data})


def _source(cell: Cell, work: Work) -> Mapping[str, int] | None:
    """The counts of the .S that the kernel is linked with: ours, or that of the tree's script, where it wrote one."""
    stubs = work.need("stubs")
    name = THEIRS if cell.stub_pass is StubPass.KERNEL else SOURCE
    if name not in stubs.artifacts:
        return None
    return counting.counts_in(text_of(stubs.folder, stubs.artifacts[name].path))


def _known(work: Work, config: Mapping[str, str]) -> Known:
    counted = work.need("audit-object").data.get("plan")
    return Known(
        plan=counting.StubPlan(**counted, exit=0, reserve=0) if counted else None,
        config=config,
        max_offset=structs.load(work.need("offsets").path(OFFSETS)).constant(MAX_OFFSET),
        post_link=frozenset(work.need("link").data["post_link"]),
    )


def _scripts(cell: Cell, config: Mapping[str, str], work: Work) -> Check:
    """The tree's own checks of the linked image hold, whoever runs them."""
    kernel = Mount(host=work.need("link").path("vmlinux"), inside=kbuild.VMLINUX)
    wrong, ran = [], []
    for name, argv in kbuild.post_link_scripts(cell, config).items():
        if not (work.need("source").folder / "tree" / kbuild.TOOLS / name).exists():
            continue
        ran.append(name)
        done = run(work, _sandbox(work, kernel), argv)
        if not done.ok or done.lines:
            wrong.append(finding(name, " / ".join(done.lines[-SAID_LINES:]) or f"ended with {done.returncode}"))
    held = f"run by the audit: {', '.join(ran) or 'none, for there is none'}"
    return outcomes.POST_LINK_SCRIPTS.came(none_of(wrong, held=held))


def _probe(cell: Cell, config: Mapping[str, str], work: Work) -> Check:
    """The configuration found the compiler fit for out-of-line ftrace if, and only if, it is."""
    tools = work.need("source").folder / "tree" / kbuild.TOOLS
    script = next((script for script in kbuild.PROBES if (tools / script).exists()), None)
    if script is None:
        return outcomes.PROBE.came(skipped("this kernel has no script that looks"))
    fit, found = run(work, _sandbox(work), kbuild.probe(cell, script)).ok, config.get(PROBED) == "y"
    told = f"{script}, with all flags: {'fit' if fit else 'unfit'}; CONFIG_{PROBED} is {'y' if found else 'n'}"
    return outcomes.PROBE.came(judged(fit == found, told))


def _sandbox(work: Work, *mounts: Mount) -> Sandbox:
    return Sandbox(
        rootfs=work.need("rootfs").folder / "root",
        mounts=(Mount(host=work.need("source").folder / "tree", inside=SRC), *mounts),
        env={"srctree": SRC},
        # where scripts leave what they need in passing
        chdir="/tmp",
    )
