"""An export leaves links, pipes and open files what they are; an import needs ids."""

from __future__ import annotations

import io
import os

import pytest
from ledger_samples import make_record

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.errors import CerebrasConfigurationError, LedgerError


@pytest.fixture
def ledger():
    with Ledger("sqlite://") as made:
        made.import_records([make_record(), make_record()])
        yield made


def test_what_a_link_leads_to_is_written_and_the_link_stays(ledger, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target, link = folder / "there.jsonl", tmp_path / "link.jsonl"
    target.write_text("old")
    link.symlink_to(target)
    ledger.export(link)
    assert link.is_symlink()
    assert target.read_bytes().count(b"\n") == 2
    assert list(folder.iterdir()) == [target]


def test_a_link_to_nothing_yet_makes_what_it_leads_to(ledger, tmp_path):
    target, link = tmp_path / "new.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target.name)
    ledger.export(link)
    assert link.is_symlink()
    assert target.read_bytes().count(b"\n") == 2


def test_a_link_to_a_file_stays_what_it_was_if_the_export_fails(
    ledger, tmp_path, monkeypatch
):
    target, link = tmp_path / "there.jsonl", tmp_path / "link.jsonl"
    target.write_text("old")
    link.symlink_to(target)
    ledger.engine.dispose()  # what is in memory goes with its connection
    with pytest.raises(LedgerError):
        ledger.export(link)
    assert target.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [link, target]


@pytest.mark.parametrize("through_link", [False, True])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "jsonl.gz"])
def test_a_pipe_stays_a_pipe(ledger, tmp_path, ending, through_link):
    pipe = place = tmp_path / f"pipe.{ending}"
    os.mkfifo(pipe)
    if through_link:
        place = tmp_path / f"link.{ending}"
        place.symlink_to(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert ledger.export(place) == 2
        got = os.read(reading, 1 << 16)
    finally:
        os.close(reading)
    plain = tmp_path / f"plain.{ending}"
    ledger.export(plain)
    assert got == plain.read_bytes()
    assert pipe.is_fifo()


def test_an_open_file_gets_the_records(ledger):
    into = io.BytesIO(b"head\n")
    into.seek(0, io.SEEK_END)
    assert ledger.export(into, format="jsonl") == 2
    assert into.getvalue().startswith(b"head\n{")
    assert into.getvalue().count(b"\n") == 3


def test_an_open_file_has_no_name_that_tells_a_format(ledger):
    with pytest.raises(CerebrasConfigurationError, match="An open file says no format"):
        ledger.export(io.BytesIO())


def test_a_reader_who_has_gone_is_an_error_of_the_file(ledger):
    reading, writing = os.pipe()
    os.close(reading)
    with (
        os.fdopen(writing, "wb", buffering=0) as into,
        pytest.raises(LedgerError, match="The open file cannot be written") as caught,
    ):
        ledger.export(into, format="jsonl")
    assert isinstance(caught.value.__cause__, BrokenPipeError)


def test_a_folder_is_no_place_for_an_export(ledger, tmp_path):
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    with pytest.raises(LedgerError, match="cannot be written: Is a directory"):
        ledger.export(folder)
    assert folder.is_dir()


# ---------------------------------------------------------------------------- ids


def without_ids(path):
    """Write records that have no ids, as other programs do."""
    if path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow", reason="the extra parquet is missing")
        import pyarrow.parquet as pq

        table = {"started_at": ["2026-11-21T00:00:00Z"], "model": ["m"]}
        pq.write_table(pa.table(table), path)
    elif path.suffix == ".csv":
        path.write_text("record_id,started_at,model\n,2026-11-21T00:00:00Z,m\n")
    else:
        path.write_text('{"started_at":"2026-11-21T00:00:00Z","model":"m"}\n')
    return path


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_record_without_an_id_is_refused_since_it_would_count_twice(
    ledger, tmp_path, ending
):
    path = without_ids(tmp_path / f"made.{ending}")
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"record 1 .*record_id"):
            ledger.import_records(path)
    assert ledger.totals().calls == 2


def test_a_file_that_was_mended_is_taken_in_once(ledger, tmp_path):
    path = tmp_path / "mixed.jsonl"
    ledger.export(path)
    good = path.read_text()
    # A text that says it is no field of that name.
    path.write_text(good + '{"started_at":"2026-11-21T00:00:00Z","model":"record_id"}')
    with Ledger("sqlite://") as other:
        with pytest.raises(LedgerError, match=r"record 3 .*`record_id`"):
            other.import_records(path)
        path.write_text(good)
        other.import_records(path)
        assert other.totals().calls == 2
