"""Laws of prices: parts add up, order does not matter, more is not cheaper."""

from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext._metadata import to_usage_metadata
from langchain_cerebras_ext.costs._usage import Counts, read_counts
from langchain_cerebras_ext.costs.planning import highest_cost, project
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.pricing import (
    EXACT,
    Extra,
    PriceRow,
    Step,
    add_usd,
    cost_of,
    price_counts,
    price_usage,
)
from langchain_cerebras_ext.errors import InvalidUsageError

TOKENS = st.integers(0, 10**9)
DAYS = st.dates(date(2025, 8, 5), date(2030, 1, 1))
# Rates as they are published, to six decimals: a token costs whole picodollars.
RATES = st.decimals(0, 1000, places=6)
FINE_RATES = st.decimals(0, 1000, places=11)
KINDS = ("input", "cached_input", "cache_write", "image", "output", "request")


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    whole = draw(TOKENS)
    cached = draw(st.integers(0, whole))
    answer = draw(TOKENS)
    return Counts(
        input=whole,
        cached=cached,
        cache_write=draw(st.integers(0, whole - cached)),
        image=draw(st.integers(0, whole)),
        output=answer,
        reasoning=draw(st.integers(0, answer)),
    )


def rows(rates: st.SearchStrategy[Decimal]) -> st.SearchStrategy[PriceRow]:
    own = st.none() | rates
    return st.builds(
        PriceRow,
        input=rates,
        output=rates,
        cached_input=own,
        cache_write=own,
        image=own,
        request=rates,
    )


@given(rows(FINE_RATES), counts())
def test_the_kinds_add_up_to_the_total(row, used):
    cost = cost_of(row, *used[:6])
    assert cost.total == sum(Fraction(getattr(cost, kind)) for kind in KINDS)
    assert all(getattr(cost, kind) >= 0 for kind in KINDS)
    assert 0 <= cost.reasoning <= cost.output


@given(rows(FINE_RATES), counts())
def test_each_kind_is_its_tokens_times_its_rate_rounded_once(row, used):
    """Computed anew with fractions, and rounded half to even by Python's `round`."""
    cost = cost_of(row, *used[:6])
    image = min(used.image, used.input - used.cached - used.cache_write)
    plain = used.input - used.cached - used.cache_write - image
    parts = {
        "input": (plain, row.input),
        "cached_input": (used.cached, row.cached_input),
        "cache_write": (used.cache_write, row.cache_write),
        "image": (image, row.image),
        "output": (used.output, row.output),
    }
    for kind, (tokens, rate) in parts.items():
        exact = tokens * Fraction(row.input if rate is None else rate) / 10**6
        assert Fraction(getattr(cost, kind)) == Fraction(round(exact * 10**12), 10**12)


@given(rows(RATES), counts(), counts())
def test_calls_priced_apart_cost_as_much_as_together(row, one, two):
    both = Counts(*(a + b for a, b in zip(one[:6], two[:6], strict=True)))
    apart = [cost_of(row, *used[:6]) for used in (one, two)]
    together = cost_of(row, *both[:6])
    kinds = [kind for kind in KINDS if kind not in {"request", "image", "input"}]
    for kind in kinds:
        assert add_usd(*(getattr(cost, kind) for cost in apart)) == getattr(
            together, kind
        )
    if row.image is None or row.image == row.input:
        totals = add_usd(*(cost.total for cost in apart))
        assert totals == add_usd(together.total, row.request)


@given(rows(RATES), counts(), st.integers(1, 1000))
def test_as_many_times_the_tokens_cost_as_many_times_the_money(row, used, times):
    one = cost_of(row, *used[:6])
    many = cost_of(row, *(count * times for count in used[:6]))
    for kind in KINDS[:-1]:
        assert getattr(many, kind) == EXACT.multiply(getattr(one, kind), times)


@given(rows(FINE_RATES), counts(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_tokens_are_never_cheaper(row, used, more_in, more_out):
    less = cost_of(row, *used[:6])
    more = cost_of(
        row,
        used.input + more_in,
        used.cached,
        used.cache_write,
        min(used.image, used.input - used.cached - used.cache_write),
        used.output + more_out,
        used.reasoning,
    )
    assert more.total >= less.total


@given(rows(FINE_RATES), counts())
def test_the_cache_saves_what_it_says(row, used):
    cost = cost_of(row, *used[:6])
    cold = cost_of(msgspec.structs.replace(row, cached_input=None), *used[:6])
    assert cost.cache_savings == cold.cached_input - cost.cached_input


@given(rows(FINE_RATES), st.lists(counts(), max_size=8), st.randoms())
def test_a_sum_does_not_depend_on_its_order(row, calls, random):
    amounts = [cost_of(row, *used[:6]).total for used in calls]
    mixed = list(amounts)
    random.shuffle(mixed)
    with localcontext(prec=4):
        assert add_usd(*amounts) == add_usd(*mixed)
        assert add_usd(*amounts) == add_usd(add_usd(*mixed[::2]), add_usd(*mixed[1::2]))
    assert Fraction(add_usd(*amounts)) == sum(map(Fraction, amounts))


@given(rows(FINE_RATES), counts())
def test_no_kind_is_lost_where_a_rate_stands_apart(row, used):
    """Rates apart that equal the common ones change nothing."""
    extra = Extra(
        audio=row.input,
        audio_output=row.output,
        cache_write_1h=row.cache_write if row.cache_write is not None else row.input,
        reasoning=row.output,
    )
    used = used._replace(
        audio=used.input // 2,
        cache_write_1h=used.cache_write // 2,
        audio_output=used.output // 3,
    )
    plain = price_counts(Step(-1, row), used)
    apart = price_counts(Step(-1, row, extra), used)
    assert abs(apart.total - plain.total) <= Decimal("5e-12")
    assert abs(apart.reasoning - plain.reasoning) <= Decimal("1e-12")


@given(rows(FINE_RATES), counts(), st.integers(1, 4))
def test_the_highest_cost_is_not_below_any_cost(row, used, answers):
    """Whatever of the prompt is cached, written or an image, and however short."""
    highest = highest_cost(
        row,
        model="m",
        input_tokens=used.input,
        max_output_tokens=used.output,
        n=answers,
    )
    slack = Decimal("3e-12")  # each kind is rounded by itself
    assert cost_of(row, *used[:6]).total <= highest + slack


# ------------------------------------------------------------------------------ reading


@given(counts())
def test_raw_counts_and_langchains_are_the_same(used):
    used = used._replace(cache_write=0)
    raw = {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {
            "cached_tokens": used.cached,
            "image_tokens": used.image,
        },
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
    }
    assert read_counts(raw) == read_counts(to_usage_metadata(raw)) == used


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10**12)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "input_tokens",
                    "output_tokens",
                    "prompt_tokens",
                    "completion_tokens",
                    "total_tokens",
                    "input_token_details",
                    "output_token_details",
                    "prompt_tokens_details",
                    "completion_tokens_details",
                    "input_tokens_details",
                    "cache_read_input_tokens",
                    "cache_creation",
                    "cached_tokens",
                    "cache_read",
                    "flex_cache_read",
                    "reasoning",
                    "usage",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(JUNK)
def test_anything_is_counts_that_fit_or_is_refused(junk):
    try:
        found = read_counts(junk)
    except InvalidUsageError:
        return
    assert all(type(count) is int and count >= 0 for count in found[:-1])
    assert found.cached + found.cache_write <= found.input
    assert max(found.image, found.audio) <= found.input
    assert max(found.reasoning, found.audio_output) <= found.output


# -------------------------------------------------------------------------------- books


@given(DAYS, st.decimals(0, 1, places=4), st.decimals(0, 1, places=4))
def test_a_discount_makes_nothing_dearer(day, one, two):
    plain = PriceBook().find("cerebras", "gpt-oss-120b", day)
    book = PriceBook().with_discount(fraction=one).with_discount(fraction=two)
    other = PriceBook().with_discount(fraction=two).with_discount(fraction=one)
    row = book.find("cerebras", "gpt-oss-120b", day)
    assert plain is not None
    assert row is not None
    assert 0 <= row.input <= plain.input
    assert row.input == other.find("cerebras", "gpt-oss-120b", day).input
    assert row.input == EXACT.multiply(plain.input, EXACT.subtract(1, row.discount))


@given(DAYS)
def test_what_is_kept_is_what_is_found(day):
    book = PriceBook()
    first = book.find("cerebras", "gpt-oss-120b", day)
    assert book.find("cerebras", "gpt-oss-120b", day) is first
    assert PriceBook().find("cerebras", "gpt-oss-120b", day) == first


@given(
    st.integers(0, 5000),
    st.integers(1, 50),
    st.integers(0, 10**6),
    st.decimals(0, 1, places=3),
)
def test_a_plan_is_the_sum_of_its_calls(calls, steps, tokens, mix):
    day = date(2026, 11, 21)
    plan = project(
        "gpt-oss-120b", calls=calls, steps=steps, tokens=tokens, mix=mix, on=day
    )
    assert plan.input_tokens + plan.output_tokens == tokens
    one = price_usage(
        {"input_tokens": plan.input_tokens, "output_tokens": plan.output_tokens},
        "gpt-oss-120b",
        on=day,
    ).total
    assert plan.total == one * steps * calls
