import pytest

from oolong.host.parallel import BATCH, in_threads


@pytest.mark.parametrize("count", [0, 1, BATCH, 2 * BATCH + 1])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert in_threads(lambda item: -item, range(count)) == [-item for item in range(count)]


def test_an_error_of_one_item_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 // item, range(-BATCH, BATCH))
