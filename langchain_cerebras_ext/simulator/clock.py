"""Time as the simulator sees it: replaceable, so that pacing can be tested."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the simulator asks of a clock."""

    def time(self) -> float:
        """Return seconds since 1970 (UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """Return seconds since 1970 (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait, without blocking the loop."""
        await asyncio.sleep(seconds)
