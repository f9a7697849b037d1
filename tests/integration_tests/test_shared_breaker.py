"""Circuits that processes share, on a real Redis or Valkey server."""

import asyncio
import logging
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_server import RedisServer, find_server

from langchain_cerebras_ext.errors import InternalServerError, RateLimitError
from langchain_cerebras_ext.routing._breaker_redis import FRESH_S, _impatient
from langchain_cerebras_ext.routing.breaker import CircuitBreaker, Passed, Refusal

LEG = "cerebras::gpt-oss-120b"
PASSWORD = "correct-horse"


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def server():
    with RedisServer(find_server(), password=PASSWORD) as running:
        yield running


@pytest.fixture
def client(server):
    import redis

    client = redis.Redis.from_url(server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(server, client, clock):
    made = []

    def make(**options):
        breaker = CircuitBreaker(redis=server.url, **{"clock": clock, **options})
        made.append(breaker)
        return breaker

    yield make
    for breaker in made:
        breaker.close()


def down():
    return InternalServerError("down", status_code=503)


def fail(breaker, times=10):
    for _ in range(times):
        breaker.admit(LEG).fail(down())
    breaker.health([LEG])


def state(breaker):
    return breaker.health([LEG])[LEG]["state"]


def opened(make, clock, **options):
    """Return four breakers that share, open until now."""
    all_of_them = [make(open_s=15, **options) for _ in range(4)]
    fail(all_of_them[0])
    assert {state(one) for one in all_of_them} == {"open"}
    clock.now += 15
    return all_of_them


# ------------------------------------------------------------------- what is shared


def test_what_one_opens_is_open_for_all(make, clock):
    one, two = make(), make()
    two.admit(LEG).succeed()
    fail(one, 12)
    assert isinstance(one.admit(LEG), Refusal)
    clock.now += FRESH_S
    refusal = two.admit(LEG)
    assert refusal.reason == "circuit open"
    assert refusal.retry_after_s == pytest.approx(14, abs=0.01)


def test_calls_of_all_are_counted_together(make):
    one, two = make(), make()
    fail(one, 5)
    for _ in range(5):
        two.admit(LEG).succeed()
    row = one.health([LEG])[LEG]
    row = two.health([LEG])[LEG]
    assert (row["calls"], row["failures"], row["failure_rate"]) == (10, 5, 0.5)
    assert row["shared"].startswith("redis://127.0.0.1:")


def test_news_travel_by_themselves(make):
    one, two = make(clock=None, min_calls=3), make(clock=None, min_calls=3)
    assert isinstance(two.admit(LEG), Passed)
    for _ in range(3):
        one.admit(LEG).fail(down())
    deadline = time.monotonic() + 10
    while isinstance(two.admit(LEG), Passed):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert isinstance(one.admit(LEG), Refusal)


def test_on_the_servers_own_clock_it_opens_and_closes(make):
    own_time = {"clock": None, "min_calls": 2}
    slow, other = (make(**own_time, namespace="slow") for _ in range(2))
    fail(slow, 2)
    assert state(other) == "open"
    assert isinstance(other.admit(LEG), Refusal)
    one, two = (make(**own_time, open_s=0.05) for _ in range(2))
    fail(one, 2)
    probe = two.admit(LEG)
    while isinstance(probe, Refusal):
        time.sleep(0.01)
        probe = two.admit(LEG)
    assert isinstance(one.admit(LEG), Refusal)
    probe.succeed()
    assert state(two) == "closed"
    assert state(one) == "closed"


def test_a_wait_that_one_was_told_holds_for_all(make, clock):
    one, two = make(), make()
    one.admit(LEG).fail(RateLimitError("x", status_code=429, retry_after_s=20.0))
    assert one.admit(LEG) == Refusal("the service asked to wait", 20.0)
    one.health([LEG])
    assert two.admit(LEG) == Refusal("the service asked to wait", 20.0)
    assert state(two) == "paused"
    clock.now += 20
    assert isinstance(one.admit(LEG), Passed)
    assert isinstance(two.admit(LEG), Passed)


def test_reset_closes_it_for_all(make):
    one, two = make(), make()
    fail(one)
    assert state(two) == "open"
    two.reset(LEG)
    assert (state(one), state(two)) == ("closed", "closed")
    assert one.health([LEG])[LEG]["calls"] == 0


def test_another_namespace_and_another_leg_have_circuits_of_their_own(make):
    fail(make())
    assert state(make(namespace="other")) == "closed"
    assert make().health(["x"])["x"]["state"] == "closed"


def test_keys_are_named_after_the_namespace_and_end_by_themselves(make, client):
    breaker = make(namespace="team-a")
    fail(breaker)
    keys = client.keys("*")
    assert keys == [f"team-a:breaker:{{{LEG}}}".encode()]
    assert 0 < client.ttl(keys[0]) <= 30 + 300 + 120 + 15 + 1


# ------------------------------------------------------------------- exact numbers


@pytest.mark.parametrize("probes", [1, 3])
def test_of_200_threads_through_four_breakers_exactly_the_probes_pass(
    make, clock, probes
):
    breakers = opened(make, clock, half_open_probes=probes)
    start = threading.Barrier(200)
    found = []

    def one(breaker):
        start.wait()
        found.append(breaker.admit(LEG))

    threads = [
        threading.Thread(target=one, args=(breakers[at % 4],)) for at in range(200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = [one for one in found if isinstance(one, Passed)]
    assert (len(found), len(passed)) == (200, probes)
    for ticket in passed:
        ticket.succeed()
    for breaker in breakers:
        breaker.health([LEG])
    assert [state(one) for one in breakers] == ["closed"] * 4


@pytest.mark.parametrize("probes", [1, 3])
def test_of_200_tasks_through_four_breakers_exactly_the_probes_pass(
    make, clock, probes
):
    breakers = opened(make, clock, half_open_probes=probes)

    async def main():
        found = await asyncio.gather(
            *(breakers[at % 4].aadmit(LEG) for at in range(200))
        )
        passed = [one for one in found if isinstance(one, Passed)]
        for ticket in passed:
            ticket.succeed()
        for breaker in breakers:
            await breaker.ahealth([LEG])
        told = [(await one.ahealth([LEG]))[LEG]["state"] for one in breakers]
        for breaker in breakers:
            await breaker.aclose()
        return len(passed), told

    assert asyncio.run(main()) == (probes, ["closed"] * 4)


def test_the_probe_of_a_process_that_was_killed_is_given_to_another(make, clock):
    one, two, *_ = opened(make, clock, probe_timeout_s=60)
    lost = one.admit(LEG)
    assert isinstance(two.admit(LEG), Refusal)
    clock.now += 60
    second = two.admit(LEG)
    assert isinstance(second, Passed)
    lost.fail(down())
    assert state(one) == "half-open"
    second.succeed()
    assert state(two) == "closed"


def test_a_probe_whose_task_was_cancelled_is_given_back(make, clock):
    one, two, *_ = opened(make, clock)

    async def main():
        leg = one._leg(LEG)
        arun = leg._sharing.arun

        taken = asyncio.Event()

        async def late(*arguments):
            await arun(*arguments)
            taken.set()
            await asyncio.sleep(60)

        leg._sharing.arun = late
        task = asyncio.create_task(one.aadmit(LEG))
        await taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        leg._sharing.arun = arun
        await one.ahealth([LEG])
        await one.aclose()

    asyncio.run(main())
    assert isinstance(two.admit(LEG), Passed)


def test_a_closed_circuit_asks_redis_once_a_second_at_most(make, clock):
    breaker = make()
    breaker.admit(LEG).succeed()
    sharing = breaker._sharing
    asked = []
    run = sharing.run
    sharing.run = lambda *arguments: (
        asked.append(threading.get_ident()) or run(*arguments)
    )
    for _ in range(500):
        breaker.admit(LEG).succeed()
    assert threading.get_ident() not in asked
    clock.now += FRESH_S
    breaker.admit(LEG).succeed()
    assert asked.count(threading.get_ident()) == 1
    sharing.run = run
    assert breaker.health([LEG])[LEG]["calls"] == 502


def test_a_child_process_tells_by_a_thread_of_its_own(make):
    breaker = make()
    breaker.admit(LEG).succeed()
    sharing = breaker._sharing
    sharing._process = -1  # as in a child: the thread has stayed in the parent
    breaker.admit(LEG).fail(down())
    deadline = time.monotonic() + 10
    while breaker._leg(LEG)._view.counts.failures != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ------------------------------------------------------- the script is the other one


Step = st.one_of(
    st.tuples(st.just("come"), st.none()),
    st.tuples(st.sampled_from(["ok", "bad", "429", "left"]), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 5.0, 30.0])),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(Step, min_size=10, max_size=60), probes=st.integers(1, 2))
def test_the_script_does_what_the_circuit_of_one_process_does(
    server, client, steps, probes
):
    client.flushall()
    clock = Clock()
    options = {
        "min_calls": 3,
        "window_s": 10,
        "open_s": 5,
        "max_open_s": 30,
        "half_open_probes": probes,
        "probe_timeout_s": 20,
        "clock": clock,
    }
    alone = CircuitBreaker(**options)
    shared = CircuitBreaker(redis=server.url, **options)
    held = []

    def same():
        # Whoever is refused while others probe asks again a little later.
        shared._leg(LEG)._view.busy_until = 0.0
        one, two = alone.health([LEG])[LEG], shared.health([LEG])[LEG]
        for name in ("state", "calls", "failures", "trips", "failure_rate"):
            assert one[name] == two[name], name
        assert two["retry_after_s"] == pytest.approx(one["retry_after_s"], abs=1e-3)

    # By chance alone it is hardly ever closed again.
    life = [*[("come", None), ("bad", 0)] * 3, ("wait", 5.0)]
    life += [*[("come", None), ("ok", 0)] * probes]
    try:
        for what, number in [*life, *steps, *life, ("wait", 30.0), *life]:
            if what == "come":
                one, two = alone.admit(LEG), shared.admit(LEG)
                assert type(one) is type(two)
                if isinstance(one, Passed):
                    held.append((one, two))
                else:
                    assert one.reason == two.reason
            elif what == "wait":
                clock.now += number
            elif held:
                for ticket in held.pop(number % len(held)):
                    if what == "ok":
                        ticket.succeed()
                    elif what == "left":
                        ticket.release()
                    elif what == "429":
                        error = RateLimitError("x", status_code=429, retry_after_s=4.0)
                        ticket.fail(error)
                    else:
                        ticket.fail(down())
            same()
    finally:
        shared.close()


# --------------------------------------------------------------- while Redis is away


@pytest.mark.unwatched
def test_without_redis_each_goes_on_alone_and_it_is_said_once(clock, caplog):
    with RedisServer(find_server(), password=PASSWORD) as server:
        breaker = CircuitBreaker(redis=server.url, min_calls=4, clock=clock)
        breaker.admit(LEG).succeed()
        breaker.health([LEG])
        server.stop()
        clock.now += FRESH_S
        for _ in range(3):  # with the one before they are four
            breaker.admit(LEG).fail(down())
        assert breaker.admit(LEG).reason == "circuit open"
        row = breaker.health([LEG])[LEG]
        assert (row["state"], row["shared"]) == ("open", None)
        warned = [one for one in caplog.messages if "cannot be used" in one]
        assert len(warned) == 1
        assert PASSWORD not in caplog.text
        assert f"127.0.0.1:{server.port}" in warned[0]
        with RedisServer(find_server(), password=PASSWORD, port=server.port):
            breaker._sharing._server._down_until = 0.0  # the pause is over
            assert state(breaker) == "closed"
            assert isinstance(breaker.admit(LEG), Passed)
        breaker.close()


@pytest.mark.unwatched
def test_what_was_open_stays_open_while_redis_is_away(clock):
    with RedisServer(find_server(), password=PASSWORD) as server:
        one = CircuitBreaker(redis=server.url, clock=clock)
        two = CircuitBreaker(redis=server.url, clock=clock)
        fail(one)
        assert state(two) == "open"
    two._leg(LEG).refresh()
    assert two.admit(LEG).reason == "circuit open"
    clock.now += 15
    two.admit(LEG).succeed()
    assert state(two) == "closed"
    for breaker in (one, two):
        breaker.close()


@pytest.mark.unwatched
def test_a_task_is_not_held_up_when_redis_is_away(caplog):
    with RedisServer(find_server()) as server:
        breaker = CircuitBreaker(redis=server.url)

    async def main():
        ticket = await breaker.aadmit(LEG)
        ticket.succeed()
        await breaker.ahealth([LEG])
        await breaker.aclose()
        return ticket.is_local

    assert asyncio.run(main())
    assert len([one for one in caplog.messages if "cannot be used" in one]) == 1


@pytest.mark.unwatched
def test_a_task_that_asks_when_redis_has_just_gone_goes_on_alone(clock):
    with RedisServer(find_server()) as server:
        breaker = CircuitBreaker(redis=server.url, clock=clock)

        async def main():
            (await breaker.aadmit(LEG)).succeed()
            server.stop()
            clock.now += FRESH_S
            ticket = await breaker.aadmit(LEG)
            ticket.succeed()
            await breaker.aclose()
            return ticket.is_local

        assert asyncio.run(main())


def test_a_thread_that_is_interrupted_gives_its_probe_back(make, clock, monkeypatch):
    one, two, *_ = opened(make, clock)
    run = one._sharing.run

    def interrupted(*arguments):
        run(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(one._sharing, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.admit(LEG)
    monkeypatch.undo()
    one.health([LEG])
    assert isinstance(two.admit(LEG), Passed)


def test_a_probe_that_tells_nothing_is_given_to_another(make, clock):
    one, two, *_ = opened(make, clock)
    one.admit(LEG).release()
    assert state(one) == "half-open"
    assert isinstance(two.admit(LEG), Passed)


def test_a_url_may_have_timeouts_of_its_own():
    ours = "redis://h/0?socket_connect_timeout=1&socket_timeout=1"
    assert _impatient("redis://h/0") == ours
    both = "redis://h/0?socket_timeout=9&socket_connect_timeout=9"
    assert _impatient(both) == both
    assert _impatient("redis://h/0?socket_timeout=9").endswith(
        "9&socket_connect_timeout=1"
    )


def test_no_password_is_shown(make, caplog):
    breaker = make()
    with caplog.at_level(logging.DEBUG):
        breaker.admit(LEG)
    for shown in (repr(breaker), repr(breaker._sharing), caplog.text):
        assert PASSWORD not in shown
    assert "redis='redis://127.0.0.1:" in repr(breaker)
