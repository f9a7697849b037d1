"""`CerebrasRateLimiter`: sends no more than the account may, so nothing is refused.

Example:
    >>> from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter
    >>> limiter = CerebrasRateLimiter.for_tier("free")
    >>> with limiter.reserve("gpt-oss-120b", input_tokens=900) as reservation:
    ...     reservation.settle(input_tokens=870, output_tokens=140)
    >>> limiter.state("gpt-oss-120b")["requests/minute"].capacity
    5.0
"""

from __future__ import annotations

import threading
import uuid
import weakref
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_cerebras_ext._limits._buckets import Amounts
from langchain_cerebras_ext._limits._clock import Clock, SystemClock
from langchain_cerebras_ext._limits._memory import Line
from langchain_cerebras_ext._limits._numbers import LimitNumbers, Numbers, Tier
from langchain_cerebras_ext._limits._reservation import Reservation
from langchain_cerebras_ext._limits._state import BucketState, LimiterState
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    RateLimiterTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext._limits._redis import SharedLine
    from langchain_cerebras_ext._limits._server import RedisServer

__all__ = [
    "RESERVATION_CAP",
    "BucketState",
    "CerebrasRateLimiter",
    "LimitNumbers",
    "LimiterState",
    "ModelRateLimiter",
    "Reservation",
]

RESERVATION_CAP: Final = 16_384
"""The most tokens that the service reserves for an answer, and what it reserves where
`max_completion_tokens` is not set. Measured by a client's author, 2026-09-04 (issue
1085 of dcdpr/jp); the vendor's staff tell integrations to send about as much."""

LATENCY_S: Final = 1.0

_EVERY_MODEL: Final = "*"

# Limiters of this process by their identity, so that a copy made by pickle here shares
# the limits of its original; one process has one share of the account's limits.
_here: weakref.WeakValueDictionary[str, CerebrasRateLimiter] = (
    weakref.WeakValueDictionary()
)


class CerebrasRateLimiter(BaseRateLimiter):
    """Holds requests back until the service will take them.

    It keeps the service's own token buckets (requests and tokens a minute, hour and
    day, for each model) and reserves for each request what the service reserves: the
    prompt and `max_completion_tokens`, at most 16,384. What was not used is given
    back when the answer is here. First come, first served; what can never fit is
    refused at once.

    Given to `ChatCerebras(rate_limiter=...)` it counts tokens. Any other LangChain
    model takes it too: each call then counts as one request and `default_tokens`.

    Limits come from the tier, from your numbers (which win), and, with `learn`, from
    what the service's answers and refusals say. What is not known is not limited.

    One object limits one process: share it between models. With `redis` it limits all
    processes and hosts that name the same server and namespace.

    Args:
        tier: `free` or `developer`: the model's row in the catalog, where it has one.
        requests_per_second: The account's limit, or your own lower one.
        requests_per_minute: The same for a minute.
        requests_per_hour: The same for an hour.
        requests_per_day: The same for a day.
        uncached_tokens_per_minute: Tokens but for those that the service has cached.
        tokens_per_minute: All tokens, of prompts and answers.
        tokens_per_hour: The same for an hour.
        tokens_per_day: The same for a day.
        per_model: Numbers for some models, by id; they win over those above.
        model: What `acquire()` counts for, if it is one of the catalog's models.
        default_tokens: How many tokens `acquire()` counts for a call.
        reservation_cap: The most tokens that are reserved for an answer.
        learn: Whether the service's headers and refusals change the limits. Numbers of
            yours are never raised.
        max_wait: Seconds that a request may be held back; a longer wait is refused, at
            once where that is known. `None` waits as long as it takes.
        latency_s: How long a request, or its answer, is on its way at most. A larger
            value is safer on a slow network, and costs as many seconds of refill each
            time a full limit is first used.
        redis: `redis://:password@host:6379/0`, `rediss://...` or `unix://...`; Valkey
            is as good. Needs the extra `redis`.
        namespace: Begins the names of all keys there; one for each account.
        on_backend_error: When Redis cannot be reached, `raise` an error, or go on with
            limits of this process alone (`local`), which is told in the log.
        clock: Where time comes from; for tests.

    Raises:
        CerebrasConfigurationError: An argument is out of range, or there is nothing
            to limit by.
        MissingExtraError: `redis` was given, and the extra is not installed.

    Example:
        ```python
        from langchain_cerebras_ext import ChatCerebras
        from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter

        limiter = CerebrasRateLimiter(tier="developer", max_wait=30)
        model = ChatCerebras(model="gpt-oss-120b", rate_limiter=limiter)
        model.batch(["Hello"] * 1000, config={"max_concurrency": 40})
        print(limiter.state("gpt-oss-120b"))
        ```
    """

    def __init__(
        self,
        *,
        tier: Tier | None = None,
        requests_per_second: float | None = None,
        requests_per_minute: float | None = None,
        requests_per_hour: float | None = None,
        requests_per_day: float | None = None,
        uncached_tokens_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        tokens_per_hour: float | None = None,
        tokens_per_day: float | None = None,
        per_model: Mapping[str, LimitNumbers] | None = None,
        model: str | None = None,
        default_tokens: int = 0,
        reservation_cap: int = RESERVATION_CAP,
        learn: bool = True,
        max_wait: float | None = None,
        latency_s: float = LATENCY_S,
        redis: str | None = None,
        namespace: str = "cerebras",
        on_backend_error: Literal["raise", "local"] = "raise",
        clock: Clock | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "tier": tier,
            "requests_per_second": requests_per_second,
            "requests_per_minute": requests_per_minute,
            "requests_per_hour": requests_per_hour,
            "requests_per_day": requests_per_day,
            "uncached_tokens_per_minute": uncached_tokens_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "tokens_per_hour": tokens_per_hour,
            "tokens_per_day": tokens_per_day,
            "per_model": {name: dict(row) for name, row in (per_model or {}).items()},
            "model": model,
            "default_tokens": default_tokens,
            "reservation_cap": reservation_cap,
            "learn": learn,
            "max_wait": max_wait,
            "latency_s": latency_s,
            "redis": redis,
            "namespace": namespace,
            "on_backend_error": on_backend_error,
            "clock": clock,
        }
        _check(self._options)
        common = {
            name: number
            for name, number in self._options.items()
            if name in LimitNumbers.__annotations__
        }
        self._numbers = Numbers(tier, common, self._options["per_model"])
        if self._numbers.empty and not learn:
            msg = (
                "CerebrasRateLimiter has nothing to limit by. Give tier='free' or "
                "'developer', numbers such as requests_per_minute=..., or learn=True."
            )
            raise CerebrasConfigurationError(msg)
        self._clock: Clock = clock or SystemClock()
        self._cap = reservation_cap
        self._max_wait = max_wait
        self._server: RedisServer | None = None
        if redis is not None:
            from langchain_cerebras_ext._limits._server import RedisServer

            falls_back = on_backend_error == "local"
            self._server = RedisServer(redis, falls_back=falls_back)
        self._lock = threading.Lock()
        self._lines: dict[str, Line | SharedLine] = {}
        self._identity = uuid.uuid4().hex
        _here[self._identity] = self

    @classmethod
    def for_tier(cls, tier: Tier, **options: Any) -> Self:
        """Make a limiter for an account's plan.

        Args:
            tier: `free` or `developer`.
            options: The constructor's other arguments.
        """
        return cls(tier=tier, **options)

    # ---------------------------------------------------------- aware of tokens

    def reserve(
        self,
        model: str,
        *,
        input_tokens: int,
        max_output_tokens: int | None = None,
        max_wait: float | None = None,
    ) -> Reservation:
        """Wait until one request may be sent, and reserve what the service will.

        Args:
            model: The model's id; an alias has the same limits.
            input_tokens: Of the prompt, as estimated.
            max_output_tokens: The request's `max_completion_tokens`, if it has one.
            max_wait: Seconds that this call can wait; the shorter of this one and the
                limiter's own counts.

        Returns:
            Leave to send one request; to be ended when its cost is known.

        Raises:
            RequestExceedsLimitError: The request is larger than a limit.
            RateLimiterTimeoutError: The wait would be longer than `max_wait`.
            RateLimiterBackendError: Redis cannot be reached.
        """
        need = self._need(input_tokens, max_output_tokens)
        return self._line(model).reserve(need, self._wait_of(max_wait))

    async def areserve(
        self,
        model: str,
        *,
        input_tokens: int,
        max_output_tokens: int | None = None,
        max_wait: float | None = None,
    ) -> Reservation:
        """Do what `reserve` does, without blocking the event loop."""
        need = self._need(input_tokens, max_output_tokens)
        return await self._line(model).areserve(need, self._wait_of(max_wait))

    def state(self, model: str | None = None) -> LimiterState:
        """Return the limits of a model at this moment, and who waits for them.

        Args:
            model: The model's id; if not given, what `acquire()` counts for.

        Raises:
            RateLimiterBackendError: Redis cannot be reached.
        """
        return self._line(model or self._default_model).state()

    async def astate(self, model: str | None = None) -> LimiterState:
        """Do what `state` does, without blocking the event loop."""
        return await self._line(model or self._default_model).astate()

    # ----------------------------------------------------- as LangChain's limiter

    def acquire(self, *, blocking: bool = True) -> bool:
        """Count a call of some other model: one request, and `default_tokens`.

        Args:
            blocking: Whether to wait for it.

        Returns:
            Whether the call may be made; always true where it waits.

        Raises:
            RequestExceedsLimitError: `default_tokens` are more than a limit.
            RateLimiterTimeoutError: The wait would be longer than `max_wait`.
            RateLimiterBackendError: Redis cannot be reached.
        """
        line, need = self._line(self._default_model), self._default_need
        try:
            reservation = line.reserve(need, self._max_wait if blocking else 0.0)
        except RateLimiterTimeoutError:
            if blocking:
                raise
            return False
        reservation.unknown()
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Do what `acquire` does, without blocking the event loop."""
        line, need = self._line(self._default_model), self._default_need
        try:
            wait = self._max_wait if blocking else 0.0
            reservation = await line.areserve(need, wait)
        except RateLimiterTimeoutError:
            if blocking:
                raise
            return False
        await reservation.aunknown()
        return True

    def as_model_limiter(self) -> ModelRateLimiter:
        """Return what a model of ours has as its `rate_limiter`.

        LangChain's core calls `acquire()` before each call; our client reserves for
        itself, before each try, and must not be counted twice.
        """
        return ModelRateLimiter(self)

    # ------------------------------------------------------------------ life cycle

    def close(self) -> None:
        """Close the connections that threads have to Redis; they are made anew."""
        if self._server is not None:
            self._server.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections to Redis; they are made anew."""
        if self._server is not None:
            await self._server.aclose()

    def __copy__(self) -> Self:
        """Return this limiter: a copy would allow everything a second time."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return this limiter: a copy would allow everything a second time."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the configuration; in the same process it remains this limiter."""
        return (_restore, (type(self), self._identity, self._options))

    def __repr__(self) -> str:
        """Name what was given, without the password of Redis."""
        given: dict[str, Any] = {
            name: value
            for name, value in self._options.items()
            if value != _DEFAULTS.get(name) and name not in {"redis", "clock"}
        }
        if self._server is not None:
            given["redis"] = self._server.place
        inner = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"CerebrasRateLimiter({inner})"

    # --------------------------------------------------------------------- inside

    def _need(self, input_tokens: int, max_output_tokens: int | None) -> Amounts:
        expected = self._cap
        if max_output_tokens is not None and 0 <= max_output_tokens < expected:
            expected = max_output_tokens
        tokens = input_tokens + expected
        # Whether the prompt is cached is known afterwards; until then it is not.
        return Amounts(1, tokens, tokens)

    def _wait_of(self, max_wait: float | None) -> float | None:
        own = self._max_wait
        if max_wait is None or own is None:
            return own if max_wait is None else max_wait
        return min(max_wait, own)

    @property
    def _default_model(self) -> str:
        return self._options["model"] or _EVERY_MODEL

    @property
    def _default_need(self) -> Amounts:
        tokens = self._options["default_tokens"]
        if not self._numbers.limits(self._default_model):
            msg = (
                "CerebrasRateLimiter does not know what acquire() should count for. "
                "Give model=..., or numbers such as requests_per_minute=..."
            )
            raise CerebrasConfigurationError(msg)
        return Amounts(1, tokens, tokens)

    def _line(self, model: str) -> Line | SharedLine:
        line = self._lines.get(model)
        return line if line is not None else self._new_line(model)

    def _new_line(self, model: str) -> Line | SharedLine:
        name = self._numbers.name_of(model)
        with self._lock:
            line = self._lines.get(name)
            if line is None:
                line = self._lines[name] = self._build_line(name)
            self._lines[model] = line
        return line

    def _build_line(self, name: str) -> Line | SharedLine:
        options = self._options
        limits = self._numbers.limits(name)
        local = Line(
            name,
            limits,
            self._clock,
            latency_s=options["latency_s"],
            learn=options["learn"],
        )
        if self._server is None:
            return local
        from langchain_cerebras_ext._limits._redis import SharedLine

        return SharedLine(
            name,
            limits,
            self._server,
            options["namespace"],
            self._clock,
            latency_s=options["latency_s"],
            learn=options["learn"],
            own_time=options["clock"] is not None,
            local=local if options["on_backend_error"] == "local" else None,
        )


class ModelRateLimiter(BaseRateLimiter):
    """What our models have as their `rate_limiter`: lets everything pass.

    The client of the model asks the limiter itself, before each try, and tells it what
    the try has cost.

    Attributes:
        limiter: The limiter that is asked.
        is_asked_later: No call waits here.
    """

    is_asked_later = True

    def __init__(self, limiter: CerebrasRateLimiter) -> None:
        self.limiter = limiter

    def acquire(self, *, blocking: bool = True) -> bool:  # noqa: ARG002 - the contract
        """Return True at once."""
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:  # noqa: ARG002 - as above
        """Return True at once."""
        return True

    def __eq__(self, other: object) -> bool:
        """Compare by limiter."""
        if not isinstance(other, ModelRateLimiter):
            return NotImplemented
        return self.limiter is other.limiter

    def __hash__(self) -> int:
        """Hash by limiter."""
        return hash(self.limiter)

    def __repr__(self) -> str:
        """Name the limiter."""
        return f"{self.limiter!r}.as_model_limiter()"


_DEFAULTS: Final[dict[str, Any]] = {
    "per_model": {},
    "default_tokens": 0,
    "reservation_cap": RESERVATION_CAP,
    "learn": True,
    "latency_s": LATENCY_S,
    "namespace": "cerebras",
    "on_backend_error": "raise",
}

_AT_LEAST: Final = {
    "default_tokens": 0,
    "reservation_cap": 0,
    "max_wait": 0,
    "latency_s": 0,
}


def _check(options: Mapping[str, Any]) -> None:
    """Refuse what makes no sense.

    Raises:
        CerebrasConfigurationError: A value is out of range.
    """
    for name, least in _AT_LEAST.items():
        value = options[name]
        if value is not None and not value >= least:
            msg = f"CerebrasRateLimiter {name}={value!r} must be at least {least}."
            raise CerebrasConfigurationError(msg)
    if options["on_backend_error"] not in {"raise", "local"}:
        msg = (
            f"CerebrasRateLimiter on_backend_error={options['on_backend_error']!r} "
            "must be 'raise' or 'local'."
        )
        raise CerebrasConfigurationError(msg)
    name = options["namespace"]
    if not name or any(char in name for char in "{} \n"):
        msg = (
            f"CerebrasRateLimiter namespace={name!r} must be a name without spaces "
            "and braces."
        )
        raise CerebrasConfigurationError(msg)


def _restore(
    cls: type[CerebrasRateLimiter], identity: str, options: dict[str, Any]
) -> CerebrasRateLimiter:
    """Return the limiter of this identity in this process, made if need be."""
    known = _here.get(identity)
    if known is not None:
        return known
    limiter = cls(**options)
    limiter._identity = identity  # so that several copies are one
    _here[identity] = limiter
    return limiter
