"""The catalog at one moment: cards, sources, and an index over every name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.catalog.models import ModelCard, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Table", "make_table", "names_of", "packaged_table", "read_table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Cards with their sources; never changed, only replaced by another.

    Attributes:
        checked_on: The day on which the packaged data were checked last.
        sources: What the cards' keys of sources stand for.
        cards: Every card, those served today first.
        by_name: The cards by id, alias and other products' names.
        parameters: The rows of deprecated parameters, as JSON.
        service_changes: The rows of changes of the service, as JSON.
    """

    checked_on: date
    sources: Mapping[str, Source]
    cards: tuple[ModelCard, ...]
    by_name: Mapping[str, ModelCard]
    parameters: bytes
    service_changes: bytes


@cache
def packaged_table() -> Table:
    """Return the data that the package ships, decoded once: 1 to 3 ms."""
    from pathlib import Path

    return read_table(Path(__file__).with_name("models.json").read_bytes())


def read_table(data: bytes) -> Table:
    """Decode the data, and check its types as we go.

    Raises:
        msgspec.ValidationError: The data are not of the form of `models.json`.
    """
    import msgspec

    nothing = msgspec.Raw(b"[]")
    form = msgspec.defstruct(
        "File",
        [
            ("checked_on", date),
            ("sources", dict[str, Source]),
            ("models", tuple[ModelCard, ...]),
            # Few ask for these: they are decoded when somebody does.
            ("parameters", msgspec.Raw, nothing),
            ("service_changes", msgspec.Raw, nothing),
        ],
    )
    file: Any = msgspec.json.decode(data, type=form)
    return Table(
        checked_on=file.checked_on,
        sources=file.sources,
        cards=file.models,
        by_name=_index(file.models),
        parameters=bytes(file.parameters),
        service_changes=bytes(file.service_changes),
    )


def make_table(
    base: Table, cards: Iterable[ModelCard], sources: Mapping[str, Source]
) -> Table:
    """Return a table with other cards, and with more sources."""
    kept = tuple(cards)
    return Table(
        checked_on=base.checked_on,
        sources={**base.sources, **sources},
        cards=kept,
        by_name=_index(kept),
        parameters=base.parameters,
        service_changes=base.service_changes,
    )


def _index(cards: tuple[ModelCard, ...]) -> dict[str, ModelCard]:
    """Map every name to its card; an id wins over whatever else is called so."""
    names = {name: card for card in cards for name in names_of(card)}
    return {**names, **{card.id: card for card in cards}}


def names_of(card: ModelCard) -> list[str]:
    """Return every name by which a card is found, its id first."""
    return [card.id, *card.aliases, *(other.name for other in card.other_names)]
