"""What answers were worth: kept in memory, or in a ledger's database."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_cerebras_ext.routing._side_table import SideTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table

    from langchain_cerebras_ext.costs.ledger import Ledger

__all__ = ["Score", "Scores"]

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
        self._rows_there: _Rows | None = None
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

    def _rows(self, ledger: Ledger) -> _Rows:
        if self._rows_there is None:
            self._rows_there = _Rows(ledger, self._experiment)
        return self._rows_there


class _Rows:
    """Those of one experiment in a ledger's database."""

    def __init__(self, ledger: Ledger, experiment: str) -> None:
        self._experiment = experiment
        self._table = _make_table()
        what = f"The scores of experiment {experiment!r}"
        self._rows = SideTable(ledger, self._table, at="scored_at_us", what=what)

    def write(self, scores: Sequence[Score]) -> None:
        self._rows.write(
            [
                {
                    "experiment": self._experiment,
                    "run_id": score.run_id,
                    "name": score.name,
                    "value": score.value,
                    "scored_at_us": (score.at - _EPOCH) // _MICRO,
                }
                for score in scores
            ]
        )

    def read(self) -> list[Score]:
        from sqlalchemy import select

        of = self._table.c
        query = select(of.run_id, of.name, of.value, of.scored_at_us)
        found = self._rows.read(query.where(of.experiment == self._experiment))
        return [
            Score(run_id, name, value, _EPOCH + at * _MICRO)
            for run_id, name, value, at in found
        ]


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
