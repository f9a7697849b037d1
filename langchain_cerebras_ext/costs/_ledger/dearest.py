"""The dearest of many combinations with a tag, without a list of them all; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence  # noqa: TC003
from heapq import nlargest
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_cerebras_ext.costs._ledger.cube import Numbers

__all__ = ["find_dearest"]

_MILLION: Final = 1_000_000
_first: Final = itemgetter(0)


def find_dearest(
    rows: Iterable[Numbers], tags: Mapping[int, Sequence[tuple[int]]], most: int
) -> list[tuple[int, Numbers]]:
    """Return costs in 1e-12 USD and what had them, dearest first.

    What has several tags counts under each of them.

    Args:
        rows: Two or more numbers, the last of which is of a tag set, whole millionths
            of a dollar and the rest. Those of the same first number follow each other.
        tags: The tags of each tag set, as what follows the other numbers; looked at
            after the row was read.
        most: How many at most.
    """
    found = nlargest(most, _totals(rows, tags))
    return [(cost, (first, *name)) for cost, first, name in found]


def _totals(
    rows: Iterable[Numbers], tags: Mapping[int, Sequence[tuple[int]]]
) -> Iterator[tuple[int, int, Numbers]]:
    for first, some in groupby(rows, _first):
        costs: dict[Numbers, int] = {}
        for row in some:
            cost = row[-2] * _MILLION + row[-1]
            others = row[1:-3]
            for tag in tags[row[-3]]:
                name = others + tag
                costs[name] = costs.get(name, 0) + cost
        for name, cost in costs.items():
            yield cost, first, name
