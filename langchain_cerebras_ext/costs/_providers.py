"""Other providers' prices, from the library `genai-prices`; never from the network.

The library's tables come with its package. It can also update them over the network,
which is never started here; where a program has done so, its tables are used, and the
rows say so.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime, time
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.costs.pricing import (
    EXACT,
    ZERO,
    Extra,
    PriceRow,
    Rates,
    Step,
)

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "find_rates",
    "is_installed",
    "maker_of",
    "preload",
    "provider_name",
    "routed",
    "stamp",
    "why_unknown",
]

INSTALL: Final = "pip install 'langchain-cerebras-ext[prices]'"

# LangChain's names (`ls_provider`), and the library's for the same provider.
_LIBRARY_IDS: Final = {
    "amazon_bedrock": "aws",
    "anthropic": "anthropic",
    "azure": "azure",
    "baseten": "baseten",
    "cloudflare": "cloudflare",
    "cohere": "cohere",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "google_genai": "google",
    "google_vertexai": "google",
    "groq": "groq",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "xai": "x-ai",
    "zhipuai": "zhipuai",
}
# Other names of the same: those of `init_chat_model`, and the library's own.
_OTHER_NAMES: Final = {
    "aws": "amazon_bedrock",
    "anthropic_bedrock": "amazon_bedrock",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "bedrock": "amazon_bedrock",
    "bedrock_converse": "amazon_bedrock",
    "google": "google_genai",
    "google_anthropic_vertex": "google_vertexai",
    "fireworks_ai": "fireworks",
    "gemini": "google_genai",
    "google_gemini": "google_genai",
    "mistralai": "mistral",
    "moonshotai": "moonshot",
    "together_ai": "together",
    "vertex": "google_vertexai",
    "vertex_ai": "google_vertexai",
    "vertexai": "google_vertexai",
    "x-ai": "xai",
    "x_ai": "xai",
}
_MAKERS: Final = {
    "anthropic": "anthropic",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "google": "google_genai",
    "mistral": "mistral",
    "openai": "openai",
    "perplexity": "perplexity",
    "x-ai": "xai",
}

LOCAL: Final = frozenset({"llamacpp", "llamafile", "mlx", "ollama"})
"""Providers that run a model on a machine of your own, where nobody bills tokens."""

PROVIDERS: Final = LOCAL | _LIBRARY_IDS.keys()
"""LangChain's names of those that are known here."""

# The library lists OpenAI's open models under OpenAI, which does not serve them: such a
# call went to a compatible server, and the class cannot tell to which.
_NOT_SERVED: Final = {"openai": ("gpt-oss",)}

_DEFAULT_TIERS: Final = frozenset(
    {"auto", "default", "on_demand", "standard", "standard_only"}
)
_PATHS: Final = re.compile(r"^(?:publishers/[^/]+/)?models/")
_NIGHT: Final = time(0, 0, tzinfo=UTC)


def provider_name(provider: str | None) -> str | None:
    """Return LangChain's name of a provider (`ls_provider`) for any of its names."""
    if not provider:
        return None
    name = provider.strip().lower()
    return _OTHER_NAMES.get(name, name)


# ---------------------------------------------------------------------------- library


@cache
def _library() -> Any:
    """Return the library's module of tables; `None` if it is not installed."""
    try:
        from genai_prices import data_snapshot
    except ImportError:
        return None
    return data_snapshot


def is_installed() -> bool:
    """Whether the library is there."""
    return _library() is not None


def preload() -> bool:
    """Load the library's tables; tell whether it is installed."""
    module = _library()
    if module is not None:
        module.get_snapshot()
    return module is not None


def stamp() -> object:
    """Return what is another object once the library's tables have changed."""
    module: Any = sys.modules.get("genai_prices.data_snapshot")
    return None if module is None else module._custom_snapshot  # noqa: SLF001


def _source(snapshot: Any) -> tuple[str, date | None]:
    from genai_prices import __version__

    name = f"genai-prices {__version__}"
    if not snapshot.from_auto_update:
        return name, None
    day = snapshot.timestamp.date()
    return f"{name}, updated {day}", day


def _find_model(provider: str, model: str) -> tuple[Any, Any, Any] | None:
    """Return the tables, the provider and the model; `None` if it is not there.

    The library's own look-up is not used: it keeps every name that it was ever asked
    for, and takes `openai-codex`, a subscription, for `openai`.
    """
    module = _library()
    wanted = _LIBRARY_IDS.get(provider, provider)
    if module is None or model.lower().startswith(_NOT_SERVED.get(provider, ())):
        return None
    snapshot = module.get_snapshot()
    owner = next((one for one in snapshot.providers if one.id == wanted), None)
    if owner is None:
        return None
    name = _PATHS.sub("", model)
    info = owner.find_model(name, all_providers=snapshot.providers)
    return None if info is None else (snapshot, owner, info)


def maker_of(model: str) -> str | None:
    """Return who makes a model, by its id alone; `None` if that is not known."""
    module = _library()
    if module is None:
        return None
    name = model.lower()
    for one in module.get_snapshot().providers:
        if one.model_match is not None and one.model_match.is_match(name):
            return _MAKERS.get(one.id)
    return None


def routed(provider: str | None, model: str) -> tuple[str | None, str] | None:
    """Return provider and model of a name such as LiteLLM's `openai/gpt-4o`.

    `None` if the provider is not one that hands calls on to another's service.
    """
    if provider != "litellm":
        return None
    head, mark, name = model.partition("/")
    return (provider_name(head), name) if mark and name else (None, model)


# ------------------------------------------------------------------------------ rates


def find_rates(
    provider: str, model: str, on: date, *, batch: bool, tier: str | None
) -> Rates | None:
    """Return the rates of another provider's model; `None` where not known.

    Args:
        provider: LangChain's name.
        model: The model's id.
        on: The day (UTC), or the moment: where the hour matters and only a day is
            given, the dearest rates of that day.
        batch: For jobs of a batch API.
        tier: The service tier, if other than the default.
    """
    if provider in LOCAL:
        return None if model.endswith("cloud") or batch else _local(provider, model)
    found = _find_model(provider, model)
    if found is None:
        return None
    snapshot, owner, info = found
    if _is_free(provider, model, info):
        return Rates((Step(-1, _free(provider, info, snapshot)),))
    context = _context(batch=batch, tier=tier)
    moments = _moments(info, on)
    candidates: list[tuple[Step, ...]] = []
    for moment in moments:
        prices = _prices_at(owner, info, moment, context)
        if prices is not None:
            candidates.append(_steps(prices, provider, owner, info, snapshot))
    if not candidates or not candidates[0]:
        return None
    if len(moments) == 1:
        return Rates(candidates[0])
    dearest = max(candidates, key=lambda steps: _weight(steps[0].row))
    return Rates(tuple(map(_with_peak_note, dearest)), by_time=True)


def _weight(row: PriceRow) -> Decimal:
    return EXACT.add(row.input or ZERO, row.output or ZERO)


def _with_peak_note(step: Step) -> Step:
    from msgspec.structs import replace

    note = "the dearest rates of the day; the moment of the call tells its own"
    notes = "; ".join(filter(None, (step.row.note, note)))
    return step._replace(row=replace(step.row, note=notes))


def _local(provider: str, model: str) -> Rates:
    row = PriceRow(
        input=ZERO,
        output=ZERO,
        provider=provider,
        model=model,
        source="runs on your machine",
        note="nobody bills tokens; give a price of your own for the machine",
    )
    return Rates((Step(-1, row),))


def _is_free(provider: str, model: str, info: Any) -> bool:
    """Whether a model without rates is free, and not unknown.

    The library writes both in the same way; OpenRouter's free variants say it in their
    names.
    """
    return (
        provider == "openrouter"
        and model.lower().endswith(":free")
        and not isinstance(info.prices, list)
        and not _rates_in(info.prices)
    )


def _free(provider: str, info: Any, snapshot: Any) -> PriceRow:
    source, seen = _source(snapshot)
    return PriceRow(
        input=ZERO,
        output=ZERO,
        provider=provider,
        model=info.id,
        source=source,
        seen=seen,
        note="a free variant",
    )


def _context(*, batch: bool, tier: str | None) -> dict[str, str]:
    context: dict[str, str] = {}
    if batch:
        context["processing"] = "batch"
    if tier and tier.lower() not in _DEFAULT_TIERS:
        context["service_tier"] = tier.lower()
    return context


def _prices_at(
    owner: Any, info: Any, moment: datetime, context: dict[str, str]
) -> Any | None:
    """Return the library's prices at a moment; `None` where none are known.

    What a batch or a tier costs must be told: the standard price would be a guess.
    """
    if not context:
        return info.get_prices(moment)
    is_own = any(info is model for model in owner.models)
    told = {
        (key, value)
        for variant in (info.price_variants or ()) * is_own
        if variant.constraint is None or variant.constraint.active(moment)
        for key, value in variant.when.items()
    }
    for key, value in context.items():
        if (key, value) not in told and (
            key == "processing" or _prices_tiers_apart(owner)
        ):
            return None
    return info.get_prices(moment, context if is_own else None)


def _prices_tiers_apart(owner: Any) -> bool:
    """Whether a provider has other prices for its tiers, of any model."""
    return any(
        "service_tier" in variant.when
        for model in owner.models
        for variant in model.price_variants or ()
    )


def _moments(info: Any, on: date) -> list[datetime]:
    """Return the moments to look at: those of a day at which a price may change."""
    if isinstance(on, datetime):
        return [on.astimezone(UTC)]
    times = {_NIGHT}
    if isinstance(info.prices, list):
        for price in info.prices:
            start = getattr(price.constraint, "start_time", None)
            if start is not None:
                times.update((start, price.constraint.end_time))
    return [datetime.combine(on, found).astimezone(UTC) for found in sorted(times)]


def _rates_in(prices: Any) -> dict[str, Any]:
    return {
        key: value
        for key, value in vars(prices).items()
        if value is not None and not key.startswith("_")
    }


def _steps(
    prices: Any, provider: str, owner: Any, info: Any, snapshot: Any
) -> tuple[Step, ...]:
    """Return the rates for each size of a prompt; none if tokens have no price."""
    rates = _rates_in(prices)
    if "input_mtok" not in rates and "output_mtok" not in rates:
        return ()
    starts = {
        tier.start for value in rates.values() for tier in getattr(value, "tiers", ())
    }
    source, seen = _source(snapshot)
    is_own = any(info is model for model in owner.models)
    notes = [] if is_own else ["the price of its maker"]
    steps: list[Step] = []
    for above in (-1, *sorted(starts)):
        here = {key: _at_size(value, above) for key, value in rates.items()}
        extra = Extra(
            audio=here.get("input_audio_mtok"),
            audio_output=here.get("output_audio_mtok"),
            cache_write_1h=here.get("cache_write_1h_mtok"),
            reasoning=here.get("output_reasoning_mtok"),
        )
        size = [f"for prompts of more than {above:,} tokens"] if above >= 0 else []
        row = PriceRow(
            input=here.get("input_mtok"),
            output=here.get("output_mtok"),
            cached_input=here.get("cache_read_mtok"),
            cache_write=here.get("cache_write_mtok"),
            image=here.get("input_image_mtok"),
            request=_per_request(here.get("requests_kcount")),
            provider=provider,
            model=info.id,
            source=source,
            seen=seen,
            note="; ".join([*notes, *size, *_said(extra)]),
        )
        apart = any(rate is not None for rate in extra)
        is_mute = _is_for_sound(info.id) and (extra.audio, extra.audio_output) == _NONE
        steps.append(Step(above, row, extra if apart else None, is_mute))
    return tuple(steps)


def _is_for_sound(model: str) -> bool:
    """Whether a model takes or gives sound for more than text, by its name.

    The library lacks those rates for some of OpenAI's, where they are 16 times as high.
    """
    return any(word in model for word in ("audio", "realtime"))


_NONE: Final = (None, None)


def _per_request(per_thousand: Decimal | None) -> Decimal:
    return EXACT.scaleb(per_thousand, -3) if per_thousand else ZERO


def _at_size(value: Any, above: int) -> Decimal:
    """Return a rate for prompts of more tokens than `above`, up to the next size."""
    tiers = getattr(value, "tiers", None)
    if tiers is None:
        found: Decimal = value
        return found
    rate: Decimal = value.base
    for tier in tiers:
        if tier.start <= above:
            rate = tier.price
    return rate


def _said(extra: Extra) -> list[str]:
    names = {
        "audio": "audio input",
        "audio_output": "audio output",
        "cache_write_1h": "cache writes for an hour",
        "reasoning": "reasoning",
    }
    return [
        f"{names[key]} {rate:f}"
        for key, rate in extra._asdict().items()
        if rate is not None
    ]


# --------------------------------------------------------------------------- messages


def why_unknown(
    provider: str | None, model: str, *, batch: bool, tier: str | None
) -> str:
    """Say why no price is known, as the end of a sentence."""
    if not is_installed():
        return f"other providers' prices come with an extra: {INSTALL}."
    if provider is not None and model.lower().startswith(_NOT_SERVED.get(provider, ())):
        return (
            "OpenAI does not serve its open models, and who did is not told; name the "
            "provider."
        )
    if provider in LOCAL:
        return "it does not run on your machine, and its price is not published."
    if provider is None or _find_model(provider, model) is None:
        return "genai-prices does not have it."
    if batch:
        return "genai-prices has no price of its batch jobs."
    if tier:
        return f"genai-prices has no price of its service tier {tier!r}."
    return "genai-prices has the model without a price."
