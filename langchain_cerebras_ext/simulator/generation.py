"""From an answer to what is sent: limits, stop texts, token counts, stream pieces."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_cerebras_ext.simulator.answers import Answer, ToolCall
from langchain_cerebras_ext.simulator.tokens import count_tokens, split_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from langchain_cerebras_ext.simulator._json import JsonObject
    from langchain_cerebras_ext.simulator.request import ChatRequest

PieceKind: TypeAlias = Literal["reasoning", "content", "tool_start", "tool_arguments"]

CALL_TOKENS = 6
"""What a tool call costs besides its arguments: its name and the template's marks."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one stream event carries.

    Attributes:
        tokens: How many tokens were generated for it; sets the pace.
        call: Which tool call it belongs to.
        logprobs: Entries for the piece's tokens, if they were asked for.
    """

    kind: PieceKind
    text: str
    tokens: int
    call: int = 0
    logprobs: tuple[JsonObject, ...] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to a request, as far as the limits let it come."""

    index: int
    content: str | None
    reasoning: str | None
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    pieces: tuple[Piece, ...]
    completion_tokens: int
    reasoning_tokens: int
    accepted_tokens: int = 0
    rejected_tokens: int = 0
    logprobs: tuple[JsonObject, ...] | None = None
    reasoning_logprobs: tuple[JsonObject, ...] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of a whole request."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    accepted_tokens: int = 0
    rejected_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """What `time_info` says, in seconds."""

    created: float
    queue_time: float
    prompt_time: float
    completion_time: float
    overhead: float

    @property
    def total_time(self) -> float:
        """All of it: a little more than the sum of the parts, as on the service."""
        return self.queue_time + self.prompt_time + self.completion_time + self.overhead


@dataclass(frozen=True, slots=True)
class Completion:
    """All that one response says."""

    id: str
    model: str
    created: int
    fingerprint: str
    choices: tuple[Choice, ...]
    usage: Usage
    timing: Timing
    service_tier_used: str | None = None


class _Budget:
    """Tokens that may still be generated."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.short = False

    def take(self, tokens: Sequence[str]) -> list[str]:
        """Return as many of the tokens as may still be generated."""
        taken = list(tokens[: self.left])
        self.short = self.short or len(taken) < len(tokens)
        self.left -= len(taken)
        return taken

    def spend(self, count: int) -> bool:
        """Take a number of tokens or none at all; say whether they were there."""
        if count > self.left:
            self.left = 0
            self.short = True
            return False
        self.left -= count
        return True


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Cut a text before the first stop text; say whether one was found."""
    found = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    return (text[: min(found)], True) if found else (text, False)


def make_choice(
    answer: Answer,
    request: ChatRequest,
    *,
    index: int,
    limit: int,
    rng: Random,
    chunk_tokens: int | None = None,
) -> Choice:
    """Apply a request's limits and formats to an answer.

    Args:
        answer: What the model would say if nothing stopped it.
        request: What was asked for.
        index: Which of the request's answers this is.
        limit: The most tokens that may be generated, at least 0.
        rng: Decides how the stream is cut, and what the log probabilities are.
        chunk_tokens: Tokens in each stream event; None varies it.
    """
    budget = _Budget(limit)
    stopped = False
    content_text = answer.content
    if content_text is not None:
        content_text, stopped = cut_at_stop(content_text, request.stop)
    reasoning = None
    if answer.reasoning and request.effort != "none":
        reasoning = budget.take(split_tokens(answer.reasoning))
    content = None
    if content_text is not None:
        content = budget.take(split_tokens(content_text))
        if budget.short and not content:
            content = None
    calls = [] if stopped else list(_cut_calls(answer.tool_calls, budget))
    accepted, rejected = _predicted(request, "".join(content or ()))
    tokens = sum(
        [
            len(reasoning or ()),
            len(content or ()),
            *(CALL_TOKENS + count_tokens(call.arguments) for call in calls),
            rejected,
        ]
    )
    shown = _Shown(request, reasoning, content, rng, answer)
    pieces = tuple(shown.pieces(calls, chunk_tokens))
    if budget.short:
        finish = "length"
    elif answer.finish_reason and not stopped:
        finish = answer.finish_reason
    else:
        finish = "tool_calls" if calls else "stop"
    return Choice(
        index=index,
        content=shown.content_text,
        reasoning=shown.reasoning_text,
        tool_calls=tuple(calls),
        finish_reason=finish,
        pieces=pieces,
        completion_tokens=tokens,
        reasoning_tokens=len(reasoning or ()),
        accepted_tokens=accepted,
        rejected_tokens=rejected,
        logprobs=shown.logprobs,
        reasoning_logprobs=shown.reasoning_logprobs,
    )


def _cut_calls(calls: Sequence[ToolCall], budget: _Budget) -> Iterator[ToolCall]:
    """Yield the calls that fit; the last one's arguments may be cut anywhere."""
    for call in calls:
        if not budget.spend(CALL_TOKENS):
            return
        arguments = "".join(budget.take(split_tokens(call.arguments)))
        yield ToolCall(call.name, arguments, call.id, call.chunks)
        if budget.short:
            return


def _predicted(request: ChatRequest, content: str) -> tuple[int, int]:
    """Count the tokens of a prediction that were used, and those that were not."""
    if request.prediction is None:
        return 0, 0
    predicted, actual = split_tokens(request.prediction), split_tokens(content)
    matcher = difflib.SequenceMatcher(a=predicted, b=actual, autojunk=False)
    accepted = sum(block.size for block in matcher.get_matching_blocks())
    return accepted, len(predicted) - accepted


class _Shown:
    """What the client gets to see of reasoning and content, in the asked format."""

    def __init__(
        self,
        request: ChatRequest,
        reasoning: list[str] | None,
        content: list[str] | None,
        rng: Random,
        answer: Answer,
    ) -> None:
        self._request = request
        self._rng = rng
        self._answer = answer
        style = request.reasoning_format
        hidden = style == "hidden"
        inline = style == "raw" and reasoning is not None
        self._reasoning = None if hidden or inline else reasoning
        self._content = content
        if inline and reasoning is not None:
            self._content = self._inline(reasoning, content)
        self._inlined = inline
        self.reasoning_text = _joined(self._reasoning)
        self.content_text = _joined(self._content)
        self.logprobs: tuple[JsonObject, ...] | None = None
        self.reasoning_logprobs: tuple[JsonObject, ...] | None = None
        if request.logprobs:
            thought = self._entries(self._reasoning or ())
            said = answer.logprobs or self._entries(self._content or ())
            self._thought, self._said = thought, tuple(said)
            if style == "parsed":
                self.logprobs = self._said
                self.reasoning_logprobs = thought or None
            else:
                self.logprobs = (*thought, *self._said)
        else:
            self._thought, self._said = (), ()

    def _inline(self, reasoning: list[str], content: list[str] | None) -> list[str]:
        if not self._request.profile.thinking_tags:
            return [*reasoning, *(content or ())]
        opened = ["<think>", "\n", *reasoning]
        return opened if content is None else [*opened, "\n</think>", "\n\n", *content]

    def pieces(
        self, calls: Sequence[ToolCall], chunk_tokens: int | None
    ) -> Iterator[Piece]:
        """Yield what each stream event carries."""
        yield from self._text_pieces(
            "reasoning", self._reasoning, self._answer.reasoning_chunks, chunk_tokens
        )
        exact = None if self._inlined else self._answer.chunks
        yield from self._text_pieces("content", self._content, exact, chunk_tokens)
        for position, call in enumerate(calls):
            if self._request.profile.tool_deltas == "whole" and call.chunks is None:
                tokens = CALL_TOKENS + count_tokens(call.arguments)
                yield Piece("tool_start", call.name, tokens, position)
                continue
            yield Piece("tool_start", call.name, CALL_TOKENS, position)
            for text in self._argument_pieces(call, chunk_tokens):
                yield Piece("tool_arguments", text, count_tokens(text), position)

    def _text_pieces(
        self,
        kind: Literal["reasoning", "content"],
        tokens: list[str] | None,
        exact: tuple[str, ...] | None,
        chunk_tokens: int | None,
    ) -> Iterator[Piece]:
        if tokens is None:
            return
        if exact is not None:
            yield from self._exact_pieces(kind, "".join(tokens), exact)
            return
        entries = self._thought if kind == "reasoning" else self._said
        at = 0
        while at < len(tokens):
            size = chunk_tokens or self._rng.randint(1, 8)
            text = "".join(tokens[at : at + size])
            chosen = entries[at : at + size] if self._request.logprobs else None
            yield Piece(kind, text, min(size, len(tokens) - at), 0, chosen)
            at += size

    def _exact_pieces(
        self, kind: Literal["reasoning", "content"], text: str, exact: tuple[str, ...]
    ) -> Iterator[Piece]:
        """Yield the scripted pieces, as far as limits and stop texts let them come."""
        left = len(text)
        for chunk in exact:
            shown = chunk[:left]
            left -= len(shown)
            if shown or chunk == "":
                entries = None
                if self._request.logprobs:
                    entries = self._entries(split_tokens(shown))
                yield Piece(kind, shown, count_tokens(shown), 0, entries)

    def _argument_pieces(
        self, call: ToolCall, chunk_tokens: int | None
    ) -> Iterator[str]:
        if call.chunks is not None:
            left = len(call.arguments)
            for chunk in call.chunks:
                yield chunk[:left]
                left = max(0, left - len(chunk))
            return
        tokens = split_tokens(call.arguments)
        at = 0
        while at < len(tokens):
            size = chunk_tokens or self._rng.randint(1, 4)
            yield "".join(tokens[at : at + size])
            at += size

    def _entries(self, tokens: Sequence[str]) -> tuple[JsonObject, ...]:
        return tuple(
            log_probability(token, self._request.top_logprobs, self._rng)
            for token in tokens
        )


def log_probability(token: str, alternatives: int, rng: Random) -> JsonObject:
    """Make up one token's log probability, with its alternatives in falling order."""
    chance = 0.55 + 0.44 * rng.random()
    entry = _log_entry(token, chance)
    tops = [dict(entry)] if alternatives else []
    rest = 1.0 - chance
    for rank in range(1, alternatives):
        rest *= 0.5
        tops.append(_log_entry(f"{token.rstrip()}{'~' * rank}", rest))
    return {**entry, "top_logprobs": tops}


def _log_entry(token: str, chance: float) -> JsonObject:
    return {
        "token": token,
        "logprob": round(math.log(chance), 6),
        "bytes": list(token.encode()),
    }


def _joined(tokens: Sequence[str] | None) -> str | None:
    return None if tokens is None else "".join(tokens)


def make_timing(
    usage: Usage, *, speed: float, created: float, rng: Random, queue_time: float | None
) -> Timing:
    """Say how long the service would have taken.

    Args:
        usage: What was read and written.
        speed: Tokens per second.
        created: When, in seconds since 1970.
        rng: Makes queue and overhead vary.
        queue_time: Seconds; None makes one up.
    """
    fresh = max(0, usage.prompt_tokens - usage.cached_tokens)
    waited = rng.uniform(0.0001, 0.003) if queue_time is None else queue_time
    return Timing(
        created=created,
        queue_time=round(waited, 9),
        prompt_time=round(0.001 + fresh / 60_000 + usage.cached_tokens / 600_000, 9),
        completion_time=round(usage.completion_tokens / speed, 9),
        overhead=round(rng.uniform(0.001, 0.015), 9),
    )
