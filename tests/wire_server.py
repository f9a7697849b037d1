"""A raw HTTP/1.1 server for tests: it sends exactly the bytes that a test wants.

An answer is a function from a request to pieces of bytes. A piece is sent when it is
asked for, so an answer may wait, look whether the client has gone, or break off:
`CUT` closes the connection, `RESET` resets it.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

CUT = b"\0cut"
RESET = b"\0reset"

STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8"}


@dataclass
class Request:
    """A request as it came, and the socket on which it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    sock: socket.socket

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def is_stream(self) -> bool:
        return bool(self.body) and self.json.get("stream") is True

    def wait_gone(self, timeout_s: float = 5.0) -> bool:
        """Whether the client closes the connection within the time."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            ready, _, _ = select.select([self.sock], [], [], 0.02)
            if ready:
                try:
                    if not self.sock.recv(1, socket.MSG_PEEK):
                        return True
                except OSError:
                    return True
        return False


Answer = Callable[[Request], Iterable[bytes]]


class WireServer:
    """Answer every request by a function, in a thread for each connection.

    Example:
        ```python
        with WireServer(lambda request: plain({"choices": []})) as server:
            ChatCerebras(base_url=server.url)
        ```
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self.failures: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in [self._acceptor, *self._threads]:
            thread.join(10)
        assert not self.failures, self.failures

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._socks.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with suppress(OSError), sock.makefile("rb") as lines:
                while (request := _read_request(lines, sock)) is not None:
                    self.requests.append(request)
                    for piece in self.answer(request):
                        if piece == RESET:
                            linger = struct.pack("ii", 1, 0)
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        if piece in {CUT, RESET}:
                            return
                        sock.sendall(piece)
        except Exception as error:
            self.failures.append(error)
        finally:
            sock.close()


def _read_request(lines: Any, sock: socket.socket) -> Request | None:
    first = lines.readline().decode("latin-1").split()
    if not first:
        return None
    headers: dict[str, str] = {}
    while (line := lines.readline()) not in {b"\r\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = lines.read(int(headers.get("content-length", 0)))
    return Request(first[0], first[1], headers, body, sock)


# ------------------------------------------------------------------------ answers


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the head of an answer."""
    lines = [f"HTTP/1.1 {status} Any"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def plain(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """Yield a whole answer: JSON of a value, or bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    base = {"content-type": "application/json", "content-length": str(len(data))}
    yield head(status, base | dict(headers or {})) + data


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def stream_head(headers: Mapping[str, str] | None = None) -> bytes:
    """Return the head of a chunked event stream."""
    base = {**STREAM_HEADERS, "transfer-encoding": "chunked"}
    return head(200, base | dict(headers or {}))


def sse(
    pieces: Iterable[bytes],
    *,
    headers: Mapping[str, str] | None = None,
    delay_s: float = 0.0,
) -> Iterator[bytes]:
    """Yield an event stream, a chunk for each piece."""
    yield stream_head(headers)
    for piece in pieces:
        if piece in {CUT, RESET}:
            yield piece
            return
        if delay_s:
            time.sleep(delay_s)
        if piece:  # a chunk of no bytes would be the end
            yield chunk(piece)
    yield END


def event(value: Any) -> bytes:
    """Return a value as an event."""
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return b"data: " + data + b"\n\n"


DONE = b"data: [DONE]\n\n"
