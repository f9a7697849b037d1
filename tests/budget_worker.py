"""A process that works on a shared budget; run by the tests, with what to do as JSON.

`{"store": {"redis": URL} or {"ledger": URL}, "limit": USD, "calls": n, "workers": m,
"estimate": USD, "cost": USD}` makes calls by so many threads until it was refused or
has made them all, and prints how many passed and what they cost; with `"hold": true` it
reserves once, says so, and waits to be killed.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.errors import BudgetExceeded

SCOPE = CallScope("gpt-oss-120b", user="ada", tags=("red", "blue"), run="r1")


class FakeClock:
    """Time that goes on when it is told to."""

    def __init__(self, now=1_795_600_000.0):  # 2026-11-25 09:46:40 UTC, a Wednesday
        self.now = now
        self.tick = 1_000.0

    def time(self):
        return self.now

    def monotonic(self):
        return self.tick

    def pass_s(self, seconds):
        self.now += seconds
        self.tick += seconds

    def set_wall(self, seconds):
        """Set the wall clock, as an administrator or NTP does."""
        self.now += seconds


def work(budget, calls, workers, estimate, cost):
    """Make calls; returns how many passed, and what they have cost together."""

    def call(_):
        try:
            hold = budget.reserve(SCOPE, estimate)
        except BudgetExceeded:
            return 0
        time.sleep(0.0005)
        hold.settle(cost)
        return 1

    with ThreadPoolExecutor(workers) as pool:
        passed = sum(pool.map(call, range(calls)))
    return passed, passed * cost


def main():
    told = json.loads(sys.argv[1])
    budget = Budget(
        told["limit"],
        name="together",
        lease_s=told.get("lease_s", 900),
        **told["store"],
    )
    estimate, cost = Decimal(told["estimate"]), Decimal(told["cost"])
    if told.get("hold"):
        hold = budget.reserve(SCOPE, estimate)
        print("held", hold.amount, flush=True)
        time.sleep(60)
        return
    budget.status()  # connects, so that all begin at once
    print("ready", flush=True)
    sys.stdin.readline()
    passed, spent = work(budget, told["calls"], told["workers"], estimate, cost)
    budget.close()
    print(json.dumps({"passed": passed, "spent": str(spent)}), flush=True)


if __name__ == "__main__":
    main()
