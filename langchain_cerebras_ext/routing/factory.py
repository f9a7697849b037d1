"""`create_chat_model`: a chat model by its name, whoever's it is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.errors import MissingExtraError
from langchain_cerebras_ext.routing._target import parse_name
from langchain_cerebras_ext.routing.providers import get_provider

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

__all__ = ["clear_cache", "create_chat_model"]


def create_chat_model(name: str | None = None, **kwargs: Any) -> BaseChatModel:
    """Return the chat model of a name; first version, without cache."""
    target = parse_name(name or "gpt-oss-120b")
    row = get_provider(target.provider)
    if isinstance(row.make, str):
        module, _, attribute = row.make.partition(":")
        made: BaseChatModel = getattr(import_module(module), attribute)(
            model=target.model, **kwargs
        )
        return made
    if row.make is not None:
        return row.make(model=target.model, **kwargs)
    try:
        from langchain.chat_models import init_chat_model

        return init_chat_model(
            target.model, model_provider=row.langchain_name, **kwargs
        )
    except ImportError as error:
        raise MissingExtraError(str(error)) from error


def clear_cache() -> None:
    """Forget the instances."""
