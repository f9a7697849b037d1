"""Rewriting changes ids and parameters, and no other byte."""

from __future__ import annotations

import codecs
import json
import stat
from pathlib import Path

import pytest
from check_helpers import check, check_text
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext._check import (
    Edit,
    FileChangedError,
    _fix,
    apply_edits,
    plan_changes,
    unified_diff,
    write_change,
)
from langchain_cerebras_ext._check._source import make_source

OLD, NEW = "llama3.1-8b", "gpt-oss-120b"


def rewritten(directory: Path, name: str, text: str | bytes) -> bytes:
    for change in plan_changes(check_text(directory, name, text)):
        write_change(change)
    return (directory / name).read_bytes()


REWRITTEN = {
    "id": ('Cerebras("llama3.1-8b")', 'Cerebras("gpt-oss-120b")'),
    "prefix": ("x = 'cerebras/llama3.1-8b'", "x = 'cerebras/gpt-oss-120b'"),
    "several": ('Cerebras("llama3.1-8b"), Cerebras("zai-glm-4.7")', 'Cerebras("gpt-oss-120b"), Cerebras("gpt-oss-120b")'),
    "kwarg": ("c = Cerebras()\nc.chat.completions.create(messages=[], max_tokens = 5)", "c = Cerebras()\nc.chat.completions.create(messages=[], max_completion_tokens = 5)"),
    "dict": ("c = Cerebras()\nc.post({'messages': [], 'max_tokens': 5})", "c = Cerebras()\nc.post({'messages': [], 'max_completion_tokens': 5})"),
    "value": ('Cerebras(model="qwen-3.8-27b", disable_reasoning=True)', 'Cerebras(model="qwen-3.8-27b", reasoning_effort="none")'),
    "value_of_a_new_model": ('Cerebras(model="gemma-4-31b", disable_reasoning=True)', 'Cerebras(model="qwen-3.8-27b", reasoning_effort="none")'),
    "first_of_a_list": ('CEREBRAS = ["llama3.1-8b", "qwen-3-32b", "x"]', 'CEREBRAS = ["gpt-oss-120b", "qwen-3-32b", "x"]'),
}  # fmt: skip
KEPT = {
    "both": "c = Cerebras()\nc.chat.completions.create(messages=[], max_tokens=5, max_completion_tokens=5)",
    "not_true": 'Cerebras(model="qwen-3.8-27b", disable_reasoning=False)',
    "variable": 'Cerebras(model="qwen-3.8-27b", disable_reasoning=fast)',
    "effort_set": 'Cerebras(model="qwen-3.8-27b", disable_reasoning=True, reasoning_effort="low")',
    "model_without_none": 'Cerebras(model="gpt-oss-120b", disable_reasoning=True)',
    "model_unknown": "Cerebras(model=model, disable_reasoning=True)",
    "key": 'CEREBRAS = {"llama3.1-8b": 8192}',
    "value_of_its_key": 'CEREBRAS = {"llama3.1-8b": "llama3.1-8b"}',
    "compared": 'if cerebras_model == "llama3.1-8b": ...',
    "among": 'if cerebras_model in ("llama3.1-8b", "x"): ...',
    "type": 'CerebrasModel = Literal["llama3.1-8b"]',
    "successor_in_the_list": 'CEREBRAS = ["llama3.1-8b", "gpt-oss-120b"]',
    "successor_in_the_text": 'CEREBRAS = "llama3.1-8b,gpt-oss-120b"',
    "put_together": 'x = "cerebras/" + "llama3.1" + "-8b"',
    "escaped": 'x = "cerebras/llama3.1\\x2d8b"',
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), REWRITTEN.values(), ids=REWRITTEN.keys())
def test_what_is_safe_is_rewritten(tmp_path, before, after):
    assert rewritten(tmp_path, "a.py", before).decode() == after


@pytest.mark.parametrize("code", KEPT.values(), ids=KEPT.keys())
def test_what_is_not_safe_is_reported_and_left(tmp_path, code):
    findings = check_text(tmp_path, "a.py", code).findings
    assert findings
    assert all(finding.keep for finding in findings)
    assert rewritten(tmp_path, "a.py", code).decode() == code


LANGUAGES = {
    "json": ("a.json", '{"model": "cerebras/qwen-3.8-27b", "disable_reasoning": true}', '{"model": "cerebras/qwen-3.8-27b", "reasoning_effort": "none"}'),
    "yaml": ("a.yml", "model: cerebras/qwen-3.8-27b\ndisable_reasoning: True # x\n", 'model: cerebras/qwen-3.8-27b\nreasoning_effort: "none" # x\n'),
    "toml": ("a.toml", '[cerebras]\nmodel = "qwen-3.8-27b"\ndisable_reasoning = true\n', '[cerebras]\nmodel = "qwen-3.8-27b"\nreasoning_effort = "none"\n'),
    "typescript": ("a.ts", "const c = new Cerebras();\nc.x({ model: 'qwen-3.8-27b', disable_reasoning: true })", "const c = new Cerebras();\nc.x({ model: 'qwen-3.8-27b', reasoning_effort: \"none\" })"),
    "shell": ("a.sh", "curl https://api.cerebras.ai -d '{\"messages\": [], \"max_tokens\": 5}'", "curl https://api.cerebras.ai -d '{\"messages\": [], \"max_completion_tokens\": 5}'"),
    "escaped_shell": ("a.sh", 'curl https://api.cerebras.ai -d "{\\"model\\": \\"llama3.1-8b\\"}"', 'curl https://api.cerebras.ai -d "{\\"model\\": \\"gpt-oss-120b\\"}"'),
    "markdown_quote": ("a.md", "> ```sh\n> export CEREBRAS_MODEL=llama3.1-8b\n> ```\n", "> ```sh\n> export CEREBRAS_MODEL=gpt-oss-120b\n> ```\n"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "before", "after"), LANGUAGES.values(), ids=LANGUAGES.keys()
)
def test_each_language_is_written_as_it_wants_it(tmp_path, name, before, after):
    assert rewritten(tmp_path, name, before).decode() == after


def test_a_text_with_a_value_to_change_is_left(tmp_path):
    text = (
        "curl https://api.cerebras.ai -d "
        '\'{"model": "qwen-3.8-27b", "disable_reasoning": true}\''
    )
    (finding,) = check_text(tmp_path, "a.sh", text).findings
    assert finding.keep == "it stands in a text"


ENCODINGS = {
    "utf_8": (b"", "utf-8"),
    "utf_8_mark": (codecs.BOM_UTF8, "utf-8"),
    "utf_16_le": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "utf_16_be": (codecs.BOM_UTF16_BE, "utf-16-be"),
}


@pytest.mark.parametrize(("mark", "encoding"), ENCODINGS.values(), ids=ENCODINGS.keys())
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "mac"])
def test_encoding_and_line_ends_stay(tmp_path, mark, encoding, end):
    text = f'name: "Grüße 👋"{end}cerebras:{end}  model: {{}}{end}'
    before = mark + text.format(OLD).encode(encoding)
    after = mark + text.format(NEW).encode(encoding)
    assert rewritten(tmp_path, "a.yml", before) == after


def test_a_declared_encoding_is_kept(tmp_path):
    text = '# coding: latin-1\nx = "Grüße"\nCerebras("{}")\n'
    before = text.format(OLD).encode("latin-1")
    report = check_text(tmp_path, "a.py", before)
    assert report.unreadable == ()
    assert rewritten(tmp_path, "a.py", before) == text.format(NEW).encode("latin-1")


WRONG_ENCODINGS = {
    "utf_16": ("a.yml", b"\xff\xfecerebras: llama3.1-8b\n\xd8", "not utf-16-le: "),
    "declared": (
        "a.py",
        b"# coding: ascii\nCerebras('llama3.1-8b')  # \xfc",
        "not ascii",
    ),
    "lossy": (
        "a.py",
        b"# coding: utf-7\nCerebras('llama3.1-8b')  # +AOk-+AOk-\n",
        "utf-7 that cannot be written back",
    ),
}


@pytest.mark.parametrize(
    ("name", "data", "reason"), WRONG_ENCODINGS.values(), ids=WRONG_ENCODINGS.keys()
)
def test_any_wrong_encoding_is_told(tmp_path, name, data, reason):
    report = check_text(tmp_path, name, data)
    assert report.unreadable[0].reason.startswith(reason)
    assert rewritten(tmp_path, name, data) in {
        data,
        data.replace(OLD.encode(), NEW.encode()),
    }


def test_a_wrong_encoding_is_told_and_its_bytes_stay(tmp_path):
    before = b'x = "Gr\xfc\xdfe"\nCerebras("llama3.1-8b")\n'
    report = check_text(tmp_path, "a.py", before)
    assert report.unreadable[0].reason == "not UTF-8: byte 0xfc at 7"
    assert rewritten(tmp_path, "a.py", before) == before.replace(
        OLD.encode(), NEW.encode()
    )


TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\"'\\\0\r\n"),
    max_size=30,
)


@settings(deadline=None)
@given(before=TEXTS, after=TEXTS, end=st.sampled_from(["\n", "\r\n"]))
def test_only_the_bytes_of_the_id_change_in_python(
    tmp_path_factory, before, after, end
):
    def code(model: str) -> bytes:
        lines = [f'a = "{before}"', f'b = Cerebras("{model}")', f'c = "{after}"', ""]
        return end.join(lines).encode()

    directory = tmp_path_factory.mktemp("fix")
    assert rewritten(directory, "a.py", code(OLD)) == code(NEW)


@settings(deadline=None)
@given(
    before=TEXTS,
    after=TEXTS,
    indent=st.sampled_from([None, 1, 4]),
    escape=st.booleans(),
)
def test_only_the_bytes_of_the_id_change_in_json(
    tmp_path_factory, before, after, indent, escape
):
    def dumped(model: str) -> bytes:
        value = {"a": before, "cerebras": {"model": model}, "b": [after]}
        return json.dumps(value, indent=indent, ensure_ascii=escape).encode()

    directory = tmp_path_factory.mktemp("fix")
    assert rewritten(directory, "a.json", dumped(OLD)) == dumped(NEW)


@settings(deadline=None)
@given(st.data())
def test_edits_change_nothing_but_their_places(data):
    text = data.draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
    source = make_source(Path("a"), "a", text.encode(), is_python=False)
    cuts = sorted(
        data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=6))
    )
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    edits = [
        Edit(
            len(text[:start].encode()),
            len(text[:end].encode()),
            text[start:end],
            f"<{number}>",
        )
        for number, (start, end) in enumerate(spans)
        if start < end
    ]
    expected, done = "", 0
    for number, (start, end) in enumerate(spans):
        if start < end:
            expected += text[done:start] + f"<{number}>"
            done = end
    mark = 3 if text.startswith("\ufeff") else 0
    moved = [Edit(e.start - mark, e.end - mark, e.old, e.new) for e in edits]
    if mark and any(edit.start < 0 for edit in moved):
        return
    assert apply_edits(source, moved) == (expected + text[done:]).encode()


def test_an_edit_whose_place_holds_something_else_is_left_out():
    source = make_source(Path("a"), "a", b"abc", is_python=False)
    assert apply_edits(source, [Edit(0, 1, "x", "y")]) == b"abc"
    overlapping = [Edit(0, 2, "ab", "x"), Edit(1, 3, "bc", "y")]
    assert apply_edits(source, overlapping) == b"xc"


# ----------------------------------------------------------------------------- diff


def test_the_diff_is_one_that_patch_reads(tmp_path):
    report = check_text(tmp_path, "a.py", 'a = 1\nCerebras("llama3.1-8b")\n')
    (change,) = plan_changes(report)
    assert unified_diff(change) == (
        "--- a/a.py\n"
        "+++ b/a.py\n"
        "@@ -1,2 +1,2 @@\n"
        " a = 1\n"
        '-Cerebras("llama3.1-8b")\n'
        '+Cerebras("gpt-oss-120b")\n'
    )


def test_the_diff_tells_of_a_missing_newline(tmp_path):
    (change,) = plan_changes(check_text(tmp_path, "a.py", 'Cerebras("llama3.1-8b")'))
    assert unified_diff(change).count("\\ No newline at end of file\n") == 2


# ------------------------------------------------------------------------------ i/o


def test_mode_and_link_stay(tmp_path):
    path = tmp_path / "run.sh"
    path.write_text("export CEREBRAS_MODEL=llama3.1-8b\n")
    path.chmod(0o755)
    link = tmp_path / "link.sh"
    link.symlink_to(path)
    for change in plan_changes(check(link)):
        write_change(change)
    assert link.is_symlink()
    assert path.read_text() == "export CEREBRAS_MODEL=gpt-oss-120b\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_a_file_that_changed_since_is_left(tmp_path):
    (change,) = plan_changes(check_text(tmp_path, "a.py", 'Cerebras("llama3.1-8b")'))
    change.path.write_text("mine")
    with pytest.raises(FileChangedError, match=r"a\.py has changed since it was read"):
        write_change(change)
    assert change.path.read_text() == "mine"


def test_a_write_that_fails_leaves_the_file_and_nothing_else(tmp_path, monkeypatch):
    (change,) = plan_changes(check_text(tmp_path, "a.py", 'Cerebras("llama3.1-8b")'))

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_fix.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_change(change)
    assert list(tmp_path.iterdir()) == [change.path]
    assert change.path.read_text() == 'Cerebras("llama3.1-8b")'
