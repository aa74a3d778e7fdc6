"""What the tests of exhibits share: a checkout with a museum, and what was not as it must be."""

import shutil

from oolong.museum.showing import Shown
from tests.checkout import Checkout
from tests.support import CHECKOUT


def with_museum(checkout: Checkout) -> Checkout:
    """A copy of the checkout, with its museum and the small kernel added."""
    for name in ("museum", "fakelinux"):
        shutil.copytree(CHECKOUT / "tests" / name, checkout.folder / "tests" / name, dirs_exist_ok=True)
    return checkout


def wrong(found: Shown) -> list[str]:
    """What did not say what it must, one a line."""
    return [f"{seen.cell}: {seen.check}: {seen.status}: {seen.evidence}" for seen in found.seen if not seen.good]
