"""uvicorn's HTTP protocols, made fit for clients that mean no good. Imports uvicorn.

uvicorn waits for ever for the head of a request, takes heads of any length, and cuts
clients off who are still sending when they are refused. It also answers HTTP/1.0 in
chunks, which that version does not know, and loses the body of a request that offers
HTTP/2. All of it is mended here; the rest of the work stays uvicorn's.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.proxy.refusal import Refusal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

__all__ = ["guarded"]

MAX_HEAD_BYTES: Final = 64 * 1024
LINGER_S: Final = 10.0
"""How long a client that was refused may go on sending, so that it reads the answer."""

_H2C: Final = b"h2c"
# Of HTTP/2's offer: the server may ignore it (RFC 7540, 3.2), uvicorn's parser cannot.
_OFFER: Final = re.compile(rb"(?im)^(?:upgrade|http2-settings):[^\r\n]*\r\n")
_HEAD_END: Final = b"\r\n\r\n"


def _tell_nobody(_: Refusal) -> None:
    """Take no note."""


def guarded(
    base: type[asyncio.Protocol],
    *,
    header_timeout_s: float,
    tell: Callable[[Refusal], object] = _tell_nobody,
) -> type[asyncio.Protocol]:
    """Return a protocol of uvicorn's, mended.

    Args:
        base: `HttpToolsProtocol` or `H11Protocol`.
        header_timeout_s: How long a request's head may take.
        tell: Told of each request that is refused here, and reaches no application.
    """
    mixin = _HttpTools if base.__name__ == "HttpToolsProtocol" else _Guard
    more = {"header_timeout_s": header_timeout_s, "tell": staticmethod(tell)}
    return type(f"Guarded{base.__name__}", (mixin, base), more)


class _Guard:
    """Closes a connection on which no head of a request is complete in time.

    A connection is waiting for a head whenever no answer is under way. Between two
    requests it is uvicorn's own timer that runs, until the first byte comes.
    """

    # Beyond 30 attributes an instance's dict takes five times the memory.
    __slots__ = ("_has_begun", "_timer")

    header_timeout_s: float
    tell: Callable[[Refusal], object]
    # Of the protocol that this is mixed with; it belongs to another library.
    transport: Any
    loop: Any
    cycle: Any
    server_state: Any

    _has_begun: bool
    _timer: asyncio.TimerHandle | None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        self._has_begun = False
        self._base.connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Take in what came; wait for the rest of a head, and no longer."""
        self._has_begun = True
        self._base.data_received(data)
        if self._is_answering():
            self._stop_timer()
        elif self._timer is None:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_timer()
        self._base.connection_lost(exc)

    @property
    def _base(self) -> Any:
        return super()

    def _is_answering(self) -> bool:
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.header_timeout_s, self._is_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        self._timer = None
        if self._is_answering() or self.transport.is_closing():
            return
        # Who opens connections ahead of need, as browsers do, expects no answer there.
        if self.cycle is None and self._has_begun:
            limit = f"{self.header_timeout_s:g}"
            msg = f"The request's headers were not complete within {limit} s."
            self._refuse(
                Refusal(408, msg, code="request_timeout", category="client_timeout")
            )
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what is no request, and close.

        Amid the answer to the one before it nothing can be said: that one is ended.
        """
        self.tell(refusal)
        if self._is_answering() and self.cycle.response_started:
            self.cycle.keep_alive = False
            self.transport.pause_reading()
            return
        body = refusal.body()
        phrase = HTTPStatus(refusal.status).phrase.encode()
        head = [b"HTTP/1.1 %d %s\r\n" % (refusal.status, phrase)]
        head += [b"%s: %s\r\n" % pair for pair in self.server_state.default_headers]
        head.append(
            b"content-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n" % len(body)
        )
        self.transport.write(b"".join(head) + body)
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(Refusal(400, msg, code="invalid_http", category="bad_request"))


class _HttpTools(_Guard):
    """What is to be mended of uvicorn's protocol on httptools beyond that."""

    __slots__ = ("_head_bytes", "_is_in_body")

    scope: Any
    flow: Any
    transport: _Door

    _head_bytes: int
    _is_in_body: bool

    def connection_made(self, transport: Any) -> None:
        """Let answers pass through a door that closes slowly."""
        self._head_bytes = 0
        self._is_in_body = False
        super().connection_made(_Door(self, transport))

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nobody any longer."""
        self.transport.lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound the head, and leave HTTP/2's offer out of it."""
        if not self._is_in_body:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()
                return
            self._head_bytes += len(data)
            if _H2C in data:
                data = _without_offer(data)
        super().data_received(data)

    def _refuse_head(self) -> None:
        if self._is_answering():  # the one before it, whose answer is not to be cut
            self.cycle.keep_alive = False
            self.transport.pause_reading()
        elif not self.transport.is_closing():
            msg = f"The request's headers exceed {MAX_HEAD_BYTES} bytes."
            refusal = Refusal(
                431, msg, code="headers_too_large", category="payload_too_large"
            )
            self._refuse(refusal)

    def on_headers_complete(self) -> None:
        """Speak to clients of HTTP/1.0 as they understand it."""
        self._head_bytes = 0
        self._is_in_body = True
        if not self._is_answering():
            self.transport.keep_head()
        self._base.on_headers_complete()
        if self.scope["http_version"] == "1.0":
            _speak_plainly(self.cycle)

    def on_message_complete(self) -> None:
        """Note that a head comes next."""
        self._is_in_body = False
        self._base.on_message_complete()
        self.transport.end()

    @property
    def is_being_sent_to(self) -> bool:
        """Whether the client has not yet sent all of its request."""
        return self._is_in_body


class _Door:
    """A connection as uvicorn sees it: it waits a moment, and is not slammed.

    uvicorn writes the head of an answer by itself. It is kept until the body's first
    part comes, or the loop's next turn: one call of the system does for both, and
    wakes the client once.

    What has been sent and was not read when a socket is closed makes the kernel reset
    the connection, and the client may lose the answer. So a client that is still
    sending is listened to for a while, after it was told that no more will come.
    """

    def __init__(self, protocol: _HttpTools, transport: Any) -> None:
        self._protocol = protocol
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._kept: bytes | None = None
        # Not wrapped but for the first one: writing is what costs.
        self._write: Callable[[bytes], None] = transport.write
        self.write = self._write
        self.pause_reading: Callable[[], None] = transport.pause_reading
        self.resume_reading: Callable[[], None] = transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        """Return anything else of the connection."""
        return getattr(self._transport, name)

    def keep_head(self) -> None:
        """Keep what is written next, to be sent with what comes after it."""
        self.write = self._keep

    def _keep(self, data: bytes) -> None:
        self.flush()
        self._kept = data
        self.write = self._join
        self._protocol.loop.call_soon(self.flush)

    def _join(self, data: bytes) -> None:
        kept, self._kept = self._kept, None
        self.write = self._write
        self._write(data if kept is None else kept + data)

    def flush(self) -> None:
        """Send what was kept, if it was not sent."""
        if self._kept is not None:
            self._join(b"")

    def is_closing(self) -> bool:
        """Whether no more will be sent."""
        return self._timer is not None or self._transport.is_closing()

    def close(self) -> None:
        """Close, now or when the client has ended or its time is over."""
        protocol, transport = self._protocol, self._transport
        self.flush()
        if self._timer is not None or transport.is_closing():
            return
        listens = protocol.is_being_sent_to and transport.can_write_eof()
        if listens or transport.get_write_buffer_size():
            # A client that takes nothing would keep what is unsent for ever.
            self._timer = protocol.loop.call_later(LINGER_S, transport.abort)
        if listens:
            transport.write_eof()
            protocol.flow.resume_reading()
        else:
            transport.close()

    def lost(self) -> None:
        """Note that it is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        """Close if that was only put off: the client has sent all."""
        if self._timer is not None:
            self._transport.close()


def _without_offer(data: bytes) -> bytes:
    """Return a request without HTTP/2's offer; one whose head is cut stays as it is."""
    head, end, rest = data.partition(_HEAD_END)
    return _OFFER.sub(b"", head + b"\r\n") + b"\r\n" + rest if end else data


def _speak_plainly(cycle: Any) -> None:
    """Let an answer without a length end with the connection.

    uvicorn would send it in chunks; it is told that the length is known, and that
    there is always more of it.
    """
    send: Callable[[Any], Awaitable[None]] = cycle.send

    async def send_plainly(message: Any) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            if not names & {b"content-length", b"transfer-encoding"}:
                cycle.chunked_encoding = False
                cycle.expected_content_length = float("inf")
        elif cycle.expected_content_length == float("inf") and not message.get(
            "more_body", False
        ):
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.send = send_plainly
