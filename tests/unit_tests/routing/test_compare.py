"""`compare` against simulators with faults, and models whose times are known."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs import PriceBook, PriceRow, track_costs
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing._compare.call import Contestant, Job, ask
from langchain_cerebras_ext.routing._compare.prompts import Prompt
from langchain_cerebras_ext.routing._compare.results import Journal
from langchain_cerebras_ext.routing.comparison import Result, acompare, compare
from langchain_cerebras_ext.simulator import Simulator

OSS, QWEN = "cerebras::gpt-oss-120b", "cerebras::qwen-3.8-27b"
ONE = [{"id": "one", "prompt": "Say hello to Ann."}]
TWO = [*ONE, {"id": "two", "prompt": "Name a colour."}]


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Timed(BaseChatModel):
    """Streams parts; before each of them some seconds pass."""

    clock: Any = None
    parts: Any = ()
    after_s: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "timed"

    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        return {"ls_provider": "acme", "ls_model_name": "timed-1"}

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self, *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for seconds, chunk in self.parts:
            self.clock.now += seconds
            yield ChatGenerationChunk(message=chunk)
        self.clock.now += self.after_s


class Whole(Timed):
    """Does not stream."""

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self.clock.now += 2.0
        return ChatResult(generations=[ChatGeneration(message=AIMessage("hi"))])

    _astream = BaseChatModel._astream


class Failing(Timed):
    """Raises what it is told to raise."""

    error: Any = None

    async def _astream(
        self, *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk("be"))
        raise self.error


def asked(model: Any, clock: Clock, **more: Any) -> Result:
    """Return the result of one call."""
    job = Job(Contestant("m", model), Prompt("p", (HumanMessage("?"),)), 0)
    return asyncio.run(ask(job, run="r", clock=clock, **more))


@pytest.fixture
def sims() -> Iterator[tuple[Simulator, Simulator]]:
    with Simulator() as one, Simulator(seed=1) as other:
        yield one, other


def cerebras(sim: Simulator, name: str = "gpt-oss-120b", **more: Any) -> ChatCerebras:
    """Return a model of a simulator, with no waits to speak of."""
    return ChatCerebras(model=name, base_url=sim.base_url, api_key="none", **more)


RATES = {
    "gpt-oss-120b": (Decimal("0.35"), Decimal("0.75")),
    "qwen-3.8-27b": (Decimal("0.99"), Decimal("1.49")),
}
"""USD per million tokens of prompt and completion."""


def spent(sim: Simulator) -> Decimal:
    """Return what the simulator's bill comes to, worked out in the plainest way."""
    assert sim.wait_idle()
    total = Decimal(0)
    for bill in sim.billed:
        into, out = RATES[bill.model]
        total += (into * bill.prompt_tokens + out * bill.completion_tokens) / 1_000_000
    return total


# ------------------------------------------------------------------------------- times


def test_times_are_of_the_try_that_answered_and_the_whole_wait_is_told_too():
    clock = Clock()
    metadata = {
        "finish_reason": "stop",
        "failed_attempts": [
            {"elapsed_s": 0.5, "wait_s": 1.0},
            {"elapsed_s": 2.0, "wait_s": 0.5},
        ],
        "measured": {"rate_limiter_wait_s": 0.25},
    }
    usage = {"input_tokens": 7, "output_tokens": 30, "total_tokens": 37}
    model = Timed(
        clock=clock,
        parts=[
            (2.75, AIMessageChunk("")),
            (0.5, AIMessageChunk("a")),
            (1.0, AIMessageChunk("b", response_metadata=metadata)),
            (0.5, AIMessageChunk("", usage_metadata=usage)),
        ],
        after_s=0.25,
    )
    found = asked(model, clock)
    # 2.0 + 0.5 of failed tries and the wait after, and 0.25 of a limiter: 2.75 before
    # the try that answered. Its first content came at 3.25, its end at 5.0.
    assert found.total_s == pytest.approx(5.0)
    assert found.latency_s == pytest.approx(2.25)
    assert found.ttft_s == pytest.approx(0.5)
    # 30 tokens in the 1.75 seconds after the first.
    assert found.output_tokens_per_s == pytest.approx(30 / 1.75)
    assert (found.text, found.finish_reason) == ("ab", "stop")
    assert (found.input_tokens, found.output_tokens) == (7, 30)
    assert (found.kind, found.unpriced, found.cost_usd) == (None, 1, None)


def test_the_first_token_may_be_reasoning_a_tool_call_or_a_block():
    for chunk in (
        AIMessageChunk("", additional_kwargs={"reasoning_content": "hm"}),
        AIMessageChunk(
            "", tool_call_chunks=[{"name": "f", "args": "", "id": "1", "index": 0}]
        ),
        AIMessageChunk([{"type": "text", "text": "a", "index": 0}]),
    ):
        clock = Clock()
        parts = [
            (1.0, AIMessageChunk([{"type": "text", "text": "", "index": 0}])),
            (1.0, chunk),
            (1.0, AIMessageChunk("b")),
        ]
        assert asked(Timed(clock=clock, parts=parts), clock).ttft_s == 2.0


def test_a_model_that_does_not_stream_has_no_time_to_first_token():
    clock = Clock()
    found = asked(Whole(clock=clock), clock)
    assert (found.latency_s, found.ttft_s, found.text) == (2.0, None, "hi")
    clock = Clock()
    parts = [(1.0, AIMessageChunk("a"))]
    found = asked(Timed(clock=clock, parts=parts, disable_streaming=False), clock)
    assert found.ttft_s == 1.0


def test_a_chain_of_texts_can_be_compared_too():
    found = asked(RunnableLambda(lambda _: "hello"), Clock())
    assert (found.text, found.kind) == ("hello", None)
    # Nothing was metered, so nobody knows what it cost.
    assert (found.cost_usd, found.unpriced) == (None, 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("late"), "timeout"),
        (ConnectionResetError("gone"), "network"),
        (RuntimeError("key csk-abcdefghijklmnop"), "unknown"),
        (asyncio.CancelledError(), "unknown"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_whatever_a_model_raises_is_a_result(error, kind):
    found = asked(Failing(error=error, clock=Clock()), Clock())
    assert (found.kind, found.text) == (kind, "be")
    assert found.error_type == type(error).__name__
    assert "csk-abc" not in (found.error or "")
    assert found.latency_s is None


def test_a_call_that_takes_too_long_is_a_timeout():
    class Slow(Timed):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(30)
            yield ChatGenerationChunk(message=AIMessageChunk("x"))

    found = asked(Slow(clock=Clock()), Clock(), timeout_s=0.01)
    assert (found.kind, found.error_type) == ("timeout", "TimeoutError")


# -------------------------------------------------------------------- two simulators


def test_two_servers_with_different_speeds_and_faults(sims):
    quick, slow = sims
    quick.reply("hello", when="hello", times=None)
    quick.reply("blue", when="colour", times=None)
    slow.reply("hello", when="hello", times=None, delay_s=0.05)
    slow.reply("dear", when="colour", times=None, delay_s=0.05)
    # Three of the slow one's eight calls fail, and one more is sent twice.
    slow.fail_next(400, when="hello", times=2)
    slow.fail_next(404, when="colour")
    slow.fail_next(429, when="colour", headers={"retry-after": "0.1"})
    seen: list[Result] = []
    found = compare(
        {
            "quick": cerebras(quick),
            "slow": cerebras(slow, "qwen-3.8-27b"),
        },
        TWO,
        repeat=4,
        expected={"one": "hello", "two": "blue"},
        warmup=0,
        on_result=seen.append,
    )
    assert found.is_complete
    assert len(seen) == len(found.results) == found.planned == 2 * 2 * 4
    first, second = found.rows
    assert (first.model, first.calls, first.failed, first.retried) == ("quick", 8, 0, 0)
    assert (second.calls, second.failed, second.retried) == (8, 3, 1)
    assert second.failures == {"request": 2, "not_served": 1}
    # Eight of eight, and of the slow one's five answers two are right.
    assert first.agreement is not None
    assert (first.agreement.value, first.agreement.n) == (1.0, 8)
    assert second.agreement is not None
    assert (second.agreement.value, second.agreement.n) == (0.4, 5)
    # To the token what the servers have billed.
    assert first.costs.cost == spent(quick) > 0
    assert second.costs.cost == spent(slow) > 0
    assert first.cost_per_1000_usd == spent(quick) * 1000 / 8
    # The delay is in each answer; the wait after the 429 is in the total alone.
    assert second.ttft_s.p5 is not None
    assert second.ttft_s.p5.value >= 0.05
    (again,) = [one for one in found.results if one.attempts == 2]
    assert again.total_s is not None
    assert again.latency_s is not None
    assert again.total_s - again.latency_s >= 0.1
    assert any("needed more than one request" in note for note in found.notes)
    assert any("slow: request 2, such as" in note for note in found.notes)


def test_names_are_made_as_the_factory_makes_them(sims, monkeypatch):
    sim, _ = sims
    monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
    found = compare(
        ["gpt-oss-120b", "cerebras::qwen-3.8-27b"],
        ["Hello"],
        parameters={"max_tokens": 5},
    )
    assert found.models == (OSS, QWEN)
    assert not any(row.failed for row in found.rows)
    # Two warm-ups and two calls, all with the setting.
    assert [body.body["max_completion_tokens"] for body in sim.requests] == [5] * 4


def test_a_first_call_that_connects_is_not_measured_but_paid_and_recorded(sims):
    sim, _ = sims
    with track_costs(tags=["mine"]) as costs:
        found = compare([cerebras(sim)], ONE, repeat=2, warmup=1)
    assert found.models == (OSS,)
    assert found.rows[0].calls == 2
    assert costs.totals.calls == 3
    assert costs.get_total_cost() == spent(sim)
    arms = Counter(record.arm for record in costs.records)
    assert arms == {OSS: 2, None: 1}, "what is not measured is of no arm"
    assert {record.session for record in costs.records} == {f"compare-{found.run_id}"}
    tags = Counter(tag for record in costs.records for tag in record.tags)
    assert tags == {"compare": 3, "mine": 3, "warm-up": 1}


def test_no_more_calls_are_under_way_than_asked():
    busy = most = 0

    async def answer(_: Any) -> str:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        return "x"

    models = {name: RunnableLambda(answer) for name in "ab"}
    compare(models, TWO, repeat=5, concurrency=3, warmup=0)
    assert most == 3


def test_what_a_cache_answers_has_no_times_and_costs_nothing(sims):
    sim, _ = sims
    found = compare(
        [cerebras(sim, cache=InMemoryCache(), disable_streaming=True)],
        ONE,
        repeat=3,
        concurrency=1,
        warmup=0,
    )
    (row,) = found.rows
    assert len(sim.requests) == 1
    assert (row.calls, row.cached, row.failed) == (3, 2, 0)
    assert row.latency_s.p50 is not None
    assert row.latency_s.p50.n == 1
    assert row.ttft_s.p50 is None
    assert row.costs.cost == spent(sim)


def test_a_score_of_yours_may_wait_and_may_fail(sims, caplog):
    sim, _ = sims
    sim.reply("12345", times=None)

    async def score(text: str, prompt: Prompt) -> float:
        await asyncio.sleep(0)
        if prompt.id == "two":
            raise LookupError
        return len(text) / 10

    def look(_: Result) -> None:
        raise ValueError

    found = compare([cerebras(sim)], TWO, score=score, on_result=look)
    (row,) = found.rows
    logged = [one.exc_info[1] for one in caplog.records if one.exc_info]
    assert {type(one) for one in logged} == {LookupError, ValueError}
    assert all(one.__context__ is None for one in logged), "no talk of event loops"
    assert found.is_complete
    assert found.judge == "score"
    assert row.agreement is not None
    assert (row.agreement.value, row.agreement.n) == (0.5, 1)
    assert any("score 'score' failed (LookupError" in note for note in found.notes)


# ------------------------------------------------------------------------------ budget


def test_a_budget_ends_it_and_is_kept_to(sims):
    sim, _ = sims
    found = compare(
        [cerebras(sim, max_tokens=20)],
        ONE,
        repeat=50,
        budget="0.0004",
        concurrency=3,
        warmup=0,
    )
    assert found.stopped == "budget"
    assert not found.is_complete
    assert 5 < len(found.results) < 50
    assert all(one.is_ok for one in found.results)
    assert Decimal(0) < spent(sim) <= Decimal("0.0004")
    assert found.notes[0].endswith("calls were not made (budget).")
    assert "max_tokens" in found.notes[1]


def test_models_without_a_price_fail_under_a_budget_and_the_others_go_on(sims):
    sim, _ = sims
    clock = Clock()
    unpriced = Timed(clock=clock, parts=[(1.0, AIMessageChunk("a"))])
    found = compare(
        [unpriced, cerebras(sim, max_tokens=20)], ONE, repeat=2, budget=1, warmup=0
    )
    assert found.models == ("acme::timed-1", OSS)
    assert found.row("acme::timed-1").failures == {"budget": 2}
    assert found.row(OSS).failed == 0
    assert found.is_complete


def test_prices_of_yours_price_other_models():
    clock = Clock()
    usage = {"input_tokens": 1_000, "output_tokens": 500, "total_tokens": 1_500}
    model = Timed(clock=clock, parts=[(1.0, AIMessageChunk("a", usage_metadata=usage))])
    row = PriceRow(
        model="timed-1", provider="acme", input=Decimal(2), output=Decimal(8)
    )
    found = compare([model], ONE, repeat=3, prices=PriceBook([row]), warmup=0)
    # 1,000 * 2 / 1e6 + 500 * 8 / 1e6 = 0.006 a call.
    assert found.rows[0].cost_per_1000_usd == Decimal(6)


# ---------------------------------------------------------------------------- resuming


def test_a_comparison_goes_on_where_it_ended(sims, tmp_path):
    sim, _ = sims
    path = tmp_path / "results.jsonl"

    def stop(_: Result) -> None:
        # As Ctrl-C in a terminal does.
        if len(path.read_text().splitlines()) == 4:
            os.kill(os.getpid(), signal.SIGINT)

    options: dict[str, Any] = {"repeat": 4, "resume": path, "warmup": 0}
    models = [cerebras(sim)]
    first = compare(models, TWO, concurrency=1, on_result=stop, **options)
    assert first.stopped == "interrupted"
    assert len(first.results) == 3
    sent = len(sim.requests)
    second = compare(models, TWO, **options)
    assert (second.resumed, second.is_complete, second.stopped) == (3, True, None)
    assert [one for one in second.results if one in first.results] == list(
        first.results
    )
    # What was under way when it was interrupted is asked once more, and no other.
    assert len(sim.requests) - sent == 8 - 3
    third = compare(models, TWO, **options)
    assert third.results == second.results
    assert third.rows == second.rows
    assert len(sim.requests) - sent == 8 - 3


def test_more_repeats_prompts_and_models_are_added_to_what_is_there(sims, tmp_path):
    sim, _ = sims
    path = tmp_path / "results.jsonl"
    one, other = cerebras(sim), cerebras(sim, "qwen-3.8-27b")
    compare([one], ONE, resume=path, warmup=0)
    found = compare([one, other], TWO, repeat=2, resume=path, warmup=0)
    assert (found.resumed, found.planned, found.is_complete) == (1, 8, True)
    fewer = compare([other], ONE, resume=path, warmup=0)
    assert (fewer.resumed, len(fewer.results)) == (1, 1)
    assert "7 kept results are of models, prompts or repeats" in fewer.notes[0]


def test_changed_prompts_and_settings_are_noticed(sims, tmp_path, monkeypatch):
    sim, _ = sims
    monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
    path = tmp_path / "results.jsonl"
    options: dict[str, Any] = {"resume": path, "warmup": 0}
    compare(["gpt-oss-120b"], TWO, parameters={"temperature": 0}, **options)
    kept = path.read_bytes()
    changed = [TWO[0], {"id": "two", "prompt": "Name two colours."}]
    with pytest.raises(
        CerebrasConfigurationError, match=r"have changed.*: 'two'. Give"
    ):
        compare(["gpt-oss-120b"], changed, parameters={"temperature": 0}, **options)
    with pytest.raises(CerebrasConfigurationError, match=r"settings .temperature."):
        compare(["gpt-oss-120b"], TWO, parameters={"temperature": 1}, **options)
    assert path.read_bytes() == kept


def test_no_key_gets_into_the_file_of_results(sims, tmp_path):
    sim, _ = sims
    path = tmp_path / "results.jsonl"
    secret = "csk-abcdefghijklmn"
    parameters = {"api_key": secret, "base_url": sim.base_url, "temperature": 0.5}
    compare(["gpt-oss-120b"], ONE, parameters=parameters, resume=path, warmup=0)
    head = json.loads(path.read_text().splitlines()[0])
    assert head["settings"] == {"base_url": sim.base_url, "temperature": 0.5}
    assert secret not in path.read_text()


def test_kept_answers_are_judged_anew_without_a_call(sims, tmp_path):
    sim, _ = sims
    sim.reply("blue", times=None)
    path = tmp_path / "results.jsonl"
    options: dict[str, Any] = {"resume": path, "warmup": 0}
    compare([cerebras(sim)], ONE, **options)
    for expected, how, agrees in (("blue", None, 1.0), ("re", "pattern", 0.0)):
        found = compare([cerebras(sim)], ONE, expected=[expected], score=how, **options)
        assert found.results[0].agreement == agrees
    assert len(sim.requests) == 1


@pytest.mark.parametrize(("status", "is_asked_again"), [(401, True), (400, False)])
def test_what_failed_for_want_of_a_key_is_asked_again(
    sims, tmp_path, status, is_asked_again
):
    sim, _ = sims
    sim.fail_next(status)
    options: dict[str, Any] = {"resume": tmp_path / "r.jsonl", "warmup": 0}
    first = compare([cerebras(sim)], ONE, **options)
    assert first.rows[0].failed == 1
    second = compare([cerebras(sim)], ONE, **options)
    assert second.rows[0].failed == (0 if is_asked_again else 1)
    assert len(sim.requests) == (2 if is_asked_again else 1)


# --------------------------------------------------------------- loops, and the ledger


def test_it_runs_inside_a_running_loop_as_in_a_notebook(sims):
    sim, _ = sims

    async def cell() -> Any:
        with track_costs() as costs:
            found = compare([cerebras(sim)], ONE, repeat=2, warmup=0)
        assert costs.totals.calls == 2
        return found

    assert asyncio.run(cell()).is_complete


def test_interrupting_a_notebooks_cell_gives_what_is_there(sims):
    sim, _ = sims

    def stop(_: Result) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    async def cell() -> Any:
        # As in a notebook's kernel: a loop runs, and Ctrl-C is an exception.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sim.reply("one")
        sim.reply("late", times=None, delay_s=30)
        return compare([cerebras(sim)], ONE, repeat=9, warmup=0, on_result=stop)

    before = signal.getsignal(signal.SIGINT)
    try:
        found = asyncio.run(cell())
    finally:
        signal.signal(signal.SIGINT, before)
    assert found.stopped == "interrupted"
    assert len(found.results) == 1


@pytest.mark.parametrize("is_in_loop", [False, True])
def test_a_full_disk_ends_it_and_is_said(sims, tmp_path, monkeypatch, is_in_loop):
    sim, _ = sims
    path = tmp_path / "results.jsonl"

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "add", full)

    async def cell() -> None:
        compare([cerebras(sim)], TWO, resume=path)

    with pytest.raises(OSError, match="No space left"):
        asyncio.run(cell()) if is_in_loop else compare(
            [cerebras(sim)], TWO, resume=path
        )


def test_cancelling_closes_what_is_under_way(sims, tmp_path):
    sim, _ = sims
    path = tmp_path / "results.jsonl"
    sim.reply("one", times=1)
    sim.reply("never", times=None, delay_s=30)
    closed: list[bool] = []

    async def main() -> None:
        came = asyncio.Event()
        task = asyncio.create_task(
            acompare(
                [cerebras(sim)],
                ONE,
                repeat=9,
                concurrency=1,
                warmup=0,
                resume=path,
                on_result=lambda _: came.set(),
            )
        )
        await came.wait()
        while len(sim.requests) < 2:  # noqa: ASYNC110 - in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        closed.append(task.cancelled())
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert closed == [True]
    assert len(path.read_text().splitlines()) == 2


def test_a_ledger_has_the_calls_by_provider_and_arm(sims, tmp_path):
    pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")
    from openai_models import chat_openai

    from langchain_cerebras_ext.costs import Ledger

    ours, theirs = sims
    theirs.fail_next(400)
    price = PriceRow(
        model="gpt-oss-120b", provider="openai", input=Decimal(1), output=Decimal(2)
    )
    other: Any = chat_openai(
        model="gpt-oss-120b",
        base_url=theirs.base_url,
        api_key="none",
        stream_usage=True,
        max_retries=0,
    )
    url = f"sqlite:///{tmp_path / 'costs.db'}"

    async def main() -> Any:
        prices = PriceBook([price])
        models = [cerebras(ours), other]
        return await acompare(
            models, TWO, repeat=2, ledger=url, prices=prices, warmup=0
        )

    found = asyncio.run(main())
    names = ("cerebras::gpt-oss-120b", "openai::gpt-oss-120b")
    assert found.models == names
    assert theirs.wait_idle()
    assert len(theirs.billed) == 3
    by_hand = (
        sum(
            (
                Decimal(one.prompt_tokens + 2 * one.completion_tokens)
                for one in theirs.billed
            ),
            Decimal(0),
        )
        / 1_000_000
    )
    with contextlib.closing(Ledger(url)) as ledger:
        groups = {group.keys: group.totals for group in ledger.report(["provider"])}
        arms = {group.keys: group.totals for group in ledger.report(["arm"])}
        both = ledger.report(["provider", "arm", "session", "tag"])
    assert groups[("cerebras",)].cost == spent(ours) == found.row(names[0]).costs.cost
    assert groups[("openai",)].cost == by_hand == found.row(names[1]).costs.cost
    assert (groups[("openai",)].calls, groups[("openai",)].failed) == (4, 1)
    assert found.row(names[1]).failures == {"request": 1}
    assert {key[0] for key in arms} == set(names)
    assert {group.keys[1:] for group in both} == {
        (name, f"compare-{found.run_id}", "compare") for name in names
    }


# --------------------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    ("models", "options", "said"),
    [
        ("gpt-oss-120b", {}, "models must be a list"),
        ([], {}, "models is empty"),
        ([3], {}, "models has a int; pass a model"),
        (["gpt-oss-120b"] * 2, {}, "'cerebras::gpt-oss-120b' is there twice"),
        (["nobody::x"], {}, "nobody"),
        (["gpt-oss-120b"], {"repeat": 0}, "repeat=0 must be a whole number"),
        (["gpt-oss-120b"], {"concurrency": 1.5}, "concurrency=1.5 must be"),
        (["gpt-oss-120b"], {"warmup": -1}, "warmup=-1 must be"),
        (["gpt-oss-120b"], {"timeout_s": 0}, "timeout_s=0 must be more than 0"),
        (["gpt-oss-120b"], {"score": "exact"}, "no prompt says what is expected"),
    ],
)
def test_wrong_arguments_are_refused_before_a_call(monkeypatch, models, options, said):
    monkeypatch.setenv("CEREBRAS_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(CerebrasConfigurationError) as raised:
        compare(models, ["Hello"], **options)
    assert said in str(raised.value)


def test_a_missing_key_is_said_before_anything_is_sent():
    with pytest.raises(CerebrasConfigurationError, match="Set CEREBRAS_API_KEY"):
        compare(["gpt-oss-120b"])


# ------------------------------------------------------------------------------ showing


def test_all_forms_say_the_same(sims):
    sim, other = sims
    other.fail_next(400, times=None)
    found = compare({"a": cerebras(sim), "b": cerebras(other)}, ONE, warmup=0)
    told = json.loads(found.to_json(results=True))
    assert told["complete"] is True
    assert Decimal(told["rows"][0]["cost_usd"]) == spent(sim)
    assert told["rows"][1]["failures"] == {"request": 1}
    assert told["rows"][1]["latency_s"] == {"p5": None, "p50": None, "p95": None}
    assert [one["model"] for one in told["results"]] == ["a", "b"]
    assert "results" not in found.to_dict()
    head, first, second = found.to_csv().splitlines()
    rows = [
        dict(zip(head.split(","), line.split(","), strict=True))
        for line in (first, second)
    ]
    assert (
        float(rows[0]["latency_s_p50"]) == told["rows"][0]["latency_s"]["p50"]["value"]
    )
    assert rows[1]["latency_s_p50"] == ""
    assert found._repr_markdown_() == found.to_markdown()
    assert (
        "| b | - | - | - | - | - | - | \\$0 | 1 | 1 (request 1) |"
        in found.to_markdown()
    )
    assert repr(found) == "<Comparison a, b: 2 of 2 calls>"


def test_a_chart_shows_every_model(sims):
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    sim, _ = sims
    clock = Clock()
    models = {"$a$": cerebras(sim), "b": Whole(clock=clock)}
    for expected in (None, ["x"]):
        found = compare(models, ONE, repeat=2, expected=expected, warmup=0)
        figure = found.plot()
        figure.canvas.draw()
        axes = figure.axes
        assert len(axes) == 4
        assert [text.get_text() for text in axes[0].get_yticklabels()] == ["$a$", "b"]
        # Of the second model no time to the first token is known.
        said = [text.get_text() for text in axes[0].texts if text.get_text()]
        assert said == [" not measured"]
        said = " ".join(text.get_text() for text in axes[3].texts)
        assert "unknown" in said
