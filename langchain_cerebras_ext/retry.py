"""When to send a request again, how often, and after which wait."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable  # noqa: TC003 - pydantic reads the hints
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasError,
    CerebrasStatusError,
    FailedAttempt,
    RateLimiterError,
    RateLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tenacity import RetryCallState

__all__ = ["RetryPolicy"]

_T = TypeVar("_T")
_log = logging.getLogger("langchain_cerebras_ext.retry")

_LONGEST_RETRY_AFTER_S = 60.0
"""A longer `Retry-After` is a quota, not a busy moment; the vendor's SDK agrees."""

_SHORTEST_TRY_S = 0.001

_LONG_WINDOWS = {"hour", "day"}


class Patience(NamedTuple):
    """How long calls may wait for retries of their own, where others can answer.

    Attributes:
        longest_s: Seconds that no single wait exceeds; `None` is any.
        until: When there must be an answer, by `time.monotonic`; `None` is whenever.
    """

    longest_s: float | None = None
    until: float | None = None

    def allows(self, wait_s: float, now: float) -> bool:
        """Whether a wait may begin."""
        if self.longest_s is not None and wait_s > self.longest_s:
            return False
        return self.until is None or now + wait_s < self.until


patience: ContextVar[Patience | None] = ContextVar(
    "langchain_cerebras_ext_patience", default=None
)
"""Set by who has another model to ask while a call's tries go on, as a router has."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which errors are tried again, and when.

    The defaults are those of the vendor's SDK. A wait that the service asks for
    (`Retry-After`, `retry-after-ms`) and its `x-should-retry` win over the curve. A
    spent hour or day quota is not tried again, nor is a stream of which a part was
    handed on.

    Attributes:
        max_retries: How many times at most, after the first try.
        initial_delay: Seconds before the first retry.
        max_delay: Seconds that no wait of the curve exceeds.
        multiplier: By how much each wait is longer than the one before.
        jitter: The part of a wait that is random, 0 to 1; it is taken off.
        deadline: Seconds for all tries and waits together; a wait that would outlive
            it is not started.
        on_retry: Called before each wait, in the thread or task of the call; what it
            raises is logged and dropped. Handlers of LangChain's callbacks hear of it
            by `on_retry`, except under `stream` and `astream`, where LangChain tells
            the model of no handlers.

    Example:
        ```python
        from langchain_cerebras_ext import ChatCerebras
        from langchain_cerebras_ext.retry import RetryPolicy

        model = ChatCerebras(retry_policy=RetryPolicy.patient())
        ```
    """

    max_retries: int = 2
    initial_delay: float = 0.5
    max_delay: float = 8.0
    multiplier: float = 2.0
    jitter: float = 0.25
    deadline: float | None = None
    on_retry: Callable[[FailedAttempt], None] | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            CerebrasConfigurationError: A value is out of range.
        """
        rules = {
            "max_retries": (self.max_retries >= 0, "at least 0"),
            "initial_delay": (self.initial_delay >= 0, "at least 0 seconds"),
            "max_delay": (
                self.max_delay >= self.initial_delay,
                "at least initial_delay",
            ),
            "multiplier": (self.multiplier >= 1, "at least 1"),
            "jitter": (0 <= self.jitter <= 1, "0 to 1"),
            "deadline": (
                self.deadline is None or self.deadline > 0,
                "above 0 seconds, or None",
            ),
        }
        for name, (right, rule) in rules.items():
            if not right:
                msg = f"RetryPolicy {name}={getattr(self, name)!r} must be {rule}."
                raise CerebrasConfigurationError(msg)

    @classmethod
    def patient(cls) -> Self:
        """Return a policy for batch work: 5 retries, 2 s at first, 60 s at most."""
        return cls(max_retries=5, initial_delay=2.0, max_delay=60.0, multiplier=2.0)

    def wait_s(
        self,
        error: BaseException,
        attempt: int,
        elapsed_s: float = 0.0,
        *,
        rand: Callable[[], float] = random.random,
    ) -> float | None:
        """Return how long to wait before the next try, or `None` to give up.

        Args:
            error: What the try ended in.
            attempt: How many tries there were, this one included.
            elapsed_s: Seconds since the first try began.
            rand: A number from 0 to 1, for the jitter.
        """
        if attempt > self.max_retries or not _is_worth_it(error):
            return None
        asked = getattr(error, "retry_after_s", None)
        if asked is not None:
            if asked > _LONGEST_RETRY_AFTER_S:
                return None
            wait = asked
        else:
            wait = self._curve_s(attempt) * (1 - self.jitter * rand())
        if self.deadline is not None and elapsed_s + wait >= self.deadline:
            return None
        return float(wait)

    def _curve_s(self, attempt: int) -> float:
        if not self.initial_delay:
            return 0.0
        try:
            curve = self.initial_delay * self.multiplier ** (attempt - 1)
        except OverflowError:  # after a thousand tries
            return self.max_delay
        return min(curve, self.max_delay)


def _is_worth_it(error: BaseException) -> bool:
    # Our own limiter has waited as long as it may.
    if not isinstance(error, CerebrasError) or isinstance(error, RateLimiterError):
        return False
    response = getattr(error, "response", None)
    if isinstance(error, CerebrasStatusError) and response is not None:
        told = response.headers.get("x-should-retry")
        if told in {"true", "false"}:
            return bool(told == "true")
    if isinstance(error, RateLimitError) and error.window in _LONG_WINDOWS:
        return False
    return error.is_retryable


@dataclass(slots=True)
class Retrier:
    """One call's tries under a policy; sync and async share everything but the wait.

    The first try runs without any machinery; tenacity is asked when it failed.

    Attributes:
        total_s: Seconds for the whole call, all tries and waits together.
        heard: What LangChain's callback manager has for retries; it takes tenacity's
            state, and may be a coroutine function where the call is one.
        watch: Called with each failure that another try follows.
        attempts: How many tries there were.
        failed: The tries that another one followed.
    """

    policy: RetryPolicy
    total_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    heard: Callable[[RetryCallState], Any] | None = None
    watch: Callable[[FailedAttempt], None] | None = None
    attempts: int = 0
    failed: list[FailedAttempt] = field(default_factory=list[FailedAttempt])
    _started: float = field(default=0.0, init=False)
    _first_error: CerebrasError | None = field(default=None, init=False)

    def call(self, once: Callable[[], _T]) -> _T:
        """Run `once` until it returns or the policy gives up."""
        self._started = self.clock()
        try:
            return self._count(once)()
        except CerebrasError as error:
            if self._next_wait_s(error) is None:
                raise
            self._first_error = error
        from tenacity import Retrying

        def again() -> _T:
            self._replay()
            return self._count(once)()

        return Retrying(sleep=self.sleep, **self._options())(again)

    async def acall(self, once: Callable[[], Awaitable[_T]]) -> _T:
        """Run `once` until it returns or the policy gives up."""
        self._started = self.clock()
        try:
            return await self._acount(once)
        except CerebrasError as error:
            if self._next_wait_s(error) is None:
                raise
            self._first_error = error
        from tenacity import AsyncRetrying

        async def again() -> _T:
            self._replay()
            return await self._acount(once)

        return await AsyncRetrying(sleep=self.asleep, **self._options())(again)

    def left_s(self) -> float | None:
        """Return the seconds of the whole call that are left for the next try."""
        if self.total_s is None:
            return None
        return max(self.total_s - (self.clock() - self._started), _SHORTEST_TRY_S)

    def _count(self, once: Callable[[], _T]) -> Callable[[], _T]:
        def counted() -> _T:
            self.attempts += 1
            try:
                return once()
            except CerebrasError as error:
                self.describe(error)
                raise

        return counted

    async def _acount(self, once: Callable[[], Awaitable[_T]]) -> _T:
        self.attempts += 1
        try:
            return await once()
        except CerebrasError as error:
            self.describe(error)
            raise

    def describe(self, error: CerebrasError) -> None:
        """Write on an error how the call went until then."""
        if isinstance(error, RateLimiterError):  # this try was not sent
            self.attempts -= 1
        error.attempts = self.attempts
        error.failed_attempts = tuple(self.failed)
        if self.attempts:
            error.elapsed_s = self.clock() - self._started

    def resent(self, error: CerebrasError) -> None:
        """Note that the transport has sent a request again, at once.

        It does so when a kept connection turns out to be closed: most likely nobody
        has read the request, but nobody knows.
        """
        self._tell(error, 0.0)
        self.attempts += 1

    def exclude(self, seconds: float) -> None:
        """Leave a wait out of the call's time: that for our own rate limiter."""
        self._started += seconds

    def _replay(self) -> None:
        """Give tenacity the failure that came before it was asked."""
        error, self._first_error = self._first_error, None
        if error is not None:
            raise error

    def _next_wait_s(self, error: BaseException) -> float | None:
        """Return the wait before the next try, or `None`, said by the error as well.

        LangChain's middleware reads `is_retryable` and would try again what was tried
        enough here; with `max_retries=0` the tries are left to it. An error that is
        not waited for since the caller has no patience stays one to be tried again.
        """
        now = self.clock()
        elapsed_s = now - self._started
        wait = self.policy.wait_s(error, self.attempts, elapsed_s)
        if wait is not None and self.total_s is not None:
            wait = None if elapsed_s + wait >= self.total_s else wait
        if (
            wait is None
            and isinstance(error, CerebrasError)
            and (self.policy.max_retries or not _is_worth_it(error))
        ):
            error.is_retryable = False
        held = patience.get()
        if wait is not None and held is not None and not held.allows(wait, now):
            return None
        return wait

    def _options(self) -> dict[str, Any]:
        from tenacity import retry_if_exception

        waits: dict[int, float] = {}

        def should(error: BaseException) -> bool:
            wait = self._next_wait_s(error)
            if wait is None:
                return False
            waits[self.attempts] = wait
            self._tell(error, wait)
            return True

        def wait(_: RetryCallState) -> float:
            return waits[self.attempts]

        return {
            "retry": retry_if_exception(should),
            "wait": wait,
            "before_sleep": self.heard,
            "reraise": True,
        }

    def _tell(self, error: BaseException, wait_s: float) -> None:
        """Say to all who want to know that a try failed and another will follow."""
        _log.info(
            "request failed (%s), attempt %d; trying again in %.2f s",
            type(error).__name__,
            self.attempts,
            wait_s,
        )
        if not isinstance(error, CerebrasError):
            return
        failure = FailedAttempt(
            error_type=type(error).__name__,
            message=error.message,
            status_code=getattr(error, "status_code", None),
            elapsed_s=self.clock() - self._started,
            wait_s=wait_s,
            billed=error.billed,
            usage=error.partial_usage,
        )
        self.failed.append(failure)
        if self.watch is not None:
            self.watch(failure)
        if self.policy.on_retry is not None:
            try:
                self.policy.on_retry(failure)
            except Exception:  # noqa: BLE001 - it must not take the failure's place
                _log.exception("on_retry of the policy failed")
