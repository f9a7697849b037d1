"""The ledger on a real PostgreSQL, with several machines' worth of writers."""

from __future__ import annotations

import itertools
import json
import logging
import random
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from ledger_adders import WORKER, killed_adders
from ledger_samples import START, make_record
from postgres_server import PASSWORD, PostgresServer, find_server

from langchain_cerebras_ext.costs._ledger import migrations, schema
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.report import DIMENSIONS, Filter, group_records
from langchain_cerebras_ext.errors import (
    CerebrasCostWarning,
    LedgerError,
    LedgerNotFoundError,
)

numbers = itertools.count()


@pytest.fixture(scope="module")
def server():
    with PostgresServer(find_server()) as running:
        yield running


@pytest.fixture
def url(server):
    return server.make_database(f"costs{next(numbers)}")


@pytest.fixture
def make(url, tmp_path):
    made = []

    def make(place=url, **options):
        options = {"flush_interval_s": 3_600, "spool": tmp_path / "spool", **options}
        made.append(Ledger(place, **options))
        return made[-1]

    yield make
    for ledger in made:
        ledger.close()


def some_records(count, seed=1):
    rng = random.Random(seed)
    return [
        make_record(
            rng.randrange(6_000),
            record_id=f"{seed}-{number}",
            user=rng.choice((None, "ann", "bob", "")),
            session=rng.choice((None, "s1", "s2")),
            node=rng.choice((None, "agent")),
            arm=rng.choice((None, "a", "b")),
            tags=tuple(rng.sample(("x", "y", "z"), rng.randrange(3))),
            provider=rng.choice(("cerebras", "openai")),
            outcome=rng.choice(("ok", "ok", "failed", "cache_hit", "retried")),
            error_type=rng.choice((None, "RateLimitError")),
            flags=rng.choice(((), ("estimated",), ("no_usage", "unpriced"))),
            ttft_s=rng.random(),
        )
        for number in range(count)
    ]


def ids(ledger):
    return sorted(one.record_id for one in ledger.records())


def test_all_questions_have_the_answers_of_the_records(make, tmp_path):
    ledger = make()
    records = some_records(150)
    assert ledger.import_records(records) == 150
    assert ledger.import_records(records) == 0
    by_id = sorted(records, key=lambda one: one.record_id)
    assert sorted(ledger.records(), key=lambda one: one.record_id) == by_id
    some_time = Filter(
        since=START + timedelta(hours=5, minutes=7),
        until=START + timedelta(hours=70, minutes=1),
    )
    filters = [
        Filter(),
        some_time,
        Filter(tag=("x", None), outcome=("ok", "failed")),
        Filter(user=("ann", None), model=("gpt-oss-120b",), since=some_time.since),
        Filter(session=(None, "s1"), until=some_time.until),
        Filter(node=(None,), arm=("a", "unheard-of"), error_type=(None,)),
    ]
    for chosen in filters:
        taken = [one for one in records if chosen.takes(one)]
        splits = [("user", "tag", "month"), ("model", "hour")]
        if chosen == some_time:
            splits = [(), *((name,) for name in DIMENSIONS)]
        for by in splits:
            assert ledger.report(by, chosen) == group_records(taken, by), (by, chosen)
        assert sum(n for _, n in ledger.values("user", chosen)) == len(taken)
        [kinds] = ledger.costs_by_kind((), chosen)
        assert (
            kinds.cached_input + kinds.input + kinds.output
            == ledger.totals(chosen).cost
        )
        [group] = ledger.percentiles("ttft_s", (), chosen)
        assert group.count == len(taken)
        known = ledger.slice(chosen, unit="hour")
        for by in (("model", "hour"), ("month", "error_type")):
            assert known.report(by) == group_records(taken, by)
        timed, _ = known.percentiles("ttft_s", "arm", (0.5,))
        assert sum(count for _, count, _ in timed) == len(taken)
        costs = known.newest_costs("a", 1_000, len(taken))
        assert costs == [
            one.cost_usd for one in taken if one.arm == "a" and one.outcome != "retried"
        ]
    assert ledger.export(tmp_path / "all.jsonl") == 150
    before = ledger.report(("user", "hour"))
    assert 0 < ledger.prune(START + timedelta(days=2)) < 150
    assert ledger.report(("user", "hour")) == before
    assert len(ids(ledger)) < 150


def test_ledgers_on_sqlite_and_postgresql_merge_both_ways(make, tmp_path):
    ours = make()
    records = some_records(60)
    ours.import_records(records[:40])
    with Ledger(tmp_path / "costs.db") as file:
        file.import_records(records[20:])
        assert ours.merge(file) == 20
        assert file.merge(ours) == 20
        by = ("user", "tag", "day")
        assert ours.report(by) == file.report(by) == group_records(records, by)


def test_writers_that_share_it_agree_on_words_and_totals(make):
    ledgers = [make(busy_timeout_s=30) for _ in range(6)]
    records = some_records(240)
    gate = threading.Barrier(6)

    def work(number):
        gate.wait()
        # Everybody adds half of what the next one adds, too.
        for at in range(0, 80, 8):
            for one in records[number * 40 :][at : at + 8]:
                ledgers[number].add(one)
            assert ledgers[number].flush()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(one.status().written for one in ledgers) == 240
    for by in (("user",), ("tag", "outcome"), ("hour",)):
        assert ledgers[0].report(by) == group_records(records, by)


def test_many_that_start_at_once_make_the_tables_once(url):
    opened, failed = [], []
    gate = threading.Barrier(5)

    def start():
        gate.wait()
        try:
            opened.append(Ledger(url))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (failed, len(opened)) == ([], 5)
    for one in opened:
        assert one.status().is_up
        one.close()


def test_a_server_that_stops_and_starts_loses_nothing(make, server, caplog):
    ledger = make(busy_timeout_s=2)
    for one in some_records(3, seed=1):
        ledger.add(one)
    assert ledger.flush()
    server.stop()
    try:
        with pytest.warns(CerebrasCostWarning, match="cannot be written") as told:  # noqa: PT031
            for seed in (2, 3):
                for one in some_records(3, seed):
                    ledger.add(one)
                assert not ledger.flush()
        with pytest.raises(LedgerError, match="cannot be used"):
            ledger.totals()
        # A process that starts meanwhile goes on as well.
        with pytest.warns(CerebrasCostWarning, match="cannot be written") as others:  # noqa: PT031
            late = make(busy_timeout_s=2)
            late.add(make_record(record_id="late"))
            late.flush()
        # Now: when it is back the writer's thread may find that first.
        status = ledger.status()
        assert (status.is_up, status.spooled) == (False, 6)
    finally:
        server.start()
    assert len(told) == len(others) == 1
    everything = [status, str(told[0].message), caplog.text, repr(ledger), ledger.url]
    assert PASSWORD not in repr(everything)
    with caplog.at_level(logging.WARNING):
        assert ledger.flush()
    assert "6 records were taken over" in caplog.text
    assert late.flush()
    assert len(ids(ledger)) == ledger.totals().calls + ledger.totals().retries == 10


@pytest.mark.parametrize("batch_size", [0, 200], ids=["strict", "batches"])
@pytest.mark.parametrize("table", ["cerebras_records", "cerebras_ledger"])
def test_a_table_that_another_has_locked_is_an_outage(make, url, batch_size, table):
    """Calls do not wait for it, nor does the end of a program, for ever."""
    import psycopg

    ledger = make(busy_timeout_s=0.2, batch_size=batch_size)
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute(f"LOCK TABLE {table}")
        with pytest.warns(CerebrasCostWarning, match="lock timeout") as told:  # noqa: PT031
            ledger.add(make_record(record_id="a"))
            assert not ledger.flush()
            ledger.add(make_record(record_id="b"))
            ledger.close()
        assert len(told) == 1
        assert ledger.status().dropped == 0
    assert ids(make()) == ["a", "b"]


def test_who_opens_a_ledger_that_another_has_locked_goes_on(make, url):
    import psycopg

    make().close()
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE cerebras_ledger")
        with pytest.warns(CerebrasCostWarning, match="lock timeout"):
            ledger = make(busy_timeout_s=0.2)
        ledger.add(make_record(record_id="a"))
        assert not ledger.flush()
    assert ledger.flush()
    assert ids(ledger) == ["a"]


def test_who_opens_a_ledger_that_another_migrates_waits_for_it(make, url):
    """However long that takes: its tables can neither be read nor written before."""
    import psycopg

    with make() as ledger, ledger.engine.begin() as connection:
        connection.execute(schema.ledger.update().values(version=5))
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (migrations._LOCK,))
        done = threading.Timer(0.5, other.rollback)
        done.start()
        ledger = make(busy_timeout_s=0.05)
        done.join()
    assert ledger.status().is_up
    with ledger.engine.connect() as connection:
        found = connection.execute(schema.ledger.select()).one()
        assert found.version == schema.VERSION
        [wait] = connection.exec_driver_sql("SHOW lock_timeout").one()
    assert wait == "50ms", "of all else"


def test_a_migration_that_finds_a_table_locked_is_tried_again_later(make, url):
    """As by a backup, which reads for long; whoever comes then waits for both."""
    import psycopg

    with make() as ledger, ledger.engine.begin() as connection:
        connection.execute(schema.ledger.update().values(version=5))
        next(iter(schema.records.indexes)).drop(connection)
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE cerebras_records")
        done = threading.Timer(10, other.rollback)
        done.start()
        with pytest.warns(CerebrasCostWarning, match="lock timeout"):
            ledger = make(busy_timeout_s=0.2)
        done.cancel()
        done.join()
        ledger.add(make_record(record_id="a"))
    assert ledger.flush()
    assert ids(ledger) == ["a"]


def test_any_wait_is_one_that_the_system_takes(make, url):
    ledger = make(busy_timeout_s=1e9)
    ledger.add(make_record(record_id="a"))
    assert ledger.flush()


def test_a_server_that_is_gone_without_a_word_is_not_waited_for_either(make, url):
    """As one whose machine has stopped; only what is asked for is seen here."""
    ledger = make(f"{url}?keepalives_idle=7", busy_timeout_s=3)
    with ledger.engine.connect() as connection:
        asked = connection.connection.dbapi_connection.info.get_parameters()
    assert asked["connect_timeout"] == "3"
    assert asked["tcp_user_timeout"] == "3000"
    assert asked["keepalives_interval"] == "1"
    assert asked["keepalives_idle"] == "7", "what the URL says goes"


def test_a_wrong_password_is_said_without_it(server, tmp_path):
    url = server.url.replace(PASSWORD, "wrong-horse")
    with pytest.warns(CerebrasCostWarning, match="password") as told:
        ledger = Ledger(url, spool=tmp_path / "spool")
    assert "wrong-horse" not in str(told[0].message) + repr(ledger.status())
    ledger.close()


def test_a_migration_from_version_1_happens_once(url, make):
    from sqlalchemy import text

    ledger = make()
    records = some_records(30)
    ledger.import_records(records)
    # Version 1 had neither totals nor these indexes, and no long words.
    with ledger.engine.begin() as connection:
        for table in schema.ROLLUPS:
            table.drop(connection)
        for name in ("user", "tagset"):
            connection.execute(text(f"DROP INDEX cerebras_records_{name}"))
        for name in ("names", "tagsets", "states", "prices"):
            connection.execute(text(f"ALTER TABLE cerebras_{name} DROP COLUMN whole"))
        connection.execute(
            text("ALTER TABLE cerebras_records DROP COLUMN router_call_id")
        )
        connection.execute(schema.ledger.update().values(version=1))
    other = make()
    for by in (("user", "day"), ("tag", "node")):
        assert other.report(by) == group_records(records, by)
    with other.engine.connect() as connection:
        assert (
            connection.execute(schema.ledger.select()).one().version == schema.VERSION
        )


def test_a_migration_from_version_3_adds_totals_by_node(make):
    ledger = make()
    records = some_records(30)
    ledger.import_records(records)
    with ledger.engine.begin() as connection:
        schema.daily_nodes.drop(connection)
        connection.execute(schema.ledger.update().values(version=3))
    other = make()
    assert other.report(("tag", "node")) == group_records(records, ("tag", "node"))
    by = ("user", "tag")
    assert other.report(by, limit=3) == group_records(records, by)[:3]


def test_a_migration_from_version_5_flags_what_has_no_cost(make, monkeypatch):
    ledger = make()
    records = [one.replace(cost=None) for one in some_records(40)] + some_records(40, 2)
    with monkeypatch.context() as as_before:
        as_before.setattr(UsageRecord, "doubts", property(lambda self: self.flags))
        ledger.import_records(records)
    with ledger.engine.begin() as connection:
        connection.execute(schema.ledger.update().values(version=5))
    other = make()
    for by in ((), ("user", "day"), ("tag", "node"), ("outcome",), ("session",)):
        assert other.report(by) == group_records(records, by)
    assert sum(not one.is_certain for _, one in other.report(("user",))) > 1
    with other.engine.connect() as connection:
        for table in schema.ROLLUPS:
            empty = table.select().where(table.c.n < 1)
            assert connection.execute(empty).all() == []


def test_a_migration_from_version_6_puts_totals_in_another_order(make):
    from sqlalchemy import inspect, text

    ledger = make()
    records = some_records(30)
    ledger.import_records(records)
    before = ("user_id", "model_id", "hour", "tagset_id", *schema.CORE[1:])
    with ledger.engine.begin() as connection:
        for line in (
            "ALTER TABLE cerebras_hourly DROP CONSTRAINT cerebras_hourly_pkey",
            f"ALTER TABLE cerebras_hourly ADD PRIMARY KEY ({', '.join(before)})",
            "DROP TABLE cerebras_daily_models",
            "DROP INDEX cerebras_records_sessions",
            "CREATE INDEX cerebras_records_sessions ON cerebras_records (session_id)",
        ):
            connection.execute(text(line))
        schema.hourly_tags.drop(connection)
        connection.execute(schema.ledger.update().values(version=6))
    other = make()
    for by in (("user", "tag"), ("hour", "tag"), ("user", "model"), ("session",)):
        assert other.report(by) == group_records(records, by)
        assert other.report(by, limit=2) == group_records(records, by)[:2]
    found = inspect(other.engine)
    for table in schema.ROLLUPS:
        keys = found.get_pk_constraint(table.name)["constrained_columns"]
        assert keys == [column.name for column in table.primary_key]
    [index] = [
        one["column_names"]
        for one in found.get_indexes("cerebras_records")
        if one["name"] == "cerebras_records_sessions"
    ]
    assert tuple(index) == schema.SESSION_INDEX
    other.import_records(some_records(40))
    by = ("user", "tag")
    assert other.report(by) == group_records(some_records(40), by)


def test_texts_that_postgresql_cannot_hold_are_spelt_out(make):
    ledger = make()
    ledger.add(make_record(user="nul \0", tags=("half \ud83d",)))
    [record] = ledger.records()
    assert record.user == "nul \N{REPLACEMENT CHARACTER}"
    assert record.tags == (r"half \ud83d",)


def test_a_database_of_others_may_be_shared(make, url):
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    ledger = make()
    ledger.add(make_record())
    assert ledger.totals().calls == 1


def test_a_killed_writer_leaves_nothing_half_written(make, url, tmp_path):
    told = {
        "url": url,
        "options": {"spool": str(tmp_path / "spool")},
        "do": "write_for_ever",
        "name": "w",
        "each": 20,
    }
    worker = subprocess.Popen(
        [sys.executable, WORKER, json.dumps(told)], stdout=subprocess.PIPE, text=True
    )
    try:
        sure = [
            name
            for _ in range(5)
            for name in json.loads(worker.stdout.readline())["written"]
        ]
    finally:
        worker.kill()
        worker.communicate()
    ledger = make()
    records = list(ledger.records())
    assert set(sure) <= {one.record_id for one in records}
    for by in ((), ("hour",), ("tag",)):
        assert ledger.report(by) == group_records(records, by)


@pytest.mark.parametrize("batch_size", [0, 50])
@pytest.mark.parametrize("is_locked", [False, True], ids=["free", "locked"])
def test_a_killed_process_loses_no_more_than_a_batch(
    make, url, tmp_path, batch_size, is_locked
):
    import psycopg

    make().close()
    spool = str(tmp_path / "spool")
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        adders = killed_adders(
            url,
            tmp_path,
            options={"batch_size": batch_size, "busy_timeout_s": 0.3, "spool": spool},
            least=2 * batch_size,
            seed=batch_size,
            amid=lambda: is_locked and other.execute("LOCK TABLE cerebras_records"),
        )
    ledger = make()
    try:
        ledger.flush()
    except CerebrasCostWarning:
        pass  # of a line that was being written: that record was never added
    records = list(ledger.records())
    names = {one.record_id for one in records}
    for adder in adders:
        assert len(adder.added() - names) <= batch_size
    for by in ((), ("hour",), ("tag",)):
        assert ledger.report(by) == group_records(records, by)


def test_a_database_without_a_ledger_says_how_to_begin(url):
    pytest.importorskip("typer", reason="the extra `cli` is not installed")
    from typer.testing import CliRunner

    from langchain_cerebras_ext.cli.main import app

    with pytest.raises(LedgerNotFoundError, match="There is no ledger"):
        Ledger(url, create=False)
    found = CliRunner().invoke(app, ["costs", "report", "--ledger", url])
    assert found.exit_code == 2
    assert "or begin to record: `with track_costs(ledger=" in found.output
    assert PASSWORD not in found.output
