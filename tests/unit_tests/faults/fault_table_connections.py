"""Connections that are kept: what comes on them unasked, and when they are of no use."""

from __future__ import annotations

from collections.abc import Iterator

from fault_answers import (
    CHUNKED,
    JSON_TYPE,
    PLAIN_BODY,
    RICH_BODY,
    RICH_STREAM,
    answer,
    begun,
    chunk,
    flat,
    head,
    streamed,
)
from fault_case import (
    FOUR,
    PLAIN,
    PLAIN_ANSWER,
    RICH_ANSWER,
    Case,
    case,
    lost,
    refused,
)
from fault_server import FIN, HOLD, READ

from langchain_cerebras_ext.errors import (
    InternalServerError,
    RateLimitError,
)

TWO = ("stream", "astream")
OTHER = answer(RICH_BODY)
"""An answer that nobody has asked for; the next call must not get it."""


def left_over() -> Iterator[Case]:
    """More comes in one piece with an answer than the answer."""
    rows = [
        ("an_answer", OTHER),
        ("half_an_answer", OTHER[:40]),
        ("a_line_break", b"\r\n"),
    ]
    for name, more in rows:
        # aiohttp does not say that it holds half of something.
        unseen = name != "an_answer"
        yield case(
            f"left_over_{name}",
            answer(PLAIN_BODY) + more,
            expect=PLAIN_ANSWER,
            paths=("invoke",) if unseen else PLAIN,
            kept=False,
        )
        yield case(
            f"left_over_{name}_after_chunks",
            head(JSON_TYPE, CHUNKED) + chunk(PLAIN_BODY) + b"0\r\n\r\n" + more,
            expect=PLAIN_ANSWER,
            paths=("invoke",) if unseen else PLAIN,
            kept=False,
        )
        yield case(
            f"left_over_{name}_after_an_error",
            answer(flat("Busy"), 503) + more,
            expect=refused(503, InternalServerError),
            paths=("invoke", "stream") if unseen else FOUR,
            kept=False,
        )
        yield case(
            f"left_over_{name}_after_a_stream",
            streamed(RICH_STREAM) + more,
            expect=RICH_ANSWER,
            paths=("stream",) if unseen else TWO,
            kept=False,
        )
    yield case(
        "left_over_junk",
        answer(PLAIN_BODY) + b"junk\r\n\r\n",
        expect=PLAIN_ANSWER,
        paths=PLAIN,
        differs={"ainvoke": lost("protocol")},
        why="aiohttp refuses the junk, and gives up what came in one piece with it",
        kept=False,
    )


def after_done() -> Iterator[Case]:
    """`[DONE]` ends an answer; the connection is kept if the body ends with it."""
    whole = RICH_STREAM
    yield case(
        "stream_that_ends_at_once",
        streamed(whole),
        expect=RICH_ANSWER,
        paths=TWO,
        kept=True,
    )
    yield case(
        "stream_that_does_not_end",
        begun(whole),
        HOLD,
        expect=RICH_ANSWER,
        paths=TWO,
        kept=False,
    )
    yield case(
        "stream_that_goes_on",
        begun(whole),
        *([chunk(b": ping\n\n")] * 3),
        HOLD,
        expect=RICH_ANSWER,
        paths=TWO,
        kept=False,
    )
    yield case(
        "stream_with_trailers",
        begun(whole) + b"0\r\nX-A: 1\r\n\r\n",
        expect=RICH_ANSWER,
        paths=TWO,
        kept=True,
    )


def kept_or_not() -> Iterator[Case]:
    """Errors leave the connection to the next call if their bodies end in order."""
    busy = refused(503, InternalServerError)
    yield case("error_then_the_next_call", answer(flat("Busy"), 503), expect=busy, kept=True)  # fmt: skip
    yield case(
        "error_that_closes",
        answer(flat("Busy"), 503, "Connection: close"),
        expect=busy,
        kept=False,
    )
    yield case(
        "error_that_closes_without_saying_so",
        answer(flat("Busy"), 503),
        FIN,
        expect=busy,
        kept=False,
    )
    yield case(
        "answer_that_closes_without_saying_so",
        answer(RICH_BODY),
        FIN,
        expect=RICH_ANSWER,
        paths=PLAIN,
        kept=False,
    )
    yield case(
        "stream_that_closes_without_saying_so",
        streamed(RICH_STREAM),
        FIN,
        expect=RICH_ANSWER,
        paths=TWO,
        kept=False,
    )


def before_the_request() -> Iterator[Case]:
    """What a server does that has not read the request."""
    early = answer(flat("Slow down", code="queue_exceeded"), 429, "Connection: close")
    yield Case(
        "answer_before_the_request",
        [],
        refused(429, RateLimitError, code="queue_exceeded", kind="queue"),
        on_connect=(early, READ, FIN),
        requests=None,
        kept=False,
    )
    yield Case(
        "banner_before_the_request",
        [],
        lost("protocol"),
        on_connect=(b"220 mail.example ESMTP\r\n", READ, HOLD),
        requests=None,
        kept=False,
    )


def all_cases() -> list[Case]:
    return [
        *left_over(),
        *after_done(),
        *kept_or_not(),
        *before_the_request(),
    ]
