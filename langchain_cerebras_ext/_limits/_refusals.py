"""What is said to a request that does not pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_cerebras_ext.errors import (
    RateLimiterTimeoutError,
    RequestExceedsLimitError,
)

if TYPE_CHECKING:
    from langchain_cerebras_ext._limits._buckets import Amounts

__all__ = ["exceeds", "too_long"]

_WORDS = {
    "requests": "requests",
    "tokens": "tokens",
    "uncached": "uncached tokens",
}


def exceeds(
    model: str, need: Amounts, kind: str, window: str, capacity: float
) -> RequestExceedsLimitError:
    """Build the error for a request that can never fit a limit."""
    msg = (
        f"A request to '{model}' takes {need.tokens:,.0f} tokens (the prompt, and what "
        "is reserved for the answer), and the limit is "
        f"{capacity:,.0f} {_WORDS[kind]} a {window}: it can never pass. Lower "
        "max_tokens (unset, 16,384 are reserved), shorten the prompt, or use a plan "
        "with higher limits."
    )
    return RequestExceedsLimitError(msg, model=model)


def too_long(
    model: str, wait_s: float, max_wait_s: float | None
) -> RateLimiterTimeoutError:
    """Build the error for a wait that is longer than allowed."""
    allowed = 0.0 if max_wait_s is None else max_wait_s
    known = f" at least {wait_s:,.1f} s more" if wait_s > 0 else ""
    msg = (
        f"The limits of '{model}' leave no room{' for' if known else ''}{known}, and "
        f"max_wait is {allowed:,.1f} s. Nothing was sent. Try again later, raise "
        "max_wait, or lower max_tokens, of which as much is reserved."
    )
    return RateLimiterTimeoutError(msg, model=model, wait_s=wait_s)
