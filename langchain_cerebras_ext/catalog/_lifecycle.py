"""Where in its life a model is on a day, what follows it, and the card of that day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from langchain_cerebras_ext.catalog._days import utc_day

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext.catalog._table import Table
    from langchain_cerebras_ext.catalog.models import (
        LiveSighting,
        ModelCard,
        Price,
        Status,
    )

__all__ = ["Lifecycle", "Stage", "Successor", "as_of", "lifecycle", "successor"]

Stage = Literal[
    "upcoming",
    "active",
    "deprecated",
    "unlisted",
    "retired",
    "dedicated-only",
    "never-served",
]
"""As a card's status, and `deprecated` for a model that is served and whose end is
told, or that the live list flags."""

_SERVED = frozenset({"active", "deprecated"})


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A model's life, as it was known on a day.

    Attributes:
        model: The model's id.
        on: The day.
        stage: Where it is in its life. An end takes effect on its day.
        announced: Its first day.
        told_on: When its end was told, if that is known.
        ends_on: The day of its end on the public endpoints, if one had been told.
        days_left: Days from `on` to `ends_on`: 0 on its day, negative after it.
        replacements: The successors that the vendor had named, best first.
        successor: A model that is served that day and takes its place; see the
            function `successor` for who says so. `None` where no end is known.
        live: What the newest live list of that day or before it showed, if one was
            read.
        note: What the live list says other than the dates.
    """

    model: str
    on: date
    stage: Stage
    announced: date | None = None
    told_on: date | None = None
    ends_on: date | None = None
    days_left: int | None = None
    replacements: tuple[str, ...] = ()
    successor: str | None = None
    live: LiveSighting | None = None
    note: str | None = None

    @property
    def is_served(self) -> bool:
        """Whether the public endpoints serve it."""
        return self.stage in _SERVED

    @property
    def is_ended(self) -> bool:
        """Whether its end on the public endpoints has come.

        True of models that dedicated endpoints still offer.
        """
        if self.is_served:
            return False
        return self.stage == "retired" or (
            self.days_left is not None and self.days_left <= 0
        )


@dataclass(frozen=True, slots=True)
class Successor:
    """What to use in place of a model.

    Attributes:
        model: A model that is served on the day; `None` if there is none to name.
        named_by: `vendor` if the announced successors lead to it, `us` if they end
            unserved, or if there are none, so that this is our own advice.
        chain: The models from the first successor to the last one looked at, those
            that are no longer served among them.
        note: All of this in words.
        served_from: Its first day, where that is yet to come: a successor is named
            before it is there.
    """

    model: str | None
    named_by: Literal["vendor", "us"] | None
    chain: tuple[str, ...]
    note: str
    served_from: date | None = None


# --------------------------------------------------------------------------- stages


def lifecycle(card: ModelCard, on: date) -> Lifecycle:
    """Return a card's life as it was known on a day."""
    card = _then(card, on)
    live = _live_on(card, on)
    stage = stage_of(card, on)
    told = _is_told(card, on)
    ends_on = card.retired_on if told else None
    told_on = card.deprecation_announced if told else None
    wants_other = stage not in {"upcoming", "active"}
    return Lifecycle(
        model=card.id,
        on=on,
        stage=stage,
        announced=card.announced,
        told_on=told_on,
        ends_on=ends_on,
        days_left=(ends_on - on).days if ends_on else None,
        replacements=card.replacements if told else (),
        successor=_successor(card, on).model if wants_other else None,
        live=live,
        note=_live_note(card, on, stage),
    )


def stage_of(card: ModelCard, on: date) -> Stage:
    """Return where in its life a model is on a day: by its dates, then by live lists.

    A list overrules the dates only where it is not older than they are.
    """
    card = _then(card, on)
    stage = _stage_by_dates(card, on)
    live = _live_on(card, on)
    if live is None:
        return stage
    if live.listed:
        if stage in _SERVED:
            return "deprecated" if live.deprecated else stage
        ended = card.retired_on is not None and stage != "upcoming"
        if ended:
            is_newer = card.retired_on is not None and live.on >= card.retired_on
            return "deprecated" if is_newer else stage
        return "deprecated" if live.deprecated else "active"
    was_there = card.announced is None or card.announced <= live.on
    return "unlisted" if stage in _SERVED and was_there else stage


def _stage_by_dates(card: ModelCard, on: date) -> Stage:
    status = card.status
    if status == "never-served":
        return "never-served"
    if _is_upcoming(card, on):
        return "upcoming"
    if card.retired_on is not None:
        if on >= card.retired_on:
            return "dedicated-only" if status == "dedicated-only" else "retired"
        return "deprecated" if _is_told(card, on) else "active"
    if status in {"retired", "dedicated-only", "unlisted"}:
        return status
    return "deprecated" if _is_told(card, on) else "active"


def _is_told(card: ModelCard, on: date) -> bool:
    """Tell whether a model's end was told by a day.

    An end of which nobody knows when it was told counts as told from the first: a
    warning too early does less harm than one too late.
    """
    told, ends = card.deprecation_announced, card.retired_on
    if told is not None and on >= told:
        return True
    if ends is None or _is_upcoming(card, on):
        return False
    return told is None or on >= ends


def _is_upcoming(card: ModelCard, on: date) -> bool:
    return (
        card.announced is not None
        and card.announced_precision != "by"
        and on < card.announced
    )


def _live_on(card: ModelCard, on: date) -> LiveSighting | None:
    seen = [sighting for sighting in card.live if sighting.on <= on]
    return seen[-1] if seen else None


def _live_note(card: ModelCard, on: date, stage: Stage) -> str | None:
    live = _live_on(card, on)
    if live is None or stage == _stage_by_dates(card, on):
        return None
    if not live.listed:
        return f"The live list of {live.on} does not have it."
    if live.deprecated and card.retired_on is None:
        return f"The live list of {live.on} flags it as deprecated."
    return f"The live list of {live.on} still has it."


STATUS_OF_STAGE: dict[Stage, Status] = {
    "upcoming": "upcoming",
    "active": "active",
    "deprecated": "active",
    "unlisted": "unlisted",
    "retired": "retired",
    "dedicated-only": "dedicated-only",
    "never-served": "never-served",
}


# ------------------------------------------------------------------- cards of a day


def as_of(card: ModelCard, on: date) -> ModelCard:
    """Return a card without what was not known, or not yet so, on a day."""
    card = _then(card, on)
    told = _is_told(card, on)
    stage = stage_of(card, on)
    advice = None if stage in {"upcoming", "active"} else _successor(card, on)
    basis = {"vendor": "vendor", "us": "advice", None: None}
    facts: dict[str, Any] = {
        "status": STATUS_OF_STAGE[stage],
        "status_as_of": on,
        "deprecation_announced": card.deprecation_announced if told else None,
        "retired_on": card.retired_on if told else None,
        "replacements": card.replacements if told else (),
        "replacement_current": advice.model if advice else None,
        "replacement_basis": basis[advice.named_by] if advice else None,
        "prices": tuple(_prices_until(card, on)),
        "rate_limits": tuple(lim for lim in card.rate_limits if lim.as_of <= on),
        "live": tuple(sighting for sighting in card.live if sighting.on <= on),
    }
    return replace(card, **facts)


def _prices_until(card: ModelCard, on: date) -> Iterator[Price]:
    """Yield the periods that had begun, the last one open."""
    for price in card.prices:
        if price.valid_from is not None and price.valid_from > on:
            return
        is_last = price.valid_until is not None and price.valid_until > on
        yield replace(price, valid_until=None) if is_last else price


_DATES = {"announced", "deprecation_announced", "retired_on"}


def _then(card: ModelCard, on: date) -> ModelCard:
    """Return a card with the facts that have changed since a day as they were."""
    later = [change for change in card.changes if change.on > on]
    for change in reversed(later):
        name, _, inner = change.field.partition(".")
        before: Any = change.before
        if name in _DATES and isinstance(before, str):
            before = date.fromisoformat(before)
        if inner:
            before = replace(getattr(card, name), **{inner: before})
        facts: dict[str, Any] = {name: before}
        card = replace(card, **facts)
    if later:
        card = replace(card, changes=card.changes[: -len(later)])
    return card


# ----------------------------------------------------------------------- successors


def successor(model: str | ModelCard, *, on: date | None = None) -> Successor:
    """Return what takes a model's place: the first served model of its chain.

    The vendor's announced successors are followed, best first, to one that is served
    on the day, or that will be when the model ends. Where they end unserved, our own
    advice is given, and named as ours.

    Args:
        model: A model's id or another of its names, or its card.
        on: The day (UTC); today if not given. What was told later does not count.

    Raises:
        UnknownModelError: The catalog has no such model.

    Example:
        >>> from datetime import date
        >>> found = successor("qwen-3-coder-480b", on=date(2026, 11, 21))
        >>> found.model, found.named_by, found.chain
        ('gpt-oss-120b', 'us', ('zai-glm-4.6', 'zai-glm-4.7', 'gpt-oss-120b'))
    """
    if isinstance(model, str):
        from langchain_cerebras_ext.catalog.lookup import get_model

        model = get_model(model)
    return _successor(model, utc_day(on))


def _successor(card: ModelCard, on: date) -> Successor:
    from langchain_cerebras_ext.catalog._registry import registry

    return find_successor(card, on, registry.table(), registry.service_table())


def find_successor(
    card: ModelCard, on: date, table: Table, service: Table
) -> Successor:
    """Return what takes a model's place, as `successor` does, by the tables given.

    Args:
        card: The model.
        on: The day.
        table: Where announced successors are looked up.
        service: Where our own advice is taken from.
    """
    stage = stage_of(card, on)
    if stage in {"upcoming", "active"}:
        return Successor(None, None, (), _no_need(card, stage))
    named = _walk(card, on, table)
    if named and _serves(named[-1], card, on, table):
        found = table.by_name[named[-1]]
        comes = found.announced if stage_of(found, on) == "upcoming" else None
        note = _vendor_note(named, comes)
        return Successor(found.id, "vendor", named, note, comes)
    if stage == "dedicated-only" and card.retired_on is None:
        text = f"{card.id} is offered on dedicated endpoints only; it has no successor."
        return Successor(None, None, (), text)
    way = [card, *(table.by_name[name] for name in named)]
    advice = _advice(way, on, service)
    if advice is None:
        return Successor(None, None, named, f"{_dead_note(named)}We know of none.")
    chain = (*named, advice)
    text = f"{_dead_note(named)}Our own advice is {advice}."
    return Successor(advice, "us", chain, text)


def _walk(card: ModelCard, on: date, table: Table) -> tuple[str, ...]:
    """Follow the announced successors; return the way to the first that is served.

    Without one, return the way that was gone first, to its end.
    """
    queue: list[tuple[str, ...]] = [(name,) for name in _named(card, on)]
    seen = {card.id}
    first: tuple[str, ...] = ()
    while queue:
        way = queue.pop(0)
        found = table.by_name.get(way[-1])
        if found is None or found.id in seen:
            continue
        seen.add(found.id)
        if _serves(found.id, card, on, table):
            return way
        if not first or way[: len(first)] == first:
            first = way
        queue += [(*way, name) for name in _named(found, on)]
    return first


def _named(card: ModelCard, on: date) -> tuple[str, ...]:
    card = _then(card, on)
    return card.replacements if _is_told(card, on) else ()


def _serves(model: str, ending: ModelCard, on: date, table: Table) -> bool:
    """Tell whether a model is served on a day, or comes in time for another's end."""
    card = table.by_name.get(model)
    if card is None:
        return False
    stage = stage_of(card, on)
    end = ending.retired_on
    if stage == "upcoming" and end is not None and end > on:
        return stage_of(card, end) in _SERVED
    return stage in _SERVED


def _advice(way: list[ModelCard], on: date, service: Table) -> str | None:
    """Return our own advice: that of the data, else the best served one for its uses.

    Args:
        way: The model, and its announced successors.
        on: The day.
        service: The models of the service; nobody is sent to a card of their own.
    """
    ending = way[0]
    for link in way:
        advised = service.by_name.get(link.replacement_current or "")
        if advised is not None and stage_of(advised, on) == "active":
            return advised.id
    from langchain_cerebras_ext.catalog._choice import rank_for

    others = [one for one in service.cards if one.id != ending.id]
    stages: tuple[Stage, ...] = ("active", "deprecated")
    for wanted in stages:  # whoever is about to end as well is the last resort
        fit = [one for one in others if stage_of(one, on) == wanted]
        if fit:
            return rank_for(ending.best_uses, fit, on)[0].id
    return None


def _no_need(card: ModelCard, stage: Stage) -> str:
    if stage == "upcoming":
        return f"{card.id} had not come yet; no end of it was known."
    return f"{card.id} is served, and no end of it is known."


def _vendor_note(chain: tuple[str, ...], comes: date | None) -> str:
    *dead, model = chain
    if comes is not None:
        return f"Cerebras names {model} as its successor; it comes on {comes}."
    if not dead:
        return f"Cerebras names {model} as its successor."
    return (
        f"Cerebras names {model}, at the end of the line {' -> '.join(dead)}, which "
        f"{'is' if len(dead) == 1 else 'are'} no longer served."
    )


def _dead_note(named: tuple[str, ...]) -> str:
    if not named:
        return "Cerebras has named no successor that is served. "
    verb = "is" if len(named) == 1 else "are"
    return f"Cerebras named {' -> '.join(named)}, which {verb} no longer served. "
