"""What passes by is read on the side, in whatever pieces it comes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext.proxy.tap import BodyTap, StreamTap, find_error

DONE = b"data: [DONE]\n\n"
USAGE = {"total_tokens": 80, "completion_tokens": 11, "prompt_tokens": 69}
TIMES = {"queue_time": 0.5, "total_time": 0.7}


def chunk(delta: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"delta": delta, "index": 0}]
    return {
        "id": "chatcmpl-1",
        "choices": choices,
        "created": 1,
        "model": "gpt-oss-120b",
        "object": "chat.completion.chunk",
        **more,
    }


def sse(*values: Any, end: bytes = b"\n") -> bytes:
    return b"".join(
        b"data: " + json.dumps(value, separators=(",", ":")).encode() + end * 2
        for value in values
    )


ROLE = chunk({"role": "assistant"})
LAST = chunk({}, usage=USAGE, time_info=TIMES)
LAST["choices"][0]["finish_reason"] = "stop"
TEXT = [chunk({"content": f" word{n}"}) for n in range(12)]
WHOLE = sse(ROLE, *TEXT, LAST) + DONE


def read(data: bytes, *cuts: int) -> StreamTap:
    tap = StreamTap()
    places = [0, *sorted(set(cuts)), len(data)]
    for start, end in pairwise(places):
        if start != end:
            tap.feed(data[start:end])
    tap.finish()
    return tap


def facts(tap: StreamTap) -> dict[str, Any]:
    names = "id model usage time_info finish_reason error error_is_flat size events"
    names += " has_content is_done is_unreadable"
    return {name: getattr(tap, name) for name in names.split()}


STREAMS = {
    "as Cerebras sends it": WHOLE,
    "with CRLF": sse(ROLE, *TEXT, LAST, end=b"\r\n") + b"data: [DONE]\r\n\r\n",
    "usage in a chunk of its own": (
        sse(ROLE, *TEXT, chunk({}), chunk(None, usage=USAGE)) + DONE
    ),
    "usage null in every chunk": (
        sse(*({**one, "usage": None} for one in (ROLE, *TEXT)), LAST) + DONE
    ),
    "usage in every chunk": (
        sse(*({**one, "usage": {"total_tokens": 1}} for one in TEXT), LAST) + DONE
    ),
    "reasoning, then a tool call": sse(
        ROLE,
        *(chunk({"reasoning": f"Hm {n}."}) for n in range(3)),
        chunk({"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}),
        *(
            chunk({"tool_calls": [{"function": {"arguments": '{"usage":1'}}]})
            for _ in range(3)
        ),
        LAST,
    )
    + DONE,
    "comments and event names": (
        b": hello\n\n" + sse(ROLE) + b": ping\n\nevent: message\n" + WHOLE
    ),
    "text that looks like events": (
        sse(
            ROLE,
            chunk({"content": 'data: [DONE]\n\ndata: {"usage": {}} "choices":'}),
            chunk({"content": "usage"}),
            chunk({"content": '"usage":{"total_tokens":5}'}),
            LAST,
        )
        + DONE
    ),
    "an error event": sse(ROLE, TEXT[0], {"error": {"message": "No.", "code": "x"}}),
    "a flat error event, and the end": (
        sse(ROLE, TEXT[0], {"message": "No.", "status_code": 500}) + DONE
    ),
    "cut in an event": WHOLE[: len(WHOLE) // 2],
    "the end without a line's end": WHOLE[:-2],
    "no JSON": b"data: {not\n\n" + WHOLE,
    "text completions": (
        sse(*({"id": "c", "choices": [{"text": "a", "index": 0}]} for _ in range(4)))
        + DONE
    ),
    "nothing": b"",
}


@pytest.mark.parametrize("name", list(STREAMS))
def test_every_split_in_two_tells_the_same(name: str) -> None:
    data = STREAMS[name]
    whole = facts(read(data))
    for at in range(len(data) + 1):
        assert facts(read(data, at)) == whole, at


@pytest.mark.parametrize("name", list(STREAMS))
def test_byte_by_byte_tells_the_same(name: str) -> None:
    data = STREAMS[name]
    assert facts(read(data, *range(len(data)))) == facts(read(data))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(STREAMS)), st.lists(st.integers(0, 3000), max_size=30))
def test_any_split_tells_the_same(name: str, cuts: list[int]) -> None:
    data = STREAMS[name]
    cuts = [cut for cut in cuts if cut <= len(data)]
    assert facts(read(data, *cuts)) == facts(read(data))


def test_a_whole_stream_is_told_whole() -> None:
    tap = read(WHOLE)
    assert (tap.id, tap.model) == ("chatcmpl-1", "gpt-oss-120b")
    assert tap.usage == USAGE
    assert tap.time_info == TIMES
    assert tap.finish_reason == "stop"
    assert tap.events == 14  # the end is none
    assert tap.is_done
    assert tap.has_content
    assert tap.error is None
    assert tap.size == len(WHOLE)


@pytest.mark.parametrize(
    ("delta", "is_content"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"content": None}, False),
        ({"content": "a"}, True),
        ({"reasoning": "a"}, True),
        ({"reasoning_content": "a"}, True),
        ({"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}, True),
        ({"tool_calls": []}, False),
        ({}, False),
    ],
    ids=lambda value: json.dumps(value),
)
def test_the_first_content_is_found(delta: dict[str, Any], is_content: bool) -> None:
    tap = StreamTap()
    tap.feed(sse(ROLE, chunk(delta)))
    assert tap.has_content is is_content


def test_content_is_noticed_with_the_read_that_brings_it() -> None:
    """The time to the first token is that of the read, whatever came before."""
    tap = StreamTap()
    tap.feed(sse(ROLE))
    assert not tap.has_content
    half = sse(TEXT[0])
    tap.feed(half[:-1])
    assert tap.has_content  # the line is complete
    assert tap.events == 2


@pytest.mark.parametrize("size", [1, 5, 100, 197, 1000, 10**6])
def test_the_length_of_an_unfinished_answer_is_about_right(size: int) -> None:
    """Where no usage comes it is what the answer's cost is estimated by."""
    data = sse(ROLE, *(chunk({"content": "abcde"}) for _ in range(200)))
    tap = read(data, *range(0, len(data), size))
    assert tap.usage is None
    assert tap.answer_chars == pytest.approx(1000, abs=5)


def test_tool_arguments_count_as_the_answer() -> None:
    calls = [
        chunk({"tool_calls": [{"function": {"arguments": "12345"}}]}) for _ in range(9)
    ]
    assert read(sse(*calls)).answer_chars == 45


def test_bytes_of_an_incomplete_line_are_told() -> None:
    tap = StreamTap()
    assert tap.feed(b"data: {}\n\nda") == 2
    assert tap.feed(b"ta: ") == 4
    assert tap.feed(b"{}\n") == 0
    assert tap.feed(b"\ndata: x") == 7


def test_an_endless_line_is_let_go_of() -> None:
    tap = StreamTap()
    for _ in range(40):
        tap.feed(b"x" * 50_000)
    assert sum(map(len, tap._rest)) < 1024 * 1024 + 50_001
    assert tap.feed(b"x" * 10) == 0
    tap.feed(b"\n\n" + WHOLE)
    assert tap.is_done
    assert tap.usage == USAGE


def test_lines_may_end_in_carriage_returns_alone() -> None:
    tap = read(WHOLE.replace(b"\n", b"\r"))
    assert tap.is_done
    assert tap.usage == USAGE


def test_where_an_error_stands_in_a_read_is_found() -> None:
    before = sse(ROLE, TEXT[0])
    assert find_error(before + sse({"message": "No.", "code": 5})) == len(before)
    assert find_error(sse({"error": "no"})) == 0
    assert find_error(WHOLE) is None
    assert find_error(b"data: {no\n\n") is None


def test_an_error_is_told_with_its_status() -> None:
    tap = read(sse({"status_code": 503, "error": {"message": "Busy.", "code": ""}}))
    assert tap.error == {"message": "Busy.", "code": "", "status_code": 503}
    assert not tap.error_is_flat
    tap = read(sse({"error": "Busy."}))
    assert tap.error == {"message": "Busy."}


# ------------------------------------------------------------------------- one object

BODY = {
    "id": "chatcmpl-2",
    "choices": [{"index": 0, "message": {"content": "abc", "reasoning": "de"}}],
    "model": "gpt-oss-120b",
    "usage": USAGE,
    "time_info": TIMES,
}


def read_body(body: bytes, size: int = 10**9) -> BodyTap:
    tap = BodyTap()
    for start in range(0, len(body), size):
        tap.feed(body[start : start + size])
    tap.finish()
    return tap


@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_a_body_is_read_whole(size: int) -> None:
    tap = read_body(json.dumps(BODY).encode(), size)
    assert (tap.id, tap.model, tap.usage) == ("chatcmpl-2", "gpt-oss-120b", USAGE)
    assert tap.time_info == TIMES
    assert tap.error is None
    assert not tap.is_unreadable


def test_an_answer_without_usage_is_measured() -> None:
    tap = read_body(json.dumps({**BODY, "usage": None}).encode())
    assert tap.usage is None
    assert tap.answer_chars == 5


@pytest.mark.parametrize("size", [30_000, 10**9])
def test_of_a_huge_body_the_end_is_read(size: int) -> None:
    choices = [{"index": 0, "message": {"content": "x" * 5_000_000}}]
    tap = read_body(json.dumps({**BODY, "choices": choices}).encode(), size)
    assert tap.usage == USAGE
    assert not tap.is_unreadable


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"a": 1', b"\xff"], ids=["nothing", "html", "cut", "ff"]
)
def test_what_is_no_json_is_unreadable(body: bytes) -> None:
    tap = read_body(body)
    assert tap.is_unreadable
    assert tap.usage is None


@pytest.mark.parametrize(
    "body",
    [b"[]", b"5", b'{"choices": 5}', b'{"id": NaN}', b'{"choices": [{"delta": 1}]}'],
    ids=["list", "number", "odd choices", "NaN", "odd delta"],
)
def test_odd_json_is_no_fault(body: bytes) -> None:
    assert not read_body(body).is_unreadable


def test_an_error_in_a_body_is_told() -> None:
    tap = read_body(b'{"message": "No.", "code": "x", "type": "y"}')
    assert tap.error is not None
    assert tap.error["message"] == "No."
