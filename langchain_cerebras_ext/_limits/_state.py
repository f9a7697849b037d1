"""What a limiter shows of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext._limits._numbers import Kind, Source, Window

__all__ = ["BucketState", "LimiterState"]


@dataclass(frozen=True, slots=True)
class BucketState:
    """One limit at a moment.

    Attributes:
        kind: `requests`, `tokens` (all of them) or `uncached` tokens.
        window: In which the capacity comes back.
        capacity: The most that can be there.
        level: What is there, all requests under way taken off; a lower bound of what
            the service has, below zero if more was used than was there.
        source: Where the capacity is from: `yours`, the `catalog`, `learned` from
            headers, or `guessed` from refusals.
    """

    kind: Kind
    window: Window
    capacity: float
    level: float
    source: Source

    @property
    def key(self) -> str:
        """Its name, as `tokens/minute`."""
        return f"{self.kind}/{self.window}"


@dataclass(frozen=True, slots=True)
class LimiterState:
    """The limits of one model at a moment; printed, a line for each.

    Attributes:
        model: The model.
        buckets: Its limits, as far as they are known.
        closed_for_s: For each limit that the service has refused a request for: for
            how many seconds more it wants none.
        waiting: How many requests stand in line, in all processes.
        under_way: How many were sent and have not ended.
        shared: Where the limits are kept, if not in this process alone.
    """

    model: str
    buckets: tuple[BucketState, ...]
    closed_for_s: Mapping[str, float] = field(default_factory=dict[str, float])
    waiting: int = 0
    under_way: int = 0
    shared: str | None = None

    def __getitem__(self, key: str) -> BucketState:
        """Return one limit, by its name as `tokens/minute`."""
        for bucket in self.buckets:
            if bucket.key == key:
                return bucket
        known = ", ".join(bucket.key for bucket in self.buckets) or "none"
        msg = f"No limit {key!r} of '{self.model}' is known. Known: {known}."
        raise KeyError(msg)

    def __str__(self) -> str:
        """Return a line for each limit, and one for who waits."""
        where = f" at {self.shared}" if self.shared else ""
        lines = [
            f"{self.model}: {self.under_way} under way, {self.waiting} waiting{where}"
        ]
        lines.extend(
            f"  {bucket.key:<16} {bucket.level:>12,.0f} of {bucket.capacity:>12,.0f}"
            f"  {bucket.source}"
            for bucket in self.buckets
        )
        lines.extend(
            f"  {key} is closed for {seconds:,.1f} s more"
            for key, seconds in self.closed_for_s.items()
        )
        if not self.buckets:
            lines.append("  no limit is known")
        return "\n".join(lines)
