"""Fixtures that cost something: a cache with real tools, made once, and copies of the checkout."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.checkout import Checkout, cache_with_tools, copied_to, for_fakelinux

# a loaded machine is no failure, and a failure is the same on every machine
settings.register_profile("oolong", deadline=None, derandomize=True)
settings.load_profile("oolong")


@pytest.fixture(scope="session")
def tool_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of this test run that holds the real root file systems and nothing else."""
    cache = cache_with_tools(tmp_path_factory.mktemp("cache"))
    checkout = copied_to(tmp_path_factory.mktemp("tools") / "checkout", cache=cache)
    done = checkout.doit("rootfs")
    assert done.code == 0, done.err
    return cache


@pytest.fixture
def checkout(tmp_path: Path, tool_cache: Path) -> Checkout:
    """A copy of the project at a path with a space, for fakelinux."""
    return for_fakelinux(copied_to(tmp_path / "a checkout", cache=tool_cache))


@pytest.fixture
def empty_cache(tmp_path: Path) -> Callable[[], Path]:
    """Makes caches that hold nothing but the root file systems."""
    made = iter(range(100))
    return lambda: cache_with_tools(tmp_path / f"cache{next(made)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is quick comes first, real kernels last."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)
