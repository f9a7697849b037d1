"""Usage records made by hand, for tests of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from langchain_cerebras_ext.costs.pricing import Cost, PriceRow
from langchain_cerebras_ext.costs.records import UsageRecord

START = datetime(2026, 10, 30, 21, 30, tzinfo=UTC)
PRICE = PriceRow(input=Decimal("0.35"), output=Decimal("0.75"), model="gpt-oss-120b")


def make_record(at=0, **fields):
    """Return a record that began so many minutes after `START`."""
    values = {
        "model": "gpt-oss-120b",
        "input_tokens": 1_000,
        "cached_input_tokens": 200,
        "output_tokens": 300,
        "reasoning_tokens": 100,
        "cost": Cost(
            input=Decimal("0.00028"),
            cached_input=Decimal("0.00007"),
            output=Decimal("0.000225"),
            cache_savings=Decimal("0.000001"),
            price=PRICE,
        ),
        **fields,
    }
    return UsageRecord(started_at=START + timedelta(minutes=at), **values)
