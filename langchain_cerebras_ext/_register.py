"""Make `init_chat_model("cerebras:...")` know this package, when asked to."""

from __future__ import annotations

from langchain_cerebras_ext.errors import CerebrasConfigurationError, MissingExtraError

__all__ = ["register_with_langchain"]


def register_with_langchain() -> None:
    """Let `langchain.chat_models.init_chat_model` build `ChatCerebras`.

    Afterwards `init_chat_model("cerebras:gpt-oss-120b")`, `model_provider="cerebras"`,
    `create_agent("cerebras:gpt-oss-120b", ...)` and configurable models work. LangChain
    offers no public hook for this, so its private table is changed; that is why this
    is a function to call, and nothing happens at import. Calling it again is harmless.

    Raises:
        MissingExtraError: `langchain` is not installed.
        CerebrasConfigurationError: This version of `langchain` keeps its providers
            elsewhere.
    """
    try:
        from langchain.chat_models import base
    except ImportError as error:
        msg = (
            "register_with_langchain() needs langchain: "
            "pip install 'langchain-cerebras-ext[agents]'"
        )
        raise MissingExtraError(msg) from error
    providers = getattr(base, "_BUILTIN_PROVIDERS", None)
    creator = getattr(base, "_call", None)
    if not isinstance(providers, dict) or creator is None:
        msg = (
            "This version of langchain keeps its table of providers elsewhere, so "
            "'cerebras:...' cannot be registered. Construct ChatCerebras(model=...) "
            "and pass the object instead of its name."
        )
        raise CerebrasConfigurationError(msg)
    providers["cerebras"] = ("langchain_cerebras_ext", "ChatCerebras", creator)
