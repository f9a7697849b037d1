"""Find cards by id, alias or likeness.

The packaged table is decoded on first use and kept: 1 to 3 ms, once a process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from langchain_cerebras_ext.catalog.models import ModelCard, Source, UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext.catalog.models import Status

__all__ = ["find_model", "get_model", "list_models", "source", "suggest"]

MAX_SUGGESTIONS = 3
_LIKENESS = 0.6
_SERVED_BONUS = 0.1
_SAME = 2.0


@dataclass(frozen=True, slots=True)
class _Table:
    """The packaged data: `models.json` as it is, and an index over every name."""

    sources: Mapping[str, Source]
    cards: tuple[ModelCard, ...]
    by_name: Mapping[str, ModelCard]


@cache
def _table() -> _Table:
    from pathlib import Path

    return _read_table(Path(__file__).with_name("models.json").read_bytes())


def _read_table(data: bytes) -> _Table:
    """Decode and index the data, and check its types as we go."""
    import msgspec

    class File(msgspec.Struct):
        sources: dict[str, Source]
        models: tuple[ModelCard, ...]

    file = msgspec.json.decode(data, type=File)
    return _Table(file.sources, file.models, _index(file.models))


def _index(cards: tuple[ModelCard, ...]) -> dict[str, ModelCard]:
    """Map every name to its card; an id wins over whatever else is called so."""
    names = {name: card for card in cards for name in _names(card)}
    return {**names, **{card.id: card for card in cards}}


def _names(card: ModelCard) -> list[str]:
    return [card.id, *card.aliases, *(other.name for other in card.other_names)]


def find_model(model: str) -> ModelCard | None:
    """Return the card of a model, or `None` if the catalog has none.

    Args:
        model: An id, one of its aliases, or a name that another product uses for it;
            without a provider's prefix.
    """
    return _table().by_name.get(model)


def get_model(model: str) -> ModelCard:
    """Return the card of a model.

    Args:
        model: An id, one of its aliases, or a name that another product uses for it;
            without a provider's prefix.

    Raises:
        UnknownModelError: The catalog has no such model; it names the nearest ids.
    """
    card = find_model(model)
    if card is None:
        raise _unknown(model)
    return card


def list_models(status: Status | None = None) -> tuple[ModelCard, ...]:
    """Return all cards, those served today first, or the cards of one status."""
    cards = _table().cards
    return tuple(card for card in cards if status is None or card.status == status)


def source(key: str) -> Source:
    """Return the source that cards, prices and limits refer to by this key.

    Raises:
        KeyError: There is no such source.
    """
    return _table().sources[key]


def suggest(model: str) -> list[str]:
    """Return the ids that look most like a name; of near equals the served one.

    Case, punctuation and a provider's prefix (`openai/`, `cerebras:`) do not count.
    """
    wanted = _plain(model.replace(":", "/").rpartition("/")[2])
    scores: dict[str, float] = {}
    for name, card in _table().by_name.items():
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
