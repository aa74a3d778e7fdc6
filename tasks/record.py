"""The task `record`: what cells came to, for every machine to compare with: the digests of what was built, and for whom
the checks did not hold."""

from collections.abc import Mapping

from oolong.engine.stage import StageResult
from oolong.errors import BadInput
from oolong.spec.lock import (
    RECORDED,
    Recorded,
    RecordedVictims,
    read_recorded,
    read_victims,
    write_recorded,
    write_victims,
)
from oolong.spec.model import Cell
from oolong.verdict.victims import changes, recorded_as, victims_of
from tasks.declare import Task, collecting
from tasks.session import CHANGING_THE_CELL, current

VICTIMS = "victims"


def task_record() -> Task:
    """write what the chosen cells came to into pipeline.lock: the digests of kernels, the victims of checks"""
    session = current()
    cells = session.project.selected if session.stages else ()
    return {
        "actions": [(collecting, ["record", write])],
        "task_dep": list(dict.fromkeys(stage.task for cell in cells for stage in session.project.chain(cell))),
        "uptodate": [False],
        "io": {"capture": False},
    }


def write() -> None:
    """Write both; with victims=1 the victims alone."""
    session = current()
    if given := sorted(set(CHANGING_THE_CELL) & session.variables.keys()):
        raise BadInput("only the pipeline's own cells are recorded", where=f"{given[0]}=")
    if session.project.unlocked:
        hint = "./doit lock resolves them again; then record"
        raise BadInput("temporary locks stand in for outdated ones: what they give is not recorded", hint=hint)
    results = {cell: _results(cell) for cell in session.project.selected}
    artifacts = {cell.build: _artifacts(cell, own) for cell, own in results.items()}
    victims = {cell.name: _victims(cell, own) for cell, own in results.items()}
    if session.variables.get(VICTIMS) != "1":
        for build, old in read_recorded(session.layout).items():
            if build in artifacts:
                _refuse_other_bytes(build, old, artifacts[build])
        for cell, found in read_victims(session.layout).items():
            if cell in victims:
                _refuse_other_victims(cell, found, victims[cell])
        write_recorded(session.layout, artifacts)
    else:
        before = read_victims(session.layout)
        for cell, new in victims.items():
            for line in told(before.get(cell), new):
                session.view.say(f"{cell}: {line}")
    write_victims(session.layout, victims)
    session.view.say(f"{session.layout.recorded.name}: {', '.join({**artifacts, **victims})}")


def told(old: RecordedVictims | None, new: RecordedVictims) -> list[str]:
    """What became of the victims, by name."""
    if old is not None and old.sha256 == new.sha256:
        return ["the victims are those recorded"]
    if old is not None and old.names is None:
        return ["other victims than recorded, whose names are not in pipeline.victims"]
    before = old.names if old is not None and old.names is not None else {}
    return [f"{who or check}: {what}" for check, who, what in changes(before, new.names or {})]


def _refuse_other_bytes(build: str, old: Recorded, new: Recorded) -> None:
    """Equal inputs that give other bytes are a finding, not news to be written down."""
    unlike = [name for name, sha256 in old.artifacts.items() if new.artifacts.get(name) != sha256]
    if old.inputs == new.inputs and unlike:
        told = "; ".join(f"{name}: recorded {old.artifacts[name]}, built {new.artifacts.get(name)}" for name in unlike)
        hint = "find the cause; where the record itself is wrong, remove its entry from pipeline.lock, then record"
        raise BadInput(f"the inputs are those recorded, the bytes are not: {told}", where=build, hint=hint)


def _refuse_other_victims(cell: str, old: RecordedVictims, new: RecordedVictims) -> None:
    """The same: only a change of the checks gives other victims of equal inputs."""
    if old.inputs == new.inputs and old.sha256 != new.sha256:
        what = f"the inputs are those recorded, the victims are not: {'; '.join(told(old, new))}"
        raise BadInput(what, where=cell, hint="find the cause; after a change of checks, ./doit record victims=1")


def _results(cell: Cell) -> Mapping[str, StageResult]:
    session = current()
    return {stage.task: session.runner.result(stage) for stage in session.project.chain(cell)}


def _inputs(cell: Cell, results: Mapping[str, StageResult]) -> str:
    inputs = current().project.recorded_inputs(cell, results)
    assert inputs, "what was linked was compiled"
    return inputs


def _artifacts(cell: Cell, results: Mapping[str, StageResult]) -> Recorded:
    for result in results.values():
        if not result.ok:
            hint = "only what was built and booted is recorded"
            raise BadInput(f"{result.stage} did not succeed", where=cell.name, hint=hint)
    artifacts = {name: results[f"{stage}:{cell.build}"].artifacts[name].sha256 for stage, name in RECORDED.items()}
    return Recorded(inputs=_inputs(cell, results), artifacts=artifacts)


def _victims(cell: Cell, results: Mapping[str, StageResult]) -> RecordedVictims:
    verdict = current().project.verdict(cell, results, whole=True)
    return recorded_as(victims_of(verdict.checks), inputs=_inputs(cell, results))
