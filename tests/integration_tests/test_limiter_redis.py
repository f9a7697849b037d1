"""The limits that processes share, on a real Redis or Valkey server."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limiter_worker import FastClock
from redis_server import NAMES, RedisServer, find_server
from virtual_service import StepClock

from langchain_cerebras_ext._limits._learning import Closure
from langchain_cerebras_ext._limits._redis import _Ask
from langchain_cerebras_ext.errors import (
    RateLimiterBackendError,
    RateLimitError,
    RateLimiterTimeoutError,
    RequestExceedsLimitError,
)
from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter
from langchain_cerebras_ext.simulator import Simulator
from langchain_cerebras_ext.simulator.clock import SystemClock as SimulatorClock

MODEL = "gpt-oss-120b"
WORKER = Path(__file__).parents[1] / "limiter_worker.py"
PASSWORD = "correct-horse"


@pytest.fixture(scope="module", params=NAMES)
def server(request):
    with RedisServer(find_server(request.param), password=PASSWORD) as running:
        yield running


@pytest.fixture
def client(server):
    import redis

    client = redis.Redis.from_url(server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def make(server, client):
    made = []

    def make(**options):
        options.setdefault("latency_s", 0)
        limiter = CerebrasRateLimiter(redis=server.url, **options)
        made.append(limiter)
        return limiter

    yield make
    for limiter in made:
        limiter.close()


def level(limiter, key="tokens/minute"):
    return limiter.state(MODEL)[key].level


# ------------------------------------------------------------------- what is shared


def test_two_limiters_share_what_there_is(make):
    one, two = make(tokens_per_minute=10_000), make(tokens_per_minute=10_000)
    held = one.reserve(MODEL, input_tokens=4_000, max_output_tokens=2_000)
    assert level(two) == pytest.approx(4_000, abs=200)
    held.settle(input_tokens=4_000, output_tokens=100)
    assert level(two) == pytest.approx(5_900, abs=400)
    state = two.state(MODEL)
    assert (state.waiting, state.under_way) == (0, 0)
    assert state.shared.startswith("redis://127.0.0.1:")


def test_another_namespace_has_limits_of_its_own(make):
    make(tokens_per_minute=10_000).reserve(
        MODEL, input_tokens=5_000, max_output_tokens=0
    )
    assert level(make(tokens_per_minute=10_000, namespace="other")) == 10_000


def test_what_one_has_learned_all_know(make):
    one, two = make(), make()
    headers = {
        "x-ratelimit-limit-tokens-minute": "30000",
        "x-ratelimit-remaining-tokens-minute": "20000",
    }
    one.reserve(MODEL, input_tokens=10).settle(
        input_tokens=10, output_tokens=10, headers=headers
    )
    bucket = two.state(MODEL)["uncached/minute"]
    assert (bucket.capacity, bucket.source) == (30_000, "learned")
    assert bucket.level == pytest.approx(20_000, abs=500)


def test_all_keys_are_named_after_the_namespace_and_end_by_themselves(make, client):
    limiter = make(requests_per_minute=1, namespace="team-a")
    held = limiter.reserve(MODEL, input_tokens=1)
    waiting = threading.Thread(target=lambda: limiter.reserve(MODEL, input_tokens=1))
    waiting.start()
    while limiter.state(MODEL).waiting == 0:
        time.sleep(0.01)
    keys = client.keys("*")
    assert len(keys) == 4
    assert all(key.startswith(b"team-a:{gpt-oss-120b}:") for key in keys)
    assert all(0 < client.ttl(key) <= 3_700 for key in keys)
    held.release()
    waiting.join(30)
    assert not waiting.is_alive()


def test_an_ending_that_is_told_twice_counts_once(make):
    """As when an answer of Redis is lost, and its client asks again."""
    limiter = make(tokens_per_minute=10_000, clock=StepClock())
    held = limiter.reserve(MODEL, input_tokens=5_000, max_output_tokens=0)
    need = held._once[0]
    for _ in range(2):
        held._finish(need, need._replace(tokens=0, uncached=0), [], None)
    limiter.reserve(MODEL, input_tokens=1_000, max_output_tokens=0)
    assert level(limiter) == pytest.approx(9_000)


# ----------------------------------------------- the same arithmetic as in memory

OPERATIONS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0, 40)),
    st.tuples(
        st.just("reserve"),
        st.integers(0, 9_000),
        st.one_of(st.none(), st.integers(0, 9_000)),
    ),
    st.tuples(st.just("settle"), st.integers(0, 12_000), st.floats(0, 1)),
    st.tuples(
        st.just("headers"), st.integers(0, 30_000), st.sampled_from([20_000, 30_000])
    ),
    st.tuples(
        st.just("refuse"),
        st.sampled_from(
            [
                Closure(("uncached", "tokens"), "minute", 5.0),
                Closure(("requests",), "minute", None),
                Closure(("requests",), "hour", 3.5),
                Closure(("tokens",), "second", None),
            ]
        ),
    ),
    st.tuples(st.sampled_from(["release", "unknown"])),
)
CONFIGURATIONS = [
    {"tier": "free"},
    {"requests_per_second": 3, "tokens_per_minute": 20_000},
    {},
]


class Twins:
    """A limiter in memory and one in Redis, told the same at the same time."""

    def __init__(self, url, number, options):
        self.clock = StepClock(1_800_000_000.0)
        shared = {"clock": self.clock, "latency_s": 1.0, **options}
        self.limiters = (
            CerebrasRateLimiter(**shared),
            CerebrasRateLimiter(redis=url, namespace=f"twin-{number}", **shared),
        )
        self.held = []

    def reserve(self, prompt, most):
        outcomes = []
        for limiter in self.limiters:
            try:
                outcomes.append(
                    limiter.reserve(
                        MODEL, input_tokens=prompt, max_output_tokens=most, max_wait=0
                    )
                )
            except (RateLimiterTimeoutError, RequestExceedsLimitError) as error:
                outcomes.append((type(error), error.args, getattr(error, "wait_s", 0)))
        if isinstance(outcomes[0], tuple):
            assert outcomes[0][0] is outcomes[1][0]
            assert outcomes[0][2] == pytest.approx(outcomes[1][2], abs=1e-3)
        else:
            self.held.append(outcomes)

    def end(self, how):
        if self.held:
            for held in self.held.pop(0):
                how(held)

    def step(self, name, *data):
        if name == "wait":
            self.clock.now += data[0]
        elif name == "reserve":
            self.reserve(*data)
        elif name == "settle":
            tokens, cached = data
            self.end(
                lambda held: held.settle(
                    input_tokens=tokens,
                    output_tokens=50,
                    cached_tokens=int(cached * tokens),
                )
            )
        elif name == "headers":
            headers = {
                "x-ratelimit-limit-tokens-minute": str(data[1]),
                "x-ratelimit-remaining-tokens-minute": str(min(data)),
                "x-ratelimit-remaining-requests-minute": "2",
            }
            self.end(
                lambda held: held.settle(
                    input_tokens=9, output_tokens=9, headers=headers
                )
            )
        elif name == "refuse":
            (closure,) = data
            error = RateLimitError(
                closure.kinds[-1],
                kind="requests" if closure.kinds == ("requests",) else "tokens",
                window=closure.window,
                retry_after_s=closure.wait_s,
            )
            self.end(lambda held: held.refused(error))
        else:
            self.end(lambda held: getattr(held, name)())

    def check(self):
        ours, theirs = (limiter.state(MODEL) for limiter in self.limiters)
        assert ours.under_way == theirs.under_way
        assert ours.closed_for_s == pytest.approx(dict(theirs.closed_for_s), abs=1e-3)
        rows = [
            {bucket.key: (bucket.capacity, bucket.level) for bucket in state.buckets}
            for state in (ours, theirs)
        ]
        assert rows[0].keys() == rows[1].keys()
        for key, pair in rows[0].items():
            assert pair == pytest.approx(rows[1][key], rel=1e-6, abs=0.05), key
        sources = [
            [bucket.source for bucket in state.buckets] for state in (ours, theirs)
        ]
        assert sources[0] == sources[1]


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=["free", "yours", "learning"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(OPERATIONS, max_size=25), number=st.integers(0, 10**9))
def test_the_script_reckons_as_the_limiter_in_memory(
    server, client, options, steps, number
):
    client.flushall()
    twins = Twins(server.url, number, options)
    for step in steps:
        twins.step(*step)
    twins.check()
    twins.limiters[1].close()


# ------------------------------------------------------------------------- the line


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def in_thread(limiter, order, name, tokens):
    def run():
        limiter.reserve(MODEL, input_tokens=tokens, max_output_tokens=0).unknown()
        order.append(name)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_who_came_first_goes_first_whichever_process_asks(make):
    one, two = (make(tokens_per_minute=60_000) for _ in range(2))
    one.reserve(MODEL, input_tokens=60_000, max_output_tokens=0).unknown()
    order, threads = [], []
    for number, tokens in enumerate([900, 600, 800, 650, 700]):
        limiter = (one, two)[number % 2]
        threads.append(in_thread(limiter, order, number, tokens))
        wait_for(lambda: one.state(MODEL).waiting + len(order) > number)  # noqa: B023
    for thread in threads:
        thread.join(30)
    assert order == list(range(5))


@pytest.mark.parametrize("same", [True, False], ids=["same-process", "other-process"])
def test_what_is_given_back_lets_the_next_go(make, same):
    one = make(tokens_per_minute=60)
    other = one if same else make(tokens_per_minute=60)
    held = one.reserve(MODEL, input_tokens=60, max_output_tokens=0)
    order = []
    thread = in_thread(other, order, "next", 60)
    wait_for(lambda: one.state(MODEL).waiting == 1)
    start = time.monotonic()
    held.release()
    thread.join(30)
    assert order == ["next"]
    assert time.monotonic() - start < 10  # a minute, if nothing had come back


async def test_who_is_cancelled_leaves_the_line_at_once(make):
    limiter = make(requests_per_minute=1)
    (await limiter.areserve(MODEL, input_tokens=1)).unknown()
    tasks = [
        asyncio.create_task(limiter.areserve(MODEL, input_tokens=1)) for _ in range(3)
    ]
    await asyncio.to_thread(wait_for, lambda: limiter.state(MODEL).waiting == 3)
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    assert tasks[1].cancelled()
    assert (await limiter.astate(MODEL)).waiting == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await limiter.astate(MODEL)).waiting == 0
    await limiter.aclose()


@pytest.mark.parametrize("steps", range(12))
async def test_no_cancellation_is_lost_at_whatever_step_it_comes(make, steps):
    """Python 3.11's `wait_for`, in which redis-py sends, loses one that comes late."""
    limiter = make(requests_per_minute=1)
    (await limiter.areserve(MODEL, input_tokens=1)).unknown()
    task = asyncio.create_task(limiter.areserve(MODEL, input_tokens=1))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=30)
    assert done, "it waits for its turn, a minute from now, as if nothing had happened"
    assert task.cancelled()
    assert (await limiter.astate(MODEL)).waiting == 0
    await limiter.aclose()


def test_a_wait_that_is_known_to_be_too_long_is_refused_at_once(make):
    limiter = make(requests_per_minute=1, max_wait=5)
    limiter.reserve(MODEL, input_tokens=1).unknown()
    with pytest.raises(RateLimiterTimeoutError) as caught:
        limiter.reserve(MODEL, input_tokens=1)
    assert caught.value.wait_s == pytest.approx(60, abs=2)
    assert limiter.state(MODEL).waiting == 0


def test_a_wait_ends_when_it_has_become_too_long(make):
    limiter = make(tokens_per_minute=60)
    held = limiter.reserve(MODEL, input_tokens=60, max_output_tokens=0)
    with pytest.raises(RateLimiterTimeoutError):
        limiter.reserve(MODEL, input_tokens=60, max_output_tokens=0, max_wait=0.3)
    assert limiter.state(MODEL).waiting == 0
    held.release()


def test_a_request_that_can_never_fit_is_refused(make):
    with pytest.raises(RequestExceedsLimitError, match="30,000 uncached tokens"):
        make(tier="free").reserve(MODEL, input_tokens=20_000)


def test_who_was_forgotten_by_redis_stands_in_line_again(make, client):
    limiter = make(requests_per_minute=1)
    limiter.reserve(MODEL, input_tokens=1).unknown()
    order = []
    thread = in_thread(limiter, order, "again", 1)
    wait_for(lambda: limiter.state(MODEL).waiting == 1)
    client.flushall()
    thread.join(30)
    assert order == ["again"]


def run_worker(server, **told):
    return subprocess.Popen(
        [sys.executable, str(WORKER), json.dumps({"redis": server.url, **told})],
        stdout=subprocess.PIPE,
        text=True,
        cwd=WORKER.parent,
    )


def test_a_killed_process_frees_its_place(server, make):
    """It stood at the head of the line; its lease, 15 s, passes in 0.15 s here."""
    faster = 100.0
    limits = {"requests_per_day": 2}
    limiter = make(clock=FastClock(faster), **limits)
    held = limiter.reserve(MODEL, input_tokens=1)
    process = run_worker(server, faster=faster, limits=limits, hold=True)
    try:
        assert process.stdout.readline() == "in line\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    order = []
    thread = in_thread(limiter, order, "next", 1)
    wait_for(lambda: limiter.state(MODEL).waiting == 2)
    time.sleep(0.2)
    held.release()
    thread.join(30)
    assert order == ["next"]
    assert limiter.state(MODEL).waiting == 0


def test_a_request_of_a_killed_process_is_forgotten_and_stays_spent(make):
    clock = StepClock()
    limiter = make(tokens_per_day=10_000, clock=clock)
    limiter.reserve(MODEL, input_tokens=5_000, max_output_tokens=0)
    assert limiter.state(MODEL).under_way == 1
    clock.now += 901
    state = limiter.state(MODEL)
    assert state.under_way == 0
    assert state["tokens/day"].level == pytest.approx(5_104, abs=1)


def test_a_turn_that_nobody_takes_is_given_back(make, client):
    """The process was let go by another one's step, and died before it looked."""
    clock = StepClock()
    limiter = make(tokens_per_minute=1_000, clock=clock)
    held = limiter.reserve(MODEL, input_tokens=1_000, max_output_tokens=0)
    line = limiter._line(MODEL)
    steps = line._steps("dead", held._once[0], None)
    line._run(next(steps))
    held.release()
    assert limiter.state(MODEL).under_way == 1
    clock.now += 15.1
    assert limiter.state(MODEL).under_way == 0
    assert level(limiter) == pytest.approx(1_000)


def test_a_turn_that_is_taken_late_is_counted_from_then(make):
    clock = StepClock()
    limiter = make(tokens_per_minute=1_000, clock=clock)
    held = limiter.reserve(MODEL, input_tokens=1_000, max_output_tokens=0)
    line = limiter._line(MODEL)
    steps = line._steps("slow", held._once[0]._replace(tokens=400, uncached=400), None)
    line._run(next(steps))
    held.release()
    clock.now += 10
    assert level(limiter) == pytest.approx(767, abs=1)
    assert line._run(_Ask("look", ("slow",))) == ["go"]
    assert level(limiter) == pytest.approx(600)
    assert line._run(_Ask("claim", ("slow",))) == ["go"]
    clock.now += 1
    assert level(limiter) == pytest.approx(616.65, abs=0.1)


class FastSimulatorClock(SimulatorClock):
    def __init__(self, faster):
        self.faster = faster

    def monotonic(self):
        return time.monotonic() * self.faster

    async def sleep(self, seconds):
        await super().sleep(seconds / self.faster)


def test_two_processes_with_twenty_workers_each_are_never_refused(server, make):
    """Five requests at first, and five more each minute, for both together."""
    faster, minutes = 10.0, 2
    with Simulator(tier="free_trial", clock=FastSimulatorClock(faster)) as simulator:
        until = time.monotonic() + 4.0 + minutes * 60 / faster  # 4 s to start up
        told = {
            "port": simulator.port,
            "until": until,
            "workers": 20,
            "faster": faster,
            "limits": {"tier": "free"},
        }
        processes = [run_worker(server, **told) for _ in range(2)]
        told = [process.communicate(timeout=90)[0] for process in processes]
    counts = [json.loads(text) for text in told]
    assert all(set(count) <= {"200"} for count in counts), counts
    answered = sum(count.get("200", 0) for count in counts)
    assert answered >= 0.95 * (5 + 5 * minutes) - 1
    state = make(tier="free").state(MODEL)
    assert (state.waiting, state.under_way) == (0, 0)


def test_real_time_of_redis_is_kept_with_a_service_of_real_time(server, make):
    """Redis' clock and the service's are not the same one, and answers take time."""
    limits = {"requests_per_second": 20, "tokens_per_minute": 60_000}
    limiters = [make(latency_s=1.0, **limits) for _ in range(2)]
    from langchain_cerebras_ext.simulator.limits import Bucket

    bucket = Bucket(20, 1.0, time.monotonic())
    lock, refused = threading.Lock(), []

    def worker(limiter):
        for _ in range(10):
            with limiter.reserve(MODEL, input_tokens=10, max_output_tokens=10):
                with lock:
                    bucket.refill(time.monotonic())
                    if bucket.level < 1:
                        refused.append(bucket.level)
                    bucket.level -= 1

    threads = [
        threading.Thread(target=worker, args=(limiters[number % 2],))
        for number in range(10)
    ]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert refused == []
    assert 80 / 20 <= time.monotonic() - start < 12


# ------------------------------------------------------------------ connections


def connections(client):
    return len([row for row in client.client_list() if "cerebras" in row["name"]])


def test_no_connection_of_an_event_loop_is_left(make, client):
    limiter = make(requests_per_minute=10**6, tokens_per_minute=10**9)

    async def main():
        async def one():
            async with await limiter.areserve(MODEL, input_tokens=1) as held:
                held.settle(input_tokens=1, output_tokens=1)

        await asyncio.gather(*(one() for _ in range(40)))

    for _ in range(3):
        asyncio.run(main())
    assert limiter._server._loops == {}
    assert limiter.state(MODEL).under_way == 0
    limiter.close()  # what threads have, and what a loop that ended has told last
    wait_for(lambda: connections(client) == 0)


async def test_settling_in_a_loop_does_not_wait_and_is_told_all_the_same(make):
    limiter = make(tokens_per_minute=10_000, clock=StepClock())
    held = await limiter.areserve(MODEL, input_tokens=5_000, max_output_tokens=0)
    held.settle(input_tokens=100, output_tokens=0)
    await asyncio.to_thread(wait_for, lambda: not limiter.state(MODEL).under_way)
    assert (await limiter.astate(MODEL))["tokens/minute"].level == pytest.approx(9_900)
    await limiter.aclose()


def test_what_was_settled_last_is_told_although_the_loop_ends(make):
    limiter = make(tokens_per_minute=10_000, clock=StepClock())

    async def main():
        held = await limiter.areserve(MODEL, input_tokens=5_000, max_output_tokens=0)
        held.settle(input_tokens=100, output_tokens=0)

    asyncio.run(main())
    assert limiter.state(MODEL).under_way == 0
    assert level(limiter) == pytest.approx(9_900)


def test_a_pickle_connects_anew(make):
    limiter = make(tokens_per_minute=10_000, clock=StepClock())
    limiter.reserve(MODEL, input_tokens=5_000, max_output_tokens=0).unknown()
    data = pickle.dumps(limiter)
    limiter._identity = "gone"
    from langchain_cerebras_ext import rate_limiter

    rate_limiter._here.clear()
    copy = pickle.loads(data)
    assert copy is not limiter
    assert level(copy) == pytest.approx(5_000)
    copy.close()


# ------------------------------------------------------------------- out of reach


@pytest.fixture
def away(server):
    """A URL where nothing listens, with a password in it."""
    return f"redis://:{PASSWORD}@127.0.0.1:1/0"


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_server_that_cannot_be_reached_is_named_without_its_password(away, how):
    limiter = CerebrasRateLimiter(tier="free", redis=away)
    with pytest.raises(RateLimiterBackendError) as caught:
        if how == "sync":
            limiter.reserve(MODEL, input_tokens=1)
        else:
            asyncio.run(limiter.areserve(MODEL, input_tokens=1))
    assert "redis://127.0.0.1:1/0" in str(caught.value)
    assert "on_backend_error='local'" in str(caught.value)
    for text in (str(caught.value), repr(caught.value), repr(limiter)):
        assert PASSWORD not in text


def test_a_wrong_password_is_an_error_of_the_backend(server):
    limiter = CerebrasRateLimiter(
        tier="free", redis=server.url.replace(PASSWORD, "wr0ng")
    )
    with pytest.raises(RateLimiterBackendError) as caught:
        limiter.reserve(MODEL, input_tokens=1)
    assert "wr0ng" not in str(caught.value)
    limiter.close()


async def test_a_process_goes_on_alone_where_that_is_wanted(away, caplog):
    limiter = CerebrasRateLimiter(
        requests_per_minute=2, redis=away, on_backend_error="local"
    )
    with caplog.at_level(logging.WARNING, "langchain_cerebras_ext.rate_limiter"):
        limiter.reserve(MODEL, input_tokens=1).unknown()
        (await limiter.areserve(MODEL, input_tokens=1)).unknown()
        with pytest.raises(RateLimiterTimeoutError):
            limiter.reserve(MODEL, input_tokens=1, max_wait=1)
    (record,) = caplog.records
    assert "each process keeps limits of its own" in record.getMessage()
    assert PASSWORD not in caplog.text
    await limiter.aclose()


def test_what_a_request_used_may_be_lost_but_the_answer_is_not(caplog):
    with RedisServer(find_server()) as server:
        limiter = CerebrasRateLimiter(tier="free", redis=server.url)
        held = limiter.reserve(MODEL, input_tokens=1)
        server.stop()
        with caplog.at_level(logging.WARNING, "langchain_cerebras_ext.rate_limiter"):
            held.settle(input_tokens=1, output_tokens=1)
        assert len(caplog.records) == 1
        with RedisServer(find_server(), port=server.port):
            limiter.reserve(MODEL, input_tokens=1).unknown()
            limiter.close()
    assert "can be reached again" in caplog.records[-1].getMessage()
