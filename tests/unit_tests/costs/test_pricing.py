"""Arithmetic written out by hand: each kind of token, each edge of a price."""

import decimal
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from langchain_cerebras_ext.catalog import get_model, register_model, unregister_model
from langchain_cerebras_ext.costs.pricing import (
    QUANTUM,
    Cost,
    PriceRow,
    add_usd,
    cost_of,
    price_totals,
    price_usage,
    usd_text,
)
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    InvalidUsageError,
    UnknownPriceError,
)

DAY = date(2026, 11, 21)
MTOK = 1_000_000

# Rates of their own for every kind, so that no two can be mistaken for each other.
FULL = PriceRow(
    input=Decimal(3),
    output=Decimal(15),
    cached_input=Decimal("0.30"),
    cache_write=Decimal("3.75"),
    image=Decimal(5),
    request=Decimal("0.002"),
    model="full",
)
PLAIN = PriceRow(input=Decimal("0.35"), output=Decimal("0.75"), model="plain")


def usage(
    prompt: int, completion: int, inputs: object = None, outputs: object = None
) -> dict[str, object]:
    found: dict[str, object] = {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if inputs is not None:
        found["input_token_details"] = inputs
    if outputs is not None:
        found["output_token_details"] = outputs
    return found


# ------------------------------------------------------------------- kinds of token


def test_prompt_and_completion_are_priced_by_their_own_rates():
    cost = price_usage(usage(550, 120), "gpt-oss-120b", on=DAY)
    assert cost.input == 550 * Decimal("0.35") / MTOK == Decimal("0.0001925")
    assert cost.output == 120 * Decimal("0.75") / MTOK == Decimal("0.00009")
    assert cost.total == Decimal("0.0002825")


def test_reasoning_is_part_of_the_completion_and_not_added_again():
    cost = price_usage(usage(0, 120, outputs={"reasoning": 100}), PLAIN)
    assert cost.output == 120 * Decimal("0.75") / MTOK
    assert cost.reasoning == 100 * Decimal("0.75") / MTOK
    assert cost.total == cost.output


def test_predictions_accepted_or_rejected_are_part_of_the_completion():
    details = {"accepted_prediction": 30, "rejected_prediction": 40}
    cost = price_usage(usage(10, 120, outputs=details), PLAIN)
    assert cost.output == 120 * Decimal("0.75") / MTOK


def test_cached_tokens_are_priced_by_their_own_rate_and_taken_out_once():
    cost = price_usage(usage(1000, 0, {"cache_read": 400}), FULL)
    assert cost.input == 600 * Decimal(3) / MTOK
    assert cost.cached_input == 400 * Decimal("0.30") / MTOK
    assert cost.cache_savings == 400 * (Decimal(3) - Decimal("0.30")) / MTOK
    assert cost.total == cost.input + cost.cached_input + Decimal("0.002")


def test_cached_tokens_without_a_rate_of_their_own_cost_as_much_as_others():
    cost = price_usage(usage(1000, 0, {"cache_read": 400}), PLAIN)
    assert cost.input == 600 * Decimal("0.35") / MTOK
    assert cost.cached_input == 400 * Decimal("0.35") / MTOK
    assert cost.cache_savings == 0
    assert cost.total == 1000 * Decimal("0.35") / MTOK


def test_tokens_written_to_a_cache_are_priced_by_their_own_rate():
    details = {"cache_read": 400, "cache_creation": 100}
    cost = price_usage(usage(1000, 0, details), FULL)
    assert cost.input == 500 * Decimal(3) / MTOK
    assert cost.cache_write == 100 * Decimal("3.75") / MTOK


def test_image_tokens_are_priced_by_their_own_rate():
    cost = price_usage(usage(1000, 0, {"image": 260}), FULL)
    assert cost.input == 740 * Decimal(3) / MTOK
    assert cost.image == 260 * Decimal(5) / MTOK


def test_image_tokens_without_a_rate_of_their_own_cost_as_much_as_others():
    cost = price_usage(usage(1000, 0, {"image": 260}), PLAIN)
    assert cost.image == 260 * Decimal("0.35") / MTOK
    assert cost.total == 1000 * Decimal("0.35") / MTOK


def test_a_token_that_is_cached_and_of_an_image_is_priced_once_as_cached():
    # 900 + 260 are 160 more than the prompt: so many are both.
    cost = price_usage(usage(1000, 0, {"cache_read": 900, "image": 260}), FULL)
    assert cost.cached_input == 900 * Decimal("0.30") / MTOK
    assert cost.image == 100 * Decimal(5) / MTOK
    assert cost.input == 0


def test_a_prompt_that_is_all_cached_and_all_image_has_no_image_left():
    cost = price_usage(usage(260, 0, {"cache_read": 260, "image": 260}), FULL)
    assert cost.cached_input == 260 * Decimal("0.30") / MTOK
    assert (cost.image, cost.input) == (0, 0)


def test_the_request_itself_is_part_of_the_total():
    cost = price_usage(usage(1, 0), FULL)
    assert cost.request == Decimal("0.002")
    assert cost.total == Decimal(3) / MTOK + Decimal("0.002")


def test_a_free_price_costs_nothing_and_says_so():
    free = PriceRow(input=Decimal(0), output=Decimal(0), model="free")
    cost = price_usage(usage(1000, 1000), free)
    assert cost.total == 0
    assert cost.price is free


def test_the_cost_tells_by_which_row_it_was_priced():
    row = price_usage(usage(1, 1), "gpt-oss-120b", on=DAY).price
    assert row is not None
    assert (row.input, row.output) == (Decimal("0.35"), Decimal("0.75"))
    assert (row.provider, row.model) == ("cerebras", "gpt-oss-120b")
    assert row.source.startswith("https://")
    assert row.seen == date(2026, 7, 30)
    assert row.valid_from == date(2025, 10, 31)


# ------------------------------------------------------------------------- rounding


@pytest.mark.parametrize(
    ("rate", "tokens", "expected"),
    [
        ("0.35", 1, "0.00000035"),
        ("0.000001", 1, "0.000000000001"),
        ("0.0000005", 1, "0"),
        ("0.0000005", 3, "0.000000000002"),
        ("0.0000015", 1, "0.000000000002"),
        ("0.00000149", 1, "0.000000000001"),
        ("1000000000", 10**18, "1000000000000000000000"),
    ],
    ids=[
        "exact",
        "one-quantum",
        "half-to-even-down",
        "half-to-even-up",
        "half-above-one",
        "below-half",
        "huge",
    ],
)
def test_each_kind_is_rounded_half_even_to_a_picodollar(rate, tokens, expected):
    row = PriceRow(input=Decimal(rate), output=Decimal(0))
    cost = cost_of(row, tokens)
    assert cost.input == Decimal(expected)
    assert cost.input.as_tuple().exponent == QUANTUM.as_tuple().exponent


def test_amounts_are_whole_numbers_of_the_quantum():
    row = PriceRow(input=Decimal("0.1234567891"), output=Decimal("9.87654321"))
    cost = cost_of(row, 333, 100, 0, 7, 333, 21)
    for kind in ("input", "cached_input", "image", "output", "reasoning"):
        assert getattr(cost, kind).as_tuple().exponent == -12


# ------------------------------------------------------- the program's own arithmetic


@pytest.mark.parametrize(
    "context",
    [
        decimal.Context(prec=3),
        decimal.Context(prec=1, rounding=decimal.ROUND_UP),
        decimal.Context(
            prec=28, traps=[decimal.Inexact, decimal.Rounded, decimal.Subnormal]
        ),
        decimal.Context(prec=28, Emax=1, Emin=-1, traps=[decimal.Overflow]),
    ],
    ids=["three-digits", "one-digit-up", "traps-inexact", "no-exponents"],
)
def test_the_programs_decimal_context_changes_nothing(context):
    details = {"cache_read": 12_345, "image": 77, "cache_creation": 11}
    given = usage(123_457, 98_765, details, {"reasoning": 777})
    expected = price_usage(given, FULL)
    total = expected.total
    with decimal.localcontext(context):
        found = price_usage(given, FULL)
        assert found == expected
        assert found.total.compare_total(total) == 0
        assert add_usd(found.total, found.total, QUANTUM) == Decimal("3.641353500001")
    # 111,024 plain, 12,345 cached, 11 written, 77 of images; 98,765 written; the request
    assert total == (
        Decimal("0.333072")
        + Decimal("0.0037035")
        + Decimal("0.00004125")
        + Decimal("0.000385")
        + Decimal("1.481475")
        + Decimal("0.002")
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.000350000000", "0.00035"),
        ("0.0012345678", "0.0012345678"),
        ("1E+3", "1000"),
        ("0E-12", "0"),
        ("12.50", "12.5"),
        ("-0.10", "-0.1"),
    ],
)
def test_an_amount_is_written_out_whole_in_any_context(amount, text):
    with decimal.localcontext(decimal.Context(prec=2)):
        assert usd_text(Decimal(amount)) == text


@pytest.mark.parametrize(
    "row",
    [
        # The catalog has such rows: what is cached costs there what else does.
        pytest.param(
            PriceRow(input=Decimal(1), output=Decimal(2), cached_input=Decimal(1)),
            id="nothing-saved",
        ),
        pytest.param(PriceRow(input=Decimal(0), output=Decimal("0.0")), id="free"),
    ],
)
def test_nothing_is_written_as_a_plain_zero(row):
    cost = price_usage(usage(300, 20, {"cache_read": 100}, {"reasoning": 5}), row)
    amounts = [str(value) for name, value in cost.to_dict().items() if name != "price"]
    assert not [text for text in amounts if "E" in text]
    assert "0" in amounts


def test_no_arithmetic_touches_a_float():
    cost = price_usage(usage(7, 3, {"cache_read": 2}), FULL)
    for name in cost.__struct_fields__:
        assert not isinstance(getattr(cost, name), float)


def test_the_context_of_the_program_is_left_as_it_was():
    with decimal.localcontext(decimal.Context(prec=5)) as mine:
        price_usage(usage(333, 333), PLAIN)
        assert mine.prec == 5
        assert not mine.flags[decimal.Inexact]


# -------------------------------------------------------------------- days of a price

OSS = [  # day, input, output: first day, last days, days of change, today
    (date(2025, 8, 5), "0.25", "0.69"),
    (date(2025, 8, 14), "0.25", "0.69"),
    (date(2025, 8, 15), "0.40", "0.80"),
    (date(2025, 10, 30), "0.40", "0.80"),
    (date(2025, 10, 31), "0.35", "0.75"),
    (date(2026, 11, 21), "0.35", "0.75"),
    (date(2099, 1, 1), "0.35", "0.75"),
]


@pytest.mark.parametrize(
    ("day", "rate_in", "rate_out"), OSS, ids=[str(o[0]) for o in OSS]
)
def test_a_call_is_priced_by_the_rates_of_its_day(day, rate_in, rate_out):
    cost = price_usage(usage(1000, 500), "gpt-oss-120b", on=day)
    assert cost.input == 1000 * Decimal(rate_in) / MTOK
    assert cost.output == 500 * Decimal(rate_out) / MTOK


def test_there_is_no_price_before_a_model_came():
    with pytest.raises(UnknownPriceError, match=r"the model came on 2025-08-05"):
        price_usage(usage(1, 1), "gpt-oss-120b", on=date(2025, 8, 4))


@pytest.mark.parametrize(
    ("moment", "rate"),
    [
        (datetime(2025, 10, 30, 23, 59, 59, tzinfo=UTC), "0.40"),
        (datetime(2025, 10, 31, 0, 0, 0, tzinfo=UTC), "0.35"),
        (
            datetime(2025, 10, 31, 1, 30, tzinfo=timezone(timedelta(hours=2))),
            "0.40",
        ),
        (
            datetime(2025, 10, 30, 20, 0, tzinfo=timezone(timedelta(hours=-5))),
            "0.35",
        ),
    ],
    ids=["last-second", "midnight", "already-tomorrow-in-the-east", "west"],
)
def test_the_day_of_a_moment_is_its_day_in_utc(moment, rate):
    cost = price_usage(usage(1000, 0), "gpt-oss-120b", on=moment)
    assert cost.input == 1000 * Decimal(rate) / MTOK


@pytest.mark.parametrize(
    "on",
    [datetime(2026, 11, 21, 12, 0), "2026-11-21", 20261121],  # noqa: DTZ001
    ids=["naive", "text", "number"],
)
def test_what_is_no_day_is_refused(on):
    with pytest.raises(CerebrasConfigurationError, match=r"on="):
        price_usage(usage(1, 1), "gpt-oss-120b", on=on)


def test_without_a_day_it_is_todays_price():
    today = datetime.now(UTC).date()
    assert price_usage(usage(10, 10), "gpt-oss-120b") == price_usage(
        usage(10, 10), "gpt-oss-120b", on=today
    )


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("llama3.3-70b", "0.85"),
        ("LLAMA_3_3_70B", "0.85"),
        ("llama-3.1-8b", "0.10"),
        ("cerebras::llama-3.3-70b", "0.85"),
        ("cerebras/llama-3.3-70b", "0.85"),
        ("cerebras:llama-3.3-70b", "0.85"),
    ],
)
def test_aliases_and_prefixes_lead_to_the_same_price(name, rate):
    cost = price_usage(usage(1000, 0), name, on=date(2026, 1, 10))
    assert cost.input == 1000 * Decimal(rate) / MTOK


def test_a_retired_model_keeps_its_last_price():
    assert get_model("zai-glm-4.7").retired_on == date(2026, 8, 17)
    for day in (date(2026, 8, 16), date(2026, 8, 17), DAY):
        cost = price_usage(usage(1000, 1000), "zai-glm-4.7", on=day)
        assert cost.input == 1000 * Decimal("2.25") / MTOK
        assert cost.output == 1000 * Decimal("2.75") / MTOK


def test_a_card_or_a_row_stands_for_a_model():
    card = get_model("qwen-3.8-27b")
    by_card = price_usage(usage(1000, 1000), card, on=DAY)
    assert by_card == price_usage(usage(1000, 1000), "qwen-3.8-27b", on=DAY)
    assert by_card.price is not None
    assert price_usage(usage(1000, 1000), by_card.price) == by_card


# ---------------------------------------------------------------------- not known


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gpt-os-120b", r"no such model\. Did you mean 'gpt-oss-120b'\?"),
        ("deepseek-r1-distill-llama-70b", r"no source tells its price"),
        ("kimi-k2.6", r"no source tells its price"),
    ],
    ids=["misspelt", "never-published", "dedicated"],
)
def test_an_unknown_price_is_an_error_that_tells_the_way_out(model, said):
    with pytest.raises(UnknownPriceError, match=said) as caught:
        price_usage(usage(1, 1), model, on=DAY, provider="cerebras")
    assert f"with_price({model!r}" in str(caught.value)


def test_there_is_no_batch_price_where_none_was_published():
    with pytest.raises(UnknownPriceError, match=r"batch price of 'gpt-oss-120b'"):
        price_usage(usage(1, 1), "gpt-oss-120b", on=DAY, batch=True)


def test_the_batch_price_of_a_card_is_taken_for_batch_jobs():
    register_model(
        {
            "id": "my-batch",
            "price": {
                "input": "2",
                "output": "4",
                "batch_input": "1",
                "batch_output": "2",
            },
        }
    )
    try:
        plain = price_usage(usage(MTOK, MTOK), "my-batch", on=DAY)
        batch = price_usage(usage(MTOK, MTOK), "my-batch", on=DAY, batch=True)
    finally:
        unregister_model("my-batch")
    assert (plain.total, batch.total) == (6, 3)


@pytest.mark.parametrize(
    ("row", "counts", "kind"),
    [
        (PriceRow(output=Decimal(1), model="m"), (1,), "input"),
        (PriceRow(input=Decimal(1), model="m"), (0, 0, 0, 0, 1), "output"),
        (PriceRow(output=Decimal(1), model="m"), (5, 5), "cached_input"),
        (PriceRow(output=Decimal(1), model="m"), (5, 0, 5), "cache_write"),
        (PriceRow(output=Decimal(1), model="m"), (5, 0, 0, 5), "image"),
    ],
    ids=["input", "output", "cached", "written", "image"],
)
def test_a_kind_without_a_rate_is_named(row, counts, kind):
    with pytest.raises(
        UnknownPriceError, match=rf"The {kind} rate of 'm' \(cerebras\)"
    ):
        cost_of(row, *counts)


def test_a_kind_without_a_rate_does_not_matter_if_there_is_none_of_it():
    row = PriceRow(input=Decimal(1), model="embeddings")
    assert cost_of(row, MTOK).total == 1
    only_cached = PriceRow(cached_input=Decimal(1), output=Decimal(2))
    assert cost_of(only_cached, MTOK, MTOK, 0, 0, MTOK).total == 3


def test_nothing_used_costs_nothing_but_the_request():
    assert cost_of(PriceRow(model="m")).total == 0
    assert cost_of(FULL).total == Decimal("0.002")


# ----------------------------------------------------------------------- as it is shown


def test_a_cost_shows_itself_as_json_has_it():
    shown = price_usage(usage(1000, 200), "gpt-oss-120b", on=DAY).to_dict()
    assert shown["input"] == "0.000350000000"
    assert shown["total"] == "0.000500000000"
    assert shown["cache_savings"] == "0"
    assert shown["price"]["input"] == "0.35"
    assert set(Cost.__struct_fields__) < set(shown)


# ------------------------------------------------------------------------ many calls


def test_totals_are_priced_as_one_call_would_be():
    found = price_totals(1000, 400, 200, FULL, DAY, calls=3, reasoning_tokens=50)
    assert found.input == 600 * Decimal(3) / MTOK
    assert found.cached_input == 400 * Decimal("0.30") / MTOK
    assert found.output == 200 * Decimal(15) / MTOK
    assert found.reasoning == 50 * Decimal(15) / MTOK
    assert found.request == Decimal("0.006")


def test_totals_take_a_models_name_and_a_day():
    found = price_totals(1000, 0, 500, "gpt-oss-120b", date(2025, 8, 15))
    assert found.total == 1000 * Decimal("0.40") / MTOK + 500 * Decimal("0.80") / MTOK


@pytest.mark.parametrize(
    "counts",
    [(100, 101, 0), (-1, 0, 0), (1, 0, True), (1.0, 0, 0)],
    ids=["cached", "negative", "bool", "float"],
)
def test_totals_that_contradict_themselves_are_refused(counts):
    with pytest.raises(InvalidUsageError):
        price_totals(*counts, PLAIN)


# ------------------------------------------------- mistakes that peers have documented


def test_cached_tokens_are_not_subtracted_twice_as_in_langfuse_13024():
    """1000 prompt tokens of which 400 are cached are 600 and 400, not 200 and 400."""
    raw = {
        "prompt_tokens": 1000,
        "completion_tokens": 10,
        "total_tokens": 1010,
        "prompt_tokens_details": {"cached_tokens": 400},
    }
    same = usage(1000, 10, {"cache_read": 400})
    for given in (raw, same):
        cost = price_usage(given, FULL)
        assert cost.input == 600 * Decimal(3) / MTOK
        assert cost.cached_input == 400 * Decimal("0.30") / MTOK


def test_an_unknown_model_is_never_zero_dollars():
    with pytest.raises(UnknownPriceError, match="would be a guess"):
        price_usage(usage(1000, 1000), "cerebras::made-up-model", on=DAY)


def test_old_calls_keep_the_price_of_their_day():
    then = price_usage(usage(MTOK, 0), "gpt-oss-120b", on=date(2025, 9, 1))
    now = price_usage(usage(MTOK, 0), "gpt-oss-120b", on=DAY)
    assert (then.total, now.total) == (Decimal("0.40"), Decimal("0.35"))


def test_sums_do_not_depend_on_their_order():
    amounts = [
        price_usage(usage(tokens, 1), PLAIN).total
        for tokens in (1, 10**15, 3, 10**9, 7)
    ]
    with decimal.localcontext(decimal.Context(prec=6)):
        sums = {add_usd(*amounts[at:], *amounts[:at]) for at in range(len(amounts))}
    assert len(sums) == 1
    assert sums == {Decimal("350000350.00000385") + 5 * Decimal("0.00000075")}


def test_an_answer_without_usage_is_no_free_call():
    for nothing in ({}, None, {"usage": None}, {"prompt_tokens": None}):
        with pytest.raises(InvalidUsageError):
            price_usage(nothing, PLAIN)
