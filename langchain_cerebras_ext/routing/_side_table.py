"""A table of our own beside a ledger's, made when it is first written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from langchain_cerebras_ext.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine, Executable, Table

    from langchain_cerebras_ext.costs.ledger import Ledger

__all__ = ["SideTable"]

T = TypeVar("T")


class SideTable:
    """Rows in a ledger's database.

    Args:
        ledger: The ledger.
        table: Its columns.
        at: The column that says when a row was made: of two processes, the one that
            was told later is right.
        what: What it holds, for messages: `The scores of ...`.
    """

    def __init__(self, ledger: Ledger, table: Table, *, at: str, what: str) -> None:
        self._ledger = ledger
        self._table = table
        self._at = at
        self._what = what
        self._is_there = False

    def write(self, rows: Sequence[dict[str, Any]], *, announce: bool = False) -> None:
        """Insert rows, or put them in the place of older ones.

        Args:
            rows: By the columns' names.
            announce: Whether those who look at the ledger should look again.

        Raises:
            LedgerError: The database does not take them.
        """
        self._ask(lambda engine: self._insert(engine, rows, announce=announce))

    def read(self, query: Executable) -> list[Any]:
        """Return the rows of a query; none where nothing was ever written.

        Raises:
            LedgerError: The database cannot be read.
        """
        return self._ask(lambda engine: self._select(engine, query))

    def _insert(
        self, engine: Engine, rows: Sequence[dict[str, Any]], *, announce: bool
    ) -> None:
        from sqlalchemy.dialects import postgresql, sqlite

        from langchain_cerebras_ext.costs._ledger.schema import ledger

        if not self._is_there:
            self._create(engine)
        table = self._table
        make = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        statement = make(table)
        keys = list(table.primary_key.columns)
        rest = [column.name for column in table.columns if column not in keys]
        statement = statement.on_conflict_do_update(
            index_elements=keys,
            set_={name: statement.excluded[name] for name in rest},
            where=table.c[self._at] <= statement.excluded[self._at],
        )
        with engine.begin() as connection:
            connection.execute(statement, list(rows))
            if announce:
                more = {"revision": ledger.c.revision + 1}
                connection.execute(ledger.update().values(more))

    def _create(self, engine: Engine) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._table.create(engine, checkfirst=True)
        except SQLAlchemyError:
            # Another process may have been quicker; if not, this says so.
            self._table.create(engine, checkfirst=True)
        self._is_there = True

    def _select(self, engine: Engine, query: Executable) -> list[Any]:
        from sqlalchemy import inspect

        from langchain_cerebras_ext.costs._ledger.engine import READ

        reader = engine.execution_options(**{READ: True})
        with reader.connect() as connection:
            if not inspect(connection).has_table(self._table.name):
                return []
            return list(connection.execute(query))

    def _ask(self, question: Callable[[Engine], T]) -> T:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return question(self._ledger.engine)
        except SQLAlchemyError as error:
            self._is_there = False
            cause = type(getattr(error, "orig", None) or error).__name__
            msg = (
                f"{self._what} cannot be kept in or read from {self._ledger.url}: "
                f"{cause}. Check that the database is there and may be written."
            )
            raise LedgerError(msg) from error
