"""Tries of one call of a router, as records, reports and the ledger tell of them."""

from __future__ import annotations

import asyncio
import threading

import pytest
import router_legs
from call_paths import BETA, call
from pydantic import BaseModel
from router_legs import each_kind, ours, router_of

from langchain_cerebras_ext import CostTracker, track_costs
from langchain_cerebras_ext.costs import Ledger, group_records
from langchain_cerebras_ext.errors import AllLegsFailedError, CerebrasTimeoutError
from langchain_cerebras_ext.routing import ChatRouter, Experiment

pytestmark = BETA
_running, sims = router_legs.running, router_legs.sims

WAYS = ["invoke", "ainvoke", "stream", "astream", "v3", "av3"]
each_way = pytest.mark.parametrize("way", WAYS)


def told(costs):
    """Return how each try ended, and what its call had come to before."""
    return [(record.outcome, record.router_so_far) for record in costs.records]


@each_kind
@each_way
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 30}], ids=["plain", "raced"])
def test_tries_of_a_call_have_one_id_and_are_one_call(sims, kind, way, raced):
    sims[0].fail_next(status=503)
    router = router_of(sims, kind, **raced)
    with track_costs() as costs:
        call(way, router)
        call(way, router)
    first, second, third = costs.records
    assert first.router_call_id == second.router_call_id != third.router_call_id
    assert told(costs) == [("failed", None), ("ok", "failed"), ("ok", None)]
    totals = costs.totals
    assert (totals.calls, totals.failed) == (3, 1), "as tries"
    assert (totals.whole_calls, totals.whole_failed) == (2, 0), "as calls"


def test_the_id_is_that_of_the_routers_run(sims):
    """So that records are found from a trace, and a trace from records."""
    with track_costs() as costs:
        router_of(sims).invoke("hi")
    (record,) = costs.records
    assert record.router_call_id == record.parent_run_id == record.trace_id
    assert type(record.router_call_id) is str


def test_a_call_that_only_its_leg_meters_has_an_id_as_well(sims):
    model = ours(sims[1], track_costs=True)
    trackers = [one for one in model.callbacks if isinstance(one, CostTracker)]
    router = ChatRouter(legs={"a": ours(sims[0]), "b": model})
    sims[0].fail_next(status=503, times=2)
    router.invoke("hi")
    router.invoke("hi")
    one, two = trackers[0].records
    assert one.router_call_id
    assert two.router_call_id not in {None, one.router_call_id}
    assert one.router_so_far is None, "nobody has metered the other leg"


def test_a_call_of_no_router_has_none(sims):
    with track_costs() as costs:
        ours(sims[0]).invoke("hi")
    (record,) = costs.records
    assert record.router_call_id is record.router_so_far is None
    assert (costs.totals.calls, costs.totals.whole_calls) == (1, 1)


def test_structure_and_tools_are_tries_too(sims):
    class City(BaseModel):
        """A city."""

        name: str

    sims[0].fail_next(status=503)
    sims[1].reply('{"name": "Oslo"}')
    with track_costs() as costs:
        made = router_of(sims).with_structured_output(City).invoke("Which city?")
    assert made.name == "Oslo"
    assert told(costs) == [("failed", None), ("ok", "failed")]
    assert len({record.router_call_id for record in costs.records}) == 1


@each_way
def test_a_call_that_every_leg_fails_has_failed_once(sims, way):
    for sim in sims:
        sim.fail_next(status=503)
    with track_costs() as costs, pytest.raises(AllLegsFailedError):
        call(way, router_of(sims))
    assert told(costs) == [("failed", None), ("failed", "failed")]
    totals = costs.totals
    assert (totals.failed, totals.whole_calls, totals.whole_failed) == (2, 1, 1)


@each_kind
@pytest.mark.parametrize("way", ["ainvoke", "stream", "astream"])
def test_a_hedge_that_loses_is_no_call_left_by_its_caller(sims, kind, way):
    sims[0].reply("Slow.", delay_s=1.0)
    router = router_of(sims, kind, hedge_after_s=0.02)
    with track_costs() as costs:
        message = call(way, router)
        if way == "stream":
            _wait_for_threads()
    assert message.response_metadata["router"]["leg"] == "b"
    assert sorted(record.outcome for record in costs.records) == ["aborted", "ok"]
    totals = costs.totals
    assert (totals.calls, totals.aborted) == (2, 1)
    assert (totals.whole_calls, totals.whole_aborted, totals.whole_failed) == (1, 0, 0)


def _wait_for_threads():
    for thread in threading.enumerate():
        if thread.name.startswith("router-"):
            thread.join(20)


@each_kind
@pytest.mark.parametrize("way", ["ainvoke", "astream"])
def test_a_leg_that_the_router_gave_up_has_failed(sims, kind, way):
    """Its caller has not left: an arm that is too slow must not look as if it had."""
    sims[0].reply("Too late.", delay_s=1.0)
    router = ChatRouter(legs={"a": kind(sims[0])}, total_timeout=0.2)
    tracker = CostTracker()
    with pytest.raises(CerebrasTimeoutError):
        call(way, router, config={"callbacks": [tracker]})
    (record,) = tracker.records
    assert (record.outcome, record.error_type) == ("failed", "CerebrasTimeoutError")
    assert tracker.totals.whole_failed == 1


@each_kind
def test_a_call_that_its_caller_cancels_is_recorded(sims, kind):
    """LangChain itself tells nobody of a cancelled `ainvoke`."""
    sims[0].reply("Too late.", delay_s=1.0)

    async def run():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await router_of(sims, kind).ainvoke("hi")

    with track_costs() as costs:
        asyncio.run(run())
    assert told(costs) == [("aborted", None)]
    assert (costs.open_calls, costs.totals.whole_aborted) == (0, 1)


def test_a_caller_who_leaves_after_a_failure_has_left(sims):
    sims[0].fail_next(status=503)
    with track_costs() as costs:
        stream = router_of(sims).stream("hi")
        next(stream)
        stream.close()
    assert told(costs) == [("failed", None), ("aborted", "failed")]
    totals = costs.totals
    assert (totals.whole_calls, totals.whole_failed, totals.whole_aborted) == (1, 0, 1)


def test_a_router_within_a_router_is_one_call(sims):
    inner = router_of(sims)
    outer = ChatRouter(legs={"inner": inner, "last": ours(sims[1])})
    sims[0].fail_next(status=503)
    sims[1].fail_next(status=503)
    with track_costs() as costs:
        outer.invoke("hi")
    assert len({record.router_call_id for record in costs.records}) == 1
    assert [one.outcome for one in costs.records] == ["failed", "failed", "ok"]
    assert (costs.totals.whole_calls, costs.totals.whole_failed) == (1, 0)


def test_many_calls_at_once_are_told_apart(sims):
    sims[0].fail_next(status=503, times=20)
    router = router_of(sims)

    async def run():
        return await router.abatch(["hi"] * 40)

    with track_costs() as costs:
        asyncio.run(run())
    calls = {}
    for record in costs.records:
        calls.setdefault(record.router_call_id, []).append(record.outcome)
    assert sorted(calls.values()) == [["failed", "ok"]] * 20 + [["ok"]] * 20
    assert (costs.totals.whole_calls, costs.totals.whole_failed) == (40, 0)


def test_an_arm_is_judged_by_calls_in_reports_and_in_the_ledger(sims, tmp_path):
    """10 users of an arm whose first leg fails half of its calls, and another answers."""
    experiment = Experiment("legs", {"a": 1, "b": 1})
    router = router_of(sims, strategy="experiment", experiment=experiment)
    users = [f"user-{n}" for n in range(200)]
    mine = [one for one in users if experiment.assign(one).arm == "a"][:10]
    with Ledger(tmp_path / "costs.db") as ledger:
        with track_costs(ledger=ledger) as costs:
            for place, user in enumerate(mine):
                if place % 2:
                    sims[0].fail_next(status=503)
                router.invoke("hi", config={"metadata": {"user_id": user}})
        for source in (costs, ledger):
            arm = experiment.report(source).arm("a")
            assert (arm.calls, arm.tries, arm.units) == (10, 15, 10)
            assert (arm.values["success"].value, arm.values["success"].calls) == (1, 10)
            assert arm.values["cost_per_call"].calls == 10
        assert list(ledger.records()) == sorted(
            costs.records, key=lambda one: one.started_at
        )
        for by in (("arm",), ("model",), ("user",), ("arm", "outcome"), ("day",)):
            assert ledger.report(by) == group_records(costs.records, by)
        (group,) = ledger.report(("arm",))
        assert group.keys == ("legs/a",)
        totals = group.totals
        assert (totals.calls, totals.failed) == (15, 5)
        assert (totals.whole_calls, totals.whole_failed) == (10, 0)
        assert ledger.slice().report(("arm",)) == [group]
