"""The task `record`: the digests of what cells came to, for every machine to compare with."""

from oolong.engine.stage import StageResult
from oolong.errors import BadInput
from oolong.spec.lock import Recorded, read_recorded, write_recorded
from oolong.spec.model import Cell
from tasks.declare import Task, collecting
from tasks.session import CHANGING_THE_CELL, current

# what is compared: the objects, and the kernel that was linked from them
ARTIFACTS = {"compile": "vmlinux.o", "link": "vmlinux"}


def task_record() -> Task:
    """write the digests of vmlinux.o and vmlinux of the chosen cells into pipeline.lock"""
    session = current()
    cells = session.project.selected if session.stages else ()
    return {
        "actions": [(collecting, ["record", write_digests])],
        "task_dep": list(dict.fromkeys(f"{stage}:{cell.build}" for cell in cells for stage in ARTIFACTS)),
        "uptodate": [False],
        "io": {"capture": False},
    }


def write_digests() -> None:
    session = current()
    if given := sorted(set(CHANGING_THE_CELL) & session.variables.keys()):
        raise BadInput("only the pipeline's own cells are recorded", where=f"{given[0]}=")
    if session.project.unlocked:
        hint = "./doit lock resolves them again; then record"
        raise BadInput("temporary locks stand in for outdated ones: what they give is not recorded", hint=hint)
    recorded = {cell.build: _recorded(cell) for cell in session.project.selected}
    for build, old in read_recorded(session.layout).items():
        if build in recorded:
            _refuse_other_bytes(build, old, recorded[build])
    write_recorded(session.layout, recorded)
    session.view.say(f"{session.layout.recorded.name}: {', '.join(recorded)}")


def _refuse_other_bytes(build: str, old: Recorded, new: Recorded) -> None:
    """Equal inputs that give other bytes are a finding, not news to be written down."""
    unlike = [name for name, sha256 in old.artifacts.items() if new.artifacts.get(name) != sha256]
    if old.inputs == new.inputs and unlike:
        told = "; ".join(f"{name}: recorded {old.artifacts[name]}, built {new.artifacts.get(name)}" for name in unlike)
        hint = "find the cause; where the record itself is wrong, remove its entry from pipeline.lock, then record"
        raise BadInput(f"the inputs are those recorded, the bytes are not: {told}", where=build, hint=hint)


def _recorded(cell: Cell) -> Recorded:
    session = current()
    results: dict[str, StageResult] = {}
    for stage in session.project.chain(cell, upto="link"):
        result = results[stage.task] = session.runner.result(stage)
        if stage.name in ARTIFACTS and not result.ok:
            raise BadInput(f"{stage.name} did not succeed", where=cell.build, hint="only what was built is recorded")
    inputs = session.project.recorded_inputs(cell, results)
    assert inputs, "what was linked was compiled"
    artifacts = {name: results[f"{stage}:{cell.build}"].artifacts[name].sha256 for stage, name in ARTIFACTS.items()}
    return Recorded(inputs=inputs, artifacts=artifacts)
