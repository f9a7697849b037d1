"""Warnings that point at the user's own line."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_user"]

# Frames of these packages lie between the user's line and ours.
_BETWEEN = {
    "anyio",
    "asyncio",
    "concurrent",
    "contextlib",
    "langchain",
    "langchain_cerebras_ext",
    "langchain_classic",
    "langchain_core",
    "langgraph",
    "langsmith",
    "pydantic",
    "tenacity",
    "threading",
}


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the nearest frame that is neither ours nor of a framework."""
    warnings.warn(message, category, stacklevel=_level() + 1)


def _level() -> int:
    """Return the `stacklevel`, as seen from our caller, of the user's frame."""
    level = 0
    frame = sys._getframe(1)  # noqa: SLF001 - what `warnings` itself reads
    while frame:  # the outermost is a script's own code
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in _BETWEEN:
            return level
        frame = frame.f_back  # type: ignore[assignment] # None at the end
        level += 1
    return 1
