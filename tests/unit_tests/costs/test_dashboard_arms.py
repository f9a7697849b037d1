"""Arms of experiments on the dashboard, which is looked at again and again."""

import random
from decimal import Decimal

import pytest

from langchain_cerebras_ext.dashboard.arms import (
    Mean,
    Share,
    always,
    compare_costs,
    compare_shares,
)

NONE = "no clear difference"


def test_all_looks_together_need_more_than_one_alone():
    """At the planned calls: 8.9362 / 7.9362 * 2 * ln(2.98935 / 0.05) = 9.2125."""
    assert always(1_000) ** 2 == pytest.approx(9.2125, abs=0.0001)
    assert min(always(calls) for calls in (60, 300, 1_000, 2_000)) > 1.96


def test_a_page_that_is_watched_seldom_finds_what_is_not_there():
    """Two arms of one kind, looked at after each tenth call: 5 of 100 may err.

    With the intervals of one look about 30 do.
    """
    chance = random.Random(7)
    wrong = 0
    for _ in range(100):
        costs = [[], []]
        shares = [0, 0]
        found = False
        for number in range(1, 301):
            for arm in (0, 1):
                costs[arm].append(Decimal(chance.randint(1, 1_000)))
                shares[arm] += chance.random() < 0.1
            if number >= 30 and number % 30 == 0:
                one, two = (Mean.of(arm) for arm in costs)
                told = compare_costs("a", one, "b", two)
                parts = [Share(part, number) for part in shares]
                found |= NONE not in told
                found |= NONE not in compare_shares("a", parts[0], "b", parts[1])
        wrong += found
    assert wrong <= 5


def test_what_is_there_is_found():
    one = Mean.of([Decimal(cost) for cost in (90, 100, 110) * 100])
    two = Mean.of([Decimal(cost) for cost in (45, 50, 55) * 100])
    told = compare_costs("b", two, "a", one)
    assert told.startswith("Cost per call: b costs 50.0 % less than a (95 % interval")
    told = compare_shares("b", Share(100, 300), "a", Share(20, 300))
    assert told.startswith("Failures: b fails more often;")
