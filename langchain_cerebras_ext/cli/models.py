"""`cerebras-ext models`: `list`, `compare`, `cheapest` and `recommend`.

What is said of a model is the catalog's; here it is put into tables and JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, get_args

from langchain_cerebras_ext.catalog import get_model, list_models
from langchain_cerebras_ext.catalog._abilities import LABELS, ability
from langchain_cerebras_ext.catalog._compare import usd
from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.catalog._lifecycle import Stage
from langchain_cerebras_ext.cli.failures import FAILED, CommandError
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

    from langchain_cerebras_ext.catalog import ModelCard, Quote, Recommendation

STAGES: Final[tuple[str, ...]] = get_args(Stage)
STAGE_STYLES: Final[Mapping[str, str]] = {
    "active": "",
    "deprecated": "yellow",
    "upcoming": "cyan",
    "unlisted": "yellow",
}
"""How a model looks by its stage; those that are left out are dimmed."""

_HALF: Final = 0.5
_LAST: Final = Decimal("Infinity")


# --------------------------------------------------------------------- what all share


def read_day(text: str | None) -> date | None:
    """Read `--on`.

    Raises:
        CommandError: It is no day.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = f"--on is {text!r}. Give a day as in 2026-11-21."
        raise CommandError(msg) from None


def facts_of(card: ModelCard, on: date) -> dict[str, Any]:
    """Return the facts of a model that tables show, by name; `None` is not known.

    Args:
        card: The model, as known on the day.
        on: The day of stage and price.
    """
    life, price, limits = card.lifecycle(on), card.price(on), card.limits()
    return {
        "id": card.id,
        "name": card.name,
        "stage": life.stage,
        "announced": life.announced,
        "ends_on": life.ends_on,
        "days_left": life.days_left,
        "successor": life.successor,
        "input_usd_per_mtok": price and price.input,
        "output_usd_per_mtok": price and price.output,
        "cached_input_usd_per_mtok": price and price.cached_input,
        "blended_usd_per_mtok": price and price.blended(),
        "speed_tokens_per_s": card.speed_tokens_per_s,
        "context_tokens": card.safe_context_tokens or limits.context_tokens,
        "max_output_tokens": card.safe_max_output_tokens or limits.max_output_tokens,
        "context_tokens_free": card.context_tokens_free,
        "max_output_tokens_free": card.max_output_tokens_free,
        "reasoning_efforts": card.reasoning.efforts,
        "default_effort": card.reasoning.default_effort,
        "reasoning_formats": card.reasoning.formats,
        "capabilities": {name: ability(card, name) for name in LABELS},
        "origin": card.origin,
    }


def shown(value: object) -> str | None:
    """Return a fact as people read it: money and counts exact; `None` stays."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return usd(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"  # `none` is an effort
    return str(value)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: money and days are text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return usd(value)
    return value.isoformat() if isinstance(value, date) else value


def print_json(value: Any) -> None:
    """Print one JSON object on a line."""
    print(json.dumps(plain(value), ensure_ascii=False))  # noqa: T201


def data_basis(on: date) -> dict[str, Any]:
    """Return what the catalog rests on: the packaged data, and the newest live list.

    Args:
        on: Lists that were read later do not count.
    """
    from langchain_cerebras_ext.catalog._registry import registry
    from langchain_cerebras_ext.catalog._table import packaged_table

    live = [one for one in registry.snapshots() if one.on <= on]
    return {
        "checked_on": packaged_table().checked_on,
        "live_list": {"on": live[-1].on, "url": live[-1].url} if live else None,
    }


def basis_line(on: date) -> str:
    """Return what the catalog rests on, in words."""
    basis = data_basis(on)
    line = f"Packaged data of {basis['checked_on']}"
    if basis["live_list"] is None:
        return f"{line}."
    return (
        f"{line}, with the live list of {basis['live_list']['on']} from "
        f"{basis['live_list']['url']}."
    )


# ------------------------------------------------------------------------------- list


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What the command line said.

    Attributes:
        show_all: Also those that are not served.
        status: Only those of this stage.
        capabilities: Only those that are known to be able to do all of these.
        sort: One of `SORTS`.
        on: The day, as text; today if not given.
        as_json: Whether to print JSON.
    """

    show_all: bool = False
    status: str | None = None
    capabilities: Sequence[str] = ()
    sort: str = "status"
    on: str | None = None
    as_json: bool = False


def run_list(options: ListOptions) -> int:
    """Print the models of a day, and return the exit code.

    Raises:
        CommandError: An option is wrong.
        CerebrasConfigurationError: There is no such capability.
    """
    if options.sort not in SORTS:
        msg = f"--sort is {options.sort!r}. Give one of {', '.join(SORTS)}."
        raise CommandError(msg)
    if options.status is not None and options.status not in STAGES:
        msg = f"--status is {options.status!r}. Give one of {', '.join(STAGES)}."
        raise CommandError(msg)
    on = read_day(options.on)
    day = utc_day(on)
    cards = list_models(capability=options.capabilities or None, as_of=on)
    known = [facts_of(card, day) for card in cards]
    rows = sorted(filter(_wanted(options), known), key=SORTS[options.sort])
    if options.as_json:
        print_json({"on": day, **data_basis(day), "models": rows})
        return 0
    if rows:
        _print_list(output_console(), rows)
    _print_legend(error_console(), len(rows), len(known) - len(rows), day)
    return 0


def _wanted(options: ListOptions) -> Callable[[Mapping[str, Any]], bool]:
    def is_wanted(facts: Mapping[str, Any]) -> bool:
        if options.status is not None:
            return bool(facts["stage"] == options.status)
        return options.show_all or facts["stage"] in {"active", "deprecated"}

    return is_wanted


def _by_status(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    stages = (
        "active",
        "deprecated",
        "upcoming",
        "unlisted",
        "dedicated-only",
        "retired",
        "never-served",
    )
    ended = facts["ends_on"].toordinal() if facts["ends_on"] else 0
    return stages.index(facts["stage"]), -ended, *_by_price(facts)


def _by_price(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    blended = facts["blended_usd_per_mtok"]
    return _LAST if blended is None else blended, facts["id"]


def _by_most(name: str) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    return lambda facts: (-(facts[name] or 0), facts["id"])


def _by_end(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    return facts["ends_on"] or date.max, facts["id"]


SORTS: Final[Mapping[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]] = {
    "status": _by_status,
    "id": lambda facts: (facts["id"],),
    "price": _by_price,
    "speed": _by_most("speed_tokens_per_s"),
    "context": _by_most("context_tokens"),
    "end": _by_end,
}
"""The list's orders: cheap, fast, large and early ones first, unknown ones last."""


def _print_list(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    print_sheet(
        console,
        fitting(
            console,
            _sheet(_WIDE, rows),
            _sheet(_MIDDLE, rows),
            _sheet(_NARROW, rows),
            _sheet(_NARROW[:4], rows),
        ),
    )


_Part = tuple[Column, "str | Callable[[Mapping[str, Any]], str]"]


def _sheet(parts: Sequence[_Part], rows: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        columns=[column for column, _ in parts],
        rows=[
            (
                [
                    shown(facts[part]) if isinstance(part, str) else part(facts)
                    for _, part in parts
                ],
                STAGE_STYLES.get(facts["stage"], "dim"),
            )
            for facts in rows
        ],
    )


def _short_status(facts: Mapping[str, Any]) -> str:
    """Return stage and end in one short word and a day."""
    stage, ends, left = facts["stage"], facts["ends_on"], facts["days_left"]
    if stage == "retired" and ends:
        return f"ended {ends}"
    if stage == "deprecated" and ends and left >= 0:
        return f"ends {ends}"
    if stage == "upcoming" and facts["announced"]:
        return f"comes {facts['announced']}"
    return str(stage)


_MODEL: Final[_Part] = (Column("model"), "id")
_FIGURES: Final[tuple[_Part, ...]] = (
    (Column("tokens/s", is_figure=True), "speed_tokens_per_s"),
    (Column("context", is_figure=True), "context_tokens"),
)
_WIDE: Final[tuple[_Part, ...]] = (
    _MODEL,
    (Column("status"), "stage"),
    (Column("ends"), "ends_on"),
    (Column("input", is_figure=True), "input_usd_per_mtok"),
    (Column("cached", is_figure=True), "cached_input_usd_per_mtok"),
    (Column("output", is_figure=True), "output_usd_per_mtok"),
    *_FIGURES,
    (Column("max out", is_figure=True), "max_output_tokens"),
)
_MIDDLE: Final[tuple[_Part, ...]] = (
    _MODEL,
    (Column("status"), _short_status),
    (Column("input", is_figure=True), "input_usd_per_mtok"),
    (Column("output", is_figure=True), "output_usd_per_mtok"),
    *_FIGURES,
    (Column("max out", is_figure=True), "max_output_tokens"),
)
# Shaped so that the longest id of the service fits 80 columns.
_NARROW: Final[tuple[_Part, ...]] = (
    _MODEL,
    (Column("status"), _short_status),
    (Column("in", is_figure=True), "input_usd_per_mtok"),
    (Column("out", is_figure=True), "output_usd_per_mtok"),
    (Column("tok/s", is_figure=True), "speed_tokens_per_s"),
    (Column("context", is_figure=True), "context_tokens"),
)


def _print_legend(console: Console, count: int, more: int, on: date) -> None:
    told = ["Input, output: USD per million tokens. '-' is not known."]
    if not count:
        told = ["No model is like that."]
    if more:
        told.append(f"{more:,} more {'is' if more == 1 else 'are'} known: --all.")
    say(console, " ".join([*told, f"On {on}. {basis_line(on)}"]), "dim")


# ---------------------------------------------------------------------------- compare


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What the command line said; the first model is the one that others replace."""

    models: Sequence[str]
    on: str | None = None
    as_json: bool = False


_COMPARED: Final = {
    "stage": "status",
    "ends_on": "ends",
    "input_usd_per_mtok": "input, USD/Mtok",
    "output_usd_per_mtok": "output, USD/Mtok",
    "cached_input_usd_per_mtok": "cached input, USD/Mtok",
    "blended_usd_per_mtok": "half and half, USD/Mtok",
    "speed_tokens_per_s": "tokens/s",
    "context_tokens": "context, paid",
    "max_output_tokens": "longest output, paid",
    "context_tokens_free": "context, free",
    "max_output_tokens_free": "longest output, free",
    "reasoning_efforts": "reasoning efforts",
    "default_effort": "default effort",
    "reasoning_formats": "reasoning formats",
}


def run_compare(options: CompareOptions) -> int:
    """Print models side by side, and return the exit code.

    Raises:
        CommandError: There are not two different models.
        UnknownModelError: The catalog does not have one of them.
    """
    from langchain_cerebras_ext.catalog import compare

    on = read_day(options.on)
    day = utc_day(on)
    found = {card.id: card for card in (get_model(m, on=on) for m in options.models)}
    cards = list(found.values())
    if len(cards) < 2:  # noqa: PLR2004 - two make a comparison
        msg = "Give two different models, or more."
        raise CommandError(msg)
    first, *others = cards
    told = [compare(first, other, on=day) for other in others]
    facts = [facts_of(card, day) for card in cards]
    if options.as_json:
        print_json(
            {
                "on": day,
                **data_basis(day),
                "models": facts,
                "comparisons": [one.to_dict() for one in told],
            }
        )
        return 0
    console = output_console()
    _print_side_by_side(console, facts)
    for one in told:
        console.print()
        say(console, f"From {one.a} to {one.b}:", "bold")
        for line in one.lines() or ["nothing that is known changes"]:
            labelled(console, "  - ", line)
    say(
        error_console(),
        f"* differs, ? may differ, '-' is not known. On {day}. {basis_line(day)}",
        "dim",
    )
    return 0


def _print_side_by_side(console: Console, models: Sequence[Mapping[str, Any]]) -> None:
    rows = list(_compared_rows(models))
    names = [facts["id"] for facts in models]
    letters = [chr(ord("A") + at % 26) * (1 + at // 26) for at in range(len(names))]
    by_name, by_letter = (
        Sheet(
            [
                Column(""),
                Column("", wraps=True),
                *(Column(title, wraps=True) for title in titles),
            ],
            rows,
        )
        for titles in (names, letters)
    )
    sheet = fitting(console, by_name, by_letter)
    if sheet is by_letter:
        for letter, name in zip(letters, names, strict=True):
            say(console, f"{letter}  {name}")
        console.print()
    print_sheet(console, sheet)


def _compared_rows(
    models: Sequence[Mapping[str, Any]],
) -> Iterable[tuple[Sequence[str | None], str]]:
    values = [
        *(
            (label, [facts[name] for facts in models])
            for name, label in _COMPARED.items()
        ),
        *(
            (label, [facts["capabilities"][name] for facts in models])
            for name, label in LABELS.items()
        ),
    ]
    for label, cells in values:
        if all(cell is None for cell in cells):
            continue
        mark = _mark(cells)
        yield [mark, label, *map(shown, cells)], "" if mark else "dim"


def _mark(cells: Sequence[object]) -> str:
    """Return `*` if facts differ, and `?` if they may: not all of them are known."""
    known = [cell for cell in cells if cell is not None]
    if any(cell != known[0] for cell in known):
        return "*"
    return "?" if len(known) < len(cells) else ""


# --------------------------------------------------------------------------- cheapest


@dataclass(frozen=True, slots=True)
class CheapestOptions:
    """What the command line said."""

    input_tokens: int = 500_000
    output_tokens: int = 500_000
    requires: Sequence[str] = ()
    min_context: int | None = None
    on: str | None = None
    as_json: bool = False


def run_cheapest(options: CheapestOptions) -> int:
    """Print what a workload costs, and return the exit code: 1 if no model will do.

    Raises:
        CommandError: An option is wrong.
        CerebrasConfigurationError: There is no such capability, or a count is below 0.
    """
    from langchain_cerebras_ext.catalog import quotes

    day = utc_day(read_day(options.on))
    found = quotes(
        input_tokens=options.input_tokens,
        output_tokens=options.output_tokens,
        requires=options.requires,
        min_context=options.min_context,
        on=day,
    )
    fit = [one for one in found if not one.unfit and one.cost_usd is not None]
    best = fit[0].model if fit else None
    if options.as_json:
        print_json(
            {
                "on": day,
                **data_basis(day),
                "input_tokens": options.input_tokens,
                "output_tokens": options.output_tokens,
                "requires": list(options.requires),
                "min_context": options.min_context,
                "cheapest": best,
                "quotes": found,
            }
        )
        return 0 if best else FAILED
    if found:
        print_sheet(output_console(), _quotes_sheet(found, best))
    console = error_console()
    if best is None:
        say(console, "No model that is served will do.", "red")
    say(
        console,
        f"Cost in USD of {options.input_tokens:,} input and {options.output_tokens:,} "
        f"output tokens; input, output: USD per million tokens. On {day}. "
        f"{basis_line(day)}",
        "dim",
    )
    return 0 if best else FAILED


def _quotes_sheet(found: Sequence[Quote], best: str | None) -> Sheet:
    def remark(quote: Quote) -> str:
        if quote.unfit:
            return f"will not do: {'; '.join(quote.unfit)}"
        if quote.cost_usd is None:
            return "its price is not known"
        return "the cheapest" if quote.model == best else ""

    return Sheet(
        [
            Column("model"),
            Column("cost", is_figure=True),
            Column("input", is_figure=True),
            Column("output", is_figure=True),
            Column("", wraps=True),
        ],
        [
            (
                (
                    quote.model,
                    shown(quote.cost_usd),
                    shown(quote.price and quote.price.input),
                    shown(quote.price and quote.price.output),
                    remark(quote),
                ),
                "bold" if quote.model == best else "dim" if quote.unfit else "",
            )
            for quote in found
        ],
    )


# -------------------------------------------------------------------------- recommend


@dataclass(frozen=True, slots=True)
class RecommendOptions:
    """What the command line said."""

    task: str
    requires: Sequence[str] = ()
    min_context: int | None = None
    input_share: float = _HALF
    on: str | None = None
    as_json: bool = False


def run_recommend(options: RecommendOptions) -> int:
    """Print the models for a task, and return the exit code: 1 if no model will do.

    Raises:
        CommandError: An option is wrong.
        CerebrasConfigurationError: There is no such task or capability.
    """
    from langchain_cerebras_ext.catalog import recommend

    if not 0 <= options.input_share <= 1:
        msg = f"--input-share is {options.input_share}. Give a part from 0 to 1."
        raise CommandError(msg)
    day = utc_day(read_day(options.on))
    task: Any = options.task  # `recommend` checks it
    found = recommend(
        task,
        requires=options.requires,
        min_context=options.min_context,
        input_share=options.input_share,
        on=day,
    )
    if options.as_json:
        print_json(
            {
                "on": day,
                **data_basis(day),
                "task": options.task,
                "recommendations": [one.to_dict() for one in found],
            }
        )
        return 0 if found else FAILED
    _print_recommendations(output_console(), found)
    console = error_console()
    if not found:
        say(console, "No model that is served will do.", "red")
    say(console, f"On {day}. {basis_line(day)}", "dim")
    return 0 if found else FAILED


def _print_recommendations(console: Console, found: Sequence[Recommendation]) -> None:
    for place, one in enumerate(found, 1):
        say(console, f"{place}. {one.model}", "bold" if place == 1 else "")
        for line in one.reasons:
            labelled(console, "   + ", line)
        for line in one.cautions:
            labelled(console, "   ! ", line, "yellow")
