"""A server that breaks off, stalls and breaks the protocol, exactly as a test says.

What it does with a request is a script: a sequence of steps, which is data, so that a
table of faults can hold it. Bytes are sent as they are; the other steps end the
connection, wait or drip. No step races: who must come second waits for the first, be it
that the client has gone (`HOLD`) or that its caller was handed a part (`SEEN`).
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

from wire_server import Request

PATIENCE_S = 10.0
"""After this a wait has failed; no test passes by it."""


class Act(Enum):
    """A step that sends nothing."""

    FIN = "close the connection in order"
    RST = "reset the connection"
    HOLD = "say nothing until the client has gone"
    SEEN = "wait until the caller was handed a part"
    READ = "wait for the next request, and leave it unanswered"
    HEAR = "wait until the client has sent something, whatever it is"


FIN, RST, HOLD, SEEN, READ, HEAR = Act


@dataclass(frozen=True)
class Drip:
    """Send bytes one by one, and stop when the client has gone.

    The pause is much shorter than any limit on silence, and the bytes last for much
    longer than any limit on the whole.
    """

    data: bytes
    pause_s: float = 0.02


Step = bytes | Act | Drip
Script = Sequence[Step]


@dataclass
class Connection:
    """What the server knows of one connection.

    Attributes:
        requests: The requests that came on it.
        ended: Who ended it: `client`, `server`, or `handshake` if TLS failed.
    """

    sock: socket.socket
    requests: list[Request] = field(default_factory=list)
    ended: str | None = None
    thread: threading.Thread | None = None


class FaultServer:
    """Answer the n-th request by a script, in a thread for each connection.

    Args:
        script: From a request and its number, from 1, to what happens next.
        on_connect: What happens on the n-th connection before its first request.
        context: Speak TLS.

    Attributes:
        connections: All connections, in the order in which they came.
        requests: All requests, in that order.
        seen: To be set by the test when the caller was handed a part.
        failures: What went wrong in the server itself; checked at the end.

    Example:
        ```python
        with FaultServer(lambda request, number: [b"HTTP/1.1 2", FIN]) as server:
            ChatCerebras(base_url=server.url)
        ```
    """

    def __init__(
        self,
        script: Callable[[Request, int], Iterable[Step]],
        *,
        on_connect: Callable[[int], Script] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.connections: list[Connection] = []
        self.requests: list[Request] = []
        self.seen = threading.Event()
        self.failures: list[BaseException] = []
        self._script = script
        self._on_connect = on_connect
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def open_connections(self, timeout_s: float = 5.0) -> list[Connection]:
        """Return the connections that nobody has ended within the time."""
        end = time.monotonic() + timeout_s
        for connection in self.connections:
            if connection.thread is not None:
                connection.thread.join(max(0.0, end - time.monotonic()))
        return [found for found in self.connections if found.ended is None]

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.seen.set()
        for connection in self.connections:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(PATIENCE_S)
        for connection in self.connections:
            if connection.thread is not None:
                connection.thread.join(PATIENCE_S)
            connection.sock.close()
        assert not self.failures, self.failures

    # ------------------------------------------------------------------ its threads

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock)
            with self._lock:
                self.connections.append(connection)
                number = len(self.connections)
            connection.thread = threading.Thread(
                target=self._serve, args=(connection, number), daemon=True
            )
            connection.thread.start()

    def _serve(self, connection: Connection, number: int) -> None:
        who = "server"
        try:
            who = self._talk(connection, number)
        except OSError:
            who = "client"
        except BaseException as error:
            self.failures.append(error)
        finally:
            connection.sock.close()
            connection.ended = who

    def _talk(self, connection: Connection, number: int) -> str:
        """Go through the scripts, and return who ended the connection."""
        if self._on_connect is not None:
            steps = self._on_connect(number)
            who = self._play(steps, connection, None)
            if who is not None:
                return who
        if self._context is not None:
            sock = self._context.wrap_socket(
                connection.sock, server_side=True, do_handshake_on_connect=False
            )
            connection.sock = sock
            try:
                sock.do_handshake()
            except OSError:
                # A close with bytes unread would be a reset, and hide the alert.
                wait_gone(sock, socket.socket.recv)
                return "handshake"
        with connection.sock.makefile("rb") as lines:
            while (request := read_request(lines, connection.sock)) is not None:
                with self._lock:
                    self.requests.append(request)
                    connection.requests.append(request)
                    count = len(self.requests)
                who = self._play(self._script(request, count), connection, lines)
                if who is not None:
                    return who
        return "client"

    def _play(
        self, steps: Iterable[Step], connection: Connection, lines: Any
    ) -> str | None:
        sock = connection.sock
        for step in steps:
            match step:
                case bytes():
                    sock.sendall(step)
                case Drip():
                    if not drip(sock, step):
                        return "client"
                case Act.SEEN:
                    if not self.seen.wait(PATIENCE_S):
                        self.failures.append(AssertionError("no part was handed on"))
                    self.seen.clear()
                case Act.HOLD:
                    wait_gone(sock)
                    return "client"
                case Act.READ:
                    with (
                        sock.makefile("rb")
                        if lines is None
                        else nullcontext(lines) as held
                    ):
                        request = read_request(held, sock)
                    if request is None:
                        return "client"
                    with self._lock:
                        self.requests.append(request)
                case Act.HEAR:
                    if not sock.recv(65536):
                        return "client"
                case Act.RST:
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return "server"
                case Act.FIN:
                    return "server"
        return None


def wait_gone(
    sock: socket.socket,
    recv: Callable[[Any, int], bytes] = lambda sock, size: sock.recv(size),
) -> None:
    """Return when the client has closed or reset the connection.

    Raises:
        AssertionError: It stayed.
    """
    sock.settimeout(PATIENCE_S)
    try:
        while recv(sock, 65536):
            pass
    except TimeoutError as error:
        msg = "the client did not let go of the connection"
        raise AssertionError(msg) from error
    except OSError:
        pass


def drip(sock: socket.socket, step: Drip) -> bool:
    """Send the bytes one by one; return False if the client has gone before the end."""
    sock.settimeout(step.pause_s)
    for at in range(len(step.data)):
        sock.sendall(step.data[at : at + 1])
        with suppress(TimeoutError):
            if not sock.recv(65536):
                return False
    sock.settimeout(None)
    return True


def read_request(lines: Any, sock: socket.socket) -> Request | None:
    """Return the next request, or nothing when the client has gone."""
    first = lines.readline().decode("latin-1").split()
    if len(first) < 2:
        return None
    headers: dict[str, str] = {}
    while (line := lines.readline()) not in {b"\r\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = lines.read(int(headers.get("content-length", 0)))
    return Request(first[0], first[1], headers, body, sock)


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """Return bytes in pieces of one, each sent by itself."""
    return (data[at : at + 1] for at in range(len(data)))
