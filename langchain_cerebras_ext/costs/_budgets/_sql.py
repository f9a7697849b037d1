"""Shared accounts in a ledger's database: SQLite or PostgreSQL.

A transaction locks the rows of the accounts that it is about, always in the same order,
does the arithmetic of `_account` on them, and writes them back. On SQLite it takes the
database's one lock at its beginning. Windows and leases go by PostgreSQL's clock, or by
that of the host, which all users of a SQLite file share.
"""

from __future__ import annotations

import json
import os
import time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Engine,
    Index,
    MetaData,
    Numeric,
    Table,
    Text,
    bindparam,
    delete,
    event,
    exc,
    inspect,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from langchain_cerebras_ext.costs._budgets._account import Account, Terms, described
from langchain_cerebras_ext.costs._budgets._clock import ServerClock
from langchain_cerebras_ext.costs._budgets._hold import RELEASED
from langchain_cerebras_ext.costs._budgets._money import to_count, to_usd
from langchain_cerebras_ext.costs._budgets._store import (
    GONE_S,
    LISTED_S,
    SEEN_S,
    Answer,
    Finish,
    Look,
    Reserve,
    Spend,
    account_id,
    kept_until_s,
)
from langchain_cerebras_ext.costs._budgets._windows import Period, Window
from langchain_cerebras_ext.costs._budgets._worker import away
from langchain_cerebras_ext.costs._ledger.engine import READ, make_engine
from langchain_cerebras_ext.costs._ledger.place import Place, find_place
from langchain_cerebras_ext.errors import CerebrasConfigurationError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Row

    from langchain_cerebras_ext.costs._budgets._account import BudgetStatus, Clock
    from langchain_cerebras_ext.costs._budgets._store import Op
    from langchain_cerebras_ext.costs.ledger import Ledger

__all__ = ["SqlStore", "find_store"]

_WAIT_S: Final = 5.0
_TRIES: Final = 3
_MICRO: Final = 1_000_000
# Serialization, deadlock, a lock not got, and a table that was there before.
_AGAIN: Final = ("40001", "40P01", "55P03", "42P01")


class _Usd(TypeDecorator[int]):
    """Whole numbers of 1e-12 USD: a NUMERIC of USD, or on SQLite a text.

    As a number of 64 bits it would end at 9.2 million USD; SQLite's numbers are floats.
    """

    impl = Numeric(38, 12)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column's type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(Numeric(38, 12))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """Return what is written."""
        if value is None:
            return None
        return f"{to_usd(value):f}" if dialect.name == "sqlite" else to_usd(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002 - as it must be
        """Return what was read."""
        return None if value is None else to_count(Decimal(value))


_metadata = MetaData()


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _usd(name: str) -> Column[int]:
    return Column(name, _Usd, nullable=False)


_budgets = Table(
    "cerebras_budgets",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("per", Text, nullable=False),
    Column("time_window", Text, nullable=False),
    _usd("limit_usd"),
    Column("limits", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("lost", Text, nullable=False),
    _number("seen_s"),
)
"""What was agreed, as the last process has said that used it."""

_accounts = Table(
    "cerebras_budget_accounts",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("budget", Text, nullable=False),
    Column("per", Text, nullable=False),
    Column("time_window", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("start_s", BigInteger),
    Column("end_s", BigInteger),
    Column("account_key", Text, nullable=False),
    _usd("limit_usd"),
    _usd("spent_usd"),
    _usd("reserved_usd"),
    _usd("assumed_usd"),
    _number("calls"),
    _number("unpriced"),
    Column("told", Text, nullable=False),
    Column("kept_until_s", BigInteger),
    Index("cerebras_budget_accounts_budget", "budget"),
)
"""What was spent in each window. `account_key` and `told` are JSON."""

_holds = Table(
    "cerebras_budget_holds",
    _metadata,
    Column("hold", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    _usd("amount_usd"),
    Column("known", Boolean, nullable=False),
    Column("lost", Text, nullable=False),
    _number("until_us"),
    Index("cerebras_budget_holds_account", "account", "until_us"),
)
"""What is reserved, a row for each account that pays; `lost` is what became of a
reservation whose end has not come in time."""


def find_store(
    ledger: Ledger | str | os.PathLike[str] | None,
) -> tuple[tuple[str, ...], Callable[[], SqlStore]]:
    """Return by what a ledger's database is known here, and what makes its store.

    Raises:
        CerebrasConfigurationError: It is no ledger, or only an address in memory.
        MissingExtraError: What its database needs is not installed.
    """
    engine = getattr(ledger, "engine", None)
    if isinstance(engine, Engine):
        place = find_place(engine.url.render_as_string(hide_password=False))
        if place.is_in_memory:  # there is no other way into it
            return ("sql", str(id(engine))), partial(SqlStore, place, engine)
    elif isinstance(ledger, (str, os.PathLike)):
        place = find_place(ledger)
    else:
        msg = (
            f"ledger={type(ledger).__name__} must be a Ledger, or the URL or the path "
            "of its database."
        )
        raise CerebrasConfigurationError(msg)
    if place.is_in_memory:
        msg = (
            "Nobody can share a database in memory by its URL. Name a file, as "
            "'sqlite:///costs.db', or leave ledger=... out of the Budget."
        )
        raise CerebrasConfigurationError(msg)
    return ("sql", place.url), partial(SqlStore, place)


class _Row(Account):
    """An account, as it stands in its row."""

    __slots__ = ("id", "kept_until_s", "terms")

    id: str
    kept_until_s: int | None
    terms: Terms | None


class SqlStore:
    """The accounts in a ledger's database.

    Args:
        place: The database.
        engine: Of a ledger in memory, whose connection is used.

    Attributes:
        place: Its address, without a password.
    """

    def __init__(self, place: Place, engine: Engine | None = None) -> None:
        self._at = place
        self.place = place.shown
        self._borrowed = engine
        self._engine: Engine | None = None
        self._may_create = True
        self._is_ready = False
        self._known: set[str] = set()
        self._said: dict[tuple[Any, ...], float] = {}
        self._tidied_at = -SEEN_S
        self._clock = ServerClock()
        self._file: tuple[int, int] | None = None

    # ----------------------------------------------------------------------- the store

    def apply(self, ops: Sequence[Op], clock: Clock | None) -> list[Answer]:
        """Do several things in one transaction.

        Raises:
            LedgerError: The database cannot be used.
        """
        for tried in range(_TRIES):
            try:
                return self._apply(ops, clock, again=tried > 0)
            except (exc.DataError, exc.IntegrityError):
                raise  # a mistake in what was asked, and not the database's
            except exc.DBAPIError as error:
                self._forget()
                if tried == _TRIES - 1 or not _may_pass(error):
                    raise self._failed(error) from None
            except exc.SQLAlchemyError as error:
                raise self._failed(error) from None
        raise AssertionError  # pragma: no cover - the last try has returned or raised

    def read_all(self) -> list[BudgetStatus]:
        """Return all budgets, by name; creates nothing.

        Raises:
            LedgerError: The database cannot be read.
        """
        path = self._at.path
        if path is not None and not (path.exists() and path.stat().st_size):
            return []  # SQLite would write a header into an empty one
        self._may_create = False  # so that a file that may only be read will do
        try:
            reader = self._get_engine().execution_options(**{READ: True})
            with reader.connect() as connection:
                if not inspect(connection).has_table(_budgets.name):
                    return []
                now_s = self._now_s(connection, None)
                rows = connection.execute(select(_budgets).order_by(_budgets.c.name))
                found: list[BudgetStatus] = []
                for row in rows.all():
                    terms = _terms_of(row)
                    accounts = _look(connection, terms, now_s)
                    if accounts or now_s - row.seen_s < LISTED_S:
                        found += described(terms, accounts, now_s)
                return found
        except exc.SQLAlchemyError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Let go of connections; they are made anew when needed."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def after_fork(self) -> None:
        """Forget connections, which belong to the parent."""
        if self._engine is not None:
            # Kept, since a connection that is collected here would be closed there.
            _of_parents.append(self._engine)
            self._engine = None

    # ------------------------------------------------------------------------- inside

    def _get_engine(self) -> Engine:
        if self._borrowed is not None:
            return self._borrowed
        if self._engine is None:
            engine = make_engine(
                self._at,
                durable=False,
                wait_s=_WAIT_S,
                may_create=lambda: self._may_create,
            )
            if not self._at.is_sqlite:
                event.listen(engine, "connect", _set_up)
            self._engine = engine
        return self._engine

    def _check_file(self) -> None:
        """See that the file is still the one that others find.

        SQLite would go on with one that was deleted, and make one that is missing.

        Raises:
            LedgerError: It has vanished.
        """
        found = self._at.identity()
        if self._file in {None, found}:
            return
        self._forget()
        self.close()
        if found is None:
            told = "the file has vanished; put it back, or have a new `Ledger` make one"
            raise LedgerError(away(self.place, told))
        self._file = found

    def _forget(self) -> None:
        """Take nothing for granted: the database may be another one."""
        self._is_ready = False
        self._known.clear()
        self._said.clear()
        self._clock.forget()

    def _failed(self, error: exc.SQLAlchemyError) -> LedgerError:
        cause = getattr(error, "orig", None) or error
        lines = str(cause).strip().splitlines()
        told = self._at.mask(f"{type(cause).__name__}: {lines[0] if lines else ''}")
        return LedgerError(away(self.place, told))

    def _apply(
        self, ops: Sequence[Op], clock: Clock | None, *, again: bool
    ) -> list[Answer]:
        self._check_file()
        engine = self._get_engine()
        self._make_ready(engine)
        with engine.begin() as connection:
            now_s = self._now_s(connection, clock)
            self._say(connection, ops, now_s)
            page = _Page(connection, ops, now_s, self._known, again=again)
            answers = [_NOTHING if isinstance(op, Look) else page.do(op) for op in ops]
            page.write()
            for at, op in enumerate(ops):
                if isinstance(op, Look):
                    rows = _look(connection, op.terms, now_s)
                    seen = described(op.terms, rows, now_s)
                    answers[at] = Answer(accounts=tuple(seen))
        if len(self._known) > _KNOWN_MOST:
            self._known.clear()
        self._known |= page.wanted.keys()
        if clock is None:
            self._tidy(engine, now_s)
        return answers

    def _now_s(self, connection: Connection, clock: Clock | None) -> float:
        if clock is not None:
            return clock.time()
        if self._at.is_sqlite:
            return time.time()
        return self._clock.now_s(lambda: float(connection.scalar(_NOW) or 0.0))

    def _make_ready(self, engine: Engine) -> None:
        """Create the tables, once."""
        if self._is_ready:
            return
        with engine.begin() as connection:
            if not inspect(connection).has_table(_holds.name):  # the last one made
                if not self._at.is_sqlite:
                    # Two that create a table at once hinder each other in PostgreSQL.
                    lock = text("SELECT pg_advisory_xact_lock(:number)")
                    connection.execute(lock, {"number": _LOCK})
                _metadata.create_all(connection)
        self._is_ready = True
        if self._file is None:
            self._file = self._at.identity()

    def _say(self, connection: Connection, ops: Sequence[Op], now_s: float) -> None:
        """Write down which budgets there are, for those who list them."""
        tick = time.monotonic()
        due = {
            op.terms.name: op.terms
            for op in ops
            if tick - self._said.get(_said_of(op.terms), -SEEN_S) >= SEEN_S
        }
        for name in sorted(due):
            terms = due[name]
            values = {
                "per": terms.per,
                "time_window": terms.window.name,
                "limit_usd": terms.limit,
                "limits": json.dumps({k: str(n) for k, n in terms.limits.items()}),
                "action": terms.action,
                "lost": terms.lost,
                "seen_s": int(now_s),
            }
            insert = _insert(connection, _budgets).values(name=name, **values)
            connection.execute(
                insert.on_conflict_do_update(index_elements=["name"], set_=values)
            )
            self._said[_said_of(terms)] = tick

    def _tidy(self, engine: Engine, now_s: float) -> None:
        """Remove the rows of windows that are long over, now and then."""
        tick = time.monotonic()
        if tick - self._tidied_at < SEEN_S:
            return
        self._tidied_at = tick
        old = int((now_s - GONE_S) * _MICRO)
        with engine.begin() as connection:
            connection.execute(delete(_holds).where(_holds.c.until_us < old))
            connection.execute(
                delete(_accounts).where(_accounts.c.kept_until_s < int(now_s))
            )


class _Page:
    """The accounts and reservations that some operations are about, locked.

    Args:
        connection: In a transaction.
        ops: What shall be done.
        now_s: When.
        known: Accounts that have a row, as far as is known here.
        again: Whether this is another try: the first one may have been done.

    Attributes:
        wanted: The accounts that shall pay, by their ids.
    """

    def __init__(
        self,
        connection: Connection,
        ops: Sequence[Op],
        now_s: float,
        known: set[str],
        *,
        again: bool,
    ) -> None:
        self._connection = connection
        self._now_s = now_s
        self.wanted: dict[str, _Row] = {}
        for op in ops:
            if isinstance(op, (Reserve, Spend)):
                for row in self._payers(op):
                    self.wanted.setdefault(row.id, row)
        kinds = (Reserve, Finish) if again else Finish
        asked = [op.hold for op in ops if isinstance(op, kinds)]
        self._rows = self._lock(self._touched(asked), known)
        self._changed: set[str] = set()
        self._holds: dict[str, list[Row[Any]]] = {}
        self._new: list[dict[str, Any]] = []
        self._ended: list[str] = []
        self._lost: list[dict[str, Any]] = []
        self._read_holds(asked)

    # ------------------------------------------------------------------------ reading

    def _payers(self, op: Reserve | Spend) -> list[_Row]:
        """Return the accounts that must pay, as they are when nobody has used them."""
        terms, ask = op.terms, op.ask
        period = terms.window.period(self._now_s, ask.run)
        kept = kept_until_s(terms, period, self._now_s)
        payers: list[_Row] = []
        for key in ask.keys:
            row = _Row(key, period, terms.limit_of(key))
            row.id = account_id(terms, period, key)
            row.terms = terms
            row.kept_until_s = None if kept is None else int(kept)
            payers.append(row)
        return payers

    def _touched(self, asked: list[str]) -> set[str]:
        """Return the accounts that some reservations are of."""
        if not asked:
            return set()
        return set(self._connection.execute(_TOUCHED, {"holds": asked}).scalars())

    def _lock(self, touched: set[str], known: set[str]) -> dict[str, _Row]:
        """Return the rows of accounts, which nobody else changes until we are done."""
        wanted = self.wanted
        ids = sorted(wanted.keys() | touched)
        missing = [one for one in ids if one in wanted and one not in known]
        rows: dict[str, _Row] = {}
        for _ in range(_TRIES):
            self._create(missing)
            for read in self._connection.execute(_LOCKED, {"ids": ids}):
                rows[read.id] = _row_of(read, wanted.get(read.id))
            missing = [one for one in wanted if one not in rows]
            if not missing:
                break
        return rows

    def _create(self, ids: list[str]) -> None:
        if not ids:
            return
        values = [_values_of(self.wanted[one], new=True) for one in sorted(ids)]
        insert = _insert(self._connection, _accounts).on_conflict_do_nothing()
        self._connection.execute(insert, values)

    def _read_holds(self, asked: list[str]) -> None:
        run = self._connection.execute
        if asked:
            for hold in run(_HOLDS, {"holds": asked}):
                self._holds.setdefault(hold.hold, []).append(hold)
        if self.wanted:
            now_us = int(self._now_s * _MICRO)
            for hold in run(_OVER, {"ids": list(self.wanted), "now_us": now_us}):
                if hold.hold not in self._holds:
                    self._lose(hold)

    # -------------------------------------------------------------------------- doing

    def do(self, op: Reserve | Finish | Spend) -> Answer:
        """Do one thing."""
        if isinstance(op, Reserve):
            return self._reserve(op)
        if isinstance(op, Spend):
            return self._spend(op)
        return self._finish(op)

    def _reserve(self, op: Reserve) -> Answer:
        if op.hold in self._holds:  # done before, and only the answer was lost
            return Answer()
        terms, ask = op.terms, op.ask
        payers = [self._rows[payer.id] for payer in self._payers(op)]
        shorts: tuple[BudgetStatus, ...] = ()
        news: list[tuple[BudgetStatus, int]] = []
        for account in payers:
            if account.lacks(ask):
                shorts = (*shorts, account.describe(terms, ask))
                news += self._note(account, terms, short=True)
        if shorts and not ask.force:
            return Answer(passed=False, shorts=shorts, news=tuple(news))
        until_us = int((self._now_s + terms.lease_s) * _MICRO)
        for account in payers:
            account.reserved += ask.amount
            self._changed.add(account.id)
            self._new.append(
                {
                    "hold": op.hold,
                    "account": account.id,
                    "amount_usd": ask.amount,
                    "known": ask.known,
                    "lost": "",
                    "until_us": until_us,
                }
            )
        return Answer(shorts=shorts, news=tuple(news))

    def _finish(self, op: Finish) -> Answer:
        news: list[tuple[BudgetStatus, int]] = []
        for hold in self._holds.pop(op.hold, ()):
            account = self._rows.get(hold.account)
            if account is None:  # its window is long over
                continue
            account.end(
                hold.amount_usd, op.end, known=hold.known, lost=hold.lost or None
            )
            self._changed.add(account.id)
            if op.end != RELEASED:
                news += self._note(account, op.terms)
        self._ended.append(op.hold)
        return Answer(news=tuple(news))

    def _spend(self, op: Spend) -> Answer:
        news: list[tuple[BudgetStatus, int]] = []
        if op.end != RELEASED:
            for payer in self._payers(op):
                account = self._rows[payer.id]
                account.reserved += op.ask.amount
                account.end(op.ask.amount, op.end, known=op.ask.known)
                self._changed.add(account.id)
                news += self._note(account, op.terms)
        return Answer(news=tuple(news))

    def _lose(self, hold: Row[Any]) -> None:
        """Give up a reservation whose end has not come."""
        account = self._rows[hold.account]
        terms = cast("Terms", account.terms)
        account.lose(hold.amount_usd, known=hold.known, lost=terms.lost)
        self._changed.add(account.id)
        self._lost.append(
            {"of_hold": hold.hold, "of_account": hold.account, "lost": terms.lost}
        )

    def _note(
        self, account: _Row, terms: Terms, *, short: bool = False
    ) -> list[tuple[BudgetStatus, int]]:
        new = account.reached(terms.thresholds, short=short)
        if new:
            self._changed.add(account.id)
        return [(account.describe(terms), share) for share in new]

    # ------------------------------------------------------------------------ writing

    def write(self) -> None:
        """Write back what was changed."""
        run = self._connection.execute
        if self._changed:
            rows = [_values_of(self._rows[one]) for one in sorted(self._changed)]
            run(_UPDATE_ACCOUNT, [{**row, "of_id": row["id"]} for row in rows])
        if self._new:
            run(_NEW_HOLD, self._new)
        if self._ended:
            run(_END_HOLD, {"holds": self._ended})
        if self._lost:
            run(_UPDATE_HOLD, self._lost)


_LOCK: Final = 0x63657265  # any number that is ours alone
_KNOWN_MOST: Final = 50_000
_NOTHING: Final = Answer()

_NOW: Final = text("SELECT extract(epoch FROM clock_timestamp())")

# Built once: to build a statement takes longer than to run it.
_TOUCHED: Final = select(_holds.c.account).where(
    _holds.c.hold.in_(bindparam("holds", expanding=True))
)
_LOCKED: Final = (
    select(_accounts)
    .where(_accounts.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(_accounts.c.id)
    .with_for_update()
)
_HOLDS: Final = select(_holds).where(
    _holds.c.hold.in_(bindparam("holds", expanding=True))
)
_OVER: Final = select(_holds).where(
    _holds.c.account.in_(bindparam("ids", expanding=True)),
    _holds.c.lost == "",
    _holds.c.until_us <= bindparam("now_us"),
)
_NEW_HOLD: Final = _holds.insert()
_END_HOLD: Final = delete(_holds).where(
    _holds.c.hold.in_(bindparam("holds", expanding=True))
)
_CHANGING: Final = (
    "limit_usd",
    "spent_usd",
    "reserved_usd",
    "assumed_usd",
    "calls",
    "unpriced",
    "told",
    "kept_until_s",
)
_UPDATE_ACCOUNT: Final = (
    update(_accounts)
    .where(_accounts.c.id == bindparam("of_id"))
    .values({name: bindparam(name) for name in _CHANGING})
)
_UPDATE_HOLD: Final = (
    update(_holds)
    .where(_holds.c.hold == bindparam("of_hold"))
    .where(_holds.c.account == bindparam("of_account"))
    .values(lost=bindparam("lost"))
)

# Engines of a parent process, never used nor let go of in its child.
_of_parents: list[Engine] = []


def _insert(connection: Connection, table: Table) -> Any:
    """Return an insert that knows what to do about rows that are there."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _values_of(row: _Row, *, new: bool = False) -> dict[str, Any]:
    """Return the columns of an account; for a new one, those that never change too."""
    values: dict[str, Any] = {
        "id": row.id,
        "limit_usd": row.limit,
        "spent_usd": row.spent,
        "reserved_usd": row.reserved,
        "assumed_usd": row.assumed,
        "calls": row.calls,
        "unpriced": row.unpriced,
        "told": json.dumps(sorted(row.told)),
        "kept_until_s": row.kept_until_s,
    }
    if new:
        terms = cast("Terms", row.terms)
        values |= {
            "budget": terms.name,
            "per": terms.per,
            "time_window": terms.window.name,
            "period": json.dumps(row.period.label),
            "start_s": row.period.start_s,
            "end_s": row.period.end_s,
            "account_key": json.dumps(row.key),
        }
    return values


def _row_of(read: Row[Any], wanted: _Row | None = None) -> _Row:
    """Return an account as it was read.

    Args:
        read: The row.
        wanted: What its next user says of it: its limit, and how long to keep it.
    """
    period = Period(json.loads(read.period), read.start_s, read.end_s)
    row = _Row(json.loads(read.account_key), period, read.limit_usd)
    row.id = read.id
    row.terms = None
    row.kept_until_s = read.kept_until_s
    if wanted is not None:
        row.limit, row.terms = wanted.limit, wanted.terms
        if row.kept_until_s is not None and wanted.kept_until_s is not None:
            row.kept_until_s = max(row.kept_until_s, wanted.kept_until_s)
    row.spent = read.spent_usd
    row.reserved = read.reserved_usd
    row.assumed = read.assumed_usd
    row.calls = read.calls
    row.unpriced = read.unpriced
    row.told = set(json.loads(read.told))
    return row


def _look(connection: Connection, terms: Terms, now_s: float) -> list[_Row]:
    """Return a budget's accounts; reservations that are over are taken as given up."""
    query = select(_accounts).where(
        _accounts.c.budget == terms.name,
        _accounts.c.per == terms.per,
        _accounts.c.time_window == terms.window.name,
        or_(_accounts.c.end_s.is_(None), _accounts.c.end_s > now_s),
        or_(_accounts.c.kept_until_s.is_(None), _accounts.c.kept_until_s > now_s),
    )
    rows = {read.id: _row_of(read) for read in connection.execute(query)}
    over = (
        select(_holds)
        .join(_accounts, _accounts.c.id == _holds.c.account)
        .where(
            _accounts.c.budget == terms.name,
            _holds.c.lost == "",
            _holds.c.until_us <= int(now_s * _MICRO),
        )
    )
    for hold in connection.execute(over):
        if hold.account in rows:
            account = rows[hold.account]
            account.lose(hold.amount_usd, known=hold.known, lost=terms.lost)
    return list(rows.values())


def _terms_of(row: Row[Any]) -> Terms:
    """Return what was agreed, as the store knows it."""
    return Terms(
        name=row.name,
        per=row.per,
        window=Window.named(row.time_window),
        limit=row.limit_usd,
        limits={key: int(count) for key, count in json.loads(row.limits).items()},
        action=row.action,
        lease_s=0.0,
        lost=row.lost,
        thresholds=(),
    )


def _said_of(terms: Terms) -> tuple[Any, ...]:
    return terms.name, terms.per, terms.window.name, terms.limit, terms.action


def _may_pass(error: exc.DBAPIError) -> bool:
    """Tell whether the same may succeed if it is tried again."""
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or state in _AGAIN:
        return True
    told = str(error.orig)
    return "locked" in told or "no such table" in told


def _set_up(connection: Any, _: object) -> None:
    """Let PostgreSQL end what takes too long, and see what others have just written."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '5s'")
        cursor.execute("SET statement_timeout = '10s'")
        cursor.execute("SET default_transaction_isolation = 'read committed'")
    connection.commit()
