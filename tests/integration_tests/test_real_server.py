"""`ChatCerebras` and `CerebrasLLM` against llama.cpp's server: a witness not our own.

It speaks the same protocol with other habits: a first chunk with `content: null`,
usage in a chunk without choices and only on request, tool calls in many fragments,
no rate-limit headers, no `time_info`, errors in a shape of its own.
"""

from __future__ import annotations

from typing import Literal

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_server import CONTEXT_TOKENS, SENTENCE, running_server, write_model
from pydantic import BaseModel, ConfigDict

from langchain_cerebras_ext import CerebrasLLM, ChatCerebras
from langchain_cerebras_ext.errors import BadRequestError, ContextLengthError

WHY = "its wheels are for common platforms only; the simulator's tests cover the rest"
pytest.importorskip("xllamacpp", reason=f"xllamacpp is not installed: {WHY}")
pytest.importorskip("gguf", reason=f"gguf is not installed: {WHY}")


class Colour(BaseModel):
    """Paint the crane."""

    # The name of the one tool that the model calls.
    model_config = ConfigDict(title="paint")

    color: Literal["red", "blue"]


def paint(color: Literal["red", "blue"]) -> str:
    """Paint the crane."""
    return f"It is {color} now."


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "sentence.gguf"
    write_model(path)
    with running_server(path) as found:
        yield found


@pytest.fixture
def model(address):
    """No key: the server is on this machine."""
    return ChatCerebras(
        model="sentence", base_url=address, temperature=0, stream_usage=True
    )


def _sum(chunks):
    first, *rest = chunks
    return sum(rest, first)


async def _all_paths(runnable, prompt):
    return [
        runnable.invoke(prompt),
        await runnable.ainvoke(prompt),
        _sum(list(runnable.stream(prompt))),
        _sum([chunk async for chunk in runnable.astream(prompt)]),
    ]


async def test_it_chats_on_every_path(model):
    for message in await _all_paths(model, "What does the crane do?"):
        assert message.text == SENTENCE
        assert message.response_metadata["finish_reason"] == "stop"
        usage = message.usage_metadata
        assert usage["output_tokens"] >= 7
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert message.response_metadata["model_provider"] == "cerebras"


def test_a_stream_comes_token_by_token(model):
    pieces = [chunk.text for chunk in model.stream("Hi") if chunk.text]
    assert pieces == ["The", " harbour", " crane", " lifts", " forty", " tonnes", "."]


async def test_a_limit_cuts_the_answer_and_says_so(model):
    for message in await _all_paths(model.bind(max_tokens=3), "Hi"):
        assert message.text == "The harbour crane"
        assert message.response_metadata["finish_reason"] == "length"


def test_a_stop_text_ends_the_answer(model):
    assert model.invoke("Hi", stop=[" forty"]).text == "The harbour crane lifts"


async def test_it_calls_a_tool_on_every_path(model):
    with_tools = model.bind_tools([paint])
    for message in await _all_paths(with_tools, "Paint it red."):
        (call,) = message.tool_calls
        assert (call["name"], call["args"]) == ("paint", {"color": "red"})
        assert call["id"]
        assert message.response_metadata["finish_reason"] == "tool_calls"


def test_a_history_with_a_tools_answer_is_taken(model):
    with_tools = model.bind_tools([paint])
    call = with_tools.invoke("Paint it red.")
    answer = with_tools.invoke(
        [
            HumanMessage("Paint it red."),
            call,
            ToolMessage("done", tool_call_id=call.tool_calls[0]["id"]),
        ]
    )
    assert answer.text == SENTENCE


@pytest.mark.parametrize("mode", ["values", "messages"])
async def test_an_agent_works(model, mode):
    agent = create_agent(model, [paint])
    asked = {"messages": [HumanMessage("Paint it red.")]}
    if mode == "messages":
        parts = [part async for part in agent.astream(asked, stream_mode="messages")]
        assert (
            "".join(
                message.text for message, _ in parts if message.type == "AIMessageChunk"
            )
            == SENTENCE
        )
        return
    messages = (await agent.ainvoke(asked))["messages"]
    assert [type(message) for message in messages] == [
        HumanMessage,
        AIMessage,
        ToolMessage,
        AIMessage,
    ]
    assert messages[2].content == "It is red now."
    assert messages[3].text == SENTENCE


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_it_gives_structured_output(model, method):
    """The server constrains the answer by a grammar that it makes of our schema."""
    structured = model.with_structured_output(Colour, method=method)
    assert structured.invoke("Which colour?") == Colour(color="red")
    assert await structured.ainvoke("Which colour?") == Colour(color="red")
    assert list(structured.stream("Which colour?"))[-1] == Colour(color="red")


async def test_many_calls_at_once_are_kept_apart(model):
    answers = await model.abatch(["Hi"] * 8)
    assert [answer.text for answer in answers] == [SENTENCE] * 8
    assert [answer.text for answer in model.batch(["Hi"] * 8)] == [SENTENCE] * 8
    assert len({answer.id for answer in answers}) == 8


async def test_a_prompt_that_is_too_long_is_our_error_for_that(model):
    prompt = "word " * CONTEXT_TOKENS
    with pytest.raises(ContextLengthError):
        model.invoke(prompt)
    with pytest.raises(ContextLengthError):
        _ = [chunk async for chunk in model.astream(prompt)]


def test_a_refusal_of_the_server_is_a_typed_error(model):
    with pytest.raises(BadRequestError):
        model.invoke("Hi", extra_body={"grammar": "this is no grammar"})


async def test_text_completion_works(address):
    llm = CerebrasLLM(model="sentence", base_url=address, temperature=0, max_tokens=4)
    text = llm.invoke("<|say|>")
    assert text == "The harbour crane lifts"
    assert await llm.ainvoke("<|say|>") == text
    assert "".join(llm.stream("<|say|>")) == text
    assert "".join([piece async for piece in llm.astream("<|say|>")]) == text


def test_a_server_with_a_key_is_not_needed_here(model, address):
    """The address may be given as the server prints it, or with its paths."""
    for base_url in (f"{address}/v1", f"{address}/v1/chat/completions", f"{address}/"):
        other = ChatCerebras(model="sentence", base_url=base_url, temperature=0)
        assert other.invoke("Hi").text == SENTENCE
    assert model.cerebras_api_key is None
