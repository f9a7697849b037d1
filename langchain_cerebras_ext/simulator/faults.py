"""The errors that the API documents: status, body and headers of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_cerebras_ext.simulator._json import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext.simulator._json import JsonObject

ErrorShape: TypeAlias = Literal["wrapped", "flat"]

INVALID = "invalid_request_error"
VALIDATION = "validation_error"
WRONG_FORMAT = "wrong_api_format"


@dataclass(frozen=True, slots=True)
class Fault:
    """An error answer, ready to be sent."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def wrapped_body(self) -> JsonObject:
        """Return the error inside `error`, with its status beside it."""
        given = fields_of(self.body)
        if "error" in given:
            return {**given, "status_code": self.status}
        return {"error": {**self.flat_body(), "id": ""}, "status_code": self.status}

    def flat_body(self) -> JsonObject:
        """Return the error as the API's usual body: its fields at the top."""
        given = fields_of(self.body)
        told = fields_of(given.get("error")) or given
        return {
            "message": told.get("message", told.get("detail", str(self.body))),
            "type": told.get("type", "server_error"),
            "param": told.get("param", ""),
            "code": told.get("code", ""),
        }

    def told_in_200(self, shape: ErrorShape) -> JsonObject:
        """Return the error as the body of an answer that says 200."""
        return self.flat_body() if shape == "flat" else self.wrapped_body()

    def event(self, shape: ErrorShape = "wrapped") -> JsonObject:
        """Return the error as an event of a stream has it: with its status."""
        return {**self.told_in_200(shape), "status_code": self.status}


class RefusedError(Exception):
    """Ends the handling of a request with an error answer."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.status}: {fault.body}")
        self.fault = fault


def flat(
    status: int,
    message: str,
    *,
    kind: str = INVALID,
    param: str = VALIDATION,
    code: str = WRONG_FORMAT,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """Build an error in the flat shape, which almost all API errors have."""
    body = {"message": message, "type": kind, "param": param, "code": code}
    return Fault(status, body, dict(headers or {}))


def wrapped(status: int, message: str, *, kind: str = "server_error") -> Fault:
    """Build an error in the shape of server failures, with the status inside."""
    inner = {"message": message, "type": kind, "param": "", "code": "", "id": ""}
    return Fault(status, {"status_code": status, "error": inner})


def detail(status: int, message: str) -> Fault:
    """Build an error in the shape of the web framework beneath the API."""
    return Fault(status, {"detail": message})


def not_authenticated() -> Fault:
    """403: no key was sent."""
    return detail(403, "Not authenticated")


def wrong_key() -> Fault:
    """401: a key was sent, but not the one that is asked for."""
    return flat(401, "Wrong API Key", param="api_key", code="wrong_api_key")


def model_not_found(model: str) -> Fault:
    """404: no such model; retired ones and other accounts' get the same."""
    return flat(
        404,
        f"Model {model} does not exist or you do not have access to it.",
        kind="not_found_error",
        param="model",
        code="model_not_found",
    )


def context_length(length: int, limit: int) -> Fault:
    """400: prompt and completion do not fit the context window."""
    return flat(
        400,
        "Please reduce the length of the messages or completion. "
        f"Current length is {length} while limit is {limit}",
        param="messages",
        code="context_length_exceeded",
    )


def requests_exceeded(window: str = "minute", retry_after_s: int = 12) -> Fault:
    """429: too many requests in a window."""
    return flat(
        429,
        f"Requests per {window} limit exceeded - too many requests sent.",
        kind="too_many_requests_error",
        param="quota",
        code="request_quota_exceeded",
        headers={"retry-after": str(retry_after_s)},
    )


def tokens_exceeded(window: str = "minute", retry_after_s: int = 12) -> Fault:
    """429: too many tokens in a window."""
    return flat(
        429,
        f"Tokens per {window} limit exceeded - too many tokens processed.",
        kind="too_many_tokens_error",
        param="quota",
        code="token_quota_exceeded",
        headers={"retry-after": str(retry_after_s)},
    )


def queue_exceeded() -> Fault:
    """429: the service is busy; it names no time to wait."""
    return flat(
        429,
        "We're experiencing high traffic right now! Please try again soon.",
        kind="too_many_requests_error",
        param="queue",
        code="queue_exceeded",
    )


def too_large(message: str) -> Fault:
    """413: the body or its images are too large."""
    return flat(413, message, param="body", code="payload_too_large")


def not_found(what: str, name: str) -> Fault:
    """404: no such file or batch."""
    return flat(
        404,
        f"{what} {name} does not exist.",
        kind="not_found_error",
        param="id",
        code="not_found",
    )


def server_error(status: int = 500) -> Fault:
    """500 and its like: the service failed."""
    return wrapped(status, "Encountered a server error, please try again.")


_BY_STATUS: dict[int, Fault] = {
    400: flat(400, "body.store: property 'body.store' is unsupported"),
    401: wrong_key(),
    402: flat(
        402,
        "Payment is required to go on using this model.",
        kind="payment_required_error",
        param="billing",
        code="payment_required",
    ),
    403: not_authenticated(),
    404: model_not_found("unknown"),
    408: flat(
        408, "Request timed out.", kind="timeout_error", param="", code="timeout"
    ),
    409: flat(409, "Conflict.", kind="conflict_error", param="", code="conflict"),
    413: too_large("Request body is too large."),
    422: Fault(
        422,
        {
            "detail": [
                {
                    "loc": ["body", "messages"],
                    "msg": "Field required",
                    "type": "missing",
                }
            ]
        },
    ),
    429: queue_exceeded(),
    500: server_error(),
    503: wrapped(503, "Service unavailable.", kind="service_unavailable_error"),
}

_BY_CODE: dict[str, Fault] = {
    "wrong_api_format": _BY_STATUS[400],
    "context_length_exceeded": context_length(140_000, 131_072),
    "wrong_api_key": wrong_key(),
    "not_authenticated": not_authenticated(),
    "payment_required": _BY_STATUS[402],
    "model_not_found": _BY_STATUS[404],
    "timeout": _BY_STATUS[408],
    "payload_too_large": _BY_STATUS[413],
    "request_quota_exceeded": requests_exceeded(),
    "token_quota_exceeded": tokens_exceeded(),
    "token_quota_exceeded_day": tokens_exceeded("day", 86_399),
    "queue_exceeded": queue_exceeded(),
    "server_error": server_error(),
    "service_unavailable": _BY_STATUS[503],
}

FAULT_CODES = tuple(sorted(_BY_CODE))
"""The names that `fail_next(code=...)` takes."""


def named_fault(
    status: int | None = None,
    *,
    code: str | None = None,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """Look up a documented error, and replace what is given.

    Args:
        status: HTTP status; with `code` it replaces that error's own.
        code: One of `FAULT_CODES`.
        body: Sent in place of the documented body: text, bytes or JSON.
        headers: Added to the documented headers.

    Raises:
        ValueError: Neither status nor code, an unknown code, or no error status.
    """
    if code is not None and code not in _BY_CODE:
        msg = f"Unknown error code '{code}'. Known: {', '.join(FAULT_CODES)}."
        raise ValueError(msg)
    if status is None and code is None:
        msg = "Give a status or a code for the failure, or a fault."
        raise ValueError(msg)
    if status is not None and status not in range(400, 600):
        msg = f"Status {status} is no error status; give one from 400 to 599."
        raise ValueError(msg)
    if code is not None:
        base = _BY_CODE[code]
    else:
        base = _BY_STATUS.get(status or 500, server_error(status or 500))
    return Fault(
        base.status if status is None else status,
        base.body if body is None else body,
        {
            **base.headers,
            **{key.lower(): text for key, text in (headers or {}).items()},
        },
    )
