"""`cerebras-ext health`: its lines, its JSON and its exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from rich.console import Console
from wire_server import Request, WireServer, plain

from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext.cli import health as module
from langchain_cerebras_ext.cli.health import HealthOptions, code_of, run_health, show
from langchain_cerebras_ext.health import (
    HealthCheck,
    HealthReport,
    RetirementNotice,
)
from langchain_cerebras_ext.simulator import Simulator

KEY = "csk-" + "k1" * 20
MODEL = "gpt-oss-120b"

Serve = Callable[..., str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server that answers `/v1/models` as told; the environment names it."""
    servers: list[WireServer] = []

    def start(body: Any, status: int = 200) -> str:
        def answer(request: Request) -> Iterable[bytes]:
            is_list = request.path == "/v1/models"
            return plain(body, status) if is_list else plain({"detail": "no"}, 404)

        server = WireServer(answer)
        servers.append(server)
        server.__enter__()
        monkeypatch.setenv("CEREBRAS_BASE_URL", server.url)
        return server.url

    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    yield start
    for server in servers:
        server.__exit__()


def models(*names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name} for name in names]}


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.count("\n") == 1
    return json.loads(shown.out)


# ------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("body", "status", "code", "line"),
    [
        pytest.param(models(MODEL), 200, 0, "ok       model ", id="healthy"),
        pytest.param(models("x"), 200, 1, "failed   model ", id="not served"),
        pytest.param(
            {"message": "Wrong API Key", "code": "wrong_api_key"},
            401,
            1,
            "failed   key ",
            id="refused",
        ),
        pytest.param(
            {"detail": "Not Found"}, 404, 0, "warning  service ", id="no list"
        ),
        pytest.param({"message": "Boom"}, 500, 1, "failed   service ", id="broken"),
    ],
)
def test_the_exit_code_is_the_verdict(
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    body: Any,
    status: int,
    code: int,
    line: str,
) -> None:
    serve(body, status)
    assert main(["health"]) == code
    shown = capsys.readouterr()
    assert f"\n  {line}" in shown.out
    assert shown.out.startswith(f"{MODEL} at http://127.0.0.1:")
    assert shown.err == ""
    assert KEY not in shown.out


def test_strict_makes_warnings_an_exit_code_of_their_own(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve({"detail": "Not Found"}, 404)
    assert main(["health"]) == 0
    assert main(["health", "--strict"]) == 3
    serve(models(MODEL))
    assert main(["health", "--strict"]) == 0
    assert "healthy, but: service" in capsys.readouterr().out


def test_an_unreachable_server_is_exit_code_1(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health", "--base-url", "http://127.0.0.1:9"]) == 1
    assert "connection refused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param([], "Set CEREBRAS_API_KEY", id="no key"),
        pytest.param(["--json"], "Set CEREBRAS_API_KEY", id="no key, JSON"),
        pytest.param(["--base-url", "ftp://x"], "is no http(s) URL", id="no address"),
        pytest.param(["--simulate", "--timeout", "0"], "timeout=0.0", id="no time"),
        pytest.param(["--timeout", "soon"], "Invalid value", id="no number"),
        pytest.param(
            ["--simulate", "--base-url", "http://127.0.0.1:9"],
            "leave out --base-url",
            id="contradiction",
        ),
        pytest.param(["--simulate", "--model", " "], "model is empty", id="no model"),
        pytest.param(["--nonsense"], "No such option", id="unknown option"),
    ],
)
def test_wrong_use_is_exit_code_2_and_nothing_on_standard_output(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health", *args]) == 2
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert shown.out == ""
    assert "Traceback" not in shown.err


def test_ctrl_c_is_exit_code_130(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "health_check", interrupted)
    serve(models(MODEL))
    assert main(["health"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("statuses", "strict", "code"),
    [
        pytest.param(["ok", "skipped"], True, 0, id="well"),
        pytest.param(["warning"], False, 0, id="warning"),
        pytest.param(["warning"], True, 3, id="warning, strict"),
        pytest.param(["failed", "warning"], True, 1, id="failed, strict"),
    ],
)
def test_a_failure_is_worse_than_a_warning(
    statuses: list[Any], strict: bool, code: int
) -> None:
    checks = tuple(HealthCheck("model", status, "x") for status in statuses)
    report = HealthReport("http://x/v1", MODEL, checks, reachable=True)
    assert code_of(report, strict=strict) == code


# ------------------------------------------------------------------------------- JSON


def test_json_is_one_object_whatever_the_verdict(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    url = serve(models(MODEL))
    assert main(["health", "--json"]) == 0
    found = told(capsys)
    assert found["ok"] is True
    assert found["base_url"] == f"{url}/v1"
    assert found["key_valid"] is None  # this server takes any
    assert found["model_served"] is True
    assert found["latency_s"] > 0
    serve(models("own-model"))
    assert main(["health", "--json", "--model", "own-mode"]) == 1
    found = told(capsys)
    assert found["verdict"] == "unhealthy: model"
    assert found["suggestions"] == ["own-model"]


def test_the_end_of_a_model_is_in_the_json(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(models(MODEL))
    assert main(["health", "--json", "--model", "qwen-3-coder-480b"]) == 1
    found = told(capsys)
    assert found["retirement"]["retired_on"] == "2025-11-05"
    assert found["retirement"]["days_left"] < 0
    assert found["suggestions"] == [MODEL]


# -------------------------------------------------------------------------- simulator


def test_a_simulator_is_started_and_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--simulate", "--deep", "--json"]) == 0
    found = told(capsys)
    assert found["ok"] is True
    assert found["deep"]["output_tokens"] == 16
    assert found["rate_limits"][0]["name"] == "requests-day"


@pytest.mark.parametrize(
    ("key", "code", "valid"),
    [("csk-right", 0, True), ("csk-wrong", 1, False)],
    ids=["right", "wrong"],
)
def test_a_simulator_that_wants_a_key(
    key: str,
    code: int,
    valid: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Simulator(key="csk-right") as sim:
        monkeypatch.setenv("CEREBRAS_API_KEY", key)
        assert main(["health", "--base-url", sim.base_url, "--json"]) == code
        assert told(capsys)["key_valid"] is valid
        assert sim.chat_requests == []


def test_no_tokens_are_spent_unless_deep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Simulator() as sim:
        monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
        assert main(["health"]) == 0
        assert {each.method for each in sim.requests} == {"GET"}
        assert main(["health", "--deep"]) == 0
        assert len(sim.chat_requests) == 1
    assert "tokens spent" in capsys.readouterr().out


# ------------------------------------------------------------------------------ lines


def report_of(*checks: HealthCheck) -> HealthReport:
    end = date(2026, 11, 21) + timedelta(9)
    notice = RetirementNotice("deprecated", end, 9, None)
    return HealthReport("http://x/v1", MODEL, checks, True, retirement=notice)


LONG = report_of(
    HealthCheck("connection", "ok", "Fine."),
    HealthCheck(
        "key", "failed", "Much is to be said of this key. " * 5, "Change it. " * 9
    ),
    HealthCheck("retirement", "warning", "Soon."),
    HealthCheck("rate_limits", "skipped", "Not known."),
)


def shown_at(width: int) -> str:
    """Return what a terminal of a width is sent."""
    console = Console(
        width=width,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        no_color=False,
    )
    with console.capture() as captured:
        show(console, LONG)
    return captured.get()


def test_at_a_terminal_lines_hang_and_have_colours() -> None:
    coloured = shown_at(80)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"{MODEL} at http://x/v1 is unhealthy: key"
    assert lines[2].startswith("  failed   key          Much is")
    assert re.match(" {24}[^ ]", lines[3])
    assert any(line.startswith(" " * 24 + "-> Change it.") for line in lines)
    assert "\x1b[31m  failed" in coloured
    assert "\x1b[33m  warning" in coloured
    assert "\x1b[2m  skipped" in coloured


def test_in_a_pipe_each_check_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(Console(force_terminal=False, highlight=False, width=40), LONG)
    shown = capsys.readouterr().out
    assert shown == f"{LONG}\n"
    assert "\x1b" not in shown


def test_a_narrow_terminal_is_enough() -> None:
    assert "-> Change it." in " ".join(shown_at(20).split())


def test_what_a_models_constructor_warns_of_is_in_the_report(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", "gsk_" + "a" * 20)
    serve({"message": "Wrong API Key", "code": "wrong_api_key"}, 401)
    assert run_health(HealthOptions()) == 1  # warnings are errors in these tests
    assert "looks like one of Groq's" in capsys.readouterr().out
