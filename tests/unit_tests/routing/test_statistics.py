"""Intervals hold as often as they say, on data whose truth is known; all seeded."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from langchain_cerebras_ext.errors import CerebrasConfigurationError, MissingExtraError
from langchain_cerebras_ext.routing import _stats
from langchain_cerebras_ext.routing._stats import Look
from langchain_cerebras_ext.routing.experiment import sample_size

QUICK = Look(resamples=400)
NO_BOOTSTRAP = Look(resamples=0)
BETWEEN = 0.5  # how much users differ, in the logarithm


def skewed(rng, users, *, factor=1.0, sigma=1.0):
    """Users who make some calls each, dear ones and cheap ones."""
    calls = 1 + rng.poisson(3, users)
    levels = rng.lognormal(0, BETWEEN, users)
    sums = [rng.lognormal(0, sigma, n).sum() for n in calls]
    return np.column_stack([factor * levels * sums, calls])


def skewed_mean(sigma, factor=1.0):
    return factor * math.exp((BETWEEN**2 + sigma**2) / 2)


def shares(rng, users, rate, *, alike=0.0):
    calls = 1 + rng.poisson(3, users)
    if alike:
        spread = (1 - alike) / alike
        rates = rng.beta(rate * spread, (1 - rate) * spread, users)
    else:
        rates = np.full(users, rate)
    return np.column_stack([rng.binomial(calls, rates), calls])


def fewest(runs, rate=0.95):
    """The least that is within three standard errors of a rate."""
    return rate * runs - 3 * math.sqrt(rate * (1 - rate) * runs)


def most(runs, rate=0.05):
    return rate * runs + 3 * math.sqrt(rate * (1 - rate) * runs)


# ------------------------------------------------------------------------- coverage


@pytest.mark.parametrize(
    ("users", "sigma", "factor"),
    [((12, 12), 0.5, 1.5), ((40, 40), 1.0, 1.5), ((40, 120), 1.0, 1.3)],
    ids=["few", "skewed", "uneven"],
)
def test_the_interval_covers_a_known_difference_at_the_stated_rate(
    users, sigma, factor
):
    rng = np.random.default_rng(6)
    runs = 400
    truth = skewed_mean(sigma, factor) - skewed_mean(sigma)
    hits = always = 0
    for _ in range(runs):
        found = _stats.compare(
            skewed(rng, users[0], factor=factor, sigma=sigma),
            skewed(rng, users[1], sigma=sigma),
            QUICK,
            is_share=False,
        )
        hits += found.low <= truth <= found.high
        always += found.always_low <= truth <= found.always_high
    assert hits >= fewest(runs)
    assert always >= hits


def test_the_interval_of_one_arm_covers_its_mean():
    rng = np.random.default_rng(7)
    runs, truth = 400, skewed_mean(0.5)
    ends = [
        _stats.estimate(skewed(rng, 40, sigma=0.5), QUICK, is_share=False)
        for _ in range(runs)
    ]
    assert sum(end.low <= truth <= end.high for end in ends) >= fewest(runs)


@pytest.mark.parametrize(
    ("users", "rates", "alike"),
    [(15, (0.9, 0.8), 0), (40, (0.98, 0.9), 0.2), (100, (0.5, 0.4), 0.5)],
    ids=["few", "near-one", "alike"],
)
def test_the_interval_of_rates_covers_a_known_difference(users, rates, alike):
    rng = np.random.default_rng(8)
    runs, truth = 400, rates[0] - rates[1]
    hits = 0
    for _ in range(runs):
        one, two = (shares(rng, users, rate, alike=alike) for rate in rates)
        found = _stats.compare(one, two, QUICK, is_share=True)
        hits += found.low <= truth <= found.high
    assert hits >= fewest(runs)


def test_calls_of_one_user_are_not_taken_for_independent():
    """The same calls count for less when few users have made them."""
    rng = np.random.default_rng(9)
    levels = rng.lognormal(0, 1, 20)
    calls = levels[:, None] * rng.lognormal(0, 0.1, (20, 50))
    by_user = np.column_stack([calls.sum(axis=1), np.full(20, 50)])
    by_call = np.column_stack([calls.ravel(), np.ones(1_000)])
    users, wrong = (
        _stats.estimate(pairs, QUICK, is_share=False) for pairs in (by_user, by_call)
    )
    assert users.value == pytest.approx(wrong.value)
    assert users.high - users.low > 4 * (wrong.high - wrong.low)


# --------------------------------------------------------------------- false alarms


@pytest.mark.parametrize("sigma", [0.5, 2.0], ids=["light", "heavy-tailed"])
def test_without_an_effect_alarms_are_as_rare_as_stated(sigma):
    rng = np.random.default_rng(10)
    runs = 400
    alarms = 0
    for _ in range(runs):
        one, two = (skewed(rng, 30, sigma=sigma) for _ in range(2))
        found = _stats.compare(one, two, QUICK, is_share=False)
        assert (found.p_value <= 0.05) == (not found.low <= 0 <= found.high)
        alarms += found.p_value <= 0.05
    assert alarms <= most(runs)


def peek(rng, kind, look, users=150, looks=12):
    """Yield what is seen at each look: users come, and come back; nothing differs."""
    arms = rng.integers(2, size=users)
    levels = rng.normal(0, 0.5, users)
    # Each call is by one of the users who have come until then.
    here = np.linspace(20, users, users * 2)
    who = (rng.random(users * 2) * here).astype(int)
    noise = rng.normal(0, 1, users * 2)
    values = {
        "times": 5 + levels[who] + noise,
        "costs": np.exp(levels[who] + noise),
        "rates": (noise < 1 + levels[who]).astype(float),
    }[kind]
    for end in np.linspace(60, users * 2, looks).astype(int):
        above = np.bincount(who[:end], values[:end], minlength=users)
        below = np.bincount(who[:end], minlength=users)
        pairs = np.column_stack([above, below])
        one, two = (pairs[(below > 0) & (arms == arm)] for arm in (0, 1))
        found = _stats.compare(one, two, look, is_share=kind == "rates")
        if found.always_low is not None:
            yield found


@pytest.mark.parametrize("planned", [60, 1_000], ids=["soon", "late"])
@pytest.mark.parametrize("kind", ["times", "costs", "rates"])
def test_without_an_effect_looking_all_the_time_raises_no_more_alarms(kind, planned):
    rng = np.random.default_rng(11)
    runs = 250
    look = NO_BOOTSTRAP._replace(planned_units=planned)
    alarms = 0
    for _ in range(runs):
        for found in peek(rng, kind, look):
            is_alarm = not found.always_low <= 0 <= found.always_high
            assert (found.always_p_value <= 0.05) == is_alarm
            if is_alarm:
                alarms += 1
                break
    assert alarms <= most(runs)


def test_the_interval_for_one_look_must_not_be_looked_at_all_the_time():
    """It is the reason for the other one: far more alarms than stated."""
    rng = np.random.default_rng(11)
    look = QUICK._replace(resamples=200)
    runs = 60
    alarms = sum(
        any(found.p_value <= 0.05 for found in peek(rng, "times", look))
        for _ in range(runs)
    )
    assert alarms > most(runs)


def test_the_interval_for_many_looks_is_that_of_its_source():
    """Theorem 2.2, written out for a spread that is known to the last digit."""
    alpha, planned, units = 0.05, 1_000, 800
    pairs = [[value, 1] for value in (0.0, 2.0) for _ in range(units // 4)]
    found = _stats.compare(pairs, pairs, NO_BOOTSTRAP, is_share=False)
    sigma_squared = 2 * (1 / (units / 2 - 1)) * units  # t times the variance
    rho_squared = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / planned
    grown = units * rho_squared
    inner = 2 * (grown + 1) / (units**2 * rho_squared)
    radius = math.sqrt(sigma_squared * inner * math.log(math.sqrt(grown + 1) / alpha))
    # A little more, since Student's t stands for the normal quantile.
    assert radius < found.always_high < 1.02 * radius
    assert found.always_low == -found.always_high


def test_an_interval_for_many_looks_still_sees_what_is_there():
    rng = np.random.default_rng(12)
    found = _stats.compare(
        skewed(rng, 400, factor=2), skewed(rng, 400), NO_BOOTSTRAP, is_share=False
    )
    assert found.always_low > 0
    assert found.always_p_value < 0.001


# ------------------------------------------------------------------- what may happen


@pytest.mark.parametrize("units", [0, 1, 2, 9], ids=str)
@pytest.mark.parametrize("is_share", [True, False], ids=["share", "mean"])
def test_few_units_have_a_value_and_no_interval(units, is_share):
    pairs = [[number % 2, 1] for number in range(units)]
    found = _stats.estimate(pairs, QUICK, is_share=is_share)
    both = _stats.compare(pairs, pairs, QUICK, is_share=is_share)
    if not units:
        assert found is None
        assert both is None
    else:
        assert (found.units, found.low, found.high) == (units, None, None)
        assert (both.value, both.low, both.p_value) == (0, None, 1)


def test_equal_values_have_no_interval_rather_than_one_of_no_width():
    pairs = [[0.1 * calls, calls] for calls in range(1, 40)]
    found = _stats.estimate(pairs, QUICK, is_share=False)
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high, found.variance) == (None, None, 0)
    assert _stats.compare(pairs, pairs, QUICK, is_share=False).low is None


def test_a_rate_of_100_percent_is_not_taken_for_certain():
    """With 30 of 30 the rate may well be 90 %: Wilson's interval says so."""
    pairs = [[1, 1]] * 30
    found = _stats.estimate(pairs, QUICK, is_share=True)
    assert 0.85 < found.low < 0.9
    assert found.high == 1
    both = _stats.compare(pairs, pairs, QUICK, is_share=True)
    assert both.low < 0 < both.high


def test_one_unit_that_makes_up_the_spread_is_named():
    pairs = [[1.0 + number / 100, 1] for number in range(50)]
    assert not _stats.estimate(pairs, QUICK, is_share=False).is_dominated
    assert _stats.estimate([*pairs, [500, 1]], QUICK, is_share=False).is_dominated


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(13)
    one, two = skewed(rng, 30), skewed(rng, 30)
    first, again, other = (
        _stats.compare(one, two, QUICK._replace(seed=seed), is_share=False)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first.low != other.low


def test_blocks_of_many_units_give_the_same_as_all_of_them(monkeypatch):
    rng = np.random.default_rng(14)
    one, two = skewed(rng, 2_000, factor=1.1), skewed(rng, 2_000)
    blocks = _stats.compare(one, two, QUICK, is_share=False)
    monkeypatch.setattr(_stats, "_MOST_UNITS", 2_000)
    whole = _stats.compare(one, two, QUICK._replace(resamples=400), is_share=False)
    assert blocks.value == whole.value
    assert blocks.high - blocks.low == pytest.approx(whole.high - whole.low, rel=0.1)


def test_holm_is_as_in_its_textbook_example():
    """0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02."""
    assert _stats.adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )
    assert _stats.adjust([]) == []
    assert _stats.adjust([0.9, 0.8]) == [1.0, 1.0]


def test_an_uneven_split_is_unlikely():
    assert _stats.check_split([500, 510], [0.5, 0.5]) > 0.5
    assert _stats.check_split([500, 700], [0.5, 0.5]) < 1e-6
    assert _stats.check_split([100, 900], [1, 9]) == pytest.approx(1)


# ------------------------------------------------------------------------ sample size


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Cohen's table for d = 0.2, 0.5 and 0.8, power 0.8, two-sided 5 %.
        ({"effect": 0.2, "sd": 1}, 394),
        ({"effect": 0.5, "sd": 1}, 64),
        ({"effect": 0.8, "sd": 1}, 26),
        ({"effect": -0.5, "sd": 1}, 64),
        ({"effect": 0.5, "sd": 1, "power": 0.9}, 86),
        ({"effect": 0.5, "sd": 1, "calls_per_unit": 4}, 17),
        ({"effect": 0.5, "sd": 1, "calls_per_unit": 4, "within_unit": 1}, 64),
    ],
    ids=["small", "medium", "large", "down", "power", "calls", "calls-alike"],
)
def test_sample_sizes_are_those_of_the_tables(options, expected):
    assert sample_size(0, **options) == expected


def test_the_sample_size_of_a_rate():
    """From 50 % to 60 %: 388 by the usual formula, (z + z)^2 (p q + p q) / d^2."""
    assert sample_size(0.5, 0.1) in range(384, 392)
    assert sample_size(0.9, 0.001) > 1_000_000


def test_more_arms_need_more_units_each():
    assert sample_size(0, 0.5, sd=1, arms=4) > sample_size(0, 0.5, sd=1)


def test_a_sample_of_that_size_sees_the_effect_as_often_as_stated():
    rng = np.random.default_rng(15)
    units = sample_size(10, 0.5, sd=1)
    runs = 300
    one = rng.normal(10.5, 1, (runs, units))
    two = rng.normal(10, 1, (runs, units))
    off = (one.mean(axis=1) - two.mean(axis=1)) / np.sqrt(
        (one.var(axis=1, ddof=1) + two.var(axis=1, ddof=1)) / units
    )
    assert fewest(runs, 0.8) <= (off > 1.98).sum() <= most(runs, 0.8)


@pytest.mark.parametrize(
    ("args", "options", "named"),
    [
        ((0.5, 0), {}, "effect=0"),
        ((0.5, math.nan), {}, "effect=nan"),
        ((0.9, 0.2), {}, "is no rate"),
        ((5, 1), {}, "is no rate"),
        ((5, 1), {"sd": 0}, "sd=0"),
        ((0.5, 0.1), {"power": 1}, "power=1"),
        ((0.5, 0.1), {"confidence": 95}, "confidence=95"),
        ((0.5, 0.1), {"arms": 1}, "arms=1"),
        ((0.5, 0.1), {"calls_per_unit": 0.5}, "calls_per_unit=0.5"),
        ((0.5, 0.1), {"within_unit": 2}, "within_unit=2"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(args, options, named):
    with pytest.raises(CerebrasConfigurationError, match=named):
        sample_size(*args, **options)


def test_without_scipy_the_line_is_named_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(
        MissingExtraError, match=r"langchain-cerebras-ext\[experiments\]"
    ):
        sample_size(0.5, 0.1)
