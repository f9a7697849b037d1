"""What goes through the proxy comes out as it went in, and whatever breaks is told."""

from __future__ import annotations

import gzip
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from proxy_answers import BODY, STREAM, USAGE, delta
from proxy_raw import CHAT, RawClient, ask, question
from proxy_server import CLIENT_KEY, UPSTREAM_KEY, running_proxy
from wire_server import (
    CUT,
    DONE,
    END,
    RESET,
    Request,
    WireServer,
    chunk,
    event,
    head,
    plain,
    sse,
    stream_head,
)

from langchain_cerebras_ext.proxy.settings import Upstream
from langchain_cerebras_ext.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from wire_server import Answer


def answering(answer: Any = BODY, **settings: Any) -> Answer:
    return lambda _: plain(answer, **settings)


def streaming(*pieces: bytes, **settings: Any) -> Answer:
    return lambda _: sse(pieces, **settings)


# ------------------------------------------------------------------- nothing is changed


def test_a_request_goes_up_byte_for_byte() -> None:
    body = b'{ "unknown": [1, 2.50, "\\u00e9\xc3\xa9"],\n "model":"gpt-oss-120b"}'
    with WireServer(answering()) as server, running_proxy(server.url) as proxy:
        ask(proxy, body)
        assert server.requests[0].body == body
        assert server.requests[0].path == CHAT


def test_an_answer_comes_down_byte_for_byte() -> None:
    body = b'{"id":"x" ,"new_field":{"a":1.0}, "usage":null, "choices":[]}\n'
    with WireServer(answering(body)) as server, running_proxy(server.url) as proxy:
        answer = ask(proxy, question())
        assert answer.status == 200
        assert answer.body == body


def test_a_stream_comes_down_byte_for_byte() -> None:
    pieces = [b": hi\n\n", b"event: x\ndata: {}\n\n", *STREAM]
    with WireServer(streaming(*pieces)) as server, running_proxy(server.url) as proxy:
        answer = ask(proxy, question(stream=True))
        assert answer.body == b"".join(pieces)
        assert answer.is_whole
        exchange = proxy.wait_ended()[0]
        assert exchange.outcome == "ok"
        assert exchange.usage == USAGE
        assert exchange.ttft_s is not None


def test_gzip_goes_up_as_it_came() -> None:
    body = gzip.compress(json.dumps(question()).encode())
    with WireServer(answering()) as server, running_proxy(server.url) as proxy:
        answer = ask(proxy, body, headers=[("content-encoding", "gzip")])
        assert answer.status == 200
        assert server.requests[0].body == body
        assert server.requests[0].headers["content-encoding"] == "gzip"


def test_a_compressed_answer_comes_down_as_it_is() -> None:
    """We ask for none; but if it comes, the client is told of it."""
    packed = gzip.compress(json.dumps(BODY).encode())
    more = {"content-encoding": "gzip"}
    with (
        WireServer(answering(packed, headers=more)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question())
        assert server.requests[0].headers["accept-encoding"] == "identity"
        assert answer.body == packed
        assert answer.headers["content-encoding"] == "gzip"
        assert proxy.wait_ended()[0].outcome == "ok"


def test_an_answer_without_a_length_comes_down_whole() -> None:
    body = json.dumps(BODY).encode()

    def until_close(_: Request) -> Iterable[bytes]:
        return [
            head(200, {"content-type": "application/json"}),
            body[:9],
            body[9:],
            CUT,
        ]

    with WireServer(until_close) as server, running_proxy(server.url) as proxy:
        answer = ask(proxy, question())
        assert answer.body == body
        assert answer.is_whole


def test_large_bodies_go_both_ways() -> None:
    large = question(padding="x" * 3_000_000)
    body = {**BODY, "padding": "y" * 3_000_000}
    with WireServer(answering(body)) as server, running_proxy(server.url) as proxy:
        answer = ask(proxy, large)
        assert server.requests[0].json == large
        assert answer.json == body
        assert proxy.wait_ended()[0].usage == USAGE


def test_each_read_of_a_stream_goes_on_at_once() -> None:
    """The second event is sent only when the client has seen the first."""
    seen = threading.Event()

    def answer(_: Request) -> Iterator[bytes]:
        yield stream_head()
        yield chunk(delta("Hel"))
        assert seen.wait(10)
        yield chunk(delta("lo.")) + chunk(DONE) + END

    with (
        WireServer(answer) as server,
        running_proxy(server.url) as proxy,
        RawClient(proxy) as client,
    ):
        client.send(question(stream=True))
        found = client.head()
        assert client.part(found) == delta("Hel")
        seen.set()
        assert client.rest(found).events[-1] == "[DONE]"


# --------------------------------------------------------------------------- headers


def test_headers_go_up_but_for_credentials_and_those_of_the_connection() -> None:
    given = [
        ("x-custom", "kept"),
        ("user-agent", "mine/1"),
        ("accept-encoding", "gzip, br"),
        ("cookie", "session=secret"),
        ("x-api-key", "secret"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "secret"),
        ("te", "trailers"),
        ("queue_threshold", "100"),
    ]
    with WireServer(answering()) as server, running_proxy(server.url) as proxy:
        ask(proxy, question(), headers=given)
        got = server.requests[0].headers
    assert got["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert (got["x-custom"], got["user-agent"]) == ("kept", "mine/1")
    assert got["queue_threshold"] == "100"
    assert got["accept-encoding"] == "identity"
    assert got["host"].startswith("127.0.0.1:")
    assert "secret" not in str(got)
    assert CLIENT_KEY not in str(got)
    assert not {"cookie", "x-api-key", "connection", "te", "x-hop"} & set(got)


def test_a_trace_goes_on() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    given = [("traceparent", f"00-{trace}-00f067aa0ba902b7-01"), ("tracestate", "a=b")]
    with WireServer(answering()) as server, running_proxy(server.url) as proxy:
        ask(proxy, question(), headers=given)
        ask(proxy, question(), headers=[("traceparent", "no"), ("tracestate", "a=b")])
        first, second = (one.headers for one in server.requests)
        exchange = proxy.wait_ended(2)[0]
    assert first["traceparent"] == f"00-{trace}-{exchange.span_id}-01"
    assert first["tracestate"] == "a=b"
    assert "tracestate" not in second
    assert trace not in second["traceparent"]


def test_headers_come_down_but_for_those_of_the_upstreams_connection() -> None:
    told = {
        "x-ratelimit-remaining-requests-day": "99",
        "x-new": "kept",
        "inference-id": "chatcmpl-9",
        "set-cookie": "a=b",
        "server": "cloudflare",
        "alt-svc": 'h3=":443"',
        "x-request-id": "theirs",
        "keep-alive": "timeout=5",
    }
    with (
        WireServer(answering(headers=told)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question())
        exchange = proxy.wait_ended()[0]
    assert answer.headers["x-new"] == "kept"
    assert answer.headers["x-ratelimit-remaining-requests-day"] == "99"
    assert answer.headers["x-request-id"] == exchange.request_id
    assert not {"set-cookie", "alt-svc", "keep-alive"} & set(answer.headers)
    names = [name for name, _ in answer.all_headers]
    assert len(names) == len(set(names))
    assert "cloudflare" not in str(answer.all_headers)
    assert exchange.rate_limits == {"remaining-requests-day": "99"}


def test_a_stream_is_not_to_be_buffered_on_its_way() -> None:
    more = {"cache-control": "max-age=60"}
    with (
        WireServer(streaming(*STREAM, headers=more)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question(stream=True))
    kinds = [value for name, value in answer.all_headers if name == "cache-control"]
    assert kinds == ["no-cache"]
    assert answer.headers["x-accel-buffering"] == "no"


# --------------------------------------------------------------- a stream that breaks

HELLO = {"delta": {"content": "Hel"}, "index": 0}
BROKEN: dict[str, list[bytes]] = {
    "closed": [delta("Hel"), CUT],
    "reset": [delta("Hel"), RESET],
    "closed within an event": [delta("Hel"), delta("lo.")[:20], CUT],
    "closed between the lines of an event's end": [delta("Hel")[:-1], CUT],
    "ended without the end": [delta("Hel")],
    "ended within an event": [delta("Hel"), delta("lo.")[:20]],
    "an error, and then the end": [
        delta("Hel"),
        event({"error": {"message": "No.", "type": "t", "param": None, "code": "c"}}),
        DONE,
    ],
    "an error and the end in one": [
        delta("Hel"),
        event({"error": {"message": "No.", "type": "t", "param": None, "code": "c"}})
        + DONE,
    ],
    "an error without an envelope": [
        delta("Hel"),
        event({"message": "No.", "status_code": 503}) + DONE,
    ],
    "an error with a status": [
        delta("Hel"),
        event({"error": {"message": "No."}, "status_code": 503}),
    ],
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_stream_ends_with_one_error_and_no_done(name: str) -> None:
    with (
        WireServer(streaming(*BROKEN[name])) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question(stream=True))
        assert answer.status == 200
        assert answer.is_whole
        events = answer.events
        assert [one.get("choices") for one in events] == [[HELLO], None]
        assert events[-1]["error"]["message"]
        (exchange,) = proxy.wait_ended()
    assert exchange.outcome == "failed"
    assert exchange.error_category in {"upstream_interrupted", "upstream_server"}
    assert exchange.phase == "streaming"


def test_a_silent_stream_is_ended_with_an_error() -> None:
    def answer(request: Request) -> Iterator[bytes]:
        yield stream_head()
        yield chunk(delta("Hel"))
        assert request.wait_gone()

    with (
        WireServer(answer) as server,
        running_proxy(server.url, idle_timeout_s=0.1) as proxy,
    ):
        events = ask(proxy, question(stream=True)).events
        assert events[-1]["error"]["code"] == "upstream_timeout"
        assert proxy.wait_ended()[0].error_category == "upstream_timeout"


def test_a_stream_that_is_none_is_an_error() -> None:
    with (
        WireServer(streaming(headers={"content-length": "0"})) as server,
        running_proxy(server.url) as proxy,
    ):
        server.answer = lambda _: [stream_head() + END]
        answer = ask(proxy, question(stream=True))
        assert answer.status == 502
        assert answer.error["code"] == "upstream_invalid_answer"


def test_a_cut_body_never_looks_whole() -> None:
    data = json.dumps(BODY).encode()
    length = {"content-type": "application/json", "content-length": str(len(data))}
    chunked = {"content-type": "application/json", "transfer-encoding": "chunked"}
    gone = threading.Event()

    def cut(first: bytes) -> Callable[[Request], Iterator[bytes]]:
        def answer(_: Request) -> Iterator[bytes]:
            yield first
            gone.wait(0.1)  # so that its beginning is read by itself
            yield CUT

        return answer

    with WireServer(cut(head(200, length) + data[:20])) as server:
        with running_proxy(server.url) as proxy:
            answer = ask(proxy, question())
            assert (answer.body, answer.is_whole) == (data[:20], False)
            assert proxy.wait_ended()[0].outcome == "failed"
        server.answer = cut(head(200, chunked) + chunk(data[:20]))
        with running_proxy(server.url) as proxy:
            answer = ask(proxy, question())
            assert (answer.body, answer.is_whole) == (data[:20], False)
            (exchange,) = proxy.wait_ended()
            assert exchange.error_category == "upstream_interrupted"
            assert exchange.phase == "body"


# -------------------------------------------------------------- answers that are none


@pytest.mark.parametrize(
    ("pieces", "status", "code"),
    [
        ([CUT], 502, "upstream_interrupted"),
        ([RESET], 502, "upstream_interrupted"),
        ([b"HTTP/1.1 200 OK\r\ncont", CUT], 502, "upstream_interrupted"),
        ([b"SSH-2.0-OpenSSH_9\r\n", CUT], 502, "upstream_invalid_answer"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"],
         502, "upstream_invalid_answer"),
        ([head(307, {"location": "https://elsewhere.invalid/", "content-length": "0"})],
         502, "upstream_invalid_answer"),
        ([head(101, {"upgrade": "x", "connection": "upgrade"})],
         502, "upstream_invalid_answer"),
        ([b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000],
         502, "upstream_invalid_answer"),
        ([*plain(b"<html>Hello</html>")], 502, "upstream_invalid_answer"),
        ([*plain(b"")], 502, "upstream_invalid_answer"),
        ([*plain(b'{"choices": [')], 502, "upstream_invalid_answer"),
    ],
    ids=["closed", "reset", "head cut", "no HTTP", "two lengths", "redirect", "upgrade",
         "endless head", "html", "empty", "half JSON"],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_clear_error(
    pieces: list[bytes], status: int, code: str
) -> None:
    with WireServer(lambda _: pieces) as server, running_proxy(server.url) as proxy:
        for stream in (False, True):
            answer = ask(proxy, question(stream=stream))
            assert (answer.status, answer.error["code"]) == (status, code)
            assert "cerebras" in answer.error["message"]
            assert str(server.port) not in answer.body.decode()
        first, second = proxy.wait_ended(2)
    assert first.outcome == second.outcome == "failed"
    assert first.error_category == code


def test_an_error_with_status_200_gets_its_own() -> None:
    body = {"status_code": 503, "error": {"message": "Busy.", "type": "server_error"}}
    with WireServer(answering(body)) as server, running_proxy(server.url) as proxy:
        answer = ask(proxy, question())
    assert answer.status == 503
    assert answer.error["message"] == "Busy."


def test_errors_keep_their_status_and_headers_and_come_in_the_envelope() -> None:
    told = {"retry-after": "7", "x-ratelimit-remaining-tokens-minute": "0"}
    flat = {"message": "Too much.", "type": "too_many_tokens_error", "param": "quota",
            "code": "token_quota_exceeded"}  # fmt: skip
    with (
        WireServer(answering(flat, status=429, headers=told)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question())
        (exchange,) = proxy.wait_ended()
    assert (answer.status, answer.error) == (429, flat)
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-ratelimit-remaining-tokens-minute"] == "0"
    assert exchange.error_category == "upstream_rate_limit"
    assert exchange.rate_limits == {"remaining-tokens-minute": "0"}


def test_the_upstreams_key_never_comes_down() -> None:
    body = {"message": f"Wrong API Key {UPSTREAM_KEY}", "code": "wrong_api_key"}
    with (
        WireServer(answering(body, status=401)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question())
    assert answer.status == 401
    assert UPSTREAM_KEY.encode() not in answer.body


def test_nobody_there_is_a_clear_error() -> None:
    with WireServer(answering()) as server:
        url = server.url
    with running_proxy(url) as proxy:
        answer = ask(proxy, question())
        assert answer.status == 502
        assert "refused" in answer.error["message"]


def test_hints_before_an_answer_are_passed_over() -> None:
    def answer(_: Request) -> Iterator[bytes]:
        yield head(103, {"link": "x"})
        yield head(100)
        yield from plain(BODY)

    with WireServer(answer) as server, running_proxy(server.url) as proxy:
        for _ in range(2):
            assert ask(proxy, question()).json == BODY
        assert server.connections == 1


# ------------------------------------------------------------------------ time limits


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_upstream_that_does_not_answer_is_let_go_of(stream: bool) -> None:
    def silent(request: Request) -> Iterator[bytes]:
        assert request.wait_gone()
        yield from ()

    with (
        WireServer(silent) as server,
        running_proxy(server.url, first_byte_timeout_s=0.1) as proxy,
    ):
        answer = ask(proxy, question(stream=stream))
        assert answer.status == 504
        assert answer.error["code"] == "upstream_timeout"


def test_the_whole_has_a_limit() -> None:
    def dripping(request: Request) -> Iterator[bytes]:
        yield stream_head()
        while not request.wait_gone(0.02):
            yield chunk(delta("a"))

    with (
        WireServer(dripping) as server,
        running_proxy(server.url, total_timeout_s=1) as proxy,
    ):
        events = ask(proxy, question(stream=True)).events
        assert len(events) > 1
        assert events[-1]["error"]["code"] == "upstream_timeout"


def test_a_client_that_takes_nothing_is_let_go_of() -> None:
    """And is not held against the upstream."""

    def endless(request: Request) -> Iterator[bytes]:
        yield stream_head()
        while not request.wait_gone(0):
            yield chunk(delta("a" * 50_000))

    with (
        WireServer(endless) as server,
        running_proxy(server.url, idle_timeout_s=2) as proxy,
        RawClient(proxy) as client,
    ):
        client.send(question(stream=True))
        (exchange,) = proxy.wait_ended()
    assert exchange.outcome == "aborted"
    assert exchange.error_category == "client_timeout"


def test_a_slow_client_does_not_fill_the_memory() -> None:
    """What it does not take is not read."""
    sent = 0

    def endless(request: Request) -> Iterator[bytes]:
        nonlocal sent
        yield stream_head()
        while not request.wait_gone(0):
            yield chunk(delta("a" * 50_000))
            sent += 50_000

    with (
        WireServer(endless) as server,
        running_proxy(server.url) as proxy,
        RawClient(proxy) as client,
    ):
        client.send(question(stream=True))
        before = -1
        while before != sent:  # until it stands still
            before = sent
            time.sleep(0.2)
        # What kernels and buffers take; without backpressure it would go on for ever.
        assert sent < 30_000_000
        answer = client.head()
        for _ in range(100):
            assert client.part(answer)
        client.close()
        assert proxy.wait_ended()[0].outcome == "aborted"


# -------------------------------------------------------------------- the client leaves

PHASES: dict[str, tuple[bool, dict[str, Any], str]] = {
    "waiting for a plain answer": (False, {"delay_s": 5}, "waiting"),
    "waiting for a stream": (True, {"delay_s": 5}, "waiting"),
    "before the first token": (True, {"event_delay_s": 5}, "before_first_token"),
    "amid the stream": (True, {"event_delay_s": 0.05}, "streaming"),
}


@pytest.mark.parametrize("name", list(PHASES))
def test_a_client_that_leaves_is_noticed_upstream(name: str) -> None:
    stream, pace, phase = PHASES[name]
    with (
        Simulator(key=UPSTREAM_KEY) as sim,
        running_proxy(sim.base_url) as proxy,
        RawClient(proxy) as client,
    ):
        sim.reply(chunks=["word "] * 200, **pace)
        client.send(question(stream=stream))
        proxy.wait(lambda: sim.requests)
        if phase != "waiting":
            answer = client.head()
            while phase == "streaming" and b"word" not in answer.body:
                client.part(answer)
        client.close()
        (exchange,) = proxy.wait_ended()
        proxy.wait(lambda: sim.requests[0].finished_at)
        assert sim.requests[0].was_cancelled
    assert (exchange.outcome, exchange.phase) == ("aborted", phase)
    assert exchange.error_category == "client_gone"
    assert exchange.status == (499 if phase == "waiting" else 200)
    assert "no_usage" in exchange.flags
    assert exchange.cost is not None  # what was spent is recorded


def test_a_client_that_leaves_amid_a_body_is_noticed_upstream() -> None:
    noticed = threading.Event()

    def answer(request: Request) -> Iterator[bytes]:
        yield head(200, {"content-type": "application/json", "content-length": "500"})
        yield b'{"id": "x",'
        if request.wait_gone():
            noticed.set()

    with (
        WireServer(answer) as server,
        running_proxy(server.url) as proxy,
        RawClient(proxy) as client,
    ):
        client.send(question())
        client.head()
        client.close()
        assert noticed.wait(30)
        (exchange,) = proxy.wait_ended()
    assert (exchange.outcome, exchange.phase) == ("aborted", "body")


def test_a_client_that_leaves_amid_its_request_sends_nothing_up() -> None:
    with (
        WireServer(answering()) as server,
        running_proxy(server.url) as proxy,
        RawClient(proxy) as client,
    ):
        client.sock.sendall(
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
            f"authorization: Bearer {CLIENT_KEY}\r\n\r\n{{".encode()
        )
        client.close()
        (exchange,) = proxy.wait_ended()
        assert not server.requests
    assert (exchange.outcome, exchange.status) == ("aborted", 499)
    assert exchange.cost is None or not exchange.cost.total


# ------------------------------------------------------------------------- connections


def test_connections_are_kept() -> None:
    with WireServer(answering()) as server, running_proxy(server.url) as proxy:
        for _ in range(5):
            ask(proxy, question())
        assert server.connections == 1


def test_a_kept_connection_that_was_closed_is_no_failure() -> None:
    """It may close while the request is on its way: then it is sent once more."""
    with WireServer(answering()) as server, running_proxy(server.url) as proxy:
        ask(proxy, question())
        server.answer = lambda request: (
            [CUT] if server.connections == 1 else plain({**BODY, "id": "again"})
        )
        assert ask(proxy, question()).json["id"] == "again"
        first, second = proxy.wait_ended(2)
    assert first.outcome == second.outcome == "ok"
    assert second.attempts == 1


def test_a_request_is_not_sent_again_once_an_answer_has_begun() -> None:
    with WireServer(answering()) as server, running_proxy(server.url) as proxy:
        ask(proxy, question())
        server.answer = lambda _: [b"HTTP/1.1 2", CUT]
        assert ask(proxy, question()).status == 502
        assert len(server.requests) == 2


def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    stray = b"".join(plain({"id": "stray", "choices": []}))
    with WireServer(answering()) as server, running_proxy(server.url) as proxy:
        server.answer = lambda _: [b"".join(plain(BODY)) + stray]
        assert ask(proxy, question()).json == BODY

        taken, dropped = threading.Event(), threading.Event()

        def late(request: Request) -> Iterator[bytes]:
            yield from plain(BODY)
            assert taken.wait(30)
            yield stray
            if request.wait_gone(30):
                dropped.set()

        server.answer = late
        assert ask(proxy, question()).json == BODY
        taken.set()
        assert dropped.wait(30)
        server.answer = answering()
        assert ask(proxy, question()).json == BODY
        assert server.connections == 3


# --------------------------------------------------------------------------- fallbacks


def two(first: str, second: str, **settings: Any) -> dict[str, Any]:
    other = Upstream(name="other", base_url=second, api_key="other-key-0123456789",
                     model="llama-3.3-70b")  # fmt: skip
    return {"upstream_url": first, "fallbacks": [other], **settings}


@pytest.mark.parametrize(
    ("answer", "category"),
    [
        (answering({"message": "Busy."}, status=429), "upstream_rate_limit"),
        (answering({"message": "No."}, status=503), "upstream_server"),
        (answering({"message": "None."}, status=404), "upstream_not_found"),
        (answering(b"<html>"), "upstream_invalid_answer"),
        (lambda _: [CUT], "upstream_interrupted"),
        (lambda _: [stream_head(), CUT], "upstream_interrupted"),
        (
            streaming(event({"error": {"message": "Busy."}, "status_code": 503})),
            "upstream_server",
        ),
        (lambda request: iter([b""][: request.wait_gone()]), "upstream_timeout"),
    ],
    ids=[
        "429",
        "503",
        "404",
        "no JSON",
        "closed",
        "closed after the head",
        "an error event",
        "silent",
    ],
)
def test_another_upstream_is_asked_before_the_first_byte(
    answer: Any, category: str
) -> None:
    limit_s = 1 if category == "upstream_timeout" else 30
    with (
        WireServer(answer) as first,
        WireServer(streaming(*STREAM)) as second,
        running_proxy(
            **two(first.url, second.url, first_byte_timeout_s=limit_s)
        ) as proxy,
    ):
        found = ask(proxy, question(stream=True, odd=1))
        assert found.body == b"".join(STREAM)
        (exchange,) = proxy.wait_ended()
        assert exchange.failed_upstreams == [("cerebras", category)]
        assert (exchange.upstream, exchange.attempts) == ("other", 2)
        assert exchange.model == "llama-3.3-70b"
        (request,) = second.requests
    assert request.headers["authorization"] == "Bearer other-key-0123456789"
    assert request.json == {**question(stream=True, odd=1), "model": "llama-3.3-70b"}
    assert UPSTREAM_KEY not in str(request.headers)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (answering({"message": "Wrong."}, status=400), 400),
        (answering({"message": "Wrong."}, status=401), 401),
        (streaming(delta("Hel"), CUT), 200),
    ],
    ids=["400", "401", "after the first byte"],
)
def test_no_other_upstream_is_asked_for_what_it_would_not_mend(
    answer: Any, status: int
) -> None:
    with (
        WireServer(answer) as first,
        WireServer(streaming(*STREAM)) as second,
        running_proxy(**two(first.url, second.url)) as proxy,
    ):
        assert ask(proxy, question(stream=True)).status == status
        assert not second.requests
        assert proxy.wait_ended()[0].failed_upstreams == []


def test_the_last_upstreams_failure_is_told() -> None:
    with (
        WireServer(answering({"message": "Busy."}, status=429)) as first,
        WireServer(answering({"message": "Broken."}, status=500)) as second,
        running_proxy(**two(first.url, second.url)) as proxy,
    ):
        answer = ask(proxy, question())
    assert (answer.status, answer.error["message"]) == (500, "Broken.")


# --------------------------------------------------------------------------- the end


def test_streams_end_by_themselves_when_the_proxy_is_told_to_end() -> None:
    go_on = threading.Event()

    def answer(_: Request) -> Iterator[bytes]:
        yield stream_head()
        yield chunk(delta("Hel"))
        assert go_on.wait(30)
        yield chunk(delta("lo.")) + chunk(DONE) + END

    with (
        WireServer(answer) as server,
        running_proxy(server.url) as proxy,
        RawClient(proxy) as client,
    ):
        client.send(question(stream=True))
        found = client.head()
        client.part(found)
        assert ask(proxy, method="GET", path="/health/ready").status == 200
        proxy.loop.call_soon_threadsafe(proxy.app.begin_shutdown, 30)
        proxy.wait(lambda: proxy.app.is_ending)
        assert ask(proxy, method="GET", path="/health/ready").status == 503
        assert ask(proxy, method="GET", path="/health/live").status == 200
        assert proxy.app.in_flight == 1
        go_on.set()
        assert client.rest(found).events[-1] == "[DONE]"
        assert proxy.wait_ended()[0].outcome == "ok"


def test_what_is_left_at_the_deadline_is_told_so_and_cut() -> None:
    def answer(request: Request) -> Iterator[bytes]:
        if request.is_stream:
            yield stream_head()
            yield chunk(delta("Hel"))
        assert request.wait_gone()

    with (
        WireServer(answer) as server,
        running_proxy(server.url) as proxy,
        RawClient(proxy) as stream,
        RawClient(proxy) as waiting,
    ):
        stream.send(question(stream=True))
        found = stream.head()
        stream.part(found)
        waiting.send(question())
        proxy.wait(lambda: proxy.app.in_flight == 2)
        proxy.loop.call_soon_threadsafe(proxy.app.begin_shutdown, 0.05)
        assert stream.rest(found).events[-1]["error"]["code"] == "shutting_down"
        refused = waiting.rest(waiting.head())
        assert (refused.status, refused.error["code"]) == (503, "shutting_down")
        assert refused.headers["connection"] == "close"
        kinds = {one.error_category for one in proxy.wait_ended(2)}
    assert kinds == {"shutting_down"}
