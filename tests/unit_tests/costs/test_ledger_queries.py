"""Answers of a ledger are those that the records themselves give."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import START, make_record
from ledger_strategies import alike_records

from langchain_cerebras_ext.costs._ledger import queries
from langchain_cerebras_ext.costs._ledger import slice as slices
from langchain_cerebras_ext.costs._ledger.bins import bin_of, from_bins, from_values
from langchain_cerebras_ext.costs._ledger.plan import choose
from langchain_cerebras_ext.costs._ledger.rollup import HOUR, NEVER
from langchain_cerebras_ext.costs.ledger import Ledger, PercentileGroup
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.report import (
    DIMENSIONS,
    Filter,
    Totals,
    group_records,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError

minutes = st.none() | st.integers(-100, 4_100)
choices = {
    "model": ["gpt-oss-120b", "zai-glm-4.7", "unheard-of"],
    "provider": ["cerebras", "openai"],
    "user": [None, "a", "b"],
    "session": [None, "a", ""],
    "tag": [None, "a", "b"],
    "node": [None, "a", "b"],
    "arm": [None, "a", "b"],
    "outcome": ["ok", "failed", "cache_hit", "retried"],
    "error_type": [None, "a"],
}


@st.composite
def filters(draw):
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=3, unique=True))
    since, until = draw(minutes), draw(minutes)
    return Filter(
        since=None if since is None else START + timedelta(minutes=since, seconds=7),
        until=None if until is None else START + timedelta(minutes=until),
        **{
            name: tuple(
                draw(st.lists(st.sampled_from(choices[name]), min_size=1, max_size=2))
            )
            for name in names
        },
    )


combined = [("model",), ("day", "arm"), ("error_type", "node"), ("month", "outcome")]
splits = st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True).map(tuple)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "costs.db") as opened:
        yield opened


def filled(records):
    """Return a ledger in memory that has taken records in two batches."""
    ledger = Ledger("sqlite://")
    half = len(records) // 2
    ledger.import_records(records[:half])
    ledger.import_records(records[half:])
    return ledger


@settings(max_examples=8, deadline=None)
@given(
    st.lists(alike_records, max_size=25),
    st.lists(st.tuples(splits, filters()), min_size=6, max_size=6),
)
def test_a_report_is_what_the_records_say(records, questions):
    with filled(records) as ledger:
        for by, chosen in questions:
            taken = [one for one in records if chosen.takes(one)]
            expected = group_records(taken, by)
            assert ledger.report(by, chosen) == expected
            assert ledger.report(by, chosen, limit=2) == expected[:2]
            assert ledger.totals(chosen) == sum_of(taken)
            known = ledger.slice(chosen, unit="hour" if "hour" in by else "day")
            assert known.totals() == sum_of(taken)
            for some in (by, *combined):
                assert known.report(some) == group_records(taken, some)
            # As they are kept: with a word of why there is no cost.
            kept = [one.replace(flags=one.doubts) for one in taken]
            assert sorted(ledger.records(chosen), key=record_id) == sorted(
                kept, key=record_id
            )


def record_id(record):
    return record.record_id


def sum_of(records):
    totals = Totals()
    for one in records:
        totals.add(one)
    return totals


@settings(max_examples=6, deadline=None)
@given(
    st.lists(alike_records, max_size=25),
    st.integers(0, 4_000),
    st.lists(st.tuples(splits, filters()), min_size=6, max_size=6),
)
def test_pruning_rows_leaves_all_totals_to_the_hour(records, cut, questions):
    with filled(records) as ledger:
        before = START + timedelta(minutes=cut)
        hour = before.replace(minute=0)
        gone = sum(one.started_at < hour for one in records)
        assert ledger.prune(before) == gone
        assert len(list(ledger.records())) == len(records) - gone
        for by, chosen in questions:
            if "session" in by or chosen.session:
                continue
            whole = chosen_hours(chosen)
            taken = [one for one in records if whole.takes(one)]
            assert ledger.report(by, whole) == group_records(taken, by)
            known = ledger.slice(whole, unit="hour")
            for some in (by, *combined):
                assert known.report(some) == group_records(taken, some)
        # What has been pruned is not counted again.
        with pytest.warns(match="not taken") if gone else does_not_warn():
            assert ledger.import_records(records) == 0
        assert ledger.totals() == sum_of(records)


def does_not_warn():
    import contextlib

    return contextlib.nullcontext()


def chosen_hours(chosen):
    """Return a filter whose times are whole hours."""

    def whole(time):
        return None if time is None else time.replace(minute=0, second=0)

    values = {name: getattr(chosen, name) for name in chosen.__struct_fields__}
    return Filter(
        **{**values, "since": whole(chosen.since), "until": whole(chosen.until)}
    )


@settings(max_examples=6, deadline=None)
@given(st.lists(alike_records, max_size=20), splits, filters())
def test_costs_by_kind_and_values_are_those_of_the_records(records, by, chosen):
    with filled(records) as ledger:
        taken = [one for one in records if chosen.takes(one)]
        for group in ledger.costs_by_kind(by, chosen):
            costs = [
                one.cost or Cost()
                for one in taken
                for found in group_records([one], by)
                for _ in range(found.totals.calls + found.totals.retries)
                if found.keys == group.keys
            ]
            for kind in group._fields[1:]:
                expected = sum((getattr(one, kind) for one in costs), Decimal(0))
                assert getattr(group, kind) == expected
        for name in ("model", "tag", "session", "user", "outcome", "month"):
            assert dict(ledger.values(name, chosen)) == {
                group.keys[0]: group.totals.calls + group.totals.retries
                for group in group_records(taken, (name,))
            }


def test_an_empty_ledger_has_no_groups_and_empty_totals(ledger):
    assert ledger.report() == ledger.report(("model",)) == []
    assert ledger.totals() == Totals()
    assert ledger.values("user") == ledger.costs_by_kind() == []
    assert ledger.percentiles("ttft_s") == []
    assert list(ledger.records()) == []


def test_sums_are_exact_where_64_bits_of_picodollars_would_not_do(ledger):
    dear = Cost(output=Decimal("9000000.000000000001"))
    ledger.import_records([make_record(n, cost=dear) for n in range(50)])
    whole = 50 * Decimal("9000000.000000000001")
    assert ledger.totals().cost == whole == Decimal("450000000.000000000050")
    one_hour = Filter(since=START, until=START + timedelta(minutes=10))
    assert ledger.totals(one_hour).cost == 10 * Decimal("9000000.000000000001")
    assert ledger.report(("user",))[0].totals.cost == whole


def test_a_filter_with_a_time_without_a_zone_is_refused(ledger):
    naive = Filter(since=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(CerebrasConfigurationError, match="no time zone"):
        ledger.totals(naive)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda one: one.report(("colour",)), "colour"),
        (lambda one: one.values("colour"), "colour"),
        (lambda one: one.percentiles("weight"), "weight"),
        (lambda one: one.percentiles("ttft_s", at=(50,)), "50"),
        (lambda one: one.prune(datetime(2026, 1, 1)), "no time zone"),  # noqa: DTZ001
    ],
    ids=["dimension", "values", "field", "percentile", "prune"],
)
def test_a_question_that_makes_no_sense_is_refused(ledger, ask, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        ask(ledger)


def test_records_come_in_the_order_of_time_page_by_page(ledger, monkeypatch):
    monkeypatch.setattr(queries, "_PAGE", 3)
    records = [make_record(n // 2, user=str(n)) for n in range(10)]
    ledger.import_records(reversed(records))
    times = [one.started_at for one in records]
    assert [one.started_at for one in ledger.records()] == times
    newest = list(ledger.records(limit=4, newest_first=True))
    assert [one.started_at for one in newest] == times[:-5:-1]
    assert len({one.record_id for one in ledger.records()}) == 10


def test_records_may_be_added_while_they_are_read(ledger, monkeypatch):
    monkeypatch.setattr(queries, "_PAGE", 2)
    ledger.import_records([make_record(n) for n in range(4)])
    seen = []
    for record in ledger.records():
        seen.append(record)
        if len(seen) <= 4:
            ledger.add(make_record(-1))
            ledger.flush()
    assert len({one.record_id for one in seen}) == len(seen) == 4


# --------------------------------------------------------------------- percentiles


def test_few_values_give_exact_percentiles(ledger):
    ledger.import_records(
        make_record(n, ttft_s=n / 100, user="ab"[n % 2]) for n in range(1, 101)
    )
    [all_of_them] = ledger.percentiles("ttft_s")
    assert all_of_them == PercentileGroup((), 100, (0.50, 0.95, 0.99))
    by_user = ledger.percentiles("ttft_s", ("user",), at=(0, 1))
    assert {one.keys: one.values for one in by_user} == {
        ("a",): (0.02, 1.0),
        ("b",): (0.01, 0.99),
    }
    assert ledger.percentiles("queue_time_s") == []


@pytest.mark.parametrize(
    "chosen",
    [
        Filter(),
        Filter(since=START + timedelta(hours=7), until=START + timedelta(hours=70)),
        Filter(model=("gpt-oss-120b",), arm=("a",)),
    ],
    ids=["all", "parts of days", "model and arm"],
)
@pytest.mark.parametrize("by", [(), ("model",), ("day",), ("month",)], ids=str)
def test_many_values_give_percentiles_within_two_per_cent(
    ledger, monkeypatch, by, chosen
):
    monkeypatch.setattr(queries, "EXACT_COUNT", 10)
    records = [
        make_record(
            n * 8,
            ttft_s=1.01**n / 3,
            arm="ab"[n % 2],
            model=("gpt-oss-120b", "zai-glm-4.7")[n % 3 == 0],
        )
        for n in range(600)
    ]
    ledger.import_records(records)
    found = ledger.percentiles("ttft_s", by, chosen)
    if by == ("model",):
        timed = ledger.slice(chosen).percentiles("ttft_s", "model", (0.5, 0.95, 0.99))
        assert timed == ([(one.keys, one.count, one.values) for one in found], None)
    monkeypatch.setattr(queries, "EXACT_COUNT", 10**9)
    exact = ledger.percentiles("ttft_s", by, chosen)
    assert [(one.keys, one.count) for one in found] == [
        (one.keys, one.count) for one in exact
    ]
    for rough, right in zip(found, exact, strict=True):
        for a, b in zip(rough.values, right.values, strict=True):
            assert a == pytest.approx(b, rel=0.02)


@pytest.mark.parametrize("few", [10, 1_000], ids=["many rows", "few rows"])
@pytest.mark.parametrize(
    "chosen",
    [Filter(user=("a",)), Filter(node=("n",)), Filter(tag=("x",)), Filter()],
    ids=["user", "node", "tag", "all"],
)
def test_a_slice_knows_what_the_newest_calls_of_an_arm_have_cost(
    ledger, monkeypatch, few, chosen
):
    monkeypatch.setattr(slices, "FEW", few)
    monkeypatch.setattr(queries, "FEW", few)
    monkeypatch.setattr(slices, "NEWEST", 10)
    ledger.import_records(
        make_record(
            -n if n % 2 else n,
            user="a",
            node="n",
            tags=("x",),
            arm="b" if n % 7 else "c",
            outcome="retried" if n % 5 == 0 else "ok",
            cost=None if n % 3 == 0 else Cost(output=Decimal(n)),
        )
        for n in range(60)
    )
    known = ledger.slice(chosen)
    for arm in ("b", "c"):
        newest = itertools.islice(
            (r for r in ledger.records(newest_first=True) if r.arm == arm), 20
        )
        expected = [
            r.cost_usd
            for r in newest
            if r.cost_usd is not None and r.outcome != "retried"
        ]
        assert known.newest_costs(arm, 20, 60) == expected
        assert len(expected) > 2


def test_the_cost_of_a_call_has_its_billed_retries(ledger):
    def row(n, run, outcome, cost, router=None):
        cost = None if cost is None else Cost(output=Decimal(cost))
        ledger.add(
            make_record(
                n,
                arm="b",
                run_id=run,
                outcome=outcome,
                cost=cost,
                router_call_id=router,
            )
        )

    row(1, "cut off", "retried", 64)
    row(2, "one", "retried", 1)
    row(2, "one", "retried", None)
    row(2, "one", "ok", 2)
    row(3, "two", "ok", 4)
    row(4, "three", "retried", 8, "routed")
    row(4, "three", "failed", 0, "routed")
    row(5, "four", "ok", 16, "routed")
    row(6, None, "ok", 32)
    ledger.flush()
    costs = ledger.slice(Filter()).newest_costs("b", 20, 9)
    assert sorted(costs) == [3, 4, 24, 32]


@pytest.mark.parametrize("few_states", [0, 8], ids=["a second look", "columns"])
@pytest.mark.parametrize(
    "errors", [("a", "b"), (None, "a"), ("a", None)], ids=["by outcome", "not", "nor"]
)
def test_error_types_and_states_are_told_apart_in_every_way(
    ledger, monkeypatch, few_states, errors
):
    monkeypatch.setattr(queries, "_FEW_STATES", few_states)
    records = [
        make_record(
            n,
            user="ab"[n % 2],
            tags=("x",)[: n % 3],
            outcome=("ok", "failed", "retried", "aborted")[n % 4],
            error_type=errors[n // 4 % 2] if n % 4 in {1, 2} else None,
        )
        for n in range(48)
    ]
    ledger.import_records(records)
    for chosen in (
        Filter(error_type=(None,)),
        Filter(error_type=("a", "b")),
        Filter(error_type=("a",), outcome=("failed",)),
        Filter(error_type=(None,), outcome=("failed", "ok"), tag=("x",)),
    ):
        taken = [one for one in records if chosen.takes(one)]
        for by in ((), ("user",), ("user", "model"), ("tag",), ("error_type", "month")):
            assert ledger.report(by, chosen) == group_records(taken, by)


def test_a_slice_does_without_a_cube_that_is_too_large(ledger, monkeypatch):
    monkeypatch.setattr(slices, "MOST", 1)
    records = [make_record(60 * n, node="ab"[n % 2]) for n in range(4)]
    ledger.import_records(records)
    for unit in ("hour", "day"):
        chosen = Filter(since=START, until=START + timedelta(days=2))
        known = ledger.slice(chosen, unit=unit)
        assert not known.has("node")
        assert known.report(("node",)) == group_records(records, ("node",))
        assert known.totals().calls == 4
    assert ledger.slice(Filter(until=START - timedelta(days=1))).has("node")


def test_a_slice_reads_once_for_all_who_ask(ledger, monkeypatch):
    ledger.import_records(make_record(n, node="a") for n in range(4))
    real, read = queries.Asked.cube, []

    def slow(asked, most):
        read.append(asked.by)
        time.sleep(0.05)
        return real(asked, most)

    monkeypatch.setattr(queries.Asked, "cube", slow)
    known = ledger.slice(Filter(node=("a",)))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: known.totals().calls, range(4)))
    assert found == [4] * 4
    assert len(read) == 1
    assert known.report(("model", "day"))[0].totals.calls == 4
    assert len(read) == 1


def test_very_many_rows_are_sampled_evenly(ledger, monkeypatch):
    monkeypatch.setattr(queries, "SAMPLE", 100)
    ledger.import_records(
        make_record(n, node="a", duration_s=float(n)) for n in range(1_000)
    )
    [group] = ledger.percentiles("duration_s", filter=Filter(node=("a",)))
    assert group.count == 1_000
    assert group.values[0] == pytest.approx(500, abs=10)
    [exact] = ledger.percentiles("duration_s", ("user",), Filter(node=("a",)))
    assert exact.values[0] == 499.0


@given(
    st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=50),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_bins_are_at_most_two_per_cent_off(values, at):
    counts = {}
    for value in values:
        counts[bin_of(value)] = counts.get(bin_of(value), 0) + 1
    for rough, exact in zip(
        from_bins(counts, at), from_values(values, at), strict=True
    ):
        assert rough == pytest.approx(exact, rel=0.02)


def test_no_values_have_no_percentiles_and_zero_is_kept():
    assert from_values([], (0.5,)) == from_bins({}, (0.5,)) == (None,)
    assert from_bins({bin_of(0.0): 3}, (0.5,)) == (0.0,)


# ---------------------------------------------------------------------------- plans


def micros(**parts):
    return round(
        (datetime(2026, 5, 1, tzinfo=UTC) + timedelta(**parts)).timestamp()
    ) * (10**6)


def sources(needed, since, until, pruned=NEVER):
    spans = choose(needed, since=since, until=until, pruned=pruned)
    return [span.source for span in spans]


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        ({"model"}, ["rows", "rows", "daily_core", "hourly_core", "hourly_core"]),
        ({"model", "hour"}, ["rows", "rows", "hourly_core"]),
        ({"user"}, ["rows", "rows", "daily_users", "rows", "rows"]),
        ({"user", "model"}, ["rows", "rows", "daily_models", "rows", "rows"]),
        ({"user", "provider"}, ["rows", "rows", "daily_models", "rows", "rows"]),
        ({"user", "node"}, ["rows", "rows", "hourly"]),
        ({"user", "tag"}, ["rows", "rows", "hourly"]),
        ({"tag", "hour", "outcome"}, ["rows", "rows", "hourly_tags"]),
        ({"tag", "hour", "arm"}, ["rows", "rows", "hourly"]),
        ({"tag", "model"}, ["rows", "rows", "daily_tags", "rows", "rows"]),
        ({"tag", "arm"}, ["rows", "rows", "daily_tags", "rows", "rows"]),
        ({"tag", "node"}, ["rows", "rows", "daily_nodes", "rows", "rows"]),
        ({"tag", "node", "model"}, ["rows", "rows", "hourly"]),
        ({"user", "session"}, ["rows"]),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else "",
)
def test_the_smallest_table_that_knows_answers(needed, expected):
    since, until = micros(hours=1, minutes=5), micros(days=9, hours=3, minutes=1)
    assert sources(needed, since, until) == expected


def test_whole_days_need_one_table_and_less_than_an_hour_only_rows():
    assert sources({"model"}, micros(), micros(days=3)) == ["daily_core"]
    assert sources(set(), None, None) == ["daily_core"]
    assert sources({"model"}, micros(minutes=5), micros(minutes=50)) == ["rows"]
    assert sources({"model"}, micros(hours=2), micros(hours=5)) == ["hourly_core"]
    assert sources({"model"}, micros(hours=2), micros(hours=2)) == []


def test_where_rows_are_pruned_hours_stand_in():
    pruned = micros(days=2)
    found = choose({"tag"}, since=micros(hours=5, minutes=1), until=None, pruned=pruned)
    assert [span.source for span in found] == ["daily_nodes", "hourly"]
    assert found[1].since == micros(hours=6) // HOUR + 719_162 * 24
    assert sources({"session"}, None, None, pruned) == ["hourly", "rows"]


def test_a_text_is_one_dimension_and_one_value(tmp_path):
    """Its letters are no dimensions, and as values they would find nothing."""
    with Ledger(tmp_path / "costs.db") as ledger:
        calls = [make_record(), make_record().replace(model_served="zai-glm-4.7")]
        ledger.import_records(
            [one.replace(record_id=str(at) * 32) for at, one in enumerate(calls)]
        )
        groups = ledger.report("model")
        assert groups == ledger.report(("model",)) == group_records(calls, "model")
        assert len(groups) == 2
        wanted = Filter(model="zai-glm-4.7")
        assert wanted == Filter(model=("zai-glm-4.7",))
        assert ledger.totals(wanted).calls == 1
        assert [wanted.takes(one) for one in calls] == [False, True]
        with pytest.raises(CerebrasConfigurationError, match="by='modell' is unknown"):
            ledger.report("modell")


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("value", ["2026-11-01", START.date(), 0])
def test_what_is_no_time_is_refused_by_a_filter(name, value):
    with pytest.raises(CerebrasConfigurationError, match=f"^{name}=.* is no time"):
        Filter(**{name: value})
