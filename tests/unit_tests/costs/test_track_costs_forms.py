"""`track_costs` as `with`, as `async with`, and as a decorator of whatever it can be."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from call_paths import BETA
from cost_bill import chat

from langchain_cerebras_ext.costs import Budget, Ledger, UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import (
    BudgetExceeded,
    CerebrasConfigurationError,
    CerebrasCostWarning,
)
from langchain_cerebras_ext.simulator import Simulator

pytestmark = BETA


def tokens(records: Any) -> int:
    return sum(record.total_tokens or 0 for record in records)


# --------------------------------------------------------------------- async functions


def test_a_decorated_coroutine_function_is_tracked_in_all_that_it_awaits(
    sim: Simulator,
) -> None:
    model = chat(sim)
    told: list[UsageRecord] = []

    @track_costs(user="alice", sinks=[told.append])
    async def ask(first: str, *, second: str) -> list[str]:
        """Ask twice."""
        asked = [model.ainvoke(first), model.ainvoke(second)]
        return [answer.text for answer in await asyncio.gather(*asked)]

    assert inspect.iscoroutinefunction(ask)
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask twice.")
    assert all(asyncio.run(ask("hi", second="ho")))
    assert [record.user for record in told] == ["alice", "alice"]
    assert tokens(told) == sim.billed.total.total_tokens > 0


@pytest.mark.parametrize("way", ["coroutine function", "function"])
def test_each_call_of_a_decorated_function_is_a_scope_of_its_own(
    sim: Simulator, way: str
) -> None:
    model = chat(sim)
    scopes: list[CostTracker] = []

    def seen() -> None:
        with track_costs() as inner:
            assert inner.parent is not None
            scopes.append(inner.parent)

    if way == "function":

        @track_costs(tags=(tag for tag in ["nightly"]))
        def ask(text: str) -> None:
            model.invoke(text)
            seen()

        def both() -> None:
            for text in ("hi", "ho"):
                ask(text)

    else:

        @track_costs(tags=(tag for tag in ["nightly"]))
        async def aask(text: str) -> None:
            await model.ainvoke(text)
            seen()

        async def at_once() -> None:
            await asyncio.gather(aask("hi"), aask("ho"))

        def both() -> None:
            asyncio.run(at_once())

    with track_costs() as outer:
        both()
    one, two = scopes
    assert one is not two
    assert one.parent is two.parent is outer
    assert [one.totals.calls, two.totals.calls, outer.totals.calls] == [1, 1, 2]
    assert {record.tags for record in outer.records} == {("nightly",)}
    assert tokens(outer.records) == sim.billed.total.total_tokens


def test_a_decorated_coroutine_function_that_fails_leaves_its_scope() -> None:
    @track_costs()
    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> CostTracker | None:
        with pytest.raises(ZeroDivisionError):
            await fail()
        with track_costs() as costs:
            return costs.parent

    assert asyncio.run(main()) is None


def test_a_budget_stops_a_decorated_coroutine_function_before_it_sends(
    sim: Simulator,
) -> None:
    model = chat(sim, max_tokens=50)

    @track_costs(budget=Budget("0.000001"))
    async def ask() -> None:
        await model.ainvoke("hi")

    with pytest.raises(BudgetExceeded):
        asyncio.run(ask())
    assert sim.requests == []


def test_what_is_awaited_by_whoever_called_is_tracked_too(sim: Simulator) -> None:
    model = chat(sim)

    class Asks:
        async def __call__(self, text: str) -> str:
            return (await model.ainvoke(text)).text

    async def ask(text: str, more: str) -> str:
        return (await model.ainvoke(text + more)).text

    functions: list[Any] = [
        lambda: model.ainvoke("hi"),
        Asks(),
        functools.partial(ask, more="!"),
    ]
    for function, args in zip(functions, [(), ("hi",), ("hi",)], strict=True):
        told: list[UsageRecord] = []
        decorated = track_costs(sinks=[told.append])(function)

        async def main(call: Any = decorated, args: Any = args) -> None:
            await call(*args)

        asyncio.run(main())
        assert len(told) == 1


def test_methods_are_decorated_as_functions_are(sim: Simulator) -> None:
    told: list[UsageRecord] = []

    class Desk:
        model = chat(sim)

        @track_costs(sinks=[told.append])
        async def aask(self, text: str) -> str:
            return (await self.model.ainvoke(text)).text

        @classmethod
        @track_costs(sinks=[told.append])
        def ask(cls, text: str) -> str:
            return cls.model.invoke(text).text

        @staticmethod
        @track_costs(sinks=[told.append])
        async def shout(text: str) -> str:
            return (await Desk.model.ainvoke(text.upper())).text

    assert asyncio.run(Desk().aask("hi"))
    assert Desk.ask("hi")
    assert asyncio.run(Desk.shout("hi"))
    assert len(told) == 3


# ---------------------------------------------------------------------- what is refused


def items() -> Iterator[int]:
    yield 1


async def aitems() -> AsyncIterator[int]:
    yield 1


class Items:
    def __call__(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    "function",
    [items, aitems, functools.partial(items), Items()],
    ids=["generator", "async generator", "partial", "object"],
)
def test_generators_are_refused_when_they_are_decorated(function: Any) -> None:
    with pytest.raises(CerebrasConfigurationError, match="Decorate the function that"):
        track_costs()(function)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Items, "Items, a type"),
        (staticmethod(aitems), "aitems, a staticmethod"),
        (classmethod(aitems), "aitems, a classmethod"),
        (5, "int, a int"),
    ],
    ids=["class", "static method", "class method", "number"],
)
def test_what_is_no_function_is_refused_with_what_to_do(wrong: Any, words: str) -> None:
    with pytest.raises(CerebrasConfigurationError, match=words):
        track_costs()(wrong)


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_generator_that_is_returned_is_said(sim: Simulator, way: str) -> None:
    model = chat(sim)

    @track_costs()
    def ask() -> Any:
        return getattr(model, way)("hi")

    @track_costs()
    async def aask() -> Any:
        return getattr(model, way)("hi")

    with pytest.warns(CerebrasCostWarning, match=r"ask .* has returned a generator"):
        ask()
    with pytest.warns(CerebrasCostWarning, match="take them within the function"):
        asyncio.run(aask())
    assert sim.requests == [], "nothing has been asked yet"


def test_a_scope_is_one_block_at_a_time() -> None:
    scope = track_costs(user="alice")
    with scope as first:
        with pytest.raises(CerebrasConfigurationError, match="open already"):
            scope.__enter__()
        with track_costs() as inner:
            assert inner.parent is first
    with pytest.raises(CerebrasConfigurationError, match="not open"):
        scope.__exit__()
    with scope as second, track_costs() as inner:
        assert second is not first
        assert second.scope.user == "alice"
        assert inner.parent is second


def test_a_scope_that_nobody_has_opened_says_what_it_is() -> None:
    scope = track_costs(user="ada", tags=["a"], ledger="postgresql://u:hush@h/d")
    shown = (
        "<track_costs(tags=('a',), user='ada'): a scope, for `with` or as a decorator>"
    )
    assert repr(scope) == shown
    assert repr(track_costs()).startswith("<track_costs(): a scope")


# -------------------------------------------------------------------------- async with


def test_async_with_tracks_and_leaves_the_loop_free_while_it_writes(
    sim: Simulator, tmp_path: Path
) -> None:
    model = chat(sim)
    in_loop: list[bool] = []

    class Slow(Ledger):
        def flush(self, timeout_s: float | None = None) -> bool:
            in_loop.append(threading.current_thread() is threading.main_thread())
            return super().flush(timeout_s)

    async def main() -> CostTracker:
        async with track_costs(ledger=ledger) as costs:
            await model.ainvoke("hi")
        async with track_costs() as none:
            assert none.parent is None
        return costs

    with Slow(tmp_path / "costs.db") as ledger:
        costs = asyncio.run(main())
        assert in_loop == [False]
        assert costs.totals.calls == ledger.totals().calls == 1
        assert tokens(costs.records) == sim.billed.total.total_tokens


# ---------------------------------------------------------------------- what stays as it was


def test_a_ledger_of_a_decorated_function_is_opened_once_and_not_before_a_call(
    sim: Simulator, tmp_path: Path
) -> None:
    model = chat(sim)
    path = tmp_path / "costs.db"
    ledgers: set[int] = set()

    @track_costs(ledger=str(path))
    def ask(text: str) -> None:
        model.invoke(text)
        with track_costs() as inner:
            assert inner.parent is not None
            assert inner.parent.ledger is not None
            ledgers.add(id(inner.parent.ledger))

    assert not path.exists()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, "abcdefgh"))
    assert len(ledgers) == 1
    with Ledger(path) as ledger:
        assert ledger.totals().calls == 8


def test_it_goes_on_a_stack_of_blocks(sim: Simulator) -> None:
    with ExitStack() as stack:
        costs = stack.enter_context(track_costs())
        chat(sim).invoke("hi")
    assert costs.totals.calls == 1


def test_ids_that_are_no_text_are_written_as_text(
    sim: Simulator, tmp_path: Path
) -> None:
    """As those of metadata are: a ledger would have kept such records aside."""
    user, session = 42, uuid.UUID(int=7)
    with Ledger(tmp_path / "costs.db") as ledger:
        with track_costs(user=user, session=session, arm=1, ledger=ledger) as costs:  # type: ignore[arg-type]
            chat(sim).invoke("hi")
        [record] = ledger.records()
        assert ledger.status().rejected == 0
    assert record == costs.records[0]
    assert (record.user, record.session, record.arm) == ("42", str(session), "1")
    assert list(costs.by_user) == ["42"]
