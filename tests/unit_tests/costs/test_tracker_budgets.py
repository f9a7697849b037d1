"""Budgets through models: they stop what exceeds them, and no ending leaks a hold."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import Any

import pytest
from call_paths import BETA, PATHS, acall, call
from cost_bill import chat, completions, cost_by_hand
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler

from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import BudgetExceeded, CerebrasError
from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter
from langchain_cerebras_ext.simulator import Simulator

pytestmark = BETA

TINY = Decimal("0.00000001")


def nothing_is_held(budget: Budget) -> bool:
    return all(status.reserved == 0 for status in budget.status())


@pytest.mark.parametrize("path", PATHS)
def test_a_spent_budget_stops_each_path_before_anything_is_sent(
    sim: Simulator, path: str
) -> None:
    budget = Budget(TINY, name="small")
    with track_costs(budget=budget) as costs, pytest.raises(BudgetExceeded) as caught:
        call(path, chat(sim), "hi")
    assert sim.requests == []
    assert (caught.value.budget, caught.value.limit) == ("small", TINY)
    assert caught.value.estimate is not None
    assert caught.value.estimate > TINY
    (record,) = costs.records
    assert (record.outcome, record.error_type, record.cost_usd, record.flags) == (
        "failed",
        "BudgetExceeded",
        0,
        (),
    )
    assert nothing_is_held(budget)


@pytest.mark.parametrize("how", ["config", "model", "scope"])
def test_a_budget_may_hang_on_any_tracker(sim: Simulator, how: str) -> None:
    budget = Budget(TINY)
    tracker = CostTracker(budgets=budget)
    model = chat(sim, callbacks=[tracker] if how == "model" else None)
    work = tracker.wrap(model.invoke) if how == "scope" else model.invoke
    config: Any = {"callbacks": [tracker]} if how == "config" else None
    with pytest.raises(BudgetExceeded):
        work("hi", config)
    assert sim.requests == []


@pytest.mark.parametrize("how", ["batch", "abatch", "generate", "text"])
def test_batches_stop_as_well(sim: Simulator, how: str) -> None:
    budget = Budget(TINY)
    with track_costs(budget=budget) as costs, pytest.raises(BudgetExceeded):
        if how == "batch":
            chat(sim).batch(["a", "b", "c"])
        elif how == "abatch":
            asyncio.run(chat(sim).abatch(["a", "b", "c"]))
        else:
            completions(sim).generate(["a", "b", "c"])
    assert sim.requests == []
    assert costs.get_total_cost() == 0
    assert costs.open_calls == 0
    assert nothing_is_held(budget)


def test_a_batch_may_return_what_was_stopped(sim: Simulator) -> None:
    with track_costs(budget=Budget("0.0004")):
        ends = chat(sim, max_tokens=300).batch(
            ["a"] * 8, {"max_concurrency": 1}, return_exceptions=True
        )
    assert sim.wait_idle()
    stopped = [end for end in ends if isinstance(end, BudgetExceeded)]
    assert stopped
    assert len(stopped) + len(sim.billed) == 8


def test_with_retry_asks_again_and_sends_nothing(sim: Simulator) -> None:
    """LangChain's `with_retry` repeats every error, unless told which."""
    model = chat(sim).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    with track_costs(budget=Budget(TINY)) as costs, pytest.raises(BudgetExceeded):
        model.invoke("hi")
    assert sim.requests == []
    assert costs.totals.failed == costs.totals.calls == 3
    assert costs.get_total_cost() == 0


def test_our_own_retries_do_not_repeat_it(sim: Simulator) -> None:
    with (
        track_costs(budget=Budget(TINY)) as costs,
        pytest.raises(BudgetExceeded) as got,
    ):
        chat(sim, max_retries=5).invoke("hi")
    assert costs.totals.calls == 1
    assert got.value.is_retryable is False


def test_each_retry_is_reserved_for_anew(sim: Simulator) -> None:
    """The first, billed, try leaves no room for a second one."""
    sim.fail_next(fault="no_choices")
    budget = Budget("0.0003")
    with track_costs(budget=budget) as costs, pytest.raises(BudgetExceeded):
        chat(sim, max_tokens=350, max_retries=3).invoke("hi")
    assert len(sim.billed) == 1
    assert [one.outcome for one in costs.records] == ["retried", "failed"]
    assert nothing_is_held(budget)
    assert budget.status()[0].spent == costs.get_total_cost() == cost_by_hand(sim)


class Refuses(BaseCallbackHandler):
    """Lets nothing begin."""

    raise_error = True
    run_inline = True

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError


@pytest.mark.parametrize("path", PATHS)
def test_what_another_handler_refuses_holds_nothing(sim: Simulator, path: str) -> None:
    budget = Budget(5)
    tracker = CostTracker(budgets=budget)
    with pytest.raises(RuntimeError):
        call(path, chat(sim), config={"callbacks": [tracker, Refuses()]})
    assert nothing_is_held(budget)


@pytest.mark.parametrize("path", ["invoke", "stream", "ainvoke", "astream"])
def test_what_a_rate_limiter_refuses_holds_nothing(sim: Simulator, path: str) -> None:
    limiter = CerebrasRateLimiter(requests_per_minute=1, max_wait=0)
    budget = Budget(5)
    model = chat(sim, rate_limiter=limiter, max_tokens=10)
    with track_costs(budget=budget) as costs:
        call(path, model)
        with pytest.raises(CerebrasError):
            call(path, model)
    assert nothing_is_held(budget)
    assert [one.outcome for one in costs.records] == ["ok", "failed"]
    assert costs.records[1].cost_usd == 0
    assert costs.totals.is_certain


def test_an_invalid_request_holds_nothing(sim: Simulator) -> None:
    budget = Budget(5)
    with track_costs(budget=budget), pytest.raises(CerebrasError):
        chat(sim).invoke("hi", temperature=99)
    with track_costs(budget=budget) as costs, pytest.raises(CerebrasError):
        completions(sim).generate(["a", ""])
    assert nothing_is_held(budget)
    assert costs.open_calls == 0
    assert costs.totals.calls == costs.totals.failed == 2


def test_a_cache_hit_needs_no_budget(sim: Simulator) -> None:
    model = chat(sim, cache=InMemoryCache(), max_tokens=100)
    model.invoke("hi")
    budget = Budget(TINY)
    with track_costs(budget=budget) as costs:
        model.invoke("hi")
    assert [one.outcome for one in costs.records] == ["cache_hit"]
    assert nothing_is_held(budget)


def test_budgets_of_inner_and_outer_scopes_both_hold(sim: Simulator) -> None:
    outer, inner = Budget(TINY, name="outer"), Budget(5, name="inner")
    with (
        track_costs(budget=outer),
        track_costs(budget=inner),
        pytest.raises(BudgetExceeded) as caught,
    ):
        chat(sim).invoke("hi")
    assert caught.value.budget == "outer"
    assert nothing_is_held(outer)
    assert nothing_is_held(inner)


def test_a_budget_for_each_user_asks_for_the_user_of_the_call(sim: Simulator) -> None:
    budget = Budget("0.0004", per="user")
    model = chat(sim, max_tokens=400)
    with track_costs(budget=budget):
        for user in ("ann", "bob"):
            model.invoke("hi", {"metadata": {"user_id": user}})
        with pytest.raises(BudgetExceeded):
            for _ in range(10):
                model.invoke("hi", {"metadata": {"user_id": "ann"}})
        model.invoke("hi", {"metadata": {"user_id": "bob"}})
    assert {status.key for status in budget.status()} == {"ann", "bob"}


def test_a_model_without_a_price_is_refused_unless_allowed(sim: Simulator) -> None:
    model = chat(sim, model="my-own-endpoint")
    with track_costs(budget=Budget(5)), pytest.raises(BudgetExceeded):
        model.invoke("hi")
    assert sim.requests == []


async def test_a_hold_is_seen_while_a_call_is_under_way(sim: Simulator) -> None:
    asked, seen = threading.Event(), threading.Event()

    def late(_: Any) -> str:
        asked.set()
        assert seen.wait(60)
        return "Hello"

    sim.reply(late)
    budget = Budget(5)
    with track_costs(budget=budget):
        task = asyncio.create_task(acall("ainvoke", chat(sim, max_tokens=1000)))
        assert await asyncio.to_thread(asked.wait, 60)
        held = budget.status()[0].reserved
        seen.set()
        await task
    assert held >= Decimal("0.75") * 1000 / 1_000_000
    assert nothing_is_held(budget)
