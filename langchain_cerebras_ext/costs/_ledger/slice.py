"""Several answers about the same records, from few readings."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, cast

from langchain_cerebras_ext.costs._ledger.bins import from_bins, from_values
from langchain_cerebras_ext.costs._ledger.codec import SECONDS, from_pico
from langchain_cerebras_ext.costs._ledger.queries import BY_BINS, FEW, Asked, Keys
from langchain_cerebras_ext.costs.report import Filter, Group, Totals, check_dimensions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from decimal import Decimal

    from langchain_cerebras_ext.costs._ledger.cube import Cube
    from langchain_cerebras_ext.costs._ledger.store import Store

__all__ = ["Percentiles", "Slice"]

T = TypeVar("T")
Percentiles = tuple[Keys, int, tuple[float | None, ...]]

MOST: Final = 30_000
"""A cube of more rows is not worth it: each question is asked by itself."""

NEWEST: Final = 10_000
"""Where only rows tell, percentiles are of so many newest ones."""

_MANY: Final = {"user", "tag", "session"}
_CORE: Final = ("model", "provider", "node", "arm", "error_type")
_OF_TAGS: Final = ("model", "provider", "arm")
_NOT_OF_TAGS: Final = ("node", "error_type")
_TIMED: Final = ("model", "arm")
# Of what `Asked.timed` returns with these dimensions.
_ARM, _OUTCOME, _COST = 1, 2, 3


class Ask(Protocol):
    """Runs a question, and turns the database's errors into ours."""

    def __call__(self, question: Callable[[], T]) -> T:
        """Return its answer."""
        ...


class Slice:
    """The records that a filter takes, as they are when they are first asked about.

    Totals by what has few values come from one reading for all of them. Safe in any
    thread: two that need the same reading get one.

    Args:
        store: The tables.
        ask: Runs a question.
        filter: Which records.
        unit: The smallest unit of time that is asked for.
    """

    def __init__(
        self,
        store: Store,
        ask: Ask,
        filter: Filter,  # noqa: A002
        unit: Literal["hour", "day"],
    ) -> None:
        self._store = store
        self._ask = ask
        self._filter = filter
        self._unit = unit
        self._lock = threading.Lock()
        self._locks: dict[Any, threading.Lock] = {}
        self._kept: dict[Any, Any] = {}

    def totals(self) -> Totals:
        """Return the totals of all of it."""
        groups = self.report(())
        return groups[0].totals if groups else Totals()

    def report(self, by: Iterable[str], limit: int | None = None) -> list[Group]:
        """Return totals, dearest first: the same as `Ledger.report`."""
        asked = self._asked(by)
        cube = self._cube(asked.by)
        if cube is None:
            return self._ask(lambda: asked.groups(limit))
        return self._ask(lambda: asked.groups_of(cube, limit))

    def has(self, dimension: str) -> bool:
        """Whether totals by a dimension cost nothing more."""
        return self._cube(check_dimensions((dimension,))) is not None

    def newest_costs(self, arm: str | None, limit: int, rows: int) -> list[Decimal]:
        """Return what an arm's newest calls have cost, as far as it is known.

        All tries of a call are one, and of a router's call.

        Args:
            arm: The arm.
            limit: How many tries to look at.
            rows: How many rows the arm has here.
        """
        newest, is_all = self._once("rows", self._newest)
        found = [row for row in newest if row[_ARM] == arm][:limit]
        if not is_all and len(found) < limit:
            asked = self._asked(_TIMED, arm=arm)
            found = self._ask(lambda: asked.timed(limit, rows))
        costs: dict[Any, int] = {}
        before: dict[Any, int] = {}  # of tries that were billed and repeated
        for place, row in enumerate(found):
            if row[_COST] is not None:
                call = row[-2] or row[-1] or place
                sums = before if row[_OUTCOME] == "retried" else costs
                sums[call] = sums.get(call, 0) + row[_COST]
        for call in before.keys() & costs.keys():
            costs[call] += before[call]
        return [from_pico(cost) for cost in costs.values()]

    def percentiles(
        self, field: str, by: str, at: Sequence[float]
    ) -> tuple[list[Percentiles], int | None]:
        """Return percentiles of a latency, as `Ledger.percentiles` does.

        Returns:
            What `Ledger.percentiles` returns; and, where they are of the newest calls
            only, of how many.
        """
        if by not in _TIMED:
            asked = self._asked((by,))
            return self._ask(lambda: asked.percentiles(field, at)), None
        place = _TIMED.index(by)
        bins = self._once(("bins", field), lambda: self._asked(_TIMED).bins(field))
        if bins is not None:
            counted = _merge_bins(bins, place)
            return (
                _ordered(
                    (key, sum(counts.values()), from_bins(counts, at))
                    for key, counts in counted.items()
                ),
                None,
            )
        rows, is_all = self._once("rows", self._newest)
        if not is_all and BY_BINS.issuperset(self._needs()):
            # Few values, or less than a day.
            asked = self._asked((by,))
            return self._ask(lambda: asked.percentiles(field, at)), None
        values: dict[Keys, list[float]] = {}
        column = _COST + 1 + SECONDS.index(field)
        for row in rows:
            if row[column] is not None:
                values.setdefault((row[place],), []).append(row[column])
        timed = _ordered(
            (key, len(some), from_values(some, at)) for key, some in values.items()
        )
        return timed, None if is_all else NEWEST

    # ---------------------------------------------------------------------- parts

    def _asked(self, by: Iterable[str], **others: str | None) -> Asked:
        import msgspec

        chosen = {name: (value,) for name, value in others.items()}
        wanted = msgspec.structs.replace(self._filter, **chosen)
        return Asked(self._store, by, wanted)

    def _once(self, key: Any, work: Callable[[], T]) -> T:
        """Work something out for all who ask; a failure is not kept."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._kept:
                self._kept[key] = self._ask(work)
            return cast("T", self._kept[key])

    def _needs(self) -> frozenset[str]:
        return self._once("needs", self._asked(()).needs)

    def _cube(self, by: tuple[str, ...]) -> Cube | None:
        """Return what tells the totals by some dimensions; `None` if nothing does."""
        if _MANY.intersection(by) or ("hour" in by and self._unit != "hour"):
            return None
        needs = self._needs()
        dimensions: tuple[str, ...] = (self._unit, *_CORE)
        has_tags = "tag" in needs and needs <= {"tag", "outcome", *_OF_TAGS}
        if has_tags and self._unit == "day":
            # A smaller table knows most of it.
            if not set(by).intersection(_NOT_OF_TAGS):
                dimensions = (self._unit, *_OF_TAGS)
            elif {*_NOT_OF_TAGS, "outcome"}.issuperset(by):
                dimensions = _NOT_OF_TAGS
            else:
                return None
        asked = self._asked(dimensions)
        return self._once(dimensions, lambda: asked.cube(MOST))

    def _newest(self) -> tuple[list[tuple[Any, ...]], bool]:
        """Return the newest rows with models, arms and latencies; whether it is all."""
        totals = self.totals()
        count = totals.calls + totals.retries
        limit = count if count <= FEW else NEWEST
        return self._asked(_TIMED).timed(limit, count), count <= FEW


def _merge_bins(
    bins: dict[Keys, dict[int, int]], place: int
) -> dict[Keys, dict[int, int]]:
    found: dict[Keys, dict[int, int]] = {}
    for keys, counts in bins.items():
        have = found.setdefault((keys[place],), {})
        for number, count in counts.items():
            have[number] = have.get(number, 0) + count
    return found


def _ordered(found: Iterable[Percentiles]) -> list[Percentiles]:
    """Return those of the most records first."""
    return sorted(found, key=lambda one: (-one[1], one[0][0] is not None, one[0][0]))
