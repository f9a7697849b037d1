"""How somebody who waits is woken: a thread, or a task of any event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Protocol

__all__ = ["Signal", "TaskSignal", "ThreadSignal"]


class Signal(Protocol):
    """Wakes one who waits."""

    def wake(self) -> None:
        """Make it look; may be called by any thread."""
        ...


class ThreadSignal:
    """Wakes a thread.

    Attributes:
        event: What the thread waits for.
    """

    __slots__ = ("__weakref__", "event")

    def __init__(self) -> None:
        self.event = threading.Event()

    def wake(self) -> None:
        """Make it look; may be called by any thread."""
        self.event.set()


class TaskSignal:
    """Wakes a task; made in the task's own loop.

    Attributes:
        event: What the task waits for.
    """

    __slots__ = ("__weakref__", "_loop", "event")

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Make it look; may be called by any thread."""
        # A loop that was closed has nobody to wake: its tasks leave when collected.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.event.set)
