"""Typed answers as LangChain's messages and chunks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from langchain_core.messages import AIMessage, ToolCallChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from pydantic import BaseModel

from langchain_cerebras_ext._chunk import CerebrasMessageChunk, is_invalid, parse_call
from langchain_cerebras_ext._metadata import (
    PROVIDER,
    answer_metadata,
    answer_notice,
    to_usage_metadata,
)
from langchain_cerebras_ext._stream_reader import (
    Delta,
    ToolFragment,
    content_text,
    logprobs_of,
)
from langchain_cerebras_ext.errors import EmptyResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_core.messages import InvalidToolCall, ToolCall
    from langchain_core.messages.ai import UsageMetadata

    from langchain_cerebras_ext._metadata import AnswerFacts
    from langchain_cerebras_ext._stream_reader import StreamReader
    from langchain_cerebras_ext.wire._decode import Choice, Response

__all__ = [
    "Ending",
    "build_chunk",
    "build_generations",
    "build_last_chunk",
    "ending_of_stream",
    "merge_deltas",
    "partial_message",
    "parts_of_message",
]


# ------------------------------------------------------------------- whole answers


def build_generations(
    response: Response, metadata: Mapping[str, Any]
) -> list[ChatGeneration]:
    """Return one generation a choice; usage stands on the first.

    Args:
        response: A plain answer, with choices.
        metadata: What the client adds to `response_metadata`.

    Raises:
        EmptyResponseError: A choice has no message.
    """
    choices = sorted(response.choices or (), key=lambda choice: choice.index)
    return [
        ChatGeneration(message=_message(response, choice, number, metadata))
        for number, choice in enumerate(choices)
    ]


def _message(
    response: Response, choice: Choice, number: int, metadata: Mapping[str, Any]
) -> AIMessage:
    if choice.message is None:
        msg = (
            "Cerebras answered 200 with a choice that has no message "
            f"(id {response.id})."
        )
        raise EmptyResponseError(msg, request_id=response.id)
    sent = choice.message
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in sent.tool_calls or ():
        function = call.function
        parsed = parse_call(
            function.name if function else None,
            function.arguments or "" if function else "",
            call.id,
            choice.finish_reason,
        )
        if is_invalid(parsed):
            invalid.append(parsed)
        else:
            calls.append(cast("ToolCall", parsed))
    found: dict[str, Any] = {
        "model_provider": PROVIDER,
        **answer_metadata(response, choice.finish_reason),
        **metadata,
    }
    found.update(logprobs_of(choice))
    message = AIMessage(
        content=content_text(sent.content) if sent.content else "",
        additional_kwargs=_kwargs(sent.reasoning, sent.refusal),
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=to_usage_metadata(response.usage) if number == 0 else None,
        response_metadata=found,
        # Messages with equal ids replace each other in LangGraph's state.
        id=f"{response.id}-{number}" if number and response.id else response.id,
    )
    notice = answer_notice(message, choice.finish_reason)
    if notice:
        message.response_metadata["notice"] = notice
    return message


def _kwargs(reasoning: str | None, refusal: str | None) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    if reasoning:
        kwargs["reasoning_content"] = reasoning
    if refusal:
        kwargs["refusal"] = refusal
    return kwargs


# -------------------------------------------------------------------------- chunks


def build_chunk(delta: Delta, message_id: str | None) -> ChatGenerationChunk:
    """Return the chunk of one delta."""
    kind = delta.kind
    if kind == "text":
        return _fast_chunk(delta.text, {}, message_id)
    if kind == "reasoning":
        return _fast_chunk("", {"reasoning_content": delta.text}, message_id)
    fields: dict[str, Any] = {
        "content": "",
        "id": message_id,
        "response_metadata": {"model_provider": PROVIDER},
    }
    if kind == "tools":
        fields["tool_call_chunks"] = [
            ToolCallChunk(
                type="tool_call_chunk",
                name=piece.name,
                args=piece.args,
                id=piece.id,
                index=piece.number,
            )
            for piece in delta.tools
        ]
    elif kind == "refusal":
        fields["additional_kwargs"] = {"refusal": delta.text}
    else:
        fields["response_metadata"].update(delta.logprobs or {})
    return ChatGenerationChunk(message=CerebrasMessageChunk(**fields))


class Ending(NamedTuple):
    """What is said of a stream once it is whole.

    Attributes:
        message_id: The service's id of the answer.
        usage_metadata: Token counts.
        response_metadata: All metadata but log probabilities.
        logprobs: Those; they also came with the chunks, a piece each.
    """

    message_id: str | None
    usage_metadata: UsageMetadata | None
    response_metadata: dict[str, Any]
    logprobs: dict[str, Any]


def ending_of_stream(reader: StreamReader, metadata: Mapping[str, Any]) -> Ending:
    """Return what a stream that is whole ends with."""
    found = {
        "model_provider": PROVIDER,
        **answer_metadata(reader.facts, reader.finish_reason),
        **metadata,
    }
    if all(delta.kind in _SILENT for delta in reader.deltas) or (
        reader.finish_reason == "content_filter"
    ):
        notice = answer_notice(partial_message(reader), reader.finish_reason)
        if notice:
            found["notice"] = notice
    usage = to_usage_metadata(reader.facts.usage)
    return Ending(reader.facts.id, usage, found, reader.logprobs)


_SILENT = {"reasoning", "logprobs"}


def parts_of_message(message: AIMessage) -> tuple[list[Delta], Ending]:
    """Return a whole message as the deltas of a stream that came at once.

    For answers which the service does not stream, such as JSON mode.
    """
    deltas: list[Delta] = []
    reasoning = message.additional_kwargs.get("reasoning_content")
    if reasoning:
        deltas.append(Delta("reasoning", reasoning))
    if message.content:
        deltas.append(Delta("text", str(message.content)))
    refusal = message.additional_kwargs.get("refusal")
    if refusal:
        deltas.append(Delta("refusal", refusal))
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    if calls:
        pieces = [
            ToolFragment(number, call["id"], call["name"], _raw_args(call["args"]))
            for number, call in enumerate(calls)
        ]
        deltas.append(Delta("tools", tools=tuple(pieces)))
    ending = Ending(
        message.id, message.usage_metadata, dict(message.response_metadata), {}
    )
    return deltas, ending


def _raw_args(args: dict[str, Any] | str | None) -> str:
    """Return the arguments of a call as they would come in fragments."""
    if isinstance(args, dict):
        return json.dumps(args, ensure_ascii=False)
    return args or ""


def build_last_chunk(ending: Ending) -> ChatGenerationChunk:
    """Return the empty chunk that ends a stream: usage and everything said once.

    Strings, floats and token counts of two chunks are added when chunks are summed,
    so all of them stand in this chunk and in no other.
    """
    return ChatGenerationChunk(
        message=CerebrasMessageChunk(
            content="",
            id=ending.message_id,
            usage_metadata=ending.usage_metadata,
            response_metadata=ending.response_metadata,
            chunk_position="last",
        )
    )


def merge_deltas(deltas: Sequence[Delta]) -> list[Delta]:
    """Join neighbours of one kind that came with the same network read."""
    merged: list[Delta] = []
    for delta in deltas:
        last = merged[-1] if merged else None
        if last is None or last.kind != delta.kind or delta.kind == "logprobs":
            merged.append(delta)
        elif delta.kind == "tools":
            merged[-1] = Delta("tools", tools=_join_tools(last.tools, delta.tools))
        else:
            merged[-1] = Delta(delta.kind, last.text + delta.text)
    return merged


def _join_tools(
    left: tuple[ToolFragment, ...], right: tuple[ToolFragment, ...]
) -> tuple[ToolFragment, ...]:
    joined = {piece.number: piece for piece in left}
    for piece in right:
        old = joined.get(piece.number)
        joined[piece.number] = (
            piece
            if old is None
            else ToolFragment(
                piece.number,
                old.id or piece.id,
                old.name or piece.name,
                old.args + piece.args,
            )
        )
    return tuple(joined.values())


def partial_message(reader: StreamReader) -> AIMessage | None:
    """Return what had arrived of a stream; every tool call in it is unfinished."""
    facts: AnswerFacts = reader.facts
    texts: dict[str, list[str]] = {"text": [], "reasoning": [], "refusal": []}
    calls: dict[int, ToolFragment] = {}
    for delta in reader.deltas:
        if delta.kind == "tools":
            pieces = _join_tools(tuple(calls.values()), delta.tools)
            calls = {piece.number: piece for piece in pieces}
        elif delta.kind in texts:
            texts[delta.kind].append(delta.text)
    if not reader.deltas and facts.id is None:
        return None
    return AIMessage(
        content="".join(texts["text"]),
        additional_kwargs=_kwargs(
            "".join(texts["reasoning"]), "".join(texts["refusal"])
        ),
        invalid_tool_calls=[
            {
                "type": "invalid_tool_call",
                "name": piece.name,
                "args": piece.args,
                "id": piece.id,
                "error": "The stream ended before the answer was whole",
            }
            for piece in calls.values()
        ],
        usage_metadata=to_usage_metadata(facts.usage),
        response_metadata={
            "model_provider": PROVIDER,
            **answer_metadata(facts, reader.finish_reason),
        },
        id=facts.id,
    )


# --------------------------------------------------------------- the per-token path


def _slow_chunk(
    text: str, kwargs: dict[str, Any], message_id: str | None
) -> ChatGenerationChunk:
    return ChatGenerationChunk(
        message=CerebrasMessageChunk(
            content=text,
            additional_kwargs=kwargs,
            response_metadata={"model_provider": PROVIDER},
            id=message_id,
        )
    )


def _setter(name: str) -> Callable[[object, Any], None]:
    """Return what sets one of pydantic's slots, past its `__setattr__`."""
    slot = BaseModel.__dict__.get(name)
    if slot is None:  # `_is_bare_safe` will find out what that means
        return lambda model, value: object.__setattr__(model, name, value)
    return cast("Callable[[object, Any], None]", slot.__set__)


_new = object.__new__
_set_dict = _setter("__dict__")
_set_fields = _setter("__pydantic_fields_set__")
_set_extra = _setter("__pydantic_extra__")
_set_private = _setter("__pydantic_private__")


def _bare_chunk(
    text: str, kwargs: dict[str, Any], message_id: str | None
) -> ChatGenerationChunk:
    """Build what `_slow_chunk` builds without running its validators.

    At 3,000 tokens a second those validators are a third of the client's work. There
    is nothing to validate: the values were typed when the event was decoded.
    """
    message = _new(CerebrasMessageChunk)
    _set_dict(
        message,
        {
            "content": text,
            "additional_kwargs": kwargs,
            "response_metadata": {"model_provider": PROVIDER},
            "type": "AIMessageChunk",
            "name": None,
            "id": message_id,
            "tool_calls": [],
            "invalid_tool_calls": [],
            "usage_metadata": None,
            "tool_call_chunks": [],
            "chunk_position": None,
        },
    )
    _set_fields(message, {"content", "additional_kwargs", "response_metadata", "id"})
    _set_extra(message, {})
    _set_private(message, None)
    generation = _new(ChatGenerationChunk)
    _set_dict(
        generation,
        {
            "text": text,
            "generation_info": None,
            "type": "ChatGenerationChunk",
            "message": message,
        },
    )
    _set_fields(generation, {"message", "text"})
    _set_extra(generation, None)
    _set_private(generation, None)
    return generation


def _state(value: Any) -> tuple[Any, ...]:
    return (
        list(value.__dict__),
        value.__pydantic_fields_set__,
        value.__pydantic_extra__,
        value.__pydantic_private__,
    )


def _is_bare_safe() -> bool:
    """Compare both ways once: a later LangChain may have other fields."""
    probe = ("text", {"reasoning_content": "r"}, "id")
    try:
        slow, bare = _slow_chunk(*probe), _bare_chunk(*probe)
        return (
            bare == slow
            and _state(bare) == _state(slow)
            and _state(bare.message) == _state(slow.message)
            and bare.model_dump() == slow.model_dump()
        )
    except (AttributeError, LookupError, TypeError, ValueError):
        return False


_fast_chunk = _bare_chunk if _is_bare_safe() else _slow_chunk
