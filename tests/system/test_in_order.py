"""Work on several cores comes back in order, in bounded memory, and stops when nobody listens."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from e91.system.processes import in_order


def test_results_come_in_the_order_of_the_items_whichever_is_done_first():
    def slower_first(number: int) -> int:
        time.sleep(0.02 if number % 4 == 0 else 0.0)
        return number * number

    with ThreadPoolExecutor(4) as pool:
        found = list(in_order(pool, slower_first, range(20), ahead=4))
    assert found == [number * number for number in range(20)]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_no_more_items_are_taken_than_are_wanted(ahead):
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        for place, _ in enumerate(in_order(pool, abs, items(), ahead=ahead)):
            assert len(taken) == min(10, place + 1 + ahead)


def test_what_waits_is_not_begun_when_the_caller_stops():
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.05)
        return number

    with ThreadPoolExecutor(1) as pool:
        results = in_order(pool, work, range(100), ahead=8)
        assert next(results) == 0
        results.close()
    assert len(begun) <= 2


def test_error_of_the_work_is_raised_in_its_turn():
    def work(number: int) -> float:
        return 1 / (number - 2)

    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, work, range(5), ahead=2)
        assert [next(results), next(results)] == [-0.5, -1.0]
        with pytest.raises(ZeroDivisionError):
            next(results)
