"""Which model is meant, whether it may be asked, and how models are listed.

What the catalog knows of a model's life decides: whoever asks for one that has ended
is told its successor, or gets it where that is switched on. Names that the catalog does
not know are the upstream's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext.catalog import (
    deprecation_notice,
    find_model,
    list_models,
    successor,
)
from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.costs.prices import PriceBook, list_prices
from langchain_cerebras_ext.costs.pricing import usd_text
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

    from langchain_cerebras_ext.catalog import Lifecycle, ModelCard

__all__ = ["ModelSettings", "ModelTable", "Route"]

_MAX_KEPT: Final = 4096
_MAX_LISTED: Final = 20
_MTOK: Final = Decimal(1_000_000)


class ModelSettings(Protocol):
    """What of the proxy's settings is about models."""

    @property
    def aliases(self) -> Mapping[str, str]:
        """Names of one's own, and the models that they stand for."""
        ...

    @property
    def allowed_models(self) -> Iterable[str]:
        """The only models that may be asked; empty is all."""
        ...

    @property
    def migrate_retired(self) -> bool:
        """Whether a model that has ended is replaced by its successor."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    Attributes:
        model: What the upstream is asked for.
        rewritten: Whether that is another name than the client's.
        sunset: The day on which the model's service ends or ended (ISO), and its
            successor, where an end is known.
        warning: What to tell of that, in a sentence or two.
    """

    model: str
    rewritten: bool
    sunset: tuple[str, str | None] | None = None
    warning: str | None = None


class ModelTable:
    """Resolves the models of requests, and describes those that may be asked.

    Args:
        settings: Aliases, the allow-list, and what to do about ended models.
        prices: What models cost; the catalog's list prices if not given.
        clock: Which day it is (UTC).

    Raises:
        CerebrasConfigurationError: An alias leads to itself, or too far.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        prices: PriceBook | None = None,
        clock: Callable[[], date] = utc_day,
    ) -> None:
        self._aliases = _check_aliases(settings.aliases)
        self._allowed = frozenset(map(strip_provider, settings.allowed_models))
        self._migrates = settings.migrate_retired
        self._clock = clock
        self._prices = list_prices() if prices is None else prices
        self._kept: dict[str, Route | Callable[[], Refusal]] = {}
        self._kept_on: date | None = None
        self._kept_of: object = None
        registry.table()  # what is wrong with it is told now, and not by each request

    def resolve(self, asked: str) -> Route:
        """Return where a request for a model goes.

        Args:
            asked: As the client wrote it: an id, with or without `cerebras::`, an
                alias, or a name that only the upstream knows.

        Raises:
            Refusal: It is not on the allow-list (403), or its service has ended (404).
        """
        day, table = self._clock(), registry.table()
        if self._kept_on != day or self._kept_of is not table:
            self._kept, self._kept_on, self._kept_of = {}, day, table
        found = self._kept.get(asked)
        if found is None:
            found = self._find(asked, day)
            if len(self._kept) >= _MAX_KEPT:  # names that nobody knows are many
                self._kept.clear()
            self._kept[asked] = found
        if isinstance(found, Route):
            return found
        raise found()

    def life(self, asked: str) -> Lifecycle | None:
        """Return the life of the model that a name stands for.

        Args:
            asked: As `resolve` takes it; it may be one that is refused.
        """
        card = _card_of(self._way(asked)[-1])
        return None if card is None else card.lifecycle(self._clock())

    def _find(self, asked: str, day: date) -> Route | Callable[[], Refusal]:
        """Return the way of a model, or what to raise."""
        way = self._way(asked)
        model = way[-1]
        if not self._allows(way):
            return partial(_not_allowed, asked, self._allowed)
        card = _card_of(model)
        notice = deprecation_notice(card, day) if card is not None else None
        if card is None or notice is None or notice.ends_on is None:
            return Route(model, rewritten=model != asked)
        sunset = (notice.ends_on.isoformat(), notice.replacement)
        told = f"{notice.what} {notice.use}"
        life = card.lifecycle(day)
        # On its last day a model may still answer.
        if life.is_ended and life.days_left is not None and life.days_left < 0:
            found = successor(card, on=day)
            if not self._migrates or found.model is None or found.served_from:
                return partial(_retired, asked, model, told)
            model = found.model
            told = f"{told} '{model}' answers in its place."
        return Route(model, rewritten=model != asked, sunset=sunset, warning=told)

    def _way(self, asked: str) -> tuple[str, ...]:
        """Return the names from the one asked for to the model's own."""
        way = [asked]
        for _ in range(2):
            name = way[-1]
            if name not in self._aliases:
                name = strip_provider(name)
                if name != way[-1]:
                    way.append(name)
            target = self._aliases.get(name)
            if target is None:
                break
            way.append(target)
        return tuple(way)

    def _allows(self, way: tuple[str, ...]) -> bool:
        """Tell whether one of a model's names is on the allow-list, if there is one."""
        if not self._allowed or not self._allowed.isdisjoint(way):
            return True
        card = _card_of(way[-1])
        names = () if card is None else (card.id, *card.aliases)
        return not self._allowed.isdisjoint(names)

    # ------------------------------------------------------------------ what is there

    def list_view(self, payload: bytes | None) -> bytes:
        """Return the list of models: the upstream's, with what the catalog knows.

        Args:
            payload: The upstream's list; without one, the catalog's served models are
                listed. Where it is none, it is returned as it is.
        """
        day = self._clock()
        told = _decode(payload)
        listed = told.get("data") if isinstance(told, dict) else None
        if payload is not None and not isinstance(listed, list):
            return payload
        rows: list[Any] = _served(day) if not isinstance(listed, list) else listed
        data = [self._row(row, day) for row in rows if self._may_list(row)]
        by_id = {
            row["id"]: row
            for row in data
            if isinstance(row, dict) and isinstance(row.get("id"), str)
        }
        for alias in self._aliases:
            row = self._alias_row(alias, by_id, day)
            if row is not None and alias not in by_id:
                data.append(row)
        head = told if isinstance(told, dict) else {"object": "list"}
        return msgspec.json.encode({**head, "data": data})

    def model_view(self, model: str, payload: bytes | None) -> bytes:
        """Return one model, as `list_view` does.

        Args:
            model: The name that was asked for, which `resolve` has passed.
            payload: The upstream's answer about the model that it stands for.
        """
        day = self._clock()
        told = _decode(payload)
        if payload is not None and not isinstance(told, dict):
            return payload
        target = self.resolve(model).model
        row = told if isinstance(told, dict) else _plain_row(target)
        row = self._row(row, day)
        if model != target:
            row = {**row, "id": model, "root": target}
        return msgspec.json.encode(row)

    def _may_list(self, row: Any) -> bool:
        name = row.get("id") if isinstance(row, dict) else None
        return not isinstance(name, str) or self._allows(self._way(name))

    def _row(self, row: Any, day: date) -> Any:
        if not isinstance(row, dict):
            return row
        name = row.get("id")
        card = _card_of(strip_provider(name)) if isinstance(name, str) else None
        facts = {
            **(_UNKNOWN if card is None else _facts(card, day)),
            "pricing": self._pricing(name, day),
        }
        # What the upstream says of itself holds.
        return {**row, **{key: facts[key] for key in facts if key not in row}}

    def _pricing(self, name: Any, day: date) -> dict[str, Any] | None:
        """Return what a model costs in USD per token, as text."""
        if not isinstance(name, str):
            return None
        price = self._prices.find("cerebras", strip_provider(name), day)
        if price is None or (price.input is None and price.output is None):
            return None
        told = {
            "prompt": _per_token(price.input),
            "completion": _per_token(price.output),
            "currency": "USD",
            "source": price.source or None,
            "as_of": price.seen,
        }
        if price.cached_input is not None:
            told["input_cache_read"] = _per_token(price.cached_input)
        if price.discount:
            told["discount"] = usd_text(price.discount)
        return told

    def _alias_row(self, alias: str, by_id: dict[str, Any], day: date) -> Any:
        try:
            target = self.resolve(alias).model
        except Refusal:
            return None
        row = by_id.get(target) or self._row(_plain_row(target), day)
        return {**row, "id": alias, "root": target}


def _check_aliases(aliases: Mapping[str, str]) -> dict[str, str]:
    """Return aliases and their targets' own names; an alias may name another, once."""
    checked = {name: strip_provider(target) for name, target in aliases.items()}
    for name, target in checked.items():
        way = [name, target]
        while way[-1] in checked and way[-1] not in way[:-1]:
            way.append(checked[way[-1]])
        told = " -> ".join(repr(one) for one in way)
        if way[-1] in way[:-1]:
            msg = f"APE_ALIASES: the model alias {name!r} leads in a circle: {told}."
            raise CerebrasConfigurationError(msg)
        if len(way) > 3:  # noqa: PLR2004
            msg = (
                f"APE_ALIASES: the model alias {name!r} goes over too many others: "
                f"{told}. An alias may name a model, or another alias that names one."
            )
            raise CerebrasConfigurationError(msg)
    return checked


def _card_of(model: str) -> ModelCard | None:
    """Return the card of a name that the service itself takes, or took."""
    card = find_model(model)
    if card is None or (model != card.id and model not in card.aliases):
        return None
    return card


def _not_allowed(asked: str, allowed: frozenset[str]) -> Refusal:
    names = sorted(allowed)
    more = ", ..." if len(names) > _MAX_LISTED else ""
    msg = (
        f"The model '{asked}' is not allowed by this proxy. Allowed: "
        f"{', '.join(names[:_MAX_LISTED])}{more}."
    )
    return Refusal(
        403, msg, code="model_not_allowed", category="model_not_allowed", param="model"
    )


def _retired(asked: str, model: str, told: str) -> Refusal:
    by = "" if asked == model else f"'{asked}' stands for '{model}'. "
    return Refusal(
        404,
        f"{by}{told}",
        code="model_retired",
        type="not_found_error",
        category="model_retired",
        param="model",
    )


# ---------------------------------------------------------------- what a model is like

_UNKNOWN: Final[dict[str, Any]] = {
    "lifecycle": None,
    "context_window": None,
    "max_output_tokens": None,
    "capabilities": None,
}


def _facts(card: ModelCard, day: date) -> dict[str, Any]:
    """Return what the catalog knows of a model, as fields of a list of models."""
    life = card.lifecycle(day)
    limits = card.limits()
    abilities = msgspec.to_builtins(card.capabilities)
    return {
        "lifecycle": {
            "status": life.stage,
            "deprecated_on": life.told_on,
            "sunset_on": life.ends_on,
            "successor": life.successor,
        },
        "context_window": card.safe_context_tokens or limits.context_tokens,
        "max_output_tokens": card.safe_max_output_tokens or limits.max_output_tokens,
        "capabilities": {
            **{name: can for name, can in abilities.items() if can is not None},
            **(
                {}
                if card.reasoning.supported is None
                else {"reasoning": card.reasoning.supported}
            ),
        },
    }


def _per_token(usd_per_mtok: Decimal | None) -> str | None:
    return None if usd_per_mtok is None else usd_text(usd_per_mtok / _MTOK)


def _served(day: date) -> list[dict[str, Any]]:
    return [
        _plain_row(card.id)
        for card in list_models(as_of=day)
        if card.lifecycle(day).is_served
    ]


def _plain_row(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "Cerebras"}


def _decode(payload: bytes | None) -> Any:
    try:
        return None if payload is None else msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
