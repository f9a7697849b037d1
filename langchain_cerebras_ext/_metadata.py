"""Usage, timings and headers of an answer in LangChain's shapes."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.messages import AIMessage
    from langchain_core.messages.ai import UsageMetadata

    from langchain_cerebras_ext.errors import FailedAttempt
    from langchain_cerebras_ext.wire._decode import Chunk

PROVIDER = "cerebras"
"""`model_provider` in metadata and `ls_provider` in traces; both must be the same."""

_SHORTEST_SPAN_S = 0.02
"""Below this a stream came in one piece, and a rate over it would mean nothing."""

_INPUT_DETAILS = {"cached_tokens": "cache_read", "image_tokens": "image"}
_OUTPUT_DETAILS = {
    "reasoning_tokens": "reasoning",
    "accepted_prediction_tokens": "accepted_prediction",
    "rejected_prediction_tokens": "rejected_prediction",
}


def to_usage_metadata(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    """Return token counts under LangChain's standard keys, whatever the service tier.

    Reasoning and prediction tokens are part of `output_tokens`, cached and image
    tokens part of `input_tokens`. Details that the service left out are left out.
    Image tokens are read from both places in which the service has put them.

    Args:
        usage: The `usage` object of an answer or a last chunk.

    Returns:
        Whole numbers, or `None` if there were no counts.
    """
    if not usage:
        return None
    prompt, completion = (
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
    )
    total = _count(usage, "total_tokens")
    if prompt is None and completion is None and total is None:
        return None
    prompt, completion = _from_total(prompt, completion, total)
    prompt, completion = prompt or 0, completion or 0
    result: dict[str, Any] = {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
    }
    inputs = _details(usage.get("prompt_tokens_details"), _INPUT_DETAILS)
    images = _count(usage, "image_tokens")
    if images is not None:
        inputs.setdefault("image", images)
    outputs = _details(usage.get("completion_tokens_details"), _OUTPUT_DETAILS)
    if inputs:
        result["input_token_details"] = inputs
    if outputs:
        result["output_token_details"] = outputs
    return result  # type: ignore[return-value]


def uncounted_sides(usage: Mapping[str, Any] | None) -> tuple[bool, bool]:
    """Return whether a usage block lacks the tokens of the prompt, and of the answer.

    The total and the other side say as much.
    """
    if not usage:
        return True, True
    prompt, completion = _from_total(
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
        _count(usage, "total_tokens"),
    )
    return prompt is None, completion is None


def _from_total(
    prompt: int | None, completion: int | None, total: int | None
) -> tuple[int | None, int | None]:
    """Return both sides, one of them out of the total where it was left out."""
    if total is not None:
        if prompt is None and completion is not None:
            prompt = max(total - completion, 0)
        elif completion is None and prompt is not None:
            completion = max(total - prompt, 0)
    return prompt, completion


def output_tokens_of(usage: Mapping[str, Any] | None) -> int | None:
    """Return the tokens of an answer as the service counted them."""
    return _count(usage, "completion_tokens") if usage else None


def _count(values: Mapping[str, Any], key: str) -> int | None:
    """Return a count; what is none, or less than nothing, was not counted."""
    value: Any = values.get(key)
    if value.__class__ is int:
        count: int = value
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    elif isfinite(value):
        count = int(value)
    else:
        return None
    return count if count >= 0 else None


def _details(values: Any, names: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    if isinstance(values, dict):
        for key, name in names.items():
            count = _count(values, key)
            if count is not None:
                found[name] = count
    return found


def measured(
    *,
    elapsed_s: float,
    first_token_s: float | None,
    output_tokens: int | None,
    limiter_wait_s: float = 0.0,
) -> dict[str, float]:
    """Return what the client measured with a monotonic clock.

    Args:
        elapsed_s: From sending the request to the end of the answer.
        first_token_s: From sending the request to the first text, reasoning or tool
            call of a stream; `None` for a plain answer.
        output_tokens: As the service counted them.
        limiter_wait_s: How long a rate limiter of ours held the call back; it is not
            part of the other times.

    Returns:
        `total_s`; `rate_limiter_wait_s` if there was one; for a stream
        `time_to_first_token_s`; and, where the service counted tokens,
        `output_tokens_per_s`: over the time after the first token for a stream, over
        the whole call for a plain answer or one that came at once.
    """
    result = {"total_s": elapsed_s}
    if limiter_wait_s:
        result["rate_limiter_wait_s"] = limiter_wait_s
    span = elapsed_s
    if first_token_s is not None:
        result["time_to_first_token_s"] = first_token_s
        if elapsed_s - first_token_s >= _SHORTEST_SPAN_S:
            span = elapsed_s - first_token_s
    if output_tokens and span > 0:
        result["output_tokens_per_s"] = output_tokens / span
    return result


def answer_metadata(
    chunk: Chunk | AnswerFacts, finish_reason: str | None
) -> dict[str, Any]:
    """Return what the service said of an answer, under LangChain's keys."""
    found: dict[str, Any] = {
        "model_name": chunk.model,
        "finish_reason": finish_reason,
        "system_fingerprint": chunk.system_fingerprint,
        "id": chunk.id,
        "created": chunk.created,
        "time_info": chunk.time_info,
        "service_tier": chunk.service_tier,
        "service_tier_used": chunk.service_tier_used,
    }
    return {key: value for key, value in found.items() if value is not None}


def answer_notice(message: AIMessage | None, reason: str | None) -> str | None:
    """Return what to say of an answer that is whole but holds nothing to go on with.

    Args:
        message: The answer.
        reason: Its finish_reason.

    Returns:
        A sentence on a filtered or reasoning-only answer and its cure, else `None`.
    """
    if message is None:
        return None
    if reason == "content_filter":
        return (
            "The service's content filter ended the answer (finish_reason "
            "content_filter): it may be empty or cut off. Rephrase the prompt."
        )
    if message.tool_calls or message.invalid_tool_calls or message.text:
        return None
    if not message.additional_kwargs.get("reasoning_content"):
        return None
    if reason == "length":
        return (
            "The answer holds only reasoning: the token limit came before the first "
            "word of text (finish_reason length). Raise max_tokens, or lower "
            "reasoning_effort."
        )
    return (
        f"The answer holds only reasoning and no text (finish_reason {reason}). Ask "
        "again, or lower reasoning_effort."
    )


def tries(attempts: int, failed: Sequence[FailedAttempt]) -> dict[str, Any]:
    """Return how many requests an answer took, and what became of the others."""
    found: dict[str, Any] = {"attempts": attempts}
    if failed:
        found["failed_attempts"] = [_told(failure) for failure in failed]
    return found


def _told(failure: FailedAttempt) -> dict[str, Any]:
    told = asdict(failure)
    if told["usage"] is None:
        del told["usage"]  # as in messages: there, or not
    return told


class AnswerFacts:
    """What the chunks of a stream said of the whole; the last word counts."""

    __slots__ = (
        "created",
        "id",
        "model",
        "service_tier",
        "service_tier_used",
        "system_fingerprint",
        "time_info",
        "usage",
    )

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.created: int | float | None = None
        self.system_fingerprint: str | None = None
        self.usage: dict[str, Any] | None = None
        self.time_info: dict[str, Any] | None = None
        self.service_tier: str | None = None
        self.service_tier_used: str | None = None

    def update(self, chunk: Chunk) -> None:
        """Take what a chunk says."""
        for name in self.__slots__:
            value = getattr(chunk, name)
            if value is not None:
                setattr(self, name, value)

    @property
    def output_tokens(self) -> int | None:
        """Tokens of the answer as the service counted them."""
        return output_tokens_of(self.usage)
