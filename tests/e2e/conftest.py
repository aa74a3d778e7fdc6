"""Real kernels, built once for all tests: the smoke set in a copy of the checkout, with the usual cache."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from oolong.host.layout import default_cache
from tests.checkout import Checkout, Ran, copied_to

LE, BE = "le-minimal-gcc-14", "be-minimal-gcc-14"


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """A checkout in which ./doit ran with nothing said, and how that ended."""

    checkout: Checkout
    ran: Ran


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    """Two kernels at most: finished cells of the usual cache are taken from there."""
    checkout = copied_to(tmp_path_factory.mktemp("e2e") / "one checkout", cache=default_cache())
    return Smoke(checkout=checkout, ran=checkout.doit("-n", "2"))


@pytest.fixture(scope="session")
def kernel_tree(smoke: Smoke) -> Path:
    """The unpacked kernel of the pipeline, as a plain tree that nobody may write to."""
    stages = smoke.checkout.result(LE)["stages"]
    digest: str = next(stage["digest"] for stage in stages if stage["stage"] == "source")
    return smoke.checkout.stages / "source" / digest / "tree"


def recipes(checkout: Checkout, cell: str) -> str:
    """Everything that decided a cell, as text."""
    return json.dumps([stage["recipe"] for stage in checkout.result(cell)["stages"]])
