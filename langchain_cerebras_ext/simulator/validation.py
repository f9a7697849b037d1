"""Which requests the service refuses, and in which words.

The schema of the service is closed: a key that it does not know is an error, at the
top and inside messages. Where no recording shows a text, ours is in the same style.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_cerebras_ext.simulator import faults
from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_list,
    as_object,
    content_text,
    fields_of,
    is_integer,
    is_number,
    items_of,
)
from langchain_cerebras_ext.simulator.faults import RefusedError
from langchain_cerebras_ext.simulator.images import ImageError, decode_image
from langchain_cerebras_ext.simulator.schema_rules import strict_problems

if TYPE_CHECKING:
    from langchain_cerebras_ext.simulator.profiles import ModelProfile

Rule: TypeAlias = Callable[[Any], str | None]
"""Says what is wrong with a value, None if nothing is."""

EFFORTS = ("none", "low", "medium", "high")
FORMATS = ("none", "parsed", "text_parsed", "raw", "hidden")
TIERS = ("auto", "default", "flex", "priority")
LOGIT_BIAS_MAX = 100
CHOICES_MAX = 128
STOPS_MAX = 4
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN_ID = re.compile(r"\d+")


# ------------------------------------------------------------------------- plain rules


def _number(low: float, high: float) -> Rule:
    def rule(value: Any) -> str | None:
        if not is_number(value):
            return f"must be a number, not {_kind(value)}"
        if not low <= value <= high:
            return f"{value} is out of range: {low:g} to {high:g}"
        return None

    return rule


def _integer(low: int, high: int | None = None) -> Rule:
    def rule(value: Any) -> str | None:
        if not is_integer(value):
            return f"must be an integer, not {_kind(value)}"
        if value < low or (high is not None and value > high):
            span = f"at least {low}" if high is None else f"{low} to {high}"
            return f"{value} is out of range: {span}"
        return None

    return rule


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"must be a boolean, not {_kind(value)}"


def _string(longest: int | None = None) -> Rule:
    def rule(value: Any) -> str | None:
        if not isinstance(value, str):
            return f"must be a string, not {_kind(value)}"
        if longest is not None and len(value) > longest:
            return f"is {len(value)} characters long: the limit is {longest}"
        return None

    return rule


def _one_of(*allowed: str) -> Rule:
    def rule(value: Any) -> str | None:
        if value in allowed and isinstance(value, str):
            return None
        return f"{value!r} is not one of {', '.join(allowed)}"

    return rule


def _object(value: Any) -> str | None:
    found = as_object(value)
    return f"must be an object, not {_kind(value)}" if found is None else None


def _array(value: Any) -> str | None:
    return f"must be an array, not {_kind(value)}" if as_list(value) is None else None


def _any(_: Any) -> str | None:
    return None


def _stop(value: Any) -> str | None:
    texts = [value] if isinstance(value, str) else as_list(value)
    if texts is None or not all(isinstance(text, str) for text in texts):
        return "must be a string or an array of strings"
    if len(texts) > STOPS_MAX:
        return f"has {len(texts)} stop sequences: the limit is {STOPS_MAX}"
    return None


def _logit_bias(value: Any) -> str | None:
    bias = as_object(value)
    if bias is None:
        return f"must be an object, not {_kind(value)}"
    if len(bias) > LOGIT_BIAS_MAX:
        return f"has {len(bias)} entries: the limit is {LOGIT_BIAS_MAX}"
    for token, weight in bias.items():
        if not _TOKEN_ID.fullmatch(token):
            return f"{token!r} is no token id"
        wrong = _number(-100, 100)(weight)
        if wrong:
            return f"of token {token}: {wrong}"
    return None


def _kind(value: Any) -> str:
    """Name a JSON value's type."""
    if value is None:
        return "null"
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
    ):
        if isinstance(value, kind):
            return name
    return "object"


_SHARED: dict[str, Rule] = {
    "frequency_penalty": _number(-2, 2),
    "logit_bias": _logit_bias,
    "max_tokens": _integer(-1),
    "min_tokens": _integer(-1),
    "model": _string(),
    "n": _integer(1, CHOICES_MAX),
    "presence_penalty": _number(-2, 2),
    "prompt_cache_key": _string(1_024),
    "reasoning_format": _one_of(*FORMATS),
    "seed": _integer(-(2**63), 2**63 - 1),
    "stop": _stop,
    "stream": _boolean,
    "stream_options": _object,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "user": _string(),
}
_CHAT: dict[str, Rule] = {
    **_SHARED,
    "clear_thinking": _boolean,
    "logprobs": _boolean,
    "max_completion_tokens": _integer(-1),
    "messages": _array,
    "min_completion_tokens": _integer(-1),
    "model_parameters": _object,
    "parallel_tool_calls": _boolean,
    "prediction": _object,
    "reasoning_effort": _one_of(*EFFORTS),
    "response_format": _object,
    "service_tier": _one_of(*TIERS),
    "tool_choice": _any,
    "tools": _array,
    "top_logprobs": _integer(0, 20),
}
_TEXT: dict[str, Rule] = {
    **_SHARED,
    "best_of": _integer(0, 20),
    "echo": _boolean,
    "grammar_root": _one_of(
        "root",
        "fcall",
        "nofcall",
        "insidevalue",
        "value",
        "object",
        "array",
        "string",
        "number",
        "funcarray",
        "func",
        "ws",
    ),
    "logprobs": _integer(0, 20),
    "prompt": _any,
    "return_raw_tokens": _boolean,
}


# ----------------------------------------------------------------------------- checks


class _Problems:
    """Collects what is wrong; the service answers with one line for each."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, path: str, text: str) -> None:
        """Note one thing that is wrong."""
        self._lines.append(f"{path}: {text}")

    def unknown(
        self, path: str, found: Mapping[str, Any], known: Sequence[str]
    ) -> None:
        """Note the keys that are not known."""
        for key in found:
            if key not in known:
                full = f"{path}.{key}"
                self.add(full, f"property '{full}' is unsupported")

    def apply(self, path: str, value: Any, rule: Rule) -> bool:
        """Check a value by a rule; say whether it holds."""
        wrong = rule(value)
        if wrong:
            self.add(path, wrong)
        return not wrong

    def raise_any(self) -> None:
        """Refuse the request if anything is wrong.

        Raises:
            RefusedError: Something is.
        """
        if self._lines:
            raise RefusedError(faults.flat(400, "\n".join(self._lines)))


def refuse(
    message: str, param: str, *, code: str = faults.WRONG_FORMAT
) -> RefusedError:
    """Return a refusal about one parameter."""
    return RefusedError(faults.flat(400, message, param=param, code=code))


def requested_model(body: JsonObject) -> str:
    """Return the model that a body asks for.

    Raises:
        RefusedError: There is none, or it is no text.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        text = "must be a string" if "model" in body else "property is required"
        raise RefusedError(faults.flat(400, f"body.model: {text}"))
    return model


def check_service_headers(
    headers: Mapping[str, str], body: JsonObject, queue_time_s: float | None
) -> None:
    """Check `queue_threshold` and refuse what would wait longer.

    Raises:
        RefusedError: It is out of range or not for this tier (400), or the queue is
            longer (429).
    """
    threshold = headers.get("queue_threshold")
    if threshold is None:
        return
    least, most = 50, 20_000
    if not threshold.isdigit() or not least <= int(threshold) <= most:
        text = f"header.queue_threshold: must be {least} to {most} milliseconds"
        raise refuse(text, "queue_threshold")
    if body.get("service_tier") not in ("flex", "auto"):
        text = "header.queue_threshold: needs service_tier 'flex' or 'auto'"
        raise refuse(text, "queue_threshold")
    if (queue_time_s or 0.0) * 1_000 > int(threshold):
        raise RefusedError(faults.queue_exceeded())


def check_chat(body: JsonObject, profile: ModelProfile) -> None:
    """Check a chat request against the schema and the model.

    Raises:
        RefusedError: Something is wrong; the text names each thing.
    """
    problems = _Problems()
    _check_top(body, _CHAT, problems)
    if "messages" not in body:
        problems.add("body.messages", "property is required")
    messages = as_list(body.get("messages"))
    if messages is not None:
        if not messages:
            problems.add("body.messages", "must have at least 1 item")
        for at, message in enumerate(messages):
            _check_message(message, at, problems)
    tools = as_list(body.get("tools"))
    for at, tool in enumerate(tools or []):
        _check_tool(tool, f"body.tools.{at}", problems)
    _check_prediction(body.get("prediction"), problems)
    _check_response_format(body.get("response_format"), problems)
    _check_tool_choice(body.get("tool_choice"), problems)
    problems.raise_any()
    _check_tool_turns(messages or [])
    _check_tools_together(body)
    _check_formats_together(body, profile)
    _check_logprobs(body)
    _check_model_support(body, profile)
    _check_images(messages or [], profile)


def _check_top(
    body: JsonObject, known: Mapping[str, Rule], problems: _Problems
) -> None:
    problems.unknown("body", body, list(known))
    required = {"model", "messages", "prompt"}
    for key, rule in known.items():
        value = body.get(key)
        if value is not None:
            problems.apply(f"body.{key}", value, rule)
        elif key in body and key in required:
            problems.add(f"body.{key}", "must not be null")
    options = as_object(body.get("stream_options"))
    if options is not None:
        problems.unknown("body.stream_options", options, ["include_usage"])
        usage = options.get("include_usage")
        if usage is not None:
            problems.apply("body.stream_options.include_usage", usage, _boolean)


# --------------------------------------------------------------------------- messages

_MESSAGE_KEYS: dict[str, tuple[str, ...]] = {
    "system": ("role", "content", "name"),
    "developer": ("role", "content", "name"),
    "user": ("role", "content", "name"),
    "assistant": ("role", "content", "name", "reasoning", "tool_calls"),
    "tool": ("role", "content", "name", "tool_call_id"),
}


def _check_message(item: Any, at: int, problems: _Problems) -> None:
    message = as_object(item)
    if message is None:
        problems.add(f"messages.{at}", f"must be an object, not {_kind(item)}")
        return
    role = message.get("role")
    if not isinstance(role, str) or role not in _MESSAGE_KEYS:
        text = f"{role!r} is not one of {', '.join(_MESSAGE_KEYS)}"
        problems.add(f"messages.{at}.role", text)
        return
    path = f"messages.{at}.{role}"
    problems.unknown(path, message, _MESSAGE_KEYS[role])
    if message.get("name") is not None:
        problems.apply(f"{path}.name", message["name"], _string())
    if role == "assistant":
        _check_assistant(message, path, problems)
    else:
        _check_content(message, path, problems, images=role == "user")
    if role == "tool":
        problems.apply(f"{path}.tool_call_id", message.get("tool_call_id"), _string())


def _check_assistant(message: JsonObject, path: str, problems: _Problems) -> None:
    calls = message.get("tool_calls")
    if "tool_calls" in message and problems.apply(f"{path}.tool_calls", calls, _array):
        for at, call in enumerate(items_of(calls)):
            _check_call(call, f"{path}.tool_calls.{at}", problems)
    if message.get("content") is not None:
        _check_content(message, path, problems, images=False)
    elif not calls and not message.get("reasoning"):
        problems.add(f"{path}.content", "must not be null without tool_calls")
    if message.get("reasoning") is not None:
        _check_content(message, path, problems, images=False, key="reasoning")


def _check_content(
    message: JsonObject,
    path: str,
    problems: _Problems,
    *,
    images: bool,
    key: str = "content",
) -> None:
    content = message.get(key)
    where = f"{path}.{key}"
    if key not in message:
        problems.add(where, "property is required")
        return
    if isinstance(content, str):
        return
    parts = as_list(content)
    if parts is None:
        problems.add(where, f"must be a string or an array, not {_kind(content)}")
        return
    for at, part in enumerate(parts):
        _check_part(part, f"{where}.{at}", problems, images=images)


def _check_part(item: Any, path: str, problems: _Problems, *, images: bool) -> None:
    part = as_object(item)
    kind = part.get("type") if part is not None else None
    allowed = ("text", "image_url", "image") if images else ("text",)
    if part is None or kind not in allowed:
        text = f"type {kind!r} is not one of {', '.join(allowed)}"
        problems.add(path, text if part is not None else "must be an object")
        return
    problems.unknown(path, part, ["type", str(kind)])
    if kind == "image_url":
        image = as_object(part.get("image_url"))
        if image is None:
            problems.add(f"{path}.image_url", "must be an object with a url")
            return
        problems.unknown(f"{path}.image_url", image, ["url", "detail"])
        problems.apply(f"{path}.image_url.url", image.get("url"), _string())
    else:
        problems.apply(f"{path}.{kind}", part.get(str(kind)), _string())


def _check_call(item: Any, path: str, problems: _Problems) -> None:
    call = as_object(item)
    if call is None:
        problems.add(path, "must be an object")
        return
    problems.unknown(path, call, ["id", "type", "function", "index"])
    problems.apply(f"{path}.id", call.get("id"), _string())
    problems.apply(f"{path}.type", call.get("type"), _one_of("function"))
    function = as_object(call.get("function"))
    if function is None:
        problems.add(f"{path}.function", "must be an object")
        return
    problems.unknown(f"{path}.function", function, ["name", "arguments"])
    problems.apply(f"{path}.function.name", function.get("name"), _string())
    problems.apply(f"{path}.function.arguments", function.get("arguments"), _string())


def _check_tool_turns(messages: Sequence[Any]) -> None:
    """Check that each call is answered, right after it and once.

    Raises:
        RefusedError: A call or an answer stands alone, or an id is there twice.
    """
    seen: set[str] = set()
    waiting: list[str] = []
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            given = message["tool_call_id"]
            if given not in seen:
                path = f"messages.{at}.tool.tool_call_id"
                text = f"{path}: no tool call has the id '{given}'"
                raise refuse(text, "messages")
            if given not in waiting:
                text = (
                    f"messages.{at}.tool.tool_call_id: '{given}' must follow its tool "
                    "call directly, and once"
                )
                raise refuse(text, "messages")
            waiting.remove(given)
            continue
        _refuse_waiting(waiting, at)
        for call in items_of(message.get("tool_calls")):
            if call["id"] in seen:
                text = (
                    f"messages.{at}.assistant.tool_calls: duplicate tool call id "
                    f"'{call['id']}'"
                )
                raise refuse(text, "messages")
            seen.add(call["id"])
            waiting.append(call["id"])
    _refuse_waiting(waiting, len(messages))


def _refuse_waiting(waiting: Sequence[str], at: int) -> None:
    if waiting:
        listed = ", ".join(repr(one) for one in waiting)
        text = (
            f"messages.{at}: each tool call must be followed by a tool message; "
            f"missing for {listed}"
        )
        raise refuse(text, "messages")


# ------------------------------------------------------------------------------- tools


def _check_tool(item: Any, path: str, problems: _Problems) -> None:
    tool = as_object(item)
    if tool is None:
        problems.add(path, "must be an object")
        return
    problems.unknown(path, tool, ["type", "function"])
    problems.apply(f"{path}.type", tool.get("type"), _one_of("function"))
    function = as_object(tool.get("function"))
    if function is None:
        problems.add(f"{path}.function", "must be an object")
        return
    known = ["name", "description", "parameters", "strict"]
    problems.unknown(f"{path}.function", function, known)
    name = function.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        text = f"{name!r} must be 1 to 64 letters, digits, '_' or '-'"
        problems.add(f"{path}.function.name", text)
    rules: dict[str, Rule] = {
        "description": _string(),
        "parameters": _object,
        "strict": _boolean,
    }
    for key, rule in rules.items():
        if function.get(key) is not None:
            problems.apply(f"{path}.function.{key}", function[key], rule)


def _check_tool_choice(choice: Any, problems: _Problems) -> None:
    if choice is None:
        return
    named = as_object(choice)
    if named is None:
        problems.apply("body.tool_choice", choice, _one_of("none", "auto", "required"))
        return
    problems.unknown("body.tool_choice", named, ["type", "function"])
    problems.apply("body.tool_choice.type", named.get("type"), _one_of("function"))
    function = fields_of(named.get("function"))
    problems.unknown("body.tool_choice.function", function, ["name"])
    problems.apply("body.tool_choice.function.name", function.get("name"), _string())


def _check_tools_together(body: JsonObject) -> None:
    tools: list[JsonObject] = [tool["function"] for tool in items_of(body.get("tools"))]
    names = [str(tool["name"]) for tool in tools]
    for name in names:
        if names.count(name) > 1:
            text = f"body.tools: duplicate tool name '{name}'"
            raise refuse(text, "tools")
    choice = body.get("tool_choice")
    if choice is not None and choice != "none" and not tools:
        text = "body.tool_choice: needs tools"
        raise refuse(text, "tool_choice")
    named = as_object(choice)
    if named is not None and named["function"]["name"] not in names:
        text = f"body.tool_choice: no tool is named '{named['function']['name']}'"
        raise refuse(text, "tool_choice")
    stricts = {bool(tool.get("strict")) for tool in tools}
    if len(stricts) > 1:
        text = "body.tools: 'strict' must have the same value on all tools"
        raise refuse(text, "tools")
    for tool in tools:
        if tool.get("strict"):
            _check_strict(tool.get("parameters") or {}, "tools", str(tool["name"]))


def _check_strict(schema: JsonObject, param: str, name: str) -> None:
    found = strict_problems(schema)
    if found:
        text = "\n".join(found)
        raise refuse(text if param == "response_format" else f"{name}: {text}", param)


# ------------------------------------------------------------------------- combinations


def _check_response_format(wanted: Any, problems: _Problems) -> None:
    shape = as_object(wanted)
    if shape is None:
        return
    path = "body.response_format"
    problems.unknown(path, shape, ["type", "json_schema"])
    types = _one_of("text", "json_object", "json_schema")
    if not problems.apply(f"{path}.type", shape.get("type"), types):
        return
    if shape["type"] != "json_schema":
        return
    inner = as_object(shape.get("json_schema"))
    if inner is None:
        problems.add(f"{path}.json_schema", "property is required")
        return
    path += ".json_schema"
    problems.unknown(path, inner, ["name", "description", "schema", "strict"])
    problems.apply(f"{path}.name", inner.get("name"), _string())
    for key, rule in (("schema", _object), ("strict", _boolean)):
        if inner.get(key) is not None:
            problems.apply(f"{path}.{key}", inner[key], rule)


def _check_formats_together(body: JsonObject, profile: ModelProfile) -> None:
    wanted = as_object(body.get("response_format"))
    if wanted is None or wanted["type"] == "text":
        return
    if body.get("tools") and not profile.tools_with_format:
        text = '"tools" is incompatible with "response_format".'
        raise refuse(text, "response_format")
    if body.get("reasoning_format") == "raw":
        text = (
            "body.reasoning_format: 'raw' cannot be combined with "
            f"response_format '{wanted['type']}'"
        )
        raise refuse(text, "reasoning_format")
    if wanted["type"] == "json_schema":
        inner = wanted["json_schema"]
        if inner.get("strict"):
            _check_strict(inner.get("schema") or {}, "response_format", "")
        return
    if body.get("stream"):
        text = "body.response_format: 'json_object' cannot be combined with stream"
        raise refuse(text, "response_format")
    texts = [content_text(message.get("content")) for message in body["messages"]]
    if not any("json" in text.lower() for text in texts):
        text = "body.messages: must contain the word 'JSON' for 'json_object'"
        raise refuse(text, "response_format")


def _check_logprobs(body: JsonObject) -> None:
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        text = "body.top_logprobs: needs logprobs to be true"
        raise refuse(text, "top_logprobs")


def _check_prediction(value: Any, problems: _Problems) -> None:
    prediction = as_object(value)
    if prediction is None:
        return
    path = "body.prediction"
    problems.unknown(path, prediction, ["type", "content"])
    problems.apply(f"{path}.type", prediction.get("type"), _one_of("content"))
    _check_content(prediction, path, problems, images=False)


def _check_model_support(body: JsonObject, profile: ModelProfile) -> None:
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in profile.efforts:
        allowed = ", ".join(profile.efforts) or "no value"
        text = (
            f"body.reasoning_effort: '{effort}' is not supported by {profile.id}; "
            f"it takes {allowed}"
        )
        raise refuse(text, "reasoning_effort")
    style = body.get("reasoning_format")
    if style not in (None, "none", *profile.formats):
        text = f"body.reasoning_format: '{style}' is not supported by {profile.id}"
        raise refuse(text, "reasoning_format")
    if body.get("model_parameters"):
        text = f"body.model_parameters: {profile.id} takes none"
        raise refuse(text, "model_parameters")
    if body.get("prediction") is None:
        return
    if not profile.prediction:
        text = '"prediction" is not currently supported'
        raise refuse(text, "prediction")
    for key, clashes in (
        ("tools", bool(body.get("tools"))),
        ("logprobs", bool(body.get("logprobs"))),
        ("n", (body.get("n") or 1) > 1),
    ):
        if clashes:
            text = f'"prediction" cannot be combined with "{key}"'
            raise refuse(text, "prediction")


def _check_images(messages: Sequence[Any], profile: ModelProfile) -> None:
    """Check images against what the model takes.

    Raises:
        RefusedError: It sees none, one is a link or broken, there are too many (400),
            or they are too large (413).
    """
    count = size = 0
    for path, uri in _images(messages):
        if not profile.vision:
            text = f"{path}: {profile.id} does not support image inputs"
            raise refuse(text, "messages")
        try:
            size += len(decode_image(uri))
        except ImageError as error:
            text = f"{path}: {error}"
            raise refuse(text, "messages") from error
        count += 1
    rules = profile.images
    if rules is None:
        return
    if rules.max_images is not None and count > rules.max_images:
        text = f"messages: {count} images were sent: the limit is {rules.max_images}"
        raise refuse(text, "messages")
    if rules.max_payload_bytes is not None and size > rules.max_payload_bytes:
        text = f"The images of a request may have {rules.max_payload_bytes} bytes."
        raise RefusedError(faults.too_large(text))


def _images(messages: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for at, message in enumerate(messages):
        for inner, part in enumerate(items_of(message.get("content"))):
            path = f"messages.{at}.{message['role']}.content.{inner}"
            if part["type"] == "image_url":
                yield path, part["image_url"]["url"]
            elif part["type"] == "image":
                yield path, part["image"]


# -------------------------------------------------------------------- text completions


def check_text(body: JsonObject, profile: ModelProfile) -> None:
    """Check a text completion request.

    Raises:
        RefusedError: Something is wrong; the text names each thing.
    """
    problems = _Problems()
    _check_top(body, _TEXT, problems)
    if not _is_prompt(body.get("prompt")):
        text = "must be a string, an array of strings, or token ids"
        problems.add("body.prompt", text)
    problems.raise_any()
    style = body.get("reasoning_format")
    if style not in (None, "none", *profile.formats):
        text = f"body.reasoning_format: '{style}' is not supported by {profile.id}"
        raise refuse(text, "reasoning_format")


def _is_prompt(prompt: Any) -> bool:
    if isinstance(prompt, str):
        return True
    items = as_list(prompt)
    if not items:
        return False
    if all(isinstance(item, str) for item in items) or _all_ids(items):
        return True
    return all(items_of(item) and _all_ids(items_of(item)) for item in items)


def _all_ids(items: Sequence[Any]) -> bool:
    return all(type(item) is int and item >= 0 for item in items)
