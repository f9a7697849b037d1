"""Bodies and events of the API as typed values, decoded in one step by msgspec.

Only what the client reads is named; unknown keys are skipped, missing ones are `None`.
What JSON gives holds no cycles, so the garbage collector need not look (`gc=False`).
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "Choice",
    "Chunk",
    "Delta",
    "Function",
    "Message",
    "Response",
    "ToolCall",
    "decode_chunk",
    "decode_response",
]


class Function(msgspec.Struct, gc=False):
    """The function of a tool call, or a fragment of it."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    """A tool call, or a fragment of one; `index` and `id` may be left out."""

    function: Function | None = None
    id: str | None = None
    index: int | None = None


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds."""

    content: str | list[Any] | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    refusal: str | None = None


class Message(Delta, gc=False):
    """The message of a choice of a plain answer."""


class Choice(msgspec.Struct, gc=False):
    """A choice of a chunk (`delta`), a plain answer (`message`) or a completion."""

    delta: Delta | None = None
    message: Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    index: int = 0
    logprobs: dict[str, Any] | None = None
    reasoning_logprobs: dict[str, Any] | None = None


class Chunk(msgspec.Struct, gc=False):
    """An event of a stream."""

    choices: list[Choice] | None = None
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    usage: dict[str, Any] | None = None
    time_info: dict[str, Any] | None = None
    service_tier: str | None = None
    service_tier_used: str | None = None
    error: Any = None
    status_code: int | str | None = None
    # The flat error shape, sent as an event.
    message: str | None = None
    detail: Any = None
    code: str | int | None = None


class Response(Chunk, gc=False):
    """A plain answer: the same keys as a chunk, with `message` in its choices."""


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_response = msgspec.json.Decoder(Response).decode
