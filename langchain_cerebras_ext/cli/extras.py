"""Says which install line brings what a command needs. Imports nothing heavy."""

from __future__ import annotations

import importlib.util
from typing import Final

NEEDS: Final = {
    "cli": ("typer", "rich"),
    "simulator": ("starlette", "uvicorn", "jsonschema"),
    "demo": ("langchain", "langgraph", "typer", "rich", "starlette", "uvicorn"),
}
"""For each extra the modules that it brings, as far as they tell it from the core."""


def missing_line(extra: str) -> str | None:
    """Return what to say if an extra is not installed; `None` if it is.

    Args:
        extra: A key of `NEEDS`.
    """
    missing = [name for name in NEEDS[extra] if not _is_there(name)]
    if not missing:
        return None
    return (
        f"This needs {', '.join(missing)}. "
        f"Run: pip install 'langchain-cerebras-ext[{extra}]'"
    )


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def require_extra(extra: str) -> None:
    """Check that an extra is installed.

    Raises:
        MissingExtraError: It is not; says the line that installs it.
    """
    line = missing_line(extra)
    if line is not None:
        from langchain_cerebras_ext.errors import MissingExtraError

        raise MissingExtraError(line)
