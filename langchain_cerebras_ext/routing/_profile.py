"""What all legs of a router can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_cerebras_ext.catalog import find_model
from langchain_cerebras_ext.routing.providers import CEREBRAS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_core.language_models.model_profile import ModelProfile

    from langchain_cerebras_ext.routing._leg import Leg

__all__ = ["profile_of", "shared_profile"]


def profile_of(leg: Leg) -> Mapping[str, Any] | None:
    """Return what a leg can do, as far as that is known without making its model."""
    if leg.is_made:
        return cast("Mapping[str, Any] | None", leg.model.profile)
    if leg.target is None or leg.target.provider != CEREBRAS:
        return None
    card = find_model(leg.target.model)
    return cast("Mapping[str, Any]", card.to_profile()) if card else None


def shared_profile(legs: Iterable[Leg]) -> ModelProfile | None:
    """Return what each of the legs can do: the least of all.

    Returns:
        Abilities that all have, and the smallest sizes. `None` where nothing is known
        of one leg, since then nothing is sure.
    """
    profiles = [profile_of(leg) for leg in legs]
    if not profiles or not all(profiles):
        return None
    known = cast("list[Mapping[str, Any]]", profiles)
    names = [name for name in known[0] if all(name in one for one in known)]
    found = {name: _least([one[name] for one in known]) for name in names}
    kept = {name: value for name, value in found.items() if value is not None}
    return cast("ModelProfile", kept)


def _least(values: list[Any]) -> Any:
    first = values[0]
    if all(isinstance(one, bool) for one in values):
        return all(values)
    if all(isinstance(one, (int, float)) for one in values):
        return min(values)
    if all(isinstance(one, (list, tuple)) for one in values):
        return [one for one in first if all(one in other for other in values)]
    return first if all(one == first for one in values) else None
