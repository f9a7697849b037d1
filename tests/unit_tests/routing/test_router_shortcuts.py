"""Ways that a router spares a call: nothing that anybody sees is otherwise by them."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from call_paths import BETA, call
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableBinding, RunnableLambda
from scripted_model import ScriptedModel, Step

from langchain_cerebras_ext import CostTracker, errors, track_costs
from langchain_cerebras_ext.routing import _told
from langchain_cerebras_ext.routing._history.passage import Passage
from langchain_cerebras_ext.routing._history.rules import rules_of
from langchain_cerebras_ext.routing._recipe import Recipe, Recipes
from langchain_cerebras_ext.routing.capabilities import Size, need_of
from langchain_cerebras_ext.routing.history import portable_messages
from langchain_cerebras_ext.routing.router import ChatRouter
from langchain_cerebras_ext.routing.strategies import Ordered

pytestmark = BETA

WAYS = ["invoke", "ainvoke", "stream", "astream", "v3", "av3"]
each_way = pytest.mark.parametrize("way", WAYS)
PROVIDERS = [
    "cerebras", "openai", "anthropic", "google_genai", "groq", "mistralai",
    "openrouter", "ollama", "deepseek", "xai", "bedrock_converse", "who-knows",
]  # fmt: skip


def busy():
    return errors.RateLimitError("busy", status_code=429)


def legs(*scripts):
    return {
        name: ScriptedModel(label=name, script=script)
        for name, script in zip("abc", scripts, strict=False)
    }


class Heard(BaseCallbackHandler):
    """Keeps what it is told of runs; ids by the order in which they came."""

    run_inline = True

    def __init__(self):
        self.told = []
        self.numbers = {}

    def _no(self, run_id):
        if run_id is None:
            return None
        return self.numbers.setdefault(run_id, len(self.numbers))

    def _note(self, kind, found, more):
        ids = self._no(more["run_id"]), self._no(more.get("parent_run_id"))
        metadata = dict(more.get("metadata") or {})
        metadata.pop("router_call_id", None)
        tags = sorted(set(more.get("tags") or ()))
        self.told.append((kind, found, *ids, tags, metadata))

    def on_chain_start(self, serialized, inputs, **kwargs):
        self._note("chain", str(inputs), kwargs)

    def on_chain_end(self, outputs, **kwargs):
        # Events have ids of their own.
        found = str(getattr(outputs, "text", type(outputs).__name__))
        self._note("chain end", found, kwargs)

    def on_chain_error(self, error, **kwargs):
        self._note("chain error", type(error), kwargs)

    def on_chat_model_start(self, serialized, messages, **kwargs):
        given = {
            name: one
            for name, one in kwargs["invocation_params"].items()
            if not name.startswith("_")
        }
        said = [(one.type, one.content) for one in messages[0]]
        self._note("model", (said, given), kwargs)

    def on_llm_end(self, response, **kwargs):
        self._note("model end", response.generations[0][0].text, kwargs)

    def on_llm_error(self, error, **kwargs):
        self._note("model error", type(error), kwargs)


# ------------------------------------------------- meters are told of the run at once


def described(records):
    """Return records as they are but for ids of their own and times."""
    numbers = {}

    def no(text):
        return None if text is None else numbers.setdefault(text, len(numbers))

    return [
        (
            one.model,
            one.provider,
            one.outcome,
            one.router_so_far,
            one.usage,
            one.cost,
            one.tags,
            one.user,
            one.session,
            one.arm,
            no(one.router_call_id),
            no(one.parent_run_id),
            no(one.trace_id),
            no(one.run_id),
        )
        for one in records
    ]


CONFIG = {
    "tags": ["nightly"],
    "metadata": {"user_id": "u1", "session_id": "s1"},
}


@each_way
@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a chain"])
def test_a_meter_records_the_same_alone_and_beside_another_handler(way, raced, inside):
    found = []
    for others in ([], [Heard()]):
        tracker = CostTracker()
        router = ChatRouter(legs=legs([busy()], [Step()]), tags=["own"], **raced)
        config = {**CONFIG, "callbacks": [tracker, *others]}
        if inside:

            def run(_, config, router=router):
                return call(way, router, config=config)

            RunnableLambda(run).invoke("hi", config)
        else:
            call(way, router, config=config)
        found.append(described(tracker.records))
        assert tracker.open_calls == 0
    assert found[0] == found[1]
    assert [one[2] for one in found[0]] == ["failed", "ok"]


def test_a_meter_alone_is_told_no_further_than_it_needs(monkeypatch):
    opened = []
    real = _told.MetersRun
    monkeypatch.setattr(
        _told, "MetersRun", lambda *args: opened.append(args) or real(*args)
    )
    router = ChatRouter(legs=legs([Step()]))
    router.invoke("hi", {"callbacks": [CostTracker()]})
    assert len(opened) == 1
    router.invoke("hi", {"callbacks": [CostTracker(), Heard()]})
    router.invoke("hi")
    assert len(opened) == 1


class Curious(CostTracker):
    """A tracker that listens to more, so that it is told as any handler is."""

    def __init__(self):
        super().__init__()
        self.inputs = []

    def on_chain_start(self, serialized, inputs, **kwargs):
        self.inputs.append(inputs)
        super().on_chain_start(serialized, inputs, **kwargs)


def test_a_tracker_that_listens_to_more_is_told_all():
    tracker = Curious()
    ChatRouter(legs=legs([Step()])).invoke("hi", {"callbacks": [tracker]})
    assert tracker.inputs == ["hi"]


@each_way
def test_the_callers_run_id_is_what_meters_see_above_the_tries(way):
    tracker, run_id = CostTracker(), uuid4()
    router = ChatRouter(legs=legs([busy()], [Step()]))
    call(way, router, config={"callbacks": [tracker], "run_id": run_id})
    assert {one.parent_run_id for one in tracker.records} == {str(run_id)}
    assert {one.trace_id for one in tracker.records} == {str(run_id)}
    assert {one.router_call_id for one in tracker.records} == {str(run_id)}


@each_way
def test_under_a_chain_the_trace_is_that_of_the_chain(way):
    with track_costs() as tracker:
        router, run_id = ChatRouter(legs=legs([Step()])), uuid4()

        def run(_, config):
            return call(way, router, config=config)

        RunnableLambda(run).invoke("hi", {"run_id": run_id})
    (record,) = tracker.records
    assert record.trace_id == str(run_id) != record.parent_run_id


def runs_that_are_over(tracker, run_id):
    """Whether a tracker has forgotten a run whose parent it was told of."""
    return tracker.root_of(run_id) == run_id


@pytest.mark.parametrize("end", ["answer", "failure", "left", "cancelled"])
def test_a_meter_forgets_a_run_however_it_ends(end):
    tracker, run_id, above = CostTracker(), uuid4(), uuid4()
    script = [busy()] if end == "failure" else [Step()]
    router = ChatRouter(legs=legs(script))
    from langchain_core.callbacks import AsyncCallbackManager

    manager = AsyncCallbackManager(
        handlers=[tracker], inheritable_handlers=[tracker], parent_run_id=above
    )
    config = {"callbacks": manager, "run_id": run_id}

    async def run():
        if end == "left":
            items = router.astream("hi", config)
            await anext(items)
            assert tracker.root_of(run_id) == above
            await items.aclose()
            return
        task = asyncio.create_task(router.ainvoke("hi", config))
        if end == "cancelled":
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert runs_that_are_over(tracker, run_id)
    assert tracker.open_calls == 0


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_meter_does_not_keep_others_from_hearing_of_a_restart(way):
    tracker = CostTracker()
    router = ChatRouter(
        legs=legs([Step(fails=busy(), after=2)], [Step("Anew")]), on_midstream="restart"
    )
    message = call(way, router, config={"callbacks": [tracker]})
    assert message.text == "Anew"
    assert [one.outcome for one in tracker.records] == ["failed", "ok"]


# ------------------------------------------------------ bindings that add nothing else


def look_up(place: str) -> str:
    """Look something up."""
    return place


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("config", [{}, {"tags": ["z", "a", "z"], **CONFIG}])
def test_bound_arguments_do_the_same_as_with_langchains_binding(way, config):
    found = []
    for bound in (
        lambda router: router.bind(tools=[look_up], stop=["x"]),
        lambda router: RunnableBinding(
            bound=router, kwargs={"tools": [look_up], "stop": ["x"]}
        ),
    ):
        heard, models = Heard(), legs([busy()], [Step()])
        given = {**config, "callbacks": [heard]}
        message = call(way, bound(ChatRouter(legs=models)), config=given)
        asked = [model.seen.calls for model in models.values()]
        found.append((message.text, heard.told, asked))
    assert found[0] == found[1]
    assert found[0][2][1][0]["stop"] == ["x"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_a_configuration_that_is_bound_is_merged(way):
    heard = Heard()
    router = ChatRouter(legs=legs([Step()]))
    bound = router.bind_tools([look_up]).with_config(tags=["bound"], callbacks=[heard])
    call(way, bound, config={"tags": ["given"]})
    kinds = [(one[0], one[4]) for one in heard.told]
    assert kinds[:2] == [
        ("chain", ["bound", "given"]),
        ("model", ["bound", "given"]),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_arguments_of_a_call_win_over_those_of_a_legs_binding(way):
    class Opinionated(ScriptedModel):
        def bind_tools(self, tools, **kwargs):
            return self.bind(tools=tools, temperature=0.5, seed=1)

    leg = Opinionated(label="a", script=[Step()])
    router = ChatRouter(legs={"a": leg}).bind_tools([look_up])
    call(way, router, temperature=0.9)
    (asked,) = leg.seen.calls
    assert (asked["temperature"], asked["seed"], asked["tools"]) == (0.9, 1, [look_up])


class Louder(RunnableBinding):
    """A binding that does something of its own."""

    def invoke(self, input, config=None, **kwargs):  # noqa: A002
        message = super().invoke(input, config, **kwargs)
        return AIMessage(message.text.upper())


@pytest.mark.parametrize(
    ("made", "is_taken_apart"),
    [
        (lambda model: model.bind(seed=1), True),
        (lambda model: model.bind(seed=1).bind(top_p=0.5), True),
        (lambda model: model.bind(seed=1).with_config(tags=["of the leg"]), False),
        (lambda model: Louder(bound=model, kwargs={"seed": 1}), False),
        (lambda model: model.bind(seed=1) | (lambda message: message), False),
        (lambda model: model, False),
    ],
    ids=["bound", "twice", "configured", "own way", "chain", "plain"],
)
def test_only_bindings_of_arguments_alone_are_taken_apart(made, is_taken_apart):
    from langchain_cerebras_ext.routing._leg import Leg

    class Odd(ScriptedModel):
        def bind_tools(self, tools, **kwargs):
            return made(self)

    model = Odd(label="a", script=[Step("hello")])
    recipe, _ = Recipes().of({"tools": [look_up]})
    leg = Leg("a", model)
    runnable, kwargs = recipe.call_of(leg)
    assert (runnable is model and bool(kwargs)) is is_taken_apart
    heard = Heard()
    answer = runnable.invoke("hi", {"callbacks": [heard]}, **kwargs)
    same = recipe.of(leg).invoke("hi")
    assert answer.text == same.text
    first, second = model.seen.calls
    assert first == second


def test_a_plain_leg_is_called_as_it_is():
    from langchain_cerebras_ext.routing._leg import Leg

    model = ScriptedModel(label="a", script=[Step()])
    assert Recipe().call_of(Leg("a", model)) == (model, {})


# --------------------------------------------------------------------- texts as prompts


@each_way
def test_a_text_and_its_message_are_the_same_prompt(way):
    found = []
    for prompt in ("Grüß dich", [HumanMessage("Grüß dich")]):
        heard, models = Heard(), legs([busy()], [Step()])
        router = ChatRouter(legs=models)
        message = call(way, router, prompt, config={"callbacks": [heard]})
        asked = [
            [(one.type, one.content) for one in model.seen.calls[0]["messages"]]
            for model in models.values()
        ]
        assert asked == [[("human", "Grüß dich")]] * 2
        # The run's own input is what was given.
        found.append((message.text, heard.told[1:]))
    assert found[0] == found[1]


@pytest.mark.parametrize("text", ["", "word " * 50, "Grüß dich"])
@pytest.mark.parametrize("tools", [None, [look_up], [{"name": "x"}]])
def test_a_text_is_measured_as_its_message(text, tools):
    own, other = Size(text, tools), Size([HumanMessage(text)], tools)
    assert own.bound == other.bound
    if tools is None:
        assert own.count() == other.count()


def test_a_text_too_long_for_a_leg_goes_to_the_other():
    models = legs([Step()], [Step("long")])
    router = ChatRouter(
        legs=models, capabilities={"a": {"context_tokens": 500}, "b": {"tools": True}}
    )
    message = router.invoke("word " * 2_000)
    assert message.text == "long"
    assert models["a"].seen.calls == []


@pytest.mark.parametrize("stream", [False, True])
def test_most_needs_are_one_object_and_equal_to_any_other(stream):
    plain = need_of([HumanMessage("hi")], stream=stream)
    assert need_of([HumanMessage("ho")], stream=stream, kwargs={}) is plain
    other = need_of([HumanMessage("hi")], stream=stream, kwargs={"top_p": 1})
    assert (other, hash(other)) == (plain, hash(plain))


# ----------------------------------------------------------------------------- histories

PLAIN = {
    "a question": [HumanMessage("hi")],
    "two": [HumanMessage("hi"), HumanMessage("ho")],
    "with rules": [SystemMessage("Be brief."), SystemMessage("!"), HumanMessage("hi")],
    "rules alone": [SystemMessage("Be brief.")],
    "empty": [HumanMessage("")],
    "marked": [HumanMessage("hi", additional_kwargs={"x": 1}, id="m1")],
    "nothing": [],
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("case", PLAIN)
def test_what_is_not_looked_at_closely_would_have_been_kept(provider, case):
    messages = PLAIN[case]
    assert portable_messages(messages, provider) is messages
    assert Passage(messages, rules_of(provider)).run() is None


ODD = {
    "named": [HumanMessage("hi", name="Ann Smith")],
    "late rules": [HumanMessage("hi"), SystemMessage("Be brief.")],
    "blocks": [HumanMessage([{"type": "text", "text": "hi", "cache_control": {}}])],
    "answered": [
        HumanMessage("hi"),
        AIMessage([{"type": "thinking", "thinking": "x", "signature": "y"}]),
    ],
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("case", ODD)
def test_all_else_is_looked_at_closely(provider, case):
    messages = ODD[case]
    closely = Passage(messages, rules_of(provider)).run()
    assert portable_messages(messages, provider) == (closely or messages)


# ---------------------------------------------------------------------------- strategies


class Noting(Ordered):
    """In the same order, but with eyes and ears."""

    def __init__(self):
        self.asked, self.seen = [], []

    def order(self, legs, asked):
        self.asked.append(asked)
        return super().order(legs, asked)

    def observe(self, seen):
        self.seen.append(seen)


@each_way
def test_a_strategy_of_your_own_is_asked_and_told_whatever_it_is_derived_from(way):
    strategy = Noting()
    router = ChatRouter(legs=legs([busy()], [Step()]), strategy=strategy)
    call(way, router, config=CONFIG)
    assert [one.metadata["user_id"] for one in strategy.asked] == ["u1"]
    assert [(one.leg, one.is_ok) for one in strategy.seen] == [
        ("a", False),
        ("b", True),
    ]


# ----------------------------------------------------------------- what the context adds


@each_way
def test_what_is_configured_around_a_router_reaches_its_legs(way):
    found = []
    for wrap in (lambda model: ChatRouter(legs={"a": model}), lambda model: model):
        heard = Heard()
        model = ScriptedModel(label="a", script=[Step()])
        asked = wrap(model)
        outer = {**CONFIG, "callbacks": [heard], "configurable": {"model": "m1"}}
        RunnableLambda(lambda _, asked=asked: call("invoke", asked)).invoke("hi", outer)
        (told,) = [one for one in heard.told if one[0] == "model"]
        metadata = {k: v for k, v in told[5].items() if k != "router_leg"}
        found.append((told[1], told[4], metadata))
    assert found[0] == found[1]
    assert found[0][2]["user_id"] == "u1"


# --------------------------------------------------------------- what a reader throws in


@pytest.mark.parametrize("after", [1, 2])
def test_what_a_reader_throws_into_a_stream_is_no_failure_of_the_leg(after):
    models, heard = legs([Step()], [Step("other")]), Heard()
    items = ChatRouter(legs=models).stream("hi", {"callbacks": [heard]})
    for _ in range(after):
        next(items)
    with pytest.raises(KeyError, match="mine"):
        items.throw(KeyError("mine"))
    assert models["b"].seen.calls == []
    assert models["a"].seen.closed == 1
    assert heard.told[-1][:2] == ("chain error", KeyError)


@pytest.mark.parametrize("after", [1, 2])
async def test_what_a_reader_throws_into_an_async_stream_is_no_failure_either(after):
    models, heard = legs([Step()], [Step("other")]), Heard()
    items = ChatRouter(legs=models).astream("hi", {"callbacks": [heard]})
    for _ in range(after):
        await anext(items)
    with pytest.raises(KeyError, match="mine"):
        await items.athrow(KeyError("mine"))
    assert models["b"].seen.calls == []
    assert models["a"].seen.closed == 1
    assert heard.told[-1][:2] == ("chain error", KeyError)


# ------------------------------------------------------------------------ copied answers


def test_a_leg_that_hands_out_one_answer_twice_keeps_it_as_it_is():
    class Same(ScriptedModel):
        def _generate(self, *args, **kwargs):
            result = super()._generate(*args, **kwargs)
            result.generations[0].message = kept
            return result

    kept = AIMessage("same", id="m1", response_metadata={"finish_reason": "stop"})
    router = ChatRouter(legs={"a": Same(label="a", script=[Step()])})
    first, second = router.invoke("hi"), router.invoke("hi")
    assert kept.response_metadata == {"finish_reason": "stop"}
    assert first.response_metadata["router"].keys() == {"leg", "attempts", "strategy"}
    assert "inner" not in second.response_metadata["router"]
    assert first.model_copy(update={"response_metadata": {}}) == kept.model_copy(
        update={"response_metadata": {}}
    )
    assert "response_metadata" in first.model_fields_set
