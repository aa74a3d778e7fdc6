"""What several tests need: a layout in a temporary folder, stages without kernels."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from oolong.engine.stage import Outcome, Recipe, Stage, Work
from oolong.host.layout import Layout

CHECKOUT = Path(__file__).resolve().parent.parent
TEST_DATA = CHECKOUT / "tests" / "data"


def layout_in(folder: Path) -> Layout:
    return Layout(checkout=folder / "checkout", cache=folder / "cache")


def silent(text: str, done: int = 0, total: int | None = None) -> None:
    """A progress that nobody watches."""


def victims(check: Mapping[str, Any]) -> list[str]:
    """For whom a check of a result.json does not hold, each name once."""
    return list(dict.fromkeys(finding["who"] for finding in check["findings"]))


def write_file(name: str, text: str) -> Callable[[Work], Outcome]:
    """The work of a stage that makes one artifact."""

    def work(work: Work) -> Outcome:
        (work.folder / name).write_text(text)
        return Outcome(artifacts={name: name})

    return work


def stage_of(
    name: str,
    work: Callable[[Work], Outcome],
    *needs: Stage,
    inputs: Mapping[str, str] | None = None,
    by_content: Mapping[str, tuple[str, str]] | None = None,
    tolerant: bool = False,
) -> Stage:
    return Stage(
        subject="cell",
        recipe=Recipe(stage=name, inputs={**{need.name: need.recipe.digest for need in needs}, **(inputs or {})}),
        needs=needs,
        work=work,
        by_content=by_content or {},
        tolerant=tolerant,
    )
