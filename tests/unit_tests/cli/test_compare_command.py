"""`cerebras-ext compare`, from the command line to files and exit codes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from terminals import in_pipes, in_terminal
from typer.testing import CliRunner, Result

from langchain_cerebras_ext.cli.compare import _Progress, _sheets
from langchain_cerebras_ext.cli.main import app
from langchain_cerebras_ext.costs.report import Totals
from langchain_cerebras_ext.routing._compare.figures import Figure
from langchain_cerebras_ext.routing._compare.rows import Measure, ModelRow
from langchain_cerebras_ext.simulator import Simulator

Run = Callable[..., Result]
MODELS = "gpt-oss-120b,qwen-3.8-27b"
OSS, QWEN = "cerebras::gpt-oss-120b", "cerebras::qwen-3.8-27b"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, sim: Simulator, tmp_path: Path
) -> Callable[..., Result]:
    """Run `compare` against a simulator, in an empty folder, without a key."""
    monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def call(*args: str) -> Result:
        return runner.invoke(app, ["compare", *args], catch_exceptions=False)

    return call


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    rows = [
        {"id": "a", "prompt": "Say hello.", "expected": "hello"},
        {"id": "b", "prompt": "Name a colour.", "expected": "blue"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_it_needs_neither_a_key_nor_prompts(run: Run, sim: Simulator):
    found = run("--models", MODELS)
    assert found.exit_code == 0
    head, first, second = found.stdout.splitlines()
    assert head.split()[:3] == ["model", "TTFT", "p50"]
    assert "agreement" not in head
    assert first.startswith(OSS)
    assert second.startswith(QWEN)
    # A warm-up and the five prompts of ours, each.
    assert len(sim.requests) == 2 * 6
    assert "intervals of 95 %" in found.stderr


def test_everything_is_written_into_a_folder(run: Run, sim: Simulator, prompts: Path):
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    sim.reply("hello", times=None)
    chart = prompts.parent / "pictures" / "chart.png"
    found = run(
        *("-m", MODELS, "-p", str(prompts), "-n", "3", "--out", "out"),
        *("--chart", str(chart), "--format", "json", "--warmup", "0"),
    )
    assert found.exit_code == 0
    told = json.loads(found.stdout)
    # Of two prompts one is answered as expected, each of three times.
    assert [row["agreement"]["value"] for row in told["rows"]] == [0.5, 0.5]
    assert [row["calls"] for row in told["rows"]] == [6, 6]
    # gpt-oss-120b: 0.35 and 0.75 USD per million tokens.
    spent = sum(
        (one.prompt_tokens * Decimal("0.35") + one.completion_tokens * Decimal("0.75"))
        / 1_000_000
        for one in sim.billed
        if one.model == "gpt-oss-120b"
    )
    assert Decimal(told["rows"][0]["cost_usd"]) == spent
    out = prompts.parent / "out"
    assert {one.name for one in out.iterdir()} == {
        "results.jsonl",
        "comparison.json",
        "comparison.csv",
        "comparison.md",
    }
    assert json.loads((out / "comparison.json").read_text()) == told
    rows = list(csv.DictReader(io.StringIO((out / "comparison.csv").read_text())))
    assert [row["model"] for row in rows] == [OSS, QWEN]
    assert f"| {OSS} |" in (out / "comparison.md").read_text()
    assert len((out / "results.jsonl").read_text().splitlines()) == 1 + 12
    assert chart.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("form", ["json", "csv", "md"])
def test_one_file_is_what_the_format_prints(run: Run, prompts: Path, form: str):
    found = run("-m", MODELS, "-p", str(prompts), "-o", f"r.{form}", "-f", form)
    assert found.exit_code == 0
    text = (prompts.parent / f"r.{form}").read_text()
    if form == "json":
        # The only place of single results has them; the screen does not.
        assert len(json.loads(text).pop("results")) == 4
        assert "results" not in json.loads(found.stdout)
    else:
        assert text == found.stdout


def test_it_goes_on_with_what_is_there(run: Run, sim: Simulator, prompts: Path):
    args = ("-m", MODELS, "-p", str(prompts), "--warmup", "0", "--out", "out")
    assert run(*args).exit_code == 0
    assert len(sim.requests) == 4
    again = run(*args)
    assert again.exit_code == 2
    assert "results.jsonl is there already; give --resume" in again.stderr
    more = run(*args, "--resume", "--repeat", "2")
    assert more.exit_code == 0
    assert "4 of 8 results are there." in more.stderr
    assert len(sim.requests) == 8
    prompts.write_text(prompts.read_text().replace("Say hello.", "Say hi."))
    changed = run(*args, "--resume")
    assert changed.exit_code == 2
    assert "The prompts have changed" in changed.stderr
    assert len(sim.requests) == 8


def test_failures_are_shown_and_a_model_that_never_answered_fails_it(
    run: Run, sim: Simulator, prompts: Path
):
    sim.fail_next(400, when=lambda body: body["model"] == "qwen-3.8-27b", times=3)
    args = ("-m", MODELS, "-p", str(prompts), "--warmup", "0")
    found = run(*args)
    assert found.exit_code == 1
    assert "2 (request 2)" in found.stdout
    assert "! cerebras::qwen-3.8-27b: request 2, such as" in found.stderr
    assert run(*args).exit_code == 0  # one of two


def test_retries_can_be_turned_off_and_answers_limited(run: Run, sim: Simulator):
    sim.fail_next(503)
    found = run(
        *("-m", "gpt-oss-120b", "--no-retries", "--max-tokens", "7", "-c", "1"),
        *("--temperature", "0", "--warmup", "0"),
    )
    assert "1 (server 1)" in found.stdout
    assert len(sim.requests) == 5
    assert {one.body["max_completion_tokens"] for one in sim.requests} == {7}
    assert {one.body["temperature"] for one in sim.requests} == {0}


def test_a_limit_of_cost_ends_it(run: Run, sim: Simulator):
    found = run(
        *("-m", "gpt-oss-120b", "-n", "50", "--max-cost", "0.001"),
        *("--max-tokens", "20"),
    )
    assert found.exit_code == 1
    assert "of 250 calls were not made (budget)" in found.stderr
    assert 0 < len(sim.billed) < 250
    spent = sum(
        (one.prompt_tokens * Decimal("0.35") + one.completion_tokens * Decimal("0.75"))
        / 1_000_000
        for one in sim.billed
    )
    assert spent <= Decimal("0.001")


def test_the_ledgers_reports_show_a_comparison(run: Run, prompts: Path):
    pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")
    url = f"sqlite:///{prompts.parent / 'costs.db'}"
    args = ("-m", MODELS, "-p", str(prompts), "--warmup", "0", "-f", "json")
    told = json.loads(run(*args, "--ledger", url).stdout)
    report = CliRunner().invoke(
        app, ["costs", "report", "--by", "provider,arm", "--ledger", url, "--json"]
    )
    groups = json.loads(report.stdout)["groups"]
    seen = {group["keys"]["arm"]: group for group in groups}
    assert {group["keys"]["provider"] for group in groups} == {"cerebras"}
    for row in told["rows"]:
        group = seen[row["model"]]
        assert group["calls"] == row["calls"] == 2
        assert Decimal(group["cost_usd"]) == Decimal(row["cost_usd"])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-m", ","), "--models names none"),
        (("-m", "nobody::x"), "nobody"),
        (("-m", MODELS, "-p", "none.jsonl"), "none.jsonl cannot be read"),
        (("-m", MODELS, "-f", "xml"), "--format is 'xml'; give one of json, csv, md"),
        (("-m", MODELS, "--expect", "exact"), "no prompt says what is expected"),
        (("-m", MODELS, "--max-cost", "much"), "--max-cost is 'much'"),
        (("-m", MODELS, "--max-cost", "0"), "--max-cost is '0'"),
        (("-m", MODELS, "--resume"), "--resume needs --out"),
        (("-m", MODELS, "--resume", "--out", "r.csv"), "--resume needs --out"),
        (("-m", MODELS, "--chart", "c.txt"), "end it in .png, .svg or .pdf"),
        (("-m", MODELS, "-n", "0"), "repeat=0 must be a whole number"),
        (("-m", "google::x", "--simulate"), "--simulate has Cerebras's models alone"),
    ],
)
def test_wrong_use_is_said_before_a_call(
    run: Run, sim: Simulator, args: tuple[str, ...], said: str
):
    found = run(*args)
    assert found.exit_code == 2
    assert said in found.stderr
    assert not sim.requests


def test_what_cannot_be_written_is_shown_all_the_same(run: Run, tmp_path: Path):
    (tmp_path / "plain").write_text("mine")
    found = run("-m", OSS, "--chart", "plain/chart.png")
    assert found.exit_code == 2
    assert "plain" in found.stderr
    assert "cannot be written" in found.stderr
    assert found.stdout.splitlines()[1].startswith(OSS)


def test_out_may_not_be_a_file_of_something_else(run: Run, prompts: Path):
    found = run("-m", MODELS, "--out", str(prompts.with_suffix(".txt")), "--resume")
    assert found.exit_code == 0  # a folder of that name
    plain = prompts.parent / "plain"
    plain.write_text("mine")
    found = run("-m", MODELS, "--out", str(plain))
    assert found.exit_code == 2
    assert "a file; name a folder" in found.stderr
    found = run("-m", MODELS, "--out", str(prompts), "--resume")
    assert found.exit_code == 2
    assert "does not begin as a file of results" in found.stderr
    assert plain.read_text() == "mine"
    assert prompts.read_text().startswith('{"id": "a"')


def test_ctrl_c_shows_what_is_there(tmp_path: Path):
    with Simulator() as sim:
        sim.reply("soon", times=3)
        sim.reply("late", times=None, delay_s=30)
        ended = in_terminal(
            *("compare", "-m", "gpt-oss-120b", "-c", "1", "--warmup", "0"),
            *("--out", str(tmp_path / "out")),
            keys=[("3/5", "\x03")],
            env={"CEREBRAS_BASE_URL": sim.base_url},
        )
    assert ended.code == 130
    assert "2 of 5 calls were not made (interrupted)" in ended.text
    assert "TTFT p50" in ended.text
    assert "Traceback" not in ended.text
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 1 + 3
    assert (tmp_path / "out" / "comparison.md").exists()


def test_what_a_simulator_has_answered_stays_apart_and_says_so(
    run: Run, sim: Simulator, tmp_path: Path
):
    tried = ("--simulate", "--speed", "instant")
    first = run("--models", OSS, "--out", "kept", *tried)
    assert first.exit_code == 0
    assert sim.requests == []
    said = "A simulator has answered"
    assert said in first.stderr
    assert said in (tmp_path / "kept" / "comparison.md").read_text()
    assert (
        said
        in json.loads((tmp_path / "kept" / "comparison.json").read_text())["notes"][0]
    )
    on = ("--models", OSS, "--out", "kept", "--resume", "--repeat", "2")
    refused = run(*on)
    assert refused.exit_code == 2
    assert "under other settings (simulated)" in refused.stderr
    assert sim.requests == []
    assert run(*on, *tried).exit_code == 0


def test_a_simulators_calls_are_no_spending(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("CEREBRAS_COSTS_LEDGER", str(tmp_path / "spent.db"))
    tried = ("--models", OSS, "--simulate", "--speed", "instant")
    assert run(*tried).exit_code == 0
    assert not (tmp_path / "spent.db").exists()
    assert run(*tried, "--ledger", str(tmp_path / "tried.db")).exit_code == 0
    assert (tmp_path / "tried.db").exists()


def test_a_simulator_of_its_own_needs_nothing():
    done = in_pipes(
        *("compare", "-m", MODELS, "--simulate", "--speed", "instant", "-f", "csv")
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


# ------------------------------------------------------------------------------- looks


def row(name: str) -> ModelRow:
    """Return a row that has everything."""
    time = Measure(p50=Figure(0.1, 0.05, 0.2, 30), p95=Figure(1.5, 1.0, None, 30))
    return ModelRow(
        model=name,
        calls=30,
        failed=1,
        failures={"server": 1},
        ttft_s=time,
        latency_s=time,
        output_tokens_per_s=time,
        costs=Totals(calls=30, cost=Decimal("0.03")),
    )


@pytest.mark.parametrize(
    ("width", "tables"),
    [(400, [3]), (100, [3]), (80, [2, 1]), (60, [1, 1, 1]), (20, [1, 1, 1])],
)
def test_tables_are_turned_round_and_split_to_fit(width: int, tables: list[int]):
    console = Console(width=width, force_terminal=True, file=io.StringIO())
    rows = [row(f"cerebras::model-{at}") for at in range(3)]
    sheets = _sheets(console, rows)
    if width == 400:
        assert [len(sheet.rows) for sheet in sheets] == tables
    else:
        assert [len(sheet.columns) - 1 for sheet in sheets] == tables
    texts = [cell for sheet in sheets for line in sheet.texts() for cell in line]
    for at in range(3):
        assert f"cerebras::model-{at}" in texts
    assert texts.count("1.50 s [1.00 s .. ?]") == 6
    assert texts.count("$1.00") == 3


def test_the_bar_says_how_far_it_is():
    shown: list[str] = []
    progress = _Progress()
    session: Any = type("Session", (), {"resumed": 5, "planned": 10})()
    progress.begin(session, shown.append)
    assert shown == ["[############............] 5/10"]
