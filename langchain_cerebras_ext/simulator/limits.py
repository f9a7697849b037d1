"""Rate limits: token buckets that refill all the time, one set for each model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_cerebras_ext.simulator import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext.simulator.faults import Fault
    from langchain_cerebras_ext.simulator.profiles import Rates

RESERVED_TOKENS = 16_384
"""Reserved for an answer when the request names no limit; also the most that is."""

_WINDOWS = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}


class Bucket:
    """A token bucket: what was spent comes back evenly over its window."""

    def __init__(self, capacity: float, window_s: float, now: float) -> None:
        self.capacity = capacity
        self.level = float(capacity)
        self._per_s = capacity / window_s
        self._seen = now

    def refill(self, now: float) -> None:
        """Add what came back since the last look."""
        earned = max(0.0, now - self._seen) * self._per_s
        self.level = min(self.capacity, self.level + earned)
        self._seen = now

    def wait_s(self, amount: float) -> float:
        """Return the seconds until an amount is there."""
        return max(0.0, amount - self.level) / self._per_s

    @property
    def reset_s(self) -> float:
        """Seconds until the bucket is full."""
        return self.wait_s(self.capacity)


@dataclass(slots=True)
class Reservation:
    """What an admitted request holds until its real cost is known."""

    tokens: int
    uncached: int


class Limiter:
    """Admits requests to one model, or refuses them as the service does.

    Args:
        rates: The account's limits.
        now: Seconds of a clock that never goes back.
        enforced: Whether anything is refused; without, only headers are kept.
    """

    def __init__(self, rates: Rates, now: float, *, enforced: bool) -> None:
        self._enforced = enforced
        self._requests = {
            "minute": Bucket(rates.requests_minute, _WINDOWS["minute"], now),
            "day": Bucket(rates.requests_day, _WINDOWS["day"], now),
        }
        self._uncached = Bucket(rates.uncached_minute, _WINDOWS["minute"], now)
        self._tokens = {
            "minute": Bucket(rates.tokens_minute, _WINDOWS["minute"], now),
        }
        if rates.tokens_hour:
            self._tokens["hour"] = Bucket(rates.tokens_hour, _WINDOWS["hour"], now)
        if rates.tokens_day:
            self._tokens["day"] = Bucket(rates.tokens_day, _WINDOWS["day"], now)

    def _refill(self, now: float) -> None:
        for bucket in (
            *self._requests.values(),
            self._uncached,
            *self._tokens.values(),
        ):
            bucket.refill(now)

    def admit(
        self, now: float, *, prompt: int, cached: int, completion: int | None
    ) -> Reservation | Fault:
        """Reserve for a request, or return the refusal.

        Args:
            now: Seconds of a clock that never goes back.
            prompt: Prompt tokens.
            cached: Those of them that are cached.
            completion: The request's own limit, None if it has none.
        """
        self._refill(now)
        expected = min(
            RESERVED_TOKENS if completion is None else completion, RESERVED_TOKENS
        )
        wanted = Reservation(prompt + expected, prompt - cached + expected)
        refusal = self._refusal(wanted)
        if refusal is not None and self._enforced:
            return refusal
        for bucket in self._requests.values():
            bucket.level = max(0.0, bucket.level - 1)
        self._spend(wanted.tokens, wanted.uncached)
        return wanted

    def _refusal(self, wanted: Reservation) -> Fault | None:
        for window, bucket in self._requests.items():
            if bucket.level < 1:
                wait = math.ceil(bucket.wait_s(1))
                return faults.requests_exceeded(window, wait)
        if self._uncached.level < wanted.uncached:
            wait = math.ceil(self._uncached.wait_s(wanted.uncached))
            return faults.tokens_exceeded("minute", wait)
        for window, bucket in self._tokens.items():
            if bucket.level < wanted.tokens:
                wait = math.ceil(bucket.wait_s(wanted.tokens))
                return faults.tokens_exceeded(window, wait)
        return None

    def settle(self, reservation: Reservation, *, tokens: int, uncached: int) -> None:
        """Replace a reservation by what the request really cost."""
        self._spend(tokens - reservation.tokens, uncached - reservation.uncached)

    def _spend(self, tokens: int, uncached: int) -> None:
        amounts = [(bucket, tokens) for bucket in self._tokens.values()]
        for bucket, amount in [*amounts, (self._uncached, uncached)]:
            left = bucket.level - amount
            floor = -math.inf if self._enforced else 0.0
            bucket.level = min(bucket.capacity, max(floor, left))

    def headers(self, now: float) -> Mapping[str, str]:
        """Return the `x-ratelimit-*` headers."""
        self._refill(now)
        requests, tokens = self._requests["day"], self._uncached
        return {
            "x-ratelimit-limit-requests-day": str(int(requests.capacity)),
            "x-ratelimit-limit-tokens-minute": str(int(tokens.capacity)),
            "x-ratelimit-remaining-requests-day": str(max(0, int(requests.level))),
            "x-ratelimit-remaining-tokens-minute": str(max(0, int(tokens.level))),
            "x-ratelimit-reset-requests-day": str(round(requests.reset_s, 3)),
            "x-ratelimit-reset-tokens-minute": str(round(tokens.reset_s, 3)),
        }
