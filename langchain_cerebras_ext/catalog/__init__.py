"""The model catalog: what is served, what it can do, what it costs, when it ends.

Facts are rows in `models.json`, with dates and sources; code only looks them up. The
table is read on first use, not at import.

Example:
    >>> from langchain_cerebras_ext.catalog import get_model
    >>> get_model("gpt-oss-120b").reasoning.efforts
    ('low', 'medium', 'high')
"""

from __future__ import annotations

from langchain_cerebras_ext.catalog.lookup import (
    find_model,
    get_model,
    list_models,
    source,
    suggest,
)
from langchain_cerebras_ext.catalog.models import (
    Capabilities,
    ImageRules,
    ImageTokenRule,
    Limits,
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

__all__ = [
    "Capabilities",
    "ImageRules",
    "ImageTokenRule",
    "Limits",
    "ModelCard",
    "OtherName",
    "Price",
    "RateLimit",
    "ReasoningSupport",
    "Sampling",
    "Scaffold",
    "Sighting",
    "Source",
    "UnknownModelError",
    "find_model",
    "get_model",
    "list_models",
    "source",
    "suggest",
]
