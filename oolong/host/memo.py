"""Answers that one process leaves for the next: they may be lost at any time, and then cost their time again."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from oolong.host.files import write_atomically

# a file that grows beyond it is begun anew: most of it is about code that is gone
MOST_ANSWERS = 10_000


class Memo:
    """Answers in JSON by keys that name all that decides them, in one file."""

    def __init__(self, path: Path | None) -> None:
        """Without a file they last as long as the process."""
        self._path = path
        self._answers: dict[str, Any] | None = None
        self._new = False

    def answer(self, key: str, work: Callable[[], Any]) -> Any:
        """The remembered answer, or that of `work`."""
        answers = self._loaded()
        if key not in answers:
            answers[key] = work()
            self._new = True
        return answers[key]

    def save(self) -> None:
        """Write what is new; where that cannot be done, the next process works again."""
        if self._path and self._new:
            with suppress(OSError):
                write_atomically(self._path, json.dumps(self._loaded()).encode())
            self._new = False

    def _loaded(self) -> dict[str, Any]:
        if self._answers is None:
            self._answers = self._read(self._path) if self._path else {}
        return self._answers

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            read = json.loads(path.read_bytes())
            if isinstance(read, dict) and len(read) < MOST_ANSWERS:
                return read
        return {}
