"""Rate limits: who is refused, in which words, and what the headers say."""

import pytest

from langchain_cerebras_ext.simulator.limits import Bucket, Limiter
from langchain_cerebras_ext.simulator.profiles import Rates

PREFIX = "x-ratelimit-"


def test_a_bucket_refills_all_the_time():
    bucket = Bucket(60, 60.0, now=0.0)
    bucket.level = 0.0
    bucket.refill(1.5)
    assert bucket.level == 1.5
    assert bucket.wait_s(3) == 1.5
    assert bucket.reset_s == 58.5
    bucket.refill(1_000.0)
    assert bucket.level == 60


def test_without_a_tier_nothing_is_refused(account):
    for _ in range(50):
        account.chat(max_tokens=10)


def test_the_sixth_request_of_a_minute_is_refused_on_the_free_trial(make_account):
    account = make_account(tier="free_trial")
    for _ in range(5):
        account.chat("Hi", max_tokens=10)
    fault = account.refusal("Hi", max_tokens=10)
    assert fault.status == 429
    assert fault.body["code"] == "request_quota_exceeded"
    assert fault.body["message"].startswith("Requests per minute limit exceeded")
    assert fault.headers["retry-after"] == "12"
    assert fault.headers[f"{PREFIX}remaining-requests-day"] == "7195"
    account.clock.now += 12.1
    account.chat("Hi", max_tokens=10)


def test_each_model_has_buckets_of_its_own(make_account):
    account = make_account(tier="free_trial")
    for _ in range(5):
        account.chat("Hi", max_tokens=10)
    account.chat("Hi", max_tokens=10, model="qwen-3.8-27b")


def test_a_request_without_a_limit_reserves_16384_tokens(make_account):
    account = make_account(tier="free_trial")
    rates = {"max_tokens": 10}
    before = account.reply("Hi").headers[f"{PREFIX}remaining-tokens-minute"]
    # What was reserved and not used is given back at once.
    assert int(before) > 29_000
    account.chat("word " * 14_000, **rates)
    fault = account.refusal("Hi")
    assert fault.body["code"] == "token_quota_exceeded"
    assert fault.body["type"] == "too_many_tokens_error"
    assert int(fault.headers["retry-after"]) > 0
    account.chat("Hi", **rates)


def test_a_larger_limit_reserves_no_more_than_16384(make_account):
    account = make_account(tier="free_trial")
    account.chat("Hi", max_tokens=30_000)


def test_cached_tokens_count_against_the_total_only():
    limiter = Limiter(Rates(100, 1_000, 1_000, 3_000), 0.0, enforced=True)
    held = limiter.admit(0.0, prompt=900, cached=896, completion=10)
    assert (held.tokens, held.uncached) == (910, 14)
    limiter.settle(held, tokens=905, uncached=9)
    assert limiter.headers(0.0)[f"{PREFIX}remaining-tokens-minute"] == "991"
    for _ in range(2):
        limiter.admit(0.0, prompt=900, cached=896, completion=10)
    refused = limiter.admit(0.0, prompt=900, cached=896, completion=10)
    assert refused.body["message"].startswith("Tokens per minute")


@pytest.mark.parametrize(
    ("rates", "window"),
    [
        (Rates(100, 1_000, 10_000, 10_000, 500, None), "hour"),
        (Rates(100, 1_000, 10_000, 10_000, None, 500), "day"),
    ],
)
def test_longer_windows_are_named_in_the_refusal(rates, window):
    limiter = Limiter(rates, 0.0, enforced=True)
    limiter.admit(0.0, prompt=400, cached=0, completion=50)
    refused = limiter.admit(0.0, prompt=400, cached=0, completion=50)
    assert refused.body["message"].startswith(f"Tokens per {window} limit exceeded")
    seconds = {"hour": 3_600, "day": 86_400}[window]
    assert int(refused.headers["retry-after"]) == seconds * 400 // 500


def test_the_day_of_requests_can_run_out():
    limiter = Limiter(Rates(100, 1, 10_000, 10_000), 0.0, enforced=True)
    limiter.admit(0.0, prompt=1, cached=0, completion=1)
    refused = limiter.admit(0.0, prompt=1, cached=0, completion=1)
    assert refused.body["message"].startswith("Requests per day limit exceeded")


def test_own_rates_are_enforced(make_account):
    account = make_account(rates=Rates(1, 10, 100_000, 300_000))
    account.chat("Hi", max_tokens=10)
    assert account.refusal("Hi", max_tokens=10).status == 429


def test_all_headers_are_on_every_answer(account):
    headers = account.reply("Hi").headers
    assert {key for key in headers if key.startswith(PREFIX)} == {
        f"{PREFIX}{what}-{window}"
        for what in ("limit", "remaining", "reset")
        for window in ("requests-day", "tokens-minute")
    }
    assert headers[f"{PREFIX}limit-tokens-minute"] == "1000000"
    assert float(headers[f"{PREFIX}reset-tokens-minute"]) >= 0


def test_what_is_not_enforced_never_falls_below_zero():
    limiter = Limiter(Rates(1, 1, 10, 10), 0.0, enforced=False)
    for _ in range(3):
        limiter.admit(0.0, prompt=100, cached=0, completion=1)
    headers = limiter.headers(0.0)
    assert headers[f"{PREFIX}remaining-requests-day"] == "0"
    assert headers[f"{PREFIX}remaining-tokens-minute"] == "0"
