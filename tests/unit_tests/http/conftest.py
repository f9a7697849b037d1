"""A server that says exactly what a test wants, and one face for both transports."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from langchain_cerebras_ext._http import (
    AsyncTransport,
    SyncTransport,
    Timeouts,
    TransportOptions,
)


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._held = b""

    def read_request(self) -> Request | None:
        """Return the next request, or nothing when the client has gone."""
        while b"\r\n\r\n" not in self._held:
            try:
                data = self.sock.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self._held += data
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for each in lines:
            name, _, value = each.partition(": ")
            headers[name.lower()] = value
        length = int(headers.get("content-length", 0))
        while len(self._held) < length:
            self._held += self.sock.recv(65536)
        body, self._held = self._held[:length], self._held[length:]
        return Request(line, headers, body)

    def send(self, data: bytes) -> None:
        with suppress(OSError):
            self.sock.sendall(data)

    def wait_gone(self, timeout_s: float = 5.0) -> bool:
        """Whether the client closes the connection within the time."""
        self.sock.settimeout(timeout_s)
        try:
            return not self.sock.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """Close so that the client sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


@dataclass
class Server:
    port: int
    scheme: str = "http"
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    events: dict[str, threading.Event] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1/x"

    def event(self, name: str) -> threading.Event:
        return self.events.setdefault(name, threading.Event())


@contextmanager
def serving(
    handler: Callable[[Peer, Server], None], context: ssl.SSLContext | None = None
) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=600)
    server = Server(listener.getsockname()[1], "https" if context else "http")
    peers: list[Peer] = []
    threads: list[threading.Thread] = []

    def handle(sock: socket.socket) -> None:
        try:
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        peer = Peer(sock)
        peers.append(peer)
        with suppress(OSError):
            handler(peer, server)
        peer.sock.close()

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            thread = threading.Thread(target=handle, args=(sock,), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for event in server.events.values():
            event.set()
        for peer in peers:
            peer.close()
        for thread in threads:
            thread.join(5)
        acceptor.join(5)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that are stopped after the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda handler, context=None: stack.enter_context(
            serving(handler, context)
        )


class Answer:
    """A response of either transport."""

    def __init__(self, response: Any, run: Callable[[Any], Any] | None) -> None:
        self.response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self._run = run
        self._parts: Any = None

    def read(self) -> bytes:
        found = self.response.read()
        return self._run(found) if self._run else found

    def next(self) -> bytes | None:
        """Return the next part of the body, or nothing at its end."""
        if self._parts is None:
            self._parts = self.response.iter_raw()
        if self._run:
            return self._run(anext(self._parts, None))
        return next(self._parts, None)

    def parts(self) -> list[bytes]:
        found = []
        while (part := self.next()) is not None:
            found.append(part)
        return found

    def stop(self) -> None:
        """Abandon the iteration, as a loop does that is left."""
        if self._run:
            self._run(self._parts.aclose())
        else:
            self._parts.close()

    def close(self) -> None:
        if self._run:
            self._run(self.response.aclose())
        else:
            self.response.close()


class Client:
    """Either transport, called in the same way."""

    def __init__(self, is_async: bool, options: TransportOptions) -> None:
        self.is_async = is_async
        self._runner = asyncio.Runner() if is_async else None
        self.transport: Any = (AsyncTransport if is_async else SyncTransport)(options)

    def send(
        self,
        url: str,
        body: bytes | None = b"{}",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        found = self.transport.send(
            method, url, headers or {}, body, timeouts or Timeouts()
        )
        if self._runner:
            return Answer(self._runner.run(found), self._runner.run)
        return Answer(found, None)

    def close(self) -> None:
        if self._runner:
            self._runner.run(self.transport.aclose())
            self._runner.close()
        else:
            self.transport.close()


@pytest.fixture(params=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return request.param == "async"


@pytest.fixture
def make_client(is_async: bool) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(**options: Any) -> Client:
        options.setdefault("trust_env", False)
        client = Client(is_async, TransportOptions(**options))
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client()
