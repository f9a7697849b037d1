"""Says which install line brings what the dashboard needs."""

from __future__ import annotations

import importlib.util

__all__ = ["require_dashboard_extra"]

_NEEDED = ("starlette", "uvicorn", "sqlalchemy")


def require_dashboard_extra() -> None:
    """Check that the extra `dashboard` is installed.

    Raises:
        MissingExtraError: It is not.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        from langchain_cerebras_ext.errors import MissingExtraError

        msg = (
            f"The dashboard needs {', '.join(missing)}. "
            "Run: pip install 'langchain-cerebras-ext[dashboard]'"
        )
        raise MissingExtraError(msg)
