"""Tools, tool choices and arguments, in the API's form."""

import gc
import json
import logging
import threading
import weakref
from typing import Annotated, Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool, Tool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from pydantic.v1 import create_model as create_model_v1
from typing_extensions import TypedDict

from langchain_cerebras_ext import _tools
from langchain_cerebras_ext._schema import is_strict_compatible
from langchain_cerebras_ext._tools import (
    ARGUMENTS_ERROR,
    ToolCache,
    convert_tools,
    normalise_tool_choice,
    parse_arguments,
    tool_name,
)
from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    SchemaNotSupportedError,
    UnsupportedFeatureError,
)


def add(a: int, b: Annotated[int, "the second"] = 2) -> int:
    """Add two numbers."""
    return a + b


class Weather(BaseModel):
    """Weather of a city."""

    city: str = Field(min_length=1)


# Made by a call: class syntax does not work with Pydantic v1 from Python 3.14 on.
OldWeather = create_model_v1("OldWeather", city=(str, ...))


class TypedWeather(TypedDict):
    """Weather of a city."""

    city: str


@tool
def search(query: str) -> str:
    """Search."""
    return query


PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
OPENAI_TOOL = {
    "type": "function",
    "function": {"name": "Weather", "description": "W.", "parameters": PARAMETERS},
}


def names_of(tools):
    return [one["function"]["name"] for one in tools]


# ------------------------------------------------------------------------- conversion

KINDS = {
    "function": (add, "add"),
    "Pydantic class": (Weather, "Weather"),
    "Pydantic v1 class": (OldWeather, "OldWeather"),
    "TypedDict": (TypedWeather, "TypedWeather"),
    "LangChain tool": (search, "search"),
    "LangChain tool of one text": (
        Tool(name="echo", func=str, description="Echo."),
        "echo",
    ),
    "OpenAI tool": (OPENAI_TOOL, "Weather"),
    "OpenAI function": (OPENAI_TOOL["function"], "Weather"),
    "tool of the Responses API": (
        {"type": "function", "name": "f", "parameters": PARAMETERS},
        "f",
    ),
    "Anthropic tool": (
        {"name": "f", "description": "d", "input_schema": PARAMETERS},
        "f",
    ),
    "Anthropic custom tool": (
        {"type": "custom", "name": "f", "input_schema": PARAMETERS},
        "f",
    ),
    "Bedrock tool": (
        {"toolSpec": {"name": "f", "inputSchema": {"json": PARAMETERS}}},
        "f",
    ),
    "JSON Schema": ({"title": "f", "description": "d", **PARAMETERS}, "f"),
}


@pytest.mark.parametrize(("given", "name"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("strict", [None, False, True])
def test_every_kind_of_tool_is_converted(given, name, strict):
    """The result has the API's keys only, and `strict` only if it was given."""
    (made,) = convert_tools([given], strict=strict)
    assert made["type"] == "function"
    function = made["function"]
    assert function["name"] == name
    assert function["parameters"]["properties"]
    assert set(function) <= {"name", "description", "parameters", "strict"}
    assert function.get("strict") is strict
    if strict:
        assert is_strict_compatible(function["parameters"]) == []


@pytest.mark.parametrize("given", [add, Weather, search], ids=["add", "class", "tool"])
def test_conversion_is_that_of_langchain(given):
    """Without `strict`, nothing is added to what core makes."""
    assert convert_tools([given]) == [convert_to_openai_tool(given)]


def test_strict_adapts_the_parameters():
    """What the subset refuses goes into descriptions."""
    (made,) = convert_tools([Weather], strict=True)
    assert made["function"] == {
        "name": "Weather",
        "description": "Weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "At least 1 character."}
            },
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    }


class Part(BaseModel):
    """A part."""

    names: list[str]


class Machine(BaseModel):
    """A machine."""

    parts: list[Part]
    spare: Part


class Node(BaseModel):
    """A node."""

    children: list["Node"]


class BuildMachine(BaseTool):
    name: str = "build"
    description: str = "Build it."
    args_schema: type[BaseModel] = Machine

    def _run(self, **kwargs):
        return ""


@pytest.mark.parametrize("given", [Machine, BuildMachine()], ids=["class", "tool"])
def test_strict_parameters_with_definitions_are_adapted_from_their_source(given):
    """The description stands at the function only, definitions where they are used."""
    (made,) = convert_tools([given], strict=True)
    parameters = made["function"]["parameters"]
    assert is_strict_compatible(parameters) == []
    assert "description" not in parameters
    assert parameters["properties"]["spare"]["properties"]["names"]["type"] == "array"


def test_descriptions_that_strict_has_no_room_for_are_cut_and_logged(caplog):
    """Nothing is shortened silently."""
    parameters = {
        "type": "object",
        "properties": {"a": {"type": "string", "description": "x" * 6000}},
    }
    given = {"name": "talkative", "parameters": parameters}
    with caplog.at_level(logging.WARNING):
        convert_tools([given], strict=True, cache=ToolCache())
    assert "descriptions in schema 'talkative' were cut" in caplog.text


def test_a_recursive_class_cannot_be_strict_and_the_cycle_is_named():
    """LangChain's conversion would have hidden it."""
    with pytest.raises(SchemaNotSupportedError, match="recursive: Node -> Node"):
        convert_tools([Node], strict=True)


def test_a_tool_without_parameters():
    """Nothing is made up, but strict tools must say that there are none."""
    given = {"name": "ping", "description": ""}
    assert convert_tools([given])[0]["function"] == {"name": "ping"}
    assert convert_tools([given], strict=True)[0]["function"]["parameters"] == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }


def test_marks_of_other_providers_are_left_out():
    """Agents that change providers carry them along."""
    marked = {
        **OPENAI_TOOL,
        "cache_control": {"type": "ephemeral"},
        "function": {**OPENAI_TOOL["function"], "defer_loading": True},
    }
    assert convert_tools([marked]) == [OPENAI_TOOL]


def test_no_tools_are_no_tools():
    """An empty list stays empty, whatever is asked of it."""
    assert convert_tools([]) == []
    assert convert_tools([], strict=True) == []


# ----------------------------------------------------------------------------- strict


def dict_tool(name, strict):
    function = {"name": name, "parameters": PARAMETERS}
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


@pytest.mark.parametrize("strict", [None, False, True])
def test_equal_strict_of_the_tools_is_kept(strict):
    """Tool dicts that agree need no `strict` in the call."""
    made = convert_tools([dict_tool("a", strict), dict_tool("b", strict)])
    assert [one["function"].get("strict") for one in made] == [strict, strict]
    assert ("additionalProperties" in made[0]["function"]["parameters"]) is (
        strict is True
    )


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (True, False, "strict=True on 'a'; strict=False on 'b'"),
        (True, None, "strict=True on 'a'; not set on 'b'"),
        (False, None, "strict=False on 'a'; not set on 'b'"),
    ],
)
def test_mixed_strict_is_an_error(first, second, told):
    """The service demands that all tools of a request agree."""
    with pytest.raises(CerebrasInvalidRequestError) as caught:
        convert_tools([dict_tool("a", first), dict_tool("b", second)])
    assert told in str(caught.value)
    assert "Pass strict=True or strict=False for all of them" in str(caught.value)


def test_partly_set_strict_is_completed_by_the_call():
    """One `strict` for the call covers the tools that do not say."""
    made = convert_tools([dict_tool("a", True), search], strict=True)
    assert [one["function"]["strict"] for one in made] == [True, True]


@pytest.mark.parametrize("strict", [True, False])
def test_a_tool_that_contradicts_the_call_is_an_error(strict):
    """It is named, and the remedy as well."""
    with pytest.raises(CerebrasInvalidRequestError) as caught:
        convert_tools([dict_tool("a", not strict), search], strict=strict)
    assert f"strict={strict} was asked for, but 'a' says strict={not strict}" in str(
        caught.value
    )


def test_parameters_that_strict_cannot_express_name_the_tool_and_the_place():
    """And say how to go on without."""

    def store(values: dict[str, int]) -> None:
        """Store."""

    with pytest.raises(SchemaNotSupportedError) as caught:
        convert_tools([search, store], strict=True)
    assert "The schema of 'store'" in str(caught.value)
    assert "at $.properties.values" in str(caught.value)
    assert str(caught.value).endswith("Or bind the tools with strict=False.")
    assert caught.value.path == "$.properties.values"
    assert names_of(convert_tools([search, store])) == ["search", "store"]


# --------------------------------------------------------------------------- refusals

REFUSED = {
    "web search": ({"type": "web_search"}, UnsupportedFeatureError, "'web_search'"),
    "dated web search": (
        {"type": "web_search_20250305", "name": "web_search"},
        UnsupportedFeatureError,
        "Tool 'web_search_20250305' runs on another provider's servers",
    ),
    "MCP": ({"type": "mcp", "server_url": "x"}, UnsupportedFeatureError, "'mcp'"),
    "OpenAI custom tool": (
        {"type": "custom", "name": "code", "format": {}},
        UnsupportedFeatureError,
        "'custom'",
    ),
    "Google search": ({"google_search": {}}, UnsupportedFeatureError, "google_search"),
    "LangChain custom tool": (
        Tool(name="c", func=str, description="d", metadata={"type": "custom_tool"}),
        UnsupportedFeatureError,
        "Tool 'c'",
    ),
    "name with a space": (
        {"name": "get weather", "parameters": {}},
        CerebrasInvalidRequestError,
        "'get weather' is not a function name",
    ),
    "long name": (
        {"name": "x" * 65, "parameters": {}},
        CerebrasInvalidRequestError,
        "1 to 64 characters",
    ),
    "no name": (
        {"type": "function", "function": {"parameters": {}}},
        CerebrasInvalidRequestError,
        "None is not a function name",
    ),
    "name that is no text": (
        {"name": 3},
        CerebrasInvalidRequestError,
        "3 is not a function name",
    ),
    "unknown key": (
        {"type": "function", "function": {"name": "f", "paramters": {}}},
        CerebrasInvalidRequestError,
        "Key 'paramters' of tool 'f' is not part of the API. Did you mean 'parameters'",
    ),
    "unknown key outside": (
        {**OPENAI_TOOL, "zzz": 1},
        CerebrasInvalidRequestError,
        "Key 'zzz' of tool 'Weather' is not part of the API. Remove it.",
    ),
    "parameters that are no schema": (
        {"type": "function", "function": {"name": "f", "parameters": [1]}},
        CerebrasInvalidRequestError,
        "parameters of tool 'f' must be a JSON Schema",
    ),
    "strict that is no bool": (
        {"type": "function", "function": {"name": "f", "strict": "yes"}},
        CerebrasInvalidRequestError,
        "strict='yes' on tool 'f' must be True or False",
    ),
    "function missing": (
        {"type": "function"},
        CerebrasInvalidRequestError,
        "needs a function",
    ),
    "schema without a title": (
        {"type": "object", "properties": {}},
        CerebrasInvalidRequestError,
        "Cannot make a tool of a dict with the keys ['properties', 'type']",
    ),
    "no tool at all": (3, CerebrasInvalidRequestError, "Cannot make a tool of 3"),
    "value that is no JSON": (
        {"name": "f", "parameters": {"x": object}},
        CerebrasInvalidRequestError,
        "A tool dict holds a value that is no JSON",
    ),
}


@pytest.mark.parametrize(("given", "error", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_tool_of_the_api_is_refused(given, error, told):
    """Before anything is sent, with the remedy."""
    with pytest.raises(error) as caught:
        convert_tools([given])
    assert told in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_an_object_that_is_no_tool_is_not_shown_whole():
    """It may hold a key."""

    class Client:
        def __repr__(self):
            return "Client(csk-secret)"

    with pytest.raises(CerebrasInvalidRequestError) as caught:
        convert_tools([Client()])
    assert "csk-secret" not in str(caught.value)
    assert "a Client" in str(caught.value)


def test_a_function_with_unknown_types_is_refused():
    """Type hints that cannot be read are told, not raised as they come."""

    def broken(x: "NoSuchType") -> None:  # noqa: F821
        """Break."""

    with pytest.raises(CerebrasInvalidRequestError, match="function 'broken'"):
        convert_tools([broken])


def test_two_tools_of_one_name_are_an_error():
    """A call could not say which it means."""
    with pytest.raises(CerebrasInvalidRequestError, match="Two tools are named 'Wea"):
        convert_tools([Weather, search, OPENAI_TOOL])


def test_a_class_and_its_schema_are_one_tool():
    """They differ in titles, which LangChain takes out of classes only."""
    (tool,) = convert_tools([Weather, Weather.model_json_schema(), Weather])
    assert tool == convert_tools([Weather])[0]


def test_a_property_named_title_tells_two_tools_apart():
    """Only the titles of schemas are nothing; a property of this name is a lot."""

    def with_property(name):
        properties = {name: {"type": "string"}, "page": {"type": "integer"}}
        return {
            "title": "Book",
            "description": "A book.",
            "type": "object",
            "properties": properties,
        }

    with pytest.raises(CerebrasInvalidRequestError, match="Two tools are named 'Book'"):
        convert_tools([with_property("title"), with_property("subtitle")])


# ------------------------------------------------------------------------------ cache


@pytest.fixture
def conversions(monkeypatch):
    """Count how often a tool is really converted."""
    seen = []
    convert = _tools._function_of

    def counting(given):
        seen.append(given)
        return convert(given)

    monkeypatch.setattr(_tools, "_function_of", counting)
    return seen


@pytest.mark.parametrize(
    "given", [add, Weather, TypedWeather, search, OPENAI_TOOL], ids=lambda g: type(g)
)
def test_binding_the_same_tool_again_converts_nothing(given, conversions):
    """Neither with `strict` nor without."""
    cache = ToolCache()
    for _ in range(3):
        convert_tools([given], cache=cache)
        convert_tools([given], strict=True, cache=cache)
    assert len(conversions) == 1
    assert len(cache) == 1


def test_equal_dicts_are_converted_once(conversions):
    """A dict is known by its content, so that a new one of the same content is."""
    cache = ToolCache()
    for _ in range(3):
        convert_tools([json.loads(json.dumps(OPENAI_TOOL))], cache=cache)
    assert len(conversions) == 1


def test_a_changed_dict_is_converted_again():
    """The cache holds no dict of the caller's."""
    cache = ToolCache()
    given = json.loads(json.dumps(OPENAI_TOOL))
    convert_tools([given], cache=cache)
    given["function"]["name"] = "other"
    assert names_of(convert_tools([given], cache=cache)) == ["other"]


def test_a_changed_tool_is_converted_again():
    """Tools are mutable, and people give them better descriptions."""
    cache = ToolCache()
    given = StructuredTool.from_function(add)
    convert_tools([given], cache=cache)
    given.description = "Sum up."
    given.name = "plus"
    (made,) = convert_tools([given], cache=cache)
    assert made["function"]["name"] == "plus"
    assert made["function"]["description"] == "Sum up."
    schema = json.loads(json.dumps(PARAMETERS))
    given.args_schema = schema
    assert "city" in str(convert_tools([given], cache=cache))


def test_what_a_caller_does_to_the_result_stays_with_the_caller():
    """Each call gives new dicts, all the way down."""
    cache = ToolCache()
    for strict in (None, True):
        for given in (add, OPENAI_TOOL):
            (first,) = convert_tools([given], strict=strict, cache=cache)
            before = json.dumps(first)
            first["function"]["parameters"]["properties"].clear()
            first["function"]["name"] = "spoilt"
            (second,) = convert_tools([given], strict=strict, cache=cache)
            assert json.dumps(second) == before
    assert OPENAI_TOOL["function"]["parameters"]["properties"]


def test_the_cache_keeps_no_tool_alive():
    """What was bound once and thrown away is forgotten."""
    cache = ToolCache()
    for _ in range(20):

        def short_lived(a: int) -> int:
            """Live shortly."""
            return a

        convert_tools([short_lived, StructuredTool.from_function(add)], cache=cache)
        reference = weakref.ref(short_lived)
        del short_lived
    gc.collect()
    assert reference() is None
    assert len(cache) <= 2


def test_the_cache_of_dicts_is_bounded():
    """An agent that makes up tools does not fill the memory."""
    cache = ToolCache(max_dicts=3)
    for at in range(10):
        convert_tools([dict_tool(f"t{at}", None)], cache=cache)
    assert len(cache) == 3


def test_an_error_is_not_kept():
    """A tool that was mended works."""
    cache = ToolCache()
    given: dict[str, Any] = {"type": "function", "function": {"name": "a b"}}
    with pytest.raises(CerebrasInvalidRequestError):
        convert_tools([given], cache=cache)
    given["function"]["name"] = "a_b"
    assert names_of(convert_tools([given], cache=cache)) == ["a_b"]


def test_threads_share_the_cache():
    """Many threads binding the same and new tools get what they asked for."""
    cache = ToolCache(max_dicts=4)
    wrong = []

    def work(mine):
        for at in range(50):
            tools = [add, search, dict_tool(f"t{mine}_{at % 7}", None)]
            made = names_of(convert_tools(tools, cache=cache))
            if made != ["add", "search", f"t{mine}_{at % 7}"]:
                wrong.append(made)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ------------------------------------------------------------------------ tool choice

TOOLS = convert_tools([search, add, Weather])


def named(name):
    return {"type": "function", "function": {"name": name}}


class Lookup(BaseTool):
    name: str = "search"
    description: str = "Search."

    def _run(self, query: str) -> str:
        return query


CHOICES = {
    "None": (None, None),
    "False": (False, None),
    "True": (True, "required"),
    "any": ("any", "required"),
    "required": ("required", "required"),
    "auto": ("auto", "auto"),
    "none": ("none", "none"),
    "name": ("search", named("search")),
    "OpenAI dict": (named("add"), named("add")),
    "dict of the Responses API": (
        {"type": "function", "name": "add"},
        named("add"),
    ),
    "Anthropic tool": ({"type": "tool", "name": "add"}, named("add")),
    "Anthropic any": ({"type": "any"}, "required"),
    "Anthropic auto": ({"type": "auto"}, "auto"),
    "Anthropic none": ({"type": "none"}, "none"),
    "Pydantic class": (Weather, named("Weather")),
    "function": (add, named("add")),
    "LangChain tool": (Lookup(), named("search")),
    "tool dict": (OPENAI_TOOL, named("Weather")),
}


@pytest.mark.parametrize(("choice", "expected"), CHOICES.values(), ids=CHOICES)
def test_every_form_of_tool_choice_is_understood(choice, expected):
    """LangChain's, OpenAI's and Anthropic's forms become the API's."""
    assert normalise_tool_choice(choice, TOOLS) == expected


BAD_CHOICES = {
    "unknown name": (
        "serch",
        CerebrasInvalidRequestError,
        "names 'serch', which is not among the tools. Did you mean 'search'?",
    ),
    "unknown name, nothing near": (
        "zzz",
        CerebrasInvalidRequestError,
        "The tools are 'search', 'add', 'Weather'.",
    ),
    "unknown name in a dict": (
        named("serch"),
        CerebrasInvalidRequestError,
        "Did you mean 'search'?",
    ),
    "unbound class": (
        OldWeather,
        CerebrasInvalidRequestError,
        "'OldWeather', which is not among the tools",
    ),
    "dict without a name": (
        {"type": "function"},
        CerebrasInvalidRequestError,
        "does not say which tool",
    ),
    "dict without a type": (
        {"name": "search"},
        CerebrasInvalidRequestError,
        "does not say which tool",
    ),
    "allowed tools": (
        {"type": "allowed_tools", "mode": "auto"},
        UnsupportedFeatureError,
        "tool_choice of type 'allowed_tools' is not offered",
    ),
    "Anthropic's switch": (
        {"type": "auto", "disable_parallel_tool_use": True},
        CerebrasInvalidRequestError,
        "Pass parallel_tool_calls=False instead",
    ),
    "number": (3, CerebrasInvalidRequestError, "Cannot make a tool of 3"),
}


@pytest.mark.parametrize(
    ("choice", "error", "told"), BAD_CHOICES.values(), ids=BAD_CHOICES
)
def test_a_choice_that_the_service_would_refuse_is_refused_here(choice, error, told):
    """With the nearest name, or the right form."""
    with pytest.raises(error) as caught:
        normalise_tool_choice(choice, TOOLS)
    assert told in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("choice", ["auto", "any", "search", True, named("search")])
def test_a_choice_without_tools_is_an_error(choice):
    """Version 2 of the API refuses it."""
    with pytest.raises(CerebrasInvalidRequestError, match="the request has none"):
        normalise_tool_choice(choice, [])
    assert normalise_tool_choice(None, []) is None


def test_tool_name_is_the_name_that_is_sent():
    """For any kind of tool."""
    assert [tool_name(one) for one in (add, Weather, search, OPENAI_TOOL)] == [
        "add",
        "Weather",
        "search",
        "Weather",
    ]


# -------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"a": 1}', {"a": 1}, id="object"),
        pytest.param("{}", {}, id="empty object"),
        pytest.param("", {}, id="empty"),
        pytest.param(" \n", {}, id="blank"),
        pytest.param(None, {}, id="none"),
        pytest.param('{"a": "ü\\u00fc"}', {"a": "üü"}, id="unicode"),
        pytest.param('{"a": "x\ny"}', {"a": "x\ny"}, id="raw line break"),
        pytest.param(
            '{"a": 12345678901234567890}', {"a": 12345678901234567890}, id="int"
        ),
    ],
)
def test_arguments_are_read(text, expected):
    """An empty text is a call without arguments."""
    assert parse_arguments(text) == (expected, None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"a": 1', id="cut off"),
        pytest.param('{"path": "/tmp', id="cut off in a string"),
        pytest.param('{"a": 1} x', id="trailing text"),
        pytest.param("[1]", id="list"),
        pytest.param("null", id="null"),
        pytest.param('"a"', id="string"),
        pytest.param('{"a": NaN}', id="NaN"),
        pytest.param('{"a": -Infinity}', id="infinity"),
        pytest.param("{'a': 1}", id="single quotes"),
        pytest.param("[" * 100_000, id="endlessly deep"),
        pytest.param('{"a": ' + "1" * 5000 + "}", id="endlessly long number"),
    ],
)
def test_arguments_that_are_no_whole_object_are_not_completed(text):
    """A call that was cut off must not be run with half its arguments."""
    assert parse_arguments(text) == (None, ARGUMENTS_ERROR)
    assert ARGUMENTS_ERROR == "Failed to parse tool call arguments as JSON"
