"""Whole calls over loopback, the same for both transports."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from langchain_cerebras_ext._http import (
    AsyncTransport,
    SyncTransport,
    Timeouts,
    TransportOptions,
)
from langchain_cerebras_ext._http._errors import causes
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasConnectionError,
    CerebrasTimeoutError,
)

if TYPE_CHECKING:
    from conftest import Client, Peer, Server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SECRET = "csk-secret-of-the-test"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer_each(*answers: bytes) -> Callable[[Peer, Server], None]:
    def handler(peer: Peer, server: Server) -> None:
        while request := peer.read_request():
            server.requests.append(request)
            peer.send(answers[min(len(server.requests), len(answers)) - 1])

    return handler


def test_a_request_crosses_the_wire_as_given(
    client: Client, serve: Callable[..., Server]
) -> None:
    server = serve(answer_each(OK))
    answer = client.send(
        server.url + "?q=1",
        b'{"a":1}',
        headers={"Authorization": "Bearer k", "X-A": "é", "X-B": "1\t2"},
    )
    assert (answer.status, answer.headers, answer.read()) == (
        200,
        {"content-length": "2"},
        b"ok",
    )
    [request] = server.requests
    assert request.line == "POST /v1/x?q=1 HTTP/1.1"
    assert request.body == b'{"a":1}'
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "authorization": "Bearer k",
        "x-a": "é".encode().decode("latin-1"),
        "x-b": "1\t2",
        "accept-encoding": "identity",
        "content-length": "7",
    }


def test_a_get_has_no_body_and_no_length(
    client: Client, serve: Callable[..., Server]
) -> None:
    server = serve(answer_each(OK))
    client.send(server.url, None, method="GET").read()
    assert server.requests[0].line == "GET /v1/x HTTP/1.1"
    assert "content-length" not in server.requests[0].headers


@pytest.mark.parametrize("status", [204, 301, 302, 400, 401, 404, 429, 500, 503])
def test_every_status_is_an_answer_and_redirects_are_not_followed(
    client: Client, serve: Callable[..., Server], status: int
) -> None:
    head = b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    server = serve(answer_each(head % status))
    answer = client.send(server.url)
    assert (answer.status, answer.headers["location"], answer.read()) == (
        status,
        "http://127.0.0.1:1/",
        b"",
    )
    assert len(server.requests) == 1


def test_a_connection_whose_answer_was_read_is_used_again(
    client: Client, serve: Callable[..., Server]
) -> None:
    server = serve(answer_each(OK, STREAM + chunk(b"a") + chunk(b"b") + b"0\r\n\r\n"))
    assert client.send(server.url).read() == b"ok"
    assert b"".join(client.send(server.url).parts()) == b"ab"
    assert client.send(server.url).read() == b"ab"
    assert (server.connections, len(server.requests)) == (1, 3)


def test_a_connection_that_the_server_wants_closed_is_not_used_again(
    client: Client, serve: Callable[..., Server]
) -> None:
    server = serve(
        answer_each(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    )
    assert [client.send(server.url).read() for _ in range(2)] == [b"ok", b"ok"]
    assert server.connections == 2


def test_a_stream_hands_on_each_read_without_waiting(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + chunk(b"one"))
        for name, data in (("a", chunk(b"two")), ("b", chunk(b"three"))):
            server.event(name).wait(5)
            peer.send(data)
        server.event("c").wait(5)
        peer.send(b"0\r\n\r\n")

    server = serve(handler)
    answer = client.send(server.url)
    assert answer.next() == b"one"
    for name, data in (("a", b"two"), ("b", b"three")):
        server.event(name).set()
        assert answer.next() == data
    server.event("c").set()
    assert answer.next() is None
    assert answer.next() is None


def test_many_chunks_come_whole_and_in_order(
    client: Client, serve: Callable[..., Server]
) -> None:
    pieces = [b"%d " % number for number in range(3000)]
    server = serve(answer_each(STREAM + b"".join(map(chunk, pieces)) + b"0\r\n\r\n"))
    parts = client.send(server.url).parts()
    assert b"".join(parts) == b"".join(pieces)
    assert all(parts), "no part is empty"


def test_a_gzipped_stream_is_decoded_as_it_comes(
    client: Client, serve: Callable[..., Server]
) -> None:
    packer = zlib.compressobj(wbits=31)
    parts = [
        packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
        for text in (b"data: 1\n\n", b"data: 2\n\n")
    ]
    last = packer.flush()

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM[:-2] + b"Content-Encoding: gzip\r\n\r\n" + chunk(parts[0]))
        server.event("next").wait(5)
        peer.send(chunk(parts[1]) + chunk(last) + b"0\r\n\r\n")

    server = serve(handler)
    answer = client.send(server.url)
    assert answer.next() == b"data: 1\n\n"
    server.event("next").set()
    assert b"".join(answer.parts()) == b"data: 2\n\n"


def test_a_large_body_goes_out_and_comes_back_whole(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        request = peer.read_request()
        assert request is not None
        peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
            % (len(request.body), request.body)
        )

    body = bytes(range(256)) * 20_000
    assert client.send(serve(handler).url, body).read() == body


def test_a_body_over_the_bound_is_refused(
    make_client: Callable[..., Client], serve: Callable[..., Server]
) -> None:
    bomb = gzip.compress(b"\0" * 1_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    server = serve(answer_each(head % len(bomb) + bomb))
    answer = make_client(max_body_bytes=10_000).send(server.url)
    with pytest.raises(
        CerebrasConnectionError, match="longer than 10000 bytes"
    ) as caught:
        answer.read()
    assert caught.value.kind == "protocol"


# ---------------------------------------------------------------- answers cut short


CUTS = {
    "no answer": (b"", "closed"),
    "inside the head": (b"HTTP/1.1 200 OK\r\nX: 1\r\n", "closed"),
    "after the last header line": (b"HTTP/1.1 200 OK\r\nX: 1\r\n\r", "closed"),
    "inside the length": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "closed"),
    "between chunks": (STREAM + chunk(b"abc"), "closed"),
    "inside a chunk": (STREAM + b"9\r\nabc", "closed"),
    "no http": (b"220 smtp ready\r\n", "protocol"),
    "bad chunk": (STREAM + b"xyz\r\n", "protocol"),
}


@pytest.mark.parametrize("name", CUTS)
def test_an_answer_that_is_not_whole_is_an_error(
    client: Client, serve: Callable[..., Server], name: str
) -> None:
    wire, kind = CUTS[name]

    def handler(peer: Peer, server: Server) -> None:
        server.requests.append(peer.read_request())  # type: ignore[arg-type]
        peer.send(wire)
        peer.close()

    server = serve(handler)
    with pytest.raises(CerebrasConnectionError) as caught:
        client.send(server.url).read()
    assert caught.value.kind == kind
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert len(server.requests) == 1, "nothing is sent twice on a fresh connection"


def test_what_came_before_the_cut_is_handed_on(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + chunk(b"half"))

    answer = client.send(serve(handler).url)
    assert answer.next() == b"half"
    with pytest.raises(CerebrasConnectionError, match="before the answer's end"):
        answer.next()


def test_a_reset_in_a_stream_is_an_error(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + chunk(b"half"))
        server.event("reset").wait(5)
        peer.reset()

    server = serve(handler)
    answer = client.send(server.url)
    assert answer.next() == b"half"
    server.event("reset").set()
    with pytest.raises(CerebrasConnectionError) as caught:
        answer.next()
    assert caught.value.kind == "reset"


def test_an_old_server_may_end_a_body_with_the_connection(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    server = serve(handler)
    assert [client.send(server.url).read() for _ in range(2)] == [b"all of it"] * 2
    assert server.connections == 2


# ------------------------------------------------------------ kept connections, stale


def test_a_kept_connection_that_was_closed_meanwhile_does_not_surface(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        server.requests.append(peer.read_request())  # type: ignore[arg-type]
        peer.send(OK)
        peer.close()
        server.event(f"closed {server.connections}").set()

    server = serve(handler)
    for count in (1, 2, 3):
        assert client.send(server.url).read() == b"ok"
        server.event(f"closed {count}").wait(5)
        time.sleep(0.02)
    assert (server.connections, len(server.requests)) == (3, 3)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_kept_connection_closed_on_the_next_request_is_replaced_once(
    client: Client, serve: Callable[..., Server], how: str
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        server.requests.append(peer.read_request())  # type: ignore[arg-type]
        peer.send(OK)
        if server.connections == 1:
            server.requests.append(peer.read_request())  # type: ignore[arg-type]
            getattr(peer, how)()

    server = serve(handler)
    assert [client.send(server.url, body).read() for body in (b"1", b"2")] == [
        b"ok",
        b"ok",
    ]
    assert [request.body for request in server.requests] == [b"1", b"2", b"2"]
    assert server.connections == 2


def test_a_fresh_connection_closed_without_an_answer_is_an_error_at_once(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        server.requests.append(peer.read_request())  # type: ignore[arg-type]
        if server.connections == 1:
            peer.send(OK)
            server.requests.append(peer.read_request())  # type: ignore[arg-type]

    server = serve(handler)
    assert client.send(server.url).read() == b"ok"
    with pytest.raises(CerebrasConnectionError, match="without an answer"):
        client.send(server.url)
    assert (server.connections, len(server.requests)) == (2, 3)


def test_a_request_is_not_resent_once_a_byte_of_its_answer_came(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()
        peer.send(b"HTTP/1.1 200")
        peer.close()

    server = serve(handler)
    assert client.send(server.url).read() == b"ok"
    with pytest.raises(CerebrasConnectionError, match="inside the headers"):
        client.send(server.url)
    assert server.connections == 1


def test_a_request_is_not_resent_after_a_time_limit(
    client: Client, serve: Callable[..., Server]
) -> None:
    server = serve(answer_each(OK, b""))
    assert client.send(server.url).read() == b"ok"
    with pytest.raises(CerebrasTimeoutError):
        client.send(server.url, timeouts=Timeouts(read_s=0.1))
    assert len(server.requests) == 2


def test_an_expired_connection_is_not_used_again(
    make_client: Callable[..., Client], serve: Callable[..., Server]
) -> None:
    client = make_client(keepalive_s=0.05)
    server = serve(answer_each(OK))
    client.send(server.url).read()
    time.sleep(0.1)
    client.send(server.url).read()
    assert server.connections == 2


def test_closing_lets_go_of_kept_connections_and_the_transport_stays_usable(
    client: Client, serve: Callable[..., Server]
) -> None:
    gone = threading.Event()

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(OK)
        if peer.wait_gone():
            gone.set()

    server = serve(handler)
    client.send(server.url).read()
    closed = client.transport.aclose() if client.is_async else client.transport.close()
    if client.is_async:
        assert client._runner is not None
        client._runner.run(closed)
    assert gone.wait(5)
    assert client.send(server.url).read() == b"ok"
    assert server.connections == 2


# ------------------------------------------------------------------------ time limits


def drip(data: bytes, pause_s: float) -> Callable[[Peer, Server], None]:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        for at in range(len(data)):
            peer.sock.sendall(data[at : at + 1])
            if server.event("over").wait(pause_s):
                return

    return handler


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 999, STREAM + b"fff\r\n" + b"x" * 4095],
    ids=["head", "body"],
)
def test_an_answer_dripped_byte_by_byte_ends_with_the_total_limit(
    client: Client, serve: Callable[..., Server], data: bytes
) -> None:
    server = serve(drip(data, 0.02))
    started = time.monotonic()
    with pytest.raises(CerebrasTimeoutError, match=r"0.4 s") as caught:
        client.send(server.url, timeouts=Timeouts(read_s=5, total_s=0.4)).read()
    assert (caught.value.kind, caught.value.timeout_s) == ("total", 0.4)
    assert 0.3 < time.monotonic() - started < 15  # of the 20 s that it would take


def test_silence_before_the_answer_ends_with_the_limit_without_a_byte(
    client: Client, serve: Callable[..., Server]
) -> None:
    server = serve(answer_each(b""))
    with pytest.raises(CerebrasTimeoutError, match=r"limit of 0.2 s") as caught:
        client.send(server.url, timeouts=Timeouts(read_s=0.2))
    assert (caught.value.kind, caught.value.timeout_s) == ("idle", 0.2)


def test_silence_in_a_stream_ends_with_the_limit_without_a_byte(
    client: Client, serve: Callable[..., Server]
) -> None:
    gone = threading.Event()

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + chunk(b"x"))
        if peer.wait_gone():
            gone.set()

    answer = client.send(
        serve(handler).url, timeouts=Timeouts(read_s=0.2, total_s=None, first_byte_s=60)
    )
    assert answer.next() == b"x"
    with pytest.raises(CerebrasTimeoutError) as caught:
        answer.next()
    assert (caught.value.kind, caught.value.timeout_s) == ("idle", 0.2)
    assert gone.wait(5), "the server sees the end at once"


def test_the_first_byte_may_take_longer_than_the_others(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        time.sleep(0.25)
        peer.send(STREAM)
        time.sleep(0.25)
        peer.send(chunk(b"x") + b"0\r\n\r\n")

    server = serve(handler)
    assert (
        client.send(server.url, timeouts=Timeouts(read_s=0.1, first_byte_s=5)).read()
        == b"x"
    )
    with pytest.raises(CerebrasTimeoutError):
        client.send(server.url, timeouts=Timeouts(read_s=5, first_byte_s=0.1))


def test_a_server_that_does_not_read_ends_with_the_limit_without_a_byte(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        server.event("end").wait(10)

    with pytest.raises(CerebrasTimeoutError) as caught:
        client.send(
            serve(handler).url, b"x" * 30_000_000, timeouts=Timeouts(read_s=0.3)
        )
    assert caught.value.kind == "idle"


def test_a_large_body_that_goes_out_slowly_is_not_cut_off(
    client: Client, serve: Callable[..., Server]
) -> None:
    """The limits on connecting and on silence are none on the whole of a body."""
    size = 40_000_000

    def handler(peer: Peer, server: Server) -> None:
        taken = 0
        while taken < size:
            taken += len(peer.sock.recv(400_000))
            time.sleep(0.01)
        peer.send(OK)

    limits = Timeouts(connect_s=0.2, read_s=0.6, total_s=30)
    started = time.monotonic()
    answer = client.send(serve(handler).url, b"x" * size, timeouts=limits)
    assert answer.read() == b"ok"
    assert time.monotonic() - started > 0.6


def test_the_total_limit_holds_while_a_body_goes_out(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        while not server.event("end").wait(0.02):
            peer.sock.recv(20_000)

    with pytest.raises(CerebrasTimeoutError) as caught:
        client.send(
            serve(handler).url,
            b"x" * 30_000_000,
            timeouts=Timeouts(read_s=5, total_s=0.4),
        )
    assert caught.value.kind == "total"


def test_a_server_that_leaves_during_a_large_body_is_told(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.sock.recv(1000)
        peer.reset()

    with pytest.raises(CerebrasConnectionError) as caught:
        client.send(serve(handler).url, b"x" * 30_000_000)
    assert caught.value.kind in {"reset", "closed"}


def test_a_slow_reader_does_not_lose_a_byte(
    client: Client, serve: Callable[..., Server]
) -> None:
    body = bytes(range(256)) * 12_000
    server = serve(answer_each(STREAM + chunk(b"first") + chunk(body) + b"0\r\n\r\n"))
    answer = client.send(server.url)
    found = [answer.next() or b""]
    time.sleep(0.2)
    if client.is_async:
        assert client._runner is not None
        client._runner.run(asyncio.sleep(0.2))
    assert b"".join([*found, *answer.parts()]) == b"first" + body


def test_the_next_address_is_tried_when_one_does_not_answer(
    client: Client, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answer_each(OK))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        dead = unused.getsockname()[1]

    def find(host: str, *_: object, **given: object) -> list[object]:
        if given.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "no literal")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (dead, server.port)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    assert client.send("http://two.example/").read() == b"ok"


def test_socket_options_are_set(
    make_client: Callable[..., Client],
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seen: list[tuple[object, ...]] = []
    original = socket.socket.setsockopt

    def record(sock: socket.socket, *given: object) -> None:
        seen.append(given)
        original(sock, *given)  # type: ignore[arg-type]

    server = serve(answer_each(OK))
    client = make_client(socket_options=(option,))
    monkeypatch.setattr(socket.socket, "setsockopt", record)
    assert client.send(server.url).read() == b"ok"
    assert option in seen
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in seen


def test_no_limits_wait_for_ever(client: Client, serve: Callable[..., Server]) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        time.sleep(0.2)
        peer.send(OK)

    limits = Timeouts(connect_s=None, read_s=None, total_s=None)
    assert client.send(serve(handler).url, timeouts=limits).read() == b"ok"


def test_the_total_limit_counts_while_a_caller_does_other_things(
    client: Client, serve: Callable[..., Server]
) -> None:
    server = serve(answer_each(STREAM + chunk(b"x")))
    answer = client.send(server.url, timeouts=Timeouts(total_s=0.2))
    assert answer.next() == b"x"
    time.sleep(0.3)
    with pytest.raises(CerebrasTimeoutError) as caught:
        answer.next()
    assert caught.value.kind == "total"


def test_a_server_that_does_not_accept_is_a_timeout_to_connect(client: Client) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:  # the queue is full after these
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            with pytest.raises(CerebrasTimeoutError, match=r"0.2 s") as caught:
                client.send(
                    f"http://127.0.0.1:{port}/", timeouts=Timeouts(connect_s=0.2)
                )
        finally:
            for filler in fillers:
                filler.close()
    assert (caught.value.kind, caught.value.timeout_s) == ("connect", 0.2)


# --------------------------------------------------------------- errors that are told


def test_nobody_listening_is_told_with_host_and_port(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(
        CerebrasConnectionError, match=f"127.0.0.1:{port}.*CEREBRAS_BASE_URL"
    ) as caught:
        client.send(
            f"http://127.0.0.1:{port}/v1", headers={"Authorization": f"Bearer {SECRET}"}
        )
    assert caught.value.kind == "refused"
    assert isinstance([*causes(caught.value)][-1], ConnectionRefusedError)
    assert SECRET not in str(caught.value)


def test_a_name_without_an_address_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(
        CerebrasConnectionError, match=r"'?api.example.invalid:443.*CEREBRAS_BASE_URL"
    ) as caught:
        client.send("https://user:hidden@api.example.invalid/v1")
    assert caught.value.kind == "dns"
    assert "hidden" not in str(caught.value)


def test_a_resolver_that_hangs_is_a_timeout_to_connect(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hang(host: str, *_: object, **given: object) -> None:
        if not given.get("flags"):
            release.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    with pytest.raises(CerebrasTimeoutError) as caught:
        client.send("http://api.example.invalid/", timeouts=Timeouts(connect_s=0.2))
    release.set()
    assert caught.value.kind == "connect"
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ftp://host/x", "scheme is 'ftp'"),
        ("host/x", "scheme is ''"),
        ("http:///x", "names no host"),
        ("http://host:99999/x", "port"),
        ("http://a..b/x", "no name that DNS can know"),
        ("http://host/a b", "spaces"),
    ],
)
def test_a_url_of_no_use_is_refused_before_anything_is_sent(
    client: Client, url: str, text: str
) -> None:
    with pytest.raises(CerebrasConfigurationError, match=text):
        client.send(url)


def test_a_header_that_cannot_be_sent_is_refused_without_its_value(
    client: Client,
) -> None:
    with pytest.raises(
        CerebrasConfigurationError, match="'Authorization' holds a line break"
    ) as caught:
        client.send(
            "http://127.0.0.1:1/", headers={"Authorization": f"Bearer {SECRET}\n"}
        )
    assert SECRET not in str(caught.value)


def test_an_early_refusal_of_a_large_body_is_read(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.sock.recv(1000)
        peer.send(
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.sock.recv(65536):
            pass

    assert client.send(serve(handler).url, b"x" * 3_000_000).status == 413


# --------------------------------------------------------------- letting go in between


def until_gone(data: bytes, gone: threading.Event) -> Callable[[Peer, Server], None]:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(data)
        if peer.wait_gone():
            gone.set()

    return handler


@pytest.mark.parametrize("how", ["close", "stop"])
def test_the_server_sees_at_once_that_a_stream_was_left(
    client: Client, serve: Callable[..., Server], how: str
) -> None:
    gone = threading.Event()
    answer = client.send(serve(until_gone(STREAM + chunk(b"x"), gone)).url)
    assert answer.next() == b"x"
    getattr(answer, how)()
    if client.is_async:
        assert client._runner is not None
        client._runner.run(asyncio.sleep(0.01))
    assert gone.wait(2)
    answer.close()
    answer.close()
    with pytest.raises(CerebrasConnectionError, match="closed while read"):
        answer.response.read() if not client.is_async else answer.read()


def test_an_answer_that_is_dropped_unread_lets_go(
    client: Client, serve: Callable[..., Server]
) -> None:
    gone = threading.Event()
    answer = client.send(serve(until_gone(STREAM + chunk(b"x"), gone)).url)
    del answer
    if client.is_async:
        assert client._runner is not None
        client._runner.run(asyncio.sleep(0.01))
    assert gone.wait(2)


def test_a_stream_closed_by_another_thread_wakes_whoever_reads(
    serve: Callable[..., Server],
) -> None:
    gone = threading.Event()
    server = serve(until_gone(STREAM + chunk(b"x"), gone))
    with SyncTransport(TransportOptions(trust_env=False)) as transport:
        answer = transport.send("POST", server.url, {}, b"", Timeouts())
        parts = answer.iter_raw()
        assert next(parts) == b"x"
        threading.Timer(0.1, answer.close).start()
        started = time.monotonic()
        with pytest.raises(CerebrasConnectionError) as caught:
            next(parts)
        assert caught.value.kind == "closed"
        assert time.monotonic() - started < 30
    assert gone.wait(2)


async def test_a_stream_closed_by_another_task_wakes_whoever_reads(
    serve: Callable[..., Server],
) -> None:
    server = serve(until_gone(STREAM + chunk(b"x"), threading.Event()))
    async with AsyncTransport(TransportOptions(trust_env=False)) as transport:
        answer = await transport.send("POST", server.url, {}, b"", Timeouts())
        parts = answer.iter_raw()
        assert await anext(parts) == b"x"
        reader = asyncio.ensure_future(anext(parts))
        await asyncio.sleep(0.02)
        await answer.aclose()
        with pytest.raises(CerebrasConnectionError, match="closed while read"):
            await reader


def test_a_transport_may_be_closed_while_threads_send(
    serve: Callable[..., Server],
) -> None:
    server = serve(answer_each(OK))
    transport = SyncTransport(TransportOptions(trust_env=False))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(40):
                transport.send("POST", server.url, {}, b"{}", Timeouts()).read()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        transport.close()
    for thread in threads:
        thread.join()
    transport.close()
    assert not failures
