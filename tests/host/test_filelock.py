import fcntl
import os
from pathlib import Path

import pytest

from oolong.errors import Interrupted
from oolong.host.filelock import held
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
