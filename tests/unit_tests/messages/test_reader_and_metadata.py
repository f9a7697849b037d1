"""Parts of the reading side by themselves, and that nothing at all breaks them."""

from __future__ import annotations

import json
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from wire_server import DONE, WireServer, event, plain

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._chunk import CerebrasMessageChunk, finished_blocks
from langchain_cerebras_ext._messages_out import (
    build_chunk,
    merge_deltas,
    partial_message,
)
from langchain_cerebras_ext._metadata import (
    AnswerFacts,
    measured,
    to_usage_metadata,
)
from langchain_cerebras_ext._status import rate_limits, status_error
from langchain_cerebras_ext._stream_reader import Delta, StreamReader, ToolFragment
from langchain_cerebras_ext._translator import translate_content_chunk
from langchain_cerebras_ext.errors import (
    CerebrasError,
    CerebrasInvalidRequestError,
    CerebrasResponseError,
)
from langchain_cerebras_ext.wire import _sse
from langchain_cerebras_ext.wire._decode import Chunk as StreamChunk

# ------------------------------------------------------------ nothing breaks a reader

NAMES = [
    "choices", "delta", "message", "content", "reasoning", "tool_calls", "function",
    "name", "arguments", "id", "index", "finish_reason", "usage", "prompt_tokens",
    "completion_tokens", "total_tokens", "prompt_tokens_details", "cached_tokens",
    "time_info", "logprobs", "refusal", "error", "status_code", "code", "param", "type",
    "detail", "loc", "msg", "text", "model", "created", "service_tier",
]  # fmt: skip

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "stop", "x", "429", '{"a": 1}', "quota"]),
    st.text(max_size=5),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    ),
    max_leaves=12,
)
calls = st.fixed_dictionaries(
    {},
    optional={
        "index": st.one_of(st.none(), st.integers(0, 2)),
        "id": st.sampled_from([None, "", "x", "y"]),
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from([None, "", "f", "g"]),
                "arguments": st.sampled_from([None, "", "{", "}", '{"a": 1}']),
            },
        ),
    },
)
deltas = st.fixed_dictionaries(
    {},
    optional={
        "content": st.sampled_from([None, "", "a", [{"text": "b"}], [{"text": None}]]),
        "reasoning": st.sampled_from([None, "", "r"]),
        "refusal": st.sampled_from([None, "", "n"]),
        "tool_calls": st.one_of(st.none(), st.lists(calls, max_size=3)),
    },
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"delta": deltas}), max_size=2)}
)


@settings(max_examples=400, deadline=None)
@given(events=st.lists(st.one_of(values, chunks), max_size=5))
def test_any_events_give_deltas_or_an_error_of_ours(events: list[Any]) -> None:
    reader = StreamReader()
    failure: CerebrasError | None = None
    try:
        for value in events:
            reader.feed(event(value))
        reader.feed(DONE)
        reader.finish()
    except CerebrasError as error:
        failure = error
    copy = pickle.loads(pickle.dumps(failure))
    assert str(copy) == str(failure)
    partial_message(reader)


@settings(max_examples=200, deadline=None)
@given(events=st.lists(chunks, max_size=6))
def test_any_tool_fragments_add_up_to_the_same_calls_streamed_or_partial(
    events: list[Any],
) -> None:
    """No arguments are lost, however servers number, name and identify the calls."""
    sent = "".join(
        (call.get("function") or {}).get("arguments") or ""
        for value in events
        for choice in value["choices"][:1]
        for call in choice["delta"].get("tool_calls") or ()
    )
    reader = StreamReader()
    for value in events:
        reader.feed(event(value))
    fragments = [piece for found in reader.deltas for piece in found.tools]
    assert sorted("".join(piece.args for piece in fragments)) == sorted(sent)
    total = CerebrasMessageChunk("")
    for found in reader.deltas:
        total += build_chunk(found, "i").message
    partial = partial_message(reader)
    begun = partial.invalid_tool_calls if partial else []
    pieces = sorted(total.tool_call_chunks, key=lambda piece: piece["index"] or 0)
    assert [(p["name"], p["args"], p["id"]) for p in pieces] == [
        (call["name"], call["args"], call["id"]) for call in begun
    ]


@settings(max_examples=400, deadline=None)
@given(body=values, status=st.sampled_from([400, 401, 403, 404, 422, 429, 500]))
def test_any_json_body_makes_a_status_error(body: Any, status: int) -> None:
    error = status_error(status, json.dumps(body).encode(), {}, api_key="secret-key")
    assert 400 <= error.status_code <= 599
    assert pickle.loads(pickle.dumps(error)).body == error.body


@settings(max_examples=200, deadline=None)
@given(usage=st.dictionaries(st.sampled_from(NAMES), values, max_size=6))
def test_any_usage_gives_whole_numbers_or_nothing(usage: dict[str, Any]) -> None:
    found = to_usage_metadata(usage)
    if found is not None:
        AIMessage("", usage_metadata=found)
        assert all(
            type(found[key]) is int
            for key in ("input_tokens", "output_tokens", "total_tokens")
        )


# ----------------------------------------------------------------------- the reader


def fragments(*pieces: dict[str, Any]) -> tuple[ToolFragment, ...]:
    reader = StreamReader()
    wire = {"choices": [{"delta": {"tool_calls": list(pieces)}}]}
    (delta,) = reader.feed(event(wire))
    return delta.tools


def test_fragments_of_one_call_in_one_delta_become_one() -> None:
    found = fragments(
        {"index": 0, "id": "x", "function": {"name": "f", "arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ": 1}"}},
    )
    assert found == (ToolFragment(0, "x", "f", '{"a": 1}'),)


def test_an_id_that_comes_late_is_taken() -> None:
    found = fragments(
        {"index": 0, "id": "", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "id": "x", "function": {"arguments": "{}"}},
    )
    assert found == (ToolFragment(0, "x", "f", "{}"),)


def test_calls_are_numbered_by_first_sight() -> None:
    found = fragments(
        {"index": 7, "id": "x", "function": {"name": "f", "arguments": "{}"}},
        {"index": 3, "id": "y", "function": {"name": "g", "arguments": "{}"}},
    )
    assert [piece.number for piece in found] == [0, 1]


def test_an_event_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sse, "MAX_EVENT_BYTES", 100)
    reader = StreamReader()
    with pytest.raises(CerebrasResponseError, match="exceeds 100 bytes"):
        for _ in range(10):
            reader.feed(b"data: " + b"x" * 30)


def test_an_unreadable_event_shows_its_begin_without_the_key() -> None:
    reader = StreamReader(api_key="my-own-secret")
    with pytest.raises(CerebrasResponseError) as caught:
        reader.feed(b"data: junk my-own-secret " + b"x" * 1000 + b"\n\n")
    assert "junk ***" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_refusal_is_part_of_what_had_arrived() -> None:
    reader = StreamReader()
    reader.feed(event({"choices": [{"delta": {"refusal": "No"}}]}))
    partial = partial_message(reader)
    assert partial is not None
    assert partial.additional_kwargs == {"refusal": "No"}
    assert partial.response_metadata == {"model_provider": "cerebras"}


def test_deltas_of_one_read_are_joined_by_kind() -> None:
    joined = merge_deltas(
        [
            Delta("text", "a"),
            Delta("text", "b"),
            Delta("reasoning", "r"),
            Delta("tools", tools=(ToolFragment(0, "x", "f", "{"),)),
            Delta("tools", tools=(ToolFragment(1, "y", "g", ""), ToolFragment(0, None, None, "}"))),
            Delta("text", "c"),
            Delta("logprobs", logprobs={"logprobs": {"content": [1]}}),
            Delta("logprobs", logprobs={"logprobs": {"content": [2]}}),
        ]
    )  # fmt: skip
    assert joined == [
        Delta("text", "ab"),
        Delta("reasoning", "r"),
        Delta("tools", tools=(ToolFragment(0, "x", "f", "{}"), ToolFragment(1, "y", "g", ""))),
        Delta("text", "c"),
        Delta("logprobs", logprobs={"logprobs": {"content": [1]}}),
        Delta("logprobs", logprobs={"logprobs": {"content": [2]}}),
    ]  # fmt: skip


# --------------------------------------------------------------------------- blocks


def test_content_that_is_a_list_already_is_kept() -> None:
    message = AIMessage(
        ["a", {"type": "text", "text": "b"}, {"type": "reasoning", "reasoning": "r"}],
        additional_kwargs={"reasoning_content": "r"},
        response_metadata={"model_provider": "cerebras"},
    )
    assert (
        message.content_blocks
        == finished_blocks(message)
        == [
            {"type": "reasoning", "reasoning": "r"},
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
        ]
    )
    chunk = CerebrasMessageChunk(["a", {"type": "text", "text": "b", "index": 0}])
    assert translate_content_chunk(chunk) == [
        {"type": "text", "text": "a", "index": "lc_txt_0"},
        {"type": "text", "text": "b", "index": 0},
    ]


# ------------------------------------------------------------------------- metadata


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens_details": {"cached_tokens": 1}}, None),
        ({"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 3}, {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}),
        ({"prompt_tokens": 3.0, "completion_tokens": 2}, {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}),
        ({"total_tokens": 9}, {"input_tokens": 0, "output_tokens": 0, "total_tokens": 9}),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": [], "completion_tokens_details": "x"}, {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "image_tokens": 4, "prompt_tokens_details": {"image_tokens": 5}},
            {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11, "input_token_details": {"image": 5}},
        ),
    ],
)  # fmt: skip
def test_usage(usage: Any, expected: Any) -> None:
    assert to_usage_metadata(usage) == expected


def test_rate_limits_are_numbers_where_they_can_be() -> None:
    headers = {
        "x-ratelimit-limit-requests-day": "14400",
        "x-ratelimit-reset-tokens-minute": "12.0",
        "x-ratelimit-reset-requests-day": "1e3",
        "x-ratelimit-note": "soon",
        "x-ratelimit-odd": "nan",
        "x-ratelimit-more": "Infinity",
        "content-type": "text/plain",
    }
    found = rate_limits(headers)
    assert found == {
        "x-ratelimit-limit-requests-day": 14400,
        "x-ratelimit-reset-tokens-minute": 12.0,
        "x-ratelimit-reset-requests-day": 1000,
        "x-ratelimit-note": "soon",
        "x-ratelimit-odd": "nan",
        "x-ratelimit-more": "Infinity",
    }
    assert type(found["x-ratelimit-limit-requests-day"]) is int
    assert type(found["x-ratelimit-reset-tokens-minute"]) is float
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


@pytest.mark.parametrize(
    ("elapsed_s", "first_s", "tokens", "expected"),
    [
        pytest.param(2.0, None, 10, {"total_s": 2.0, "output_tokens_per_s": 5.0}, id="plain"),
        pytest.param(2.0, 1.0, 10, {"total_s": 2.0, "time_to_first_token_s": 1.0, "output_tokens_per_s": 10.0}, id="stream"),
        pytest.param(2.0, 2.0, 10, {"total_s": 2.0, "time_to_first_token_s": 2.0, "output_tokens_per_s": 5.0}, id="at_once"),
        pytest.param(2.0, 1.0, None, {"total_s": 2.0, "time_to_first_token_s": 1.0}, id="not_counted"),
        pytest.param(2.0, 1.0, 0, {"total_s": 2.0, "time_to_first_token_s": 1.0}, id="none"),
        pytest.param(0.0, None, 5, {"total_s": 0.0}, id="no_time"),
    ],
)  # fmt: skip
def test_measured(
    elapsed_s: float,
    first_s: float | None,
    tokens: int | None,
    expected: dict[str, float],
) -> None:
    found = measured(elapsed_s=elapsed_s, first_token_s=first_s, output_tokens=tokens)
    assert found == expected


def test_facts_keep_the_last_word() -> None:
    facts = AnswerFacts()
    assert facts.output_tokens is None
    for usage in ({"completion_tokens": 1}, {"completion_tokens": 7}):
        facts.update(msgspec.convert({"usage": usage, "id": "x"}, StreamChunk))
    assert facts.output_tokens == 7
    facts.update(msgspec.convert({}, StreamChunk))
    assert (facts.id, facts.output_tokens) == ("x", 7)


# ------------------------------------------------------------------- several answers

SEVERAL = {
    "id": "chatcmpl-1",
    "model": "gpt-oss-120b",
    "choices": [
        {"index": 1, "finish_reason": "length", "message": {"content": "B"}},
        {"index": 0, "finish_reason": "stop", "message": {"content": "A"}},
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}


def test_several_answers_are_generations_in_order_and_counted_once() -> None:
    with WireServer(lambda _: plain(SEVERAL)) as server:
        model = ChatCerebras(base_url=server.url, n=2)
        (generations,) = model.generate([[HumanMessage("hi")]]).generations
        first = model.invoke("hi")
    messages = [generation.message for generation in generations]  # type: ignore[attr-defined]
    assert [message.content for message in messages] == ["A", "B"]
    reasons = [m.response_metadata["finish_reason"] for m in messages]
    assert reasons == ["stop", "length"]
    assert [m.usage_metadata is None for m in messages] == [False, True]
    assert [message.id for message in messages] == ["chatcmpl-1", "chatcmpl-1-1"]
    assert first.content == "A"


@pytest.mark.parametrize(
    "more",
    [{}, {"response_format": {"type": "json_object"}}],
    ids=["plain", "json_mode"],
)
def test_a_stream_of_several_answers_is_refused(more: dict[str, Any]) -> None:
    with WireServer(lambda _: plain(SEVERAL)) as server:
        model = ChatCerebras(base_url=server.url)
        with pytest.raises(CerebrasInvalidRequestError, match="n="):
            list(model.stream("hi", n=2, **more))
        assert server.requests == []
