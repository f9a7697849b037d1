"""The synchronous transport: urllib3, with limits on whole calls.

urllib3 knows a limit on connecting and one on each read. A limit on the whole call is
kept where bytes are read: the sockets of our connections know when the call is due,
so that a server which drips its answer byte by byte is cut off as well.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from langchain_cerebras_ext._http._errors import Fault, connection_error, map_error
from langchain_cerebras_ext._http._limits import LimitError, Limits
from langchain_cerebras_ext._http._route import Router, read_environment
from langchain_cerebras_ext._http._tls import TlsContexts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_cerebras_ext._http._options import Timeouts, TransportOptions
    from langchain_cerebras_ext._http._route import Environment, Route

__all__ = ["SyncResponse", "SyncTransport"]

READ_BYTES = 64 * 1024
"""How much one read takes at most."""


class _Timed(socket.socket):
    """A socket whose reads end when the call is due.

    Attributes:
        limits: Those of the call that uses the connection now.
        ended: The peer has closed its side.
    """

    limits: Limits | None = None
    ended = False
    _waits_s: float | None = -1.0

    def settimeout(self, value: float | None) -> None:
        """Set it as the parent does, and remember it."""
        self._waits_s = value
        super().settimeout(value)

    def recv_into(self, *args: Any) -> int:
        """Read as the parent does, within the limits."""
        limits = self.limits
        if limits is not None:
            wait_s = limits.wait_s(monotonic())
            if wait_s != self._waits_s:
                self.settimeout(wait_s)
        try:
            count = super().recv_into(*args)
        except TimeoutError as error:
            if limits is None or error.errno:
                raise
            raise limits.passed(monotonic()) from error
        if not count:
            self.ended = True
        return count


class _TimedTLS(_Timed, ssl.SSLSocket):
    """The same over TLS."""


class _Current(threading.local):
    """The call that this thread is sending; connections take their limits from it."""

    limits: Limits | None = None


_current = _Current()


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _timed(super()._new_conn())

    def connect(self) -> None:
        super().connect()
        _arm(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _arm(self.sock, self)
        super().request(*args, **kwargs)


class _SecureConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _timed(super()._new_conn())

    def connect(self) -> None:
        super().connect()
        _arm(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _arm(self.sock, self)
        super().request(*args, **kwargs)


def _timed(sock: socket.socket) -> _Timed:
    """Return a connected socket as one that knows limits."""
    timeout = sock.gettimeout()
    timed = _Timed(sock.family, sock.type, sock.proto, fileno=sock.detach())
    timed.settimeout(timeout)
    return timed


def _arm(sock: Any, connection: Any = None) -> None:
    """Put a call's limits on a socket, for sending and for reading."""
    limits = _current.limits
    if sock is None or limits is None:
        return
    wait_s = limits.wait_s(monotonic())
    sock.settimeout(wait_s)
    if connection is not None:
        connection.timeout = wait_s  # urllib3 sets it on the socket again
    if isinstance(sock, _Timed):
        sock.limits = limits


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class SyncResponse:
    """An answer whose head has come.

    Read it to its end, or close it; its connection is kept for the next call only in
    the first case.

    Attributes:
        status: The HTTP status, whichever it is.
        headers: By lower-case name.
    """

    __slots__ = ("_limits", "_max_bytes", "_raw", "_route", "headers", "status")

    def __init__(self, raw: Any, route: Route, limits: Limits, max_bytes: int) -> None:
        self.status: int = raw.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in raw.headers.items()
        }
        self._raw = raw
        self._route = route
        self._limits = limits
        self._max_bytes = max_bytes

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
        """Yield what each read gave, decoded; never waits for more."""
        read = self._raw.read1
        started = False
        try:
            while data := read(READ_BYTES):
                if not started:
                    started = True
                    self._limits.body_started()
                yield data
        except Exception as error:
            if not _is_engine_error(error):
                raise
            raise map_error(error, self._route) from error
        finally:
            self.close()

    def finish(self, grace_s: float = 0.05) -> None:
        """Let go of a stream whose end was announced.

        The rest, usually five bytes, is read if it is there or comes at once; the
        connection can then serve the next call. Otherwise it is dropped.
        """
        self._limits.idle_s = min(self._limits.idle_s, grace_s)
        with contextlib.suppress(Exception):
            self._raw.read1(READ_BYTES)
        self.close()

    def close(self) -> None:
        """Let go of the connection, if it is still held; may be called twice."""
        raw = self._raw
        if not raw.closed:
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
        error, (OSError, LimitError, Fault, ValueError, urllib3.exceptions.HTTPError)
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
        self._managers: dict[str | None, urllib3.PoolManager] = {}
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

        Any status is returned, redirects too; nothing is sent twice.

        Raises:
            CerebrasConnectionError: No answer came; `kind` says why.
            CerebrasTimeoutError: None came in time.
            CerebrasConfigurationError: The URL or a bundle of certificates cannot be
                used.
        """
        route = self._router.find(url)
        limits = Limits(timeouts, monotonic())
        manager = self._manager(route)
        _current.limits = limits
        connecting_s = limits.connect_wait_s(monotonic())
        try:
            raw = manager.urlopen(
                method,
                url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=connecting_s, read=None),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except Exception as error:
            if not _is_engine_error(error):
                raise
            raise self._explain(error, route, limits) from error
        finally:
            _current.limits = None
        _refuse_half_head(raw, route)
        return SyncResponse(raw, route, limits, self.options.max_body_bytes)

    def _explain(self, error: Exception, route: Route, limits: Limits) -> Exception:
        exceptions = urllib3.exceptions
        # NewConnectionError is a ConnectTimeoutError, though it is none.
        if isinstance(error, exceptions.ConnectTimeoutError) and not isinstance(
            error, exceptions.NewConnectionError
        ):
            return map_error(limits.connect_passed(monotonic()), route)
        if isinstance(error, (exceptions.ReadTimeoutError, TimeoutError)):
            return map_error(limits.passed(monotonic()), route)
        early = (exceptions.NewConnectionError, exceptions.ProxyError, ssl.SSLError)
        return map_error(
            error, route, connecting=isinstance(error, (*early, exceptions.SSLError))
        )

    def _manager(self, route: Route) -> urllib3.PoolManager:
        manager = self._managers.get(route.proxy_url)
        if manager is None:
            with self._lock:
                manager = self._managers.get(route.proxy_url)
                if manager is None:
                    manager = self._make_manager(route)
                    self._managers[route.proxy_url] = manager
        return manager

    def _make_manager(self, route: Route) -> urllib3.PoolManager:
        options = self.options
        settings: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": options.max_idle_connections,
            "socket_options": [
                *HTTPConnection.default_socket_options,
                *(options.socket_options or ()),
            ],
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
                route.proxy_url, proxy_headers=route.proxy_headers(), **settings
            )
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            managers, self._managers = self._managers, {}
        for manager in managers.values():
            manager.clear()

    def forget(self) -> None:
        """Start anew in a forked process; the parent's connections stay its own."""
        self._lock = threading.Lock()
        self._managers = {}

    def __repr__(self) -> str:
        return f"<SyncTransport on urllib3, {len(self._managers)} pools>"


def _refuse_half_head(raw: Any, route: Route) -> None:
    """Refuse a head that was cut off: http.client takes its end for the head's end.

    Raises:
        CerebrasConnectionError: The connection ended within the head.
    """
    sock = getattr(raw.connection, "sock", None)
    if isinstance(sock, _Timed) and sock.ended:
        raw.close()
        text = f"The call to {route} failed: the connection ended within the headers"
        raise connection_error(kind="closed", text=text)


_live: weakref.WeakSet[SyncTransport] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_live):
        transport.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
