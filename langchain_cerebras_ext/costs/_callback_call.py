"""A call that only LangChain's callbacks tell of: another provider's, or a cached one.

What is known is what the handlers are told: less than where a call is sent. A call that
is cut off is estimated; one whose end is never told stays open, and is shown so.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext._metadata import PROVIDER
from langchain_cerebras_ext.costs._foreign import text_of, usage_of
from langchain_cerebras_ext.costs._meter import (
    GUESSED,
    UNCOUNTED,
    deliver,
    end_of_left,
    find_price,
    prices_of,
)
from langchain_cerebras_ext.costs._providers import PROVIDERS, provider_name
from langchain_cerebras_ext.costs._usage import read_standard
from langchain_cerebras_ext.costs.planning import highest_cost
from langchain_cerebras_ext.costs.pricing import Cost, price_call
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.errors import InvalidUsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

    from langchain_cerebras_ext.costs._run import Run
    from langchain_cerebras_ext.costs.budget import CallScope, Hold
    from langchain_cerebras_ext.costs.records import Flag, Outcome
    from langchain_cerebras_ext.costs.tracker import CostTracker

__all__ = ["CallbackCall"]


class Tokens:
    """Counts of one call, and what is not certain of them."""

    __slots__ = ("flags", "usage")

    def __init__(
        self, usage: Mapping[str, Any] | None, flags: tuple[Flag, ...] = ()
    ) -> None:
        self.usage = usage
        self.flags = flags

    @classmethod
    def none(cls) -> Tokens:
        """Return the counts of a call that was never billed."""
        return cls({"input_tokens": 0, "output_tokens": 0})

    @classmethod
    def estimated(cls, input_tokens: int, output_tokens: int) -> Tokens:
        """Return counts that were made here."""
        return cls(
            {"input_tokens": input_tokens, "output_tokens": output_tokens}, GUESSED
        )


class CallbackCall:
    """One run as callbacks tell of it, for all trackers that hear them."""

    __slots__ = (
        "_began",
        "_budgets",
        "_clock",
        "_holds",
        "_messages",
        "_model",
        "_options",
        "_provider",
        "_run",
    )

    def __init__(self, run: Run) -> None:
        self._run = run
        self._began = datetime.now(UTC)
        self._clock = time.monotonic()
        self._messages: Sequence[BaseMessage] | str = ()
        self._options: Mapping[str, Any] = {}
        self._budgets: list[Any] = []
        self._holds: list[Hold] = []
        said = run.metadata
        nobody = PROVIDER if run.is_ours else _UNKNOWN
        self._provider = str(said.get("ls_provider") or nobody)
        self._model = str(said.get("ls_model_name") or _UNKNOWN)

    def started(
        self, messages: Sequence[BaseMessage] | str, more: Mapping[str, Any]
    ) -> None:
        """Note what is asked of whom; the same for every tracker of the run."""
        self._messages = messages
        self._options = more.get("invocation_params") or {}
        if self._model == _UNKNOWN:
            named = self._options.get("model") or self._options.get("model_name")
            self._model = str(named or _UNKNOWN)
        if self._provider == _UNKNOWN:
            self._provider = _provider_of_type(self._options.get("_type"))

    # -------------------------------------------------------------------- budgets

    def reserve(self, trackers: Sequence[CostTracker]) -> None:
        """Reserve what the call may cost with the budgets not yet asked.

        Raises:
            BudgetExceeded: A budget does not allow it.
        """
        for tracker in trackers:
            for budget in tracker.budgets:
                if budget in self._budgets:
                    continue
                self._budgets.append(budget)
                hold = budget.reserve(self._scope(trackers), self._highest(trackers))
                if hold is not None:
                    self._holds.append(hold)

    def _scope(self, trackers: Sequence[CostTracker]) -> CallScope:
        from langchain_cerebras_ext.costs.budget import CallScope

        context = self._run.context(trackers)
        return CallScope(
            model=self._model,
            provider=self._provider,
            user=context.user,
            session=context.session,
            tags=context.tags,
            run=self._run.trace,
        )

    def _highest(self, trackers: Sequence[CostTracker]) -> Any:
        most = (
            self._run.metadata.get("ls_max_tokens")
            or self._options.get("max_completion_tokens")
            or self._options.get("max_tokens")
        )
        return highest_cost(
            find_price(self._provider, self._model, self._began, trackers),
            model=self._model,
            input_tokens=self._input_tokens(),
            max_output_tokens=most if isinstance(most, int) and most > 0 else None,
            n=self._options.get("n") or 1,
        )

    def _input_tokens(self) -> int:
        from langchain_cerebras_ext._tokens import (
            count_message_tokens,
            count_text_tokens,
        )

        if isinstance(self._messages, str):
            return count_text_tokens(self._messages, self._model)
        tools = self._options.get("tools")
        return count_message_tokens(self._messages, self._model, tools=tools)

    # ------------------------------------------------------------------------ ends

    def ended(self, trackers: Sequence[CostTracker], response: LLMResult) -> None:
        """Record an answer."""
        found = usage_of(response)
        if found.cache_hit or (self._run.is_ours and not _was_sent(response)):
            self._write(trackers, "cache_hit", Tokens(found.usage), free=True)
            _say_free(response)
            return
        tokens = Tokens(found.usage)
        if found.with_sibling:
            tokens = Tokens.none()  # the first prompt's record has them all
        elif found.usage is None:
            arrived = self._text_tokens(text_of(response))
            tokens = Tokens.estimated(self._input_tokens(), arrived)
        self._write(
            trackers,
            "ok",
            tokens,
            model_served=found.model_served,
            service_tier=found.service_tier,
        )

    def failed(
        self,
        trackers: Sequence[CostTracker],
        error: BaseException,
        response: LLMResult | None,
    ) -> None:
        """Record a failure, with what had arrived before it."""
        outcome: Outcome = "failed"
        error_type: str | None = type(error).__name__
        if isinstance(error, _ABORTS):
            outcome, error_type = end_of_left(self._run.router_call, error)
        found = usage_of(response) if response is not None else None
        if found is not None and found.usage is not None:
            tokens = Tokens(found.usage)
        elif self._run.is_ours or _was_refused(error):
            tokens = Tokens.none()
        else:
            arrived = text_of(response) if response is not None else ""
            tokens = Tokens.estimated(self._input_tokens(), self._text_tokens(arrived))
        self._write(
            trackers,
            outcome,
            tokens,
            error_type=error_type,
            model_served=found.model_served if found is not None else None,
        )

    def refused(self, trackers: Sequence[CostTracker], error: Exception) -> None:
        """Record a call that was stopped before it was sent."""
        self._write(trackers, "failed", Tokens.none(), error_type=type(error).__name__)

    def abandoned(self, trackers: Sequence[CostTracker]) -> None:
        """Record a call whose end was never told."""
        if self._run.is_ours:
            self.unsent(trackers)
        else:
            self._leave(trackers, Tokens.estimated(self._input_tokens(), 0))

    def unsent(self, trackers: Sequence[CostTracker]) -> None:
        """Record a call that was given up before it was sent."""
        self._leave(trackers, Tokens.none())

    def _leave(self, trackers: Sequence[CostTracker], tokens: Tokens) -> None:
        outcome, error_type = end_of_left(self._run.router_call, None)
        self._write(trackers, outcome, tokens, error_type=error_type, duration_s=None)

    def unread(self, trackers: Sequence[CostTracker], error: Exception) -> None:
        """Record a call whose end cannot be read: all that is known is that it was."""
        name = type(error).__name__
        self._write(trackers, "failed", Tokens(None, UNCOUNTED), error_type=name)

    def _text_tokens(self, text: str) -> int:
        from langchain_cerebras_ext._tokens import count_text_tokens

        return count_text_tokens(text, self._model) if text else 0

    def _write(
        self,
        trackers: Sequence[CostTracker],
        outcome: Outcome,
        tokens: Tokens,
        *,
        free: bool = False,
        **more: Any,
    ) -> None:
        """Settle, and hand the record on."""
        cost = Cost() if free else self._price(tokens, more, trackers)
        counts = read_standard(tokens.usage)
        flags = () if free else tokens.flags
        if cost is None:
            flags = (*flags, "unpriced")
        holds, self._holds = self._holds, []
        for hold in holds:
            hold.settle(None if cost is None else cost.total)
        run, call = self._run, self._run.router_call
        context = run.context(trackers)
        run_id, parent_run_id, trace_id = run.ids()
        fields: dict[str, Any] = {
            "duration_s": time.monotonic() - self._clock,
            **({} if counts is None else counts._asdict()),
            **more,
        }
        record = UsageRecord(
            started_at=self._began,
            model=self._model,
            provider=self._provider,
            stream=bool(self._options.get("stream")),
            operation="text_completion" if self._is_text() else "chat",
            run_id=run_id,
            parent_run_id=parent_run_id,
            trace_id=trace_id,
            router_call_id=context.router_call,
            router_so_far=None if call is None else call.end_try(outcome),
            tags=context.tags,
            user=context.user,
            session=context.session,
            node=context.node,
            arm=context.arm,
            outcome=outcome,
            cost=cost,
            flags=flags,
            **fields,
        )
        deliver(record, trackers)

    def _is_text(self) -> bool:
        """Whether it completes text; of our own, nobody has told what was asked."""
        if not self._run.is_ours:
            return isinstance(self._messages, str)
        said = self._run.metadata
        return said.get("ls_model_type") == "llm" or "ls_provider" not in said

    def _price(
        self,
        tokens: Tokens,
        said: Mapping[str, Any],
        trackers: Sequence[CostTracker],
    ) -> Cost | None:
        if tokens.usage is None:
            return None
        if not tokens.usage["input_tokens"] and not tokens.usage["output_tokens"]:
            return Cost()  # nothing costs nothing
        try:
            return price_call(
                tokens.usage,
                provider=self._provider,
                model=self._model,
                served=said.get("model_served"),
                on=self._began,
                prices=prices_of(trackers),
                service_tier=said.get("service_tier"),
            )
        except InvalidUsageError:
            return None


def _provider_of_type(kind: object) -> str:
    """Return whose a text completion is, of which LangChain has said the type alone.

    Its `generate` and `agenerate` do not name the provider, as `invoke` does.
    """
    if isinstance(kind, str):
        named = provider_name(kind.removesuffix("-llm"))
        if named in PROVIDERS:
            return named
    return _UNKNOWN


_UNKNOWN: Final = "unknown"
_ABORTS = (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt)


def _was_refused(error: BaseException) -> bool:
    """Whether nothing was generated: the service said no.

    Of a service that failed, or waited no longer, nobody knows what it has counted:
    as of our own.
    """
    # HTTP clients' own errors have it on the response.
    for place in (error, getattr(error, "response", None)):
        status = getattr(place, "status_code", None)
        if isinstance(status, int):
            return status in _REFUSALS and status != _TIMED_OUT
    return False


_REFUSALS = range(400, 500)
_TIMED_OUT = 408


def _was_sent(response: LLMResult) -> bool:
    """Whether a model of ours has asked the service: its answers say so themselves.

    They are metered where they are sent; this is for those that slip through, and for
    old caches, whose answers have no metadata.
    """
    return any(
        "model_provider" in place
        for generations in response.generations
        for generation in generations
        for place in (
            generation.generation_info or {},
            getattr(getattr(generation, "message", None), "response_metadata", {}),
        )
    )


def _say_free(response: LLMResult) -> None:
    """Take the price of the first time from an answer out of the cache."""
    for generations in response.generations:
        for generation in generations:
            message: Any = getattr(generation, "message", None)
            metadata = getattr(message, "response_metadata", None)
            if metadata and "cost_usd" in metadata:
                message.response_metadata = {**metadata, "cost_usd": "0"}
