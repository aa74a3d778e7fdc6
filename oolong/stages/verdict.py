"""The stage `verdict`: the results of all stages of a cell → its verdict; it runs whatever failed before it."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from oolong.audit.check import CheckStatus
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, StageStatus, Work
from oolong.host.digest import digest_of
from oolong.spec.lock import Recorded
from oolong.spec.model import Cell
from oolong.verdict.facts import facts_of
from oolong.verdict.judge import Declared, judge
from oolong.verdict.known_issues import KnownIssue


def stage(
    cell: Cell, chain: Sequence[Stage], *, recorded: Recorded | None, unlocked: bool, known: tuple[KnownIssue, ...]
) -> Stage:
    """`chain` are all the other stages of the cell; for `recorded`, `unlocked` and `known` see oolong.verdict."""
    declared = Declared(expect=cell.expect, recorded=recorded, unlocked=unlocked, known=known)
    recipe = Recipe(
        stage="verdict",
        inputs={
            "declared": digest_of([asdict(declared), cell.axes]),
            **{needed.name if needed.subject == cell.name else needed.task: needed.recipe.digest for needed in chain},
        },
        code=code_digest(__name__),
    )
    return Stage(
        subject=cell.name, recipe=recipe, needs=tuple(chain), work=partial(_work, cell, declared), tolerant=True
    )


def _work(cell: Cell, declared: Declared, work: Work) -> Outcome:
    results = list(work.needs.values())
    judged = judge(results, declared=declared, facts=facts_of(cell.axes, results))
    return Outcome(
        status=StageStatus.FAIL if judged.status is CheckStatus.FAIL else StageStatus.OK,
        kind=judged.kind,
        lines=judged.lines,
        data=judged.as_json(),
        keep=all(result.keep for result in results if result.status is not StageStatus.BLOCKED),
    )
