"""Images are seen in all shapes that messages have them in, and bytes are no words."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from scripted_model import ScriptedModel, Step

from langchain_cerebras_ext.errors import NoLegError
from langchain_cerebras_ext.routing import ChatRouter
from langchain_cerebras_ext.routing._blocks import countable, has_images, is_image
from langchain_cerebras_ext.routing.capabilities import Size


def png(width=64, height=64):
    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\xff\0\0" * width for _ in range(height)))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()


DATA = png()
URI = f"data:image/png;base64,{DATA}"
PNG = {"media_type": "image/png", "type": "base64", "data": DATA}
IMAGES = {
    "v1 base64": {"type": "image", "base64": DATA, "mime_type": "image/png"},
    "v1 url": {"type": "image", "url": "https://example.com/a.png"},
    "v1 file": {"type": "file", "base64": DATA, "mime_type": "image/png"},
    "v0": {
        "type": "image",
        "source_type": "base64",
        "data": DATA,
        "mime_type": "image/png",
    },
    "chat completions": {"type": "image_url", "image_url": {"url": URI}},
    "flat": {"type": "image_url", "image_url": URI},
    "responses": {"type": "input_image", "image_url": URI},
    "responses, drawn": {"type": "image_generation_call", "result": DATA},
    "openai file": {"type": "file", "file": {"file_data": URI, "filename": "a.png"}},
    "anthropic": {"type": "image", "source": PNG},
    "anthropic document": {"type": "document", "source": PNG},
    "anthropic result": {
        "type": "tool_result",
        "tool_use_id": "1",
        "content": [{"type": "text", "text": "see"}, {"type": "image", "source": PNG}],
    },
    "google bytes": {"type": "media", "mime_type": "image/png", "data": DATA},
    "google uri": {"type": "media", "mime_type": "image/png", "file_uri": "gs://a/b"},
    "amazon": {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}},
    "non-standard": {
        "type": "non_standard",
        "value": {"type": "media", "mime_type": "image/png", "data": DATA},
    },
}
OTHERS = {
    "text": {"type": "text", "text": "an image/png"},
    "v1 file": {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
    "audio": {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
    "google film": {"type": "media", "mime_type": "video/mp4", "data": "AAAA"},
    "google unknown": {"type": "media", "file_uri": "gs://a/b"},
    "reasoning": {"type": "reasoning", "reasoning": "image"},
    "call": {"type": "tool_call", "name": "image", "args": {}, "id": "1"},
    "result": {"type": "tool_result", "tool_use_id": "1", "content": "image"},
    "non-standard": {"type": "non_standard", "value": {"type": "citation"}},
    "odd": {"type": 7},
}


@pytest.mark.parametrize("block", IMAGES.values(), ids=IMAGES)
def test_an_image_is_one_in_every_shape(block):
    assert is_image(block)
    assert has_images([HumanMessage("hi"), HumanMessage([{"type": "text"}, block])])
    assert has_images([ToolMessage([block], tool_call_id="1")])
    assert has_images([AIMessage([block])])


@pytest.mark.parametrize("block", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_one(block):
    assert not is_image(block)
    assert not has_images([HumanMessage([block, "image"])])


@pytest.mark.parametrize("block", IMAGES.values(), ids=IMAGES)
def test_a_leg_without_eyes_is_not_asked(block):
    legs = {
        "blind": ScriptedModel(label="blind", script=[Step("wrong")]),
        "seeing": ScriptedModel(label="seeing", script=[Step("right")]),
    }
    can = {"blind": {"images": False}, "seeing": {"images": True}}
    router = ChatRouter(legs=legs, capabilities=can)
    message = router.invoke([HumanMessage([{"type": "text", "text": "?"}, block])])
    assert message.text == "right"
    with pytest.raises(NoLegError, match="takes no images"):
        ChatRouter(
            legs={"blind": legs["blind"]}, capabilities={"blind": {"images": False}}
        ).invoke([HumanMessage([block])])


@pytest.mark.parametrize("block", IMAGES.values(), ids=IMAGES)
def test_bytes_are_not_counted_as_words(block):
    big = png(256, 256)
    text = HumanMessage([{"type": "text", "text": "What is this?"}, block])
    size = Size([text])
    assert size.count("gpt-oss-120b") <= size.bound
    assert size.count("gpt-oss-120b") < 20_000
    assert countable(HumanMessage("hi")).content == "hi"
    whole = HumanMessage([{"type": "image", "base64": big}])
    assert countable(whole).content[0]["type"] == "image"


def test_a_file_is_not_counted_as_words():
    """Half a megabyte of base64 would be no prompt that any model holds."""
    data = "QUJD" * 130_000
    for block in (
        {"type": "media", "mime_type": "video/mp4", "data": data},
        {"type": "file", "base64": data, "mime_type": "application/pdf"},
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
    ):
        size = Size([HumanMessage(["Listen.", block])])
        assert size.count("gpt-oss-120b") < 200
        assert size.bound < 100_000
    words = {"type": "text-plain", "text": "seven words are in this very document"}
    assert Size([HumanMessage([words])]).count() > Size([HumanMessage([])]).count() + 5
