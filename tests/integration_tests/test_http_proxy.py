"""Proxies, each a process of its own: told by the environment or in code."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from langchain_cerebras_ext._http import (
    AsyncTransport,
    SyncTransport,
    Timeouts,
    TransportOptions,
)
from langchain_cerebras_ext.errors import CerebrasConnectionError

# A forward and CONNECT proxy; says its port, then the first line of every request.
PROXY = """
import base64, socket, ssl, sys, threading

user, certificate, answer = sys.argv[1:4]
wanted = "Basic " + base64.b64encode(user.encode()).decode() if user else None
context = None
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for each in (source, sink):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def handle(client):
    if context:
        client = context.wrap_socket(client, server_side=True)
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        data = client.recv(65536)
        if not data:
            return
        head += data
    head, _, rest = head.partition(b"\\r\\n\\r\\n")
    line, *lines = head.decode("latin-1").split("\\r\\n")
    headers = dict(each.split(": ", 1) for each in lines)
    print(line, flush=True)
    if wanted and headers.pop("Proxy-Authorization", None) != wanted:
        client.sendall(b"HTTP/1.1 407 No\\r\\nContent-Length: 0\\r\\n\\r\\n")
        return
    method, target, _ = line.split(" ")
    if method == "CONNECT":
        if answer != "200":
            client.sendall(f"HTTP/1.1 {answer} No\\r\\nContent-Length: 0\\r\\n\\r\\n".encode())
            return
        host, _, port = target.rpartition(":")
        server = socket.create_connection((host.strip("[]"), int(port)))
        client.sendall(b"HTTP/1.0 200 Connection established\\r\\n\\r\\n")
    else:
        where, _, path = target.removeprefix("http://").partition("/")
        host, _, port = where.rpartition(":")
        server = socket.create_connection((host, int(port)))
        lines = "".join(f"{name}: {value}\\r\\n" for name, value in headers.items())
        server.sendall(f"{method} /{path} HTTP/1.1\\r\\n{lines}\\r\\n".encode("latin-1") + rest)
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)

def guarded(client):
    try:
        handle(client)
    except OSError:
        pass
    finally:
        client.close()

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    sock, _ = listener.accept()
    threading.Thread(target=guarded, args=(sock,), daemon=True).start()
"""


@dataclass
class Proxy:
    port: int
    process: subprocess.Popen[str]
    user: str
    scheme: str

    @property
    def url(self) -> str:
        credentials = f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{credentials}127.0.0.1:{self.port}"

    def lines(self) -> list[str]:
        """Stop the proxy, and return what it was asked for."""
        self.process.terminate()
        assert self.process.stdout is not None
        return self.process.stdout.read().splitlines()


@pytest.fixture
def start_proxy() -> Iterator[Callable[..., Proxy]]:
    with ExitStack() as stack:

        def start(
            user: str = "", certificate: Path | str = "", answer: str = "200"
        ) -> Proxy:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROXY, user, str(certificate), answer],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.terminate)
            assert process.stdout is not None
            port = int(process.stdout.readline())
            return Proxy(port, process, user, "https" if certificate else "http")

        yield start


@contextmanager
def origin(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve a stream of three parts, on and on."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_sockets: list[socket.socket] = []
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"

    def handle(sock: socket.socket) -> None:
        with suppress(OSError):
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
            open_sockets.append(sock)
            asked = b""
            while data := sock.recv(65536):
                asked += data
                if asked.endswith(b"{}"):  # head and body may come apart
                    asked = b""
                    sock.sendall(answer)
        sock.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                thread = threading.Thread(target=handle, args=(sock,), daemon=True)
                threads.append(thread)
                thread.start()

    threads = [threading.Thread(target=accept, daemon=True)]
    threads[0].start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in open_sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(path)
    )
    return path


@pytest.fixture
def plain_origin() -> Iterator[str]:
    with origin() as port:
        yield f"http://127.0.0.1:{port}/v1/x"


@pytest.fixture
def tls_origin(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with origin(context) as port:
        yield f"https://127.0.0.1:{port}/v1/x"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


Ask = Callable[..., list[bytes]]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Send some requests on one transport, and return their bodies."""

    def ask_sync(url: str, times: int = 1, **options: Any) -> list[bytes]:
        with SyncTransport(TransportOptions(**options)) as transport:
            return [
                transport.send("POST", url, {}, b"{}", Timeouts()).read()
                for _ in range(times)
            ]

    async def ask_async(url: str, times: int = 1, **options: Any) -> list[bytes]:
        async with AsyncTransport(TransportOptions(**options)) as transport:
            return [
                await (await transport.send("POST", url, {}, b"{}", Timeouts())).read()
                for _ in range(times)
            ]

    if request.param == "sync":
        return ask_sync
    return lambda *args, **options: asyncio.run(ask_async(*args, **options))


@pytest.mark.parametrize("user", ["", "us%40er:se%3Acret"], ids=["open", "password"])
def test_http_goes_through_the_proxy_of_the_environment(
    ask: Ask,
    start_proxy: Callable[..., Proxy],
    plain_origin: str,
    monkeypatch: pytest.MonkeyPatch,
    user: str,
) -> None:
    proxy = start_proxy("us@er:se:cret" if user else "")
    monkeypatch.setenv(
        "HTTP_PROXY", proxy.url if not user else f"http://{user}@127.0.0.1:{proxy.port}"
    )
    assert ask(plain_origin, 2) == [b"onetwo"] * 2
    assert proxy.lines()[0] == f"POST {plain_origin} HTTP/1.1"


@pytest.mark.parametrize("user", ["", "user:secret"], ids=["open", "password"])
@pytest.mark.parametrize(
    "over_tls", [False, True], ids=["plain proxy", "proxy over TLS"]
)
def test_https_goes_through_one_kept_tunnel(
    ask: Ask,
    start_proxy: Callable[..., Proxy],
    tls_origin: str,
    bundle: str,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: str,
    over_tls: bool,
) -> None:
    proxy = start_proxy(user, certificate if over_tls else "")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    assert ask(tls_origin, 3) == [b"onetwo"] * 3
    where = tls_origin.removeprefix("https://").partition("/")[0]
    [line] = proxy.lines()
    assert line.startswith(f"CONNECT {where} HTTP/1.")


def test_no_proxy_goes_round_it(
    ask: Ask,
    start_proxy: Callable[..., Proxy],
    plain_origin: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = start_proxy()
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    assert ask(plain_origin) == [b"onetwo"]
    assert proxy.lines() == []


def test_a_proxy_given_in_code_wins(
    ask: Ask,
    start_proxy: Callable[..., Proxy],
    plain_origin: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = start_proxy()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert ask(plain_origin, proxy=proxy.url) == [b"onetwo"]
    assert len(proxy.lines()) == 1


def test_an_untrusted_environment_has_no_proxy(
    ask: Ask, plain_origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert ask(plain_origin, trust_env=False) == [b"onetwo"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"user": "other:password"}, "407.*name and password"),
        ({"answer": "503"}, "503 to CONNECT"),
    ],
    ids=["password", "refusal"],
)
def test_a_proxy_that_refuses_is_told(
    ask: Ask,
    start_proxy: Callable[..., Proxy],
    tls_origin: str,
    options: dict[str, str],
    text: str,
) -> None:
    proxy = start_proxy(**options)
    url = (
        f"http://user:hidden@127.0.0.1:{proxy.port}" if "user" in options else proxy.url
    )
    with pytest.raises(CerebrasConnectionError, match=text) as caught:
        ask(tls_origin, proxy=url)
    assert caught.value.kind == "proxy"
    assert "hidden" not in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_told(ask: Ask, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(
        CerebrasConnectionError, match=f"proxy 127.0.0.1:{port}"
    ) as caught:
        ask(f"{scheme}://api.example/x", proxy=f"http://user:hidden@127.0.0.1:{port}")
    assert caught.value.kind == "proxy"
    assert "hidden" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_no_fault_of_the_proxy(
    ask: Ask, start_proxy: Callable[..., Proxy], tls_origin: str
) -> None:
    with pytest.raises(CerebrasConnectionError, match="not trusted") as caught:
        ask(tls_origin, proxy=start_proxy().url)
    assert caught.value.kind == "tls"
