"""`cerebras-ext models show`: everything that is known of a model, with sources."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.catalog import (
    deprecation_notice,
    get_model,
    source,
    successor,
)
from langchain_cerebras_ext.catalog._abilities import LABELS, ability
from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.catalog.models import Price
from langchain_cerebras_ext.cli.models import (
    STAGE_STYLES,
    basis_line,
    data_basis,
    print_json,
    read_day,
    shown,
)
from langchain_cerebras_ext.cli.screen import (
    Column,
    Sheet,
    error_console,
    labelled,
    output_console,
    print_sheet,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from rich.console import Console

    from langchain_cerebras_ext.catalog import LiveSighting, ModelCard, RateLimit
    from langchain_cerebras_ext.catalog.models import DatePrecision, Tier

_WARNING: Final = "yellow"
_TIERS: Final[tuple[Tier, ...]] = ("free", "developer")
_PRICES: Final = tuple(
    field.name
    for field in fields(Price)
    if field.name not in {"valid_from", "valid_until", "seen"}
)
_RATES: Final = {
    "requests_per_minute": "requests a minute",
    "requests_per_hour": "requests an hour",
    "requests_per_day": "requests a day",
    "uncached_tokens_per_minute": "uncached tokens a minute",
    "tokens_per_minute": "tokens a minute",
    "input_tokens_per_minute": "input tokens a minute",
    "tokens_per_hour": "tokens an hour",
    "tokens_per_day": "tokens a day",
    "output_tokens_per_request": "output tokens a request",
}
_ORIGINS: Final = {
    "refreshed": "from the packaged data, with the live list",
    "file": "from your file in CEREBRAS_CATALOG",
    "registered": "registered by this program",
}
_REPLAY: Final = {
    "field": "as the assistant message's reasoning",
    "think_tags": "as <think>...</think> within the content",
    "none": "not at all",
}


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """What the command line said."""

    model: str
    on: str | None = None
    as_json: bool = False


def run_show(options: ShowOptions) -> int:
    """Print a model's card, and return the exit code.

    Raises:
        CommandError: The day is none.
        UnknownModelError: The catalog has no such model.
    """
    on = read_day(options.on)
    day = utc_day(on)
    card = get_model(options.model, on=on)
    if options.as_json:
        print_json(card_as_json(card, day))
        return 0
    _print_card(output_console(), card, day)
    errors = error_console()
    if options.model != card.id:
        say(errors, f"{options.model!r} is another name of {card.id!r}.", "dim")
    say(errors, f"On {day}. {basis_line(day)}", "dim")
    return 0


def card_as_json(card: ModelCard, on: date) -> dict[str, Any]:
    """Return a card, what follows from it on a day, and the sources that it names.

    Args:
        card: The model, as known on the day.
        on: The day.
    """
    notice = deprecation_notice(card, on)
    return {
        "on": on,
        **data_basis(on),
        "model": card.to_dict(),
        "lifecycle": card.lifecycle(on),
        "notice": notice.to_dict() if notice else None,
        "successor": successor(card, on=on),
        "price": card.price(on),
        "limits": {tier: card.limits(tier, on) for tier in _TIERS},
        "sources": {key: _find_source(key) for key in sorted(_keys_of(card))},
    }


def _keys_of(card: ModelCard) -> Iterator[str]:
    """Yield the keys of all sources that a card names; some more than once."""
    for keys in card.sources.values():
        yield from keys
    for price in card.prices:
        yield from (seen.source for seen in price.seen)
    for other in card.other_names:
        yield from other.sources
    yield from (rates.source for rates in card.rate_limits)
    yield from (change.source for change in card.changes)
    yield from (seen.source for seen in card.live)


def _find_source(key: str) -> Any:
    try:
        return source(key)
    except KeyError:  # a card of the user's own may name any
        return None


# ---------------------------------------------------------------------- what is said


@dataclass(frozen=True, slots=True)
class Line:
    """A fact: what it is, and what is known of it."""

    label: str
    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Facts that belong together: lines, and a table before them."""

    title: str
    lines: tuple[Line, ...] = ()
    sheet: Sheet | None = None


class Citations:
    """Numbers the sources in the order in which they are named."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, *keys: str) -> str:
        """Return what points to sources, with a blank before it; nothing for none."""
        numbers = [
            self._numbers.setdefault(key, len(self._numbers) + 1)
            for key in dict.fromkeys(keys)
        ]
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""

    def lines(self) -> Iterator[Line]:
        """Yield the sources that were named."""
        for key, number in self._numbers.items():
            found = _find_source(key)
            text = key
            if found is not None:
                place = f", {found.url}" if found.url else ""
                text = f"{found.title} ({found.kind}, {found.checked_on}){place}"
            yield Line(f"[{number}]", text)


def describe(card: ModelCard, on: date) -> list[Section]:
    """Return all that is known of a model, section by section; empty ones left out.

    Args:
        card: The model, as known on the day.
        on: The day.
    """
    cited = Citations()
    sections = [
        Section("", tuple(_notice_lines(card, on))),
        Section("Model", tuple(_model_lines(card, on, cited))),
        Section("Timeline", tuple(_timeline(card, on, cited))),
        _price(card, on, cited),
        _limits(card, on, cited),
        _abilities(card, cited),
        _reasoning(card, cited),
        _images(card, cited),
        Section("Use", tuple(_use_lines(card, cited))),
        Section("Notes", _bullets(card.notes)),
        Section("Where sources disagree", _bullets(card.conflicts)),
        Section(f"Links{cited.mark(*_keys(card, 'links'))}", _bullets(card.links)),
    ]
    sections.append(Section("Sources", tuple(cited.lines())))
    return [one for one in sections if one.lines or one.sheet]


def _keys(card: ModelCard, *names: str) -> list[str]:
    return [key for name in names for key in card.sources.get(name, ())]


def _bullets(texts: Iterable[str]) -> tuple[Line, ...]:
    return tuple(Line("-", text) for text in texts)


def _notice_lines(card: ModelCard, on: date) -> Iterator[Line]:
    notice = deprecation_notice(card, on)
    if notice is None:
        return
    yield Line("", notice.what, _WARNING)
    yield Line("", notice.use, _WARNING)
    for difference in notice.differences:
        yield Line("-", difference, _WARNING)


def _model_lines(card: ModelCard, on: date, cited: Citations) -> Iterator[Line]:
    stage = card.lifecycle(on).stage

    def line(label: str, text: object, *names: str, style: str = "") -> Line:
        return Line(label, f"{text}{cited.mark(*_keys(card, *names))}", style)

    yield line(
        "status",
        f"{stage}, as of {card.status_as_of}",
        "status",
        style=STAGE_STYLES.get(stage, "dim"),
    )
    if stage not in {"active", "upcoming"}:
        note = successor(card, on=on).note
        yield line("successor", note, "replacements", "replacement_current")
    speed = card.speed_tokens_per_s
    facts = {
        "name": ("name", card.name),
        "owner": ("owner", card.owner),
        "parameters": ("size", card.parameters),
        "hugging_face_id": ("weights", card.hugging_face_id),
        "tokenizer": ("tokenizer", card.tokenizer),
        "release_stage": ("release stage", card.release_stage),
        "dedicated_available": ("dedicated endpoints", shown(card.dedicated_available)),
        "aliases": ("other ids", ", ".join(card.aliases) or None),
        "speed_tokens_per_s": ("speed", speed and f"{speed:,} tokens/s"),
    }
    for name, (label, text) in facts.items():
        if text is not None:
            yield line(label, text, name)
    for other in card.other_names:
        mark = cited.mark(*other.sources)
        told = f"{other.name}, which the service does not take{mark}"
        yield Line("elsewhere called", told)
    added = card.scaffold
    if added is not None:
        told = (
            f"adds about {added.prompt} tokens a request, {added.message} a message, "
            f"{added.tools} with tools"
        )
        yield line("prompt template", told, "scaffold")
    if card.origin in _ORIGINS:
        yield Line("this card", _ORIGINS[card.origin])


# --------------------------------------------------------------------------- timeline


@dataclass(frozen=True, slots=True)
class _Event:
    day: date | None
    text: str
    keys: tuple[str, ...] = ()
    precision: DatePrecision = "day"
    style: str = ""


def _timeline(card: ModelCard, on: date, cited: Citations) -> Iterator[Line]:
    events = [
        *_life_events(card, on),
        *_price_events(card),
        *(_rate_event(rates) for rates in card.rate_limits),
        *(
            _Event(
                change.on,
                f"{change.field}: {shown(change.before) or 'not known'} -> "
                f"{shown(change.after) or 'not known'}",
                (change.source,),
            )
            for change in card.changes
        ),
        *_live_events(card.live),
    ]
    # Sorting is stable: of a day, what stands first above comes first.
    for event in sorted(events, key=lambda one: one.day.toordinal() if one.day else 0):
        yield Line(
            _day_text(event),
            f"{event.text}{cited.mark(*event.keys)}",
            event.style,
        )


def _day_text(event: _Event) -> str:
    if event.day is None:
        return "at first"
    if event.precision == "month":
        return f"{event.day:%Y-%m}"
    return f"by {event.day}" if event.precision == "by" else str(event.day)


def _life_events(card: ModelCard, on: date) -> Iterator[_Event]:
    if card.announced is not None:
        yield _Event(
            card.announced,
            "first day on the service",
            tuple(_keys(card, "announced")),
            card.announced_precision,
        )
    if card.deprecation_announced is not None:
        when = f", for {card.retired_on}" if card.retired_on else ""
        named = ", ".join(card.replacements)
        yield _Event(
            card.deprecation_announced,
            f"its end is told{when}" + (f"; successor named: {named}" if named else ""),
            tuple(_keys(card, "deprecation_announced", "replacements")),
            card.deprecation_precision,
            _WARNING,
        )
    if card.retired_on is not None:
        left = (card.retired_on - on).days
        ahead = f", in {left:,} day{'' if left == 1 else 's'}" if left > 0 else ""
        yield _Event(
            card.retired_on,
            f"its end on the public endpoints{ahead}",
            tuple(_keys(card, "retired_on")),
            card.retired_precision,
            _WARNING,
        )


def _price_events(card: ModelCard) -> Iterator[_Event]:
    for price in card.prices:
        told = ", ".join(
            f"{_words(name)} {shown(value)}"
            for name in _PRICES
            if (value := getattr(price, name)) is not None
        )
        days = sorted(seen.on for seen in price.seen)
        when = f", seen {days[0]}" if days else ""
        if days and days[-1] != days[0]:
            when += f" to {days[-1]}"
        keys = tuple(seen.source for seen in price.seen)
        text = f"price: {told or 'not known'}{when}"
        if price.valid_from is not None:
            yield _Event(price.valid_from, text, keys)
        else:
            yield _Event(card.announced, text, keys, card.announced_precision)
    last = card.prices[-1].valid_until if card.prices else None
    if last is not None:
        yield _Event(last, "price: not known any more")


def _rate_event(rates: RateLimit) -> _Event:
    told = [
        f"{value:,} {label}"
        for name, label in _RATES.items()
        if (value := getattr(rates, name)) is not None
    ]
    told += [f"{_RATES.get(name, name)} not limited" for name in rates.unlimited]
    return _Event(
        rates.as_of,
        f"rates of the plan {rates.plan!r} ({rates.tier}): "
        f"{', '.join(told) or 'not known'}",
        (rates.source,),
    )


def _live_events(live: Iterable[LiveSighting]) -> Iterator[_Event]:
    for seen in live:
        has = "has it" if seen.listed else "does not have it"
        flag = ", and flags it as deprecated" if seen.deprecated else ""
        yield _Event(seen.on, f"the live list {has}{flag}", (seen.source,))


# -------------------------------------------------------------------- price and limits


def _price(card: ModelCard, on: date, cited: Citations) -> Section:
    price = card.price(on)
    if price is None:
        return Section("Price", (Line("", "not known", "dim"),))
    known = {name: getattr(price, name) for name in _PRICES}
    lines = [
        Line(_words(name), f"{shown(value)}{'' if value else ' (free)'}")
        for name, value in known.items()
        if value is not None
    ]
    blended = price.blended()
    if blended is not None:
        lines.append(Line("half and half", f"{shown(blended)}"))
    missing = [_words(name) for name, value in known.items() if value is None]
    if missing:
        lines.append(Line("not known", ", ".join(missing), "dim"))
    what = "Last price" if card.lifecycle(on).is_ended else "Price"
    mark = cited.mark(*_keys(card, "prices"))
    return Section(f"{what}, USD per million tokens{mark}", tuple(lines))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _limits(card: ModelCard, on: date, cited: Citations) -> Section:
    tiers = [card.limits(tier, on) for tier in _TIERS]
    rates = [limits.rates for limits in tiers]
    rows: list[tuple[str, Sequence[object], str]] = [
        (
            "context window",
            [shown(limits.context_tokens) for limits in tiers],
            cited.mark(*_keys(card, "context_tokens_free", "context_tokens_paid")),
        ),
        (
            "longest output",
            [shown(limits.max_output_tokens) for limits in tiers],
            cited.mark(
                *_keys(card, "max_output_tokens_free", "max_output_tokens_paid")
            ),
        ),
        ("plan", [one and one.plan for one in rates], ""),
        (
            "rates as of",
            [one and one.as_of for one in rates],
            cited.mark(*(one.source for one in rates if one)),
        ),
    ]
    rows += [
        (label, [_rate(one, name) for one in rates], "")
        for name, label in _RATES.items()
    ]
    known = [row for row in rows if any(cell is not None for cell in row[1])]
    lines = []
    for name, label in (
        ("safe_context_tokens", "context tokens"),
        ("safe_max_output_tokens", "output tokens"),
    ):
        value = getattr(card, name)
        if value is not None:
            mark = cited.mark(*_keys(card, name))
            lines.append(
                Line("", f"Sources disagree; all allow {value:,} {label}{mark}.")
            )
    if not known:
        return Section("Limits", (*lines, Line("", "not known", "dim")))
    columns = [Column(""), *(Column(tier, is_figure=True) for tier in _TIERS)]
    return Section(
        "Limits by tier",
        tuple(lines),
        Sheet(
            [*columns, Column("")],
            [([label, *cells, mark.strip()], "") for label, cells, mark in known],
        ),
    )


def _rate(rates: RateLimit | None, name: str) -> str | None:
    if rates is not None and name in rates.unlimited:
        return "unlimited"
    return None if rates is None else shown(getattr(rates, name))


# --------------------------------------------------------------------- what it can do


def _abilities(card: ModelCard, cited: Citations) -> Section:
    found: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for name, label in LABELS.items():
        if name == "disable_reasoning" and card.reasoning.supported is False:
            continue  # there is nothing to switch off
        found[ability(card, name)].append(label)
    words = {True: "yes", False: "no", None: "not known"}
    lines = [
        Line(word, ", ".join(found[able]), "dim" if able is None else "")
        for able, word in words.items()
        if found[able]
    ]
    mark = cited.mark(*_keys(card, "capabilities"))
    if card.tool_call_delta is not None:
        how = {"fragments": "in fragments", "whole": "whole"}[card.tool_call_delta]
        why = cited.mark(*_keys(card, "tool_call_delta"))
        lines.append(Line("tool calls stream", f"{how}{why}"))
    return Section(f"Capabilities{mark}", tuple(lines))


def _reasoning(card: ModelCard, cited: Citations) -> Section:
    told = card.reasoning
    if told.supported is not True:
        return Section("Reasoning")
    facts = {
        "by default": {True: "on", False: "off", None: None}[told.default_on],
        "can be switched off": shown(told.can_disable),
        "efforts": shown(told.efforts),
        "without effect": ", ".join(told.inert_efforts) or None,
        "default effort": told.default_effort,
        "formats": shown(told.formats),
        "default format": told.default_format,
        "default with JSON": told.default_json_format,
        "earlier turns": _REPLAY[told.replay],
        "clear_thinking": {True: "taken", False: "not taken", None: None}[
            told.clear_thinking
        ],
        "switch in the prompt": told.prompt_switch,
    }
    lines = [Line(label, text) for label, text in facts.items() if text is not None]
    missing = [label for label in ("efforts", "formats") if facts[label] is None]
    if missing:
        lines.append(Line("not known", ", ".join(missing), "dim"))
    return Section(f"Reasoning{cited.mark(*_keys(card, 'reasoning'))}", tuple(lines))


def _images(card: ModelCard, cited: Citations) -> Section:
    rules = card.images
    if rules is None:
        return Section("Images")
    ways = [("data: URIs", rules.data_uri), ("URLs", rules.remote_url)]
    places = " and ".join(way for way, is_taken in ways if is_taken)
    counts = [
        f"{count} on the {tier} tier"
        for count, tier in zip(
            (rules.max_images_free, rules.max_images), _TIERS, strict=True
        )
        if count is not None
    ]
    payload, rule = rules.max_payload_bytes, rules.token_rule
    facts = {
        "formats": ", ".join(rules.formats),
        "as": places or None,
        "in messages of": ", ".join(rules.roles),
        "most in a request": ", ".join(counts) or None,
        "all together": f"at most {payload:,} bytes" if payload else None,
        "tokens an image": rule
        and f"one a square of {rule.cell_px} pixels, at most {rule.max_tokens:,}",
    }
    return Section(
        f"Images{cited.mark(*_keys(card, 'images'))}",
        tuple(Line(label, text) for label, text in facts.items() if text),
    )


def _use_lines(card: ModelCard, cited: Citations) -> Iterator[Line]:
    for label, name in (("said to be good at", "strengths"), ("tasks", "best_uses")):
        texts = getattr(card, name)
        if texts:
            yield Line(label, f"{', '.join(texts)}{cited.mark(*_keys(card, name))}")
    sampling = card.recommended_sampling
    if sampling is None:
        return
    told = [
        f"{name} {value}"
        for name in ("temperature", "top_p")
        if (value := getattr(sampling, name)) is not None
    ]
    told += [sampling.note] if sampling.note else []
    mark = cited.mark(*_keys(card, "recommended_sampling"))
    yield Line(
        "advised sampling",
        f"{', '.join(told)}{mark}; never set unasked, "
        f"ChatCerebras.recommended({card.id!r}) sets it",
    )


# ---------------------------------------------------------------------------- printing


def _print_card(console: Console, card: ModelCard, on: date) -> None:
    say(console, card.id, "bold")
    for section in describe(card, on):
        if section.title:
            console.print()
            say(console, section.title, "bold")
        if section.sheet is not None:
            print_sheet(console, section.sheet)
        for line in section.lines:
            labelled(console, _padded(line.label, section), line.text, line.style)


def _padded(label: str, section: Section) -> str:
    """Return a label with blanks after it, so that a section's texts stand in line."""
    if not label:
        return "  "
    widest = max(len(line.label) for line in section.lines)
    return f"  {label:<{widest}}{' ' if widest == 1 else '  '}"
