"""One request at a time: send it, check what comes back, try again by the policy.

Sync and async are thin: the checks, the reader, the retries and what is told of a call
are shared objects.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

import msgspec
from langchain_core.messages import AIMessage

from langchain_cerebras_ext._messages_out import partial_message
from langchain_cerebras_ext._metadata import to_usage_metadata
from langchain_cerebras_ext._observe import watch_of
from langchain_cerebras_ext._status import (
    error_status,
    rate_limits,
    request_id_of,
    status_error,
)
from langchain_cerebras_ext._stream_reader import StreamReader, status_in
from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    CerebrasError,
    CerebrasResponseError,
    CerebrasTimeoutError,
    EmptyResponseError,
    RateLimitError,
    StreamInterruptedError,
    mask_secrets,
)
from langchain_cerebras_ext.retry import Retrier, RetryPolicy
from langchain_cerebras_ext.wire._decode import Response, decode_response

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Callable,
        Generator,
        Iterator,
        Mapping,
    )

    from langchain_core.messages.ai import UsageMetadata

    from langchain_cerebras_ext._http import (
        AsyncResponse,
        AsyncTransport,
        SyncResponse,
        SyncTransport,
        Timeouts,
    )
    from langchain_cerebras_ext._metering import Meter
    from langchain_cerebras_ext._stream_reader import Delta
    from langchain_cerebras_ext.errors import FailedAttempt

__all__ = [
    "Admission",
    "Answer",
    "AsyncOpenStream",
    "Call",
    "OpenStream",
    "Stream",
    "aopen_stream",
    "asend",
    "open_stream",
    "send",
]

_log = logging.getLogger("langchain_cerebras_ext.client")

_OK = 200
_REDIRECT = 300
_ERROR = 400
_FAILED = 500
_SHOWN = 200


class Reservation(Protocol):
    """What a rate limiter holds for a request that is under way.

    Each method has a twin that does not block the event loop, named with an `a` before
    it: `asettle`, `arefused`, `arelease`, `aunknown`.
    """

    def settle(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Replace what was reserved by what was used."""

    def refused(self, error: RateLimitError) -> None:
        """Take back what the service did not count, and learn from its refusal."""

    def release(self) -> None:
        """Take back all: nothing was counted."""

    def unknown(self) -> None:
        """Leave all as it is: nobody knows what was counted."""


class _Verdict(NamedTuple):
    """How a reservation ends: which of its methods is called, and with what."""

    reservation: Reservation
    method: str
    data: dict[str, Any]

    # A limiter that fails to take note must not cost an answer that is paid for, nor
    # hide the error that matters.

    def tell(self) -> None:
        try:
            getattr(self.reservation, self.method)(**self.data)
        except Exception:  # noqa: BLE001 - whatever a limiter may raise
            _log.exception("a rate limiter failed to take note of a call")

    async def atell(self) -> None:
        try:
            await getattr(self.reservation, f"a{self.method}")(**self.data)
        except Exception:  # noqa: BLE001 - whatever a limiter may raise
            _log.exception("a rate limiter failed to take note of a call")


def _settled(
    held: Reservation, usage: UsageMetadata | None, headers: Mapping[str, str]
) -> _Verdict:
    if usage is None:
        return _Verdict(held, "unknown", {})
    data = {
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
        "cached_tokens": usage.get("input_token_details", {}).get("cache_read", 0),
        "headers": headers,
    }
    return _Verdict(held, "settle", data)


class Limiter(Protocol):
    """A rate limiter that knows what the service reserves for a request."""

    def reserve(
        self, model: str, *, input_tokens: int, max_output_tokens: int | None = None
    ) -> Reservation:
        """Wait until a request may be sent."""
        ...

    async def areserve(
        self, model: str, *, input_tokens: int, max_output_tokens: int | None = None
    ) -> Reservation:
        """Wait until a request may be sent."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """Whom to ask before a request is sent, and how large it is."""

    limiter: Limiter
    model: str
    input_tokens: int
    max_output_tokens: int | None


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
    operation: str = "chat"
    payload: Mapping[str, Any] | None = field(default=None, repr=False)
    admission: Admission | None = None
    # What LangChain's callback manager has for retries.
    heard: Callable[..., Any] | None = field(default=None, repr=False)
    # What the caller named, where another model is called in its place.
    asked_model: str | None = None
    meter: Meter | None = field(default=None, repr=False)
    # About how many tokens the prompt has; counted when somebody asks.
    count_input: Callable[[], int] | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """The URL without its query, which may hold a secret."""
        return self.url.partition("?")[0]

    def renamed(self) -> dict[str, str]:
        """Return what an answer's metadata say of a model in another's place."""
        if self.asked_model is None or self.asked_model == self.model:
            return {}
        return {"requested_model": self.asked_model}


@dataclass(frozen=True, slots=True)
class Answer:
    """A plain answer, whole and without an error status."""

    response: Response
    headers: Mapping[str, str]
    elapsed_s: float
    attempts: int
    failed: tuple[FailedAttempt, ...] = ()
    limiter_wait_s: float = 0.0


class _Run:
    """One call with all its tries: what its sync and its async form share."""

    __slots__ = (
        "call",
        "hint",
        "limiter_wait_s",
        "reservation",
        "retrier",
        "started",
        "watch",
    )

    def __init__(self, call: Call, *, stream: bool) -> None:
        self.call = call
        self.watch = watch_of(call, stream=stream)
        self.retrier = Retrier(
            call.policy,
            total_s=call.timeouts.total_s,
            heard=call.heard,
            watch=None if self.watch is None else self.watch.try_failed,
        )
        self.reservation: Reservation | None = None
        self.limiter_wait_s = 0.0
        self.hint = ""
        self.started = time.monotonic()

    @property
    def limits(self) -> Timeouts:
        """The limits of the next try: what is left of the whole call's."""
        if self.retrier.attempts <= 1 or self.call.timeouts.total_s is None:
            return self.call.timeouts
        return replace(self.call.timeouts, total_s=self.retrier.left_s())

    # -------------------------------------------------------------- our own limits

    def admit(self) -> None:
        """Wait until our own rate limiter lets the next try pass, and the budgets.

        The budgets come last: what waits must not hold back what others could spend.
        """
        admission = self.call.admission
        if admission is not None:
            asked = time.monotonic()
            self.reservation = admission.limiter.reserve(
                admission.model,
                input_tokens=admission.input_tokens,
                max_output_tokens=admission.max_output_tokens,
            )
            self._waited(asked)
        meter = self.call.meter
        if meter is not None and meter.begin(self.call):
            meter.admit(self.call)

    async def aadmit(self) -> None:
        """As `admit`."""
        admission = self.call.admission
        if admission is not None:
            asked = time.monotonic()
            self.reservation = await admission.limiter.areserve(
                admission.model,
                input_tokens=admission.input_tokens,
                max_output_tokens=admission.max_output_tokens,
            )
            self._waited(asked)
        meter = self.call.meter
        if meter is not None and meter.begin(self.call):
            await meter.aadmit(self.call)

    def resent(self, error: CerebrasError) -> None:
        """Note that the transport has sent the request again, at once."""
        if self.call.meter is not None:
            self.call.meter.resending()
        self.retrier.resent(error)

    def _waited(self, since: float) -> None:
        # The limiter has a limit of its own; the call's clock stands still meanwhile.
        waited = time.monotonic() - since
        self.limiter_wait_s += waited
        self.started += waited
        self.retrier.exclude(waited)

    def settled(
        self, usage: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> _Verdict | None:
        """Return what to tell the limiter of a try that was answered, once."""
        held, self.reservation = self.reservation, None
        return _settled(held, to_usage_metadata(usage), headers) if held else None

    def tried(self, error: BaseException) -> _Verdict | None:
        """Note that a try failed, and return what to tell the limiter, once."""
        if isinstance(error, RateLimitError):
            self._explain_reservation(error)
        held, self.reservation = self.reservation, None
        if held is None:
            return None
        billed = error.billed if isinstance(error, CerebrasError) else None
        if billed is not False:
            usage = error.partial_usage if isinstance(error, CerebrasError) else None
            return _settled(held, usage, {})
        if isinstance(error, RateLimitError):
            return _Verdict(held, "refused", {"error": error})
        return _Verdict(held, "release", {})

    def _explain_reservation(self, error: RateLimitError) -> None:
        """Say once why few tokens can exceed a limit: because none were asked for.

        Each error of the call says it, since only the last one is seen by all.
        """
        if not self.hint and _is_reservation_news(self.call, error):
            self.hint = _RESERVATION
            _log.warning("%s", _RESERVATION)
        if self.hint and error.kind == "tokens":
            error.message = f"{error.message} {self.hint}"
            error.args = (error.message,)

    # ------------------------------------------------------------- what is told

    def answer(self, decoded: Response, headers: Mapping[str, str]) -> Answer:
        """Return the answer, and tell of it."""
        retrier = self.retrier
        elapsed_s = time.monotonic() - self.started
        watch = self.watch
        if watch is not None:
            if self.limiter_wait_s:
                watch.waited(self.limiter_wait_s)
            watch.answered(decoded, headers, retrier.attempts, elapsed_s)
        return Answer(
            decoded,
            headers,
            elapsed_s,
            retrier.attempts,
            tuple(retrier.failed),
            self.limiter_wait_s,
        )

    def failed(self, error: BaseException) -> None:
        """Tell that the call has failed, or was given up by its caller."""
        if self.watch:
            self.watch.waited(self.limiter_wait_s)
            elapsed_s = time.monotonic() - self.started
            self.watch.failed(error, self.retrier.attempts, elapsed_s)


_RESERVATION = (
    "max_tokens is not set: the service then reserves 16,384 tokens for the answer "
    "when it admits a request. Set it to what the answer needs."
)
_told_of_reservation = threading.Lock()
"""Held, once it was told of; a lock, so that of two threads one tells."""


def _is_reservation_news(call: Call, error: RateLimitError) -> bool:
    asked = call.payload or {}
    if error.kind != "tokens":
        return False
    if asked.get("max_completion_tokens") or asked.get("max_tokens"):
        return False
    return _told_of_reservation.acquire(blocking=False)


# ----------------------------------------------------------------- checks, no I/O


def _check_body(call: Call, status: int, headers: Mapping[str, str], b: bytes) -> None:
    """Raise for every status that is no success."""
    if status >= _ERROR:
        raise status_error(status, b, headers, api_key=call.api_key, model=call.model)
    if status >= _REDIRECT or status < _OK:
        if not headers.get("location"):
            msg = (
                f"{call.place} answered {status}, which is no answer of the API. Check "
                "base_url, and what stands between here and there."
            )
            raise CerebrasResponseError(msg, is_retryable=False, _billed=False)
        place = mask_secrets(headers["location"], call.api_key)
        msg = (
            f"{call.place} answered {status}, a redirect to {place[:_SHOWN]}. "
            "Redirects are not followed, so that the key stays with the host it was "
            "meant for; set base_url to the right address."
        )
        raise CerebrasResponseError(msg, is_retryable=False, _billed=False)


def _decode(
    call: Call, status: int, headers: Mapping[str, str], body: bytes
) -> Response:
    """Return the body of a success, typed.

    Raises:
        CerebrasStatusError: The body of a success is an error.
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
            f"Cerebras answered {status} with a body ({kind}) that is no answer of "
            f"the API: {error}. It begins with {shown!r}. Is base_url right?"
        )
        raise CerebrasResponseError(
            msg,
            request_id=request_id_of(headers),
            is_retryable="json" in kind,  # half a body may come whole the next time
        ) from error
    if decoded.choices:
        if call.operation == "chat" and any(
            choice.message is None for choice in decoded.choices
        ):
            raise _empty(status, headers, decoded, "with a choice that has no message")
        return decoded
    if decoded.error or decoded.status_code or decoded.message or decoded.detail:
        raise status_error(
            error_status(decoded.status_code) or status_in(body) or _FAILED,
            body,
            headers,
            api_key=call.api_key,
            model=call.model,
        )
    raise _empty(status, headers, decoded, "without choices")


def _empty(
    status: int, headers: Mapping[str, str], decoded: Response, how: str
) -> EmptyResponseError:
    usage = to_usage_metadata(decoded.usage)
    return EmptyResponseError(
        f"Cerebras answered {status} {how} (id {decoded.id}): the answer is empty. Try "
        "again; tell the support the id if it stays.",
        request_id=decoded.id or request_id_of(headers),
        rate_limits=rate_limits(headers),
        partial_message=AIMessage("", usage_metadata=usage) if usage else None,
    )


def _is_stream(status: int, headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "").lower()
    return status == _OK and kind.startswith("text/event-stream")


def _refuse_unstreamed(
    call: Call, status: int, headers: Mapping[str, str], body: bytes
) -> NoReturn:
    """Raise for an answer to a stream that is none."""
    _check_body(call, status, headers, body)
    _decode(call, status, headers, body)
    kind = headers.get("content-type", "no content type")
    msg = (
        f"A stream was asked for, and {call.place} answered with {kind}. Set "
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


_INNER = {
    "aiohttp",
    "asyncio",
    "h11",
    "http",
    "httpcore",
    "httpx",
    "httpx2",
    "langchain_cerebras_ext",
    "socket",
    "ssl",
    "tenacity",
    "urllib3",
}


def _lighten(error: BaseException) -> None:
    """Take from an error what is of no use to its readers, and a burden or a risk.

    The frames below us, and those of its causes, hold the request with the key, and the
    answer with what it may echo; for as long as somebody keeps the error, and for all
    who show variables with a traceback. What happened is in the texts.
    """
    if not isinstance(error, CerebrasError):
        return
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = None
        if isinstance(link.__cause__, UnicodeError):  # it holds the text
            link.__cause__ = None
        if link.__suppress_context__:
            link.__context__ = None
        below = link.__cause__ or link.__context__
        link = below if below is not None and _is_inner(below) else None


def _is_inner(error: BaseException) -> bool:
    """Whether an error came up below us: it may also be one that our caller handles."""
    trace = error.__traceback__
    if trace is None:
        return True
    name = str(trace.tb_frame.f_globals.get("__name__"))
    return name.partition(".")[0] in _INNER


# ------------------------------------------------------------------------- plain


def send(transport: SyncTransport, call: Call) -> Answer:
    """Send a request and return its answer.

    Raises:
        CerebrasError: One of the connection, status or response errors.
    """
    run = _Run(call, stream=False)

    def once() -> tuple[Response, Mapping[str, str]]:
        try:
            run.admit()
            response = transport.send(
                call.method,
                call.url,
                call.headers,
                call.body,
                run.limits,
                resent=run.resent,
            )
            try:
                body = response.read()
            finally:
                response.close()
            _check_body(call, response.status, response.headers, body)
            decoded = _decode(call, response.status, response.headers, body)
        except BaseException as error:
            if verdict := run.tried(error):
                verdict.tell()
            raise
        if verdict := run.settled(decoded.usage, response.headers):
            verdict.tell()
        return decoded, response.headers

    try:
        decoded, headers = run.retrier.call(once)
    except BaseException as error:
        _lighten(error)
        run.failed(error)
        raise
    return run.answer(decoded, headers)


async def asend(transport: AsyncTransport, call: Call) -> Answer:
    """Send a request and return its answer.

    Raises:
        CerebrasError: One of the connection, status or response errors.
    """
    run = _Run(call, stream=False)

    async def once() -> tuple[Response, Mapping[str, str]]:
        try:
            await run.aadmit()
            response = await transport.send(
                call.method,
                call.url,
                call.headers,
                call.body,
                run.limits,
                resent=run.resent,
            )
            try:
                body = await response.read()
            finally:
                await response.aclose()
            _check_body(call, response.status, response.headers, body)
            decoded = _decode(call, response.status, response.headers, body)
        except BaseException as error:
            if verdict := run.tried(error):
                await verdict.atell()
            raise
        if verdict := run.settled(decoded.usage, response.headers):
            await verdict.atell()
        return decoded, response.headers

    try:
        decoded, headers = await run.retrier.acall(once)
    except BaseException as error:
        _lighten(error)
        run.failed(error)
        raise
    return run.answer(decoded, headers)


# ------------------------------------------------------------------------ streams


class Stream:
    """What the sync and the async stream share.

    Attributes:
        reader: What has arrived.
        headers: The answer's headers.
        first_token_s: From sending the request to the first content.
        elapsed_s: From sending the request to the answer's end; 0 until then.
    """

    __slots__ = (
        "_arrived",
        "_ended",
        "_first",
        "_reads",
        "_response",
        "_run",
        "elapsed_s",
        "first_token_s",
        "headers",
        "reader",
    )

    def __init__(
        self,
        run: _Run,
        reader: StreamReader,
        response: Any,
        reads: Any,
        first: tuple[list[Delta], bool],
    ) -> None:
        self.reader = reader
        self.headers: Mapping[str, str] = response.headers
        self.first_token_s: float | None = None
        self.elapsed_s = 0.0
        self._run = run
        self._response = response
        self._reads = reads
        self._first, self._ended = first
        self._seen(self._first)
        # Is told of each read that brought something, if anybody wants to know.
        self._arrived = run.watch.listener() if run.watch else None
        if self._arrived:
            self._arrived()

    @property
    def attempts(self) -> int:
        """How many requests were sent."""
        return self._run.retrier.attempts

    @property
    def failed(self) -> tuple[FailedAttempt, ...]:
        """The tries that another one followed."""
        return tuple(self._run.retrier.failed)

    @property
    def limiter_wait_s(self) -> float:
        """How long our own rate limiter has held the call back."""
        return self._run.limiter_wait_s

    def _seen(self, deltas: list[Delta]) -> None:
        """Note the time of the first content."""
        if deltas and self.first_token_s is None:
            self.first_token_s = time.monotonic() - self._run.started

    def _finish(self) -> list[Delta]:
        """Check that the answer is whole and note the time."""
        deltas = [] if self._ended else self.reader.finish()
        self.elapsed_s = time.monotonic() - self._run.started
        return deltas

    def _better(self, error: CerebrasError) -> CerebrasError:
        """Return an error with what had arrived, as a cut stream where it is one."""
        better = _with_partial(error, self.reader)
        if better is not error:
            better.__cause__ = error
        self._run.retrier.describe(better)
        _lighten(better)
        return better

    def _closed(self, error: BaseException | None) -> _Verdict | None:
        """Tell all who watch how the stream has ended; return it for the limiter."""
        run, facts = self._run, self.reader.facts
        watch = run.watch
        if watch is not None:
            self.elapsed_s = time.monotonic() - run.started
            if run.limiter_wait_s:
                watch.waited(run.limiter_wait_s)
            watch.streamed(self, error)
        if error is None or facts.usage:
            return run.settled(facts.usage, self.headers)
        return run.tried(error)


class OpenStream(Stream):
    """A stream whose first part has arrived."""

    __slots__ = ()

    def batches(self) -> Generator[list[Delta]]:
        """Yield the deltas of each network read.

        Raises:
            CerebrasError: With what had arrived in `partial_message`.
        """
        end: BaseException | None = None
        try:
            if self._first:
                yield self._first
            if not self._ended and not self.reader.done:
                feed = self.reader.feed
                for data in self._reads:
                    deltas = feed(data)
                    if deltas:
                        if self.first_token_s is None:
                            self._seen(deltas)
                        if self._arrived:
                            self._arrived()
                        yield deltas
                    if self.reader.done:
                        break
            rest = self._finish()
            if rest:
                yield rest
            if self.reader.done:
                self._response.finish()
        except CerebrasError as error:
            end = self._better(error)
            data = b""  # for the same reason as there
            raise end  # noqa: B904 - its cause is set
        except BaseException as error:
            end = error
            raise
        finally:
            try:
                self._response.close()
            finally:
                if verdict := self._closed(end):
                    verdict.tell()
                end = None  # it refers to this frame


class AsyncOpenStream(Stream):
    """A stream whose first part has arrived."""

    __slots__ = ()

    async def batches(self) -> AsyncGenerator[list[Delta]]:
        """Yield the deltas of each network read.

        Raises:
            CerebrasError: With what had arrived in `partial_message`.
        """
        end: BaseException | None = None
        try:
            if self._first:
                yield self._first
            if not self._ended and not self.reader.done:
                feed = self.reader.feed
                async for data in self._reads:
                    deltas = feed(data)
                    if deltas:
                        if self.first_token_s is None:
                            self._seen(deltas)
                        if self._arrived:
                            self._arrived()
                        yield deltas
                    if self.reader.done:
                        break
            rest = self._finish()
            if rest:
                yield rest
            if self.reader.done:
                await self._response.finish()
        except CerebrasError as error:
            end = self._better(error)
            data = b""  # for the same reason as there
            raise end  # noqa: B904 - its cause is set
        except BaseException as error:
            end = error
            raise
        finally:
            try:
                await self._reads.aclose()  # else the loop does, later, in a task
                await self._response.aclose()
            finally:
                if verdict := self._closed(end):
                    await verdict.atell()
                end = None  # it refers to this frame


def open_stream(transport: SyncTransport, call: Call) -> OpenStream:
    """Send a request for a stream and wait for its first part.

    Until then it may be tried again; afterwards nothing is.

    Raises:
        CerebrasError: One of the connection, status or response errors.
    """
    run = _Run(call, stream=True)

    def once() -> OpenStream:
        response: SyncResponse | None = None
        try:
            run.admit()
            response = transport.send(
                call.method,
                call.url,
                call.headers,
                call.body,
                run.limits,
                resent=run.resent,
            )
            if not _is_stream(response.status, response.headers):
                _refuse_unstreamed(
                    call,
                    response.status,
                    response.headers,
                    response.read_what_comes(),
                )
            reader = _new_reader(call, response.headers)
            reads = response.iter_raw()
            first = _first_part(reader, reads)
        except BaseException as error:
            try:
                if response is not None:
                    response.close()
            finally:
                if verdict := run.tried(error):
                    verdict.tell()
            raise
        return OpenStream(run, reader, response, reads, first)

    try:
        return run.retrier.call(once)
    except BaseException as error:
        _lighten(error)
        run.failed(error)
        raise


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
    run = _Run(call, stream=True)

    async def once() -> AsyncOpenStream:
        response: AsyncResponse | None = None
        try:
            await run.aadmit()
            response = await transport.send(
                call.method,
                call.url,
                call.headers,
                call.body,
                run.limits,
                resent=run.resent,
            )
            if not _is_stream(response.status, response.headers):
                _refuse_unstreamed(
                    call,
                    response.status,
                    response.headers,
                    await response.read_what_comes(),
                )
            reader = _new_reader(call, response.headers)
            reads = response.iter_raw()
            first = await _afirst_part(reader, reads)
        except BaseException as error:
            try:
                if response is not None:
                    await response.aclose()
            finally:
                if verdict := run.tried(error):
                    await verdict.atell()
            raise
        return AsyncOpenStream(run, reader, response, reads, first)

    try:
        return await run.retrier.acall(once)
    except BaseException as error:
        _lighten(error)
        run.failed(error)
        raise


async def _afirst_part(
    reader: StreamReader, reads: AsyncGenerator[bytes]
) -> tuple[list[Delta], bool]:
    try:
        async for data in reads:
            deltas = reader.feed(data)
            if deltas or reader.done:
                return deltas, False
        return reader.finish(), True
    except CerebrasError as error:
        await reads.aclose()
        raise _with_partial(error, reader)  # noqa: B904 - the cause is kept
