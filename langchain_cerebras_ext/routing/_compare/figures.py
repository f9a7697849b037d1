"""Quantiles, shares and means with their intervals, by the standard library alone.

A quantile's interval is made of order statistics: of `n` independent values, the number
below the true quantile is binomial, whatever their distribution. It holds at least as
often as it says. Where there are too few values, a side is open (`None`): of 20 calls
nobody can say how slow the slowest twentieth may be.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Figure", "mean_of", "quantile_of", "share_of"]

LEVEL: Final = 0.95
_Z: Final = NormalDist().inv_cdf(0.5 + LEVEL / 2)
_RESAMPLES: Final = 2_000
_BOOTSTRAP_MOST: Final = 1_000


class Figure(msgspec.Struct, frozen=True):
    """A value with its interval of 95 %.

    Attributes:
        value: What was measured.
        low: The interval's lower end; `None` is open.
        high: Its upper end; `None` is open.
        n: Of how many calls.
    """

    value: float
    low: float | None
    high: float | None
    n: int


def quantile_of(values: Sequence[float], q: float) -> Figure | None:
    """Return a quantile, between neighbours by proportion; `None` of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    n = len(ordered)
    place = q * (n - 1)
    below = math.floor(place)
    above = min(below + 1, n - 1)
    part = place - below
    step = (ordered[above] - ordered[below]) * part
    value = min(ordered[below] + step, ordered[above])
    low, high = _ranks(n, q)
    return Figure(
        value,
        None if low is None else ordered[low - 1],
        None if high is None else ordered[high - 1],
        n,
    )


@lru_cache(maxsize=256)
def _ranks(n: int, q: float) -> tuple[int | None, int | None]:
    """Return the ranks, from 1, between which a quantile lies with 95 %.

    The lower one is the greatest `l` with P(B < l) <= 2.5 %, and the upper one the
    least `u` with P(B >= u) <= 2.5 %, where B is binomial with `n` and `q`.
    """
    tail = (1 - LEVEL) / 2
    low = high = None
    below = 0.0  # P(B < rank)
    for rank in range(1, n + 1):
        below += _binomial(n, q, rank - 1)
        if below <= tail:
            low = rank
        if high is None and 1 - below <= tail:
            high = rank
            break
    return low, high


def _binomial(n: int, q: float, k: int) -> float:
    chosen = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(chosen + k * math.log(q) + (n - k) * math.log1p(-q))


def share_of(hits: int, n: int) -> Figure | None:
    """Return a share with Wilson's interval; `None` of nothing."""
    if not n:
        return None
    share = hits / n
    square = _Z * _Z / n
    middle = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    low = 0.0 if not hits else max(middle - half, 0.0)
    high = 1.0 if hits == n else min(middle + half, 1.0)
    return Figure(share, low, high, n)


def mean_of(values: Sequence[float], seed: int) -> Figure | None:
    """Return a mean of values from 0 to 1.

    Of zeros and ones alone it is a share. Otherwise its interval is a seeded bootstrap
    of percentiles, or of many values the normal one; a single value has none.
    """
    if all(value in {0, 1} for value in values):
        return share_of(round(sum(values)), len(values))
    n, mean = len(values), fmean(values)
    if n == 1:
        return Figure(mean, None, None, n)
    if n > _BOOTSTRAP_MOST:
        half = _Z * stdev(values) / math.sqrt(n)
        return Figure(mean, max(mean - half, 0.0), min(mean + half, 1.0), n)
    rng = random.Random(seed)  # noqa: S311 - repeatable, no secret
    means = sorted(fmean(rng.choices(values, k=n)) for _ in range(_RESAMPLES))
    cut = round(_RESAMPLES * (1 - LEVEL) / 2)
    return Figure(mean, means[cut], means[-cut - 1], n)
