"""Many calls at once: totals are exact, scopes do not mix, budgets are not overshot."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from call_paths import acall
from cost_bill import (
    assert_is_the_bill,
    chat,
    cost_by_hand,
)
from langchain_core.runnables import RunnableLambda, RunnableParallel

from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import BudgetExceeded
from langchain_cerebras_ext.simulator import Simulator

THREADS = 64
TASKS = 1_000


@pytest.mark.timeout(240)
def test_64_threads_and_1000_tasks_come_to_the_bill_to_the_token(
    sim: Simulator,
) -> None:
    """Threads stream, tasks invoke; each has a scope of its own within one of all."""
    model = chat(sim)
    seen: list[UsageRecord] = []
    inner: list[CostTracker] = []
    start = threading.Barrier(THREADS + 1)

    def in_thread(number: int) -> None:
        with track_costs(user=f"thread-{number}") as mine:
            start.wait()
            list(model.stream(f"Number {number}"))
            model.invoke(f"Number {number}")
        inner.append(mine)

    async def in_task(number: int) -> None:
        with track_costs(user=f"task-{number}") as mine:
            await model.ainvoke(f"Number {number}")
        inner.append(mine)

    async def all_tasks() -> None:
        await asyncio.gather(*(in_task(number) for number in range(TASKS)))
        await model.aclose()

    with track_costs(sinks=[seen.append]) as costs:
        with ThreadPoolExecutor(THREADS) as pool:
            done = [pool.submit(costs.wrap(in_thread), at) for at in range(THREADS)]
            start.wait()
            asyncio.run(all_tasks())
            for future in done:
                future.result()
    model.close()
    assert_is_the_bill(costs, sim)
    assert costs.totals.calls == 2 * THREADS + TASKS == len(seen)
    assert costs.by_user.keys() == {mine.scope.user for mine in inner}
    assert {mine.totals.calls for mine in inner} == {1, 2}
    parts = sum((mine.get_total_cost() for mine in inner), Decimal(0))
    assert parts == costs.get_total_cost() == cost_by_hand(sim)
    for mine in inner:
        assert {record.user for record in mine.records} == {mine.scope.user}


# --------------------------------------------------------------------------- scopes


def test_scopes_add_up_into_their_parents(sim: Simulator) -> None:
    with track_costs(tags=["outer"], user="ann") as outer:
        chat(sim).invoke("a")
        with track_costs(tags=["inner"], session="s1") as inner:
            chat(sim).invoke("b")
        chat(sim).invoke("c")
    chat(sim).invoke("outside")
    assert (outer.totals.calls, inner.totals.calls) == (3, 1)
    (record,) = inner.records
    assert set(record.tags) == {"outer", "inner"}
    assert (record.user, record.session) == ("ann", "s1")
    assert record in outer.records
    assert outer.by_tag["inner"].calls == 1
    assert outer.by_tag["outer"].calls == 3


async def test_sibling_tasks_do_not_mix(sim: Simulator) -> None:
    model = chat(sim)

    async def work(name: str) -> CostTracker:
        with track_costs(user=name) as mine:
            for _ in range(3):
                await model.ainvoke(name)
                await asyncio.sleep(0)
        return mine

    with track_costs() as costs:
        found = await asyncio.gather(*(work(name) for name in "abcdef"))
    assert [tracker.totals.calls for tracker in found] == [3] * 6
    for tracker, name in zip(found, "abcdef", strict=True):
        assert set(tracker.by_user) == {name}
    await asyncio.to_thread(assert_is_the_bill, costs, sim)


async def test_tasks_and_threads_of_asyncio_are_seen(sim: Simulator) -> None:
    model = chat(sim)
    with track_costs() as costs:
        await asyncio.to_thread(model.invoke, "in a thread")
        await asyncio.create_task(model.ainvoke("in a task"))
        async with asyncio.TaskGroup() as group:
            group.create_task(model.ainvoke("in a group"))
            group.create_task(acall("astream", model, "in a stream"))
    assert costs.totals.calls == 4
    await asyncio.to_thread(assert_is_the_bill, costs, sim)


def test_what_langchain_runs_side_by_side_is_seen(sim: Simulator) -> None:
    model = chat(sim)
    both = RunnableParallel(left=model, right=RunnableLambda(lambda _: "x") | model)
    with track_costs() as costs:
        both.invoke("a")
        both.batch(["b", "c"])
    assert_is_the_bill(costs, sim)
    assert costs.totals.calls == 6
    assert len({record.trace_id for record in costs.records}) == 3


def test_a_bare_thread_is_seen_only_when_its_function_is_wrapped(
    sim: Simulator,
) -> None:
    model = chat(sim)

    def work() -> None:
        model.invoke("in a thread")

    with track_costs() as costs:
        for function in (work, costs.wrap(work)):
            thread = threading.Thread(target=function)
            thread.start()
            thread.join()
    assert costs.totals.calls == 1
    assert len(sim.billed) == 2


def test_a_scope_may_be_left_in_another_context(sim: Simulator) -> None:
    """As generators do, and fixtures of asynchronous tests."""

    def scoped() -> Iterator[CostTracker]:
        with track_costs() as costs:
            yield costs

    steps = scoped()
    costs = asyncio.run(_next_of(steps))
    asyncio.run(acall("ainvoke", chat(sim), "not inside"))
    with pytest.raises(StopIteration):
        next(steps)
    chat(sim).invoke("outside")
    assert costs.totals.calls == 0


def test_scopes_may_end_in_any_order(sim: Simulator) -> None:
    """As those of generators whose steps are taken by turns."""

    def scoped() -> Iterator[CostTracker]:
        with track_costs() as costs:
            yield costs

    first, second = scoped(), scoped()
    one, two = next(first), next(second)
    next(first, None)
    chat(sim).invoke("in the second one, which began in the first")
    next(second, None)
    chat(sim).invoke("outside of both")
    assert (one.totals.calls, two.totals.calls) == (1, 1)


async def test_a_task_is_tracked_though_the_scope_ends_before_it(
    sim: Simulator,
) -> None:
    async def late() -> None:
        await ended.wait()
        with track_costs():
            await chat(sim).ainvoke("within")
        await chat(sim).ainvoke("after it")

    ended = asyncio.Event()
    with track_costs() as costs:
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
    ended.set()
    await task
    assert costs.totals.calls == 2


async def _next_of(steps: Iterator[CostTracker]) -> CostTracker:
    return next(steps)


def test_a_scope_ends_with_an_error_and_keeps_what_it_has(sim: Simulator) -> None:
    held: list[CostTracker] = []

    def work() -> None:
        with track_costs() as costs:
            held.append(costs)
            chat(sim).invoke("a")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    chat(sim).invoke("outside")
    assert held[0].totals.calls == 1


def test_a_scope_may_decorate_a_function(sim: Simulator) -> None:
    seen: list[UsageRecord] = []

    @track_costs(tags=["decorated"], sinks=[seen.append])
    def work() -> None:
        chat(sim).invoke("a")

    work()
    work()
    assert [record.tags for record in seen] == [("decorated",)] * 2


def test_a_tracker_that_is_met_twice_is_told_once(sim: Simulator) -> None:
    seen: list[UsageRecord] = []
    tracker = CostTracker(sinks=[seen.append])
    with track_costs(sinks=[seen.append]) as costs:
        work = costs.wrap(chat(sim, callbacks=[tracker]).invoke)
        work("a", {"callbacks": [tracker, costs]})
    assert tracker.totals.calls == costs.totals.calls == 1
    assert len({record.record_id for record in seen}) == 1


def test_a_sink_of_several_trackers_is_told_once(sim: Simulator) -> None:
    class Sink:
        def __init__(self) -> None:
            self.seen: list[UsageRecord] = []

        def __call__(self, record: UsageRecord) -> None:
            self.seen.append(record)

        def add(self, record: UsageRecord) -> None:
            self.seen.append(record)

    sink = Sink()
    with track_costs(sinks=[sink]), track_costs(sinks=[sink]):
        chat(sim).invoke("a", {"callbacks": [CostTracker(sinks=[sink])]})
    assert len(sink.seen) == 1


def test_a_sink_that_raises_costs_no_answer(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: UsageRecord) -> None:
        raise OSError

    with track_costs(sinks=[broken]) as costs:
        assert chat(sim).invoke("a").text
    assert_is_the_bill(costs, sim)
    assert "a sink of cost records failed" in caplog.text


# -------------------------------------------------------------------------- budgets


def test_threads_at_once_stay_within_a_budget(sim: Simulator) -> None:
    """Each holds 500 tokens of answer: what is let through stays below together."""
    model = chat(sim, max_tokens=500)
    budget = Budget("0.002")
    with track_costs(budget=budget) as costs, ThreadPoolExecutor(32) as pool:

        def ask(number: int) -> bool:
            try:
                model.invoke(f"Number {number}")
            except BudgetExceeded:
                return False
            return True

        passed = list(pool.map(costs.wrap(ask), range(100)))
    model.close()
    assert 1 < passed.count(True) < 100
    assert len(sim.billed) == passed.count(True)
    (status,) = budget.status()
    assert status.reserved == 0
    assert status.spent == costs.get_total_cost() == cost_by_hand(sim)
    assert status.spent <= status.limit


async def test_tasks_at_once_stay_within_a_budget(sim: Simulator) -> None:
    model = chat(sim, max_tokens=500)
    budget = Budget("0.002")
    with track_costs(budget=budget) as costs:
        ends = await asyncio.gather(
            *(acall("astream", model, f"Number {n}") for n in range(200)),
            return_exceptions=True,
        )
    await model.aclose()
    refused = [end for end in ends if isinstance(end, BudgetExceeded)]
    assert 0 < len(refused) < 199
    assert len(refused) + len(sim.billed) == 200
    (status,) = budget.status()
    assert status.reserved == 0
    assert status.spent == costs.get_total_cost() <= status.limit
    assert status.spent == await asyncio.to_thread(cost_by_hand, sim)
