"""What to say where no price is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext.catalog import find_model, suggest
from langchain_cerebras_ext.costs import _providers
from langchain_cerebras_ext.costs.prices import CEREBRAS, split_model
from langchain_cerebras_ext.errors import UnknownPriceError

if TYPE_CHECKING:
    from datetime import date

    from langchain_cerebras_ext.catalog import ModelCard

__all__ = ["unknown_price"]


def unknown_price(
    provider: str | None, model: str, day: date, batch: bool, tier: str | None
) -> UnknownPriceError:
    """Return an error that says why no price is known, and what to do."""
    prefix, name = split_model(model)
    whose = _providers.provider_name(prefix or provider)
    route = _providers.routed(whose, name)
    if route is not None:
        whose, name = route
    if whose in {None, CEREBRAS}:
        name = strip_provider(name)
    card = find_model(name)
    if whose is None and card is not None:
        whose = CEREBRAS
    elif whose is None and not suggest(name):  # else it is rather one of ours
        whose = _providers.maker_of(name)
    if whose == CEREBRAS or (whose is None and _providers.is_installed()):
        why = (
            _why_of_card(card, day, batch=batch)
            if card
            else _why_unknown(name, is_named=whose is not None)
        )
    else:
        why = _providers.why_unknown(whose, name, batch=batch, tier=tier)
    kind = "batch price" if batch else "price"
    of = f" ({whose})" if whose else ""
    row = f"{name!r}, provider={whose or CEREBRAS!r}, input='...', output='...'"
    msg = (
        f"No {kind} of {name!r}{of} on {day} is known: {why} A cost of 0 would be a "
        f"guess. Give your own: PriceBook().with_price({row}"
        f"{', batch=True' if batch else ''})."
    )
    return UnknownPriceError(msg)


def _why_of_card(card: ModelCard, day: date, *, batch: bool) -> str:
    if card.price(day) is not None and batch:
        return "no source tells what its batch jobs cost."
    if card.announced is not None and day < card.announced and card.prices:
        return f"the model came on {card.announced}."
    if card.prices:
        return "the catalog's prices of it are for other days."
    return "the catalog has the model, but no source tells its price."


def _why_unknown(model: str, *, is_named: bool) -> str:
    near = suggest(model)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    other = "" if is_named else " If it is another provider's, name the provider."
    return f"the catalog has no such model.{hint}{other}"
