"""The connection beneath a request: what the HTTP server writes can be held back.

A server's own rules do not let an application break HTTP. So the application lets the
server write a proper answer, catches the bytes, and sends of them what it wants; the
server believes all is well, and goes on with the next request or a closed connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_cerebras_ext.simulator.pace import ClientGoneError

if TYPE_CHECKING:
    from langchain_cerebras_ext.simulator.engine import Reply
    from langchain_cerebras_ext.simulator.pace import Watch

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Ending: TypeAlias = Literal["close", "reset"]

_LINGER_NOT = struct.pack("ii", 1, 0)
_FLUSH_S = 0.002


class Wire:
    """A connection as the HTTP server sees it: a transport that can be held.

    Args:
        transport: The connection.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None
        self._close_wanted = False

    def __getattr__(self, name: str) -> Any:
        """Return what the transport itself has."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or keep what the server writes while it is held."""
        if self._held is None:
            self._transport.write(data)
        else:
            self._held.append(bytes(data))

    def close(self) -> None:
        """Close once everything is written, or when the hold ends."""
        if self._held is None:
            self._transport.close()
        else:
            self._close_wanted = True

    def hold(self) -> None:
        """Keep back what is written from now on."""
        self._held = []

    def take(self) -> bytes:
        """End the hold, and return what was kept."""
        held, self._held = self._held or [], None
        return held[0] if len(held) == 1 else b"".join(held)

    def write_held(self) -> None:
        """End the hold, and write what was kept."""
        data = self.take()
        if data:
            self._transport.write(data)
        self.close_if_wanted()

    def close_if_wanted(self) -> None:
        """Close if the server wanted to while it was held."""
        if self._close_wanted:
            self._transport.close()

    def reset(self) -> None:
        """End the connection with a reset, not with a proper end."""
        if self._transport.is_closing():
            return
        raw: Any = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()


class Exchange:
    """The sending side of one request.

    Args:
        scope: The request's ASGI scope.
        send: Its ASGI channel.

    Attributes:
        wire: The connection; None on another server than ours, where an answer can
            only be left unfinished.
        framed: Whether chunks can be framed here, on `transport`.
        transport: The connection, held or not; None if it is not known.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        state = scope.get("state", {})
        modern = scope.get("http_version") == "1.1"
        self.transport: Any = state.get("transport")
        self.wire = self.transport if isinstance(self.transport, Wire) else None
        self.framed = bool(state.get("raw_chunks")) and modern
        self.send = send

    async def start(self, reply: Reply, extra: Mapping[str, str]) -> None:
        """Send status and headers."""
        headers = {"content-type": reply.content_type, **reply.headers, **extra}
        await self.send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [
                    (name.encode("latin-1"), value.encode("latin-1", "replace"))
                    for name, value in headers.items()
                ],
            }
        )

    async def body(self, data: bytes = b"", *, more: bool = False) -> None:
        """Send some of the body, or its end."""
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def head(self, reply: Reply, extra: Mapping[str, str]) -> bytes:
        """Return the bytes of status and headers, which are not sent."""
        wire = self.wire_now
        wire.hold()
        try:
            await self.start(reply, extra)
        finally:
            head = wire.take()
        return head

    async def swallow(self, data: bytes, *, more: bool) -> None:
        """Let the server believe that some of the body, or its end, was sent."""
        wire = self.wire_now
        wire.hold()
        try:
            await self.body(data, more=more)
        finally:
            wire.take()

    async def end(self, how: Ending, watch: Watch, *, started: bool = True) -> None:
        """End the connection, now, whatever is missing of the answer.

        Args:
            how: Properly or with a reset.
            watch: Tells whether the client has gone.
            started: Whether the server has written a head.

        Raises:
            ClientGoneError: The client left before that.
        """
        wire = self.wire
        if wire is None:
            return  # On another server the answer is left unfinished.
        if how == "reset":
            # A reset drops what is not yet written.
            while wire.get_write_buffer_size() and not watch.gone:  # noqa: ASYNC110 - a transport tells nobody
                await asyncio.sleep(_FLUSH_S)
        left_already = wire.is_closing()
        if how == "reset":
            wire.reset()
        else:
            wire.close()
        wire.hold()
        try:
            if not started:
                await self.send(
                    {
                        "type": "http.response.start",
                        "status": 200,
                        "headers": [(b"content-length", b"0")],
                    }
                )
            await self.body()
        finally:
            wire.take()
        if left_already:
            raise ClientGoneError

    @property
    def wire_now(self) -> Wire:
        """The connection, where it is known to be ours."""
        if self.wire is None:
            msg = "this needs the simulator's own server"
            raise NotImplementedError(msg)  # such faults need the raw connection
        return self.wire
