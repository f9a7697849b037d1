"""What other trackers are known to get wrong, each by its name.

Documented in their issue trackers: cached tokens priced twice or not at all, $0 for
streams and for models without a price, cache hits billed again, old calls at today's
price, sums that depend on their order, budgets that only log.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from call_paths import BASE, USAGE, answer, delta, plain
from cost_bill import MODEL, assert_is_the_bill, chat, cost_by_hand
from langchain_core.caches import InMemoryCache
from wire_server import CUT, DONE, Request, WireServer, sse

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import BudgetExceeded, CerebrasError
from langchain_cerebras_ext.retry import RetryPolicy
from langchain_cerebras_ext.simulator import Simulator

CACHED = {
    "prompt_tokens": 1_000,
    "completion_tokens": 100,
    "total_tokens": 1_100,
    "prompt_tokens_details": {"cached_tokens": 800},
}


@pytest.fixture
def sim(cerebras_simulator: Simulator) -> Simulator:
    return cerebras_simulator


def ask(serve: object, **fields: object) -> CostTracker:
    """Call a server of our own once, and return the tracker."""
    streamed = bool(fields.pop("streamed", False))
    prices = fields.pop("prices", None)
    with (
        WireServer(serve) as server,  # type: ignore[arg-type]
        track_costs(prices=prices) as costs,  # type: ignore[arg-type]
        suppress(CerebrasError),
    ):
        given = {"model": MODEL, "max_retries": 0, **fields}
        model = ChatCerebras(base_url=server.url, api_key="k", **given)
        list(model.stream("hi")) if streamed else model.invoke("hi")
    return costs


def test_cached_tokens_are_not_subtracted_twice() -> None:
    """They are in the prompt's count once, and out of the plain ones once."""
    book = PriceBook().with_price(MODEL, input=2, output=0, cached_input="0.5")
    costs = ask(lambda request: answer(request, usage=CACHED), prices=book)
    assert costs.get_total_cost() == Decimal("0.0008"), "200 at 2 and 800 at 0.5"


def test_cached_tokens_are_not_free_where_the_vendor_bills_them() -> None:
    costs = ask(lambda request: answer(request, usage=CACHED))
    by_hand = (Decimal("0.35") * 1_000 + Decimal("0.75") * 100) / 1_000_000
    assert costs.get_total_cost() == by_hand


def test_a_stream_is_not_free_for_want_of_usage() -> None:
    def serve(request: Request) -> Iterator[bytes]:
        del request
        yield from sse([delta(content="Hello"), delta(finish_reason="stop"), DONE])

    costs = ask(serve, streamed=True)
    (record,) = costs.records
    assert record.outcome == "ok"
    assert record.cost_usd
    assert record.flags == ("estimated", "no_usage")


def test_an_aborted_stream_is_not_free(sim: Simulator) -> None:
    sim.reply("The sea is wide. " * 20)
    sim.fail_next(fault="stall_stream", after_events=5)
    with track_costs() as costs:
        stream = chat(sim).stream("Tell me of the sea.")
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    (record,) = costs.records
    assert (record.outcome, record.flags) == ("aborted", ("estimated", "no_usage"))
    assert record.cost_usd
    assert costs.estimated_calls == 1


def test_a_cut_answer_is_not_free() -> None:
    def serve(request: Request) -> Iterator[bytes]:
        yield next(iter(answer(request)))[:-3]
        yield CUT

    costs = ask(serve)
    (record,) = costs.records
    assert record.outcome == "failed"
    assert record.cost_usd
    assert "estimated" in record.flags


def test_a_model_without_a_price_is_not_free() -> None:
    name = "a-model-of-tomorrow"
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}}
    body = {**BASE, "model": name, "choices": [choice], "usage": USAGE}
    costs = ask(lambda _: plain(body), model=name)
    (record,) = costs.records
    assert record.model == record.model_served == name
    assert record.cost_usd is None
    assert costs.get_last_cost() is None
    assert costs.unpriced_calls == 1
    assert not costs.totals.is_certain


def test_usage_of_zeros_is_not_free() -> None:
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    costs = ask(lambda request: answer(request, usage=nothing))
    (record,) = costs.records
    assert record.cost_usd
    assert record.flags == ("estimated", "no_usage")


def test_a_call_of_a_plain_thread_is_not_lost_where_it_is_wrapped(
    sim: Simulator,
) -> None:
    with track_costs() as costs:
        thread = threading.Thread(target=costs.wrap(chat(sim).invoke), args=("hi",))
        thread.start()
        thread.join()
    assert_is_the_bill(costs, sim)


def test_a_hit_of_langchains_cache_is_not_billed_again(sim: Simulator) -> None:
    model = chat(sim, cache=InMemoryCache())
    with track_costs() as costs:
        for _ in range(3):
            model.invoke("hi")
    assert len(sim.billed) == 1
    assert costs.get_total_cost() == cost_by_hand(sim)


def test_a_retry_is_billed_as_often_as_the_service_bills_it(sim: Simulator) -> None:
    policy = RetryPolicy(max_retries=3, initial_delay=0)
    sim.fail_next(429, headers={"retry-after": "0"})  # not billed
    sim.fail_next(fault="no_choices")  # billed
    with track_costs() as costs:
        chat(sim, retry_policy=policy).invoke("hi")
    assert len(sim.billed) == 2
    assert_is_the_bill(costs, sim)
    assert costs.totals.calls == 1


def test_old_calls_keep_the_price_of_their_day() -> None:
    """A price that comes later changes `reprice` alone."""
    new = date(2026, 11, 1)
    book = (
        PriceBook()
        .with_price(MODEL, input=1, output=1, valid_until=new)
        .with_price(MODEL, input=5, output=5, valid_from=new)
    )
    tracker = CostTracker(prices=book)
    tracker.take(
        UsageRecord(
            started_at=datetime(2026, 10, 31, 12, tzinfo=UTC),
            model=MODEL,
            input_tokens=1_000_000,
            output_tokens=0,
            cost=Cost(input=Decimal(1)),
        )
    )
    assert tracker.get_total_cost() == 1
    assert tracker.reprice(on=date(2026, 10, 31)).cost == 1
    assert tracker.reprice(on=new).cost == 5
    assert tracker.get_total_cost() == 1


def test_sums_do_not_depend_on_the_order_of_calls() -> None:
    costs = ["0.1", "0.2", "0.3", "1000000", "0.000000000001"]
    found = set()
    for order in itertools.permutations(costs):
        tracker = CostTracker()
        for cost in order:
            tracker.take(
                UsageRecord(
                    started_at=datetime(2026, 11, 1, tzinfo=UTC),
                    model=MODEL,
                    cost=Cost(input=Decimal(cost)),
                )
            )
        found.add(tracker.get_total_cost())
    assert found == {Decimal("1000000.600000000001")}


def test_a_budget_stops_a_call_and_does_not_only_log_it(sim: Simulator) -> None:
    with track_costs(budget=Budget("0.00000001")), pytest.raises(BudgetExceeded):
        chat(sim).invoke("hi")
    assert sim.requests == []


def test_a_budget_is_asked_before_the_call_not_after_it(sim: Simulator) -> None:
    """A check afterwards would let all that run at once pass."""
    budget = Budget("0.0005")
    with track_costs(budget=budget):
        ends = chat(sim, max_tokens=500).batch(["hi"] * 20, return_exceptions=True)
    assert any(isinstance(end, BudgetExceeded) for end in ends)
    assert sim.wait_idle()
    assert cost_by_hand(sim) <= Decimal("0.0005")
