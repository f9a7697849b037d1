"""What a ledger is opened from: places, other people's files, older versions."""

from __future__ import annotations

import json
import pickle
import sqlite3
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_samples import make_record

from langchain_cerebras_ext.costs._ledger import place as places
from langchain_cerebras_ext.costs._ledger import schema
from langchain_cerebras_ext.costs._ledger.place import find_place
from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.report import Filter, group_records
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    LedgerError,
    LedgerNotFoundError,
    MissingExtraError,
)

PASSWORD = "correct:horse@battery"
QUOTED = "correct%3Ahorse%40battery"


# ----------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///costs.db", "sqlite:///{}/costs.db"),
        ("costs.db", "sqlite:///{}/costs.db"),
        (Path("sub/costs.db"), "sqlite:///{}/sub/costs.db"),
        ("sqlite:////var/costs.db", "sqlite:////var/costs.db"),
        ("sqlite:///with%20space.db", "sqlite:///{}/with space.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite://"),
        ("postgresql://me@host/costs", "postgresql+psycopg://me@host/costs"),
    ],
    ids=str,
)
def test_a_place_is_a_url_or_a_path(url, shown):
    assert find_place(url).shown == shown.format(Path.cwd())


def test_the_password_is_not_shown():
    url = f"postgresql+psycopg://me:{QUOTED}@host/costs?sslpassword=secret"
    place = find_place(url)
    assert place.shown == "postgresql+psycopg://me:***@host/costs?sslpassword=***"
    assert place.mask(f"no {PASSWORD}, {QUOTED}, secret") == "no ***, ***, ***"


@pytest.mark.parametrize("word", ["s3/cr3t", "s3#cr3t", "s3?cr3t=1&a", "s3 %cr3t", ":"])
def test_a_password_that_is_not_quoted_is_not_shown(word):
    place = find_place(f"postgresql://me:{word}@host:1/costs?application_name=x")
    shown = "postgresql+psycopg://me:***@host:1/costs?application_name=x"
    assert place.shown == shown
    assert word in place.secrets


def test_a_quoted_password_among_the_options_is_not_shown():
    place = find_place(
        "postgresql://host/costs?user=me&password=s3%2Fcr3t+x&sslmode=no"
    )
    shown = "postgresql+psycopg://host/costs?user=me&password=***&sslmode=no"
    assert place.shown == shown
    assert place.mask("s3%2Fcr3t+x s3/cr3t x") == "*** ***"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@host:port/costs",
        "postgresql://me:s3cret@[::1/costs",
        "postgresql://me:some@s3cret@host/costs",
        "postgresql:me:s3cret@host/costs",
        "postgres//me:s3cret@host/costs",
        "me:s3cret@host/costs",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_and_not_shown(url):
    with pytest.raises(CerebrasConfigurationError, match="The ledger's URL") as caught:
        Ledger(url)
    assert "s3cret" not in str(caught.value)
    assert "postgresql+psycopg://user" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["what?.db", "a%20b.db", "c#d.db", "100%.db", "ü ö.db"]
)
def test_a_file_of_any_name_is_the_same_for_budgets_and_once_unpickled(tmp_path, name):
    with Ledger(tmp_path / name) as ledger:
        budget = Budget(Decimal(1), per="all", name="all", ledger=ledger)
        budget.reserve(CallScope("m"), Decimal("0.1")).settle(Decimal("0.1"))
        assert [one.spent for one in budget.status()] == [Decimal("0.1")]
        again = pickle.loads(pickle.dumps(ledger))
        again.add(make_record())
        again.close()
        assert ledger.totals().calls == 1
        assert ledger.url == f"sqlite:///{tmp_path / name}"
    found = {path.name for path in tmp_path.iterdir()}
    assert found <= {name, f"{name}-wal", f"{name}-shm"}, "and no other file"


def test_options_of_a_files_url_are_refused_not_forgotten():
    with pytest.raises(CerebrasConfigurationError, match=r"'mode=ro'.*create=False"):
        Ledger("sqlite:///costs.db?mode=ro")
    assert find_place("sqlite:///what%3F.db").path == Path("what?.db").absolute()


def test_a_path_may_have_any_name():
    path = Path("postgres:at@10:00.db").absolute()
    assert find_place(path).path == path
    assert find_place(f"sqlite:///{path}").path == path


@pytest.mark.parametrize("url", ["mysql://host/costs", "http://x", "oracle+x://y"])
def test_other_databases_are_refused_with_those_that_are_not(url):
    with pytest.raises(CerebrasConfigurationError, match=r"postgresql\+psycopg"):
        Ledger(url)


@pytest.mark.parametrize(
    ("url", "extra"),
    [("costs.db", "ledger"), ("postgresql://host/costs", "postgres")],
)
def test_without_its_library_a_ledger_says_what_to_install(monkeypatch, url, extra):
    missing = {"ledger": "sqlalchemy", "postgres": "psycopg"}[extra]
    monkeypatch.setattr(
        places.importlib.util, "find_spec", lambda name: name != missing or None
    )
    with pytest.raises(MissingExtraError, match=rf"\[{extra}\]"):
        Ledger(url)


def test_importing_the_ledger_loads_no_sqlalchemy(tmp_path):
    import subprocess

    code = (
        "import sys, langchain_cerebras_ext.costs.ledger;"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_spool_of_a_server_is_in_the_users_own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CEREBRAS_CACHE_DIR", str(tmp_path))
    one = find_place(f"postgresql://me:{QUOTED}@host/costs").spool
    two = find_place("postgresql://me@host/other").spool
    assert one.is_relative_to(tmp_path)
    assert one != two
    assert find_place("sqlite://").spool is None


# ------------------------------------------------------------------ what is there


def database(path, *statements):
    with sqlite3.connect(path) as connection:
        for line in statements:
            connection.execute(line)
    connection.close()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 100)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger(path)
    assert path.read_text().startswith("Dear diary")


def test_another_programs_database_is_refused(tmp_path):
    path = tmp_path / "app.db"
    database(path, "CREATE TABLE people (name TEXT)")
    with pytest.raises(LedgerError, match="has the tables people"):
        Ledger(path)
    assert sqlite3.connect(path).execute("SELECT * FROM people").fetchall() == []


def test_another_programs_table_of_our_name_is_refused(tmp_path):
    path = tmp_path / "app.db"
    database(path, "CREATE TABLE cerebras_ledger (title TEXT)")
    with pytest.raises(LedgerError, match="not ours"):
        Ledger(path)


def test_a_ledger_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "costs.db"
    Ledger(path).close()
    database(path, "UPDATE cerebras_ledger SET version = 99")
    with pytest.raises(LedgerError, match=r"version 99.*Upgrade"):
        Ledger(path)


def test_a_ledger_that_is_upgraded_under_a_running_program_is_left_alone(tmp_path):
    path = tmp_path / "costs.db"
    with Ledger(path) as ledger:
        database(path, "UPDATE cerebras_ledger SET version = 99")
        with pytest.warns(match="Upgrade"):  # noqa: PT031
            ledger.add(make_record(record_id="a"))
            assert not ledger.flush()
        assert ledger.status().spooled == 1
        database(path, f"UPDATE cerebras_ledger SET version = {schema.VERSION}")
        assert ledger.flush()
        assert ledger.totals().calls == 1


def test_no_ledger_is_made_where_none_was_wanted(tmp_path):
    with pytest.raises(LedgerNotFoundError, match="There is no ledger"):
        Ledger(tmp_path / "costs.db", create=False)
    assert list(tmp_path.iterdir()) == []
    database(tmp_path / "empty.db")
    with pytest.raises(LedgerNotFoundError, match="There is no ledger"):
        Ledger(tmp_path / "empty.db", create=False)


def test_a_folder_that_is_not_there_is_an_error_not_an_outage(tmp_path):
    with pytest.raises(LedgerError, match="unable to open"):
        Ledger(tmp_path / "nowhere" / "costs.db")


# ----------------------------------------------------------------------- old versions

V1 = """
CREATE TABLE cerebras_ledger (id INTEGER NOT NULL PRIMARY KEY, version INTEGER NOT NULL,
    revision BIGINT NOT NULL, pruned_us BIGINT NOT NULL);
CREATE TABLE cerebras_names (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL UNIQUE);
CREATE TABLE cerebras_tagsets (id INTEGER NOT NULL PRIMARY KEY,
    value TEXT NOT NULL UNIQUE);
CREATE TABLE cerebras_tags (tagset_id BIGINT NOT NULL, position INTEGER NOT NULL,
    tag_id BIGINT NOT NULL, PRIMARY KEY (tagset_id, position));
CREATE INDEX cerebras_tags_tag ON cerebras_tags (tag_id);
CREATE TABLE cerebras_states (id INTEGER NOT NULL PRIMARY KEY,
    value TEXT NOT NULL UNIQUE);
CREATE TABLE cerebras_prices (id INTEGER NOT NULL PRIMARY KEY,
    value TEXT NOT NULL UNIQUE);
CREATE TABLE cerebras_records (id INTEGER NOT NULL PRIMARY KEY,
    record_id TEXT NOT NULL UNIQUE, started_us BIGINT NOT NULL,
    model_id BIGINT NOT NULL, provider_id BIGINT NOT NULL, user_id BIGINT NOT NULL,
    session_id BIGINT NOT NULL, node_id BIGINT NOT NULL, arm_id BIGINT NOT NULL,
    tagset_id BIGINT NOT NULL, state_id BIGINT NOT NULL, error_id BIGINT NOT NULL,
    asked_id BIGINT NOT NULL, served_id BIGINT NOT NULL, operation_id BIGINT NOT NULL,
    tier_id BIGINT NOT NULL, price_id BIGINT NOT NULL, stream SMALLINT NOT NULL,
    attempts BIGINT NOT NULL, input_tokens BIGINT, cached_input_tokens BIGINT,
    cache_write_tokens BIGINT, image_tokens BIGINT, output_tokens BIGINT,
    reasoning_tokens BIGINT, accepted_prediction_tokens BIGINT,
    rejected_prediction_tokens BIGINT, cost BIGINT, cost_input BIGINT,
    cost_cached_input BIGINT, cost_cache_write BIGINT, cost_image BIGINT,
    cost_output BIGINT, cost_request BIGINT, cost_reasoning BIGINT,
    cache_savings BIGINT, ttft_s DOUBLE, duration_s DOUBLE, queue_time_s DOUBLE,
    output_tokens_per_s DOUBLE, run_id TEXT, parent_run_id TEXT, trace_id TEXT,
    request_id TEXT);
CREATE INDEX cerebras_records_started ON cerebras_records (started_us);
CREATE INDEX cerebras_records_session ON cerebras_records (session_id);
INSERT INTO cerebras_ledger VALUES (1, 1, 7, -62135596800000000);
INSERT INTO cerebras_names VALUES (1, 'gpt-oss-120b'), (2, 'cerebras'), (3, 'ann'),
    (4, 'chat'), (5, 'nightly');
INSERT INTO cerebras_tagsets VALUES (1, '["nightly"]');
INSERT INTO cerebras_tags VALUES (1, 0, 5);
INSERT INTO cerebras_states VALUES (1, '["ok"]'), (2, '["cache_hit"]');
"""
ROW = (
    "INSERT INTO cerebras_records (record_id, started_us, model_id, provider_id,"
    " user_id, session_id, node_id, arm_id, tagset_id, state_id, error_id, asked_id,"
    " served_id, operation_id, tier_id, price_id, stream, attempts, input_tokens, cost,"
    " cost_input, cost_cached_input, cost_cache_write, cost_image, cost_output,"
    " cost_request, cost_reasoning, cache_savings, ttft_s) VALUES"
    " (?, ?, 1, 2, 3, 0, 0, 0, 1, ?, 0, 1, 0, 4, 0, 0, 0, 1, 1000,"
    " 350000000, 350000000, 0, 0, 0, 0, 0, 0, 0, 0.25)"
)


@pytest.fixture
def old(tmp_path):
    """Return a ledger of version 1, which kept no totals: 30 calls, one an hour."""
    path = tmp_path / "costs.db"
    connection = sqlite3.connect(path)
    connection.executescript(V1)
    first = 1_780_000_000_000_000
    rows = [(f"r{n}", first + n * 3_600_000_000, 2 if n == 5 else 1) for n in range(30)]
    connection.executemany(ROW, rows)
    connection.commit()
    connection.close()
    return path


def test_a_ledger_of_version_1_becomes_one_of_this_version(old):
    with Ledger(old) as ledger:
        records = list(ledger.records())
        assert len(records) == 30
        for by in (("model",), ("user", "day"), ("tag",), ("hour",), ("outcome",)):
            assert ledger.report(by) == group_records(records, by)
        totals = ledger.totals(Filter(tag=("nightly",)))
        assert (totals.calls, totals.cost) == (30, Decimal("0.0105"))
        assert totals.input_tokens == 29_000
        assert ledger.percentiles("ttft_s")[0].values[0] == 0.25
        assert ledger.revision() == 7
        ledger.add(make_record(user="ann"))
        assert dict(ledger.values("user")) == {"ann": 31}


def schema_of(path):
    connection = sqlite3.connect(path)
    found = {}
    for kind, name in connection.execute("SELECT type, name FROM sqlite_schema"):
        pragma = "table_info" if kind == "table" else "index_info"
        rows = connection.execute(f"PRAGMA {pragma}({name})").fetchall()
        found[kind, name] = sorted((row[1], row[2], row[-1]) for row in rows)
    connection.close()
    return found


def test_a_migrated_ledger_has_the_tables_of_a_new_one(old, tmp_path):
    Ledger(old).close()
    Ledger(tmp_path / "new.db").close()
    assert schema_of(old) == schema_of(tmp_path / "new.db")


def test_a_migration_that_fails_changes_nothing(old, monkeypatch):
    from langchain_cerebras_ext.costs._ledger import migrations

    before = schema_of(old)
    monkeypatch.setattr(migrations, "roll_up", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Ledger(old)
    assert schema_of(old) == before
    monkeypatch.undo()
    with Ledger(old) as ledger:
        assert ledger.totals().calls == 30


@pytest.mark.parametrize("is_old", [True, False], ids=["migrate", "create"])
def test_many_that_start_at_once_do_it_once(old, tmp_path, is_old):
    path = old if is_old else tmp_path / "new.db"
    opened, failed = [], []
    gate = threading.Barrier(6)

    def start():
        gate.wait()
        try:
            opened.append(Ledger(path, busy_timeout_s=30))
        except LedgerError as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []
    assert {one.totals().calls for one in opened} == {30 if is_old else 0}
    for one in opened:
        assert one.status().is_up
        one.close()


def test_the_columns_are_those_that_are_written(tmp_path):
    from langchain_cerebras_ext.costs._ledger.codec import COLUMNS

    assert ("id", *COLUMNS) == tuple(column.name for column in schema.records.columns)
    with Ledger(tmp_path / "costs.db") as ledger:
        assert json.loads(json.dumps(ledger.status()._asdict()))["is_up"] is True
