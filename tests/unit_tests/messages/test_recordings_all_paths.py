"""Every way to call the model gives the same message for the same answer."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from recordings import ALL, NAMES, Recording, add, comparable, without_indexes
from wire_server import WireServer, plain, sse

from langchain_cerebras_ext import ChatCerebras

RATE_HEADERS = {
    "x-ratelimit-limit-requests-day": "14400",
    "x-ratelimit-remaining-tokens-minute": "59000",
    "x-ratelimit-reset-tokens-minute": "12.5",
}
WIRE_ORDER_DIFFERS = {"text_before_reasoning"}


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    """Serve each recording under its own name as the model."""
    held = {recording.name: recording for recording in ALL}

    def answer(request: Any) -> Iterator[bytes]:
        recording = held[request.json["user"]]
        if request.is_stream:
            return sse(recording.events, headers=RATE_HEADERS)
        return plain(recording.body, headers=RATE_HEADERS)

    with WireServer(answer) as found:
        yield found


def _call(path: str, model: ChatCerebras) -> Any:
    async def summed() -> Any:
        return add([chunk async for chunk in model.astream("hi")])

    async def v3() -> Any:
        stream = await model.astream_events("hi", version="v3")
        return await stream.output

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        match path:
            case "invoke":
                return model.invoke("hi")
            case "ainvoke":
                return asyncio.run(model.ainvoke("hi"))
            case "stream":
                return add(model.stream("hi"))
            case "astream":
                return asyncio.run(summed())
            case "invoke_streamed":
                return model.invoke("hi", stream=True)
            case "ainvoke_streamed":
                return asyncio.run(model.ainvoke("hi", stream=True))
            case "v3":
                return model.stream_events("hi", version="v3").output
            case "av3":
                return asyncio.run(v3())
    raise AssertionError(path)


PATHS = [
    "invoke",
    "ainvoke",
    "stream",
    "astream",
    "invoke_streamed",
    "ainvoke_streamed",
    "v3",
    "av3",
]


def _in_order(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ranks = ["reasoning", "text", "refusal", "tool_call", "invalid_tool_call"]
    return sorted(blocks, key=lambda block: ranks.index(block["type"]))


def _cases() -> Iterator[tuple[str, str | None, bool]]:
    """Each path with the settings that matter to it."""
    for path in PATHS:
        for version in (None,) if path in {"v3", "av3"} else (None, "v1"):
            yield path, version, False
            if path not in {"invoke", "ainvoke"}:
                yield path, version, True


@pytest.mark.parametrize("recording", ALL, ids=NAMES)
def test_message_is_the_expected_one_on_every_path(
    server: WireServer, recording: Recording
) -> None:
    # In one test: a thousand of their own cost more than the calls themselves.
    for path, output_version, coalesce in _cases():
        _check(server, recording, path, output_version, coalesce=coalesce)


def _check(
    server: WireServer,
    recording: Recording,
    path: str,
    output_version: str | None,
    *,
    coalesce: bool,
) -> None:
    model = ChatCerebras(
        base_url=server.url,
        model=recording.body["model"],
        user=recording.name,
        output_version=output_version,
        coalesce_stream=coalesce,
    )
    found = _call(path, model)
    message = comparable(found)
    is_v1 = output_version == "v1" or path in {"v3", "av3"}
    expected = recording.expected_v1() if is_v1 else recording.expected()
    if path in {"v3", "av3"}:
        # LangChain's v3 assembler writes merge indexes into text and reasoning, keeps
        # the order of the wire, leaves empty content a text, and until 1.7.5 drops
        # refusals from the content; `additional_kwargs` keeps those.
        message = without_indexes(message)
        blocks = [b for b in expected.content if b["type"] != "refusal"]
        kept = [b for b in message.content if b["type"] != "refusal"]
        if recording.name in WIRE_ORDER_DIFFERS:
            kept = _in_order(kept)
        message = message.model_copy(update={"content": kept})
        expected = expected.model_copy(update={"content": blocks})
    assert message.model_dump() == expected.model_dump()
    assert message == expected
    if path not in {"v3", "av3"}:
        assert message.content_blocks == recording.content_blocks
        assert found.content_blocks == recording.content_blocks


@pytest.mark.parametrize("path", PATHS)
def test_message_says_what_was_measured_and_the_state_of_the_limits(
    server: WireServer, path: str
) -> None:
    model = ChatCerebras(base_url=server.url, user="reasoning_text_tools")
    metadata = _call(path, model).response_metadata
    assert metadata["attempts"] == 1
    assert metadata["rate_limits"] == {
        "x-ratelimit-limit-requests-day": 14400,
        "x-ratelimit-remaining-tokens-minute": 59000,
        "x-ratelimit-reset-tokens-minute": 12.5,
    }
    measured = metadata["measured"]
    assert measured["total_s"] > 0
    assert measured["output_tokens_per_s"] > 0
    streamed = path not in {"invoke", "ainvoke"}
    assert ("time_to_first_token_s" in measured) is streamed
    if streamed:
        assert 0 < measured["time_to_first_token_s"] <= measured["total_s"]


def test_content_blocks_of_recordings_are_in_the_canonical_order() -> None:
    ranks = ["reasoning", "text", "refusal", "tool_call", "invalid_tool_call"]
    for recording in ALL:
        order = [ranks.index(block["type"]) for block in recording.content_blocks]
        assert order == sorted(order), recording.name
