"""The dearest of many combinations with a tag, without a list of them all; pure.

Rows come in lists, so many at once. They are numbers, the last of which is of a tag
set, and values; those of the same first number follow each other. What has several tags
counts under each of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from operator import add, itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from langchain_cerebras_ext.costs._ledger.cube import Numbers, Values

__all__ = ["Dear", "find_dearest", "find_dearest_pairs"]

Tags = Mapping[int, Sequence[int]]
"""The tags of each tag set; looked at after the list with it was read."""

_MILLION: Final = 1_000_000
_first: Final = itemgetter(0)


class Dear(NamedTuple):
    """A combination, and what it comes to.

    Attributes:
        cost: What it has cost, in 1e-12 USD.
        numbers: Its numbers, that of the tag last.
        values: All sums.
    """

    cost: int
    numbers: Numbers
    values: Values = ()


def find_dearest(
    lists: Iterable[list[Numbers]],
    tags: Tags,
    most: int,
    *,
    width: int,
    cost: int,
    floor: int | None = None,
) -> list[Dear]:
    """Return what has cost most, dearest first.

    Of several that have cost the same as the last one, any may be left out.

    Args:
        lists: The rows.
        tags: Of tag sets.
        most: How many at most.
        width: How many numbers a row has.
        cost: The place among the values of whole millionths of a dollar; the rest of
            1e-12 follows.
        floor: What is not dearer is of no use.
    """
    found: list[Dear] = []
    place = width - 1
    for _, run in groupby(chain.from_iterable(lists), _first):
        for rows in _parts(run, place):
            costs = _costs(rows, tags, place, width + cost)
            if floor is not None:
                costs = {tag: spent for tag, spent in costs.items() if spent > floor}
            if not costs:
                continue
            name = rows[0][:place]
            for tag, values in _sums(rows, tags, place, costs).items():
                found.append(Dear(costs[tag], (*name, tag), values))
            if len(found) >= 2 * most:
                found = _dearest(found, most)
                floor = found[-1].cost
    return _dearest(found, most)


def find_dearest_pairs(
    lists: Iterable[list[Numbers]], tags: Tags, most: int
) -> list[Dear]:
    """Return the same of a number and a tag, without values: they may be millions.

    Args:
        lists: Rows of a number, a tag set and a cost in 1e-12 USD.
        tags: Of tag sets.
        most: How many at most.
    """
    found: list[Dear] = []
    floor: int | None = None
    before = -1
    costs: dict[int, int] = {}
    get = costs.get

    def keep() -> None:
        nonlocal found, floor
        found += [
            Dear(spent, (before, tag))
            for tag, spent in costs.items()
            if floor is None or spent > floor
        ]
        if len(found) >= 2 * most:
            found = _dearest(found, most)
            floor = found[-1].cost

    for rows in lists:
        for number, tagset, spent in rows:
            if number != before:
                if costs and (floor is None or max(costs.values()) > floor):
                    keep()
                before, costs = number, {}
                get = costs.get
            for tag in tags[tagset]:
                costs[tag] = get(tag, 0) + spent
    keep()
    return _dearest(found, most)


def _parts(run: Iterable[Numbers], place: int) -> Iterable[list[Numbers]]:
    """Return rows apart that differ in more than their tag sets."""
    if place == 1:
        return (list(run),)
    parts: defaultdict[Numbers, list[Numbers]] = defaultdict(list)
    for row in run:
        parts[row[1:place]].append(row)
    return parts.values()


def _costs(rows: list[Numbers], tags: Tags, place: int, cost: int) -> dict[int, int]:
    """Return what each tag has cost."""
    found: dict[int, int] = {}
    get = found.get
    rest = cost + 1
    for row in rows:
        spent = row[cost] * _MILLION + row[rest]
        for tag in tags[row[place]]:
            found[tag] = get(tag, 0) + spent
    return found


def _sums(
    rows: list[Numbers], tags: Tags, place: int, among: Mapping[int, int]
) -> dict[int, Values]:
    """Return all sums of some tags."""
    found: dict[int, Values] = {}
    get = found.get
    for row in rows:
        for tag in tags[row[place]]:
            if tag in among:
                have = get(tag)
                values = row[place + 1 :]
                found[tag] = values if have is None else tuple(map(add, have, values))
    return found


def _dearest(found: list[Dear], most: int) -> list[Dear]:
    return sorted(found, key=_first, reverse=True)[:most]
