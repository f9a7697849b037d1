"""The line of waiters: fair, woken when it is their turn, left at once."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time

import pytest
from virtual_service import MODEL, LoopClock, StepClock, run_virtually

from langchain_cerebras_ext.errors import (
    RateLimiterTimeoutError,
    RequestExceedsLimitError,
)
from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter


def virtual(**options):
    options.setdefault("latency_s", 0)
    return CerebrasRateLimiter(clock=LoopClock(), **options)


def ask(limiter, tokens, **options):
    """Reserve exactly so many tokens."""
    return limiter.areserve(MODEL, input_tokens=tokens, max_output_tokens=0, **options)


async def settle_down():
    for _ in range(10):
        await asyncio.sleep(0)


def test_small_requests_do_not_overtake_a_large_one():
    """In a bucket that is nearly empty the small ones would fit at once."""

    async def main():
        limiter = virtual(tokens_per_minute=6_000)
        (await ask(limiter, 5_900)).unknown()
        order = []

        async def one(name, tokens):
            await ask(limiter, tokens)
            order.append(name)

        tasks = [asyncio.create_task(one("large", 6_000))]
        await settle_down()
        tasks += [asyncio.create_task(one(f"small {i}", 10)) for i in range(5)]
        await asyncio.gather(*tasks)
        assert order == ["large", *(f"small {i}" for i in range(5))]

    run_virtually(main)


def test_who_came_first_goes_first():
    async def main():
        limiter = virtual(requests_per_minute=60)
        order = []

        async def one(number):
            (await ask(limiter, 1)).unknown()
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(200)))
        assert order == list(range(200))

    run_virtually(main)


def test_what_is_given_back_lets_the_next_go_at_once():
    async def main():
        now = asyncio.get_running_loop().time
        limiter = virtual(tokens_per_minute=20_000)
        held = await ask(limiter, 20_000)
        start = now()
        waiting = asyncio.create_task(ask(limiter, 15_000))
        await asyncio.sleep(3)
        assert not waiting.done()
        held.settle(input_tokens=100, output_tokens=0)
        await waiting
        assert now() == start + 3

    run_virtually(main)


def test_a_part_given_back_shortens_the_wait_of_the_head():
    async def main():
        now = asyncio.get_running_loop().time
        limiter = virtual(tokens_per_minute=60_000)
        held = await ask(limiter, 20_000)
        (await ask(limiter, 40_000)).unknown()
        start = now()
        waiting = asyncio.create_task(ask(limiter, 30_000))  # 30 s of refill
        await asyncio.sleep(1)
        held.settle(input_tokens=10_000, output_tokens=0)  # 10 s less
        await waiting
        assert now() - start == pytest.approx(20, abs=0.1)

    run_virtually(main)


def test_nobody_wakes_before_it_is_his_turn():
    """No herd: each waiter looks but a few times, however many there are."""
    looks = 0

    class Counting(LoopClock):
        async def await_event(self, event, timeout_s):
            nonlocal looks
            looks += 1
            await super().await_event(event, timeout_s)

    async def main():
        limiter = CerebrasRateLimiter(requests_per_minute=60, clock=Counting())
        await asyncio.gather(*(ask(limiter, 1) for _ in range(300)))

    run_virtually(main)
    assert looks < 3 * 300


@pytest.mark.parametrize("place", [0, 1, 2], ids=["head", "middle", "last"])
def test_who_is_cancelled_leaves_the_line_at_once(place):
    async def main():
        limiter = virtual(requests_per_minute=1)
        (await ask(limiter, 1)).unknown()
        start = asyncio.get_running_loop().time()
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(ask(limiter, 1)))
            await settle_down()
        assert limiter.state(MODEL).waiting == 3
        tasks[place].cancel()
        await settle_down()
        assert limiter.state(MODEL).waiting == 2
        ended = []
        for task in [task for task in tasks if task is not tasks[place]]:
            await task
            ended.append(asyncio.get_running_loop().time() - start)
        assert ended == pytest.approx([60, 120], abs=0.3)
        assert tasks[place].cancelled()

    run_virtually(main)


def test_who_is_cancelled_when_his_turn_has_come_hands_it_over():
    async def main():
        limiter = virtual(tokens_per_minute=1_000)
        held = await ask(limiter, 1_000)
        first = asyncio.create_task(ask(limiter, 1_000))
        await settle_down()
        second = asyncio.create_task(ask(limiter, 1_000))
        await settle_down()
        held.release()  # lets the first go, which has not run yet
        first.cancel()
        start = asyncio.get_running_loop().time()
        await second
        assert asyncio.get_running_loop().time() == start
        assert first.cancelled()
        assert limiter.state(MODEL).under_way == 1

    run_virtually(main)


def test_who_waits_too_long_is_told_how_long_it_would_be():
    async def main():
        limiter = virtual(requests_per_minute=2, max_wait=10)
        for _ in range(2):
            (await ask(limiter, 1)).unknown()
        start = asyncio.get_running_loop().time()
        with pytest.raises(RateLimiterTimeoutError) as caught:
            await ask(limiter, 1)
        assert asyncio.get_running_loop().time() == start
        assert caught.value.wait_s == pytest.approx(30, abs=0.1)
        assert caught.value.model == MODEL
        assert "max_wait is 10.0 s" in str(caught.value)
        assert limiter.state(MODEL).waiting == 0

    run_virtually(main)


def test_a_wait_that_a_give_back_might_shorten_is_not_refused_at_once():
    async def main():
        now = asyncio.get_running_loop().time
        limiter = virtual(tokens_per_minute=10_000, max_wait=5)
        held = await ask(limiter, 10_000)
        start = now()
        waiting = asyncio.create_task(ask(limiter, 10_000))
        await asyncio.sleep(2)
        held.release()
        await waiting
        assert now() == start + 2
        with pytest.raises(RateLimiterTimeoutError):
            await ask(limiter, 10_000)
        assert now() == start + 7

    run_virtually(main)


@pytest.mark.parametrize(
    ("own", "call", "waited"), [(10, 3, 3), (3, 10, 3), (None, 3, 3), (3, None, 3)]
)
def test_the_shorter_limit_of_a_wait_counts(own, call, waited):
    async def main():
        now = asyncio.get_running_loop().time
        limiter = virtual(tokens_per_minute=10_000, max_wait=own)
        held = await ask(limiter, 10_000)
        start = now()
        with pytest.raises(RateLimiterTimeoutError):
            await ask(limiter, 10_000, max_wait=call)
        assert now() - start == waited
        held.release()

    run_virtually(main)


def test_a_request_that_can_never_fit_is_refused_at_once():
    limiter = CerebrasRateLimiter.for_tier("free", clock=StepClock())
    with pytest.raises(RequestExceedsLimitError) as caught:
        limiter.reserve(MODEL, input_tokens=20_000)
    assert str(caught.value) == (
        "A request to 'gpt-oss-120b' takes 36,384 tokens (the prompt, and what is "
        "reserved for the answer), and the limit is 30,000 uncached tokens a minute: it "
        "can never pass. Lower max_tokens (unset, 16,384 are reserved), shorten the "
        "prompt, or use a plan with higher limits."
    )
    assert isinstance(caught.value, ValueError)
    assert not caught.value.is_retryable
    assert limiter.state(MODEL).waiting == 0


def test_who_waits_is_told_when_a_limit_is_learned_that_he_exceeds():
    async def main():
        limiter = virtual(per_model={MODEL: {"requests_per_minute": 2}})
        held = await ask(limiter, 10)
        (await ask(limiter, 10)).unknown()
        waiting = asyncio.create_task(ask(limiter, 50_000))
        await settle_down()
        held.settle(
            input_tokens=10,
            output_tokens=0,
            headers={
                "x-ratelimit-limit-tokens-minute": "30000",
                "x-ratelimit-remaining-tokens-minute": "29000",
            },
        )
        with pytest.raises(RequestExceedsLimitError, match="30,000 uncached"):
            await waiting

    run_virtually(main)


def test_a_waiter_whose_loop_is_blocked_does_not_hold_up_the_others():
    """The second one's own timer lets the head go, whose thread then finds it so."""
    limiter = CerebrasRateLimiter(requests_per_second=20, latency_s=0)
    for _ in range(20):
        limiter.reserve(MODEL, input_tokens=1).unknown()
    entered, release = threading.Event(), threading.Event()

    async def head():
        task = asyncio.ensure_future(ask(limiter, 1))
        await asyncio.sleep(0)
        entered.set()
        release.wait(30)  # blocks the loop
        await task

    thread = threading.Thread(target=lambda: asyncio.run(head()))
    thread.start()
    entered.wait(30)
    limiter.reserve(MODEL, input_tokens=1, max_wait=30)
    assert limiter.state(MODEL).waiting == 0
    release.set()
    thread.join(30)
    assert not thread.is_alive()


def test_threads_and_tasks_of_several_loops_stand_in_one_line():
    limiter = CerebrasRateLimiter(requests_per_second=400, latency_s=0.001)
    passed = []

    def in_thread():
        for _ in range(20):
            with limiter.reserve(MODEL, input_tokens=1) as held:
                held.settle(input_tokens=1, output_tokens=1)
            passed.append("thread")

    async def in_task():
        for _ in range(20):
            async with await limiter.areserve(MODEL, input_tokens=1) as held:
                held.settle(input_tokens=1, output_tokens=1)
            passed.append("task")

    async def loop():
        await asyncio.gather(*(in_task() for _ in range(10)))

    threads = [threading.Thread(target=in_thread) for _ in range(10)]
    threads += [threading.Thread(target=lambda: asyncio.run(loop())) for _ in range(2)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    took_s = time.monotonic() - start
    assert sorted(passed) == ["task"] * 400 + ["thread"] * 200
    assert took_s >= (600 - 400) / 400
    state = limiter.state(MODEL)
    assert (state.waiting, state.under_way) == (0, 0)


def test_a_thread_waits_without_polling():
    clock = StepClock()
    limiter = CerebrasRateLimiter(requests_per_minute=1, clock=clock, latency_s=0)
    limiter.reserve(MODEL, input_tokens=1).unknown()
    limiter.reserve(MODEL, input_tokens=1).unknown()
    assert clock.waited == pytest.approx([60], abs=0.1)


def test_an_interrupted_thread_leaves_the_line():
    class Interrupted(StepClock):
        def wait(self, event, timeout_s):
            raise KeyboardInterrupt

    limiter = CerebrasRateLimiter(requests_per_minute=1, clock=Interrupted())
    limiter.reserve(MODEL, input_tokens=1).unknown()
    with pytest.raises(KeyboardInterrupt):
        limiter.reserve(MODEL, input_tokens=1)
    assert limiter.state(MODEL).waiting == 0


def test_a_task_of_a_loop_that_was_closed_leaves_the_line():
    limiter = CerebrasRateLimiter(requests_per_minute=1)
    limiter.reserve(MODEL, input_tokens=1).unknown()
    loop = asyncio.new_event_loop()
    coroutine = ask(limiter, 1)
    task = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.sleep(0))
    assert limiter.state(MODEL).waiting == 1
    task._log_destroy_pending = False
    loop.close()
    del task, coroutine, loop
    gc.collect()
    assert limiter.state(MODEL).waiting == 0


def test_a_reservation_that_is_dropped_stays_spent_but_is_no_longer_under_way():
    limiter = CerebrasRateLimiter(tokens_per_minute=10_000, clock=StepClock())
    limiter.reserve(MODEL, input_tokens=4_000, max_output_tokens=0)
    gc.collect()
    state = limiter.state(MODEL)
    assert state.under_way == 0
    assert state["tokens/minute"].level == pytest.approx(6_000)


def test_a_long_wait_is_told_in_the_log_once(caplog):
    limiter = CerebrasRateLimiter(requests_per_day=1, clock=StepClock())
    limiter.reserve(MODEL, input_tokens=1).unknown()
    with caplog.at_level(logging.WARNING, "langchain_cerebras_ext.rate_limiter"):
        limiter.reserve(MODEL, input_tokens=1).unknown()
    (record,) = caplog.records
    assert record.getMessage().startswith("The limits of 'gpt-oss-120b' are spent")
