"""What is sent: per-call arguments, extra keys, headers, n, JSON mode."""

from __future__ import annotations

import dataclasses
import gzip
import json

import msgspec
import pytest
from fake_service import KEY, WAYS, pieces, plain, run, sse
from langchain_core.messages import HumanMessage

from langchain_cerebras_ext import ChatCerebras, __version__, _request
from langchain_cerebras_ext.catalog import get_model
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasInvalidRequestError,
    UnsupportedFeatureError,
)

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
OTHER = {"type": "function", "function": {"name": "f", "description": "Another."}}


# -------------------------------------------------------------------- calls override


@pytest.mark.parametrize("way", WAYS)
def test_a_call_overrides_the_model_and_its_parameters(service, way):
    model = service.model(temperature=1, max_tokens=5, seed=1)
    run(
        way,
        model,
        model="cerebras::qwen-3.8-27b",
        temperature=0,
        max_completion_tokens=7,
        seed=None,
    )
    streams = {"stream": True} if "stream" in way else {}
    assert service.body == {
        "model": "qwen-3.8-27b",
        "temperature": 0,
        "max_completion_tokens": 7,
        **streams,
        "messages": HI,
    }


@pytest.mark.parametrize("name", ["model", "model_name"])
@pytest.mark.parametrize("value", [None, ""])
def test_no_model_in_a_call_keeps_the_models_own(service, name, value):
    service.model(model="zai-glm-4.7").invoke("hi", **{name: value})
    assert service.body["model"] == "zai-glm-4.7"


def test_a_model_of_a_call_is_a_name_without_stray_spaces(service):
    service.model().invoke("hi", model=" cerebras:qwen-3.8-27b\n")
    assert service.body["model"] == "qwen-3.8-27b"
    with pytest.raises(CerebrasInvalidRequestError, match="model=5 is a int"):
        service.model().invoke("hi", model=5)


def test_stop_of_the_call_wins_over_the_constructors(service):
    model = service.model(stop=["a"])
    model.invoke("hi")
    model.invoke("hi", stop=["b", "c"])
    model.bind(stop="d").invoke("hi")
    model.invoke("hi", stop=[])
    assert [body.get("stop") for body in service.bodies] == [
        ["a"],
        ["b", "c"],
        "d",
        None,
    ]


def test_extra_body_of_a_call_is_added_to_the_models(service):
    model = service.model(
        model_kwargs={"first": 1}, extra_body={"second": 2, "third": 3}
    )
    model.invoke("hi", extra_body={"third": 4, "fourth": 5})
    assert service.body == {
        "model": "gpt-oss-120b",
        "first": 1,
        "second": 2,
        "third": 4,
        "fourth": 5,
        "messages": HI,
    }
    assert model.extra_body == {"second": 2, "third": 3}


@pytest.mark.parametrize("name", ["extra_body", "extra_headers"])
def test_extra_mappings_that_are_none_are_refused(service, name):
    service.model().invoke("hi", **{name: None})
    with pytest.raises(CerebrasInvalidRequestError) as caught:
        service.model().invoke("hi", **{name: "x"})
    assert str(caught.value) == f"{name}='x' is a str; it takes a mapping."


@pytest.mark.parametrize(
    ("disabled", "kept"),
    [
        ({"parallel_tool_calls": None}, {"tools", "temperature"}),
        ({"temperature": [0.5]}, {"tools", "parallel_tool_calls"}),
        ({"temperature": 0.5}, {"tools", "parallel_tool_calls"}),
        ({"temperature": [0.7]}, {"tools", "parallel_tool_calls", "temperature"}),
        ({"seed": None}, {"tools", "parallel_tool_calls", "temperature"}),
    ],
    ids=["by name", "in list", "by value", "other in list", "not set"],
)
def test_disabled_parameters_are_held_back(service, disabled, kept):
    model = service.model(model="mine", disabled_params=disabled)
    model.invoke("hi", tools=[TOOL], parallel_tool_calls=False, temperature=0.5)
    assert set(service.body) == {"model", "messages", *kept}


def test_what_langchain_adds_to_a_call_is_not_sent(service):
    told = {"kwargs": {}, "schema": {"title": "x"}}
    service.model().invoke("hi", stream=False, ls_structured_output_format=told)
    assert set(service.body) == {"model", "messages"}


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"response_format": {"type": "text"}}, "response_format"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"parallel_tool_calls": True, "tools": []}, "parallel_tool_calls"),
        ({"tools": []}, "tools"),
        ({"stop": []}, "stop"),
        ({"stop": ""}, "stop"),
    ],
    ids=str,
)
def test_what_says_nothing_is_not_sent(service, given, held):
    service.model(**given).invoke("hi")
    assert held not in service.body


def test_parallel_tool_calls_false_is_left_out_where_the_model_makes_one_anyway(
    service,
):
    service.model(tools=[TOOL]).invoke("hi", parallel_tool_calls=False)
    service.model(tools=[TOOL], model="zai-glm-4.7").invoke(
        "hi", parallel_tool_calls=False
    )
    assert [body.get("parallel_tool_calls") for body in service.bodies] == [None, False]


def test_tools_and_a_response_format_go_together_where_the_model_takes_both(service):
    asked = {"type": "json_object"}
    service.model(model="zai-glm-4.7").invoke("hi", tools=[TOOL], response_format=asked)
    assert service.body["response_format"] == asked
    with pytest.raises(UnsupportedFeatureError) as caught:
        service.model().invoke("hi", tools=[TOOL], response_format=asked)
    assert "gpt-oss-120b does not take tools together with" in str(caught.value)
    assert "method='function_calling'" in str(caught.value)


@pytest.mark.parametrize(
    ("ability", "given", "said"),
    [
        ("tools", {}, "gpt-oss-120b does not call tools; see profile['tool_calling']."),
        (
            "forced_tool_choice",
            {"tool_choice": "any"},
            "tool_choice='required': gpt-oss-120b cannot be forced to call a tool; use",
        ),
    ],
)
def test_what_the_catalog_says_a_model_cannot_do_is_refused(
    service, monkeypatch, ability, given, said
):
    card = get_model("gpt-oss-120b")
    able = dataclasses.replace(card.capabilities, **{ability: False})
    lesser = dataclasses.replace(card, capabilities=able)
    monkeypatch.setattr(_request, "find_model", lambda _: lesser)
    with pytest.raises(UnsupportedFeatureError) as caught:
        service.model().invoke("hi", tools=[TOOL], **given)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "prediction",
    [
        "a text",
        {"type": "content", "content": "a text"},
        {"type": "content", "content": [{"type": "text", "text": "a text"}]},
    ],
    ids=["text", "wrapped", "parts"],
)
def test_prediction_is_taken_plain_or_wrapped(service, prediction):
    wire = prediction
    if isinstance(prediction, str):
        wire = {"type": "content", "content": prediction}
    service.model(prediction=prediction).invoke("hi")
    service.model().invoke("hi", prediction=prediction)
    assert [body["prediction"] for body in service.bodies] == [wire, wire]


# ---------------------------------------------------------------------------- streams


def test_usage_of_a_stream_is_asked_for_only_when_told(service):
    for given in ({}, {"stream_usage": True}, {"stream_options": {"a": 1}}):
        list(service.model(**given).stream("hi"))
        service.model(**given).invoke("hi")
    list(service.model().stream("hi", stream_usage=True))
    assert [body.get("stream_options") for body in service.bodies] == [
        None,
        None,
        {"include_usage": True},
        None,
        {"a": 1},
        None,
        {"include_usage": True},
    ]


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("given", [{}, {"response_format": {"type": "json_object"}}])
def test_a_stream_of_several_answers_is_refused(service, way, given):
    with pytest.raises(UnsupportedFeatureError, match="n=2 cannot be streamed"):
        run(way, service.model(n=2, **given))
    with pytest.raises(UnsupportedFeatureError, match="n=4 cannot be streamed"):
        list(service.model(extra_body={"n": 4}).stream("hi"))
    with pytest.raises(UnsupportedFeatureError, match="n=3 cannot be streamed"):
        run(way, service.model(**given), n=3)
    assert service.requests == []


@pytest.mark.parametrize("is_async", [False, True], ids=["generate", "agenerate"])
async def test_several_answers_come_from_generate_and_the_first_from_invoke(
    service, is_async
):
    service.answer(plain(n=3), plain(n=3))
    model = service.model(n=3)
    if is_async:
        result = await model.agenerate([[HumanMessage("hi")]])
        message = await model.ainvoke("hi")
    else:
        result = model.generate([[HumanMessage("hi")]])
        message = model.invoke("hi")
    assert [made.message.content for made in result.generations[0]] == ["Hello"] * 3
    ids = {made.message.id for made in result.generations[0]}
    assert len(ids) == 3
    assert message.content == "Hello"
    counted = [made.message.usage_metadata for made in result.generations[0]]
    assert [bool(usage) for usage in counted] == [True, False, False]
    assert service.body["n"] == 3


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_json_mode_is_sent_unstreamed_and_yields_all_the_same(service, way):
    service.answer(plain('{"a": 1}', reasoning="hm"))
    model = service.model(response_format={"type": "json_object"})
    parts = pieces(way, model)
    assert "stream" not in service.body
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    assert whole.content == '{"a": 1}'
    assert whole.additional_kwargs == {"reasoning_content": "hm"}
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata["total_tokens"] == 12
    assert parts[-1].chunk_position == "last"


@pytest.mark.parametrize("way", WAYS)
def test_json_mode_with_tools_gives_the_calls_on_every_path(service, way):
    call = {
        "function": {"name": "f", "arguments": '{"a":1}'},
        "type": "function",
        "id": "c1",
    }
    service.answer(plain(None, tool_calls=[call]))
    model = service.model(model="mine", tools=[TOOL])
    message = run(way, model, response_format={"type": "json_object"})
    assert [
        (made["name"], made["args"], made["id"]) for made in message.tool_calls
    ] == [("f", {"a": 1}, "c1")]


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("way", WAYS)
def test_no_messages_are_refused_before_anything_is_sent(service, way):
    with pytest.raises(CerebrasInvalidRequestError, match="messages is empty"):
        run(way, service.model(), [])
    assert service.requests == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("value", "given", "said"),
    [
        ("\ud800", {}, "half a surrogate pair"),
        ("hi", {"model_kwargs": {"x": object()}}, "holds a value that is no JSON"),
    ],
    ids=["surrogate", "object"],
)
def test_what_cannot_be_encoded_is_a_typed_error(service, way, value, given, said):
    with pytest.raises(CerebrasInvalidRequestError, match=said):
        run(way, service.model(**given), value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tool_choice": "any"}, "needs tools; the request has none"),
        ({"tool_choice": "g", "tools": [TOOL]}, "'g', which is not among the tools"),
        ({"tools": [TOOL, OTHER]}, "Two tools are named 'f'"),
        ({"tools": ["f"]}, "Cannot make a tool of"),
        ({"response_format": {"type": "xml"}}, "type 'xml' is not one of 'text'"),
        ({"tools": [{**TOOL, "strct": True}]}, "Key 'strct' of tool 'f'"),
    ],
    ids=str,
)
def test_wrong_tools_and_formats_of_a_call_are_refused(service, given, said):
    with pytest.raises(CerebrasInvalidRequestError) as caught:
        service.model().invoke("hi", **given)
    assert said in str(caught.value)
    assert service.requests == []


def test_a_response_format_may_be_a_schema(service):
    from pydantic import BaseModel

    class Answer(BaseModel):
        text: str

    service.answer(plain('{"text": "a"}'))
    service.model().invoke("hi", response_format=Answer)
    asked = service.body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["name"] == "Answer"
    assert asked["json_schema"]["schema"]["required"] == ["text"]


# ----------------------------------------------------------------------------- headers


def test_the_headers_of_a_request(service):
    service.model().invoke("hi")
    sent = service.headers
    assert sent["authorization"] == f"Bearer {KEY}"
    assert sent["content-type"] == "application/json"
    assert sent["accept"] == "application/json"
    assert sent["x-cerebras-3rd-party-integration"] == "langchain-cerebras-ext"
    assert sent["user-agent"] == f"langchain-cerebras-ext/{__version__}"
    assert not [name for name in sent if name.startswith(("openai", "x-stainless"))]
    assert "x-cerebras-version-patch" not in sent
    assert "queue_threshold" not in sent
    list(service.model().stream("hi"))
    assert service.headers["accept"] == "text/event-stream"


def test_version_patch_and_queue_threshold_are_headers_and_no_body(service):
    model = service.model(api_version_patch=2, queue_threshold=50)
    model.invoke("hi")
    assert service.headers["x-cerebras-version-patch"] == "2"
    assert service.headers["queue_threshold"] == "50"
    model.invoke("hi", queue_threshold=20_000, api_version_patch=3)
    assert service.headers["x-cerebras-version-patch"] == "3"
    assert service.headers["queue_threshold"] == "20000"
    model.invoke("hi", queue_threshold=None, api_version_patch=None)
    assert "x-cerebras-version-patch" not in service.headers
    assert "queue_threshold" not in service.headers
    assert all(set(body) == {"model", "messages"} for body in service.bodies)
    with pytest.raises(CerebrasInvalidRequestError, match="takes 50 to 20000"):
        model.invoke("hi", queue_threshold=49)


def test_default_headers_and_query_go_with_every_request(service):
    model = service.model(
        default_headers={"X-Team": "a", "User-Agent": "mine/1"},
        default_query={"trace": "1", "many": ["a", "b"]},
    )
    model.invoke("hi", extra_headers={"X-Call": "b", "X-Team": "c"})
    assert service.headers["x-team"] == "c"
    assert service.headers["x-call"] == "b"
    assert service.headers["user-agent"] == "mine/1"
    assert str(service.requests[-1].url) == (
        "https://api.cerebras.ai/v1/chat/completions?trace=1&many=a&many=b"
    )
    model.invoke("hi", extra_headers={"X-Team": None})
    assert "x-team" not in service.headers


@pytest.mark.parametrize("name", ["X-A\r\nB", "X A", "X\u00e4"])
def test_a_header_that_cannot_be_sent_is_refused(service, name):
    with pytest.raises(CerebrasConfigurationError, match="cannot be sent"):
        service.model().invoke("hi", extra_headers={name: "a"})
    with pytest.raises(CerebrasConfigurationError, match="no line breaks"):
        service.model().invoke("hi", extra_headers={"X-A": "a\r\nB: c"})
    assert service.requests == []


def test_all_letters_go_as_they_are(service):
    text = 'Grüße, 你好, \U0001f600 \u2028 \x00 \\ "'
    service.model().invoke(text)
    sent = service.requests[-1].content
    assert "Grüße, 你好, \U0001f600".encode() in sent
    assert json.loads(sent)["messages"][0]["content"] == text


# ---------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_body_is_encoded_as_asked_and_named_in_the_headers(
    service, way, form, compression
):
    text = "Grüße 你好 \U0001f600"
    model = service.model(payload_format=form, payload_compression=compression)
    service.answer(plain() if "stream" not in way else sse({"content": "Hello"}))
    assert run(way, model, text, logit_bias={1: 2}).content == "Hello"
    body = service.requests[-1].content
    if compression:
        body = gzip.decompress(body)
    decode = json.loads if form == "json" else msgspec.msgpack.decode
    sent = decode(body)
    assert sent["messages"] == [{"role": "user", "content": text}]
    assert {str(key): bias for key, bias in sent["logit_bias"].items()} == {"1": 2}
    kinds = {"json": "application/json", "msgpack": "application/vnd.msgpack"}
    assert service.headers["content-type"] == kinds[form]
    assert service.headers.get("content-encoding") == compression


@pytest.mark.parametrize("way", WAYS)
def test_bad_text_is_refused_in_messagepack_as_well(service, way):
    with pytest.raises(CerebrasInvalidRequestError, match="half a surrogate pair"):
        run(way, service.model(payload_format="msgpack"), "\ud800")


@pytest.mark.parametrize("name", ["payload_format", "payload_compression"])
def test_an_unknown_encoding_is_refused(service, name):
    with pytest.raises(CerebrasConfigurationError, match=f"{name}='zip'"):
        service.model(**{name: "zip"})


# ------------------------------------------------------------------- what LangChain is told


def test_tracers_are_told_of_the_call_as_it_is_made(service):
    model = service.model(temperature=0.5, max_tokens=9, stop=["a"])
    assert model._get_ls_params() == {
        "ls_provider": "cerebras",
        "ls_model_name": "gpt-oss-120b",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 9,
        "ls_stop": ["a"],
    }
    told = model._get_ls_params(
        stop=["b"], model="cerebras:zai-glm-4.7", temperature=0, max_tokens=3
    )
    assert told["ls_model_name"] == "zai-glm-4.7"
    assert told["ls_temperature"] == 0
    assert told["ls_max_tokens"] == 3
    assert told["ls_stop"] == ["b"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("response_format", {"type": "yaml"}, "'json_schema'"),
        ("prediction", {"text": "x"}, '"content"'),
    ],
    ids=["type", "prediction"],
)
def test_a_mapping_of_the_wrong_shape_is_refused_early(field, value, said):
    refused = (CerebrasConfigurationError, CerebrasInvalidRequestError)
    with pytest.raises(refused, match=said):
        ChatCerebras(base_url="http://127.0.0.1:1", **{field: value})
    model = ChatCerebras(base_url="http://127.0.0.1:1")
    with pytest.raises(CerebrasInvalidRequestError, match=said):
        model.invoke("Hi", **{field: value})
