"""What becomes of records on their way to the database, whatever happens to it."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import pickle
import sqlite3
import threading
import time
import warnings
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_samples import make_record

from langchain_cerebras_ext.costs._ledger import spool
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasCostWarning,
    LedgerError,
)

QUICK = {"busy_timeout_s": 0.02}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "costs.db"


@pytest.fixture
def make(path):
    """Return a maker of ledgers that wait for nothing but a flush."""
    made = []

    def make(place=path, **options):
        options = {"flush_interval_s": 3_600, **QUICK, **options}
        made.append(Ledger(place, **options))
        return made[-1]

    yield make
    for ledger in made:
        ledger.close()


@pytest.fixture
def locked(path):
    """Return a lock on the database that another program holds."""
    other = sqlite3.connect(path, isolation_level=None)

    def lock():
        other.execute("BEGIN IMMEDIATE")

    lock.release = lambda: other.execute("ROLLBACK")
    yield lock
    other.close()


def written(path):
    """Return the ids in the file, as another program sees them."""
    other = sqlite3.connect(path)
    try:
        return [
            name for (name,) in other.execute("SELECT record_id FROM cerebras_records")
        ]
    finally:
        other.close()


def ids(ledger):
    return sorted(one.record_id for one in ledger.records())


def spool_files(path, ending=".jsonl"):
    return [one for one in path.parent.iterdir() if one.name.endswith(ending)]


@contextlib.contextmanager
def alone(ledger):
    """Keep the writer's thread out, which else comes by when it likes."""
    with ledger._writer._lock:
        yield


def until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ------------------------------------------------------------------- when all is well


def test_records_are_written_after_a_while_without_being_asked(make, path):
    ledger = make(flush_interval_s=0.01)
    for name in "ab":
        ledger.add(make_record(record_id=name))
        until(lambda name=name: name in written(path))


def test_a_full_batch_does_not_wait(make, path):
    ledger = make(batch_size=5)
    ledger.add(make_record(record_id="first"))  # which wakes the thread anyway
    assert ledger.flush()
    # All five are there when it comes: of those after a half it need not come again.
    with alone(ledger):
        for number in range(5):
            ledger.add(make_record(record_id=str(number)))
    until(lambda: len(written(path)) == 6)


@pytest.mark.parametrize("meanwhile", ["is filled", "is closed"])
def test_the_thread_does_not_rest_on_a_batch_that_meanwhile(
    make, path, monkeypatch, meanwhile
):
    ledger = make(batch_size=4)
    writer = ledger._writer
    monkeypatch.setattr(writer, "_start", lambda: True)  # this is the thread's part
    ledger.add(make_record(record_id="a"))
    clear = writer._wake.clear
    todo = [
        ledger.close
        if meanwhile == "is closed"
        else lambda: ledger.add(make_record(record_id="b"))
    ]

    def clear_too_late():
        while todo:
            todo.pop()()
        clear()

    monkeypatch.setattr(writer._wake, "clear", clear_too_late)
    thread = threading.Thread(target=writer._rest)
    thread.start()
    thread.join(10)
    is_resting = thread.is_alive()
    writer._wake.set()
    thread.join()
    assert not is_resting


@pytest.mark.parametrize(
    "strict", [{"batch_size": 1}, {"flush_interval_s": 0}], ids=str
)
def test_in_strict_mode_add_returns_when_the_record_is_in_the_file(make, path, strict):
    ledger = make(**strict)
    for number in range(3):
        ledger.add(make_record(record_id=str(number)))
        assert written(path) == [str(n) for n in range(number + 1)]


@pytest.fixture
def hang(make, monkeypatch):
    """Return what lets a ledger's database hang until it is told to go on."""
    gates = []

    def hang(ledger):
        busy, go_on = threading.Event(), threading.Event()
        append = ledger._store.append

        def wait(batch):
            busy.set()
            assert go_on.wait(60)
            return append(batch)

        monkeypatch.setattr(ledger._store, "append", wait)
        gates.append(go_on)
        return busy, go_on

    yield hang
    for go_on in gates:  # or closing would wait for a test that has failed
        go_on.set()


def test_add_never_waits_for_the_database(make, hang):
    ledger = make(batch_size=2)
    busy, go_on = hang(ledger)
    for number in range(500):
        ledger.add(make_record(record_id=str(number)))
    assert busy.wait(60)
    assert not ledger.flush(timeout_s=0.01)
    go_on.set()
    assert ledger.flush()
    assert len(ids(ledger)) == 500


def test_memory_is_bounded_while_the_database_hangs(make, hang):
    ledger = make(batch_size=2, max_buffered=10)
    busy, go_on = hang(ledger)
    ledger.add(make_record(record_id="0"))
    ledger.add(make_record(record_id="1"))
    assert busy.wait(60)
    for number in range(2, 50):
        ledger.add(make_record(record_id=str(number)))
    assert ledger.status().buffered <= 10
    assert ledger.status().spooled >= 30
    go_on.set()
    assert ledger.flush()
    assert ids(ledger) == sorted(str(number) for number in range(50))
    assert ledger.status().dropped == 0


@pytest.mark.parametrize("batch_size", [2, 3, 20])
def test_no_more_than_a_batch_is_in_memory_while_the_database_hangs(
    make, hang, batch_size
):
    ledger = make(batch_size=batch_size)
    busy, go_on = hang(ledger)
    for number in range(100):
        ledger.add(make_record(record_id=str(number)))
        assert ledger.status().buffered <= batch_size
    assert busy.wait(60)
    # The status counts all of it, in whatever file it is.
    assert ledger.status().spooled + ledger.status().buffered == 100
    go_on.set()
    assert ledger.flush()
    status = ledger.status()
    assert (status.buffered, status.spooled, status.spool) == (0, 0, None)
    assert status.written + status.replayed == 100
    assert len(ids(ledger)) == 100


def test_while_records_are_taken_over_others_are_spooled(make, hang):
    ledger = make(batch_size=2)
    for number in range(2):
        busy, go_on = hang(ledger)
        for each in range(10):
            ledger.add(make_record(record_id=f"{number}-{each}"))
        assert busy.wait(60)
        # In the first round the writer has records in hand, in the second a file.
        if number == 0:
            busy.clear()
            go_on.set()
    go_on.set()
    assert ledger.flush()
    assert len(ids(ledger)) == 20
    assert ledger.status().dropped == 0


@pytest.mark.parametrize("most", [1_000, 15])
def test_where_there_is_no_place_to_spool_memory_holds_what_it_may(
    make, hang, tmp_path, most
):
    (tmp_path / "spool").write_text("no folder")
    ledger = make(batch_size=4, max_buffered=most, spool=tmp_path / "spool" / "spool")
    busy, go_on = hang(ledger)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number in range(50):
            ledger.add(make_record(record_id=str(number)))
    assert busy.wait(60)
    lost = max(50 - most, 0)
    assert (ledger.status().buffered, ledger.status().dropped) == (50 - lost, lost)
    assert [str(one.message)[:16] for one in told] == ["Records are lost"] * bool(lost)
    go_on.set()
    assert ledger.flush()
    assert len(ids(ledger)) == 50 - lost
    # It is tried again: perhaps there is a place now.
    (tmp_path / "spool").unlink()
    busy, go_on = hang(ledger)
    for number in range(50):
        ledger.add(make_record(record_id=f"more-{number}"))
    assert busy.wait(60)
    assert ledger.status().buffered <= 4
    go_on.set()


def test_in_an_outage_a_spool_that_fails_is_not_tried_again_and_again(
    make, locked, tmp_path, monkeypatch
):
    (tmp_path / "spool").write_text("no folder")
    ledger = make(batch_size=4, spool=tmp_path / "spool" / "spool")
    tries = []
    append = ledger._writer._spool.append
    monkeypatch.setattr(
        ledger._writer._spool,
        "append",
        lambda *args, **kwargs: tries.append(1) or append(*args, **kwargs),
    )
    locked()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CerebrasCostWarning)
        for number in range(200):
            ledger.add(make_record(record_id=str(number)))
            time.sleep(0.001)
        until(lambda: not ledger.status().is_up)
        time.sleep(0.3)
    assert ledger.status().buffered == 200
    # The writer's thread comes by each second, and a call once after it.
    assert len(tries) < 20
    locked.release()
    assert ledger.flush()
    assert len(ids(ledger)) == 200


def test_what_a_spool_file_holds_is_written_though_its_name_is_gone(make, hang, path):
    ledger = make(batch_size=2)
    busy, go_on = hang(ledger)
    for number in range(10):
        ledger.add(make_record(record_id=str(number)))
    assert busy.wait(60)
    for file in spool_files(path):
        file.unlink()
    for number in range(10, 20):
        ledger.add(make_record(record_id=str(number)))
    assert ledger.status().buffered + ledger.status().spooled == 20
    go_on.set()
    assert ledger.flush()
    assert len(ids(ledger)) == 20


def test_a_spool_file_that_another_process_took_as_it_was_made_is_left_to_it(
    make, locked, path, monkeypatch
):
    real, taken = spool._try_lock, []

    def by_another(file):
        if not taken:
            [made] = spool_files(path)
            made.unlink()
            taken.append(made)
        return real(file)

    ledger = make()
    locked()
    monkeypatch.setattr(spool, "_try_lock", by_another)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CerebrasCostWarning)
        ledger.add(make_record(record_id="a"))
        assert not ledger.flush()
    [file] = spool_files(path)
    assert file != taken[0]
    assert len(file.read_text().splitlines()) == 1
    locked.release()
    assert ledger.flush()
    assert ids(ledger) == ["a"]


def test_what_was_taken_over_before_an_outage_is_counted_once(
    make, locked, path, monkeypatch
):
    monkeypatch.setattr(spool, "_BATCH", 10)
    ledger = make()
    append, batches = ledger._store.append, []

    def fail_at_the_third(batch):
        batches.append(len(batch))
        if len(batches) == 3:
            raise OSError(errno.EIO, "Input/output error")
        return append(batch)

    locked()
    with alone(ledger), warnings.catch_warnings():
        warnings.simplefilter("ignore", CerebrasCostWarning)
        for number in range(25):
            ledger.add(make_record(record_id=str(number)))
        assert not ledger.flush()
        locked.release()
        monkeypatch.setattr(ledger._store, "append", fail_at_the_third)
        assert not ledger.flush()
        assert (ledger.status().replayed, ledger.status().spooled) == (20, 5)
    assert ledger.flush()
    assert (ledger.status().replayed, ledger.status().spooled) == (25, 0)
    assert spool_files(path) == []
    assert len(ids(ledger)) == 25


def test_what_the_writer_has_in_hand_is_not_missing(make, hang):
    ledger = make(batch_size=2)
    busy, go_on = hang(ledger)
    for number in range(2):
        ledger.add(make_record(record_id=str(number)))
    assert busy.wait(60)
    assert (ledger.status().buffered, ledger.status().written) == (2, 0)
    go_on.set()
    assert ledger.flush()
    assert (ledger.status().buffered, ledger.status().written) == (0, 2)


@pytest.mark.parametrize("way", ["writes", "spools", "loses"])
def test_at_any_moment_each_record_is_counted_once(make, monkeypatch, tmp_path, way):
    place, most = tmp_path / "spool", 10_000
    if way == "loses":
        place.write_text("no folder")
        place, most = place / "spool", 20
    ledger = make(batch_size=3, flush_interval_s=0.001, max_buffered=most, spool=place)
    if way != "writes":
        monkeypatch.setattr(ledger._store, "append", lambda _: 1 / 0)
        monkeypatch.setattr(ledger._writer, "_wait_s", 3_600)
    begun = ended = 0
    wrong = []

    def look():
        is_last = False
        while not is_last:
            least, is_last = ended, ended == 600
            status = ledger.status()
            found = status.buffered + status.spooled + status.written + status.dropped
            found += status.replayed
            if not least <= found <= begun:
                wrong.append((least, status, begun))
            time.sleep(0)

    watcher = threading.Thread(target=look)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CerebrasCostWarning)  # said in any thread
        watcher.start()
        for number in range(600):
            begun += 1
            ledger.add(make_record(record_id=str(number)))
            ended += 1
        watcher.join()
        assert wrong == []
        assert (ledger.status().dropped > 0) is (way == "loses")
        ledger.close()


def test_many_threads_lose_nothing(make):
    ledger = make(flush_interval_s=0.001, batch_size=7, busy_timeout_s=5)

    def work(thread):
        for number in range(40):
            ledger.add(make_record(number, record_id=f"{thread}-{number}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert ledger.totals().calls == 16 * 40
    assert len(set(ids(ledger))) == 16 * 40


def test_the_same_record_counts_once_wherever_it_comes_from(make):
    one, two = make(), make()
    record = make_record(record_id="a")
    for ledger in (one, two, one):
        ledger.add(record)
        ledger.add(record)
        ledger.flush()
    assert one.totals().calls == two.totals().calls == 1
    assert one.status().written == 1


def test_a_ledger_that_nobody_has_any_more_is_written_and_its_thread_ends(path):
    ledger = Ledger(path, flush_interval_s=3_600)
    ledger.add(make_record(record_id="a"))
    thread = ledger._writer._thread
    del ledger
    gc.collect()
    assert written(path) == ["a"]
    thread.join(10)
    assert not thread.is_alive()


def test_what_is_added_after_closing_is_written_at_once(make, path):
    ledger = make()
    ledger.close()
    ledger.add(make_record(record_id="late"))
    assert written(path) == ["late"]


def test_a_ledger_pickles_by_its_url(make):
    ledger = make()
    ledger.add(make_record(record_id="a"))
    ledger.flush()
    copy = pickle.loads(pickle.dumps(ledger))
    assert ids(copy) == ["a"]
    assert copy.url == ledger.url
    copy.close()


def test_revision_grows_with_every_change_of_anybody(make):
    one, two = make(), make()
    before = one.revision()
    assert one.revision() == before
    two.add(make_record())
    two.flush()
    assert one.revision() > before


def test_a_ledger_in_memory_serves_all_threads(make):
    ledger = make("sqlite://", flush_interval_s=0.001, busy_timeout_s=5)
    seen = []

    def work(thread):
        for number in range(20):
            ledger.add(make_record(record_id=f"{thread}-{number}"))
            seen.append(ledger.totals().calls)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert ledger.totals().calls == max(seen) == 80


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": -1}, {"flush_interval_s": -1}, {"max_buffered": -1}],
    ids=str,
)
def test_a_wrong_option_is_refused_with_its_name(path, wrong):
    with pytest.raises(CerebrasConfigurationError, match=next(iter(wrong))):
        Ledger(path, **wrong)


# ---------------------------------------------------------------------------- outages


def test_a_locked_database_is_said_once_and_nothing_is_lost(make, path, locked, caplog):
    ledger = make()
    ledger.add(make_record(record_id="before"))
    ledger.flush()
    locked()
    with pytest.warns(CerebrasCostWarning, match="locked") as told:  # noqa: PT031
        for number in range(5):
            ledger.add(make_record(record_id=f"during-{number}"))
            assert not ledger.flush()
    assert len(told) == 1
    status = ledger.status()
    assert (status.is_up, status.spooled, status.buffered) == (False, 5, 0)
    assert "locked" in status.error
    # A second one, if the writer's thread has tried to take the first one over.
    files = spool_files(path)
    assert status.spool in map(str, files)
    assert sum(len(one.read_text().splitlines()) for one in files) == 5
    locked.release()
    with caplog.at_level(logging.WARNING):
        assert ledger.flush()
    assert "5 records were taken over" in caplog.text
    assert len(ids(ledger)) == ledger.totals().calls == 6
    assert spool_files(path) == []
    status = ledger.status()
    assert (status.is_up, status.spooled, status.replayed) == (True, 0, 5)


def test_every_outage_is_said_anew(make, locked):
    ledger = make()
    for name in "ab":
        locked()
        with pytest.warns(CerebrasCostWarning, match="cannot be written"):  # noqa: PT031
            ledger.add(make_record(record_id=name))
            ledger.flush()
        locked.release()
        assert ledger.flush()
    assert ids(ledger) == ["a", "b"]


@pytest.mark.parametrize(
    "strict",
    [{"batch_size": 0}, {"batch_size": 1}, {"flush_interval_s": 0}],
    ids=["no batch", "batches of one", "no wait"],
)
def test_an_outage_in_strict_mode_puts_each_record_on_the_disk(
    make, path, locked, strict
):
    ledger = make(**strict)
    ledger.add(make_record(record_id="0"))
    assert ledger.status().written == 1
    locked()
    with pytest.warns(CerebrasCostWarning):  # noqa: PT031
        for name in "abc":
            ledger.add(make_record(record_id=name))
    [spool] = spool_files(path)
    lines = spool.read_text().splitlines()
    assert [json.loads(line)["record_id"] for line in lines] == ["a", "b", "c"]
    locked.release()
    assert ledger.flush()
    assert ids(ledger) == ["0", "a", "b", "c"]


def test_the_thread_finds_by_itself_that_the_database_is_back(make, path, locked):
    ledger = make(flush_interval_s=0.01)
    ledger._writer._wait_s = 0.01
    locked()
    with pytest.warns(CerebrasCostWarning) as told:  # noqa: PT031
        ledger.add(make_record(record_id="a"))
        until(lambda: len(told) == 1)  # which is after it is down
    assert not ledger.status().is_up
    locked.release()
    until(lambda: written(path) == ["a"])
    until(lambda: ledger.status().is_up)


def test_a_file_that_was_moved_away_is_not_made_anew_behind_ones_back(make, path):
    ledger = make()
    ledger.add(make_record(record_id="a"))
    ledger.flush()
    moved = path.with_name("moved.db")
    path.rename(moved)
    with pytest.warns(CerebrasCostWarning, match="vanished"):  # noqa: PT031
        ledger.add(make_record(record_id="b"))
        assert not ledger.flush()
    assert not path.exists()
    with pytest.raises(LedgerError, match="vanished"):
        ledger.totals()
    moved.rename(path)
    assert ledger.flush()
    assert ids(ledger) == ["a", "b"]


def test_a_deleted_file_is_made_anew_by_the_next_start(make, path):
    ledger = make()
    ledger.add(make_record(record_id="a", user="somebody"))
    ledger.flush()
    path.unlink()
    with pytest.warns(CerebrasCostWarning, match="vanished"):  # noqa: PT031
        ledger.add(make_record(record_id="b", user="somebody"))
        ledger.close()
    assert ids(make()) == ["b"]
    # The first one finds it, too, and knows that its numbers of words are others.
    ledger.add(make_record(record_id="c", user="somebody"))
    assert ids(ledger) == ["b", "c"]
    assert ledger.values("user") == [("somebody", 2)]


def test_where_there_is_no_spool_memory_keeps_what_it_can_and_counts_the_rest(
    make, path, locked, tmp_path
):
    file = tmp_path / "file"
    file.write_text("no folder")
    ledger = make(spool=file / "spool", max_buffered=5)
    locked()
    # What is in the thread's hands when memory is full is kept, though it is older.
    with alone(ledger), pytest.warns(CerebrasCostWarning) as told:  # noqa: PT031
        for number in range(20):
            ledger.add(make_record(record_id=f"{number:02}"))
            ledger.flush()
    assert [str(one.message).partition(":")[0] for one in told] == [
        "The ledger at sqlite",
        "Records are lost",
    ]
    assert ledger.status().dropped == 15
    locked.release()
    assert ledger.flush()
    assert ids(ledger) == ["15", "16", "17", "18", "19"]
    with pytest.warns(CerebrasCostWarning, match="15 records are lost"):
        ledger.close()


def test_a_full_database_spools_and_goes_on_when_there_is_room(make, path):
    ledger = make()
    ledger.add(make_record(record_id="a"))
    ledger.flush()
    many = [f"many-{number}" for number in range(400)]
    # Alone, or the thread takes the last few by themselves, for which there is room.
    with alone(ledger):
        with ledger.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.warns(CerebrasCostWarning, match="full"):  # noqa: PT031
            for name in many:
                ledger.add(make_record(record_id=name, run_id=name * 20))
            assert not ledger.flush()
        # Nothing of the batch is in the tables, neither rows nor totals.
        assert written(path) == ["a"]
        status = ledger.status()
        assert status.spooled + status.buffered == 400
        with ledger.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert ledger.flush()
    assert ids(ledger) == sorted(["a", *many])
    assert ledger.totals().calls == 401


# ------------------------------------------------------------------------------ spool


def spooled(path, locked, make, names):
    """Leave records in the spool of a process that is gone."""
    ledger = make()
    locked()
    with pytest.warns(CerebrasCostWarning):  # noqa: PT031
        with alone(ledger):
            for name in names:
                ledger.add(make_record(record_id=name))
        ledger.close()
    locked.release()
    return spool_files(path)


def test_the_next_start_takes_over_what_another_process_has_spooled(make, path, locked):
    [spool] = spooled(path, locked, make, ["a", "b"])
    ledger = make()
    assert ids(ledger) == ["a", "b"]
    assert not spool.exists()
    assert ledger.status().replayed == 2


def test_another_users_spool_file_does_not_keep_others_from_writing(
    make, path, locked, monkeypatch, caplog
):
    """As after one run with `sudo`: root's file may not be opened by anybody else."""
    [spool] = spooled(path, locked, make, ["theirs"])
    real = os.open

    def refuse(file, *more, **options):
        if file == spool:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return real(file, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        ledger = make()
        for name in ("ours", "ours again"):
            ledger.add(make_record(record_id=name))
            assert ledger.flush()
        assert ids(ledger) == ["ours", "ours again"]
        ledger.close()
    assert spool.exists()
    assert caplog.text.count(f"{spool} may not be read here") == 1
    again = make()
    assert again.flush()
    assert "theirs" in ids(again)


def test_a_spool_file_that_may_not_be_removed_is_emptied(
    make, path, locked, monkeypatch
):
    [spool] = spooled(path, locked, make, ["a"])

    def refuse(self, **_):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    ledger = make()
    ledger.add(make_record(record_id="b"))
    assert ledger.flush()
    assert ids(ledger) == ["a", "b"]
    assert spool.read_bytes() == b""


def test_a_spool_file_is_left_alone_while_its_writer_lives(make, path, locked):
    first = make()
    locked()
    with alone(first):
        first.add(make_record(record_id="a"))
        with pytest.warns(CerebrasCostWarning):
            first.flush()
        locked.release()
        second = make()
        assert ids(second) == []
    assert first.flush()
    assert ids(second) == ["a"]


def test_a_damaged_line_is_kept_aside_and_said(make, path, locked):
    [spool] = spooled(path, locked, make, ["a", "b"])
    with spool.open("ab") as file:
        file.write(b'{"started_at":"2026-01-01T00:0')
    ledger = make()
    with pytest.warns(CerebrasCostWarning, match="1 lines of spool files"):
        assert ids(ledger) == ["a", "b"]
    [damaged] = spool_files(path, ".damaged")
    assert damaged.read_bytes() == b'{"started_at":"2026-01-01T00:0\n'
    assert not spool.exists()


def test_replaying_twice_changes_nothing(make, path, locked):
    [spool] = spooled(path, locked, make, ["a", "b"])
    lines = spool.read_bytes()
    assert ids(make()) == ["a", "b"]
    spool.write_bytes(lines)
    ledger = make()
    assert ids(ledger) == ["a", "b"]
    assert ledger.totals().calls == 2


def test_spool_files_are_private(make, path, locked):
    [spool] = spooled(path, locked, make, ["a"])
    assert spool.stat().st_mode & 0o077 == 0


# --------------------------------------------------------------- records that are none


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": 10**13},
        {"cost": Cost(output=Decimal("NaN"))},
        {"cost": Cost(output=Decimal(10) ** 30)},
        {"user": 7},
        {"outcome": "splendid"},
        {"tags": (object(),)},
        {"record_id": "bad" * 1_000},
        {"started_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
    ],
    ids=["tokens", "not a number", "too dear", "user", "outcome", "tag", "id", "year"],
)
def test_a_record_that_no_row_can_hold_is_kept_aside_and_stops_no_other(
    make, path, wrong
):
    ledger = make()
    with pytest.warns(CerebrasCostWarning, match="cannot hold a record"):  # noqa: PT031
        ledger.add(make_record(record_id="good"))
        ledger.add(make_record().replace(**{"record_id": "bad", **wrong}))
        ledger.add(make_record(record_id="better"))
        ledger.flush()
    assert ids(ledger) == ["better", "good"]
    assert ledger.status().rejected == 1
    [aside] = spool_files(path, ".rejected")
    assert "bad" in json.loads(aside.read_text())["record"]


def test_what_the_database_refuses_is_kept_aside_and_stops_no_other(make, path):
    ledger = make()
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER picky BEFORE INSERT ON cerebras_records"
            " WHEN NEW.record_id = 'r7' BEGIN SELECT RAISE(ABORT, 'not this'); END"
        )
    with pytest.warns(CerebrasCostWarning, match="not this"):  # noqa: PT031
        for number in range(10):
            ledger.add(make_record(record_id=f"r{number}"))
        assert ledger.flush()
    assert ids(ledger) == [f"r{number}" for number in range(10) if number != 7]
    assert ledger.totals().calls == 9
    assert ledger.status().rejected == 1


def test_what_is_no_text_is_spelt_out_and_what_is_no_number_is_not_known(make):
    ledger = make()
    ledger.add(make_record(user="half \ud83d", ttft_s=float("nan")))
    [record] = ledger.records()
    assert record.user == r"half \ud83d"
    assert record.ttft_s is None
