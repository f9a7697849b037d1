"""What the check knows of models and parameters; the one door to the catalog."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_cerebras_ext.catalog import (
    find_model,
    find_parameter,
    list_models,
    successor,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from langchain_cerebras_ext.catalog import Lifecycle, ModelCard

ModelState = Literal["served", "ending", "retired", "unserved", "dedicated"]
"""`unserved` never was on the service; `dedicated` only is on customers' endpoints."""


@dataclass(frozen=True, slots=True)
class ModelFact:
    """One name of a model, and how the model stands on the day.

    Attributes:
        name: The name as files have it: the id, an alias, or another product's name.
        id: The id in the catalog.
        state: How the model stands.
        ends_on: The day of its end, past or to come.
        days_left: Days until then; negative after it.
        successor: What to use instead.
        named_by: Whose advice that is: the vendor's announcements, or our own.
        served_from: The successor's first day, if that is yet to come.
        only_cerebras: Whether nobody else calls a model so.
        is_id: Whether the service takes the name.
        is_dedicated: Whether dedicated endpoints still have it.
        is_unlisted: Whether all that is known is that live lists lack it.
    """

    name: str
    id: str
    state: ModelState
    ends_on: date | None
    days_left: int | None
    successor: str | None
    named_by: Literal["vendor", "us"] | None
    served_from: date | None
    only_cerebras: bool
    is_id: bool
    is_dedicated: bool
    is_unlisted: bool


@dataclass(frozen=True, slots=True)
class ParameterFact:
    """A deprecated parameter, and how it stands on the day.

    Attributes:
        name: The parameter.
        chat_payload_only: Whether only bodies of chat completions are meant.
        last_day: Its last day, if one was told.
        days_left: Days until then; negative after it.
        instead: What to write instead, in words.
        rename_to: The new key; beside it the old one cannot be rewritten.
        value_from: The only value that can be rewritten; `None` keeps any value.
        value_to: What that value becomes.
    """

    name: str
    chat_payload_only: bool
    last_day: date | None
    days_left: int | None
    instead: str
    rename_to: str
    value_from: str | None
    value_to: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What to look for on a day: names that are not served, or end soon."""

    on: date
    within_days: int
    models: Mapping[str, ModelFact]
    parameters: Mapping[str, ParameterFact]


@dataclass(frozen=True, slots=True)
class Providers:
    """Words that tell whose model is meant."""

    others: frozenset[str]
    compatible: frozenset[str]


def load_facts(on: date, within_days: int) -> Facts:
    """Return what to look for.

    Args:
        on: The day.
        within_days: How many days ahead an end counts.
    """
    facts = [fact for card in list_models() for fact in _names(card, on, within_days)]
    # An id wins over what another product calls so.
    models = {fact.name: fact for fact in sorted(facts, key=lambda fact: fact.is_id)}
    return Facts(
        on,
        within_days,
        {name: fact for name, fact in models.items() if fact.state != "served"},
        _parameters(on),
    )


def is_known(model: str) -> bool:
    """Tell whether the catalog has a model."""
    return find_model(model) is not None


def accepts_effort(model: str, effort: str) -> bool:
    """Tell whether a model is known to take a reasoning effort."""
    card = find_model(model)
    return card is not None and card.reasoning.accepts_effort(effort) is True


@cache
def providers() -> Providers:
    """Return the words that tell whose model is meant."""
    data = _read("names.json")
    return Providers(
        frozenset(data["other_providers"]), frozenset(data["compatible_clients"])
    )


@cache
def _only_cerebras() -> frozenset[str]:
    return frozenset(_read("names.json")["only_cerebras"]["names"])


def _read(name: str) -> Any:
    return json.loads(Path(__file__).with_name(name).read_bytes())


def _names(card: ModelCard, on: date, within_days: int) -> list[ModelFact]:
    taken = {card.id, *card.aliases}
    names = taken | {other.name for other in card.other_names}
    return [
        _model_fact(card, name, on, within_days, is_id=name in taken) for name in names
    ]


def _model_fact(
    card: ModelCard, name: str, on: date, within_days: int, *, is_id: bool
) -> ModelFact:
    life, follower = card.lifecycle(on), successor(card, on=on)
    return ModelFact(
        name=name,
        id=card.id,
        state=_state(life, within_days),
        ends_on=life.ends_on,
        days_left=life.days_left,
        successor=follower.model,
        named_by=follower.named_by,
        served_from=follower.served_from,
        only_cerebras=name in _only_cerebras(),
        is_id=is_id,
        is_dedicated=life.stage == "dedicated-only",
        is_unlisted=life.stage == "unlisted",
    )


def _state(life: Lifecycle, within_days: int) -> ModelState:
    """Say how a model stands; one that is only flagged may end any day."""
    if life.stage == "never-served":
        return "unserved"
    if life.stage == "unlisted" or life.is_ended:
        return "retired"
    if life.stage == "dedicated-only":
        return "dedicated"
    is_near = life.days_left is None or life.days_left <= within_days
    return "ending" if life.stage == "deprecated" and is_near else "served"


def _parameters(on: date) -> dict[str, ParameterFact]:
    """Return the parameters that are deprecated on the day."""
    facts: dict[str, ParameterFact] = {}
    for row in _read("parameters.json")["parameters"]:
        card = find_parameter(row["name"], on=on)
        if card is None:
            continue
        value = row["value"] or {}
        facts[card.name] = ParameterFact(
            name=card.name,
            chat_payload_only=row["where"] == "chat-payload",
            last_day=card.supported_until,
            days_left=card.lifecycle(on).days_left,
            instead=card.successor or row["rename_to"],
            rename_to=row["rename_to"],
            value_from=value.get("from"),
            value_to=value.get("to"),
        )
    return facts
