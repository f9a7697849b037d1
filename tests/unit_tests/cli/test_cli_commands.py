"""The command line: help, versions, refusals, exit codes, and missing extras."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from terminals import COMMAND, environment, in_pipes

from langchain_cerebras_ext import __version__
from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext.cli import extras
from langchain_cerebras_ext.cli.failures import CommandError, explain, guard
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasInvalidRequestError,
    MissingExtraError,
    RateLimitError,
)
from langchain_cerebras_ext.simulator import Simulator


@pytest.fixture(autouse=True)
def nothing_is_piped_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands that run in this process would read pytest's own input."""
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cerebras-ext {__version__}\n"


@pytest.mark.parametrize("command", ["", "demo", "chat", "simulate", "health"])
def test_every_command_has_help(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: cerebras-ext" in out
    assert "130 Ctrl-C" in " ".join(out.split()) or command


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(["chat", "--nonsense"], "No such option", id="unknown option"),
        pytest.param(["nonsense"], "No such command", id="unknown command"),
        pytest.param(["chat", "Hi"], "Set CEREBRAS_API_KEY", id="no key"),
        pytest.param(
            ["chat", "--base-url", "https://example.com", "Hi"],
            "Set CEREBRAS_API_KEY",
            id="no key for another server",
        ),
        pytest.param(
            ["chat", "--base-url", "ftp://x", "Hi"], "is no http(s) URL", id="bad url"
        ),
        pytest.param(
            ["chat", "--simulate", "--base-url", "http://127.0.0.1:1", "Hi"],
            "leave out --base-url",
            id="contradiction",
        ),
        pytest.param(
            ["chat", "--simulate", "--temperature", "9", "Hi"],
            "temperature=9.0 is out of range: the API takes 0 to 2",
            id="out of range",
        ),
        pytest.param(
            ["chat", "--simulate", "--reasoning-effort", "hi", "Hi"],
            "Did you mean 'high'?",
            id="wrong effort",
        ),
        pytest.param(
            ["chat", "--simulate", "--speed", "fast", "Hi"],
            "--speed 'fast' is not valid; give 'instant', 'real' or a factor",
            id="wrong speed",
        ),
        pytest.param(
            ["chat", "--simulate", "--file", "/does/not/exist", "Hi"],
            "cannot be read: No such file or directory",
            id="no such file",
        ),
        pytest.param(
            ["simulate", "--tier", "gold"], "tier='gold' is not valid", id="wrong tier"
        ),
        pytest.param(
            ["simulate", "--host", "0.0.0.0"], "other machines", id="open to all"
        ),
        pytest.param(
            ["demo", "--file", "/does/not/exist"], "cannot be read", id="demo file"
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_a_simulator_tells_how_to_reach_it_and_ends_by_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press_ctrl_c(simulator: Simulator) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulator, "running", property(press_ctrl_c))
    assert main(["simulate", "--port", "0"]) == 0
    assert "Traceback" not in capsys.readouterr().err


# ---------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        pytest.param(CommandError("no\n file"), 2, "no file", id="ours, of the shell"),
        pytest.param(CerebrasConfigurationError("bad"), 2, "bad", id="configuration"),
        pytest.param(CerebrasInvalidRequestError("bad"), 2, "bad", id="request"),
        pytest.param(MissingExtraError("pip"), 2, "pip", id="extra"),
        pytest.param(RateLimitError("slow down"), 1, "slow down", id="service"),
        pytest.param(
            ZeroDivisionError("x"), 1, "ZeroDivisionError: x (--debug", id="a defect"
        ),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, guard(debug=False):
        raise error
    assert ended.value.exit_code == code
    shown = capsys.readouterr().err
    assert shown.startswith(f"Error: {line}")
    assert shown.count("\n") == 1


def test_debug_shows_the_traceback_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), guard(debug=True):
        raise CommandError("here")
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("Error: here\n")


def test_ctrl_c_is_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, guard(debug=False):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == ""


def test_no_key_is_ever_printed() -> None:
    told = explain(ValueError("key csk-abcdefgh12345 and Bearer abcdefgh12345"))
    assert "abcdefgh" not in told


# ------------------------------------------------------------------- missing extras

_WITHOUT = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
from langchain_cerebras_ext.__main__ import main
sys.exit(main({args!r}))
"""


def without(hidden: set[str], args: list[str]) -> subprocess.CompletedProcess[str]:
    """Run our command as if some packages were not installed."""
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(hidden=hidden, args=args)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.mark.parametrize(
    ("hidden", "args", "extra"),
    [
        pytest.param({"typer"}, ["--version"], "cli", id="cli: typer"),
        pytest.param({"rich"}, ["chat", "Hi"], "cli", id="cli: rich"),
        pytest.param({"langgraph"}, ["demo"], "demo", id="demo: langgraph"),
        pytest.param({"starlette"}, ["demo"], "demo", id="demo: starlette"),
        pytest.param({"uvicorn"}, ["simulate"], "simulator", id="simulate"),
        pytest.param(
            {"jsonschema"}, ["chat", "--simulate", "Hi"], "simulator", id="chat"
        ),
    ],
)
def test_a_missing_extra_names_the_line_that_installs_it(
    hidden: set[str], args: list[str], extra: str
) -> None:
    ended = without(hidden, args)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert f"pip install 'langchain-cerebras-ext[{extra}]'" in ended.stderr
    assert next(iter(hidden)) in ended.stderr


@pytest.mark.parametrize(
    ("module", "args", "extra"),
    [("typer", ["chat"], "cli"), ("uvicorn", ["simulate"], "simulator")],
    ids=["cli", "simulator"],
)
def test_a_missing_extra_is_exit_code_2(
    module: str,
    args: list[str],
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(args) == 2
    assert f"'langchain-cerebras-ext[{extra}]'" in capsys.readouterr().err


def test_a_reader_that_has_gone_ends_a_command_quietly(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ended, guard(debug=False):
        raise BrokenPipeError
    assert ended.value.exit_code == 1
    assert capfd.readouterr().err == ""


def test_a_module_that_was_hidden_by_hand_counts_as_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "uvicorn" in (extras.missing_line("simulator") or "")


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from langchain_cerebras_ext.__main__ import main; "
        "main(['--version']); main(['chat', '--help']); "
        "heavy = {'langchain_core', 'openai', 'aiohttp', 'urllib3', 'starlette', "
        "'langgraph'}; print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "[]"


def test_python_m_is_the_same_command() -> None:
    assert COMMAND[1:] == ["-m", "langchain_cerebras_ext"]
    ended = in_pipes("--version")
    assert (ended.returncode, ended.stdout) == (0, f"cerebras-ext {__version__}\n")


def test_the_demos_document_lies_in_the_package() -> None:
    """So it is in the wheel too, and not only in the repository."""
    package = Path(extras.__file__).parent
    assert (package / "demo.md").is_file()
