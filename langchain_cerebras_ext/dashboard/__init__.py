"""One page over a ledger of costs, for people.

Example:
    >>> from langchain_cerebras_ext.costs import Ledger
    >>> from langchain_cerebras_ext.dashboard import create_app
    >>> app = create_app(Ledger("sqlite:///costs.db"))  # any ASGI server runs it
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_cerebras_ext.dashboard.app import create_app
    from langchain_cerebras_ext.dashboard.server import serve

__all__ = ["create_app", "serve"]

_HOMES = {"create_app": "app", "serve": "server"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(msg)
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
