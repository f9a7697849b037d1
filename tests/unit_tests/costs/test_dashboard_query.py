"""Query strings of the dashboard: times, filters, and what is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext.dashboard.query import (
    LENGTH_MAX,
    VALUES_MAX,
    Options,
    QueryError,
    read_view,
)

NOW = datetime(2026, 11, 21, 16, 34, 56, tzinfo=UTC)
ALLOWED = tuple(Options.__struct_fields__)


def read(query, allowed=ALLOWED):
    return read_view(parse_qsl(query, keep_blank_values=True), now=NOW, allowed=allowed)


@pytest.mark.parametrize(
    ("span", "since"),
    [
        ("1h", "2026-11-21T15:34:00"),
        ("24h", "2026-11-20T17:00:00"),
        ("7d", "2026-11-15"),
        ("30d", "2026-10-23"),
        ("90d", "2026-08-24"),
        ("12m", "2025-12-01"),
    ],
)
def test_a_range_begins_with_a_whole_bucket_and_ends_now(span, since):
    view = read(f"range={span}")
    assert view.since == datetime.fromisoformat(since).replace(tzinfo=UTC)
    assert view.until is None
    assert (view.filter.since, view.filter.until) == (view.since, None)


def test_without_a_range_it_is_the_last_30_days():
    assert read("").range == "30d"


def test_all_time_has_no_ends_and_nothing_before_it():
    view = read("range=all")
    assert (view.since, view.until, view.before) == (None, None, None)


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("since=2026-11-01&until=2026-11-02", (2026, 11, 1, 0, 0), (2026, 11, 2, 0, 0)),
        ("since=2026-11-01T10:30", (2026, 11, 1, 10, 30), None),
        ("since=2026-11-01T10:30%2B02:00", (2026, 11, 1, 8, 30), None),
        ("until=2026-11-01T10:30:00Z", None, (2026, 11, 1, 10, 30)),
        ("range=custom", None, None),
    ],
    ids=["days", "minute", "offset", "zulu", "open"],
)
def test_times_of_ones_own_are_utc_unless_they_say_otherwise(query, since, until):
    view = read(query)
    assert view.range == "custom"
    assert view.since == (since and datetime(*since, tzinfo=UTC))
    assert view.until == (until and datetime(*until, tzinfo=UTC))


def test_the_time_before_is_as_long_and_ends_as_far_into_its_period():
    before = read("range=7d&model=a").before
    assert before.since == datetime(2026, 11, 8, tzinfo=UTC)
    assert before.until == NOW - timedelta(days=7)
    assert before.model == ("a",)


def test_the_time_before_the_year_one_is_none():
    assert read("since=0001-01-02&until=2026-01-01").before is None


@pytest.mark.parametrize(
    ("query", "bucket"),
    [
        ("range=24h", "hour"),
        ("range=7d", "day"),
        ("range=90d", "day"),
        ("range=12m", "month"),
        ("since=0001-01-01&until=9999-01-01", "day"),
    ],
)
def test_buckets_fit_the_time_in_which_there_are_records(query, bucket):
    first, last = NOW - timedelta(days=300), NOW
    if bucket == "day" and "since" in query:
        first = NOW - timedelta(days=30)
    assert read(query).bucket(first, last) == bucket


def test_values_are_kept_in_order_once_and_unknown_is_none():
    view = read("user=b&user=a&user=b&no=user&tag=&no=arm")
    assert view.filter.user == ("b", "a", None)
    assert view.filter.tag == ("",)
    assert view.filter.arm == (None,)
    assert view.filter.model == ()


@pytest.mark.parametrize(
    ("query", "name", "rule"),
    [
        ("colour=red", "colour", "is unknown; take one of range"),
        ("range=week", "range", "take one of 1h"),
        ("range=7d&since=2026-01-01", "range", "range=custom"),
        ("since=yesterday", "since", "is no time"),
        ("since=9999-12-31T23:59-23:00", "since", "is no time"),
        ("since=2026-02-01&until=2026-01-01", "since", "must be before"),
        ("since=2026-02-01&until=2026-02-01", "since", "must be before"),
        ("no=colour", "no", "take one of model"),
        ("outcome=good", "outcome", "take one of ok"),
        ("by=colour", "by", "take one of model"),
        ("by=day", "by", "take one of model"),
        ("sort=name", "sort", "take one of cost"),
        ("format=xml", "format", "take one of json"),
        ("limit=0", "limit", "a number from 1 to 1000"),
        ("limit=1001", "limit", "a number from 1 to 1000"),
        ("limit=-1", "limit", "a number from"),
        ("limit=1e3", "limit", "a number from"),
        ("limit=%D9%A1", "limit", "a number from"),
        ("limit=99999999999999999999", "limit", "a number from"),
        ("offset=x", "offset", "a number from 0"),
        ("offset=10001", "offset", "to 10000"),
        (f"user={'x' * (LENGTH_MAX + 1)}", "user", "at most 1000 characters"),
        ("user=a%00b", "user", "no null character"),
        ("&".join(f"user={n}" for n in range(VALUES_MAX + 1)), "user", "at most 50"),
    ],
)
def test_what_is_wrong_is_refused_with_its_name_and_the_rule(query, name, rule):
    with pytest.raises(QueryError, match=re.escape(rule)) as caught:
        read(query)
    assert caught.value.name == name
    assert len(str(caught.value)) < 400


def test_a_table_takes_only_its_own_options():
    with pytest.raises(QueryError, match="'limit' is unknown"):
        read("limit=5", allowed=("by",))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["range", "since", "until", "no", "user", *ALLOWED, "x"]),
            st.text(max_size=20)
            | st.sampled_from(["7d", "custom", "2026-01-01", "0001-01-01", "model"]),
        ),
        max_size=5,
    )
)
def test_any_query_is_read_or_refused_and_nothing_else_happens(pairs):
    try:
        view = read_view(pairs, now=NOW, allowed=ALLOWED)
    except QueryError:
        return
    assert view.before is None or view.before.since < view.before.until
    assert view.bucket(None, None) in {"hour", "day", "month"}
