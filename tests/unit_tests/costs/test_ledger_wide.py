"""Reports with nearly as many groups as records: the dearest are found first."""

import itertools
import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from ledger_samples import make_record

from langchain_cerebras_ext.costs._ledger import queries, schema
from langchain_cerebras_ext.costs._ledger.plan import Span
from langchain_cerebras_ext.costs._ledger.sources import (
    Question,
    dearest_query,
    totals_query,
)
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.report import Filter, group_records

WIDE = [
    ("user", "tag"),
    ("tag", "session"),
    ("session", "model"),
    ("session", "day"),
    ("user", "session", "node"),
    ("user", "month"),
    ("user",),
    ("session",),
    ("outcome", "session"),
    ("hour", "tag"),
    ("tag", "outcome", "user", "month"),
]
FILTERS = {
    "all": Filter(),
    "a tag": Filter(tag=("nightly",)),
    "no tag": Filter(tag=(None,)),
    "a model": Filter(model=("gpt-oss-120b",)),
    "a session": Filter(session=("s1", None), user=("ann", "bob", None)),
    "failures": Filter(outcome=("failed", "aborted")),
}


def of_many(count=400):
    """Return records of which few have the same user, tags and session."""
    tags = [(), ("nightly",), ("nightly", "eval"), ("eval", "a", "b")]
    for n in range(count):
        price = Decimal(n * 37 % 101) / 1_000_000
        yield make_record(
            17 * n,
            record_id=f"r{n}",
            node=("agent", "tools", None)[n % 3],
            user=(None, "ann", "bob", f"u{n % 40}")[n % 4],
            session=(None, "s1", f"s{n % 90}")[n % 3],
            tags=tags[n % len(tags)],
            outcome=("failed", "aborted", "retried")[n % 3] if n % 11 == 0 else "ok",
            flags=("estimated",) if n % 22 == 0 else (),
            cost=None if n % 13 == 0 else Cost(input=price, output=Decimal("1e-12")),
        )


@pytest.fixture
def records():
    return list(of_many())


@pytest.fixture
def ledger(tmp_path, records, monkeypatch):
    monkeypatch.setattr(queries, "_MARGIN", 3)
    with Ledger(tmp_path / "costs.db") as opened:
        opened.import_records(records)
        yield opened


@pytest.mark.parametrize("by", WIDE, ids="+".join)
def test_the_dearest_of_many_groups_are_those_of_the_records(ledger, records, by):
    for wanted in FILTERS.values():
        expected = group_records(filter(wanted.takes, records), by)
        for limit in (1, 7, 1_000):
            assert ledger.report(by, wanted, limit=limit) == expected[:limit]


@pytest.mark.parametrize("by", WIDE, ids="+".join)
def test_times_that_need_several_tables_change_nothing(ledger, records, by):
    since = datetime(2026, 10, 31, 3, 17, tzinfo=UTC)
    wanted = Filter(since=since, until=since + timedelta(days=2, hours=5, minutes=9))
    expected = group_records(filter(wanted.takes, records), by)
    assert ledger.report(by, wanted, limit=5) == expected[:5]


def test_groups_of_equal_cost_are_in_the_order_of_calls_and_names(tmp_path):
    free = [
        make_record(user=f"u{n % 30}", tags=(f"t{n % 7}",), cost=Cost())
        for n in range(300)
    ]
    with Ledger(tmp_path / "costs.db") as ledger:
        ledger.import_records(free)
        for by in (("user", "tag"), ("user", "session"), ("user",)):
            assert ledger.report(by, limit=9) == group_records(free, by)[:9]


def test_the_dearest_are_right_where_rows_were_pruned(ledger, records):
    by = ("user", "tag")
    before = ledger.report(by, limit=12)
    ledger.prune(datetime(2026, 11, 1, tzinfo=UTC))
    assert ledger.report(by, limit=12) == before


def test_totals_by_tag_and_node_are_those_of_the_records(ledger, records):
    for by in itertools.combinations(("tag", "node", "error_type", "day"), 2):
        assert ledger.report(by) == group_records(records, by)
    only = Filter(node=("agent",))
    expected = group_records(filter(only.takes, records), ("tag",))
    assert ledger.report(("tag",), only) == expected


def test_most_of_the_time_is_looked_through_as_all_of_it_is(ledger, records):
    first = min(record.started_at for record in records)
    for times in ((0, 9_000), (0, 2_000), (100, 6_500), (-60, 90_000)):
        since, until = (first + timedelta(minutes=one) for one in times)
        wanted = Filter(since=since, until=until)
        some = [record for record in records if wanted.takes(record)]
        for by in (("session",), ("session", "outcome"), ("session", "model")):
            for limit in (None, 4):
                got = ledger.report(by, wanted, limit=limit)
                assert got == group_records(some, by)[:limit]


def test_a_ledger_of_version_4_gets_an_index_that_totals_of_sessions_need(
    tmp_path, records
):
    path = tmp_path / "costs.db"
    with Ledger(path) as ledger:
        ledger.import_records(records)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DROP INDEX cerebras_records_sessions")
        connection.execute(
            "CREATE INDEX cerebras_records_session ON cerebras_records (session_id)"
        )
        connection.execute("UPDATE cerebras_ledger SET version = 4")
    connection.close()
    with Ledger(path) as ledger:
        assert ledger.report(("session",)) == group_records(records, ("session",))
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")
    names = {name for (name,) in rows}
    columns = connection.execute("PRAGMA index_info(cerebras_records_sessions)")
    assert tuple(row[2] for row in columns) == schema.SESSION_INDEX
    assert "cerebras_records_session" not in names
    connection.close()


def test_a_ledger_of_version_3_gets_totals_by_tags_and_nodes(tmp_path, records):
    path = tmp_path / "costs.db"
    with Ledger(path) as ledger:
        ledger.import_records(records)
        ledger.prune(datetime(2026, 11, 1, tzinfo=UTC))
        expected = ledger.report(("tag", "node"))
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f"DROP TABLE {schema.daily_nodes.name}")
        connection.execute("UPDATE cerebras_ledger SET version = 3")
    connection.close()
    with Ledger(path) as ledger:
        assert ledger.report(("tag", "node")) == expected
        ledger.import_records([make_record(9_000, tags=("new",), node="agent")])
        assert ("new", "agent") in [
            group.keys for group in ledger.report(("tag", "node"))
        ]


@pytest.mark.parametrize("by", [("model", "session"), ("session", "model")])
def test_what_has_most_values_is_sorted_by_first(by):
    spans = [Span("rows", None, None)]
    question = Question({}, (), [])
    sums = totals_query(spans[0], [*by, "state"], ["n"], question)
    assert str(sums).endswith(
        "session_id + :session_id_1, "
        "cerebras_records.model_id, cerebras_records.state_id"
    )
    dearest = str(dearest_query(spans, by, question, {}, 9))
    place = by.index("session")
    assert f"GROUP BY anon_1.k_{place}, anon_1.k_{1 - place} ORDER" in dearest
