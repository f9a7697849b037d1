"""What to tell whoever uses a model or parameter that ends or has ended: pure text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from langchain_cerebras_ext.catalog._compare import compare
from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.catalog._lifecycle import Successor, successor

if TYPE_CHECKING:
    from datetime import date

    from langchain_cerebras_ext.catalog._lifecycle import Lifecycle, Stage
    from langchain_cerebras_ext.catalog._parameters import ParameterCard
    from langchain_cerebras_ext.catalog.models import ModelCard, Source

__all__ = ["Notice", "deprecation_notice", "parameter_notice"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What ends, when, what follows it, how that differs, and who says so.

    `str(notice)` is all of it in one paragraph, the same for the same day and data.

    Attributes:
        kind: What it is about.
        subject: The model's id, or the parameter's name.
        stage: Where in its life that is.
        what: What happens, or happened, with its date, in one sentence.
        ends_on: The day of the end, if one is known.
        days_left: Days to it: 0 on its day, negative after it.
        use: What to use instead, in one sentence.
        replacement: The model or parameter to use instead.
        named_by: Whose word that is: the vendor's or our own.
        differences: How the replacement differs, a fact each; empty if not known.
        source: Who says so.
    """

    kind: Literal["model", "parameter"]
    subject: str
    stage: str
    what: str
    ends_on: date | None
    days_left: int | None
    use: str
    replacement: str | None
    named_by: Literal["vendor", "us"] | None
    differences: tuple[str, ...]
    source: Source | None

    def __str__(self) -> str:
        """Return all of it in one paragraph."""
        told = [self.what, self.use]
        if self.differences:
            told.append(f"What changes: {'; '.join(self.differences)}.")
        if self.source is not None:
            told.append(_cited(self.source))
        return " ".join(part for part in told if part)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        source = self.source
        return {
            "kind": self.kind,
            "subject": self.subject,
            "stage": self.stage,
            "what": self.what,
            "ends_on": self.ends_on.isoformat() if self.ends_on else None,
            "days_left": self.days_left,
            "use": self.use,
            "replacement": self.replacement,
            "named_by": self.named_by,
            "differences": list(self.differences),
            "source": source
            and {
                "title": source.title,
                "checked_on": source.checked_on.isoformat(),
                "url": source.url,
            },
        }


def deprecation_notice(card: ModelCard, on: date | None = None) -> Notice | None:
    """Return what to tell whoever uses a model on a day; `None` if there is nothing.

    There is nothing to tell of a model that is served and whose end is not known, nor
    of one that was for dedicated endpoints from the first.

    Args:
        card: The model.
        on: The day (UTC); today if not given. What was told later does not count.
    """
    day = utc_day(on)
    life = card.lifecycle(day)
    is_served = life.stage in {"upcoming", "active"}
    if is_served or (life.stage == "dedicated-only" and life.ends_on is None):
        return None
    found = successor(card, on=day)
    return Notice(
        kind="model",
        subject=card.id,
        stage=life.stage,
        what=_model_sentence(card, life),
        ends_on=life.ends_on,
        days_left=life.days_left,
        use=_use(found),
        replacement=found.model,
        named_by=found.named_by,
        differences=_differences(card, found, day),
        source=_source_of(card, life),
    )


def _model_sentence(card: ModelCard, life: Lifecycle) -> str:
    name = f"Model '{card.id}'"
    sentences: dict[Stage, str] = {
        "never-served": (
            f"{name} has never been served by Cerebras to the public, as far as any "
            "source shows."
        ),
        "unlisted": (
            f"{name} is not in the live list of "
            f"{life.live.on if life.live else life.on} any more."
        ),
        "dedicated-only": (
            f"{name} left the public endpoints on {life.ends_on}"
            f"{_ago(life)}; dedicated endpoints still offer it."
        ),
        "retired": f"{name} was retired on {life.ends_on}{_ago(life)}.",
    }
    if life.stage in sentences:
        sentence = sentences[life.stage]
        if life.stage == "retired" and life.ends_on is None:
            return f"{name} is retired."
        if life.stage == "unlisted" and life.ends_on is not None:
            return f"{sentence} Its end is told for {life.ends_on}{_ago(life)}."
        return sentence
    if life.ends_on is None:
        listed = life.live.on if life.live else None
        seen = f"the live list of {listed} flags it" if listed else "no day is named"
        return f"{name} is deprecated: {seen}."
    if life.days_left is not None and life.days_left < 0:
        return (
            f"{name} is past its end of {life.ends_on}{_ago(life)}; the live list of "
            f"{life.live.on if life.live else life.on} still has it."
        )
    return f"{name} will be retired on {life.ends_on}{_ago(life)}."


def _ago(life: Lifecycle) -> str:
    return _days(life.days_left)


def _days(left: int | None) -> str:
    if left is None:
        return ""
    if left == 0:
        return " (today)"
    count = abs(left)
    unit = "day" if count == 1 else "days"
    return f" (in {count:,} {unit})" if left > 0 else f" ({count:,} {unit} ago)"


def _use(found: Successor) -> str:
    if found.model is None:
        return "There is no model to name in its place."
    *dead, model = found.chain
    line = f" after {' and '.join(dead)}, no longer served" if dead else ""
    if found.served_from is not None:
        line = f"; it comes on {found.served_from}"
    if found.named_by == "vendor":
        return f"Use '{model}', which Cerebras names as its successor{line}."
    if dead:
        return (
            f"Its successor{'s' if len(dead) > 1 else ''} {' and '.join(dead)} "
            f"{'are' if len(dead) > 1 else 'is'} no longer served either; our own "
            f"advice is '{model}'."
        )
    return f"Cerebras names no successor; our own advice is '{model}'."


def _differences(card: ModelCard, found: Successor, on: date) -> tuple[str, ...]:
    if found.model is None or card.status == "never-served":
        return ()
    day = found.served_from or on  # before it is there, it has no price
    return tuple(compare(card, found.model, on=day).lines())


def _source_of(card: ModelCard, life: Lifecycle) -> Source | None:
    """Return the best source of what is told: of the list, the end, or the status."""
    from langchain_cerebras_ext.catalog._registry import registry

    sources = registry.table().sources
    keys: list[str] = []
    if life.note is not None and life.live is not None:
        keys.append(life.live.source)
    names = ["retired_on", "deprecation_announced"] if life.ends_on else []
    if life.stage == "deprecated" and life.told_on is not None:
        names.reverse()
    for name in (*names, "status"):
        keys += card.sources.get(name, ())
    known = [sources[key] for key in keys if key in sources]
    told = [source for source in known if source.kind != "unverified"]
    return next(iter(told or known), None)


def parameter_notice(card: ParameterCard, on: date | None = None) -> Notice | None:
    """Return what to tell whoever sends a parameter on a day; `None` if nothing.

    Args:
        card: The parameter.
        on: The day (UTC); today if not given.
    """
    from langchain_cerebras_ext.catalog._registry import registry

    life = card.lifecycle(on)
    if life.stage == "current":
        return None
    value = "" if card.value is None else f"={card.value}"
    name = f"{'Header' if card.kind == 'header' else 'Parameter'} '{card.name}{value}'"
    until = card.supported_until
    if until is None:
        what = f"{name} is deprecated; no end of it is known."
    elif life.stage == "ended":
        what = f"{name} is no longer supported, since {until}{_days(life.days_left)}."
    else:
        what = f"{name} is supported until {until}{_days(life.days_left)}."
    sources = registry.table().sources
    keys = [
        key
        for field in ("supported_until", "deprecation_announced", "name")
        for key in card.sources.get(field, ())
    ]
    return Notice(
        kind="parameter",
        subject=card.name,
        stage=life.stage,
        what=what,
        ends_on=until,
        days_left=life.days_left,
        use=f"Use {card.successor} instead." if card.successor else "Leave it out.",
        replacement=card.successor_name,
        named_by="vendor" if card.successor else None,
        differences=(),
        source=next((sources[key] for key in keys if key in sources), None),
    )


def _cited(source: Source) -> str:
    place = f", {source.url}" if source.url else ""
    return f"Source: {source.title}, checked on {source.checked_on}{place}."
