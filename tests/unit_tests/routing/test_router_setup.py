"""What a router is made of: legs, names, tools, structure, profile, and its copies."""

from __future__ import annotations

import copy
import pickle

import pytest
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import BaseModel, Field
from scripted_model import ScriptedModel, Step

from langchain_cerebras_ext import ChatCerebras, errors
from langchain_cerebras_ext.errors import CerebrasConfigurationError, NoLegError
from langchain_cerebras_ext.routing import router as router_module
from langchain_cerebras_ext.routing.router import ChatRouter


def scripted(label="a", *script):
    return ScriptedModel(label=label, script=list(script) or [Step()])


def busy():
    return errors.RateLimitError("busy", status_code=429)


def cerebras(model="gpt-oss-120b", **kwargs):
    return ChatCerebras(model=model, api_key="csk-test", **kwargs)


# --------------------------------------------------------------------------------- names


def test_legs_are_named_by_provider_and_model():
    router = ChatRouter(
        legs=[cerebras(), cerebras(), scripted("x"), "cerebras::qwen-3.8-27b"]
    )
    assert router.leg_names == [
        "cerebras::gpt-oss-120b",
        "cerebras::gpt-oss-120b#2",
        "scripted::x",
        "cerebras::qwen-3.8-27b",
    ]


def test_a_mapping_labels_legs():
    router = ChatRouter(legs={"fast": scripted(), "large": "gpt-oss-120b"})
    assert router.leg_names == ["fast", "large"]


def test_a_models_own_name_is_its_legs_name():
    model = ScriptedModel(label="x", script=[Step()], name="mine")
    assert ChatRouter(legs=[model]).leg_names == ["mine"]


@pytest.mark.parametrize(
    ("legs", "says"),
    [
        ([], "there must be one at least"),
        ({}, "there must be one at least"),
        ("cerebras::gpt-oss-120b", "must be a list"),
        ([3], "not a int"),
        ([cerebras().bind(stop=["x"])], "Arguments belong into the model"),
        (["nobody::model"], "nobody"),
    ],
    ids=["none", "no labels", "a name", "a number", "a binding", "no provider"],
)
def test_what_is_no_leg_is_refused(legs, says):
    with pytest.raises(CerebrasConfigurationError, match=says):
        ChatRouter(legs=legs)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"total_timeout": 0}, "total_timeout=0.0 must be more than 0"),
        ({"hedge_after_s": -1}, "hedge_after_s=-1.0 must be more than 0"),
        ({"cache": True}, "cache belongs to the legs"),
        (
            {"rate_limiter": InMemoryRateLimiter()},
            "rate_limiter belongs to the legs",
        ),
        ({"on_midstream": "splice"}, "on_midstream"),
        ({"move_on_for": ["teapot"]}, "teapot"),
        ({"strategy": "best"}, "best"),
        ({"hedge_after": 1}, "hedge_after"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_wrong_arguments_are_refused(wrong, says):
    with pytest.raises(CerebrasConfigurationError, match=says):
        ChatRouter(legs=[scripted()], **wrong)


# ------------------------------------------------------------------------- made by name


@pytest.fixture
def made(monkeypatch):
    """Names that were made, in order; what is made answers with its name."""
    names = []

    def create(name, **kwargs):
        names.append(name)
        if "missing" in name:
            msg = "no such package"
            raise errors.MissingExtraError(msg)
        return scripted(name, Step(f"I am {name}"))

    monkeypatch.setattr(router_module, "create_chat_model", create)
    return names


def test_a_model_is_made_when_its_leg_is_first_asked(made):
    router = ChatRouter(legs=["openai::gpt-9", "google::gemini-9"])
    assert made == []
    for _ in range(2):
        assert router.invoke("hi").text == "I am openai::gpt-9"
    assert made == ["openai::gpt-9"]


def test_a_leg_that_cannot_be_made_is_an_error_that_says_why(made):
    router = ChatRouter(legs=[scripted("a", busy()), "google::missing"])
    with pytest.raises(errors.MissingExtraError, match="no such package"):
        router.invoke("hi")


def test_a_leg_that_cannot_be_made_may_be_passed_over_if_told(made):
    router = ChatRouter(
        legs=["google::missing", scripted()], move_on_for=["configuration"]
    )
    assert router.invoke("hi").text == Step().text


@pytest.mark.parametrize("raced", [{}, {"total_timeout": 60.0}], ids=["plain", "raced"])
async def test_so_it_is_on_every_path(made, raced):
    router = ChatRouter(
        legs=["google::missing", scripted()], move_on_for=["configuration"], **raced
    )
    assert (await router.ainvoke("hi")).text == Step().text
    assert "".join(one.text for one in router.stream("hi")) == Step().text
    assert "".join([one.text async for one in router.astream("hi")]) == Step().text


# -------------------------------------------------------------------------------- tools


def look(place: str) -> str:
    """Look."""
    return place


class Answer(BaseModel):
    """An answer."""

    text: str = Field(description="What it is")


def test_each_leg_binds_tools_in_its_own_way_and_once():
    models = [scripted("a", busy()), scripted("b", Step(tool="look"))]
    bound = ChatRouter(legs=models).bind_tools(
        [look], tool_choice="any", strict=True, temperature=0.5
    )
    for _ in range(3):
        assert bound.invoke("hi").tool_calls[0]["name"] == "look"
    for model in models:
        ((tools, kwargs),) = model.bound
        assert tools == [look]
        assert kwargs == {"tool_choice": "any", "strict": True}
        assert model.seen.calls[0]["temperature"] == 0.5
        assert model.seen.calls[0]["tool_choice"] == "any"


def test_later_changes_of_a_list_of_tools_change_no_binding():
    tools = [look]
    bound = ChatRouter(legs=[scripted()]).bind_tools(tools)
    tools.append(Answer)
    assert bound.kwargs["tools"] == [look]


def test_tools_replace_tools_and_other_arguments_stay():
    model = scripted()
    router = ChatRouter(legs=[model])
    bound = router.bind(stop=["x"]).bind_tools([look], tool_choice="any")
    again = bound.bind_tools([Answer])
    again.invoke("hi")
    ((tools, kwargs),) = model.bound
    assert (tools, kwargs) == ([Answer], {})
    assert model.seen.calls[0]["stop"] == ["x"]


def test_many_bindings_do_not_pile_up():
    router = ChatRouter(legs=[scripted()])
    for _ in range(500):
        router.bind_tools([look]).invoke("hi")
    assert len(router._route.recipes) <= 64


def test_tools_may_be_given_to_a_call():
    model = scripted()
    ChatRouter(legs=[model]).invoke("hi", tools=[look], tool_choice="any")
    assert model.bound == [([look], {"tool_choice": "any"})]


# ---------------------------------------------------------------------------- structure


class Structured(ScriptedModel):
    """Parses its answers, and keeps how it was asked to."""

    asked: list = []  # noqa: RUF012 - a field

    def with_structured_output(self, schema, **kwargs):
        self.asked.append((schema, kwargs))
        return self.bind(kind="structured") | (
            lambda message: schema(text=message.text)
        )


def structured(label, *script):
    return Structured(label=label, script=list(script))


def test_structure_is_routed_between_the_legs_own_chains():
    models = [structured("a", busy()), structured("b", Step("done"))]
    chain = ChatRouter(legs=models).with_structured_output(Answer, method="json_mode")
    assert chain.invoke("hi") == Answer(text="done")
    for model in models:
        assert model.asked == [(Answer, {"method": "json_mode"})]
        assert model.seen.calls[0]["kind"] == "structured"


async def test_structure_comes_on_every_path():
    models = [structured("a", busy()), structured("b", Step("done"))]
    chain = ChatRouter(legs=models).with_structured_output(Answer)
    assert await chain.ainvoke("hi") == Answer(text="done")
    assert list(chain.stream("hi"))[-1].text
    assert [one async for one in chain.astream("hi")][-1].text
    assert chain.batch(["hi", "hi"]) == [Answer(text="done")] * 2


def test_structure_keeps_what_was_bound_before():
    router = ChatRouter(legs=[cerebras()])
    bound = router.bind(temperature=0.1).bind_tools([look])
    chain = bound.with_structured_output(Answer, method="function_calling")
    (leg,) = router._route.legs
    first = chain.recipe.of(leg).steps[0]
    assert first.kwargs["temperature"] == 0.1
    names = [one["function"]["name"] for one in first.kwargs["tools"]]
    assert names == ["Answer", "look"]


def test_mistakes_in_a_schema_are_heard_of_when_the_chain_is_made():
    router = ChatRouter(legs=["google::gemini-9", cerebras()])
    with pytest.raises(errors.CerebrasInvalidRequestError):
        router.with_structured_output(Answer, method="telepathy")


class _Raw(ScriptedModel):
    def with_structured_output(self, schema, **kwargs):
        return self | (lambda raw: {"raw": raw, "parsed": 1, "parsing_error": None})


def test_beside_its_raw_message_structure_says_where_it_is_from():
    model = _Raw(label="a", script=[Step()])
    chain = ChatRouter(legs=[model]).with_structured_output(Answer, include_raw=True)
    answer = chain.invoke("hi")
    assert answer["raw"].response_metadata["router"]["leg"] == "scripted::a"


# ------------------------------------------------------------------------- capabilities


def _picture():
    url = "data:image/png;base64,iVBORw0KGgo="
    return [HumanMessage([{"type": "image_url", "image_url": {"url": url}}])]


def test_a_request_goes_only_to_legs_that_can():
    model = scripted()
    router = ChatRouter(legs=[cerebras(), model])
    message = router.invoke(_picture())
    first, second = message.response_metadata["router"]["attempts"]
    assert (first["leg"], first["outcome"]) == ("cerebras::gpt-oss-120b", "skipped")
    assert "image" in first["reason"]
    assert second["leg"] == "scripted::a"


def test_when_no_leg_can_it_says_what_each_lacks():
    router = ChatRouter(legs={"a": cerebras(), "b": cerebras()})
    with pytest.raises(NoLegError, match=r"a: skipped \(.*image.*b: skipped") as e:
        router.invoke(_picture())
    assert [one.leg for one in e.value.legs] == ["a", "b"]


def test_you_may_know_better_what_a_leg_can():
    router = ChatRouter(
        legs={"a": scripted(), "b": scripted("b")},
        capabilities={"a": {"images": False}},
    )
    assert router.invoke(_picture()).response_metadata["router"]["leg"] == "b"


def test_the_profile_is_what_all_legs_can():
    small = cerebras("llama3.1-8b")
    large = cerebras("gpt-oss-120b")
    router = ChatRouter(legs=[small, large])
    least = min(
        one.profile["max_input_tokens"] for one in (small, large) if one.profile
    )
    assert router.profile["max_input_tokens"] == least
    assert router.profile["tool_calling"] is True
    assert router.profile["image_inputs"] is False


def test_the_profile_of_legs_that_nobody_knows_promises_nothing(made):
    router = ChatRouter(legs=[cerebras(), "openai::gpt-9"])
    assert made == []
    assert router.profile.get("structured_output") is not True
    assert router.profile.get("tool_calling") is not True


# ------------------------------------------------------------------------------- nested


def test_a_router_may_be_a_leg():
    inner = ChatRouter(legs=[scripted("a", busy()), scripted("b", busy(), Step())])
    outer = ChatRouter(legs={"inner": inner, "last": scripted("c")})
    assert outer.invoke("hi").response_metadata["router"]["leg"] == "last"
    said = outer.invoke("hi").response_metadata["router"]
    assert said["leg"] == "inner"
    assert said["inner"]["leg"] == "scripted::b"
    first, *rest = outer.stream("hi")
    said = sum(rest, first).response_metadata["router"]
    assert (said["leg"], said["inner"]["leg"]) == ("inner", "scripted::b")


def test_a_router_is_named_by_its_legs():
    inner = ChatRouter(legs=[scripted("a"), scripted("b")])
    assert ChatRouter(legs=[inner]).leg_names == ["router(scripted::a, scripted::b)"]


# ------------------------------------------------------------------------------- copies


def _answers(router):
    message = router.invoke("hi")
    return isinstance(message, AIMessage) and message.response_metadata["router"]["leg"]


def test_a_router_pickles_and_copies():
    router = ChatRouter(
        legs={"a": scripted("a", busy()), "b": scripted("b")}, total_timeout=60.0
    )
    for other in (
        pickle.loads(pickle.dumps(router)),
        copy.deepcopy(router),
        copy.copy(router),
        router.model_copy(update={"tags": ["x"]}),
    ):
        assert other.leg_names == ["a", "b"]
        assert _answers(other) == "b"
    assert _answers(router) == "b"


def test_a_router_of_names_pickles_and_makes_its_models_again():
    router = ChatRouter(legs=["cerebras::gpt-oss-120b"])
    other = pickle.loads(pickle.dumps(router))
    assert other.leg_names == router.leg_names


def test_the_copys_own_handlers_are_its_own():
    """A copy routes by itself: its tags are not those of the original."""
    router = ChatRouter(legs={"a": scripted()}, tags=["old"])
    other = router.model_copy(update={"tags": ["new"]})
    assert other._route.owner is other
    assert router._route.owner is router


@pytest.mark.filterwarnings(
    "ignore:The function `loads?` is in beta:langchain_core._api.LangChainBetaWarning"
)
def test_a_dumped_router_loads_again(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-from-env")
    router = ChatRouter(
        legs={"a": cerebras(), "b": "cerebras::qwen-3.8-27b"}, on_midstream="buffer"
    )
    loaded = load(
        dumpd(router),
        valid_namespaces=["langchain_cerebras_ext"],
        allowed_objects=[ChatRouter, ChatCerebras],
        secrets_from_env=True,
    )
    assert loaded.leg_names == ["a", "b"]
    assert loaded.on_midstream == "buffer"
    assert "csk-test" not in str(dumpd(router))


def test_a_router_shows_no_key():
    router = ChatRouter(legs=[cerebras()])
    assert "csk-test" not in repr(router)
    assert "csk-test" not in str(router.model_dump())


def test_tokens_are_counted_by_the_first_leg():
    router = ChatRouter(legs=[cerebras(), scripted()])
    assert router.get_num_tokens("hello") == cerebras().get_num_tokens("hello")
    messages = [HumanMessage("hello there")]
    assert router.get_num_tokens_from_messages(
        messages
    ) == cerebras().get_num_tokens_from_messages(messages)


def test_arguments_of_every_call_win_over_the_legs_own():
    model = scripted()
    router = ChatRouter(legs=[model], temperature=0.3, max_tokens=9, stop=["end"])
    router.invoke("hi")
    router.invoke("hi", temperature=0.9)
    first, second = model.seen.calls
    assert (first["temperature"], first["max_tokens"]) == (0.3, 9)
    assert first["stop"] == ["end"]
    assert second["temperature"] == 0.9
