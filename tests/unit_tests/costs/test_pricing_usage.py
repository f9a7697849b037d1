"""Token counts in whatever shape they come, and those that contradict themselves."""

from decimal import Decimal
from typing import Any

import msgspec
import openai.types
import pytest
from langchain_core.messages import AIMessage
from langchain_openai.chat_models.base import _create_usage_metadata
from openai.types import responses

from langchain_cerebras_ext._metadata import to_usage_metadata
from langchain_cerebras_ext.costs._usage import MIXED_TIERS, Counts, read_counts
from langchain_cerebras_ext.costs.pricing import PriceRow, price_usage
from langchain_cerebras_ext.costs.records import UsageRecord, utc_now
from langchain_cerebras_ext.errors import InvalidUsageError

RAW: dict[str, Any] = {
    "prompt_tokens": 1000,
    "completion_tokens": 300,
    "total_tokens": 1300,
    "prompt_tokens_details": {"cached_tokens": 384, "image_tokens": 260},
    "completion_tokens_details": {
        "reasoning_tokens": 120,
        "accepted_prediction_tokens": 10,
        "rejected_prediction_tokens": 20,
    },
}
LANGCHAIN: dict[str, Any] = {
    "input_tokens": 1000,
    "output_tokens": 300,
    "total_tokens": 1300,
    "input_token_details": {"cache_read": 384, "image": 260},
    "output_token_details": {
        "reasoning": 120,
        "accepted_prediction": 10,
        "rejected_prediction": 20,
    },
}
EXPECTED = Counts(input=1000, cached=384, image=260, output=300, reasoning=120)


def as_sdk(module: str) -> Any:
    if module == "openai":
        cls: Any = openai.types.CompletionUsage
    else:
        sdk = pytest.importorskip(
            "cerebras.cloud.sdk.types.chat.chat_completion",
            reason="pip install cerebras-cloud-sdk reads its own objects here",
        )
        cls = sdk.ChatCompletionResponseUsage
    return cls.model_validate(RAW)


class Struct(msgspec.Struct):
    prompt_tokens: int = 1000
    completion_tokens: int = 300
    total_tokens: int = 1300
    prompt_tokens_details: dict[str, int] = msgspec.field(
        default_factory=lambda: RAW["prompt_tokens_details"]
    )
    completion_tokens_details: dict[str, int] = msgspec.field(
        default_factory=lambda: RAW["completion_tokens_details"]
    )


class Index:
    """An integer that is no `int`, as numpy's are."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Answer:
    usage = RAW


RECORD = UsageRecord(
    started_at=utc_now(),
    model="m",
    input_tokens=1000,
    cached_input_tokens=384,
    image_tokens=260,
    output_tokens=300,
    reasoning_tokens=120,
)

SHAPES = {
    "langchain": lambda: LANGCHAIN,
    "raw": lambda: RAW,
    "raw-image-beside-the-details": lambda: {
        **RAW,
        "prompt_tokens_details": {"cached_tokens": 384},
        "image_tokens": 260,
    },
    "raw-image-in-both-places": lambda: {**RAW, "image_tokens": 260},
    "our-own-metadata": lambda: to_usage_metadata(RAW),
    "openai-object": lambda: as_sdk("openai"),
    "cerebras-object": lambda: as_sdk("cerebras"),
    "msgspec": Struct,
    "answer-body": lambda: {"id": "x", "choices": [], "usage": RAW},
    "answer-object": Answer,
    "message": lambda: AIMessage("", usage_metadata=LANGCHAIN),
    "record": lambda: RECORD,
    "without-a-total": lambda: {
        key: value for key, value in RAW.items() if key != "total_tokens"
    },
    "completion-from-the-total": lambda: {**RAW, "completion_tokens": None},
    "prompt-from-the-total": lambda: {**LANGCHAIN, "input_tokens": None},
    "ints-of-another-kind": lambda: {
        **RAW,
        "prompt_tokens": Index(1000),
        "completion_tokens": Index(300),
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_counts(shape):
    found = read_counts(SHAPES[shape]())
    assert found == EXPECTED
    assert all(type(count) is int for count in found[:-1])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_price(shape):
    row = PriceRow(
        input=Decimal(3), output=Decimal(15), cached_input=Decimal(1), image=Decimal(7)
    )
    cost = price_usage(SHAPES[shape](), row)
    assert cost.total == Decimal("0.000001") * (356 * 3 + 384 + 260 * 7 + 300 * 15)


# ------------------------------------------------------------------------------ tiers


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_keys_that_a_service_tier_has_renamed_are_read(tier):
    renamed = _create_usage_metadata(RAW, service_tier=tier)
    assert f"{tier}_cache_read" in renamed["input_token_details"]
    found = read_counts(renamed)
    assert found == EXPECTED._replace(image=0, service_tier=tier)


@pytest.mark.parametrize(
    ("inputs", "outputs", "tier"),
    [
        ({"flex": 616, "flex_cache_read": 384}, {"flex_reasoning": 120}, "flex"),
        ({"scale_cache_read": 384}, {"scale_reasoning": 120}, "scale"),
        ({"cache_read": 200, "flex_cache_read": 184}, {"reasoning": 120}, MIXED_TIERS),
        ({"flex_cache_read": 384}, {"priority_reasoning": 120}, MIXED_TIERS),
        ({"cache_read": 384}, {"reasoning": 120}, None),
    ],
    ids=["flex", "any-prefix", "added-up", "two-tiers", "none"],
)
def test_the_tier_is_read_from_the_keys(inputs, outputs, tier):
    given = {
        **LANGCHAIN,
        "input_token_details": inputs,
        "output_token_details": outputs,
    }
    found = read_counts(given)
    assert (found.cached, found.reasoning, found.service_tier) == (384, 120, tier)


# -------------------------------------------------------------------- other providers


def test_anthropics_own_counts_leave_the_cache_out_of_the_prompt():
    given = {
        "input_tokens": 200,
        "output_tokens": 30,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 150,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 80,
            "ephemeral_1h_input_tokens": 70,
        },
    }
    assert read_counts(given) == Counts(
        input=360, cached=10, cache_write=150, output=30, cache_write_1h=70
    )


@pytest.mark.parametrize(
    "details",
    [
        {"cache_creation": 150},
        {
            "cache_creation": 0,
            "ephemeral_5m_input_tokens": 80,
            "ephemeral_1h_input_tokens": 70,
        },
        {
            "cache_creation": 150,
            "ephemeral_5m_input_tokens": 80,
            "ephemeral_1h_input_tokens": 70,
        },
    ],
    ids=["sum", "by-time-to-live", "both"],
)
def test_langchains_counts_for_anthropic_hold_the_cache_in_the_prompt(details):
    given = {
        "input_tokens": 360,
        "output_tokens": 30,
        "total_tokens": 390,
        "input_token_details": {"cache_read": 10, **details},
    }
    found = read_counts(given)
    assert (found.input, found.cached, found.cache_write) == (360, 10, 150)
    assert found.cache_write_1h == details.get("ephemeral_1h_input_tokens", 0)


def test_openais_responses_are_read():
    usage = responses.ResponseUsage.model_validate(
        {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 384, "cache_write_tokens": 0},
            "output_tokens": 300,
            "output_tokens_details": {"reasoning_tokens": 120},
            "total_tokens": 1300,
        }
    )
    assert read_counts(usage) == EXPECTED._replace(image=0)


def test_reasoning_that_a_service_counts_beside_the_completion_is_added():
    given = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 420,
        "completion_tokens_details": {"reasoning_tokens": 300},
    }
    assert read_counts(given) == Counts(input=100, output=320, reasoning=300)


def test_audio_is_part_of_its_side():
    given = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"audio_tokens": 60},
        "completion_tokens_details": {"audio_tokens": 40},
    }
    assert read_counts(given) == Counts(input=100, output=50, audio=60, audio_output=40)


def test_details_that_are_not_told_are_none():
    given = {
        **RAW,
        "prompt_tokens_details": None,
        "completion_tokens_details": {"reasoning_tokens": None},
    }
    assert read_counts(given) == Counts(input=1000, output=300)


def test_details_that_nobody_knows_are_priced_as_the_rest_of_their_side():
    given = {**LANGCHAIN, "input_token_details": {"text": 616, "cache_read": 384}}
    assert read_counts(given) == EXPECTED._replace(image=0)


# ---------------------------------------------------------------------- contradictions

WRONG = {
    "cached-more-than-prompt": (
        {"input_token_details": {"cache_read": 1001}},
        "1001 tokens read from",
    ),
    "cached-and-written-more-than-prompt": (
        {"input_token_details": {"cache_read": 600, "cache_creation": 401}},
        "401 written to the cache are more than the 1000",
    ),
    "image-more-than-prompt": (
        {"input_token_details": {"image": 1001}},
        "1001 image tokens",
    ),
    "audio-more-than-prompt": (
        {"input_token_details": {"audio": 1001}},
        "1001 audio tokens",
    ),
    "reasoning-more-than-completion": (
        {"output_token_details": {"reasoning": 301}},
        "301 reasoning tokens are more than the 300",
    ),
    "negative": ({"input_tokens": -1, "total_tokens": 299}, "input_tokens=-1"),
    "negative-detail": (
        {"input_token_details": {"cache_read": -1}},
        r"input_token_details.cache_read=-1 must not be negative",
    ),
    "bool": ({"input_tokens": True}, "input_tokens=True must be a whole number"),
    "bool-detail": (
        {"output_token_details": {"reasoning": False}},
        "reasoning=False must be a whole number",
    ),
    "float": ({"output_tokens": 300.0}, r"output_tokens=300\.0 must be a whole"),
    "text": ({"output_tokens": "300"}, "output_tokens='300' must be a whole"),
    "total-too-small": ({"total_tokens": 1299}, r"total_tokens=1299 is not input and"),
    "total-too-large": ({"total_tokens": 1400}, r"total_tokens=1400 is not input and"),
    "total-is-no-count": ({"total_tokens": "1300"}, "total_tokens='1300'"),
    "details-are-a-list": ({"input_token_details": [1]}, "must be a mapping"),
    "half-without-total": (
        {"output_tokens": None, "total_tokens": None},
        "has no 'output_tokens'",
    ),
    "total-less-than-half": (
        {"output_tokens": None, "total_tokens": 999},
        "is less than 'input_tokens'",
    ),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG)
def test_counts_that_contradict_themselves_are_refused(changes, said):
    with pytest.raises(InvalidUsageError, match=said):
        read_counts({**LANGCHAIN, **changes})


RAW_WRONG = {
    "cached": ({"prompt_tokens_details": {"cached_tokens": 1001}}, "1001 tokens read"),
    "rejected": (
        {"completion_tokens_details": {"rejected_prediction_tokens": 301}},
        "301 rejected_prediction_tokens are more than the 300 completion_tokens",
    ),
    "details-are-text": ({"prompt_tokens_details": "none"}, "must be a mapping"),
    "float": ({"prompt_tokens": 1000.5}, r"prompt_tokens=1000\.5"),
}


@pytest.mark.parametrize(("changes", "said"), RAW_WRONG.values(), ids=RAW_WRONG)
def test_raw_counts_that_contradict_themselves_are_refused(changes, said):
    with pytest.raises(InvalidUsageError, match=said):
        read_counts({**RAW, **changes})


@pytest.mark.parametrize(
    "nothing",
    [None, {}, {"usage": None}, 7, "text", object(), AIMessage("hi"), {"cost": 1}],
    ids=["none", "empty", "no-usage", "int", "text", "object", "message", "other"],
)
def test_what_holds_no_counts_is_refused(nothing):
    with pytest.raises(InvalidUsageError):
        read_counts(nothing)


def test_a_record_whose_counts_are_not_known_is_refused():
    with pytest.raises(InvalidUsageError, match="not free"):
        read_counts(UsageRecord(started_at=utc_now(), model="m"))
