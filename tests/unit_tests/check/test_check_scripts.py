"""Which ids count in JavaScript, TypeScript and shell scripts."""

from __future__ import annotations

import pytest
from check_helpers import check_text, names

SCRIPTS = {
    "call": "cerebras('llama3.1-8b')",
    "method": 'cerebras.chat("llama3.1-8b")',
    "new": "new ChatCerebras({ model: 'llama3.1-8b' })",
    "provider": "const a = createCerebras({});\na('llama3.1-8b')",
    "provider_by_address": "const a = createOpenAI({ baseURL: 'https://api.cerebras.ai/v1' });\na('llama3.1-8b')",
    "client": "const c = new Cerebras();\nawait c.chat.completions.create({ model: 'llama3.1-8b' })",
    "client_field": "class A {\n  private c = new Cerebras();\n  f() { return this.c.chat({ model: 'llama3.1-8b' }) }\n}",
    "client_assigned": "class A {\n  constructor() { this.c = new Cerebras() }\n  f() { return this.c.chat({ model: 'llama3.1-8b' }) }\n}",
    "address_constant": "const URL = 'https://api.cerebras.ai/v1';\nfetch(`${URL}/chat`, { body: JSON.stringify({ model: 'llama3.1-8b' }) })",
    "variable": "const cerebrasModel = 'llama3.1-8b'",
    "assigned": "config.cerebras.model = 'llama3.1-8b'",
    "environment": "const m = process.env.CEREBRAS_MODEL ?? 'llama3.1-8b'",
    "environment_or": "const m = process.env.CEREBRAS_MODEL || 'llama3.1-8b'",
    "key_above": "export default { providers: { cerebras: { models: ['llama3.1-8b'] } } }",
    "neighbour": "const m = { provider: 'cerebras', id: 'llama3.1-8b' }",
    "later_use": "const M = 'llama3.1-8b';\ncerebras(M)",
    "template": "const p = 'cerebras';\nuse(`${p}/llama3.1-8b`)",
    "template_literal": "use(`cerebras/llama3.1-8b`)",
    "sum": "use('cerebras/' + 'llama3.1-8b')",
    "attribute": "const a = <Cerebras model='llama3.1-8b' />",
    "attribute_neighbour": "const a = <Chat provider='cerebras' model={'llama3.1-8b'} />",
    "ternary": "const m = provider === 'cerebras' ? 'llama3.1-8b' : 'gpt-4'",
    "branch": "if (provider === 'cerebras') { m = 'llama3.1-8b' }",
    "case": "switch (p) { case 'cerebras': m = 'llama3.1-8b'; break }",
    "argument_default": "function f(cerebrasModel = 'llama3.1-8b') {}",
    "destructured": "const { cerebrasModel = 'llama3.1-8b' } = options",
    "class_name": "class CerebrasProvider { m = 'llama3.1-8b' }",
    "import": "import { x } from '@ai-sdk/cerebras';\nexport const M = 'llama3.1-8b'",
    "require": "const x = require('@cerebras/cerebras_cloud_sdk');\nexports.m = 'llama3.1-8b'",
    "type": "type CerebrasId = 'llama3.1-8b' | 'x'",
    "enum": "enum CerebrasModel { Small = 'llama3.1-8b' }",
    "as_const": "const M = ['llama3.1-8b'] as const;\nM.map((m) => cerebras(m));\ncerebras(M)",
    "item": "cerebrasLimits['llama3.1-8b'] = 1",
    "shorthand": "const provider = 'cerebras';\nrun({ provider, model: 'llama3.1-8b' })",
    "spread": "run({ ...cerebrasDefaults, model: 'llama3.1-8b' })",
    "nested_neighbour": "run({ llm: { provider: 'cerebras' }, model: 'llama3.1-8b' })",
    "pair": "run(['cerebras', 'llama3.1-8b'])",
    "key": "const m = { 'llama3.1-8b': { provider: 'cerebras' } }",
    "made_by_a_call": "getCerebras().chat('llama3.1-8b')",
    "field_used_later": "class A { m = 'llama3.1-8b'; f() { cerebras(this.m) } }",
    "assigned_and_used_later": "let m; m = 'llama3.1-8b'; cerebras(m)",
    "argument_used_later": "function f(m: string = 'llama3.1-8b') { return cerebras(m) }",
    "text": "run('app --model cerebras/llama3.1-8b')",
}  # fmt: skip
NO_SCRIPTS = {
    "nothing": "const m = 'llama3.1-8b'",
    "comment": "import '@ai-sdk/cerebras'; // 'llama3.1-8b'",
    "block_comment": "import '@ai-sdk/cerebras';\n/* model: 'llama3.1-8b' */",
    "text_of_an_element": "const a = <p>Don't use cerebras/llama3.1-8b, it's gone</p>",
    "other_call": "import '@ai-sdk/cerebras';\ngroq('llama3.1-8b')",
    "other_key": "const m = { cerebras: 'x', ollama: 'llama3.1-8b' }",
    "other_branch": "if (p === 'cerebras') { a() } else { m = 'llama3.1-8b' }",
    "other_side": "const m = p === 'cerebras' ? 'x' : 'llama3.1-8b'",
    "longer": "cerebras('llama3.1-8b-instruct')",
    "longer_by_a_value": "cerebras(`llama3.1-8b${size}`)",
    "gpt_4": "cerebras('gpt-4')",
    "module": "import x from 'cerebras/llama3.1-8b'",
    "regular_expression": "import '@ai-sdk/cerebras'; const r = /llama3.1-8b/",
    "prose": "cerebras(x, 'llama3.1-8b is small')",
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["tsx", "ts"])
@pytest.mark.parametrize("code", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_an_id_counts_where_something_says_cerebras(tmp_path, code, suffix):
    if "<C" in code and suffix == "ts":
        suffix = "js"  # elements are none of plain TypeScript
    assert names(check_text(tmp_path, f"a.{suffix}", code)) == ["llama3.1-8b"]


@pytest.mark.parametrize("code", NO_SCRIPTS.values(), ids=NO_SCRIPTS.keys())
def test_an_id_does_not_count(tmp_path, code):
    assert names(check_text(tmp_path, "a.tsx", code)) == []


def test_type_assertions_are_read_in_typescript(tmp_path):
    code = "const c = <Client>new Cerebras();\nc.chat({ model: 'llama3.1-8b' })"
    report = check_text(tmp_path, "a.ts", code)
    assert names(report) == ["llama3.1-8b"]
    assert report.unreadable == ()


SCRIPT_PARAMETERS = {
    "body": ("fetch('https://api.cerebras.ai/v1', { body: { messages: [], max_tokens: 5 } })", ["max_tokens"]),
    "quoted": ("const c = new Cerebras();\nc.x({ 'disable_reasoning': true })", ["disable_reasoning"]),
    "text": ("fetch('https://api.cerebras.ai/v1', '{\"messages\": [], \"max_tokens\": 5}')", ["max_tokens"]),
    "limits": ("const cerebras = { max_tokens: 5 }", []),
    "camel_case": ("const c = new Cerebras();\nc.x({ messages: [], maxTokens: 5 })", []),
    "other_model": ("import '@ai-sdk/cerebras';\nc.x({ model: 'gpt-4', messages: [], max_tokens: 5 })", []),
    "handed_on": ("const c = new Cerebras();\nc.x({ disable_reasoning: options.disable_reasoning })", []),
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "found"), SCRIPT_PARAMETERS.values(), ids=SCRIPT_PARAMETERS.keys()
)
def test_deprecated_parameters_count_in_bodies(tmp_path, code, found):
    assert names(check_text(tmp_path, "a.ts", code)) == found


SHELL = {
    "variable": "CEREBRAS_MODEL=llama3.1-8b",
    "exported": "export CEREBRAS_MODEL='llama3.1-8b'",
    "before_a_command": "CEREBRAS_MODEL=llama3.1-8b app",
    "default": 'M="${CEREBRAS_MODEL:-llama3.1-8b}"',
    "prefix": "app -m cerebras/llama3.1-8b",
    "joined_option": "app --model=cerebras/llama3.1-8b",
    "beside": "app --provider cerebras --model llama3.1-8b",
    "command": "cerebras run llama3.1-8b",
    "body": "curl https://api.cerebras.ai/v1 -d '{\"model\": \"llama3.1-8b\"}'",
    "escaped_body": 'curl https://api.cerebras.ai/v1 -d "{\\"model\\": \\"llama3.1-8b\\"}"',
    "here_document": 'curl https://api.cerebras.ai/v1 -d @- <<EOF\n{"model": "llama3.1-8b"}\nEOF\n',
    "array": "CEREBRAS_MODELS=(gpt-4 llama3.1-8b)",
    "joined_provider": "app --provider=cerebras --model llama3.1-8b",
    "case": 'case "$CEREBRAS_MODEL" in x) M=cerebras/llama3.1-8b;; esac',
    "function": "ask_cerebras() { ask llama3.1-8b; }",
    "put_together": 'app --model "$PROVIDER"/llama3.1-8b --provider cerebras',
}  # fmt: skip
NO_SHELL = {
    "comment": "app # --model cerebras/llama3.1-8b",
    "other": "CEREBRAS_MODEL=x\nollama run llama3.1-8b",
    "echo": 'echo "cerebras: llama3.1-8b is gone"',
    "other_variable": "CEREBRAS_MODEL=x GROQ_MODEL=llama3.1-8b app",
    "file": "ls cerebras/llama3.1-8b.txt",
}


@pytest.mark.parametrize("code", SHELL.values(), ids=SHELL.keys())
def test_an_id_counts_in_a_shell_script(tmp_path, code):
    assert names(check_text(tmp_path, "a.sh", code)) == ["llama3.1-8b"]


@pytest.mark.parametrize("code", NO_SHELL.values(), ids=NO_SHELL.keys())
def test_an_id_does_not_count_in_a_shell_script(tmp_path, code):
    assert names(check_text(tmp_path, "a.sh", code)) == []


def test_a_script_without_a_suffix_is_known_by_its_first_line(tmp_path):
    code = "#!/usr/bin/env bash\nexport CEREBRAS_MODEL=llama3.1-8b\n"
    assert names(check_text(tmp_path, "run", code)) == ["llama3.1-8b"]
    other = check_text(tmp_path, "other", code.removeprefix("#!"))
    assert other.skipped == {"other kind": 1}


BROKEN = {
    "script": ("a.js", "const a = {{{\nconst cerebras = 'llama3.1-8b';\n((\n"),
    "shell": ("a.sh", "if [ x\nCEREBRAS_MODEL=llama3.1-8b\ncase (((\n"),
}


@pytest.mark.parametrize(("name", "code"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_script_is_looked_through_all_the_same(tmp_path, name, code):
    report = check_text(tmp_path, name, code)
    assert names(report) == ["llama3.1-8b"]
    assert [one.path for one in report.unreadable] == [name]
