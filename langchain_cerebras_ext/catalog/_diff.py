"""How a live list differs from the packaged data, and the rows that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from langchain_cerebras_ext.catalog._checks import WITHOUT_SOURCE, is_ending
from langchain_cerebras_ext.catalog._lifecycle import find_successor, stage_of
from langchain_cerebras_ext.catalog._rows import card_to_row, put_rows, source_to_row
from langchain_cerebras_ext.catalog._snapshot import (
    Snapshot,
    changes_of,
    find_live,
    is_listed,
    make_source,
    merge_snapshots,
    new_card,
)
from langchain_cerebras_ext.catalog._table import make_table
from langchain_cerebras_ext.catalog.models import Change

if TYPE_CHECKING:
    from datetime import date

    from langchain_cerebras_ext.catalog._table import Table
    from langchain_cerebras_ext.catalog.models import ModelCard

__all__ = ["CatalogDiff", "ModelChange", "make_diff"]

_SERVED = frozenset({"active", "deprecated"})

ChangeKind = Literal["price", "limit", "capability", "stage", "deprecated"]


@dataclass(frozen=True, slots=True)
class ModelChange:
    """One fact that the live list tells otherwise.

    Attributes:
        model: The model's id.
        kind: What the fact is about.
        field: The fact: `price.input` (USD per million tokens), `context_tokens_paid`,
            `capabilities.vision`, `release_stage`, `deprecated` and so on.
        before: What the packaged data say; `None` is not known.
        after: What the list says.
    """

    model: str
    kind: ChangeKind
    field: str
    before: str | int | bool | None
    after: str | int | bool | None

    def __str__(self) -> str:
        """Return it in words."""
        before = "not known" if self.before is None else _word(self.before)
        return f"{self.model}: {self.field}: {before} -> {_word(self.after)}"


@dataclass(frozen=True, slots=True)
class CatalogDiff:
    """How a live list differs from the packaged data; false where it does not.

    Attributes:
        on: The day of the list (UTC).
        checked_on: The day on which the packaged data were checked.
        url: The address that was asked, without the path.
        listed: The ids of the public list.
        new: Models of the list that have no card; cards of what the list tells.
        gone: Models that were served, as the data say, and that the list lacks.
        back: Models of the list that the data have as retired, dedicated or never
            served.
        changes: Facts that the list tells otherwise, by model.
        account_only: Models that the key may use beyond the public list, as dedicated
            endpoints are; `None` where no key was used.
        account_missing: Models of the public list that the key may not use.
    """

    on: date
    checked_on: date
    url: str
    listed: tuple[str, ...]
    new: tuple[ModelCard, ...] = ()
    gone: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    changes: tuple[ModelChange, ...] = ()
    account_only: tuple[str, ...] | None = None
    account_missing: tuple[str, ...] | None = None
    _snapshot: Snapshot | None = field(default=None, repr=False, compare=False)
    _base: Table | None = field(default=None, repr=False, compare=False)

    def __bool__(self) -> bool:
        """Whether the service differs from the packaged data."""
        return bool(self.new or self.gone or self.back or self.changes)

    def of_kind(self, kind: ChangeKind) -> tuple[ModelChange, ...]:
        """Return the changes of one kind."""
        return tuple(change for change in self.changes if change.kind == kind)

    def lines(self) -> list[str]:
        """Return it in words, a fact a line; empty where nothing differs."""
        told = [f"new: {card.id} ({card.name})" for card in self.new]
        told += [f"gone: {model}" for model in self.gone]
        told += [f"back: {model}" for model in self.back]
        return told + [str(change) for change in self.changes]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "on": self.on.isoformat(),
            "checked_on": self.checked_on.isoformat(),
            "url": self.url,
            "listed": list(self.listed),
            "new": [card_to_row(card) for card in self.new],
            "gone": list(self.gone),
            "back": list(self.back),
            "changes": [
                {
                    "model": change.model,
                    "kind": change.kind,
                    "field": change.field,
                    "before": change.before,
                    "after": change.after,
                }
                for change in self.changes
            ],
            "account_only": _listed(self.account_only),
            "account_missing": _listed(self.account_missing),
        }

    # ------------------------------------------------------------------ for maintainers

    def to_rows(
        self, *, source: str | None = None, on: date | None = None
    ) -> list[dict[str, Any]]:
        """Return rows of `models.json` with what the list tells, ready to be put in.

        Whole rows, of the models that differ alone. A changed price is a new period,
        other changed facts are kept in `changes`, and each names the source. A model
        that is gone is `retired` by the day, with our own advice for its successor.

        Args:
            source: The key of the source that the facts name; see `source_row`. By
                default `public-models-` and the day.
            on: The day (UTC) from which they hold; that of the list by default.
        """
        if self._snapshot is None or self._base is None:
            return []
        snapshot = self._snapshot if on is None else replace(self._snapshot, on=on)
        merged, sources = merge_snapshots(self._base.cards, [snapshot])
        written = [self._finish(card, snapshot) for card in merged]
        table = make_table(self._base, written, sources)
        advised = [_advise(card, table, snapshot) for card in written]
        differs = {change.model for change in self.changes}
        wanted = {*differs, *(card.id for card in self.new), *self.gone, *self.back}
        rows = [
            card_to_row(card)
            for card, before in zip(advised, written, strict=True)
            if card.id in wanted or card is not before
        ]
        key = source or snapshot.source
        return [_renamed(row, snapshot.source, key) for row in rows]

    def source_row(
        self, *, on: date | None = None, title: str | None = None
    ) -> dict[str, Any]:
        """Return the entry of `models.json` for the source that `to_rows` names."""
        if self._snapshot is None:
            return {}
        snapshot = self._snapshot if on is None else replace(self._snapshot, on=on)
        found = make_source(snapshot)
        return source_to_row(found if title is None else replace(found, title=title))

    def apply_to(
        self, text: str, *, source: str | None = None, on: date | None = None
    ) -> str:
        """Return the text of `models.json` with the rows and their source put in.

        Whatever did not change stays as it is written, so that the commit shows what
        the list told and nothing else.

        Args:
            text: The file's text.
            source: As in `to_rows`.
            on: As in `to_rows`.
        """
        day = on or self.on
        key = source or f"public-models-{day}"
        rows = self.to_rows(source=key, on=day)
        sources = {key: self.source_row(on=day)} if rows else {}
        return put_rows(text, rows, sources, day)

    def _finish(self, card: ModelCard, snapshot: Snapshot) -> ModelCard:
        """Return a card as a maintainer would write it down, but for our advice."""
        card = replace(card, live=())
        if card.id in self.gone:
            return _retired(card, snapshot)
        if card.id in self.back:
            return _returned(card, snapshot)
        flagged = {change.model for change in self.of_kind("deprecated")}
        if card.id in flagged:
            return _noted(
                card,
                snapshot,
                deprecation_announced=snapshot.on,
                deprecation_precision="by",
            )
        return card


def _retired(card: ModelCard, snapshot: Snapshot) -> ModelCard:
    """Write down that a model was gone by a day."""
    said = f"Absent from the public list of {snapshot.on}; its end was not announced."
    if card.retired_on is not None:
        said = (
            f"Absent from the public list of {snapshot.on}; its end had been announced "
            f"for {card.retired_on}."
        )
    return _noted(
        card,
        snapshot,
        status="retired",
        status_as_of=snapshot.on,
        retired_on=snapshot.on,
        retired_precision="by",
        changes=tuple(one for one in card.changes if one.field != "status"),
        notes=(*card.notes, said),
    )


def _returned(card: ModelCard, snapshot: Snapshot) -> ModelCard:
    """Write down that a model is served again; that it had ended stays known."""
    dates = ("deprecation_announced", "retired_on")
    ended = [(name, getattr(card, name)) for name in dates]
    changes = [
        Change(snapshot.on, name, day.isoformat(), None, snapshot.source)
        for name, day in ended
        if day is not None
    ]
    return _noted(
        card,
        snapshot,
        status="active",
        deprecation_announced=None,
        retired_on=None,
        replacement_current=None,
        replacement_basis=None,
        changes=(*card.changes, *changes),
    )


def _noted(card: ModelCard, snapshot: Snapshot, **facts: Any) -> ModelCard:
    """Return a card with other facts, each with the snapshot for its source."""
    keys = {
        name: (snapshot.source,)
        for name, value in facts.items()
        if name not in WITHOUT_SOURCE and value is not None
    }
    return replace(card, **facts, sources={**card.sources, **keys})


def _advise(card: ModelCard, table: Table, snapshot: Snapshot) -> ModelCard:
    """Return a card whose advice is a model that is served; itself, if it is."""
    on = snapshot.on
    advised = table.by_name.get(card.replacement_current or "")
    is_served = advised is not None and stage_of(advised, on) in _SERVED
    if is_served or not is_ending(card):
        return card
    found = find_successor(card, on, table, table)
    return _noted(
        card,
        snapshot,
        replacement_current=found.model,
        replacement_basis={"vendor": "vendor", "us": "advice", None: None}[
            found.named_by
        ],
    )


def make_diff(base: Table, snapshot: Snapshot) -> CatalogDiff:
    """Compare a live list with the packaged data."""
    live = {model.id: model for model in snapshot.models}
    day = snapshot.on
    gone: list[str] = []
    back: list[str] = []
    changes: list[ModelChange] = []
    for card in base.cards:
        was_served = stage_of(card, day) in _SERVED
        if was_served and not is_listed(card, snapshot):
            gone.append(card.id)
        found = find_live(card, live)
        if found is None:
            continue
        live.pop(found.id)
        if not was_served:
            back.append(card.id)
        changes += [_of_model(card, one) for one in changes_of(card, found, snapshot)]
        if found.deprecated and stage_of(card, day) == "active":
            changes.append(
                ModelChange(
                    card.id, "deprecated", "deprecated", before=False, after=True
                )
            )
    listed = tuple(model.id for model in snapshot.models)
    account = snapshot.account
    return CatalogDiff(
        on=day,
        checked_on=base.checked_on,
        url=snapshot.url,
        listed=listed,
        new=tuple(new_card(model, snapshot) for model in live.values()),
        gone=tuple(gone),
        back=tuple(back),
        changes=tuple(changes),
        account_only=None
        if account is None
        else tuple(name for name in account if name not in listed),
        account_missing=None
        if account is None
        else tuple(name for name in listed if name not in account),
        _snapshot=snapshot,
        _base=base,
    )


def _of_model(card: ModelCard, change: Change) -> ModelChange:
    name = change.field.partition(".")[0]
    kinds: dict[str, ChangeKind] = {
        "price": "price",
        "capabilities": "capability",
        "reasoning": "capability",
        "release_stage": "stage",
    }
    kind = kinds.get(name, "limit")
    return ModelChange(card.id, kind, change.field, change.before, change.after)


def _renamed(row: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    """Name another key of a source wherever a row names one."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        return after if value == before else value

    renamed: dict[str, Any] = walk(row)
    return renamed


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
