"""Tries of routers' calls: totals count both, in memory and in every kind of ledger."""

from __future__ import annotations

import sqlite3
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import START, make_record

from langchain_cerebras_ext._metering import RouterCall, add_try
from langchain_cerebras_ext.costs import Ledger, group_records
from langchain_cerebras_ext.costs._ledger import schema
from langchain_cerebras_ext.costs._ledger.codec import State, read_state
from langchain_cerebras_ext.costs.records import FLAGS, OUTCOMES
from langchain_cerebras_ext.costs.report import Filter, Totals

ENDS = ("ok", "failed", "aborted", "cache_hit")


def records_of(calls, *, arm="e/a"):
    """Return the records of calls, each a list of how its tries ended."""
    found = []
    for number, tries in enumerate(calls):
        call = RouterCall(f"call-{number}")
        for at, outcome in enumerate(tries):
            so_far = None if outcome == "retried" else call.end_try(outcome)
            found.append(
                make_record(
                    number,
                    record_id=f"{number}-{at}",
                    model=f"model-{at % 2}",
                    outcome=outcome,
                    router_call_id=str(call),
                    router_so_far=so_far,
                    arm=arm,
                )
            )
    return found


def judged(tries):
    """Return what a call has come to: said once more, in another way."""
    ends = [one for one in tries if one != "retried"]
    if "ok" in ends or "cache_hit" in ends:
        return "ok"
    return ends[-1] if ends else None


calls = st.lists(
    st.lists(st.sampled_from([*ENDS, "retried"]), min_size=1, max_size=5), max_size=12
)


@given(calls)
def test_whole_calls_are_those_that_callers_have_made(many):
    totals = Totals()
    for record in records_of(many):
        totals.add(record)
    ends = Counter(map(judged, many))
    del ends[None]
    assert totals.whole_calls == sum(ends.values())
    assert totals.whole_failed == ends["failed"]
    assert totals.whole_aborted == ends["aborted"]
    assert totals.calls == sum(len(one) - one.count("retried") for one in many)
    assert totals.failed == sum(one.count("failed") for one in many)


@settings(max_examples=8, deadline=None)
@given(calls)
def test_a_ledger_counts_as_memory_does(many):
    records = records_of(many)
    with Ledger("sqlite://") as ledger:
        ledger.import_records(records)
        for by in ((), ("arm",), ("user",), ("session", "arm"), ("model", "outcome")):
            assert ledger.report(by) == group_records(records, by)
        only = Filter(model=("model-1",))
        mine = [one for one in records if only.takes(one)]
        assert ledger.report(("day",), only) == group_records(mine, ("day",))
        assert sorted(ledger.records(), key=lambda one: one.record_id) == sorted(
            records, key=lambda one: one.record_id
        )


def test_a_part_of_a_calls_tries_is_never_less_than_nothing():
    """A fallback model's own calls were asked for by nobody; none of them failed."""
    fallback = Filter(model=("model-1",))
    totals = Totals()
    for record in records_of([["failed", "ok"]] * 3):
        if fallback.takes(record):
            totals.add(record)
    assert (totals.calls, totals.whole_calls) == (3, 0)
    assert (totals.failed, totals.whole_failed) == (0, 0)


@pytest.mark.parametrize("flags", [(), FLAGS, ("estimated",)], ids=str)
@pytest.mark.parametrize("so_far", [None, "ok", "failed", "aborted"])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_state_is_read_as_it_was_written(outcome, so_far, flags):
    state = State(outcome, flags, so_far)
    assert read_state(state.word()) == state


def test_one_answer_is_enough():
    assert add_try(None, "failed") == "failed"
    assert add_try("failed", "aborted") == "aborted"
    assert add_try("aborted", "failed") == "failed"
    assert add_try("failed", "cache_hit") == "ok"
    assert add_try("ok", "failed") == add_try("ok", "aborted") == "ok"
    assert add_try("failed", "retried") == "failed"


def test_what_a_router_counts_stays_when_rows_are_pruned(tmp_path, monkeypatch):
    later = START.replace(year=START.year + 1)
    monkeypatch.setattr("langchain_cerebras_ext.costs.ledger.utc_now", lambda: later)
    records = records_of([["failed", "ok"], ["failed", "failed"], ["ok"]])
    with Ledger(tmp_path / "costs.db") as ledger:
        ledger.import_records(records)
        before = ledger.report(("arm",))
        assert ledger.prune(later) == 5
        assert ledger.report(("arm",)) == before
        totals = before[0].totals
        assert (totals.whole_calls, totals.whole_failed, totals.failed) == (3, 1, 3)


@pytest.mark.parametrize("form", ["csv", "jsonl", "csv.gz", "parquet"])
def test_files_keep_which_tries_are_of_one_call(tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    records = records_of([["failed", "ok"], ["aborted", "ok"], ["cache_hit"]])
    path = tmp_path / f"records.{form}"
    with Ledger(tmp_path / "a.db") as one, Ledger(tmp_path / "b.db") as two:
        one.import_records(records)
        one.export(path)
        two.import_records(path)
        assert list(two.records()) == list(one.records())
        assert (
            two.report(("arm",))
            == one.report(("arm",))
            == group_records(records, ("arm",))
        )


# What a ledger of version 2 had; totals by tags and nodes came later.
IN_2 = {
    "cerebras_ledger",
    "cerebras_names",
    "cerebras_tagsets",
    "cerebras_tags",
    "cerebras_states",
    "cerebras_prices",
    "cerebras_records",
    "cerebras_hourly",
    "cerebras_hourly_core",
    "cerebras_daily_core",
    "cerebras_daily_tags",
    "cerebras_daily_users",
    "cerebras_latencies",
}


def test_a_ledger_of_version_2_learns_of_routers_calls(tmp_path):
    path = tmp_path / "costs.db"
    old = [make_record(at, arm="e/a", tags=("t",), node="n") for at in range(3)]
    with Ledger(path) as ledger:
        ledger.import_records(old)
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE cerebras_records DROP COLUMN router_call_id")
    for name in schema.metadata.tables.keys() - IN_2:
        connection.execute(f"DROP TABLE {name}")
    connection.execute("UPDATE cerebras_ledger SET version = 2")
    connection.commit()
    connection.close()
    new = records_of([["failed", "ok"]])
    with Ledger(path) as ledger:
        ledger.import_records(new)
        assert ledger.report(("arm",)) == group_records([*old, *new], ("arm",))
        assert {one.router_call_id for one in ledger.records()} == {None, "call-0"}
        assert ledger.report(("node",)) == group_records([*old, *new], ("node",))
