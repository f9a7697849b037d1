"""The laws of budgets, as a machine that makes calls and knows what they must cost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from budget_worker import FakeClock
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.errors import BudgetExceeded

USD = Decimal
# Beyond what a float, or a number of Lua's, holds exactly in units of 1e-12 USD.
LIMIT = USD("100000.000000000007")
ADA = CallScope("gpt-oss-120b", user="ada")
amounts = st.decimals(0, 40_000, places=12)


class Calls(RuleBasedStateMachine):
    """Calls of several tags that reserve, end, end late or never; time goes on."""

    holds = Bundle("holds")
    lost = "spent"

    def store(self):
        """Where the budget is kept; a new one for each example."""
        return {}

    def __init__(self):
        super().__init__()
        self.clock = FakeClock()
        self.budget = Budget(
            LIMIT,
            per="tag",
            window="total",
            lease_s=60,
            lost=self.lost,
            clock=self.clock,
            **self.store(),
        )
        # What each call has reserved, what it has cost in the end, and its errors.
        self.calls = []

    @rule(target=holds, amount=amounts, tags=st.sets(st.sampled_from("abc")))
    def reserve(self, amount, tags):
        tags = tuple(sorted(tags))
        before = self.totals()
        room = all(
            amount == 0 or sum(before.get(key, (0, 0))) + amount <= LIMIT
            for key in tags or (None,)
        )
        scope = ADA._replace(tags=tags)
        if not room:
            with pytest.raises(BudgetExceeded):
                self.budget.reserve(scope, amount)
            return None
        hold = self.budget.reserve(scope, amount)
        call = {
            "keys": tags or (None,),
            "amount": amount,
            "until": self.clock.tick + 60,
            "cost": None,
        }
        self.calls.append(call)
        return hold, call

    @rule(held=holds, cost=amounts)
    def settle(self, held, cost):
        self.end(held, lambda hold: hold.settle(cost), cost)

    @rule(held=holds)
    def settle_unknown(self, held):
        self.end(held, lambda hold: hold.settle(None), held and held[1]["amount"])

    @rule(held=holds)
    def release(self, held):
        self.end(held, lambda hold: hold.release(), USD(0))

    def end(self, held, how, cost):
        if held:
            how(held[0])
            if held[1]["cost"] is None:  # the first end counts
                held[1]["cost"] = cost

    @rule(seconds=st.sampled_from([1, 20, 61]))
    def wait(self, seconds):
        self.clock.pass_s(seconds)

    def totals(self):
        """What each account must have spent and reserved."""
        found = {}
        for call in self.calls:
            cost, reserved = call["cost"], USD(0)
            if cost is None and call["until"] <= self.clock.tick:
                cost = call["amount"] if self.lost == "spent" else USD(0)
            elif cost is None:
                cost, reserved = USD(0), call["amount"]
            for key in call["keys"]:
                spent, held = found.get(key, (USD(0), USD(0)))
                found[key] = (spent + cost, held + reserved)
        return found

    @invariant()
    def sums_are_exact(self):
        accounts = {one.key: (one.spent, one.reserved) for one in self.budget.status()}
        for key, wanted in self.totals().items():
            assert accounts[key] == wanted

    @invariant()
    def nobody_overshoots_by_more_than_the_estimates_were_wrong(self):
        for status in self.budget.status():
            errors = sum(
                max(USD(0), (call["cost"] or USD(0)) - call["amount"])
                for call in self.calls
                if status.key in call["keys"]
            )
            if self.lost == "spent":
                assert status.spent + status.reserved <= LIMIT + errors


class CallsThatAreGivenBack(Calls):
    lost = "released"
