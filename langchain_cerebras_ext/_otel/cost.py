"""What a call has cost, from its record: all its tries together; no I/O."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_cerebras_ext._metadata import to_usage_metadata, uncounted_sides
from langchain_cerebras_ext._otel import names
from langchain_cerebras_ext.errors import CerebrasError, UnknownPriceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from langchain_cerebras_ext._observe import CallRecord
    from langchain_cerebras_ext.costs.prices import PriceBook
    from langchain_cerebras_ext.costs.pricing import Cost

__all__ = ["CallCost", "call_cost"]

_log = logging.getLogger(__name__)

_KINDS: Final = (
    "input",
    "cached_input",
    "image",
    "output",
    "request",
    "reasoning",
    "cache_savings",
)


class CallCost(NamedTuple):
    """What a call has cost, as far as it is known.

    Attributes:
        total: USD of all its tries; `None` where of none it is known.
        answer: Of the last try, by kind.
        retries: USD of the tries before.
        is_partial: Whether some of it, or all, is not known.
    """

    total: Decimal | None = None
    answer: Cost | None = None
    retries: Decimal = Decimal(0)
    is_partial: bool = False

    def attributes(self) -> dict[str, Any]:
        """Return it for a span; what is not known is left out, and said to be.

        Amounts are doubles, so that they can be added up there: below 1,000 USD the
        nearest double still tells every picodollar.
        """
        found: dict[str, Any] = {}
        if self.total is not None:
            found["usd"] = float(self.total)
        for kind in _KINDS if self.answer is not None else ():
            amount = getattr(self.answer, kind)
            if amount:
                found[f"{kind}_usd"] = float(amount)
        if self.retries:
            found["retries_usd"] = float(self.retries)
        if self.is_partial:
            found["unpriced"] = True
        return {names.COST + name: value for name, value in found.items()}


def call_cost(record: CallRecord, when: datetime, prices: PriceBook | None) -> CallCost:
    """Price a call at the rates of its day.

    Args:
        record: A call that has ended.
        when: When it began.
        prices: Prices and discounts of the user's own.

    Returns:
        Nothing known rather than an error, whatever is wrong with usage or prices.
    """
    try:
        return _call_cost(record, when, prices)
    except Exception:  # noqa: BLE001 - telemetry must not end for want of a price
        _log.debug("a call could not be priced", exc_info=True)
        return CallCost(is_partial=True)


def _call_cost(
    record: CallRecord, when: datetime, prices: PriceBook | None
) -> CallCost:
    from langchain_cerebras_ext.costs.pricing import add_usd

    costs = [_price(usage, record, when, prices) for usage in _tries(record)]
    retries = add_usd(*(cost.total for cost in costs if cost is not None))
    answer: Cost | None = None
    if _may_be_billed(record):
        answer = _price(_last_usage(record), record, when, prices)
        costs.append(answer)
    known = [cost.total for cost in costs if cost is not None]
    return CallCost(
        total=add_usd(*known) if known else None,
        answer=answer,
        retries=retries,
        is_partial=len(known) < len(costs),
    )


def _tries(record: CallRecord) -> Iterator[Any]:
    """Give the usage of each try before the last that may have been billed."""
    for failed in record.failed:
        if failed.billed is not False:
            yield failed.usage


def _may_be_billed(record: CallRecord) -> bool:
    if isinstance(record.error, CerebrasError):
        # With no try sent, as where a budget or the limiter refused, none is.
        return record.error.billed is not False and record.attempts > 0
    return record.attempts > 0 or record.usage is not None


def _last_usage(record: CallRecord) -> Any:
    usage = to_usage_metadata(record.usage)
    if usage is None and isinstance(record.error, CerebrasError):
        return record.error.partial_usage
    if any(uncounted_sides(record.usage)):  # half a count is not a price
        return None
    return usage


def _price(
    usage: Any, record: CallRecord, when: datetime, prices: PriceBook | None
) -> Cost | None:
    """Return what a try cost, by the model that was asked, or else that answered."""
    from langchain_cerebras_ext.costs.pricing import price_usage

    if usage is None:
        return None
    for model in (record.model, record.response_model):
        if model:
            try:
                return price_usage(
                    usage, model, on=when, provider=names.PROVIDER, prices=prices
                )
            except UnknownPriceError:
                continue
    return None
