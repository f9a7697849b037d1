"""Which faults are tried again, after which wait, and how many requests that makes.

Time passes only in waits, which are recorded: no test takes them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from fault_answers import (
    DONE,
    JSON_TYPE,
    PLAIN_BODY,
    RICH_ID,
    ROLE,
    TEXT,
    THINK,
    answer,
    begun,
    event,
    flat,
    good,
    head,
    length,
    streamed,
    wrapped,
)
from fault_case import (
    FOUR,
    PLAIN,
    PLAIN_ANSWER,
    Broken,
    Caller,
    Outcome,
    Partial,
    Script,
    check,
    cut,
    empty,
    late,
    lost,
    refused,
    unreadable,
)
from fault_server import FIN, HOLD, RST, FaultServer, Step
from langchain_core.messages import AIMessage
from wire_server import Request

from langchain_cerebras_ext import _client
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    BadRequestError,
    CerebrasError,
    CerebrasStatusError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PayloadTooLargeError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    UnprocessableEntityError,
)
from langchain_cerebras_ext.retry import Retrier, RetryPolicy

TWO = ("stream", "astream")
STEADY = RetryPolicy(max_retries=2, initial_delay=1, max_delay=5, jitter=0)
LONG = {"connect": 15, "read": 15, "first_byte": 15, "total": 600}
"""Limits that leave room for every wait, of which none is taken."""

SOME = Partial("Let me look", "I need the")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, in seconds; none of them is taken."""
    taken: list[float] = []

    async def asleep(seconds: float) -> None:
        taken.append(seconds)

    recorded = partial(Retrier, sleep=taken.append, asleep=asleep)
    monkeypatch.setattr(_client, "Retrier", recorded)
    return taken


@dataclass(frozen=True)
class Row:
    """What the server does with the first requests, and what comes of it.

    Attributes:
        fault: Its answer to a request, while the fault lasts.
        error: What the fault is when it stays.
        again: Whether it is worth another try.
        wait: The wait before the second try; `None` is that of the policy's curve.
    """

    id: str
    fault: Script
    error: Broken
    again: bool
    paths: tuple[str, ...] = FOUR
    wait: Any = None
    options: dict[str, Any] = field(default_factory=dict)

    def script(self, times: int) -> Any:
        """Return a server's script in which the fault comes so many times."""

        def script(request: Request, number: int) -> Any:
            if number > times:
                return good(request)
            return self.fault(request) if callable(self.fault) else self.fault

        return script


def row(name: str, *fault: Step, error: Broken, again: bool, **more: Any) -> Row:
    return Row(name, fault, error, again, **more)


def statuses() -> Iterator[Row]:
    never: list[tuple[int, type[CerebrasStatusError]]] = [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, PaymentRequiredError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (413, PayloadTooLargeError),
        (418, CerebrasStatusError),
        (422, UnprocessableEntityError),
    ]
    again: list[tuple[int, type[CerebrasStatusError]]] = [
        (408, RequestTimeoutError),
        (409, ConflictError),
        (500, InternalServerError),
        (502, InternalServerError),
        (503, InternalServerError),
        (504, InternalServerError),
        (529, InternalServerError),
    ]
    for listed, worth in ((never, False), (again, True)):
        for status, error in listed:
            wire = answer(flat("So and so"), status)
            expect = refused(status, error)
            yield row(f"{status}", wire, error=expect, again=worth)
    rows = [
        ("second", "Requests per second limit exceeded", "request_quota_exceeded", "requests", True),
        ("minute", "Requests per minute limit exceeded", "request_quota_exceeded", "requests", True),
        ("tokens_minute", "Tokens per minute limit exceeded", "token_quota_exceeded", "tokens", True),
        ("hour", "Tokens per hour limit exceeded", "token_quota_exceeded", "tokens", False),
        ("day", "Requests per day limit exceeded", "request_quota_exceeded", "requests", False),
    ]  # fmt: skip
    for window, text, code, kind, worth in rows:
        expect = refused(
            429,
            RateLimitError,
            code=code,
            kind=kind,
            window=window.removeprefix("tokens_"),
        )
        wire = answer(flat(text, code=code), 429)
        yield row(f"429_{window}", wire, error=expect, again=worth)
    queue = refused(429, RateLimitError, code="queue_exceeded", kind="queue")
    wire = answer(flat("Busy", code="queue_exceeded"), 429)
    yield row("429_queue", wire, error=queue, again=True)


def connections() -> Iterator[Row]:
    yield row("reset_before_the_headers", RST, error=lost("reset"), again=True)
    yield row("closed_before_the_headers", FIN, error=lost("closed"), again=True)
    yield row(
        "cut_in_the_headers", b"HTTP/1.1 2", FIN, error=lost("closed"), again=True
    )
    yield row("no_http", b"220 x\r\n", FIN, error=lost("protocol"), again=True)
    half = head(JSON_TYPE, length(PLAIN_BODY)) + PLAIN_BODY[:50]
    yield row(
        "cut_in_the_body", half, FIN, error=lost("closed"), again=True, paths=PLAIN
    )
    limits = {"connect": 15, "read": 0.2, "first_byte": 0.2, "total": 60}
    yield row(
        "silence",
        HOLD,
        error=late("idle", 0.2),
        again=True,
        paths=("invoke", "astream"),
        options={"timeout": limits},
    )


def answers() -> Iterator[Row]:
    """A 200 that is an error, or no answer at all."""
    busy = refused(503, InternalServerError)
    yield row("200_with_an_error", answer(wrapped("Busy", 503)), error=busy, again=True)
    wrong = refused(401, AuthenticationError)
    yield row("200_with_a_401", answer(wrapped("No", 401)), error=wrong, again=False)
    page = answer(b"<html>Log in</html>", kind="Content-Type: text/html")
    never = unreadable("Log in", retryable=False)
    yield row("200_with_a_page", page, error=never, again=False)
    yield row(
        "200_without_choices",
        answer({"choices": []}),
        error=empty("without choices"),
        again=True,
        paths=PLAIN,
    )
    yield row(
        "redirect",
        answer(b"", 307, "Location: http://127.0.0.1:1/"),
        error=Broken(unreadable().error, ("redirect",), billed=False),
        again=False,
    )


def streams() -> Iterator[Row]:
    """Until a part was handed on a stream may be tried again; then never."""
    none = cut("before the first part", partial=None)
    yield row("no_event", streamed(), error=none, again=True, paths=TWO)
    role = cut("without a finish_reason", partial=Partial())
    yield row("role_alone", streamed(ROLE), error=role, again=True, paths=TWO)
    gone = cut("broke off", partial=Partial())
    yield row("cut_after_the_role", begun(ROLE), FIN, error=gone, again=True, paths=TWO)
    junk = unreadable("cannot be read")
    yield row("junk_first", streamed(b"data: junk\n\n"), error=junk, again=True, paths=TWO)  # fmt: skip
    busy = refused(429, RateLimitError, kind="unknown")
    yield row("error_first", streamed(event(wrapped("Busy", 429))), error=busy, again=True, paths=TWO)  # fmt: skip
    wrong = refused(401, AuthenticationError)
    yield row("401_first", streamed(event(wrapped("No", 401))), error=wrong, again=False, paths=TWO)  # fmt: skip
    begun_ = (ROLE, THINK, TEXT)
    part = {"partial": SOME, "request_id": RICH_ID, "billed": None}
    later = [
        ("cut_after_a_text", (begun(*begun_), FIN), cut("broke off", partial=SOME)),
        ("end_after_a_text", (streamed(*begun_),), cut("finish_reason", partial=SOME)),
        ("done_after_a_text", (streamed(*begun_, DONE),), cut("finish_reason", partial=SOME)),
        ("junk_after_a_text", (streamed(*begun_, b"data: x\n\n"),), unreadable(partial=SOME)),
        ("error_after_a_text", (streamed(*begun_, event(wrapped("Busy", 503))),), replace(refused(503, InternalServerError), **part)),
    ]  # fmt: skip
    for name, fault, error in later:
        # It stays worth another try, by somebody who throws the part away.
        yield Row(name, fault, error, again=False, paths=TWO)


def http_date(seconds: float) -> str:
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    return then.strftime("%a, %d %b %Y %H:%M:%S GMT")


def waits_asked_for() -> Iterator[Row]:
    def busy(**data: Any) -> Broken:
        return refused(503, InternalServerError, **data)

    rows: list[tuple[str, tuple[str, ...], Any, bool, Any]] = [
        ("seconds", ("Retry-After: 7",), 7.0, True, 7.0),
        ("milliseconds", ("Retry-After-Ms: 250",), 0.25, True, 0.25),
        ("both", ("Retry-After-Ms: 250", "Retry-After: 7"), 0.25, True, 0.25),
        ("a_minute", ("Retry-After: 60",), 60.0, True, 60.0),
        ("longer_than_a_minute", ("Retry-After: 61",), 61.0, False, None),
        ("huge", ("Retry-After: 1e9",), 1e9, False, None),
        ("zero", ("Retry-After: 0",), 0.0, True, 0.0),
        ("negative", ("Retry-After: -3",), 0.0, True, 0.0),
        ("past", ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT",), 0.0, True, 0.0),
        ("nan", ("Retry-After: nan",), None, True, None),
        ("infinite", ("Retry-After: inf",), None, True, None),
        ("garbage", ("Retry-After: soon",), None, True, None),
        ("empty", ("Retry-After:",), None, True, None),
        ("and_a_no", ("Retry-After: 1", "X-Should-Retry: false"), 1.0, False, None),
    ]
    for name, lines, seconds, again, wait in rows:
        wire = answer(flat("Busy"), 503, *lines)
        error = busy(retry_after_s=seconds)
        yield row(f"wait_{name}", wire, error=error, again=again, wait=wait)
    about = pytest.approx(29, abs=3)

    def in_half_a_minute(_: Request) -> Sequence[Step]:
        return [answer(flat("Busy"), 503, f"Retry-After: {http_date(30)}")]

    dated = busy(retry_after_s=about)
    yield Row("wait_date", in_half_a_minute, dated, again=True, wait=about)
    told: list[tuple[str, int, type[CerebrasStatusError], bool]] = [
        ("true", 400, BadRequestError, True),
        ("false", 503, InternalServerError, False),
        ("maybe", 503, InternalServerError, True),
        ("maybe", 400, BadRequestError, False),
    ]
    for value, status, error_type, again in told:
        yield row(
            f"told_{value}_with_{status}",
            answer(flat("So"), status, f"X-Should-Retry: {value}"),
            error=refused(status, error_type),
            again=again,
        )


ROWS = [
    *statuses(),
    *connections(),
    *answers(),
    *streams(),
    *waits_asked_for(),
]
EACH = [
    pytest.param(found, path, id=f"{found.id}-{path}")
    for found in ROWS
    for path in found.paths
]


@pytest.mark.parametrize(("found", "path"), EACH)
def test_a_fault_that_passes_is_tried_again_if_that_helps(
    waits: list[float], found: Row, path: str
) -> None:
    """One fault, then a good answer: two requests, or the error at once."""
    options = {"timeout": LONG, **found.options, "retry_policy": STEADY}
    script = found.script(times=1)
    with FaultServer(script) as server, Caller(path, server.url, server, **options) as caller:  # fmt: skip
        outcome = caller.call()
        if not found.again:
            check(outcome, given_up(found))
            assert len(server.requests) == 1
            assert waits == []
            return
        check(outcome, PLAIN_ANSWER)
        assert isinstance(outcome, AIMessage)
        assert outcome.response_metadata["attempts"] == 2
        assert len(server.requests) == 2
        assert len({request.body for request in server.requests}) == 1
        assert waits == [1.0 if found.wait is None else found.wait]


def given_up(found: Row) -> Outcome:
    """Return the error as the policy leaves it, which nobody is to try again.

    Of an error that comes after a part was handed on the policy is not asked: to call
    again is up to whoever has the part.
    """
    if found.error.partial is not None:
        return found.error
    return replace(found.error, retryable=False)


@pytest.mark.parametrize(
    ("found", "path"),
    [param for param in EACH if param.values[0].again and param.values[0].id != "silence"],
)  # fmt: skip
def test_a_fault_that_stays_is_given_up_after_the_retries(
    waits: list[float], found: Row, path: str
) -> None:
    """Three requests, then the last error; it says what went before."""
    options = {"timeout": LONG, **found.options, "retry_policy": STEADY}
    script = found.script(times=99)
    with FaultServer(script) as server, Caller(path, server.url, server, **options) as caller:  # fmt: skip
        outcome = caller.call()
        check(outcome, replace(found.error, retryable=False))
        assert isinstance(outcome, CerebrasError)
        assert outcome.attempts == len(server.requests) == 3
        told = [failed.error_type for failed in outcome.failed_attempts]
        assert told == [found.error.error.__name__] * 2
        first, second = (1.0, 2.0) if found.wait is None else (found.wait,) * 2
        assert waits == [first, second]
        assert [failed.wait_s for failed in outcome.failed_attempts] == waits


@pytest.mark.parametrize("path", FOUR)
def test_a_refused_connection_is_tried_again(waits: list[float], path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with Caller(path, url, None, retry_policy=STEADY) as caller:
        outcome = caller.call()
        check(outcome, replace(lost("refused"), retryable=False))
        assert isinstance(outcome, CerebrasError)
        assert outcome.attempts == 3
        assert waits == [1.0, 2.0]


@pytest.mark.parametrize("path", FOUR)
def test_faults_of_many_kinds_end_with_the_first_good_answer(
    waits: list[float], path: str
) -> None:
    """A full queue, a reset, a broken gateway, and then the answer."""
    # Not on a kept connection: there a reset would be mended by the transport.
    lines = ("Retry-After: 3", "Connection: close")
    queue = answer(flat("Busy", code="queue_exceeded"), 429, *lines)
    faults: list[list[Step]] = [[queue], [RST], [answer(b"<html>", 502)]]

    def script(request: Request, number: int) -> list[Step]:
        return faults[number - 1] if number <= len(faults) else good(request)

    policy = replace(STEADY, max_retries=3)
    with FaultServer(script) as server:
        with Caller(path, server.url, server, retry_policy=policy) as caller:
            outcome = caller.call()
            check(outcome, PLAIN_ANSWER)
            assert isinstance(outcome, AIMessage)
            assert outcome.response_metadata["attempts"] == 4
        assert waits == [3.0, 2.0, 4.0]
        assert not server.open_connections()


@pytest.mark.parametrize("path", FOUR)
def test_an_error_that_no_retry_helps_ends_the_tries(
    waits: list[float], path: str
) -> None:
    """A reset, then a wrong key: the key is the error, and it is told at once."""

    def script(_: Request, number: int) -> list[Step]:
        return [RST] if number == 1 else [answer(flat("Wrong API Key"), 401)]

    with FaultServer(script) as server:
        with Caller(path, server.url, server, retry_policy=STEADY) as caller:
            check(caller.call(), refused(401, AuthenticationError))
        assert len(server.requests) == 2
        assert waits == [1.0]


@pytest.mark.parametrize("path", FOUR)
def test_a_wait_that_would_outlive_the_deadline_is_not_started(
    waits: list[float], path: str
) -> None:
    policy = replace(STEADY, deadline=20)
    wire = answer(flat("Busy"), 503, "Retry-After: 30")
    with FaultServer(lambda _, __: [wire]) as server:
        with Caller(path, server.url, server, retry_policy=policy) as caller:
            expect = refused(
                503, InternalServerError, retry_after_s=30.0, retryable=False
            )
            check(caller.call(), expect)
        assert len(server.requests) == 1
        assert waits == []


@pytest.mark.parametrize("path", TWO)
def test_a_stream_that_was_tried_again_is_cut_for_good_once_a_part_came(
    waits: list[float], path: str
) -> None:
    def script(_: Request, number: int) -> list[Step]:
        if number == 1:
            return [answer(flat("Busy"), 503)]
        return [begun(ROLE, THINK, TEXT), FIN]

    with FaultServer(script) as server:
        with Caller(path, server.url, server, retry_policy=STEADY) as caller:
            outcome = caller.call()
            check(outcome, cut("broke off", partial=SOME))
            assert isinstance(outcome, CerebrasError)
            assert outcome.attempts == 2
        assert len(server.requests) == 2
        assert waits == [1.0]
