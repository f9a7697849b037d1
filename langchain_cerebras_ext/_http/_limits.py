"""The time limits of one call, as times on a monotonic clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_cerebras_ext._http._options import Timeouts

__all__ = ["LimitError", "Limits"]

_INFINITE = float("inf")
_CLOCK_SLACK_S = 0.01  # a wait may end a little before its time


class LimitError(Exception):
    """A time limit passed; never leaves the transport."""

    def __init__(self, kind: str, limit_s: float | None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.limit_s = limit_s


class Limits:
    """When the next byte and the whole call are due.

    Attributes:
        connect_s: How long connecting may take.
        idle_s: How long to wait for the next byte.
        deadline: When the call must have ended.
    """

    __slots__ = ("_timeouts", "connect_s", "deadline", "idle_s")

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        total_s = timeouts.total_s
        self._timeouts = timeouts
        self.connect_s = timeouts.connect_s
        self.deadline = _INFINITE if total_s is None else now + total_s
        until_body_s = timeouts.until_body_s
        self.idle_s = _INFINITE if until_body_s is None else until_body_s

    def body_started(self) -> None:
        """Go from the limit before the body to that within it."""
        read_s = self._timeouts.read_s
        self.idle_s = _INFINITE if read_s is None else read_s

    def wait_s(self, now: float) -> float | None:
        """Return how long the next read may wait; `None` is for ever.

        Raises:
            LimitError: The whole call's time is over.
        """
        left_s = self.deadline - now
        if left_s <= 0:
            raise LimitError(kind="total", limit_s=self._timeouts.total_s)
        wait_s = min(self.idle_s, left_s)
        return None if wait_s == _INFINITE else wait_s

    def connect_wait_s(self, now: float) -> float | None:
        """Return how long connecting may take.

        Raises:
            LimitError: The whole call's time is over.
        """
        left_s = self.deadline - now
        if left_s <= 0:
            raise LimitError(kind="total", limit_s=self._timeouts.total_s)
        if self.connect_s is not None:
            return min(self.connect_s, left_s)
        return None if left_s == _INFINITE else left_s

    def passed(self, now: float) -> LimitError:
        """Say which limit a wait ran into."""
        if now >= self.deadline - _CLOCK_SLACK_S:
            return LimitError(kind="total", limit_s=self._timeouts.total_s)
        return LimitError(kind="idle", limit_s=self.idle_s)

    def connect_passed(self, now: float) -> LimitError:
        """Say which limit connecting ran into."""
        if now >= self.deadline - _CLOCK_SLACK_S:
            return LimitError(kind="total", limit_s=self._timeouts.total_s)
        return LimitError(kind="connect", limit_s=self.connect_s)
