import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from oolong.errors import Infrastructure
from oolong.host import process
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


def test_stop_all_ends_what_runs_and_lets_nothing_start() -> None:
    program = textwrap.dedent("""
        import threading, time
        from oolong.host import process
        from oolong.errors import Interrupted
        ended = []
        def work():
            try:
                process.run(["sleep", "600"])
            except Interrupted:
                ended.append("running")
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.5)
        process.stop_all()
        thread.join()
        try:
            process.run(["true"])
        except Interrupted:
            ended.append("new")
        print(ended)
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "['running', 'new']"


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
