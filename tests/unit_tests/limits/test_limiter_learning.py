"""What answers and refusals teach."""

from __future__ import annotations

import json

import pytest
from virtual_service import MODEL, StepClock

from langchain_cerebras_ext._limits._learning import (
    Closure,
    Reading,
    read_headers,
    read_refusal,
)
from langchain_cerebras_ext._limits._numbers import Limit
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter
from langchain_cerebras_ext.simulator import faults

P = "x-ratelimit-"
HEADERS = {
    "content-type": "application/json",
    f"{P}limit-requests-day": "7200",
    f"{P}limit-tokens-minute": "30000",
    f"{P}remaining-requests-day": "7100",
    f"{P}remaining-tokens-minute": "12000",
    f"{P}reset-requests-day": "1200.5",
    f"{P}reset-tokens-minute": "36.1",
}


def refusal(fault, **more):
    return status_error(
        fault.status, json.dumps(fault.body).encode(), {**fault.headers, **more}
    )


def limiter(**options):
    return CerebrasRateLimiter(clock=StepClock(), latency_s=0, **options)


def test_the_documented_headers_are_read():
    assert sorted(read_headers(HEADERS)) == [
        Reading("requests", "day", 7200, 7100),
        Reading("uncached", "minute", 30000, 12000),
    ]


@pytest.mark.parametrize(
    ("name", "kind", "window"),
    [
        ("requests-second", "requests", "second"),
        ("requests-minute", "requests", "minute"),
        ("tokens-hour", "tokens", "hour"),
        ("tokens-day", "tokens", "day"),
        ("uncached-tokens-minute", "uncached", "minute"),
        ("total-tokens-minute", "tokens", "minute"),
        ("tokens-total-minute", "tokens", "minute"),
        ("tokens-uncached-minute", "uncached", "minute"),
    ],
)
def test_other_kinds_and_windows_are_read_by_their_names(name, kind, window):
    headers = {f"X-RateLimit-Limit-{name}": "50", f"{P}remaining-{name}": "7"}
    assert read_headers(headers) == [Reading(kind, window, 50, 7)]


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        ([], "uncached"),
        ([("tokens", 90_000), ("uncached", 30_000)], "tokens"),
        ([("tokens", 90_000)], "tokens"),
        ([("tokens", 90_000), ("uncached", 90_000)], "uncached"),
        ([("tokens", 60_000)], "uncached"),
    ],
    ids=["nothing", "both", "total", "equal", "other-number"],
)
def test_tokens_a_minute_are_the_total_where_their_number_says_so(known, kind):
    limits = [Limit(kind, "minute", number) for kind, number in known]
    headers = {f"{P}limit-tokens-minute": "90000"}
    assert read_headers(headers, limits)[0].kind == kind


@pytest.mark.parametrize("value", ["", "many", "nan", "inf", "-5", None])
def test_what_is_no_number_is_passed_over(value):
    assert read_headers({f"{P}limit-tokens-minute": value}) == []


@pytest.mark.parametrize(
    ("fault", "closure"),
    [
        (faults.requests_exceeded("second", 1), Closure(("requests",), "second", 1.0)),
        (faults.requests_exceeded(), Closure(("requests",), "minute", 12.0)),
        (
            faults.tokens_exceeded(),
            Closure(("uncached", "tokens"), "minute", 12.0),
        ),
        (faults.tokens_exceeded("day", 86_399), Closure(("tokens",), "day", 86_399.0)),
        (faults.queue_exceeded(), None),
    ],
    ids=["second", "requests", "tokens", "day", "queue"],
)
def test_a_refusal_names_its_limit(fault, closure):
    assert read_refusal(refusal(fault)) == closure


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("Uncached tokens per minute limit exceeded", ("uncached",)),
        ("Total tokens per minute limit exceeded", ("tokens",)),
    ],
)
def test_a_refusal_that_names_its_bucket_is_believed(words, kinds):
    body = {"message": words, "code": "token_quota_exceeded"}
    error = status_error(429, json.dumps(body).encode(), {})
    assert read_refusal(error) == Closure(kinds, "minute", None)


def test_limits_are_learned_from_an_answer():
    held = (learning := limiter()).reserve(MODEL, input_tokens=100)
    held.settle(input_tokens=100, output_tokens=50, headers=HEADERS)
    state = learning.state(MODEL)
    assert state["requests/day"].capacity == 7200
    assert state["requests/day"].level == pytest.approx(7100, abs=1)
    assert state["uncached/minute"].level == pytest.approx(12_000, abs=1)
    assert {bucket.source for bucket in state.buckets} == {"learned"}


def test_the_service_knows_better_than_the_catalog():
    tier = limiter(tier="free")
    headers = {
        f"{P}limit-tokens-minute": "60000",
        f"{P}remaining-tokens-minute": "59000",
    }
    tier.reserve(MODEL, input_tokens=100).settle(
        input_tokens=100, output_tokens=900, headers=headers
    )
    state = tier.state(MODEL)
    assert state["uncached/minute"].capacity == 60_000
    assert state["uncached/minute"].source == "learned"
    assert state["tokens/minute"].capacity == 90_000


def test_nothing_is_learned_where_that_is_switched_off():
    fixed = limiter(tier="free", learn=False)
    before = [bucket.capacity for bucket in fixed.state(MODEL).buckets]
    headers = {**HEADERS, f"{P}limit-tokens-minute": "60000"}
    fixed.reserve(MODEL, input_tokens=100).settle(
        input_tokens=100, output_tokens=50, headers=headers
    )
    assert [bucket.capacity for bucket in fixed.state(MODEL).buckets] == before


def test_after_a_refusal_all_wait_as_long_as_the_service_said():
    learning = limiter()
    learning.reserve(MODEL, input_tokens=100).refused(
        refusal(faults.tokens_exceeded("day", 500))
    )
    state = learning.state(MODEL)
    assert state.closed_for_s == {"tokens/day": 500.0}
    assert state.under_way == 0
    learning.reserve(MODEL, input_tokens=100)
    assert learning._clock.waited == pytest.approx([500])


def test_a_refusal_gives_back_what_was_reserved_and_tells_what_remains():
    learning = limiter(tier="free")
    error = refusal(
        faults.tokens_exceeded("minute", 3),
        **{f"{P}limit-tokens-minute": "30000", f"{P}remaining-tokens-minute": "1000"},
    )
    learning.reserve(MODEL, input_tokens=100, max_output_tokens=2_400).refused(error)
    state = learning.state(MODEL)
    assert state["requests/minute"].level == pytest.approx(5)
    assert state["tokens/day"].level == pytest.approx(1_000_000)
    assert state["uncached/minute"].level == pytest.approx(1_000)
    assert state.closed_for_s == {"uncached/minute": 3.0}


def test_a_full_queue_is_no_limit_of_the_account():
    learning = limiter(tier="free")
    learning.reserve(MODEL, input_tokens=100).refused(refusal(faults.queue_exceeded()))
    state = learning.state(MODEL)
    assert not state.closed_for_s
    assert state["requests/minute"].level == pytest.approx(5)


def test_cached_tokens_count_in_the_total_only():
    learning = limiter(tier="free")
    learning.reserve(MODEL, input_tokens=9_000, max_output_tokens=1_000).settle(
        input_tokens=9_000, output_tokens=500, cached_tokens=8_000
    )
    state = learning.state(MODEL)
    assert state["uncached/minute"].level == pytest.approx(28_500)
    assert state["tokens/minute"].level == pytest.approx(80_500)
