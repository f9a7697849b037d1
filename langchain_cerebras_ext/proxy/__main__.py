"""`python -m langchain_cerebras_ext.proxy`: the proxy by its environment alone."""

from __future__ import annotations

import sys

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy.server import serve
from langchain_cerebras_ext.proxy.settings import Settings

_WRONG_USE = 2


def main() -> int:
    """Serve, and return the exit code: 0, or 2 where a setting is wrong."""
    try:
        serve(Settings.load())
    except CerebrasConfigurationError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return _WRONG_USE
    return 0


if __name__ == "__main__":
    sys.exit(main())
