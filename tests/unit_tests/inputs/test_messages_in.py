"""LangChain's messages on the wire: every kind and shape, exact bodies."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any

import pytest
from fake_service import WAYS, plain, run, tool_call
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    UnsupportedFeatureError,
)

PNG = "iVBORw0KGgo="
URI = f"data:image/png;base64,{PNG}"
SEES = "qwen-3.8-27b"
CALL = {"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
WIRE_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a":1}'},
}


def wire(service, messages: Any, **given: Any) -> list[dict[str, Any]]:
    service.model(**given).invoke(messages)
    return service.body["messages"]


def one(service, message: Any, **given: Any) -> dict[str, Any]:
    (found,) = wire(service, [message], **given)
    return found


def refusal(service, messages: Any, kind=UnsupportedFeatureError, **given) -> str:
    with pytest.raises(kind) as caught:
        service.model(**given).invoke(messages)
    assert service.requests == []
    return str(caught.value)


# ------------------------------------------------------------------------------- roles


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (HumanMessage("a"), {"role": "user", "content": "a"}),
        (HumanMessageChunk("a"), {"role": "user", "content": "a"}),
        (
            HumanMessage("a", name="ann"),
            {"role": "user", "content": "a", "name": "ann"},
        ),
        (HumanMessage(""), {"role": "user", "content": ""}),
        (HumanMessage([]), {"role": "user", "content": ""}),
        (SystemMessage("a"), {"role": "system", "content": "a"}),
        (SystemMessage("a", name="n"), {"role": "system", "content": "a", "name": "n"}),
        (AIMessage("a"), {"role": "assistant", "content": "a"}),
        (
            AIMessage("a", name="bot"),
            {"role": "assistant", "content": "a", "name": "bot"},
        ),
        (AIMessage(""), {"role": "assistant", "content": ""}),
        (AIMessage([]), {"role": "assistant", "content": ""}),
        (ChatMessage("a", role="user"), {"role": "user", "content": "a"}),
        (ChatMessage("a", role="human"), {"role": "user", "content": "a"}),
        (ChatMessage("a", role="assistant"), {"role": "assistant", "content": "a"}),
        (ChatMessage("a", role="System"), {"role": "system", "content": "a"}),
        (ChatMessage("a", role="developer"), {"role": "developer", "content": "a"}),
        ({"role": "developer", "content": "a"}, {"role": "developer", "content": "a"}),
        (("system", "a"), {"role": "system", "content": "a"}),
        ("a", {"role": "user", "content": "a"}),
    ],
    ids=str,
)
def test_each_kind_of_message_has_its_role(service, message, expected):
    assert one(service, message) == expected


@pytest.mark.parametrize(
    "message",
    [ChatMessage("a", role="developer"), {"role": "developer", "content": "a"}],
    ids=["chat", "dict"],
)
def test_developer_is_system_where_the_model_has_no_such_role(service, message):
    sent = one(service, message, model="zai-glm-4.7")
    assert sent == {"role": "system", "content": "a"}


def test_several_messages_of_one_role_stay_apart(service):
    sent = wire(
        service, [("system", "a"), ("system", "b"), ("human", "c"), ("ai", "d")] * 2
    )
    assert [message["role"] for message in sent] == [
        "system",
        "system",
        "user",
        "assistant",
    ] * 2


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (
            [ChatMessage("a", role="narrator")],
            (
                "messages[0] has role 'narrator'; the API knows system, developer, user, "
                "assistant and tool (as ToolMessage)."
            ),
        ),
        ([HumanMessage("a"), RemoveMessage(id="1")], "messages[1] is a RemoveMessage"),
    ],
    ids=["role", "remove"],
)
def test_messages_without_a_counterpart_are_refused_by_their_place(
    service, messages, said
):
    assert said in refusal(service, messages, CerebrasInvalidRequestError)


def test_additional_kwargs_and_metadata_are_never_forwarded(service):
    foreign = {
        "lc_source": "x",
        "lc_data": {"y": 1},
        "function_call": {"name": "f", "arguments": "{}"},
        "tool_calls": [{"id": "z"}],
        "refusal": None,
        "audio": {"id": "a"},
        "__gemini_function_call_thought_signatures__": {"a": "b"},
        "unknown": 1,
    }
    metadata = {"model_provider": "anthropic", "finish_reason": "stop"}
    sent = wire(
        service,
        [
            SystemMessage("a", additional_kwargs=foreign),
            HumanMessage("b", additional_kwargs=foreign, id="m1"),
            AIMessage(
                "c", additional_kwargs=foreign, response_metadata=metadata, id="m2"
            ),
            HumanMessage("d"),
        ],
    )
    assert sent == [
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]


# -------------------------------------------------------------------------------- texts


TEXT = {"type": "text", "text": "a"}


@pytest.mark.parametrize(
    "block",
    [
        TEXT,
        "a",
        {**TEXT, "cache_control": {"type": "ephemeral"}},
        {
            **TEXT,
            "id": "b1",
            "index": "lc_txt_0",
            "annotations": [],
            "extras": {"x": 1},
        },
        {"type": "text", "source_type": "text", "text": "a"},
        {"type": "text-plain", "text": "a", "mime_type": "text/plain", "title": "t"},
        {"type": "input_text", "text": "a"},
        {"type": "output_text", "text": "a"},
        {"type": "non_standard", "value": {"type": "text", "text": "a"}},
        {"text": "a"},
    ],
    ids=str,
)
@pytest.mark.parametrize("role", ["system", "human", "tool"])
def test_every_shape_of_text_is_text(service, role, block):
    def conversation(content):
        if role == "tool":
            ask = AIMessage("", tool_calls=[CALL])
            return [ask, ToolMessage(content, tool_call_id="c1")]
        return [{"system": SystemMessage, "human": HumanMessage}[role](content)]

    assert wire(service, conversation([block]))[-1]["content"] == "a"
    assert wire(service, conversation([block, block]))[-1]["content"] == [TEXT, TEXT]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([TEXT, {"type": "text", "text": "b"}], "ab"),
        (["a", "b"], "ab"),
        ([TEXT, {"type": "tool_use", "id": "c", "name": "f", "input": {}}], "a"),
        ([TEXT, {"type": "tool_call", "id": "c", "name": "f", "args": {}}], "a"),
        ([TEXT, {"type": "tool_call_chunk", "index": 0, "args": "{"}], "a"),
        ([TEXT, {"type": "invalid_tool_call", "args": "{", "error": "x"}], "a"),
        ([TEXT, {"type": "server_tool_call", "name": "s"}], "a"),
        ([TEXT, {"type": "server_tool_result", "status": "success"}], "a"),
        ([TEXT, {"type": "input_json_delta", "partial_json": "{"}], "a"),
        ([TEXT, {"type": "redacted_thinking", "data": "x"}], "a"),
        ([TEXT, {"type": "non_standard", "value": {"x": 1}}], "a"),
        ([{"type": "refusal", "refusal": "No."}], "No."),
        ([{"type": "tool_use", "id": "c", "name": "f", "input": {}}], ""),
    ],
    ids=str,
)
def test_an_assistants_blocks_become_one_text(service, content, text):
    sent = wire(service, [HumanMessage("q"), AIMessage(content), HumanMessage("r")])
    assert sent[1] == {"role": "assistant", "content": text}


def test_blocks_of_a_chat_message_of_the_assistant_are_its_text(service):
    content = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        TEXT,
    ]
    assert one(service, ChatMessage(content, role="ai")) == {
        "role": "assistant",
        "content": "a",
    }
    with pytest.raises(UnsupportedFeatureError, match="takes text in assistant"):
        service.model().invoke([ChatMessage([{"type": "audio"}], role="assistant")])


# -------------------------------------------------------------------------------- images


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": URI}},
        {"type": "image_url", "image_url": URI},
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        {"type": "image", "url": URI},
        {
            "type": "image",
            "source_type": "base64",
            "data": PNG,
            "mime_type": "image/png",
        },
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
        },
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "input_image", "image_url": URI},
        {"type": "image", "image": URI},
    ],
    ids=lambda block: str(block)[:70],
)
@pytest.mark.parametrize("model", [SEES, "an-endpoint-of-mine"])
def test_every_shape_of_an_image_is_a_data_uri(service, model, block):
    sent = one(service, HumanMessage([TEXT, block]), model=model)
    assert sent == {
        "role": "user",
        "content": [TEXT, {"type": "image_url", "image_url": {"url": URI}}],
    }


@pytest.mark.parametrize("name", ["jpeg", "jpg"])
def test_detail_stays_and_jpeg_is_taken_under_both_names(service, name):
    def block(kind: str) -> dict:
        uri = f"data:image/{kind};base64,/9j/"
        return {"type": "image_url", "image_url": {"url": uri, "detail": "low"}}

    sent = one(service, HumanMessage([block(name)]), model=SEES)
    assert sent["content"] == [block("jpeg")]


IMAGE = {"type": "image", "base64": PNG, "mime_type": "image/png"}


def test_an_image_for_a_model_without_vision_is_refused(service):
    said = refusal(service, [HumanMessage([TEXT, IMAGE])])
    assert said == (
        "messages[0].content[1] is an image, but gpt-oss-120b has no vision. Choose a "
        "model whose profile has image_inputs, such as 'qwen-3.8-27b'."
    )


def test_the_model_of_the_call_decides_about_images(service):
    service.model().invoke([HumanMessage([IMAGE])], model=SEES)
    with pytest.raises(UnsupportedFeatureError, match=r"zai-glm-4\.7 has no vision"):
        service.model(model=SEES).invoke([HumanMessage([IMAGE])], model="zai-glm-4.7")


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
            "https:",
        ),
        ({"type": "image", "url": "https://a.example/b.png"}, "https:"),
        ({"type": "image", "source": {"type": "url", "url": "http://a"}}, "http:"),
        ({"type": "image", "source_type": "url", "url": "https://a.example"}, "https:"),
        (
            {"type": "image", "base64": PNG, "mime_type": "image/webp"},
            "data:image/webp",
        ),
        ({"type": "image", "url": "data:image/png,plain"}, "data:image/png,plain"),
        ({"type": "image", "file_id": "f1"}, "no data"),
        ({"type": "image_url", "image_url": {}}, "no data"),
    ],
    ids=str,
)
def test_only_png_and_jpeg_data_uris_are_taken(service, block, shown):
    said = refusal(service, [HumanMessage([block])], model=SEES)
    assert "messages[0].content[0] is an image given as" in said
    assert shown in said
    assert "PNG and JPEG as data URIs only" in said


@pytest.mark.parametrize("role", ["system", "tool", "assistant"])
def test_images_belong_into_user_messages(service, role):
    messages = {
        "system": [SystemMessage([IMAGE])],
        "tool": [
            AIMessage("", tool_calls=[CALL]),
            ToolMessage([IMAGE], tool_call_id="c1"),
        ],
        "assistant": [AIMessage([IMAGE])],
    }[role]
    said = refusal(service, messages, model=SEES)
    assert f"messages[{len(messages) - 1}].content[0]" in said
    assert role in said


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "audio", "base64": "AA==", "mime_type": "audio/wav"}, "audio"),
        (
            {"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}},
            "audio",
        ),
        ({"type": "file", "base64": "AA==", "mime_type": "application/pdf"}, "file"),
        ({"type": "file", "file": {"file_id": "x"}}, "file"),
        ({"type": "video", "url": "https://v"}, "video"),
        (
            {"type": "document", "source": {"type": "base64", "data": "A"}},
            "document",
        ),
        ({"type": "tool_result", "tool_use_id": "x", "content": []}, "tool_result"),
    ],
    ids=str,
)
def test_other_media_are_refused_by_place_and_kind(service, block, kind):
    said = refusal(
        service, [HumanMessage("a"), HumanMessage([TEXT, block])], model=SEES
    )
    assert "messages[1].content[1] is a block of type" in said
    assert kind in said
    assert "takes text and images in user messages" in said


@pytest.mark.parametrize("way", WAYS)
def test_refusals_are_equal_on_every_path(service, way):
    with pytest.raises(UnsupportedFeatureError, match="has no vision"):
        run(way, service.model(), [HumanMessage([IMAGE])])
    assert service.requests == []


# --------------------------------------------------------------------------------- tools


def test_a_conversation_with_tools(service):
    calls = [CALL, {**CALL, "id": "c2", "args": {"städte": ["Köln", "東京"]}}]
    sent = wire(
        service,
        [
            HumanMessage("q"),
            AIMessage("Let me see.", tool_calls=calls),
            ToolMessage("one", tool_call_id="c2", name="f"),
            ToolMessage(
                [TEXT, "b"], tool_call_id="c1", status="error", artifact=object()
            ),
            AIMessage("done"),
        ],
    )
    assert sent == [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                WIRE_CALL,
                {
                    "id": "c2",
                    "type": "function",
                    "function": {
                        "name": "f",
                        "arguments": '{"städte":["Köln","東京"]}',
                    },
                },
            ],
        },
        {"role": "tool", "tool_call_id": "c2", "content": "one", "name": "f"},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [TEXT, {"type": "text", "text": "b"}],
        },
        {"role": "assistant", "content": "done"},
    ]
    assert "Köln" in service.requests[-1].content.decode()


def test_a_call_without_text_has_empty_and_never_null_content(service):
    sent = wire(
        service,
        [AIMessage("", tool_calls=[CALL]), ToolMessage("x", tool_call_id="c1")],
    )
    assert sent[0] == {"role": "assistant", "content": "", "tool_calls": [WIRE_CALL]}
    assert "null" not in service.requests[-1].content.decode()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "json", "data": {"ä": 1}}], '{"type":"json","data":{"ä":1}}'),
        ([{"rows": [1, 2]}], '{"rows":[1,2]}'),
        ([], ""),
        ("", ""),
    ],
    ids=str,
)
def test_a_tools_result_of_any_json_is_text(service, content, text):
    ask = AIMessage("", tool_calls=[CALL])
    sent = wire(service, [ask, ToolMessage(content, tool_call_id="c1")])
    assert sent[1] == {"role": "tool", "tool_call_id": "c1", "content": text}


def test_anthropics_blocks_in_a_history_are_understood(service):
    sent = wire(
        service,
        [
            SystemMessage([{**TEXT, "cache_control": {"type": "ephemeral"}}]),
            AIMessage(
                [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                ],
                tool_calls=[CALL],
            ),
            ToolMessage("x", tool_call_id="c1"),
        ],
    )
    assert sent[0] == {"role": "system", "content": "a"}
    assert sent[1] == {
        "role": "assistant",
        "reasoning": "hm",
        "content": "Let me see.",
        "tool_calls": [WIRE_CALL],
    }


def test_an_invalid_call_is_history_only_if_something_answered_it(service):
    bad = {"name": "f", "args": '{"a":', "id": "c9", "error": "cut"}
    ask = AIMessage("Hm.", tool_calls=[CALL], invalid_tool_calls=[bad])
    answer = ToolMessage("x", tool_call_id="c1")
    assert wire(service, [ask, answer])[0]["tool_calls"] == [WIRE_CALL]
    told = ToolMessage("Not JSON; try again.", tool_call_id="c9", status="error")
    assert wire(service, [ask, answer, told])[0]["tool_calls"] == [
        WIRE_CALL,
        {
            "id": "c9",
            "type": "function",
            "function": {"name": "f", "arguments": '{"a":'},
        },
    ]
    alone = AIMessage("", invalid_tool_calls=[{**bad, "id": None, "args": None}])
    assert wire(service, [alone, HumanMessage("again")])[0] == {
        "role": "assistant",
        "content": "",
    }


def test_ids_that_come_again_in_a_later_turn_are_made_distinct(service):
    turn = [AIMessage("", tool_calls=[CALL]), ToolMessage("x", tool_call_id="c1")]
    sent = wire(service, [*turn, HumanMessage("more"), *turn, *turn])
    made = [m["tool_calls"][0]["id"] for m in sent if "tool_calls" in m]
    answered = [m["tool_call_id"] for m in sent if m["role"] == "tool"]
    assert made == answered == ["c1", "c1-2", "c1-3"]


def test_equal_ids_in_one_turn_are_made_distinct_and_answered_in_order(service):
    twice = [{**CALL, "args": {"a": 1}}, {**CALL, "args": {"a": 2}}]
    sent = wire(
        service,
        [
            AIMessage("", tool_calls=twice),
            ToolMessage("x", tool_call_id="c1"),
            ToolMessage("y", tool_call_id="c1"),
        ],
    )
    assert [call["id"] for call in sent[0]["tool_calls"]] == ["c1", "c1-2"]
    assert [(m["tool_call_id"], m["content"]) for m in sent[1:]] == [
        ("c1", "x"),
        ("c1-2", "y"),
    ]


def test_a_function_message_answers_the_call_of_its_name(service):
    sent = wire(
        service,
        [AIMessage("", tool_calls=[CALL]), FunctionMessage("x", name="f")],
    )
    assert sent[1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "x",
        "name": "f",
    }


ASK = AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2"}])
FIRST = ToolMessage("x", tool_call_id="c1")


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (
            [ASK, FIRST],
            (
                "Tool call c2 has no answer: a ToolMessage with its tool_call_id must "
                "follow the assistant's turn before the conversation ends."
            ),
        ),
        ([ASK], "Tool call c1, c2 has no answer"),
        ([ASK, FIRST, HumanMessage("?")], "before messages[2] comes."),
        (
            [FIRST],
            (
                "messages[0] answers tool call 'c1', but the assistant's turn before it "
                "made no such call, or it was answered already."
            ),
        ),
        ([HumanMessage("a"), FIRST], "messages[1] answers tool call 'c1'"),
        (
            [AIMessage("", tool_calls=[CALL]), FIRST, FIRST],
            "messages[2] answers tool call 'c1'",
        ),
        (
            [AIMessage("", tool_calls=[CALL]), ToolMessage("x", tool_call_id="zz")],
            "messages[1] answers tool call 'zz'",
        ),
        ([FunctionMessage("x", name="g")], "messages[0] answers function 'g'"),
        (
            [
                AIMessage("", tool_calls=[{**CALL, "args": {"d": date(2026, 1, 1)}}]),
                FIRST,
            ],
            "no JSON, in the arguments of tool call 'c1'",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_tool_messages_out_of_order_are_refused_early(service, messages, said):
    assert said in refusal(service, messages, CerebrasInvalidRequestError)


# ----------------------------------------------------------------------------- reasoning


REASONED = {
    "reasoning_content": AIMessage("a", additional_kwargs={"reasoning_content": "hm"}),
    "reasoning": AIMessage("a", additional_kwargs={"reasoning": "hm"}),
    "v1 block": AIMessage([{"type": "reasoning", "reasoning": "hm"}, TEXT]),
    "v3": AIMessage(
        [{"type": "reasoning", "reasoning": "hm", "index": 0}, {**TEXT, "index": 1}],
        additional_kwargs={"reasoning_content": "hm"},
        response_metadata={"output_version": "v1", "model_provider": "cerebras"},
    ),
    "langchain_cerebras": AIMessage(
        [{"type": "reasoning_content", "reasoning_content": {"text": "hm"}}, TEXT]
    ),
    "anthropic": AIMessage(
        [{"type": "thinking", "thinking": "hm", "signature": "s"}, TEXT]
    ),
    "in pieces": AIMessage(
        [
            {"type": "reasoning", "reasoning": "h"},
            {"type": "reasoning", "reasoning": "m"},
            TEXT,
        ]
    ),
}


@pytest.mark.parametrize("kind", REASONED)
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-oss-120b", {"reasoning": "hm", "content": "a"}),
        ("gemma-4-31b", {"reasoning": "hm", "content": "a"}),
        ("an-endpoint-of-mine", {"reasoning": "hm", "content": "a"}),
        ("zai-glm-4.7", {"content": "<think>hm</think>a"}),
        ("qwen-3.8-27b", {"content": "<think>hm</think>a"}),
        ("llama-3.3-70b", {"content": "a"}),
    ],
)
def test_reasoning_is_replayed_once_and_as_the_model_takes_it(
    service, kind, model, expected
):
    sent = wire(
        service, [HumanMessage("q"), REASONED[kind], HumanMessage("r")], model=model
    )
    assert sent[1] == {"role": "assistant", **expected}
    assert "reasoning_content" not in service.requests[-1].content.decode()


def test_reasoning_that_stands_in_the_text_already_is_not_said_again(service):
    raw = AIMessage("<think>hm</think>a", additional_kwargs={"reasoning_content": "hm"})
    sent = wire(service, [raw, HumanMessage("r")], model="zai-glm-4.7")
    assert sent[0] == {"role": "assistant", "content": "<think>hm</think>a"}
    quoting = AIMessage(
        "Use the tag <think>.", additional_kwargs={"reasoning_content": "hm"}
    )
    sent = wire(service, [quoting, HumanMessage("r")], model="zai-glm-4.7")
    assert sent[0]["content"] == "<think>hm</think>Use the tag <think>."


def test_a_summary_without_text_is_no_reasoning(service):
    summary = {"type": "reasoning", "summary": [], "encrypted_content": "x", "id": "r"}
    sent = wire(service, [AIMessage([summary, TEXT]), HumanMessage("r")])
    assert sent[0] == {"role": "assistant", "content": "a"}


# --------------------------------------------------------------------------- round trips


async def _av3(model):
    stream = await model.astream_events("hi", version="v3")
    return await stream.output


def answers(service, answer) -> dict[str, AIMessage]:
    """One answer as every path and output version gives it."""
    found = {}
    for version in ("v0", "v1"):
        model = service.model(output_version=version)
        for way in WAYS:
            service.answer(answer)
            found[f"{version} {way}"] = run(way, model)
    service.answer(answer)
    found["v3"] = service.model().stream_events("hi", version="v3").output
    service.answer(answer)
    found["v3 async"] = asyncio.run(_av3(service.model()))
    return found


@pytest.mark.filterwarnings("ignore:.*is in beta:Warning")
@pytest.mark.parametrize("model", ["gpt-oss-120b", "zai-glm-4.7"])
@pytest.mark.parametrize(
    "answer",
    [
        plain("Hello"),
        plain("Hello", reasoning="hm"),
        plain(None, reasoning="hm", tool_calls=[tool_call("f", '{"a":1}', "c1")]),
        plain(
            "Wait.",
            reasoning="hm",
            tool_calls=[
                tool_call("f", '{"a":1}', "c1"),
                tool_call("g", '{"ä":[]}', "c2"),
            ],
        ),
    ],
    ids=["text", "reasoning", "tool", "all"],
)
def test_our_own_answers_make_the_same_second_turn_whatever_path_they_took(
    service, model, answer
):
    bodies = {}
    for path, message in answers(service, answer).items():
        replies = [
            ToolMessage("x", tool_call_id=call["id"]) for call in message.tool_calls
        ]
        history = [HumanMessage("hi"), message, *replies, HumanMessage("and now?")]
        service.model(model=model).invoke(history)
        bodies[path] = service.requests[-1].content
    assert len(bodies) == 10
    assert len(set(bodies.values())) == 1, bodies
    said = json.loads(bodies["v3"])["messages"][1]
    sent = answer["choices"][0]["message"]
    thought = sent.get("reasoning")
    text = sent.get("content", "")
    if model == "zai-glm-4.7":
        assert "reasoning" not in said
        assert said["content"] == (
            f"<think>{thought}</think>{text}" if thought else text
        )
    else:
        assert said.get("reasoning") == thought
        assert said["content"] == text
    assert [call["id"] for call in said.get("tool_calls", [])] == [
        call["id"] for call in sent.get("tool_calls", [])
    ]
