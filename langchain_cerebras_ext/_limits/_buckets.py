"""Token buckets of one model: arithmetic only, no clock, no lock, no I/O.

The service counts a request when it arrives, and gives back what was reserved too much
when it has answered. We know neither moment, only when we let the request go and when
its answer was here. So a bucket here is a *lower bound* of the service's: it has at
least what we think.

- A bucket that was full fills up again from the moment at which the request *arrived*,
  at most `latency_s` after it was sent. Until then it is taken as not refilling. That
  costs `latency_s` of refill once, each time a full bucket is first used, and nothing
  while it is in steady use. (Without it the sixth request on 5 a minute comes as early
  as the five before it came late.)
- What is given back may have been given back by the service a while ago, and its
  bucket may have overflowed then. So giving back never fills a bucket further than to
  its capacity less what others may have taken since. That while is a round trip on an
  open connection, a fourth of `latency_s`, which has room for new ones and for threads
  that wake late. (With the whole of it a limit of a few reservations would lose a tenth
  of what it allows where answers take long, against one refusal in some hundred hours
  on a network that is that slow.)
- Our refill is slower than the service's by `MARGIN`, since no two clocks agree.

`line.lua` says the same in Lua; a test holds the two together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_cerebras_ext._limits._numbers import KINDS, WINDOW_S, Limit, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_cerebras_ext._limits._learning import Closure, Reading
    from langchain_cerebras_ext._limits._numbers import Kind, Source, Window

__all__ = ["MARGIN", "NOTHING", "Amounts", "Bucket", "BucketSet", "Snapshot"]

MARGIN: Final = 0.001
"""How much slower than the service we refill: NTP slews clocks by half of this."""

_A_LITTLE_S: Final = 0.0001  # a wait that is not cut short by rounding
_ROUND_TRIPS: Final = 4
_LATENCY_SHARE: Final = 0.1
_PROMPT_S: Final = 0.01
_SHORTEST_SLOT_S: Final = 0.001
_MINUTE_S: Final = 60.0
_GUESS_SHRINKS: Final = 0.8
_GUESS_GROWS: Final = 1.1
_NEVER: Final = -math.inf


class Amounts(NamedTuple):
    """What a request takes, or has taken, in the order of `KINDS`."""

    requests: float
    tokens: float
    uncached: float


NOTHING: Final = Amounts(0, 0, 0)


class Snapshot(NamedTuple):
    """What was known when a request was let go; read again when its answer is here.

    Attributes:
        at: When that was.
        back: What had been given back until then.
        spent: What all requests that had ended by then had used.
    """

    at: float
    back: Amounts
    spent: Amounts


class _Mark(NamedTuple):
    """The sums at the beginning of a slot.

    Attributes:
        at: When it began.
        taken: What all requests had taken.
        spent: What those that had ended had used.
    """

    at: float
    taken: Amounts
    spent: Amounts


class Bucket:
    """One limit: what was taken comes back evenly over its window.

    Attributes:
        latency_s: How long a request is on its way at most.
        most: What its capacity is never raised above.
        full_at: When it is full again, had requests arrived as they were sent.
        since: When it was last full.
        grown_at: When a guessed capacity was last raised.
    """

    __slots__ = (
        "capacity",
        "full_at",
        "grown_at",
        "index",
        "kind",
        "latency_s",
        "most",
        "rate",
        "since",
        "source",
        "window",
    )

    def __init__(self, limit: Limit, latency_s: float) -> None:
        self.kind: Kind = limit.kind
        self.window: Window = limit.window
        self.source: Source = limit.source
        self.index = KINDS.index(limit.kind)
        # Of a second's limit it would leave nothing.
        self.latency_s = min(latency_s, _LATENCY_SHARE * WINDOW_S[limit.window])
        self.most = limit.capacity if limit.source == "yours" else math.inf
        self.full_at = self.since = self.grown_at = _NEVER
        self.resize(limit.capacity)

    def resize(self, capacity: float) -> None:
        """Change the capacity; the bucket stays as full as it was, in proportion."""
        self.capacity = min(capacity, self.most)
        self.rate = self.capacity / WINDOW_S[self.window] * (1.0 - MARGIN)

    def behind_s(self, now: float) -> float:
        """Return how many seconds of refill are missing; 0 or less if it is full."""
        return self.full_at - now + min(self.latency_s, now - self.since)

    def level(self, now: float) -> float:
        """Return what is there; below zero if more was used than was there."""
        behind = self.behind_s(now)
        return self.capacity if behind <= 0.0 else self.capacity - self.rate * behind

    def wait_s(self, now: float, amount: float) -> float:
        """Return the seconds until an amount is there, though nothing is given back."""
        if self.level(now) >= amount:
            return 0.0
        missing = (self.capacity - amount) / self.rate
        return self.full_at + self.latency_s - missing - now + _A_LITTLE_S

    def take(self, now: float, amount: float) -> None:
        """Take an amount, be it there or not."""
        if self.full_at < now:
            if self.behind_s(now) <= 0.0:
                self.since = now
            # The service's may be full until this request arrives.
            self.full_at = now
        self.full_at += amount / self.rate

    def set_level(self, now: float, level: float) -> None:
        """Put the level right."""
        missing = max(0.0, self.capacity - level) / self.rate
        self.full_at = now + missing - min(now - self.since, self.latency_s)

    def lift(self, now: float, level: float, others: float) -> None:
        """Raise the level, as far as the service's can have been as high.

        Args:
            now: The time.
            level: What it would be, had the service's bucket room enough.
            others: What other requests took meanwhile. The service's may have been full
                until the last of them arrived, which may be yet to come.
        """
        most = self.capacity - others
        if level < most - self.rate * self.latency_s:
            self.set_level(now, level)
            return
        level = min(level, most)
        if level > self.level(now):
            self.since = now
            self.full_at = now + (self.capacity - level) / self.rate


class BucketSet:
    """All limits of one model.

    Args:
        limits: Those that are known.
        latency_s: How long a request, or its answer, is on its way at most.
        learn: Whether limits that are not known may be guessed from refusals.

    Attributes:
        under_way: What the requests hold that have not ended.
    """

    __slots__ = (
        "_back",
        "_buckets",
        "_closed",
        "_latency_s",
        "_learn",
        "_marks",
        "_minute_end",
        "_minute_marks",
        "_open_at",
        "_round_trip_s",
        "_slot_s",
        "_spent",
        "_taken",
        "_values",
        "under_way",
    )

    def __init__(
        self, limits: Iterable[Limit], *, latency_s: float, learn: bool = True
    ) -> None:
        self._buckets = {limit.key: Bucket(limit, latency_s) for limit in limits}
        self._values = tuple(self._buckets.values())
        self._latency_s = latency_s
        self._learn = learn
        self.under_way = [0.0, 0.0, 0.0]
        self._taken = [0.0, 0.0, 0.0]
        self._spent = [0.0, 0.0, 0.0]
        self._back = [0.0, 0.0, 0.0]
        # A request sent before the oldest mark had arrived when an answer that is here
        # now left; a mark is made in each half of that time.
        self._round_trip_s = latency_s / _ROUND_TRIPS
        self._slot_s = max(self._round_trip_s / 2, _SHORTEST_SLOT_S)
        self._marks = [_Mark(_NEVER, NOTHING, NOTHING)]
        self._minute_end = _NEVER
        self._minute_marks = (NOTHING, NOTHING)
        self._closed: dict[str, float] = {}
        self._open_at = _NEVER

    @property
    def buckets(self) -> Sequence[Bucket]:
        """The buckets, those that were learned last."""
        return self._values

    def level(self, bucket: Bucket, now: float) -> float:
        """Return what is in a bucket."""
        return bucket.level(now)

    def closed_for_s(self, now: float) -> dict[str, float]:
        """Return for how many seconds the service wants no more, and of what."""
        return {key: until - now for key, until in self._closed.items() if until > now}

    # ------------------------------------------------------------------- how long

    def exceeded(self, need: Amounts) -> Bucket | None:
        """Return a bucket that can never hold this much."""
        for bucket in self._values:
            if need[bucket.index] > bucket.capacity:
                if bucket.source != "guessed":
                    return bucket
                bucket.resize(need[bucket.index])
        return None

    def wait_s(self, now: float, need: Amounts) -> float:
        """Return the seconds until an amount is there, though nothing is given back."""
        longest = 0.0 if self._open_at <= now else self._open_at - now
        for bucket in self._values:
            wait = bucket.wait_s(now, need[bucket.index])
            if wait > longest:  # noqa: PLR1730 - this is the hot path
                longest = wait
        return longest

    def least_wait_s(self, now: float, need: Amounts, ahead: int = 0) -> float:
        """Return a wait that cannot be shortened, were all tokens given back.

        Args:
            now: The time.
            need: What is asked for.
            ahead: How many requests stand in line before this one.
        """
        longest = max(0.0, self._open_at - now)
        for bucket in self._values:
            index = bucket.index
            amount = need[index] - self.under_way[index] if index else need[0] + ahead
            wait = bucket.wait_s(now, amount)
            longest = max(longest, wait)
        return longest

    # ------------------------------------------------------------ take, give back

    def take(self, now: float, need: Amounts) -> Snapshot:
        """Take an amount, be it there or not."""
        if now >= self._marks[-1].at + self._slot_s:
            self._turn(now)
        for bucket in self._values:
            bucket.take(now, need[bucket.index])
        taken, under_way = self._taken, self.under_way
        for index in (0, 1, 2):
            taken[index] += need[index]
            under_way[index] += need[index]
        return Snapshot(now, Amounts(*self._back), Amounts(*self._spent))

    def claim(self, now: float, need: Amounts, at: Snapshot) -> Snapshot:
        """Take again what was taken for somebody who has come for it only now.

        It is sent now, and so arrives later than was reckoned with.
        """
        if now <= at.at + _PROMPT_S:
            return at
        for bucket in self._values:
            bucket.full_at -= need[bucket.index] / bucket.rate
            bucket.take(now, need[bucket.index])
        for index in (0, 1, 2):
            self._taken[index] += need[index]
        return Snapshot(now, Amounts(*self._back), Amounts(*self._spent))

    def settle(self, now: float, need: Amounts, used: Amounts, at: Snapshot) -> None:
        """Replace what was taken by what was used."""
        if now >= self._marks[-1].at + self._slot_s:
            self._turn(now)
        spent, back, under_way = self._spent, self._back, self.under_way
        for index in (0, 1, 2):
            under_way[index] -= need[index]
        others = self._meanwhile(need, at)
        for bucket in self._values:
            index = bucket.index
            surplus = need[index] - used[index]
            if surplus > 0:
                level = bucket.level(now) + surplus
                bucket.lift(now, level, others[index])
            elif surplus < 0:
                bucket.take(now, -surplus)
        for index in (0, 1, 2):
            spent[index] += used[index]
            back[index] += need[index] - used[index]

    def lose(self, need: Amounts) -> None:
        """Leave an amount spent: nobody knows what was used of it."""
        for index in (0, 1, 2):
            self.under_way[index] -= need[index]
            self._spent[index] += need[index]

    def _meanwhile(self, need: Amounts, at: Snapshot) -> list[float]:
        """Return what others may have taken since the service gave an amount back.

        That was after the request was sent, and within the latency before its answer
        was here. Who has ended since has taken what it used; who is under way counts
        in full, unless it was sent so long before that it had arrived.
        """
        mark = self._marks[0]
        own = need if at.at >= mark.at else NOTHING
        others: list[float] = []
        for index in (0, 1, 2):
            recent = self._taken[index] - mark.taken[index] - own[index]
            ended = self._spent[index] - max(at.spent[index], mark.spent[index])
            others.append(min(self.under_way[index], recent) + ended)
        return others

    def _turn(self, now: float) -> None:
        """Begin a new slot, and a new minute if one has passed."""
        marks = self._marks
        marks.append(_Mark(now, Amounts(*self._taken), Amounts(*self._spent)))
        while len(marks) > 1 and marks[1].at <= now - self._round_trip_s:
            del marks[0]
        if now >= self._minute_end:
            net = self._net()
            late = now >= self._minute_end + _MINUTE_S
            self._minute_marks = (net if late else self._minute_marks[1], net)
            self._minute_end = now + _MINUTE_S

    def _net(self) -> Amounts:
        spent, held = self._spent, self.under_way
        return Amounts(spent[0] + held[0], spent[1] + held[1], spent[2] + held[2])

    def _in_last_minute(self, now: float, index: int) -> float:
        before, begin = self._minute_marks
        passed = max(0.0, min(1.0, 1.0 - (self._minute_end - now) / _MINUTE_S))
        older = (1.0 - passed) * (begin[index] - before[index])
        return self._net()[index] - begin[index] + older

    # ---------------------------------------------------------------------- learn

    def learn(
        self,
        now: float,
        reading: Reading,
        used: Amounts,
        at: Snapshot,
    ) -> None:
        """Take in what an answer said about one limit.

        What remains is true for a moment between the request's sending and its
        answer's coming. It may leave out others that arrived later, and may have in it
        what others get back later here. So it bounds the level from both sides, and a
        level within the bounds is left as it is: answers may come in any order.

        Args:
            now: The time.
            reading: What was said.
            used: What the request has used, which was settled just before.
            at: What was known when it was let go.
        """
        key = key_of(reading.kind, reading.window)
        bucket = self._buckets.get(key)
        is_new = bucket is None
        if reading.limit is not None:
            if bucket is None:
                bucket = self._add(reading.kind, reading.window, reading.limit)
            elif bucket.source != "yours":
                bucket.source = "learned"
            bucket.resize(reading.limit)
        if bucket is None or reading.remaining is None:
            return
        index = bucket.index
        given_back = self._back[index] - at.back[index]
        highest = reading.remaining + 1 + bucket.rate * (now - at.at) + given_back
        ended = self._spent[index] - at.spent[index] - used[index]
        others = self.under_way[index] + ended
        lowest = reading.remaining - others
        level = bucket.level(now)
        if is_new:
            bucket.since = now
            bucket.set_level(now, lowest)
        elif level > highest:
            bucket.set_level(now, highest)
        elif level < lowest and bucket.source != "yours":
            bucket.lift(now, lowest, others)

    def close(self, now: float, closure: Closure, need: Amounts) -> None:
        """Take in that the service has refused a request for one limit."""
        known = self._buckets
        kind = closure.kinds[0]
        for each in reversed(closure.kinds):
            if key_of(each, closure.window) in known:
                kind = each
        key = key_of(kind, closure.window)
        bucket = known.get(key)
        index = KINDS.index(kind)
        if bucket is None and self._learn and closure.window == "minute":
            guess = max(need[index], self._in_last_minute(now, index))
            bucket = self._add(kind, closure.window, guess, "guessed")
        elif bucket is not None and bucket.source == "guessed":
            bucket.resize(max(need[index], _GUESS_SHRINKS * bucket.capacity))
        wait_s = closure.wait_s
        if bucket is not None:
            bucket.grown_at = now
            # A request that never fits here is refused before it is sent.
            if wait_s is None:
                wait_s = min(need[index], bucket.capacity) / bucket.rate
            level = bucket.level(now)
            bucket.set_level(now, min(level, 0.0))
        elif wait_s is None:
            wait_s = max(1.0, WINDOW_S[closure.window] / 60.0)
        self._closed[key] = max(self._closed.get(key, _NEVER), now + wait_s)
        self._open_at = max(self._open_at, now + wait_s)

    def grow(self, now: float) -> None:
        """Raise guessed capacities after a minute without a refusal."""
        for bucket in self._values:
            if bucket.source == "guessed" and now >= bucket.grown_at + _MINUTE_S:
                bucket.grown_at = now
                bucket.resize(_GUESS_GROWS * bucket.capacity)

    def _add(
        self, kind: Kind, window: Window, capacity: float, source: Source = "learned"
    ) -> Bucket:
        bucket = Bucket(Limit(kind, window, capacity, source), self._latency_s)
        self._buckets[key_of(kind, window)] = bucket
        self._values = tuple(self._buckets.values())
        return bucket
