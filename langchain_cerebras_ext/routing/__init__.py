"""One name for every model, and one chat model over several.

`create_chat_model("provider::model")` makes a chat model of any provider, or the one
that the environment names. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_cerebras_ext.routing._target import Target, parse_name
    from langchain_cerebras_ext.routing.factory import clear_cache, create_chat_model
    from langchain_cerebras_ext.routing.providers import (
        Provider,
        list_providers,
        register_provider,
    )

__all__ = [
    "Provider",
    "Target",
    "clear_cache",
    "create_chat_model",
    "list_providers",
    "parse_name",
    "register_provider",
]

_HOMES = {
    "Provider": "providers",
    "Target": "_target",
    "clear_cache": "factory",
    "create_chat_model": "factory",
    "list_providers": "providers",
    "parse_name": "_target",
    "register_provider": "providers",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
