"""From whatever went wrong to an error of ours, and what else runs only elsewhere."""

from __future__ import annotations

import asyncio
import errno
import pickle
import socket
import ssl
import sys
from collections.abc import Callable
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from work import count_calls

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._http import _dial
from langchain_cerebras_ext._http._errors import Fault, is_system_timeout, map_error
from langchain_cerebras_ext._http._limits import LimitError, Limits
from langchain_cerebras_ext._http._options import Timeouts
from langchain_cerebras_ext._http._route import Address, Environment, Route
from langchain_cerebras_ext._http._tls import TlsContexts
from langchain_cerebras_ext.errors import CerebrasConnectionError, CerebrasTimeoutError

if TYPE_CHECKING:
    from conftest import Client, Peer, Server

STRAIGHT = Route(Address("api.cerebras.ai", 443, True))
BY_PROXY = Route(
    Address("api.cerebras.ai", 443, True),
    "/",
    Address("proxy.example", 3128, False),
    "http://proxy.example:3128",
    "Basic c2VjcmV0",
)


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize("route", [STRAIGHT, BY_PROXY], ids=["straight", "by proxy"])
@pytest.mark.parametrize(
    ("error", "straight", "by_proxy"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "dns", "proxy"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused", "proxy"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "reset", "proxy"),
        (OSError(errno.ENETUNREACH, "unreachable"), "other", "proxy"),
        (untrusted(), "tls", "tls"),
        (ssl.SSLError(1, "wrong version"), "tls", "tls"),
        (ssl.CertificateError("other host"), "tls", "tls"),
        (ssl.SSLEOFError(8, "eof"), "closed", "proxy"),
        (Fault("closed", "gone"), "closed", "proxy"),
        (Fault("proxy", "407"), "proxy", "proxy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_failed_connection_has_a_kind_a_place_and_a_cure(
    error: Exception, straight: str, by_proxy: str, route: Route
) -> None:
    found = map_error(error, route, connecting=True)
    assert found.kind == (straight if route is STRAIGHT else by_proxy)
    assert "api.cerebras.ai:443" in str(found)
    assert "c2VjcmV0" not in str(found)
    assert str(found).endswith(".")
    assert not isinstance(found, CerebrasTimeoutError)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "other"),
        (BrokenPipeError(errno.EPIPE, "broken"), "reset"),
        (RuntimeError("odd"), "other"),
    ],
    ids=["system's timeout", "pipe", "other"],
)
def test_a_failed_call_has_a_kind(error: Exception, kind: str) -> None:
    found = map_error(error, STRAIGHT)
    assert found.kind == kind
    assert not isinstance(found, CerebrasTimeoutError)


def test_a_reset_without_words_has_no_empty_brackets() -> None:
    found = map_error(ConnectionResetError(), STRAIGHT)
    assert "the connection was reset. " in str(found)


@pytest.mark.parametrize("asks", ["sync", "async"])
def test_what_a_server_says_that_is_no_http_is_not_repeated(asks: str) -> None:
    model = ChatCerebras(base_url="http://localhost", api_key="k", max_retries=0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        model = model.model_copy(
            update={
                "cerebras_api_base": f"http://127.0.0.1:{listener.getsockname()[1]}"
            }
        )

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"SECRET is what you sent\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(CerebrasConnectionError) as caught:
            if asks == "sync":
                model.invoke("hi")
            else:
                asyncio.run(model.ainvoke("hi"))
        thread.join()
    assert "is not HTTP as it should be (BadStatusLine)" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.kind == "protocol"


def test_every_kind_of_limit_is_told_and_survives_pickling() -> None:
    for kind in ("connect", "idle", "total"):
        found = pickle.loads(pickle.dumps(map_error(LimitError(kind, 2.5), STRAIGHT)))
        assert isinstance(found, CerebrasTimeoutError)
        assert (found.kind, found.timeout_s) == (kind, 2.5)
        assert "2.5 s" in str(found)


def test_an_error_that_the_caller_handles_is_no_cause() -> None:
    """A retry from within `except TimeoutError` must not look like a timeout."""
    with pytest.raises(ConnectionRefusedError) as caught:
        try:
            raise TimeoutError
        except TimeoutError:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")  # noqa: B904
    assert map_error(caught.value, STRAIGHT).kind == "refused"
    assert not is_system_timeout(caught.value)


def test_the_connection_may_use_the_whole_calls_time_but_no_more() -> None:
    limits = Limits(Timeouts(connect_s=5, total_s=3), 100.0)
    limits.start_connecting(100.0)
    assert limits.wait_s(100.0) == 3.0
    assert limits.passed(103.0).kind == "total"
    with pytest.raises(LimitError):
        limits.wait_s(103.0)
    without = Limits(Timeouts(connect_s=None, total_s=None), 0.0)
    without.start_connecting(0.0)
    assert without.wait_s(1.0) is None


def test_an_address_that_is_silent_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float | None] = []

    class Silent(socket.socket):
        def connect(self, address: object) -> None:
            waits.append(self.gettimeout())
            raise TimeoutError("timed out")

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 1))] * 3
    monkeypatch.setattr(_dial, "_resolve", lambda *_: found)
    limits = Limits(Timeouts(connect_s=9.0), monotonic())
    limits.start_connecting(monotonic())
    with pytest.raises(LimitError) as caught:
        _dial.dial("host", 1, limits, Silent, [])
    assert caught.value.kind == "connect"
    assert waits == [pytest.approx(each, abs=0.5) for each in (3.0, 4.5, 9.0)]


def test_a_name_without_addresses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dial, "_resolve", lambda *_: [])
    with pytest.raises(OSError, match="no address"):
        _dial.dial("host", 1, Limits(Timeouts(), monotonic()), socket.socket, [])


def test_without_certifi_the_systems_authorities_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "certifi", None)
    assert TlsContexts().get(True, Environment()).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("is_async", [False], ids=["sync"])
def test_idle_connections_are_bounded(
    make_client: Callable[..., Client], serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        while peer.read_request():
            peer.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
            )
            server.event("go").wait(5)
            peer.send(b"0\r\n\r\n")

    # aiohttp bounds them by their age alone.
    server = serve(handler)
    client = make_client(max_idle_connections=1)
    answers = [client.send(server.url) for _ in range(3)]
    server.event("go").set()
    assert [answer.read() for answer in answers] == [b"a"] * 3
    client.send(server.url).read()
    client.send(server.url).read()
    assert server.connections == 3


@pytest.mark.parametrize("is_async", [False], ids=["sync"])
def test_a_client_costs_the_same_whatever_number_of_connections_it_may_keep(
    make_client: Callable[..., Client], serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        while peer.read_request():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = serve(handler)

    def use(kept: int) -> None:
        client = make_client(max_idle_connections=kept)
        client.send(server.url).read()
        client.close()

    use(1)  # whatever only the first one does
    few = count_calls(lambda: use(1))
    assert count_calls(lambda: use(10_000)) < few + 20_000


def test_nothing_shows_more_than_host_and_port(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    url = serve(handler).url.replace("http://", "http://user:hidden@")
    answer = client.send(
        url + "?key=hidden", headers={"Authorization": "Bearer hidden"}
    )
    assert "hidden" not in repr(answer.response) + repr(client.transport)
