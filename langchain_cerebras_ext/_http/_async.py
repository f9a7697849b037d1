"""The asynchronous transport: aiohttp, one session for each event loop.

A session belongs to its loop. It is closed when the loop shuts its asynchronous
generators down, as `asyncio.run` does at its end, so that many short-lived loops leave
nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from langchain_cerebras_ext._http._content import find_decoder
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
from langchain_cerebras_ext._http._headers import join_headers, request_headers
from langchain_cerebras_ext._http._limits import INFINITE, LimitError, Limits
from langchain_cerebras_ext._http._options import ERROR_WITHIN_S, MAX_ERROR_BYTES
from langchain_cerebras_ext._http._route import Router, read_environment
from langchain_cerebras_ext._http._tls import TlsContexts
from langchain_cerebras_ext.errors import CerebrasConnectionError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping

    import aiohttp
    from yarl import URL

    from langchain_cerebras_ext._http._content import ContentDecoder
    from langchain_cerebras_ext._http._options import Timeouts, TransportOptions
    from langchain_cerebras_ext._http._route import Environment, Route

__all__ = ["AsyncResponse", "AsyncTransport"]

_READ_BUFFER_BYTES = 256 * 1024
_MAX_HEADER_BYTES = 65536  # a line, as in http.client
_MAX_HEADERS = 100
_PIECE_BYTES = 64 * 1024  # of a body that is sent; aiohttp buffers as much
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class AsyncResponse:
    """An answer whose head has come.

    Read it to its end, or close it; its connection is kept for the next call only in
    the first case.

    Attributes:
        status: The HTTP status, whichever it is.
    """

    __slots__ = (
        "__weakref__",
        "_alarm",
        "_closed",
        "_decoder",
        "_ended",
        "_headers",
        "_late",
        "_limits",
        "_loop",
        "_max_bytes",
        "_raw",
        "_route",
        "status",
    )

    def __init__(
        self, raw: aiohttp.ClientResponse, route: Route, limits: Limits, max_bytes: int
    ) -> None:
        self.status: int = raw.status
        self._headers: Mapping[str, str] | None = None
        self._raw = raw
        self._route = route
        self._limits = limits
        self._max_bytes = max_bytes
        self._closed = self._ended = self._late = False
        self._decoder: ContentDecoder | None = None
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        if limits.deadline != INFINITE:
            # An answer that is dropped must not live on.
            ref: weakref.ref[AsyncResponse] = weakref.ref(self)
            self._alarm = self._loop.call_at(limits.deadline, _expire, ref)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by lower-case name."""
        if self._headers is None:
            self._headers = join_headers(self._raw.headers.items(), "utf-8")
        return self._headers

    def expire(self) -> None:
        """End the call from outside: whoever reads gets an error at once."""
        self._late = True
        _close(self._raw)

    async def read(self) -> bytes:
        """Return the whole body; of one with an error status what comes, as below."""
        if self.status >= ERROR_STATUS:
            return await self.read_what_comes()
        pieces: list[bytes] = []
        size = 0
        async with contextlib.aclosing(self.iter_raw()) as parts:
            async for piece in parts:
                pieces.append(piece)
                size += len(piece)
                if size > self._max_bytes:
                    raise too_long(self._max_bytes)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_what_comes(
        self, *, within_s: float = ERROR_WITHIN_S, max_bytes: int = MAX_ERROR_BYTES
    ) -> bytes:
        """Return as much of the body as comes; never raises for what does not.

        For a body that only explains: the status has said what is wrong, and that a
        server stalls or breaks off in its explanation must not hide it.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            async with (
                asyncio.timeout(within_s),
                contextlib.aclosing(self.iter_raw()) as parts,
            ):
                async for piece in parts:
                    pieces.append(piece)
                    size += len(piece)
                    if size >= max_bytes:
                        break
        except (TimeoutError, CerebrasConnectionError):
            pass
        finally:
            await self.aclose()
        return b"".join(pieces)[:max_bytes]

    async def iter_raw(self) -> AsyncGenerator[bytes]:
        """Yield what has come, decoded; never waits for more.

        Raises:
            CerebrasConnectionError: The body did not come whole.
            CerebrasTimeoutError: It did not come in time.
        """
        if self._closed and not self._ended:
            raise closed_while_read(self._route)
        readany = self._raw.content.readany
        try:
            self._decoder = find_decoder(self._raw.headers.get("content-encoding"))
            data = await readany()
            if data:
                self._body_started()
            while data:
                for piece in self._decoded(data):
                    yield piece
                data = await readany()
            self._end()
        except Exception as error:
            if not _is_engine_error(error):
                raise
            for piece in self._decoded_rest(error):
                yield piece
            found = self._explain(error)
            raise found from shown_cause(error, found)
        finally:
            await self.aclose()

    def _decoded(self, data: bytes) -> Iterable[bytes]:
        return (data,) if self._decoder is None else self._decoder.feed(data)

    def _decoded_rest(self, error: Exception) -> Iterator[bytes]:
        """Yield what came before a failure, unless that was what failed."""
        rest = b"" if isinstance(error, Fault) else _unread(self._raw.content)
        with contextlib.suppress(Fault):
            yield from self._decoded(rest) if rest else ()

    def _end(self) -> None:
        if self._decoder is not None and not self._late:
            self._decoder.finish()
        if self._late:
            raise self._limits.passed(INFINITE)
        if self._closed and not self._ended:  # meanwhile, by another task
            raise closed_while_read(self._route)
        self._ended = True

    def _body_started(self) -> None:
        self._limits.body_started()
        connection = self._raw.connection
        if connection is not None and connection.protocol is not None:
            protocol = connection.protocol
            protocol.read_timeout = _none_if_infinite(self._limits.idle_s)
            protocol.start_timeout()

    def _explain(self, error: Exception) -> CerebrasConnectionError:
        if self._late:
            return map_error(self._limits.passed(INFINITE), self._route)
        if is_system_timeout(error):
            return map_error(self._limits.passed(self._loop.time()), self._route)
        if self._closed:
            return closed_while_read(self._route)
        return map_error(error, self._route)

    async def finish(self, grace_s: float = 0.05) -> None:
        """Let go of a stream whose end was announced.

        The rest, usually five bytes, is read if it is there or comes at once; the
        connection can then serve the next call. Otherwise it is dropped.
        """
        content = self._raw.content
        try:
            if not self._closed and not content.is_eof():
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(grace_s):
                        while await content.readany():
                            pass
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connection, if it is still held; may be called twice."""
        self._closed = True
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()
        # At the body's end aiohttp has put the connection back by itself.
        _close(self._raw)

    def __del__(self) -> None:
        """Let go of the connection of an answer that was dropped."""
        # A constructor that failed leaves no `_raw`.
        raw: aiohttp.ClientResponse | None = getattr(self, "_raw", None)
        if raw is None or raw.closed:
            return
        try:  # the collector may run in any thread
            self._loop.call_soon_threadsafe(raw.close)
        except RuntimeError:  # the loop is closed
            raw.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncResponse {self.status} from {self._route}>"


def _expire(ref: weakref.ref[AsyncResponse]) -> None:
    response = ref()
    if response is not None:
        response.expire()


def _close(raw: aiohttp.ClientResponse) -> None:
    """Close an answer; whoever still reads it gets an error of its own.

    That of aiohttp is one for the whole process: raised, it keeps the frames of all the
    calls that it ended, and tells each of the others.
    """
    content = raw.content
    if not content.is_eof() and content.exception() is None:
        import aiohttp

        content.set_exception(aiohttp.ClientConnectionError("closed by the client"))
    raw.close()


def _none_if_infinite(limit_s: float) -> float | None:
    return None if limit_s == INFINITE else limit_s


def _is_engine_error(error: Exception) -> bool:
    import aiohttp
    from aiohttp.http_exceptions import HttpProcessingError

    engine = (OSError, LimitError, Fault, ValueError, aiohttp.ClientError)
    return isinstance(error, (*engine, HttpProcessingError))


def _unread(content: Any) -> bytes:
    """Return what came before a failure, which aiohttp reports at once.

    Its reader raises as soon as the connection is lost, though bytes are left in it.
    """
    buffer = getattr(content, "_buffer", None)
    if not buffer:
        return b""
    rest = b"".join(buffer)[getattr(content, "_buffer_offset", 0) :]
    buffer.clear()
    return rest


class _Session:
    """A session, and the generator by which its loop closes it."""

    def __init__(self, session: aiohttp.ClientSession, held: _Sessions) -> None:
        self.session = session
        self.keeper = _close_at_the_end(session, held)

    async def close(self) -> None:
        await self.keeper.aclose()

    def abandon(self) -> None:
        """Close it although its loop was closed without a word: nothing waits."""
        with contextlib.suppress(StopIteration, RuntimeError):
            self.session.close().send(None)


# Not weak: a session holds its loop, so that neither would ever go.
_Sessions = dict[asyncio.AbstractEventLoop, _Session]


async def _close_at_the_end(
    session: aiohttp.ClientSession, held: _Sessions
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        held.pop(asyncio.get_running_loop(), None)
        await session.close()


class _Attempt:
    """One sending of one request.

    Attributes:
        dialled: A connection was made for it.
        connecting: It waits for a connection that is ready.
    """

    def __init__(self) -> None:
        self.dialled = self.connecting = False


_attempt: ContextVar[_Attempt | None] = ContextVar("cerebras_attempt", default=None)


def _note_connecting(connecting: bool) -> None:
    attempt = _attempt.get()
    if attempt is not None:
        attempt.connecting = connecting


@lru_cache(maxsize=64)
def _client_timeout(connect_s: float | None, idle_s: float) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(
        total=None,
        # To a connection that is ready: also the name, TLS and the proxy.
        connect=connect_s,
        sock_read=_none_if_infinite(idle_s),
        ceil_threshold=INFINITE,  # else it rounds up from 5 s
    )


@lru_cache(maxsize=256)
def _parse(url: str) -> URL:
    from yarl import URL

    return URL(url, encoded=True)


async def _in_pieces(
    body: bytes, limits: Limits, whole: asyncio.Timeout
) -> AsyncGenerator[bytes]:
    """Yield a large body; each piece, taken when there is room, has its own limit."""
    loop = asyncio.get_running_loop()
    for start in range(0, len(body), _PIECE_BYTES):
        due = min(limits.deadline, loop.time() + limits.idle_s)
        if not whole.expired():
            whole.reschedule(_none_if_infinite(due))
        yield body[start : start + _PIECE_BYTES]
    if not whole.expired():
        whole.reschedule(_none_if_infinite(limits.deadline))


class AsyncTransport:
    """Sends requests, and keeps connections; any number of event loops may share it.

    `aclose` closes the running loop's connections; the transport can be used again
    afterwards.
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
        self._sessions: _Sessions = {}

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
        *,
        resent: Callable[[CerebrasConnectionError], None] | None = None,
    ) -> AsyncResponse:
        """Send a request, and return when the answer's head has come.

        Any status is returned, redirects too. A request is sent a second time only if
        a kept connection turns out to have been closed before anything of the answer
        came: the server has most likely left it unread. `resent` is called then, since
        nobody can know.

        Raises:
            CerebrasConnectionError: No answer came; `kind` says why.
            CerebrasTimeoutError: None came in time.
            CerebrasConfigurationError: The URL, a header or a bundle of certificates
                cannot be used.
        """
        route = self._router.find(url)
        given = request_headers(headers)
        loop = asyncio.get_running_loop()
        limits = Limits(timeouts, loop.time())
        session = await self._session(loop)
        attempt = _Attempt()
        _attempt.set(attempt)
        may_resend = True
        while True:
            try:
                raw = await self._exchange(session, method, route, given, body, limits)
                break
            except Exception as error:
                if not _is_engine_error(error):
                    raise
                found = _explain(error, route, limits, attempt)
                if not may_resend or attempt.dialled or not _is_stale(error):
                    raise found from shown_cause(error, found)
                may_resend = False
                if resent is not None:
                    resent(found)
        response = AsyncResponse(raw, route, limits, self.options.max_body_bytes)
        if raw.status == PROXY_REFUSES and route.proxy is not None:
            await response.aclose()
            raise refused_by_proxy(route)
        return response

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        route: Route,
        headers: dict[str, str],
        body: bytes | None,
        limits: Limits,
    ) -> aiohttp.ClientResponse:
        settings: dict[str, Any] = {}
        if route.tls:
            settings["ssl"] = self._contexts.get(self.options.verify, self._environment)
        if route.proxy_url is not None:
            settings["proxy"] = route.proxy_url
            if route.server.tls:
                settings["proxy_headers"] = route.proxy_headers()
            else:  # aiohttp tells these only to a proxy that makes a tunnel
                headers = {**headers, **route.proxy_headers()}
        async with asyncio.timeout(None) as whole:
            if limits.deadline != INFINITE:
                whole.reschedule(limits.deadline)
            data: Any = body
            if body is not None and len(body) > _PIECE_BYTES:
                data = _in_pieces(body, limits, whole)
                headers = {**headers, "Content-Length": str(len(body))}
            return await session.request(
                method,
                _parse(route.url),
                data=data,
                headers=headers,
                allow_redirects=False,
                timeout=_client_timeout(limits.connect_s, limits.idle_s),
                **settings,
            )

    async def _session(self, loop: asyncio.AbstractEventLoop) -> aiohttp.ClientSession:
        held = self._sessions.get(loop)
        if held is None or held.session.closed:
            self._drop_closed()
            held = _Session(self._make_session(), self._sessions)
            self._sessions[loop] = held
            # Started, it is known to the loop, which closes it at its end.
            await anext(held.keeper)
        return held.session

    def _drop_closed(self) -> None:
        """Forget the loops that are gone."""
        for loop, held in list(self._sessions.items()):
            if loop.is_closed() or held.session.closed:
                self._sessions.pop(loop, None)
                held.abandon()

    def _make_session(self) -> aiohttp.ClientSession:
        import aiohttp

        from langchain_cerebras_ext._http._protocol import Connector

        connector = Connector(
            _note_connecting,
            limit=0,
            keepalive_timeout=self.options.keepalive_s,
            socket_factory=self._make_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            max_headers=_MAX_HEADERS,
            skip_auto_headers=_OWN_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),
        )

    def _make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        attempt = _attempt.get()
        if attempt is not None:
            attempt.dialled = True
        sock = socket.socket(*info[:3])
        try:
            for option in self.options.socket_options or ():
                sock.setsockopt(*option)
        except BaseException:
            sock.close()
            raise
        return sock

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        held = self._sessions.get(asyncio.get_running_loop())
        if held is not None:
            await held.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncTransport on aiohttp, {len(self._sessions)} loops>"


def _is_stale(error: Exception) -> bool:
    """Whether a kept connection was closed before anything of an answer came."""
    import aiohttp

    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)  # else it is the head, as far as it came
    return isinstance(error, (aiohttp.ClientOSError, ConnectionError)) and not (
        isinstance(error, aiohttp.ClientConnectorError)
    )


def _explain(
    error: Exception, route: Route, limits: Limits, attempt: _Attempt
) -> CerebrasConnectionError:
    import aiohttp

    now = asyncio.get_running_loop().time()
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return map_error(limits.connect_passed(now), route)
    if is_system_timeout(error):
        return map_error(limits.passed(now), route)
    return map_error(error, route, connecting=attempt.connecting)
