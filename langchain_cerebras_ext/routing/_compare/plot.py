"""`plot_rows`: models side by side, with their intervals, as a figure of matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.costs._display import UNKNOWN, format_total
from langchain_cerebras_ext.costs._plot import (
    figure_class,  # pyright: ignore[reportPrivateUsage]
)
from langchain_cerebras_ext.routing._compare.texts import (
    failures_text,
    seconds_text,
    share_text,
    speed_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_cerebras_ext.routing._compare.figures import Figure
    from langchain_cerebras_ext.routing._compare.rows import Measure, ModelRow

__all__ = ["check_plot", "plot_rows"]

_WIDTH: Final = 11.0
_HEAD: Final = 1.1
_ROW: Final = 0.42
_LONGEST: Final = 34
_LESS: Final = "p50 ●, p95 ○, with intervals of 95 %; → is open"


def check_plot() -> None:
    """Check that figures can be drawn.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    figure_class()


def plot_rows(rows: Sequence[ModelRow]) -> Any:
    """Return a figure: times, speed, cost, and agreement where there is one.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    is_judged = any(row.agreement is not None for row in rows)
    height = 2 * (_HEAD + _ROW * len(rows))
    figure = figure_class()(figsize=(_WIDTH, height), layout="constrained")
    (first, second), (third, fourth) = figure.subplots(2, 2, sharey=True)
    names = [_short(row.model) for row in rows]
    for axes in (first, third):
        axes.set_yticks(range(len(rows)), names)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
    first.set_ylim(len(rows) - 0.5, -0.5)  # the first one on top
    _draw_measure(first, "Time to first token", rows, "ttft_s", seconds_text)
    _draw_measure(second, "Latency", rows, "latency_s", seconds_text)
    _draw_measure(
        third, "Output tokens per second", rows, "output_tokens_per_s", speed_text
    )
    if is_judged:
        _draw_agreement(fourth, rows)
    else:
        _draw_costs(fourth, rows)
    figure.supxlabel(_LESS, fontsize="small", color="0.4")
    return figure


def _draw_measure(
    axes: Any,
    title: str,
    rows: Sequence[ModelRow],
    name: str,
    write: Callable[[float], str],
) -> None:
    _prepare(axes, title)
    most = 0.0
    for at, row in enumerate(rows):
        measure: Measure = getattr(row, name)
        for figure, shift, look in (
            (measure.p50, -0.13, {"marker": "o", "color": f"C{at % 10}"}),
            (
                measure.p95,
                0.13,
                {"marker": "o", "color": f"C{at % 10}", "markerfacecolor": "white"},
            ),
        ):
            if figure is not None:
                _draw_figure(axes, figure, at + shift, look)
                most = max(most, figure.value, figure.high or 0.0)
        if measure.p50 is None:
            axes.text(0, at, " not measured", va="center", color="0.5")
    axes.set_xlim(0, most * 1.15 or 1)
    axes.xaxis.set_major_formatter(lambda value, _: write(value) if value else "0")


def _draw_figure(axes: Any, figure: Figure, at: float, look: dict[str, Any]) -> None:
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    axes.plot([low, high], [at, at], color=look["color"], linewidth=2, alpha=0.6)
    axes.plot([figure.value], [at], linestyle="none", markersize=6, **look)
    if figure.high is None:
        axes.annotate(
            "",
            (figure.value, at),
            xytext=(22, 0),
            textcoords="offset points",
            arrowprops={"arrowstyle": "<-", "color": look["color"], "alpha": 0.6},
        )


def _draw_costs(axes: Any, rows: Sequence[ModelRow]) -> None:
    _prepare(axes, "USD per 1,000 calls (failed calls)")
    known = [row.cost_per_1000_usd for row in rows]
    values = [0.0 if cost is None else float(cost) for cost in known]
    bars = axes.barh(
        range(len(rows)), values, 0.5, color=[f"C{at % 10}" for at in range(len(rows))]
    )
    texts = [
        f" {UNKNOWN if cost is None else format_total(row.per_1000)}"
        + (f"  ({failures_text(row)} failed)" if row.failed else "")
        for row, cost in zip(rows, known, strict=True)
    ]
    for text in axes.bar_label(bars, texts):
        text.set_parse_math(False)
    axes.set_xlim(0, max(values, default=0.0) * 1.7 or 1)
    axes.set_xticks([])


def _draw_agreement(axes: Any, rows: Sequence[ModelRow]) -> None:
    _prepare(axes, "Agreement with what was expected (USD per 1,000 calls)")
    for at, row in enumerate(rows):
        look = {"marker": "o", "color": f"C{at % 10}"}
        if row.agreement is not None:
            _draw_figure(axes, row.agreement, at, look)
        cost = axes.text(1.03, at, format_total(row.per_1000), va="center")
        cost.set_parse_math(False)
    axes.set_xlim(0, 1.35)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(lambda value, _: share_text(value))


def _prepare(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize="medium")
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
