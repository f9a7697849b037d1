"""Statuses and their bodies: each status that is documented, in each form it may have."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fault_answers import (
    JSON_TYPE,
    KEY,
    answer,
    flat,
    head,
    length,
    wrapped,
)
from fault_case import ASYNC, FOUR, Broken, Case, case, lost, refused
from fault_server import FIN, HOLD
from wire_server import Request

from langchain_cerebras_ext.errors import (
    AuthenticationError,
    BadRequestError,
    CerebrasStatusError,
    ConflictError,
    ContextLengthError,
    InternalServerError,
    ModelRetiredError,
    NotFoundError,
    PayloadTooLargeError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    UnprocessableEntityError,
    UnsupportedParameterError,
)

STATUSES: dict[int, type[CerebrasStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: RequestTimeoutError,
    409: ConflictError,
    413: PayloadTooLargeError,
    418: CerebrasStatusError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    500: InternalServerError,
    501: InternalServerError,
    502: InternalServerError,
    503: InternalServerError,
    504: InternalServerError,
    529: InternalServerError,
}

HTML = b"<!DOCTYPE html><html><head><style>h1{}</style></head><body><h1>Sorry, not now</h1></body></html>"
HUGE = json.dumps(flat("m" * 2_500_000, junk="j" * 2_500_000)).encode()
BINARY = bytes(range(256)) * 8
TYPE, CODE, PARAM = "some_error", "some_code", "some_param"
FIELDS = {"type": TYPE, "code": CODE, "param": PARAM}
TOLD = {"error_type": TYPE, "code": CODE, "param": PARAM}
ID = "Inference-Id: req-7"
ECHO = f"X-Echo: Bearer {KEY}"


def said(status: int, *says: str, **data: Any) -> Broken:
    """Return the error for a status, whatever its body was."""
    if status == 429:
        data.setdefault("kind", "unknown")
    return refused(status, STATUSES[status], *says, request_id="req-7", **data)


def bodies(status: int) -> Iterator[tuple[str, bytes, Broken]]:
    """Yield a status in each form: name, answer, error."""
    text = "It went so and so"
    yield (
        "flat",
        answer(flat(text, **FIELDS), status, ID),
        said(status, CODE, text, **TOLD),
    )
    body = wrapped(text, status, **FIELDS)
    yield "wrapped", answer(body, status, ID), said(status, CODE, text, **TOLD)
    yield "detail", answer({"detail": text}, status, ID), said(status, text)
    page = answer(HTML, status, ID, kind="Content-Type: text/html")
    yield "page", page, said(status, "Sorry, not now")
    yield "empty", answer(b"", status, ID), said(status)
    yield "huge", answer(HUGE, status, ID), said(status, "mmm")
    yield "binary", answer(BINARY, status, ID), said(status)
    echo = {**flat(f"Key {KEY} is so"), "sent": {"Authorization": f"Bearer {KEY}"}}
    yield "echo", answer(echo, status, ID, ECHO), said(status, r"Key \S*\*\*\* is so")


def status_cases() -> Iterator[Case]:
    """Every status in every form: those of the service by all paths, others by two."""
    pairs = itertools.cycle([("invoke", "astream"), ("ainvoke", "stream")])
    for status in STATUSES:
        for name, wire, expect in bodies(status):
            paths = FOUR if name in {"flat", "wrapped", "detail"} else next(pairs)
            kept = name != "huge"  # which is not read to its end
            yield case(f"{status}_{name}", wire, expect=expect, paths=paths, kept=kept)


def limits() -> Iterator[Case]:
    """429 by what ran out and for how long."""
    rows = [
        ("requests_second", "Requests per second limit exceeded - too many requests sent.", "request_quota_exceeded", "requests", "second"),
        ("requests_minute", "Requests per minute limit exceeded - too many requests sent.", "request_quota_exceeded", "requests", "minute"),
        ("requests_hour", "Requests per hour limit exceeded - too many requests sent.", "request_quota_exceeded", "requests", "hour"),
        ("requests_day", "Requests per day limit exceeded - too many requests sent.", "request_quota_exceeded", "requests", "day"),
        ("tokens_minute", "Tokens per minute limit exceeded - too many tokens processed.", "token_quota_exceeded", "tokens", "minute"),
        ("tokens_hour", "Tokens per hour limit exceeded - too many tokens processed.", "token_quota_exceeded", "tokens", "hour"),
        ("tokens_day", "Tokens per day limit exceeded - too many tokens processed.", "token_quota_exceeded", "tokens", "day"),
        ("queue", "We're experiencing high traffic right now! Please try again soon.", "queue_exceeded", "queue", None),
    ]  # fmt: skip
    for name, text, code, kind, window in rows:
        yield case(
            f"429_{name}",
            answer(flat(text, code=code), 429),
            expect=refused(
                429,
                RateLimitError,
                code=code,
                kind=kind,
                window=window,
                retryable=window not in {"hour", "day"},
            ),
            kept=True,
        )


def meanings() -> Iterator[Case]:
    """Bodies that say more than their status."""
    too_long = "Please reduce the length of the messages or completion. Current length is 9 while limit is 8"
    rows: list[tuple[str, int, Any, type[CerebrasStatusError], dict[str, Any]]] = [
        ("too_long", 400, flat(too_long), ContextLengthError, {}),
        ("too_long_by_code", 400, flat("no", code="context_length_exceeded"), ContextLengthError, {"code": "context_length_exceeded"}),
        ("too_long_422", 422, flat(too_long), ContextLengthError, {}),
        ("parameter", 400, flat("body.x: property 'body.x' is unsupported"), UnsupportedParameterError, {}),
        ("no_key", 403, {"detail": "Not authenticated"}, AuthenticationError, {}),
        ("wrong_key", 401, flat("Wrong API Key", code="wrong_api_key"), AuthenticationError, {"code": "wrong_api_key"}),
        ("list_of_details", 422, {"detail": [{"loc": ["body", "x"], "msg": "is wrong"}]}, UnprocessableEntityError, {}),
        ("error_is_text", 500, {"error": "boom"}, InternalServerError, {}),
        ("error_is_null", 500, {"error": None}, InternalServerError, {}),
        ("error_is_a_list", 500, {"error": ["boom"]}, InternalServerError, {}),
        ("json_null", 500, None, InternalServerError, {}),
        ("json_list", 500, [1], InternalServerError, {}),
        ("json_deep", 500, b"[" * 100_000, InternalServerError, {}),
        ("json_half", 500, b'{"message": "half', InternalServerError, {}),
        ("message_is_a_number", 500, {"message": 7}, InternalServerError, {}),
        ("message_of_many_lines", 500, flat("one\ntwo\r\nthree\x1b[31m"), InternalServerError, {}),
        ("no_utf_8", 500, b'{"message": "\xff\xfe"}', InternalServerError, {}),
    ]  # fmt: skip
    for name, status, body, error, data in rows:
        yield case(
            f"{status}_{name}",
            answer(body, status),
            expect=refused(status, error, **data),
            kept=True,
        )
    # The status in the body is the service's own; proxies change the other.
    yield case(
        "status_of_the_body_wins",
        answer(wrapped("busy", 503), 500),
        expect=refused(503, InternalServerError),
        kept=True,
    )
    yield case(
        "404_of_a_retired_model",
        answer(flat("Model llama3.1-8b does not exist.", code="model_not_found"), 404),
        expect=refused(
            404, ModelRetiredError, "retired", "instead", code="model_not_found"
        ),
        options={"model": "llama3.1-8b"},
    )
    yield case(
        "404_of_a_misspelt_model",
        answer(flat("Model gpt-os-120b does not exist.", code="model_not_found"), 404),
        expect=refused(
            404, NotFoundError, "Did you mean 'gpt-oss-120b'", code="model_not_found"
        ),
        options={"model": "gpt-os-120b"},
    )


def http_date(seconds: float) -> str:
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    return then.strftime("%a, %d %b %Y %H:%M:%S GMT")


def waits() -> Iterator[Case]:
    """What `Retry-After` says, in all its forms."""
    rows: list[tuple[str, tuple[str, ...], Any]] = [
        ("seconds", ("Retry-After: 7",), 7.0),
        ("part_of_a_second", ("Retry-After: 0.5",), 0.5),
        ("milliseconds", ("Retry-After-Ms: 250", "Retry-After: 7"), 0.25),
        ("milliseconds_wrong", ("Retry-After-Ms: soon", "Retry-After: 7"), 7.0),
        ("zero", ("Retry-After: 0",), 0.0),
        ("negative", ("Retry-After: -3",), 0.0),
        ("huge", ("Retry-After: 1e9",), 1e9),
        ("nan", ("Retry-After: nan",), None),
        ("infinite", ("Retry-After: inf",), None),
        ("garbage", ("Retry-After: soon",), None),
        ("empty", ("Retry-After: ",), None),
        ("past", ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT",), 0.0),
        ("year_of_no_calendar", ("Retry-After: Wed, 21 Oct 99999 07:28:00 GMT",), None),
    ]
    for name, lines, seconds in rows:
        yield case(
            f"retry_after_{name}",
            answer(flat("busy"), 503, *lines),
            expect=refused(503, InternalServerError, retry_after_s=seconds),
            kept=True,
        )

    def in_half_a_minute(_: Request) -> list[bytes]:
        return [answer(flat("busy"), 503, f"Retry-After: {http_date(30)}")]

    yield Case(
        "retry_after_date",
        [in_half_a_minute],
        refused(503, InternalServerError, retry_after_s=pytest.approx(29, abs=3)),
        kept=True,
    )


def broken_explanations() -> Iterator[Case]:
    """A status whose body does not come whole: the status is said all the same.

    It says what is wrong; that the explanation broke off, or never ends, must not turn
    a wrong key into a network that is worth another try.
    """
    body = json.dumps(flat("It went so")).encode()
    half = head(JSON_TYPE, length(body), status=401) + body[:30]
    chunked = head(JSON_TYPE, "Transfer-Encoding: chunked", status=401)
    expect = refused(401, AuthenticationError)
    says = refused(401, AuthenticationError, "It went so")
    brief = {"timeout": {"connect": 15, "read": 1.0, "first_byte": 1.0, "total": 25}}
    yield case("401_body_cut", half, FIN, expect=expect, kept=False)
    yield case(
        "401_body_stalls",
        half,
        HOLD,
        expect=expect,
        paths=("invoke", "astream"),
        kept=False,
        options=brief,
    )
    yield case(
        "401_body_never_comes",
        head(JSON_TYPE, length(body), status=401),
        HOLD,
        expect=expect,
        paths=("ainvoke", "stream"),
        kept=False,
        options=brief,
    )
    yield case(
        "401_chunks_wrong",
        chunked + b"zz\r\n",
        HOLD,
        expect=expect,
        kept=False,
        differs=dict.fromkeys(ASYNC, lost("protocol")),
        why="aiohttp gives up a head that came in one piece with what it cannot read",
    )
    yield case(
        "401_neither_length_nor_chunks",
        head(JSON_TYPE, status=401) + body,
        FIN,
        expect=says,
        kept=False,
    )
    yield case(
        "401_compressed_as_nobody_asked",
        answer(body, 401, "Content-Encoding: br"),
        expect=expect,
    )


def all_cases() -> list[Case]:
    return [
        *status_cases(),
        *limits(),
        *meanings(),
        *waits(),
        *broken_explanations(),
    ]
