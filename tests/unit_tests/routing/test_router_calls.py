"""Calls of a router on every path, over legs that do what the test says."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from call_paths import BETA, call
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from scripted_model import ScriptedModel, Step

from langchain_cerebras_ext import errors
from langchain_cerebras_ext.errors import (
    AllLegsFailedError,
    CerebrasTimeoutError,
    NoLegError,
    StreamInterruptedError,
)
from langchain_cerebras_ext.routing import _race, _routed, _trip
from langchain_cerebras_ext.routing._leg import Order, Refusal
from langchain_cerebras_ext.routing._plan import Give
from langchain_cerebras_ext.routing.router import ChatRouter

pytestmark = BETA

SECOND = "And the second says so"


def busy():
    return errors.RateLimitError("busy", status_code=429)


def wrong():
    return errors.BadRequestError("wrong", status_code=400)


def legs(first, second=None, **more):
    """Return two legs with their scripts."""
    return {
        "a": ScriptedModel(label="a", script=first, **more),
        "b": ScriptedModel(label="b", script=second or [Step(SECOND)], **more),
    }


def text(message):
    return str(message.text)


def when_over(router, *events):
    """Let the router's time be up as soon as all the events have come, not before."""

    def clock():
        return 1_000.0 if all(event.is_set() for event in events) else 0.0

    router._route = replace(router._route, clock=clock)


def tells_when_called(monkeypatch, owner, name, event, is_it=lambda told: True):
    """Set the event after a call of a function that has returned what is looked for."""
    real = getattr(owner, name)

    def told(*args):
        found = real(*args)
        if is_it(found):
            event.set()
        return found

    monkeypatch.setattr(owner, name, told)


# ---------------------------------------------------------------- one call on each path


def _batch(router):
    return router.batch(["hi"])[0]


def _abatch(router):
    return asyncio.run(router.abatch(["hi"]))[0]


def _generate(router):
    return router.generate([[HumanMessage("hi")]]).generations[0][0].message


def _agenerate(router):
    result = asyncio.run(router.agenerate([[HumanMessage("hi")]]))
    return result.generations[0][0].message


def _inner(router):
    return router._generate([HumanMessage("hi")]).generations[0].message


def _ainner(router):
    result = asyncio.run(router._agenerate([HumanMessage("hi")]))
    return result.generations[0].message


def _inner_stream(router):
    first, *rest = router._stream([HumanMessage("hi")])
    return sum(rest, first).message


def _transform(router):
    chain = RunnableLambda(lambda text: [HumanMessage(text)]) | router
    first, *rest = chain.stream("hi")
    return sum(rest, first)


def _atransform(router):
    async def run():
        chain = RunnableLambda(lambda text: [HumanMessage(text)]) | router
        return [chunk async for chunk in chain.astream("hi")]

    first, *rest = asyncio.run(run())
    return sum(rest, first)


def _retried(router):
    return router.with_retry(stop_after_attempt=1).invoke("hi")


def _configured(router):
    return router.with_config(tags=["t"]).bind(stop=["x"]).invoke("hi")


PATHS = {
    **{
        name: lambda router, name=name: call(name, router)
        for name in ("invoke", "ainvoke", "stream", "astream", "v3", "av3")
    },
    "batch": _batch,
    "abatch": _abatch,
    "generate": _generate,
    "agenerate": _agenerate,
    "_generate": _inner,
    "_agenerate": _ainner,
    "_stream": _inner_stream,
    "transform": _transform,
    "atransform": _atransform,
    "with_retry": _retried,
    "with_config": _configured,
}
each_path = pytest.mark.parametrize("path", list(PATHS.values()), ids=list(PATHS))
STREAMS = ["stream", "astream", "v3", "av3"]
each_way = pytest.mark.parametrize("way", ["invoke", "ainvoke", *STREAMS])


@each_path
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
def test_the_next_leg_answers_where_the_first_is_busy(path, raced):
    router = ChatRouter(legs=legs([busy()]), **raced)
    message = path(router)
    assert text(message) == SECOND
    said = message.response_metadata["router"]
    assert said["leg"] == "b"
    assert said["strategy"] == "ordered"
    assert [(one["leg"], one["outcome"]) for one in said["attempts"]] == [
        ("a", "failed"),
        ("b", "ok"),
    ]
    assert said["attempts"][0]["reason"] == "rate_limit"
    assert said["attempts"][0]["error_type"] == "RateLimitError"
    assert said["attempts"][0]["status_code"] == 429
    assert message.usage_metadata["total_tokens"] == 7
    assert message.response_metadata["finish_reason"] == "stop"


@each_path
def test_the_first_leg_answers_if_it_can(path):
    models = legs([Step()])
    message = path(ChatRouter(legs=models))
    assert text(message) == Step().text
    assert message.response_metadata["router"]["leg"] == "a"
    assert models["b"].seen.calls == []


@each_path
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
def test_the_callers_mistake_is_raised_at_once(path, raced):
    models = legs([wrong()])
    with pytest.raises(errors.BadRequestError, match="wrong"):
        path(ChatRouter(legs=models, **raced))
    assert models["b"].seen.calls == []


@each_path
def test_when_all_fail_the_error_says_how(path):
    second = ConnectionError("gone")
    with pytest.raises(
        AllLegsFailedError, match=r"a: RateLimitError 429.*b: Conn"
    ) as e:
        path(ChatRouter(legs=legs([busy()], [second])))
    assert e.value.__cause__ is second
    assert [one.leg for one in e.value.legs] == ["a", "b"]
    assert [type(one).__name__ for one in e.value.errors] == [
        "RateLimitError",
        "ConnectionError",
    ]


@each_way
def test_arguments_and_stops_reach_the_leg(way):
    models = legs([busy()])
    call(way, ChatRouter(legs=models), stop=["end"], temperature=0.5)
    for model in models.values():
        asked = model.seen.calls[0]
        assert asked["stop"] == ["end"]
        assert asked["temperature"] == 0.5


@each_way
def test_move_on_for_and_stop_for_change_the_policy(way):
    router = ChatRouter(legs=legs([wrong()]), move_on_for=[400])
    assert text(call(way, router)) == SECOND
    router = ChatRouter(legs=legs([busy()]), stop_for=[errors.RateLimitError])
    with pytest.raises(errors.RateLimitError):
        call(way, router)


def test_a_mistake_of_a_later_leg_says_what_was_tried_before():
    with pytest.raises(errors.BadRequestError) as e:
        ChatRouter(legs=legs([busy()], [wrong()])).invoke("hi")
    assert e.value.__notes__ == ["ChatRouter had tried: a: rate_limit; b: request."]


@pytest.mark.parametrize("way", ["invoke", "stream", "v3"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_is_never_routed_around(way, error):
    models = legs([error()])
    with pytest.raises(error):
        call(way, ChatRouter(legs=models))
    assert models["b"].seen.calls == []


# ----------------------------------------------------------------------- after a token

FAILURES = {
    "ours": lambda: StreamInterruptedError("broke off"),
    "foreign": lambda: ConnectionResetError("reset"),
}


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("after", [1, 2, 3, 4])
@pytest.mark.parametrize("failure", list(FAILURES))
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
def test_after_the_first_token_a_failure_is_raised_with_what_came(
    way, after, failure, raced
):
    models = legs([Step(fails=FAILURES[failure](), after=after)])
    with pytest.raises(StreamInterruptedError) as e:
        call(way, ChatRouter(legs=models, **raced))
    came = " ".join(Step().text.split()[:after])
    assert text(e.value.partial_message) == came
    assert models["b"].seen.calls == []
    if failure == "foreign":
        assert isinstance(e.value.__cause__, ConnectionResetError)


@each_way
def test_before_the_first_token_a_stream_moves_on(way):
    router = ChatRouter(legs=legs([Step(fails=busy(), after=0)]))
    assert text(call(way, router)) == SECOND


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_an_announcement_is_no_token(way):
    """OpenAI's first chunk has a role and no content; nothing is lost by moving on."""

    class Announcing(ScriptedModel):
        def _stream(self, *args, **kwargs):
            from langchain_core.outputs import ChatGenerationChunk

            yield ChatGenerationChunk(message=AIMessageChunk(content=""))
            raise busy()

        async def _astream(self, *args, **kwargs):
            for chunk in self._stream():
                yield chunk

    first = Announcing(label="a", script=[])
    second = ScriptedModel(label="b", script=[Step(SECOND)])
    assert text(call(way, ChatRouter(legs=[first, second]))) == SECOND


def test_a_programming_error_midstream_is_not_dressed_up():
    error = ValueError("oops")
    router = ChatRouter(legs=legs([Step(fails=error, after=2)]))
    with pytest.raises(ValueError, match="oops") as e:
        list(router.stream("hi"))
    assert e.value is error


# ------------------------------------------------------------------------------- restart


def _collect(way, router, config=None):
    """Return the chunks of a stream, and the error that ended it, if one did."""
    chunks = []

    async def run():
        async for chunk in router.astream("hi", config):
            chunks.append(chunk)

    try:
        if way == "astream":
            asyncio.run(run())
        else:
            for chunk in router.stream("hi", config):
                chunks.append(chunk)
    except Exception as error:
        return chunks, error
    return chunks, None


def _sum(chunks):
    first, *rest = chunks
    return sum(rest, first)


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
def test_a_restart_makes_the_sum_the_second_answer_alone(way, after, raced):
    router = ChatRouter(
        legs=legs([Step(fails=busy(), after=after)]), on_midstream="restart", **raced
    )
    chunks, error = _collect(way, router)
    assert error is None
    assert text(_sum(chunks)) == SECOND
    said = _sum(chunks).response_metadata["router"]
    assert said["restarted_from"] == "a"
    assert said["restarted_for"] == "rate_limit"
    assert said["leg"] == "b"
    marks = [
        place
        for place, chunk in enumerate(chunks)
        if "restarted_from" in chunk.response_metadata.get("router", {})
    ]
    assert marks == [after]
    assert "".join(text(one) for one in chunks[after:]) == SECOND


def test_a_restart_may_be_followed_by_another():
    models = {
        **legs(
            [Step(fails=busy(), after=2)], [Step("Once more", fails=busy(), after=1)]
        ),
        "c": ScriptedModel(label="c", script=[Step("Third time lucky")]),
    }
    chunks, error = _collect("stream", ChatRouter(legs=models, on_midstream="restart"))
    assert error is None
    assert text(_sum(chunks)) == "Third time lucky"
    assert _sum(chunks).usage_metadata["total_tokens"] == 7


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_there_is_no_restart_after_a_part_of_a_tool_call(way):
    models = legs([Step(tool="f", fails=busy(), after=1)])
    _, error = _collect(way, ChatRouter(legs=models, on_midstream="restart"))
    assert isinstance(error, errors.RateLimitError)
    assert error.partial_message is not None
    assert models["b"].seen.calls == []


def test_there_is_no_restart_after_the_callers_mistake():
    models = legs([Step(fails=wrong(), after=2)])
    _, error = _collect("stream", ChatRouter(legs=models, on_midstream="restart"))
    assert isinstance(error, errors.BadRequestError)
    assert models["b"].seen.calls == []


def test_after_a_restart_that_fails_too_the_error_has_what_had_come():
    models = legs([Step(fails=busy(), after=2)], [busy()])
    chunks, error = _collect("stream", ChatRouter(legs=models, on_midstream="restart"))
    assert isinstance(error, AllLegsFailedError)
    assert text(error.partial_message) == "Hello there"
    assert text(_sum(chunks)) == "Hello there"


CHAINS = {
    "parser": lambda router: router | StrOutputParser(),
    "lambda before": lambda router: RunnableLambda(lambda text: text) | router,
    "bound": lambda router: router.bind(stop=["x"]) | StrOutputParser(),
}


@pytest.mark.parametrize("chain", list(CHAINS))
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_inside_a_chain_nobody_could_be_told_of_a_restart(chain, way):
    """The parser's texts would be spliced; so it is raised."""
    models = legs([Step(fails=busy(), after=2)])
    router = CHAINS[chain](ChatRouter(legs=models, on_midstream="restart"))
    _, error = _collect(way, router)
    assert isinstance(error, errors.RateLimitError)
    assert models["b"].seen.calls == []


@pytest.mark.parametrize("way", ["v3", "av3"])
def test_in_v3_events_nobody_could_be_told_of_a_restart(way):
    models = legs([Step(fails=busy(), after=2)])
    with pytest.raises(errors.RateLimitError):
        call(way, ChatRouter(legs=models, on_midstream="restart"))
    assert models["b"].seen.calls == []


def test_bound_arguments_do_not_keep_a_stream_from_restarting():
    models = legs([Step(fails=busy(), after=2)])
    router = ChatRouter(legs=models, on_midstream="restart").bind(stop=["x"])
    chunks, error = _collect("stream", router)
    assert error is None
    assert text(_sum(chunks)) == SECOND


class _Events(BaseCallbackHandler):
    run_inline = True

    def __init__(self):
        self.custom = []
        self.runs = []

    def on_custom_event(self, name, data, *, run_id, **kwargs):
        self.custom.append((name, data, run_id))

    def on_chain_start(
        self, serialized, inputs, *, run_id, parent_run_id=None, **kwargs
    ):
        self.runs.append(("chain", kwargs.get("name"), run_id, parent_run_id, kwargs))

    def on_chain_end(self, outputs, *, run_id, **kwargs):
        self.runs.append(("chain end", outputs, run_id))

    def on_chain_error(self, error, *, run_id, **kwargs):
        self.runs.append(("chain error", error, run_id))

    def on_chat_model_start(self, serialized, messages, *, run_id, **kwargs):
        self.runs.append(("model", run_id, kwargs["parent_run_id"], kwargs["metadata"]))

    def on_llm_end(self, response, *, run_id, **kwargs):
        self.runs.append(("model end", run_id))

    def on_llm_error(self, error, *, run_id, **kwargs):
        self.runs.append(("model error", run_id))


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_handlers_are_told_of_a_restart(way):
    handler = _Events()
    router = ChatRouter(
        legs=legs([Step(fails=busy(), after=2)]), on_midstream="restart"
    )
    _collect(way, router, {"callbacks": [handler]})
    ((name, data, run_id),) = handler.custom
    assert (name, data) == ("router_restart", {"leg": "a", "reason": "rate_limit"})
    assert run_id == handler.runs[0][2]


# -------------------------------------------------------------------------------- buffer


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("after", [0, 1, 3, 4])
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
def test_what_is_held_back_until_it_is_whole_can_always_move_on(way, after, raced):
    router = ChatRouter(
        legs=legs([Step(fails=busy(), after=after)]), on_midstream="buffer", **raced
    )
    message = call(way, router)
    assert text(message) == SECOND
    assert message.response_metadata["router"]["leg"] == "b"


def test_buffered_tool_calls_and_chains_move_on_as_well():
    models = legs([Step(tool="f", fails=busy(), after=1)], [Step(tool="g")])
    router = ChatRouter(legs=models, on_midstream="buffer")
    first, *rest = router.stream("hi")
    assert [one["name"] for one in sum(rest, first).tool_calls] == ["g"]
    models = legs([Step(fails=busy(), after=2)])
    chain = ChatRouter(legs=models, on_midstream="buffer") | StrOutputParser()
    assert "".join(chain.stream("hi")) == SECOND


# ------------------------------------------------------------------------------- leaving


def test_who_leaves_a_stream_closes_the_legs_stream_at_once():
    models = legs([Step()])
    items = ChatRouter(legs=models).stream("hi")
    next(items)
    items.close()
    assert models["a"].seen.closed == 1
    assert models["b"].seen.calls == []


async def test_who_leaves_an_async_stream_closes_the_legs_stream_at_once():
    models = legs([Step()])
    items = ChatRouter(legs=models).astream("hi")
    await anext(items)
    await items.aclose()
    assert models["a"].seen.closed == 1


@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_a_cancelled_call_cancels_its_leg(way, raced):
    models = legs([Step(waits=threading.Event())])
    router = ChatRouter(legs=models, **raced)

    async def read():
        if way == "ainvoke":
            return await router.ainvoke("hi")
        return [chunk async for chunk in router.astream("hi")]

    task = asyncio.create_task(read())
    while not models["a"].seen.calls:  # noqa: ASYNC110 - it has no event to wait for
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert models["a"].seen.cancelled == 1
    assert models["b"].seen.calls == []


# ------------------------------------------------------------------------- total_timeout


@each_way
def test_nothing_hangs_past_the_total_deadline(way):
    never = threading.Event()
    models = legs([Step(waits=never)])
    try:
        with pytest.raises(CerebrasTimeoutError, match=r"total_timeout of 0.05 s") as e:
            call(way, ChatRouter(legs=models, total_timeout=0.05))
    finally:
        never.set()
    assert (e.value.kind, e.value.timeout_s) == ("total", 0.05)
    assert models["b"].seen.calls == []


@pytest.mark.parametrize("way", STREAMS)
def test_a_stream_that_stops_speaking_ends_at_the_deadline_with_what_came(
    way, monkeypatch
):
    never, begun, silent = (threading.Event() for _ in range(3))
    models = legs([Step(waits=never, after=2, reached=silent)])
    router = ChatRouter(legs=models, total_timeout=0.02)
    when_over(router, begun, silent)

    def flows(told):
        handed_on, step = told
        return handed_on and not isinstance(step, Give)

    tells_when_called(monkeypatch, _race, "_hear", begun, flows)
    try:
        with pytest.raises(CerebrasTimeoutError) as e:
            call(way, router)
    finally:
        never.set()
    assert text(e.value.partial_message) == "Hello there"


# ------------------------------------------------------------------------------- hedging


@each_way
def test_a_silent_leg_is_hedged_and_who_speaks_first_wins(way):
    never = threading.Event()
    models = legs([Step(waits=never)])
    try:
        message = call(way, ChatRouter(legs=models, hedge_after_s=0.02))
    finally:
        never.set()
    assert text(message) == SECOND
    said = message.response_metadata["router"]
    assert [(one["leg"], one["outcome"]) for one in said["attempts"]] == [
        ("a", "hedged"),
        ("b", "ok"),
    ]
    assert said["attempts"][0]["reason"] == "b was faster"
    if way.startswith("a"):
        assert models["a"].seen.cancelled == 1


@each_way
def test_a_leg_that_speaks_in_time_is_not_hedged(way):
    models = legs([Step()])
    message = call(way, ChatRouter(legs=models, hedge_after_s=20.0))
    assert text(message) == Step().text
    assert models["b"].seen.calls == []


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_an_invoke_that_has_begun_to_speak_is_not_hedged(way, monkeypatch):
    """The first token counts, and not the whole answer, which comes much later."""
    heard = threading.Event()
    models = legs([Step(waits=heard, after=2)])
    router = ChatRouter(legs=models, hedge_after_s=0.02)
    when_over(router, heard)
    tells_when_called(monkeypatch, _trip.Trip, "spoke", heard)
    assert text(call(way, router)) == Step().text
    assert models["b"].seen.calls == []


@each_way
def test_the_first_may_still_win_after_the_hedge_was_asked(way):
    first, never = threading.Event(), threading.Event()
    models = legs([Step(waits=first)], [Step(SECOND, waits=never)])

    class Waking(ScriptedModel):
        def _next(self, *args):
            first.set()
            return super()._next(*args)

    models["b"] = Waking(label="b", script=models["b"].script)
    try:
        message = call(way, ChatRouter(legs=models, hedge_after_s=0.02))
    finally:
        never.set()
    assert text(message) == Step().text
    outcomes = {
        one["leg"]: one["outcome"]
        for one in message.response_metadata["router"]["attempts"]
    }
    assert outcomes == {"a": "ok", "b": "hedged"}


@each_way
def test_a_leg_that_fails_is_followed_at_once_whatever_the_hedge(way):
    models = legs([busy()])
    message = call(way, ChatRouter(legs=models, hedge_after_s=20.0))
    assert text(message) == SECOND


# --------------------------------------------------------------------- breaker, strategy


class Gate:
    """A breaker that counts what it is told."""

    def __init__(self, shut=()):
        self.shut = set(shut)
        self.told = []

    def admit(self, leg):
        if leg in self.shut:
            return Refusal("circuit open", 3.0)
        self.told.append((leg, "admitted"))
        return _Ticket(self, leg)

    async def aadmit(self, leg):
        await asyncio.sleep(0)
        return self.admit(leg)

    def health(self, legs):
        return {
            leg: {"state": "open" if leg in self.shut else "closed"} for leg in legs
        }

    def of(self, leg):
        return [what for who, what in self.told if who == leg]


class _Ticket:
    def __init__(self, gate, leg):
        self.gate, self.leg = gate, leg

    def __getattr__(self, name):
        return lambda *args: self.gate.told.append((self.leg, name))


@each_way
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
def test_a_breaker_is_told_once_how_each_try_ended(way, raced):
    gate = Gate()
    router = ChatRouter(legs=legs([busy()]), breaker=gate, **raced)
    call(way, router)
    assert gate.of("a") == ["admitted", "fail"]
    assert [what for what in gate.of("b") if what != "spoke"] == ["admitted", "succeed"]
    assert gate.of("b").count("spoke") <= 1


@each_way
def test_a_leg_whose_circuit_is_open_is_not_asked(way):
    models = legs([Step()])
    message = call(way, ChatRouter(legs=models, breaker=Gate({"a"})))
    assert text(message) == SECOND
    assert models["a"].seen.calls == []
    first = message.response_metadata["router"]["attempts"][0]
    assert (first["outcome"], first["reason"]) == ("skipped", "circuit open")


@each_way
def test_when_all_circuits_are_open_it_says_when_to_come_back(way):
    router = ChatRouter(legs=legs([Step()]), breaker=Gate({"a", "b"}))
    with pytest.raises(NoLegError, match=r"a: skipped \(circuit open\)") as e:
        call(way, router)
    assert (e.value.retry_after_s, e.value.is_retryable) == (3.0, True)


@each_way
def test_the_callers_mistake_says_nothing_of_the_leg(way):
    gate = Gate()
    with pytest.raises(errors.BadRequestError):
        call(way, ChatRouter(legs=legs([wrong()]), breaker=gate))
    assert gate.told == [("a", "admitted"), ("a", "release")]


@pytest.mark.parametrize("way", STREAMS)
def test_a_stream_that_breaks_off_is_a_failure_of_its_leg(way):
    gate = Gate()
    router = ChatRouter(legs=legs([Step(fails=busy(), after=2)]), breaker=gate)
    with pytest.raises(errors.RateLimitError):
        call(way, router)
    assert gate.of("a") == ["admitted", "spoke", "fail"]


def test_who_leaves_after_a_token_has_heard_the_leg():
    gate = Gate()
    items = ChatRouter(legs=legs([Step()]), breaker=gate).stream("hi")
    next(items)
    items.close()
    assert gate.of("a") == ["admitted", "spoke", "succeed"]


@each_way
def test_the_loser_of_a_race_is_released(way):
    never, gate = threading.Event(), Gate()
    models = legs([Step(waits=never)])
    try:
        call(way, ChatRouter(legs=models, hedge_after_s=0.02, breaker=gate))
    finally:
        never.set()
    assert gate.of("a") == ["admitted", "release"]
    assert gate.of("b")[-1] == "succeed"


def test_health_is_that_of_the_breaker():
    router = ChatRouter(legs=legs([Step()]), breaker=Gate({"a"}))
    assert router.health() == {"a": {"state": "open"}, "b": {"state": "closed"}}
    assert ChatRouter(legs=legs([Step()])).health()["a"]["state"] == "closed"


class Backwards:
    """A strategy that turns the legs around and belongs to an experiment."""

    name = "backwards"

    def __init__(self):
        self.asked, self.seen = [], []

    def order(self, legs, asked):
        self.asked.append(asked)
        return Order(list(reversed(legs)), arm="treated", experiment="e1")

    def observe(self, seen):
        self.seen.append(seen)


@each_way
def test_a_strategy_says_who_is_first_and_hears_what_came_of_it(way):
    strategy = Backwards()
    models = legs([Step()], [busy()])
    router = ChatRouter(legs=models, strategy=strategy, metadata={"team": "x"})
    message = call(
        way,
        router,
        config={
            "metadata": {"user_id": "u1"},
            "configurable": {"thread_id": "t1"},
            "tags": ["nightly"],
        },
    )
    said = message.response_metadata["router"]
    assert (said["leg"], said["strategy"]) == ("a", "backwards")
    assert (said["arm"], said["experiment"]) == ("treated", "e1")
    (asked,) = strategy.asked
    assert asked.metadata["user_id"] == "u1"
    assert asked.metadata["thread_id"] == "t1"
    assert asked.metadata["team"] == "x"
    assert list(asked.tags) == ["nightly"]
    assert [(one.leg, one.is_ok) for one in strategy.seen] == [
        ("b", False),
        ("a", True),
    ]
    assert strategy.seen[1].output_tokens == 4
    assert (strategy.seen[1].ttft_s is not None) is (way in STREAMS)


# ------------------------------------------------------------------------- runs, handlers


@each_way
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
def test_each_try_is_a_run_of_its_leg_under_one_run_of_the_router(way, raced):
    handler = _Events()
    router = ChatRouter(legs=legs([Step()], [busy()]), strategy=Backwards(), **raced)
    call(way, router, config={"callbacks": [handler], "metadata": {"user_id": "u1"}})
    kinds = [one[0] for one in handler.runs]
    assert kinds == ["chain", "model", "model error", "model", "model end", "chain end"]
    _, name, chain, parent, _ = handler.runs[0]
    assert (name, parent) == ("ChatRouter", None)
    models = [one for one in handler.runs if one[0] == "model"]
    assert [one[2] for one in models] == [chain, chain]
    assert [one[3]["router_leg"] for one in models] == ["b", "a"]
    for one in models:
        assert one[3]["experiment_arm"] == "treated"
        assert one[3]["experiment"] == "e1"
        assert one[3]["user_id"] == "u1"


@each_way
def test_a_failure_ends_the_run_with_an_error(way):
    handler = _Events()
    with pytest.raises(AllLegsFailedError) as e:
        call(
            way,
            ChatRouter(legs=legs([busy()], [busy()])),
            config={"callbacks": [handler]},
        )
    assert handler.runs[-1][:2] == ("chain error", e.value)


@each_way
def test_the_runs_name_and_id_are_those_of_the_router(way):
    from uuid import uuid4

    handler, run_id = _Events(), uuid4()
    config = {"callbacks": [handler], "run_id": run_id, "run_name": "mine"}
    call(way, ChatRouter(legs=legs([busy()])), config=config)
    assert handler.runs[0][1:3] == ("mine", run_id)
    models = [one for one in handler.runs if one[0] == "model"]
    assert run_id not in {one[1] for one in models}


@each_way
def test_the_routers_own_handlers_hear_of_the_tries(way):
    handler = _Events()
    router = ChatRouter(
        legs=legs([Step()]), callbacks=[handler], tags=["own"], metadata={"team": "x"}
    )
    call(way, router)
    assert [one[0] for one in handler.runs] == [
        "chain", "model", "model end", "chain end",
    ]  # fmt: skip
    assert handler.runs[1][3]["team"] == "x"


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_run_that_was_left_ends_with_what_came(way):
    handler = _Events()
    router = ChatRouter(legs=legs([Step()]))

    async def run():
        items = router.astream("hi", {"callbacks": [handler]})
        await anext(items)
        await items.aclose()

    if way == "astream":
        asyncio.run(run())
    else:
        items = router.stream("hi", {"callbacks": [handler]})
        next(items)
        items.close()
    assert handler.runs[-1][0] == "chain end"
    assert text(handler.runs[-1][1]) == "Hello"


def test_the_runs_output_is_the_answer():
    for way in ("invoke", "ainvoke", "stream", "astream"):
        handler = _Events()
        call(way, ChatRouter(legs=legs([busy()])), config={"callbacks": [handler]})
        assert text(handler.runs[-1][1]) == SECOND


@pytest.mark.filterwarnings("ignore:astream_events version='v1'")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_events_show_the_router_and_its_tries(version):
    router = ChatRouter(legs=legs([busy()]))
    events = [one async for one in router.astream_events("hi", version=version)]
    kinds = [(one["event"], one["name"]) for one in events]
    assert kinds[0] == ("on_chain_start", "ChatRouter")
    assert kinds[-1] == ("on_chain_end", "ChatRouter")
    streamed = [
        one["data"]["chunk"] for one in events if one["event"] == "on_chain_stream"
    ]
    assert "".join(text(one) for one in streamed) == SECOND
    tried = [one for one in events if one["event"] == "on_chat_model_start"]
    assert [one["metadata"]["router_leg"] for one in tried] == ["a", "b"]
    from_b = [
        one
        for one in events
        if one["event"] == "on_chat_model_stream"
        and one["metadata"]["router_leg"] == "b"
    ]
    assert "".join(text(one["data"]["chunk"]) for one in from_b) == SECOND


def test_two_hundred_threads_share_a_router():
    models = legs([Step()])
    router = ChatRouter(legs=models)
    answers = router.batch(["hi"] * 200, {"max_concurrency": 32})
    assert {text(one) for one in answers} == {Step().text}
    assert len(models["a"].seen.calls) == 200


async def test_a_thousand_tasks_share_a_router():
    router = ChatRouter(legs=legs([Step()]), total_timeout=100)
    answers = await asyncio.gather(*(router.ainvoke("hi") for _ in range(1000)))
    assert {text(one) for one in answers} == {Step().text}
    assert isinstance(answers[0], AIMessage)


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
def test_who_leaves_v3_events_closes_the_legs_stream_at_once(nested):
    models = legs([Step()])
    router = ChatRouter(legs=models)
    if nested:
        router = ChatRouter(legs=[router])
    events = _routed.stream(
        lambda: router._trip("hi", None, None, {}, stream=True), "hi", method="events"
    )
    next(events)
    next(events)
    events.close()
    assert models["a"].seen.closed == 1
