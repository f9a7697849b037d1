"""`cerebras-ext costs`: `report` and `top`, and how every command finds its ledger."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from langchain_cerebras_ext.cli.costs_filter import Asked, read_dimensions, read_filter
from langchain_cerebras_ext.cli.costs_tables import (
    DOUBTFUL,
    calls_sheets,
    csv_text,
    filter_as_json,
    group_as_json,
    groups_sheets,
    print_doubts,
    print_table,
    record_as_json,
    shown_time,
    totals_as_json,
)
from langchain_cerebras_ext.cli.failures import CommandError
from langchain_cerebras_ext.cli.screen import error_console, output_console, say
from langchain_cerebras_ext.costs._display import in_order
from langchain_cerebras_ext.costs.report import Filter
from langchain_cerebras_ext.errors import CerebrasCostWarning, LedgerNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.report import Dimension, Group, Totals

__all__ = ["ReportOptions", "TopOptions", "open_ledger", "run_report", "run_top"]

VARIABLE: Final = "CEREBRAS_COSTS_LEDGER"
DEFAULT: Final = "sqlite:///costs.db"


# --------------------------------------------------------------------- what all share


def ledger_url(given: str | None) -> str:
    """Return the ledger to use: as given, of the environment, or the default."""
    return given or os.environ.get(VARIABLE) or DEFAULT


def open_ledger(given: str | None, *, create: bool = False) -> Ledger:
    """Open the ledger that a command is to use.

    Args:
        given: The value of `--ledger`.
        create: Whether one is made where there is none.

    Raises:
        CommandError: There is none, so that there is nothing to look at.
        CerebrasConfigurationError: The URL is of no database that is known.
        MissingExtraError: The extra of that database is not installed.
        LedgerError: The database is no ledger, or cannot be opened.
    """
    from langchain_cerebras_ext.costs._ledger.place import find_place
    from langchain_cerebras_ext.costs.ledger import Ledger

    url = ledger_url(given)
    place = find_place(url)
    if place.is_in_memory:
        msg = f"The ledger {url!r} is in memory: other processes keep nothing there."
        raise CommandError(msg)
    if not create and place.path is not None and not _is_there(place.path):
        raise _absent(place.shown, url)
    with warnings.catch_warnings():
        # That calls would go on without it is no news here: the first question fails.
        warnings.simplefilter("ignore", CerebrasCostWarning)
        try:
            return Ledger(url, create=create)
        except LedgerNotFoundError:
            raise _absent(place.shown, place.shown) from None


def _absent(shown: str, url: str) -> CommandError:
    """Return what to do where there is no ledger; the URL is of no secret."""
    return CommandError(
        f"There is no ledger at {shown}. Name one with --ledger or {VARIABLE}"
        f", or begin to record: `with track_costs(ledger={url!r}):`, or "
        f"`CostTracker(ledger={url!r})` among a model's callbacks."
    )


def _is_there(path: Path) -> bool:
    """Whether something is in a file; an empty one is no ledger yet."""
    return path.is_file() and path.stat().st_size > 0


def print_json(value: Any) -> None:
    """Print one JSON object on a line."""
    print(json.dumps(value, ensure_ascii=False))  # noqa: T201


def basis(ledger: Ledger, wanted: Filter) -> str:
    """Return which calls are looked at, in words."""
    told = f"Calls in {ledger.url}"
    if wanted.since is not None:
        told += f", from {shown_time(wanted.since)}"
    if wanted.until is not None:
        told += f", before {shown_time(wanted.until)}"
    return f"{told}. Times are in UTC."


def say_basis(ledger: Ledger, wanted: Filter, *, is_empty: bool) -> None:
    """Print which calls are looked at, and whether there were none."""
    console = error_console()
    if is_empty:
        told = "No calls are recorded there."
        if wanted != Filter():
            told = "No calls there are as you asked."
        say(console, told, "yellow")
    say(console, basis(ledger, wanted), "dim")


def is_empty(totals: Totals) -> bool:
    """Whether there is neither a call nor a try."""
    return not totals.calls and not totals.retries


def say_lost_sessions(ledger: Ledger, by: Sequence[Dimension], wanted: Filter) -> None:
    """Say where sessions are asked for of calls whose rows are gone."""
    if "session" not in by and not wanted.session:
        return
    gone = ledger.pruned_before
    if gone is None or (wanted.since is not None and wanted.since >= gone):
        return
    until = gone if wanted.until is None else min(gone, wanted.until)
    old = msgspec.structs.replace(wanted, until=until, session=())
    if not is_empty(ledger.totals(old)):
        told = (
            f"! Calls from before {shown_time(gone)} UTC were pruned: their sessions "
            "are not known any more."
        )
        say(error_console(), told, DOUBTFUL)


# ----------------------------------------------------------------------------- report

_MOST_ROWS: Final = (
    1000  # of a table; nobody reads more, and the dearest are found fast
)


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the command line said.

    Attributes:
        ledger: Which ledger.
        by: Dimensions, as typed.
        asked: Which calls.
        limit: How many rows at most; 0 is all. By default a table has 1,000, and JSON
            and CSV have all.
        as_json: Whether to print JSON.
        as_csv: Whether to print CSV.
    """

    ledger: str | None = None
    by: Sequence[str] = ("model",)
    asked: Asked = field(default_factory=Asked)
    limit: int | None = None
    as_json: bool = False
    as_csv: bool = False


def run_report(options: ReportOptions, *, now: datetime | None = None) -> int:
    """Print what calls cost, and return the exit code.

    Raises:
        CommandError: An option is wrong, or there is no ledger.
        LedgerError: The database cannot be read.
    """
    by = read_dimensions(options.by)
    wanted = read_filter(options.asked, now)
    most = _most_rows(options)
    if options.as_json and options.as_csv:
        msg = "Give --json or --csv, not both."
        raise CommandError(msg)
    with open_ledger(options.ledger) as ledger:
        totals = ledger.totals(wanted)
        # One more than is shown tells whether there are more; the dearest are kept.
        asked = None if most is None else most + 1
        found = ledger.report(by, wanted, limit=asked)
        groups = in_order(found[:most], by)
        say_lost_sessions(ledger, by, wanted)
        if options.as_csv:
            print(csv_text(by, groups), end="")  # noqa: T201
        elif options.as_json:
            print_json(
                {
                    "ledger": ledger.url,
                    "filter": filter_as_json(wanted),
                    "by": list(by),
                    "total": totals_as_json(totals),
                    "groups": [group_as_json(one, by) for one in groups],
                }
            )
        else:
            _print_report(groups, by, totals)
            if len(groups) < len(found):
                say(
                    error_console(),
                    "There are more, less dear: give a higher --limit, or 0.",
                    "dim",
                )
            say_basis(ledger, wanted, is_empty=is_empty(totals))
    return 0


def _most_rows(options: ReportOptions) -> int | None:
    """Return how many rows are shown at most; `None` is all."""
    if options.limit is None:
        return None if options.as_json or options.as_csv else _MOST_ROWS
    if options.limit == 0:
        return None
    _check_limit(options.limit)
    return options.limit


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        msg = f"The number of rows is {limit}. Give 1 or more."
        raise CommandError(msg)


def _print_report(
    groups: Sequence[Group], by: Sequence[Dimension], totals: Totals
) -> None:
    if is_empty(totals):
        return
    console = output_console()
    print_table(
        console, groups_sheets(groups if by else (), by, totals, with_total=True)
    )
    print_doubts(console, totals)
    if "tag" in by:
        say(
            console,
            "A call with several tags is in each of their rows, and in the total once.",
            "dim",
        )


# -------------------------------------------------------------------------------- top


@dataclass(frozen=True, slots=True)
class TopOptions:
    """What the command line said; without `by` it is about single calls."""

    ledger: str | None = None
    count: int = 10
    by: Sequence[str] = ()
    asked: Asked = field(default_factory=Asked)
    as_json: bool = False


def run_top(options: TopOptions, *, now: datetime | None = None) -> int:
    """Print the dearest calls, users or the like, and return the exit code.

    Raises:
        CommandError: An option is wrong, or there is no ledger.
        LedgerError: The database cannot be read.
    """
    by = read_dimensions(options.by)
    wanted = read_filter(options.asked, now)
    _check_limit(options.count)
    with open_ledger(options.ledger) as ledger:
        totals = ledger.totals(wanted)
        told: dict[str, Any] = {
            "ledger": ledger.url,
            "filter": filter_as_json(wanted),
            "total": totals_as_json(totals),
        }
        if by:
            groups = ledger.report(by, wanted, limit=options.count)
            told |= {"by": list(by), "groups": [group_as_json(g, by) for g in groups]}
            sheets = groups_sheets(groups, by, totals, with_total=True)
        else:
            calls = ledger.dearest(options.count, wanted)
            told["calls"] = [record_as_json(one) for one in calls]
            sheets = calls_sheets(calls)
        say_lost_sessions(ledger, by, wanted)
        if options.as_json:
            print_json(told)
            return 0
        console = output_console()
        if not by and not told["calls"] and not is_empty(totals):
            gone = "The calls themselves were pruned; `costs report` has their totals."
            say(error_console(), gone, "yellow")
        elif not is_empty(totals):
            print_table(console, sheets)
            print_doubts(console, totals)
        say_basis(ledger, wanted, is_empty=is_empty(totals))
    return 0
