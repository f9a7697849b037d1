"""One leg's circuit: counts in a window, and what follows from them.

Without clock, lock or I/O: who calls says what time it is, and holds the lock.
`breaker.lua` is the same for circuits that processes share; a test holds the two
together.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from langchain_cerebras_ext.routing._leg import Refusal

__all__ = [
    "BUSY",
    "NOTHING",
    "OPEN",
    "ORDINARY",
    "PAUSED",
    "SLICES",
    "Change",
    "Circuit",
    "Counts",
    "Phase",
    "Rules",
]

Phase: TypeAlias = Literal["closed", "open", "half-open"]

SLICES: Final = 10
"""A window is so many slices; the oldest goes as a whole, so that a window is between
nine and ten tenths of its length."""

ORDINARY: Final = 0
"""The number of what passes a closed circuit; probes have numbers from 1."""

BUSY: Final = "circuit half-open, probes under way"
OPEN: Final = "circuit open"
PAUSED: Final = "the service asked to wait"


class Rules(NamedTuple):
    """When a circuit opens, and when it closes again; see `CircuitBreaker`."""

    failure_rate: float
    window_s: float
    min_calls: int
    open_s: float
    backoff: float
    max_open_s: float
    half_open_probes: int
    probe_timeout_s: float

    def open_for_s(self, trips: int, least_s: float = 0.0) -> float:
        """Return how long to stay open.

        Args:
            trips: How often it opened without closing in between, this one too.
            least_s: What the service asked for.
        """
        # A power that nobody can count is cut by the bound anyhow.
        longer = self.open_s * self.backoff ** min(trips - 1, 64)
        return min(max(longer, least_s), self.max_open_s)


class Counts(NamedTuple):
    """What a window has seen; `slow` are among `failures`."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    @property
    def rate(self) -> float | None:
        """The part of the calls that failed; `None` without calls."""
        return self.failures / self.calls if self.calls else None


NOTHING: Final = Counts()


class Change(NamedTuple):
    """A circuit that is no longer what it was.

    Attributes:
        before: Its phase until now.
        after: Its phase from now on.
        open_s: For how long, where it has opened.
        counts: What the window had seen.
    """

    before: Phase
    after: Phase
    open_s: float = 0.0
    counts: Counts = NOTHING


class Circuit:
    """One leg's circuit.

    Attributes:
        phase: Closed lets all pass, open nothing, half-open a few probes.
        epoch: Counts the changes of phase; what passed in an earlier one tells nothing
            of this one.
        trips: How often it has opened since it was closed.
        until: When an open one becomes half-open.
        pause_until: When the service wants to be asked again.
    """

    __slots__ = (
        "_calls",
        "_failures",
        "_probed",
        "_probes",
        "_serial",
        "_slot",
        "_slow",
        "_width_s",
        "epoch",
        "pause_until",
        "phase",
        "rules",
        "trips",
        "until",
    )

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.phase: Phase = "closed"
        self.epoch = 0
        self.trips = 0
        self.until = 0.0
        self.pause_until: float | None = None
        self._width_s = rules.window_s / SLICES
        self._serial = 0
        self._probed = 0
        self._probes: dict[int, float] = {}
        self._slot = 0
        self._clear()

    def _clear(self) -> None:
        self._calls = [0] * SLICES
        self._failures = [0] * SLICES
        self._slow = [0] * SLICES

    # --------------------------------------------------------------------------- in

    def admit(self, now: float) -> int | Refusal:
        """Let a call pass.

        Returns:
            `ORDINARY`, or the number of a probe, to be handed to `finish`.
        """
        paused_s = self.paused_s(now)
        if self.phase == "open" and now < self.until:
            return Refusal(OPEN, max(self.until - now, paused_s))
        if paused_s:
            return Refusal(PAUSED, paused_s)
        self.pause_until = None
        if self.phase == "closed":
            return ORDINARY
        if self.phase == "open":
            self._become("half-open")
        # Whoever has not come back was killed, or has lost its probe.
        for number, end in list(self._probes.items()):
            if end <= now:
                del self._probes[number]
        if self._probed + len(self._probes) >= self.rules.half_open_probes:
            return Refusal(BUSY)
        self._serial += 1
        self._probes[self._serial] = now + self.rules.probe_timeout_s
        return self._serial

    # -------------------------------------------------------------------------- out

    def finish(
        self,
        now: float,
        number: int,
        epoch: int,
        *,
        failed: bool,
        slow: bool = False,
        least_s: float = 0.0,
    ) -> Change | None:
        """Take note of how a call ended.

        Args:
            now: The time.
            number: What `admit` has returned.
            epoch: That of the moment when it passed.
            failed: Whether the leg has failed, or was slow.
            slow: Whether that is why.
            least_s: For how long the service asked not to be asked.
        """
        if number != ORDINARY:
            return self._probed_by(now, number, failed=failed, least_s=least_s)
        if epoch != self.epoch or self.phase != "closed":
            return None
        slot = int(now / self._width_s)
        if slot != self._slot:
            self._roll(slot)
        at = slot % SLICES
        self._calls[at] += 1
        if not failed:
            return None
        self._failures[at] += 1
        self._slow[at] += slow
        counts = self.counts(now)
        if counts.calls < self.rules.min_calls:
            return None
        # Not by the quotient: 3 of 10 are 0.3, whatever 3 / 10 is.
        if counts.failures < self.rules.failure_rate * counts.calls:
            return None
        return self.trip(now, least_s)

    def _probed_by(
        self, now: float, number: int, *, failed: bool, least_s: float
    ) -> Change | None:
        if self._probes.pop(number, None) is None or self.phase != "half-open":
            return None
        if failed:
            return self.trip(now, least_s)
        self._probed += 1
        if self._probed < self.rules.half_open_probes:
            return None
        return self.close()

    def release(self, number: int) -> None:
        """Take a probe back that has told nothing; another may pass."""
        self._probes.pop(number, None)

    def pause(self, now: float, seconds: float) -> None:
        """Let nothing pass for some time, since the service wants it so."""
        until = now + min(seconds, self.rules.max_open_s)
        self.pause_until = max(until, self.pause_until or until)

    def paused_s(self, now: float) -> float:
        """Return for how long the service wants to be left alone."""
        return max(0.0, (self.pause_until or now) - now)

    # ------------------------------------------------------------------------ phases

    def trip(self, now: float, least_s: float = 0.0) -> Change:
        """Open."""
        before, counts = self.phase, self.counts(now)
        self.trips += 1
        open_s = self.rules.open_for_s(self.trips, least_s)
        self.until = now + open_s
        self._become("open")
        return Change(before, "open", open_s, counts)

    def close(self) -> Change:
        """Close, and begin to count anew."""
        before = self.phase
        self.trips = 0
        self.pause_until = None
        self._clear()
        self._become("closed")
        return Change(before, "closed")

    def _become(self, phase: Phase) -> None:
        self.phase = phase
        self.epoch += 1
        self._probed = 0
        self._probes.clear()

    # ------------------------------------------------------------------------ window

    def _roll(self, slot: int) -> None:
        """Empty the slices between the last time and this one."""
        for passed in range(max(self._slot + 1, slot - SLICES + 1), slot + 1):
            at = passed % SLICES
            self._calls[at] = self._failures[at] = self._slow[at] = 0
        self._slot = max(slot, self._slot)

    def counts(self, now: float) -> Counts:
        """Return what the window has seen."""
        self._roll(int(now / self._width_s))
        return Counts(sum(self._calls), sum(self._failures), sum(self._slow))
