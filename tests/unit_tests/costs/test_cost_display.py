"""How costs look: money, doubts in words, text, and HTML in which names are text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext.costs._display import (
    doubts,
    format_total,
    format_usd,
    groups_html,
    groups_text,
    key_label,
    spend_curve,
    tracker_html,
    tracker_line,
    tracker_text,
)
from langchain_cerebras_ext.costs.report import Group, Totals

START = datetime(2026, 11, 20, 9, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


# ----------------------------------------------------------------------------- money


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"),
        ("0", "$0"),
        ("0E-12", "$0"),
        ("-0", "$0"),
        ("0.000123", "$0.000123"),
        ("0.000000000001", "$0.000000000001"),
        ("0.0001234", "$0.000123"),
        ("0.06", "$0.06"),
        ("0.0600", "$0.06"),
        ("0.060049", "$0.0600"),  # rounded, and one sees it
        ("0.35", "$0.35"),
        ("0.5", "$0.50"),
        ("0.1236", "$0.124"),
        ("0.9994", "$0.999"),
        ("0.9996", "$1.00"),
        ("1", "$1.00"),
        ("1.006", "$1.01"),
        ("12.345678", "$12.35"),
        ("1234.5", "$1,234.50"),
        ("12345678.905", "$12,345,678.90"),
        ("1E+3", "$1,000.00"),
        ("-0.12", "-$0.12"),
        ("-3.5", "-$3.50"),
    ],
)
def test_money_has_cents_and_more_where_it_is_small(
    amount: str | None, shown: str
) -> None:
    assert format_usd(None if amount is None else Decimal(amount)) == shown


@given(st.decimals("0.000000000001", "999999999", places=12))
def test_what_is_not_zero_never_looks_like_it(amount: Decimal) -> None:
    shown = Decimal(format_usd(amount).removeprefix("$").replace(",", ""))
    assert shown > 0
    assert abs(shown - amount) <= max(amount / 200, Decimal(0))


# ------------------------------------------------------------------------- certainty

UNPRICED = Totals(calls=3, unpriced_calls=1, cost=Decimal("0.25"))
ALL_UNPRICED = Totals(calls=1, unpriced_calls=1)
ESTIMATED = Totals(
    calls=2, calls_without_usage=2, estimated_calls=2, cost=Decimal("0.25")
)
UNCOUNTED = Totals(calls=2, calls_without_usage=1, cost=Decimal("0.25"))
HALF_COUNTED = Totals(
    calls=2,
    calls_without_usage=1,
    estimated_calls=1,
    half_counted_calls=1,
    cost=Decimal("0.25"),
)


@pytest.mark.parametrize(
    ("totals", "shown"),
    [
        pytest.param(Totals(), "$0", id="nothing"),
        pytest.param(Totals(calls=2, cache_hits=2), "$0", id="free"),
        pytest.param(Totals(calls=1, cost=Decimal("0.25")), "$0.25", id="exact"),
        pytest.param(UNPRICED, "≥ $0.25", id="some unpriced"),
        pytest.param(ALL_UNPRICED, "unknown", id="all unpriced"),
        pytest.param(UNCOUNTED, "≥ $0.25", id="some uncounted"),
        pytest.param(Totals(calls=1, calls_without_usage=1), "unknown", id="uncounted"),
        pytest.param(ESTIMATED, "~ $0.25", id="estimated"),
        pytest.param(HALF_COUNTED, "≥ $0.25", id="half counted, and uncounted"),
    ],
)
def test_a_total_says_what_it_is_worth(totals: Totals, shown: str) -> None:
    assert format_total(totals) == shown


def test_doubts_are_told_in_words_and_each_call_once() -> None:
    totals = Totals(calls=9, unpriced_calls=2, calls_without_usage=4, estimated_calls=3)
    assert doubts(totals) == [
        (
            "2 calls unpriced: no price of the model is known. Their cost is not in the "
            "total."
        ),
        (
            "1 call without usage: the service did not say how many tokens it counted. "
            "Its cost is not in the total."
        ),
        (
            "3 calls estimated: the service did not say how many tokens it counted; they "
            "were counted here, from what was sent and came."
        ),
    ]
    assert doubts(Totals(calls=9, cost=Decimal(1))) == []


def test_a_call_counted_in_part_does_not_hide_one_that_nobody_counted() -> None:
    told = " ".join(doubts(HALF_COUNTED))
    assert told.startswith("1 call without usage:")
    assert "1 call estimated:" in told


@pytest.mark.parametrize(
    ("key", "dimension", "label"),
    [
        ("ann", "user", "ann"),
        (None, "user", "(no user)"),
        (None, "error_type", "(no error)"),
        ("", "tag", "(empty)"),
        ("a\x1b[31mb\nc", "tag", "a [31mb c"),
        ("\u202egnp.exe", "user", "gnp.exe"),
    ],
)
def test_a_key_is_one_line_that_steers_nothing(
    key: str | None, dimension: str, label: str
) -> None:
    assert key_label(key, dimension) == label


# ------------------------------------------------------------------------------ text


def two_models() -> tuple[Totals, dict[str, Totals]]:
    """Two models: one priced at 0.35 + 0.75 a million tokens, one without a price."""
    priced = Totals(
        calls=3,
        failed=1,
        input_tokens=2_000,
        cached_input_tokens=500,
        output_tokens=1_000,
        cost=2_000 * Decimal("0.35e-6") + 1_000 * Decimal("0.75e-6"),
        cache_savings=Decimal("0.0001"),
    )
    unpriced = Totals(calls=1, unpriced_calls=1, input_tokens=40, output_tokens=2)
    whole = Totals()
    whole.merge(priced)
    whole.merge(unpriced)
    return whole, {"mine": unpriced, "gpt-oss-120b": priced}


def test_a_tracker_is_told_on_a_line() -> None:
    totals, _ = two_models()
    assert tracker_line(totals) == (
        "≥ $0.00145 in 4 calls, 1 failed; 2,040 tokens in (500 cached), 1,002 out; "
        "1 unpriced"
    )


def test_a_tracker_is_told_in_a_table_of_text() -> None:
    totals, by_model = two_models()
    assert tracker_text(totals, by_model).splitlines() == [
        (
            "≥ $0.00145 in 4 calls, 1 failed; 2,040 tokens in (500 cached), 1,002 out; "
            "cache saved $0.0001"
        ),
        "  model             cost  calls  tokens in    out",
        "  gpt-oss-120b  $0.00145      3      2,000  1,000",
        "  mine           unknown      1         40      2",
        (
            "! 1 call unpriced: no price of the model is known. Its cost is not in the "
            "total."
        ),
    ]


def test_a_tracker_of_nothing_is_told_in_a_line() -> None:
    assert tracker_text(Totals(), {}) == "$0 in 0 calls; 0 tokens in, 0 out"
    assert "<table" not in tracker_html(Totals(), {}, [])


@pytest.mark.parametrize(
    ("by", "rest"),
    [(("user",), "and 3 more: $6.00"), (("tag",), "and 3 more")],
    ids=["user", "tag, where rows overlap"],
)
def test_long_tables_end_in_the_sum_of_the_rest(by: tuple[str], rest: str) -> None:
    groups = [Group((f"k{n}",), Totals(calls=1, cost=Decimal(n))) for n in range(15)]
    groups.reverse()  # the cheapest three cost 2 + 1 + 0; then:
    groups[-1].totals.cost = Decimal(3)
    assert groups_text(groups, by).splitlines()[-1] == rest
    assert rest in groups_html(groups, by)
    assert "k3" in groups_html(groups, by)
    assert ">k2<" not in groups_html(groups, by)


# ----------------------------------------------------------------------------- chart


def test_the_curve_grows_by_what_was_spent_in_any_order() -> None:
    series = [
        (at(2), Decimal(3)),
        (at(0), Decimal(1)),
        (at(1), None),
        (at(1), Decimal(2)),
    ]
    assert spend_curve(series) == [
        (at(0), Decimal(1)),
        (at(1), Decimal(3)),
        (at(2), Decimal(6)),
    ]
    assert spend_curve([(at(0), None)]) == []


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    cost = Decimal("0.000000000001")
    curve = spend_curve([(at(n), cost) for n in range(10_000)], points=50)
    assert len(curve) <= 52
    assert curve[0] == (at(0), cost)
    assert curve[-1] == (at(9_999), 10_000 * cost)
    assert [spent for _, spent in curve] == sorted(spent for _, spent in curve)


class Tags(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"


def test_names_in_html_are_text() -> None:
    totals = Totals(calls=2, cost=Decimal(2), unpriced_calls=1)
    series = [(at(0), Decimal(1)), (at(5), Decimal(1)), (at(3), None)]
    page = tracker_html(totals, {EVIL: totals}, series)
    seen = Tags(page)
    assert {"div", "svg", "path", "text", "table", "td"} <= set(seen.tags)
    assert set(seen.tags) <= {
        *("div", "span", "b", "svg", "path", "text"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert not any(name in {"href", "src"} for name, _ in seen.attributes)
    assert EVIL in seen.texts
    assert "http" not in page
    ET.fromstring(page)


def test_html_says_the_sum_its_doubts_and_draws_what_was_spent() -> None:
    totals, by_model = two_models()
    series = [(at(0), Decimal("0.001")), (at(60), Decimal("0.00045")), (at(30), None)]
    page = tracker_html(totals, by_model, series)
    texts = Tags(page).texts
    assert "≥ $0.00145" in texts
    assert "unknown" in texts
    assert any("no price of the model is known" in text for text in texts)
    assert "$0.00145 spent | marks calls of unknown cost" in texts
    assert "2026-11-20 09:00:00" in texts
    assert "2026-11-20 10:00:00 UTC" in texts
    # The first call is at the left, at 100 * 0.001 / 0.00145 of the height of 60.
    assert "M0.0 76H0.0V34.6H560.0V16.0H560" in page
    # The call of unknown cost is marked in the middle.
    assert "M280.0 76v6" in page


@pytest.mark.parametrize(
    "series",
    [
        pytest.param([], id="no calls"),
        pytest.param([(at(0), Decimal(1))], id="one call"),
        pytest.param([(at(0), Decimal(1)), (at(0), Decimal(1))], id="at once"),
        pytest.param([(at(0), None), (at(1), None)], id="unknown"),
        pytest.param([(at(0), Decimal(0)), (at(1), Decimal(0))], id="free"),
    ],
)
def test_there_is_no_chart_where_there_is_no_course(
    series: list[tuple[datetime, Decimal | None]],
) -> None:
    assert "<svg" not in tracker_html(Totals(calls=2, cost=Decimal(2)), {}, series)


def test_colours_are_those_of_the_page() -> None:
    totals, by_model = two_models()
    page = tracker_html(totals, by_model, [(at(0), Decimal(1)), (at(1), Decimal(1))])
    assert "currentColor" in page
    assert "#000" not in page
    assert "#fff" not in page
    assert "white" not in page.replace("white-space", "")
