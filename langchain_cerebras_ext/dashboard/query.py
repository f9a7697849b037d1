"""A query string to what is looked at: times, filter, size of a bucket; pure.

The page's own address has the same names, so that a link shows what its sender saw.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable  # noqa: TC003 - read by msgspec
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from langchain_cerebras_ext.costs.records import OUTCOMES
from langchain_cerebras_ext.costs.report import Filter

__all__ = [
    "OFFSET_MAX",
    "RANGES",
    "SPLITS",
    "Options",
    "QueryError",
    "View",
    "read_view",
]

Bucket = Literal["hour", "day", "month"]

SPLITS: Final = (
    "model",
    "provider",
    "user",
    "tag",
    "node",
    "arm",
    "session",
    "outcome",
    "error_type",
)
"""What calls can be filtered by, in the order of the page."""

GROUPS: Final = tuple(name for name in SPLITS if name != "session")
"""What totals are split by: there may be as many sessions as calls."""

RANGES: Final = {
    "1h": "last hour",
    "24h": "last 24 hours",
    "7d": "last 7 days",
    "30d": "last 30 days",
    "90d": "last 90 days",
    "12m": "last 12 months",
    "all": "all time",
    "custom": "custom",
}
DEFAULT_RANGE: Final = "30d"

VALUES_MAX: Final = 50
LENGTH_MAX: Final = 1_000
LIMIT_MAX: Final = 1_000
OFFSET_MAX: Final = 10_000
_HOURLY: Final = timedelta(days=3)
_DAILY: Final = timedelta(days=190)
_DAYS: Final = {"7d": 7, "30d": 30, "90d": 90}
_LENGTHS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    **{name: timedelta(days=days) for name, days in _DAYS.items()},
    "12m": timedelta(days=365),
}
_BUCKETS: Final[dict[str, Bucket]] = {
    "1h": "hour",
    "24h": "hour",
    "7d": "day",
    "30d": "day",
    "90d": "day",
    "12m": "month",
}
_MONTHS: Final = 12
_SHOWN: Final = 80


class QueryError(ValueError):
    """A parameter is wrong.

    Attributes:
        name: The parameter's name.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a table is asked for besides the filter.

    Attributes:
        by: What to split by.
        sort: What decides the order.
        limit: How many rows.
        offset: How many rows come before them.
        on: Models to price the calls with instead.
        find: Part of a name.
        format: `json` or `csv`.
    """

    by: str = "model"
    sort: str = "cost"
    limit: int = 10
    offset: int = 0
    on: tuple[str, ...] = ()
    find: str = ""
    format: str = "json"


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at.

    Attributes:
        range: A key of `RANGES`.
        since: From this time on (UTC); `None` is from the first record on.
        until: Before this time (UTC); `None` is up to now.
        now: When it was asked.
        filter: All of it, times included.
        options: What one table is asked for.
    """

    range: str
    since: datetime | None
    until: datetime | None
    now: datetime
    filter: Filter
    options: Options

    @property
    def before(self) -> Filter | None:
        """The same filter in the time of equal length just before; `None` for ever."""
        if self.since is None:
            return None
        end = min(self.until or self.now, self.now)
        length = _LENGTHS.get(self.range, end - self.since)
        try:
            since, until = self.since - length, end - length
        except OverflowError:  # before the year 1
            return None
        if until <= since:
            return None
        return msgspec.structs.replace(self.filter, since=since, until=until)

    def bucket(self, first: datetime | None, last: datetime | None) -> Bucket:
        """Return the size of a bucket for the range, or where there are records."""
        if self.range in _BUCKETS:
            return _BUCKETS[self.range]
        start = max(filter(None, (self.since, first)), default=self.now)
        end = min(filter(None, (self.until, self.now)))
        if last is not None:
            # A custom range may end long after the last record, or begin before.
            end = min(end, max(last, start))
        length = end - start
        if length <= _HOURLY:
            return "hour"
        return "day" if length <= _DAILY else "month"


def read_view(
    pairs: Iterable[tuple[str, str]],
    *,
    now: datetime,
    allowed: Collection[str] = (),
) -> View:
    """Read a query string.

    Args:
        pairs: Its names and values, decoded.
        now: The time of day (UTC).
        allowed: Names in `Options` that this table takes.

    Raises:
        QueryError: A name is unknown or a value is wrong; says the rule.
    """
    values: dict[str, list[str]] = {}
    known = ("range", "since", "until", "no", *SPLITS, *allowed)
    for name, value in pairs:
        if name not in known:
            msg = f"{_show(name)} is unknown; take one of {', '.join(known)}."
            raise QueryError(msg, name[:_SHOWN])
        if len(value) > LENGTH_MAX or "\0" in value:
            msg = (
                f"{name} has a value that is not valid; it must have at most "
                f"{LENGTH_MAX} characters and no null character."
            )
            raise QueryError(msg, name)
        values.setdefault(name, []).append(value)
    chosen = _read_choices(values)
    span, since, until = _read_times(values, now)
    return View(
        range=span,
        since=since,
        until=until,
        now=now,
        filter=Filter(since=since, until=until, **chosen),
        options=_read_options(values, allowed),
    )


# --------------------------------------------------------------------------- filters


def _read_choices(values: dict[str, list[str]]) -> dict[str, tuple[str | None, ...]]:
    unknown = values.get("no", [])
    for name in unknown:
        if name not in SPLITS:
            msg = f"no={_show(name)} is unknown; take one of {', '.join(SPLITS)}."
            raise QueryError(msg, "no")
    chosen: dict[str, tuple[str | None, ...]] = {}
    for name in SPLITS:
        found: list[str | None] = [*dict.fromkeys(values.get(name, ()))]
        if name in unknown:
            found.append(None)
        if len(found) > VALUES_MAX:
            msg = f"{name} is given {len(found)} times; at most {VALUES_MAX} are taken."
            raise QueryError(msg, name)
        if found:
            chosen[name] = tuple(found)
    for outcome in chosen.get("outcome", ()):
        if outcome not in OUTCOMES:
            msg = (
                f"outcome={_show(outcome or '')} is unknown; take one of "
                f"{', '.join(OUTCOMES)}."
            )
            raise QueryError(msg, "outcome")
    return chosen


# ----------------------------------------------------------------------------- times


def _read_times(
    values: dict[str, list[str]], now: datetime
) -> tuple[str, datetime | None, datetime | None]:
    since = _read_time(values, "since")
    until = _read_time(values, "until")
    custom = since is not None or until is not None
    span = _last(values, "range") or ("custom" if custom else DEFAULT_RANGE)
    if span not in RANGES:
        msg = f"range={_show(span)} is unknown; take one of {', '.join(RANGES)}."
        raise QueryError(msg, "range")
    if span != "custom":
        if custom:
            msg = f"since and until go with range=custom, not with range={span}."
            raise QueryError(msg, "range")
        return span, _since(span, now), None
    if since is not None and until is not None and since >= until:
        msg = f"since={since.isoformat()} must be before until={until.isoformat()}."
        raise QueryError(msg, "since")
    return span, since, until


def _since(span: str, now: datetime) -> datetime | None:
    """Return when a range begins: with a whole bucket, so that no bar is cut."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    if span == "1h":
        return now.replace(second=0, microsecond=0) - timedelta(hours=1)
    if span == "24h":
        return hour - timedelta(hours=23)
    day = hour.replace(hour=0)
    if span in _DAYS:
        return day - timedelta(days=_DAYS[span] - 1)
    if span == "12m":
        month = day.month - _MONTHS + 1
        year = day.year - (month < 1)
        return day.replace(year=year, month=month + 12 * (month < 1), day=1)
    return None


def _read_time(values: dict[str, list[str]], name: str) -> datetime | None:
    text = _last(values, name)
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        msg = (
            f"{name}={_show(text)} is no time; give it as 2026-11-21 or "
            "2026-11-21T16:30, in UTC unless it has an offset."
        )
        raise QueryError(msg, name) from None


# --------------------------------------------------------------------------- options

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "sort": ("cost", "calls", "failed"),
    "format": ("json", "csv"),
}
_NUMBERS: Final = {"limit": (1, LIMIT_MAX), "offset": (0, OFFSET_MAX)}


def _read_options(values: dict[str, list[str]], allowed: Collection[str]) -> Options:
    found: dict[str, object] = {}
    for name in allowed:
        text = _last(values, name)
        if text is None:
            continue
        if name == "by":
            # Sessions can be looked for, but not added up.
            found[name] = _choice(name, text, SPLITS if "find" in allowed else GROUPS)
        elif name in _CHOICES:
            found[name] = _choice(name, text, _CHOICES[name])
        elif name in _NUMBERS:
            found[name] = _number(name, text)
        elif name == "on":
            typed = (one.strip() for one in values[name])
            found[name] = tuple(dict.fromkeys(filter(None, typed)))[:VALUES_MAX]
        else:
            found[name] = text
    return msgspec.convert(found, Options)


def _choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        msg = f"{name}={_show(text)} is unknown; take one of {', '.join(choices)}."
        raise QueryError(msg, name)
    return text


def _number(name: str, text: str) -> int:
    low, high = _NUMBERS[name]
    # No other digits than these: `int` takes signs, blanks and other scripts too.
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(high))
    if not plain or not low <= int(text) <= high:
        msg = f"{name}={_show(text)} is not valid; give a number from {low} to {high}."
        raise QueryError(msg, name)
    return int(text)


def _last(values: dict[str, list[str]], name: str) -> str | None:
    found = values.get(name)
    return found[-1] if found else None


def _show(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
