"""`Relay`: one request goes up, its answer comes down, byte for byte.

Whatever happens on the way is told to the client in OpenAI's envelope, and noted in the
`Exchange`. What one read brought goes on with one write, but for a line of a stream
that has not ended yet, and the next read waits until the client has taken it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from langchain_cerebras_ext.errors import mask_secrets
from langchain_cerebras_ext.proxy import envelopes
from langchain_cerebras_ext.proxy.body import ClientGone
from langchain_cerebras_ext.proxy.headers import downward
from langchain_cerebras_ext.proxy.refusal import Refusal
from langchain_cerebras_ext.proxy.tap import BodyTap, StreamTap, find_error
from langchain_cerebras_ext.proxy.unpack import unpacker
from langchain_cerebras_ext.proxy.upstream import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_cerebras_ext.proxy.exchange import ErrorCategory, Exchange
    from langchain_cerebras_ext.proxy.headers import Head
    from langchain_cerebras_ext.proxy.lifecycle import Watch
    from langchain_cerebras_ext.proxy.refusal import Headers
    from langchain_cerebras_ext.proxy.settings import Settings
    from langchain_cerebras_ext.proxy.upstream import Answer, Target, Upstreams

    Send = Callable[[Any], Awaitable[None]]

__all__ = [
    "MUCH_BYTES",
    "Call",
    "ClientStalled",
    "Relay",
    "Reply",
    "UpstreamRefusal",
    "told",
]

_OK: Final = 200
_REDIRECT: Final = 300
_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_BAD_GATEWAY: Final = 502
_END: Final = 600
_MEANT: Final = {
    "upstream_auth": 401,
    "upstream_not_found": 404,
    "upstream_rate_limit": 429,
}
_MOVES_ON: Final = frozenset({402, 404, 408, 409, 410, 429})
"""Of another upstream more may be hoped; as the router has it, and all from 500 on."""

MUCH_BYTES: Final = 256 * 1024
"""A body that is longer is parsed and changed in a thread."""

_ERROR_WITHIN_S: Final = 2.0
_MAX_ERROR_BYTES: Final = 1024 * 1024
_LAST_WORDS_S: Final = 2.0
_INTERRUPTED: Final = "upstream_interrupted"
_INVALID: Final = "upstream_invalid_answer"
_EVENTS: Final = b"text/event-stream"
_JSON: Final = b"application/json"
_PAGE: Final = b"text/html"
_NO_CONTENT: Final = frozenset({204, 205})
_OF_A_BODY: Final = frozenset({b"content-length", b"content-encoding", b"content-type"})
_NOT_OF_A_STREAM: Final = frozenset({b"content-length", b"cache-control"})
_STREAM_HEADERS: Final = [
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_DONE_LINE: Final = re.compile(rb"(?:^|(?<=\n))data: ?\[DONE\]\s*")


class ClientStalled(Exception):  # noqa: N818 - as `ClientGone`
    """The client takes nothing any more."""


class UpstreamRefusal(Exception):  # noqa: N818 - an answer, not a defect
    """An upstream's answer with an error status, in OpenAI's envelope.

    Attributes:
        status: The upstream's.
        headers: The upstream's, for the client.
        body: Ours.
        category: As logs and metrics call it.
        message: For the log.
    """

    def __init__(
        self,
        status: int,
        headers: Headers,
        body: bytes,
        category: ErrorCategory,
        message: str,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = body
        self.category: ErrorCategory = category
        self.message = message

    @property
    def moves_on(self) -> bool:
        """Whether another upstream may do better."""
        return self.status in _MOVES_ON or self.status >= _SERVER_ERROR


@dataclass(slots=True)
class Call:
    """What a request sends up.

    Attributes:
        method: HTTP's.
        path: What follows the base URL, with the query.
        headers: Lines that go up, each with its end.
        body: Gives the body that names a model; `None` where there is none.
        model: The model, where the target has none of its own.
    """

    method: bytes
    path: bytes
    headers: bytes
    body: Callable[[str], bytes] | None = None
    model: str = ""


@dataclass(slots=True)
class Reply:
    """An answer that comes down.

    Attributes:
        answer: As it comes; to be released.
        head: Its headers.
        is_stream: Whether it is one of events.
        tap: What has read it, where it came whole at once.
        secret: The upstream's key, which is not for the client; empty if none.
    """

    answer: Answer
    head: Head
    is_stream: bool
    tap: BodyTap | None = None
    secret: bytes = b""


class Relay:
    """Sends requests up, and answers down.

    Args:
        settings: Time limits.
        upstreams: Connections.
    """

    def __init__(self, settings: Settings, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._connect_s = settings.connect_timeout_s
        self._first_byte_s = settings.first_byte_timeout_s
        self._idle_s = settings.idle_timeout_s
        self._total_s = settings.total_timeout_s
        ways = (settings.upstream, *settings.fallbacks)
        self._secrets = [one.api_key for one in ways if one.api_key]

    # ---------------------------------------------------------------- going up

    async def open(self, call: Call, exchange: Exchange, watch: Watch) -> Reply:
        """Return the first answer that is one.

        Where another upstream is left to be tried, its first byte has come, too: later
        there is no other.

        Raises:
            UpstreamRefusal: The answer is an error.
            UpstreamError: There is none.
            ClientGone: Nobody waits for it any more.
            Refusal: The proxy ends.
        """
        targets = self._upstreams.targets
        for target in targets[:-1]:
            try:
                return await self._try(call, target, exchange, watch, waits=True)
            except (UpstreamError, UpstreamRefusal) as error:
                if not error.moves_on:
                    raise
                exchange.failed_upstreams.append((target.name, error.category))
        return await self._try(call, targets[-1], exchange, watch)

    async def _try(
        self,
        call: Call,
        target: Target,
        exchange: Exchange,
        watch: Watch,
        *,
        waits: bool = False,
    ) -> Reply:
        exchange.upstream = target.name
        exchange.attempts += 1
        exchange.upstream_status = exchange.upstream_id = None
        body = b""
        headers = call.headers
        if call.body is not None:
            exchange.model = target.model or call.model
            body = await self._body(call, exchange, watch)
            headers = b"%scontent-length: %d\r\n" % (headers, len(body))
        head = target.head(call.method, call.path, headers)
        if exchange.attempts > 1:
            watch.expect("connect", self._connect_s)
        exchange.upstream_began = perf_counter()
        exchange.unreached = False
        answer: Answer | None = None
        try:
            lost = exchange.failed_upstreams
            answer = await self._upstreams.ask(target, head, body, watch, lost)
            if not answer.ended:
                watch.expect("idle", self._idle_s)
            reply = await self._receive(answer, exchange, watch, target.secret)
            if waits:
                await answer.ready()
                if reply.is_stream and reply.head.is_plain:
                    self._check_first(answer.peek())
            if answer.ended:
                self._check(reply, answer.peek())
        except BaseException as error:
            exchange.unreached = watch.is_connecting
            if answer is not None:
                answer.release()
            if isinstance(error, asyncio.CancelledError):
                raise self.explain(watch, error) from None
            raise
        return reply

    async def _body(self, call: Call, exchange: Exchange, watch: Watch) -> bytes:
        """Return the body that names the exchange's model."""
        make = call.body
        if make is None:
            return b""
        is_rewritten = exchange.model != exchange.model_asked
        if not is_rewritten or exchange.request_bytes <= MUCH_BYTES:
            return make(exchange.model)
        try:
            return await asyncio.to_thread(make, exchange.model)
        except asyncio.CancelledError as error:
            raise self.explain(watch, error) from None

    async def _receive(
        self, answer: Answer, exchange: Exchange, watch: Watch, secret: bytes
    ) -> Reply:
        """Return an answer that is none of an error."""
        status = exchange.upstream_status = answer.status
        head = downward(answer.headers, exchange, secret)
        if not _OK <= status < _END:
            message = f"it answered with a status that there is none of ({status})"
            raise UpstreamError(_INVALID, message)
        if status >= _ERROR:
            raw = await _read_error(answer)
            watch.heard()
            plain = _unpacked(raw, head.encoding) or b""
            self._raise_refusal(status, head.headers, plain)
        if status >= _REDIRECT:
            # Clients would follow it, with a key that is not for others.
            message = f"it answered with a redirect (status {status})"
            raise UpstreamError(_INVALID, message)
        if status in _NO_CONTENT:
            raise UpstreamError(_INVALID, f"its answer is empty (status {status})")
        if head.content_type.startswith(_PAGE):
            raise UpstreamError(_INVALID, "its answer is a web page, and no JSON")
        is_stream = head.content_type.startswith(_EVENTS) or (
            # Some servers do not say what it is.
            exchange.stream and not head.content_type.startswith(_JSON)
        )
        return Reply(answer, head, is_stream, secret=secret)

    def _check(self, reply: Reply, body: bytes) -> None:
        """Look at an answer that has come whole, before anything of it goes down.

        Raises:
            UpstreamRefusal: It tells of an error, for all its status.
            UpstreamError: Nobody can read it.
        """
        is_ok = reply.answer.status == _OK
        if is_ok and not body:
            raise UpstreamError(_INVALID, "its answer is empty")
        plain = _unpacked(body, reply.head.encoding)
        if reply.is_stream or plain is None:
            return
        tap = reply.tap = BodyTap()
        tap.feed(plain)
        tap.finish()
        if is_ok and tap.is_unreadable:
            raise UpstreamError(_INVALID, "its answer is no JSON")
        if tap.error is not None and tap.usage is None:
            self._raise_refusal(_status_of(tap.error), reply.head.headers, plain)

    def _raise_refusal(self, status: int, headers: Headers, raw: bytes) -> NoReturn:
        body, facts = envelopes.to_openai(status, raw, secrets=self._secrets)
        headers = [one for one in headers if one[0] not in _OF_A_BODY]
        headers.append((b"content-type", _JSON))
        category = envelopes.category(status, facts.code)
        message = mask_secrets(facts.message, *self._secrets)
        raise UpstreamRefusal(status, headers, body, category, message)

    def explain(self, watch: Watch, error: asyncio.CancelledError) -> BaseException:
        """Return what a cancellation was about; itself, if it is not the watch's."""
        if not watch.caught():
            return error
        reason = watch.reason
        if reason == "gone":
            return ClientGone()
        if reason == "client":
            return ClientStalled()
        if reason == "shutdown":
            return Refusal(
                503,
                "The proxy is shutting down; try again.",
                type="server_error",
                code="shutting_down",
                category="shutting_down",
                headers=[(b"retry-after", b"1"), (b"connection", b"close")],
            )
        limits = {
            "connect": (self._connect_s, "it could not be reached within {:g} s"),
            "first_byte": (self._first_byte_s, "it did not answer within {:g} s"),
            "idle": (self._idle_s, "it sent nothing for {:g} s"),
            "total": (self._total_s, "its answer was not complete within {:g} s"),
        }
        limit_s, text = limits[str(reason)]
        category: ErrorCategory = "upstream_timeout"
        if reason == "connect":  # nothing was sent, and so nothing can be billed
            category = "upstream_connection"
        found = UpstreamError(category, text.format(limit_s))
        if reason == "total":
            found.moves_on = False
        else:
            watch.reason = None
        return found

    # ------------------------------------------------------------- coming down

    def hand_down(
        self,
        reply: Reply,
        exchange: Exchange,
        watch: Watch,
        send: Send,
        more: Headers,
    ) -> Awaitable[None]:
        """Hand an answer down as it comes.

        Args:
            reply: The answer.
            exchange: Where it is noted.
            watch: The exchange's.
            send: ASGI's.
            more: Headers beside the answer's own.

        Raises:
            UpstreamError: A body broke off; before anything of it was sent, or amid it.
            ClientGone: Nobody takes it any more.
            ClientStalled: The same.
            Refusal: The proxy ends.
        """
        down = self._stream_down if reply.is_stream else self._body_down
        return down(reply, exchange, watch, send, more)

    async def _stream_down(
        self,
        reply: Reply,
        exchange: Exchange,
        watch: Watch,
        send: Send,
        more: Headers,
    ) -> None:
        answer = reply.answer
        is_plain = reply.head.is_plain
        side = unpacker(reply.head.encoding)
        secret = reply.secret
        is_late = False
        headers = [one for one in reply.head.headers if one[0] not in _NOT_OF_A_STREAM]
        headers += _STREAM_HEADERS
        headers += more
        tap = StreamTap()
        failure: UpstreamError | Refusal | None = None
        time = asyncio.get_running_loop().time
        held = b""
        exchange.phase = "before_first_token"
        exchange.status = answer.status
        try:
            await send(_start(answer.status, headers))
            del headers
            answer.forget_headers()
            reply.head = reply.head._replace(headers=[])
            while True:
                try:
                    data = await answer.read()
                except UpstreamError:
                    if not (tap.is_done and is_plain):
                        raise
                    data = b""  # nothing of the answer is missing
                if not data:
                    break
                watch.since = time()
                if is_plain:
                    incomplete = tap.feed(data)
                    if tap.has_content and exchange.ttft_s is None:
                        _note_first(exchange)
                    if held or incomplete:
                        data, held = _whole_lines(held, data, incomplete)
                    if secret and secret in data:
                        data = _hidden(data, secret)
                    if tap.error is not None:
                        data = _to_error(data, tap)
                        failure = self._error_of(tap.error)
                        break
                elif side is not None:
                    tap.feed(side.feed(data))
                    if tap.has_content and exchange.ttft_s is None:
                        _note_first(exchange)
                    if tap.error is not None:  # cannot be taken out
                        data = b""
                        failure = self._error_of(tap.error)
                        break
                if answer.ended and not answer.has_more:
                    break
                if data:
                    exchange.response_bytes += len(data)
                    watch.is_sending = True
                    await send(_part(data))
                    watch.is_sending = False
                    watch.since = time()
            tap.finish()
            is_read = is_plain or (side is not None and not side.is_lost)
            if failure is None and (tap.is_done or tap.has_ended or not is_read):
                data = _hidden(data + held, secret)
            elif failure is None:
                failure = UpstreamError(_INTERRUPTED, "its stream ended too early")
            exchange.response_bytes += len(data)
            watch.is_sending = True
            await send(_part(data, more=failure is not None))
        except UpstreamError as error:
            failure = error.with_traceback(None)  # it would hold this frame
        except asyncio.CancelledError as error:
            found = self.explain(watch, error)
            if not isinstance(found, (UpstreamError, Refusal)):
                if isinstance(found, ClientGone) and tap.is_done:
                    return  # it has all that it waited for
                try:
                    raise found from None
                finally:
                    del found  # it would hold this frame, and all that is in it
            if tap.is_done and is_plain and failure is None:
                is_late = True  # the client has all of it
            else:
                failure = found
        except OSError as error:  # as some servers tell that the client has left
            raise ClientGone from error
        finally:
            answer.release()
            exchange.events = tap.events
            self._note(exchange, tap)
        if failure is not None:
            if not is_plain:  # it would not be read amid what is compressed
                raise failure
            await self._end_broken(failure, exchange, watch, send, tap)
        elif is_late:
            await self._send_last(b"", watch, send)

    async def _end_broken(
        self,
        failure: UpstreamError | Refusal,
        exchange: Exchange,
        watch: Watch,
        send: Send,
        tap: StreamTap,
    ) -> None:
        """Tell of a stream's failure within it, and end it without `[DONE]`."""
        _note_failure(exchange, failure)
        event = b""
        if tap.error is None or tap.error_is_flat:
            event = _event_of(failure, exchange)
            if tap.events:  # whose line may have come without the one that ends it
                event = b"\n" + event
        exchange.response_bytes += len(event)
        await self._send_last(event, watch, send)

    async def _send_last(self, data: bytes, watch: Watch, send: Send) -> None:
        """End an answer, if the client still takes it."""
        watch.again("client", _LAST_WORDS_S)
        try:
            await send(_part(data, more=False))
        except asyncio.CancelledError as error:
            if self.explain(watch, error) is error:
                raise
        except OSError:
            pass

    async def _body_down(
        self,
        reply: Reply,
        exchange: Exchange,
        watch: Watch,
        send: Send,
        more: Headers,
    ) -> None:
        answer = reply.answer
        tap = reply.tap or BodyTap()
        has_read = reply.tap is not None
        side = unpacker(reply.head.encoding)
        is_plain = reply.head.is_plain
        secret = reply.secret
        time = asyncio.get_running_loop().time
        exchange.phase = "body"
        is_whole = False
        try:
            while True:
                data = await answer.read()
                watch.since = time()
                watch.is_sending = True
                is_whole = answer.ended and not answer.has_more
                if not has_read:
                    plain = data if is_plain else side.feed(data) if side else b""
                    tap.feed(plain)
                    has_read = is_whole
                    if is_whole and (is_plain or (side and not side.is_lost)):
                        tap.finish()
                        if tap.is_unreadable and answer.status == _OK:
                            raise UpstreamError(_INVALID, "its answer is no JSON")
                if secret and secret in data:
                    data = _hidden(data, secret)
                if not exchange.status:
                    exchange.status = answer.status
                    headers = reply.head.headers + more
                    await send(_start(answer.status, headers))
                exchange.response_bytes += len(data)
                await send(_part(data, more=not is_whole))
                if is_whole:
                    break
                watch.is_sending = False
                watch.since = time()
        except asyncio.CancelledError as error:
            if not (is_whole and watch.reason == "gone"):
                raise self.explain(watch, error) from None
            if not watch.caught():
                raise
        except OSError as error:
            raise ClientGone from error
        finally:
            answer.release()
            if not has_read and is_plain:
                tap.finish()
            self._note(exchange, tap)

    async def fetch(self, reply: Reply, watch: Watch, limit: int) -> bytes:
        """Return a whole body.

        Raises:
            UpstreamError: It is too long, or broke off.
            ClientGone: Nobody waits for it any more.
        """
        answer = reply.answer
        pieces: list[bytes] = []
        size = 0
        try:
            while data := await answer.read():
                watch.heard()
                pieces.append(data)
                size += len(data)
                if size > limit:
                    raise UpstreamError(_INVALID, "its answer is too long")
        except asyncio.CancelledError as error:
            raise self.explain(watch, error) from None
        finally:
            answer.release()
        body = b"".join(pieces)
        return _hidden(_unpacked(body, reply.head.encoding) or b"", reply.secret)

    def _note(self, exchange: Exchange, tap: StreamTap | BodyTap) -> None:
        exchange.usage = tap.usage
        exchange.time_info = tap.time_info
        exchange.model_served = self._masked(tap.model)
        exchange.answer_chars = tap.answer_chars
        if exchange.upstream_id is None:
            exchange.upstream_id = self._masked(tap.id)
        if tap.is_unreadable:
            exchange.outcome = "failed"
            exchange.error_category = "upstream_invalid_answer"
            exchange.error_message = "A part of the answer is no JSON."

    def _masked(self, text: str | None) -> str | None:
        """Return what an upstream says, without a key that it repeats."""
        if text is not None:
            for secret in self._secrets:
                if secret in text:
                    return mask_secrets(text, *self._secrets)
        return text

    def _check_first(self, data: bytes) -> None:
        """Look at a stream's beginning.

        Raises:
            UpstreamError: It tells of an error, and of nothing else.
        """
        tap = StreamTap()
        tap.feed(data)
        if tap.error is not None and not tap.has_content:
            raise self._error_of(tap.error)

    def _error_of(self, found: dict[str, Any]) -> UpstreamError:
        """Return the failure that an error event tells of."""
        code = found.get("code")
        category = envelopes.category(_status_of(found), str(code) if code else None)
        message = str(found.get("message") or "its stream tells of an error")
        masked = mask_secrets(message, *self._secrets)
        return UpstreamError(category, masked.rstrip("."))


def told(error: UpstreamError, exchange: Exchange) -> str:
    """Return what is told of an upstream that failed."""
    return f"Upstream {exchange.upstream!r} failed: {error.message}."


def _start(status: int, headers: Headers) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _part(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _whole_lines(held: bytes, data: bytes, incomplete: int) -> tuple[bytes, bytes]:
    """Return what goes on of what was held and what came, and what is held.

    Half an event is of no use to anybody, and would swallow the event that tells of a
    failure if the stream broke off here.
    """
    whole = held + data
    if not incomplete:
        return whole, b""
    end = 0 if incomplete == len(data) else len(whole) - incomplete
    return whole[:end], whole[end:]


async def _read_error(answer: Answer) -> bytes:
    """Return what comes of a body that only explains; its status has come."""
    pieces: list[bytes] = []
    size = 0
    try:
        if answer.ended:
            return answer.take()
        with contextlib.suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_ERROR_WITHIN_S):
                while size < _MAX_ERROR_BYTES and (data := await answer.read()):
                    pieces.append(data)
                    size += len(data)
    finally:
        answer.release()
    return b"".join(pieces)[:_MAX_ERROR_BYTES]


def _note_first(exchange: Exchange) -> None:
    now = perf_counter()
    exchange.phase = "streaming"
    exchange.ttft_s = now - exchange.began
    if exchange.upstream_began is not None:
        exchange.upstream_ttft_s = now - exchange.upstream_began


def _note_failure(exchange: Exchange, failure: UpstreamError | Refusal) -> None:
    exchange.outcome = "failed"
    exchange.error_category = failure.category  # type: ignore[assignment]
    exchange.error_message = (
        failure.message if isinstance(failure, Refusal) else told(failure, exchange)
    )


def _status_of(error: dict[str, Any]) -> int:
    """Return the status that an error names, or its code means; else 502."""
    for name in ("status_code", "status", "code"):
        status = error.get(name)
        if isinstance(status, int) and _ERROR <= status < _END:
            return status
    category = envelopes.category(_BAD_GATEWAY, str(error.get("code")))
    return _MEANT.get(category, _BAD_GATEWAY)


def _to_error(data: bytes, tap: StreamTap) -> bytes:
    """Return what of a read goes on, up to an error event, that included if it is one.

    A `[DONE]` behind it would say that all was well.
    """
    flat = tap.error_is_flat
    return data[: find_error(data)] if flat else _DONE_LINE.sub(b"", data)


def _hidden(data: bytes, secret: bytes) -> bytes:
    """Return what an upstream sends, as long as it was, without its key."""
    return data.replace(secret, b"*" * len(secret)) if secret else data


def _unpacked(data: bytes, encoding: bytes) -> bytes | None:
    """Return a whole body as it was before it was compressed; `None` if unknown."""
    if not encoding:
        return data
    side = unpacker(encoding)
    plain = b"" if side is None else side.feed(data)
    return None if side is None or side.is_lost else plain


def _event_of(failure: UpstreamError | Refusal, exchange: Exchange) -> bytes:
    if isinstance(failure, Refusal):
        return envelopes.stream_error(
            failure.message, type=failure.type, code=failure.code
        )
    return envelopes.stream_error(told(failure, exchange), code=failure.category)
