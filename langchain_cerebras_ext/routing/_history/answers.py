"""What an assistant's turn says, whichever provider made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from langchain_core.messages import ToolCall

from langchain_cerebras_ext.routing._history.media import is_media, read_media

if TYPE_CHECKING:
    from collections.abc import Container

    from langchain_core.messages import AIMessage

__all__ = ["Answer", "guess_provider", "read_answer"]

_REASONING: Final = frozenset({"reasoning", "thinking", "reasoning_content"})
_CALLS: Final = frozenset({"tool_use", "function_call", "tool_call"})


class Answer(NamedTuple):
    """What of an assistant's turn other providers understand.

    Attributes:
        text: All text in order, refusals and what was spoken among it.
        reasoning: Text of its reasoning, without signatures and what is encrypted.
        calls: Tool calls; one that could not be read is there if it was answered.
        media: Images and the like that it made, as standard blocks.
    """

    text: str
    reasoning: str
    calls: list[ToolCall]
    media: list[dict[str, Any]]


def read_answer(message: AIMessage, answered: Container[str]) -> Answer:
    """Return what a message says.

    Args:
        message: An answer of any provider, in any version of its content.
        answered: The ids of calls that have a `ToolMessage`.
    """
    reader = _Reader()
    content = message.content
    for block in [content] if isinstance(content, str) else content:
        reader.read(block)
    reader.read_kwargs(message.additional_kwargs)
    text = "".join(reader.text)
    return Answer(
        # Some providers refuse a text of blanks alone, and it says nothing.
        text if text.strip() else "",
        "".join(reader.reasoning),
        _calls(message, reader.calls, answered),
        reader.media,
    )


class _Reader:
    """Collects what blocks hold."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[ToolCall] = []
        self.media: list[dict[str, Any]] = []

    def read(self, block: str | dict[str, Any]) -> None:
        if isinstance(block, str):
            self.text.append(block)
            return
        kind = block.get("type")
        if kind in _REASONING:
            self.reasoning.append(_reasoning_text(block))
        elif kind == "refusal":
            self.text.append(str(block.get("refusal") or ""))
        elif kind in _CALLS:
            call = _native_call(block)
            if call is not None:
                self.calls.append(call)
        elif is_media(block):
            self._read_media(block)
        elif kind == "non_standard" and isinstance(block.get("value"), dict):
            self.read(block["value"])
        elif isinstance(block.get("text"), str):
            self.text.append(block["text"])

    def _read_media(self, block: dict[str, Any]) -> None:
        if block.get("type") in {"audio", "input_audio"} and block.get("transcript"):
            self.text.append(str(block["transcript"]))
            return
        found = read_media(block)
        if found is None:
            return
        if found.kind == "text":
            self.text.append(found.text or "")
        else:
            self.media.append(found.to_block())

    def read_kwargs(self, kwargs: Mapping[str, Any]) -> None:
        """Read what stands beside the content."""
        if not self.reasoning:
            reasoning = kwargs.get("reasoning_content") or kwargs.get("reasoning")
            if isinstance(reasoning, str):
                self.reasoning.append(reasoning)
            elif isinstance(reasoning, Mapping):
                self.reasoning.append(_reasoning_text(reasoning))
        refusal = kwargs.get("refusal")
        if isinstance(refusal, str) and refusal not in self.text:
            self.text.append(refusal)
        audio = kwargs.get("audio")
        if isinstance(audio, Mapping) and not any(self.text):
            self.text.append(str(cast("Any", audio).get("transcript") or ""))


def _reasoning_text(block: Mapping[str, Any]) -> str:
    for key in ("reasoning", "thinking", "reasoning_content", "summary", "content"):
        held = block.get(key)
        if isinstance(held, str):
            return held
        if isinstance(held, Mapping):
            return str(cast("Any", held).get("text") or "")
        if isinstance(held, list):
            parts: list[Any] = held
            texts = [
                str(one.get("text") or "") for one in parts if isinstance(one, Mapping)
            ]
            if any(texts):
                return "\n".join(texts)
    return ""


def _native_call(block: Mapping[str, Any]) -> ToolCall | None:
    """Return a call that stands in the content."""
    name, call_id = block.get("name"), block.get("call_id") or block.get("id")
    if not isinstance(name, str) or not isinstance(call_id, str):
        return None
    held = block.get("input", block.get("args", block.get("arguments")))
    return ToolCall(type="tool_call", name=name, args=_arguments(held), id=call_id)


def _calls(
    message: AIMessage, native: list[ToolCall], answered: Container[str]
) -> list[ToolCall]:
    calls = [
        ToolCall(type="tool_call", name=one["name"], args=one["args"], id=one["id"])
        for one in message.tool_calls
    ]
    known = {one["id"] for one in message.tool_calls}
    for bad in message.invalid_tool_calls:
        known.add(bad["id"])
        # Without an answer it never was more than an attempt, and most providers
        # refuse a call that nobody has answered.
        if bad["id"] and bad["id"] in answered:
            args = _arguments(bad["args"])
            name = bad["name"] or "unknown"
            calls.append(ToolCall(type="tool_call", name=name, args=args, id=bad["id"]))
    calls.extend(one for one in native if one["id"] not in known)
    return calls


def _arguments(held: Any) -> dict[str, Any]:
    """Return arguments as an object; a text that is none is kept in one."""
    if isinstance(held, Mapping):
        return dict(cast("Mapping[str, Any]", held))
    if not held:
        return {}
    try:
        read = json.loads(held)
    except (TypeError, ValueError, RecursionError):
        read = None
    if isinstance(read, dict):
        return cast("dict[str, Any]", read)
    return {"invalid_json": str(held)}


def guess_provider(message: AIMessage) -> str | None:
    """Return whose an answer without a mark is, by what only one provider has.

    Messages that were stored before LangChain marked them, or written by hand.
    """
    if "__gemini_function_call_thought_signatures__" in message.additional_kwargs:
        return "google_genai"
    if isinstance(message.content, str):
        return None
    for block in message.content:
        if not isinstance(block, dict):
            continue
        kind = block.get("type")
        if kind in {"tool_use", "redacted_thinking", "server_tool_use"}:
            return "anthropic"
        if kind == "thinking" and block.get("signature"):
            return "anthropic"
        if kind == "reasoning" and ("summary" in block or "encrypted_content" in block):
            return "openai"
        if kind in {"output_text", "image_generation_call"} or "call_id" in block:
            return "openai"
    return None
