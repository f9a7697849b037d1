"""Laws of budgets: whatever calls do, in whatever order, the sums are right."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from budget_laws import Calls, CallsThatAreGivenBack
from hypothesis import settings

from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.errors import BudgetExceeded

USD = Decimal
ADA = CallScope("gpt-oss-120b", user="ada")


TestLaws = Calls.TestCase
TestLaws.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestLawsGivenBack = CallsThatAreGivenBack.TestCase
TestLawsGivenBack.settings = settings(
    max_examples=10, stateful_step_count=20, deadline=None
)


# -------------------------------------------------------------------- all at once


def test_sixty_four_threads_and_a_thousand_tasks_lose_not_a_cent():
    """Exact totals, and never more under way or spent than the limit."""
    budget = Budget("20.00", per="tag", thresholds=[])
    scope = ADA._replace(tags=("red", "blue"))
    seen, spent, lock = [], [], threading.Lock()

    def cost(number):
        return USD(number % 97 + 1) / 10_000

    def one(number):
        try:
            hold = budget.reserve(scope, USD("0.0097"))
        except BudgetExceeded as error:
            seen.append(error.spent + error.reserved)
            return
        if number % 11 == 0:
            hold.release()
        else:
            hold.settle(cost(number))
            with lock:
                spent.append(cost(number))

    def thread(start):
        for number in range(start, start + 40):
            one(number)

    async def task(number):
        hold = await budget.areserve(scope, USD("0.0097"))
        await asyncio.sleep(0)
        hold.settle(cost(number))
        with lock:
            spent.append(cost(number))

    async def tasks():
        done = await asyncio.gather(*map(task, range(1_000)), return_exceptions=True)
        assert {type(one) for one in done} <= {type(None), BudgetExceeded}

    with ThreadPoolExecutor(64) as pool:
        threads = [pool.submit(thread, 40 * number) for number in range(64)]
        asyncio.run(tasks())
        for done in threads:
            done.result()
    for status in budget.status():
        assert status.spent == sum(spent)
        assert status.reserved == 0
        assert status.calls == len(spent)
        assert status.spent <= 20
    assert all(used <= 20 for used in seen)


def test_a_tight_budget_is_not_overshot_by_calls_at_once():
    budget = Budget("1.00")
    passed = []

    def call(number):
        try:
            hold = budget.reserve(ADA, USD("0.01"))
        except BudgetExceeded:
            return
        passed.append(number)
        hold.settle(USD("0.01"))

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(call, range(2_000)))
    assert len(passed) == 100
    assert budget.status()[0].spent == 1


def test_a_threshold_is_told_once_by_many_threads():
    told = []
    budget = Budget("1.00", on_threshold=lambda status, share: told.append(share))
    with ThreadPoolExecutor(32) as pool:
        list(
            pool.map(
                lambda _: budget.reserve(ADA, USD("0.001")).settle(USD("0.001")),
                range(1_000),
            )
        )
    assert sorted(told) == [USD("0.5"), USD("0.8"), USD(1)]


def test_an_end_that_a_garbage_collection_brings_does_not_wait_for_itself():
    """An abandoned stream may be collected while its own thread reserves."""

    class Stream:
        def __init__(self, hold):
            self.hold, self.itself = hold, self

        def __del__(self):
            self.hold.settle(USD("0.001"))

    budget = Budget("1000", per="user", on_threshold=lambda *_: budget.status())
    before = gc.get_threshold()
    gc.set_threshold(1)  # in the middle of nearly everything
    try:
        for number in range(300):
            Stream(budget.reserve(ADA._replace(user=f"u{number % 7}"), USD("0.002")))
    finally:
        gc.set_threshold(*before)
    gc.collect()
    accounts = budget.status()
    assert sum(one.spent for one in accounts) == USD("0.300")
    assert all(one.reserved == 0 for one in accounts)


def test_an_end_that_comes_while_the_lock_is_held_is_not_lost():
    budget = Budget(1)
    hold = budget.reserve(ADA, USD("0.5"))
    with budget._book._lock:
        hold.settle(USD("0.2"))  # does not wait
    assert budget.status()[0].spent == USD("0.2")


@pytest.mark.skipif(
    not hasattr(signal, "pthread_kill") or sys.platform == "win32",
    reason="signals are sent to the main thread, as POSIX has it",
)
def test_an_end_in_a_signal_handler_is_not_lost():
    budget = Budget("1000")
    ended = []

    def handler(*_):
        if held:
            held.pop().settle(USD("0.001"))
            ended.append(1)

    held = []
    before = signal.signal(signal.SIGUSR1, handler)
    stop = threading.Event()
    main = threading.main_thread().ident

    def send():
        while not stop.wait(random.random() / 2_000):
            signal.pthread_kill(main, signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        while len(ended) < 50:
            held.append(budget.reserve(ADA, USD("0.01")))
    finally:
        stop.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    for hold in held:
        hold.release()
    status = budget.status()[0]
    assert (status.spent, status.reserved) == (USD("0.001") * len(ended), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_child_does_not_wait_for_a_lock_that_nobody_holds():
    budget = Budget(1)
    budget.reserve(ADA, USD("0.5")).settle(USD("0.5"))
    held = threading.Event()
    go_on = threading.Event()

    def hold_it():
        with budget._book._lock:
            held.set()
            go_on.wait(20)

    thread = threading.Thread(target=hold_it)
    thread.start()
    held.wait(20)
    child = os.fork()
    if child == 0:
        try:
            spent = budget.status()[0].spent
            os._exit(0 if spent == USD("0.5") else 3)
        finally:
            os._exit(4)
    go_on.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
