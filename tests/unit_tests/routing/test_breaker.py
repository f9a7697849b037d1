"""The circuit breaker of one process, under a clock that stands still."""

import asyncio
import copy
import gc
import logging
import os
import pickle
import threading
from types import SimpleNamespace

import pytest

from langchain_cerebras_ext import errors
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing.breaker import CircuitBreaker, Passed, Refusal
from langchain_cerebras_ext.routing.policy import asked_wait_s

LEG = "cerebras::gpt-oss-120b"


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    def make(**options):
        return CircuitBreaker(**{"clock": clock, **options})

    return make


def down(message="it is down"):
    return errors.InternalServerError(message, status_code=503)


def call(breaker, *, error=None, leg=LEG):
    ticket = breaker.admit(leg)
    assert isinstance(ticket, Passed), ticket
    if error is None:
        ticket.succeed()
    else:
        ticket.fail(error)


def fail(breaker, times, error=None):
    for _ in range(times):
        call(breaker, error=error or down())


def state(breaker, leg=LEG):
    return breaker.health([leg])[leg]["state"]


# --------------------------------------------------------------------------- opening


def test_a_leg_that_works_is_never_held_back(make):
    breaker = make()
    for _ in range(100):
        call(breaker)
    assert breaker.health()[LEG]["failure_rate"] == 0.0
    assert state(breaker) == "closed"


@pytest.mark.parametrize(
    ("good", "bad", "opens"),
    [(0, 9, False), (0, 10, True), (6, 5, False), (5, 5, True), (20, 19, False)],
    ids=["too-few", "just-enough", "below-the-rate", "at-the-rate", "long-below"],
)
def test_it_opens_at_the_rate_once_there_are_enough_calls(make, good, bad, opens):
    breaker = make(min_calls=10, failure_rate=0.5)
    for _ in range(good):
        call(breaker)
    fail(breaker, bad)
    assert (state(breaker) == "open") is opens


def test_a_rate_that_no_float_holds_is_still_met(make):
    breaker = make(min_calls=10, failure_rate=0.3)
    for _ in range(7):
        call(breaker)
    fail(breaker, 3)
    assert state(breaker) == "open"


def test_an_open_circuit_says_why_and_until_when(make, clock):
    breaker = make(open_s=15)
    fail(breaker, 10)
    clock.now += 5
    refusal = breaker.admit(LEG)
    assert refusal == Refusal("circuit open", 10.0)


def test_each_leg_has_a_circuit_of_its_own(make):
    breaker = make()
    fail(breaker, 10)
    assert state(breaker) == "open"
    call(breaker, leg="openai::gpt-5.4")


def test_calls_count_for_one_window_and_no_longer(make, clock):
    breaker = make(window_s=30, min_calls=10)
    fail(breaker, 9)
    clock.now += 30
    fail(breaker, 9)
    assert state(breaker) == "closed"
    assert breaker.health()[LEG]["calls"] == 9
    fail(breaker, 1)
    assert state(breaker) == "open"


def test_calls_count_for_nine_tenths_of_the_window_at_least(make, clock):
    breaker = make(window_s=30, min_calls=10)
    fail(breaker, 9)
    clock.now += 26.9
    fail(breaker, 1)
    assert state(breaker) == "open"


@pytest.mark.parametrize(
    ("slices", "left"), [(0, 10), (1, 9), (4, 6), (9, 1), (10, 0), (15, 0), (999, 0)]
)
def test_the_window_slides_by_tenths(make, clock, slices, left):
    breaker = make(window_s=30, min_calls=100)
    for _ in range(10):
        clock.now += 3
        call(breaker)
    clock.now += 3 * slices
    assert breaker.health()[LEG]["calls"] == left


def test_a_clock_that_steps_back_does_no_harm(make, clock):
    breaker = make(min_calls=10)
    fail(breaker, 5)
    clock.now -= 100
    fail(breaker, 5)
    assert state(breaker) == "open"


# ------------------------------------------------------------------------- half-open


def opened(make, clock, **options):
    breaker = make(open_s=15, **options)
    fail(breaker, options.get("min_calls", 10))
    clock.now += 15
    return breaker


def test_one_probe_passes_and_closes_it(make, clock):
    breaker = opened(make, clock)
    probe = breaker.admit(LEG)
    assert breaker.admit(LEG).reason == "circuit half-open, probes under way"
    assert state(breaker) == "half-open"
    probe.succeed()
    assert state(breaker) == "closed"
    assert breaker.health()[LEG]["calls"] == 0
    for _ in range(50):
        call(breaker)


def test_a_probe_that_fails_opens_it_for_longer(make, clock):
    breaker = opened(make, clock, backoff=2, max_open_s=50)
    waits = []
    for _ in range(4):
        breaker.admit(LEG).fail(down())
        wait_s = breaker.admit(LEG).retry_after_s
        waits.append(wait_s)
        clock.now += wait_s
    assert waits == [30, 50, 50, 50]
    call(breaker)
    fail(breaker, 10)
    assert breaker.admit(LEG).retry_after_s == 15


def test_several_probes_must_all_succeed(make, clock):
    breaker = opened(make, clock, half_open_probes=3)
    probes = [breaker.admit(LEG) for _ in range(3)]
    assert isinstance(breaker.admit(LEG), Refusal)
    probes[0].succeed()
    assert isinstance(breaker.admit(LEG), Refusal)
    probes[1].succeed()
    assert state(breaker) == "half-open"
    probes[2].succeed()
    assert state(breaker) == "closed"


def test_one_failed_probe_of_several_opens_it_and_the_others_tell_nothing(make, clock):
    breaker = opened(make, clock, half_open_probes=3)
    probes = [breaker.admit(LEG) for _ in range(3)]
    probes[0].succeed()
    probes[1].fail(down())
    assert state(breaker) == "open"
    probes[2].succeed()
    assert state(breaker) == "open"
    clock.now += 30
    assert len([1 for _ in range(9) if isinstance(breaker.admit(LEG), Passed)]) == 3


def test_a_probe_that_tells_nothing_makes_room_for_another(make, clock):
    breaker = opened(make, clock)
    breaker.admit(LEG).release()
    assert state(breaker) == "half-open"
    call(breaker)
    assert state(breaker) == "closed"


def test_a_lost_probe_makes_room_in_the_end(make, clock):
    breaker = opened(make, clock, probe_timeout_s=60)
    lost = breaker.admit(LEG)
    clock.now += 59
    assert isinstance(breaker.admit(LEG), Refusal)
    clock.now += 1
    second = breaker.admit(LEG)
    lost.succeed()
    assert state(breaker) == "half-open"
    second.succeed()
    assert state(breaker) == "closed"


def test_what_passed_before_it_opened_tells_nothing_after(make, clock):
    breaker = make(open_s=15)
    early = [breaker.admit(LEG) for _ in range(30)]
    fail(breaker, 10)
    for ticket in early[:15]:
        ticket.succeed()
    assert state(breaker) == "open"
    clock.now += 15
    call(breaker)
    assert state(breaker) == "closed"
    for ticket in early[15:]:
        ticket.fail(down())
    assert state(breaker) == "closed"
    assert breaker.health()[LEG]["calls"] == 0


def test_a_ticket_ends_once(make):
    breaker = make(min_calls=2)
    ticket = breaker.admit(LEG)
    ticket.succeed()
    ticket.fail(down())
    ticket.succeed()
    ticket.release()
    assert breaker.health()[LEG]["calls"] == 1
    assert breaker.health()[LEG]["failures"] == 0


# -------------------------------------------------------------------- two hundred at once


@pytest.mark.parametrize("probes", [1, 3])
def test_of_200_threads_exactly_the_probes_pass(make, clock, probes):
    breaker = opened(make, clock, half_open_probes=probes)
    start = threading.Barrier(200)
    found = []

    def one():
        start.wait()
        found.append(breaker.admit(LEG))

    threads = [threading.Thread(target=one) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = [one for one in found if isinstance(one, Passed)]
    assert len(found) == 200
    assert len(passed) == probes
    for ticket in passed:
        ticket.succeed()
    assert state(breaker) == "closed"


@pytest.mark.parametrize("probes", [1, 3])
def test_of_200_tasks_exactly_the_probes_pass(make, clock, probes):
    breaker = opened(make, clock, half_open_probes=probes)

    async def one():
        await asyncio.sleep(0)
        ticket = await breaker.aadmit(LEG)
        if isinstance(ticket, Refusal):
            return 0
        await asyncio.sleep(0.01)
        ticket.succeed()
        return 1

    async def main():
        return sum(await asyncio.gather(*(one() for _ in range(200))))

    assert asyncio.run(main()) == probes
    assert state(breaker) == "closed"


def test_no_call_is_lost_between_threads(make):
    breaker = make(failure_rate=1, min_calls=10_000)

    def work():
        for at in range(500):
            call(breaker, error=down() if at % 5 == 0 else None)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    health = breaker.health()[LEG]
    assert (health["calls"], health["failures"]) == (4_000, 800)
    assert health["failure_rate"] == 0.2


def test_a_stream_that_is_collected_while_another_call_ends_does_not_hang(make):
    breaker = make()

    def stream():
        ticket = breaker.admit(LEG)
        try:
            yield 1
        finally:
            ticket.release()

    leg = breaker._leg(LEG)
    with leg.lock:
        abandoned = stream()
        next(abandoned)
        ring = [abandoned]
        ring.append(ring)
        del abandoned, ring
        gc.collect()
    call(breaker)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_can_go_on_though_a_thread_of_the_parent_held_a_lock(make):
    breaker = make()
    call(breaker)
    leg = breaker._leg(LEG)
    holds, done = threading.Event(), threading.Event()

    def hold():
        with leg.lock:
            holds.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        call(breaker)
        os._exit(breaker.health()[LEG]["calls"])
    done.set()
    thread.join()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2


# ----------------------------------------------------------------------- what counts


@pytest.mark.parametrize(
    "error",
    [
        down(),
        errors.CerebrasTimeoutError("late"),
        errors.CerebrasConnectionError("reset"),
        errors.StreamInterruptedError("cut"),
        errors.EmptyResponseError("nothing"),
        errors.ModelRetiredError("gone", status_code=404),
        TimeoutError(),
        ConnectionResetError(),
        RuntimeError("whatever the router takes for the leg's fault"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failures_of_the_service_count(make, error):
    breaker = make(min_calls=2)
    fail(breaker, 2, error)
    assert state(breaker) == "open"


def test_released_calls_never_count(make):
    breaker = make(min_calls=1)
    for _ in range(50):
        breaker.admit(LEG).release()
    assert breaker.health()[LEG]["calls"] == 0


def limited(**data):
    return errors.RateLimitError("slow down", status_code=429, **data)


def test_a_429_is_no_failure_but_the_leg_is_left_alone_as_asked(make, clock):
    breaker = make(min_calls=1, failure_rate=0.1)
    call(breaker, error=limited(retry_after_s=7.5))
    assert breaker.admit(LEG) == Refusal("the service asked to wait", 7.5)
    health = breaker.health()[LEG]
    assert (health["state"], health["failures"]) == ("paused", 0)
    assert health["retry_after_s"] == 7.5
    clock.now += 7.5
    assert state(breaker) == "closed"
    for _ in range(20):  # no probes: the service has said when to come again
        assert isinstance(breaker.admit(LEG), Passed)


def test_a_429_without_a_time_changes_nothing(make):
    breaker = make(min_calls=1)
    fail(breaker, 20, limited())
    assert state(breaker) == "closed"


def test_a_spent_quota_is_left_alone_for_a_while_and_never_for_hours(make):
    breaker = make(open_s=15, max_open_s=300)
    call(breaker, error=limited(window="day"))
    assert breaker.admit(LEG).retry_after_s == 15
    other = make(open_s=15, max_open_s=300)
    call(other, error=limited(window="day", retry_after_s=40_000.0))
    assert other.admit(LEG).retry_after_s == 300


def test_a_shorter_wait_does_not_end_a_longer_one(make):
    breaker = make()
    first, second = breaker.admit(LEG), breaker.admit(LEG)
    first.fail(limited(retry_after_s=20.0))
    second.fail(limited(retry_after_s=2.0))
    assert breaker.admit(LEG).retry_after_s == 20


def test_a_probe_that_is_told_to_wait_opens_nothing(make, clock):
    breaker = opened(make, clock)
    breaker.admit(LEG).fail(limited(retry_after_s=5.0))
    assert breaker.admit(LEG).reason == "the service asked to wait"
    clock.now += 5
    call(breaker)
    assert state(breaker) == "closed"


def test_the_header_of_a_foreign_error_is_read(make):
    class ForeignError(Exception):
        status_code = 429
        response = SimpleNamespace(headers={"retry-after": "12"})

    breaker = make()
    call(breaker, error=ForeignError())
    assert breaker.admit(LEG).retry_after_s == 12


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-5"}, 0.0),
        ({}, None),
        (None, None),
        ("odd", None),
    ],
)
def test_waits_are_read_where_they_can_be(headers, wait_s):
    error = RuntimeError("x")
    error.response = SimpleNamespace(headers=headers)
    assert asked_wait_s(error) == wait_s


def test_an_error_that_cannot_say_what_it_is_counts(make):
    class MuteError(Exception):
        def __str__(self):
            raise ValueError

    breaker = make(min_calls=2)
    fail(breaker, 2, MuteError())
    assert state(breaker) == "open"
    assert breaker.health()[LEG]["last_error"]["message"] == ""


def test_a_ticket_that_was_released_ends_no_more(make, clock):
    breaker = opened(make, clock)
    probe = breaker.admit(LEG)
    probe.release()
    probe.release()
    probe.fail(down())
    assert state(breaker) == "half-open"


def test_a_service_that_names_a_time_when_it_fails_is_left_alone_so_long(make):
    breaker = make(min_calls=2, open_s=15)
    fail(breaker, 2, errors.InternalServerError("x", status_code=503, retry_after_s=60))
    assert breaker.admit(LEG).retry_after_s == 60


def test_your_own_rule_decides_alone(make):
    breaker = make(min_calls=2, is_failure=lambda error: "quota" in str(error))
    fail(breaker, 5)
    assert state(breaker) == "closed"
    fail(breaker, 2, errors.RateLimitError("quota", status_code=429, retry_after_s=9.0))
    assert breaker.admit(LEG).reason == "circuit open"


@pytest.mark.unwatched
def test_a_rule_that_raises_counts_the_failure(make, caplog):
    breaker = make(min_calls=2, is_failure=lambda error: 1 / 0)
    fail(breaker, 2)
    assert state(breaker) == "open"
    assert "cannot be judged" in caplog.text


def test_slow_answers_count_where_asked_for(make, clock):
    breaker = make(min_calls=3, slow_call_s=2)
    for spoke_s in (1, 3):
        ticket = breaker.admit(LEG)
        clock.now += spoke_s
        ticket.spoke()
        clock.now += 10  # a long answer that began in time is fine
        ticket.succeed()
    row = breaker.health()[LEG]
    assert (row["calls"], row["failures"], row["slow_calls"]) == (2, 1, 1)
    ticket = breaker.admit(LEG)
    clock.now += 2.5
    ticket.succeed()
    assert state(breaker) == "open"


# ---------------------------------------------------------------------------- health


def test_health_tells_times_and_the_last_error_without_secrets(make, clock):
    breaker = make()
    for first_s, rest_s in [(0.1, 1.0), (0.2, 2.0), (0.3, 3.0)]:
        ticket = breaker.admit(LEG)
        clock.now += first_s
        ticket.spoke()
        clock.now += rest_s
        ticket.succeed()
    call(breaker, error=down("Bearer csk-abcdefghijklmnop was no good"))
    row = breaker.health([LEG])[LEG]
    assert row["ttft_s"] == pytest.approx({"calls": 3, "p50": 0.2, "p95": 0.3})
    assert row["answer_s"] == pytest.approx({"calls": 3, "p50": 2.2, "p95": 3.3})
    assert row["last_error"]["type"] == "InternalServerError"
    assert row["last_error"]["status_code"] == 503
    assert "csk-abc" not in row["last_error"]["message"]
    assert row["shared"] is None


def test_health_of_a_leg_that_was_never_asked_is_empty(make):
    row = make().health(["new"])["new"]
    assert row["state"] == "closed"
    assert row["failure_rate"] is None
    assert row["last_error"] is row["ttft_s"] is row["answer_s"] is None


def test_health_is_the_same_in_a_loop(make):
    breaker = make()
    fail(breaker, 3)
    assert asyncio.run(breaker.ahealth()) == breaker.health()


def test_the_error_itself_is_not_kept(make):
    breaker = make()
    error = RuntimeError("big")
    call(breaker, error=error)
    assert not [one for one in gc.get_referrers(error) if isinstance(one, (dict, list))]


def test_changes_are_told_and_logged(make, clock, caplog):
    told = []
    breaker = make(on_change=lambda *change: told.append(change), open_s=15)
    with caplog.at_level(logging.INFO, "langchain_cerebras_ext.breaker"):
        fail(breaker, 10)
        clock.now += 15
        call(breaker)
    assert told == [
        (LEG, "closed", "open"),
        (LEG, "open", "half-open"),
        (LEG, "half-open", "closed"),
    ]
    opened = "circuit open for 15 s; 10 of the last 10 calls failed, at last with"
    assert caplog.messages == [
        f"Leg {LEG!r}: {opened} InternalServerError.",
        f"Leg {LEG!r}: circuit half-open.",
        f"Leg {LEG!r}: circuit closed.",
    ]


@pytest.mark.unwatched
def test_a_listener_that_raises_harms_no_call(make, caplog):
    breaker = make(on_change=lambda *change: 1 / 0)
    fail(breaker, 10)
    assert state(breaker) == "open"
    assert "on_change has failed" in caplog.text


def test_reset_closes_one_leg_or_all(make):
    breaker = make(min_calls=1)
    call(breaker, error=down(), leg="a")
    call(breaker, error=down(), leg="b")
    breaker.reset("a")
    assert (state(breaker, "a"), state(breaker, "b")) == ("closed", "open")
    breaker.reset()
    assert state(breaker, "b") == "closed"


# ------------------------------------------------------------------------- arguments


def test_a_copy_is_the_same_and_a_pickle_begins_anew():
    breaker = CircuitBreaker(min_calls=1)
    call(breaker, error=down())
    assert copy.copy(breaker) is copy.deepcopy(breaker) is breaker
    other = pickle.loads(pickle.dumps(breaker))
    assert state(other) == "closed"
    assert repr(other) == repr(breaker)
    breaker.close()
    asyncio.run(breaker.aclose())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failure_rate", 0),
        ("failure_rate", 1.1),
        ("failure_rate", True),
        ("failure_rate", float("nan")),
        ("window_s", 0),
        ("window_s", float("inf")),
        ("min_calls", 0),
        ("min_calls", 2.5),
        ("open_s", -1),
        ("half_open_probes", 0),
        ("half_open_probes", True),
        ("backoff", 0.5),
        ("max_open_s", 1),
        ("max_open_s", "5"),
        ("probe_timeout_s", 0),
        ("slow_call_s", 0),
        ("namespace", ""),
        ("is_failure", 3),
        ("clock", 3),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(name, value):
    with pytest.raises(CerebrasConfigurationError, match=f"{name}=") as caught:
        CircuitBreaker(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("url", ["http://x", "redis://:hunter2@127.0.0.1:1x/0"])
def test_a_wrong_address_is_refused_without_its_password(url):
    with pytest.raises(CerebrasConfigurationError) as caught:
        CircuitBreaker(redis=url)
    assert "hunter2" not in str(caught.value)
