"""Which ids count in settings by line, in Markdown and in notebooks."""

from __future__ import annotations

import json

import pytest
from check_helpers import check_text, names

LINES = {
    "env": (".env", "CEREBRAS_MODEL=llama3.1-8b"),
    "env_quoted": (".env", 'CEREBRAS_MODEL="llama3.1-8b"'),
    "env_comment_behind": (".env", "CEREBRAS_MODEL='llama3.1-8b' # small"),
    "env_exported": (".env.local", "export CEREBRAS_MODEL=llama3.1-8b"),
    "env_example": ("app.env.example", "CEREBRAS_MODEL=llama3.1-8b"),
    "env_prefix": (".env", "MODEL=cerebras/llama3.1-8b"),
    "env_provider": (".env", "PROVIDER=cerebras\n\nMODEL=llama3.1-8b"),
    "env_address": (".env", "OPENAI_API_BASE=https://api.cerebras.ai/v1\nOPENAI_MODEL=llama3.1-8b"),
    "env_heading": (".env", "# Cerebras\nMODEL=llama3.1-8b"),
    "env_list": (".env", "CEREBRAS_MODELS=gpt-4,llama3.1-8b"),
    "properties": ("a.properties", "llm.cerebras.model = llama3.1-8b"),
    "ini": ("a.ini", "[cerebras]\n\nmodel = llama3.1-8b"),
    "cfg_colon": ("a.cfg", "[cerebras]\nmodel: llama3.1-8b"),
    "dockerfile": ("Dockerfile", "ENV CEREBRAS_MODEL=llama3.1-8b"),
    "dockerfile_spaced": ("Dockerfile.dev", "ENV CEREBRAS_MODEL llama3.1-8b"),
    "dockerfile_argument": ("a.dockerfile", "ARG CEREBRAS_MODEL=llama3.1-8b"),
    "dockerfile_command": ("Containerfile", 'CMD ["app", "--model", "cerebras/llama3.1-8b"]'),
    "makefile": ("Makefile", "CEREBRAS_MODEL := llama3.1-8b"),
    "makefile_recipe": ("Makefile", "run:\n\tapp --model cerebras/llama3.1-8b"),
    "fish": ("a.fish", "set -x CEREBRAS_MODEL llama3.1-8b"),
    "windows_lines": (".env", "A=1\r\nCEREBRAS_MODEL=llama3.1-8b\r\n"),
}  # fmt: skip
NO_LINES = {
    "env_comment": (".env", "# CEREBRAS_MODEL=llama3.1-8b"),
    "env_other": (".env", "CEREBRAS_MODEL=x\nGROQ_MODEL=llama3.1-8b"),
    "env_nothing": (".env", "MODEL=llama3.1-8b"),
    "env_prose": (".env", "CEREBRAS_NOTE=llama3.1-8b was small"),
    "ini_other": ("a.ini", "[cerebras]\nmodel = x\n[ollama]\nmodel = llama3.1-8b"),
    "ini_comment": ("a.ini", "[cerebras]\n; model = llama3.1-8b"),
    "dockerfile_comment": ("Dockerfile", "# ENV CEREBRAS_MODEL=llama3.1-8b"),
}


@pytest.mark.parametrize(("name", "text"), LINES.values(), ids=LINES.keys())
def test_an_id_counts_in_settings(tmp_path, name, text):
    report = check_text(tmp_path, name, text)
    assert names(report) == ["llama3.1-8b"]
    finding = report.findings[0]
    line = text.replace("\r", "").split("\n")[finding.line - 1]
    assert line[finding.column - 1 :].startswith("llama3.1-8b")
    assert finding.edits


@pytest.mark.parametrize(("name", "text"), NO_LINES.values(), ids=NO_LINES.keys())
def test_an_id_does_not_count_in_settings(tmp_path, name, text):
    assert names(check_text(tmp_path, name, text)) == []


MARKDOWN = {
    "fence": '```python\nChatCerebras("llama3.1-8b")\n```',
    "fence_with_options": '```python {title="x"}\nChatCerebras("llama3.1-8b")\n```',
    "tildes": '~~~py\nChatCerebras("llama3.1-8b")\n~~~',
    "no_language": "```\nCEREBRAS_MODEL=llama3.1-8b\n```",
    "session": "```console\n$ app -m cerebras/llama3.1-8b\n```",
    "prompts": '```pycon\n>>> ChatCerebras("llama3.1-8b")\n```',
    "unknown_language": "```elixir\nmodel: cerebras/llama3.1-8b\n```",
    "unfinished_code": '```python\nChatCerebras(model="llama3.1-8b", ...\n```',
    "in_a_list": '- a\n\n  ```python\n  if x:\n      ChatCerebras("llama3.1-8b")\n  ```',
    "in_a_quote": "> ```yaml\n> cerebras:\n>   model: llama3.1-8b\n> ```",
    "section": '# Cerebras\n\n```json\n{"model": "llama3.1-8b"}\n```',
    "paragraph_before": 'With Cerebras:\n\n```json\n{"model": "llama3.1-8b"}\n```',
    "front_matter": "---\ncerebras: llama3.1-8b\n---\n# x",
    "inline": "Cerebras has `llama3.1-8b`.",
    "inline_setting": "Set `CEREBRAS_MODEL=llama3.1-8b`.",
    "inline_in_section": "## Cerebras\n\nUse `llama3.1-8b`.",
    "inline_in_table": "| provider | model |\n|---|---|\n| Cerebras | `llama3.1-8b` |",
    "inline_double": "Cerebras has ``llama3.1-8b``.",
}
NO_MARKDOWN = {
    "prose": "Cerebras has llama3.1-8b.",
    "prose_with_prefix": "Cerebras has cerebras/llama3.1-8b.",
    "inline_elsewhere": "Use `llama3.1-8b`.\n\n## Cerebras\n",
    "inline_other": "## Cerebras\n\nUnlike Ollama's `llama3.1-8b`.",
    "inline_history": "Cerebras retired `llama3.1-8b`.",
    "fence_other": '# Cerebras and others\n\n```python\nChatGroq("llama3.1-8b")\n```',
    "fence_comment": '```python\n# ChatCerebras("llama3.1-8b")\n```',
    "heading": "# Cerebras: llama3.1-8b",
    "link": "Cerebras has [llama3.1-8b](https://example.net/llama3.1-8b).",
}


@pytest.mark.parametrize("text", MARKDOWN.values(), ids=MARKDOWN.keys())
def test_an_id_counts_in_code_of_a_text(tmp_path, text):
    report = check_text(tmp_path, "a.md", text)
    assert names(report) == ["llama3.1-8b"]
    finding = report.findings[0]
    line = text.split("\n")[finding.line - 1]
    assert line[finding.column - 1 :].startswith("llama3.1-8b")
    assert report.unreadable == ()


@pytest.mark.parametrize("text", NO_MARKDOWN.values(), ids=NO_MARKDOWN.keys())
def test_an_id_does_not_count_in_a_text(tmp_path, text):
    assert names(check_text(tmp_path, "a.md", text)) == []


def test_code_is_rewritten_and_inline_code_is_not(tmp_path):
    text = 'Cerebras has `llama3.1-8b`.\n\n```py\nCerebras("llama3.1-8b")\n```\n'
    inline, code = check_text(tmp_path, "a.md", text).findings
    assert not inline.edits
    assert inline.keep == "it is part of a text"
    assert code.edits


PARAMETERS = {
    "fence": ("a.md", "```py\nc = Cerebras()\nc.x(disable_reasoning=True)\n```\n"),
    "quoted_fence": (
        "a.md",
        '> ```json\n> {"provider": "cerebras",\n>  "disable_reasoning": true}\n> ```\n',
    ),
    "front_matter": ("a.md", "+++\n[cerebras]\ndisable_reasoning = true\n+++\n"),
    "env": (".env", 'CEREBRAS_BODY={"disable_reasoning": true}\n'),
}


@pytest.mark.parametrize(("name", "text"), PARAMETERS.values(), ids=PARAMETERS.keys())
def test_parameters_count_in_code_within_a_text(tmp_path, name, text):
    (finding,) = check_text(tmp_path, name, text).findings
    line = text.split("\n")[finding.line - 1]
    assert line[finding.column - 1 :].startswith("disable_reasoning")


def test_an_empty_fence_is_nothing(tmp_path):
    text = "cerebras\n\n```llama3.1-8b\n```\n"
    assert names(check_text(tmp_path, "a.md", text)) == []


def test_what_a_change_log_tells_is_over(tmp_path):
    text = 'Cerebras: `llama3.1-8b`\n\n```py\nCerebras("llama3.1-8b")\n```\n'
    assert names(check_text(tmp_path, "CHANGELOG.md", text)) == []


def notebook(*cells: str | list[str], outputs: str = "", language: str = "python"):
    return json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "source": ["`cerebras/llama3.1-8b`"]},
                *(
                    {
                        "cell_type": "code",
                        "source": cell,
                        "outputs": [{"text": outputs}],
                    }
                    for cell in cells
                ),
            ],
            "metadata": {"language_info": {"name": language}},
            "nbformat": 4,
        },
        indent=1,
    )


NOTEBOOKS = {
    "lines": notebook(["x = 1\n", 'ChatCerebras("llama3.1-8b")']),
    "one_string": notebook('x = "Gr\u00fc\u00dfe \U0001f44b"\nChatCerebras("llama3.1-8b")'),
    "names_of_other_cells": notebook("c = Cerebras()", 'c.chat(model="llama3.1-8b")'),
    "magics": notebook('%pip install x\n!ls\nf = !ls\nif x:\n    %time y\nCerebras("llama3.1-8b")\nx?'),
    "await": notebook('await Cerebras().chat(model="llama3.1-8b")'),
    "cell_magic": notebook("%%bash\nexport CEREBRAS_MODEL=llama3.1-8b"),
    "timed": notebook('%%time\nCerebras("llama3.1-8b")'),
    "unknown_magic": notebook("%%writefile .env\nCEREBRAS_MODEL=llama3.1-8b"),
    "typescript": notebook("cerebras('llama3.1-8b')", language="typescript"),
    "unknown_language": notebook('cerebras = "llama3.1-8b"', language="julia"),
}  # fmt: skip


@pytest.mark.parametrize("text", NOTEBOOKS.values(), ids=NOTEBOOKS.keys())
def test_an_id_counts_in_a_code_cell(tmp_path, text):
    report = check_text(tmp_path, "a.ipynb", text)
    assert names(report) == ["llama3.1-8b"]
    finding = report.findings[0]
    line = text.split("\n")[finding.line - 1]
    assert line[finding.column - 1 :].startswith("llama3.1-8b")
    assert finding.edits
    assert report.unreadable == ()


def test_outputs_and_text_cells_do_not_count(tmp_path):
    text = notebook("import cerebras", outputs='cerebras("llama3.1-8b")')
    assert names(check_text(tmp_path, "a.ipynb", text)) == []


def test_parameters_count_in_cells_and_are_rewritten(tmp_path):
    text = notebook('Cerebras(model="qwen-3.8-27b", disable_reasoning=True)')
    (finding,) = check_text(tmp_path, "a.ipynb", text).findings
    assert [edit.new for edit in finding.edits] == ["reasoning_effort", '"none"']


def test_a_broken_cell_is_looked_through_by_itself(tmp_path):
    text = notebook(
        "def (:\nmodel = 'cerebras/llama3.1-8b'",
        "Cerebras('qwen-3-32b')",
        outputs="model = cerebras/llama3.1-8b",
    )
    report = check_text(tmp_path, "a.ipynb", text)
    assert names(report) == ["llama3.1-8b", "qwen-3-32b"]
    assert report.unreadable[0].reason.startswith("a cell is not Python")


def test_what_is_no_notebook_is_looked_through_as_text(tmp_path):
    report = check_text(tmp_path, "a.ipynb", '{\n"cerebras": "llama3.1-8b"\n}')
    assert names(report) == ["llama3.1-8b"]
    assert report.unreadable[0].reason == "not a notebook: it has no cells"
