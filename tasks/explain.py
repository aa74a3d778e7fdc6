"""The task `explain`: a function's entry, its patch site and its stub, in the file and in memory."""

import json
import sys
from dataclasses import dataclass
from typing import Any

from oolong.audit.check import Check
from oolong.engine.stage import StageResult
from oolong.errors import BadInput, BadOutput
from oolong.explain import listing, read, text
from oolong.explain.function import explained
from oolong.explain.model import Function
from oolong.printable import printable
from oolong.run.here import verified_verdict
from oolong.spec.model import Cell
from tasks.declare import Task, collecting
from tasks.session import current

# what is told of, if it was made
LOOKED_AT = ("offsets", "boot", "audit-image", "live")
WANTED = ("link", *LOOKED_AT)


def task_explain() -> Task:
    """a function's patch site and its stub, in the file and live: ./doit explain -c CELL -f FUNCTION [format=json]"""
    session = current()
    asked = "explain" in session.request.words and session.stages
    linked = [f"link:{cell.build}" for cell in session.project.selected] if asked else []
    if asked and not _function() and not _as_json():
        hint = "./doit explain -c CELL -f FUNCTION; with format=json alone, all functions of the image"
        raise BadInput("explain needs a function", where="function=", hint=hint)
    return {
        "actions": [(collecting, ["explain", show])],
        "task_dep": linked,
        "uptodate": [False],
        "io": {"capture": False},
    }


def show() -> None:
    cells = current().project.selected
    if not _function():
        _show_all(cells)
    elif _as_json():
        sys.stdout.write(json.dumps([_explained(cell).as_json() for cell in cells], indent=2) + "\n")
    else:
        for cell in cells:
            sys.stdout.write(_explained(cell).described())


def _show_all(cells: tuple[Cell, ...]) -> None:
    """One array, an entry a line: a kernel has tens of thousands."""
    start = "[\n"
    for cell in cells:
        for entry in listing.entries(read.kernel(*_results(cell))):
            sys.stdout.write(start + json.dumps({"cell": cell.name, **entry}))
            start = ",\n"
    sys.stdout.write("\n]\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The functions of a name in a cell, the stops of its boot, and the stages that would have told more."""

    cell: str
    release: str | None
    functions: tuple[Function, ...]
    stops: tuple[str, ...]
    missing: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "cell": self.cell,
            "release": self.release,
            "stops": list(self.stops),
            "missing": list(self.missing),
            "functions": [one.as_json() for one in self.functions],
        }

    def described(self) -> str:
        lines = f"{self.cell}, Linux {printable(str(self.release))}\n" + "\n".join(
            text.described(one) for one in self.functions
        )
        if self.missing:
            lines += f"  nothing is known from {', '.join(self.missing)}: {current().typed(self.cell)} makes them\n"
        elif not self.stops:
            lines += "  its boot left no memory to look at\n"
        return lines


def _explained(cell: Cell) -> Explained:
    results, checks = _results(cell)
    symbols = read.functions(results["link"].path("vmlinux"), _function())
    kernel = read.kernel(results, checks)
    return Explained(
        cell=cell.name,
        release=kernel.image.release,
        functions=tuple(explained(kernel, symbol) for symbol in symbols),
        stops=tuple(survey.name for survey in kernel.surveys),
        missing=tuple(stage for stage in LOOKED_AT if stage not in results),
    )


def _results(cell: Cell) -> tuple[dict[str, StageResult], tuple[Check, ...]]:
    """By name the result of the link, and of the later stages those that there are; the checks of the audits, as a
    verdict on what there is judges them."""
    session = current()
    chain = session.project.chain(cell)
    results = {stage.task: result for stage in chain if (result := session.runner.latest(stage))}
    found = {stage.name: results[stage.task] for stage in chain if stage.task in results and stage.name in WANTED}
    linked = found["link"]
    if not linked.ok:
        raise BadOutput(f"{cell.name} did not link: {linked.lines[0] if linked.lines else linked.kind}")
    return found, verified_verdict(session.project, cell, results, session.runner, whole=False).checks


def _function() -> str:
    return current().variables.get("function", "")


def _as_json() -> bool:
    return current().variables.get("format") == "json"
