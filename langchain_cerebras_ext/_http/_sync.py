"""The synchronous transport: urllib3, with limits on whole calls.

urllib3 knows a limit on connecting and one on each read. A limit on the whole call is
kept where bytes are read: the sockets of our connections know when the call is due,
so that a server which drips its answer byte by byte is cut off as well.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import queue
import socket
import ssl
import threading
import weakref
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HeaderParsingError
from urllib3.util import SKIP_HEADER
from urllib3.util.response import assert_header_parsing

from langchain_cerebras_ext._http._chunked import ChunkedBodyError, ChunkedDecoder
from langchain_cerebras_ext._http._content import find_decoder
from langchain_cerebras_ext._http._dial import dial
from langchain_cerebras_ext._http._errors import (
    ERROR_STATUS,
    PROXY_REFUSES,
    Fault,
    closed_while_read,
    is_system_timeout,
    map_error,
    refused_by_proxy,
    shown_cause,
    too_long,
)
from langchain_cerebras_ext._http._headers import (
    check_framing,
    join_headers,
    request_headers,
)
from langchain_cerebras_ext._http._limits import INFINITE, LimitError, Limits
from langchain_cerebras_ext._http._options import (
    ERROR_WITHIN_S,
    MAX_ERROR_BYTES,
    Timeouts,
)
from langchain_cerebras_ext._http._route import Router, read_environment
from langchain_cerebras_ext._http._tls import TlsContexts
from langchain_cerebras_ext.errors import CerebrasConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from langchain_cerebras_ext._http._options import TransportOptions
    from langchain_cerebras_ext._http._route import Address, Environment, Route

    _ProxyKey = tuple[str | None, str | None]

__all__ = ["SyncResponse", "SyncTransport"]

_Result = TypeVar("_Result")
_READ_BYTES = 64 * 1024
_NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
_CONTINUE, _SWITCHING = 100, 101


class _Call(Limits):
    """One sending of one request: its limits, and how far it has come.

    Attributes:
        keepalive_s: A connection unused for longer is not used.
        fresh: No kept connection is to be used.
        dialled: A connection was made for it.
        heard: A byte of the answer has come.
        head_done: The answer's head has come.
    """

    __slots__ = ("dialled", "fresh", "head_done", "heard", "keepalive_s")

    def __init__(self, timeouts: Timeouts, now: float, keepalive_s: float) -> None:
        super().__init__(timeouts, now)
        self.keepalive_s = keepalive_s
        self.fresh = self.dialled = self.heard = self.head_done = False


class _Current(threading.local):
    """The call that this thread is sending; connections take their limits from it."""

    call = _Call(Timeouts(None, None, None), 0.0, INFINITE)


_current = _Current()


class _Timed(socket.socket):
    """A socket whose reads and writes end when its call is due.

    Attributes:
        call: The one that uses the connection now.
        used_at: When the last byte came.
        resting: Nothing is read from the network now; whoever tries is told so.
        spoiled: More came than was asked for.
    """

    call: _Call | None = None
    used_at = 0.0
    resting = False
    spoiled = False
    _waits_s: float | None = -1.0

    def settimeout(self, value: float | None) -> None:
        """Set it as the parent does, unless a call says how long to wait."""
        if self.call is None:
            super().settimeout(value)

    def serve(self, call: _Call) -> None:
        """Take the limits of a call, and wait no longer than they say."""
        self.call = call
        self._arm(call)

    def _arm(self, call: _Call) -> None:
        wait_s = call.wait_s(monotonic())
        if wait_s != self._waits_s:
            self._waits_s = wait_s
            super().settimeout(wait_s)

    def _within(self, act: Callable[..., _Result], *args: Any) -> _Result:
        call = self.call
        if call is None:
            return act(*args)
        self._arm(call)
        try:
            return act(*args)
        except TimeoutError as error:
            if error.errno:
                raise
            raise call.passed(monotonic()) from error
        finally:
            self.used_at = monotonic()

    def _check_awake(self) -> None:
        if self.resting:
            raise BlockingIOError(errno.EAGAIN, "resting")

    def _heard(self, count: int) -> None:
        call = self.call
        if call is None or call.head_done:
            return
        if count:
            call.heard = True
            return
        # http.client would take the end of the connection for the end of the head.
        where = "inside the headers" if call.heard else "without an answer"
        raise Fault(kind="closed", text=f"the server closed the connection {where}")

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read as the parent does, within the limits; TLS in TLS reads by this."""
        self._check_awake()
        data = self._within(super().recv, buflen, flags)
        self._heard(len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read as the parent does, within the limits."""
        self._check_awake()
        count = self._within(super().recv_into, buffer, nbytes or len(buffer), flags)
        self._heard(count)
        return count

    def send(self, data: Any, flags: int = 0) -> int:
        """Write as the parent does, within the limits."""
        return self._within(super().send, data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Write all; the limit is on each part, so that a large body may take long."""
        with memoryview(data).cast("B") as view:
            sent = 0
            while sent < len(view):
                sent += self.send(view[sent:], flags)


class _TimedTLS(_Timed, ssl.SSLSocket):
    """The same over TLS."""


class _Response(http.client.HTTPResponse):
    """An answer whose head is read strictly, after hints (103) as well as after 100.

    Python's own reader drops a header line that it cannot read and all that follow, the
    length among them.
    """

    def begin(self) -> None:
        super().begin()
        while _CONTINUE <= self.status < 200 and self.status != _SWITCHING:  # noqa: PLR2004
            self.headers: Any = None  # else the head counts as read
            super().begin()
        _check_headers(self.headers)

    def _close_conn(self) -> None:
        """Let go of the connection, and see whether more came than this answer."""
        fp: Any = self.fp
        timed = _timed(getattr(getattr(fp, "raw", None), "_sock", None))
        if timed is not None and not timed.spoiled:
            timed.resting = True
            with contextlib.suppress(OSError, ValueError):
                timed.spoiled = bool(fp.peek(1)) or bool(_pending(timed))
            timed.resting = False
        super()._close_conn()  # type: ignore[misc] # typeshed knows it not


def _check_headers(headers: http.client.HTTPMessage) -> None:
    """Refuse headers that were not read whole, or do not tell where the body ends.

    Raises:
        Fault: They are such.
    """
    if headers.defects:
        try:
            assert_header_parsing(headers)  # which knows the defects that are none
        except HeaderParsingError:
            text = "a line of its headers cannot be read"
            raise Fault(kind="protocol", text=text) from None  # it repeats the line
    framing: dict[str, list[str]] = {"content-length": [], "transfer-encoding": []}
    for name, value in headers.raw_items():
        if "\0" in value:
            raise Fault(kind="protocol", text="its headers hold a NUL")
        found = framing.get(name.lower())
        if found is not None:
            found.append(value)
    check_framing(framing["content-length"], framing["transfer-encoding"])


def _timed(sock: Any) -> _Timed | None:
    """Return the socket that reads from the network; urllib3 wraps TLS in TLS."""
    inner = getattr(sock, "socket", sock)
    return inner if isinstance(inner, _Timed) else None


def _pending(timed: _Timed) -> int:
    """Return how many bytes TLS has read and holds."""
    return timed.pending() if isinstance(timed, ssl.SSLSocket) else 0


def _is_usable(sock: Any) -> bool:
    """Whether a kept connection may serve the current call."""
    call, timed = _current.call, _timed(sock)
    if timed is None or timed.spoiled or call.fresh:
        return False
    return monotonic() - timed.used_at <= call.keepalive_s


def _dial(connection: Any) -> socket.socket:
    call = _current.call
    host = connection._dns_host  # noqa: SLF001 (with the dot that stops DNS searches)
    options = connection.socket_options or ()
    try:
        sock = dial(host, connection.port, call, _Timed, options)
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error
    sock.serve(call)
    return sock


@contextlib.contextmanager
def _connecting(connection: Any) -> Generator[None]:
    """Hold the call to its limit on connecting: name, TCP, proxy and TLS."""
    call = _current.call
    call.dialled = True
    call.start_connecting(monotonic())
    yield
    call.connecting = False
    _serve(connection)


def _serve(connection: Any) -> None:
    call, timed = _current.call, _timed(connection.sock)
    if timed is not None:
        timed.serve(call)
        call.heard = False


class _Connection(HTTPConnection):
    response_class = _Response
    debuglevel = 0  # http.client's own prints the request, the key with it

    def _new_conn(self) -> socket.socket:
        return _dial(self)

    def connect(self) -> None:
        with _connecting(self):
            super().connect()

    @property
    def is_connected(self) -> bool:
        return super().is_connected and _is_usable(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _serve(self)
        super().request(*args, **kwargs)


class _SecureConnection(HTTPSConnection):
    response_class = _Response
    debuglevel = 0  # http.client's own prints the request, the key with it

    def _new_conn(self) -> socket.socket:
        return _dial(self)

    def connect(self) -> None:
        with _connecting(self):
            super().connect()
        if self.cert_reqs == ssl.CERT_NONE:
            self.is_verified = True  # not so, but so wanted: spares a warning per call

    @property
    def is_connected(self) -> bool:
        return super().is_connected and _is_usable(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _serve(self)
        super().request(*args, **kwargs)


class _Unused(queue.LifoQueue[Any]):
    """A pool's unused connections, with nothing in the place of those to come.

    urllib3 fills it with a `None` for each connection that it may hold, so that a pool
    can make callers wait. Ours never does, and a thousand of them, put in and taken
    out one by one, took two milliseconds of each client.
    """

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is not None:
            super().put(item, block, timeout)


class _Pool(HTTPConnectionPool):
    ConnectionCls: Any = _Connection
    QueueCls = _Unused


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls: Any = _SecureConnection
    QueueCls = _Unused


_POOLS: dict[str, Any] = {"http": _Pool, "https": _SecurePool}
_NO_RETRIES = urllib3.Retry(False, redirect=False)


def _read_chunks(raw: Any) -> Iterator[bytes]:
    """Yield the data of each network read, which may be that of many chunks."""
    answer = raw._original_response  # noqa: SLF001 - http.client's; a public argument
    decoder = ChunkedDecoder()
    while not decoder.done:
        data = answer.fp.read1(_READ_BYTES)
        if not data:
            text = "the server closed the connection before the answer's end"
            raise Fault(kind="closed", text=text)
        try:
            piece = decoder.feed(data)
        except ChunkedBodyError as error:
            raise Fault(kind="protocol", text=str(error)) from error
        if piece:
            yield piece
    if not decoder.rest:  # what came too much must not answer the next call
        answer.close()  # it was read to its end: the connection can be kept


def _decoded(parts: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the content of a body that may be compressed."""
    decoder = find_decoder(encoding)
    if decoder is None:
        yield from parts
        return
    for part in parts:
        yield from decoder.feed(part)
    decoder.finish()


class SyncResponse:
    """An answer whose head has come.

    Read it to its end, or close it; its connection is kept for the next call only in
    the first case.

    Attributes:
        status: The HTTP status, whichever it is.
    """

    __slots__ = (
        "_call",
        "_closed",
        "_ended",
        "_headers",
        "_lock",
        "_max_bytes",
        "_parts",
        "_pid",
        "_raw",
        "_route",
        "status",
    )

    def __init__(self, raw: Any, route: Route, call: _Call, max_bytes: int) -> None:
        self.status: int = raw.status
        self._headers: Mapping[str, str] | None = None
        self._raw = raw
        self._route = route
        self._call = call
        self._max_bytes = max_bytes
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._closed = self._ended = False
        self._parts: Iterator[bytes]
        if raw.chunked:
            self._parts = _read_chunks(raw)
        else:
            self._parts = iter(partial(raw.read1, _READ_BYTES), b"")
        encoding = raw.headers.get("content-encoding")
        if encoding:
            self._parts = _decoded(self._parts, encoding)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by lower-case name."""
        if self._headers is None:
            self._headers = join_headers(self._raw.headers.iteritems())
        return self._headers

    def read(self) -> bytes:
        """Return the whole body; of one with an error status what comes, as below."""
        if self.status >= ERROR_STATUS:
            return self.read_what_comes()
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in self.iter_raw():
                pieces.append(piece)
                size += len(piece)
                if size > self._max_bytes:
                    raise too_long(self._max_bytes)
        finally:
            self.close()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_what_comes(
        self, *, within_s: float = ERROR_WITHIN_S, max_bytes: int = MAX_ERROR_BYTES
    ) -> bytes:
        """Return as much of the body as comes; never raises for what does not.

        For a body that only explains: the status has said what is wrong, and that a
        server stalls or breaks off in its explanation must not hide it.
        """
        call = self._call
        call.deadline = min(call.deadline, monotonic() + within_s)
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in self.iter_raw():
                pieces.append(piece)
                size += len(piece)
                if size >= max_bytes:
                    break
        except CerebrasConnectionError:
            pass
        finally:
            self.close()
        return b"".join(pieces)[:max_bytes]

    def iter_raw(self) -> Iterator[bytes]:
        """Yield the body as it comes, decoded: a chunk, or what there is of it.

        Raises:
            CerebrasConnectionError: It did not come whole.
            CerebrasTimeoutError: It did not come in time.
        """
        if self._closed and not self._ended:
            raise closed_while_read(self._route)
        parts = self._parts
        try:
            first = next(parts, None)
            if first is not None:
                self._call.body_started()
                yield first
                yield from parts
            self._end()
        except Exception as error:
            if not _is_engine_error(error):
                raise
            found = map_error(error, self._route)
            raise found from shown_cause(error, found)
        finally:
            self.close()

    def _end(self) -> None:
        if self._closed and not self._ended:  # meanwhile, by whoever took the parts
            raise closed_while_read(self._route)
        self._ended = True

    def finish(self, grace_s: float = 0.05) -> None:
        """Let go of a stream whose end was announced.

        The rest, usually five bytes, is read if it is there or comes at once; the
        connection can then serve the next call. Otherwise it is dropped.
        """
        if not self._closed:
            call = self._call
            call.deadline = min(call.deadline, monotonic() + grace_s)
            with contextlib.suppress(Exception):
                next(self._parts, None)
        self.close()

    def close(self) -> None:
        """Let go of the connection, if it is still held; may be called twice."""
        self._closed = True
        raw = self._raw
        # Not two threads at once: one would give the connection back to the pool while
        # the other is about to close it.
        with self._lock:
            if not raw.closed:
                if self._pid == os.getpid():  # a forked child leaves it to its parent
                    # Wakes a thread that still reads, which else would keep us waiting.
                    with contextlib.suppress(Exception):
                        raw.shutdown()
                raw.close()
            raw.release_conn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SyncResponse {self.status} from {self._route}>"


def _is_engine_error(error: Exception) -> bool:
    return isinstance(
        error,
        (
            OSError,
            LimitError,
            Fault,
            ValueError,
            http.client.HTTPException,
            urllib3.exceptions.HTTPError,
        ),
    )


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
        self._managers: dict[_ProxyKey, urllib3.PoolManager] = {}
        self._pools: dict[tuple[Address, _ProxyKey], HTTPConnectionPool] = {}
        _live.add(self)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
        *,
        resent: Callable[[CerebrasConnectionError], None] | None = None,
    ) -> SyncResponse:
        """Send a request, and return when the answer's head has come.

        Any status is returned, redirects too. A request is sent a second time, on a
        new connection, only if a kept one turns out to have been closed before a
        byte of the answer came: the server has most likely left it unread. `resent` is
        called then, since nobody can know.

        Raises:
            CerebrasConnectionError: No answer came; `kind` says why.
            CerebrasTimeoutError: None came in time.
            CerebrasConfigurationError: The URL, a header or a bundle of certificates
                cannot be used.
        """
        route = self._router.find(url)
        given = request_headers(headers)
        given.setdefault("User-Agent", SKIP_HEADER)
        for name, value in given.items():
            if not value.isascii():  # UTF-8 goes out, as from other clients
                given[name] = value.encode().decode("latin-1")
        call = _Call(timeouts, monotonic(), self.options.keepalive_s)
        while True:
            try:
                raw = self._exchange(method, route, given, body, call)
            except Exception as error:
                if not _is_engine_error(error):
                    raise
                found = _explain(error, route, call)
                stale = not (call.dialled or call.heard)
                if stale and found.kind in {"closed", "reset"}:
                    call.fresh = True
                    if resent is not None:
                        resent(found)
                    continue
                raise found from shown_cause(error, found)
            response = SyncResponse(raw, route, call, self.options.max_body_bytes)
            if raw.status == PROXY_REFUSES and route.proxy is not None:
                response.close()
                raise refused_by_proxy(route)
            return response

    def _exchange(
        self,
        method: str,
        route: Route,
        headers: dict[str, str],
        body: bytes | None,
        call: _Call,
    ) -> Any:
        _current.call = call
        try:
            while True:
                try:
                    raw = self._pool(route).urlopen(
                        method,
                        route.target,
                        body=body,
                        headers=headers,
                        retries=_NO_RETRIES,
                        redirect=False,
                        assert_same_host=False,
                        preload_content=False,
                        decode_content=False,
                    )
                except urllib3.exceptions.ClosedPoolError:
                    # Somebody closed the transport since we took the pool.
                    self._pools.pop(route.key, None)
                    continue
                call.head_done = True
                return raw
        finally:
            del _current.call

    def _pool(self, route: Route) -> HTTPConnectionPool:
        pool = self._pools.get(route.key)
        if pool is None:
            with self._lock:
                _, proxy = route.key
                if proxy not in self._managers:
                    self._managers[proxy] = self._make_manager(route)
                server = route.server
                pool = self._managers[proxy].connection_from_host(
                    server.host, server.port, server.scheme
                )
                self._pools[route.key] = pool
        return pool

    def _make_manager(self, route: Route) -> urllib3.PoolManager:
        options = self.options
        settings: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": options.max_idle_connections,
            "socket_options": [_NO_DELAY, *(options.socket_options or ())],
        }
        if route.tls:
            context = self._contexts.get(options.verify, self._environment)
            context.sslsocket_class = _TimedTLS
            settings["ssl_context"] = context
            settings["cert_reqs"] = context.verify_mode
            if options.verify is False:
                settings["assert_hostname"] = False
        manager: urllib3.PoolManager
        if route.proxy_url is None:
            manager = urllib3.PoolManager(**settings)
        else:
            manager = urllib3.ProxyManager(
                route.proxy_url,
                proxy_headers=route.proxy_headers(),
                proxy_ssl_context=settings.get("ssl_context"),
                proxy_assert_hostname=settings.get("assert_hostname"),
                **settings,
            )
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            pools = self._pools.values()
            self._managers, self._pools = {}, {}
        # Not left to urllib3, which closes a pool when nothing refers to it any more;
        # an error of one of its calls does so, by its traceback.
        for pool in pools:
            pool.close()

    def forget(self) -> None:
        """Start anew in a forked process; the parent's connections stay its own."""
        self._lock = threading.Lock()
        self._managers, self._pools = {}, {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SyncTransport on urllib3, {len(self._pools)} pools>"


def _explain(error: Exception, route: Route, call: _Call) -> Any:
    if is_system_timeout(error):
        return map_error(call.passed(monotonic()), route)
    return map_error(error, route, connecting=call.connecting)


_live: weakref.WeakSet[SyncTransport] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_live):
        transport.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
