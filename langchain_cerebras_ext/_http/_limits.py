"""The time limits of one call, as times on a monotonic clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_cerebras_ext._http._options import Timeouts

__all__ = ["INFINITE", "LimitError", "Limits"]

INFINITE = float("inf")
_CLOCK_SLACK_S = 0.01  # a wait may end a little before its time


class LimitError(Exception):
    """A time limit passed; never leaves the transport."""

    def __init__(self, kind: str, limit_s: float | None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.limit_s = limit_s


class Limits:
    """When the connection, the next byte and the whole call are due.

    Attributes:
        connect_s: How long connecting may take.
        connecting: Whether that limit holds now, and not the one between bytes.
        deadline: When the call must have ended.
        idle_s: How long to wait for the next byte.
    """

    __slots__ = (
        "__weakref__",
        "_connect_by",
        "_timeouts",
        "connect_s",
        "connecting",
        "deadline",
        "idle_s",
    )

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        total_s = timeouts.total_s
        until_body_s = timeouts.until_body_s
        self._timeouts = timeouts
        self._connect_by = INFINITE
        self.connect_s = timeouts.connect_s
        self.connecting = False
        self.deadline = INFINITE if total_s is None else now + total_s
        self.idle_s = INFINITE if until_body_s is None else until_body_s

    def start_connecting(self, now: float) -> None:
        """Let the limit on connecting hold from now on."""
        self.connecting = True
        self._connect_by = INFINITE if self.connect_s is None else now + self.connect_s

    def body_started(self) -> None:
        """Go from the limit before the body to that within it."""
        read_s = self._timeouts.read_s
        self.idle_s = INFINITE if read_s is None else read_s

    def wait_s(self, now: float) -> float | None:
        """Return how long to wait for the network at most; `None` is for ever.

        Raises:
            LimitError: The time is over.
        """
        wait_s = self.deadline - now
        limit_s = self._connect_by - now if self.connecting else self.idle_s
        wait_s = min(wait_s, limit_s)
        if wait_s <= 0:
            raise self.passed(now)
        return None if wait_s == INFINITE else wait_s

    def passed(self, now: float) -> LimitError:
        """Say which limit a wait ran into."""
        if now >= self.deadline - _CLOCK_SLACK_S:
            return LimitError(kind="total", limit_s=self._timeouts.total_s)
        if self.connecting:
            return LimitError(kind="connect", limit_s=self.connect_s)
        return LimitError(kind="idle", limit_s=self.idle_s)

    def connect_passed(self, now: float) -> LimitError:
        """Say which limit connecting ran into."""
        self.connecting = True
        return self.passed(now)
