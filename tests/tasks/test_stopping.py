"""./doit stopped while a machine runs: nothing is left behind, and the next run goes on."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.checkout import CELL, Checkout, fake_kernel
from tests.processes import PATIENCE_SECONDS, descendants, wait_for

HANGS = ("console.txt", "reboot: Power down", "\x01")


@contextmanager
def running(checkout: Checkout, kernel: Path) -> Iterator[subprocess.Popen[str]]:
    """A ./doit whose machine hangs, once it does."""
    doit = subprocess.Popen(
        checkout.argv(f"cell:{CELL}", f"kernel={kernel}"),
        cwd=checkout.folder,
        env=checkout.env(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: any(name.startswith("qemu-system") for name in descendants(doit.pid).values()))
        yield doit
    finally:
        doit.kill()
        doit.wait()
        if doit.stderr:
            doit.stderr.close()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_behind_and_the_next_run_goes_on(checkout: Checkout, signum: signal.Signals) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux", [HANGS])
    with running(checkout, kernel) as doit:
        children = descendants(doit.pid)
        assert {"bwrap", "qemu-system-ppc"} <= set(children.values())
        os.kill(doit.pid, signum)
        code = doit.wait(PATIENCE_SECONDS)
        assert code == (-signal.SIGKILL if signum == signal.SIGKILL else 130)
        wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    console = kernel / "console.txt"
    console.write_text(console.read_text().replace("\x01", "reboot: Power down"))
    done = checkout.doit(f"cell:{CELL}", f"kernel={kernel}")
    assert done.code == 0, done.err
    assert list(checkout.layout.scratch.iterdir()) == []


def test_a_second_doit_waits_and_says_for_whom(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux", [HANGS])
    with running(checkout, kernel) as first:
        second = subprocess.Popen(
            checkout.argv("cells"), cwd=checkout.folder, env=checkout.env(), stderr=subprocess.PIPE, text=True
        )
        assert second.stderr
        line = second.stderr.readline()
        assert f"build/ is in use: waiting for process {first.pid} (./doit cell:{CELL}" in line
        assert second.poll() is None
        first.terminate()
        assert second.wait(PATIENCE_SECONDS) == 0
        second.stderr.close()
