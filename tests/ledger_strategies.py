"""Any usage record that there may be, and such as have much in common."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import strategies as st
from ledger_samples import make_record

from langchain_cerebras_ext.costs.pricing import Cost, PriceRow
from langchain_cerebras_ext.costs.records import FLAGS, OUTCOMES, UsageRecord

# ------------------------------------------------------------------------ any record

# Half of a pair of surrogates is no text that UTF-8 can hold; 0 PostgreSQL has not.
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
tokens = st.none() | st.integers(0, 10**12)
usd = st.integers(-(10**6), 9 * 10**17).map(lambda n: Decimal(n).scaleb(-12))
rates = st.none() | st.decimals(0, 100, places=4)
seconds = st.none() | st.floats(0, 1e6, allow_nan=False)
zones = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
prices = st.builds(
    PriceRow,
    input=rates,
    output=rates,
    cached_input=rates,
    source=texts,
    seen=st.none() | st.dates(),
    discount=st.decimals(0, 1, places=2),
    note=texts,
)
costs = st.builds(
    Cost,
    **dict.fromkeys(
        ("input", "cached_input", "cache_write", "image", "output", "request"), usd
    ),
    reasoning=usd,
    cache_savings=usd,
    price=st.none() | prices,
)
any_records = st.builds(
    UsageRecord,
    started_at=st.datetimes(
        datetime(2, 1, 1),  # noqa: DTZ001
        datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=zones,
    ),
    model=texts,
    record_id=st.uuids().map(lambda one: one.hex),
    provider=texts,
    operation=texts,
    stream=st.booleans(),
    tags=st.lists(texts, max_size=3).map(tuple),
    outcome=st.sampled_from(OUTCOMES),
    attempts=st.integers(1, 99),
    cost=st.none() | costs,
    flags=st.lists(st.sampled_from(FLAGS), max_size=3, unique=True).map(tuple),
    **dict.fromkeys(
        (
            "model_served",
            "run_id",
            "parent_run_id",
            "trace_id",
            "request_id",
            "user",
            "session",
            "node",
            "arm",
            "error_type",
            "service_tier",
        ),
        st.none() | texts,
    ),
    **dict.fromkeys(
        (
            "input_tokens",
            "cached_input_tokens",
            "cache_write_tokens",
            "image_tokens",
            "output_tokens",
            "reasoning_tokens",
            "accepted_prediction_tokens",
            "rejected_prediction_tokens",
        ),
        tokens,
    ),
    **dict.fromkeys(
        ("ttft_s", "duration_s", "queue_time_s", "output_tokens_per_s"), seconds
    ),
)

# ----------------------------------------------- records that have much in common

few = st.none() | st.sampled_from(["a", "b", ""])
alike_records = st.builds(
    make_record,
    # Some hours on both sides of the end of a month.
    at=st.integers(0, 4_000),
    model=st.sampled_from(["gpt-oss-120b", "zai-glm-4.7"]),
    model_served=st.none() | st.just("gpt-oss-120b"),
    provider=st.sampled_from(["cerebras", "openai"]),
    tags=st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple),
    user=few,
    session=few,
    node=few,
    arm=few,
    error_type=few,
    outcome=st.sampled_from(OUTCOMES),
    flags=st.lists(st.sampled_from(FLAGS), max_size=2, unique=True).map(tuple),
    input_tokens=tokens,
    cost=st.none() | costs,
    ttft_s=seconds,
)
