"""How fast events leave: at once, or as fast as the real model writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Never, TypeAlias

if TYPE_CHECKING:
    from langchain_cerebras_ext.simulator.clock import Clock

Receive: TypeAlias = Callable[[], Awaitable[Any]]

_SHORTEST_SLEEP_S = 0.001


class ClientGoneError(Exception):
    """The client closed the connection before the answer was complete."""


class Watch:
    """Notices that a client has gone, while waiting or between writes."""

    def __init__(self, receive: Receive) -> None:
        self._task = asyncio.ensure_future(_until_gone(receive))

    @property
    def gone(self) -> bool:
        """Whether the client has gone."""
        return self._task.done()

    async def sleep(self, clock: Clock, seconds: float) -> None:
        """Wait.

        Raises:
            ClientGoneError: The client went away meanwhile.
        """
        if seconds > 0 and not self.gone:
            waiting = asyncio.ensure_future(clock.sleep(seconds))
            try:
                await asyncio.wait(
                    {waiting, self._task}, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                waiting.cancel()
        if self.gone:
            raise ClientGoneError

    async def wait_gone(self) -> Never:
        """Wait until the client has gone.

        Raises:
            ClientGoneError: It has.
        """
        await asyncio.wait({self._task})
        raise ClientGoneError

    def check(self) -> None:
        """Raise if the client has gone.

        Raises:
            ClientGoneError: It has.
        """
        if self.gone:
            raise ClientGoneError

    def close(self) -> None:
        """Stop watching."""
        self._task.cancel()


async def _until_gone(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


class Pace:
    """Says when the next event is due; late events catch up, so nothing drifts."""

    def __init__(self, clock: Clock, tokens_per_s: float) -> None:
        self._clock = clock
        self._tokens_per_s = tokens_per_s
        self._due = clock.monotonic()

    def wait_s(self, tokens: int) -> float:
        """Return how long to wait before an event with so many tokens is sent.

        Waits shorter than a timer can hold are left out, and made up for later.
        """
        self._due += tokens / self._tokens_per_s
        left = self._due - self._clock.monotonic()
        return left if left >= _SHORTEST_SLEEP_S else 0.0
