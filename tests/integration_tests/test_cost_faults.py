"""Calls that fail, are tried again, cut, or given up: none is a silent zero.

The simulator's bill says what the service has counted. What is certain equals it; what
is not is flagged, and is near it as far as anything had arrived.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from call_paths import BETA, PATHS, answer, call
from cost_bill import (
    MODEL,
    assert_is_the_bill,
    bill_of,
    by_hand,
    chat,
    completions,
    tokens_of,
)
from stages import STAGES, staged, wait_for
from wire_server import CUT, WireServer

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import CerebrasError
from langchain_cerebras_ext.retry import RetryPolicy
from langchain_cerebras_ext.simulator import Simulator
from langchain_cerebras_ext.simulator.network_faults import KINDS

pytestmark = BETA

EVENTS = 12
SLACK = 5 * EVENTS
"""More tokens than so many events have; how many of them are read is up to chance."""
QUESTION = "Tell me of the sea, its tides and its colours."
AT_ONCE = RetryPolicy(max_retries=1, initial_delay=0)
NEVER = RetryPolicy(max_retries=0)
REFUSED = [400, 401, 402, 403, 404, 413, 422, 429]
NOT_BILLED = [500, 503, 504]


def _fitting() -> Iterator[tuple[str, str, int]]:
    """Yield each fault on each of four paths; every other of them is tried again."""
    number = 0
    for name, kind in KINDS.items():
        for path in ["invoke", "ainvoke", "stream", "astream"]:
            wanted = "plain" if path in {"invoke", "ainvoke"} else "stream"
            slow = name.startswith("drip") and wanted == "stream"
            if kind.answers in {"any", wanted} and not slow:
                number += 1
                yield name, path, number % 2


def _break_next(sim: Simulator, name: str) -> None:
    kind = KINDS[name]  # type: ignore[index]
    given: dict[str, Any] = {}
    if "pause_s" in kind.takes and name.startswith("drip"):
        given["pause_s"] = 0.001
    if name == "cut_in_character":
        sim.reply("Grüße an die Küste, wo die Möwen über den Dünen schweben.")
    if name == "cut_in_tool_arguments":
        sim.reply_with_tool("look", {"place": "the far end of the beach"})
    sim.fail_next(fault=name, **given)  # type: ignore[arg-type]


def check(tracker: CostTracker, sim: Simulator, budget: Budget) -> None:
    """Check all that holds whatever has happened."""
    prompt, _, completion, _ = bill_of(sim)
    totals = tracker.totals
    assert totals.calls == 1
    assert tracker.open_calls == 0
    billed = by_hand(MODEL, prompt, completion)
    if totals.is_certain:
        assert totals.cost == billed
    if billed:
        assert totals.cost > 0
        assert totals.input_tokens >= prompt, "a prompt is never thought too short"
    assert totals.output_tokens <= completion
    for record in tracker.records:
        assert record.cost is not None
        assert ("estimated" in record.flags) == ("no_usage" in record.flags)
    for status in budget.status():
        assert status.reserved == 0
        assert status.spent == totals.cost


@pytest.mark.parametrize(("name", "path", "retries"), list(_fitting()))
def test_no_fault_makes_a_silent_zero(
    sim: Simulator, name: str, path: str, retries: int
) -> None:
    _break_next(sim, name)
    policy = AT_ONCE if retries else NEVER
    with chat(sim, timeout=0.25, retry_policy=policy) as model:
        budget = Budget(5)
        with track_costs(budget=budget) as costs, suppress(CerebrasError):
            call(path, model, QUESTION)
    check(costs, sim, budget)
    last = costs.records[-1]
    assert [one.outcome for one in costs.records[:-1]] == ["retried"] * (
        len(costs.records) - 1
    )
    assert (last.error_type is None) == (last.outcome == "ok")


@pytest.mark.parametrize("path", ["invoke", "astream"])
@pytest.mark.parametrize("status", REFUSED)
def test_what_the_service_refuses_costs_nothing(
    sim: Simulator, path: str, status: int
) -> None:
    sim.fail_next(status)
    budget = Budget(5)
    with (
        track_costs(budget=budget) as costs,
        pytest.raises(CerebrasError) as caught,
    ):
        call(path, chat(sim, retry_policy=NEVER), QUESTION)
    assert_is_no_cost(costs)
    (record,) = costs.records
    assert (record.outcome, record.error_type) == (
        "failed",
        type(caught.value).__name__,
    )
    check(costs, sim, budget)


def assert_is_no_cost(tracker: CostTracker) -> None:
    assert tracker.totals.is_certain
    assert tracker.get_total_cost() == 0
    assert tracker.get_last_cost() == 0


@pytest.mark.parametrize("status", NOT_BILLED)
def test_a_broken_service_may_have_billed_and_that_is_flagged(
    sim: Simulator, status: int
) -> None:
    sim.fail_next(status)
    with track_costs() as costs, suppress(CerebrasError):
        call("invoke", chat(sim, retry_policy=NEVER), QUESTION)
    (record,) = costs.records
    assert record.outcome == "failed"
    assert record.cost_usd == 0 or "estimated" in record.flags


def test_a_refused_connection_costs_nothing(sim: Simulator) -> None:
    with track_costs() as costs, sim.refuse_connections(), suppress(CerebrasError):
        call("invoke", chat(sim, retry_policy=AT_ONCE), QUESTION)
    assert_is_no_cost(costs)
    assert [one.outcome for one in costs.records] == ["failed"]


@pytest.mark.parametrize("path", PATHS)
def test_a_retried_try_that_was_not_billed_leaves_no_row(
    sim: Simulator, path: str
) -> None:
    sim.fail_next(429, headers={"retry-after": "0"})
    with track_costs() as costs:
        call(path, chat(sim, retry_policy=AT_ONCE), QUESTION)
    assert_is_the_bill(costs, sim)
    (record,) = costs.records
    assert (record.outcome, record.attempts) == ("ok", 2)


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_a_billed_try_that_is_repeated_is_billed_twice_to_the_token(
    sim: Simulator, path: str
) -> None:
    """Empty answers say what they cost, so both are known."""
    sim.fail_next(fault="no_choices")
    budget = Budget(5)
    with track_costs(budget=budget) as costs:
        model = chat(sim, retry_policy=AT_ONCE, track_costs=True)
        message = call(path, model, QUESTION)
    assert_is_the_bill(costs, sim)
    assert [one.outcome for one in costs.records] == ["retried", "ok"]
    assert (costs.totals.calls, costs.totals.retries) == (1, 1)
    assert Decimal(message.response_metadata["cost_usd"]) == costs.get_total_cost()
    assert model.get_last_cost() == costs.get_last_cost() == costs.get_total_cost()
    check(costs, sim, budget)
    second = call(path, model, QUESTION)
    assert model.get_last_cost() == Decimal(second.response_metadata["cost_usd"])
    assert model.get_total_cost() == costs.get_total_cost() + model.get_last_cost()


@pytest.mark.parametrize("path", PATHS)
def test_what_a_reused_connection_sends_again_is_kept_in_mind(path: str) -> None:
    """The transport repeats a request by itself when a kept connection was closed.

    Nobody knows whether the first one was read; the second one fails as well.
    """
    served: list[str] = []

    def serve(request: Any) -> Iterator[bytes]:
        served.append(request.path)
        if len(served) == 1:
            yield from answer(request)
        else:
            yield CUT

    budget = Budget(5)
    with WireServer(serve) as server:
        model = ChatCerebras(
            model=MODEL, base_url=server.url, api_key="k", retry_policy=NEVER
        )
        with track_costs(budget=budget) as costs:
            if path.startswith("a"):
                asyncio.run(_twice(path, model))
            else:
                call(path, model)
                with suppress(CerebrasError):
                    call(path, model)
        model.close()
    first, *others = costs.records
    assert first.outcome == "ok"
    assert len(others) == len(served) - 1
    assert [one.outcome for one in others][-1] == "failed"
    for one in others:
        assert one.flags == ("estimated", "no_usage")
        assert one.cost_usd
    (status,) = budget.status()
    assert (status.reserved, status.spent) == (0, costs.get_total_cost())


async def _twice(path: str, model: ChatCerebras) -> None:
    from call_paths import acall

    await acall(path, model)
    with suppress(CerebrasError):
        await acall(path, model)
    await model.aclose()


# ------------------------------------------------------------------- given up


def _slow(sim: Simulator) -> None:
    """Let a stream stop after some events, until the client has gone."""
    sim.reply("The sea is wide. " * 60)
    sim.fail_next(fault="stall_stream", after_events=EVENTS)


def _break(stream: Iterator[Any]) -> None:
    for number, _ in enumerate(stream):
        if number == 6:
            break


def _closes(stream: Any) -> None:
    _break(stream)
    stream.close()


def _throws(stream: Any) -> None:
    _break(stream)
    with suppress(KeyboardInterrupt):
        stream.throw(KeyboardInterrupt)


def _raises(stream: Any) -> None:
    with suppress(RuntimeError):
        for number, _ in enumerate(stream):
            if number == 6:
                raise RuntimeError


@pytest.mark.parametrize(
    "leave",
    [_break, _closes, _throws, _raises],
    ids=["forgotten", "closed", "interrupted", "an error of the caller"],
)
@pytest.mark.parametrize("kind", ["chat", "text"])
def test_a_stream_that_is_given_up_is_estimated_from_what_arrived(
    sim: Simulator, leave: Callable[[Any], None], kind: str
) -> None:
    _slow(sim)
    budget = Budget(5)
    model = chat(sim) if kind == "chat" else completions(sim)
    with track_costs(budget=budget) as costs:
        leave(model.stream(QUESTION))
        gc.collect()
    assert_is_near(costs, sim, slack=SLACK)
    check(costs, sim, budget)


def assert_is_near(tracker: CostTracker, sim: Simulator, slack: int) -> None:
    """Check an estimate: the service counts what it had sent, we what had arrived."""
    prompt, _, completion, _ = bill_of(sim)
    (record,) = tracker.records
    assert record.outcome == "aborted"
    assert record.flags == ("estimated", "no_usage")
    assert record.cost_usd
    into, _, out, _ = tokens_of(tracker.records)
    assert prompt <= into <= prompt * 1.2 + 8
    assert completion - slack <= out <= completion


# LangChain's stream refers to itself: the collector meets the socket before the stream.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_v3_stream_that_is_forgotten_is_estimated(sim: Simulator) -> None:
    _slow(sim)
    with track_costs() as costs:
        model = chat(sim)
        stream = model.stream_events(QUESTION, version="v3")
        _break(iter(stream))
        del stream
        gc.collect()
        model.close()  # the collector may have left half a connection
    assert_is_near(costs, sim, slack=SLACK)


@pytest.mark.parametrize("how", ["break", "cancel", "aclose"])
async def test_an_async_stream_that_is_given_up_is_estimated(
    sim: Simulator, how: str
) -> None:
    _slow(sim)
    budget, seen = Budget(5), asyncio.Event()
    count = 0

    async def read() -> None:
        nonlocal count
        stream = chat(sim).astream(QUESTION)
        async for _ in stream:
            count += 1
            if count == 6:
                seen.set()
                if how == "break":
                    break
                if how == "aclose":
                    await stream.aclose()  # type: ignore[attr-defined]

    with track_costs(budget=budget) as costs:
        task = asyncio.create_task(read())
        await seen.wait()
        if how == "cancel":
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        gc.collect()
        for _ in range(50):
            if costs.records:
                break
            await asyncio.sleep(0.01)
    await asyncio.to_thread(assert_is_near, costs, sim, slack=SLACK)
    check(costs, sim, budget)


@pytest.mark.parametrize("path", ["ainvoke", "astream"])
async def test_a_call_that_is_cancelled_before_its_answer_is_estimated(
    sim: Simulator, path: str
) -> None:
    from call_paths import acall

    sim.reply("Hello", delay_s=5)
    budget = Budget(5)
    with track_costs(budget=budget) as costs:
        task = asyncio.create_task(acall(path, chat(sim), QUESTION))
        assert await asyncio.to_thread(wait_for, lambda: sim.requests)
        assert budget.status()[0].reserved > 0
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    (record,) = costs.records
    assert (record.outcome, record.error_type) == ("aborted", "CancelledError")
    assert record.flags == ("estimated", "no_usage")
    assert record.cost_usd
    (status,) = budget.status()
    assert (status.reserved, status.spent) == (0, record.cost_usd)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "tls"])
@pytest.mark.parametrize("path", ["ainvoke", "astream"])
async def test_no_stage_at_which_a_call_is_cancelled_leaves_a_reservation(
    stage: str, path: str
) -> None:
    from call_paths import acall

    budget = Budget(5)
    with staged(stage) as held, track_costs(budget=budget) as costs:
        limiter = None
        if stage == "limiter":
            limiter = _Waits(held.reached)
        model = ChatCerebras(
            model=MODEL,
            base_url=held.url,
            api_key="k",
            rate_limiter=limiter,
            retry_policy=RetryPolicy(
                max_retries=1,
                initial_delay=30,
                max_delay=30,
                on_retry=lambda _: held.reached.set(),
            ),
        )
        task = asyncio.create_task(acall(path, model))
        assert await asyncio.to_thread(held.wait_reached)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await model.aclose()
        costs.settle_open_calls()
    statuses = budget.status()
    assert all(status.reserved == 0 for status in statuses)
    assert sum(status.spent for status in statuses) == costs.get_total_cost()
    assert costs.open_calls == 0
    assert costs.records[-1].outcome == "aborted"


class _Waits:
    """A rate limiter of LangChain's kind that never lets anybody pass."""

    def __new__(cls, reached: threading.Event) -> Any:
        from langchain_core.rate_limiters import BaseRateLimiter

        class Waits(BaseRateLimiter):
            def acquire(self, *, blocking: bool = True) -> bool:
                raise NotImplementedError  # the test is of the async way only

            async def aacquire(self, *, blocking: bool = True) -> bool:
                del blocking
                reached.set()
                await asyncio.sleep(60)
                return True

        return Waits()


def test_an_interrupt_in_a_plain_call_is_estimated(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C while the answer is awaited."""
    from langchain_cerebras_ext import _client

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    budget = Budget(5)
    with track_costs(budget=budget) as costs:
        monkeypatch.setattr(_client, "_decode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            chat(sim).invoke(QUESTION)
    (record,) = costs.records
    assert (record.outcome, record.error_type) == ("aborted", "KeyboardInterrupt")
    check(costs, sim, budget)


def test_an_invalid_request_is_a_failed_call_that_cost_nothing(sim: Simulator) -> None:
    budget = Budget(5)
    with track_costs(budget=budget) as costs, pytest.raises(CerebrasError):
        chat(sim).invoke(QUESTION, nonsense=1)
    assert_is_no_cost(costs)
    assert [one.outcome for one in costs.records] == ["failed"]
    assert sim.requests == []
    assert all(status.reserved == 0 for status in budget.status())


def test_a_hundred_calls_that_fail_by_chance_are_all_accounted_for(
    sim: Simulator,
) -> None:
    """What is certain of each record adds up to no more than the bill."""
    sim.fail_randomly(0.4, ["no_choices", 429, 400, "cut_stream", 503], seed=7)
    budget = Budget(5)
    model = chat(sim, retry_policy=AT_ONCE)
    with track_costs(budget=budget) as costs:
        for number in range(100):
            with suppress(CerebrasError):
                call("stream" if number % 2 else "invoke", model, f"Number {number}?")
    certain = [one for one in costs.records if not one.flags]
    unsure = [one for one in costs.records if one.flags]
    prompt, _, completion, _ = bill_of(sim)
    into, _, out, _ = tokens_of(certain)
    assert costs.totals.calls == 100
    assert into <= prompt
    assert out <= completion
    assert into + tokens_of(unsure)[0] >= prompt
    assert completion - out <= sum(
        one.completion_tokens for one in sim.billed if one.fault
    )
    (status,) = budget.status()
    assert (status.reserved, status.spent) == (0, costs.get_total_cost())
