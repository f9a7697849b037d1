"""Cerebras Inference for LangChain.

The names below are loaded when they are first used, so that importing the package
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from langchain_cerebras_ext._version import __version__

if TYPE_CHECKING:
    from langchain_cerebras_ext._register import register_with_langchain
    from langchain_cerebras_ext.chat_models import ChatCerebras
    from langchain_cerebras_ext.costs.budget import Budget
    from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
    from langchain_cerebras_ext.errors import CerebrasDeprecationWarning
    from langchain_cerebras_ext.llms import CerebrasLLM
    from langchain_cerebras_ext.routing.factory import create_chat_model
    from langchain_cerebras_ext.routing.router import ChatRouter

__all__ = [
    "Budget",
    "CerebrasDeprecationWarning",
    "CerebrasLLM",
    "ChatCerebras",
    "ChatRouter",
    "CostTracker",
    "__version__",
    "create_chat_model",
    "register_with_langchain",
    "track_costs",
]

_HOMES = {
    "Budget": "costs.budget",
    "CerebrasDeprecationWarning": "errors",
    "CerebrasLLM": "llms",
    "ChatCerebras": "chat_models",
    "ChatRouter": "routing.router",
    "CostTracker": "costs.tracker",
    "create_chat_model": "routing.factory",
    "register_with_langchain": "_register",
    "track_costs": "costs.tracker",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
