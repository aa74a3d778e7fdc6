"""A checkout opened and a cell made without doit, in the process of the test."""

import json
from pathlib import Path

import pytest

from oolong.audit.check import CheckStatus
from oolong.engine.runner import Runner, Silent
from oolong.engine.stage import Stage
from oolong.errors import BadInput, Damaged, Interrupted
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.run.here import make, make_cell
from oolong.run.project import Project, Request, open_project
from tests.checkout import FAKELINUX, Checkout, fake_kernel
from tests.support import CHECKOUT

CELL = "le-minimal-gcc-14"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(checkout=CHECKOUT, cache=tmp_path / "cache")


@pytest.fixture
def fake(checkout: Checkout) -> Project:
    """The cell of fakelinux in a copy of the checkout."""
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    request = Request(kernel=str(kernel), cell=f"{CELL}-fakelinux")
    return open_project(request, Layout(checkout=checkout.folder, cache=checkout.cache))


def runner_of(project: Project, folder: Path) -> Runner:
    return Runner(project.store, own=folder / "own", say=print)


def names(stages: tuple[Stage, ...]) -> list[str]:
    return [stage.name for stage in stages]


def test_a_request_chooses_the_cells(layout: Layout) -> None:
    assert [cell.name for cell in open_project(Request(), layout).selected] == [CELL, "be-minimal-gcc-14"]
    full = open_project(Request(set="full"), layout).selected
    assert {cell.toolchain.name for cell in full} >= {"gcc-12", "clang-22"}
    assert [cell.name for cell in open_project(Request(cell="be-*-gcc-13"), layout).selected] == ["be-minimal-gcc-13"]


def test_a_file_that_is_no_bundle_is_refused_at_once(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "none.tar").write_bytes(b"no archive")
    with pytest.raises(BadInput, match=r"bundle="):
        open_project(Request(bundle="none.tar", folder=tmp_path), layout)


def test_a_chain_ends_with_the_stage_that_is_asked_for(layout: Layout) -> None:
    project = open_project(Request(), layout)
    (cell, _) = project.selected
    whole = project.chain(cell)
    assert names(whole)[-2:] == ["boot", "live"]
    assert names(project.chain(cell, upto="compile")) == ["rootfs", "source", "configure", "compile"]
    assert "link" not in names(project.chain(cell, upto="audit-object"))
    for stage in whole:
        positions = [whole.index(need) for need in stage.needs]
        assert all(position < whole.index(stage) for position in positions)


@pytest.mark.parametrize(
    ("upto", "hint"),
    [
        ("audit_object", "did you mean 'audit-object'?"),
        ("audit", "did you mean 'audit-"),
        ("source", "one of: configure, compile, "),
        ("rootfs", "one of: configure, compile, "),
    ],
)
def test_a_chain_ends_with_no_stage_that_the_cell_has_not(fake: Project, tmp_path: Path, upto: str, hint: str) -> None:
    (cell,) = fake.selected
    with pytest.raises(BadInput) as caught:
        make_cell(fake, cell, runner_of(fake, tmp_path), upto=upto)
    assert caught.value.what == f"{cell.name} has no stage {upto!r} of its own"
    assert caught.value.hint.startswith(hint)


def test_stages_that_see_no_machine_are_named_after_the_build(layout: Layout) -> None:
    project = open_project(Request(), layout)
    for cell in project.cells:
        own = {stage.name for stage in project.chain(cell) if stage.subject == cell.build}
        assert {"configure", "compile", "link", "initramfs"} <= own


def test_a_cell_is_made_up_to_a_stage_and_has_a_verdict(fake: Project, tmp_path: Path) -> None:
    (cell,) = fake.selected
    part = make_cell(fake, cell, runner_of(fake, tmp_path), upto="stubs")
    assert part.stages[-1].stage == "stubs"
    assert part.verdict.status == CheckStatus.PASS
    assert part.sites == (6, 2)
    whole = make_cell(fake, cell, runner_of(fake, tmp_path))
    assert whole.stages[-1].stage == "live"
    assert whole.verdict.status == CheckStatus.PASS
    assert whole.stage("compile") == part.stage("compile")


def test_a_verdict_reads_no_damaged_configuration(fake: Project, tmp_path: Path) -> None:
    (cell,) = fake.selected
    chain = fake.chain(cell, upto="compile")
    config = make(chain, runner_of(fake, tmp_path))[f"compile:{cell.build}"].path("config")
    text = config.read_text()
    config.unlink()
    config.write_text(f"{text}CONFIG_TAMPERED=y\n")
    with pytest.raises(Damaged):
        make_cell(fake, cell, runner_of(fake, tmp_path), upto="compile")
    make_cell(fake, cell, runner_of(fake, tmp_path), upto="compile")
    assert config.read_text() == text


def test_a_damaged_result_is_bad_input_with_its_place(fake: Project, tmp_path: Path) -> None:
    """result.json holds the digests of the outputs, and none of its own."""
    (cell,) = fake.selected
    made = make(fake.chain(cell, upto="boot"), runner_of(fake, tmp_path))
    path = made[f"boot:{cell.name}"].folder / "result.json"
    whole = path.read_bytes()
    read = json.loads(whole)
    del read["data"]["skipped"]
    path.unlink()
    path.write_text(json.dumps(read))
    with pytest.raises(BadInput, match=r"result\.json:\$\.data: the result of boot is damaged: .*`skipped`"):
        make_cell(fake, cell, runner_of(fake, tmp_path), upto="boot")
    path.write_bytes(whole)
    assert make_cell(fake, cell, runner_of(fake, tmp_path), upto="boot").verdict.status == CheckStatus.PASS


def test_a_failure_is_a_verdict_on_what_was_made(fake: Project, checkout: Checkout, tmp_path: Path) -> None:
    source = checkout.folder.parent / "fakelinux" / "text.c"
    source.write_text(source.read_text() + "broken\n")
    (cell,) = fake.selected
    report = make_cell(fake, cell, runner_of(fake, tmp_path), upto="audit-object")
    assert (report.verdict.status, report.verdict.kind) == (CheckStatus.FAIL, "build")
    assert report.stages[-1].status == "blocked"


def test_a_cancelled_run_stops_and_the_next_in_this_process_goes_on(
    fake: Project, checkout: Checkout, tmp_path: Path
) -> None:
    source = checkout.folder.parent / "fakelinux" / "text.c"
    source.write_text(source.read_text().replace("x + 1", "x + 1234"))
    (cell,) = fake.selected
    runner = runner_of(fake, tmp_path)

    class CancelsAtCompile(Silent):
        """An observer that cancels the run when the compiler is to start."""

        def started(self, stage: Stage) -> None:
            if stage.name == "compile":
                runner.scope.cancel()

    with pytest.raises(Interrupted):
        make(fake.chain(cell, upto="compile"), runner, observer=CancelsAtCompile())
    report = make_cell(fake, cell, runner_of(fake, tmp_path), upto="compile")
    assert report.verdict.status == CheckStatus.PASS


def test_the_reading_of_a_tree_of_ones_own_ends_with_its_run(layout: Layout) -> None:
    scope = Scope()
    project = open_project(Request(kernel=str(FAKELINUX)), layout, scope=scope)
    scope.cancel()
    with pytest.raises(Interrupted):
        project.pipeline.stages()


def test_recorded_inputs_are_known_by_content_alone(fake: Project, tmp_path: Path) -> None:
    (cell,) = fake.selected
    results = make(fake.chain(cell, upto="compile"), runner_of(fake, tmp_path))
    inputs = fake.recorded_inputs(cell, results)
    assert inputs
    assert fake.recorded_inputs(cell, {}) is None
    other = open_project(fake.request, fake.layout)
    assert other.recorded_inputs(cell, results) == inputs
