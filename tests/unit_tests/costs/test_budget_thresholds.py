"""What budgets are given: shares of the limit, 0.8 and not 80; accounts by name."""

import pickle
from decimal import Decimal

import pytest

from langchain_cerebras_ext import ChatCerebras, CostTracker
from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.errors import BudgetExceeded, CerebrasConfigurationError


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


@pytest.mark.parametrize("shares", [0.8, "0.8", Decimal(1), None], ids=repr)
def test_one_share_alone_is_refused(shares):
    with pytest.raises(CerebrasConfigurationError, match=r"as \[0\.5, 0\.8\]"):
        Budget(1, thresholds=shares)


def test_thresholds_that_nobody_is_told_of_are_refused():
    """They would be silent; the usual ones are there for whoever gives a function."""
    with pytest.raises(CerebrasConfigurationError, match="needs on_threshold"):
        Budget(1, thresholds=[0.5])
    assert Budget(1, thresholds=()).name == Budget(1).name
    one = Budget(1, thresholds=iter([0.5]), on_threshold=print)
    copy = pickle.loads(pickle.dumps(one))
    assert copy is one


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"limits": ["ada"]}, r"limits=\['ada'\] must be a mapping"),
        ({"limits": {42: "20"}}, r'limits=\{42: ...\} must name .* as "42"'),
        ({"only": {"user": None}}, r"only\['user'\]=None must be a string, or several"),
        ({"only": {"user": 42}}, r"only\['user'\]=42 must be a string, or several"),
        ({"only": {"user": [42]}}, r"only\['user'\]=\[42\] must be a string"),
        ({"only": {"user": []}}, r"only\['user'\]=\[\] must be a string"),
    ],
    ids=["list", "number", "none", "one number", "numbers", "nobody"],
)
def test_accounts_that_are_no_names_are_refused(option, words):
    """A limit of the user 42 would never be that of the user `"42"`."""
    with pytest.raises(CerebrasConfigurationError, match=words):
        Budget(1, per="user", **option)


def test_a_number_given_as_a_user_is_the_one_that_a_limit_names():
    budget = Budget(1, per="user", limits={"42": "0.0000001"})
    model = ChatCerebras(model="gpt-oss-120b", api_key="k", max_tokens=5)
    ways = [{"callbacks": [CostTracker(user=42, budgets=budget)]}]
    tracker = CostTracker(budgets=budget)
    ways.append({"callbacks": [tracker], "metadata": {"user_id": 42}})
    for config in ways:
        with pytest.raises(BudgetExceeded, match="42"):
            model.invoke("hi", config=config)
