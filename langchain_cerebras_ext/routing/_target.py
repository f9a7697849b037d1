"""Which model of which provider a name means; pure, but for the table of providers.

`provider::model` is split at the first `::`. A single `:` splits only where its left
side is a provider: `llama3.1:8b` and `x/y:free` are models' names. A `/` never splits:
`openai/gpt-oss-120b` is a name inside a provider, as OpenRouter's are.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from langchain_cerebras_ext.catalog import find_model
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing.providers import (
    CEREBRAS,
    find_provider,
    get_provider,
)

__all__ = ["Target", "parse_name"]

# Whose a bare name looks like. It is said, never acted upon: a name that merely looks
# like another company's model sends nothing there.
_LOOKS: Final = (
    (re.compile(r"(models/)?gemini-"), "google"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"(chatgpt-|gpt-\d|o[1-9](-|$)|text-davinci)"), "openai"),
    (re.compile(r"grok-"), "xai"),
    (re.compile(r"(mi(s|x)tral|magistral|codestral|ministral)-"), "mistral"),
    (re.compile(r"deepseek-(chat|reasoner|flash)"), "deepseek"),
    (re.compile(r"accounts/fireworks/"), "fireworks"),
)


class Target(NamedTuple):
    """A model of a provider.

    Attributes:
        provider: The provider's name in `list_providers`.
        model: The model's id, as that provider has it.
    """

    provider: str
    model: str

    def __str__(self) -> str:
        """Return the name that means this model: `provider::model`."""
        return f"{self.provider}::{self.model}"


def parse_name(name: str, *, default: str | None = None) -> Target:
    """Return what a name means.

    Case and blanks around a provider's name do not count.

    Args:
        name: `provider::model`, `provider:model`, or a bare id. A bare id that the
            catalog knows is Cerebras's, whatever the default.
        default: The provider of other bare ids. `None` is Cerebras, and then an id that
            looks like another company's is an error.

    Raises:
        CerebrasConfigurationError: The name is empty or incomplete, or there is no such
            provider; the nearest is named.

    Example:
        >>> parse_name("openrouter::anthropic/claude-sonnet-5.5")
        Target(provider='openrouter', model='anthropic/claude-sonnet-5.5')
        >>> parse_name("gpt-oss-120b").provider
        'cerebras'
    """
    if not isinstance(name, str):
        msg = (
            f"A model's name is a text such as 'cerebras::gpt-oss-120b', not a "
            f"{type(name).__name__}."
        )
        raise CerebrasConfigurationError(msg)
    text = name.strip()
    if "::" in text:
        left, _, model = text.partition("::")
        return _checked(get_provider(left).name, model, name)
    left, colon, model = text.partition(":")
    row = find_provider(left) if colon else None
    if row is not None:
        return _checked(row.name, model, name)
    return _bare(text, default)


def _checked(provider: str, model: str, name: str) -> Target:
    model = model.strip()
    if not model:
        row = get_provider(provider)
        msg = f"{name!r} names no model.{row.say_example()}"
        raise CerebrasConfigurationError(msg)
    return Target(provider, model)


def _bare(model: str, default: str | None) -> Target:
    if not model:
        msg = "The model's name is empty; name one, such as 'cerebras::gpt-oss-120b'."
        raise CerebrasConfigurationError(msg)
    for known in (model, model.lower()):
        if find_model(known) is not None:
            return Target(CEREBRAS, known)
    if default is not None:
        return Target(default, model)
    looks = _whose(model)
    if looks is not None:
        msg = (
            f"{model!r} is no model of Cerebras. With its provider before it a name "
            f"is clear: '{looks}::{model}'."
        )
        raise CerebrasConfigurationError(msg)
    return Target(CEREBRAS, model)


def _whose(model: str) -> str | None:
    text = model.lower()
    return next((name for look, name in _LOOKS if look.match(text)), None)
