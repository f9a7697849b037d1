"""Which totals answer a question: whole days, the hours beside them, single rows; pure.

since                                                            until
|--rows--|--hours--|------------ days ------------|--hours--|--rows--|
"""

from __future__ import annotations

from collections.abc import Collection, Iterator  # noqa: TC003
from typing import Final, Literal, NamedTuple

from langchain_cerebras_ext.costs._ledger.rollup import FIRST_DAY, HOUR, NEVER

__all__ = ["Span", "choose"]

Source = Literal[
    "rows",
    "hourly",
    "hourly_tags",
    "hourly_core",
    "daily_core",
    "daily_tags",
    "daily_nodes",
    "daily_users",
    "daily_models",
]

_DAY: Final = 24
_EPOCH: Final = FIRST_DAY * _DAY
_DAILY: Final = (
    "daily_core",
    "daily_tags",
    "daily_nodes",
    "daily_users",
    "daily_models",
)
_OF_USERS: Final = {"user", "outcome", "day", "month"}
_OF_MODELS: Final = {"user", "model", "provider", "outcome", "day", "month"}
_OF_TAGS_BY_HOUR: Final = {"tag", "outcome", "hour", "day", "month"}
_OF_NODES: Final = {"tag", "node", "error_type", "outcome", "day", "month"}
_OF_TAGS: Final = {"tag", "model", "provider", "arm", "outcome", "day", "month"}


class Span(NamedTuple):
    """A stretch of time in one table; `None` is without an end.

    Attributes:
        source: The table.
        since: Its first microsecond, hour or day, in the table's own count.
        until: The first one after it.
        is_most: Whether that is so much of the table that no index of time is of use.
    """

    source: Source
    since: int | None
    until: int | None
    is_most: bool = False

    def within(self, first: int, last: int) -> Span:
        """Return the same of a table that begins and ends at these times."""
        since = None if self.since is None or self.since <= first else self.since
        until = None if self.until is None or self.until > last else self.until
        taken = (last if until is None else until) - (first if since is None else since)
        return Span(self.source, since, until, 2 * taken > last - first)


def choose(
    needed: Collection[str],
    *,
    since: int | None,
    until: int | None,
    pruned: int,
) -> list[Span]:
    """Return the stretches that together are the whole time asked for.

    Args:
        needed: The dimensions that are split by or filtered on.
        since: The first microsecond (since 1970).
        until: The first one after the last.
        pruned: Before this microsecond, which begins an hour, there are no rows. A
            question that begins or ends within an hour there is answered for whole
            hours: those that begin in its time.
    """
    if since is not None and since < pruned:
        since = _ceil(since, HOUR) * HOUR
    if until is not None and until < pruned:
        until = _ceil(until, HOUR) * HOUR
    if since is not None and until is not None and since >= until:
        return []
    if "session" in needed:
        return list(_rows_or_hours(since, until, pruned))
    return [
        span
        for span in _layers(needed, since, until, pruned)
        if span.since is None or span.until is None or span.since < span.until
    ]


def _layers(
    needed: Collection[str], since: int | None, until: int | None, pruned: int
) -> Iterator[Span]:
    first = None if since is None else _ceil(since, HOUR) + _EPOCH
    last = None if until is None else until // HOUR + _EPOCH
    if first is not None and last is not None and first >= last:
        yield from _rows_or_hours(since, until, pruned)
        return
    if since is not None and first is not None:
        yield Span("rows", since, _micros(first))
    if until is not None and last is not None:
        yield Span("rows", _micros(last), until)
    table = _table(set(needed))
    if table in _DAILY:
        yield from _days(table, first, last, pruned)
    else:
        yield Span(table, first, last)


def _table(needed: set[str]) -> Source:
    """Return the smallest table that tells what is needed."""
    if needed.isdisjoint({"user", "tag"}):
        return "hourly_core" if "hour" in needed else "daily_core"
    if needed <= _OF_USERS:
        return "daily_users"
    if needed <= _OF_MODELS:
        return "daily_models"
    if needed <= _OF_NODES:
        return "daily_nodes"
    if needed <= _OF_TAGS:
        return "daily_tags"
    return "hourly_tags" if needed <= _OF_TAGS_BY_HOUR else "hourly"


def _days(
    table: Source, first: int | None, last: int | None, pruned: int
) -> Iterator[Span]:
    first_day = None if first is None else _ceil(first, _DAY)
    last_day = None if last is None else last // _DAY
    if first_day is not None and last_day is not None and first_day >= last_day:
        yield from _hours(table, first, last, pruned)
        return
    yield Span(table, first_day, last_day)
    if first_day is not None:
        yield from _hours(table, first, first_day * _DAY, pruned)
    if last_day is not None:
        yield from _hours(table, last_day * _DAY, last, pruned)


def _hours(
    table: Source, first: int | None, last: int | None, pruned: int
) -> Iterator[Span]:
    if table == "daily_core":
        yield Span("hourly_core", first, last)
    elif first is not None and last is not None and first < last:
        # Rows of a time are found at once; hours of a day lie apart, user by user.
        yield from _rows_or_hours(_micros(first), _micros(last), pruned)


def _rows_or_hours(since: int | None, until: int | None, pruned: int) -> Iterator[Span]:
    """Rows, and hours where the rows are gone."""
    if pruned > NEVER and (since is None or since < pruned):
        first = None if since is None else since // HOUR + _EPOCH
        end = pruned if until is None else min(until, pruned)
        yield Span("hourly", first, end // HOUR + _EPOCH)
        since = pruned
    if since is None or until is None or since < until:
        yield Span("rows", since, until)


def _ceil(value: int, step: int) -> int:
    return -(-value // step)


def _micros(hour: int) -> int:
    return (hour - _EPOCH) * HOUR
