"""`cerebras-ext costs watch`: what is being spent, while it is."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from langchain_cerebras_ext.cli.costs import open_ledger, print_json
from langchain_cerebras_ext.cli.costs_filter import Asked, read_filter
from langchain_cerebras_ext.cli.costs_tables import (
    DOUBTFUL,
    calls_sheets,
    decimal_text,
    filter_as_json,
    group_as_json,
    groups_sheets,
    instant,
    record_as_json,
    shown_time,
    totals_as_json,
)
from langchain_cerebras_ext.cli.failures import CommandError
from langchain_cerebras_ext.cli.screen import Board, Line, output_console, say
from langchain_cerebras_ext.costs._display import (
    count_calls,
    doubts,
    format_total,
    format_usd,
    total_line,
    tracker_line,
)
from langchain_cerebras_ext.costs.records import utc_now
from langchain_cerebras_ext.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from decimal import Decimal

    from rich.console import Console

    from langchain_cerebras_ext.cli.screen import Sheet
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.records import UsageRecord
    from langchain_cerebras_ext.costs.report import Filter, Group, Totals

__all__ = ["WatchOptions", "run_watch"]

_AT_TERMINAL_S: Final = 2.0
_ELSEWHERE_S: Final = 10.0
_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = 86_400.0
_RATE_MINUTES: Final = 5
_MODELS: Final = 8
_CALLS: Final = 8
_FEWEST: Final = 2
_OTHER_LINES: Final = 14


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What the command line said.

    Attributes:
        ledger: Which ledger.
        asked: Which calls.
        interval_s: How often to look; by where output goes if not given.
        once: Whether to look once and end.
        as_json: Whether to print JSON, a line for each look.
    """

    ledger: str | None = None
    asked: Asked = field(default_factory=Asked)
    interval_s: float | None = None
    once: bool = False
    as_json: bool = False


class Picture(NamedTuple):
    """What was seen at a moment.

    Attributes:
        at: When.
        wanted: Which calls.
        totals: Of all of them.
        recent: Of those of the last minutes.
        models: Totals by model, dearest first.
        newest: The newest calls, newest first.
    """

    at: datetime
    wanted: Filter
    totals: Totals
    recent: Totals
    models: list[Group]
    newest: list[UsageRecord]

    @property
    def usd_per_minute(self) -> Decimal:
        """What the last minutes have cost, a minute."""
        return self.recent.cost / _RATE_MINUTES


def run_watch(
    options: WatchOptions,
    *,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Show what is spent until Ctrl-C, and return the exit code.

    Args:
        options: What the command line said.
        clock: The time.
        sleep: Waits for seconds.

    Raises:
        CommandError: An option is wrong, or there is no ledger.
        LedgerError: The database cannot be read, at the first look.
    """
    console = output_console()
    is_live = console.is_terminal and not console.is_dumb_terminal
    pause = options.interval_s
    if pause is None:
        pause = _AT_TERMINAL_S if is_live else _ELSEWHERE_S
    if not _SHORTEST_S <= pause <= _LONGEST_S:  # `nan` is neither
        msg = (
            f"--interval is {pause:g}. Give {_SHORTEST_S:g} to {_LONGEST_S:,.0f} "
            "seconds."
        )
        raise CommandError(msg)
    read_filter(options.asked, clock())  # a wrong time is told before anything else
    with open_ledger(options.ledger) as ledger:
        looks = Looks(ledger, options.asked, clock)
        seen = looks.look()
        # Ctrl-C is how a watch ends: it is no failure, whenever it comes.
        with suppress(KeyboardInterrupt), ExitStack() as held:
            show = _print_json
            if not options.as_json and is_live:
                board = held.enter_context(Board(console))
                show = partial(_draw, board, looks)
            elif not options.as_json:
                show = partial(_write, console, looks)
            show(seen)
            while not options.once:
                sleep(pause)
                seen = looks.look_again(seen)
                show(seen)
    return 0


class Looks:
    """Looks at a ledger again and again.

    Args:
        ledger: What to look at.
        asked: Which calls; a span such as `24h` moves on with the time.
        clock: The time.

    Attributes:
        error: Why the last look failed; `None` if it did not.
    """

    def __init__(
        self, ledger: Ledger, asked: Asked, clock: Callable[[], datetime]
    ) -> None:
        self.ledger = ledger
        self.error: str | None = None
        self._asked = asked
        self._clock = clock

    def look(self) -> Picture:
        """Look.

        Raises:
            LedgerError: The database cannot be read.
        """
        now = self._clock()
        wanted = read_filter(self._asked, now)
        ledger = self.ledger
        start = now - timedelta(minutes=_RATE_MINUTES)
        recent = msgspec.structs.replace(
            wanted, since=max(start, wanted.since) if wanted.since else start
        )
        return Picture(
            now,
            wanted,
            ledger.totals(wanted),
            ledger.totals(recent),
            ledger.report(("model",), wanted, limit=_MODELS),
            list(ledger.records(wanted, limit=_CALLS, newest_first=True)),
        )

    def look_again(self, last: Picture) -> Picture:
        """Look; where that fails, keep what was seen last and say why."""
        try:
            found = self.look()
        except LedgerError as error:
            self.error = str(error)
            return last._replace(at=self._clock())
        self.error = None
        return found


# -------------------------------------------------------------------------- what shows


def _since(seen: Picture) -> str:
    since = seen.wanted.since
    return f" since {shown_time(since)} UTC" if since is not None else ""


def _rate(seen: Picture) -> str:
    """Return what the last minutes have brought, in words."""
    recent = seen.recent
    tokens = round(recent.total_tokens / _RATE_MINUTES)
    per_minute = f"{format_usd(seen.usd_per_minute)} a minute"
    if format_total(recent) == "unknown":
        per_minute = "unknown a minute"
    return (
        f"last {_RATE_MINUTES} minutes: {format_total(recent)} in "
        f"{count_calls(recent.calls)}, {per_minute}, {tokens:,} tokens a minute"
    )


def _draw(board: Board, looks: Looks, seen: Picture) -> None:
    """Draw what is seen at a terminal; a low one has fewer rows of each table."""
    totals = seen.totals
    room = max(_FEWEST, (board.height - _OTHER_LINES) // 2)
    parts: list[Line | Sequence[Sheet]] = [
        Line(f"Spent {total_line(totals)}{_since(seen)}", "bold"),
        Line(f"In the {_rate(seen)}"),
        *(Line(f"! {told}", DOUBTFUL) for told in doubts(totals)),
    ]
    if seen.models:
        parts += [Line(""), groups_sheets(seen.models[:room], ("model",), totals)]
    if seen.newest:
        parts += [Line(""), calls_sheets(seen.newest[:room])]
    if looks.error is not None:
        parts.append(Line(f"Cannot be read: {looks.error}", "red"))
    told = f"{looks.ledger.url} at {shown_time(seen.at)} UTC. Ctrl-C ends."
    board.draw([*parts, Line(""), Line(told, "dim")])


def _write(console: Console, looks: Looks, seen: Picture) -> None:
    """Write what is seen on a line, where output is no terminal."""
    told = f"{instant(seen.at.replace(microsecond=0))} {tracker_line(seen.totals)}"
    failed = f"; cannot be read: {looks.error}" if looks.error else ""
    say(console, f"{told}; {_rate(seen)}{failed}")


def _print_json(seen: Picture) -> None:
    print_json(
        {
            "at": instant(seen.at),
            "filter": filter_as_json(seen.wanted),
            "total": totals_as_json(seen.totals),
            "recent": {
                "minutes": _RATE_MINUTES,
                "usd_per_minute": decimal_text(seen.usd_per_minute),
                **totals_as_json(seen.recent),
            },
            "by": ["model"],
            "groups": [group_as_json(one, ("model",)) for one in seen.models],
            "calls": [record_as_json(one) for one in seen.newest],
        }
    )
