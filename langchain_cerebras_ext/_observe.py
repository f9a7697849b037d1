"""What is told of each call while it goes on: to the log, and to observers.

The client knows no logging format and no tracing library: it fills a `CallRecord` and
hands it on. With no observer and no logger at DEBUG nothing is built or called.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

import msgspec

from langchain_cerebras_ext._status import rate_limits, request_id_of
from langchain_cerebras_ext.errors import CerebrasError, mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_core.messages import AIMessage

    from langchain_cerebras_ext._client import Call, Stream
    from langchain_cerebras_ext._metadata import AnswerFacts
    from langchain_cerebras_ext._metering import Meter
    from langchain_cerebras_ext.errors import FailedAttempt
    from langchain_cerebras_ext.wire._decode import Response

__all__ = [
    "CallRecord",
    "MeterWatch",
    "Observer",
    "Watch",
    "add_observer",
    "is_watched",
    "observers",
    "remove_observer",
    "watch_of",
]

_CONTENT = {"messages", "prompt", "tools", "prediction", "suffix"}
_CONTENT_ENV = "CEREBRAS_LOG_CONTENT"

_log = logging.getLogger("langchain_cerebras_ext.client")


class CallRecord(msgspec.Struct):
    """One call of the API, all its tries together, as far as it is known.

    Attributes:
        operation: `chat`, `text_completion` or `other`, as OpenTelemetry names them.
        method: HTTP method.
        url: The whole URL, without its query; only where there are observers.
        model: The model that was asked for.
        stream: Whether a stream was asked for.
        params: The body's fields without the messages, the prompt and the tools.
        payload: The whole body: it holds the prompt; only for observers that were told
            to record content, and only where there are observers.
        sent_bytes: Size of the body, as sent; only where there are observers.
        status: HTTP status of the last try; `None` if no answer came.
        request_id: The service's id of the last try.
        response_id: The answer's own id.
        response_model: The model that answered.
        finish_reasons: Why the answers ended, one for each choice.
        usage: Token counts as the service sent them.
        service_tier: The tier that served it, if the service said so.
        attempts: How many requests were sent.
        failed: The tries that failed before the last one.
        first_token_s: From the start of the call to the first content of a stream.
        elapsed_s: From the start of the call to its end.
        time_info: Seconds of the queue, the prompt and the completion, as the service
            measured them.
        limiter_wait_s: How long our own rate limiter held the call back; not part of
            the other times.
        rate_limits: The answer's `x-ratelimit-*` headers as numbers.
        error: What the call ended in, if it failed.
        abandoned: The caller closed the stream before its end, or was cancelled.
        message: Builds the answer, as far as it came; only for observers that were
            told to record content, and for meters if the service counted nothing.
    """

    operation: str
    method: str
    url: str
    model: str | None
    stream: bool
    params: Mapping[str, Any] = {}
    payload: Mapping[str, Any] | None = None
    sent_bytes: int = 0
    status: int | None = None
    request_id: str | None = None
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    usage: Mapping[str, Any] | None = None
    service_tier: str | None = None
    attempts: int = 0
    failed: list[FailedAttempt] = []
    first_token_s: float | None = None
    elapsed_s: float = 0.0
    time_info: Mapping[str, Any] | None = None
    limiter_wait_s: float = 0.0
    rate_limits: Mapping[str, int | float | str] = {}
    error: BaseException | None = None
    abandoned: bool = False
    message: Callable[[], AIMessage | None] | None = None

    def __repr__(self) -> str:
        """Return all but the prompt and the answer."""
        shown = ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name not in {"payload", "message"}
        )
        return f"CallRecord({shown})"


class Observer(Protocol):
    """Is told when a call begins, when a try failed, and when the call ends.

    One that also has a method `arrived(state, record)` is told of every network read of
    a stream that brought something, before it is handed on.

    Called in the thread or task of the call; what it raises is logged and dropped,
    since a call must not fail for being watched.
    """

    def started(self, record: CallRecord) -> Any:
        """Note a call's beginning; what is returned is handed to the other two."""

    def retried(self, state: Any, record: CallRecord, failed: FailedAttempt) -> None:
        """Note that a try failed and another one will follow."""

    def ended(self, state: Any, record: CallRecord) -> None:
        """Note a call's end, good or bad. Comes exactly once for each beginning."""


_lock = threading.Lock()
_observers: tuple[Observer, ...] = ()


def observers() -> tuple[Observer, ...]:
    """Return who is watching."""
    return _observers


def add_observer(observer: Observer) -> None:
    """Let an observer watch all calls from now on."""
    global _observers  # noqa: PLW0603 - replaced as a whole: readers need no lock
    with _lock:
        if observer not in _observers:
            _observers = (*_observers, observer)


def remove_observer(observer: Observer) -> None:
    """Let an observer watch no more; calls under way still tell it of their end."""
    global _observers  # noqa: PLW0603 - as above
    with _lock:
        _observers = tuple(held for held in _observers if held is not observer)


def is_watched() -> bool:
    """Whether anybody wants to be told of calls."""
    return bool(_observers) or _log.isEnabledFor(logging.DEBUG)


def watch_of(call: Call, *, stream: bool) -> Watch | MeterWatch | None:
    """Return what tells of a call, if anybody wants to know."""
    if is_watched():
        return Watch(call, stream=stream)
    return None if call.meter is None else call.meter.watch(call, stream=stream)


class Watch:
    """Fills one call's record, and hands it on exactly once."""

    __slots__ = ("_call", "_done", "_is_told_all", "_states", "record")

    def __init__(self, call: Call, *, stream: bool, meter: Meter | None = None) -> None:
        """Tell all who watch, or a meter alone, which has heard of the beginning."""
        self._call = call
        self._done = False
        record = self.record = CallRecord(
            call.operation, call.method, "", call.model, stream
        )
        # A meter alone has no use for what takes time to collect, or much memory.
        self._is_told_all = meter is None
        self._states: list[tuple[Observer, Any]] = []
        if meter is not None:
            self._states.append((meter, None))
            return
        self._describe(call)
        watching = _observers if call.meter is None else (call.meter, *_observers)
        for observer in watching:
            self._states.append((observer, _told(observer.started, record)))

    def _describe(self, call: Call) -> None:
        record, payload = self.record, call.payload or {}
        record.url = call.place
        record.payload = payload
        record.params = {key: payload[key] for key in payload if key not in _CONTENT}
        record.sent_bytes = len(call.body or b"")

    def waited(self, limiter_wait_s: float) -> None:
        """Take note of how long our own rate limiter held the call back."""
        self.record.limiter_wait_s = limiter_wait_s

    def try_failed(self, failed: FailedAttempt) -> None:
        """Take note of a failure that another try follows."""
        self.record.failed.append(failed)
        for observer, state in self._states:
            _told(observer.retried, state, self.record, failed)

    def listener(self) -> Callable[[], None] | None:
        """Return what to call for each network read, if anybody wants to know."""
        wanting = [
            (method, state)
            for observer, state in self._states
            if (method := getattr(observer, "arrived", None))
        ]
        if not wanting:
            return None

        def arrived() -> None:
            for method, state in wanting:
                _told(method, state, self.record)

        return arrived

    def answered(
        self,
        response: Response,
        headers: Mapping[str, str],
        attempts: int,
        elapsed_s: float,
    ) -> None:
        """Take note of a plain answer."""
        record = self.record
        record.status = _OK
        record.response_id = response.id
        record.response_model = response.model
        usage = record.usage = response.usage
        record.time_info = response.time_info
        record.service_tier = response.service_tier_used or response.service_tier
        record.request_id = request_id_of(headers)
        if self._is_told_all:
            record.rate_limits = rate_limits(headers)
            record.finish_reasons = tuple(
                choice.finish_reason
                for choice in response.choices or ()
                if choice.finish_reason
            )
        if self._is_told_all or not _is_counted(usage):
            record.message = lambda: _message_of(response)
        self._end(attempts, elapsed_s)

    def streamed(self, stream: Stream, error: BaseException | None) -> None:
        """Take note of a stream's end."""
        record, reader = self.record, stream.reader
        facts = reader.facts
        record.status = _OK
        record.response_id = facts.id
        record.response_model = facts.model
        record.usage = facts.usage
        record.time_info = facts.time_info
        record.service_tier = facts.service_tier_used or facts.service_tier
        record.finish_reasons = (reader.finish_reason,) if reader.finish_reason else ()
        record.first_token_s = stream.first_token_s
        if self._is_told_all or not _is_counted(facts.usage):
            record.message = lambda: _message_so_far(reader)
        record.request_id = request_id_of(stream.headers)
        if self._is_told_all:
            record.rate_limits = rate_limits(stream.headers)
        if error is not None:
            self._error(error)
        self._end(stream.attempts, stream.elapsed_s)

    def failed(self, error: BaseException, attempts: int, elapsed_s: float) -> None:
        """Take note of a call that ended without an answer."""
        self._error(error)
        self._end(attempts, elapsed_s)

    def _error(self, error: BaseException) -> None:
        record = self.record
        record.error = error
        record.abandoned = isinstance(
            error, (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt)
        )
        if isinstance(error, CerebrasError):
            record.status = getattr(error, "status_code", None) or record.status
            record.request_id = error.request_id or record.request_id
            record.rate_limits = error.rate_limits or record.rate_limits

    def _end(self, attempts: int, elapsed_s: float) -> None:
        if self._done:
            return
        self._done = True
        record = self.record
        record.attempts = attempts
        record.elapsed_s = elapsed_s
        states, self._states = self._states, []  # a meter alone refers to us
        for observer, state in states:
            _told(observer.ended, state, record)
        if self._is_told_all and _log.isEnabledFor(logging.DEBUG):
            _told(_write, record, self._call.api_key)


class MeterWatch:
    """What `Watch` does where only a meter listens, as of most metered calls.

    Meters are made of it. A whole answer is told as what it is; all else as a record,
    like to any observer.
    """

    # Made for each call: only what is not as here is set.
    _sent: Call | None = None
    _is_stream = False
    _watch: Watch | None = None

    def watch(self, call: Call, *, stream: bool) -> MeterWatch:
        """Watch a call; return what is told of it."""
        self._sent = call
        self._is_stream = stream
        return self

    @property
    def _teller(self) -> Watch:
        """Who tells what is not a whole answer."""
        if self._watch is None:
            assert self._sent is not None  # noqa: S101 - see `watch`
            meter = cast("Meter", self)
            self._watch = Watch(self._sent, stream=self._is_stream, meter=meter)
        return self._watch

    @abstractmethod
    def take(
        self,
        facts: Response | AnswerFacts,
        headers: Mapping[str, str],
        attempts: int,
        elapsed_s: float,
        first_token_s: float | None = None,
    ) -> bool:
        """Take a whole answer as it is.

        Returns:
            Whether it is taken; else it comes as a record.
        """

    def waited(self, limiter_wait_s: float) -> None:
        """Meters do not measure time that is not the call's."""

    def listener(self) -> None:
        """Meters do not hear of single reads."""

    def try_failed(self, failed: FailedAttempt) -> None:
        """Take note of a failure that another try follows."""
        self._teller.try_failed(failed)

    def answered(
        self,
        response: Response,
        headers: Mapping[str, str],
        attempts: int,
        elapsed_s: float,
    ) -> None:
        """Take note of a plain answer."""
        try:
            if self.take(response, headers, attempts, elapsed_s):
                return
        except Exception:  # noqa: BLE001 - as in `_told`
            _log.exception("an observer of calls failed")
            return
        self._teller.answered(response, headers, attempts, elapsed_s)

    def streamed(self, stream: Stream, error: BaseException | None) -> None:
        """Take note of a stream's end."""
        try:
            if error is None and self.take(
                stream.reader.facts,
                stream.headers,
                stream.attempts,
                stream.elapsed_s,
                stream.first_token_s,
            ):
                return
        except Exception:  # noqa: BLE001 - as in `_told`
            _log.exception("an observer of calls failed")
            return
        self._teller.streamed(stream, error)

    def failed(self, error: BaseException, attempts: int, elapsed_s: float) -> None:
        """Take note of a call that ended without an answer."""
        self._teller.failed(error, attempts, elapsed_s)


_OK = 200


def _is_counted(usage: Mapping[str, Any] | None) -> bool:
    """Whether a service has counted the tokens of an answer: no prompt is empty."""
    if not usage:
        return False
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int:
        return False
    return prompt > 0 <= completion


def _told(method: Callable[..., Any], *args: Any) -> Any:
    """Call who watches; what that raises must not end the call that is watched."""
    try:
        return method(*args)
    except Exception:  # noqa: BLE001 - whatever an observer may raise
        _log.exception("an observer of calls failed")
        return None


def _message_of(response: Response) -> AIMessage | None:
    from langchain_core.messages import AIMessage

    from langchain_cerebras_ext._messages_out import build_generations

    choices = response.choices or []
    if choices and choices[0].message is None:  # of a text completion
        return AIMessage(choices[0].text or "")
    generations = build_generations(response, {})
    message = generations[0].message if generations else None
    return message if isinstance(message, AIMessage) else None


def _message_so_far(reader: Any) -> AIMessage | None:
    from langchain_cerebras_ext._messages_out import partial_message

    return partial_message(reader)


# -------------------------------------------------------------------------- the log


def _write(record: CallRecord, api_key: str | None) -> None:
    """Write one line on a call; its prompt and answer only if they are asked for."""
    fields = {
        name: mask_secrets(value, api_key) if isinstance(value, str) else value
        for name, value in log_fields(record).items()
    }
    shown = " ".join(f"{name}={_one_word(value)}" for name, value in fields.items())
    _log.debug("request %s", shown, extra={"cerebras": fields})
    wanted = {
        part.strip() for part in os.environ.get(_CONTENT_ENV, "").lower().split(",")
    }
    payload = record.payload or {}
    if "prompt" in wanted:
        prompt = {key: payload[key] for key in payload if key in _CONTENT}
        text = json.dumps(prompt, ensure_ascii=False, default=str)
        _log.debug("prompt %s", mask_secrets(text, api_key))
    if "answer" in wanted:
        message = record.message() if record.message else None
        text = message.model_dump_json(exclude_none=True) if message else "none"
        _log.debug("answer %s", mask_secrets(text, api_key))


def log_fields(record: CallRecord) -> dict[str, Any]:
    """Return what a log line says of a call: what is not known is left out."""
    usage = record.usage or {}
    error = record.error
    fields: dict[str, Any] = {
        "method": record.method,
        "path": urlsplit(record.url).path,
        "status": record.status,
        "model": record.model,
        "stream": record.stream,
        "request_id": record.request_id,
        "response_id": record.response_id,
        "sent_bytes": record.sent_bytes,
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "finish_reason": ",".join(record.finish_reasons) or None,
        "first_token_s": _rounded(record.first_token_s),
        "elapsed_s": _rounded(record.elapsed_s),
        "attempts": record.attempts,
        "error": type(error).__name__ if error is not None else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _one_word(value: Any) -> str:
    """Return a value so that no server can write log lines of its own."""
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
