"""A rate limiter that knows tokens, lets all pass, and notes what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_cerebras_ext.errors import RateLimitError


class Held:
    """A reservation: what was asked for it, and what became of it."""

    def __init__(self, model: str, asked: Mapping[str, Any]) -> None:
        self.model = model
        self.asked = dict(asked)
        self.ends: list[tuple[str, Any]] = []

    @property
    def end(self) -> str:
        """How it ended; it ends exactly once."""
        (end,) = self.ends
        return end[0]

    @property
    def told(self) -> Any:
        """What was told at its end."""
        (end,) = self.ends
        return end[1]

    def settle(self, **used: Any) -> None:
        self.ends.append(("settled", used))

    def refused(self, error: RateLimitError) -> None:
        self.ends.append(("refused", error))

    def release(self) -> None:
        self.ends.append(("released", None))

    def unknown(self) -> None:
        self.ends.append(("unknown", None))

    async def asettle(self, **used: Any) -> None:
        self.settle(**used)

    async def arefused(self, error: RateLimitError) -> None:
        self.refused(error)

    async def arelease(self) -> None:
        self.release()

    async def aunknown(self) -> None:
        self.unknown()


class FakeLimiter(BaseRateLimiter):
    """Waits as a test says, and remembers its reservations.

    Args:
        wait: Called before a request is let pass.
        await_: The same for async calls; default: `wait`.
    """

    def __init__(
        self,
        wait: Callable[[], Any] = lambda: None,
        await_: Callable[[], Any] | None = None,
    ) -> None:
        self.wait, self.await_ = wait, await_
        self.held: list[Held] = []

    def as_model_limiter(self) -> BaseRateLimiter:
        """Return what LangChain asks before it calls the model."""
        return Passing(self)

    def acquire(self, *, blocking: bool = True) -> bool:
        msg = "a model asks what `as_model_limiter` returns"
        raise AssertionError(msg)

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()

    def reserve(self, model: str, **asked: Any) -> Held:
        self.wait()
        return self._hold(model, asked)

    async def areserve(self, model: str, **asked: Any) -> Held:
        if self.await_ is None:
            self.wait()
        else:
            await self.await_()
        return self._hold(model, asked)

    def _hold(self, model: str, asked: Mapping[str, Any]) -> Held:
        held = Held(model, asked)
        self.held.append(held)
        return held

    @property
    def ends(self) -> list[str]:
        """How the reservations ended, each exactly once."""
        return [held.end for held in self.held]


class Passing(BaseRateLimiter):
    """Lets all pass at once; the request itself waits at `limiter`."""

    def __init__(self, limiter: FakeLimiter) -> None:
        self.limiter = limiter
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()
