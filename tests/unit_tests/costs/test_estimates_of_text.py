"""Estimates and plans of what people write: text completions, and shares as floats."""

from datetime import date
from decimal import Decimal

import pytest
from cost_bill import bill_of, chat, completions, cost_by_hand
from langchain_core.messages import HumanMessage
from langchain_core.prompt_values import StringPromptValue

from langchain_cerebras_ext.costs import estimate, project

DAY = date(2026, 11, 21)
STORY = "Once upon a time there was a lighthouse by the sea."


@pytest.mark.parametrize(
    "settings", [{}, {"n": 2}, {"best_of": 3}], ids=["one", "n", "best of"]
)
def test_a_completion_costs_between_the_bounds(sim, settings):
    """Its prompt has no chat template, and all answers of `best_of` are billed."""
    model = completions(sim, max_tokens=20, **settings)
    model.invoke(STORY)
    found = estimate(model, STORY, on=DAY)
    assert found.low <= cost_by_hand(sim) <= found.high
    prompt, *_ = bill_of(sim)
    assert found.input_tokens_low <= prompt <= found.input_tokens_high < 30
    assert found.answers == max(settings.values(), default=1)


def test_a_completions_prompt_may_be_a_prompt_value_or_messages(sim):
    model = completions(sim, max_tokens=5)
    text = estimate(model, STORY, on=DAY)
    assert estimate(model, StringPromptValue(text=STORY), on=DAY) == text
    told = estimate(model, [HumanMessage(STORY)], on=DAY)
    # LangChain writes "Human: " before it.
    more = told.input_tokens_high - text.input_tokens_high
    assert 0 < more <= 4
    assert estimate(model, "", on=DAY).input_tokens_high == 1


def test_a_chat_has_its_template_counted(sim):
    asked = estimate(chat(sim, max_tokens=5), STORY, on=DAY)
    plain = estimate(completions(sim, max_tokens=5), STORY, on=DAY)
    assert asked.input_tokens_high > plain.input_tokens_high + 50


def test_a_share_may_be_a_float():
    """It is no money: 0.8 is what it reads as, and not the next binary fraction."""
    plan = project("gpt-oss-120b", mix=0.7, cached=0.1, on=DAY)
    as_text = project("gpt-oss-120b", mix="0.7", cached=Decimal("0.1"), on=DAY)
    assert plan == as_text
    assert (plan.input_tokens, plan.cached_tokens) == (3500, 350)
    share = estimate("gpt-oss-120b", STORY, cached_share=0.5, max_tokens=5, on=DAY)
    assert share == estimate(
        "gpt-oss-120b", STORY, cached_share="0.5", max_tokens=5, on=DAY
    )
