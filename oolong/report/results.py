"""build/results/CELL/: the verdict of a cell, its kernel and its logs, where a person looks for them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oolong.engine.stage import Stage, StageResult, as_json
from oolong.host.files import remove_tree, write_json
from oolong.report.tables import cell_document
from oolong.spec.model import Cell

SCHEMA = 1
# result file -> (stage, artifact); what a stage did not come to make is left out
FILES: Mapping[str, tuple[str, str]] = {
    "vmlinux": ("link", "vmlinux"),
    "System.map": ("link", "System.map"),
    "vmlinux.o": ("compile", "vmlinux.o"),
    "vmlinux.arch.S": ("link", "vmlinux.arch.S"),
    "stubs.json": ("stubs", "stubs.json"),
    ".config": ("configure", "config"),
    "console.log": ("boot", "console.log"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All that is to be told of a cell: its stages with their results, in the order of the work; `unlocked` says that
    temporary locks stood in for the checkout's own; `repeat` is what to type to make just this cell anew."""

    cell: Cell
    stages: Sequence[tuple[Stage, StageResult]]
    unlocked: bool
    repeat: str

    def result(self, stage: str) -> StageResult | None:
        """The result of the cell's own stage of a name, if it has one."""
        return next((result for made, result in self.stages if made.task == f"{stage}:{self.cell.name}"), None)

    def files(self) -> Iterator[tuple[str, StageResult, str]]:
        """(result file, stage, artifact) of what the stages came to make."""
        for file, (stage, artifact) in FILES.items():
            result = self.result(stage)
            if result and artifact in result.artifacts:
                yield file, result, artifact


def document(account: Account) -> dict[str, Any]:
    """result.json (docs/result.schema.json): the verdict, every stage with its recipe and digests."""
    verdict = account.result("verdict")
    assert verdict
    return {
        "schema": SCHEMA,
        **cell_document(account.cell),
        "unlocked": account.unlocked,
        "verdict": dict(verdict.data),
        "stages": [
            {"task": stage.task, **as_json(result), "recipe": stage.recipe.as_json()}
            for stage, result in account.stages
        ],
        "files": {file: result.artifacts[artifact].sha256 for file, result, artifact in account.files()},
        "repeat": account.repeat,
    }


def publish(account: Account, folder: Path) -> None:
    """Fill a cell's folder of results; result.json comes last, so that where it is, the rest is."""
    remove_tree(folder)
    logs = folder / "logs"
    logs.mkdir(parents=True)
    for file, result, artifact in account.files():
        shutil.copyfile(result.path(artifact), folder / file)
    for stage, result in account.stages:
        if (log := result.folder / "log").exists():
            own = stage.subject == account.cell.name
            shutil.copyfile(log, logs / f"{stage.name if own else f'{stage.name}-{stage.subject}'}.log")
    write_json(folder / "result.json", document(account))
