"""Counts of records, as they are read from what the service sends."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext._metadata import to_usage_metadata
from langchain_cerebras_ext.costs._usage import (
    RecordCounts,
    read_service,
    read_standard,
)
from langchain_cerebras_ext.costs.pricing import QUANTUM, PriceRow, cost_of
from langchain_cerebras_ext.costs.records import UsageRecord

COUNTS = st.integers(0, 10**9)
ODD = st.one_of(
    st.none(), COUNTS, st.booleans(), st.just(""), st.just("3"), st.floats(0, 1e6)
)
WHOLE = {
    "prompt_tokens": 68,
    "completion_tokens": 30,
    "total_tokens": 98,
    "prompt_tokens_details": {"cached_tokens": 4, "image_tokens": 7},
    "completion_tokens_details": {
        "reasoning_tokens": 20,
        "accepted_prediction_tokens": 2,
        "rejected_prediction_tokens": 1,
    },
}


def _blocks(
    names: list[str], value: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), value, max_size=len(names))


def _usages(value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    inner = _blocks(["cached_tokens", "image_tokens", "audio_tokens"], value)
    outer = _blocks(
        [
            "reasoning_tokens",
            "accepted_prediction_tokens",
            "rejected_prediction_tokens",
        ],
        value,
    )
    sides = ["prompt_tokens", "completion_tokens", "total_tokens", "image_tokens"]
    return st.builds(
        lambda top, ins, outs: {
            **top,
            **({} if ins is None else {"prompt_tokens_details": ins}),
            **({} if outs is None else {"completion_tokens_details": outs}),
        },
        _blocks(sides, value),
        st.one_of(st.none(), inner, st.just(3), st.just([])),
        st.one_of(st.none(), outer, st.just("no")),
    )


def _same(usage: dict[str, Any]) -> bool:
    """Whether both ways read alike; of no prompt and no answer nobody needs more."""
    quick, slow = read_service(usage), read_standard(to_usage_metadata(usage))
    if slow is None:
        return quick is None or not (quick[0] or quick[4])
    return quick == slow and all(type(count) in {int, type(None)} for count in quick)


@given(_usages(COUNTS))
def test_what_the_service_sends_is_read_as_messages_tell_it(
    usage: dict[str, Any],
) -> None:
    assert _same(usage)


@given(_usages(ODD))
def test_odd_counts_are_read_as_messages_tell_them(usage: dict[str, Any]) -> None:
    assert _same(usage)


def test_every_count_of_the_service_has_its_place() -> None:
    assert read_service(WHOLE) == RecordCounts(
        input_tokens=68,
        cached_input_tokens=4,
        image_tokens=7,
        output_tokens=30,
        reasoning_tokens=20,
        accepted_prediction_tokens=2,
        rejected_prediction_tokens=1,
    )
    assert read_service(None) is None
    assert read_service({}) is None


def test_counts_stand_in_a_record_in_their_order() -> None:
    fields = UsageRecord.__struct_fields__
    first = fields.index(RecordCounts._fields[0])
    assert fields[first : first + len(RecordCounts._fields)] == RecordCounts._fields


@given(
    st.decimals(0, 10_000, places=9).filter(lambda rate: rate >= 0),
    COUNTS,
)
def test_a_rate_of_any_fineness_is_rounded_once_for_all_tokens(
    rate: Decimal, tokens: int
) -> None:
    cost = cost_of(PriceRow(input=rate, model="m"), tokens)
    exact = Fraction(rate) * tokens / 10**6
    assert abs(Fraction(cost.input) - exact) <= Fraction(QUANTUM) / 2
    assert not tokens or cost.input.as_tuple().exponent == -12
    if Fraction(rate) * 10**6 % 1 == 0:
        assert Fraction(cost.input) == exact
