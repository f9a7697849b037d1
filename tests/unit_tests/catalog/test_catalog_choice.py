"""Comparing models, the cheapest of them, and advice with reasons."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext.catalog import (
    ModelCard,
    Price,
    UnknownModelError,
    cheapest,
    compare,
    get_model,
    quotes,
    recommend,
    register_model,
)
from langchain_cerebras_ext.catalog._compare import usd
from langchain_cerebras_ext.errors import CerebrasConfigurationError

TODAY = date(2026, 11, 21)
MTOK = 1_000_000


# --------------------------------------------------------------------- blended price


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ("0.5", "0.55"),
        (0.5, "0.55"),
        (1, "0.35"),
        (0, "0.75"),
        (Decimal("0.75"), "0.45"),
    ],
    ids=str,
)
def test_a_blended_price_is_that_of_the_mix(share, expected):
    price = Price(input=Decimal("0.35"), output=Decimal("0.75"))
    assert price.blended(share) == Decimal(expected)


def test_half_and_half_is_the_default_mix():
    price = Price(input=Decimal(1), output=Decimal(3))
    assert price.blended() == Decimal(2)


def test_a_blend_with_an_unknown_price_is_unknown_unless_it_is_not_needed():
    price = Price(input=Decimal(1))
    assert price.blended() is None
    assert price.blended(1) == Decimal(1)
    assert price.cost(MTOK, 1) is None
    assert price.cost(MTOK, 0) == Decimal(1)


def test_a_free_model_costs_nothing():
    free = Price(input=Decimal(0), output=Decimal(0))
    assert free.blended() == 0
    assert free.cost(MTOK, MTOK) == 0


@pytest.mark.parametrize("share", [-0.1, 1.1, "1.01"])
def test_a_share_outside_of_the_whole_is_refused(share):
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        Price().blended(share)


@given(
    cents=st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)),
    share=st.decimals(0, 1, places=3),
)
def test_a_blend_lies_between_its_prices(cents, share):
    low, high = sorted(Decimal(one) / 100 for one in cents)
    blended = Price(input=low, output=high).blended(share)
    assert low <= blended <= high


# --------------------------------------------------------------------------- compare


def test_two_models_differ_in_price_window_speed_and_abilities():
    found = compare("gemma-4-31b", "qwen-3.8-27b", on=TODAY)
    facts = {one.field: (one.a, one.b) for one in found.differences}
    assert facts == {
        "stage": ("dedicated-only", "active"),
        "context_tokens": (131_072, 65_536),
        "max_output_tokens": (40_960, 32_768),
        "speed_tokens_per_s": (1850, 1500),
        "default_effort": ("none", "high"),
        "reasoning_formats": (("parsed", "text_parsed"), None),
    }
    assert found.lost == ()
    assert found.uncertain == ("forced_tool_choice", "json_mode")


def test_what_is_lost_and_gained_is_told_in_the_direction_of_the_move():
    there = compare("gpt-oss-120b", "qwen-3.8-27b", on=TODAY)
    back = compare("qwen-3.8-27b", "gpt-oss-120b", on=TODAY)
    assert set(there.gained) == {"parallel_tool_calls", "vision", "disable_reasoning"}
    assert there.lost == ("predicted_outputs",)
    assert back.lost == there.gained
    assert back.gained == there.lost


def test_reasoning_that_is_gone_is_not_missed_for_being_switched_off():
    found = compare("zai-glm-4.7", "qwen-3-coder-480b", on=TODAY)
    assert "reasoning" in found.lost
    assert "disable_reasoning" not in found.lost


def test_a_comparison_is_plain_json_and_plain_words():
    found = compare("llama3.1-8b", "gpt-oss-120b", on=TODAY)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["differences"][1] == {
        "field": "input_usd_per_mtok",
        "a": "0.10",
        "b": "0.35",
        "ratio": "3.50",
    }
    assert told["on"] == "2026-11-21"
    assert found.lines()[:2] == [
        "input 0.35 instead of 0.10 USD per million tokens (+250 %)",
        "output 0.75 instead of 0.10 USD per million tokens (+650 %)",
    ]


def test_prices_are_those_of_the_day():
    found = compare("gpt-oss-120b", "qwen-3-coder-480b", on=date(2025, 8, 10))
    first = next(one for one in found.differences if one.field == "input_usd_per_mtok")
    assert (first.a, first.b, first.ratio) == (Decimal("0.25"), Decimal("2.00"), 8)


def test_a_model_does_not_differ_from_itself():
    found = compare("gpt-oss-120b", get_model("gpt-oss-120b"), on=TODAY)
    assert (found.differences, found.lost, found.gained, found.lines()) == (
        (),
        (),
        (),
        [],
    )


def test_comparing_with_an_unknown_model_is_an_error():
    with pytest.raises(UnknownModelError):
        compare("gpt-oss-120b", "gpt-9")


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.35", "0.35"), ("2", "2.00"), ("0.5", "0.50"), ("0.000425", "0.000425"), ("1E+2", "100.00"), ("0", "0.00")],
)  # fmt: skip
def test_money_has_at_least_two_digits_after_the_point(value, text):
    assert usd(Decimal(value)) == text


# -------------------------------------------------------------------------- cheapest


@pytest.mark.parametrize(
    ("asked", "model", "cost"),
    [
        ({}, "gpt-oss-120b", "0.55"),
        ({"requires": "vision"}, "qwen-3.8-27b", "1.24"),
        ({"requires": ["tools", "parallel_tools"]}, "qwen-3.8-27b", "1.24"),
        ({"min_context": 100_000}, "gpt-oss-120b", "0.55"),
        ({"input_tokens": 550, "output_tokens": 0}, "gpt-oss-120b", "0.0001925"),
        ({"on": date(2026, 1, 1)}, "llama3.1-8b", "0.10"),
        ({"on": date(2026, 1, 1), "min_context": 65_536}, "gpt-oss-120b", "0.55"),
    ],
    ids=str,
)
def test_the_cheapest_model_that_will_do(asked, model, cost):
    found = cheapest(**{"on": TODAY, **asked})
    assert found is not None
    assert found.model == model
    assert found.cost_usd == Decimal(cost)


def test_the_cost_is_exact_arithmetic():
    found = cheapest(input_tokens=1_234, output_tokens=567, on=TODAY)
    assert found.cost_usd == (1_234 * Decimal("0.35") + 567 * Decimal("0.75")) / MTOK


@pytest.mark.parametrize(
    "asked", [{"requires": "logprobs"}, {"min_context": 1_000_000}], ids=str
)
def test_where_none_will_do_there_is_none(asked):
    assert cheapest(on=TODAY, **asked) is None


def test_quotes_say_why_a_model_will_not_do():
    found = quotes(
        input_tokens=1, output_tokens=1, requires=["vision", "json_mode"], min_context=100_000, on=TODAY
    )  # fmt: skip
    assert {quote.model: quote.unfit for quote in found} == {
        "gpt-oss-120b": ("has no image input",),
        "qwen-3.8-27b": (
            "not known to have JSON mode",
            "its context window is 65,536 tokens",
        ),
    }


def test_a_model_without_a_price_is_never_the_cheapest_and_is_still_shown():
    register_model({"id": "unpriced"})
    assert cheapest(on=TODAY).model == "gpt-oss-120b"
    last = quotes(input_tokens=1, output_tokens=1, on=TODAY)[-1]
    assert (last.model, last.cost_usd, last.unfit) == ("unpriced", None, ())


def test_a_free_card_of_ones_own_is_the_cheapest():
    register_model({"id": "local", "price": {"input": 0, "output": 0}})
    found = cheapest(on=TODAY)
    assert (found.model, found.cost_usd) == ("local", 0)


def test_only_served_models_are_quoted():
    found = {quote.model for quote in quotes(input_tokens=1, output_tokens=1, on=TODAY)}
    assert found == {"gpt-oss-120b", "qwen-3.8-27b"}


@pytest.mark.parametrize(
    "asked", [{"input_tokens": -1}, {"requires": "wings"}], ids=str
)
def test_a_question_without_sense_is_refused(asked):
    with pytest.raises(CerebrasConfigurationError):
        cheapest(**asked)


# ------------------------------------------------------------------------- recommend


@pytest.mark.parametrize(
    ("task", "on", "expected"),
    [
        ("code", TODAY, ["gpt-oss-120b", "qwen-3.8-27b"]),
        ("agents", TODAY, ["qwen-3.8-27b", "gpt-oss-120b"]),
        ("vision", TODAY, ["qwen-3.8-27b"]),
        ("bulk", TODAY, ["gpt-oss-120b", "qwen-3.8-27b"]),
        ("long-context", TODAY, ["gpt-oss-120b", "qwen-3.8-27b"]),
        ("vision", date(2026, 8, 1), ["gemma-4-31b"]),
        ("vision", date(2025, 8, 1), []),
    ],
)
def test_served_models_are_recommended_for_a_task(task, on, expected):
    assert [found.model for found in recommend(task, on=on)] == expected


def test_in_its_days_the_coder_is_among_the_first_for_code():
    found = recommend("code", on=date(2025, 8, 10))
    listed = [one.model for one in found if "said to be good at code" in one.reasons]
    assert "qwen-3-coder-480b" in listed
    assert [one.model for one in found][: len(listed)] == listed


def test_a_recommendation_has_reasons_with_figures():
    best = recommend("code", on=TODAY)[0]
    assert best.reasons == (
        "said to be good at code",
        "0.55 USD per million tokens, blended",
        "about 3,000 tokens/s",
        "context window of 131,072 tokens",
    )
    assert best.cautions == ()
    assert json.loads(json.dumps(best.to_dict()))["blended_usd_per_mtok"] == "0.55"


def test_a_recommendation_warns_of_an_end_that_is_told():
    found = recommend("agents", on=date(2026, 8, 1))
    glm = next(one for one in found if one.model == "zai-glm-4.7")
    assert "its end is told for 2026-08-17" in glm.cautions


def test_a_recommendation_takes_more_conditions_and_another_mix():
    assert [one.model for one in recommend("code", requires="vision", on=TODAY)] == [
        "qwen-3.8-27b"
    ]
    assert recommend("code", min_context=1_000_000, on=TODAY) == ()
    best = recommend("bulk", input_share="0.9", on=TODAY)[0]
    assert best.blended_usd_per_mtok == Decimal("0.39")


def test_a_card_that_tells_little_is_recommended_last_with_what_is_not_known():
    register_model(
        ModelCard(id="mine", name="Mine", status="active", status_as_of=TODAY)
    )
    last = recommend("chat", on=TODAY)[-1]
    assert last.model == "mine"
    assert last.cautions == ("no source names it for chat", "its price is not known")


def test_an_unknown_task_is_refused_with_those_that_are():
    with pytest.raises(CerebrasConfigurationError, match="agents, bulk, chat, code"):
        recommend("coding")
