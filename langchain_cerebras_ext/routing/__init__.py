"""One name for every model, and one chat model over several.

`create_chat_model("provider::model")` makes a chat model of any provider, or the one
that the environment names. `ChatRouter` asks the next leg where one cannot answer;
`CircuitBreaker`, strategies and `Experiment` choose whom to ask. `compare` puts the
same prompts to several models. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_cerebras_ext.routing._experiment_report import Report
    from langchain_cerebras_ext.routing._target import Target, parse_name
    from langchain_cerebras_ext.routing.breaker import CircuitBreaker
    from langchain_cerebras_ext.routing.capabilities import Capabilities, LegCard
    from langchain_cerebras_ext.routing.comparison import Comparison, acompare, compare
    from langchain_cerebras_ext.routing.configurable import ConfigurableChatModel
    from langchain_cerebras_ext.routing.experiment import (
        Arm,
        Assignment,
        Experiment,
        sample_size,
    )
    from langchain_cerebras_ext.routing.factory import clear_cache, create_chat_model
    from langchain_cerebras_ext.routing.history import portable_messages
    from langchain_cerebras_ext.routing.policy import FallbackPolicy
    from langchain_cerebras_ext.routing.providers import (
        Provider,
        Setting,
        Suggestion,
        get_provider,
        list_providers,
        register_provider,
        unregister_provider,
    )
    from langchain_cerebras_ext.routing.router import ChatRouter
    from langchain_cerebras_ext.routing.strategies import (
        Cheapest,
        Fastest,
        Ordered,
        Weighted,
    )

__all__ = [
    "Arm",
    "Assignment",
    "Capabilities",
    "ChatRouter",
    "Cheapest",
    "CircuitBreaker",
    "Comparison",
    "ConfigurableChatModel",
    "Experiment",
    "FallbackPolicy",
    "Fastest",
    "LegCard",
    "Ordered",
    "Provider",
    "Report",
    "Setting",
    "Suggestion",
    "Target",
    "Weighted",
    "acompare",
    "clear_cache",
    "compare",
    "create_chat_model",
    "get_provider",
    "list_providers",
    "parse_name",
    "portable_messages",
    "register_provider",
    "sample_size",
    "unregister_provider",
]

_HOMES = {
    "Arm": "experiment",
    "Assignment": "experiment",
    "Capabilities": "capabilities",
    "ChatRouter": "router",
    "Cheapest": "strategies",
    "CircuitBreaker": "breaker",
    "Comparison": "comparison",
    "ConfigurableChatModel": "configurable",
    "Experiment": "experiment",
    "FallbackPolicy": "policy",
    "Fastest": "strategies",
    "LegCard": "capabilities",
    "Ordered": "strategies",
    "Provider": "providers",
    "Report": "_experiment_report",
    "Setting": "providers",
    "Suggestion": "providers",
    "Target": "_target",
    "Weighted": "strategies",
    "acompare": "comparison",
    "clear_cache": "factory",
    "compare": "comparison",
    "create_chat_model": "factory",
    "get_provider": "providers",
    "list_providers": "providers",
    "parse_name": "_target",
    "portable_messages": "history",
    "register_provider": "providers",
    "sample_size": "experiment",
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
