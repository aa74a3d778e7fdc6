"""A server on loopback, and a checkout whose toolchains no other test meets."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import loopback
from tests.checkout import STAGES, Checkout, made_own
from tests.loopback import Mirror


@pytest.fixture
def server() -> Iterator[Mirror]:
    with loopback.mirror() as running:
        yield running


@pytest.fixture
def alone(checkout: Checkout, empty_cache: Callable[[], Path]) -> Checkout:
    """With downloads and root file systems of its own, so that no other test meets this toolchain."""
    cache = empty_cache()
    for shared in ("downloads", f"{STAGES}/rootfs"):
        made_own(cache / shared)
    return replace(checkout, cache=cache)
