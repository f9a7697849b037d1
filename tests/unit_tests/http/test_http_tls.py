"""TLS on loopback, with an authority made for the test."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from langchain_cerebras_ext._http import Timeouts
from langchain_cerebras_ext._http._errors import causes
from langchain_cerebras_ext._http._route import Environment
from langchain_cerebras_ext._http._tls import TlsContexts
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasConnectionError,
    CerebrasTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Client, Peer, Server

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def context_for(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def answer_all(peer: Peer, server: Server) -> None:
    while request := peer.read_request():
        server.requests.append(request)
        peer.send(OK)


def test_a_bundle_given_in_code_is_trusted_and_connections_are_kept(
    make_client: Callable[..., Client],
    serve: Callable[..., Server],
    authority: trustme.CA,
    bundle: Path,
) -> None:
    server = serve(answer_all, context_for(authority, "127.0.0.1"))
    client = make_client(verify=str(bundle))
    assert [client.send(server.url).read() for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1


def test_the_bundle_of_the_environment_is_trusted(
    make_client: Callable[..., Client],
    serve: Callable[..., Server],
    authority: trustme.CA,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(answer_all, context_for(authority, "127.0.0.1"))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("NO_PROXY", "*")
    assert make_client(trust_env=True).send(server.url).read() == b"ok"
    with pytest.raises(CerebrasConnectionError):
        make_client(trust_env=False).send(server.url)


def test_an_unknown_authority_is_told_with_the_cure(
    client: Client, serve: Callable[..., Server], authority: trustme.CA
) -> None:
    server = serve(answer_all, context_for(authority, "127.0.0.1"))
    with pytest.raises(
        CerebrasConnectionError, match=r"not trusted.*SSL_CERT_FILE"
    ) as caught:
        client.send(server.url)
    assert caught.value.kind == "tls"
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert any(
        isinstance(cause, ssl.SSLCertVerificationError)
        for cause in causes(caught.value)
    )


def test_a_certificate_of_another_host_is_refused(
    make_client: Callable[..., Client],
    serve: Callable[..., Server],
    authority: trustme.CA,
    bundle: Path,
) -> None:
    server = serve(answer_all, context_for(authority, "other.example"))
    with pytest.raises(
        CerebrasConnectionError, match=r"not valid for '127.0.0.1'"
    ) as caught:
        make_client(verify=str(bundle)).send(server.url)
    assert caught.value.kind == "tls"


def test_verification_can_be_switched_off(
    make_client: Callable[..., Client],
    serve: Callable[..., Server],
    authority: trustme.CA,
) -> None:
    server = serve(answer_all, context_for(authority, "other.example"))
    assert make_client(verify=False).send(server.url).read() == b"ok"


def test_a_server_without_tls_is_told(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = serve(handler)
    with pytest.raises(CerebrasConnectionError, match="TLS failed") as caught:
        client.send(server.url.replace("http:", "https:"))
    assert caught.value.kind == "tls"


def test_a_handshake_that_never_ends_is_a_timeout_to_connect(
    client: Client, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        server.event("end").wait(5)

    server = serve(handler)
    with pytest.raises(CerebrasTimeoutError) as caught:
        client.send(
            server.url.replace("http:", "https:"), timeouts=Timeouts(connect_s=0.3)
        )
    assert caught.value.kind == "connect"


@pytest.mark.parametrize("drip", [b"", b"H"], ids=["silent", "dripped"])
def test_a_tunnel_that_is_never_made_is_a_timeout_to_connect(
    make_client: Callable[..., Client], serve: Callable[..., Server], drip: bytes
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nA: ")
        while not server.event("end").wait(0.05):
            peer.send(drip)

    client = make_client(proxy=f"http://127.0.0.1:{serve(handler).port}")
    with pytest.raises(CerebrasTimeoutError) as caught:
        client.send("https://api.example/", timeouts=Timeouts(connect_s=0.4))
    assert (caught.value.kind, caught.value.timeout_s) == ("connect", 0.4)


def test_a_proxy_that_leaves_instead_of_making_a_tunnel_is_told(
    make_client: Callable[..., Client], serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()

    client = make_client(proxy=f"http://127.0.0.1:{serve(handler).port}")
    with pytest.raises(CerebrasConnectionError, match=r"proxy 127\.0\.0\.1") as caught:
        client.send("https://api.example/")
    assert caught.value.kind == "proxy"


def test_a_proxy_that_wants_a_password_for_http_is_told(
    make_client: Callable[..., Client], serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")

    client = make_client(proxy=f"http://127.0.0.1:{serve(handler).port}")
    with pytest.raises(CerebrasConnectionError, match=r"407.*name and password") as e:
        client.send("http://api.example/")
    assert e.value.kind == "proxy"


def test_a_stream_over_tls_comes_as_it_is_sent_and_is_cut_at_once_when_left(
    make_client: Callable[..., Client],
    serve: Callable[..., Server],
    authority: trustme.CA,
    bundle: Path,
) -> None:
    gone = threading.Event()

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + b"3\r\none\r\n")
        server.event("next").wait(5)
        peer.send(b"3\r\ntwo\r\n")
        if peer.wait_gone():
            gone.set()

    server = serve(handler, context_for(authority, "127.0.0.1"))
    client = make_client(verify=str(bundle))
    answer = client.send(server.url)
    assert answer.next() == b"one"
    server.event("next").set()
    assert answer.next() == b"two"
    answer.close()
    if client._runner:
        import asyncio

        client._runner.run(asyncio.sleep(0.01))
    assert gone.wait(2)


def test_silence_and_cuts_over_tls_are_told_as_without(
    make_client: Callable[..., Client],
    serve: Callable[..., Server],
    authority: trustme.CA,
    bundle: Path,
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + b"3\r\none\r\n")
        if server.connections == 1:
            server.event("cut").wait(5)

    server = serve(handler, context_for(authority, "127.0.0.1"))
    client = make_client(verify=str(bundle))
    answer = client.send(server.url, timeouts=Timeouts(read_s=0.2))
    assert answer.next() == b"one"
    with pytest.raises(CerebrasTimeoutError):
        answer.next()
    server.event("cut").set()
    answer = client.send(server.url)
    assert answer.next() == b"one"
    with pytest.raises(CerebrasConnectionError) as caught:
        answer.next()
    assert caught.value.kind in {"closed", "reset"}


def test_a_large_body_crosses_tls(
    make_client: Callable[..., Client],
    serve: Callable[..., Server],
    authority: trustme.CA,
    bundle: Path,
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        request = peer.read_request()
        assert request is not None
        peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
            % (len(request.body), request.body)
        )

    server = serve(handler, context_for(authority, "127.0.0.1"))
    body = bytes(range(256)) * 8000
    assert make_client(verify=str(bundle)).send(server.url, body).read() == body


def test_contexts_are_made_once_per_setting(bundle: Path) -> None:
    contexts = TlsContexts()
    with_file = Environment(ca_file=str(bundle))
    assert contexts.get(True, with_file) is contexts.get(True, with_file)
    assert contexts.get(True, with_file) is not contexts.get(False, with_file)


def test_no_context_is_made_for_http(
    client: Client, serve: Callable[..., Server]
) -> None:
    client.send(serve(answer_all).url).read()
    assert not client.transport._contexts._made


@pytest.mark.parametrize(
    ("verify", "environment", "text"),
    [
        ("missing.pem", Environment(), "missing.pem.*verify="),
        (True, Environment(ca_file="missing.pem"), "missing.pem.*SSL_CERT_FILE"),
    ],
    ids=["code", "environment"],
)
def test_a_bundle_that_cannot_be_read_is_named(
    verify: bool | str, environment: Environment, text: str
) -> None:
    with pytest.raises(CerebrasConfigurationError, match=text):
        TlsContexts().get(verify, environment)


def test_a_folder_of_authorities_is_taken(tmp_path: Path) -> None:
    context = TlsContexts().get(str(tmp_path), Environment())
    assert context.verify_mode is ssl.CERT_REQUIRED
