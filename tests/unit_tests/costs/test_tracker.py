"""`CostTracker` by itself: what it adds up, keeps, says and refuses."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext.costs._meter import deliver
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import CerebrasConfigurationError

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)


def row(cost: str | None = "0.1", **fields: Any) -> UsageRecord:
    priced = None if cost is None else Cost(input=Decimal(cost))
    given = {"started_at": AT, "model": "m", "input_tokens": 10, "output_tokens": 1}
    return UsageRecord(**{**given, "cost": priced, **fields})


def filled(*rows: UsageRecord, **fields: Any) -> CostTracker:
    tracker = CostTracker(**fields)
    for one in rows:
        tracker.take(one)
    return tracker


def test_a_new_tracker_knows_nothing() -> None:
    tracker = CostTracker()
    assert tracker.records == ()
    assert tracker.get_total_cost() == 0
    assert tracker.get_last_cost() is None
    assert tracker.last_record is None
    assert tracker.by_model == {}
    assert tracker.open_calls == tracker.settle_open_calls() == 0
    assert tracker.flush()


def test_what_is_uncertain_stands_beside_the_total() -> None:
    tracker = filled(
        row("0.25"),
        row(None, flags=("unpriced",)),
        row("0.5", flags=("estimated", "no_usage"), outcome="aborted"),
        row("0", outcome="cache_hit"),
        row("0.125", outcome="retried"),
        row("0", outcome="failed"),
    )
    totals = tracker.totals
    assert tracker.get_total_cost() == Decimal("0.875")
    assert (totals.calls, totals.retries, totals.failed, totals.aborted) == (5, 1, 1, 1)
    assert totals.cache_hits == 1
    assert tracker.unpriced_calls == 1
    assert tracker.calls_without_usage == tracker.estimated_calls == 1
    assert totals.input_tokens == 50, "a hit has used nothing"
    assert not totals.is_certain


def test_totals_are_of_all_and_records_of_the_newest() -> None:
    tracker = filled(*(row("0.5", run_id=str(n)) for n in range(2_000)), max_records=3)
    assert [one.run_id for one in tracker.records] == ["1997", "1998", "1999"]
    assert tracker.totals.calls == 2_000
    assert tracker.get_total_cost() == 1_000


def test_no_records_need_be_kept() -> None:
    tracker = filled(row(), row(), max_records=0)
    assert tracker.records == ()
    assert tracker.totals.calls == 2
    assert tracker.get_last_cost() == Decimal("0.1")


def test_totals_are_split_by_what_records_say() -> None:
    tracker = filled(
        row("1", model="a", user="ann", node="n", tags=("x", "y"), session="s"),
        row("2", model="a", model_served="b", arm="left", tags=("x",)),
        row("4"),
    )

    def costs(name: Any) -> dict[str | None, int]:
        return {key: int(held.cost) for key, held in tracker.by(name).items()}

    assert costs("model") == {"a": 1, "b": 2, "m": 4}
    assert costs("tag") == {"x": 3, "y": 1, None: 4}
    assert costs("user") == {"ann": 1, None: 6}
    assert costs("node") == {"n": 1, None: 6}
    assert costs("arm") == {"left": 2, None: 5}
    assert tracker.by_model == tracker.by("model")
    assert tracker.by_tag == tracker.by("tag")


def test_totals_that_are_handed_out_do_not_change_the_trackers() -> None:
    tracker = filled(row("1"))
    tracker.totals.add(row("5"))
    tracker.by_model["m"].add(row("5"))
    assert tracker.get_total_cost() == tracker.by_model["m"].cost == 1


def test_an_unknown_dimension_is_refused() -> None:
    with pytest.raises(CerebrasConfigurationError, match=r"by\('color'\) is unknown"):
        CostTracker().by("color")  # type: ignore[arg-type]


@given(
    st.lists(st.integers(0, 10**15), max_size=30),
    st.integers(1, 40),
    st.randoms(use_true_random=False),
)
def test_sums_depend_neither_on_order_nor_on_anybodys_decimal_context(
    units: list[int], precision: int, rng: random.Random
) -> None:
    costs = [Decimal(unit).scaleb(-12) for unit in units]
    rows = [row(f"{cost:f}") for cost in costs]
    shuffled = rng.sample(rows, len(rows))
    with localcontext() as context:
        context.prec = precision
        mixed = filled(*shuffled).get_total_cost()
    assert mixed == filled(*rows).get_total_cost() == Decimal(sum(units)).scaleb(-12)


def test_threads_lose_nothing() -> None:
    tracker = CostTracker()

    def work() -> None:
        for _ in range(500):
            tracker.take(row("0.000000000001"))
            tracker.by_model  # noqa: B018 - folds while others add

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracker.totals.calls == 4_000
    assert tracker.get_total_cost() == Decimal("0.000000004")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tags": "night"}, "one text"),
        ({"max_records": -1}, "0 or more"),
        ({"budgets": [5]}, "pass Budget"),
    ],
    ids=["tags as a text", "max_records", "a number as a budget"],
)
def test_wrong_arguments_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(CerebrasConfigurationError, match=said):
        CostTracker(**fields)


def test_a_scope_refuses_a_text_as_tags() -> None:
    with pytest.raises(CerebrasConfigurationError), track_costs(tags="night"):
        pass  # pragma: no cover - never entered


def test_copies_are_the_tracker_itself() -> None:
    tracker = filled(row())
    assert copy.copy(tracker) is copy.deepcopy(tracker) is tracker


def test_a_tracker_travels_to_another_process_empty() -> None:
    budget = Budget(1)
    tracker = filled(row(), tags=["t"], user="ann", max_records=7, budgets=budget)
    there = pickle.loads(pickle.dumps(tracker))
    assert there.records == ()
    assert there.scope == tracker.scope
    assert there.budgets == (budget,)
    assert there is not tracker


class Shelf:
    """Keeps records, as a ledger does."""

    def __init__(self) -> None:
        self.seen: list[UsageRecord] = []

    def add(self, record: UsageRecord) -> None:
        self.seen.append(record)

    def flush(self, timeout_s: float | None = None) -> bool:
        return timeout_s is None or bool(self.seen)


def test_what_several_trackers_share_is_told_once() -> None:
    """A ledger's method is another object each time it is asked for."""
    shelf: Any = Shelf()
    trackers = [CostTracker(ledger=shelf), CostTracker(ledger=shelf, sinks=[shelf.add])]
    deliver(row(), trackers)
    assert len(shelf.seen) == 1
    assert [tracker.totals.calls for tracker in trackers] == [1, 1]


def test_scopes_within_one_another_know_their_parents() -> None:
    with track_costs() as outer, track_costs() as inner:
        assert inner.lineage == (inner, outer)
        assert outer.lineage == (outer,)
    with track_costs() as later:
        assert later.lineage == (later,)
