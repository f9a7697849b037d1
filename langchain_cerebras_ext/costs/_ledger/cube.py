"""Totals by several dimensions at once, from which others are added up; pure."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003
from datetime import date
from operator import add
from typing import Final

__all__ = ["Cube", "Numbers", "Values", "month_of"]

Numbers = tuple[int, ...]
"""What something is known by."""

Values = tuple[int, ...]
"""Sums. A tuple of numbers is nothing that the garbage collector has to look at."""

_TIMES: Final = ("hour", "day", "month")


class Cube:
    """Sums of measures for each combination of numbers.

    Args:
        keys: What the numbers are of: `hour` or `day` first, if any of them; other
            dimensions; `state` last.
        rows: The sums.
    """

    def __init__(self, keys: tuple[str, ...], rows: dict[Numbers, Values]) -> None:
        self.keys = keys
        self._rows = rows
        self._timeless: dict[Numbers, Values] | None = None

    def by(self, names: Sequence[str]) -> dict[Numbers, Values]:
        """Return the sums for each combination of some dimensions and the state."""
        keys, rows = self.keys, self._rows
        if keys[0] in _TIMES and not set(names).intersection(_TIMES):
            # Most questions are not of time: it is added up once.
            if self._timeless is None:
                self._timeless = _add_up(
                    rows, [(at, None) for at in range(1, len(keys))]
                )
            keys, rows = keys[1:], self._timeless
        return _add_up(rows, [_place(keys, name) for name in (*names, "state")])


def _place(keys: tuple[str, ...], name: str) -> tuple[int, str | None]:
    """Return where a dimension is, and which unit of time it is made into."""
    if name in _TIMES:
        return 0, None if name == keys[0] else f"{keys[0]} {name}"
    return keys.index("state" if name == "outcome" else name), None


def _add_up(
    rows: dict[Numbers, Values], places: list[tuple[int, str | None]]
) -> dict[Numbers, Values]:
    readers = [(at, None if how is None else _CALENDAR[how]) for at, how in places]
    found: dict[Numbers, Values] = {}
    for numbers, values in rows.items():
        key = tuple(
            [
                numbers[at] if convert is None else convert(numbers[at])
                for at, convert in readers
            ]
        )
        have = found.get(key)
        found[key] = values if have is None else tuple(map(add, have, values))
    return found


def _day_of_hour(hour: int) -> int:
    return hour // 24


def month_of(day: int) -> int:
    """Return the first day of a day's month, both counted from the year 1."""
    return day - date.fromordinal(day + 1).day + 1


def _month_of_hour(hour: int) -> int:
    return month_of(hour // 24)


_CALENDAR: Final = {
    "hour day": _day_of_hour,
    "hour month": _month_of_hour,
    "day month": month_of,
}
