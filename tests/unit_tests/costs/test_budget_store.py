"""Budgets in a shared store: what happens while it is away, slow or strange."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from textwrap import dedent

import pytest
from budget_worker import FakeClock

from langchain_cerebras_ext.costs import budget as budget_module
from langchain_cerebras_ext.costs._budgets import _shared, _sql, _worker
from langchain_cerebras_ext.costs._budgets._account import Ask
from langchain_cerebras_ext.costs._budgets._sql import SqlStore
from langchain_cerebras_ext.costs._ledger import migrations
from langchain_cerebras_ext.costs.budget import Budget, CallScope, read_budgets
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.errors import (
    BudgetExceeded,
    CerebrasConfigurationError,
    CerebrasCostWarning,
    LedgerError,
    LedgerNotFoundError,
    MissingExtraError,
)

USD = Decimal
ADA = CallScope("gpt-oss-120b", user="ada", run="r1")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'costs.db'}"


@pytest.fixture
def make(url):
    made = []

    def make(limit="1.00", **options):
        budget = Budget(limit, **{"ledger": url, **options})
        made.append(budget)
        return budget

    yield make
    for budget in made:
        budget.close()


class Fault:
    """Makes a store fail: before it has done anything, or after it has done it."""

    def __init__(self, monkeypatch):
        self.mode = None
        self.gate = threading.Event()
        self.gate.set()
        self.seen = []
        apply = SqlStore.apply

        def faulty(store, ops, clock):
            self.seen.append([type(op).__name__ for op in ops])
            self.gate.wait(20)
            if self.mode == "away":
                raise LedgerError(_worker.away(store.place, "gone fishing"))
            if self.mode == "poison" and len(ops) > 1:
                raise ZeroDivisionError
            if self.mode == "broken":
                raise ZeroDivisionError
            answers = apply(store, ops, clock)
            if self.mode == "answer lost":
                raise LedgerError(_worker.away(store.place, "the answer is lost"))
            return answers

        monkeypatch.setattr(SqlStore, "apply", faulty)


@pytest.fixture
def fault(monkeypatch):
    monkeypatch.setattr(_worker, "_RETRY_S", 0.02)
    return Fault(monkeypatch)


def only(budget):
    (status,) = budget.status()
    return status


def sees(budget, **wanted):
    """Wait until the store is back and has everything."""
    status = None
    for _ in range(500):
        try:
            status = only(budget)
        except LedgerError:
            continue
        finally:
            threading.Event().wait(0.01)
        if all(getattr(status, name) == value for name, value in wanted.items()):
            return True
    raise AssertionError(status)


# -------------------------------------------------------------------------- away


def test_while_the_store_is_away_a_strict_budget_lets_nothing_pass(make, fault, caplog):
    budget = make()
    budget.reserve(ADA, USD("0.1")).settle(USD("0.1"))
    assert only(budget).spent == USD("0.1")
    fault.mode = "away"
    for _ in range(5):
        with pytest.raises(LedgerError, match="cannot be used") as caught:
            budget.reserve(ADA, USD("0.1"))
        assert "on_store_error='allow'" in caught.value.message
    assert caplog.text.count("gone fishing") == 1
    assert "on_store_error" not in caplog.text, "its reader may have no budget to set"
    fault.mode = None
    assert sees(budget, spent=USD("0.1"), reserved=0)
    assert "can be used again" in caplog.text
    assert budget.reserve(ADA, USD("0.1")) is not None


def test_it_does_not_ask_again_for_a_while_so_that_calls_fail_at_once(
    make, fault, monkeypatch
):
    monkeypatch.setattr(_worker, "_RETRY_S", 100.0)
    budget = make()
    fault.mode = "away"
    for _ in range(20):
        with pytest.raises(LedgerError):
            budget.reserve(ADA, USD("0.1"))
    assert len(fault.seen) == 1


def test_where_it_was_allowed_calls_pass_with_one_warning_and_are_counted_later(
    make, fault
):
    budget = make(on_store_error="allow")
    fault.mode = "away"
    with pytest.warns(CerebrasCostWarning, match="pass unchecked") as caught:
        holds = [budget.reserve(ADA, USD("0.4")) for _ in range(5)]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    holds[0].settle(USD("0.1"))
    holds[1].settle(None)
    holds[2].release()
    fault.mode = None
    assert sees(budget, spent=USD("0.5"), assumed=USD("0.4"), calls=2, reserved=0)
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD("0.6"))


@pytest.mark.parametrize("action", ["warn", print], ids=["warn", "call"])
def test_a_budget_that_stops_nothing_does_not_stop_either_when_it_cannot_know(
    action, make, fault
):
    budget = make(action=action)
    fault.mode = "away"
    with pytest.warns(CerebrasCostWarning):
        assert budget.reserve(ADA, USD(5)) is not None
    fault.mode = None


def test_the_ends_of_calls_are_kept_until_the_store_is_back(make, fault):
    budget = make()
    holds = [budget.reserve(ADA, USD("0.1")) for _ in range(5)]
    fault.mode = "away"
    for hold in holds:
        hold.settle(USD("0.05"))
        hold.settle(USD("0.05"))
    with pytest.raises(LedgerError):
        budget.status()
    fault.mode = None
    assert sees(budget, spent=USD("0.25"), reserved=0, calls=5)


def test_what_was_done_though_the_answer_is_lost_is_not_done_twice(make, fault):
    budget = make()
    holds = [budget.reserve(ADA, USD("0.1")) for _ in range(3)]
    fault.mode = "answer lost"
    for hold in holds:
        hold.settle(USD("0.05"))
    with pytest.raises(LedgerError):
        budget.reserve(ADA, USD("0.5"))  # was reserved, but nobody was told
    fault.mode = None
    assert sees(budget, spent=USD("0.15"), reserved=0, calls=3)


def test_ends_that_are_too_many_to_keep_are_dropped_aloud(
    make, fault, monkeypatch, caplog
):
    monkeypatch.setattr(_worker, "_LATE_MOST", 10)
    clock = FakeClock()
    budget = make("10.00", lease_s=60, clock=clock)
    holds = [budget.reserve(ADA, USD("0.1")) for _ in range(30)]
    fault.mode = "away"
    for hold in holds:
        hold.settle(USD("0.05"))
        with pytest.raises(LedgerError):
            budget.status()
    assert caplog.text.count("are being lost") == 1
    fault.mode = None
    assert sees(budget, spent=USD("0.50"), reserved=USD("2.00"))
    clock.pass_s(61)
    assert sees(budget, spent=USD("2.50"), reserved=0, assumed=USD("2.00"))


def test_one_operation_that_fails_does_not_take_others_with_it(make, fault):
    budget = make("100")
    fault.mode = "poison"
    with ThreadPoolExecutor(16) as pool:
        holds = list(pool.map(lambda _: budget.reserve(ADA, USD("0.1")), range(100)))
    for hold in holds:
        hold.settle(USD("0.1"))
    assert sees(budget, spent=USD(10), reserved=0)


def test_a_mistake_in_the_store_is_an_error_and_not_a_wait_for_ever(
    make, fault, caplog
):
    budget = make()
    fault.mode = "broken"
    with pytest.raises(LedgerError, match="it has failed: ZeroDivisionError"):
        budget.reserve(ADA, USD("0.1"))
    fault.mode = None
    assert "ZeroDivisionError" in caplog.text
    assert budget.reserve(ADA, USD("0.1")) is not None


# ------------------------------------------------------------------------ waiting


async def test_a_task_that_is_cancelled_while_it_waits_leaves_nothing_reserved(
    make, fault
):
    budget = make()
    await budget.astatus()
    fault.gate.clear()
    tasks = [
        asyncio.create_task(budget.areserve(ADA, USD("0.3"))),
        asyncio.create_task(budget.areserve(ADA, USD("0.3"))),
    ]
    await asyncio.sleep(0.05)  # one is being done, or both; one may still stand in line
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in done} == {asyncio.CancelledError}
    fault.gate.set()
    assert await asyncio.to_thread(sees, budget, reserved=0, spent=0, calls=0)


async def test_the_event_loop_goes_on_while_a_task_waits(make, fault):
    budget = make()
    await budget.astatus()
    fault.gate.clear()
    waiting = asyncio.create_task(budget.areserve(ADA, USD("0.3")))
    for _ in range(10):
        await asyncio.sleep(0.005)
    assert not waiting.done()
    fault.gate.set()
    (await waiting).settle(USD("0.1"))  # does not wait either
    (status,) = await budget.astatus()
    assert status.spent == USD("0.1")


async def test_a_store_that_does_not_answer_is_given_up(make, fault, monkeypatch):
    monkeypatch.setattr(_shared, "_PATIENCE_S", 0.05)
    budget = make()
    fault.gate.clear()
    with pytest.raises(LedgerError, match="not answered"):
        await budget.areserve(ADA, USD("0.3"))
    with pytest.raises(LedgerError, match="not answered"):
        await asyncio.to_thread(budget.reserve, ADA, USD("0.3"))
    monkeypatch.setattr(_shared, "_PATIENCE_S", 20)
    fault.gate.set()
    assert await asyncio.to_thread(sees, budget, reserved=0, spent=0)


def test_what_gathers_is_done_together(make, fault):
    budget = make("100")
    budget.status()
    fault.gate.clear()
    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(budget.reserve, ADA, USD("0.1")) for _ in range(50)]
        queue = budget._book._worker._queue
        # How many of them the first transaction takes is a matter of luck.
        while queue.qsize() + sum(ops.count("Reserve") for ops in fault.seen) < 50:
            threading.Event().wait(0.005)
        fault.gate.set()
        holds = [one.result() for one in waiting]
    for hold in holds:
        hold.settle(USD("0.1"))
    assert only(budget).spent == 5
    assert len(fault.seen) < 30


# ------------------------------------------------------------------------- sharing


def test_budgets_of_one_name_in_one_store_are_one(make):
    one, two = make(name="team"), make(name="team")
    other = make(name="other")
    one.reserve(ADA, USD("0.8"))
    with pytest.raises(BudgetExceeded):
        two.reserve(ADA, USD("0.8"))
    assert other.reserve(ADA, USD("0.8")) is not None
    assert one == two
    assert hash(one) == hash(two)
    assert one != other
    assert one != Budget("1.00", name="team")


def test_the_limit_is_that_of_who_asks_and_what_was_spent_stays(make):
    make("1.00", name="team").reserve(ADA, USD("0.8")).settle(USD("0.8"))
    budget = make("2.00", name="team")
    assert budget.reserve(ADA, USD("0.8")) is not None
    status = only(budget)
    assert (status.limit, status.spent) == (2, USD("0.8"))


def test_another_window_of_the_same_name_has_accounts_of_its_own(make):
    make(name="team", window="day").reserve(ADA, USD(1))
    budget = make(name="team", window="month")
    assert budget.reserve(ADA, USD(1)) is not None
    assert only(budget).window == "month"


def test_a_ledger_may_be_given_by_itself_or_by_its_path(make, tmp_path):
    path = tmp_path / "costs.db"
    with Ledger(path) as ledger:
        one, two = make(ledger=ledger), make(ledger=str(path))
        one.reserve(ADA, USD("0.8"))
        assert only(two).reserved == USD("0.8")
        assert one == two
        (read,) = read_budgets(ledger)
        assert read.reserved == USD("0.8")


def test_a_budget_may_be_in_the_file_before_the_ledger_is(make, url):
    budget = make()
    budget.reserve(ADA, USD("0.4")).settle(USD("0.4"))
    assert [one.spent for one in budget.status()] == [USD("0.4")]
    with pytest.raises(LedgerNotFoundError, match="There is no ledger"):
        Ledger(url, create=False)
    with Ledger(url) as ledger:
        assert ledger.totals().calls == 0
    budget.reserve(ADA, USD("0.5")).settle(USD("0.5"))
    budget.close()
    assert [one.spent for one in read_budgets(url)] == [USD("0.9")]


def test_the_ledger_knows_which_tables_are_of_budgets():
    assert set(_sql._metadata.tables) == migrations._OF_BUDGETS


def test_a_ledger_in_memory_keeps_budgets_too(make):
    with Ledger("sqlite://") as ledger:
        one, two = make(ledger=ledger), make(ledger=ledger)
        one.reserve(ADA, USD("0.8")).settle(USD("0.7"))
        assert only(one).spent == USD("0.7")
        assert only(two).spent == USD("0.7")
        (read,) = read_budgets(ledger)
        assert read.spent == USD("0.7")
        assert ledger.totals().calls == 0
        one.close()


def test_ledgers_in_memory_are_different_stores(make):
    with Ledger("sqlite://") as first, Ledger("sqlite://") as second:
        assert make(ledger=first) == make(ledger=first)
        assert make(ledger=first) != make(ledger=second)


def test_a_budget_with_a_ledger_can_be_pickled(make, url):
    with Ledger(url) as ledger:
        budget = make(ledger=ledger, name="team")
        budget.reserve(ADA, USD("0.8"))
        data = pickle.dumps(budget)
    del budget_module._here[budget._identity]
    again = pickle.loads(data)
    assert again == budget
    assert only(again).reserved == USD("0.8")


def test_a_pickled_budget_finds_its_store_again(make):
    budget = make(name="team")
    budget.reserve(ADA, USD("0.8"))
    data = pickle.dumps(budget)
    assert pickle.loads(data) is budget
    del budget_module._here[budget._identity]  # as in another process
    again = pickle.loads(data)
    assert again is not budget
    assert only(again).reserved == USD("0.8")
    again.close()


# ------------------------------------------------------------------------- reading


def test_all_budgets_of_a_store_can_be_read(make, url):
    clock = FakeClock(time.time())
    make("5.00", per="user", limits={"bob": 2}).reserve(ADA, USD(1)).settle(USD("0.5"))
    make("9.00", name="all of us", window="total", action="warn").reserve(ADA, USD(2))
    make("3.00", name="runs", window="run").reserve(ADA, USD(1)).settle(USD(1))
    gone = make("7.00", name="minutes", window="minute", clock=clock)
    clock.now -= 3600
    gone.reserve(ADA, USD(3)).settle(USD(3))
    gone.status()
    found = {status.name: status for status in read_budgets(url)}
    assert set(found) == {"user/day", "all of us", "runs", "minutes"}
    user, everybody = found["user/day"], found["all of us"]
    assert (user.per, user.key, user.limit, user.spent) == (
        "user",
        "ada",
        5,
        USD("0.5"),
    )
    assert (everybody.action, everybody.reserved, everybody.window) == (
        "warn",
        2,
        "total",
    )
    assert everybody.window_end is None
    assert (found["runs"].run, found["runs"].remaining) == ("r1", 2)
    assert (found["minutes"].spent, found["minutes"].limit) == (0, 7)


def test_reading_creates_nothing(tmp_path):
    path = tmp_path / "none.db"
    assert read_budgets(f"sqlite:///{path}") == []
    assert not path.exists()
    path.touch()
    assert read_budgets(f"sqlite:///{path}") == []
    assert path.read_bytes() == b""
    Ledger(path).close()
    assert read_budgets(f"sqlite:///{path}") == []


def test_reading_takes_lost_reservations_as_lost(make, url):
    clock = FakeClock(time.time() - 3_600)
    budget = make("5.00", window="total", lease_s=60, clock=clock)
    budget.reserve(ADA, USD(2))
    budget.close()  # an hour ago, by the machine's own clock
    for _ in range(2):
        (status,) = read_budgets(url)
        assert (status.reserved, status.spent) == (0, 2)


def test_a_database_that_is_none_is_an_error(tmp_path, caplog):
    path = tmp_path / "costs.db"
    path.write_text("This is not a database, by any means. " * 100)
    with pytest.raises(LedgerError, match=r"costs\.db"):
        read_budgets(str(path))
    budget = Budget(1, ledger=str(path))
    with pytest.raises(LedgerError, match=r"costs\.db"):
        budget.reserve(ADA, USD("0.1"))
    budget.close()
    assert "costs.db" in caplog.text


@pytest.mark.parametrize("is_idle", [False, True], ids=["at work", "idle"])
def test_a_file_that_was_deleted_is_no_budget_of_ones_own(
    make, tmp_path, monkeypatch, is_idle
):
    """SQLite would go on with it, unseen by the processes that start a new one."""
    monkeypatch.setattr(_worker, "_RETRY_S", 0)
    old = make(window="total")
    old.reserve(ADA, USD("0.4")).settle(USD("0.4"))
    old.status()
    if is_idle:
        old.close()
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(LedgerError, match="the file has vanished"):
        old.reserve(ADA, USD("0.1"))
    assert list(tmp_path.iterdir()) == [], "it may be put back"
    _worker._workers.clear()  # as in another process
    new = make(window="total")
    new.reserve(ADA, USD("0.7")).settle(USD("0.7"))
    assert [one.spent for one in new.status()] == [USD("0.7")]
    assert [one.spent for one in old.status()] == [USD("0.7")]
    with pytest.raises(BudgetExceeded):
        old.reserve(ADA, USD("0.4"))


def test_a_file_that_was_moved_and_put_back_goes_on(make, tmp_path, monkeypatch):
    monkeypatch.setattr(_worker, "_RETRY_S", 0)
    budget = make(window="total")
    held = budget.reserve(ADA, USD("0.5"))
    budget.reserve(ADA, USD("0.3")).settle(USD("0.3"))
    budget.status()
    away = tmp_path / "away"
    away.mkdir()
    names = [path.name for path in tmp_path.glob("costs.db*")]
    for name in names:
        (tmp_path / name).rename(away / name)
    held.settle(USD("0.2"))
    with pytest.raises(LedgerError, match="the file has vanished"):
        budget.status()
    for name in names:
        (away / name).rename(tmp_path / name)
    assert [one.spent for one in budget.status()] == [USD("0.5")]


def test_a_folder_that_is_not_there_is_an_error(tmp_path, caplog):
    budget = Budget(1, ledger=str(tmp_path / "none" / "costs.db"))
    with pytest.raises(LedgerError, match="unable to open"):
        budget.reserve(ADA, USD("0.1"))
    budget.close()


def test_rows_of_windows_that_are_over_are_removed(make, monkeypatch):
    budget = make(window="minute", name="a")
    clock = FakeClock(time.time() - 30 * 86_400)
    make(window="minute", name="b", clock=clock).reserve(ADA, USD(1)).settle(USD(1))
    store = budget._book._worker._store
    monkeypatch.setattr(_sql, "SEEN_S", 0.0)
    budget.reserve(ADA, USD(1)).settle(USD(1))
    budget.status()
    with store._get_engine().connect() as connection:
        rows = connection.execute(_sql.select(_sql._accounts.c.budget)).scalars().all()
    assert set(rows) == {"a"}


# ------------------------------------------------------------------------ thresholds


def test_thresholds_are_told_by_a_thread_of_their_own_and_may_use_the_budget(make):
    seen, done = [], threading.Event()

    def tell(status, share):
        seen.append(
            (share, status.spent, only(budget).spent, threading.current_thread())
        )
        done.set()

    budget = make(on_threshold=tell, thresholds=[0.5])
    budget.reserve(ADA, USD("0.6")).settle(USD("0.6"))
    assert done.wait(20)
    ((share, spent, now, thread),) = seen
    assert (share, spent, now) == (USD("0.5"), USD("0.6"), USD("0.6"))
    assert thread not in {threading.main_thread(), budget._book._worker._thread}


def test_who_closes_waits_for_what_is_told(make):
    seen = []
    budget = make(on_threshold=lambda status, share: seen.append(share))
    budget.reserve(ADA, USD("0.9")).settle(USD("0.9"))
    budget.close()
    assert seen == [USD("0.5"), USD("0.8")]


def test_budgets_that_share_a_store_tell_each_threshold_once_together(make):
    seen = []
    pair = [
        make(name="team", on_threshold=lambda status, share: seen.append(share))
        for _ in range(2)
    ]
    for number in range(10):
        pair[number % 2].reserve(ADA, USD("0.1")).settle(USD("0.1"))
        pair[number % 2].status()
    for budget in pair:
        budget.close()
    assert seen == [USD("0.5"), USD("0.8"), USD(1)]


# ----------------------------------------------------------------------- life cycle


def test_a_closed_budget_goes_on_when_it_is_used_again(make):
    budget = make()
    hold = budget.reserve(ADA, USD("0.8"))
    budget.close()
    hold.settle(USD("0.3"))
    budget.close()
    budget.close()
    assert only(budget).spent == USD("0.3")


def test_without_work_the_thread_ends_and_the_next_call_starts_another(
    make, monkeypatch
):
    monkeypatch.setattr(_worker, "_IDLE_S", 0.01)
    budget = make("100")
    worker = budget._book._worker
    for number in range(40):
        budget.reserve(ADA, USD("0.1")).settle(USD("0.1"))
        if number % 10 == 0:
            while worker._thread is not None:
                threading.Event().wait(0.002)
        threading.Event().wait(number % 5 * 0.004)
    assert only(budget).spent == 4


def test_where_no_thread_can_be_started_the_caller_talks_to_the_store(
    make, monkeypatch
):
    """As at the very end of the interpreter."""

    def refuse(thread):
        msg = "can't start new thread"
        raise RuntimeError(msg)

    seen = []
    budget = make(on_threshold=lambda status, share: seen.append(share))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    budget.reserve(ADA, USD("0.6")).settle(USD("0.6"))
    assert only(budget).spent == USD("0.6")
    budget.close()
    assert seen == [USD("0.5")]


def test_a_long_line_is_done_in_pieces(make, fault):
    budget = make("100")
    budget.status()
    fault.gate.clear()
    holds = [budget._book.unreserved(_ask(1)) for _ in range(600)]
    for hold in holds:
        hold.settle(USD("0.1"))
    fault.gate.set()
    assert only(budget).spent == 60
    assert max(map(len, fault.seen)) <= 256


def _ask(amount):
    return Ask((None,), None, amount, known=True)


def test_a_store_that_nobody_uses_goes(make, monkeypatch, url):
    monkeypatch.setattr(_worker, "_IDLE_S", 0.01)
    budget = Budget(1, ledger=url)
    budget.reserve(ADA, USD("0.1")).settle(USD("0.1"))
    worker = budget._book._worker
    while worker._thread is not None:
        threading.Event().wait(0.002)
    gone = weakref.ref(worker)
    del budget, worker
    gc.collect()
    assert gone() is None


def run_python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


SETUP = """
    import sys
    from decimal import Decimal
    from langchain_cerebras_ext.costs.budget import Budget, CallScope
    ada = CallScope("gpt-oss-120b", user="ada")
    budget = Budget("100", name="b", ledger=sys.argv[1], window="total",
                    on_threshold=lambda s, share: print("told", share, flush=True))
"""


def test_what_was_settled_last_is_written_when_the_program_ends(make, url):
    code = f"""
    {SETUP}
    for _ in range(50):
        budget.reserve(ada, Decimal(1)).settle(Decimal("1.5"))
    """
    done = run_python(code, url)
    assert (done.stdout, done.stderr) == ("told 0.5\n", "")
    status = only(make("100", name="b", window="total"))
    assert (status.spent, status.reserved, status.calls) == (75, 0, 50)


def test_a_program_that_ends_without_the_store_says_what_is_lost(tmp_path):
    code = f"""
    {SETUP}
    import logging
    logging.basicConfig(level="ERROR", format="%(message)s")
    hold = budget.reserve(ada, Decimal(1))
    from langchain_cerebras_ext.costs._budgets import _sql
    def away(*_, **__):
        raise _sql.LedgerError("away")
    _sql.SqlStore.apply = away
    hold.settle(Decimal(1))
    """
    done = run_python(code, str(tmp_path / "costs.db"))
    assert "has not taken the ends of 1 calls" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_parent_and_forked_child_both_count_and_neither_twice(make, url):
    code = f"""
    {SETUP}
    import os, warnings
    warnings.simplefilter("ignore")
    held = [budget.reserve(ada, Decimal(1)) for _ in range(10)]
    for hold in held[:5]:
        hold.settle(Decimal("0.5"))  # perhaps not written yet
    child = os.fork()
    for _ in range(20):
        budget.reserve(ada, Decimal(1)).settle(Decimal("0.25"))
    if child == 0:
        budget.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for hold in held[5:]:
        hold.settle(Decimal("0.5"))

    from multiprocessing import get_context
    def work():
        budget.reserve(ada, Decimal(1)).settle(Decimal("0.25"))
    process = get_context("fork").Process(target=work)
    process.start()
    process.join()
    """
    run_python(code, url)
    status = only(make("100", name="b", window="total"))
    assert (status.spent, status.reserved, status.calls) == (USD("15.25"), 0, 51)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_while_the_store_is_at_work_does_not_wait_for_ever(make, url):
    code = f"""
    {SETUP}
    import faulthandler, os, warnings
    warnings.simplefilter("ignore")
    for _ in range(30):
        for hold in [budget.reserve(ada, Decimal("0.01")) for _ in range(3)]:
            hold.settle(Decimal("0.01"))  # is being written now
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(20, exit=True)
            budget.reserve(ada, Decimal("0.01")).settle(Decimal("0.01"))
            budget.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    done = run_python(code, url)
    assert (done.returncode, done.stderr) == (0, "")
    status = only(make("100", name="b", window="total"))
    assert (status.spent, status.calls) == (USD("1.20"), 120)


@pytest.mark.parametrize(
    ("options", "missing", "extra"),
    [
        ({"redis": "redis://localhost"}, "redis", "redis"),
        ({"ledger": "costs.db"}, "sqlalchemy", "ledger"),
        ({"ledger": "postgresql://localhost/a"}, "psycopg", "postgres"),
    ],
    ids=["redis", "ledger", "postgres"],
)
def test_a_missing_extra_is_named(options, missing, extra, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == missing else find(name, *more),
    )
    with pytest.raises(MissingExtraError, match=rf"\[{extra}\]"):
        Budget(1, **options)


def test_importing_budgets_loads_no_database():
    code = """
    import sys
    import langchain_cerebras_ext.costs.budget as b
    b.Budget(1)
    print(sorted({"sqlalchemy", "redis", "psycopg"} & set(sys.modules)))
    """
    assert run_python(code).stdout == "[]\n"


def test_addresses_are_refused_before_anything_is_opened():
    with pytest.raises(CerebrasConfigurationError):
        read_budgets("oracle://a")
    with pytest.raises(CerebrasConfigurationError):
        read_budgets("sqlite://")


def test_everything_that_is_logged_goes_to_one_logger(make, fault, caplog):
    caplog.set_level(logging.DEBUG)
    budget = make()
    fault.mode = "away"
    with pytest.raises(LedgerError):
        budget.status()
    fault.mode = None
    names = {
        record.name
        for record in caplog.records
        if record.name.startswith("langchain_cerebras_ext")
    }
    assert names == {"langchain_cerebras_ext.budget"}
