"""What is asked of a store that processes share, and what it answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_cerebras_ext.costs._budgets._account import (
        Ask,
        BudgetStatus,
        Clock,
        Terms,
    )
    from langchain_cerebras_ext.costs._budgets._hold import End
    from langchain_cerebras_ext.costs._budgets._windows import Period

__all__ = [
    "GONE_S",
    "LISTED_S",
    "SEEN_S",
    "Answer",
    "Finish",
    "Look",
    "Op",
    "Reserve",
    "Spend",
    "Store",
    "account_id",
    "kept_until_s",
]

GONE_S: Final = 7 * 86_400.0
"""For how long a reservation that was given up is remembered, if its end comes late."""

LISTED_S: Final = 62 * 86_400.0
"""For how long a budget is listed that nobody uses and that has spent nothing."""

SEEN_S: Final = 600.0
"""How often a process says in the store which budgets it has, and clears old rows."""


class Reserve(NamedTuple):
    """Reserve for a call.

    Attributes:
        terms: The budget's.
        ask: What the call asks for.
        hold: What the reservation is known by, chosen by who reserves: a second try
            after a lost answer is the same one.
    """

    terms: Terms
    ask: Ask
    hold: str


class Finish(NamedTuple):
    """Tell how a call ended; of several for one reservation the first counts.

    Attributes:
        terms: The budget's.
        hold: The reservation.
        end: How it ended.
    """

    terms: Terms
    hold: str
    end: End


class Spend(NamedTuple):
    """Count a call for which nothing was reserved.

    Attributes:
        terms: The budget's.
        ask: What it would have asked for.
        end: How it ended.
    """

    terms: Terms
    ask: Ask
    end: End


class Look(NamedTuple):
    """Tell what there is.

    Attributes:
        terms: The budget's.
    """

    terms: Terms


Op = Reserve | Finish | Spend | Look


class Answer(NamedTuple):
    """What became of an operation.

    Attributes:
        passed: Whether a `Reserve` has reserved.
        shorts: The accounts that have too little for it.
        news: Accounts that have reached a threshold, and which.
        accounts: What a `Look` has seen.
    """

    passed: bool = True
    shorts: tuple[BudgetStatus, ...] = ()
    news: tuple[tuple[BudgetStatus, int], ...] = ()
    accounts: tuple[BudgetStatus, ...] = ()


class Store(Protocol):
    """A database with accounts; used by one thread at a time.

    Attributes:
        place: Its address without a password, for messages.
    """

    place: str

    def apply(self, ops: Sequence[Op], clock: Clock | None) -> list[Answer]:
        """Do several things, each of them wholly or not at all.

        Args:
            ops: What to do.
            clock: Is used instead of the store's own.

        Raises:
            LedgerError: The store cannot be used; perhaps something was done.
        """
        ...

    def close(self) -> None:
        """Let go of connections; they are made anew when needed."""
        ...

    def after_fork(self) -> None:
        """Forget connections, which belong to the parent."""
        ...


def account_id(terms: Terms, period: Period, key: str | None) -> str:
    """Return what an account is known by in a store."""
    parts = [terms.name, terms.per, terms.window.name, period.label, key]
    return json.dumps(parts)  # in ASCII, whatever is in a key


def kept_until_s(terms: Terms, period: Period, now_s: float) -> float | None:
    """Return until when an account must be kept if it is used now."""
    window = terms.window
    if window.name == "total":
        return None
    over_s = max(period.end_s or 0.0, now_s + terms.lease_s)
    return over_s + window.idle_s
