"""`ainvoke` whose handlers are all trackers: LangChain tells them nothing of it.

What a tracker then says of a call must be what it says of the same call where it is
told, as it is beside any other handler.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from call_paths import call
from cost_bill import MODEL, assert_is_the_bill, chat
from fake_limiter import FakeLimiter
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatResult
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableConfig, RunnableLambda

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._metering import scope, take_apart
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import CerebrasInvalidRequestError
from langchain_cerebras_ext.simulator import Simulator


class Other(BaseCallbackHandler):
    """A handler that wants nothing, and is no tracker."""


class Counted(CostTracker):
    """A tracker that notes which of LangChain's events it was told of."""

    is_meter_only = True

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.told: list[str] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("start")
        super().on_chat_model_start(*args, **kwargs)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("end")
        super().on_llm_end(*args, **kwargs)


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


def through_a_manager(sim: Simulator, tracker: CostTracker, **more: Any) -> None:
    manager = AsyncCallbackManager([tracker], inheritable_handlers=[tracker])
    config = RunnableConfig(callbacks=manager, **more)
    asyncio.run(chat(sim).ainvoke("hi", config))


def through_a_chain(sim: Simulator, tracker: CostTracker, **more: Any) -> None:
    chain = RunnableLambda(lambda text: f"{text}i") | chat(sim)
    asyncio.run(chain.ainvoke("h", RunnableConfig(callbacks=[tracker], **more)))


WAYS: list[Callable[..., None]] = [
    through_config,
    through_a_manager,
    through_a_chain,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_recorded_as_where_langchain_tells_of_it(
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
    apart, told = Counted(tags=["all"]), Counted(tags=["all"])
    way(sim, apart, **said)
    assert apart.told == []
    config = RunnableConfig(callbacks=[told, Other()], **said)  # type: ignore[typeddict-item]
    asyncio.run(chat(sim).ainvoke("hi", config))
    assert "start" in told.told
    (one,), (other,) = apart.records, told.records
    assert shared(one) == shared(other)
    assert (one.user, one.session, one.node, one.arm) == ("ann", "t-1", "agent", "b")
    assert apart.open_calls == 0


def test_a_scope_hears_of_it_and_is_back_after_it(sim: Simulator) -> None:
    async def run() -> None:
        with track_costs(user="outer") as outer, track_costs(tags=["in"]) as inner:
            await chat(sim).ainvoke("hi")
            assert scope.get() is inner
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
    model = Twice(model=MODEL, base_url=sim.base_url, api_key="k")
    call(path, model, config={"callbacks": [tracker, *others]})
    assert len({record.run_id for record in tracker.records}) == 1
    assert len(sim.billed) == 2
    assert_is_the_bill(tracker, sim)


def test_a_model_that_is_not_told_its_run_is_metered(sim: Simulator) -> None:
    class Untold(ChatCerebras):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return await super()._agenerate(*args, **kwargs)

    tracker = CostTracker()
    model = Untold(model=MODEL, base_url=sim.base_url, api_key="k")
    asyncio.run(model.ainvoke("hi", {"callbacks": [tracker], "tags": ["one"]}))
    [record] = tracker.records
    assert record.tags == ("one",)
    assert_is_the_bill(tracker, sim)


def test_a_model_that_streams_is_metered_too(sim: Simulator) -> None:
    tracker = Counted()
    model = chat(sim, streaming=True)
    asyncio.run(model.ainvoke("hi", {"callbacks": [tracker]}))
    [record] = tracker.records
    assert record.stream
    assert record.ttft_s is not None
    assert tracker.told == []
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


def test_a_call_that_is_cancelled_before_it_is_sent_is_recorded(sim: Simulator) -> None:
    tracker = CostTracker()

    async def run() -> None:
        call = asyncio.ensure_future(chat(sim).ainvoke("hi", {"callbacks": [tracker]}))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(run())
    [record] = tracker.records
    assert (record.outcome, record.cost_usd) == ("aborted", 0)
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
            assert scope.get() is within
        assert within.totals.calls == 8
        assert {record.tags for record in within.records} == {(name,)}

    async def run() -> None:
        await asyncio.gather(*map(one, trackers))
        assert scope.get() is None

    asyncio.run(run())
    for name, tracker in trackers.items():
        assert tracker.totals.calls == 8
        assert {record.user for record in tracker.records} == {name}
    assert len(sim.billed) == 64


# --------------------------------------------------------- where it is not done at all


@pytest.mark.parametrize(
    "fields",
    [
        {"cache": InMemoryCache()},
        {"rate_limiter": InMemoryRateLimiter(requests_per_second=1e6)},
        {"callbacks": [Other()]},
        {"callbacks": [CostTracker()]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_model_that_may_answer_itself_or_has_its_own_handlers_tells(
    fields: dict[str, Any], sim: Simulator
) -> None:
    model, tracker = chat(sim, **fields), Counted()
    assert take_apart(model, [tracker]) is None
    for _ in range(2):
        asyncio.run(model.ainvoke("hi", {"callbacks": [tracker]}))
    assert tracker.told.count("start") == 2
    assert len(tracker.records) == 2
    assert_is_the_bill(tracker, sim)


def test_a_limiter_of_ours_does_not_answer(sim: Simulator) -> None:
    tracker = Counted()
    model = chat(sim, rate_limiter=FakeLimiter())
    asyncio.run(model.ainvoke("hi", {"callbacks": [tracker]}))
    assert tracker.told == []
    assert_is_the_bill(tracker, sim)


def test_a_subclass_that_listens_is_told(sim: Simulator) -> None:
    class Listens(CostTracker):
        heard = 0

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.heard += 1
            super().on_chat_model_start(*args, **kwargs)

    tracker = Listens()
    asyncio.run(chat(sim).ainvoke("hi", {"callbacks": [tracker]}))
    assert tracker.heard == 1
    assert_is_the_bill(tracker, sim)


def test_without_trackers_nothing_is_taken(sim: Simulator) -> None:
    assert take_apart(chat(sim), None) is None
    assert take_apart(chat(sim), []) is None
    assert take_apart(chat(sim), AsyncCallbackManager([])) is None
    assert take_apart(chat(sim), [Other()]) is None


def test_a_call_that_is_forgotten_half_way_leaves_no_trace(sim: Simulator) -> None:
    tracker = CostTracker()
    call = chat(sim).ainvoke("hi", {"callbacks": [tracker]})
    call.close()
    assert scope.get() is None
    assert tracker.open_calls == 0
