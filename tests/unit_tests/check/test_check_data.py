"""Which ids count in JSON, YAML and TOML."""

from __future__ import annotations

import pytest
from check_helpers import check_text, names

COUNTS = {
    "json_provider": ("a.json", '{"provider": "cerebras", "model": "llama3.1-8b"}'),
    "json_key_above": ("a.json", '{"cerebras": {"a": {"model": "llama3.1-8b"}}}'),
    "json_prefix": ("a.json", '["cerebras/llama3.1-8b"]'),
    "json_provider_above": ("a.json", '{"base_url": "https://api.cerebras.ai/v1", "m": [{"id": "llama3.1-8b"}]}'),
    "json_name": ("a.json", '{"name": "Cerebras", "models": ["llama3.1-8b"]}'),
    "json_compatible": ("a.json", '{"type": "openai", "url": "https://api.cerebras.ai/v1", "model": "llama3.1-8b"}'),
    "json_key": ("a.json", '{"m": {"llama3.1-8b": {"provider": "cerebras"}}}'),
    "json_lines": ("a.jsonl", '{"a": 1}\n{"provider": "cerebras", "model": "llama3.1-8b"}\n'),
    "json_comments": ("a.jsonc", '{\n// x\n"cerebras": "llama3.1-8b", /* , */\n}'),
    "json_escapes": ("a.json", '{"x\\ty": "\\"", "cerebras": "llama3.1-8b"}'),
    "json_escaped_text": ("a.json", '{"cerebras": "run \\"--model\\" \\"llama3.1-8b\\""}'),
    "json_file_name": ("cerebras.json", '{"model": "llama3.1-8b"}'),
    "json_directory": ("cerebras/a.json", '{"model": "llama3.1-8b"}'),
    "json_neighbour_of_a_prefix": ("a.json", '{"list": "cerebras,llama3.1-8b"}'),
    "yaml_provider": ("a.yaml", "- provider: cerebras\n  model: llama3.1-8b\n"),
    "yaml_quoted": ("a.yaml", "cerebras:\n  model: 'llama3.1-8b'\n"),
    "yaml_flow": ("a.yaml", 'cerebras: {model: "llama3.1-8b"}\n'),
    "yaml_sequence": ("a.yml", "cerebras:\n- llama3.1-8b\n"),
    "yaml_variable": ("a.yml", "env:\n  CEREBRAS_MODEL: llama3.1-8b\n"),
    "yaml_variable_as_text": ("a.yml", "environment:\n  - CEREBRAS_MODEL=llama3.1-8b\n"),
    "yaml_variable_as_pair": ("a.yml", "- {name: CEREBRAS_MODEL, value: llama3.1-8b}\n"),
    "yaml_anchor": ("a.yml", "x: &c {provider: cerebras}\ny: {<<: *c, model: gpt-4}\nz: {cerebras: llama3.1-8b}\n"),
    "yaml_second_document": ("a.yml", "a: 1\n---\ncerebras: llama3.1-8b\n"),
    "yaml_block": ("a.yml", "run: |\n  app --model cerebras/llama3.1-8b\n"),
    "yaml_folded": ("a.yml", "run: >-\n  curl https://api.cerebras.ai/v1\n  -d '{\"model\": \"llama3.1-8b\"}'\n"),
    "yaml_arguments": ("a.yml", 'cerebras: ["--model", "llama3.1-8b"]\n'),
    "toml_section": ("a.toml", '[cerebras]\nmodel = "llama3.1-8b"\n'),
    "toml_dotted": ("a.toml", 'llm.cerebras.model = "llama3.1-8b"\n'),
    "toml_inline": ("a.toml", 'x = {provider = "cerebras", model = "llama3.1-8b"}\n'),
    "toml_array": ("a.toml", '[[m]]\nprovider = "cerebras"\nnames = [\n  "llama3.1-8b", # small\n]\n'),
    "toml_literal": ("a.toml", "[a.cerebras]\nm = 'llama3.1-8b'\n"),
    "toml_above": ("a.toml", 'provider = "cerebras"\n[chat]\nmodel = "llama3.1-8b"\n'),
}  # fmt: skip
DOES_NOT = {
    "json_nothing": ("a.json", '{"model": "llama3.1-8b"}'),
    "json_other": ("a.json", '{"cerebras": {"m": "x"}, "groq": {"m": "llama3.1-8b"}}'),
    "json_other_name": ("cerebras.json", '{"name": "ollama", "models": ["llama3.1-8b"]}'),
    "json_comment": ("a.jsonc", '{"cerebras": 1 // "llama3.1-8b"\n}'),
    "json_prose": ("a.json", '{"cerebras": "llama3.1-8b was small"}'),
    "json_title": ("a.json", '{"provider": "cerebras", "title": "llama3.1-8b"}'),
    "json_answer": ("a.json", '{"cerebras": {"model": "llama3.1-8b", "choices": [], "usage": {}}}'),
    "json_source": ("a.json", '{"cerebras": {"source": "https://api.cerebras.ai/public/v1/models/llama3.1-8b"}}'),
    "json_both": ("a.json", '{"about": "cerebras or groq", "model": "llama3.1-8b"}'),
    "yaml_comment": ("a.yaml", "cerebras: 1 # llama3.1-8b\n"),
    "yaml_comment_in_block": ("a.yaml", "run: |\n  # --model cerebras/llama3.1-8b\n  x\n"),
    "yaml_other": ("a.yaml", "cerebras: 1\nollama:\n  model: llama3.1-8b\n"),
    "yaml_alias_name": ("a.yaml", "model_name: llama3.1-8b\nlitellm_params:\n  model: cerebras/gpt-oss-120b\n"),
    "toml_comment": ("a.toml", '[cerebras]\nx = 1 # model = "llama3.1-8b"\n'),
    "toml_other": ("a.toml", '[cerebras]\nx = 1\n[ollama]\nmodel = "llama3.1-8b"\n'),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), COUNTS.values(), ids=COUNTS.keys())
def test_an_id_counts_where_something_says_cerebras(tmp_path, name, text):
    report = check_text(tmp_path, name, text)
    assert names_below(report, tmp_path) == ["llama3.1-8b"]
    assert report.unreadable == ()


@pytest.mark.parametrize(("name", "text"), DOES_NOT.values(), ids=DOES_NOT.keys())
def test_an_id_does_not_count(tmp_path, name, text):
    assert names_below(check_text(tmp_path, name, text), tmp_path) == []


def names_below(report, directory):
    """Check again from the top, since a directory's name tells too."""
    from check_helpers import check

    del report
    return names(check(directory))


def test_the_path_above_what_is_scanned_tells_nothing(tmp_path):
    root = tmp_path / "cerebras"
    assert names(check_text(root, "a.json", '{"model": "llama3.1-8b"}')) == []


PARAMETERS = {
    "yaml_disable": ("a.yml", "model: cerebras/gpt-oss-120b\ndisable_reasoning: true\n", ["disable_reasoning"]),
    "json_disable": ("a.json", '{"cerebras": {"extra_body": {"disable_reasoning": true}}}', ["disable_reasoning"]),
    "toml_disable": ("a.toml", "[cerebras]\ndisable_reasoning = true\n", ["disable_reasoning"]),
    "json_payload": ("a.json", '{"url": "https://api.cerebras.ai/v1", "body": {"messages": [], "max_tokens": 5}}', ["max_tokens"]),
    "json_limits": ("a.json", '{"url": "https://api.cerebras.ai/v1", "max_tokens": 5}', []),
    "yaml_gateway": ("a.yml", "model: cerebras/gpt-oss-120b\nmax_tokens: 5\n", []),
    "json_other": ("a.json", '{"provider": "groq", "disable_reasoning": true, "x": "cerebras"}', []),
    "json_value": ("a.json", '{"cerebras": "disable_reasoning"}', []),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "found"), PARAMETERS.values(), ids=PARAMETERS.keys()
)
def test_deprecated_parameters_count_as_keys_for_cerebras(tmp_path, name, text, found):
    assert names(check_text(tmp_path, name, text)) == found


BROKEN = {
    "json": ("a.json", '{"provider": "cerebras",\n"model": "llama3.1-8b",\n'),
    "yaml": ("a.yaml", "a: [\nprovider: cerebras\nmodel: llama3.1-8b\n"),
    "toml": ("a.toml", '[cerebras\nmodel = "llama3.1-8b"\n= =\nprovider = "cerebras"'),
}


@pytest.mark.parametrize(("name", "text"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_looked_through_all_the_same(tmp_path, name, text):
    report = check_text(tmp_path, name, text)
    assert names(report) == ["llama3.1-8b"]
    assert [one.path for one in report.unreadable] == [name]


def test_a_comma_at_the_end_is_no_reason_to_complain(tmp_path):
    text = '{"a": [1, 2,], "s": "x,]", /* ,} */ "cerebras": "llama3.1-8b",\n // c\n}'
    report = check_text(tmp_path, "a.json", text)
    assert names(report) == ["llama3.1-8b"]
    assert report.unreadable == ()
    finding = report.findings[0]
    assert text[finding.column - 1 :].startswith("llama3.1-8b")
