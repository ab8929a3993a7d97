"""Background work: in order, ahead by a bounded number, and with its errors."""

from __future__ import annotations

import threading

import pytest

from cityscapes.ahead import map_ahead


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_results_keep_their_order(workers, count):
    assert list(map_ahead(lambda x: 2 * x, range(count), workers=workers)) == [2 * x for x in range(count)]


def test_no_more_than_workers_results_wait():
    taken = 0

    def items():
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    for seen, _ in enumerate(map_ahead(lambda item: item, items(), workers=3), start=1):
        assert taken <= seen + 3
    assert taken == 100


def test_the_next_item_is_loaded_while_the_last_is_used():
    """The consumer waits for the second item's work before it asks for it: without overlap this would hang."""
    second_began = threading.Event()
    results = map_ahead(lambda item: second_began.set() if item == 1 else None, range(3), workers=1)
    next(results)
    assert second_began.wait(timeout=30)
    assert len(list(results)) == 2


def test_an_error_comes_through_in_its_turn():
    def fail(item):
        if item == 2:
            raise ValueError("damaged")
        return item

    results = map_ahead(fail, range(100), workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="damaged"):
        next(results)
