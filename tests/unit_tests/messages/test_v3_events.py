"""Our own v3 events say what LangChain's bridge would make of our chunks."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models._compat_bridge import chunks_to_events
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.messages import HumanMessage
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from recordings import ALL, NAMES, Recording, comparable, load, without_indexes
from wire_server import WireServer, plain, sse

from langchain_cerebras_ext import ChatCerebras

pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
)

MESSAGES = [HumanMessage("hi")]
BRIDGE_DIFFERS = {
    "tool_arguments_no_object": "the bridge makes a call of any JSON",
    "tool_arguments_with_line_break": "the bridge takes no raw line break",
    "tool_without_id": "the bridge makes a missing id an empty text",
    "logprobs": "the bridge keeps the last chunk's only",
    "refusal": "the bridge numbers it alike; LangChain drops it from the content",
}


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    held = {recording.name: recording for recording in ALL}

    def answer(request: Any) -> Iterator[bytes]:
        recording = held[request.json["user"]]
        return sse(recording.events) if request.is_stream else plain(recording.body)

    with WireServer(answer) as found:
        yield found


def model_for(server: WireServer, name: str, **fields: Any) -> ChatCerebras:
    return ChatCerebras(base_url=server.url, user=name, **fields)


def native(model: ChatCerebras, *, is_async: bool) -> list[dict[str, Any]]:
    async def go() -> list[Any]:
        return [event async for event in model._astream_chat_model_events(MESSAGES)]

    found = asyncio.run(go()) if is_async else model._stream_chat_model_events(MESSAGES)
    return [dict(event) for event in found]


def assembled(events: list[dict[str, Any]]) -> Any:
    stream = ChatModelStream()
    for event in events:
        stream.dispatch(event)
    assert stream.output_message is not None
    return stream.output_message


@pytest.mark.parametrize("coalesce", [False, True], ids=["each_delta", "coalesced"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("recording", ALL, ids=NAMES)
def test_events_follow_the_protocol(
    server: WireServer, recording: Recording, is_async: bool, coalesce: bool
) -> None:
    model = model_for(server, recording.name, coalesce_stream=coalesce)
    events = native(model, is_async=is_async)
    assert_valid_event_stream(events)
    assert events[0] == {
        "event": "message-start",
        "role": "ai",
        "id": recording.message["id"],
        "metadata": {"provider": "cerebras", "model": recording.body["model"]},
    }
    assert [event["event"] for event in events].count("message-finish") == 1
    assert events[-1]["event"] == "message-finish"
    assert events[-1].get("usage") == recording.message["usage_metadata"]


@pytest.mark.parametrize("recording", ALL, ids=NAMES)
def test_events_assemble_to_the_message_of_the_bridge(
    server: WireServer, recording: Recording
) -> None:
    model = model_for(server, recording.name)
    ours = comparable(assembled(native(model, is_async=False)))
    bridged = list(chunks_to_events(model._stream(MESSAGES)))
    if recording.name in BRIDGE_DIFFERS:
        return
    theirs = comparable(assembled(bridged))
    # The bridge leaves the indexes of our chunks in the blocks, LangChain numbers ours.
    assert without_indexes(ours).model_dump() == without_indexes(theirs).model_dump()


def test_each_event_of_an_answer_with_everything(server: WireServer) -> None:
    events = native(model_for(server, "reasoning_text_tools"), is_async=False)
    assert events[1:-1] == [
        {"event": "content-block-start", "index": 0, "content": {"type": "reasoning", "reasoning": ""}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "reasoning-delta", "reasoning": "I need the"}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "reasoning-delta", "reasoning": " weather."}},
        {"event": "content-block-start", "index": 1, "content": {"type": "text", "text": ""}},
        {"event": "content-block-delta", "index": 1, "delta": {"type": "text-delta", "text": "Let me look"}},
        {"event": "content-block-delta", "index": 1, "delta": {"type": "text-delta", "text": " that up."}},
        {
            "event": "content-block-start",
            "index": 2,
            "content": {"type": "tool_call_chunk", "id": "0a1b2c3d4", "name": "get_weather", "args": "", "index": "lc_tc_0"},
        },
        {"event": "content-block-delta", "index": 2, "delta": {"type": "tool-call-delta", "args": '{"city":"Paris"}'}},
        {"event": "content-block-finish", "index": 0, "content": {"type": "reasoning", "reasoning": "I need the weather."}},
        {"event": "content-block-finish", "index": 1, "content": {"type": "text", "text": "Let me look that up."}},
        {
            "event": "content-block-finish",
            "index": 2,
            "content": {"type": "tool_call", "name": "get_weather", "args": {"city": "Paris"}, "id": "0a1b2c3d4"},
        },
    ]  # fmt: skip
    assert events[-1]["additional_kwargs"] == {
        "reasoning_content": "I need the weather."
    }
    assert events[-1]["metadata"]["finish_reason"] == "tool_calls"


def test_a_cut_call_finishes_as_an_invalid_one(server: WireServer) -> None:
    events = native(model_for(server, "cut_tool_arguments"), is_async=False)
    finishes = [e["content"] for e in events if e["event"] == "content-block-finish"]
    assert finishes == load("cut_tool_arguments").content_blocks


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_projections_of_the_stream(server: WireServer, is_async: bool) -> None:
    model = model_for(server, "reasoning_text_tools")

    async def go() -> tuple[list[str], list[str], Any]:
        stream = await model.astream_events("hi", version="v3")
        return (
            [text async for text in stream.text],
            [text async for text in stream.reasoning],
            await stream.tool_calls,
        )

    if is_async:
        text, reasoning, calls = asyncio.run(go())
    else:
        stream = model.stream_events("hi", version="v3")
        text, reasoning = list(stream.text), list(stream.reasoning)
        calls = stream.tool_calls.get()
    assert text == ["Let me look", " that up."]
    assert reasoning == ["I need the", " weather."]
    assert [(call["name"], call["args"]) for call in calls] == [
        ("get_weather", {"city": "Paris"})
    ]


def test_json_mode_is_sent_unstreamed_and_gives_the_same_message() -> None:
    """The service refuses JSON mode in a stream."""
    recording = load("reasoning_text_tools")
    asked = {"type": "json_object"}
    with WireServer(lambda _: plain(recording.body)) as server:
        model = ChatCerebras(base_url=server.url, response_format=asked)
        messages = [model.invoke("JSON, please")]
        total = None
        for chunk in model.stream("JSON, please"):
            total = chunk if total is None else total + chunk
        messages.append(total)
        events = native(model, is_async=False)
        sent = [request.json for request in server.requests]
    assert [comparable(message) for message in messages] == [recording.expected()] * 2
    assert_valid_event_stream(events)
    assert comparable(assembled(events)).tool_calls == recording.message["tool_calls"]
    assert all("stream" not in body or body["stream"] is False for body in sent)


def test_json_mode_asked_for_in_the_call_is_sent_unstreamed() -> None:
    recording = load("cut_tool_arguments")
    with WireServer(lambda _: plain(recording.body)) as server:
        model = ChatCerebras(base_url=server.url)
        chunks = list(model.stream("JSON", response_format={"type": "json_object"}))

        async def go() -> list[Any]:
            asked = {"type": "json_object"}
            return [c async for c in model.astream("JSON", response_format=asked)]

        for found in (chunks, asyncio.run(go())):
            total = found[0]
            for chunk in found[1:]:
                total += chunk
            assert comparable(total) == recording.expected()


def test_events_close_the_connection_when_they_are_abandoned() -> None:
    gone: list[bool] = []

    def answer(request: Any) -> Iterator[bytes]:
        yield from list(sse(load("plain_text").events))[:3]
        gone.append(request.wait_gone())

    with WireServer(answer) as server, warnings.catch_warnings():
        events = ChatCerebras(base_url=server.url)._stream_chat_model_events(MESSAGES)
        assert next(events)["event"] == "message-start"
        events.close()  # type: ignore[attr-defined]
    assert gone == [True]
