"""Which ids count in Python code."""

from __future__ import annotations

import pytest
from check_helpers import check_text, names

SHARED = "llama3.1-8b"
OWN = "qwen-3-coder-480b"

COUNTS = {
    "call": 'ChatCerebras(model="llama3.1-8b")',
    "positional": 'ChatCerebras("llama3.1-8b")',
    "module": 'import cerebras_sdk as c\nc.Client(model="llama3.1-8b")',
    "alias": "from cerebras.cloud.sdk import Cerebras as C\nC().run(model='llama3.1-8b')",
    "init_chat_model": 'init_chat_model("cerebras:llama3.1-8b")',
    "two_colons": 'route("cerebras::llama3.1-8b")',
    "slash": 'completion("cerebras/llama3.1-8b")',
    "gateway": 'completion("gateway/cerebras/llama3.1-8b")',
    "provider_argument": 'LLM(provider="cerebras", model="llama3.1-8b")',
    "base_url_argument": 'OpenAI(model="llama3.1-8b", base_url="https://api.cerebras.ai/v1")',
    "base_url_constant": 'URL = "https://api.cerebras.ai/v1"\nOpenAI(model="llama3.1-8b", base_url=URL)',
    "client_variable": 'c = OpenAI(base_url="https://api.cerebras.ai")\nc.create(model="llama3.1-8b")',
    "client_attribute": 'class A:\n    def __init__(self):\n        self.c = Cerebras()\n    def f(self):\n        self.c.chat(model="llama3.1-8b")',
    "client_function": 'def get():\n    return Cerebras()\nget().chat.create(model="llama3.1-8b")',
    "client_awaited": 'async def f():\n    (await Cerebras.make()).chat(model="llama3.1-8b")',
    "with": 'with Cerebras() as c:\n    c.chat(model="llama3.1-8b")',
    "walrus": 'if (cerebras_model := "llama3.1-8b"):\n    pass',
    "variable_name": 'CEREBRAS_MODEL = "llama3.1-8b"',
    "annotated": 'cerebras_model: str = "llama3.1-8b"',
    "environment_default": 'os.getenv("CEREBRAS_MODEL", "llama3.1-8b")',
    "or_default": 'x = os.environ.get("CEREBRAS_MODEL") or "llama3.1-8b"',
    "later_use": 'M = "llama3.1-8b"\nChatCerebras(model=M)',
    "later_use_in_f_string": 'M = "llama3.1-8b"\nuse(f"cerebras/{M}")',
    "later_use_through_a_field": 'class S:\n    m: str = Field(default="llama3.1-8b")\nChatCerebras(model=m)',
    "loop": 'for m in ["llama3.1-8b"]:\n    ChatCerebras(model=m)',
    "loop_over_a_constant": 'MS = ("llama3.1-8b",)\nfor m in MS:\n    ChatCerebras(model=m)',
    "comprehension": 'x = [ChatCerebras(model=m) for m in ["llama3.1-8b"]]',
    "argument_default": 'def f(model="llama3.1-8b"):\n    return ChatCerebras(model=model)',
    "keyword_only_default": 'def f(*, cerebras_model="llama3.1-8b"): ...',
    "dict_key": 'D = {"cerebras": "llama3.1-8b", "groq": "x"}',
    "dict_neighbour": 'D = {"provider": "cerebras", "model": "llama3.1-8b"}',
    "dict_nested": 'D = {"cerebras": {"models": ["llama3.1-8b"]}}',
    "dict_item": 'D["cerebras"] = "llama3.1-8b"',
    "pair": 'use(("cerebras", "llama3.1-8b"))',
    "f_string": 'P = "cerebras"\nuse(f"{P}/llama3.1-8b")',
    "f_string_literal": 'use(f"{x} --model cerebras/llama3.1-8b {y}")',
    "percent": 'use("%s/llama3.1-8b" % "cerebras")',
    "sum": 'use("cerebras/" + "llama3.1-8b")',
    "sum_of_parts": 'use("cerebras/" + "llama3.1" + "-8b")',
    "implicit_sum": 'use("cerebras/"\n    "llama3.1-8b")',
    "format": 'use("{}/llama3.1-8b".format("cerebras"))',
    "conditional": 'm = "llama3.1-8b" if provider == "cerebras" else "x"',
    "branch": 'if p == "cerebras":\n    m = "llama3.1-8b"',
    "branch_on_a_choice": 'p = pick("Cerebras", "Fireworks")\nif p == "Cerebras":\n    m = "llama3.1-8b"',
    "case": 'match p:\n    case "cerebras":\n        m = "llama3.1-8b"',
    "index_of_a_call": 'get_cerebras()["llama3.1-8b"]',
    "dict_without_a_key": 'D = {**base, "cerebras": "llama3.1-8b"}',
    "async_loop": 'async def f():\n    async for m in ["llama3.1-8b"]:\n        Cerebras(m)',
    "annotation_with_a_default": 'def f(m: str = Option("llama3.1-8b")):\n    Cerebras(m)',
    "option_used_later": 'p.add_argument("-m", "--big-model", default="llama3.1-8b")\nCerebrasEngine(args.big_model)',
    "class_attribute_used_later": 'class A:\n    m = "llama3.1-8b"\n    def f(self):\n        ChatCerebras(self.m)',
    "option": 'parser.add_argument("--cerebras-model", default="llama3.1-8b")',
    "list_in_text": 'CEREBRAS = "llama3.1-8b,gpt-4"',
    "command_in_text": 'run("aider --model cerebras/llama3.1-8b")',
    "body_in_text": "post('https://api.cerebras.ai', '{\"model\": \"llama3.1-8b\"}')",
    "code_in_text": 'CODE = """\nllm = ChatCerebras(model="llama3.1-8b")\n"""',
    "class_name": 'class CerebrasProvider:\n    default = "llama3.1-8b"',
    "file_import": 'import langchain_cerebras\nMODEL = "llama3.1-8b"',
    "subscript": 'cerebras_limits["llama3.1-8b"]',
    "literal_type": 'CerebrasModel = Literal["llama3.1-8b"]',
}  # fmt: skip

DOES_NOT = {
    "surrogate": 'x = "\\ud800 llama3.1-8b"\nimport cerebras',
    "ambiguous_name": 'groq_or_cerebras = "llama3.1-8b"',
    "ambiguous_neighbours": 'f("cerebras", fallback="groq", model="llama3.1-8b")',
    "nothing_near": 'MODEL = "llama3.1-8b"',
    "comment": 'import langchain_cerebras  # model="llama3.1-8b"',
    "docstring": '"""ChatCerebras(model="llama3.1-8b")"""\nimport langchain_cerebras',
    "string_statement": 'import langchain_cerebras\n"cerebras/llama3.1-8b"',
    "other_call": 'import langchain_cerebras\nChatGroq(model="llama3.1-8b")',
    "other_variable": 'import langchain_cerebras\nOLLAMA_MODEL = "llama3.1-8b"',
    "other_environment": 'import langchain_cerebras\nos.getenv("GROQ_MODEL", "llama3.1-8b")',
    "other_key": 'D = {"cerebras": "gpt-oss-120b", "ollama": "llama3.1-8b"}',
    "other_neighbour": 'D = {"provider": "together", "model": "llama3.1-8b"}\nCEREBRAS = 1',
    "other_prefix": 'import langchain_cerebras\nuse("snowflake/llama3.1-8b")',
    "other_branch": 'if p == "cerebras":\n    m = "gpt-oss-120b"\nelif p == "ollama":\n    m = "llama3.1-8b"',
    "else_branch": 'if p == "cerebras":\n    m = "gpt-oss-120b"\nelse:\n    m = "llama3.1-8b"',
    "other_client": 'import langchain_cerebras\nc = Groq()\nc.create(model="llama3.1-8b")',
    "two_providers_imported": 'import langchain_cerebras, langchain_groq\nMODEL = "llama3.1-8b"',
    "longer": 'ChatCerebras(model="llama3.1-8b-instruct")',
    "longer_before": 'ChatCerebras(model="my-llama3.1-8b")',
    "longer_by_a_dot": 'ChatCerebras(model="llama3.1-8b.gguf")',
    "longer_by_a_tag": 'ChatCerebras(model="llama3.1-8b:free")',
    "longer_by_a_field": 'ChatCerebras(model=f"llama3.1-8b{size}")',
    "other_case": 'ChatCerebras(model="Llama3.1-8B")',
    "served": 'ChatCerebras(model="gpt-oss-120b")',
    "gpt_4": 'ChatCerebras(model="gpt-4")',
    "prose": 'ChatCerebras(help="We like llama3.1-8b a lot.")',
    "prose_after_colon": 'log("cerebras: llama3.1-8b is slow today")',
    "address_of_others": 'CEREBRAS = "https://example.net/llama3.1-8b"',
    "title": 'Cerebras(title="llama3.1-8b", model="gpt-oss-120b")',
    "history": 'RETIRED_CEREBRAS = ["llama3.1-8b"]',
    "history_neighbour": 'D = {"cerebras": 1, "id": "llama3.1-8b", "deprecated": True}',
}  # fmt: skip


@pytest.mark.parametrize("code", COUNTS.values(), ids=COUNTS.keys())
def test_an_id_counts_where_something_says_cerebras(tmp_path, code):
    assert names(check_text(tmp_path, "a.py", code)) == [SHARED]


@pytest.mark.parametrize("code", DOES_NOT.values(), ids=DOES_NOT.keys())
def test_an_id_does_not_count(tmp_path, code):
    assert names(check_text(tmp_path, "a.py", code)) == []


OWN_COUNTS = {
    "bare": 'm = "qwen-3-coder-480b"',
    "keyed": 'm = {"model": "qwen-3-coder-480b"}',
    "compatible_prefix": 'm = "openai/qwen-3-coder-480b"',
    "path": 'm = "models/qwen-3-coder-480b"',
    "placeholder": 'm = f"{p}/qwen-3-coder-480b"',
    "list": 'm = "qwen-3-coder-480b, gpt-4"',
}
OWN_DOES_NOT = {
    "prose": 'm = "Try qwen-3-coder-480b instead"',
    "other": 'openrouter_model = "qwen-3-coder-480b"',
    "other_prefix": 'm = "qwen/qwen-3-coder-480b"',
    "longer": 'm = "qwen-3-coder-480b-instruct"',
    "comment": '# m = "qwen-3-coder-480b"',
    "history": 'MIGRATIONS = {"qwen-3-coder-480b": "gpt-oss-120b"}',
}


@pytest.mark.parametrize("code", OWN_COUNTS.values(), ids=OWN_COUNTS.keys())
def test_an_id_of_cerebras_only_counts_by_itself(tmp_path, code):
    assert names(check_text(tmp_path, "a.py", code)) == [OWN]


@pytest.mark.parametrize("code", OWN_DOES_NOT.values(), ids=OWN_DOES_NOT.keys())
def test_an_id_of_cerebras_only_does_not_count(tmp_path, code):
    assert names(check_text(tmp_path, "a.py", code)) == []


PLACES = {
    "plain": ('x = Cerebras("llama3.1-8b")', (1, 15)),
    "after_wide_characters": ('x = "Grüße 👋", Cerebras("llama3.1-8b")', (1, 26)),
    "triple_quotes": ('x = Cerebras("""llama3.1-8b""")', (1, 17)),
    "raw_string": ('x = Cerebras(r"llama3.1-8b")', (1, 16)),
    "prefix": ('x = "cerebras/llama3.1-8b"', (1, 15)),
    "second_line": ('x = Cerebras(\n    model="llama3.1-8b")', (2, 12)),
    "old_mac_lines": ('x = 1\ry = Cerebras("llama3.1-8b")', (2, 15)),
    "form_feed": ('x = 1\n\x0cy = Cerebras("llama3.1-8b")', (2, 16)),
    "line_separator": ('x = "\u2028"\ny = Cerebras("llama3.1-8b")', (2, 15)),
    "f_string": ('x = f"{y} --model=cerebras/llama3.1-8b {y}"', (1, 28)),
    "within_a_text_of_windows": (
        'x = """\r\n# no\r\n--model cerebras/llama3.1-8b\r\n"""\r\n',
        (3, 18),
    ),
    "within_a_text": ('x = """\n# no\n--model cerebras/llama3.1-8b\n"""', (3, 18)),
}


@pytest.mark.parametrize(("code", "place"), PLACES.values(), ids=PLACES.keys())
def test_line_and_column_are_those_of_the_id(tmp_path, code, place):
    (finding,) = check_text(tmp_path, "a.py", code).findings
    assert (finding.line, finding.column) == place
    assert (finding.end_line, finding.end_column) == (place[0], place[1] + len(SHARED))
    assert finding.edits


def test_an_escaped_id_is_found_but_not_rewritten(tmp_path):
    code = 'x = Cerebras("\\x6clama3.1-8b", old="llama3.1-8b")'
    escaped, plain = check_text(tmp_path, "a.py", code).findings
    assert escaped.keep
    assert not escaped.edits
    assert plain.edits


PARAMETERS = {
    "class": "ChatCerebras(disable_reasoning=True)",
    "body": 'c = Cerebras()\nc.create(extra_body={"disable_reasoning": True})',
    "item": 'cerebras_body["disable_reasoning"] = True',
    "chat": "c = Cerebras()\nc.chat.completions.create(messages=[], max_tokens=5)",
    "payload": 'b = {"messages": [], "max_tokens": 5}\npost("https://api.cerebras.ai/v1", json=b)',
    "text": "post('https://api.cerebras.ai', '{\"messages\": [], \"max_tokens\": 5}')",
}  # fmt: skip
NO_PARAMETERS = {
    "langchain": "ChatCerebras(max_tokens=5)",
    "gateway": 'litellm.completion(model="cerebras/gpt-oss-120b", messages=[], max_tokens=5)',
    "other": "c = Groq()\nc.chat.completions.create(messages=[], max_tokens=5)",
    "other_model": 'import cerebras\nc.chat.completions.create(model="gpt-4", max_tokens=5)',
    "limits": 'CEREBRAS = {"name": "gpt-oss-120b", "max_tokens": 40960}',
    "wrapper": "Cerebras().chat(disable_reasoning=self.disable_reasoning)",
    "completions": 'c = Cerebras()\nc.completions.create(prompt="", max_tokens=5)',
    "elsewhere": "Other(disable_reasoning=True)",
    "definition": "import cerebras\ndef f(disable_reasoning=True): ...",
}


@pytest.mark.parametrize("code", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_a_deprecated_parameter_counts_in_a_request_to_cerebras(tmp_path, code):
    (finding,) = check_text(tmp_path, "a.py", code).findings
    assert finding.name in {"disable_reasoning", "max_tokens"}


@pytest.mark.parametrize("code", NO_PARAMETERS.values(), ids=NO_PARAMETERS.keys())
def test_the_same_word_elsewhere_does_not_count(tmp_path, code):
    assert names(check_text(tmp_path, "a.py", code)) == []


def test_broken_code_is_looked_through_as_text(tmp_path):
    code = (
        'def f(:\nx = ChatCerebras(model="llama3.1-8b")\n# y = "cerebras/qwen-3-32b"\n'
    )
    report = check_text(tmp_path, "a.py", code)
    assert names(report) == [SHARED]
    assert report.unreadable[0].reason.startswith("not Python: ")
    assert report.unreadable[0].looked_through


def test_warnings_of_the_compiler_are_not_shown(tmp_path, recwarn):
    check_text(tmp_path, "a.py", 'Cerebras("llama3.1-8b"); x = "\\d" is "y"')
    assert not recwarn.list
