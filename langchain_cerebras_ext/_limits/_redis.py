"""The limits that processes and hosts share: one line for each model, kept in Redis.

Each step (enter the line, look whether it is our turn, leave, tell what was used) is
one call of `line.lua`, atomic and on the server's own clock. Who waits looks again when
its turn should come, and the nearer to the head the sooner, since others may give
back; whom a step lets go in the same process is woken at once. A place in the line is
leased and a request under way is forgotten in the end, so that a process that was
killed blocks nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
import weakref
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from langchain_cerebras_ext._limits._refusals import exceeds, too_long
from langchain_cerebras_ext._limits._reservation import Reservation
from langchain_cerebras_ext._limits._signals import TaskSignal, ThreadSignal
from langchain_cerebras_ext._limits._state import BucketState, LimiterState
from langchain_cerebras_ext.errors import RateLimiterBackendError

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_cerebras_ext._limits._buckets import Amounts
    from langchain_cerebras_ext._limits._clock import Clock
    from langchain_cerebras_ext._limits._learning import Closure, Reading
    from langchain_cerebras_ext._limits._memory import Line
    from langchain_cerebras_ext._limits._numbers import Limit
    from langchain_cerebras_ext._limits._server import RedisServer
    from langchain_cerebras_ext._limits._signals import Signal

__all__ = ["SharedLine", "SharedReservation"]

PLACE_S: Final = 15.0
"""A place in the line is lost if its holder has not looked for so long."""

FLIGHT_S: Final = 900.0
"""A request that has not ended for so long is forgotten; what it took stays spent."""

LOOK_S: Final = 0.2
"""How often the head of the line looks whether somebody has given back."""

_LONGEST_LOOK_S: Final = 2.0

_PROMPT_S: Final = 0.1  # an answer of Redis that takes no longer
_CLAIMS: Final = 2  # a distant server is slow each time


class _Ask(NamedTuple):
    """A step to take in Redis."""

    operation: str
    arguments: tuple[str, ...]


class _Pause(NamedTuple):
    """A time to wait before the next step."""

    seconds: float


class SharedLine:
    """One model's limits in Redis.

    Args:
        model: Its name, for messages.
        limits: Those that are known.
        server: The Redis server.
        namespace: Begins the names of all keys.
        clock: What measures waits here.
        latency_s: How long a request, or its answer, is on its way at most.
        learn: Whether answers and refusals change the limits.
        own_time: Whether `clock` is used in Redis, too, instead of the server's own.
        local: The line of this process, used while Redis cannot be reached.
    """

    def __init__(
        self,
        model: str,
        limits: tuple[Limit, ...],
        server: RedisServer,
        namespace: str,
        clock: Clock,
        *,
        latency_s: float,
        learn: bool,
        own_time: bool = False,
        local: Line | None = None,
    ) -> None:
        self.model = model
        self.limits = limits
        self._server = server
        self._clock = clock
        self._own_time = own_time
        self._local = local
        # In braces: a cluster keeps keys with the same braces on the same node.
        prefix = f"{namespace}:{{{model}}}"
        self._keys = [
            f"{prefix}:{name}"
            for name in ("state", "line", "tickets", "held", "under-way")
        ]
        self._config = json.dumps(
            {
                "latency_s": latency_s,
                "learn": learn,
                "place_s": PLACE_S,
                "flight_s": FLIGHT_S,
                "limits": [limit._asdict() for limit in limits],
            }
        )
        self._waiting: weakref.WeakValueDictionary[str, Signal] = (
            weakref.WeakValueDictionary()
        )

    # -------------------------------------------------------------------- get in

    def reserve(self, need: Amounts, max_wait_s: float | None) -> Reservation:
        """Take an amount, after waiting for it if need be.

        Raises:
            RequestExceedsLimitError: It can never fit.
            RateLimiterTimeoutError: It would take longer than `max_wait_s`.
            RateLimiterBackendError: Redis cannot be reached.
        """
        if self._local is not None and self._server.is_down:
            return self._local.reserve(need, max_wait_s)
        ticket = uuid.uuid4().hex
        signal = ThreadSignal()
        steps = self._steps(ticket, need, max_wait_s)
        try:
            self._waiting[ticket] = signal
            reply: list[str] = []
            with contextlib.suppress(StopIteration):
                step = next(steps)
                while True:
                    if isinstance(step, _Pause):
                        self._clock.wait(signal.event, step.seconds)
                        signal.event.clear()
                    else:
                        reply = self._run(step)
                    step = steps.send(reply)
        except RateLimiterBackendError:
            if self._local is None:
                raise
            return self._local.reserve(need, max_wait_s)
        except BaseException:
            with contextlib.suppress(RateLimiterBackendError):
                self._run(_Ask("leave", (ticket,)))
            raise
        finally:
            self._waiting.pop(ticket, None)
        return SharedReservation(self, need, ticket)

    async def areserve(self, need: Amounts, max_wait_s: float | None) -> Reservation:
        """Take an amount, after waiting for it if need be.

        Raises:
            RequestExceedsLimitError: It can never fit.
            RateLimiterTimeoutError: It would take longer than `max_wait_s`.
            RateLimiterBackendError: Redis cannot be reached.
        """
        if self._local is not None and self._server.is_down:
            return await self._local.areserve(need, max_wait_s)
        ticket = uuid.uuid4().hex
        signal = TaskSignal()
        steps = self._steps(ticket, need, max_wait_s)
        try:
            self._waiting[ticket] = signal
            reply: list[str] = []
            with contextlib.suppress(StopIteration):
                step = next(steps)
                while True:
                    if isinstance(step, _Pause):
                        await self._clock.await_event(signal.event, step.seconds)
                        signal.event.clear()
                    else:
                        reply = await self._arun(step)
                    step = steps.send(reply)
        except RateLimiterBackendError:
            if self._local is None:
                raise
            return await self._local.areserve(need, max_wait_s)
        except BaseException:
            with contextlib.suppress(RateLimiterBackendError):
                await self._arun(_Ask("leave", (ticket,)))
            raise
        finally:
            self._waiting.pop(ticket, None)
        return SharedReservation(self, need, ticket)

    def _steps(
        self, ticket: str, need: Amounts, max_wait_s: float | None
    ) -> Generator[_Ask | _Pause, list[str], None]:
        """Get in: yields what to do, is sent the answers, ends when we are in."""
        now = self._clock.monotonic
        deadline = None if max_wait_s is None else now() + max_wait_s
        amounts = [repr(float(amount)) for amount in need]
        answer = ["lost"]
        asked = now()
        claims = _CLAIMS
        while True:
            said = answer[0]
            if said == "go":
                if now() - asked <= _PROMPT_S or not claims:
                    return
                # The answer was long on its way here, so we would send late.
                claims -= 1
                asked = now()
                answer = yield _Ask("claim", (ticket,))
                continue
            if said == "never":
                raise exceeds(self.model, need, answer[1], answer[2], float(answer[3]))
            if said == "late":
                raise too_long(self.model, float(answer[1]), max_wait_s)
            if said == "lost":  # not in line yet, or Redis has forgotten us
                left = "" if deadline is None else repr(max(0.0, deadline - now()))
                asked = now()
                answer = yield _Ask("enter", (ticket, *amounts, left))
                continue
            pause_s = _pause_s(*(float(number) for number in answer[1:4]))
            if deadline is not None:
                left_s = deadline - now()
                if left_s <= 0:
                    raise too_long(self.model, float(answer[4]), max_wait_s)
                pause_s = min(pause_s, left_s)
            yield _Pause(pause_s)
            asked = now()
            answer = yield _Ask("look", (ticket,))

    # ------------------------------------------------------------------- get out

    def finish(self, ask: _Ask) -> None:
        """Tell how a request ended; what goes wrong is told in the log."""
        with contextlib.suppress(RateLimiterBackendError):
            self._run(ask)

    async def afinish(self, ask: _Ask) -> None:
        """Tell how a request ended; what goes wrong is told in the log."""
        with contextlib.suppress(RateLimiterBackendError):
            await self._arun(ask)

    async def afinish_surely(self, ask: _Ask) -> None:
        """Do the same in a task of its own, even when its loop is about to end."""
        try:
            await self.afinish(ask)
        except asyncio.CancelledError:
            self.finish(ask)
            raise

    @property
    def server(self) -> RedisServer:
        """Where the limits are kept."""
        return self._server

    # --------------------------------------------------------------------- state

    def state(self) -> LimiterState:
        """Return what is there now, and who waits.

        Raises:
            RateLimiterBackendError: Redis cannot be reached.
        """
        return self._describe(self._run(_Ask("state", ()))[1])

    async def astate(self) -> LimiterState:
        """Return what is there now, and who waits.

        Raises:
            RateLimiterBackendError: Redis cannot be reached.
        """
        return self._describe((await self._arun(_Ask("state", ())))[1])

    def _describe(self, told: str) -> LimiterState:
        data: dict[str, Any] = json.loads(told)
        # Lua has one kind of table: an empty list is told as an object.
        return LimiterState(
            model=self.model,
            buckets=tuple(
                BucketState(
                    kind=bucket["kind"],
                    window=bucket["window"],
                    capacity=float(bucket["capacity"]),
                    level=float(bucket["level"]),
                    source=bucket["source"],
                )
                for bucket in data["buckets"] or []
            ),
            closed_for_s={key: float(seconds) for key, seconds in data["closed"] or []},
            waiting=data["waiting"],
            under_way=data["under_way"],
            shared=self._server.place,
        )

    # --------------------------------------------------------------------- Redis

    def _run(self, ask: _Ask) -> list[str]:
        return self._read(self._server.run(self._keys, self._arguments(ask)))

    async def _arun(self, ask: _Ask) -> list[str]:
        return self._read(await self._server.arun(self._keys, self._arguments(ask)))

    def _arguments(self, ask: _Ask) -> list[str]:
        now = repr(self._clock.monotonic()) if self._own_time else ""
        return [ask.operation, now, self._config, *ask.arguments]

    def _read(self, reply: Any) -> list[str]:
        """Wake those of this process who were let go, and return the answer."""
        answer, let_go = cast("tuple[list[bytes], list[bytes]]", reply)
        for ticket in let_go:
            signal = self._waiting.get(ticket.decode())
            if signal is not None:
                signal.wake()
        return [part.decode() for part in answer]


class SharedReservation(Reservation):
    """A reservation that is kept in Redis."""

    __slots__ = ("_line", "_ticket")

    def __init__(self, line: SharedLine, need: Amounts, ticket: str) -> None:
        super().__init__(need)
        self._line = line
        self._ticket = ticket

    @property
    def _limits(self) -> tuple[Limit, ...]:
        return self._line.limits

    def _ask(
        self, used: Amounts | None, readings: list[Reading], closure: Closure | None
    ) -> _Ask:
        told: dict[str, Any] = {"readings": [_known(reading) for reading in readings]}
        if used is not None:
            told["used"] = list(used)
        if closure is not None:
            told["closure"] = _known(closure)
        return _Ask("finish", (self._ticket, json.dumps(told)))

    def _finish(
        self,
        need: Amounts,  # noqa: ARG002 - Redis knows what was reserved
        used: Amounts | None,
        readings: list[Reading],
        closure: Closure | None,
    ) -> None:
        ask = self._ask(used, readings, closure)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._line.finish(ask)
            return
        # Never blocks a loop: the loop's own client does it, in the background.
        if not self._line.server.in_background(self._line.afinish_surely, ask):
            self._line.finish(ask)

    async def _afinish(
        self,
        need: Amounts,  # noqa: ARG002 - as above
        used: Amounts | None,
        readings: list[Reading],
        closure: Closure | None,
    ) -> None:
        await self._line.afinish(self._ask(used, readings, closure))


def _known(row: Reading | Closure) -> dict[str, Any]:
    return {name: value for name, value in row._asdict().items() if value is not None}


def _pause_s(wait_s: float, place: float, under_way: float) -> float:
    """Return when to look again.

    Args:
        wait_s: Until it is our turn, though nobody gives anything back.
        place: How many stand before us.
        under_way: How many requests may give something back.
    """
    sooner = PLACE_S / 3  # so that the lease is renewed in time
    if under_way or place:
        sooner = min(_LONGEST_LOOK_S, LOOK_S * (1.0 + place))
    return min(wait_s, sooner)
