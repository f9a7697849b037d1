"""`Ledger`: usage records in a database, on this machine or shared by several."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, TypeVar

import msgspec

from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.costs._ledger.gate import at_fork
from langchain_cerebras_ext.costs._ledger.place import find_place
from langchain_cerebras_ext.costs.records import utc_now
from langchain_cerebras_ext.costs.report import Filter, Group, Totals
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasCostWarning,
    LedgerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from sqlalchemy import Engine
    from sqlalchemy.exc import SQLAlchemyError

    from langchain_cerebras_ext.costs._ledger.place import Place
    from langchain_cerebras_ext.costs._ledger.queries import Asked
    from langchain_cerebras_ext.costs._ledger.slice import Slice
    from langchain_cerebras_ext.costs._ledger.store import Store
    from langchain_cerebras_ext.costs._ledger.writer import Writer
    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["KindsGroup", "Ledger", "LedgerStatus", "PercentileGroup"]

T = TypeVar("T")
_ALL = Filter()
_AT_ONCE = 2_000


class PercentileGroup(msgspec.Struct, frozen=True):
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
        buffered: Records in memory that are not written yet, or are being written.
        spooled: Records of this process that wait in its spool files.
        written: Records that this process has written to the database.
        replayed: Records that were taken over from spool files.
        rejected: Records that no row can hold; they are kept beside the spool.
        dropped: Records that are lost: database, spool and memory were full.
        spool: The spool file, while there is one; of two, the one that is written.
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

    `add` puts a record into a queue; one thread writes batches. While the database
    cannot be written (locked, full, gone) calls go on: each batch goes to a spool file
    instead, or stays in memory where that fails as well, one warning says so, and all
    of it is written when the database is back, or by the next process that opens it.
    Records are known by `record_id`: the same one twice is written once.

    A process that is killed loses at most `batch_size` records: what comes faster than
    the database takes it goes to the spool file, too. With `batch_size=0` (or 1) or
    `flush_interval_s=0` it loses nothing: then `add` returns when the record is
    committed and on the disk, and takes as long as that.

    A database may be shared by any number of threads and processes; a SQLite file must
    be on a local disk. A forked child begins with an empty queue; pickled is the URL,
    with its password.

    ```python
    from langchain_cerebras_ext.costs import Ledger

    with Ledger("sqlite:///costs.db") as ledger:
        for group in ledger.report(by=("model", "day")):
            print(group.keys, group.totals.cost)
    ```

    Args:
        url: `sqlite:///costs.db` (below the working directory, or
            `sqlite:////absolute/costs.db`), a file's path, `sqlite://` for one in
            memory, or `postgresql+psycopg://user:password@host/database`.
        batch_size: So many records are in memory alone at most; as soon as half of them
            wait they are written. 0 is strict.
        flush_interval_s: So many seconds a record waits at most.
        max_buffered: So many records are in memory at most where the spool cannot be
            written either.
        spool: How the names of spool files begin; by default `costs.db.spool` beside
            the database, or in the user's cache folder for a server.
        create: Whether to make the database if there is none. Without it a file that
            may only be read (its mode, its folder, its file system) can be asked, too;
            what lies in its `-wal` only if the `-shm` is there as well.
        busy_timeout_s: How long the writer waits for another's lock, and for a server
            that does not answer.

    Raises:
        CerebrasConfigurationError: An argument is wrong.
        MissingExtraError: SQLAlchemy or the database's driver is not installed.
        LedgerNotFoundError: There is none, and `create` is false.
        LedgerError: What is there is not a ledger, or of a newer version, or nothing
            can be there. A server that cannot be reached, or a file that is locked, is
            no error but an outage as above.
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
        _check("batch_size", batch_size, 0)
        _check("flush_interval_s", flush_interval_s, 0)
        _check("max_buffered", max_buffered, 0)
        _check("busy_timeout_s", busy_timeout_s, 0)
        self._place = place = find_place(url)
        self._options = {
            "batch_size": batch_size,
            "flush_interval_s": flush_interval_s,
            "max_buffered": max_buffered,
            "spool": spool,
            "create": create,
            "busy_timeout_s": busy_timeout_s,
        }
        from langchain_cerebras_ext.costs._ledger.spool import Spool
        from langchain_cerebras_ext.costs._ledger.store import Store
        from langchain_cerebras_ext.costs._ledger.writer import Writer

        durable = batch_size <= 1 or flush_interval_s <= 0
        self._store = Store(place, durable=durable, wait_s=busy_timeout_s)
        self._writer = Writer(
            self._store,
            Spool(place.spool if spool is None else Path(spool).absolute()),
            batch_size=batch_size,
            interval_s=flush_interval_s,
            max_buffered=max_buffered,
            is_reader=not create,
        )
        self._open(create=create)
        with _Writers.lock:
            _Writers.every.add(self._writer)
        # At exit, too, and when nobody has the ledger any more.
        self._finalizer = weakref.finalize(self, _end, self._writer, self._store)

    def _open(self, *, create: bool) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._store.open(create=create)
        except SQLAlchemyError as error:
            if not _may_pass(error, self._place):
                self._store.engine.dispose()
                raise self._error(error) from error
            self._writer.mark_down(error, create=create)
        except BaseException:
            self._store.engine.dispose()
            raise

    def _error(self, error: Exception) -> LedgerError:
        from langchain_cerebras_ext.costs._ledger.writer import told

        msg = (
            f"The ledger at {self.url} cannot be used: {told(self._store, error)} "
            "Check that it is there, is a ledger, and may be read and written."
        )
        if self._options["create"] and self._store.is_read_only():
            msg += " To read it only, open it with create=False."
        return LedgerError(msg)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by URL and options; what is queued stays here."""
        url = self._place.url
        return (_reopen, (url, self._options))

    @property
    def url(self) -> str:
        """Where it is, without its password."""
        return self._place.shown

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine. A transaction on SQLite begins with the write lock."""
        return self._store.engine

    def __repr__(self) -> str:
        """Name the place, without its password."""
        return f"Ledger({self.url!r})"

    def status(self) -> LedgerStatus:
        """Return how it is doing."""
        writer = self._writer
        with writer.counting:
            return LedgerStatus(
                self.url,
                is_up=writer.error is None,
                error=writer.error,
                buffered=writer.buffered,
                spooled=writer.spooled,
                written=writer.written,
                replayed=writer.replayed,
                rejected=writer.rejected,
                dropped=writer.dropped,
                spool=None if writer.spool_path is None else str(writer.spool_path),
            )

    def add(self, record: UsageRecord) -> None:
        """Take a record in; it is written soon, by another thread.

        Quick, safe in any thread, and never raises for the database's troubles. Where
        a batch waits already, it puts that into the spool file first.
        """
        self._writer.add(record)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Write what waits; returns whether the database has all of it.

        Args:
            timeout_s: How long to wait for a batch that is being written; then it may
                take as long as the database does.
        """
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what waits, to the database or the spool, and let go of both.

        Records that are added afterwards are written at once, each by itself.
        """
        self._writer.close()

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
            by: Dimensions, as in `report.DIMENSIONS`, or one; none gives one group of
                all.
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
        pages = self._ask(lambda: asked.records(limit=limit, newest_first=newest_first))
        while True:
            record = self._ask(lambda: next(pages, None), flush=False)
            if record is None:
                return
            yield record

    def dearest(
        self,
        limit: int = 10,
        filter: Filter = _ALL,  # noqa: A002
    ) -> list[UsageRecord]:
        """Return the records that cost most, dearest first.

        Those of unknown cost and pruned rows are not among them.

        Args:
            limit: How many at most.
            filter: Which records.

        Raises:
            CerebrasConfigurationError: A time of the filter has no zone.
            LedgerError: The database cannot be read.
        """
        return self._ask(lambda: self._asked((), filter).dearest(limit))

    def percentiles(
        self,
        field: str,
        by: Iterable[str] = (),
        filter: Filter = _ALL,  # noqa: A002
        *,
        at: Sequence[float] = (0.5, 0.95, 0.99),
    ) -> list[PercentileGroup]:
        """Return percentiles of a latency, those of the most records first.

        The nearest rank. Exact for up to 5,000 values. More are counted in bins, at
        most 2 % off, where no other dimensions are asked for than model, provider,
        node, arm, outcome, day and month. With others they come from the rows: all of
        them, or from 25,000 to 50,000 of more than 50,000, evenly spread in time,
        unless they are split by user, session, tag or hour.

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

    def slice(
        self,
        filter: Filter = _ALL,  # noqa: A002
        *,
        unit: Literal["hour", "day"] = "day",
    ) -> Slice:
        """Return what answers several questions about the same records.

        It reads at the first question, and keeps what it reads: where many questions
        are asked of one filter, such as by a dashboard, that is much quicker.

        Args:
            filter: Which records.
            unit: The smallest unit of time that is asked for.
        """
        from langchain_cerebras_ext.costs._ledger.slice import Slice

        return Slice(self._store, self._ask, filter, unit)

    def _asked(self, by: Iterable[str], filter: Filter) -> Asked:  # noqa: A002
        from langchain_cerebras_ext.costs._ledger.queries import Asked

        return Asked(self._store, by, filter)

    def _ask(self, question: Callable[[], T], *, flush: bool = True) -> T:
        """Return an answer, with what was added so far."""
        from sqlalchemy.exc import SQLAlchemyError

        if flush:
            self.flush()
        try:
            return question()
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def revision(self) -> int:
        """Return a number that grows with every change."""
        return self._ask(self._store.revision)

    def export(
        self,
        target: str | os.PathLike[str] | IO[bytes],
        *,
        format: str | None = None,  # noqa: A002
        filter: Filter = _ALL,  # noqa: A002
    ) -> int:
        """Write records to a file, which has all of them or stays what it was.

        In CSV a text that a spreadsheet would take for a formula has an apostrophe
        before it; `import_records` takes it off again.

        Args:
            target: A file, also `.gz` for the first two formats. A link to one stays a
                link; pipes, devices and open files (binary) are written into.
            format: `csv`, `jsonl` or `parquet` (extra `parquet`); by the name if not
                given.
            filter: Which records.

        Returns:
            How many there are.

        Raises:
            CerebrasConfigurationError: There is no such format.
            MissingExtraError: pyarrow is not installed.
            LedgerError: The database cannot be read, or the file not written.
        """
        from langchain_cerebras_ext.costs._ledger.files import find_format, write_file

        place = Path(target) if isinstance(target, (str, os.PathLike)) else target
        path = place if isinstance(place, Path) else None
        form, packed = find_format(path, format)
        return write_file(self.records(filter), place, form, packed=packed)

    def import_records(
        self,
        source: str | os.PathLike[str] | Iterable[UsageRecord],
        *,
        format: str | None = None,  # noqa: A002
    ) -> int:
        """Take records in; those that are there, by `record_id`, change nothing.

        Args:
            source: A file such as `export` writes, or records. In a file each record
                must have its `record_id`.
            format: Of the file; by its name if not given.

        Returns:
            How many were new.

        Raises:
            CerebrasConfigurationError: There is no such format.
            MissingExtraError: pyarrow is not installed.
            LedgerError: The file cannot be read, or the database not written. What was
                read before stays: import again once it is mended.
        """
        if not isinstance(source, (str, os.PathLike)):
            return self._take_in(source)
        from langchain_cerebras_ext.costs._ledger.files import find_format, read_file

        path = Path(source)
        form, packed = find_format(path, format)
        return self._take_in(read_file(path, form, packed=packed))

    def _take_in(self, records: Iterable[UsageRecord]) -> int:
        self.flush()
        new = 0
        refused: list[tuple[UsageRecord, str]] = []
        left = iter(records)
        while batch := list(itertools.islice(left, _AT_ONCE)):
            appended = self._ask(partial(self._store.append, batch), flush=False)
            new += appended.new
            refused += appended.rejected
        if refused:
            warn_user(
                f"{len(refused)} records were not taken into {self.url}: "
                f"{refused[0][1]}",
                CerebrasCostWarning,
            )
        return new

    def merge(self, other: Ledger | str | os.PathLike[str]) -> int:
        """Take all records of another ledger in, by `record_id`.

        In whatever order, and however often, ledgers are merged, the result is the
        same. Totals whose rows were pruned there stay there, with a warning.

        Returns:
            How many were new.

        Raises:
            LedgerError: One of the two cannot be used.
        """
        if not isinstance(other, Ledger):
            with Ledger(other, create=False) as opened:
                return self.merge(opened)
        pruned = other.pruned_before
        if pruned is not None:
            warn_user(
                f"{other.url} was pruned: what it counts before {pruned.isoformat()} "
                "is not merged, as the rows are gone.",
                CerebrasCostWarning,
            )
        return self._take_in(other.records())

    @property
    def pruned_before(self) -> datetime | None:
        """The time before which the rows are gone; `None` if all are there.

        Raises:
            LedgerError: The database cannot be read.
        """
        return self._ask(self._store.pruned)

    def prune(
        self, before: datetime, *, keep_totals: bool = True, dry_run: bool = False
    ) -> int:
        """Remove the rows of records before a time; their hourly totals stay.

        Totals remain the same to the hour and by every dimension but `session`, which
        is not known any more. Percentiles remain for whole days, by model, provider,
        node, arm, outcome, day and month. Records of that time are not taken in any
        more. The database uses the space again; a file does not shrink by itself.

        Args:
            before: Until when, rounded down to a whole hour.
            keep_totals: Whether totals stay; if not, they go for whole days.
            dry_run: Whether to remove nothing, and only count.

        Returns:
            How many rows went, or would go.

        Raises:
            CerebrasConfigurationError: The time has no zone, or is still to come.
            LedgerError: The database cannot be written.
        """
        if before.tzinfo is None:
            msg = f"before={before.isoformat()} has no time zone; add one, as UTC."
            raise CerebrasConfigurationError(msg)
        cut = self._store.cut(before, keep_totals=keep_totals)
        # Else no call would be recorded any more until then.
        if cut > utc_now() and not self._has_records_from(cut):
            msg = (
                f"before={before.isoformat()} is still to come; no record from before "
                "it would be taken in any more. Give a time that has passed."
            )
            raise CerebrasConfigurationError(msg)
        if dry_run:
            return self._ask(partial(self._store.count_before, cut))
        return self._ask(partial(self._store.prune, cut, keep_totals=keep_totals))

    def _has_records_from(self, time: datetime) -> bool:
        """Whether there are records of a time, as when a clock was ahead."""
        return next(self.records(Filter(since=time), limit=1), None) is not None


def _end(writer: Writer, store: Store) -> None:
    writer.close()
    store.engine.dispose()


def _check(name: str, value: float, least: int) -> None:
    if value < least:
        msg = f"{name}={value} is too small; take {least} or more."
        raise CerebrasConfigurationError(msg)


def _may_pass(error: SQLAlchemyError, place: Place) -> bool:
    """Whether it is an outage rather than a mistake."""
    from sqlalchemy.exc import OperationalError

    from langchain_cerebras_ext.costs._ledger.engine import ForkedError

    if not isinstance(error, OperationalError):
        return False
    if not place.is_sqlite or isinstance(error.orig, ForkedError):
        return True
    return "locked" in str(error.orig)


def _reopen(url: str, options: dict[str, Any]) -> Ledger:
    return Ledger(url, **options)


class _Writers(threading.local):
    """The writers of this process; and those that a fork of this thread has paused."""

    every: ClassVar[weakref.WeakSet[Writer]] = weakref.WeakSet()
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.paused: list[Writer] = []


_writers = _Writers()


def _listed() -> list[Writer]:
    with _Writers.lock:
        return list(_Writers.every)


def _before_fork() -> None:
    # A child made in the middle of a transaction has no thread that would end it.
    _writers.paused = [writer for writer in _listed() if writer.before_fork()]


def _after_fork_here() -> None:
    writers, _writers.paused = _writers.paused, []
    for writer in writers:
        writer.resume()


def _after_fork() -> None:
    _writers.paused = []
    _Writers.lock = threading.Lock()  # who held it may not be in the child
    for writer in _listed():
        writer.after_fork()


at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_here,
    after_in_child=_after_fork,
)
