"""After which error a router asks the next leg, and after which it does not.

Pure. An error becomes a `Kind`, whoever raised it: this package's errors by their
class, others by LangChain's classes of model errors, by their HTTP status, and by the
names of well-known classes, none of which is imported. What nobody knows is taken for
a mistake in the program, which another model would not mend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeAlias,
    cast,
    get_args,
)

from langchain_core import exceptions as core

from langchain_cerebras_ext import errors as ours
from langchain_cerebras_ext._core_errors import join_langchain
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

join_langchain()  # they may have been imported before LangChain

__all__ = [
    "FallbackPolicy",
    "Kind",
    "OnMidstream",
    "OnOverflow",
    "Verdict",
    "asked_wait_s",
    "is_momentary",
    "kind_of",
    "status_of",
]

Kind: TypeAlias = Literal[
    "rate_limit",
    "quota",
    "server",
    "timeout",
    "network",
    "answer",
    "not_served",
    "budget",
    "unable",
    "overflow",
    "auth",
    "request",
    "structure",
    "refusal",
    "configuration",
    "unknown",
]
"""What went wrong:

- `rate_limit`: too many requests or tokens at the moment, a full queue;
- `quota`: an hour's or a day's allowance, or the account's credit, is spent;
- `server`: the service failed (5xx, 409); `timeout`, `network`: no answer came;
- `answer`: an answer that cannot be read, or that broke off;
- `not_served`: 404, 410: no such model, or no longer;
- `budget`: a budget of yours does not allow this leg's price;
- `unable`: the model does not offer what was asked for; nothing was sent;
- `overflow`: the prompt is longer than the model's context;
- `auth`: 401, 403; `request`: 400, 413, 422 and other mistakes of the caller's;
- `structure`: an answer that is not the asked structure; `refusal`: a model or a
  filter has refused;
- `configuration`: a leg that is set up wrongly; `unknown`: anything else.
"""
KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))

MOVES_ON: Final[frozenset[Kind]] = frozenset(
    {
        "rate_limit",
        "quota",
        "server",
        "timeout",
        "network",
        "answer",
        "not_served",
        "budget",
        "unable",
    }
)
"""The kinds after which another leg is asked, unless the policy says otherwise."""

LEG_FAULTS: Final[frozenset[Kind]] = frozenset(
    {"rate_limit", "quota", "server", "timeout", "network", "answer", "not_served"}
)
"""The kinds that say something of the leg, and nothing of the request."""

MOMENTARY: Final[frozenset[Kind]] = frozenset(
    {"rate_limit", "server", "timeout", "network"}
)
"""The kinds that may be over in a while."""

OnOverflow: TypeAlias = Literal["stop", "larger"]
OnMidstream: TypeAlias = Literal["raise", "restart", "buffer"]
Chosen: TypeAlias = type[BaseException] | int | str


class Verdict(NamedTuple):
    """What follows from an error.

    Attributes:
        kind: What it is.
        moves_on: Whether another leg is asked.
        only_larger: Whether that has to hold a longer prompt.
    """

    kind: Kind
    moves_on: bool
    only_larger: bool = False

    @property
    def is_leg_fault(self) -> bool:
        """Whether the leg has failed, and not the request or the caller.

        A breaker counts these.
        """
        return self.kind in LEG_FAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackPolicy:
    """After which errors a router asks the next leg.

    `move_on_for` and `stop_for` change the defaults. Each entry is a class of errors,
    an HTTP status or a `Kind`; a class wins over a status, a status over a kind, and of
    two classes the one that is nearer to the error's own.

    Attributes:
        move_on_for: Ask the next leg for these as well.
        stop_for: Raise these at once.
        on_context_overflow: `larger` asks the legs that hold a longer prompt, after a
            prompt was too long for one; `stop` raises.
        on_midstream: What happens when a stream fails after its first token:
            `raise` raises with what came; `restart` lets the next leg begin anew, where
            that can be told (see `ChatRouter`); `buffer` hands nothing on until an
            answer is whole.

    Raises:
        CerebrasConfigurationError: An entry means nothing, or stands in both lists.

    Example:
        ```python
        from langchain_cerebras_ext.errors import AuthenticationError
        from langchain_cerebras_ext.routing.policy import FallbackPolicy

        policy = FallbackPolicy(move_on_for=[AuthenticationError, 403])
        ```
    """

    move_on_for: tuple[Chosen, ...] = ()
    stop_for: tuple[Chosen, ...] = ()
    on_context_overflow: OnOverflow = "stop"
    on_midstream: OnMidstream = "raise"

    def __post_init__(self) -> None:
        """Take lists for tuples, and refuse what makes no sense."""
        for name in ("move_on_for", "stop_for"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        both = set(self.move_on_for) & set(self.stop_for)
        if both:
            shown = ", ".join(sorted(_shown(one) for one in both))
            msg = f"{shown} stands in both move_on_for and stop_for; choose one."
            raise CerebrasConfigurationError(msg)
        _one_of("on_context_overflow", self.on_context_overflow, OnOverflow)
        _one_of("on_midstream", self.on_midstream, OnMidstream)

    def judge(self, error: BaseException) -> Verdict:
        """Return what follows from a leg's error."""
        kind = kind_of(error)
        told = self._told(error, kind)
        if told is not None:
            return Verdict(kind, moves_on=told)
        if kind == "overflow":
            larger = self.on_context_overflow == "larger"
            return Verdict(kind, moves_on=larger, only_larger=larger)
        return Verdict(kind, moves_on=kind in MOVES_ON)

    def _told(self, error: BaseException, kind: Kind) -> bool | None:
        """Return what the lists say, if they say anything."""
        if not self.move_on_for and not self.stop_for:
            return None
        names: list[object] = [*type(error).__mro__, _status_of(error), kind]
        for name in names:
            if name in self.stop_for:
                return False
            if name in self.move_on_for:
                return True
        return None


def _checked(name: str, given: object) -> tuple[Chosen, ...]:
    entries: Any = (
        given if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    )
    for one in entries:
        if isinstance(one, type) and issubclass(one, Exception):
            continue
        if isinstance(one, int) and not isinstance(one, bool) and _ERROR <= one < _END:
            continue
        if isinstance(one, str) and one in KINDS:
            continue
        msg = (
            f"{name} has {_shown(one)}, which is neither a class of exceptions, nor an "
            f"HTTP status of 400 to 599, nor one of {', '.join(sorted(KINDS))}."
        )
        raise CerebrasConfigurationError(msg)
    return tuple(entries)


def _shown(one: object) -> str:
    return one.__name__ if isinstance(one, type) else repr(one)


def _one_of(name: str, value: object, choices: Any) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        msg = f"{name}={value!r} must be one of {', '.join(allowed)}."
        raise CerebrasConfigurationError(msg)


# -------------------------------------------------------------------- what an error is

_ERROR: Final = 400
_END: Final = 600
_SERVER: Final = 500
_LONG_WINDOWS: Final = frozenset({"hour", "day"})


def kind_of(error: BaseException) -> Kind:
    """Return what an error is, whoever raised it."""
    if isinstance(error, ours.RateLimitError) and error.window in _LONG_WINDOWS:
        return "quota"
    # LangChain's parents of foreign errors, and all of ours, tell by the class alone.
    found: Kind | None = _kind_of_class(cast("Any", type(error)))
    if found is None:
        found = _kind_by_status(error) or _kind_by_type(error) or "unknown"
    elif found == "unknown":  # ours, and of no class of its own
        found = _STATUS.get(_status_of(error) or 0, found)
    if found == "rate_limit" and _code_of(error) in _QUOTA_CODES:
        return "quota"
    if found == "request":
        if _code_of(error) in _REFUSAL_CODES:
            return "refusal"
        if _is_overflow(error):
            return "overflow"
    return found


# Of ours; the first that fits. `is_retryable` of the class decides about the rest: that
# of an instance is False once the leg's own retries have given up.
_OURS: Final[tuple[tuple[type[BaseException], Kind], ...]] = (
    (ours.AllLegsFailedError, "server"),
    (ours.NoLegError, "unable"),
    (ours.BudgetExceeded, "budget"),
    (ours.ContextLengthError, "overflow"),
    (ours.SchemaNotSupportedError, "request"),
    (ours.UnsupportedFeatureError, "unable"),
    (ours.RequestExceedsLimitError, "quota"),
    (ours.RateLimiterError, "rate_limit"),
    (ours.RateLimitError, "rate_limit"),
    (ours.PaymentRequiredError, "quota"),
    (ours.NotFoundError, "not_served"),
    (ours.StructuredOutputRefusedError, "refusal"),
    (ours.StructuredOutputError, "structure"),
    (ours.CerebrasResponseError, "answer"),
    (ours.CerebrasConfigurationError, "configuration"),
    (ours.CerebrasInvalidRequestError, "request"),
)
_REFUSALS: type[BaseException] | None = getattr(
    core, "ModelRefusalError", None
)  # of langchain-core 1.7.5
_CORE: Final[tuple[tuple[type[BaseException], Kind], ...]] = (
    (core.ContextOverflowError, "overflow"),
    *(((_REFUSALS, "refusal"),) if _REFUSALS else ()),
    (core.ModelTimeoutError, "timeout"),
    (core.ModelRateLimitError, "rate_limit"),
    (core.ModelConnectionError, "network"),
    (core.ModelAPIError, "server"),
    (core.ModelNotFoundError, "not_served"),
    (core.ModelAuthenticationError, "auth"),
    (core.ModelPermissionDeniedError, "auth"),
    (core.ModelInvalidRequestError, "request"),
    (core.OutputParserException, "structure"),
)


@lru_cache(maxsize=512)
def _kind_of_class(cls: type[BaseException]) -> Kind | None:
    if issubclass(cls, ours.CerebrasError):
        for parent, kind in (*_OURS, *_CORE):
            if issubclass(cls, parent):
                return kind
        return "server" if cls.is_retryable else "unknown"
    return next((kind for parent, kind in _CORE if issubclass(cls, parent)), None)


_STATUS: Final[dict[int, Kind]] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_served",
    408: "timeout",
    409: "server",
    410: "not_served",
    425: "rate_limit",
    429: "rate_limit",
    504: "timeout",
}


def _kind_by_status(error: BaseException) -> Kind | None:
    status = _status_of(error)
    if status is None:
        return None
    known = _STATUS.get(status)
    if known is not None:
        return known
    return "server" if status >= _SERVER else "request"


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error tells of, whoever raised it."""
    return _status_of(error)


def _status_of(error: BaseException) -> int | None:
    """Return the status under any of the names that SDKs have for it.

    `status_code`: openai, anthropic, groq, mistral, ollama, LangChain's own; `code`:
    Google's; `status`: aiohttp; `http_status`: older ones; then that of the response.
    """
    for name in ("status_code", "code", "status", "http_status"):
        value = getattr(error, name, None)
        if callable(value):  # grpc has a method `code`
            continue
        if isinstance(value, int) and _ERROR <= value < _END:
            return int(value)
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        response = response.get("ResponseMetadata") or {}
        value = response.get("HTTPStatusCode") if isinstance(response, dict) else None
    else:
        value = getattr(response, "status_code", None)
    return int(value) if isinstance(value, int) and _ERROR <= value < _END else None


def is_momentary(error: BaseException) -> bool:
    """Whether the same call may succeed in a while."""
    if isinstance(error, (ours.AllLegsFailedError, ours.NoLegError)):
        return error.is_retryable  # a router has seen what its legs were up to
    return kind_of(error) in MOMENTARY


def asked_wait_s(error: BaseException) -> float | None:
    """Return for how long the service asked to be left alone, whoever raised it."""
    own = getattr(error, "retry_after_s", None)
    if own is None:
        headers: Mapping[str, Any] | None = getattr(
            getattr(error, "response", None), "headers", None
        )
        get = getattr(headers, "get", None)
        if not callable(get):
            return None
        for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            try:
                own = float(str(get(name))) * unit
            except ValueError:
                continue
            break
    if not isinstance(own, (int, float)) or not math.isfinite(own):
        return None
    return max(0.0, float(own))


# Classes by their names, as far as those are used by one meaning only. `openai` and the
# SDKs made alike (anthropic, groq, cerebras) name them so; then those of transports.
_NAMES: Final[dict[str, Kind]] = {
    "APITimeoutError": "timeout",
    "APIConnectionError": "network",
    "APIResponseValidationError": "answer",
    "RateLimitError": "rate_limit",
    "LengthFinishReasonError": "structure",
    "ContentFilterFinishReasonError": "refusal",
    "TimeoutException": "timeout",
    "TransportError": "network",
    "ClientConnectionError": "network",
    "ClientPayloadError": "network",
    "ServerTimeoutError": "timeout",
    "RemoteProtocolError": "network",
    "IncompleteRead": "network",
    "ProtocolError": "network",
    "NewConnectionError": "network",
    "MaxRetryError": "network",
    "EndpointConnectionError": "network",
    "ReadTimeoutError": "timeout",
    "ConnectTimeoutError": "timeout",
    "Timeout": "timeout",
    "ServiceUnavailable": "server",
    "ThrottlingException": "rate_limit",
}
_TRANSPORTS: Final = frozenset(
    {
        "openai",
        "anthropic",
        "groq",
        "cerebras",
        "mistralai",
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "requests",
        "urllib3",
        "aiohttp",
        "http",
        "botocore",
        "google",
        "ollama",
        "openrouter",
        "cohere",
        "together",
        "fireworks",
    }
)
# What error events of streams that began with a 200 say of themselves.
_TYPES: Final[dict[str, Kind]] = {
    "overloaded_error": "server",
    "api_error": "server",
    "server_error": "server",
    "internal_server_error": "server",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "timeout_error": "timeout",
    "not_found_error": "not_served",
    "authentication_error": "auth",
    "permission_error": "auth",
    "invalid_request_error": "request",
    "insufficient_quota": "quota",
}
_BUILT_IN: Final[tuple[tuple[type[BaseException], Kind], ...]] = (
    (TimeoutError, "timeout"),
    (ConnectionError, "network"),
)
_OF_SOCKETS: Final = frozenset({"gaierror", "herror", "SSLError"})


def _kind_by_type(error: BaseException) -> Kind | None:
    for parent in type(error).__mro__:
        root = parent.__module__.partition(".")[0]
        if root in _TRANSPORTS and parent.__name__ in _NAMES:
            return _NAMES[parent.__name__]
        if root in {"socket", "ssl"} and parent.__name__ in _OF_SOCKETS:
            return "network"
    for one, kind in _BUILT_IN:
        if isinstance(error, one):
            return kind
    said = _TYPES.get(_code_of(error) or "") or _TYPES.get(_type_of(error) or "")
    return said or ("server" if _is_sdk_error(error) else None)


def _is_sdk_error(error: BaseException) -> bool:
    """Whether an SDK made like openai's says no more than that the service failed."""
    return any(
        parent.__name__ == "APIError" and parent.__module__.split(".")[0] in _TRANSPORTS
        for parent in type(error).__mro__
    )


def _texts(error: BaseException, name: str) -> Iterable[str]:
    """Yield what an error, or its body, says under a name."""
    value = getattr(error, name, None)
    if isinstance(value, str):
        yield value
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error")
        for place in (inner, body):
            found = place.get(name) if isinstance(place, dict) else None
            if isinstance(found, str):
                yield found


def _code_of(error: BaseException) -> str | None:
    return next(iter(_texts(error, "code")), None)


def _type_of(error: BaseException) -> str | None:
    return next((text for text in _texts(error, "type") if text != "error"), None)


_QUOTA_CODES: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "quota_exceeded"}
)
# Of Azure, and of OpenAI: a filter has refused the prompt, or what came of it.
_REFUSAL_CODES: Final = frozenset(
    {"content_filter", "content_policy_violation", "moderation_blocked"}
)
_OVERFLOW_CODES: Final = frozenset({"context_length_exceeded", "string_above_max"})
# In the words of OpenAI and vLLM, Anthropic, Google, Groq and llama.cpp.
_OVERFLOW_WORDS: Final = (
    "maximum context length",
    "prompt is too long",
    "input token count exceeds",
    "exceeds the maximum number of tokens",
    "reduce the length of the messages",
    "exceeds the available context size",
    "exceeds the context window",
)


def _is_overflow(error: BaseException) -> bool:
    if isinstance(error, ours.CerebrasError):
        return False  # has a class for it
    if _code_of(error) in _OVERFLOW_CODES:
        return True
    said = str(error).lower()
    return any(words in said for words in _OVERFLOW_WORDS)
