"""The tree's own build of the stubs, as it is in Linux 7.3.4 and with each point of its review undone.

One object tree serves all: the stage works on a copy of it, with a source in which a few files are patched.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from oolong.audit.check import Check, CheckStatus, from_json
from oolong.engine.runner import Runner
from oolong.engine.stage import Stage, StageResult, Work
from oolong.host.files import remove_tree
from oolong.host.process import Scope
from oolong.run.here import make, make_cell
from oolong.run.project import Project, Request, open_project
from oolong.stubs.areas import INITTEXT, TEXT_END
from oolong.supply.tree import FIXED_TIME
from tests.e2e.conftest import LE, Smoke
from tests.support import silent

pytestmark = [pytest.mark.e2e, pytest.mark.full]
PATCHES = Path(__file__).parent / "patches"
SOURCE, SOURCE_OBJECT = "arch/powerpc/tools/vmlinux.arch.S", "arch/powerpc/tools/vmlinux.arch.o"
HIDDEN = "arch/powerpc/tools/.vmlinux.arch.S"
MAKEFILE = "arch/powerpc/tools/Makefile"
EVERY = {SOURCE, SOURCE_OBJECT, "vmlinux"}
# what Linux 7.3.4 itself does wrong
OF_7_3_4 = {"tree.empty-areas": {INITTEXT}}
# the check that a patch makes fail beside those, with its victims; None where they are lines of a compiler
UNDONE: dict[str, tuple[str, set[str] | None]] = {
    "redundant-dependency": ("tree.dependencies", {"PPC64"}),
    "hidden-source": ("tree.visible", {HIDDEN}),
    "own-object-rule": ("tree.generic-rule", {MAKEFILE}),
    "no-targets": ("tree.second-make", EVERY),
    "flag-from-config": ("tree.word-size", {"include/config/auto.conf"}),
    "cross-objdump": ("tree.objdump", {"make OBJDUMP=", "the command alone"}),
    "objdump-from-environment": ("tree.objdump", {"the command alone"}),
    "no-force": ("tree.script-edit", EVERY),
    "space-of-nothing": ("tree.empty-areas", {TEXT_END, INITTEXT}),
    "modules-required": ("tree.without-modules", None),
    "thirty-two-bit-stubs": ("tree.thirty-two-bit", {"PPC_FTRACE_OUT_OF_LINE", SOURCE_OBJECT}),
    "not-cleaned": ("tree.clean", {SOURCE}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The stage `tree` of a cell with the results of what it needs, and a source of one's own to patch."""

    project: Project
    stage: Stage
    inputs: dict[str, StageResult]
    source: Path

    def tried(self, folder: Path) -> dict[str, Check]:
        """What the stage's work comes to on the source as it stands, by the names of the checks."""
        work = Work(
            stage=self.stage,
            folder=folder / "work",
            inputs={**self.inputs, "source": replace(self.inputs["source"], folder=self.source.parent)},
            log=folder / "log",
            progress=silent,
            listener=None,
            layout=self.project.layout,
            jobserver=None,
            scope=Scope(),
        )
        work.folder.mkdir(parents=True)
        outcome = self.stage.work(work)
        assert not outcome.lines, outcome.lines
        remove_tree(work.folder)
        return {read["name"]: from_json(read) for read in outcome.data["checks"]}


@pytest.fixture(scope="module")
def prepared(smoke: Smoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    project = open_project(Request(), smoke.checkout.layout)
    cell = project.cell(LE)
    *needed, stage = project.chain(cell, upto="tree")
    folder = tmp_path_factory.mktemp("tree")
    results = make(needed, Runner(project.store, own=folder / "own", say=print))
    inputs = {one.role: results[one.stage.task] for one in stage.inputs}
    source = folder / "tree"
    subprocess.run(["cp", "--archive", str(inputs["source"].path("tree")), str(source)], check=True)
    yield Prepared(project=project, stage=stage, inputs=inputs, source=source)
    remove_tree(folder)


def apply(patch: Path, source: Path) -> list[Path]:
    """Patch files of a source, which keep their times, and say which they are."""
    text = patch.read_text()
    touched = [source / line.removeprefix("+++ b/") for line in text.splitlines() if line.startswith("+++ b/")]
    subprocess.run(["git", "apply", str(patch)], cwd=source, check=True)
    for path in touched:
        os.utime(path, (FIXED_TIME, FIXED_TIME))
    return touched


def failing(checks: dict[str, Check]) -> dict[str, set[str]]:
    return {name: set(check.victims) for name, check in checks.items() if check.status is CheckStatus.FAIL}


def test_the_tree_is_as_its_reviewers_wanted_but_for_one_area(smoke: Smoke, tmp_path: Path) -> None:
    project = open_project(Request(), smoke.checkout.layout)
    report = make_cell(project, project.cell(LE), Runner(project.store, own=tmp_path, say=print), upto="tree")
    checks = {check.name: check for check in report.verdict.checks if check.name.startswith("tree.")}
    assert {name for name, check in checks.items() if check.status is CheckStatus.KNOWN} == set(OF_7_3_4)
    assert {check.status for check in checks.values()} == {CheckStatus.KNOWN, CheckStatus.PASS}
    assert len(checks) == len({check for check, _ in UNDONE.values()})
    assert report.verdict.status is CheckStatus.KNOWN


@pytest.mark.parametrize("patch", UNDONE)
def test_a_point_that_is_undone_is_caught_by_its_check_alone(prepared: Prepared, tmp_path: Path, patch: str) -> None:
    name, victims = UNDONE[patch]
    original = prepared.inputs["source"].path("tree")
    touched = apply(PATCHES / f"{patch}.patch", prepared.source)
    try:
        found = failing(prepared.tried(tmp_path))
    finally:
        for path in touched:
            shutil.copy2(original / path.relative_to(prepared.source), path)
    caught = found.pop(name)
    assert found == {other: known for other, known in OF_7_3_4.items() if other != name}
    assert caught == victims if victims is not None else caught


def test_every_patch_has_its_check() -> None:
    assert {path.stem for path in PATCHES.iterdir()} == set(UNDONE)
