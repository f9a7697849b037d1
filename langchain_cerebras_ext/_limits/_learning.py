"""What an answer says about the limits: `x-ratelimit-*` headers and refusals."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from langchain_cerebras_ext._limits._numbers import WINDOW_S, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_cerebras_ext._limits._numbers import Kind, Limit, Window
    from langchain_cerebras_ext.errors import RateLimitError

__all__ = ["Closure", "Reading", "read_headers", "read_refusal"]

_NAME: Final = re.compile(
    r"x-ratelimit-(?P<what>limit|remaining)-"
    r"(?:(?P<requests>requests)|(?P<before>uncached-|total-)?tokens(?P<after>-uncached|-total)?)"
    r"-(?P<window>second|minute|hour|day)"
)
# Cached tokens count against these only in the total (`cerebras-api.md` 4.5).
_SHORT: Final = {"second", "minute"}


class Reading(NamedTuple):
    """What an answer's headers say about one limit."""

    kind: Kind
    window: Window
    limit: float | None
    remaining: float | None


class Closure(NamedTuple):
    """The limit that a request was refused for, and how long to stay away.

    Attributes:
        kinds: What was too much; where the refusal leaves it open, what it may have
            been, the likeliest first.
        window: Of the limit.
        wait_s: As told; `None` if it was not.
    """

    kinds: tuple[Kind, ...]
    window: Window
    wait_s: float | None


def read_headers(
    headers: Mapping[str, str | float], limits: Iterable[Limit] = ()
) -> list[Reading]:
    """Read the limits that an answer tells of.

    The service has two buckets of tokens a minute and one set of headers for them. It
    does not say which it means, so its number does: it is the total where it equals
    the total that is known; else it is taken as the uncached one, as the documented
    tables name it.

    Args:
        headers: By name; other headers are passed over.
        limits: What is known about the model.
    """
    found: dict[tuple[str, Window], dict[str, float]] = {}
    for name, value in headers.items():
        told = _parse(name)
        if told is None:
            continue
        number = _number(value)
        if number is not None:
            found.setdefault((told.word, told.window), {})[told.what] = number
    readings: list[Reading] = []
    for (word, window), numbers in found.items():
        limit = numbers.get("limit")
        kind = _kind(word, window, limit, limits)
        known = limit if limit is not None and limit >= 1 else None
        readings.append(Reading(kind, window, known, numbers.get("remaining")))
    return readings


def read_refusal(error: RateLimitError) -> Closure | None:
    """Read which limit a 429 is about; `None` where it is about none of the account."""
    if error.kind not in {"requests", "tokens"}:
        return None
    window: Window = "minute"
    for name in WINDOW_S:
        if name == error.window:
            window = name
    # The service's own words; ours, around them, may say anything.
    response = getattr(error, "response", None)
    said = (response.text if response is not None else error.message).lower()
    kinds: tuple[Kind, ...]
    if error.kind == "requests":
        kinds = ("requests",)
    elif "uncached" in said:
        kinds = ("uncached",)
    elif "total" in said or window not in _SHORT:
        kinds = ("tokens",)
    else:
        kinds = ("uncached", "tokens")
    return Closure(kinds, window, error.retry_after_s)


class _Name(NamedTuple):
    what: str
    word: str
    window: Window


@lru_cache(maxsize=256)  # a service has some twenty header names
def _parse(name: str) -> _Name | None:
    match = _NAME.fullmatch(name.lower())
    if match is None:
        return None
    word = (match["before"] or match["after"] or "tokens").strip("-")
    word = "requests" if match["requests"] else word
    return _Name(match["what"], word, cast("Window", match["window"]))


def _number(value: str | float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _kind(word: str, window: str, limit: float | None, limits: Iterable[Limit]) -> Kind:
    if word in {"requests", "uncached"}:
        return cast("Kind", word)
    if word == "total" or window not in _SHORT:
        return "tokens"
    known = {item.key: item.capacity for item in limits}
    total, uncached = key_of("tokens", window), key_of("uncached", window)
    if limit is not None and known.get(total) == limit != known.get(uncached):
        return "tokens"
    return "uncached"
