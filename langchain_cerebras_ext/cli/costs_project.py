"""`cerebras-ext costs project`: what a plan would cost, model by model."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext.catalog import find_model, list_models
from langchain_cerebras_ext.cli.costs import print_json
from langchain_cerebras_ext.cli.costs_tables import DOUBTFUL
from langchain_cerebras_ext.cli.failures import FAILED, CommandError
from langchain_cerebras_ext.cli.models import read_day, shown
from langchain_cerebras_ext.cli.screen import (
    Column,
    Sheet,
    error_console,
    fitting,
    labelled,
    output_console,
    print_sheet,
    say,
)
from langchain_cerebras_ext.costs._display import UNKNOWN, format_usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from langchain_cerebras_ext.costs.planning import Projection
    from langchain_cerebras_ext.costs.pricing import PriceRow

__all__ = ["ProjectOptions", "run_project"]

_SERVED: Final = {"active", "deprecated"}


@dataclass(frozen=True, slots=True)
class ProjectOptions:
    """What the command line said.

    Attributes:
        models: Ids, as typed, with commas; all that Cerebras serves if none is given.
        calls: Calls of the agent or chain.
        steps: Model calls in each of them.
        tokens: Tokens of a step.
        mix: The part of them that is prompt.
        input_tokens: Prompt tokens of a step, instead of `tokens` and `mix`.
        output_tokens: Completion tokens of a step, likewise.
        cached: The part of the prompt that is read from the cache.
        calls_per_day: For costs of a month.
        on: The day of the prices, as typed.
        prices: A file of prices of your own.
        as_json: Whether to print JSON.
    """

    models: Sequence[str] = ()
    calls: int = 1_000
    steps: int = 5
    tokens: int = 5_000
    mix: str = "0.8"
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: str = "0"
    calls_per_day: int | None = None
    on: str | None = None
    prices: Path | None = None
    as_json: bool = False


def run_project(options: ProjectOptions) -> int:
    """Print what a plan would cost, and return the exit code: 1 if nobody knows.

    Raises:
        CommandError: An option is wrong.
        CerebrasConfigurationError: A number or a file of prices is wrong.
    """
    from langchain_cerebras_ext.costs import PriceBook, project

    day = read_day(options.on)
    given = [name.strip() for one in options.models for name in one.split(",")]
    models = list(dict.fromkeys(name for name in given if name))
    if not models:
        models = [
            card.id
            for card in list_models(as_of=day)
            if card.lifecycle(day).stage in _SERVED
        ]
    if not models:
        msg = "Nothing was served on that day. Give --models."
        raise CommandError(msg)
    found = project(
        models,
        calls=options.calls,
        steps=options.steps,
        tokens=options.tokens,
        mix=options.mix,
        input_tokens=options.input_tokens,
        output_tokens=options.output_tokens,
        cached=options.cached,
        calls_per_day=options.calls_per_day,
        on=day,
        prices=PriceBook.load(options.prices) if options.prices else None,
    )
    plans = sorted(found, key=_by_cost)
    best = next((one for one in plans if is_to_be_had(one)), None)
    if options.as_json:
        cheapest = None if best is None else _named(best)
        told = [one.to_dict() for one in plans]
        print_json({"cheapest": cheapest, "projections": told})
    else:
        _print(plans, best)
    return FAILED if all(one.total is None for one in plans) else 0


def is_to_be_had(plan: Projection) -> bool:
    """Whether a price is known, and the model is not known to be gone."""
    card = find_model(plan.model) if plan.provider == "cerebras" else None
    served = card is None or card.lifecycle(plan.on).stage in _SERVED
    return plan.total is not None and served


def _by_cost(plan: Projection) -> tuple[bool, Decimal, str]:
    return plan.total is None, plan.total or Decimal(0), plan.model


def _named(plan: Projection) -> str:
    return f"{plan.provider}::{plan.model}"


# -------------------------------------------------------------------------- what shows


def _source(row: PriceRow | None) -> str | None:
    """Return who says what the price is, and when it was seen there."""
    if row is None:
        return None
    seen = f", {row.seen}" if row.seen else ""
    taken = f", {row.discount:.0%} off" if row.discount else ""
    return f"{row.source or 'unnamed'}{seen}{taken}"


def _times(plan: Projection, best: Projection | None) -> str | None:
    """Return how often the cheapest one could be had for that."""
    if plan.total is None or best is None or not best.total:
        return None
    return f"{plan.total / best.total:.1f}x"


def _cells(plan: Projection, best: Projection | None) -> Mapping[str, str | None]:
    row = plan.price
    per_month = plan.per_month
    return {
        "model": _named(plan),
        "cost": format_usd(plan.total),
        "times": _times(plan, best),
        "a call": None if plan.per_call is None else format_usd(plan.per_call),
        "a month": None if per_month is None else format_usd(per_month),
        "input": shown(row and row.input),
        "output": shown(row and row.output),
        "price by": _source(row),
    }


def _forms(is_monthly: bool) -> tuple[tuple[str, ...], ...]:
    month = ("a month",) if is_monthly else ()
    sums = ("model", "cost", "times", "a call", *month)
    return (
        (*sums, "input", "output", "price by"),
        (*sums, "input", "output"),
        ("model", "cost", "a call", *month),
        ("model", "cost"),
    )


def _print(plans: Sequence[Projection], best: Projection | None) -> None:
    console = output_console()
    is_monthly = any(plan.per_month is not None for plan in plans)
    forms = _forms(is_monthly)
    sheets = [
        Sheet(
            [
                Column(
                    name,
                    is_figure=name not in {"model", "price by"},
                    wraps=name in {"model", "price by"},
                )
                for name in names
            ],
            [
                ([_cells(plan, best)[name] for name in names], _style(plan, best))
                for plan in plans
            ],
        )
        for names in forms
    ]
    sheet = fitting(console, *sheets)
    print_sheet(console, sheet)
    if sheet is not sheets[0]:
        for plan in plans:
            if (source := _source(plan.price)) is not None:
                labelled(console, f"Price of {_named(plan)}: ", source, "dim")
    for plan in plans:
        for note in plan.notes:
            labelled(console, f"! {_named(plan)}: ", note, DOUBTFUL)
    if any(plan.total is None for plan in plans):
        say(error_console(), "Give prices of yours with --prices FILE.", "dim")
    _legend(plans[0])


def _style(plan: Projection, best: Projection | None) -> str:
    if plan.total is None:
        return DOUBTFUL
    return "bold" if plan is best else ""


def _legend(plan: Projection) -> None:
    cached = f" ({plan.cached_tokens:,} of them cached)" if plan.cached_tokens else ""
    say(
        error_console(),
        f"{plan.calls:,} calls of {plan.steps:,} steps, each of {plan.input_tokens:,} "
        f"input{cached} and {plan.output_tokens:,} output tokens: "
        f"{plan.total_tokens:,} tokens. Input, output: USD per million tokens. Prices "
        f"of {plan.on}; '{UNKNOWN}' is no price, and never free.",
        "dim",
    )
