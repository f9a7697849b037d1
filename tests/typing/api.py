"""The public API as users type it; checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any, assert_type

import httpx
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr
from typing_extensions import TypedDict

from langchain_cerebras_ext import (
    Budget,
    CerebrasLLM,
    ChatCerebras,
    CostTracker,
    __version__,
    register_with_langchain,
    track_costs,
)
from langchain_cerebras_ext.catalog import (
    ModelCard,
    find_model,
    get_model,
    list_models,
    suggest,
)
from langchain_cerebras_ext.costs import (
    Cost,
    Group,
    Ledger,
    Projection,
    Totals,
    UsageRecord,
    price_usage,
    project,
)
from langchain_cerebras_ext.errors import (
    CerebrasError,
    CerebrasStatusError,
    RateLimitError,
    StreamInterruptedError,
    StructuredOutputError,
)
from langchain_cerebras_ext.retry import RetryPolicy
from langchain_cerebras_ext.simulator import Simulator
from langchain_cerebras_ext.wire import ChatCompletion, ChatRequest

version: str = __version__


class Person(BaseModel):
    """A person."""

    name: str
    age: int | None = None


class PersonDict(TypedDict):
    """A person."""

    name: str


@tool
def get_weather(city: str) -> str:
    """Get the weather."""
    return city


def double(x: int) -> int:
    """Double a number."""
    return 2 * x


def construct() -> ChatCerebras:
    """Every way to make a model."""
    ChatCerebras()
    ChatCerebras(model="gpt-oss-120b")
    ChatCerebras(model="cerebras::gpt-oss-120b", api_key=SecretStr("csk-1"))
    ChatCerebras(timeout=30, max_retries=None, retry_policy=RetryPolicy.patient())
    ChatCerebras(timeout=(5.0, 60.0))
    ChatCerebras(timeout={"connect": 5, "total": 60})
    ChatCerebras(http_client=httpx.Client(), http_async_client=httpx.AsyncClient())
    ChatCerebras(stop_sequences=["END"], default_headers={"X-Team": "a"})
    model = ChatCerebras(
        model="gpt-oss-120b",
        base_url="https://api.cerebras.ai/v1",
        temperature=0.5,
        top_p=0.9,
        max_tokens=100,
        min_tokens=1,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        logit_bias={"5": 1.0},
        logprobs=True,
        top_logprobs=5,
        n=1,
        seed=1,
        reasoning_effort="low",
        reasoning_format="parsed",
        clear_thinking=False,
        prediction={"type": "content", "content": "x"},
        service_tier="flex",
        prompt_cache_key="k",
        user="u",
        model_parameters={},
        parallel_tool_calls=True,
        tools=[double],
        tool_choice="auto",
        response_format={"type": "json_object"},
        stream_options={"include_usage": True},
        stream_usage=True,
        streaming=False,
        coalesce_stream=True,
        queue_threshold=100,
        api_version_patch=2,
        disabled_params={"seed": None},
        model_kwargs={"new_key": 1},
        extra_body={"other_key": 1},
        output_version="v1",
        disable_streaming="tool_calling",
    )
    assert_type(model.model_name, str)
    assert_type(model.model, str)
    assert_type(model.cerebras_api_key, SecretStr | None)
    assert_type(model.temperature, float | None)
    assert_type(model.max_tokens, int | None)
    return model


def call(model: ChatCerebras) -> None:
    """Plain calls and what they give."""
    message = model.invoke("hi")
    assert_type(message, AIMessage)
    assert_type(message.usage_metadata, UsageMetadata | None)
    model.invoke([HumanMessage("hi")], temperature=0, model="zai-glm-4.7", stop=["a"])
    model.invoke([("system", "Be brief."), ("human", "hi")])
    assert_type(model.batch(["a", "b"]), list[AIMessage])
    assert_type(model.stream("hi"), Iterator[AIMessageChunk])
    for chunk in model.stream("hi"):
        assert_type(chunk, AIMessageChunk)
    with model as same:
        assert_type(same, ChatCerebras)
    model.warm_up()
    model.close()
    messages: list[BaseMessage] = [message]
    assert_type(model.get_num_tokens("a"), int)
    assert_type(model.get_num_tokens_from_messages(messages), int)


async def acall(model: ChatCerebras) -> None:
    """The same, async."""
    assert_type(await model.ainvoke("hi"), AIMessage)
    assert_type(await model.abatch(["a"]), list[AIMessage])
    assert_type(model.astream("hi"), AsyncIterator[AIMessageChunk])
    async for chunk in model.astream("hi"):
        assert_type(chunk, AIMessageChunk)
    async with model as same:
        assert_type(same, ChatCerebras)
    await model.awarm_up()
    await model.aclose()


def tools_and_structure(model: ChatCerebras) -> None:
    """Tools, structured output and chains."""
    bound = model.bind_tools([get_weather, double, Person, {"title": "f"}])
    assert_type(bound, Runnable[LanguageModelInput, AIMessage])
    assert_type(bound.invoke("hi"), AIMessage)
    model.bind_tools([double], tool_choice="any", strict=True)
    model.bind_tools([double], tool_choice=True, parallel_tool_calls=False)
    model.bind_tools([], response_format=Person)
    assert_type(model.bind(temperature=0).invoke("hi"), AIMessage)
    structured = model.with_structured_output(Person)
    assert_type(structured.invoke("hi"), dict[str, Any] | BaseModel)
    model.with_structured_output(PersonDict, method="function_calling", strict=True)
    model.with_structured_output({"title": "A", "type": "object"}, include_raw=True)
    model.with_structured_output(method="json_mode")
    model.with_structured_output(Person, tools=[double], fallback=True)
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | model | StrOutputParser()
    assert_type(chain.invoke({"question": "Why?"}), str)
    model.with_retry()
    model.with_fallbacks([model])
    model.with_config(tags=["t"]).invoke("hi")


def complete(llm: CerebrasLLM) -> None:
    """Text completion."""
    CerebrasLLM(model="gpt-oss-120b", max_tokens=5, echo=True, best_of=2)
    assert_type(llm.invoke("Once"), str)
    assert_type(llm.stream("Once"), Iterator[str])


def handle(model: ChatCerebras) -> None:
    """Errors and what they carry."""
    try:
        model.invoke("hi")
    except RateLimitError as error:
        assert_type(error.kind, str)
        assert_type(error.window, str | None)
        assert_type(error.retry_after_s, float | None)
    except CerebrasStatusError as error:
        assert_type(error.status_code, int)
        assert_type(error.code, str | None)
        assert_type(error.response.headers["x"], str)
    except StreamInterruptedError as error:
        assert_type(error.partial_message, AIMessage | None)
    except StructuredOutputError as error:
        assert_type(error.raw, AIMessage | None)
    except CerebrasError as error:
        assert_type(error.is_retryable, bool)
        assert_type(error.request_id, str | None)
        assert_type(error.partial_usage, UsageMetadata | None)
        assert_type(error.attempts, int)


def look_up() -> None:
    """The catalog."""
    card = get_model("gpt-oss-120b")
    assert_type(card, ModelCard)
    assert_type(find_model("x"), ModelCard | None)
    assert_type(list_models("active"), tuple[ModelCard, ...])
    assert_type(suggest("gpt"), list[str])
    for price in card.prices:
        assert_type(price.input, Decimal | None)


@track_costs(tags=["asked"])
def _asked(text: str, *, times: int) -> str:
    return text * times


@track_costs(user="a")
async def _awaited(text: str) -> list[str]:
    async with track_costs() as tracker:
        assert_type(tracker, CostTracker)
    return [text]


async def acosts() -> None:
    """What calls cost, in an event loop."""
    assert_type(await _awaited("hi"), list[str])
    await _awaited(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def costs() -> None:
    """What calls cost."""
    model = ChatCerebras(track_costs=True)
    assert_type(model.get_last_cost(), Decimal | None)
    assert_type(model.get_total_cost(), Decimal)
    with track_costs(user="a", budget=Budget("5.00"), ledger="costs.db") as tracker:
        assert_type(tracker, CostTracker)
        model.invoke("hi", config={"callbacks": [tracker]})
    assert_type(_asked("hi", times=2), str)
    assert_type(tracker.records, tuple[UsageRecord, ...])
    assert_type(tracker.by_model, dict[str | None, Totals])
    cost = price_usage({"prompt_tokens": 1}, "gpt-oss-120b")
    assert_type(cost, Cost)
    assert_type(cost.total, Decimal)
    assert_type(price_usage(model.invoke("hi")), Cost)
    assert_type(project("gpt-oss-120b"), Projection)
    assert_type(project(["gpt-oss-120b"]), tuple[Projection, ...])
    assert_type(Ledger().report(by=("model", "day")), list[Group])


def simulate() -> None:
    """The simulator."""
    with Simulator() as sim:
        assert_type(sim, Simulator)
        assert_type(sim.base_url, str)
        sim.reply("Hello!")
        sim.reply_with_tool("double", {"x": 1})
        ChatCerebras(base_url=sim.base_url).invoke("hi")


def on_the_wire(request: ChatRequest, answer: ChatCompletion) -> None:
    """The typed wire models."""
    assert_type(request["model"], str)
    assert_type(answer["id"], str)


register_with_langchain()
