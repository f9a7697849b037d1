"""Which totals answer a question: whole days, the hours beside them, single rows; pure.

since                                                            until
|--rows--|--hours--|------------ days ------------|--hours--|--rows--|
"""

from __future__ import annotations

from collections.abc import Collection, Iterator  # noqa: TC003
from typing import Final, Literal, NamedTuple

from langchain_cerebras_ext.costs._ledger.rollup import FIRST_DAY, HOUR, NEVER

__all__ = ["Span", "choose"]

Source = Literal["rows", "hourly", "hourly_core", "daily_core", "daily_tags"]

_DAY: Final = 24
_EPOCH: Final = FIRST_DAY * _DAY


class Span(NamedTuple):
    """A stretch of time in one table; `None` is without an end.

    Attributes:
        source: The table.
        since: Its first microsecond, hour or day, in the table's own count.
        until: The first one after it.
    """

    source: Source
    since: int | None
    until: int | None


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
    if "user" in needed or ("tag" in needed and "hour" in needed):
        yield Span("hourly", first, last)
    elif "hour" in needed:
        yield Span("hourly_core", first, last)
    else:
        yield from _days("tag" in needed, first, last, pruned)


def _days(
    by_tag: bool, first: int | None, last: int | None, pruned: int
) -> Iterator[Span]:
    first_day = None if first is None else _ceil(first, _DAY)
    last_day = None if last is None else last // _DAY
    if first_day is not None and last_day is not None and first_day >= last_day:
        yield from _hours(by_tag, first, last, pruned)
        return
    yield Span("daily_tags" if by_tag else "daily_core", first_day, last_day)
    if first_day is not None:
        yield from _hours(by_tag, first, first_day * _DAY, pruned)
    if last_day is not None:
        yield from _hours(by_tag, last_day * _DAY, last, pruned)


def _hours(
    by_tag: bool, first: int | None, last: int | None, pruned: int
) -> Iterator[Span]:
    if not by_tag:
        yield Span("hourly_core", first, last)
    elif first is not None and last is not None and first < last:
        # Rows of a time are found at once; hours by tag lie apart, user by user.
        yield from _rows_or_hours(_micros(first), _micros(last), pruned)


def _rows_or_hours(since: int | None, until: int | None, pruned: int) -> Iterator[Span]:
    """Rows, and hours where the rows are gone."""
    if pruned > NEVER and (since is None or since < pruned):
        first = None if since is None else since // HOUR + _EPOCH
        end = pruned if until is None else min(until, pruned)
        yield Span("hourly", first, end // HOUR + _EPOCH)
        since = pruned
    if until is None or since < until:
        yield Span("rows", since, until)


def _ceil(value: int, step: int) -> int:
    return -(-value // step)


def _micros(hour: int) -> int:
    return (hour - _EPOCH) * HOUR
