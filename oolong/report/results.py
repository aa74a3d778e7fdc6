"""build/results/CELL/: the verdict of a cell, its kernel and its logs, where a person looks for them."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oolong.engine.stage import Stage, StageResult
from oolong.errors import BadInput
from oolong.host.files import remove_tree, write_json
from oolong.host.statcache import StatCache
from oolong.report.model import ArtifactReport, CellReport, StageReport, TreeReport
from oolong.spec.model import Cell
from oolong.verdict.judge import Verdict

RESULT, LOGS = "result.json", "logs"
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
class CellResults:
    """A cell with its verdict and its stages, in the order of the work. `unlocked`: temporary locks stood in for the
    checkout's own. `repeat` is what to type to make just this cell again."""

    cell: Cell
    stages: Sequence[tuple[Stage, StageResult]]
    verdict: Verdict
    unlocked: bool
    repeat: str

    def result(self, stage: str) -> StageResult | None:
        """The result of the stage of a name of the cell or its build, if there is one."""
        own = self.cell.name, self.cell.build
        return next((result for made, result in self.stages if made.name == stage and made.subject in own), None)

    def files(self) -> Iterator[tuple[str, StageResult, str]]:
        """(result file, stage, artifact) of what the stages came to make."""
        for file, (stage, artifact) in FILES.items():
            result = self.result(stage)
            if result and artifact in result.artifacts:
                yield file, result, artifact

    def report(self) -> CellReport:
        """What result.json holds."""
        return CellReport.of(
            self.cell,
            unlocked=self.unlocked,
            verdict=self.verdict,
            stages=tuple(_stage_report(stage, result) for stage, result in self.stages),
            files={file: result.artifacts[artifact].sha256 for file, result, artifact in self.files()},
            repeat=self.repeat,
        )


def _stage_report(stage: Stage, result: StageResult) -> StageReport:
    """A stage without its folder, since host paths stay out of documents."""
    return StageReport(
        task=stage.task,
        stage=result.stage,
        digest=result.digest,
        status=result.status,
        kind=result.kind,
        lines=result.lines,
        artifacts={
            name: ArtifactReport(path=made.path, sha256=made.sha256, size=made.size)
            for name, made in result.artifacts.items()
        },
        trees={
            name: TreeReport(path=made.path, sha256=made.sha256, entries=made.entries)
            for name, made in result.trees.items()
        },
        data=result.data,
        keep=result.keep,
        blocks=result.blocks,
        seconds=result.seconds,
        recipe=stage.recipe,
    )


def publish(results: CellResults, folder: Path) -> None:
    """Fill a cell's folder of results; result.json comes last, so that where it is, the rest is."""
    remove_tree(folder)
    logs = folder / LOGS
    logs.mkdir(parents=True)
    for file, result, artifact in results.files():
        shutil.copyfile(result.path(artifact), folder / file)
    for name, log in _logs(results):
        shutil.copyfile(log, logs / name)
    write_json(folder / RESULT, results.report().as_json())


def _logs(results: CellResults) -> Iterator[tuple[str, Path]]:
    """(name, the stage's own log) of the stages that left one; those of shared stages are named after their subject."""
    for stage, result in results.stages:
        if (log := result.folder / "log").exists():
            own = stage.subject in (results.cell.name, results.cell.build)
            yield f"{stage.name if own else f'{stage.name}-{stage.subject}'}.log", log


def is_told(results: CellResults, folder: Path, cache: StatCache) -> bool:
    """Whether a cell's folder is what `publish` would make of it now; logs by their names and sizes alone."""
    try:
        if json.loads((folder / RESULT).read_bytes()) != results.report().as_json():
            return False
        with cache.of(folder) as known:
            told = all(
                known.sha256(folder / file, file, (folder / file).lstat()) == result.artifacts[artifact].sha256
                for file, result, artifact in results.files()
            )
        return told and all((folder / LOGS / name).stat().st_size == log.stat().st_size for name, log in _logs(results))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False


def read(folder: Path) -> CellReport:
    """The report in a cell's folder of results; BadInput if its result.json is no report of this version."""
    path = folder / RESULT
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"no JSON: {error}", where=str(path)) from error
    return CellReport.from_json(document, where=str(path))
