"""Small pieces of work in threads, by the batch: to hand over one file costs more than to look at it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH = 500


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The result of each item, in their order."""
    batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
    with ThreadPoolExecutor() as pool:
        return list(chain.from_iterable(pool.map(lambda batch: [work(item) for item in batch], batches)))
