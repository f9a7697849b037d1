"""`Gate`: how much may be under way, and what each key may ask for and spend.

Nobody waits here: what has no room is refused, with the time after which to try again.
Requests and tokens of a key are token buckets, in this process or in Redis; its money
is a `Budget`. Tokens are reserved before a request is sent and put right when it has
ended: a key that used more than was reserved has to wait for it later.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.errors import (
    BudgetExceeded,
    LedgerError,
    RateLimiterBackendError,
    RateLimiterTimeoutError,
    RequestExceedsLimitError,
)
from langchain_cerebras_ext.proxy.refusal import Refusal

if TYPE_CHECKING:
    from langchain_cerebras_ext._limits._memory import Line
    from langchain_cerebras_ext._limits._numbers import Limit
    from langchain_cerebras_ext._limits._redis import SharedLine
    from langchain_cerebras_ext._limits._reservation import Reservation
    from langchain_cerebras_ext.costs._budgets._hold import Hold as Money
    from langchain_cerebras_ext.costs.budget import Budget
    from langchain_cerebras_ext.proxy.exchange import Exchange
    from langchain_cerebras_ext.proxy.record import Priced
    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["Gate", "Hold"]

NAMESPACE: Final = "cerebras-proxy"
"""Begins the names of all that the proxy keeps in Redis."""

_CHARS_PER_TOKEN: Final = 4
_UNSET_TOKENS: Final = 1024
"""What is reserved for an answer whose length the request leaves open."""

_MOST_TOKENS: Final = 16_384
"""The most that is reserved for an answer, as the service does it."""

_FOR_ALL: Final = "*"
_STORE_RETRY_S: Final = 5
_NO_RETRY: Final[tuple[bytes, bytes]] = (
    b"x-should-retry",
    b"false",
)  # the official clients heed it


class Hold:
    """What an exchange occupies, until it is settled."""

    __slots__ = ("_gate", "_money", "_tokens")

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate
        self._tokens: Reservation | None = None
        self._money: Money | None = None

    def settle(self, exchange: Exchange) -> None:
        """Put right what was reserved; returns at once, never raises.

        Args:
            exchange: Ended and priced.
        """
        gate, self._gate = self._gate, None
        if gate is None:
            return
        gate.leave()
        if self._tokens is not None or self._money is not None:
            self._settle(exchange)

    def _settle(self, exchange: Exchange) -> None:
        was_sent = exchange.upstream_began is not None
        if self._tokens is not None:
            counts = exchange.detail.get("counts") if was_sent else None
            if not was_sent:
                self._tokens.release()
            elif counts is None:
                self._tokens.unknown()
            else:
                self._tokens.settle(
                    input_tokens=counts.input, output_tokens=counts.output
                )
        if self._money is not None:
            cost = exchange.cost
            if was_sent:
                self._money.settle(None if cost is None else cost.total)
            else:
                self._money.release()

    def release(self) -> None:
        """Give all back: nothing was sent."""
        gate, self._gate = self._gate, None
        if gate is None:
            return
        gate.leave()
        if self._tokens is not None:
            self._tokens.release()
        if self._money is not None:
            self._money.release()

    def hold(
        self, *, tokens: Reservation | None = None, money: Money | None = None
    ) -> None:
        """Take on something that was reserved."""
        self._tokens = tokens or self._tokens
        self._money = money or self._money


class Gate:
    """Lets exchanges in, as far as the settings allow.

    Args:
        settings: Its limits.
        priced: What knows prices; made from the settings if it is needed and not given.

    Attributes:
        budget: The budget of keys, if there is one.
        in_flight: How many exchanges are under way.

    Raises:
        CerebrasConfigurationError: A URL is none.
        MissingExtraError: What a shared store needs is not installed.
    """

    __slots__ = ("_lines", "_money", "_most", "budget", "in_flight")

    def __init__(self, settings: Settings, priced: Priced | None = None) -> None:
        self.in_flight = 0
        self._most = math.inf if settings.max_streams is None else settings.max_streams
        limits = (settings.key_requests_per_minute, settings.key_tokens_per_minute)
        self._lines = None if limits == (None, None) else _Lines(settings)
        self._money: _Money | None = None
        self.budget: Budget | None = None
        if settings.key_budget_usd is not None:
            self._money = _Money(settings, priced)
            self.budget = self._money.budget

    @property
    def is_idle(self) -> bool:
        """Whether it limits nothing at all."""
        return self._most == math.inf and self._lines is None and self._money is None

    async def admit(self, exchange: Exchange) -> Hold:
        """Let an exchange in.

        Args:
            exchange: Its key, model, size and longest answer are known.

        Returns:
            What it occupies; to be settled when it has ended, however it ends.

        Raises:
            Refusal: There is no room (429), or nobody knows (503).
        """
        if self.in_flight >= self._most:
            raise _too_many(self.in_flight)
        hold = Hold(self)
        self.in_flight += 1
        if self._lines is None and self._money is None:
            return hold
        try:
            if self._lines is not None:
                hold.hold(tokens=await self._lines.reserve(exchange))
            if self._money is not None:
                hold.hold(money=await self._money.reserve(exchange))
        except BaseException:
            hold.release()
            raise
        return hold

    def leave(self) -> None:
        """Count one exchange less; holds call it."""
        self.in_flight -= 1

    async def close(self) -> None:
        """Tell shared stores what has ended, and let go of their connections."""
        import asyncio

        if self._lines is not None:
            await self._lines.close()
        if self.budget is not None:
            await asyncio.to_thread(self.budget.close)


class _Lines:
    """Requests and tokens a minute, of each key."""

    def __init__(self, settings: Settings) -> None:
        from langchain_cerebras_ext._limits._numbers import Limit

        self._capacity = settings.key_tokens_per_minute
        found: list[Limit] = []
        if settings.key_requests_per_minute is not None:
            requests = float(settings.key_requests_per_minute)
            found.append(Limit("requests", "minute", requests))
        if self._capacity is not None:
            found.append(Limit("tokens", "minute", float(self._capacity)))
        self._limits = tuple(found)
        self._lines: dict[str, Line | SharedLine] = {}
        self._server: Any = None
        if settings.limits_url is not None:
            from langchain_cerebras_ext._limits._server import RedisServer

            self._server = RedisServer(settings.limits_url, falls_back=True)

    async def reserve(self, exchange: Exchange) -> Reservation:
        """Take one request and its tokens.

        Raises:
            Refusal: They are not there (429).
        """
        from langchain_cerebras_ext._limits._buckets import Amounts

        key = exchange.key_id or _FOR_ALL
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = self._open(key)
        tokens = self._tokens(exchange)
        try:
            return await line.areserve(Amounts(1, tokens, tokens), 0.0)
        except RateLimiterTimeoutError as error:
            wait_s = max(1, math.ceil(error.wait_s or 0.0))
            limit = await self._spent(line)
            raise _no_room(exchange, limit, wait_s) from None
        except RequestExceedsLimitError:
            raise _too_large(exchange, self._limits[-1]) from None

    async def _spent(self, line: Line | SharedLine) -> Limit:
        """Return the limit that leaves no room: requests, where both do."""
        first, last = self._limits[0], self._limits[-1]
        if first is not last:
            with contextlib.suppress(RateLimiterBackendError):
                state = await line.astate()
                levels = {bucket.kind: bucket.level for bucket in state.buckets}
                return first if levels[first.kind] < 1 else last
        return first

    def _tokens(self, exchange: Exchange) -> int:
        """Return what to reserve.

        The answer's share is lowered to what fits beside the prompt: its length is a
        guess or an upper bound, and what it takes above that is paid for later.
        """
        asked = exchange.prompt_bytes // _CHARS_PER_TOKEN
        most = exchange.max_output_tokens
        answer = _UNSET_TOKENS if most is None else min(most, _MOST_TOKENS)
        if self._capacity is not None:
            answer = max(0, min(answer, self._capacity - asked))
        return asked + answer

    def _open(self, key: str) -> Line | SharedLine:
        from langchain_cerebras_ext._limits._clock import SystemClock
        from langchain_cerebras_ext._limits._memory import Line

        # Nobody else counts: what we have let pass is what there was.
        clock, limits = SystemClock(), self._limits
        name = f"key {key}"
        line = Line(name, limits, clock, latency_s=0.0, learn=False)
        if self._server is None:
            return line
        from langchain_cerebras_ext._limits._redis import SharedLine

        return SharedLine(
            name,
            limits,
            self._server,
            NAMESPACE,
            clock,
            latency_s=0.0,
            learn=False,
            local=line,
        )

    async def close(self) -> None:
        """Let go of the connections to Redis."""
        if self._server is not None:
            await self._server.aclose()


class _Money:
    """What each key may spend in a window."""

    def __init__(self, settings: Settings, priced: Priced | None) -> None:
        from langchain_cerebras_ext.costs._budgets._windows import Window
        from langchain_cerebras_ext.costs._usage import Counts
        from langchain_cerebras_ext.costs.budget import Budget, CallScope

        if priced is None:
            from langchain_cerebras_ext.proxy.record import Priced

            priced = Priced(settings)
        self._price = priced.price
        self._scope = CallScope
        self._counts = Counts
        window: Any = settings.key_budget_window
        self._window = Window(window)
        limit = settings.key_budget_usd
        # A ledger keeps it over a restart; Redis is quicker, and replicas share it.
        shared: dict[str, Any] = {}
        if settings.limits_url is not None:
            shared = {"redis": settings.limits_url, "namespace": NAMESPACE}
        elif settings.ledger_url is not None:
            shared = {"ledger": settings.ledger_url}
        self.budget = Budget(
            limit or 0, per="user", window=window, name=f"proxy/{window}", **shared
        )

    async def reserve(self, exchange: Exchange) -> Money | None:
        """Set aside what an exchange may cost.

        Raises:
            Refusal: It is not there, the price is not known (429), or the shared store
                cannot be used (503).
        """
        scope = self._scope(exchange.model, user=exchange.key_id)
        try:
            return await self.budget.areserve(scope, self._most(exchange))
        except BudgetExceeded as error:
            if error.estimate is None and error.spent is None:
                raise _unpriced(exchange) from None
            raise self._spent(exchange, error) from None
        except LedgerError:
            # Why that is, the budget's own line in the log tells, once.
            raise _unknown() from None

    def _most(self, exchange: Exchange) -> Any:
        """Return what an exchange may cost at most; `None` where no price is known."""
        answer = exchange.max_output_tokens
        counts = self._counts(
            exchange.prompt_bytes // _CHARS_PER_TOKEN,
            output=_MOST_TOKENS if answer is None else max(0, answer),
        )
        cost = self._price(exchange, counts)
        return None if cost is None else cost.total

    def _spent(self, exchange: Exchange, error: BudgetExceeded) -> Refusal:
        end_s = self._window.period(time.time(), None).end_s
        headers: list[tuple[bytes, bytes]] = [_NO_RETRY]
        if end_s is not None:
            headers.append(_retry_after(math.ceil(end_s - time.time())))
        return Refusal(
            429,
            f"The budget of {_whom(exchange)} is spent: {error}",
            type="insufficient_quota",
            code="insufficient_quota",
            category="budget",
            headers=headers,
        )


# -------------------------------------------------------------------- what is answered


def _whom(exchange: Exchange) -> str:
    return "this proxy" if exchange.key_id is None else f"key {exchange.key_id!r}"


def _retry_after(wait_s: int) -> tuple[bytes, bytes]:
    return b"retry-after", str(max(1, wait_s)).encode()


def _too_many(count: int) -> Refusal:
    return Refusal(
        429,
        f"This proxy has {count:,} requests under way and takes no more at once. Try "
        "again in a second.",
        type="requests",
        code="too_many_streams",
        category="overloaded",
        headers=[_retry_after(1)],
    )


def _limit_of(exchange: Exchange, limit: Limit) -> str:
    return (
        f"The limit of {_whom(exchange)} is {limit.capacity:,.0f} {limit.kind} a "
        f"{limit.window}"
    )


def _no_room(exchange: Exchange, limit: Limit, wait_s: int) -> Refusal:
    # The types and the code are OpenAI's.
    return Refusal(
        429,
        f"{_limit_of(exchange, limit)}, and this request has no room in it. Try again "
        f"in {wait_s} s.",
        type=limit.kind,
        code="rate_limit_exceeded",
        category="rate_limit",
        headers=[_retry_after(wait_s)],
    )


def _too_large(exchange: Exchange, limit: Limit) -> Refusal:
    return Refusal(
        429,
        f"{_limit_of(exchange, limit)}, and the prompt alone is larger (about 4 bytes "
        "a token). It can never pass: shorten it.",
        type="tokens",
        code="rate_limit_exceeded",
        category="rate_limit",
        headers=[_NO_RETRY, _retry_after(60)],
    )


def _unpriced(exchange: Exchange) -> Refusal:
    return Refusal(
        429,
        f"The price of model {exchange.model[:100]!r} is not known, so the budget of "
        f"{_whom(exchange)} cannot be held. Whoever runs this proxy can name its price "
        "in APE_PRICES_FILE.",
        type="insufficient_quota",
        code="model_not_priced",
        category="budget",
        headers=[_NO_RETRY],
    )


def _unknown() -> Refusal:
    return Refusal(
        503,
        "The budgets of this proxy are kept in a database that cannot be reached now. "
        "Try again later.",
        type="server_error",
        code="limits_unavailable",
        category="budget",
        headers=[_retry_after(_STORE_RETRY_S)],
    )
