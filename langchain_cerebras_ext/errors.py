"""Every error that this package raises.

    CerebrasError
    ├── CerebrasConfigurationError      yours: constructor, environment (ValueError)
    ├── CerebrasInvalidRequestError     yours: refused before it was sent (ValueError)
    │   ├── SchemaNotSupportedError     a schema that the strict subset cannot express
    │   └── UnsupportedFeatureError     the model or the service does not offer it
    ├── CerebrasConnectionError         the network: no answer
    │   └── CerebrasTimeoutError        the network: no answer in time
    ├── CerebrasStatusError             the service said no
    │   ├── BadRequestError             400, 422
    │   │   ├── ContextLengthError      400, the prompt is too long
    │   │   └── UnsupportedParameterError  400, a key that the service does not know
    │   ├── AuthenticationError         401, 403 without credentials
    │   ├── PaymentRequiredError        402
    │   ├── PermissionDeniedError       403
    │   ├── NotFoundError               404
    │   ├── RequestTimeoutError         408
    │   ├── ConflictError               409
    │   ├── PayloadTooLargeError        413
    │   ├── RateLimitError              429
    │   └── InternalServerError         5xx
    ├── CerebrasResponseError           the service's answer cannot be read
    │   ├── EmptyResponseError          a 200 without choices
    │   └── StreamInterruptedError      a stream that ended before its end
    └── StructuredOutputError           an answer that is not the asked structure
        ├── StructuredOutputTruncatedError   cut off by a token limit
        ├── StructuredOutputRefusedError     refused or filtered
        ├── StructuredOutputMissingError     text or a tool call where structure was due
        └── StructuredOutputInvalidError     structure that does not fit the schema

Each class also inherits the matching class of `langchain_core.exceptions`, so code
that catches those keeps working; `is_retryable` is the one truth about retries: that of
an error which our own policy has given up on is False, so that nobody multiplies them.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
    OutputParserException,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import AIMessage
    from langchain_core.messages.ai import UsageMetadata

__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "CerebrasConfigurationError",
    "CerebrasConnectionError",
    "CerebrasError",
    "CerebrasInvalidRequestError",
    "CerebrasResponseError",
    "CerebrasStatusError",
    "CerebrasTimeoutError",
    "ConflictError",
    "ContextLengthError",
    "EmptyResponseError",
    "ErrorResponse",
    "InternalServerError",
    "MissingExtraError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTimeoutError",
    "SchemaNotSupportedError",
    "StreamInterruptedError",
    "StructuredOutputError",
    "StructuredOutputInvalidError",
    "StructuredOutputMissingError",
    "StructuredOutputRefusedError",
    "StructuredOutputTruncatedError",
    "UnsupportedFeatureError",
    "UnsupportedParameterError",
    "status_error",
]

MAX_BODY_CHARS = 2000
"""How much of a body an error keeps: enough to read, never a whole HTML page."""

_SECRET = re.compile(
    r"\b(csk[-_]|sk-|gsk_|xai-|AIza)[A-Za-z0-9_\-]{3,}"
    r"|(?i:bearer\s+)[^\s\"'\\<>(){}\[\],;]{8,}"
)


def mask_secrets(text: str, *secrets: str | None) -> str:
    """Replace whatever looks like a key in a text, and the given secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _SECRET.sub(lambda found: f"{found[1] or ''}***", text)


def _masked(value: Any, api_key: str | None) -> Any:
    """Mask every text of a decoded body."""
    if isinstance(value, str):
        return mask_secrets(value, api_key)
    if isinstance(value, dict):
        return {
            mask_secrets(key, api_key): _masked(item, api_key)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, api_key) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """What a server answered: status, headers and body, without the request.

    LangChain's tracers read `status_code`, `headers` and `json()` of an error's
    `response`. The request, which holds the key, is not part of it.
    """

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def json(self) -> Any:
        """Return the body, decoded.

        Raises:
            ValueError: The body is no JSON.
        """
        return json.loads(self.text)


class CerebrasError(ModelError):
    """The root of all errors of this package.

    Attributes:
        partial_message: What had arrived when the error came, if anything had.
        partial_usage: The token counts that had arrived, if any had.
        attempts: How many requests were sent for the call.
        request_id: The service's id of the request, for its support.
    """

    is_retryable = False
    request_id: str | None = None
    partial_message: AIMessage | None = None
    attempts: int = 1

    def __init__(self, message: str, **data: Any) -> None:
        # Not cooperative: some parents' initialisers take other arguments.
        Exception.__init__(self, message)
        self.message = message
        for name, value in data.items():
            setattr(self, name, value)

    @property
    def partial_usage(self) -> UsageMetadata | None:
        """The token counts that had arrived, if any had."""
        return self.partial_message.usage_metadata if self.partial_message else None

    def __str__(self) -> str:
        """Return the message, whatever else the parents keep in `args`."""
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by class, text and data; subclasses share one initialiser."""
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))


def _rebuild(
    cls: type[CerebrasError], message: str, state: dict[str, Any]
) -> CerebrasError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class CerebrasConfigurationError(CerebrasError, ValueError):
    """A constructor argument or an environment variable is wrong."""


class MissingExtraError(CerebrasConfigurationError, ImportError):
    """A part of the package was used whose extra is not installed."""


class CerebrasInvalidRequestError(CerebrasError, ModelInvalidRequestError, ValueError):
    """The call was refused here, before anything was sent."""

    is_retryable = False


class SchemaNotSupportedError(CerebrasInvalidRequestError):
    """A schema cannot be expressed in the service's strict subset.

    Attributes:
        path: Where in the schema, as `$.properties.name`.
    """

    path: str = "$"


class UnsupportedFeatureError(CerebrasInvalidRequestError):
    """The model, or the service, does not offer what was asked for."""


class CerebrasConnectionError(CerebrasError, ModelConnectionError):
    """No answer came.

    Attributes:
        kind: `dns`, `refused`, `tls`, `proxy`, `reset`, `closed`, `protocol`
            or `other`.
    """

    is_retryable = True
    kind: str = "other"


class CerebrasTimeoutError(CerebrasConnectionError, ModelTimeoutError):
    """No answer came in time.

    Attributes:
        kind: `connect`, `idle` or `total`.
        timeout_s: The limit that passed, in seconds.
    """

    is_retryable = True
    kind = "idle"
    timeout_s: float | None = None


class CerebrasStatusError(CerebrasError):
    """The service answered with an error.

    Attributes:
        status_code: HTTP status, or the one that an error event named.
        code: The service's code, such as `wrong_api_key`.
        param: What the error is about, such as `quota`.
        error_type: The service's type, such as `invalid_request_error`.
        body: The body, decoded if it was JSON, cut to a bound and masked.
        retry_after_s: How long to wait, in seconds, if the service said so.
        response: Status, headers and body, as LangChain's tracers read them.
    """

    status_code: int = 0
    response: ErrorResponse
    code: str | None = None
    param: str | None = None
    error_type: str | None = None
    body: Any = None
    retry_after_s: float | None = None


class BadRequestError(CerebrasStatusError, ModelInvalidRequestError):
    """400 or 422: the service does not take the request."""


class ContextLengthError(BadRequestError, ContextOverflowError):
    """400: messages and completion do not fit the model's context window."""


class UnsupportedParameterError(BadRequestError):
    """400: the service does not know a key of the request."""


class AuthenticationError(CerebrasStatusError, ModelAuthenticationError):
    """401: the key is wrong or missing."""


class PaymentRequiredError(CerebrasStatusError, ModelPermissionDeniedError):
    """402: billing."""


class PermissionDeniedError(CerebrasStatusError, ModelPermissionDeniedError):
    """403: the key may not do this."""


class NotFoundError(CerebrasStatusError, ModelNotFoundError):
    """404: no such model, or not for this key."""


class RequestTimeoutError(CerebrasStatusError, ModelTimeoutError):
    """408: the service gave up waiting."""

    is_retryable = True


class ConflictError(CerebrasStatusError, ModelAPIError):
    """409: a lock was held; another try may pass."""

    is_retryable = True


class PayloadTooLargeError(CerebrasStatusError, ModelInvalidRequestError):
    """413: the body or its images are too large."""


class RateLimitError(CerebrasStatusError, ModelRateLimitError):
    """429: too many requests or tokens, or a full queue.

    Attributes:
        kind: `requests`, `tokens`, `queue` or `unknown`.
        window: `second`, `minute`, `hour`, `day`, if the service named one.
    """

    is_retryable = True
    kind: str = "unknown"
    window: str | None = None


class InternalServerError(CerebrasStatusError, ModelAPIError):
    """5xx: the service failed."""

    is_retryable = True


class CerebrasResponseError(CerebrasError, ModelAPIError):
    """An answer came that cannot be read as the API's."""

    is_retryable = True


class EmptyResponseError(CerebrasResponseError):
    """A 200 without choices."""


class StreamInterruptedError(CerebrasResponseError, ModelConnectionError):
    """A stream ended before its end: what had arrived is in `partial_message`."""

    is_retryable = True


class StructuredOutputError(CerebrasError, OutputParserException):
    """An answer is not the structure that was asked for.

    Attributes:
        raw: The model's message, whole.
        llm_output: Its text, as LangChain's output parsers name it.
    """

    is_retryable = False
    raw: AIMessage | None = None
    observation: str | None = None
    llm_output: str | None = None
    send_to_llm: bool = False


class StructuredOutputTruncatedError(StructuredOutputError):
    """The answer was cut off by a token limit."""


class StructuredOutputRefusedError(StructuredOutputError):
    """The model refused, or the service filtered the answer."""


class StructuredOutputMissingError(StructuredOutputError):
    """Text, or another tool's call, came where structure was due."""


class StructuredOutputInvalidError(StructuredOutputError):
    """The answer is no JSON or does not fit the schema."""


# ---------------------------------------------------------------- status -> class

_BY_STATUS: dict[int, type[CerebrasStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: RequestTimeoutError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: BadRequestError,
    429: RateLimitError,
}

_CURES: dict[type[CerebrasStatusError], str] = {
    AuthenticationError: (
        "Check CEREBRAS_API_KEY or api_key=...; keys are made at "
        "https://cloud.cerebras.ai."
    ),
    PaymentRequiredError: "Check the account's billing at https://cloud.cerebras.ai.",
    PermissionDeniedError: "The key may not do this; check the account's rights.",
    NotFoundError: (
        "The model may be gone, misspelled, or not enabled for this key: "
        "`GET /v1/models` lists what the key may use."
    ),
    ContextLengthError: "Shorten the messages or lower max_tokens.",
    UnsupportedParameterError: "Remove it from model_kwargs or extra_body.",
    PayloadTooLargeError: "Send fewer or smaller images, or a shorter prompt.",
}

_WINDOW = re.compile(r"per (second|minute|hour|day)", re.IGNORECASE)


def status_error(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    api_key: str | None = None,
    model: str | None = None,
) -> CerebrasStatusError:
    """Build the error for an HTTP status or an error event.

    All three body shapes of the API are read: flat, wrapped with a status, and
    `{"detail": ...}`; anything else is kept as text.

    Args:
        status: The HTTP status; one in the body wins, as in the vendor's SDK.
        body: The body as received.
        headers: Response headers, names in lower case.
        api_key: The key in use, masked wherever the body echoes it.
        model: The model that was asked for, named in a 404.

    Returns:
        An error, not raised.
    """
    headers = {key: mask_secrets(value, api_key) for key, value in headers.items()}
    text = mask_secrets(body[: 4 * MAX_BODY_CHARS].decode("utf-8", "replace"), api_key)
    text = text[:MAX_BODY_CHARS]
    try:
        whole = json.loads(body)
        decoded = _masked(whole, api_key) if len(body) <= MAX_BODY_CHARS else whole
    except (ValueError, RecursionError):
        decoded = None
    fields: dict[str, Any] = {}
    if isinstance(decoded, dict):
        inner = decoded.get("error")
        fields = inner if isinstance(inner, dict) else decoded
        told = decoded.get("status_code") or fields.get("status_code")
        if isinstance(told, int) and 400 <= told <= 599:  # noqa: PLR2004
            status = told
        if isinstance(inner, str):
            fields = {**decoded, "message": inner}

    def read(name: str) -> str | None:
        value = fields.get(name)
        if isinstance(value, (str, int)) and value != "":
            return mask_secrets(str(value), api_key)
        return None

    said = read("message") or _detail(fields.get("detail")) or _plain(text)
    said = mask_secrets(said, api_key)[:MAX_BODY_CHARS]
    code, param = read("code"), read("param")
    cls = _class_for(status, code, said)
    if status == 403 and said == "Not authenticated":  # noqa: PLR2004
        cls = AuthenticationError
    parts = [f"Cerebras answered {status}" + (f" ({code})" if code else "") + "."]
    if said:
        parts.append(said if said.endswith((".", "!", "?")) else f"{said}.")
    if cls is NotFoundError and model and model not in said:
        parts.append(f"The model asked for was '{model}'.")
    if cls in _CURES:
        parts.append(_CURES[cls])
    error = cls(
        " ".join(parts),
        status_code=status,
        code=code,
        param=param,
        error_type=read("type"),
        body=decoded if decoded is not None and len(body) <= MAX_BODY_CHARS else text,
        retry_after_s=_retry_after(headers),
        request_id=headers.get("inference-id") or headers.get("x-request-id"),
        response=ErrorResponse(status, dict(headers), text),
    )
    if isinstance(error, RateLimitError):
        error.kind = _limit_kind(code, said)
        window = _WINDOW.search(said)
        error.window = window[1].lower() if window else None
    return error


# The service's words, then llama.cpp's, which answers without a code.
_TOO_LONG = ("reduce the length", "exceeds the available context size")


def _class_for(status: int, code: str | None, said: str) -> type[CerebrasStatusError]:
    if status in {400, 422}:
        lowered = said.lower()
        if code == "context_length_exceeded" or any(
            words in lowered for words in _TOO_LONG
        ):
            return ContextLengthError
        if "is unsupported" in lowered or "property" in lowered:
            return UnsupportedParameterError
    if status >= 500:  # noqa: PLR2004
        return InternalServerError
    return _BY_STATUS.get(status, CerebrasStatusError)


def _limit_kind(code: str | None, said: str) -> str:
    for word in ("queue", "token", "request"):
        if code and code.startswith(word):
            return {"token": "tokens", "request": "requests"}.get(word, word)
    if "high traffic" in said.lower():
        return "queue"
    if "token" in said.lower():
        return "tokens"
    return "requests" if "request" in said.lower() else "unknown"


def _detail(detail: Any) -> str:
    """Read FastAPI's `detail`: a text, or a list of `{loc, msg, type}`."""
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        lines = [
            f"{'.'.join(map(str, _listed(item.get('loc'))))}: {item.get('msg')}"
            for item in detail
            if isinstance(item, dict)
        ]
        return "; ".join(lines)
    return ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _plain(text: str) -> str:
    """Return a body that is no JSON as one line without markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:300]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read the wait in seconds from `retry-after-ms` or a numeric `retry-after`."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return _retry_date(headers.get("retry-after"))


def _retry_date(value: str | None) -> float | None:
    if not value:
        return None
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    if then.tzinfo is None:  # "-0000": UTC, by RFC 5322
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
