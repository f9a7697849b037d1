"""Other LangChain integrations work against the simulator, which knows nothing of them.

The SDKs beneath them are in `test_simulator_sdks.py`; what is not there is the async
stream of a tool call.
"""

from __future__ import annotations

import json

import httpx2
import openai
import pytest
from cerebras.cloud.sdk import AsyncCerebras
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from langchain_cerebras_ext.simulator import Simulator

OfficialChatCerebras = pytest.importorskip(
    "langchain_cerebras",
    reason="it does not install on this Python, see requires-python in "
    "https://github.com/langchain-ai/langchain-cerebras",
).ChatCerebras

MODEL = "gpt-oss-120b"
WORDS = "the blue whale is the largest animal that is known to have lived"
SAY = f"Reply with the words '{WORDS}'."
WEATHER = "What is the weather in Lisbon?"


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"17 degrees in {city}"


class Person(BaseModel):
    """Somebody."""

    name: str = Field(description="The full name")
    age: int


@pytest.fixture(scope="module")
def simulator():
    with Simulator() as running:
        yield running


@pytest.fixture(params=["langchain_cerebras", "ChatOpenAI"])
async def peer(request, simulator):
    """A model with clients of its own: the shared async one dies with its loop."""
    simulator.reset()
    made = {
        "langchain_cerebras": OfficialChatCerebras,
        "ChatOpenAI": ChatOpenAI,
    }[request.param]
    with httpx2.Client() as client:
        async with httpx2.AsyncClient() as async_client:
            yield made(
                model=MODEL,
                base_url=simulator.base_url,
                api_key="csk-test",
                max_retries=0,
                http_client=client,
                http_async_client=async_client,
            )


def _sum(chunks):
    first, *rest = chunks
    return sum(rest, first)


def test_a_peer_chats(peer):
    message = peer.invoke(SAY)
    assert message.content == WORDS
    assert message.usage_metadata["output_tokens"] > 0
    assert message.response_metadata["model_name"] == MODEL


async def test_a_peer_chats_in_a_loop(peer):
    assert (await peer.ainvoke(SAY)).content == WORDS


def test_a_peer_streams(peer):
    chunks = list(peer.stream(SAY))
    assert len([chunk for chunk in chunks if chunk.content]) > 1
    assert _sum(chunks).content == WORDS


async def test_a_peer_streams_in_a_loop(peer):
    chunks = [chunk async for chunk in peer.astream(SAY)]
    assert _sum(chunks).content == WORDS


@pytest.mark.parametrize("choice", [None, "any", "get_weather"])
def test_a_peer_calls_a_tool_and_uses_its_answer(peer, choice):
    with_tools = peer.bind_tools([get_weather], tool_choice=choice)
    message = with_tools.invoke(WEATHER)
    (call,) = message.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Lisbon"})
    answer = peer.bind_tools([get_weather]).invoke(
        [
            HumanMessage(WEATHER),
            message,
            ToolMessage("17 degrees, windy", tool_call_id=call["id"]),
        ]
    )
    assert "17 degrees, windy" in answer.content


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream", "astream"])
async def test_a_peer_streams_a_tool_call(peer, asynchronous):
    with_tools = peer.bind_tools([get_weather])
    if asynchronous:
        chunks = [chunk async for chunk in with_tools.astream(WEATHER)]
    else:
        chunks = list(with_tools.stream(WEATHER))
    (call,) = _sum(chunks).tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Lisbon"})


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
# The SDK's own model of a parsed answer warns when langchain-openai dumps it.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_a_peer_gets_structured_output(peer, method):
    structured = peer.with_structured_output(Person, method=method)
    answer = structured.invoke("Grace Hopper is 85 years old.")
    assert answer == Person(name="Grace Hopper", age=85)


def test_a_peer_gets_json_in_json_mode(peer):
    structured = peer.with_structured_output(None, method="json_mode")
    answer = structured.invoke("Give JSON with the keys 'name' and 'age'.")
    assert set(answer) == {"name", "age"}


def test_the_models_are_listed_to_a_peers_client(peer):
    ids = [model.id for model in peer.root_client.models.list()]
    assert MODEL in ids


@pytest.mark.parametrize("sdk", ["openai", "cerebras"])
async def test_an_async_sdk_reads_a_streamed_tool_call(simulator, sdk):
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    client = (
        openai.AsyncOpenAI(base_url=simulator.base_url, api_key="x", max_retries=0)
        if sdk == "openai"
        else AsyncCerebras(base_url=simulator.root_url, api_key="x", max_retries=0)
    )
    async with client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": WEATHER}],
            tools=[tool],
            stream=True,
        )
        pieces = [
            piece
            async for chunk in stream
            for piece in chunk.choices[0].delta.tool_calls or []
        ]
    assert [piece.function.name for piece in pieces if piece.function.name] == [
        "get_weather"
    ]
    arguments = "".join(piece.function.arguments or "" for piece in pieces)
    assert json.loads(arguments) == {"city": "Lisbon"}
