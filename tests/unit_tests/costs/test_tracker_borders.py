"""What a tracker takes: functions of each kind to wrap, and arguments of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from call_paths import BETA
from cost_bill import chat

from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.simulator import Simulator

pytestmark = BETA


def test_a_wrapped_coroutine_function_is_tracked_in_a_loop_of_another_thread(
    sim: Simulator,
) -> None:
    model = chat(sim)

    async def work(first: str, *, second: str) -> list[str]:
        """Ask twice."""
        asked = [model.ainvoke(first), model.ainvoke(second)]
        return [answer.text for answer in await asyncio.gather(*asked)]

    with track_costs(user="alice") as costs:
        wrapped = costs.wrap(work)
    assert asyncio.iscoroutinefunction(wrapped)
    assert (wrapped.__name__, wrapped.__doc__) == ("work", "Ask twice.")
    with ThreadPoolExecutor(1) as pool:
        texts = pool.submit(lambda: asyncio.run(wrapped("hi", second="ho"))).result()
    assert all(texts)
    assert [record.user for record in costs.records] == ["alice", "alice"]
    total = sum(record.total_tokens or 0 for record in costs.records)
    assert total == sim.billed.total.total_tokens
    asyncio.run(work("hi", second="ho"))  # unwrapped, it is nobody's
    assert len(costs.records) == 2


def test_a_wrapped_coroutine_function_leaves_the_scope_when_it_fails() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    async def main() -> Any:
        with pytest.raises(ZeroDivisionError):
            await CostTracker().wrap(work)()
        with track_costs() as costs:
            return costs.parent

    assert asyncio.run(main()) is None


def test_generators_are_refused_with_what_to_do() -> None:
    def items() -> Iterator[int]:
        yield 1

    async def aitems() -> AsyncIterator[int]:
        yield 1

    for function in (items, aitems):
        with pytest.raises(CerebrasConfigurationError, match="Wrap the function that"):
            CostTracker().wrap(function)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("prices", "prices.toml", r"prices is a str; pass a PriceBook"),
        ("prices", {}, r"prices is a dict"),
        ("tags", "night", r"tags='night' is one text"),
        ("tags", 5, r"tags=5 is a int; pass one or a list"),
        ("sinks", [5], r"sinks holds a int; pass functions"),
        ("sinks", 5, r"sinks=5 is a int"),
        ("budgets", 5, r"budgets=5 is a int"),
        ("budgets", [5], r"budgets holds a int"),
        ("ledger", 5, r"ledger is a int; pass a Ledger, a path or a URL"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_at_once(
    name: str, value: Any, words: str
) -> None:
    with pytest.raises(CerebrasConfigurationError, match=words):
        CostTracker(**{name: value})
    scope = {"budgets": "budget"}.get(name, name)
    with (
        pytest.raises(CerebrasConfigurationError, match=words),
        track_costs(**{scope: value}),
    ):
        pass


@pytest.mark.parametrize("most", ["7", None, 7.5])
def test_a_number_of_records_that_is_none_is_refused(most: Any) -> None:
    with pytest.raises(CerebrasConfigurationError, match="must be a whole number"):
        CostTracker(max_records=most)


def test_none_stands_for_no_tags() -> None:
    with track_costs(tags=None, budget=None) as costs:  # type: ignore[arg-type]
        assert costs.scope.tags == CostTracker(tags=None).scope.tags == ()  # type: ignore[arg-type]


def test_one_sink_needs_no_list(sim: Simulator) -> None:
    told: list[Any] = []
    with track_costs(sinks=told.append) as costs:  # type: ignore[arg-type]
        chat(sim).invoke("hi")
    assert tuple(told) == costs.records
