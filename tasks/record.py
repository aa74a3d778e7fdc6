"""The task `record`: the digests of what cells came to, for every machine to compare with."""

from oolong.errors import BadInput
from oolong.spec.lock import Recorded, write_recorded
from tasks.declare import Task, collecting
from tasks.session import CHANGING_THE_CELL, current

# what is compared: the objects, and the kernel that was linked from them
ARTIFACTS = {"compile": "vmlinux.o", "link": "vmlinux"}


def task_record() -> Task:
    """write the digests of vmlinux.o and vmlinux of the chosen cells into pipeline.lock"""
    session = current()
    cells = session.selected if session.stages else ()
    stages = [f"{stage}:{cell.name}" for cell in cells for stage in ARTIFACTS]
    return {
        "actions": [(collecting, ["record", write_digests])],
        "task_dep": stages,
        "uptodate": [False],
        "io": {"capture": False},
    }


def write_digests() -> None:
    session = current()
    if given := sorted(set(CHANGING_THE_CELL) & session.variables.keys()):
        raise BadInput("only the pipeline's own cells are recorded", where=f"{given[0]}=")
    if session.layout.temporary_locks:
        hint = "./doit lock resolves them again; then record"
        raise BadInput("temporary locks stand in for outdated ones: what they give is not recorded", hint=hint)
    recorded = {cell.name: _recorded(cell.name) for cell in session.selected}
    write_recorded(session.layout, recorded)
    session.view.say(f"{session.layout.recorded.name}: {', '.join(recorded)}")


def _recorded(cell: str) -> Recorded:
    session = current()
    results = {stage: session.store.result(session.stages[f"{stage}:{cell}"]) for stage in ARTIFACTS}
    for result in results.values():
        if not result.ok:
            raise BadInput(f"{result.stage} did not succeed", where=cell, hint="only what was built is recorded")
    artifacts = {name: results[stage].artifacts[name].sha256 for stage, name in ARTIFACTS.items()}
    return Recorded(inputs=results["compile"].digest, artifacts=artifacts)
