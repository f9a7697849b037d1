"""What is tried again, after which wait, and what is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from recordings import load
from wire_server import CUT, Request, WireServer, plain, sse

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    CerebrasConfigurationError,
    CerebrasConnectionError,
    CerebrasError,
    CerebrasTimeoutError,
    EmptyResponseError,
    InternalServerError,
    RateLimitError,
    StreamInterruptedError,
)
from langchain_cerebras_ext.retry import Retrier, RetryPolicy

SIMPLE = RetryPolicy(
    max_retries=3, initial_delay=1, max_delay=5, multiplier=2, jitter=0
)


def refusal(status: int, message: str = "no", **headers: str) -> CerebrasError:
    body = json.dumps({"message": message}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status_error(status, body, named)


class Clock:
    """Time that passes only in sleeps and where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Run a function under a policy, sync or async, on a fake clock."""

    def go(
        policy: RetryPolicy, once: Callable[[], Any], clock: Clock
    ) -> tuple[Any, Retrier]:
        retrier = Retrier(policy, clock=clock, sleep=clock.sleep, asleep=clock.asleep)
        if request.param == "sync":
            return retrier.call(once), retrier

        async def aonce() -> Any:
            return once()

        return asyncio.run(retrier.acall(aonce)), retrier

    return go


def failing(*outcomes: Any) -> Callable[[], Any]:
    """Return a function that gives one outcome a call; errors are raised."""
    rest = list(outcomes)

    def once() -> Any:
        found = rest.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    return once


# ----------------------------------------------------------------------------- waits


def test_the_default_curve_is_that_of_the_vendors_sdk() -> None:
    policy = RetryPolicy()
    error = refusal(500)
    assert policy.max_retries == 2
    assert policy.wait_s(error, 1, rand=lambda: 0.0) == 0.5
    assert policy.wait_s(error, 2, rand=lambda: 0.0) == 1.0
    assert policy.wait_s(error, 3, rand=lambda: 0.0) is None
    assert policy.wait_s(error, 1, rand=lambda: 1.0) == 0.375
    assert policy.wait_s(error, 1, rand=lambda: 0.5) == 0.4375


def test_the_patient_policy_waits_as_the_service_advises() -> None:
    policy = RetryPolicy.patient()
    waits = [policy.wait_s(refusal(500), n, rand=lambda: 0.0) for n in range(1, 7)]
    assert waits == [2, 4, 8, 16, 32, None]


def test_no_wait_of_the_curve_exceeds_its_limit() -> None:
    policy = RetryPolicy(max_retries=50, initial_delay=1, max_delay=7, jitter=0)
    assert policy.wait_s(refusal(500), 4) == 7
    assert policy.wait_s(refusal(500), 50) == 7


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "3"}, 3.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after_ms": "120"}, 0.12),
        ({"retry_after_ms": "120", "retry_after": "9"}, 0.12),
        ({"retry_after": "60"}, 60.0),
        ({"retry_after": "61"}, None),
        ({"retry_after": "86399"}, None),
        ({"retry_after": "soon"}, 1.0),
    ],
)
def test_the_wait_that_the_service_asks_for_wins(
    headers: dict[str, str], wait: float | None
) -> None:
    assert SIMPLE.wait_s(refusal(429, **headers), 1) == wait
    assert SIMPLE.wait_s(refusal(503, **headers), 1) == wait


def test_a_date_in_retry_after_is_a_wait() -> None:
    past = refusal(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")
    assert SIMPLE.wait_s(past, 1) == 0.0
    future = refusal(429, retry_after="Wed, 21 Oct 2099 07:28:00 GMT")
    assert SIMPLE.wait_s(future, 1) is None


@pytest.mark.parametrize(
    ("error", "again"),
    [
        pytest.param(refusal(400), False, id="400"),
        pytest.param(refusal(401), False, id="401"),
        pytest.param(refusal(402), False, id="402"),
        pytest.param(refusal(403), False, id="403"),
        pytest.param(refusal(404), False, id="404"),
        pytest.param(refusal(408), True, id="408"),
        pytest.param(refusal(409), True, id="409"),
        pytest.param(refusal(413), False, id="413"),
        pytest.param(refusal(422), False, id="422"),
        pytest.param(refusal(429), True, id="429"),
        pytest.param(refusal(429, "Requests per second limit exceeded"), True, id="429_second"),
        pytest.param(refusal(429, "Requests per minute limit exceeded"), True, id="429_minute"),
        pytest.param(refusal(429, "Tokens per hour limit exceeded"), False, id="429_hour"),
        pytest.param(refusal(429, "Tokens per day limit exceeded"), False, id="429_day"),
        pytest.param(refusal(500), True, id="500"),
        pytest.param(refusal(502), True, id="502"),
        pytest.param(refusal(503), True, id="503"),
        pytest.param(refusal(400, x_should_retry="true"), True, id="told_to"),
        pytest.param(refusal(500, x_should_retry="false"), False, id="told_not_to"),
        pytest.param(refusal(500, x_should_retry="maybe"), True, id="told_nonsense"),
        pytest.param(CerebrasConnectionError("x"), True, id="connection"),
        pytest.param(CerebrasTimeoutError("x"), True, id="timeout"),
        pytest.param(EmptyResponseError("x"), True, id="empty"),
        pytest.param(StreamInterruptedError("x"), True, id="interrupted"),
        pytest.param(CerebrasConfigurationError("x"), False, id="configuration"),
        pytest.param(ValueError("x"), False, id="not_ours"),
        pytest.param(KeyboardInterrupt(), False, id="interrupt"),
    ],
)  # fmt: skip
def test_which_errors_are_tried_again(error: BaseException, again: bool) -> None:
    assert (SIMPLE.wait_s(error, 1) is not None) is again


def test_a_wait_that_would_outlive_the_deadline_is_not_started() -> None:
    policy = RetryPolicy(max_retries=9, initial_delay=2, jitter=0, deadline=10)
    error = refusal(500)
    assert policy.wait_s(error, 1, 7.9) == 2
    assert policy.wait_s(error, 1, 8.0) is None
    assert policy.wait_s(refusal(429, retry_after="9"), 1, 0.5) == 9
    assert policy.wait_s(refusal(429, retry_after="9"), 1, 1.0) is None


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"max_retries": -1}, "max_retries=-1 must be at least 0"),
        ({"initial_delay": -1}, "initial_delay=-1 must be at least 0 seconds"),
        ({"max_delay": 0.1}, "max_delay=0.1 must be at least initial_delay"),
        ({"multiplier": 0.5}, "multiplier=0.5 must be at least 1"),
        ({"jitter": 1.5}, "jitter=1.5 must be 0 to 1"),
        ({"jitter": -0.1}, "jitter=-0.1 must be 0 to 1"),
        ({"deadline": 0}, "deadline=0 must be above 0 seconds, or None"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    wrong: dict[str, Any], rule: str
) -> None:
    with pytest.raises(CerebrasConfigurationError, match=rule):
        RetryPolicy(**wrong)


# ---------------------------------------------------------------------------- tries


def test_a_success_is_returned_at_once(run: Callable[..., Any]) -> None:
    clock = Clock()
    found, retrier = run(SIMPLE, failing("done"), clock)
    assert (found, retrier.attempts, clock.slept) == ("done", 1, [])


def test_each_wait_is_the_one_of_the_policy(run: Callable[..., Any]) -> None:
    clock = Clock()
    outcomes = [
        refusal(500),
        refusal(429, retry_after="7"),
        CerebrasTimeoutError("t"),
        "done",
    ]
    found, retrier = run(SIMPLE, failing(*outcomes), clock)
    assert (found, retrier.attempts) == ("done", 4)
    assert clock.slept == [1, 7, 4]


def test_the_last_error_is_raised_and_says_how_often_it_was_tried(
    run: Callable[..., Any],
) -> None:
    clock = Clock()
    last = refusal(503)
    with pytest.raises(InternalServerError) as caught:
        run(SIMPLE, failing(*[refusal(500) for _ in range(3)], last), clock)
    assert caught.value is last
    assert last.attempts == 4
    assert clock.slept == [1, 2, 4]
    # LangChain's middleware reads this, and must not try once more what was tried.
    assert last.is_retryable is False


def test_an_error_that_is_not_worth_it_ends_the_tries(run: Callable[..., Any]) -> None:
    clock = Clock()
    wrong = refusal(401)
    with pytest.raises(AuthenticationError) as caught:
        run(SIMPLE, failing(refusal(500), wrong, "never"), clock)
    assert caught.value is wrong
    assert wrong.attempts == 2
    assert clock.slept == [1]


def test_a_spent_day_is_not_waited_for(run: Callable[..., Any]) -> None:
    clock = Clock()
    spent = refusal(429, "Tokens per day limit exceeded - too many tokens processed.")
    with pytest.raises(RateLimitError) as caught:
        run(SIMPLE, failing(spent, "never"), clock)
    assert caught.value.attempts == 1
    assert caught.value.window == "day"
    assert clock.slept == []


def test_an_error_that_is_not_ours_passes_through(run: Callable[..., Any]) -> None:
    clock = Clock()
    for wrong in (ZeroDivisionError("x"), KeyboardInterrupt()):
        with pytest.raises(type(wrong)):
            run(SIMPLE, failing(refusal(500), wrong), clock)
        with pytest.raises(type(wrong)):
            run(SIMPLE, failing(wrong), clock)


def test_without_retries_an_error_is_left_to_others(run: Callable[..., Any]) -> None:
    """With `max_retries=0` LangChain's own retry may still do it."""
    error = refusal(500)
    with pytest.raises(InternalServerError):
        run(RetryPolicy(max_retries=0), failing(error), Clock())
    assert error.is_retryable is True
    assert error.attempts == 1


def test_the_deadline_counts_the_time_of_the_tries(run: Callable[..., Any]) -> None:
    clock = Clock()
    policy = RetryPolicy(
        max_retries=9, initial_delay=1, jitter=0, deadline=10, multiplier=1
    )

    def once() -> Any:
        clock.now += 3
        raise refusal(500)

    with pytest.raises(InternalServerError) as caught:
        run(policy, once, clock)
    assert clock.slept == [1, 1]
    assert caught.value.attempts == 3
    assert clock.now - 100 <= 11


def test_each_retry_is_logged_without_the_body(
    run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="langchain_cerebras_ext.retry"):
        run(SIMPLE, failing(refusal(500, "private text"), "done"), Clock())
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "request failed (InternalServerError), attempt 1; trying again in 1.00 s"
    )


def test_cancelling_a_wait_ends_it() -> None:
    async def go() -> None:
        async def once() -> Any:
            raise refusal(500)

        policy = RetryPolicy(initial_delay=60, max_delay=60)
        task = asyncio.create_task(Retrier(policy).acall(once))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())


# --------------------------------------------------------------------- over the wire

AT_ONCE = RetryPolicy(max_retries=2, initial_delay=0, max_delay=0)


def call(path: str, model: ChatCerebras) -> Any:
    async def astream() -> list[Any]:
        return [part async for part in model.astream("hi")]

    match path:
        case "invoke":
            return model.invoke("hi")
        case "ainvoke":
            return asyncio.run(model.ainvoke("hi"))
        case "stream":
            return list(model.stream("hi"))[-1]
        case "astream":
            return asyncio.run(astream())[-1]
    raise AssertionError(path)


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("failures", [0, 1, 2])
def test_attempts_are_in_the_metadata(path: str, failures: int) -> None:
    recording = load("plain_text")

    def answer(request: Request) -> Iterator[bytes]:
        if len(server.requests) <= failures:
            return plain({"message": "busy"}, 503)
        return sse(recording.events) if request.is_stream else plain(recording.body)

    with WireServer(answer) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=AT_ONCE)
        message = call(path, model)
        bodies = {request.body for request in server.requests}
    assert message.response_metadata["attempts"] == failures + 1
    assert len(server.requests) == failures + 1
    assert len(bodies) == 1, "the same bytes are sent again"


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
def test_attempts_are_on_the_error(path: str) -> None:
    with WireServer(lambda _: plain({"message": "busy"}, 503)) as server:
        with pytest.raises(InternalServerError) as caught:
            call(path, ChatCerebras(base_url=server.url, retry_policy=AT_ONCE))
        assert caught.value.attempts == len(server.requests) == 3


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_nothing_is_tried_again_after_a_chunk_was_handed_on(path: str) -> None:
    events = load("plain_text").events

    def answer(_: Request) -> Iterator[bytes]:
        if len(server.requests) == 1:
            return plain({"message": "busy"}, 503)
        return sse([*events[:2], CUT])

    with WireServer(answer) as server:
        with pytest.raises(StreamInterruptedError) as caught:
            call(path, ChatCerebras(base_url=server.url, retry_policy=AT_ONCE))
        assert len(server.requests) == 2
    assert caught.value.attempts == 2
    assert caught.value.partial_message is not None


@pytest.mark.parametrize(("retries", "requests"), [(None, 3), (0, 1), (1, 2)])
def test_max_retries_of_the_model_counts(retries: int | None, requests: int) -> None:
    headers = {"retry-after": "0"}
    with WireServer(lambda _: plain({"message": "busy"}, 503, headers)) as server:
        model = ChatCerebras(base_url=server.url, max_retries=retries)
        with pytest.raises(InternalServerError):
            model.invoke("hi")
        assert len(server.requests) == requests
