"""Where the live lists that were read are kept on this machine.

Apart from `_cache`, so that a process that has none pays for one look and no more.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["ENV_CACHE", "cache_dir", "kept_files"]

ENV_CACHE = "CEREBRAS_CACHE_DIR"


def cache_dir() -> Path | None:
    """Return the folder of what is kept; `None` if the machine has no place for it.

    It is a folder of ours in `CEREBRAS_CACHE_DIR`, else where the system keeps caches.
    """
    given = os.environ.get(ENV_CACHE, "").strip()
    try:
        # Not by the library `platformdirs`: importing it takes longer than the table.
        base = Path(given).expanduser() if given else _system_dir()
    except RuntimeError:  # no home
        return None
    return base / "langchain-cerebras-ext" / "catalog"


def _system_dir() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base) if Path(base).is_absolute() else Path.home() / ".cache"


def kept_files() -> list[Path]:
    """Return the files of kept lists, one for each service that was asked."""
    folder = cache_dir()
    try:
        found = [] if folder is None else list(folder.iterdir())
    except OSError:
        return []
    return [
        path
        for path in found
        if path.name.startswith("models-") and path.suffix == ".json"
    ]
