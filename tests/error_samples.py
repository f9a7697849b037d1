"""An instance of every error class, with all the data that it can carry."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from langchain_core.messages import AIMessage

from langchain_cerebras_ext import errors
from langchain_cerebras_ext.errors import CerebrasError, ErrorResponse, FailedAttempt

CLASSES: list[type[CerebrasError]] = [
    found
    for name in errors.__all__
    if isinstance(found := getattr(errors, name), type)
    and issubclass(found, CerebrasError)
]

PARTIAL = AIMessage(
    "Hel",
    id="chatcmpl-1",
    additional_kwargs={"reasoning_content": "Hm."},
    tool_calls=[{"name": "f", "args": {"a": 1}, "id": "t1"}],
    invalid_tool_calls=[
        {"type": "invalid_tool_call", "name": "g", "args": '{"b', "id": "t2", "error": None}
    ],
    usage_metadata={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
)  # fmt: skip

EARLIER = FailedAttempt(
    error_type="InternalServerError",
    message="Cerebras answered 500.",
    status_code=500,
    elapsed_s=0.25,
    wait_s=0.5,
    billed=None,
)

COMMON: dict[str, Any] = {
    "partial_message": PARTIAL,
    "attempts": 2,
    "failed_attempts": (EARLIER,),
    "elapsed_s": 1.25,
    "request_id": "req-1",
    "rate_limits": {"remaining_tokens_minute": 12, "reset_tokens_minute": 1.5},
    "is_retryable": False,
    "code": "token_quota_exceeded",
    "param": "quota",
    "error_type": "too_many_tokens_error",
    "body": {"message": "no", "more": [1, None]},
    "retry_after_s": 7.5,
    "status_code": 429,
}

OWN: dict[str, dict[str, Any]] = {
    "CerebrasConnectionError": {"kind": "dns"},
    "CerebrasStatusError": {
        "response": ErrorResponse(429, {"retry-after": "7.5"}, '{"message": "no"}')
    },
    "NotFoundError": {"model": "gpt-os", "suggestions": ("gpt-oss-120b",)},
    "ModelRetiredError": {
        "retired_on": date(2026, 2, 16),
        "replacement": "gpt-oss-120b",
    },
    "CerebrasTimeoutError": {"kind": "total", "timeout_s": 60.0},
    "RateLimitError": {"kind": "tokens", "window": "minute"},
    "UnknownModelError": {"model": "gpt-os", "suggestions": ("gpt-oss-120b",)},
    "SchemaNotSupportedError": {"path": "$.properties.name"},
    "RateLimiterError": {"model": "gpt-oss-120b"},
    "RateLimiterTimeoutError": {"wait_s": 12.5},
    "BudgetExceeded": {
        "budget": "team",
        "limit": Decimal(5),
        "spent": Decimal("4.99"),
        "reserved": Decimal("0.01"),
        "estimate": Decimal("0.02"),
    },
    "StructuredOutputError": {"raw": PARTIAL, "llm_output": "Hel"},
}


def data_of(cls: type[CerebrasError]) -> dict[str, Any]:
    """Return all the data for a class, what its parents carry included."""
    found = dict(COMMON)
    for parent in reversed(cls.__mro__):
        found.update(OWN.get(parent.__name__, {}))
    return found


def sample(cls: type[CerebrasError]) -> CerebrasError:
    """Return an error of a class with all its data, and a note."""
    error = cls("It went wrong. Do this.", **data_of(cls))
    error.add_note("seen at 3 a.m.")
    return error


def public(error: BaseException) -> type:
    """Return the class by which an error is known, whatever else it inherits."""
    return getattr(errors, type(error).__name__)


def differences(error: CerebrasError, other: CerebrasError) -> list[str]:
    """Return what of an error is not the same in another one."""
    names = {*data_of(public(error)), "message", "__notes__", "type", "billed"}
    names |= {
        f"partial_{part}" for part in ("text", "reasoning", "tool_calls", "usage")
    }
    found = [
        name for name in sorted(names) if getattr(error, name) != getattr(other, name)
    ]
    if public(error) is not public(other):
        found.append("class")
    if (str(error), repr(error), error.args) != (str(other), repr(other), other.args):
        found.append("text")
    return found
