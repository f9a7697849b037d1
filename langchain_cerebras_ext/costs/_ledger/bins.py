"""Percentiles from counts in bins that grow by 4 %: at most 2 % off; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence  # noqa: TC003
from typing import Final

__all__ = ["EDGE", "bin_of", "from_bins", "from_values"]

_GROWTH: Final = math.log(1.04)
EDGE: Final = -1_000_000
"""The bin of 0 and of what is below it, which only a clock set back gives."""


def bin_of(value: float) -> int:
    """Return the number of a value's bin."""
    return math.floor(math.log(value) / _GROWTH) if value > 0 else EDGE


def _middle(number: int) -> float:
    # The geometric middle: as far off, in per cent, from one end as from the other.
    return 0.0 if number == EDGE else math.exp((number + 0.5) * _GROWTH)


def _rank(count: int, at: float) -> int:
    """Return the place of a percentile among sorted values: the nearest rank."""
    return min(max(math.ceil(count * at) - 1, 0), count - 1)


def from_values(
    values: Iterable[float], at: Sequence[float]
) -> tuple[float | None, ...]:
    """Return the percentiles of values."""
    ordered = sorted(values)
    if not ordered:
        return (None,) * len(at)
    return tuple(ordered[_rank(len(ordered), one)] for one in at)


def from_bins(
    counts: Mapping[int, int], at: Sequence[float]
) -> tuple[float | None, ...]:
    """Return the percentiles of counted values, at most 2 % off."""
    total = sum(counts.values())
    if not total:
        return (None,) * len(at)
    ordered = sorted(counts.items())
    found: list[float | None] = []
    for one in at:
        left = _rank(total, one)
        for number, count in ordered:
            if left < count:
                found.append(_middle(number))
                break
            left -= count
    return tuple(found)
