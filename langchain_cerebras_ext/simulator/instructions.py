"""Tells what a prompt says from what it only says about the form of the answer.

Schemas, examples of the answer, and the sentences around them describe; a value for the
answer is never taken from there. Data stays, fenced or not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.simulator._json import (
    as_object,
    fields_of,
    json_spans,
    walk_objects,
)
from langchain_cerebras_ext.simulator.words import (
    numbers,
    proper_names,
    quoted,
    sentences,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARK = "\ufffc"
"""Stands where a description stood."""

_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL
)
_INTRODUCES = re.compile(
    r"\b(?:schemas?|examples?|e\.g|format(?:s|ted)?|like|such as|instances?|templates?"
    r"|shape|structure|conforms?)\b",
    re.IGNORECASE,
)
_JUDGES = re.compile(
    r"\s*(?:is|are|would)\b[^.\n]{0,80}"
    r"\b(?:instances?|examples?|valid|correct|well-formatted)\b",
    re.IGNORECASE,
)
_ABOUT_FORM = re.compile(
    r"\b(?:json|yaml|schemas?|markdown|backticks?|(?:well-)?formatted"
    r"|(?:code|output|response|answer)[ -](?:fences?|blocks?|format))\b",
    re.IGNORECASE,
)
_ORDERS = re.compile(
    r"\b(?:return|respond|reply|answer|output|produce|give)\b", re.IGNORECASE
)
_TICKS = re.compile(r"`{3,}\w*")
_TYPES = frozenset("array boolean integer null number object string".split())  # noqa: SIM905 - words read better in a row
_SCHEMA_MARKS = frozenset({"$schema", "$defs", "$ref"})
_SCHEMA_WORDS = frozenset(
    """
    additionalProperties allOf anyOf const default definitions description enum
    examples exclusiveMaximum exclusiveMinimum format items maxItems maxLength maximum
    minItems minLength minimum multipleOf oneOf pattern prefixItems properties required
    title type uniqueItems
    """.split()  # noqa: SIM905 - words read better in a row
)
_BEFORE_CHARS = 400
"""How far back an example may be announced."""


def without_instructions(prompt: str) -> str:
    """Return a prompt without what describes the form of the answer.

    A sentence about the form stays if it names something besides, as in "Return Ada
    Lovelace as JSON", or if nothing else would be left.
    """
    plain = _without_examples(_without_fences(prompt))
    described = _MARK in plain
    kept = [line for line in sentences(plain) if not _is_form(line, described)]
    if not described and len(kept) in (0, len(sentences(plain))):
        return prompt
    return "\n".join(kept).replace(_MARK, " ").strip()


def _without_fences(text: str) -> str:
    def replace(found: re.Match[str]) -> str:
        inner = found[2].strip()
        if not inner.startswith(("{", "[")):
            return found[0]
        values = [value for _, _, value in json_spans(inner)]
        start = found.start()
        introduced = _is_introduced(text[max(0, start - _BEFORE_CHARS) : start])
        return _MARK if introduced or _has_schema(values) else found[0]

    return _FENCE.sub(replace, text)


def _without_examples(text: str) -> str:
    """Leave out JSON that is a schema or an example of the answer."""
    parts: list[str] = []
    at = 0
    before = ""
    for start, end, value in json_spans(text):
        before = (before + text[at:start])[-_BEFORE_CHARS:]
        example = as_object(value) is not None and (
            _is_introduced(before) or _JUDGES.match(text, end)
        )
        shown = _MARK if example or _has_schema([value]) else text[start:end]
        parts += (text[at:start], shown)
        before += shown
        at = end
    return "".join(parts) + text[at:]


def _is_introduced(before: str) -> bool:
    """Say whether the last sentence before a block announces an example."""
    said = sentences(before)
    return bool(said) and _INTRODUCES.search(said[-1]) is not None


def _has_schema(values: Iterable[Any]) -> bool:
    return any(_is_schema(one) for value in values for one in walk_objects(value))


def _is_schema(shape: dict[str, Any]) -> bool:
    properties = as_object(shape.get("properties"))
    if properties:
        return all(as_object(one) is not None for one in properties.values())
    kind = shape.get("type")
    typed = isinstance(kind, str) and kind in _TYPES
    nested = bool(fields_of(shape.get("items")))
    return bool(_SCHEMA_MARKS & set(shape)) or (
        typed and set(shape) <= _SCHEMA_WORDS and (nested or len(shape) == 1)
    )


def _is_form(sentence: str, described: bool) -> bool:
    """Say whether a sentence is only about the form of the answer."""
    if _MARK not in sentence:
        asks = described or _ORDERS.search(sentence)
        if not (asks and _ABOUT_FORM.search(sentence)):
            return False
    plain = _TICKS.sub(" ", sentence.replace(_MARK, " "))
    named = [
        name
        for name in (*proper_names(plain), *quoted(plain))
        if not (name.isupper() or _ABOUT_FORM.search(name))
    ]
    return not (named or numbers(plain))
