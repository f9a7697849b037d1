"""What must be true of cards: of those we ship, and of a user's own."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from langchain_cerebras_ext.catalog._table import names_of
from langchain_cerebras_ext.catalog.models import Capabilities, ReasoningSupport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_cerebras_ext.catalog._table import Table
    from langchain_cerebras_ext.catalog.models import ModelCard, Price

__all__ = ["card_problems", "table_problems"]

_COUNTS = (
    "context_tokens_free",
    "context_tokens_paid",
    "safe_context_tokens",
    "max_output_tokens_free",
    "max_output_tokens_paid",
    "safe_max_output_tokens",
    "speed_tokens_per_s",
)
# Values that tell nothing, and need no source.
_NOTHING: tuple[object, ...] = (None, (), Capabilities(), ReasoningSupport())
_NOT_COUNTS = {"tier", "plan", "as_of", "source", "unlimited"}
# Fields that say something about other fields, or that hold prose.
WITHOUT_SOURCE = frozenset(
    {
        "id",
        "status_as_of",
        "announced_precision",
        "deprecation_precision",
        "retired_precision",
        "replacement_basis",
        "notes",
        "conflicts",
        "changes",
        "sources",
        "live",
        "origin",
    }
)


def card_problems(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with one card: a key, and what it should be."""
    if not card.id or card.id != card.id.strip():
        yield "id", "must be a name without blanks around it"
    yield from _date_problems(card)
    yield from _price_problems(card.prices)
    yield from _limit_problems(card)
    yield from _reasoning_problems(card)
    if card.images and card.capabilities.vision is not True:
        yield "images", "needs capabilities.vision = true"


def _date_problems(card: ModelCard) -> Iterator[tuple[str, str]]:
    named = [
        ("announced", card.announced),
        ("deprecation_announced", card.deprecation_announced),
        ("retired_on", card.retired_on),
    ]
    known = [(name, day) for name, day in named if day is not None]
    for (before, first), (after, second) in pairwise(known):
        if first > second:
            yield after, f"{second} is before {before}, which is {first}"
    if card.replacement_current == card.id or card.id in card.replacements:
        yield "replacements", "a model cannot replace itself"


def _price_problems(prices: tuple[Price, ...]) -> Iterator[tuple[str, str]]:
    for number, price in enumerate(prices):
        where = f"prices[{number}]"
        for field in fields(price):
            value = getattr(price, field.name)
            wrong = isinstance(value, Decimal) and not (
                value.is_finite() and value >= 0
            )
            if wrong:
                yield f"{where}.{field.name}", f"{value} is no price; 0 is free"
        start, end = price.valid_from, price.valid_until
        if start is not None and end is not None and start >= end:
            yield f"{where}.valid_until", f"{end} is not after {start}"
        if number and start is None:
            yield f"{where}.valid_from", "is needed for all periods but the first"
        if number + 1 < len(prices):
            following = prices[number + 1].valid_from
            if following is not None and end != following:
                yield (
                    f"{where}.valid_until",
                    f"must be {following}, where the next period begins",
                )


def _limit_problems(card: ModelCard) -> Iterator[tuple[str, str]]:
    for name in _COUNTS:
        value = getattr(card, name)
        if value is not None and value <= 0:
            yield name, f"{value} must be above 0; leave it out if it is not known"
    for free, paid in (
        ("context_tokens_free", "context_tokens_paid"),
        ("max_output_tokens_free", "max_output_tokens_paid"),
    ):
        low, high = getattr(card, free), getattr(card, paid)
        if low is not None and high is not None and low > high:
            yield free, f"{low} is more than {paid}, which is {high}"
    for number, limit in enumerate(card.rate_limits):
        names = {field.name for field in fields(limit)} - _NOT_COUNTS
        where = f"rate_limits[{number}]"
        for name in sorted(names):
            value = getattr(limit, name)
            if value is not None and (value <= 0 or name in limit.unlimited):
                yield f"{where}.{name}", f"{value} must be above 0 and not unlimited"
        for name in limit.unlimited:
            if name not in names:
                yield f"{where}.unlimited", f"there is no limit {name!r}"


def _reasoning_problems(card: ModelCard) -> Iterator[tuple[str, str]]:
    reasoning = card.reasoning
    efforts, formats = reasoning.efforts or (), reasoning.formats or ()
    if reasoning.efforts and reasoning.default_effort not in {None, *efforts}:
        yield "reasoning.default_effort", "must be one of reasoning.efforts"
    if reasoning.formats and reasoning.default_format not in {None, *formats}:
        yield "reasoning.default_format", "must be one of reasoning.formats"
    if reasoning.supported is False and (efforts or formats):
        yield "reasoning.supported", "is false, but efforts or formats are given"
    if reasoning.can_disable is False and "none" in efforts:
        yield "reasoning.can_disable", "is false, but the effort 'none' is taken"
    if set(efforts) & set(reasoning.inert_efforts):
        yield "reasoning.inert_efforts", "must not be among reasoning.efforts"


def table_problems(table: Table) -> list[str]:
    """Return what is wrong with a whole table: each card, and how they fit together."""
    told = [
        f"{card.id}: {key}: {what}"
        for card in table.cards
        for key, what in card_problems(card)
    ]
    told += _name_problems(table.cards)
    for card in table.cards:
        told += [f"{card.id}: {what}" for what in _source_problems(card, table)]
        told += [f"{card.id}: {what}" for what in _chain_problems(card, table)]
    return told


def _name_problems(cards: Iterable[ModelCard]) -> Iterator[str]:
    owner: dict[str, str] = {}
    for card in cards:
        for name in names_of(card):
            if name in owner:
                yield f"{card.id}: the name {name!r} is taken by {owner[name]}"
            owner[name] = card.id


def _source_problems(card: ModelCard, table: Table) -> Iterator[str]:
    for field in fields(card):
        if field.name in WITHOUT_SOURCE:
            continue
        value = getattr(card, field.name)
        if value in _NOTHING or field.name in card.sources:
            continue
        yield f"{field.name} has no source"
    keys = [key for found in card.sources.values() for key in found]
    keys += [seen.source for price in card.prices for seen in price.seen]
    keys += [limit.source for limit in card.rate_limits]
    keys += [change.source for change in card.changes]
    keys += [key for other in card.other_names for key in other.sources]
    for key in sorted(set(keys)):
        if key not in table.sources:
            yield f"there is no source {key!r}"


def is_ending(card: ModelCard) -> bool:
    """Tell whether a card must name what to use instead."""
    told = card.retired_on is not None or card.deprecation_announced is not None
    return told or card.status in {"retired", "never-served"}


def _chain_problems(card: ModelCard, table: Table) -> Iterator[str]:
    """Check that a card's advice names a model that is served."""
    current = card.replacement_current
    if not is_ending(card):
        if current is not None:
            yield "replacement_current is given for a model whose end is not told"
        return
    if current is None:
        yield "replacement_current must name a model that is served"
        return
    found = table.by_name.get(current)
    if found is None or found.status != "active":
        yield f"replacement_current {current!r} is not served"
    if card.replacement_basis is None:
        yield "replacement_basis must say whose word it is"
    for name in card.replacements:
        if name not in table.by_name:
            yield f"replacements name {name!r}, which has no card"
