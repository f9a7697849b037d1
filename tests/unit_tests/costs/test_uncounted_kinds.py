"""Kinds of tokens that a record does not count, and rates that nobody has told."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from langchain_cerebras_ext.costs import UsageRecord, price_usage
from langchain_cerebras_ext.costs.planning import reprice_records
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.errors import UnknownPriceError

pytest.importorskip("genai_prices", reason="other providers' prices are an extra")

DAY = date(2026, 11, 21)


def usage(inputs, outputs, ins=None, outs=None):
    return {
        "input_tokens": inputs,
        "output_tokens": outputs,
        "total_tokens": inputs + outputs,
        "input_token_details": ins or {},
        "output_token_details": outs or {},
    }


def made(provider, model, used):
    """Return the record of a call that took these tokens."""
    details = used["input_token_details"]
    return UsageRecord(
        started_at=datetime(2026, 11, 21, tzinfo=UTC),
        model=model,
        provider=provider,
        input_tokens=used["input_tokens"],
        cached_input_tokens=details.get("cache_read"),
        cache_write_tokens=details.get("cache_creation"),
        output_tokens=used["output_tokens"],
        cost=price_usage(used, model, provider=provider, on=DAY),
    )


@pytest.mark.parametrize(
    ("ins", "outs"), [({"audio": 500}, {}), ({}, {"audio": 100})], ids=["in", "out"]
)
def test_sound_whose_rate_the_library_lacks_has_no_price_and_not_that_of_text(
    ins, outs
):
    model = "openai::gpt-4o-audio-preview"
    with pytest.raises(UnknownPriceError, match=r"audio rate.*with_price"):
        price_usage(usage(1000, 200, ins, outs), model, on=DAY)
    assert price_usage(usage(1000, 200), model, on=DAY).total == Decimal("0.0045")
    book = PriceBook().with_price(
        "gpt-4o-audio-preview", provider="openai", input=40, output=80
    )
    book = book.with_discount(percent=50, provider="openai")
    cost = price_usage(usage(1000, 200, ins, outs), model, on=DAY, prices=book)
    assert cost.total == Decimal("0.056")


def test_a_discount_does_not_make_an_unknown_rate_known():
    book = PriceBook().with_discount(percent=50, provider="openai")
    with pytest.raises(UnknownPriceError, match="audio"):
        price_usage(
            usage(10, 0, {"audio": 5}),
            "openai::gpt-4o-audio-preview",
            on=DAY,
            prices=book,
        )


@pytest.mark.parametrize(
    ("provider", "model", "used"),
    [
        (
            "anthropic",
            "claude-sonnet-4-5",
            usage(
                5000, 200, {"cache_creation": 4000, "ephemeral_1h_input_tokens": 4000}
            ),
        ),
        ("google_genai", "gemini-2.5-flash", usage(5000, 200, {"audio": 4000})),
    ],
    ids=["an hour in the cache", "sound"],
)
def test_what_a_record_does_not_count_is_flagged_when_it_is_priced_again(
    provider, model, used
):
    record = made(provider, model, used)
    assert record.flags == ()
    for other in (None, "gpt-oss-120b"):
        [again] = reprice_records([record], model=other)
        assert again.flags == ("estimated",)
    plain = made(provider, model, usage(5000, 200, {"cache_creation": 0}))
    [again] = reprice_records([plain])
    assert (again.flags, again.cost_usd) == ((), plain.cost_usd)


def test_what_a_cache_keeps_for_minutes_is_priced_again_exactly():
    used = usage(5000, 200, {"cache_creation": 4000, "cache_read": 500})
    record = made("anthropic", "claude-sonnet-4-5", used)
    [again] = reprice_records([record])
    assert (again.flags, again.cost_usd) == ((), record.cost_usd)
