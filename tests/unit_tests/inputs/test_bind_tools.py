"""`bind_tools`: every kind of tool and choice, exactly as sent."""

from __future__ import annotations

from typing import Annotated

import pytest
from fake_service import plain, tool_call
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import StructuredTool, tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    UnsupportedFeatureError,
)


def get_weather(city: str, days: int = 1) -> str:
    """Get the weather.

    Args:
        city: Name of the city.
        days: How many days.
    """
    return f"{city} {days}"


@tool
def by_decorator(city: str) -> str:
    """Look it up."""
    return city


class ByPydantic(BaseModel):
    """Look it up."""

    city: str = Field(description="Name of the city.")


class ByTypedDict(TypedDict):
    """Look it up."""

    city: Annotated[str, ..., "Name of the city."]


SCHEMA = {
    "title": "BySchema",
    "description": "Look it up.",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
OPENAI = {
    "type": "function",
    "function": {
        "name": "by_openai",
        "description": "Look it up.",
        "parameters": PARAMETERS,
    },
}
ANTHROPIC = {
    "name": "by_anthropic",
    "description": "Look it up.",
    "input_schema": PARAMETERS,
    "cache_control": {"type": "ephemeral"},
}
DESCRIBED = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of the city."}},
    "required": ["city"],
}


def function(name: str, parameters=PARAMETERS, description="Look it up.", **more):
    inner = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": {**inner, **more}}


KINDS = {
    "function": (
        get_weather,
        function(
            "get_weather",
            {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name of the city."},
                    "days": {
                        "type": "integer",
                        "default": 1,
                        "description": "How many days.",
                    },
                },
                "required": ["city"],
            },
            "Get the weather.",
        ),
    ),
    "decorated": (by_decorator, function("by_decorator")),
    "structured": (
        StructuredTool.from_function(
            lambda city: city,
            name="by_hand",
            description="Look it up.",
            args_schema=ByPydantic,
        ),
        function("by_hand", DESCRIBED),
    ),
    "pydantic": (ByPydantic, function("ByPydantic", DESCRIBED)),
    "typed dict": (ByTypedDict, function("ByTypedDict", DESCRIBED)),
    "json schema": (SCHEMA, function("BySchema")),
    "openai": (OPENAI, OPENAI),
    "anthropic": (ANTHROPIC, function("by_anthropic")),
    "without parameters": (
        {"type": "function", "function": {"name": "bare"}},
        {"type": "function", "function": {"name": "bare"}},
    ),
}
TOOLS = pytest.mark.parametrize("kind", KINDS)


@TOOLS
def test_each_kind_of_tool_is_a_function_on_the_wire(service, kind):
    given, expected = KINDS[kind]
    bound = service.model().bind_tools([given])
    assert isinstance(bound, RunnableBinding)
    bound.invoke("hi")
    assert service.body == {
        "model": "gpt-oss-120b",
        "tools": [expected],
        "messages": [{"role": "user", "content": "hi"}],
    }


@TOOLS
def test_each_kind_of_tool_is_taken_by_the_constructor_and_a_call(service, kind):
    given, expected = KINDS[kind]
    service.model(tools=[given]).invoke("hi")
    service.model().invoke("hi", tools=[given])
    assert [body["tools"] for body in service.bodies] == [[expected]] * 2


@TOOLS
@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (None, None),
        (False, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("NAME", "NAMED"),
        ({"type": "function", "function": {"name": "NAME"}}, "NAMED"),
        ({"type": "function", "name": "NAME"}, "NAMED"),
        ({"type": "tool", "name": "NAME"}, "NAMED"),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
    ],
    ids=str,
)
def test_each_form_of_choice_with_each_kind_of_tool(service, kind, choice, wire):
    given, expected = KINDS[kind]
    name = expected["function"]["name"]
    if choice == "NAME":
        choice = name
    elif isinstance(choice, dict) and "function" in choice:
        choice = {**choice, "function": {"name": name}}
    elif isinstance(choice, dict) and "name" in choice:
        choice = {**choice, "name": name}
    if wire == "NAMED":
        wire = {"type": "function", "function": {"name": name}}
    service.model().bind_tools([given], tool_choice=choice).invoke("hi")
    assert service.body.get("tool_choice") == wire
    if choice is not False and choice is not None:
        service.model(
            tools=[given], tool_choice=choice if choice is not True else "any"
        )
        service.model().invoke("hi", tools=[given], tool_choice=choice)
        assert service.body.get("tool_choice") == wire


STRICT = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("strict", "expected"),
    [
        (None, function("by_openai")),
        (False, function("by_openai", strict=False)),
        (True, function("by_openai", STRICT, strict=True)),
    ],
    ids=str,
)
def test_strict_is_set_on_every_tool_or_on_none(service, strict, expected):
    service.model().bind_tools([OPENAI, SCHEMA], strict=strict).invoke("hi")
    first, second = service.body["tools"]
    assert first == expected
    inner = {**expected["function"], "name": "BySchema"}
    assert second == {"type": "function", "function": inner}


def _with_strict(tool_dict, strict, name=None):
    inner = {**tool_dict["function"], "strict": strict}
    if name:
        inner["name"] = name
    return {"type": "function", "function": inner}


@pytest.mark.parametrize(
    ("tools", "strict", "said"),
    [
        ([_with_strict(OPENAI, True), SCHEMA], None, "must have the same `strict`"),
        (
            [_with_strict(OPENAI, True), _with_strict(OPENAI, False, "b")],
            None,
            "strict=True on 'by_openai'; strict=False on 'b'",
        ),
        ([_with_strict(OPENAI, False)], True, "'by_openai' says strict=False"),
        ([_with_strict(OPENAI, True)], False, "'by_openai' says strict=True"),
    ],
    ids=["partly", "mixed", "contrary", "contrary too"],
)
def test_a_strict_that_is_not_uniform_is_refused(service, tools, strict, said):
    with pytest.raises(CerebrasInvalidRequestError) as caught:
        service.model().bind_tools(tools, strict=strict)
    assert said in str(caught.value)
    if strict is None:
        with pytest.raises(CerebrasInvalidRequestError) as caught:
            service.model().invoke("hi", tools=tools)
        assert said in str(caught.value)
    assert service.requests == []


@pytest.mark.parametrize("parallel", [None, True, False])
@pytest.mark.parametrize("strict", [None, True])
def test_parallel_calls_with_strict_and_choice(service, parallel, strict):
    service.model(model="zai-glm-4.7").bind_tools(
        [OPENAI], parallel_tool_calls=parallel, strict=strict, tool_choice="any"
    ).invoke("hi")
    assert service.body.get("parallel_tool_calls") is parallel
    assert service.body["tool_choice"] == "required"


class Answer(BaseModel):
    """The answer."""

    text: str


ANSWER = {
    "type": "json_schema",
    "json_schema": {
        "name": "Answer",
        "description": "The answer.",
        "schema": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


@pytest.mark.parametrize(
    "asked",
    [
        Answer,
        ANSWER,
        {
            "type": "json_schema",
            "json_schema": {
                "name": "Answer",
                "description": "The answer.",
                "schema": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}},
                    "required": ["text"],
                },
            },
        },
    ],
    ids=["class", "whole", "as create_agent gives it"],
)
@pytest.mark.parametrize("tools", [[], [OPENAI]], ids=["no tools", "tools"])
def test_a_response_format_goes_with_tools_or_none(service, asked, tools):
    model = service.model(model="zai-glm-4.7")
    bound = model.bind_tools(tools, response_format=asked)
    bound.invoke("hi")
    sent = dict(service.body)
    told = sent.pop("response_format")
    told["json_schema"]["schema"].pop("title", None)
    assert told == ANSWER
    assert set(sent) == {"model", "messages", *(["tools"] if tools else [])}


def test_a_response_format_that_is_not_strict_stays_so(service):
    asked = {
        "type": "json_schema",
        "json_schema": {**ANSWER["json_schema"], "strict": False},
    }
    service.model().bind_tools([], response_format=asked).invoke("hi")
    assert service.body["response_format"]["json_schema"]["strict"] is False


@pytest.mark.parametrize(
    "given",
    [{}, {"tool_choice": None}, {"strict": True}, {"parallel_tool_calls": False}],
    ids=str,
)
def test_an_empty_list_of_tools_sends_none(service, given):
    bound = service.model().bind_tools([], **given)
    bound.invoke("hi")
    assert set(service.body) == {"model", "messages"}


@pytest.mark.parametrize(
    ("tools", "given", "kind", "said"),
    [
        (
            [OPENAI],
            {"tool_choice": "by_opnai"},
            CerebrasInvalidRequestError,
            (
                "tool_choice names 'by_opnai', which is not among the tools. Did you mean "
                "'by_openai'?"
            ),
        ),
        ([], {"tool_choice": "any"}, CerebrasInvalidRequestError, "needs tools"),
        (
            [OPENAI],
            {"tool_choice": {"type": "allowed_tools"}},
            UnsupportedFeatureError,
            "is not offered by Cerebras",
        ),
        (
            [{"type": "web_search"}],
            {},
            UnsupportedFeatureError,
            "Tool 'web_search' runs on another provider's servers",
        ),
        ([5], {}, CerebrasInvalidRequestError, "Cannot make a tool of"),
        (
            [function("a name")],
            {},
            CerebrasInvalidRequestError,
            "'a name' is not a function name that the service takes",
        ),
        (
            [function("f" * 65)],
            {},
            CerebrasInvalidRequestError,
            "1 to 64 characters",
        ),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else None,
)
def test_wrong_tools_and_choices_are_refused_when_bound(
    service, tools, given, kind, said
):
    with pytest.raises(kind) as caught:
        service.model().bind_tools(tools, **given)
    assert said in str(caught.value)


def test_an_unknown_argument_is_refused_at_the_call_by_its_name(service):
    bound = service.model().bind_tools([OPENAI], tool_chioce="any")
    with pytest.raises(CerebrasInvalidRequestError, match="'tool_choice'"):
        bound.invoke("hi")


def test_the_same_tools_are_converted_once(service, monkeypatch):
    from langchain_core.utils import function_calling

    counted = []
    convert = function_calling.convert_to_openai_tool

    def counting(*args, **kwargs):
        counted.append(args)
        return convert(*args, **kwargs)

    monkeypatch.setattr(function_calling, "convert_to_openai_tool", counting)

    def fresh(x: int) -> int:
        """Do something new."""
        return x

    class Fresh(BaseModel):
        """Something new."""

        y: int

    for _ in range(5):
        bound = service.model().bind_tools([fresh, Fresh], strict=True)
        bound.invoke("hi")
        bound.invoke("hi")
    assert len(counted) == 2
    assert len({str(body["tools"]) for body in service.bodies}) == 1


def test_a_callers_tools_are_not_changed(service):
    given = {"type": "function", "function": {**OPENAI["function"]}}
    before = str(given)
    service.model().bind_tools([given], strict=True).invoke("hi")
    assert str(given) == before


def test_a_call_of_a_tool_comes_back(service):
    service.answer(plain(None, tool_calls=[tool_call("get_weather", '{"city":"Ulm"}')]))
    message = service.model().bind_tools([get_weather]).invoke("hi")
    assert message.tool_calls == [
        {
            "name": "get_weather",
            "args": {"city": "Ulm"},
            "id": "049d9b129",
            "type": "tool_call",
        }
    ]
