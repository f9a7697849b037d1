"""Requests of every kind and none: a clear 4xx, never a 500, never a secret.

First straight into the application, where a request may be whatever ASGI can say; then
over sockets into a proxy of its own process, where it may be whatever can be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from proxy_process import CLIENT_KEY, UPSTREAM_KEY, ProxyProcess, proxy_environment
from wire_server import WireServer, plain

from langchain_cerebras_ext.proxy import Settings, Upstream, create_app
from langchain_cerebras_ext.proxy.log import RequestLog
from langchain_cerebras_ext.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire_server import Request

# The machine may be busy with other tests.
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMIT = 20_000
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user"}]}
RAW = json.dumps(BODY).encode()
ANSWER = {"id": "chatcmpl-1", "choices": [], "model": "gpt-oss-120b"}
KEY = (b"authorization", b"Bearer " + CLIENT_KEY.encode())
JSON = (b"content-type", b"application/json")
SECRETS = (UPSTREAM_KEY.encode(), CLIENT_KEY.encode())
PAGES = {
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/docs",
    "/openapi.json",
}


def answer(request: Request) -> Any:
    if "completions" in request.path:
        return plain(ANSWER)
    return plain({"object": "list", "data": [{"id": "gpt-oss-120b"}]})


def check_refusal(status: int, kind: str, raw: bytes) -> None:
    """A refusal is a 4xx, in OpenAI's envelope, and tells nothing of the inside."""
    assert 400 <= status < 500, raw[:300]
    assert kind == "application/json"
    error = json.loads(raw)["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert error["message"].strip()
    assert error["type"]
    assert len(raw) < 4000


def check_silence(*said: bytes) -> None:
    for text in said:
        assert b"Traceback" not in text
        assert b".py" not in text
        for secret in SECRETS:
            assert secret not in text


# ---------------------------------------------------------------------- the application


class Harness:
    """An application in an event loop of its own, and all that comes of it."""

    def __init__(self, url: str) -> None:
        self.requests: list[Request] = []
        self.lines: list[bytes] = []
        self.errors: list[logging.LogRecord] = []
        self.ended: list[Any] = []
        self.asked = 0
        chosen = Settings(
            upstream=Upstream(base_url=url, api_key=UPSTREAM_KEY),
            api_key=CLIENT_KEY,
            max_body_bytes=LIMIT,
            body_timeout_s=0.05,
            aliases={"fast": "gpt-oss-120b"},
            log_level="DEBUG",
        )
        self.runner = asyncio.Runner()
        self.app = create_app(chosen)
        assert isinstance(self.app.observers[-1], RequestLog)
        self.app.observers[-1] = RequestLog(chosen, write=self.lines.append)
        self.app.observers.append(self.ended.append)

    def ask(
        self,
        method: str = "POST",
        path: str = CHAT,
        headers: Any = (KEY, JSON),
        parts: Any = (RAW,),
        **scope: Any,
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Ask, and check what must be so of any answer."""
        asked = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(headers),
            "client": ("127.0.0.1", 4000),
            "server": ("127.0.0.1", 8000),
            **scope,
        }
        self.asked += path not in PAGES
        status, told, raw = self.runner.run(self._ask(asked, list(parts)))
        check_silence(raw, repr(told).encode())
        assert 200 <= status < 500, raw[:300]
        if status >= 400:
            kind = told[b"content-type"].decode()
            assert raw or method == "HEAD"
            if raw:
                check_refusal(status, kind, raw)
        return status, told, raw

    async def _ask(self, scope: Any, parts: list[bytes]) -> Any:
        waiting = [
            {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
            for index, part in enumerate(parts)
        ]
        if not parts:
            waiting = [{"type": "http.request", "body": b"", "more_body": True}]
        sent: list[Any] = []

        async def receive() -> Any:
            if waiting:
                return waiting.pop(0)
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        async with asyncio.timeout(20):
            await self.app(scope, receive, send)
        start, *rest = sent
        assert [message["type"] for message in sent] == [
            "http.response.start",
            *["http.response.body"] * len(rest),
        ]
        assert not rest[-1].get("more_body")
        names = [name for name, _ in start["headers"]]
        assert all(name == name.lower() for name in names)
        raw = b"".join(message.get("body", b"") for message in rest)
        return start["status"], dict(start["headers"]), raw

    def close(self) -> None:
        self.runner.run(self.app.aclose())
        self.runner.close()


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    """Also the last word on all that was asked: the log, and what went up."""

    class Errors(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            made.errors.append(record)

    handler = Errors(logging.ERROR)
    with WireServer(answer) as upstream:
        made = Harness(upstream.url)
        made.requests = upstream.requests
        logging.getLogger().addHandler(handler)
        logging.getLogger("langchain_cerebras_ext.proxy").addHandler(handler)
        try:
            yield made
            _check_afterwards(made)
        finally:
            logging.getLogger().removeHandler(handler)
            logging.getLogger("langchain_cerebras_ext.proxy").removeHandler(handler)
            made.close()


@pytest.fixture(scope="module")
def strict() -> Iterator[Harness]:
    with Simulator(speed="instant", key=UPSTREAM_KEY) as upstream:
        made = Harness(upstream.base_url)
        try:
            yield made
        finally:
            made.close()


def _check_afterwards(made: Harness) -> None:
    assert made.ask()[0] == 200, "it still works"
    assert made.errors == []
    assert made.app.in_flight == 0
    assert len(made.ended) == len(made.lines) == made.asked
    for line in made.lines:
        told = json.loads(line)
        assert b"\n" not in line.rstrip(b"\n")
        assert told["level"] in {"info", "warning"}
        check_silence(line)
    for request in made.requests:
        assert CLIENT_KEY not in repr(request.headers)
        assert request.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
        assert request.path.startswith("/v1/")
        # Whoever stands between may undo escapes before it looks at dots.
        assert not {".", ".."}.intersection(unquote(request.path).split("/"))
    page = made.ask("GET", "/metrics")[2].decode()
    check_silence(page.encode())
    assert len(set(re.findall(r'[{,]model="([^"]*)"', page))) < 100


METHODS = st.sampled_from(
    ["POST", "POST", "POST", "GET", "HEAD", "OPTIONS", "DELETE", "PUT", "TRACE", "get"]
) | st.text(st.characters(codec="ascii", categories=["Lu"]), min_size=1, max_size=9)
SEGMENTS = st.sampled_from(
    ["v1", "models", "chat", "completions", "health", "metrics", "docs", "", ".", ".."]
) | st.text(max_size=6)
PATHS = (
    st.sampled_from([CHAT, CHAT, "/v1/completions", "/v1/models", "/v1/models/fast"])
    | SEGMENTS.map("/v1/models/{}".format)
    | st.lists(SEGMENTS, max_size=5).map("/".join)
)
NAMES = st.sampled_from(
    [
        *(b"content-type", b"content-encoding", b"content-length", b"authorization"),
        *(b"traceparent", b"tracestate", b"x-request-id", b"x-trace-id", b"accept"),
        *(b"expect", b"connection", b"transfer-encoding", b"host", b"origin", b"te"),
        *(b"forwarded", b"x-forwarded-for", b"queue_threshold", b"", b"x-unknown"),
    ]
)
VALUES = st.sampled_from(
    [
        *(b"application/json", b"application/msgpack", b"text/html", b"gzip", b"br"),
        *(b"identity", b"5", b"-1", b"9" * 40, b"", b"chunked", b"100-continue"),
        *(b"Bearer", b"Bearer ", b"Basic eDp5", b"close, x-unknown", b"a" * 9000),
        *(b"\xff\xfe", b"x\r\ny: z", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),
    ]
) | st.binary(max_size=20)
CREDENTIALS = st.sampled_from(
    [b"x-api-key", b"api-key", b"cookie", b"proxy-authorization"]
).map(lambda name: (name, CLIENT_KEY.encode()))
HEADERS = st.lists(st.tuples(NAMES, VALUES) | CREDENTIALS, max_size=3).flatmap(
    lambda more: st.permutations([KEY, JSON, *more]) | st.just(more)
)
FIELDS = st.sampled_from(
    ["model", "messages", "stream", "n", "max_tokens", "max_completion_tokens", "x"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.sampled_from(["gpt-oss-120b", "fast", "llama3.1-8b", "cerebras::x", "\ud83d"])
    | st.text(max_size=9)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(FIELDS, TREES, max_size=6) | st.fixed_dictionaries(
    {"model": LEAVES | st.text(min_size=400, max_size=700)}, optional={"stream": LEAVES}
)


@st.composite
def damaged(draw: Any, whole: bytes = RAW) -> bytes:
    raw = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


BODIES = (
    st.sampled_from([RAW, b"", gzip.compress(RAW), msgspec.msgpack.encode(BODY)])
    | OBJECTS.map(lambda value: json.dumps(value).encode())
    | damaged()
    | damaged(gzip.compress(RAW))
    | st.binary(max_size=80)
    | st.tuples(
        st.sampled_from([b"[", b'{"a":', b" ", b"\x91"]), st.integers(1, LIMIT)
    ).map(lambda made: made[0] * (made[1] // len(made[0])))
)
PARTS = BODIES.flatmap(
    lambda raw: (
        st.integers(0, len(raw)).map(lambda at: [raw[:at], raw[at:]]) | st.just([raw])
    )
)


@settings(LAW, max_examples=200)
@given(METHODS, PATHS, HEADERS, PARTS, st.sampled_from([b"", b"a=b", b"\xff", b"a b"]))
@example("GET", "/v1/models/..", [KEY], [b""], b"")
@example("GET", "/v1/models/../../secret", [KEY], [b""], b"")
@example("GET", "/v1/models/%2e%2e", [KEY], [b""], b"")
@example("GET", "/v1/models/\x00\r\nx: y", [KEY], [b""], b"")
@example("GET", "/v1/models/x?y#z", [KEY], [b""], b"")
@example("GET", "//v1/models", [KEY], [b""], b"")
@example("GET", "", [], [b""], b"")
@example("OPTIONS", "*", [KEY], [b""], b"")
@example("POST", CHAT, [KEY, JSON, KEY], [RAW], b"")
@example("POST", CHAT, [(b"authorization", b"\xe9" * 40), JSON], [RAW], b"")
def test_any_request_is_answered_or_refused(
    harness: Harness, method: str, path: str, headers: Any, parts: Any, query: bytes
) -> None:
    harness.ask(method, path, headers, parts, query_string=query)


@settings(LAW, max_examples=150)
@given(PARTS, st.sampled_from([b"application/json", b"application/msgpack"]))
def test_any_body_is_answered_or_refused(
    harness: Harness, parts: list[bytes], kind: bytes
) -> None:
    """With all else in order."""
    status, _, raw = harness.ask(headers=[KEY, (b"content-type", kind)], parts=parts)
    assert status in {200, 400, 404}
    assert status != 200 or json.loads(raw) == ANSWER


@settings(LAW, max_examples=60)
@given(OBJECTS | st.fixed_dictionaries({"messages": TREES}).map(lambda o: BODY | o))
@example({**BODY, "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
@example({**BODY, "messages": [{"role": "user", "content": "\ud83d"}]})
def test_what_the_service_refuses_is_a_clear_answer(strict: Harness, body: Any) -> None:
    """With an upstream that looks at every field."""
    strict.ask(parts=[json.dumps(body).encode()])


def deep(opening: str, closing: str, depth: int) -> bytes:
    inner = f"{opening * depth}1{closing * depth}"
    return f'{{"model":"fast","messages":{inner}}}'.encode()


@pytest.mark.parametrize("depth", [10, 200, 2500, 5000])
@pytest.mark.parametrize("pair", ["[ ]", '{"model": }'])
def test_depth_is_answered_or_refused(harness: Harness, pair: str, depth: int) -> None:
    """What is too deep for us is told so; all else goes up whole."""
    opening, closing = pair.split(" ")
    raw = deep(opening, closing, min(depth, LIMIT // len(pair) - 20))
    before = len(harness.requests)
    status, _, told = harness.ask(parts=[raw])
    if status == 200:
        (request,) = harness.requests[before:]
        assert request.body == raw.replace(b'"fast"', b'"gpt-oss-120b"')
    else:
        assert status == 400
        assert b"nested too deeply" in told


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 4 * LIMIT])
@pytest.mark.parametrize("way", ["said", "in one", "in parts", "compressed"])
def test_size_is_answered_or_refused(harness: Harness, size: int, way: str) -> None:
    start = b'{"model":"gpt-oss-120b","x":"'
    raw = start + b"x" * (size - len(start) - 2) + b'"}'
    headers = [KEY, JSON]
    parts = [raw]
    if way == "said":
        headers.append((b"content-length", b"%d" % size))
    elif way == "in parts":
        parts = [raw[at : at + 999] for at in range(0, size, 999)]
    elif way == "compressed":
        headers.append((b"content-encoding", b"gzip"))
        parts = [gzip.compress(raw)]
    status = harness.ask(headers=headers, parts=parts)[0]
    assert status == (200 if size <= LIMIT else 413)


def test_a_body_that_never_ends_is_refused(harness: Harness) -> None:
    assert harness.ask(parts=[])[0] == 408


@pytest.mark.parametrize(
    "value",
    [b"", b"Bearer ", b"Bearer x", b"bearer", b"Basic a", b"\xff" * 99, b"x" * 9999],
)
def test_a_wrong_key_is_refused_before_the_body_is_looked_at(
    harness: Harness, value: bytes
) -> None:
    status, told, raw = harness.ask(headers=[(b"authorization", value)], parts=[b"{"])
    assert status == 401
    assert told[b"www-authenticate"].startswith(b"Bearer")
    assert value[7:] in {b"", b"x", b"asic a"} or value[7:] not in raw


# -------------------------------------------------------------------------- the sockets


@pytest.fixture(scope="module")
def process() -> Iterator[ProxyProcess]:
    with (
        WireServer(answer) as upstream,
        ProxyProcess(
            proxy_environment(
                upstream.url,
                APE_HEADER_TIMEOUT_S=1,
                APE_BODY_TIMEOUT_S=1,
                APE_MAX_BODY_BYTES=LIMIT,
            )
        ) as running,
    ):
        yield running
        assert running.chat()[0] == 200, "it still works"
        assert running.end() == 0
        for line in running.records():
            assert line["level"] in {"info", "warning"}
        check_silence(*(line.encode() for line in running.lines))


def exchange(process: ProxyProcess, data: bytes) -> bytes:
    """Send bytes, and return what comes until the answer is whole or nothing more."""
    came = b""
    with process.raw() as sock, contextlib.suppress(ConnectionError):
        sock.sendall(data)
        while not _is_whole(came) and (piece := sock.recv(65536)):
            came += piece
    return came.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")


def _is_whole(came: bytes) -> bool:
    came = came.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, end, body = came.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


def check_answer(came: bytes) -> int:
    head, _, raw = came.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    assert found is not None, came[:200]
    status = int(found[1])
    check_silence(came)
    if status != 200:
        kind = re.search(rb"(?i)\ncontent-type: ([^\r\n]*)", head)
        assert kind is not None
        check_refusal(status, kind[1].decode(), raw)
    return status


def wired(
    first: bytes = b"POST /v1/chat/completions HTTP/1.1",
    *more: bytes,
    length: bytes = b"content-length: %d" % len(RAW),
    body: bytes = RAW,
) -> bytes:
    """Return a request as it goes over the wire."""
    head = [first, b"host: proxy", b"%b: %b" % KEY, b"%b: %b" % JSON, *more, length]
    return b"\r\n".join(line for line in head if line) + b"\r\n\r\n" + body


POST = b"POST /v1/chat/completions HTTP/1.1"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(RAW), RAW)
TAKEN = {
    "as it should be": wired(),
    "HTTP/1.0": wired(POST[:-1] + b"0"),
    "a whole address": wired(b"GET http://other/v1/models HTTP/1.1"),
    "chunked": wired(length=b"transfer-encoding: chunked", body=CHUNKED),
    "waiting for leave": wired(POST, b"expect: 100-continue"),
    "an offer of HTTP/2": wired(POST, b"connection: upgrade", b"upgrade: h2c"),
    "unknown headers": wired(POST, b"x-new: 1", b"x-new: 2", b"x-odd: \xe9"),
    "a query": wired(b"GET /v1/models?format=default HTTP/1.1"),
}
REFUSED = {
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "HTTP/2 outright": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": wired(b"POST /v1/chat/completions HTTP/9.9"),
    "an unknown method": wired(b"FOO /v1/models HTTP/1.1"),
    "a path with a wild byte": wired(b"GET /v1/\xff HTTP/1.1"),
    "a path with escapes": wired(b"GET /v1/%00%ff%zz HTTP/1.1"),
    "another path": wired(b"POST /v1/embeddings HTTP/1.1"),
    "a path upwards": wired(b"GET /v1/models/%2e%2e HTTP/1.1"),
    "no length at all": wired(length=b"", body=b""),
    "a negative length": wired(length=b"content-length: -5"),
    "a length that is none": wired(length=b"content-length: 0x5"),
    "two lengths": wired(POST, b"content-length: 5"),
    "a length and chunks": wired(POST, b"transfer-encoding: chunked", body=CHUNKED),
    "an endless length": wired(length=b"content-length: 99999999999999999999"),
    "a long body": wired(length=b"content-length: %d" % (LIMIT + 1), body=b"x" * LIMIT),
    "long chunks": wired(
        length=b"transfer-encoding: chunked",
        body=b"4e20\r\n%b\r\n1\r\nx\r\n0\r\n\r\n" % (b"x" * LIMIT),
    ),
    "chunks that are none": wired(
        length=b"transfer-encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"
    ),
    "a body that stops": wired(length=b"content-length: 500"),
    "a head that stops": wired()[:60],
    "a head without end": POST + b"\r\nhost: x\r\nx: " + b"a" * 200_000,
    "a header without a name": wired(POST, b": x"),
    "a name with a space": wired(POST, b"a b: c"),
    "a value with a zero": wired(POST, b"x: a\x00b"),
    "a cut body": wired(length=b"content-length: 20", body=RAW[:20]),
    "nothing": b"\r\n" * 9,
}


@pytest.mark.parametrize("name", TAKEN)
def test_over_the_wire_what_is_right_is_answered(process: Any, name: str) -> None:
    came = exchange(process, TAKEN[name])
    assert check_answer(came) == 200


@pytest.mark.parametrize("name", REFUSED)
def test_over_the_wire_what_is_wrong_is_refused(process: Any, name: str) -> None:
    assert check_answer(exchange(process, REFUSED[name])) >= 400


def test_nothing_is_smuggled_in_behind_a_refused_head(process: Any) -> None:
    """What follows a refused head on its connection is not taken for a request."""
    inner = wired(b"GET /v1/models HTTP/1.1", length=b"", body=b"")
    came = exchange(process, wired(POST, b"a b: c", body=inner))
    assert came.count(b"HTTP/1.1 ") == 1


@settings(LAW, max_examples=60)
@given(damaged(wired()))
def test_over_the_wire_any_damage_is_answered_or_refused(
    process: Any, data: Any
) -> None:
    came = exchange(process, data)
    # Where a first request seems whole, a second may seem to begin.
    check_answer(
        came[: came.find(b"HTTP/1.1 ", 1)] if b"HTTP/1.1 " in came[1:] else came
    )
