"""Calls while the ledger is in trouble, and processes killed amid long work on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cost_bill import chat
from ledger_samples import make_record

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.report import group_records
from langchain_cerebras_ext.costs.tracker import track_costs
from langchain_cerebras_ext.errors import CerebrasCostWarning
from langchain_cerebras_ext.simulator import Simulator


@pytest.fixture(scope="module")
def sim():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "ledgers"
    folder.mkdir()
    return folder / "costs.db"


def lock(path):
    """Take the write lock; returns what gives it back."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def vanish(path):
    """Take the database away; returns what puts it back."""
    away = path.parent.with_name("away")
    away.mkdir()
    names = [one.name for one in path.parent.glob("costs.db*")]
    for name in names:
        (path.parent / name).rename(away / name)
    return lambda: [(away / name).rename(path.parent / name) for name in names]


def spoil(path):
    """Put something in its place that is no database; returns what mends it."""
    mend = vanish(path)
    path.write_bytes(b"no database, but a text of some length" * 100)
    return mend


@pytest.mark.parametrize("trouble", [lock, vanish, spoil])
@pytest.mark.parametrize("batch_size", [1, 200], ids=["strict", "batches"])
def test_calls_go_on_and_are_all_there_afterwards(sim, path, trouble, batch_size):
    model = chat(sim)
    with (
        Ledger(path, batch_size=batch_size, busy_timeout_s=0.02) as ledger,
        track_costs(ledger=ledger) as costs,
    ):
        model.invoke("Before.")
        assert ledger.flush()
        mend = trouble(path)
        with pytest.warns(CerebrasCostWarning, match="cannot be written") as told:  # noqa: PT031
            for _ in range(3):
                assert model.invoke("Amid it.").content
                assert not ledger.flush()
        assert len(told) == 1
        status = ledger.status()
        assert not status.is_up
        assert status.buffered + status.spooled == 3
        mend()
        assert model.invoke("After.").content
        assert ledger.flush()
        assert ledger.totals().cost == costs.get_total_cost() > 0
        assert ledger.totals().calls == 5
        assert ledger.status().dropped == 0


# --------------------------------------------------------------------------- kills

# The process kills itself as soon as a statement begins so: a moment of our choice.
KILLED = """
import json, os, signal, sys
from datetime import datetime
from sqlalchemy import Engine, event
from langchain_cerebras_ext.costs.ledger import Ledger

path, work, statement, times = json.loads(sys.argv[1])

@event.listens_for(Engine, "after_cursor_execute")
def kill(connection, cursor, text, *_):
    global times
    if text.lstrip().startswith(statement):
        times -= 1
        if times == 0:
            os.kill(os.getpid(), signal.SIGKILL)

ledger = Ledger(path)
if work == "prune":
    ledger.prune(datetime.fromisoformat("2026-11-02T00:00Z"))
elif work == "merge":
    ledger.merge(path + ".other")
"""


def be_killed(path, work, statement, times=1):
    told = json.dumps([str(path), work, statement, times])
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, told],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def whole(path):
    """Return a ledger's records, having checked that its totals are those of them."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    with Ledger(path, create=False) as ledger:
        records = list(ledger.records())
        for by in ((), ("user", "day"), ("hour",), ("tag",), ("node",)):
            assert ledger.report(by) == group_records(records, by)
        return {record.record_id for record in records}


def some(first, count):
    return [
        make_record(90 * n, record_id=f"r{n}", user=f"u{n % 3}", tags=(f"t{n % 4}",))
        for n in range(first, first + count)
    ]


@pytest.fixture
def filled(path):
    with Ledger(path) as ledger:
        ledger.import_records(some(0, 60))
    return path


def test_killed_while_pruning_nothing_is_gone(filled):
    be_killed(filled, "prune", "DELETE FROM cerebras_records")
    assert len(whole(filled)) == 60
    with Ledger(filled) as ledger:
        assert ledger.prune(datetime(2026, 11, 2, tzinfo=UTC)) > 0


def test_killed_while_merging_another_try_takes_the_rest(filled, monkeypatch):
    other = f"{filled}.other"
    with Ledger(other) as ledger:
        ledger.import_records(some(30, 2_300))  # several batches
    be_killed(filled, "merge", "INSERT INTO cerebras_daily_users", times=2)
    between = len(whole(filled))
    assert 60 < between < 2_330
    with Ledger(filled) as ledger:
        assert ledger.merge(other) == 2_330 - between
    assert len(whole(filled)) == 2_330


def test_killed_while_migrating_it_is_migrated_by_the_next_start(filled, tmp_path):
    connection = sqlite3.connect(filled)
    with connection:
        connection.execute("DROP TABLE cerebras_daily_nodes")
        connection.execute("DROP INDEX cerebras_records_sessions")
        connection.execute("UPDATE cerebras_ledger SET version = 3")
    connection.close()
    shutil.copy(filled, tmp_path / "before.db")
    be_killed(filled, "open", "INSERT INTO cerebras_daily_nodes")
    connection = sqlite3.connect(filled)
    version = connection.execute("SELECT version FROM cerebras_ledger").fetchone()
    tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    connection.close()
    assert version == (3,)
    assert ("cerebras_daily_nodes",) not in tables
    assert len(whole(filled)) == 60
