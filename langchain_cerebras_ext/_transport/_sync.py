"""The synchronous transport: blocking sockets around the HTTP/1.1 parser."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import weakref
from collections import deque
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from langchain_cerebras_ext._transport._errors import (
    LimitError,
    connection_error,
    map_dial_error,
    map_error,
)
from langchain_cerebras_ext._transport._exchange import (
    READ_BYTES,
    Limits,
    check_connect,
    encode_request,
    may_resend,
    resolve_literal,
)
from langchain_cerebras_ext._transport._http1 import Fault, ResponseParser
from langchain_cerebras_ext._transport._route import Router, read_environment
from langchain_cerebras_ext._transport._tls import TlsContexts

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from langchain_cerebras_ext._transport._options import Timeouts, TransportOptions
    from langchain_cerebras_ext._transport._route import Address, Environment, Route

_INFINITE = float("inf")
_PIECE_BYTES = 256 * 1024


class _Wire:
    """One connection: a socket, plain or TLS, and what the pool must know of it."""

    __slots__ = ("_pid", "_poll", "_timeout_s", "epoch", "expires", "reused", "sock")

    def __init__(self, sock: socket.socket, epoch: int) -> None:
        self.sock = sock
        self.epoch = epoch
        self.reused = False
        self.expires = 0.0
        self._pid = os.getpid()
        self._timeout_s: float | None = -1.0
        self._poll = _readable_check(sock)

    def is_usable(self, now: float) -> bool:
        """Whether a kept connection is still open and silent, as it has to be."""
        if now >= self.expires:
            return False
        try:
            return not self._poll()
        except (OSError, ValueError):
            return False

    def send(self, data: bytes, limits: Limits) -> None:
        """Send all of it."""
        if len(data) > _PIECE_BYTES:
            # A limit holds for a whole `sendall`, but a slow upload is no silence.
            whole = memoryview(data)
            for at in range(0, len(data), _PIECE_BYTES):
                self._send_piece(whole[at : at + _PIECE_BYTES], limits)
        else:
            self._send_piece(data, limits)

    def _send_piece(self, data: bytes | memoryview, limits: Limits) -> None:
        now = monotonic()
        self._set_timeout(limits.until(now) - now, limits)
        try:
            self.sock.sendall(data)
        except TimeoutError as error:
            raise _passed(error, limits) from error

    def receive(self, limits: Limits) -> bytes:
        """Return what one read gives; nothing at the connection's end."""
        timeout_s = limits.idle_s
        if limits.deadline != _INFINITE:
            left_s = limits.deadline - monotonic()
            if left_s < timeout_s:
                if left_s <= 0:
                    raise limits.passed(_INFINITE)
                timeout_s = left_s
        if timeout_s != self._timeout_s:
            self._set_timeout(timeout_s, limits)
        try:
            return self.sock.recv(READ_BYTES)
        except TimeoutError as error:
            raise _passed(error, limits) from error

    def _set_timeout(self, timeout_s: float, limits: Limits) -> None:
        if timeout_s <= 0:  # zero would mean: do not block
            raise limits.passed(monotonic())
        self._timeout_s = timeout_s
        self.sock.settimeout(None if timeout_s == _INFINITE else timeout_s)

    def close(self) -> None:
        """Close at once, so that the server sees it now.

        Not shut down in a process that was forked later: that would end the parent's
        connection, of which this is a copy.
        """
        with contextlib.suppress(OSError):
            if os.getpid() == self._pid:
                # The base class's: `SSLSocket.shutdown` drops its TLS state under a
                # thread that may be reading.
                sock: Any = getattr(self.sock, "socket", self.sock)  # TLS in TLS
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.sock.close()


def _passed(error: TimeoutError, limits: Limits) -> Exception:
    # With a number it is the system that gave up on a silent peer (ETIMEDOUT).
    return error if error.errno else limits.passed(monotonic())


def _readable_check(sock: socket.socket) -> Any:
    """Return a function that tells whether a socket has data or its end to read."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        return lambda: poll.poll(0)
    return lambda: select.select([sock], [], [], 0)[0]


class SyncResponse:
    """An answer whose head has come.

    Read it to its end, or close it; its connection is kept for the next call only in
    the first case.

    Attributes:
        status: The HTTP status, whichever it is.
        headers: By lower-case name.
    """

    __slots__ = (
        "_held",
        "_limits",
        "_max_bytes",
        "_parser",
        "_pool",
        "_route",
        "_wire",
        "headers",
        "status",
    )

    def __init__(
        self,
        pool: SyncTransport,
        wire: _Wire,
        route: Route,
        parser: ResponseParser,
        limits: Limits,
        held: bytes,
    ) -> None:
        self.status = parser.status
        self.headers: Mapping[str, str] = parser.headers
        self._pool = pool
        self._wire: _Wire | None = wire
        self._route = route
        self._parser = parser
        self._limits = limits
        self._held = held
        self._max_bytes = pool.options.max_body_bytes
        if held:
            limits.body_started()
        if parser.done:
            self._release()

    def read(self) -> bytes:
        """Return the whole body."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.iter_raw():
            pieces.append(piece)
            size += len(piece)
            if size > self._max_bytes:
                self.close()
                text = f"The answer is longer than {self._max_bytes} bytes"
                raise connection_error(kind="protocol", text=text)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def iter_raw(self) -> Iterator[bytes]:
        """Yield what each network read gave, decoded; never waits for more."""
        try:
            if self._held:
                held, self._held = self._held, b""
                yield held
            while self._wire is not None:
                data = self._receive(self._wire)
                if data:
                    yield data
            if not self._parser.done:
                raise connection_error(
                    kind="closed", text="The answer was closed while read"
                )
        finally:
            self.close()

    def _receive(self, wire: _Wire) -> bytes:
        parser = self._parser
        try:
            data = wire.receive(self._limits)
            if data:
                data = parser.feed(data)
            else:
                parser.feed_eof()
        except (OSError, Fault, LimitError) as error:
            self.close()
            raise map_error(error, self._route) from error
        except BaseException:
            self.close()
            raise
        if parser.done:
            self._release()
        elif data:
            self._limits.body_started()
        return data

    def _release(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._pool.give_back(self._route, wire, keep=self._parser.keep_alive)

    def close(self) -> None:
        """Let go of the connection, if it is still held; may be called twice."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def __repr__(self) -> str:
        return f"<SyncResponse {self.status} from {self._route}>"


class SyncTransport:
    """Sends requests, and keeps connections; threads may share it.

    A process that is forked starts with no connections of its parent's. `close` lets
    go of the connections that are not in use, and of the others when their answers
    end; the transport can be used again afterwards, so whoever shares it loses
    nothing but time.
    """

    def __init__(
        self,
        options: TransportOptions,
        *,
        environment: Environment | None = None,
        contexts: TlsContexts | None = None,
    ) -> None:
        self.options = options
        self._environment = environment or read_environment(options)
        self._router = Router(options, self._environment)
        self._contexts = contexts or TlsContexts()
        self._lock = threading.Lock()
        self._idle: dict[Route, deque[_Wire]] = {}
        self._epoch = 0
        _live.add(self)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
    ) -> SyncResponse:
        """Send a request, and return when the answer's head has come.

        Any status is returned, redirects too; nothing is sent twice, but for a kept
        connection that had been closed (see `may_resend`).

        Raises:
            CerebrasConnectionError: No answer came; `kind` says why.
            CerebrasTimeoutError: None came in time.
            CerebrasConfigurationError: The URL, a header or a bundle of certificates
                cannot be used.
        """
        target = self._router.find(url)
        request = encode_request(method, target, headers, body)
        limits = Limits(timeouts, monotonic())
        wire = self._take(target.route)
        while True:
            if wire is None:
                wire = self._dial(target.route, limits)
            parser = ResponseParser(method)
            try:
                held = _exchange_heads(wire, request, parser, limits)
            except (OSError, Fault, LimitError) as error:
                wire.close()
                if may_resend(error, parser, reused=wire.reused):
                    wire = None
                    continue
                raise map_error(error, target.route) from error
            except BaseException:
                wire.close()
                raise
            return SyncResponse(self, wire, target.route, parser, limits, held)

    def _take(self, route: Route) -> _Wire | None:
        """Return a kept connection that still works: the one used last."""
        while True:
            with self._lock:
                idle = self._idle.get(route)
                if not idle:
                    return None
                wire = idle.pop()
            if wire.is_usable(monotonic()):
                wire.reused = True
                return wire
            wire.close()

    def give_back(self, route: Route, wire: _Wire, *, keep: bool) -> None:
        """Take a connection whose answer was read to its end."""
        gone: list[_Wire] = []
        now = monotonic()
        with self._lock:
            if keep and wire.epoch == self._epoch:
                wire.expires = now + self.options.keepalive_s
                idle = self._idle.setdefault(route, deque())
                idle.append(wire)
                while len(idle) > self.options.max_idle_connections or (
                    idle[0].expires <= now and len(idle) > 1
                ):
                    gone.append(idle.popleft())
            else:
                gone.append(wire)
        for other in gone:
            other.close()

    def _dial(self, route: Route, limits: Limits) -> _Wire:
        try:
            sock = _connect(
                route, limits, self.options.socket_options or (), self._context_for
            )
        except (OSError, Fault, LimitError) as error:
            raise map_dial_error(error, route) from error
        return _Wire(sock, self._epoch)

    def _context_for(self, address: Address) -> ssl.SSLContext | None:
        if not address.tls:
            return None
        return self._contexts.get(self.options.verify, self._environment)

    def close(self) -> None:
        """Let go of the connections; those in use end with their answers."""
        with self._lock:
            self._epoch += 1
            idle, self._idle = self._idle, {}
        for wires in idle.values():
            for wire in wires:
                wire.close()

    def after_fork(self) -> None:
        """Forget the parent's connections; a lock may have been held by its threads."""
        self._lock = threading.Lock()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def __repr__(self) -> str:
        return f"<SyncTransport, {sum(map(len, self._idle.values()))} idle>"


# Every transport, for the hook that runs in a forked child.
_live: weakref.WeakSet[SyncTransport] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_live):
        transport.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _exchange_heads(
    wire: _Wire, request: bytes, parser: ResponseParser, limits: Limits
) -> bytes:
    """Send, and read up to the answer's head; return what has come of the body."""
    try:
        wire.send(request, limits)
    except ConnectionError:
        # A server may refuse early and close: its answer says more than a reset.
        try:
            return _read_head(wire, parser, limits)
        except (OSError, Fault):
            pass
        raise
    return _read_head(wire, parser, limits)


def _read_head(wire: _Wire, parser: ResponseParser, limits: Limits) -> bytes:
    while True:
        data = wire.receive(limits)
        if not data:
            parser.feed_eof()
        held = parser.feed(data)
        if parser.status:
            return held


def _connect(
    route: Route,
    limits: Limits,
    socket_options: tuple[tuple[int, int, int], ...],
    context_for: Any,
) -> socket.socket:
    """Return a socket that leads to the server: through TCP, proxy and TLS."""
    # Certificates are read before the clock starts: that is no fault of the network.
    first = context_for(route.first)
    second = context_for(route.server) if route.tunnels else None
    due = limits.connect_until(monotonic())
    sock: Any = None
    try:
        sock = _open(route.first, due, socket_options)
        if first is not None:
            sock = _wrap(sock, first, route.first.host, due)
        if route.tunnels:
            _open_tunnel(sock, route, due)
            if second is not None:
                sock = _wrap(sock, second, route.server.host, due)
    except TimeoutError as error:
        if sock is not None:
            sock.close()
        raise limits.connect_passed(monotonic()) from error
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    return sock  # type: ignore[no-any-return]


def _left(due: float) -> float | None:
    """Return the seconds that are left, as sockets take them."""
    if due == _INFINITE:
        return None
    left_s = due - monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _open(
    address: Address, due: float, options: tuple[tuple[int, int, int], ...]
) -> socket.socket:
    """Connect to the first of a host's addresses that answers.

    They share the time: one that stays silent leaves enough for the next.
    """
    found = _resolve(address, due)
    failure: OSError = OSError("the name has no address")
    for tried, (family, kind, protocol, _, where) in enumerate(found):
        left_s = _left(due)
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(None if left_s is None else left_s / (len(found) - tried))
            sock.connect(where)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _resolve(address: Address, due: float) -> list[Any]:
    """Look a name up, in a thread: the system's resolver knows no time limit."""
    with contextlib.suppress(socket.gaierror):
        return resolve_literal(address)
    answer: SimpleQueue[list[Any] | Exception] = SimpleQueue()

    def look_up() -> None:
        try:
            answer.put(
                socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM)
            )
        except Exception as error:  # noqa: BLE001 (raised again by who waits)
            answer.put(error)

    threading.Thread(target=look_up, name="cerebras-dns", daemon=True).start()
    try:
        found = answer.get(timeout=_left(due))
    except Empty:
        raise TimeoutError from None
    if isinstance(found, Exception):
        raise found
    return found


def _wrap(sock: Any, context: ssl.SSLContext, host: str, due: float) -> Any:
    """Speak TLS, which may itself run inside TLS to a proxy."""
    sock.settimeout(_left(due))
    if not isinstance(sock, socket.socket) or hasattr(sock, "context"):
        from urllib3.util.ssltransport import SSLTransport

        return SSLTransport(sock, context, server_hostname=host.rstrip("."))
    return context.wrap_socket(sock, server_hostname=host.rstrip("."))


def _open_tunnel(sock: Any, route: Route, due: float) -> None:
    sock.settimeout(_left(due))
    sock.sendall(route.connect_request())
    parser = ResponseParser("CONNECT")
    while not parser.status:
        sock.settimeout(_left(due))
        data = sock.recv(READ_BYTES)
        if not data:
            parser.feed_eof()
        parser.feed(data)
    check_connect(parser)
