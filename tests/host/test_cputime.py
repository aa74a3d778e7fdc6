"""A program's own time, on an idle machine and on a loaded one."""

import subprocess
import sys
import time

import pytest

from oolong.host.cputime import Share, Stopwatch, share_of

SPIN = "import os; os.fork(); exec('while True: pass')"


def watched(*shares: tuple[float, float]) -> Stopwatch:
    """A stopwatch that was read once a second, with what the program ran and waited until then."""
    watch = Stopwatch()
    for ran, waited in shares:
        watch.read(Share(ran=ran, waited=waited), 1.0)
    return watch


def test_a_program_that_has_the_machine_to_itself() -> None:
    watch = watched((1.0, 0.0), (2.0, 0.0), (3.0, 0.0))
    assert (watch.ran, watch.idle) == (3.0, 0.0)


def test_a_program_on_a_loaded_machine_has_hardly_aged() -> None:
    """It got a hundredth of the time, and wanted all of it: neither used up nor idle."""
    watch = watched(*((number * 0.01, number * 0.99) for number in range(1, 301)))
    assert watch.ran == pytest.approx(3.0)
    assert watch.idle == 0.0


def test_a_program_that_wants_nothing_is_idle() -> None:
    assert watched((1.0, 0.0), (1.01, 0.0), (1.02, 0.001)).idle == 2.0
    assert watched((1.0, 0.0), (1.01, 0.0), (2.0, 0.0)).idle == 0.0


def test_a_time_in_which_it_was_made_to_stand_still_does_not_count() -> None:
    watch = watched((1.0, 0.0))
    watch.skip(Share(ran=5.0, waited=2.0))
    watch.read(Share(ran=5.5, waited=2.0), 1.0)
    assert (watch.ran, watch.idle) == (1.5, 0.0)


def test_threads_and_children_add_up() -> None:
    child = subprocess.Popen([sys.executable, "-c", SPIN], start_new_session=True)
    try:
        while share_of(child.pid).ran < 0.3:
            assert child.poll() is None
            time.sleep(0.05)
        before = share_of(child.pid)
        children = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True, check=True)
        (grandchild,) = children.stdout.split()
        assert before.ran > share_of(int(grandchild)).ran > 0
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(child.pid)], check=True)
        child.wait()


def test_a_process_that_is_gone_has_nothing() -> None:
    assert share_of(2**22 + 1) == Share()
