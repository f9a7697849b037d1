"""Servers that say nothing, at each phase, and servers that drip.

The limits are told apart: that on connecting, that on the first byte, that on silence
and that on the whole call. In each row one of them is short and the others are so long
that none of them can win; the server waits for the client to go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fault_answers import (
    CHUNKED,
    FINISH,
    JSON_TYPE,
    RICH_BODY,
    RICH_ID,
    ROLE,
    STREAM_HEAD,
    TEXT,
    THINK,
    begun,
    chunk,
    head,
    length,
)
from fault_case import (
    PLAIN,
    STREAMED,
    Broken,
    Case,
    Partial,
    case,
    late,
    refused,
    unreadable,
)
from fault_server import HOLD, Drip

from langchain_cerebras_ext.errors import AuthenticationError

BRIEF = 0.2
LONGER = 1.0
"""For rows in which something must have come before the limit is reached."""

TWO = ("stream", "astream")
LENGTH = length(RICH_BODY)
SOME = Partial("Let me look", "I need the")


def limits(**brief: float) -> dict[str, Any]:
    """Return the model's limits: long ones, but for some."""
    long = {"connect": 15, "read": 15, "first_byte": 15, "total": 25}
    return {"timeout": {**long, **brief}}


def silence(paths: tuple[str, ...]) -> dict[str, Any]:
    """Return limits of which that on silence before the body is short."""
    # In a stream the first byte has a limit of its own, as long as that byte is due.
    return limits(first_byte=BRIEF) if paths is TWO else limits(read=BRIEF)


def stalls_before_the_body() -> Iterator[Case]:
    rows = [
        ("before_the_status_line", b""),
        ("in_the_status_line", b"HTTP/1.1 2"),
        ("in_a_header", b"HTTP/1.1 200 OK\r\nX-A: "),
        ("before_the_end_of_the_headers", b"HTTP/1.1 200 OK\r\nX-A: 1\r\n"),
        ("after_continue", head(status=100)),
        ("after_early_hints", head(status=103)),
        ("after_many_early_hints", head(status=103) * 5),
    ]
    for paths in (PLAIN, TWO):
        for name, wire in rows:
            what = "stream_stall" if paths is TWO else "stall"
            yield case(
                f"{what}_{name}",
                *([wire] if wire else []),
                HOLD,
                expect=late("idle", BRIEF),
                paths=paths,
                options=silence(paths),
                kept=False,
            )


def stalls_in_the_body() -> Iterator[Case]:
    rows = [
        ("after_the_headers", head(JSON_TYPE, LENGTH)),
        ("in_the_body", head(JSON_TYPE, LENGTH) + RICH_BODY[:99]),
        ("in_a_chunk", head(JSON_TYPE, CHUNKED) + chunk(RICH_BODY)[:99]),
        ("before_the_last_chunk", head(JSON_TYPE, CHUNKED) + chunk(RICH_BODY)),
        ("without_an_end", head(JSON_TYPE) + RICH_BODY),
    ]
    for name, wire in rows:
        yield case(
            f"stall_{name}",
            wire,
            HOLD,
            expect=late("idle", BRIEF),
            paths=PLAIN,
            options=limits(read=BRIEF),
            kept=False,
        )
    yield case(
        "stall_in_an_error",
        head(JSON_TYPE, "Content-Length: 99", status=401) + b'{"message": "no',
        HOLD,
        expect=refused(401, AuthenticationError),
        options=limits(read=LONGER, first_byte=LONGER),
        paths=("invoke", "astream"),
        kept=False,
    )


def stalls_in_a_stream() -> Iterator[Case]:
    first = limits(first_byte=BRIEF)
    yield case(
        "stall_before_the_first_byte",
        STREAM_HEAD,
        HOLD,
        expect=late("idle", BRIEF),
        paths=STREAMED,
        options=first,
        kept=False,
    )
    told = {"request_id": RICH_ID}
    events = [ROLE, THINK, TEXT]
    rows: list[tuple[str, bytes, Broken]] = [
        ("comments", begun(b": ping\n\n"), late("idle", BRIEF)),
        ("half_an_event", begun(ROLE[:30]), late("idle", BRIEF)),
        ("the_role", begun(ROLE), late("idle", BRIEF, partial=Partial(), **told)),
        ("a_text", begun(*events), late("idle", BRIEF, partial=SOME, **told)),
        ("half_a_chunk", begun(*events) + chunk(TEXT)[:40], late("idle", BRIEF, partial=SOME, **told)),
    ]  # fmt: skip
    for name, wire, expect in rows:
        yield case(
            f"stall_after_{name}",
            wire,
            HOLD,
            expect=expect,
            paths=STREAMED if name == "a_text" else TWO,
            options=limits(read=BRIEF),
            kept=False,
        )
    usage = Partial(SOME.text, SOME.reasoning, (), (140, 38, 178))
    yield case(
        "stall_after_the_finish",
        begun(*events, FINISH),
        HOLD,
        expect=late("idle", BRIEF, partial=usage, billed=True, **told),
        paths=STREAMED,
        options=limits(read=BRIEF),
        kept=False,
    )
    # The parameter of the model has the same meaning as `read` within a stream.
    yield case(
        "stall_by_stream_chunk_timeout",
        begun(*events),
        HOLD,
        expect=late("idle", BRIEF, partial=SOME, **told),
        paths=TWO,
        options={**limits(), "stream_chunk_timeout": BRIEF},
        kept=False,
    )


def drips() -> Iterator[Case]:
    """A byte now and then is no silence: only the limit on the whole call ends it."""
    whole = limits(total=0.3)
    expect = late("total", 0.3)
    yield case(
        "drip_of_a_header",
        Drip(b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 2000),
        expect=expect,
        options=whole,
        kept=False,
    )
    yield case(
        "drip_of_early_hints",
        Drip(head(status=103) * 100),
        expect=expect,
        options=whole,
        kept=False,
    )
    yield case(
        "drip_of_a_body",
        head(JSON_TYPE, LENGTH),
        Drip(RICH_BODY),
        expect=expect,
        paths=PLAIN,
        options=whole,
        kept=False,
    )
    yield case(
        "drip_of_a_chunk_size",
        head(JSON_TYPE, CHUNKED),
        Drip(b"0" * 2000),
        expect=expect,
        paths=PLAIN,
        options=whole,
        kept=False,
    )
    yield case(
        "drip_of_an_error",
        head(JSON_TYPE, "Content-Length: 2000", status=401),
        Drip(b" " * 2000),
        expect=refused(401, AuthenticationError),
        options=limits(total=LONGER),
        paths=("ainvoke", "stream"),
        kept=False,
    )
    yield case(
        "drip_of_a_page_for_a_stream",
        head("Content-Type: text/html", "Content-Length: 2000"),
        Drip(b"x" * 2000),
        expect=unreadable("xxx", retryable=False),
        options=limits(total=LONGER),
        paths=TWO,
        kept=False,
    )
    yield case(
        "drip_of_a_comment",
        STREAM_HEAD,
        Drip(chunk(b": " + b"x" * 2000)),
        expect=expect,
        paths=TWO,
        options=whole,
        kept=False,
    )
    yield case(
        "drip_of_comments",
        STREAM_HEAD,
        Drip(chunk(b": ping\n\n") * 300),
        expect=expect,
        paths=STREAMED,
        options=whole,
        kept=False,
    )
    yield case(
        "drip_of_an_event",
        begun(ROLE, THINK, TEXT),
        Drip(chunk(TEXT)),
        expect=late(
            "total",
            LONGER,
            partial=SOME,
            request_id=RICH_ID,
        ),
        paths=STREAMED,
        options={**limits(), "total_timeout": LONGER},
        kept=False,
    )


def all_cases() -> list[Case]:
    return [
        *stalls_before_the_body(),
        *stalls_in_the_body(),
        *stalls_in_a_stream(),
        *drips(),
    ]
