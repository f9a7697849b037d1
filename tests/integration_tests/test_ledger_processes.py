"""The ledger and the ends of processes: killed, forked, out of disk, started at once."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
from ledger_adders import WORKER, killed_adders
from ledger_samples import make_record

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.report import group_records
from langchain_cerebras_ext.errors import CerebrasCostWarning


@pytest.fixture
def path(tmp_path):
    return tmp_path / "costs.db"


@pytest.fixture
def start(path):
    """Return a starter of workers, which are killed in the end."""
    started = []

    def start(do, url=path, **told):
        told = {"url": str(url), "do": do, **told}
        started.append(
            subprocess.Popen(
                [sys.executable, WORKER, json.dumps(told)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


def ended(worker):
    """Return the lines that a worker said, once it has ended well, and its errors."""
    out, errors = worker.communicate(timeout=60)
    assert worker.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()], errors


def check(path, sure=()):
    """Check that the file is whole: rows, totals and what must be there."""
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    with Ledger(path, create=False) as ledger:
        records = list(ledger.records())
        names = [one.record_id for one in records]
        assert len(names) == len(set(names))
        assert set(sure) <= set(names)
        for by in ((), ("model", "day"), ("hour",), ("user",), ("tag",)):
            assert ledger.report(by) == group_records(records, by)
    return names


@pytest.mark.parametrize("batch_size", [0, 20, 200])
@pytest.mark.parametrize("is_locked", [False, True], ids=["free", "locked"])
def test_a_killed_process_loses_no_more_than_a_batch(
    path, tmp_path, batch_size, is_locked
):
    """Records come much faster than they are written, or nothing is written at all."""
    Ledger(path).close()
    other = sqlite3.connect(path, isolation_level=None, timeout=60)
    adders = killed_adders(
        path,
        tmp_path,
        options={"batch_size": batch_size, "busy_timeout_s": 0.2},
        least=2 * batch_size,
        seed=batch_size,
        amid=lambda: is_locked and other.execute("BEGIN IMMEDIATE"),
    )
    other.close()
    with Ledger(path) as ledger:
        try:
            ledger.flush()
        except CerebrasCostWarning:
            pass  # of a line that was being written: that record was never added
    names = set(check(path))
    for adder in adders:
        assert len(adder.added() - names) <= batch_size


@pytest.mark.parametrize("each", [1, 30], ids=["strict", "batches"])
def test_what_a_killed_process_has_flushed_is_there(start, path, each):
    """Nothing that was said to be written is missing, and nothing is half there."""
    options = {"batch_size": 1} if each == 1 else {}
    rng = random.Random(each)
    workers = [
        start("write_for_ever", name=f"w{n}", each=each, options=options)
        for n in range(2)
    ]
    sure = []
    for worker in workers:
        for _ in range(rng.randrange(3, 12)):
            sure += json.loads(worker.stdout.readline())["written"]
    time.sleep(rng.random() / 20)
    for worker in workers:
        worker.kill()
        # Not by `communicate`, which does not know what `readline` has read ahead.
        said = worker.stdout.read()
        whole = [line for line in said.splitlines() if line.endswith("]}")]
        sure += [name for line in whole for name in json.loads(line)["written"]]
    names = check(path, sure)
    # In strict mode one record of each may be there of which nobody was told.
    assert each > 1 or len(names) - len(sure) <= len(workers)


def test_a_process_that_is_killed_while_it_spools_has_spooled_all_it_said(start, path):
    Ledger(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    worker = start(
        "write_for_ever",
        name="w",
        each=10,
        options={"busy_timeout_s": 0.01},
    )
    sure = [
        name
        for _ in range(8)
        for name in json.loads(worker.stdout.readline())["written"]
    ]
    worker.kill()
    worker.communicate()
    other.execute("ROLLBACK")
    other.close()
    # The last line may have been cut off, which is said.
    with Ledger(path) as ledger:
        try:
            ledger.flush()
        except CerebrasCostWarning:
            pass
    check(path, sure)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_writes_its_own_records_only(start, path):
    ended(start("write_in_child", options={"flush_interval_s": 3_600}))
    assert sorted(check(path)) == ["before", "child", "parent"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing_write_before_they_end(start, path, method):
    [said], _ = ended(
        start("write_in_pool", method=method, options={"flush_interval_s": 3_600})
    )
    assert said == {"exits": [0]}
    assert sorted(check(path)) == ["child-0"]


def test_a_full_disk_stops_no_call_and_loses_nothing_while_memory_lasts(start, path):
    """No file may grow: neither the database nor the spool."""
    worker = start(
        "fill_the_disk", size=60_000, count=300, options={"flush_interval_s": 3_600}
    )
    [full, free], errors = ended(worker)
    assert full["flushed"] is False
    assert full["status"]["buffered"] + full["status"]["spooled"] > 0
    assert full["status"]["dropped"] == 0
    assert errors.count("CerebrasCostWarning: ") == 1
    assert free["flushed"] is True
    assert len(check(path)) == 301


def test_a_full_disk_is_said_when_memory_is_full_too(start, path):
    # More than memory and two spool files hold: one may be sealed and another begun.
    options = {"flush_interval_s": 3_600, "max_buffered": 50}
    worker = start("fill_the_disk", size=60_000, count=2_000, options=options)
    [full, free], errors = ended(worker)
    lost = full["status"]["dropped"]
    assert lost > 0
    assert "Records are lost" in errors
    assert f"{free['status']['dropped']} records are lost" in errors
    assert len(check(path)) == 2_001 - free["status"]["dropped"]


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if (
        shutil.which("mount") is None
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("no small file system can be mounted here: needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full_gives_everything_back(small_disk):
    path = small_disk / "costs.db"
    ledger = Ledger(path, flush_interval_s=3_600)
    ledger.add(make_record(record_id="first"))
    assert ledger.flush()
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"\0" * 4_096)
    with pytest.warns(CerebrasCostWarning, match="cannot be written") as told:  # noqa: PT031
        for number in range(200):
            ledger.add(make_record(number, record_id=f"r{number}"))
            if number % 50 == 49:
                assert not ledger.flush()
    assert len(told) == 1
    status = ledger.status()
    assert status.buffered + status.spooled == 200
    ballast.unlink()
    assert ledger.flush()
    ledger.close()
    assert len(check(path)) == 201


def test_processes_that_start_at_once_share_one_file_and_write_when_they_end(
    start, path
):
    workers = [
        start("write", name=f"w{n}", count=25, options=options)
        for n, options in enumerate(({"batch_size": 5}, {"flush_interval_s": 3_600}))
    ]
    for worker in workers:
        ended(worker)
    assert len(check(path)) == 50
