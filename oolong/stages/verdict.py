"""The stage `verdict`: the results of all stages of a cell → its verdict; it runs whatever failed before it."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from oolong import stubs, verdict
from oolong.codeversion import code_digest
from oolong.digest import digest_of
from oolong.errors import BadInput
from oolong.lock import Recorded
from oolong.model import Cell
from oolong.stage import BLOCKED, FAIL, OK, Outcome, Recipe, Stage, Work
from oolong.verdict import Declared


def stage(cell: Cell, chain: Sequence[Stage], *, recorded: Recorded | None, unlocked: bool) -> Stage:
    """`chain` are all the other stages of the cell; for `recorded` and `unlocked` see oolong.verdict."""
    declared = Declared(expect=cell.expect, recorded=recorded, unlocked=unlocked)
    recipe = Recipe(
        stage="verdict",
        inputs={
            "declared": digest_of(asdict(declared)),
            **{needed.name if needed.subject == cell.name else needed.task: needed.recipe.digest for needed in chain},
        },
        code=code_digest(("oolong.stages.verdict",)),
    )
    return Stage(subject=cell.name, recipe=recipe, needs=tuple(chain), work=partial(_work, declared), tolerant=True)


def _work(declared: Declared, work: Work) -> Outcome:
    results = list(work.needs.values())
    areas = {}
    for result in results:
        if result.stage in verdict.LINKS and result.ok and "vmlinux" in result.artifacts:
            try:
                areas[result.stage] = stubs.read_areas(result.path("vmlinux"))
            except BadInput:
                continue  # out-of-line ftrace is off; where it should be on, the configuration was asserted
    judged = verdict.judge(results, areas=areas, declared=declared)
    return Outcome(
        status=FAIL if judged.status == FAIL else OK,
        kind=judged.kind,
        lines=judged.lines,
        data=judged.as_json(),
        keep=all(result.keep for result in results if result.status != BLOCKED),
    )
