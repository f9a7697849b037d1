"""Cards as the rows of `models.json`, and the file's own way of being written."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_cerebras_ext.catalog.models import ModelCard, Source

__all__ = ["card_to_dict", "card_to_row", "format_table", "put_rows", "source_to_row"]

_WIDTH = 120
_INDENT = " "

# What is read first stands first.
_FIRST = {
    "ModelCard": (
        "id",
        "name",
        "owner",
        "parameters",
        "hugging_face_id",
        "tokenizer",
        "status",
        "status_as_of",
        "release_stage",
        "dedicated_available",
        "announced",
        "announced_precision",
        "deprecation_announced",
        "deprecation_precision",
        "retired_on",
        "retired_precision",
        "replacements",
        "replacement_current",
        "replacement_basis",
        "prices",
        "context_tokens_free",
        "context_tokens_paid",
        "safe_context_tokens",
        "max_output_tokens_free",
        "max_output_tokens_paid",
        "safe_max_output_tokens",
        "speed_tokens_per_s",
        "rate_limits",
        "capabilities",
        "tool_call_delta",
        "reasoning",
    ),
    "Price": ("valid_from", "valid_until"),
}
# What a process knows, not the file.
_NOT_IN_ROWS = {"live", "origin"}


def card_to_row(card: ModelCard) -> dict[str, Any]:
    """Return a card's row of `models.json`: plain values, without what is not known."""
    row: dict[str, Any] = _plain(card)
    for name in _NOT_IN_ROWS:
        row.pop(name, None)
    sources = row.pop("sources", {})
    row["sources"] = {name: sources[name] for name in row if name in sources}
    return row


def card_to_dict(card: ModelCard) -> dict[str, Any]:
    """Return a card's row, and what this process knows of it besides."""
    row = card_to_row(card)
    row["origin"] = card.origin
    if card.live:
        row["live"] = _plain(card.live)
    return row


def source_to_row(source: Source) -> dict[str, Any]:
    """Return a source's entry of `models.json`."""
    row: dict[str, Any] = _plain(source)
    return row


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_object(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _plain_object(value: Any) -> dict[str, Any]:
    names = [field.name for field in fields(value)]
    first = _FIRST.get(type(value).__name__, ())
    order = [*first, *(name for name in names if name not in first)]
    defaults = {
        field.name: field.default_factory()
        if field.default_factory is not MISSING
        else field.default
        for field in fields(value)
    }
    return {
        name: _plain(getattr(value, name))
        for name in order
        if getattr(value, name) != defaults[name]
    }


# ------------------------------------------------------------------------- the file


def put_rows(
    text: str,
    rows: Iterable[Mapping[str, Any]],
    sources: Mapping[str, Mapping[str, Any]],
    checked_on: date,
) -> str:
    """Return the text of `models.json` with rows put in or replaced.

    Args:
        text: The file's text.
        rows: Whole rows; those of ids that are there take their place, new ones come
            after the models that are served.
        sources: More sources, by their keys.
        checked_on: The day on which the whole was checked.
    """
    table = json.loads(text)
    models: list[Any] = table["models"]
    for row in rows:
        place = next((n for n, m in enumerate(models) if m["id"] == row["id"]), None)
        if place is None:
            served = sum(model["status"] == "active" for model in models)
            models.insert(served, dict(row))
        else:
            models[place] = dict(row)
    models.sort(key=lambda model: model["status"] != "active")  # served ones first
    found = {**table["sources"], **{key: dict(row) for key, row in sources.items()}}
    table["sources"] = {key: found[key] for key in sorted(found)}
    table["checked_on"] = checked_on.isoformat()
    return format_table(table)


def format_table(table: Mapping[str, Any]) -> str:
    """Write the table so that a changed fact is a changed line.

    What fits into a line of 120 characters is written in one; the rest has a line for
    each of its parts.
    """
    return f"{_format(table, 0, 0)}\n"


def _format(value: Any, depth: int, used: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    inner = depth + 1
    is_small = used + len(flat) + 1 <= _WIDTH and depth > 1
    if not isinstance(value, (dict, list)) or not value or is_small:
        return flat
    pad, end = _INDENT * inner, _INDENT * depth
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            start = f"{pad}{json.dumps(key)}: "
            lines.append(start + _format(item, inner, len(start)))
        return "{\n" + ",\n".join(lines) + f"\n{end}}}"
    lines = [pad + _format(item, inner, len(pad)) for item in value]
    return "[\n" + ",\n".join(lines) + f"\n{end}]"
