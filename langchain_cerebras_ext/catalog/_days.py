"""Days are UTC days, and "today" is read from the clock in one place."""

from __future__ import annotations

from datetime import UTC, date, datetime

__all__ = ["utc_day"]


def utc_day(on: date | None = None) -> date:
    """Return the day that is meant: today in UTC if none is given.

    Args:
        on: A day, or a moment, which stands for its day in UTC; a moment without a
            time zone is taken as UTC.
    """
    if on is None:
        return datetime.now(UTC).date()
    if isinstance(on, datetime):
        return (on if on.tzinfo is None else on.astimezone(UTC)).date()
    return on
