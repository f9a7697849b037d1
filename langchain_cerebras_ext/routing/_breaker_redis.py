"""Circuits that processes and hosts share, in Redis or Valkey.

What passes a closed circuit is decided by what was last heard, is counted here, and
told in the background: soon, or at once if it failed. All else (a probe, its end, an
opening) is one call of `breaker.lua`, atomic and on the server's clock. What has not
been heard of for a second is asked for before the next call passes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import threading
import time
import uuid
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_cerebras_ext._limits._server import RedisServer
from langchain_cerebras_ext.errors import RateLimiterBackendError, mask_secrets
from langchain_cerebras_ext.routing._breaker_legs import LocalLeg, Passed
from langchain_cerebras_ext.routing._breaker_memory import (
    BUSY,
    NOTHING,
    OPEN,
    ORDINARY,
    PAUSED,
    SLICES,
    Change,
    Counts,
)
from langchain_cerebras_ext.routing._leg import Refusal

if TYPE_CHECKING:
    from langchain_cerebras_ext.routing._breaker_legs import Settings
    from langchain_cerebras_ext.routing._breaker_memory import Phase

__all__ = ["SharedLeg", "Sharing"]

_log = logging.getLogger("langchain_cerebras_ext.breaker")

FRESH_S: Final = 1.0
"""What was heard longer ago is asked for anew before a call passes."""

TELL_S: Final = 0.25
"""How long good news may wait to be told."""

BUSY_S: Final = 0.1
"""While others probe, nobody asks again for so long."""

_IDLE_S: Final = 5.0  # without work the thread ends
_AWAY_S: Final = 5.0  # a server that has failed is left alone for so long
_EXIT_S: Final = 2.0
_OTHER_CLOCK_S: Final = 10.0
_SHOWN: Final = 300
# A step takes well under a millisecond, and a call waits for some; a URL may say
# otherwise.
_PATIENCE: Final = {"socket_connect_timeout": 1, "socket_timeout": 1}


class _Server(RedisServer):
    """The server, with the breaker's script and patience."""

    def __init__(self, url: str) -> None:
        super().__init__(_impatient(url), falls_back=True, retry_after_s=_AWAY_S)
        place = resources.files("langchain_cerebras_ext.routing")
        self._text = place.joinpath("breaker.lua").read_text("utf-8")

    def _failed(self, error: Exception) -> RateLimiterBackendError:
        is_news = self._down_until is None
        self._down_until = time.monotonic() + self._retry_after_s
        told = mask_secrets(f"{type(error).__name__}: {error}", *self._secrets)
        msg = (
            f"Circuits are shared in Redis at {self.place}, which cannot be used: "
            f"{told[:_SHOWN]}. Until it is back each process has circuits of its own. "
            "Check that it runs and may be reached from here, and the URL's user, "
            "password and database."
        )
        if is_news:
            _log.warning("%s", msg)
        return RateLimiterBackendError(msg)


def _impatient(url: str) -> str:
    """Return a URL with our timeouts, unless it has its own."""
    missing = [f"{name}={s}" for name, s in _PATIENCE.items() if f"{name}=" not in url]
    if not missing:
        return url
    return f"{url}{'&' if '?' in url else '?'}{'&'.join(missing)}"


@dataclass(slots=True)
class _View:
    """A shared circuit as it was last heard of; times are this process's.

    Attributes:
        fresh_until: When it is to be asked for anew.
        at: The server's time then.
    """

    phase: Phase = "closed"
    epoch: int = 0
    trips: int = 0
    until: float = 0.0
    pause_until: float = 0.0
    busy_until: float = 0.0
    fresh_until: float = float("-inf")
    at: float = 0.0
    counts: Counts = NOTHING


class SharedLeg(LocalLeg):
    """A leg whose circuit is in Redis; that of this process is for when it is away."""

    def __init__(self, name: str, settings: Settings, sharing: Sharing) -> None:
        super().__init__(name, settings)
        self._sharing = sharing
        self._view = _View()
        self._tally = [0, 0, 0]
        self._least_s = 0.0
        self._ends: list[tuple[str, str, float]] = []
        self._pause_s: float | None = None
        self.is_posted = False
        self._telling = threading.RLock()  # a listener may ask how things are

    def after_fork(self) -> None:
        """Renew what a thread of the parent may have held."""
        super().after_fork()
        self._telling = threading.RLock()

    # --------------------------------------------------------------------------- in

    def admit(self) -> Passed | Refusal:
        """Let a try pass, or say why not."""
        found = self._known()
        if found is not None:
            return found
        claim = uuid.uuid4().hex
        try:
            reply = self._sharing.run(self.name, self._take({"claim": claim}))
        except RateLimiterBackendError:
            return super().admit()
        except BaseException:
            self._unclaim(claim)
            raise
        return self._claimed(reply, claim)

    async def aadmit(self) -> Passed | Refusal:
        """As `admit`, without blocking the event loop."""
        found = self._known()
        if found is not None:
            return found
        claim = uuid.uuid4().hex
        try:
            reply = await self._sharing.arun(self.name, self._take({"claim": claim}))
        except RateLimiterBackendError:
            return super().admit()
        except BaseException:  # cancelled, and perhaps it was granted
            self._unclaim(claim)
            raise
        return self._claimed(reply, claim)

    def _known(self) -> Passed | Refusal | None:
        """Return what follows from what was last heard; `None` if Redis must say."""
        if self._sharing.is_down:
            return super().admit()
        view, now = self._view, self.settings.clock()
        paused_s = max(0.0, view.pause_until - now)
        if view.phase == "open" and view.until > now:
            return Refusal(OPEN, max(view.until - now, paused_s))
        if paused_s:
            return Refusal(PAUSED, paused_s)
        if view.phase == "closed" and view.fresh_until > now:
            return Passed(self, now, ORDINARY, view.epoch, None, False)
        return Refusal(BUSY) if view.busy_until > now else None

    def _claimed(self, reply: dict[str, Any], claim: str) -> Passed | Refusal:
        now = self.settings.clock()
        self._heard(reply)
        answer = reply["answer"]
        if answer == "pass":
            return Passed(self, now, ORDINARY, reply["epoch"], None, False)
        if answer == "probe":
            return Passed(self, now, ORDINARY, reply["epoch"], claim, False)
        if answer == "paused":
            return Refusal(PAUSED, float(reply["pause_s"]))
        if answer == "open":
            return Refusal(OPEN, max(float(reply["open_s"]), float(reply["pause_s"])))
        self._view.busy_until = now + BUSY_S
        return Refusal(BUSY)

    def _unclaim(self, claim: str) -> None:
        with self.lock:
            self._ends.append((claim, "none", 0.0))
        self._sharing.post(self, urgent=True)

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
        """Put down how a try ended, to be told."""
        if ticket.is_local:
            return super().finish(
                ticket, now, failed=failed, slow=slow, least_s=least_s
            )
        if ticket.shared is not None:
            verdict = "failed" if failed else "ok"
            self._ends.append((ticket.shared, verdict, least_s))
            return None
        if ticket.epoch == self._view.epoch:
            tally = self._tally
            tally[0] += 1
            tally[1] += failed
            tally[2] += slow
            self._least_s = max(self._least_s, least_s)
        # The own circuit counts on, and leaves it to the shared one to open.
        own = self.circuit
        if own.finish(now, ORDINARY, own.epoch, failed=failed, slow=slow) is not None:
            own.close()
        return None

    def release(self, ticket: Passed) -> None:
        """Take back a try that tells nothing."""
        if ticket.is_local:
            super().release(ticket)
        elif ticket.shared is not None:
            self._ends.append((ticket.shared, "none", 0.0))

    def pause(self, now: float, seconds: float) -> None:
        """Leave the service alone for some time, and have the others do so."""
        super().pause(now, seconds)
        self._pause_s = max(seconds, self._pause_s or 0.0)
        until = self.circuit.pause_until or 0.0
        self._view.pause_until = max(until, self._view.pause_until)

    # ------------------------------------------------------- out, without the lock

    def finished(self, ticket: Passed, change: Change | None, *, failed: bool) -> None:
        """Have it told: bad news and probes' ends at once."""
        super().finished(ticket, change, failed=failed)
        if ticket.is_local:
            return
        if failed or ticket.shared is not None:
            self._sharing.post(self, urgent=True)
        elif not self.is_posted:
            self.is_posted = True
            self._sharing.post(self, urgent=False)

    def reset(self) -> None:
        """Close the circuit, for all who share it."""
        super().reset()
        self._told({"reset": True})

    def refresh(self) -> None:
        """Learn what others know, and tell what is to be told."""
        self._told({})

    async def arefresh(self) -> None:
        """Learn what others know, without blocking the event loop."""
        await asyncio.to_thread(self.refresh)

    def _told(self, todo: dict[str, Any]) -> None:
        # One after the other: who asks how things are wants to know all that was told
        # before. No call waits for this.
        with self._telling:
            step = self._take(todo)
            if self._sharing.is_down:
                return  # the own circuit has counted it
            try:
                reply = self._sharing.run(self.name, step)
            except RateLimiterBackendError:
                return
            self._heard(reply)

    # -------------------------------------------------------------------------- Redis

    def _take(self, todo: dict[str, Any]) -> dict[str, Any]:
        """Return a step, with what is to be told."""
        with self.lock:
            self.is_posted = False
            calls, failures, slow = self._tally
            if calls:
                todo["tally"] = {
                    "epoch": self._view.epoch,
                    "calls": calls,
                    "failures": failures,
                    "slow": slow,
                    "least_s": self._least_s,
                }
            if self._ends:
                todo["ends"] = self._ends
            if self._pause_s is not None:
                todo["pause_s"] = self._pause_s
            self._forget()
        return todo

    def _forget(self) -> None:
        self._tally = [0, 0, 0]
        self._least_s = 0.0
        self._ends = []
        self._pause_s = None

    def _heard(self, reply: dict[str, Any]) -> None:
        """Take over what Redis says, unless something newer was heard meanwhile."""
        at = float(reply["at"])
        with self.lock:
            view, now = self._view, self.settings.clock()
            if 0 < view.at - at < _OTHER_CLOCK_S:
                return
            before = view.phase
            open_s, pause_s = float(reply["open_s"]), float(reply["pause_s"])
            counts = Counts(reply["calls"], reply["failures"], reply["slow"])
            if reply["epoch"] != view.epoch:
                self._tally = [0, 0, 0]  # of what was before
                view.busy_until = 0.0
            view.at = at
            view.phase, view.epoch = reply["phase"], reply["epoch"]
            view.trips, view.counts = reply["trips"], counts
            view.until = now + open_s
            if self._pause_s is None:  # else that is not told yet
                view.pause_until = now + pause_s
            view.fresh_until = now + FRESH_S
            self._follow(view)
        if before != view.phase:
            self.tell(Change(before, view.phase, open_s, counts))

    def _follow(self, view: _View) -> None:
        """Let the own circuit be as the shared one, for when Redis is away."""
        own = self.circuit
        if view.phase == "closed":
            if own.phase != "closed":
                own.close()
        elif own.phase == "closed":
            own.trip(self.settings.clock())
            own.until = view.until
        if own.phase == "open" and view.phase == "open":
            own.until, own.trips = view.until, view.trips

    # ------------------------------------------------------------------------- health

    def health(self) -> dict[str, Any]:
        """Return what is known of the leg: what all have seen, if Redis is there."""
        if self._sharing.is_down or not self._view.at:
            return super().health()
        with self.lock:
            view, now = self._view, self.settings.clock()
            wait_s = max(0.0, view.until - now) if view.phase == "open" else None
            paused_s = max(0.0, view.pause_until - now)
            row = self._row(view.phase, view.counts, view.trips, wait_s, paused_s)
        row["shared"] = self._sharing.place
        return row


class Sharing:
    """What the shared legs of one breaker have in common: a server, and a thread.

    Args:
        url: The server's.
        namespace: Begins the names of all keys.
        settings: The breaker's.
        own_time: Whether the breaker's clock is used in Redis, too.

    Raises:
        CerebrasConfigurationError: The URL is none of Redis.
        MissingExtraError: The `redis` package is not installed.
    """

    def __init__(
        self, url: str, namespace: str, settings: Settings, *, own_time: bool
    ) -> None:
        self._server = _Server(url)
        self._namespace = namespace
        self._settings = settings
        self._own_time = own_time
        self._rules = json.dumps({**settings.rules._asdict(), "slices": SLICES})
        self._reset()

    def _reset(self) -> None:
        # Its `put` may come in the middle of another one, as a garbage collection does.
        self._queue: queue.SimpleQueue[tuple[SharedLeg, bool] | None]
        self._queue = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def __repr__(self) -> str:
        """Name the server, without its password."""
        return f"<Sharing {self.place}>"

    @property
    def place(self) -> str:
        """The server, without its password."""
        return self._server.place

    @property
    def is_down(self) -> bool:
        """Whether the server was not to be reached a moment ago."""
        return self._server.is_down

    def leg(self, name: str) -> SharedLeg:
        """Make a leg whose circuit is shared."""
        return SharedLeg(name, self._settings, self)

    # -------------------------------------------------------------------------- steps

    def run(self, leg: str, todo: dict[str, Any]) -> dict[str, Any]:
        """Do a step.

        Raises:
            RateLimiterBackendError: The server cannot be used.
        """
        return _read(self._server.run(self._keys(leg), self._arguments(todo)))

    async def arun(self, leg: str, todo: dict[str, Any]) -> dict[str, Any]:
        """Do a step, without blocking the event loop.

        Raises:
            RateLimiterBackendError: The server cannot be used.
        """
        return _read(await self._server.arun(self._keys(leg), self._arguments(todo)))

    def _keys(self, leg: str) -> list[str]:
        # In braces: a cluster keeps keys with the same braces on the same node.
        return [f"{self._namespace}:breaker:{{{leg}}}"]

    def _arguments(self, todo: dict[str, Any]) -> list[str]:
        now = repr(self._settings.clock()) if self._own_time else ""
        return [now, self._rules, json.dumps(todo)]

    # ------------------------------------------------------------- in the background

    def post(self, leg: SharedLeg, *, urgent: bool) -> None:
        """Have a leg tell what it has to; never waits."""
        if self._process != os.getpid():
            self._reset()  # the thread has stayed in the parent
        self._queue.put((leg, urgent))
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        # Who cannot get the lock is not needed: somebody else is starting it.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._work, name="cerebras-breaker", daemon=True
                )
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending
                    self._thread = None
        finally:
            self._starting.release()

    def _work(self) -> None:
        ended = False
        while not ended:
            legs, ended = self._gather()
            if not legs:
                break
            for leg in legs:
                try:
                    leg.refresh()
                except Exception:  # noqa: BLE001 - whatever it is, the next news are told
                    _log.exception("Leg %r: its calls were not told.", leg.name)
        self._thread = None
        if not ended and not self._queue.empty():
            self._start()

    def _gather(self) -> tuple[set[SharedLeg], bool]:
        """Return who has something to tell now, and whether that is the end."""
        legs: set[SharedLeg] = set()
        left_s, due = _IDLE_S, None
        while left_s > 0:
            try:
                item = self._queue.get(timeout=left_s)
            except queue.Empty:
                break
            if item is None:
                return legs, True
            leg, urgent = item
            legs.add(leg)
            if urgent:
                break
            now = time.monotonic()
            due = due or now + TELL_S
            left_s = due - now
        return legs, False

    # --------------------------------------------------------------------------- ends

    def close(self) -> None:
        """Tell what is to be told, and close the connections of threads."""
        thread = self._thread
        if thread is not None and self._process == os.getpid():
            self._queue.put(None)
            thread.join(_EXIT_S)
        self._server.close()

    async def aclose(self) -> None:
        """Do the same, and close the running loop's connections."""
        await asyncio.to_thread(self.close)
        await self._server.aclose()


def _read(reply: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(reply))
