"""Rows go in, records come out: what is done in one transaction."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import func, select
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from langchain_cerebras_ext.costs._ledger import schema
from langchain_cerebras_ext.costs._ledger.codec import (
    COLUMNS,
    NAMES,
    Words,
    checked_record,
    empty_words,
    encode,
    from_micros,
    number,
    read_price,
    read_state,
    to_micros,
    words_of,
)
from langchain_cerebras_ext.costs._ledger.engine import READ, make_engine, may_write
from langchain_cerebras_ext.costs._ledger.migrations import (
    add_rollups,
    not_found,
    prepare,
    read_version,
)
from langchain_cerebras_ext.costs._ledger.rollup import DAY, HOUR, NEVER, hour_of
from langchain_cerebras_ext.costs._ledger.tables import (
    add_rows,
    add_words,
    chunks,
    find_numbers,
    find_texts,
)
from langchain_cerebras_ext.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from langchain_cerebras_ext.costs._ledger.place import Place
    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["Appended", "Store"]

_KNOWN: Final = 200_000


class Appended(NamedTuple):
    """What became of a batch.

    Attributes:
        new: How many records were written; the others were there already.
        rejected: Records that no row can hold, and why.
    """

    new: int
    rejected: list[tuple[UsageRecord, str]]


class Store:
    """A ledger's tables.

    Args:
        place: The database.
        durable: Whether a commit must outlast a power failure, too.
        wait_s: How long to wait for another's lock, or for the server.

    Attributes:
        engine: Its connections.
        place: Where it is.
    """

    def __init__(self, place: Place, *, durable: bool, wait_s: float) -> None:
        self.place = place
        self._creating = place.is_in_memory
        self.engine = make_engine(
            place,
            durable=durable,
            wait_s=wait_s,
            may_create=lambda: self._creating,
        )
        self._lock = threading.Lock()
        self._known = empty_words()
        self._only_read = False
        self._file: tuple[int, int] | None = None

    def open(self, *, create: bool) -> None:
        """Create or migrate the tables where needed.

        Raises:
            LedgerError: The database is not a ledger.
            LedgerNotFoundError: There is none.
        """
        path = self.place.path
        if path is not None and not create and not path.exists():
            raise not_found(self.place)
        self._creating = create or self.place.is_in_memory
        self._renew_readers()
        try:
            # Most often all is well, and nobody need wait for those that write.
            with self._read() as connection:
                version = read_version(connection, self.place)
            if version is None and not create:
                raise not_found(self.place)
            if version != schema.VERSION:
                if version is not None and self.is_read_only():
                    raise self._too_old(version)
                with self.engine.begin() as connection:
                    prepare(connection, self.place, create=create)
        finally:
            self._creating = self.place.is_in_memory
        self._file = self.place.identity()

    def _too_old(self, version: int) -> LedgerError:
        msg = (
            f"The ledger at {self.place.shown} has version {version} of the tables, "
            f"which would have to become version {schema.VERSION}, and may only be "
            "read here. Open it once where it may be written, or open a copy."
        )
        return LedgerError(msg)

    def is_read_only(self) -> bool:
        """Whether it is a file that is there and may only be read."""
        path = self.place.path
        return path is not None and path.exists() and not may_write(path)

    def _check_file(self) -> None:
        """See that the file is the one that was opened.

        SQLite would go on writing into one that was deleted.

        Raises:
            LedgerError: It has vanished.
        """
        if self.place.path is None:
            return
        found = self.place.identity()
        if found is not None and found == self._file:
            return
        self.engine.dispose()
        self.forget()
        if found is None:
            msg = (
                f"The file of the ledger {self.place.shown} has vanished. Put it back, "
                "or start anew: the next `Ledger` makes one there."
            )
            raise LedgerError(msg)
        self.open(create=False)

    def forget(self) -> None:
        """Forget the numbers of words: the database may be another."""
        self._known = empty_words()

    def dispose(self) -> None:
        """Close the connections that nobody uses."""
        if not self.place.is_in_memory:
            self.engine.dispose()

    def after_fork(self) -> None:
        """Leave the parent's connections alone; a child makes its own."""
        self._lock = threading.Lock()
        self._known = empty_words()
        if self.place.path is not None:
            return  # closed before the fork
        # Kept, since closing one here could disturb the parent's.
        _inherited.append(self.engine.pool)
        self.engine.dispose(close=False)
        if self.place.is_in_memory:
            with contextlib.suppress(SQLAlchemyError):  # the writer says why not
                self.open(create=True)

    # -------------------------------------------------------------------- writing

    def append(self, records: Sequence[UsageRecord]) -> Appended:
        """Write those records that are not there yet.

        All of them or none, but for those that the database refuses; the same record a
        second time changes nothing.
        """
        try:
            return self._append(records)
        except (DataError, IntegrityError) as error:
            if len(records) == 1:
                reason = f"{type(error).__name__}: {error.orig}"[:300]
                return Appended(0, [(records[0], reason)])
            # One of them must not keep the others from being written.
            half = len(records) // 2
            one, two = self.append(records[:half]), self.append(records[half:])
            return Appended(one.new + two.new, [*one.rejected, *two.rejected])

    def _append(self, records: Sequence[UsageRecord]) -> Appended:
        good: dict[str, tuple[Any, ...]] = {}
        by_id: dict[str, UsageRecord] = {}
        rejected: list[tuple[UsageRecord, str]] = []
        for one in records:
            try:
                row = encode(checked_record(one, nul=self.place.is_sqlite))
            except (TypeError, ValueError, ArithmeticError) as error:
                rejected.append((one, f"{type(error).__name__}: {error}"[:300]))
            else:
                good.setdefault(row[0], row)
                by_id[row[0]] = one
        if not good:
            return Appended(0, rejected)
        self._check_file()
        with self.engine.begin() as connection:
            pruned = self._lock_tables(connection)
            late = [name for name, row in good.items() if row[_STARTED] < pruned]
            for name in late:
                del good[name]
                rejected.append((by_id[name], _TOO_OLD))
            fresh = self._fresh(connection, good)
            words = self._number(connection, words_of(fresh))
            rows = [number(row, words) for row in fresh]
            add_rows(connection, schema.records, COLUMNS, rows)
            free = {
                n
                for word, n in words.states.items()
                if read_state(word).outcome == "cache_hit"
            }
            add_rollups(connection, rows, free)
        self._learn(words)
        return Appended(len(fresh), rejected)

    def touch(self) -> None:
        """Change nothing that matters: see whether it can be written."""
        with self.engine.begin() as connection:
            self._lock_tables(connection)

    def cut(self, before: datetime, *, keep_totals: bool) -> datetime:
        """Return a time as it can be pruned to: at the hour, or at the day."""
        step = HOUR if keep_totals else DAY
        return from_micros(to_micros(before) // step * step)

    def count_before(self, time: datetime) -> int:
        """Return how many rows there are before a time."""
        started = schema.records.c.started_us
        query = select(func.count()).where(started < to_micros(time))
        with self.reading() as connection:
            return connection.execute(query).scalar_one()

    def prune(self, before: datetime, *, keep_totals: bool) -> int:
        """Remove the rows before a `cut`, and the totals, too, if they are not kept."""
        self._check_file()
        with self.engine.begin() as connection:
            cut = max(to_micros(before), self._lock_tables(connection))
            table = schema.records
            gone = connection.execute(table.delete().where(table.c.started_us < cut))
            connection.execute(schema.ledger.update().values(pruned_us=cut))
            if not keep_totals:
                hour = hour_of(cut // DAY * DAY)
                for kept in schema.ROLLUPS:
                    by_day = "day" in kept.c
                    time = kept.c.day if by_day else kept.c.hour
                    end = hour // 24 if by_day else hour
                    connection.execute(kept.delete().where(time < end))
        return gone.rowcount

    def pruned(self) -> datetime | None:
        """Return the time before which the rows are gone; `None` if all are there."""
        with self.reading() as connection:
            cut = connection.execute(select(schema.ledger.c.pruned_us)).scalar_one()
        return from_micros(cut) if cut > NEVER else None

    def _lock_tables(self, connection: Connection) -> int:
        """Count the change; on a server, whoever comes next waits here.

        Returns:
            The microsecond before which rows were pruned.
        """
        ledger = schema.ledger
        counted = connection.execute(
            ledger.update()
            .values(revision=ledger.c.revision + 1)
            .where(ledger.c.version == schema.VERSION)
        )
        if counted.rowcount != 1:
            read_version(connection, self.place)
            msg = f"The tables at {self.place.shown} were changed by another program."
            raise LedgerError(msg)
        pruned: int = connection.execute(select(ledger.c.pruned_us)).scalar_one()
        return pruned

    def _fresh(
        self, connection: Connection, by_id: dict[str, tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        column = schema.records.c.record_id
        there: set[str] = set()
        for part in chunks(list(by_id)):
            query = select(column).where(column.in_(part))
            there.update(connection.execute(query).scalars())
        return [one for name, one in by_id.items() if name not in there]

    def _number(self, connection: Connection, words: Words) -> Words:
        """Return the words with their numbers; new ones are added."""
        numbered: list[dict[Any, Any]] = []
        for known, wanted, table in zip(self._known, words, _TABLES, strict=True):
            # Another thread may forget what is known at any moment.
            numbers = ((word, known.get(word)) for word in wanted)
            got = {word: number for word, number in numbers if number is not None}
            missing = [word for word in wanted if word not in got]
            got |= find_numbers(connection, table, missing)
            absent = [word for word in missing if word not in got]
            if absent:
                add_words(connection, table, absent)
                added = find_numbers(connection, table, absent)
                got |= added
                if table is schema.tagsets:
                    names = numbered[0]
                    rows = [
                        (tagset, position, names[tag])
                        for word, tagset in added.items()
                        for position, tag in enumerate(msgspec.json.decode(word))
                    ]
                    columns = ("tagset_id", "position", "tag_id")
                    add_rows(connection, schema.tags, columns, rows)
            numbered.append(got)
        return Words(*numbered)

    def _learn(self, words: Words) -> None:
        # Only what is committed: a number of a transaction undone may be another's.
        with self._lock:
            for known, more in zip(self._known, words, strict=True):
                if len(known) > _KNOWN:
                    known.clear()
                known.update(more)

    # -------------------------------------------------------------------- reading

    def revision(self) -> int:
        """Return how many changes there were."""
        with self.reading() as connection:
            found = connection.execute(select(schema.ledger.c.revision)).scalar_one()
        return int(found)

    def words(self, connection: Connection, rows: Iterable[Any]) -> Words:
        """Return the texts of the numbers in rows of `cerebras_records`."""
        rows = list(rows)

        def texts(table: Table, *columns: str) -> dict[int, str]:
            numbers = (row[name] for row in rows for name in columns)
            return find_texts(connection, table, numbers)

        prices = texts(schema.prices, "price_id").items()
        states = texts(schema.states, "state_id").items()
        tagsets = texts(schema.tagsets, "tagset_id").items()
        return Words(
            names=texts(schema.names, *NAMES),
            tagsets={n: tuple(msgspec.json.decode(word)) for n, word in tagsets},
            states={n: read_state(word) for n, word in states},
            prices={number: read_price(word) for number, word in prices},
        )

    def reading(self) -> Connection:
        """Return a connection that sees one state of the database and waits for nobody.

        Raises:
            LedgerError: The database has vanished.
        """
        self._check_file()
        self._renew_readers()
        return self._read()

    def _renew_readers(self) -> None:
        """Open a file anew that may, or might, only be read.

        What was read of it once would not be read again, and it may be written by now.
        """
        before, self._only_read = self._only_read, self.is_read_only()
        if before or self._only_read:
            self.engine.dispose()

    def _read(self) -> Connection:
        options: dict[str, Any] = {READ: True}
        if not self.place.is_sqlite:
            options["isolation_level"] = "REPEATABLE READ"
        return self.engine.connect().execution_options(**options)


_inherited: list[Any] = []
_STARTED: Final = COLUMNS.index("started_us")
_TOO_OLD: Final = (
    "It is of a time whose rows were pruned, so that nobody can tell whether it was "
    "counted before."
)
_TABLES: Final = (schema.names, schema.tagsets, schema.states, schema.prices)
