"""The task `explain`: a function's entry, its patch site and its stub's area."""

import json
import sys

from oolong import explain
from oolong.errors import BadInput, BadOutput
from tasks.declare import Task, collecting
from tasks.session import current


def task_explain() -> Task:
    """where a function's patch site is and which stubs serve it: ./doit explain -c CELL -f FUNCTION [format=json]"""
    session = current()
    asked = "explain" in session.request.words and session.stages
    compiled = [f"compile:{cell.name}" for cell in session.selected] if asked else []
    return {
        "actions": [(collecting, ["explain", show_function])],
        "task_dep": compiled,
        "uptodate": [False],
        "io": {"capture": False},
    }


def show_function() -> None:
    session = current()
    documents = [_explained(cell.name) for cell in session.selected]
    if session.variables.get("format") == "json":
        told = [{"cell": cell, "functions": [one.as_json() for one in found]} for cell, found in documents]
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    for cell, found in documents:
        sys.stdout.write(f"{cell}\n")
        for one in found:
            sys.stdout.write(explain.described(one))


def _explained(cell: str) -> tuple[str, tuple[explain.Function, ...]]:
    session = current()
    if "function" not in session.variables:
        raise BadInput("explain needs a function", where="function=", hint="./doit explain -c CELL -f FUNCTION")
    compiled = session.store.result(session.stages[f"compile:{cell}"])
    if not compiled.ok:
        raise BadOutput(f"{cell} did not compile: {compiled.lines[0] if compiled.lines else compiled.kind}")
    return cell, explain.functions(compiled.path("vmlinux.o"), session.variables["function"])
