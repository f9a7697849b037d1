"""Every error that this package raises.

    CerebrasError
    ├── CerebrasConfigurationError      yours: constructor, environment (ValueError)
    │   ├── MissingExtraError           an extra that is not installed (ImportError)
    │   └── UnknownModelError           no such model in the catalog (LookupError)
    ├── CerebrasInvalidRequestError     yours: refused before it was sent (ValueError)
    │   ├── SchemaNotSupportedError     a schema that the strict subset cannot express
    │   └── UnsupportedFeatureError     the model or the service does not offer it
    ├── CerebrasConnectionError         the network: no answer
    │   └── CerebrasTimeoutError        the network: no answer in time
    ├── CerebrasStatusError             the service said no
    │   ├── BadRequestError             400
    │   │   ├── ContextLengthError      400, the prompt is too long
    │   │   ├── UnsupportedParameterError  400, a key that the service does not know
    │   │   └── UnprocessableEntityError   422
    │   ├── AuthenticationError         401, 403 without credentials
    │   ├── PaymentRequiredError        402
    │   ├── PermissionDeniedError       403
    │   ├── NotFoundError               404
    │   │   └── ModelRetiredError       404, a model that is no longer served
    │   ├── RequestTimeoutError         408
    │   ├── ConflictError               409
    │   ├── PayloadTooLargeError        413
    │   ├── RateLimitError              429
    │   └── InternalServerError         5xx
    ├── CerebrasResponseError           the service's answer cannot be read
    │   ├── EmptyResponseError          a 200 without choices
    │   └── StreamInterruptedError      a stream that ended before its end
    ├── RateLimiterError                our own limiter, before anything was sent
    │   ├── RequestExceedsLimitError    a request that never fits (ValueError)
    │   ├── RateLimiterTimeoutError     the wait would be longer than `max_wait`
    │   └── RateLimiterBackendError     the shared limits cannot be reached
    ├── BudgetExceeded                  a budget of yours is spent
    ├── UnknownPriceError               no price is known of this model on that day
    ├── InvalidUsageError               token counts that contradict themselves
    ├── LedgerError                     a database of costs cannot be used as asked
    │   └── LedgerNotFoundError         there is no ledger in it
    ├── NoLegError                      no leg of a router can take the request
    ├── AllLegsFailedError              every leg of a router has failed
    └── StructuredOutputError           an answer that is not the asked structure
        ├── StructuredOutputTruncatedError   cut off by a token limit
        ├── StructuredOutputRefusedError     refused or filtered
        ├── StructuredOutputMissingError     text or a tool call where structure was due
        └── StructuredOutputInvalidError     structure that does not fit the schema

Each class also inherits the matching class of `langchain_core.exceptions`, where the
program has imported it, so code that catches those keeps working; `is_retryable` is
the one truth about retries: that of an error which our own policy has given up on is
False, so that nobody multiplies them. A router has no such policy: that of
`AllLegsFailedError` is True where all of its legs have failed for the moment only.

Where the program has imported `openai`, an error is also an instance of the matching
class of that package: `except openai.RateLimitError` catches a `RateLimitError`.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, cast

from langchain_cerebras_ext._core_errors import (
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
    join_langchain,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime
    from decimal import Decimal

    from langchain_core.messages import AIMessage
    from langchain_core.messages.ai import UsageMetadata

__all__ = [
    "AllLegsFailedError",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceeded",
    "CerebrasAnswerWarning",
    "CerebrasConfigurationError",
    "CerebrasConnectionError",
    "CerebrasContextWarning",
    "CerebrasCostWarning",
    "CerebrasDeprecationWarning",
    "CerebrasError",
    "CerebrasInvalidRequestError",
    "CerebrasResponseError",
    "CerebrasStatusError",
    "CerebrasTimeoutError",
    "ConflictError",
    "ContextLengthError",
    "EmptyResponseError",
    "ErrorResponse",
    "FailedAttempt",
    "InternalServerError",
    "InvalidUsageError",
    "LedgerError",
    "LedgerNotFoundError",
    "MissingExtraError",
    "ModelRetiredError",
    "NoLegError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitError",
    "RateLimiterBackendError",
    "RateLimiterError",
    "RateLimiterTimeoutError",
    "RequestExceedsLimitError",
    "RequestTimeoutError",
    "SchemaNotSupportedError",
    "StreamInterruptedError",
    "StructuredOutputError",
    "StructuredOutputInvalidError",
    "StructuredOutputMissingError",
    "StructuredOutputRefusedError",
    "StructuredOutputTruncatedError",
    "UnknownModelError",
    "UnknownPriceError",
    "UnprocessableEntityError",
    "UnsupportedFeatureError",
    "UnsupportedParameterError",
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


class SecretText(str):
    """A text that is used as it is, and not shown where variables are.

    Tracebacks with variables and logged dictionaries show a value by its `repr`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, key: Any) -> SecretText:
        """Return a part, which is a secret as well: long values are shown cut."""
        return SecretText(super().__getitem__(key))


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


class CerebrasAnswerWarning(UserWarning):
    """An answer is whole, but not what was hoped for: filtered, or only reasoning."""


class CerebrasDeprecationWarning(UserWarning):
    """A model or a parameter ends, or has ended.

    Python shows it by default, unlike a `DeprecationWarning`, since it concerns whoever
    runs the program.
    """


class CerebrasContextWarning(UserWarning):
    """A prompt is probably longer than the model's context window."""


class CerebrasCostWarning(UserWarning):
    """A cost that is not known, a budget nearly spent, or records not yet saved."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One try of a call that failed and was followed by another.

    Attributes:
        error_type: Name of the error's class.
        message: Its text.
        status_code: The HTTP status, if the service answered.
        elapsed_s: Seconds from the beginning of the call to this failure.
        wait_s: Seconds until the next try.
        billed: Whether the service may have counted its tokens; as in
            `CerebrasError.billed`.
        usage: The tokens that it has counted, if it said so.
    """

    error_type: str
    message: str
    status_code: int | None
    elapsed_s: float
    wait_s: float
    billed: bool | None
    usage: UsageMetadata | None = field(default=None, hash=False)


class CerebrasError(ModelError):
    """The root of all errors of this package.

    Attributes:
        status_code: The HTTP status, or the one that an error event named; `None`
            where the service has not answered. Like the next four, only a
            `CerebrasStatusError` has it set.
        code: The service's code, such as `wrong_api_key`.
        param: What the error is about, such as `quota`.
        error_type: The service's type, such as `invalid_request_error`.
        body: The body, decoded if it was JSON, cut to a bound and masked.
        retry_after_s: How long to wait, in seconds, if the service said so.
        partial_message: What had arrived when the error came, if anything had.
        attempts: How many requests were sent for the call.
        failed_attempts: The tries before the last one, oldest first.
        elapsed_s: Seconds from the beginning of the call to the error, waits between
            tries included; `None` where nothing was sent.
        request_id: The service's id of the request, for its support.
        rate_limits: The answer's `x-ratelimit-*` headers as numbers; resets are in
            seconds. Empty where the service sent none.
    """

    is_retryable = False
    status_code: int | None = None
    code: str | None = None
    param: str | None = None
    error_type: str | None = None
    body: Any = None
    retry_after_s: float | None = None
    request_id: str | None = None
    partial_message: AIMessage | None = None
    attempts: int = 1
    failed_attempts: tuple[FailedAttempt, ...] = ()
    elapsed_s: float | None = None
    rate_limits: Mapping[str, int | float | str] = MappingProxyType({})
    # What `billed` is where no counts have arrived.
    _billed: bool | None = False

    def __new__(cls, *args: Any, **_: Any) -> Self:
        """Make an instance; of the SDK's matching class too, where that is in use."""
        join_langchain()
        made = Exception.__new__(_with_sdk_parent(cls), *args)
        return cast("Self", made)  # a subclass of ours

    def __init__(self, message: str, **data: Any) -> None:
        # Not cooperative: some parents' initialisers take other arguments.
        Exception.__init__(self, message)
        self.message = message
        for name, value in data.items():
            setattr(self, name, value)

    @property
    def type(self) -> str | None:
        """The service's type, under the name that the official SDKs have for it."""
        return self.error_type

    def _arrived(self) -> AIMessage | None:
        """Return the message that the `partial_...` properties are of."""
        return self.partial_message

    @property
    def partial_usage(self) -> UsageMetadata | None:
        """The token counts that had arrived, if any had."""
        said = self._arrived()
        return said.usage_metadata if said else None

    @property
    def partial_text(self) -> str:
        """The text that had arrived."""
        said = self._arrived()
        return str(said.text) if said else ""

    @property
    def partial_reasoning(self) -> str:
        """The reasoning that had arrived."""
        said = self._arrived()
        blocks = said.content_blocks if said else []
        found = [b.get("reasoning") for b in blocks if b.get("type") == "reasoning"]
        return "".join(str(text) for text in found if text)

    @property
    def partial_tool_calls(self) -> list[Any]:
        """The tool calls that had arrived: whole ones, then those that were cut off.

        As in `AIMessage.tool_calls` and `AIMessage.invalid_tool_calls`; see `type`.
        """
        said = self._arrived()
        return [*said.tool_calls, *said.invalid_tool_calls] if said else []

    @property
    def billed(self) -> bool | None:
        """Whether the service has counted tokens for the last try.

        True: they are in `partial_usage`. False: surely none. `None`: not known, as
        after a timeout; then the service may have answered, and nobody was told.
        """
        if self.partial_usage:
            return True
        # Whatever the error: what has begun to arrive may have been counted.
        return None if self._arrived() else self._billed

    def __str__(self) -> str:
        """Return the message, whatever else the parents keep in `args`."""
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by class, text and data; subclasses share one initialiser."""
        state = dict(self.__dict__)
        if "rate_limits" in state:
            state["rate_limits"] = dict(state["rate_limits"])
        return (_rebuild, (_public_class(type(self)), self.message, state))


def _rebuild(
    cls: type[CerebrasError], message: str, state: dict[str, Any]
) -> CerebrasError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


# -------------------------------------------------------------- the SDK's classes

# Ours to the SDK's; a class that is not named here has what its parent has.
_SDK_NAMES = {
    "CerebrasError": "OpenAIError",
    "CerebrasConnectionError": "APIConnectionError",
    "CerebrasTimeoutError": "APITimeoutError",
    "CerebrasStatusError": "APIStatusError",
    "BadRequestError": "BadRequestError",
    "UnprocessableEntityError": "UnprocessableEntityError",
    "AuthenticationError": "AuthenticationError",
    "PermissionDeniedError": "PermissionDeniedError",
    "NotFoundError": "NotFoundError",
    "ConflictError": "ConflictError",
    "RateLimitError": "RateLimitError",
    "InternalServerError": "InternalServerError",
    "CerebrasResponseError": "APIError",
    "StreamInterruptedError": "APIConnectionError",
}
# Made when an error is raised and `openai` has been imported, one for each pair.
_with_parent: dict[tuple[type, type], type[CerebrasError]] = {}


def _with_sdk_parent(cls: type[CerebrasError]) -> type[CerebrasError]:
    """Return a class that `except openai.<...>` catches too, if anybody could say so.

    Nobody who has not imported `openai` pays for it.
    """
    sdk = sys.modules.get("openai")
    if sdk is None or "_public" in cls.__dict__:
        return cls
    theirs = _sdk_class(cls, sdk)
    if theirs is None:
        return cls
    made = _with_parent.get((cls, theirs))
    if made is None:
        try:
            made = _make_with_parent(cls, theirs)
        except Exception:  # noqa: BLE001 - it does not go together with ours
            return cls
        # Of two threads that make it at once, one class wins.
        made = _with_parent.setdefault((cls, theirs), made)
    return made


def _sdk_class(cls: type[CerebrasError], sdk: Any) -> type[Exception] | None:
    """Return the SDK's class for ours.

    There is none in another package of that name, nor while it is being imported.
    """
    ours = (parent for parent in cls.__mro__ if parent.__module__ == __name__)
    name = next(filter(None, (_SDK_NAMES.get(one.__name__) for one in ours)), "")
    try:
        theirs = getattr(sdk, name, None)
    except Exception:  # noqa: BLE001 - a lazy module may raise anything
        return None
    if isinstance(theirs, type) and issubclass(theirs, Exception):
        return theirs
    return None


def _make_with_parent(
    cls: type[CerebrasError], theirs: type[Exception]
) -> type[CerebrasError]:
    body = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "_public": cls,
        # Of the SDK's errors; a request holds the key, so there is none.
        "request": None,
    }
    made: type[CerebrasError] = type(cls.__name__, (cls, theirs), body)
    Exception.__new__(made)  # not every built-in parent allows it
    return made


def _public_class(cls: type[CerebrasError]) -> type[CerebrasError]:
    public: type[CerebrasError] = cls.__dict__.get("_public", cls)
    return public


class CerebrasConfigurationError(CerebrasError, ValueError):
    """A constructor argument or an environment variable is wrong."""


class MissingExtraError(CerebrasConfigurationError, ImportError):
    """A part of the package was used whose extra is not installed."""


class UnknownModelError(CerebrasConfigurationError, LookupError):
    """The catalog has no model of this id.

    Chatting with such a model is no error: it may be a dedicated endpoint.

    Attributes:
        model: The id that was looked up.
        suggestions: Known ids that look like it, the likeliest first.
    """

    model: str = ""
    suggestions: tuple[str, ...] = ()


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


_NOT_REACHED = frozenset({"dns", "refused", "tls", "proxy", "connect"})


class CerebrasConnectionError(CerebrasError, ModelConnectionError):
    """No answer came.

    Attributes:
        kind: `dns`, `refused`, `tls`, `proxy`, `reset`, `closed`, `protocol`
            or `other`.
    """

    is_retryable = True
    kind: str = "other"

    @property
    def billed(self) -> bool | None:
        """Whether the service has counted tokens: not if it was never reached."""
        return super().billed or (False if self.kind in _NOT_REACHED else None)


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
        response: Status, headers and body, as LangChain's tracers read them.
    """

    status_code: int = 0  # pyright: ignore[reportIncompatibleVariableOverride]
    response: ErrorResponse


class BadRequestError(CerebrasStatusError, ModelInvalidRequestError):
    """400: the service does not take the request."""


class UnprocessableEntityError(BadRequestError):
    """422: the service does not take the request; its status for that until 2026-04."""


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
    """404: no such model, or not for this key.

    Attributes:
        model: The model that was asked for.
        suggestions: Models of the catalog that look like it, the likeliest first.
    """

    model: str | None = None
    suggestions: tuple[str, ...] = ()


class ModelRetiredError(NotFoundError):
    """404: the model is no longer served.

    Also raised before anything is sent, where the catalog knows it and the public
    service would be asked; `attempts` and `status_code` are 0 then.

    Attributes:
        retired_on: Since when, as the catalog knows it.
        replacement: A model that is served and takes its place, if there is one.
    """

    retired_on: date | None = None
    replacement: str | None = None


class RequestTimeoutError(CerebrasStatusError, ModelTimeoutError):
    """408: the service gave up waiting."""

    is_retryable = True
    _billed = None


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
    _billed = None


class CerebrasResponseError(CerebrasError, ModelAPIError):
    """An answer came that cannot be read as the API's."""

    is_retryable = True
    _billed = None


class EmptyResponseError(CerebrasResponseError):
    """A 200 without choices."""


class StreamInterruptedError(CerebrasResponseError, ModelConnectionError):
    """A stream ended before its end: what had arrived is in `partial_message`."""

    is_retryable = True


class RateLimiterError(CerebrasError, ModelRateLimitError):
    """Our own rate limiter did not let a request pass; nothing was sent.

    Attributes:
        model: The model that was asked for.
    """

    is_retryable = True
    model: str | None = None


class RequestExceedsLimitError(RateLimiterError, ValueError):
    """A request that is larger than a limit can never pass."""

    is_retryable = False


class RateLimiterTimeoutError(RateLimiterError, ModelTimeoutError):
    """The wait for the limits would be longer than `max_wait`.

    Attributes:
        wait_s: How long it would be, in seconds, as far as that is known.
    """

    wait_s: float | None = None


class RateLimiterBackendError(RateLimiterError):
    """The server that keeps the shared limits cannot be reached."""


class BudgetExceeded(CerebrasError):  # noqa: N818 - the name by which budgets are known
    """A budget of yours is spent, or the next call would overdraw it.

    Nothing was sent. Amounts are in USD.

    Attributes:
        budget: The budget's name.
        per: What it keeps accounts for, as `user`.
        key: Whose account has too little; `None` where there is one for all, for calls
            without a user or the like, and where no account was asked.
        window_end: When the next window begins (UTC), if there is one and the call
            would fit into it.
        limit: Its limit.
        spent: What was spent in its window.
        reserved: What calls under way may still cost.
        estimate: What the refused call may cost; `None` where that is not known.
    """

    budget: str = ""
    per: str = ""
    key: str | None = None
    window_end: datetime | None = None
    limit: Decimal | None = None
    spent: Decimal | None = None
    reserved: Decimal | None = None
    estimate: Decimal | None = None


class UnknownPriceError(CerebrasError, ValueError):
    """No price is known of a model on a day; a cost of 0 would be a guess."""


class InvalidUsageError(CerebrasError, ValueError):
    """Token counts contradict themselves, such as more cached than prompt tokens."""


class LedgerError(CerebrasError):
    """A database of costs cannot be opened, read or written as asked."""


class LedgerNotFoundError(LedgerError):
    """There is no ledger at a place, and none was to be made."""


class NoLegError(CerebrasError):
    """No leg of a router can take the request; nothing was sent.

    Attributes:
        legs: What each leg lacks, as the router tells it.
    """

    legs: tuple[Any, ...] = ()


class AllLegsFailedError(CerebrasError):
    """Every leg of a router that was tried has failed.

    The last leg's error is the cause.

    Attributes:
        legs: The tries in their order, as the router tells them.
        errors: The error of each try.
    """

    legs: tuple[Any, ...] = ()
    errors: tuple[BaseException, ...] = ()


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

    def _arrived(self) -> AIMessage | None:
        return self.raw or self.partial_message


class StructuredOutputTruncatedError(StructuredOutputError):
    """The answer was cut off by a token limit."""


class StructuredOutputRefusedError(StructuredOutputError):
    """The model refused, or the service filtered the answer."""


class StructuredOutputMissingError(StructuredOutputError):
    """Text, or another tool's call, came where structure was due."""


class StructuredOutputInvalidError(StructuredOutputError):
    """The answer is no JSON or does not fit the schema."""


join_langchain()
