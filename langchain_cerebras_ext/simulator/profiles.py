"""How each model behaves on the wire: one row a model.

Facts that everybody needs (windows, prices, abilities) come from the catalog; this
table adds what only a server has to know: how deltas are cut, how arguments are
spaced, which keys `usage` has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_cerebras_ext.catalog import (
    ImageRules,
    ModelCard,
    RateLimit,
    Scaffold,
    find_model,
    list_models,
)

if TYPE_CHECKING:
    from decimal import Decimal

ModelSelection: TypeAlias = Iterable[str] | Literal["active", "all"]

DEFAULT_CONTEXT = 131_072
DEFAULT_OUTPUT = 40_960
DEFAULT_SPEED = 1_500.0
DEFAULT_SCAFFOLD = Scaffold(prompt=10, message=3, tools=20)


@dataclass(frozen=True, slots=True)
class Rates:
    """What an account may send to one model; None is no limit."""

    requests_minute: int
    requests_day: int
    uncached_minute: int
    tokens_minute: int
    tokens_hour: int | None = None
    tokens_day: int | None = None


RATES_FREE = Rates(5, 7_200, 30_000, 90_000, 1_000_000, 1_000_000)
"""Of 2026-07-18, the same for every model."""

RATES_DEVELOPER = Rates(300, 432_000, 500_000, 1_500_000)
"""For models whose own figures are not known: the smallest known."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One served model, with all that the simulator has to know about it.

    Attributes:
        tool_deltas: Whether a tool call is streamed in pieces or in one delta.
        compact_arguments: Whether tool arguments are JSON without spaces.
        tools_with_format: Whether tools and a JSON `response_format` go together.
        scaffold: What the chat template adds to a prompt, in tokens.
        prediction_details: Whether `completion_tokens_details` counts predictions.
        image_usage: Whether `prompt_tokens_details` counts image tokens.
        thinking_tags: Whether `raw` reasoning stands in `<think>` tags.
        clears_thinking: Whether earlier turns' thinking is dropped by default.
        efforts: The values of `reasoning_effort` that are accepted.
        formats: The values of `reasoning_format` that are accepted.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    owner: str | None = None
    hugging_face_id: str | None = None
    created: int = 0
    input_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal | None = None
    context_tokens_free: int = 65_536
    context_tokens_paid: int = DEFAULT_CONTEXT
    output_tokens_free: int = 32_768
    output_tokens_paid: int = DEFAULT_OUTPUT
    speed_tokens_per_s: float = DEFAULT_SPEED
    preview: bool = False
    rates_free: Rates = RATES_FREE
    rates_paid: Rates = RATES_DEVELOPER
    reasons: bool = False
    reasons_by_default: bool = False
    efforts: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("parsed", "text_parsed", "raw", "hidden")
    default_format: str = "text_parsed"
    default_json_format: str | None = None
    vision: bool = False
    images: ImageRules | None = None
    parallel_tool_calls: bool = True
    tools_with_format: bool = True
    prediction: bool = False
    tool_deltas: Literal["fragments", "whole"] = "fragments"
    compact_arguments: bool = False
    scaffold: Scaffold = DEFAULT_SCAFFOLD
    prediction_details: bool = True
    image_usage: bool = False
    thinking_tags: bool = True
    clears_thinking: bool = False

    def context_tokens(self, tier: str | None) -> int:
        """Return the context window in tokens for an account's tier."""
        free = tier == "free_trial"
        return self.context_tokens_free if free else self.context_tokens_paid

    def output_tokens(self, tier: str | None) -> int:
        """Return the most tokens one answer may have, for an account's tier."""
        free = tier == "free_trial"
        return self.output_tokens_free if free else self.output_tokens_paid

    def rates(self, tier: str | None) -> Rates:
        """Return the rate limits for an account's tier."""
        return self.rates_free if tier == "free_trial" else self.rates_paid


@dataclass(frozen=True, slots=True)
class _Wire:
    """A row of what recordings of the service show."""

    created: int = 0
    tool_deltas: Literal["fragments", "whole"] = "fragments"
    compact_arguments: bool = False
    prediction_details: bool = True
    image_usage: bool = False
    thinking_tags: bool = True


# From recordings of 2026-04 to 2026-09; what none shows follows the nearest relative.
_WIRE: dict[str, _Wire] = {
    "gpt-oss-120b": _Wire(
        created=1_754_438_400, compact_arguments=True, thinking_tags=False
    ),
    "zai-glm-4.7": _Wire(tool_deltas="whole", compact_arguments=True),
    "gemma-4-31b": _Wire(prediction_details=False, image_usage=True),
    "qwen-3.8-27b": _Wire(prediction_details=False, image_usage=True),
}
_ALL_FORMATS = ("parsed", "text_parsed", "raw", "hidden")


def build_profile(card: ModelCard) -> ModelProfile:
    """Join a catalog card with the wire table."""
    wire = _WIRE.get(card.id, _Wire())
    reasoning, abilities = card.reasoning, card.capabilities
    reasons = bool(reasoning.supported)
    price = card.price()
    efforts: tuple[str, ...] = reasoning.efforts or ()
    if reasoning.efforts is None and reasons:
        efforts = ("none", "low", "medium", "high")
    formats = reasoning.formats
    paid, free = card.limits("developer"), card.limits("free")
    context = paid.context_tokens or card.context_tokens_free or DEFAULT_CONTEXT
    output = paid.max_output_tokens or min(DEFAULT_OUTPUT, context)
    return ModelProfile(
        id=card.id,
        name=card.name,
        aliases=card.aliases,
        owner=card.owner,
        hugging_face_id=card.hugging_face_id,
        created=wire.created or _midnight(card.announced),
        input_usd_per_mtok=price.input if price else None,
        output_usd_per_mtok=price.output if price else None,
        context_tokens_free=free.context_tokens or context,
        context_tokens_paid=context,
        output_tokens_free=free.max_output_tokens or output,
        output_tokens_paid=output,
        rates_free=_rates(free.rates) or RATES_FREE,
        rates_paid=_rates(paid.rates) or RATES_DEVELOPER,
        speed_tokens_per_s=float(card.speed_tokens_per_s or DEFAULT_SPEED),
        preview=card.release_stage == "preview",
        reasons=reasons,
        reasons_by_default=bool(reasoning.default_on),
        efforts=(*efforts, *reasoning.inert_efforts),
        formats=formats or _ALL_FORMATS,
        vision=bool(abilities.vision),
        # Not known to be impossible counts as possible, as the API's own default.
        parallel_tool_calls=abilities.parallel_tool_calls is not False,
        tools_with_format=abilities.tools_with_response_format is not False,
        prediction=bool(abilities.predicted_outputs),
        tool_deltas=card.tool_call_delta or wire.tool_deltas,
        compact_arguments=wire.compact_arguments,
        scaffold=card.scaffold or DEFAULT_SCAFFOLD,
        prediction_details=wire.prediction_details,
        image_usage=wire.image_usage,
        images=card.images,
        thinking_tags=wire.thinking_tags,
        default_format=reasoning.default_format or "text_parsed",
        default_json_format=reasoning.default_json_format,
        clears_thinking=bool(reasoning.clear_thinking),
    )


def _midnight(day: date | None) -> int:
    if day is None:
        return 0
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _rates(limit: RateLimit | None) -> Rates | None:
    if limit is None or limit.requests_per_minute is None:
        return None
    uncached = limit.uncached_tokens_per_minute or limit.tokens_per_minute
    total = limit.tokens_per_minute
    if total is None and uncached is not None:
        # Since 2026-07 the total is usually three times the uncached figure.
        total = 3 * uncached
    return Rates(
        requests_minute=limit.requests_per_minute,
        requests_day=limit.requests_per_day or 1_440 * limit.requests_per_minute,
        uncached_minute=uncached or RATES_DEVELOPER.uncached_minute,
        tokens_minute=total or RATES_DEVELOPER.tokens_minute,
        tokens_hour=limit.tokens_per_hour,
        tokens_day=limit.tokens_per_day,
    )


def dedicated_profile(model: str) -> ModelProfile:
    """Make a row for a dedicated endpoint, whose id ends in its model's id.

    Anything else gets the defaults: it reasons, calls tools and sees no images.
    """
    for card in list_models():
        if model != card.id and model.endswith(card.id):
            return dataclasses.replace(build_profile(card), id=model, aliases=())
    return ModelProfile(
        id=model,
        name=model,
        reasons=True,
        reasons_by_default=True,
        efforts=("none", "low", "medium", "high"),
    )


def select_profiles(models: ModelSelection = "active") -> dict[str, ModelProfile]:
    """Return the rows to serve, by id.

    Args:
        models: `active` for what the vendor serves today, `all` for retired and
            dedicated models too, or exactly these ids. An id that the catalog does
            not have is served as a dedicated endpoint.
    """
    if models in ("active", "all"):
        cards = [
            card for card in list_models() if models == "all" or card.status == "active"
        ]
        return {card.id: build_profile(card) for card in cards}
    chosen: dict[str, ModelProfile] = {}
    for model in [models] if isinstance(models, str) else models:
        card = find_model(model)
        exact = card is not None and model in (card.id, *card.aliases)
        row = build_profile(card) if card and exact else dedicated_profile(model)
        chosen[row.id] = row
    return chosen
