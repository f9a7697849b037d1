"""Which leg is asked next: told of events and of the time, says what to do.

No I/O, no clock, no threads: sync and async loops do what it says, and tell it what
came of that. The same events always lead to the same steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from langchain_cerebras_ext.errors import (
    AllLegsFailedError,
    CerebrasTimeoutError,
    NoLegError,
)
from langchain_cerebras_ext.routing._leg import Attempt
from langchain_cerebras_ext.routing.policy import asked_wait_s, is_momentary, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_cerebras_ext.routing._leg import Outcome
    from langchain_cerebras_ext.routing.policy import FallbackPolicy, Verdict

__all__ = ["Ask", "Done", "Fail", "Give", "Plan", "Step", "Wait"]


class Ask(NamedTuple):
    """Begin a try.

    Attributes:
        no: The try's number.
        leg: The leg's place in the list that the plan was made with.
    """

    no: int
    leg: int


class Wait(NamedTuple):
    """Wait for what the tries under way bring.

    Attributes:
        until: Ask what is `due` at this time, if nothing came; `None`: without end.
    """

    until: float | None


class Give(NamedTuple):
    """Hand on what this try brings; the others are to be cancelled."""

    no: int


class Done(NamedTuple):
    """The answer is that of this try, and whole; the others are to be cancelled."""

    no: int


class Fail(NamedTuple):
    """Raise; whatever is under way is to be cancelled.

    Attributes:
        error: What to raise.
        midstream: Whether a part of an answer has been handed on.
    """

    error: BaseException
    midstream: bool = False


Step: TypeAlias = Ask | Wait | Give | Done | Fail


@dataclass(slots=True)
class _Try:
    """One leg's turn, as it goes."""

    leg: int
    began: float
    outcome: Outcome | None = None
    spoke_at: float | None = None
    ended_at: float = 0.0
    reason: str | None = None
    error: BaseException | None = None


class Plan:
    """The course of one call over its legs.

    Args:
        legs: Names, in the order in which they are asked.
        policy: What follows from an error.
        now: The time, on any clock that does not go back.
        total_timeout: Seconds for all of it.
        hedge_after_s: Ask a second leg when the first has not spoken for so long.
        size_of: A leg's largest prompt in tokens, where it is known.
        is_held: Nothing is handed on before it is whole, so that a failure after the
            first token is as good as one before it.
    """

    __slots__ = (
        "_errors",
        "_hedge_after_s",
        "_is_held",
        "_policy",
        "_queue",
        "_size_of",
        "_stop",
        "_total_timeout",
        "_tries",
        "deadline",
        "given",
        "is_overdue",
        "legs",
        "restarts",
        "retry_after_s",
    )

    def __init__(
        self,
        legs: Sequence[str],
        policy: FallbackPolicy,
        now: float,
        *,
        total_timeout: float | None = None,
        hedge_after_s: float | None = None,
        size_of: Callable[[int], int | None] | None = None,
        is_held: bool = False,
    ) -> None:
        self.legs = legs
        self.given: int | None = None
        self.is_overdue = False
        self.restarts = 0
        self.retry_after_s: float | None = None
        self._policy = policy
        self._queue = list(range(len(legs)))
        self._tries: list[_Try] = []
        self._errors: list[BaseException] = []
        self._stop: BaseException | None = None
        self._total_timeout = total_timeout
        self.deadline = None if total_timeout is None else now + total_timeout
        self._hedge_after_s = hedge_after_s
        self._size_of = size_of
        self._is_held = is_held

    # ----------------------------------------------------------------- what happens

    def skip(self, leg: int, reason: str, now: float) -> None:
        """Leave a leg out, before it was asked."""
        self._queue.remove(leg)
        self._tries.append(_Try(leg, now, "skipped", ended_at=now, reason=reason))

    def due(self, now: float) -> Step:
        """Return what to do now."""
        if self.deadline is not None and now >= self.deadline:
            return self._time_is_over(now)
        under_way = self.under_way()
        if not under_way:
            if self._stop is not None:
                return Fail(self._stop)
            if self._queue:
                return self._ask(now)
            return Fail(self._exhausted())
        hedge_at = self._hedge_at(under_way)
        if hedge_at is not None and now >= hedge_at:
            return self._ask(now)
        return Wait(_earliest(self.deadline, hedge_at))

    def refused(
        self, no: int, reason: str, now: float, retry_after_s: float | None = None
    ) -> Step:
        """Tell that a try was not let pass; nothing was asked."""
        one = self._tries[no]
        self._end(one, "skipped", now, reason)
        self.retry_after_s = _earliest(self.retry_after_s, retry_after_s)
        return self.due(now)

    def spoke(self, no: int, now: float) -> Step:
        """Tell of a try's first token."""
        one = self._tries[no]
        if one.outcome is not None or self.given is not None:
            return self.due(now)
        one.spoke_at = now
        self.given = no
        self._lose_others(no, now)
        return Give(no)

    def ended(self, no: int, now: float) -> Step:
        """Tell that a try's answer is whole."""
        one = self._tries[no]
        if one.outcome is not None or self.given not in (None, no):
            return self.due(now)
        self.given = no
        self._end(one, "ok", now)
        self._lose_others(no, now)
        return Done(no)

    def failed(
        self, no: int, error: BaseException, now: float, *, can_restart: bool = False
    ) -> Step:
        """Tell that a try has failed.

        Args:
            no: The try's number.
            error: Its error.
            now: The time.
            can_restart: Whether whoever reads can be told to forget what came.
        """
        one = self._tries[no]
        if one.outcome is not None and self.given != no:
            return self.due(now)
        verdict = self._policy.judge(error)
        was_given = self.given == no
        self._end(one, "failed", now, verdict.kind, error)
        self._errors.append(error)
        if was_given:
            if not self._is_held and not self._may_restart(verdict, one, can_restart):
                return Fail(error, midstream=True)
            self.given = None
            self.restarts += 0 if self._is_held else 1
        self._follow(verdict, one, error, now)
        return self.due(now)

    def left(self, now: float, reason: str = "the caller left") -> None:
        """Tell that nobody waits for the answer any more."""
        for no in self.under_way():
            self._end(self._tries[no], "cancelled", now, reason)

    # -------------------------------------------------------------------- questions

    @property
    def has_more(self) -> bool:
        """Whether there is a leg left that has not been asked."""
        return bool(self._queue)

    def under_way(self) -> list[int]:
        """Return the numbers of the tries that are not over."""
        return [no for no, one in enumerate(self._tries) if one.outcome is None]

    def is_over(self, no: int) -> bool:
        """Whether a try is."""
        return self._tries[no].outcome is not None

    def leg_of(self, no: int) -> str:
        """Return the name of the leg that a try asks."""
        return self.legs[self._tries[no].leg]

    def times_of(self, no: int) -> tuple[float | None, float]:
        """Return the seconds to a try's first token, and to its end."""
        one = self._tries[no]
        first = None if one.spoke_at is None else one.spoke_at - one.began
        return first, one.ended_at - one.began

    def attempts(self) -> tuple[Attempt, ...]:
        """Return what has become of all tries that are over."""
        return tuple(
            Attempt(
                leg=self.legs[one.leg],
                outcome=one.outcome,
                reason=one.reason,
                error_type=None if one.error is None else type(one.error).__name__,
                status_code=None if one.error is None else status_of(one.error),
                elapsed_s=one.ended_at - one.began,
            )
            for one in self._tries
            if one.outcome is not None
        )

    # ---------------------------------------------------------------------- inside

    def _ask(self, now: float) -> Ask:
        leg = self._queue.pop(0)
        self._tries.append(_Try(leg, now))
        return Ask(len(self._tries) - 1, leg)

    def _end(
        self,
        one: _Try,
        outcome: Outcome,
        now: float,
        reason: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        one.outcome, one.ended_at = outcome, now
        one.reason, one.error = reason, error

    def _hedge_at(self, under_way: list[int]) -> float | None:
        """Return when a second leg is asked, if one will be."""
        if (
            self._hedge_after_s is None
            or self.given is not None
            or self._stop is not None
            or len(under_way) > 1
            or not self._queue
        ):
            return None
        # Since the latest try began, which may be one that has failed meanwhile.
        asked = [one.began for one in self._tries if one.outcome != "skipped"]
        return max(asked) + self._hedge_after_s

    def _lose_others(self, no: int, now: float) -> None:
        """Note the slower ones; they may be asked again, should this one fail."""
        if len(self._tries) == 1:
            return
        winner = self.leg_of(no)
        for other in reversed(self.under_way()):
            if other != no:
                one = self._tries[other]
                self._end(one, "hedged", now, f"{winner} was faster")
                self._queue.insert(0, one.leg)

    def _may_restart(self, verdict: Verdict, failed: _Try, can_restart: bool) -> bool:
        if not can_restart or not verdict.moves_on:
            return False
        if self._policy.on_midstream != "restart":
            return False
        return any(
            not verdict.only_larger or self._is_larger(leg, failed.leg)
            for leg in self._queue
        )

    def _follow(
        self, verdict: Verdict, failed: _Try, error: BaseException, now: float
    ) -> None:
        """Do what a verdict asks for, as far as it is about legs not yet asked."""
        if not verdict.moves_on:
            # What is under way may still answer; nobody else is asked.
            self._stop = self._stop or error
        elif verdict.only_larger:
            than = self.legs[failed.leg]
            for leg in list(self._queue):
                if not self._is_larger(leg, failed.leg):
                    self.skip(leg, f"no larger context than {than}", now)
            if not self._queue:
                self._stop = self._stop or error

    def _is_larger(self, leg: int, than: int) -> bool:
        """Whether a leg holds more than another, or may."""
        if self._size_of is None:
            return True
        ours, theirs = self._size_of(leg), self._size_of(than)
        return ours is None or theirs is None or ours > theirs

    def _time_is_over(self, now: float) -> Fail:
        self.is_overdue = True
        self.left(now, "total_timeout")
        msg = (
            f"The router's total_timeout of {self._total_timeout:g} s has passed. "
            f"{_told(self.attempts())}Give it more time, or put a faster leg first."
        )
        error = CerebrasTimeoutError(
            msg, kind="total", timeout_s=self._total_timeout, is_retryable=False
        )
        if self._errors:
            error.__cause__ = self._errors[-1]
        return Fail(error, midstream=self.given is not None and not self._is_held)

    def _exhausted(self) -> BaseException:
        attempts = self.attempts()
        asked = (asked_wait_s(error) for error in self._errors)
        wait_s = _earliest(self.retry_after_s, *asked)
        told = f"{_told(attempts)}{_told_wait(wait_s)}"
        if not self._errors:
            msg = f"No leg of the router can take this request. {told}"
            error: NoLegError | AllLegsFailedError = NoLegError(
                msg.rstrip(), legs=attempts, retry_after_s=wait_s
            )
            # Only a breaker says when: then it may be otherwise in a while.
            error.is_retryable = wait_s is not None
            return error
        last = self._errors[-1]
        msg = f"Every leg of the router has failed. {told}"
        error = AllLegsFailedError(
            msg.rstrip(),
            legs=attempts,
            errors=tuple(self._errors),
            retry_after_s=wait_s,
            is_retryable=all(map(is_momentary, self._errors)),
            elapsed_s=max(one.ended_at for one in self._tries) - self._tries[0].began,
        )
        error.__cause__ = last
        return error


def _earliest(*times: float | None) -> float | None:
    return min((one for one in times if one is not None), default=None)


def _told(attempts: Sequence[Attempt]) -> str:
    """Return attempts as a sentence, with a blank after it; nothing for none."""
    if not attempts:
        return ""
    return "; ".join(_tell(one) for one in attempts) + ". "


def _told_wait(seconds: float | None) -> str:
    """Return when to come back as a sentence, if that is known."""
    if seconds is None:
        return ""
    return f"The first of them can be asked again in {math.ceil(seconds)} s."


def _tell(one: Attempt) -> str:
    status = f" {one.status_code}" if one.status_code else ""
    what = f"{one.error_type}{status}" if one.error_type else one.outcome
    why = f" ({one.reason})" if one.reason else ""
    if one.outcome == "skipped":
        return f"{one.leg}: {what}{why}"
    return f"{one.leg}: {what}{why} after {one.elapsed_s:.2f} s"
