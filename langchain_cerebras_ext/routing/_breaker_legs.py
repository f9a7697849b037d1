"""What a breaker keeps of one leg: its circuit, its times, its last error.

A try that has passed is a ticket. Who holds one ends it once; what comes later, or a
second time, changes nothing.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import weakref
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_cerebras_ext.errors import mask_secrets
from langchain_cerebras_ext.routing._breaker_memory import ORDINARY, Change, Circuit
from langchain_cerebras_ext.routing._leg import Refusal
from langchain_cerebras_ext.routing.policy import asked_wait_s, kind_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_cerebras_ext.routing._breaker_memory import Counts, Phase, Rules

__all__ = ["LocalLeg", "Passed", "Settings"]

_log = logging.getLogger("langchain_cerebras_ext.breaker")

_REMEMBERED: Final = 200
_SHOWN: Final = 300


class Settings(NamedTuple):
    """What is the same for all legs of a breaker; see `CircuitBreaker`."""

    rules: Rules
    slow_call_s: float | None
    is_failure: Callable[[BaseException], bool] | None
    on_change: Callable[[str, Phase, Phase], None] | None
    clock: Callable[[], float]


class Passed:
    """A try that a breaker has let pass.

    Attributes:
        number: Of the probe; `ORDINARY` if the circuit was closed.
        epoch: The circuit's when it passed.
        shared: The probe's id where processes share the circuit.
        is_local: Whether the circuit of this process alone has let it pass.
    """

    __slots__ = (
        "_began",
        "_ended",
        "_leg",
        "_spoke_at",
        "epoch",
        "is_local",
        "number",
        "shared",
    )

    def __init__(
        self,
        leg: LocalLeg,
        began: float,
        number: int,
        epoch: int,
        shared: str | None = None,
        is_local: bool = True,
    ) -> None:
        self._leg = leg
        self._began = began
        self._ended = False
        self._spoke_at: float | None = None
        self.number = number
        self.epoch = epoch
        self.shared = shared
        self.is_local = is_local

    @property
    def is_probe(self) -> bool:
        """Whether it tries out whether the leg works again."""
        return self.number != ORDINARY or self.shared is not None

    def spoke(self) -> None:
        """The first token of a stream has come."""
        if self._spoke_at is None:
            self._spoke_at = self._leg.settings.clock()

    def succeed(self) -> None:
        """The answer is whole, or the caller left after its first token."""
        leg = self._leg
        now = leg.settings.clock()
        first = now if self._spoke_at is None else self._spoke_at
        slow_s = leg.settings.slow_call_s
        slow = slow_s is not None and first - self._began > slow_s
        change = None
        with leg.lock:
            if self._ended:
                return
            self._ended = True
            if self._spoke_at is not None:
                leg.ttft_s.append(first - self._began)
            leg.answer_s.append(now - self._began)
            change = leg.finish(self, now, failed=slow, slow=slow)
        leg.finished(self, change, failed=slow)

    def fail(self, error: BaseException) -> None:
        """The leg has failed, by a fault of its own."""
        leg = self._leg
        settings = leg.settings
        try:
            kind = kind_of(error)
            wait_s = asked_wait_s(error)
            counts = settings.is_failure is None or bool(settings.is_failure(error))
        except Exception:  # noqa: BLE001 - an error's own attributes, or the user's function
            _log.exception("Leg %r: its error cannot be judged; it counts.", leg.name)
            kind, wait_s, counts = "unknown", None, True
        pause_s = None
        if kind in {"rate_limit", "quota"} and settings.is_failure is None:
            # The service works, and has said no to this account: see `CircuitBreaker`.
            counts = False
            pause_s = wait_s
            if pause_s is None and kind == "quota":
                pause_s = settings.rules.open_s
        now = settings.clock()
        with leg.lock:
            if self._ended:
                return
            self._ended = True
            leg.note(error)
            change = None
            if counts:
                change = leg.finish(self, now, failed=True, least_s=wait_s or 0.0)
            else:
                leg.release(self)
            if pause_s:
                leg.pause(now, pause_s)
        leg.finished(self, change, failed=counts or bool(pause_s))

    def release(self) -> None:
        """Nothing is known of the leg."""
        if not self.is_probe:
            self._ended = True
            return
        leg = self._leg
        with leg.lock:
            if self._ended:
                return
            self._ended = True
            leg.release(self)
        leg.finished(self, None, failed=False)


class LocalLeg:
    """A leg whose circuit this process has for itself.

    Attributes:
        name: The leg's.
        settings: The breaker's.
        circuit: Its state.
        lock: Held by whoever changes the state; never while anything waits.
        ttft_s: Times to the first token of the last streams.
        answer_s: Times to the end of the last answers.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.circuit = Circuit(settings.rules)
        # Reentrant: a garbage collection may end an abandoned stream anywhere.
        self.lock = threading.RLock()
        self.ttft_s: deque[float] = deque(maxlen=_REMEMBERED)
        self.answer_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._last: dict[str, Any] | None = None
        _legs.add(self)

    def after_fork(self) -> None:
        """Renew what a thread of the parent may have held."""
        self.lock = threading.RLock()

    # --------------------------------------------------------------------------- in

    def admit(self) -> Passed | Refusal:
        """Let a try pass, or say why not."""
        circuit, now = self.circuit, self.settings.clock()
        # Without the lock: a call that passes while another one opens the circuit is
        # as one that came just before.
        if circuit.phase == "closed" and circuit.pause_until is None:
            return Passed(self, now, ORDINARY, circuit.epoch)
        with self.lock:
            before = circuit.phase
            found = circuit.admit(now)
            after, epoch = circuit.phase, circuit.epoch
        if before != after:
            self.tell(Change(before, after))
        if isinstance(found, Refusal):
            return found
        return Passed(self, now, found, epoch)

    async def aadmit(self) -> Passed | Refusal:
        """As `admit`; nothing here waits."""
        return self.admit()

    # -------------------------------------------------------- out, with the lock held

    def finish(
        self,
        ticket: Passed,
        now: float,
        *,
        failed: bool,
        slow: bool = False,
        least_s: float = 0.0,
    ) -> Change | None:
        """Take note of how a try ended."""
        return self.circuit.finish(
            now, ticket.number, ticket.epoch, failed=failed, slow=slow, least_s=least_s
        )

    def release(self, ticket: Passed) -> None:
        """Take back a try that tells nothing."""
        self.circuit.release(ticket.number)

    def pause(self, now: float, seconds: float) -> None:
        """Leave the service alone for some time."""
        self.circuit.pause(now, seconds)

    def note(self, error: BaseException) -> None:
        """Remember the last error, without its frames and without what is secret."""
        self._last = _described(error)

    # ------------------------------------------------------- out, without the lock

    def finished(self, ticket: Passed, change: Change | None, *, failed: bool) -> None:
        """Do what follows from a try's end."""
        del ticket, failed  # for those who share
        if change is not None:
            self.tell(change)

    def tell(self, change: Change) -> None:
        """Log that the circuit has changed, and tell whoever wants to know."""
        if change.after == "open":
            last = f", at last with {self._last['type']}" if self._last else ""
            why = f"{change.counts.failures} of the last {change.counts.calls} calls"
            if change.before == "half-open":
                why = "a probe"
            said = "Leg %r: circuit open for %.0f s; %s failed%s."
            _log.warning(said, self.name, change.open_s, why, last)
        else:
            _log.info("Leg %r: circuit %s.", self.name, change.after)
        told = self.settings.on_change
        if told is None:
            return
        try:
            told(self.name, change.before, change.after)
        except Exception:  # noqa: BLE001 - it is not the call's fault
            _log.exception("on_change has failed for leg %r.", self.name)

    def reset(self) -> None:
        """Close the circuit, and forget what was counted."""
        with self.lock:
            change = self.circuit.close()
        if change.before != "closed":
            self.tell(change)

    # ------------------------------------------------------------------------- health

    def refresh(self) -> None:
        """Learn what others know."""

    async def arefresh(self) -> None:
        """Learn what others know."""

    def health(self) -> dict[str, Any]:
        """Return what is known of the leg, as JSON has it."""
        with self.lock:
            now, circuit = self.settings.clock(), self.circuit
            wait_s = None
            if circuit.phase == "open":
                wait_s = max(0.0, circuit.until - now)
            paused_s = circuit.paused_s(now)
            return self._row(
                circuit.phase, circuit.counts(now), circuit.trips, wait_s, paused_s
            )

    def _row(
        self,
        phase: Phase,
        counts: Counts,
        trips: int,
        wait_s: float | None,
        paused_s: float,
    ) -> dict[str, Any]:
        if paused_s:
            wait_s = max(paused_s, wait_s or 0.0)
        return {
            "state": "paused" if paused_s and phase == "closed" else phase,
            "failure_rate": counts.rate,
            "calls": counts.calls,
            "failures": counts.failures,
            "slow_calls": counts.slow,
            "trips": trips,
            "retry_after_s": wait_s,
            "last_error": dict(self._last) if self._last else None,
            "ttft_s": _spread(self.ttft_s),
            "answer_s": _spread(self.answer_s),
            "shared": None,
        }


# A child of `fork` has no other threads, but their locks as they were.
_legs: weakref.WeakSet[LocalLeg] = weakref.WeakSet()


def _after_fork() -> None:
    for leg in list(_legs):
        leg.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _described(error: BaseException) -> dict[str, Any]:
    try:
        text = mask_secrets(str(error))[:_SHOWN]
    except Exception:  # noqa: BLE001 - an error that cannot say what it is
        text = ""
    return {
        "type": type(error).__name__,
        "message": text,
        "status_code": status_of(error),
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def _spread(times: Iterable[float]) -> dict[str, Any] | None:
    """Return median and 95th percentile of the last times, by nearest rank."""
    ordered = sorted(times)
    if not ordered:
        return None
    count = len(ordered)
    return {
        "calls": count,
        "p50": ordered[math.ceil(0.5 * count) - 1],
        "p95": ordered[math.ceil(0.95 * count) - 1],
    }
