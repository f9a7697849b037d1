"""An OpenAI-compatible proxy to Cerebras Inference.

Any client of OpenAI's API, in any language, reaches Cerebras through it: one place for
the key, for access, metrics, costs and limits. It needs the extra `proxy`, and does not
import LangChain.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_cerebras_ext.proxy.app import ProxyApp, create_app
    from langchain_cerebras_ext.proxy.settings import Settings, Upstream

__all__ = ["ProxyApp", "Settings", "Upstream", "create_app"]

_HOMES = {
    "ProxyApp": "app",
    "Settings": "settings",
    "Upstream": "settings",
    "create_app": "app",
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
