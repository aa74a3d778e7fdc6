"""What doit reads: its settings, and the tasks, one module per stage."""

from tasks.audit import task_audit_image, task_audit_object
from tasks.boot import task_boot
from tasks.bundle import task_bundle
from tasks.cells import task_cells
from tasks.cli.reporter import Reporter
from tasks.compile import task_compile
from tasks.configure import task_configure
from tasks.doctor import task_doctor
from tasks.explain import task_explain
from tasks.initramfs import task_initramfs
from tasks.link import task_crosslink, task_link
from tasks.live import task_live
from tasks.lock import task_lock
from tasks.matrix import task_cell, task_matrix
from tasks.modules import task_modules
from tasks.offsets import task_offsets
from tasks.record import task_record
from tasks.report import task_report
from tasks.rootfs import task_rootfs
from tasks.session import current
from tasks.source import task_source
from tasks.stubs import task_stubs
from tasks.test import task_test
from tasks.verdict import task_verdict

__all__ = [
    "DOIT_CONFIG",
    "task_audit_image",
    "task_audit_object",
    "task_boot",
    "task_bundle",
    "task_cell",
    "task_cells",
    "task_compile",
    "task_configure",
    "task_crosslink",
    "task_doctor",
    "task_explain",
    "task_initramfs",
    "task_link",
    "task_live",
    "task_lock",
    "task_matrix",
    "task_modules",
    "task_offsets",
    "task_record",
    "task_report",
    "task_rootfs",
    "task_source",
    "task_stubs",
    "task_test",
    "task_verdict",
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
