"""From requests and answers to messages as the GenAI conventions have them; no I/O.

Read only where somebody has asked for content to be recorded.

Source: the JSON schemas `gen-ai-input-messages.json`, `gen-ai-output-messages.json`
and `gen-ai-tool-definitions.json` of release 1.41.0.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext._otel import names
from langchain_cerebras_ext._otel.attributes import clean
from langchain_cerebras_ext.errors import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_core.messages import AIMessage

    from langchain_cerebras_ext._observe import CallRecord

__all__ = ["content_attributes"]

# Of the wire's reasons, those that the conventions spell otherwise.
_REASONS = {"tool_calls": "tool_call", "function_call": "tool_call"}


def content_attributes(record: CallRecord) -> dict[str, str]:
    """Return prompt, tools and answer as JSON, secrets masked; images left out.

    System messages are part of the chat here, so they are input messages: the
    conventions keep `gen_ai.system_instructions` for what is sent apart from it.
    """
    payload = record.payload or {}
    found = {
        names.INPUT_MESSAGES: _input_messages(payload),
        names.TOOL_DEFINITIONS: _tool_definitions(payload.get("tools")),
        names.OUTPUT_MESSAGES: _output_messages(record),
    }
    return {name: _json(value) for name, value in found.items() if value}


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return mask_secrets(clean(text))


# --------------------------------------------------------------------------- input


def _input_messages(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "prompt" in payload:
        return [{"role": "user", "parts": list(_prompt_parts(payload["prompt"]))}]
    return [_input_message(message) for message in _dicts(payload.get("messages"))]


def _prompt_parts(prompt: Any) -> Iterable[dict[str, Any]]:
    for one in prompt if isinstance(prompt, list) else [prompt]:
        if isinstance(one, str):
            yield _text(one)
        else:
            yield {"type": "token_ids", "content": one}


def _input_message(message: Mapping[str, Any]) -> dict[str, Any]:
    role = str(message.get("role", "user"))
    content = message.get("content")
    if role == "tool":
        parts = [
            {
                "type": "tool_call_response",
                "id": message.get("tool_call_id"),
                "response": content,
            }
        ]
    else:
        parts = [
            *_reasoning(message.get("reasoning")),
            *_content_parts(content),
            *(_asked_call(call) for call in _dicts(message.get("tool_calls"))),
        ]
    found: dict[str, Any] = {"role": role, "parts": parts}
    if message.get("name"):
        found["name"] = message["name"]
    return found


def _content_parts(content: Any) -> Iterable[dict[str, Any]]:
    if isinstance(content, str):
        if content:
            yield _text(content)
        return
    for part in _dicts(content):
        url = part.get("image_url")
        if part.get("type") == "text":
            yield _text(str(part.get("text", "")))
        elif url is not None:
            yield _image(str(url.get("url", "") if isinstance(url, dict) else url))
        else:
            yield {"type": str(part.get("type", "unknown"))}


def _image(url: str) -> dict[str, Any]:
    """Return an image without its data, which would burst a span."""
    if not url.startswith("data:"):
        return {"type": "uri", "modality": "image", "uri": url}
    head, _, data = url.removeprefix("data:").partition(",")
    return {
        "type": "blob",
        "modality": "image",
        "mime_type": head.partition(";")[0] or None,
        "content": "",
        "omitted_chars": len(data),
    }


def _asked_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    named: Mapping[str, Any] = function if isinstance(function, dict) else {}
    return _tool_call(call.get("id"), named.get("name"), named.get("arguments"))


def _tool_definitions(tools: Any) -> list[dict[str, Any]]:
    return [
        {"type": str(tool.get("type", "function")), "name": "", **_function(tool)}
        for tool in _dicts(tools)
    ]


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    told: Mapping[str, Any] = function if isinstance(function, dict) else tool
    wanted = ("name", "description", "parameters")
    return {key: told[key] for key in wanted if told.get(key) is not None}


# -------------------------------------------------------------------------- output


def _output_messages(record: CallRecord) -> list[dict[str, Any]]:
    message = record.message() if record.message else None
    if message is None:
        return []
    reason = record.finish_reasons[0] if record.finish_reasons else "error"
    return [
        {
            "role": "assistant",
            "parts": list(_answer_parts(message)),
            "finish_reason": _REASONS.get(reason, reason),
        }
    ]


def _answer_parts(message: AIMessage) -> Iterable[dict[str, Any]]:
    for block in message.content_blocks:
        if block["type"] == "reasoning":
            yield from _reasoning(block.get("reasoning"))
        elif block["type"] == "text" and block["text"]:
            yield _text(block["text"])
    refusal = message.additional_kwargs.get("refusal")
    if isinstance(refusal, str):
        yield _text(refusal)
    for call in message.tool_calls:
        yield _tool_call(call["id"], call["name"], call["args"])
    for broken in message.invalid_tool_calls:
        yield _tool_call(broken["id"], broken["name"], broken["args"])


# ---------------------------------------------------------------------------- parts


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _reasoning(content: Any) -> Iterable[dict[str, Any]]:
    if isinstance(content, str) and content:
        yield {"type": "reasoning", "content": content}


def _tool_call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """Return a call; its arguments are an object where they can be read as JSON."""
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # cut off, or never JSON
            arguments = json.loads(arguments)
    return {
        "type": "tool_call",
        "id": call_id,
        "name": str(name or ""),
        "arguments": arguments,
    }


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    listed = value if isinstance(value, (list, tuple)) else []
    return [item for item in listed if isinstance(item, dict)]
