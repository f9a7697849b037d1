"""What is kept of a call before its record is read: the same sums, the same records."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.catalog import register_model, unregister_model
from langchain_cerebras_ext.costs import _meter
from langchain_cerebras_ext.costs import tracker as tracker_module
from langchain_cerebras_ext.costs._brief import Brief, day_price
from langchain_cerebras_ext.costs.prices import PriceBook, list_prices
from langchain_cerebras_ext.costs.pricing import (
    PriceRow,
    adds_up,
    cost_of,
    cost_of_calls,
    price_usage,
)
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.report import Totals, group_records
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs

MODEL = "gpt-oss-120b"
LOG = logging.getLogger("langchain_cerebras_ext.client")
OWN = (
    "started_at",
    "record_id",
    "run_id",
    "trace_id",
    "duration_s",
    "output_tokens_per_s",
)
"""What no two calls have in common."""


@pytest.fixture(scope="module", autouse=True)
def _nobody_reads_the_log() -> Iterator[None]:
    """Calls that are logged whole have their records at once."""
    before = LOG.level
    LOG.setLevel(logging.INFO)
    yield
    LOG.setLevel(before)


class Canned:
    """A service that answers at once, and with the token counts it is given."""

    status = 200
    headers: ClassVar[dict[str, str]] = {"content-type": "application/json"}

    def __init__(self) -> None:
        self.usage: dict[str, Any] = {}
        self.more: dict[str, Any] = {}

    def send(self, *_: Any, **__: Any) -> Canned:
        return self

    def read(self) -> bytes:
        message = {"role": "assistant", "content": "Hello."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": MODEL,
            "choices": [choice] * self.more.get("n", 1),
            "usage": self.usage,
            "time_info": {"queue_time": 0.25},
        }
        return json.dumps({**answer, **self.more}).encode()

    def close(self) -> None:
        pass


class Offline(ChatCerebras):
    """A model of such a service."""

    service: ClassVar[Canned]

    def _transport(self) -> Any:
        return self.service


def a_model(usage: dict[str, Any] | None = None) -> Offline:
    """Return a model whose calls all use the same."""

    class Mine(Offline):
        service = Canned()

    Mine.service.usage = told(10, 0, 5, 0) if usage is None else usage
    return Mine(model=MODEL, base_url="http://127.0.0.1:1/v1", api_key="k")


def told(prompt: int, cached: int, answer: int, thought: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def briefs_of(tracker: CostTracker) -> int:
    """Return how many calls a tracker keeps without a record."""
    tracker.get_total_cost()
    return sum(isinstance(kept, Brief) for kept in tracker._kept)


# ----------------------------------------------------------------------- same sums


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    prompt = draw(st.integers(0, 200_000))
    answer = draw(st.integers(0, 50_000))
    usage = told(
        prompt,
        draw(st.integers(0, prompt)),
        answer,
        draw(st.integers(0, answer)),
    )
    odd = draw(st.sampled_from(["", "", "", "image", "bare", "none", "empty"]))
    if odd == "image":
        image = draw(st.integers(0, prompt))
        usage["prompt_tokens_details"]["image_tokens"] = image
    if odd == "bare":
        del usage["prompt_tokens_details"], usage["completion_tokens_details"]
    if odd == "none":
        usage["prompt_tokens_details"] = {"cached_tokens": None}
    return {} if odd == "empty" else usage


CALLS = st.lists(
    st.tuples(
        usages(),
        st.sampled_from([MODEL, "another", "llama3.1-8b"]),
        st.sampled_from([None, "flex", "priority"]),
        st.sampled_from([[], ["a"], ["b", "a"]]),
        st.sampled_from([{}, {"user_id": "u"}, {"langgraph_node": "n"}]),
        st.integers(1, 3),
    ),
    max_size=12,
)
PLAIN = PriceBook()
BOOKS = st.sampled_from(
    [
        PLAIN,
        PLAIN.with_discount(percent=20),
        PLAIN.with_discount(fraction="0.333333333333"),
        PLAIN.with_price(MODEL, input="0.35", output="0.75", cached_input="0.1"),
        PLAIN.with_price(MODEL, input="0.0000004", output="3.00000051"),
        PLAIN.with_price(MODEL, input="1", output="2", cached_input="0.00000033"),
        PLAIN.with_price(MODEL, input="1", output="0", request="0.0000000000017"),
        PLAIN.with_price(MODEL, input="1"),
        PLAIN.with_price(MODEL, output="1"),
    ]
)


def shared(record: UsageRecord) -> UsageRecord:
    return record.replace(**dict.fromkeys(OWN))


def calls_of(
    model: Offline, calls: list[Any], tracker: CostTracker, *more: CostTracker
) -> None:
    for usage, served, tier, tags, metadata, n in calls:
        model.service.usage = usage
        model.service.more = {"model": served, "service_tier": tier, "n": n}
        model.invoke(
            "hi",
            config={"callbacks": [tracker, *more], "tags": tags, "metadata": metadata},
        )


@given(CALLS, BOOKS, st.booleans())
@settings(max_examples=40, deadline=None)
def test_sums_without_records_are_the_sums_of_the_records(
    calls: list[Any], book: PriceBook, is_read_often: bool
) -> None:
    tracker, other = CostTracker(prices=book), CostTracker(tags=["t"], user="v")
    model = a_model()
    for call in calls:
        calls_of(model, [call], tracker, other)
        if is_read_often:
            tracker.get_total_cost()
    sums = tracker.totals
    by_model, by_tag, by_user = tracker.by_model, tracker.by_tag, tracker.by_user
    expected = Totals()
    for record in tracker.records:
        expected.add(record)
    assert sums == expected
    for by, found in (("model", by_model), ("tag", by_tag), ("user", by_user)):
        groups = group_records(tracker.records, [by])
        assert found == {group.keys[0]: group.totals for group in groups}
    assert tracker.totals == sums, "reading changes nothing"
    assert other.totals == sums
    assert other.records == tracker.records


@given(CALLS, BOOKS)
@settings(max_examples=40, deadline=None)
def test_records_read_later_are_those_that_are_made_at_once(
    calls: list[Any], book: PriceBook
) -> None:
    later, at_once = CostTracker(prices=book), CostTracker(prices=book)
    calls_of(a_model(), calls, later)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_meter.Noted, "_kind", lambda *_: None)
        calls_of(a_model(), calls, at_once)
        assert not briefs_of(at_once)
    assert [shared(one) for one in later.records] == [
        shared(one) for one in at_once.records
    ]
    assert later.totals == at_once.totals
    for record in later.records:
        assert record.run_id == record.trace_id
        assert (record.output_tokens_per_s is None) == (
            "no_usage" in record.flags or not record.output_tokens
        )
        if record.cost is not None:
            assert record.cost.price is not None
            assert record.cost == price_usage(record.usage, record.cost.price)


RATES = st.decimals(0, 20, places=8) | st.decimals(0, 20, places=2)
COUNTS = st.integers(0, 10**9)


@given(
    RATES,
    RATES,
    RATES | st.none(),
    RATES,
    st.lists(st.tuples(COUNTS, COUNTS, COUNTS), max_size=9),
)
def test_what_adds_up_costs_together_what_it_costs_one_by_one(
    given_in: Decimal,
    given_out: Decimal,
    cached_rate: Decimal | None,
    request: Decimal,
    calls: list[tuple[int, int, int]],
) -> None:
    row = PriceRow(
        input=given_in, output=given_out, cached_input=cached_rate, request=request
    )
    rates = [given_in, given_out, given_in if cached_rate is None else cached_rate]
    assert adds_up(row) == all(rate * 10**6 % 1 == 0 for rate in rates)
    if not adds_up(row):
        return
    costs = [cost_of(row, plain + kept, kept, 0, 0, out) for plain, kept, out in calls]
    plain, kept, out = (sum(column) for column in zip((0, 0, 0), *calls, strict=True))
    whole = cost_of_calls(row, len(calls), plain + kept, kept, 0, 0, out)
    for kind in ("input", "cached_input", "output", "request", "cache_savings"):
        assert sum(getattr(cost, kind) for cost in costs) == getattr(whole, kind)


# ------------------------------------------------------------------- who has briefs


def test_a_call_is_kept_as_a_brief_until_its_record_is_read() -> None:
    tracker = CostTracker()
    model = a_model()
    for _ in range(3):
        model.invoke("hi", config={"callbacks": [tracker]})
    assert briefs_of(tracker) == 3
    assert len(tracker.records) == 3
    assert briefs_of(tracker) == 0
    model.invoke("hi", config={"callbacks": [tracker]})
    assert briefs_of(tracker) == 1, "what was read stays a record, the newest is none"
    assert tracker.totals.calls == len(tracker.records) == 4


@pytest.mark.parametrize(
    ("usage", "prices"),
    [
        (told(10, 0, 5, 0) | {"image_tokens": 3}, None),
        ({}, None),
        (told(10, 0, 5, 0), PriceBook().with_price(MODEL, input="0.1234567", output=1)),
        (told(10, 0, 5, 0), PriceBook().with_price(MODEL, input=1)),
    ],
    ids=["images", "uncounted", "rounded", "unpriced"],
)
def test_what_does_not_add_up_is_a_record_from_the_start(
    usage: dict[str, Any], prices: PriceBook | None
) -> None:
    tracker = CostTracker(prices=prices)
    a_model(usage).invoke("hi", config={"callbacks": [tracker]})
    assert briefs_of(tracker) == 0
    assert tracker.totals.calls == len(tracker.records) == 1


def test_a_price_that_cannot_be_looked_up_leaves_the_call_unpriced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError

    monkeypatch.setattr(PriceBook, "rates_of_call", fail)
    monkeypatch.setattr(PriceBook, "find", fail)
    tracker = CostTracker()
    a_model().invoke("hi", config={"callbacks": [tracker]})
    assert tracker.unpriced_calls == 1
    assert "cannot be looked up" in caplog.text


def test_a_price_that_changes_counts_from_the_next_call_on() -> None:
    tracker = CostTracker()
    model = a_model(told(1_000_000, 0, 1, 0))
    model.invoke("hi", config={"callbacks": [tracker]})
    before = tracker.get_total_cost()
    register_model({"id": MODEL, "price": {"input": "7", "output": "0"}})
    try:
        model.invoke("hi", config={"callbacks": [tracker]})
        assert tracker.get_total_cost() == before + 7
    finally:
        unregister_model(MODEL)
    model.invoke("hi", config={"callbacks": [tracker]})
    assert tracker.get_total_cost() == 2 * before + 7


def test_calls_cost_what_was_true_when_they_ended_though_they_are_read_later() -> None:
    tracker, other = CostTracker(), CostTracker()
    model = a_model(told(1_000_000, 0, 1, 0))
    config: Any = {"callbacks": [tracker, other]}
    model.invoke("hi", config=config)
    register_model({"id": MODEL, "price": {"input": "7", "output": "0"}})
    try:
        model.invoke("hi", config=config)
        tracker.prices = PriceBook().with_price(MODEL, input="9", output="0")
        model.invoke("hi", config=config)
        tracker.prices = None
    finally:
        unregister_model(MODEL)
    model.invoke("hi", config=config)
    plain = price_usage(told(1_000_000, 0, 1, 0), MODEL).total
    expected = [plain, Decimal(7), Decimal(9), plain]
    assert [record.cost_usd for record in other.records] == expected
    assert tracker.records == other.records


def test_the_name_that_served_has_its_price() -> None:
    book = PLAIN.with_price("mine", input="1", output="2")
    tracker = CostTracker(prices=book)
    model = a_model()
    for served in ("mine", MODEL, "nobody-knows-it"):
        for details in ({}, {"prompt_tokens_details": {"cached_tokens": 11}}):
            calls_of(
                model, [(told(10, 0, 5, 0) | details, served, None, [], {}, 1)], tracker
            )
    prices = [one.cost and one.cost.price for one in tracker.records]
    assert [price and price.model for price in prices] == ["mine"] * 2 + [MODEL] * 4
    assert tracker.reprice().cost == tracker.get_total_cost()
    other = a_model()
    other.model_name = "my-endpoint"
    tracker = CostTracker()
    calls_of(other, [(told(10, 0, 5, 0), MODEL, None, [], {}, 1)], tracker)
    assert tracker.records[0].cost == price_usage(told(10, 0, 5, 0), MODEL)


# ------------------------------------------------------- what is noted and not yet read


def noted_of(tracker: CostTracker) -> list[Any]:
    return [one for one in tracker._fresh if isinstance(one, _meter.Noted)]


def test_an_answer_is_noted_and_read_with_others() -> None:
    tracker = CostTracker(max_records=5)
    model = a_model()
    most = 0
    for number in range(200):
        model.invoke("hi", config={"callbacks": [tracker]})
        most = max(most, len(noted_of(tracker)))
        assert tracker.open_calls == 0
        if number == 150:
            assert tracker.totals.calls == 151
            assert not noted_of(tracker)
    assert 1 < most < 100, "it is bounded, whoever reads it"
    assert (tracker.totals.calls, len(tracker.records)) == (200, 5)


def test_what_is_noted_holds_neither_prompt_nor_answer_nor_trackers_once_read() -> None:
    tracker = CostTracker(parent=CostTracker())
    a_model().invoke("a prompt", config={"callbacks": [tracker], "tags": ["t"]})
    [noted] = noted_of(tracker)
    for text in ("a prompt", "Hello."):
        assert text not in repr(noted)
    kept = noted.read()
    assert noted.read() is kept
    assert not (noted.trackers or noted.metadata)
    [record] = tracker.records
    assert record is kept.get()
    assert record.tags == ("t",)


class Strange(PriceBook):
    """Prices of a class of the user's own."""

    asked = 0

    def find(self, *args: Any, **kwargs: Any) -> PriceRow | None:
        type(self).asked += 1
        return super().find(*args, **kwargs)


class Listening(CostTracker):
    """A tracker that looks at each record that it takes."""

    is_meter_only = True

    def take(self, record: Any) -> None:
        heard.append(record)
        super().take(record)


heard: list[Any] = []


def test_who_may_notice_is_told_at_once() -> None:
    sunk: list[UsageRecord] = []
    model = a_model()
    for tracker in (
        CostTracker(sinks=[sunk.append]),
        CostTracker(prices=Strange()),
        CostTracker(parent=CostTracker(sinks=[sunk.append])),
        Listening(),
    ):
        model.invoke("hi", config={"callbacks": [tracker]})
        assert not noted_of(tracker)
        assert len(tracker._fresh) == 1
    assert (len(sunk), Strange.asked, len(heard)) == (2, 1, 1)
    tracker = CostTracker()
    model.invoke("hi", config={"callbacks": [tracker]})
    assert len(noted_of(tracker)) == 1
    tracker.sinks = (sunk.append,)
    model.invoke("hi", config={"callbacks": [tracker]})
    assert len(sunk) == 3, "what was before is none of its business"
    assert [one.run_id for one in tracker.records][1] == sunk[-1].run_id


def once(real: Any, act: Any) -> Any:
    """Return a function before whose first call something happens."""
    pending = [act]

    def called(*args: Any) -> Any:
        if pending:
            pending.pop()()
        return real(*args)

    return called


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["read_all", "add_calls", "record_of"])
def test_ctrl_c_amid_the_sums_loses_no_call(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = CostTracker()
    model = a_model()
    for _ in range(9):
        model.invoke("hi", config={"callbacks": [tracker]})
    real = getattr(tracker_module, name)
    for looks in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(tracker_module, name, once(real, interrupt))
            with pytest.raises(KeyboardInterrupt):
                _ = tracker.records
        count = 9 + looks
        assert tracker.totals.calls == count
        assert len({record.record_id for record in tracker.records}) == count
        model.invoke("hi", config={"callbacks": [tracker]})


def test_a_signal_that_reads_amid_the_sums_counts_no_call_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = CostTracker()
    model = a_model()
    for _ in range(9):
        model.invoke("hi", config={"callbacks": [tracker]})
    seen: list[int] = []

    def look() -> None:
        seen.append(tracker.totals.calls)

    monkeypatch.setattr(
        tracker_module, "add_calls", once(tracker_module.add_calls, look)
    )
    assert tracker.totals.calls == 9
    assert seen == [9]
    assert len(tracker.records) == 9


def test_records_come_in_the_order_of_their_ends() -> None:
    tracker = CostTracker()
    model = a_model()
    usages = [told(number, 0, 1, 0) if number % 3 else {} for number in range(1, 100)]
    for usage in usages:
        model.service.usage = usage
        model.invoke("hi", config={"callbacks": [tracker]})
    own = CostTracker()
    for number, record in enumerate(tracker.records, 1):
        assert ("no_usage" in record.flags) == (number % 3 == 0)
        assert number % 3 == 0 or record.input_tokens == number
        own.take(record)
    assert tracker.last_record is tracker.records[-1]
    assert own.last_record is tracker.records[-1]
    assert own.totals == tracker.totals


def test_one_that_cannot_be_recorded_costs_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = CostTracker()
    model = a_model()
    for name in ("a", "b", "c"):
        config: Any = {"callbacks": [tracker], "tags": [name]}
        model.invoke("hi", config=config)

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError

    noted_of(tracker)[1].whole = object()
    monkeypatch.setattr(_meter.CallMeter, "make_record", fail)
    assert [record.tags for record in tracker.records] == [("a",), ("c",)]
    assert "cannot be recorded" in caplog.text


def test_ctrl_c_while_answers_are_read_loses_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = CostTracker()
    model = a_model()
    for name in ("a", "b", "c"):
        model.invoke("hi", config={"callbacks": [tracker], "tags": [name]})
    whole, calls = _meter.counts_of, iter(range(9))

    def counts_of(told: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return whole(told)

    monkeypatch.setattr(_meter, "counts_of", counts_of)
    with pytest.raises(KeyboardInterrupt):
        tracker.get_total_cost()
    assert [record.tags for record in tracker.records] == [("a",), ("b",), ("c",)]
    assert tracker.totals.calls == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_reads_though_another_thread_of_its_parent_was_reading() -> None:
    tracker = CostTracker()
    a_model().invoke("hi", config={"callbacks": [tracker]})
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with _meter._reading, tracker._lock, tracker_module._all:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if not child:
        signal.alarm(10)
        os._exit(0 if CostTracker().totals.calls + tracker.totals.calls == 1 else 1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tracker.totals.calls == 1


def test_only_one_price_for_all_of_a_day_adds_up() -> None:
    day = date(2026, 11, 21)
    row = day_price(list_prices(), MODEL, None, day)
    assert row == list_prices().find("cerebras", MODEL, day)
    assert row is not None
    assert adds_up(row)
    assert day_price(list_prices(), "nobody-knows-it", None, day) is None


@pytest.mark.parametrize(
    ("usage", "is_brief"),
    [
        (told(1, 0, 0, 0), True),
        (told(0, 0, 0, 0), False),
        (told(0, 0, 3, 0), False),
        ({**told(9, 0, 1, 0), "image_tokens": 0}, True),
        ({**told(9, 0, 1, 0), "image_tokens": 1}, False),
        ({**told(9, 0, 1, 0), "prompt_tokens_details": {"image_tokens": 1}}, False),
    ],
)
def test_images_and_what_nobody_counted_are_recorded_at_once(
    usage: dict[str, Any], is_brief: bool
) -> None:
    tracker = CostTracker()
    a_model(usage).invoke("hi", config={"callbacks": [tracker]})
    assert briefs_of(tracker) == is_brief
    [record] = tracker.records
    assert record.image_tokens or not usage.get("image_tokens")


# ------------------------------------------------------------------- the same records


def test_every_tracker_and_every_reading_has_the_same_records() -> None:
    model = a_model()
    handed: list[UsageRecord] = []
    with track_costs() as outer, track_costs(user="u") as inner:
        model.invoke("hi")
        last = inner.last_record
        for _ in range(70):
            model.invoke("hi")
        with track_costs(sinks=[handed.append]) as innermost:
            model.invoke("hi")
    assert inner.records[0] is last
    for tracker in (outer, innermost, inner):
        assert tracker.records[-1] is tracker.last_record is handed[0]
        again = tracker.records
        assert all(map(lambda a, b: a is b, tracker.records, again))
    assert all(map(lambda a, b: a is b, outer.records, inner.records))
    assert len({record.record_id for record in outer.records}) == 72
    assert outer.get_total_cost() == inner.get_total_cost()


def test_a_message_names_the_cost_that_is_recorded() -> None:
    tracker = CostTracker()
    model = type(a_model())(
        model=MODEL, base_url="http://127.0.0.1:1/v1", api_key="k", track_costs=True
    )
    answer = model.invoke("hi", config={"callbacks": [tracker]})
    cost = tracker.get_total_cost()
    assert cost > 0
    assert Decimal(answer.response_metadata["cost_usd"]) == cost
    assert model.get_last_cost() == tracker.get_last_cost() == cost


def test_records_that_are_read_later_are_of_their_own_day_and_price() -> None:
    book = PriceBook().with_price(MODEL, input=1, output=1, note="mine")
    tracker = CostTracker(prices=book, max_records=5)
    model = a_model(told(1_000_000, 0, 1, 0))
    model.invoke("hi", config={"callbacks": [tracker]})
    assert tracker.get_total_cost() == Decimal("1.000001")
    (record,) = tracker.records
    assert record.cost is not None
    assert record.cost.price is not None
    assert record.cost.price.note == "mine"
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == copy.copy(record) == record
    assert UsageRecord.from_dict(record.to_dict()) == record


def test_a_tracker_with_briefs_travels_empty_and_copies_as_itself() -> None:
    tracker = CostTracker(user="u", max_records=7)
    a_model().invoke("hi", config={"callbacks": [tracker]})
    assert copy.copy(tracker) is copy.deepcopy(tracker) is tracker
    there = pickle.loads(pickle.dumps(tracker))
    assert there.records == ()
    a_model().invoke("hi", config={"callbacks": [there]})
    assert there.records[0].user == "u"
    assert tracker.totals.calls == 1


@pytest.mark.parametrize("most", [0, 1, 100])
@pytest.mark.parametrize("is_read_often", [False, True])
def test_the_newest_records_are_kept_and_all_are_added_up(
    most: int, *, is_read_often: bool
) -> None:
    tracker = CostTracker(max_records=most)
    seen: list[str | None] = []
    model = a_model()
    for number in range(150):
        model.service.more = {"id": str(number)}
        model.invoke("hi", config={"callbacks": [tracker]})
        if is_read_often and number % 7 == 0:
            seen = [record.request_id for record in tracker.records]
            first = max(0, number + 1 - most)
            assert seen == [str(one) for one in range(first, number + 1)]
    kept = [record.request_id for record in tracker.records]
    assert kept == [str(number) for number in range(150)][150 - most :]
    assert tracker.totals.calls == 150


def test_many_threads_add_up_while_others_read() -> None:
    tracker, model = CostTracker(), a_model(told(100, 40, 7, 3))
    model.invoke("hi", config={"callbacks": [tracker]})
    each = tracker.get_total_cost()
    is_over = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        ids: list[str] = []
        while not is_over.is_set():
            now = [record.record_id for record in tracker.records]
            if now[: len(ids)] != ids or len(set(now)) != len(now):
                wrong.append(now)
            ids = now
            totals = tracker.totals
            if totals.cost != each * totals.calls:
                wrong.append(totals)

    def call() -> None:
        for _ in range(10):
            model.invoke("hi", config={"callbacks": [tracker]})

    readers = [threading.Thread(target=read) for _ in range(3)]
    callers = [threading.Thread(target=call) for _ in range(64)]
    for thread in (*readers, *callers):
        thread.start()
    for thread in callers:
        thread.join()
    is_over.set()
    for thread in readers:
        thread.join()
    assert wrong == []
    assert tracker.totals.calls == len(tracker.records) == 641
    assert tracker.get_total_cost() == each * 641
    assert tracker.totals.reasoning_tokens == 3 * 641
