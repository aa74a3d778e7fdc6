"""The stage `verdict`: the results of all stages of a cell → its verdict; it runs whatever failed before it."""

from collections.abc import Sequence
from functools import partial

from oolong import stubs, verdict
from oolong.codeversion import code_digest
from oolong.digest import digest_of
from oolong.errors import BadInput
from oolong.model import Cell, Expect
from oolong.stage import BLOCKED, FAIL, OK, Outcome, Recipe, Stage, Work


def stage(cell: Cell, chain: Sequence[Stage]) -> Stage:
    """`chain` are all the other stages of the cell."""
    recipe = Recipe(
        stage="verdict",
        inputs={
            "expect": digest_of(cell.expect.ool),
            **{needed.name if needed.subject == cell.name else needed.task: needed.recipe.digest for needed in chain},
        },
        code=code_digest(("oolong.stages.verdict",)),
    )
    return Stage(subject=cell.name, recipe=recipe, needs=tuple(chain), work=partial(_work, cell.expect), tolerant=True)


def _work(expect: Expect, work: Work) -> Outcome:
    results = list(work.needs.values())
    areas = {}
    for result in results:
        if result.stage in verdict.LINKS and result.ok and "vmlinux" in result.artifacts:
            try:
                areas[result.stage] = stubs.read_areas(result.path("vmlinux"))
            except BadInput:
                continue  # out-of-line ftrace is off; where it should be on, the configuration was asserted
    judged = verdict.judge(results, areas=areas, expect=expect)
    return Outcome(
        status=FAIL if judged.status == FAIL else OK,
        kind=judged.kind,
        lines=judged.lines,
        data=judged.as_json(),
        keep=all(result.keep for result in results if result.status != BLOCKED),
    )
