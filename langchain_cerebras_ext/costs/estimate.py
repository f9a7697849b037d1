"""What calls would cost: one before it is made, a plan of many, those made otherwise.

Pure but for the clock where no day is given; nothing is sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime  # noqa: TC003 - msgspec reads the hints
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, Literal, NamedTuple, overload

import msgspec

from langchain_cerebras_ext.catalog import ModelCard, find_model
from langchain_cerebras_ext.costs.prices import CEREBRAS, list_prices, split_model
from langchain_cerebras_ext.costs.pricing import (
    EXACT,
    ZERO,
    Cost,
    PriceRow,
    Step,
    call_day,
    cost_of,
    price_counts,
)
from langchain_cerebras_ext.costs.records import Flag, UsageRecord
from langchain_cerebras_ext.errors import CerebrasConfigurationError, UnknownPriceError

__all__ = [
    "Estimate",
    "Projection",
    "estimate",
    "highest_cost",
    "output_limit",
    "project",
    "reprice_records",
]
