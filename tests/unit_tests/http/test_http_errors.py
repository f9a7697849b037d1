"""From whatever went wrong to an error of ours, and what else runs only elsewhere."""

from __future__ import annotations

import errno
import pickle
import select
import socket
import ssl
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from langchain_cerebras_ext._http._errors import (
    LimitError,
    map_dial_error,
    map_error,
)
from langchain_cerebras_ext._http._exchange import Limits, check_connect
from langchain_cerebras_ext._http._http1 import Fault, ResponseParser
from langchain_cerebras_ext._http._options import Timeouts
from langchain_cerebras_ext._http._route import Address, Environment, Route
from langchain_cerebras_ext._http._sync import _readable_check
from langchain_cerebras_ext._http._tls import TlsContexts
from langchain_cerebras_ext.errors import CerebrasConnectionError, CerebrasTimeoutError

if TYPE_CHECKING:
    from conftest import Client, Peer, Server

STRAIGHT = Route(Address("api.cerebras.ai", 443, True))
BY_PROXY = Route(
    Address("api.cerebras.ai", 443, True),
    Address("proxy.example", 3128, False),
    "Basic c2VjcmV0",
)


@pytest.mark.parametrize("route", [STRAIGHT, BY_PROXY], ids=["straight", "by proxy"])
@pytest.mark.parametrize(
    ("error", "straight", "by_proxy"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "dns", "proxy"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused", "proxy"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "reset", "proxy"),
        (OSError(errno.ENETUNREACH, "unreachable"), "other", "other"),
        (ssl.SSLCertVerificationError("self-signed"), "tls", "tls"),
        (ssl.SSLError(1, "wrong version"), "tls", "tls"),
        (ssl.SSLEOFError(8, "eof"), "closed", "proxy"),
        (Fault("closed", "gone"), "closed", "proxy"),
        (Fault("proxy", "407"), "proxy", "proxy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_failed_connection_has_a_kind_a_place_and_a_cure(
    error: Exception, straight: str, by_proxy: str, route: Route
) -> None:
    found = map_dial_error(error, route)
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
    assert (found.kind, type(found)) == (kind, CerebrasConnectionError)


def test_every_kind_of_limit_is_told_and_survives_pickling() -> None:
    for kind in ("connect", "idle", "total"):
        found = pickle.loads(
            pickle.dumps(map_dial_error(LimitError(kind, 2.5), STRAIGHT))
        )
        assert isinstance(found, CerebrasTimeoutError)
        assert (found.kind, found.timeout_s) == (kind, 2.5)
        assert "2.5 s" in str(found)


def test_the_connection_may_use_the_whole_calls_time_but_no_more() -> None:
    limits = Limits(Timeouts(connect_s=5, total_s=3), 100.0)
    assert limits.connect_until(100.0) == 103.0
    assert limits.connect_passed(103.0).kind == "total"
    assert Limits(Timeouts(connect_s=None, total_s=None), 0.0).connect_until(
        1.0
    ) == float("inf")


def test_a_proxy_that_talks_into_the_tunnel_is_refused() -> None:
    parser = ResponseParser("CONNECT")
    parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
    with pytest.raises(Fault, match="data of its own"):
        check_connect(parser)


def test_without_poll_a_socket_is_looked_at_by_select(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        check = _readable_check(ours)
        assert not check()
        theirs.sendall(b"x")
        assert check()


def test_without_certifi_the_systems_authorities_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "certifi", None)
    assert TlsContexts().get(True, Environment()).verify_mode is ssl.CERT_REQUIRED


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

    server = serve(handler)
    client = make_client(max_idle_connections=1)
    answers = [client.send(server.url) for _ in range(3)]
    server.event("go").set()
    assert [answer.read() for answer in answers] == [b"a"] * 3
    client.send(server.url).read()
    client.send(server.url).read()
    assert server.connections == 3


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
    assert "hidden" not in repr(answer.response) + repr(client.transport) + repr(
        answer.response._parser
    )
