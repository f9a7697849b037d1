"""uvicorn's protocols as the proxy mends them, on a connection that is not one."""

import asyncio
import json

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from langchain_cerebras_ext.proxy import protocol as module
from langchain_cerebras_ext.proxy.protocol import MAX_HEAD_BYTES, guarded

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
BOTH = pytest.mark.parametrize("base", [HttpToolsProtocol, H11Protocol])


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self, unsent=0):
        self.writes = []
        self.events = []
        self.unsent = unsent
        self.closing = False

    def write(self, data):
        assert not self.closing
        self.writes.append(bytes(data))

    def __getattr__(self, name):
        if name in {"pause_reading", "resume_reading", "write_eof", "abort"}:
            return lambda: self.events.append(name)
        raise AttributeError(name)

    def close(self):
        self.closing = True
        self.events.append("close")

    def is_closing(self):
        return self.closing

    def can_write_eof(self):
        return True

    def get_write_buffer_size(self):
        return self.unsent

    def get_extra_info(self, name, default=None):
        return default

    @property
    def sent(self):
        return b"".join(self.writes)


class Server:
    """A protocol with an application that does as it is told."""

    def __init__(self, base=HttpToolsProtocol, *, wire=None, timeout_s=60):
        self.scopes = []
        self.bodies = []
        self.steps = asyncio.Queue()
        config = uvicorn.Config(
            self.app,
            interface="asgi3",
            log_config=None,
            access_log=False,
            ws="none",
            proxy_headers=False,
        )
        config.load()
        self.refusals = []
        tell = self.refusals.append
        made = guarded(base, header_timeout_s=timeout_s, tell=tell)
        self.protocol = made(config=config, server_state=ServerState(), app_state={})
        self.wire = wire or Wire()
        self.protocol.connection_made(self.wire)

    async def app(self, scope, receive, send):
        self.scopes.append(scope)
        while (step := await self.steps.get()) is not None:
            if step == "body":
                self.bodies.append((await receive())["body"])
            else:
                await send(step)

    def feed(self, data):
        self.protocol.data_received(data)

    def answer(self, *parts, status=200, headers=()):
        """Let the application answer."""
        head = {"type": "http.response.start", "status": status}
        self.steps.put_nowait({**head, "headers": list(headers)})
        for at, part in enumerate(parts):
            more = at + 1 < len(parts)
            body = {"type": "http.response.body", "body": part, "more_body": more}
            self.steps.put_nowait(body)
        self.steps.put_nowait(None)

    def end(self):
        self.protocol.connection_lost(None)

    @property
    def told(self):
        """What was told of requests that have not reached the application."""
        return [(one.status, one.code, one.category) for one in self.refusals]


async def turn(times=6):
    """Let tasks and callbacks run."""
    for _ in range(times):
        await asyncio.sleep(0)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - wires tell nobody
            await asyncio.sleep(0.001)


def error_in(sent):
    top, _, body = sent.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(body)["error"]


LENGTH = [(b"content-length", b"5")]


async def test_head_and_body_of_an_answer_are_written_at_once():
    server = Server()
    for _ in range(2):
        server.feed(GET)
        server.answer(b"hello", headers=LENGTH)
        await turn()
    assert [one.endswith(b"\r\n\r\nhello") for one in server.wire.writes] == [True] * 2
    server.end()


async def test_a_head_without_a_body_yet_is_not_kept_back():
    server = Server()
    server.feed(GET)
    server.steps.put_nowait(
        {"type": "http.response.start", "status": 200, "headers": []}
    )
    await turn()
    assert server.wire.sent.endswith(b"transfer-encoding: chunked\r\n\r\n")
    server.answer(b"a", b"b")
    server.steps.get_nowait()
    await turn()
    assert server.wire.sent.endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    server.end()


async def test_requests_in_one_read_are_answered_in_order_and_whole():
    server = Server()
    server.feed(GET + GET.replace(b"/a", b"/b") + GET.replace(b"GET", b"HEAD"))
    for text in (b"first", b"other", b""):
        server.answer(text, headers=LENGTH)
    await turn(20)
    assert [scope["path"] for scope in server.scopes] == ["/a", "/b", "/a"]
    first, other = server.wire.sent.index(b"first"), server.wire.sent.index(b"other")
    assert first < other
    assert server.wire.sent.count(b"HTTP/1.1 200") == 3
    assert server.wire.sent.endswith(b"\r\n\r\n")
    server.end()


async def test_the_head_of_a_second_request_does_not_delay_or_lose_an_answer():
    server = Server()
    server.feed(GET)
    server.steps.put_nowait(
        {"type": "http.response.start", "status": 200, "headers": LENGTH}
    )
    await asyncio.sleep(0)
    server.feed(GET)
    body = {"type": "http.response.body", "body": b"hello", "more_body": False}
    server.steps.put_nowait(body)
    server.steps.put_nowait(None)
    await turn()
    assert server.wire.sent.count(b"HTTP/1.1 200") == 1
    assert server.wire.sent.endswith(b"\r\n\r\nhello")
    server.end()


async def test_a_connection_that_closes_sends_what_was_kept_first():
    server = Server()
    server.feed(GET.replace(b"GET", b"HEAD").replace(b"Host: x", b"Connection: close"))
    server.answer(b"", headers=LENGTH)
    await turn()
    assert server.wire.sent.startswith(b"HTTP/1.1 200")
    assert server.wire.events == ["close"]
    server.end()


@BOTH
@pytest.mark.parametrize("start", [b"", b"GET /a HTT", GET[:-2], b"\r\n"])
async def test_who_does_not_finish_the_headers_is_told_and_cut_off(base, start):
    if base is H11Protocol and start == b"\r\n":
        return  # it takes that for a request, and refuses it
    server = Server(base, timeout_s=0.01)
    if start:
        server.feed(start)
    await until(lambda: server.wire.closing)
    if not start:
        assert server.wire.sent == b""
        assert server.told == []
        server.end()
        return
    status, error = error_in(server.wire.sent)
    assert (status, error["code"]) == (408, "request_timeout")
    assert error["message"].endswith("within 0.01 s.")
    assert server.told == [(408, "request_timeout", "client_timeout")]
    server.end()


@BOTH
async def test_an_answer_may_take_longer_than_headers(base):
    server = Server(base, timeout_s=0.01)
    server.feed(GET)
    await asyncio.sleep(0.03)
    server.answer(b"hello", headers=LENGTH)
    await turn()
    assert b"200" in server.wire.sent
    assert not server.wire.closing
    server.feed(b"GET /")
    await until(lambda: server.wire.closing)
    assert b"408" not in server.wire.sent
    server.end()


async def test_headers_have_a_bound():
    server = Server()
    server.feed(b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD_BYTES)
    server.feed(b"a")
    status, error = error_in(server.wire.sent)
    assert (status, error["code"]) == (431, "headers_too_large")
    server.feed(b"a")
    assert server.wire.sent.count(b"HTTP/1.1") == 1
    assert server.told == [(431, "headers_too_large", "payload_too_large")]
    server.end()


async def test_headers_of_a_second_request_do_not_break_the_first_ones_answer():
    server = Server()
    server.feed(GET)
    server.feed(b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD_BYTES)
    server.feed(b"a")
    assert server.wire.events == ["pause_reading"]
    server.answer(b"hello", headers=LENGTH)
    await turn()
    assert server.wire.sent.endswith(b"hello")
    assert server.wire.closing
    server.end()


async def test_a_long_body_has_nothing_to_do_with_the_bound_of_headers():
    server = Server()
    size = 3 * MAX_HEAD_BYTES
    server.feed(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(3):
        server.feed(b"x" * MAX_HEAD_BYTES)
    server.feed(GET)
    assert not server.wire.closing
    server.end()


async def test_garbage_is_answered_once_and_never_amid_another_answer():
    server = Server()
    server.feed(b"\x16\x03\x01")
    assert error_in(server.wire.sent)[1]["code"] == "invalid_http"
    assert server.told == [(400, "invalid_http", "bad_request")]
    server.end()
    server = Server()
    server.feed(GET)
    server.answer(b"a", b"b")
    rest = [server.steps.get_nowait() for _ in range(server.steps.qsize())]
    server.steps.put_nowait(rest[0])
    await turn()
    assert server.wire.sent.startswith(b"HTTP/1.1 200")
    server.feed(b"\x00\x01\r\n\r\n")
    for step in rest[1:]:
        server.steps.put_nowait(step)
    await turn()
    assert server.wire.sent.endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    assert server.wire.closing
    assert server.told == [(400, "invalid_http", "bad_request")]
    server.end()


async def test_a_client_that_is_refused_amid_its_body_is_listened_to(monkeypatch):
    monkeypatch.setattr(module, "LINGER_S", 60)
    server = Server()
    server.feed(b"POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345")
    server.answer(b"nope!", status=413, headers=[*LENGTH, (b"connection", b"close")])
    await turn()
    assert server.wire.sent.endswith(b"nope!")
    assert server.wire.events == ["write_eof"]
    server.feed(b"67890")
    assert server.wire.events == ["write_eof", "close"]
    server.end()


async def test_a_client_that_never_ends_or_never_reads_is_cut_off(monkeypatch):
    monkeypatch.setattr(module, "LINGER_S", 0.01)
    server = Server()
    server.feed(b"POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345")
    server.answer(b"nope!", status=413, headers=[*LENGTH, (b"connection", b"close")])
    await until(lambda: server.wire.events == ["write_eof", "abort"])
    server.end()
    server = Server(wire=Wire(unsent=7))
    server.feed(GET.replace(b"Host: x", b"Connection: close"))
    server.answer(b"hello", headers=LENGTH)
    await until(lambda: server.wire.events == ["close", "abort"])
    server.end()


@pytest.mark.parametrize("parts", [[b"hello"], [b"he", b"llo"], [b"hello", b""], [b""]])
async def test_http_1_0_gets_plain_bytes_and_the_end_of_the_connection(parts):
    server = Server()
    server.feed(b"GET /a HTTP/1.0\r\n\r\n")
    server.answer(*parts)
    await turn(10)
    top, _, body = server.wire.sent.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in top
    assert b"keep-alive" not in top
    assert body == b"".join(parts)
    assert server.wire.closing
    server.end()


async def test_http_1_0_with_a_length_is_as_it_was():
    server = Server()
    server.feed(b"GET /a HTTP/1.0\r\n\r\n")
    server.answer(b"hello", headers=LENGTH)
    await turn()
    assert b"content-length: 5" in server.wire.sent
    assert server.wire.sent.endswith(b"\r\n\r\nhello")
    server.end()


@pytest.mark.parametrize("together", [True, False])
async def test_an_offer_of_http_2_does_not_cost_the_body(together):
    server = Server()
    head = (
        b"POST /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAEA\r\nContent-Length: 5\r\n\r\n"
    )
    if together:
        server.feed(head + b"hello")
    else:
        server.feed(head)
        server.feed(b"hello")
    server.steps.put_nowait("body")
    await turn()
    assert server.bodies == [b"hello"]
    names = {name for name, _ in server.scopes[0]["headers"]}
    assert names == {b"connection", b"content-length"}
    server.steps.put_nowait(None)
    await turn()
    server.end()


async def test_the_word_in_a_body_changes_nothing():
    server = Server()
    body = b"\r\nUpgrade: h2c\r\n"
    server.feed(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    server.steps.put_nowait("body")
    await turn()
    assert server.bodies == [body]
    server.steps.put_nowait(None)
    await turn()
    server.end()
