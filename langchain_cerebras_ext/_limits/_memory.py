"""The limits of one process: a line of waiters for each model, threads and tasks alike.

Nobody polls, and there is no thread of ours. Whoever changes something (gives tokens
back, leaves the line, or wakes by its own timer) lets go all waiters whose turn it is
and wakes just those, and the new head of the line so that it sets its timer. Strictly
first come, first served: a large request is not overtaken by small ones.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext._limits._buckets import NOTHING, Amounts, BucketSet
from langchain_cerebras_ext._limits._refusals import exceeds, too_long
from langchain_cerebras_ext._limits._reservation import LocalReservation
from langchain_cerebras_ext._limits._signals import TaskSignal, ThreadSignal
from langchain_cerebras_ext._limits._state import BucketState, LimiterState

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_cerebras_ext._limits._buckets import Bucket, Snapshot
    from langchain_cerebras_ext._limits._clock import Clock
    from langchain_cerebras_ext._limits._learning import Closure, Reading
    from langchain_cerebras_ext._limits._numbers import Limit
    from langchain_cerebras_ext._limits._signals import Signal
    from langchain_cerebras_ext.errors import RateLimiterError

__all__ = ["Line"]

_log = logging.getLogger("langchain_cerebras_ext.rate_limiter")

_LOUD_S: Final = 60.0
"""A longer wait is told in the log."""

_SOON_S: Final = 0.001  # not worth waking anybody for


class _Waiter:
    """A place in the line.

    Attributes:
        at: Set when it was let go.
        error: Set when it can never be let go.
        until: When it will look by itself.
        upto: What all have asked for until then, this one included.
    """

    __slots__ = ("_signal", "at", "error", "need", "until", "upto")

    def __init__(self, need: Amounts, signal: Signal) -> None:
        self.need = need
        # Weak: else the task of a loop that was closed would live, and stand in line.
        self._signal = weakref.ref(signal)
        self.at: Snapshot | None = None
        self.error: RateLimiterError | None = None
        self.until = 0.0
        self.upto = NOTHING

    @property
    def done(self) -> bool:
        """Whether it need not wait any longer."""
        return self.at is not None or self.error is not None

    def wake(self) -> None:
        """Make it look."""
        signal = self._signal()
        if signal is not None:
            signal.wake()


class Line:
    """One model's buckets, and who waits for them.

    Args:
        model: Its name, for messages.
        limits: Those that are known.
        clock: Where time comes from.
        latency_s: How long a request, or its answer, is on its way at most.
        learn: Whether answers and refusals change the limits.
    """

    def __init__(
        self,
        model: str,
        limits: tuple[Limit, ...],
        clock: Clock,
        *,
        latency_s: float,
        learn: bool,
    ) -> None:
        self.model = model
        self.limits = limits
        self._clock = clock
        self._now = clock.monotonic
        self._learn = learn
        self._buckets = BucketSet(limits, latency_s=latency_s, learn=learn)
        self._lock = threading.Lock()
        self._waiters: OrderedDict[int, _Waiter] = OrderedDict()
        self._entered = self._let_go = NOTHING
        self._warned_until = 0.0
        # Both are filled by the collector too, which may interrupt whoever holds the
        # lock; whoever has let go of the lock looks after them.
        self._dropped: deque[Amounts] = deque()
        self._left: deque[_Waiter] = deque()

    # -------------------------------------------------------------------- get in

    def reserve(self, need: Amounts, max_wait_s: float | None) -> LocalReservation:
        """Take an amount, after waiting for it if need be.

        Raises:
            RequestExceedsLimitError: It can never fit.
            RateLimiterTimeoutError: It would take longer than `max_wait_s`.
        """
        return LocalReservation(self, need, self.enter(need, max_wait_s))

    async def areserve(
        self, need: Amounts, max_wait_s: float | None
    ) -> LocalReservation:
        """Take an amount, after waiting for it if need be.

        Raises:
            RequestExceedsLimitError: It can never fit.
            RateLimiterTimeoutError: It would take longer than `max_wait_s`.
        """
        return LocalReservation(self, need, await self.aenter(need, max_wait_s))

    def enter(self, need: Amounts, max_wait_s: float | None) -> Snapshot:
        """Take an amount, after waiting for it if need be.

        Raises:
            RequestExceedsLimitError: It can never fit.
            RateLimiterTimeoutError: It would take longer than `max_wait_s`.
        """
        at = self._enter_now(need, max_wait_s)
        if at is not None:
            return at
        signal = ThreadSignal()
        waiter = _Waiter(need, signal)
        steps = self._wait(waiter, max_wait_s)
        try:
            while (timeout_s := next(steps, None)) is not None:
                self._clock.wait(signal.event, timeout_s)
                signal.event.clear()
        finally:
            steps.close()
        return _taken(waiter)

    async def aenter(self, need: Amounts, max_wait_s: float | None) -> Snapshot:
        """Take an amount, after waiting for it if need be.

        Raises:
            RequestExceedsLimitError: It can never fit.
            RateLimiterTimeoutError: It would take longer than `max_wait_s`.
        """
        at = self._enter_now(need, max_wait_s)
        if at is not None:
            return at
        signal = TaskSignal()
        waiter = _Waiter(need, signal)
        steps = self._wait(waiter, max_wait_s)
        try:
            while (timeout_s := next(steps, None)) is not None:
                await self._clock.await_event(signal.event, timeout_s)
                signal.event.clear()
        finally:
            steps.close()
        return _taken(waiter)

    def _enter_now(self, need: Amounts, max_wait_s: float | None) -> Snapshot | None:
        """Take an amount if nobody waits and it is there; refuse what is hopeless."""
        try:
            with self._lock:
                now = self._now()
                buckets = self._buckets
                while self._dropped:
                    buckets.lose(self._dropped.popleft())
                full = buckets.exceeded(need)
                if full is not None:
                    raise self._never_fits(need, full)
                if not self._waiters and buckets.wait_s(now, need) <= 0.0:
                    return buckets.take(now, need)
                if max_wait_s is not None:
                    ahead = len(self._waiters)
                    least = buckets.least_wait_s(now, need, ahead)
                    if least > max_wait_s or max_wait_s <= 0.0:
                        raise too_long(self.model, least, max_wait_s)
        finally:
            if self._left:
                self._look_after_the_lost()
        return None

    def _wait(
        self, waiter: _Waiter, max_wait_s: float | None
    ) -> Generator[float, None, None]:
        """Stand in line; yields how long to wait before the next step.

        However it ends, the place is given up, and what was taken in the meantime by
        somebody who no longer wants it is given back.
        """
        deadline = None if max_wait_s is None else self._now() + max_wait_s
        wanted = False
        with self._lock:
            self._entered = waiter.upto = _plus(self._entered, waiter.need)
            self._waiters[id(waiter)] = waiter
        try:
            while True:
                with self._lock:
                    now = self._now()
                    self._advance(now, waiter)
                    if waiter.done:
                        wanted = True
                        if waiter.at is not None:
                            at = self._buckets.claim(now, waiter.need, waiter.at)
                            waiter.at = at
                        return
                    timeout_s = self._timer_s(now, waiter)
                    if deadline is not None:
                        if now >= deadline:
                            raise self._timed_out(now, waiter, max_wait_s)
                        timeout_s = min(timeout_s, deadline - now)
                    waiter.until = now + timeout_s
                yield timeout_s
        finally:
            if not wanted:
                self._left.append(waiter)
            self._look_after_the_lost()

    def _timer_s(self, now: float, waiter: _Waiter) -> float:
        """Return how long a waiter sleeps, if nobody wakes it.

        The head sleeps until it is its turn. The others are let go by the head or by
        whoever gives back; they have a timer only in case the head's event loop is
        blocked when its turn comes.
        """
        if next(iter(self._waiters.values())) is not waiter:
            return self._buckets.wait_s(now, _minus(waiter.upto, self._let_go))
        wait_s = self._buckets.wait_s(now, waiter.need)
        if wait_s >= _LOUD_S and now >= self._warned_until:
            self._warned_until = now + wait_s
            _log.warning(
                "The limits of '%s' are spent: the next request has to wait %.0f s. "
                "Set max_wait=... to get an error instead.",
                self.model,
                wait_s,
            )
        return wait_s

    def _timed_out(
        self, now: float, waiter: _Waiter, max_wait_s: float | None
    ) -> RateLimiterError:
        least = self._buckets.least_wait_s(now, waiter.need)
        return too_long(self.model, least, max_wait_s)

    def _never_fits(self, need: Amounts, full: Bucket) -> RateLimiterError:
        return exceeds(self.model, need, full.kind, full.window, full.capacity)

    # --------------------------------------------------------- with the lock held

    def _advance(self, now: float, caller: _Waiter | None = None) -> None:
        """Let go everybody whose turn it is, and have the new head set its timer."""
        buckets, waiters = self._buckets, self._waiters
        while waiters:
            head = next(iter(waiters.values()))
            full = buckets.exceeded(head.need)
            if full is not None:  # since a limit was learned while it waited
                head.error = self._never_fits(head.need, full)
            else:
                wait_s = buckets.wait_s(now, head.need)
                if wait_s > 0.0:
                    if head is not caller and now + wait_s < head.until - _SOON_S:
                        head.until = now
                        head.wake()
                    return
                head.at = buckets.take(now, head.need)
            waiters.popitem(last=False)
            self._let_go = _plus(self._let_go, head.need)
            if head is not caller:
                head.wake()

    # ------------------------------------------------------------------- get out

    def _look_after_the_lost(self) -> None:
        """Take those out of the line who have left it, wherever they stood."""
        while self._left and self._lock.acquire(blocking=False):
            try:
                now = self._now()
                while self._left:
                    self._remove(now, self._left.popleft())
                self._advance(now)
            finally:
                self._lock.release()

    def _remove(self, now: float, waiter: _Waiter) -> None:
        if waiter.at is not None:  # let go, and not wanted any more
            self._buckets.settle(now, waiter.need, NOTHING, waiter.at)
        elif self._waiters.get(id(waiter)) is waiter:
            # Behind others it still counts for those behind it, who sleep longer.
            if next(iter(self._waiters.values())) is waiter:
                self._let_go = _plus(self._let_go, waiter.need)
            del self._waiters[id(waiter)]

    def finish(
        self,
        need: Amounts,
        at: Snapshot,
        used: Amounts | None,
        readings: list[Reading],
        closure: Closure | None,
    ) -> None:
        """Take in how a request ended.

        Args:
            need: What was reserved for it.
            at: What was known then.
            used: What it used; `None` if nobody knows.
            readings: What the answer's headers say.
            closure: The limit that the service has refused it for.
        """
        with self._lock:
            now = self._now()
            buckets = self._buckets
            if used is None:
                buckets.lose(need)
            else:
                buckets.settle(now, need, used, at)
            if closure is not None:
                buckets.close(now, closure, need)
            if self._learn:
                for reading in readings:
                    buckets.learn(now, reading, used or NOTHING, at)
                buckets.grow(now)
            if self._waiters:
                self._advance(now)
        if self._left:
            self._look_after_the_lost()

    def drop(self, need: Amounts) -> None:
        """Note that a reservation was lost; safe in the collector, in any thread."""
        self._dropped.append(need)

    # --------------------------------------------------------------------- state

    async def astate(self) -> LimiterState:
        """Return what is there now, and who waits."""
        return self.state()

    def state(self) -> LimiterState:
        """Return what is there now, and who waits."""
        with self._lock:
            now = self._now()
            buckets = self._buckets
            while self._dropped:
                buckets.lose(self._dropped.popleft())
            return LimiterState(
                model=self.model,
                buckets=tuple(
                    BucketState(
                        kind=bucket.kind,
                        window=bucket.window,
                        capacity=bucket.capacity,
                        level=buckets.level(bucket, now),
                        source=bucket.source,
                    )
                    for bucket in buckets.buckets
                ),
                closed_for_s=buckets.closed_for_s(now),
                waiting=len(self._waiters),
                under_way=round(buckets.under_way[0]),
            )


def _taken(waiter: _Waiter) -> Snapshot:
    if waiter.error is not None:
        raise waiter.error
    if waiter.at is None:  # pragma: no cover - the steps end only when it is done
        msg = "A waiter was let go without having taken anything."
        raise RuntimeError(msg)
    return waiter.at


def _plus(left: Amounts, right: Amounts) -> Amounts:
    return Amounts(left[0] + right[0], left[1] + right[1], left[2] + right[2])


def _minus(left: Amounts, right: Amounts) -> Amounts:
    return Amounts(left[0] - right[0], left[1] - right[1], left[2] - right[2])
