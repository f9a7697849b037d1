"""`Ledger`: usage records in a database, on this machine or shared by several."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from langchain_cerebras_ext.costs._ledger.place import find_place
from langchain_cerebras_ext.costs.report import Filter, Group, Totals
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from sqlalchemy import Engine

    from langchain_cerebras_ext.costs._ledger.queries import Asked
    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["KindsGroup", "Ledger", "LedgerStatus", "PercentileGroup"]

T = TypeVar("T")
_ALL = Filter()


class PercentileGroup(NamedTuple):
    """Percentiles of the records that have the same values.

    Attributes:
        keys: The value in each dimension, in the order asked; `None` where not known.
        count: How many records have the field.
        values: The percentiles, in the order asked; `None` where there is no record.
    """

    keys: tuple[str | None, ...]
    count: int
    values: tuple[float | None, ...]


class KindsGroup(NamedTuple):
    """USD by kind of token, of the records that have the same values.

    Attributes:
        keys: The value in each dimension, in the order asked; `None` where not known.
        input: Prompt tokens that no other kind has.
        cached_input: Prompt tokens read from the cache.
        cache_write: Prompt tokens written to the cache.
        image: Image tokens.
        output: Completion tokens.
        request: The price of the requests themselves.
        cache_savings: What the cache has saved; not part of any sum.
    """

    keys: tuple[str | None, ...]
    input: Decimal
    cached_input: Decimal
    cache_write: Decimal
    image: Decimal
    output: Decimal
    request: Decimal
    cache_savings: Decimal


class LedgerStatus(NamedTuple):
    """How a ledger is doing.

    Attributes:
        url: Where it is, without its password.
        is_up: Whether the database took the last batch.
        error: Why not, if not.
        buffered: Records in memory that are not written yet.
        spooled: Records of this process that wait in its spool file.
        written: Records that this process has written to the database.
        replayed: Records that were taken over from spool files.
        rejected: Records that no row can hold; they are kept beside the spool.
        dropped: Records that are lost: database, spool and memory were full.
        spool: The spool file, while there is one.
    """

    url: str
    is_up: bool
    error: str | None
    buffered: int
    spooled: int
    written: int
    replayed: int
    rejected: int
    dropped: int
    spool: str | None


class Ledger:
    """Usage records in a database: SQLite by default, PostgreSQL where machines share.

    Args:
        url: `sqlite:///costs.db`, a file's path, or
            `postgresql+psycopg://user:password@host/database`.
    """

    def __init__(
        self,
        url: str | os.PathLike[str] = "sqlite:///costs.db",
        *,
        batch_size: int = 200,
        flush_interval_s: float = 1.0,
        max_buffered: int = 100_000,
        spool: str | os.PathLike[str] | None = None,
        create: bool = True,
        busy_timeout_s: float = 5.0,
    ) -> None:
        self._place = find_place(url)
        from langchain_cerebras_ext.costs._ledger.engine import make_engine
        from langchain_cerebras_ext.costs._ledger.store import Store

        self._engine = make_engine(self._place, durable=False, wait_s=busy_timeout_s)
        self._store = Store(self._engine, self._place)
        self._store.open(create=create)
        self._queue: deque[UsageRecord] = deque()
        self._write_lock = threading.RLock()
        self._batch_size = batch_size
        self._written = 0
        weakref.finalize(self, _drain, self._queue, self._store, self._write_lock)

    @property
    def url(self) -> str:
        """Where it is, without its password."""
        return self._place.shown

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine. A transaction on SQLite begins with the write lock."""
        return self._engine

    def __repr__(self) -> str:
        """Name the place, without its password."""
        return f"Ledger({self.url!r})"

    def status(self) -> LedgerStatus:
        """Return how it is doing."""
        return LedgerStatus(
            self.url,
            is_up=True,
            error=None,
            buffered=len(self._queue),
            spooled=0,
            written=self._written,
            replayed=0,
            rejected=0,
            dropped=0,
            spool=None,
        )

    def add(self, record: UsageRecord) -> None:
        """Take a record in; it is written soon, by another thread."""
        self._queue.append(record)
        if len(self._queue) >= self._batch_size:
            self.flush()

    def flush(self, timeout_s: float | None = None) -> bool:  # noqa: ARG002
        """Write what is buffered; returns whether the database has all of it."""
        self._written += _drain(self._queue, self._store, self._write_lock)
        return True

    def close(self) -> None:
        """Write what is buffered and let go of the database."""
        self.flush()
        self._engine.dispose()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def totals(self, filter: Filter = _ALL) -> Totals:  # noqa: A002
        """Return the totals of all records that a filter takes."""
        groups = self.report((), filter)
        return groups[0].totals if groups else Totals()

    def report(
        self,
        by: Iterable[str] = (),
        filter: Filter = _ALL,  # noqa: A002
        *,
        limit: int | None = None,
    ) -> list[Group]:
        """Return totals for each combination of values that occurs, dearest first.

        The same as `report.group_records` of the same records, from totals that are
        kept; what those do not tell, such as parts of an hour, comes from the rows.

        Args:
            by: Dimensions, as in `report.DIMENSIONS`; none gives one group of all.
            filter: Which records to look at.
            limit: How many groups at most.

        Raises:
            CerebrasConfigurationError: There is no such dimension, or a time of the
                filter has no zone.
            LedgerError: The database cannot be read.
        """
        return self._ask(lambda: self._asked(by, filter).groups(limit))

    def records(
        self,
        filter: Filter = _ALL,  # noqa: A002
        *,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[UsageRecord]:
        """Yield records in the order of time; so many are in memory as fit on a page.

        Records that are written meanwhile may be among them or not; none comes twice.
        Rows that were pruned do not come.

        Args:
            filter: Which records.
            limit: How many at most.
            newest_first: Whether to begin at the end.

        Raises:
            CerebrasConfigurationError: A time of the filter has no zone.
            LedgerError: The database cannot be read.
        """
        asked = self._asked((), filter)
        pages = self._ask(
            lambda: asked.records(limit=limit, newest_first=newest_first)
        )
        while True:
            record = self._ask(lambda: next(pages, None), flush=False)
            if record is None:
                return
            yield record

    def percentiles(
        self,
        field: str,
        by: Iterable[str] = (),
        filter: Filter = _ALL,  # noqa: A002
        *,
        at: Sequence[float] = (0.5, 0.95, 0.99),
    ) -> list[PercentileGroup]:
        """Return percentiles of a latency, those of the most records first.

        The nearest rank: always the value of a record. Exact where they are taken from
        rows; at most 2 % off where more than 5,000 values are counted in bins, that is
        with no other dimensions than model, provider, arm, day and month.

        Args:
            field: `ttft_s`, `duration_s`, `queue_time_s` or `output_tokens_per_s`.
            by: Dimensions, as in `report.DIMENSIONS`.
            filter: Which records to look at.
            at: Which percentiles, from 0 to 1.

        Raises:
            CerebrasConfigurationError: There is no such field or dimension.
            LedgerError: The database cannot be read.
        """
        from langchain_cerebras_ext.costs._ledger.codec import SECONDS

        if field not in SECONDS:
            msg = f"field={field!r} is unknown; take one of {', '.join(SECONDS)}."
            raise CerebrasConfigurationError(msg)
        wrong = [one for one in at if not 0 <= one <= 1]
        if wrong:
            msg = f"at has {wrong[0]}; percentiles go from 0 to 1."
            raise CerebrasConfigurationError(msg)
        found = self._ask(lambda: self._asked(by, filter).percentiles(field, at))
        return [PercentileGroup(*one) for one in found]

    def values(
        self,
        dimension: str,
        filter: Filter = _ALL,  # noqa: A002
    ) -> list[tuple[str | None, int]]:
        """Return what occurs in a dimension and in how many rows, the most first.

        Raises:
            CerebrasConfigurationError: There is no such dimension.
            LedgerError: The database cannot be read.
        """
        return self._ask(lambda: self._asked((dimension,), filter).counts())

    def costs_by_kind(
        self,
        by: Iterable[str] = (),
        filter: Filter = _ALL,  # noqa: A002
    ) -> list[KindsGroup]:
        """Return USD by kind of token, dearest first.

        Raises:
            CerebrasConfigurationError: There is no such dimension.
            LedgerError: The database cannot be read.
        """
        found = self._ask(lambda: self._asked(by, filter).kinds())
        groups: list[KindsGroup] = []
        for keys, (cost, savings, cached, write, image, output, request) in found:
            rest = cost - cached - write - image - output - request
            groups.append(
                KindsGroup(keys, rest, cached, write, image, output, request, savings)
            )
        return groups

    def _asked(self, by: Iterable[str], filter: Filter) -> Asked:  # noqa: A002
        from langchain_cerebras_ext.costs._ledger.queries import Asked

        return Asked(self._store, by, filter)

    def _ask(self, question: Callable[[], T], *, flush: bool = True) -> T:
        """Return an answer, with what was added so far."""
        if flush:
            self.flush()
        return question()

    def revision(self) -> int:
        """Return a number that grows with every change."""
        self.flush()
        return self._store.revision()

    def export(
        self,
        target: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002
        filter: Filter = _ALL,  # noqa: A002
    ) -> int:
        """Write records to a file: CSV, JSONL or Parquet; returns how many."""
        raise NotImplementedError

    def import_records(
        self, source: str | os.PathLike[str] | Iterable[UsageRecord]
    ) -> int:
        """Take records in from a file or an iterable; returns how many were new."""
        if isinstance(source, str):
            raise NotImplementedError
        records: Any = source
        return int(self._store.append(list(records)).new)

    def merge(self, other: Ledger | str | os.PathLike[str]) -> int:
        """Take all records of another ledger in; returns how many were new."""
        if isinstance(other, Ledger):
            return self.import_records(other.records())
        with Ledger(other, create=False) as opened:
            return self.merge(opened)

    def prune(self, before: datetime, *, keep_totals: bool = True) -> int:
        """Remove the rows of records before a time; their hourly totals stay."""
        raise NotImplementedError


def _drain(queue: deque[UsageRecord], store: Any, lock: Any) -> int:
    written = 0
    with lock:
        while queue:
            batch = [queue.popleft() for _ in range(min(len(queue), 1_000))]
            written += store.append(batch).new
    return written
