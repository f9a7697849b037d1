"""Windows of budgets: where they begin and end, and clocks that jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from budget_worker import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext.costs._budgets._windows import NAMES, Window, includes
from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.errors import BudgetExceeded, CerebrasConfigurationError

USD = Decimal
DAY = 86_400
ADA = CallScope("gpt-oss-120b", user="ada", run="r1")


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.mark.parametrize(
    ("window", "now", "start", "end"),
    [
        ("minute", "2026-11-25T09:46:40", "2026-11-25T09:46", "2026-11-25T09:47"),
        ("hour", "2026-11-25T09:59:59", "2026-11-25T09:00", "2026-11-25T10:00"),
        ("day", "2026-11-25T00:00:00", "2026-11-25", "2026-11-26"),
        ("day", "2026-11-25T23:59:59", "2026-11-25", "2026-11-26"),
        ("week", "2026-11-25T09:46:40", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-23T00:00:00", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-22T23:59:59", "2026-11-16", "2026-11-23"),
        ("month", "2026-11-30T23:59:59", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
        (timedelta(hours=6), "2026-11-25T11:59:59", "2026-11-25T06", "2026-11-25T12"),
        ("run", "2026-11-25T09:46:40", None, None),
        ("total", "2026-11-25T09:46:40", None, None),
    ],
    ids=str,
)
def test_windows_are_those_of_the_calendar_in_utc(window, now, start, end, clock):
    clock.now = at(now).timestamp()
    (status,) = Budget(1, window=window, clock=clock).status()
    assert status.window_start == (at(start) if start else None)
    assert status.window_end == (at(end) if end else None)


@given(
    st.sampled_from([*NAMES, timedelta(seconds=7), timedelta(days=3)]),
    st.floats(0, 4e9),
)
def test_every_moment_is_in_its_window_and_not_in_the_next(given_window, now_s):
    window = Window(given_window)
    period = window.period(now_s, "r1")
    assert includes(period, now_s)
    if period.end_s is not None:
        assert period.end_s - period.start_s <= window.span_s
        following = window.period(float(period.end_s), None)
        assert following.start_s == period.end_s
        assert not includes(following, now_s)
        assert following.label != period.label
    assert Window.named(window.name).period(now_s, "r1") == period


@pytest.mark.parametrize(
    "length", [timedelta(0), timedelta(seconds=-5), timedelta(seconds=1.5)], ids=repr
)
def test_a_length_must_be_whole_seconds(length):
    with pytest.raises(CerebrasConfigurationError, match="whole number of seconds"):
        Budget(1, window=length)


@pytest.mark.parametrize("window", ["minute", "hour", "day", "week", "month"])
def test_a_new_window_begins_with_nothing_spent(window, clock):
    budget = Budget(1, window=window, clock=clock)
    budget.reserve(ADA, USD(1)).settle(USD(1))
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD(1))
    clock.pass_s(31 * DAY)
    assert budget.reserve(ADA, USD(1)) is not None


def test_a_total_never_begins_anew(clock):
    budget = Budget(1, window="total", clock=clock)
    budget.reserve(ADA, USD(1)).settle(USD(1))
    for _ in range(40):
        clock.pass_s(100 * DAY)
        budget.status()
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD(1))


def test_each_run_begins_anew(clock):
    budget = Budget(1, window="run", clock=clock)
    for run in ("r1", "r2", None):
        budget.reserve(ADA._replace(run=run), USD(1)).settle(USD(1))
    with pytest.raises(BudgetExceeded, match="in one run"):
        budget.reserve(ADA, USD(1))
    assert {status.run for status in budget.status()} == {"r1", "r2", None}


def test_runs_that_are_long_over_are_forgotten(clock):
    budget = Budget(1, window="run", clock=clock)
    for number in range(100):
        budget.reserve(ADA._replace(run=f"r{number}"), USD(1)).settle(USD(1))
    clock.pass_s(DAY + 1)
    held = budget.reserve(ADA._replace(run="new"), USD(1))
    assert {status.run for status in budget.status()} == {"new"}
    clock.pass_s(DAY + 1)
    budget.status()
    held.release()


def test_accounts_of_windows_that_are_over_are_forgotten(clock):
    budget = Budget(1, per="user", window="minute", clock=clock)
    for number in range(600):
        budget.reserve(ADA._replace(user=f"u{number}"), USD(1)).settle(USD(1))
        clock.pass_s(10)
    assert len(budget._book._accounts) < 80


def test_a_call_that_spans_midnight_belongs_to_the_day_on_which_it_reserved(clock):
    clock.now = at("2026-11-25T23:59:50").timestamp()
    budget = Budget(1, clock=clock)
    hold = budget.reserve(ADA, USD("0.8"))
    clock.pass_s(20)
    other = budget.reserve(ADA, USD(1))
    hold.settle(USD("0.7"))
    (today,) = budget.status()
    assert (today.window_start, today.reserved, today.spent) == (at("2026-11-26"), 1, 0)
    other.settle(USD("0.1"))
    clock.set_wall(-30)  # look at yesterday again
    (yesterday,) = budget.status()
    assert (yesterday.spent, yesterday.reserved) == (USD("0.7"), 0)


@pytest.mark.parametrize("jump_s", [-3600, 3600, -DAY, DAY, -400 * DAY, 400 * DAY])
def test_a_clock_that_jumps_and_comes_back_loses_nothing(jump_s, clock):
    budget = Budget(1, lease_s=60, clock=clock)
    budget.reserve(ADA, USD("0.5")).settle(USD("0.5"))
    hold = budget.reserve(ADA, USD("0.4"))
    clock.set_wall(jump_s)
    for _ in range(30):
        clock.pass_s(1)
        budget.reserve(ADA, USD("0.001")).release()
    hold.settle(USD("0.3"))
    clock.set_wall(-jump_s)
    assert budget.status()[0].spent == USD("0.8")
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD("0.3"))


@pytest.mark.parametrize("jump_s", [-3 * DAY, 3 * DAY])
def test_leases_go_by_the_clock_that_never_jumps(jump_s, clock):
    budget = Budget(1, window="total", lease_s=60, clock=clock)
    hold = budget.reserve(ADA, USD("0.5"))
    clock.set_wall(jump_s)
    assert budget.status()[0].reserved == USD("0.5")
    clock.pass_s(61)
    assert budget.status()[0].reserved == 0
    hold.settle(USD("0.1"))
    assert budget.status()[0].spent == USD("0.1")
