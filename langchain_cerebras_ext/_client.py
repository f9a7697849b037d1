"""One request at a time: send it, check what comes back, try again by the policy.

Sync and async are thin: the checks, the reader and the retries are shared objects.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from langchain_cerebras_ext._messages_out import partial_message
from langchain_cerebras_ext._stream_reader import StreamReader, status_in
from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    CerebrasError,
    CerebrasResponseError,
    CerebrasTimeoutError,
    EmptyResponseError,
    StreamInterruptedError,
    mask_secrets,
    status_error,
)
from langchain_cerebras_ext.retry import Retrier, RetryPolicy
from langchain_cerebras_ext.wire._decode import Response, decode_response

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Generator,
        Iterator,
        Mapping,
    )

    from langchain_cerebras_ext._http import (
        AsyncResponse,
        AsyncTransport,
        SyncResponse,
        SyncTransport,
        Timeouts,
    )
    from langchain_cerebras_ext._stream_reader import Delta

__all__ = [
    "Answer",
    "AsyncOpenStream",
    "Call",
    "OpenStream",
    "aopen_stream",
    "asend",
    "open_stream",
    "send",
]

_OK = 200
_REDIRECT = 300
_ERROR = 400
_FAILED = 500
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is ready to be sent, and the rules for it."""

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes | None
    timeouts: Timeouts
    policy: RetryPolicy
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    method: str = "POST"

    def limits(self, retrier: Retrier) -> Timeouts:
        """Return the limits of the next try: what is left of the whole call's."""
        if retrier.attempts <= 1 or self.timeouts.total_s is None:
            return self.timeouts
        return replace(self.timeouts, total_s=retrier.left_s())


@dataclass(frozen=True, slots=True)
class Answer:
    """A plain answer, whole and without an error status."""

    response: Response
    headers: Mapping[str, str]
    elapsed_s: float
    attempts: int


# ----------------------------------------------------------------- checks, no I/O


def _check_body(call: Call, status: int, headers: Mapping[str, str], b: bytes) -> None:
    """Raise for every status that is no success."""
    if status >= _ERROR:
        raise status_error(status, b, headers, api_key=call.api_key, model=call.model)
    if status >= _REDIRECT or status < _OK:
        place = mask_secrets(headers.get("location", "nowhere"), call.api_key)
        msg = (
            f"{call.url} answered {status}, a redirect to {place[:_SHOWN]}. Redirects "
            "are not followed, so that the key stays with the host it was meant for; "
            "set base_url to the right address."
        )
        raise CerebrasResponseError(msg, is_retryable=False)


def _decode(call: Call, headers: Mapping[str, str], body: bytes) -> Response:
    """Return the body of a success, typed.

    Raises:
        CerebrasStatusError: The body of a 200 is an error.
        EmptyResponseError: It is an answer without choices.
        CerebrasResponseError: It is no JSON of the API's shape.
    """
    if call.method == "GET":  # a connection is warmed up; nothing is answered
        return Response()
    try:
        decoded = decode_response(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = body[: 2 * _SHOWN].decode("utf-8", "replace")
        shown = mask_secrets(text, call.api_key)[:_SHOWN]
        kind = headers.get("content-type", "no content type")
        msg = (
            f"Cerebras answered 200 with a body ({kind}) that is no answer of the "
            f"API: {error}. It begins with {shown!r}. Is base_url right?"
        )
        raise CerebrasResponseError(
            msg,
            request_id=headers.get("inference-id"),
            is_retryable="json" in kind,  # half a body may come whole the next time
        ) from error
    if decoded.choices:
        return decoded
    if decoded.error or decoded.status_code or decoded.message or decoded.detail:
        raise status_error(
            decoded.status_code or status_in(body) or _FAILED,
            body,
            headers,
            api_key=call.api_key,
            model=call.model,
        )
    msg = (
        f"Cerebras answered 200 without choices (id {decoded.id}): the answer is "
        "empty. Try again; tell the support the id if it stays."
    )
    raise EmptyResponseError(msg, request_id=decoded.id)


def _is_stream(status: int, headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "").lower()
    return status == _OK and kind.startswith("text/event-stream")


def _refuse_unstreamed(
    call: Call, status: int, headers: Mapping[str, str], body: bytes
) -> NoReturn:
    """Raise for an answer to a stream that is none."""
    _check_body(call, status, headers, body)
    _decode(call, headers, body)
    kind = headers.get("content-type", "no content type")
    msg = (
        f"A stream was asked for, and {call.url} answered with {kind}. Set "
        "disable_streaming=True if this server cannot stream."
    )
    raise CerebrasResponseError(msg, is_retryable=False)


def _new_reader(call: Call, headers: Mapping[str, str]) -> StreamReader:
    return StreamReader(model=call.model, headers=headers, api_key=call.api_key)


def _with_partial(error: CerebrasError, reader: StreamReader) -> CerebrasError:
    """Hang what had arrived on an error, and say that the stream was cut."""
    lost = isinstance(error, CerebrasConnectionError)
    if lost and reader.saw_choice and not isinstance(error, CerebrasTimeoutError):
        cut = StreamInterruptedError(
            f"The stream broke off before its end: {error.message}"
        )
        cut.__cause__ = error
        error = cut
    if error.partial_message is None:
        error.partial_message = partial_message(reader)
    if error.request_id is None:
        error.request_id = reader.facts.id
    return error


# ------------------------------------------------------------------------- plain


def send(transport: SyncTransport, call: Call) -> Answer:
    """Send a request and return its answer.

    Raises:
        CerebrasError: One of the connection, status or response errors.
    """
    retrier = Retrier(call.policy, total_s=call.timeouts.total_s)
    started = time.monotonic()

    def once() -> tuple[Response, Mapping[str, str]]:
        response = transport.send(
            call.method, call.url, call.headers, call.body, call.limits(retrier)
        )
        try:
            body = response.read()
        finally:
            response.close()
        _check_body(call, response.status, response.headers, body)
        return _decode(call, response.headers, body), response.headers

    decoded, headers = retrier.call(once)
    return Answer(decoded, headers, time.monotonic() - started, retrier.attempts)


async def asend(transport: AsyncTransport, call: Call) -> Answer:
    """Send a request and return its answer.

    Raises:
        CerebrasError: One of the connection, status or response errors.
    """
    retrier = Retrier(call.policy, total_s=call.timeouts.total_s)
    started = time.monotonic()

    async def once() -> tuple[Response, Mapping[str, str]]:
        response = await transport.send(
            call.method, call.url, call.headers, call.body, call.limits(retrier)
        )
        try:
            body = await response.read()
        finally:
            await response.aclose()
        _check_body(call, response.status, response.headers, body)
        return _decode(call, response.headers, body), response.headers

    decoded, headers = await retrier.acall(once)
    return Answer(decoded, headers, time.monotonic() - started, retrier.attempts)


# ------------------------------------------------------------------------ streams


@dataclass(slots=True)
class _Stream:
    """What the sync and the async stream share."""

    reader: StreamReader
    headers: Mapping[str, str]
    first: list[Delta]
    ended: bool
    started: float
    attempts: int = 1
    first_token_s: float | None = None
    elapsed_s: float = 0.0

    def seen(self, deltas: list[Delta]) -> None:
        """Note the time of the first content."""
        if deltas and self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.started

    def raise_better(self, error: CerebrasError) -> NoReturn:
        """Raise with what had arrived, as a cut stream where it is one."""
        better = _with_partial(error, self.reader)
        better.attempts = self.attempts
        if better is error:
            raise error
        raise better from error

    def end(self) -> list[Delta]:
        """Check that the answer is whole and note the time."""
        deltas = [] if self.ended else self.reader.finish()
        self.elapsed_s = time.monotonic() - self.started
        return deltas


@dataclass(slots=True)
class OpenStream(_Stream):
    """A stream whose first part has arrived."""

    response: Any = None
    reads: Any = None

    def batches(self) -> Generator[list[Delta]]:
        """Yield the deltas of each network read.

        Raises:
            CerebrasError: With what had arrived in `partial_message`.
        """
        try:
            if self.first:
                yield self.first
            if not self.ended and not self.reader.done:
                feed = self.reader.feed
                for data in self.reads:
                    deltas = feed(data)
                    if deltas:
                        if self.first_token_s is None:
                            self.seen(deltas)
                        yield deltas
                    if self.reader.done:
                        break
            rest = self.end()
            if rest:
                yield rest
            if self.reader.done:
                self.response.finish()
        except CerebrasError as error:
            self.raise_better(error)
        finally:
            self.response.close()


@dataclass(slots=True)
class AsyncOpenStream(_Stream):
    """A stream whose first part has arrived."""

    response: Any = None
    reads: Any = None

    async def batches(self) -> AsyncGenerator[list[Delta]]:
        """Yield the deltas of each network read.

        Raises:
            CerebrasError: With what had arrived in `partial_message`.
        """
        try:
            if self.first:
                yield self.first
            if not self.ended and not self.reader.done:
                feed = self.reader.feed
                async for data in self.reads:
                    deltas = feed(data)
                    if deltas:
                        if self.first_token_s is None:
                            self.seen(deltas)
                        yield deltas
                    if self.reader.done:
                        break
            rest = self.end()
            if rest:
                yield rest
            if self.reader.done:
                await self.response.finish()
        except CerebrasError as error:
            self.raise_better(error)
        finally:
            await self.response.aclose()


def open_stream(transport: SyncTransport, call: Call) -> OpenStream:
    """Send a request for a stream and wait for its first part.

    Until then it may be tried again; afterwards nothing is.

    Raises:
        CerebrasError: One of the connection, status or response errors.
    """
    retrier = Retrier(call.policy, total_s=call.timeouts.total_s)
    started = time.monotonic()

    def once() -> OpenStream:
        response: SyncResponse = transport.send(
            call.method, call.url, call.headers, call.body, call.limits(retrier)
        )
        try:
            if not _is_stream(response.status, response.headers):
                _refuse_unstreamed(
                    call, response.status, response.headers, response.read()
                )
            reader = _new_reader(call, response.headers)
            reads = response.iter_raw()
            first, ended = _first_part(reader, reads)
        except BaseException:
            response.close()
            raise
        stream = OpenStream(
            reader, response.headers, first, ended, started, 1, None, 0.0
        )
        stream.response, stream.reads = response, reads
        return stream

    stream = retrier.call(once)
    stream.attempts = retrier.attempts
    stream.seen(stream.first)
    return stream


def _first_part(
    reader: StreamReader, reads: Iterator[bytes]
) -> tuple[list[Delta], bool]:
    try:
        for data in reads:
            deltas = reader.feed(data)
            if deltas or reader.done:
                return deltas, False
        return reader.finish(), True
    except CerebrasError as error:
        raise _with_partial(error, reader)  # noqa: B904 - the cause is kept


async def aopen_stream(transport: AsyncTransport, call: Call) -> AsyncOpenStream:
    """Send a request for a stream and wait for its first part.

    Until then it may be tried again; afterwards nothing is.

    Raises:
        CerebrasError: One of the connection, status or response errors.
    """
    retrier = Retrier(call.policy, total_s=call.timeouts.total_s)
    started = time.monotonic()

    async def once() -> AsyncOpenStream:
        response: AsyncResponse = await transport.send(
            call.method, call.url, call.headers, call.body, call.limits(retrier)
        )
        try:
            if not _is_stream(response.status, response.headers):
                _refuse_unstreamed(
                    call, response.status, response.headers, await response.read()
                )
            reader = _new_reader(call, response.headers)
            reads = response.iter_raw()
            first, ended = await _afirst_part(reader, reads)
        except BaseException:
            await response.aclose()
            raise
        stream = AsyncOpenStream(
            reader, response.headers, first, ended, started, 1, None, 0.0
        )
        stream.response, stream.reads = response, reads
        return stream

    stream = await retrier.acall(once)
    stream.attempts = retrier.attempts
    stream.seen(stream.first)
    return stream


async def _afirst_part(
    reader: StreamReader, reads: AsyncIterator[bytes]
) -> tuple[list[Delta], bool]:
    try:
        async for data in reads:
            deltas = reader.feed(data)
            if deltas or reader.done:
                return deltas, False
        return reader.finish(), True
    except CerebrasError as error:
        raise _with_partial(error, reader)  # noqa: B904 - the cause is kept
