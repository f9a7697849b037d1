"""The accounts of one process.

One lock, held for some microseconds; nobody is called while it is held. The end of a
call may come anywhere, from a garbage collection in the middle of a reservation too, so
it never waits for the lock: it is put down, and whoever has the lock takes it up.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext.costs._budgets._account import Account, Reply, described
from langchain_cerebras_ext.costs._budgets._hold import RELEASED, End, Hold
from langchain_cerebras_ext.costs._budgets._windows import Period, includes

if TYPE_CHECKING:
    from langchain_cerebras_ext.costs._budgets._account import (
        Ask,
        BudgetStatus,
        Clock,
        Tell,
        Terms,
    )

__all__ = ["MemoryBook"]

_SWEEP_S: Final = 60.0
_NEVER: Final = Period("", 0, 0)


class _Kept(Account):
    """An account, and when it was last used by the monotonic clock."""

    __slots__ = ("used_at",)

    used_at: float


class _MemoryHold(Hold):
    """A reservation in this process.

    Attributes:
        accounts: Who pays.
        known: Whether the amount is known.
        until: When it is given up, by the monotonic clock.
        lost: What became of it then.
    """

    __slots__ = ("_book", "accounts", "known", "lost", "until")

    def __init__(
        self, book: MemoryBook, accounts: list[_Kept], ask: Ask, until: float
    ) -> None:
        super().__init__(ask.amount)
        self._book = book
        self.accounts = accounts
        self.known = ask.known
        self.until = until
        self.lost: str | None = None

    def _ended(self, end: End) -> None:
        self._book.end(self, end)


class MemoryBook:
    """The accounts of one budget in this process.

    Args:
        terms: What was agreed.
        clock: Where time comes from.
        tell: Called with an account that has reached a threshold, and the threshold;
            must not raise.
    """

    def __init__(self, terms: Terms, clock: Clock, tell: Tell) -> None:
        self._terms = terms
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._period = _NEVER
        self._accounts: dict[tuple[str, str | None], _Kept] = {}
        # In the order in which they are given up, since the lease is the same for all.
        self._open: OrderedDict[_MemoryHold, None] = OrderedDict()
        self._ends: deque[tuple[_MemoryHold, End]] = deque()
        self._news: list[tuple[BudgetStatus, int]] = []
        self._swept_at = clock.monotonic()

    @property
    def place(self) -> str | None:
        """Where else the accounts are kept: nowhere."""
        return None

    @property
    def shared(self) -> object:
        """Who else has the accounts: nobody."""
        return None

    def after_fork(self) -> None:
        """Go on in a child: who held the lock may not be here."""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    # ------------------------------------------------------------------ what is asked

    def reserve(self, ask: Ask) -> Reply:
        """Reserve in all accounts, or in none."""
        with self._lock:
            reply = self._reserve(ask)
        if self._ends or self._news:
            self._afterwards()
        return reply

    async def areserve(self, ask: Ask) -> Reply:
        """Do what `reserve` does; there is nothing to wait for."""
        return self.reserve(ask)

    def end(self, hold: _MemoryHold, end: End) -> None:
        """Take note of how a call ended."""
        self._ends.append((hold, end))
        self._afterwards()

    def status(self) -> list[BudgetStatus]:
        """Return the accounts of the windows that are now."""
        with self._lock:
            self._catch_up(self._clock.monotonic())
            told = described(self._terms, self._accounts.values(), self._clock.time())
        self._afterwards()
        return told

    async def astatus(self) -> list[BudgetStatus]:
        """Do what `status` does; there is nothing to wait for."""
        return self.status()

    def unreserved(self, ask: Ask) -> Hold:
        """Return a reservation that nobody has checked."""
        hold = self.reserve(ask._replace(force=True)).hold
        assert hold is not None  # noqa: S101 - for the type checkers: it was forced
        return hold

    # ---------------------------------------------------------------- under the lock

    def _reserve(self, ask: Ask) -> Reply:
        terms, tick = self._terms, self._clock.monotonic()
        self._catch_up(tick)
        period = self._now(ask.run)
        accounts = [self._account(key, period, tick) for key in ask.keys]
        shorts: tuple[BudgetStatus, ...] = ()
        for account in accounts:
            if account.lacks(ask):
                shorts = (*shorts, account.describe(terms, ask))
                self._note(account, short=True)
        if shorts and not ask.force:
            return Reply(None, shorts)
        hold = _MemoryHold(self, accounts, ask, tick + terms.lease_s)
        self._open[hold] = None
        for account in accounts:
            account.reserved += ask.amount
        return Reply(hold, shorts)

    def _now(self, run: str | None) -> Period:
        """Return the window that is now."""
        now, period = self._clock.time(), self._period
        if period.end_s and includes(period, now):
            return period
        self._period = period = self._terms.window.period(now, run)
        return period

    def _account(self, key: str | None, period: Period, tick: float) -> _Kept:
        account = self._accounts.get((period.label, key))
        if account is None:
            account = _Kept(key, period, self._terms.limit_of(key))
            self._accounts[period.label, key] = account
        account.used_at = tick
        return account

    def _catch_up(self, tick: float) -> None:
        """Count the calls that have ended, and those whose end never came."""
        ends, opened = self._ends, self._open
        while ends:
            hold, end = ends.popleft()
            self._end(hold, end)
        while opened:
            hold = next(iter(opened))
            if hold.until > tick:
                break
            self._lose(hold)
        if tick - self._swept_at >= _SWEEP_S:
            self._swept_at = tick
            self._sweep(tick)

    def _end(self, hold: _MemoryHold, end: End) -> None:
        if hold.lost is None:
            del self._open[hold]
        for account in hold.accounts:
            account.end(hold.count, end, known=hold.known, lost=hold.lost)
            if end != RELEASED:
                self._note(account)

    def _lose(self, hold: _MemoryHold) -> None:
        del self._open[hold]
        hold.lost = self._terms.lost
        for account in hold.accounts:
            account.lose(hold.count, known=hold.known, lost=hold.lost)
            self._note(account)

    def _note(self, account: Account, *, short: bool = False) -> None:
        thresholds = self._terms.thresholds
        if thresholds:
            for share in account.reached(thresholds, short=short):
                self._news.append((account.describe(self._terms), share))

    def _sweep(self, tick: float) -> None:
        """Forget accounts of windows that are over, when nobody has used them since.

        By the monotonic clock: a wall clock that jumps ahead and back loses nothing.
        """
        window, now = self._terms.window, self._clock.time()
        if window.name == "total":
            return
        over = [
            name
            for name, account in self._accounts.items()
            if tick - account.used_at > window.idle_s
            and not account.reserved
            and not (account.period.end_s and includes(account.period, now))
        ]
        for name in over:
            del self._accounts[name]

    # -------------------------------------------------------------- without the lock

    def _afterwards(self) -> None:
        """Do what was put down while the lock was held, and tell the news.

        Who cannot get the lock leaves it to its holder, who comes here after it; that
        may be this very thread, further down, so not even the news are told then.
        """
        while (self._ends or self._news) and self._lock.acquire(blocking=False):
            try:
                self._catch_up(self._clock.monotonic())
                news = list(self._news)
                self._news.clear()
            finally:
                self._lock.release()
            for status, share in news:
                self._tell(status, share)
