"""The description of the proxy is valid, whole, and needs nothing from elsewhere."""

from __future__ import annotations

import html.parser
import json
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.proxy import openapi
from langchain_cerebras_ext.proxy.models import ModelTable
from langchain_cerebras_ext.proxy.refusal import Refusal
from langchain_cerebras_ext.wire import types as wire

DOCUMENT: dict[str, Any] = json.loads(openapi.document())
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def check(value: Any, schema: str) -> None:
    """Raise where a value is not of a named shape."""
    registry = Registry().with_resource(
        "urn:proxy", Resource.from_contents(DOCUMENT, DRAFT202012)
    )
    pointer = {"$ref": f"urn:proxy#/components/schemas/{schema}"}
    Draft202012Validator(pointer, registry=registry).validate(value)


def refs_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        inner = set().union(*map(refs_in, value.values()))
        return inner | ({value["$ref"]} if "$ref" in value else set())
    if isinstance(value, list):
        return set().union(*map(refs_in, value))
    return set()


# -------------------------------------------------------------------------- the document


def test_it_describes_what_is_served() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == __version__
    assert set(OPERATIONS) == {
        "POST /v1/chat/completions",
        "POST /v1/completions",
        "GET /v1/models",
        "GET /v1/models/{model}",
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
    }


def test_every_reference_leads_to_a_shape_and_every_shape_is_in_use() -> None:
    names = {ref.removeprefix("#/components/schemas/") for ref in refs_in(DOCUMENT)}
    assert names == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_shape_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    shape = SCHEMAS[name]
    assert shape["description"]
    assert set(shape.get("required", ())) <= set(shape["properties"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_told_whole(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"].endswith(".")
    assert "200" in operation["responses"]
    for status, answer in operation["responses"].items():
        assert re.fullmatch(r"[2-5]\d\d", status)
        assert answer["description"].endswith(".")
    in_path = re.findall(r"{(\w+)}", name)
    parameters = operation.get("parameters", [])
    assert [one["name"] for one in parameters if one["in"] == "path"] == in_path
    is_guarded = "/v1/" in name
    assert ("security" in operation) == is_guarded
    if is_guarded:
        assert {"401", "429", "502", "504"} <= set(operation["responses"])


def test_names_of_operations_are_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


def test_the_shapes_of_the_wire_keep_keys_and_texts() -> None:
    shape = SCHEMAS["ChatRequest"]
    assert list(shape["properties"]) == list(wire.ChatRequest.__annotations__)
    assert shape["required"] == ["messages", "model"]
    assert shape["properties"]["temperature"] == {
        "type": ["number", "null"],
        "description": "0 to 2, default 1.",
    }
    assert shape["properties"]["tools"]["anyOf"][0] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Tool"},
    }


def test_examples_are_of_their_shapes() -> None:
    for name, schema in (
        ("POST /v1/chat/completions", "ChatRequest"),
        ("POST /v1/completions", "CompletionRequest"),
    ):
        content = OPERATIONS[name]["requestBody"]["content"]["application/json"]
        check(content["example"], schema)
    with pytest.raises(jsonschema.ValidationError):
        check({"model": "gpt-oss-120b"}, "ChatRequest")


def test_real_answers_are_of_their_shapes() -> None:
    chunk = {
        "id": "chatcmpl-1",
        "choices": [{"delta": {"content": "Hi", "role": "assistant"}, "index": 0}],
        "created": 1790000000,
        "model": "gpt-oss-120b",
        "system_fingerprint": "fp_1",
        "object": "chat.completion.chunk",
    }
    check(chunk, "ChatCompletionChunk")
    check({**chunk, "a_new_field": 1}, "ChatCompletionChunk")


def test_what_the_proxy_answers_by_itself_is_of_its_shapes() -> None:
    refusal = Refusal(404, "No.", code="model_retired", category="model_retired")
    check(json.loads(refusal.body()), "Error")

    names = SimpleNamespace(
        aliases={"fast": "gpt-oss-120b", "own": "my-org"},
        allowed_models=(),
        migrate_retired=False,
    )
    table = ModelTable(names)
    check(json.loads(table.list_view(None)), "ListedModels")
    check(json.loads(table.model_view("fast", None)), "ListedModel")
    check(json.loads(table.model_view("own", None)), "ListedModel")


# ------------------------------------------------------------------------------ the page

PAGE = openapi.page().decode()
_VOID = {"meta", "link", "br", "img"}


class Reader(html.parser.HTMLParser):
    """Reads a page strictly: what is opened is closed, in that order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), "an inline handler"
            assert name != "style", "an inline style, which the policy forbids"
            if name == "id":
                self.ids.append(str(value))
            elif name == "href":
                self.links.append(str(value))
            elif name in {"src", "srcset", "action", "data"}:
                self.loads.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing() -> None:
    read = Reader(PAGE)
    assert read.open == []
    assert read.loads == []
    assert len(set(read.ids)) == len(read.ids)
    for link in read.links:
        assert link == "openapi.json" or link.removeprefix("#") in read.ids
    assert "url(" not in PAGE
    assert "@import" not in PAGE
    assert re.findall(r"https?://[^\s<\"']+", PAGE) == ["http://localhost:8000"] * 2


def test_the_page_tells_of_every_operation_and_shape() -> None:
    for name in OPERATIONS:
        assert f"<code>{name.split()[1]}</code>" in PAGE
    for name in SCHEMAS:
        assert f'id="{name}"' in PAGE


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else() -> None:
    import base64
    import hashlib

    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in openapi.POLICY
    assert openapi.POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in openapi.POLICY
    openapi.POLICY.encode("ascii")


def test_it_is_made_without_what_the_proxy_does_without() -> None:
    code = (
        "import sys; from langchain_cerebras_ext.proxy import openapi; openapi.page();"
        "print([n for n in ('pydantic', 'langchain_core', 'openai', 'httpx', 'starlette')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_without_sources_the_shapes_have_no_texts(monkeypatch) -> None:
    """As where a program was frozen: the schemas themselves come from the types."""
    from langchain_cerebras_ext.proxy import _schemas

    def no_source(_: object) -> str:
        raise OSError

    monkeypatch.setattr(_schemas.inspect, "getsource", no_source)
    shape = _schemas.schemas_of(wire.Usage)["Usage"]
    assert shape["properties"]["prompt_tokens"] == {"type": ["integer", "null"]}
