"""`Hold`: what a call has reserved, until it is told how the call ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext.costs._budgets._money import read_cost, to_usd

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["RELEASED", "End", "Hold"]

_log = logging.getLogger("langchain_cerebras_ext.budget")

RELEASED: Final = -1
"""The end of a call that has cost nothing, since it was not made."""

End = int | None
"""How a call ended: its cost, `None` for one that is not known, or `RELEASED`."""


class Hold:
    """Money that is set aside for one call.

    End it once, by `settle` or `release`; what comes after the first is ignored. Both
    may be called by any thread, return at once and never raise.
    """

    __slots__ = ("_once", "count")

    count: int

    def __init__(self, count: int) -> None:
        self.count = count  # in 1e-12 USD
        # Taking the last of a list is atomic: the first one wins.
        self._once = [None]

    @property
    def amount(self) -> Decimal:
        """What is set aside, in USD; 0 where the call's price is not known."""
        return to_usd(self.count)

    def settle(self, cost: Decimal | None) -> None:
        """Tell what the call has cost.

        Args:
            cost: In USD; may be more than was set aside. `None` where it is not known:
                what was set aside then counts as spent.
        """
        if self._first():
            end: End = None if cost is None else read_cost(cost)
            if end is None and cost is not None:
                _log.error("A cost of %r is no amount in USD: taken as unknown.", cost)
            self._ended(end)

    def release(self) -> None:
        """Tell that the call was not made and has cost nothing."""
        if self._first():
            self._ended(RELEASED)

    def _first(self) -> bool:
        try:
            self._once.pop()
        except IndexError:
            return False
        return True

    def _ended(self, end: End) -> None:
        """Pass on how the call ended; called once, must not raise."""
        raise NotImplementedError  # abstract: each kind of store has its own

    def __repr__(self) -> str:
        """Tell what is set aside, and whether it still is."""
        return f"<Hold {self.amount:f} USD, {'open' if self._once else 'ended'}>"
