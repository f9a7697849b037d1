"""A router whose other leg is not ours: llama.cpp's server, asked by `ChatOpenAI`.

Two different servers and two different clients behind one model.
"""

from __future__ import annotations

import pytest
from call_paths import BETA, call
from langchain_core.messages import HumanMessage, ToolMessage
from llama_server import SENTENCE, running_server, write_model
from openai_models import chat_openai
from pydantic import BaseModel, ConfigDict

from langchain_cerebras_ext import ChatCerebras, track_costs
from langchain_cerebras_ext.routing.router import ChatRouter

pytestmark = BETA

WHY = "its wheels are for common platforms only; the simulator's tests cover the rest"
pytest.importorskip("xllamacpp", reason=f"xllamacpp is not installed: {WHY}")
pytest.importorskip("gguf", reason=f"gguf is not installed: {WHY}")

WAYS = ["invoke", "ainvoke", "stream", "astream", "v3", "av3"]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "sentence.gguf"
    write_model(path)
    with running_server(path) as found:
        yield found


@pytest.fixture
def router(address, sim):
    legs = {
        "cerebras": ChatCerebras(
            model="gpt-oss-120b",
            api_key="csk-test",
            base_url=sim.base_url,
            max_retries=0,
        ),
        "llama": chat_openai(
            model="sentence",
            base_url=f"{address}/v1",
            api_key="none",
            temperature=0,
            max_retries=0,
            stream_usage=True,
        ),
    }
    return ChatRouter(legs=legs, hedge_after_s=None)


class Colour(BaseModel):
    """Paint the crane."""

    # The name of the one tool that the model calls.
    model_config = ConfigDict(title="paint")

    color: str


def paint(color: str) -> str:
    """Paint the crane."""
    return f"It is {color} now."


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("broken", [None, 503, 429, 404])
def test_the_other_server_answers_where_ours_cannot(router, sim, way, broken):
    if broken:
        sim.fail_next(broken, times=None)
    else:
        sim.reply("From Cerebras.", times=None)
    message = call(way, router)
    served = "llama" if broken else "cerebras"
    assert message.response_metadata["router"]["leg"] == served
    assert str(message.text) == (SENTENCE if broken else "From Cerebras.")
    assert message.usage_metadata["output_tokens"] > 0


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_no_splice_of_two_providers(router, sim, way):
    router = router.model_copy(update={"on_midstream": "restart"})
    for boundary in range(8):
        sim.reset()
        sim.reply("One two three.", chunks=["One ", "two ", "three."])
        sim.fail_next(fault="cut_stream", after_events=boundary)
        assert str(call(way, router).text) in {SENTENCE, "One two three."}


@pytest.mark.parametrize("way", WAYS)
def test_a_conversation_goes_on_with_the_other_provider(router, sim, way):
    """The tool call is ours, the answer to its result theirs."""
    bound = router.bind_tools([paint])
    sim.reply_with_tool("paint", {"color": "red"})
    question = HumanMessage("Paint it red.")
    asked = call(way, bound, [question])
    assert asked.response_metadata["router"]["leg"] == "cerebras"
    (one,) = asked.tool_calls
    sim.fail_next(503, times=None)
    result = ToolMessage(paint(**one["args"]), tool_call_id=one["id"])
    last = call(way, bound, [question, asked, result])
    assert last.response_metadata["router"]["leg"] == "llama"
    assert str(last.text) == SENTENCE


def test_both_providers_calls_are_recorded(router, sim):
    sim.fail_next(503)
    with track_costs() as costs:
        router.invoke("hi")
    first, second = costs.records
    assert (first.provider, first.outcome) == ("cerebras", "failed")
    assert (second.model, second.outcome) == ("sentence", "ok")
    assert second.output_tokens > 0


def test_the_other_provider_gives_structure(router, sim):
    sim.fail_next(503, times=None)
    chain = router.with_structured_output(Colour, method="function_calling")
    assert chain.invoke("Paint it.") == Colour(color="red")
