"""Says which install line brings what the simulator needs."""

from __future__ import annotations

import importlib.util

_NEEDED = ("starlette", "uvicorn", "jsonschema")


def require_simulator_extra() -> None:
    """Check that the extra `simulator` is installed.

    Raises:
        MissingExtraError: It is not.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        from langchain_cerebras_ext.errors import MissingExtraError

        msg = (
            f"The simulator needs {', '.join(missing)}. "
            "Run: pip install 'langchain-cerebras-ext[simulator]'"
        )
        raise MissingExtraError(msg)
