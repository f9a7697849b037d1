"""Answers from the tables, as `report` has them for records at hand."""

from __future__ import annotations

import heapq
import itertools
import operator
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from sqlalchemy import func, select, tuple_

from langchain_cerebras_ext.costs._ledger import schema
from langchain_cerebras_ext.costs._ledger.bins import bin_of, from_bins, from_values
from langchain_cerebras_ext.costs._ledger.codec import (
    SECONDS,
    State,
    decode,
    from_pico,
    read_state,
    to_micros,
)
from langchain_cerebras_ext.costs._ledger.cube import Cube, Numbers, Values, month_of
from langchain_cerebras_ext.costs._ledger.dearest import (
    Dear,
    find_dearest,
    find_dearest_pairs,
)
from langchain_cerebras_ext.costs._ledger.plan import Span, choose
from langchain_cerebras_ext.costs._ledger.rollup import DAY, FIRST_DAY, HOUR, NEVER
from langchain_cerebras_ext.costs._ledger.sources import (
    COLUMNS,
    NOBODY,
    STATE,
    Question,
    bounds_query,
    conditions,
    costs_query,
    dearest_query,
    key_column,
    latencies_query,
    rows_query,
    runs_query,
    totals_query,
)
from langchain_cerebras_ext.costs._ledger.tables import (
    find_numbers,
    find_tags,
    find_texts,
)
from langchain_cerebras_ext.costs.report import (
    Dimension,
    Filter,
    Group,
    Totals,
    check_dimensions,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from decimal import Decimal

    from sqlalchemy import ColumnElement, Connection, Select

    from langchain_cerebras_ext.costs._ledger.store import Store
    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["BY_BINS", "FEW", "Asked", "Keys"]

Keys = tuple[str | None, ...]

_TIMES: Final = ("hour", "day", "month")
_MOST_MONTHS: Final = 400
_MANY: Final = ("session", "user", "hour")
"""Of one of these after the other the tags are told."""

_CHUNK: Final = 5_000
"""So many sessions are named at once."""

_CORE: Final = {"model", "provider", "node", "arm", "error_type"}
_OF_NO_DAY: Final = {"node", "arm", "error_type"}
"""By these no day of a user is told apart."""

_FIRST_LOOK: Final = 64
"""So many of the dearest users or sessions tell how dear a combination has to be."""

_OF_ONE_SESSION: Final = {
    "session",
    "user",
    "provider",
    "error_type",
    "outcome",
    *_TIMES,
}
"""Of these a session has little more than one each."""

_OF_SESSIONS: Final = {"session", "outcome", *_TIMES}
"""Of these the index of sessions tells all."""

_PAGE: Final = 2_000
EXACT_COUNT: Final = 5_000
"""Up to so many values percentiles are exact, whatever is kept of them."""

SAMPLE: Final = 25_000
"""Of more rows than twice this so many are looked at, evenly spread."""
_FEW_VALUES: Final = {
    "model",
    "provider",
    "arm",
    "node",
    "outcome",
    "error_type",
    "day",
    "month",
}

FEW: Final = 20_000
"""So few rows are all read and put in order here; more are read in order."""

_SPARSE: Final = 5
_IN_ORDER: Final = (
    set[str](),
    {"user"},
    {"user", "model"},
    {"user", "model", "day"},
    {"user", "tag"},
    {"tag"},
)
"""Splits that follow the order of rows on disk."""

_FEW_STATES: Final = 8
_MARGIN: Final = 10
_NONE: Final = frozenset[int]()
_MILLION: Final = 1_000_000
_ROUNDED: Final = 2 * _MILLION
"""By less than this two costs may be wrong that are told in whole millionths."""

_MOST_DEAREST: Final = 2_000
_COST: Final = len(schema.SUMS)
BY_BINS: Final = {"model", "provider", "node", "arm", "outcome", "day", "month"}
_COUNTED: Final = schema.MEASURES[: len(schema.SUMS) + 4]  # tokens, cost and savings


class Asked:
    """One question to a ledger: what to look at, and what to split it by.

    Args:
        store: The tables.
        by: Dimensions.
        filter: Which records to look at.

    Raises:
        CerebrasConfigurationError: There is no such dimension, or a time has no zone.
    """

    def __init__(self, store: Store, by: Iterable[str], filter: Filter) -> None:  # noqa: A002
        self._store = store
        self.by = self._by = check_dimensions(by)
        self._filter = filter
        self._since = _micros("since", filter.since)
        self._until = _micros("until", filter.until)
        self._wanted = {
            name: getattr(filter, name) for name in COLUMNS if getattr(filter, name)
        }

    # -------------------------------------------------------------------- answers

    def groups(self, limit: int | None) -> list[Group]:
        """Return totals, dearest first."""
        with self._store.reading() as connection:
            states = self._states(connection)
            question = self._question(connection, states)
            most = self._most(limit)
            if most is not None and self._is_one_look():
                dear = self._dearest_at_once(connection, question, states, most)
                if _is_told(dear, most, limit):
                    rows = {one.numbers: one.values for one in dear}
                    narrow = question.only(_chosen(self._by, set(rows), states))
                    sums, counts = self._counted(
                        connection, narrow, states, rows, set(rows)
                    )
                    return self._named(connection, sums, counts, states, limit)
                most = None
            few = self._few(connection, question, states, most, limit)
            if few is not None:
                chosen = _chosen(self._by, few, states)
                question = question.only(chosen)
            sums, counts = self._sums_and_states(connection, question, states, few)
            return self._named(connection, sums, counts, states, limit)

    def groups_of(self, cube: Cube, limit: int | None) -> list[Group]:
        """Return totals from a cube that has all these dimensions."""
        with self._store.reading() as connection:
            states = self._states(connection)
            rows = cube.by(self._by)
            rows = self._spread(connection, rows, states, None)
            sums, counts = _without_state(rows, _special(states))
            return self._named(connection, sums, counts, states, limit)

    def _named(
        self,
        connection: Connection,
        sums: dict[Numbers, Values],
        counts: dict[Numbers, dict[int, int]],
        states: dict[int, State],
        limit: int | None,
    ) -> list[Group]:
        if limit is not None:
            _keep_dearest(sums, limit)
        readers = [
            _names(connection, name, {numbers[at] for numbers in sums}, states)
            for at, name in enumerate(self._by)
        ]
        return _groups(sums, counts, readers, states)[:limit]

    def _few(
        self,
        connection: Connection,
        question: Question,
        states: dict[int, State],
        most: int | None,
        limit: int | None,
    ) -> set[Numbers] | None:
        """Return the numbers of what may be dearest; `None` if that is no help.

        Where nearly each row is a combination of its own the database can find those
        much more quickly than it can add all of them up, and hand them over.
        """
        spans = self._spans(connection)
        if most is None or not spans or ("month" in self._by and not question.months):
            return None

        def ask(question: Question) -> list[Dear]:
            if "tag" in self._by:
                return self._dearest_by_tag(connection, question, spans, states, most)
            query = dearest_query(spans, self._by, question, _outcomes(states), most)
            rows = self._fetch(connection, query)
            return [Dear(row[-1] * _MILLION, row[:-1], ()) for row in rows]

        if self._has_cheap_sessions(spans, question):
            found = self._of_dearest(
                connection, "session", spans, question, most, lambda some, _: ask(some)
            )
        else:
            found = ask(question)
        rounded = 0 if "tag" in self._by else _ROUNDED
        if not _is_told(found, most, limit, rounded):
            return None
        return {one.numbers for one in found}

    def _most(self, limit: int | None) -> int | None:
        """Return how many of the dearest to find; `None` if that is no help."""
        if limit is None or not 0 < limit <= _MOST_DEAREST or not self._is_wide():
            return None
        return limit + _MARGIN

    def _has_cheap_sessions(self, spans: Sequence[Span], question: Question) -> bool:
        """Whether the index of sessions tells that most of them are too cheap.

        Where most sessions are one group, or little more.
        """
        return (
            "session" in self._by
            and _OF_ONE_SESSION.issuperset(self._by)
            and not _OF_SESSIONS.issuperset(self._by)
            and {"outcome"}.issuperset(question.wanted)
            and [(span.source, span.is_most) for span in spans] == [("rows", True)]
        )

    def _of_dearest(
        self,
        connection: Connection,
        dimension: Dimension,
        spans: Sequence[Span],
        question: Question,
        most: int,
        ask: Callable[[Question, int | None], list[Dear]],
    ) -> list[Dear]:
        """Return the dearest combinations; cheap users or sessions are not looked at.

        No part of one has cost more than all of it.

        Args:
            connection: Where to ask.
            dimension: Users or sessions.
            spans: The tables and times.
            question: What to look at.
            most: How many.
            ask: Returns the dearest combinations of some users or sessions, of those
                dearer than a floor.
        """
        bounds: dict[int, int] = {}
        for span in spans:
            for number, bound in self._fetch(
                connection, bounds_query(span, dimension, question)
            ):
                bounds[number] = bounds.get(number, 0) + bound
        dearest = sorted(bounds, key=bounds.__getitem__, reverse=True)
        found: list[Dear] = []
        floor: int | None = None
        size = _FIRST_LOOK
        while dearest:
            some = dearest[:size]
            dearest = dearest[size:]
            more = ask(question.only({dimension: sorted(some)}), floor)
            found = heapq.nlargest(most, [*found, *more], key=operator.itemgetter(0))
            if len(found) == most:
                floor = found[-1].cost
                least = (floor - _ROUNDED) // _MILLION
                dearest = [one for one in dearest if bounds[one] >= least]
            size = min(4 * size, _CHUNK)
        return found

    def _is_one_look(self) -> bool:
        """Whether it is best to find the dearest and all their sums at once.

        To sort users' totals takes longer than to add up what lies together.
        """
        by = set(self._by)
        if not by.isdisjoint({"session", "outcome", "month"}):
            return False
        if "tag" in by:
            return not by.isdisjoint({"user", "hour"})
        return by - _CORE == {"user"} and not by.isdisjoint(_OF_NO_DAY)

    def _dearest_at_once(
        self,
        connection: Connection,
        question: Question,
        states: dict[int, State],
        most: int,
    ) -> list[Dear]:
        """Return the dearest combinations with all their sums."""
        columns = [*_COUNTED, *_state_columns(states)]
        spans = self._spans(connection)

        def ask(question: Question, floor: int | None = None) -> list[Dear]:
            if "tag" not in self._by:
                sums = self._sums(connection, question, columns).items()
                found = (Dear(_pico(one), *one) for one in sums)
                return heapq.nlargest(most, found, key=operator.itemgetter(0))
            keys = self._tag_last()
            queries = [runs_query(span, keys, columns, question) for span in spans]
            lists, tags = self._tagged(connection, queries, len(keys) - 1)
            return self._in_order(
                keys,
                find_dearest(
                    lists, tags, most, width=len(keys), cost=_COST, floor=floor
                ),
            )

        if "user" not in self._by:
            return ask(question)
        return self._of_dearest(connection, "user", spans, question, most, ask)

    def _tag_last(self) -> list[str]:
        """Return the dimensions, first of them what tags are told of in turn."""
        first = next(name for name in _MANY if name in self._by)
        others = [name for name in self._by if name not in {first, "tag"}]
        return [first, *others, "tag"]

    def _in_order(self, keys: list[str], found: Iterable[Dear]) -> list[Dear]:
        """Return combinations in the order of dimensions that was asked for."""
        places = [keys.index(name) for name in self._by]
        return [
            one._replace(numbers=tuple([one.numbers[place] for place in places]))
            for one in found
        ]

    def _dearest_by_tag(
        self,
        connection: Connection,
        question: Question,
        spans: Sequence[Span],
        states: dict[int, State],
        most: int,
    ) -> list[Dear]:
        """Return the dearest combinations with a tag, after what each has cost.

        Tags are many for each call: quicker told here than looked up there, and for
        one user, session or hour after the other, as all may be more than records.
        """
        keys = self._tag_last()
        outcomes = _outcomes(states)
        if len(keys) == 2 and {"rows"}.issuperset(span.source for span in spans):  # noqa: PLR2004
            queries = [rows_query(span, keys, question) for span in spans]
            lists, tags = self._tagged(connection, queries, 1)
            return self._in_order(keys, find_dearest_pairs(lists, tags, most))
        queries = [costs_query(span, keys, question, outcomes) for span in spans]
        lists, tags = self._tagged(connection, queries, len(keys) - 1)
        found = find_dearest(lists, tags, most, width=len(keys), cost=0)
        return self._in_order(keys, found)

    def _tagged(
        self, connection: Connection, queries: Sequence[Select[Any]], place: int
    ) -> tuple[Iterator[list[Numbers]], dict[int, list[int]]]:
        """Return rows, and what will have the tags of the tag sets in that place."""
        tags: dict[int, list[int]] = {}

        def lists() -> Iterator[list[Numbers]]:
            found = [self._fetch_lists(connection, query) for query in queries]
            for rows in found[0] if len(found) == 1 else _merged_lists(found):
                new = {row[place] for row in rows} - tags.keys()
                if new:
                    tags.update(find_tags(connection, new))
                yield rows

        return lists(), tags

    def _is_wide(self) -> bool:
        """Whether there may be so many combinations that it is worth a look before."""
        by = set(self._by)
        return not by.isdisjoint({"user", "session"}) or by >= {"tag", "hour"}

    def cube(self, most: int) -> Cube | None:
        """Return totals by all dimensions together; `None` if they may be too many."""
        with self._store.reading() as connection:
            states = self._states(connection)
            question = self._question(connection, states)
            if self._has_more(connection, most):
                return None
            keys = (*self._by, "state")
            return Cube(keys, self._sums(connection, question, _COUNTED, keys))

    def _has_more(self, connection: Connection, most: int) -> bool:
        """Whether the smallest table has more rows of this time."""
        hours = "hour" in self._by
        table = schema.hourly_core if hours else schema.daily_core
        time = table.c.hour if hours else table.c.day
        size, first = (HOUR, FIRST_DAY * 24) if hours else (DAY, FIRST_DAY)
        query = select(time)
        if self._since is not None:
            query = query.where(time >= self._since // size + first)
        if self._until is not None:
            query = query.where(time <= self._until // size + first)
        some = query.limit(most + 1).subquery()
        return (
            connection.execute(select(func.count()).select_from(some)).scalar_one()
            > most
        )

    def needs(self) -> frozenset[str]:
        """Return the dimensions that are filtered on, as far as that leaves any out."""
        with self._store.reading() as connection:
            self._question(connection, self._states(connection))
        return frozenset(self._wanted)

    def bins(self, field: str) -> dict[Keys, dict[int, int]] | None:
        """Return counts in bins; `None` where they do not tell, or values are few."""
        with self._store.reading() as connection:
            states = self._states(connection)
            question = self._question(connection, states)
            kept = self._bins(connection, question, field)
            if kept is None:
                return None
            return _by_keys(kept, self._decoder(connection, kept, states))

    def timed(self, limit: int, count: int) -> list[tuple[Any, ...]]:
        """Return rows, newest first.

        They are dimensions, outcome, cost, `codec.SECONDS`, the router's call and the
        run.

        Args:
            limit: How many at most.
            count: How many there are.
        """
        with self._store.reading() as connection:
            states = self._states(connection)
            question = self._question(connection, states)
            keys = [key_column("rows", name, question) for name in self._by]
            names = ("state_id", "cost", *SECONDS, "router_call_id", "run_id")
            values = [schema.records.c[name] for name in names]
            rows = self._newest(connection, question, [*keys, *values], limit, count)
            width = len(keys)
            numbers = {tuple(row[:width]) for row in rows}
            decoder = self._decoder(connection, numbers, states)
            texts = {one: decoder(one)[0] for one in numbers}
        return [
            (*texts[tuple(row[:width])], states[row[width]].outcome, *row[width + 1 :])
            for row in rows
        ]

    def _newest(
        self,
        connection: Connection,
        question: Question,
        columns: Sequence[ColumnElement[Any]],
        limit: int,
        count: int,
    ) -> list[tuple[Any, ...]]:
        table = schema.records
        place = (table.c.started_us, table.c.id)
        span = Span("rows", self._since, self._until)
        # By the index of time, unless that would lead through most of the table.
        in_order = count > FEW or count > _SPARSE * limit
        query = select(*columns, *place).where(
            *conditions(span, question, by_time=in_order)
        )
        if in_order:
            query = query.order_by(*(one.desc() for one in place)).limit(limit)
        rows = [tuple(row) for row in connection.execute(query).all()]
        if not in_order:
            rows.sort(key=lambda row: row[-2:], reverse=True)
        return [row[:-2] for row in rows[:limit]]

    def counts(self) -> list[tuple[str | None, int]]:
        """Return how many rows there are of each value, the most first."""
        with self._store.reading() as connection:
            states = self._states(connection)
            question = self._question(connection, states)
            sums = self._sums(connection, question, ("n",))
            names = self._decoder(connection, sums, states)
        found: dict[str | None, int] = {}
        for numbers, (count,) in sums.items():
            for keys in names(numbers):
                found[keys[0]] = found.get(keys[0], 0) + count
        return sorted(
            found.items(), key=lambda one: (-one[1], one[0] is not None, one[0] or "")
        )

    def kinds(self) -> list[tuple[Keys, list[Decimal]]]:
        """Return USD for each of `schema.AMOUNTS`, dearest first."""
        measures = schema.MEASURES[len(schema.SUMS) :]
        with self._store.reading() as connection:
            states = self._states(connection)
            question = self._question(connection, states)
            sums = self._sums(connection, question, measures)
            names = self._decoder(connection, sums, states)
        found: dict[Keys, Values] = {}
        for numbers, values in sums.items():
            for keys in names(numbers):
                have = found.get(keys)
                found[keys] = values if have is None else _added(have, values)
        amounts = [
            (keys, [_usd(u, p) for u, p in zip(v[::2], v[1::2], strict=True)])
            for keys, v in found.items()
        ]
        return sorted(
            amounts,
            key=lambda one: (-one[1][0], _sortable(one[0])),
        )

    def percentiles(
        self, field: str, at: Sequence[float]
    ) -> list[tuple[Keys, int, tuple[float | None, ...]]]:
        """Return how many values there are and their percentiles."""
        found: dict[Keys, tuple[int, tuple[float | None, ...]]]
        with self._store.reading() as connection:
            states = self._states(connection)
            question = self._question(connection, states)
            kept = self._bins(connection, question, field)
            if kept is not None:
                names = self._decoder(connection, kept, states)
                found = _percentiles_of_bins(kept, names, at)
            else:
                every = self._sample(connection, question)
                rows = [Span("rows", self._since, self._until)]
                values = self._values(connection, question, field, rows, every)
                names = self._decoder(connection, values, states)
                found = _percentiles_of_values(values, names, at, every)
        made = [(keys, *one) for keys, one in found.items()]
        return sorted(made, key=lambda one: (-one[1], _sortable(one[0])))

    def records(
        self, *, limit: int | None, newest_first: bool
    ) -> Iterator[UsageRecord]:
        """Yield records in the order of time, page by page."""
        table = schema.records
        place = (table.c.started_us, table.c.id)
        last: tuple[int, int] | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            with self._store.reading() as connection:
                question = self._question(connection, {})
                span = Span("rows", self._since, self._until)
                query = select(table).where(*conditions(span, question))
                if last is not None:
                    after = (
                        tuple_(*place) < last if newest_first else tuple_(*place) > last
                    )
                    query = query.where(after)
                order = [one.desc() if newest_first else one for one in place]
                found = connection.execute(query.order_by(*order).limit(size))
                rows = found.mappings().all()
                words = self._store.words(connection, rows)
            for row in rows:
                yield decode(cast("Mapping[str, Any]", row), words)
            if len(rows) < size:
                return
            last = (rows[-1]["started_us"], rows[-1]["id"])
            left = None if left is None else left - len(rows)

    def dearest(self, limit: int) -> list[UsageRecord]:
        """Return the records that cost most, dearest first, the newest of equal ones.

        Those of unknown cost are not among them.
        """
        table = schema.records
        with self._store.reading() as connection:
            question = self._question(connection, {})
            span = Span("rows", self._since, self._until)
            query = (
                select(table)
                .where(*conditions(span, question), table.c.cost.is_not(None))
                .order_by(
                    table.c.cost.desc(), table.c.started_us.desc(), table.c.id.desc()
                )
                .limit(limit)
            )
            rows = connection.execute(query).mappings().all()
            words = self._store.words(connection, rows)
        return [decode(cast("Mapping[str, Any]", row), words) for row in rows]

    # ---------------------------------------------------------------------- parts

    def _states(self, connection: Connection) -> dict[int, State]:
        """Return what each state's number stands for."""
        table = schema.states
        rows = connection.execute(select(table.c.id, table.c.value))
        return {number: read_state(word) for number, word in rows}

    def _question(self, connection: Connection, states: dict[int, State]) -> Question:
        texts = {
            one
            for name, values in self._wanted.items()
            if name != "outcome"
            for one in values
            if one is not None
        }
        numbers = find_numbers(connection, schema.names, sorted(texts))
        wanted: dict[str, list[int]] = {}
        for name, values in self._wanted.items():
            if name == "outcome":
                known = states or self._states(connection)
                chosen = [n for n, state in known.items() if state.outcome in values]
            else:
                chosen = [0 if v is None else numbers.get(v, NOBODY) for v in values]
            wanted[name] = sorted(set(chosen)) or [NOBODY]
        if states:
            # All of it is answered from one state of the database: a condition that
            # holds for whatever is there may go, and a smaller table answers.
            for name in [one for one in wanted if _takes_all(connection, one, wanted)]:
                del wanted[name], self._wanted[name]
            if "error_type" in wanted:
                self._use_states(connection, wanted)
        free = {
            number for number, state in states.items() if state.outcome == "cache_hit"
        }
        months = self._months(connection) if "month" in self._by else []
        return Question(wanted, free, months)

    def _use_states(self, connection: Connection, wanted: dict[str, list[int]]) -> None:
        """Put outcomes for error types where they come to the same: most tables know.

        As "none" does, wherever all that failed has an error type and nothing else has.
        """
        table = schema.daily_core.c
        pairs = connection.execute(select(table.state_id, table.error_id).distinct())
        taken: set[int] = set()
        left: set[int] = set()
        for state, error in pairs:
            (taken if error in wanted["error_type"] else left).add(state)
        if taken & left:
            return
        if "outcome" in wanted:
            taken.intersection_update(wanted["outcome"])
        del wanted["error_type"], self._wanted["error_type"]
        wanted["outcome"] = sorted(taken) or [NOBODY]
        self._wanted.setdefault("outcome", ())

    def _months(self, connection: Connection) -> list[int]:
        """Return the first days of all months that there are; none if too many."""
        day = schema.daily_core.c.day
        first, last = connection.execute(select(func.min(day), func.max(day))).one()
        if first is None:
            return []
        begin, end = _date(first), _date(last)
        count = (end.year - begin.year) * 12 + end.month - begin.month + 1
        if count > _MOST_MONTHS:
            return []
        starts = (divmod(begin.month - 1 + n, 12) for n in range(count))
        return [
            date(begin.year + years, month + 1, 1).toordinal() - 1
            for years, month in starts
        ]

    def _spans(self, connection: Connection) -> list[Span]:
        spans = choose(
            {*self._by, *self._wanted},
            since=self._since,
            until=self._until,
            pruned=_pruned(connection),
        )
        if "session" not in self._by or not {"outcome"}.issuperset(self._wanted):
            return spans
        at = schema.records.c.started_us
        ends = (select(func.min(at)), select(func.max(at)))
        first, last = (connection.execute(end).scalar_one() for end in ends)
        return [
            span.within(first, last)
            if span.source == "rows" and first is not None
            else span
            for span in spans
        ]

    def _sums(
        self,
        connection: Connection,
        question: Question,
        measures: Sequence[str],
        by: Sequence[str] | None = None,
    ) -> dict[Numbers, Values]:
        """Return the sums of measures for each combination of numbers."""
        found: dict[Numbers, Values] = {}
        keys = list(self._by if by is None else by)
        width = len(keys)
        for span in self._spans(connection):
            query = totals_query(span, keys, list(measures), question)
            rows = self._fetch(connection, query)
            # Without any key there is a row even where nothing was added up.
            more = {row[:width]: row[width:] for row in rows if row[width] is not None}
            found = _merged(found, more) if found else more
        return found

    def _fetch(
        self, connection: Connection, query: Select[Any]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield rows of integers."""
        return itertools.chain.from_iterable(self._fetch_lists(connection, query))

    def _fetch_lists(
        self, connection: Connection, query: Select[Any]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows of integers, with no object around each: there may be many."""
        with connection.execute(query) as result:
            if result.cursor is not None and self._store.place.is_sqlite:
                while rows := result.cursor.fetchmany(_PAGE):
                    yield cast("list[tuple[Any, ...]]", rows)
            else:  # a server's sums are decimals
                for some in result.partitions(_PAGE):
                    yield [tuple(map(_whole, row)) for row in some]

    def _spread(
        self,
        connection: Connection,
        rows: dict[Numbers, Values],
        states: dict[int, State],
        among: set[Numbers] | None,
    ) -> dict[Numbers, Values]:
        """Return rows by what stands for a group: a tag, an outcome's first state.

        Args:
            connection: Where tag sets are looked up.
            rows: By the numbers of dimensions, and maybe others after them.
            states: What each state's number stands for.
            among: Which groups to keep.
        """
        width = len(self._by)
        for at, name in enumerate(self._by):
            if name == "outcome":
                rows = _instead(rows, at, _outcomes(states))
            elif name == "month":
                days = {key[at] for key in rows}
                rows = _instead(rows, at, {day: month_of(day) for day in days})
        if "tag" in self._by:
            at = self._by.index("tag")
            tags = find_tags(connection, {key[at] for key in rows})
            return _for_each(rows, at, tags, among, width)
        if among is None:
            return rows
        return {key: values for key, values in rows.items() if key[:width] in among}

    def _sums_and_states(
        self,
        connection: Connection,
        question: Question,
        states: dict[int, State],
        among: set[Numbers] | None,
    ) -> tuple[dict[Numbers, Values], dict[Numbers, dict[int, int]]]:
        """Return the sums, and how many rows are in which state that is not just ok."""

        def ask(
            question: Question, measures: Sequence[str], by: Sequence[str]
        ) -> dict[Numbers, Values]:
            rows = self._sums(connection, question, measures, by)
            return self._spread(connection, rows, states, among)

        if set(self._by) not in _IN_ORDER:
            rows = ask(question, _COUNTED, [*self._by, "state"])
            return _without_state(rows, _special(states))
        # The rows are read in the order of their groups, and nothing is sorted:
        # more columns, or else a second look, are cheaper than a longer key.
        rows = ask(question, [*_COUNTED, *_state_columns(states)], self._by)
        return self._counted(connection, question, states, rows, among)

    def _counted(
        self,
        connection: Connection,
        question: Question,
        states: dict[int, State],
        rows: dict[Numbers, Values],
        among: set[Numbers] | None = None,
    ) -> tuple[dict[Numbers, Values], dict[Numbers, dict[int, int]]]:
        """Return sums, and how many rows are in which state that is not just ok.

        Args:
            connection: Where to look, if there are no columns that tell.
            question: What to look at.
            states: What each state's number stands for.
            rows: The sums, with `_state_columns`.
            among: Which groups to look at.
        """
        special = _special(states)
        if len(special) <= _FEW_STATES:
            return _without_columns(rows, special)
        narrow = question.only_states(special)
        keys = [*self._by, "state"]
        found = self._sums(connection, narrow, ("n",), keys)
        counts: dict[Numbers, dict[int, int]] = {}
        for key, (count,) in self._spread(connection, found, states, among).items():
            counts.setdefault(key[:-1], {})[key[-1]] = count
        return rows, counts

    def _sample(self, connection: Connection, question: Question) -> int:
        """Return which part of the rows to look at: of one in so many."""
        if not _FEW_VALUES.issuperset(self._by):
            return 1
        # Counted without a split; the totals know it at once.
        whole = Asked(self._store, (), self._filter)
        counts = whole._sums(connection, question, ("n",))
        return max(sum(count for (count,) in counts.values()) // SAMPLE, 1)

    def _bins(
        self, connection: Connection, question: Question, field: str
    ) -> dict[Numbers, dict[int, int]] | None:
        """Return counts in bins; `None` where they do not tell, or values are few."""
        pruned = _pruned(connection)
        days = _whole_days({*self._by, *self._wanted}, self._since, self._until, pruned)
        if days is None:
            return None
        found: dict[Numbers, dict[int, int]] = {}
        width = len(self._by)
        query = latencies_query(days, list(self._by), SECONDS.index(field), question)
        for row in connection.execute(query).all():
            found.setdefault(tuple(row[:width]), {})[row[width]] = int(row[width + 1])
        count = sum(sum(bins.values()) for bins in found.values())
        if count <= EXACT_COUNT and (
            pruned <= NEVER or (self._since or NEVER) >= pruned
        ):
            return None
        edges = self._values(
            connection, question, field, _edges(days, self._since, self._until)
        )
        for numbers, values in edges.items():
            bins = found.setdefault(numbers, {})
            for value in values:
                number = bin_of(value)
                bins[number] = bins.get(number, 0) + 1
        return found

    def _values(
        self,
        connection: Connection,
        question: Question,
        field: str,
        spans: list[Span],
        every: int = 1,
    ) -> dict[Numbers, list[float]]:
        """Return the values of a field for each combination of numbers."""
        column = schema.records.c[field]
        keys = [key_column("rows", name, question) for name in self._by]
        found: dict[Numbers, list[float]] = {}
        for span in spans:
            query = select(*keys, column).where(
                column.is_not(None), *conditions(span, question)
            )
            if every > 1:
                query = query.where(schema.records.c.id % every == 0)
            for *numbers, value in connection.execute(query).all():
                found.setdefault(tuple(numbers), []).append(value)
        return found

    def _decoder(
        self,
        connection: Connection,
        found: Iterable[Numbers],
        states: dict[int, State],
    ) -> _Decoder:
        columns = list(zip(*found, strict=True)) or [()] * len(self._by)
        readers: list[dict[int, tuple[str | None, ...]]] = []
        for name, numbers in zip(self._by, columns, strict=True):
            readers.append(_words(connection, name, set(numbers), states))
        return _Decoder(readers)


def _groups(
    sums: dict[Numbers, Values],
    counts: dict[Numbers, dict[int, int]],
    readers: list[dict[int, str | None]],
    states: dict[int, State],
) -> list[Group]:
    """Return totals, dearest first."""
    # Whole numbers are put in order much more quickly than amounts are, and columns
    # are read much more quickly than rows: there may be 100,000 groups.
    ranked = sorted(sums.items(), key=_pico, reverse=True)
    columns = [
        [reader[numbers[at]] for numbers, _ in ranked]
        for at, reader in enumerate(readers)
    ]
    keys = zip(*columns, strict=True) if columns else itertools.repeat(())
    totals = [_totals_of(values) for _, values in ranked]
    for (numbers, _), one in zip(ranked, totals, strict=True):
        special = counts.get(numbers)
        if special:
            _add_states(one, special, states)
    # What is repeated has no end.
    groups = list(map(Group, keys, totals))
    _untie(groups, list(map(_pico, ranked)))
    return groups


def _pico(one: tuple[Numbers, Values]) -> int:
    """Return what it costs, in 1e-12 USD."""
    _, values = one
    return values[_COST] * _MILLION + values[_COST + 1]


def _merged(
    have: dict[Numbers, Values], more: dict[Numbers, Values]
) -> dict[Numbers, Values]:
    for key, values in more.items():
        before = have.get(key)
        have[key] = values if before is None else _added(before, values)
    return have


def _instead(
    rows: dict[Numbers, Values], at: int, numbers: Mapping[int, int]
) -> dict[Numbers, Values]:
    """Return rows with other numbers in one place; those that become one are added."""
    if all(numbers[key[at]] == key[at] for key in rows):
        return rows
    found: dict[Numbers, Values] = {}
    for key, values in rows.items():
        name = (*key[:at], numbers[key[at]], *key[at + 1 :])
        have = found.get(name)
        found[name] = values if have is None else _added(have, values)
    return found


def _for_each(
    rows: dict[Numbers, Values],
    at: int,
    tags: Mapping[int, Sequence[int]],
    among: set[Numbers] | None,
    width: int,
) -> dict[Numbers, Values]:
    """Return rows once for each tag of their tag set.

    Args:
        rows: By numbers, one of which is of tag sets.
        at: Which one.
        tags: The tags of each tag set.
        among: Which groups to keep; all of them by default.
        width: How many numbers name a group.
    """
    chosen: defaultdict[Numbers, set[int]] = defaultdict(set)
    for one in among or ():
        chosen[(*one[:at], *one[at + 1 :])].add(one[at])
    found: dict[Numbers, Values] = {}
    for key, values in rows.items():
        before, after = key[:at], key[at + 1 :]
        kept = chosen.get((*before, *key[at + 1 : width]), _NONE)
        for tag in tags[key[at]]:
            if among is None or tag in kept:
                name = (*before, tag, *after)
                have = found.get(name)
                found[name] = values if have is None else _added(have, values)
    return found


def _chosen(
    by: Sequence[str], rows: set[Numbers], states: dict[int, State]
) -> dict[str, list[int]]:
    """Return which numbers there are of each dimension, as `Question.wanted` has it."""
    found = {name: sorted({row[at] for row in rows}) for at, name in enumerate(by)}
    if "outcome" in found:
        first = _outcomes(states)
        found["outcome"] = [n for n in states if first[n] in found["outcome"]]
    return {name: numbers for name, numbers in found.items() if name in COLUMNS}


def _outcomes(states: dict[int, State]) -> dict[int, int]:
    """Return for each state the first one of the same outcome."""
    first: dict[str, int] = {}
    return {n: first.setdefault(states[n].outcome, n) for n in sorted(states)}


def _merged_lists(found: Sequence[Iterable[list[Numbers]]]) -> Iterator[list[Numbers]]:
    """Yield rows of several sources in their order."""
    rows = heapq.merge(*map(itertools.chain.from_iterable, found))
    while some := list(itertools.islice(rows, _PAGE)):
        yield some


def _is_told(
    found: Sequence[Dear], most: int, limit: int | None, rounded: int = 0
) -> bool:
    """Whether what was left out is cheaper, by more than is rounded off."""
    if limit is None or len(found) < most:
        return True
    return found[-1].cost + rounded < found[limit - 1].cost


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _special(states: dict[int, State]) -> list[int]:
    """Return the states that are not just ok."""
    return [number for number, state in states.items() if state != State("ok")]


def _state_columns(states: dict[int, State]) -> list[str]:
    """Return the measures that tell how many rows are in which state; none if many."""
    special = _special(states)
    return [f"{STATE}{one}" for one in special] if len(special) <= _FEW_STATES else []


def _without_columns(
    rows: dict[Numbers, Values], special: list[int]
) -> tuple[dict[Numbers, Values], dict[Numbers, dict[int, int]]]:
    """Return sums without the last columns, and how many rows are in which state."""
    counts: dict[Numbers, dict[int, int]] = {}
    width = len(_COUNTED)
    for key, values in rows.items():
        if any(values[width:]):
            some = zip(special, values[width:], strict=True)
            counts[key] = {state: count for state, count in some if count}
    return {key: values[:width] for key, values in rows.items()}, counts


def _without_state(
    rows: dict[Numbers, Values], special: list[int]
) -> tuple[dict[Numbers, Values], dict[Numbers, dict[int, int]]]:
    """Return sums without the last key, and how many rows are in which state."""
    sums: dict[Numbers, Values] = {}
    counts: dict[Numbers, dict[int, int]] = {}
    for key, values in rows.items():
        numbers, state = key[:-1], key[-1]
        if state in special:
            counts.setdefault(numbers, {})[state] = values[0]
        have = sums.get(numbers)
        sums[numbers] = values if have is None else _added(have, values)
    return sums, counts


def _by_keys(
    kept: dict[Numbers, dict[int, int]], names: _Decoder
) -> dict[Keys, dict[int, int]]:
    """Return counts in bins by texts."""
    bins: dict[Keys, dict[int, int]] = {}
    for numbers, counts in kept.items():
        for keys in names(numbers):
            have = bins.setdefault(keys, {})
            for number, count in counts.items():
                have[number] = have.get(number, 0) + count
    return bins


def _percentiles_of_bins(
    kept: dict[Numbers, dict[int, int]], names: _Decoder, at: Sequence[float]
) -> dict[Keys, tuple[int, tuple[float | None, ...]]]:
    bins = _by_keys(kept, names)
    return {
        keys: (sum(counts.values()), from_bins(counts, at))
        for keys, counts in bins.items()
    }


def _percentiles_of_values(
    values: dict[Numbers, list[float]], names: _Decoder, at: Sequence[float], every: int
) -> dict[Keys, tuple[int, tuple[float | None, ...]]]:
    lists: dict[Keys, list[float]] = {}
    for numbers, some in values.items():
        for keys in names(numbers):
            lists.setdefault(keys, []).extend(some)
    return {
        keys: (len(some) * every, from_values(some, at)) for keys, some in lists.items()
    }


def _keep_dearest(sums: dict[Numbers, Values], limit: int) -> None:
    """Leave out what cannot be among the dearest, before its names are looked up."""
    if not 0 < limit < len(sums):
        return
    last = heapq.nlargest(limit, map(_pico, sums.items()))[-1]
    for numbers in [one[0] for one in sums.items() if _pico(one) < last]:
        del sums[numbers]


def _takes_all(connection: Connection, name: str, wanted: dict[str, list[int]]) -> bool:
    """Whether a condition holds for all rows, of what has few values."""
    column = schema.daily_core.c.get(COLUMNS[name])
    if column is None:
        return False
    there = connection.execute(select(column).distinct()).scalars()
    return set(there).issubset(wanted[name])


class _Decoder:
    """Texts of numbers; several where a record counts under each of its tags."""

    def __init__(self, readers: list[dict[int, tuple[str | None, ...]]]) -> None:
        self._readers = readers

    def __call__(self, numbers: Numbers) -> list[Keys]:
        # A loop here would take as long as the rest: there may be 100,000 groups.
        values = map(dict.__getitem__, self._readers, numbers)
        return list(itertools.product(*values))


def _words(
    connection: Connection,
    dimension: Dimension,
    numbers: set[int],
    states: dict[int, State],
) -> dict[int, tuple[str | None, ...]]:
    """Return the texts of numbers; those of a tag set are several."""
    if dimension != "tag":
        names = _names(connection, dimension, numbers, states)
        return {number: (name,) for number, name in names.items()}
    found: dict[int, tuple[str | None, ...]] = {0: (None,)}
    for number, word in find_texts(connection, schema.tagsets, numbers).items():
        found[number] = tuple(msgspec.json.decode(word))
    return found


def _names(
    connection: Connection,
    dimension: Dimension,
    numbers: set[int],
    states: dict[int, State],
) -> dict[int, str | None]:
    """Return the text of each number; those of tags are tags' own."""
    if dimension in _TIMES:
        return {number: _label(dimension, number) for number in numbers}
    if dimension == "outcome":
        return {number: states[number].outcome for number in numbers}
    return {0: None, **find_texts(connection, schema.names, numbers)}


def _pruned(connection: Connection) -> int:
    found = connection.execute(select(schema.ledger.c.pruned_us)).scalar_one()
    return int(found)


def _whole_days(
    needed: set[str], since: int | None, until: int | None, pruned: int
) -> tuple[int | None, int | None] | None:
    """Return the whole days of a time; `None` if bins of days are no answer."""
    if needed - BY_BINS:
        return None
    first = None if since is None else -(-since // DAY) + FIRST_DAY
    last = None if until is None else until // DAY + FIRST_DAY
    if until is not None and until < pruned:
        last = -(-until // DAY) + FIRST_DAY  # as of its beginning
    return (
        None
        if first is not None and last is not None and first >= last
        else (first, last)
    )


def _edges(
    days: tuple[int | None, int | None], since: int | None, until: int | None
) -> list[Span]:
    """Return the parts of days at both ends."""
    first, last = days
    found: list[Span] = []
    if first is not None:
        found.append(Span("rows", since, (first - FIRST_DAY) * DAY))
    if last is not None:
        found.append(Span("rows", (last - FIRST_DAY) * DAY, until))
    return found


def _label(dimension: str, number: int) -> str:
    if dimension == "hour":
        time = datetime(1, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        return time.strftime("%Y-%m-%dT%H:00Z")
    day = _date(number).isoformat()
    return day if dimension == "day" else day[:7]


def _date(number: int) -> date:
    return date.fromordinal(number + 1)


def _micros(name: str, time: datetime | None) -> int | None:
    if time is None:
        return None
    if time.tzinfo is None:
        msg = f"{name}={time.isoformat()} has no time zone; add one, as tzinfo=UTC."
        raise CerebrasConfigurationError(msg)
    return to_micros(time)


def _usd(millionths: int, rest: int) -> Decimal:
    return from_pico(millionths * _MILLION + rest)


def _added(have: Values, more: Values) -> Values:
    return tuple(map(operator.add, have, more))


def _totals_of(values: Values) -> Totals:
    calls, inputs, cached, outputs, reasoning, cost, rest, saved, saved_rest = values
    return Totals(
        calls=calls,
        input_tokens=inputs,
        cached_input_tokens=cached,
        output_tokens=outputs,
        reasoning_tokens=reasoning,
        cost=_usd(cost, rest),
        cache_savings=_usd(saved, saved_rest),
    )


def _add_states(
    totals: Totals, special: dict[int, int], states: dict[int, State]
) -> None:
    """Tell apart what was counted as calls, by the states that are not just ok."""
    for state, count in special.items():
        outcome, flags, so_far = states[state]
        if so_far is not None and outcome != "retried":
            totals.add_tries(so_far, outcome, count)
        if outcome == "retried":
            totals.calls -= count
            totals.retries += count
        elif outcome == "failed":
            totals.failed += count
        elif outcome == "aborted":
            totals.aborted += count
        elif outcome == "cache_hit":
            totals.cache_hits += count
        totals.add_doubts(flags, count)


def _sortable(keys: Keys) -> tuple[tuple[bool, str], ...]:
    return tuple([(part is not None, part or "") for part in keys])


def _untie(groups: list[Group], costs: list[int]) -> None:
    """Put those of equal cost, which lie together, in the order of calls and names."""
    start = 0
    for at in range(1, len(groups) + 1):
        if at == len(groups) or costs[at] != costs[start]:
            if at - start > 1:  # few are equal, and names are compared of those alone
                groups[start:at] = sorted(groups[start:at], key=_order)
            start = at


def _order(group: Group) -> tuple[int, tuple[tuple[bool, str], ...]]:
    return (-group.totals.calls, _sortable(group.keys))
