"""Plots of costs: what is in the figure, and what matplotlib must not make of names."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from langchain_cerebras_ext.costs._plot import figure_class, plot_costs
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.errors import CerebrasConfigurationError, MissingExtraError

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

START = datetime(2026, 11, 20, 9, tzinfo=UTC)


def record(minutes: int, model: str, usd: str | None, **more: Any) -> UsageRecord:
    return UsageRecord(
        started_at=START + timedelta(minutes=minutes),
        model=model,
        cost=None if usd is None else Cost(output=Decimal(usd)),
        flags=("unpriced",) if usd is None else (),
        **more,
    )


CALLS = [
    record(30, "b", "0.25", user="ann"),
    record(0, "a", "1", user="ann", tags=("x", "y")),
    record(60, "a", "0.5", tags=("x",)),
    record(10, "c", None),
]


def steps(line: Any) -> list[tuple[float, float]]:
    """Return the points of a line as (minutes, USD)."""
    from matplotlib.dates import num2date

    return [
        ((num2date(x) - START).total_seconds() / 60, y)
        for x, y in zip(line.get_xdata(orig=False), line.get_ydata(), strict=True)
    ]


def near(points: list[tuple[float, float]]) -> Any:
    return [pytest.approx(point, abs=1e-4) for point in points]


def test_it_draws_what_was_spent_over_time_and_by_model() -> None:
    figure = plot_costs(CALLS)
    left, right = figure.axes
    # 1 at once, 0.25 after half an hour, 0.5 at the end: in all 1.75.
    whole, a, b = left.get_lines()
    assert steps(whole) == near([(0, 0), (0, 1), (30, 1.25), (60, 1.75), (60, 1.75)])
    assert steps(a) == near([(0, 0), (0, 1), (60, 1.5), (60, 1.5)])
    assert steps(b) == near([(0, 0), (30, 0.25), (60, 0.25)])
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "all",
        "a",
        "b",
    ]
    assert [bar.get_width() for bar in right.patches] == [0, 0.25, 1.5]
    assert [label.get_text() for label in right.get_yticklabels()] == ["c", "b", "a"]
    assert [text.get_text().strip() for text in right.texts] == [
        "unknown",
        "$0.25",
        "$1.50",
    ]
    assert figure.get_suptitle() == "≥ $1.75 in 4 calls"
    assert "1 call unpriced" in figure.get_supxlabel()


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        ("user", ["(no user)", "ann"]),
        ("tag", ["(no tag)", "y", "x"]),
        ("day", ["2026-11-20"]),
    ],
)
def test_it_splits_by_any_dimension(by: str, labels: list[str]) -> None:
    _, right = plot_costs(CALLS, by=by).axes
    assert [label.get_text() for label in right.get_yticklabels()] == labels


@pytest.mark.parametrize("models", [1, 2, 5, 12])
def test_bars_are_of_use_however_few_there_are(models: int) -> None:
    calls = [record(n, f"m{n}", "1") for n in range(models)]
    _, right = plot_costs(calls).axes
    low, high = right.get_ylim()
    assert all(bar.get_height() <= (high - low) / 5 for bar in right.patches)
    assert low < -0.4, "all of the last bar is seen"
    assert high == pytest.approx(models - 0.4), "the first stands at the top"


def test_without_calls_there_are_no_axes() -> None:
    figure = plot_costs([])
    assert [axes.axison for axes in figure.axes] == [False, False]


def test_the_time_is_utc_wherever_the_calls_were_made() -> None:
    elsewhere = timezone(timedelta(hours=9))
    calls = [
        one.replace(started_at=one.started_at.astimezone(elsewhere)) for one in CALLS
    ]
    left, _ = plot_costs(calls).axes
    assert (
        left.xaxis.get_major_formatter()
        .format_ticks(left.xaxis.get_major_locator()())[1]
        .startswith("09:")
    )
    assert steps(left.get_lines()[0]) == steps(plot_costs(CALLS).axes[0].get_lines()[0])


def test_names_are_shown_as_they_are() -> None:
    """Neither formulas, nor left out of the legend, nor longer than the plot."""
    names = [r"$\frac{1}$", "_hidden", "x" * 90, "<script>", "$a$ and $b$"]
    figure = plot_costs([record(n, name, "1") for n, name in enumerate(names)])
    left, right = figure.axes
    shown = {text.get_text() for text in left.get_legend().get_texts()}
    assert {"all", r"$\frac{1}$", " _hidden", "x" * 35 + "…", "<script>"} <= shown
    assert {label.get_text() for label in right.get_yticklabels()} == {
        *(r"$\frac{1}$", "_hidden", "x" * 35 + "…", "<script>", "$a$ and $b$")
    }
    figure.canvas.draw()  # a formula with a fault in it would raise


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([], id="none"),
        pytest.param([record(0, "a", "1")], id="one"),
        pytest.param([record(0, "a", None)], id="of unknown cost"),
        pytest.param([record(n, f"m{n}", str(n)) for n in range(40)], id="many models"),
    ],
)
def test_any_calls_can_be_drawn(calls: list[UsageRecord]) -> None:
    figure = plot_costs(calls)
    figure.canvas.draw()
    assert len(figure.axes) == 2


def test_calls_of_unknown_cost_have_no_axis_of_money() -> None:
    left, _ = plot_costs([record(0, "a", None), record(1, "a", None)]).axes
    assert [text.get_text() for text in left.texts] == ["no call of known cost"]
    assert not left.get_lines()


def test_one_call_stands_in_its_minute() -> None:
    from matplotlib.dates import num2date

    left, _ = plot_costs([record(0, "a", "1")]).axes
    begin, end = map(num2date, left.get_xlim())
    minute = timedelta(minutes=1)
    assert (START - begin, end - START) == (minute, minute)


def test_many_groups_are_said_to_be_more() -> None:
    _, right = plot_costs([record(n, f"m{n}", "1") for n in range(40)]).axes
    assert right.get_title(loc="left") == "Cost by model (28 more)"


def test_a_notebook_gets_a_picture_and_nothing_is_kept() -> None:
    figure: Any = plot_costs(CALLS)
    assert figure._repr_png_().startswith(b"\x89PNG\r\n")
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_it_draws_into_a_figure_of_yours() -> None:
    from matplotlib.figure import Figure

    mine = Figure()
    assert plot_costs(CALLS, figure=mine) is mine
    assert len(mine.axes) == 2


def test_an_unknown_dimension_is_refused() -> None:
    with pytest.raises(CerebrasConfigurationError, match="by='colour' is unknown"):
        plot_costs(CALLS, by="colour")


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide matplotlib."""
    figure_class.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    yield
    figure_class.cache_clear()


@pytest.mark.usefixtures("without_matplotlib")
def test_without_the_extra_it_says_which_one() -> None:
    with pytest.raises(MissingExtraError, match=r"langchain-cerebras-ext\[plot\]"):
        plot_costs(CALLS)


def test_a_sign_that_no_font_has_is_no_warning_in_a_notebook() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = plot_costs([record(0, "\N{FOX FACE}", "1")])._repr_png_()
    assert picture.startswith(b"\x89PNG")
