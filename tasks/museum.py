"""The task `museum`: past faults brought back, and whether the audit names them."""

import json
import sys

from oolong.errors import SYSTEM_ERRORS, OolongError, as_oolong_error
from oolong.museum.exhibit import Exhibit, chosen
from oolong.museum.showing import Shown, show
from oolong.report import tables
from tasks.declare import Task, collecting
from tasks.session import current


def task_museum() -> Task:
    """bring past faults of out-of-line ftrace back, and see each caught: id=ID,ID; format=json for machines"""
    return {"actions": [(collecting, ["museum", show_exhibits])], "uptodate": [False], "io": {"capture": False}}


def show_exhibits() -> None:
    session = current()
    exhibits = chosen(session.layout, session.variables.get("id"))
    shown = [found for exhibit in exhibits if (found := _shown(exhibit))]
    documents = [one.as_json() for one in shown]
    if session.variables.get("format") == "json":
        sys.stdout.write(json.dumps(documents, indent=2) + "\n")
    else:
        sys.stdout.write(tables.exhibits(documents))
    if not all(one.caught for one in shown):
        session.collected.failed("museum")


def _shown(exhibit: Exhibit) -> Shown | None:
    """One exhibit; trouble with the world ends this one, and is collected."""
    session = current()
    session.view.say(f"museum: {exhibit.id}")
    try:
        return show(exhibit, session.project.request, session.layout, session.runner, observer=session.view)
    except (OolongError, *SYSTEM_ERRORS) as caught:
        session.collected.error(f"museum:{exhibit.id}", as_oolong_error(caught))
        return None
