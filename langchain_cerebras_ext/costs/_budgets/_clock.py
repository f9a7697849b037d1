"""A server's clock, as seen from here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ServerClock"]

_SYNC_S: Final = 60.0
_DRIFT_S: Final = 1.0


class ServerClock:
    """Tells a server's time, and asks the server only now and then."""

    def __init__(self) -> None:
        self._synced: tuple[float, float, float] | None = None

    def now_s(self, ask: Callable[[], float]) -> float:
        """Return the server's time in seconds since 1970 (UTC).

        Args:
            ask: Asks the server for it.
        """
        tick, wall = time.monotonic(), time.time()
        if self._synced is not None:
            server_s, at_tick, at_wall = self._synced
            passed_s = tick - at_tick
            # While a machine sleeps its monotonic clock may stand still.
            if passed_s < _SYNC_S and abs(wall - at_wall - passed_s) < _DRIFT_S:
                return server_s + passed_s
        self._synced = (ask(), tick, wall)
        return self._synced[0]

    def forget(self) -> None:
        """Ask the server next time: it may be another one."""
        self._synced = None
