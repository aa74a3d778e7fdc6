"""The stage `audit`: every patch site and every stub of vmlinux.o and vmlinux, checked before anything is booted.

It ends well whatever the checks say: the verdict judges them. The tree's own checks of a linked image, and its look at
the compiler, are run here too, since the kernel's build may not do the first and does the second with other flags.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from oolong.audit import image as vmlinux
from oolong.audit import object, static_checks
from oolong.audit.check import Check, judged, none_of, skipped
from oolong.audit.image_checks import Known
from oolong.binary import structs
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, StageResult, Work, failed
from oolong.errors import BadInput
from oolong.host.files import plain_file, text_of, write_json
from oolong.host.sandbox import SRC, Mount, Sandbox
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.spec.model import Cell
from oolong.stages import compile
from oolong.stages.offsets import OFFSETS
from oolong.stages.sandboxed import run
from oolong.stubs import counting

# what has neither stubs nor plain function addresses
ELF_V1 = "PPC64_ELF_ABI_V1"
NO_DESCRIPTORS = "a kernel with function descriptors (ELFv1), which has no stubs, is not audited"
CHECKS = "checks.json"
MAX_OFFSET = "FTRACE_MCOUNT_MAX_OFFSET"
PROBED = "ARCH_USING_PATCHABLE_FUNCTION_ENTRY"
SAID_LINES = 3


def stage(cell: Cell, *, rootfs: Stage, source: Stage, compiled: Stage, linked: Stage, laid_out: Stage) -> Stage:
    recipe = Recipe(
        stage="audit",
        argv=tuple(kbuild.probe(cell, script) for script in kbuild.PROBES),
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": source.recipe.digest,
            "compile": compiled.recipe.digest,
            "link": linked.recipe.digest,
            "offsets": laid_out.recipe.digest,
        },
        code=code_digest(__name__),
    )
    needs = (rootfs, source, compiled, linked, laid_out)
    return Stage(subject=cell.name, recipe=recipe, needs=needs, work=partial(_work, cell))


def _work(cell: Cell, work: Work) -> Outcome:
    compiled, linked = work.need("compile"), work.need("link")
    config = kconfig.parse(text_of(compiled.folder / compile.TREE, ".config"), where=".config")
    if config.get("DYNAMIC_FTRACE") != "y":
        return Outcome(data={"checks": []})
    if config.get(ELF_V1) == "y":
        return Outcome(data={"checks": [skipped("image.site-words", NO_DESCRIPTORS).as_json()]})
    try:
        found = object.read(plain_file(compiled.folder / compile.TREE, "vmlinux.o"))
        kernel = vmlinux.read(linked.path("vmlinux"))
    except BadInput as error:
        # the build made these files: what is wrong with them is the kernel's fault, not a person's
        return failed("stub-audit", (str(error.what),), blocks=False)
    done = static_checks.checks(found, kernel, _known(work, config), source=_counts(linked))
    done += [*_scripts(cell, config, work), _probe(cell, config, work)]
    told = [check.as_json() for check in done]
    write_json(work.folder / CHECKS, told)
    return Outcome(artifacts={CHECKS: CHECKS}, data={"checks": told})


def _known(work: Work, config: Mapping[str, str]) -> Known:
    limit = structs.load(work.need("offsets").path(OFFSETS)).constant(MAX_OFFSET)
    return Known(config=config, max_offset=limit, post_link=frozenset(work.need("link").data["post_link"]))


def _counts(linked: StageResult) -> Mapping[str, int] | None:
    if "vmlinux.arch.S" not in linked.artifacts:
        return None
    return counting.counts_in(text_of(linked.folder, linked.artifacts["vmlinux.arch.S"].path))


def _scripts(cell: Cell, config: Mapping[str, str], work: Work) -> Iterator[Check]:
    """The tree's own checks of the linked image hold, whoever runs them."""
    wrong, ran = [], []
    for name, argv in kbuild.post_link_scripts(cell, config).items():
        if not (work.need("source").folder / "tree" / kbuild.TOOLS / name).exists():
            continue
        ran.append(name)
        done = run(work, _sandbox(work), argv)
        if not done.ok or done.lines:
            wrong.append((name, " / ".join(done.lines[-SAID_LINES:]) or f"ended with {done.returncode}"))
    yield none_of(
        "image.post-link-scripts", wrong, held=f"run by the audit: {', '.join(ran) or 'none, for there is none'}"
    )


def _probe(cell: Cell, config: Mapping[str, str], work: Work) -> Check:
    """The configuration found the compiler fit for out-of-line ftrace if, and only if, it is."""
    name = "config.out-of-line-probe"
    tools = work.need("source").folder / "tree" / kbuild.TOOLS
    script = next((script for script in kbuild.PROBES if (tools / script).exists()), None)
    if script is None:
        return skipped(name, "this kernel has no script that looks")
    fit, found = run(work, _sandbox(work), kbuild.probe(cell, script)).ok, config.get(PROBED) == "y"
    told = f"{script}, with all flags: {'fit' if fit else 'unfit'}; CONFIG_{PROBED} is {'y' if found else 'n'}"
    return judged(name, fit == found, told)


def _sandbox(work: Work) -> Sandbox:
    return Sandbox(
        rootfs=work.need("rootfs").folder / "root",
        mounts=(
            Mount(host=work.need("source").folder / "tree", inside=SRC),
            Mount(host=work.need("link").path("vmlinux"), inside=kbuild.VMLINUX),
        ),
        env={"srctree": SRC},
        # where scripts leave what they need in passing
        chdir="/tmp",
    )
