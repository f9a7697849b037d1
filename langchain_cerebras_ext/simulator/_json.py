"""Narrowing helpers: what came over the wire is `Any` until looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

JsonObject: TypeAlias = dict[str, Any]

_ATTEMPTS = 500
"""How many brackets of a text are tried, so that no text takes quadratic time."""

_ENCODER = msgspec.json.Encoder()


def as_object(value: Any) -> JsonObject | None:
    """Return the value if it is a JSON object, else None."""
    return cast("JsonObject", value) if isinstance(value, dict) else None


def as_list(value: Any) -> list[Any] | None:
    """Return the value if it is a JSON array, else None."""
    if not isinstance(value, list):
        return None
    found: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
    return found


def items_of(value: Any) -> list[Any]:
    """Return a JSON array's items; none for anything else."""
    return as_list(value) or []


def fields_of(value: Any) -> JsonObject:
    """Return a JSON object; an empty one for anything else."""
    return as_object(value) or {}


def is_number(value: Any) -> TypeGuard[int | float]:
    """Say whether a value is a JSON number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> TypeGuard[int | float]:
    """Say whether a value is a whole JSON number, such as 3 or 3.0."""
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def dump(value: Any) -> bytes:
    """Encode as compact JSON in UTF-8, without escaping other scripts."""
    return _ENCODER.encode(value)


def dump_text(value: Any) -> str:
    """Encode as compact JSON text."""
    return _ENCODER.encode(value).decode()


def walk_objects(value: Any) -> Iterator[JsonObject]:
    """Yield every object inside a JSON value, outer ones first."""
    found = as_object(value)
    if found is not None:
        yield found
        for item in found.values():
            yield from walk_objects(item)
        return
    for item in as_list(value) or []:
        yield from walk_objects(item)


def content_text(content: Any) -> str:
    """Return the text of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    parts: list[str] = []
    for item in as_list(content) or []:
        part = as_object(item)
        text = part.get("text") if part else None
        if isinstance(text, str):
            parts.append(text)
    return "\n".join(parts)


def json_values(text: str) -> list[Any]:
    """Return the JSON objects and arrays in a text, outermost only."""
    return [value for _, _, value in json_spans(text)]


def json_spans(text: str) -> Iterator[tuple[int, int, Any]]:
    """Yield the JSON objects and arrays in a text: where each begins and ends, and it.

    Only the outermost, and only among the first few hundred brackets.
    """
    decoder = json.JSONDecoder()
    at = 0
    for _ in range(_ATTEMPTS):
        start = _next_opening(text, at)
        if start < 0:
            return
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            at = start + 1
            continue
        yield start, at, value


def _next_opening(text: str, at: int) -> int:
    found = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
    return min(found, default=-1)
