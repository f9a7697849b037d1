"""`costs report --by arm` counts calls, and tells how many tries they took."""

from __future__ import annotations

import pytest
from ledger_samples import make_record

from langchain_cerebras_ext.cli.costs_tables import groups_sheets
from langchain_cerebras_ext.costs.report import Totals, group_records

CALL = {"router_call_id": "call-1", "arm": "legs/a"}
RECORDS = [
    make_record(0, outcome="failed", **CALL),
    make_record(1, router_so_far="failed", model="other", **CALL),
    make_record(2, arm="legs/a"),
    make_record(3, arm="legs/a", outcome="aborted"),
    make_record(4, arm="legs/b", outcome="failed"),
]


def table(*by):
    groups = group_records(RECORDS, by)
    totals = Totals()
    for record in RECORDS:
        totals.add(record)
    widest = groups_sheets(groups, by, totals, with_total=True)[0]
    titles = [column.title for column in widest.columns]
    return {row[0]: dict(zip(titles, row, strict=True)) for row, _ in widest.rows}


@pytest.mark.parametrize("by", [("arm",), ("arm", "tag"), ("arm", "user", "session")])
def test_a_call_that_another_leg_answered_is_a_success(by):
    rows = table(*by)
    names = ("calls", "success", "tries", "failed tries")
    assert [rows["legs/a"][name] for name in names] == ["3", "100.0%", "4", "1"]
    assert [rows["legs/b"][name] for name in names] == ["1", "0.0%", "1", "1"]
    assert [rows["total"][name] for name in names] == ["4", "66.7%", "5", "2"]


@pytest.mark.parametrize("by", [("model",), ("arm", "model"), ("arm", "day")])
def test_where_a_calls_tries_may_lie_apart_tries_are_counted(by):
    rows = table(*by)
    assert rows["total"]["calls"] == "5"
    assert "success" not in rows["total"]
