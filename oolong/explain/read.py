"""Finished stages of a cell → the kernel to explain, and the symbols of a name."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from oolong.audit.check import Check
from oolong.audit.image import Function, Image, image_of
from oolong.audit.post_mortem import survey_at
from oolong.audit.survey import Survey
from oolong.binary import elf, structs
from oolong.binary.elf import STT_OBJECT
from oolong.binary.structs import NOTHING, Offsets
from oolong.engine.stage import StageResult
from oolong.errors import BadInput, BadOutput, did_you_mean
from oolong.explain.kernel import Kernel
from oolong.machine import memory
from oolong.machine.memory import Unreadable
from oolong.stages.outputs import MEMORY, OFFSETS

WHERE = "vmlinux"


def kernel(results: Mapping[str, StageResult], checks: Iterable[Check] = ()) -> Kernel:
    """From the results of a cell by stage: `link` must be among them, and of `offsets` and `boot` what there is; and
    from the checks of its verdict. BadInput if the image has no patch sites."""
    with elf.opened(results["link"].path("vmlinux")) as file:
        image = image_of(file, WHERE)
        data = {one.symbol.value: one.name for one in file.named_symbols() if one.type == STT_OBJECT}
    laid_out = NOTHING
    surveys: tuple[Survey, ...] = ()
    if OFFSETS in _artifacts(results, "offsets"):
        laid_out = structs.load(results["offsets"].path(OFFSETS))
        if MEMORY in _artifacts(results, "boot"):
            surveys = _surveys(results["boot"].path(MEMORY), image, laid_out)
    return Kernel(image=image, data=data, offsets=laid_out, surveys=surveys, checks=tuple(checks))


def functions(vmlinux: Path, name: str) -> tuple[Function, ...]:
    """What has a name in a kernel's code, by address; BadInput with the nearest name if nothing has it."""
    with elf.opened(vmlinux) as file:
        found = {
            label.value: Function(label.value, label.size, label.local_entry, name)
            for label in file.labels(name)
            if label.section is not None and file.sections[label.section].executable
        }
        if not found:
            hint = did_you_mean(name, file.function_names())
            raise BadInput(f"no function has the name {name!r}", where=WHERE, hint=hint)
    return tuple(found[address] for address in sorted(found))


def _artifacts(results: Mapping[str, StageResult], stage: str) -> Mapping[str, object]:
    return results[stage].artifacts if stage in results else {}


def _surveys(path: Path, image: Image, laid_out: Offsets) -> tuple[Survey, ...]:
    """What could be read; that all can is the audit's to check."""
    found = []
    for snapshot in memory.load(path):
        try:
            found.append(survey_at(snapshot.name, snapshot, image, laid_out))
        except (Unreadable, BadOutput):
            continue
    return tuple(found)
