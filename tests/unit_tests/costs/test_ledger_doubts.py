"""Rows without a cost and without a word of why: SQL counts them as records do."""

from __future__ import annotations

import sqlite3
import tempfile
from itertools import product
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import make_record
from ledger_strategies import alike_records

from langchain_cerebras_ext.costs._display import format_total
from langchain_cerebras_ext.costs._ledger import schema
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.records import FLAGS, OUTCOMES, UsageRecord
from langchain_cerebras_ext.costs.report import Filter, Totals, group_records

SPLITS = [(), ("model",), ("user", "day"), ("tag", "node"), ("session",)]
SPLITS += [("outcome", "error_type"), ("hour", "arm"), ("tag", "month")]
MEASURES = len(schema.MEASURES)


def write_as_version_5(path, records):
    """Leave a ledger as version 5 had it, which wrote the flags as they were given."""
    with (
        patch.object(UsageRecord, "doubts", property(lambda self: self.flags)),
        Ledger(path) as ledger,
    ):
        ledger.import_records(records)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE cerebras_ledger SET version = 5")
    connection.close()


def tables(path):
    """Return all that is in the kept totals, by table."""
    connection = sqlite3.connect(path)
    try:
        return {
            table.name: sorted(connection.execute(f"SELECT * FROM {table.name}"))
            for table in schema.ROLLUPS
        }
    finally:
        connection.close()


def sum_of(records):
    totals = Totals()
    for one in records:
        totals.add(one)
    return totals


@settings(max_examples=12)
@given(st.lists(alike_records, max_size=25))
def test_a_ledger_of_version_5_counts_as_its_records_do(records):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "costs.db")
        write_as_version_5(path, records)
        with Ledger(path) as ledger:
            found = list(ledger.records())
            for by in SPLITS:
                assert ledger.report(by) == group_records(records, by)
                assert ledger.report(by) == group_records(found, by)
            failed = Filter(outcome=("failed",))
            assert ledger.totals(failed) == sum_of(filter(failed.takes, records))
            assert sorted(
                (one.record_id, one.replace(flags=one.doubts)) for one in records
            ) == sorted((one.record_id, one) for one in found)


EVERY = [
    make_record(at, outcome=outcome, flags=flags, cost=cost, ttft_s=0.5)
    for at, (outcome, flags, cost) in enumerate(
        product(
            OUTCOMES,
            [(), *((one,) for one in FLAGS), ("no_usage", "estimated")],
            [None, make_record().cost],
        )
    )
]


@pytest.mark.parametrize("is_priced", [True, False], ids=["some priced", "none"])
def test_every_outcome_with_every_flag_becomes_what_a_new_ledger_has(
    tmp_path, is_priced
):
    records = [one for one in EVERY if is_priced or one.cost is None]
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    write_as_version_5(old, records)
    with Ledger(new) as ledger:
        ledger.import_records(records)
        expected = ledger.totals()
    assert expected == sum_of(records)
    # Flagged, and without a cost where no flag tells why; a cache's answer is free.
    assert expected.unpriced_calls == (5 + 5 * is_priced) + 4 * 3
    with Ledger(old) as ledger:
        assert ledger.totals() == expected
        assert ledger.status().is_up
    # Nothing is left of what was counted otherwise, but for the numbers of states.
    found, wanted = tables(old), tables(new)
    for name, rows in wanted.items():
        assert len(found[name]) == len(rows), name
        for measure in range(1, 1 + MEASURES if name != "cerebras_latencies" else 2):
            assert sum(r[-measure] for r in found[name]) == sum(
                r[-measure] for r in rows
            )


def test_a_ledger_in_which_all_is_said_stays_as_it_is(tmp_path):
    path = tmp_path / "costs.db"
    said = [one for one in EVERY if one.doubts == one.flags]
    write_as_version_5(path, said)
    before = tables(path)
    with Ledger(path) as ledger:
        assert ledger.totals() == sum_of(said)
    assert tables(path) == before


def test_what_was_pruned_stays_as_it_was_counted(tmp_path):
    path = tmp_path / "costs.db"
    at = [0, 600]
    write_as_version_5(path, [make_record(one, cost=None) for one in at])
    # Version 5 has pruned it, too.
    with patch.object(schema, "VERSION", 5), Ledger(path) as ledger:
        assert ledger.prune(make_record(300).started_at) == 1
    with Ledger(path) as ledger:
        totals = ledger.totals()
        assert (totals.calls, totals.unpriced_calls) == (2, 1)
        [group] = ledger.report(("model",))
        assert group.totals == totals


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("flags", [(), *((one,) for one in FLAGS)], ids=str)
def test_doubts_are_the_flags_of_what_has_a_cost(outcome, flags):
    record = make_record(outcome=outcome, flags=flags)
    assert record.doubts == flags


def test_a_call_counted_in_part_does_not_make_up_for_one_that_nobody_counted(tmp_path):
    """Such as an answer whose usage lacks a side, beside one that has none."""
    records = [
        make_record(flags=("estimated",)),
        make_record(1, cost=None, input_tokens=None, flags=("no_usage",)),
        make_record(2, flags=("estimated", "no_usage")),
    ]
    with Ledger(tmp_path / "costs.db") as ledger:
        ledger.import_records(records)
        for totals in (ledger.totals(), ledger.slice().totals(), sum_of(records)):
            assert (totals.calls_without_usage, totals.estimated_calls) == (2, 2)
            assert (totals.half_counted_calls, totals.uncounted_calls) == (1, 1)
            assert format_total(totals).startswith("≥ $")
