"""The gate between SQLite and forks, and connections that go through it."""

from __future__ import annotations

import gc
import threading
import time

import pytest
from ledger_samples import make_record
from sqlalchemy import text

from langchain_cerebras_ext.costs._ledger import engine, gate
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.errors import CerebrasCostWarning, LedgerError

LONG_S = 20.0


@pytest.fixture
def door(monkeypatch):
    """Return a gate of the test's own, so that no other test waits before it."""
    own = gate.Gate()
    monkeypatch.setattr(engine, "gate", own)
    return own


@pytest.fixture
def ledger(door, tmp_path):
    with Ledger(tmp_path / "costs.db") as opened:
        opened.add(make_record(record_id="a"))
        opened.flush()
        yield opened


def started(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(holds):
    deadline = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Hold:
    """Another thread that is inside until it is let go."""

    def __init__(self, door):
        self._door = door
        self._inside, self._go = threading.Event(), threading.Event()
        self.thread = started(self._work)
        assert self._inside.wait(LONG_S)

    def _work(self):
        entry = self._door.enter()
        self._inside.set()
        self._go.wait(LONG_S)
        self._door.leave(entry)

    def let_go(self):
        self._go.set()


def test_closing_waits_for_another_thread_that_is_inside(door):
    other = Hold(door)
    closed = []

    def close():
        closed.append(door.close(LONG_S))
        door.open()

    closer = started(close)
    time.sleep(0.02)
    assert closed == []
    other.let_go()
    closer.join(LONG_S)
    assert closed == [True]


def test_closing_waits_no_longer_than_it_may(door):
    other = Hold(door)
    assert door.close(0.02) is False
    door.open()
    other.let_go()
    other.thread.join(LONG_S)
    assert door.close(0.02) is True
    door.open()


def test_closing_does_not_wait_for_its_own_thread_but_tells_that_it_is_inside(door):
    entry = door.enter()
    assert door.close(LONG_S) is False
    door.open()
    door.leave(entry)


def test_nobody_else_gets_in_while_it_is_closed(door):
    assert door.close(0)
    inside = []
    other = started(lambda: inside.append(door.enter()))
    own = door.enter()  # who forks may: its own hooks may need a ledger
    time.sleep(0.02)
    assert inside == []
    door.leave(own)
    door.open()
    other.join(LONG_S)
    assert len(inside) == 1


def test_who_is_inside_gets_in_again_while_it_is_being_closed(door):
    inside, closing, nested = threading.Event(), threading.Event(), []

    def work():
        outer = door.enter()
        inside.set()
        closing.wait(LONG_S)
        nested.append(door.enter())
        door.leave(nested[0])
        door.leave(outer)

    other = started(work)
    inside.wait(LONG_S)
    closed = []
    closer = started(lambda: (closed.append(door.close(LONG_S)), door.open()))
    until(lambda: door._closed_by is not None)
    closing.set()
    other.join(LONG_S)
    closer.join(LONG_S)
    assert closed == [True]
    assert len(nested) == 1


def test_two_threads_that_fork_do_so_one_after_the_other(door):
    order = []

    def fork(name):
        door.close(LONG_S)
        order.append(name)
        time.sleep(0.005)
        order.append(name)
        door.open()

    threads = [started(lambda name=name: fork(name)) for name in "abc"]
    for one in threads:
        one.join(LONG_S)
    assert sorted(order[::2]) == list("abc")
    assert order[::2] == order[1::2]


def test_opening_by_one_that_has_not_closed_changes_nothing(door):
    door.open()
    assert door.close(0)
    other = started(door.open)
    other.join(LONG_S)
    assert door._closed_by == threading.get_ident()
    door.open()


def test_leaving_twice_and_in_another_thread_is_leaving(door):
    entry = door.enter()
    other = started(lambda: (door.leave(entry), door.leave(entry)))
    other.join(LONG_S)
    assert door.close(0) is True
    door.open()


# ------------------------------------------------------------------------ connections


def test_a_connection_is_inside_until_it_is_given_back(door, ledger):
    with ledger.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        assert door.close(0) is False
        door.open()
    assert door.close(0) is True
    door.open()


def test_a_connection_that_nobody_has_any_more_is_outside(door, ledger):
    connection = ledger.engine.connect()
    connection.execute(text("SELECT 1"))
    del connection
    gc.collect()
    assert door.close(0) is True
    door.open()


def test_what_cannot_connect_is_outside(door, ledger, tmp_path):
    ledger.close()
    (tmp_path / "costs.db").unlink()
    with pytest.raises(LedgerError, match="vanished"):
        ledger.totals()
    assert door.close(0) is True
    door.open()


def test_more_connections_than_are_kept_all_come_out(door, ledger):
    together = threading.Barrier(9)

    def work():
        with ledger._store.reading() as connection:
            connection.execute(text("SELECT 1"))
            together.wait(LONG_S)

    threads = [started(work) for _ in range(9)]
    for one in threads:
        one.join(LONG_S)
    assert door.close(0) is True
    door.open()


def test_closing_closes_the_file_and_leaves_what_is_in_memory(door, ledger):
    with Ledger("sqlite://") as memory:
        memory.add(make_record())
        assert ledger.totals().calls == memory.totals().calls == 1
        assert ledger.engine.pool.checkedin() == 1
        assert door.close(LONG_S)
        assert ledger.engine.pool.checkedin() == 0
        assert memory.engine.pool.checkedin() == 1
        door.open()
        assert ledger.totals().calls == memory.totals().calls == 1


def test_a_reader_waits_while_a_process_is_forked(door, ledger):
    assert door.close(0)
    got = []
    reader = started(lambda: got.append(ledger.totals().calls))
    time.sleep(0.02)
    assert got == []
    door.open()
    reader.join(LONG_S)
    assert got == [1]


def test_sqlalchemys_own_log_lines_stay_its_own(ledger):
    assert ledger.engine.pool.logger.name.startswith("sqlalchemy.pool")


# ------------------------------------------------- a child that was forked all the same


def test_a_fork_amid_a_read_is_said_and_goes_on(door):
    entry = door.enter()
    with pytest.warns(CerebrasCostWarning, match="was forked while a connection"):
        door.before_fork()
    door.open()
    door.leave(entry)
    assert not door.is_broken
    door.before_fork()  # a later one says nothing
    door.after_fork()
    assert not door.is_broken


@pytest.fixture
def broken(door, tmp_path):
    """Have this process believe that it is a child that was forked amid a read."""
    with Ledger(tmp_path / "before.db") as made:
        made.add(make_record(record_id="a"))
        made.flush()
    entry = door.enter()
    with pytest.warns(CerebrasCostWarning):
        door.before_fork()
    door.after_fork()
    door.leave(entry)
    return tmp_path / "before.db"


def test_a_child_forked_amid_a_read_keeps_its_records_and_never_waits(
    broken, door, monkeypatch
):
    with pytest.warns(CerebrasCostWarning, match="inherited its locks"):
        ledger = Ledger(broken)
    ledger.add(make_record(record_id="b"))
    assert not ledger.flush()
    assert ledger.status().spooled == 1
    with pytest.raises(LedgerError, match="inherited its locks"):
        ledger.totals()
    ledger.close()
    # The next process that opens it has them all.
    monkeypatch.setattr(door, "is_broken", False)
    with Ledger(broken) as later:
        assert sorted(one.record_id for one in later.records()) == ["a", "b"]


def test_a_grandchild_of_a_broken_child_is_broken_too(broken, door):
    door.before_fork()
    door.after_fork()
    assert door.is_broken
