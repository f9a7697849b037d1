"""Budgets that processes share: in SQLite, a real PostgreSQL, a real Redis or Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy
from budget_laws import Calls, CallsThatAreGivenBack
from budget_worker import SCOPE, FakeClock
from hypothesis import HealthCheck, settings
from postgres_server import PostgresServer
from postgres_server import find_server as find_postgres
from redis_server import RedisServer, find_server

from langchain_cerebras_ext.costs._budgets import _worker
from langchain_cerebras_ext.costs.budget import (
    Budget,
    CallScope,
    read_budgets,
    read_redis_budgets,
)
from langchain_cerebras_ext.errors import BudgetExceeded, LedgerError

USD = Decimal
WORKER = Path(__file__).parents[1] / "budget_worker.py"
PASSWORD = "correct-horse"
ADA = CallScope("gpt-oss-120b", user="ada", run="r1")
STORES = ("sqlite", "postgres", "redis", "valkey")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Start each server when it is first asked for, once."""
    with contextlib.ExitStack() as stack:
        started = {}

        def start(kind):
            """Return how a budget is told of the store."""
            if kind not in started:
                started[kind] = _start(kind, stack, tmp_path_factory)
            name, server, url = started[kind]
            start.server = server
            return {name: url}

        yield start


def _start(kind, stack, tmp_path_factory):
    if kind == "sqlite":
        path = tmp_path_factory.mktemp("budgets") / "costs.db"
        return "ledger", None, f"sqlite:///{path}"
    if kind == "postgres":
        server = stack.enter_context(PostgresServer(find_postgres()))
        return "ledger", server, server.url
    program = find_server(f"{kind}-server")
    server = stack.enter_context(RedisServer(program, password=PASSWORD))
    return "redis", server, server.url


@pytest.fixture(params=STORES)
def store(request, servers):
    return servers(request.param)


@pytest.fixture
def name():
    """A budget's name that no other test has."""
    return f"b-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def make(store, name):
    made = []

    def make(limit="1.00", **options):
        budget = Budget(limit, **{"name": name, "window": "total", **store, **options})
        made.append(budget)
        return budget

    yield make
    for budget in made:
        budget.close()


def elsewhere(make, **options):
    """Return the same budget as another process has it: with a connection of its own."""
    known = dict(_worker._workers)
    _worker._workers.clear()
    try:
        return make(**options)
    finally:
        _worker._workers.update(known)


def read(store):
    if "redis" in store:
        return read_redis_budgets(store["redis"])
    return read_budgets(store["ledger"])


def only(budget):
    (status,) = budget.status()
    return status


def by_key(budget):
    return {status.key: status for status in budget.status()}


# --------------------------------------------------------------- the same everywhere


@pytest.mark.parametrize(
    ("kind", "machine"),
    [
        ("sqlite", Calls),
        ("postgres", CallsThatAreGivenBack),
        ("redis", Calls),
        ("redis", CallsThatAreGivenBack),
    ],
)
def test_the_laws_of_budgets_hold_in_every_store(kind, machine, servers):
    store = servers(kind)

    class Shared(machine):
        def store(self):
            return {**store, "name": uuid.uuid4().hex}

        def teardown(self):
            self.budget.close()

    many = settings(
        max_examples=4,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case = Shared.TestCase
    case.settings = many
    case("runTest").runTest()


def test_reserve_settle_and_refuse(make, store, name):
    budget = make("5.00", per="user", limits={"bob": "9.00"})
    hold = budget.reserve(ADA, USD("0.75"))
    assert only(budget).reserved == USD("0.75")
    hold.settle(USD("0.10"))
    hold.release()
    with pytest.raises(BudgetExceeded) as caught:
        budget.reserve(ADA, USD("4.91"))
    error = caught.value
    assert (error.spent, error.reserved, error.estimate) == (
        USD("0.10"),
        0,
        USD("4.91"),
    )
    budget.reserve(ADA._replace(user="bob"), USD("8.00")).settle(None)
    accounts = by_key(budget)
    assert accounts["ada"].spent == USD("0.10")
    assert (accounts["bob"].assumed, accounts["bob"].limit) == (8, 9)
    found = [status for status in read(store) if status.name == name]
    assert [(one.key, one.spent, one.limit) for one in found] == [
        ("ada", USD("0.10"), 5),
        ("bob", 8, 9),
    ]


def test_calls_without_a_price(make):
    budget = make(unpriced="allow")
    budget.reserve(ADA, None).settle(None)
    budget.reserve(ADA, None).settle(USD("0.1"))
    budget.reserve(ADA, None).release()
    status = only(budget)
    assert (status.unpriced_calls, status.calls, status.spent) == (1, 2, USD("0.1"))
    budget.reserve(ADA, USD("0.9"))
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, None)


def test_several_tags_pay_together_or_not_at_all(make):
    budget = make(per="tag")
    budget.reserve(ADA._replace(tags=("blue",)), USD("0.7"))
    both = ADA._replace(tags=("red", "blue"))
    with pytest.raises(BudgetExceeded, match="'blue'"):
        budget.reserve(both, USD("0.4"))
    assert by_key(budget).get("red") is None or by_key(budget)["red"].reserved == 0
    budget.reserve(both, USD("0.3")).settle(USD("0.2"))
    accounts = by_key(budget)
    assert (accounts["red"].spent, accounts["blue"].spent) == (USD("0.2"),) * 2


@pytest.mark.parametrize(
    "key",
    [
        "ada \u00e9\U0001f600",
        "a\x00b",
        "\ud800",
        "'); DROP TABLE x;--",
        '{"a": [1]}',
        "",
    ],
    ids=["unicode", "nul", "surrogate", "sql", "json", "empty"],
)
def test_a_key_may_be_any_text(key, make, store, name):
    budget = make(per="user")
    budget.reserve(ADA._replace(user=key), USD("0.3")).settle(USD("0.2"))
    assert by_key(budget)[key].spent == USD("0.2")
    assert [one.key for one in read(store) if one.name == name] == [key]


def test_windows_and_a_clock_that_is_set_back(make):
    clock = FakeClock()
    budget = make(window="day", clock=clock)
    held = budget.reserve(ADA, USD("0.8"))
    clock.pass_s(15 * 3_600)  # past midnight
    assert only(budget).reserved == 0
    budget.reserve(ADA, USD("0.9")).settle(USD("0.9"))
    held.settle(USD("0.5"))
    assert only(budget).spent == USD("0.9")
    clock.set_wall(-15 * 3_600)
    assert only(budget).spent == USD("0.5")


def test_accounts_of_windows_that_are_over_go(make, store, name):
    clock = FakeClock()
    budget = make(window="minute", per="user", clock=clock)
    for number in range(20):
        budget.reserve(ADA._replace(user=f"u{number}"), USD("0.1")).settle(USD("0.1"))
    clock.pass_s(7 * 86_400 + 1)
    budget.reserve(ADA, USD("0.1"))
    assert set(by_key(budget)) == {"ada"}
    if "redis" in store:
        with _client(store) as client:
            assert client.hlen(f"cerebras:{{budget:{name}:user/minute}}:accounts") == 1


def test_an_end_that_comes_after_the_lease_replaces_the_guess(make):
    clock = FakeClock()
    budget = make(lease_s=60, clock=clock)
    first, second = (budget.reserve(ADA, USD("0.3")) for _ in range(2))
    clock.pass_s(61)
    status = only(budget)
    assert (status.reserved, status.spent, status.assumed) == (0, *[USD("0.6")] * 2)
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD("0.5"))
    first.settle(USD("0.1"))
    second.release()
    status = only(budget)
    assert (status.spent, status.assumed, status.calls) == (USD("0.1"), 0, 1)


def test_thresholds_are_told_once_by_all_together(make):
    told = []
    options = {"on_threshold": lambda status, share: told.append(share)}
    pair = [make(**options), elsewhere(make, **options)]
    for number in range(10):
        pair[number % 2].reserve(ADA, USD("0.1")).settle(USD("0.1"))
        pair[number % 2].status()
    for budget in pair:
        budget.close()
    assert sorted(told) == [USD("0.5"), USD("0.8"), USD(1)]


def test_large_amounts_are_exact(make):
    """Beyond 2^53 units of 1e-12 USD, and beyond 2^63."""
    budget = make("900000000000")
    for _ in range(3):
        budget.reserve(ADA, USD("123456789012.123456789012")).settle(
            USD("98765432109.000000000007")
        )
    status = only(budget)
    assert status.spent == USD("296296296327.000000000021")
    assert status.remaining == USD("603703703672.999999999979")


# -------------------------------------------------------------------------- at once


def test_threads_and_tasks_at_once_lose_not_a_cent(make):
    pair = [make("1.20"), elsewhere(make, limit="1.20")]
    passed, lock = [], threading.Lock()

    def cost(number):
        return USD(number % 9 + 1) / 1_000

    def one(number):
        with contextlib.suppress(BudgetExceeded):
            hold = pair[number % 2].reserve(ADA, USD("0.009"))
            hold.settle(cost(number))
            with lock:
                passed.append(cost(number))

    async def task(number):
        with contextlib.suppress(BudgetExceeded):
            hold = await pair[number % 2].areserve(ADA, USD("0.009"))
            await asyncio.sleep(0)
            hold.settle(cost(number))
            with lock:
                passed.append(cost(number))

    async def tasks():
        await asyncio.gather(*map(task, range(200)))

    with ThreadPoolExecutor(32) as pool:
        threads = pool.map(one, range(160))
        asyncio.run(tasks())
        list(threads)
    for budget in pair:
        budget.close()
    status = only(pair[0])
    assert (status.spent, status.calls) == (sum(passed), len(passed))
    assert status.reserved == 0
    assert status.spent <= USD("1.20")


class Process:
    """A process of `budget_worker`."""

    def __init__(self, store, name_of_budget, **told):
        told = {
            "store": {**store, "window": "total"},
            "limit": "1.00",
            "estimate": "0.01",
            "cost": "0.01",
            **told,
        }
        code = (
            "import budget_worker as w, sys; b = w.Budget; "
            "w.Budget = lambda *a, **k: b(*a, **{**k, 'name': sys.argv[2]}); w.main()"
        )
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(told), name_of_budget],
            cwd=WORKER.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self):
        return self.popen.stdout.readline()

    def go(self):
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdin.close()
        self.popen.stdout.close()


@pytest.mark.parametrize(
    ("kind", "processes", "cost"),
    [
        ("sqlite", 4, "0.01"),
        ("postgres", 2, "0.013"),
        ("redis", 2, "0.01"),
    ],
)
def test_processes_at_once_share_a_budget(kind, processes, cost, servers, name):
    store = servers(kind)
    told = {"calls": 120, "workers": 8, "cost": cost}
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(Process(store, name, **told)) for _ in range(processes)
        ]
        for process in started:
            assert process.line() == "ready\n"
        for process in started:
            process.go()
        results = [json.loads(process.line()) for process in started]
    passed = sum(result["passed"] for result in results)
    spent = sum(USD(result["spent"]) for result in results)
    budget = Budget("1.00", name=name, window="total", **store)
    status = only(budget)
    budget.close()
    # No update is lost, and the limit holds but for the errors of the estimates.
    assert (status.spent, status.calls, status.reserved) == (spent, passed, 0)
    if cost == "0.01":
        assert (passed, spent) == (100, 1)
    else:
        under_way = processes * 8
        error = USD(cost) - USD("0.01")
        assert 1 - USD("0.01") < spent <= 1 + under_way * error + error
    assert any(result["passed"] < 120 for result in results)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "redis"])
def test_what_a_killed_process_had_reserved_is_freed_after_its_lease(
    kind, servers, name
):
    store = servers(kind)
    budget = Budget("1.00", name=name, window="total", **store)
    with Process(store, name, hold=True, estimate="0.90", lease_s=1.5) as process:
        assert process.line().startswith("held 0.9")
        with pytest.raises(BudgetExceeded) as caught:
            budget.reserve(ADA, USD("0.2"))
        # Where this was slow the lease is over already.
        assert caught.value.reserved + caught.value.spent == USD("0.90")
        process.popen.send_signal(signal.SIGKILL)
        process.popen.wait()
    while only(budget).reserved:
        threading.Event().wait(0.05)
    # It was probably billed, so it counts; nothing is held back for it any more.
    status = only(budget)
    assert (status.spent, status.assumed) == (USD("0.90"), USD("0.90"))
    assert budget.reserve(SCOPE, USD("0.1")) is not None
    budget.close()


# ------------------------------------------------------------------- away and secret


@contextlib.contextmanager
def _client(store):
    import redis

    client = redis.Redis.from_url(store["redis"])
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_keys_in_redis_are_together_and_end_by_themselves(kind, servers, name):
    store = servers(kind)
    budget = Budget(
        1, window="day", name=name, namespace="team-a", lost="released", **store
    )
    endless = Budget(1, window="total", name=f"{name}!", namespace="team-a", **store)
    for one in (budget, endless):
        one.reserve(ADA, USD("0.1"))
        one.close()
    with _client(store) as client:
        keys = client.keys(f"team-a:{{budget:{name}:all/day}}:*")
        assert len(keys) == 4
        assert all(0 < client.ttl(key) <= 9 * 86_400 for key in keys)
        keys = client.keys(f"team-a:{{budget:{name}!:all/total}}:*")
        assert {client.ttl(key) for key in keys} == {-1}
    found = read_redis_budgets(store["redis"], namespace="team-a")
    assert {one.name for one in found} == {name, f"{name}!"}


def test_an_endless_budget_outlives_another_window_of_the_same_name(servers, name):
    store = servers("redis")
    made = [
        Budget(1, window=window, name=name, **store) for window in ("total", "minute")
    ]
    for budget in made:
        budget.reserve(ADA, USD("0.1")).settle(USD("0.1"))
        budget.close()
    with _client(store) as client:
        kept = client.keys(f"*{name}*")
        endless = [key for key in kept if b"/total" in key]
        assert {client.ttl(key) for key in endless} == {-1}
        assert all(client.ttl(key) > 0 for key in {*kept} - {*endless})
    assert [one.spent for one in map(only, made)] == [USD("0.1")] * 2
    for budget in made:
        budget.close()


def test_an_operation_that_the_script_cannot_do_does_not_stop_the_others(
    servers, name, caplog
):
    store = servers("redis")
    budget = Budget(1, name=name, window="total", **store)
    good, bad = (budget.reserve(ADA, USD("0.1")) for _ in range(2))
    with _client(store) as client:
        key = f"cerebras:{{budget:{name}:all/total}}:holds"
        client.hset(key, bad._op(None).hold, "no JSON")
    bad.settle(USD("0.1"))
    good.settle(USD("0.05"))
    while only(budget).spent != USD("0.05"):
        threading.Event().wait(0.01)
    assert budget.reserve(ADA, USD("0.1")) is not None
    budget.close()
    assert "has failed" in caplog.text


def test_a_server_that_has_forgotten_its_scripts_is_taught_again(servers, name):
    store = servers("redis")
    budget = Budget(1, name=name, **store)
    budget.reserve(ADA, USD("0.1")).settle(USD("0.1"))
    budget.status()
    with _client(store) as client:
        client.script_flush()
    budget.reserve(ADA, USD("0.1")).settle(USD("0.1"))
    assert only(budget).spent == USD("0.2")
    budget.close()


def test_a_redis_that_goes_and_comes_back(name, monkeypatch):
    monkeypatch.setattr(_worker, "_RETRY_S", 0.05)
    program = find_server()
    first = RedisServer(program, password=PASSWORD)
    budget = Budget(1, name=name, redis=first.url)
    try:
        budget.reserve(ADA, USD("0.4")).settle(USD("0.4"))
        assert only(budget).spent == USD("0.4")
        first.stop()
        with pytest.raises(LedgerError) as caught:
            budget.reserve(ADA, USD("0.1"))
        assert PASSWORD not in f"{caught.value!r} {budget!r}"
        with RedisServer(program, password=PASSWORD, port=first.port):
            while True:
                with contextlib.suppress(LedgerError):
                    assert only(budget).spent == 0  # this one had kept nothing on disk
                    break
            budget.reserve(ADA, USD("0.3")).settle(USD("0.3"))
            assert only(budget).spent == USD("0.3")
            assert [one.name for one in read_redis_budgets(first.url)] == [name]
            budget.close()
    finally:
        first.stop()


def test_a_postgres_that_goes_and_comes_back(servers, name, monkeypatch):
    monkeypatch.setattr(_worker, "_RETRY_S", 0.05)
    store = servers("postgres")
    budget = Budget(1, name=name, window="total", **store)
    held = budget.reserve(ADA, USD("0.5"))
    budget.reserve(ADA, USD("0.4")).settle(USD("0.4"))
    assert only(budget).spent == USD("0.4")
    servers.server.stop()
    try:
        held.settle(USD("0.3"))
        with pytest.raises(LedgerError) as caught:
            budget.reserve(ADA, USD("0.1"))
        assert PASSWORD not in f"{caught.value!r} {budget!r}"
    finally:
        servers.server.start()
    while True:
        with contextlib.suppress(LedgerError):
            status = only(budget)
            break
    assert (status.spent, status.reserved, status.calls) == (USD("0.7"), 0, 2)
    budget.close()


def test_connections_that_the_server_has_cut_are_made_anew(servers, name):
    store = servers("postgres")
    budget = Budget(1, name=name, window="total", **store)
    hold = budget.reserve(ADA, USD("0.4"))
    engine = budget._book._worker._store._get_engine()
    other = sqlalchemy.create_engine(engine.url)
    with other.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    other.dispose()
    hold.settle(USD("0.2"))
    assert budget.reserve(ADA, USD("0.8")) is not None
    assert only(budget).spent == USD("0.2")
    budget.close()


def test_a_postgres_user_that_may_not_create_tables_may_use_them(servers, name):
    store = servers("postgres")
    owner = Budget(1, name=name, window="total", **store)
    owner.reserve(ADA, USD("0.4")).settle(USD("0.4"))
    owner.status()
    engine = owner._book._worker._store._get_engine()
    role = f"r{uuid.uuid4().hex[:8]}"
    with engine.begin() as connection:
        run = connection.exec_driver_sql
        run(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        run(f"GRANT USAGE ON SCHEMA public TO {role}")
        run(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON cerebras_budgets, "
            f"cerebras_budget_accounts, cerebras_budget_holds TO {role}"
        )
    url = engine.url.set(username=role, password=PASSWORD)
    text = url.render_as_string(hide_password=False)
    budget = Budget(1, name=name, window="total", ledger=text)
    assert PASSWORD not in repr(budget)
    budget.reserve(ADA, USD("0.4")).settle(USD("0.3"))
    assert only(budget).spent == USD("0.7")
    budget.close()
    owner.close()


@pytest.mark.parametrize(
    "store",
    [
        {"redis": f"redis://ada:{PASSWORD}@127.0.0.1:1/0"},
        {"ledger": f"postgresql://ada:{PASSWORD}@127.0.0.1:1/costs"},
    ],
    ids=["redis", "postgres"],
)
def test_no_password_is_shown(store, caplog, capsys):
    budget = Budget(1, **store)
    with pytest.raises(LedgerError) as caught:
        budget.reserve(ADA, USD("0.1"))
    with pytest.raises(LedgerError) as read_error:
        read(store)
    budget.close()
    shown = [repr(caught.value), str(caught.value), repr(budget), caplog.text]
    error = caught.value
    while error is not None:
        shown.append(repr(error))
        error = error.__cause__ or error.__context__
    shown += [str(read_error.value), *capsys.readouterr()]
    assert PASSWORD not in " ".join(shown)
    assert "127.0.0.1:1" in str(caught.value)
