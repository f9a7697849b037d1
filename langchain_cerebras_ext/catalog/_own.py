"""Cards of the user's own: from code, and from the file in `CEREBRAS_CATALOG`."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.catalog._table import (
    Table,
    make_table,
    names_of,
    packaged_table,
)
from langchain_cerebras_ext.catalog.models import ModelCard, Price, Source
from langchain_cerebras_ext.errors import CerebrasConfigurationError

__all__ = [
    "OwnEntry",
    "add_own",
    "read_own_file",
    "register_model",
    "unknown_keys",
    "unregister_model",
]

OwnOrigin = Literal["file", "registered"]

# What says where a card is from is ours to say.
_OURS = {"origin", "live", "changes", "sources"}
# Beside the card's own fields.
_SHORTHANDS = {"extends", "price"}
# What is true of a model wherever it runs; the rest belongs to the shared endpoints.
_TECHNICAL = (
    "reasoning",
    "capabilities",
    "owner",
    "parameters",
    "hugging_face_id",
    "tokenizer",
    "context_tokens_paid",
    "max_output_tokens_paid",
    "tool_call_delta",
    "images",
    "scaffold",
    "recommended_sampling",
    "strengths",
    "best_uses",
)
_FILE_KEYS = {"models", "schema_version"}


@dataclass(frozen=True, slots=True)
class OwnEntry:
    """A card of the user's own, as it was given.

    Attributes:
        id: The model's id.
        given: A whole card, or the facts that are known.
        origin: Where it is from.
        where: The same in words, for messages.
        source: The key of its source, and that source.
    """

    id: str
    given: ModelCard | Mapping[str, Any]
    origin: OwnOrigin
    where: str
    source: tuple[str, Source]


# ------------------------------------------------------------------------ from code


def register_model(card: ModelCard | Mapping[str, Any]) -> ModelCard:
    """Add a card of your own: a dedicated endpoint, a fine-tune, your own price.

    A mapping holds the facts that you know, by the fields' names. It may extend a
    card: of the id in `extends` the technical facts are taken over (abilities,
    reasoning, limits of the paid tier), not its names, prices, rates and dates; where
    the `id` itself is in the catalog, all facts that you do not give stay. `price` is
    short for one price: 0 is free, and what is left out is not known. With
    `valid_from` it follows the known prices, else it takes their place.

    Args:
        card: The card, or the facts; only `id` is needed. Without a `status` it is
            `active`: served to you, so that `recommend` and `cheapest` count it.

    Returns:
        The card as the catalog has it now; its `origin` is `registered`.

    Raises:
        CerebrasConfigurationError: A key or value is wrong. Nothing has changed then.

    Example:
        >>> card = register_model(
        ...     {
        ...         "id": "my-org-gpt-oss-120b",
        ...         "extends": "gpt-oss-120b",
        ...         "price": {"input": 0, "output": 0},
        ...     }
        ... )
        >>> card.origin, card.reasoning.efforts, card.price().blended()
        ('registered', ('low', 'medium', 'high'), Decimal('0.0'))
        >>> unregister_model("my-org-gpt-oss-120b")
        True
    """
    from langchain_cerebras_ext.catalog._registry import registry

    where = "register_model"
    found = Source(title="Registered by the program", checked_on=utc_day(), kind="own")
    entry = OwnEntry(
        id=card.id if isinstance(card, ModelCard) else _read_id(card, where),
        given=card if isinstance(card, ModelCard) else dict(card),
        origin="registered",
        where=where,
        source=("registered", found),
    )
    return registry.register(entry)


def unregister_model(model: str) -> bool:
    """Forget a card that was registered; what lay beneath it is there again.

    Args:
        model: Its id.

    Returns:
        Whether there was one. Cards of the file and of the package stay.
    """
    from langchain_cerebras_ext.catalog._registry import registry

    return registry.unregister(model)


# ------------------------------------------------------------------------ from a file


def read_own_file(name: str) -> tuple[OwnEntry, ...]:
    """Return the entries of a file, TOML by its suffix, else JSON.

    Raises:
        CerebrasConfigurationError: It cannot be read, or is not of the right form.
    """
    path = Path(name).expanduser()
    where = f"CEREBRAS_CATALOG file {str(path)!r}"
    try:
        data = path.read_bytes()
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    except OSError as error:
        msg = f"{where} cannot be read: {error.strerror or error}."
        raise CerebrasConfigurationError(msg) from error
    whole = _decode_file(data, path.suffix.lower(), where)
    rows = whole.get("models")
    for key in whole:
        if key not in _FILE_KEYS:
            msg = f"{where}: key {key!r} is not known; it takes a list 'models'."
            raise CerebrasConfigurationError(msg)
    if not isinstance(rows, list):
        msg = f"{where}: 'models' must be a list of entries, one a model."
        raise CerebrasConfigurationError(msg)
    found = Source(title=f"Your file {path.name}", checked_on=day, kind="own")
    entries: list[OwnEntry] = []
    for number, row in enumerate(rows):
        spot = f"{where}, entry {number + 1}"
        if not isinstance(row, Mapping):
            msg = f"{spot}: must be a table of keys and values."
            raise CerebrasConfigurationError(msg)
        model = _read_id(row, spot)
        if any(entry.id == model for entry in entries):
            msg = f"{spot}: there is an entry {model!r} already."
            raise CerebrasConfigurationError(msg)
        source = ("catalog-file", found)
        entries.append(OwnEntry(model, dict(row), "file", spot, source))
    return tuple(entries)


def _decode_file(data: bytes, suffix: str, where: str) -> dict[str, Any]:
    import tomllib

    import msgspec

    try:
        if suffix == ".toml":
            from decimal import Decimal

            return tomllib.loads(data.decode(), parse_float=Decimal)
        whole = msgspec.json.decode(data)
    except (ValueError, msgspec.DecodeError) as error:
        kind = "TOML" if suffix == ".toml" else "JSON"
        msg = f"{where} is no {kind}: {error}."
        raise CerebrasConfigurationError(msg) from error
    if not isinstance(whole, dict):
        msg = f"{where}: must be an object with a list 'models'."
        raise CerebrasConfigurationError(msg)
    return whole


def _read_id(given: Mapping[str, Any], where: str) -> str:
    model = given.get("id")
    if not isinstance(model, str) or not model.strip():
        msg = f"{where}: key 'id' must be the model's id; it is {model!r}."
        raise CerebrasConfigurationError(msg)
    return model


# -------------------------------------------------------------------------- to cards


def add_own(table: Table, entries: tuple[OwnEntry, ...]) -> Table:
    """Return a table with the user's own cards before those of the same id.

    Raises:
        CerebrasConfigurationError: An entry is wrong; says which, and its key.
    """
    for entry in entries:
        card = _build(entry, table)
        others = tuple(one for one in table.cards if one.id != card.id)
        _check_names(card, others, entry.where)
        place = next((n for n, c in enumerate(table.cards) if c.id == card.id), None)
        if place is None:
            cards = (*others, card)
        else:
            cards = (*others[:place], card, *others[place:])
        key, found = entry.source
        table = make_table(table, cards, {key: found})
    return table


def _check_names(card: ModelCard, others: tuple[ModelCard, ...], where: str) -> None:
    # A model that a live list brought since is no mistake of the user's: its id wins.
    shipped = {one.id for one in packaged_table().cards}
    taken = {
        one.id
        for one in others
        if one.id in shipped or one.origin in {"file", "registered"}
    }
    for name in names_of(card)[1:]:
        if name in taken:
            msg = (
                f"{where}, model {card.id!r}: key 'aliases': {name!r} is the id of "
                "another model."
            )
            raise CerebrasConfigurationError(msg)


def _build(entry: OwnEntry, table: Table) -> ModelCard:
    if isinstance(entry.given, ModelCard):
        card = replace(entry.given, origin=entry.origin)
        known = _known_fields(card)
    else:
        card = _from_mapping(entry, entry.given, table)
        known = {_SHORT.get(key, key) for key in entry.given}
    from langchain_cerebras_ext.catalog._checks import WITHOUT_SOURCE, card_problems

    for key, what in card_problems(card):
        raise _wrong(entry, key, what)
    named = sorted(known - WITHOUT_SOURCE - _SHORTHANDS)
    own: dict[str, tuple[str, ...]] = dict.fromkeys(named, (entry.source[0],))
    if isinstance(entry.given, ModelCard):
        return replace(card, sources={**own, **card.sources})
    return replace(card, sources={**card.sources, **own})


_SHORT = {"price": "prices"}


def _known_fields(card: ModelCard) -> set[str]:
    return {
        field.name
        for field in fields(card)
        if getattr(card, field.name) not in (None, ())
    }


def _wrong(entry: OwnEntry, key: str, what: str) -> CerebrasConfigurationError:
    msg = f"{entry.where}, model {entry.id!r}: key {key!r}: {what}."
    return CerebrasConfigurationError(msg)


def _from_mapping(entry: OwnEntry, given: Mapping[str, Any], table: Table) -> ModelCard:
    """Build a card from the facts that were given, on what it extends."""
    import msgspec

    for key in given:
        if key in _OURS:
            raise _wrong(entry, str(key), "is written by the catalog itself; drop it")
    facts = {key: value for key, value in given.items() if key not in _SHORTHANDS}
    for path, near in unknown_keys(facts, ModelCard):
        hint = f"; did you mean {near!r}" if near else ""
        raise _wrong(entry, path, f"is not known{hint}")
    base = _base(entry, given, table)
    whole: dict[str, Any] = {**base, **facts}
    for name in ("capabilities", "reasoning", "images", "scaffold"):
        inner, outer = facts.get(name), base.get(name)
        if isinstance(inner, Mapping) and isinstance(outer, Mapping):
            whole[name] = {**outer, **inner}
    if "price" in given:
        if "prices" in facts:
            raise _wrong(entry, "price", "give either price or prices")
        whole["prices"] = _prices(entry, given["price"], base.get("prices", ()))
    whole["origin"] = entry.origin
    try:
        return msgspec.convert(whole, ModelCard)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        raise _wrong(entry, path.rstrip("`") or "id", what) from error


def _base(entry: OwnEntry, given: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Return the facts that an entry builds on."""
    import msgspec

    fresh = {
        "name": entry.id,
        "status": "active",
        "status_as_of": entry.source[1].checked_on,
    }
    extends = given.get("extends")
    if extends is None:
        same = next((card for card in table.cards if card.id == entry.id), None)
        return fresh if same is None else _plain(msgspec.to_builtins(same))
    parent = table.by_name.get(extends) if isinstance(extends, str) else None
    if parent is None:
        raise _wrong(entry, "extends", f"there is no model {extends!r}")
    whole = msgspec.to_builtins(parent)
    facts = {name: whole[name] for name in _TECHNICAL if whole[name] is not None}
    sources = {name: keys for name, keys in parent.sources.items() if name in facts}
    return {**fresh, **_plain(facts), "sources": sources}


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value is not None}


def _prices(entry: OwnEntry, price: object, before: Any) -> list[Any]:
    """Return price periods with one more, or one alone if it has no beginning."""
    if not isinstance(price, Mapping):
        raise _wrong(entry, "price", "must hold input, output and so on")
    for path, near in unknown_keys(price, Price):
        hint = f"; did you mean {near!r}" if near else ""
        raise _wrong(entry, f"price.{path}", f"is not known{hint}")
    start = price.get("valid_from")
    if start is None or not before:
        return [dict(price)]
    *older, last = [dict(period) for period in before]
    return [*older, {**last, "valid_until": start}, dict(price)]


# ------------------------------------------------------------------------------ keys


def unknown_keys(
    value: object, kind: Any, path: str = ""
) -> list[tuple[str, str | None]]:
    """Return the keys of a JSON value that its class does not have.

    Args:
        value: The value.
        kind: The class, or another annotation that may hold one.
        path: Where the value is.

    Returns:
        The path of each, and the key that was meant, as far as one can tell.
    """
    cls = _class_in(kind)
    if cls is None:
        return []
    if isinstance(value, (list, tuple)):
        return [
            found
            for number, item in enumerate(value)
            for found in unknown_keys(item, cls, f"{path}[{number}]")
        ]
    if not isinstance(value, Mapping):
        return []
    hints = _hints(cls)
    told: list[tuple[str, str | None]] = []
    for key, item in value.items():
        inner = f"{path}.{key}" if path else str(key)
        if key in hints:
            told += unknown_keys(item, hints[key], inner)
        else:
            told.append((inner, _nearest(str(key), list(hints))))
    return told


def _nearest(key: str, names: list[str]) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(key, names, n=1)
    return near[0] if near else None


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints: dict[str, Any] = typing.get_type_hints(cls)
    return hints


def _class_in(kind: Any) -> type | None:
    """Return the data class in an annotation such as `tuple[Price, ...]`."""
    if isinstance(kind, type) and is_dataclass(kind):
        return kind
    if typing.get_origin(kind) in (tuple, typing.Union, types.UnionType):
        for option in typing.get_args(kind):
            found = _class_in(option)
            if found is not None:
                return found
    return None
