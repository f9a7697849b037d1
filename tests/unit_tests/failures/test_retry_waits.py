"""Every wait between two tries, on a clock of our own: none of these tests waits."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
from call_paths import BETA, PATHS, STREAMED, Clock, answer, call, delta, refusal
from hypothesis import given
from hypothesis import strategies as st
from wire_server import CUT, END, RESET, Request, WireServer, chunk, event, stream_head

from langchain_cerebras_ext import ChatCerebras, _client
from langchain_cerebras_ext._http import AsyncTransport, SyncTransport
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext.errors import (
    CerebrasError,
    CerebrasTimeoutError,
    InternalServerError,
    RateLimitError,
    RateLimiterTimeoutError,
)
from langchain_cerebras_ext.retry import Patience, Retrier, RetryPolicy, patience

pytestmark = BETA

STEADY = RetryPolicy(max_retries=3, initial_delay=1, max_delay=5, jitter=0)
DAY = datetime(2026, 9, 10, 12, 0, tzinfo=UTC)

QUEUE = {
    "message": "We're experiencing high traffic right now! Please try again soon.",
    "type": "too_many_requests_error",
    "param": "queue",
    "code": "queue_exceeded",
}


def refused(status: int = 500, message: str = "no", **headers: str) -> CerebrasError:
    """Return a refusal; names of headers are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status_error(status, json.dumps({"message": message}).encode(), named)


def quota(window: str, what: str = "Tokens") -> CerebrasError:
    return refused(429, f"{what} per {window} limit exceeded - too many processed.")


policies = st.builds(
    lambda retries, first, more, factor, jitter: RetryPolicy(
        max_retries=retries,
        initial_delay=first,
        max_delay=first + more,
        multiplier=factor,
        jitter=jitter,
    ),
    st.integers(0, 3000),
    st.floats(0, 100),
    st.floats(0, 1000),
    st.floats(1, 10),
    st.floats(0, 1),
)
fractions = st.floats(0, 1, exclude_max=True)


# ------------------------------------------------------------------------- the curve


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        pytest.param(RetryPolicy(), [0.5, 1, None], id="default"),
        pytest.param(RetryPolicy.patient(), [2, 4, 8, 16, 32, None], id="patient"),
        pytest.param(
            replace(RetryPolicy.patient(), max_retries=8),
            [2, 4, 8, 16, 32, 60, 60, 60, None],
            id="more_than_patient",
        ),
        pytest.param(RetryPolicy(max_retries=0), [None, None], id="none"),
        pytest.param(
            RetryPolicy(max_retries=4, initial_delay=3, max_delay=3),
            [3, 3, 3, 3, None],
            id="even",
        ),
        pytest.param(
            RetryPolicy(max_retries=3, multiplier=1), [0.5] * 3 + [None], id="steady"
        ),
        pytest.param(
            RetryPolicy(max_retries=3, initial_delay=0, max_delay=0),
            [0, 0, 0, None],
            id="at_once",
        ),
        pytest.param(
            RetryPolicy(max_retries=3, multiplier=10, max_delay=9),
            [0.5, 5, 9, None],
            id="steep",
        ),
    ],
)
@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
def test_the_curve_and_what_the_jitter_takes_off(
    policy: RetryPolicy, waits: list[float | None], part: float
) -> None:
    error = refused(503)
    found = [
        policy.wait_s(error, attempt, rand=lambda: part)
        for attempt in range(1, len(waits) + 1)
    ]
    less = 1 - policy.jitter * part
    assert found == [None if wait is None else wait * less for wait in waits]


@given(policies, st.integers(1, 3000), fractions)
def test_a_wait_lies_between_the_curve_and_what_the_jitter_leaves_of_it(
    policy: RetryPolicy, attempt: int, part: float
) -> None:
    """However many tries: the curve grows beyond what a float can hold."""
    wait = policy.wait_s(refused(), attempt, rand=lambda: part)
    if attempt > policy.max_retries:
        assert wait is None
        return
    assert wait is not None
    assert policy.initial_delay * (1 - policy.jitter) <= wait <= policy.max_delay
    whole = replace(policy, jitter=0.0)
    most = whole.wait_s(refused(), attempt)
    assert most is not None
    assert most * (1 - policy.jitter) <= wait <= most
    earlier = whole.wait_s(refused(), max(1, attempt - 1))
    assert earlier is not None
    assert earlier <= most


def test_the_jitter_is_random_unless_told_otherwise() -> None:
    policy = RetryPolicy(initial_delay=1, jitter=0.5)
    waits = {policy.wait_s(refused(), 1) for _ in range(100)}
    assert len(waits) > 50
    assert all(wait is not None and 0.5 < wait <= 1 for wait in waits)


# ------------------------------------------------------- what the service asks for


def http_date(seconds: float, zone: Any = UTC) -> str:
    moment = (DAY + timedelta(seconds=seconds)).astimezone(zone)
    return format_datetime(moment, usegmt=zone is UTC)


NOW = http_date(0)

ASKED = [
    pytest.param({"retry_after": "3"}, 3.0, id="seconds"),
    pytest.param({"retry_after": "0.25"}, 0.25, id="part_of_a_second"),
    pytest.param({"retry_after": "0"}, 0.0, id="zero"),
    pytest.param({"retry_after": " 4 "}, 4.0, id="with_spaces"),
    pytest.param({"retry_after": "-5"}, 0.0, id="negative"),
    pytest.param({"retry_after": "60"}, 60.0, id="the_longest"),
    pytest.param({"retry_after": "60.5"}, None, id="longer"),
    pytest.param({"retry_after": "86399"}, None, id="until_tomorrow"),
    pytest.param({"retry_after_ms": "1500"}, 1.5, id="milliseconds"),
    pytest.param({"retry_after_ms": "1500", "retry_after": "9"}, 1.5, id="ms_first"),
    pytest.param({"retry_after_ms": "x", "retry_after": "9"}, 9.0, id="bad_ms"),
    pytest.param({"retry_after_ms": "61000"}, None, id="long_ms"),
    pytest.param({"retry_after": http_date(20), "date": NOW}, 20.0, id="date"),
    pytest.param(
        {"retry_after": http_date(20, None), "date": NOW}, 20.0, id="date_with_zone"
    ),
    pytest.param({"retry_after": http_date(-20), "date": NOW}, 0.0, id="past_date"),
    pytest.param({"retry_after": http_date(61), "date": NOW}, None, id="far_date"),
    pytest.param({"retry_after": "soon"}, 1.0, id="words"),
    pytest.param({"retry_after": ""}, 1.0, id="empty"),
    pytest.param({"retry_after": "inf"}, 1.0, id="infinite"),
    pytest.param({"retry_after": "nan"}, 1.0, id="not_a_number"),
    pytest.param({"retry_after": "1e400"}, 1.0, id="too_large"),
    pytest.param(
        {"retry_after": "Wed, 99 Oct 2026 07:28:00 GMT"}, 1.0, id="no_such_day"
    ),
    pytest.param(
        {"retry_after": "Wed, 21 Oct 2026 07:28:00 +99999999999999"}, 1.0, id="no_zone"
    ),
    pytest.param(
        {"retry_after": "Fri, 31 Dec 9999 23:59:59 -2359"}, 1.0, id="end_of_time"
    ),
    pytest.param({}, 1.0, id="nothing"),
]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
@pytest.mark.parametrize(("headers", "wait"), ASKED)
def test_a_wait_that_the_service_asks_for_wins_over_the_curve(
    headers: dict[str, str], wait: float | None, status: int
) -> None:
    """Neither shortened by jitter nor cut to the curve's limit."""
    policy = replace(STEADY, jitter=0.0 if wait == 1.0 else 1.0)
    assert policy.wait_s(refused(status, **headers), 1) == wait


def test_a_date_is_read_by_the_servers_clock_not_by_ours() -> None:
    """A clock that is wrong by a day would else wait a day, or not at all."""
    for years in (-1, 1):
        now = datetime.now(UTC) + timedelta(days=365 * years)
        then = format_datetime(now + timedelta(seconds=30), usegmt=True)
        date = format_datetime(now, usegmt=True)
        assert STEADY.wait_s(refused(429, retry_after=then, date=date), 1) == 30


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Oct 2026 07:28:00 GMT"])
def test_without_a_date_of_the_server_ours_is_taken(date: str) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    wait = STEADY.wait_s(refused(429, retry_after=then, date=date), 1)
    assert wait is not None
    assert 20 < wait <= 30


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_header_of_any_kind_breaks_anything(ms: str, after: str, date: str) -> None:
    error = refused(429, retry_after=after, retry_after_ms=ms, date=date)
    assert error.retry_after_s is None or 0 <= error.retry_after_s < float("inf")
    wait = STEADY.wait_s(error, 1)
    assert wait is None or 0 <= wait <= 60


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        pytest.param(refused(400, x_should_retry="true"), 1.0, id="told_to"),
        pytest.param(refused(500, x_should_retry="false"), None, id="told_not_to"),
        pytest.param(refused(429, x_should_retry="false", retry_after="1"), None, id="told_not_to_after_a_wait"),
        pytest.param(refused(400, x_should_retry="true", retry_after="7"), 7.0, id="told_to_after_a_wait"),
        pytest.param(refused(400, x_should_retry="true", retry_after="99"), None, id="told_to_after_too_long"),
        pytest.param(refused(429, "Tokens per day limit exceeded", x_should_retry="true"), 1.0, id="told_to_on_a_quota"),
        pytest.param(refused(500, x_should_retry="perhaps"), 1.0, id="told_nothing"),
        pytest.param(refused(400, x_should_retry="perhaps"), None, id="told_nothing_on_400"),
    ],
)  # fmt: skip
def test_what_the_service_says_of_retries_wins(
    error: CerebrasError, wait: float | None
) -> None:
    assert STEADY.wait_s(error, 1) == wait


# ------------------------------------------------------------------- limits and quotas


@pytest.mark.parametrize("what", ["Tokens", "Requests"])
@pytest.mark.parametrize(
    ("window", "again"),
    [("second", True), ("minute", True), ("hour", False), ("day", False)],
)
def test_a_spent_hour_or_day_is_not_tried_again(
    window: str, what: str, again: bool
) -> None:
    assert (STEADY.wait_s(quota(window, what), 1) is not None) is again
    again_patiently = RetryPolicy.patient().wait_s(quota(window, what), 1) is not None
    assert again_patiently is again


def test_a_full_queue_is_tried_again_with_jitter() -> None:
    error = status_error(429, json.dumps(QUEUE).encode(), {})
    assert isinstance(error, RateLimitError)
    assert (error.kind, error.window, error.retry_after_s) == ("queue", None, None)
    policy = RetryPolicy()
    waits = [policy.wait_s(error, 1) for _ in range(50)]
    assert len(set(waits)) > 25
    assert all(wait is not None and 0.375 <= wait <= 0.5 for wait in waits)


def test_our_own_limiter_has_waited_long_enough() -> None:
    assert STEADY.wait_s(RateLimiterTimeoutError("x"), 1) is None


# ---------------------------------------------------------- whole calls, sync and async


def run(
    mode: str, policy: RetryPolicy, outcomes: list[Any], **fields: Any
) -> tuple[Any, Retrier, Clock]:
    """Run tries, each a wait that it takes and its end, on a clock of its own."""
    clock = Clock()
    rest = iter(outcomes)
    retrier = Retrier(
        policy, clock=clock, sleep=clock.sleep, asleep=clock.asleep, **fields
    )

    def once() -> Any:
        takes_s, end = next(rest)
        clock.now += takes_s
        if isinstance(end, BaseException):
            raise end
        return end

    async def aonce() -> Any:
        return once()

    try:
        if mode == "sync":
            return retrier.call(once), retrier, clock
        return asyncio.run(retrier.acall(aonce)), retrier, clock
    except CerebrasError as error:
        return error, retrier, clock


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_waits_of_a_call_are_those_of_the_policy(mode: str) -> None:
    failures = [refused(500), refused(429, retry_after="7"), CerebrasTimeoutError("t")]
    outcomes = [(0.5, error) for error in failures] + [(0.5, "done")]
    found, retrier, clock = run(mode, STEADY, outcomes)
    assert found == "done"
    assert clock.slept == [1, 7, 4]
    assert retrier.attempts == 4
    assert clock.now == 100 + 4 * 0.5 + 12
    told = [(each.error_type, each.status_code, each.elapsed_s, each.wait_s, each.billed) for each in retrier.failed]  # fmt: skip
    assert told == [
        ("InternalServerError", 500, 0.5, 1, None),
        ("RateLimitError", 429, 2.0, 7, False),
        ("CerebrasTimeoutError", None, 9.5, 4, None),
    ]


@pytest.mark.parametrize(
    ("held", "slept"),
    [
        (None, [1, 4]),
        (Patience(), [1, 4]),
        (Patience(longest_s=4), [1, 4]),
        (Patience(longest_s=3.9), [1]),
        (Patience(longest_s=0.9), []),
        (Patience(until=105.1), [1, 4]),
        (Patience(until=105), [1]),
        (Patience(until=100), []),
    ],
)
def test_nobody_waits_longer_than_its_caller_has_patience(
    mode: str, held: Patience | None, slept: list[float]
) -> None:
    outcomes = [(0, refused(500)), (0, refused(429, retry_after="4")), (0, "done")]
    token = patience.set(held)
    try:
        found, retrier, clock = run(mode, STEADY, outcomes)
    finally:
        patience.reset(token)
    assert clock.slept == slept
    assert retrier.attempts == len(slept) + 1
    if len(slept) == 2:
        assert found == "done"
    else:
        assert found.is_retryable  # by others: it was not tried enough here


def test_patient_waits_grow_to_a_minute(mode: str) -> None:
    policy = replace(RetryPolicy.patient(), jitter=0.0, max_retries=7)
    error, retrier, clock = run(mode, policy, [(0, refused(503)) for _ in range(8)])
    assert isinstance(error, InternalServerError)
    assert clock.slept == [2, 4, 8, 16, 32, 60, 60]
    assert (error.attempts, error.elapsed_s, len(error.failed_attempts)) == (8, 182, 7)
    assert retrier.attempts == 8


def test_without_retries_nothing_is_waited_for(mode: str) -> None:
    outcomes = [(1, refused(429, retry_after="1")), (1, "never")]
    error, _, clock = run(mode, RetryPolicy(max_retries=0), outcomes)
    assert isinstance(error, RateLimitError)
    assert clock.slept == []
    assert (error.attempts, error.elapsed_s, error.failed_attempts) == (1, 1, ())


@pytest.mark.parametrize(
    ("deadline", "slept"),
    [(1, []), (2, []), (2.5, [1]), (4, [1]), (6, [1, 1]), (100, [1] * 9)],
)
def test_a_wait_that_would_outlive_the_deadline_is_not_started(
    mode: str, deadline: float, slept: list[float]
) -> None:
    policy = RetryPolicy(
        max_retries=9, initial_delay=1, max_delay=1, jitter=0, deadline=deadline
    )
    error, _, clock = run(mode, policy, [(1, refused()) for _ in range(10)])
    assert clock.slept == slept
    assert error.attempts == len(slept) + 1


@pytest.mark.parametrize("total_s", [1, 2, 2.5, 4, 6, 100])
def test_the_calls_total_timeout_holds_for_the_waits_too(
    mode: str, total_s: float
) -> None:
    policy = RetryPolicy(max_retries=9, initial_delay=1, max_delay=1, jitter=0)
    slept = []
    for limited, total in (
        (policy, total_s),
        (replace(policy, deadline=total_s), None),
    ):
        outcomes = [(1, refused()) for _ in range(10)]
        _, _, clock = run(mode, limited, outcomes, total_s=total)
        slept.append(clock.slept)
    assert slept[0] == slept[1]


def test_a_wait_that_the_service_asks_for_is_held_to_the_deadline(mode: str) -> None:
    def outcomes() -> list[Any]:
        return [(1, refused(429, retry_after="30")), (0, "done")]

    error, _, clock = run(mode, replace(STEADY, deadline=30.0), outcomes())
    assert isinstance(error, RateLimitError)
    assert clock.slept == []
    found, _, clock = run(mode, replace(STEADY, deadline=32.0), outcomes())
    assert (found, clock.slept) == ("done", [30])


def test_the_next_try_has_what_is_left_of_the_total(mode: str) -> None:
    left: list[float | None] = []
    clock = Clock()
    retrier = Retrier(
        STEADY, total_s=10.0, clock=clock, sleep=clock.sleep, asleep=clock.asleep
    )

    def once() -> str:
        left.append(retrier.left_s())
        clock.now += 1.5
        if len(left) < 3:
            raise refused()
        return "done"

    async def aonce() -> str:
        return once()

    if mode == "sync":
        retrier.call(once)
    else:
        asyncio.run(retrier.acall(aonce))
    assert left == [10.0, 7.5, 4.0]


def test_what_our_limiter_waits_is_no_part_of_deadline_and_time(mode: str) -> None:
    clock = Clock()
    policy = RetryPolicy(max_retries=3, initial_delay=1, jitter=0, deadline=5)
    retrier = Retrier(
        policy, total_s=5.0, clock=clock, sleep=clock.sleep, asleep=clock.asleep
    )

    def once() -> str:
        clock.now += 1000
        retrier.exclude(1000)
        clock.now += 0.5
        if retrier.attempts == 1:
            raise refused()
        return "done"

    async def aonce() -> str:
        return once()

    if mode == "sync":
        assert retrier.call(once) == "done"
    else:
        assert asyncio.run(retrier.acall(aonce)) == "done"
    assert clock.slept == [1]
    assert retrier.failed[0].elapsed_s == 0.5


ends = st.sampled_from([
    "500", "429", "429 in 7", "429 in 70", "day", "queue", "400", "timeout", "done",
])  # fmt: skip


def end_of(name: str) -> Any:
    made: dict[str, Any] = {
        "500": lambda: refused(500),
        "429": lambda: refused(429),
        "429 in 7": lambda: refused(429, retry_after="7"),
        "429 in 70": lambda: refused(429, retry_after="70"),
        "day": lambda: quota("day"),
        "queue": lambda: status_error(429, json.dumps(QUEUE).encode(), {}),
        "400": lambda: refused(400),
        "timeout": lambda: CerebrasTimeoutError("t"),
        "done": lambda: "done",
    }
    return made[name]()


@given(
    st.integers(0, 6),
    st.one_of(st.none(), st.floats(1, 60)),
    st.lists(st.tuples(st.floats(0, 5), ends), max_size=8),
    st.integers(),
)
def test_sync_and_async_make_the_same_tries_and_waits(
    retries: int, deadline: float | None, tries: list[tuple[float, str]], seed: int
) -> None:
    """And never go on beyond the deadline, or after an end."""
    policy = RetryPolicy(max_retries=retries, deadline=deadline)
    seen = []
    for mode in ("sync", "async"):
        random.seed(seed)
        outcomes = [(takes_s, end_of(name)) for takes_s, name in tries]
        found, retrier, clock = run(mode, policy, [*outcomes, *[(0.0, "done")] * 8])
        text = str(found)
        seen.append((text, retrier.attempts, clock.slept, clock.now, retrier.failed))
        assert retrier.attempts == len(clock.slept) + 1 <= retries + 1
        last = min(retrier.attempts, len(tries) + 1) - 1
        before_last = sum(takes_s for takes_s, _ in tries[:last]) + sum(clock.slept)
        assert deadline is None or not clock.slept or before_last < deadline
    assert seen[0] == seen[1]


# ---------------------------------------------------------------- whole models


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which every model of a test waits."""
    made = Clock()
    on_it = partial(Retrier, clock=made, sleep=made.sleep, asleep=made.asleep)
    monkeypatch.setattr(_client, "Retrier", on_it)
    return made


HEADERS = [{"retry-after": "3"}, {"retry-after-ms": "250"}, {}, {"retry-after": "x"}]


@pytest.mark.parametrize("path", PATHS)
def test_a_model_waits_as_the_service_asks(path: str, clock: Clock) -> None:
    def busy(request: Request) -> Iterator[bytes]:
        number = len(server.requests)
        if number <= len(HEADERS):
            return refusal(429, headers=HEADERS[number - 1])
        return answer(request)

    with WireServer(busy) as server:
        policy = replace(STEADY, max_retries=4)
        model = ChatCerebras(base_url=server.url, retry_policy=policy)
        assert call(path, model).text == "Hello"
    assert clock.slept == [3, 0.25, 4, 5]


@pytest.mark.parametrize("path", PATHS)
def test_a_models_deadline_and_total_timeout_hold(path: str, clock: Clock) -> None:
    with WireServer(lambda _: refusal(429, headers={"retry-after": "20"})) as server:
        url = server.url
        models = {
            "deadline": ChatCerebras(base_url=url, retry_policy=replace(STEADY, deadline=50)),
            "total": ChatCerebras(base_url=url, retry_policy=STEADY, total_timeout=50),
            "neither": ChatCerebras(base_url=url, retry_policy=STEADY, timeout={"total": None}),
        }  # fmt: skip
        slept = {}
        for name, model in models.items():
            del clock.slept[:]
            with pytest.raises(RateLimitError):
                call(path, model)
            slept[name] = list(clock.slept)
    assert slept == {"deadline": [20, 20], "total": [20, 20], "neither": [20, 20, 20]}


@pytest.mark.parametrize("path", PATHS)
def test_each_try_of_a_model_has_what_is_left_of_the_total(
    path: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals: list[float | None] = []
    for cls in (SyncTransport, AsyncTransport):
        send = cls.send

        def noted(
            *args: Any, send: Any = send, totals: list[Any] = totals, **kwargs: Any
        ) -> Any:
            totals.append(args[-1].total_s)
            return send(*args, **kwargs)

        monkeypatch.setattr(cls, "send", noted)
    with WireServer(lambda _: refusal(503, headers={"retry-after": "20"})) as server:
        model = ChatCerebras(
            base_url=server.url, retry_policy=STEADY, total_timeout=50.0
        )
        with pytest.raises(InternalServerError):
            call(path, model)
    assert totals == [50.0, 30.0, 10.0]


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize(
    "end",
    [
        pytest.param([CUT], id="cut"),
        pytest.param([RESET], id="reset"),
        pytest.param([END], id="ended_early"),
        pytest.param([chunk(event({**QUEUE, "status_code": 429})), END], id="queue"),
        pytest.param([chunk(event({"message": "oh", "status_code": 503})), END], id="503"),
        pytest.param([chunk(b"data: {nonsense\n\n"), END], id="nonsense"),
    ],
)  # fmt: skip
def test_nothing_is_tried_again_once_a_chunk_was_handed_on(
    path: str, end: list[bytes], clock: Clock
) -> None:
    def broken(_: Request) -> Iterator[bytes]:
        yield stream_head()
        yield chunk(delta(content="He"))
        yield from end

    with WireServer(broken) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY)
        with pytest.raises(CerebrasError) as caught:
            call(path, model)
        assert len(server.requests) == 1
    assert clock.slept == []
    assert caught.value.attempts == 1
    assert caught.value.failed_attempts == ()


@pytest.mark.parametrize("path", STREAMED)
def test_a_stream_that_says_nothing_yet_is_tried_again(path: str, clock: Clock) -> None:
    """An answer that has begun, but of which nothing could be handed on."""
    begun = [stream_head(), chunk(b": hello\n\n"), chunk(delta(role="assistant"))]
    tails = [[CUT], [chunk(event({**QUEUE, "status_code": 429})), END]]

    def broken(request: Request) -> Iterator[bytes]:
        if len(server.requests) > len(tails):
            yield from answer(request)
            return
        yield from [*begun, *tails[len(server.requests) - 1]]

    with WireServer(broken) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY)
        assert call(path, model).text == "Hello"
    assert clock.slept == [1, 2]
