"""What is said and done about models and parameters that end.

The catalog knows the dates; here is decided, for a model and its settings, whether to
warn, to refuse or to take the successor. Everything is told once per process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.catalog import (
    deprecation_notice,
    find_model,
    find_parameter,
    list_parameters,
    parameter_notice,
    successor,
)
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.errors import (
    CerebrasDeprecationWarning,
    CerebrasInvalidRequestError,
    ErrorResponse,
    ModelRetiredError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_cerebras_ext.catalog import Notice

__all__ = ["OnDeprecated", "OnRetired", "Rules", "forget", "today"]

OnRetired: TypeAlias = Literal["error", "warn", "migrate"]
OnDeprecated: TypeAlias = Literal["warn", "error", "ignore"]


def today() -> date:
    """Return the day, in UTC."""
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the catalog says of a model on a day, in short.

    Attributes:
        notice: What to tell.
        is_over: Whether the public endpoints serve it no more.
        successor: A model that is served and takes its place, if there is one.
    """

    notice: Notice
    is_over: bool
    successor: str | None


def _judge(model: str, day: date) -> _Verdict | None:
    card = find_model(model)
    notice = deprecation_notice(card, day) if card is not None else None
    if card is None or notice is None:
        return None
    life = card.lifecycle(day)
    found = successor(card, on=day)
    serving = found.model if found.served_from is None else None
    # On its last day a model may still answer.
    is_over = life.is_ended and life.days_left is not None and life.days_left < 0
    return _Verdict(notice, is_over, serving)


class _Judged:
    """Verdicts of one day and one state of the catalog, which both may change."""

    def __init__(self, table: object, day: date) -> None:
        self.table = table
        self.day = day
        self.models: dict[str, _Verdict | None] = {}
        self.parameters = frozenset(card.name for card in list_parameters(on=day))


_judged: list[_Judged] = []


def _judgements(day: date) -> _Judged:
    table = registry.table()
    held = _judged[0] if _judged else None
    if held is None or held.table is not table or held.day != day:
        held = _Judged(table, day)
        _judged[:] = [held]
    return held


_lock = threading.Lock()
_told: set[tuple[str, str]] = set()


def forget() -> None:
    """Forget what was told, so that it is told again; for tests and notebooks."""
    with _lock:
        _told.clear()


def _tell(key: tuple[str, str], text: str) -> None:
    with _lock:
        if key in _told:
            return
        _told.add(key)
    warn_user(text, CerebrasDeprecationWarning)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a model object does about endings.

    Attributes:
        on_retired: For a model that is served no more: `error` raises at a call, before
            anything is sent; `migrate` calls its successor; `warn` only warns.
        on_deprecated: For a model or a parameter whose end is told.
        is_public: Whether the public service is called: elsewhere, as behind a gateway
            or on a dedicated endpoint, the catalog does not know what is served.
        clock: Which day it is.
    """

    on_retired: OnRetired
    on_deprecated: OnDeprecated
    is_public: bool
    clock: Callable[[], date] = today

    def at_construction(self, model: str) -> None:
        """Warn of a model that ends or has ended.

        Raises:
            CerebrasInvalidRequestError: Its end is told, and that is an error here.
        """
        found = self._look_up(model)
        if found is None:
            return
        if found.is_over or self.on_deprecated == "warn":
            _tell(("model", model), str(found.notice))
        elif self.on_deprecated == "error":
            raise CerebrasInvalidRequestError(_refused(found.notice))

    def at_call(self, model: str) -> str:
        """Return the model to call.

        Raises:
            ModelRetiredError: The model is served no more; nothing was sent.
            CerebrasInvalidRequestError: Its end is told, and that is an error here.
        """
        found = self._look_up(model)
        if found is None:
            return model
        if not found.is_over:
            self.at_construction(model)
            return model
        if self.on_retired == "migrate" and found.successor is not None:
            text = f"{found.notice} '{found.successor}' is called in its place."
            _tell(("migrated", model), text)
            return found.successor
        if self.on_retired == "warn" or not self.is_public:
            _tell(("model", model), str(found.notice))
            return model
        msg = (
            f"{found.notice} Nothing was sent. on_retired='migrate' calls the "
            "successor, on_retired='warn' sends it all the same."
        )
        raise ModelRetiredError(
            msg,
            model=model,
            retired_on=found.notice.ends_on,
            replacement=found.notice.replacement,
            attempts=0,
            response=ErrorResponse(0),
        )

    def parameters(self, names: Iterable[str], endpoint: Literal["chat"]) -> None:
        """Warn of parameters that end or have ended.

        Args:
            names: Keys of a request's body.
            endpoint: Where it is sent.

        Raises:
            CerebrasInvalidRequestError: One ends, and that is an error here.
        """
        if self.on_deprecated == "ignore":
            return
        day = self.clock()
        for name in _judgements(day).parameters.intersection(names):
            card = find_parameter(name, on=day, endpoint=endpoint)
            notice = parameter_notice(card, day) if card else None
            if notice is None:
                continue
            if self.on_deprecated == "error":
                raise CerebrasInvalidRequestError(_refused(notice))
            _tell(("parameter", name), str(notice))

    def _look_up(self, model: str) -> _Verdict | None:
        day = self.clock()
        models = _judgements(day).models
        if model not in models:
            models[model] = _judge(model, day)
        return models[model]


def _refused(notice: Notice) -> str:
    return f"{notice} It is refused, since on_deprecated='error'."
