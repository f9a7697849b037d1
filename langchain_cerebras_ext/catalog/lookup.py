"""Find cards by id, alias or likeness, as they are today or on another day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.errors import UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from langchain_cerebras_ext.catalog._lifecycle import Stage
    from langchain_cerebras_ext.catalog.models import ModelCard, Source

__all__ = ["find_model", "get_model", "list_models", "source", "suggest"]

MAX_SUGGESTIONS = 3
_LIKENESS = 0.6
_SERVED_BONUS = 0.1
_SAME = 2.0


def find_model(model: str, *, on: date | None = None) -> ModelCard | None:
    """Return the card of a model, or `None` if the catalog has none.

    Args:
        model: An id, one of its aliases, or a name that another product uses for it;
            without a provider's prefix.
        on: See the card from this day (UTC); not given, it is what is known now.
    """
    card = registry.table().by_name.get(model)
    return card if card is None or on is None else card.as_of(on)


def get_model(model: str, *, on: date | None = None) -> ModelCard:
    """Return the card of a model.

    Args:
        model: An id, one of its aliases, or a name that another product uses for it;
            without a provider's prefix.
        on: See the card from this day (UTC): prices, ends and successors that came
            later are not there, and `status` is that of the day. Not given, it is
            what is known now, and `status` that of `status_as_of`.

    Raises:
        UnknownModelError: The catalog has no such model; it names the nearest ids.

    Example:
        >>> from datetime import date
        >>> card = get_model("qwen-3-coder-480b", on=date(2025, 10, 1))
        >>> card.status, card.retired_on
        ('active', None)
    """
    card = find_model(model, on=on)
    if card is None:
        raise _unknown(model)
    return card


def list_models(
    status: Stage | None = None,
    *,
    capability: str | Iterable[str] | None = None,
    as_of: date | None = None,
) -> tuple[ModelCard, ...]:
    """Return cards, those served today first.

    Args:
        status: Only those of this status; `deprecated` are those that are served and
            whose end is told.
        capability: Only those that are known to be able to do this, or all of these:
            a field of `Capabilities`, or `reasoning`.
        as_of: See the catalog from this day (UTC). Models that came later are left
            out, unless `status` is `upcoming`.

    Raises:
        CerebrasConfigurationError: There is no such capability.

    Example:
        >>> [card.id for card in list_models("active", capability="vision")]
        ['qwen-3.8-27b']
    """
    cards = registry.table().cards
    if as_of is not None:
        cards = tuple(card.as_of(as_of) for card in cards)
        if status != "upcoming":
            cards = tuple(card for card in cards if card.status != "upcoming")
    if status == "deprecated":
        cards = tuple(c for c in cards if c.lifecycle(as_of).stage == status)
    elif status is not None:
        cards = tuple(card for card in cards if card.status == status)
    if capability is None:
        return cards
    from langchain_cerebras_ext.catalog._abilities import has_all, read_abilities

    wanted = read_abilities(capability)
    return tuple(card for card in cards if has_all(card, wanted))


def source(key: str) -> Source:
    """Return the source that cards, prices and limits refer to by this key.

    Raises:
        KeyError: There is no such source.
    """
    return registry.table().sources[key]


def suggest(model: str) -> list[str]:
    """Return the ids that look most like a name; of near equals the served one.

    Case, punctuation and a provider's prefix (`openai/`, `cerebras:`) do not count.
    """
    wanted = _plain(model.replace(":", "/").rpartition("/")[2])
    scores: dict[str, float] = {}
    for name, card in registry.table().by_name.items():
        score = _likeness(wanted, _plain(name))
        if score >= _LIKENESS:
            bonus = _SERVED_BONUS if card.status == "active" else 0.0
            scores[card.id] = max(scores.get(card.id, 0.0), score + bonus)
    best = sorted(scores, key=lambda model_id: -scores[model_id])
    if best and scores[best[0]] >= _SAME:
        return best[:1]
    return best[:MAX_SUGGESTIONS]


def _likeness(wanted: str, name: str) -> float:
    from difflib import SequenceMatcher

    return _SAME if wanted == name else SequenceMatcher(None, wanted, name).ratio()


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _unknown(model: str) -> UnknownModelError:
    near = suggest(model)
    served = " and ".join(repr(card.id) for card in list_models("active"))
    hint = (
        f"Did you mean {' or '.join(map(repr, near))}?"
        if near
        else f"Served today: {served}."
    )
    msg = f"Model {model!r} is not in the catalog. {hint}"
    return UnknownModelError(msg, model=model, suggestions=tuple(near))
