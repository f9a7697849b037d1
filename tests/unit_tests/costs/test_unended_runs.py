"""Runs whose end LangChain tells nobody: they are recorded all the same, and once."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from call_paths import BETA, PATHS, call
from cost_bill import (
    MODEL,
    assert_is_the_bill,
    bill_of,
    chat,
    completions,
    cost_by_hand,
    tokens_of,
)
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import BudgetExceeded, CerebrasError
from langchain_cerebras_ext.simulator import Simulator

PRICES = PriceBook().with_price("theirs", provider="somebody", input=1, output=10)
ANSWERED = Decimal("0.00015")  # 100 tokens in and 5 out
ALL_OF_IT = Decimal("0.0005")  # for a prompt and the 40 tokens that it may bring


class Other(BaseCallbackHandler):
    """A handler that wants nothing, and is no tracker."""


class Refuses(BaseCallbackHandler):
    """Lets no prompt `bad` begin."""

    raise_error = True
    run_inline = True

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        del kwargs
        if args[1][0][0].content == "bad":
            raise PermissionError

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        del kwargs
        if args[1][0] == "bad":
            raise PermissionError


class Theirs(BaseChatModel):
    """Somebody's model: it fails, hangs or answers as it is asked."""

    @property
    def _llm_type(self) -> str:
        return "theirs"

    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        return {
            "ls_provider": "somebody",
            "ls_model_name": "theirs",
            "ls_model_type": "chat",
            "ls_max_tokens": 40,
        }

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del stop, run_manager, kwargs
        asked = messages[0].text
        if asked == "bad":
            raise ValueError
        if asked == "interrupt":
            raise KeyboardInterrupt
        usage = {"input_tokens": 100, "output_tokens": 5, "total_tokens": 105}
        message = AIMessage("yes", usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> ChatResult:
        del args, kwargs
        if messages[0].text == "slow":
            await asyncio.sleep(60)
        return self._generate(messages)


class TheirText(LLM):
    """Somebody's model of text completions."""

    @property
    def _llm_type(self) -> str:
        return "theirs"

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        del args, kwargs
        return prompt


def prompts(*texts: str) -> Any:
    return [[HumanMessage(text)] for text in texts]


def told(tracker: CostTracker) -> list[tuple[str, int | None]]:
    """Return how calls have ended, and the tokens of their answers."""
    return sorted((one.outcome, one.output_tokens) for one in tracker.records)


def assert_nothing_is_held(budget: Budget, tracker: CostTracker) -> None:
    [account] = budget.status()
    assert [account.reserved, account.spent] == [0, tracker.get_total_cost()]
    assert tracker.open_calls == tracker.settle_open_calls() == 0


# ------------------------------------------------------------ prompts of one call


@pytest.mark.parametrize(
    ("texts", "answers", "unsent"),
    [
        (("a", "bad", "c"), 1, 1),
        (("bad", "b", "c"), 0, 2),
        (("a", "b", "bad"), 2, 0),
        (("a", "interrupt", "c"), 1, 1),
    ],
)
@pytest.mark.parametrize("beside", [(), (Other(),)])
def test_answers_before_a_prompt_that_fails_are_recorded_at_once(
    texts: tuple[str, ...], answers: int, unsent: int, beside: tuple[Any, ...]
) -> None:
    budget = Budget(5)
    tracker = CostTracker(prices=PRICES, budgets=budget)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        Theirs().generate(prompts(*texts), callbacks=[*beside, tracker])
    ok = [one for one in tracker.records if one.outcome == "ok"]
    assert [(one.cost_usd, one.flags) for one in ok] == [(ANSWERED, ())] * answers
    free = [one for one in tracker.records if one.cost_usd == 0]
    assert [(one.outcome, one.flags) for one in free] == [("aborted", ())] * unsent
    assert len(tracker.records) == len(texts)
    assert_nothing_is_held(budget, tracker)


@pytest.mark.parametrize("fields", [{}, {"streaming": True}])
@pytest.mark.parametrize("beside", [(), (Other(),)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_prompts_of_ours_after_one_that_fails_are_not_open_for_ever(
    sim: Simulator, place: int, beside: tuple[Any, ...], fields: dict[str, Any]
) -> None:
    sim.fail_next(400, when="this one")
    budget = Budget(5)
    texts = ["a", "b", "c"]
    texts[place] = "this one"
    model = chat(sim, max_retries=0, max_tokens=50, **fields)
    with track_costs(budget=budget) as costs:
        with pytest.raises(CerebrasError):
            model.generate(prompts(*texts), callbacks=list(beside) or None)
        outcomes = [one.outcome for one in costs.records]
    assert outcomes == ["ok"] * place + ["failed"] + ["aborted"] * (2 - place)
    assert tokens_of(costs.records) == bill_of(sim)
    assert costs.get_total_cost() == cost_by_hand(sim)
    assert_nothing_is_held(budget, costs)


@pytest.mark.unwatched  # else its error, and so the call, is kept
def test_prompts_of_ours_after_a_stream_that_is_cut_are_not_open_for_ever(
    sim: Simulator,
) -> None:
    """Its handlers are told of nothing more once a stream has begun."""
    sim.fail_next(fault="cut_stream", when="this one")
    model = chat(sim, max_retries=0, streaming=True)
    with track_costs() as costs, suppress(CerebrasError):
        model.generate(prompts("a", "this one", "c"))
    gc.collect()
    assert [one.outcome for one in costs.records] == ["ok", "failed", "aborted"]
    assert costs.records[-1].cost_usd == 0
    assert costs.open_calls == 0


@pytest.mark.parametrize("is_async", [False, True])
def test_a_budget_that_refuses_one_prompt_gives_back_what_the_others_had(
    is_async: bool,
) -> None:
    budget = Budget(2 * ALL_OF_IT)
    with track_costs(prices=PRICES, budget=budget) as costs:
        with pytest.raises(BudgetExceeded):
            if is_async:
                asyncio.run(Theirs().agenerate(prompts("a", "b", "c", "d")))
            else:
                Theirs().generate(prompts("a", "b", "c", "d"))
        assert told(costs) == [("aborted", 0), ("aborted", 0), ("failed", 0)]
        assert_nothing_is_held(budget, costs)
        assert Theirs().invoke("a").text == "yes"


def test_a_failure_within_a_call_is_none_of_the_prompts_beside_it() -> None:
    class Wraps(Theirs):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kw: Any) -> Any:
            with suppress(ValueError):
                next(Theirs().stream("bad"))
            return Theirs._generate(self, messages)

    tracker = CostTracker(prices=PRICES)
    Wraps(callbacks=[tracker]).generate(prompts("a", "b"))
    assert told(tracker) == [("ok", 5), ("ok", 5)]
    with track_costs(prices=PRICES) as costs:
        Wraps().generate(prompts("a", "b"))
    assert told(costs) == [("failed", 0), ("failed", 0), ("ok", 5), ("ok", 5)]


@pytest.mark.unwatched
def test_a_budget_that_refuses_one_text_gives_back_what_the_others_had() -> None:
    prices = PriceBook().with_price("unknown", provider="unknown", input=100, output=0)
    budget = Budget("0.0004")
    with track_costs(prices=prices, budget=budget) as costs:
        with pytest.raises(BudgetExceeded):
            TheirText().generate(["a b c", "a b c", "a b c"])
        gc.collect()
        assert [one.outcome for one in costs.records] == ["failed", "aborted"]
        assert costs.get_total_cost() == 0
        assert_nothing_is_held(budget, costs)


# ---------------------------------------------------------- cancelled, or refused


async def by_its_task(model: Theirs) -> None:
    task = asyncio.create_task(model.ainvoke("slow"))
    await asyncio.sleep(0.02)
    task.cancel()
    await task


async def by_wait_for(model: Theirs) -> None:
    await asyncio.wait_for(model.agenerate(prompts("slow", "slow")), 0.02)


async def by_a_time_limit(model: Theirs) -> None:
    async with asyncio.timeout(0.02):
        await model.abatch(["slow", "slow", "slow"])


@pytest.mark.parametrize(
    ("leave", "calls"), [(by_its_task, 1), (by_wait_for, 2), (by_a_time_limit, 3)]
)
async def test_a_cancelled_call_of_somebody_is_estimated_and_gives_its_money_back(
    leave: Any, calls: int
) -> None:
    budget = Budget(5)
    with track_costs(prices=PRICES, budget=budget) as costs:
        with suppress(TimeoutError, asyncio.CancelledError):
            await leave(Theirs())
        await asyncio.sleep(0)  # the event loop holds what has woken this task
        gc.collect()
        assert [(one.outcome, one.flags) for one in costs.records] == [
            ("aborted", ("estimated", "no_usage"))
        ] * calls
        assert_nothing_is_held(budget, costs)
        assert costs.get_total_cost() > 0


async def test_a_cancelled_call_makes_room_for_the_next_one() -> None:
    with track_costs(prices=PRICES, budget=Budget("0.0006")):
        with suppress(asyncio.CancelledError):
            await by_its_task(Theirs())
        await asyncio.sleep(0)
        gc.collect()
        assert (await Theirs().ainvoke("a")).text == "yes"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_that_another_handler_refuses_gives_its_money_back(
    is_async: bool,
) -> None:
    budget = Budget(5)
    tracker = CostTracker(prices=PRICES, budgets=budget)
    model = Theirs(callbacks=[tracker, Refuses()])
    with pytest.raises(PermissionError):
        asyncio.run(model.ainvoke("bad")) if is_async else model.invoke("bad")
    gc.collect()
    [record] = tracker.records
    assert record.outcome == "aborted"
    # Of an async call nobody knows whether it was sent.
    assert record.flags == (("estimated", "no_usage") if is_async else ())
    assert_nothing_is_held(budget, tracker)


@BETA
@pytest.mark.parametrize("path", PATHS)
def test_a_call_of_ours_that_another_handler_refuses_is_recorded(
    sim: Simulator, path: str
) -> None:
    """Else it were under way for ever, and one of those that a tracker remembers."""
    tracker = CostTracker()
    with pytest.raises(PermissionError):
        call(path, chat(sim), "bad", config={"callbacks": [tracker, Refuses()]})
    gc.collect()
    assert tracker.open_calls == 0
    [record] = tracker.records
    assert (record.outcome, record.cost_usd, record.flags) == ("aborted", 0, ())
    assert sim.requests == []


def test_a_text_of_ours_that_another_handler_refuses_is_recorded(
    sim: Simulator,
) -> None:
    tracker = CostTracker()
    with pytest.raises(PermissionError):
        completions(sim).invoke("bad", config={"callbacks": [tracker, Refuses()]})
    gc.collect()
    assert tracker.open_calls == 0
    [record] = tracker.records
    assert (record.outcome, record.model) == ("aborted", MODEL)
    assert (record.provider, record.operation) == ("cerebras", "text_completion")


def test_texts_of_ours_that_another_handler_refuses_are_ours(sim: Simulator) -> None:
    """LangChain's `generate` says neither whose model it is nor which."""
    tracker = CostTracker()
    with pytest.raises(PermissionError):
        completions(sim).generate(["bad"], callbacks=[tracker, Refuses()])
    gc.collect()
    [record] = tracker.records
    assert (record.outcome, record.model) == ("aborted", "unknown")
    assert (record.provider, record.operation) == ("cerebras", "text_completion")


@BETA
@pytest.mark.parametrize("path", PATHS)
def test_beside_others_a_call_of_ours_is_recorded_once(
    sim: Simulator, path: str
) -> None:
    """Whatever Python frees meanwhile: a manager may be gone before its run is over."""

    class Frees(BaseCallbackHandler):
        def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
            del args, kwargs
            gc.collect()

    tracker = CostTracker()
    call(path, chat(sim), config={"callbacks": [tracker, Frees()]})
    gc.collect()
    assert_is_the_bill(tracker, sim)


def test_a_stream_stays_open_while_anybody_has_it() -> None:
    class Streams(Theirs):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            del args, kwargs
            for word in ("yes", " and", " no"):
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    with track_costs(prices=PRICES) as costs:
        stream = Streams().stream_events("a", version="v3")
        events = iter(stream)
        next(events)
        gc.collect()
        assert (costs.open_calls, costs.totals.calls) == (1, 0)
        assert stream.output.text == "yes and no"
        assert [one.outcome for one in costs.records] == ["ok"]
        given_up = iter(Streams().stream_events("a", version="v3"))
        next(given_up)
        del given_up
        gc.collect()
        assert [one.outcome for one in costs.records] == ["ok", "aborted"]
        assert costs.estimated_calls == 2


PROGRAM = """
import asyncio, gc
from contextlib import suppress
from langchain_core.language_models.chat_models import SimpleChatModel
from langchain_cerebras_ext import CostTracker

class Slow(SimpleChatModel):
    _llm_type = "slow"
    _call = None

    async def _agenerate(self, *args, **kwargs):
        await asyncio.sleep(60)

async def run():
    task = asyncio.create_task(Slow(callbacks=[seen]).ainvoke("x"))
    await asyncio.sleep(0.02)
    task.cancel()
    await task

seen = CostTracker(sinks=[lambda one: print(one.outcome)])
with suppress(asyncio.CancelledError):
    asyncio.run(run())
gc.collect()
print("end")
"""


def test_a_call_that_was_left_is_recorded_when_the_program_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.split() == ["end", "aborted"], done.stderr


async def test_a_call_is_not_recorded_where_python_frees_it() -> None:
    """That may be anywhere, with any lock held."""
    told: list[Any] = []
    tracker = CostTracker(prices=PRICES, sinks=[told.append])
    with suppress(asyncio.CancelledError):
        await by_its_task(Theirs(callbacks=[tracker]))
    await asyncio.sleep(0)
    gc.collect()
    assert not told
    assert tracker.totals.aborted == len(told) == 1
