"""The arithmetic of one account; pure, in whole numbers of 1e-12 USD."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime  # noqa: TC003 - msgspec reads the hints
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from langchain_cerebras_ext.costs._budgets._hold import RELEASED, End, Hold
from langchain_cerebras_ext.costs._budgets._money import ONE_USD, to_count, to_usd
from langchain_cerebras_ext.costs._budgets._windows import (
    Period,
    Window,
    includes,
    moment,
)

__all__ = [
    "Account",
    "Action",
    "Ask",
    "Book",
    "BudgetStatus",
    "Clock",
    "Lost",
    "Per",
    "Reply",
    "Tell",
    "Terms",
    "described",
]

Per: TypeAlias = Literal["user", "tag", "session", "model", "provider", "run", "all"]
Action: TypeAlias = Literal["raise", "warn", "call"]
Lost: TypeAlias = Literal["spent", "released"]

_ZERO = Decimal(0)


class Clock(Protocol):
    """What a budget asks of a clock; the module `time` is one."""

    def time(self) -> float:
        """Return seconds since 1970 (UTC), as the windows go by."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, as reservations end by."""
        ...


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One account of a budget at a moment. Amounts are in USD.

    Attributes:
        name: The budget's name.
        per: What it keeps accounts for.
        key: Whose account this is; `None` where the budget keeps one for all, and for
            calls that have no user, tag or the like.
        window: The window's name, or its length as `21600s`.
        window_start: When it began (UTC); `None` for a run's or an endless one.
        window_end: When the next one begins (UTC).
        run: The trace's id, for the window of a run.
        limit: What may be spent in it.
        spent: What was spent.
        reserved: What calls under way may still cost.
        action: What happens to a call that would go beyond the limit.
        assumed: The part of `spent` that nobody has told: calls that ended without a
            cost, or whose end never came, count with what they had reserved.
        calls: Calls that have ended.
        unpriced_calls: Of them, those whose cost is not known and not in `spent`.
        estimate: What the call may cost that made this status; `None` where none did,
            or where that is not known.
    """

    name: str
    per: str
    key: str | None
    window: str
    window_start: datetime | None
    window_end: datetime | None
    limit: Decimal
    spent: Decimal = _ZERO
    reserved: Decimal = _ZERO
    action: str = "raise"
    run: str | None = None
    assumed: Decimal = _ZERO
    calls: int = 0
    unpriced_calls: int = 0
    estimate: Decimal | None = None

    @property
    def remaining(self) -> Decimal:
        """What may still be spent; never below 0."""
        used = to_count(self.spent) + to_count(self.reserved)
        return to_usd(max(0, to_count(self.limit) - used))

    @property
    def share(self) -> Decimal | None:
        """What was spent as a part of the limit, from 0; `None` for a limit of 0."""
        return self.spent / self.limit if self.limit else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, `remaining` too, as JSON has them; money as strings."""
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        named["remaining"] = self.remaining
        told: dict[str, Any] = msgspec.to_builtins(
            {
                name: f"{value:f}" if isinstance(value, Decimal) else value
                for name, value in named.items()
            }
        )
        return told


class Terms(NamedTuple):
    """What was agreed for a budget.

    Attributes:
        name: Its name.
        per: What it keeps accounts for.
        window: How it cuts time.
        limit: What an account may spend in a window.
        limits: Of some accounts, where that is different.
        action: What happens to a call that would go beyond.
        lease_s: For how long a reservation is held.
        lost: What becomes of it then.
        thresholds: Shares of the limit at which somebody wants to be called, in 1e-12.
    """

    name: str
    per: Per
    window: Window
    limit: int
    limits: dict[str, int]
    action: Action
    lease_s: float
    lost: Lost
    thresholds: tuple[int, ...]

    def limit_of(self, key: str | None) -> int:
        """Return what an account may spend."""
        return self.limit if key is None else self.limits.get(key, self.limit)


class Ask(NamedTuple):
    """What a call asks for.

    Attributes:
        keys: The accounts that must pay for it.
        run: Its trace's id.
        amount: What it may cost.
        known: Whether that is known; `amount` is 0 otherwise.
        force: Whether it goes whatever the accounts say.
    """

    keys: tuple[str | None, ...]
    run: str | None
    amount: int
    known: bool
    force: bool = False


class Reply(NamedTuple):
    """The answer to an `Ask`.

    Attributes:
        hold: What was reserved; `None` if it was refused.
        shorts: The accounts that have too little, as they were before this call.
    """

    hold: Hold | None
    shorts: tuple[BudgetStatus, ...] = ()


Tell: TypeAlias = Callable[[BudgetStatus, int], None]
"""Is called with an account, and the threshold that it has reached."""


class Book(Protocol):
    """Where the accounts of one budget are kept."""

    @property
    def place(self) -> str | None:
        """The shared store, without its password; `None` in this process."""
        ...

    @property
    def shared(self) -> object:
        """The same object for all who share a store; `None` in this process."""
        ...

    def reserve(self, ask: Ask) -> Reply:
        """Reserve in all accounts, or in none.

        Raises:
            LedgerError: The store cannot be used.
        """
        ...

    async def areserve(self, ask: Ask) -> Reply:
        """Do what `reserve` does, without blocking the event loop."""
        ...

    def unreserved(self, ask: Ask) -> Hold:
        """Return what counts a call that nobody has checked."""
        ...

    def status(self) -> list[BudgetStatus]:
        """Return the accounts of the windows that are now.

        Raises:
            LedgerError: The store cannot be used.
        """
        ...

    async def astatus(self) -> list[BudgetStatus]:
        """Do what `status` does, without blocking the event loop."""
        ...

    def after_fork(self) -> None:
        """Go on in a forked child, where no other thread is."""
        ...

    def close(self) -> None:
        """Write what is not written yet, and let go of the store."""
        ...


class Account:
    """What one user, tag or the like has spent in one window.

    Attributes:
        key: Whose it is.
        period: The window.
        limit: What may be spent.
        spent: What was spent.
        reserved: What calls under way may still cost.
        assumed: The part of `spent` that is a reservation nobody has settled.
        calls: Calls that have ended.
        unpriced: Of them, those whose cost is not known.
        told: The thresholds that somebody was called for.
    """

    __slots__ = (
        "assumed",
        "calls",
        "key",
        "limit",
        "period",
        "reserved",
        "spent",
        "told",
        "unpriced",
    )

    def __init__(self, key: str | None, period: Period, limit: int) -> None:
        self.key = key
        self.period = period
        self.limit = limit
        self.spent = 0
        self.reserved = 0
        self.assumed = 0
        self.calls = 0
        self.unpriced = 0
        self.told: set[int] = set()

    def lacks(self, ask: Ask) -> bool:
        """Tell whether a call would go beyond the limit; a free one never does."""
        used = self.spent + self.reserved
        if ask.known:
            return ask.amount > 0 and used + ask.amount > self.limit
        return used >= self.limit

    def end(
        self, amount: int, end: End, *, known: bool, lost: str | None = None
    ) -> None:
        """Take in how a call ended.

        Args:
            amount: What it had reserved.
            end: Its cost, or what else became of it.
            known: Whether a price was known when it reserved.
            lost: What had become of the reservation, if it was given up before.
        """
        if lost is None:
            self.reserved -= amount
        elif lost == "spent":
            self._count(-1, -amount, known=known)
        if end is None:
            self._count(1, amount, known=known)
        elif end != RELEASED:
            self.calls += 1
            self.spent += end

    def lose(self, amount: int, *, known: bool, lost: str) -> None:
        """Give up a reservation whose end never came."""
        self.reserved -= amount
        if lost == "spent":
            self._count(1, amount, known=known)

    def _count(self, calls: int, amount: int, *, known: bool) -> None:
        """Count a call whose cost is not known, or take it back."""
        self.calls += calls
        if known:
            self.spent += amount
            self.assumed += amount
        else:
            self.unpriced += calls

    def describe(self, terms: Terms, ask: Ask | None = None) -> BudgetStatus:
        """Return the account as it is shown."""
        start_s, end_s = self.period.start_s, self.period.end_s
        of_run = terms.window.name == "run"
        return BudgetStatus(
            name=terms.name,
            per=terms.per,
            key=self.key,
            window=terms.window.name,
            window_start=None if start_s is None else moment(start_s),
            window_end=None if end_s is None else moment(end_s),
            run=(self.period.label or None) if of_run else None,
            limit=to_usd(self.limit),
            spent=to_usd(self.spent),
            reserved=to_usd(self.reserved),
            action=terms.action,
            assumed=to_usd(self.assumed),
            calls=self.calls,
            unpriced_calls=self.unpriced,
            estimate=to_usd(ask.amount) if ask is not None and ask.known else None,
        )

    def reached(self, thresholds: Iterable[int], *, short: bool = False) -> list[int]:
        """Return the thresholds that nobody was called for yet, and note them.

        Args:
            thresholds: Shares of the limit in 1e-12.
            short: Whether a call has found too little: that is the whole limit.
        """
        told = self.told
        new = [
            share
            for share in thresholds
            if share not in told
            and (
                (self.spent and self.spent * ONE_USD >= share * self.limit)
                or (short and share == ONE_USD)
            )
        ]
        told.update(new)
        return new


def described(
    terms: Terms, accounts: Iterable[Account], now_s: float
) -> list[BudgetStatus]:
    """Return the accounts of the windows that are now, as they are shown.

    There is always one at least, so that a budget that nobody has used is seen.
    """
    now = [account for account in accounts if includes(account.period, now_s)]
    if not now:
        period = terms.window.period(now_s, None)
        now = [Account(None, period, terms.limit)]
    now.sort(key=lambda account: (account.key or "", account.period.label))
    return [account.describe(terms) for account in now]
