"""Good answers cut at every byte, and changed at random: whole, or one typed error.

Never an error that is not ours, never a part that passes for the whole, and never a
call that does not end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fault_answers import KEY, answer, chunk, event, head
from fault_case import PATIENT, Whole, as_whole, check_secrets
from fault_server import FIN, FaultServer, Step
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from recordings import add
from wire_server import Request

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import CerebrasError

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
CALL = {"function": {"name": "f", "arguments": '{"a":1}'}, "id": "c", "index": 0}
MESSAGE = {"content": "Hi", "reasoning": "R", "tool_calls": [CALL]}
WHOLE = Whole("Hi", "R", (("f", {"a": 1}),), usage=(1, 2, 3))

# Short, so that each byte of them can be the last one.
PLAIN_WIRE = answer(
    {
        "id": "x",
        "choices": [{"message": MESSAGE, "finish_reason": "stop"}],
        "usage": USAGE,
    }
)
EVENTS = [
    event({"id": "x", "choices": [{"delta": {"reasoning": "R"}}]}),
    event({"choices": [{"delta": {"content": "Hi"}}]}),
    event({"choices": [{"delta": {"tool_calls": [CALL]}}]}),
    event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE}),
    b"data: [DONE]\n\n",
]
STREAM_WIRE = (
    head("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
    + b"".join(map(chunk, EVENTS))
    + b"0\r\n\r\n"
)
DONE_AT = STREAM_WIRE.index(b"[DONE]") + len(b"[DONE]\n\n")
"""From here on a stream that is cut was whole."""


class Wire:
    """A server that sends the bytes it is given and ends, and a model that asks it."""

    def __init__(self, server: FaultServer) -> None:
        self.server = server
        self.model = ChatCerebras(
            base_url=server.url, api_key=KEY, max_retries=0, timeout=PATIENT
        )
        self.runner = asyncio.Runner()
        self.wire = b""

    def script(self, _: Request, __: int) -> list[Step]:
        return [self.wire, FIN]

    def call(self, path: str, wire: bytes) -> Any:
        """Return a message or the error that was raised for an answer."""
        self.wire = wire
        try:
            match path:
                case "invoke":
                    return self.model.invoke("hi")
                case "stream":
                    return add(list(self.model.stream("hi")))
                case "ainvoke":
                    return self.runner.run(self.model.ainvoke("hi"))
            return self.runner.run(self.astream())
        except CerebrasError as error:
            check_secrets(error)
            return error

    async def astream(self) -> AIMessage:
        return add([part async for part in self.model.astream("hi")])


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with FaultServer(lambda request, number: held.script(request, number)) as server:
        held = Wire(server)
        yield held
        held.model.close()
        held.runner.run(held.model.aclose())
        held.runner.close()
        assert not server.open_connections()


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_a_plain_answer_that_is_cut_anywhere_is_an_error(wire: Wire, path: str) -> None:
    for at in range(len(PLAIN_WIRE)):
        found = wire.call(path, PLAIN_WIRE[:at])
        assert isinstance(found, CerebrasError), f"cut at {at}: {found!r}"
    assert as_whole(wire.call(path, PLAIN_WIRE)) == WHOLE


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_a_stream_that_is_cut_anywhere_is_whole_only_after_done(
    wire: Wire, path: str
) -> None:
    """What had come is on the error: it only grows with the bytes that came."""
    texts: list[str] = []
    for at in range(len(STREAM_WIRE) + 1):
        found = wire.call(path, STREAM_WIRE[:at])
        if at >= DONE_AT:
            assert isinstance(found, AIMessage), f"cut at {at}: {found!r}"
            assert as_whole(found) == WHOLE
            continue
        assert isinstance(found, CerebrasError), f"cut at {at}: {found!r}"
        texts.append(found.partial_reasoning + found.partial_text)
    assert texts == sorted(texts, key=len)
    assert sorted(set(texts), key=len) == ["", "R", "RHi"]


FOUR = [
    ("invoke", PLAIN_WIRE),
    ("ainvoke", PLAIN_WIRE),
    ("stream", STREAM_WIRE),
    ("astream", STREAM_WIRE),
]

BYTES = st.one_of(
    st.binary(max_size=3),
    st.sampled_from([b"\0", b"\r", b"\n", b"\r\n\r\n", b": ", b"data: ", b'"', b"}"]),
)


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[float, int, bytes]]:
    """Draw places (as a part of the whole), how much is taken out, and what is put in."""
    count = draw(st.integers(1, 3))
    return [
        (
            draw(st.floats(0, 1, exclude_max=True)),
            draw(st.sampled_from([0, 1, 1, 2, 7])),
            draw(BYTES),
        )
        for _ in range(count)
    ]


def changed(data: bytes, made: list[tuple[float, int, bytes]]) -> bytes:
    for place, taken, put in made:
        at = int(place * len(data))
        data = data[:at] + put + data[at + taken :]
    return data


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=changes(), cut=st.floats(0, 1) | st.just(1.0))
@pytest.mark.parametrize(("path", "good"), FOUR, ids=[path for path, _ in FOUR])
def test_an_answer_that_is_changed_anywhere_ends_in_a_message_or_one_of_our_errors(
    wire: Wire, path: str, good: bytes, made: list[tuple[float, int, bytes]], cut: float
) -> None:
    """Other content cannot be told from the right one; anything else can."""
    data = changed(good, made)
    found = wire.call(path, data[: int(cut * len(data))])
    assert isinstance(found, (AIMessage, CerebrasError))
    json.dumps(found.response_metadata if isinstance(found, AIMessage) else str(found))
