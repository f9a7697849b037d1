"""Totals, groups and calls as `cerebras-ext costs` shows them: tables, JSON, CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.cli.screen import Column, Sheet, fitting, print_sheet, say
from langchain_cerebras_ext.costs._display import (
    doubts,
    format_total,
    format_usd,
    is_lower_bound,
    key_label,
)
from langchain_cerebras_ext.costs.report import Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from rich.console import Console

    from langchain_cerebras_ext.costs.records import UsageRecord
    from langchain_cerebras_ext.costs.report import Filter, Group

__all__ = [
    "calls_sheets",
    "certainty",
    "csv_text",
    "filter_as_json",
    "group_as_json",
    "groups_sheets",
    "instant",
    "print_doubts",
    "print_table",
    "record_as_json",
    "shown_time",
    "totals_as_json",
]

DOUBTFUL: Final = "yellow"
_FORMULA: Final = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
_SECONDS_OF_DAY: Final = "%Y-%m-%d %H:%M:%S"


def instant(moment: datetime | None) -> str | None:
    """Return a time in UTC as JSON has it; `None` stays."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def shown_time(moment: datetime) -> str:
    """Return a time in UTC to the second."""
    return moment.astimezone(UTC).strftime(_SECONDS_OF_DAY)


def decimal_text(amount: Decimal) -> str:
    """Return an amount exactly, without an exponent or zeros at its end."""
    return format(amount.normalize(), "f")


# ------------------------------------------------------------------------------ JSON


def certainty(totals: Totals) -> str:
    """Return what a cost is worth, in a word for programs.

    Returns:
        `exact`; `estimated`: some tokens were counted here; `at_least`: the cost of
        some calls is not known; `unknown`: that of all of them.
    """
    if is_lower_bound(totals):
        return "at_least" if totals.cost else "unknown"
    return "estimated" if totals.estimated_calls else "exact"


def totals_as_json(totals: Totals) -> dict[str, Any]:
    """Return totals with the cost first; `None` is what nothing is known of."""
    counts = totals.to_dict()
    counts.pop("cost")
    saved = counts.pop("cache_savings")
    told = certainty(totals)
    # Nobody knows what cached tokens without a price would have cost.
    lost = told == "unknown" and totals.cached_input_tokens
    return {
        "cost_usd": None if told == "unknown" else decimal_text(totals.cost),
        "certainty": told,
        **counts,
        "cache_savings_usd": None if lost else decimal_text(Decimal(saved)),
    }


def group_as_json(group: Group, by: Sequence[str]) -> dict[str, Any]:
    """Return a group as JSON has it: its keys by dimension, then its totals."""
    keys = dict(zip(by, group.keys, strict=True))
    return {"keys": keys, **totals_as_json(group.totals)}


def filter_as_json(wanted: Filter) -> dict[str, Any]:
    """Return what a filter asks for, without what it leaves open."""
    named = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    values = {
        name: list(value)
        for name, value in named.items()
        if value and name not in {"since", "until"}
    }
    return {"since": instant(wanted.since), "until": instant(wanted.until), **values}


def record_as_json(record: UsageRecord) -> dict[str, Any]:
    """Return a call with all its fields, and its cost in one figure."""
    cost = record.cost_usd
    return {
        **record.to_dict(),
        "started_at": instant(record.started_at),
        "cost_usd": None if cost is None else decimal_text(cost),
    }


def csv_text(by: Sequence[str], groups: Iterable[Group]) -> str:
    """Return groups as CSV: a column for each dimension, then the totals.

    An unknown cost is empty, and so is a value that calls do not have. Names may be
    anybody's: a spreadsheet must not take them for formulas.
    """
    to = io.StringIO()
    writer = csv.writer(to, lineterminator="\n")
    names = list(totals_as_json(Totals()))
    writer.writerow([*by, *names])
    for group in groups:
        row = totals_as_json(group.totals)
        keys = ("" if key is None else _no_formula(key) for key in group.keys)
        cells = ("" if row[name] is None else row[name] for name in names)
        writer.writerow([*keys, *cells])
    return to.getvalue()


def _no_formula(text: str) -> str:
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


# ---------------------------------------------------------------------------- tables


def groups_sheets(
    groups: Sequence[Group],
    by: Sequence[str],
    totals: Totals,
    *,
    with_total: bool = False,
) -> tuple[Sheet, ...]:
    """Return groups as tables, from the widest to the narrowest.

    Args:
        groups: The rows.
        by: The dimensions that they are split by.
        totals: The whole, of which rows are a share.
        with_total: Whether it is the last row.
    """
    rows: list[tuple[Sequence[str], Totals, str]] = [
        (
            [key_label(key, name) for key, name in zip(one.keys, by, strict=True)],
            one.totals,
            DOUBTFUL if format_total(one.totals) == "unknown" else "",
        )
        for one in groups
    ]
    if with_total:
        names = ["total", *("" for _ in by[1:])] if by else ["total"]
        rows.append((names, totals, "bold"))
    titles = list(by) or [""]
    whole = totals.cost
    is_of_arms = "arm" in by and _OF_CALLS.issuperset(by)
    forms = _FORMS_OF_ARMS if is_of_arms else _FORMS
    figures = _figures_of_arm if is_of_arms else _figures
    return tuple(
        Sheet(
            [
                *(Column(title, wraps=len(wanted) < _WIDE) for title in titles),
                *(Column(title, is_figure=True) for title in wanted),
            ],
            [
                ([*names, *map(figures(part, whole).get, wanted)], style)
                for names, part, style in rows
            ],
        )
        for wanted in forms
    )


_FORMS: Final = (
    ("cost", "share", "calls", "failed", "tokens in", "cached", "out", "saved"),
    ("cost", "share", "calls", "tokens in", "cached", "out"),
    ("cost", "calls", "tokens in", "out"),
    ("cost", "calls"),
)
_FORMS_OF_ARMS: Final = (
    ("cost", "share", "calls", "success", "tries", "failed tries", "tokens in", "out"),
    ("cost", "calls", "success", "tries", "tokens in", "out"),
    ("cost", "calls", "success", "tries"),
    ("cost", "calls"),
)
_OF_CALLS: Final = {"arm", "user", "session", "tag"}
"""All tries of a router's call have the same of these."""
_WIDE: Final = 6


def _figures(totals: Totals, whole: Decimal) -> Mapping[str, str | None]:
    saved = totals.cache_savings
    return {
        "cost": format_total(totals),
        "share": f"{totals.cost / whole:.0%}" if whole and totals.cost else None,
        "calls": f"{totals.calls:,}",
        "failed": f"{totals.failed:,}",
        "tokens in": f"{totals.input_tokens:,}",
        "cached": f"{totals.cached_input_tokens:,}",
        "out": f"{totals.output_tokens:,}",
        "saved": format_usd(saved) if saved else None,
    }


def _figures_of_arm(totals: Totals, whole: Decimal) -> Mapping[str, str | None]:
    """As `_figures`, with all tries of a router's call as one call.

    A call that its caller left is neither a success nor a failure.
    """
    judged = totals.whole_calls - totals.whole_aborted
    answered = judged - totals.whole_failed
    return {
        **_figures(totals, whole),
        "calls": f"{totals.whole_calls:,}",
        "success": f"{answered / judged:.1%}" if judged > 0 else None,
        "tries": f"{totals.calls:,}",
        "failed tries": f"{totals.failed:,}",
    }


def calls_sheets(records: Sequence[UsageRecord]) -> tuple[Sheet, ...]:
    """Return calls as tables, a line each, from the widest to the narrowest."""
    return tuple(
        Sheet(
            [Column(title, is_figure=title in _CALL_FIGURES) for title in wanted],
            [
                ([_call_cells(one)[title] for title in wanted], _call_style(one))
                for one in records
            ],
        )
        for wanted in _CALL_FORMS
    )


_CALL_FIGURES: Final = {"cost", "tokens in", "cached", "out", "seconds"}
_CALL_FORMS: Final = (
    (
        *("time (UTC)", "cost", "model", "user", "node", "tags", "outcome"),
        *("tokens in", "cached", "out", "seconds"),
    ),
    ("time (UTC)", "cost", "model", "user", "outcome", "tokens in", "out", "seconds"),
    ("time (UTC)", "cost", "model", "user", "tokens in", "out"),
    ("time (UTC)", "cost", "model", "tokens in", "out"),
    ("cost", "model", "tokens in", "out"),
)


def _call_cells(record: UsageRecord) -> dict[str, str | None]:
    def count(tokens: int | None) -> str | None:
        return None if tokens is None else f"{tokens:,}"

    seconds = record.duration_s
    return {
        "time (UTC)": shown_time(record.started_at),
        "cost": cost_of_call(record),
        "model": record.served,
        "user": record.user,
        "node": record.node,
        "tags": ", ".join(record.tags) or None,
        "outcome": record.outcome,
        "tokens in": count(record.input_tokens),
        "cached": count(record.cached_input_tokens),
        "out": count(record.output_tokens),
        "seconds": None if seconds is None else f"{seconds:.2f}",
    }


def cost_of_call(record: UsageRecord) -> str:
    """Return the cost of a call as people read it, with a mark if it is a guess."""
    shown = format_usd(record.cost_usd)
    guessed = "estimated" in record.flags and record.cost is not None
    return f"~ {shown}" if guessed else shown


def _call_style(record: UsageRecord) -> str:
    if record.outcome == "failed":
        return "red"
    return DOUBTFUL if record.cost is None else ""


def print_table(console: Console, sheets: Sequence[Sheet]) -> None:
    """Print the first form of a table that fits."""
    print_sheet(console, fitting(console, *sheets))


def print_doubts(console: Console, totals: Totals) -> None:
    """Print what is uncertain of a total, below it."""
    for told in doubts(totals):
        say(console, f"! {told}", DOUBTFUL)
