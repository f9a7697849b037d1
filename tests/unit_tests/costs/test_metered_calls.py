"""What a tracker says of a call, in whatever way it was given to it.

It must be what it says of the same call beside any other handler.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import uuid
import weakref
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from call_paths import call
from cost_bill import MODEL, assert_is_the_bill, chat
from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from pydantic import SecretStr

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import (
    BudgetExceeded,
    CerebrasConfigurationError,
    CerebrasInvalidRequestError,
)
from langchain_cerebras_ext.simulator import Simulator


class Other(BaseCallbackHandler):
    """A handler that wants nothing, and is no tracker."""


_OWN = {
    "record_id",
    "request_id",
    "started_at",
    "run_id",
    "parent_run_id",
    "trace_id",
    "duration_s",
    "ttft_s",
    "queue_time_s",
    "output_tokens_per_s",
}
"""What two calls that are alike do not share."""


def shared(record: UsageRecord) -> dict[str, Any]:
    fields = msgspec.structs.asdict(record)
    return {name: value for name, value in fields.items() if name not in _OWN}


def through_config(sim: Simulator, tracker: CostTracker, **more: Any) -> None:
    config = RunnableConfig(callbacks=[tracker], **more)
    asyncio.run(chat(sim).ainvoke("hi", config))


def through_the_model(sim: Simulator, tracker: CostTracker, **more: Any) -> None:
    model = chat(sim, callbacks=[tracker])
    asyncio.run(model.ainvoke("hi", RunnableConfig(**more)))


def through_a_manager(sim: Simulator, tracker: CostTracker, **more: Any) -> None:
    manager = AsyncCallbackManager([tracker], inheritable_handlers=[tracker])
    config = RunnableConfig(callbacks=manager, **more)
    asyncio.run(chat(sim).ainvoke("hi", config))


def through_a_chain(sim: Simulator, tracker: CostTracker, **more: Any) -> None:
    chain = RunnableLambda(lambda text: f"{text}i") | chat(sim)
    asyncio.run(chain.ainvoke("h", RunnableConfig(callbacks=[tracker], **more)))


WAYS: list[Callable[..., None]] = [
    through_config,
    through_the_model,
    through_a_manager,
    through_a_chain,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_recorded_as_beside_other_handlers(
    way: Callable[..., None], sim: Simulator
) -> None:
    said = {
        "tags": ["one", "two"],
        "metadata": {
            "user_id": "ann",
            "thread_id": "t-1",
            "langgraph_node": "agent",
            "experiment_arm": "b",
        },
    }
    alone, beside = CostTracker(tags=["all"]), CostTracker(tags=["all"])
    way(sim, alone, **said)
    config = RunnableConfig(callbacks=[beside, Other()], **said)  # type: ignore[typeddict-item]
    asyncio.run(chat(sim).ainvoke("hi", config))
    (one,), (other,) = alone.records, beside.records
    assert shared(one) == shared(other)
    assert (one.user, one.session, one.node, one.arm) == ("ann", "t-1", "agent", "b")
    assert alone.open_calls == 0


def test_a_scope_hears_of_it_and_is_back_after_it(sim: Simulator) -> None:
    async def run() -> None:
        with track_costs(user="outer") as outer, track_costs(tags=["in"]) as inner:
            await chat(sim).ainvoke("hi")
            await FakeListChatModel(responses=["yes"]).ainvoke("foreign")
        [ours, foreign] = inner.records
        assert (ours.model, ours.user, ours.tags) == (MODEL, "outer", ("in",))
        assert foreign.flags, "another provider's call is still told, and estimated"
        assert outer.records == inner.records

    asyncio.run(run())


def test_run_ids_are_langchains(sim: Simulator) -> None:
    tracker, run_id = CostTracker(), uuid.uuid4()
    seen: dict[str, str] = {}

    async def inner(text: str, config: RunnableConfig) -> AIMessage:
        seen["parent"] = str(config["callbacks"].parent_run_id)  # type: ignore[union-attr]
        return await chat(sim).ainvoke(text, {**config, "run_id": run_id})

    chain = RunnableLambda(lambda text: text) | RunnableLambda(inner)
    root = uuid.uuid4()
    config = RunnableConfig(callbacks=[tracker], run_id=root)
    asyncio.run(chain.ainvoke("hi", config))
    [record] = tracker.records
    assert record.run_id == str(run_id)
    assert record.parent_run_id == seen["parent"]
    assert record.trace_id == str(root)


def test_a_tracker_that_was_given_twice_counts_once(sim: Simulator) -> None:
    tracker = CostTracker()
    model = chat(sim, callbacks=[tracker])

    async def run() -> None:
        await tracker.wrap(model.ainvoke)("hi", {"callbacks": [tracker]})

    asyncio.run(run())
    assert len(tracker.records) == 1
    assert_is_the_bill(tracker, sim)


def test_several_trackers_share_a_record(sim: Simulator) -> None:
    one, two, three = CostTracker(), CostTracker(), CostTracker()
    model = chat(sim, callbacks=[one])
    asyncio.run(model.ainvoke("hi", {"callbacks": [two, three]}))
    assert one.records == two.records == three.records
    assert_is_the_bill(one, sim)


def test_each_prompt_of_many_has_its_record(sim: Simulator) -> None:
    tracker = CostTracker()
    model = chat(sim)

    async def run() -> None:
        prompts = [[HumanMessage(text)] for text in "abc"]
        result = await model.agenerate(prompts, callbacks=[tracker], tags=["many"])
        ids = {str(run.run_id) for run in result.run or ()}
        assert {record.run_id for record in tracker.records} == ids
        await model.abatch(["d", "e"], {"callbacks": [tracker]})

    asyncio.run(run())
    assert len(tracker.records) == 5
    assert_is_the_bill(tracker, sim)


class Twice(ChatCerebras):
    """A model that asks again, as one that votes or tries again would."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        super()._generate(messages, stop, run_manager, **kwargs)
        return super()._generate(messages, stop, run_manager, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        await super()._agenerate(messages, stop, run_manager, **kwargs)
        return await super()._agenerate(messages, stop, run_manager, **kwargs)


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
@pytest.mark.parametrize("others", [[], [Other()]], ids=["alone", "beside another"])
def test_a_model_that_asks_twice_has_two_records(
    path: str, others: list[Any], sim: Simulator
) -> None:
    tracker = CostTracker()
    model = Twice(model=MODEL, base_url=sim.base_url, api_key=SecretStr("k"))
    call(path, model, config={"callbacks": [tracker, *others]})
    assert len({record.run_id for record in tracker.records}) == 1
    assert len(sim.billed) == 2
    assert_is_the_bill(tracker, sim)


def test_a_model_that_is_not_told_its_run_is_metered(sim: Simulator) -> None:
    class Untold(ChatCerebras):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return await super()._agenerate(*args, **kwargs)

    tracker = CostTracker()
    model = Untold(model=MODEL, base_url=sim.base_url, api_key=SecretStr("k"))
    asyncio.run(model.ainvoke("hi", {"callbacks": [tracker], "tags": ["one"]}))
    [record] = tracker.records
    assert record.tags == ("one",)
    assert_is_the_bill(tracker, sim)


def test_a_model_that_streams_is_metered_too(sim: Simulator) -> None:
    tracker = CostTracker()
    model = chat(sim, streaming=True)
    asyncio.run(model.ainvoke("hi", {"callbacks": [tracker]}))
    [record] = tracker.records
    assert record.stream
    assert record.ttft_s is not None
    assert_is_the_bill(tracker, sim)


# ----------------------------------------------------------------------- it may fail


def test_a_call_that_is_refused_before_it_is_sent_is_recorded(sim: Simulator) -> None:
    tracker = CostTracker()
    config = RunnableConfig(callbacks=[tracker], tags=["bad"], metadata={"user": "ann"})
    with pytest.raises(CerebrasInvalidRequestError):
        asyncio.run(chat(sim).ainvoke("hi", config, temperature=7))
    [record] = tracker.records
    assert (record.outcome, record.error_type) == (
        "failed",
        "CerebrasInvalidRequestError",
    )
    assert (record.tags, record.user, record.model) == (("bad",), "ann", MODEL)
    assert record.cost_usd == 0
    assert tracker.open_calls == 0
    assert not len(sim.billed)


def test_a_call_that_fails_on_its_way_has_one_record(sim: Simulator) -> None:
    tracker = CostTracker()
    model = ChatCerebras(base_url="http://127.0.0.1:1/v1", api_key="k", max_retries=0)

    async def run() -> list[Any]:
        calls = [model.ainvoke("hi", {"callbacks": [tracker]}) for _ in range(5)]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(error, Exception) for error in asyncio.run(run()))
    assert [record.outcome for record in tracker.records] == ["failed"] * 5
    assert len({record.run_id for record in tracker.records}) == 5
    assert tracker.open_calls == 0


def test_calls_at_once_do_not_disturb_each_other(sim: Simulator) -> None:
    trackers = {name: CostTracker(user=name) for name in "abcdefgh"}
    model = chat(sim)

    async def one(name: str) -> None:
        with track_costs(tags=[name]) as within:
            config = RunnableConfig(callbacks=[trackers[name]])
            await asyncio.gather(*(model.ainvoke("hi", config) for _ in range(8)))
        assert within.totals.calls == 8
        assert {record.tags for record in within.records} == {(name,)}

    async def run() -> None:
        await asyncio.gather(*map(one, trackers))

    asyncio.run(run())
    for name, tracker in trackers.items():
        assert tracker.totals.calls == 8
        assert {record.user for record in tracker.records} == {name}
    assert len(sim.billed) == 64


# ------------------------------------------------------------------ who overrides what


class Streams(ChatCerebras):
    """A model that hands its stream on itself."""

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk


class Requests(ChatCerebras):
    """A model that looks at its requests."""

    def _request(self, *args: Any, **kwargs: Any) -> Any:
        return super()._request(*args, **kwargs)


@pytest.mark.parametrize("kind", [Streams, Requests], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("path", ["ainvoke", "astream"])
def test_a_model_that_does_a_part_itself_is_metered(
    kind: type[ChatCerebras], streaming: bool, path: str, sim: Simulator
) -> None:
    with track_costs() as costs:
        model = kind(
            model=MODEL,
            base_url=sim.base_url,
            api_key=SecretStr("k"),
            streaming=streaming,
        )
        call(path, model)
    assert_is_the_bill(costs, sim)


def test_tasks_that_share_a_context_are_all_tracked(sim: Simulator) -> None:
    async def run() -> None:
        with track_costs() as costs:
            held = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            model = chat(sim)
            calls = [
                loop.create_task(model.ainvoke("hi"), context=held) for _ in range(4)
            ]
            await asyncio.gather(*calls)
        assert len(costs.records) == 4
        assert_is_the_bill(costs, sim)

    asyncio.run(run())


def test_a_lasting_tracker_does_not_keep_the_scopes_that_have_ended(
    sim: Simulator,
) -> None:
    lasting = CostTracker()
    model = chat(sim, callbacks=[lasting])
    scopes = []
    for _ in range(5):
        with track_costs() as costs:
            model.invoke("hi")
        scopes.append(weakref.ref(costs))
        del costs
    gc.collect()
    assert [scope() for scope in scopes] == [None] * 5
    assert len(lasting.records) == 5


def test_a_call_within_a_tool_is_of_the_outermost_run(sim: Simulator) -> None:
    tracker = CostTracker()
    model = chat(sim)

    @tool
    def ask(question: str) -> str:
        """Ask somebody else."""
        return model.invoke(question).text

    chain = RunnableLambda(lambda text: {"question": text}) | ask
    root = uuid.uuid4()
    chain.invoke("why", RunnableConfig(callbacks=[tracker], run_id=root))
    [record] = tracker.records
    assert record.parent_run_id not in {None, str(root)}
    assert record.trace_id == str(root)


def test_a_budget_of_a_run_holds_within_its_tools(sim: Simulator) -> None:
    budget = Budget(Decimal("0.0006"), window="run")
    tracker = CostTracker(budgets=budget)
    model = chat(sim, max_tokens=200)

    @tool
    def ask(question: str) -> str:
        """Ask somebody else."""
        return model.invoke(question).text

    def work(question: str) -> None:
        for _ in range(20):
            ask.invoke({"question": question})

    with pytest.raises(BudgetExceeded):
        RunnableLambda(work).invoke("why", RunnableConfig(callbacks=[tracker]))
    assert 0 < len(sim.billed) < 20
    assert tracker.get_total_cost() <= Decimal("0.0006")


def test_other_prices_hold_for_the_calls_after(sim: Simulator) -> None:
    tracker = CostTracker()
    model = chat(sim, callbacks=[tracker])
    model.invoke("hi")
    tracker.prices = PriceBook().with_price(MODEL, input=1, output=1)
    model.invoke("hi")
    before, after = tracker.records
    assert before.cost_usd != after.cost_usd
    used = (after.input_tokens or 0) + (after.output_tokens or 0)
    assert after.cost_usd == Decimal(used) / 1_000_000
    with pytest.raises(CerebrasConfigurationError, match="pass a PriceBook"):
        tracker.prices = 3  # type: ignore[assignment]
