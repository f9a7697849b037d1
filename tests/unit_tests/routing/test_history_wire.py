"""Histories of each provider, sent by the real clients to a server that checks them."""

from __future__ import annotations

import pytest
from openai_models import chat_openai

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.routing.history import portable_messages
from langchain_cerebras_ext.simulator.server import Simulator
from tests.provider_histories import ANSWER, ARGS, HISTORIES, PNG_URI, SAID, THOUGHT

MODEL = "qwen-3.8-27b"  # it sees images


@pytest.fixture(scope="module")
def server():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def sent(server):
    """The messages of the one request of a test."""
    server.reset()
    return lambda: server.requests[-1].body["messages"]


def roles(messages):
    return [one["role"] for one in messages]


EXPECTED = ["system", "user", "assistant", "tool", "tool", "user", "assistant", "user"]


@pytest.mark.parametrize("name", HISTORIES)
async def test_cerebras_accepts_every_history(server, sent, name):
    """The service checks each key, each id and the order; so does the simulator."""
    model = ChatCerebras(model=MODEL, base_url=server.base_url, api_key="k")
    messages = portable_messages(HISTORIES[name], "cerebras")
    assert (await model.ainvoke(messages)).text
    body = sent()
    assert roles(body) == EXPECTED
    turn = body[2]
    # This model reads what it has thought from the text before its answer.
    thought = "" if name == "openai" else f"<think>{THOUGHT}</think>"
    assert turn["content"] == thought + SAID
    assert [one["id"] for one in turn["tool_calls"]] == [
        body[3]["tool_call_id"],
        body[4]["tool_call_id"],
    ]
    assert body[1]["content"][1]["image_url"]["url"] == PNG_URI
    assert body[5]["content"][1]["image_url"]["url"] == PNG_URI
    assert body[6]["content"] == ANSWER


@pytest.mark.parametrize(
    "name", [one for one in HISTORIES if not one.startswith("openai_")]
)
def test_openais_client_sends_what_its_form_has(server, sent, name):
    """Text, calls and images alone, in the shapes of chat completions.

    The histories of the Responses API are its own, and go back to that.
    """
    model = chat_openai(model=MODEL, base_url=server.base_url, api_key="k")
    messages = portable_messages(HISTORIES[name], "openai")
    assert model.invoke(messages).text
    body = sent()
    assert roles(body) == EXPECTED
    assert body[2]["content"] == SAID
    assert set(body[2]) == {"role", "content", "tool_calls"}
    assert len(ARGS) == len(body[2]["tool_calls"])


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("provider", ["local", "groq"])
def test_servers_in_openais_form_accept_every_history(server, sent, name, provider):
    """Also those of OpenAI's own Responses API, which such a server does not know."""
    model = chat_openai(model=MODEL, base_url=server.base_url, api_key="k")
    messages = portable_messages(HISTORIES[name], provider)
    assert model.invoke(messages).text
    assert sent()[2]["tool_calls"]
