"""How costs look: money and doubts in words, as text, and as HTML with a small chart.

Pure: no notebook, terminal or plotting library. All who show costs write money by
`format_usd` and a total by `format_total`, so that what is not known looks the same
everywhere and is never a zero. Names come from users and models: in HTML all of them
are escaped, in text they lose what a terminal would obey.
"""

from __future__ import annotations

import html
import re
from datetime import UTC
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext.costs.report import Group, Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    Series = Iterable[tuple[datetime, Decimal | None]]
    ByModel = Mapping[str, Totals] | Mapping[str | None, Totals]

__all__ = [
    "UNKNOWN",
    "count_calls",
    "doubts",
    "format_total",
    "format_usd",
    "groups_html",
    "groups_text",
    "in_order",
    "is_lower_bound",
    "key_label",
    "spend_curve",
    "total_line",
    "tracker_html",
    "tracker_line",
    "tracker_text",
]

UNKNOWN: Final = "unknown"
"""What stands where a cost is not known; never `$0`."""

_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_FIGURES: Final = Context(prec=3, rounding=ROUND_HALF_EVEN)
_TIMES: Final = ("hour", "day", "month")
_MOST_ROWS: Final = 12
_ACCENT: Final = "#f05a28"
"""Seen well on white and on black; text has the page's own colour."""

_CONTROLS: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+"
)


# ---------------------------------------------------------------------------- words


def format_usd(amount: Decimal | None) -> str:
    """Return money as people read it: `$12.35`, `$0.35`, `$0.000123`, `-$0.50`.

    Cents from one dollar on, three digits that count below; an amount that is not zero
    never looks like zero.

    Args:
        amount: USD; `None` is `unknown`.
    """
    if amount is None:
        return UNKNOWN
    if not amount:
        return "$0"
    size = abs(amount)
    # Below one dollar as many digits as show three that count; 0.9996 becomes 1.00.
    short = _FIGURES.plus(size) if size < 1 else size
    if short >= 1:
        digits = 2
    elif short == size:
        digits = max(2, -_exponent(size.normalize()))
    else:  # zeros at its end are kept: 0.0600 was rounded, 0.06 was not
        digits = max(2, -_exponent(short))
    whole = short.quantize(Decimal(1).scaleb(-digits), context=_EXACT)
    return f"{'-' if amount < 0 else ''}${whole:,f}"


def _exponent(size: Decimal) -> int:
    exponent = size.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def is_lower_bound(totals: Totals) -> bool:
    """Whether something is missing from the cost: more was spent than it says."""
    return bool(totals.unpriced_calls or totals.uncounted_calls)


def format_total(totals: Totals) -> str:
    """Return the cost with a mark of what it is worth.

    `$1.23` is all of it. `≥ $1.23` lacks calls whose cost nobody knows. `~ $1.23` has
    estimates in it. `unknown` stands where nothing is known.
    """
    if is_lower_bound(totals):
        return f"≥ {format_usd(totals.cost)}" if totals.cost else UNKNOWN
    shown = format_usd(totals.cost)
    return f"~ {shown}" if totals.estimated_calls else shown


def doubts(totals: Totals) -> list[str]:
    """Return what is uncertain of a total, a sentence each; none if it is exact."""
    told: list[str] = []
    if totals.unpriced_calls:
        told.append(
            f"{count_calls(totals.unpriced_calls)} unpriced: no price of the model is "
            f"known. {_missing(totals.unpriced_calls)}"
        )
    guessed = totals.estimated_calls
    if silent := totals.uncounted_calls:
        told.append(
            f"{count_calls(silent)} without usage: the service did not say how many "
            f"tokens it counted. {_missing(silent)}"
        )
    if guessed:
        told.append(
            f"{count_calls(guessed)} estimated: the service did not say how many "
            "tokens it counted; they were counted here, from what was sent and came."
        )
    return told


def _missing(count: int) -> str:
    return f"{'Its' if count == 1 else 'Their'} cost is not in the total."


def key_label(key: str | None, dimension: str) -> str:
    """Return a group's value as people read it; a missing one is named as such."""
    if key is None:
        return f"(no {dimension.replace('_type', '')})"
    return _clean(key) or "(empty)"


def _clean(text: str) -> str:
    """Return a text on one line without what would steer a terminal or turn text."""
    return _CONTROLS.sub(" ", text).strip()


def count_calls(count: int) -> str:
    """Return how many calls there are, in words."""
    return f"{count:,} call" if count == 1 else f"{count:,} calls"


def _outcomes(totals: Totals) -> str:
    """Return the calls and what became of them: `12 calls, 1 failed`."""
    others = {
        "failed": totals.failed,
        "aborted": totals.aborted,
        "from the cache": totals.cache_hits,
        "retried": totals.retries,
    }
    told = [f"{count:,} {name}" for name, count in others.items() if count]
    return ", ".join([count_calls(totals.calls), *told])


def _tokens(totals: Totals) -> str:
    cached = totals.cached_input_tokens
    part = f" ({cached:,} cached)" if cached else ""
    return f"{totals.input_tokens:,} tokens in{part}, {totals.output_tokens:,} out"


# ------------------------------------------------------------------------------ text


def total_line(totals: Totals) -> str:
    """Return totals on a line: `$1.23 in 12 calls, 1 failed; 345 tokens in, 67 out`."""
    return f"{format_total(totals)} in {_outcomes(totals)}; {_tokens(totals)}"


def tracker_line(totals: Totals) -> str:
    """Return totals on a line, with what is uncertain: for a `repr`."""
    told = [total_line(totals)]
    counts = {
        "unpriced": totals.unpriced_calls,
        "without usage": totals.calls_without_usage,
        "estimated": totals.estimated_calls,
    }
    told += [f"{count:,} {name}" for name, count in counts.items() if count]
    return "; ".join(told)


def tracker_text(
    totals: Totals, by_model: Mapping[str | None, Totals], series: Series = ()
) -> str:
    """Return a tracker's costs as lines of text.

    Args:
        totals: Of all calls.
        by_model: Of each model.
        series: When each call was made and what it cost; not needed for text.
    """
    del series
    groups = _by_cost(Group((name,), part) for name, part in by_model.items())
    return groups_text(groups, ("model",), totals=totals)


def groups_text(
    groups: Sequence[Group],
    by: Sequence[str],
    *,
    totals: Totals | None = None,
    most: int = _MOST_ROWS,
) -> str:
    """Return groups as a table of text, with the whole above and doubts below.

    Args:
        groups: The rows, in their order.
        by: The dimensions that they are split by.
        totals: The whole; nothing is said of it where it is `None`.
        most: How many rows there are at most.
    """
    lines: list[str] = []
    if totals is not None:
        saved = totals.cache_savings
        more = f"; cache saved {format_usd(saved)}" if saved else ""
        lines.append(total_line(totals) + more)
    if groups and by:
        rows, rest = _shortened(groups, by, most)
        table = [_head(by), *(_cells(one, by) for one in rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines += [_line(row, widths, len(by)) for row in table]
        if rest:
            lines.append(rest)
    if totals is not None:
        lines += [f"! {told}" for told in doubts(totals)]
    return "\n".join(lines)


def _head(by: Sequence[str]) -> list[str]:
    return [*by, "cost", "calls", "tokens in", "out"]


def _cells(group: Group, by: Sequence[str]) -> list[str]:
    totals = group.totals
    return [
        *(key_label(key, name) for key, name in zip(group.keys, by, strict=True)),
        format_total(totals),
        f"{totals.calls:,}",
        f"{totals.input_tokens:,}",
        f"{totals.output_tokens:,}",
    ]


def _line(row: Sequence[str], widths: Sequence[int], names: int) -> str:
    cells = [
        cell.ljust(width) if at < names else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return ("  " + "  ".join(cells)).rstrip()


def _by_cost(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda one: (-one.totals.cost, -one.totals.calls))


def _shortened(
    groups: Sequence[Group], by: Sequence[str], most: int
) -> tuple[Sequence[Group], str]:
    """Return the rows to show, and what to say of the others."""
    if len(groups) <= most:
        return groups, ""
    rest = Totals()
    for group in groups[most:]:
        rest.merge(group.totals)
    told = f"and {len(groups) - most:,} more"
    if "tag" in by:  # a call with several tags is in several rows
        return groups[:most], told
    return groups[:most], f"{told}: {format_total(rest)}"


def in_order(groups: Iterable[Group], by: Sequence[str]) -> list[Group]:
    """Return groups by time where they are split by time first, else as they are."""
    if not by or by[0] not in _TIMES:
        return list(groups)
    return sorted(groups, key=lambda one: one.keys[0] or "")


# ----------------------------------------------------------------------------- chart


def spend_curve(series: Series, points: int = 160) -> list[tuple[datetime, Decimal]]:
    """Return what had been spent by when, growing, in so many points at most.

    Args:
        series: Times and costs, in any order; calls of unknown cost add nothing.
        points: How many parts of the time there are.
    """
    known = sorted(
        ((when, cost) for when, cost in series if cost is not None),
        key=lambda one: one[0],
    )
    if not known:
        return []
    first, span = known[0][0], (known[-1][0] - known[0][0]).total_seconds()
    spent = Decimal(0)
    last: dict[int, tuple[datetime, Decimal]] = {}
    for when, cost in known:
        spent = _EXACT.add(spent, cost)
        passed = (when - first).total_seconds()
        last[int(points * passed / span) if span else 0] = (when, spent)
    # The first call stands alone: its cost is where the curve begins.
    return [known[0], *(point for point in last.values() if point != known[0])]


_WIDTH: Final = 560
_HEIGHT: Final = 96
_TOP: Final = 16
_BASE: Final = 76


def _chart(series: Series) -> str:
    """Return what was spent over time as SVG; nothing where there is no course."""
    rows = list(series)
    curve = spend_curve(rows)
    if not curve:
        return ""
    start = min(when for when, _ in rows)
    end = max(when for when, _ in rows)
    span = (end - start).total_seconds()
    most = curve[-1][1]
    if not span or not most:
        return ""

    def across(when: datetime) -> float:
        return round((when - start).total_seconds() / span * _WIDTH, 1)

    def up(spent: Decimal) -> float:
        return round(_BASE - float(spent / most) * (_BASE - _TOP), 1)

    path = f"M{across(curve[0][0])} {_BASE}"
    for when, spent in curve:
        path += f"H{across(when)}V{up(spent)}"
    path += f"H{_WIDTH}"
    blind = sorted({across(when) for when, cost in rows if cost is None})
    marks = "".join(
        f'<path d="M{x} {_BASE}v6" stroke="currentColor"/>' for x in blind[:200]
    )
    told = f"Spent over time: {format_usd(most)} from {_when(start)} to {_when(end)}"
    note = " | marks calls of unknown cost" if blind else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        f'aria-label="{html.escape(told)}" style="max-width:100%;display:block;'
        'margin:.4em 0" font-size="11" font-family="inherit" fill="currentColor">'
        f'<path d="{path}V{_BASE}Z" fill="{_ACCENT}" fill-opacity=".2"/>'
        f'<path d="{path}" fill="none" stroke="{_ACCENT}" stroke-width="2"/>'
        f'<path d="M0 {_BASE}H{_WIDTH}" stroke="currentColor" stroke-opacity=".4"/>'
        f"{marks}"
        f'<text x="0" y="11">{html.escape(format_usd(most))} spent{note}</text>'
        f'<text x="0" y="{_HEIGHT - 4}">{_when(start)}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 4}" text-anchor="end">{_when(end)} UTC'
        "</text></svg>"
    )


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


# ------------------------------------------------------------------------------ HTML


def tracker_html(
    totals: Totals, by_model: Mapping[str | None, Totals], series: Series = ()
) -> str:
    """Return a tracker's costs as HTML: the whole, a chart, a table, and doubts.

    Self-contained: no script, no address, and every name is text. The colours are
    those of the page, so that it is read in light and dark themes.

    Args:
        totals: Of all calls.
        by_model: Of each model.
        series: When each call was made and what it cost, `None` where not known.
    """
    groups = _by_cost(Group((name,), part) for name, part in by_model.items())
    return groups_html(groups, ("model",), totals=totals, series=series)


def groups_html(
    groups: Sequence[Group],
    by: Sequence[str],
    *,
    totals: Totals | None = None,
    series: Series = (),
    most: int = _MOST_ROWS,
) -> str:
    """Return groups as HTML, in the manner of `tracker_html`.

    Args:
        groups: The rows, in their order.
        by: The dimensions that they are split by.
        totals: The whole; nothing is said of it where it is `None`.
        series: Times and costs for a chart; none draws none.
        most: How many rows there are at most.
    """
    parts: list[str] = []
    if totals is not None:
        parts += [_total_html(totals), _chart(series)]
    if groups and by:
        parts.append(_table_html(groups, by, most))
    if totals is not None:
        parts += [
            f'<div style="margin-top:.3em"><b>!</b> {html.escape(told)}</div>'
            for told in doubts(totals)
        ]
    return f'<div style="line-height:1.4">{"".join(parts)}</div>'


def _total_html(totals: Totals) -> str:
    told = [_outcomes(totals), _tokens(totals)]
    if totals.cache_savings:
        told.append(f"cache saved {format_usd(totals.cache_savings)}")
    return (
        '<div><span style="font-size:150%;font-weight:600">'
        f"{html.escape(format_total(totals))}</span> "
        f'<span style="opacity:.75">{html.escape(" · ".join(told))}</span></div>'
    )


_CELL: Final = "padding:.15em .8em .15em 0;border:0;background:none;"
_NAME: Final = f"{_CELL}text-align:left;overflow-wrap:anywhere;min-width:7em"
_TIME: Final = f"{_CELL}text-align:left;white-space:nowrap"
_FIGURE: Final = f"{_CELL}text-align:right;white-space:nowrap"


def _styles(by: Sequence[str]) -> list[str]:
    """Return the styles of a row's cells."""
    names = [_TIME if name in _TIMES else _NAME for name in by]
    return names + [_FIGURE] * (len(_head(by)) - len(by))


def _table_html(groups: Sequence[Group], by: Sequence[str], most: int) -> str:
    rows, rest = _shortened(groups, by, most)
    dearest = max((one.totals.cost for one in rows), default=Decimal(0))
    head = "".join(
        f'<th style="{style}">{html.escape(title)}</th>'
        for style, title in zip(_styles(by), _head(by), strict=True)
    )
    body = "".join(_row_html(one, by, dearest) for one in rows)
    more = (
        f'<tr><td colspan="{len(by) + 5}" style="{_NAME}">{html.escape(rest)}</td></tr>'
        if rest
        else ""
    )
    bar = f'<th style="{_CELL}" aria-hidden="true"></th>'
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:0;'
        'font-size:95%;font-variant-numeric:tabular-nums"><thead>'
        f'<tr style="border-bottom:1px solid currentColor">{head}{bar}</tr></thead>'
        f"<tbody>{body}{more}</tbody></table></div>"
    )


def _row_html(group: Group, by: Sequence[str], dearest: Decimal) -> str:
    cells = "".join(
        f'<td style="{style}">{html.escape(cell)}</td>'
        for style, cell in zip(_styles(by), _cells(group, by), strict=True)
    )
    width = round(100 * group.totals.cost / dearest) if dearest else 0
    # A share that is too small to see is not nothing.
    size = f"max({width}px,1px)" if group.totals.cost else "0"
    return (
        f'<tr style="background:none">{cells}<td style="{_CELL}">'
        f'<div style="height:.7em;width:{size};background:{_ACCENT}"></div></td></tr>'
    )
