"""Reports with nearly as many groups as records: the dearest are found first."""

import itertools
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import make_record
from ledger_strategies import costs, texts, tokens
from sqlalchemy import event

from langchain_cerebras_ext.costs._ledger import queries, schema
from langchain_cerebras_ext.costs._ledger.dearest import (
    find_dearest,
    find_dearest_pairs,
)
from langchain_cerebras_ext.costs._ledger.plan import Span
from langchain_cerebras_ext.costs._ledger.sources import (
    Question,
    dearest_query,
    totals_query,
)
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.report import DIMENSIONS, Filter, group_records

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
    ("hour", "user", "tag"),
    ("tag", "hour", "outcome"),
    ("tag", "month", "user"),
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


IN_ORDER = [
    ("user",),
    ("session",),
    ("tag",),
    ("user", "day"),
    ("user", "model"),
    ("model", "user", "day"),
    ("user", "tag"),
    ("hour", "tag"),
]


def steps_of(ledger, by, limit):
    """Return the steps of each of SQLite's answers to what has cost how much."""
    asked = []

    def note(connection, cursor, statement, parameters, *_):
        if "cost" in statement:
            asked.append((statement, parameters))

    event.listen(ledger.engine, "before_cursor_execute", note)
    assert ledger.report(by, limit=limit)
    event.remove(ledger.engine, "before_cursor_execute", note)
    with ledger.engine.connect() as connection:
        return [
            "; ".join(row[-1] for row in explain(connection, *one)) for one in asked
        ]


def explain(connection, statement, parameters):
    return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)


@pytest.mark.parametrize("limit", [None, 7])
@pytest.mark.parametrize("by", IN_ORDER, ids="+".join)
def test_nothing_is_sorted_where_totals_lie_in_order(ledger, by, limit):
    assert "FOR GROUP BY" not in steps_of(ledger, by, limit)[0]


@pytest.mark.parametrize(
    ("by", "looks"),
    [(("user", "tag"), 2), (("session", "tag"), 1), (("hour", "tag"), 1)],
    ids=["user", "session", "hour"],
)
def test_the_dearest_with_a_tag_are_found_without_a_temporary_table(ledger, by, looks):
    for steps in steps_of(ledger, by, limit=7)[:looks]:
        assert "TEMP" not in steps


def given_back():
    """Return records of many users, of whom one got back as much as was paid."""
    paid, refund = (Cost(input=Decimal(usd)) for usd in (100, -100))
    for n in range(20):
        yield make_record(
            17 * n,
            record_id=f"r{n}",
            user=f"u{n}",
            session=f"s{n}",
            tags=("paid",),
            cost=Cost(input=Decimal(n)),
        )
    ann = {"user": "ann", "session": "s"}
    yield make_record(record_id="a", tags=("paid",), cost=paid, **ann)
    yield make_record(
        record_id="b", tags=("back",), cost=refund, outcome="failed", **ann
    )


@pytest.mark.parametrize(
    ("by", "dearest"),
    [
        (("user", "tag"), ("ann", "paid")),
        (("session", "tag"), ("s", "paid")),
        (("session", "user", "outcome"), ("s", "ann", "ok")),
    ],
    ids=["user", "session", "outcome"],
)
def test_what_was_given_back_hides_no_dear_group(tmp_path, by, dearest, monkeypatch):
    monkeypatch.setattr(queries, "_MARGIN", 1)
    monkeypatch.setattr(queries, "_FIRST_LOOK", 1)
    records = list(given_back())
    with Ledger(tmp_path / "costs.db") as ledger:
        ledger.import_records(records)
        [group] = ledger.report(by, limit=1)
    assert group.keys == dearest
    assert [group] == group_records(records, by)[:1]


CHEAP = [("user", "tag"), ("user", "tag", "node"), ("session", "user")]


@pytest.mark.parametrize("by", CHEAP, ids="+".join)
def test_users_and_sessions_that_are_too_cheap_are_not_looked_at(
    tmp_path, by, monkeypatch
):
    monkeypatch.setattr(queries, "_MARGIN", 1)
    monkeypatch.setattr(queries, "_FIRST_LOOK", 2)
    records = [
        make_record(
            17 * n,
            record_id=f"r{n}",
            user=f"u{n % 30}",
            session=f"u{n % 30}/{n // 60}",
            tags=("a", "b")[: 1 + n % 2],
            cost=Cost(input=Decimal(2 ** (40 - n % 30) + n) / 10**12),
        )
        for n in range(300)
    ]
    with Ledger(tmp_path / "costs.db") as ledger:
        ledger.import_records(records)
        for limit in (1, 4, 20):
            expected = group_records(records, by)[:limit]
            assert ledger.report(by, limit=limit) == expected
        looks = steps_of(ledger, by, limit=4)
    # All of them once; two, then eight of the dearest; and what was chosen.
    assert len(looks) == (3 if "tag" in by else 4)


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


PAIRS = [*itertools.combinations(DIMENSIONS, 2)]


@pytest.mark.parametrize("limit", [None, 7])
def test_every_pair_of_dimensions_is_added_up_as_records_are(ledger, records, limit):
    since = datetime(2026, 10, 31, 3, 17, tzinfo=UTC)
    for wanted in (Filter(), Filter(since=since, tag=("nightly", None))):
        taken = [record for record in records if wanted.takes(record)]
        for by in PAIRS:
            expected = group_records(taken, by)
            assert ledger.report(by, wanted, limit=limit) == expected[:limit], by


odd = st.none() | st.sampled_from(["a", "b", "", " ", "None", "ß", "日本"]) | texts
wide_records = st.builds(
    make_record,
    at=st.integers(0, 4_000),
    record_id=st.integers(0, 10**9).map(str),
    model=st.sampled_from(["gpt-oss-120b", "zai-glm-4.7"]),
    tags=st.lists(st.sampled_from(["a", "b", "", "ß"]) | texts, max_size=6).map(tuple),
    user=odd,
    session=odd,
    node=odd,
    outcome=st.sampled_from(["ok", "ok", "failed", "cache_hit", "retried"]),
    input_tokens=tokens,
    output_tokens=tokens,
    cost=st.none() | costs,
)
hours = st.integers(0, 70).map(
    lambda n: make_record().started_at.replace(minute=0) + timedelta(hours=n)
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(wide_records, max_size=60, unique_by=lambda one: one.record_id),
    st.sampled_from([*WIDE, *PAIRS]),
    st.integers(1, 9),
    st.none() | hours,
    st.none() | hours,
    st.booleans(),
    st.sampled_from([0, 8]),
)
def test_what_is_merged_and_pruned_is_added_up_in_any_order(
    records, by, limit, since, cut, keep_totals, few_states
):
    wanted = Filter(since=since)
    with (
        patch.object(queries, "_MARGIN", 1),
        patch.object(queries, "_PAGE", 3),
        patch.object(queries, "_FIRST_LOOK", 1),
        patch.object(queries, "_FEW_STATES", few_states),
        Ledger("sqlite://") as ledger,
        Ledger("sqlite://") as other,
    ):
        other.import_records(records[::2])
        ledger.import_records(records[::3])
        ledger.merge(other)
        ledger.import_records(records)
        if cut is not None:
            ledger.prune(cut, keep_totals=keep_totals)
            records = without_rows(records, cut, keep_totals)
        expected = group_records(filter(wanted.takes, records), by)
        assert ledger.report(by, wanted) == expected
        assert ledger.report(by, wanted, limit=limit) == expected[:limit]


def without_rows(records, cut, keep_totals):
    """Return what is known of records when those of a time were pruned."""
    if keep_totals:
        return [
            one.replace(session=None) if one.started_at < cut else one
            for one in records
        ]
    cut = cut.replace(hour=0)
    return [one for one in records if one.started_at >= cut]


small = st.integers(0, 4)
paid = st.integers(-9, 9)
TAGS = {0: [0], 1: [5], 2: [5, 6], 3: [6, 7, 7], 4: []}


def in_lists(rows, size):
    return [rows[at : at + size] for at in range(0, len(rows), size)]


@given(
    st.lists(st.tuples(small, small, small, paid, paid, paid)),
    st.integers(1, 8),
    st.integers(1, 5),
    st.none() | st.integers(-9, 9).map(lambda n: n * 1_000_000),
)
def test_the_dearest_tags_are_those_of_all(rows, most, size, floor):
    costs, calls = Counter(), Counter()
    for first, other, tagset, count, whole, rest in rows:
        for tag in TAGS[tagset]:
            costs[first, other, tag] += whole * 1_000_000 + rest
            calls[first, other, tag] += count
    expected = sorted(costs.values(), reverse=True)
    if floor is not None:
        expected = [cost for cost in expected if cost > floor]
    lists = in_lists(sorted(rows), size)
    found = find_dearest(lists, TAGS, most, width=3, cost=1, floor=floor)
    assert [one.cost for one in found] == expected[:most]
    assert all(one.cost == costs[one.numbers] for one in found)
    assert all(one.values[0] == calls[one.numbers] for one in found)
    assert len({one.numbers for one in found}) == len(found)


@given(st.lists(st.tuples(small, small, paid)), st.integers(1, 8), st.integers(1, 5))
def test_the_dearest_pairs_are_those_of_all(rows, most, size):
    costs = Counter()
    for number, tagset, spent in rows:
        for tag in TAGS[tagset]:
            costs[number, tag] += spent
    found = find_dearest_pairs(in_lists(sorted(rows), size), TAGS, most)
    expected = sorted(costs.values(), reverse=True)
    assert [one.cost for one in found] == expected[:most]
    assert all(one.cost == costs[one.numbers] for one in found)
    assert len({one.numbers for one in found}) == len(found)


def tables_of(path):
    connection = sqlite3.connect(path)
    found = {}
    for table in schema.ROLLUPS:
        names = ", ".join(table.c.keys())
        rows = connection.execute(f"SELECT {names} FROM {table.name} ORDER BY {names}")
        keys = connection.execute(f"PRAGMA table_info({table.name})").fetchall()
        found[table.name] = (
            rows.fetchall(),
            sorted((row[-1], row[1]) for row in keys if row[-1]),
        )
    found["index"] = connection.execute(
        "PRAGMA index_info(cerebras_records_sessions)"
    ).fetchall()
    connection.close()
    return found


MEASURES = ", ".join(f"{name} BIGINT NOT NULL" for name in schema.MEASURES)
V6_HOURS = ("user_id", "model_id", "hour", "tagset_id", *schema.CORE[1:])
V6 = f"""
CREATE TABLE hours ({", ".join(f"{one} BIGINT NOT NULL" for one in V6_HOURS)},
    {MEASURES}, PRIMARY KEY ({", ".join(V6_HOURS)})) WITHOUT ROWID;
INSERT INTO hours SELECT {", ".join(V6_HOURS)}, {", ".join(schema.MEASURES)}
    FROM cerebras_hourly;
DROP TABLE cerebras_hourly;
ALTER TABLE hours RENAME TO cerebras_hourly;
DROP TABLE cerebras_daily_models;
DROP TABLE cerebras_hourly_tags;
DROP INDEX cerebras_records_sessions;
CREATE INDEX cerebras_records_sessions ON cerebras_records (session_id, state_id,
    started_us, cost, cache_savings, input_tokens, cached_input_tokens, output_tokens,
    reasoning_tokens);
UPDATE cerebras_ledger SET version =
"""


@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("version", [5, 6])
def test_a_ledger_of_version_6_gets_totals_in_the_order_of_questions(
    tmp_path, records, pruned, version
):
    path = tmp_path / "costs.db"
    with Ledger(path) as ledger:
        ledger.import_records(records)
        if pruned:
            ledger.prune(datetime(2026, 11, 1, tzinfo=UTC))
    expected = tables_of(path)
    connection = sqlite3.connect(path)
    connection.executescript(f"{V6} {version}")
    connection.close()
    with Ledger(path) as ledger:
        for by in (("user", "tag"), ("hour", "tag"), ("user", "model")):
            assert ledger.report(by) == group_records(records, by)
    assert tables_of(path) == expected
