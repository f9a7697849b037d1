"""`with_structured_output`: what is asked, what comes back, and what went wrong."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pydantic
import pydantic.v1
import pytest
from fake_service import (
    WAYS,
    pieces,
    plain,
    run,
    sse,
    text_deltas,
    tool_call,
    tool_deltas,
)
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.utils.function_calling import convert_to_json_schema
from typing_extensions import TypedDict

from langchain_cerebras_ext import _partial_json, _structured
from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    SchemaNotSupportedError,
    StructuredOutputError,
    StructuredOutputInvalidError,
    StructuredOutputMissingError,
    StructuredOutputRefusedError,
    StructuredOutputTruncatedError,
    UnsupportedFeatureError,
)

METHODS = ["json_schema", "function_calling", "json_mode"]


class Person(pydantic.BaseModel):
    """A person."""

    name: str = pydantic.Field(min_length=1)
    age: int = 0


class OldPerson(pydantic.v1.BaseModel):
    """A person."""

    name: str
    age: int = 0


class PersonDict(TypedDict):
    """A person."""

    name: Annotated[str, ..., "Full name."]
    age: Annotated[int, 0, "In years."]


PERSON = {
    "title": "PersonSchema",
    "description": "A person.",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer"},
    },
    "required": ["name"],
}
SCHEMAS = {
    "pydantic": Person,
    "pydantic v1": OldPerson,
    "typed dict": PersonDict,
    "json schema": PERSON,
}
NAMES = {
    "pydantic": "Person",
    "pydantic v1": "OldPerson",
    "typed dict": "PersonDict",
    "json schema": "PersonSchema",
}
ADA = '{"name": "Ada", "age": 36}'


def answer(method: str, text: str, name: str = "Person", **more: Any) -> dict[str, Any]:
    """The answer in which a method expects its structure."""
    if method == "function_calling":
        return plain(None, tool_calls=[tool_call(name, text)], **more)
    return plain(text, **more)


def as_dict(value: Any) -> Any:
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump()
    return value.dict() if isinstance(value, pydantic.v1.BaseModel) else dict(value)


def last(way: str, chain: Any, value: Any = "hi") -> Any:
    """The result; of a stream the last of its growing values."""
    return run(way, chain, value) if "invoke" in way else pieces(way, chain, value)[-1]


# ------------------------------------------------------------------------ what is asked


def strict_schema(**name: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"type": "string", **name}, "age": {"type": "integer"}},
        "required": ["name"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("strict", [None, True], ids=str)
def test_json_schema_is_strict_by_default_and_adapted(service, strict):
    service.answer(plain(ADA))
    chain = service.model().with_structured_output(PERSON, strict=strict)
    assert chain.invoke("hi") == {"name": "Ada", "age": 36}
    assert service.body == {
        "model": "gpt-oss-120b",
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "PersonSchema",
                "description": "A person.",
                "schema": strict_schema(description="At least 1 character."),
                "strict": True,
            },
        },
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_json_schema_that_is_not_strict_goes_as_it_is(service):
    service.answer(plain(ADA))
    service.model().with_structured_output(PERSON, strict=False).invoke("hi")
    inner = service.body["response_format"]["json_schema"]
    assert inner["strict"] is False
    assert inner["schema"]["properties"] == PERSON["properties"]
    assert "additionalProperties" not in inner["schema"]


@pytest.mark.parametrize(
    ("strict", "more"),
    [(None, {}), (False, {"strict": False}), (True, {"strict": True})],
    ids=str,
)
def test_function_calling_forces_the_one_tool(service, strict, more):
    service.answer(answer("function_calling", ADA, "PersonSchema"))
    chain = service.model(model="mine").with_structured_output(
        PERSON, method="function_calling", strict=strict
    )
    assert chain.invoke("hi") == {"name": "Ada", "age": 36}
    body = service.body
    (sent,) = body["tools"]
    parameters = sent["function"].pop("parameters")
    assert sent == {
        "type": "function",
        "function": {"name": "PersonSchema", "description": "A person.", **more},
    }
    assert (parameters == strict_schema(description="At least 1 character.")) is (
        strict is True
    )
    assert body["tool_choice"] == {
        "type": "function",
        "function": {"name": "PersonSchema"},
    }
    assert body["parallel_tool_calls"] is False
    assert "response_format" not in body


def test_json_mode_asks_for_any_json(service):
    service.answer(plain(ADA), plain('{"other": [1]}'))
    model = service.model()
    assert model.with_structured_output(PERSON, method="json_mode").invoke("hi")
    assert set(service.body) == {"model", "response_format", "messages"}
    assert service.body["response_format"] == {"type": "json_object"}
    free = model.with_structured_output(method="json_mode")
    assert free.invoke("hi") == {"other": [1]}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize(
    ("method", "strict"),
    [
        ("json_schema", None),
        ("json_schema", False),
        ("json_schema", True),
        ("function_calling", None),
        ("function_calling", False),
        ("function_calling", True),
        ("json_mode", None),
    ],
)
@pytest.mark.parametrize("include_raw", [False, True], ids=["parsed", "raw"])
@pytest.mark.filterwarnings("ignore:.*Pydantic v1:UserWarning")
def test_every_schema_by_every_method(service, way, kind, method, strict, include_raw):
    asked = method
    if kind == "pydantic v1" and method == "json_schema":
        asked = "function_calling"
    service.answer(answer(asked, ADA, NAMES[kind], reasoning="hm"))
    chain = service.model().with_structured_output(
        SCHEMAS[kind], method=method, strict=strict, include_raw=include_raw
    )
    result = run(way, chain) if include_raw else last(way, chain)
    if include_raw:
        assert set(result) == {"raw", "parsed", "parsing_error"}
        assert result["parsing_error"] is None
        assert result["raw"].additional_kwargs == {"reasoning_content": "hm"}
        assert result["raw"].usage_metadata["total_tokens"] == 12
        result = result["parsed"]
    assert as_dict(result) == {"name": "Ada", "age": 36}
    if kind.startswith("pydantic"):
        assert type(result) is SCHEMAS[kind]
    sent = service.body.get("tools", [{}])[0].get("function", {})
    sent = sent or service.body["response_format"].get("json_schema", {})
    default = True if asked == "json_schema" and strict is None else strict
    assert sent.get("strict") is default


def test_a_class_of_pydantic_v1_falls_back_with_a_warning_at_the_users_line(service):
    with pytest.warns(
        UserWarning, match="OldPerson is a class of Pydantic v1"
    ) as caught:
        service.model().with_structured_output(OldPerson)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:.*Pydantic v1:UserWarning")
def test_tracers_are_told_of_the_format(service, kind, method):
    class Handler(BaseCallbackHandler):
        def __init__(self):
            self.told = []

        def on_chat_model_start(self, *args, options, **kwargs):
            self.told.append(options["ls_structured_output_format"])

    handler = Handler()
    asked = "function_calling" if kind == "pydantic v1" else method
    asked = method if method == "json_mode" else asked
    service.answer(answer(asked, ADA, NAMES[kind]))
    chain = service.model().with_structured_output(SCHEMAS[kind], method=method)
    chain.invoke("hi", config={"callbacks": [handler]})
    (told,) = handler.told
    assert told["schema"] == convert_to_json_schema(SCHEMAS[kind])
    assert told["kwargs"]["method"] == asked
    assert "ls_structured_output_format" not in service.body


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "xml"}, "method='xml' is not one of 'json_schema', 'function"),
        ({"method": "json_mode", "strict": True}, "strict does not go together with"),
        ({"method": "json_mode", "strict": False}, "strict does not go together with"),
        ({"method": "json_mode", "tools": [PERSON]}, "tools do not go together with"),
        ({"temperature": 1}, "with_structured_output does not take 'temperature'; it"),
        ({"inlcude_raw": True}, "does not take 'inlcude_raw'; it takes schema, method"),
        ({"schema": None}, "method='json_schema' needs a schema"),
        ({"schema": None, "method": "function_calling"}, "needs a schema"),
        ({"schema": 5}, ""),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_at_once(service, given, said):
    with pytest.raises(CerebrasInvalidRequestError) as caught:
        service.model().with_structured_output(**{"schema": PERSON, **given})
    assert said in str(caught.value)


# ------------------------------------------------------------ schemas that cannot be said

RECURSIVE = {
    "title": "Node",
    "type": "object",
    "properties": {"child": {"$ref": "#"}, "name": {"type": "string"}},
    "required": ["name"],
}


def test_a_schema_that_cannot_be_strict_says_why_and_what_to_do(service):
    with pytest.raises(SchemaNotSupportedError) as caught:
        service.model().with_structured_output(RECURSIVE)
    said = str(caught.value)
    assert "recursive" in said
    assert "strict=False (the schema is a guide only)" in said
    assert "method='function_calling', or fallback=True" in said
    assert caught.value.path.startswith("$")


def test_it_falls_back_only_when_asked(service):
    service.answer(answer("function_calling", '{"name": "a"}', "Node"))
    chain = service.model().with_structured_output(RECURSIVE, fallback=True)
    assert chain.invoke("hi") == {"name": "a"}
    assert service.body["tools"][0]["function"]["name"] == "Node"
    service.answer(plain('{"name": "a"}'))
    chain = service.model().with_structured_output(RECURSIVE, strict=False)
    assert chain.invoke("hi") == {"name": "a"}
    assert service.body["response_format"]["json_schema"]["strict"] is False


def test_the_answer_is_checked_by_the_schema_as_it_was_given(service):
    service.answer(plain('{"name": ""}'), plain('{"name": ""}'))
    for schema in (Person, PERSON):
        with pytest.raises(
            StructuredOutputInvalidError, match="does not fit the schema"
        ):
            service.model().with_structured_output(schema).invoke("hi")


# -------------------------------------------------------------------------- what went wrong


def failures(method: str) -> dict[str, tuple[dict[str, Any], type, str]]:
    """Answers that are not the structure, with the error each should be."""
    due = "call of Person" if method == "function_calling" else "JSON object"
    return {
        "refused": (
            plain(None, refusal="I will not."),
            StructuredOutputRefusedError,
            "The answer was refused: I will not.",
        ),
        "filtered": (
            plain("", finish_reason="content_filter"),
            StructuredOutputRefusedError,
            "refused (finish_reason content_filter)",
        ),
        "cut": (
            answer(method, '{"name": "Ad', finish_reason="length"),
            StructuredOutputTruncatedError,
            "cut off at the token limit (finish_reason length)",
        ),
        "cut while thinking": (
            plain(None, reasoning="hm", finish_reason="length"),
            StructuredOutputTruncatedError,
            "raise max_tokens or lower reasoning_effort",
        ),
        "text": (
            plain("I am Ada."),
            StructuredOutputMissingError,
            f"{due} was due, but the model answered with text: 'I am Ada.'",
        ),
        "nothing": (
            plain(None),
            StructuredOutputMissingError,
            f"{due} was due, but the model answered with no content",
        ),
        "wrong tool": (
            plain(None, tool_calls=[tool_call("other", "{}")]),
            StructuredOutputMissingError,
            "answered with a call of other.",
        ),
        "broken": (
            answer(method, '{"name": "Ada",,}'),
            StructuredOutputInvalidError,
            "",
        ),
        "not fitting": (
            answer(method, '{"age": 3}'),
            StructuredOutputInvalidError,
            "does not fit the schema",
        ),
        "a list": (answer(method, "[1]"), StructuredOutputError, ""),
        "deep": (
            answer(method, '{"name":' + "[" * 50_000),
            StructuredOutputInvalidError,
            "",
        ),
    }


CASES = list(failures("json_schema"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "schema", [Person, {**PERSON, "title": "Person"}], ids=["class", "dict"]
)
def test_an_answer_that_is_not_the_structure_is_a_typed_error_with_the_raw_message(
    service, way, method, case, schema
):
    given, kind, said = failures(method)[case]
    service.answer(given)
    chain = service.model().with_structured_output(schema, method=method)
    with pytest.raises(kind) as caught:
        last(way, chain)
    error = caught.value
    assert isinstance(error, OutputParserException)
    assert isinstance(error, StructuredOutputError)
    assert said in str(error)
    assert type(error.raw) is AIMessage
    assert error.raw.response_metadata["model_provider"] == "cerebras"
    assert error.raw.usage_metadata["total_tokens"] == 12
    assert error.partial_usage == error.raw.usage_metadata
    assert error.llm_output == error.raw.text
    assert not error.is_retryable


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_include_raw_never_raises_for_what_the_model_sent(service, way, method, case):
    given, kind, said = failures(method)[case]
    service.answer(given)
    chain = service.model().with_structured_output(
        Person, method=method, include_raw=True
    )
    result = run(way, chain)
    assert set(result) == {"raw", "parsed", "parsing_error"}
    assert isinstance(result["parsing_error"], kind)
    assert said in str(result["parsing_error"])
    assert result["raw"].usage_metadata["total_tokens"] == 12
    assert result["parsed"] is None


class Hostile(pydantic.BaseModel):
    """Its validator raises what no validator should."""

    name: str

    @pydantic.field_validator("name")
    @classmethod
    def _check(cls, value: str) -> str:
        return {"known": value}[value]


@pytest.mark.parametrize("way", WAYS)
def test_a_users_validator_may_raise_anything(service, way):
    service.answer(plain('{"name": "other"}'), plain('{"name": "other"}'))
    model = service.model()
    with pytest.raises(StructuredOutputInvalidError) as caught:
        last(way, model.with_structured_output(Hostile))
    assert isinstance(caught.value.__cause__, KeyError)
    raw = run(way, model.with_structured_output(Hostile, include_raw=True))
    assert isinstance(raw["parsing_error"], StructuredOutputInvalidError)


def test_a_whole_structure_counts_even_at_the_token_limit(service):
    service.answer(plain(ADA, finish_reason="length"))
    assert service.model().with_structured_output(PERSON).invoke("hi")["name"] == "Ada"


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{ADA}\n```",
        f"```\n{ADA}\n```",
        f"<think>Is it {{}}?</think>\n{ADA}",
        f"\n {ADA} \n",
    ],
    ids=["fence", "bare fence", "thinking", "space"],
)
@pytest.mark.parametrize("way", WAYS)
def test_what_stands_around_json_is_taken_off(service, way, text):
    service.answer(plain(text))
    chain = service.model().with_structured_output(PERSON, method="json_mode")
    assert last(way, chain) == {"name": "Ada", "age": 36}


def test_a_handler_of_output_parser_errors_catches_ours(service):
    service.answer(plain("no"), plain(ADA))
    model = service.model()
    chain = model.with_structured_output(PERSON).with_retry(
        retry_if_exception_type=(OutputParserException,), wait_exponential_jitter=False
    )
    assert chain.invoke("hi")["name"] == "Ada"
    assert len(service.requests) == 2


# ------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_stream_yields_growing_partial_dicts(service, way, method, version):
    text = json.dumps({"name": "Ada Lovelace", "age": 36})
    deltas = (
        tool_deltas("PersonSchema", text, 4)
        if method == "function_calling"
        else text_deltas(text, 4)
    )
    service.answer(sse({"reasoning": "hm"}, *deltas))
    chain = service.model(output_version=version).with_structured_output(
        PERSON, method=method
    )
    found = pieces(way, chain)
    names = [part.get("name", "") for part in found]
    assert found[-1] == {"name": "Ada Lovelace", "age": 36}
    assert len(set(names)) > 3
    assert all("Ada Lovelace".startswith(name) for name in names)
    assert names == sorted(names, key=len)
    assert all(part.get("age") in (None, 36) for part in found)
    assert all(found[at] != found[at + 1] for at in range(len(found) - 1))
    assert service.body["stream"] is True


class Crowd(pydantic.BaseModel):
    """Many names."""

    names: list[str] = []
    title: str = ""


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_a_stream_yields_validated_partial_objects(service, way, method):
    text = json.dumps({"names": ["Ada", "Grace", "Barbara"], "title": "Pioneers"})
    deltas = (
        tool_deltas("Crowd", text)
        if method == "function_calling"
        else text_deltas(text)
    )
    service.answer(sse(*deltas))
    found = pieces(way, service.model().with_structured_output(Crowd, method=method))
    assert all(type(part) is Crowd for part in found)
    assert found[-1] == Crowd(names=["Ada", "Grace", "Barbara"], title="Pioneers")
    assert len(found) > 5
    sizes = [len(part.names) for part in found]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("schema", [Person, PERSON], ids=["class", "dict"])
def test_a_stream_with_include_raw_gives_chunks_and_partials(service, way, schema):
    service.answer(sse(*text_deltas(ADA)))
    chain = service.model().with_structured_output(schema, include_raw=True)
    found = pieces(way, chain)
    raws = [part["raw"] for part in found if "raw" in part]
    partials = [part["parsed"] for part in found if "parsed" in part]
    assert "".join(raw.text for raw in raws) == ADA
    assert len(partials) > 1
    assert as_dict(partials[-1]) == {"name": "Ada", "age": 36}
    assert found[-1]["parsing_error"] is None
    whole = found[0]
    for part in found[1:]:
        whole = whole + part
    assert whole["raw"].text == ADA
    assert as_dict(whole["parsed"]) == {"name": "Ada", "age": 36}


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("include_raw", [False, True], ids=["parsed", "raw"])
def test_json_mode_is_sent_unstreamed_under_a_stream(service, way, include_raw):
    service.answer(plain(ADA, reasoning="hm"))
    chain = service.model().with_structured_output(
        Person, method="json_mode", include_raw=include_raw
    )
    found = pieces(way, chain)
    assert "stream" not in service.body
    result = found[-1]["parsed"] if include_raw else found[-1]
    assert result == Person(name="Ada", age=36)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", [{"disable_streaming": True}, {"streaming": True}])
def test_it_works_whether_or_not_streams_are_used(service, way, given):
    service.answer(plain(ADA))
    chain = service.model(**given).with_structured_output(Person)
    assert last(way, chain) == Person(name="Ada", age=36)


def _count(monkeypatch, length: int, schema: Any, service) -> dict[str, int]:
    """Stream a structure of some length and count what was done for it."""
    counted = {"characters": 0, "validations": 0, "whole parses": 0}
    feed = _partial_json.PartialJson.feed
    checked = _structured.StructuredOutputParser._checked
    loads = json.loads

    def counting_feed(self, text):
        counted["characters"] += len(text)
        return feed(self, text)

    def counting_check(self, value, message):
        counted["validations"] += 1
        return checked(self, value, message)

    def counting_loads(text, *args, **kwargs):
        counted["whole parses"] += 1
        return loads(text, *args, **kwargs)

    text = json.dumps({"names": ["x" * 8] * (length // 12)})
    service.answer(sse(*text_deltas(text, 10)))
    chain = service.model().with_structured_output(schema)
    with monkeypatch.context() as patch:
        patch.setattr(_partial_json.PartialJson, "feed", counting_feed)
        patch.setattr(_structured.StructuredOutputParser, "_checked", counting_check)
        patch.setattr(_structured.json, "loads", counting_loads)
        assert len(list(chain.stream("hi"))) > 5
    assert counted["characters"] == len(text)
    return counted


@pytest.mark.parametrize(
    "schema", [Crowd, Crowd.model_json_schema()], ids=["class", "dict"]
)
def test_the_work_of_a_stream_grows_with_its_length_only(service, monkeypatch, schema):
    short = _count(monkeypatch, 2_000, schema, service)
    long = _count(monkeypatch, 20_000, schema, service)
    # A dict is checked once, at the end; an object whenever it grew by a tenth.
    if schema is Crowd:
        assert long["validations"] - short["validations"] <= 30
    else:
        assert long["validations"] == short["validations"] == 1
    assert long["whole parses"] == short["whole parses"]


def test_what_a_stream_yielded_is_not_changed_by_what_follows(service):
    service.answer(sse(*text_deltas(json.dumps({"names": ["a", "b", "c"]}), 2)))
    chain = service.model().with_structured_output(Crowd.model_json_schema())
    found, shown = [], []
    for part in chain.stream("hi"):
        found.append(part)
        shown.append(json.dumps(part))
    assert [json.dumps(part) for part in found] == shown


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_broken_stream_of_json_yields_what_was_right_and_then_raises(service, way):
    service.answer(sse(*text_deltas('{"name": "Ada", oops')))
    chain = service.model().with_structured_output(PERSON)
    with pytest.raises(StructuredOutputInvalidError) as caught:
        pieces(way, chain)
    assert caught.value.raw.text == '{"name": "Ada", oops'


# ---------------------------------------------------------------------------- with tools


def look_up(word: str) -> str:
    """Look a word up."""
    return word


def _names(body: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in body["tools"]]


@pytest.mark.parametrize("how", ["argument", "bound"])
def test_tools_survive_with_json_schema_where_the_model_takes_both(service, how):
    service.answer(plain(ADA))
    model = service.model(model="zai-glm-4.7")
    if how == "bound":
        bound = model.bind_tools([look_up], tool_choice="auto").bind(temperature=0)
        chain = bound.with_structured_output(Person)
    else:
        chain = model.bind(temperature=0).with_structured_output(
            Person, tools=[look_up]
        )
    assert chain.invoke("hi") == Person(name="Ada", age=36)
    assert _names(service.body) == ["look_up"]
    assert service.body["response_format"]["type"] == "json_schema"
    assert service.body["temperature"] == 0
    assert service.body.get("tool_choice") == ("auto" if how == "bound" else None)


@pytest.mark.parametrize("how", ["argument", "bound"])
def test_tools_survive_with_function_calling(service, how):
    service.answer(answer("function_calling", ADA))
    model = service.model()
    if how == "bound":
        chain = model.bind_tools([look_up]).with_structured_output(
            Person, method="function_calling"
        )
    else:
        chain = model.with_structured_output(
            Person, method="function_calling", tools=[look_up]
        )
    assert chain.invoke("hi") == Person(name="Ada", age=36)
    assert sorted(_names(service.body)) == ["Person", "look_up"]
    assert service.body["tool_choice"] == "required"


def test_a_model_that_cannot_do_both_says_so_at_once(service):
    model = service.model()
    for build in (
        lambda: model.with_structured_output(Person, tools=[look_up]),
        lambda: model.bind_tools([look_up]).with_structured_output(Person),
    ):
        with pytest.raises(UnsupportedFeatureError) as caught:
            build()
        assert str(caught.value) == (
            "gpt-oss-120b does not take tools together with response_format "
            "'json_schema'. Use method='function_calling', or fallback=True."
        )
    service.answer(answer("function_calling", ADA))
    chain = model.with_structured_output(Person, tools=[look_up], fallback=True)
    assert chain.invoke("hi") == Person(name="Ada", age=36)


def test_bound_tools_do_not_go_with_json_mode_and_that_is_said(service):
    bound = service.model().bind_tools([look_up])
    with pytest.raises(CerebrasInvalidRequestError, match="tools do not go together"):
        bound.with_structured_output(Person, method="json_mode")


@pytest.mark.parametrize("way", WAYS)
def test_content_and_tool_calls_together_give_the_content(service, way):
    both = plain(ADA, tool_calls=[tool_call("look_up", '{"word":"x"}')])
    service.answer(both, both)
    model = service.model(model="zai-glm-4.7")
    chain = model.with_structured_output(Person, tools=[look_up])
    assert last(way, chain) == Person(name="Ada", age=36)
    chain = model.with_structured_output(Person, tools=[look_up], include_raw=True)
    result = run(way, chain)
    assert result["parsed"] == Person(name="Ada", age=36)
    assert result["raw"].tool_calls[0]["name"] == "look_up"


@pytest.mark.parametrize("way", WAYS)
def test_a_call_of_another_tool_is_seen_with_include_raw(service, way):
    call = plain(None, tool_calls=[tool_call("look_up", '{"word":"x"}')])
    service.answer(call, call)
    model = service.model(model="zai-glm-4.7")
    result = run(
        way, model.with_structured_output(Person, tools=[look_up], include_raw=True)
    )
    assert result["parsed"] is None
    assert result["parsing_error"] is None
    assert result["raw"].tool_calls[0]["args"] == {"word": "x"}
    with pytest.raises(
        StructuredOutputMissingError, match="Use include_raw=True"
    ) as caught:
        last(way, model.with_structured_output(Person, tools=[look_up]))
    assert caught.value.raw.tool_calls[0]["name"] == "look_up"


# ------------------------------------------------------------------------------ in chains


def test_it_stands_in_a_chain_and_batches(service):
    service.answer(plain(ADA), plain('{"name": "Bob"}'))
    prompt = ChatPromptTemplate.from_messages([("human", "Who is {who}?")])
    chain = prompt | service.model().with_structured_output(Person)
    found = chain.batch([{"who": "a"}, {"who": "b"}], config={"max_concurrency": 1})
    assert [person.name for person in found] == ["Ada", "Bob"]


def test_the_parser_says_what_it_gives():
    parser = _structured.StructuredOutputParser
    assert parser(target=Person).OutputType is Person
    assert parser(target=PERSON).OutputType == dict[str, Any]
    assert parser(target=Person, include_raw=True).OutputType == dict[str, Any]
    assert parser(target=Person).parse(ADA) == Person(name="Ada", age=36)


def test_the_parser_reads_bare_text_and_streams_of_it():
    parser = _structured.StructuredOutputParser(target=PERSON)
    assert parser._type == "cerebras_structured_output"
    assert list(parser.transform(iter([ADA[:9], ADA[9:]])))[-1]["age"] == 36
    assert list(parser.transform(iter([]))) == []
    raw = _structured.StructuredOutputParser(target=PERSON, include_raw=True)
    assert raw.invoke(ADA)["parsed"] == {"name": "Ada", "age": 36}


def test_parts_with_raw_add_up_from_a_plain_dict_too():
    part = _structured._RawParts({"parsed": 2})
    assert {"parsed": 1, "other": 3} + part == {"parsed": 2, "other": 3}


TOOL = {
    "type": "function",
    "function": {
        "name": "Person",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        },
    },
}


@pytest.mark.parametrize("method", METHODS)
def test_a_tool_dict_is_a_schema_too(service, method):
    service.answer(answer(method, ADA), answer(method, "{}"))
    chain = service.model().with_structured_output(TOOL, method=method)
    assert chain.invoke("hi")["name"] == "Ada"
    with pytest.raises(StructuredOutputInvalidError, match="'name' is a required"):
        chain.invoke("hi")


def test_a_chain_after_it_gets_the_object(service):
    service.answer(plain(ADA))
    chain = service.model().with_structured_output(Person) | (lambda p: p.name)
    assert (chain | StrOutputParser()).invoke("hi") == "Ada"
