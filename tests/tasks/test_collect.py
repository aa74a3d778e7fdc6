from dataclasses import replace
from pathlib import Path

import pytest

from oolong.audit.check import CheckStatus
from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import BadInput, BadOutput, Infrastructure, Interrupted, OolongError
from oolong.report.model import CellReport
from oolong.spec.model import Endian
from oolong.verdict.judge import Verdict
from tasks.cli.exit_code import Collected
from tests.cells import cell

OK, FAIL, BLOCKED = StageStatus


def result(status: StageStatus) -> StageResult:
    return StageResult(
        stage="boot",
        digest="0" * 64,
        folder=Path("/nowhere"),
        status=status,
        kind=None,
        lines=(),
        artifacts={},
        trees={},
        data={},
        keep=True,
        blocks=True,
        seconds=0.0,
    )


def report(name: str, build: str, status: CheckStatus) -> CellReport:
    verdict = Verdict(status=status, kind=None, summary="", lines=(), checks=(), notes=(), known_issues=())
    made = replace(cell(Endian.LE), name=name, build=build)
    return CellReport.of(made, unlocked=False, verdict=verdict, stages=(), files={}, repeat="")


@pytest.mark.parametrize(
    ("statuses", "errors", "code"),
    [
        ([], [], 0),
        ([OK, OK], [], 0),
        ([OK, FAIL], [], 1),
        ([OK, BLOCKED], [], 0),
        ([OK], [BadOutput("did not link")], 1),
        ([OK], [BadOutput("did not link"), Infrastructure("mirror")], 3),
        ([OK], [BadOutput("did not link"), BadInput("tree")], 2),
        ([FAIL], [Infrastructure("mirror")], 3),
        ([FAIL], [BadInput("tree"), Infrastructure("mirror")], 2),
        ([OK], [Interrupted("interrupted"), BadInput("tree")], 130),
    ],
)
def test_exit_codes(statuses: list[StageStatus], errors: list[OolongError], code: int) -> None:
    collected = Collected()
    for number, status in enumerate(statuses):
        collected.result(f"boot:{number}", result(status))
    for number, error in enumerate(errors):
        collected.error(f"rootfs:{number}", error)
    assert collected.exit_code() == code


def test_a_defect_is_never_a_success() -> None:
    collected = Collected()
    collected.crash("boot:le", "Traceback")
    assert collected.exit_code() == 3


def test_a_failed_test_run_is_told() -> None:
    collected = Collected()
    collected.failed("test")
    assert collected.exit_code() == 1


@pytest.mark.parametrize(
    ("build", "status", "code"),
    [
        ("", CheckStatus.PASS, 1),
        ("le", CheckStatus.PASS, 0),
        ("le", CheckStatus.KNOWN, 0),
        ("le", CheckStatus.FAIL, 1),
        ("be", CheckStatus.PASS, 1),
    ],
)
def test_the_verdict_on_a_cell_speaks_for_the_stages_of_its_build_alone(
    build: str, status: CheckStatus, code: int
) -> None:
    collected = Collected()
    collected.result("compile:le", result(FAIL))
    if build:
        collected.reported(report(f"{build}-small", build, status))
    assert collected.exit_code() == code
