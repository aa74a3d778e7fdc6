"""What runs below a process, and patience with it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

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
