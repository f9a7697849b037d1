"""`Relay`: one request goes up, its answer comes down, byte for byte.

Whatever happens on the way is told to the client in OpenAI's envelope, and noted in the
`Exchange`. Nothing is held back: what one read brought goes on with one write, and the
next read waits until the client has taken it.
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

__all__ = ["Call", "ClientStalled", "Relay", "Reply", "UpstreamRefusal", "told"]

_OK: Final = 200
_REDIRECT: Final = 300
_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_END: Final = 600
_MOVES_ON: Final = frozenset({402, 404, 408, 409, 410, 429})
"""Of another upstream more may be hoped; as the router has it, and all from 500 on."""

_ERROR_WITHIN_S: Final = 2.0
_MAX_ERROR_BYTES: Final = 1024 * 1024
_LAST_WORDS_S: Final = 2.0
_INTERRUPTED: Final = "upstream_interrupted"
_INVALID: Final = "upstream_invalid_answer"
_EVENTS: Final = b"text/event-stream"
_JSON: Final = b"application/json"
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
    """

    answer: Answer
    head: Head
    is_stream: bool
    tap: BodyTap | None = None


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
        self._secrets = [one.api_key for one in ways]

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
            body = call.body(exchange.model)
            headers = b"%scontent-length: %d\r\n" % (headers, len(body))
        head = target.head(call.method, call.path, headers)
        if exchange.attempts > 1:
            watch.expect("connect", self._connect_s)
        exchange.upstream_began = perf_counter()
        answer: Answer | None = None
        try:
            answer = await self._upstreams.ask(target, head, body, watch)
            if not answer.ended:
                watch.expect("idle", self._idle_s)
            reply = await self._receive(answer, exchange, watch)
            if waits:
                await answer.ready()
                if reply.is_stream and reply.head.is_plain:
                    _check_first(answer.peek())
            if answer.ended and reply.head.is_plain:
                self._check(reply, answer.peek())
        except BaseException as error:
            if answer is not None:
                answer.release()
            if isinstance(error, asyncio.CancelledError):
                raise self.explain(watch, error) from None
            raise
        return reply

    async def _receive(self, answer: Answer, exchange: Exchange, watch: Watch) -> Reply:
        """Return an answer that is none of an error."""
        status = exchange.upstream_status = answer.status
        head = downward(answer.headers, exchange)
        if status >= _ERROR:
            raw = await _read_error(answer)
            watch.heard()
            self._raise_refusal(status, head.headers, raw)
        if status >= _REDIRECT:
            # Clients would follow it, with a key that is not for others.
            message = f"it answered with a redirect (status {status})"
            raise UpstreamError(_INVALID, message)
        is_stream = head.content_type.startswith(_EVENTS) or (
            # Some servers do not say what it is.
            exchange.stream and not head.content_type.startswith(_JSON)
        )
        return Reply(answer, head, is_stream)

    def _check(self, reply: Reply, body: bytes) -> None:
        """Look at an answer that has come whole, before anything of it goes down.

        Raises:
            UpstreamRefusal: It tells of an error, for all its status.
            UpstreamError: Nobody can read it.
        """
        is_ok = reply.answer.status == _OK
        if is_ok and not body:
            raise UpstreamError(_INVALID, "its answer is empty")
        if reply.is_stream:
            return
        tap = reply.tap = BodyTap()
        tap.feed(body)
        tap.finish()
        if is_ok and tap.is_unreadable:
            raise UpstreamError(_INVALID, "its answer is no JSON")
        if tap.error is not None and tap.usage is None:
            self._raise_refusal(_status_of(tap.error), reply.head.headers, body)

    def _raise_refusal(self, status: int, headers: Headers, raw: bytes) -> NoReturn:
        body, facts = envelopes.to_openai(status, raw, secrets=self._secrets)
        headers = [one for one in headers if one[0] not in _OF_A_BODY]
        headers.append((b"content-type", _JSON))
        category = envelopes.category(status, facts.code)
        raise UpstreamRefusal(status, headers, body, category, facts.message)

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
        found = UpstreamError("upstream_timeout", text.format(limit_s))
        if reason == "total":
            found.moves_on = False
        else:
            watch.reason = None
        return found

    # ------------------------------------------------------------- coming down

    async def hand_down(
        self,
        reply: Reply,
        exchange: Exchange,
        watch: Watch,
        send: Send,
        more: Headers,
    ) -> None:
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
        headers = reply.head.headers + more
        if reply.is_stream:
            await self._stream_down(reply, exchange, watch, send, headers)
        else:
            await self._body_down(reply, exchange, watch, send, headers)

    async def _stream_down(
        self,
        reply: Reply,
        exchange: Exchange,
        watch: Watch,
        send: Send,
        headers: Headers,
    ) -> None:
        answer = reply.answer
        is_plain = reply.head.is_plain
        headers = [one for one in headers if one[0] not in _NOT_OF_A_STREAM]
        headers += _STREAM_HEADERS
        tap = StreamTap()
        failure: UpstreamError | Refusal | None = None
        time = asyncio.get_running_loop().time
        held = b""
        exchange.phase = "before_first_token"
        exchange.status = answer.status
        try:
            await send(_start(answer.status, headers))
            while data := await answer.read():
                watch.since = time()
                if is_plain:
                    incomplete = tap.feed(data)
                    if tap.has_content and exchange.ttft_s is None:
                        _note_first(exchange)
                    if held or incomplete:
                        data, held = _whole_lines(held, data, incomplete)
                    if tap.error is not None:
                        data, failure = _at_error(data, tap)
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
            if failure is None and (tap.is_done or not is_plain):
                data += held
            elif failure is None:
                failure = UpstreamError(_INTERRUPTED, "its stream ended too early")
            exchange.response_bytes += len(data)
            watch.is_sending = True
            await send(_part(data, more=failure is not None))
        except UpstreamError as error:
            failure = error
        except asyncio.CancelledError as error:
            found = self.explain(watch, error)
            if not isinstance(found, (UpstreamError, Refusal)):
                if isinstance(found, ClientGone) and tap.is_done:
                    return  # it has all that it waited for
                raise found from None
            failure = found
        except OSError as error:  # as some servers tell that the client has left
            raise ClientGone from error
        finally:
            answer.release()
            exchange.events = tap.events
            _note(exchange, tap)
        if failure is not None:
            await self._end_broken(failure, exchange, watch, send, tap)

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
        watch.again("client", _LAST_WORDS_S)
        try:
            await send(_part(event, more=False))
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
        headers: Headers,
    ) -> None:
        answer = reply.answer
        tap = reply.tap or BodyTap()
        has_read = reply.tap is not None
        time = asyncio.get_running_loop().time
        exchange.phase = "body"
        is_whole = False
        try:
            data = await answer.read()
            watch.is_sending = True
            exchange.status = answer.status
            await send(_start(answer.status, headers))
            while True:
                is_whole = answer.ended and not answer.has_more
                if not has_read:
                    tap.feed(data)
                exchange.response_bytes += len(data)
                await send(_part(data, more=not is_whole))
                if is_whole:
                    break
                watch.is_sending = False
                watch.since = time()
                data = await answer.read()
                watch.since = time()
                watch.is_sending = True
        except asyncio.CancelledError as error:
            found = self.explain(watch, error)
            if not (is_whole and isinstance(found, ClientGone)):
                raise found from None
        except OSError as error:
            raise ClientGone from error
        finally:
            answer.release()
            if not has_read and reply.head.is_plain:
                tap.finish()
            _note(exchange, tap)

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
        return b"".join(pieces)


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


def _note(exchange: Exchange, tap: StreamTap | BodyTap) -> None:
    exchange.usage = tap.usage
    exchange.time_info = tap.time_info
    exchange.model_served = tap.model
    exchange.answer_chars = tap.answer_chars
    if exchange.upstream_id is None:
        exchange.upstream_id = tap.id
    if tap.is_unreadable:
        exchange.outcome = "failed"
        exchange.error_category = "upstream_invalid_answer"
        exchange.error_message = "A part of the answer is no JSON."


def _note_failure(exchange: Exchange, failure: UpstreamError | Refusal) -> None:
    exchange.outcome = "failed"
    exchange.error_category = failure.category  # type: ignore[assignment]
    exchange.error_message = (
        failure.message if isinstance(failure, Refusal) else told(failure, exchange)
    )


def _status_of(error: dict[str, Any]) -> int:
    """Return the status that an error names; 502 if it names none."""
    for name in ("status_code", "status", "code"):
        status = error.get(name)
        if isinstance(status, int) and _ERROR <= status < _END:
            return status
    return 502


def _check_first(data: bytes) -> None:
    """Look at a stream's beginning.

    Raises:
        UpstreamError: It tells of an error, and of nothing else.
    """
    tap = StreamTap()
    tap.feed(data)
    if tap.error is not None and not tap.has_content:
        raise _error_of(tap.error)


def _at_error(data: bytes, tap: StreamTap) -> tuple[bytes, UpstreamError]:
    """Return what of a read goes on, up to an error event, that included if it is one.

    A `[DONE]` behind it would say that all was well.
    """
    flat = tap.error_is_flat
    data = data[: find_error(data)] if flat else _DONE_LINE.sub(b"", data)
    return data, _error_of(tap.error or {})


def _error_of(found: dict[str, Any]) -> UpstreamError:
    """Return the failure that an error event tells of."""
    code = found.get("code")
    category = envelopes.category(_status_of(found), str(code) if code else None)
    message = str(found.get("message") or "its stream tells of an error")
    return UpstreamError(category, mask_secrets(message).rstrip("."))


def _event_of(failure: UpstreamError | Refusal, exchange: Exchange) -> bytes:
    if isinstance(failure, Refusal):
        return envelopes.stream_error(
            failure.message, type=failure.type, code=failure.code
        )
    return envelopes.stream_error(told(failure, exchange), code=failure.category)
