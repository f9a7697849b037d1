"""The tables that answer questions, with the same columns for each."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence  # noqa: TC003
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    case,
    func,
    literal,
    select,
    union_all,
)

from langchain_cerebras_ext.costs._ledger import schema
from langchain_cerebras_ext.costs._ledger.rollup import FIRST_DAY, HOUR

if TYPE_CHECKING:
    from sqlalchemy import Table

    from langchain_cerebras_ext.costs._ledger.plan import Span

__all__ = [
    "COLUMNS",
    "NOBODY",
    "STATE",
    "Question",
    "bounds_query",
    "conditions",
    "costs_query",
    "dearest_query",
    "key_column",
    "latencies_query",
    "rows_query",
    "runs_query",
    "totals_query",
]

COLUMNS: Final = {
    "model": "model_id",
    "provider": "provider_id",
    "user": "user_id",
    "session": "session_id",
    "tag": "tagset_id",
    "node": "node_id",
    "arm": "arm_id",
    "outcome": "state_id",
    "error_type": "error_id",
}
"""The column of a dimension; its numbers are of tag sets and states for two of them."""

_TABLES: Final[dict[str, Table]] = {
    "rows": schema.records,
    "hourly": schema.hourly,
    "hourly_tags": schema.hourly_tags,
    "hourly_core": schema.hourly_core,
    "daily_core": schema.daily_core,
    "daily_tags": schema.daily_tags,
    "daily_nodes": schema.daily_nodes,
    "daily_users": schema.daily_users,
    "daily_models": schema.daily_models,
}
_MICRO: Final = 1_000_000
_SHIFT: Final = FIRST_DAY * 24 * HOUR

_TIMES: Final = ("hour", "day", "month")
_RANK: Final = {"session": 0, "user": 1, "hour": 2, "tag": 3, "day": 4}
"""What has most values, in that order."""

_INDEXES: Final = {"session", "user", "tag"}
# What `schema.SESSION_INDEX` tells.
_OF_INDEX: Final = {"session", "tag", "state", "outcome", *_TIMES}
_INDEXED: Final = {
    *schema.SUMS,
    *(f"{name}_{part}" for name in ("cost", "cache_savings") for part in "up"),
}

STATE: Final = "n_in_state_"
"""Begins the name of a measure: how many rows are in the state of that number."""

NOBODY: Final = -1
"""The number of what is not there."""

Number = ColumnElement[Any]


class Question:
    """What is asked of the tables, in their numbers.

    Attributes:
        wanted: For each dimension that is filtered on, the numbers to take; for tags
            the numbers of tags.
        free: States whose tokens do not count.
        months: The first days of the months that there may be.
    """

    def __init__(
        self,
        wanted: dict[str, list[int]],
        free: Collection[int],
        months: list[int],
    ) -> None:
        self.wanted = wanted
        self.free = free
        self.months = months

    def only(self, chosen: Mapping[str, list[int]]) -> Question:
        """Return the same question of what has one of some numbers in each dimension.

        Args:
            chosen: The numbers of dimensions; those of tags, not of tag sets.
        """
        wanted = dict(self.wanted)
        for name, numbers in chosen.items():
            have = wanted.get(name)
            if have is None:
                wanted[name] = numbers
            elif name != "tag":  # one of those and one of these: no list says that
                wanted[name] = sorted(set(numbers).intersection(have)) or [NOBODY]
        return Question(wanted, self.free, self.months)

    def only_states(self, states: Collection[int]) -> Question:
        """Return the same question of some states only."""
        asked = self.wanted.get("outcome")
        chosen = [one for one in states if asked is None or one in asked]
        wanted = {**self.wanted, "outcome": chosen or [NOBODY]}
        return Question(wanted, self.free, self.months)


def totals_query(
    span: Span, keys: list[str], measures: list[str], question: Question
) -> Select[Any]:
    """Return the query for sums of measures in a stretch of time.

    Args:
        span: The table and the time.
        keys: Dimensions to split by; `state` is one, too.
        measures: Names as in `schema.MEASURES`.
        question: What to look at.
    """
    table = _TABLES[span.source]
    columns = [
        key_column(span.source, name, question).label(f"k_{name}") for name in keys
    ]
    if _is_indexed(span.source, keys, question) and _INDEXED.issuperset(measures):
        columns[keys.index("session")] = table.c.session_id.label("k_session")
    sums = [
        func.sum(_measure(span.source, name, question)).label(name) for name in measures
    ]
    query = (
        select(*columns, *sums).select_from(table).where(*conditions(span, question))
    )
    return query.group_by(*_widest_first(keys, columns)) if columns else query


def _widest_first(keys: Sequence[str], columns: Sequence[Number]) -> list[Number]:
    """Return columns in an order to sort by: few comparisons go on to the next one."""
    ranks = sorted(range(len(keys)), key=lambda at: _RANK.get(keys[at], len(_RANK)))
    return [columns[at] for at in ranks]


def dearest_query(
    spans: Sequence[Span],
    keys: Sequence[str],
    question: Question,
    outcomes: Mapping[int, int],
    limit: int,
) -> Select[Any]:
    """Return the query for the dearest combinations, and their whole millionths.

    What is less than a millionth may stand in another order.

    Args:
        spans: The tables and times.
        keys: Dimensions to split by, without tags.
        question: What to look at.
        outcomes: The state that stands for each state's outcome.
        limit: How many.
    """
    rows = [_costs_of(span, keys, question, outcomes) for span in spans]
    *groups, whole, rest = union_all(*rows).subquery().c
    cost = (func.sum(whole) + func.sum(rest) // _MICRO).label("cost")
    query = select(*groups, cost).group_by(*_widest_first(keys, groups))
    return query.order_by(cost.desc()).limit(limit)


def bounds_query(span: Span, dimension: str, question: Question) -> Select[Any]:
    """Return the query for what no part of a user or session can exceed.

    That is all that was paid, in whole millionths, rounded up; nothing that was
    given back counts.

    Args:
        span: The table and the time.
        dimension: Users or sessions.
        question: What to look at.
    """
    table = _TABLES[span.source]
    column = _column(span.source, dimension)
    if span.source == "rows":
        cost, rounded = table.c.cost, table.c.cost // _MICRO + 1
    else:
        cost, rounded = table.c.cost_u, table.c.cost_u + 1
    whole = func.sum(case((cost > 0, rounded), else_=1))
    columns: list[Number] = [column, whole]
    return select(*columns).where(*conditions(span, question)).group_by(column)


def runs_query(
    span: Span, keys: list[str], measures: list[str], question: Question
) -> Select[Any]:
    """Return the query for sums by a dimension and tag sets, in the order of the first.

    Several rows may have the same keys.

    Args:
        span: The table and the time.
        keys: Dimensions to split by, `tag` last.
        measures: Names as in `schema.MEASURES`.
        question: What to look at.
    """
    first, *others, tag = (f"k_{name}" for name in keys)
    if span.source != "hourly_tags":
        found = totals_query(span, keys, measures, question)
        return found.order_by(first, tag, *others)
    # Nearly each row there has keys of its own, and lies in its place.
    columns = [key_column(span.source, name, question) for name in keys]
    values = [_measure(span.source, name, question) for name in measures]
    table = _TABLES[span.source]
    query = select(*columns, *values).where(*conditions(span, question))
    return query.order_by(*columns, table.c.state_id)


def rows_query(span: Span, keys: list[str], question: Question) -> Select[Any]:
    """Return the query for a number, a tag set and the cost of each single row.

    Args:
        span: The time.
        keys: The dimension that the rows are in order of, and `tag`.
        question: What to look at.
    """
    table = schema.records
    columns = [key_column("rows", name, question) for name in keys]
    if _is_indexed("rows", keys, question):
        columns[0] = table.c.session_id
    cost = func.coalesce(table.c.cost, 0)
    query = select(*columns, cost).where(*conditions(span, question))
    return query.order_by(columns[0])


def costs_query(
    span: Span,
    keys: Sequence[str],
    question: Question,
    outcomes: Mapping[int, int],
) -> Select[Any]:
    """Return the query for what combinations have cost; tag sets are as they are.

    They come in the order of the first dimension. Single rows are not added up: they
    lie in no other order.

    Args:
        span: The table and the time.
        keys: Dimensions to split by.
        question: What to look at.
        outcomes: The state that stands for each state's outcome.
    """
    found = _costs_of(span, keys, question, outcomes)
    if span.source == "rows":
        return found.order_by("k_0")
    *groups, whole, rest = found.subquery().c
    query = select(*groups, func.sum(whole), func.sum(rest))
    return query.group_by(*groups).order_by(*groups)


def _costs_of(
    span: Span,
    keys: Sequence[str],
    question: Question,
    outcomes: Mapping[int, int],
) -> Select[Any]:
    """Return the query for the cost of each row."""
    source = span.source
    columns = [key_column(source, name, question) for name in keys]
    if _is_indexed(source, keys, question):
        columns[keys.index("session")] = schema.records.c.session_id
    if "outcome" in keys:
        columns[keys.index("outcome")] = _first_state(source, outcomes)
    named = [one.label(f"k_{at}") for at, one in enumerate(columns)]
    parts = [
        _measure(source, f"cost_{part}", question).label(f"cost_{part}")
        for part in "up"
    ]
    query = select(*named, *parts).select_from(_TABLES[source])
    return query.where(*conditions(span, question))


def _is_indexed(source: str, keys: Sequence[str], question: Question) -> bool:
    """Whether the index of sessions alone answers: it is read in its order, then."""
    if source != "rows" or "session" not in keys:
        return False
    return _OF_INDEX.issuperset(keys) and _OF_INDEX.issuperset(question.wanted)


def _first_state(source: str, outcomes: Mapping[int, int]) -> Number:
    """Return the number that stands for a row's outcome."""
    state = _TABLES[source].c.state_id
    others = [(state == n, first) for n, first in outcomes.items() if n != first]
    return case(*others, else_=state) if others else state


def latencies_query(
    days: tuple[int | None, int | None],
    keys: list[str],
    field: int,
    question: Question,
) -> Select[Any]:
    """Return the query for the counts in a field's bins, in whole days."""
    table = schema.latencies
    first, last = days
    where: list[Number] = [table.c.field == field]
    if first is not None:
        where.append(table.c.day >= first)
    if last is not None:
        where.append(table.c.day < last)
    for name, numbers in question.wanted.items():
        where.append(table.c[COLUMNS[name]].in_(numbers))
    columns = [
        _calendar(name, table.c.day, table.c.day, question)
        if name in _TIMES
        else table.c[COLUMNS[name]]
        for name in keys
    ]
    groups = [column.label(f"k_{at}") for at, column in enumerate(columns)]
    query = select(*groups, table.c.bin, func.sum(table.c.n)).where(*where)
    return query.group_by(*groups, table.c.bin)


def conditions(
    span: Span, question: Question, *, by_time: bool = False
) -> list[Number]:
    """Return what must hold of a row.

    Args:
        span: The table and the time.
        question: What to look at.
        by_time: Whether rows are to be looked through in the order of time.
    """
    source = span.source
    found: list[Number] = []
    at = _time(source)
    if span.is_most:
        at += 0  # SQLite: look through all rows, not one by one by their time
    if span.since is not None:
        found.append(at >= span.since)
    if span.until is not None:
        found.append(at < span.until)
    for name, numbers in question.wanted.items():
        column = _column(source, name)
        if name == "tag":
            others = question.wanted.keys() & {"user", "session"}
            if source == "rows" and (by_time or others):
                column += 0  # SQLite: look for those by their index, not for tags
            of = schema.tags.c
            sets = select(of.tagset_id).where(of.tag_id.in_(numbers))
            chosen = column.in_(sets)
            found.append(chosen | (column == 0) if 0 in numbers else chosen)
            continue
        if source == "rows" and name != "session" and "session" in question.wanted:
            column += 0  # likewise: a session has few rows
        if len(numbers) == 1:
            found.append(column == numbers[0])
        else:
            found.append(column.in_(numbers))
    return found


def key_column(source: str, name: str, question: Question) -> Number:
    """Return what to split by."""
    if name == "state":
        return _TABLES[source].c.state_id
    if name not in _TIMES:
        column = _column(source, name)
        # SQLite: all rows in their order on disk, not one by one by an index of it.
        is_slow = source == "rows" and name in _INDEXES
        return column + 0 if is_slow else column
    at = _time(source)
    if source.startswith("daily"):
        return _calendar(name, at, at, question)
    hour = (at + _SHIFT) // HOUR if source == "rows" else at
    return _calendar(name, hour, hour // 24, question)


def _calendar(name: str, hour: Number, day: Number, question: Question) -> Number:
    """Return the hour, the day or the first day of the month, where that is known."""
    if name == "hour":
        return hour
    starts = question.months
    if name == "day" or not starts:
        return day
    if len(starts) == 1:
        return literal(starts[0])
    # The end of each month tells it from those after.
    ends = itertools.pairwise(starts)
    return case(*((day < end, start) for start, end in ends), else_=starts[-1])


def _time(source: str) -> Number:
    table = _TABLES[source]
    if source == "rows":
        return table.c.started_us
    return table.c.day if source.startswith("daily") else table.c.hour


def _column(source: str, name: str) -> Number:
    table = _TABLES[source]
    column = COLUMNS[name]
    # What was pruned has no session any more.
    return table.c[column] if column in table.c else literal(0)


def _measure(source: str, name: str, question: Question) -> Number:
    table = _TABLES[source]
    if name.startswith(STATE):
        is_in = table.c.state_id == int(name.removeprefix(STATE))
        return case((is_in, _measure(source, "n", question)), else_=0)
    if source != "rows":
        return table.c[name]
    if name == "n":
        return literal(1)
    if name in schema.SUMS:
        value = func.coalesce(table.c[name], 0)
        if not question.free:
            return value
        return case((table.c.state_id.in_(sorted(question.free)), 0), else_=value)
    amount, _, part = name.rpartition("_")
    value = func.coalesce(table.c[amount], 0)
    return value // _MICRO if part == "u" else value % _MICRO
