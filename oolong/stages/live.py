"""The stage `live`: what the guest's memory held at each stop, and what the guest said, held against the image.

It ends well whatever the checks say: the verdict judges them. Of a guest that died it has the memory of the stops that
were reached, and a last picture.
"""

from collections.abc import Iterable
from functools import partial

from oolong.audit import guest_checks, guest_report, live_checks, post_mortem
from oolong.audit import image as vmlinux
from oolong.audit.check import Check, Finding, finding
from oolong.audit.image import Image
from oolong.audit.live_state import Live
from oolong.audit.survey import Survey, survey
from oolong.binary import structs
from oolong.binary.elf import opened
from oolong.binary.structs import Offsets
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import DATA, Input, Outcome, Recipe, Stage, Work
from oolong.errors import BadOutput
from oolong.machine import memory, stops
from oolong.machine.memory import Snapshot, Unreadable
from oolong.spec.model import Cell
from oolong.stages.audited import Config, audited, where_audited
from oolong.stages.outputs import CONFIG, MEMORY, OFFSETS, REPORT, VMLINUX

# what the guest says when it boots
ALLOCATED = "guest.allocated"


def stage(cell: Cell, *, compiled: Stage, linked: Stage, laid_out: Stage, booted: Stage) -> Stage:
    inputs = (
        Input(role="config", stage=compiled, output=CONFIG),
        Input(role="vmlinux", stage=linked, output=VMLINUX),
        Input(role="offsets", stage=laid_out, output=OFFSETS),
        Input(role="memory", stage=booted, output=MEMORY),
        Input(role="report", stage=booted, output=REPORT),
        Input(role="boot", stage=booted, output=DATA),
    )
    recipe = Recipe(stage="live", code=code_digest(__name__))
    return Stage(subject=cell.name, base=recipe, inputs=inputs, work=partial(_work, cell))


def _skipped(reason: str) -> tuple[Check, ...]:
    return (*live_checks.skipped_all(reason), *guest_checks.skipped_all(reason))


@where_audited(_skipped)
def _work(cell: Cell, work: Work, config: Config) -> Outcome:
    booted = work.input("boot")
    with opened(work.path("vmlinux")) as file:
        image = vmlinux.image_of(file, "vmlinux")
        stoppable = bool(file.symbols_by_name(stops.FUNCTIONS))
    laid_out = structs.load(work.path("offsets"))
    snapshots = memory.load(work.path("memory"))
    surveys, unreadable = _surveys([one for one in snapshots if one.name != stops.END], image, laid_out)
    last, unread = _last(snapshots, image, laid_out)
    due = stops.expected(config, modules=cell.config.modules) if booted.ok else None
    seen = Live(image, laid_out, surveys, due, unreadable, last)
    report = work.path("report").read_bytes().decode(errors="replace")
    said = guest_report.told(report, booted.data, config, whole=booted.ok)
    checks = (*_looked(seen, stoppable=stoppable), *_heard(seen, said, died=not booted.ok))
    return audited(work, checks, sections=sorted(said.sections), last_picture=unread)


def _looked(seen: Live, *, stoppable: bool) -> Iterable[Check]:
    """The checks of memory; of a kernel that has no function to stop at nothing could be seen."""
    if not stoppable:
        return live_checks.skipped_all(
            f"this kernel has no function to stop at: neither {' nor '.join(stops.FUNCTIONS)}"
        )
    return live_checks.checks(seen)


def _heard(seen: Live, said: guest_report.Told, *, died: bool) -> Iterable[Check]:
    """The checks of what the guest said; of one that died before its last stop, only of what it said when it booted."""
    checks = guest_checks.checks(seen, said)
    if not died or any(one.name == stops.QUIET for one in seen.surveys):
        return checks
    unsaid = {check.name: check for check in guest_checks.skipped_all("the guest died before it had reported all")}
    return (check if check.name == ALLOCATED else unsaid[check.name] for check in checks)


def _last(snapshots: Iterable[Snapshot], image: Image, laid_out: Offsets) -> tuple[Survey | None, str]:
    """What was found in the last picture; or why nothing was, which is no finding: where the guest died, its lists, or
    the CPU that they are read by, need not be fit to be read."""
    for snapshot in snapshots:
        if snapshot.name == stops.END:
            try:
                return post_mortem.last_survey(snapshot, image, laid_out), "audited"
            except (Unreadable, BadOutput) as error:
                return None, f"not audited: {error}"
    return None, "none"


def _surveys(snapshots: Iterable[Snapshot], image: Image, laid_out: Offsets) -> tuple[list[Survey], list[Finding]]:
    """What was found at each stop, and which could not be read."""
    found, wrong = [], []
    for snapshot in snapshots:
        try:
            found.append(survey(snapshot.name, snapshot, image, laid_out))
        except (Unreadable, BadOutput) as error:
            wrong.append(finding(snapshot.name, str(error)))
    return found, wrong
