"""What a batch of rows adds to the totals that are kept; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence  # noqa: TC003
from operator import add, itemgetter
from typing import Any, Final, NamedTuple

from langchain_cerebras_ext.costs._ledger.bins import bin_of
from langchain_cerebras_ext.costs._ledger.codec import COLUMNS, SECONDS
from langchain_cerebras_ext.costs._ledger.schema import AMOUNTS, CORE, SUMS

__all__ = ["DAY", "FIRST_DAY", "HOUR", "NEVER", "Additions", "hour_of", "roll_up"]

HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR
FIRST_DAY: Final = 719_162
"""Days from the year 1 to 1970."""
NEVER: Final = -FIRST_DAY * DAY
"""Microseconds since 1970 of the year 1: before it there is nothing to prune."""

_AT: Final = {name: place for place, name in enumerate(COLUMNS)}


def _reader(*names: str) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """Return what reads some columns of a row."""
    return itemgetter(*(_AT[name] for name in names))


_keys: Final = _reader("user_id", "tagset_id", *CORE)
_tokens: Final = _reader(*SUMS[1:])
_amounts: Final = _reader(*AMOUNTS)
_seconds: Final = _reader(*SECONDS)
_STARTED: Final = _AT["started_us"]
_STATE: Final = CORE.index("state_id")
_MICRO: Final = 1_000_000
_NO_TOKENS: Final = (0,) * len(SUMS[1:])
_NOTHING: Final = (0, 0)

Sums = dict[tuple[int, ...], tuple[int, ...]]


class Additions(NamedTuple):
    """Rows to add to the tables of the same names: keys, then measures."""

    hourly: list[tuple[int, ...]]
    hourly_tags: list[tuple[int, ...]]
    hourly_core: list[tuple[int, ...]]
    daily_core: list[tuple[int, ...]]
    daily_tags: list[tuple[int, ...]]
    daily_nodes: list[tuple[int, ...]]
    daily_users: list[tuple[int, ...]]
    daily_models: list[tuple[int, ...]]
    latencies: list[tuple[int, ...]]


def hour_of(micros: int) -> int:
    """Return the hour, counted from the year 1, of microseconds since 1970."""
    return micros // HOUR + FIRST_DAY * 24


def split(amount: int) -> tuple[int, int]:
    """Return whole millionths and the rest, both of the amount's sign."""
    if amount < 0:
        high, low = divmod(-amount, _MICRO)
        return -high, -low
    return divmod(amount, _MICRO)


def _measures(row: Sequence[Any], is_free: bool) -> tuple[int, ...]:
    # A cached answer used no tokens of the service.
    found = [1, *(_NO_TOKENS if is_free else [count or 0 for count in _tokens(row)])]
    for amount in _amounts(row):
        found += split(amount) if amount else _NOTHING
    return tuple(found)


def _flat(sums: Sums) -> list[tuple[int, ...]]:
    # In their order on disk.
    return [key + sums[key] for key in sorted(sums)]


def roll_up(rows: Iterable[Sequence[Any]], free_states: Collection[int]) -> Additions:
    """Return what rows add to the totals.

    Args:
        rows: As `codec.encode` makes them.
        free_states: Numbers of the states whose tokens do not count: cache hits.
    """
    finest: Sums = {}
    bins: dict[tuple[int, ...], int] = {}
    for row in rows:
        hour = hour_of(row[_STARTED])
        user, tagset, *core = _keys(row)
        key = (user, tagset, hour, *core)
        values = _measures(row, core[_STATE] in free_states)
        have = finest.get(key)
        finest[key] = values if have is None else tuple(map(add, have, values))
        where = (hour // 24, *core[:-1])
        for field, value in enumerate(_seconds(row)):
            if value is not None:
                one = (field, *where, bin_of(value))
                bins[one] = bins.get(one, 0) + 1
    tables: tuple[Sums, ...] = ({}, {}, {}, {}, {}, {}, {})
    for (user, tagset, hour, *core), values in finest.items():
        model, provider, node, arm, state, error = core
        day = hour // 24
        keys = (
            (hour, tagset, state),
            (hour, *core),
            (day, *core),
            (tagset, day, model, provider, arm, state),
            (tagset, day, node, state, error),
            (user, day, state),
            (user, model, day, provider, state),
        )
        for sums, key in zip(tables, keys, strict=True):
            have = sums.get(key)
            sums[key] = values if have is None else tuple(map(add, have, values))
    latencies = [(*key, bins[key]) for key in sorted(bins)]
    return Additions._make((*map(_flat, (finest, *tables)), latencies))
