"""Comments and settings that say to leave something alone."""

from __future__ import annotations

import pytest
from check_helpers import check_text, names

FILES = {
    "python": ("a.py", 'Cerebras("llama3.1-8b")  # cerebras-ext: ignore'),
    "javascript": ("a.js", "cerebras('llama3.1-8b') // cerebras-ext: ignore"),
    "yaml": ("a.yml", "cerebras: llama3.1-8b # cerebras-ext:ignore"),
    "toml": ("a.toml", 'cerebras = "llama3.1-8b" # cerebras-ext: ignore'),
    "env": (".env", "CEREBRAS_MODEL=llama3.1-8b # cerebras-ext: ignore"),
    "markdown": ("a.md", "Cerebras `llama3.1-8b` <!-- cerebras-ext: ignore -->"),
    "next_line": ("a.py", '# cerebras-ext: ignore-next-line\nCerebras("llama3.1-8b")'),
    "by_name": ("a.py", 'Cerebras("llama3.1-8b")  # cerebras-ext: ignore[llama3.1-8b]'),
    "by_names": ("a.py", 'Cerebras("llama3.1-8b")  # cerebras-ext: ignore[x, llama3.1-8b]'),
    "file": ("a.py", '# cerebras-ext: ignore-file\n\nCerebras("llama3.1-8b")'),
    "file_by_name": ("a.py", '# cerebras-ext: ignore-file[llama3.1-8b]\nCerebras("llama3.1-8b")'),
}  # fmt: skip
OTHERS = {
    "other_name": 'Cerebras("llama3.1-8b")  # cerebras-ext: ignore[qwen-3-32b]',
    "line_above": '# cerebras-ext: ignore\nCerebras("llama3.1-8b")',
    "two_lines_above": '# cerebras-ext: ignore-next-line\n\nCerebras("llama3.1-8b")',
    "other_tool": 'Cerebras("llama3.1-8b")  # type: ignore',
    "longer_word": 'Cerebras("llama3.1-8b")  # cerebras-ext: ignored',
}


@pytest.mark.parametrize(("name", "text"), FILES.values(), ids=FILES.keys())
def test_a_comment_says_to_leave_it_alone(tmp_path, name, text):
    assert names(check_text(tmp_path, name, text)) == []


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS.keys())
def test_other_comments_change_nothing(tmp_path, text):
    assert names(check_text(tmp_path, "a.py", text)) == ["llama3.1-8b"]


def test_settings_say_to_leave_names_alone(tmp_path):
    text = 'Cerebras("llama3.1-8b", "qwen-3-32b", disable_reasoning=True)'
    ignore = frozenset({"llama3.1-8b", "disable_reasoning"})
    assert names(check_text(tmp_path, "a.py", text, ignore=ignore)) == ["qwen-3-32b"]
