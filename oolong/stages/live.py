"""The stage `live`: what the guest's memory held at each stop, and what the guest said, held against the image.

It ends well whatever the checks say: the verdict judges them.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from oolong.audit import guest_checks, live_checks
from oolong.audit import image as vmlinux
from oolong.audit.check import Check, Finding, finding
from oolong.audit.image import Image
from oolong.audit.live_state import Live
from oolong.audit.survey import Survey, survey
from oolong.binary import structs
from oolong.binary.elf import opened
from oolong.binary.structs import Offsets
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput, BadOutput, Kind
from oolong.host.files import text_of, write_json
from oolong.kbuild import config as kconfig
from oolong.machine import memory, stops
from oolong.machine.memory import Snapshot, Unreadable
from oolong.spec.model import Cell
from oolong.stages.audit import ELF_V1, NO_DESCRIPTORS
from oolong.stages.boot import MEMORY, REPORT
from oolong.stages.offsets import OFFSETS

CHECKS = "checks.json"
# where a guest stops only if its configuration has what is looked at there
BY_SYMBOL = {stops.MODULE: "MODULES", stops.KPROBE: "KPROBE_EVENTS", stops.GRAPH: "FUNCTION_GRAPH_TRACER"}
BY_MODULE = {stops.DIRECT: "SAMPLE_FTRACE_DIRECT", stops.LIVEPATCH: "SAMPLE_LIVEPATCH"}


def stage(cell: Cell, *, compiled: Stage, linked: Stage, laid_out: Stage, booted: Stage) -> Stage:
    recipe = Recipe(
        stage="live",
        inputs={
            "compile": compiled.recipe.digest,
            "link": linked.recipe.digest,
            "offsets": laid_out.recipe.digest,
            "boot": booted.recipe.digest,
        },
        code=code_digest(__name__),
    )
    return Stage(
        subject=cell.name, recipe=recipe, needs=(compiled, linked, laid_out, booted), work=partial(_work, cell)
    )


def _work(cell: Cell, work: Work) -> Outcome:
    compiled, booted = work.need("compile"), work.need("boot")
    config = kconfig.parse(text_of(compiled.folder, compiled.artifacts["config"].path), where=".config")
    if config.get("DYNAMIC_FTRACE") != "y":
        return Outcome(data={"checks": []})
    if config.get(ELF_V1) == "y":
        every = (*live_checks.skipped_all(NO_DESCRIPTORS), *guest_checks.GUEST.skipped(NO_DESCRIPTORS))
        return _told(work, every)
    try:
        with opened(work.need("link").path("vmlinux")) as file:
            image = vmlinux.image_of(file, "vmlinux")
            stoppable = bool(file.symbols_by_name(stops.FUNCTIONS))
        laid_out = structs.load(work.need("offsets").path(OFFSETS))
        snapshots = memory.load(booted.path(MEMORY))
    except BadInput as error:
        # the build and the boot made these files: what is wrong with them is not a person's fault
        return failed(Kind.STUB_AUDIT, (str(error.what),), blocks=False)
    surveys, unreadable = _surveys(snapshots, image, laid_out)
    due = _due(config, modules=cell.config.modules) if booted.ok else None
    seen = Live(image, laid_out, surveys, due, unreadable)
    said = guest_checks.told(text_of(booted.folder, booted.artifacts[REPORT].path), booted.data, config)
    return _told(work, (*_looked(seen, stoppable=stoppable), *guest_checks.checks(seen, said)))


def _told(work: Work, done: Iterable[Check]) -> Outcome:
    told = [check.as_json() for check in done]
    write_json(work.folder / CHECKS, told)
    return Outcome(artifacts={CHECKS: CHECKS}, data={"checks": told})


def _looked(seen: Live, *, stoppable: bool) -> Iterable[Check]:
    """The checks of memory; of a kernel that has no function to stop at nothing could be seen."""
    if not stoppable:
        return live_checks.skipped_all(
            f"this kernel has no function to stop at: neither {' nor '.join(stops.FUNCTIONS)}"
        )
    return live_checks.checks(seen)


def _surveys(snapshots: Iterable[Snapshot], image: Image, laid_out: Offsets) -> tuple[list[Survey], list[Finding]]:
    """What was found at each stop, and which could not be read."""
    found, wrong = [], []
    for snapshot in snapshots:
        try:
            found.append(survey(snapshot.name, snapshot, image, laid_out))
        except (Unreadable, BadOutput) as error:
            wrong.append(finding(snapshot.name, str(error)))
    return found, wrong


def _due(config: Mapping[str, str], *, modules: bool) -> list[str]:
    """The stops of a guest with a configuration."""
    needs = {**BY_SYMBOL, **(BY_MODULE if modules else {})}
    absent = {stop for stop, symbol in needs.items() if config.get(symbol, "n") == "n"}
    absent |= set() if modules else {stops.MODULE, *BY_MODULE}
    return [stop for stop in (stops.INIT_MEMORY, *stops.NAMES) if stop not in absent]
