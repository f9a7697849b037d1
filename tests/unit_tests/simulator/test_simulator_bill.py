"""What the service counts: the truth of tokens, whatever became of an answer."""

import asyncio
import dataclasses
import json
import threading
import time

import pytest
from raw_http import CHAT, MODEL, RawClient, ask, eventually

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import CerebrasError
from langchain_cerebras_ext.simulator import Bill, BilledCall, Rates, Simulator
from langchain_cerebras_ext.simulator.bill import BillBook, TokenTotal
from langchain_cerebras_ext.simulator.clock import SystemClock

WORDS = "one two three four five six seven eight"
REMAINING = "x-ratelimit-remaining-tokens-minute"


class StandingClock(SystemClock):
    """Stands still, so that no bucket refills."""

    def monotonic(self):
        return 1_000.0


@pytest.fixture
def sim():
    with Simulator(tokens_per_chunk=1) as simulator:
        yield simulator


def usage_of(arrived):
    """Return the usage that the client was told."""
    if arrived.headers["content-type"] == "application/json":
        return arrived.json["usage"]
    last = [one for one in arrived.events if b'"usage"' in one][-1]
    return json.loads(last.removeprefix(b"data: "))["usage"]


def is_told(call, usage):
    prompt, completion = usage["prompt_tokens_details"], usage["completion_tokens_details"]  # fmt: skip
    return (
        call.prompt_tokens == usage["prompt_tokens"]
        and call.completion_tokens == usage["completion_tokens"]
        and call.total_tokens == usage["total_tokens"]
        and call.cached_tokens == prompt["cached_tokens"]
        and call.reasoning_tokens == completion["reasoning_tokens"]
    )


# ------------------------------------------------------------------------- whole answers


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"n": 3},
        {"max_completion_tokens": 3},
        {"reasoning_format": "hidden"},
        {"reasoning_format": "raw"},
        {"messages": [{"role": "user", "content": "word " * 400}]},
    ],
    ids=["usual", "several", "limited", "hidden", "raw", "long"],
)
def test_what_is_billed_is_what_the_client_is_told(sim, request_, streamed):
    sim.reply(WORDS, reasoning="let me see now", times=None)
    for _ in range(2):  # The second one finds a prompt in the cache.
        arrived = ask(sim, stream=streamed, **request_)
        call = sim.billed[-1]
        assert is_told(call, usage_of(arrived))
        assert call.id == arrived.headers["inference-id"]
        assert (call.delivered, call.fault, call.streamed) == (True, None, streamed)
        assert call.number == sim.requests[-1].number


def test_a_text_completion_is_billed(sim):
    for streamed in (False, True):
        arrived = ask(
            sim,
            path="/v1/completions",
            prompt=["a b", "c d"],
            stream=streamed,
            echo=True,
        )
        assert is_told(sim.billed[-1], usage_of(arrived))


def test_a_tool_call_is_billed(sim):
    tools = [{"type": "function", "function": {"name": "f"}}]
    for model in (MODEL, "qwen-3.8-27b"):
        sim.reply_with_tool("f", {"city": "Paris"}, reasoning="hm", times=2)
        for streamed in (False, True):
            arrived = ask(sim, stream=streamed, tools=tools, model=model)
            assert is_told(sim.billed[-1], usage_of(arrived))


def test_the_sum_is_there_by_kind_and_by_model(sim):
    assert sim.billed.total == TokenTotal()
    for model in (MODEL, MODEL, "qwen-3.8-27b"):
        ask(sim, model=model)
    bill = sim.billed
    assert set(bill.by_model) == {MODEL, "qwen-3.8-27b"}
    assert bill.by_model[MODEL].calls == 2
    for kind in ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "total_tokens"):  # fmt: skip
        told = sum(getattr(call, kind) for call in bill)
        assert getattr(bill.total, kind) == told
        assert sum(getattr(one, kind) for one in bill.by_model.values()) == told
    assert bill.total.calls == 3


def test_a_bill_stays_as_it_is(sim):
    ask(sim)
    before = sim.billed
    ask(sim)
    assert (len(before), len(sim.billed)) == (1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before[0].prompt_tokens = 0
    assert sim.billed.call(2).number == 2
    assert sim.billed.call(7) is None
    assert Bill() == ()


# ---------------------------------------------------------------------- nothing is billed


@pytest.mark.parametrize(
    "prepare",
    [
        lambda sim: sim.fail_next(400),
        lambda sim: sim.fail_next(401),
        lambda sim: sim.fail_next(code="queue_exceeded"),
        lambda sim: sim.fail_next(500),
        lambda sim: sim.fail_next(503, fault="cut_body"),
        lambda sim: sim.fail_next(fault="html"),
        lambda sim: sim.fail_next(fault="redirect"),
        lambda sim: sim.fail_next(fault="error_in_200"),
        lambda sim: sim.fail_next(fault="not_json"),
        lambda sim: sim.fail_next(fault="garbage"),
        lambda sim: sim.fail_next(fault="close_before_headers", billed=False),
        lambda sim: sim.fail_next(fault="reset_before_headers", billed=False),
        lambda sim: sim.fail_next(fault="cut_headers", billed=False),
        lambda sim: sim.reply_raw("data: x\n\n"),
    ],
    ids=range(14),
)
def test_what_was_not_generated_costs_nothing(sim, prepare):
    prepare(sim)
    ask(sim)
    assert sim.wait_idle()
    assert sim.billed == ()
    assert ask(sim).status == 200
    assert len(sim.billed) == 1


def test_what_the_service_refuses_costs_nothing():
    with Simulator(rates=Rates(1, 100, 100_000, 100_000)) as sim:
        assert ask(sim, temperature=9).status == 400
        assert ask(sim, model="nope").status == 404
        assert sim.billed == ()
        assert [ask(sim).status, ask(sim).status] == [200, 429]
        assert [call.number for call in sim.billed] == [3]


def test_a_stall_that_never_reached_the_service_costs_nothing(sim):
    sim.fail_next(fault="stall_before_headers", billed=False)
    assert ask(sim, quiet_s=0.1).ending == "stalled"
    assert sim.wait_idle()
    assert sim.billed == ()


# ------------------------------------------------------------------ broken on the way


@pytest.mark.parametrize(
    "name",
    [
        "close_before_headers",
        "reset_before_headers",
        "cut_headers",
        "cut_body",
        "reset_in_body",
        "empty_body",
        "half_json",
        "no_choices",
        "null_message",
    ],
)
def test_a_plain_answer_that_breaks_is_billed_whole(sim, name):
    sim.reply(WORDS, times=None)
    whole = usage_of(ask(sim))
    sim.fail_next(fault=name)
    ask(sim)
    assert sim.wait_idle()
    call = sim.billed[1]
    assert is_told(call, {**whole, "prompt_tokens_details": {"cached_tokens": 0}})
    assert (call.delivered, call.fault) == (False, name)


@pytest.mark.parametrize(
    ("name", "more"),
    [("wrong_content_type", {}), ("drip_headers", {"pause_s": 0.0001})],
)
def test_an_answer_that_came_whole_is_told_as_delivered(sim, name, more):
    sim.fail_next(fault=name, **more)
    ask(sim)
    call = sim.billed[0]
    assert (call.delivered, call.fault) == (True, name)


@pytest.mark.parametrize("name", ["html", "garbage", "error_in_200"])
def test_what_stands_in_place_of_an_answer_may_be_billed(sim, name):
    sim.reply(WORDS)
    sim.fail_next(fault=name, billed=True)
    ask(sim)
    assert sim.wait_idle()
    call = sim.billed[0]
    assert (call.completion_tokens, call.delivered) == (8, False)
    assert call.fault == name
    assert sim.pending_replies == 0


@pytest.mark.parametrize(
    "name", ["cut_stream", "reset_stream", "error_event", "end_early"]
)
@pytest.mark.parametrize(("events", "tokens"), [(0, 0), (1, 0), (2, 1), (5, 4)])
def test_a_stream_that_ends_early_costs_what_was_sent(sim, name, events, tokens):
    sim.reply(WORDS)
    sim.fail_next(fault=name, after_events=events)
    ask(sim, stream=True)
    assert sim.wait_idle()
    call = sim.billed[0]
    # The first event is the role; each other one is a token.
    assert call.completion_tokens == tokens
    assert call.prompt_tokens > 0
    assert (call.delivered, call.fault) == (False, name)


@pytest.mark.parametrize("name", ["no_finish_reason", "malformed_event"])
def test_a_stream_whose_tokens_all_came_costs_all(sim, name):
    sim.reply(WORDS)
    sim.fail_next(fault=name)
    ask(sim, stream=True)
    call = sim.billed[0]
    assert (call.completion_tokens, call.delivered) == (8, False)


def test_before_the_first_token_a_stream_costs_its_prompt(sim):
    sim.fail_next(fault="close_before_headers")
    ask(sim, stream=True)
    assert sim.wait_idle()
    call = sim.billed[0]
    assert (call.completion_tokens, call.reasoning_tokens) == (0, 0)
    assert call.prompt_tokens == sim.billed.total.total_tokens > 0


def test_reasoning_is_part_of_what_a_broken_stream_costs(sim):
    sim.reply(WORDS, reasoning="a b c", times=None)
    for events, reasoning, completion in ((1, 0, 0), (3, 2, 2), (4, 3, 3), (6, 3, 5)):
        sim.fail_next(fault="cut_stream", after_events=events)
        ask(sim, stream=True)
        assert sim.wait_idle()
        call = sim.billed[-1]
        assert (call.reasoning_tokens, call.completion_tokens) == (
            reasoning,
            completion,
        )


def test_hidden_reasoning_was_generated_before_the_first_word(sim):
    sim.reply(WORDS, reasoning="a b c", times=None)
    for events, reasoning, completion in ((1, 0, 0), (2, 3, 4), (4, 3, 6)):
        sim.fail_next(fault="cut_stream", after_events=events)
        ask(sim, stream=True, reasoning_format="hidden")
        assert sim.wait_idle()
        call = sim.billed[-1]
        assert (call.reasoning_tokens, call.completion_tokens) == (
            reasoning,
            completion,
        )


def test_reasoning_inside_the_text_comes_first(sim):
    sim.reply(WORDS, reasoning="a b c", times=None)
    for events, reasoning, completion in ((3, 2, 2), (7, 3, 6)):
        sim.fail_next(fault="cut_stream", after_events=events)
        ask(sim, stream=True, reasoning_format="raw")
        assert sim.wait_idle()
        call = sim.billed[-1]
        assert (call.reasoning_tokens, call.completion_tokens) == (
            reasoning,
            completion,
        )


def test_a_cut_of_a_reply_is_billed_like_a_fault(sim):
    sim.reply(WORDS, cut_after=3)
    sim.reply(WORDS, cut_after=3)
    ask(sim, stream=True)
    ask(sim)
    assert sim.wait_idle()
    assert [call.completion_tokens for call in sim.billed] == [2, 8]
    assert [call.fault for call in sim.billed] == ["cut_stream", "cut_body"]


# ---------------------------------------------------------------------- the client leaves


def test_a_client_that_leaves_a_stream_pays_for_what_was_sent(sim):
    sim.reply(WORDS * 200, event_delay_s=0.005)
    with RawClient(sim.port) as client:
        client.send(stream=True)
        assert eventually(lambda: sim.requests and sim.requests[0].events_sent > 3)
        # A stream under way counts as far as it is.
        running = sim.billed[0]
        assert not running.delivered
        assert 0 < running.completion_tokens < 1_000
    assert sim.wait_idle()
    call = sim.billed[0]
    record = sim.requests[0]
    assert record.was_cancelled
    assert call.completion_tokens == record.events_sent - 1 < 1_000
    assert (call.delivered, call.fault) == (False, "client_gone")


def test_a_client_that_leaves_a_plain_answer_pays_for_all_of_it(sim):
    sim.reply(WORDS, delay_s=60)
    with RawClient(sim.port) as client:
        client.send()
        assert eventually(lambda: len(sim.billed) == 1)
    assert sim.wait_idle()
    call = sim.billed[0]
    assert (call.completion_tokens, call.delivered) == (8, False)
    assert call.fault == "client_gone"


def test_waiting_for_idleness_gives_up_in_time(sim):
    sim.reply(WORDS, delay_s=60)
    with RawClient(sim.port) as client:
        client.send()
        assert eventually(lambda: bool(sim.requests))
        assert sim.wait_idle(0.01) is False
    assert sim.wait_idle() is True


# ------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("prepare", "streamed"),
    [
        (lambda sim: None, False),
        (lambda sim: None, True),
        (lambda sim: sim.fail_next(fault="cut_stream", after_events=4), True),
        (lambda sim: sim.fail_next(fault="close_before_headers"), True),
        (lambda sim: sim.fail_next(fault="cut_body"), False),
        (lambda sim: sim.fail_next(fault="html"), False),
    ],
    ids=["plain", "stream", "cut stream", "closed", "cut body", "page"],
)
def test_the_limiter_is_settled_with_what_is_billed(prepare, streamed):
    capacity = 1_000_000
    rates = Rates(100, 10_000, capacity, capacity)
    with Simulator(rates=rates, clock=StandingClock(), tokens_per_chunk=1) as sim:
        sim.reply(WORDS, times=None)
        prepare(sim)
        ask(sim, stream=streamed)
        assert sim.wait_idle()
        left = int(ask(sim).headers[REMAINING])
        assert capacity - left == sim.billed.total.total_tokens


# --------------------------------------------------------------------------- bookkeeping


def test_reset_clears_the_bill_even_of_what_is_under_way(sim):
    sim.reply(WORDS, delay_s=60)
    with RawClient(sim.port) as client:
        client.send()
        assert eventually(lambda: len(sim.billed) == 1)
        sim.reset()
        assert sim.billed == ()
    assert sim.wait_idle()
    assert sim.billed == ()
    ask(sim)
    assert [call.number for call in sim.billed] == [1]
    assert [one.number for one in sim.requests] == [1]


@pytest.mark.parametrize("keep", [0, 5])
def test_old_requests_are_let_go_and_the_sum_stays(keep):
    with Simulator(keep_requests=keep) as sim, RawClient(sim.port) as client:
        each = None
        for count in range(1, 251):
            assert client.ask().status == 200
            each = each or sim.billed.total.total_tokens
            assert len(sim.requests) == len(sim.billed) == min(keep, count)
        assert len(sim.engine.requests) <= 2 * keep + 100
        assert sim.wait_idle()
        bill = sim.billed
        assert bill.total.calls == 250
        assert (
            bill.total.total_tokens == 250 * each == bill.by_model[MODEL].total_tokens
        )
        numbers = list(range(251 - keep, 251))
        assert [one.number for one in sim.requests] == numbers
        assert [call.number for call in bill] == numbers
        assert len(sim.chat_requests) == keep


def test_all_requests_are_kept_unless_told(sim):
    with RawClient(sim.port) as client:
        for _ in range(150):
            client.ask()
    assert len(sim.requests) == len(sim.billed) == 150


def test_a_wrong_number_to_keep_is_refused():
    with pytest.raises(CerebrasError, match="keep_requests=-1 is not valid"):
        Simulator(keep_requests=-1)


def test_lines_of_a_batch_are_billed(sim):
    import httpx

    row = {"method": "POST", "url": CHAT, "body": {"model": MODEL, "messages": [{"role": "user", "content": "Say 'hi'"}]}}  # fmt: skip
    data = "\n".join(json.dumps({"custom_id": f"r{n}", **row}) for n in range(10))
    with httpx.Client(base_url=sim.root_url) as client:
        file = client.post(
            "/v1/files",
            files={"file": ("in.jsonl", data.encode())},
            data={"purpose": "batch"},
        ).json()
        made = client.post(
            "/v1/batches",
            json={
                "input_file_id": file["id"],
                "endpoint": CHAT,
                "completion_window": "24h",
            },
        ).json()
        assert eventually(
            lambda: (
                client.get(f"/v1/batches/{made['id']}").json()["status"] == "completed"
            )
        )
    assert sim.billed.total.calls == 10
    assert {(call.number, call.delivered) for call in sim.billed} == {(None, True)}


def test_the_bill_is_read_while_it_is_written(sim):
    sim.reply(WORDS, times=None)
    done = threading.Event()
    sums = []

    def read():
        while not done.is_set():
            bill = sim.billed
            assert bill.total.calls == len(bill)
            sums.append(bill.total.total_tokens)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        workers = [
            threading.Thread(target=lambda: [ask(sim, stream=True) for _ in range(20)])
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
    finally:
        done.set()
        reader.join(10)
    assert sums == sorted(sums)
    assert sim.wait_idle()
    assert len(sim.billed) == 80
    assert len({call.id for call in sim.billed}) == 80


def test_a_call_that_is_not_in_the_book_is_not_closed():
    book = BillBook()
    book.close(None)
    assert book.bill() == ()


def test_totals_add_up():
    call = BilledCall(1, "id", "m", 10, 4, 6, 2, streamed=False, delivered=True)
    total = TokenTotal().plus(call).plus(TokenTotal(2, 1, 1, 1, 1))
    assert total == TokenTotal(3, 11, 5, 7, 3)
    assert total.total_tokens == 18


# --------------------------------------------------------------------------------- soak


def test_every_call_ends_in_an_answer_or_an_error_and_the_bill_is_right(sim):
    """A small soak: what the model recorded is what the service counted."""
    sim.reply(WORDS, times=None)
    sim.fail_randomly(0.2, seed=11)
    answers, errors = {}, []

    async def work(model, number):
        try:
            if number % 2:
                message = await model.ainvoke("Hi")
            else:
                message = None
                async for chunk in model.astream("Hi"):
                    message = chunk if message is None else message + chunk
            answers[message.response_metadata["id"]] = message.usage_metadata
        except CerebrasError as error:
            errors.append(error)

    async def run():
        limit = asyncio.Semaphore(25)

        async def limited(model, number):
            async with limit:
                await work(model, number)

        async with ChatCerebras(
            base_url=sim.base_url, api_key="csk-x", max_retries=0
        ) as model:
            await asyncio.gather(*(limited(model, n) for n in range(200)))

    asyncio.run(run())
    assert sim.wait_idle()
    assert len(answers) + len(errors) == 200
    assert 20 < len(errors) < 60
    billed = {call.id: call for call in sim.billed}
    for id_, usage in answers.items():
        assert billed[id_].prompt_tokens == usage["input_tokens"]
        assert billed[id_].completion_tokens == usage["output_tokens"]
    for id_, call in billed.items():
        assert call.delivered == (id_ in answers) or call.fault == "wrong_content_type"


def test_ten_thousand_small_calls_would_take_seconds():
    """A tenth of them here; the bound is generous, for machines that are busy."""
    with Simulator(keep_requests=10) as sim:
        sim.reply("Hello!", times=None)
        started = time.monotonic()

        def work():
            with RawClient(sim.port) as client:
                for _ in range(20):
                    assert client.ask().status == 200

        threads = [threading.Thread(target=work) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert time.monotonic() - started < 30
        assert sim.billed.total.calls == 1_000
