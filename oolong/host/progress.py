"""How far a piece of work is: the callback that reports it."""

from typing import Protocol


class Progress(Protocol):
    """Reports how far a piece of work is; `total` is None where it is not known."""

    def __call__(self, text: str, done: int = 0, total: int | None = None) -> None: ...
