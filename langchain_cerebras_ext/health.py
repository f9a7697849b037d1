"""Is the service well, for this key and this model?

One examination, without I/O, asks for one answer after the other and makes the report
of what it was told; the sync and the async function only fetch. No tokens are spent
unless asked for, nothing is tried twice, and an unwell service is a report, no error.
"""

from __future__ import annotations

import logging
import re
import time
from contextlib import aclosing, closing
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import quote, urlsplit

from langchain_cerebras_ext import _config
from langchain_cerebras_ext._client import (
    Answer,
    aopen_stream,
    asend,
    open_stream,
    send,
)
from langchain_cerebras_ext._metadata import (
    AnswerFacts,
    measured,
    to_usage_metadata,
)
from langchain_cerebras_ext._status import rate_limits, status_error
from langchain_cerebras_ext._stream_reader import status_in
from langchain_cerebras_ext.catalog import (
    deprecation_notice,
    find_model,
    list_models,
    suggest,
)
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    CerebrasConfigurationError,
    CerebrasError,
    CerebrasResponseError,
    CerebrasStatusError,
    CerebrasTimeoutError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    mask_secrets,
)
from langchain_cerebras_ext.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from langchain_cerebras_ext._client import AsyncOpenStream, Call, OpenStream
    from langchain_cerebras_ext._connection import CerebrasConnection
    from langchain_cerebras_ext._http import AsyncTransport, SyncTransport
    from langchain_cerebras_ext.catalog import Notice

__all__ = [
    "DeepResult",
    "HeadRoom",
    "HealthCheck",
    "HealthReport",
    "RetirementNotice",
    "ahealth_check",
    "health_check",
]

_log = logging.getLogger("langchain_cerebras_ext.health")

DEFAULT_TIMEOUT_S: Final = 10.0
DEEP_TOKENS: Final = 16
"""What a deep check may spend on its answer: a few, so that a rate can be told."""
RETIREMENT_WARNING_DAYS: Final = 60
"""An end that is further away is told, but no warning; Cerebras tells 2 to 5 weeks."""

_LOW_SHARE = 0.1
_FEW_S = 0.01
_SHORTEST_S = 0.001
_MAX_BODY_BYTES = 1 << 22
_MAX_NAME_CHARS = 120
_MAX_TEXT_CHARS = 600
_MAX_SUGGESTIONS = 3
_REDIRECT, _ERROR, _SUCCESS = 300, 400, range(200, 300)
_NO_SUCH_PATH = frozenset({404, 405, 501})
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LIMIT_HEADER = re.compile(r"x-ratelimit-(limit|remaining|reset)-(.+)")

CheckStatus: TypeAlias = Literal["ok", "warning", "failed", "skipped"]


# ------------------------------------------------------------------------ the report


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at.

    Attributes:
        name: `connection`, `service`, `key`, `model`, `retirement`, `rate_limits`
            or `answer`.
        status: `ok`, `warning`, `failed` or `skipped`.
        message: What was found; of a failure the error's text.
        cure: What to do, where the message does not say so.
    """

    name: str
    status: CheckStatus
    message: str
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class HeadRoom:
    """How much of one rate limit is left; `None` is what the service did not tell.

    Attributes:
        name: What is limited, as the service names it, such as `requests-day`.
        limit: How much there is in all.
        remaining: How much is left.
        reset_s: Seconds until all of it is there again.
    """

    name: str
    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class RetirementNotice:
    """What the catalog knows of a model's end.

    Attributes:
        stage: Where in its life the model is, as `Lifecycle.stage` of the catalog.
        retired_on: The day of its end; `None` where no day is known.
        days_left: Days until then: 0 on the day, negative after it.
        replacement: A model that is served and takes its place, if there is one.
    """

    stage: str
    retired_on: date | None
    days_left: int | None
    replacement: str | None


@dataclass(frozen=True, slots=True)
class DeepResult:
    """What a short answer of the model showed.

    Attributes:
        model: The model that answered, as the service names it.
        first_token_s: Seconds to the first token; `None` if it was not streamed.
        elapsed_s: Seconds to the end.
        output_tokens_per_s: As the service timed it; else as measured here.
        input_tokens: Tokens of the prompt; `None` where nothing was counted.
        output_tokens: Tokens of the answer.
        total_tokens: What the check has cost.
    """

    model: str | None
    first_token_s: float | None
    elapsed_s: float
    output_tokens_per_s: float | None
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Whether a model can be used, and how well.

    Attributes:
        base_url: Where was asked.
        model: Which model was asked for.
        checks: What was looked at, in order.
        reachable: Whether any answer came.
        latency_s: Seconds for a plain request on an open connection.
        first_request_s: Seconds for the request before it, which looks up the name
            and opens the connection unless one was open. The first call of a process
            loads libraries too, asynchronous ones longest.
        key_valid: Whether the key was accepted; `None` where that cannot be told, as on
            a server that asks for none.
        model_served: Whether the model is served to this key; `None` where the server
            does not say which it has.
        suggestions: Models to use instead, where it is not.
        rate_limits: The head-room; `None` where the service sent none.
        retirement: The model's end; `None` if none is known.
        deep: What the model answered; `None` unless it was asked.

    Example:
        ```python
        report = ChatCerebras().health_check()
        if not report.ok:
            print(report)
        ```
    """

    base_url: str
    model: str
    checks: tuple[HealthCheck, ...]
    reachable: bool
    latency_s: float | None = None
    first_request_s: float | None = None
    key_valid: bool | None = None
    model_served: bool | None = None
    suggestions: tuple[str, ...] = ()
    rate_limits: tuple[HeadRoom, ...] | None = None
    retirement: RetirementNotice | None = None
    deep: DeepResult | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing has failed; there may be warnings."""
        return not self.failed

    @property
    def failed(self) -> tuple[HealthCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "failed")

    @property
    def warnings(self) -> tuple[HealthCheck, ...]:
        """The checks that ended in a warning."""
        return tuple(check for check in self.checks if check.status == "warning")

    @property
    def verdict(self) -> str:
        """The result in words, with the names of the checks that are not well."""
        found = self.failed or self.warnings
        if not found:
            return "healthy"
        names = ", ".join(check.name for check in found)
        return f"unhealthy: {names}" if self.failed else f"healthy, but: {names}"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it, `ok` and `verdict` included."""
        return {"ok": self.ok, "verdict": self.verdict, **_plain_dict(self)}

    def __str__(self) -> str:
        """Return the report in lines."""
        lines = [f"{self.model} at {self.base_url} is {self.verdict}"]
        for check in self.checks:
            lines.append(f"  {check.status:<8} {check.name:<12} {check.message}")
            if check.cure:
                lines.append(f"  {'':<21} -> {check.cure}")
        return "\n".join(lines)


def _plain_dict(value: Any) -> dict[str, Any]:
    return {
        each.name: _plain_value(getattr(value, each.name)) for each in fields(value)
    }


def _plain_value(value: Any) -> Any:
    if is_dataclass(value):
        return _plain_dict(value)
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


# ------------------------------------------------------------- what is asked and told


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request to be made; `kind` says how its answer is read."""

    call: Call
    kind: Literal["page", "stream", "answer"] = "page"


@dataclass(frozen=True, slots=True)
class _Page:
    """A whole answer of any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class _Spoken:
    """What the model answered, and the headers of it."""

    result: DeepResult
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Listing:
    """The models of this key."""

    models: tuple[str, ...]
    deprecated: frozenset[str]
    page: _Page


_Outcome: TypeAlias = "_Page | _Spoken | CerebrasError"


class _Body:
    """Collects a body, up to a bound."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            CerebrasResponseError: It is too much.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _MAX_BODY_BYTES:
            msg = (
                f"The answer is longer than {_MAX_BODY_BYTES} bytes, which no list of "
                "models is. Is base_url right?"
            )
            raise CerebrasResponseError(msg, is_retryable=False)

    def whole(self) -> bytes:
        """Return what came."""
        return b"".join(self._pieces)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be examined, by when, and the requests for it."""

    connection: CerebrasConnection
    deep: bool
    timeout_s: float
    today: date
    clock: Callable[[], float]
    deadline: float

    @property
    def model(self) -> str:
        return self.connection.model_name

    @property
    def base_url(self) -> str:
        return _config.normalise_base_url(self.connection.cerebras_api_base)

    @property
    def key(self) -> str | None:
        return self.connection._key()  # noqa: SLF001 - our own class

    @property
    def left_s(self) -> float:
        """Seconds until the check must end."""
        return self.deadline - self.clock()

    def page(self, path: str, *, with_key: bool = True) -> _Ask:
        """Ask for a page, with or without what proves who we are."""
        call: Call = self.connection._call(  # noqa: SLF001 - our own class
            None, stream=False, path=path, method="GET"
        )
        if not with_key:
            call = replace(call, headers=_without_secrets(call.headers))
        return _Ask(self._bounded(call))

    def chat(self) -> _Ask:
        """Ask the model for a few tokens."""
        stream = getattr(self.connection, "disable_streaming", False) is not True
        payload = _deep_payload(self.connection._path, self.model, stream=stream)  # noqa: SLF001
        if stream and not _is_public(self.base_url):
            # Cerebras counts unasked; other servers tell of a stream's tokens only so.
            payload["stream_options"] = {"include_usage": True}
        call: Call = self.connection._call(payload, stream=stream, model=self.model)  # noqa: SLF001
        return _Ask(self._bounded(call), "stream" if stream else "answer")

    def _bounded(self, call: Call) -> Call:
        """Give a call what is left of the time, and a single try."""
        left_s = max(self.left_s, _SHORTEST_S)
        connect_s = call.timeouts.connect_s
        timeouts = replace(
            call.timeouts,
            connect_s=left_s if connect_s is None else min(connect_s, left_s),
            read_s=left_s,
            total_s=left_s,
            first_byte_s=None,
        )
        return replace(call, timeouts=timeouts, policy=RetryPolicy(max_retries=0))


def _without_secrets(headers: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if not _config.is_secret_header(name)
    }


def _deep_payload(path: str, model: str, *, stream: bool) -> dict[str, Any]:
    if path == "/completions":
        payload: dict[str, Any] = {"prompt": "One, two,", "max_tokens": DEEP_TOKENS}
    else:
        messages = [{"role": "user", "content": "Count to ten."}]
        payload = {"messages": messages, "max_completion_tokens": DEEP_TOKENS}
    return {"model": model, **payload, "stream": stream}


def _deep_result(
    facts: AnswerFacts, elapsed_s: float, first_token_s: float | None
) -> DeepResult:
    usage = to_usage_metadata(facts.usage)
    output = usage["output_tokens"] if usage else None
    timed = (facts.time_info or {}).get("completion_time")
    if output and isinstance(timed, (int, float)) and timed > 0:
        rate: float | None = output / timed
    else:
        rate = measured(
            elapsed_s=elapsed_s, first_token_s=first_token_s, output_tokens=output
        ).get("output_tokens_per_s")
    return DeepResult(
        model=facts.model,
        first_token_s=first_token_s,
        elapsed_s=elapsed_s,
        output_tokens_per_s=rate,
        input_tokens=usage["input_tokens"] if usage else None,
        output_tokens=output,
        total_tokens=usage["total_tokens"] if usage else None,
    )


def _of_stream(stream: OpenStream | AsyncOpenStream) -> _Spoken:
    facts = stream.reader.facts
    result = _deep_result(facts, stream.elapsed_s, stream.first_token_s)
    return _Spoken(result, stream.headers)


def _of_answer(answer: Answer) -> _Spoken:
    facts = AnswerFacts()
    facts.update(answer.response)
    return _Spoken(_deep_result(facts, answer.elapsed_s, None), answer.headers)


# ------------------------------------------------------------------- the examination


@dataclass(slots=True)
class _Facts:
    """What came back, and the findings that follow from it."""

    plan: _Plan
    first: _Page | CerebrasError | None = None
    listing: _Listing | CerebrasError | None = None
    # Whether the list is refused to those who show no key.
    key_is_asked_for: bool | None = None
    retrieved: bool | None = None
    spoken: _Spoken | CerebrasError | None = None

    @property
    def reachable(self) -> bool:
        return isinstance(self.first, _Page)

    @property
    def may_ask_the_model(self) -> bool:
        """Whether it makes sense and there is time: nothing is paid in vain."""
        return self.reachable and self.key_valid is not False and self.plan.left_s > 0

    @property
    def has_key(self) -> bool:
        call = self.plan.page("/models").call
        return any(_config.is_secret_header(name) for name in call.headers)

    @property
    def has_no_list(self) -> bool:
        """Whether the server has no such page, which says nothing of its health."""
        return (
            isinstance(self.listing, CerebrasStatusError)
            and self.listing.status_code in _NO_SUCH_PATH
        )

    @property
    def key_valid(self) -> bool | None:
        told = (self.listing, self.spoken)
        if any(isinstance(each, AuthenticationError) for each in told):
            return False
        if not any(isinstance(each, (_Listing, _Spoken)) for each in told):
            return None
        is_asked_for = self.key_is_asked_for or _is_public(self.plan.base_url)
        return True if self.has_key and is_asked_for else None

    @property
    def model_served(self) -> bool | None:
        if isinstance(self.spoken, _Spoken):
            return True
        if isinstance(self.spoken, NotFoundError) and _is_of_model(self.spoken):
            return False
        if isinstance(self.listing, _Listing):
            return self.plan.model in self.listing.models or self.retrieved is True
        return None

    @property
    def notice(self) -> Notice | None:
        """What the catalog tells of the model's end, if it knows of one."""
        card = find_model(self.plan.model)
        return deprecation_notice(card, self.plan.today) if card else None

    @property
    def head_room(self) -> tuple[HeadRoom, ...] | None:
        """What the newest answer that has such headers says."""
        for told in (self.spoken, self.listing):
            if isinstance(told, CerebrasStatusError):
                found = _head_room(told.response.headers)
            elif isinstance(told, _Listing):
                found = _head_room(told.page.headers)
            elif isinstance(told, _Spoken):
                found = _head_room(told.headers)
            else:
                continue
            if found:
                return found
        return None

    @property
    def suggestions(self) -> tuple[str, ...]:
        if self.model_served is not False:
            return ()
        served = self.listing.models if isinstance(self.listing, _Listing) else None
        return _suggestions(self.plan.model, served)


def _examine(plan: _Plan) -> Generator[_Ask, Any, HealthReport]:
    """Ask for one answer after the other; return the report.

    The first request opens the connection and shows that somebody answers, so that
    the second one's time is that of a plain request. It needs no key.
    """
    facts = _Facts(plan)
    facts.first = yield plan.page("/tcp_warming", with_key=False)
    if facts.reachable:
        ask = plan.page("/models")
        facts.listing = _read_listing(plan, (yield ask))
    if isinstance(facts.listing, _Listing):
        if facts.has_key and not _is_public(plan.base_url):
            told = yield plan.page("/models", with_key=False)
            facts.key_is_asked_for = isinstance(told, _Page) and told.status in {
                401,
                403,
            }
        if plan.model not in facts.listing.models:
            told = yield plan.page(f"/models/{quote(plan.model, safe='/:')}")
            facts.retrieved = isinstance(told, _Page) and _is_model(told)
    if plan.deep and facts.may_ask_the_model:
        facts.spoken = yield plan.chat()
    return _report(facts)


def _report(facts: _Facts) -> HealthReport:
    plan = facts.plan
    checks = [
        _check_connection(facts),
        _check_service(facts),
        _check_key(facts),
        _check_model(facts),
        _check_retirement(facts),
        _check_rate_limits(facts),
    ]
    if plan.deep:
        checks.append(_check_answer(facts))
    listing, first, spoken = facts.listing, facts.first, facts.spoken
    return HealthReport(
        base_url=plan.base_url,
        model=plan.model,
        checks=tuple(_safe(check, plan.key) for check in checks),
        reachable=facts.reachable,
        latency_s=listing.page.elapsed_s if isinstance(listing, _Listing) else None,
        first_request_s=first.elapsed_s if isinstance(first, _Page) else None,
        key_valid=facts.key_valid,
        model_served=facts.model_served,
        suggestions=facts.suggestions,
        rate_limits=facts.head_room,
        retirement=_retirement(facts.notice),
        deep=spoken.result if isinstance(spoken, _Spoken) else None,
    )


def _safe(check: HealthCheck, key: str | None) -> HealthCheck:
    """Return a check on one line each, without keys and without end."""

    def clean(text: str) -> str:
        line = _CONTROLS.sub(" ", mask_secrets(text, key)).strip()
        cut = line[: _MAX_TEXT_CHARS - 3].rstrip() + "..."
        return line if len(line) <= _MAX_TEXT_CHARS else cut

    cure = clean(check.cure) if check.cure else None
    return replace(check, message=clean(check.message), cure=cure)


# ---------------------------------------------------------------------- the checks


def _check_connection(facts: _Facts) -> HealthCheck:
    name = "connection"
    if isinstance(facts.first, _Page):
        took = _seconds(facts.first.elapsed_s)
        return HealthCheck(name, "ok", f"The first answer came after {took}.")
    return _failure(name, facts, facts.first)


def _check_service(facts: _Facts) -> HealthCheck:
    name = "service"
    told = facts.listing
    if isinstance(told, _Listing):
        took = _seconds(told.page.elapsed_s)
        return HealthCheck(name, "ok", f"GET /v1/models was answered in {took}.")
    if told is None:
        return _skipped(name, "the server cannot be reached")
    if isinstance(told, (AuthenticationError, PermissionDeniedError)):
        return HealthCheck(name, "ok", f"It answers, with status {told.status_code}.")
    if facts.has_no_list and isinstance(told, CerebrasStatusError):
        said = f"The server has no GET /v1/models (it answered {told.status_code})"
        if facts.spoken is not None:
            return HealthCheck(name, "skipped", f"{said}; the model itself was asked.")
        return HealthCheck(
            name,
            "warning",
            f"{said}, so that neither the key nor the model could be checked.",
            f"See whether base_url is right; a deep check asks '{facts.plan.model}' "
            "itself.",
        )
    return _failure(name, facts, told)


def _check_key(facts: _Facts) -> HealthCheck:
    name = "key"
    for told in (facts.listing, facts.spoken):
        if isinstance(
            told, (AuthenticationError, PermissionDeniedError, PaymentRequiredError)
        ):
            key = facts.plan.key
            hint = _config.foreign_key_hint(key) if key else None
            return replace(_failure(name, facts, told), cure=hint)
    if facts.key_valid:
        return HealthCheck(name, "ok", "The key is accepted.")
    if facts.key_valid is None and isinstance(facts.listing, _Listing):
        sent = "accepts any key" if facts.has_key else "asks for none"
        return _skipped(name, f"the server {sent}")
    return _skipped(name, "no answer tells whether it is accepted")


def _check_model(facts: _Facts) -> HealthCheck:
    name, model, listing = "model", facts.plan.model, facts.listing
    if facts.model_served is None:
        return _skipped(name, "the service has not told which models it has")
    if facts.model_served:
        listed = not isinstance(listing, _Listing) or model in listing.models
        said = "is served" if listed else "is not listed, but it is served"
        return HealthCheck(name, "ok", f"'{model}' {said}.")
    if isinstance(listing, _Listing):
        count = len(listing.models)
        said = f"'{model}' is not among the models that are served here ({count})."
    else:
        said = f"'{model}' is not served here."
    names = " or ".join(f"'{each}'" for each in facts.suggestions)
    cure = f"Use {names}." if names else "Ask for a model that this server has."
    if not _is_public(facts.plan.base_url) and not facts.plan.deep:
        cure += " Some servers take any name: a deep check would show it."
    return HealthCheck(name, "failed", said, cure)


def _check_retirement(facts: _Facts) -> HealthCheck:
    name, model, listing = "retirement", facts.plan.model, facts.listing
    notice, cure = facts.notice, facts.notice.use if facts.notice else None
    if isinstance(listing, _Listing) and model in listing.deprecated:
        said = f"The service marks '{model}' as deprecated."
        return HealthCheck(name, "warning", said, cure)
    card = find_model(model)
    if card is None:
        return _skipped(name, f"the catalog has no model '{model}'")
    if notice is None:
        if card.status == "dedicated-only":
            return _skipped(name, f"'{model}' is for dedicated endpoints only")
        return HealthCheck(name, "ok", f"No end is known, as of {card.status_as_of}.")
    left, served = notice.days_left, facts.model_served
    if notice.stage == "deprecated":
        is_far = left is not None and left > RETIREMENT_WARNING_DAYS
        return HealthCheck(name, "ok" if is_far else "warning", notice.what, cure)
    if served is False:
        return HealthCheck(name, "failed", notice.what, cure)
    if served and notice.stage == "dedicated-only":
        return HealthCheck(name, "ok", notice.what)
    said = f"{notice.what} It is still served here." if served else notice.what
    return HealthCheck(name, "warning", said, cure)


def _check_rate_limits(facts: _Facts) -> HealthCheck:
    name, rooms = "rate_limits", facts.head_room
    if rooms is None:
        return _skipped(name, "the service sent no x-ratelimit headers")
    low = [room for room in rooms if _is_low(room)]
    said = "; ".join(_room_in_words(room) for room in (low or rooms))
    if not low:
        return HealthCheck(name, "ok", f"Left: {said}.")
    cure = "Wait, send less, or have the limits raised at https://cloud.cerebras.ai."
    return HealthCheck(name, "warning", f"Little is left: {said}.", cure)


def _check_answer(facts: _Facts) -> HealthCheck:
    name = "answer"
    told = facts.spoken
    if told is None:
        return _skipped(name, "the model was not asked, after what went before")
    if not isinstance(told, _Spoken):
        return _failure(name, facts, told)
    result = told.result
    parts = [f"The model answered in {_seconds(result.elapsed_s)}"]
    if result.first_token_s is not None:
        parts.append(f"first token after {_seconds(result.first_token_s)}")
    if result.output_tokens_per_s is not None:
        parts.append(f"{result.output_tokens_per_s:,.0f} tokens/s")
    spent = result.total_tokens
    parts.append("tokens unknown" if spent is None else f"{spent} tokens spent")
    return HealthCheck(name, "ok", f"{', '.join(parts)}.")


def _skipped(name: str, why: str) -> HealthCheck:
    return HealthCheck(name, "skipped", f"Not known: {why}.")


def _failure(name: str, facts: _Facts, error: CerebrasError | None) -> HealthCheck:
    """Return an error as a check; of a passed limit the one that the user knows."""
    if isinstance(error, CerebrasTimeoutError) and error.kind != "connect":
        said = f"No answer within the {facts.plan.timeout_s:g} s for the whole check."
        return HealthCheck(name, "failed", said, "Try again, or raise the timeout.")
    return HealthCheck(name, "failed", str(error))


# ----------------------------------------------------------------- readings, no I/O


def _read_listing(plan: _Plan, told: _Page | CerebrasError) -> _Listing | CerebrasError:
    """Return the models of an answer, or what is wrong with it."""
    if isinstance(told, CerebrasError):
        return told
    key, headers = plan.key, told.headers
    if told.status >= _ERROR:
        return status_error(told.status, told.body, headers, api_key=key)
    if told.status >= _REDIRECT:
        place = mask_secrets(headers.get("location", "nowhere"), key)
        return CerebrasResponseError(
            f"{plan.base_url}/models answered {told.status}, a redirect to {place}. "
            "Redirects are not followed, so that the key stays with the host it was "
            "meant for; set base_url to the right address.",
            is_retryable=False,
        )
    decoded = _json(told.body)
    if not isinstance(decoded, dict) or not _has_list(decoded):
        if isinstance(decoded, dict) and {"error", "message", "detail"} & set(decoded):
            status = status_in(told.body) or 500
            return status_error(status, told.body, headers, api_key=key)
        shown = mask_secrets(told.body[:200].decode("utf-8", "replace"), key)
        kind = headers.get("content-type", "no content type")
        return CerebrasResponseError(
            f"GET /v1/models was answered with a body ({kind}) that is no list of "
            f"models. It begins with {shown[:80]!r}. Is base_url right?",
            is_retryable=False,
        )
    # Null for an empty list is what some servers send.
    rows = [row for row in decoded["data"] or () if _is_row(row)]
    return _Listing(
        models=tuple(row["id"] for row in rows),
        deprecated=frozenset(
            row["id"] for row in rows if row.get("deprecated") is True
        ),
        page=told,
    )


def _json(body: bytes) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _has_list(decoded: dict[str, Any]) -> bool:
    data = decoded.get("data", "missing")
    if data is None or data == []:
        return True
    return isinstance(data, list) and any(_is_row(row) for row in data)


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("id"), str)
        and 0 < len(row["id"]) <= _MAX_NAME_CHARS
        and row["id"].isprintable()
    )


def _is_model(page: _Page) -> bool:
    """Whether a page is a model, and not any page with a friendly status."""
    return page.status in _SUCCESS and _is_row(_json(page.body))


def _is_of_model(error: NotFoundError) -> bool:
    """Whether a 404 is about the model, and not about the address."""
    return error.code == "model_not_found" or error.model is not None


def _is_public(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return host == urlsplit(_config.DEFAULT_BASE_URL).hostname


def _suggestions(model: str, served: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return what to use instead, the best first, all of it served to this key."""
    from difflib import get_close_matches

    card = find_model(model)
    known = [card.id, card.replacement_current] if card else []
    active = tuple(each.id for each in list_models("active"))
    usable = active if served is None else served
    near = get_close_matches(model, usable, _MAX_SUGGESTIONS)
    wanted = [*known, *near, *suggest(model), *active, *usable]
    names = dict.fromkeys(name for name in wanted if name in usable and name != model)
    return tuple(name for name in names if name)[:_MAX_SUGGESTIONS]


def _retirement(notice: Notice | None) -> RetirementNotice | None:
    if notice is None:
        return None
    return RetirementNotice(
        stage=notice.stage,
        retired_on=notice.ends_on,
        days_left=notice.days_left,
        replacement=notice.replacement,
    )


def _head_room(headers: Mapping[str, str]) -> tuple[HeadRoom, ...] | None:
    """Return the head-room that headers tell, in their order; `None` if none do."""
    found: dict[str, dict[str, float]] = {}
    for header, value in rate_limits(headers).items():
        parts = _LIMIT_HEADER.fullmatch(header)
        if parts is not None and not isinstance(value, str):
            found.setdefault(parts[2], {})[parts[1]] = value
    rooms = [
        HeadRoom(name, told.get("limit"), told.get("remaining"), told.get("reset"))
        for name, told in found.items()
    ]
    return tuple(rooms) or None


def _is_low(room: HeadRoom) -> bool:
    """Whether a limit is spent, or, where it lasts for hours, nearly so."""
    if room.remaining is None:
        return False
    if room.remaining <= 0:
        return True
    lasts = room.name.endswith(("-hour", "-day"))
    return lasts and room.limit is not None and room.remaining < _LOW_SHARE * room.limit


def _room_in_words(room: HeadRoom) -> str:
    left = "unknown" if room.remaining is None else f"{room.remaining:,.0f}"
    text = f"{room.name} {left}"
    if room.limit is not None:
        text += f" of {room.limit:,.0f}"
    if room.reset_s is not None and _is_low(room):
        text += f" (all there again in {_seconds(room.reset_s)})"
    return text


def _seconds(value: float) -> str:
    if value >= 1:
        return f"{value:,.1f} s"
    return f"{value * 1000:.0f} ms" if value >= _FEW_S else f"{value * 1000:.1f} ms"


# ------------------------------------------------------------------------------- I/O


def health_check(
    connection: CerebrasConnection,
    *,
    deep: bool = False,
    timeout: float = DEFAULT_TIMEOUT_S,
    today: date | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> HealthReport:
    """Look whether the service answers, accepts the key, and serves the model.

    Two to four small requests, each sent once, over the model's own connection. No
    tokens are spent unless `deep` is set.

    Args:
        connection: A model.
        deep: Ask the model for a few tokens as well.
        timeout: Seconds for all of it.
        today: The day (UTC) from which an announced end is counted; default: today.
        clock: Seconds that never go back.

    Returns:
        The report; a service that is not well is no error.

    Raises:
        CerebrasConfigurationError: `timeout` is no positive number, or the model's
            own settings, such as a proxy or a bundle of certificates, are of no use.
    """
    plan = _plan(connection, deep=deep, timeout=timeout, today=today, clock=clock)
    transport: SyncTransport = connection._transport()  # noqa: SLF001 - our own class
    examination = _examine(plan)
    ask = next(examination)
    while True:
        try:
            outcome = _fetch(transport, ask, clock)
        except CerebrasConfigurationError:
            raise
        except CerebrasError as error:
            outcome = _note(ask, error)
        try:
            ask = examination.send(outcome)
        except StopIteration as end:
            return _as_report(end)


async def ahealth_check(
    connection: CerebrasConnection,
    *,
    deep: bool = False,
    timeout: float = DEFAULT_TIMEOUT_S,  # noqa: ASYNC109 - the same as `health_check`
    today: date | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> HealthReport:
    """Look whether the service answers, accepts the key, and serves the model.

    As `health_check`, which see.

    Raises:
        CerebrasConfigurationError: As there.
    """
    plan = _plan(connection, deep=deep, timeout=timeout, today=today, clock=clock)
    transport: AsyncTransport = connection._atransport()  # noqa: SLF001 - our own class
    examination = _examine(plan)
    ask = next(examination)
    while True:
        try:
            outcome = await _afetch(transport, ask, clock)
        except CerebrasConfigurationError:
            raise
        except CerebrasError as error:
            outcome = _note(ask, error)
        try:
            ask = examination.send(outcome)
        except StopIteration as end:
            return _as_report(end)


def _note(ask: _Ask, error: CerebrasError) -> CerebrasError:
    """Log why no page came; of a chat the client has told."""
    if ask.kind == "page":
        _write(ask.call, {"error": type(error).__name__})
    return error


def _as_report(end: StopIteration) -> HealthReport:
    report: HealthReport = end.value
    return report


def _plan(
    connection: CerebrasConnection,
    *,
    deep: bool,
    timeout: float,
    today: date | None,
    clock: Callable[[], float],
) -> _Plan:
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not is_number or not 0 < timeout < float("inf"):
        msg = f"timeout={timeout!r} must be a positive, finite number of seconds."
        raise CerebrasConfigurationError(msg)
    return _Plan(
        connection=connection,
        deep=deep,
        timeout_s=timeout,
        today=today or datetime.now(UTC).date(),
        clock=clock,
        deadline=clock() + timeout,
    )


def _fetch(transport: SyncTransport, ask: _Ask, clock: Callable[[], float]) -> _Outcome:
    call = ask.call
    if ask.kind == "answer":
        return _of_answer(send(transport, call))
    if ask.kind == "stream":
        stream = open_stream(transport, call)
        with closing(stream.batches()) as batches:
            for _ in batches:
                pass
        return _of_stream(stream)
    started, body = clock(), _Body()
    response = transport.send(
        call.method, call.url, call.headers, call.body, call.timeouts
    )
    try:
        for piece in response.iter_raw():
            body.add(piece)
    finally:
        response.close()
    return _page(call, response.status, response.headers, body, clock() - started)


async def _afetch(
    transport: AsyncTransport, ask: _Ask, clock: Callable[[], float]
) -> _Outcome:
    call = ask.call
    if ask.kind == "answer":
        return _of_answer(await asend(transport, call))
    if ask.kind == "stream":
        stream = await aopen_stream(transport, call)
        async with aclosing(stream.batches()) as batches:
            async for _ in batches:
                pass
        return _of_stream(stream)
    started, body = clock(), _Body()
    response = await transport.send(
        call.method, call.url, call.headers, call.body, call.timeouts
    )
    try:
        async with aclosing(response.iter_raw()) as pieces:
            async for piece in pieces:
                body.add(piece)
    finally:
        await response.aclose()
    return _page(call, response.status, response.headers, body, clock() - started)


def _page(
    call: Call, status: int, headers: Mapping[str, str], body: _Body, elapsed_s: float
) -> _Page:
    """Return a page, and log it."""
    page = _Page(status, headers, body.whole(), elapsed_s)
    told = {"status": status, "received_bytes": len(page.body)}
    _write(call, {**told, "elapsed_s": round(elapsed_s, 4)})
    return page


def _write(call: Call, told: dict[str, Any]) -> None:
    """Write a line on a request that the client does not know of, in its manner."""
    if not _log.isEnabledFor(logging.DEBUG):
        return
    named = {"method": call.method, "path": urlsplit(call.url).path, **told}
    shown = " ".join(f"{name}={value}" for name, value in named.items())
    _log.debug("request %s", shown, extra={"cerebras": named})
