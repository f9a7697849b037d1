"""Answers as bytes: odd but legal ones are read, all others are errors of ours."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from langchain_cerebras_ext._http import Timeouts
from langchain_cerebras_ext._http._headers import request_headers
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasConnectionError,
)

if TYPE_CHECKING:
    from conftest import Client, Peer, Server

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


WHOLE = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", b"hello world"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "chunks": (CHUNKED + chunk(b"hello ") + chunk(b"world") + b"0\r\n\r\n", b"hello world"),
    "extensions": (
        CHUNKED + chunk(b"hello ", b' ;a=1;b="x y"') + chunk(b"world", b";q") + b"0;last\r\n\r\n",
        b"hello world",
    ),
    "trailers": (CHUNKED + chunk(b"x") + b"0\r\nA: 1\r\nB: 2\r\n\r\n", b"x"),
    "upper case size": (CHUNKED + b"000A\r\n" + b"y" * 10 + b"\r\n0\r\n\r\n", b"y" * 10),
    "line ends in a chunk": (CHUNKED + chunk(b"\r\n\r\n0\r\n\r\n") + b"0\r\n\r\n", b"\r\n\r\n0\r\n\r\n"),
    "early hints first": (
        b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"0\r\n\r\n",
        b"",
    ),
    "gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzipped(b"zipped" * 9))
        + gzipped(b"zipped" * 9),
        b"zipped" * 9,
    ),
    "gzip in chunks": (
        CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n"
        + b"".join(chunk(bytes([byte])) for byte in gzipped(b"zipped" * 9)) + b"0\r\n\r\n",
        b"zipped" * 9,
    ),
    "deflate": (
        CHUNKED[:-2] + b"Content-Encoding: deflate\r\n\r\n" + chunk(zlib.compress(b"deflated")) + b"0\r\n\r\n",
        b"deflated",
    ),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
}  # fmt: skip


def in_pieces(
    wire: bytes, size: int, pause_s: float = 0.0
) -> Callable[[Peer, Server], None]:
    def handler(peer: Peer, server: Server) -> None:
        while request := peer.read_request():
            server.requests.append(request)
            for at in range(0, len(wire), size):
                peer.send(wire[at : at + size])
                if pause_s:
                    time.sleep(pause_s)

    return handler


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20], ids=["1", "2", "3", "all"])
@pytest.mark.parametrize("name", WHOLE)
def test_odd_but_legal_answers_are_read_in_any_pieces_and_the_connection_is_kept(
    client: Client, serve: Callable[..., Server], name: str, size: int
) -> None:
    wire, body = WHOLE[name]
    server = serve(in_pieces(wire, size))
    assert [client.send(server.url).read() for _ in range(3)] == [body] * 3
    assert (server.connections, len(server.requests)) == (1, 3)


def test_chunks_that_come_byte_by_byte_and_late_are_read(
    client: Client, serve: Callable[..., Server]
) -> None:
    wire, body = WHOLE["extensions"]
    server = serve(in_pieces(wire, 1, 0.001))
    assert client.send(server.url).read() == body


ENDED = {
    "nothing": (b"", "without an answer"),
    "status line": (b"HTTP/1.1 200", "inside the headers"),
    "headers": (b"HTTP/1.1 200 OK\r\nA: 1\r\n", "inside the headers"),
    "headers with a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "inside the headers"),
    "headers of chunks": (CHUNKED[:-2], "inside the headers"),
    "headers but one byte": (b"HTTP/1.1 200 OK\r\n\r", "inside the headers"),
    "after hints": (b"HTTP/1.1 103 Early Hints\r\n\r\n", "without an answer|inside the headers"),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "before the answer's end"),
    "no chunk": (CHUNKED, "before the answer's end"),
    "inside a size": (CHUNKED + b"5", "before the answer's end"),
    "inside a chunk": (CHUNKED + b"5\r\nabc", "before the answer's end"),
    "inside a chunk's end": (CHUNKED + b"3\r\nabc\r", "before the answer's end"),
    "between chunks": (CHUNKED + chunk(b"abc"), "before the answer's end"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDED)
def test_an_answer_cut_anywhere_is_told(
    client: Client, serve: Callable[..., Server], name: str
) -> None:
    wire, text = ENDED[name]

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(wire)
        peer.close()

    with pytest.raises(CerebrasConnectionError, match=text) as caught:
        client.send(serve(handler).url).read()
    assert caught.value.kind == "closed"


GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH\r\n\r\n",
    "no status": b"HTTP/1.1 what\r\n\r\n",
    "size no number": CHUNKED + b"zz\r\n\r\n",
    "no gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "no gzip in chunks": CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n" + chunk(b"not gzip") + b"0\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000,
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_not_http_is_refused(
    client: Client, serve: Callable[..., Server], name: str
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(GARBAGE[name])
        peer.wait_gone()

    with pytest.raises(CerebrasConnectionError) as caught:
        client.send(serve(handler).url, timeouts=Timeouts(read_s=5)).read()
    assert caught.value.kind == "protocol"


def test_long_headers_are_read(client: Client, serve: Callable[..., Server]) -> None:
    wire = b"HTTP/1.1 200 OK\r\nA: %b\r\nContent-Length: 0\r\n\r\n" % (b"x" * 60_000)
    answer = client.send(serve(in_pieces(wire, 1 << 20)).url)
    assert answer.headers["a"] == "x" * 60_000


def test_headers_are_in_lower_case_and_repeated_ones_joined(
    client: Client, serve: Callable[..., Server]
) -> None:
    wire = b"HTTP/1.1 200 OK\r\nX-A:1\r\nx-a:  2 \r\nContent-Length: 0\r\n\r\n"
    answer = client.send(serve(in_pieces(wire, 1 << 20)).url)
    assert answer.headers == {"x-a": "1, 2", "content-length": "0"}


def test_no_cookie_is_kept(client: Client, serve: Callable[..., Server]) -> None:
    wire = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n"
    server = serve(in_pieces(wire, 1 << 20))
    for _ in range(2):
        client.send(server.url).read()
    assert all("cookie" not in request.headers for request in server.requests)


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
    ids=["1.1", "close", "Close", "1.0", "1.0 kept"],
)
def test_a_connection_is_kept_as_the_server_says(
    client: Client, serve: Callable[..., Server], head: bytes, kept: bool
) -> None:
    server = serve(in_pieces(head + b"Content-Length: 2\r\n\r\nok", 1 << 20))
    assert [client.send(server.url).read() for _ in range(2)] == [b"ok", b"ok"]
    assert server.connections == (1 if kept else 2)


def test_data_that_nobody_asked_for_spoils_the_connection(
    client: Client, serve: Callable[..., Server]
) -> None:
    """By itself aiohttp takes such data for the next answer."""

    def handler(peer: Peer, server: Server) -> None:
        while peer.read_request():
            peer.send(PLAIN)
            if server.connections == 1:
                server.event("read").wait(5)
                peer.send(b"HTTP/1.1 500 Not yours\r\nContent-Length: 0\r\n\r\n")
                server.event("sent").set()

    server = serve(handler)
    assert client.send(server.url).read() == b"ok"
    server.event("read").set()
    server.event("sent").wait(5)
    time.sleep(0.02)
    if client._runner:
        client._runner.run(asyncio.sleep(0.02))
    assert client.send(server.url).read() == b"ok"
    assert server.connections == 2


# ---------------------------------------------------------------- the end of a stream

DONE = CHUNKED + chunk(b"data: [DONE]\n\n")


def finish(client: Client, answer: object) -> None:
    found = answer.response.finish(0.2)  # type: ignore[attr-defined]
    if client._runner:
        client._runner.run(found)


@pytest.mark.parametrize("pause_s", [0.0, 0.05], ids=["at once", "a little later"])
def test_a_finished_stream_leaves_its_connection_to_the_next_call(
    client: Client, serve: Callable[..., Server], pause_s: float
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        while peer.read_request():
            peer.send(DONE)
            time.sleep(pause_s)
            peer.send(b"0\r\n\r\n")

    server = serve(handler)
    for _ in range(3):
        answer = client.send(server.url)
        assert answer.next() == b"data: [DONE]\n\n"
        finish(client, answer)
    assert server.connections == 1


@pytest.mark.parametrize("then", ["silence", "more", "end"])
def test_a_stream_that_does_not_end_is_dropped_soon(
    client: Client, serve: Callable[..., Server], then: str
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(DONE)
        if then == "end":
            return
        while not peer.wait_gone(0.02):
            if then == "more":
                peer.send(chunk(b": ping\n\n"))
        server.event("gone").set()

    server = serve(handler)
    answer = client.send(server.url)
    assert answer.next() == b"data: [DONE]\n\n"
    started = time.monotonic()
    finish(client, answer)
    assert time.monotonic() - started < 30
    if client._runner:
        client._runner.run(asyncio.sleep(0.01))
    assert then == "end" or server.event("gone").wait(2)
    finish(client, answer)  # does nothing


# ------------------------------------------------------------------------- what is sent


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"a": "x\r\nb: y"}, "'a' holds a line break"),
        ({"a": "x\n y"}, "'a' holds a line break"),
        ({"a": "x\0y"}, "NUL"),
        ({"a": "x\ud800y"}, "surrogate"),
        ({"a b": "x"}, "name 'a b'"),
        ({"a:": "x"}, "name 'a:'"),
        ({"é": "x"}, "name 'é'"),
        ({"": "x"}, "name ''"),
    ],
    ids=["line end", "line feed", "nul", "half", "space", "colon", "accent", "empty"],
)
def test_headers_that_would_break_the_request_are_refused_without_their_value(
    headers: dict[str, str], text: str
) -> None:
    with pytest.raises(CerebrasConfigurationError, match=text) as caught:
        request_headers({"ok": "fine", **headers})
    for value in headers.values():
        assert len(value) < 2 or value not in str(caught.value)


def test_an_encoding_is_asked_for_only_if_none_is_given() -> None:
    assert request_headers({"A": "1"}) == {"A": "1", "Accept-Encoding": "identity"}
    assert request_headers({"accept-encoding": "gzip"}) == {"accept-encoding": "gzip"}
