"""The task `bundle`: everything that a set of cells needs from outside, in one archive."""

from tasks.declare import Task, collecting
from tasks.session import current


def task_bundle() -> Task:
    """write all that the cells need from outside into one archive: ./doit bundle FILE [set=NAME]"""
    return {"actions": [(collecting, ["bundle", write_bundle])], "uptodate": [False], "io": {"capture": False}}


def write_bundle() -> None:
    from oolong.supply.gather import gather

    session = current()
    target = session.bundle_to_write
    stages = [stage for cell in session.project.selected for stage in session.project.chain(cell)]
    supplies = {supply.member: supply for stage in stages for supply in stage.supplies}
    files = gather(
        supplies.values(),
        target,
        layout=session.layout,
        progress=session.view.telling("bundle"),
        scope=session.scope,
    )
    session.view.say(f"{target}: {files} files, {target.stat().st_size / 1e6:.0f} MB; ./doit bundle=FILE runs from it")
