"""Clocks that are set while a ledger is in use, and what else it promises at once."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest
from ledger_samples import make_record

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.report import Filter, group_records
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasCostWarning,
)

NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)


def at(time_, name, **fields):
    return make_record(record_id=name, **fields).replace(started_at=time_)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "costs.db"


def test_records_of_a_clock_that_was_set_are_where_they_say_they_are(path):
    """Set back over midnight and a month, forth, and to where nobody has set it."""
    times = {
        "noon": NOON,
        "set back": NOON - timedelta(hours=13),
        "a month back": NOON - timedelta(days=31),
        "no clock": datetime(1970, 1, 1, tzinfo=UTC),
        "forth": NOON + timedelta(days=400),
        "the same again": NOON,
        "right again": NOON + timedelta(seconds=1),
    }
    records = [at(when, name, user=name) for name, when in times.items()]
    with Ledger(path) as ledger:
        for record in records:
            ledger.add(record)
            ledger.flush()
        assert ledger.totals().calls == len(times)
        for by in ((), ("hour",), ("day",), ("month",), ("user", "day")):
            assert ledger.report(by) == group_records(records, by)
        in_order = [record.started_at for record in ledger.records()]
        assert in_order == sorted(times.values())
        today = Filter(since=NOON.replace(hour=0), until=NOON + timedelta(days=1))
        assert {record.record_id for record in ledger.records(today)} == {
            "noon",
            "the same again",
            "right again",
        }


def test_a_record_of_a_time_that_was_pruned_is_kept_aside_and_said(path):
    """A clock that was set back would have it counted among what is gone."""
    with Ledger(path) as ledger:
        ledger.add(at(NOON, "kept"))
        ledger.prune(NOON - timedelta(hours=1))
        with pytest.warns(CerebrasCostWarning, match="rows were pruned"):  # noqa: PT031
            ledger.add(at(NOON - timedelta(days=2), "back"))
            ledger.add(at(NOON, "good"))
            assert ledger.flush()
        assert [record.record_id for record in ledger.records()] == ["kept", "good"]
        assert ledger.status().rejected == 1
    [aside] = path.parent.glob("*.rejected")
    assert "'back'" in aside.read_text()


def test_a_time_to_come_is_not_pruned_to(path, monkeypatch):
    """Else no record would be taken in any more until then."""
    module = "langchain_cerebras_ext.costs.ledger"
    monkeypatch.setattr(f"{module}.utc_now", lambda: NOON + timedelta(minutes=30))
    with Ledger(path) as ledger:
        ledger.add(at(NOON - timedelta(hours=2), "old"))
        for dry_run in (True, False):
            with pytest.raises(CerebrasConfigurationError, match="still to come"):
                ledger.prune(NOON + timedelta(hours=1), dry_run=dry_run)
        # Within this hour it is the hour's beginning, which has come.
        assert ledger.prune(NOON + timedelta(minutes=59), dry_run=True) == 1
        assert ledger.pruned_before is None
        assert ledger.prune(NOON + timedelta(minutes=59)) == 1
        assert ledger.pruned_before == NOON
        ledger.add(at(NOON + timedelta(minutes=31), "new"))
        assert ledger.flush()
        assert ledger.status().rejected == 0


def test_records_of_a_clock_that_was_ahead_can_be_pruned(path, monkeypatch):
    module = "langchain_cerebras_ext.costs.ledger"
    monkeypatch.setattr(f"{module}.utc_now", lambda: NOON)
    with Ledger(path) as ledger:
        ledger.add(at(NOON + timedelta(days=9), "ahead"))
        ledger.add(at(NOON + timedelta(days=5), "less ahead"))
        assert ledger.prune(NOON + timedelta(days=9)) == 1
        assert [record.record_id for record in ledger.records()] == ["ahead"]


@pytest.mark.parametrize("moved_s", [-86_400.0, 86_400.0 * 365], ids=["back", "forth"])
def test_an_outage_ends_as_soon_whatever_the_clock_is_set_to(
    path, monkeypatch, moved_s
):
    """Waits go by a clock that nobody can set."""
    ledger = Ledger(path, flush_interval_s=0.01, busy_timeout_s=0.02)
    ledger._writer._wait_s = 0.01
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    real = time.time
    with pytest.warns(CerebrasCostWarning, match="locked"):  # noqa: PT031
        ledger.add(at(NOON, "a"))
        _until(lambda: not ledger.status().is_up)
        monkeypatch.setattr(time, "time", lambda: real() + moved_s)
        other.close()
        _until(lambda: ledger.status().is_up)
    assert [record.record_id for record in ledger.records()] == ["a"]
    ledger.close()


def _until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_default_is_a_file_here_that_others_may_read_while_it_is_written(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with Ledger() as ledger:
        ledger.add(make_record(record_id="a"))
        assert ledger.flush()
        file = sqlite3.connect(tmp_path / "costs.db", isolation_level=None)
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        # A reader in the middle of its reading hinders no writer.
        file.execute("BEGIN")
        count = "SELECT count(*) FROM cerebras_records"
        assert file.execute(count).fetchone() == (1,)
        ledger.add(make_record(record_id="b"))
        assert ledger.flush()
        assert file.execute(count).fetchone() == (1,)
        file.execute("COMMIT")
        assert file.execute(count).fetchone() == (2,)
        file.close()


def test_rows_are_only_ever_added(path):
    """No database function of ours changes a record that is there."""
    with Ledger(path) as ledger:
        ledger.add(make_record(record_id="a", user="ann"))
        ledger.flush()
        ledger.add(make_record(record_id="a", user="bob"))
        assert ledger.flush()
        [record] = ledger.records()
        assert record.user == "ann"
        assert ledger.values("user") == [("ann", 1)]
