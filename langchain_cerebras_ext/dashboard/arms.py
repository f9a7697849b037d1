"""Arms of an experiment compared, with how sure one can be; pure.

Means come with intervals of 95 % from the normal approximation, shares with Wilson's,
which holds for few calls and for shares near 0 too. Differences come with intervals
that hold however often one looks: the page is looked at all day, and at 95 % for one
look it would find a difference sooner or later where there is none.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ENOUGH", "Mean", "Share", "compare_costs", "compare_shares"]

ENOUGH: Final = 30
"""Calls below which an interval would pretend to know too much."""

_Z: Final = Decimal("1.959964")
_ALPHA: Final = 0.05
_PLANNED: Final = 1_000
"""Calls of two arms at which the intervals of differences are narrowest."""


class Mean(NamedTuple):
    """What a call costs.

    Attributes:
        calls: Calls that it is the mean of.
        mean: USD; `None` if there is no call.
        variance: Of one call; `None` below two.
    """

    calls: int
    mean: Decimal | None = None
    variance: Decimal | None = None

    @classmethod
    def of(cls, costs: Sequence[Decimal]) -> Mean:
        """Return the mean and the variance of costs."""
        count = len(costs)
        if not count:
            return cls(0)
        with localcontext(prec=60):
            mean = sum(costs, Decimal(0)) / count
            if count == 1:
                return cls(1, mean)
            squares = sum(((cost - mean) ** 2 for cost in costs), Decimal(0))
            return cls(count, mean, squares / (count - 1))

    @property
    def interval(self) -> tuple[Decimal, Decimal] | None:
        """Where the true mean is, in 95 of 100 cases; `None` with too few calls."""
        if self.mean is None or self.variance is None or self.calls < ENOUGH:
            return None
        half = _Z * (self.variance / self.calls).sqrt()
        return max(Decimal(0), self.mean - half), self.mean + half


class Share(NamedTuple):
    """How many of some calls."""

    part: int
    whole: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's interval; `None` with too few calls."""
        if self.whole < ENOUGH:
            return None
        z, n = float(_Z), self.whole
        p = self.part / n
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        low = 0.0 if self.part == 0 else max(0.0, middle - half)
        high = 1.0 if self.part == n else min(1.0, middle + half)
        return low, high


def always(calls: int) -> float:
    """Return how many standard errors hold at all looks together.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and
    Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences"
    (Annals of Statistics, 2024), theorem 2.2.
    """
    best = -2 * math.log(_ALPHA) + math.log(-2 * math.log(_ALPHA) + 1)
    grown = calls * best / _PLANNED
    return math.sqrt(2 * (grown + 1) / grown * math.log(math.sqrt(grown + 1) / _ALPHA))


def compare_costs(name: str, mean: Mean, other: str, base: Mean) -> str:
    """Say in words whether calls of one arm cost more than those of another.

    Both have `ENOUGH` calls at least.
    """
    if mean.mean is None or base.mean is None or not base.mean:
        return f"A call of {other} costs nothing, so no ratio can be given."
    spread = (mean.variance or Decimal(0)) / mean.calls
    spread += (base.variance or Decimal(0)) / base.calls
    half = Decimal(repr(always(mean.calls + base.calls))) * spread.sqrt()
    change = mean.mean - base.mean
    low, high = (100 * (change + end) / base.mean for end in (-half, half))
    middle = 100 * change / base.mean
    if low <= 0 <= high:
        return (
            f"Cost per call: no clear difference between {name} and {other} "
            f"({middle:+.1f} %, 95 % interval {low:+.1f} to {high:+.1f} %)."
        )
    word = "less" if change < 0 else "more"
    return (
        f"Cost per call: {name} costs {abs(middle):.1f} % {word} than {other} "
        f"(95 % interval {low:+.1f} to {high:+.1f} %)."
    )


def compare_shares(name: str, share: Share, other: str, base: Share) -> str:
    """Say in words whether calls of one arm fail more often than those of another.

    Both have `ENOUGH` calls at least.
    """
    p, q = share.part / share.whole, base.part / base.whole
    # Agresti and Caffo: two more of each kind keep the interval honest near 0.
    a = (share.part + 1) / (share.whole + 2)
    b = (base.part + 1) / (base.whole + 2)
    half = always(share.whole + base.whole) * math.sqrt(
        a * (1 - a) / (share.whole + 2) + b * (1 - b) / (base.whole + 2)
    )
    low, high = a - b - half, a - b + half
    told = (
        f"{100 * p:.1f} % of calls of {name}, {100 * q:.1f} % of {other} "
        f"(difference's 95 % interval {100 * low:+.1f} to {100 * high:+.1f} points)"
    )
    if low <= 0 <= high:
        return f"Failures: no clear difference; {told}."
    return f"Failures: {name} fails {'less' if high < 0 else 'more'} often; {told}."
