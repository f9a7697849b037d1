"""Whatever is in a file, the check neither fails nor hangs, and its places are true."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from check_helpers import TODAY
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext._check import ScanOptions
from langchain_cerebras_ext._check._facts import load_facts
from langchain_cerebras_ext._check._scan import Checker
from langchain_cerebras_ext._check._walk import Target

CHECKER = Checker(load_facts(TODAY, 90), ScanOptions(on=TODAY, weak=True))
NAMES = [
    "a.py",
    "a.ipynb",
    "a.json",
    "a.yml",
    "a.toml",
    ".env",
    "a.ini",
    "a.sh",
    "Dockerfile",
    "a.js",
    "a.ts",
    "a.md",
    "Makefile",
]
PIECES = st.sampled_from(
    [
        *("qwen-3-coder-480b", "llama3.1-8b", "cerebras", "cerebras/", "groq", "gpt-4"),
        *("max_tokens", "disable_reasoning", "messages", "model", "provider", "true"),
        *(*"\"'`{}[]()<>=:,;#/\\$%!?|&-+*.@~\n\r\t ", "\n\n", "```", "'''", '"""'),
        *("//", "/*", "*/", "f'", "${", "<<EOF\n", "EOF\n", "- ", "> ", "  ", "if "),
        *("def f(", "import ", "const ", "export ", "%%bash\n", "é", "👋", "\u2028"),
        *('{"cells": [{"cell_type": "code", "source": [', "]}]}", "\\n", "\\u00e9"),
    ]
)


def outcome(name: str, data: bytes):
    return CHECKER.check_data(data, Target(Path(name), name, name))


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join))
def test_any_mixture_of_syntax_is_read(name, text):
    result = outcome(name, text.encode())
    for finding in result.findings:
        line = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        shown = line[finding.line - 1][finding.column - 1 :]
        for edit in finding.edits:
            assert text.encode()[edit.start : edit.end].decode() == edit.old
        if finding.edits:
            assert shown.startswith(finding.name)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(
    head=st.binary(max_size=20),
    tail=st.binary(max_size=20),
    mark=st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"]),
)
def test_any_bytes_are_read(name, head, tail, mark):
    outcome(name, mark + head + b' "cerebras/llama3.1-8b" ' + tail)


LARGE = {
    "python": ("a.py", b"[" * 5000 + b'"cerebras/llama3.1-8b"' + b"]" * 5000),
    "python_sum": ("a.py", b"x = " + b'"cerebras/llama3.1-8b" + ' * 1500 + b'""'),
    "json": ("a.json", b"[" * 50_000 + b'"cerebras/llama3.1-8b"' + b"]" * 50_000),
    "json_wide": ("a.json", b"[" + b'"cerebras/llama3.1-8b",' * 1500 + b"1]"),
    "yaml": ("a.yml", b"cerebras:\n" + b"- model: llama3.1-8b\n  x: y\n" * 1500),
    "commas": ("a.json", b'{"cerebras": "llama3.1-8b"' + b"," * 100_000 + b"}"),
    "env": (".env", b"CEREBRAS_MODEL=llama3.1-8b\n" * 1000),
    "line": (".env", b"A=" + b"cerebras/llama3.1-8b " * 2000),
    "markdown": ("a.md", b"Cerebras `llama3.1-8b` " * 1500),
    "shell_words": ("a.sh", b"app" + b" cerebras/llama3.1-8b" * 1500),
    "script_array": ("a.ts", b"const cerebras = [" + b"'llama3.1-8b',\n" * 1500 + b"]"),
    "script_object": (
        "a.ts",
        b"const cerebras = {" + b"a: 'llama3.1-8b',\n" * 1500 + b"}",
    ),
    "json_object": (
        "a.json",
        b'{"a":' * 3000 + b'"cerebras/llama3.1-8b"' + b"}" * 3000,
    ),
    "yaml_deep": (
        "a.yml",
        b"a: " + b"{a: " * 3000 + b"cerebras/llama3.1-8b" + b"}" * 3000,
    ),
    "spaces": (".env", b"A=" + b" " * 100_000 + b"cerebras/llama3.1-8b"),
    "dots": ("a.json", b'{"cerebras": "' + b"1." * 50_000 + b'!", "b": "llama3.1-8b"}'),
    "shell": ("a.sh", b"app --model cerebras/llama3.1-8b\n" * 2000),
    "script": ("a.ts", b"const m = cerebras('llama3.1-8b');\n" * 2000),
    "script_uses": ("a.ts", b"const M = 'llama3.1-8b';\n" + b"cerebras(M);\n" * 3000),
    "names": ("a.py", b"M = 'cerebras/llama3.1-8b'\n" * 2000 + b"use(M)\n" * 2000),
}


@pytest.mark.parametrize(("name", "data"), LARGE.values(), ids=LARGE.keys())
@pytest.mark.timeout(120)
def test_large_and_deep_files_take_no_time_to_speak_of(name, data):
    began = time.process_time()  # of this process, however busy the machine is
    result = outcome(name, data)
    assert result.findings or result.unreadable
    # None is a second; what is quadratic is a minute.
    assert time.process_time() - began < 20
