"""Forty workers on a simulated account: not one refusal, and nothing left lying.

The service is the simulator's own limiter, in virtual time: an hour takes no time. What
is compared: what the requests used, with what the account allowed in that time, which is
a full bucket and its refill; the limit that is nearest to being used up counts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace

import pytest
from virtual_service import MODEL, Load, LoopClock, Service, run_virtually, work

from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter
from langchain_cerebras_ext.simulator.profiles import RATES_FREE, Rates

WORKERS = 40
OF_2025 = Rates(30, 14_400, 60_000, 60_000, 1_000_000, 1_000_000)
NUMBERS_OF_2025 = {
    "requests_per_minute": 30,
    "requests_per_day": 14_400,
    "tokens_per_minute": 60_000,
    "tokens_per_hour": 1_000_000,
    "tokens_per_day": 1_000_000,
}
FREE = {"tier": "free"}
CHAT = Load(prompt=(50, 400), output=(50, 600))
DOCUMENTS = Load(prompt=(2_000, 9_000), output=(500, 6_000))
CACHED = Load(prompt=(9_000, 12_000), output=(500, 2_000), max_tokens=2_000, cached=0.9)


def run(rates, load, minutes, *, workers=WORKERS, seed=0, **options):
    """Return the service, and how much of each limit was used."""

    async def main():
        loop = asyncio.get_running_loop()
        limiter = CerebrasRateLimiter(clock=LoopClock(), **options)
        service = Service(rates, loop.time())
        until = loop.time() + 60 * minutes
        tasks = [
            loop.create_task(
                work(limiter, service, load, until=until, seed=f"{seed}/{number}")
            )
            for number in range(workers)
        ]
        await asyncio.sleep(60 * minutes)
        shares = service.shares(loop.time())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limiter.state(MODEL).waiting == 0
        return service, shares

    return run_virtually(main)


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR, "langchain_cerebras_ext.rate_limiter")


@pytest.mark.parametrize(
    ("rates", "options", "load", "minutes", "binding"),
    [
        (RATES_FREE, FREE, CHAT, 60, "requests/minute"),
        (RATES_FREE, FREE, replace(CHAT, max_tokens=600), 60, "requests/minute"),
        (RATES_FREE, FREE, DOCUMENTS, 30, "uncached/minute"),
        (RATES_FREE, FREE, DOCUMENTS, 600, "tokens/day"),
        (RATES_FREE, FREE, CACHED, 20, "tokens/day"),
        (
            OF_2025,
            NUMBERS_OF_2025,
            replace(CHAT, max_tokens=600),
            60,
            "requests/minute",
        ),
        (
            OF_2025,
            NUMBERS_OF_2025,
            Load((500, 3_000), (200, 3_000)),
            12,
            "tokens/minute",
        ),
        (
            OF_2025,
            NUMBERS_OF_2025,
            Load((500, 3_000), (2_500, 3_000), 3_000),
            12,
            "tokens/minute",
        ),
    ],
    ids=[
        "free-chat",
        "free-chat-max-tokens",
        "free-documents",
        "free-documents-10-hours",
        "free-cached",
        "2025-chat",
        "2025-unset",
        "2025-max-tokens",
    ],
)
def test_forty_workers_are_never_refused_and_use_what_is_allowed(
    rates, options, load, minutes, binding
):
    service, shares = run(rates, load, minutes, **options)
    assert service.refusals == []
    assert max(shares.values()) == shares[binding]
    assert shares[binding] >= 0.95


@pytest.mark.parametrize("load", [CHAT, DOCUMENTS], ids=["chat", "documents"])
def test_limits_that_nobody_knows_are_learned_from_answers_and_refusals(load):
    """Requests a minute are in no header: a guess is tried out every few minutes."""
    service, shares = run(RATES_FREE, load, 30)
    later = [at for at, _ in service.refusals if at > service.started + 60]
    assert len(later) <= 15
    assert max(shares.values()) >= 0.9


@pytest.mark.parametrize("seed", range(12))
def test_no_mix_of_requests_is_refused(seed):
    """Any limits, sizes, durations and numbers of workers."""
    rng = random.Random(seed)
    uncached = rng.choice([20_000, 30_000, 60_000, 500_000])
    rates = Rates(
        rng.choice([1, 2, 5, 30, 300]),
        rng.choice([20, 1_000, 100_000]),
        uncached,
        uncached * rng.choice([1, 2, 3]),
        rng.choice([None, 1_000_000, 100_000]),
        rng.choice([None, 1_000_000]),
    )
    max_tokens = rng.choice([None, 100, 2_000, 16_384])
    most = min(3_000, uncached - (max_tokens or 16_384))
    load = Load(
        prompt=(rng.randint(1, most), most),
        output=(1, min(max_tokens or 16_384, rng.choice([10, 500, 5_000, 16_384]))),
        max_tokens=max_tokens,
        cached=rng.choice([0, 0.9]),
        latency_s=rng.choice([0, 0.05, 0.12]),
        duration_s=rng.choice([(0.1, 0.5), (0.2, 4), (5, 20), (0, 60)]),
    )
    numbers = {
        "requests_per_minute": rates.requests_minute,
        "requests_per_day": rates.requests_day,
        "uncached_tokens_per_minute": rates.uncached_minute,
        "tokens_per_minute": rates.tokens_minute,
        "tokens_per_hour": rates.tokens_hour,
        "tokens_per_day": rates.tokens_day,
    }
    workers = rng.choice([1, 3, 12, WORKERS])
    service, _ = run(rates, load, 20, workers=workers, seed=seed, **numbers)
    assert service.refusals == []


@pytest.mark.parametrize(("latency_s", "refused"), [(0.0, True), (1.0, False)])
def test_the_latency_is_what_keeps_late_requests_from_being_refused(latency_s, refused):
    """Five requests that came late, and a sixth that comes quickly."""
    load = replace(CHAT, max_tokens=600, latency_s=1.0)
    service, _ = run(RATES_FREE, load, 60, latency_s=latency_s, learn=False, **FREE)
    assert bool(service.refusals) is refused
