"""An exhibit → its cells made, and what the checks that must name the fault said."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oolong.audit.check import Check, CheckStatus
from oolong.audit.outcomes import STAGE
from oolong.engine.runner import SILENT, Observer, Runner
from oolong.engine.stage import StageStatus
from oolong.errors import BadInput
from oolong.host.files import remove_tree
from oolong.host.layout import Layout
from oolong.museum.exhibit import Exhibit, Expected, Tree
from oolong.report.model import CellReport
from oolong.run.here import make_cell
from oolong.run.project import Project, Request, open_project
from oolong.spec.model import Cell, Endian

NOT_HELD = (CheckStatus.FAIL, CheckStatus.KNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one check of a cell said; `good` is whether it said what it must."""

    cell: str
    check: str
    good: bool
    status: str
    evidence: str

    def as_json(self) -> dict[str, Any]:
        return {
            "cell": self.cell,
            "check": self.check,
            "good": self.good,
            "status": self.status,
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What became of an exhibit."""

    exhibit: Exhibit
    seen: tuple[Seen, ...]

    @property
    def caught(self) -> bool:
        """Whether each check said what it must, in each cell."""
        return bool(self.seen) and all(one.good for one in self.seen)

    def as_json(self) -> dict[str, Any]:
        exhibit = self.exhibit
        return {
            "id": exhibit.id,
            "what": exhibit.what,
            "commit": exhibit.commit,
            "kernels": exhibit.kernels,
            "needs_kernel": exhibit.needs_kernel,
            "checks": [expected.check for expected in exhibit.caught_by],
            "caught": self.caught,
            "seen": [one.as_json() for one in self.seen],
        }


def show(exhibit: Exhibit, usual: Request, layout: Layout, runner: Runner, *, observer: Observer = SILENT) -> Shown:
    """Make the cells of an exhibit. `usual` says where packages come from; its kernel, config and patches are not used.

    BadInput if the pipeline has no such cell.
    """
    project = _project(exhibit, usual, layout)
    seen: list[Seen] = []
    for endian in exhibit.endians:
        cell = _cell(exhibit, project, endian)
        report = make_cell(project, cell, runner, upto=exhibit.upto, observer=observer)
        seen += seen_in(exhibit, report)
    return Shown(exhibit=exhibit, seen=tuple(seen))


def seen_in(exhibit: Exhibit, report: CellReport) -> Iterator[Seen]:
    """What the checks of a cell said that an exhibit asks for (pure)."""
    checks = {check.name: check for check in report.verdict.checks}
    for expected in exhibit.caught_by:
        yield _caught(expected, checks.get(expected.check), report)
    for name in exhibit.holds:
        yield _held(name, checks.get(name), report)
    named = {*exhibit.holds, *(expected.check for expected in exhibit.caught_by)}
    for check in report.verdict.checks if exhibit.alone else ():
        if check.status is CheckStatus.FAIL and check.name not in named:
            yield _said(check, False, report)


def _caught(expected: Expected, check: Check | None, report: CellReport) -> Seen:
    if check is None:
        return _unmade(expected.check, report)
    good = check.status in NOT_HELD and (not expected.victims or expected.names(check.victims))
    return _said(check, good, report)


def _held(name: str, check: Check | None, report: CellReport) -> Seen:
    if check is not None:
        return _said(check, check.status is CheckStatus.PASS, report)
    # a verdict does not list the stages that succeeded
    stage = report.stage(name.removeprefix(STAGE)) if name.startswith(STAGE) else None
    if stage is None or stage.status is not StageStatus.OK:
        return _unmade(name, report)
    return Seen(cell=report.cell, check=name, good=True, status=CheckStatus.PASS.value, evidence="it succeeded")


def _said(check: Check, good: bool, report: CellReport) -> Seen:
    return Seen(cell=report.cell, check=check.name, good=good, status=check.status.value, evidence=check.evidence)


def _unmade(name: str, report: CellReport) -> Seen:
    evidence = f"it was not made: {report.verdict.summary}"
    return Seen(cell=report.cell, check=name, good=False, status="", evidence=evidence)


def _project(exhibit: Exhibit, usual: Request, layout: Layout) -> Project:
    """The checkout with the kernel of an exhibit."""
    pristine = replace(usual, kernel=None, config=None, patches=None, cell=None, folder=exhibit.folder)
    return open_project(
        replace(
            pristine,
            kernel=str(_small_kernel(exhibit, layout)) if exhibit.tree is Tree.SMALL else None,
            config=",".join((exhibit.config, *map(str, exhibit.fragments))) if exhibit.fragments else None,
            patches=",".join(map(str, exhibit.patches)) or None,
        ),
        layout,
    )


def _small_kernel(exhibit: Exhibit, layout: Layout) -> Path:
    """A copy of the small kernel with the files of an exhibit."""
    folder = layout.build / "museum" / exhibit.id / layout.small_kernel.name
    remove_tree(folder)
    shutil.copytree(layout.small_kernel, folder)
    if exhibit.files.exists():
        shutil.copytree(exhibit.files, folder, dirs_exist_ok=True)
    return folder


def _cell(exhibit: Exhibit, project: Project, endian: Endian) -> Cell:
    """The first cell of a project that is what an exhibit asks for."""
    for cell in project.cells:
        # fragments make a config of another name
        named = cell.config.name == exhibit.config or exhibit.fragments
        if named and cell.endian is endian and cell.toolchain.name == exhibit.toolchain:
            return cell
    wanted = f"{endian.value}, {exhibit.config}, {exhibit.toolchain}"
    raise _unknown(exhibit, f"no cell of the pipeline has {wanted}", "./doit cells")


def _unknown(exhibit: Exhibit, what: str, hint: str) -> BadInput:
    return BadInput(what, where=str(exhibit.folder), hint=hint)
