"""What calls cost on every path of the models, against the simulator's own bill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from call_paths import BETA, PATHS, acall, call, whole
from cost_bill import (
    MODEL,
    assert_is_the_bill,
    bill_of,
    by_hand,
    chat,
    completions,
    cost_by_hand,
    tokens_of,
)
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel

from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.simulator import Simulator

pytestmark = BETA

QUESTION = "Tell me of the sea, its tides and its colours."
LONG = "The sea is deep and wide, and its tides come and go. " * 60
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


Step = Callable[[Simulator, dict[str, Any]], Any]


def several(*texts: str) -> list[list[HumanMessage]]:
    return [[HumanMessage(text)] for text in texts]


def structured(sim: Simulator, method: str) -> Runnable[Any, Any]:
    sim.reply(
        '{"name": "Ann", "age": 3}' if method != "function_calling" else None,
        tool_calls=[("Person", {"name": "Ann", "age": 3})]
        if method == "function_calling"
        else (),
        times=None,
    )
    return chat(sim).with_structured_output(Person, method=method)


async def each(stream: Any) -> list[Any]:
    return [part async for part in stream]


CHAT: dict[str, Step] = {
    "invoke with stream=True": lambda sim, config: chat(sim).invoke(
        QUESTION, config, stream=True
    ),
    "ainvoke with stream=True": lambda sim, config: chat(sim).ainvoke(
        QUESTION, config, stream=True
    ),
    "streaming=True": lambda sim, config: chat(sim, streaming=True).invoke(
        QUESTION, config
    ),
    "async with streaming=True": lambda sim, config: chat(sim, streaming=True).ainvoke(
        QUESTION, config
    ),
    "disable_streaming": lambda sim, config: list(
        chat(sim, disable_streaming=True).stream(QUESTION, config)
    ),
    "batch": lambda sim, config: chat(sim).batch(list("abcd"), config),
    "abatch": lambda sim, config: chat(sim).abatch(list("abcd"), config),
    "batch_as_completed": lambda sim, config: list(
        chat(sim).batch_as_completed(list("abcd"), config)
    ),
    "generate with several prompts": lambda sim, config: chat(sim).generate(
        several("a", "b", "b"), callbacks=config["callbacks"]
    ),
    "agenerate with several prompts": lambda sim, config: chat(sim).agenerate(
        several("a", "b", "b"), callbacks=config["callbacks"]
    ),
    "json_schema": lambda sim, config: structured(sim, "json_schema").invoke(
        QUESTION, config
    ),
    "function_calling": lambda sim, config: structured(sim, "function_calling").invoke(
        QUESTION, config
    ),
    "json_mode": lambda sim, config: structured(sim, "json_mode").invoke(
        f"Answer in JSON. {QUESTION}", config
    ),
    "json_schema in a stream": lambda sim, config: list(
        structured(sim, "json_schema").stream(QUESTION, config)
    ),
    "json_mode in an async stream": lambda sim, config: each(
        structured(sim, "json_mode").astream(f"Answer in JSON. {QUESTION}", config)
    ),
    "tools": lambda sim, config: (
        chat(sim).bind_tools([weather]).invoke("What is the weather in Oslo?", config)
    ),
    "tools in a stream": lambda sim, config: list(
        chat(sim)
        .bind_tools([weather], tool_choice="any")
        .stream("What is the weather in Oslo?", config)
    ),
    "n=3": lambda sim, config: chat(sim, n=3).invoke(QUESTION, config),
    "n=3 of two prompts": lambda sim, config: chat(sim, n=3).generate(
        several("a", "b"), callbacks=config["callbacks"]
    ),
    "much reasoning": lambda sim, config: chat(sim, reasoning_effort="high").invoke(
        QUESTION, config
    ),
    "an image": lambda sim, config: chat(sim, model="gemma-4-31b").invoke(
        [
            HumanMessage(
                [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                ]
            )
        ],
        config,
    ),
    "another model for a call": lambda sim, config: chat(sim).invoke(
        QUESTION, config, model="zai-glm-4.7"
    ),
    "JSON mode as a stream": lambda sim, config: list(
        chat(sim, response_format={"type": "json_object"}).stream(
            "Answer in JSON.", config
        )
    ),
    "JSON mode as an async stream": lambda sim, config: each(
        chat(sim, response_format={"type": "json_object"}).astream(
            "Answer in JSON.", config
        )
    ),
    "coalesce_stream": lambda sim, config: list(
        chat(sim, coalesce_stream=True).stream(QUESTION, config)
    ),
    "flex tier": lambda sim, config: chat(sim, service_tier="flex").invoke(
        QUESTION, config
    ),
    "priority tier in a stream": lambda sim, config: list(
        chat(sim, service_tier="priority").stream(QUESTION, config)
    ),
    "in a chain": lambda sim, config: (
        (lambda text: f"{text}!") | chat(sim) | (lambda message: message.text)
    ).invoke(QUESTION, config),
}
TEXT: dict[str, Step] = {
    "invoke": lambda sim, config: completions(sim).invoke("Once", config),
    "ainvoke": lambda sim, config: completions(sim).ainvoke("Once", config),
    "stream": lambda sim, config: list(completions(sim).stream("Once", config)),
    "astream": lambda sim, config: each(completions(sim).astream("Once", config)),
    "batch": lambda sim, config: completions(sim).batch(list("abbc"), config),
    "abatch": lambda sim, config: completions(sim).abatch(list("abbc"), config),
    "generate": lambda sim, config: completions(sim).generate(
        list("abbc"), callbacks=config["callbacks"]
    ),
    "agenerate": lambda sim, config: completions(sim).agenerate(
        list("abbc"), callbacks=config["callbacks"]
    ),
    "n": lambda sim, config: completions(sim, n=2).generate(
        ["a", "b"], callbacks=config["callbacks"]
    ),
    "best_of": lambda sim, config: completions(sim, best_of=3).generate(
        ["a", "b"], callbacks=config["callbacks"]
    ),
    "streaming": lambda sim, config: completions(sim, streaming=True).generate(
        ["a", "b"], callbacks=config["callbacks"]
    ),
    "async streaming": lambda sim, config: completions(sim, streaming=True).agenerate(
        ["a", "b"], callbacks=config["callbacks"]
    ),
}


def run(step: Step, sim: Simulator, config: dict[str, Any]) -> Any:
    found = step(sim, config)
    if not asyncio.iscoroutine(found):
        return found

    async def wait() -> Any:
        return await found

    return asyncio.run(wait())


@pytest.mark.parametrize("path", PATHS)
def test_each_path_is_recorded_once_in_each_tracker(sim: Simulator, path: str) -> None:
    tracker = CostTracker()
    with track_costs() as costs:
        call(path, chat(sim), QUESTION, config={"callbacks": [tracker]})
    assert_is_the_bill(tracker, sim)
    assert tracker.records == costs.records
    (record,) = tracker.records
    assert (record.outcome, record.stream) == ("ok", "invoke" not in path)
    assert record.model == record.model_served == MODEL
    assert record.request_id
    assert record.queue_time_s is not None
    assert (record.ttft_s is not None) is record.stream


@pytest.mark.parametrize("name", CHAT)
def test_ways_to_call_a_chat_model_come_to_the_bill(sim: Simulator, name: str) -> None:
    tracker = CostTracker()
    with track_costs() as costs:
        run(CHAT[name], sim, {"callbacks": [tracker]})
    assert_is_the_bill(tracker, sim)
    assert tracker.records == costs.records
    assert {record.operation for record in costs.records} == {"chat"}


@pytest.mark.parametrize("name", TEXT)
def test_ways_to_complete_text_come_to_the_bill(sim: Simulator, name: str) -> None:
    tracker = CostTracker()
    with track_costs() as costs:
        run(TEXT[name], sim, {"callbacks": [tracker]})
    assert_is_the_bill(tracker, sim)
    assert tracker.records == costs.records
    assert {record.operation for record in costs.records} == {"text_completion"}
    assert len({record.run_id for record in costs.records}) == len(costs.records)


def test_prompt_cached_tokens_are_counted_and_priced_once(sim: Simulator) -> None:
    with track_costs() as costs:
        for _ in range(3):
            chat(sim).invoke(LONG)
    assert_is_the_bill(costs, sim)
    cached = sum(record.cached_input_tokens or 0 for record in costs.records)
    assert cached > 0, "the simulator caches prompts"


def test_cached_tokens_take_their_own_price_where_there_is_one(sim: Simulator) -> None:
    book = PriceBook().with_price(MODEL, input=1, output=3, cached_input="0.1")
    with track_costs(prices=book) as costs:
        for _ in range(2):
            chat(sim).invoke(LONG)
    prompt, cached, completion, _ = bill_of(sim)
    assert cached
    plain = Decimal(prompt - cached)
    by_kind = plain + Decimal("0.1") * cached + 3 * Decimal(completion)
    assert costs.get_total_cost() == by_kind / 1_000_000
    saved = Decimal("0.9") * cached / 1_000_000
    assert costs.totals.cache_savings == saved


def test_predictions_are_part_of_the_output(sim: Simulator) -> None:
    sim.reply("one two three four five")
    prediction = {"type": "content", "content": "one two three four six seven"}
    with track_costs() as costs:
        chat(sim, prediction=prediction).invoke(QUESTION)
    assert_is_the_bill(costs, sim)
    (record,) = costs.records
    assert record.accepted_prediction_tokens is not None
    assert record.output_tokens is not None
    parts = record.accepted_prediction_tokens + (record.rejected_prediction_tokens or 0)
    assert 0 < parts <= record.output_tokens


def test_reasoning_is_part_of_the_output(sim: Simulator) -> None:
    with track_costs() as costs:
        chat(sim, reasoning_effort="high").invoke(QUESTION)
    (record,) = costs.records
    assert record.cost is not None
    assert 0 < record.cost.reasoning < record.cost.output
    assert record.cost.total == record.cost.input + record.cost.output


# ----------------------------------------------------------------- on the message


@pytest.mark.parametrize("path", PATHS)
def test_the_cost_stands_on_the_answer_of_a_model_that_tracks(
    sim: Simulator, path: str
) -> None:
    model = chat(sim, track_costs=True)
    message = call(path, model, QUESTION)
    assert Decimal(message.response_metadata["cost_usd"]) == cost_by_hand(sim)
    assert model.get_last_cost() == model.get_total_cost() == cost_by_hand(sim)
    call(path, model, QUESTION)
    assert_is_the_bill(model.cost_tracker, sim)


def test_the_cost_stands_on_one_chunk_of_a_stream_and_on_their_sum(
    sim: Simulator,
) -> None:
    chunks = list(chat(sim, track_costs=True).stream(QUESTION))
    said = [c.response_metadata.get("cost_usd") for c in chunks]
    assert len([cost for cost in said if cost is not None]) == 1
    total: AIMessageChunk = chunks[0]
    for part in chunks[1:]:
        total += part
    assert Decimal(total.response_metadata["cost_usd"]) == cost_by_hand(sim)
    assert Decimal(whole(chunks).response_metadata["cost_usd"]) == cost_by_hand(sim)


def test_the_cost_stands_on_one_of_n_answers(sim: Simulator) -> None:
    model = chat(sim, track_costs=True, n=3)
    (answers,) = model.generate(several(QUESTION)).generations
    said = [one.message.response_metadata.get("cost_usd") for one in answers]
    assert [Decimal(cost) for cost in said if cost] == [cost_by_hand(sim)]


@pytest.mark.parametrize("how", ["plain", "streaming"])
def test_the_cost_stands_on_completions(sim: Simulator, how: str) -> None:
    model = completions(sim, track_costs=True, streaming=how == "streaming")
    answers = model.generate(["a", "b"]).generations
    said = [Decimal(one.generation_info["cost_usd"]) for (one,) in answers]
    assert sum(said) == cost_by_hand(sim)
    assert_is_the_bill(model.cost_tracker, sim)


def test_nothing_stands_on_answers_of_models_that_do_not_track(sim: Simulator) -> None:
    with track_costs():
        message = chat(sim).invoke(QUESTION)
    assert "cost_usd" not in message.response_metadata


# ------------------------------------------------------------- LangChain's own cache


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_cache_hits_are_counted_and_free(sim: Simulator, path: str) -> None:
    model = chat(sim, track_costs=True, cache=InMemoryCache())
    with track_costs() as costs:
        first = call(path, model, QUESTION)
        second = call(path, model, QUESTION)
        third = call(path, model, QUESTION)
    assert len(sim.billed) == 1
    assert_is_the_bill(costs, sim)
    assert [one.outcome for one in costs.records] == ["ok", "cache_hit", "cache_hit"]
    assert costs.totals.cache_hits == 2
    assert first.response_metadata["cost_usd"] != "0"
    assert second.response_metadata["cost_usd"] == "0"
    assert third.response_metadata["cost_usd"] == "0"
    assert model.get_last_cost() == 0


def test_cached_completions_are_free(sim: Simulator) -> None:
    """LangChain tells nobody of these hits, so that they cannot be counted."""
    model = completions(sim, cache=InMemoryCache())
    with track_costs() as costs:
        model.generate(["a", "b"])
        model.generate(["a", "b", "c"])
        asyncio.run(model.agenerate(["a", "c"]))
    assert len(sim.billed) == 3
    assert_is_the_bill(costs, sim)


async def test_a_cache_is_hit_by_many_at_once(sim: Simulator) -> None:
    model = chat(sim, cache=InMemoryCache())
    with track_costs() as costs:
        await acall("ainvoke", model, QUESTION)
        await model.abatch([QUESTION] * 20)
    assert costs.totals.cache_hits == 20
    assert_is_the_bill(costs, sim)


def test_totals_by_model_are_those_of_the_bill(sim: Simulator) -> None:
    with track_costs() as costs:
        chat(sim).invoke(QUESTION)
        chat(sim).invoke(QUESTION, model="zai-glm-4.7")
        chat(sim, model="gemma-4-31b").invoke(QUESTION)
    assert_is_the_bill(costs, sim)
    assert set(costs.by_model) == set(sim.billed.by_model)
    for model, billed in sim.billed.by_model.items():
        mine = costs.by_model[model]
        expected = by_hand(model, billed.prompt_tokens, billed.completion_tokens)
        assert mine.cost == expected
    assert tokens_of(costs.records) == bill_of(sim)
