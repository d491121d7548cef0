"""Processes and threads of a training."""

import time

import pytest

from training.budget import Budget
from training.parallel import mapped, run_together, tick_together


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_the_order_of_the_items(threads):
    def slow_at_first(item):
        time.sleep(0.01 if item == 0 else 0)
        return 2 * item

    assert mapped(slow_at_first, range(8), threads) == [0, 2, 4, 6, 8, 10, 12, 14]


def test_one_process_works_here_and_counts_its_own_time():
    budget = Budget(1.0)
    run_together(lambda rank, counted: tick_together(counted, 1 + rank), 1, budget)
    assert 0 < budget.seconds < 60
