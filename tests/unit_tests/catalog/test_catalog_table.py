"""The reference table of models, row by row, as literals."""

from __future__ import annotations

from datetime import date

import pytest

from langchain_cerebras_ext.catalog import get_model

M = 131_072
K64 = 65_536
K40 = 40_960

# id, first seen (precision), end told (precision), end, successors then, status, stage
LIFECYCLE = [
    ("gpt-oss-120b", "2025-08-05", None, None, (), "active", "production"),
    ("qwen-3.8-27b", "2026-09-03", None, None, (), "active", None),
    ("gemma-4-31b", "2026-06-29", "2026-09-03", "2026-09-03", ("qwen-3.8-27b",), "dedicated-only", "production"),
    ("zai-glm-4.7", "2026-01-07", None, "2026-08-17", (), "retired", "preview"),
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
    ("zai-glm-4.7", "2.25", "2.75", K64, M, None, K40, 1000),
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


def test_what_a_plan_does_not_limit_is_told_apart_from_what_is_not_known():
    developer = get_model("gpt-oss-120b").limits("developer").rates
    assert developer is not None
    assert developer.unlimited == ("tokens_per_hour", "tokens_per_day")
    assert get_model("qwen-3.8-27b").limits("developer").rates is None
