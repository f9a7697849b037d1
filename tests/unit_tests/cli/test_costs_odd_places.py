"""`cerebras-ext costs` where a ledger is empty, away, or asked for odd figures."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from langchain_cerebras_ext.cli.main import app
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord

pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")

from langchain_cerebras_ext.costs.ledger import Ledger

AWAY = "postgresql+psycopg://ann:geheim-123@127.0.0.1:1/costs"

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger with a call of each of two sessions."""
    path = tmp_path_factory.mktemp("ledger") / "costs.db"
    calls = [
        UsageRecord(
            started_at=datetime(2026, 11, 21, tzinfo=UTC),
            model="gpt-oss-120b",
            session=session,
            input_tokens=10,
            output_tokens=1,
            cost=Cost(input=Decimal("0.0000035")),
        )
        for session in ("s1", "s2")
    ]
    with Ledger(path) as ledger:
        ledger.import_records(calls)
    return f"sqlite:///{path}"


@pytest.fixture
def run(url: str) -> Run:
    """Run `cerebras-ext costs` on that ledger."""

    def call(*args: str, code: int = 0, ledger: str = url, **more: Any) -> Result:
        env = {"CEREBRAS_COSTS_LEDGER": ledger}
        found = CliRunner().invoke(app, ["costs", *args], env=env, **more)
        assert found.exit_code == code, found.output
        return found

    return call


@pytest.mark.parametrize("command", ["report", "watch", "budget", "dashboard"])
def test_an_empty_file_is_no_ledger_yet(run: Run, tmp_path: Path, command: str) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    found = run(command, code=2, ledger=str(empty))
    assert "There is no ledger at" in " ".join(found.stderr.split())
    assert empty.read_bytes() == b""


def test_an_empty_file_becomes_a_ledger_by_an_import(
    run: Run, tmp_path: Path, url: str
) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    run("merge", url, ledger=str(empty))
    assert "gpt-oss-120b" in run("report", ledger=str(empty)).stdout


@pytest.mark.parametrize(
    "args",
    [
        ("report",),
        ("top",),
        ("watch", "--once"),
        ("export", "x.csv"),
        ("prune", "--before", "today", "--yes"),
    ],
    ids=lambda args: args[0],
)
def test_a_server_that_is_away_is_told_once_and_without_its_password(
    run: Run, args: tuple[str, ...], recwarn: pytest.WarningsRecorder
) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    found = run(*args, code=1, ledger=AWAY)
    assert found.stderr.count("Error: ") == 1
    assert "cannot be used" in found.stderr
    assert "Calls go on" not in found.output, "nobody calls a model here"
    assert "geheim" not in found.output
    assert not recwarn.list


def test_the_dashboard_says_that_it_waits_for_its_server(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    pytest.importorskip("uvicorn", reason="the extra `dashboard` is not installed")
    from langchain_cerebras_ext.dashboard import server

    monkeypatch.setattr(server, "serve", lambda *_, **__: None)
    found = run("dashboard", ledger=AWAY)
    assert "cannot be read now, the page waits for it" in found.stderr
    assert "geheim" not in found.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("watch", "--interval", "nan"), "--interval is nan. Give 0.1 to 86,400"),
        (("watch", "--interval", "inf"), "--interval is inf."),
        (("budget", "--at", "nan"), "--at is nan. Give a part of the limit"),
        (("budget", "--at", "inf"), "--at is inf."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_no_number_is_refused(
    run: Run, args: tuple[str, ...], message: str
) -> None:
    found = run(*args, code=2)
    assert message in " ".join(found.stderr.split())


def test_a_filter_that_nothing_fits_is_told_from_an_empty_ledger(
    run: Run, tmp_path: Path
) -> None:
    assert "No calls there are as you asked." in run("report", "-u", "eve").stderr
    fresh = tmp_path / "fresh.db"
    Ledger(fresh).close()
    found = run("report", ledger=str(fresh))
    assert "No calls are recorded there." in found.stderr


def test_the_dearest_calls_can_be_those_of_a_session(run: Run) -> None:
    found = run("top", "--session", "s1", "--json")
    assert found.stdout.count('"record_id"') == 1


def test_an_export_can_go_to_standard_output(run: Run) -> None:
    found = run("export", "-", "--format", "csv")
    rows = list(csv.DictReader(found.stdout.splitlines()))
    assert [row["session"] for row in rows] == ["s1", "s2"]
    assert "Wrote 2 records" in found.stderr
    assert "to standard output." in found.stderr
    assert "'-' says no format" in run("export", "-", code=2).stderr


def test_an_export_through_a_link_leaves_the_link(run: Run, tmp_path: Path) -> None:
    """A file in its place would be written over `/dev/stdout`, too."""
    target, link = tmp_path / "there.jsonl", tmp_path / "link.jsonl"
    target.touch()
    link.symlink_to(target)
    assert "Add --force" in run("export", str(link), code=2).stderr
    run("export", str(link), "--force")
    assert link.is_symlink()
    assert len(target.read_text(encoding="utf-8").splitlines()) == 2


def test_an_export_into_a_pipe_leaves_the_pipe(run: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        run("export", str(pipe))
        assert os.read(reading, 1 << 16).count(b"\n") == 2
    finally:
        os.close(reading)
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_a_full_device_is_a_failure_and_stays(run: Run) -> None:
    found = run("export", "/dev/full", "--format", "csv", code=1)
    assert "/dev/full cannot be written: No space left" in found.stderr
    assert Path("/dev/full").is_char_device()


def test_calls_that_were_pruned_are_not_listed_and_it_says_so(
    run: Run, tmp_path: Path, url: str
) -> None:
    kept = str(tmp_path / "kept.db")
    run("merge", url, ledger=kept)
    run("prune", "--before", "2026-11-22", "--yes", ledger=kept)
    found = run("top", ledger=kept)
    assert found.stdout == ""
    assert "The calls themselves were pruned" in found.stderr
    assert "gpt-oss-120b" in run("top", "--by", "model", ledger=kept).stdout


def test_a_plan_without_a_price_says_how_to_give_one(run: Run) -> None:
    found = run("project", "--models", "no-such-model", code=1)
    assert "--prices FILE" in found.stderr
    found = run("project", "--models", "gpt-oss-120b", "--on", "2026-11-21")
    assert "--prices FILE" not in found.stderr
