"""`CircuitBreaker`: keeps calls away from a leg that fails, until it works again."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing._breaker_legs import LocalLeg, Passed, Settings
from langchain_cerebras_ext.routing._breaker_memory import Phase, Rules
from langchain_cerebras_ext.routing._leg import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_cerebras_ext.routing._breaker_redis import Sharing

__all__ = ["CircuitBreaker", "Passed", "Phase", "Refusal"]


class CircuitBreaker:
    """Keeps calls away from a leg that fails, until it works again.

    Each leg has a circuit. A closed one lets all pass and counts failures; when enough
    calls in the window have failed it opens, and nothing passes. After `open_s` it is
    half-open: `half_open_probes` calls pass, and no more. If they all succeed it is
    closed; if one fails it opens again, for longer.

    What counts is what tells of the service's health: errors 5xx, timeouts, broken
    connections and answers, models that are not served. The caller's mistakes never
    count. A 429 does not either, since the service works and has said no to this
    account: the leg is then left alone for as long as the service asks (`paused`), at
    most `max_open_s`, and after a spent quota without such a time for `open_s`.
    `is_failure` decides otherwise.

    With `redis` the processes that name the same server and namespace share the
    circuits. Calls through a closed circuit do not wait for Redis: they are counted
    here and told within a quarter of a second; every other step is atomic there, on its
    clock, so that all processes together send the exact number of probes. While Redis
    cannot be reached each process has circuits of its own, which is told in the log.

    Args:
        failure_rate: The part of the calls, above 0 up to 1, that opens the circuit.
        window_s: How far back calls count, in seconds.
        min_calls: How many calls there must be at least.
        open_s: How long an open circuit stays so.
        half_open_probes: How many calls try it out then, and have to succeed.
        backoff: Each time it opens again, it stays so many times longer.
        max_open_s: But no longer than this.
        probe_timeout_s: A probe that has not ended by then is taken for lost, and
            another one may pass.
        slow_call_s: An answer whose first token takes longer (or all of it, where it
            comes in one piece) counts as a failure.
        is_failure: Tells whether a leg's error counts; then 429s are nothing special.
        on_change: Called with a leg's name and its state before and after; must be
            quick.
        redis: `redis://:password@host:6379/0`, `rediss://...` or `unix://...`; Valkey
            is as good. Needs the extra `redis`.
        namespace: Begins the names of all keys there.
        clock: Seconds that never go back; for tests. Redis then uses them, too.

    Raises:
        CerebrasConfigurationError: A number is out of range, or the URL is none.
        MissingExtraError: `redis` was given, and the extra is not installed.

    Example:
        >>> breaker = CircuitBreaker(min_calls=2, open_s=15)
        >>> for _ in range(2):
        ...     breaker.admit("cerebras::gpt-oss-120b").fail(TimeoutError())
        >>> breaker.admit("cerebras::gpt-oss-120b").reason
        'circuit open'
        >>> breaker.health(["cerebras::gpt-oss-120b"])["cerebras::gpt-oss-120b"][
        ...     "state"
        ... ]
        'open'
    """

    def __init__(
        self,
        failure_rate: float = 0.5,
        window_s: float = 30.0,
        min_calls: int = 10,
        open_s: float = 15.0,
        half_open_probes: int = 1,
        *,
        backoff: float = 2.0,
        max_open_s: float = 300.0,
        probe_timeout_s: float = 120.0,
        slow_call_s: float | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        on_change: Callable[[str, Phase, Phase], None] | None = None,
        redis: str | None = None,
        namespace: str = "cerebras",
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "failure_rate": failure_rate,
            "window_s": window_s,
            "min_calls": min_calls,
            "open_s": open_s,
            "half_open_probes": half_open_probes,
            "backoff": backoff,
            "max_open_s": max_open_s,
            "probe_timeout_s": probe_timeout_s,
            "slow_call_s": slow_call_s,
            "is_failure": is_failure,
            "on_change": on_change,
            "redis": redis,
            "namespace": namespace,
            "clock": clock,
        }
        _check(self._options)
        rules = Rules(
            failure_rate,
            window_s,
            min_calls,
            open_s,
            backoff,
            max_open_s,
            half_open_probes,
            probe_timeout_s,
        )
        self._settings = Settings(
            rules, slow_call_s, is_failure, on_change, clock or time.monotonic
        )
        self._lock = threading.Lock()
        self._legs: dict[str, LocalLeg] = {}
        self._sharing: Sharing | None = None
        if redis is not None:
            from langchain_cerebras_ext.routing._breaker_redis import Sharing

            self._sharing = Sharing(
                redis, namespace, self._settings, own_time=clock is not None
            )

    def __repr__(self) -> str:
        """Return the settings, and the server without its password."""
        rules = self._settings.rules
        place = f", redis={self._sharing.place!r}" if self._sharing else ""
        return (
            f"CircuitBreaker(failure_rate={rules.failure_rate}, "
            f"window_s={rules.window_s}, min_calls={rules.min_calls}, "
            f"open_s={rules.open_s}, half_open_probes={rules.half_open_probes}{place})"
        )

    # A copy in this process is the same breaker; one in another process begins anew,
    # or shares what is in Redis.
    def __copy__(self) -> Self:
        """Return the same."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the same."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings."""
        return _rebuild, (type(self), self._options)

    # --------------------------------------------------------------------------- calls

    def admit(self, leg: str) -> Passed | Refusal:
        """Let a try of this leg pass, or say why not."""
        found = self._legs.get(leg)
        return (found or self._leg(leg)).admit()

    async def aadmit(self, leg: str) -> Passed | Refusal:
        """As `admit`, without blocking the event loop."""
        found = self._legs.get(leg)
        return await (found or self._leg(leg)).aadmit()

    def _leg(self, name: str) -> LocalLeg:
        with self._lock:
            found = self._legs.get(name)
            if found is None:
                if self._sharing is None:
                    found = LocalLeg(name, self._settings)
                else:
                    found = self._sharing.leg(name)
                self._legs[name] = found
            return found

    def reset(self, leg: str | None = None) -> None:
        """Close a leg's circuit and forget what was counted; of all legs if not given.

        Shared circuits are closed for all processes.
        """
        names = list(self._legs) if leg is None else [leg]
        for name in names:
            self._leg(name).reset()

    # -------------------------------------------------------------------------- health

    def health(self, legs: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Return what is known of legs, as JSON has it; quick, and never raises.

        For each leg: `state` (`closed`, `open`, `half-open`, or `paused` as the service
        has asked), `failure_rate` (`None` without calls), `calls`, `failures` and
        `slow_calls` in the window, `trips` (how often it opened without closing in
        between), `retry_after_s`, `last_error` (`type`, `message`, `status_code`,
        `at`), and of the last 200 answers in this process `ttft_s` and `answer_s`
        (`calls`, `p50`, `p95`). `shared` names the Redis server whose counts these are.

        Args:
            legs: Their names; all that were asked for if not given.
        """
        rows = [self._leg(name) for name in self._names(legs)]
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            for row in rows:
                row.refresh()
        # Else what is known here has to do: see `ahealth`.
        return {row.name: row.health() for row in rows}

    async def ahealth(
        self, legs: Iterable[str] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Do what `health` does, with what Redis has now, if circuits are shared."""
        rows = [self._leg(name) for name in self._names(legs)]
        for row in rows:
            await row.arefresh()
        return {row.name: row.health() for row in rows}

    def _names(self, legs: Iterable[str] | None) -> list[str]:
        return list(self._legs if legs is None else legs)

    # --------------------------------------------------------------------------- ends

    def close(self) -> None:
        """Tell Redis what was counted, and close the connections of threads."""
        if self._sharing is not None:
            self._sharing.close()

    async def aclose(self) -> None:
        """Do the same, and close the running loop's connections."""
        if self._sharing is not None:
            await self._sharing.aclose()


def _rebuild(cls: type[CircuitBreaker], options: dict[str, Any]) -> CircuitBreaker:
    return cls(**options)


# -------------------------------------------------------------------------- arguments

_SECONDS = ("window_s", "open_s", "max_open_s", "probe_timeout_s", "slow_call_s")


def _check(options: dict[str, Any]) -> None:
    def expect(name: str, rule: str, *, is_right: bool) -> None:
        if not is_right:
            msg = f"CircuitBreaker({name}={options[name]!r}): {name} must be {rule}."
            raise CerebrasConfigurationError(msg)

    rate, backoff = _number(options["failure_rate"]), _number(options["backoff"])
    expect("failure_rate", "above 0 and at most 1", is_right=0 < rate <= 1)
    for name in _SECONDS:
        if name == "slow_call_s" and options[name] is None:
            continue
        right = 0 < _number(options[name]) < math.inf
        expect(name, "seconds above 0", is_right=right)
    for name in ("min_calls", "half_open_probes"):
        count = options[name]
        right = isinstance(count, int) and _number(count) >= 1
        expect(name, "a whole number, 1 or more", is_right=right)
    expect("backoff", "a number, 1 or more", is_right=1 <= backoff < math.inf)
    least_s = options["open_s"]
    right = options["max_open_s"] >= least_s
    expect("max_open_s", f"at least open_s={least_s}", is_right=right)
    name = options["namespace"]
    right = isinstance(name, str) and bool(name)
    expect("namespace", "a text, not empty", is_right=right)
    for name in ("is_failure", "on_change", "clock"):
        right = options[name] is None or callable(options[name])
        expect(name, "a function", is_right=right)


def _number(value: object) -> float:
    """Return a number, or one that is in no range."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return math.nan
