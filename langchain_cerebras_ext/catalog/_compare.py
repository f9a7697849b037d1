"""How two models differ: price, window, speed, and what is lost or gained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.catalog._abilities import LABELS, ability
from langchain_cerebras_ext.catalog._days import utc_day

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from langchain_cerebras_ext.catalog.models import ModelCard

__all__ = ["Comparison", "Difference", "compare", "usd"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact in which two models differ.

    Attributes:
        field: The fact's name, with its unit: `input_usd_per_mtok`,
            `output_usd_per_mtok`, `cached_input_usd_per_mtok`, `blended_usd_per_mtok`,
            `context_tokens`, `max_output_tokens`, `speed_tokens_per_s`,
            `reasoning_efforts`, `default_effort`, `reasoning_formats`, `stage`.
        a: Its value for the first model; `None` is not known.
        b: Its value for the second one.
    """

    field: str
    a: Decimal | int | str | tuple[str, ...] | None
    b: Decimal | int | str | tuple[str, ...] | None

    @property
    def ratio(self) -> Decimal | None:
        """What `b` is in times `a`, to two digits, if both are numbers."""
        if not isinstance(self.a, (int, Decimal)) or not self.a:
            return None
        if not isinstance(self.b, (int, Decimal)):
            return None
        return (Decimal(self.b) / Decimal(self.a)).quantize(Decimal("0.01"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes for whoever goes from one model to another.

    Attributes:
        a: The first model's id.
        b: The second one's.
        on: The day of the prices.
        differences: Facts that differ, in a fixed order; what neither is known to
            have is left out.
        lost: Abilities that `a` has and `b` has not.
        gained: Abilities that `b` has and `a` has not.
        uncertain: Abilities that `a` has and nobody knows of `b`.
    """

    a: str
    b: str
    on: date
    differences: tuple[Difference, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    uncertain: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; prices are text."""
        return {
            "a": self.a,
            "b": self.b,
            "on": self.on.isoformat(),
            "differences": [_plain(one) for one in self.differences],
            "lost": list(self.lost),
            "gained": list(self.gained),
            "uncertain": list(self.uncertain),
        }

    def lines(self) -> list[str]:
        """Return it in words, a fact a line: what the second model is or has."""
        told = [line for one in self.differences if (line := _sentence(one))]
        for word, names in (
            ("lost", self.lost),
            ("gained", self.gained),
            ("not known to stay", self.uncertain),
        ):
            if names:
                told.append(f"{word}: {', '.join(LABELS[name] for name in names)}")
        return told


def compare(
    a: str | ModelCard, b: str | ModelCard, *, on: date | None = None
) -> Comparison:
    """Tell how a second model differs from a first one.

    Limits are those of the paid tier; prices are those of the day, or the last ones.

    Args:
        a: A model's id or another of its names, or its card.
        b: The model to go to.
        on: The day (UTC) of prices and stages; today if not given.

    Raises:
        UnknownModelError: The catalog has no such model.

    Example:
        >>> from datetime import date
        >>> found = compare("llama3.1-8b", "gpt-oss-120b", on=date(2026, 11, 21))
        >>> found.lines()[0]
        'input 0.35 instead of 0.10 USD per million tokens (+250 %)'
    """
    from langchain_cerebras_ext.catalog.lookup import get_model

    one = get_model(a) if isinstance(a, str) else a
    two = get_model(b) if isinstance(b, str) else b
    day = utc_day(on)
    facts = zip(_facts(one, day), _facts(two, day), strict=True)
    lost, gained, uncertain = _abilities(one, two)
    return Comparison(
        a=one.id,
        b=two.id,
        on=day,
        differences=tuple(
            Difference(name, first, second)
            for (name, first), (_, second) in facts
            if first != second
        ),
        lost=lost,
        gained=gained,
        uncertain=uncertain,
    )


def _facts(card: ModelCard, on: date) -> Iterator[tuple[str, Any]]:
    price, limits, reasoning = card.price(on), card.limits(), card.reasoning
    yield "stage", card.lifecycle(on).stage
    yield "input_usd_per_mtok", price and price.input
    yield "output_usd_per_mtok", price and price.output
    yield "cached_input_usd_per_mtok", price and price.cached_input
    yield "blended_usd_per_mtok", price and price.blended()
    yield "context_tokens", card.safe_context_tokens or limits.context_tokens
    yield "max_output_tokens", card.safe_max_output_tokens or limits.max_output_tokens
    yield "speed_tokens_per_s", card.speed_tokens_per_s
    yield "reasoning_efforts", reasoning.efforts
    yield "default_effort", reasoning.default_effort
    yield "reasoning_formats", reasoning.formats


def _abilities(
    a: ModelCard, b: ModelCard
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    lost, gained, uncertain = [], [], []
    for name in LABELS:
        before, after = ability(a, name), ability(b, name)
        if name == "disable_reasoning" and before and b.reasoning.supported is False:
            continue  # there is nothing to switch off
        if before and after is False:
            lost.append(name)
        elif before is False and after:
            gained.append(name)
        elif before and after is None:
            uncertain.append(name)
    return tuple(lost), tuple(gained), tuple(uncertain)


# ------------------------------------------------------------------------- in words

_WORDS = {
    "input_usd_per_mtok": ("input", "USD per million tokens"),
    "output_usd_per_mtok": ("output", "USD per million tokens"),
    "context_tokens": ("context window", "tokens"),
    "max_output_tokens": ("longest output", "tokens"),
    "speed_tokens_per_s": ("speed", "tokens/s"),
}


def _sentence(found: Difference) -> str | None:
    """Say how a fact differs; `None` where the second value, or both, tell nothing."""
    if found.field not in _WORDS or found.b is None:
        return None
    name, unit = _WORDS[found.field]
    if found.a is None:
        return f"{name} {_shown(found.b)} {unit} (not known before)"
    told = f"{name} {_shown(found.b)} instead of {_shown(found.a)} {unit}"
    if found.ratio is None:
        return told
    percent = (Decimal(str(found.b)) / Decimal(str(found.a)) - 1) * 100
    return f"{told} ({percent:+.0f} %)"


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return usd(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def usd(value: Decimal) -> str:
    """Write money with two digits after the point, or more where it has more."""
    text = format(value.normalize(), "f")
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits:0<2}"


def _plain(found: Difference) -> dict[str, Any]:
    plain = asdict(found)
    if found.ratio is not None:
        plain["ratio"] = found.ratio
    return {
        key: usd(value)
        if isinstance(value, Decimal)
        else list(value)
        if isinstance(value, tuple)
        else value
        for key, value in plain.items()
    }
