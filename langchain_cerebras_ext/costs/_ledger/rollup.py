"""What a batch of rows adds to the totals that are kept; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence  # noqa: TC003
from typing import Any, Final, NamedTuple

from langchain_cerebras_ext.costs._ledger.bins import bin_of
from langchain_cerebras_ext.costs._ledger.codec import COLUMNS, SECONDS
from langchain_cerebras_ext.costs._ledger.schema import CORE

__all__ = ["DAY", "FIRST_DAY", "HOUR", "NEVER", "Additions", "hour_of", "roll_up"]

HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR
FIRST_DAY: Final = 719_162
"""Days from the year 1 to 1970."""
NEVER: Final = -FIRST_DAY * DAY
"""Microseconds since 1970 of the year 1: before it there is nothing to prune."""

_AT: Final = {name: place for place, name in enumerate(COLUMNS)}
_KEYS: Final = tuple(
    _AT[name]
    for name in (
        "user_id",
        "model_id",
        "tagset_id",
        "provider_id",
        "node_id",
        "arm_id",
        "state_id",
        "error_id",
    )
)
_TOKENS: Final = tuple(
    _AT[name]
    for name in (
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
        "reasoning_tokens",
    )
)
_AMOUNTS: Final = tuple(
    _AT[name]
    for name in (
        "cost",
        "cache_savings",
        "cost_cached_input",
        "cost_cache_write",
        "cost_image",
        "cost_output",
        "cost_request",
    )
)
_STARTED: Final = _AT["started_us"]
_LATENCIES: Final = tuple((place, _AT[name]) for place, name in enumerate(SECONDS))
_WHERE: Final = tuple(_AT[name] for name in CORE[:-1])
_MICRO: Final = 1_000_000

Sums = dict[tuple[int, ...], list[int]]


class Additions(NamedTuple):
    """Rows to add to the tables of the same names: keys, then measures."""

    hourly: list[tuple[int, ...]]
    hourly_core: list[tuple[int, ...]]
    daily_core: list[tuple[int, ...]]
    daily_tags: list[tuple[int, ...]]
    daily_nodes: list[tuple[int, ...]]
    daily_users: list[tuple[int, ...]]
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


def _measures(row: Sequence[Any], is_free: bool) -> list[int]:
    # A cached answer used no tokens of the service.
    found = [1, *((0,) * 4 if is_free else [row[at] or 0 for at in _TOKENS])]
    for at in _AMOUNTS:
        amount = row[at]
        found += split(amount) if amount else (0, 0)
    return found


def _add(sums: Sums, key: tuple[int, ...], more: list[int]) -> None:
    have = sums.get(key)
    if have is None:
        sums[key] = more
    else:
        sums[key] = [a + b for a, b in zip(have, more, strict=True)]


def _flat(sums: Sums) -> list[tuple[int, ...]]:
    # In their order on disk.
    return [(*key, *values) for key, values in sorted(sums.items())]


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
        user, model, tagset, *rest = (row[at] for at in _KEYS)
        key = (user, model, hour, tagset, *rest)
        _add(finest, key, _measures(row, row[_AT["state_id"]] in free_states))
        for field, at in _LATENCIES:
            value = row[at]
            if value is not None:
                where = (field, hour // 24, *(row[at] for at in _WHERE), bin_of(value))
                bins[where] = bins.get(where, 0) + 1
    hourly_core: Sums = {}
    daily_core: Sums = {}
    daily_tags: Sums = {}
    daily_nodes: Sums = {}
    daily_users: Sums = {}
    for (user, model, hour, tagset, *rest), values in finest.items():
        provider, node, arm, state, error = rest
        core = (model, *rest)
        day = hour // 24
        _add(hourly_core, (hour, *core), values)
        _add(daily_core, (day, *core), values)
        _add(daily_tags, (tagset, day, model, provider, arm, state), values)
        _add(daily_nodes, (tagset, day, node, state, error), values)
        _add(daily_users, (user, day, state), values)
    return Additions(
        _flat(finest),
        _flat(hourly_core),
        _flat(daily_core),
        _flat(daily_tags),
        _flat(daily_nodes),
        _flat(daily_users),
        [(*key, n) for key, n in sorted(bins.items())],
    )
