"""The windows of budgets: how time is cut, and which piece a moment is in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, get_args

from langchain_cerebras_ext.errors import CerebrasConfigurationError

__all__ = ["NAMES", "Period", "Window", "WindowName", "includes", "moment"]

WindowName: TypeAlias = Literal[
    "minute", "hour", "day", "week", "month", "run", "total"
]
NAMES: Final[tuple[str, ...]] = get_args(WindowName)

_DAY_S: Final = 86_400
_FIXED_S: Final = {"minute": 60, "hour": 3_600, "day": _DAY_S}
_FIRST_MONDAY_S: Final = 4 * _DAY_S  # 1970-01-05
_WEEK_S: Final = 7 * _DAY_S
_LONGEST_MONTH_S: Final = 31 * _DAY_S

_IDLE_S: Final = 300.0
_LONGEST_IDLE_S: Final = 21_600.0
_RUN_IDLE_S: Final = float(_DAY_S)


class Period(NamedTuple):
    """One window in time.

    Attributes:
        label: Its name, unique for a budget: when it begins, or the run's id.
        start_s: When it begins, in seconds since 1970 (UTC), where it does.
        end_s: When the next one begins, where it does.
    """

    label: str
    start_s: int | None = None
    end_s: int | None = None


def includes(period: Period, now_s: float) -> bool:
    """Tell whether a moment is in a window; one without an end is always now."""
    if period.start_s is None or period.end_s is None:
        return True
    return period.start_s <= now_s < period.end_s


class Window:
    """How a budget cuts time.

    Args:
        given: A name, or a length: time is then cut into pieces of that length, counted
            from 1970-01-01 00:00 UTC.

    Attributes:
        name: What it is called: the name, or the length as `21600s`.
        idle_s: For how long the account of a window that has ended is kept, in case
            that the clock is set back.

    Raises:
        CerebrasConfigurationError: It is neither.
    """

    __slots__ = ("_length_s", "_offset_s", "idle_s", "name")

    def __init__(self, given: Any) -> None:
        self._offset_s = 0
        self._length_s: int | None = None
        if isinstance(given, timedelta):
            self._length_s = _whole_seconds(given)
            self.name = f"{self._length_s}s"
        elif given in NAMES:
            self.name = str(given)
            self._length_s = _FIXED_S.get(self.name)
            if self.name == "week":
                self._length_s, self._offset_s = _WEEK_S, _FIRST_MONDAY_S
        else:
            raise CerebrasConfigurationError(_wrong(given))
        if self.name == "run":
            self.idle_s = _RUN_IDLE_S
        else:
            self.idle_s = min(max(self.span_s, _IDLE_S), _LONGEST_IDLE_S)

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the window of a name, as stores keep it.

        Raises:
            CerebrasConfigurationError: There is none.
        """
        digits = name.removesuffix("s")
        return cls(timedelta(seconds=int(digits)) if digits.isdecimal() else name)

    @property
    def span_s(self) -> float:
        """How long a window lasts at most; for a run's and an endless one, 0."""
        if self.name in {"run", "total"}:
            return 0.0
        return float(self._length_s or _LONGEST_MONTH_S)

    def period(self, now_s: float, run: str | None) -> Period:
        """Return the window that a moment is in.

        Args:
            now_s: Seconds since 1970 (UTC).
            run: The trace's id, for a window of a run.
        """
        length = self._length_s
        if length is not None:
            start = int((now_s - self._offset_s) // length) * length + self._offset_s
            return Period(f"{moment(start):%Y-%m-%dT%H:%M:%SZ}", start, start + length)
        if self.name == "month":
            return _month(now_s)
        if self.name == "run":
            return Period(run or "")
        return Period("")


def moment(seconds: float) -> datetime:
    """Return seconds since 1970 as a time of day in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _month(now_s: float) -> Period:
    first = moment(now_s).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = (first + timedelta(days=32)).replace(day=1)
    label = f"{first:%Y-%m-%dT%H:%M:%SZ}"
    return Period(label, int(first.timestamp()), int(after.timestamp()))


def _whole_seconds(given: timedelta) -> int:
    seconds = int(given.total_seconds())
    if seconds < 1 or timedelta(seconds=seconds) != given:
        msg = f"window={given!r} must be a whole number of seconds, 1 or more."
        raise CerebrasConfigurationError(msg)
    return seconds


def _wrong(given: Any) -> str:
    names = ", ".join(repr(name) for name in NAMES)
    return f"window={given!r} must be one of {names}, or a timedelta."
