"""The parts of `cerebras-ext chat`, in this process."""

from __future__ import annotations

import builtins
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext._live import LiveStream
from langchain_cerebras_ext.cli import chat as module
from langchain_cerebras_ext.simulator import Simulator


class Keyboard(io.StringIO):
    """Standard input that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator that the environment points to; nothing is piped in."""
    with Simulator() as simulator, Path(os.devnull).open(encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        monkeypatch.setenv("CEREBRAS_API_KEY", "csk-test")
        monkeypatch.setenv("CEREBRAS_BASE_URL", simulator.base_url)
        yield simulator


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal in the place of standard output and standard error."""
    console = Console(
        file=io.StringIO(), force_terminal=True, width=60, color_system="standard"
    )
    monkeypatch.setattr(module, "output_console", lambda: console)
    monkeypatch.setattr(module, "error_console", lambda: console)
    return console


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def type_lines(monkeypatch: pytest.MonkeyPatch, *lines: str | BaseException) -> None:
    """Let `input` return these lines, or raise."""
    waiting = list(lines)

    def typed(prompt: str = "") -> str:
        line = waiting.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr(builtins, "input", typed)


def interrupt_after(monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """Press Ctrl-C when so many chunks have come."""
    add: Callable[[LiveStream, object], Any] = LiveStream.add
    count = 0

    def counted(self: LiveStream, item: object) -> Any:
        nonlocal count
        count += 1
        if count > pieces:
            raise KeyboardInterrupt
        return add(self, item)

    monkeypatch.setattr(LiveStream, "add", counted)


def test_a_terminal_gets_dimmed_reasoning_text_and_figures(
    sim: Simulator, terminal: Console
) -> None:
    sim.reply("The answer.", reasoning="A thought.")
    assert main(["chat", "Hi"]) == 0
    text = shown(terminal)
    assert "\x1b[2mA thought.\x1b[0m" in text
    assert "The answer." in text
    assert "first token" in text
    assert text.index("A thought") < text.index("The answer") < text.index("output")


def test_reasoning_is_left_out_if_told(sim: Simulator, terminal: Console) -> None:
    sim.reply("The answer.", reasoning="A thought.")
    assert main(["chat", "--no-show-reasoning", "Hi"]) == 0
    assert "A thought" not in shown(terminal)


def test_reasoning_in_a_pipe_goes_to_standard_error(
    sim: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    sim.reply("The answer.", reasoning="A thought.")
    assert main(["chat", "--show-reasoning", "Hi"]) == 0
    out, err = capsys.readouterr()
    assert out == "The answer.\n"
    assert err.startswith("A thought.")


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_ctrl_c_keeps_what_came(
    sim: Simulator,
    as_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sim.reply(chunks=["one ", "two ", "three"])
    interrupt_after(monkeypatch, 2)
    assert main(["chat", *(["--json"] if as_json else []), "Hi"]) == 130
    out, err = capsys.readouterr()
    if as_json:
        found = json.loads(out)
        assert found["interrupted"] is True
        assert "error" not in found
        out = found["text"]
    assert out.startswith("one")
    assert "three" not in out
    assert "Interrupted." in err


def test_a_conversation_remembers_and_survives_errors(
    sim: Simulator, terminal: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("the note", "utf-8")
    sim.fail_next(401)
    sim.reply("first")
    sim.reply("second")
    type_lines(monkeypatch, "failing", "one", "two", "  ")
    assert main(["chat", "--file", str(note)]) == 0
    assert "Error: Cerebras answered 401" in " ".join(shown(terminal).split())
    contents = [one["content"] for one in sim.chat_requests[-1].body["messages"]]
    assert contents == [
        'one\n\n<file name="note.txt">\nthe note\n</file>',
        "first",
        "two",
    ]


@pytest.mark.parametrize(
    ("end", "code"),
    [(EOFError(), 0), (KeyboardInterrupt(), 130)],
    ids=["ctrl-d", "ctrl-c"],
)
def test_a_conversation_ends_by_key(
    sim: Simulator, end: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_lines(monkeypatch, end)
    assert main(["chat"]) == code
    assert sim.chat_requests == []


def test_tool_calls_are_in_the_json(
    sim: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model may write one although it was given no tools."""
    live = LiveStream()
    call = {"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}
    from langchain_core.messages import AIMessage

    live.add(AIMessage("", tool_calls=[call]))
    assert module.answer_as_json(live)["tool_calls"] == [call]


# ------------------------------------------------------------------- standard input


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    monkeypatch.setattr(sys, "stdin", os.fdopen(reader, encoding="utf-8"))


@pytest.mark.parametrize(
    ("args", "data", "prompt"),
    [
        pytest.param([], b"from the pipe", "from the pipe", id="alone"),
        pytest.param(["ask"], b"about", "ask\n\nabout", id="after the prompt"),
        pytest.param(["ask", "-"], b"about", "ask\n\nabout", id="asked for"),
        pytest.param(["ask"], b"", "ask", id="empty"),
    ],
)
def test_the_prompt_takes_what_is_piped_in(
    sim: Simulator,
    args: list[str],
    data: bytes,
    prompt: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    piped(monkeypatch, data)
    assert main(["chat", *args]) == 0
    sys.stdin.close()
    assert sim.chat_requests[-1].body["messages"][-1]["content"] == prompt


def test_an_input_that_is_only_an_object_is_read(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Typer's own test runner has it."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("from memory"))
    assert main(["chat"]) == 0
    assert sim.chat_requests[-1].body["messages"][-1]["content"] == "from memory"


@pytest.mark.parametrize("stdin", [None, "closed"])
def test_no_input_at_all_is_no_prompt(
    sim: Simulator,
    stdin: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in a windowed program, or after `<&-`."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdin", closed if stdin else None)
    assert main(["chat"]) == 2
    assert "There is no prompt" in capsys.readouterr().err


def test_an_input_that_fails_is_an_error(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> Iterator[bytes]:
        yield b"x"
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "_stdin_pieces", failing)
    assert main(["chat", "-"]) == 2
    assert "cannot be read: Input/output error" in capsys.readouterr().err
