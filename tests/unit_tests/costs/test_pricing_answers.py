"""`price_usage` of answers that name their model: messages, raw responses, records."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from cost_bill import MODEL, chat, cost_by_hand
from langchain_core.messages import AIMessage
from openai.types import chat as openai_chat

from langchain_cerebras_ext.costs import Cost, PriceBook, price_usage, track_costs
from langchain_cerebras_ext.costs._answer import Answer, read_answer
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    InvalidUsageError,
    UnknownPriceError,
)
from langchain_cerebras_ext.simulator import Simulator

USAGE = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}
RAW = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
DAY = date(2026, 11, 21)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
BY_HAND = (1000 * Decimal("0.35") + 200 * Decimal("0.75")) / 10**6
BOOK = (
    PriceBook()
    .with_price(MODEL, input="1", output="1", valid_until=date(2026, 6, 1))
    .with_price("their-model", provider="openai", input="3", output="4")
    .with_price("their-model", provider="anthropic", input="5", output="6")
    .with_price("mine", provider="anthropic", input="7", output="8")
)


def message(**metadata: Any) -> AIMessage:
    return AIMessage("", usage_metadata=USAGE, response_metadata=metadata)


def body(**fields: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [], "usage": RAW, **fields}


def sdk_object() -> Any:
    return openai_chat.ChatCompletion.model_validate(
        body(object="chat.completion", created=0, model=MODEL)
    )


@pytest.mark.parametrize(
    "answer",
    [
        message(model_name=MODEL),
        message(model=MODEL),
        message(model_name=MODEL, model_provider="cerebras"),
        message(model_name=MODEL * 2),
        message(model_name=MODEL).model_dump(),
        body(model=MODEL),
        body(model=f"cerebras::{MODEL}"),
        body(model=MODEL, created=0),
        body(model=MODEL, service_tier="priority"),
        sdk_object(),
        UsageRecord(started_at=AT, model=MODEL, input_tokens=1000, output_tokens=200),
    ],
    ids=[
        "message",
        "message with a raw name",
        "message with its provider",
        "merged chunks",
        "dumped message",
        "raw response",
        "raw response with a prefix",
        "raw response of no time",
        "raw response with a tier",
        "object of an SDK",
        "record",
    ],
)
def test_an_answer_that_names_its_model_needs_no_other_word(answer: Any) -> None:
    cost = price_usage(answer, on=DAY)
    assert cost == price_usage(answer, MODEL, on=DAY)
    assert cost.total == BY_HAND


def test_all_paths_give_answers_that_can_be_priced_by_themselves(
    sim: Simulator,
) -> None:
    model = chat(sim)
    with track_costs() as costs:
        answers: list[Any] = [model.invoke("hi"), sum_of(model.stream("ho"))]
    request = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    key = {"Authorization": "Bearer k"}
    url = f"{sim.base_url}/chat/completions"
    answers.append(httpx.post(url, json=request, headers=key).json())
    with openai.OpenAI(base_url=sim.base_url, api_key="k") as client:
        answers.append(client.chat.completions.create(**request))  # type: ignore[call-overload]
    priced = [price_usage(answer) for answer in answers]
    assert sum(cost.total for cost in priced) == cost_by_hand(sim)
    assert [price_usage(record) for record in costs.records] == priced[:2]


def sum_of(chunks: Any) -> Any:
    first, *rest = chunks
    for chunk in rest:
        first += chunk
    return first


@pytest.mark.parametrize(
    "nameless",
    [
        USAGE,
        RAW,
        message(),
        message(model_name=None),
        message(model_name=""),
        body(),
        body(model=7),
    ],
    ids=["usage", "raw usage", "message", "none", "empty", "response", "number"],
)
def test_where_no_model_is_named_it_is_asked_for(nameless: Any) -> None:
    with pytest.raises(CerebrasConfigurationError, match="names none"):
        price_usage(nameless)
    assert price_usage(nameless, MODEL, on=DAY).total == BY_HAND


def test_an_answer_without_counts_is_not_free() -> None:
    with pytest.raises(InvalidUsageError):
        price_usage(AIMessage("", response_metadata={"model_name": MODEL}))


# ------------------------------------------------------------------ whose, and when


def price(answer: Any, **more: Any) -> Cost:
    return price_usage(answer, prices=BOOK, **{"on": DAY, **more})


def test_the_provider_is_whom_the_message_names_unless_it_is_given() -> None:
    theirs = message(model_name="their-model", model_provider="anthropic")
    assert price(theirs).total == Decimal("0.0062")
    assert price(theirs, provider="openai").total == Decimal("0.0038")
    raw = body(model="openai::their-model")
    assert price(raw).total == Decimal("0.0038")


def test_of_a_model_that_was_served_elsewhere_the_provider_is_asked_for() -> None:
    """`ChatOpenAI` with another service's `base_url` says that it is OpenAI's."""
    answer = message(model_name=MODEL, model_provider="openai")
    with pytest.raises(UnknownPriceError, match="name the provider"):
        price_usage(answer, on=DAY)
    assert price_usage(answer, provider="cerebras", on=DAY).total == BY_HAND


def test_it_is_priced_as_of_the_moment_that_the_answer_names() -> None:
    for answer in (
        message(model_name=MODEL, created=AT.timestamp()),
        body(model=MODEL, created=int(AT.timestamp())),
        UsageRecord(started_at=AT, model=MODEL, input_tokens=1000, output_tokens=200),
    ):
        assert price_usage(answer, prices=BOOK).total == Decimal("0.0012")
        assert price(answer).total == BY_HAND, "the day that is given holds"
        other = price_usage(answer, MODEL, prices=BOOK, on=DAY)
        assert other.total == BY_HAND, "of another question, nothing is read"


def test_of_a_record_the_name_that_has_a_price_holds() -> None:
    record = UsageRecord(
        started_at=AT,
        model="mine",
        model_served="their-model",
        provider="anthropic",
        input_tokens=1000,
        output_tokens=200,
    )
    assert price(record).total == Decimal("0.0062"), "both have one: what has served"
    assert price(record.replace(model="alias")).total == Decimal("0.0062")
    assert price(record.replace(model_served="served")).total == Decimal("0.0086")
    with pytest.raises(UnknownPriceError, match="'unheard'"):
        price(record.replace(model="unheard", model_served=None))


@pytest.mark.parametrize(
    "answer",
    [
        body(model="gpt-5-mini", service_tier="flex"),
        message(model_name="gpt-5-mini", model_provider="openai", service_tier="flex"),
    ],
    ids=["raw response", "message"],
)
def test_the_tier_of_an_answer_is_priced_as_that_of_its_model(answer: Any) -> None:
    flex = price_usage(RAW, "gpt-5-mini", on=DAY, service_tier="flex")
    plain = price_usage(RAW, "gpt-5-mini", on=DAY)
    assert flex.total < plain.total
    assert price_usage(answer, on=DAY) == flex
    assert price_usage(answer, "gpt-5-mini", on=DAY) == flex
    assert price_usage(answer, "openai::gpt-5", on=DAY) == price_usage(
        RAW, "openai::gpt-5", on=DAY
    ), "what another model would have cost has no tier"


def test_what_is_no_answer_says_nothing() -> None:
    for thing in (None, 7, "text", {}, USAGE, object(), AIMessage("")):
        assert read_answer(thing) == Answer()
    assert read_answer({"created": "soon", "created_at": 10.0**300}) == Answer()
