"""Which limits a model has: from the catalog, from the user, or none that is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict

from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "KINDS",
    "WINDOW_S",
    "Kind",
    "Limit",
    "LimitNumbers",
    "Numbers",
    "Source",
    "Tier",
    "Window",
    "key_of",
]

Kind = Literal["requests", "tokens", "uncached"]
Window = Literal["second", "minute", "hour", "day"]
Source = Literal["yours", "catalog", "learned", "guessed"]
Tier = Literal["free", "developer"]

KINDS: Final[tuple[Kind, ...]] = ("requests", "tokens", "uncached")
"""What is counted, in the order of every triple of amounts in this package.

`tokens` are all tokens; `uncached` leaves out those of the prompt that the service had
in its cache.
"""

WINDOW_S: Final[dict[Window, float]] = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3_600.0,
    "day": 86_400.0,
}


class LimitNumbers(TypedDict, total=False):
    """Limits in numbers; what is left out is not limited by them."""

    requests_per_second: int | None
    requests_per_minute: int | None
    requests_per_hour: int | None
    requests_per_day: int | None
    uncached_tokens_per_minute: int | None
    tokens_per_minute: int | None
    tokens_per_hour: int | None
    tokens_per_day: int | None


_FIELDS: Final[dict[str, tuple[Kind, Window]]] = {
    "requests_per_second": ("requests", "second"),
    "requests_per_minute": ("requests", "minute"),
    "requests_per_hour": ("requests", "hour"),
    "requests_per_day": ("requests", "day"),
    "uncached_tokens_per_minute": ("uncached", "minute"),
    "tokens_per_minute": ("tokens", "minute"),
    "tokens_per_hour": ("tokens", "hour"),
    "tokens_per_day": ("tokens", "day"),
}


def key_of(kind: str, window: str) -> str:
    """Return the name of a bucket, as `tokens/minute`."""
    return f"{kind}/{window}"


class Limit(NamedTuple):
    """One limit: so many of a kind in a window."""

    kind: Kind
    window: Window
    capacity: float
    source: Source = "yours"

    @property
    def key(self) -> str:
        """The bucket's name."""
        return key_of(self.kind, self.window)


class Numbers:
    """Looks up a model's limits: the user's own numbers win over the tier's.

    Args:
        tier: The account's plan; its row in the catalog is read on first use.
        common: Numbers for every model.
        per_model: Numbers for some models, by id or alias.

    Raises:
        CerebrasConfigurationError: A number is none, or its name is not known.
    """

    def __init__(
        self,
        tier: Tier | None,
        common: Mapping[str, Any],
        per_model: Mapping[str, Mapping[str, Any]],
    ) -> None:
        if tier not in {None, "free", "developer"}:
            msg = f"tier={tier!r} is not known; use 'free' or 'developer'."
            raise CerebrasConfigurationError(msg)
        self._tier: Tier | None = tier
        self._common = _read(common, "")
        self._per_model = {
            self.name_of(model): _read(numbers, f"per_model[{model!r}] ")
            for model, numbers in per_model.items()
        }

    @property
    def empty(self) -> bool:
        """Whether nothing at all is known."""
        return not (self._tier or self._common or self._per_model)

    def name_of(self, model: str) -> str:
        """Return the id that a model's limits are kept under: an alias shares them."""
        from langchain_cerebras_ext.catalog import find_model

        card = find_model(model)
        return card.id if card is not None and model in card.aliases else model

    def limits(self, model: str) -> tuple[Limit, ...]:
        """Return a model's limits; an empty tuple where none is known."""
        found = {limit.key: limit for limit in self._from_tier(model)}
        found |= {limit.key: limit for limit in self._common}
        own = self._per_model.get(self.name_of(model), ())
        return tuple((found | {limit.key: limit for limit in own}).values())

    def _from_tier(self, model: str) -> tuple[Limit, ...]:
        if self._tier is None:
            return ()
        from langchain_cerebras_ext.catalog import find_model

        card = find_model(model)
        rates = card.limits(self._tier).rates if card is not None else None
        if rates is None:
            return ()
        return tuple(
            Limit(kind, window, float(number), "catalog")
            for name, (kind, window) in _FIELDS.items()
            if (number := getattr(rates, name, None)) is not None
        )


def _read(numbers: Mapping[str, Any], where: str) -> tuple[Limit, ...]:
    limits: list[Limit] = []
    for name, number in numbers.items():
        if name not in _FIELDS:
            msg = (
                f"{where}{name}={number!r} is no limit that is known. "
                f"Known: {', '.join(_FIELDS)}."
            )
            raise CerebrasConfigurationError(msg)
        if number is None:
            continue
        if (
            isinstance(number, bool)
            or not isinstance(number, (int, float))
            or not math.isfinite(number)
            or number < 1
        ):
            msg = f"{where}{name}={number!r} must be a number, at least 1, or None."
            raise CerebrasConfigurationError(msg)
        limits.append(Limit(*_FIELDS[name], float(number)))
    return tuple(limits)
