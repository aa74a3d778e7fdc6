"""Other toolchains: clang, and compilers with which out-of-line ftrace is off and expected to be."""

import json
import subprocess
import sys
from typing import Any

import pytest

from oolong.errors import BadInput
from oolong.stubs import areas
from tests import schema
from tests.checkout import Ran
from tests.e2e.conftest import BE, LE, Smoke

pytestmark = pytest.mark.e2e
CLANG, WITHOUT = "le-minimal-clang-22", ("le-minimal-gcc-12", "be-minimal-clang-22")
OTHERS = ("le-minimal-gcc-13", "be-minimal-gcc-13", "be-minimal-gcc-12")
SAMPLES = ("le-samples-gcc-14", "be-samples-gcc-14")


@pytest.fixture(scope="module")
def ran(smoke: Smoke) -> Ran:
    return smoke.checkout.doit(*(f"cell:{cell}" for cell in (CLANG, *WITHOUT)))


def data_of(result: dict[str, Any], stage: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one["data"] for one in result["stages"] if one["stage"] == stage)
    return found


def check_stubs(smoke: Smoke, cell: str) -> None:
    """A cell with out-of-line ftrace: everything agrees, and the guest left nothing out."""
    result = smoke.checkout.result(cell)
    schema.check(result)
    assert {check["status"] for check in result["verdict"]["checks"]} == {"pass", "known"}
    assert data_of(result, "stubs")["total"] > 10_000
    assert data_of(result, "boot")["allocated"] == data_of(result, "stubs")["total"]
    assert (data_of(result, "boot")["tests"], data_of(result, "boot")["skipped"]) == (14, [])


def check_without(smoke: Smoke, cell: str) -> None:
    """A cell without: expected, seen in the kernel, and ftrace works in its older way."""
    result = smoke.checkout.result(cell)
    schema.check(result)
    assert result["expect"]["ool"] == "off"
    checks = {check["name"]: check["status"] for check in result["verdict"]["checks"]}
    assert (checks["expect.ool"], checks["stubs.out-of-line"]) == ("pass", "skip")
    assert (checks["image.site-words"], checks["live.records"], checks["guest.total"]) == ("pass", "pass", "pass")
    assert "fail" not in checks.values()
    assert data_of(result, "stubs") == {"out_of_line": False}
    with pytest.raises(BadInput):
        areas.read_areas(smoke.checkout.folder / "build" / "results" / cell / "vmlinux")
    assert (data_of(result, "boot")["tests"], data_of(result, "boot")["skipped"]) == (14, [])


def test_clang_builds_and_boots_with_stubs(smoke: Smoke, ran: Ran) -> None:
    assert ran.code == 0, ran.err
    check_stubs(smoke, CLANG)
    console = (smoke.checkout.folder / "build" / "results" / CLANG / "console.log").read_text()
    assert "clang version 22" in console


@pytest.mark.parametrize(("cell", "window"), [(CLANG, 1), (LE, 522), (BE, 522)])
def test_the_audit_of_a_kernel_needs_no_pipeline(smoke: Smoke, ran: Ran, cell: str, window: int) -> None:
    assert ran.code == 0, ran.err
    check_program(smoke, cell, window)


def check_program(smoke: Smoke, cell: str, window: int) -> None:
    """python -m oolong.audit finds what is known, and no more."""
    folder = smoke.checkout.folder / "build" / "results" / cell
    argv = [sys.executable, "-m", "oolong.audit", str(folder / "vmlinux.o"), str(folder / "vmlinux")]
    done = subprocess.run([*argv, "--config", str(folder / ".config"), "--json"], capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    wrong = {name for name, check in checks.items() if check["status"] == "fail"}
    assert {"image.kprobe-window"} <= wrong <= {"image.kprobe-window", "image.dead-record-window"}
    assert checks["image.kprobe-window"]["count"] == window
    assert checks["image.stub-allocation"]["status"] == "pass"


@pytest.mark.parametrize("cell", WITHOUT)
def test_without_out_of_line_is_what_the_cell_expects(smoke: Smoke, ran: Ran, cell: str) -> None:
    assert ran.code == 0, ran.err
    check_without(smoke, cell)


@pytest.mark.full
def test_the_whole_set_passes(smoke: Smoke) -> None:
    done = smoke.checkout.doit("matrix", "set=full")
    assert done.code == 0, done.err
    for cell in OTHERS[:2]:
        check_stubs(smoke, cell)
        check_program(smoke, cell, 740)
    check_without(smoke, OTHERS[2])
    for cell in SAMPLES:
        # direct calls and a livepatch besides
        assert data_of(smoke.checkout.result(cell), "boot")["tests"] == 16
