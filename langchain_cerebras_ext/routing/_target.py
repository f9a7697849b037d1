"""Which model of which provider a name means.

`provider::model` is split at the first `::`. A single `:` splits only where its left
side is a provider: `llama3.1:8b` and `x/y:free` are models' names, and Amazon's
`arn:aws:bedrock:us-east-1::foundation-model/x` is one as well. A `/` never splits:
`openai/gpt-oss-120b` is a name inside a provider, as OpenRouter's are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_cerebras_ext.catalog import find_model
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing.providers import (
    CEREBRAS,
    find_provider,
    get_provider,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models.chat_models import BaseChatModel

    from langchain_cerebras_ext.routing.providers import Provider

__all__ = ["Target", "inside_provider", "name_of", "parse_name"]

# Whose a bare name looks like. It is said, never acted upon: a name that merely looks
# like another company's model sends nothing there.
_LOOKS: Final = (
    (re.compile(r"(models/)?gemini-"), "google"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"chatgpt-|gpt-\d|o[1-9](-|$)|text-davinci"), "openai"),
    (re.compile(r"grok-"), "xai"),
    (re.compile(r"(mis|mix|magis|codes|minis)tral-"), "mistral"),
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


def parse_name(
    name: str, *, default: str | Callable[[], str | None] | None = None
) -> Target:
    """Return what a name means.

    Case and blanks around a provider's name do not count.

    Args:
        name: `provider::model`, `provider:model`, or a bare id. A bare id that the
            catalog knows is Cerebras's, whatever the default.
        default: The provider of other bare ids, or what returns it when it is needed.
            `None` is Cerebras; then an id that looks like another company's is refused.

    Raises:
        CerebrasConfigurationError: The name is empty or incomplete, or there is no such
            provider; the nearest is named.

    Example:
        >>> parse_name("openrouter::anthropic/claude-sonnet-5.5")
        Target(provider='openrouter', model='anthropic/claude-sonnet-5.5')
        >>> parse_name("gpt-oss-120b").provider
        'cerebras'
    """
    text = _text(name)
    row, _, model = _split(text)
    return _bare(text, default) if row is None else _of(row, model, name)


def inside_provider(name: str, row: Provider, said_by: str) -> str:
    """Return the model that a name means where the provider is known already.

    The provider's own name before it is dropped; a `:` means nothing else, since
    names of models have it too.

    Args:
        name: The model's name.
        row: The provider.
        said_by: What gave the name, for errors: a variable or an argument.

    Raises:
        CerebrasConfigurationError: The name is empty, or names another provider.
    """
    text = _text(name)
    other, colons, model = _split(text)
    if other is row:
        text = model
    elif colons == "::":
        msg = (
            f"{said_by}={text!r} names a model of another provider, and the provider "
            f"is {row.name!r}. Name one of its models.{row.say_example()}"
        )
        raise CerebrasConfigurationError(msg)
    return _of(row, text, name).model


def name_of(model: BaseChatModel) -> str:
    """Return `provider::model` as far as a model says it, or its class's name.

    The provider is named as names do it: LangChain's `google_genai` is `google`.
    """
    params = model._get_ls_params()  # noqa: SLF001 - nothing public says it
    provider, name = params.get("ls_provider"), params.get("ls_model_name")
    if not provider or not name:
        return type(model).__name__
    row = find_provider(provider)
    return f"{provider if row is None else row.name}::{name}"


def _split(text: str) -> tuple[Provider | None, str, str]:
    """Return the provider that a name begins with, if it does, colons, and the rest.

    Raises:
        CerebrasConfigurationError: What stands before `::` is no provider.
    """
    left, colons, model = text.partition("::")
    if colons and ":" not in left:
        if not left.strip():
            msg = (
                f"{text!r} names no provider before its '::'; write one, such as "
                f"'cerebras::{model or 'gpt-oss-120b'}'."
            )
            raise CerebrasConfigurationError(msg)
        return get_provider(left), colons, model
    left, colon, model = text.partition(":")
    row = find_provider(left) if colon else None
    return (None, "", text) if row is None else (row, colon, model)


def _text(name: str) -> str:
    if not isinstance(name, str):
        msg = (
            "A model's name is a text such as 'cerebras::gpt-oss-120b', not a "
            f"{type(name).__name__}."
        )
        raise CerebrasConfigurationError(msg)
    return name.strip()


def _of(row: Provider, model: str, name: str) -> Target:
    model = model.strip()
    if not model:
        msg = f"{name!r} names no model.{row.say_example()}"
        raise CerebrasConfigurationError(msg)
    return Target(row.name, (_known(model) or model) if row.name == CEREBRAS else model)


def _known(model: str) -> str | None:
    """Return an id as the catalog has it, if it does; its ids are in lower case."""
    found = (one for one in (model, model.lower()) if find_model(one) is not None)
    return next(found, None)


def _bare(model: str, default: str | Callable[[], str | None] | None) -> Target:
    if not model:
        msg = "The model's name is empty; name one, such as 'cerebras::gpt-oss-120b'."
        raise CerebrasConfigurationError(msg)
    known = _known(model)
    if known is not None:
        return Target(CEREBRAS, known)
    row = find_provider(model)
    if row is not None:
        msg = (
            f"{model!r} is a provider and names no model. Write provider={row.name!r} "
            f"for the model that {row.model_variable} names.{row.say_example()}"
        )
        raise CerebrasConfigurationError(msg)
    chosen = default() if callable(default) else default
    if chosen is not None:
        return Target(chosen, model)
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
