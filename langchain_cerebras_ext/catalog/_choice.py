"""Which model to take: the cheapest that will do, or the best for a task."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args

from langchain_cerebras_ext.catalog._abilities import LABELS, ability, read_abilities
from langchain_cerebras_ext.catalog._compare import usd
from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.catalog.models import ModelCard, Price, Task
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

__all__ = ["Quote", "Recommendation", "cheapest", "quotes", "rank_for", "recommend"]

TASKS: tuple[str, ...] = get_args(Task)
_HALF = Decimal("0.5")

# What a task cannot do without.
_NEEDS: dict[str, tuple[str, ...]] = {
    "agents": ("tools",),
    "extraction": ("structured_outputs",),
    "reasoning": ("reasoning",),
    "vision": ("vision",),
}


# ------------------------------------------------------------------------ the price


@dataclass(frozen=True, slots=True)
class Quote:
    """What a workload costs with one model, or why it will not do.

    Attributes:
        model: The model's id.
        cost_usd: The cost of all tokens, exact; `None` where a price is not known.
        price: The price of the day.
        unfit: Why the model will not do, in words; empty if it will.
    """

    model: str
    cost_usd: Decimal | None
    price: Price | None
    unfit: tuple[str, ...] = ()


def quotes(
    *,
    input_tokens: int,
    output_tokens: int,
    requires: str | Iterable[str] = (),
    min_context: int | None = None,
    on: date | None = None,
) -> tuple[Quote, ...]:
    """Price a workload with every model that is served on a day.

    Args:
        input_tokens: Prompt tokens in all.
        output_tokens: Completion tokens in all, reasoning included.
        requires: What the model must be known to be able to do, as in `list_models`.
        min_context: The window that is needed, in tokens.
        on: The day (UTC); today if not given.

    Returns:
        Models that will do, the cheapest first, those without a known price last of
        them; then those that will not do. Your own cards are among them.

    Raises:
        CerebrasConfigurationError: There is no such capability, or a count is negative.
    """
    if input_tokens < 0 or output_tokens < 0:
        msg = (
            f"input_tokens={input_tokens}, output_tokens={output_tokens}: not below 0."
        )
        raise CerebrasConfigurationError(msg)
    day = utc_day(on)
    wanted = read_abilities(requires)
    found: list[Quote] = []
    for card in _served(day):
        price = card.price(day)
        cost = price.cost(input_tokens, output_tokens) if price else None
        unfit = tuple(_unfit(card, wanted, min_context))
        found.append(Quote(card.id, cost, price, unfit))
    unknown = Decimal("Infinity")
    found.sort(
        key=lambda q: (bool(q.unfit), unknown if q.cost_usd is None else q.cost_usd)
    )
    return tuple(found)


def cheapest(
    *,
    input_tokens: int = 500_000,
    output_tokens: int = 500_000,
    requires: str | Iterable[str] = (),
    min_context: int | None = None,
    on: date | None = None,
) -> Quote | None:
    """Return the cheapest served model for a workload; `None` if none will do.

    A model whose price is not known is never the cheapest; see `quotes`.

    Args:
        input_tokens: Prompt tokens in all; without counts, the mix is half and half.
        output_tokens: Completion tokens in all, reasoning included.
        requires: What the model must be known to be able to do, as in `list_models`.
        min_context: The window that is needed, in tokens.
        on: The day (UTC); today if not given.

    Raises:
        CerebrasConfigurationError: There is no such capability, or a count is negative.

    Example:
        >>> from datetime import date
        >>> found = cheapest(requires="vision", on=date(2026, 11, 21))
        >>> found.model, found.cost_usd
        ('qwen-3.8-27b', Decimal('1.24'))
    """
    found = quotes(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        requires=requires,
        min_context=min_context,
        on=on,
    )
    fit = [quote for quote in found if not quote.unfit and quote.cost_usd is not None]
    return fit[0] if fit else None


def _served(on: date) -> list[ModelCard]:
    from langchain_cerebras_ext.catalog._registry import registry

    cards = registry.table().cards
    return [card for card in cards if card.lifecycle(on).is_served]


def _context(card: ModelCard) -> int | None:
    return card.safe_context_tokens or card.limits().context_tokens


def _unfit(
    card: ModelCard, wanted: Iterable[str], min_context: int | None
) -> Iterable[str]:
    for name in wanted:
        able = ability(card, name)
        if able is None:
            yield f"not known to have {LABELS[name]}"
        elif not able:
            yield f"has no {LABELS[name]}"
    if min_context is not None:
        context = _context(card)
        if context is None:
            yield "its context window is not known"
        elif context < min_context:
            yield f"its context window is {context:,} tokens"


# ------------------------------------------------------------------------- the task


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A model for a task, and why.

    Attributes:
        model: The model's id.
        task: The task.
        reasons: What speaks for it, with figures.
        cautions: What to know before.
        blended_usd_per_mtok: The price of the day for the asked mix of tokens.
    """

    model: str
    task: Task
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    blended_usd_per_mtok: Decimal | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; the price is text."""
        price = self.blended_usd_per_mtok
        return {
            "model": self.model,
            "task": self.task,
            "reasons": list(self.reasons),
            "cautions": list(self.cautions),
            "blended_usd_per_mtok": None if price is None else usd(price),
        }


def recommend(
    task: Task,
    *,
    requires: str | Iterable[str] = (),
    min_context: int | None = None,
    input_share: Decimal | float | str = _HALF,
    on: date | None = None,
) -> tuple[Recommendation, ...]:
    """Return the served models that will do for a task, the best first, with reasons.

    Models that are said to be good at the task come first, then the cheaper ones; for
    `bulk` the price alone decides, for `long-context` the window.

    Args:
        task: `agents`, `bulk`, `chat`, `code`, `extraction`, `long-context`,
            `multilingual`, `reasoning` or `vision`.
        requires: What the model must be able to do besides, as in `list_models`.
        min_context: The window that is needed, in tokens.
        input_share: The part of all tokens that is prompt, for the blended price.
        on: The day (UTC); today if not given.

    Raises:
        CerebrasConfigurationError: There is no such task or capability.
        ValueError: The share is not from 0 to 1.

    Example:
        >>> from datetime import date
        >>> best = recommend("code", on=date(2026, 11, 21))[0]
        >>> best.model, best.reasons[0]
        ('gpt-oss-120b', 'said to be good at code')
    """
    if task not in TASKS:
        msg = f"There is no task {task!r}. They are: {', '.join(TASKS)}."
        raise CerebrasConfigurationError(msg)
    day = utc_day(on)
    needs = (*_NEEDS.get(task, ()), *read_abilities(requires))
    fit = [card for card in _served(day) if not [*_unfit(card, needs, min_context)]]
    ranked = rank_for((task,), fit, day, input_share)
    return tuple(_recommendation(card, task, day, input_share) for card in ranked)


def rank_for(
    tasks: Sequence[str],
    cards: Iterable[ModelCard],
    on: date,
    input_share: Decimal | float | str = _HALF,
) -> list[ModelCard]:
    """Sort cards by how well they suit tasks, of which the first weighs most.

    No logic but this decides what we advise.
    """
    main = tasks[0] if tasks else "chat"

    def key(card: ModelCard) -> tuple[Any, ...]:
        blended = _blended(card, on, input_share)
        price = Decimal("Infinity") if blended is None else blended
        listed = [task not in card.best_uses for task in tasks]
        first: tuple[Any, ...] = tuple(listed)
        if main == "bulk":
            first = ()
        elif main == "long-context":
            first = (-(_context(card) or 0),)
        return (*first, price, -(card.speed_tokens_per_s or 0), card.id)

    return sorted(cards, key=key)


def _blended(
    card: ModelCard, on: date, input_share: Decimal | float | str
) -> Decimal | None:
    price = card.price(on)
    return price.blended(input_share) if price else None


def _recommendation(
    card: ModelCard, task: Task, on: date, input_share: Decimal | float | str
) -> Recommendation:
    blended = _blended(card, on, input_share)
    context = _context(card)
    life = card.lifecycle(on)
    reasons, cautions = [], []
    if task in card.best_uses:
        reasons.append(f"said to be good at {task}")
    else:
        cautions.append(f"no source names it for {task}")
    reasons += [f"has {LABELS[name]}" for name in _NEEDS.get(task, ())]
    if blended is None:
        cautions.append("its price is not known")
    else:
        reasons.append(f"{usd(blended)} USD per million tokens, blended")
    if card.speed_tokens_per_s:
        reasons.append(f"about {card.speed_tokens_per_s:,} tokens/s")
    if context:
        reasons.append(f"context window of {context:,} tokens")
    if life.ends_on is not None:
        cautions.append(f"its end is told for {life.ends_on}")
    elif life.stage == "deprecated":
        cautions.append("the live list flags it as deprecated")
    return Recommendation(card.id, task, tuple(reasons), tuple(cautions), blended)
