import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oolong.errors import Infrastructure, Interrupted
from oolong.host import process
from oolong.host.process import Scope
from tests.support import CHECKOUT


def test_output_and_code_come_back() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.returncode, sorted(done.output.split())) == (3, [b"err", b"out"])
    assert not done.ok


def test_stdin_is_fed_and_output_larger_than_a_pipe_does_not_block() -> None:
    data = b"x" * 1_000_000
    assert process.run(["cat"], stdin=data).output == data


def test_log_starts_with_a_command_to_paste(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "it.log"
    process.run(["echo", "two words"], log=log)
    assert log.read_text() == "$ echo 'two words'\ntwo words\n"
    pasted = subprocess.run(log.read_text().splitlines()[0][2:], shell=True, capture_output=True, check=True)
    assert pasted.stdout == b"two words\n"


def test_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    process.run(["echo", "1"], log=log)
    process.run(["echo", "2"], log=log, log_as=["shown"])
    assert log.read_text() == "$ echo 1\n1\n$ shown\n2\n"


def test_time_out_kills_the_whole_tree(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    done = process.run(["sh", "-c", f"sleep 600 & echo $! > '{pids}'; wait"], timeout=0.6)
    assert done.timed_out
    assert not done.ok
    assert _gone(int(pids.read_text()))


def test_silence_ends_a_program_and_words_let_it_go_on() -> None:
    done = process.run(["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.5; done; exec sleep 600"], silence=1.5)
    assert (done.timed_out, done.output) == (True, b"1\n2\n3\n")


def test_a_program_that_writes_more_than_is_kept_is_ended() -> None:
    done = process.run(["yes"], most=1000)
    assert (done.cut_off, done.timed_out, done.ok) == (True, False, False)
    assert len(done.output) <= 1000 + process.CHUNK_BYTES
    assert process.run(["echo", "x" * 100], most=1000).ok


def test_until_stops_a_program() -> None:
    assert process.run(["sleep", "600"], until=lambda pid: pid > 0).timed_out


def test_a_program_that_ignores_sigterm_is_killed() -> None:
    assert process.run(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], timeout=0.6).timed_out


def test_missing_program_is_infrastructure() -> None:
    with pytest.raises(Infrastructure, match="cannot start no-such-program"):
        process.run(["no-such-program"])


def test_check_shows_the_end_of_the_output() -> None:
    with pytest.raises(Infrastructure, match="ended with 2: it broke"):
        process.check(["sh", "-c", "echo it broke; exit 2"])


def test_child_dies_when_oolong_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = textwrap.dedent(f"""
        from oolong.host import process
        process.run(process.dying_with_parent(["sh", "-c", "echo $$ > '{pids}'; exec sleep 600"]))
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT)
    while not (pids.exists() and pids.read_text().strip()):
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert _gone(int(pids.read_text()))


def test_time_out_ends_a_program_that_has_closed_its_output() -> None:
    assert process.run(["sh", "-c", "exec >&- 2>&-; exec sleep 600"], timeout=0.6).timed_out


def test_cancelling_ends_what_runs_and_lets_nothing_start() -> None:
    scope = Scope()
    with running(scope, "sleep 600") as ended:
        scope.cancel()
    assert ended == [Interrupted]
    with pytest.raises(Interrupted):
        process.run(["true"], scope=scope)
    with pytest.raises(Interrupted):
        scope.check()


def test_cancelling_ends_a_program_that_ignores_sigterm() -> None:
    scope = Scope()
    with running(scope, "trap '' TERM; while :; do sleep 1; done") as ended:
        scope.cancel()
    assert ended == [Interrupted]


def test_who_goes_on_takes_a_new_scope() -> None:
    first, second = Scope(), Scope()
    with running(first, "sleep 600"):
        first.cancel()
    assert process.run(["echo", "again"], scope=second).output == b"again\n"
    assert process.run(["echo", "no scope"]).ok
    second.check()


def test_an_inner_scope_is_cancelled_alone() -> None:
    outer = Scope()
    inner = Scope(inside=outer)
    with running(outer, "sleep 600") as outside:
        with running(inner, "sleep 600") as inside:
            inner.cancel()
        assert inside == [Interrupted]
        outer.check()
        assert outside == []
        outer.cancel()
    assert outside == [Interrupted]


def test_an_inner_scope_is_cancelled_with_the_outer_one() -> None:
    outer = Scope()
    inner = Scope(inside=outer)
    with running(inner, "sleep 600") as inside:
        outer.cancel()
    assert inside == [Interrupted]
    with pytest.raises(Interrupted):
        process.check(["true"], scope=inner)


@pytest.fixture
def cancelled_by_signal() -> Iterator[Scope]:
    """A scope that SIGUSR1 cancels."""
    scope = Scope()
    before = signal.signal(signal.SIGUSR1, lambda signum, frame: scope.cancel())
    yield scope
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_cancels_what_its_own_thread_waits_for(cancelled_by_signal: Scope) -> None:
    twice = "trap '' TERM; kill -USR1 $PPID; kill -USR1 $PPID; while :; do sleep 1; done"
    with pytest.raises(Interrupted):
        process.run(["sh", "-c", twice], scope=cancelled_by_signal)


def test_a_signal_may_come_while_its_own_thread_holds_the_guard(cancelled_by_signal: Scope) -> None:
    with cancelled_by_signal._guard:
        os.kill(os.getpid(), signal.SIGUSR1)
    assert cancelled_by_signal.cancelled


def test_whoever_hears_a_program_may_cancel_it() -> None:
    scope = Scope()
    with pytest.raises(Interrupted):
        process.run(["sh", "-c", "echo ready; exec sleep 600"], scope=scope, on_output=lambda chunk: scope.cancel())


@contextmanager
def running(scope: Scope, script: str) -> Iterator[list[type[Exception]]]:
    """A shell script that runs in a scope, in a thread of its own; what ended it is in the list afterwards."""
    ended: list[type[Exception]] = []
    started = threading.Event()

    def work() -> None:
        try:
            process.run(["sh", "-c", f"echo started; {script}"], scope=scope, on_output=lambda chunk: started.set())
        except Interrupted as error:
            ended.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    yield ended
    thread.join()


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_what_is_written_between_two_looks_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program writes its last words, and ends, after the look at its output and before the look at itself."""

    def has_ended(child: subprocess.Popen[bytes], *, patience: float) -> bool:
        child.wait()
        return True

    monkeypatch.setattr(process, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(process, "_has_ended", has_ended)
    assert process.run(["sh", "-c", "sleep 0.2; echo reboot: Power down"]).output == b"reboot: Power down\n"


def test_whoever_hears_a_program_leaves_the_end_of_its_output() -> None:
    heard = bytearray()
    done = process.run(["sh", "-c", "head -c 1000000 /dev/zero; echo over"], on_output=heard.extend)
    assert len(heard) == 1_000_005
    assert done.output.endswith(b"over\n")
    assert len(done.output) == process.TAIL_BYTES
