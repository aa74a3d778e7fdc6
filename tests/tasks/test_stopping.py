"""./doit stopped while a machine runs: nothing is left behind, and the next run goes on."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.checkout import Checkout, fake_kernel

CELL = "le-minimal-gcc-14-fakelinux"
HANGS = ("console.txt", "reboot: Power down", "\x01")
PATIENCE_SECONDS = 60


def parent_of(process: Path) -> int:
    """The parent of a process of /proc, 0 if it is gone."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def descendants(pid: int) -> dict[int, str]:
    """Every process below one, with its name."""
    parents = {int(process.name): parent_of(process) for process in Path("/proc").iterdir() if process.name.isdigit()}
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        for child, parent in parents.items():
            if parent == current and child not in found:
                try:
                    found[child] = Path(f"/proc/{child}/comm").read_text().strip()
                except OSError:
                    continue
                waiting.append(child)
    return found


def wait_for(what: Callable[[], bool]) -> None:
    """Return when it is so; fail if it is not for a long time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if what():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that")


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
