"""The asynchronous transport: asyncio protocols around the HTTP/1.1 parser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from langchain_cerebras_ext._transport._errors import (
    LimitError,
    connection_error,
    map_dial_error,
    map_error,
)
from langchain_cerebras_ext._transport._exchange import (
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
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from langchain_cerebras_ext._transport._options import Timeouts, TransportOptions
    from langchain_cerebras_ext._transport._route import Address, Environment, Route

_INFINITE = float("inf")
_HIGH_WATER_BYTES = 256 * 1024  # more than this unread, and the server has to wait


class _Wire(asyncio.Protocol):
    """One connection: what came and was not yet taken, and who waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reused = False
        self.expires = 0.0
        self.epoch = 0
        self.transport: Any = None
        self.sock: socket.socket | None = None
        self._loop = loop
        self._pid = os.getpid()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._ended = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[bytes] | None = None
        self._drainer: asyncio.Future[bytes] | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _INFINITE
        self._due = _INFINITE

    # ------------------------------------------------------------ called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(data)
                return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _HIGH_WATER_BYTES and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> None:
        self._ended = True
        self._wake(self._waiter)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._failure = exc
        self._writing_paused = False
        self._disarm()
        self._wake(self._waiter)
        self._wake(self._drainer)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake(self._drainer)

    # ------------------------------------------------------------- called by a call

    def is_usable(self, now: float) -> bool:
        """Whether a kept connection is still open and silent, as it has to be."""
        return not (
            self._ended
            or self._held
            or now >= self.expires
            or self.transport.is_closing()
        )

    async def send(self, data: bytes, limits: Limits) -> None:
        """Send all of it."""
        if self._failure is not None:
            raise self._failure
        self.transport.write(data)
        while self._writing_paused:
            self._drainer = self._loop.create_future()
            try:
                self._expect(limits)
                await self._drainer
            except TimeoutError as error:
                raise self._passed(error, limits) from error
            finally:
                self._drainer = None

    async def receive(self, limits: Limits) -> bytes:
        """Return what has come since the last time; nothing at the end."""
        held = self._held
        if held:
            data = held[0] if len(held) == 1 else b"".join(held)
            held.clear()
            self._held_bytes = 0
            if self._reading_paused:
                self._reading_paused = False
                self.transport.resume_reading()
            limits.until(self._loop.time())
            return data
        if self._ended:
            if self._failure is not None:
                raise self._failure
            return b""
        self._expect(limits)
        waiter: asyncio.Future[bytes] = self._loop.create_future()
        self._waiter = waiter
        try:
            return await waiter
        except TimeoutError as error:
            raise self._passed(error, limits) from error
        finally:
            self._waiter = None

    def _expect(self, limits: Limits) -> None:
        """Note when the next sign of life is due."""
        self._due = due = limits.until(self._loop.time())
        if due < self._timer_at:
            self._arm(due)

    def _passed(self, error: TimeoutError, limits: Limits) -> Exception:
        # With a number it is the system that gave up on a silent peer (ETIMEDOUT).
        return error if error.errno else limits.passed(self._loop.time())

    def _wake(self, waiter: asyncio.Future[bytes] | None) -> None:
        if waiter is not None and not waiter.done():
            if self._failure is not None:
                waiter.set_exception(self._failure)
            else:
                waiter.set_result(b"")

    # One timer serves many waits: it looks for what is due when it fires, so that a
    # wait costs no timer of its own.

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = _INFINITE
        waiter = self._waiter or self._drainer
        if waiter is None or waiter.done():
            return
        if self._loop.time() < self._due:
            self._arm(self._due)
        else:
            waiter.set_exception(TimeoutError())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_at = _INFINITE

    def rest(self, expires: float) -> None:
        """Be kept for the next call."""
        self.expires = expires
        self._disarm()

    def close(self) -> None:
        """Close at once, so that the server sees it now.

        `abort`, since a TLS transport's `close` waits for the peer. Shut down first:
        a process forked since holds a copy of the socket.
        """
        self._disarm()
        transport = self.transport
        if transport is None or self._loop.is_closed():
            return
        if self.sock is not None:
            _shut(self.sock, self._pid)
        transport.abort()

    def forget(self) -> None:
        """Drop a connection whose event loop is gone, and cannot close it."""
        self.transport = None
        if self.sock is not None:
            _shut(self.sock, self._pid)
            self.sock.close()


def _shut(sock: socket.socket, owner_pid: int) -> None:
    # Not in a process that was forked later: it would end the parent's connection.
    if os.getpid() == owner_pid:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class AsyncResponse:
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
        pool: _Pool,
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

    async def read(self) -> bytes:
        """Return the whole body."""
        pieces: list[bytes] = []
        size = 0
        async for piece in self.iter_raw():
            pieces.append(piece)
            size += len(piece)
            if size > self._max_bytes:
                self.close()
                text = f"The answer is longer than {self._max_bytes} bytes"
                raise connection_error(kind="protocol", text=text)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def iter_raw(self) -> AsyncIterator[bytes]:
        """Yield what each network read gave, decoded; never waits for more."""
        try:
            if self._held:
                held, self._held = self._held, b""
                yield held
            while self._wire is not None:
                data = await self._receive(self._wire)
                if data:
                    yield data
            if not self._parser.done:
                raise connection_error(
                    kind="closed", text="The answer was closed while read"
                )
        finally:
            self.close()

    async def _receive(self, wire: _Wire) -> bytes:
        parser = self._parser
        try:
            data = await wire.receive(self._limits)
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
            self._pool.discard(wire)

    async def aclose(self) -> None:
        """Let go of the connection, if it is still held; may be called twice."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def __repr__(self) -> str:
        return f"<AsyncResponse {self.status} from {self._route}>"


class _Pool:
    """The connections of one event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, options: TransportOptions
    ) -> None:
        self.loop = loop
        self.options = options
        self.epoch = 0
        self.keeper: AsyncGenerator[None] | None = None
        self._idle: dict[Route, deque[_Wire]] = {}
        self._busy: set[_Wire] = set()

    def take(self, route: Route) -> _Wire | None:
        """Return a kept connection that still works: the one used last."""
        idle = self._idle.get(route)
        while idle:
            wire = idle.pop()
            if wire.is_usable(self.loop.time()):
                wire.reused = True
                self._busy.add(wire)
                return wire
            wire.close()
        return None

    def add(self, wire: _Wire) -> None:
        """Take note of a new connection, in use."""
        wire.epoch = self.epoch
        self._busy.add(wire)

    def give_back(self, route: Route, wire: _Wire, *, keep: bool) -> None:
        """Take a connection whose answer was read to its end."""
        self._busy.discard(wire)
        if not keep or wire.epoch != self.epoch:
            wire.close()
            return
        now = self.loop.time()
        wire.rest(now + self.options.keepalive_s)
        idle = self._idle.setdefault(route, deque())
        idle.append(wire)
        while len(idle) > self.options.max_idle_connections or (
            idle[0].expires <= now and len(idle) > 1
        ):
            idle.popleft().close()

    def discard(self, wire: _Wire) -> None:
        """Close a connection that was in use."""
        self._busy.discard(wire)
        wire.close()

    def close_idle(self) -> None:
        """Let go of the connections; those in use end with their answers."""
        self.epoch += 1
        idle, self._idle = self._idle, {}
        for wires in idle.values():
            for wire in wires:
                wire.close()

    def close_all(self) -> None:
        """Let go of every connection, in use or not."""
        self.close_idle()
        for wire in list(self._busy):
            self.discard(wire)

    def forget(self) -> None:
        """Drop everything, where the event loop has gone without a word."""
        for wires in self._idle.values():
            self._busy.update(wires)
        for wire in self._busy:
            wire.forget()
        self._idle.clear()
        self._busy.clear()


class AsyncTransport:
    """Sends requests, and keeps connections: a pool for each running event loop.

    A loop's pool is closed when the loop shuts down (`asyncio.run` does that), so
    nothing is left open and nothing warns. `aclose` lets go of the connections that
    are not in use, and of the others when their answers end; the transport can be used
    again afterwards, so whoever shares it loses nothing but time.
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
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        _live.add(self)

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
    ) -> AsyncResponse:
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
        route = target.route
        request = encode_request(method, target, headers, body)
        loop = asyncio.get_running_loop()
        limits = Limits(timeouts, loop.time())
        pool = self._pools.get(loop) or await self._open_pool(loop)
        wire = pool.take(route)
        while True:
            if wire is None:
                wire = await self._dial(pool, route, limits)
            parser = ResponseParser(method)
            try:
                held = await _exchange_heads(wire, request, parser, limits)
            except (OSError, Fault, LimitError) as error:
                pool.discard(wire)
                if may_resend(error, parser, reused=wire.reused):
                    wire = None
                    continue
                raise map_error(error, route) from error
            except BaseException:
                pool.discard(wire)
                raise
            return AsyncResponse(pool, wire, route, parser, limits, held)

    async def _open_pool(self, loop: asyncio.AbstractEventLoop) -> _Pool:
        pool = _Pool(loop, self.options)
        with self._lock:
            gone = [other for other in self._pools if other.is_closed()]
            dropped = [self._pools.pop(other) for other in gone]
            self._pools[loop] = pool
        for other in dropped:
            other.forget()
        pool.keeper = self._keep(pool)
        await anext(pool.keeper)
        return pool

    async def _keep(self, pool: _Pool) -> AsyncGenerator[None]:
        """Close a pool when its loop shuts down.

        A loop ends the asynchronous generators that were started in it, so this
        one's end is the loop's.
        """
        try:
            yield
        finally:
            with self._lock:
                self._pools.pop(pool.loop, None)
            pool.close_all()
            for _ in range(3):  # asyncio closes the sockets in its next rounds
                await asyncio.sleep(0)

    async def _dial(self, pool: _Pool, route: Route, limits: Limits) -> _Wire:
        try:
            wire = await _connect(
                route, limits, self.options.socket_options or (), self._context_for
            )
        except (OSError, Fault, LimitError) as error:
            raise map_dial_error(error, route) from error
        pool.add(wire)
        return wire

    def _context_for(self, address: Address) -> ssl.SSLContext | None:
        if not address.tls:
            return None
        return self._contexts.get(self.options.verify, self._environment)

    async def aclose(self) -> None:
        """Let go of this loop's connections; those in use end with their answers."""
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is not None:
            pool.close_idle()
            for _ in range(3):
                await asyncio.sleep(0)

    def after_fork(self) -> None:
        """Forget the parent's connections; a lock may have been held by its threads."""
        self._lock = threading.Lock()
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.forget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncTransport, {len(self._pools)} event loops>"


# Every transport, for the hook that runs in a forked child.
_live: weakref.WeakSet[AsyncTransport] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_live):
        transport.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


async def _exchange_heads(
    wire: _Wire, request: bytes, parser: ResponseParser, limits: Limits
) -> bytes:
    """Send, and read up to the answer's head; return what has come of the body."""
    await wire.send(request, limits)
    while True:
        data = await wire.receive(limits)
        if not data:
            parser.feed_eof()
        held = parser.feed(data)
        if parser.status:
            return held


async def _connect(
    route: Route,
    limits: Limits,
    socket_options: tuple[tuple[int, int, int], ...],
    context_for: Any,
) -> _Wire:
    """Return a connection that leads to the server: through TCP, proxy and TLS."""
    # Certificates are read before the clock starts: that is no fault of the network.
    first = context_for(route.first)
    second = context_for(route.server) if route.tunnels else None
    loop = asyncio.get_running_loop()
    due = limits.connect_until(loop.time())
    wire = _Wire(loop)
    try:
        async with asyncio.timeout_at(None if due == _INFINITE else due):
            sock = wire.sock = await _open(loop, route.first, due, socket_options)
            try:
                await loop.create_connection(
                    lambda: wire,
                    sock=sock,
                    ssl=first,
                    server_hostname=_server_name(route.first) if first else None,
                )
            except BaseException:
                sock.close()
                raise
            if route.tunnels:
                await _open_tunnel(wire, route, limits)
                if second is not None:
                    wire.transport = await loop.start_tls(
                        wire.transport,
                        wire,
                        second,
                        server_hostname=_server_name(route.server),
                    )
    except TimeoutError as error:
        wire.close()
        raise limits.connect_passed(loop.time()) from error
    except BaseException:
        wire.close()
        raise
    return wire


def _server_name(address: Address) -> str:
    return address.host.rstrip(".")


async def _open(
    loop: asyncio.AbstractEventLoop,
    address: Address,
    due: float,
    options: tuple[tuple[int, int, int], ...],
) -> socket.socket:
    """Connect to the first of a host's addresses that answers.

    They share the time: one that stays silent leaves enough for the next.
    """
    found = await _resolve(loop, address)
    failure: OSError = OSError("the name has no address")
    for tried, (family, kind, protocol, _, where) in enumerate(found):
        share_s = (due - loop.time()) / (len(found) - tried)
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in options:
                sock.setsockopt(*option)
            async with asyncio.timeout(None if share_s == _INFINITE else share_s):
                await loop.sock_connect(sock, where)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _resolve(loop: asyncio.AbstractEventLoop, address: Address) -> list[Any]:
    with contextlib.suppress(socket.gaierror):  # a literal address needs no thread
        return resolve_literal(address)
    return await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)


async def _open_tunnel(wire: _Wire, route: Route, limits: Limits) -> None:
    parser = ResponseParser("CONNECT")
    await wire.send(route.connect_request(), limits)
    while not parser.status:
        data = await wire.receive(limits)
        if not data:
            parser.feed_eof()
        parser.feed(data)
    check_connect(parser)
