"""What the proxy offers: an OpenAPI description, and a page of it for people.

The shapes of requests and answers come from `wire.types`. Both are made when somebody
asks for them first, and need nothing from anywhere else.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from typing import Any, Final

import msgspec

from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.proxy._schemas import schemas_of

__all__ = ["POLICY", "document", "page"]

_TITLE: Final = "Cerebras proxy"
_ABOUT: Final = (
    "Cerebras Inference for any OpenAI client. Requests and answers pass through "
    "unchanged, with fields and headers that the proxy does not know; only `model` is "
    "rewritten where an alias, the prefix `cerebras::` or a migration asks for it. "
    "Errors are in OpenAI's envelope."
)

_JSON: Final = "application/json"
_MSGPACK: Final = "application/vnd.msgpack"


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(text: str, schema: str, kind: str = _JSON, **more: Any) -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": _ref(schema)}}, **more}


_RETRY: Final = {
    "retry-after": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_REFUSALS: Final = {
    "400": _answer("The request cannot be read, or the upstream refuses it.", "Error"),
    "401": _answer("There is no key, or it is none of this proxy's.", "Error"),
    "403": _answer(
        "The model is not allowed here; or, without any key, another machine.", "Error"
    ),
    "404": _answer(
        "There is no such model; of one that has been retired, the successor is named.",
        "Error",
    ),
    "408": _answer("The body was not complete in time.", "Error"),
    "413": _answer("The body is too large.", "Error"),
    "415": _answer("The body's type or encoding is not supported.", "Error"),
    "429": _answer(
        "A limit is reached, the proxy's or the upstream's; `code` tells which.",
        "Error",
        headers=_RETRY,
    ),
    "502": _answer("The upstream cannot be reached, or its answer is none.", "Error"),
    "503": _answer("The upstream is down, or the proxy is ending.", "Error"),
    "504": _answer("The upstream did not answer in time.", "Error"),
}
_HEADERS: Final = {
    "x-request-id": {
        "description": "The proxy's id of the request, as in its log.",
        "schema": {"type": "string"},
    }
}
_TRACE: Final = [
    {
        "name": "traceparent",
        "in": "header",
        "description": "A W3C trace to continue.",
        "schema": {"type": "string"},
    },
    {
        "name": "content-encoding",
        "in": "header",
        "description": "`gzip` for a compressed body.",
        "schema": {"enum": ["gzip", "identity"]},
    },
]
_KEY: Final[list[dict[str, list[str]]]] = [{"key": []}, {}]


def _completion(
    name: str, summary: str, request: str, answer: str, chunk: str, example: Any
) -> dict[str, Any]:
    body = {"schema": _ref(request)}
    stream = f"With `stream`: one `data:` line of `{chunk}` an event, then `[DONE]`."
    told = _answer(f"The answer. {stream}", answer, headers=_HEADERS)
    told["content"]["text/event-stream"] = {"schema": _ref(chunk)}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["Completions"],
        "security": _KEY,
        "parameters": _TRACE,
        "requestBody": {
            "required": True,
            "content": {_JSON: {**body, "example": example}, _MSGPACK: body},
        },
        "responses": {"200": told, **_REFUSALS},
    }


def _get(
    name: str, summary: str, tag: str, answers: dict[str, Any], **more: Any
) -> dict[str, Any]:
    told = {"operationId": name, "summary": summary, "tags": [tag], **more}
    return {"get": {**told, "responses": answers}}


def _few(*statuses: str) -> dict[str, Any]:
    return {status: _REFUSALS[status] for status in statuses}


_HEALTHY: Final = _answer("It runs.", "Health")
_MODEL_ID: Final = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "An id, with or without `cerebras::`, or an alias.",
    "schema": {"type": "string"},
}


def _paths() -> dict[str, Any]:
    hello = {
        "model": "gpt-oss-120b",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
    }
    metrics = {
        "description": "Prometheus's text, or OpenMetrics where that is asked for.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    models = ("401", "403", "429", "502", "503", "504")
    return {
        "/v1/chat/completions": {
            "post": _completion(
                "createChatCompletion",
                "Answer a conversation, whole or as a stream.",
                "ChatRequest",
                "ChatCompletion",
                "ChatCompletionChunk",
                hello,
            )
        },
        "/v1/completions": {
            "post": _completion(
                "createCompletion",
                "Continue a text, whole or as a stream.",
                "CompletionRequest",
                "Completion",
                "CompletionChunk",
                {"model": "gpt-oss-120b", "prompt": "Once upon a time"},
            )
        },
        "/v1/models": _get(
            "listModels",
            "List the models that may be asked, with their lives and prices.",
            "Models",
            {"200": _answer("The models.", "ListedModels"), **_few(*models)},
            security=_KEY,
        ),
        "/v1/models/{model}": _get(
            "retrieveModel",
            "Describe one model.",
            "Models",
            {
                "200": _answer("The model.", "ListedModel"),
                **_few("401", "403", "404", "429", "502", "503", "504"),
            },
            security=_KEY,
            parameters=[_MODEL_ID],
        ),
        "/health": _get("health", "Tell that it runs.", "Health", {"200": _HEALTHY}),
        "/health/live": _get("live", "Tell that it runs.", "Health", {"200": _HEALTHY}),
        "/health/ready": _get(
            "ready",
            "Tell whether it takes requests.",
            "Health",
            {
                "200": _answer("It does.", "Health"),
                "503": _answer("It is ending; send no more.", "Health"),
            },
        ),
        "/metrics": _get(
            "metrics",
            "Requests, times, tokens and costs; on its own port if so set up.",
            "Metrics",
            {"200": metrics},
        ),
    }


# ------------------------------------------------------------------------- the shapes


def _text(description: str, *, null: bool = False) -> dict[str, Any]:
    return {
        "type": ["string", "null"] if null else "string",
        "description": description,
    }


def _object(description: str, required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "required": required,
        "properties": properties,
    }


def _own_shapes() -> dict[str, Any]:
    """Return the shapes that are the proxy's own."""
    day = {"type": ["string", "null"], "format": "date"}
    count = {"type": ["integer", "null"]}
    lifecycle = _object(
        "Where in its life the model is, by the catalog.",
        ["status", "deprecated_on", "sunset_on", "successor"],
        status=_text("Such as `active`, `deprecated` or `retired`."),
        deprecated_on={**day, "description": "When its end was told."},
        sunset_on={**day, "description": "The day of its end."},
        successor=_text("What to use in its place.", null=True),
    )
    pricing = _object(
        "USD for one token, as text so that no digit is lost.",
        ["prompt", "completion", "currency", "source", "as_of"],
        prompt=_text("A token of the prompt.", null=True),
        completion=_text("A token of the answer, reasoning included.", null=True),
        input_cache_read=_text("A token of the prompt from the cache.", null=True),
        discount=_text("What is taken off the list price, from 0 to 1.", null=True),
        currency={"const": "USD"},
        source=_text("Who said so.", null=True),
        as_of={**day, "description": "When it was seen there last."},
    )
    model = _object(
        "A model as OpenAI lists it, and what the catalog knows of it.",
        ["id", "object", "created", "owned_by"],
        id=_text("What to send as `model`."),
        object={"const": "model"},
        created={"type": "integer", "description": "Seconds since 1970; 0 unknown."},
        owned_by={"type": "string"},
        root=_text("Of an alias: the model that answers."),
        lifecycle={"anyOf": [_ref("Lifecycle"), {"type": "null"}]},
        pricing={"anyOf": [_ref("Pricing"), {"type": "null"}]},
        context_window={**count, "description": "Tokens of prompt and answer."},
        max_output_tokens={**count, "description": "Tokens of an answer."},
        capabilities={
            "type": ["object", "null"],
            "additionalProperties": {"type": "boolean"},
            "description": "What it is known to be able to do, or not to.",
        },
    )
    inner = _object(
        "What went wrong.",
        ["message", "type", "param", "code"],
        message=_text("In words: what was wrong, and what to do."),
        type=_text("The kind, such as `invalid_request_error`."),
        param=_text("What of the request it is about.", null=True),
        code=_text("For programs, such as `model_retired`.", null=True),
    )
    return {
        "Error": _object(
            "OpenAI's envelope; the fields beside it are for Cerebras's own clients.",
            ["error"],
            error=_ref("ErrorFields"),
            **{name: _text("As in `error`.") for name in inner["required"]},
        ),
        "ErrorFields": inner,
        "Health": _object("A state.", ["status"], status=_text("In a word.")),
        "Lifecycle": lifecycle,
        "Pricing": pricing,
        "ListedModel": model,
        "ListedModels": _object(
            "All models.",
            ["object", "data"],
            object={"const": "list"},
            data={"type": "array", "items": _ref("ListedModel")},
        ),
    }


def _shapes() -> dict[str, Any]:
    from langchain_cerebras_ext.wire import types as wire

    passed = schemas_of(
        wire.ChatRequest,
        wire.ChatCompletion,
        wire.ChatCompletionChunk,
        wire.CompletionRequest,
        wire.Completion,
        wire.CompletionChunk,
    )
    return dict(sorted({**passed, **_own_shapes()}.items()))


@cache
def _description() -> dict[str, Any]:
    key = {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of this proxy, where it asks for one; never Cerebras's.",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": __version__, "description": _ABOUT},
        "servers": [{"url": "."}],
        "paths": _paths(),
        "components": {"securitySchemes": {"key": key}, "schemas": _shapes()},
    }


@cache
def document() -> bytes:
    """Return the OpenAPI description, as JSON."""
    return msgspec.json.encode(_description())


# --------------------------------------------------------------------------- the page

_STYLE: Final = """
:root{color-scheme:light dark;--ground:#f6f5f2;--card:#fff;--ink:#22252b;--soft:#5d636e;
--line:#e3e1dc;--accent:#b5470f;--code:#f0eee9;--get:#2f7d5b;--post:#2f6db5}
@media(prefers-color-scheme:dark){:root{--ground:#15171b;--card:#1d2025;--ink:#e7e6e3;
--soft:#a4aab4;--line:#32363e;--accent:#f2945c;--code:#282c33;--get:#69c79d;
--post:#6aa5e8}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
main{max-width:52rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{margin:0;font-size:1.6rem}h1 small{font-weight:400;font-size:1rem;color:var(--soft)}
h2{margin:2.2rem 0 .6rem;font-size:1.15rem}h3{margin:1.1rem 0 .3rem;font-size:.95rem}
a{color:var(--accent)}
code,pre{font:.875em/1.5 ui-monospace,monospace;background:var(--code);
border-radius:4px}
code{padding:.1em .3em;overflow-wrap:anywhere}
pre{padding:.8rem;overflow-x:auto;margin:.5rem 0}pre code{padding:0;background:none}
details{background:var(--card);border:1px solid var(--line);border-radius:8px;
margin:.5rem 0}
summary{padding:.7rem .9rem;cursor:pointer;overflow-wrap:anywhere}
summary:focus-visible{outline:2px solid var(--accent);border-radius:8px}
summary b{display:inline-block;min-width:3.2rem;font:700 .8rem ui-monospace,monospace}
summary span{color:var(--soft);margin-left:.4rem}
.get{color:var(--get)}.post{color:var(--post)}
.in{padding:0 .9rem .9rem;border-top:1px solid var(--line)}
dl{margin:.3rem 0;display:grid;gap:.2rem 1rem;
grid-template-columns:minmax(9rem,auto) 1fr}
dt{overflow-wrap:anywhere}dd{margin:0 0 .35rem;min-width:0}
dd i{color:var(--soft);font-style:normal;font-size:.875rem;overflow-wrap:anywhere}
.must{color:var(--accent);font-size:.8rem}
@media(max-width:34rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}
summary span{display:block;margin:.15rem 0 0}}
"""

# Without it the examples name no host, and links to shapes do not open them.
_SCRIPT: Final = (
    'const here=new URL(".",location.href).href.slice(0,-1);'
    'for(const at of document.querySelectorAll(".here"))at.textContent=here;'
    "const show=()=>{const at=document.getElementById(location.hash.slice(1));"
    "if(at)at.open=true};show();addEventListener('hashchange',show)"
)

_CURL: Final = """\
curl HERE/v1/chat/completions \\
  -H "Authorization: Bearer $APE_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}'
"""
_PYTHON: Final = """\
from openai import OpenAI

client = OpenAI(base_url="HERE/v1", api_key="the proxy's key")
stream = client.chat.completions.create(
    model="gpt-oss-120b",
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="")
"""


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


POLICY: Final = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: it loads nothing."""


@cache
def page() -> bytes:
    """Return the description as a page that stands by itself."""
    told = _description()
    shapes: dict[str, Any] = told["components"]["schemas"]
    groups: dict[str, list[str]] = {}
    for path, item in told["paths"].items():
        for method, operation in item.items():
            card = _operation(method, path, operation, shapes)
            groups.setdefault(operation["tags"][0], []).append(card)
    cards = "".join(
        f"<h2>{escape(tag)}</h2>{''.join(found)}" for tag, found in groups.items()
    )
    named = "".join(_shape(name, shapes[name]) for name in shapes)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_TITLE}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{_TITLE} <small>{escape(__version__)}</small></h1>"
        f"<p>{_marked(_ABOUT)}</p>"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"<h2>First steps</h2>{_example('curl', _CURL)}{_example('Python', _PYTHON)}"
        f"{cards}<h2>Shapes</h2>{named}"
        f"</main><script>{_SCRIPT}</script></body></html>"
    ).encode()


def _marked(text: str) -> str:
    """Return a text with what stands in backticks as code."""
    parts = escape(text, quote=False).split("`")
    return "".join(
        f"<code>{part}</code>" if index % 2 else part
        for index, part in enumerate(parts)
    )


def _example(name: str, text: str) -> str:
    code = escape(text).replace(
        "HERE", '<span class="here">http://localhost:8000</span>'
    )
    return f"<h3>{name}</h3><pre><code>{code}</code></pre>"


def _operation(
    method: str, path: str, operation: dict[str, Any], shapes: dict[str, Any]
) -> str:
    parts: list[str] = []
    parameters = operation.get("parameters")
    if parameters:
        parts += ["<h3>Parameters</h3>", _fields(map(_parameter, parameters))]
    body = operation.get("requestBody")
    if body:
        name = body["content"][_JSON]["schema"]["$ref"].rpartition("/")[2]
        kinds = " or ".join(f"<code>{kind}</code>" for kind in body["content"])
        parts += [f"<h3>Body</h3><p>{kinds}</p>", _properties(shapes[name])]
    parts.append("<h3>Answers</h3>")
    parts.append(_fields(map(_response, operation["responses"].items())))
    return (
        f'<details><summary><b class="{method}">{method.upper()}</b> '
        f"<code>{escape(path)}</code><span>{_marked(operation['summary'])}</span>"
        f'</summary><div class="in">{"".join(parts)}</div></details>'
    )


def _shape(name: str, schema: dict[str, Any]) -> str:
    told = schema.get("description", "")
    return (
        f'<details id="{name}"><summary><code>{name}</code>'
        f'<span>{_marked(told)}</span></summary><div class="in">{_properties(schema)}'
        "</div></details>"
    )


def _properties(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    return _fields(
        (name, _kind(one), one.get("description", ""), name in required)
        for name, one in schema["properties"].items()
    )


def _parameter(one: dict[str, Any]) -> tuple[str, str, str, bool]:
    kind = f"{_kind(one['schema'])}, {escape(one['in'])}"
    return one["name"], kind, one["description"], one.get("required", False)


def _response(item: tuple[str, Any]) -> tuple[str, str, str, bool]:
    status, told = item
    kinds = [_kind(one["schema"]) for one in told["content"].values()]
    return status, " or ".join(kinds), told["description"], False


def _fields(rows: Any) -> str:
    """Return a list of names, kinds (as HTML), texts, and whether each must be."""
    lines = [
        f"<dt><code>{escape(name)}</code>"
        f"{' <span class=must>required</span>' if must else ''}</dt>"
        f"<dd>{_marked(text)} <i>{kind}</i></dd>"
        for name, kind, text, must in rows
    ]
    return f"<dl>{''.join(lines)}</dl>"


def _kind(schema: dict[str, Any]) -> str:
    """Return what a value is, in a few words of HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in values)
    kinds = schema.get("type", "anything")
    if kinds == "array":
        return f"array of {_kind(schema['items'])}"
    return kinds if isinstance(kinds, str) else " or ".join(kinds)
