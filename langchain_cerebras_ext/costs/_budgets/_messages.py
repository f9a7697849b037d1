"""What is said when a budget does not let a call pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext.costs._budgets._money import show, to_count, to_usd
from langchain_cerebras_ext.errors import BudgetExceeded

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from langchain_cerebras_ext.costs._budgets._account import BudgetStatus, Terms

__all__ = ["exceeded", "unpriced_call"]

_LONGEST_KEY: Final = 100


def exceeded(terms: Terms, short: BudgetStatus) -> BudgetExceeded:
    """Return the error for a call that would go beyond the limit.

    Args:
        terms: The budget's.
        short: The account that has too little.
    """
    call = (
        "what this call may cost is not known"
        if short.estimate is None
        else f"this call may cost {_usd(short.estimate)}"
    )
    msg = (
        f"Budget {terms.name!r} allows {_usd(short.limit)}{_whose(short)}"
        f"{_when(short)}. "
        f"{_usd(short.spent)} is spent, {_usd(short.reserved)} is reserved by calls "
        f"under way, and {call}. {_advice(short)}"
    )
    return BudgetExceeded(
        msg,
        budget=terms.name,
        per=short.per,
        key=short.key,
        window_end=_better_from(short),
        limit=short.limit,
        spent=short.spent,
        reserved=short.reserved,
        estimate=short.estimate,
    )


def unpriced_call(terms: Terms, model: str) -> BudgetExceeded:
    """Return the error for a call whose price is not known."""
    msg = (
        f"Budget {terms.name!r} does not let a call of model {_cut(model)} pass, since "
        "no price of it is known and so not what it may cost. Give its price in a "
        "PriceBook (prices=... of the tracker), or let such calls pass and count them "
        "with Budget(unpriced='allow')."
    )
    return BudgetExceeded(
        msg, budget=terms.name, per=terms.per, limit=to_usd(terms.limit)
    )


def _usd(amount: Decimal) -> str:
    return show(to_count(amount))


def _cut(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_KEY else f"{text[:_LONGEST_KEY]}...")


def _whose(status: BudgetStatus) -> str:
    if status.per == "all":
        return ""
    if status.key is None:
        return f" for calls without a {status.per}"
    return f" for {status.per} {_cut(status.key)}"


def _when(status: BudgetStatus) -> str:
    if status.window == "total":
        return " in all"
    if status.window == "run":
        return " in one run"
    until = ""
    if status.window_end is not None:
        until = f" (until {status.window_end:%Y-%m-%d %H:%M:%S} UTC)"
    return f" in one {_spelt(status.window)}{until}"


def _spelt(window: str) -> str:
    """Return a window's name for people: `day`, or `window of 21600 s`."""
    length = window.removesuffix("s")
    return f"window of {length} s" if length.isdecimal() else window


def _better_from(status: BudgetStatus) -> datetime | None:
    """Return when the call may pass: never, if it costs more than is ever allowed."""
    if status.estimate is not None and status.estimate > status.limit:
        return None
    return status.window_end


def _advice(status: BudgetStatus) -> str:
    wait = "Wait until then, raise" if _better_from(status) else "Raise"
    free = (
        " (calls under way give back what they do not use)" if status.reserved else ""
    )
    return (
        f"{wait} the limit, or let the call cost less: max_completion_tokens is "
        f"reserved in full{free}."
    )
