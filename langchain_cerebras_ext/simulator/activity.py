"""How many requests are being answered, to be waited for from another thread."""

from __future__ import annotations

import threading
from typing import Self


class Activity:
    """Counts what is under way; used as a context by each request."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> Self:
        """Count one more."""
        with self._changed:
            self._count += 1
        return self

    def __exit__(self, *_: object) -> None:
        """Count one less."""
        with self._changed:
            self._count -= 1
            if not self._count:
                self._changed.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; say whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, timeout_s)
