"""`plot_costs`: what was spent over time, and by what, as a figure of matplotlib.

Matplotlib is an extra and slow to import, so that happens when a figure is asked for.
The figure belongs to nobody's `pyplot`: it opens no window, is shown once by a
notebook, and is freed as any other object.
"""

from __future__ import annotations

import importlib
import io
import textwrap
import warnings
from datetime import UTC, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.costs._display import (
    doubts,
    format_total,
    format_usd,
    key_label,
    spend_curve,
)
from langchain_cerebras_ext.costs.report import (
    READERS,
    Totals,
    check_dimensions,
    group_records,
)
from langchain_cerebras_ext.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from langchain_cerebras_ext.costs.records import UsageRecord
    from langchain_cerebras_ext.costs.report import Dimension, Group

__all__ = ["plot_costs"]

_LINES: Final = 5
_BARS: Final = 12
_ROOM: Final = 5
_POINTS: Final = 500
_LONGEST: Final = 36
_SIZE: Final = (10.0, 4.2)
_AROUND: Final = timedelta(minutes=1)


def plot_costs(
    records: Iterable[UsageRecord], by: str = "model", *, figure: Figure | None = None
) -> Figure:
    """Draw what was spent over time, and what each model or the like cost.

    Times are in UTC. What is uncertain of the sums is said below the plots.

    Args:
        records: The calls.
        by: A dimension, as `model`, `user`, `tag` or `node`.
        figure: Where to draw, as `pyplot.figure()` for a window; a new one if not
            given.

    Returns:
        The figure. A notebook shows it; `savefig` writes it.

    Raises:
        CerebrasConfigurationError: There is no such dimension.
        MissingExtraError: Matplotlib is not installed.
    """
    (dimension,) = check_dimensions((by,))
    new = figure_class()
    rows = sorted(records, key=lambda record: record.started_at)
    totals = Totals()
    for record in rows:
        totals.add(record)
    groups = group_records(rows, (dimension,))
    drawn = new(figsize=_SIZE, layout="constrained") if figure is None else figure
    left, right = drawn.subplots(1, 2, width_ratios=(3, 2))
    _draw_course(left, rows, dimension, groups)
    _draw_parts(right, dimension, groups)
    _say(drawn, totals)
    return drawn


@lru_cache(maxsize=1)
def figure_class() -> type[Figure]:
    """Return a class of figures that notebooks show without `pyplot`.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        msg = "A plot needs matplotlib. Run: pip install 'langchain-cerebras-ext[plot]'"
        raise MissingExtraError(msg) from error

    class CostFigure(Figure):
        """A figure that shows itself."""

        def _repr_png_(self) -> bytes:
            """Return the picture, as notebooks ask for it."""
            to = io.BytesIO()
            with warnings.catch_warnings():
                # Of a sign that no font has, a box tells enough.
                warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
                self.savefig(to, format="png")
            return to.getvalue()

    return CostFigure


def _draw_course(
    axes: Axes,
    rows: Sequence[UsageRecord],
    dimension: Dimension,
    groups: Sequence[Group],
) -> None:
    """Draw what had been spent by when: in all, and by the dearest groups."""
    axes.set_title("Spent over time (UTC)", loc="left")
    if all(row.cost_usd is None for row in rows):
        axes.set_axis_off()
        told = "no call of known cost" if rows else "no calls yet"
        axes.text(0, 0.9, told, transform=axes.transAxes)
        return
    axes.set_ylabel("USD")
    axes.grid(visible=True, axis="y", alpha=0.3)
    ends = (rows[0].started_at, rows[-1].started_at)
    lines = [_line(axes, rows, ends, color="0.5", linewidth=2.5)]
    names = ["all"]
    several = [one for one in groups[:_LINES] if one.totals.cost]
    for at, group in enumerate(several if len(groups) > 1 else ()):
        (key,) = group.keys
        read = READERS[dimension]
        part = [record for record in rows if key in read(record)]
        lines.append(_line(axes, part, ends, color=f"C{at}", linewidth=1.5))
        names.append(_short(key, dimension))
    # Given one by one: matplotlib leaves out names that begin with `_`.
    legend = axes.legend(lines, [_visible(name) for name in names], loc="best")
    _as_it_is(legend.get_texts())
    dates: Any = importlib.import_module("matplotlib.dates")
    locator = dates.AutoDateLocator(tz=UTC, minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    axes.set_ylim(bottom=0)
    if ends[0] == ends[1]:  # an axis of years would be made for a moment
        around: Any = (ends[0] - _AROUND, ends[1] + _AROUND)
        axes.set_xlim(around)


def _line(
    axes: Axes,
    rows: Sequence[UsageRecord],
    ends: tuple[datetime, datetime],
    **look: Any,
) -> Any:
    """Draw a curve from the first call of all to the last one."""
    curve = spend_curve(((one.started_at, one.cost_usd) for one in rows), _POINTS)
    begin, end = ends
    spent = curve[-1][1] if curve else Decimal(0)
    points = [(begin, Decimal(0)), *curve, (end, spent)]
    times: Any = [when.astimezone(UTC) for when, _ in points]
    sums = [float(amount) for _, amount in points]
    (line,) = axes.plot(times, sums, drawstyle="steps-post", **look)
    return line


def _draw_parts(axes: Axes, dimension: Dimension, groups: Sequence[Group]) -> None:
    """Draw a bar for each of the dearest groups, with its cost in words."""
    shown = list(reversed(groups[:_BARS]))  # the first is drawn at the bottom
    more = len(groups) - len(shown)
    title = f"Cost by {dimension.replace('_', ' ')}"
    axes.set_title(f"{title} ({more:,} more)" if more else title, loc="left")
    if not shown:
        axes.set_axis_off()
        return
    costs = [float(one.totals.cost) for one in shown]
    bars = axes.barh(range(len(shown)), costs)
    for at, bar in enumerate(reversed(bars.patches)):
        bar.set_color(f"C{at}" if at < _LINES and len(groups) > 1 else "0.5")
    axes.set_yticks(
        range(len(shown)), [_short(one.keys[0], dimension) for one in shown]
    )
    _as_it_is(axes.get_yticklabels())
    words = axes.bar_label(
        bars, [f" {format_total(one.totals)}" for one in shown], padding=2
    )
    _as_it_is(words)
    # A few stand at the top as thin as many would: one alone would fill the figure.
    axes.set_ylim(min(-0.6, len(shown) - _ROOM - 0.6), len(shown) - 0.4)
    axes.margins(x=0.35)
    axes.set_xlim(left=0)
    axes.set_xticks([])
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def _say(figure: Figure, totals: Totals) -> None:
    """Write the whole above the plots, and its doubts below."""
    saved = totals.cache_savings
    more = f"; the cache saved {format_usd(saved)}" if saved else ""
    calls = f"{totals.calls:,} call{'' if totals.calls == 1 else 's'}"
    _as_it_is([figure.suptitle(f"{format_total(totals)} in {calls}{more}")])
    told = doubts(totals)
    if told:
        lines = [part for one in told for part in textwrap.wrap(f"! {one}", 120)]
        _as_it_is(
            [figure.supxlabel("\n".join(lines), fontsize="small", x=0, ha="left")]
        )


def _as_it_is(texts: Iterable[Any]) -> None:
    """Let dollars in names be dollars: matplotlib reads formulas between two."""
    for text in texts:
        text.set_parse_math(False)


def _short(key: str | None, dimension: str) -> str:
    """Return a name that leaves room for the plot."""
    name = key_label(key, dimension)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _visible(name: str) -> str:
    return f" {name}" if name.startswith("_") else name
