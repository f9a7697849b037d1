"""LangChain's standard integration tests against the simulator, over real HTTP.

The suite's tests of images fetch them from the internet, so their flags stay off; the
tests at the end send tiny pictures of their own, in every block shape.
"""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import CerebrasInvalidRequestError
from langchain_cerebras_ext.simulator import Simulator

VISION_MODEL = "qwen-3.8-27b"
LONG_PREFIX = "The manual of the harbour crane, chapter by chapter. " * 200


@pytest.fixture(scope="module")
def simulator():
    with Simulator() as running:
        yield running


class _OnTheSimulator(ChatModelIntegrationTests):
    """What both runs of the suite share."""

    @pytest.fixture(autouse=True)
    def _served(self, simulator):
        self.base_url = simulator.base_url

    @property
    def chat_model_class(self):
        return ChatCerebras

    @property
    def chat_model_params(self):
        return {
            "model": "gpt-oss-120b",
            "api_key": "csk-test",
            "base_url": self.base_url,
        }

    @property
    def has_tool_choice(self):
        return True

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_anthropic_inputs(self):
        return True

    @property
    def supports_model_override(self):
        return True

    @property
    def model_override_value(self):
        return VISION_MODEL

    @property
    def supported_usage_metadata_details(self):
        details = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream=False):
        model = ChatCerebras(**self.chat_model_params, reasoning_effort="high")
        message = _ask(model, "Why is the sky blue?", stream=stream)
        assert message.usage_metadata["output_token_details"]["reasoning"] > 0
        return message

    def invoke_with_cache_read_input(self, *, stream=False):
        model = ChatCerebras(**self.chat_model_params)
        _ask(model, f"{LONG_PREFIX}What is it about?", stream=stream)
        message = _ask(model, f"{LONG_PREFIX}How long is it?", stream=stream)
        assert message.usage_metadata["input_token_details"]["cache_read"] > 0
        return message


# One test hands over a class of Pydantic v1, for which we warn.
@pytest.mark.filterwarnings("ignore:Joke is a class of Pydantic v1:UserWarning")
class TestWithJsonSchema(_OnTheSimulator):
    """Structured output by constrained answers."""

    @property
    def structured_output_kwargs(self):
        return {"method": "json_schema"}


class TestWithFunctionCalling(_OnTheSimulator):
    """Structured output by forced tool calls."""

    @property
    def structured_output_kwargs(self):
        return {"method": "function_calling"}


def _ask(model, prompt, *, stream):
    if not stream:
        return model.invoke(prompt)
    first, *rest = model.stream(prompt)
    return sum(rest, first)


# --------------------------------------------------------------------------- pictures


def _png():
    """Make a red picture of four by four pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    rows = b"".join(b"\x00" + b"\xff\x00\x00" * 4 for _ in range(4))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _jpeg():
    """Make the segments that tell a JPEG's size, without a picture in them."""
    frame = struct.pack(">BHHB", 8, 4, 4, 1) + b"\x01\x11\x00"
    return (
        b"\xff\xd8"
        b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
        b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"
    )


PICTURES = {"image/png": _png(), "image/jpeg": _jpeg()}


def _v1(kind, data):
    return {"type": "image", "base64": data, "mime_type": kind}


def _v0(kind, data):
    return {"type": "image", "source_type": "base64", "data": data, "mime_type": kind}


def _openai(kind, data):
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}


def _openai_bare(kind, data):
    return {"type": "image_url", "image_url": f"data:{kind};base64,{data}"}


def _anthropic(kind, data):
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": kind, "data": data},
        "cache_control": {"type": "ephemeral"},
    }


@pytest.fixture
def vision(simulator):
    simulator.reset()
    return ChatCerebras(
        model=VISION_MODEL, api_key="csk-test", base_url=simulator.base_url
    )


def _turn(shape, kind):
    data = base64.b64encode(PICTURES[kind]).decode()
    return HumanMessage(
        [{"type": "text", "text": "What do you see?"}, shape(kind, data)]
    )


@pytest.mark.parametrize("kind", list(PICTURES))
@pytest.mark.parametrize(
    "shape", [_v1, _v0, _openai, _openai_bare, _anthropic], ids=lambda f: f.__name__[1:]
)
def test_a_picture_in_any_block_shape_arrives_as_a_data_uri(
    simulator, vision, shape, kind
):
    message = vision.invoke([_turn(shape, kind)])
    data = base64.b64encode(PICTURES[kind]).decode()
    assert simulator.chat_requests[-1].body["messages"][-1]["content"] == [
        {"type": "text", "text": "What do you see?"},
        {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}},
    ]
    assert isinstance(message, AIMessage)
    assert message.text


def test_a_picture_is_counted_among_the_input_tokens(vision):
    without = vision.invoke([HumanMessage("What do you see?")])
    with_picture = vision.invoke([_turn(_v1, "image/png")])
    assert (
        with_picture.usage_metadata["input_tokens"]
        > without.usage_metadata["input_tokens"]
    )


async def test_a_picture_is_taken_by_streams_as_well(vision):
    first, *rest = [chunk async for chunk in vision.astream([_turn(_v1, "image/png")])]
    assert sum(rest, first).text


def test_a_picture_for_a_model_without_vision_is_refused_before_the_call(simulator):
    simulator.reset()
    model = ChatCerebras(
        model="gpt-oss-120b", api_key="csk-test", base_url=simulator.base_url
    )
    with pytest.raises(CerebrasInvalidRequestError, match=r"gpt-oss-120b.*image"):
        model.invoke([_turn(_v1, "image/png")])
    assert simulator.requests == []
