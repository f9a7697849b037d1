"""Replies on their way out: at their pace, in odd forms, broken by a fault."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from langchain_cerebras_ext.simulator import faults
from langchain_cerebras_ext.simulator.connection import (
    Ending,
    Exchange,
    Scope,
    Send,
)
from langchain_cerebras_ext.simulator.damage import Break, cut_offset
from langchain_cerebras_ext.simulator.network_faults import GARBAGE
from langchain_cerebras_ext.simulator.odd import CHUNK_FORMS, INTERIM, OddFraming
from langchain_cerebras_ext.simulator.pace import Pace, Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from langchain_cerebras_ext.simulator.clock import Clock
    from langchain_cerebras_ext.simulator.engine import Reply
    from langchain_cerebras_ext.simulator.records import RecordedRequest

_YIELD_EVERY: Final = 16
_BUFFERED_MAX: Final = 256 * 1024
_STALLS: Final = frozenset({"stall_before_headers", "stall_in_body", "stall_stream"})
_RESETS: Final = frozenset({"reset_before_headers", "reset_in_body", "reset_stream"})
_OWN_SERVER: Final = frozenset(
    {
        "close_before_headers",
        "reset_before_headers",
        "garbage",
        "cut_headers",
        "drip_headers",
    }
)


async def send_reply(
    reply: Reply,
    scope: Scope,
    receive: Callable[[], Awaitable[Any]],
    send: Send,
    *,
    clock: Clock,
    record: RecordedRequest,
) -> bool:
    """Send a reply at its pace, and say whether it was sent to its end.

    Raises:
        ClientGoneError: The client left before the end.
    """
    exchange = Exchange(scope, send)
    reply = _possible(reply, exchange)
    if _is_simple(reply):
        # Nobody is watched who need not be waited for.
        await _send_at_once(reply, exchange, record)
        return True
    watch = Watch(receive)
    try:
        return await _Sending(reply, exchange, watch, clock, record).run()
    finally:
        watch.close()


def _possible(reply: Reply, exchange: Exchange) -> Reply:
    """Return the reply, or the news that this server cannot send it like that."""
    wanted = {*reply.delivery.odd} & {*CHUNK_FORMS, *INTERIM}
    names: set[str] = {*wanted}
    if reply.damage is not None:
        names |= {reply.damage.name} & _OWN_SERVER
    if exchange.wire is not None or not names:
        return reply
    told = (
        f"'{min(names)}' needs the server that `Simulator` starts; it cannot be "
        "done through another ASGI server."
    )
    return type(reply).from_fault(faults.wrapped(500, told))


def _is_simple(reply: Reply) -> bool:
    waits = reply.wait_s + reply.rest_s + reply.delivery.delay_s > 0
    broken = reply.damage is not None and reply.damage.kind.stage in {"head", "body"}
    return reply.events is None and not (waits or broken or reply.delivery.odd)


async def _send_at_once(
    reply: Reply, exchange: Exchange, record: RecordedRequest
) -> None:
    record.status = reply.status
    _note_damage(reply, record)
    _note_delivered(reply)
    length = {"content-length": str(len(reply.body))}
    if exchange.wire is None:
        await exchange.start(reply, length)
        await exchange.body(reply.body)
        return
    # Head and body in one write: half the system calls.
    exchange.wire.hold()
    try:
        await exchange.start(reply, length)
        await exchange.body(reply.body)
    finally:
        exchange.wire.write_held()


def _note_damage(reply: Reply, record: RecordedRequest) -> None:
    if reply.damage is not None:
        record.fault = reply.damage.name


def _note_delivered(reply: Reply) -> None:
    """Note that the rest is on its way; before it is, for whoever looks then."""
    if reply.meter is not None:
        reply.meter.delivered = reply.damage is None or reply.damage.kind.whole


class _Sending:
    """One reply on its way out."""

    def __init__(
        self,
        reply: Reply,
        exchange: Exchange,
        watch: Watch,
        clock: Clock,
        record: RecordedRequest,
    ) -> None:
        self._reply = reply
        self._exchange = exchange
        self._watch = watch
        self._clock = clock
        self._record = record
        odd = CHUNK_FORMS & set(reply.delivery.odd)
        self._framing = OddFraming(odd) if odd and exchange.framed else None
        self._fault = None if reply.damage is None else reply.damage.name
        self._drips = self._fault == "drip"
        self._head_sent = False

    async def run(self) -> bool:
        """Send it, and say whether it was sent to its end."""
        reply = self._reply
        _note_damage(reply, self._record)
        rest_s = reply.rest_s if reply.events is None else 0.0
        before = reply.delivery.delay_s + reply.wait_s + rest_s
        await self._watch.sleep(self._clock, before)
        if self._fault == "stall_before_headers":
            await self._pause()
        if not await self._begin():
            return False
        self._head_sent = True
        return await (self._plain() if reply.events is None else self._stream())

    # ---------------------------------------------------------------------------- head

    async def _begin(self) -> bool:
        """Send the head; say whether more may follow."""
        exchange, fault = self._exchange, self._fault
        if fault in {"close_before_headers", "reset_before_headers", "garbage"}:
            if fault == "garbage":
                exchange.wire_now.write(GARBAGE)
            await self._end(started=False)
            return False
        for form in self._reply.delivery.odd:
            if form in INTERIM:
                exchange.wire_now.write(INTERIM[form])
        self._record.status = self._reply.status
        if fault in {"cut_headers", "drip_headers"}:
            return await self._broken_head()
        await exchange.start(self._reply, self._framing_headers())
        return True

    def _framing_headers(self) -> dict[str, str]:
        if self._framing is not None:
            return self._framing.headers
        if self._reply.events is None:
            return {"content-length": str(len(self._reply.body))}
        return {}

    async def _broken_head(self) -> bool:
        exchange, damage = self._exchange, self._reply.damage
        head = await exchange.head(self._reply, self._framing_headers())
        if damage is None or self._fault == "drip_headers":
            await self._drip(head)
            return True
        self._record.status = None
        exchange.wire_now.write(head[: cut_offset(damage, len(head))])
        if self._reply.events is None:
            await exchange.swallow(self._reply.body, more=True)
        await self._end()
        return False

    # ---------------------------------------------------------------------------- body

    async def _plain(self) -> bool:
        """Send a whole body, as far as it comes."""
        reply, place = self._reply, self._reply.place
        data = reply.body
        if self._framing is not None:
            data = self._framing.feed(data) + self._framing.finish()
        if self._exchange.wire is not None:
            # The server must have had all of what its headers announce.
            await self._exchange.swallow(
                b"" if self._framing else reply.body, more=True
            )
        if place is None:
            _note_delivered(reply)
            await self._put(data)
        elif self._drips:
            await self._drip(data[:-1])
            _note_delivered(reply)
            await self._put(data[-1:])
        else:
            await self._put(data[: place.offset])
            if self._fault not in _STALLS:
                await self._end()
                return False
            await self._pause()
            _note_delivered(reply)
            await self._put(data[place.offset :])
        await self._finish()
        return True

    async def _stream(self) -> bool:
        """Send the events of a stream, as far as they come."""
        reply, delivery, record = self._reply, self._reply.delivery, self._record
        place = reply.place
        strike = -1 if place is None or self._drips else place.index
        pace = Pace(self._clock, reply.tokens_per_s) if reply.tokens_per_s else None
        chunks = self._chunks()
        count = -1
        for count, (tokens, event, last) in enumerate(_with_last(reply.events or ())):
            rest = event
            if count == strike and place is not None:
                if not await self._strike(chunks, event, place):
                    return False
                rest = event[place.offset :]
            wait = delivery.event_delay_s + (pace.wait_s(tokens) if pace else 0.0)
            if wait:
                await self._watch.sleep(self._clock, wait)
            elif count % _YIELD_EVERY == _YIELD_EVERY - 1:
                chunks.flush()
                await asyncio.sleep(0)
            self._watch.check()
            if reply.meter is not None:
                reply.meter.sent += 1
            if last:
                _note_delivered(reply)
            await chunks.write(rest)
            record.events_sent += 1
            if pace or delivery.event_delay_s:
                chunks.flush()
        if (
            count < strike
            and place is not None
            and not await self._strike(chunks, b"", place)
        ):
            return False
        chunks.flush()
        await self._finish()
        return True

    def _chunks(self) -> _Chunks:
        if self._drips:
            return _DrippedChunks(self._exchange, self._framing, self._drip)
        if self._framing is not None:
            return _OddChunks(self._exchange.wire_now, self._framing)
        return _PlainChunks(self._exchange)

    async def _strike(self, chunks: _Chunks, event: bytes, place: Break) -> bool:
        """Break a stream at a place; say whether it goes on after all."""
        chunks.flush()
        stalls = self._fault in _STALLS
        if event and place.offset:
            await chunks.write_part(event, place.offset, whole=stalls)
            chunks.flush()
        if not stalls:
            await self._end()
            return False
        await self._pause()
        return True

    # --------------------------------------------------------------------------- means

    async def _put(self, data: bytes) -> None:
        """Send bytes as they are, where the connection is ours and the framing too."""
        exchange = self._exchange
        servers_framing = self._reply.events is not None and not exchange.framed
        if exchange.wire is None or (servers_framing and self._head_sent):
            await exchange.body(data, more=True)
        elif data:
            exchange.wire.write(data)

    async def _drip(self, data: bytes) -> None:
        """Send bytes one by one."""
        damage = self._reply.damage
        pause = (damage.pause_s if damage is not None else None) or 0.0
        for at in range(len(data)):
            await self._put(data[at : at + 1])
            await self._watch.sleep(self._clock, pause)

    async def _pause(self) -> None:
        damage = self._reply.damage
        if damage is None or damage.pause_s is None:
            await self._watch.wait_gone()
        await self._watch.sleep(self._clock, damage.pause_s)

    async def _end(self, *, started: bool = True) -> None:
        how: Ending = "reset" if self._fault in _RESETS else "close"
        await self._exchange.end(how, self._watch, started=started)

    async def _finish(self) -> None:
        """Tell the server that the answer is complete."""
        wire = self._exchange.wire
        streamed = self._reply.events is not None
        by_hand = self._framing is not None or (self._drips and self._exchange.framed)
        if wire is not None and (by_hand or not streamed):
            if streamed:
                wire.write(self._framing.finish() if self._framing else b"0\r\n\r\n")
            await self._exchange.swallow(b"", more=False)
            wire.close_if_wanted()
            return
        await self._exchange.body()


def _with_last(
    events: Iterable[tuple[int, bytes]],
) -> Iterator[tuple[int, bytes, bool]]:
    """Yield events, each with whether it is the last."""
    pending: tuple[int, bytes] | None = None
    for following in events:
        if pending is not None:
            yield (*pending, False)
        pending = following
    if pending is not None:
        yield (*pending, True)


# ------------------------------------------------------------------------------- chunks


class _Chunks(Protocol):
    """Writes the events of a stream."""

    async def write(self, event: bytes) -> None:
        """Write one event, now or at the next `flush`."""

    async def write_part(self, event: bytes, size: int, *, whole: bool) -> None:
        """Write the beginning of an event, as a chunk of its own if `whole`."""

    def flush(self) -> None:
        """Hand what is waiting to the connection."""


class _PlainChunks:
    """Writes events, each as one HTTP chunk.

    A server's own way to write costs ten times what an event does. Where the
    connection is known to be HTTP/1.1 with chunked framing, chunks are framed here
    and several of them handed to the connection at once; a client that reads too
    slowly is waited for in the server's way.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._transport: Any = exchange.transport if exchange.framed else None
        self._pending: list[bytes] = []
        self._first = True

    async def write(self, event: bytes) -> None:
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
            await self._exchange.body(event, more=True)
        else:
            self._pending.append(b"%x\r\n%b\r\n" % (len(event), event))

    async def write_part(self, event: bytes, size: int, *, whole: bool) -> None:
        if whole or self._transport is None:
            await self.write(event[:size])
        else:
            # The chunk's size promises all of it.
            self._pending.append(b"%x\r\n%b" % (len(event), event[:size]))

    def flush(self) -> None:
        if self._pending and not self._transport.is_closing():
            self._transport.write(b"".join(self._pending))
        self._pending.clear()


class _OddChunks:
    """Writes events in odd chunks."""

    def __init__(self, wire: Any, framing: OddFraming) -> None:
        self._wire = wire
        self._framing = framing

    async def write(self, event: bytes) -> None:
        self._wire.write(self._framing.feed(event))

    async def write_part(self, event: bytes, size: int, *, whole: bool) -> None:  # noqa: ARG002 - the protocol's signature
        self._wire.write(self._framing.feed(event[:size]))

    def flush(self) -> None:
        """Do nothing: everything is written at once."""


class _DrippedChunks:
    """Writes events byte by byte."""

    def __init__(
        self,
        exchange: Exchange,
        framing: OddFraming | None,
        drip: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._framed = exchange.framed and exchange.wire is not None
        self._framing = framing
        self._drip = drip

    async def write(self, event: bytes) -> None:
        if self._framing is not None:
            await self._drip(self._framing.feed(event))
        elif self._framed:
            await self._drip(b"%x\r\n%b\r\n" % (len(event), event))
        else:
            await self._drip(event)

    async def write_part(self, event: bytes, size: int, *, whole: bool) -> None:  # noqa: ARG002 - the protocol's signature
        await self.write(event[:size])

    def flush(self) -> None:
        """Do nothing: everything is written at once."""
