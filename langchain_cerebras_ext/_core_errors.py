"""LangChain's classes of errors as parents of ours, without importing LangChain.

The parents are stand-ins of the same names. Once a program has imported
`langchain_core.exceptions`, each stand-in becomes a subclass of the class that it
stands for, and with it every class of ours and every instance: `except
ModelRateLimitError` catches a `RateLimitError`. Programs without LangChain, such as
the proxy, never load it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

__all__ = [
    "ContextOverflowError",
    "ModelAPIError",
    "ModelAuthenticationError",
    "ModelConnectionError",
    "ModelError",
    "ModelInvalidRequestError",
    "ModelNotFoundError",
    "ModelPermissionDeniedError",
    "ModelRateLimitError",
    "ModelTimeoutError",
    "OutputParserException",
    "join_langchain",
]

if TYPE_CHECKING:
    from langchain_core.exceptions import (
        ContextOverflowError,
        ModelAPIError,
        ModelAuthenticationError,
        ModelConnectionError,
        ModelError,
        ModelInvalidRequestError,
        ModelNotFoundError,
        ModelPermissionDeniedError,
        ModelRateLimitError,
        ModelTimeoutError,
        OutputParserException,
    )
else:
    # Parents are only exchanged for others made in Python: not for built-in ones.
    _Error = type("_Error", (Exception,), {})
    _ValueError = type("_ValueError", (ValueError,), {})

    class ModelError(_Error):
        """Stands for the class of that name, as do those below."""

    class OutputParserException(_ValueError):  # noqa: N818 - LangChain's name
        """Its initialiser is not ours: `CerebrasError` calls none of its parents'."""

    ContextOverflowError = type("ContextOverflowError", (ModelError,), {})
    ModelAPIError = type("ModelAPIError", (ModelError,), {})
    ModelAuthenticationError = type("ModelAuthenticationError", (ModelError,), {})
    ModelConnectionError = type("ModelConnectionError", (ModelError,), {})
    ModelInvalidRequestError = type("ModelInvalidRequestError", (ModelError,), {})
    ModelNotFoundError = type("ModelNotFoundError", (ModelError,), {})
    ModelPermissionDeniedError = type("ModelPermissionDeniedError", (ModelError,), {})
    ModelRateLimitError = type("ModelRateLimitError", (ModelError,), {})
    ModelTimeoutError = type("ModelTimeoutError", (ModelError,), {})

# The root first: the others are joined below it.
_STAND_INS: tuple[type[Exception], ...] = (
    ModelError,
    OutputParserException,
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)


def join_langchain() -> None:
    """Make each stand-in a subclass of its original, if that has been imported."""
    if (core := sys.modules.get("langchain_core.exceptions")) is None:
        return
    for one in _STAND_INS:
        theirs = getattr(core, one.__name__, None)  # None while it is being imported
        if theirs is not None and theirs not in one.__mro__:
            one.__bases__ = _bases(one, theirs)


def _bases(one: type[Exception], theirs: type[Exception]) -> tuple[type, ...]:
    """Return the parents with the original last, in place of what it was made from."""
    return (*(own for own in one.__bases__ if own in _STAND_INS), theirs)
