"""The chunk class: a finished sum is strict, and survives what LangChain does to it."""

from __future__ import annotations

import asyncio
import copy
import importlib
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumps, loads
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    ToolMessage,
    message_chunk_to_message,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import add_messages
from recordings import ALL, NAMES, Recording, add, comparable, load
from wire_server import DONE, Request, WireServer, event, plain, sse

from langchain_cerebras_ext import ChatCerebras, _messages_out
from langchain_cerebras_ext._chunk import CerebrasMessageChunk, parse_call
from langchain_cerebras_ext._messages_out import (
    build_chunk,
    build_last_chunk,
    ending_of_stream,
)
from langchain_cerebras_ext._stream_reader import Delta, StreamReader, ToolFragment


def chunks_of(recording: Recording) -> list[AIMessageChunk]:
    reader = StreamReader()
    deltas = [*reader.feed(recording.stream), *reader.finish()]
    found = [build_chunk(delta, reader.facts.id) for delta in deltas]
    found.append(build_last_chunk(ending_of_stream(reader, {})))
    return [chunk.message for chunk in found]


@pytest.fixture(params=ALL, ids=NAMES)
def recording(request: pytest.FixtureRequest) -> Recording:
    return request.param


# ----------------------------------------------------------------------- copies


def test_copies_of_every_chunk_and_of_the_sum_are_equal(recording: Recording) -> None:
    chunks = chunks_of(recording)
    for chunk in [*chunks, add(chunks)]:
        for copied in (
            pickle.loads(pickle.dumps(chunk)),
            copy.copy(chunk),
            copy.deepcopy(chunk),
            chunk.model_copy(),
            chunk.model_copy(deep=True),
            CerebrasMessageChunk(**chunk.model_dump()),
            CerebrasMessageChunk.model_validate(chunk.model_dump()),
        ):
            assert type(copied) is CerebrasMessageChunk
            assert copied == chunk
            assert copied.model_dump() == chunk.model_dump()
            assert repr(copied) == repr(chunk)


def test_sum_of_copies_is_the_sum(recording: Recording) -> None:
    chunks = chunks_of(recording)
    copies = [pickle.loads(pickle.dumps(chunk)) for chunk in chunks]
    assert comparable(add(copies)) == recording.expected()


def test_a_chunk_becomes_a_message(recording: Recording) -> None:
    total = add(chunks_of(recording))
    message = message_chunk_to_message(total)
    assert type(message) is AIMessage
    assert message == recording.expected()


def test_saved_as_dicts_a_message_comes_back(recording: Recording) -> None:
    message = message_chunk_to_message(add(chunks_of(recording)))
    assert messages_from_dict(messages_to_dict([message])) == [recording.expected()]


def test_a_finished_sum_loads_as_its_message(recording: Recording) -> None:
    total = add(chunks_of(recording))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = loads(dumps(total), allowed_objects="core")
    assert type(loaded) is AIMessage
    assert loaded.invalid_tool_calls == total.invalid_tool_calls
    assert loaded == recording.expected()


def test_an_unfinished_sum_loads_as_a_plain_chunk() -> None:
    part = add(chunks_of(load("reasoning_text_tools"))[:4])
    assert part.lc_id()[-1] == "AIMessageChunk"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = loads(dumps(part), allowed_objects="core")
    assert isinstance(loaded, AIMessageChunk)
    assert loaded.content == part.content
    assert loaded.additional_kwargs == part.additional_kwargs


def test_langgraph_adds_a_sum_as_a_message(recording: Recording) -> None:
    state = add_messages([HumanMessage("hi")], [add(chunks_of(recording))])
    assert type(state[-1]) is AIMessage
    assert state[-1] == recording.expected()
    assert add_messages(state, [recording.expected()])[1:] == [recording.expected()]


# ------------------------------------------------------------------------- sums


def test_a_plain_chunk_on_the_left_does_not_take_the_class_away(
    recording: Recording,
) -> None:
    total = add([AIMessageChunk(""), *chunks_of(recording)])
    assert type(total) is CerebrasMessageChunk
    assert comparable(total) == recording.expected()


def test_a_plain_sum_on_the_left_is_lifted() -> None:
    left = AIMessageChunk(
        "",
        tool_call_chunks=[
            {
                "name": "f",
                "args": '{"a"',
                "id": "x",
                "index": 0,
                "type": "tool_call_chunk",
            }
        ],
    )
    total = left + build_last_chunk_of("length")
    assert type(total) is CerebrasMessageChunk
    assert total.tool_calls == []
    assert [call["args"] for call in total.invalid_tool_calls] == ['{"a"']


def build_last_chunk_of(reason: str) -> AIMessageChunk:
    reader = StreamReader()
    reader.feed(event({"choices": [{"delta": {}, "finish_reason": reason}]}))
    return build_last_chunk(ending_of_stream(reader, {})).message


def test_something_else_on_the_left_is_refused() -> None:
    with pytest.raises(TypeError):
        3 + CerebrasMessageChunk("")  # type: ignore[operator]


def test_a_list_of_chunks_is_added_at_once() -> None:
    first, *rest = chunks_of(load("cut_tool_arguments"))
    total = first + rest
    assert comparable(total) == load("cut_tool_arguments").expected()


def test_generation_chunks_merge_in_any_grouping(recording: Recording) -> None:
    chunks = chunks_of(recording)
    for cut in range(1, len(chunks)):
        left, right = add(chunks[:cut]), add(chunks[cut:])
        assert comparable(left + right) == recording.expected()
    generations = [ChatGenerationChunk(message=chunk) for chunk in chunks]
    merged = merge_chat_generation_chunks(generations)
    assert merged is not None
    assert comparable(merged.message) == recording.expected()


# ------------------------------------------------------------------- tool calls


def test_a_growing_call_is_read_leniently_and_a_finished_one_strictly() -> None:
    chunks = chunks_of(load("cut_tool_arguments"))
    growing = add(chunks[:-1])
    assert growing.tool_calls == [
        {
            "name": "delete_file",
            "args": {"path": "/tmp/report"},
            "id": "0a1b2c3d4",
            "type": "tool_call",
        }
    ]
    total = growing + chunks[-1]
    assert total.tool_calls == []
    assert (
        total.invalid_tool_calls
        == load("cut_tool_arguments").message["invalid_tool_calls"]
    )


def test_a_fragment_without_a_name_is_no_call() -> None:
    fragment = build_chunk(
        Delta("tools", tools=(ToolFragment(0, None, None, "{"),)), "x"
    )
    assert fragment.message.tool_calls == []
    assert fragment.message.invalid_tool_calls == []


def test_calls_given_without_fragments_are_kept() -> None:
    call = {"name": "f", "args": {"a": 1}, "id": "x", "type": "tool_call"}
    chunk = CerebrasMessageChunk("", tool_calls=[call])
    assert chunk.tool_calls == [call]
    assert [piece["name"] for piece in chunk.tool_call_chunks] == ["f"]


@pytest.mark.parametrize(
    "args", ["{", '{"a": 1} x', "[1]", "3", "null", '{"a": NaN}', "[" * 100_000]
)
def test_arguments_that_are_no_object_make_an_invalid_call(args: str) -> None:
    call = parse_call("f", args, "x")
    assert call == {
        "type": "invalid_tool_call",
        "name": "f",
        "args": args,
        "id": "x",
        "error": "Failed to parse tool call arguments as JSON",
    }


@pytest.mark.parametrize("args", ["", "  ", None, "{}"])
def test_no_arguments_are_an_empty_object(args: str | None) -> None:
    assert parse_call("f", args, None) == {
        "type": "tool_call",
        "name": "f",
        "args": {},
        "id": None,
    }


def test_a_call_without_a_name_is_invalid_and_says_so() -> None:
    call = parse_call("", '{"a":1}', "x")
    assert call["type"] == "invalid_tool_call"
    assert call["name"] is None
    assert call["error"] == "The tool call has no name"


def test_deeply_nested_arguments_do_not_break_a_growing_call() -> None:
    args = '{"a":' + "[" * 100_000
    chunk = build_chunk(Delta("tools", tools=(ToolFragment(0, "x", "f", args),)), "i")
    assert [call["args"] for call in chunk.message.invalid_tool_calls] == [args]


# ------------------------------------------------ an agent never runs half a call


@pytest.fixture
def cut_call() -> Iterator[WireServer]:
    """Answer with a cut call; to a tool's result, should one come, with a text."""
    cut, text = load("cut_tool_arguments"), load("plain_text")

    def answer(request: Request) -> Iterator[bytes]:
        last = request.json["messages"][-1]
        found = text if last["role"] == "tool" else cut
        return sse(found.events) if request.is_stream else plain(found.body)

    with WireServer(answer) as server:
        yield server


@pytest.mark.parametrize(
    "way",
    [
        "invoke",
        "ainvoke",
        "messages",
        "amessages",
        "updates",
        "aupdates",
        "events",
        "v3",
    ],
)
@pytest.mark.parametrize("output_version", [None, "v1"], ids=["v0", "v1"])
def test_an_agent_does_not_run_a_call_that_was_cut_off(
    cut_call: WireServer, way: str, output_version: str | None
) -> None:
    ran: list[str] = []

    @tool
    def delete_file(path: str) -> str:
        """Delete a file."""
        ran.append(path)
        return "gone"

    model = ChatCerebras(base_url=cut_call.url, output_version=output_version)
    agent = create_agent(model, [delete_file], checkpointer=InMemorySaver())
    question = {"messages": [HumanMessage("Delete /tmp/report.txt")]}
    config: Any = {"configurable": {"thread_id": "1"}}

    async def astream(mode: str) -> None:
        async for _ in agent.astream(question, config, stream_mode=mode):
            pass

    async def aevents() -> None:
        async for _ in agent.astream_events(question, config, version="v2"):
            pass

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        match way:
            case "invoke":
                agent.invoke(question, config)
            case "ainvoke":
                asyncio.run(agent.ainvoke(question, config))
            case "messages" | "updates":
                list(agent.stream(question, config, stream_mode=way))
            case "amessages" | "aupdates":
                asyncio.run(astream(way[1:]))
            case "events":
                asyncio.run(aevents())
            case "v3":
                list(agent.stream_events(question, config, version="v3"))
        messages = agent.get_state(config).values["messages"]
    assert ran == []
    assert len(cut_call.requests) == 1
    assert [type(message) for message in messages] == [HumanMessage, AIMessage]
    assert messages[-1].tool_calls == []
    assert [call["name"] for call in messages[-1].invalid_tool_calls] == ["delete_file"]


def test_an_agent_runs_the_whole_call_next_to_one_that_was_cut_off() -> None:
    ran: list[str] = []

    @tool
    def get_weather(city: str) -> str:
        """Return the weather."""
        ran.append(city)
        return "sun"

    @tool
    def get_time(zone: str) -> str:
        """Return the time."""
        ran.append(zone)
        return "noon"

    cut, text = load("cut_second_tool"), load("plain_text")

    def answer(request: Request) -> Iterator[bytes]:
        last = request.json["messages"][-1]
        return plain((text if last["role"] == "tool" else cut).body)

    with WireServer(answer) as server:
        agent = create_agent(ChatCerebras(base_url=server.url), [get_weather, get_time])
        state = agent.invoke({"messages": [HumanMessage("Both, please")]})
    assert ran == ["Paris"]
    answers = [m for m in state["messages"] if isinstance(m, ToolMessage)]
    # LangChain answers the cut call by itself; the service sees a call for each answer.
    assert {message.tool_call_id for message in answers} == {"1a2b3c4d5", "2b3c4d5e6"}
    assert [m.content for m in answers if m.name == "get_weather"] == ["sun"]
    sent = server.requests[1].json["messages"]
    calls = [call["id"] for call in sent[1]["tool_calls"]]
    assert {m["tool_call_id"] for m in sent if m["role"] == "tool"} == set(calls)


# ---------------------------------------------------------- the hand-built chunk


PROBES = [
    pytest.param("text", {}, "id", id="text"),
    pytest.param("", {"reasoning_content": "r"}, "id", id="reasoning"),
    pytest.param("text", {}, None, id="without_id"),
]


@pytest.mark.parametrize(("text", "kwargs", "message_id"), PROBES)
def test_the_hand_built_chunk_equals_the_validated_one(
    text: str, kwargs: dict[str, Any], message_id: str | None
) -> None:
    bare = _messages_out._bare_chunk(text, dict(kwargs), message_id)
    slow = _messages_out._slow_chunk(text, dict(kwargs), message_id)
    assert bare == slow
    assert type(bare) is type(slow)
    assert bare.text == slow.text == text
    assert bare.model_dump() == slow.model_dump()
    assert bare.model_dump_json() == slow.model_dump_json()
    assert bare.message.content_blocks == slow.message.content_blocks
    for one, other in [(bare, slow), (bare.message, slow.message)]:
        assert type(one) is type(other)
        assert list(one.__dict__) == list(other.__dict__)
        assert one.__dict__ == other.__dict__
        assert one.model_fields_set == other.model_fields_set
        assert one.__pydantic_extra__ == other.__pydantic_extra__
        assert one.__pydantic_private__ == other.__pydantic_private__
        assert repr(one) == repr(other)
        assert pickle.loads(pickle.dumps(one)) == other
        assert copy.deepcopy(one) == other
        assert one.model_dump(exclude_unset=True) == other.model_dump(
            exclude_unset=True
        )


def test_hand_built_chunks_share_nothing() -> None:
    first, second = (_messages_out._bare_chunk("a", {}, "id") for _ in range(2))
    first.message.response_metadata["x"] = 1
    first.message.additional_kwargs["y"] = 1
    first.message.tool_calls.append({"name": "f", "args": {}, "id": None})  # type: ignore[typeddict-item]
    first.message.content += "b"
    assert second == _messages_out._slow_chunk("a", {}, "id")


def test_the_hand_built_chunk_is_in_use_on_this_version_of_langchain() -> None:
    assert _messages_out._fast_chunk is _messages_out._bare_chunk


def test_when_langchain_differs_the_validated_constructor_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A field that the hand-built chunk lacks makes the self-check fail."""
    for broken in (
        lambda *_: CerebrasMessageChunk(""),
        lambda *_: ChatGenerationChunk(message=CerebrasMessageChunk("other")),
        lambda *_: {}["nothing"],
    ):
        monkeypatch.setattr(_messages_out, "_bare_chunk", broken)
        try:
            assert _messages_out._is_bare_safe() is False
        finally:
            monkeypatch.undo()


def test_the_fallback_gives_the_same_messages(
    monkeypatch: pytest.MonkeyPatch, recording: Recording
) -> None:
    monkeypatch.setattr(_messages_out, "_fast_chunk", _messages_out._slow_chunk)
    assert comparable(add(chunks_of(recording))) == recording.expected()


def test_importing_without_the_fast_way_falls_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pydantic without the slots that the fast way sets must not break the import."""
    from pydantic import BaseModel

    fresh = importlib.util.spec_from_file_location(
        "messages_out_again", _messages_out.__file__
    )
    assert fresh is not None
    assert fresh.loader is not None
    module = importlib.util.module_from_spec(fresh)
    real = BaseModel.__dict__

    class Without:
        __dict__ = {k: v for k, v in real.items() if k != "__pydantic_extra__"}

    import pydantic

    monkeypatch.setattr(pydantic, "BaseModel", Without())
    fresh.loader.exec_module(module)
    chunk = module._fast_chunk("a", {}, "id")
    assert chunk == _messages_out._slow_chunk("a", {}, "id")


def test_a_stream_whose_answer_has_no_id_gets_one_of_the_run() -> None:
    events = [
        event({"choices": [{"delta": {"content": "Yes."}}]}),
        event({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
        DONE,
    ]
    body = {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}
    with WireServer(lambda r: sse(events) if r.is_stream else plain(body)) as server:
        model = ChatCerebras(base_url=server.url)
        messages = [model.invoke("hi"), add(model.stream("hi"))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            messages.append(model.stream_events("hi", version="v3").output)
    for message in messages:
        assert message.id.startswith("lc_run--")
        assert message.text == "Yes."
        assert "model_name" not in message.response_metadata


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_call_whose_arguments_had_not_begun_is_invalid_when_the_answer_is_cut(reason):
    begun = CerebrasMessageChunk(
        content="",
        tool_call_chunks=[
            {"name": "f", "args": "", "id": "c1", "index": 0, "type": "tool_call_chunk"}
        ],
    )
    last = CerebrasMessageChunk(
        content="",
        chunk_position="last",
        response_metadata={"finish_reason": reason},
    )
    cut = begun + last
    assert cut.tool_calls == []
    assert [call["name"] for call in cut.invalid_tool_calls] == ["f"]
    whole = begun + last.model_copy(
        update={"response_metadata": {"finish_reason": "tool_calls"}}
    )
    assert [call["args"] for call in whole.tool_calls] == [{}]
