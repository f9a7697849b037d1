"""Records go into files and other ledgers, and come back as they were."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import START, make_record
from ledger_strategies import alike_records, any_records

from langchain_cerebras_ext.costs._ledger import files
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.report import Filter, group_records
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasCostWarning,
    LedgerError,
    MissingExtraError,
)

FORMATS = ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")


def in_memory(records=()):
    ledger = Ledger("sqlite://")
    ledger.import_records(records)
    return ledger


def content(ledger):
    return sorted(ledger.records(), key=lambda one: one.record_id)


def as_kept(records):
    """Return records as a ledger has them: with a word of why there is no cost."""
    return [one.replace(flags=one.doubts) for one in records]


def unique(strategy, **options):
    return st.lists(strategy, unique_by=lambda one: one.record_id, **options)


@settings(max_examples=6, deadline=None)
@given(unique(any_records, max_size=4))
def test_any_record_comes_back_from_the_database_and_every_file(
    tmp_path_factory, records
):
    folder = tmp_path_factory.mktemp("files")
    expected = sorted(as_kept(records), key=lambda one: one.record_id)
    with in_memory(records) as ledger, in_memory() as other:
        assert content(ledger) == expected
        for ending in FORMATS:
            path = folder / f"records.{ending}"
            assert ledger.export(path) == len(records)
            form, packed = files.find_format(path, None)
            read = files.read_file(path, form, packed=packed)
            assert sorted(read, key=lambda one: one.record_id) == expected
        assert other.import_records(path) == len(records)
        assert content(other) == expected


@settings(max_examples=3, deadline=None)
@given(unique(alike_records, min_size=1, max_size=9), st.data())
def test_merging_is_idempotent_commutative_and_associative(records, data):
    sides = data.draw(
        st.lists(
            st.sets(st.sampled_from(range(3)), min_size=1),
            min_size=len(records),
            max_size=len(records),
        )
    )
    parts = [
        [one for one, side in zip(records, sides, strict=True) if n in side]
        for n in range(3)
    ]

    def merged(*order):
        ledger = in_memory()
        for n in order:
            with in_memory(parts[n]) as part:
                ledger.merge(part)
        return ledger

    with merged(0, 1, 2) as one, merged(2, 1, 0, 1) as two, merged(1, 2) as rest:
        with in_memory(parts[0]) as first:
            first.merge(rest)
            expected = sorted(as_kept(records), key=lambda each: each.record_id)
            by = ("model", "user", "tag", "hour")
            for ledger in (one, two, first):
                assert content(ledger) == expected
                assert ledger.report(by) == group_records(records, by)
                assert ledger.merge(ledger) == 0


def test_merging_takes_a_url_and_says_how_many_were_new(tmp_path):
    with Ledger(tmp_path / "a.db") as one, Ledger(tmp_path / "b.db") as two:
        one.add(make_record(record_id="a"))
        one.flush()
        two.import_records([make_record(record_id="a"), make_record(record_id="b")])
    with Ledger(tmp_path / "b.db") as two:
        assert two.merge(f"sqlite:///{tmp_path / 'a.db'}") == 0
    with Ledger(tmp_path / "a.db") as one:
        assert one.merge(tmp_path / "b.db") == 1
        with pytest.raises(LedgerError, match="no ledger"):
            one.merge(tmp_path / "nothing.db")


def test_merging_a_pruned_ledger_says_what_is_missing():
    with in_memory([make_record(0), make_record(300)]) as one, in_memory() as two:
        one.prune(START + timedelta(hours=2))
        with pytest.warns(CerebrasCostWarning, match="was pruned"):
            assert two.merge(one) == 1


def test_pruning_may_take_the_totals_of_whole_days_with_it():
    records = [make_record(n * 60, ttft_s=0.1) for n in range(60)]
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    left = [one for one in records if one.started_at >= noon.replace(hour=0)]
    with in_memory(records) as ledger:
        assert ledger.prune(noon, keep_totals=False) == len(records) - len(left)
        for by in ((), ("model", "day"), ("user",), ("tag",), ("hour",), ("session",)):
            assert ledger.report(by) == group_records(left, by)
        assert ledger.prune(noon.replace(day=1, month=10)) == 0


def test_an_export_is_filtered_and_in_the_order_of_time(tmp_path):
    records = [make_record(n, user="ab"[n % 2]) for n in (3, 1, 2)]
    with in_memory(records) as ledger:
        path = tmp_path / "some.jsonl"
        assert ledger.export(path, filter=Filter(user=("b",))) == 2
        with in_memory() as other:
            other.import_records(path)
            assert [one.started_at for one in other.records()] == [
                START + timedelta(minutes=1),
                START + timedelta(minutes=3),
            ]


def test_csv_is_what_people_read_and_no_cell_is_a_formula(tmp_path):
    path = tmp_path / "costs.csv"
    record = make_record(
        record_id="r",
        user="=HYPERLINK(1)",
        session="",
        node="+1",
        arm="-a",
        error_type="@x",
        run_id="'quoted",
        tags=("a,b", '"'),
        duration_s=0.25,
        stream=True,
    )
    with in_memory([record]) as ledger:
        ledger.export(path)
    with path.open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["user"] == "'=HYPERLINK(1)"
    assert (row["session"], row["node"], row["arm"]) == ("'", "'+1", "'-a")
    assert (row["error_type"], row["run_id"]) == ("'@x", "''quoted")
    assert row["tags"] == r'["a,b","\""]'
    assert row["started_at"] == "2026-10-30T21:30:00Z"
    assert (row["cost_usd"], row["cost_output"]) == ("0.000575", "0.000225")
    assert (row["stream"], row["duration_s"], row["ttft_s"]) == ("true", "0.25", "")
    with in_memory() as other:
        other.import_records(path)
        assert content(other) == [record]


def test_parquet_has_types(tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "costs.parquet"
    with in_memory([make_record(tags=("a",))]) as ledger:
        ledger.export(path)
    [row] = pq.read_table(path).to_pylist()
    assert row["cost_usd"] == Decimal("0.000575")
    assert row["started_at"] == START
    assert (row["tags"], row["input_tokens"], row["ttft_s"]) == (["a"], 1_000, None)


def test_packed_files_of_the_same_records_are_the_same_bytes(tmp_path):
    with in_memory([make_record(record_id="a")]) as ledger:
        for name in ("a", "b"):
            ledger.export(tmp_path / f"{name}.csv.gz")
    one, two = (tmp_path / f"{name}.csv.gz" for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert gzip.decompress(one.read_bytes()).startswith(b"started_at,")


def test_a_failed_export_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "costs.jsonl"
    path.write_text("old")

    def fails(records, file):
        file.write(b"half a li")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(files._WRITERS, "jsonl", fails)
    with in_memory([make_record()]) as ledger:
        with pytest.raises(LedgerError, match="No space left"):
            ledger.export(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("costs.xlsx", None),
        ("costs", None),
        ("costs.csv", "xml"),
        ("a.parquet.gz", None),
    ],
    ids=str,
)
def test_a_format_that_is_none_is_refused_with_those_that_are(tmp_path, name, form):
    with in_memory() as ledger:
        with pytest.raises(CerebrasConfigurationError, match=r"\.csv, \.jsonl"):
            ledger.export(tmp_path / name, format=form)
        with pytest.raises(CerebrasConfigurationError, match=r"\.csv, \.jsonl"):
            ledger.import_records(tmp_path / name, format=form)


def test_a_given_format_wins_over_the_name(tmp_path):
    with in_memory([make_record(record_id="a")]) as ledger, in_memory() as other:
        ledger.export(tmp_path / "costs.txt", format="jsonl")
        assert other.import_records(tmp_path / "costs.txt", format="jsonl") == 1


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    with in_memory() as ledger:
        monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"\[parquet\]"):
            ledger.export(tmp_path / "costs.parquet")


HEAD = b"record_id,started_at,model\r\n"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", b'{"model":"m"}\n', "record 1 cannot be read"),
        ("a.jsonl", b"nonsense\n", "record 1 cannot be read"),
        ("a.csv", b"model,when\r\n", "names no record_id"),
        ("a.csv", HEAD + b"a,2026-01-01T00:00:00Z,m\r\nb,noon,m\r\n", "record 2"),
        ("a.csv", HEAD + b"a,2026-01-01T00:00:00Z\r\n", "record 1"),
        ("a.csv", b"\xff\xfe", "record 1"),
        ("a.parquet", b"PAR1nonsense", "Parquet"),
        ("a.csv.gz", b"not packed", "cannot be read"),
    ],
    ids=["field", "json", "columns", "time", "cells", "utf-8", "parquet", "gzip"],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(tmp_path, name, data, said):
    path = tmp_path / name
    path.write_bytes(data)
    with in_memory() as ledger, pytest.raises(LedgerError, match=said) as caught:
        ledger.import_records(path)
    assert str(path) in str(caught.value)


def write_table(path, columns, *rows):
    """Write a CSV file as others do, with few columns of their own."""
    names = f"record_id,started_at,model,{columns}"
    lines = [f"r{n},2026-11-01T00:00:00Z,m,{row}" for n, row in enumerate(rows)]
    path.write_text("\n".join([names, *lines]))
    return path


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ("cost_usd", "1.50"),
        ("cost_usd,cost_output", "1.50,"),
        ("cost_usd,cost_input,cost_output", "1.50,0.25,0.25"),
        ("cost_usd,cost_input", "0.000001,0"),
    ],
)
def test_a_sum_that_is_not_what_its_parts_add_up_to_is_no_free_call(
    tmp_path, columns, row
):
    path = write_table(tmp_path / "calls.csv", columns, row)
    with Ledger(tmp_path / "costs.db") as ledger:
        with pytest.raises(LedgerError, match=r"record 1 .* cost_request"):
            ledger.import_records(path)
        assert ledger.totals().calls == 0


@pytest.mark.parametrize(
    "more",
    ['"cost":{"total":"1.5"}', '"cost_usd":"1.5"', '"cost_usd":1.5,"cost":{"input":1}'],
)
def test_a_sum_in_json_is_no_free_call_either(tmp_path, more):
    path = tmp_path / "calls.jsonl"
    path.write_text(
        f'{{"record_id":"r","started_at":"2026-11-01T00:00:00Z","model":"m",{more}}}\n'
    )
    with (
        Ledger(tmp_path / "costs.db") as ledger,
        pytest.raises(LedgerError, match=r"its cost is 1\.5 USD"),
    ):
        ledger.import_records(path)


def test_a_sum_alone_can_be_taken_in_and_empty_lines_are_left_out(tmp_path):
    path = write_table(
        tmp_path / "calls.csv", "cost_usd,cost_request", "1.50,1.5", "0,0", ","
    )
    path.write_text(f"{path.read_text()}\n\n\n")
    with Ledger(tmp_path / "costs.db") as ledger:
        assert ledger.import_records(path) == 3
        assert [record.cost_usd for record in ledger.records()] == [1.5, 0, None]
        assert ledger.totals().unpriced_calls == 1


@pytest.mark.parametrize(
    ("columns", "row", "said"),
    [
        ("user", "a,b", "has 5 cells, and the first line 4"),
        ("user,tags", "a", "has 4 cells, and the first line 5"),
        ("user,user", "a,b", "names a column twice"),
    ],
)
def test_a_table_whose_cells_are_nobodys_is_refused(tmp_path, columns, row, said):
    path = write_table(tmp_path / "calls.csv", columns, row)
    with (
        Ledger(tmp_path / "costs.db") as ledger,
        pytest.raises(LedgerError, match=said),
    ):
        ledger.import_records(path)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with in_memory() as ledger, pytest.raises(LedgerError, match="No such file"):
        ledger.import_records(tmp_path / "none.csv")


def test_records_that_no_row_can_hold_are_said_when_they_are_imported():
    good, bad = make_record(record_id="good"), make_record(input_tokens=10**13)
    with in_memory() as ledger:
        with pytest.warns(CerebrasCostWarning, match="1 records were not taken"):
            assert ledger.import_records([good, bad]) == 1
        assert [one.record_id for one in ledger.records()] == ["good"]


def test_an_empty_ledger_makes_files_that_can_be_read(tmp_path):
    with in_memory() as ledger:
        for ending in FORMATS:
            path = tmp_path / f"empty.{ending}"
            assert ledger.export(path) == 0
            assert ledger.import_records(path) == 0
        (tmp_path / "no.csv").write_bytes(b"")
        assert ledger.import_records(tmp_path / "no.csv") == 0


def test_a_table_from_a_spreadsheet_needs_few_columns(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(
        b"\xef\xbb\xbfrecord_id,started_at,model,cost_usd,cost_output,remark\r\n"
        b"a,2026-01-02T03:04:05+01:00,m,0.5,0.5,hello\r\n"
    )
    with in_memory() as ledger:
        assert ledger.import_records(path) == 1
        [record] = ledger.records()
        assert record.started_at == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
        assert ledger.totals().cost == Decimal("0.5")


def test_words_of_any_length_come_back():
    long = "long " * 2_000
    record = make_record(user=long, tags=(long, f"{long}!"), session=f"{long}?")
    with in_memory([record, make_record(user=f"{long[:-1]}x")]) as ledger:
        assert record in content(ledger)
        assert dict(ledger.values("tag"))[long] == 1
        assert ledger.totals(Filter(user=(long,))).calls == 1
