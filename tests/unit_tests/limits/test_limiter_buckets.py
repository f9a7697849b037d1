"""The arithmetic: our bucket never has more than the service's, whatever the network."""

from __future__ import annotations

import heapq
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext._limits._buckets import MARGIN, Amounts, BucketSet
from langchain_cerebras_ext._limits._learning import Closure, Reading, read_headers
from langchain_cerebras_ext._limits._numbers import Limit
from langchain_cerebras_ext.simulator.faults import Fault
from langchain_cerebras_ext.simulator.limits import Limiter
from langchain_cerebras_ext.simulator.profiles import Rates

LATENCY_S = 1.0
ROUND_TRIP_S = LATENCY_S / 4


def make(*limits, latency_s=0.0, learn=True):
    return BucketSet(
        [Limit(*limit) for limit in limits], latency_s=latency_s, learn=learn
    )


def need(tokens=1.0, requests=1):
    return Amounts(requests, tokens, tokens)


def level(buckets, now, key="requests/minute"):
    kind, _, window = key.partition("/")
    for bucket in buckets.buckets:
        if (bucket.kind, bucket.window) == (kind, window):
            return bucket.level(now)
    raise KeyError(key)


def test_five_requests_may_go_at_once_and_the_sixth_a_fifth_of_a_minute_later():
    buckets = make(("requests", "minute", 5))
    for _ in range(5):
        assert buckets.wait_s(100.0, need()) == 0
        buckets.take(100.0, need())
    assert buckets.wait_s(100.0, need()) == pytest.approx(12 / (1 - MARGIN), abs=0.001)
    assert buckets.wait_s(112.1, need()) == 0


def test_a_full_bucket_refills_from_when_the_request_may_have_arrived():
    buckets = make(("requests", "minute", 5), latency_s=1.0)
    for _ in range(5):
        buckets.take(100.0, need())
    assert level(buckets, 101.0) == pytest.approx(0)
    wait = buckets.wait_s(100.0, need())
    assert wait == pytest.approx(13.0, abs=0.02)
    assert buckets.wait_s(100.0 + wait, need()) == 0


def test_a_wait_is_over_when_it_says_so():
    buckets = make(("uncached", "minute", 30_000), latency_s=1.0)
    buckets.take(0.0, need(29_000))
    wait = buckets.wait_s(0.0, need(20_000))
    assert buckets.wait_s(wait - 0.01, need(20_000)) > 0
    assert buckets.wait_s(wait, need(20_000)) == 0


def test_what_was_not_used_is_given_back():
    buckets = make(("tokens", "minute", 30_000))
    at = buckets.take(0.0, need(16_384))
    assert level(buckets, 0.0, "tokens/minute") == pytest.approx(13_616)
    buckets.settle(0.0, need(16_384), need(384), at)
    assert level(buckets, 0.0, "tokens/minute") == pytest.approx(29_616)
    assert buckets.under_way == [0, 0, 0]


def test_what_was_used_more_is_taken():
    buckets = make(("tokens", "minute", 30_000))
    at = buckets.take(0.0, need(1_000))
    buckets.settle(0.0, need(1_000), need(40_000), at)
    assert level(buckets, 0.0, "tokens/minute") == pytest.approx(-10_000)
    assert buckets.wait_s(0.0, need(1)) == pytest.approx(20, abs=0.1)


def test_what_nobody_knows_stays_spent_and_is_no_longer_under_way():
    buckets = make(("tokens", "minute", 30_000))
    buckets.take(0.0, need(10_000))
    buckets.lose(need(10_000))
    assert level(buckets, 0.0, "tokens/minute") == pytest.approx(20_000)
    assert buckets.under_way == [0, 0, 0]


def test_who_comes_late_for_his_turn_sends_late_and_is_counted_from_then():
    """Else the bucket would be taken as refilling while the service's is full."""
    buckets = make(("requests", "minute", 5), latency_s=1.0)
    at = buckets.take(0.0, need())
    assert buckets.claim(0.005, need(), at) is at
    assert level(buckets, 30.0) == 5
    later = buckets.claim(30.0, need(), at)
    assert later.at == 30.0
    assert level(buckets, 31.0) == pytest.approx(4)
    assert buckets.under_way == [1, 1, 1]


def test_each_kind_is_counted_in_its_own_buckets():
    buckets = make(
        ("requests", "day", 10), ("tokens", "hour", 900), ("uncached", "minute", 300)
    )
    at = buckets.take(0.0, Amounts(1, 200, 200))
    buckets.settle(0.0, Amounts(1, 200, 200), Amounts(1, 150, 50), at)
    assert level(buckets, 0.0, "requests/day") == pytest.approx(9)
    assert level(buckets, 0.0, "tokens/hour") == pytest.approx(750)
    assert level(buckets, 0.0, "uncached/minute") == pytest.approx(250)


def test_what_exceeds_a_capacity_is_found():
    buckets = make(("uncached", "minute", 300), ("tokens", "minute", 900))
    assert buckets.exceeded(need(300)) is None
    found = buckets.exceeded(need(301))
    assert (found.kind, found.capacity) == ("uncached", 300)


def test_the_least_wait_supposes_that_all_tokens_come_back_but_no_request():
    buckets = make(("requests", "minute", 5), ("tokens", "minute", 60_000))
    for _ in range(3):
        buckets.take(0.0, need(20_000))
    assert buckets.wait_s(0.0, need(20_000)) > 19
    assert buckets.least_wait_s(0.0, need(20_000)) == 0
    assert buckets.least_wait_s(0.0, need(20_000), 2) == pytest.approx(12, abs=0.1)


# ------------------------------------------------------------ against the service

BIG = 10**9


@st.composite
def runs(draw):
    """Requests, each with its size, its ways and how long its answer takes."""
    capacity = draw(st.sampled_from([100, 1_000, 30_000]))
    request = st.tuples(
        st.floats(0, 8),  # asked for so long after the one before
        st.integers(1, capacity),  # reserved
        st.floats(0, 1),  # the part of it that is used
        st.floats(0, ROUND_TRIP_S / 2),
        st.floats(0, 20),
        st.floats(0, ROUND_TRIP_S / 2),
    )
    rate = draw(st.sampled_from([2, 5, 30, 1_000]))
    return capacity, rate, draw(st.lists(request, min_size=1, max_size=40))


def replay(capacity, rate, requests, *, learn):
    """Play a run in order of time; yields each admission by the service, or refusal."""
    rates = Rates(rate, BIG, capacity, 3 * capacity, 4 * capacity)
    ours = make(
        ("requests", "minute", rate, "catalog"),
        ("uncached", "minute", capacity, "catalog"),
        ("tokens", "minute", 3 * capacity, "catalog"),
        ("tokens", "hour", 4 * capacity, "catalog"),
        latency_s=LATENCY_S,
    )
    service = Limiter(rates, 0.0, enforced=True)
    number = itertools.count()
    events = []  # (time, tie-breaker, step, data)
    asked, free_at = 0.0, 0.0
    for request in requests:
        asked = max(asked + request[0], free_at)
        # Everything that happens before this request is asked for, and until it may go.
        while True:
            while events and events[0][0] <= asked:
                yield from step(events, number, service, ours, learn)
            wait = ours.wait_s(asked, need(request[1]))
            if wait <= 0:
                break
            due = asked + wait
            asked = min(due, events[0][0]) if events else due
        free_at = asked
        at = ours.take(asked, need(request[1]))
        heapq.heappush(
            events, (asked + request[3], next(number), "arrive", (request, at))
        )
    while events:
        yield from step(events, number, service, ours, learn)


def step(events, number, service, ours, learn):
    now, _, what, data = heapq.heappop(events)
    request, at = data[0], data[1]
    _, reserved, share, _, takes_s, back_s = request
    used = int(reserved * share)
    for bucket in ours.buckets:
        assert bucket.level(now) <= bucket.capacity
    if what == "arrive":
        held = service.admit(now, prompt=reserved, cached=0, completion=0)
        yield now, held
        heapq.heappush(
            events, (now + takes_s, next(number), "end", (request, at, held))
        )
    elif what == "end":
        service._refill(now)
        service.settle(data[2], tokens=used, uncached=used)
        told = service.headers(now)
        heapq.heappush(
            events, (now + back_s, next(number), "here", (request, at, told))
        )
    else:
        ours.settle(now, need(reserved), need(used), at)
        if learn:
            for reading in read_headers(data[2]):
                ours.learn(now, reading, need(used), at)


@pytest.mark.parametrize("learn", [False, True], ids=["fixed", "learning"])
@settings(max_examples=150, deadline=None)
@given(run=runs())
def test_nothing_that_we_let_go_is_refused_by_the_service(learn, run):
    """For any sizes, ways and answers, in any order."""
    for now, held in replay(*run, learn=learn):
        assert not isinstance(held, Fault), f"refused at {now}: {held}"


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.floats(0, 30), st.integers(0, 2_000), st.floats(0, 2)), max_size=30
    )
)
def test_a_level_is_never_above_the_capacity(steps):
    buckets = make(("tokens", "minute", 1_000), latency_s=1.0)
    now = 0.0
    for later, amount, share in steps:
        now += later
        at = buckets.take(now, need(amount))
        assert level(buckets, now, "tokens/minute") <= 1_000
        buckets.settle(now + 0.1, need(amount), need(amount * share), at)
        assert level(buckets, now + 0.1, "tokens/minute") <= 1_000 + 1e-6


# ----------------------------------------------------------------------- learning


def test_a_header_makes_a_bucket_that_was_not_known():
    buckets = make()
    at = buckets.take(0.0, need(100))
    buckets.settle(0.0, need(100), need(100), at)
    buckets.learn(0.0, Reading("uncached", "minute", 30_000, 20_000), need(100), at)
    assert level(buckets, 0.0, "uncached/minute") == pytest.approx(20_000)
    assert buckets.buckets[0].source == "learned"


def test_a_level_is_lowered_when_others_spend_from_the_same_account():
    buckets = make(("uncached", "minute", 30_000, "catalog"))
    at = buckets.take(0.0, need(100))
    buckets.settle(1.0, need(100), need(100), at)
    buckets.learn(1.0, Reading("uncached", "minute", 30_000, 4_000), need(100), at)
    # What remained was true at some moment since the request was sent.
    assert level(buckets, 1.0, "uncached/minute") == pytest.approx(4_501, abs=2)


def test_a_level_is_raised_when_more_remains_than_was_thought():
    buckets = make(("uncached", "minute", 30_000, "catalog"))
    buckets.take(0.0, need(15_000))
    buckets.lose(need(15_000))
    at = buckets.take(0.0, need(100))
    buckets.settle(0.0, need(100), need(100), at)
    buckets.learn(0.0, Reading("uncached", "minute", 30_000, 29_000), need(100), at)
    assert level(buckets, 0.0, "uncached/minute") == pytest.approx(29_000)


def test_a_level_is_not_raised_by_what_others_under_way_still_hold():
    buckets = make(("uncached", "minute", 30_000, "catalog"))
    other = buckets.take(0.0, need(12_000))
    at = buckets.take(0.0, need(100))
    buckets.settle(0.0, need(100), need(100), at)
    # It may be that the other one has not arrived there.
    buckets.learn(0.0, Reading("uncached", "minute", 30_000, 29_900), need(100), at)
    assert level(buckets, 0.0, "uncached/minute") == pytest.approx(17_900)
    # ... or that what it gives back is in it already.
    buckets.settle(0.0, need(12_000), need(0), other)
    assert level(buckets, 0.0, "uncached/minute") == pytest.approx(29_900)


def test_an_answer_that_is_late_changes_nothing_that_newer_ones_have_shown():
    buckets = make(("uncached", "minute", 30_000, "catalog"))
    old = buckets.take(0.0, need(100))
    for _ in range(20):
        buckets.take(5.0, need(1_000))
        buckets.lose(need(1_000))
    before = level(buckets, 6.0, "uncached/minute")
    buckets.settle(6.0, need(100), need(100), old)
    buckets.learn(6.0, Reading("uncached", "minute", 30_000, 29_900), need(100), old)
    assert level(buckets, 6.0, "uncached/minute") == pytest.approx(before)


def test_numbers_of_yours_are_lowered_but_never_raised():
    buckets = make(("uncached", "minute", 10_000, "yours"))
    at = buckets.take(0.0, need(100))
    buckets.settle(0.0, need(100), need(100), at)
    buckets.learn(0.0, Reading("uncached", "minute", 30_000, 30_000), need(100), at)
    assert buckets.buckets[0].capacity == 10_000
    assert level(buckets, 0.0, "uncached/minute") == pytest.approx(9_900)
    buckets.learn(0.0, Reading("uncached", "minute", 5_000, 100), need(100), at)
    assert buckets.buckets[0].capacity == 5_000
    assert level(buckets, 0.0, "uncached/minute") == pytest.approx(101)
    buckets.learn(0.0, Reading("uncached", "minute", 30_000, None), need(100), at)
    assert buckets.buckets[0].capacity == 10_000


def test_a_refusal_empties_its_bucket_and_closes_it_as_long_as_told():
    buckets = make(("requests", "minute", 5), ("uncached", "minute", 30_000))
    buckets.close(0.0, Closure(("requests",), "minute", 7.0), need(100))
    assert level(buckets, 0.0) == pytest.approx(0)
    assert level(buckets, 0.0, "uncached/minute") == pytest.approx(30_000)
    assert buckets.closed_for_s(1.0) == {"requests/minute": 6.0}
    assert buckets.wait_s(0.0, need(100)) == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize(
    ("window", "wait_s"), [("second", 1.0), ("hour", 60.0), ("day", 1_440.0)]
)
def test_a_refusal_for_a_limit_that_is_not_known_closes_for_a_while(window, wait_s):
    buckets = make()
    buckets.close(0.0, Closure(("requests",), window, None), need())
    assert buckets.wait_s(0.0, need()) == wait_s
    assert buckets.wait_s(wait_s, need()) == 0


def test_a_limit_a_minute_that_is_not_known_is_guessed_from_what_passed():
    buckets = make()
    for _ in range(12):
        buckets.take(5.0, need())
        buckets.lose(need())
    buckets.close(6.0, Closure(("requests",), "minute", 5.0), need())
    (bucket,) = buckets.buckets
    assert (bucket.source, bucket.capacity) == ("guessed", 12)
    buckets.close(30.0, Closure(("requests",), "minute", 5.0), need())
    assert bucket.capacity == pytest.approx(9.6)
    buckets.grow(89.0)
    assert bucket.capacity == pytest.approx(9.6)
    buckets.grow(91.0)
    assert bucket.capacity == pytest.approx(10.56)


def test_a_guess_gives_way_to_a_request_that_is_larger():
    buckets = make()
    buckets.close(0.0, Closure(("uncached", "tokens"), "minute", 1.0), need(100))
    assert buckets.exceeded(need(5_000)) is None
    assert buckets.buckets[0].capacity == 5_000


def test_an_open_refusal_for_tokens_is_put_to_the_bucket_that_is_known():
    buckets = make(("tokens", "minute", 60_000))
    buckets.close(0.0, Closure(("uncached", "tokens"), "minute", 2.0), need(100))
    assert set(buckets.closed_for_s(0.0)) == {"tokens/minute"}


def test_without_learning_nothing_is_guessed():
    buckets = make(learn=False)
    buckets.close(0.0, Closure(("requests",), "minute", 2.0), need())
    assert buckets.buckets == ()
    assert buckets.wait_s(0.0, need()) == 2.0
