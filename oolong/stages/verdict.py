"""The stage `verdict`: the results of all stages of a cell → its verdict; it runs whatever failed before it."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import BLOCKED, FAIL, OK, Outcome, Recipe, Stage, StageResult, Work
from oolong.errors import BadInput
from oolong.host.digest import digest_of
from oolong.host.files import text_of
from oolong.kbuild import config as kconfig
from oolong.spec.lock import Recorded
from oolong.spec.model import Cell
from oolong.stubs import counting
from oolong.verdict import judge as verdict
from oolong.verdict.judge import Declared
from oolong.verdict.known_issues import Facts, KnownIssue


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
    areas = {}
    for result in results:
        if result.stage in verdict.LINKS and result.ok and "vmlinux" in result.artifacts:
            try:
                areas[result.stage] = counting.read_areas(result.path("vmlinux"))
            except BadInput:
                continue  # out-of-line ftrace is off; where it should be on, the configuration was asserted
    judged = verdict.judge(results, areas=areas, declared=declared, facts=_facts(cell, results))
    return Outcome(
        status=FAIL if judged.status == FAIL else OK,
        kind=judged.kind,
        lines=judged.lines,
        data=judged.as_json(),
        keep=all(result.keep for result in results if result.status != BLOCKED),
    )


def _facts(cell: Cell, results: Sequence[StageResult]) -> Facts:
    """What the cell's build came to, however far it came."""
    release = _text(results, ("compile", "release"))
    config = _text(results, ("compile", "config"), ("configure", "config"))
    return Facts(
        axes=cell.axes,
        release=None if release is None else release.strip(),
        config=None if config is None else kconfig.parse(config, where=".config"),
    )


def _text(results: Sequence[StageResult], *places: tuple[str, str]) -> str | None:
    """The first of some artifacts, as (stage, artifact), that is there."""
    for stage, artifact in places:
        for result in results:
            if result.stage == stage and artifact in result.artifacts:
                return text_of(result.folder, result.artifacts[artifact].path)
    return None
