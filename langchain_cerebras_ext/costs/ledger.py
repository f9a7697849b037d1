"""`Ledger`: usage records in a database, on this machine or shared by several."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from langchain_cerebras_ext.costs._ledger.place import find_place
from langchain_cerebras_ext.costs.report import Filter, Group, Totals, group_records

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from decimal import Decimal

    from sqlalchemy import Engine

    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["KindsGroup", "Ledger", "LedgerStatus", "PercentileGroup"]

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
        """Return totals for each combination of values that occurs, dearest first."""
        return group_records(self.records(filter), by)[:limit]

    def records(
        self,
        filter: Filter = _ALL,  # noqa: A002
        *,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[UsageRecord]:
        """Yield records in the order of their times."""
        from sqlalchemy import select

        from langchain_cerebras_ext.costs._ledger import schema
        from langchain_cerebras_ext.costs._ledger.codec import decode

        self.flush()
        table = schema.records
        keys = (table.c.started_us, table.c.record_id)
        order = [key.desc() if newest_first else key for key in keys]
        with self._store.reading() as connection:
            rows = connection.execute(select(table).order_by(*order)).mappings().all()
            words = self._store.words(connection, rows)
        given = 0
        for row in rows:
            record = decode(row, words)
            if filter.takes(record):
                if limit is not None and given >= limit:
                    return
                given += 1
                yield record

    def percentiles(
        self,
        field: str,
        by: Iterable[str] = (),
        filter: Filter = _ALL,  # noqa: A002
        *,
        at: tuple[float, ...] = (0.5, 0.95, 0.99),
    ) -> list[PercentileGroup]:
        """Return percentiles of `ttft_s`, `duration_s`, `output_tokens_per_s`, ..."""
        found = []
        keep: dict[tuple[str | None, ...], list[float]] = {}
        for record in self.records(filter):
            value = getattr(record, field)
            if value is not None:
                for group in group_records([record], by):
                    keep.setdefault(group.keys, []).append(value)
        for keys, values in keep.items():
            values.sort()
            last = len(values) - 1
            found.append(
                PercentileGroup(
                    keys, len(values), tuple(values[round(last * q)] for q in at)
                )
            )
        return found

    def values(
        self,
        dimension: str,
        filter: Filter = _ALL,  # noqa: A002
    ) -> list[tuple[str | None, int]]:
        """Return what occurs in a dimension and how often, the most frequent first."""
        groups = self.report((dimension,), filter)
        found = [(g.keys[0], g.totals.calls + g.totals.retries) for g in groups]
        return sorted(found, key=lambda pair: -pair[1])

    def costs_by_kind(
        self,
        by: Iterable[str] = (),
        filter: Filter = _ALL,  # noqa: A002
    ) -> list[KindsGroup]:
        """Return USD by kind of token, dearest first."""
        from decimal import Decimal

        kinds = KindsGroup._fields[1:]
        sums: dict[tuple[str | None, ...], list[Decimal]] = {}
        for record in self.records(filter):
            for group in group_records([record], by):
                have = sums.setdefault(group.keys, [Decimal(0)] * len(kinds))
                if record.cost is not None:
                    for at, kind in enumerate(kinds):
                        have[at] += getattr(record.cost, kind)
        return [KindsGroup(keys, *values) for keys, values in sums.items()]

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
