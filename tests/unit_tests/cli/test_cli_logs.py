"""What commands log: levels, forms, where it goes, and what never shows."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from langchain_cerebras_ext.cli.failures import CommandError, guard
from langchain_cerebras_ext.cli.logs import (
    JsonFormatter,
    LineFormatter,
    LogSettings,
    command_logging,
    read_settings,
)

# These tests look at the loggers themselves, and write keys into records.
pytestmark = pytest.mark.unwatched

OURS = logging.getLogger("langchain_cerebras_ext")
CLIENT = logging.getLogger("langchain_cerebras_ext.client")
OTHER = logging.getLogger("urllib3.connection")


@pytest.fixture(autouse=True)
def no_level(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without settings; leave the loggers as they were."""
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    root = logging.getLogger()
    before = (root.level, OURS.level, list(root.handlers), list(OURS.handlers))
    yield
    assert (root.level, OURS.level) == before[:2]
    left = [each for each in root.handlers if each not in before[2]]
    assert all(isinstance(each, logging.NullHandler) for each in left)
    assert OURS.handlers == before[3]


# --------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"CEREBRAS_LOG": ""}, None, id="empty"),
        pytest.param({"CEREBRAS_LOG": "debug"}, 10, id="debug"),
        pytest.param({"CEREBRAS_LOG": " Info "}, 20, id="spaces and capitals"),
        pytest.param({"CEREBRAS_LOG": "warn"}, 30, id="short"),
        pytest.param({"CEREBRAS_LOG": "40"}, 40, id="number"),
        pytest.param({"LOG_LEVEL": "CRITICAL"}, 50, id="the common variable"),
        pytest.param({"LOG_LEVEL": "trace"}, 10, id="another program's word"),
        pytest.param(
            {"LOG_LEVEL": "debug", "CEREBRAS_LOG": "error"}, 40, id="ours wins"
        ),
        pytest.param({"LOG_LEVEL": "debug", "CEREBRAS_LOG": "off"}, None, id="off"),
        pytest.param({"LOG_LEVEL": "loud", "CEREBRAS_LOG": "info"}, 20, id="unread"),
    ],
)
def test_the_level_is_read(environ: dict[str, str], level: int | None) -> None:
    assert read_settings(environ) == LogSettings(level, as_json=False)


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        pytest.param(
            {"CEREBRAS_LOG": "loud"},
            "CEREBRAS_LOG='loud' is no log level; give debug, info, warning, error, "
            "critical, off.",
            id="level",
        ),
        pytest.param(
            {"LOG_LEVEL": "5"}, "CEREBRAS_LOG wins over it.", id="the common variable"
        ),
        pytest.param(
            {"CEREBRAS_LOG_FORMAT": "xml"},
            "CEREBRAS_LOG_FORMAT='xml' is no format; give text or json.",
            id="format",
        ),
    ],
)
def test_a_wrong_setting_names_those_that_are_right(
    environ: dict[str, str], text: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(text)):
        read_settings(environ)


def test_a_wrong_level_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CEREBRAS_LOG", "loud")
    with pytest.raises(typer.Exit) as ended, guard(debug=False):
        pytest.fail("the command must not run")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err.startswith("Error: CEREBRAS_LOG='loud' is no log")


# ------------------------------------------------------------------------ what is shown


def said(capsys: pytest.CaptureFixture[str], *, debug: bool = False, **env: str) -> str:
    """Log in all ways while a command runs; return what came to standard error."""
    with command_logging(debug=debug, environ=env):
        CLIENT.debug("a request")
        CLIENT.warning("a hint")
        OTHER.debug("header: Authorization")
        OTHER.warning("Failed to parse headers")
        logging.getLogger("httpx").info("HTTP Request")
    return capsys.readouterr().err


def test_nothing_is_logged_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == ""


def test_only_our_lines_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, CEREBRAS_LOG="debug").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "DEBUG    langchain_cerebras_ext.client a request",
        "WARNING  langchain_cerebras_ext.client a hint",
    ]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", lines[0])


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = said(capsys, LOG_LEVEL="info").splitlines()
    assert line.endswith("a hint")


def test_debug_shows_libraries_as_well_but_once_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = said(capsys, debug=True).splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == [
        "langchain_cerebras_ext.client a hint",
        "urllib3.connection Failed to parse headers",
        "httpx HTTP Request",
    ]
    both = said(capsys, debug=True, CEREBRAS_LOG="debug").splitlines()
    assert len(both) == 4


def test_lines_go_to_what_standard_error_is_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when a live display takes its place."""

    class Display:
        text = ""

        def write(self, text: str) -> int:
            self.text += text
            return len(text)

        def flush(self) -> None: ...

    display = Display()
    with command_logging(debug=False, environ={"CEREBRAS_LOG": "debug"}):
        monkeypatch.setattr(sys, "stderr", display)
        CLIENT.debug("a request")
        monkeypatch.undo()
    assert display.text.endswith("a request\n")
    assert capsys.readouterr().err == ""


def test_the_loggers_are_as_before_even_after_an_error() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        command_logging(debug=True, environ={"CEREBRAS_LOG": "debug"}),
    ):
        raise ZeroDivisionError


def test_a_command_logs_to_standard_error_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    with guard(debug=False):
        CLIENT.debug("a request")
    shown = capsys.readouterr()
    assert shown.err.endswith("langchain_cerebras_ext.client a request\n")
    assert shown.out == ""


# ---------------------------------------------------------------------------- formats


def record(message: str, *args: Any, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("a.b", logging.DEBUG, "f.py", 7, message, args, None)
    made.created = 1790000000.25
    vars(made).update(more)
    return made


def test_a_line_is_one_line_whatever_it_holds() -> None:
    line = LineFormatter().format(record("a\nb\x1b[2J\u2028c %s", "\r\x9b1mé"))
    assert line == (
        "2026-09-21T14:13:20.250Z DEBUG    a.b a\\nb\\x1b[2J\\u2028c \\r\\x9b1mé"
    )


def test_a_json_line_has_the_fields_of_the_record() -> None:
    fields = {"status": 200, "elapsed_s": 0.5, "model": "gpt-oss-120b"}
    line = JsonFormatter().format(record("a\nb", cerebras=fields, other=["x"]))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "debug",
        "logger": "a.b",
        "message": "a\nb",
        "status": 200,
        "elapsed_s": 0.5,
        "model": "gpt-oss-120b",
        "other": ["x"],
    }


def test_fields_cannot_take_the_place_of_the_lines_own() -> None:
    line = JsonFormatter().format(record("said", cerebras={"message": 1, "level": 2}))
    assert json.loads(line)["message"] == "said"
    assert json.loads(line)["level"] == "debug"


class Odd:
    def __str__(self) -> str:
        return "odd csk-abcdefgh12345"


@pytest.mark.parametrize("key", ["csk-" + "z9" * 20, "no-usual-key"])
@pytest.mark.parametrize(
    "formatter", [LineFormatter(), JsonFormatter()], ids=["text", "json"]
)
def test_no_key_is_ever_logged(
    formatter: logging.Formatter, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", f' "{key}" ')  # as copied by hand
    try:
        msg = f"cannot use {key}"
        raise ValueError(msg)
    except ValueError:
        trace = sys.exc_info()
    line = formatter.format(
        record(
            "key %s, header %r, another sk-abcdefgh12345",
            key,
            {"authorization": f"Bearer {key}"},
            exc_info=trace,
            cerebras={key: [key, (key,)], "odd": Odd()},
        )
    )
    assert key not in line
    assert "abcdefgh" not in line
    assert "***" in line


def test_a_traceback_follows_its_line() -> None:
    try:
        raise KeyError("x")
    except KeyError:
        made = record("an observer failed", exc_info=sys.exc_info())
    first, *rest = LineFormatter().format(made).splitlines()
    assert first.endswith("an observer failed")
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "KeyError: 'x'"
    told = json.loads(JsonFormatter().format(made))
    assert told["exception"].splitlines() == rest


def test_a_record_that_cannot_be_shown_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with command_logging(debug=False, environ={"CEREBRAS_LOG": "debug"}):
        CLIENT.debug("%d", "no number")
