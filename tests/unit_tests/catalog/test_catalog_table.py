"""The reference table of models, row by row, as literals."""

from __future__ import annotations

from datetime import date

import pytest

from langchain_cerebras_ext.catalog import (
    get_model,
    list_models,
    list_parameters,
    list_service_changes,
    successor,
)
from langchain_cerebras_ext.catalog._abilities import ability

M = 131_072
K64 = 65_536
K40 = 40_960

# id, first seen (precision), end told (precision), end, successors then, status, stage
LIFECYCLE = [
    ("gpt-oss-120b", "2025-08-05", None, None, (), "active", "production"),
    ("qwen-3.8-27b", "2026-09-03", None, None, (), "active", None),
    ("gemma-4-31b", "2026-06-29", "2026-09-03", "2026-09-03", ("qwen-3.8-27b",), "dedicated-only", "production"),
    # When its end was told is beyond the reference: genai-prices knew it on that day.
    ("zai-glm-4.7", "2026-01-07", "2026-07-18 by", "2026-08-17", (), "retired", "preview"),
    ("zai-glm-4.6", "2025-11-05", "2026-01 month", "2026-01-20", ("zai-glm-4.7",), "retired", "preview"),
    ("qwen-3-coder-480b", "2025-08-01", "2025-10-29 by", "2025-11-05", ("zai-glm-4.6",), "retired", None),
    ("qwen-3-235b-a22b-instruct-2507", "2025-07 month", "2026-04-22", "2026-05-27", (), "retired", "preview"),
    ("qwen-3-235b-a22b-thinking-2507", "2025-07 month", "2025-10-29 by", "2025-11-14", ("gpt-oss-120b",), "retired", None),
    ("qwen-3-235b-a22b", "2025-07 month", None, "2025-07-29", ("qwen-3-235b-a22b-instruct-2507", "qwen-3-235b-a22b-thinking-2507"), "retired", None),
    ("qwen-3-32b", "2025-05-29 by", "2026-02-06 by", "2026-02-16", ("gpt-oss-120b",), "retired", "production"),
    ("llama-3.3-70b", "2024-12-25 by", "2026-02-06 by", "2026-02-16", ("gpt-oss-120b",), "retired", "production"),
    ("llama3.1-8b", "2024-08 month", "2026-04-22", "2026-05-27", ("gpt-oss-120b",), "retired", "production"),
    ("llama3.1-70b", "2024-08 month", None, "2025-01-17", ("llama-3.3-70b",), "retired", None),
    ("llama-4-scout-17b-16e-instruct", "2025-04 month", "2025-10-29 by", "2025-11-03", ("gpt-oss-120b", "llama-3.3-70b"), "retired", None),
    ("llama-4-maverick-17b-128e-instruct", "2025-08-02 by", None, "2025-10-15", ("gpt-oss-120b", "llama-3.3-70b"), "retired", None),
    ("deepseek-r1-distill-llama-70b", "2025-01 month", None, "2025-08-12", ("qwen-3-32b",), "retired", "private-preview"),
    ("glm-5", "2026-04-27", None, None, (), "dedicated-only", None),
    ("glm-5.1", "2026-04-27", None, None, (), "dedicated-only", None),
    ("kimi-k2.6", "2026-04-27", None, None, (), "dedicated-only", None),
    ("step-3.5-flash", "2026-06-01", None, None, (), "dedicated-only", None),
    ("step-3.7-flash", "2026-06-01", None, None, (), "dedicated-only", None),
    ("deepseek-r1-0528", None, None, None, (), "never-served", None),
    ("deepseek-v3-0324", None, None, None, (), "never-served", None),
]  # fmt: skip

# id, input, output, context free and paid, completion free and paid, tokens/s
FIGURES = [
    ("gpt-oss-120b", "0.35", "0.75", K64, M, 32_768, K40, 3000),
    ("qwen-3.8-27b", "0.99", "1.49", K64, M, 32_768, K40, 1500),
    ("gemma-4-31b", "0.99", "1.49", K64, M, 32_768, K40, 1850),
    # The free tier's completion is beyond the reference: from the model's page.
    ("zai-glm-4.7", "2.25", "2.75", K64, M, K40, K40, 1000),
    ("zai-glm-4.6", "2.25", "2.75", None, M, None, K40, None),
    ("qwen-3-coder-480b", "2.00", "2.00", K64, M, 40_000, K64, 2000),
    ("qwen-3-235b-a22b-instruct-2507", "0.60", "1.20", K64, M, 32_000, K40, 1400),
    ("qwen-3-235b-a22b-thinking-2507", "0.60", "1.20", None, M, None, None, None),
    ("qwen-3-235b-a22b", None, None, 40_000, M, None, None, 1500),
    ("qwen-3-32b", "0.40", "0.80", K64, M, 8192, None, 2600),
    ("llama-3.3-70b", "0.85", "1.20", K64, M, None, K64, 2100),
    ("llama3.1-8b", "0.10", "0.10", 8192, 32_768, None, 8000, 2200),
    ("llama3.1-70b", "0.60", "0.60", 8192, None, None, None, None),
    ("llama-4-scout-17b-16e-instruct", "0.65", "0.85", None, 32_768, None, None, None),
    ("llama-4-maverick-17b-128e-instruct", "0.20", "0.60", None, 32_768, None, None, None),
    ("deepseek-r1-distill-llama-70b", None, None, None, None, None, None, 1700),
    ("glm-5", None, None, None, None, None, None, None),
    ("glm-5.1", None, None, None, None, None, None, None),
    ("kimi-k2.6", None, None, None, None, None, None, None),
    ("step-3.5-flash", None, None, None, None, None, None, None),
    ("step-3.7-flash", None, None, None, None, None, None, None),
    ("deepseek-r1-0528", None, None, None, None, None, None, None),
    ("deepseek-v3-0324", None, None, None, None, None, None, None),
]  # fmt: skip


def written(day: date | None, precision: str) -> str | None:
    if day is None:
        return None
    if precision == "month":
        return f"{day:%Y-%m} month"
    return f"{day} by" if precision == "by" else day.isoformat()


@pytest.mark.parametrize("row", LIFECYCLE, ids=[row[0] for row in LIFECYCLE])
def test_the_life_of_a_model_is_as_in_the_reference(row):
    card = get_model(row[0])
    assert row == (
        card.id,
        written(card.announced, card.announced_precision),
        written(card.deprecation_announced, card.deprecation_precision),
        card.retired_on and card.retired_on.isoformat(),
        card.replacements,
        card.status,
        card.release_stage,
    )


@pytest.mark.parametrize("row", FIGURES, ids=[row[0] for row in FIGURES])
def test_the_figures_of_a_model_are_as_in_the_reference(row):
    card = get_model(row[0])
    price = card.prices[-1] if card.prices else None
    assert row == (
        card.id,
        str(price.input) if price else None,
        str(price.output) if price else None,
        card.context_tokens_free,
        card.context_tokens_paid,
        card.max_output_tokens_free,
        card.max_output_tokens_paid,
        card.speed_tokens_per_s,
    )


# id, efforts, default effort, default format, replay, clear_thinking
REASONING = [
    ("gpt-oss-120b", ("low", "medium", "high"), "medium", "text_parsed", "field", False),
    ("zai-glm-4.7", ("none",), None, "text_parsed", "think_tags", True),
    ("gemma-4-31b", ("none", "low", "medium", "high"), "none", "parsed", "field", False),
    ("qwen-3.8-27b", ("none", "low", "medium", "high"), "high", "parsed", "think_tags", False),
    ("qwen-3-32b", None, None, "raw", "think_tags", False),
    ("qwen-3-coder-480b", (), None, None, "none", False),
    ("glm-5", None, None, None, "field", None),
]  # fmt: skip


@pytest.mark.parametrize("row", REASONING, ids=[row[0] for row in REASONING])
def test_the_reasoning_of_a_model_is_as_in_the_reference(row):
    reasoning = get_model(row[0]).reasoning
    assert row[1:] == (
        reasoning.efforts,
        reasoning.default_effort,
        reasoning.default_format,
        reasoning.replay,
        reasoning.clear_thinking,
    )


# id, requests a minute, uncached and all tokens a minute, tokens a day: today's tiers
TIERS = [
    ("gpt-oss-120b", "free", 5, 30_000, 90_000, 1_000_000),
    ("gpt-oss-120b", "developer", 1000, 1_000_000, None, None),
    ("zai-glm-4.7", "developer", 500, 500_000, None, None),
    ("gemma-4-31b", "developer", 300, 500_000, None, None),
    ("qwen-3.8-27b", "free", 5, 30_000, 90_000, 1_000_000),
    ("llama-3.3-70b", "free", 30, None, 60_000, 1_000_000),
    ("qwen-3-coder-480b", "free", 10, None, 150_000, 1_000_000),
]  # fmt: skip


@pytest.mark.parametrize("row", TIERS, ids=[f"{row[0]}-{row[1]}" for row in TIERS])
def test_the_newest_rates_of_a_tier_are_as_in_the_reference(row):
    rates = get_model(row[0]).limits(row[1]).rates
    assert rates is not None
    assert row[2:] == (
        rates.requests_per_minute,
        rates.uncached_tokens_per_minute,
        rates.tokens_per_minute,
        rates.tokens_per_day,
    )


# id, tier, as of, requests a minute, hour, day, tokens a minute (uncached, all, input),
# tokens an hour, a day
RATES = [
    ("gpt-oss-120b", "free", "2026-07-18", 5, None, None, 30_000, 90_000, None, 1_000_000, 1_000_000),
    ("gpt-oss-120b", "developer", "2026-07-18", 1000, None, None, 1_000_000, None, None, None, None),
    ("gpt-oss-120b", "free", "2025-10-01", 30, None, 14_400, None, 60_000, None, 1_000_000, 1_000_000),
    ("qwen-3.8-27b", "free", "2026-09-01", 5, None, None, 30_000, 90_000, None, 1_000_000, 1_000_000),
    ("gemma-4-31b", "free", "2026-07-18", 5, None, None, 30_000, 90_000, None, 1_000_000, 1_000_000),
    ("gemma-4-31b", "developer", "2026-07-18", 300, None, None, 500_000, None, None, None, None),
    ("zai-glm-4.7", "free", "2026-07-18", 5, None, None, 30_000, 90_000, None, 1_000_000, 1_000_000),
    ("zai-glm-4.7", "developer", "2026-07-18", 500, None, None, 500_000, None, None, None, None),
    ("qwen-3-coder-480b", "free", "2025-10-01", 10, 100, 100, None, 150_000, None, 1_000_000, 1_000_000),
    ("qwen-3-235b-a22b-instruct-2507", "free", "2025-10-01", 30, None, 14_400, None, 60_000, None, 1_000_000, 1_000_000),
    ("qwen-3-235b-a22b-instruct-2507", "developer", "2025-10-31", 1000, None, None, 1_000_000, None, None, None, None),
    ("qwen-3-235b-a22b-thinking-2507", "free", "2025-10-01", 30, None, 14_400, None, 60_000, None, 1_000_000, 1_000_000),
    ("qwen-3-235b-a22b", "free", "2025-07-01", 30, None, None, None, None, 64_000, None, 1_000_000),
    ("qwen-3-32b", "free", "2025-08-01", 30, None, None, None, None, 60_000, None, 1_000_000),
    ("qwen-3-32b", "free", "2025-10-01", 30, None, 14_400, None, 60_000, None, 1_000_000, 1_000_000),
    ("llama-3.3-70b", "free", "2025-10-01", 30, None, 14_400, None, 60_000, None, 1_000_000, 1_000_000),
    ("llama3.1-8b", "free", "2025-10-01", 30, None, 14_400, None, 60_000, None, 1_000_000, 1_000_000),
]  # fmt: skip


@pytest.mark.parametrize("row", RATES, ids=["-".join(row[:3]) for row in RATES])
def test_every_rate_limit_of_the_reference_is_there_with_its_day(row):
    model, tier, day = row[:3]
    found = [
        limit
        for limit in get_model(model).rate_limits
        if (limit.tier, limit.as_of) == (tier, date.fromisoformat(day))
    ]
    assert len(found) == 1
    limit = found[0]
    assert row[3:] == (
        limit.requests_per_minute,
        limit.requests_per_hour,
        limit.requests_per_day,
        limit.uncached_tokens_per_minute,
        limit.tokens_per_minute,
        limit.input_tokens_per_minute,
        limit.tokens_per_hour,
        limit.tokens_per_day,
    )


# id, what it can do, what it cannot; what the reference does not know is left out
ABILITIES = [
    ("gpt-oss-120b", "reasoning tools structured_outputs json_mode streaming streaming_with_json_schema streaming_with_tools prompt_caching predicted_outputs", "parallel_tool_calls streaming_with_json_object vision"),
    ("qwen-3.8-27b", "reasoning tools structured_outputs streaming vision", "predicted_outputs"),
    ("gemma-4-31b", "reasoning tools parallel_tool_calls structured_outputs json_mode streaming vision", "predicted_outputs"),
    ("zai-glm-4.7", "reasoning tools parallel_tool_calls structured_outputs json_mode streaming streaming_with_tools prompt_caching predicted_outputs", "streaming_with_json_object vision"),
    ("zai-glm-4.6", "reasoning tools streaming", "vision"),
    ("qwen-3-coder-480b", "tools streaming", "reasoning vision"),
    ("qwen-3-235b-a22b-instruct-2507", "tools structured_outputs streaming prompt_caching", "reasoning vision"),
    ("qwen-3-235b-a22b-thinking-2507", "reasoning tools streaming", "vision"),
    ("qwen-3-235b-a22b", "reasoning tools structured_outputs streaming logprobs", "vision"),
    ("qwen-3-32b", "reasoning tools structured_outputs streaming", "vision"),
    ("llama-3.3-70b", "tools structured_outputs streaming", "reasoning vision"),
    ("llama3.1-8b", "tools structured_outputs streaming", "reasoning vision"),
    ("llama3.1-70b", "tools streaming", "reasoning vision"),
    ("llama-4-scout-17b-16e-instruct", "tools streaming", "reasoning vision"),
    ("llama-4-maverick-17b-128e-instruct", "tools streaming", "reasoning vision"),
    ("deepseek-r1-distill-llama-70b", "reasoning streaming", "vision"),
]  # fmt: skip


@pytest.mark.parametrize("row", ABILITIES, ids=[row[0] for row in ABILITIES])
def test_the_abilities_of_a_model_are_as_in_the_reference(row):
    card = get_model(row[0])
    can, cannot = row[1].split(), row[2].split()
    assert {name: ability(card, name) for name in can} == dict.fromkeys(can, True)
    found = {name: ability(card, name) for name in cannot}
    assert found == dict.fromkeys(cannot, False)


# id, when it was seen, input, output
SIGHTINGS = [
    ("gpt-oss-120b", "2025-08-05", "0.25", "0.69"),
    ("gpt-oss-120b", "2025-08-15", "0.40", "0.80"),
    ("gpt-oss-120b", "2025-10-31", "0.35", "0.75"),
    ("gpt-oss-120b", "2025-11-06", "0.35", "0.75"),
    ("zai-glm-4.7", "2026-01-09", "2.25", "2.75"),
    ("qwen-3-coder-480b", "2025-08-01", "2.00", "2.00"),
    ("qwen-3-coder-480b", "2025-10-31", "2.00", "2.00"),
    ("qwen-3-235b-a22b-instruct-2507", "2025-10-31", "0.60", "1.20"),
]


@pytest.mark.parametrize("row", SIGHTINGS, ids=[f"{r[0]}-{r[1]}" for r in SIGHTINGS])
def test_each_price_that_was_seen_is_the_price_of_that_day(row):
    day = date.fromisoformat(row[1])
    price = get_model(row[0]).price(day)
    assert price is not None
    assert (str(price.input), str(price.output)) == row[2:]
    assert day in {seen.on for seen in price.seen}


# id, temperature, top_p
SAMPLING = [
    ("qwen-3-coder-480b", 0.7, 0.8),
    ("gemma-4-31b", 1.0, 0.95),
    ("zai-glm-4.7", 1.0, 0.95),
    ("qwen-3-235b-a22b", 0.6, 0.95),
    ("qwen-3-32b", 0.6, 0.95),
]


def test_the_sampling_that_is_advised_is_as_in_the_reference():
    advised = [
        (
            card.id,
            card.recommended_sampling.temperature,
            card.recommended_sampling.top_p,
        )
        for card in list_models()
        if card.recommended_sampling is not None
    ]
    assert sorted(advised) == sorted(SAMPLING)


# name, id
NAMES = [
    ("llama3.3-70b", "llama-3.3-70b"),
    ("LLAMA_3_3_70B", "llama-3.3-70b"),
    ("llama-3.1-8b", "llama3.1-8b"),
    ("LLAMA_3_1_8B", "llama3.1-8b"),
    ("llama-3.1-70b", "llama3.1-70b"),
    ("LLAMA_3_1_70B", "llama3.1-70b"),
    ("LLAMA_4_SCOUT_FAST", "llama-4-scout-17b-16e-instruct"),
    ("LLAMA_4_SCOUT_BASIC", "llama-4-scout-17b-16e-instruct"),
    ("LLAMA_4_MAVERICK_FAST", "llama-4-maverick-17b-128e-instruct"),
    ("LLAMA_4_MAVERICK_BASIC", "llama-4-maverick-17b-128e-instruct"),
    ("DeepSeek-R1-Distill-Llama-70B", "deepseek-r1-distill-llama-70b"),
    ("DEEPSEEK_R1_0528", "deepseek-r1-0528"),
    ("DEEPSEEK_V3_0324", "deepseek-v3-0324"),
    ("qwen-3-coder-480b-free", "qwen-3-coder-480b"),
]


@pytest.mark.parametrize(("name", "model"), NAMES, ids=[name for name, _ in NAMES])
def test_each_other_name_of_the_reference_is_known(name, model):
    assert get_model(name).id == model


# id, what to use on 2026-11-21, and whose word it is
ADVICE = [
    ("gemma-4-31b", "qwen-3.8-27b", "vendor"),
    ("zai-glm-4.7", "gpt-oss-120b", "us"),
    ("zai-glm-4.6", "gpt-oss-120b", "us"),
    ("qwen-3-coder-480b", "gpt-oss-120b", "us"),
    ("qwen-3-235b-a22b-instruct-2507", "gpt-oss-120b", "us"),
    ("qwen-3-235b-a22b-thinking-2507", "gpt-oss-120b", "vendor"),
    ("qwen-3-235b-a22b", "gpt-oss-120b", "vendor"),
    ("qwen-3-32b", "gpt-oss-120b", "vendor"),
    ("llama-3.3-70b", "gpt-oss-120b", "vendor"),
    ("llama3.1-8b", "gpt-oss-120b", "vendor"),
    ("llama3.1-70b", "gpt-oss-120b", "vendor"),
    ("llama-4-scout-17b-16e-instruct", "gpt-oss-120b", "vendor"),
    ("llama-4-maverick-17b-128e-instruct", "gpt-oss-120b", "vendor"),
    ("deepseek-r1-distill-llama-70b", "gpt-oss-120b", "vendor"),
    ("deepseek-r1-0528", "gpt-oss-120b", "us"),
    ("deepseek-v3-0324", "gpt-oss-120b", "us"),
    ("gpt-oss-120b", None, None),
    ("qwen-3.8-27b", None, None),
    ("glm-5", None, None),
    ("glm-5.1", None, None),
    ("kimi-k2.6", None, None),
    ("step-3.5-flash", None, None),
    ("step-3.7-flash", None, None),
]


@pytest.mark.parametrize("row", ADVICE, ids=[row[0] for row in ADVICE])
def test_the_advice_of_today_is_as_in_the_reference(row):
    found = successor(row[0], on=date(2026, 11, 21))
    assert row[1:] == (found.model, found.named_by)


# name, endpoint, told (precision), last day, successor
PARAMETERS = [
    ("disable_reasoning", "chat", "2026-03-24", "2026-07-21", "reasoning_effort"),
    ("max_tokens", "chat", "2026-07-08 by", None, "max_completion_tokens"),
    ("reasoning_format", "completions", "2026-07-08 by", None, None),
    ("X-Cerebras-Version-Patch", "any", "2026-01-21", "2026-07-21", "X-Cerebras-Version-Patch"),
    ("definitions", "chat", "2026-01-21", "2026-07-21", "$defs"),
    ("choices[].text", "chat", "2026-07-08 by", None, "choices[].delta.content"),
    ("choices[].tokens", "chat", "2026-07-08 by", None, None),
    ("choices[].delta.tokens", "chat", "2026-07-08 by", None, None),
]  # fmt: skip


def test_the_deprecated_parameters_are_those_of_the_reference():
    assert PARAMETERS == [
        (
            card.name,
            card.endpoint,
            written(card.deprecation_announced, card.deprecation_precision),
            card.supported_until and card.supported_until.isoformat(),
            card.successor_name,
        )
        for card in list_parameters()
    ]


def test_the_changes_of_the_service_are_those_of_the_reference():
    assert [
        ("2026-01-21", None),
        ("2026-03-24", None),
        ("2026-04-24", None),
        ("2026-05-01", None),
        ("2026-07-16", "2026-08-17"),
        ("2026-07-16", None),
        ("2026-07-21", None),
        ("2026-07-21", None),
    ] == [
        (one.on.isoformat(), one.until and one.until.isoformat())
        for one in list_service_changes()
    ]


def test_what_a_plan_does_not_limit_is_told_apart_from_what_is_not_known():
    developer = get_model("gpt-oss-120b").limits("developer").rates
    assert developer is not None
    assert developer.unlimited == ("tokens_per_hour", "tokens_per_day")
    assert get_model("zai-glm-4.6").limits("developer").rates is None


def test_the_newest_rates_of_a_model_are_those_of_its_page():
    """Beyond the reference: the developer tier of qwen-3.8-27b, raised once."""
    card = get_model("qwen-3.8-27b")
    for day, tokens in ((date(2026, 9, 21), 450_000), (date(2026, 9, 22), 750_000)):
        rates = card.limits("developer", day).rates
        assert rates is not None
        assert rates.tokens_per_minute == tokens
        assert rates.uncached_tokens_per_minute == 150_000
    assert card.limits("developer", date(2026, 9, 6)).rates is None
