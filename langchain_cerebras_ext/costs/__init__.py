"""What calls cost: records, prices, budgets, ledgers.

`CostTracker` and `track_costs` record each call as a `UsageRecord`; a `Budget` stops
calls before they are sent; a `Ledger` keeps the records. `price_usage`, `estimate` and
`project` are for payloads and plans. Money is `Decimal` USD; a price that is not known
is `None`, counted and shown, never 0. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_cerebras_ext.costs.budget import (
        Budget,
        BudgetStatus,
        CallScope,
        Hold,
        read_budgets,
        read_redis_budgets,
    )
    from langchain_cerebras_ext.costs.ledger import (
        KindsGroup,
        Ledger,
        LedgerStatus,
        PercentileGroup,
    )
    from langchain_cerebras_ext.costs.planning import (
        Estimate,
        Projection,
        estimate,
        project,
        reprice_records,
    )
    from langchain_cerebras_ext.costs.prices import Discount, PriceBook
    from langchain_cerebras_ext.costs.pricing import (
        Cost,
        PriceRow,
        price_totals,
        price_usage,
        usd_text,
    )
    from langchain_cerebras_ext.costs.prometheus import CostCollector
    from langchain_cerebras_ext.costs.records import UsageRecord
    from langchain_cerebras_ext.costs.report import (
        Filter,
        Group,
        Totals,
        group_records,
    )
    from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs

__all__ = [
    "Budget",
    "BudgetStatus",
    "CallScope",
    "Cost",
    "CostCollector",
    "CostTracker",
    "Discount",
    "Estimate",
    "Filter",
    "Group",
    "Hold",
    "KindsGroup",
    "Ledger",
    "LedgerStatus",
    "PercentileGroup",
    "PriceBook",
    "PriceRow",
    "Projection",
    "Totals",
    "UsageRecord",
    "estimate",
    "group_records",
    "price_totals",
    "price_usage",
    "project",
    "read_budgets",
    "read_redis_budgets",
    "reprice_records",
    "track_costs",
    "usd_text",
]

_HOMES = {
    "Budget": "budget",
    "BudgetStatus": "budget",
    "CallScope": "budget",
    "Cost": "pricing",
    "CostCollector": "prometheus",
    "CostTracker": "tracker",
    "Discount": "prices",
    "Estimate": "planning",
    "Filter": "report",
    "Group": "report",
    "Hold": "budget",
    "KindsGroup": "ledger",
    "Ledger": "ledger",
    "LedgerStatus": "ledger",
    "PercentileGroup": "ledger",
    "PriceBook": "prices",
    "PriceRow": "pricing",
    "Projection": "planning",
    "Totals": "report",
    "UsageRecord": "records",
    "estimate": "planning",
    "group_records": "report",
    "price_totals": "pricing",
    "price_usage": "pricing",
    "project": "planning",
    "read_budgets": "budget",
    "read_redis_budgets": "budget",
    "reprice_records": "planning",
    "track_costs": "tracker",
    "usd_text": "pricing",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
