"""`cerebras-ext health` as people, scripts and monitors use it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from terminals import COMMAND, environment, in_pipes, in_terminal
from wire_server import Request, WireServer

from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext.simulator import Simulator

KEY = "csk-" + "k1" * 20

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="pseudo-terminals and signals are of POSIX systems"
)


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator that wants a key; the environment points to it and has the key."""
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    with Simulator(key=KEY, tier="developer") as simulator:
        monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
        monkeypatch.setenv("CEREBRAS_BASE_URL", simulator.base_url)
        yield simulator


def test_in_a_pipe_it_is_plain_lines(sim: Simulator) -> None:
    ended = in_pipes("health")
    assert (ended.returncode, ended.stderr) == (0, "")
    head, *lines = ended.stdout.splitlines()
    assert head == f"gpt-oss-120b at {sim.base_url} is healthy"
    assert [line.split()[:2] for line in lines] == [
        ["ok", "connection"],
        ["ok", "service"],
        ["ok", "key"],
        ["ok", "model"],
        ["ok", "retirement"],
        ["skipped", "rate_limits"],
    ]
    assert "\x1b" not in ended.stdout


@posix_only
@pytest.mark.parametrize("colours", [True, False], ids=["colours", "NO_COLOR"])
def test_at_a_terminal_it_fits_80_columns(sim: Simulator, colours: bool) -> None:
    ended = in_terminal(
        *("health", "--model", "qwen-3-coder-480b"),
        env={} if colours else {"NO_COLOR": "1"},
    )
    assert ended.code == 1
    shown = ended.text[ended.text.index("qwen-3-coder-480b at ") :].splitlines()
    assert shown[0].endswith("is unhealthy: model, retirement")
    assert all(len(line) <= 80 for line in shown)
    assert ("\x1b[31m" in ended.raw) is colours
    assert "-> Use 'gpt-oss-120b' or 'qwen-3.8-27b'." in ended.text


@pytest.mark.parametrize(
    ("key", "code", "words"),
    [
        pytest.param(KEY, 0, "The key is accepted.", id="right"),
        pytest.param("csk-" + "x" * 40, 1, "Wrong API Key", id="wrong"),
        pytest.param("", 1, "Not authenticated", id="none"),
    ],
)
def test_the_key_is_checked(
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    code: int,
    words: str,
) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", key)
    assert main(["health"]) == code
    shown = capsys.readouterr()
    assert words in shown.out
    assert shown.err == ""
    assert "k1k1" not in shown.out
    assert "xxxx" not in shown.out


def test_a_missing_key_is_the_same_advice_as_elsewhere() -> None:
    told = [in_pipes(*args) for args in (["health"], ["chat", "Hi"])]
    assert {each.returncode for each in told} == {2}
    assert told[0].stderr == told[1].stderr
    assert told[0].stdout == ""


def test_json_is_for_scripts(
    sim: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health", "--json", "--deep"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert (report["key_valid"], report["model_served"]) == (True, True)
    assert report["deep"]["total_tokens"] > 16
    assert [each["name"] for each in report["rate_limits"]] == [
        "requests-day",
        "tokens-minute",
    ]
    assert len(sim.chat_requests) == 1


def test_a_simulator_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--simulate", "--strict"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "'gpt-oss-120b' is served." in shown.out


# ----------------------------------------------------------------------------- timing


def _silent(request: Request) -> Iterator[bytes]:
    request.wait_gone(30)
    return iter(())


def test_a_server_that_hangs_ends_with_the_timeout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with WireServer(_silent) as server:
        assert main(["health", "--base-url", server.url, "--timeout", "0.5"]) == 1
    assert "No answer within the 0.5 s" in capsys.readouterr().out


@posix_only
def test_ctrl_c_ends_it_at_once() -> None:
    with WireServer(_silent) as server:
        process = subprocess.Popen(
            [*COMMAND, "health", "--base-url", server.url, "--timeout", "60"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        deadline = time.monotonic() + 30
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        shown, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (shown, told) == ("", "")


# ---------------------------------------------------------------------------- the log


@pytest.mark.parametrize("name", ["CEREBRAS_LOG", "LOG_LEVEL"])
def test_requests_are_logged_to_standard_error(sim: Simulator, name: str) -> None:
    ended = in_pipes("health", "--json", "--deep", env={name: "debug"})
    assert ended.returncode == 0
    json.loads(ended.stdout)  # nothing else is there
    lines = ended.stderr.splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z DEBUG    langchain_cerebras_ext\."
    assert all(re.match(stamp, line) for line in lines)
    paths = [found[1] for line in lines if (found := re.search(r"path=(\S+)", line))]
    assert paths == [
        "/v1/tcp_warming",
        "/v1/models",
        "/v1/models",
        "/v1/chat/completions",
    ]
    assert KEY not in ended.stderr
    assert "Count to ten" not in ended.stderr


def test_lines_can_be_json(sim: Simulator) -> None:
    log = {"CEREBRAS_LOG": "debug", "CEREBRAS_LOG_FORMAT": "json"}
    ended = in_pipes("chat", "Tell me a secret", env=log)
    assert ended.returncode == 0, ended.stderr
    line = next(each for each in ended.stderr.splitlines() if each.startswith("{"))
    told = json.loads(line)
    assert told["level"] == "debug"
    assert told["logger"] == "langchain_cerebras_ext.client"
    assert (told["path"], told["status"]) == ("/v1/chat/completions", 200)
    assert told["sent_bytes"] > 0
    assert "secret" not in line


def test_content_is_logged_only_by_name(sim: Simulator) -> None:
    sim.reply("forty-two", times=None)
    log = {"CEREBRAS_LOG": "debug"}
    quiet = in_pipes("chat", "Tell me a secret", env=log)
    assert "secret" not in quiet.stderr
    assert "forty-two" not in quiet.stderr
    named = in_pipes(
        "chat",
        "Tell me a secret",
        env={**log, "CEREBRAS_LOG_CONTENT": "prompt,answer"},
    )
    assert "Tell me a secret" in named.stderr
    assert "forty-two" in named.stderr


def test_a_wrong_level_names_the_right_ones(sim: Simulator) -> None:
    ended = in_pipes("health", env={"CEREBRAS_LOG": "loud"})
    assert ended.returncode == 2
    assert "give debug, info, warning, error, critical, off" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert sim.requests == []


def test_the_help_tells_of_exit_codes_and_logs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    helps = []
    for arguments in (["health", "--help"], ["--help"]):
        assert main(arguments) == 0
        helps.append(capsys.readouterr().out)
    told = " ".join(helps[0].split())
    assert "0 healthy, with or without warnings; 1 unhealthy; 2 wrong use" in told
    assert "3 warnings, with --strict; 130 Ctrl-C" in told
    said = " ".join(helps[1].split())
    for name in ("CEREBRAS_LOG=debug", "LOG_LEVEL", "CEREBRAS_LOG_FORMAT=json"):
        assert name in said
    assert "CEREBRAS_LOG_CONTENT=prompt,answer" in said
