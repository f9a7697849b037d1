"""`cerebras-ext chat` as people and scripts use it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminals import COMMAND, environment, in_pipes, in_terminal

from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext.cli import chat as module
from langchain_cerebras_ext.simulator import Simulator

# What stands before the final figures was shown while the answer came.
LIVE = re.compile(r"first token \d")

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="pseudo-terminals are of POSIX systems"
)


@pytest.fixture(autouse=True)
def nothing_is_piped_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands that run in this process would read pytest's own input."""
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator that the environment points to."""
    with Simulator() as simulator:
        monkeypatch.setenv("CEREBRAS_API_KEY", "csk-test")
        monkeypatch.setenv("CEREBRAS_BASE_URL", simulator.base_url)
        yield simulator


def last_prompt(sim: Simulator) -> str:
    return str(sim.chat_requests[-1].body["messages"][-1]["content"])


# ------------------------------------------------------------------------- prompts


def test_the_prompt_is_the_argument_the_files_and_what_is_piped_in(
    sim: Simulator, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.md"
    one.write_text("first file\n", "utf-8")
    two.write_text("zweite Datei: Größe\n", "utf-8")
    files = ["--file", str(one), "--file", str(two)]
    ended = in_pipes("chat", *files, "What", "is", "this?", stdin="piped text\n")
    assert ended.returncode == 0, ended.stderr
    assert last_prompt(sim) == (
        "What is this?\n\npiped text\n\n\n"
        '<file name="one.txt">\nfirst file\n\n</file>\n\n'
        '<file name="two.md">\nzweite Datei: Größe\n\n</file>'
    )


@pytest.mark.parametrize(
    ("args", "stdin", "prompt"),
    [
        pytest.param([], "Say hi", "Say hi", id="piped"),
        pytest.param(["-"], "Say hi", "Say hi", id="dash"),
        pytest.param(["Sum up:", "-"], "a text", "Sum up:\n\na text", id="both"),
        pytest.param(["Say hi"], "", "Say hi", id="an empty pipe"),
    ],
)
def test_standard_input_is_read_when_piped_or_asked_for(
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    stdin: str,
    prompt: str,
) -> None:
    reader, writer = os.pipe()
    os.write(writer, stdin.encode())
    os.close(writer)
    with os.fdopen(reader) as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        assert main(["chat", *args]) == 0
    assert last_prompt(sim) == prompt


def test_a_pipe_into_which_nobody_writes_does_not_hang(
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Service managers hand such pipes down; the prompt was given already."""
    reader, writer = os.pipe()
    monkeypatch.setattr(module, "STDIN_GRACE_S", 0.05)
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["chat", "Say hi"]) == 0
        os.close(writer)
        time.sleep(0.05)  # the reading thread sees the end and goes
    shown = capsys.readouterr()
    assert "said nothing" in shown.err
    assert last_prompt(sim) == "Say hi"


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        pytest.param(b" \n", "There is no prompt", id="blank"),
        pytest.param(b"\xff\xff\xff", "Standard input is no UTF-8 text", id="binary"),
    ],
)
def test_no_prompt_is_an_error(sim: Simulator, stdin: bytes, message: str) -> None:
    ended = subprocess.run(
        [*COMMAND, "chat"],
        input=stdin,
        capture_output=True,
        timeout=60,
        env=environment(),
        check=False,
    )
    assert ended.returncode == 2
    assert message in ended.stderr.decode()
    assert sim.chat_requests == []


def test_parameters_are_sent(sim: Simulator) -> None:
    options = "--system Short! --reasoning-effort low --max-tokens 50 --temperature 0.5"
    assert main(["chat", *options.split(), "--model", "qwen-3.8-27b", "Hi"]) == 0
    body = sim.chat_requests[-1].body
    assert body["messages"][0] == {"role": "system", "content": "Short!"}
    assert (body["model"], body["reasoning_effort"]) == ("qwen-3.8-27b", "low")
    assert (body["max_completion_tokens"], body["temperature"]) == (50, 0.5)
    assert body["stream"] is True


# ------------------------------------------------------------------ pipes and JSON


def test_a_pipe_gets_the_answer_alone(sim: Simulator) -> None:
    sim.reply("Grüße\x1b[0m\nzwei", reasoning="secret thought")
    ended = in_pipes("chat", "Hi")
    assert ended.stdout == "Grüße\x1b[0m\nzwei\n"  # as it is: a pipe is no terminal
    assert "secret thought" not in ended.stderr
    assert "tokens/s" in ended.stderr
    assert "first token" in ended.stderr
    assert "input tokens" in ended.stderr
    assert "\x1b" not in ended.stderr


def test_reasoning_goes_to_standard_error_if_asked_for(sim: Simulator) -> None:
    sim.reply("Text", reasoning="a thought")
    ended = in_pipes("chat", "--show-reasoning", "Hi")
    assert ended.stdout == "Text\n"
    assert "a thought" in ended.stderr


@pytest.mark.parametrize("extra", [[], ["--no-stream"]], ids=["stream", "whole"])
def test_json_has_all_that_is_known(
    sim: Simulator, extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sim.reply("Grüße", reasoning="hm")
    assert main(["chat", "--json", *extra, "Hi"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert shown.out.count("\n") == 1
    assert shown.err == ""
    assert (found["text"], found["reasoning"]) == ("Grüße", "hm")
    assert found["model"] == "gpt-oss-120b"
    assert found["finish_reason"] == "stop"
    assert found["interrupted"] is False
    assert found["usage"]["output_tokens"] > 0
    assert found["timings"]["total_s"] > 0
    assert (found["timings"]["first_token_s"] is None) is bool(extra)
    assert "x-ratelimit-limit-requests-day" in found["response_metadata"]["rate_limits"]
    assert sim.chat_requests[-1].body.get("stream", False) is not bool(extra)


def test_an_answer_that_was_cut_off_says_so(
    sim: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "--max-tokens", "30", "Write 100 words about rain."]) == 0
    assert "cut off at --max-tokens" in capsys.readouterr().err


# --------------------------------------------------------------------------- errors


def test_an_error_keeps_what_came_and_exits_with_1(
    sim: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    sim.reply(chunks=["half ", "an ", "answer ", "and more"], cut_after=4)
    assert main(["chat", "Hi"]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("half an ")
    assert "Error: " in shown.err
    assert "Traceback" not in shown.err


def test_json_tells_errors_too(
    sim: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    sim.fail_next(401, times=None)
    assert main(["chat", "--json", "Hi"]) == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["text"] == ""
    assert found["error"]["type"] == "AuthenticationError"
    assert found["error"]["status_code"] == 401
    assert "CEREBRAS_API_KEY" in shown.err


def test_a_reader_that_goes_away_is_no_traceback(sim: Simulator) -> None:
    """As with `| head -1`."""
    sim.reply("x" * 2_000_000)
    process = subprocess.Popen(
        [*COMMAND, "chat", "Hi"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 1
    assert told == b""


# ------------------------------------------------------------------------ terminals


@posix_only
def test_a_terminal_shows_speed_while_it_streams_and_figures_at_the_end() -> None:
    args = ["--simulate", "--speed", "0.1", "Write 150 words about rivers."]
    ended = in_terminal("chat", *args)
    assert ended.code == 0
    assert "tokens/s" in LIVE.split(ended.text)[0]
    assert "The user says: Write 150 words" in ended.text  # reasoning, dimmed
    assert "\x1b[2m" in ended.raw
    assert "input tokens (0 cached)" in " ".join(ended.text.split())
    assert ended.raw.rstrip().endswith("\x1b[0m")


@posix_only
def test_reasoning_can_be_left_out_on_a_terminal() -> None:
    ended = in_terminal("chat", "--simulate", "--no-show-reasoning", "Say hello")
    assert "The user says" not in ended.text
    assert "hello" in ended.text


@posix_only
def test_live_speed_is_on_standard_error_when_the_answer_goes_to_a_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "answer.txt"
    with path.open("wb") as file:
        ended = in_terminal(
            "chat",
            "--simulate",
            "--speed",
            "0.1",
            "Write 60 words about rivers.",
            stdout=file.fileno(),
        )
    assert ended.code == 0
    assert "tokens/s" in LIVE.split(ended.text)[0]
    assert "rivers" not in ended.text
    assert len(path.read_text("utf-8").split()) >= 60


@posix_only
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_ctrl_c_keeps_what_came_closes_the_connection_and_exits_with_130(
    sim: Simulator, as_json: bool
) -> None:
    words = [f"word{number} " for number in range(400)]
    sim.reply(chunks=words, event_delay_s=0.02)
    extra = ["--json"] if as_json else []
    ready = "~1" if as_json else "word20"
    ended = in_terminal("chat", *extra, "Hi", keys=[(ready, "\x03")])
    assert ended.code == 130
    assert "Interrupted." in ended.text
    assert "Traceback" not in ended.text
    if as_json:
        line = next(one for one in ended.text.splitlines() if '"interrupted"' in one)
        found = json.loads(line[line.index("{") :])
        assert found["interrupted"] is True
        assert found["text"].startswith("word0 word1 ")
    else:
        assert "word399" not in ended.text
    deadline = time.monotonic() + 5
    while not sim.chat_requests[-1].was_cancelled and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sim.chat_requests[-1].was_cancelled


@posix_only
def test_a_signal_to_a_piped_command_keeps_what_came(sim: Simulator) -> None:
    sim.reply(chunks=[f"word{number} " for number in range(400)], event_delay_s=0.02)
    process = subprocess.Popen(
        [*COMMAND, "chat", "Hi"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    begun = process.stdout.read(12)
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (begun + rest).startswith(b"word0 word1 ")
    assert (begun + rest).endswith(b"\n")
    assert b"Interrupted." in told
    assert b"Traceback" not in told


@posix_only
def test_without_a_prompt_a_terminal_asks_and_remembers(
    sim: Simulator, tmp_path: Path
) -> None:
    sim.fail_next(401)
    sim.reply("first answer")
    sim.reply("second answer")
    note = tmp_path / "note.txt"
    note.write_text("the note", "utf-8")
    ended = in_terminal(
        "chat",
        "--system",
        "Short!",
        "--file",
        str(note),
        keys=[
            ("> ", "failing\n"),
            ("> ", "one\n"),
            ("> ", "two\n"),
            ("second answer", ""),
            ("> ", "\n"),
        ],
    )
    assert ended.code == 0
    assert "Error: " in ended.text
    messages = [
        (message["role"], message["content"])
        for message in sim.chat_requests[-1].body["messages"]
    ]
    assert messages == [
        ("system", "Short!"),
        ("user", 'one\n\n<file name="note.txt">\nthe note\n</file>'),
        ("assistant", "first answer"),
        ("user", "two"),
    ]


@posix_only
@pytest.mark.parametrize(
    ("key", "code"), [("\x04", 0), ("\x03", 130)], ids=["ctrl-d", "ctrl-c"]
)
def test_the_loop_ends_by_key(sim: Simulator, key: str, code: int) -> None:
    ended = in_terminal("chat", keys=[("> ", key)])
    assert ended.code == code
    assert "Traceback" not in ended.text
    assert sim.chat_requests == []


@posix_only
def test_ctrl_c_in_the_loop_stops_the_answer_only(sim: Simulator) -> None:
    sim.reply(chunks=[f"word{number} " for number in range(400)], event_delay_s=0.02)
    sim.reply("the next")
    ended = in_terminal(
        "chat", keys=[("> ", "go\n"), ("word9", "\x03"), ("> ", "on\n"), ("> ", "\n")]
    )
    assert ended.code == 0
    assert "Interrupted." in ended.text
    roles = [message["role"] for message in sim.chat_requests[-1].body["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert "the next" in ended.text
