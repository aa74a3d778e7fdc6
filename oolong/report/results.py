"""build/results/CELL/: the verdict of a cell, its kernel and its logs, where a person looks for them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oolong.model import Cell
from oolong.report.tables import cell_document
from oolong.stage import StageResult
from oolong.store import as_json, remove_tree, write_json

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


def document(cell: Cell, stages: Mapping[str, StageResult], *, unlocked: bool) -> dict[str, Any]:
    """result.json (docs/result.schema.json): the verdict, every stage with its digests, what to type to repeat it.

    `stages` maps task names (`compile:CELL`) to results; `unlocked` says that temporary locks stood in for the
    checkout's own, so that digests cannot be compared with those of others.
    """
    by_name = {result.stage: result for result in stages.values()}
    return {
        "schema": SCHEMA,
        **cell_document(cell),
        "unlocked": unlocked,
        "verdict": dict(by_name["verdict"].data),
        "stages": [{"task": task, **as_json(result)} for task, result in stages.items()],
        "files": {
            file: by_name[stage].artifacts[artifact].sha256
            for file, (stage, artifact) in FILES.items()
            if stage in by_name and artifact in by_name[stage].artifacts
        },
        "repeat": f"./doit again=1 cell:{cell.name}",
    }


def publish(cell: Cell, stages: Mapping[str, StageResult], folder: Path, *, unlocked: bool) -> None:
    """Fill a cell's folder of results; result.json comes last, so that where it is, the rest is."""
    remove_tree(folder)
    logs = folder / "logs"
    logs.mkdir(parents=True)
    by_name = {result.stage: result for result in stages.values()}
    for file, (stage, artifact) in FILES.items():
        if stage in by_name and artifact in by_name[stage].artifacts:
            shutil.copyfile(by_name[stage].path(artifact), folder / file)
    for name, result in by_name.items():
        if (log := result.folder / "log").exists():
            shutil.copyfile(log, logs / f"{name}.log")
    write_json(folder / "result.json", document(cell, stages, unlocked=unlocked))
