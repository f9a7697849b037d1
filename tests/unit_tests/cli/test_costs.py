"""`cerebras-ext costs`: reports, exports and the rest, with sums written out by hand."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer, find_server
from rich.console import Console
from terminals import in_pipes, in_terminal
from typer.testing import CliRunner, Result

from langchain_cerebras_ext.cli import (
    costs,
    costs_budget,
    costs_project,
    costs_watch,
)
from langchain_cerebras_ext.cli.costs_budget import bar
from langchain_cerebras_ext.cli.costs_filter import (
    Asked,
    read_dimensions,
    read_filter,
    read_moment,
)
from langchain_cerebras_ext.cli.costs_move import PruneOptions, run_prune
from langchain_cerebras_ext.cli.costs_tables import calls_sheets, groups_sheets
from langchain_cerebras_ext.cli.costs_watch import WatchOptions, run_watch
from langchain_cerebras_ext.cli.failures import CommandError
from langchain_cerebras_ext.cli.main import app
from langchain_cerebras_ext.cli.screen import Board, Line, fitting, print_sheet
from langchain_cerebras_ext.costs import budget as budget_module
from langchain_cerebras_ext.costs.budget import Budget, BudgetStatus, CallScope
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.report import Filter, group_records
from langchain_cerebras_ext.errors import LedgerError

pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")

from langchain_cerebras_ext.costs.ledger import Ledger

NOW = datetime(2026, 11, 21, 12, 30, 45, 678, UTC)
FIRST = datetime(2026, 11, 1, 10, tzinfo=UTC)
SECOND = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
OSS_IN, OSS_OUT = Decimal("0.35e-6"), Decimal("0.75e-6")
QWEN_IN, QWEN_OUT = Decimal("0.99e-6"), Decimal("1.49e-6")

CALLS = [
    # 1,000,000 * 0.35 + 200,000 * 0.75, a million = 0.35 + 0.15 = 0.50
    UsageRecord(
        record_id="a" * 32,
        started_at=FIRST,
        model="gpt-oss-120b",
        user="ann",
        session="s1",
        tags=("nightly", "blue"),
        input_tokens=1_000_000,
        cached_input_tokens=400_000,
        output_tokens=200_000,
        duration_s=12.345,
        cost=Cost(input=1_000_000 * OSS_IN, output=200_000 * OSS_OUT),
    ),
    # 100 * 0.35 + 10 * 0.75 = 42.5 millionths
    UsageRecord(
        record_id="b" * 32,
        started_at=SECOND,
        model="gpt-oss-120b",
        user="bob",
        node="plan",
        tags=("nightly",),
        input_tokens=100,
        output_tokens=10,
        duration_s=0.5,
        cost=Cost(input=100 * OSS_IN, output=10 * OSS_OUT),
    ),
    # No price is known.
    UsageRecord(
        record_id="c" * 32,
        started_at=SECOND + timedelta(minutes=1),
        model="mine",
        provider="other",
        user="bob",
        input_tokens=5,
        output_tokens=6,
        flags=("unpriced",),
    ),
    # 1,000 * 0.99 + 1,000 * 1.49 = 2,480 millionths
    UsageRecord(
        record_id="d" * 32,
        started_at=SECOND + timedelta(minutes=2),
        model="qwen-3.8-27b",
        outcome="aborted",
        input_tokens=1_000,
        output_tokens=1_000,
        cost=Cost(input=1_000 * QWEN_IN, output=1_000 * QWEN_OUT),
        flags=("estimated", "no_usage"),
    ),
    # Answered by the cache, for nothing.
    UsageRecord(
        record_id="e" * 32,
        started_at=SECOND + timedelta(minutes=3),
        model="gpt-oss-120b",
        user="ann",
        outcome="cache_hit",
        input_tokens=100,
        output_tokens=10,
        cost=Cost(),
    ),
]
# 0.50 + 0.0000425 + 0.00248
SPENT = "0.5025225"
OSS = "0.5000425"

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that holds the calls above; not to be changed."""
    path = tmp_path_factory.mktemp("filled") / "costs.db"
    with Ledger(path) as ledger:
        assert ledger.import_records(CALLS) == len(CALLS)
    return path


@pytest.fixture
def url(tmp_path: Path, filled: Path) -> str:
    """A ledger that holds the calls above."""
    path = tmp_path / "costs.db"
    shutil.copy(filled, path)
    return f"sqlite:///{path}"


@pytest.fixture
def run(url: str) -> Run:
    """Run `cerebras-ext costs` on that ledger."""

    def call(
        *args: str, code: int = 0, ledger: str | None = url, **more: Any
    ) -> Result:
        env = {"CEREBRAS_COSTS_LEDGER": ledger}
        found = CliRunner().invoke(app, ["costs", *args], env=env, **more)
        assert found.exit_code == code, found.output
        return found

    return call


def lines(found: Result) -> list[list[str]]:
    return [line.split() for line in found.stdout.splitlines()]


def one_object(found: Result) -> Any:
    assert found.stdout.count("\n") == 1
    return json.loads(found.stdout)


# ---------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", datetime(2026, 11, 14, 12, 30, 45, 678, UTC)),
        ("90s", datetime(2026, 11, 21, 12, 29, 15, 678, UTC)),
        ("30m", datetime(2026, 11, 21, 12, 0, 45, 678, UTC)),
        ("24h", datetime(2026, 11, 20, 12, 30, 45, 678, UTC)),
        ("2w", datetime(2026, 11, 7, 12, 30, 45, 678, UTC)),
        ("now", NOW),
        ("today", datetime(2026, 11, 21, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-03", datetime(2026, 11, 3, tzinfo=UTC)),
        (" 2026-11-03T04:05 ", datetime(2026, 11, 3, 4, 5, tzinfo=UTC)),
        ("2026-11-03T04:05:06+02:00", datetime(2026, 11, 3, 2, 5, 6, tzinfo=UTC)),
        ("2026-11-03T04:05Z", datetime(2026, 11, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_as_people_write_it(text: str, moment: datetime) -> None:
    found = read_moment("--since", text, NOW)
    assert found == moment
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    ["", "7", "7y", "tomorrow", "2026-13", "2026-11-31", "-7d", "999999w", "1.5h", "x"],
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(CommandError, match=r"--until is .* 2026-11-01T12:30"):
        read_moment("--until", text, NOW)


def test_a_filter_has_what_was_asked_for() -> None:
    asked = Asked("2026-11-01", "2026-11-02", {"user": ("ann", "-"), "tag": ("x",)})
    assert read_filter(asked, NOW) == Filter(
        since=datetime(2026, 11, 1, tzinfo=UTC),
        until=datetime(2026, 11, 2, tzinfo=UTC),
        user=("ann", None),
        tag=("x",),
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param(Asked(""), "--since is ''", id="an empty time"),
        pytest.param(Asked(until=""), "--until is ''", id="an empty end"),
        pytest.param(Asked("1d", "2d"), "is not before --until 2d", id="order"),
        pytest.param(
            Asked(values={"outcome": ("fail",)}), "Did you mean 'failed'", id="outcome"
        ),
    ],
)
def test_a_filter_that_takes_nothing_is_refused(asked: Asked, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        read_filter(asked, NOW)


def test_dimensions_may_be_listed_and_repeated() -> None:
    given = ["model, USER", "day", "model", "error-type"]
    assert read_dimensions(given) == ("model", "user", "day", "error_type")


# --------------------------------------------------------------------------- report


def test_a_report_has_a_line_for_each_model_and_the_total(run: Run) -> None:
    found = run("report")
    head, *rows, unpriced, estimated = found.stdout.splitlines()
    assert head.split("  ")[0] == "model"
    assert [row.split() for row in rows] == [
        # cost share calls failed in cached out saved; the cache's answer is free
        "gpt-oss-120b $0.500 100% 3 0 1,000,100 400,000 200,010 -".split(),
        "qwen-3.8-27b ~ $0.00248 0% 1 0 1,000 0 1,000 -".split(),
        "mine unknown - 1 0 5 0 6 -".split(),
        "total ≥ $0.503 100% 5 0 1,001,105 400,000 201,016 -".split(),
    ]
    assert unpriced.startswith("! 1 call unpriced: no price of the model is known.")
    assert estimated.startswith("! 1 call estimated: the service did not say")
    assert "Times are in UTC." in found.stderr


def test_a_report_can_be_split_by_several_things(run: Run) -> None:
    assert [row[:4] for row in lines(run("report", "--by", "user,model"))[1:-3]] == [
        ["ann", "gpt-oss-120b", "$0.50", "99%"],
        ["(no", "user)", "qwen-3.8-27b", "~"],
        ["bob", "gpt-oss-120b", "$0.0000425", "0%"],
        ["bob", "mine", "unknown", "-"],
    ]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        (
            "day",
            [("2026-11-01", "0.5", "exact"), ("2026-11-02", "0.0025225", "at_least")],
        ),
        (
            "hour",
            [
                ("2026-11-01T10:00Z", "0.5", "exact"),
                ("2026-11-02T09:00Z", "0.0025225", "at_least"),
            ],
        ),
        ("month", [("2026-11", SPENT, "at_least")]),
        (
            "tag",
            [
                ("nightly", OSS, "exact"),
                ("blue", "0.5", "exact"),
                ("", "0.00248", "at_least"),
            ],
        ),
        (
            "outcome",
            [
                ("ok", OSS, "at_least"),
                ("aborted", "0.00248", "estimated"),
                ("cache_hit", "0", "exact"),
            ],
        ),
        ("provider", [("cerebras", SPENT, "estimated"), ("other", "", "unknown")]),
        (
            "node",
            [("", "0.50248", "at_least"), ("plan", "0.0000425", "exact")],
        ),
    ],
)
def test_csv_has_exact_sums_and_what_they_are_worth(
    run: Run, by: str, rows: list[tuple[str, str, str]]
) -> None:
    text = run("report", "--by", by, "--csv").stdout
    found = list(csv.DictReader(io.StringIO(text)))
    assert [(r[by], r["cost_usd"], r["certainty"]) for r in found] == rows


def test_csv_of_nothing_still_has_a_head(run: Run) -> None:
    text = run("report", "--by", "user", "--model", "none-such", "--csv").stdout
    assert text.splitlines() == [
        (
            "user,cost_usd,certainty,calls,retries,failed,aborted,cache_hits,"
            "router_tries,router_failures,router_aborts,"
            "unpriced_calls,calls_without_usage,estimated_calls,half_counted_calls,"
            "input_tokens,cached_input_tokens,output_tokens,reasoning_tokens,cache_savings_usd"
        )
    ]


def test_names_in_csv_are_no_formulas(run: Run, url: str) -> None:
    evil = '=HYPERLINK("http://evil")'
    with Ledger(url) as ledger:
        ledger.import_records([CALLS[0].replace(record_id="f" * 32, user=evil)])
    text = run("report", "--by", "user", "--csv").stdout
    assert f"'{evil}" in [row["user"] for row in csv.DictReader(io.StringIO(text))]


def test_json_is_one_object(run: Run, url: str) -> None:
    found = one_object(run("report", "--json", "--since", "2026-11-01T12:00"))
    total = {
        "cost_usd": "0.0025225",  # without the first call
        "certainty": "at_least",
        "calls": 4,
        "retries": 0,
        "failed": 0,
        "aborted": 1,
        "cache_hits": 1,
        "router_tries": 0,
        "router_failures": 0,
        "router_aborts": 0,
        "unpriced_calls": 1,
        "calls_without_usage": 1,
        "estimated_calls": 1,
        "half_counted_calls": 0,
        "input_tokens": 1_105,
        "cached_input_tokens": 0,
        "output_tokens": 1_016,
        "reasoning_tokens": 0,
        "cache_savings_usd": "0",
    }
    assert found["ledger"] == url
    assert found["filter"] == {"since": "2026-11-01T12:00:00Z", "until": None}
    assert found["by"] == ["model"]
    assert found["total"] == total
    assert [(g["keys"], g["cost_usd"], g["certainty"]) for g in found["groups"]] == [
        ({"model": "qwen-3.8-27b"}, "0.00248", "estimated"),
        ({"model": "gpt-oss-120b"}, "0.0000425", "exact"),
        ({"model": "mine"}, None, "unknown"),
    ]
    assert all(set(group) == {"keys", *total} for group in found["groups"])


def test_what_a_cache_saved_without_a_price_is_not_known(run: Run, url: str) -> None:
    with Ledger(url) as ledger:
        cached = CALLS[2].replace(record_id="f" * 32, cached_input_tokens=3)
        ledger.import_records([cached])
    found = one_object(run("report", "--json"))
    saved = {g["keys"]["model"]: g["cache_savings_usd"] for g in found["groups"]}
    assert saved == {"gpt-oss-120b": "0", "qwen-3.8-27b": "0", "mine": None}


@pytest.mark.parametrize(
    ("args", "spent"),
    [
        pytest.param(["--model", "mine"], None, id="unpriced model"),
        pytest.param(["--user", "ann"], "0.5", id="user"),
        pytest.param(["--user", "ann", "--user", "bob"], OSS, id="two users"),
        pytest.param(["--user", "-"], "0.00248", id="no user"),
        pytest.param(["--tag", "blue"], "0.5", id="tag"),
        pytest.param(["--session", "s1"], "0.5", id="session"),
        pytest.param(["--node", "plan"], "0.0000425", id="node"),
        pytest.param(["--provider", "cerebras"], SPENT, id="provider"),
        pytest.param(["--outcome", "cache_hit"], "0", id="free"),
        pytest.param(["--until", "2026-11-02"], "0.5", id="until"),
        pytest.param(["--since", "2026-11-02", "--user", "bob"], "0.0000425", id="and"),
        pytest.param(["--arm", "a"], "0", id="none"),
    ],
)
def test_a_report_takes_filters(run: Run, args: list[str], spent: str | None) -> None:
    assert one_object(run("report", "--json", *args))["total"]["cost_usd"] == spent


def test_rows_can_be_limited_and_the_total_is_of_all(run: Run) -> None:
    found = run("report", "--limit", "1")
    assert [row[0] for row in lines(found)[:3]] == ["model", "gpt-oss-120b", "total"]
    assert "≥ $0.503" in found.stdout
    assert "There are more, less dear: give a higher --limit, or 0." in found.stderr


def test_a_table_has_the_dearest_only_unless_all_are_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "_MOST_ROWS", 1)
    assert "There are more" in run("report").stderr
    everything = run("report", "--limit", "0")
    assert "There are more" not in everything.stderr
    models = {
        one["keys"]["model"] for one in one_object(run("report", "--json"))["groups"]
    }
    assert len(models) == 3
    assert models <= {row[0] for row in lines(everything)}


def test_where_nothing_is_recorded_it_says_so_and_no_sum(run: Run) -> None:
    found = run("report", "--user", "nobody")
    assert found.stdout == ""
    assert "No calls there are as you asked." in found.stderr


@pytest.mark.parametrize(
    "command", ["report", "top", "watch", "export", "prune", "budget", "dashboard"]
)
def test_without_a_ledger_it_says_how_to_begin_and_makes_none(
    run: Run, tmp_path: Path, command: str
) -> None:
    more = {"export": ["x.csv"], "prune": ["--before", "today"]}.get(command, [])
    absent = tmp_path / "absent.db"
    found = run(command, *more, code=2, ledger=f"sqlite:///{absent}")
    told = " ".join(found.stderr.split())
    assert f"There is no ledger at sqlite:///{absent}." in told
    assert f"track_costs(ledger='sqlite:///{absent}')" in told
    assert "CEREBRAS_COSTS_LEDGER" in told
    assert not absent.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_comes_through_a_pipe_is_taken_in(run: Run, tmp_path: Path) -> None:
    """As in `costs import <(costs export - -f csv) -f csv`."""
    pipe, file = tmp_path / "pipe", tmp_path / "calls.csv"
    run("export", str(file))
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(file.read_bytes()))
    feeder.start()
    made = str(tmp_path / "made.db")
    found = run("import", str(pipe), "--format", "csv", ledger=made)
    feeder.join()
    assert f"5 records of {pipe} are new" in found.stderr
    assert count(made) == 5


@pytest.mark.parametrize("command", ["import", "merge"])
def test_no_ledger_is_made_for_what_cannot_be_taken_in(
    run: Run, tmp_path: Path, command: str
) -> None:
    made = tmp_path / "made.db"
    source = tmp_path / "calls.txt"
    if command == "import":
        source.touch()
    run(command, str(source), code=2, ledger=str(made))
    assert not made.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["report", "--by", "usr"], "--by is 'usr'. Did you mean 'user'?"),
        (["report", "--since", "soon"], "--since is 'soon'. Give a span back"),
        (["report", "--outcome", "bad"], "--outcome is 'bad'. Give one of ok, failed"),
        (["report", "--limit", "-1"], "The number of rows is -1."),
        (["top", "0"], "The number of rows is 0."),
        (["report", "--json", "--csv"], "not both"),
        (["report", "--ledger", "mysql://h/d"], "The ledger's URL begins with 'mysql'"),
        (["report", "--ledger", "sqlite://"], "is in memory"),
        (["watch", "--interval", "0"], "--interval is 0. Give 0.1 to 86,400 seconds."),
        (["export", "calls.txt"], "'calls.txt' says no format"),
        (["export", "x", "--format", "xls"], "format='xls' says no format"),
        (["import", "absent.csv"], "absent.csv is no file"),
        (["merge", "absent.db"], "There is no ledger at"),
        (["prune", "--before", "2026-11-02"], "Add --yes to remove them"),
        (["budget", "--at", "-1"], "--at is -1."),
        (["budget", "--ledger", "x.db", "--redis", "redis://h"], "not both"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    run: Run, args: list[str], message: str
) -> None:
    found = run(*args, code=2)
    assert message in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr


def test_a_database_that_is_no_ledger_is_a_failure(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_text("Dear diary", encoding="utf-8")
    found = run("report", "--ledger", str(other), code=1)
    assert "Traceback" not in found.stderr
    assert "other.db" in found.stderr


def test_no_password_is_shown(run: Run) -> None:
    place = "postgresql+psycopg://ann:geheim-123@127.0.0.1:1/costs"
    found = run("report", "--ledger", place, code=1)
    assert "geheim" not in found.output


@pytest.mark.parametrize(
    "command",
    [
        *("", "report", "top", "budget", "export", "import", "merge", "prune"),
        *("watch", "project", "dashboard"),
    ],
)
def test_every_command_has_help(run: Run, command: str) -> None:
    assert "Usage: " in run(*command.split(), "--help").stdout


def test_it_says_which_calls_it_is_about(run: Run) -> None:
    found = run("report", "--since", "2026-11-01", "--until", "2026-11-02", "-b", "tag")
    assert "from 2026-11-01 00:00:00, before 2026-11-02 00:00:00." in found.stderr
    assert "A call with several tags is in each of their rows" in found.stdout


# ------------------------------------------------------------------------------- top


def test_top_lists_the_dearest_calls(run: Run) -> None:
    found = run("top", "2")
    head, first, second, *doubts = found.stdout.splitlines()
    assert head.startswith("time (UTC)")
    assert first.split() == [
        *("2026-11-01", "10:00:00", "$0.50", "gpt-oss-120b", "ann", "-"),
        *("nightly,", "blue", "ok", "1,000,000", "400,000", "200,000", "12.35"),
    ]
    assert second.split()[:5] == [
        "2026-11-02",
        "09:32:00",
        "~",
        "$0.00248",
        "qwen-3.8-27b",
    ]
    assert doubts[0].startswith("! 1 call unpriced")


def test_top_can_be_of_users(run: Run) -> None:
    rows = [row[:2] for row in lines(run("top", "1", "--by", "user"))[:3]]
    assert rows == [["user", "cost"], ["ann", "$0.50"], ["total", "≥"]]


def test_top_as_json_has_whole_records(run: Run) -> None:
    found = one_object(run("top", "1", "--json"))
    (call,) = found["calls"]
    assert call["record_id"] == "a" * 32
    assert call["cost_usd"] == "0.5"
    assert call["started_at"] == "2026-11-01T10:00:00Z"
    assert call["tags"] == ["nightly", "blue"]
    groups = one_object(run("top", "1", "--json", "--by", "user"))["groups"]
    assert groups[0]["keys"] == {"user": "ann"}


# --------------------------------------------------------------- export, import, merge


@pytest.mark.parametrize("kind", ["csv", "jsonl", "jsonl.gz", "parquet"])
def test_what_was_exported_can_be_imported_once(
    run: Run, tmp_path: Path, kind: str
) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    file = tmp_path / f"calls.{kind}"
    assert "Wrote 5 records" in run("export", str(file)).stderr
    other = f"sqlite:///{tmp_path / 'other.db'}"
    args = ("import", str(file), "--ledger", other)
    assert "5 records" in run(*args).stderr
    assert "Nothing of" in run(*args).stderr
    total = one_object(run("report", "--json", "--ledger", other))["total"]
    assert total["cost_usd"] == SPENT
    assert total["calls"] == 5


def test_an_export_can_be_of_a_part(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "anns"
    run("export", str(file), "--format", "jsonl", "--user", "ann")
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert {row["user"] for row in rows} == {"ann"}
    assert len(rows) == 2


def test_an_export_replaces_a_file_only_if_told_to(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("precious", encoding="utf-8")
    assert "Add --force" in run("export", str(file), code=2).stderr
    assert file.read_text("utf-8") == "precious"
    run("export", str(file), "--force")
    assert "gpt-oss-120b" in file.read_text("utf-8")


def test_ledgers_are_merged_without_doubles(run: Run, tmp_path: Path, url: str) -> None:
    other = f"sqlite:///{tmp_path / 'laptop.db'}"
    with Ledger(other) as ledger:
        ledger.import_records([CALLS[1], CALLS[0].replace(record_id="0" * 32)])
    assert "1 record of" in run("merge", other).stderr
    assert "Nothing of" in run("merge", other).stderr
    # The first call, twice: 0.5 + 0.5025225.
    assert one_object(run("report", "--json"))["total"]["cost_usd"] == "1.0025225"
    assert "is the ledger itself" in run("merge", url, code=2).stderr


def test_what_a_merge_cannot_take_is_said_in_words(
    run: Run, tmp_path: Path, url: str
) -> None:
    run("prune", "--before", "2026-11-02", "--yes")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    found = run("merge", url, "--ledger", other)
    assert f"! {url} was pruned" in found.stderr
    assert "Warning" not in found.stderr
    assert "4 records of" in found.stderr


# ----------------------------------------------------------------------------- prune


def count(url: str) -> int:
    with Ledger(url, create=False) as ledger:
        return sum(1 for _ in ledger.records())


def test_prune_removes_old_records_and_keeps_their_totals(run: Run, url: str) -> None:
    found = run("prune", "--before", "2026-11-02", "--yes")
    assert "1 record from before 2026-11-02 00:00:00 UTC" in found.stderr
    assert "$0.50" in found.stderr
    assert "Removed 1 record." in found.stderr
    assert count(url) == 4
    assert one_object(run("report", "--json"))["total"]["cost_usd"] == SPENT


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["table", "json"])
@pytest.mark.parametrize("command", ["report", "top"])
def test_sessions_of_pruned_calls_are_said_to_be_lost(
    run: Run, command: str, as_json: tuple[str, ...]
) -> None:
    """Else they would look like calls that never had one, and a session too cheap."""
    told = "Calls from before 2026-11-02 00:00:00 UTC were pruned: their sessions"
    by_session = (command, "--by", "session", *as_json)
    assert told not in run(*by_session).stderr
    assert (
        "not those of sessions" in run("prune", "--before", "2026-11-02", "-y").stderr
    )
    assert told in run(*by_session).stderr
    assert told in run(command, "--session", "s", *as_json).stderr
    assert told not in run(*by_session, "--since", "2026-11-02").stderr
    assert told not in run(*by_session, "--user", "nobody").stderr
    assert told not in run(command, "--by", "user", *as_json).stderr


def test_prune_can_forget_totals_as_well(run: Run) -> None:
    run("prune", "--before", "2026-11-02", "--yes", "--no-keep-totals")
    assert one_object(run("report", "--json"))["total"]["cost_usd"] == "0.0025225"


def test_a_dry_run_of_prune_removes_nothing(run: Run, url: str) -> None:
    found = run("prune", "--before", "2026-11-02", "--dry-run", "--json")
    told = one_object(found)
    assert told["removed"] == 0
    assert told["before"] == "2026-11-02T00:00:00Z"
    assert told["total_before"]["cost_usd"] == "0.5"
    found = run("prune", "--before", "2026-11-02", "--dry-run")
    assert "Nothing was removed: it was a dry run." in found.stderr
    assert count(url) == 5


@pytest.mark.parametrize("more", [["--yes"], ["--dry-run"]], ids=lambda more: more[0])
def test_a_time_to_come_is_not_pruned_to(run: Run, url: str, more: list[str]) -> None:
    found = run("prune", "--before", "9000-01-01", *more, code=2)
    assert "is still to come" in found.stderr
    assert count(url) == 5


def test_what_was_pruned_before_is_not_counted_again(run: Run) -> None:
    run("prune", "--before", "2026-11-02", "--yes")
    found = run("prune", "--before", "2026-11-02")
    assert "There are no records from before 2026-11-02 00:00:00" in found.stderr
    assert "Removed" not in found.stderr
    found = run("prune", "--before", "2026-11-02", "--dry-run", "--no-keep-totals")
    assert "1 record from before" in found.stderr, "its totals are there still"


@pytest.mark.parametrize(
    ("answer", "code", "left"), [(True, 0, 4), (False, 1, 5)], ids=["yes", "no"]
)
def test_prune_asks(
    monkeypatch: pytest.MonkeyPatch, url: str, answer: bool, code: int, left: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("y\n" if answer else "\n"))
    options = PruneOptions(before="2026-11-02", ledger=url)
    assert run_prune(options, now=NOW) == code
    assert count(url) == left


# ----------------------------------------------------------------------------- watch


class Clock:
    """A time that goes on when somebody sleeps; then Ctrl-C is pressed."""

    def __init__(
        self, naps: int, *, then: Callable[[int], object] | None = None
    ) -> None:
        self.now = SECOND + timedelta(minutes=4)
        self.slept: list[float] = []
        self._naps = naps
        self._then = then

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        if len(self.slept) == self._naps:
            raise KeyboardInterrupt
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        if self._then is not None:
            self._then(len(self.slept))


ALL = Asked(since="2026-11-01")


def test_watch_writes_a_line_for_each_look(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def spend(_: int) -> None:
        with Ledger(url) as ledger:
            more = CALLS[0].replace(record_id="1" * 32, started_at=clock.now)
            ledger.import_records([more])

    clock = Clock(1, then=spend)
    options = WatchOptions(ledger=url, asked=ALL, interval_s=60)
    assert run_watch(options, clock=clock, sleep=clock.sleep) == 0
    first, second = capsys.readouterr().out.splitlines()
    # Of five minutes: 0.0000425 + 0.00248, a fifth of it (0.0005045) a minute.
    assert first == (
        "2026-11-02T09:34:00Z ≥ $0.503 in 5 calls, 1 aborted, 1 from the cache; "
        "1,001,105 tokens in (400,000 cached), 201,016 out; 1 unpriced; 1 without "
        "usage; 1 estimated; last 5 minutes: ≥ $0.00252 in 4 calls, $0.000504 a "
        "minute, 424 tokens a minute"
    )
    assert second.startswith("2026-11-02T09:35:00Z ≥ $1.00 in 6 calls")
    assert clock.slept == [60]


@pytest.mark.parametrize(("given", "pause"), [(None, 10), (0.5, 0.5)])
def test_a_pipe_is_written_to_less_often(
    url: str, given: float | None, pause: float
) -> None:
    clock = Clock(2)
    options = WatchOptions(ledger=url, asked=ALL, interval_s=given, as_json=True)
    run_watch(options, clock=clock, sleep=clock.sleep)
    assert clock.slept == [pause, pause]


def test_watch_looks_once_if_told_to(run: Run) -> None:
    found = one_object(run("watch", "--once", "--json", "--since", "2026-11-01"))
    assert found["total"]["cost_usd"] == SPENT
    assert found["recent"]["calls"] == 0
    assert found["recent"]["usd_per_minute"] == "0"
    assert [group["keys"]["model"] for group in found["groups"]] == [
        "gpt-oss-120b",
        "qwen-3.8-27b",
        "mine",
    ]
    assert [call["record_id"][0] for call in found["calls"]] == list("edcba")


def test_a_database_that_goes_away_is_told_and_waited_for(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = costs_watch.Looks.look

    def look(self: costs_watch.Looks) -> costs_watch.Picture:
        if len(clock.slept) == 1:
            msg = "The ledger cannot be read: it is locked."
            raise LedgerError(msg)
        return real(self)

    clock = Clock(2)
    monkeypatch.setattr(costs_watch.Looks, "look", look)
    options = WatchOptions(ledger=url, asked=ALL, interval_s=1)
    assert run_watch(options, clock=clock, sleep=clock.sleep) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert "cannot be read" not in first + third
    assert second.endswith("cannot be read: The ledger cannot be read: it is locked.")
    assert "≥ $0.503" in second


def terminal(width: int = 80, height: int = 40) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        height=height,
        color_system=None,
    )


def shown(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_at_a_terminal_watch_draws_in_place(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    to, clock = terminal(), Clock(1)
    monkeypatch.setattr(costs_watch, "output_console", lambda: to)
    options = WatchOptions(ledger=url, asked=ALL)
    assert run_watch(options, clock=clock, sleep=clock.sleep) == 0
    text = shown(to)
    assert clock.slept == [2]
    assert "Spent ≥ $0.503 in 5 calls, 1 aborted, 1 from the cache" in text
    assert "In the last 5 minutes: ≥ $0.00252 in 4 calls, $0.000504 a minute" in text
    assert "! 1 call unpriced" in text
    assert "2026-11-01 10:00:00" in text
    assert "Ctrl-C ends." in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back


def test_a_low_terminal_has_fewer_rows_and_is_told_of_errors(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = costs_watch.Looks.look

    def look(self: costs_watch.Looks) -> costs_watch.Picture:
        if clock.slept:
            msg = "It is locked."
            raise LedgerError(msg)
        return real(self)

    to, clock = terminal(80, 18), Clock(1)
    monkeypatch.setattr(costs_watch, "output_console", lambda: to)
    monkeypatch.setattr(costs_watch.Looks, "look", look)
    asked = Asked(since="2026-11-01", values={"user": ("bob", "-")})
    run_watch(WatchOptions(ledger=url, asked=asked), clock=clock, sleep=clock.sleep)
    text = shown(to)
    assert "Cannot be read: It is locked." in text
    assert "gpt-oss-120b" in text
    assert "mine" not in text.split("time (UTC)", maxsplit=1)[0]  # the third model
    assert "Ctrl-C ends." in text


def test_a_watch_of_nothing_shows_no_tables(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    to, clock = terminal(), Clock(0)
    monkeypatch.setattr(costs_watch, "output_console", lambda: to)
    asked = Asked(values={"user": ("nobody",)})
    run_watch(WatchOptions(ledger=url, asked=asked), clock=clock, sleep=clock.sleep)
    assert "Spent $0 in 0 calls" in shown(to)
    assert "model" not in shown(to)


def test_a_rate_that_nobody_knows_is_unknown(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(0)
    asked = Asked(values={"model": ("mine",)})
    run_watch(WatchOptions(ledger=url, asked=asked), clock=clock, sleep=clock.sleep)
    assert "last 5 minutes: unknown in 1 call, unknown a minute" in (
        capsys.readouterr().out
    )


def test_a_board_cuts_what_is_too_high_and_stops_what_would_steer() -> None:
    to = terminal(40, 5)
    with Board(to) as board:
        board.draw([Line(f"line {n}\x1b[2J") for n in range(9)])
    assert "\x1b[2J" not in shown(to)
    assert "line 0" in shown(to)


# ------------------------------------------------------------------------- terminals


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_tables_fit_the_terminal(width: int) -> None:
    to = terminal(width)
    groups = group_records(CALLS, ("model", "user", "day"))
    totals = group_records(CALLS)[0].totals
    by = ("model", "user", "day")
    print_sheet(to, fitting(to, *groups_sheets(groups, by, totals, with_total=True)))
    print_sheet(to, fitting(to, *calls_sheets(CALLS)))
    rows = shown(to).splitlines()
    assert max(map(len, rows)) <= width
    whole = "".join(row.strip() for row in rows)
    assert "unknown" in whole


@pytest.mark.parametrize(
    ("width", "figures"),
    [
        pytest.param(40, ("cost", "calls"), id="narrow"),
        pytest.param(
            80, ("cost", "share", "calls", "tokens in", "cached", "out"), id="80"
        ),
        pytest.param(200, ("cost", "share", "calls", "failed", "saved"), id="wide"),
    ],
)
def test_a_very_long_name_takes_no_figures_from_a_table(
    width: int, figures: tuple[str, ...]
) -> None:
    """It is broken, as one of 300 letters fits no terminal."""
    name = "".join(f"{n:03}" for n in range(100))
    groups = group_records([CALLS[0], CALLS[1].replace(user=name)], ("user",))
    to = terminal(width)
    sheets = groups_sheets(groups, ("user",), groups[0].totals, with_total=True)
    print_sheet(to, fitting(to, *sheets))
    head, *rows = shown(to).splitlines()
    assert all(f" {figure}" in head for figure in figures)
    assert max(map(len, (head, *rows))) <= width
    assert name in "".join(row.split(" ", 1)[0] for row in rows)


def test_a_report_in_a_terminal(url: str) -> None:
    ended = in_terminal("costs", "report", "--ledger", url)
    assert ended.code == 0
    assert "gpt-oss-120b" in ended.text
    assert "≥ $0.503" in ended.text
    assert "! 1 call unpriced" in ended.text


def test_a_watch_in_a_terminal_ends_by_ctrl_c(url: str) -> None:
    ended = in_terminal(
        *("costs", "watch", "--since", "2026-11-01", "--ledger", url),
        keys=[("Ctrl-C ends.", "\x03")],
    )
    assert ended.code == 0
    assert "Spent ≥ $0.503 in 5 calls" in ended.text
    assert "Traceback" not in ended.text


def test_the_ledger_is_found_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    with Ledger(path) as ledger:
        ledger.import_records(CALLS[:1])
    env = {"CEREBRAS_COSTS_LEDGER": str(path)}
    done = in_pipes("costs", "report", "--by", "user", "--csv", env=env)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].startswith("ann,0.5,exact,1,")


# ---------------------------------------------------------------------------- budget


def status(**more: Any) -> BudgetStatus:
    day = datetime(2026, 11, 21, tzinfo=UTC)
    usual = {
        "name": "user/day",
        "per": "user",
        "key": "ann",
        "window": "day",
        "window_start": day,
        "window_end": day + timedelta(days=1),
        "limit": Decimal("5.00"),
    }
    return BudgetStatus(**{**usual, **more})


# Spent and reserved, of 5.00: 21 % and 30 %, 80 %, 100 %, and a limit of 0.
BUDGETS = [
    status(key="bob", spent=Decimal("1.05"), reserved=Decimal("1.5"), calls=3),
    status(key="ann", spent=Decimal("4.00"), assumed=Decimal("0.5"), calls=2),
    status(
        name="everything",
        per="all",
        key=None,
        window="month",
        spent=Decimal("5.00"),
        action="warn",
        unpriced_calls=2,
    ),
    status(
        name="run/run",
        per="all",
        key=None,
        run="r-1",
        window="run",
        window_start=None,
        window_end=None,
        limit=Decimal("0.002"),
        spent=Decimal("0.000001"),
    ),
]


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[BudgetStatus]:
    """Budgets that a ledger is said to keep."""
    found = list(BUDGETS)
    monkeypatch.setattr(budget_module, "read_budgets", lambda ledger: found)
    return found


@pytest.mark.usefixtures("budgets")
def test_budgets_are_shown_with_bars_the_fullest_first(run: Run) -> None:
    found = run("budget")
    head, *rows, unpriced, assumed = found.stdout.splitlines()
    assert (
        head.split()
        == "budget of used spent reserved left limit window ends (UTC) then".split()
    )
    end = ["day", "2026-11-22", "00:00:00", "raise"]
    assert [row.split() for row in rows] == [
        [
            *("everything", "all", "calls", "█" * 20, "100%", "$5.00", "$0", "$0"),
            *("$5.00", "month", "2026-11-22", "00:00:00", "warn"),
        ],
        # 16 of 20 signs
        [
            *("user/day", "user", "ann", "█" * 16 + "░" * 4, "80%"),
            *("$4.00", "$0", "$1.00", "$5.00", *end),
        ],
        # 4 of 20 signs, and 10 with what is reserved
        [
            *("user/day", "user", "bob", "█" * 4 + "▒" * 6 + "░" * 10, "21%"),
            *("$1.05", "$1.50", "$2.45", "$5.00", *end),
        ],
        [
            *("run/run", "run", "r-1", "█" + "░" * 19, "0%", "$0.000001", "$0"),
            *("$0.00200", "$0.002", "run", "-", "raise"),
        ],
    ]
    assert unpriced == (
        "! everything, all calls: 2 calls unpriced: no price is known. They are not in "
        "what was spent."
    )
    assert assumed.startswith("! user/day, user ann: $0.50 of it is assumed")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ([], 0),
        (["--check"], 1),
        (["--check", "--at", "80"], 1),
        (["--check", "--at", "101"], 0),
    ],
)
@pytest.mark.usefixtures("budgets")
def test_a_spent_budget_is_a_failure_only_if_asked(
    run: Run, args: list[str], code: int
) -> None:
    run("budget", *args, code=code)


def test_budgets_as_json(run: Run, budgets: list[BudgetStatus], url: str) -> None:
    found = one_object(run("budget", "--json", "--check", "--at", "80", code=1))
    assert found["store"] == url
    assert found["exceeded"] == 2
    assert [one["exceeded"] for one in found["budgets"]] == [True, True, False, False]
    assert found["budgets"][1] == {
        "name": "user/day",
        "per": "user",
        "key": "ann",
        "run": None,
        "window": "day",
        "window_start": "2026-11-21T00:00:00Z",
        "window_end": "2026-11-22T00:00:00Z",
        "limit_usd": "5",
        "spent_usd": "4",
        "reserved_usd": "0",
        "remaining_usd": "1",
        "assumed_usd": "0.5",
        "calls": 2,
        "unpriced_calls": 0,
        "action": "raise",
        "exceeded": True,
    }
    budgets.clear()
    assert one_object(run("budget", "--json", "--check"))["budgets"] == []
    assert "No budget is kept there." in run("budget", "--check").stderr


@pytest.mark.parametrize(
    ("spent", "reserved", "limit", "drawn"),
    [
        ("0", "0", "1", "░░░░"),
        ("0.0001", "0", "1", "█░░░"),
        ("0.9999", "0", "1", "███░"),
        ("1", "0", "1", "████"),
        ("7", "1", "1", "████"),
        ("0.5", "9", "1", "██▒▒"),
        ("0", "0", "0", "████"),
    ],
    ids=["nothing", "a bit", "nearly", "all", "more", "held", "no limit"],
)
def test_a_bar_is_full_only_where_all_is_spent(
    spent: str, reserved: str, limit: str, drawn: str
) -> None:
    one = status(spent=Decimal(spent), reserved=Decimal(reserved), limit=Decimal(limit))
    assert bar(one, 4) == drawn


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_budgets_fit_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    to = terminal(width)
    monkeypatch.setattr(costs_budget, "output_console", lambda: to)
    monkeypatch.setattr(budget_module, "read_budgets", lambda ledger: BUDGETS)
    costs_budget._print("there", BUDGETS, Decimal(1))
    assert max(map(len, shown(to).splitlines())) <= width
    assert "everything" in shown(to)


def test_budgets_of_a_ledger_are_those_that_processes_share(run: Run, url: str) -> None:
    budget = Budget("5.00", per="user", window="day", name="mine", ledger=url)
    held = budget.reserve(CallScope("gpt-oss-120b", user="ann"), Decimal("1.25"))
    assert held is not None
    held.settle(Decimal("1.00"))
    budget.reserve(CallScope("gpt-oss-120b", user="bob"), Decimal("0.75"))
    budget.close()
    found = one_object(run("budget", "--json"))["budgets"]
    assert [(one["key"], one["spent_usd"], one["reserved_usd"]) for one in found] == [
        ("ann", "1", "0"),
        ("bob", "0", "0.75"),
    ]


def test_budgets_are_shown_where_no_call_is_recorded(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'budgets.db'}"
    budget = Budget("5.00", name="mine", ledger=url)
    held = budget.reserve(CallScope("gpt-oss-120b"), Decimal("1.25"))
    assert held is not None
    held.settle(Decimal("1.00"))
    budget.close()
    found = one_object(run("budget", "--json", ledger=url))
    assert found["store"] == url
    assert [one["spent_usd"] for one in found["budgets"]] == ["1"]
    assert "There is no ledger" in run("report", code=2, ledger=url).stderr


def test_budgets_of_redis_are_those_that_hosts_share(run: Run) -> None:
    pytest.importorskip("redis", reason="the extra `redis` is not installed")
    with RedisServer(find_server()) as server:
        budget = Budget("2.00", window="total", name="shared", redis=server.url)
        held = budget.reserve(CallScope("gpt-oss-120b"), Decimal("1.25"))
        assert held is not None
        held.settle(Decimal("2.00"))
        budget.close()
        found = one_object(run("budget", "--redis", server.url, "--json"))
        run("budget", "--redis", server.url, "--check", code=1)
    assert found["store"] == f"redis://127.0.0.1:{server.port}/0"
    (one,) = found["budgets"]
    assert (one["name"], one["spent_usd"], one["exceeded"]) == ("shared", "2", True)


def test_no_password_of_redis_is_shown(run: Run) -> None:
    pytest.importorskip("redis", reason="the extra `redis` is not installed")
    found = run("budget", "--redis", "redis://:geheim-123@127.0.0.1:1/0", code=1)
    assert "geheim" not in found.output
    assert "127.0.0.1" in found.stderr


# --------------------------------------------------------------------------- project


@pytest.fixture
def own_prices(tmp_path: Path) -> str:
    """A file with a price of one's own."""
    path = tmp_path / "prices.json"
    row = {
        "provider": "acme",
        "model": "acme-1",
        "input": "2",
        "output": "10",
        "note": "quote of 2026-11",
    }
    path.write_text(json.dumps({"prices": [row]}), encoding="utf-8")
    return str(path)


def test_a_plan_is_priced_side_by_side(run: Run, own_prices: str) -> None:
    found = run(
        *("project", "--on", "2026-11-21", "--prices", own_prices),
        *("--models", "cerebras::gpt-oss-120b,acme::acme-1", "-m", "acme::other"),
        *("--calls", "1000", "--steps", "5", "--tokens", "5000", "--mix", "0.8"),
    )
    head, *rows, why = found.stdout.splitlines()
    assert head.split()[:6] == ["model", "cost", "times", "a", "call", "input"]
    # 5,000 steps of 4,000 in and 1,000 out: 20 million and 5 million tokens.
    # 20 * 0.35 + 5 * 0.75 = 10.75; 20 * 2 + 5 * 10 = 90, 8.37 times as much.
    assert [row.split()[:6] for row in rows] == [
        ["cerebras::gpt-oss-120b", "$10.75", "1.0x", "$0.0108", "0.35", "0.75"],
        ["acme::acme-1", "$90.00", "8.4x", "$0.09", "2.00", "10.00"],
        ["acme::other", "unknown", "-", "-", "-", "-"],
    ]
    assert "your prices" in rows[1]
    assert why.startswith("! acme::other: No price of 'other' (acme) on")
    assert "25,000,000 tokens" in found.stderr


def test_a_plan_as_json(run: Run, own_prices: str) -> None:
    found = one_object(
        run(
            *("project", "--json", "--on", "2026-11-21", "--prices", own_prices),
            *("--models", "acme::acme-1,acme::other", "--calls-per-day", "10"),
            *("--input-tokens", "100", "--output-tokens", "10", "--steps", "1"),
        )
    )
    assert found["cheapest"] == "acme::acme-1"
    first, second = found["projections"]
    # 100 * 2 + 10 * 10, a million = 0.0003; 1,000 calls, 10 a day, 30 days.
    assert Decimal(first["per_call"]) == Decimal("0.0003")
    assert Decimal(first["total"]) == Decimal("0.3")
    assert Decimal(first["per_month"]) == Decimal("0.09")
    assert second["total"] is None
    assert second["notes"]


def test_a_plan_of_everything_that_is_served(run: Run) -> None:
    found = run("project", "--on", "2026-11-21", "--calls-per-day", "200")
    rows = [row[:5] for row in lines(found)]
    assert rows[0] == ["model", "cost", "times", "a", "call"]
    # A month: 6,000 calls of 0.01075.
    assert rows[1] == ["cerebras::gpt-oss-120b", "$10.75", "1.0x", "$0.0108", "$64.50"]
    assert rows[2][0] == "cerebras::qwen-3.8-27b"


def test_a_plan_of_nothing_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs_project, "list_models", lambda **_: [])
    found = run("project", "--on", "2026-11-21", code=2)
    assert "Nothing was served on that day. Give --models." in found.stderr


def test_what_is_no_longer_served_is_not_the_cheapest(run: Run) -> None:
    args = ("--on", "2026-11-21", "--models", "llama3.1-8b,gpt-oss-120b")
    assert one_object(run("project", "--json", *args))["cheapest"] == (
        "cerebras::gpt-oss-120b"
    )
    assert "llama3.1-8b is no longer served" in run("project", *args).stdout


def test_a_narrow_terminal_has_sources_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to = terminal(60)
    monkeypatch.setattr(costs_project, "output_console", lambda: to)
    options = costs_project.ProjectOptions(models=["gpt-oss-120b"], on="2026-11-21")
    assert costs_project.run_project(options) == 0
    assert "Price of cerebras::gpt-oss-120b: http" in shown(to)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--models", "nope"], 1, "No price of 'nope'"),
        (["--mix", "2"], 2, "mix="),
        (["--calls", "-1"], 2, "calls=-1 must be a whole number"),
        (["--on", "soon"], 2, "--on is 'soon'"),
        (["--prices", "absent.toml"], 2, "absent.toml"),
        (["--input-tokens", "5"], 2, "go together"),
    ],
)
def test_a_plan_that_nobody_can_price(
    run: Run, args: list[str], code: int, message: str
) -> None:
    assert message in " ".join(run("project", *args, code=code).output.split())


# ------------------------------------------------------------------------- dashboard


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the dashboard was asked to serve, instead of serving it."""
    pytest.importorskip("starlette", reason="the extra `dashboard` is not installed")
    pytest.importorskip("uvicorn", reason="the extra `dashboard` is not installed")
    from langchain_cerebras_ext.dashboard import server

    found: list[dict[str, Any]] = []

    def serve(ledger: Ledger, **options: Any) -> None:
        found.append({"url": ledger.url, **options})
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", serve)
    return found


def test_the_dashboard_is_served_until_ctrl_c(
    run: Run, served: list[dict[str, Any]], url: str, own_prices: str
) -> None:
    run("dashboard", "--port", "0", "--open", "--prices", own_prices)
    (options,) = served
    assert options["url"] == url
    assert options["host"] == "127.0.0.1"
    assert options["port"] == 0
    assert options["token"] is None
    assert options["open_browser"] is True
    assert options["prices"].rows[0].model == "acme-1"


def test_other_machines_need_a_token(
    run: Run, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run("dashboard", "--host", "0.0.0.0")
    assert f"Token of this run: {served[0]['token']}" in found.stderr
    assert len(served[0]["token"]) >= 24
    monkeypatch.setenv("CEREBRAS_COSTS_TOKEN", "mine-" * 8)
    assert "Token" not in run("dashboard", "--host", "0.0.0.0").output
    assert served[1]["token"] == "mine-" * 8
