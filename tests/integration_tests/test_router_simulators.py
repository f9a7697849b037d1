"""A router over two simulators with different faults: no splice, no lost cost."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
import router_legs
from call_paths import BETA, acall, call
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from router_legs import each_kind, ours, router_of

from langchain_cerebras_ext import Budget, CostTracker, track_costs
from langchain_cerebras_ext.errors import (
    AllLegsFailedError,
    CerebrasError,
    CerebrasTimeoutError,
)
from langchain_cerebras_ext.routing.breaker import CircuitBreaker
from langchain_cerebras_ext.routing.router import ChatRouter
from langchain_cerebras_ext.simulator import Simulator

pytestmark = BETA
_running, sims = router_legs.running, router_legs.sims

FIRST = ["One ", "two ", "three ", "four ", "five."]
SECOND = ["Ten ", "nine ", "eight ", "seven ", "six."]
STREAMS = ["stream", "astream", "v3", "av3"]
WAYS = ["invoke", "ainvoke", *STREAMS]


def text(message):
    return str(message.text)


# ------------------------------------------------------------- broken at every boundary


def _streamed(way, router):
    """Return what was heard of a stream, in order, and the error, if it ended in one."""
    heard = []

    async def read():
        async for chunk in router.astream("hi"):
            heard.append(chunk)

    async def read_v3():
        stream = await router.astream_events("hi", version="v3")
        heard.append(await stream)

    try:
        if way == "astream":
            asyncio.run(read())
        elif way == "av3":
            asyncio.run(read_v3())
        elif way == "v3":
            heard.append(router.stream_events("hi", version="v3").output)
        else:
            for chunk in router.stream("hi"):
                heard.append(chunk)
    except Exception as error:
        return heard, error
    return heard, None


def _sum(heard):
    if not heard or not isinstance(heard[0], AIMessageChunk):
        return heard[0] if heard else None
    first, *rest = heard
    return sum(rest, first)


def _script(sims):
    sims[0].reply("".join(FIRST), chunks=FIRST, times=None)
    sims[1].reply("".join(SECOND), chunks=SECOND, times=None)


# The simulator's stream: a role, five texts, a finish, usage, [DONE].
BOUNDARIES = range(10)


@each_kind
@pytest.mark.parametrize("option", ["raise", "restart", "buffer"])
@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("fault", ["cut_stream", "error_event"])
def test_no_splice_wherever_a_stream_breaks(sims, kind, option, way, fault):
    """What is heard is one leg's whole answer, or an error comes."""
    router = router_of(sims, kind, on_midstream=option)
    seen = set()
    for boundary in BOUNDARIES:
        for sim in sims:
            sim.reset()
        _script(sims)
        how = {"fault": fault} if fault == "cut_stream" else {"status": 503}
        sims[0].fail_next(after_events=boundary, **how)
        heard, error = _streamed(way, router)
        message = _sum(heard)
        if error is None:
            assert text(message) in {"".join(FIRST), "".join(SECOND)}, boundary
            served = message.response_metadata["router"]["leg"]
            assert (served == "a") is (text(message) == "".join(FIRST))
            assert message.usage_metadata["output_tokens"] > 0
            seen.add(served)
        else:
            assert option != "buffer", (boundary, error)
            assert isinstance(error, CerebrasError)
            partial = text(error.partial_message) if error.partial_message else ""
            assert "".join(FIRST).startswith(partial)
            if message is not None and way in {"stream", "astream"}:
                assert "".join(FIRST).startswith(text(message))
            seen.add("error")
    can_restart = option == "restart" and way in {"stream", "astream"}
    assert ("error" in seen) is not (can_restart or option == "buffer")
    assert "b" in seen


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_no_tool_call_is_ever_made_of_two(sims, way):
    """Cut inside the arguments: the second leg's call, whole, or an error."""
    router = router_of(sims, on_midstream="restart").bind_tools([weather])
    for boundary in range(8):
        for sim, city in zip(sims, ("Paris", "Oslo"), strict=True):
            sim.reset()
            sim.reply_with_tool(
                "weather", {"city": city, "day": "tomorrow"}, times=None
            )
        sims[0].fail_next(fault="cut_stream", after_events=boundary)
        heard, error = _streamed(way, router)
        message = _sum(heard)
        if error is None:
            (one,) = message.tool_calls
            assert one["args"]["city"] in {"Paris", "Oslo"}
            assert message.invalid_tool_calls == []
            continue
        assert sims[1].chat_requests == [], "the other leg was not even asked"
        assert message.tool_call_chunks or message.tool_calls


def weather(city: str, day: str = "today") -> str:
    """Tell the weather of a city."""
    return f"Sunny in {city} {day}."


def test_a_chain_never_joins_two_texts(sims):
    chain = router_of(sims, on_midstream="restart") | StrOutputParser()
    for boundary in BOUNDARIES:
        for sim in sims:
            sim.reset()
        _script(sims)
        sims[0].fail_next(fault="cut_stream", after_events=boundary)
        heard, error = [], None
        try:
            for piece in chain.stream("hi"):
                heard.append(piece)
        except CerebrasError as raised:
            error = raised
        said = "".join(heard)
        assert said in {"".join(FIRST), "".join(SECOND)} or (
            error is not None and "".join(FIRST).startswith(said)
        )


# -------------------------------------------------------------------- kinds of failures

FAULTS = [
    ("429", {"status": 429}, "rate_limit"),
    ("500", {"status": 500}, "server"),
    ("503", {"status": 503}, "server"),
    ("404", {"status": 404}, "not_served"),
    ("400", {"status": 400}, None),
    ("401", {"status": 401}, None),
    ("403", {"status": 403}, None),
    ("422", {"status": 422}, None),
    ("reset", {"fault": "reset_before_headers"}, "network"),
    ("close", {"fault": "close_before_headers"}, "network"),
]


@each_kind
@pytest.mark.parametrize("way", WAYS)
def test_each_failure_of_a_real_server_moves_on_or_is_raised(sims, kind, way):
    router = router_of(sims, kind)
    for name, fault, moves_on in FAULTS:
        for sim in sims:
            sim.reset()
        _script(sims)
        sims[0].fail_next(times=None, **fault)
        if moves_on is None:
            with pytest.raises(Exception) as raised:
                call(way, router)
            assert not isinstance(raised.value, AllLegsFailedError), name
            assert sims[1].chat_requests == [], name
            continue
        message = call(way, router)
        assert text(message) == "".join(SECOND), name
        first = message.response_metadata["router"]["attempts"][0]
        assert (first["leg"], first["outcome"]) == ("a", "failed"), name
        assert first["reason"] == moves_on, name


def test_a_retired_model_is_not_the_end(sims):
    legs = {"old": ours(sims[0], model="llama-3.3-70b"), "new": ours(sims[1])}
    message = ChatRouter(legs=legs).invoke("hi")
    said = message.response_metadata["router"]
    assert said["leg"] == "new"
    assert said["attempts"][0]["reason"] == "not_served"


def test_a_spent_day_is_not_the_end(sims):
    sims[0].fail_next(
        429,
        {
            "message": "Requests per day limit exceeded",
            "code": "request_quota_exceeded",
        },
        times=None,
    )
    said = router_of(sims).invoke("hi").response_metadata["router"]
    assert said["attempts"][0]["reason"] in {"quota", "rate_limit"}
    assert said["leg"] == "b"


def test_each_legs_own_retries_come_first(sims):
    legs = {"a": ours(sims[0], max_retries=1), "b": ours(sims[1])}
    sims[0].fail_next(503, headers={"retry-after": "0"})
    said = ChatRouter(legs=legs).invoke("hi").response_metadata["router"]
    assert [one["leg"] for one in said["attempts"]] == ["a"]
    assert len(sims[0].chat_requests) == 2


# -------------------------------------------------------------------------------- times


@pytest.mark.parametrize("way", WAYS)
def test_nothing_hangs_past_the_total_deadline(sims, way):
    sims[0].fail_next(fault="stall_before_headers", pause_s=20, times=None)
    router = router_of(sims, total_timeout=0.3)
    began = time.monotonic()
    with pytest.raises(CerebrasTimeoutError) as raised:
        call(way, router)
    assert raised.value.kind == "total"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("way", WAYS)
def test_a_hedge_answers_where_the_first_leg_is_silent(sims, way):
    _script(sims)
    with track_costs() as costs, _silent_until_left(sims[0]):
        message = call(way, router_of(sims, hedge_after_s=0.05))
    assert text(message) == "".join(SECOND)
    outcomes = [
        (one["leg"], one["outcome"])
        for one in message.response_metadata["router"]["attempts"]
    ]
    assert outcomes == [("a", "hedged"), ("b", "ok")]
    # A thread's loser is told when it ends; a task's has been cancelled.
    _wait_for(lambda: len(costs.records) == 2)
    assert max(one.outcome for one in costs.records) == "ok"
    assert [one.cost is not None for one in costs.records] == [True, True]


@contextlib.contextmanager
def _silent_until_left(sim):
    """Let a simulator come to its answer only when the block is over."""
    over = threading.Event()

    def late(body):
        assert over.wait(60)
        return "".join(FIRST)

    sim.reset()
    sim.reply(late, chunks=FIRST)
    try:
        yield
    finally:
        over.set()


def _wait_for(condition, most_s=15.0):
    end = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_losers_stream_is_closed(way):
    """The first leg's first token comes late, when the other has won already."""
    with Simulator() as slow, Simulator() as quick:
        _script((slow, quick))
        with _silent_until_left(slow):
            call(way, router_of((slow, quick), hedge_after_s=0.05))
        assert slow.wait_idle(10)


# -------------------------------------------------------------------------------- costs


def _arms(records):
    return [(one.outcome, one.arm) for one in records]


class _Arm:
    name = "fixed"

    def order(self, legs, asked):
        from langchain_cerebras_ext.routing._leg import Order

        return Order(legs, arm="control", experiment="e1")

    def observe(self, seen):
        pass


HOW = {
    "handler of the call": lambda tracker: ({}, {"callbacks": [tracker]}),
    "handler of the router": lambda tracker: ({"callbacks": [tracker]}, {}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", list(HOW.values()), ids=list(HOW))
def test_each_try_has_one_record_with_its_arm(sims, way, how):
    sims[0].fail_next(503)
    tracker = CostTracker()
    of_router, config = how(tracker)
    router = router_of(sims, strategy=_Arm(), **of_router)
    call(way, router, config=config)
    # A 503 may have been billed: it is counted as an estimate.
    assert _arms(tracker.records) == [("failed", "control"), ("ok", "control")]
    assert len({one.run_id for one in tracker.records}) == 2
    assert len({one.trace_id for one in tracker.records}) == 1
    ok = tracker.records[1]
    assert (ok.input_tokens, ok.output_tokens) == (
        sims[1].billed.total.prompt_tokens,
        sims[1].billed.total.completion_tokens,
    )


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_counted_twice(sims, way):
    outer = CostTracker()
    router = router_of(sims, callbacks=[outer])
    with track_costs() as inner:
        call(way, router, config={"callbacks": [outer]})
    assert len(outer.records) == 1
    assert len(inner.records) == 1
    assert inner.records[0].output_tokens == sims[0].billed.total.completion_tokens


def test_a_budget_of_one_legs_price_moves_on_to_a_cheaper_one(sims):
    dear = ours(sims[0], callbacks=[CostTracker(budgets=Budget("0.00000001"))])
    router = ChatRouter(legs={"dear": dear, "cheap": ours(sims[1])})
    said = router.invoke("hi").response_metadata["router"]
    assert said["leg"] == "cheap"
    assert said["attempts"][0]["reason"] == "budget"
    assert sims[0].chat_requests == []


# ----------------------------------------------------------------------- agents, chains


class Report(BaseModel):
    """A report."""

    city: str
    summary: str


@pytest.mark.parametrize("down", [None, 0], ids=["all up", "first down"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_agent_works_on_a_router(sims, down, is_async):
    if down is not None:
        sims[down].fail_next(503, times=None)
    for sim in sims:
        sim.reply_with_tool("weather", {"city": "Paris"})
        sim.reply("It is sunny in Paris.")
    agent = create_agent(router_of(sims), tools=[weather])
    given = {"messages": [("user", "How is the weather in Paris?")]}
    if is_async:
        state = asyncio.run(agent.ainvoke(given))
    else:
        state = agent.invoke(given)
    *_, asked, result, last = state["messages"]
    assert asked.tool_calls[0]["args"] == {"city": "Paris"}
    assert result.content == "Sunny in Paris today."
    assert text(last) == "It is sunny in Paris."
    served = "a" if down is None else "b"
    assert last.response_metadata["router"]["leg"] == served


@pytest.mark.parametrize("down", [None, 0], ids=["all up", "first down"])
def test_an_agent_with_a_response_format_works_on_a_router(sims, down):
    if down is not None:
        sims[down].fail_next(503, times=None)
    agent = create_agent(router_of(sims), tools=[], response_format=Report)
    state = agent.invoke({"messages": [("user", "Report on Paris.")]})
    assert isinstance(state["structured_response"], Report)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("include_raw", [False, True], ids=["parsed", "raw"])
def test_structure_is_routed(sims, method, include_raw):
    sims[0].fail_next(503, times=None)
    if method == "json_mode":
        sims[1].reply('{"city": "Paris", "summary": "sunny"}', times=None)
    router = router_of(sims)
    chain = router.with_structured_output(
        Report, method=method, include_raw=include_raw
    )
    for answer in (chain.invoke("json"), asyncio.run(chain.ainvoke("json"))):
        if include_raw:
            assert answer["raw"].response_metadata["router"]["leg"] == "b"
        parsed = answer["parsed"] if include_raw else answer
        assert isinstance(parsed, Report)


def test_chains_and_batches(sims):
    sims[0].fail_next(503, times=None)
    _script(sims)
    prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
    chain = prompt | router_of(sims) | StrOutputParser()
    assert chain.batch([{"question": "a"}, {"question": "b"}]) == ["".join(SECOND)] * 2
    assert "".join(chain.stream({"question": "a"})) == "".join(SECOND)


@pytest.mark.parametrize("mode", ["messages", "values"])
def test_a_graph_streams_the_leg_that_serves(sims, mode):
    sims[0].fail_next(503, times=None)
    _script(sims)
    router = router_of(sims)
    graph = StateGraph(MessagesState)
    graph.add_node(
        "model", lambda state: {"messages": [router.invoke(state["messages"])]}
    )
    graph.add_edge(START, "model")
    app = graph.compile()
    parts = list(app.stream({"messages": [("user", "hi")]}, stream_mode=mode))
    if mode == "values":
        assert text(parts[-1]["messages"][-1]) == "".join(SECOND)
        return
    assert "".join(text(chunk) for chunk, _ in parts) == "".join(SECOND)
    assert {metadata["router_leg"] for _, metadata in parts} == {"b"}


class _Tokens(BaseCallbackHandler):
    run_inline = True

    def __init__(self):
        self.tokens = []

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)


@pytest.mark.parametrize("way", WAYS)
def test_handlers_hear_the_tokens_of_the_leg_that_serves(sims, way):
    sims[0].fail_next(503, times=None)
    _script(sims)
    handler = _Tokens()
    router = router_of(sims, streaming=True)
    call(way, router, config={"callbacks": [handler]})
    assert "".join(map(str, handler.tokens)) == "".join(SECOND)


def test_a_breaker_spares_a_leg_that_is_down(sims):
    sims[0].fail_next(503, times=None)
    router = router_of(sims, breaker=CircuitBreaker())
    for _ in range(60):
        router.invoke("hi")
    asked = len(sims[0].chat_requests)
    assert asked < 60
    assert router.health()["a"]["state"] == "open"
    assert router.health()["b"]["state"] == "closed"


async def test_many_calls_at_once_while_one_leg_is_down(sims):
    sims[0].fail_next(503, times=None)
    _script(sims)
    router = router_of(sims)
    answers = await asyncio.gather(*(acall("astream", router) for _ in range(100)))
    assert {text(one) for one in answers} == {"".join(SECOND)}
