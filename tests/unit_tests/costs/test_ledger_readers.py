"""Readers of a ledger: of files that may only be read, and of servers that are away.

Root may write whatever the modes say, so what may be written is said by a fake here.
What SQLite does with a file that it opens for reading is real.
"""

from __future__ import annotations

import sqlite3
import sys
import warnings

import pytest
from ledger_samples import make_record

from langchain_cerebras_ext.costs import Budget, read_budgets
from langchain_cerebras_ext.costs._ledger import engine, schema
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.errors import (
    CerebrasCostWarning,
    LedgerError,
    MissingExtraError,
)


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "costs.db"
    with Ledger(made) as ledger:
        ledger.import_records([make_record(), make_record()])
    return made


@pytest.fixture
def refuse(monkeypatch):
    """Let nothing be written whose name ends so, until it is called again."""

    def set_refused(*endings):
        monkeypatch.setattr(
            engine,
            "_is_writable",
            lambda one: one.exists() and not one.name.endswith(endings or ("\0",)),
        )

    return set_refused


def names(path):
    return sorted(one.name for one in path.parent.iterdir())


# ------------------------------------------------------------------ the decision


@pytest.mark.parametrize(
    ("refused", "log", "mode"),
    [
        ((), None, "rw"),
        (("costs.db",), None, "ro&immutable=1"),
        (("folder",), None, "ro&immutable=1"),
        (("costs.db",), b"", "ro&immutable=1"),
        (("costs.db",), b"x", "ro"),
        (("folder",), b"x", "rw"),
        (("folder", "-wal"), b"x", "ro"),
        (("folder", "-shm"), b"x", "ro"),
    ],
    ids=[
        "all_may_be_written",
        "file",
        "folder",
        "file_with_an_empty_log",
        "file_with_a_log",
        "folder_with_a_log_of_all",
        "folder_and_log",
        "folder_and_index",
    ],
)
def test_a_file_is_opened_for_what_may_be_done(tmp_path, refuse, refused, log, mode):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "costs.db"
    path.touch()
    if log is not None:
        (folder / "costs.db-wal").write_bytes(log)
        (folder / "costs.db-shm").touch()
    refuse(*refused)
    assert engine._mode(path, create=False) == mode


def test_who_makes_a_ledger_opens_it_for_writing(path, refuse):
    refuse("costs.db")
    assert engine._mode(path, create=True) == "rwc"


# ------------------------------------------------------------------- for reading


def test_a_file_that_may_only_be_read_is_asked_and_nothing_is_put_beside_it(
    path, refuse
):
    refuse("costs.db")
    before = names(path)
    with Ledger(path, create=False) as ledger:
        assert ledger.totals().calls == 2
        assert len(ledger.report(("model",))) == 1
        assert len(list(ledger.records())) == 2
        assert ledger.percentiles("duration_s") == []
    assert names(path) == before
    assert read_budgets(path) == []


def test_what_is_written_meanwhile_by_others_is_seen(path, refuse):
    refuse("costs.db")
    with Ledger(path, create=False) as reader:
        assert reader.totals().calls == 2
        refuse()
        with Ledger(path) as writer:
            writer.import_records([make_record()])
            refuse("costs.db")
            assert reader.totals().calls == 3, "from the log, which has it"
        refuse("costs.db")
        assert reader.totals().calls == 3, "from the file alone"


def test_a_reader_that_may_write_at_last_writes(path, refuse):
    refuse("costs.db")
    with Ledger(path, create=False) as ledger:
        assert ledger.totals().calls == 2
        with pytest.raises(LedgerError, match="attempt to write a readonly database"):
            ledger.import_records([make_record()])
        refuse()
        assert ledger.totals().calls == 2
        assert ledger.import_records([make_record()]) == 1


@pytest.mark.parametrize("version", [4, schema.VERSION - 1])
def test_an_older_ledger_that_may_only_be_read_says_what_to_do(path, refuse, version):
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE cerebras_ledger SET version = {version}")
    connection.close()
    refuse("costs.db")
    told = (
        rf"has version {version} .* version {schema.VERSION}, and may only be read here"
    )
    with pytest.raises(LedgerError, match=told):
        Ledger(path, create=False)


def test_who_would_write_is_told_how_to_read(path, refuse, monkeypatch):
    lines = ("PRAGMA query_only = 1", "CREATE TABLE one (two)")
    monkeypatch.setattr(engine, "_PRAGMAS_OF_WRITERS", lines)
    refuse("costs.db", path.parent.name)
    with pytest.raises(LedgerError, match="open it with create=False"):
        Ledger(path)


# --------------------------------------------------------------------- from away

AWAY = "postgresql+psycopg://ann:geheim@127.0.0.1:1/costs"


def test_a_reader_of_a_server_that_is_away_hears_of_it_once_by_an_error(tmp_path):
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ledger = Ledger(AWAY, create=False, spool=tmp_path / "spool")
        with pytest.raises(LedgerError, match="cannot be used"):
            ledger.totals()
        ledger.close()


def test_a_record_for_a_server_that_is_away_is_news_even_if_nothing_may_be_made(
    tmp_path,
):
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    ledger = Ledger(AWAY, create=False, spool=tmp_path / "spool", batch_size=1)
    with pytest.warns(CerebrasCostWarning, match="Calls go on") as told:
        ledger.add(make_record())
    ledger.close()
    assert len(told) == 1
    assert ledger.status().dropped == 0


# -------------------------------------------------------------- without SQLAlchemy


@pytest.mark.parametrize("use", [lambda at: Budget("1", ledger=at), read_budgets])
def test_budgets_in_a_ledger_name_the_extra_that_is_missing(monkeypatch, tmp_path, use):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.delitem(
        sys.modules, "langchain_cerebras_ext.costs._budgets._sql", raising=False
    )
    with pytest.raises(MissingExtraError, match=r"langchain-cerebras-ext\[ledger\]"):
        use(str(tmp_path / "x.db"))


# ------------------------------------------------------------- no word of a cost

NO_COST = make_record(cost=None)


@pytest.mark.parametrize(
    ("record", "unpriced"),
    [
        (NO_COST, 1),
        (NO_COST.replace(flags=("unpriced",)), 1),
        (NO_COST.replace(flags=("estimated",)), 1),
        (NO_COST.replace(flags=("estimated", "no_usage")), 1),
        (NO_COST.replace(flags=("no_usage",)), 0),
        (NO_COST.replace(outcome="cache_hit"), 0),
        (make_record(), 0),
    ],
    ids=["none", "unpriced", "estimated", "guessed", "no_usage", "cached", "priced"],
)
def test_no_cost_and_no_word_of_why_is_no_price(record, unpriced):
    from langchain_cerebras_ext.costs.report import group_records

    [expected] = group_records([record], ("model",))
    assert expected.totals.unpriced_calls == unpriced
    with Ledger("sqlite://") as ledger, Ledger("sqlite://") as other:
        ledger.import_records([record])
        assert ledger.report(("model",)) == [expected], "from the totals that are kept"
        assert ledger.report(("session", "model"))[0].totals == expected.totals
        other.merge(ledger)
        assert other.totals() == expected.totals
