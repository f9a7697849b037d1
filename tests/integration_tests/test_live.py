"""A few calls to the real service, for whoever has a key.

They are what the simulator cannot prove: run them after each change of the wire code
with `CEREBRAS_API_KEY=... pytest -m live`. They cost a fraction of a cent.
"""

from __future__ import annotations

import os

import pytest
from pydantic import BaseModel

from langchain_cerebras_ext import ChatCerebras

# Read here: the fixtures clean the environment of every test.
KEY = os.environ.get("CEREBRAS_API_KEY", "")
MODEL = os.environ.get("CEREBRAS_MODEL", "") or "gpt-oss-120b"

pytestmark = [
    pytest.mark.live,
    pytest.mark.enable_socket,
    pytest.mark.skipif(
        not KEY, reason="needs CEREBRAS_API_KEY: these tests talk to the real service"
    ),
]


class City(BaseModel):
    """A city."""

    name: str
    country: str


@pytest.fixture
def model() -> ChatCerebras:
    return ChatCerebras(model=MODEL, api_key=KEY, max_tokens=500)


def test_a_plain_answer_has_usage_and_timings(model: ChatCerebras) -> None:
    message = model.invoke("Answer with the single word: yes")
    assert message.text
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 0
    assert message.response_metadata["time_info"]["total_time"] > 0
    assert message.response_metadata["finish_reason"] == "stop"


async def test_a_stream_ends_whole(model: ChatCerebras) -> None:
    chunks = [chunk async for chunk in model.astream("Count from 1 to 5.")]
    assert len(chunks) > 2
    assert chunks[-1].chunk_position == "last"
    assert chunks[-1].usage_metadata is not None


def test_a_forced_tool_is_called(model: ChatCerebras) -> None:
    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        return city

    message = model.bind_tools([get_weather], tool_choice="any").invoke("Paris?")
    assert message.tool_calls[0]["name"] == "get_weather"


def test_structured_output_fits_the_schema(model: ChatCerebras) -> None:
    city = model.with_structured_output(City).invoke("Which city is the Louvre in?")
    assert isinstance(city, City)
    assert city.name == "Paris"


def test_reasoning_is_replayed_in_the_second_turn(model: ChatCerebras) -> None:
    first = model.invoke("Remember the number 7.")
    second = model.invoke([("user", "Remember the number 7."), first, ("user", "+1?")])
    assert second.text
