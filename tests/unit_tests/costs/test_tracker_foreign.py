"""Calls of other providers' models, which only LangChain's callbacks tell of."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from call_paths import acall, call, delta
from cost_bill import MODEL, bill_of, chat, cost_by_hand, tokens_of
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI, OpenAI
from openai_models import chat_openai, without_connections
from wire_server import DONE, WireServer, sse

from langchain_cerebras_ext.costs import _callback_call
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import BudgetExceeded, CerebrasError
from langchain_cerebras_ext.simulator import Simulator

MINE = PriceBook().with_price(MODEL, provider="openai", input="0.35", output="0.75")
"""As if somebody else served the simulator's model, at the price that we know."""


def other(sim: Simulator, **fields: Any) -> ChatOpenAI:
    given = {"model": MODEL, "base_url": sim.base_url, "api_key": "k", **fields}
    return chat_openai(**given)


class Scripted(BaseChatModel):
    """A model of nobody: answers, or raises, what it was given."""

    script: Any = None
    waits: Any = None

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if isinstance(self.script, BaseException):
            raise self.script
        return ChatResult(generations=[ChatGeneration(message=self.script)])

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self.waits is not None:
            self.waits.set()
            await asyncio.sleep(60)
        return self._generate([], *args[1:2])


@pytest.mark.parametrize("path", ["invoke", "stream"])
def test_another_providers_call_comes_to_the_bill(sim: Simulator, path: str) -> None:
    tracker = CostTracker(prices=MINE)
    with track_costs(prices=MINE) as costs:
        call(path, other(sim, stream_usage=True), config={"callbacks": [tracker]})
    assert tokens_of(costs.records) == bill_of(sim)
    assert costs.get_total_cost() == tracker.get_total_cost() == cost_by_hand(sim)
    assert costs.records == tracker.records
    (record,) = costs.records
    assert (record.provider, record.outcome, record.flags) == ("openai", "ok", ())


async def test_another_providers_async_calls_come_to_the_bill(sim: Simulator) -> None:
    model = other(sim, stream_usage=True)
    with track_costs(prices=MINE) as costs:
        await acall("ainvoke", model)
        await acall("astream", model)
        await model.abatch(["a", "b"])
    assert tokens_of(costs.records) == await asyncio.to_thread(bill_of, sim)
    assert costs.get_total_cost() == await asyncio.to_thread(cost_by_hand, sim)


def test_n_answers_of_another_provider_are_counted_once(sim: Simulator) -> None:
    with track_costs(prices=MINE) as costs:
        other(sim, n=3).invoke("hi")
    assert tokens_of(costs.records) == bill_of(sim)


@pytest.mark.parametrize("how", ["generate", "agenerate"])
async def test_text_completions_of_another_provider_come_to_the_bill(
    sim: Simulator, how: str
) -> None:
    """LangChain names the provider of an `invoke`; of a `generate` the type alone."""
    model = OpenAI(
        model=MODEL, base_url=sim.base_url, api_key="k", **without_connections()
    )
    with track_costs(prices=MINE, budget=Budget(5)) as costs:
        if how == "generate":
            await asyncio.to_thread(model.generate, ["a", "b"])
        else:
            await model.agenerate(["a", "b"])
    assert {record.provider for record in costs.records} == {"openai"}
    assert tokens_of(costs.records) == await asyncio.to_thread(bill_of, sim)
    assert costs.get_total_cost() == await asyncio.to_thread(cost_by_hand, sim)
    assert costs.unpriced_calls == 0


def test_a_stream_without_usage_is_estimated_and_never_nothing() -> None:
    """What OpenAI sends unless `stream_usage` asks for it: peers show $0 for it."""
    parts = [delta(content=word) for word in ("The", " sea", " is", " wide", ".")]

    def serve(request: Any) -> Iterator[bytes]:
        del request
        yield from sse([*parts, delta(finish_reason="stop"), DONE])

    with WireServer(serve) as server, track_costs(prices=MINE) as costs:
        model = chat_openai(model=MODEL, base_url=server.url, api_key="k")
        list(model.stream("hi"))
    (record,) = costs.records
    assert record.flags == ("estimated", "no_usage")
    assert costs.calls_without_usage == costs.estimated_calls == 1
    assert record.cost_usd
    assert record.output_tokens == len(parts)


def test_a_stream_of_another_provider_that_is_given_up_is_estimated(
    sim: Simulator,
) -> None:
    sim.reply("The sea is wide. " * 40)
    with track_costs(prices=MINE) as costs:
        stream = other(sim).stream("hi")
        for _ in range(10):
            next(stream)
        stream.close()  # type: ignore[attr-defined]
    (record,) = costs.records
    assert record.outcome == "aborted"
    assert record.flags == ("estimated", "no_usage")
    assert record.cost_usd
    assert record.output_tokens


def test_a_call_that_another_provider_refuses_costs_nothing(sim: Simulator) -> None:
    sim.fail_next(400)
    budget = Budget(5)
    refused = pytest.raises(openai.BadRequestError)
    with track_costs(prices=MINE, budget=budget) as costs, refused:
        other(sim, max_retries=0).invoke("hi")
    (record,) = costs.records
    assert (record.outcome, record.cost_usd, record.flags) == ("failed", 0, ())
    assert budget.status()[0].reserved == budget.status()[0].spent == 0


@pytest.mark.parametrize("path", ["invoke", "stream"])
@pytest.mark.parametrize("status", [408, 500, 503, 504])
def test_what_a_service_that_failed_has_counted_is_estimated(
    sim: Simulator, status: int, path: str
) -> None:
    """Nobody knows whether it is billed: as of our own models, it is no certain 0."""
    budget = Budget(5)
    records = []
    for model, error in (
        (other(sim, max_retries=0), openai.APIStatusError),
        (chat(sim, max_retries=0), CerebrasError),
    ):
        sim.fail_next(status)
        with track_costs(prices=MINE, budget=budget) as costs, pytest.raises(error):
            call(path, model)
        records.extend(costs.records)
    theirs, ours = records
    assert theirs.flags == ours.flags == ("estimated", "no_usage")
    assert theirs.cost_usd == ours.cost_usd > 0
    (state,) = budget.status()
    assert (state.reserved, state.spent) == (0, 2 * ours.cost_usd)


@pytest.mark.parametrize(("status", "flags"), [(429, ()), (502, ("estimated",))])
def test_what_an_http_clients_error_says_of_a_refusal_is_heard(
    status: int, flags: tuple[str, ...]
) -> None:
    request = httpx.Request("POST", "https://model.example/v1")
    response = httpx.Response(status, request=request)
    error = httpx.HTTPStatusError("no", request=request, response=response)
    with track_costs() as costs, pytest.raises(httpx.HTTPStatusError):
        Scripted(script=error).invoke("x")
    (record,) = costs.records
    assert record.flags[:1] == flags
    assert record.cost_usd == (None if flags else 0)


def test_a_model_of_nobody_is_unpriced_and_counted_never_free() -> None:
    with track_costs() as costs:
        model = GenericFakeChatModel(messages=iter(["a", "b c d", "e"]))
        model.invoke("x")
        list(model.stream("y"))
        stream = model.stream("z")
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert [record.cost_usd for record in costs.records] == [None] * 3
    assert costs.get_total_cost() == 0
    assert (costs.unpriced_calls, costs.totals.calls) == (3, 3)
    assert not costs.totals.is_certain
    assert costs.get_last_cost() is None


def test_a_model_of_nobody_that_fails_is_estimated() -> None:
    with track_costs() as costs, pytest.raises(OSError, match="gone"):
        Scripted(script=OSError("gone")).invoke("x")
    (record,) = costs.records
    assert (record.outcome, record.error_type) == ("failed", "OSError")
    assert set(record.flags) == {"estimated", "no_usage", "unpriced"}


ODD_USAGE = {
    "nan": {"input_tokens": float("nan"), "output_tokens": 1, "total_tokens": 1},
    "infinite": {"input_tokens": float("inf"), "output_tokens": 1, "total_tokens": 1},
    "negative": {"input_tokens": -5, "output_tokens": 1, "total_tokens": -4},
    "details are a list": {
        "input_tokens": 3,
        "output_tokens": 1,
        "total_tokens": 4,
        "input_token_details": [],
    },
    "texts": {"input_tokens": "3", "output_tokens": "1", "total_tokens": "4"},
    "none": {"input_tokens": None, "output_tokens": None, "total_tokens": None},
}


@pytest.mark.parametrize("usage", ODD_USAGE.values(), ids=ODD_USAGE)
def test_odd_usage_costs_no_answer_and_is_recorded(usage: dict[str, Any]) -> None:
    message = AIMessage("hello")
    object.__setattr__(message, "usage_metadata", usage)
    with track_costs() as costs:
        assert Scripted(script=message).invoke("x").text == "hello"
    (record,) = costs.records
    assert record.outcome == "ok"
    assert record.cost_usd is None
    assert costs.open_calls == 0


def test_an_end_that_cannot_be_read_is_a_record_without_usage(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(response: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(_callback_call, "usage_of", broken)
    budget = Budget(5, unpriced="allow")
    with track_costs(budget=budget) as costs:
        assert Scripted(script=AIMessage("hello")).invoke("x").text == "hello"
    (record,) = costs.records
    assert set(record.flags) == {"no_usage", "unpriced"}
    assert "cannot be recorded" in caplog.text
    assert costs.open_calls == 0
    assert all(status.reserved == 0 for status in budget.status())


def test_a_price_book_that_raises_costs_no_answer_and_no_record(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(PriceBook):
        def find(self, *args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError

    with track_costs(prices=Broken()) as costs:
        assert other(sim).invoke("hi").text
        assert chat(sim).invoke("hi").text
    assert [record.cost_usd for record in costs.records] == [None, None]
    assert costs.unpriced_calls == 2
    assert caplog.text


async def test_a_cancelled_call_that_nobody_tells_of_stays_open_until_settled() -> None:
    """LangChain calls no handler when an `ainvoke` is cancelled."""
    begun = asyncio.Event()
    with track_costs() as costs:
        task = asyncio.create_task(Scripted(waits=begun).ainvoke("x"))
        await begun.wait()
        assert costs.open_calls == 1
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    told = len(costs.records)
    assert told + costs.open_calls == 1
    assert costs.settle_open_calls() == 1 - told
    assert costs.open_calls == 0
    (record,) = costs.records
    assert record.outcome == "aborted"
    assert "estimated" in record.flags
    assert costs.settle_open_calls() == 0


# ---------------------------------------------------------------- beside our own


def test_a_stream_of_ours_within_one_of_theirs_is_not_taken_for_it(
    sim: Simulator,
) -> None:
    tracker = CostTracker(prices=MINE)
    theirs = other(sim, stream_usage=True).stream("hi", {"callbacks": [tracker]})
    next(theirs)
    list(chat(sim).stream("not tracked"))
    list(theirs)
    (record,) = tracker.records
    assert (record.provider, record.outcome) == ("openai", "ok")
    billed = sim.billed[0]
    assert (record.input_tokens, record.output_tokens) == (
        billed.prompt_tokens,
        billed.completion_tokens,
    )


class Refuses(BaseCallbackHandler):
    """Lets so many runs begin, and no more."""

    raise_error = True
    run_inline = True

    def __init__(self, after: int = 0) -> None:
        self.left = after

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError


def test_a_run_that_another_handler_refused_is_not_the_next_ones(
    sim: Simulator,
) -> None:
    tracker = CostTracker()
    with pytest.raises(RuntimeError):
        chat(sim).invoke("a", {"callbacks": [tracker, Refuses()]})
    list(chat(sim).stream("not tracked"))
    gc.collect()
    assert tracker.open_calls == 0
    told = [(one.outcome, one.cost_usd) for one in tracker.records]
    assert told == [("aborted", Decimal(0))]


def test_prompts_after_some_that_were_refused_are_all_recorded(sim: Simulator) -> None:
    from langchain_core.messages import HumanMessage

    prompts = [[HumanMessage(text)] for text in "abc"]
    tracker = CostTracker()
    with pytest.raises(RuntimeError):
        chat(sim).generate(prompts, callbacks=[tracker, Refuses(after=2)])  # type: ignore[arg-type]
    chat(sim).generate(prompts, callbacks=[tracker])  # type: ignore[arg-type]
    outcomes = [one.outcome for one in tracker.records if one.cost_usd]
    assert outcomes == ["ok"] * 3
    assert tokens_of(tracker.records) == bill_of(sim)


# -------------------------------------------------------------------------- budgets


@pytest.mark.parametrize("path", ["invoke", "stream"])
def test_a_budget_stops_another_providers_calls(sim: Simulator, path: str) -> None:
    budget = Budget("0.00000001")
    with track_costs(prices=MINE, budget=budget) as costs:
        with pytest.raises(BudgetExceeded):
            call(path, other(sim))
        assert sim.requests == []
    assert costs.get_total_cost() == 0
    assert costs.totals.failed == 1
    assert all(status.reserved == 0 for status in budget.status())


async def test_a_budget_stops_another_providers_async_calls(sim: Simulator) -> None:
    with track_costs(prices=MINE, budget=Budget("0.00000001")) as costs:
        for path in ("ainvoke", "astream"):
            with pytest.raises(BudgetExceeded):
                await acall(path, other(sim))
    assert sim.requests == []
    assert costs.totals.failed == 2


def test_a_budget_is_settled_with_what_another_provider_counted(sim: Simulator) -> None:
    budget = Budget(5)
    with track_costs(prices=MINE, budget=budget):
        other(sim).invoke("hi")
        with track_costs(budget=budget):  # met twice, asked once
            other(sim).invoke("hi")
    (status,) = budget.status()
    assert (status.reserved, status.spent) == (0, cost_by_hand(sim))
