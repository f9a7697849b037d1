"""`UsageRecord`: what one call used and cost, as one row that never changes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal  # noqa: TC003
from os import urandom
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import msgspec

from langchain_cerebras_ext._metering import CallOutcome, add_try
from langchain_cerebras_ext.costs.pricing import Cost  # noqa: TC001

if TYPE_CHECKING:
    from langchain_cerebras_ext.costs._brief import Brief

__all__ = [
    "FLAGS",
    "OUTCOMES",
    "CallOutcome",
    "Flag",
    "Outcome",
    "UsageRecord",
    "new_id",
]

Outcome = Literal["ok", "failed", "aborted", "cache_hit", "retried"]
"""How a call ended.

`aborted` was closed or cancelled by its caller before the end. `cache_hit` was
answered by LangChain's cache, for nothing. `retried` is a try that failed and may have
been billed, while another try followed: it is a row of its own, and no call.
"""

Flag = Literal["unpriced", "estimated", "no_usage"]
"""What is not certain of a row.

`unpriced`: no price is known, so that `cost` is `None`. `estimated`: the tokens were
counted here, from what was sent and what had arrived. `no_usage`: the service did not
say how many tokens it counted; without `estimated`, nobody knows.
"""

OUTCOMES: tuple[Outcome, ...] = ("ok", "failed", "aborted", "cache_hit", "retried")
FLAGS: tuple[Flag, ...] = ("unpriced", "estimated", "no_usage")


def new_id() -> str:
    """Return a record's id."""
    return urandom(16).hex()


class UsageRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One call: who made it, what it used, how long it took, what it cost.

    `None` is not known, zero is zero. Parts are contained in their whole: cached and
    image tokens in `input_tokens`; reasoning and prediction tokens in
    `output_tokens`.

    Attributes:
        started_at: When the call began (UTC).
        model: The model that was asked for.
        record_id: Unique for ever and everywhere; ledgers are merged by it.
        provider: Whose service it was, under LangChain's name for it.
        model_served: The model that the answer names.
        operation: `chat` or `text_completion`, as OpenTelemetry names them.
        stream: Whether a stream was asked for.
        run_id: LangChain's id of the run.
        parent_run_id: Of the run that made it.
        trace_id: Of the outermost run.
        router_call_id: Of a router's call: all its tries have the same one. It is the
            id of the router's run, where somebody listens to that.
        router_so_far: What that call had come to before this try ended. `None` for the
            try that ended first; others are tries, but no further call.
        request_id: The service's id.
        tags: LangChain's tags of the run, and those of `track_costs`.
        user: Who it was for.
        session: The conversation or job that it belongs to.
        node: LangGraph's node, with the nodes and the agent that it is within, such as
            `researcher/model`.
        arm: The arm of an experiment.
        outcome: How it ended.
        error_type: Name of the error's class.
        attempts: How many requests were sent; for a `retried` row, which one it was.
        service_tier: The service's tier that served it.
        input_tokens: Prompt tokens.
        cached_input_tokens: Of them, read from the prompt cache.
        cache_write_tokens: Of them, written to the prompt cache (other providers).
        image_tokens: Of them, images.
        output_tokens: Completion tokens, of all answers together.
        reasoning_tokens: Of them, reasoning.
        accepted_prediction_tokens: Of them, predicted rightly.
        rejected_prediction_tokens: Of them, predicted wrongly, and billed.
        ttft_s: Seconds from sending to the first content of a stream.
        duration_s: Seconds from sending to the end.
        queue_time_s: Seconds in the service's queue, as it says.
        output_tokens_per_s: After the first token for a stream.
        cost: USD by kind; `None` where not known.
        flags: What is not certain; see `doubts`.
    """

    started_at: datetime
    model: str
    record_id: str = msgspec.field(default_factory=new_id)
    provider: str = "cerebras"
    model_served: str | None = None
    operation: str = "chat"
    stream: bool = False
    run_id: str | None = None
    parent_run_id: str | None = None
    trace_id: str | None = None
    router_call_id: str | None = None
    router_so_far: CallOutcome | None = None
    request_id: str | None = None
    tags: tuple[str, ...] = ()
    user: str | None = None
    session: str | None = None
    node: str | None = None
    arm: str | None = None
    outcome: Outcome = "ok"
    error_type: str | None = None
    attempts: int = 1
    service_tier: str | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    image_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    ttft_s: float | None = None
    duration_s: float | None = None
    queue_time_s: float | None = None
    output_tokens_per_s: float | None = None
    cost: Cost | None = None
    flags: tuple[Flag, ...] = ()

    @property
    def cost_usd(self) -> Decimal | None:
        """The whole cost in USD; `None` where it is not known."""
        return None if self.cost is None else self.cost.total

    @property
    def doubts(self) -> tuple[Flag, ...]:
        """The flags, and `unpriced` where there is no cost and no word of why.

        Such a record was made by hand or elsewhere. What a cache has answered costs
        nothing.
        """
        return doubts_of(self.outcome, self.flags, is_priced=self.cost is not None)

    @property
    def came_to(self) -> CallOutcome | None:
        """What the call has come to with this try; `None` if another one follows."""
        return add_try(self.router_so_far, self.outcome)

    @property
    def served(self) -> str:
        """The model that answered, or else the one that was asked."""
        return self.model_served or self.model

    @property
    def total_tokens(self) -> int | None:
        """Prompt and completion; `None` where neither is known."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    @property
    def usage(self) -> dict[str, Any] | None:
        """The tokens as LangChain's `UsageMetadata`; `None` where not known."""
        if self.total_tokens is None:
            return None
        inputs = {
            "cache_read": self.cached_input_tokens,
            "cache_creation": self.cache_write_tokens,
            "image": self.image_tokens,
        }
        outputs = {
            "reasoning": self.reasoning_tokens,
            "accepted_prediction": self.accepted_prediction_tokens,
            "rejected_prediction": self.rejected_prediction_tokens,
        }
        return {
            "input_tokens": self.input_tokens or 0,
            "output_tokens": self.output_tokens or 0,
            "total_tokens": self.total_tokens,
            "input_token_details": {k: v for k, v in inputs.items() if v is not None},
            "output_token_details": {k: v for k, v in outputs.items() if v is not None},
        }

    def replace(self, **changes: Any) -> Self:
        """Return the record with other values in some fields."""
        return msgspec.structs.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON has them: money as decimal strings, UTC times."""
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        return cast("dict[str, Any]", msgspec.to_builtins(named))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the record of a dict such as `to_dict` gives.

        Raises:
            msgspec.ValidationError: A field is wrong; the message names it.
        """
        return msgspec.convert(values, cls)


def doubts_of(
    outcome: Outcome, flags: tuple[Flag, ...], *, is_priced: bool
) -> tuple[Flag, ...]:
    """Return what is not certain of a row; see `UsageRecord.doubts`."""
    if is_priced or outcome == "cache_hit" or "unpriced" in flags:
        return flags
    if "no_usage" in flags and "estimated" not in flags:
        return flags
    return (*flags, "unpriced")


def record_of(told: UsageRecord | Brief) -> UsageRecord:
    """Return a record that was told of, made now if it was not yet."""
    return told if isinstance(told, UsageRecord) else told.get()


def utc_now() -> datetime:
    """Return the time of day in UTC."""
    return datetime.now(UTC)
