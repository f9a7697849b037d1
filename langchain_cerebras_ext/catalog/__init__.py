"""The model catalog: what is served, what it can do, what it costs, when it ends.

Facts are rows in `models.json`, with dates and sources; code only looks them up. The
table is read on first use, not at import; the service is asked by `refresh` alone.
Every question about time takes a day (`on=`, `as_of=`), which is a day in UTC and today
if it is left out.

Example:
    >>> from langchain_cerebras_ext.catalog import get_model
    >>> get_model("gpt-oss-120b").reasoning.efforts
    ('low', 'medium', 'high')
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.catalog.lookup import (
    find_model,
    get_model,
    list_models,
    source,
    suggest,
)
from langchain_cerebras_ext.catalog.models import (
    Capabilities,
    Change,
    ImageRules,
    ImageTokenRule,
    Limits,
    LiveSighting,
    ModelCard,
    OtherName,
    Price,
    RateLimit,
    ReasoningSupport,
    Sampling,
    Scaffold,
    Sighting,
    Source,
    UnknownModelError,
)

if TYPE_CHECKING:
    from langchain_cerebras_ext.catalog._choice import (
        Quote,
        Recommendation,
        cheapest,
        quotes,
        recommend,
    )
    from langchain_cerebras_ext.catalog._compare import Comparison, Difference, compare
    from langchain_cerebras_ext.catalog._diff import CatalogDiff, ModelChange
    from langchain_cerebras_ext.catalog._lifecycle import (
        Lifecycle,
        Successor,
        successor,
    )
    from langchain_cerebras_ext.catalog._notices import (
        Notice,
        deprecation_notice,
        parameter_notice,
    )
    from langchain_cerebras_ext.catalog._own import register_model, unregister_model
    from langchain_cerebras_ext.catalog._parameters import (
        ParameterCard,
        ParameterLifecycle,
        ServiceChange,
        explain_reasoning_parameter,
        find_parameter,
        list_parameters,
        list_service_changes,
    )
    from langchain_cerebras_ext.catalog._refresh import (
        check_source,
        refresh,
        reload,
        use_packaged,
    )

__all__ = [
    "Capabilities",
    "CatalogDiff",
    "Change",
    "Comparison",
    "Difference",
    "ImageRules",
    "ImageTokenRule",
    "Lifecycle",
    "Limits",
    "LiveSighting",
    "ModelCard",
    "ModelChange",
    "Notice",
    "OtherName",
    "ParameterCard",
    "ParameterLifecycle",
    "Price",
    "Quote",
    "RateLimit",
    "ReasoningSupport",
    "Recommendation",
    "Sampling",
    "Scaffold",
    "ServiceChange",
    "Sighting",
    "Source",
    "Successor",
    "UnknownModelError",
    "cheapest",
    "check_source",
    "compare",
    "deprecation_notice",
    "explain_reasoning_parameter",
    "find_model",
    "find_parameter",
    "get_model",
    "list_models",
    "list_parameters",
    "list_service_changes",
    "parameter_notice",
    "quotes",
    "recommend",
    "refresh",
    "register_model",
    "reload",
    "source",
    "successor",
    "suggest",
    "unregister_model",
    "use_packaged",
]

# Loaded when first used: a chat needs the look-ups above and nothing else.
_HOMES = {
    "CatalogDiff": "_diff",
    "Comparison": "_compare",
    "Difference": "_compare",
    "Lifecycle": "_lifecycle",
    "ModelChange": "_diff",
    "Notice": "_notices",
    "ParameterCard": "_parameters",
    "ParameterLifecycle": "_parameters",
    "Quote": "_choice",
    "Recommendation": "_choice",
    "ServiceChange": "_parameters",
    "Successor": "_lifecycle",
    "cheapest": "_choice",
    "check_source": "_refresh",
    "compare": "_compare",
    "deprecation_notice": "_notices",
    "explain_reasoning_parameter": "_parameters",
    "find_parameter": "_parameters",
    "list_parameters": "_parameters",
    "list_service_changes": "_parameters",
    "parameter_notice": "_notices",
    "quotes": "_choice",
    "recommend": "_choice",
    "refresh": "_refresh",
    "register_model": "_own",
    "reload": "_refresh",
    "successor": "_lifecycle",
    "unregister_model": "_own",
    "use_packaged": "_refresh",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
