"""Answers as bytes, in the shapes and key orders of the API's recordings.

Written apart from the client's decoder on purpose: one mistake made in shared code
would be made twice and seen by no test.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    dump,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_cerebras_ext.simulator.answers import ToolCall
    from langchain_cerebras_ext.simulator.faults import ErrorShape, Fault
    from langchain_cerebras_ext.simulator.generation import (
        Choice,
        Completion,
        Piece,
        Timing,
        Usage,
    )
    from langchain_cerebras_ext.simulator.profiles import ModelProfile
    from langchain_cerebras_ext.simulator.text_extras import TextExtras

DONE = b"data: [DONE]\n\n"


def encode_event(value: object) -> bytes:
    """Encode one server-sent event."""
    return b"data: " + dump(value) + b"\n\n"


def encode_error_event(
    fault: Fault, *, named: bool = False, shape: ErrorShape = "wrapped"
) -> bytes:
    """Encode an error in the middle of a stream.

    Args:
        fault: The error.
        named: Whether the event has a name line, the documented second form.
        shape: Whether the error is inside `error`, or flat.
    """
    return (b"event: error\n" if named else b"") + encode_event(fault.event(shape))


def usage_object(usage: Usage, profile: ModelProfile) -> JsonObject:
    """Return the `usage` block in the layout of the model's deployment."""
    details: JsonObject = {}
    if profile.prediction_details:
        details["accepted_prediction_tokens"] = usage.accepted_tokens
        details["rejected_prediction_tokens"] = usage.rejected_tokens
    details["reasoning_tokens"] = usage.reasoning_tokens
    prompt_details: JsonObject = {"cached_tokens": usage.cached_tokens}
    if profile.image_usage:
        prompt_details["image_tokens"] = usage.image_tokens
    return {
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "completion_tokens": usage.completion_tokens,
        "completion_tokens_details": details,
        "prompt_tokens": usage.prompt_tokens,
        "prompt_tokens_details": prompt_details,
    }


def time_object(timing: Timing) -> JsonObject:
    """Return the `time_info` block."""
    return {
        "created": timing.created,
        "queue_time": timing.queue_time,
        "prompt_time": timing.prompt_time,
        "completion_time": timing.completion_time,
        "total_time": round(timing.total_time, 9),
    }


def tool_call_object(call: ToolCall) -> JsonObject:
    """Return a whole call, as an unstreamed answer has it."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"function": function, "type": "function", "id": call.id}


def message_object(choice: Choice) -> JsonObject:
    """Return the message; keys without a value are left out, as on the service."""
    message: JsonObject = {}
    if choice.content is not None and (choice.content or not choice.tool_calls):
        message["content"] = choice.content
    if choice.reasoning:
        message["reasoning"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [tool_call_object(call) for call in choice.tool_calls]
    message["role"] = "assistant"
    return message


def choice_object(choice: Choice) -> JsonObject:
    """Return one entry of `choices`."""
    shaped: JsonObject = {
        "finish_reason": choice.finish_reason,
        "index": choice.index,
        "message": message_object(choice),
    }
    shaped.update(_logprob_keys(choice.logprobs, choice.reasoning_logprobs))
    return shaped


def _logprob_keys(
    content: Sequence[JsonObject] | None, reasoning: Sequence[JsonObject] | None
) -> JsonObject:
    keys: JsonObject = {}
    if content is not None:
        keys["logprobs"] = {"content": list(content)}
    if reasoning is not None:
        keys["reasoning_logprobs"] = {"content": list(reasoning)}
    return keys


def _frame(completion: Completion, choices: list[JsonObject], kind: str) -> JsonObject:
    return {
        "id": completion.id,
        "choices": choices,
        "created": completion.created,
        "model": completion.model,
        "system_fingerprint": completion.fingerprint,
        "object": kind,
    }


def _figures(completion: Completion, profile: ModelProfile) -> JsonObject:
    figures: JsonObject = {
        "usage": usage_object(completion.usage, profile),
        "time_info": time_object(completion.timing),
    }
    if completion.service_tier_used:
        figures["service_tier_used"] = completion.service_tier_used
    return figures


def encode_chat(completion: Completion, profile: ModelProfile) -> bytes:
    """Encode an unstreamed chat answer."""
    choices = [choice_object(choice) for choice in completion.choices]
    body = _frame(completion, choices, "chat.completion")
    return dump({**body, **_figures(completion, profile)})


class ChunkEncoder:
    """Encodes the chunks of one stream; what they share is encoded once."""

    def __init__(self, completion: Completion, profile: ModelProfile) -> None:
        self._completion = completion
        self._profile = profile
        self._head = b'data: {"id":' + dump(completion.id) + b',"choices":['
        shared = dump(_frame(completion, [], "chat.completion.chunk"))
        self._tail = b"]" + shared[shared.index(b',"created":') :] + b"\n\n"

    def delta(self, index: int, key: bytes, value: bytes) -> bytes:
        """Encode a chunk whose delta has one key."""
        return (
            self._head
            + b'{"delta":{"'
            + key
            + b'":'
            + value
            + b'},"index":%d}' % index
            + self._tail
        )

    def piece(self, choice: Choice, piece: Piece) -> bytes:
        """Encode what one event carries."""
        if piece.kind in ("tool_start", "tool_arguments"):
            call = dump([self._call(choice, piece)])
            return self.delta(choice.index, b"tool_calls", call)
        if piece.logprobs is None:
            return self.delta(choice.index, piece.kind.encode(), dump(piece.text))
        delta = {piece.kind: piece.text}
        split = piece.kind == "reasoning" and choice.reasoning_logprobs is not None
        keys = (
            _logprob_keys(None, piece.logprobs)
            if split
            else _logprob_keys(piece.logprobs, None)
        )
        entry = dump({"delta": delta, "index": choice.index, **keys})
        return self._head + entry + self._tail

    def _call(self, choice: Choice, piece: Piece) -> JsonObject:
        if piece.kind == "tool_arguments":
            return {
                "function": {"arguments": piece.text},
                "type": "function",
                "index": piece.call,
            }
        call = choice.tool_calls[piece.call]
        whole = self._profile.tool_deltas == "whole" and call.chunks is None
        arguments = call.arguments if whole else ""
        return {
            "function": {"name": call.name, "arguments": arguments},
            "type": "function",
            "id": call.id,
            "index": piece.call,
        }

    def final(self, choice: Choice, *, figures: bool) -> bytes:
        """Encode the chunk that ends a choice.

        Args:
            choice: The choice that ends.
            figures: Whether usage and timings come with it.
        """
        ended: JsonObject = {
            "delta": {},
            "finish_reason": choice.finish_reason,
            "index": choice.index,
        }
        body = _frame(self._completion, [ended], "chat.completion.chunk")
        if figures:
            body |= _figures(self._completion, self._profile)
        return encode_event(body)

    def figures(self) -> bytes:
        """Encode an extra chunk without choices, as OpenAI sends usage."""
        body = _frame(self._completion, [], "chat.completion.chunk")
        return encode_event(body | _figures(self._completion, self._profile))


def chat_events(
    completion: Completion, profile: ModelProfile, *, extra_usage: bool
) -> Iterator[tuple[int, bytes]]:
    """Yield the events of a chat stream, each with its number of tokens.

    Args:
        completion: What to send.
        profile: The model, for its delta style.
        extra_usage: Whether usage comes in a chunk of its own, as OpenAI sends it.
    """
    encoder = ChunkEncoder(completion, profile)
    for choice in completion.choices:
        yield 0, encoder.delta(choice.index, b"role", b'"assistant"')
    for choice, piece in interleave(completion.choices):
        yield piece.tokens, encoder.piece(choice, piece)
    last = len(completion.choices) - 1
    for position, choice in enumerate(completion.choices):
        with_figures = position == last and not extra_usage
        yield 0, encoder.final(choice, figures=with_figures)
    if extra_usage:
        yield 0, encoder.figures()
    yield 0, DONE


def interleave(choices: Iterable[Choice]) -> Iterator[tuple[Choice, Piece]]:
    """Yield the pieces of several choices in turns."""
    rows = [[(choice, piece) for piece in choice.pieces] for choice in choices]
    if len(rows) == 1:
        yield from rows[0]
        return
    for row in zip_longest(*rows):
        yield from (pair for pair in row if pair is not None)


# ------------------------------------------------------------------ /v1/completions


def encode_text(
    completion: Completion, profile: ModelProfile, extras: Sequence[TextExtras]
) -> bytes:
    """Encode an unstreamed text completion.

    Args:
        completion: What to send.
        profile: The model.
        extras: What each choice tells of its tokens.
    """
    choices: list[JsonObject] = []
    for choice, extra in zip(completion.choices, extras, strict=True):
        shaped: JsonObject = {
            "finish_reason": choice.finish_reason,
            "index": choice.index,
            "text": choice.content or "",
            **extra.whole(),
        }
        choices.append(shaped)
    body = _frame(completion, choices, "text_completion")
    return dump({**body, **_figures(completion, profile)})


def text_events(
    completion: Completion, profile: ModelProfile, extras: Sequence[TextExtras]
) -> Iterator[tuple[int, bytes]]:
    """Yield the events of a streamed text completion, each with its number of tokens.

    Args:
        completion: What to send.
        profile: The model.
        extras: What each choice tells of its tokens.
    """
    sent = [0] * len(extras)
    for choice, piece in interleave(completion.choices):
        start = sent[choice.index]
        sent[choice.index] = end = start + len(piece.text)
        told = extras[choice.index].part(start, end)
        entry = {"index": choice.index, "text": piece.text, **told}
        yield piece.tokens, encode_event(_frame(completion, [entry], "text_completion"))
    last = len(completion.choices) - 1
    for position, choice in enumerate(completion.choices):
        ended = {
            "finish_reason": choice.finish_reason,
            "index": choice.index,
            "text": "",
        }
        body = _frame(completion, [ended], "text_completion")
        if position == last:
            body |= _figures(completion, profile)
        yield 0, encode_event(body)
    yield 0, DONE
