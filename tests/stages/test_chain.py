"""Which stages the chain of a cell has, by what its kernel is."""

from pathlib import Path

import pytest

from oolong.host.layout import Layout
from oolong.run.project import Project, Request, open_project
from tests.checkout import FAKELINUX
from tests.support import CHECKOUT

CELL = "le-minimal-gcc-14"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(checkout=CHECKOUT, cache=tmp_path / "cache")


def names(project: Project, *, upto: str | None = None) -> list[str]:
    return [stage.name for stage in project.chain(project.selected[0], upto=upto)]


def test_how_a_released_kernel_builds_its_stubs_is_tried_for_who_asks(layout: Layout) -> None:
    project = open_project(Request(cell=CELL), layout)
    assert "tree" not in names(project)
    assert "tree" not in project.pipeline.cell_stage_names
    assert names(project, upto="tree")[-2:] == ["link", "tree"]
    assert f"tree:{CELL}" in {stage.task for stage in project.pipeline.stages()}


@pytest.mark.parametrize("asked", ["kernel", "patches"])
def test_how_a_kernel_in_the_making_builds_its_stubs_is_part_of_its_cell(
    layout: Layout, tmp_path: Path, asked: str
) -> None:
    patch = tmp_path / "a.patch"
    patch.write_text("")
    kernel, patches = (str(FAKELINUX), None) if asked == "kernel" else (None, str(patch))
    project = open_project(Request(cell="le-minimal-gcc-14-*", kernel=kernel, patches=patches), layout)
    assert "tree" in names(project)
    assert "tree" in project.pipeline.cell_stage_names
    assert names(project).count("tree") == 1
