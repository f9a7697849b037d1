"""The way up through TLS, and through another HTTP proxy."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from typing import Any

import pytest
import trustme
from fault_server import FIN, HEAR, HOLD, FaultServer
from proxy_answers import BODY, STREAM
from proxy_raw import RawClient, ask, question
from proxy_server import UPSTREAM_KEY, running_proxy
from wire_server import WireServer, chunk, plain, stream_head

from langchain_cerebras_ext.proxy.record import counts_of

HOST = "upstream.test"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", HOST).configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let aiohttp trust the authority; its own context is made when it is imported."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", context)


def answers(request: Any, _: int) -> list[bytes]:
    if request.is_stream:
        return [stream_head(), *(chunk(one) for one in STREAM), b"0\r\n\r\n"]
    return [b"".join(plain(BODY))]


@pytest.mark.usefixtures("trusting")
def test_tls_is_spoken_and_its_connections_are_kept(
    server_context: ssl.SSLContext,
) -> None:
    with (
        FaultServer(answers, context=server_context) as server,
        running_proxy(server.url) as proxy,
    ):
        for _ in range(3):
            assert ask(proxy, question()).json == BODY
            assert ask(proxy, question(stream=True)).events[-1] == "[DONE]"
        assert len(server.connections) == 1


def test_a_certificate_that_nobody_knows_is_a_clear_error(
    server_context: ssl.SSLContext,
) -> None:
    with (
        FaultServer(answers, context=server_context) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question())
        assert answer.status == 502
        assert "certificate" in answer.error["message"]
        assert not server.requests


def test_a_server_that_speaks_no_tls_is_a_clear_error() -> None:
    def hang_up(_: int) -> list[Any]:
        return [HEAR, b"HTTP/1.1 400 Bad Request\r\n\r\n", FIN]

    with (
        FaultServer(answers, on_connect=hang_up) as server,
        running_proxy(server.url.replace("http:", "https:")) as proxy,
    ):
        answer = ask(proxy, question())
        assert answer.status == 502
        assert answer.error["code"] == "upstream_connection"


def test_a_handshake_that_does_not_end_is_let_go_of() -> None:
    with (
        FaultServer(answers, on_connect=lambda _: [HOLD]) as server,
        running_proxy(
            server.url.replace("http:", "https:"), connect_timeout_s=0.1
        ) as proxy,
    ):
        answer = ask(proxy, question())
        # Nothing was sent, so nothing is booked.
        assert (answer.status, answer.error["code"]) == (502, "upstream_connection")
        assert "reached within 0.1 s" in answer.error["message"]
        assert server.open_connections() == []
        (exchange,) = proxy.wait_ended()
        counts = counts_of(exchange)
    assert counts is not None
    assert (counts.input, counts.output, exchange.flags) == (0, 0, ())
    assert exchange.unreached


def test_a_client_that_leaves_while_we_connect_pays_nothing() -> None:
    with (
        FaultServer(answers, on_connect=lambda _: [HOLD]) as server,
        running_proxy(server.url.replace("http:", "https:")) as proxy,
    ):
        with RawClient(proxy) as client:
            client.send(question())
            proxy.wait(lambda: server.connections)
        (exchange,) = proxy.wait_ended()
        counts = counts_of(exchange)
    assert (exchange.outcome, exchange.error_category) == ("aborted", "client_gone")
    assert counts is not None
    assert (counts.input, counts.output, exchange.flags) == (0, 0, ())


def test_http_goes_through_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with WireServer(lambda _: plain(BODY)) as other:
        monkeypatch.setenv("http_proxy", f"http://ann:pass@127.0.0.1:{other.port}")
        with running_proxy(f"http://{HOST}/v1") as proxy:
            for _ in range(2):
                assert ask(proxy, question()).json == BODY
        first, second = other.requests
    assert first.path == second.path == f"http://{HOST}/v1/chat/completions"
    assert first.headers["host"] == HOST
    assert first.headers["proxy-authorization"] == "Basic YW5uOnBhc3M="
    assert first.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert other.connections == 1


@pytest.mark.usefixtures("trusting")
def test_https_goes_through_a_tunnel(
    server_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(answers, context=server_context) as server:
        with tunnel(server.port) as (port, lines):
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            with running_proxy(f"https://{HOST}/v1") as proxy:
                for _ in range(2):
                    assert ask(proxy, question()).json == BODY
                assert ask(proxy, question(stream=True)).is_whole
        assert lines == [f"CONNECT {HOST}:443 HTTP/1.1"]
        assert len(server.connections) == 1


def test_this_machine_is_reached_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with (
        WireServer(lambda _: plain(BODY)) as server,
        running_proxy(server.url) as proxy,
    ):
        assert ask(proxy, question()).json == BODY


class tunnel:  # noqa: N801 - used as a function
    """A proxy that makes tunnels to one port, whatever it is asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lines: list[str] = []
        self._socks: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> tuple[int, list[str]]:
        threading.Thread(target=self._accept, daemon=True).start()
        return self._listener.getsockname()[1], self._lines

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, *self._socks):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                head = b""
                while b"\r\n\r\n" not in head:
                    head += sock.recv(65536)
                self._lines.append(head.split(b"\r\n")[0].decode())
                other = socket.create_connection(("127.0.0.1", self._port))
                self._socks += [sock, other]
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                for pair in ((sock, other), (other, sock)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
