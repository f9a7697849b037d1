"""`cerebras-ext costs budget`: what is left of the budgets that processes share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from langchain_cerebras_ext.cli.costs import ledger_url, open_ledger, print_json
from langchain_cerebras_ext.cli.costs_tables import (
    DOUBTFUL,
    decimal_text,
    instant,
    print_table,
    shown_time,
)
from langchain_cerebras_ext.cli.failures import FAILED, CommandError
from langchain_cerebras_ext.cli.screen import (
    Column,
    Sheet,
    error_console,
    output_console,
    say,
)
from langchain_cerebras_ext.costs._display import count_calls, format_usd, key_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_cerebras_ext.costs.budget import BudgetStatus

__all__ = ["BudgetOptions", "run_budget"]

_BAR: Final = 20
_SPENT: Final = "█"
_RESERVED: Final = "▒"
_LEFT: Final = "░"
_CLOSE: Final = Decimal("0.8")
_PERCENT: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class BudgetOptions:
    """What the command line said.

    Attributes:
        ledger: Which ledger.
        redis: A server to look at instead.
        namespace: Of the budgets in Redis.
        check: Whether a spent budget is a failure.
        at: From which part of the limit on, in percent, a budget counts as spent.
        as_json: Whether to print JSON.
    """

    ledger: str | None = None
    redis: str | None = field(default=None, repr=False)
    namespace: str = "cerebras"
    check: bool = False
    at: float = 100.0
    as_json: bool = False


def run_budget(options: BudgetOptions) -> int:
    """Print how budgets stand, and return the exit code: 1 if one is spent.

    Raises:
        CommandError: An option is wrong, or there is no ledger.
        CerebrasConfigurationError: A URL is of no store that is known.
        MissingExtraError: The extra of that store is not installed.
        LedgerError: The store cannot be read.
    """
    if not 0 <= options.at < math.inf:
        msg = f"--at is {options.at:g}. Give a part of the limit, in percent."
        raise CommandError(msg)
    if options.redis and options.ledger:
        msg = "Give --ledger or --redis, not both."
        raise CommandError(msg)
    place, found = _read(options)
    limit = Decimal(str(options.at)) / _PERCENT
    budgets = sorted(found, key=lambda one: (-_share(one), one.name, one.key or ""))
    spent = [one for one in budgets if is_spent(one, limit)]
    if options.as_json:
        print_json(
            {
                "store": place,
                "exceeded": len(spent),
                "budgets": [as_json(one, is_spent(one, limit)) for one in budgets],
            }
        )
    else:
        _print(place, budgets, limit)
    return FAILED if options.check and spent else 0


def _read(options: BudgetOptions) -> tuple[str, list[BudgetStatus]]:
    """Return where the budgets are kept, without a password, and how they stand."""
    from langchain_cerebras_ext.costs._ledger.place import find_place
    from langchain_cerebras_ext.costs.budget import read_budgets, read_redis_budgets

    if options.redis:
        found = read_redis_budgets(options.redis, namespace=options.namespace)
        return _place(options.redis), found
    try:
        with open_ledger(options.ledger) as ledger:
            return ledger.url, read_budgets(ledger)
    except CommandError:
        # Budgets may be all that is kept there: records need not be.
        place = find_place(ledger_url(options.ledger))
        budgets = [] if place.is_in_memory else read_budgets(place.url)
        if not budgets:
            raise
        return place.shown, budgets


def _place(url: str) -> str:
    """Return a server's URL without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _share(status: BudgetStatus) -> Decimal:
    """Return the part of the limit that was spent; of no limit, all of it was."""
    return Decimal(1) if status.share is None else status.share


def is_spent(status: BudgetStatus, limit: Decimal = Decimal(1)) -> bool:
    """Whether so much of a budget's limit was spent."""
    return _share(status) >= limit


def as_json(status: BudgetStatus, is_over: bool) -> dict[str, Any]:
    """Return a budget as JSON has it."""
    money = ("limit", "spent", "reserved", "remaining", "assumed")
    return {
        **{name: getattr(status, name) for name in ("name", "per", "key", "run")},
        "window": status.window,
        "window_start": instant(status.window_start),
        "window_end": instant(status.window_end),
        **{f"{name}_usd": decimal_text(getattr(status, name)) for name in money},
        "calls": status.calls,
        "unpriced_calls": status.unpriced_calls,
        "action": status.action,
        "exceeded": is_over,
    }


# -------------------------------------------------------------------------- what shows


def bar(status: BudgetStatus, width: int = _BAR) -> str:
    """Return what is spent, reserved and left of a limit, drawn in signs."""
    limit = status.limit
    spent = _signs(status.spent, limit, width)
    held = min(_signs(status.spent + status.reserved, limit, width), width) - spent
    return _SPENT * spent + _RESERVED * held + _LEFT * (width - spent - held)


def _signs(amount: Decimal, limit: Decimal, width: int) -> int:
    if not limit:
        return width
    # Rounded down, so that a full bar is a spent budget; but something is not nothing.
    return min(max(int(width * amount / limit), int(amount > 0)), width)


def _whose(status: BudgetStatus) -> str:
    if status.run:
        return f"run {status.run}"
    if status.per == "all":
        return "all calls"
    return f"{status.per} {key_label(status.key, status.per)}"


def _cells(status: BudgetStatus) -> Mapping[str, str | None]:
    end = status.window_end
    return {
        "budget": status.name,
        "of": _whose(status),
        "": bar(status),
        # Rounded down: only a spent budget is at 100 %.
        "used": f"{int(_share(status) * 100)}%",
        "spent": format_usd(status.spent),
        "reserved": format_usd(status.reserved),
        "left": format_usd(status.remaining),
        "limit": format_usd(status.limit),
        "window": status.window,
        "ends (UTC)": None if end is None else shown_time(end),
        "ends": None if end is None else end.astimezone(UTC).strftime("%m-%d %H:%M"),
        "then": status.action,
    }


_FORMS: Final = (
    (
        *("budget", "of", "", "used", "spent", "reserved", "left", "limit"),
        *("window", "ends (UTC)", "then"),
    ),
    ("budget", "of", "", "used", "spent", "left", "limit", "ends (UTC)"),
    ("budget", "of", "", "used", "left", "limit", "ends"),
    ("budget", "of", "", "used", "left", "limit"),
    ("budget", "of", "used", "left", "limit"),
    ("budget", "of", "used", "left"),
)
_FIGURES: Final = {"used", "spent", "reserved", "left", "limit"}


def _print(place: str, budgets: Sequence[BudgetStatus], limit: Decimal) -> None:
    console = output_console()
    if budgets:
        print_table(console, [_sheet(budgets, names, limit) for names in _FORMS])
        for status in budgets:
            for told in _doubts(status):
                say(console, f"! {status.name}, {_whose(status)}: {told}", DOUBTFUL)
    else:
        say(error_console(), "No budget is kept there.", "yellow")
    say(error_console(), f"Budgets in {place}. Times are in UTC.", "dim")


def _sheet(
    budgets: Sequence[BudgetStatus], names: Sequence[str], limit: Decimal
) -> Sheet:
    return Sheet(
        [
            Column(name, is_figure=name in _FIGURES, wraps=name in {"budget", "of"})
            for name in names
        ],
        [
            ([_cells(one)[name] for name in names], _style(one, limit))
            for one in budgets
        ],
    )


def _style(status: BudgetStatus, limit: Decimal) -> str:
    if is_spent(status, limit):
        return "red"
    return DOUBTFUL if _share(status) >= _CLOSE else ""


def _doubts(status: BudgetStatus) -> list[str]:
    """Return what is uncertain of what was spent."""
    told: list[str] = []
    if status.unpriced_calls:
        told.append(
            f"{count_calls(status.unpriced_calls)} unpriced: no price is known. They "
            "are not in what was spent."
        )
    if status.assumed:
        told.append(
            f"{format_usd(status.assumed)} of it is assumed: what calls without a "
            "known cost had reserved."
        )
    return told
