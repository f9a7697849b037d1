"""`Exchange`: what is known of one request, from its first byte to its last.

The relay fills it, observers read it once when it has ended: metrics, the log, the
ledger, limits. It holds no prompt and no answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from langchain_cerebras_ext.costs.pricing import Cost

__all__ = ["ErrorCategory", "Exchange", "Observer", "Operation", "Outcome", "Phase"]

Operation: TypeAlias = Literal["chat", "text_completion", "models", "other"]
"""The first two as OpenTelemetry names them; only they reach a model."""

Outcome: TypeAlias = Literal["ok", "failed", "aborted", "refused"]
"""`aborted`: the client left before the end. `refused`: the proxy's own answer."""

Phase: TypeAlias = Literal["waiting", "before_first_token", "streaming", "body"]
"""How far an exchange was when it was broken off: no answer's head yet; a stream
without content yet; amid a stream; amid an answer that is not a stream."""

ErrorCategory: TypeAlias = Literal[
    "auth",
    "bad_request",
    "not_found",
    "model_retired",
    "model_not_allowed",
    "payload_too_large",
    "rate_limit",
    "budget",
    "overloaded",
    "shutting_down",
    "upstream_auth",
    "upstream_bad_request",
    "upstream_not_found",
    "upstream_rate_limit",
    "upstream_server",
    "upstream_timeout",
    "upstream_connection",
    "upstream_interrupted",
    "upstream_invalid_answer",
    "client_gone",
    "client_timeout",
    "internal",
]
"""Why there was no whole answer. Those that begin with `upstream_` came from there."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and its answer.

    Attributes:
        request_id: Ours, unique; answered as `x-request-id`.
        trace_id: The 32 hex digits of `traceparent`, or the caller's own `trace-...`.
        span_id: Ours, 16 hex digits; sent upstream in `traceparent`.
        parent_span_id: The caller's.
        started_at: When its head had arrived (UTC).
        began: The same on `time.perf_counter`.
        method: HTTP's.
        path: Without the query.
        operation: What was asked.
        key_id: Whose key it was; `None` in open mode or where none fits.
        model_asked: As the client wrote it; empty where it did not.
        model: As it was sent upstream; known models, aliases and prefixes resolved.
        stream: Whether a stream was asked for.
        max_output_tokens: What the request allows, if it says so.
        request_bytes: Size of the body as it arrived.
        prompt_bytes: Size of the body as JSON; for estimates of what broke off.
        upstream: Name of the upstream that answered, or was tried last.
        attempts: How many upstreams were tried.
        failed_upstreams: Of the tries before the last: upstream and error category.
        sunset: Day on which the model's service ends or ended, and successor.
        status: What the client got; 499 where it left before the head.
        outcome: How it ended.
        error_category: Why it was not `ok`.
        error_message: For the log; masked and short.
        phase: How far it was when it broke off.
        upstream_status: What the upstream answered.
        upstream_id: Its id of the request.
        model_served: The model that the answer names.
        usage: The answer's `usage` object, as it came.
        time_info: The answer's `time_info`, as it came.
        rate_limits: The answer's `x-ratelimit-*` headers by the rest of their names.
        ttft_s: Seconds from `began` to the first content of a stream.
        upstream_ttft_s: The same from sending to the upstream.
        duration_s: Seconds from `began` to the end.
        upstream_began: When the upstream was turned to, on `time.perf_counter`.
        unreached: That upstream was not reached: nothing was sent to it.
        events: Events of a stream that arrived.
        answer_chars: Characters of content that arrived, about; where `usage` is
            missing, the output is estimated by them.
        response_bytes: What was sent to the client.
        cost: Set by the pricing observer, which is the first; `None` if not known.
        flags: As in `UsageRecord.flags`.
        detail: What observers add for those after them.
    """

    request_id: str
    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    started_at: datetime
    began: float
    method: str
    path: str
    operation: Operation = "other"
    key_id: str | None = None
    model_asked: str = ""
    model: str = ""
    stream: bool = False
    max_output_tokens: int | None = None
    request_bytes: int = 0
    prompt_bytes: int = 0
    upstream: str | None = None
    attempts: int = 0
    failed_upstreams: list[tuple[str, ErrorCategory]] = field(default_factory=list)
    sunset: tuple[str, str | None] | None = None
    status: int = 0
    outcome: Outcome = "ok"
    error_category: ErrorCategory | None = None
    error_message: str | None = None
    phase: Phase = "waiting"
    upstream_status: int | None = None
    upstream_id: str | None = None
    model_served: str | None = None
    usage: dict[str, Any] | None = None
    time_info: dict[str, Any] | None = None
    rate_limits: dict[str, str] | None = None
    ttft_s: float | None = None
    upstream_ttft_s: float | None = None
    duration_s: float = 0.0
    upstream_began: float | None = None
    unreached: bool = False
    events: int = 0
    answer_chars: int = 0
    response_bytes: int = 0
    cost: Cost | None = None
    flags: tuple[str, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    """Told of an exchange once, when it has ended; quick, and does not raise."""

    def __call__(self, exchange: Exchange) -> object:
        """Take note."""
