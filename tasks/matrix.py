"""The groups that a person types: `matrix` for a set of cells, `cell:NAME` for one."""

from collections.abc import Iterator

from tasks.declare import Task, group
from tasks.session import current


def task_matrix() -> Task:
    """all stages of a set of cells: set=NAME, or default; without any task, the set smoke"""
    cells = current().project.selected if current().stages else ()
    return {"actions": None, "task_dep": [f"report:{cell.name}" for cell in cells]}


def task_cell() -> Iterator[Task]:
    yield group("cell", "all stages of one cell")
    for cell in current().project.cells if current().stages else ():
        yield {"basename": "cell", "name": cell.name, "actions": None, "task_dep": [f"report:{cell.name}"]}
