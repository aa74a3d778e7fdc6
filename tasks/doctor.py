"""The task `doctor`: what this machine lacks, and how to get it."""

import json
import sys

from oolong.doctor import LACKS, examine
from oolong.errors import Infrastructure
from oolong.report import tables
from tasks.declare import Task, collecting
from tasks.session import current


def task_doctor() -> Task:
    """see whether this machine has what oolong needs, and how to get what it lacks; format=json for machines"""
    return {"actions": [(collecting, ["doctor", show_findings])], "uptodate": [False], "io": {"capture": False}}


def show_findings() -> None:
    session = current()
    findings = examine(session.layout)
    documents = [finding.as_json() for finding in findings]
    if session.variables.get("format") == "json":
        sys.stdout.write(json.dumps(documents, indent=2) + "\n")
    else:
        sys.stdout.write(tables.findings(documents))
    if lacking := [finding.name for finding in findings if finding.status == LACKS]:
        session.collected.error("doctor", Infrastructure(f"this machine lacks: {', '.join(lacking)}"))
