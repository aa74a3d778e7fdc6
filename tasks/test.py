"""The task `test`: the project's own checks and tests, real kernels included."""

import os
import sys

from oolong.host import process
from tasks.declare import Task
from tasks.session import CHECKOUT, current

TIERS = {None: "not full", "full": ""}


def task_test() -> Task:
    """run the tests: ruff, mypy, units, fakelinux, real kernels; tier=full for the long ones, only=EXPRESSION"""
    return {"actions": [run_tests], "uptodate": [False], "io": {"capture": False}}


def run_tests() -> None:
    """ruff and mypy, then pytest, whose closing line ends the output."""
    session = current()
    junit = session.layout.build / "test" / "junit.xml"
    junit.parent.mkdir(parents=True, exist_ok=True)
    pytest = [sys.executable, "-m", "pytest", "-m", TIERS[session.variables.get("tier")], f"--junitxml={junit}"]
    if only := session.variables.get("only"):
        pytest += ["-k", only]
    # the tests start ./doit themselves, in checkouts of their own
    environment = {name: value for name, value in os.environ.items() if name != "OOLONG_CALLER_DIR"}
    for command in ([sys.executable, "-m", "ruff", "check", "."], [sys.executable, "-m", "mypy"], pytest):
        done = process.run(
            process.dying_with_parent(command),
            scope=session.scope,
            cwd=CHECKOUT,
            env=environment,
            on_output=_pass_on,
        )
        if not done.ok:
            session.collected.failed("test")
            break


def _pass_on(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.flush()
