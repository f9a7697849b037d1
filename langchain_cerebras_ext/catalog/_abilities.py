"""What a model can do, by name: to ask for, to compare, to show."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from langchain_cerebras_ext.catalog.models import Capabilities
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_cerebras_ext.catalog.models import ModelCard

__all__ = ["LABELS", "ability", "has_all", "read_abilities"]

LABELS: dict[str, str] = {
    "tools": "tool calls",
    "parallel_tool_calls": "parallel tool calls",
    "forced_tool_choice": "forced tool choice",
    "strict_tools": "strict tools",
    "structured_outputs": "structured output by a JSON schema",
    "tools_with_response_format": "tools together with response_format",
    "json_mode": "JSON mode",
    "streaming": "streaming",
    "streaming_with_json_object": "streaming of JSON mode",
    "streaming_with_json_schema": "streaming of structured output",
    "streaming_with_tools": "streaming of tool calls",
    "vision": "image input",
    "prompt_caching": "prompt caching",
    "predicted_outputs": "predicted outputs",
    "logprobs": "logprobs",
    "developer_role": "the developer role",
    "reasoning": "reasoning",
    "disable_reasoning": "reasoning that can be switched off",
}
"""What each ability is called in sentences: the fields of `Capabilities`, and two more
that the card's `reasoning` tells."""

_OTHER_NAMES = {
    "caching": "prompt_caching",
    "function_calling": "tools",
    "image_inputs": "vision",
    "images": "vision",
    "json_object": "json_mode",
    "json_schema": "structured_outputs",
    "parallel_tools": "parallel_tool_calls",
    "prediction": "predicted_outputs",
    "strict": "strict_tools",
    "structured_output": "structured_outputs",
    "tool_calling": "tools",
    "tool_choice": "forced_tool_choice",
}
_FIELDS = frozenset(field.name for field in fields(Capabilities))


def read_abilities(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return the abilities that are meant, each once, by their own names.

    Args:
        names: One name or several; names that other products use are understood.

    Raises:
        CerebrasConfigurationError: There is no such ability.
    """
    given = [names] if isinstance(names, str) else list(names)
    wanted: list[str] = []
    for name in given:
        found = _OTHER_NAMES.get(name, name)
        if found not in LABELS:
            raise _unknown(name)
        if found not in wanted:
            wanted.append(found)
    return tuple(wanted)


def _unknown(name: str) -> CerebrasConfigurationError:
    from difflib import get_close_matches

    near = get_close_matches(str(name), [*LABELS, *_OTHER_NAMES], n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    msg = f"There is no capability {name!r}. {hint}They are: {', '.join(LABELS)}."
    return CerebrasConfigurationError(msg)


def ability(card: ModelCard, name: str) -> bool | None:
    """Tell whether a model can do something; `None` where that is not known."""
    if name == "reasoning":
        return card.reasoning.supported
    if name == "disable_reasoning":
        return card.reasoning.can_disable
    value: bool | None = getattr(card.capabilities, name)
    return value


def has_all(card: ModelCard, names: Iterable[str]) -> bool:
    """Tell whether a model is known to be able to do all of these."""
    return all(ability(card, name) is True for name in names)
