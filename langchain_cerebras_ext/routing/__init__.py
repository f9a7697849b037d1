"""One name for every model, and one chat model over several.

`create_chat_model("provider::model")` makes a chat model of any provider, or the one
that the environment names. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_cerebras_ext.routing._target import Target, parse_name
    from langchain_cerebras_ext.routing.configurable import ConfigurableChatModel
    from langchain_cerebras_ext.routing.factory import clear_cache, create_chat_model
    from langchain_cerebras_ext.routing.providers import (
        Provider,
        Setting,
        Suggestion,
        get_provider,
        list_providers,
        register_provider,
        unregister_provider,
    )

__all__ = [
    "ConfigurableChatModel",
    "Provider",
    "Setting",
    "Suggestion",
    "Target",
    "clear_cache",
    "create_chat_model",
    "get_provider",
    "list_providers",
    "parse_name",
    "register_provider",
    "unregister_provider",
]

_HOMES = {
    "ConfigurableChatModel": "configurable",
    "Provider": "providers",
    "Setting": "providers",
    "Suggestion": "providers",
    "Target": "_target",
    "clear_cache": "factory",
    "create_chat_model": "factory",
    "get_provider": "providers",
    "list_providers": "providers",
    "parse_name": "_target",
    "register_provider": "providers",
    "unregister_provider": "providers",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
