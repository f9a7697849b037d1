"""Holds what trackers say against what the service has billed."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from langchain_cerebras_ext import CerebrasLLM, ChatCerebras
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker
from langchain_cerebras_ext.simulator import Simulator

MODEL = "gpt-oss-120b"
RATES = {
    "gpt-oss-120b": (Decimal("0.35"), Decimal("0.75")),
    "zai-glm-4.7": (Decimal("2.25"), Decimal("2.75")),
    "gemma-4-31b": (Decimal("0.99"), Decimal("1.49")),
}
"""USD per million tokens of prompt and completion, from the vendor's page; cached
tokens cost there what others cost."""


def chat(simulator: Simulator, **fields: Any) -> ChatCerebras:
    """Return a chat model of the simulator."""
    given = {"model": MODEL, "base_url": simulator.base_url, "api_key": "k", **fields}
    return ChatCerebras(**given)


def completions(simulator: Simulator, **fields: Any) -> CerebrasLLM:
    """Return a text completion model of the simulator."""
    given = {"model": MODEL, "base_url": simulator.base_url, "api_key": "k", **fields}
    return CerebrasLLM(**given)


def by_hand(model: str, prompt: int, completion: int) -> Decimal:
    """Return what tokens cost, worked out in the plainest way."""
    into, out = RATES[model]
    return (into * prompt + out * completion) / 1_000_000


def bill_of(simulator: Simulator) -> tuple[int, int, int, int]:
    """Return the tokens that were billed: prompt, cached, completion, reasoning."""
    assert simulator.wait_idle()
    total = simulator.billed.total
    return (
        total.prompt_tokens,
        total.cached_tokens,
        total.completion_tokens,
        total.reasoning_tokens,
    )


def cost_by_hand(simulator: Simulator) -> Decimal:
    """Return what the service's bill comes to in USD."""
    assert simulator.wait_idle()
    return sum(
        (
            by_hand(model, total.prompt_tokens, total.completion_tokens)
            for model, total in simulator.billed.by_model.items()
        ),
        Decimal(0),
    )


def tokens_of(records: Iterable[UsageRecord]) -> tuple[int, int, int, int]:
    """Return the tokens of records as `bill_of` does; cache hits have cost none."""
    paid = [record for record in records if record.outcome != "cache_hit"]
    return (
        sum(record.input_tokens or 0 for record in paid),
        sum(record.cached_input_tokens or 0 for record in paid),
        sum(record.output_tokens or 0 for record in paid),
        sum(record.reasoning_tokens or 0 for record in paid),
    )


def assert_is_the_bill(tracker: CostTracker, simulator: Simulator) -> None:
    """Check that a tracker has all that was billed, to the token, and nothing more."""
    assert simulator.wait_idle()
    assert tokens_of(tracker.records) == bill_of(simulator)
    totals = tracker.totals
    paid = totals.calls - totals.cache_hits + totals.retries
    assert paid == len(simulator.billed), tracker.records
    assert totals.is_certain, totals
    assert totals.cost == tracker.get_total_cost() == cost_by_hand(simulator)
    assert tracker.open_calls == 0
    assert len({record.record_id for record in tracker.records}) == len(tracker.records)
