"""LangChain's messages as messages of the API.

The service refuses unknown keys, null content and tool messages that answer no call,
so only what it knows is sent: `additional_kwargs` are never forwarded, blocks of other
providers are translated, dropped where they repeat what is sent anyway, or refused
with the block's place in the conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    UnsupportedFeatureError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import InvalidToolCall, ToolCall

__all__ = ["ModelRules", "to_wire_messages"]

Replay = Literal["field", "think_tags", "none"]


@dataclass(frozen=True, slots=True)
class ModelRules:
    """What a model takes in its messages.

    Attributes:
        model: The model's id, for messages.
        replay: How reasoning of earlier turns is sent back: in the `reasoning` field,
            as `<think>` text before the content, or not at all.
        images: Whether the model sees images; `None` where that is not known.
        developer: Whether it takes the `developer` role; else `system` is sent.
    """

    model: str = ""
    replay: Replay = "field"
    images: bool | None = None
    developer: bool = True


# Blocks in an assistant's content that repeat what is sent in other fields.
_REPEATED = {
    "tool_use",
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "function_call",
    "input_json_delta",
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_result",
    "server_tool_use",
    "redacted_thinking",
}
_MEDIA = {"audio", "input_audio", "video", "file", "document", "pdf", "media"}
_IMAGES = {"image", "image_url", "input_image"}
_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "ai": "assistant"}
_IMAGE_URI = re.compile(r"data:image/(png|jpe?g);base64,", re.IGNORECASE)
_NAME = 64


def to_wire_messages(
    messages: Sequence[BaseMessage], rules: ModelRules
) -> list[dict[str, Any]]:
    """Return the conversation as the API takes it.

    Args:
        messages: At least one message of any of LangChain's kinds.
        rules: What the model takes.

    Raises:
        CerebrasInvalidRequestError: No messages, a tool message without its call, a
            call without its answer, or a role the API does not know.
        UnsupportedFeatureError: Content that the model or the service cannot take.
    """
    if not messages:
        msg = "messages is empty: the API needs at least one message."
        raise CerebrasInvalidRequestError(msg)
    return _Conversation(messages, rules).convert()


class _Conversation:
    """One conversion; remembers the calls that wait for their answers."""

    def __init__(self, messages: Sequence[BaseMessage], rules: ModelRules) -> None:
        self.messages = messages
        self.rules = rules
        self.answered = {
            message.tool_call_id
            for message in messages
            if isinstance(message, ToolMessage)
        }
        self.used: set[str] = set()
        # Original id -> ids on the wire, of the calls of the latest assistant turn.
        self.open: dict[str, list[str]] = {}
        self.names: dict[str, str] = {}

    def convert(self) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for position, message in enumerate(self.messages):
            where = f"messages[{position}]"
            if not isinstance(message, (ToolMessage, FunctionMessage)):
                self._close(where)
            out.append(self._message(message, where))
        self._close(f"messages[{len(self.messages)}]", at_end=True)
        return out

    def _close(self, where: str, *, at_end: bool = False) -> None:
        if not self.open:
            return
        missing = ", ".join(sorted(self.open))
        place = "the conversation ends" if at_end else f"{where} comes"
        msg = (
            f"Tool call {missing} has no answer: a ToolMessage with its tool_call_id "
            f"must follow the assistant's turn before {place}."
        )
        raise CerebrasInvalidRequestError(msg)

    def _message(self, message: BaseMessage, where: str) -> dict[str, Any]:
        if isinstance(message, HumanMessage):
            return self._plain("user", message, where)
        if isinstance(message, AIMessage):
            return self._assistant(message, where)
        if isinstance(message, SystemMessage):
            return self._plain(self._system_role(message), message, where)
        if isinstance(message, (ToolMessage, FunctionMessage)):
            return self._tool(message, where)
        if isinstance(message, ChatMessage):
            return self._chat(message, where)
        msg = (
            f"{where} is a {type(message).__name__}, which has no counterpart in the "
            "API; use human, system, AI, tool or chat messages."
        )
        raise CerebrasInvalidRequestError(msg)

    def _chat(self, message: ChatMessage, where: str) -> dict[str, Any]:
        role = message.role.lower()
        if role in {"system", "developer"}:
            wire = "system" if role == "system" or not self.rules.developer else role
            return self._plain(wire, message, where)
        if role in _ROLES:
            return self._plain(_ROLES[role], message, where)
        msg = (
            f"{where} has role {message.role!r}; the API knows system, developer, "
            "user, assistant and tool (as ToolMessage)."
        )
        raise CerebrasInvalidRequestError(msg)

    def _system_role(self, message: SystemMessage) -> str:
        asked = message.additional_kwargs.get("__openai_role__")
        return (
            "developer" if asked == "developer" and self.rules.developer else "system"
        )

    def _plain(self, role: str, message: BaseMessage, where: str) -> dict[str, Any]:
        wire = {"role": role, "content": self._content(message.content, role, where)}
        if message.name:
            wire["name"] = message.name
        return wire

    # ------------------------------------------------------------- assistant, tools

    def _assistant(self, message: AIMessage, where: str) -> dict[str, Any]:
        text = self._assistant_text(message, where)
        reasoning = _reasoning_of(message)
        wire: dict[str, Any] = {"role": "assistant"}
        if reasoning and self.rules.replay == "think_tags":
            if not text.lstrip().startswith("<think>"):
                text = f"<think>{reasoning}</think>{text}"
        elif reasoning and self.rules.replay == "field":
            wire["reasoning"] = reasoning
        # Null content is refused, and so may be none at all: an empty text is a text.
        wire["content"] = text
        calls = self._calls(message)
        if calls:
            wire["tool_calls"] = calls
        if message.name:
            wire["name"] = message.name
        return wire

    def _assistant_text(self, message: AIMessage, where: str) -> str:
        if isinstance(message.content, str):
            return message.content
        texts: list[str] = []
        for number, block in enumerate(message.content):
            if isinstance(block, str):
                texts.append(block)
                continue
            kind = block.get("type")
            if kind in _REPEATED or kind in _REASONING_TEXT:
                continue
            if kind == "refusal":
                texts.append(str(block.get("refusal", "")))
            elif isinstance(block.get("text"), str):
                texts.append(block["text"])
            elif kind == "non_standard":
                continue
            else:
                self._refuse_block(kind, f"{where}.content[{number}]", "assistant")
        return "".join(texts)

    def _calls(self, message: AIMessage) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        for number, call in enumerate(message.tool_calls):
            args = _json(call["args"], f"the arguments of tool call {call['id']!r}")
            calls.append(self._call(call, args, number))
        # A call that could not be read is history only if something answered it.
        calls.extend(
            self._call(bad, bad["args"] or "", len(calls))
            for bad in message.invalid_tool_calls
            if bad["id"] in self.answered
        )
        return calls

    def _call(
        self, call: ToolCall | InvalidToolCall, args: str, number: int
    ) -> dict[str, Any]:
        asked = call["id"] or f"call_{len(self.used)}_{number}"
        # Some providers number their calls anew in every turn; the API refuses an id
        # that it has seen in the same request.
        wire_id, copy = asked, 2
        while wire_id in self.used:
            wire_id, copy = f"{asked}-{copy}", copy + 1
        self.used.add(wire_id)
        self.open.setdefault(asked, []).append(wire_id)
        self.names[asked] = call["name"] or ""
        return {
            "id": wire_id,
            "type": "function",
            "function": {"name": call["name"] or "", "arguments": args},
        }

    def _tool(
        self, message: ToolMessage | FunctionMessage, where: str
    ) -> dict[str, Any]:
        if isinstance(message, ToolMessage):
            asked = message.tool_call_id
        else:
            named = [key for key in self.open if self.names[key] == message.name]
            asked = named[0] if named else ""
        waiting = self.open.get(asked)
        if not waiting:
            what = (
                f"tool call {asked!r}"
                if isinstance(message, ToolMessage)
                else f"function {message.name!r}"
            )
            msg = (
                f"{where} answers {what}, but the assistant's turn before "
                "it made no such call, or it was answered already. A ToolMessage must "
                "follow the AIMessage whose tool_calls name its tool_call_id."
            )
            raise CerebrasInvalidRequestError(msg)
        wire_id = waiting.pop(0)
        if not waiting:
            del self.open[asked]
        content = self._content(message.content, "tool", where)
        wire = {"role": "tool", "tool_call_id": wire_id, "content": content}
        if message.name:
            wire["name"] = message.name
        return wire

    # --------------------------------------------------------------------- content

    def _content(
        self, content: str | list[str | dict[str, Any]], role: str, where: str
    ) -> str | list[dict[str, Any]]:
        if isinstance(content, str):
            return content
        parts = [
            part
            for number, block in enumerate(content)
            for part in self._parts(block, role, f"{where}.content[{number}]")
        ]
        if len(parts) == 1 and parts[0]["type"] == "text":
            return str(parts[0]["text"])
        return parts or ""

    def _parts(self, block: Any, role: str, where: str) -> list[dict[str, Any]]:
        if isinstance(block, str):
            return [{"type": "text", "text": block}]
        kind = block.get("type")
        if kind in _IMAGES:
            return [self._image(block, role, where)]
        if isinstance(block.get("text"), str) and kind not in _MEDIA:
            return [{"type": "text", "text": block["text"]}]
        if kind == "non_standard" and isinstance(block.get("value"), Mapping):
            return self._parts(block["value"], role, where)
        if role == "tool" and kind not in _MEDIA:
            # A tool's result may be any JSON; the model reads it as text.
            return [{"type": "text", "text": _json(block, where)}]
        if role == "assistant" and (kind in _REPEATED or kind in _REASONING_TEXT):
            return []
        self._refuse_block(kind, where, role)
        return []

    def _refuse_block(self, kind: Any, where: str, role: str) -> None:
        takes = "text and images" if role == "user" else "text"
        msg = (
            f"{where} is a block of type {kind!r}; the Cerebras API takes {takes} in "
            f"{role} messages. Convert it to text first."
        )
        raise UnsupportedFeatureError(msg)

    def _image(self, block: Mapping[str, Any], role: str, where: str) -> dict[str, Any]:
        if role != "user":
            msg = (
                f"{where} is an image in a {role} message; the API takes images in "
                "user messages only. Send it in a HumanMessage."
            )
            raise UnsupportedFeatureError(msg)
        if self.rules.images is False:
            msg = (
                f"{where} is an image, but {self.rules.model} has no vision. Choose a "
                "model whose profile has image_inputs, such as 'qwen-3.8-27b'."
            )
            raise UnsupportedFeatureError(msg)
        url, detail = _image_url(block)
        if not url or not _IMAGE_URI.match(url):
            shown = f"{url[:40]}..." if url else "no data"
            msg = (
                f"{where} is an image given as {shown!r}; the API takes PNG and JPEG "
                "as data URIs only: data:image/png;base64,... Download it and send "
                "its bytes."
            )
            raise UnsupportedFeatureError(msg)
        # The API knows JPEG under its proper name alone.
        url = re.sub("^data:image/jpg;", "data:image/jpeg;", url, flags=re.IGNORECASE)
        image = {"url": url, "detail": detail} if detail else {"url": url}
        return {"type": "image_url", "image_url": image}


def _json(value: Any, what: str) -> str:
    """Return a value as compact JSON, letters of all languages as they are."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"A message holds a value that is no JSON, in {what}: {error}."
        raise CerebrasInvalidRequestError(msg) from error


def _image_url(block: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Read an image in any of the shapes in use: v1, v0, OpenAI's, Anthropic's."""
    held = block.get("image_url")
    if isinstance(held, Mapping):
        return held.get("url"), held.get("detail")
    if isinstance(held, str):
        return held, block.get("detail")
    source = block.get("source")
    if isinstance(source, Mapping):
        if source.get("type") == "url":
            return source.get("url"), None
        return _data_uri(source.get("media_type"), source.get("data")), None
    if isinstance(block.get("image"), str):
        return block["image"], None
    data = block.get("base64") or block.get("data")
    if data:
        return _data_uri(block.get("mime_type"), data), None
    return block.get("url"), None


def _data_uri(mime_type: Any, data: Any) -> str | None:
    return f"data:{mime_type or 'image/png'};base64,{data}" if data else None


_REASONING_TEXT = {
    "reasoning": "reasoning",
    "thinking": "thinking",
    "reasoning_content": "reasoning_content",  # langchain-cerebras' own block
}


def _reasoning_of(message: AIMessage) -> str:
    """Return the reasoning of an earlier turn, once, wherever it is kept."""
    for key in ("reasoning_content", "reasoning"):
        value = message.additional_kwargs.get(key)
        if isinstance(value, str) and value:
            return value
    if isinstance(message.content, str):
        return ""
    texts: list[str] = []
    for block in message.content:
        if isinstance(block, dict):
            value = block.get(_REASONING_TEXT.get(str(block.get("type")), ""))
            if isinstance(value, Mapping):
                value = value.get("text")
            if isinstance(value, str):
                texts.append(value)
    return "".join(texts)
