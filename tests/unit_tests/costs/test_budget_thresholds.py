"""Thresholds are shares of the limit: 0.8, and not 80."""

from decimal import Decimal

import pytest

from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.errors import CerebrasConfigurationError


@pytest.mark.parametrize("percent", [50, 80.0, "100", Decimal(11)], ids=str)
def test_a_threshold_in_percent_is_refused(percent):
    """It would be taken, and nobody would ever be called."""
    with pytest.raises(CerebrasConfigurationError, match=r"as 0\.8 for 80 %"):
        Budget(1, thresholds=[percent])


def test_a_threshold_above_the_limit_is_a_threshold():
    told = []
    budget = Budget(
        1, action="warn", thresholds=["1.5"], on_threshold=lambda _, at: told.append(at)
    )
    hold = budget.reserve(CallScope("m"), Decimal("0.5"))
    hold.settle(Decimal("1.6"))
    assert told == [Decimal("1.5")]
