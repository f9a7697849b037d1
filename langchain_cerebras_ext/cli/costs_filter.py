"""What `cerebras-ext costs` is asked for: times, dimensions and filters, as typed."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.cli.failures import CommandError
from langchain_cerebras_ext.costs.records import OUTCOMES, utc_now
from langchain_cerebras_ext.costs.report import DIMENSIONS, Filter, check_dimensions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_cerebras_ext.costs.report import Dimension

__all__ = ["NOT_GIVEN", "Asked", "read_dimensions", "read_filter", "read_moment"]

NOT_GIVEN: Final = "-"
"""Stands for calls that have no user, tag or the like."""

_SPAN: Final = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS: Final = {
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
}
_MONTH: Final = re.compile(r"\d{4}-\d{2}")
_HINT: Final = (
    "Give a span back from now as 30m, 24h, 7d or 2w; a month, day or time in UTC as "
    "2026-11, 2026-11-01 or 2026-11-01T12:30; or today, yesterday."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which calls the command line asked for.

    Attributes:
        since: From when on, as typed.
        until: Before when, as typed.
        values: Wanted values by dimension.
    """

    since: str | None = None
    until: str | None = None
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_moment(option: str, text: str, now: datetime | None = None) -> datetime:
    """Return the moment that a user means, in UTC.

    Args:
        option: The option's name, for the message.
        text: As `7d`, `2026-11-01`, `2026-11`, `2026-11-01T12:30+01:00`, `today`.
        now: The time; that of the clock if not given.

    Raises:
        CommandError: It is none.
    """
    now = now or utc_now()
    word = text.strip().lower()
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"now": now, "today": today, "yesterday": today - timedelta(days=1)}
    if word in days:
        return days[word]
    try:
        if span := _SPAN.fullmatch(word):
            return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        whole = f"{word}-01" if _MONTH.fullmatch(word) else text.strip()
        found = datetime.fromisoformat(whole)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        msg = f"{option} is {text!r}. {_HINT}"
        raise CommandError(msg) from None


def read_filter(asked: Asked, now: datetime | None = None) -> Filter:
    """Return the filter that a command line means.

    Raises:
        CommandError: A time or value is wrong, or the times are the wrong way round.
    """
    since = (
        read_moment("--since", asked.since, now) if asked.since is not None else None
    )
    until = (
        read_moment("--until", asked.until, now) if asked.until is not None else None
    )
    if since and until and since >= until:
        msg = (
            f"--since {asked.since} is not before --until {asked.until}: nothing lies "
            "between them."
        )
        raise CommandError(msg)
    for outcome in asked.values.get("outcome", ()):
        if outcome not in OUTCOMES:
            msg = f"--outcome is {outcome!r}.{_like(outcome, OUTCOMES)}"
            raise CommandError(msg)
    values: dict[str, Any] = {
        name: tuple(None if one == NOT_GIVEN else one for one in given)
        for name, given in asked.values.items()
    }
    return Filter(since=since, until=until, **values)


def read_dimensions(given: Iterable[str]) -> tuple[Dimension, ...]:
    """Return the dimensions of `--by model,user`, which may be repeated.

    Raises:
        CommandError: There is no such dimension.
    """
    names = [
        name.strip().lower().replace("-", "_")
        for part in given
        for name in part.split(",")
        if name.strip()
    ]
    for name in names:
        if name not in DIMENSIONS:
            msg = f"--by is {name!r}.{_like(name, DIMENSIONS)}"
            raise CommandError(msg)
    return check_dimensions(names)


def _like(wrong: str, known: Sequence[str]) -> str:
    """Return which words there are, and the one that was likely meant."""
    near = difflib.get_close_matches(wrong, known, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"{meant} Give one of {', '.join(known)}."
