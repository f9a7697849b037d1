"""What a live list of models tells, and what that makes of the cards.

A snapshot is the answer of the models endpoints on a day, with nothing of ours in it.
Merging is pure: packaged cards and snapshots in, cards out; facts that were known stay,
as an older price period or as a `Change`.
"""

# No `from __future__ import annotations` here: msgspec evaluates the annotations.
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from langchain_cerebras_ext.catalog._lifecycle import STATUS_OF_STAGE, stage_of
from langchain_cerebras_ext.catalog.models import (
    Capabilities,
    Change,
    LiveSighting,
    ModelCard,
    Price,
    ReasoningSupport,
    Sighting,
    Source,
)

__all__ = [
    "LiveModel",
    "Snapshot",
    "changes_of",
    "make_source",
    "merge_snapshots",
    "read_account_list",
    "read_public_list",
]

_MTOK = Decimal(1_000_000)
_PUBLIC_PATH = "/public/v1/models"


@dataclass(frozen=True, slots=True)
class LiveModel:
    """One model as a live list has it; `None` where the list tells nothing.

    Attributes:
        id: Its id.
        name: Its name.
        owner: Who made it.
        hugging_face_id: Its weights.
        created: The list's own date of it.
        input: USD per million prompt tokens.
        output: USD per million completion tokens.
        context_tokens: The window of the paid tiers.
        max_output_tokens: The longest completion of the paid tiers.
        abilities: What the list says of abilities, by the cards' names; `reasoning`
            among them.
        deprecated: The list's flag.
        preview: The list's flag.
    """

    id: str
    name: str | None = None
    owner: str | None = None
    hugging_face_id: str | None = None
    created: date | None = None
    input: Decimal | None = None
    output: Decimal | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    abilities: dict[str, bool] | None = None
    deprecated: bool | None = None
    preview: bool | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the models endpoints answered on a day.

    Attributes:
        on: The day (UTC).
        url: The address that was asked, without the path.
        models: The public list.
        account: The ids that the key may use, if it was asked for them.
    """

    on: date
    url: str
    models: tuple[LiveModel, ...]
    account: tuple[str, ...] | None = None

    @property
    def source(self) -> str:
        """The key of the source that facts of this snapshot name."""
        return f"public-models-{self.on}"

    def is_same(self, other: "Snapshot") -> bool:
        """Whether another snapshot tells the same, on whichever day."""
        return replace(self, on=other.on) == other


def make_source(snapshot: Snapshot) -> Source:
    """Return a snapshot as a source of facts."""
    return Source(
        title=f"GET {_PUBLIC_PATH}, read {snapshot.on}",
        checked_on=snapshot.on,
        kind="capture",
        url=snapshot.url + _PUBLIC_PATH,
    )


# ------------------------------------------------------------- reading the answers


class _Pricing(msgspec.Struct):
    prompt: Decimal | None = None
    completion: Decimal | None = None


class _Limits(msgspec.Struct):
    max_context_length: int | None = None
    max_completion_tokens: int | None = None


class _Abilities(msgspec.Struct):
    streaming: bool | None = None
    function_calling: bool | None = None
    tools: bool | None = None
    structured_outputs: bool | None = None
    vision: bool | None = None
    json_mode: bool | None = None
    parallel_tool_calls: bool | None = None
    reasoning: bool | None = None


class _Row(msgspec.Struct):
    id: str
    name: str | None = None
    owned_by: str | None = None
    hugging_face_id: str | None = None
    created: int | None = None
    pricing: _Pricing | None = None
    capabilities: _Abilities | None = None
    limits: _Limits | None = None
    deprecated: bool | None = None
    preview: bool | None = None


class _List(msgspec.Struct):
    data: list[_Row]


def read_public_list(body: bytes) -> tuple[LiveModel, ...]:
    """Return the models of `/public/v1/models`.

    Fields that are not known are ignored, as the API adds such; those that are must be
    of their types.

    Raises:
        ValueError: The body is not such a list, or has no models; says what is wrong.
    """
    rows = _decode(body)
    models = [_live_model(row) for row in rows]
    first = {model.id: model for model in reversed(models)}
    return tuple(first[name] for name in dict.fromkeys(model.id for model in models))


def read_account_list(body: bytes) -> tuple[str, ...]:
    """Return the ids of `/v1/models`.

    Raises:
        ValueError: The body is not such a list, or has no models; says what is wrong.
    """
    return tuple(dict.fromkeys(row.id for row in _decode(body)))


def _decode(body: bytes) -> list[_Row]:
    try:
        rows = msgspec.json.decode(body, type=_List).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not rows:
        msg = "the list has no models"
        raise ValueError(msg)
    for row in rows:
        if not row.id.strip():
            msg = "a model of the list has no id"
            raise ValueError(msg)
    return rows


def _live_model(row: _Row) -> LiveModel:
    pricing, limits = row.pricing or _Pricing(), row.limits or _Limits()
    return LiveModel(
        id=row.id,
        name=row.name or None,
        owner=row.owned_by or None,
        hugging_face_id=row.hugging_face_id or None,
        created=_day(row.id, row.created),
        input=_per_mtok(row.id, "prompt", pricing.prompt),
        output=_per_mtok(row.id, "completion", pricing.completion),
        context_tokens=_count(row.id, "max_context_length", limits.max_context_length),
        max_output_tokens=_count(
            row.id, "max_completion_tokens", limits.max_completion_tokens
        ),
        abilities=_read_abilities(row.capabilities) or None,
        deprecated=row.deprecated,
        preview=row.preview,
    )


def _per_mtok(model: str, name: str, price: Decimal | None) -> Decimal | None:
    """Return USD per million tokens.

    A zero is not a price: the service lists it for models that do cost something.
    """
    if price is None:
        return None
    if not price.is_finite() or price < 0:
        msg = f"pricing.{name} of {model!r} is {price}"
        raise ValueError(msg)
    return _money(price * _MTOK) if price else None


def _money(value: Decimal) -> Decimal:
    """Write an amount with two digits after the point, or as many as it has."""
    exact = value.normalize()
    exponent = exact.as_tuple().exponent
    is_short = isinstance(exponent, int) and exponent > -2  # noqa: PLR2004 (cents)
    return exact.quantize(Decimal("0.01")) if is_short else exact


def _count(model: str, name: str, value: int | None) -> int | None:
    if value is not None and value < 0:
        msg = f"limits.{name} of {model!r} is {value}"
        raise ValueError(msg)
    return value or None


def _day(model: str, created: int | None) -> date | None:
    if not created:
        return None
    try:
        return datetime.fromtimestamp(created, UTC).date()
    except (OverflowError, OSError, ValueError) as error:
        msg = f"created of {model!r} is {created}"
        raise ValueError(msg) from error


def _read_abilities(told: _Abilities | None) -> dict[str, bool]:
    if told is None:
        return {}
    tools = told.function_calling if told.tools is None else told.tools
    named = {
        "tools": tools,
        "parallel_tool_calls": told.parallel_tool_calls,
        "structured_outputs": told.structured_outputs,
        "json_mode": told.json_mode,
        "streaming": told.streaming,
        "vision": told.vision,
        "reasoning": told.reasoning,
    }
    return {name: value for name, value in named.items() if value is not None}


# ------------------------------------------------------------- what is other than known


def changes_of(card: ModelCard, live: LiveModel, snapshot: Snapshot) -> list[Change]:
    """Return what a live list tells otherwise than a card, prices among it.

    Prices are the fields `price.input` and `price.output`, in USD per million tokens.
    """
    return list(_changes(card, live, snapshot))


def _changes(card: ModelCard, live: LiveModel, snapshot: Snapshot) -> Iterator[Change]:
    def change(field: str, before: Any, after: Any) -> Change:
        return Change(snapshot.on, field, before, after, snapshot.source)

    price = card.price(snapshot.on)
    for name, told in (("input", live.input), ("output", live.output)):
        known = getattr(price, name) if price else None
        if told is not None and told != known:
            yield change(f"price.{name}", _text(known), _text(told))
    for kind, told_count in (
        ("context_tokens", live.context_tokens),
        ("max_output_tokens", live.max_output_tokens),
    ):
        paid, safe = getattr(card, f"{kind}_paid"), getattr(card, f"safe_{kind}")
        if told_count is None or told_count in {paid, safe}:
            continue
        yield change(f"{kind}_paid", paid, told_count)
        if safe is not None:
            yield change(f"safe_{kind}", safe, min(safe, told_count))
        free = getattr(card, f"{kind}_free")
        if free is not None and free > told_count:  # the list has the largest tier's
            yield change(f"{kind}_free", free, told_count)
    for name, able in (live.abilities or {}).items():
        field = "reasoning.supported" if name == "reasoning" else f"capabilities.{name}"
        known = (
            card.reasoning.supported
            if name == "reasoning"
            else getattr(card.capabilities, name)
        )
        if able is not known:
            yield change(field, known, able)
    stage = card.release_stage
    if live.preview and stage != "preview":
        yield change("release_stage", stage, "preview")
    elif live.preview is False and stage in {"preview", "private-preview"}:
        yield change("release_stage", stage, "production")


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


# --------------------------------------------------------------------------- merging


def merge_snapshots(
    cards: Iterable[ModelCard], snapshots: Iterable[Snapshot]
) -> tuple[tuple[ModelCard, ...], dict[str, Source]]:
    """Return cards with the facts of live lists, and the sources that these are.

    Args:
        cards: The packaged cards.
        snapshots: The lists, oldest first.
    """
    merged = tuple(cards)
    sources: dict[str, Source] = {}
    for snapshot in snapshots:
        merged = _merge(merged, snapshot)
        sources[snapshot.source] = make_source(snapshot)
    return merged, sources


def _merge(cards: tuple[ModelCard, ...], snapshot: Snapshot) -> tuple[ModelCard, ...]:
    live = {model.id: model for model in snapshot.models}
    merged: list[ModelCard] = []
    for card in cards:
        listed = find_live(card, live)
        merged.append(_merge_card(card, listed, snapshot))
        if listed is not None:
            live.pop(listed.id)
    new = [new_card(model, snapshot) for model in live.values()]
    served = [card for card in (*merged, *new) if card.status == "active"]
    others = [card for card in (*merged, *new) if card.status != "active"]
    return (*served, *others)


def find_live(card: ModelCard, live: Mapping[str, LiveModel]) -> LiveModel | None:
    """Return a card's entry in a live list, by its id or another that is taken."""
    return next((live[name] for name in (card.id, *card.aliases) if name in live), None)


def is_listed(card: ModelCard, snapshot: Snapshot) -> bool:
    """Whether the public list, or the key's own, has a model."""
    names = {model.id for model in snapshot.models} | set(snapshot.account or ())
    return any(name in names for name in (card.id, *card.aliases))


def _merge_card(
    card: ModelCard, live: LiveModel | None, snapshot: Snapshot
) -> ModelCard:
    sighting = LiveSighting(
        on=snapshot.on,
        listed=is_listed(card, snapshot),
        deprecated=live.deprecated if live else None,
        source=snapshot.source,
    )
    merged = replace(card, live=(*card.live, sighting))
    changes = changes_of(card, live, snapshot) if live else []
    status = STATUS_OF_STAGE[stage_of(merged, snapshot.on)]
    if status != card.status:
        told = Change(snapshot.on, "status", card.status, status, snapshot.source)
        changes.append(told)
    if live is not None:
        merged = _with_price(merged, live, snapshot)
    merged = _apply(merged, changes)
    if status == "active":
        merged = replace(merged, status_as_of=snapshot.on)
    return merged


def _with_price(card: ModelCard, live: LiveModel, snapshot: Snapshot) -> ModelCard:
    """Note that a price was seen, or that another one holds from this day on."""
    seen = Sighting(snapshot.on, snapshot.source)
    told = {
        name: value
        for name, value in (("input", live.input), ("output", live.output))
        if value is not None
    }
    if not told:
        return card
    if not card.prices:
        first = Price(
            told.get("input"),
            told.get("output"),
            valid_from=snapshot.on,  # what it was before, nobody knows
            seen=(seen,),
        )
        return _sourced(replace(card, prices=(first,)), "prices", snapshot)
    *older, last = card.prices
    if all(getattr(last, name) == value for name, value in told.items()):
        last = replace(last, seen=(*last.seen, seen))
        return replace(card, prices=(*older, last))
    # Cached tokens stay at the input rate, if they were.
    follows = last.cached_input is not None and last.cached_input == last.input
    rate = told.get("input", last.input)
    fresh = Price(
        input=rate,
        output=told.get("output", last.output),
        cached_input=rate if follows else None,
        valid_from=snapshot.on,
        seen=(seen,),
    )
    if last.valid_from == snapshot.on:  # twice in a day: the later one holds
        return _sourced(replace(card, prices=(*older, fresh)), "prices", snapshot)
    last = replace(last, valid_until=snapshot.on)
    return _sourced(replace(card, prices=(*older, last, fresh)), "prices", snapshot)


def _apply(card: ModelCard, changes: Iterable[Change]) -> ModelCard:
    """Return a card with facts changed, and what they were before kept."""
    kept = list(card.changes)
    for change in changes:
        name, _, inner = change.field.partition(".")
        if name == "price":  # kept as a period
            card = replace(card, origin="refreshed")
            continue
        kept.append(change)
        after: Any = change.after
        if inner:
            after = replace(getattr(card, name), **{inner: after})
        facts: dict[str, Any] = {name: after, "origin": "refreshed"}
        card = _add_source(replace(card, **facts), name, change.source)
    return replace(card, changes=tuple(kept))


def _sourced(card: ModelCard, field: str, snapshot: Snapshot) -> ModelCard:
    return _add_source(card, field, snapshot.source)


def _add_source(card: ModelCard, field: str, key: str) -> ModelCard:
    """Name a source first among those of a field."""
    others = tuple(k for k in card.sources.get(field, ()) if k != key)
    return replace(card, sources={**card.sources, field: (key, *others)})


def new_card(live: LiveModel, snapshot: Snapshot) -> ModelCard:
    """Return a card for a model that is only known from a live list."""
    abilities = dict(live.abilities or {})
    reasons = abilities.pop("reasoning", None)
    exact = live.created is not None and live.created <= snapshot.on
    price = Price(
        input=live.input,
        output=live.output,
        seen=(Sighting(snapshot.on, snapshot.source),),
    )
    has_price = live.input is not None or live.output is not None
    stage: Literal["preview"] | None = "preview" if live.preview else None
    facts: dict[str, Any] = {
        "name": live.name or live.id,
        "status": "active",
        "owner": live.owner,
        "hugging_face_id": live.hugging_face_id,
        "release_stage": stage,
        "announced": live.created if exact else snapshot.on,
        "prices": (price,) if has_price else (),
        "context_tokens_paid": live.context_tokens,
        "max_output_tokens_paid": live.max_output_tokens,
        "capabilities": Capabilities(**abilities),
        "reasoning": _reasoning(reasons=reasons),
    }
    known = [name for name, value in facts.items() if value not in (None, ())]
    return ModelCard(
        id=live.id,
        status_as_of=snapshot.on,
        announced_precision="day" if exact else "by",
        sources=dict.fromkeys(known, (snapshot.source,)),
        live=(LiveSighting(snapshot.on, True, live.deprecated, snapshot.source),),
        origin="refreshed",
        **facts,
    )


def _reasoning(*, reasons: bool | None) -> ReasoningSupport:
    """Return what is known of reasoning: that there is none, if that is told."""
    if reasons is False:
        return ReasoningSupport(
            supported=False, default_on=False, efforts=(), formats=(), replay="none"
        )
    return ReasoningSupport(supported=reasons)
