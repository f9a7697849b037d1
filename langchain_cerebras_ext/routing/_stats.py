"""Estimates, intervals and sample sizes; the only file that knows SciPy.

A sample is one row for each unit: what it has of something, and of how many. The
estimate is the sum of the one over the sum of the other. Units are independent, what
lies within a unit need not be, so that all here counts units (a cluster bootstrap).
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "ENOUGH",
    "Difference",
    "Estimate",
    "Look",
    "adjust",
    "check_split",
    "compare",
    "estimate",
    "find_sample_size",
    "find_units",
]

ENOUGH: Final = 10
"""Units below which an interval would pretend to know too much."""

_MOST_UNITS: Final = 250
"""More units are put together, at random, into so many blocks, which are resampled."""

_BATCH: Final = 250  # so that a batch stays in the processor's cache
_MUCH: Final = 0.5
_POWER: Final = 0.8
_PSEUDO: Final = 4  # as many calls are added where a share's spread is judged
_LARGE: Final = 5_000
_MOST: Final = 10**12


class Look(NamedTuple):
    """How data is looked at.

    Attributes:
        confidence: How often an interval has to hold.
        seed: Of the resampling.
        resamples: How often.
        planned_units: Where the interval for many looks is narrowest.
    """

    confidence: float = 0.95
    seed: int = 0
    resamples: int = 2_000
    planned_units: int = 1_000


class Estimate(NamedTuple):
    """What a sample says.

    Attributes:
        value: The ratio of the sums.
        units: Of how many units.
        calls: The sum below the line.
        low: Of its interval; `None` where there are too few units, or no spread.
        high: Likewise.
        variance: Of the estimate, not of a unit; 0 where there is no spread.
        is_dominated: Whether one unit alone makes up much of the spread, so that the
            mean may not be well known whatever the interval says.
    """

    value: float
    units: int
    calls: float
    low: float | None = None
    high: float | None = None
    variance: float = 0.0
    is_dominated: bool = False


class Difference(NamedTuple):
    """How far two samples are apart.

    Attributes:
        value: The first one's estimate less the second one's.
        low: Of the interval for one look; `None` where there is none.
        high: Likewise.
        always_low: Of the interval for any number of looks.
        always_high: Likewise.
        p_value: For one look.
        always_p_value: For any number of looks.
    """

    value: float
    low: float | None = None
    high: float | None = None
    always_low: float | None = None
    always_high: float | None = None
    p_value: float = 1.0
    always_p_value: float = 1.0


class _Sample(NamedTuple):
    above: NDArray[np.float64]
    below: NDArray[np.float64]

    @property
    def units(self) -> int:
        return len(self.above)

    @property
    def ratio(self) -> float:
        return float(self.above.sum() / self.below.sum())

    def influence(self) -> NDArray[np.float64]:
        """Return how far each unit moves the ratio, times the number of units.

        Linearised: Taylor's expansion of a ratio of means.
        """
        mean = float(self.below.mean())
        return (self.above - self.ratio * self.below) / mean


def _load() -> Any:
    """Return SciPy's functions; those of `scipy.stats` take long to load and to call.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        from scipy import special
    except ImportError as error:
        msg = (
            "Intervals need scipy. "
            "Run: pip install 'langchain-cerebras-ext[experiments]'"
        )
        raise MissingExtraError(msg) from error
    return special


def _read(pairs: Sequence[Sequence[float]]) -> _Sample:
    import numpy as np

    table = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
    return _Sample(table[:, 0], table[:, 1])


def estimate(
    pairs: Sequence[Sequence[float]], look: Look, *, is_share: bool, name: str = ""
) -> Estimate | None:
    """Return what a sample says; `None` if there is nothing in it.

    Args:
        pairs: For each unit its sums above and below the line; below is more than 0.
        look: How it is looked at.
        is_share: Whether each call is 0 or 1.
        name: Of the sample: each has random numbers of its own.
    """
    special = _load()
    if not len(pairs):
        return None
    sample = _read(pairs)
    value, units = sample.ratio, sample.units
    found = Estimate(value, units, float(sample.below.sum()))
    if units < ENOUGH:
        return found
    influence = sample.influence()
    squares = influence**2
    whole = float(squares.sum())
    variance = _cleaned(whole / (units - 1) / units, value)
    if is_share:
        low, high = _share_interval(special, sample, variance, look.confidence)
        variance = _share_variance(sample, variance)
        return found._replace(low=low, high=high, variance=variance)
    is_dominated = variance > 0 and float(squares.max()) > whole * _MUCH
    found = found._replace(variance=variance, is_dominated=is_dominated)
    off = _resample((sample,), look, name) if variance else None
    if off is None or not len(off):
        return found
    half = _at(off, look.confidence) * math.sqrt(variance)
    return found._replace(low=value - half, high=value + half)


def _cleaned(variance: float, value: float) -> float:
    """Return a variance, without what is only the rounding of equal values."""
    return 0.0 if variance <= (1e-9 * value) ** 2 else variance


def compare(
    pairs: Sequence[Sequence[float]],
    base: Sequence[Sequence[float]],
    look: Look,
    *,
    is_share: bool,
    name: str = "",
) -> Difference | None:
    """Return how far a sample is from another; `None` if there is nothing in one.

    Args:
        pairs: As for `estimate`.
        base: What it is compared with.
        look: How it is looked at.
        is_share: Whether each call is 0 or 1.
        name: Of the comparison.
    """
    special = _load()
    read = [
        estimate(each, look._replace(resamples=0), is_share=is_share)
        for each in (pairs, base)
    ]
    one, two = read
    if one is None or two is None:
        return None
    found = Difference(_apart(one.value, two.value))
    variance = one.variance + two.variance
    if min(one.units, two.units) < ENOUGH or not variance:
        return found
    degrees = _degrees((one, two))
    z = abs(found.value) / math.sqrt(variance)
    low, high, p_value = None, None, 1.0
    if is_share:
        low, high = _share_difference(one, two)
        p_value = float(2 * special.stdtr(degrees, -z))
    else:
        off = _resample((_read(pairs), _read(base)), look, name)
        if off is not None and len(off):
            half = _at(off, look.confidence) * math.sqrt(variance)
            low, high = found.value - half, found.value + half
            p_value = _beyond(off, z)
    always = _always(
        special, found.value, variance, one.units + two.units, degrees, look
    )
    ends = max(-1.0, always[0]), min(1.0, always[1])
    return Difference(
        found.value, low, high, *(ends if is_share else always[:2]), p_value, always[2]
    )


def _apart(one: float, two: float) -> float:
    """Return a difference; 0 where it is only that of roundings."""
    return 0.0 if math.isclose(one, two, rel_tol=1e-9) else one - two


def _degrees(ends: Sequence[Estimate]) -> float:
    """Return Welch's degrees of freedom."""
    whole = sum(end.variance for end in ends) ** 2
    parts = sum(end.variance**2 / (end.units - 1) for end in ends)
    return whole / parts if parts > 0 else float(min(end.units for end in ends) - 1)


# ------------------------------------------------------------------------- bootstrap


def _resample(
    samples: tuple[_Sample, ...], look: Look, name: str
) -> NDArray[np.float64] | None:
    """Return how many standard errors resampled estimates are off, sorted.

    Of a ratio, or of the difference of two: the symmetric bootstrap-t, each resample
    measured by its own standard error. Costs and times are skewed: intervals of
    percentiles, BCa too, held 92 times of 100 for them where 95 were asked for, these
    95 (Hall, "On symmetric bootstrap confidence intervals", 1988).
    """
    import numpy as np

    if not look.resamples:
        return None
    rng = np.random.default_rng([look.seed, zlib.crc32(name.encode())])
    blocks = [_blocks(sample, rng) for sample in samples]
    middle = _less([block.ratio for block in blocks])
    found: list[NDArray[np.float64]] = []
    for start in range(0, look.resamples, _BATCH):
        size = min(_BATCH, look.resamples - start)
        ratios: list[Any] = []
        variance: Any = 0.0
        for block in blocks:
            rows = rng.integers(block.units, size=(size, block.units))
            ratio, its = _ratios(block.above[rows], block.below[rows])
            ratios.append(ratio)
            variance = variance + its
        off = np.abs(_less(ratios) - middle)
        # A resample of the same unit again and again has no spread, and says nothing.
        is_spread = variance > 0
        found.append(off[is_spread] / np.sqrt(variance[is_spread]))
    return np.sort(np.concatenate(found))


def _less(ratios: Sequence[Any]) -> Any:
    """Return the first, less the second if there is one."""
    return ratios[0] - ratios[1] if len(ratios) > 1 else ratios[0]


def _ratios(above: Any, below: Any) -> tuple[Any, Any]:
    """Return the ratios of rows, and the variances of these ratios."""
    units = above.shape[-1]
    whole = below.sum(axis=-1)
    ratio = above.sum(axis=-1) / whole
    influence = above - ratio[:, None] * below
    squares = (influence * influence).sum(axis=-1) * (units / whole) ** 2
    return ratio, squares / (units - 1) / units


def _at(off: NDArray[np.float64], confidence: float) -> float:
    """Return how many standard errors most resamples are off at most."""
    rank = math.ceil(confidence * (len(off) + 1)) - 1
    return float(off[min(rank, len(off) - 1)])


def _beyond(off: NDArray[np.float64], z: float) -> float:
    """Return the share of resamples that are off as far, the data's own among them."""
    import numpy as np

    nearer = int(np.searchsorted(off, z, side="left"))
    return (len(off) - nearer + 1) / (len(off) + 1)


def _blocks(sample: _Sample, rng: np.random.Generator) -> _Sample:
    """Return a sample of few units, each the sum of several of many.

    Sums of as many units each, put together at random, are independent and alike, too,
    and have the same ratio.
    """
    import numpy as np

    units = sample.units
    if units <= _MOST_UNITS:
        return sample
    order = rng.permutation(units)
    starts = np.arange(_MOST_UNITS) * units // _MOST_UNITS
    return _Sample(
        np.add.reduceat(sample.above[order], starts),
        np.add.reduceat(sample.below[order], starts),
    )


# ---------------------------------------------------------------------------- shares


def _share_interval(
    special: Any, sample: _Sample, variance: float, confidence: float
) -> tuple[float, float]:
    """Return Wilson's interval, for as many calls as the units are worth.

    Calls of one unit are alike: they count for less than as many independent ones
    (Korn and Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", 1998).
    """
    p, n = sample.ratio, _worth(sample, variance)
    z = -float(special.stdtrit(sample.units - 1, (1 - confidence) / 2))
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, min(middle - half, p)), min(1.0, max(middle + half, p))


def _worth(sample: _Sample, variance: float) -> float:
    p, calls = sample.ratio, float(sample.below.sum())
    # Where all calls ended alike, nobody knows how alike those of a unit are.
    worth = p * (1 - p) / variance if variance else float(sample.units)
    return min(worth, calls)


def _share_variance(sample: _Sample, variance: float) -> float:
    """Return the variance of a share, more than 0 also where all calls ended alike.

    As if two more had ended either way: Agresti and Coull (1998).
    """
    n = _worth(sample, variance) + _PSEUDO
    p = (sample.ratio * (n - _PSEUDO) + _PSEUDO / 2) / n
    return p * (1 - p) / n


def _share_difference(one: Estimate, two: Estimate) -> tuple[float, float]:
    """Return the interval of a difference from those of its parts.

    Newcombe, "Interval estimation for the difference between independent proportions"
    (1998), method 10.
    """
    assert one.low is not None and one.high is not None  # noqa: S101, PT018
    assert two.low is not None and two.high is not None  # noqa: S101, PT018
    value = one.value - two.value
    below = math.hypot(one.value - one.low, two.high - two.value)
    above = math.hypot(one.high - one.value, two.value - two.low)
    return value - below, value + above


# ------------------------------------------------------------------------ many looks


def _always(
    special: Any, value: float, variance: float, units: int, degrees: float, look: Look
) -> tuple[float, float, float]:
    """Return an interval that holds at all looks together, and its p-value.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and
    Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences"
    (Annals of Statistics, 2024), theorem 2.2, with the estimate's own variance; rho is
    chosen as there, so that it is narrowest at `planned_units`. For few units the
    normal quantile becomes that of Student's t.
    """
    alpha = 1 - look.confidence
    best = -2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)
    grown = units * best / look.planned_units  # t rho^2
    limit = math.sqrt(2 * (grown + 1) / grown * math.log(math.sqrt(grown + 1) / alpha))
    half = -float(special.stdtrit(degrees, special.ndtr(-limit))) * math.sqrt(variance)
    tail = float(special.stdtr(degrees, -abs(value) / math.sqrt(variance)))
    z = -float(special.ndtri(tail)) if tail > 0 else math.inf
    evidence = z * z * grown / (2 * (grown + 1)) - math.log(grown + 1) / 2
    return value - half, value + half, math.exp(-max(0.0, evidence))


def adjust(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all comparisons together, by Holm's method."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    found = [1.0] * len(p_values)
    least = 0.0
    for rank, at in enumerate(order):
        least = max(least, min(1.0, p_values[at] * (len(p_values) - rank)))
        found[at] = least
    return found


def check_split(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return how likely a split of units as uneven as this one is, by chance."""
    special = _load()
    whole, parts = sum(counts), math.fsum(shares)
    expected = [whole * share / parts for share in shares]
    off = math.fsum(
        (count - due) ** 2 / due for count, due in zip(counts, expected, strict=True)
    )
    return float(special.chdtrc(len(counts) - 1, off))  # Pearson's chi-squared test


# ---------------------------------------------------------------------- sample sizes


def find_units(
    spread: float, effect: float, confidence: float, comparisons: int = 1
) -> int | None:
    """Return how many units each arm needs for an effect to be seen 4 times of 5.

    Args:
        spread: The sum of both arms' variances of a unit.
        effect: The difference.
        confidence: Of all comparisons together.
        comparisons: How many there are.
    """
    special = _load()
    if effect <= 0 or not math.isfinite(spread):
        return None
    alpha = (1 - confidence) / max(1, comparisons)
    z = float(special.ndtri(_POWER) - special.ndtri(alpha / 2))
    return math.ceil(min(_MOST, z * z * spread / effect**2))


def find_sample_size(
    baseline: float,
    effect: float,
    *,
    sd: float | None,
    power: float,
    confidence: float,
    arms: int,
    calls_per_unit: float,
    within_unit: float,
) -> int:
    """Return how many units each arm needs; see `experiment.sample_size`."""
    special = _load()
    _check_plan(effect, power, confidence, arms, calls_per_unit, within_unit)
    if sd is None:
        variance = (_of_rate(baseline) + _of_rate(baseline + effect)) / 2
    elif not (math.isfinite(sd) and sd > 0):
        msg = f"sd={sd} is no standard deviation; it is more than 0."
        raise CerebrasConfigurationError(msg)
    else:
        variance = sd * sd
    # Kish's design effect.
    variance *= (1 + (calls_per_unit - 1) * within_unit) / calls_per_unit
    d = abs(effect) / math.sqrt(variance)
    alpha = (1 - confidence) / (arms - 1)  # Bonferroni, as Holm at its first step
    z = float(special.ndtri(power) - special.ndtri(alpha / 2))
    guess = math.ceil(2 * (z / d) ** 2)
    if guess > _LARGE:
        return guess

    def is_enough(units: int) -> bool:
        degrees = 2 * units - 2
        limit = -float(special.stdtrit(degrees, alpha / 2))
        shift = d * math.sqrt(units / 2)
        return 1 - float(special.nctdtr(degrees, shift, limit)) >= power

    units = max(2, guess - 2)
    while not is_enough(units):
        units += 1
    return units


def _of_rate(rate: float) -> float:
    if not 0 <= rate <= 1:
        msg = (
            f"{rate:g} is no rate from 0 to 1: give sd=... if baseline is a mean, or "
            "an effect that leads to a rate."
        )
        raise CerebrasConfigurationError(msg)
    # A rate of exactly 0 or 1 is not known to be one.
    rate = min(max(rate, 1e-9), 1 - 1e-9)
    return rate * (1 - rate)


def _check_plan(
    effect: float,
    power: float,
    confidence: float,
    arms: int,
    calls_per_unit: float,
    within_unit: float,
) -> None:
    rules = (
        ("effect", effect, math.isfinite(effect) and effect != 0, "a number but 0"),
        ("power", power, 0 < power < 1, "between 0 and 1, as 0.8"),
        ("confidence", confidence, 0 < confidence < 1, "between 0 and 1, as 0.95"),
        ("arms", arms, arms > 1, "2 or more"),
        ("calls_per_unit", calls_per_unit, calls_per_unit >= 1, "1 or more"),
        ("within_unit", within_unit, 0 <= within_unit <= 1, "from 0 to 1"),
    )
    for name, value, is_right, rule in rules:
        if not is_right:
            msg = f"{name}={value} must be {rule}."
            raise CerebrasConfigurationError(msg)
