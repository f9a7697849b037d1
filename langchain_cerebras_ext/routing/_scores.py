"""What answers were worth: kept in memory, or in a ledger's database."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from langchain_cerebras_ext.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine, Table

    from langchain_cerebras_ext.costs.ledger import Ledger

__all__ = ["Score", "Scores"]

T = TypeVar("T")

_MOST: Final = 100_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)


class Score(NamedTuple):
    """What one answer was worth.

    Attributes:
        run_id: Of its run or trace.
        name: Of the measure.
        value: More is better.
        at: When it was said.
    """

    run_id: str
    name: str
    value: float
    at: datetime


class Scores:
    """The scores of one experiment. Safe for threads.

    Args:
        experiment: Its name.
        ledger: Whose database keeps them; `None` is memory.
    """

    def __init__(self, experiment: str, ledger: Ledger | None) -> None:
        self._experiment = experiment
        self._ledger = ledger
        self._table: _Table | None = None
        self._lock = threading.Lock()
        # Without a ledger all of them; with one, those that it has not taken yet.
        self._here: dict[tuple[str, str], Score] = {}

    def add(self, run_id: str, name: str, value: float, at: datetime) -> None:
        """Keep a score; an earlier one of that name goes.

        Raises:
            LedgerError: The database did not take it; it stays in memory.
        """
        key = (run_id, name)
        with self._lock:
            self._here.pop(key, None)
            self._here[key] = Score(run_id, name, value, at)
            while len(self._here) > _MOST:
                del self._here[next(iter(self._here))]
            waiting = list(self._here.values())
        if self._ledger is None:
            return
        self._rows(self._ledger).write(waiting)
        with self._lock:
            for score in waiting:
                if self._here.get((score.run_id, score.name)) is score:
                    del self._here[score.run_id, score.name]

    def read(self) -> list[Score]:
        """Return all of them.

        Raises:
            LedgerError: The database cannot be read.
        """
        found: dict[tuple[str, str], Score] = {}
        if self._ledger is not None:
            rows = self._rows(self._ledger).read()
            found = {(score.run_id, score.name): score for score in rows}
        with self._lock:
            found.update(self._here)
        return list(found.values())

    def _rows(self, ledger: Ledger) -> _Table:
        if self._table is None:
            self._table = _Table(ledger, self._experiment)
        return self._table


class _Table:
    """The rows in a ledger's database."""

    def __init__(self, ledger: Ledger, experiment: str) -> None:
        self._ledger = ledger
        self._experiment = experiment
        self._table = _make_table()
        self._is_there = False

    def write(self, scores: Sequence[Score]) -> None:
        rows = [
            {
                "experiment": self._experiment,
                "run_id": score.run_id,
                "name": score.name,
                "value": score.value,
                "scored_at_us": (score.at - _EPOCH) // _MICRO,
            }
            for score in scores
        ]
        self._ask(lambda engine: self._insert(engine, rows))

    def read(self) -> list[Score]:
        return self._ask(self._select)

    def _insert(self, engine: Engine, rows: list[dict[str, Any]]) -> None:
        from sqlalchemy.dialects import postgresql, sqlite

        if not self._is_there:
            self._create(engine)
        table = self._table
        make = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        statement = make(table)
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={
                "value": statement.excluded.value,
                "scored_at_us": statement.excluded.scored_at_us,
            },
            # Of two processes, the one that was told later is right.
            where=table.c.scored_at_us <= statement.excluded.scored_at_us,
        )
        with engine.begin() as connection:
            connection.execute(statement, rows)

    def _create(self, engine: Engine) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._table.create(engine, checkfirst=True)
        except SQLAlchemyError:
            # Another process may have been quicker; if not, this says so.
            self._table.create(engine, checkfirst=True)
        self._is_there = True

    def _select(self, engine: Engine) -> list[Score]:
        from sqlalchemy import inspect, select

        from langchain_cerebras_ext.costs._ledger.engine import READ

        table = self._table
        reader = engine.execution_options(**{READ: True})
        with reader.connect() as connection:
            if not inspect(connection).has_table(table.name):
                return []
            columns = (
                table.c.run_id,
                table.c.name,
                table.c.value,
                table.c.scored_at_us,
            )
            wanted = select(*columns).where(table.c.experiment == self._experiment)
            return [
                Score(run_id, name, value, _EPOCH + at * _MICRO)
                for run_id, name, value, at in connection.execute(wanted)
            ]

    def _ask(self, question: Callable[[Engine], T]) -> T:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return question(self._ledger.engine)
        except SQLAlchemyError as error:
            self._is_there = False
            cause = type(getattr(error, "orig", None) or error).__name__
            msg = (
                f"The scores of experiment {self._experiment!r} cannot be kept in or "
                f"read from {self._ledger.url}: {cause}. Check that the database is "
                "there and may be written."
            )
            raise LedgerError(msg) from error


def _make_table() -> Table:
    from sqlalchemy import BigInteger, Column, Double, MetaData, Table, Text

    return Table(
        "cerebras_experiment_scores",
        MetaData(),
        Column("experiment", Text, primary_key=True),
        Column("run_id", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("value", Double, nullable=False),
        Column("scored_at_us", BigInteger, nullable=False),
    )
