"""`cerebras-ext models check`: options, output and exit codes."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from langchain_cerebras_ext._check import _grammars, load_config
from langchain_cerebras_ext.cli.check import FORMATS, CheckOptions, run_check
from langchain_cerebras_ext.cli.failures import CommandError, guard
from langchain_cerebras_ext.errors import MissingExtraError

ROOT = Path(__file__).parents[3]
ON = "2026-11-21"
RETIRED = 'Cerebras("llama3.1-8b")\n'
NOTE = "c = Cerebras()\nc.chat.completions.create(messages=[], max_tokens=5)\n"
WEAK = 'print("Try qwen-3-coder-480b")\n'


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


def run(directory: Path, code: str | None = None, **options) -> int:
    if code is not None:
        (directory / "a.py").write_text(code)
    return run_check(CheckOptions(on=ON, **options), cwd=directory)


CODES = {
    "nothing": ("x = 1", "retired", 0),
    "retired": (RETIRED, "retired", 1),
    "retired_ending": (RETIRED, "ending", 1),
    "retired_never": (RETIRED, "never", 0),
    "note_retired": (NOTE, "retired", 0),
    "note_ending": (NOTE, "ending", 0),
    "note_any": (NOTE, "any", 1),
    "weak_any": (WEAK, "any", 0),
}


@pytest.mark.parametrize(("code", "fail_on", "ends"), CODES.values(), ids=CODES.keys())
def test_the_exit_code_says_whether_something_fails(tmp_path, code, fail_on, ends):
    assert run(tmp_path, code, fail_on=fail_on, show_weak=True) == ends


ENDING = {"retired": 0, "ending": 1, "any": 1, "never": 0}


@pytest.mark.parametrize(("fail_on", "ends"), ENDING.items(), ids=ENDING.keys())
def test_a_model_that_ends_soon_fails_only_if_asked(tmp_path, fail_on, ends):
    (tmp_path / "a.py").write_text('m = "qwen-3-coder-480b"')
    options = CheckOptions(on="2025-11-01", fail_on=fail_on)
    assert run_check(options, cwd=tmp_path) == ends


def test_retired_is_what_fails_by_default(tmp_path):
    assert run(tmp_path, RETIRED) == 1
    assert run(tmp_path, NOTE) == 0


def test_a_line_a_finding_where_output_is_no_terminal(tmp_path, capsys):
    run(tmp_path, RETIRED + WEAK, show_weak=True)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        (
            "a.py:1:11: error retired-model: llama3.1-8b was retired on 2026-05-27. "
            "Use gpt-oss-120b (the vendor's successor)."
        ),
        (
            "a.py:2:12: error retired-model: qwen-3-coder-480b was retired on 2025-11-05. "
            "Use gpt-oss-120b (our advice). (weak)"
        ),
    ]
    assert err == "2 findings in 1 file; 1 to rewrite with --fix.\n"


def test_files_that_could_not_be_read_are_told(tmp_path, capsys):
    run(tmp_path, "def (")
    assert capsys.readouterr().err == "0 findings in 1 file.\n"
    run(tmp_path, f"def (\n{RETIRED}")
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("Could not be read: a.py: not Python: ")
    assert told[0].endswith(" in line 1; looked through as text")


def test_a_table_on_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    unserved = 'Cerebras("deepseek-r1-0528", "kimi-k2.6")\n'
    run(tmp_path, RETIRED + NOTE + WEAK + unserved, show_weak=True)
    rows = [
        [cell.strip() for cell in re.sub(r"\x1b\[[\d;]*m", "", line).split("│")]
        for line in capsys.readouterr().out.splitlines()
        if "│" in line
    ]
    model, new = "gpt-oss-120b", "max_completion_tokens"
    assert rows == [
        ["a.py:1:11", "llama3.1-8b", "ended 2026-05-27", model, "yes"],
        ["a.py:3:40", "max_tokens", "deprecated", new, "yes"],
        ["a.py:4:12", "qwen-3-coder-480b", "ended 2025-11-05", f"{model} (us)", "no"],
        ["a.py:5:11", "deepseek-r1-0528", "not served", f"{model} (us)", "yes"],
        ["a.py:5:31", "kimi-k2.6", "not served", "-", "no"],
    ]


def test_what_ends_soon_and_what_must_stay_is_explained(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "a.py").write_text('m = {"qwen-3-coder-480b": 1}')
    run_check(CheckOptions(on="2025-11-01"), cwd=tmp_path)
    out = capsys.readouterr().out
    assert "ends 2025-11-05 (4 days)" in out
    assert (
        "a.py:1: likely: no other provider calls a model so; not rewritten: "
        "its successor is not served before 2025-11-05"
    ) in out


def test_an_empty_table_is_not_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(tmp_path, "x = 1") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("output_format", [name for name in FORMATS if name != "text"])
def test_programs_get_nothing_else_on_standard_output(tmp_path, capsys, output_format):
    assert run(tmp_path, RETIRED, output_format=output_format) == 1
    out = capsys.readouterr().out
    if output_format == "github":
        assert out.startswith("::error file=a.py,line=1,")
    else:
        json.loads(out)


WRONG = {
    "path": ({"paths": [Path("nothing.py")]}, "nothing.py does not exist"),
    "format": ({"output_format": "xml"}, "--format is 'xml'. Give one of text, json"),
    "fail_on": ({"fail_on": "all"}, "--fail-on is 'all'. Give one of retired"),
    "day": ({"on": "21.11.2026"}, "--on is '21.11.2026'. Give a day as in 2026-11-21"),
    "within": ({"within": -1}, "--within is -1. Give a number of days from 0"),
    "fix_and_diff": ({"fix": True, "diff": True}, "Give one of them"),
    "nobody_to_ask": ({"fix": True}, "nobody can answer here. Add --yes"),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=WRONG.keys())
def test_wrong_use_is_told_and_ends_with_2(tmp_path, monkeypatch, options, told):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(CommandError, match=told.replace("(", r"\(")):
        run_check(CheckOptions(**options), cwd=tmp_path)
    with pytest.raises(typer.Exit) as ended, guard(debug=False):
        run_check(CheckOptions(**options), cwd=tmp_path)
    assert ended.value.exit_code == 2


def test_a_missing_extra_names_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(_grammars, "_NEEDED", ("pathspec", "no_such_grammar"))
    with pytest.raises(MissingExtraError) as caught:
        run(tmp_path)
    assert str(caught.value) == (
        "The check needs no_such_grammar. "
        "Run: pip install 'langchain-cerebras-ext[cli]'"
    )


# -------------------------------------------------------------------------- rewrite


def test_the_diff_is_shown_and_nothing_written(tmp_path, capsys):
    assert run(tmp_path, RETIRED, diff=True) == 1
    out = capsys.readouterr().out
    assert out.startswith("--- a/a.py\n+++ b/a.py\n")
    assert (tmp_path / "a.py").read_text() == RETIRED


def test_yes_rewrites_and_what_is_left_decides(tmp_path, capsys):
    assert run(tmp_path, RETIRED, fix=True, yes=True) == 0
    assert (tmp_path / "a.py").read_text() == 'Cerebras("gpt-oss-120b")\n'
    out, err = capsys.readouterr()
    assert out == ""
    assert '-Cerebras("llama3.1-8b")\n+Cerebras("gpt-oss-120b")\n' in err
    assert "Rewrote 1 place in 1 file.\n0 findings in 1 file.\n" in err
    left = 'CEREBRAS = {"llama3.1-8b": 1}\n'
    assert run(tmp_path, left, fix=True, yes=True) == 1
    assert "Nothing can be rewritten." in capsys.readouterr().err


ANSWERS = {"yes": ("y\n", 0, "gpt-oss-120b"), "no": ("n\n", 1, "llama3.1-8b")}


@pytest.mark.parametrize(
    ("answer", "ends", "model"), ANSWERS.values(), ids=ANSWERS.keys()
)
def test_a_person_is_asked(tmp_path, monkeypatch, capsys, answer, ends, model):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert run(tmp_path, RETIRED, fix=True) == ends
    assert (tmp_path / "a.py").read_text() == f'Cerebras("{model}")\n'
    assert "Rewrite 1 place in 1 file?" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told_and_fails(tmp_path, monkeypatch, capsys):
    from langchain_cerebras_ext.cli import check as command

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(command, "write_change", refuse)
    assert run(tmp_path, RETIRED, fix=True, yes=True, fail_on="never") == 1
    assert "Not rewritten: a.py: Permission denied" in capsys.readouterr().err


# ------------------------------------------------------------------------- settings


def test_the_projects_settings_count(tmp_path, capsys):
    (tmp_path / "pyproject.toml").write_text(
        "[tool.cerebras-ext.check]\n"
        'exclude = ["old/"]\nignore = ["qwen-3-32b"]\nwithin = 3\nfail-on = "any"\n'
    )
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "b.py").write_text(RETIRED)
    assert run(tmp_path, f'{NOTE}Cerebras("qwen-3-32b")\n', output_format="json") == 1
    report = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in report["findings"]] == ["max_tokens"]
    assert report["within_days"] == 3


def test_options_add_to_the_settings_or_overrule_them(tmp_path, capsys):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.cerebras-ext.check]\nignore = ["qwen-3-32b"]\nwithin = 3\n'
        'fail-on = "any"\n'
    )
    code = f'{RETIRED}Cerebras("qwen-3-32b", "zai-glm-4.7")\n'
    options = {"ignore": ["zai-glm-4.7"], "within": 5, "output_format": "json"}
    assert run(tmp_path, code, fail_on="never", **options) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in report["findings"]] == ["llama3.1-8b"]
    assert report["within_days"] == 5
    assert run(tmp_path, exclude=["a.py"]) == 0
    assert run(tmp_path, 'Cerebras("qwen-3-32b")', use_config=False) == 1


def test_gitignore_files_can_be_left_out_of_account(tmp_path):
    (tmp_path / ".gitignore").write_text("a.py\n")
    assert run(tmp_path, RETIRED) == 0
    assert run(tmp_path, use_ignore_files=False) == 1


# ------------------------------------------------------------------ this repository

EXCLUDE = (
    "/README.md",
    "/langchain_cerebras_ext/_check/names.json",
    "/langchain_cerebras_ext/catalog/",
    "/langchain_cerebras_ext/simulator/profiles.py",
    "/tests/",
)


def test_this_repository_uses_no_model_that_is_gone(capsys):
    said = load_config(ROOT).exclude
    options = CheckOptions(on=ON, exclude=said or EXCLUDE, fail_on="any")
    code = run_check(options, cwd=ROOT)
    assert capsys.readouterr().out == ""
    assert code == 0


def test_the_hook_installs_what_the_check_needs():
    path = ROOT / ".pre-commit-hooks.yaml"
    (hook,) = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert hook["entry"] == "cerebras-ext models check"
    installed = {
        line.partition(">=")[0].replace("-", "_")
        for line in hook["additional_dependencies"]
    }
    assert installed == {*_grammars._NEEDED, "rich", "typer"}


def test_the_check_loads_no_client_and_no_grammar_it_does_not_need(tmp_path):
    (tmp_path / "a.py").write_text(RETIRED)
    code = (
        "import sys\n"
        "from langchain_cerebras_ext.cli.check import CheckOptions, run_check\n"
        f"run_check(CheckOptions(on={ON!r}))\n"
        "unwanted = {'openai', 'aiohttp', 'langchain_core.language_models',"
        " 'tree_sitter', 'tree_sitter_bash'}\n"
        "print(sorted(unwanted & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
