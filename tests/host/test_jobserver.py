"""The slots of makes, by themselves and with the real make of the root file system."""

import fcntl
import os
import struct
import subprocess
import termios
import threading
from pathlib import Path

import pytest

from oolong.errors import Interrupted
from oolong.host import process
from oolong.host.jobserver import Jobserver, makeflags, serving
from oolong.host.process import Scope
from oolong.host.sandbox import BUILD, JOBSERVER, Mount, Sandbox, bwrap_argv
from tests.checkout import root_with
from tests.counting import counted, most_at_once

JOBS = 2


class Impatient:
    """A check that gives up at its third call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == 3:
            raise Interrupted("interrupted")


def never() -> None:
    pytest.fail("there was nothing to wait for")


def tokens(server: Jobserver) -> int:
    """How many tokens lie in the FIFO."""
    descriptor = os.open(server.fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
        return int(count)
    finally:
        os.close(descriptor)


def take(server: Jobserver, count: int) -> None:
    """Take tokens as a make does, and keep them."""
    descriptor = os.open(server.fifo, os.O_RDWR | os.O_NONBLOCK)
    assert len(os.read(descriptor, count)) == count
    os.close(descriptor)


def put(server: Jobserver, count: int) -> None:
    descriptor = os.open(server.fifo, os.O_RDWR | os.O_NONBLOCK)
    os.write(descriptor, b"x" * count)
    os.close(descriptor)


def test_each_make_takes_one_of_the_jobs() -> None:
    with serving(3) as server:
        assert tokens(server) == 3
        with server.slot(never):
            with server.slot(never):
                assert tokens(server) == 1
            assert tokens(server) == 2
        assert tokens(server) == 3


@pytest.mark.parametrize("jobs", [1, JOBS])
def test_a_make_that_must_wait_can_be_interrupted_and_takes_nothing(jobs: int) -> None:
    check = Impatient()
    with serving(jobs) as server, server.slot(never):
        take(server, jobs - 1)
        with pytest.raises(Interrupted), server.slot(check):
            pytest.fail("there was no job left")
        put(server, jobs - 1)
        assert tokens(server) == jobs - 1
    assert check.calls == 3


def test_a_slot_is_given_back_whatever_happens_in_it() -> None:
    with serving(JOBS) as server:
        with pytest.raises(ZeroDivisionError), server.slot(never):
            raise ZeroDivisionError
        assert tokens(server) == JOBS


@pytest.mark.parametrize("kept", [1, 2])
def test_tokens_of_a_killed_make_are_back_when_no_make_runs(kept: int) -> None:
    with serving(3) as server:
        with server.slot(never):
            take(server, kept)
        assert tokens(server) == 3


@pytest.mark.parametrize("count", [1, 1 << 16])
def test_tokens_that_nobody_took_are_gone_when_no_make_runs(count: int) -> None:
    """As many as the FIFO holds, too."""
    with serving(3) as server:
        with server.slot(never):
            take(server, 2)
            put(server, count)
        assert tokens(server) == 3


def test_who_waits_goes_on_when_the_tokens_are_back() -> None:
    """The make that runs takes all that is left with it."""
    waiting = threading.Event()
    went = []
    with serving(JOBS) as server:

        def second() -> None:
            with server.slot(waiting.set):
                went.append(tokens(server))

        with server.slot(never):
            take(server, JOBS - 1)
            thread = threading.Thread(target=second)
            thread.start()
            assert waiting.wait(60)
            assert went == []
        thread.join(60)
        assert went == [JOBS - 1]
        assert tokens(server) == JOBS


def sandbox_of(folder: Path, server: Jobserver) -> Sandbox:
    return Sandbox(
        rootfs=root_with("bin/make").parent,
        mounts=(
            Mount(host=folder, inside=BUILD, writable=True),
            Mount(host=server.fifo, inside=JOBSERVER, writable=True),
        ),
        env={"MAKEFLAGS": makeflags(server.jobs)},
        chdir=BUILD,
    )


@pytest.mark.usefixtures("tool_cache")
@pytest.mark.parametrize("jobs", [2, 3])
def test_several_makes_run_as_many_jobs_as_there_are(tmp_path: Path, jobs: int) -> None:
    (tmp_path / "job").write_text(counted("true", log=f"{BUILD}/log", meeting=jobs))
    (tmp_path / "Makefile").write_text("all: a b c d\na b c d:\n\t@sh job\n")
    ended = []
    with serving(jobs) as server:
        command = bwrap_argv(sandbox_of(tmp_path, server), ["make"])

        def build() -> None:
            with server.slot(Scope().check):
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                ended.append((done.returncode, done.stderr))

        threads = [threading.Thread(target=build) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ended == [(0, "")] * 3
        assert tokens(server) == jobs
    assert most_at_once(tmp_path / "log") == jobs


@pytest.mark.usefixtures("tool_cache")
def test_a_make_that_is_killed_costs_no_job(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all: a b c\na b c:\n\t@echo + >> log; sleep 1000\n")
    log = tmp_path / "log"
    log.touch()
    with serving(3) as server:
        with server.slot(never):
            command = bwrap_argv(sandbox_of(tmp_path, server), ["make"])
            done = process.run(command, until=lambda pid: log.read_text().count("+") == 3)
            assert done.timed_out
            assert tokens(server) == 0
        assert tokens(server) == 3


def test_a_build_that_adds_jobs_does_not_keep_them() -> None:
    with serving(3) as server, server.slot(never):
        put(server, 1000)
        server.settle()
        assert tokens(server) == 2
        take(server, 2)
        server.settle()
        assert tokens(server) == 0
