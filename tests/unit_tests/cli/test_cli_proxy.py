"""`cerebras-ext proxy` as far as it does not serve: help, keys, checks, refusals."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest
from terminals import in_pipes

from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext.proxy import server
from langchain_cerebras_ext.proxy.keys import parse_keys
from langchain_cerebras_ext.proxy.settings import VARIABLES

if TYPE_CHECKING:
    from pathlib import Path

KEY = "csk-a-key-of-the-upstream"


def test_the_help_tells_of_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["proxy", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "Usage: cerebras-ext proxy" in words
    for one in VARIABLES:
        assert f"{one.name}{f' ({one.unit})' if one.unit else ''}: " in words
    assert "PORT: Port to listen at; 0 takes a free one. Default: 8000." in words


def test_a_new_key_comes_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for _ in range(2):
        assert main(["proxy", "--new-key", "team-a"]) == 0
        shown = capsys.readouterr().out
        (key,) = re.findall(r"ape-\S{43}", shown)
        (line,) = re.findall(r"team-a: [0-9a-f]{64}", shown)
        assert parse_keys(line, "") == (
            (hashlib.sha256(key.encode()).digest(), "team-a"),
        )
        lines.append(line)
    assert lines[0] != lines[1]


@pytest.mark.parametrize("name", ["", "two words", "-x", "a" * 65, "a: b"])
def test_an_id_that_is_none_gets_no_key(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["proxy", f"--new-key={name}"]) == 2
    shown = capsys.readouterr()
    assert "is no id" in shown.err
    assert shown.out == ""


def test_settings_can_be_checked_without_serving(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text('aliases = {fast = "gpt-oss-120b"}\nport = 9000\n')
    env = {
        "CEREBRAS_API_KEY": KEY,
        "APE_API_KEY": "a-long-key-of-a-client",
        "APE_ALLOWED_MODELS": "fast,gpt-oss-120b",
        "APE_TOTAL_TIMEOUT_S": "5",
    }
    done = in_pipes("proxy", "--check", f"--settings={file}", "--port=0", env=env)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "The settings are right. Requests go to https://api.cerebras.ai/v1."
    )
    assert lines[1:] == [
        "APE_API_KEY=***",
        "PORT=0",
        "APE_TOTAL_TIMEOUT_S=5.0",
        "APE_ALIASES=fast=gpt-oss-120b",
        "APE_ALLOWED_MODELS=fast,gpt-oss-120b",
    ]
    assert KEY not in done.stdout + done.stderr


def test_a_check_tells_what_the_start_would_warn_of() -> None:
    env = {"CEREBRAS_API_KEY": KEY, "APE_ALLOW_OPEN": "1"}
    done = in_pipes("proxy", "--check", "--host=0.0.0.0", env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["APE_ALLOW_OPEN=1", "HOST=0.0.0.0"]
    assert done.stderr.startswith("Note: NO KEY IS ASKED FOR: anybody")


def test_what_a_check_finds_in_files_is_told() -> None:
    env = {"CEREBRAS_API_KEY": KEY, "APE_KEYS_FILE": "/nowhere/keys"}
    done = in_pipes("proxy", "--check", env=env)
    assert done.returncode == 2
    assert "APE_KEYS_FILE='/nowhere/keys' cannot be read" in done.stderr


def test_wrong_settings_have_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APE_WORKERS", "many")
    assert main(["proxy", "--host", "0.0.0.0", "--port", "-1"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    first, *rest = shown.err.splitlines()
    assert first == "Error: 4 settings of the proxy are wrong:"
    assert [re.split(r"[ =]", line)[1] for line in rest] == [
        "PORT",
        "APE_WORKERS",
        "CEREBRAS_API_KEY",
        "HOST",
    ]


@pytest.mark.parametrize("level", ["LOUD", "off"])
def test_the_level_of_the_log_is_told_by_the_proxys_own_rule(
    level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_LEVEL", level)
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    assert main(["proxy", "--check"]) == 2
    assert capsys.readouterr().err == (
        f"Error: LOG_LEVEL={level!r} must be one of DEBUG, INFO, WARNING, ERROR, "
        "CRITICAL.\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("APE_LEDGER_URL", "mysql://h/x", "begins with 'mysql'. Take a file's path"),
        ("APE_LEDGER_URL", "sqlite:////nowhere/x.db", "cannot be used: unable to open"),
        ("APE_PRICES_FILE", "/nowhere/prices", "cannot be read: No such file"),
        ("APE_ALIASES", "a=b,b=a", "'a' leads in a circle: 'a' -> 'b' -> 'a'."),
        ("CEREBRAS_CATALOG", "/nowhere/models", "cannot be read: No such file"),
        ("PROMETHEUS_MULTIPROC_DIR", "/nowhere", "must name a folder that is there"),
    ],
)
def test_what_is_wrong_with_a_file_or_a_database_names_the_variable(
    name: str, value: str, rule: str
) -> None:
    env = {"CEREBRAS_API_KEY": KEY, "APE_API_KEY": "a-long-key-of-a-client"}
    done = in_pipes("proxy", "--check", env={**env, name: value})
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {name}")
    assert rule in done.stderr
    assert done.stdout == ""


def test_without_the_extra_the_line_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    assert main(["proxy"]) == 2
    assert "pip install 'langchain-cerebras-ext[proxy]'" in capsys.readouterr().err
