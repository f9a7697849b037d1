"""The chunk class of our streams, which never completes a tool call that was cut off.

`AIMessageChunk` reads the arguments of a tool call as partial JSON and keeps the
result when the stream is over: a call that was cut off at a token limit comes out as a
valid one with half its arguments, and an agent runs it. The class here reads strictly
once `chunk_position` is `"last"`, so that such a call is an `invalid_tool_calls` entry
on every path, as in a plain answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeGuard, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    InvalidToolCall,
    ToolCall,
)
from langchain_core.utils.json import parse_partial_json
from pydantic import model_validator

from langchain_cerebras_ext._tools import parse_arguments

if TYPE_CHECKING:
    from langchain_core.load.serializable import (
        SerializedConstructor,
        SerializedNotImplemented,
    )
    from langchain_core.messages import BaseMessageChunk, ToolCallChunk

__all__ = ["CerebrasMessageChunk", "finished_blocks", "is_invalid", "parse_call"]


_CUT = frozenset({"length", "content_filter"})
"""Why an answer ends before it is whole."""


def parse_call(
    name: str | None,
    args: str | None,
    call_id: str | None,
    finish_reason: str | None = None,
) -> ToolCall | InvalidToolCall:
    """Return a tool call whose arguments are a whole JSON object, or an invalid one.

    No arguments at all are an empty object: servers send `""` for a tool without
    parameters. Not so where the answer was cut off: they had not begun yet.
    """
    parsed, problem = parse_arguments(args)
    if not args and finish_reason in _CUT:
        parsed = None
        problem = f"The answer was cut off (finish_reason {finish_reason})"
    if parsed is not None and name:
        return ToolCall(type="tool_call", name=name, args=parsed, id=call_id)
    return InvalidToolCall(
        type="invalid_tool_call",
        name=name or None,
        args=args or None,
        id=call_id,
        error=problem or "The tool call has no name",
    )


def is_invalid(call: ToolCall | InvalidToolCall) -> TypeGuard[InvalidToolCall]:
    """Whether a call could not be read."""
    return call.get("type") == "invalid_tool_call"


class _ToMessage(AIMessageChunk):
    """Stands where LangChain looks for the message class of a chunk class.

    `message_chunk_to_message` builds `type(chunk).__mro__[1]`; here that yields an
    `AIMessage`, as for `AIMessageChunk` itself.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if cls is _ToMessage:
            return cast("Self", AIMessage(*args, **kwargs))
        return super().__new__(cls)


class CerebrasMessageChunk(_ToMessage):
    """An `AIMessageChunk` that reads tool calls strictly when the stream is over."""

    @model_validator(mode="after")
    def init_tool_calls(self) -> Self:
        """Read the tool calls: leniently while they grow, strictly at the end.

        A fragment without a name is no call by itself and gives none.
        """
        whole = self.chunk_position == "last"
        if self.tool_call_chunks:
            self._read_calls(whole=whole)
        elif self.tool_calls or self.invalid_tool_calls:
            return cast("Self", AIMessageChunk.init_tool_calls(self))  # type: ignore[operator]
        if (
            whole
            and isinstance(self.content, list)
            and self.content
            and self.response_metadata.get("output_version") == "v1"
        ):
            self.content = cast("Any", self._finished_content())
        return self

    def _read_calls(self, *, whole: bool) -> None:
        calls: list[ToolCall] = []
        invalid: list[InvalidToolCall] = []
        for piece in self.tool_call_chunks:
            if whole:
                reason = self.response_metadata.get("finish_reason")
                call = parse_call(piece["name"], piece["args"], piece["id"], reason)
            elif piece["name"]:
                call = _growing_call(piece)
            else:
                continue
            if is_invalid(call):
                invalid.append(call)
            else:
                calls.append(cast("ToolCall", call))
        self.tool_calls = calls
        self.invalid_tool_calls = invalid

    def _finished_content(self) -> list[dict[str, Any]]:
        """Return the blocks in their finished form and order, without merge indexes."""
        blocks = [
            {key: value for key, value in block.items() if key != "index"}
            for block in self.content
            if isinstance(block, dict) and block.get("type") not in _CALL_BLOCKS
        ]
        blocks.sort(key=lambda block: _BLOCK_ORDER.get(str(block.get("type")), 1))
        return [*blocks, *_call_blocks(self)]

    def __radd__(self, other: Any) -> BaseMessageChunk:
        """Add to a plain chunk on the left without losing this class."""
        if isinstance(other, AIMessageChunk):
            lifted = CerebrasMessageChunk(
                **{k: v for k, v in other.__dict__.items() if k != "type"}
            )
            return lifted + self
        return NotImplemented

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialise under LangChain's own name, which every loader knows."""
        return [*cls.get_lc_namespace(), "AIMessageChunk"]

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Serialise a finished chunk as its message: loaded, it stays strict."""
        if self.chunk_position == "last":
            return _as_message(self).to_json()
        return super().to_json()


_CALL_BLOCKS = {"tool_call", "tool_call_chunk", "invalid_tool_call"}
_BLOCK_ORDER = {"reasoning": 0, "text": 1, "refusal": 2}


def _growing_call(piece: ToolCallChunk) -> ToolCall | InvalidToolCall:
    args: Any = {}
    if piece["args"]:
        try:
            args = parse_partial_json(piece["args"])
        except (ValueError, RecursionError):
            args = None
    if isinstance(args, dict):
        return ToolCall(
            type="tool_call", name=piece["name"] or "", args=args, id=piece["id"]
        )
    return parse_call(piece["name"], piece["args"], piece["id"])


def _as_message(chunk: AIMessageChunk) -> AIMessage:
    skip = {"type", "tool_call_chunks", "chunk_position"}
    return AIMessage(**{k: v for k, v in chunk.__dict__.items() if k not in skip})


def _call_blocks(message: AIMessage) -> list[dict[str, Any]]:
    calls = [
        {
            "type": "tool_call",
            "name": call["name"],
            "args": call["args"],
            "id": call["id"],
        }
        for call in message.tool_calls
    ]
    invalid: list[dict[str, Any]] = [
        {
            "type": "invalid_tool_call",
            "name": call["name"],
            "args": call["args"],
            "id": call["id"],
            "error": call["error"],
        }
        for call in message.invalid_tool_calls
    ]
    return [*calls, *invalid]


def finished_blocks(message: AIMessage) -> list[dict[str, Any]]:
    """Return the blocks of a whole message: reasoning, text, calls, invalid calls."""
    blocks: list[dict[str, Any]] = []
    reasoning = message.additional_kwargs.get("reasoning_content")
    if reasoning:
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if isinstance(message.content, str):
        if message.content:
            blocks.append({"type": "text", "text": message.content})
    else:
        for block in message.content:
            if isinstance(block, str):
                blocks.append({"type": "text", "text": block})
            elif block.get("type") not in _CALL_BLOCKS and not (
                reasoning and block.get("type") == "reasoning"
            ):
                blocks.append(dict(block))
    refusal = message.additional_kwargs.get("refusal")
    if refusal:
        blocks.append({"type": "refusal", "refusal": refusal})
    return [*blocks, *_call_blocks(message)]
