"""What doit reads: its settings, and the tasks of tasks/."""

from tasks.bundle import task_bundle
from tasks.cells import task_cells
from tasks.cli.reporter import Reporter
from tasks.doctor import task_doctor
from tasks.explain import task_explain
from tasks.lock import task_lock
from tasks.matrix import task_cell, task_matrix
from tasks.museum import task_museum
from tasks.record import task_record
from tasks.report import task_report
from tasks.session import current
from tasks.stages import task_stages
from tasks.test import task_test

__all__ = [
    "DOIT_CONFIG",
    "task_bundle",
    "task_cell",
    "task_cells",
    "task_doctor",
    "task_explain",
    "task_lock",
    "task_matrix",
    "task_museum",
    "task_record",
    "task_report",
    "task_stages",
    "task_test",
]

current().layout.build.mkdir(parents=True, exist_ok=True)

DOIT_CONFIG = {
    "backend": "sqlite3",
    "dep_file": str(current().layout.build / "doit.sqlite3"),
    "default_tasks": ["matrix"],
    "reporter": Reporter,
    "par_type": "thread",
    "num_process": current().jobs,
    "continue": True,
    "verbosity": 2,
}
