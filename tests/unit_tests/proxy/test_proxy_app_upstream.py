"""What comes on a connection is one answer, however it is cut; or it is none."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext.proxy import Settings, Upstream
from langchain_cerebras_ext.proxy.upstream import (
    Answer,
    Target,
    UpstreamError,
    _Line,
)

CHUNKED = (
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: 1\r\nx-a: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nset-cookie: no\r\nx-late: 1\r\n\r\n"
)
SIZED = b"HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\n\r\nhello, world"
OPEN = b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nhello, world"


class Wire(asyncio.Transport):
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Held:
    """What the pool gives: it may be released or closed, once."""

    def __init__(self) -> None:
        self.end: str | None = None

    def release(self) -> None:
        assert self.end is None
        self.end = "released"

    def close(self) -> None:
        assert self.end is None
        self.end = "closed"


def run(work: Any) -> Any:
    async def main() -> Any:
        line = _Line(asyncio.get_running_loop())
        line.transport = cast("Any", Wire())
        return await work(line)

    return asyncio.run(asyncio.wait_for(main(), 10))


def ask(line: _Line) -> tuple[Answer, Held]:
    held = Held()
    return line.ask(cast("Any", held), b"POST / HTTP/1.1\r\n\r\n", b"{}"), held


async def read(answer: Answer) -> bytes:
    parts = []
    while part := await answer.read():
        parts.append(part)
    return b"".join(parts)


async def answered(line: _Line, *pieces: bytes, ends: bool = False) -> Any:
    answer, held = ask(line)
    for piece in pieces:
        line.data_received(piece)
    if ends:
        line.connection_lost(None)
    await answer.head()
    body = await read(answer)
    answer.release()
    return answer.status, answer.headers, body, held.end


@pytest.mark.parametrize(
    ("data", "ends"),
    [(CHUNKED, False), (SIZED, False), (OPEN, True)],
    ids=["chunked", "sized", "until the end"],
)
def test_every_cut_gives_the_same_answer(data: bytes, ends: bool) -> None:
    whole = run(lambda line: answered(line, data, ends=ends))
    assert whole[2] == b"hello, world"
    assert whole[3] == ("closed" if ends else "released")
    for at in range(1, len(data)):
        cut = (data[:at], data[at:])
        assert run(lambda line, cut=cut: answered(line, *cut, ends=ends)) == whole


def test_headers_come_in_lower_case_and_trailers_not_at_all() -> None:
    _, headers, _, _ = run(lambda line: answered(line, CHUNKED))
    assert headers == [
        (b"content-type", b"text/plain"),
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"transfer-encoding", b"chunked"),
    ]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=5))
def test_noise_is_an_error_and_never_hangs(noise: bytes, cuts: list[int]) -> None:
    data = SIZED[:40] + noise

    async def work(line: _Line) -> None:
        answer, held = ask(line)
        places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        for start, end in pairwise(places):
            line.data_received(data[start:end])
        line.connection_lost(None)
        try:
            await answer.head()
            await read(answer)
        except UpstreamError:
            pass
        else:
            assert answer.ended
        answer.release()
        assert held.end in {"released", "closed"}

    run(work)


def test_a_connection_serves_one_answer_after_another() -> None:
    async def work(line: _Line) -> list[Any]:
        return [await answered(line, data) for data in (SIZED, CHUNKED, SIZED)]

    assert [one[2] for one in run(work)] == [b"hello, world"] * 3


def test_two_answers_at_once_are_one_too_many() -> None:
    status, _, body, end = run(lambda line: answered(line, SIZED + SIZED))
    assert (status, body, end) == (404, b"hello, world", "closed")


def test_what_comes_between_requests_closes_the_connection() -> None:
    async def work(line: _Line) -> bool:
        await answered(line, SIZED)
        assert line.is_connected()
        line.data_received(SIZED)
        return line.is_connected() or not line.should_close

    assert run(work) is False


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx",
     b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"],
    ids=["close", "1.0"],
)  # fmt: skip
def test_a_connection_that_will_be_closed_is_not_kept(head: bytes) -> None:
    assert run(lambda line: answered(line, head))[3] == "closed"


def test_more_than_anybody_takes_is_not_read() -> None:
    async def work(line: _Line) -> tuple[bool, bool, int]:
        wire = cast("Wire", line.transport)
        answer, _ = ask(line)
        line.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n")
        line.data_received(b"x" * 70_000)
        before = wire.paused
        size = len(await answer.read())
        after = wire.paused
        answer.release()
        return before, after, size

    assert run(work) == (True, False, 70_000)


def test_an_unfinished_answer_takes_its_connection_along() -> None:
    async def work(line: _Line) -> tuple[Any, bool]:
        wire = cast("Wire", line.transport)
        answer, held = ask(line)
        line.data_received(SIZED[:-1])
        answer.release()
        answer.release()  # again, without harm
        return held.end, wire.closed

    assert run(work) == ("closed", True)


def test_what_came_before_a_break_is_handed_on_first() -> None:
    async def work(line: _Line) -> tuple[bytes, str]:
        answer, _ = ask(line)
        line.data_received(SIZED[:-3])
        line.connection_lost(ConnectionResetError())
        body = await answer.read()
        with pytest.raises(UpstreamError) as caught:
            await answer.read()
        return body, caught.value.category

    assert run(work) == (b"hello, wo", "upstream_interrupted")


def test_a_body_that_breaks_the_protocol_is_told() -> None:
    async def work(line: _Line) -> str:
        answer, _ = ask(line)
        line.data_received(CHUNKED[: CHUNKED.index(b"7;")] + b"zz\r\n")
        await answer.read()
        with pytest.raises(UpstreamError) as caught:
            await answer.read()
        return caught.value.category

    assert run(work) == "upstream_invalid_answer"


# ---------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("https://api.cerebras.ai/v1", b"/v1/chat/completions", b"api.cerebras.ai"),
        ("http://127.0.0.1:8080/v1", b"/v1/chat/completions", b"127.0.0.1:8080"),
        ("http://[::1]:8080/v1", b"/v1/chat/completions", b"[::1]:8080"),
        ("https://a.test/x/openai/v1", b"/x/openai/v1/chat/completions", b"a.test"),
    ],
)
def test_a_request_begins_with_the_upstreams_own(
    url: str, line: bytes, host: bytes
) -> None:
    target = Target(Upstream(base_url=url, api_key="key-of-the-upstream"))
    head = target.head(b"POST", b"/chat/completions", b"x-a: b\r\n")
    assert head == (
        b"POST " + line + b" HTTP/1.1\r\nhost: " + host + b"\r\n"
        b"accept-encoding: identity\r\nauthorization: Bearer key-of-the-upstream\r\n"
        b"x-a: b\r\n\r\n"
    )
    assert "key-of" not in repr(target)


def test_an_upstream_without_a_key_gets_none() -> None:
    target = Target(Upstream(base_url="http://127.0.0.1:1/v1"))
    assert b"authorization" not in target.head(b"GET", b"/models", b"")
    assert Settings(upstream=Upstream(base_url="http://127.0.0.1:1/v1"))
