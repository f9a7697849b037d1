"""Money as budgets count it: whole numbers of 1e-12 USD, which add up exactly."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from langchain_cerebras_ext.errors import CerebrasConfigurationError

__all__ = [
    "ONE_USD",
    "read_amount",
    "read_cost",
    "read_share",
    "show",
    "to_count",
    "to_usd",
]

_PLACES: Final = 12
ONE_USD: Final = 10**_PLACES
_CENT: Final = ONE_USD // 100

_LARGEST_USD: Final = Decimal("1e12")
"""No limit and no call is larger; shared stores have room for more than this."""

# Contexts of its own, since a program may have set another precision for its sums.
_NEAREST: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_UP: Final = Context(prec=60, rounding=ROUND_CEILING)


def to_count(amount: Decimal, *, up: bool = False) -> int:
    """Return USD as a whole number of 1e-12 USD.

    Args:
        amount: As `is_amount` has it; what is finer is rounded.
        up: Whether to round up, as what is reserved is, instead of half to even.
    """
    scaled = amount.scaleb(_PLACES, _NEAREST)
    count = int(scaled)
    if count == scaled:
        return count
    return int(scaled.to_integral_value(context=_UP if up else _NEAREST))


def to_usd(count: int) -> Decimal:
    """Return a whole number of 1e-12 USD as USD, with two decimals at least."""
    cents, rest = divmod(count, _CENT)
    if not rest:
        return Decimal(cents).scaleb(-2, _NEAREST)
    return Decimal(count).scaleb(-_PLACES, _NEAREST).normalize(_NEAREST)


def show(count: int) -> str:
    """Return an amount as messages have it, such as `5.00 USD`."""
    whole, fraction = divmod(abs(count), ONE_USD)
    digits = f"{fraction:0{_PLACES}d}".rstrip("0").ljust(2, "0")
    return f"{'-' if count < 0 else ''}{whole}.{digits} USD"


def is_amount(value: object) -> bool:
    """Tell whether something is an amount of money, from 0 up."""
    return (
        isinstance(value, Decimal)
        and value.is_finite()
        and 0 <= value <= _LARGEST_USD  # compares exactly, whatever the context
    )


def read_cost(cost: Any, *, up: bool = False) -> int | None:
    """Return a call's cost as a whole number of 1e-12 USD; `None` if it is none."""
    return to_count(cost, up=up) if is_amount(cost) else None


def read_amount(value: Any, name: str) -> int:
    """Read an argument that is an amount of money.

    Args:
        value: A `Decimal`, an `int`, or a `str` such as `"5.00"`.
        name: Of the argument, for the message.

    Raises:
        CerebrasConfigurationError: It is none.
    """
    if isinstance(value, float):
        msg = (
            f"{name}={value!r} is a float, and few amounts of money are exact as one. "
            f'Give a Decimal or a string: {name}="{value!r}".'
        )
        raise CerebrasConfigurationError(msg)
    amount = _decimal(value)
    if not is_amount(amount):
        msg = (
            f"{name}={value!r} must be an amount in USD from 0 to 1e12, as "
            'Decimal("5.00"), 5 or "5.00".'
        )
        raise CerebrasConfigurationError(msg)
    return to_count(amount)


def read_share(value: Any, name: str) -> int:
    """Read an argument that is a share of the limit, in 1e-12.

    Raises:
        CerebrasConfigurationError: It is none.
    """
    share = _decimal(str(value) if isinstance(value, float) else value)
    if not is_amount(share) or not share:
        msg = f"{name}={value!r} must be a share of the limit above 0, as 0.8 for 80 %."
        raise CerebrasConfigurationError(msg)
    return to_count(share)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, (Decimal, int, str)) and not isinstance(value, bool):
        try:
            return Decimal(value)
        except ArithmeticError:
            pass
    return Decimal("NaN")
