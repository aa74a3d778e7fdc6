"""The task `cells`: the matrix on the screen, nothing run."""

import json
import sys

from oolong.report import tables
from oolong.report.model import CellSettings
from tasks.declare import Task, collecting
from tasks.session import current


def task_cells() -> Task:
    """list the cells without running anything; format=json for machines"""
    return {"actions": [(collecting, ["cells", show_cells])], "uptodate": [False], "io": {"capture": False}}


def show_cells() -> None:
    session = current()
    cells = session.project.selected if {"set", "cell"} & session.variables.keys() else session.project.cells
    settings = [CellSettings.of(cell) for cell in cells]
    if session.variables.get("format") == "json":
        sys.stdout.write(json.dumps([one.as_json() for one in settings], indent=2) + "\n")
    else:
        sys.stdout.write(tables.cells(settings))
