"""The asynchronous transport: aiohttp, one session for each event loop.

A session belongs to its loop. It is closed when the loop shuts its asynchronous
generators down, as `asyncio.run` does at its end, so that many short-lived loops leave
nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any, Self

from langchain_cerebras_ext._http._errors import connection_error, map_error
from langchain_cerebras_ext._http._limits import LimitError, Limits
from langchain_cerebras_ext._http._route import Router, read_environment
from langchain_cerebras_ext._http._tls import TlsContexts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    import aiohttp

    from langchain_cerebras_ext._http._options import Timeouts, TransportOptions
    from langchain_cerebras_ext._http._route import Environment, Route

__all__ = ["AsyncResponse", "AsyncTransport"]

_INFINITE = float("inf")
_READ_BUFFER_BYTES = 256 * 1024


class AsyncResponse:
    """An answer whose head has come.

    Read it to its end, or close it; its connection is kept for the next call only in
    the first case.

    Attributes:
        status: The HTTP status, whichever it is.
        headers: By lower-case name.
    """

    __slots__ = (
        "_alarm",
        "_late",
        "_limits",
        "_max_bytes",
        "_raw",
        "_route",
        "headers",
        "status",
    )

    def __init__(
        self, raw: aiohttp.ClientResponse, route: Route, limits: Limits, max_bytes: int
    ) -> None:
        self.status: int = raw.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in raw.headers.items()
        }
        self._raw = raw
        self._route = route
        self._limits = limits
        self._max_bytes = max_bytes
        self._late = False
        self._alarm: asyncio.TimerHandle | None = None
        if limits.deadline != _INFINITE:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_at(limits.deadline, self._expire)

    def _expire(self) -> None:
        """End the call from outside: whoever reads gets an error at once."""
        self._late = True
        self._raw.close()

    async def read(self) -> bytes:
        """Return the whole body."""
        pieces: list[bytes] = []
        size = 0
        async with contextlib.aclosing(self.iter_raw()) as parts:
            async for piece in parts:
                pieces.append(piece)
                size += len(piece)
                if size > self._max_bytes:
                    text = f"The answer is longer than {self._max_bytes} bytes"
                    raise connection_error(kind="protocol", text=text)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def iter_raw(self) -> AsyncGenerator[bytes]:
        """Yield what has come, decoded; never waits for more."""
        content = self._raw.content
        started = False
        try:
            while data := await content.readany():
                if not started:
                    started = True
                    self._body_started()
                yield data
        except Exception as error:
            if not _is_engine_error(error):
                raise
            raise self._explain(error) from error
        finally:
            await self.aclose()
        if self._late:
            raise self._explain(None)

    def _body_started(self) -> None:
        self._limits.body_started()
        connection = self._raw.connection
        if connection is not None and connection.protocol is not None:
            idle_s = self._limits.idle_s
            protocol: Any = connection.protocol
            protocol.read_timeout = None if idle_s == _INFINITE else idle_s

    def _explain(self, error: Exception | None) -> Exception:
        now = asyncio.get_running_loop().time()
        if self._late:
            return map_error(self._limits.passed(_INFINITE), self._route)
        if error is None or isinstance(error, TimeoutError):
            return map_error(self._limits.passed(now), self._route)
        return map_error(error, self._route)

    async def finish(self, grace_s: float = 0.05) -> None:
        """Let go of a stream whose end was announced.

        The rest, usually five bytes, is read if it is there or comes at once; the
        connection can then serve the next call. Otherwise it is dropped.
        """
        content = self._raw.content
        if not content.is_eof():
            with contextlib.suppress(Exception):
                async with asyncio.timeout(grace_s):
                    await content.readany()
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connection, if it is still held; may be called twice."""
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()
        # At the body's end aiohttp has put the connection back by itself.
        self._raw.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncResponse {self.status} from {self._route}>"


def _is_engine_error(error: Exception) -> bool:
    import aiohttp

    return isinstance(error, (OSError, LimitError, ValueError, aiohttp.ClientError))


class _Session:
    """A session, and the generator by which its loop closes it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.keeper = _close_at_the_end(session)

    async def close(self) -> None:
        await self.keeper.aclose()


async def _close_at_the_end(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await session.close()


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
        self._sessions: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, _Session
        ] = weakref.WeakKeyDictionary()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
    ) -> AsyncResponse:
        """Send a request, and return when the answer's head has come.

        Any status is returned, redirects too; nothing is sent twice.

        Raises:
            CerebrasConnectionError: No answer came; `kind` says why.
            CerebrasTimeoutError: None came in time.
            CerebrasConfigurationError: The URL or a bundle of certificates cannot be
                used.
        """
        import aiohttp
        from yarl import URL

        route = self._router.find(url)
        loop = asyncio.get_running_loop()
        limits = Limits(timeouts, loop.time())
        session = await self._session(loop)
        idle_s = None if limits.idle_s == _INFINITE else limits.idle_s
        settings: dict[str, Any] = {}
        if route.server.tls:
            settings["ssl"] = self._contexts.get(self.options.verify, self._environment)
        if route.proxy_url is not None:
            settings["proxy"] = route.proxy_url
            settings["proxy_headers"] = route.proxy_headers()
        try:
            async with asyncio.timeout(None) as whole:
                if limits.deadline != _INFINITE:
                    whole.reschedule(limits.deadline)
                raw = await session.request(
                    method,
                    URL(url, encoded=True),
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        # To a connection that is ready: also TLS and the proxy.
                        connect=limits.connect_s,
                        sock_read=idle_s,
                    ),
                    **settings,
                )
        except Exception as error:
            if not _is_engine_error(error):
                raise
            raise _explain(error, route, limits, expired=whole.expired()) from error
        return AsyncResponse(raw, route, limits, self.options.max_body_bytes)

    async def _session(self, loop: asyncio.AbstractEventLoop) -> aiohttp.ClientSession:
        held = self._sessions.get(loop)
        if held is None or held.session.closed:
            held = _Session(self._make_session())
            self._sessions[loop] = held
            # Started, it is known to the loop, which closes it at its end.
            await anext(held.keeper)
        return held.session

    def _make_session(self) -> aiohttp.ClientSession:
        import aiohttp

        options = self.options
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=options.keepalive_s,
            socket_factory=self._socket if options.socket_options else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            read_bufsize=_READ_BUFFER_BYTES,
            skip_auto_headers=("Accept-Encoding",),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    def _socket(self, info: Any) -> Any:
        import socket

        sock = socket.socket(info[0], info[1], info[2])
        for option in self.options.socket_options or ():
            sock.setsockopt(*option)
        return sock

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        held = self._sessions.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.close()

    def __repr__(self) -> str:
        return f"<AsyncTransport on aiohttp, {len(self._sessions)} loops>"


def _explain(
    error: Exception, route: Route, limits: Limits, *, expired: bool
) -> Exception:
    import aiohttp

    if expired:
        return map_error(limits.passed(_INFINITE), route)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return map_error(
            limits.connect_passed(asyncio.get_running_loop().time()), route
        )
    if isinstance(error, TimeoutError):
        return map_error(limits.passed(asyncio.get_running_loop().time()), route)
    early = isinstance(
        error, (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError)
    )
    return map_error(error, route, connecting=early)
