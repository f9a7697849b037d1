"""`Relay`: one request goes up, its answer comes down, byte for byte.

Whatever happens on the way is told to the client in OpenAI's envelope, and noted in the
`Exchange`. Nothing is held back: what one read brought goes on with one write, and the
next read waits until the client has taken it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from langchain_cerebras_ext.proxy import envelopes
from langchain_cerebras_ext.proxy.body import ClientGone
from langchain_cerebras_ext.proxy.refusal import Refusal
from langchain_cerebras_ext.proxy.tap import BodyTap, StreamTap, find_error
from langchain_cerebras_ext.proxy.trace import traceparent
from langchain_cerebras_ext.proxy.upstream import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_cerebras_ext.proxy.exchange import Exchange
    from langchain_cerebras_ext.proxy.lifecycle import Watch
    from langchain_cerebras_ext.proxy.refusal import Headers
    from langchain_cerebras_ext.proxy.settings import Settings
    from langchain_cerebras_ext.proxy.upstream import Answer, Target, Upstreams

__all__ = ["Call", "ClientStalled", "Relay", "UpstreamRefusal"]

_ERROR: Final = 400
_REDIRECT: Final = 300
_SERVER_ERROR: Final = 500
_MOVES_ON: Final = frozenset({402, 404, 408, 409, 410, 429})
_ERROR_WITHIN_S: Final = 2.0
_MAX_ERROR_BYTES: Final = 1024 * 1024
_LAST_WORDS_S: Final = 2.0

_INTERRUPTED: Final = "upstream_interrupted"
_INVALID: Final = "upstream_invalid_answer"
_EVENTS: Final = b"text/event-stream"
_DONE_LINE: Final = re.compile(rb"(?:^|(?<=\n))data: ?\[DONE\]\s*")

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_SENT_UP: Final = _HOP_BY_HOP | {
    # Credentials: the upstream gets its own.
    b"api-key",
    b"authorization",
    b"cookie",
    b"ocp-apim-subscription-key",
    b"x-api-key",
    b"x-auth-token",
    b"x-goog-api-key",
    # What we say ourselves.
    b"accept-encoding",
    b"content-length",
    b"expect",
    b"host",
    b"http2-settings",
    b"traceparent",
}
_NOT_SENT_DOWN: Final = _HOP_BY_HOP | {
    b"date",
    b"server",
    b"set-cookie",
    # About the upstream's own host and port.
    b"alt-svc",
    b"strict-transport-security",
    # Told below.
    b"x-request-id",
}
_RATE_LIMIT: Final = b"x-ratelimit-"
_STREAM_HEADERS: Final = [
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


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
        self, status: int, headers: Headers, body: bytes, category: Any, message: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = body
        self.category = category
        self.message = message

    @property
    def moves_on(self) -> bool:
        """Whether another upstream may do better."""
        return self.status in _MOVES_ON or self.status >= _SERVER_ERROR


class Call:
    """What a request sends up.

    Attributes:
        method: HTTP's.
        path: What follows the base URL, with the query.
        headers: Lines that go up, each with its end.
        body: Gives the body that names a model.
        model: The model, where the target has none of its own.
    """

    __slots__ = ("body", "headers", "method", "model", "path")

    def __init__(
        self,
        method: bytes,
        path: bytes,
        headers: bytes,
        *,
        body: Callable[[str], bytes] | None = None,
        model: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.model = model


def upward(headers: Headers, exchange: Exchange) -> bytes:
    """Return the lines of a request's headers that go up.

    Raises:
        Refusal: One of them would break the request.
    """
    dropped = _NOT_SENT_UP
    for name, value in headers:
        if name == b"connection" and value.lower() not in {b"keep-alive", b"close"}:
            dropped = dropped.union(
                one.strip() for one in value.lower().split(b",")
            ).difference({b"content-type", b"content-encoding"})
        elif name == b"traceparent" and exchange.parent_span_id is None:
            dropped |= {b"tracestate"}
    lines = [b"%s: %s\r\n" % one for one in headers if one[0] not in dropped]
    lines.append(b"traceparent: %s\r\n" % traceparent(exchange))
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines):
        msg = "A header has a line break in its name or value."
        raise Refusal(400, msg, code="invalid_header", category="bad_request")
    return block


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

    async def open(self, call: Call, exchange: Exchange, watch: Watch) -> Answer:
        """Return the first answer that is one; to be released.

        With fallbacks its first byte is there, too: later there is no other upstream.

        Raises:
            UpstreamRefusal: The answer is an error.
            UpstreamError: There is none.
            ClientGone: Nobody waits for it any more.
            Refusal: The proxy ends.
        """
        targets = self._upstreams.targets
        for target in targets:
            is_last = target is targets[-1]
            try:
                return await self._try(call, target, exchange, watch, eager=not is_last)
            except (UpstreamError, UpstreamRefusal) as error:
                moves_on = error.moves_on and not is_last
                if not moves_on:
                    raise
                exchange.failed_upstreams.append((target.name, error.category))
        raise AssertionError  # pragma: no cover - there is at least one target

    async def _try(
        self,
        call: Call,
        target: Target,
        exchange: Exchange,
        watch: Watch,
        *,
        eager: bool,
    ) -> Answer:
        exchange.upstream = target.name
        exchange.attempts += 1
        exchange.upstream_status = None
        body = b""
        headers = call.headers
        if call.body is not None:
            exchange.model = target.model or call.model
            body = call.body(exchange.model)
            headers = b"%scontent-length: %d\r\n" % (headers, len(body))
        head = target.head(call.method, call.path, headers)
        watch.expect("connect", self._connect_s)
        exchange.upstream_began = perf_counter()
        answer: Answer | None = None
        try:
            answer = await self._upstreams.ask(
                target,
                head,
                body,
                lambda: watch.expect("first_byte", self._first_byte_s),
            )
            exchange.upstream_status = answer.status
            watch.expect("idle", self._idle_s)
            if answer.status >= _REDIRECT:
                await self._refuse(answer, exchange, watch)
            if eager:
                await answer.ready()
            if answer.ended:
                self._check_whole(answer, exchange)
        except BaseException as error:
            if answer is not None:
                answer.release()
            if isinstance(error, asyncio.CancelledError):
                raise self.explain(watch, error) from None
            raise
        return answer

    async def _refuse(
        self, answer: Answer, exchange: Exchange, watch: Watch
    ) -> NoReturn:
        """Raise what an answer is that is none to hand down as it is."""
        if answer.status < _ERROR:
            # Clients would follow it, with a key that is not for others.
            message = f"It answered with a redirect (status {answer.status})."
            raise UpstreamError(_INVALID, message)
        headers = self.downward(answer, exchange)
        raw = await _read_error(answer)
        watch.heard()
        body, facts = envelopes.to_openai(answer.status, raw, secrets=self._secrets)
        headers = [
            one
            for one in headers
            if one[0] not in {b"content-length", b"content-encoding", b"content-type"}
        ]
        headers.append((b"content-type", b"application/json"))
        category = envelopes.category(answer.status, facts.code)
        raise UpstreamRefusal(answer.status, headers, body, category, facts.message)

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
            "connect": (self._connect_s, "It could not be reached within {:g} s."),
            "first_byte": (self._first_byte_s, "It did not answer within {:g} s."),
            "idle": (self._idle_s, "It sent nothing for {:g} s."),
            "total": (self._total_s, "Its answer was not complete within {:g} s."),
        }
        limit_s, text = limits[str(reason)]
        found = UpstreamError("upstream_timeout", text.format(limit_s))
        if reason == "total":
            found.moves_on = False
        else:
            watch.reason = None
        return found

    # ------------------------------------------------------------- coming down

    def downward(self, answer: Answer, exchange: Exchange) -> Headers:
        """Return an answer's headers for the client, and note what they tell."""
        found: Headers = []
        limits: dict[str, str] | None = None
        for one in answer.headers:
            name, value = one
            if name in _NOT_SENT_DOWN:
                if name == b"x-request-id":
                    exchange.upstream_id = value.decode("latin-1")
                continue
            if name.startswith(_RATE_LIMIT):
                if limits is None:
                    limits = {}
                limits[name[12:].decode("latin-1")] = value.decode("latin-1")
            elif name == b"inference-id":
                exchange.upstream_id = value.decode("latin-1")
            found.append(one)
        if limits is not None:
            exchange.rate_limits = limits
        found.append((b"x-request-id", exchange.request_id.encode("ascii")))
        return found

    async def relay(
        self,
        answer: Answer,
        exchange: Exchange,
        watch: Watch,
        send: Callable[[Any], Awaitable[None]],
        more: Headers,
    ) -> None:
        """Hand an answer down as it comes.

        Raises:
            UpstreamError: It broke off; before anything was sent down, or amid a body.
            ClientGone: Nobody takes it any more.
            ClientStalled: The same.
        """
        headers = self.downward(answer, exchange)
        headers += more
        content_type = encoding = b""
        for name, value in headers:
            if name == b"content-type":
                content_type = value
            elif name == b"content-encoding":
                encoding = value
        is_plain = not encoding or encoding.lower() == b"identity"
        if content_type[:17].lower() == _EVENTS:
            await self._relay_stream(answer, exchange, watch, send, headers, is_plain)
        else:
            await self._relay_body(answer, exchange, watch, send, headers, is_plain)

    async def _relay_stream(
        self,
        answer: Answer,
        exchange: Exchange,
        watch: Watch,
        send: Callable[[Any], Awaitable[None]],
        headers: Headers,
        is_plain: bool,
    ) -> None:
        headers = [
            one
            for one in headers
            if one[0] not in {b"content-length", b"cache-control"}
        ]
        headers += _STREAM_HEADERS
        tap = StreamTap()
        exchange.phase = "before_first_token"
        failure: UpstreamError | Refusal | None = None
        time = asyncio.get_running_loop().time
        held = b""
        try:
            exchange.status = answer.status
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
                message = "Its stream ended before the end."
                failure = UpstreamError(_INTERRUPTED, message)
            exchange.response_bytes += len(data)
            watch.is_sending = True
            await send(_part(data, more=failure is not None))
        except UpstreamError as error:
            failure = error
        except asyncio.CancelledError as error:
            found = self.explain(watch, error)
            if not isinstance(found, (UpstreamError, Refusal)):
                if isinstance(found, ClientGone) and tap.is_done:
                    return
                raise found from None
            failure = found
        except OSError as error:  # as some servers tell that the client has left
            raise ClientGone from error
        finally:
            answer.release()
            _note(exchange, tap)
            exchange.events = tap.events
        if failure is not None:
            await self._end_broken(failure, exchange, watch, send, tap)

    async def _end_broken(
        self,
        failure: UpstreamError | Refusal,
        exchange: Exchange,
        watch: Watch,
        send: Callable[[Any], Awaitable[None]],
        tap: StreamTap,
    ) -> None:
        """Tell of a stream's failure within it, and end it without `[DONE]`."""
        exchange.outcome = "failed"
        exchange.error_category = failure.category  # type: ignore[assignment]
        exchange.error_message = failure.message
        event = b""
        if tap.error is None or tap.error_is_flat:
            event = _event_of(failure)
            # The line before may have come without the one that ends its event.
            event = b"\n" + event if tap.events else event
        exchange.response_bytes += len(event)
        watch.again("client", _LAST_WORDS_S)
        try:
            await send(_part(event, more=False))
        except asyncio.CancelledError as error:
            found = self.explain(watch, error)
            if isinstance(found, asyncio.CancelledError):
                raise
        except OSError:
            pass

    async def _relay_body(
        self,
        answer: Answer,
        exchange: Exchange,
        watch: Watch,
        send: Callable[[Any], Awaitable[None]],
        headers: Headers,
        is_plain: bool,
    ) -> None:
        tap = BodyTap()
        exchange.phase = "body"
        time = asyncio.get_running_loop().time
        try:
            data = await answer.read()
            exchange.status = answer.status
            await send(_start(answer.status, headers))
            while True:
                watch.since = time()
                if data:
                    tap.feed(data)
                    exchange.response_bytes += len(data)
                is_whole = answer.ended and not answer.has_more
                watch.is_sending = True
                await send(_part(data, more=not is_whole))
                watch.is_sending = False
                watch.since = time()
                if is_whole:
                    return
                data = await answer.read()
        except asyncio.CancelledError as error:
            raise self.explain(watch, error) from None
        except OSError as error:
            raise ClientGone from error
        finally:
            answer.release()
            if is_plain:
                tap.finish()
            _note(exchange, tap)

    async def fetch(self, answer: Answer, watch: Watch, limit: int) -> bytes:
        """Return a whole body.

        Raises:
            UpstreamError: It is too long, or broke off.
            ClientGone: Nobody waits for it any more.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            while data := await answer.read():
                watch.heard()
                pieces.append(data)
                size += len(data)
                if size > limit:
                    message = "Its answer is too long."
                    raise UpstreamError(_INVALID, message)
        except asyncio.CancelledError as error:
            raise self.explain(watch, error) from None
        finally:
            answer.release()
        return b"".join(pieces)


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
        with contextlib.suppress(UpstreamError, TimeoutError):
            if answer.ended:
                return answer.take()
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


def _at_error(data: bytes, tap: StreamTap) -> tuple[bytes, UpstreamError]:
    """Return what of a read goes on before an error event, that too if it is clear.

    A `[DONE]` behind it would say that all was well.
    """
    found: Any = tap.error or {}
    message = str(found.get("message") or "Its stream has an error.")
    flat = tap.error_is_flat
    data = data[: find_error(data)] if flat else _DONE_LINE.sub(b"", data)
    return data, UpstreamError(_INTERRUPTED, message)


def _event_of(failure: UpstreamError | Refusal) -> bytes:
    if isinstance(failure, Refusal):
        return envelopes.stream_error(
            failure.message, type=failure.type, code=failure.code
        )
    return envelopes.stream_error(failure.message, code=failure.category)
