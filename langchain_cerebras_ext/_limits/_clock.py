"""Time as the limiter sees it: replaceable, so that tests of an hour take no time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What the limiter asks of a clock."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> None:
        """Wait until an event is set, or for so long; one may return early."""
        ...

    async def await_event(self, event: asyncio.Event, timeout_s: float) -> None:
        """Wait until an event is set, or for so long; one may return early."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float) -> None:
        """Wait until an event is set, or for so long."""
        event.wait(min(timeout_s, _LONGEST_S))

    async def await_event(self, event: asyncio.Event, timeout_s: float) -> None:
        """Wait until an event is set, or for so long."""
        try:
            async with asyncio.timeout(min(timeout_s, _LONGEST_S)):
                await event.wait()
        except TimeoutError:
            pass


# Some platforms cannot wait longer; who waits looks again after it.
_LONGEST_S = 86_400.0
