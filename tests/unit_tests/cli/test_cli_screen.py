"""What a terminal is shown, and what a pipe gets."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from langchain_cerebras_ext.cli.screen import (
    StatusLine,
    Typewriter,
    heading,
    say,
    table,
)

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def console(*, terminal: bool, width: int = 30) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, color_system=None
    )


def shown(to: Console) -> str:
    file = to.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_pipe_gets_the_text_as_it_is() -> None:
    to = console(terminal=False)
    with Typewriter(to) as writer:
        writer.status("never shown")
        for piece in (
            "A line that is longer ",
            "than the width of it.\n\nAnd",
            " more",
        ):
            writer.write(piece)
    assert shown(to) == "A line that is longer than the width of it.\n\nAnd more\n"


def test_a_terminal_gets_wrapped_lines_that_stay_and_a_status_that_goes() -> None:
    to = console(terminal=True)
    text = "one two three four five six seven eight nine ten eleven twelve"
    with Typewriter(to) as writer:
        writer.status("12 tokens/s")
        for word in text.split():
            writer.write(word + " ")
        writer.write("\nlast")
    raw = shown(to)
    assert "12 tokens/s" in raw
    # What is left after the last time that the status was wiped away.
    after = _ESCAPES.sub("", raw.rsplit("12 tokens/s", 1)[1])
    assert after.strip().endswith("last")
    plain = " ".join(_ESCAPES.sub(" ", raw).split())
    assert "one two three four five six" in plain
    assert "eleven twelve" in plain


def test_what_a_model_writes_cannot_steer_the_terminal() -> None:
    to = console(terminal=False)
    with Typewriter(to) as writer:
        writer.write("a\x1b]0;title\x07b\x1b[2Jc [bold]not markup[/bold]")
    say(to, "x\x1b[31my")
    assert shown(to) == "abc [bold]not markup[/bold]\nxy\n"


def test_a_line_of_its_own_ends_the_one_before() -> None:
    to = console(terminal=False)
    with Typewriter(to) as writer:
        writer.write("begun")
        writer.line("alone")
        writer.line("again")
    assert shown(to) == "begun\nalone\nagain\n"


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_a_status_is_shown_on_terminals_only(terminal: bool) -> None:
    to = console(terminal=terminal)
    with StatusLine(to) as line:
        line.status("busy")
    assert ("busy" in shown(to)) is terminal


def test_headings_and_tables_are_plain_in_a_pipe() -> None:
    to = console(terminal=False, width=60)
    heading(to, "Title")
    table(to, ["call", "tokens"], [["one", "1,000"], ["two", None]])
    lines = [line.strip() for line in shown(to).splitlines() if line.strip()]
    assert lines[0] == "== Title =="
    assert re.fullmatch(r"one\s+\W\s+1,000", lines[-2])
    assert re.fullmatch(r"two\s+\W\s+-", lines[-1])
