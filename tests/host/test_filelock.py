import fcntl
import os
from pathlib import Path

import pytest

from oolong.errors import Interrupted
from oolong.host.filelock import held, locks_are_local
from oolong.host.process import Scope


def taken(path: Path) -> int:
    """A lock that somebody holds: another open file is another holder."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, b"somebody")
    return descriptor


def test_a_wait_for_a_lock_ends_when_the_run_is_cancelled(tmp_path: Path) -> None:
    holder = taken(tmp_path / "lock")
    scope = Scope()
    heard: list[str] = []

    def waiting(name: str) -> None:
        heard.append(name)
        scope.cancel()

    with pytest.raises(Interrupted), held(tmp_path / "lock", waiting=waiting, check=scope.check):
        raise AssertionError("it was held twice")
    assert heard == ["somebody"]
    os.close(holder)


def test_a_lock_that_becomes_free_is_taken(tmp_path: Path) -> None:
    holder = taken(tmp_path / "lock")
    looks = iter(range(3))

    def check() -> None:
        if next(looks) == 1:
            os.close(holder)

    with held(tmp_path / "lock", waiting=lambda name: None, check=check):
        assert next(looks) == 2


def test_who_holds_a_lock_is_said_without_control_characters(tmp_path: Path) -> None:
    descriptor = taken(tmp_path / "lock")
    os.pwrite(descriptor, b"process 1 \x1b]0;owned\x07\n", 0)
    heard: list[str] = []

    def check() -> None:
        raise Interrupted("enough")

    with pytest.raises(Interrupted), held(tmp_path / "lock", waiting=heard.append, check=check):
        raise AssertionError("it was held twice")
    os.close(descriptor)
    assert heard[0].isprintable()
    assert heard[0].startswith("process 1 ")


@pytest.mark.parametrize(
    ("system", "local"),
    [
        ("nfs4 server:/export rw,vers=4.2,local_lock=none", None),
        ("nfs server:/export rw,vers=3,nolock,local_lock=none", "nfs"),
        ("nfs server:/export rw,vers=3,local_lock=flock", "nfs"),
        ("nfs4 server:/export rw,local_lock=all", "nfs4"),
        ("cifs //server/share rw,nobrl", "cifs"),
        ("cifs //server/share rw", None),
        ("fuse.sshfs host: rw", "fuse.sshfs"),
        ("ext4 /dev/vda rw", None),
    ],
)
def test_a_file_system_whose_locks_hold_on_one_machine_is_known(tmp_path: Path, system: str, local: str | None) -> None:
    device = os.stat(tmp_path).st_dev
    here = f"36 25 {os.major(device)}:{os.minor(device)} / {tmp_path} rw,relatime shared:1 master:2"
    other = "35 25 0:99999 / /elsewhere rw - nfs server:/other rw,nolock"
    assert locks_are_local(tmp_path, f"{other}\n{here} - {system}\n") == local
