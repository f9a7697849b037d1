"""What people hold in their hands: the constructor, LangChain's interface, copies."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.rate_limiters import BaseRateLimiter
from virtual_service import MODEL, LoopClock, StepClock, run_virtually

from langchain_cerebras_ext.catalog import list_models
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    MissingExtraError,
    RateLimiterTimeoutError,
)
from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter, ModelRateLimiter


def make(**options):
    options.setdefault("clock", StepClock())
    options.setdefault("latency_s", 0)
    return CerebrasRateLimiter(**options)


def capacities(limiter, model=MODEL):
    return {bucket.key: bucket.capacity for bucket in limiter.state(model).buckets}


FREE = {
    "requests/minute": 5,
    "uncached/minute": 30_000,
    "tokens/minute": 90_000,
    "tokens/hour": 1_000_000,
    "tokens/day": 1_000_000,
}


# --------------------------------------------------------------------- the limits


def test_a_tier_has_the_limits_of_the_catalog():
    assert capacities(CerebrasRateLimiter.for_tier("free")) == FREE
    assert capacities(CerebrasRateLimiter.for_tier("developer")) == {
        "requests/minute": 1_000,
        "uncached/minute": 1_000_000,
    }


def test_each_model_has_limits_of_its_own():
    limiter = make(tier="developer")
    assert capacities(limiter, "gemma-4-31b")["requests/minute"] == 300
    limiter.reserve("gemma-4-31b", input_tokens=1)
    assert limiter.state(MODEL)["requests/minute"].level == 1_000
    assert limiter.state("gemma-4-31b")["requests/minute"].level < 300


def test_an_alias_shares_its_models_limits():
    limiter = make(requests_per_minute=10)
    card = next(card for card in list_models() if card.aliases)
    limiter.reserve(card.aliases[0], input_tokens=1)
    assert limiter.state(card.id)["requests/minute"].level == pytest.approx(9)


def test_a_model_that_the_catalog_does_not_know_is_not_limited_until_learned():
    limiter = make(tier="free")
    assert capacities(limiter, "my-org-model") == {}
    assert "no limit is known" in str(limiter.state("my-org-model"))
    limiter.reserve("my-org-model", input_tokens=10**9)


def test_numbers_of_yours_win_over_the_tiers_and_a_models_own_over_both():
    limiter = make(
        tier="free",
        requests_per_minute=3,
        tokens_per_day=500_000,
        per_model={MODEL: {"requests_per_minute": 2, "requests_per_hour": 40}},
    )
    assert capacities(limiter) == {
        **FREE,
        "requests/minute": 2,
        "requests/hour": 40,
        "tokens/day": 500_000,
    }
    assert capacities(limiter, "qwen-3.8-27b")["requests/minute"] == 3


def test_all_windows_can_be_given():
    limiter = make(
        requests_per_second=1,
        requests_per_minute=2,
        requests_per_hour=3,
        requests_per_day=4,
        uncached_tokens_per_minute=5,
        tokens_per_minute=6,
        tokens_per_hour=7,
        tokens_per_day=8,
    )
    assert sorted(capacities(limiter).values()) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("max_output_tokens", "tokens"),
    [
        (None, 16_484),
        (100, 200),
        (0, 100),
        (16_384, 16_484),
        (40_000, 16_484),
        (-1, 16_484),
    ],
)
def test_the_service_reserves_what_is_asked_for_but_16384_at_most(
    max_output_tokens, tokens
):
    limiter = make(tokens_per_minute=60_000)
    held = limiter.reserve(MODEL, input_tokens=100, max_output_tokens=max_output_tokens)
    assert held.tokens == tokens
    assert limiter.state(MODEL)["tokens/minute"].level == pytest.approx(60_000 - tokens)


def test_the_cap_can_be_set():
    held = make(tokens_per_minute=60_000, reservation_cap=1_000).reserve(
        MODEL, input_tokens=100
    )
    assert held.tokens == 1_100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learn": False}, "nothing to limit by"),
        ({"tier": "gold"}, "tier='gold'"),
        ({"requests_per_minute": 0}, "requests_per_minute=0 must be"),
        ({"tokens_per_day": -5}, "tokens_per_day=-5"),
        ({"tokens_per_day": True}, "tokens_per_day=True"),
        ({"requests_per_minute": float("inf")}, "requests_per_minute=inf"),
        ({"per_model": {"m": {"rpm": 5}}}, r"per_model\['m'\] rpm=5 is no limit"),
        ({"max_wait": -1}, "max_wait=-1"),
        ({"latency_s": -1}, "latency_s=-1"),
        ({"default_tokens": -1}, "default_tokens=-1"),
        ({"on_backend_error": "ignore"}, "on_backend_error='ignore'"),
        ({"namespace": "{a}"}, "namespace='{a}'"),
        ({"redis": "http://host"}, "must be a URL as 'redis://"),
        ({"redis": "redis:me:word@host/0"}, "must be a URL as 'redis://"),
        ({"redis": "redis://me:word@[::1/0"}, "in brackets that is no IPv6 address"),
        ({"redis": "redis://host:99999/0"}, "port"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_makes_no_sense_is_refused_by_name(options, words):
    with pytest.raises(CerebrasConfigurationError, match=words):
        CerebrasRateLimiter(**options)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r"langchain-cerebras-ext\[redis\]"):
        CerebrasRateLimiter(tier="free", redis="redis://localhost")


# --------------------------------------------------------------- how it is ended


ENDINGS = {
    "settle": (lambda held: held.settle(input_tokens=500, output_tokens=100), 9_400, 9),
    "release": (lambda held: held.release(), 10_000, 10),
    "unknown": (lambda held: held.unknown(), 8_000, 9),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_the_first_ending_counts_and_later_ones_do_nothing(how):
    end, tokens, requests = ENDINGS[how]
    limiter = make(tokens_per_minute=10_000, requests_per_minute=10)
    held = limiter.reserve(MODEL, input_tokens=1_000, max_output_tokens=1_000)
    assert "open" in repr(held)
    end(held)
    assert "ended" in repr(held)
    for again, _, _ in ENDINGS.values():
        again(held)
    state = limiter.state(MODEL)
    assert state["tokens/minute"].level == pytest.approx(tokens)
    assert state["requests/minute"].level == pytest.approx(requests)
    assert state.under_way == 0


@pytest.mark.parametrize("how", ["settle", "release", "unknown", "refused"])
def test_the_async_endings_are_those_of_the_sync_ones(how):
    from langchain_cerebras_ext.errors import RateLimitError

    arguments = {
        "settle": {"input_tokens": 500, "output_tokens": 100},
        "refused": {"error": RateLimitError("full", kind="queue")},
    }.get(how, {})

    async def level(prefix):
        limiter = make(tokens_per_minute=10_000, clock=LoopClock())
        held = await limiter.areserve(
            MODEL, input_tokens=1_000, max_output_tokens=1_000
        )
        result = getattr(held, f"{prefix}{how}")(**arguments)
        if prefix:
            await result
        return limiter.state(MODEL)["tokens/minute"].level

    async def main():
        assert await level("a") == pytest.approx(await level(""))

    run_virtually(main)


def test_a_block_that_does_not_end_it_leaves_it_spent():
    limiter = make(tokens_per_minute=10_000)
    with (
        pytest.raises(ZeroDivisionError),
        limiter.reserve(MODEL, input_tokens=1_000, max_output_tokens=0),
    ):
        1 / 0  # noqa: B018
    state = limiter.state(MODEL)
    assert (state.under_way, state["tokens/minute"].level) == (0, pytest.approx(9_000))


# ------------------------------------------------------------------- LangChain's


def test_acquire_counts_a_request_and_the_default_tokens():
    limiter = make(requests_per_minute=10, tokens_per_minute=1_000, default_tokens=300)
    assert limiter.acquire() is True
    state = limiter.state()
    assert state["requests/minute"].level == pytest.approx(9)
    assert state["tokens/minute"].level == pytest.approx(700)
    assert state.under_way == 0


@pytest.mark.parametrize("how", ["acquire", "aacquire"])
def test_without_blocking_it_tells_whether_the_call_may_be_made(how):
    async def main():
        limiter = make(requests_per_minute=1, clock=LoopClock())

        async def acquire(**options):
            result = getattr(limiter, how)(**options)
            return await result if how == "aacquire" else result

        start = asyncio.get_running_loop().time()
        assert await acquire(blocking=False) is True
        assert await acquire(blocking=False) is False
        assert asyncio.get_running_loop().time() == start
        assert limiter.state().waiting == 0

    run_virtually(main)


def test_it_waits_where_it_blocks_and_max_wait_ends_that():
    async def main():
        limiter = make(requests_per_minute=1, clock=LoopClock(), max_wait=90)
        now = asyncio.get_running_loop().time
        start = now()
        for _ in range(2):
            assert await limiter.aacquire() is True
        assert now() - start == pytest.approx(60, abs=0.1)
        results = await asyncio.gather(
            limiter.aacquire(), limiter.aacquire(), return_exceptions=True
        )
        assert results[0] is True
        assert isinstance(results[1], RateLimiterTimeoutError)

    run_virtually(main)


def test_acquire_needs_to_know_what_it_counts_for():
    with pytest.raises(CerebrasConfigurationError, match="Give model="):
        make(tier="free").acquire()
    assert make(tier="free", model=MODEL).acquire() is True


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
async def test_any_chat_model_of_langchain_takes_it(path):
    limiter = make(requests_per_minute=100, default_tokens=10, tokens_per_minute=1_000)
    model = FakeListChatModel(responses=["Hi"], rate_limiter=limiter)
    assert isinstance(limiter, BaseRateLimiter)
    if path == "invoke":
        model.invoke("Hello")
    elif path == "ainvoke":
        await model.ainvoke("Hello")
    elif path == "stream":
        list(model.stream("Hello"))
    else:
        [chunk async for chunk in model.astream("Hello")]
    assert limiter.state()["requests/minute"].level == pytest.approx(99)
    assert limiter.state()["tokens/minute"].level == pytest.approx(990)


async def test_a_model_of_ours_is_not_counted_by_langchain():
    limiter = make(requests_per_minute=1)
    adapter = limiter.as_model_limiter()
    for _ in range(3):
        assert adapter.acquire() is True
        assert await adapter.aacquire(blocking=False) is True
    assert adapter.limiter is limiter
    assert adapter == limiter.as_model_limiter()
    assert hash(adapter) == hash(ModelRateLimiter(limiter))
    assert adapter != make(requests_per_minute=1).as_model_limiter()
    assert adapter != "limiter"
    assert limiter.state(MODEL)["requests/minute"].level == 1


# ------------------------------------------------------------------ copies, texts


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_in_the_same_process_is_the_same_limiter(duplicate):
    limiter = CerebrasRateLimiter(tier="free")
    assert duplicate(limiter) is limiter
    assert duplicate(limiter.as_model_limiter()).limiter is limiter


def test_a_pickle_that_is_opened_elsewhere_has_the_same_limits():
    limiter = CerebrasRateLimiter(
        tier="free", per_model={MODEL: {"requests_per_minute": 2}}, max_wait=3
    )
    data, shown = pickle.dumps(limiter), repr(limiter)
    del limiter
    first, second = pickle.loads(data), pickle.loads(data)
    assert first is second
    assert repr(first) == shown
    assert capacities(first)["requests/minute"] == 2


def test_what_it_was_given_is_shown_but_no_password():
    limiter = CerebrasRateLimiter(
        tier="free",
        max_wait=5,
        redis="redis://me:hunter2@localhost:7000/2?password=p4ss",
    )
    assert repr(limiter) == (
        "CerebrasRateLimiter(tier='free', max_wait=5, redis='redis://localhost:7000/2')"
    )
    for text in (repr(limiter._server), str(limiter.as_model_limiter())):
        assert "hunter2" not in text
        assert "p4ss" not in text


def test_the_state_is_read_by_people():
    limiter = make(requests_per_minute=5, tokens_per_minute=60_000)
    limiter.reserve(MODEL, input_tokens=1_000, max_output_tokens=0)
    assert str(limiter.state(MODEL)).splitlines() == [
        "gpt-oss-120b: 0 under way, 0 waiting",
        "  requests/minute             4 of            5  yours",
        "  tokens/minute          59,000 of       60,000  yours",
    ]
    with pytest.raises(KeyError, match="Known: requests/minute, tokens/minute"):
        limiter.state(MODEL)["tokens/day"]
