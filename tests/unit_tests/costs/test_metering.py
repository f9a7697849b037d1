"""Where a call meets its meters: announcements, whose a record is, and slips."""

from __future__ import annotations

import asyncio
import gc
import json
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from cost_bill import MODEL, assert_is_the_bill, bill_of, chat, completions, tokens_of
from langchain_core.callbacks import manager
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda

from benchmarks import costs as benchmark
from benchmarks.pairs import Pair, Side
from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._metering import (
    announce,
    announced,
    calling_managers,
    open_meter,
)
from langchain_cerebras_ext.costs import _meter
from langchain_cerebras_ext.costs._context import Scope, merge_context
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.simulator import Simulator


class Told:
    """A run that is metered; what it opens is its id."""

    def __init__(self, *, is_ours: bool = True) -> None:
        self.run_id = uuid.uuid4()
        self.is_ours = is_ours
        self.was_alone: bool | None = None

    def open(self, *, is_alone: bool, is_told: bool) -> Any:
        del is_told
        if self.was_alone is not None:
            return None
        self.was_alone = is_alone
        return self.run_id


class Knows:
    """A handler that meters runs and does nothing else."""

    is_meter_only = True

    def __init__(self, *runs: Told) -> None:
        self.runs = {run.run_id: run for run in runs}

    def metered_run(self, run_id: uuid.UUID) -> Told | None:
        return self.runs.get(run_id)


def a_manager(run: Told, *handlers: object) -> Any:
    return SimpleNamespace(run_id=run.run_id, handlers=list(handlers))


# -------------------------------------------------------------------- announcements


def test_a_run_is_found_by_its_handlers_in_any_context() -> None:
    runs = [Told() for _ in range(3)]
    handler = Knows(*runs)

    async def tell(run: Told) -> None:
        announce(run)

    async def tell_all() -> None:
        await asyncio.gather(*map(tell, runs))

    asyncio.run(tell_all())
    managers = [a_manager(run, object(), handler) for run in reversed(runs)]
    assert [open_meter(one) for one in managers] == [run.run_id for run in runs[::-1]]
    assert [open_meter(one) for one in managers] == [None] * 3, "once each"


def test_a_run_whose_manager_is_known_is_not_that_of_another() -> None:
    run, unmetered = Told(), Told()
    announce(run)
    assert open_meter(a_manager(unmetered, object())) is None
    assert open_meter(a_manager(run)) == run.run_id


def test_a_run_without_a_manager_is_the_last_one_that_was_announced_here() -> None:
    first, second = Told(), Told()
    announce(first)
    announce(second)
    assert open_meter(None) == second.run_id
    assert open_meter(None) is None
    assert first.was_alone is None


def test_runs_of_others_are_not_given_to_our_models() -> None:
    run = Told(is_ours=False)
    announce(run)
    assert open_meter(None) is None
    assert open_meter(a_manager(run)) is None
    assert run.was_alone is None


def test_a_run_is_forgotten_with_its_handlers() -> None:
    announce(Told())
    gc.collect()
    assert announced() is None
    assert open_meter(None) is None


@pytest.mark.parametrize(
    ("handlers", "alone"),
    [([Knows()], True), ([Knows(), Knows()], True), ([Knows(), object()], False)],
    ids=["one", "two", "another"],
)
def test_a_run_is_alone_where_all_its_handlers_only_meter(
    handlers: list[object], alone: bool
) -> None:
    run = Told()
    announce(run)
    open_meter(a_manager(run, *handlers))
    assert run.was_alone is alone


def test_a_run_whose_manager_is_not_known_may_have_any_handlers() -> None:
    run = Told()
    announce(run)
    open_meter(None)
    assert run.was_alone is False


def test_trackers_of_one_run_share_it(sim: Simulator) -> None:
    one, two = CostTracker(), CostTracker()
    run_id = uuid.uuid4()
    for tracker in (one, two):
        tracker.on_chat_model_start({}, [[]], run_id=run_id)
    assert one.metered_run(run_id) is two.metered_run(run_id) is not None
    one.on_llm_error(ValueError("no"), run_id=run_id)
    assert one.open_calls == two.open_calls == 0
    assert one.records == two.records
    chat(sim).invoke("hi", {"run_id": run_id, "callbacks": [one]})
    assert len(one.records) == 2, "an id that was used before is a new run"
    assert len(two.records) == 1


def test_managers_of_an_unknown_caller_are_the_first_ones() -> None:
    first = object()
    assert calling_managers(None, first, 3) == [first] * 3


# ------------------------------------------------------------------ whose a record is


def test_the_narrower_word_wins() -> None:
    inner = Scope(("inner",), "inner-user", None, None)
    outer = Scope(("outer",), "outer-user", "outer-session", "outer-arm")
    found = merge_context(["run"], {"session_id": "run-session"}, [inner, outer])
    assert found.tags == ("run", "inner", "outer")
    assert (found.user, found.session, found.arm) == (
        "inner-user",
        "run-session",
        "outer-arm",
    )


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"user_id": "ann"}, ("ann", "s", "a")),
        ({"user": "bob", "user_id": "ann"}, ("ann", "s", "a")),
        ({"thread_id": 7}, ("u", "7", "a")),
        ({"session_id": "x", "thread_id": "y"}, ("u", "x", "a")),
        ({"experiment_arm": "b"}, ("u", "s", "b")),
        ({"user_id": ""}, ("u", "s", "a")),
        ({}, ("u", "s", "a")),
    ],
    ids=["user_id", "both", "thread", "session", "arm", "empty", "none"],
)
def test_metadata_of_the_call_win_over_the_scope(
    sim: Simulator, metadata: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    with track_costs(user="u", session="s", arm="a") as costs:
        chat(sim).invoke("hi", {"metadata": metadata})
    (record,) = costs.records
    assert (record.user, record.session, record.arm) == expected


def test_tags_that_langchain_makes_are_left_out(sim: Simulator) -> None:
    chain = RunnableLambda(lambda text: text) | chat(sim, tags=["model"])
    config: RunnableConfig = {"tags": ["call"], "max_concurrency": 1}
    with track_costs(tags=["scope"]) as costs:
        chain.invoke("hi", config)
        list(chain.stream("hi", config))
    assert {frozenset(one.tags) for one in costs.records} == {
        frozenset({"call", "model", "scope"})
    }


def test_a_trace_is_that_of_the_outermost_run(sim: Simulator) -> None:
    inner = RunnableLambda(lambda text: chat(sim).invoke(text).text)
    outer = RunnableLambda(lambda text: inner.invoke(text))
    with track_costs() as costs:
        outer.invoke("hi")
        outer.invoke("hi")
        chat(sim).invoke("alone")
    one, two, alone = costs.records
    assert one.trace_id != two.trace_id
    assert one.trace_id not in {one.parent_run_id, one.run_id}
    assert alone.trace_id == alone.run_id
    assert alone.parent_run_id is None


# ---------------------------------------------------------------------- what slips by


class Rewrites(ChatCerebras):
    """A model of a user's own that changes what it is asked."""

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        more = [*messages, HumanMessage("Be brief.")]
        yield from super()._stream(more, *args, **kwargs)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        more = [*messages, HumanMessage("Be brief.")]
        return super()._generate(more, *args, **kwargs)


def test_subclasses_are_metered_as_well(sim: Simulator) -> None:
    model = Rewrites(model=MODEL, base_url=sim.base_url, api_key="k")
    with track_costs() as costs:
        list(model.stream("hi"))
        model.invoke("hi")
    assert_is_the_bill(costs, sim)


class Listens(CostTracker):
    """A user's own tracker, which is told more than ours."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        self.heard.append("token")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append("end")
        super().on_llm_end(*args, **kwargs)


def test_subclasses_of_the_tracker_are_told_what_langchain_tells(
    sim: Simulator,
) -> None:
    tracker, plain = Listens(), CostTracker()
    config: RunnableConfig = {"callbacks": [tracker, plain]}
    chat(sim).invoke("hi", config)
    assert tracker.heard == ["end"]
    list(chat(sim).stream("hi", config))
    assert tracker.heard.count("token") > 1
    assert tracker.heard[-1] == "end"
    assert tracker.records == plain.records
    assert_is_the_bill(tracker, sim)


def test_langchain_tells_a_lone_tracker_of_the_start_only(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meter tells it of the end, and its loops over handlers take time."""
    told: list[str] = []

    handle = manager.handle_event

    def listen(handlers: Any, name: str, /, *rest: Any, **more: Any) -> None:
        if handlers:
            told.append(name)
        handle(handlers, name, *rest, **more)

    monkeypatch.setattr(manager, "handle_event", listen)
    for model in (chat(sim), chat(sim, streaming=True), completions(sim)):
        with track_costs() as costs:
            model.invoke("hi")
            list(model.stream("hi"))
        assert costs.totals.calls == 2
        assert costs.open_calls == 0
    starts = ["on_chat_model_start"] * 4 + ["on_llm_start"] * 2
    assert told == starts


def test_a_call_that_slips_by_its_meter_is_priced_all_the_same(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would with a LangChain that starts its runs in another way."""
    monkeypatch.setattr(
        "langchain_cerebras_ext.chat_models.open_meter", lambda *_: None
    )
    with track_costs() as costs:
        chat(sim).invoke("hi")
        list(chat(sim).stream("hi"))
    assert tokens_of(costs.records) == bill_of(sim)
    assert [one.outcome for one in costs.records] == ["ok", "ok"]


def test_several_completions_are_told_apart_by_langchains_managers(
    sim: Simulator,
) -> None:
    one, two = CostTracker(), CostTracker()
    completions(sim).generate(["a", "a"], callbacks=[[one], [two]])
    for tracker in (one, two):
        assert tracker.totals.calls == 1
        assert tracker.totals.is_certain
    together = [*one.records, *two.records]
    assert tokens_of(together) == bill_of(sim)
    assert len({record.run_id for record in together}) == 2


def test_a_count_that_fails_leaves_a_record_without_one(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(_meter, "count_output", broken)
    sim.reply("The sea is wide. " * 20)
    sim.fail_next(fault="stall_stream", after_events=5)
    budget = Budget(5)
    with track_costs(budget=budget) as costs:
        stream = chat(sim).stream("hi")
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    (record,) = costs.records
    assert record.cost_usd is None
    assert "no_usage" in record.flags
    assert "cannot be counted" in caplog.text
    (status,) = budget.status()
    assert status.reserved == 0
    assert status.spent > 0, "what was held counts as spent"


def test_a_model_without_track_costs_says_how_to_get_it(sim: Simulator) -> None:
    with pytest.raises(CerebrasConfigurationError, match="track_costs=True"):
        chat(sim).get_total_cost()


def test_copies_of_a_model_share_its_tracker(sim: Simulator) -> None:
    model = chat(sim, track_costs=True)
    model.model_copy(update={"temperature": 0.5}).invoke("hi")
    model.bind(max_tokens=20).invoke("hi")
    model.with_config(tags=["t"]).invoke("hi")
    assert model.cost_tracker.totals.calls == 3
    assert_is_the_bill(model.cost_tracker, sim)


def test_a_tracker_of_a_model_and_one_of_a_call_are_told_the_same(
    sim: Simulator,
) -> None:
    model, tracker = chat(sim, track_costs=True), CostTracker()
    model.invoke("hi", {"callbacks": [tracker]})
    assert model.cost_tracker.records == tracker.records
    assert_is_the_bill(tracker, sim)


def test_the_benchmark_of_the_cost_measures_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It collects before each of many measures; no figure is judged here.
    monkeypatch.setattr("gc.collect", lambda: 0)
    assert benchmark.main(["--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = benchmark.MEASURES
    assert set(report["us"]) == set(report["added"]) == set(rows)
    for name, row in report["us"].items():
        assert set(row) == {"none", *rows[name].among}
        assert min(row.values()) > 0
        assert set(report["added"][name]) == set(rows[name].among)
    for place in ("http", "canned"):
        for call in ("stream", "ainvoke", "short_astream"):
            row = report["us"][f"{place} {call}"]
            assert set(row) == set(benchmark.HANDLERS)


def test_what_a_tracker_puts_off_has_its_share_in_the_benchmark() -> None:
    """Three batches cost as much as without it, and the fourth three times that."""
    alone, other = Side(int, 1), Side(int, 1)
    alone.us, other.us = [10.0] * 24, [10.0, 10.0, 10.0, 30.0] * 6
    assert Pair(alone, other).ratio() == 1
    assert Pair(alone, other, due_every=4).ratio() == 1.5


def test_what_slows_down_both_of_a_pair_is_no_cost_of_a_tracker() -> None:
    alone, other = Side(int, 1), Side(int, 1)
    alone.us, other.us = [10.0, 10.0, 20.0, 20.0], [11.0, 11.0, 22.0, 22.0]
    assert Pair(alone, other).ratio() == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("row", "who", "more_us", "is_missed"),
    [
        ("http stream", "tracker", 1.9, False),
        ("http stream", "tracker", 2.1, True),
        ("canned ainvoke", "scope", 29.0, False),
        ("canned ainvoke", "scope", 31.0, True),
        ("canned ainvoke", "budget", 500.0, False),
        ("records", "tracker", 500.0, False),
    ],
)
def test_the_benchmark_judges_what_one_tracker_adds(
    row: str, who: str, more_us: float, is_missed: bool
) -> None:
    found = {row: benchmark.Found({}, {}, {who: more_us})}
    assert benchmark.missed(found) == ([f"{row}, {who}"] if is_missed else [])


@pytest.mark.parametrize(("ours_us", "ratio"), [(20.0, 2.5), (1.0, None)])
def test_the_benchmark_compares_a_peer_to_what_can_be_told_of_ours(
    ours_us: float, ratio: float | None
) -> None:
    added = {"tracker": ours_us, "peer": 50.0}
    found = benchmark.Found({"none": 100.0}, {}, added)
    assert benchmark.ratios(found) == {"peer": ratio}
