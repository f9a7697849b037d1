"""HTTP for the simulator: reading bodies, sending replies, noticing who left."""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from langchain_cerebras_ext.simulator import faults
from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_object,
)
from langchain_cerebras_ext.simulator.encode import encode_error_event
from langchain_cerebras_ext.simulator.faults import RefusedError
from langchain_cerebras_ext.simulator.pace import ClientGoneError, Pace, Watch

if TYPE_CHECKING:
    from langchain_cerebras_ext.simulator.clock import Clock
    from langchain_cerebras_ext.simulator.engine import Reply
    from langchain_cerebras_ext.simulator.records import RecordedRequest

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_BYTES_MAX = 64 * 1024 * 1024
UPLOAD_BYTES_MAX = 210 * 1024 * 1024
_MSGPACK = frozenset(
    {"application/vnd.msgpack", "application/msgpack", "application/x-msgpack"}
)
_YIELD_EVERY = 16
_BUFFERED_MAX = 256 * 1024


def read_headers(scope: Scope) -> dict[str, str]:
    """Return the request's headers, names in lower case."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope["headers"]
    }


async def read_body(receive: Receive, limit: int = BODY_BYTES_MAX) -> bytes:
    """Read a request's body.

    Raises:
        RefusedError: It is larger than the limit (413).
        ClientGoneError: The client left before it was complete.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            text = f"Request body is too large: the limit is {limit} bytes."
            raise RefusedError(faults.too_large(text))
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def decode_body(raw: bytes, headers: Mapping[str, str]) -> JsonObject:
    """Decode a JSON or msgpack body, gzipped or not.

    Raises:
        RefusedError: Type or encoding are not known (415), or the bytes are not what
            the headers say, or no object (400).
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "gzip":
        raw = _decompress(raw)
    elif encoding != "identity":
        text = f"Content-Encoding '{encoding}' is not supported; use gzip."
        raise RefusedError(faults.flat(415, text, param="content-encoding"))
    kind = headers.get("content-type", "application/json").partition(";")[0]
    kind = kind.strip().lower()
    try:
        if kind in _MSGPACK:
            decoded: Any = msgspec.msgpack.decode(raw)
        elif kind == "application/json":
            decoded = msgspec.json.decode(raw)
        else:
            text = (
                f"Content-Type '{kind}' is not supported; "
                "use application/json or application/vnd.msgpack."
            )
            raise RefusedError(faults.flat(415, text, param="content-type"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        name = "msgpack" if kind in _MSGPACK else "JSON"
        text = f"The request body is not valid {name}: {error}"
        raise RefusedError(faults.flat(400, text, param="body")) from error
    body = as_object(decoded)
    if body is None:
        raise RefusedError(
            faults.flat(400, "The request body must be an object.", param="body")
        )
    return body


def _decompress(raw: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
            data = packed.read(BODY_BYTES_MAX + 1)
    except (OSError, EOFError, zlib.error) as error:
        text = "The request body is not valid gzip."
        raise RefusedError(faults.flat(400, text, param="content-encoding")) from error
    if len(data) > BODY_BYTES_MAX:
        raise RefusedError(faults.too_large("The unpacked body is too large."))
    return data


async def send_reply(
    reply: Reply,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    clock: Clock,
    record: RecordedRequest,
) -> None:
    """Send a reply at its pace.

    Raises:
        ClientGoneError: The client left before the end.
    """
    watch = Watch(receive)
    record.status = reply.status
    try:
        before = reply.delivery.delay_s + reply.wait_s
        if reply.events is None:
            await watch.sleep(clock, before + reply.rest_s)
            await _send_plain(reply, scope, send)
        else:
            await watch.sleep(clock, before)
            await _send_events(reply, scope, send, watch, clock, record)
    finally:
        watch.close()


async def _send_plain(reply: Reply, scope: Scope, send: Send) -> None:
    length = str(len(reply.body))
    await _send_start(reply, send, {"content-length": length})
    if reply.delivery.cut_after is not None:
        half = reply.body[: len(reply.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _cut(scope)
        return
    await send({"type": "http.response.body", "body": reply.body})


async def _send_start(reply: Reply, send: Send, extra: Mapping[str, str]) -> None:
    headers = {"content-type": reply.content_type, **reply.headers, **extra}
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1", "replace"))
                for name, value in headers.items()
            ],
        }
    )


async def _send_events(
    reply: Reply,
    scope: Scope,
    send: Send,
    watch: Watch,
    clock: Clock,
    record: RecordedRequest,
) -> None:
    """Send each event as one HTTP chunk."""
    delivery = reply.delivery
    pace = Pace(clock, reply.tokens_per_s) if reply.tokens_per_s else None
    await _send_start(reply, send, {})
    chunks = _Chunks(scope, send)
    for count, (tokens, event) in enumerate(reply.events or ()):
        if delivery.cut_after is not None and count >= delivery.cut_after:
            chunks.flush()
            await _cut(scope)
            return
        if delivery.fault is not None and count >= delivery.fault_after:
            chunks.flush()
            failed = encode_error_event(delivery.fault, named=delivery.fault_named)
            await send({"type": "http.response.body", "body": failed})
            return
        wait = delivery.event_delay_s + (pace.wait_s(tokens) if pace else 0.0)
        if wait:
            await watch.sleep(clock, wait)
        elif count % _YIELD_EVERY == _YIELD_EVERY - 1:
            chunks.flush()
            await asyncio.sleep(0)
        watch.check()
        await chunks.write(event)
        record.events_sent += 1
        if pace or delivery.event_delay_s:
            chunks.flush()
    chunks.flush()
    await send({"type": "http.response.body", "body": b""})


class _Chunks:
    """Writes events, each as one HTTP chunk.

    A server's own way to write costs ten times what an event does. Where the
    connection is known to be HTTP/1.1 with chunked framing, chunks are framed here
    and several of them handed to the connection at once; a client that reads too
    slowly is waited for in the server's way.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        state = scope.get("state", {})
        framed = state.get("raw_chunks") and scope.get("http_version") == "1.1"
        self._transport: Any = state.get("transport") if framed else None
        self._send = send
        self._pending: list[bytes] = []
        self._first = True

    async def write(self, event: bytes) -> None:
        """Write one event, now or at the next `flush`."""
        transport = self._transport
        # The first one goes the server's way, behind the headers.
        if (
            transport is None
            or self._first
            or not event
            or transport.get_write_buffer_size() > _BUFFERED_MAX
        ):
            self._first = False
            self.flush()
            message = {"type": "http.response.body", "body": event, "more_body": True}
            await self._send(message)
        else:
            self._pending.append(b"%x\r\n%b\r\n" % (len(event), event))

    def flush(self) -> None:
        """Hand what is waiting to the connection."""
        if self._pending and not self._transport.is_closing():
            self._transport.write(b"".join(self._pending))
        self._pending.clear()


async def _cut(scope: Scope) -> None:
    """Close the connection as a failing server does: without the proper end."""
    transport = scope.get("state", {}).get("transport")
    if transport is None:  # Another server than ours; ending early is the next best.
        return
    transport.close()
    # Let the server see it, so that it does not take the missing end for a mistake.
    for _ in range(3):
        await asyncio.sleep(0)
