"""`Upstreams`: connections to the services that requests are sent to.

aiohttp dials, keeps and closes connections, speaks TLS and finds its way through
HTTP proxies; llhttp, by httptools, reads what comes on them. aiohttp's session, with
which a request costs four times as much, is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import get_env_proxy_for_url
from yarl import URL

from langchain_cerebras_ext.errors import MissingExtraError

try:
    import httptools
except ImportError as error:  # pragma: no cover - the tests' environment has it
    _msg = (
        "The proxy needs an extra: pip install 'langchain-cerebras-ext[proxy]' "
        f"({error.name} is missing)."
    )
    raise MissingExtraError(_msg) from error

if TYPE_CHECKING:
    from functools import partial

    from aiohttp.connector import Connection

    from langchain_cerebras_ext.proxy.exchange import ErrorCategory
    from langchain_cerebras_ext.proxy.lifecycle import Watch
    from langchain_cerebras_ext.proxy.refusal import Headers
    from langchain_cerebras_ext.proxy.settings import Settings, Upstream

__all__ = ["Answer", "Target", "UpstreamError", "Upstreams"]

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_MAX_HEAD_BYTES: Final = 128 * 1024
_MUCH_BYTES: Final = 64 * 1024  # that nobody has taken yet
_HINTS: Final = range(100, 200)
_NO_LIMITS: Final = aiohttp.ClientTimeout(total=None)
_MAX_STALE: Final = 2
_MAX_KEEP_ALIVE_S: Final = 55.0  # load balancers close idle ones after a minute
_CONNECTION: Final = "upstream_connection"
_INTERRUPTED: Final = "upstream_interrupted"
_JOINED_BYTES: Final = 64 * 1024  # sent in one piece with the head


class UpstreamError(Exception):
    """An upstream gave no whole answer.

    Attributes:
        category: As logs and metrics call it.
        message: What happened, as the end of a sentence; without addresses and keys.
        moves_on: Whether another upstream may do better.
    """

    moves_on = True

    def __init__(self, category: ErrorCategory, message: str) -> None:
        super().__init__(message)
        self.category: ErrorCategory = category
        self.message = message


class _StaleError(UpstreamError):
    """A kept connection turned out to be closed before anything of an answer came."""


class Answer:
    """One answer, as far as it has come.

    Attributes:
        status: 0 before the head has come.
        headers: Names in lower case; all that came.
        ended: It has come whole.
    """

    __slots__ = (
        "_connection",
        "_error",
        "_is_open_ended",
        "_line",
        "_paused",
        "_pieces",
        "_size",
        "_waiter",
        "ended",
        "headers",
        "received",
        "status",
    )

    def __init__(self, line: _Line, connection: Connection) -> None:
        self.status = 0
        self.headers: Headers = []
        self.ended = False
        self.received = 0  # bytes before the head was whole
        self._line = line
        self._connection: Connection | None = connection
        self._error: UpstreamError | None = None
        self._is_open_ended: bool | None = None
        self._paused = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_open_ended(self) -> bool:
        """Whether only the connection's end tells the body's."""
        if self._is_open_ended is None:
            return not any(name in _FRAMING for name, _ in self.headers)
        return self._is_open_ended

    def forget_headers(self) -> None:
        """Let go of the headers: a stream may be long, and streams many."""
        self._is_open_ended = self.is_open_ended
        self.headers = []

    @property
    def has_more(self) -> bool:
        """Whether something has come that was not taken yet."""
        return bool(self._pieces)

    async def head(self) -> None:
        """Wait for the head.

        Raises:
            UpstreamError: None came.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def ready(self) -> None:
        """Wait for something of the body, or its end.

        Raises:
            UpstreamError: It broke off before.
        """
        while not self._pieces and not self.ended:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self) -> bytes:
        """Return what has come, or the next that comes; empty at the end.

        Raises:
            UpstreamError: The rest will not come; all that came was returned before.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            await self._wait()
        return self.take()

    def peek(self) -> bytes:
        """Return what has come and was not taken, and leave it there."""
        pieces = self._pieces
        if len(pieces) > 1:
            pieces[:] = [b"".join(pieces)]
        return pieces[0] if pieces else b""

    def take(self) -> bytes:
        """Return what has come and was not taken yet."""
        pieces = self._pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._line.go_on()
        return data

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Let whoever waits look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def add(self, data: bytes) -> None:
        """Take what came of the body."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _MUCH_BYTES and not self._paused and not self.ended:
            self._paused = True
            self._line.hold()

    def fail(self, error: UpstreamError) -> None:
        """Note that no more will come."""
        if self._error is None and not self.ended:
            self._error = error
            self.wake()

    def release(self) -> None:
        """Let go of the connection; it serves again if the answer has come whole.

        May be called again.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        line = self._line
        line.answer = None
        if self.ended and line.is_reusable:
            if self._paused:
                self._paused = False
                line.go_on()
            connection.release()
        else:
            transport = line.transport
            connection.close()
            if transport is not None:
                transport.abort()  # at once, whatever of the request is still unsent


class _Line(ResponseHandler):
    """A connection, and the reader of what comes on it.

    Before the first request it is aiohttp's own, for tunnels through HTTP proxies.
    It takes nothing but answers to its requests: what comes unasked would else be
    somebody's answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.answer: Answer | None = None
        self.asked = 0
        self._parser_: Any = None
        self._fields: Headers = []
        self._hint = False
        self._is_kept = False  # as the last answer says
        self._spoiled = False
        self._lost: BaseException | None = None

    @property
    def is_reusable(self) -> bool:
        """Whether it may serve another request."""
        transport = self.transport
        return (
            not self._spoiled
            and transport is not None
            and not transport.is_closing()
            and self._is_kept
            and not transport.get_write_buffer_size()
        )

    @property
    def should_close(self) -> bool:
        """Whether it must not be kept, as the pool asks."""
        return self._spoiled or self._should_close

    def is_connected(self) -> bool:
        """Whether it may serve, as the pool asks."""
        return not self._spoiled and super().is_connected()

    def ask(self, connection: Connection, head: bytes, body: bytes) -> Answer:
        """Send a request."""
        if self._parser_ is None:
            self._parser_ = httptools.HttpResponseParser(self)
        self.asked += 1
        answer = self.answer = Answer(self, connection)
        transport = self.transport
        if transport is None or transport.is_closing():
            answer.fail(self._closed_error(self._lost, _CONNECTION))
        elif len(body) <= _JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return answer

    def hold(self) -> None:
        """Read no more for a while."""
        if self.transport is not None:
            with contextlib.suppress(RuntimeError):
                self.transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self.transport is not None:
            with contextlib.suppress(RuntimeError):
                self.transport.resume_reading()

    # What the transport tells.

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if not self.asked:
            super().data_received(data)
            return
        answer = self.answer
        if answer is None or answer.ended:
            self._spoil()
            return
        if not answer.status:
            answer.received += len(data)
        try:
            self._parser_.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._spoil()
            answer.fail(_invalid("it is not HTTP/1.1"))
        else:
            if not answer.status and answer.received > _MAX_HEAD_BYTES:
                self._spoil()
                answer.fail(_invalid("its headers have no end"))
        answer.wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take note of the connection's end."""
        answer = self.answer
        self._lost = exc
        if answer is not None and not answer.ended:
            if exc is None and answer.status and answer.is_open_ended:
                answer.ended = True
                answer.wake()
            else:
                answer.fail(self._closed_error(exc))
        self._parser_ = None  # they hold each other
        super().connection_lost(exc)

    def _closed_error(
        self, exc: BaseException | None, category: ErrorCategory = _INTERRUPTED
    ) -> UpstreamError:
        answer = self.answer
        how = "closed" if exc is None else _reason(exc)
        if answer is not None and answer.status:
            message = f"its answer broke off ({how})"
            return UpstreamError(_INTERRUPTED, message)
        message = f"the connection ended before an answer ({how})"
        # If the request was sent, it may have been worked on, and billed.
        if self.asked > 1 and (answer is None or not answer.received):
            return _StaleError(category, message)
        return UpstreamError(category, message)

    def _spoil(self) -> None:
        self._spoiled = True
        if self.transport is not None:
            self.transport.abort()

    # What the parser tells.

    def on_message_begin(self) -> None:
        """See whether an answer is due."""
        if self.answer is None or self.answer.ended:
            self._spoiled = True
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the head."""
        status = self._parser_.get_status_code()
        self._hint = status in _HINTS
        answer = self.answer
        if self._hint or self._spoiled or answer is None:
            return
        answer.headers = self._fields
        self._fields = []  # what follows are trailers, which nobody asked for
        answer.status = status

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        answer = self.answer
        if answer is not None and not self._spoiled:
            answer.add(data)

    def on_message_complete(self) -> None:
        """Take note of the answer's end."""
        if not self._hint and not self._spoiled and self.answer is not None:
            self.answer.ended = True
            self._is_kept = self._parser_.should_keep_alive()


class Target:
    """An upstream, and what each request to it begins with.

    Attributes:
        name: What logs and metrics call it.
        model: Asked for there in place of the client's; `None` leaves it.
        secret: Its key; empty if it has none.
        url: The base URL.
        proxy: An HTTP proxy on the way, if there is one.
        proxy_auth: What that asks for.
    """

    def __init__(self, upstream: Upstream) -> None:
        url = URL(upstream.base_url, encoded=True)
        self.name = upstream.name
        self.model = upstream.model
        self.secret = (upstream.api_key or "").encode()
        self.url = url
        self._path = url.raw_path.rstrip("/").encode("latin-1")
        lines = [f"host: {_host(url)}", "accept-encoding: identity"]
        if upstream.api_key is not None:
            lines.append(f"authorization: Bearer {upstream.api_key}")
        self.proxy, self.proxy_auth = _find_proxy(upstream, url)
        if self.proxy is not None and url.scheme == "http":
            # There is no tunnel: the proxy is told the whole URL.
            self._path = str(url.origin()).encode("latin-1") + self._path
            if self.proxy_auth is not None:
                lines.append(f"proxy-authorization: {self.proxy_auth.encode()}")
        block = "".join(f"{line}\r\n" for line in lines)
        self._fixed = f" HTTP/1.1\r\n{block}".encode("latin-1")

    def head(self, method: bytes, path: bytes, headers: bytes) -> bytes:
        """Return a request's head.

        Args:
            method: HTTP's.
            path: What follows the base URL, with a query if there is one.
            headers: More lines, each with its end.
        """
        return b"%s %s%s%s%s\r\n" % (method, self._path, path, self._fixed, headers)

    def __repr__(self) -> str:
        """Return the name; never the key."""
        return f"<Target {self.name}>"


def _host(url: URL) -> str:
    host = url.host_subcomponent or ""
    return host if url.is_default_port() else f"{host}:{url.port}"


class Upstreams:
    """Connections to upstreams, kept for the next request.

    They belong to the event loop on which they were made; on another they are made
    anew.
    """

    def __init__(self, settings: Settings) -> None:
        self.targets = tuple(
            Target(one) for one in (settings.upstream, *settings.fallbacks)
        )
        self._first_byte_s = settings.first_byte_timeout_s
        self._keep_alive_s = min(settings.keep_alive_s, _MAX_KEEP_ALIVE_S)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connector: aiohttp.TCPConnector | None = None
        self._templates: dict[Target, aiohttp.ClientRequest] = {}

    async def ask(
        self,
        target: Target,
        head: bytes,
        body: bytes,
        watch: Watch,
        lost: list[tuple[str, ErrorCategory]],
    ) -> Answer:
        """Send a request, and return when the answer's head has come.

        A kept connection may turn out to have been closed before anything of the
        answer came: the server has most likely left the request unread, which is sent
        again. It may have been billed nevertheless, and so is noted.

        Args:
            target: Where to.
            head: The request's, with its end.
            body: The request's.
            watch: The exchange's: connecting has one time limit, the rest another.
            lost: Takes the tries that came to nothing.

        Raises:
            UpstreamError: No answer came.
        """
        tries = 0
        while True:
            connection = await self._connect(target, fresh=tries >= _MAX_STALE)
            line: Any = connection.protocol
            answer: Answer = line.ask(connection, head, body)
            watch.expect("first_byte", self._first_byte_s)
            try:
                await answer.head()
            except _StaleError as error:
                answer.release()
                tries += 1
                if error.category == _INTERRUPTED:
                    lost.append((target.name, error.category))
            except BaseException:
                answer.release()
                raise
            else:
                return answer

    async def _connect(self, target: Target, *, fresh: bool = False) -> Connection:
        loop = asyncio.get_running_loop()
        connector = self._connector
        if connector is None or self._loop is not loop:
            connector = self._start(loop)
        request = self._templates[target]
        while True:
            try:
                connection = await connector.connect(request, [], _NO_LIMITS)
            except (OSError, aiohttp.ClientError, ValueError) as error:
                message = f"it cannot be reached ({_reason(error)})"
                raise UpstreamError(_CONNECTION, message) from error
            if not fresh or not cast("_Line", connection.protocol).asked:
                return connection
            connection.close()

    def _start(self, loop: asyncio.AbstractEventLoop) -> aiohttp.TCPConnector:
        self._loop = loop
        self._connector = _make_connector(loop, self._keep_alive_s)
        self._templates = {one: _template(one, loop) for one in self.targets}
        return self._connector

    async def close(self) -> None:
        """Close all connections."""
        connector, self._connector = self._connector, None
        loop, self._loop = self._loop, None
        if connector is not None and loop is asyncio.get_running_loop():
            await connector.close()


def _make_connector(
    loop: asyncio.AbstractEventLoop, keep_alive_s: float
) -> aiohttp.TCPConnector:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=keep_alive_s)
    connector._factory = cast(  # noqa: SLF001 - as aiohttp's own tests do
        "partial[ResponseHandler]", lambda: _Line(loop)
    )
    return connector


def _template(target: Target, loop: asyncio.AbstractEventLoop) -> aiohttp.ClientRequest:
    """Return what aiohttp wants to know of a request to connect for it."""
    return aiohttp.ClientRequest(
        "POST",
        target.url,
        loop=loop,
        proxy=target.proxy,
        proxy_auth=target.proxy_auth,
    )


def _find_proxy(
    upstream: Upstream, url: URL
) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """Return the HTTP proxy on the way, as the environment names it."""
    if not upstream.is_local:
        with contextlib.suppress(LookupError):
            return get_env_proxy_for_url(url)
    return None, None


def _invalid(why: str) -> UpstreamError:
    return UpstreamError("upstream_invalid_answer", f"its answer is invalid: {why}")


def _reason(error: BaseException) -> str:
    """Say what went wrong, without addresses."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, (aiohttp.ClientConnectorCertificateError,)):
        return "its certificate is not accepted"
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return "TLS failed"
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, ConnectionResetError):
        return "connection reset"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return type(error).__name__
