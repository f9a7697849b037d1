"""Parameters that are going away, and what changed in the service, as data.

The rows stand in `models.json` beside the models, each fact with its source.
"""

# No `from __future__ import annotations` here: msgspec evaluates the annotations.
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.catalog.models import DatePrecision

if TYPE_CHECKING:
    from langchain_cerebras_ext.catalog.models import ModelCard

__all__ = [
    "ParameterCard",
    "ParameterLifecycle",
    "ServiceChange",
    "explain_reasoning_parameter",
    "find_parameter",
    "list_parameters",
    "list_service_changes",
]

Endpoint = Literal["chat", "completions", "any"]
ParameterStage = Literal["current", "deprecated", "ended"]


@dataclass(frozen=True, slots=True)
class ParameterLifecycle:
    """Where a parameter is in its life on a day.

    Attributes:
        stage: `current` before its end was told, `ended` after its last day.
        on: The day.
        days_left: Days to its last day: 0 on it, negative after it; `None` where no
            end is known.
    """

    stage: ParameterStage
    on: date
    days_left: int | None


@dataclass(frozen=True, slots=True)
class ParameterCard:
    """What is known of a parameter that is deprecated, or of a part of one.

    Attributes:
        name: Its name on the wire.
        kind: Where it stands: a request's parameter or header, a key of a strict
            JSON schema, or a field of the response.
        endpoint: The endpoint that it belongs to.
        value: The value that is deprecated, where others are not.
        deprecation_announced: When that was told, to `deprecation_precision`.
        supported_until: Its last day; `None` where no end is known.
        successor: What to write instead, as in `reasoning_effort="none"`.
        successor_name: The name of that parameter.
        models: The models that took it, where not all did.
        notes: What else is known.
        sources: For each known field the keys of its sources, best first.
    """

    name: str
    kind: Literal["parameter", "header", "schema-key", "response-field"]
    endpoint: Endpoint
    value: str | None = None
    deprecation_announced: date | None = None
    deprecation_precision: DatePrecision = "day"
    supported_until: date | None = None
    successor: str | None = None
    successor_name: str | None = None
    models: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(
        default_factory=dict[str, tuple[str, ...]], repr=False
    )

    def __hash__(self) -> int:
        """Hash by name; `sources` is a dictionary and cannot be hashed."""
        return hash((self.name, self.endpoint))

    def lifecycle(self, on: date | None = None) -> ParameterLifecycle:
        """Tell where in its life the parameter is on a day (UTC), by default today."""
        day = utc_day(on)
        told, until = self.deprecation_announced, self.supported_until
        left = (until - day).days if until is not None else None
        if until is not None and day > until:
            return ParameterLifecycle("ended", day, left)
        if told is not None and day < told:
            return ParameterLifecycle("current", day, None)
        return ParameterLifecycle("deprecated", day, left)


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """A day on which the service began to behave otherwise.

    Attributes:
        on: The day, or the first one.
        what: What changed.
        until: The last day, where it took several.
        planned: Whether only the plan is known, not that it was kept.
        sources: The keys of its sources, best first.
    """

    on: date
    what: str
    until: date | None = None
    planned: bool = False
    sources: tuple[str, ...] = ()


def list_parameters(
    *, on: date | None = None, endpoint: Endpoint | None = None
) -> tuple[ParameterCard, ...]:
    """Return the parameters that are deprecated, or have ended.

    Args:
        on: Only those whose deprecation was told by this day (UTC); not given, all
            that are known now.
        endpoint: Only those of this endpoint, and of any.

    Example:
        >>> [card.name for card in list_parameters(endpoint="completions")]
        ['reasoning_format', 'X-Cerebras-Version-Patch']
    """
    return tuple(
        card
        for card in _rows()[0]
        if (on is None or card.lifecycle(on).stage != "current")
        and (endpoint is None or card.endpoint in {endpoint, "any"})
    )


def find_parameter(
    name: str, *, on: date | None = None, endpoint: Endpoint = "chat"
) -> ParameterCard | None:
    """Return what is known of a deprecated parameter; `None` if it is not one.

    Args:
        name: Its name on the wire. LangChain's `max_tokens` is not one: `ChatCerebras`
            sends it as `max_completion_tokens`.
        on: See it from this day (UTC): before its deprecation was told it is not one.
        endpoint: The endpoint that is called.

    Example:
        >>> find_parameter("disable_reasoning").successor
        'reasoning_effort="none"'
    """
    for card in list_parameters(on=on, endpoint=endpoint):
        if card.name == name:
            return card
    return None


def list_service_changes(*, on: date | None = None) -> tuple[ServiceChange, ...]:
    """Return what changed in the service, oldest first; by a day (UTC), if given."""
    changes = _rows()[1]
    return tuple(one for one in changes if on is None or one.on <= utc_day(on))


def _rows() -> tuple[tuple[ParameterCard, ...], tuple[ServiceChange, ...]]:
    from langchain_cerebras_ext.catalog._table import packaged_table

    table = packaged_table()
    return _decode(table.parameters, table.service_changes)


@lru_cache(maxsize=2)
def _decode(
    parameters: bytes, changes: bytes
) -> tuple[tuple[ParameterCard, ...], tuple[ServiceChange, ...]]:
    import msgspec

    return (
        msgspec.json.decode(parameters, type=tuple[ParameterCard, ...]),
        msgspec.json.decode(changes, type=tuple[ServiceChange, ...]),
    )


# ---------------------------------------------------- other providers' reasoning

_Meaning = Literal["effort", "budget", "switch", "show"]

# Names that other providers and servers use, and what they mean there.
_FOREIGN: dict[str, _Meaning] = {
    "budget_tokens": "budget",
    "chat_template_kwargs": "switch",
    "disable_thinking": "switch",
    "enable_reasoning": "switch",
    "enable_thinking": "switch",
    "exclude_reasoning": "show",
    "extended_thinking": "switch",
    "include_reasoning": "show",
    "include_thoughts": "show",
    "max_reasoning_tokens": "budget",
    "max_thinking_tokens": "budget",
    "reasoning": "effort",
    "reasoning_budget": "budget",
    "reasoning_max_tokens": "budget",
    "reasoning_split": "show",
    "reasoning_summary": "show",
    "think": "switch",
    "thinking": "effort",
    "thinking_budget": "budget",
    "thinking_budget_tokens": "budget",
    "thinking_config": "budget",
    "thinking_level": "effort",
}


def explain_reasoning_parameter(
    name: str, card: "ModelCard | None" = None
) -> str | None:
    """Say what to write in place of another provider's parameter for reasoning.

    Args:
        name: The parameter, as `thinking`, `budget_tokens` or `enable_thinking`.
        card: The model that is called; its efforts and formats are named.

    Returns:
        Sentences; `None` if the name is none that we know of.

    Example:
        >>> from langchain_cerebras_ext.catalog import get_model
        >>> print(explain_reasoning_parameter("thinking", get_model("gpt-oss-120b")))
        Cerebras has no 'thinking'. gpt-oss-120b always reasons; \
reasoning_effort='low', 'medium' or 'high' says how much ('medium' by default).
    """
    meaning = _FOREIGN.get(name)
    if meaning is None:
        return None
    told = [f"Cerebras has no {name!r}."]
    if card is not None and card.reasoning.supported is False:
        return f"{told[0]} {card.id} does not reason; leave it out."
    if meaning == "budget":
        told.append(
            "There is no budget of tokens for reasoning, which counts toward "
            "max_completion_tokens (max_tokens in LangChain)."
        )
    told.append(_about_format(card) if meaning == "show" else _about_efforts(card))
    if card is not None and card.reasoning.clear_thinking and meaning != "show":
        told.append("clear_thinking=False keeps the reasoning of earlier turns.")
    return " ".join(told)


def _about_efforts(card: "ModelCard | None") -> str:
    reasoning = card.reasoning if card is not None else None
    if card is None or reasoning is None or reasoning.efforts is None:
        whose = "the model" if card is None else card.id
        return (
            "How much is thought is set by reasoning_effort='none', 'low', 'medium' or "
            f"'high'; which of these {whose} takes is not known here."
        )
    by_default = ""
    if reasoning.default_effort is not None:
        by_default = f" ({reasoning.default_effort!r} by default)"
    if reasoning.can_disable is False:
        return (
            f"{card.id} always reasons; reasoning_effort="
            f"{_either(reasoning.efforts)} says how much{by_default}."
        )
    if reasoning.efforts == ("none",):
        idle = reasoning.inert_efforts
        return f"{card.id} reasons unless reasoning_effort='none'" + (
            f"; {_either(idle)} make no difference." if idle else "."
        )
    off = "; 'none' switches reasoning off" if "none" in reasoning.efforts else ""
    return (
        f"{card.id} takes reasoning_effort={_either(reasoning.efforts)}{by_default}"
        f"{off}."
    )


def _about_format(card: "ModelCard | None") -> str:
    if card is None or not card.reasoning.formats:
        return (
            "How reasoning is shown is set by reasoning_format='parsed', 'raw' or "
            "'hidden'."
        )
    reasoning = card.reasoning
    text = (
        f"How reasoning is shown is set by reasoning_format; {card.id} takes "
        f"{_either(card.reasoning.formats)}"
    )
    if reasoning.default_format is None:
        return f"{text}."
    return f"{text} ({reasoning.default_format!r} by default)."


def _either(names: tuple[str, ...]) -> str:
    *most, last = map(repr, names)
    return f"{', '.join(most)} or {last}" if most else last
