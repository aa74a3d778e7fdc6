from pathlib import Path

import pytest

from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import BadInput, Infrastructure, Interrupted, OolongError
from tasks.cli.exit_code import Collected


def result(status: StageStatus) -> StageResult:
    return StageResult(
        stage="boot",
        digest="0" * 64,
        folder=Path("/nowhere"),
        status=status,
        kind=None,
        lines=(),
        artifacts={},
        data={},
        keep=True,
        blocks=True,
        seconds=0.0,
    )


@pytest.mark.parametrize(
    ("statuses", "errors", "code"),
    [
        ([], [], 0),
        ([StageStatus.OK, StageStatus.OK], [], 0),
        ([StageStatus.OK, StageStatus.FAIL], [], 1),
        ([StageStatus.OK, StageStatus.BLOCKED], [], 0),
        ([StageStatus.FAIL], [Infrastructure("mirror")], 3),
        ([StageStatus.FAIL], [BadInput("tree"), Infrastructure("mirror")], 2),
        ([StageStatus.OK], [Interrupted("interrupted"), BadInput("tree")], 130),
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
    ("verdict", "judged", "code"),
    [
        ("boot:le", StageStatus.OK, 1),
        ("verdict:le", StageStatus.OK, 0),
        ("verdict:le", StageStatus.FAIL, 1),
        ("verdict:be", StageStatus.OK, 1),
    ],
)
def test_a_stage_that_failed_is_excused_by_the_verdict_on_its_cell_alone(
    verdict: str, judged: StageStatus, code: int
) -> None:
    collected = Collected()
    collected.result("compile:le", result(StageStatus.FAIL))
    collected.result(verdict, result(judged))
    assert collected.exit_code() == code
