"""From a status, headers and a body to the error that says what happened.

All that the service has been seen to answer is read here, for plain answers and for
error events of streams alike.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.errors import (
    MAX_BODY_CHARS,
    AuthenticationError,
    BadRequestError,
    CerebrasStatusError,
    ConflictError,
    ContextLengthError,
    ErrorResponse,
    InternalServerError,
    ModelRetiredError,
    NotFoundError,
    PayloadTooLargeError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    UnprocessableEntityError,
    UnsupportedParameterError,
    mask_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["error_status", "rate_limits", "request_id_of", "status_error"]

_BY_STATUS: dict[int, type[CerebrasStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: RequestTimeoutError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

_CURES: dict[type[CerebrasStatusError], str] = {
    AuthenticationError: (
        "Check CEREBRAS_API_KEY or api_key=...; keys are made at "
        "https://cloud.cerebras.ai."
    ),
    PaymentRequiredError: "Check the account's billing at https://cloud.cerebras.ai.",
    PermissionDeniedError: "The key may not do this; check the account's rights.",
    ContextLengthError: "Shorten the messages or lower max_tokens.",
    UnsupportedParameterError: "Remove it from model_kwargs or extra_body.",
    PayloadTooLargeError: "Send fewer or smaller images, or a shorter prompt.",
}

_NOT_ENABLED = (
    "it is not enabled for this key: `GET /v1/models` lists what the key may use."
)

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+")
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
        model: The model that was asked for; a 404 is explained from the catalog.

    Returns:
        An error, not raised.
    """
    headers = {
        mask_secrets(key, api_key): mask_secrets(value, api_key)
        for key, value in headers.items()
    }
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
        status = error_status(told) or status
        if isinstance(inner, str):
            fields = {**decoded, "message": inner}

    def read(name: str) -> str | None:
        value = fields.get(name)
        if isinstance(value, (str, int)) and value != "":
            return mask_secrets(str(value), api_key)
        return None

    said = read("message") or _detail(fields.get("detail")) or _plain(text)
    # Neither terminal escapes nor torn lines get into logs.
    said = _CONTROLS.sub(" ", mask_secrets(said, api_key))[:MAX_BODY_CHARS]
    code, param = read("code"), read("param")
    cls = _class_for(status, code, said)
    if status == 403 and said == "Not authenticated":  # noqa: PLR2004
        cls = AuthenticationError
    parts = [f"Cerebras answered {status}" + (f" ({code})" if code else "") + "."]
    if said:
        parts.append(said if said.endswith((".", "!", "?")) else f"{said}.")
    data: dict[str, Any] = {}
    if cls is NotFoundError:
        # A page that is no answer of the API may say "model" of anything; and keys get
        # pasted into the wrong field.
        asked = model and mask_secrets(model, api_key)
        cls, told, data = _missing(said if fields else "", code, param, asked)
        parts += told
    elif cls in _CURES:
        parts.append(_CURES[cls])
    error = cls(
        " ".join(parts),
        status_code=status,
        code=code,
        param=param,
        error_type=read("type"),
        body=decoded if decoded is not None and len(body) <= MAX_BODY_CHARS else text,
        retry_after_s=_retry_after(headers),
        request_id=request_id_of(headers),
        rate_limits=rate_limits(headers),
        response=ErrorResponse(status, dict(headers), text),
        **data,
    )
    if isinstance(error, RateLimitError):
        error.kind = _limit_kind(code, said)
        window = _WINDOW.search(said)
        error.window = window[1].lower() if window else None
        if error.window in {"hour", "day"}:
            error.is_retryable = False  # a spent quota is no busy moment
    return error


def _missing(
    said: str, code: str | None, param: str | None, model: str | None
) -> tuple[type[NotFoundError], list[str], dict[str, Any]]:
    """Explain a 404: the same words mean gone, misspelt, and not for this key.

    Returns:
        The error's class, sentences, and attributes.
    """
    of_model = code == "model_not_found" or param == "model" or "model" in said.lower()
    if not of_model or model is None:
        return NotFoundError, ["Check base_url: there is nothing at this address."], {}
    from langchain_cerebras_ext.catalog import deprecation_notice, find_model, suggest

    told = [] if model in said else [f"The model asked for was '{model}'."]
    card = find_model(model)
    if card is None:
        near = tuple(name for name in suggest(model) if name != model)
        if near:
            told.append(f"Did you mean {' or '.join(map(_suggested, near))}?")
        told.append(
            f"The catalog does not know '{model}'; if the name is right, either it has "
            f"been retired, or {_NOT_ENABLED}"
        )
        return NotFoundError, told, {"model": model, "suggestions": near}
    now = card.replacement_current
    use = f"Use '{now}' instead." if now else "The catalog knows no successor."
    if card.status == "retired" or (card.status == "dedicated-only" and now):
        since = f" on {card.retired_on}" if card.retired_on else ""
        told.append(f"'{card.id}' was retired{since}. {use}")
        told.append(f"If you have a dedicated endpoint of it, {_NOT_ENABLED}")
        data = {"model": model, "retired_on": card.retired_on, "replacement": now}
        return ModelRetiredError, told, data
    if card.status == "active":
        told.append(
            f"The catalog has it as served on {card.status_as_of}, so either it has "
            f"been retired since, or {_NOT_ENABLED}"
        )
    elif card.status == "dedicated-only":
        told.append(f"It is only served on dedicated endpoints: {_NOT_ENABLED}")
    elif card.status == "never-served":
        told.append(f"Cerebras has never served it to the public. {use}")
    else:  # not yet, or the live list lacks it
        notice = deprecation_notice(card)
        said_of_it = f"{notice.what} {notice.use}" if notice else "Not served yet."
        told += [said_of_it, f"If the name is right, {_NOT_ENABLED}"]
    return NotFoundError, told, {"model": model}


def _suggested(name: str) -> str:
    """Return a name to try, and what to try instead if that one is retired too."""
    from langchain_cerebras_ext.catalog import find_model

    card = find_model(name)
    if card is None or card.status != "retired":
        return f"'{name}'"
    now = card.replacement_current
    return f"'{name}' (retired{f': use {now!r}' if now else ''})"


def error_status(value: Any) -> int | None:
    """Return an error status that a body holds as a number or as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:4])
    if type(value) is int and 400 <= value <= 599:  # noqa: PLR2004
        return value
    return None


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the service's id of a request, for its support."""
    return headers.get("inference-id") or headers.get("x-request-id")


def rate_limits(headers: Mapping[str, str]) -> dict[str, int | float | str]:
    """Return the `x-ratelimit-*` headers as numbers; resets are in seconds."""
    return {
        name: _number(value)
        for name, value in headers.items()
        if name.startswith("x-ratelimit-")
    }


def _number(text: str) -> int | float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):  # no JSON number: caches could not keep it
        return text
    return int(value) if value.is_integer() and "." not in text else value


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


_UNSUPPORTED = ("is unsupported", "is not currently supported", "extra inputs are not")
# The service's words, then llama.cpp's, which answers without a code.
_TOO_LONG = ("reduce the length", "exceeds the available context size")


def _class_for(status: int, code: str | None, said: str) -> type[CerebrasStatusError]:
    if status in {400, 422}:
        lowered = said.lower()
        if code == "context_length_exceeded" or any(
            words in lowered for words in _TOO_LONG
        ):
            return ContextLengthError
        if any(words in lowered for words in _UNSUPPORTED):
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
    then = _date(headers.get("retry-after"))
    if then is None:
        return None
    # By the server's clock: ours may go wrong.
    now = _date(headers.get("date")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _date(value: str | None) -> datetime | None:
    if not value:
        return None
    from email.utils import parsedate_to_datetime

    try:
        found = parsedate_to_datetime(value)
        if found.tzinfo is None:  # "-0000": UTC, by RFC 5322
            return found.replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
