"""A machine from its start to its end, with a program in the place of QEMU."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.errors import BadOutput
from oolong.host import process
from oolong.host.sandbox import Ran, Sandbox
from oolong.machine import qemu, run, watch
from oolong.machine.run import Ended, Inside, Look
from tests.cells import MACHINE
from tests.support import silent

SAYS = "printf 'Linux version 7.3.4 \\377\\n'; printf '== kprobes\\n' > report"


def in_place_of_qemu(script: str, seen: list[Sequence[str]]) -> Inside:
    """Runs a shell script in the folder that QEMU would see as qemu.MEMORY."""

    def inside(
        sandbox: Sandbox,
        argv: Sequence[str],
        /,
        *,
        on_output: Callable[[bytes], object],
        until: Callable[[int], bool],
        pass_fds: Sequence[int],
        log_as: Sequence[str],
    ) -> Ran:
        def hear(chunk: bytes) -> None:
            on_output(chunk)

        seen.extend([argv, log_as])
        (shared,) = (mount.host for mount in sandbox.mounts if mount.inside == qemu.MEMORY)
        done = process.run(["sh", "-c", script], cwd=shared, on_output=hear, until=until)
        return Ran(returncode=done.returncode, timed_out=done.timed_out, lines=())

    return inside


def run_in(folder: Path, inside: Inside, look: Look | None = None, timeout: int = 60) -> Ended:
    return run.run(
        replace(MACHINE, timeout=timeout),
        folder / "vmlinux",
        folder / "initramfs",
        append="console=hvc0",
        emulator=folder / "root",
        folder=folder,
        inside=inside,
        progress=silent,
        look=look,
    )


def test_what_a_machine_said_and_reported_is_kept(tmp_path: Path) -> None:
    seen: list[Sequence[str]] = []
    ended = run_in(tmp_path, in_place_of_qemu(SAYS, seen))
    assert ended.console == "Linux version 7.3.4 \N{REPLACEMENT CHARACTER}\n"
    assert ended.report == tmp_path / run.REPORT
    assert ended.report.read_text() == "== kprobes\n"
    assert (ended.ran.ok, ended.stopped, ended.snapshots) == (True, None, ())
    assert {path.name for path in tmp_path.iterdir()} == {run.CONSOLE, run.REPORT}
    argv, log_as = seen
    assert argv == qemu.argv(MACHINE, append="console=hvc0")
    assert tuple(log_as[-len(argv) :]) == argv
    assert qemu.MEMORY not in log_as


def test_a_machine_that_is_looked_at_and_one_that_has_no_monitor(tmp_path: Path) -> None:
    """Whoever looks is told when the machine ends before its monitor greets."""
    seen: list[Sequence[str]] = []
    ended = run_in(tmp_path, in_place_of_qemu(SAYS, seen), Look(points=None, visit=lambda name, memory: None))
    assert ended.snapshots == ()
    assert "-S" in seen[0]
    assert "-S" not in seen[1]


def test_a_machine_whose_time_is_up_is_stopped(tmp_path: Path) -> None:
    ended = run_in(tmp_path, in_place_of_qemu("while :; do :; done", []), timeout=0)
    assert ended.ran.timed_out
    assert ended.stopped is not None
    assert ended.stopped[0] in ("timeout", "hang")


def test_a_report_that_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match="no plain file report"):
        run_in(tmp_path, in_place_of_qemu("rm report; ln -s /etc/passwd report", []))


def test_a_report_of_a_machine_that_writes_on_is_cut_off(tmp_path: Path) -> None:
    """It is hashed, and read, with the hole that it claims to have."""
    ended = run_in(tmp_path, in_place_of_qemu("truncate -s 100G report", []))
    assert ended.report.stat().st_size == watch.LARGEST_REPORT
