"""`Watch` sees to one exchange, `Lifecycle` to all of them: time, clients, the end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["Lifecycle", "Reason", "Watch"]

Reason: TypeAlias = Literal[
    "gone", "connect", "first_byte", "idle", "total", "client", "shutdown"
]
"""Why an exchange is broken off: the client left; a limit has passed (`client`: on
its taking what we send); the proxy ends."""

# Most plain answers come sooner, and need nobody who listens for the client's end.
_LISTEN_AFTER_S: Final = 0.015
_SLACK_S: Final = 0.005  # a timer may come a little before its time
_NEVER: Final = float("inf")
_LONGEST_S: Final = 3600.0  # between two looks at the clock


class Watch:
    """Breaks an exchange off when its client leaves, or when it takes too long.

    One timer does for all its limits. It cancels the exchange's task, as
    `asyncio.timeout` does; `caught` tells such a cancellation from others.

    Args:
        receive: ASGI's; the body has been read.
        total_s: For all of it; `None` is without end.
        connect_s: Until an upstream is reached; `expect` sets what comes then.

    Attributes:
        reason: Why it was broken off.
        since: When the upstream was heard last, on the loop's clock.
        is_sending: Whether the client is being waited for, and not the upstream.
    """

    __slots__ = (
        "_deadline",
        "_limit",
        "_limit_s",
        "_listener",
        "_loop",
        "_outer",
        "_receive",
        "_task",
        "_timer",
        "_when",
        "is_sending",
        "reason",
        "since",
    )

    def __init__(
        self,
        receive: Callable[[], Awaitable[Any]],
        total_s: float | None,
        connect_s: float = _NEVER,
    ) -> None:
        loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - a coroutine always runs in one
            msg = "An exchange must run in a task."
            raise RuntimeError(msg)
        self.reason: Reason | None = None
        self.since = now = loop.time()
        self.is_sending = False
        self._task = task
        self._outer = task.cancelling()
        self._receive = receive
        self._deadline = _NEVER if total_s is None else now + total_s
        self._limit: Reason = "connect"
        self._limit_s = connect_s
        self._listener: asyncio.Task[None] | None = None
        self._when = now + _LISTEN_AFTER_S
        self._timer: asyncio.TimerHandle | None = loop.call_at(self._when, self._tick)

    def expect(self, limit: Reason, limit_s: float) -> None:
        """Let another limit hold from now on."""
        self._limit = limit
        self._limit_s = limit_s
        now = self.since = self._loop.time()
        if self._timer is not None and now + limit_s < self._when:
            self._timer.cancel()
            self._set_timer(now + limit_s)

    @property
    def is_connecting(self) -> bool:
        """Whether no upstream has been reached yet."""
        return self._limit == "connect"

    def heard(self) -> None:
        """Note that the upstream has sent something."""
        self.since = self._loop.time()

    def fire(self, reason: Reason) -> None:
        """Break the exchange off; only the first reason counts."""
        if self.reason is None and self._timer is not None:
            self.reason = reason
            self._task.cancel()

    def caught(self) -> bool:
        """Return whether a cancellation was this watch's own; it is undone then."""
        return self.reason is not None and self._task.uncancel() <= self._outer

    def again(self, limit: Reason, limit_s: float) -> None:
        """Watch on after it was broken off, for some last words to the client."""
        self.reason = None
        self.is_sending = True
        self.expect(limit, limit_s)

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def _set_timer(self, when: float) -> None:
        self._when = when
        self._timer = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        if self._listener is None:
            self._listener = self._loop.create_task(self._listen())
        now = self._loop.time()
        due = min(self.since + self._limit_s, self._deadline)
        if now < due - _SLACK_S:
            self._set_timer(min(due, now + _LONGEST_S))
            return
        self._set_timer(now + _LONGEST_S)
        if now >= self._deadline - _SLACK_S:
            self.fire("total")
        else:
            self.fire("client" if self.is_sending else self._limit)

    async def _listen(self) -> None:
        """Wait until the client has left."""
        with contextlib.suppress(OSError):
            while (await self._receive())["type"] != "http.disconnect":  # noqa: ASYNC110
                # Nothing more is due; who tells it at once again must not spin here.
                await asyncio.sleep(_LISTEN_AFTER_S)
        self.fire("gone")


class Lifecycle:
    """What is under way, and how it comes to an end.

    Attributes:
        is_ending: Whether the proxy was told to end.
    """

    def __init__(self, settings: Settings) -> None:
        self.is_ending = False
        self._shutdown_s = settings.shutdown_s
        self._watches: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """How many exchanges are under way."""
        return len(self._watches)

    def add(self, watch: Watch) -> None:
        """Note that an exchange has begun."""
        self._watches.add(watch)

    def remove(self, watch: Watch) -> None:
        """Note that it has ended."""
        self._watches.discard(watch)

    def begin_shutdown(self, within_s: float | None = None) -> None:
        """Be not ready any more; what is under way has so long to end.

        Args:
            within_s: In place of the setting.
        """
        if self.is_ending:
            return
        self.is_ending = True
        limit_s = self._shutdown_s if within_s is None else within_s
        self._timer = asyncio.get_running_loop().call_later(limit_s, self.cut)

    def cut(self) -> None:
        """Break off what is under way."""
        for watch in tuple(self._watches):
            watch.fire("shutdown")

    def close(self) -> None:
        """Forget the deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
