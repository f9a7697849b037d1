"""One JSON line a request, and all other lines of the service in the same form.

Neither prompts nor answers are in it, unless that is switched on, and no secret ever.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from langchain_cerebras_ext.costs.pricing import usd_text
from langchain_cerebras_ext.errors import mask_secrets
from langchain_cerebras_ext.proxy.record import counts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from langchain_cerebras_ext.proxy.exchange import Exchange
    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = [
    "JsonFormatter",
    "RequestLog",
    "configure",
    "telling_warnings",
    "uvicorn_config",
]

LOGGER: Final = "langchain_cerebras_ext"
SERVER_LOGGERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
LIBRARY_LOGGERS: Final = ("asyncio", "aiohttp", "py.warnings")

Write: TypeAlias = "Callable[[bytes], object]"

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_LONGEST_TEXT: Final = 500
_LONGEST_CONTENT: Final = 64 * 1024
_SHORTEST_SECRET: Final = 6
_PATIENCE_S: Final = 1.0
# Cheap to look for in a whole line; `mask_secrets` then says whether it is a key.
_SIGNS: Final = (b"csk-", b"csk_", b"sk-", b"gsk_", b"xai-", b"aiza", b"bearer")


# ------------------------------------------------------------------------------- lines


class RequestLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request's line, with the fields in this order; what is not known is null.

    Attributes:
        timestamp: When it ended: ISO 8601 in UTC, to the millisecond.
        level: `error` where the service or the proxy failed, `warning` for what was
            refused, else `info`.
        message: What happened, for people.
        trace_id: Of the caller's `traceparent`, or made here.
        request_id: As the client has it in `x-request-id`.
        ttft_seconds: To the first content of a stream.
        total_time_seconds: To the end.
        total_tokens: Prompt and completion.
        prompt_tokens: Of the prompt.
        completion_tokens: Of the completion.
        model: As it was sent upstream, or else as it was asked for.
        status: HTTP's; 499 where the client left before the answer.
        error_category: Why there was no whole answer.
        cost_usd: A number, exact.
        key_id: Whose key it was.
        upstream_id: The upstream's own id of the request.
        estimated: Only where the tokens, and so the cost, were estimated.
        upstream: Only where it is not the main one: a fallback answered, or failed too.
    """

    timestamp: str
    level: str
    message: str
    trace_id: str
    request_id: str
    ttft_seconds: float | None
    total_time_seconds: float
    total_tokens: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    model: str | None
    status: int
    error_category: str | None
    cost_usd: msgspec.Raw | None
    key_id: str | None
    upstream_id: str | None
    estimated: bool = False
    upstream: str | None = None


class DetailedLine(RequestLine, kw_only=True, omit_defaults=True):
    """The same at `DEBUG`, with all that is known; content only where switched on."""

    span_id: str
    parent_span_id: str | None = None
    method: str
    path: str
    operation: str
    outcome: str
    phase: str
    stream: bool
    model_asked: str | None = None
    model_served: str | None = None
    upstream_status: int | None = None
    upstream_ttft_seconds: float | None = None
    attempts: int = 0
    failed_upstreams: list[tuple[str, str]] = []
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    flags: tuple[str, ...] = ()
    rate_limits: dict[str, str] | None = None
    sunset: str | None = None
    successor: str | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    request_body: str | None = None
    response_body: str | None = None


class _Clock:
    """Times as the lines have them; a second's text is made once."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def text(self, when: float) -> str:
        """Return a moment as `2026-11-21T12:00:00.000Z`."""
        second = int(when)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._text}.{int((when - second) * 1000):03d}Z"


class _Lines:
    """Encodes lines, without secrets."""

    __slots__ = ("_encode", "_exact", "_secrets")

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        self._encode = msgspec.json.Encoder(enc_hook=_as_text).encode
        # A short one would hide words that say something else.
        self._secrets = tuple(s for s in secrets if s and len(s) >= _SHORTEST_SECRET)
        self._exact = tuple(msgspec.json.encode(str(s))[1:-1] for s in self._secrets)

    def encode(self, line: object) -> bytes:
        """Return a line's JSON, with the line break."""
        try:
            data = self._encode(line)
        except (UnicodeEncodeError, msgspec.MsgspecError):
            data = self._encode(_cleaned(msgspec.structs.asdict(cast("Any", line))))
        lowered = data.lower()
        for sign in _SIGNS:
            if sign in lowered:
                return self._masked(data)
        for secret in self._exact:
            if secret in data:
                return self._masked(data)
        return data + b"\n"

    def _masked(self, data: bytes) -> bytes:
        """Return a line with all values masked; names and form stay."""
        told = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        kept = {name: self._masked_value(raw) for name, raw in told.items()}
        return self._encode(kept) + b"\n"

    def _masked_value(self, raw: msgspec.Raw) -> Any:
        data = bytes(raw)
        if not data.startswith((b'"', b"{", b"[")):
            return raw  # a number stays as it was written
        return _mapped(
            msgspec.json.decode(data), lambda text: mask_secrets(text, *self._secrets)
        )


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(str(key)): _mapped(each, change) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(each, change) for each in value]
    return value


def _cleaned(value: Any) -> Any:
    """Return a value without halves of characters, which JSON has no form for."""
    return _mapped(value, lambda text: text.encode("utf-8", "replace").decode())


def _as_text(value: object) -> str:
    return str(value)


def _secrets_of(settings: Settings) -> list[str | None]:
    return [
        settings.api_key,
        *(one.api_key for one in (settings.upstream, *settings.fallbacks)),
    ]


# ---------------------------------------------------------------------- of each request


class RequestLog:
    """The last observer: writes a line for each request that has ended.

    Args:
        settings: The level; whether content is shown; the secrets that never are.
        write: Takes each line; by default it goes to standard output.
        now: Seconds since 1970.
    """

    __slots__ = (
        "_clock",
        "_content",
        "_detailed",
        "_least",
        "_lines",
        "_main",
        "_now",
        "_out",
    )

    def __init__(
        self,
        settings: Settings,
        write: Write | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._least = _level_number(settings.log_level)
        self._detailed = self._least <= logging.DEBUG
        self._content = settings.log_content and self._detailed
        self._main = settings.upstream.name
        self._lines = _Lines(_secrets_of(settings))
        self._out = write_line if write is None else write
        self._clock = _Clock()
        self._now = now

    def __call__(self, exchange: Exchange) -> None:
        """Write a request's line, if the level asks for it."""
        level = _level_of(exchange)
        if _LEVELS[level] < self._least:
            return
        line = self._line(exchange, level)
        with suppress(OSError, ValueError):  # nobody reads: that breaks no request
            self._out(self._lines.encode(line))

    def _line(self, exchange: Exchange, level: str) -> RequestLine:
        counts = counts_of(exchange)
        cost = exchange.cost
        first = exchange.ttft_s
        asked = answered = total = None
        if counts is not None:
            asked, answered = counts.input, counts.output
            total = asked + answered
        told: dict[str, Any] = {
            "timestamp": self._clock.text(self._now()),
            "level": level,
            "message": _message(exchange),
            "trace_id": exchange.trace_id,
            "request_id": exchange.request_id,
            "ttft_seconds": None if first is None else round(first, 6),
            "total_time_seconds": round(exchange.duration_s, 6),
            "total_tokens": total,
            "prompt_tokens": asked,
            "completion_tokens": answered,
            "model": _short(exchange.model or exchange.model_asked) or None,
            "status": exchange.status,
            "error_category": exchange.error_category,
            "cost_usd": None
            if cost is None
            else msgspec.Raw(usd_text(cost.total).encode()),
            "key_id": exchange.key_id,
            "upstream_id": exchange.upstream_id,
        }
        if "estimated" in exchange.flags:
            told["estimated"] = True
        if self._detailed or exchange.upstream != self._main:
            told["upstream"] = exchange.upstream
        if self._detailed:
            return DetailedLine(**told, **self._details(exchange))
        return RequestLine(**told)

    def _details(self, exchange: Exchange) -> dict[str, Any]:
        counts = counts_of(exchange)
        ends, successor = exchange.sunset or (None, None)
        content: dict[str, Any] = {}
        if self._content:
            for name in ("request_body", "response_body"):
                content[name] = _content(exchange.detail.get(name))
        return {
            "span_id": exchange.span_id,
            "parent_span_id": exchange.parent_span_id,
            "method": exchange.method,
            "path": _short(exchange.path),
            "operation": exchange.operation,
            "outcome": exchange.outcome,
            "phase": exchange.phase,
            "stream": exchange.stream,
            "model_asked": _short(exchange.model_asked) or None,
            "model_served": exchange.model_served,
            "upstream_status": exchange.upstream_status,
            "upstream_ttft_seconds": exchange.upstream_ttft_s,
            "attempts": exchange.attempts,
            "failed_upstreams": exchange.failed_upstreams,
            "cached_tokens": None if counts is None else counts.cached,
            "reasoning_tokens": None if counts is None else counts.reasoning,
            "flags": exchange.flags,
            "rate_limits": exchange.rate_limits,
            "sunset": ends,
            "successor": successor,
            "request_bytes": exchange.request_bytes,
            "response_bytes": exchange.response_bytes,
            **content,
        }


def _level_of(exchange: Exchange) -> str:
    if exchange.outcome == "failed":
        # A stream breaks after its status was sent.
        is_ours = not _CLIENT_ERROR <= exchange.status < _SERVER_ERROR
        return "error" if is_ours else "warning"
    return "warning" if exchange.outcome == "refused" else "info"


def _message(exchange: Exchange) -> str:
    """Say in a line what happened."""
    what = f"{exchange.method} {_short(exchange.path)} {exchange.status}".lstrip()
    if exchange.outcome == "aborted":
        return f"{what}: the client left ({exchange.phase})"
    if exchange.outcome == "ok":
        return what
    said = exchange.error_message or exchange.error_category or exchange.outcome
    return f"{what}: {_short(said)}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def _content(body: Any) -> str | None:
    if body is None:
        return None
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    return text[:_LONGEST_CONTENT]


def write_line(line: bytes) -> None:
    """Write a line to standard output at once, whole.

    Lines of several workers do not mix: a pipe takes one of up to 4 KiB in one piece.

    Raises:
        OSError: Nobody reads it.
        ValueError: It was closed.
    """
    out = sys.stdout
    if out is None:  # pyright: ignore[reportUnnecessaryComparison] - pythonw has none
        return
    try:
        number = out.fileno()
    except (OSError, AttributeError):  # somebody has put another object there
        out.write(line.decode())
        return
    while line:
        try:
            line = line[os.write(number, line) :]
        except BlockingIOError:  # somebody who shares it has made it so
            if not select.select((), (number,), (), _PATIENCE_S)[1]:
                raise


# ----------------------------------------------------------------------- other loggers


class OtherLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Any other line: uvicorn's, and the package's own."""

    timestamp: str
    level: str
    message: str
    logger: str
    exception: str | None = None


class JsonFormatter(logging.Formatter):
    """Gives a log record the form of the requests' lines.

    Args:
        secrets: What must never be shown, besides what looks like a key.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        super().__init__()
        self._lines = _Lines(secrets)
        self._clock = _Clock()

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a JSON object."""
        trace = None
        if record.exc_info and record.exc_info[0] is not None:
            trace = self.formatException(record.exc_info)
        line = OtherLine(
            timestamp=self._clock.text(record.created),
            level=record.levelname.lower(),
            message=record.getMessage(),
            logger=record.name,
            exception=trace,
        )
        return self._lines.encode(line)[:-1].decode()


def configure(settings: Settings) -> None:
    """Put uvicorn's loggers and the package's into the same form, at the same level.

    Its own handlers stay where they are, and get another form. The package's logger and
    those of the libraries below it get one only where nobody shows their lines.
    """
    level = _level_number(settings.log_level)
    form = JsonFormatter(_secrets_of(settings))
    for name in SERVER_LOGGERS:
        logger = logging.getLogger(name)
        for handler in logger.handlers:
            handler.setFormatter(form)
        if name != "uvicorn.access":
            logger.setLevel(level)
    # The requests' lines tell more of each than uvicorn's.
    logging.getLogger("uvicorn.access").setLevel(max(level, logging.WARNING))
    ours = logging.getLogger(LOGGER)
    if ours.level == logging.NOTSET:
        ours.setLevel(level)
    output = _Output()
    output.setFormatter(form)
    for name in (LOGGER, *LIBRARY_LOGGERS):
        logger = logging.getLogger(name)
        if not logger.hasHandlers():
            logger.addHandler(output)


class _Output(logging.Handler):
    """Writes to what standard output is now, past buffers."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            write_line(self.format(record).encode("utf-8", "replace") + b"\n")
        except Exception:  # noqa: BLE001 - as in all handlers: a log breaks nothing
            self.handleError(record)


def uvicorn_config(settings: Settings) -> dict[str, Any]:
    """Return what `uvicorn.Config(log_config=...)` takes: all lines to one place."""
    level = settings.log_level.upper()
    quiet = {"handlers": ["output"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter, "secrets": _secrets_of(settings)}},
        "handlers": {"output": {"()": _Output, "formatter": "json"}},
        "loggers": {
            "uvicorn": {**quiet, "level": level},
            "uvicorn.error": {"level": level},
            "uvicorn.access": {**quiet, "level": "WARNING"},
            LOGGER: {**quiet, "level": level},
            **{name: {**quiet, "level": "WARNING"} for name in LIBRARY_LOGGERS},
        },
    }


@contextmanager
def telling_warnings() -> Generator[None]:
    """Put Python's warnings into the log, whose lines are all JSON."""
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)


def _level_number(name: str) -> int:
    return _LEVELS.get(name.lower(), logging.INFO)
